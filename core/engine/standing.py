"""The rows of one batch that an iterative attack has yet to break: judged after every step, confirmed, and dropped.

Imports torch: for children only.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from core.engine.buckets import first, whole_buckets
from core.engine.geometry import per_sample
from core.engine.losses import margin
from core.engine.recorded import NotRecorded, Number, Recordings, at, chosen
from core.engine.victim import Cost, Victim

S = TypeVar("S")

_LONG, _DOUBLINGS = 64, 3
"""Looks at a GPU's results come half as often after twice so many steps, and after each doubling of that, so many times."""


@dataclass(frozen=True)
class Outcome:
    """How one run of an attack on a batch ended. All are [n], in the order in which the batch came; images like x.

    `found` are the images that broke the model where `broken`, else x; `last` those after the final step of what stands. The
    rest is what `core.records.outcome.Trace` counts.
    """

    broken: Tensor
    found: Tensor
    last: Tensor
    late: Tensor
    moving: Tensor
    unconfirmed: Tensor
    outside: Tensor
    zero_gradients: Tensor
    bad_gradients: Tensor


@dataclass(frozen=True)
class Rows:
    """What stays as it is of the rows in the batch: x [m, c, h, w], y [m], and ε, one radius or [m]."""

    x: Tensor
    y: Tensor
    eps: float | Tensor


@dataclass(frozen=True)
class Seen:
    """What a step asked the model, and the answer."""

    adversarial: Tensor
    logits: Tensor


@dataclass(frozen=True)
class _Marks:
    """What is known of the rows in the batch: whether they stand, and of those the model's answers were against, the least
    margin to their true class, and at which image."""

    alive: Tensor
    lowest: Tensor
    candidate: Tensor
    best: Tensor
    best_before: Tensor
    late: Tensor


@dataclass(frozen=True)
class _Course(Generic[S]):
    rows: Rows
    state: S
    marks: _Marks


