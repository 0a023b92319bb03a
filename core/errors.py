"""Errors that a user can act on: one clear line each, with the exit code that scripts see.

Every floor raises these; only the command line's edge catches and prints them. Anything else that
escapes is a bug and is allowed to look like one.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process returns; part of the contract with scripts."""

    OK = 0
    TRIAL_FAILED = 1
    BAD_INPUT = 2
    NOT_FOUND = 3
    UNAVAILABLE = 4
    INTERRUPTED = 130


class InnateError(Exception):
    """An error whose message is one line for the user: what, where, what to do."""

    exit_code = ExitCode.TRIAL_FAILED


class BadInput(InnateError):
    """Usage or input is wrong; nothing was written."""

    exit_code = ExitCode.BAD_INPUT


class NotFound(InnateError):
    """The study, trial or preset that was named does not exist."""

    exit_code = ExitCode.NOT_FOUND


class Unavailable(InnateError):
    """No worker, a busy database or an absent device: right input, wrong moment or machine."""

    exit_code = ExitCode.UNAVAILABLE
