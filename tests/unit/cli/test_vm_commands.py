"""The commands about machines: what they ask, what they print, and how they leave."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.cli.vm_spec import read_spec, spec_of_flags
from hub.cli.vms import COMMANDS
from hub.web.vm_words import disk_of, mib_of, pairs_of, port_of
from shared.errors import RpcError
from shared.jsonrpc import CODES
from shared.lazy_group import load_command
from shared.main import exit_code
from tests.examples import examples
from tests.unit.cli.conftest import Counterpart, Run

Hubs = tuple[Counterpart, Counterpart]

LINE = {"at": "2026-11-22T04:00:00Z", "text": "the guest answered"}
DONE = {"op_id": "o-1", "state": "done", "method": "vm.x", "node_id": "edge-1"}
PATH = {"path": {"served_by": "hub-2", "hops": [{"hub": "hub-1", "error": "refused"}]}}


def error(kind: str, **data: Any) -> dict[str, Any]:
    """An error as a hub sends it."""
    return {"code": CODES[kind], "message": f"it is {kind}", "data": {"kind": kind, **data}}


def last(hubs: Hubs, method: str) -> dict[str, Any]:
    """The parameters of the last call of a method, without those of every order."""
    sent = next(asked for name, asked in reversed(hubs[0].asked) if name == method)
    return {k: v for k, v in sent.items() if k not in ("request_id", "wait_s")}


@pytest.mark.parametrize(
    ("words", "method", "params"),
    [
        ("start box", "vm.start", {}),
        ("start box --queue --queue-for 60", "vm.start", {"queue": True, "queue_s": 60.0}),
        ("stop box --force", "vm.stop", {"mode": "force"}),
        ("stop box --force-after 5", "vm.stop", {"mode": "graceful", "force_after": 5.0}),
        ("reboot box --hard --node n", "vm.reboot", {"mode": "hard", "node": "n"}),
        ("pause box", "vm.pause", {}),
        ("resume box --if-generation 3", "vm.resume", {"if_generation": 3}),
        ("delete box --force --keep-disks", "vm.delete", {"force": True, "keep_disks": True}),
        ("clone box copy", "vm.clone", {"name": "copy"}),
        ("clone box copy --snapshot s", "vm.clone", {"name": "copy", "snapshot": "s"}),
        ("snapshot create box s --memory", "vm.snapshot.create", {"name": "s", "memory": True}),
        ("snapshot restore box s", "vm.snapshot.restore", {"name": "s"}),
        ("snapshot delete box s", "vm.snapshot.delete", {"name": "s"}),
        ("update box --memory 1G", "vm.update", {"patch": {"memory_mib": 1024}}),
    ],
)
def test_an_order_is_one_call_with_a_request_id(
    hubs: Hubs, headwater: Run, words: str, method: str, params: dict[str, Any]
) -> None:
    """Whatever is not said is left to the node; False and None are not sent along."""
    hubs[0].answers[method] = DONE
    result = headwater("vm", *words.split())
    assert result.exit_code == 0, result.output
    sent = {name: value for name, value in last(hubs, method).items() if value is not False}
    assert sent == {"vm": "box", **params}
    assert hubs[0].asked[-1][1]["request_id"].startswith("cli-")


def test_every_order_keeps_its_request_id_on_the_next_hub(hubs: Hubs, headwater: Run) -> None:
    """Also those that are newer than the list of orders in the client."""
    hubs[0].answers["vm.clone"], hubs[1].answers["vm.clone"] = 503, DONE
    assert headwater("vm", "clone", "box", "copy").exit_code == 0
    assert hubs[0].asked[0][1]["request_id"] == hubs[1].asked[0][1]["request_id"]


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (DONE | PATH, 0, "path: hub-1 (refused)"),
        ({"state": "queued", "node_id": "n", "expires_at": "later"}, 0, "it waits for n"),
        (DONE | {"state": "failed", "error": {"message": "too slow"}}, 1, "failed: too slow"),
        (DONE | {"state": "cancelled"}, 1, "cancelled"),
    ],
)
def test_the_end_of_an_order_is_an_exit_code_and_a_sentence(
    hubs: Hubs, headwater: Run, answer: dict[str, Any], code: int, words: str
) -> None:
    """As the README says."""
    hubs[0].answers["vm.stop"] = answer
    result = headwater("vm", "stop", "box")
    assert result.exit_code == code
    assert words in result.stderr


@pytest.mark.parametrize(
    ("kind", "code"),
    [("not_found", 4), ("invalid_params", 2), ("protected", 5), ("busy", 1), ("no_path", 1)],
)
def test_an_error_of_a_hub_has_its_exit_code(
    hubs: Hubs, headwater: Run, kind: str, code: int
) -> None:
    """Nothing matched, wrong use, refused, failed."""
    hubs[0].answers["vm.stop"] = error(kind)
    result = headwater("vm", "stop", "box")
    assert isinstance(result.exception, RpcError)
    assert exit_code(result.exception) == code


def test_a_long_order_is_waited_for_and_its_stages_are_told(hubs: Hubs, headwater: Run) -> None:
    """On standard error, so that the data stays clean."""
    running = DONE | {"state": "running", "stage": "disks", "progress": 40}
    hubs[0].answers |= {"vm.start": running, "op.wait": DONE}
    result = headwater("vm", "start", "box", "-o", "json")
    assert json.loads(result.stdout)["state"] == "done"
    assert "disks (40 %)" in result.stderr
    assert hubs[0].asked[-1][1]["node"] == "edge-1"


def test_the_list_has_every_filter(hubs: Hubs, headwater: Run) -> None:
    """As vm.list takes them."""
    hubs[0].answers["vm.list"] = {"items": [{"name": "a", "node_id": "n"}], "cursor": None}
    words = "--state failed --state unknown --kind vm --label a=b --name w* --node n --text x"
    assert headwater("vms", *words.split()).exit_code == 0
    asked = last(hubs, "vm.list")
    wanted = {"state": ["failed", "unknown"], "kind": "vm", "label": ["a=b"], "name": "w*"}
    assert wanted.items() <= asked.items()


def test_a_machine_is_created_from_a_file_and_flags(
    hubs: Hubs, headwater: Run, tmp_path: Path
) -> None:
    """Flags go before what the file says."""
    hubs[0].answers["vm.create"] = DONE
    (tmp_path / "web.toml").write_text('name = "web"\nimage = "i"\ncpus = 1\nrestart = "always"\n')
    (tmp_path / "cloud").write_text("#cloud-config\n")
    flags = f"--spec {tmp_path}/web.toml --cpus 4 --port 8080:80 --user-data {tmp_path}/cloud"
    more = "--disk root:20G --disk extra:image=a:b:ro --limit-cpu 50 --kernel k --cmdline x"
    result = headwater("vm", "create", "--node", "n", "--no-start", *flags.split(), *more.split())
    assert result.exit_code == 0, result.output
    assert last(hubs, "vm.create") == {
        "node": "n",
        "start": False,
        "spec": {
            "name": "web",
            "image": "i",
            "cpus": 4,
            "restart": "always",
            "disks": [
                {"name": "root", "size_mib": 20480},
                {"name": "extra", "image": "a:b", "readonly": True},
            ],
            "nics": [{"mode": "user", "ports": [{"guest": 80, "host": 8080, "proto": "tcp"}]}],
            "kernel": {"image": "k", "cmdline": "x"},
            "cloud_init": {"user_data": "#cloud-config\n"},
            "limits": {"cpu_percent": 50},
        },
    }


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.json", b"[]"), ("a.json", b"{"), ("a.toml", b"a = "), ("a.json", b"\xff"), ("a", b"")],
)
def test_a_file_that_holds_no_spec_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    """With the reason, before any hub is asked."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(click.BadParameter):
        read_spec(path)


