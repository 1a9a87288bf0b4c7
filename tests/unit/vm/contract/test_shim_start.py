"""What a shim imports before its payload runs, and the classes that spare it `dataclasses`."""

import dataclasses
import json
import subprocess
import sys
from typing import Any

import pytest

from edge.vm.launch import Launch, ShimState
from edge.vm.sandbox_launch import CODE_ROOT
from edge.vm.shim_values import asdict, dataclass, field, replace

SLOW = {"ast", "ctypes", "dataclasses", "dis", "inspect", "pathlib", "subprocess", "typing"}
"""Each takes longer than a third of all that a shim needs."""


def test_a_shim_imports_nothing_that_is_slow() -> None:
    """A start of a sandbox waits for it."""
    words = "import edge.vm.shim, sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-S", "-P", "-c", words],
        env={"PYTHONPATH": CODE_ROOT},
        capture_output=True,
        check=True,
    )
    imported = set(json.loads(done.stdout))
    assert "edge.vm.shim_server" in imported
    assert not imported & SLOW
    assert "edge.vm.shim_exec" not in imported


@dataclass(frozen=True, slots=True)
class Frozen:
    """With a default, and one that is made anew."""

    name: str
    size: int = 3
    held: list[str] = field(default_factory=list)


def test_values_are_made_compared_changed_and_shown_as_those_of_dataclasses() -> None:
    one, same = Frozen("a"), Frozen(name="a", size=3)
    assert (one, one.held is same.held) == (same, False)
    assert replace(one, size=4) == Frozen("a", 4)
    assert one != Frozen("b")
    assert asdict(one) == {"name": "a", "size": 3, "held": []}
    assert repr(one) == "Frozen(name='a', size=3, held=[])"
    with pytest.raises(AttributeError):
        one.size = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("words", "named"),
    [((), {}), (("a", 1, [], 4), {}), (("a",), {"name": "b"}), (("a",), {"other": 1})],
)
def test_values_that_lack_a_field_or_have_another_are_refused(
    words: tuple[Any, ...], named: dict[str, Any]
) -> None:
    """As `load_state` needs it for files of another version."""
    with pytest.raises(TypeError):
        Frozen(*words, **named)


def test_the_files_of_shims_keep_their_fields() -> None:
    """Shims outlive agents: a field that goes or moves would be one that an old shim has written."""
    assert [*ShimState.__slots__][:7] == [
        "vm_id",
        "boot_id",
        "shim_pid",
        "shim_start_ticks",
        "child_pid",
        "started_ms",
        "processes_enforced",
    ]
    assert not dataclasses.is_dataclass(Launch)
