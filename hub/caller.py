"""Who is behind the call that is answered now, as the door found out that let it in."""

from contextvars import ContextVar

ADMIN = "admin"
ADMIN_IN_BROWSER = "admin (browser)"
"""There is one administrator; what tells the two apart is how they came in."""

caller: ContextVar[str] = ContextVar("caller", default=ADMIN)
"""A word for audits, set by the guard for each request of a person."""
