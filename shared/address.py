"""Addresses of hubs as people write them: a host, host:port, [v6]:port, or a whole URL."""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

HUB_PORT = 8470  # One port for everything a hub offers; not assigned to anybody else.
OTLP_PORT = (
    4318  # Where every OpenTelemetry SDK sends by default (OTLP 1.11, "OTLP/HTTP default port").
)

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?")
_SCHEME_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a hub can be reached."""

    host: str
    port: int
    scheme: str = "http"

    @property
    def url(self) -> str:
        """The address as a URL without a path."""
        return f"{self.scheme}://{bracketed(self.host)}:{self.port}"

    def __str__(self) -> str:
        return self.url if self.scheme != "http" else f"{bracketed(self.host)}:{self.port}"


def bracketed(host: str) -> str:
    """The host as it stands in a URL: IPv6 addresses wear brackets (RFC 3986, 3.2.2)."""
    return f"[{host}]" if ":" in host else host


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


def is_wildcard(host: str) -> bool:
    """Whether the host means every address of this machine."""
    return host in {"0.0.0.0", "::"}  # noqa: S104  # Compared with, not bound to.


def as_seen_here(host: str) -> str:
    """Where this machine reaches a server that listens on the host."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # Not bound to.


def parse_address(text: str, default_port: int = HUB_PORT) -> Address:
    """Read one address; raises ValueError with a sentence.

    A URL without a port means the port of its scheme, anything else without one `default_port`.
    """
    wanted = text.strip()
    if "://" in wanted:
        return _from_url(wanted)
    if _is_v6(wanted):
        return Address(wanted, default_port)
    parts = _split(wanted, f"//{wanted}")
    return Address(_host(wanted, parts), _port(wanted, parts, default_port))


def parse_addresses(texts: Iterable[str], default_port: int = HUB_PORT) -> tuple[Address, ...]:
    """Read a list, in its order and without repetitions; raises ValueError with a sentence."""
    read = (parse_address(text, default_port) for text in texts if text.strip())
    return tuple(dict.fromkeys(read))


def _from_url(wanted: str) -> Address:
    parts = _split(wanted, wanted)
    if parts.scheme not in _SCHEME_PORTS:
        raise ValueError(f"{wanted!r} must start with http:// or https://")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError(f"{wanted!r} must be an address without a path")
    port = _port(wanted, parts, _SCHEME_PORTS[parts.scheme])
    return Address(_host(wanted, parts), port, parts.scheme)


def _split(wanted: str, url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ValueError(f"{wanted!r} is not an address: {error}") from error
    if "@" in parts.netloc:
        raise ValueError(f"{wanted!r} must not carry a user name or password")
    return parts


def _host(wanted: str, parts: SplitResult) -> str:
    host = parts.hostname or ""
    if parts.path not in {"", "/"} or not (_HOST.fullmatch(host) or _is_v6(host)):
        raise ValueError(f"{wanted!r} is not an address: write host, host:port or [v6]:port")
    return host


def _port(wanted: str, parts: SplitResult, default_port: int) -> int:
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.netloc.endswith(":") or (port is not None and not 1 <= port <= 65535):
        raise ValueError(f"{wanted!r} needs a port from 1 to 65535 after the colon")
    return default_port if port is None else port


def _is_v6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).version == 6
    except ValueError:
        return False
