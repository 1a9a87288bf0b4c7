"""From what people write to values of settings: numbers, sizes, durations, paths, names, lists.

Each reader takes a text (flags, environment) or a native value (TOML) and raises ValueError, whose
text completes the sentence "NAME must be ...".
"""

import math
import re
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path

from shared.address import Address, parse_address, parse_addresses

NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62})")
SIZE_UNITS = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
SECOND_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

UTC_OFFSET_SECONDS_MAX = 14 * 3600.0
"""No zone is further from UTC."""

_QUANTITY = re.compile(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*([A-Za-z]*)\s*")


def text(value: object) -> str:
    """Any text."""
    if not isinstance(value, str):
        raise ValueError("a text")
    return value.strip()


def switch(value: object) -> bool:
    """Yes or no, in the usual spellings."""
    if isinstance(value, bool):
        return value
    spoken = str(value).strip().lower()
    if spoken in {"1", "true", "yes", "on"}:
        return True
    if spoken in {"0", "false", "no", "off"}:
        return False
    raise ValueError("1 or 0 (or true, false, yes, no, on, off)")


def port(value: object) -> int:
    """A port to listen on; 0 lets the system choose."""
    number = _number(value)
    if number is None or not 0 <= number <= 65535:
        raise ValueError("a whole number from 0 to 65535")
    return number


def count(least: int, most: int) -> Callable[[object], int]:
    """A reader of whole numbers within bounds."""

    def read(value: object) -> int:
        number = _number(value)
        if number is None or not least <= number <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return number

    return read


def _number(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"\s*\d{1,15}\s*", value, re.ASCII):
        return int(value)
    return None


def size_bytes(value: object) -> int:
    """A size such as 500MiB, 2GB or 1048576."""
    amount = _quantity(value, SIZE_UNITS)
    if amount is None:
        raise ValueError("a size such as 500MiB, 2GB or 1048576")
    return int(amount)


def seconds(value: object) -> float:
    """A duration such as 30s, 500ms, 2h or 10."""
    amount = _quantity(value, SECOND_UNITS)
    if amount is None:
        raise ValueError("a duration such as 30s, 500ms, 2h or 10")
    return float(amount)


def seconds_within(least: float, most: float) -> Callable[[object], float]:
    """A duration between two bounds, which are allowed too."""

    def read(value: object) -> float:
        found = seconds(value)
        if not least <= found <= most:
            raise ValueError(f"a duration of {least:g} s to {most:g} s")
        return found

    return read


def utc_offset_seconds(value: object) -> float:
    """How far local time is ahead of UTC (+) or behind it (-), as in 2h, +5.5h or -5h."""
    text = str(value).strip()
    try:
        offset = seconds(text[1:] if text[:1] in ("+", "-") else value)
    except ValueError:
        offset = math.inf
    if offset > UTC_OFFSET_SECONDS_MAX:
        raise ValueError("a difference to UTC such as 2h, +5.5h or -5h")
    return -offset if text.startswith("-") else offset


def _quantity(value: object, units: "dict[str, int] | dict[str, float]") -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    match = _QUANTITY.fullmatch(str(value))
    unit = units.get(match[2].lower()) if match else None
    if match is None or unit is None:
        return None
    # Whole numbers stay exact: a float cannot hold every count of bytes.
    return (int(match[1]) if match[1].isdigit() else float(match[1])) * unit


def path(value: object) -> Path:
    """A path; ~ means the home folder."""
    written = text(value)
    if not written or "\0" in written:
        raise ValueError("a path")
    try:
        return Path(written).expanduser()
    except RuntimeError as error:  # Of a user who has none.
        raise ValueError(f"a path, and nobody knows the home folder of {written[:100]}") from error


def paths(value: object) -> tuple[Path, ...]:
    """Paths, with commas between them or as a list."""
    return tuple(path(item) for item in _items(value) if item.strip())


def addresses(value: object) -> tuple[Address, ...]:
    """Addresses of hubs, with commas between them or as a list."""
    written = _items(value)
    try:
        return parse_addresses(written)
    except ValueError as error:
        raise ValueError(f"a list of addresses, but {error}") from error


def listening(default_port: int) -> Callable[[object], Address | None]:
    """An address of this machine to listen on; nothing when there is none."""

    def read(value: object) -> Address | None:
        written = text(value)
        try:
            return parse_address(written, default_port) if written else None
        except ValueError as error:
            raise ValueError(f"host:port, but {error}") from error

    return read


def shares(*names: str) -> Callable[[object], dict[str, float]]:
    """Parts of a whole, by name: a table, or NAME=0.1 with commas between."""

    def read(value: object) -> dict[str, float]:
        pairs = value.items() if isinstance(value, dict) else map(_pair, _items(value))
        return {key: share for key, share in map(read_one, pairs) if key}

    def read_one(pair: tuple[object, object]) -> tuple[str, float]:
        key, share = str(pair[0]).strip(), _quantity(pair[1], {"": 1.0})
        if key and (key not in names or share is None or not 0 <= share <= 1):
            raise ValueError(f"shares from 0 to 1 for {', '.join(names)}, as in {names[0]}=0.1")
        return key, share or 0.0

    return read


def _pair(item: str) -> tuple[str, str]:
    key, _, share = item.partition("=")
    return key, share


def _items(value: object) -> Iterable[str]:
    if isinstance(value, str):
        return value.split(",")
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return value
    raise ValueError("a list of texts, or one text with commas")


def commands(value: object) -> dict[str, tuple[str, ...]]:
    """Named command lines: a table of lists, or NAME=COMMAND LINE with semicolons between."""
    if isinstance(value, str):
        pairs = (item.partition("=") for item in value.split(";") if item.strip())
        value = {key.strip(): shlex.split(line) for key, _, line in pairs}
    if not isinstance(value, dict) or not all(map(_is_command, value.values())):
        raise ValueError("a table of command lines, as in: report=/usr/bin/python3 report.py")
    return {name(key): tuple(words) for key, words in value.items()}


def _is_command(words: object) -> bool:
    return isinstance(words, list) and bool(words) and all(isinstance(word, str) for word in words)


def name(value: object) -> str:
    """The name of a node or hub."""
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise ValueError(
            "a name of 1 to 63 characters: small letters, digits, '.', '_' and '-', "
            "with a letter or digit in front"
        )
    return value


def one_of(*allowed: str) -> Callable[[object], str]:
    """One word of a short list, whatever its case."""
    by_folded = {word.lower(): word for word in allowed}

    def read(value: object) -> str:
        word = by_folded.get(value.strip().lower()) if isinstance(value, str) else None
        if word is None:
            raise ValueError("one of " + ", ".join(allowed))
        return word

    return read
