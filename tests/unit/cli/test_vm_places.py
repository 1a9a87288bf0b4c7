"""The commands that put machines on nodes and take them off again."""

from typing import Any

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.cli.test_vm_commands import DONE, Hubs, last


def test_without_a_node_the_hub_chooses_and_the_order_names_it(hubs: Hubs, headwater: Run) -> None:
    """So it can be repeated through any hub."""
    hubs[0].answers["vm.validate"] = {"node_id": "edge-7", "placement": {"why": "most memory"}}
    hubs[0].answers["vm.create"] = DONE
    result = headwater("vm", "create", "box", "--on", "site=north")
    assert result.exit_code == 0, result.output
    assert "edge-7 is chosen: most memory" in result.output
    assert last(hubs, "vm.validate")["placement"] == {"labels": ["site=north"]}
    assert last(hubs, "vm.create")["node"] == "edge-7"


def test_a_machine_that_was_found_is_adopted_under_a_name(hubs: Hubs, headwater: Run) -> None:
    found = {"handle": "3f9c", "driver": "qemu", "what": "a folder", "pid": None}
    hubs[0].answers["vm.discover"] = {"node_id": "n", "items": [found]}
    hubs[0].answers["vm.adopt"] = DONE
    assert "3f9c" in headwater("vm", "discover", "n").output
    result = headwater("vm", "adopt", "3f9c", "web", "--node", "n", "--image", "debian-12")
    assert result.exit_code == 0, result.output
    sent = last(hubs, "vm.adopt")
    assert (sent["handle"], sent["node"]) == ("3f9c", "n")
    assert (sent["spec"]["name"], sent["spec"]["image"]) == ("web", "debian-12")


@pytest.mark.parametrize(
    ("words", "method", "params", "part"),
    [
        ("drain n --stop-vms", "node.drain", {"stop_vms": True, "parallel": 4}, "stopping"),
        ("maintenance n --why disk", "node.maintenance", {"on": True, "why": "disk"}, "stopping"),
        ("maintenance n --off", "node.maintenance", {"on": False}, "starting"),
        (
            "maintenance n --off --leave-stopped",
            "node.maintenance",
            {"on": False, "start_vms": False},
            "",
        ),
    ],
)
def test_a_node_is_emptied_and_its_vms_are_waited_for(
    hubs: Hubs, headwater: Run, words: str, method: str, params: dict[str, Any], part: str
) -> None:
    work = {"op_id": "b", "method": "vm.bulk", "state": "running", "node_id": "hub-1"}
    hubs[0].answers[method] = {"node_id": "n", "draining": True, **({part: work} if part else {})}
    failed = {"vm_name": "box", "error": {"message": "still runs"}}
    over = {**work, "state": "failed", "counts": {"done": 1, "failed": 1}, "items": [failed]}
    hubs[0].answers["op.wait"] = over
    result = headwater("nodes", *words.split())
    assert result.exit_code == (1 if part else 0), result.output
    assert last(hubs, method).items() >= params.items()
    assert (f"{part} VMs: 1 done, 1 failed" in result.output) == bool(part)
    assert ("box: still runs" in result.output) == bool(part)


@pytest.mark.parametrize("words", ["maintenance n --off --why x", "maintenance n --leave-stopped"])
def test_a_maintenance_that_means_nothing_is_refused(headwater: Run, words: str) -> None:
    assert headwater("nodes", *words.split()).exit_code == 2
