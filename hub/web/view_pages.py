"""Pages about hubs that disagree: their views side by side, and the times during which they were apart."""

from collections.abc import Mapping
from typing import Any

from hub.web.address import Asked, Field, read
from hub.web.page import Answer, Answers, Call, Page

INCIDENTS_ASKED = 100

KINDS: Mapping[str, str] = {
    "split": "hubs were apart",
    "outage": "a hub was not running, or stood still",
    "unknown": "nobody is back to tell",
}


def _views_call(asked: Asked) -> Call:
    return Call("hub.views", read(asked, (Field("hub"), Field("bucket", "whole"))))


def _views(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    views = answer.get("views", [])
    differing = {
        each["subject"] for each in answer.get("differences", []) if each["about"] == "hub"
    }
    return {
        "views": views,
        "rows": [
            {
                "subject": subject,
                "differs": subject in differing,
                "beliefs": [{"by": v["hub"], **v["hubs"].get(subject, {})} for v in views],
            }
            for subject in answer.get("subjects", [])
        ],
        "states": sorted({state for view in views for state in view["states"]}),
        "disagreements": [d for d in answer.get("differences", []) if d["disagreement"]],
        "chosen": asked.one("hub"),
    }


def _incidents_call(asked: Asked) -> Call:
    read(asked, ())
    return Call("hub.incidents", {"limit": INCIDENTS_ASKED})


def _incidents(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    return {"rows": answer.get("items", []), "kinds": KINDS}


def _incident_call(asked: Asked) -> Call:
    read(asked, ())
    return Call("hub.incident", {"incident": asked.parts["incident"]})


def _incident(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    return {"kinds": KINDS, "name": asked.parts["incident"]}


VIEWS = Page(
    path="/hubs/views",
    twin="/hubs/views.json",
    template="views.html",
    section="hubs",
    main=_views_call,
    shape=_views,
    is_live=True,
)
INCIDENTS = Page(
    path="/hubs/incidents",
    twin="/hubs/incidents.json",
    template="incidents.html",
    section="hubs",
    main=_incidents_call,
    shape=_incidents,
    is_live=True,
)
INCIDENT = Page(
    path="/hubs/incidents/{incident}",
    twin="/hubs/incidents/{incident}.json",
    template="incident.html",
    section="hubs",
    main=_incident_call,
    shape=_incident,
    is_live=True,
)

VIEW_PAGES = (VIEWS, INCIDENTS, INCIDENT)
