"""Syslog messages as log records: names, severities, resources, and what is odd about a message."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.receive.log_wire import ESCAPED
from edge.receive.syslog_part import (
    CUT,
    NOT_UNDERSTOOD,
    STAMP,
    Made,
    Origin,
    Received,
    plain_address,
    syslog_part,
)
from shared.otlp_rows import LogRow, log_rows
from shared.records import Encoding, Signal

NOW = 1_795_255_200 * 1_000_000_000  # 2026-11-21T10:00:00Z
ORIGIN = Origin("edge-1", "this-machine", 0, "udp")


def make(*raws: bytes, peer: str = "192.0.2.7", cut: bool = False) -> Made:
    return syslog_part([Received(raw, peer, NOW, cut) for raw in raws], ORIGIN)


def rows(*raws: bytes, peer: str = "192.0.2.7", cut: bool = False) -> list[LogRow]:
    part = make(*raws, peer=peer, cut=cut).part
    return list(log_rows(part.encoding, part.body))


def test_every_field_of_rfc_5424_has_its_place() -> None:
    """Appendix A of the log data model."""
    raw = (
        b'<165>1 2026-11-21T09:59:59Z web1 nginx 812 GET [ex@1 iut="3" ip="a" ip="b"][empty] hello'
    )
    (row,) = rows(raw)
    assert row.resource == {
        "headwater.node": "edge-1",
        "host.name": "web1",
        "service.name": "nginx",
    }
    assert row.body == "hello"
    assert (row.time_ns, row.observed_ns) == (NOW - 1_000_000_000, NOW)
    assert row.scope == "headwater.syslog"
    assert row.attributes == {
        "syslog.facility": "local4",
        "syslog.version": 1,
        "syslog.procid": "812",
        "syslog.msgid": "GET",
        "syslog.structured_data.ex@1.iut": "3",
        "syslog.structured_data.ex@1.ip": ["a", "b"],
        "syslog.structured_data.empty": "",
        "network.transport": "udp",
        "network.peer.address": "192.0.2.7",
    }


@pytest.mark.parametrize(
    ("code", "number", "text"),
    [
        (0, 21, "emerg"),
        (1, 19, "alert"),
        (2, 18, "crit"),
        (3, 17, "err"),
        (4, 13, "warning"),
        (5, 10, "notice"),
        (6, 9, "info"),
        (7, 5, "debug"),
    ],
)
def test_severities_are_those_of_the_data_model(code: int, number: int, text: str) -> None:
    """Appendix B of the log data model; the keywords of RFC 5427."""
    (row,) = rows(b"<%d>x" % (8 + code))
    assert (row.severity_number, row.severity_text) == (number, text)
    assert row.attributes["syslog.facility"] == "user"


def test_a_message_without_a_host_is_from_its_sender() -> None:
    """RFC 3164, 4.3.2; this machine has a better name than 127.0.0.1."""
    assert rows(b"<13>app: x")[0].resource["host.name"] == "192.0.2.7"
    assert rows(b"<13>app: x", peer="127.0.0.1")[0].resource["host.name"] == "this-machine"
    assert rows(b"<13>app: x", peer="::1")[0].resource["host.name"] == "this-machine"


def test_messages_of_one_program_share_a_resource_and_keep_their_order() -> None:
    made = make(b"<13>a: 1", b"<13>b: 2", b"<13>a: 3", b"what", b"<13>1 - - b - - - 4")
    found = list(log_rows(made.part.encoding, made.part.body))
    assert [(row.resource.get("service.name"), row.body) for row in found] == [
        ("a", "1"),
        ("a", "3"),
        ("b", "2"),
        ("b", "4"),
        (None, "what"),
    ]
    assert made.forms == {"rfc3164": 3, "rfc5424": 1, "other": 1}


def test_a_part_spans_the_times_of_its_messages() -> None:
    """A message without a time counts at the time it came."""
    part = make(b"<13>x", b"<13>Nov 21 09:00:00 h a: x").part
    assert (part.signal, part.encoding, part.records) == (Signal.LOGS, Encoding.PROTO, 2)
    assert (part.time_min_ns, part.time_max_ns) == (NOW - 3600 * 1_000_000_000, NOW)
    assert rows(b"<13>x")[0].time_ns == NOW


def test_what_is_odd_about_a_message_is_said() -> None:
    assert rows(b"no syslog")[0].attributes[NOT_UNDERSTOOD] == "message"
    attributes = rows(b"<13>Nov 31 10:00:00 h a: x")[0].attributes
    assert attributes[NOT_UNDERSTOOD] == "timestamp"
    assert attributes[STAMP] == "Nov 31 10:00:00"
    assert rows(b"<13>1 - - - - - [ x")[0].attributes[NOT_UNDERSTOOD] == "structured_data"
    (row,) = rows(b"<13>h\xe9", cut=True)
    assert (row.body, row.attributes[ESCAPED], row.attributes[CUT]) == (r"h\xe9", True, True)
    assert not {ESCAPED, CUT, NOT_UNDERSTOOD, STAMP} & rows(b"<13>x")[0].attributes.keys()


def test_addresses_are_as_people_know_them() -> None:
    assert plain_address("::ffff:192.0.2.7") == "192.0.2.7"
    assert plain_address("2001:db8::1") == "2001:db8::1"
    assert plain_address("fe80::1%eth0") == "fe80::1%eth0"
    assert plain_address("192.0.2.7") == "192.0.2.7"


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60).map(lambda raw: b"<13>1 - - - - - " + raw), min_size=1))
def test_any_messages_become_as_many_records(raws: list[bytes]) -> None:
    """What a receiver makes can be read by whoever stores it."""
    made = make(*raws)
    assert len(list(log_rows(made.part.encoding, made.part.body))) == len(raws)
    assert made.part.records == sum(made.forms.values()) == len(raws)
