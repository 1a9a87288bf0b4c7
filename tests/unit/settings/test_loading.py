"""Settings: precedence, sources, and one sentence for everything that is wrong."""

from pathlib import Path

import pytest

from edge.settings import EdgeSettings
from hub.settings import HubSettings
from shared.address import Address
from shared.errors import SettingsError
from shared.settings import load


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A TOML file with settings for a hub and an edge."""
    path = tmp_path / "headwater.toml"
    path.write_text(
        '[hub]\nport = 3\npeers = ["a", "b:1"]\nhub_id = "file"\n[edge]\ntail = ["x"]\n'
    )
    return path


def test_flags_win_over_environment_over_file_over_default(file: Path) -> None:
    """Each value comes from the strongest place that names it, and the place is told."""
    loaded = load(
        HubSettings,
        "hub",
        environ={"PORT": "2", "HEADWATER_HUB_ID": "env"},
        flags={"hub_id": "flag", "port": None},
        file=file,
    )
    settings, sources = loaded.settings, loaded.sources
    assert (settings.hub_id, sources["hub_id"]) == ("flag", "--hub-id")
    assert (settings.port, sources["port"]) == (2, "environment PORT")
    assert settings.peers == (Address("a", 8470), Address("b", 1))
    assert sources["peers"] == f"file {file}"
    assert (settings.host, sources["host"]) == ("127.0.0.1", "default")


def test_the_long_name_of_a_variable_wins_over_the_short_one() -> None:
    """PORT may be set by something else on the machine; HEADWATER_PORT is meant."""
    environ = {"PORT": "1", "HEADWATER_PORT": "2"}
    assert load(HubSettings, "hub", environ=environ).settings.port == 2


def test_an_empty_variable_is_an_unset_one() -> None:
    """`PEER_MASTERS= make start` starts a hub alone."""
    environ = {"PORT": "", "PEER_MASTERS": ""}
    assert load(HubSettings, "hub", environ=environ).settings == HubSettings()


def test_data_in_the_environment_is_the_folder_of_all_roles() -> None:
    """With the same DATA, a hub and an edge on one machine do not meet."""
    environ = {"DATA": "/srv/hw"}
    assert load(HubSettings, "hub", environ=environ).settings.data == Path("/srv/hw/hub")
    assert load(EdgeSettings, "edge", environ=environ).settings.data == Path("/srv/hw/edge")
    flags = {"data": "/srv/one"}
    loaded = load(HubSettings, "hub", environ=environ, flags=flags)
    assert loaded.settings.data == Path("/srv/one")


def test_both_names_for_the_hubs_of_an_edge_work() -> None:
    """EXPLORER_ADDRESSES is an alias of MASTERS."""
    for name in ("MASTERS", "EXPLORER_ADDRESSES"):
        settings = load(EdgeSettings, "edge", environ={name: "10.0.0.1,10.0.0.2:9"}).settings
        assert [hub.url for hub in settings.masters] == [
            "http://10.0.0.1:8470",
            "http://10.0.0.2:9",
        ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[hub]\nprot = 1\n", "prot in .hub. is not known: did you mean port?"),
        ("[edge]\nmaster = 1\n", "master in .edge. is not known: did you mean masters?"),
        ("[huub]\n", "huub. is not known: did you mean hub?"),
        ("hub = 3\n", "hub must be a table"),
        ("[hub\n", "not valid TOML"),
        ("[hub]\nport = 'x'\n", "port .file .*. must be a whole number from 0 to 65535; it is 'x'"),
        ("[hub]\npeers = [1]\n", "peers .file .*. must be a list of texts"),
        ("[hub]\nhub_id = 3\n", "must be a name of 1 to 63 characters"),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence(tmp_path: Path, content: str, said: str) -> None:
    """It names the file, the key and the nearest known one."""
    path = tmp_path / "headwater.toml"
    path.write_text(content)
    with pytest.raises(SettingsError, match=said):
        load(HubSettings, "hub", environ={}, file=path)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    """A file that was named must be there."""
    with pytest.raises(SettingsError, match=r"cannot read .*absent\.toml: No such file"):
        load(HubSettings, "hub", environ={}, file=tmp_path / "absent.toml")


def test_an_unknown_variable_of_ours_stops_the_start() -> None:
    """A typing mistake in a name must not be silent."""
    with pytest.raises(
        SettingsError, match="HEADWATER_PEER is not known: did you mean HEADWATER_P"
    ):
        load(HubSettings, "hub", environ={"HEADWATER_PEER": "x"})


def test_a_variable_of_another_role_is_no_mistake() -> None:
    """One environment may serve a hub and an edge."""
    environ = {"HEADWATER_TAIL": "/var/log/syslog", "HEADWATER_TOKEN": "t"}
    assert load(HubSettings, "hub", environ=environ).settings == HubSettings()


def test_a_secret_never_appears_in_an_error(tmp_path: Path) -> None:
    """Errors end up in logs."""
    path = tmp_path / "headwater.toml"
    path.write_text("[hub]\ncluster_key = 123456789\n")
    with pytest.raises(SettingsError, match="cluster_key") as caught:
        load(HubSettings, "hub", environ={}, file=path)
    assert "123456789" not in str(caught.value)


@pytest.mark.parametrize("role", ["hub", "edge"])
def test_listening_beyond_this_machine_needs_a_yes(role: str) -> None:
    """Without TLS, only INSECURE=1 opens a port to others."""
    kind, name = (HubSettings, "host") if role == "hub" else (EdgeSettings, "otlp_host")
    flags = {name: "0.0.0.0"}
    with pytest.raises(SettingsError, match="INSECURE=1"):
        load(kind, role, environ={}, flags=flags)
    loaded = load(kind, role, environ={"INSECURE": "1"}, flags=flags)
    assert getattr(loaded.settings, name) == "0.0.0.0"


def test_an_edge_without_hubs_is_refused() -> None:
    """It could never deliver anything."""
    with pytest.raises(SettingsError, match="name at least one hub"):
        load(EdgeSettings, "edge", environ={"MASTERS": ","})


@pytest.mark.parametrize(
    ("flags", "url"),
    [
        ({}, "http://127.0.0.1:8470"),
        ({"host": "::1", "port": "9"}, "http://[::1]:9"),
        ({"host": "10.0.0.1", "insecure": True}, "http://10.0.0.1:8470"),
        ({"advertise_url": "https://hub.example/"}, "https://hub.example"),
    ],
)
def test_a_hub_knows_the_url_that_others_use(flags: dict[str, object], url: str) -> None:
    """It goes into gossip and into the file that the command line reads."""
    assert load(HubSettings, "hub", environ={}, flags=flags).settings.url == url
