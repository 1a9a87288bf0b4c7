"""The targets of the scrape, as people write them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from shared.address import Address, bracketed, parse_address

METRICS_PATH = "/metrics"
URL_CHARACTERS_MAX = 2000  # Longer ones are mistakes, and many servers refuse them.

_JOB = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]{0,62})=(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Target:
    """One page of metrics. `job` says what it is; it is `instance` when nobody said."""

    job: str
    address: Address
    path: str = METRICS_PATH
    """With the query, if any."""

    @property
    def instance(self) -> str:
        """Host and port, as the label of Prometheus has it."""
        return f"{bracketed(self.address.host)}:{self.address.port}"

    @property
    def url(self) -> str:
        """Where to ask."""
        return f"{self.address.url}{self.path}"

    @property
    def resource(self) -> dict[str, str | int]:
        """Who speaks, in the names of OpenTelemetry's compatibility with Prometheus."""
        told: dict[str, str | int] = {
            "service.name": self.job,
            "service.instance.id": self.instance,
            "server.address": self.address.host,
            "server.port": self.address.port,
            "url.scheme": self.address.scheme,
        }
        # Two pages of one server must not become the same series.
        return told if self.path == METRICS_PATH else {**told, "url.path": self.path}


def read_targets(value: object) -> tuple[Target, ...]:
    """Targets as URL, HOST:PORT or HOST:PORT/PATH, with commas between them or as a list.

    JOB= in front names the job. Without a path /metrics is asked for. Repetitions are left out.
    Raises ValueError, whose text completes "NAME must be ...".
    """
    try:
        read = (_target(item.strip()) for item in _items(value) if item.strip())
        return tuple(dict.fromkeys(read))
    except ValueError as error:
        raise ValueError(
            f"a list of targets such as node=127.0.0.1:9100 or http://host:8080/metrics, but {error}"
        ) from error


def _items(value: object) -> Iterable[str]:
    if isinstance(value, str):
        return value.split(",")
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return value
    raise ValueError("this is neither a list of texts nor one text with commas")


def _target(written: str) -> Target:
    named = _JOB.fullmatch(written)
    job, where = (named[1], named[2].strip()) if named else ("", written)
    parts = _split(where)
    if parts.fragment:
        raise ValueError(f"{where!r} must not have a fragment after '#'")
    address = parse_address(f"{parts.scheme}://{parts.netloc}")
    query = f"?{parts.query}" if parts.query else ""
    target = Target(job, address, (parts.path or METRICS_PATH) + query)
    return target if job else Target(target.instance, address, target.path)


def _split(where: str) -> SplitResult:
    if len(where) > URL_CHARACTERS_MAX:
        raise ValueError(f"{where[:40]!r}... is longer than {URL_CHARACTERS_MAX} characters")
    # urlsplit would drop line ends and tabs without a word.
    if not where.isascii() or not where.isprintable() or " " in where:
        raise ValueError(f"{where!r} must be written in ASCII and without spaces")
    try:
        return urlsplit(where if "://" in where else f"http://{where}")
    except ValueError as error:
        raise ValueError(f"{where!r} is not a target: {error}") from error
