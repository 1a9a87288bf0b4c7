"""`headwater nodes register|remove|set-role|removed`, against a server that answers as it is told."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hub.cli import enrol
from tests.unit.cli.conftest import Counterpart


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counterpart]:
    monkeypatch.setattr(enrol, "_who", lambda: "ada on desk")
    made = Counterpart("hub-1")
    made.announce(tmp_path)
    yield made
    made.close()


def run(folder: Path, command: Any, *words: str, typed: str = "") -> Result:
    result = CliRunner().invoke(command, words, env={"DATA": str(folder)}, input=typed)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def asked(hub: Counterpart, method: str) -> list[dict[str, Any]]:
    return [params for name, params in hub.asked if name == method]


def test_a_node_is_registered_with_labels_and_a_role(tmp_path: Path, hub: Counterpart) -> None:
    hub.answers["node.register"] = {"node_id": "edge-1"}
    words = ("edge-1", "--label", "rack=7", "--label", "site=a=b", "--role", "db")
    result = run(tmp_path, enrol.register, *words)
    assert (result.exit_code, result.output) == (0, "edge-1 belongs to the fleet.\n")
    assert asked(hub, "node.register") == [
        {
            "node": "edge-1",
            "labels": {"rack": "7", "site": "a=b"},
            "role": "db",
            "who": "ada on desk",
        }
    ]
    wrong = run(tmp_path, enrol.register, "edge-1", "--label", "rack")
    assert wrong.exit_code == 2
    assert "write 'rack' as KEY=VALUE" in wrong.output


def test_a_node_is_removed_once_its_name_was_typed(tmp_path: Path, hub: Counterpart) -> None:
    hub.answers["node.remove"] = {"node_id": "edge-1", "unsent_records": 1200}
    wrong = run(tmp_path, enrol.remove, "edge-1", typed="edge-2\n")
    assert wrong.exit_code == 1
    assert "nothing was removed" in wrong.output
    assert asked(hub, "node.remove") == []
    right = run(tmp_path, enrol.remove, "edge-1", "--why", "sold", typed="edge-1\n")
    assert right.exit_code == 0
    assert "1,200 of its records were on no hub" in right.output
    assert "`headwater nodes register edge-1` lets it back" in right.output
    run(tmp_path, enrol.remove, "edge-1", "--yes", "--force")
    assert asked(hub, "node.remove") == [
        {"node": "edge-1", "why": "sold", "who": "ada on desk", "force": False},
        {"node": "edge-1", "who": "ada on desk", "force": True},
    ]


def test_a_role_is_given_and_taken(tmp_path: Path, hub: Counterpart) -> None:
    hub.answers["node.setRole"] = {"node_id": "edge-1"}
    assert run(tmp_path, enrol.set_role, "edge-1", "db").output == "edge-1 has the role db.\n"
    assert run(tmp_path, enrol.set_role, "edge-1", "").output == "edge-1 has no role.\n"
    assert asked(hub, "node.setRole") == [{"node": "edge-1", "role": "db"}, {"node": "edge-1"}]


def test_removed_nodes_are_a_table(tmp_path: Path, hub: Counterpart) -> None:
    item = {"node": "edge-9", "removed": "2026-08-01T10:00:00Z", "by": "ada", "why": "sold"}
    hub.answers["node.removed"] = {"items": [item], "total": 1}
    result = run(tmp_path, enrol.removed)
    assert result.exit_code == 0
    assert "edge-9" in result.output
    assert "sold" in result.output
