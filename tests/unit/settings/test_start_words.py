"""The KEY=VALUE words of `make start`."""

from pathlib import Path

import pytest

from edge.settings import EdgeSettings
from hub.settings import HubSettings
from shared.demo import DemoSettings, plan
from shared.errors import SettingsError
from shared.start import choose


def test_without_words_the_demo_starts() -> None:
    """The plain command needs nothing."""
    assert choose([], {}) == ("demo", DemoSettings())


def test_a_word_wins_over_the_environment() -> None:
    """What is typed is meant."""
    environ = {"MODE": "worker", "PORT": "1", "HEADWATER_PORT": "2", "DATA": "/x"}
    mode, settings = choose(["MODE=master", "PORT=3", "DATA=/y", "VENV=/z"], environ)
    assert mode == "master"
    assert isinstance(settings, HubSettings)
    assert (settings.port, settings.data) == (3, Path("/y/hub"))


def test_every_setting_can_be_given_by_its_own_name() -> None:
    """HOST=0.0.0.0 works as a word though the environment only takes HEADWATER_HOST."""
    words = ["MODE=master", "HOST=0.0.0.0", "INSECURE=1", "HEADWATER_LOG_LEVEL=debug"]
    _, settings = choose(words, {"HOST": "10.0.0.1"})
    assert (settings.host, settings.log_level) == ("0.0.0.0", "debug")


def test_a_worker_finds_its_hubs_in_the_environment() -> None:
    """MODE and MASTERS may both come from there."""
    mode, settings = choose([], {"MODE": "worker", "EXPLORER_ADDRESSES": "a,b:1"})
    assert mode == "worker"
    assert isinstance(settings, EdgeSettings)
    assert [str(hub) for hub in settings.masters] == ["a:8470", "b:1"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["PRT=1"], "PRT is not known: did you mean PORT?"),
        (["port=1"], "port is not known: did you mean PORT?"),
        (["PEER_MASTER=a"], "PEER_MASTER is not known: did you mean PEER_MASTERS?"),
        (["PEER_MASTERS=a"], "PEER_MASTERS is a setting of MODE=master, not of MODE=demo"),
        (["MODE=mastr"], "MODE=mastr is not known: did you mean master?"),
        (["MODE=master", "PORT=x"], "port|PORT.* must be a whole number"),
        (["start"], "not of the form KEY=VALUE"),
        (["PORT=4317"], "three different ports"),
        (["PORT=65535"], "three different ports"),
        (["HOST=0.0.0.0"], "INSECURE=1"),
        (["IMAGE_FOLDERS=images"], "IMAGE_FOLDERS.* must be folders by their whole paths"),
        (["IMAGE_BYTES_MAX=big"], "a size such as 500MiB"),
        (["CONFIG=/absent.toml"], "cannot read /absent.toml"),
    ],
)
def test_a_mistake_in_the_words_is_one_sentence(words: list[str], said: str) -> None:
    """Nothing starts, and the person knows what to write instead."""
    with pytest.raises(SettingsError, match=said) as caught:
        choose(words, {})
    assert "\n" not in str(caught.value)


def test_the_demo_is_two_peered_hubs_and_an_edge() -> None:
    """Each hub knows the other, and the edge knows both."""
    _, settings = choose(["PORT=9000", "OTLP_PORT=9100", "DATA=/d", "TAIL=/a,/b"], {})
    lines = {child.name: " ".join(child.arguments) for child in plan(settings)}
    assert list(lines) == ["hub-1", "hub-2", "edge-1"]
    assert "--data /d/hub-1 --host 127.0.0.1 --port 9000 --peers 127.0.0.1:9001" in lines["hub-1"]
    assert "--data /d/hub-2 --host 127.0.0.1 --port 9001 --peers 127.0.0.1:9000" in lines["hub-2"]
    assert "--masters 127.0.0.1:9000,127.0.0.1:9001 --otlp-port 9100" in lines["edge-1"]
    assert "--tail /a,/b" in lines["edge-1"]


def test_the_demo_hands_on_to_its_edge_which_images_it_takes() -> None:
    """By word or environment; what is not said is left to the edge."""
    words = ["IMAGE_FOLDERS=/a,/b", "IMAGE_URLS=https://example.org/", "IMAGE_BYTES_MAX=4GiB"]
    environ = {"HEADWATER_IMAGES_BYTES_MAX": "9GiB", "HEADWATER_IMAGE_FREE_BYTES_MIN": "1GiB"}
    lines = {child.name: " ".join(child.arguments) for child in plan(choose(words, environ)[1])}
    assert "--image-folders /a,/b --image-urls https://example.org/" in lines["edge-1"]
    limits = "--image-bytes-max 4GiB --images-bytes-max 9GiB --image-free-bytes-min 1GiB"
    assert limits in lines["edge-1"]
    assert not any("--image" in word for child in plan(DemoSettings()) for word in child.arguments)


def test_a_file_may_list_what_the_demo_hands_on(tmp_path: Path) -> None:
    (tmp_path / "h.toml").write_text('[demo]\nimage_folders = ["/a", "/b"]\nimage_bytes_max = 5\n')
    _, settings = choose([f"CONFIG={tmp_path}/h.toml"], {})
    edge = " ".join(plan(settings)[-1].arguments)
    assert "--image-folders /a,/b --image-bytes-max 5" in edge


def test_an_open_demo_still_talks_to_itself_by_loopback() -> None:
    """0.0.0.0 is no address that can be dialled."""
    _, settings = choose(["HOST=0.0.0.0", "INSECURE=1"], {})
    hub_1, _, edge_1 = plan(settings)
    assert hub_1.ready_url == "http://127.0.0.1:8470/readyz"
    assert "--insecure" in hub_1.arguments
    assert "127.0.0.1:8470,127.0.0.1:8471" in edge_1.arguments


def test_hubs_and_edge_of_the_demo_read_the_same_file_as_the_demo() -> None:
    children = plan(DemoSettings(), Path("/etc/headwater.toml"))
    assert all(child.arguments[-2:] == ("--config", "/etc/headwater.toml") for child in children)
    assert not any("--config" in child.arguments for child in plan(DemoSettings()))
