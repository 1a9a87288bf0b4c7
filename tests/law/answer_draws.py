"""What is drawn for worlds of answers."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from shared.records import Signal
from tests.examples import examples
from tests.law.answer_world import STATES, WAYS

DAYS = 3
CHUNKS_MAX = 9

laws = settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def states_of(*signals: Signal) -> st.SearchStrategy[dict[tuple[int, str], str]]:
    """What the indexes of the days are like."""
    return st.fixed_dictionaries(
        {
            (day, str(signal)): st.sampled_from(list(STATES))
            for day in range(DAYS)
            for signal in signals
        }
    )


days = st.integers(0, DAYS - 1)
damage = st.lists(st.sampled_from(list(Signal)), max_size=2)
ways = st.sampled_from(list(WAYS))
