"""Probes between hubs as they travel, and what a failed one says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.peering.detect_values import Failure, Life
from hub.peering.probe_wire import (
    Question,
    Reply,
    failure_of,
    read_question,
    read_reply,
    sign_of,
    write_probe,
)
from shared.errors import BadInput, HeadwaterError, TooLarge, Unreachable

SIGN = sign_of("hub-1", Life("instance", 3, 41))


def test_questions_and_answers_are_read_as_they_were_written() -> None:
    for question in (Question(SIGN), Question(SIGN, "hub-2", 0.5)):
        assert read_question(write_probe(question)) == question
    for reply in (Reply(SIGN), Reply(SIGN, sign_of("hub-2", Life("other", 1, 1)))):
        assert read_reply(write_probe(reply)) == reply
    assert SIGN.life == Life("instance", 3, 41)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"sender":{"hub":"hub 1","instance":"i","incarnation":1,"beat":1}}',
        b'{"sender":{"hub":"hub-1","instance":"i","incarnation":-1,"beat":1}}',
        b'{"sender":{"hub":"hub-1","instance":"i","incarnation":1e30,"beat":1}}',
        b'{"sender":{"hub":"hub-1","instance":"i","incarnation":1,"beat":1},"about":"http://x"}',
        b'{"sender":{"hub":"hub-1","instance":"i","incarnation":1,"beat":1},"timeout_seconds":0}',
        b'{"sender":{"hub":"hub-1","instance":"i","incarnation":1,"beat":1},"timeout_seconds":99}',
    ],
)
def test_a_question_that_makes_no_sense_is_refused(body: bytes) -> None:
    with pytest.raises(BadInput):
        read_question(body)


@given(st.binary(max_size=200))
def test_whatever_comes_raises_nothing_else(body: bytes) -> None:
    for read in (read_question, read_reply):
        try:
            read(body)
        except BadInput:
            continue


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (Unreachable("x", "refused", sent=False, kind="refused"), Failure.REFUSED),
        (Unreachable("x", "no route", sent=False, kind="unroutable"), Failure.UNROUTABLE),
        (Unreachable("x", "HTTP 503", sent=True, kind="answered"), Failure.UNUSABLE),
        (Unreachable("x", "time is up", sent=True), Failure.TIMEOUT),
        (BadInput("not JSON"), Failure.UNUSABLE),
        (TooLarge("the answer", 9), Failure.UNUSABLE),
    ],
)
def test_each_way_to_fail_says_something_else_of_the_peer(
    error: HeadwaterError, failure: Failure
) -> None:
    assert failure_of(error) is failure
