"""Where images may come from: addresses below the prefixes, and paths below the folders, that the
node's own settings name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urljoin, urlsplit

from shared.errors import Refused

URL_CHARACTERS_MAX = 2048
# Deliberately narrower than RFC 3986: what two parsers could read in two ways is not fetched.
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])"
    r"(:(?P<port>[1-9][0-9]{0,4}))?(?P<path>/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)"
    r"(?P<query>\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?"
)
_PORTS = {"http": 80, "https": 443}
_BAD_IN_SEGMENT = frozenset("/\\\0")


@dataclass(frozen=True, slots=True)
class Address:
    """A URL that can be read in one way only."""

    text: str
    origin: tuple[str, str, int]
    path: str

    @property
    def shown(self) -> str:
        """Without the query, which may hold a secret."""
        return self.text.partition("?")[0]


def read_address(text: str) -> Address:
    """Raises Refused for anything but a plain http or https address without dot segments."""
    found = _URL.fullmatch(text) if len(text) <= URL_CHARACTERS_MAX else None
    if found is None:
        raise Refused("the address is no plain http or https URL")
    path, scheme = found["path"], found["scheme"]
    port = int(found["port"] or _PORTS[scheme])
    segments = [unquote(segment) for segment in path.split("/")]
    if any(segment in (".", "..") or _BAD_IN_SEGMENT & set(segment) for segment in segments):
        raise Refused("the address has segments that lead elsewhere")
    if port > 65_535:
        raise Refused(f"the address names the port {port}, which cannot be")
    return Address(text, (scheme, found["host"], port), path)


def allowed_address(text: str, prefixes: Sequence[str]) -> Address:
    """The address, if it lies below one of the prefixes; raises Refused, which names them."""
    address = read_address(text)
    if not any(_is_below(address, read_address(prefix)) for prefix in prefixes):
        names = ", ".join(prefixes) or "none: set image_urls"
        raise Refused(f"{address.shown} is below no address that this node allows ({names})")
    return address


def next_address(address: Address, location: str, prefixes: Sequence[str]) -> Address:
    """Where a redirect leads; raises Refused when that is not allowed."""
    try:
        target = urljoin(address.text, location)
        target = urlsplit(target)._replace(fragment="").geturl()
    except ValueError as error:
        raise Refused("the address redirects to what is no URL") from error
    return allowed_address(target, prefixes)


def _is_below(address: Address, prefix: Address) -> bool:
    if address.origin != prefix.origin:
        return False
    if prefix.path.endswith("/"):
        return address.path.startswith(prefix.path)
    return address.path == prefix.path or address.path.startswith(prefix.path + "/")


def split_path(path: str, folders: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The allowed folder that a path begins with, and the names below it, `..` among them; raises
    Refused. Whether the names stay inside is only seen while they are opened."""
    parts = PurePosixPath(path).parts
    if not path.startswith("/") or "\0" in path:
        raise Refused("the path must be absolute")
    for folder in sorted(folders, key=len, reverse=True):
        above = PurePosixPath(folder).parts
        if parts[: len(above)] == above and len(parts) > len(above):
            return folder, parts[len(above) :]
    names = ", ".join(folders) or "none: set image_folders"
    raise Refused(f"{path} is below no folder that this node allows ({names})")
