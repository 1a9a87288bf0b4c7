"""Whoever gives a wrong name is told in words what a name is."""

import importlib
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from edge.vm import image_params
from edge.vm import params as edge_params
from hub import params as hub_params
from hub.machines.params import OneMachine
from shared.errors import RpcError
from shared.pattern_words import PATTERN_WORDS

MODULES = (
    *("edge.vm.params", "edge.vm.image_params", "edge.vm.image_clone"),
    *("hub.params", "hub.machines.params", "hub.machines.image_params"),
)


def patterns_in(schema: Any) -> Iterator[str]:
    """All patterns anywhere in a schema."""
    for name, value in schema.items() if isinstance(schema, dict) else enumerate(schema):
        if name == "pattern" and isinstance(value, str):
            yield value
        elif isinstance(value, dict | list):
            yield from patterns_in(value)


def structs_of(module: str) -> Iterator[type[msgspec.Struct]]:
    """The parameters that a module declares."""
    for value in vars(importlib.import_module(module)).values():
        if isinstance(value, type) and issubclass(value, msgspec.Struct):
            yield value


@pytest.mark.parametrize("module", MODULES)
def test_every_pattern_of_the_parameters_has_words(module: str) -> None:
    used = {
        pattern
        for struct in structs_of(module)
        for pattern in patterns_in(msgspec.json.schema(struct))
    }
    assert used <= PATTERN_WORDS.keys()


def test_a_node_says_in_words_what_the_name_of_an_image_is() -> None:
    with pytest.raises(RpcError) as refused:
        edge_params.read({"name": "builtin:x"}, image_params.OneImage, "edge-1")
    assert str(refused.value) == (
        "Expected the name of an image: 1 to 200 letters, digits and : . _ / + -, a letter or digit "
        "first, and neither builtin: nor template: in front - at `$.name`"
    )


def test_a_hub_says_in_words_what_the_name_of_a_machine_is() -> None:
    with pytest.raises(RpcError, match="Expected a name or an id of 1 to 64 small") as refused:
        hub_params.read(OneMachine, {"vm": "A Box"})
    assert "regex" not in str(refused.value)
