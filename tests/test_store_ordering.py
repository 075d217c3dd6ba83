"""Events in the order of time, in bounded memory."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from the_edge_obs.store.ordering import in_time_order

from .strategies import event


@given(st.lists(st.integers(0, 20), max_size=60), st.integers(1, 10))
def test_the_order_is_that_of_a_stable_sort(moments: list[int], most: int) -> None:
    """However many events are held at a time."""
    events: list[dict[str, Any]] = [event(n, "log", moment, message=f"é \ud800 {n}") for n, moment in enumerate(moments)]
    assert list(in_time_order(iter(events), most)) == sorted(events, key=lambda one: one["timestamp"])


def test_no_more_than_the_bound_is_held() -> None:
    """What was read goes to files before more is read."""
    held: list[int] = []

    def counted() -> Any:
        for number in range(1_000):
            held.append(number)
            yield event(number, "log", 1_000 - number)

    ordered = in_time_order(counted(), 100)
    assert next(ordered)["timestamp"] == event(1, "log", 1)["timestamp"]
    assert len(held) == 1_000
    ordered.close()
