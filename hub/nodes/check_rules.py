"""What an active check is, as a person writes it, and which hub runs it. No commands, no surprises:

a check connects to the host that an operator wrote, or to the address at which hubs see the node; it
never follows a redirect, and what it shows of a target has no query and no credentials.
"""

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args
from urllib.parse import SplitResult, urlsplit

import msgspec
from msgspec import Meta

from shared.errors import BadInput

CHECKS = "checks"
"""The field of a node's intent that holds its checks."""

CHECKS_MAX = 16
SCANNED_BYTES_MAX = 64 * 1024
DEFAULT_PORTS = {"http": 80, "https": 443}

CheckName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}\Z")]
Status = Annotated[int, Meta(ge=100, le=599)]
Kind = Literal["tcp", "http", "https"]
Method = Literal["GET", "HEAD"]
CHOICES = {"kind": get_args(Kind), "method": get_args(Method)}
"""The fields with few good values: an error names them all."""


class CheckSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A check as it is written: `target` is host:port, or host:port/path for HTTP.

    Without a host the node's own address is meant: `:22`, `:8080/healthz`.
    """

    name: CheckName
    kind: Kind
    target: Annotated[str, Meta(min_length=1, max_length=500)]
    interval_s: Annotated[float, Meta(ge=5, le=86_400)] = 60.0
    timeout_s: Annotated[float, Meta(ge=0.1, le=30)] = 5.0
    method: Method = "GET"
    status: Annotated[list[Status], Meta(min_length=1, max_length=20)] | None = None
    """Which statuses are good; all from 200 to 399 when nothing is said."""
    text: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    """What the first 64 KiB of the answer must hold."""
    cert_days_min: Annotated[int, Meta(ge=0, le=3650)] = 0
    """With how many days left a certificate is reported."""
    tls_verify: bool = True


@dataclass(frozen=True, slots=True)
class Target:
    """Where a check goes. `host` is empty for the node's own address; `path` may hold a query."""

    host: str
    port: int
    path: str = ""

    def shown(self, host: str) -> str:
        """As people may see it: without the query, which may hold a secret."""
        literal = f"[{host}]" if ":" in host else host
        return f"{literal}:{self.port}{self.path.partition('?')[0]}"


@dataclass(frozen=True, slots=True)
class Check:
    """A check that can be run."""

    spec: CheckSpec
    target: Target

    @property
    def name(self) -> str:
        """The name of it, one per node."""
        return self.spec.name


def read_checks(value: Any) -> tuple[Check, ...]:
    """The checks of a node from what is stored or sent; raises BadInput that names the wrong one."""
    if not isinstance(value, list | tuple):
        raise BadInput("checks must be a list")
    if len(value) > CHECKS_MAX:
        raise BadInput(f"a node has at most {CHECKS_MAX} checks, not {len(value)}")
    checks = tuple(_read(number, each) for number, each in enumerate(value, 1))
    names = [check.name for check in checks]
    double = next((name for name in names if names.count(name) > 1), None)
    if double:
        raise BadInput(f"two checks are called {double}")
    return checks


def _check_choices(number: int, value: Any) -> None:
    """Raises BadInput that names the good values."""
    given = value if isinstance(value, Mapping) else {}
    for name, good in CHOICES.items():
        if name in given and given[name] not in good:
            known = f"{', '.join(good[:-1])} or {good[-1]}"
            raise BadInput(f"check {number}: {name} must be {known}, not {str(given[name])[:40]!r}")


def _read(number: int, value: Any) -> Check:
    _check_choices(number, value)
    try:
        spec = msgspec.convert(value, CheckSpec)
    except msgspec.ValidationError as error:
        raise BadInput(f"check {number}: {error}") from error
    if spec.kind == "tcp" and (spec.text or spec.status or spec.method != "GET"):
        raise BadInput(f"check {spec.name}: a TCP check has no method, status and text")
    if spec.timeout_s > spec.interval_s:
        raise BadInput(f"check {spec.name}: timeout_s is longer than interval_s")
    if spec.method == "HEAD" and spec.text:
        raise BadInput(f"check {spec.name}: an answer to HEAD has no text")
    return Check(spec, _target(spec))


