"""A push on its way."""

from dataclasses import dataclass

from edge.hubs import HubView
from edge.lineage import Claim
from edge.push import Send, Verdict
from shared.receipt import ChunkOutcome
from tests.law.push_hub import ModelHub
from tests.law.push_log import Model


@dataclass
class Flight:
    """A push between the edge and a hub."""

    step: Send
    hub: ModelHub
    view: HubView
    chunks: list[Model]
    asked_at: float
    seconds_max: float
    epoch: str
    answer: tuple[ChunkOutcome, ...] | Verdict | None = None
    claim: Claim | None = None
