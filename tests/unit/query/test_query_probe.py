"""The prefilter never drops a hit."""

from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub.query.log_attributes import attribute_test
from hub.query.log_filter import LogFilter
from hub.query.probe import Probe
from shared.otlp_log_entries import log_entries
from shared.records import Encoding
from tests.examples import examples
from tests.unit.query.stock import log, logs, to_json

texts = st.text(st.sampled_from('aAéÉ"\\/\n\t\x00\x7f ß日😀uU0'), max_size=6)


def bodies(text: str) -> list[tuple[Encoding, bytes]]:
    """One record in every way that a sender may write it."""
    request = logs([log(1, text, attributes={text: 1})], service=text)
    plain = to_json(request)
    import json

    escaped = json.dumps(orjson.loads(plain)).encode()
    slashes = plain.replace(b"/", b"\\/")
    all_escaped = orjson.dumps(orjson.loads(plain))
    for letter in set(text):
        if letter.isascii() and letter.isalpha():
            all_escaped = all_escaped.replace(
                b'Value":"' + letter.encode(), b'Value":"\\u%04x' % ord(letter)
            )
    return [
        (Encoding.PROTO, request.SerializeToString()),
        *((Encoding.JSON, b"[" + body + b"]") for body in (plain, escaped, slashes, all_escaped)),
    ]  # fmt: skip


@settings(max_examples=examples(300), deadline=None)
@given(text=texts, start=st.integers(0, 5), length=st.integers(1, 6), upper=st.booleans())
@example(text='a"b', start=0, length=3, upper=False)
@example(text="/var/log", start=0, length=8, upper=False)
def test_whatever_the_record_matches_the_probe_lets_through(
    text: str, start: int, length: int, upper: bool
) -> None:
    needle = text[start : start + length]
    if upper:
        needle = "".join(c.upper() if c.isascii() else c for c in needle)
    wanted = LogFilter(
        text=needle, services=frozenset({text}), attributes=(attribute_test(text, "1"),)
    )
    for encoding, body in bodies(text):
        (entry,) = log_entries(encoding, body)
        assert wanted.accepts(entry)
        assert wanted.probe.may_hold(encoding, body)


@pytest.mark.parametrize("encoding", [Encoding.PROTO, Encoding.JSON])
@pytest.mark.parametrize(
    "probe", [Probe(("absent",)), Probe((), ("ab" * 16,)), Probe(("boot", "zebra"))]
)
def test_bodies_without_a_hit_are_not_decoded(encoding: Encoding, probe: Probe) -> None:
    request = logs([log(1, "boot", trace_id="cd" * 16)])
    body = request.SerializeToString() if encoding == "proto" else b"[" + to_json(request) + b"]"
    assert not probe.may_hold(encoding, body)
    assert Probe(("BOOT".lower(),), ("cd" * 16,)).may_hold(encoding, body)


@pytest.mark.parametrize(
    ("needle", "body", "hit"),
    [
        ("disk", "Disk full", True),
        ("É", "é", False),
        ("é", "CAFé", True),
        ("k", "\u212a", False),
        ("a", {"x": ["b", {"y": "has A"}]}, True),
        ("x", {"x": "key only"}, False),
        ("404", {"code": 404}, False),
        ("true", True, False),
    ],
)
def test_text_is_looked_for_in_texts_without_regard_to_ascii_case(
    needle: str, body: Any, hit: bool
) -> None:
    from hub.query.match import has_text
    from hub.query.probe import fold

    assert has_text(fold(needle), [body]) is hit
