"""Events of a hub about itself: what is told as a name and facts becomes a bounded OTLP record. Pure."""

from collections.abc import Mapping
from typing import Any

import orjson

from shared.otlp_make import Event
from shared.otlp_values import TIME_NS_MAX
from shared.signals import SEVERITIES, Scalar

NAME_LENGTH_MAX = 100
TEXT_LENGTH_MAX = 8_000
VALUE_LENGTH_MAX = 4_000
ATTRIBUTES_MAX = 32

SEVERITY_OF = {
    "adoption.begin": "warn",
    "clock.quarantined": "error",
    "clock.stepped": "warn",
    "clock.suspect": "warn",
    "conf.not_applied": "warn",
    "conf.parked": "warn",
    "conf.refused_by_edge": "warn",
    "disk.guard.closed": "error",
    "gossip.parked": "warn",
    "gossip.refused": "warn",
    "gossip.repaired": "error",
    "fleet.brake.begin": "warn",
    "hub.isolated": "error",
    "hub.refuted": "warn",
    "incident.opened": "warn",
    "leader:hook_failed": "error",
    "leader:lost": "warn",
    "node.check.failed": "warn",
    "mesh.split": "error",
    "node.cloned": "warn",
    "node.offline": "warn",
    "node.refused": "warn",
    "own.dropped": "warn",
    "peer.dead": "error",
    "peer.lag": "warn",
    "peer.removed": "warn",
    "retention.over_limit": "warn",
    "store.damaged": "error",
    "store.healed": "warn",
    "views.differ": "warn",
    "vm.order.expired": "warn",
    "vm.order.refused": "warn",
}
"""Events that somebody should look at; all others are for information."""

PLANNED = "by_plan"
"""A fact of events that nobody has to look at while it is true."""

_INT64 = range(-(2**63), 2**63)


def event_of(time_ns: int, name: str, facts: Mapping[str, Any]) -> Event:
    """An event as a name and facts, with a text that says the same to people."""
    known = {key: value for key, value in facts.items() if value not in (None, "")}
    told = ", ".join(f"{key} {_text(value, 200)}" for key, value in known.items())
    text = f"{name}: {told}" if told else name
    return Event(time_ns, name, _severity(name, facts), text, facts)


def _severity(name: str, facts: Mapping[str, Any]) -> str:
    is_return = name == "adoption.begin" and not facts.get("lost")
    if is_return or facts.get(PLANNED) is True:
        return "info"
    return SEVERITY_OF.get(name, "info")


def sound(event: Event) -> Event:
    """The event as OTLP can write it, whatever it was made of: bounded, with plain attributes."""
    names = list(event.attributes)[:ATTRIBUTES_MAX]
    return Event(
        min(max(event.time_ns, 0), TIME_NS_MAX),
        _text(event.name, NAME_LENGTH_MAX),
        event.severity if event.severity in SEVERITIES else "info",
        _text(event.text, TEXT_LENGTH_MAX),
        {_text(name, NAME_LENGTH_MAX): _scalar(event.attributes[name]) for name in names},
    )


def _scalar(value: object) -> Scalar:
    if isinstance(value, bool | float) or (isinstance(value, int) and value in _INT64):
        return value
    return _text(value, VALUE_LENGTH_MAX)


def _text(value: object, length_max: int) -> str:
    text = value if isinstance(value, str) else _json(value)
    # A lone surrogate, as in a file name that is not UTF-8, fits into no protobuf.
    return text[:length_max].encode("utf-8", "backslashreplace").decode()


def _json(value: object) -> str:
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # Too deep, a number of more than 64 bits, or keys of a strange kind.
        return repr(value)
