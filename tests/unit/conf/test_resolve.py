"""What each edge should have: the more specific wins, and what does not fit is left out and told."""

from typing import Any

import pytest

from hub.conf.check import TOGETHER, Change, check_edges, scope_for, sound_values
from shared.conf import EMPTY_HASH, Document
from shared.conf_scope import read_scope
from shared.conf_table import TABLES
from shared.errors import BadInput
from tests.unit.conf.world import World


def world_of(*settings: tuple[str, str, Any]) -> World:
    """A hub with these settings."""
    world = World()
    for scope, key, value in settings:
        world.write(scope, key, value)
    return world


LEVELS = world_of(
    ("edges", "log_level", "info"),
    ("edges:role=web", "log_level", "warning"),
    ("edges:role=web,zone=a", "log_level", "error"),
    ("edges:zone=a", "host_metrics_seconds", 5.0),
    ("edges:zone=b", "buffer_policy", "shed"),
    ("edges:node=n9", "log_level", "debug"),
    ("hubs", "log_level", "error"),
)


@pytest.mark.parametrize(
    ("node", "labels", "settings"),
    [
        ("n1", {}, {"log_level": "info"}),
        ("n1", {"role": "db"}, {"log_level": "info"}),
        ("n1", {"role": "web"}, {"log_level": "warning"}),
        ("n1", {"role": "web", "zone": "a"}, {"host_metrics_seconds": 5.0, "log_level": "error"}),
        ("n1", {"zone": "b", "role": "web"}, {"buffer_policy": "shed", "log_level": "warning"}),
        ("n9", {"role": "web", "zone": "a"}, {"host_metrics_seconds": 5.0, "log_level": "debug"}),
        ("n1", {"node": "n9"}, {"log_level": "info"}),
    ],
)
def test_an_edge_gets_all_that_fits_and_the_more_specific_of_it(
    node: str, labels: dict[str, str], settings: dict[str, Any]
) -> None:
    document = LEVELS.resolver.document(node, labels)
    assert document.settings == settings
    assert LEVELS.resolver.wanted(node, labels).hash == Document(settings).hash
    assert LEVELS.resolver.wanted(node, labels).hash == document.hash


def test_without_settings_every_edge_has_what_it_should_have() -> None:
    assert World().resolver.wanted("n1", {"role": "web"}).hash == EMPTY_HASH


def test_hubs_that_hold_the_same_want_the_same_of_an_edge_whatever_came_first() -> None:
    world, other = World(), World("hub-2")
    written = [
        world.write("edges:a=1", "log_level", "info"),
        world.write("edges:b=1", "log_level", "error"),
    ]
    for entry in reversed(written):
        other.book.add(entry)
    labels = {"a": "1", "b": "1"}
    assert other.resolver.wanted("n1", labels) == world.resolver.wanted("n1", labels)
    assert world.resolver.document("n1", labels).settings == {"log_level": "error"}


def test_a_change_is_seen_at_once_and_unset_brings_back_the_less_specific() -> None:
    world = world_of(("edges", "log_level", "info"), ("edges:role=web", "log_level", "error"))
    labels = {"role": "web"}
    first = world.resolver.wanted("n1", labels)
    world.write("edges:role=web", "log_level", None, gone=True)
    second = world.resolver.wanted("n1", labels)
    assert first.age < second.age
    assert second.hash == Document({"log_level": "info"}).hash


@pytest.mark.parametrize(
    ("scope", "key", "value", "reason"),
    [
        ("groups:blue", "log_level", "info", "settings are for hubs or edges, not for 'groups'"),
        ("edges", "colour", "red", "colour is not a setting of edges that this version knows"),
        ("hubs", "tail", [], "tail is not a setting of hubs that this version knows"),
        ("edges", "log_level", "loud", "log_level must be one of debug, info, warning, error"),
        ("edges", "log_level", "DEBUG", "log_level is not written as this version writes it"),
    ],
)
def test_what_this_version_cannot_apply_is_left_out_and_named(
    scope: str, key: str, value: Any, reason: str
) -> None:
    world = world_of((scope, key, value), ("edges", "buffer_policy", "shed"))
    assert world.resolver.document("n1", {}).settings == {"buffer_policy": "shed"}
    assert [(each.entry.key, each.reason) for each in world.resolver.unfit] == [(key, reason)]


def test_answers_are_kept_by_the_labels_that_matter() -> None:
    world = world_of(("edges:role=web", "log_level", "info"))
    wanted = {
        id(world.resolver.wanted(f"n{each}", {"role": "web", "rack": str(each)}))
        for each in range(100)
    }
    assert len(wanted) == 1


def test_hubs_get_what_is_set_for_hubs() -> None:
    assert LEVELS.resolver.hub_settings == {"log_level": "error"}


# What is refused before it spreads.


