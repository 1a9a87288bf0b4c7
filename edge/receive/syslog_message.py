"""Reading one syslog message: RFC 5424 to the letter, RFC 3164 as it is in the wild.

Nothing is refused and no text is lost. What cannot be read stays in the body as it came, and
`not_understood` names it.
"""

import re
from dataclasses import dataclass
from typing import Literal

from edge.receive.syslog_time import Clock, Stamp, find_stamp

FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news"),
    *("uucp", "cron", "authpriv", "ftp", "ntp", "audit", "console", "cron2"),
    *("local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"),
)
"""The labels of RFC 5427 by code; 12 to 15 differ between systems."""

SEVERITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
"""The labels of RFC 5427 by code."""

PARAMS_MAX = 256
"""Parameters of structured data in one message; the largest sets in use have a few dozen."""

PRI_ABSENT = 13
"""user.notice, which a message without a priority counts as (RFC 3164, 4.3.3)."""

_PRI_MAX = 191

Format = Literal["rfc5424", "rfc3164", "other"]
Unread = Literal["", "message", "timestamp", "structured_data"]
Datum = tuple[str, str, str]
"""SD-ID, name and value; an element without parameters has one with an empty name."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message, taken apart; "" and 0 where it does not say.

    `escaped` is True where bytes that are not UTF-8 were written as \\xNN. `stamp` is the text of a
    time stamp that means no time.
    """

    form: Format
    facility: int
    severity: int
    body: str
    time_ns: int = 0
    host: str = ""
    app: str = ""
    procid: str = ""
    msgid: str = ""
    version: int = 0
    data: tuple[Datum, ...] = ()
    stamp: str = ""
    not_understood: Unread = ""
    escaped: bool = False


_PRI = re.compile(r"<([0-9]{1,3})>")

# The lengths are those that RFC 5424 gives to host names; longer names than it allows do occur.
_HEADER = re.compile(
    r"([1-9][0-9]{0,2}) (-|[0-9]{4}-[0-9]{2}-[0-9]{2}T\S{1,64}) "
    r"(\S{1,255}) (\S{1,255}) (\S{1,255}) (\S{1,255})(?: |$)"
)

# Senders forget to escape "]" (RFC 5424, 6.3.3); within quotes it can mean nothing else.
_SD_ID = re.compile(r'\[([^\s=\]"]{1,255})')
_SD_PARAM = re.compile(r' +([^\s=\]"]{1,255})="([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL)
_SD_ESCAPE = re.compile(r'\\(["\\\]])')

_HOST = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.-]{0,254}|[0-9A-Fa-f:.]{2,45}) +")

# "su: ", "sshd[42]: ", "app[42] " and "%ASA-6-302013: ", but neither "12:30" nor "http://".
_TAG = re.compile(r"([^\s\[\]]{1,255}?)(?:\[([^\s\]]{0,128})\](?::|(?= |$))|:(?= |$)) ?")


def parse_message(raw: bytes, clock: Clock) -> Message:
    """Read one message without its framing; never raises, whatever the bytes."""
    text, escaped = _decode(raw.rstrip(b"\r\n\0"))
    found = _PRI.match(text)
    if found is None or int(found[1]) > _PRI_MAX:
        return _without_pri(text, clock, escaped=escaped)
    rest = text[found.end() :]
    header = _HEADER.match(rest)
    if header:
        return _parse_5424(int(found[1]), header, rest[header.end() :], clock, escaped=escaped)
    return _parse_3164(int(found[1]), rest, clock, escaped=escaped)


def _decode(raw: bytes) -> tuple[str, bool]:
    try:
        return raw.decode(), False
    except UnicodeDecodeError:
        return raw.decode("utf-8", "backslashreplace"), True


def _without_pri(text: str, clock: Clock, *, escaped: bool) -> Message:
    if find_stamp(text, clock):
        return _parse_3164(PRI_ABSENT, text, clock, escaped=escaped)
    facility, severity = divmod(PRI_ABSENT, 8)
    return Message("other", facility, severity, text, not_understood="message", escaped=escaped)


def _parse_5424(
    pri: int, header: re.Match[str], rest: str, clock: Clock, *, escaped: bool
) -> Message:
    version, stamp_text, host, app, procid, msgid = (_present(field) for field in header.groups())
    stamp = find_stamp(stamp_text, clock)
    time_ns = stamp.time_ns if stamp and stamp.length == len(stamp_text) else None
    unread: Unread = "timestamp" if stamp_text and time_ns is None else ""
    split = _split_data(rest)
    if split is None:
        unread = "structured_data"
    data, body = split or ((), rest)
    return Message(
        form="rfc5424",
        facility=pri // 8,
        severity=pri % 8,
        body=body.removeprefix("\ufeff"),
        time_ns=time_ns or 0,
        host=host,
        app=app,
        procid=procid,
        msgid=msgid,
        version=int(version),
        data=data,
        stamp="" if time_ns else stamp_text,
        not_understood=unread,
        escaped=escaped,
    )


def _present(field: str) -> str:
    return "" if field == "-" else field


def _split_data(text: str) -> tuple[tuple[Datum, ...], str] | None:
    """The structured data and the message after it; None when the data are wrong, or too many."""
    if text == "-" or text.startswith("- "):
        return (), text[2:]
    data: list[Datum] = []
    place = 0
    while element := _SD_ID.match(text, place):
        place = _read_params(text, element, data)
        if not text.startswith("]", place) or len(data) > PARAMS_MAX:
            return None
        place += 1
    if not data or (place < len(text) and text[place] != " "):
        return None
    return tuple(data), text[place + 1 :]


def _read_params(text: str, element: re.Match[str], data: list[Datum]) -> int:
    """Add the parameters of an element, a few more than allowed at most; the place after them."""
    before, place = len(data), element.end()
    while len(data) <= PARAMS_MAX and (param := _SD_PARAM.match(text, place)):
        # A backslash before anything else stands for itself (RFC 5424, 6.3.3).
        data.append((element[1], param[1], _SD_ESCAPE.sub(r"\1", param[2])))
        place = param.end()
    if len(data) == before:
        data.append((element[1], "", ""))
    return place


def _parse_3164(pri: int, rest: str, clock: Clock, *, escaped: bool) -> Message:
    bare = rest.lstrip(" ")
    stamp = find_stamp(bare, clock)
    host, content = _take_host(bare[stamp.length :].lstrip(" ")) if stamp else ("", rest)
    tag = _TAG.match(content)
    body = content[tag.end() :] if tag else content
    unread = stamp is not None and stamp.time_ns is None
    return Message(
        form="rfc3164",
        facility=pri // 8,
        severity=pri % 8,
        body=body.removeprefix("\ufeff"),
        time_ns=stamp.time_ns or 0 if stamp else 0,
        host=host,
        app=tag[1] if tag else "",
        procid=tag[2] or "" if tag else "",
        stamp=_text_of(stamp, bare) if unread else "",
        not_understood="timestamp" if unread else "",
        escaped=escaped,
    )


def _text_of(stamp: Stamp | None, text: str) -> str:
    return text[: stamp.length] if stamp else ""


def _take_host(text: str) -> tuple[str, str]:
    """The host name and what follows. A program that logs to its own machine leaves it out."""
    found = None if _TAG.match(text) else _HOST.match(text)
    return (found[1], text[found.end() :]) if found else ("", text)
