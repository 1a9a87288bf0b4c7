"""Who may enter a buffer that fills up: nobody loses what a floor promises, and bounds hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.quota import SHED_ORDER, Policy, Quota, admit
from shared.records import Signal

EVENTS, LOGS, METRICS, TRACES = Signal.EVENTS, Signal.LOGS, Signal.METRICS, Signal.TRACES


def quota(policy: Policy = Policy.SHED, **floors: float) -> Quota:
    return Quota(1000, policy, {Signal(name): share for name, share in floors.items()})


@pytest.mark.parametrize(
    ("used", "signal", "coming", "shed"),
    [
        ({LOGS: 500}, LOGS, 400, {}),  # There is room.
        ({LOGS: 900}, LOGS, 200, {LOGS: 100}),  # Its own oldest go when there is nothing lesser.
        ({LOGS: 500, TRACES: 400}, LOGS, 200, {TRACES: 100}),  # Traces go before logs.
        ({LOGS: 500, TRACES: 50, METRICS: 440}, METRICS, 110, {TRACES: 50, LOGS: 50}),
        ({METRICS: 950, TRACES: 50}, EVENTS, 10, {TRACES: 10}),  # At least one lot at once.
    ],
)
def test_the_least_important_oldest_data_makes_room(
    used: dict[Signal, int], signal: Signal, coming: int, shed: dict[Signal, int]
) -> None:
    admission = admit(used, signal, coming, quota())
    assert admission.admitted
    assert dict(admission.shed) == shed


def test_a_signal_never_pushes_out_a_more_important_one() -> None:
    admission = admit({METRICS: 1000}, TRACES, 1, quota())
    assert "limit of 1000 bytes" in admission.reason


def test_a_floor_is_room_that_others_cannot_take() -> None:
    floored = quota(Policy.REJECT, events=0.2)
    assert not admit({LOGS: 700}, LOGS, 150, floored).admitted
    assert admit({LOGS: 700}, EVENTS, 200, floored).admitted
    assert admit({LOGS: 700, EVENTS: 200}, LOGS, 100, floored).admitted


def test_shedding_spares_what_is_below_its_floor() -> None:
    floored = quota(traces=0.3)
    admission = admit({TRACES: 300, METRICS: 700}, METRICS, 50, floored)
    assert dict(admission.shed) == {METRICS: 50}


def test_a_ceiling_bounds_a_signal_while_there_is_room_for_others() -> None:
    limits = Quota(1000, Policy.REJECT, {}, {LOGS: 0.5})
    refusal = admit({LOGS: 480}, LOGS, 40, limits)
    assert "logs are at their limit of 500 bytes" in refusal.reason
    shedding = Quota(1000, Policy.SHED, {}, {LOGS: 0.5})
    assert dict(admit({LOGS: 480}, LOGS, 40, shedding).shed) == {LOGS: 20}


def test_floors_that_promise_more_than_there_is_are_refused() -> None:
    with pytest.raises(ValueError, match="floors"):
        Quota(1000, Policy.SHED, {LOGS: 0.6, TRACES: 0.5})


USED = st.dictionaries(st.sampled_from(Signal), st.integers(0, 1000))


@given(used=USED, signal=st.sampled_from(Signal), coming=st.integers(1, 1000))
def test_whoever_is_admitted_fits_after_shedding(
    used: dict[Signal, int], signal: Signal, coming: int
) -> None:
    """Shed never names more than there is, never spares room, never climbs up the order."""
    admission = admit(used, signal, coming, quota(events=0.1))
    if not admission.admitted:
        return
    shed = dict(admission.shed)
    assert all(shed[each] <= used.get(each, 0) for each in shed)
    assert all(SHED_ORDER.index(each) <= SHED_ORDER.index(signal) for each in shed)
    assert sum(used.values()) - sum(shed.values()) + coming <= 1000


@given(used=USED, signal=st.sampled_from(Signal), coming=st.integers(1, 1000))
def test_rejecting_never_sheds(used: dict[Signal, int], signal: Signal, coming: int) -> None:
    assert admit(used, signal, coming, quota(Policy.REJECT)).shed == ()
