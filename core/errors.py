"""Errors that a user can act on: one clear line each, with the exit code that scripts see.

Every floor raises these; only the command line's edge catches and prints them. Anything else that
escapes is a bug and is allowed to look like one.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


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
    """Usage or input is wrong; nothing was written.

    The line is "WHERE: SENTENCE", or the sentence alone where nothing is said of the place. What it is made of stays at
    hand: `key`, the study file's dotted key at fault ("optimizers[1].lr") or the option ("--eps"), None where no single
    one is; `words`, the sentence without the key that it begins with; `also`, what else was found to be wrong beside it.
    """

    exit_code = ExitCode.BAD_INPUT

    def __init__(
        self,
        sentence: str,
        *,
        key: str | None = None,
        where: str | None = None,
        words: str | None = None,
        also: tuple[BadInput, ...] = (),
    ) -> None:
        super().__init__(sentence if where is None else f"{where}: {sentence}")
        self.sentence = sentence
        self.where = where
        self.key = key
        self.words = sentence if words is None else words
        self.also = also

    @classmethod
    def at(cls, key: str, words: str) -> BadInput:
        """The usual one: the key, and what is wrong with it."""
        return cls(f"{key}: {words}", key=key, words=words)

    def concerns(self, key: str) -> bool:
        """Whether the fault lies at `key` or inside it."""
        return self.key is not None and (self.key == key or self.key.startswith((f"{key}.", f"{key}[")))

    def within(self, where: str) -> BadInput:
        """The same, told of a study file, a preset or a study by name."""
        also = tuple(other.within(where) for other in self.also)
        return BadInput(self.sentence, key=self.key, where=where, words=self.words, also=also)

    def beside(self, also: tuple[BadInput, ...]) -> BadInput:
        """The same, with these as what else is wrong."""
        return BadInput(self.sentence, key=self.key, where=self.where, words=self.words, also=also)


class Mistakes:
    """What is wrong with one thing that was given, found part by part, so that no mistake hides another."""

    def __init__(self) -> None:
        self.found: list[BadInput] = []

    def note(self, mistake: BadInput) -> None:
        """One more, and those that came with it."""
        self.found += [mistake.beside(()), *mistake.also]

    def attempt(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """What `read` makes of its arguments; None where it raises BadInput, which is noted."""
        try:
            return read(*args, **kwargs)
        except BadInput as error:
            self.note(error)
            return None

    def concern(self, key: str) -> bool:
        """Whether any that was found lies at `key` or inside it."""
        return any(mistake.concerns(key) for mistake in self.found)

    def error(self) -> BadInput:
        """The first mistake with the others beside it; there must be one."""
        first, *others = self.found
        return first.beside(tuple(others))


class NotFound(InnateError):
    """The study, trial or preset that was named does not exist."""

    exit_code = ExitCode.NOT_FOUND


class Unavailable(InnateError):
    """No worker, a busy database or an absent device: right input, wrong moment or machine."""

    exit_code = ExitCode.UNAVAILABLE
