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


class Held(dict[str, Any]):
    """An event that counts how many of them there are at a time."""

    alive = most = 0

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        Held.alive += 1
        Held.most = max(Held.most, Held.alive)

    def __del__(self) -> None:
        Held.alive -= 1


def test_no_more_than_the_bound_is_held() -> None:
    """What was read goes to files before more is read."""
    ordered = in_time_order((Held(event(number, "log", 1_000 - number)) for number in range(1_000)), 100)
    times = [one["timestamp"] for one in ordered]
    assert (len(times), times == sorted(times)) == (1_000, True)
    assert 100 <= Held.most <= 101
