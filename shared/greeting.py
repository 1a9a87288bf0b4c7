"""What a person reads when Headwater has come up: where to look, where to send, how to go on."""

import http.client
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

READY_SECONDS_MAX = 30.0  # A hub that opens a large store on a slow disk still makes it.
TOKEN_FILE = "admin.token"  # noqa: S105  # The name of the file, not the secret.

Line = tuple[str, str]
"""A label and what it stands for."""


def is_ready(url: str) -> bool:
    """Whether a GET of the URL answers 200 within half a second."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=0.5)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def login_url(url: str, folder: Path) -> str:
    """The link that logs a person in, from the token that the hub wrote into its folder."""
    try:
        token = (folder / TOKEN_FILE).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return url
    return f"{url}/login?token={token}"


def screen(title: str, lines: Sequence[Line], *, colours: bool) -> str:
    """The greeting: a title, and labels in one column."""
    width = max(len(label) for label, _ in lines) + 2
    bold, plain = ("\033[1m", "\033[0m") if colours else ("", "")
    rows = [f"  {bold}{label:<{width}}{plain}{text}" for label, text in lines]
    return "\n".join(["", f"{bold}{title}{plain}", "", *rows, ""])


def wants_colours(stream: TextIO) -> bool:
    """Only a terminal gets colours, and only when NO_COLOR is not set (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def greet_when_ready(ready_url: str, greet: Callable[[], None]) -> None:
    """Call `greet` once `ready_url` answers, from a thread that does not keep the process alive."""

    def wait() -> None:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < deadline:
            if is_ready(ready_url):
                greet()
                return
            time.sleep(0.05)

    threading.Thread(target=wait, name="greeting", daemon=True).start()
