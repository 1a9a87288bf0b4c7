"""What a soak came to, for people."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.soak.killer import Tally
from tests.soak.rotation import Blow


@dataclass(frozen=True, slots=True)
class Records:
    """Records by what their sender was told."""

    acked: int = 0
    unanswered: int = 0
    refused: int = 0
    unheard: int = 0

    def __str__(self) -> str:
        return (
            f"{self.acked:,} records acknowledged, {self.unanswered:,} unanswered,"
            f" {self.refused:,} refused, {self.unheard:,} for nobody"
        )


@dataclass(slots=True)
class Report:
    """The end of a soak. `folder` is where everything still lies when a law was broken."""

    seed: int
    folder: Path
    tally: Tally = field(default_factory=Tally)
    records: Records = field(default_factory=Records)
    seconds: float = 0.0
    chunks_accepted: int = 0
    chunks_duplicate: int = 0
    sweeps: int = 0
    chunks_repaired: int = 0
    unanswered_kept: int = 0
    chunks_held: int = 0
    """Of edges, on each hub."""
    hubs_alike: int = 0
    """How many hubs held the same bytes at the end, those of the hubs' own logs included."""
    broken: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every law held."""
        return not self.broken

    def to_text(self) -> str:
        """The report, a line for each fact."""
        blows = ", ".join(f"{blow} {self.tally.blows[blow]}" for blow in Blow)
        restarts = [
            f"{kind} {_times(seconds)}" for kind, seconds in self.tally.restart_seconds.items()
        ]
        lines = [
            f"seed {self.seed}, {self.seconds:.0f} s",
            f"blows       {sum(self.tally.blows.values())}: {blows}",
            f"records     {self.records}",
            f"            of the unanswered, {self.unanswered_kept:,} were kept",
            f"chunks      {self.chunks_held:,} on each hub; at least {self.chunks_accepted:,} taken"
            f" from edges and {self.chunks_duplicate:,} recognised as duplicates",
            f"            byte for byte the same on {self.hubs_alike} hubs; at least {self.sweeps} sweeps"
            f" repaired {self.chunks_repaired}",
            f"restarts    {'; '.join(restarts)}",
            *(f"BROKEN      {each}" for each in self.broken),
            "verdict     every law held" if self.ok else f"verdict     broken: see {self.folder}",
        ]
        return "\n".join(lines)


def _times(seconds: Sequence[float]) -> str:
    if not seconds:
        return "none"
    return f"{len(seconds)} times, median {median(seconds):.2f} s, longest {max(seconds):.2f} s"
