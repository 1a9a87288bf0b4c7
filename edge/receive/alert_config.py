"""How alert rules are written in settings.

Only the standard library is needed here, since settings are checked before anything is installed.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from edge.receive.alert_rule import DEFAULT_RULES, OPERATORS, PLACEHOLDER, AlertRule
from edge.receive.patterns import safe_pattern
from shared import readers
from shared.signals import SEVERITIES

RULES_MAX = 100
TEXT_CHARACTERS_MAX = 1000

LOG_CHARACTERS_MAX = 2048
"""So much of a body is searched: a rule looks for a message, not through a dump."""

_KNOWN_PLACEHOLDERS = "{attributes}, {name}, {threshold}, {value}"


def read_alert_rules(value: object) -> tuple[AlertRule, ...]:
    """DEFAULT_RULES and what a list of tables adds, replaces by name, or turns off.

    A table with `enabled = false` turns the rule of that name off; the text "off" turns all off.
    Raises ValueError, whose text completes "NAME must be ..." and names the rule and the key.
    """
    if isinstance(value, str) and value.strip().lower() in {"off", "on"}:
        return () if value.strip().lower() == "off" else DEFAULT_RULES
    if not isinstance(value, list | tuple) or len(value) > RULES_MAX:
        raise ValueError(f"on, off, or a list of at most {RULES_MAX} tables, each an alert rule")
    rules = {rule.name: rule for rule in DEFAULT_RULES}
    given: set[str] = set()
    for number, table in enumerate(value, start=1):
        called = _called(table, number)
        try:
            rule = _rule(table)
            if rule.name in given:
                raise ValueError("name must be that of one rule only")
        except ValueError as error:
            raise ValueError(f"a list of alert rules, but in {called} {error}") from error
        given.add(rule.name)
        rules[rule.name] = rule
        if not table.get("enabled", True):
            del rules[rule.name]
    return tuple(rules.values())


def _called(table: object, number: int) -> str:
    named = table.get("name") if isinstance(table, dict) else None
    return f"rule {number} ({named[:64]})" if isinstance(named, str) else f"rule {number}"


def _rule(table: object) -> AlertRule:
    if not isinstance(table, dict):
        raise ValueError("there is no table")
    for key in table:
        if key not in _READERS and key != "enabled":
            raise ValueError(f"{key} is not known: known are {', '.join(sorted(_READERS))}")
    if not isinstance(table.get("enabled", True), bool):
        raise ValueError("enabled must be true or false")
    if "name" not in table:
        raise ValueError("name is missing")
    given = {key: _read(key, item) for key, item in table.items() if key in _READERS}
    # A single record that a log rule looks for is worth an alert unless it says otherwise.
    rule = AlertRule(**({"operator": ">=", "threshold": 1.0} if "log" in given else {}) | given)
    if table.get("enabled", True):
        _check(rule, table)
    return rule


def _read(key: str, value: object) -> Any:
    try:
        return _READERS[key](value)
    except ValueError as error:
        raise ValueError(f"{key} must be {error}") from error


def _check(rule: AlertRule, table: Mapping[str, object]) -> None:
    if bool(rule.metric) == bool(rule.log):
        raise ValueError("either metric or log must be given")
    if rule.metric and "threshold" not in table:
        raise ValueError("threshold is missing")
    for key in ("min_severity", "within_seconds") if rule.metric else ("where", "no_data_seconds"):
        if key in table:
            raise ValueError(f"{key} does not go with {'metric' if rule.metric else 'log'}")
    if rule.log and rule.within_seconds <= 0:
        raise ValueError("within_seconds must be more than 0")
    if rule.no_data_seconds <= 0 or rule.repeat_seconds <= 0:
        raise ValueError("no_data_seconds and repeat_seconds must be more than 0")
    if rule.clear is not None and rule.is_breached(rule.clear) and rule.clear != rule.threshold:
        raise ValueError(f"clear must be on the other side of threshold {rule.threshold:g}")


def _name(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,62}", value):
        raise ValueError("a name of 1 to 63 letters, digits, blanks, '.', '_' and '-'")
    return value


def _short_text(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_CHARACTERS_MAX:
        raise ValueError(f"a text of 1 to {TEXT_CHARACTERS_MAX} characters")
    return value


def _expression(value: object) -> str:
    return safe_pattern(value, LOG_CHARACTERS_MAX).pattern


def _where(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict) or len(value) > 32:
        raise ValueError("a table of at most 32 attributes and their values")
    return tuple((_short_text(key), _short_text(wanted)) for key, wanted in value.items())


def _finite(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e300 < value < 1e300:
        raise ValueError("a number")
    return float(value)


def _duration(value: object) -> float:
    seconds = readers.seconds(value)
    if not 0 <= seconds < 1e9 or math.isnan(seconds):
        raise ValueError("a duration of less than 30 years")
    return seconds


def _summary(value: object) -> str:
    written = _short_text(value)
    if re.search(r"[{}]", PLACEHOLDER.sub("", written)):
        raise ValueError(f"a text with no other braces than {_KNOWN_PLACEHOLDERS}")
    return written


_DURATIONS = tuple(item.name for item in fields(AlertRule) if item.name.endswith("_seconds"))
_READERS: Mapping[str, Callable[[object], Any]] = {
    "name": _name,
    "metric": _short_text,
    "where": _where,
    "log": _expression,
    "min_severity": readers.one_of(*SEVERITIES),
    "operator": readers.one_of(*OPERATORS),
    "threshold": _finite,
    "clear": _finite,
    "severity": readers.one_of(*SEVERITIES),
    "summary": _summary,
    **dict.fromkeys(_DURATIONS, _duration),
}
