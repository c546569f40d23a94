from hypothesis import given
from hypothesis import strategies as st

from service.edge.pacing import Pacer

times = st.lists(st.floats(0, 100), min_size=1, max_size=50).map(sorted)


@given(times, st.floats(0.001, 10))
def test_events_are_due_one_interval_apart_and_no_later(arrivals: list[float], interval: float) -> None:
    pacer, last = Pacer(interval), float("-inf")
    for now in arrivals:
        due = now + pacer.schedule(now)
        assert abs(due - max(now, last + interval)) < 1e-9
        last = due


@given(times, st.floats(0.001, 10))
def test_the_backlog_is_what_the_next_event_waits(arrivals: list[float], interval: float) -> None:
    pacer = Pacer(interval)
    for now in arrivals:
        assert pacer.backlog_s(now) == pacer.schedule(now)
