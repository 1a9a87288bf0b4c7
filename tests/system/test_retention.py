"""Retention on real hubs: what is past its time goes, by day and signal, and does not come back."""

import sqlite3
from contextlib import closing
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import Any

from tests.system.oracle import Sender, chunks_on_disk, has_all
from tests.system.processes import EdgeProcess, Fleet, HubProcess, each_shows, eventually

DAY_MS = 86_400_000
AGE_DAYS = 30
"""Older than logs are kept by default (14 days), and not as old as metrics may become (90 days)."""

METRICS = {
    "resourceMetrics": [
        {
            "resource": {},
            "scopeMetrics": [
                {
                    "metrics": [
                        {
                            "name": "kept.longer",
                            "gauge": {
                                "dataPoints": [
                                    {"asDouble": 1.5, "timeUnixNano": "1790000000000000000"}
                                ]
                            },
                        }
                    ]
                }
            ],
        }
    ]
}


def make_older(hub: HubProcess, days: int = AGE_DAYS) -> None:
    """Change the files of a hub that does not run as if all had come so many days earlier."""
    with closing(sqlite3.connect(hub.database)) as connection, connection:
        connection.execute("UPDATE chunk SET received_ms = received_ms - ?", (days * DAY_MS,))
        connection.execute(
            "UPDATE day_sum SET day_number = day_number - ?, newest_received_ms ="
            " newest_received_ms - ?",
            (days, days * DAY_MS),
        )
    for path in day_files(hub):
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE body SET received_ms = received_ms - ?", (days * DAY_MS,))
        day, _, rest = path.name.partition(".")
        path.rename(path.with_name(f"{date.fromisoformat(day) - timedelta(days=days)}.{rest}"))
    rmtree(hub.folder / "hub" / "index", ignore_errors=True)


def day_files(hub: HubProcess) -> list[Path]:
    return sorted((hub.folder / "hub" / "days").glob("*.db"))


def old_signals(hub: HubProcess) -> set[str]:
    """The signals of which there is a file of an earlier month."""
    limit = str(date.today() - timedelta(days=AGE_DAYS - 2))  # noqa: DTZ011  # Days apart.
    names = [path.name.split(".") for path in day_files(hub)]
    return {signal for day, signal, _ in names if day < limit}


def dropped(hub: HubProcess) -> list[dict[str, Any]]:
    """What the hub has let go of."""
    return [each for each in hub.ask("hub.retention").get("dropped", []) if each["state"] == "gone"]


def send_logs_and_metrics(edge: EdgeProcess) -> Sender:
    with Sender(edge.otlp_url) as sender:
        sender.until_acked(200)
        assert edge.client.post(f"{edge.otlp_url}/v1/metrics", json=METRICS).status_code == 200
        sender.until_acked(200)
    return sender


def is_idle(hub: HubProcess) -> None:
    """Wait until the edge has nothing that this hub lacks."""
    each_shows([hub], lambda hub: hub.holds_in_buffer("edge-1"), 0)


def test_old_logs_go_and_what_is_kept_longer_stays(fleet: Fleet) -> None:
    """The edge goes on with its log as if nothing had happened, and nothing counts as lost."""
    hub = fleet.hub("hub-1")
    edge = fleet.edge("edge-1", [hub])
    fleet.settled([hub], edge)
    send_logs_and_metrics(edge)
    is_idle(hub)
    hub.stop()
    make_older(hub)
    assert old_signals(hub) >= {"logs", "metrics"}
    hub.start()
    eventually(lambda: "logs" not in old_signals(hub), "the logs are gone from the disk")
    gone = eventually(lambda: dropped(hub), "the hub says what went")
    assert {(each["signal"], each["reason"]) for each in gone} == {("logs", "age")}
    assert sum(each["records"] for each in gone) >= 400
    assert "metrics" in old_signals(hub)
    with Sender(edge.otlp_url, name="later") as later:
        later.until_acked(100)
    is_idle(hub)
    assert {record["body"] for record in hub.records(nodes=["edge-1"])} >= set(later.acked)
    shown = hub.call("ledger.show", node="edge-1")
    assert shown["complete"]
    assert shown["conflicts"] == []
    assert hub.call("ledger.verify", node="edge-1")["verdict"] == "verified"


def test_a_hub_does_not_fetch_again_what_it_has_let_go(fleet: Fleet) -> None:
    """Its peer keeps all of it for ever, and still takes part in everything new."""
    first, second = fleet.two_hubs()
    edge = fleet.edge("edge-1", [first, second])
    fleet.settled([first, second], edge)
    old = send_logs_and_metrics(edge)
    for hub in (first, second):
        eventually(partial(has_all, hub, old), f"{hub.name} has everything")
    is_idle(first)
    first.stop()
    second.stop()
    make_older(first)
    make_older(second)
    second.words = (*second.words, "KEEP_LOGS_DAYS=0")
    first.start(wait=False)
    second.start(wait=False)
    for hub in (first, second):
        eventually(hub.is_ready, f"{hub.name} is ready")
    eventually(lambda: dropped(first), "the first hub lets go of the old logs")
    with Sender(edge.otlp_url, name="later") as later:
        later.until_acked(100)
    for hub in (first, second):
        eventually(partial(has_all, hub, later), f"{hub.name} has the new ones")
    assert held(first) == set(later.acked)
    assert held(second) == set(old.acked) | set(later.acked)


def held(hub: HubProcess) -> set[str]:
    """The oracle's records on the disk of a hub."""
    return {each for chunk in chunks_on_disk(hub.database, "edge-1") for each in chunk.ids()}
