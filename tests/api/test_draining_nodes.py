"""A node that people drain: it is given nothing new, through whichever door."""

from tests.api.conftest import World


async def test_a_draining_node_gets_no_new_vm_until_it_is_undrained(world: World) -> None:
    """Also one that has not come yet; what it has can still be started and stopped."""
    await world.call("node.register", node="edge-9")
    await world.call("node.drain", node="edge-9")
    order = {"node": "edge-9", "spec": {"name": "box", "image": "alpine"}}
    refused = await world.refusal("vm.create", **order)
    assert "edge-9 is draining and takes no new VMs" in refused["message"]
    assert refused["data"]["kind"] == "invalid_state"
    other = await world.refusal("vm.start", node="edge-9", vm="box")
    await world.call("node.undrain", node="edge-9")
    again = await world.refusal("vm.create", **order)
    assert other["data"]["kind"] == again["data"]["kind"] == "no_path"
