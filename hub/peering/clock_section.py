"""What hubs tell each other about clocks in their gossip: each one what it believes of every other."""

from typing import Annotated

import msgspec
from msgspec import Meta

from hub.peering.clock_verdict import Span, Verdict
from shared.errors import BadInput
from shared.readers import NAME

BELIEFS_MAX = 64
"""More hubs than any cluster has."""

MS_MAX = 1e15  # Beyond any date that can be written.

HubId = Annotated[str, Meta(pattern=rf"\A{NAME.pattern}\Z")]
Milliseconds = Annotated[float, Meta(ge=-MS_MAX, le=MS_MAX)]


class Belief(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one hub believes of the clock of another: ahead of the teller's by `offset_ms`.

    `verdict` is a text, so that a word of a newer version is no error; `by` names the hubs whose
    clocks decided it, none where the teller's own was all there was.
    """

    hub_id: HubId
    offset_ms: Milliseconds
    error_ms: Annotated[float, Meta(ge=0, le=MS_MAX)]
    verdict: Annotated[str, Meta(max_length=40)]
    off_ms: Milliseconds = 0.0
    drift_ppm: Annotated[float, Meta(ge=-1e9, le=1e9)] | None = None
    for_seconds: Annotated[float, Meta(ge=0, le=1e12)] = 0.0
    by: Annotated[list[HubId], Meta(max_length=BELIEFS_MAX)] = []

    @property
    def span(self) -> Span:
        """How far the clock is ahead of the teller's, with the error."""
        return Span(self.offset_ms - self.error_ms, self.offset_ms + self.error_ms)


class ClockSection(msgspec.Struct, frozen=True):
    """The part of a hub's gossip that is about clocks."""

    beliefs: Annotated[list[Belief], Meta(max_length=BELIEFS_MAX)] = []

    def of(self, hub_id: str) -> Belief | None:
        """What is believed of one hub."""
        return next((belief for belief in self.beliefs if belief.hub_id == hub_id), None)


BAD_VERDICTS = frozenset({Verdict.SUSPECT, Verdict.QUARANTINED})

_decoder = msgspec.json.Decoder(ClockSection)


def read_section(body: bytes) -> ClockSection:
    """Read what a peer tells about clocks; raises BadInput, which breaks nothing else of its gossip."""
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"what a peer says of clocks cannot be read: {error}") from error
