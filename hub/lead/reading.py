"""Readers of the settings of leadership; each raises ValueError, completing "NAME must be ..."."""

import shlex
from collections.abc import Iterable
from urllib.parse import urlsplit

from hub.lead.mode import HUBS_MAX
from shared import readers


def hub_names(value: object) -> tuple[str, ...]:
    """Names of hubs, with commas between them or as a list; sorted, each once."""
    items: Iterable[object] = value.split(",") if isinstance(value, str) else _listed(value)
    texts = (item.strip() if isinstance(item, str) else item for item in items)
    names = {readers.name(text) for text in texts if text != ""}
    if len(names) > HUBS_MAX:
        raise ValueError(f"at most {HUBS_MAX} names of hubs")
    return tuple(sorted(names))


def _listed(value: object) -> list[object]:
    if not isinstance(value, list | tuple):
        raise ValueError("a list of names of hubs, or one text with commas")
    return list(value)


def command_words(value: object) -> tuple[str, ...]:
    """A command line, split as a shell would, though none is used; or a list of words."""
    if isinstance(value, list | tuple) and all(isinstance(word, str) for word in value):
        return tuple(value)
    try:
        return tuple(shlex.split(readers.text(value)))
    except ValueError as error:
        raise ValueError(f"a command line, but {error}") from error


def web_address(value: object) -> str:
    """An address that begins with http:// or https://, or nothing."""
    written = readers.text(value)
    if not written:
        return ""
    try:
        parts = urlsplit(written)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise ValueError("an address that begins with http:// or https://")
    return written
