"""Logs: one JSON object a line on standard error, with secrets blotted out."""

import logging
import re
import sys
from collections.abc import Collection
from datetime import UTC, datetime
from typing import TextIO

import orjson

BLOT = "***"

_SECRET_NAMES = re.compile(r"token|secret|password|authorization|cookie|cluster_key", re.IGNORECASE)
_SECRET_TEXTS = re.compile(
    r"(?P<name>\b(?:bearer|basic)\s+|\b(?:token|secret|password|cluster_key)\s*[=:]\s*)[^\s&\"',;]+",
    re.IGNORECASE,
)
# What every record carries anyway; the rest came in through `extra`.
_ORDINARY = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object; `secrets` are never shown, wherever they turn up."""

    def __init__(self, secrets: Collection[str] = ()) -> None:
        super().__init__()
        self._secrets = sorted(filter(None, secrets), key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        """One line without a line end."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._clean(record.getMessage()),
        }
        line.update(self._extra(record))
        if record.exc_info:
            line["exception"] = self._clean(self.formatException(record.exc_info))
        return orjson.dumps(line, default=self._text, option=orjson.OPT_NON_STR_KEYS).decode()

    def _extra(self, record: logging.LogRecord) -> dict[str, object]:
        return {
            name: BLOT if _SECRET_NAMES.search(name) else self._value(value)
            for name, value in vars(record).items()
            if name not in _ORDINARY and not name.startswith("_")
        }

    def _value(self, value: object) -> object:
        if isinstance(value, bool | float | None):
            return value
        if isinstance(value, int) and -(2**63) <= value < 2**63:
            return value
        return self._text(value)

    def _text(self, value: object) -> str:
        return self._clean(value if isinstance(value, str) else repr(value))

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, BLOT)
        # A lone surrogate, as in an undecodable file name, is not JSON.
        text = text.encode("utf-8", "backslashreplace").decode()
        return _SECRET_TEXTS.sub(rf"\g<name>{BLOT}", text)


def configure(level: str, secrets: Collection[str] = (), stream: TextIO | None = None) -> None:
    """Send the logs of this process, from `level` upwards, to standard error (or `stream`)."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines(secrets))
    logging.captureWarnings(True)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    set_level(level)


def set_level(level: str) -> None:
    """From now on log what is at least as severe as `level`: debug, info, warning or error."""
    logging.getLogger().setLevel(level.upper())
    for chatty in ("httpx", "httpcore", "websockets", "uvicorn", "asyncio"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))
