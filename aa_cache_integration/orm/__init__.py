"""The room that knows SQLAlchemy's engines and sessions: what is written, what is read, and when it is committed."""
