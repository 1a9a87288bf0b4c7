"""`headwater hub otlp` prints what a sender needs, and nothing that opens more."""

import os
from pathlib import Path
from urllib.parse import unquote

import pytest
from click.testing import CliRunner, Result

from hub.cli.otlp import otlp
from hub.otlp_doors import ingest_token
from shared.errors import SettingsError

KEY = "the cluster key of this test"


def run(*words: str) -> Result:
    return CliRunner().invoke(otlp, words, catch_exceptions=False)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder of a hub that has run."""
    (tmp_path / "cluster.key").write_text(KEY + "\n", encoding="ascii")
    return tmp_path


def test_a_collector_gets_address_and_ingest_token(data: Path) -> None:
    result = run("--data", str(data), "--port", "9000")
    assert result.exit_code == 0
    assert "endpoint: http://127.0.0.1:9000\n" in result.output
    assert f"Authorization: Bearer {ingest_token(KEY)}\n" in result.output


def test_an_sdk_gets_them_as_variables(data: Path) -> None:
    result = run("--env", "--data", str(data), "--port", "9000")
    lines = dict(line.split("=", 1) for line in result.output.splitlines())
    assert lines["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:9000"
    told = unquote(lines["OTEL_EXPORTER_OTLP_HEADERS"])
    assert told == f"Authorization=Bearer {ingest_token(KEY)}"
    assert all(" " not in line for line in result.output.splitlines())


@pytest.mark.parametrize("words", [(), ("--env",)])
def test_the_cluster_key_itself_is_never_shown(data: Path, words: tuple[str, ...]) -> None:
    assert KEY not in run(*words, "--data", str(data)).output
    assert ingest_token(KEY) != ingest_token(KEY + "x")


def test_without_a_key_it_says_where_one_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--data FOLDER, or set CLUSTER_KEY"):
        run("--data", str(tmp_path / "hub"))
    assert os.listdir(tmp_path) == []
