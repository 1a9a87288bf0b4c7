"""When a log record or a point belongs to an answer: severities, attributes and text."""

import json
from collections.abc import Iterable, Mapping
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


def parse_severity(value: str | int) -> int:
    """The least severity number that a name or number asks for; raises RpcError invalid_params."""
    if isinstance(value, str):
        text = value.strip().lower()
        number = int(text) if text.isascii() and text.isdigit() else _ALIASES.get(text, -1)
    else:
        number = value
    if not 0 <= number <= _NUMBER_MAX:
        raise RpcError(
            "invalid_params",
            f"severity: {str(value)[:60]!r} is not one of {', '.join(SEVERITIES)} "
            f"or a number from 0 to {_NUMBER_MAX}",
            {"parameter": "severity"},
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
        if key not in holder or _as_text(holder[key]) != _as_text(value):
            return False
    return True


def has_text(folded_needle: bytes, values: Iterable[Any]) -> bool:
    """Whether a text value contains the needle; lists and objects are searched value by value."""
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            if folded_needle in fold(value):
                return True
        elif isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return False


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
