"""Steps of an attack that knows by itself which rows are done. Imports torch: for children only."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

from torch import Tensor

from core.engine.recorded import NotRecorded, Number, Recordings
from core.engine.victim import Cost, Victim

S = TypeVar("S")

_LOOK_EVERY = 8


def carry_out(victim: Victim, step: Callable[[S, Number], S], state: S, numbers: range, kind: Hashable) -> S:
    """The state after the steps `numbers`; its field `x` is the images. As of `core.engine.standing.Standing.carry_out`, nothing
    of these rows may be in `step` but through the state; and what comes back may lie in memory that the next call uses again.

    Raises as passes of `victim` do.
    """
    images: Tensor = state.x  # type: ignore[attr-defined]
    recordings = victim.recordings(images.device)
    if recordings is not None and len(numbers) > 1 and kind not in recordings.refused:
        state, numbers = _replay(victim, recordings, step, state, numbers, kind, len(images))
    for number in numbers:
        state = step(state, number)
    return state


def _replay(
    victim: Victim,
    recordings: Recordings,
    step: Callable[[S, Number], S],
    state: S,
    numbers: range,
    kind: Hashable,
    rows: int,
) -> tuple[S, range]:
    """The state after as many steps as could be recorded, and those that are left."""
    cost = recordings.keep((kind, "cost"), Cost)

    def whole(held: S, number: Tensor) -> S:
        with victim.within(cost):
            return step(held, number)

    loop = recordings.loop(kind, state, rows, whole)
    loop.room.load(state, numbers.start)
    state = loop.room.rows(rows, state)
    for done, number in enumerate(numbers, 1):
        try:
            loop()
        except NotRecorded as error:
            recordings.refused[kind] = str(error)
            return state, range(number, numbers.stop)
        victim.repeated(cost, rows)
        if done % _LOOK_EVERY == 0:
            victim.look()
    return state, range(0)