@pytest.mark.parametrize(
    "words",
    [
        "create --node n",
        "create box --node n --on site=north",
        "create box --request-id r-1",
        "create box --node n --memory much",
        "create box --node n --no-net --port 80",
        "create box --node n --initrd i",
        "create box --node n --label north",
        "update box",
        "bulk stop",
        "bulk stop box --state running",
        "bulk start box --force",
        "bulk snapshot box",
        "stats box --step 1m",
        "route",
    ],
)
def test_wrong_use_is_told_before_a_hub_is_asked(hubs: Hubs, headwater: Run, words: str) -> None:
    """And leaves with 2."""
    result = headwater("vm", *words.split())
    code = exit_code(result.exception) if isinstance(result.exception, RpcError) else None
    assert 2 in (result.exit_code, code)
    assert hubs[0].asked == []


def test_validate_leaves_with_1_when_there_are_problems(hubs: Hubs, headwater: Run) -> None:
    """So that a script can ask first."""
    problem = {"kind": "insufficient", "message": "no room"}
    hubs[0].answers["vm.validate"] = {"problems": [problem], "warnings": ["slow"]}
    result = headwater("vm", "validate", "box", "--node", "n")
    assert result.exit_code == 1
    assert "insufficient: no room" in result.stderr
    assert "warning: slow" in result.stderr


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"code": 0}, 0),
        ({"code": 7}, 7),
        ({"code": None, "signal": 9}, 137),
        ({"code": None, "signal": None, "timed_out": True}, 124),
    ],
)
def test_exec_leaves_as_the_command_did(
    headwater: Run, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], code: int
) -> None:
    """Its output is ours, and its flags are its own."""
    # An answer with "code" at its top would be read as an error by the counterpart.
    told = {"stdout": "out\n", "stderr": "err\n", "signal": None, **answer}
    monkeypatch.setattr("hub.cli.ask.Asker.ask", lambda *_, **__: told)
    result = headwater("vm", "exec", "-o", "table", "box", "--", "ls", "--all")
    assert result.exit_code == code
    assert (result.stdout, result.stderr[:4]) == ("out\n", "err\n")


