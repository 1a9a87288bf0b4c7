"""What an election asks its caller to do, in order."""

from dataclasses import dataclass

from hub.lead.messages import Answer, Ask
from hub.lead.model import Ballot, Tell


@dataclass(frozen=True, slots=True)
class Save:
    """Put this on disk, synced, and say `saved`, before anything that follows leaves the hub."""

    ballot: Ballot


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer the question that was put."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class Send:
    """Ask another hub; its answer comes back with this. `at` is when it was decided, monotonic."""

    to: str
    ask: Ask
    at: float


Action = Save | Reply | Send | Tell
"""One step; `Tell` is an event for people and hooks."""
