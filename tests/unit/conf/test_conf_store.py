"""Settings on disk, and what a hub applies of them to itself."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils.db import Database

from hub.conf.apply import HubApplier
from hub.conf.versions import Versions
from hub.store.conf_table import conf_tables, load_conf, save_conf
from shared.errors import BadInput
from tests.unit.conf.world import World


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A store with the table of settings."""
    with closing(sqlite3.connect(tmp_path / "hub.db")) as connection:
        conf_tables(Database(connection))
        yield connection


def save(world: World, disk: sqlite3.Connection) -> None:
    """As the hub does it, in one transaction."""
    unsaved = world.book.take_unsaved()
    with disk:
        save_conf(unsaved.entries, unsaved.dropped, disk)


def test_a_hub_comes_back_with_all_settings_and_their_history(disk: sqlite3.Connection) -> None:
    world, reborn = World(), World()
    for value in ("info", "debug"):
        world.write("edges", "log_level", value)
    world.write("hubs", "keep_logs_days", None, gone=True)
    save(world, disk)
    reborn.book.load(load_conf(disk))
    assert reborn.book.versions.to_bytes() == world.book.versions.to_bytes()
    assert reborn.book.take_unsaved().entries == []
    assert reborn.stamp() > world.book.in_force()[0].stamp


def test_old_versions_leave_the_disk_with_the_history(disk: sqlite3.Connection) -> None:
    world = World()
    world.book.versions = Versions(history_max=2)
    for value in ("a", "b", "c", "d"):
        world.write("edges", "tail", [value])
        save(world, disk)
    assert [entry.value for entry in load_conf(disk)] == [["c"], ["d"]]


def test_what_cannot_be_read_is_left_out_and_named(
    disk: sqlite3.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    world.write("edges", "log_level", "info")
    save(world, disk)
    with disk:
        disk.execute("INSERT INTO conf VALUES (1, 0, 'hub-1', 'edges', 'tail', x'7b')")
        disk.execute("INSERT INTO conf VALUES (1, 0, 'hub-1', 'edges', 'alerts', ?)", (b"[]",))
    assert [entry.key for entry in load_conf(disk)] == ["log_level"]
    assert "a version of the setting tail cannot be read" in caplog.text
    assert "a version of the setting alerts cannot be read" in caplog.text


class Parts:
    """What a hub changes while it runs."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.values: dict[str, Any] = {"keep_logs_days": 14, "log_level": "info"}
        self.applier = HubApplier(
            dict(self.values),
            {
                "keep_logs_days": lambda value: self.take("keep_logs_days", value),
                "log_level": lambda value: self.take("log_level", value),
            },
            lambda name, facts: self.told.append((name, facts)),
        )

    def take(self, key: str, value: Any) -> None:
        if value == 13:
            raise BadInput("that brings bad luck")
        self.values[key] = value


def test_a_hub_follows_what_is_set_and_goes_back_to_its_own_setting() -> None:
    parts = Parts()
    assert parts.applier.refresh({}) == []
    assert parts.applier.refresh({"keep_logs_days": 30, "colour": "red"}) == ["keep_logs_days"]
    assert parts.applier.refresh({"keep_logs_days": 30}) == []
    assert parts.values == {"keep_logs_days": 30, "log_level": "info"}
    assert parts.applier.refresh({}) == ["keep_logs_days"]
    assert parts.values["keep_logs_days"] == 14


def test_what_a_hub_cannot_apply_leaves_the_old_and_is_told_once() -> None:
    parts = Parts()
    for _ in range(3):
        assert parts.applier.refresh({"keep_logs_days": 13}) == []
    facts = {"key": "keep_logs_days", "value": 13, "reason": "that brings bad luck"}
    assert parts.told == [("conf.not_applied", facts)]
    assert (parts.values["keep_logs_days"], parts.applier.failed) == (14, ["keep_logs_days"])
    assert parts.applier.refresh({}) == []
    assert parts.applier.failed == []
    assert parts.applier.refresh({"keep_logs_days": 13}) == []
    assert parts.applier.refresh({"keep_logs_days": 12}) == ["keep_logs_days"]
    assert parts.applier.failed == []
