"""The numbers of a worker's slots: each stays with its device, and with its trial, while a device's lanes come and go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from core.executors.protocol import Slot


class Rooms:
    """Numbers from 0, in the order in which the executor's slots first appeared."""

    def __init__(self) -> None:
        self._devices: list[str] = []

    def free(self, capacity: Sequence[Slot], taken: Collection[int]) -> list[tuple[int, Slot]]:
        """Which of the executor's slots are free, with their numbers, the lowest first; the numbers in `taken` are busy.

        A device that has fewer slots now than are busy has none.
        """
        self._name(capacity)
        left = Counter(slot.device for slot in capacity)
        left.subtract(self._devices[number] for number in taken)
        example = {slot.device: slot for slot in capacity}
        found = []
        for number, device in enumerate(self._devices):
            if number not in taken and left[device] > 0:
                left[device] -= 1
                found.append((number, example[device]))
        return found

    def _name(self, capacity: Sequence[Slot]) -> None:
        """Give numbers to slots that have none yet."""
        known = Counter(self._devices)
        for slot in capacity:
            known[slot.device] -= 1
            if known[slot.device] < 0:
                self._devices.append(slot.device)