@pytest.mark.parametrize(
    ("keys", "whom", "labels", "scope"),
    [
        (["tail"], None, {}, "edges"),
        (["keep_logs_days"], None, {}, "hubs"),
        (["log_level"], "hubs", {}, "hubs"),
        (["log_level"], None, {"role": "web"}, "edges:role=web"),
        (["log_level", "tail"], None, {}, "edges"),
    ],
)
def test_the_keys_say_whom_they_are_for(
    keys: list[str], whom: str | None, labels: dict[str, str], scope: str
) -> None:
    assert scope_for(keys, whom, labels).text == scope


@pytest.mark.parametrize(
    ("keys", "whom", "labels", "reason"),
    [
        (["log_level"], None, {}, "log_level is known to hubs and to edges: say which are meant"),
        (["log_levl"], None, {}, "did you mean log_level?"),
        (["tail", "keep_logs_days"], None, {}, "are not all of hubs, and not all of edges"),
        (["log_level"], "hubs", {"role": "web"}, "hubs have no labels"),
    ],
)
def test_keys_for_nobody_are_refused(
    keys: list[str], whom: str | None, labels: dict[str, str], reason: str
) -> None:
    with pytest.raises(BadInput, match=r"\w") as refused:
        scope_for(keys, whom, labels)
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("scope", "given", "reason"),
    [
        (
            "edges",
            {"log_level": "loud"},
            "log_level must be one of debug, info, warning, error; it",
        ),
        (
            "edges",
            {"keep_logs_days": 3},
            "keep_logs_days is not a setting of edges: it is one of hubs",
        ),
        ("hubs", {"tail": "/a"}, "tail is not a setting of hubs: it is one of edges"),
        ("hubs", {"colour": 1}, "colour is not a setting of hubs: known are backlog_bytes_per_s"),
        ("edges", {"log_leve": 1}, "log_leve is not a setting of edges: did you mean log_level?"),
        ("edges", {"tail": ["/" + "x" * 17_000]}, "tail is larger than the limit of 16384 bytes"),
        ("edges", {"tail": [{"pattern": 2**70}]}, "this cannot be kept as JSON"),
    ],
)
def test_values_that_nobody_could_apply_are_refused(
    scope: str, given: dict[str, Any], reason: str
) -> None:
    with pytest.raises(BadInput, match=r"\w") as refused:
        sound_values(read_scope(scope), given)
    assert reason in str(refused.value)


def refusal(world: World, scope: str, values: dict[str, Any], gone: tuple[str, ...] = ()) -> str:
    """Why a change is refused; nothing when it is not."""
    edges = [{**labels, "node": node} for node, labels in world.nodes.items()]
    try:
        check_edges(world.book, Change(read_scope(scope), values, gone), edges)
    except BadInput as error:
        return str(error)
    return ""


def test_a_change_that_contradicts_another_scope_of_the_same_edges_is_refused() -> None:
    world = world_of(("edges:zone=a", "scrape_timeout_seconds", 10.0))
    assert refusal(world, "edges:role=web", {"scrape_seconds": 5.0}).startswith(
        "edges with role=web, zone=a would have settings that contradict each other: "
    )
    assert refusal(world, "edges:zone=b", {"scrape_seconds": 5.0}) == ""
    assert refusal(world, "edges:zone=a", {"scrape_seconds": 15.0}) == ""


def test_a_change_for_all_that_contradicts_is_said_to_be_about_all() -> None:
    world = world_of(("edges", "scrape_timeout_seconds", 10.0))
    assert refusal(world, "edges", {"scrape_seconds": 5.0}).startswith("every edge would have")
    assert refusal(world, "edges", {"scrape_seconds": 5.0, "scrape_timeout_seconds": 4.0}) == ""


def test_taking_a_setting_back_is_checked_as_well() -> None:
    world = world_of(
        ("edges", "scrape_timeout_seconds", 10.0),
        ("edges:role=web", "scrape_timeout_seconds", 1.0),
        ("edges:role=web", "scrape_seconds", 2.0),
    )
    assert "edges with role=web" in refusal(
        world, "edges:role=web", {}, ("scrape_timeout_seconds",)
    )
    assert refusal(world, "edges", {}, ("scrape_timeout_seconds",)) == ""


def test_three_scopes_that_meet_only_in_a_known_edge_are_found() -> None:
    world = world_of(
        ("edges:a=1", "buffer_ceilings", {"logs": 0.1}),
        ("edges:b=1", "scrape_seconds", 5.0),
    )
    world.nodes["n1"] = {"a": "1", "c": "1"}
    reason = refusal(world, "edges:c=1", {"buffer_floors": {"logs": 0.5}})
    assert "buffer_floors keep 0.5" in reason


def test_settings_of_a_newer_version_do_not_stand_in_the_way() -> None:
    world = world_of(("edges", "buffer_floors", "half"), ("edgesque", "scrape_seconds", 1.0))
    assert refusal(world, "edges", {"buffer_ceilings": {"logs": 0.5}}) == ""


def test_all_keys_that_can_contradict_each_other_are_in_the_table() -> None:
    assert TABLES["edges"].keys() >= TOGETHER
