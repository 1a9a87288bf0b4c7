"""How a command ends tells a script why: failed, used wrongly, nothing there, or refused."""

import pytest

from shared.errors import BadInput, Refused, RpcError, SettingsError, Unreachable
from shared.jsonrpc import CODES
from shared.main import exit_code
from tests.unit.cli.conftest import Run

REFUSED = {"conflict", "invalid_state", "not_supported", "protected", "unauthorized"}
WRONG_USE = {"invalid_params", "method_not_found"}


@pytest.mark.parametrize("kind", sorted(CODES))
def test_an_order_that_is_refused_for_how_things_are_ends_with_five(kind: str) -> None:
    """Removing a node that beats, or a hub that is alive, is no failure: it is refused."""
    wanted = 5 if kind in REFUSED else 2 if kind in WRONG_USE else 4 if kind == "not_found" else 1
    assert exit_code(RpcError(kind, "no")) == wanted


def test_other_errors_end_as_the_manual_says() -> None:
    errors = [SettingsError("x"), Refused("x"), BadInput("x"), Unreachable("x", "y", sent=False)]
    assert [exit_code(each) for each in errors] == [2, 5, 1, 1]


@pytest.mark.parametrize("option", ["--hub", "--token", "-o"])
def test_an_option_before_the_command_is_told_where_it_goes(headwater: Run, option: str) -> None:
    result = headwater(option, "127.0.0.1:8470", "peers")
    assert result.exit_code == 2
    assert f"put {option} after the command" in result.output


@pytest.mark.parametrize("group", ["node", "vm", "hub", "ledger", "config", "dead-letters", "edge"])
def test_an_option_before_the_command_of_a_group_is_told_where_it_goes(
    headwater: Run, group: str
) -> None:
    result = headwater(group, "--data", "/tmp", "show")
    assert result.exit_code == 2
    assert "put --data after the command" in result.output


@pytest.mark.parametrize(("group", "command"), [("nodes", "summary"), ("peers", "matrix")])
def test_an_option_of_a_list_before_another_command_is_told_where_it_goes(
    headwater: Run, group: str, command: str
) -> None:
    result = headwater(group, "--hub", "127.0.0.1:8470", "-o", "json", command)
    assert result.exit_code == 2
    assert f"put {command} before the options" in result.output


def test_the_name_of_a_command_may_be_the_value_of_an_option_of_the_list(headwater: Run) -> None:
    result = headwater("nodes", "--text", "summary", "--hub", "127.0.0.1:1", "--token", "t")
    assert "127.0.0.1:1" in result.output
    assert "before the options" not in result.output


def test_an_option_that_nothing_knows_is_no_such_option(headwater: Run) -> None:
    result = headwater("--hup", "127.0.0.1:8470", "peers")
    assert result.exit_code == 2
    assert "No such option" in result.output
