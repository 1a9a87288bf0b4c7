"""Where images may come from."""

import contextlib
import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge.vm.image_paths import LINKS_MAX, open_below
from edge.vm.image_sources import allowed_address, next_address, read_address, split_path
from shared.errors import Refused
from tests.examples import examples

PREFIXES = ("https://cloud.test/images/", "http://10.0.0.1:8080/one.img")


@pytest.mark.parametrize(
    "url",
    [
        "https://cloud.test/images/a.qcow2",
        "https://cloud.test:443/images/a/b.qcow2?key=1",
        "http://10.0.0.1:8080/one.img",
        "http://10.0.0.1:8080/one.img/part",
    ],
)
def test_addresses_below_a_prefix_are_allowed(url: str) -> None:
    assert allowed_address(url, PREFIXES).text == url


@pytest.mark.parametrize(
    "url",
    [
        "https://cloud.test/other/a.qcow2",
        "https://cloud.test/imagesx/a.qcow2",
        "http://cloud.test/images/a.qcow2",
        "https://cloud.test:8443/images/a.qcow2",
        "https://cloud.test.evil.test/images/a.qcow2",
        "https://cloud.test@evil.test/images/a.qcow2",
        "https://cloud.test\\@evil.test/images/a.qcow2",
        "https://evil.test/https://cloud.test/images/",
        "https://cloud.test/images/../secret",
        "https://cloud.test/images/%2e%2e/secret",
        "https://cloud.test/images/.%2E/secret",
        "https://cloud.test/images/%2e%2e%2fsecret",
        "https://cloud.test/images/..%5csecret",
        "https://cloud.test/images/a#b",
        "https://cloud.test/images/a b",
        "https://cloud.test/images/a\r\nhost: x",
        "https://CLOUD.test/images/a",
        "http://10.0.0.1:8080/one.imgx",
        "http://10.0.0.1:99999/one.img",
        "file:///etc/passwd",
        "ftp://cloud.test/images/a",
        "https://cloud.test",
        "https://cloud.test/images/" + "a" * 3000,
        "",
    ],
)
def test_everything_else_is_refused(url: str) -> None:
    with pytest.raises(Refused):
        allowed_address(url, PREFIXES)


def test_nothing_is_allowed_unasked() -> None:
    with pytest.raises(Refused, match="set image_urls"):
        allowed_address("https://cloud.test/images/a", ())


def test_a_redirect_stays_below_the_prefixes() -> None:
    start = allowed_address("https://cloud.test/images/a", PREFIXES)
    assert next_address(start, "b.img#part", PREFIXES).text == "https://cloud.test/images/b.img"
    assert next_address(start, "http://10.0.0.1:8080/one.img", PREFIXES)
    for away in (
        "../secret",
        "/etc",
        "//evil.test/images/a",
        "http://169.254.169.254/",
        "http://[",
    ):
        with pytest.raises(Refused):
            next_address(start, away, PREFIXES)


def test_what_people_see_of_an_address_has_no_key() -> None:
    assert read_address("https://cloud.test/a?key=1").shown == "https://cloud.test/a"


@settings(max_examples=examples(300))
@given(
    st.text(max_size=80)
    | st.text(alphabet="./%2eEfF5c\\@:?#ab", max_size=40).map("https://cloud.test/images/".__add__)
)
@example("https://cloud.test/images/%252e%252e/x")
def test_no_text_gets_out_of_its_prefix(url: str) -> None:
    """Read by somebody else's parser, too, an allowed address lies below the prefix."""
    try:
        address = allowed_address(url, PREFIXES[:1])
    except Refused:
        return
    seen = urlsplit(address.text)
    assert (seen.scheme, seen.netloc.removesuffix(":443")) == ("https", "cloud.test")
    assert os.path.normpath(seen.path).startswith("/images")
    assert ".." not in seen.path.split("/")


