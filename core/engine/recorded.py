"""Work that is carried out again and again on the same memory: what is repeated, what it keeps, and which of it is recorded.

A state is a frozen dataclass of tensors [m, …], one row per image of a batch, beside which it may hold numbers, tensors that
belong to no row (`Shared`), tuples and other states of such, and None. Imports torch: for children only.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Generic, TypeVar, cast, overload

import torch
from torch import Tensor

from core.engine.buckets import fitting
from core.lanes.lane import Lane

S = TypeVar("S")
Result = TypeVar("Result")
Number = int | Tensor
"""The number of a step: Python's, or [] on the device in work that is recorded, whose Python runs but once."""


@dataclass(frozen=True)
class Shared:
    """A tensor of a state that belongs to no row."""

    values: Tensor


class NotRecorded(Exception):
    """The lane refused to record some work, for the reason given; nothing has changed."""


def each(change: Callable[..., Any], state: S, *others: Any) -> S:
    """`state` with every tensor, number and `Shared` in it replaced by what `change` makes of it, and of what `others` have in
    its place."""
    if state is None:
        return state
    if isinstance(state, Tensor | float | int | Shared):
        return cast(S, change(state, *others))
    if isinstance(state, tuple):
        return cast(S, tuple(each(change, *parts) for parts in zip(state, *others, strict=True)))
    parts = ([getattr(one, part.name) for one in (state, *others)] for part in fields(cast(Any, state)))
    return type(state)(*(each(change, *found) for found in parts))


def at(positions: Tensor, state: S) -> S:
    """`state` of the rows at `positions` [k] alone."""
    return each(lambda one: one[positions] if _of_rows(one) else one, state)


@overload
def chosen(condition: float | Tensor, new: Callable[[], Tensor], old: Tensor) -> Tensor: ...
@overload
def chosen(condition: float | Tensor, new: Callable[[], S], old: S) -> S: ...
def chosen(condition: float | Tensor, new: Callable[[], Any], old: Any) -> Any:
    """`new()` where the `condition` of a step holds, else `old`: asked of Python, which then leaves out the other, or of the
    device, which works out both."""
    if not isinstance(condition, Tensor):
        return new() if condition else old
    return each(lambda one, other: other if one is other else torch.where(condition, one, other), new(), old)


class Table:
    """A number for each step. For a step on the device the numbers lie there in double precision, in which [] rounds in all
    that it meets as Python's own number does."""

    def __init__(self, values: Sequence[float]) -> None:
        self._values = values
        self._there: Tensor | None = None

    @overload
    def __getitem__(self, number: int) -> float: ...
    @overload
    def __getitem__(self, number: Tensor) -> Tensor: ...
    @overload
    def __getitem__(self, number: Number) -> float | Tensor: ...
    def __getitem__(self, number: Number) -> float | Tensor:
        if not isinstance(number, Tensor):
            return self._values[number]
        if self._there is None:  # by the eager step before the recording: a recording takes nothing from the host
            kind = torch.bool if isinstance(self._values[0], bool) else torch.float64
            self._there = torch.tensor(self._values, dtype=kind, device=number.device)
        return picked(self._there, number)


def picked(values: Tensor, number: Tensor) -> Tensor:
    """[]: values[number], not looked at."""
    return values.index_select(0, number.view(1)).squeeze(0)


class Repeated(Generic[Result]):
    """`work` on memory that it keeps: eagerly the first `warm` times, which sets the kernels up, then replayed."""

    def __init__(self, lane: Lane, work: Callable[[], Result], warm: int) -> None:
        self._lane, self._work, self._warm = lane, work, warm
        self._replay: Callable[[], None] | None = None
        self._result: Result | None = None

    def __call__(self) -> Result:
        """Its results, which the next replay of anything in this lane may overwrite. Raises NotRecorded, and what the work
        raises; memory that runs out is passed on."""
        if self._warm > 0:
            self._warm -= 1
            return self._work()
        if self._replay is None:
            try:
                self._replay, self._result = self._lane.record(self._work)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:  # a forward that looks at its data, or an operation that cannot be recorded
                words = str(error).strip().splitlines()
                raise NotRecorded(words[0] if words else type(error).__name__) from error
        self._replay()
        self._lane.pace()
        return cast(Result, self._result)


