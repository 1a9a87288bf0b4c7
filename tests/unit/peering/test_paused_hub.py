"""A hub that stood still for some seconds: it was away, and nothing of a split went on."""

from hub.peering.incident_report import incident, incidents
from tests.unit.peering.test_incident_book import APART, HUBS, WHOLE, Hub, go, hubs, share

__all__ = ["hubs"]


def test_a_hub_that_stood_still_is_an_outage_and_no_split(hubs: dict[str, Hub]) -> None:
    """It is back in the same life, and saw nobody go: nothing went on at its side."""
    go(hubs, WHOLE, 0, 5)
    running = {name: hubs[name] for name in HUBS[:2]}
    go(running, APART, 5, 10)
    for hub in running.values():
        hub.is_equal = False
    go(hubs, WHOLE, 10, 12)
    share(hubs)
    assert incidents(hubs["hub-3"].book.sights.values())[0]["kind"] == "unknown", "not yet over"
    for hub in running.values():
        hub.is_equal = True
    go(hubs, WHOLE, 12, 15)
    share(hubs)
    (story,) = incidents(hubs["hub-3"].book.sights.values())
    assert (story["kind"], story["state"]) == ("outage", "closed")
    whole = incident(story["id"], hubs["hub-3"].book.sights.values())
    assert whole is not None
    assert [seen["returned"] for seen in whole["seen_by"]] == [{"hub-3": "same"}] * 2
