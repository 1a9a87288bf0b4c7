"""Tickets for consoles: whoever was let in by a call opens a socket with one, once and soon."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from shared.errors import RpcError

TICKET_SECONDS = 30.0
TICKETS_MAX = 256
Mode = Literal["rw", "ro"]
Side = Annotated[int, Meta(ge=1, le=1000)]


class OpenConsole(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """vm.console.open: `ro` only looks on. It shows from the offset `since`, else `tail` bytes before
    the end of what was shown."""

    vm: Annotated[str, Meta(min_length=1, max_length=128)]
    node: Annotated[str, Meta(max_length=128)] | None = None
    mode: Mode = "rw"
    since: Annotated[int, Meta(ge=0, le=1 << 60)] | None = None
    tail: Annotated[int, Meta(ge=0, le=1 << 20)] = 64 * 1024
    cols: Side | None = None
    rows: Side | None = None
    requested_by: Annotated[str, Meta(max_length=128, pattern=r"\A[^\x00-\x1f\x7f]*\Z")] = ""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a ticket is for, and the monotonic time after which it is void."""

    node: str
    wish: OpenConsole
    ends_at: float


@dataclass(slots=True)
class Tickets:
    """The tickets of one hub that nobody has used yet."""

    _held: dict[str, Ticket] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._held)

    def add(self, secret: str, node: str, wish: OpenConsole, now: float) -> Ticket:
        """Keep a ticket; raises RpcError busy when too many wait to be used."""
        for name, held in list(self._held.items()):
            if held.ends_at <= now:
                del self._held[name]
        if len(self._held) >= TICKETS_MAX:
            text = f"{TICKETS_MAX} tickets wait to be used already"
            raise RpcError("busy", text, {"retryable": True})
        ticket = self._held[secret] = Ticket(node, wish, now + TICKET_SECONDS)
        return ticket

    def take(self, secret: str, now: float) -> Ticket | None:
        """What a ticket is for; None for one that is unknown, void, or used before."""
        ticket = self._held.pop(secret, None)
        return ticket if ticket is not None and now < ticket.ends_at else None
