"""Messages in a TCP stream: each case whole, byte by byte, and with bytes of the next one."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.receive.syslog_frames import BadFrame, Frames

BYTES_MAX = 100


def counted(message: bytes) -> bytes:
    return b"%d %s" % (len(message), message)


def frames_of(*pieces: bytes) -> tuple[list[bytes], tuple[bytes, bool], str]:
    """The messages of a stream that comes in pieces, its rest, and why it cannot be read on."""
    frames, taken = Frames(BYTES_MAX), []
    try:
        for piece in pieces:
            frames.feed(piece)
            while some := frames.take(2):
                taken += some
    except BadFrame as error:
        return taken, frames.rest(), error.reason
    return taken, frames.rest(), ""


CASES = [
    (b"<1>a\n", [b"<1>a"]),
    (b"<1>a\0", [b"<1>a"]),
    (b"<1>a\r\n<2>b\n", [b"<1>a", b"<2>b"]),
    (b"4 <1>a4 <2>b", [b"<1>a", b"<2>b"]),
    (b"4 <1>a\n4 <2>b\r\n", [b"<1>a", b"<2>b"]),
    (b"6 <1>a\nb<2>c\n", [b"<1>a\nb", b"<2>c"]),
    (b"<1>a\n4 <2>b<3>c\0" + b"4 <4>d", [b"<1>a", b"<2>b", b"<3>c", b"<4>d"]),
    (b"\n\0\r\n<1>a\n\n\n", [b"<1>a"]),
    (b"42 is the answer\n", [b"42 is the answer"]),
    (b"2026-11-21T10:00:00Z host app: x\n", [b"2026-11-21T10:00:00Z host app: x"]),
    (b"1234567890 <1>a\n", [b"1234567890 <1>a"]),
    (b"007 <1>a\n", [b"007 <1>a"]),
    (b"12\n", [b"12"]),
    (b"1 <", [b"<"]),
    (counted(b"<" + b"x" * (BYTES_MAX - 1)), [b"<" + b"x" * (BYTES_MAX - 1)]),
    (b"y" * BYTES_MAX + b"\n", [b"y" * BYTES_MAX]),
]


@pytest.mark.parametrize(("stream", "messages"), CASES)
def test_messages_are_found_however_the_stream_is_cut(stream: bytes, messages: list[bytes]) -> None:
    """Whole, byte by byte, and with the beginning of another message after it."""
    assert frames_of(stream) == (messages, (b"", False), "")
    assert frames_of(*(bytes([byte]) for byte in stream)) == (messages, (b"", False), "")
    assert frames_of(stream + b"<9>beg") == (messages, (b"<9>beg", False), "")
    assert frames_of(stream + b"20 <9>beg") == (messages, (b"<9>beg", True), "")


@pytest.mark.parametrize(
    ("stream", "messages", "rest", "reason"),
    [
        (b"101 <1>a", [], b"<1>a", "too_large"),
        (b"<1>a\n999999999 <2>b", [b"<1>a"], b"<2>b", "too_large"),
        (b"x" * 101, [], b"x" * 100, "too_large"),
        (b"<1>a\n" + b"x" * 150 + b"\n<2>b\n", [b"<1>a"], b"x" * 100, "too_large"),
        (b"4 <1>abc", [b"<1>a"], b"bc", "out_of_step"),
        (b"4 <1>a2026-11", [b"<1>a"], b"2026-11", "out_of_step"),
    ],
)
def test_a_stream_that_cannot_be_read_on_says_why_and_gives_what_came_before(
    stream: bytes, messages: list[bytes], rest: bytes, reason: str
) -> None:
    taken, (left, _), why = frames_of(stream)
    assert (taken, left, why) == (messages, rest, reason)
    assert frames_of(*(bytes([byte]) for byte in stream))[::2] == (messages, reason)


def test_the_error_comes_again_and_only_after_the_good_frames() -> None:
    frames = Frames(BYTES_MAX)
    frames.feed(b"<1>a\n<2>b\n" + b"x" * 200)
    assert frames.take(1) == [b"<1>a"]
    assert frames.take(9) == [b"<2>b"]
    for _ in range(2):
        with pytest.raises(BadFrame, match="100 bytes"):
            frames.take(9)


MESSAGES = st.lists(
    st.tuples(st.sampled_from(["count", "lf", "nul"]), st.binary(max_size=30)), max_size=10
)


@settings(deadline=None)
@given(MESSAGES, st.lists(st.integers(0, 400), max_size=8))
def test_what_a_sender_frames_is_what_comes_out(
    messages: list[tuple[str, bytes]], cuts: list[int]
) -> None:
    """Both kinds of framing mixed, and the stream cut anywhere."""
    stream, sent = b"", []
    for kind, tail in messages:
        if kind == "count":
            sent.append(b"<5>" + tail)
            stream += counted(sent[-1])
        else:
            sent.append(b"<5>" + tail.translate(None, b"\r\n\0"))
            stream += sent[-1] + (b"\n" if kind == "lf" else b"\0")
    places = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(places)]
    assert frames_of(*pieces) == (sent, (b"", False), "")


TOKENS = st.sampled_from(
    [b"4 <1>a", b"12 ", b"9", b"0", b" ", b"<", b"<1>", b"\n", b"\r", b"\0", b"x" * 60]
)


@settings(deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=80), TOKENS), max_size=12))
def test_any_bytes_are_taken_apart_alike_however_they_come(pieces: list[bytes]) -> None:
    """Nothing but BadFrame is raised, and no frame passes the limit."""
    taken, (rest, _), reason = frames_of(b"".join(pieces))
    again, _, why = frames_of(*pieces)
    assert (taken, reason) == (again, why)
    assert all(0 < len(frame) <= BYTES_MAX for frame in taken)
    assert len(rest) <= BYTES_MAX
