"""Asking hubs: finding them, failing over, and telling what came of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from shared.errors import Refused, RpcError, SettingsError, Unreachable
from tests.unit.cli.conftest import TOKEN, Counterpart, Run

Hubs = tuple[Counterpart, Counterpart]

NODES = {"items": [{"node_id": "edge-1", "state": "online", "age_s": 1.5}]}
DONE = {"op_id": "o", "state": "done"}


def said(result: Result) -> str:
    """The one sentence that the console script would print."""
    assert result.exception is not None
    assert "\n" not in str(result.exception)
    return str(result.exception)


def test_the_hubs_of_the_data_folder_are_found_with_their_tokens(
    hubs: Hubs, headwater: Run
) -> None:
    """Nothing has to be typed on the machine of the hubs."""
    hubs[0].answers["node.list"] = NODES
    result = headwater("nodes")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].split()[:4] == ["edge-1", "online", "1.5", "s"]
    assert result.stderr == ""


def test_the_next_hub_is_asked_when_one_does_not_answer(hubs: Hubs, headwater: Run) -> None:
    """Whoever asks is told on standard error, and the data on standard output is whole."""
    hubs[0].close()
    hubs[1].answers["node.list"] = NODES
    result = headwater("nodes", "-o", "json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == NODES
    assert "hub-1 does not answer" in result.stderr


def test_a_hub_that_is_stopping_is_passed_over(hubs: Hubs, headwater: Run) -> None:
    """503 says that another hub may do better."""
    hubs[0].answers["node.list"] = 503
    hubs[1].answers["node.list"] = NODES
    assert headwater("nodes").exit_code == 0


def test_an_order_keeps_its_request_id_on_the_next_hub(hubs: Hubs, headwater: Run) -> None:
    """The first hub may have passed it on before it died; the edge then knows the id."""
    hubs[0].answers["vm.start"] = 503
    hubs[1].answers["vm.start"] = DONE
    assert headwater("vm", "start", "box").exit_code == 0
    (_, first), (_, second) = hubs[0].asked[0], hubs[1].asked[0]
    assert first["request_id"] == second["request_id"]
    assert first["request_id"].startswith("cli-")


def test_two_orders_have_two_request_ids(hubs: Hubs, headwater: Run) -> None:
    """Repeating on purpose needs --request-id."""
    hubs[0].answers["vm.start"] = DONE
    for words in ([], [], ["--request-id", "mine"], ["--request-id", "mine"]):
        headwater("vm", "start", "box", *words)
    ids = [params["request_id"] for _, params in hubs[0].asked]
    assert len(set(ids)) == 3
    assert ids[2:] == ["mine", "mine"]


def test_an_order_without_an_answer_tells_how_to_repeat_it(hubs: Hubs, headwater: Run) -> None:
    """Nobody knows whether it was done, and the same id is safe."""
    for hub in hubs:
        hub.answers["vm.stop"] = 503
    result = headwater("vm", "stop", "box", "--request-id", "again-1")
    assert result.exit_code == 1
    assert "--request-id again-1 is safe" in said(result)


def test_no_hub_at_all_is_one_sentence(headwater: Run) -> None:
    """It says where hubs are looked for."""
    result = headwater("nodes")
    assert result.exit_code == 2
    assert "no hub is known" in said(result)


def test_hubs_that_are_all_gone_are_one_sentence(hubs: Hubs, headwater: Run) -> None:
    """Reading fails with 1; trying again later may work."""
    for hub in hubs:
        hub.close()
    result = headwater("nodes")
    assert isinstance(result.exception, Unreachable)
    assert result.exit_code == 1


def test_a_named_hub_is_asked_with_the_token_of_the_environment(
    hubs: Hubs, headwater: Run, tmp_path: Path
) -> None:
    """As from another machine."""
    hubs[1].answers["node.list"] = NODES
    address = hubs[1].url.removeprefix("http://")
    elsewhere = {"DATA": str(tmp_path / "none"), "HEADWATER_TOKEN": TOKEN}
    assert headwater("nodes", "--hub", address, **elsewhere).exit_code == 0
    assert headwater("nodes", HEADWATER_HUB=address).exit_code == 0


def test_a_token_on_disk_is_sent_to_nobody_else(hubs: Hubs, headwater: Run) -> None:
    """Only the hub that wrote it may have it back."""
    stranger = Counterpart("stranger")
    try:
        result = headwater("nodes", "--hub", stranger.url)
        assert isinstance(result.exception, SettingsError)
        assert "no token is known" in said(result)
        assert stranger.asked == []
    finally:
        stranger.close()


def test_a_refused_token_is_exit_5(hubs: Hubs, headwater: Run) -> None:
    """The other hubs are not tried with it."""
    result = headwater("nodes", "--token", "wrong")
    assert isinstance(result.exception, Refused)
    assert result.exit_code == 5
    assert hubs[1].asked == []


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [(-32602, 2), (-32601, 2), (-32001, 4), (-32014, 5), (-32015, 5), (-32010, 1), (-32603, 1)],
)
def test_an_error_of_a_hub_becomes_an_exit_code(
    hubs: Hubs, headwater: Run, code: int, exit_code: int
) -> None:
    """A script can tell wrong use, nothing found, refused and failed apart."""
    hubs[0].answers["node.get"] = {"code": code, "message": "no"}
    result = headwater("node", "show", "edge-1")
    assert isinstance(result.exception, RpcError)
    assert (said(result), result.exit_code) == ("no", exit_code)


def test_a_partial_answer_is_exit_3_and_nothing_is_exit_4(hubs: Hubs, headwater: Run) -> None:
    """Never silently less than all."""
    hubs[0].answers["vm.list"] = {"items": [], "missing_nodes": ["edge-2"], "partial": True}
    partial = headwater("vms")
    assert (partial.exit_code, partial.stderr) == (3, "partial: nothing from edge-2\n")
    hubs[0].answers["vm.list"] = {"items": [], "missing_nodes": [], "partial": False}
    assert headwater("vms").exit_code == 4


EDGE = {"node": "edge-2", "state": "offline", "chunks": 0, "records": 0, "age_s": 55.9}
SPLIT = {"age_s": 4.0, "island": ["hub-1"], "configured": ["hub-1", "hub-2"], "side": "alone"}


@pytest.mark.parametrize(
    ("coverage", "told"),
    [
        ({"behind": [EDGE], "behind_nodes": 1}, "edge-2 (offline) is behind"),
        (
            {"behind": [EDGE] * 9, "behind_nodes": 2000},
            "2,000 nodes are behind, edge-2 (offline) first",
        ),
        ({"isolated": True, "behind": [EDGE]}, "this hub reaches no other hub"),
        ({"split": SPLIT, "behind": [EDGE]}, "hubs are apart"),
        ({"damaged_chunks": 3}, "damaged chunks are left out"),
    ],
)
def test_a_partial_list_says_what_it_lacks(
    hubs: Hubs, headwater: Run, coverage: dict[str, Any], told: str
) -> None:
    """An offline machine is no promise that more is to come."""
    nodes = [{"node_id": "edge-2", "state": "offline"}]
    hubs[0].answers["node.list"] = {"items": nodes, "coverage": {**coverage, "partial": True}}
    result = headwater("nodes")
    assert (result.exit_code, result.stderr) == (3, f"partial: {told}\n")


def test_a_failed_order_is_exit_1(hubs: Hubs, headwater: Run) -> None:
    """The operation is shown all the same."""
    hubs[0].answers["vm.start"] = {"op_id": "o", "state": "failed", "error": {"message": "no room"}}
    result = headwater("vm", "start", "box")
    assert result.exit_code == 1
    assert "no room" in result.stdout


def test_an_order_that_goes_on_tells_where_to_look(hubs: Hubs, headwater: Run) -> None:
    """Waiting longer is up to the person."""
    hubs[0].answers["vm.start"] = {"op_id": "o-7", "state": "running"}
    result = headwater("vm", "start", "box", "--wait", "0")
    assert result.exit_code == 0
    assert "headwater op wait o-7" in result.stderr
