"""A worker's slots while a device's lanes come and go: their numbers, each of which stays with its device and its trial, and
what there is to say of lanes that do not fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from core.executors.protocol import Lanes, Slot

_Place = tuple[str | None, str]
"""A machine, and a device of it."""


class Rooms:
    """Numbers from 0, in the order in which the executor's slots first appeared."""

    def __init__(self) -> None:
        self._places: list[_Place] = []

    def free(self, capacity: Sequence[Slot], taken: Collection[int]) -> list[tuple[int, Slot]]:
        """Which of the executor's slots are free, with their numbers, the lowest first; the numbers in `taken` are busy.

        A device that has fewer slots now than are busy has none.
        """
        self._name(capacity)
        left = Counter(map(_place, capacity))
        left.subtract(self._places[number] for number in taken)
        example = {_place(slot): slot for slot in capacity}
        found = []
        for number, place in enumerate(self._places):
            if number not in taken and left[place] > 0:
                left[place] -= 1
                found.append((number, example[place]))
        return found

    def _name(self, capacity: Sequence[Slot]) -> None:
        """Give numbers to slots that have none yet."""
        known = Counter(self._places)
        for slot in capacity:
            known[_place(slot)] -= 1
            if known[_place(slot)] < 0:
                self._places.append(_place(slot))


def _place(slot: Slot) -> _Place:
    return slot.node, slot.device


class FewerLanes:
    """What has been said of devices that turned out to hold fewer lanes than were asked for."""

    def __init__(self) -> None:
        self._before: dict[str, int] = {}
        """Device → its lanes when they were looked at last, where they are fewer."""
        self._told: dict[str, int] = {}

    def news(self, lanes: Mapping[str, Lanes]) -> list[str]:
        """A line for each device whose number is new and has stayed for a look."""
        before, self._before, found = self._before, {}, []
        for device, now in lanes.items():
            if now.asked is None or now.allowed >= now.asked:
                continue
            self._before[device] = now.allowed
            if before.get(device) == now.allowed != self._told.get(device):
                self._told[device] = now.allowed
                trials = "trial" if now.allowed == 1 else "trials"
                found.append(f"{device} holds {now.allowed} {trials} at once, not {now.asked}")
        return found
