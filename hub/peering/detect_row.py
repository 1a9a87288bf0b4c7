"""What a hub gossips of its peers: its row of the reachability matrix, bounded and checked.

Ages and not times travel: no clock of another hub can change what is believed here.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from hub.peering.detect_values import INCARNATION_MAX, Life, PeerState, Verdict
from shared.errors import BadInput
from shared.readers import NAME

PEERS_MAX = 64
ROW_BYTES_MAX = 32 * 1024

Name = Annotated[str, Meta(max_length=63)]
Short = Annotated[str, Meta(max_length=64)]
Age = Annotated[float, Meta(ge=0, le=1e9)]
Number = Annotated[int, Meta(ge=0, le=2**53)]
Incarnation = Annotated[int, Meta(ge=0, le=INCARNATION_MAX)]


class Entry(msgspec.Struct, frozen=True):
    """One peer as the hub of this row sees it directly. Ages in seconds, None for never."""

    peer: Name
    state: PeerState
    state_age_s: Age = 0.0
    reached_age_s: Age | None = None
    heard_age_s: Age | None = None
    rtt_ms: Age | None = None
    misses: Number = 0
    failure: Short = ""
    instance: Short = ""
    incarnation: Incarnation = 0
    beat: Number = 0

    @property
    def life(self) -> Life:
        """The moment of the peer's life that the hub heard last."""
        return Life(self.instance, self.incarnation, self.beat)


class Row(msgspec.Struct, frozen=True):
    """What one hub says of itself and of every peer. `beat` numbers the rows of an incarnation."""

    hub: Name
    instance: Short
    incarnation: Incarnation
    beat: Number
    entries: Annotated[list[Entry], Meta(max_length=PEERS_MAX)]
    health: Annotated[float, Meta(ge=1, le=8)] = 1.0
    isolated: bool = False
    wall_ms: Number = 0

    @property
    def life(self) -> Life:
        """The moment of its life at which the hub wrote this."""
        return Life(self.instance, self.incarnation, self.beat)

    def entry(self, peer: str) -> Entry | None:
        """What it says of a peer."""
        return next((each for each in self.entries if each.peer == peer), None)

    def to_wire(self) -> dict[str, Any]:
        """As JSON values."""
        return dict(msgspec.to_builtins(self))


_decoder = msgspec.json.Decoder(Row)


def read_row(body: bytes) -> Row:
    """Read a row as `msgspec.json.encode` writes it; raises BadInput."""
    if len(body) > ROW_BYTES_MAX:
        raise BadInput(f"a row of the matrix has at most {ROW_BYTES_MAX} bytes, not {len(body)}")
    try:
        row = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"the row of the matrix cannot be read: {error}") from error
    return check_row(row, row.hub)


def check_row(row: Row, sender: str) -> Row:
    """The row, when it is the sender's own and speaks of named hubs once each; raises BadInput."""
    if row.hub != sender:
        raise BadInput(f"{sender[:63]} sent a row in the name of {row.hub[:63]}")
    names = [each.peer for each in row.entries]
    for name in (row.hub, *names):
        if not NAME.fullmatch(name):
            raise BadInput(f"{name[:63]!r} is not the name of a hub")
    if len(names) > PEERS_MAX or len({*names, row.hub}) <= len(names):
        raise BadInput(f"the row of {row.hub} names a hub twice, itself, or more than {PEERS_MAX}")
    return row


def entry_of(verdict: Verdict) -> Entry:
    """A verdict as others are told of it."""
    life = verdict.life or Life("", 0, 0)
    return Entry(
        verdict.peer,
        verdict.state,
        round(verdict.state_age_s, 3),
        _rounded(verdict.reached_age_s),
        _rounded(verdict.heard_age_s),
        verdict.rtt_ms,
        verdict.misses,
        verdict.failure,
        life.instance,
        life.incarnation,
        life.beat,
    )


def _rounded(age_seconds: float | None) -> float | None:
    return None if age_seconds is None else round(age_seconds, 3)
