"""When lost attempts say something of the machine rather than of the trials."""

from __future__ import annotations

from core.events import Crashed

_IN_A_ROW = 5
"""Attempts lost one after the other to what is not the trials' fault (a full disk, a dying fork server)."""


class BlamelessCrashes:
    """Counts those in a row.

    One that several trials shared counts once. Lanes that a device's memory does not hold become fewer each time, until they
    fit, and where a trial is to blame that has been found: neither says anything of the machine. Nor do machines of a cluster
    that were lost, which come and go.
    """

    def __init__(self) -> None:
        self._in_a_row = 0
        self._shared = False
        """Whether a crash of several trials at once was counted in this turn."""

    def begin_turn(self) -> None:
        """What comes from now on is no part of a crash that was told before."""
        self._shared = False

    def forget(self) -> None:
        """Something was finished: the machine is well."""
        self._in_a_row = 0

    def too_many(self, crash: Crashed) -> bool:
        """Take in a crash that nobody asked for."""
        if crash.trial_at_fault:
            self._in_a_row = 0
            return False
        if crash.node is not None:
            return False
        if crash.beside and (crash.memory_needed is not None or self._shared):
            return False
        self._shared = crash.beside > 0
        self._in_a_row += 1
        return self._in_a_row >= _IN_A_ROW
