"""`headwater nodes label|drain|undrain`, against a server that answers as it is told."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hub.cli import intent
from tests.unit.cli.conftest import Counterpart

HELD = {"role": "web", "rack": "7"}


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Counterpart]:
    made = Counterpart("hub-1")
    made.announce(tmp_path)
    made.answers["node.get"] = {"node_id": "edge-1", "labels": HELD}
    yield made
    made.close()


def run(folder: Path, command: Any, *words: str) -> Result:
    result = CliRunner().invoke(command, words, env={"DATA": str(folder)})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.mark.parametrize(
    ("words", "labels"),
    [
        (("rack=8", "site=a=b"), {"role": "web", "rack": "8", "site": "a=b"}),
        (("--remove", "rack"), {"role": "web"}),
        (("--only", "site=a"), {"site": "a"}),
        (("--only",), {}),
    ],
)
def test_labels_that_are_not_named_stay(
    tmp_path: Path, hub: Counterpart, words: tuple[str, ...], labels: dict[str, str]
) -> None:
    """Unless all others are to go."""
    hub.answers["node.label"] = {"labels": labels}
    result = run(tmp_path, intent.label, "edge-1", *words)
    assert hub.asked[-1] == ("node.label", {"node": "edge-1", "labels": labels})
    told = ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))
    assert result.stdout == f"edge-1 has {'the labels ' + told if told else 'no labels'}.\n"
    assert run(tmp_path, intent.label, "edge-1", *words, "-o", "ndjson").stdout.startswith("{")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "name a label as KEY=VALUE"),
        (("rack",), "write 'rack' as KEY=VALUE"),
        (("--remove", "zone"), "edge-1 has no label zone: the labels rack=7, role=web"),
    ],
)
def test_a_label_that_cannot_be_meant_changes_nothing(
    tmp_path: Path, hub: Counterpart, words: tuple[str, ...], told: str
) -> None:
    result = run(tmp_path, intent.label, "edge-1", *words)
    assert result.exit_code == 2
    assert told in result.output
    assert all(method != "node.label" for method, _ in hub.asked)


def test_a_machine_is_given_no_new_work_and_what_runs_is_named(
    tmp_path: Path, hub: Counterpart
) -> None:
    vms = [{"name": "box", "state": "running"}, {"name": "old", "state": "stopped"}]
    hub.answers["node.drain"] = hub.answers["node.undrain"] = {"draining": True, "vms": vms}
    shown = run(tmp_path, intent.drain, "edge-1").stdout
    assert shown == "edge-1 takes no new work; what runs there goes on: box.\n"
    assert run(tmp_path, intent.undrain, "edge-1").stdout == "edge-1 takes new work.\n"
    (drained, ordered), undrained = hub.asked
    assert (drained, ordered["node"]) == ("node.drain", "edge-1")
    assert ordered["request_id"], "as every order, so that another hub can be asked again"
    assert undrained == ("node.undrain", {"node": "edge-1"})
    assert '"draining":true' in run(tmp_path, intent.drain, "edge-1", "-o", "ndjson").stdout