class Room(Generic[S]):
    """The memory of one state, for `size` rows: more than there are, the rest being copies of the last, which go the way that
    it goes."""

    def __init__(self, state: S, size: int, device: torch.device) -> None:
        self.size = size
        self.number = torch.zeros((), dtype=torch.int64, device=device)
        self._positions = torch.arange(size, device=device)

        def held(one: Any) -> Any:
            if isinstance(one, Shared):
                return Shared(one.values.clone())
            if isinstance(one, Tensor):
                return torch.empty_like(one[self._of(one)]) if _of_rows(one) else one.clone()
            return torch.zeros((), dtype=torch.float64, device=device)

        self.state = each(held, state)

    def load(self, state: S, number: int) -> None:
        """Take in `state` before its step `number`."""

        def fill(held: Any, one: Any) -> Any:
            if isinstance(one, Shared):
                held.values.copy_(one.values)
            elif isinstance(one, Tensor):
                held.copy_(one[self._of(one)] if _of_rows(one) else one)
            else:
                held.fill_(one)
            return held

        each(fill, self.state, state)
        self.number.fill_(number)

    def rows(self, count: int, like: S) -> S:
        """The first `count` rows, not copied: what comes after in this room changes them. `like` is the state that was loaded."""
        return each(lambda one, held: held[:count] if _of_rows(one) else one, like, self.state)

    def advance(self, step: Callable[[S, Tensor], S]) -> None:
        """One step in place."""
        before: list[Tensor] = []
        after: list[Tensor] = []

        def beside(held: Any, new: Any) -> Any:
            if isinstance(held, Tensor) and new is not held:
                before.append(held)
                after.append(new)
            return held

        each(beside, self.state, step(self.state, self.number))
        memory = {_memory(held) for held in before}
        # What was in one place of the state and goes to another is copied first: its own place may be overwritten before.
        after = [new.clone() if _memory(new) in memory else new for new in after]
        for held, new in zip(before, after, strict=True):
            held.copy_(new)
        self.number.add_(1)

    def _of(self, rows: Tensor) -> Tensor:
        return self._positions.clamp_max(len(rows) - 1)


@dataclass
class Loop(Generic[S]):
    """One step of an attack in its room; called, it is carried out."""

    room: Room[S]
    step: Repeated[None]

    def __call__(self) -> None:
        self.step()


@dataclass
class Recordings:
    """What a lane has recorded of the passes through one model and of the attacks on it."""

    lane: Lane
    refused: dict[Hashable, str] = field(default_factory=dict)
    """Kind of work → why it runs eagerly."""
    _kept: dict[Hashable, Any] = field(default_factory=dict)
    _rooms: dict[Hashable, dict[int, Room[Any]]] = field(default_factory=dict)

    def keep(self, key: Hashable, make: Callable[[], Result]) -> Result:
        """What is kept by that key, made where it is missing."""
        if key not in self._kept:
            self._kept[key] = make()
        return cast(Result, self._kept[key])

    def loop(self, kind: Hashable, state: S, rows: int, step: Callable[[S, Tensor], S]) -> Loop[S]:
        """A loop of `step` for states as large as `state`. Of steps of one `kind`, which all do the same on states of one
        shape, the first that is given serves for all: what differs from run to run must be in the state."""
        shape = _shape(state)
        rooms = self._rooms.setdefault(shape, {})
        size = fitting(rows, rooms)
        if size not in rooms:
            rooms[size] = Room(state, size, self.lane.device)
        room = rooms[size]
        return self.keep(
            (kind, shape, size), lambda: Loop(room, Repeated(self.lane, lambda: room.advance(step), warm=1))
        )

    def forget(self) -> None:
        """Give back all memory."""
        self._kept.clear()
        self._rooms.clear()


def _of_rows(one: Any) -> bool:
    return isinstance(one, Tensor) and one.dim() > 0


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _shape(state: Any) -> Hashable:
    found: list[Any] = [type(state)]

    def note(one: Any) -> Any:
        tensor = one.values if isinstance(one, Shared) else one
        own = tensor.shape if isinstance(one, Shared) else getattr(tensor, "shape", (0,))[1:]
        found.append((type(one), tuple(own), getattr(tensor, "dtype", None)))
        return one

    each(note, state)
    return tuple(found)
