"""What a question needs of a chunk, in the words of an index."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Needs:
    """What all must occur in a chunk with a hit, each in any of its records.

    `words` are folded; those of a text that is looked for anywhere are among them, as far as they
    must occur in whole. `attributes` are pairs of a key and the one value that it must have, as
    text. `severity_min` is the least severity number; 0 asks for nothing.
    """

    words: tuple[bytes, ...] = ()
    service: str | None = None
    trace_id: str | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    severity_min: int = 0

    @property
    def prune_nothing(self) -> bool:
        """Whether every chunk may hold what is wanted, so that no index need be asked."""
        return self == _NOTHING


_NOTHING = Needs()
