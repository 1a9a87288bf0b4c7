"""A host that goes down is told from an agent that is only updated."""

import stat
from pathlib import Path

import pytest

from edge.vm.host_end import is_host_ending


@pytest.mark.parametrize(
    ("says", "is_ending"),
    [("stopping", True), ("running", False), ("degraded", False), ("", False)],
)
def test_the_service_manager_says_whether_the_host_goes_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, is_ending: bool
) -> None:
    program = tmp_path / "systemctl"
    program.write_text(f'#!/bin/sh\n[ "$1" = is-system-running ] && echo {says}\nexit 1\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert is_host_ending(tmp_path) is is_ending


def test_where_no_service_manager_is_nobody_knows(tmp_path: Path) -> None:
    assert not is_host_ending(tmp_path / "nothing")
