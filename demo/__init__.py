"""A real workload through the cache, each answer judged: ``./scripts/demo``."""
