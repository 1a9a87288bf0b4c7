"""What the tests of buffer, store and links share: a real runtime and real parts."""

import time
from collections.abc import Callable
from random import Random

import pytest

from shared.benchmarks.bodies import log_body
from shared.otlp import read_part
from shared.records import Part, Signal
from shared.runtime import Duplex, HttpClient, Runtime


def _no_client() -> HttpClient:
    raise AssertionError("this test must not use the network")


async def _no_link(url: str, headers: dict[str, str]) -> Duplex:
    raise AssertionError(f"this test must not dial {url}")


@pytest.fixture
def runtime() -> Runtime:
    """The real clock and real threads, and no network."""
    return Runtime(wall_ns=time.time_ns, rng=Random(1), http=_no_client, dial=_no_link)


@pytest.fixture
def log_part() -> Callable[[int], Part]:
    """Makes a part with so many log records."""

    def make(records: int) -> Part:
        body = log_body(records, 0, time.time_ns())
        return read_part(Signal.LOGS, "application/x-protobuf", body)

    return make
