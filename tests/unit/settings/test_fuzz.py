"""Whatever stands in a file, the environment or a flag: it is a setting, or an error that names it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import SettingsError
from shared.settings import ROLES, load, option_of, settings_class

WORDS = ["on", "off", "1", "-1", "10.0.0.1:80", "logs=0.1", "a=b", "**", "~", "/x", "[", "(", "\0"]
KEYS = [
    "name",
    "pattern",
    "metric",
    "log",
    "threshold",
    "where",
    "action",
    "signals",
    "matches",
    "x",
]

texts = st.text(max_size=20) | st.sampled_from(WORDS)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=12,
)
roles = pytest.mark.parametrize("role", sorted(ROLES))


def fields_of(role: str) -> dict[str, Any]:
    return dict(settings_class(role).__dataclass_fields__)


def complaint(error: type[Exception], work: Callable[[], object]) -> str | None:
    """What the error says; None when there is none. Any other error fails the test."""
    try:
        work()
    except error as raised:
        return str(raised)
    return None


@roles
@given(value=values)
def test_any_value_of_any_setting_is_read_or_named(role: str, value: object) -> None:
    for declared in fields_of(role).values():
        read = option_of(declared).read
        assert complaint(ValueError, partial(read, value)) != ""


@roles
@given(data=st.data())
def test_any_environment_is_loaded_or_is_a_settings_error(role: str, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(fields_of(role))))
    value = data.draw(texts.filter(lambda text: "\0" not in text))
    environ = {f"HEADWATER_{name.upper()}": value}
    said = complaint(
        SettingsError, lambda: load(settings_class(role), role, environ=environ, flags={})
    )
    assert said is None or name.upper() in said.upper() or value in said


@given(body=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_file_is_loaded_or_is_a_settings_error(
    tmp_path_factory: pytest.TempPathFactory, body: bytes
) -> None:
    file = Path(tmp_path_factory.getbasetemp()) / "headwater.toml"
    for written in (body, b"[edge]\n" + body, b"[[edge.tail]]\n" + body):
        file.write_bytes(written)
        edge = partial(load, settings_class("edge"), "edge", environ={}, flags={}, file=file)
        assert complaint(SettingsError, edge) != ""