def test_exec_leaves_the_flags_of_the_command_alone(hubs: Hubs, headwater: Run) -> None:
    """Ours stand before the machine."""
    hubs[0].answers["vm.exec"] = error("not_supported")
    headwater("vm", "exec", "--timeout", "3", "box", "--", "ls", "--all")
    assert last(hubs, "vm.exec") == {"vm": "box", "argv": ["ls", "--all"], "timeout_s": 3.0}


def test_a_bulk_order_shows_each_result_and_how_to_repeat(hubs: Hubs, headwater: Run) -> None:
    """It leaves with 1 when one failed."""
    items = [
        {"vm_name": "a", "vm_id": "1", "node_id": "n", "state": "done"},
        {"vm_name": "b", "vm_id": "2", "node_id": "n", "state": "failed"},
    ]
    told = {"op_id": "o", "method": "vm.bulk", "action": "stop", "items": items, "total": 2}
    hubs[0].answers["vm.bulk"] = told | {"state": "running", "counts": {}}
    hubs[0].answers["op.wait"] = told | {"state": "failed", "counts": {"done": 1, "failed": 1}}
    result = headwater("vm", "bulk", "stop", "--label", "a=b", "--force-after", "3", "--yes")
    assert result.exit_code == 1
    assert "headwater vm bulk stop 2" in result.stderr
    order = last(hubs, "vm.bulk")
    assert order["selector"] == {"label": ["a=b"]}
    assert order["options"] == {"force_after": 3.0}
    assert "node" not in hubs[0].asked[-1][1], "it is the hub's own operation"


@pytest.mark.parametrize(
    ("words", "method", "params"),
    [
        ("op show o --node n", "op.get", {"op_id": "o", "node": "n"}),
        ("op wait o", "op.get", {"op_id": "o"}),
        ("op cancel o", "op.cancel", {"op_id": "o"}),
        (
            "op list --vm box --state failed",
            "op.list",
            {"vm": "box", "state": "failed", "limit": 50},
        ),
        ("queue list --node n", "vm.queue.list", {"node": "n"}),
        ("queue cancel r", "vm.queue.cancel", {}),
        ("image list n", "image.list", {"node": "n"}),
        ("image delete n i --force", "image.delete", {"node": "n", "name": "i", "force": True}),
        ("vm ops box", "op.list", {"vm": "box", "limit": 50}),
        ("vm events box --after -1h", "vm.events", {"vm": "box", "after": "-1h", "limit": 100}),
        ("vm stats box", "vm.stats", {"vm": "box"}),
        ("vm logs box", "vm.logs", {"vm": "box", "source": "agent", "tail": 100}),
        (
            "vm logs box --node n --source driver --tail 5",
            "vm.logs",
            {"vm": "box", "node": "n", "source": "driver", "tail": 5},
        ),
        ("vm show box --live", "vm.get", {"vm": "box", "live": True}),
        ("vm route box", "hub.route", {"vm": "box"}),
    ],
)
def test_a_command_is_one_call(
    hubs: Hubs, headwater: Run, words: str, method: str, params: dict[str, Any]
) -> None:
    """With what was said and no more."""
    hubs[0].answers[method] = {**DONE, "items": [{"name": "x"}], "paths": [], "lines": [LINE]}
    result = headwater(*words.split())
    assert result.exit_code == 0, result.output
    assert last(hubs, method) == params


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_of_the_table_is_there_and_helps_with_an_example(name: str) -> None:
    """A person learns it from its help."""
    command = load_command(COMMANDS[name][0])
    help_texts = [command.help or ""]
    if isinstance(command, click.Group):
        help_texts = [each.help or "" for each in command.commands.values()]
    if name not in ("console", "log"):
        assert all("headwater vm " in text for text in help_texts)


def kind_of(read: Callable[[], Any]) -> str:
    """The kind of the declared error, empty without one; another error goes through."""
    try:
        read()
    except RpcError as refused:
        return refused.kind
    return ""


@pytest.mark.parametrize("read", [disk_of, port_of, lambda text: mib_of(text, "a")])
@settings(max_examples=examples(100), deadline=None)
@given(text=st.text(max_size=60))
def test_whatever_is_written_is_read_or_refused(read: Callable[[str], Any], text: str) -> None:
    """Arbitrary text raises the declared error and no other."""
    assert kind_of(lambda: read(text)) in ("", "invalid_params")


@settings(max_examples=examples(100), deadline=None)
@given(texts=st.lists(st.text(max_size=20), max_size=5))
def test_pairs_are_read_or_refused(texts: list[str]) -> None:
    """The same for labels and variables."""
    assert kind_of(lambda: pairs_of(texts, "labels")) in ("", "invalid_params")


def test_flags_that_were_not_given_are_no_fields() -> None:
    """A patch replaces only what it names."""
    assert spec_of_flags({"cpus": None, "memory": None, "protected": None, "disks": ()}) == {}
