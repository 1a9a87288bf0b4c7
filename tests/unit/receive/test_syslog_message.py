"""Reading syslog messages: the examples of the RFCs, the habits of senders, and any bytes at all."""

from datetime import datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge.receive.syslog_message import PARAMS_MAX, Message, parse_message
from edge.receive.syslog_time import SECOND_NS, TIME_NS_MAX, Clock, find_stamp


def ns(text: str) -> int:
    """An ISO time as Unix nanoseconds, to the microsecond."""
    moment = datetime.fromisoformat(text)
    return int(moment.replace(microsecond=0).timestamp()) * SECOND_NS + moment.microsecond * 1000


NOW = ns("2026-11-21T10:00:00+00:00")


def read(text: str | bytes, now: int = NOW, utc_offset_seconds: int = 0) -> Message:
    raw = text.encode() if isinstance(text, str) else text
    return parse_message(raw, Clock(now, utc_offset_seconds))


def test_the_first_example_of_rfc_5424() -> None:
    """6.5, example 1: no structured data, and a byte order mark before the text."""
    message = read(
        "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - "
        "\ufeff'su root' failed for lonvick on /dev/pts/8"
    )
    assert message == Message(
        form="rfc5424",
        facility=4,
        severity=2,
        body="'su root' failed for lonvick on /dev/pts/8",
        time_ns=ns("2003-10-11T22:14:15.003+00:00"),
        host="mymachine.example.com",
        app="su",
        msgid="ID47",
        version=1,
    )


def test_the_second_example_of_rfc_5424() -> None:
    """6.5, example 2: microseconds, and a time zone that is not ours."""
    message = read(
        "<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make "
        "the do-nuts."
    )
    assert message.time_ns == ns("2003-08-24T12:14:15.000003+00:00")
    assert (message.facility, message.severity, message.procid) == (20, 5, "8710")
    assert message.body == "%% It's time to make the do-nuts."


def test_the_third_and_fourth_example_of_rfc_5424() -> None:
    """6.5, examples 3 and 4: structured data, with a text and without one."""
    header = "<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 "
    first = '[exampleSDID@32473 iut="3" eventSource="Application" eventID="1011"]'
    second = '[examplePriority@32473 class="high"]'
    sdid = "exampleSDID@32473"
    told = [(sdid, "iut", "3"), (sdid, "eventSource", "Application"), (sdid, "eventID", "1011")]
    message = read(f"{header}{first} \ufeffAn application event log entry...")
    assert message.data == tuple(told)
    assert message.body == "An application event log entry..."
    message = read(header + first + second)
    assert message.data == (*told, ("examplePriority@32473", "class", "high"))
    assert message.body == ""
    assert message.not_understood == ""


def test_everything_may_be_left_out() -> None:
    """The nil value stands for each field of the header."""
    message = read("<0>1 - - - - - -")
    assert message == Message("rfc5424", 0, 0, "", version=1)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"a\"b", 'a"b'),
        (r"a\\b", "a\\b"),
        (r"a\]b", "a]b"),
        (r"C:\Windows", r"C:\Windows"),
        ("a]b", "a]b"),
        ("", ""),
        ("日本 \n x", "日本 \n x"),
    ],
)
def test_values_of_structured_data_are_unescaped(written: str, meant: str) -> None:
    """Three characters are escaped (RFC 5424, 6.3.3); other backslashes mean themselves."""
    message = read(f'<14>1 - - - - - [id k="{written}"] text')
    assert message.data == (("id", "k", meant),)
    assert message.body == "text"


def test_an_element_without_parameters_is_seen() -> None:
    assert read('<14>1 - - - - - [a][b x="1" x="2"] t').data == (
        ("a", "", ""),
        ("b", "x", "1"),
        ("b", "x", "2"),
    )


@pytest.mark.parametrize(
    "wrong",
    ["[", "[]", "[a", '[a x="1]', "[a x=1] t", '[a x="1"]t', "text", "", '[a  ="1"] t', "-text"],
)
def test_wrong_structured_data_stay_in_the_body(wrong: str) -> None:
    """Nobody knows where such data end, so nothing is taken out of the text; the header counts."""
    message = read(f"<14>1 - host app - - {wrong}")
    assert (message.not_understood, message.body, message.data) == ("structured_data", wrong, ())
    assert (message.host, message.app) == ("host", "app")


def test_the_number_of_parameters_is_bounded() -> None:
    """What is beyond the bound is kept as text."""
    params = "".join(f' p{number}="v"' for number in range(PARAMS_MAX))
    assert len(read(f"<14>1 - - - - - [id{params}] text").data) == PARAMS_MAX
    for many in (f'[id{params} more="v"] text', "[x]" * (PARAMS_MAX + 1), f"[id{params}][x] text"):
        message = read(f"<14>1 - - - - - {many}")
        assert (message.not_understood, message.body) == ("structured_data", many)


