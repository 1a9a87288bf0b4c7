"""Where the owner of a node lets images come from, as people write it: folders and addresses.

Each reader raises ValueError, whose text completes the sentence "NAME must be ...".
"""

from collections.abc import Iterable
from pathlib import Path

from edge.vm.image_sources import read_address
from shared import readers
from shared.errors import Refused

FOLDERS = "folders by their whole paths, as in /srv/images, with commas between"
PREFIXES = "http or https addresses, as in https://images.example.org/debian/, with commas between"
SHOWN_CHARACTERS_MAX = 200


def read_folders(value: object) -> tuple[str, ...]:
    """Folders below which images may be imported from; repetitions are left out."""
    return tuple(dict.fromkeys(_folder(item) for item in _items(value, FOLDERS)))


def read_prefixes(value: object) -> tuple[str, ...]:
    """Addresses below which images may be fetched; repetitions are left out."""
    return tuple(dict.fromkeys(_prefix(item) for item in _items(value, PREFIXES)))


def _items(value: object, wanted: str) -> Iterable[str]:
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError(wanted)
    return [item.strip() for item in value if item.strip()]


def _folder(item: str) -> str:
    path = readers.path(item)
    shown = str(path)[:SHOWN_CHARACTERS_MAX]
    # The agent's own folder may change; a path that depends on it would allow something else then.
    if not path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{FOLDERS}, but {shown!r} is none")
    if path == Path("/"):
        raise ValueError(
            f"{FOLDERS}, but / is this whole machine, its keys too: name a folder in it"
        )
    return str(path)


def _prefix(item: str) -> str:
    try:
        address = read_address(item)
    except Refused as error:
        shown = repr(item[:SHOWN_CHARACTERS_MAX])
        raise ValueError(f"{PREFIXES}, but of {shown}: {error}{_advice(item)}") from error
    if address.shown != address.text:
        raise ValueError(f"{PREFIXES}, but {address.shown!r} is followed by a query: leave it out")
    return item


def _advice(item: str) -> str:
    """For who leaves out the path of a whole host, which should be said out loud."""
    try:
        whole = read_address(f"{item}/")
    except Refused:
        return ""
    return f"; {whole.shown} allows all that is there"
