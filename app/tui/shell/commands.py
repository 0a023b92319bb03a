"""The commands of the command line, as `:` offers them: which only answer, which change something at once, which take long."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Does = Literal["answers", "changes", "works"]
"""Only answers: it is run and what it prints is shown. Changes: it is run once that is agreed to. Works (takes long, or has
questions of its own): its line is for a shell."""

ANSWERS = frozenset({
    "plan", "status", "examples", "results",
    "findings", "chart", "compare", "tuning", "studies", "trials", "show", "presets", "datasets",
    "architectures", "optimizers", "activations", "attacks", "defenses", "scores", "traits", "checks", "doctor", "worker status",
    "worker logs", "note", "query", "guide", "published",
})  # fmt: skip
CHANGES = frozenset({
    "cancel", "retry", "priority", "init", "export", "worker start", "worker stop", "worker pause", "worker resume",
    "worker drain",
})  # fmt: skip
SHELL: Mapping[str, str] = {
    "run": "it trains until it is done; --detach queues it",
    "attack": "it attacks until it is done; Lab and Findings queue that from their rows",
    "import": "it reads the weights, and attacks them until that is done",
    "transfer": "it attacks every model by way of all others",
    "reproduce": "it trains a whole trial again",
    "merge": "it takes long, and the home for itself; --conflicts only lists",
    "wait": "it only waits; Queue shows how far everything is",
    "delete": "it asks first; --yes does not",
    "gc": "it removes files at once; --dry-run says which",
    "report": "it is a long document; -o FILE writes it",
}
"""What neither only answers nor changes something at once, each with the reason why it is left to a shell."""
_OTHERWISE: Mapping[str, Mapping[str, Does]] = {
    "run": {"--detach": "changes", "-d": "changes"},
    "delete": {"--yes": "changes", "-y": "changes"},
    "gc": {"--dry-run": "answers", "-n": "answers"},
    "report": {"--output": "changes", "-o": "changes"},
    "examples": {"--output": "changes", "-o": "changes"},
    "note": {"--tag": "changes", "--untag": "changes"},
    "trials": {"--output": "changes", "-o": "changes"},
    "findings": {"--settle": "works"},
    "merge": {"--conflicts": "answers"},
    "worker logs": {"--follow": "works", "-f": "works"},
}
"""What an option makes of a command."""
_SECOND: Mapping[str, Does] = {"note": "changes"}
"""What a second argument makes of a command."""


@dataclass(frozen=True)
class Command:
    """`name` as it is typed after `innate`, such as "worker logs"; `needs`: it does nothing without arguments."""

    name: str
    summary: str
    needs: bool = False


@dataclass(frozen=True)
class Typed:
    """A command with its arguments, split as a shell would."""

    name: str
    arguments: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """To type it in a shell."""
        return shlex.join(("innate", *self.words))

    @property
    def words(self) -> tuple[str, ...]:
        """The arguments of `innate`."""
        return *self.name.split(), *self.arguments

    @property
    def does(self) -> Does:
        usual: Does = "answers" if self.name in ANSWERS else "changes" if self.name in CHANGES else "works"
        if len(_plain(self.arguments)) > 1:
            usual = _SECOND.get(self.name, usual)
        options = _OTHERWISE.get(self.name, {})
        return next((does for option, does in options.items() if _has(self.arguments, option)), usual)

    @property
    def why(self) -> str:
        """The reason why it is left to a shell, "" where it is not."""
        return SHELL.get(self.name, "") if self.does == "works" else ""


def _has(arguments: Sequence[str], option: str) -> bool:
    return any(one == option or one.startswith(f"{option}=") for one in arguments)


def _plain(arguments: Sequence[str]) -> list[str]:
    """Those that are no options. Not every option takes what follows it: where one does not, that is missed."""
    return [one for before, one in zip(("", *arguments), arguments, strict=False) if "-" not in (one[:1], before[:1])]


def typed(text: str, commands: Sequence[Command]) -> Typed | None:
    """What was typed as one of `commands`, with or without `innate` before it; None if it is none, or has an open quote."""
    try:
        words = shlex.split(text)
    except ValueError:
        return None
    if words[:1] == ["innate"]:
        words = words[1:]
    for count in (2, 1):
        name = " ".join(words[:count])
        if len(words) >= count and any(command.name == name for command in commands):
            return Typed(name, tuple(words[count:]))
    return None