def test_a_time_that_cannot_be_is_kept_as_text() -> None:
    message = read("<14>1 2026-13-45T00:00:00Z host app - - - text")
    assert (message.not_understood, message.stamp) == ("timestamp", "2026-13-45T00:00:00Z")
    assert (message.time_ns, message.host, message.body) == (0, "host", "text")
    message = read("<14>Nov 31 00:00:00 host app: text")
    assert (message.not_understood, message.stamp) == ("timestamp", "Nov 31 00:00:00")
    assert (message.time_ns, message.host, message.body) == (0, "host", "text")


def test_the_first_example_of_rfc_3164() -> None:
    """5.4, example 1."""
    message = read("<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8")
    assert message == Message(
        form="rfc3164",
        facility=4,
        severity=2,
        body="'su root' failed for lonvick on /dev/pts/8",
        time_ns=ns("2026-10-11T22:14:15+00:00"),
        host="mymachine",
        app="su",
    )


@pytest.mark.parametrize(
    ("text", "host", "app", "procid", "body"),
    [
        ("Nov  1 00:00:00 web sshd[42]: hi", "web", "sshd", "42", "hi"),
        ("Nov  1 00:00:00 sshd[42]: no host", "", "sshd", "42", "no host"),
        ("Nov  1 00:00:00 su: no host", "", "su", "", "no host"),
        ("Nov 1 00:00:00 web postfix/smtpd[7]: hi", "web", "postfix/smtpd", "7", "hi"),
        ("Nov 1 00:00:00 web app[7] no colon", "web", "app", "7", "no colon"),
        ("Nov 1 00:00:00 web app[7]:no space", "web", "app", "7", "no space"),
        ("Nov 1 00:00:00 web Foo::Bar: hi", "web", "Foo::Bar", "", "hi"),
        ("Nov 1 00:00:00 web no tag here", "web", "", "", "no tag here"),
        ("Nov 1 00:00:00 web 12:30 is no tag", "web", "", "", "12:30 is no tag"),
        ("Nov 1 00:00:00 2001:db8::1 app: hi", "2001:db8::1", "app", "", "hi"),
        ("Nov 1 2026 00:00:00: %ASA-6-302013: Built", "", "%ASA-6-302013", "", "Built"),
        ("*Nov 1 00:00:00.123: %SYS-5-CONFIG_I: hi", "", "%SYS-5-CONFIG_I", "", "hi"),
        ("2026-11-01T00:00:00.5+02:00 web app[1]: hi", "web", "app", "1", "hi"),
        ("2026-11-01T00:00:00 web app[1]: hi", "web", "app", "1", "hi"),
        ("Nov 1 00:00:00", "", "", "", ""),
        ("Nov 1 00:00:00 word", "", "", "", "word"),
        ("app: only a tag", "", "app", "", "only a tag"),
        ("only text", "", "", "", "only text"),
        ("  indented text", "", "", "", "  indented text"),
        ("", "", "", "", ""),
    ],
)
def test_rfc_3164_as_it_is_in_the_wild(
    text: str, host: str, app: str, procid: str, body: str
) -> None:
    message = read(f"<13>{text}\r\n\0")
    assert (message.host, message.app, message.procid, message.body) == (host, app, procid, body)
    assert (message.form, message.not_understood) == ("rfc3164", "")
    assert bool(message.time_ns) == ("00:00:00" in text)


def test_a_message_without_priority_is_a_notice_of_a_user() -> None:
    """RFC 3164, 4.3.3."""
    message = read("Nov 21 09:00:00 web app: hi")
    assert (message.facility, message.severity) == (1, 5)
    assert (message.form, message.body, message.not_understood) == ("rfc3164", "hi", "")


@pytest.mark.parametrize(
    "text", ["hello: world", "<192>x", "<>x", "<1234>x", "< 13>x", "<13", "GET / HTTP/1.1", "<-1>"]
)
def test_what_is_not_syslog_is_kept_whole_and_marked(text: str) -> None:
    message = read(text)
    assert message == Message("other", 1, 5, text, not_understood="message")


def test_bytes_that_are_not_utf_8_are_escaped_and_marked() -> None:
    """As in followed files: the good part stays readable, and the bad bytes can be read back."""
    message = read(b"<13>Nov 21 09:00:00 web app: caf\xe9 \xff")
    assert (message.body, message.escaped, message.app) == (r"caf\xe9 \xff", True, "app")


@pytest.mark.parametrize(
    ("stamp", "received", "meant"),
    [
        ("Dec 31 23:59:59", "2027-01-01T00:00:01", "2026-12-31T23:59:59"),
        ("Jan  1 00:00:01", "2026-12-31T23:59:58", "2027-01-01T00:00:01"),
        ("Nov 21 10:00:00", "2026-11-21T10:00:00", "2026-11-21T10:00:00"),
        ("Jun 10 00:00:00", "2026-11-21T10:00:00", "2026-06-10T00:00:00"),
        ("Mar 10 00:00:00", "2026-11-21T10:00:00", "2027-03-10T00:00:00"),
        ("Feb 29 12:00:00", "2028-03-01T00:00:00", "2028-02-29T12:00:00"),
        ("Feb 29 12:00:00", "2027-12-01T00:00:00", "2028-02-29T12:00:00"),
        ("Jun 30 23:59:60", "2026-07-01T00:00:00", "2026-07-01T00:00:00"),
    ],
)
def test_a_time_without_a_year_is_the_one_nearest_to_now(
    stamp: str, received: str, meant: str
) -> None:
    found = find_stamp(stamp, Clock(ns(f"{received}+00:00")))
    assert found is not None
    assert found.time_ns == ns(f"{meant}+00:00")


