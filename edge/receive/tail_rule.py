"""The rules of the file tail: which files, and how their lines are read.

Only the standard library is needed here, since settings are checked before anything is installed.
"""

import os
from dataclasses import dataclass

from edge.receive.lines import ENCODINGS
from edge.receive.multiline import grammar_of

RULES_MAX = 256
PATTERN_CHARACTERS_MAX = 1024

_KEYS = frozenset({"pattern", "exclude", "multiline", "encoding"})


@dataclass(frozen=True, slots=True)
class TailRule:
    """Files to follow, and how their lines are read.

    An `exclude` pattern without a slash is that of a file name. `multiline` is "", the name of a
    grammar ("python", "java", "go"), or a regular expression for the first line of a record.
    """

    pattern: str
    exclude: tuple[str, ...] = ()
    multiline: str = ""
    encoding: str = "utf-8"


def read_tail_rules(value: object) -> tuple[TailRule, ...]:
    """Rules as a text ("/a.log,/b/*.log"), a list of texts, or a list of tables.

    Raises ValueError, whose text completes "NAME must be ...".
    """
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise ValueError('log files, as in "/a.log,/b/*.log", or a list of tables with a pattern')
    wanted = [item for item in items if not isinstance(item, str) or item.strip()]
    if len(wanted) > RULES_MAX:
        raise ValueError(f"a list of at most {RULES_MAX} patterns")
    return tuple(_rule(item, number) for number, item in enumerate(wanted, start=1))


def _rule(item: object, number: int) -> TailRule:
    try:
        if isinstance(item, str):
            return TailRule(_pattern(item, "pattern"))
        return _rule_of_table(item)
    except ValueError as error:
        raise ValueError(f"a list of log files, but entry {number}: {error}") from error


def _rule_of_table(item: object) -> TailRule:
    if not isinstance(item, dict):
        raise ValueError("it is neither a text nor a table")
    for key in item:
        if key not in _KEYS:
            raise ValueError(f"{key} is not known: known are {', '.join(sorted(_KEYS))}")
    if "pattern" not in item:
        raise ValueError("pattern is missing")
    return TailRule(
        _pattern(item["pattern"], "pattern"),
        _exclude(item.get("exclude", [])),
        _multiline(item.get("multiline", "")),
        _encoding(item.get("encoding", "utf-8")),
    )


def _exclude(value: object) -> tuple[str, ...]:
    patterns = value.split(",") if isinstance(value, str) else value
    if not isinstance(patterns, list | tuple) or len(patterns) > RULES_MAX:
        raise ValueError(f"exclude must be a list of at most {RULES_MAX} patterns")
    return tuple(_pattern(text, "exclude") for text in patterns)


def _multiline(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("multiline must be a text")
    grammar_of(value)
    return value


def _encoding(value: object) -> str:
    if not isinstance(value, str) or value.lower() not in ENCODINGS:
        raise ValueError(f"encoding must be one of {', '.join(ENCODINGS)}")
    return value.lower()


def _pattern(value: object, key: str) -> str:
    written = value.strip() if isinstance(value, str) else ""
    if not written or "\0" in written or len(written) > PATTERN_CHARACTERS_MAX:
        raise ValueError(f"{key} must be a path of 1 to {PATTERN_CHARACTERS_MAX} characters")
    if written.split("/").count("**") > 2:  # More make the search slow and find nothing else.
        raise ValueError(f"{key} must not have ** more than twice")
    return os.path.expanduser(written)
