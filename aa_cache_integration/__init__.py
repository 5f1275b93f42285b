"""A second-level cache for SQLAlchemy: declared in settings, transparent, told in structured logs, never wrong."""

from __future__ import annotations

__version__ = "0.1.0"
