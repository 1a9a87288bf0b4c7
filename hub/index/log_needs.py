"""The needs of a question about logs, as FTS5 is asked for the chunks that meet them."""

from collections.abc import Iterable, Iterator

from hub.index.words import (
    WORD_BYTES_MAX,
    attribute_term,
    many_term,
    service_term,
    trace_term,
    words_of,
)
from hub.query.needs import Needs
from hub.query.probe import fold

WORDS_MAX = 16
"""Of one text: more would prune hardly better, and take longer."""


def expression_of(needs: Needs) -> bytes:
    """The needs in the language of FTS5 (sqlite.org/fts5.html section 3); empty when every chunk
    meets them, as far as its vocabulary tells. It is UTF-8 but for words that were cut."""
    return b" AND ".join(_clauses(needs))


def _clauses(needs: Needs) -> Iterator[bytes]:
    yield from _all_of(word[:WORD_BYTES_MAX] for word in needs.words)
    if needs.service is not None:
        yield _quoted(service_term(needs.service))
    if needs.trace_id is not None:
        yield _quoted(trace_term(needs.trace_id))
    for key, text in needs.attributes:
        yield _attribute(key, text)


def _attribute(key: str, text: str) -> bytes:
    """Either the chunk has a term for the value, or one for the key and the words of the value."""
    exact = _quoted(attribute_term(key, text))
    many = [_quoted(many_term(key)), *_all_of(words_of(fold(text)))]
    return b"(" + exact + b" OR (" + b" AND ".join(many) + b"))"


def _all_of(words: Iterable[bytes]) -> list[bytes]:
    """The longest words, which tend to be the rarest."""
    longest = sorted(set(words), key=lambda word: (-len(word), word))
    return [_quoted(word) for word in longest[:WORDS_MAX]]


def _quoted(word: bytes) -> bytes:
    return b'"' + word + b'"'
