"""What a word is, and the terms that stand for everything else that a chunk can be found by.

The law: an index may name a chunk that holds no hit, but never leaves out one that does. So a term
may mean two things at once (they are short, and share one vocabulary with the words).
"""

import re
from binascii import crc32

from hub.query.probe import fold

WORD_BYTES_MAX = 64
"""Longer words are known by their beginning."""

_WORD = re.compile(rb"[0-9a-z_\x80-\xff]+")
_SPACED = bytes(each if _WORD.fullmatch(bytes([each])) else 0x20 for each in range(256))
_TRACE_LETTERS = 16


def words_of(folded: bytes) -> set[bytes]:
    """The words of a text that went through `fold`: runs of ASCII letters, digits, underscores and
    all that is not ASCII, each cut to WORD_BYTES_MAX."""
    words = set(folded.translate(_SPACED).split())
    if max(map(len, words), default=0) > WORD_BYTES_MAX:
        return {word[:WORD_BYTES_MAX] for word in words}
    return words


def inner_words(needle: str) -> set[bytes]:
    """The words that every text must have in whole that contains the needle anywhere.

    A word at either end of the needle may be only a part of one.
    """
    folded = fold(needle)
    found = (match.span() for match in _WORD.finditer(folded))
    return {
        folded[start:end][:WORD_BYTES_MAX]
        for start, end in found
        if start > 0 and end < len(folded)
    }


def service_term(name: str) -> bytes:
    """Stands for records of this service."""
    return b"s%08x" % crc32(_exactly(name))


def trace_term(trace_id: str) -> bytes:
    """Stands for records of this trace; `trace_id` is lower-case hex.

    The second half alone: that is the random one where an id begins with a time.
    """
    return trace_id[-_TRACE_LETTERS:].encode("ascii")


def attribute_term(key: str, value: str) -> bytes:
    """Stands for the attribute with this value, as text."""
    return b"a%08x" % crc32(_exactly(value), crc32(_exactly(key)))


def many_term(key: str) -> bytes:
    """Stands for an attribute of too many values to have a term for each."""
    return b"m%08x" % crc32(_exactly(key))


def _exactly(text: str) -> bytes:
    """The bytes of a text that is compared letter by letter."""
    return text.encode("utf-8", "surrogatepass")