@settings(max_examples=examples(200))
@given(st.text(max_size=60))
def test_a_redirect_to_anything_raises_only_refused(location: str) -> None:
    start = read_address("https://cloud.test/images/a")
    with contextlib.suppress(Refused):
        assert next_address(start, location, PREFIXES[:1]).path.startswith("/images/")


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("/srv/a.img", ("/srv", ("a.img",))),
        ("/srv/deep/er/a.img", ("/srv/deep", ("er", "a.img"))),
        ("/srv/../etc/shadow", ("/srv", ("..", "etc", "shadow"))),
    ],
)
def test_a_path_is_told_from_its_folder(path: str, split: tuple[str, tuple[str, ...]]) -> None:
    """Names that lead up are kept: whether they lead out is seen while they are opened."""
    assert split_path(path, ("/srv", "/srv/deep")) == split


@pytest.mark.parametrize("path", ["/etc/shadow", "srv/a", "/srvx/a", "/srv", "/srv/a\0b", ""])
def test_a_path_below_no_folder_is_refused(path: str) -> None:
    with pytest.raises(Refused):
        split_path(path, ("/srv",))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder that is allowed, with a secret beside it."""
    (tmp_path / "secret").write_text("secret")
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "a").write_text("plain")
    (root / "sub" / "b").write_text("deep")
    return root


def text_of(root: Path, *names: str) -> str:
    with os.fdopen(open_below(str(root), names)) as file:
        return file.read()


def test_files_and_links_that_stay_inside_are_opened(tree: Path) -> None:
    (tree / "sub" / "up").symlink_to("../a")
    (tree / "folder").symlink_to("sub")
    assert text_of(tree, "a") == "plain"
    assert text_of(tree, "sub", "b") == "deep"
    assert text_of(tree, "sub", "up") == "plain"
    assert text_of(tree, "folder", "b") == "deep"
    assert text_of(tree, "sub", "..", "a") == "plain"


@pytest.mark.parametrize("target", ["../secret", "/etc/passwd", "sub/../../secret", "loop"])
def test_links_that_lead_out_or_nowhere_are_refused(tree: Path, target: str) -> None:
    (tree / "loop").symlink_to(target)
    with pytest.raises(Refused):
        open_below(str(tree), ["loop"])


@pytest.mark.parametrize("names", [["..", "secret"], ["sub", "..", "..", "secret"], ["sub"], []])
def test_names_that_lead_out_or_to_a_folder_are_refused(tree: Path, names: list[str]) -> None:
    with pytest.raises((Refused, IsADirectoryError)):
        text_of(tree, *names)


def test_a_pipe_is_refused_without_waiting_for_its_other_end(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    with pytest.raises(Refused, match="no regular file"):
        open_below(str(tree), ["pipe"])


def test_a_long_chain_of_links_is_refused(tree: Path) -> None:
    (tree / "link0").symlink_to("a")
    for number in range(LINKS_MAX + 1):
        (tree / f"link{number + 1}").symlink_to(f"link{number}")
    assert text_of(tree, f"link{LINKS_MAX - 1}") == "plain"
    with pytest.raises(Refused, match="too many"):
        open_below(str(tree), [f"link{LINKS_MAX}"])


def test_no_descriptor_is_left_open(tree: Path) -> None:
    (tree / "out").symlink_to("../secret")
    before = len(os.listdir("/proc/self/fd"))
    for names in (["out"], ["sub", "missing"], ["sub", "..", ".."], ["sub", "b"]):
        with contextlib.suppress(Refused, OSError):
            os.close(open_below(str(tree), names))
    assert len(os.listdir("/proc/self/fd")) == before


@settings(max_examples=examples(200))
@given(st.lists(st.sampled_from(["a", "sub", "b", "..", ".", "up", "", "x", "out"]), max_size=8))
def test_no_names_reach_the_secret(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    base = tmp_path_factory.getbasetemp() / "secrets"
    root = base / "root"
    if not root.exists():
        (root / "sub").mkdir(parents=True)
        (base / "a").write_text("secret")
        (root / "a").write_text("plain")
        (root / "sub" / "b").write_text("plain")
        (root / "sub" / "up").symlink_to("../../a")
        (root / "out").symlink_to("..")
    with contextlib.suppress(Refused, OSError):
        assert text_of(root, *names) == "plain"
