"""When a log record or a point belongs to an answer: severities, attributes and text."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hub.query.probe import fold
from shared.errors import RpcError

SEVERITIES: Mapping[str, int] = {
    "trace": 1,
    "debug": 5,
    "info": 9,
    "warn": 13,
    "error": 17,
    "fatal": 21,
}
"""The lowest OpenTelemetry severity number of each name."""

_ALIASES: Mapping[str, int] = {
    **SEVERITIES,
    "verbose": 1,
    "information": 9,
    "informational": 9,
    "notice": 10,
    "warning": 13,
    "err": 17,
    "critical": 21,
    "crit": 21,
    "alert": 21,
    "emergency": 21,
    "emerg": 21,
    "panic": 21,
}
_NUMBER_MAX = 24
_WORD_BYTES = b"0123456789abcdefghijklmnopqrstuvwxyz_" + bytes(range(0x80, 0x100))


def parse_severity(value: str | int, parameter: str = "severity") -> int:
    """The least severity number that a name or number asks for; raises RpcError invalid_params."""
    if isinstance(value, str):
        text = value.strip().lower()
        number = int(text) if text.isascii() and text.isdigit() else _ALIASES.get(text, -1)
    else:
        number = value
    if not 0 <= number <= _NUMBER_MAX:
        raise RpcError(
            "invalid_params",
            f"{parameter}: {str(value)[:60]!r} is not one of {', '.join(SEVERITIES)} "
            f"or a number from 0 to {_NUMBER_MAX}",
            {"parameter": parameter},
        )
    return number


def severity_number(number: int, text: str) -> int:
    """The severity of a record; senders that give only a text are read by its usual meaning."""
    return number or _ALIASES.get(text.strip().lower(), 0)


def severity_name(number: int, text: str) -> str:
    """What to call it: the sender's own word, else the name of the number, else nothing."""
    if text or number <= 0:
        return text
    names = [name for name, lowest in SEVERITIES.items() if lowest <= number]
    return names[-1].upper()


def attributes_match(
    wanted: Mapping[str, Any], own: Mapping[str, Any], resource: Mapping[str, Any]
) -> bool:
    """Whether every wanted attribute is on the record, or else on its resource.

    Values are compared as text, so that 404 given on a command line finds the number.
    """
    for key, value in wanted.items():
        holder = own if key in own else resource
        if key not in holder or as_text(holder[key]) != as_text(value):
            return False
    return True


def severity_top(value: str | int) -> int:
    """The greatest severity number that a name or number asks for: "warn" goes up to WARN4.

    Raises RpcError invalid_params.
    """
    number = parse_severity(value, "severity_max")
    is_name = isinstance(value, str) and not value.strip().isdigit()
    return (number - 1) // 4 * 4 + 4 if is_name else number


def has_text(folded_needle: bytes, values: Iterable[Any]) -> bool:
    """Whether a text value contains the needle; lists and objects are searched value by value."""
    return any(folded_needle in fold(text) for text in texts_in(values))


def has_word(folded_word: bytes, values: Iterable[Any]) -> bool:
    """Whether a text value has the word in whole, as hub.index.words tells words apart."""
    return any(_holds_word(fold(text), folded_word) for text in texts_in(values))


def texts_in(values: Iterable[Any]) -> Iterator[str]:
    """Every text among the values, and in their lists and objects."""
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def is_word(folded: bytes) -> bool:
    """Whether this is one word and nothing beside it."""
    return bool(folded) and not folded.translate(None, _WORD_BYTES)


def _holds_word(folded: bytes, word: bytes) -> bool:
    at = folded.find(word)
    while at >= 0:
        end = at + len(word)
        if (at == 0 or folded[at - 1] not in _WORD_BYTES) and (
            end == len(folded) or folded[end] not in _WORD_BYTES
        ):
            return True
        at = folded.find(word, at + 1)
    return False


def as_text(value: Any) -> str:
    """The text that an attribute is compared by: its own, or JSON without spaces."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