def test_a_leap_day_near_no_leap_year_is_no_time() -> None:
    found = find_stamp("Feb 29 12:00:00", Clock(ns("2026-03-01T00:00:00+00:00")))
    assert found is not None
    assert found.time_ns is None


def test_a_time_without_a_zone_is_local() -> None:
    """What local means is a setting; a zone in the stamp overrides it."""
    two_hours = 7200
    for text in ("Nov 21 11:30:00 h a: x", "2026-11-21T11:30:00 h a: x"):
        assert read(f"<13>{text}", NOW, two_hours).time_ns == ns("2026-11-21T09:30:00+00:00")
    zoned = read("<13>2026-11-21T11:30:00+01:00 h a: x", NOW, two_hours)
    assert zoned.time_ns == ns("2026-11-21T10:30:00+00:00")
    new_year = read("<13>Jan  1 00:30:00 h a: x", ns("2026-12-31T22:40:00+00:00"), two_hours)
    assert new_year.time_ns == ns("2026-12-31T22:30:00+00:00")


@pytest.mark.parametrize(
    "stamp",
    [
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00Z",
        "2262-04-12T00:00:00Z",
        "9999-12-31T23:59:60Z",
        "2026-11-21T24:00:00Z",
        "2026-11-21T00:00:00+24:00",
        "2026-11-21T00:00:00-00:60",
        "0000-01-01T00:00:00Z",
    ],
)
def test_times_that_cannot_be_kept_are_none(stamp: str) -> None:
    """A database keeps 64 bits with a sign, and zero means no time."""
    found = find_stamp(stamp, Clock(NOW))
    assert found is not None
    assert found.time_ns is None


def test_fractions_are_kept_to_the_nanosecond() -> None:
    found = find_stamp("2026-11-21T10:00:00.123456789999Z", Clock(NOW))
    assert found is not None
    assert found.time_ns == NOW + 123_456_789


PIECES = st.sampled_from(
    [
        *("<13>", "<191>", "<999>", "1 ", "-", " ", "[", "]", '"', "=", "\\", ":", "T", "\0"),
        *("Nov 21 10:00:00", "Feb 29 ", "2026-11-21T10:00:00Z", "+01:00", "host", "app[1]:", "\n"),
    ]
)


@settings(deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(PIECES, max_size=20).map(lambda pieces: "".join(pieces).encode()),
        st.text(max_size=100).map(lambda text: f"<13>1 - - - - - {text}".encode(errors="replace")),
    ),
    st.integers(0, TIME_NS_MAX),
    st.integers(-64_800, 64_800),
)
@example(b"<13>Feb 29 10:00:00 x", 0, -64_800)
@example(b"<13>Jan  1 00:00:00 x", TIME_NS_MAX, 64_800)
def test_any_bytes_are_read_within_bounds(raw: bytes, now: int, utc_offset_seconds: int) -> None:
    """Nothing is raised, and every field is one that a log record can hold."""
    message = parse_message(raw, Clock(now, utc_offset_seconds))
    assert 0 <= message.facility <= 23
    assert 0 <= message.severity <= 7
    assert 0 <= message.time_ns <= TIME_NS_MAX
    assert len(message.data) <= PARAMS_MAX
    assert message.escaped == (not _is_utf8(raw))
    message.body.encode()
    if message.form == "other":
        assert message.body.encode() == raw.rstrip(b"\r\n\0") or message.escaped


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


NAMES = st.text("abcXYZ019_.@-", min_size=1, max_size=32).filter(lambda name: name != "-")


@settings(deadline=None)
@given(
    st.integers(0, 191),
    NAMES,
    NAMES,
    st.lists(st.tuples(NAMES, NAMES, st.text(max_size=20)), max_size=5),
    st.text(max_size=50),
)
def test_what_is_written_by_rfc_5424_is_read_back(
    pri: int, host: str, app: str, data: list[tuple[str, str, str]], body: str
) -> None:
    """Whatever the values hold, escaping keeps them apart from the syntax."""
    elements = "".join(f'[{sdid} {name}="{_escaped(value)}"]' for sdid, name, value in data) or "-"
    body = body.rstrip("\r\n\0").removeprefix("\ufeff")
    message = read(f"<{pri}>1 - {host} {app} - - {elements} \ufeff{body}")
    assert divmod(pri, 8) == (message.facility, message.severity)
    assert (message.host, message.app) == (host, app)
    assert message.data == tuple(data)
    assert message.body == body
    assert message.not_understood == ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")
