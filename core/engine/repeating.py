"""Steps of an attack whose rows all stay to the end. Imports torch: for children only."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

from torch import Tensor

from core.engine.recorded import NotRecorded, Number, Recordings
from core.engine.victim import Cost, Victim

S = TypeVar("S")

_LOOK_EVERY = 8


def carry_out(victim: Victim, step: Callable[[S, Number], S], state: S, count: int, kind: Hashable) -> S:
    """The state after `count` steps, numbered from 0; the field `x` of a state is the images. As of
    `core.engine.standing.Standing.carry_out`, nothing of these rows may be in `step` but through the state.

    Raises as passes of `victim` do.
    """
    images: Tensor = state.x  # type: ignore[attr-defined]
    recordings, begun = victim.recordings(images.device), 0
    if recordings is not None and count > 1 and kind not in recordings.refused:
        state, begun = _replay(victim, recordings, step, state, count, kind, len(images))
    for number in range(begun, count):
        state = step(state, number)
    return state


def _replay(
    victim: Victim,
    recordings: Recordings,
    step: Callable[[S, Number], S],
    state: S,
    count: int,
    kind: Hashable,
    rows: int,
) -> tuple[S, int]:
    """The state after as many steps as could be recorded, and how many those are."""
    cost = recordings.keep((kind, "cost"), Cost)

    def whole(held: S, number: Tensor) -> S:
        with victim.within(cost):
            return step(held, number)

    loop = recordings.loop(kind, state, rows, whole)
    loop.room.load(state, 0)
    state = loop.room.rows(rows, state)
    for number in range(count):
        try:
            loop()
        except NotRecorded as error:
            recordings.refused[kind] = str(error)
            return state, number
        victim.repeated(cost, rows)
        if (number + 1) % _LOOK_EVERY == 0:
            victim.look()
    return state, count
