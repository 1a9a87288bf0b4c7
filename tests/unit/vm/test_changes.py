"""What a person may change of a machine's disks: they are made already, and hold what they hold."""

from typing import Any

import msgspec
import pytest

from edge.vm.changes import updated
from edge.vm.model import Disk, Spec, State, Vm
from shared.errors import RpcError


def machine(*disks: Disk) -> Vm:
    spec = Spec(name="box", image="debian", disks=disks)
    made = Vm(id="box", node_id="edge-1", spec=spec, kind="vm", driver="qemu", created_ms=1)
    return msgspec.structs.replace(made, state=State.RUNNING)


OLD = machine(Disk(name="root", size_mib=100), Disk(name="data", size_mib=10))


@pytest.mark.parametrize(
    "disks",
    [
        [{"name": "root", "size_mib": 100}, {"name": "data", "size_mib": 20}],
        [{"name": "root", "size_mib": 100, "image": "debian"}, {"name": "data", "size_mib": 10}],
        [{"name": "root"}, {"name": "data", "size_mib": 10}],
        [{"name": "data", "size_mib": 10, "readonly": True}, {"name": "more", "size_mib": 1}],
        [],
    ],
)
def test_disks_can_grow_come_and_go_from_the_next_start(disks: list[dict[str, Any]]) -> None:
    assert updated(OLD, {"disks": disks}).pending_changes == ("disks",)


@pytest.mark.parametrize(
    ("disk", "words"),
    [
        ({"name": "data", "size_mib": 9}, "cannot be made smaller"),
        ({"name": "data", "size_mib": 10, "image": "debian"}, "made from another image"),
    ],
)
def test_a_disk_that_cannot_be_what_is_asked_is_refused_before_anything_stops(
    disk: dict[str, Any], words: str
) -> None:
    with pytest.raises(RpcError, match=words) as refusal:
        updated(OLD, {"disks": [disk]})
    assert refusal.value.kind == "invalid_params"
    assert refusal.value.data == {"disk": "data"}