@dataclass(frozen=True)
class _Ends:
    """When, of `steps` steps, the last tenth and the last quarter begin."""

    steps: int

    @property
    def tenth(self) -> int:
        return self.steps - max(1, self.steps // 10)

    @property
    def quarter(self) -> int:
        return max(1, self.steps // 4)


Step = Callable[[Rows, S, Number], tuple[S, Seen]]
"""(rows, state, number) → the state after, and what was seen on the way. Number and all that is [m] may lie in memory that is
used again: a step changes nothing in place, and looks at no value."""


def _judged(marks: _Marks, y: Tensor, seen: Seen, number: Number, ends: _Ends) -> _Marks:
    """`marks` after step `number`."""
    height = margin(seen.logits, y)
    best = torch.maximum(marks.best, height)
    best_before = chosen(number == ends.steps - ends.quarter, lambda: best, marks.best_before)
    closer = (seen.logits.argmax(dim=1) != y) & (-height < marks.lowest) & marks.alive
    begins = closer & torch.isinf(marks.lowest)  # a row that broke goes on being judged until it leaves
    lowest = torch.where(closer, -height, marks.lowest)
    candidate = torch.where(per_sample(closer, seen.adversarial), seen.adversarial, marks.candidate)
    late = torch.where(begins, number > ends.tenth, marks.late)
    return _Marks(marks.alive, lowest, candidate, best, best_before, late)


class Standing:
    """`rows` are those still in the batch; the state of an attack comes back without those that left.

    A row is a candidate where a pass says that the model errs. On the CPU each candidate is confirmed at once, in fp32;
    on a GPU the worst image of each row is kept aside without asking, and confirmed every few steps. Rows that broke
    leave, a bucketful at a time; where steps are recorded, once they are half of the batch.
    """

    def __init__(self, victim: Victim, x: Tensor, y: Tensor, eps: float | Tensor, norm: str, steps: int) -> None:
        count = len(x)

        def none() -> Tensor:
            return torch.zeros(count, dtype=torch.bool, device=x.device)

        def lowest() -> Tensor:
            return x.new_full((count,), float("-inf"))

        self.rows = Rows(x, y, eps)
        self.left = count
        """Rows not known to be broken."""
        self._victim, self._norm, self._ends = victim, norm, _Ends(steps)
        self._every = victim.settle_every(x.device)
        self._step = 0
        self._at = torch.arange(count, device=x.device)
        self._marks = _Marks(~none(), x.new_full((count,), float("inf")), x, lowest(), lowest(), none())
        self._best, self._best_before, self._late = lowest(), lowest(), none()
        self._broken, self._unconfirmed, self._outside = none(), none(), none()
        self._zero, self._bad = none(), none()
        self._found, self._last = x.clone(), x.clone()

    def judge(self, state: S, adversarial: Tensor, logits: Tensor, gradient: Tensor | None = None) -> S:
        """Take in what a pass says of `adversarial` [m, …]; `state` of the rows that stay.

        The gradient is looked at in the first step only. The pass after the last step is judged like the others.
        """
        if self._step == 0 and gradient is not None:
            flat = gradient.flatten(1)
            self._zero = (flat == 0).all(dim=1)
            self._bad = ~torch.isfinite(flat).all(dim=1)
        self._marks = _judged(self._marks, self.rows.y, Seen(adversarial, logits), self._step, self._ends)
        self._step += 1
        if self._looks():
            keep = self._settle()
            if keep is not None:
                return self._leave(keep, state)
        return state

    def carry_out(self, step: Step[S], state: S, until: int, kind: Hashable) -> S:
        """The state after the steps up to `until`, the first not taken, or after the one in which the last row fell.

        Where the lane records, a step is recorded once for each of a few sizes of batch: of one `kind`, the first `step` that is
        given serves for all, on whatever rows, so that nothing of these rows may be in it but through rows and state.
        """
        recordings = self._victim.recordings(self.rows.x.device)
        if recordings is not None and until - self._step > 1:
            state = self._replay(recordings, step, state, until, kind)
        while self._step < until and self.left:
            state, seen = step(self.rows, state, self._step)
            state = self.judge(state, seen.adversarial, seen.logits)
        return state

    def outcome(self, adversarial: Tensor) -> Outcome:
        """`adversarial` are the rows after the final step."""
        self._store()
        self._last[self._at] = adversarial
        # Margins that would reach 0 within as many steps again, going on as they did in the last quarter.
        gained = (self._best - self._best_before) * (self._ends.steps / self._ends.quarter)
        moving = ~self._broken & torch.isfinite(self._best_before) & (self._best + gained > 0)
        return Outcome(
            self._broken,
            self._found,
            torch.where(per_sample(self._broken, self._last), self._found, self._last),
            self._late & self._broken,
            moving,
            self._unconfirmed & ~self._broken,
            self._outside & ~self._broken,
            self._zero,
            self._bad,
        )

    def _replay(self, recordings: Recordings, step: Step[S], state: S, until: int, kind: Hashable) -> S:
        """`carry_out` by replays, until all is done or the lane refuses to record."""
        victim, ends = self._victim, self._ends
        kind = (kind, ends)
        cost = recordings.keep((kind, "cost"), Cost)

        def whole(course: _Course[S], number: Tensor) -> _Course[S]:
            with victim.within(cost):
                after, seen = step(course.rows, course.state, number)
            return _Course(course.rows, after, _judged(course.marks, course.rows.y, seen, number, ends))

        while self._step < until and self.left and kind not in recordings.refused:
            count = len(self._at)
            course = _Course(self.rows, state, self._marks)
            loop = recordings.loop(kind, course, count, whole)
            loop.room.load(course, self._step)
            course = loop.room.rows(count, course)
            self.rows, state, self._marks = course.rows, course.state, course.marks
            keep = None
            while self._step < until and self.left and keep is None:
                try:
                    loop()
                except NotRecorded as error:
                    recordings.refused[kind] = str(error)
                    return state
                victim.repeated(cost, count)
                self._step += 1
                if self._looks():
                    keep = self._settle(loop.room.size // 2)
            if keep is not None:
                state = self._leave(keep, state)
        return state

    def _looks(self) -> bool:
        """Whether results are looked at after as many steps as were taken. Hangs on nothing else, so that no row's outcome
        hangs on its neighbours."""
        if self._step > self._ends.steps:
            return True
        doubled = max(0, (self._step // _LONG).bit_length() - 1)
        return self._every == 1 or self._step % (self._every << min(doubled, _DOUBLINGS)) == 0

    def _settle(self, half: int | None = None) -> Tensor | None:
        """Confirm the candidates; the one place where a GPU is waited for. Where rows are to leave, the positions [k] of those
        that stay; of recorded steps rows leave once no more than `half` of the batch are left."""
        waiting = torch.isfinite(self._marks.lowest) & self._marks.alive
        if half is None:
            self._victim.check()
            pending = torch.nonzero(waiting).flatten()
            if len(pending) > 0:
                self._confirm(pending)
                self.left = int(self._marks.alive.sum())
            return whole_buckets(self._marks.alive, self.left) if self.left else None
        count, self.left = self._victim.look(waiting.sum(), self._marks.alive.sum())
        if count > 0:
            self._confirm(first(waiting, count))
            if self.left - count <= half:  # it is waited once more only where it may matter how many fell
                (self.left,) = self._victim.look(self._marks.alive.sum())
        return first(self._marks.alive, self.left) if 0 < self.left <= half else None

    def _confirm(self, pending: Tensor) -> None:
        rows, marks = at(pending, self.rows), self._marks
        images = marks.candidate[pending]
        confirmed, outside = self._victim.confirm(images, rows.x, rows.y, rows.eps, self._norm)
        places = self._at[pending]
        self._broken[places] |= confirmed
        self._found[places] = torch.where(per_sample(confirmed, images), images, self._found[places])
        self._outside[places] |= outside
        self._unconfirmed[places] |= ~confirmed & ~outside
        marks.lowest[pending] = marks.lowest[pending].masked_fill(~confirmed, float("inf"))
        marks.alive[pending] = ~confirmed

    def _leave(self, keep: Tensor, state: S) -> S:
        self._store()
        self._at = self._at[keep]
        self.rows, self._marks = at(keep, self.rows), at(keep, self._marks)
        return at(keep, state)

    def _store(self) -> None:
        """Write down what is known of the rows in the batch."""
        self._best[self._at], self._best_before[self._at] = self._marks.best, self._marks.best_before
        self._late[self._at] = self._marks.late
