"""Half a minute of sudden deaths, judged by an oracle that nobody kills."""

from tests.soak.rotation import Blow
from tests.soak.soak import soak

SECONDS = 30.0
SEED = 3


def test_nothing_acknowledged_is_lost_or_double_whoever_is_killed(venv: str) -> None:
    """Edges, hubs, both hubs at once, a hub that hangs, an edge in its drain: every law holds."""
    report = soak(SECONDS, SEED, venv, print)
    text = report.to_text()
    assert report.ok, text
    assert set(report.tally.blows) == set(Blow), text
    assert report.records.acked > 0, text
    assert not report.folder.exists()
