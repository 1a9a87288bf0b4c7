"""The raw-bytes prefilter: which chunk bodies can hold a hit, told without decoding them.

The law: a probe may let a body without hits pass, but never drops one that has some. Texts are
folded in ASCII letters only, because that is what can be done to UTF-8 bytes without decoding them.
"""

import re
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from shared.records import Encoding

# JSON may write these with a backslash. All others stand for themselves, or as \\uXXXX.
_JSON_ESCAPED = re.compile(r'["\\/\x00-\x1f]')

_CASELESS = re.compile(rb"[^a-zA-Z]+")
_CASELESS_BYTES_MIN = 3
"""Shorter runs occur nearly everywhere, so that looking for them first is lost time."""


def fold(text: str) -> bytes:
    """UTF-8 with ASCII letters in lower case: equal for texts that the search takes as equal."""
    return text.encode("utf-8", "surrogatepass").lower()


class Haystack:
    """The bytes of a body, folded at most once and only when it must be: that takes as long as the
    search itself."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    @cached_property
    def folded(self) -> bytes:
        """With ASCII letters in lower case; every place is the same as in `raw`."""
        return self.raw.lower()


@dataclass(frozen=True, slots=True)
class Needle:
    """A folded text to look for in bodies."""

    folded: bytes
    is_caseless: bool
    """Whether it has no ASCII letters, so that the raw bytes will do."""
    run: bytes
    """The longest part of it that has none; empty when that is too short to be of use."""
    choices: tuple[tuple[int, int], ...]
    """Each byte in it, in lower and in upper case."""

    def is_in(self, haystack: Haystack) -> bool:
        """Whether the body contains the text in any case; the cheap looks come first."""
        raw = haystack.raw
        if not all(lower in raw or upper in raw for lower, upper in self.choices):
            return False
        if self.run and self.run not in raw:
            return False
        return self.is_caseless or self.folded in haystack.folded


@lru_cache(maxsize=256)  # Some callers make a probe for each body.
def needle_of(text: str) -> Needle:
    """How to look for a text."""
    folded = fold(text)
    runs: list[bytes] = _CASELESS.findall(folded)
    run = max(runs, key=len, default=b"")
    is_caseless = run == folded
    choices = tuple((each, bytes((each,)).upper()[0]) for each in sorted(set(folded)))
    is_useful = is_caseless or len(run) >= _CASELESS_BYTES_MIN
    return Needle(folded, is_caseless, run if is_useful else b"", choices)


@dataclass(frozen=True)
class Probe:
    """What must all occur in a body: texts that are part of values or keys, and trace ids."""

    texts: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    _proto: tuple[Needle, ...] = field(init=False, repr=False, compare=False)
    _json: tuple[Needle, ...] = field(init=False, repr=False, compare=False)
    _raw_ids: tuple[bytes, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        runs = [max(_JSON_ESCAPED.split(text), key=len) for text in self.texts]
        object.__setattr__(self, "_proto", tuple(map(needle_of, self.texts)))
        object.__setattr__(self, "_json", tuple(map(needle_of, (*runs, *self.ids))))
        object.__setattr__(self, "_raw_ids", tuple(map(bytes.fromhex, self.ids)))

    def may_hold(self, encoding: Encoding, body: bytes) -> bool:
        """Whether the body must be decoded to know."""
        return self.may_hold_in(encoding, Haystack(body))

    def may_hold_in(self, encoding: Encoding, haystack: Haystack) -> bool:
        """The same for a body that is searched again later."""
        if encoding is not Encoding.PROTO:
            return b"\\u" in haystack.raw or all(each.is_in(haystack) for each in self._json)
        if not all(held_id in haystack.raw for held_id in self._raw_ids):
            return False
        return all(each.is_in(haystack) for each in self._proto)
