"""How many lanes a device gets, found by measuring while they work. Torch-free: the hosts measure, the worker decides."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.executors.messages import Look
from core.lanes.alone import MOST_LANES

_GAIN = 1.05
"""By so much the work per second must grow with the lanes for more of them to be tried."""
_MEASURED_SECONDS = 2.5
_MEASURED_LOOKS = 4
"""So long, in so many looks, a number of lanes is watched before it is judged."""


@dataclass
class _Measured:
    """What one number of lanes has shown so far, over looks in which all of them trained."""

    looks: int = 0
    seconds: float = 0.0
    work: int = 0
    reserved: int = 0
    free: int = 0

    @property
    def enough(self) -> bool:
        return self.looks >= _MEASURED_LOOKS and self.seconds >= _MEASURED_SECONDS

    @property
    def rate(self) -> float:
        return self.work / self.seconds


@dataclass
class Tuner:
    """Begins with one lane and doubles them while the device does more than 5 % more work in a second for it and its memory
    allows; then stays with the best. `lanes` is how many there are to be now."""

    lanes: int = 1
    settled: bool = False
    _most: int = MOST_LANES
    _measured: dict[int, _Measured] = field(default_factory=dict)
    """By the number of lanes."""

    def take(self, look: Look) -> None:
        """Take in one look of the host, which may change `lanes`."""
        if self.settled or look.lanes != self.lanes or not look.training or look.seconds <= 0:
            return
        now = self._measured.setdefault(self.lanes, _Measured())
        now.looks, now.seconds, now.work = now.looks + 1, now.seconds + look.seconds, now.work + look.work
        now.reserved, now.free = max(now.reserved, look.reserved), look.free
        if now.enough:
            self._judge(now)

    def hold(self, lanes: int) -> None:
        """Memory ended with more than `lanes`: never more from now on."""
        self._most = min(self._most, max(1, lanes))
        if self.lanes >= self._most:
            self.lanes, self.settled = self._most, True

    def _judge(self, now: _Measured) -> None:
        fewer = max((lanes for lanes in self._measured if lanes < self.lanes), default=None)
        if fewer is not None and now.rate <= _GAIN * self._measured[fewer].rate:
            self.lanes, self.settled = fewer, True
            return
        more = self._more(now)
        self.settled = more == self.lanes
        self.lanes = more

    def _more(self, now: _Measured) -> int:
        """Twice as many, or as many as fit if each new one takes what those that are there hold on average."""
        each = now.reserved // self.lanes
        room = now.free // each if each else self.lanes
        return min(2 * self.lanes, self.lanes + room, self._most)
