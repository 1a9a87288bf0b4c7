"""What machines do, use and show is telemetry like any other, on each hub, while the node is there
and when it is gone."""

from tests.system.processes import Fleet, HubProcess, each_shows


def operations(hub: HubProcess) -> list[tuple[str, str]]:
    """Each operation's method and state, as the hub was told."""
    found = hub.records(signal="events", attributes={"vm.name": "web"})
    told = [each["attributes"] for each in found if each["event_name"] == "vm.operation"]
    return [(each["op.method"], each["op.state"]) for each in told]


def console_lines(hub: HubProcess) -> list[str]:
    """What the machine showed."""
    return [line["body"] for line in hub.records(signal="logs", attributes={"vm.name": "web"})]


def has_all(hub: HubProcess) -> bool:
    """Whether a hub knows what was done, what was shown and what is used."""
    used = hub.call("metric.query", name="vm.memory.usage")["series"]
    return "shown42" in console_lines(hub) and len(operations(hub)) >= 2 and bool(used)


def test_hubs_can_tell_of_a_machine_whose_node_is_silent(fleet: Fleet) -> None:
    first, second = fleet.two_hubs()
    edge = fleet.edge("edge-1", [first, second], "ALLOW_UNISOLATED=1")
    fleet.settled([first, second], edge)
    spec = {"name": "web", "image": "builtin:shell"}
    first.call("vm.create", node="edge-1", spec=spec, start=True, wait_s=10)
    second.call("vm.console.send", vm="web", data="echo shown$((40+2))\n")
    each_shows((first, second), has_all, True)
    edge.kill()
    for hub in (first, second):
        assert operations(hub)[:2] == [("vm.create", "running"), ("vm.create", "done")]
        assert console_lines(hub).count("shown42") == 1
