"""What leadership adds to settings, commands and pages: read, refused, and told in plain words."""

from typing import Any

import pytest
from click.testing import CliRunner

from hub.cli.peers import COMMANDS, peers
from hub.lead.states import states_of
from hub.lead.static import HubState
from hub.own_event import event_of
from hub.peers import Peers
from hub.settings import HubSettings
from hub.web.event_words import sentence_of
from shared.errors import SettingsError
from shared.settings import load
from tests.unit.cli.conftest import Counterpart


def known(**verdicts: str) -> Peers:
    """Peers of hub-2, each with what the detector says of it."""
    peers = Peers("hub-2", "http://hub-2")
    for name, verdict in verdicts.items():
        hub_id = name.replace("_", "-")
        (peer,) = peers.learn([f"http://{hub_id}"])
        peer.hub_id, peer.verdict = hub_id, verdict
    return peers


def test_a_hub_without_peers_is_up_and_not_isolated() -> None:
    assert states_of(known(), 100.0) == {"hub-2": HubState(alive=True)}


def test_a_hub_that_hears_one_of_its_peers_is_not_isolated() -> None:
    states = states_of(known(hub_1="alive", hub_3="unknown"), 100.0)
    assert states == {
        "hub-1": HubState(alive=True),
        "hub-2": HubState(alive=True),
        "hub-3": HubState(alive=False),
    }


def test_a_hub_that_hears_none_of_its_peers_is_isolated() -> None:
    peers = known(hub_1="dead")
    peers.learn(["http://never-heard"])
    assert states_of(peers, 100.0) == {
        "hub-1": HubState(alive=False),
        "hub-2": HubState(alive=True, isolated=True),
    }


def test_a_hub_that_the_detector_calls_isolated_is_so_whatever_it_last_said_of_others() -> None:
    peers = known(hub_1="alive")
    peers.is_isolated = True
    assert states_of(peers, 100.0)["hub-2"] == HubState(alive=True, isolated=True)


def loaded(**environ: str) -> HubSettings:
    given = {f"HEADWATER_{name}": value for name, value in environ.items()}
    return load(HubSettings, "hub", environ=given).settings


def test_settings_of_leadership_are_read() -> None:
    settings = loaded(
        HUB_ID="hub-1",
        LEADER="Quorum",
        LEAD_HUBS="hub-3, hub-1,hub-2",
        HOOK_COMMAND="/bin/move --to 'a b'",
        HOOK_TIMEOUT_SECONDS="500ms",
    )
    assert (settings.leader, settings.lead_hubs) == ("quorum", ("hub-1", "hub-2", "hub-3"))
    assert settings.hook_command == ("/bin/move", "--to", "a b")
    assert settings.hook_timeout_seconds == 0.5


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"LEADER": "raft"}, "must be one of none, static, quorum"),
        ({"LEADER": "quorum"}, "needs lead_hubs, the names of all hubs that vote, with hub-1"),
        ({"LEADER": "quorum", "LEAD_HUBS": "hub-1,hub-2"}, "set leader = static"),
        ({"HOOK_URL": "ftp://x"}, "must be an address that begins with http"),
        ({"HOOK_TIMEOUT_SECONDS": "0"}, "must be a duration of 0.1 s to 300 s"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_a_way_out(
    environ: dict[str, str], said: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(HUB_ID="hub-1", **environ)
    assert said in str(caught.value)


def test_peers_alone_lists_the_hubs_with_the_flags_of_the_list(hub: Counterpart) -> None:
    hub.answers = {"hub.list": {"items": [{"hub_id": "hub-1", "state": "self"}]}}
    for words in ((), ("list",)):
        assert "hub-1" in CliRunner().invoke(peers, words, catch_exceptions=False).stdout
    shown = CliRunner().invoke(peers, ("-o", "ndjson"), catch_exceptions=False).stdout
    assert shown == '{"hub_id":"hub-1","state":"self"}\n'


def test_every_command_of_peers_exists_and_is_in_its_help() -> None:
    said = CliRunner().invoke(peers, ("--help",), catch_exceptions=False).stdout
    for name in COMMANDS:
        assert name in said
        done = CliRunner().invoke(peers, (name, "--help"), catch_exceptions=False)
        assert done.stdout.startswith(f"Usage: peers {name}")
    assert CliRunner().invoke(peers, ("leadre",)).exit_code == 2


FACTS: dict[str, Any] = {
    "hub": "hub-1",
    "term": 7,
    "state": "leader",
    "leader": "hub-1",
    "reason": "elected by a majority",
}


@pytest.mark.parametrize(
    ("name", "facts", "severity", "said"),
    [
        ("state:changed", {}, "info", "hub-1 is now leader: elected by a majority"),
        ("term:changed", {"reason": "from 6"}, "info", "Term 7 has begun (from 6)"),
        ("leader:elected", {}, "info", "hub-1 leads term 7"),
        ("leader:lost", {"reason": "gone"}, "warn", "The leader of term 7 is gone: gone"),
        (
            "leader:hook_failed",
            {"kind": "stop", "attempts": 3, "error": "move ended with status 1"},
            "error",
            "The stop hook of term 7 was given up after 3 attempts: move ended with status 1",
        ),
    ],
)
def test_events_of_leadership_are_sentences(
    name: str, facts: dict[str, Any], severity: str, said: str
) -> None:
    event = event_of(1, name, {**FACTS, **facts})
    assert event.severity == severity
    row = {"type": name, "node": "hub-1", "attributes": event.attributes}
    assert sentence_of(row) == said
