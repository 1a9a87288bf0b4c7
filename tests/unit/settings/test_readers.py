"""From text to values of settings."""

from collections.abc import Callable
from pathlib import Path

import pytest

from shared import readers
from shared.machine import machine_name

READ: list[tuple[Callable[[object], object], object, object]] = [
    (readers.size_bytes, "500MiB", 500 * 2**20),
    (readers.size_bytes, "1.5 kB", 1500),
    (readers.size_bytes, "999999999999999", 999_999_999_999_999),
    (readers.size_bytes, 1024, 1024),
    (readers.seconds, "30s", 30.0),
    (readers.seconds, "500ms", 0.5),
    (readers.seconds, "2h", 7200.0),
    (readers.seconds, 10, 10.0),
    (readers.seconds, 0.25, 0.25),
    (readers.utc_offset_seconds, "-5h", -18_000.0),
    (readers.count(1, 9), "3", 3),
    (readers.utc_offset_seconds, "+5.5h", 19_800.0),
    (readers.utc_offset_seconds, -3600, -3600.0),
    (readers.switch, "Yes", True),
    (readers.switch, "0", False),
    (readers.switch, True, True),
    (readers.port, "8470", 8470),
    (readers.port, 0, 0),
    (readers.paths, "a, b,,", (Path("a"), Path("b"))),
    (readers.paths, ["a,b"], (Path("a,b"),)),
    (readers.name, "edge-1.rack_2", "edge-1.rack_2"),
    (readers.commands, "report=python3 'my report.py'", {"report": ("python3", "my report.py")}),
    (readers.commands, {"nap": ["sleep", "5"]}, {"nap": ("sleep", "5")}),
    (readers.one_of("FULL", "NORMAL"), " full ", "FULL"),
]

REFUSED: list[tuple[Callable[[object], object], object]] = [
    (readers.size_bytes, "5 bananas"),
    (readers.size_bytes, "-1"),
    (readers.size_bytes, True),
    (readers.size_bytes, "9" * 400),
    (readers.seconds, "soon"),
    (readers.utc_offset_seconds, "--5h"),
    (readers.count(1, 9), "0"),
    (readers.count(1, 9), 10),
    (readers.count(1, 9), True),
    (readers.utc_offset_seconds, "15h"),
    (readers.seconds, -3),
    (readers.seconds, "nan"),
    (readers.switch, "maybe"),
    (readers.port, "65536"),
    (readers.port, "٣"),
    (readers.port, 80.5),
    (readers.port, True),
    (readers.path, ""),
    (readers.path, "a\0b"),
    (readers.paths, [1]),
    (readers.text, 5),
    (readers.name, "Edge"),
    (readers.name, "-edge"),
    (readers.name, "e" * 64),
    (readers.commands, "=sleep"),
    (readers.commands, {"nap": []}),
    (readers.commands, {"nap": "sleep 5"}),
    (readers.one_of("FULL"), "OFF"),
]


@pytest.mark.parametrize(("read", "written", "value"), READ)
def test_a_value_is_read(read: Callable[[object], object], written: object, value: object) -> None:
    """Text of flags and native values of TOML both work."""
    assert read(written) == value


@pytest.mark.parametrize(("read", "written"), REFUSED)
def test_nonsense_is_refused(read: Callable[[object], object], written: object) -> None:
    """The error completes the sentence "must be ..."."""
    with pytest.raises(ValueError, match=r"."):
        read(written)


@pytest.mark.parametrize("host", ["Web 01.Example", "...", "ALL", "x" * 80, "été"])
def test_every_host_name_becomes_a_valid_name(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine can always start without being told a name."""
    monkeypatch.setattr("socket.gethostname", lambda: host)
    assert readers.name(machine_name()) == machine_name()
    assert readers.name(f"hub-{machine_name()}")
