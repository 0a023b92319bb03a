"""What was done from the screens, as the commands that do it again."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass

_INNATE = re.compile(r"(^|[;|&] )innate ")


@dataclass(frozen=True)
class Done:
    """Something that was done: when (seconds since the epoch), in a sentence, and the command, which may have a document in
    lines after it."""

    at: float
    told: str
    command: str

    @property
    def clock(self) -> str:
        """When, to the second."""
        return datetime.datetime.fromtimestamp(self.at).strftime("%H:%M:%S")


def script(done: Sequence[Done], option: str) -> str:
    """A shell script that does it all again, in order; `option` is the global option that the commands need."""
    lines = ["#!/bin/sh"]
    if option:
        lines.append(prelude(option))
    for one in done:
        lines += ["", f"# {one.clock}  {' '.join(one.told.split())}", one.command]
    return "\n".join(lines) + "\n"


def prelude(option: str) -> str:
    """What a shell is told before commands, so that each of them has the global `option`."""
    return f'innate() {{ command innate {option} "$@"; }}'


def spelled(command: str, option: str) -> str:
    """`command` with the global `option`, so that it works in the same home wherever it is typed. A document after its first line
    stays as it is."""
    line, newline, document = command.partition("\n")
    if option:
        line = _INNATE.sub(lambda match: f"{match[1]}innate {option} ", line)
    return line + newline + document
