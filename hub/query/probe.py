"""The raw-bytes prefilter: which chunk bodies can hold a hit, told without decoding them.

The law: a probe may let a body without hits pass, but never drops one that has some. Texts are
folded in ASCII letters only, because that is what can be done to UTF-8 bytes without decoding them.
"""

import re
from dataclasses import dataclass

from shared.records import Encoding

# JSON may write these with a backslash. All others stand for themselves, or as \\uXXXX.
_JSON_ESCAPED = re.compile(r'["\\/\x00-\x1f]')


def fold(text: str) -> bytes:
    """UTF-8 with ASCII letters in lower case: equal for texts that the search takes as equal."""
    return text.encode("utf-8", "surrogatepass").lower()


@dataclass(frozen=True, slots=True)
class Probe:
    """What must all occur in a body: texts that are part of values or keys, and trace ids."""

    texts: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()

    def may_hold(self, encoding: Encoding, body: bytes) -> bool:
        """Whether the body must be decoded to know."""
        if not self.texts and not self.ids:
            return True
        if encoding is Encoding.PROTO:
            return self._proto_may_hold(body)
        return b"\\u" in body or self._json_may_hold(body)

    def _proto_may_hold(self, body: bytes) -> bool:
        if not all(bytes.fromhex(held_id) in body for held_id in self.ids):
            return False
        return _all_in([fold(text) for text in self.texts], body)

    def _json_may_hold(self, body: bytes) -> bool:
        runs = [max(_JSON_ESCAPED.split(text), key=len) for text in self.texts]
        return _all_in([fold(run) for run in (*runs, *self.ids)], body)


def _all_in(needles: list[bytes], body: bytes) -> bool:
    if not needles:
        return True
    folded = body.lower()
    return all(needle in folded for needle in needles)
