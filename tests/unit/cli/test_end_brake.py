"""`headwater nodes --end-brake` ends the brake on all hubs and says which of them did not hear."""

from tests.unit.cli.conftest import Counterpart, Run

Hubs = tuple[Counterpart, Counterpart]

NODES = {"items": [{"node_id": "edge-1", "state": "offline"}]}


def test_it_names_the_hubs_on_which_it_ended_and_those_that_were_not_told(
    hubs: Hubs, headwater: Run
) -> None:
    hubs[0].answers["node.list"] = NODES
    hubs[0].answers["fleet.override"] = {
        "was_braked": True,
        "hubs": [{"hub": "hub-1", "was_braked": True}, {"hub": "hub-2", "was_braked": False}],
        "unreached": [{"hub": "hub-3", "error": "connection refused"}],
    }
    result = headwater("nodes", "--end-brake")
    assert result.exit_code == 0
    assert [method for method, _ in hubs[0].asked] == ["fleet.override", "node.list"]
    assert "the brake has ended on hub-1\n" in result.stderr
    assert "hub-3 was not told: connection refused" in result.stderr
    assert "edge-1" in result.stdout


def test_without_a_brake_it_says_so(hubs: Hubs, headwater: Run) -> None:
    hubs[0].answers["node.list"] = NODES
    hubs[0].answers["fleet.override"] = {
        "was_braked": False,
        "hubs": [{"hub": "hub-1", "was_braked": False}],
        "unreached": [],
    }
    assert "no hub was braked" in headwater("nodes", "--end-brake").stderr
