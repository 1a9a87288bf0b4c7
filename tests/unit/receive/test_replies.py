"""Every way that a request can end has its status, its code and its word."""

import json

import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # Ships no types.

from shared.errors import (
    BadInput,
    BufferFull,
    HeadwaterError,
    SettingsError,
    TooLarge,
    Unavailable,
    UnsupportedType,
)
from shared.receive.body import HeldBytes, declared_bytes
from shared.receive.replies import refuse_error, retry_after_seconds, stored
from shared.receive.sink import Overloaded


@pytest.mark.parametrize(
    ("error", "status", "code", "reason"),
    [
        (BadInput("no"), 400, 3, "bad_data"),
        (TooLarge("the body", 5), 413, 3, "too_large"),
        (UnsupportedType("no"), 415, 3, "unsupported_type"),
        (BufferFull("full", 5), 503, 14, "busy"),
        (Unavailable("later"), 503, 14, "busy"),
        (Overloaded("slow down"), 429, 8, "pressed"),
    ],
)
def test_each_error_has_its_status_and_code(
    error: HeadwaterError, status: int, code: int, reason: str
) -> None:
    in_json, in_proto = refuse_error(error, json=True), refuse_error(error, json=False)
    assert (in_json.status, in_json.outcome, in_json.reason) == (status, "refused", reason)
    assert json.loads(in_json.body) == {"code": code, "message": str(error)}
    assert Status.FromString(in_proto.body) == Status(code=code, message=str(error))
    assert in_json.content_type == "application/json"
    assert in_proto.content_type == "application/x-protobuf"


def test_an_error_that_no_request_can_cause_is_not_hidden() -> None:
    with pytest.raises(SettingsError):
        refuse_error(SettingsError("ours"), json=True)


@pytest.mark.parametrize(("seconds", "whole"), [(0, 1), (0.2, 1), (1, 1), (1.01, 2), (30, 30)])
def test_retry_after_is_whole_seconds_and_never_zero(seconds: float, whole: int) -> None:
    assert retry_after_seconds(seconds) == whole
    answer = refuse_error(BufferFull("full", seconds), json=True)
    assert answer.headers == (("retry-after", str(whole)),)


def test_only_what_may_succeed_later_says_when_to_retry() -> None:
    assert refuse_error(BadInput("no"), json=True).headers == ()
    assert stored(b"", json=False).headers == ()


@pytest.mark.parametrize("value", ["", "-1", "+5", "1.5", "five", "²", "9" * 20, " 7"])
def test_a_content_length_that_is_no_size_is_bad_input(value: str) -> None:
    with pytest.raises(BadInput, match="is not a size"):
        declared_bytes(value, 10)


def test_a_content_length_is_held_against_the_limit() -> None:
    assert declared_bytes(None, 10) == 0
    assert declared_bytes("10", 10) == 10
    with pytest.raises(TooLarge):
        declared_bytes("11", 10)


def test_held_bytes_are_bounded_and_given_back() -> None:
    held = HeldBytes(100)
    with held.lease() as first, held.lease() as second:
        first.grow_to(60)
        first.grow_to(50)
        with pytest.raises(Unavailable):
            second.grow_to(41)
        second.grow_to(40)
        assert held.bytes == 100
    assert held.bytes == 0