def _target(spec: CheckSpec) -> Target:
    wrong = f"check {spec.name}: target must be host:port or :port"
    if spec.kind != "tcp":
        wrong += ", and a path may follow"
    if "://" in spec.target.partition("?")[0] or not spec.target.isprintable():
        raise BadInput(wrong)
    try:
        parts = urlsplit(f"//{spec.target}")
        host, port = parts.hostname or "", parts.port or DEFAULT_PORTS.get(spec.kind, 0)
    except ValueError as error:
        raise BadInput(wrong) from error
    if "@" in parts.netloc:
        raise BadInput(f"check {spec.name}: a target holds no user name or password")
    if not port or not _is_host(host) or parts.fragment or not spec.target.isascii():
        raise BadInput(wrong)
    path = _path(parts)
    if spec.kind == "tcp" and path:
        raise BadInput(wrong)
    return Target(host, port, path or ("" if spec.kind == "tcp" else "/"))


def _path(parts: SplitResult) -> str:
    query = f"?{parts.query}" if parts.query else ""
    return (parts.path or "/" if query else parts.path) + query


def _is_host(host: str) -> bool:
    if ":" in host:
        return _address(host) is not None
    return len(host) <= 253 and not set(host) - set("abcdefghijklmnopqrstuvwxyz0123456789.-_")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def host_of(check: Check, node_address: str | None) -> str:
    """Where this check goes; raises BadInput when it needs the node's address and has no good one.

    The address must be the one at which a hub sees the node, not one that the node tells of itself.
    A node could send its hubs to a metadata service by a link-local one, so such are not taken.
    """
    if check.target.host:
        return check.target.host
    address = _address(node_address) if node_address else None
    if address is None:
        raise BadInput("no hub knows an address of this node: write a host into the target")
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        raise BadInput(f"{address} is no address to check: write a host into the target")
    return str(address)


def runner_of(node: str, check: str, live_hubs: Iterable[str]) -> str | None:
    """Which live hub runs a check: the same on all hubs that see the same ones alive; None of none.

    Rendezvous hashing (Thaler and Ravishankar, 1998): a hub that dies passes on its own checks only.
    """
    return max(live_hubs, key=lambda hub: (_weight(hub, node, check), hub), default=None)


def _weight(hub: str, node: str, check: str) -> bytes:
    return hashlib.blake2b(f"{hub}\0{node}\0{check}".encode(), digest_size=8).digest()


def phase_seconds(node: str, check: str, interval_seconds: float) -> float:
    """When within its interval a check runs first: a fleet's checks are spread, whoever runs them."""
    number = int.from_bytes(_weight("", node, check), "big")
    return number / 2**64 * interval_seconds


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run of a check ended. `message` is one sentence without secrets."""

    ok: bool
    message: str
    took_seconds: float | None = None
    """Until the answer was judged; None when there was none."""
    status: int | None = None
    cert_days: int | None = None
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """How a run went, where and when."""

    node: str
    check: Check
    host: str
    outcome: Outcome
    at_ms: int


def judge_http(
    spec: CheckSpec, status: int, body: bytes, took_seconds: float, cert_days: int | None
) -> Outcome:
    """Judge an HTTP answer by what the check asks for."""
    message = _http_trouble(spec, status, body, cert_days)
    return Outcome(not message, message or f"status {status}", took_seconds, status, cert_days)


def _http_trouble(spec: CheckSpec, status: int, body: bytes, cert_days: int | None) -> str:
    good: Sequence[int] = spec.status or range(200, 400)
    if status not in good:
        return f"status {status} is not one of {_named(spec.status)}"
    if spec.text is not None and spec.text.encode() not in body[:SCANNED_BYTES_MAX]:
        return f"status {status}, but the text is not in the first 64 KiB"
    if cert_days is not None and cert_days < spec.cert_days_min:
        return f"the certificate ends in {cert_days} days"
    return ""


def _named(statuses: Sequence[int] | None) -> str:
    return ", ".join(map(str, statuses)) if statuses else "200 to 399"
