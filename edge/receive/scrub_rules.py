"""The rules of what never leaves this machine: records to drop, texts to redact, keys to remove.

A rule is a table. All conditions of a drop rule must hold:

    [[edge.scrub]]
    name = "health checks"
    action = "drop"
    signals = ["logs"]
    severity_below = "warn"
    body_matches = "^GET /health "

    [[edge.scrub]]
    name = "mail addresses"
    action = "redact"
    patterns = ["email"]
    hash_key = "a secret of at least 16 characters"

    [[edge.scrub]]
    name = "passwords"
    action = "remove"
    keys_match = "(?i)passw(?:or)?d"
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from edge.receive.patterns import safe_pattern
from edge.receive.scrub_find import FINDERS, Finder, Replace, replacer
from shared.signals import SEVERITIES, Scalar, Signal

RULES_MAX = 100
LIST_MAX = 256
TEXT_CHARACTERS_MAX = 256
HASH_KEY_CHARACTERS_MIN = 16
REDACTED = "[redacted]"

LOG_SIGNALS = frozenset({Signal.LOGS, Signal.EVENTS})

_NAME = re.compile(r"[\w][\w .:-]{0,63}")

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class DropRule:
    """Drops the records of these signals that fulfil all conditions; without any, all records.

    A record of unknown severity is not below any. Of `keep_ratio`, the share to keep, the choice is
    the same on every machine: by trace id, or by the body of a record that has none.
    """

    name: str
    signals: frozenset[Signal]
    severity_below: int = 0
    name_matches: re.Pattern[str] | None = None
    body_matches: re.Pattern[str] | None = None
    attribute: str = ""
    equals: Scalar | None = None
    matches: re.Pattern[str] | None = None
    keep_ratio: float = 0.0


@dataclass(frozen=True, slots=True)
class RedactRule:
    """Replaces what is found in bodies and in attribute values, also within lists and maps."""

    name: str
    signals: frozenset[Signal]
    finders: tuple[Finder, ...]
    replace: Replace

    def redacted(self, text: str) -> str:
        """The text without what this rule looks for; the same object when there is nothing."""
        for finder in self.finders:
            text = finder.replace(text, self.replace)
        return text


@dataclass(frozen=True, slots=True)
class RemoveRule:
    """Removes attributes by their keys, also from maps within attributes and bodies."""

    name: str
    signals: frozenset[Signal]
    keys: frozenset[str]
    keys_match: re.Pattern[str] | None

    def removes(self, key: str) -> bool:
        """Whether an attribute with this key goes."""
        return key in self.keys or bool(self.keys_match and self.keys_match.search(key))


ScrubRule = DropRule | RedactRule | RemoveRule


def read_scrub_rules(value: object) -> tuple[ScrubRule, ...]:
    """Rules of a list of tables; raises ValueError, whose text completes "NAME must be ..."."""
    if not isinstance(value, list | tuple) or len(value) > RULES_MAX:
        raise ValueError(f"a list of at most {RULES_MAX} tables, each with a name and an action")
    rules: list[ScrubRule] = []
    for number, item in enumerate(value, start=1):
        try:
            rules.append(_rule(item, {rule.name for rule in rules}))
        except ValueError as error:
            raise ValueError(f"a list of rules, but rule {number}: {error}") from error
    return tuple(rules)


def _rule(item: object, taken: set[str]) -> ScrubRule:
    if not isinstance(item, dict):
        raise ValueError("it is not a table")
    name = _read(item, "name", _name)
    if name is None or name in taken:
        raise ValueError(f"name {name!r} is taken" if name else "name is missing")
    action = item.get("action")
    if not isinstance(action, str) or action not in _ACTIONS:
        raise ValueError(f"action must be one of {', '.join(_ACTIONS)}")
    keys, build = _ACTIONS[action]
    for key in item:
        if key not in keys and key not in ("name", "action", "signals"):
            raise ValueError(f"{key} is not known to {action}: known are {', '.join(keys)}")
    return build(name, _read(item, "signals", _signals), item)


def _read(item: Mapping[str, Any], key: str, read: Callable[[Any], Value]) -> Value | None:
    """A value of the table; None when it is absent."""
    if key not in item:
        return None
    try:
        return read(item[key])
    except ValueError as error:
        raise ValueError(f"{key} must be {error}") from error


def _drop(name: str, signals: frozenset[Signal] | None, item: Mapping[str, Any]) -> DropRule:
    if not signals:  # To lose data takes a clear word.
        raise ValueError("signals is missing: say which of them to drop records of")
    if ("severity_below" in item or "body_matches" in item) and not signals <= LOG_SIGNALS:
        raise ValueError("signals must be logs or events: others have neither severity nor body")
    if "keep_ratio" in item and Signal.METRICS in signals:
        raise ValueError("signals must not name metrics: they have no trace id to choose by")
    attribute = _read(item, "attribute", _text) or ""
    if bool(attribute) != ("equals" in item or "matches" in item):
        raise ValueError("attribute and either equals or matches must come together")
    if "equals" in item and "matches" in item:
        raise ValueError("equals and matches cannot both be given")
    return DropRule(
        name,
        signals,
        _read(item, "severity_below", _severity) or 0,
        _read(item, "name_matches", safe_pattern),
        _read(item, "body_matches", safe_pattern),
        attribute,
        _read(item, "equals", _scalar),
        _read(item, "matches", safe_pattern),
        _read(item, "keep_ratio", _ratio) or 0.0,
    )


def _redact(name: str, signals: frozenset[Signal] | None, item: Mapping[str, Any]) -> RedactRule:
    finders = list(_read(item, "patterns", _finders) or ())
    own = _read(item, "matches", safe_pattern)
    if own:
        finders.append(Finder(own))
    if not finders:
        raise ValueError("patterns or matches is missing: say what to look for")
    if "text" in item and "hash_key" in item:
        raise ValueError("text and hash_key cannot both be given")
    text = _read(item, "text", lambda value: _text(value, characters_min=0))
    hash_key = (_read(item, "hash_key", _hash_key) or "").encode()
    replace = replacer(REDACTED if text is None else text, hash_key)
    return RedactRule(name, signals or frozenset(Signal), tuple(finders), replace)


def _remove(name: str, signals: frozenset[Signal] | None, item: Mapping[str, Any]) -> RemoveRule:
    keys = frozenset(_read(item, "keys", _texts) or ())
    keys_match = _read(item, "keys_match", safe_pattern)
    if not keys and not keys_match:
        raise ValueError("keys or keys_match is missing: say what to remove")
    return RemoveRule(name, signals or frozenset(Signal), keys, keys_match)


_DROP_KEYS = (
    "severity_below",
    "name_matches",
    "body_matches",
    "attribute",
    "equals",
    "matches",
    "keep_ratio",
)
_ACTIONS: dict[str, tuple[tuple[str, ...], Callable[..., ScrubRule]]] = {
    "drop": (_DROP_KEYS, _drop),
    "redact": (("patterns", "matches", "text", "hash_key"), _redact),
    "remove": (("keys", "keys_match"), _remove),
}


def _name(value: object) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError("1 to 64 letters, digits, spaces, dots, colons and hyphens")
    return value


def _signals(value: object) -> frozenset[Signal]:
    names = ", ".join(Signal)
    if not isinstance(value, list | tuple) or not value or not set(map(str, value)) <= set(Signal):
        raise ValueError(f"a list of some of {names}")
    return frozenset(map(Signal, value))


def _severity(value: object) -> int:
    if not isinstance(value, str) or value not in SEVERITIES:
        raise ValueError(f"one of {', '.join(SEVERITIES)}")
    return SEVERITIES[value]


def _text(value: object, characters_min: int = 1) -> str:
    if not isinstance(value, str) or not characters_min <= len(value) <= TEXT_CHARACTERS_MAX:
        raise ValueError(f"a text of {characters_min} to {TEXT_CHARACTERS_MAX} characters")
    return value


def _texts(value: object) -> list[str]:
    if not isinstance(value, list | tuple) or not 0 < len(value) <= LIST_MAX:
        raise ValueError(f"a list of 1 to {LIST_MAX} texts")
    return [_text(each) for each in value]


def _hash_key(value: object) -> str:
    return _text(value, characters_min=HASH_KEY_CHARACTERS_MIN)


def _scalar(value: object) -> Scalar:
    if not isinstance(value, str | int | float):
        raise ValueError("a text, a number, true or false")
    return value


def _ratio(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise ValueError("a share between 0 and 1, as in 0.1")
    return float(value)


def _finders(value: object) -> list[Finder]:
    if not isinstance(value, list | tuple) or not value or not set(map(str, value)) <= set(FINDERS):
        raise ValueError(f"a list of some of {', '.join(FINDERS)}")
    return [FINDERS[name] for name in value]
