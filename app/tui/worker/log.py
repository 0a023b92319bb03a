"""A line of the worker's log as the log viewer shows it."""

from __future__ import annotations

import re

from app.tui.widgets.log import LogLine

_LINE = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d),\d+ (\w+) (.*)", re.DOTALL)
TIME = 9
"""Cells that today's times take, with the gap behind them."""


def shown_line(line: str, today: str) -> LogLine:
    """A line of the log without what is the same in all: "03:10:12 …", the day where it is not today's, "ERROR" if so."""
    match = _LINE.fullmatch(line)
    if match is None:
        return LogLine(line.expandtabs(4))
    day, clock, level, text = match.groups()
    when = clock if day == today else f"{day[5:]} {clock[:5]}"
    told = f"{when} {'' if level == 'INFO' else level + ' '}{text}".expandtabs(4)
    return LogLine(told, bad=level in ("ERROR", "CRITICAL"))
