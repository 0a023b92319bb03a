"""What a look at a study's findings came to: in words, what it costs, and as rows for programs."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING

from app.report.finding_words import claim
from app.worker.narration import in_words
from core.verdict.decisions import ERROR
from core.verdict.settling.stage import Limit, Undecided

if TYPE_CHECKING:
    from app.report.settle import Outlook
    from storage.reading import Options


def told(found: Outlook, width: int) -> str:
    """The look in words: what is decided, what stays open, what is given up and why."""
    lines = []
    for family, one in found.stages.items():
        new = one.looks[-1] if len(one.looks) > len(found.before.of(family).looks) else None
        name = "The paper's claims" if family == "claims" else f"Effects of the {family.partition(':')[2]}"
        if new is None:
            why = "nothing new since the last look" if one.looks else "no look yet, for one seed says nothing of others"
            lines.append(f"{name}: {why}")
        else:
            spent = math.fsum(look.error for look in one.looks)
            error = f"error {new.error:.4f}, spent so far {spent:.4f} of {ERROR:g}"
            lines.append(f"{name}: look {len(one.looks)}, at {new.seeds} seeds; {error}")
        lines += [f"  {decided.verdict} (look {decided.look}): {claim(decided.key)}" for decided in one.decided]
        lines += [f"  {left(still, found.study)}" for still in one.undecided]
    return "\n".join(part for line in lines for part in textwrap.wrap(line, width, subsequent_indent="      "))


def left(one: Undecided, study: str) -> str:
    """What has become of a claim that is not decided, and why, where there is a why."""
    said = claim(one.key)
    match one.limit:
        case Limit.SEEDS:
            return f"given up ({one.chance:.0%} to be decided by the last look): {said}"
        case Limit.IMAGES:
            return (
                f"limited by test images: {said}; set test_samples to {one.images or 0:,} in {study} and run it again"
            )
        case Limit.ATTACKS:
            return f"limited by attacks and audits: {said}; innate findings --study {study} says which"
    # One seed tells no chance.
    chance = "" if one.interval is None else f" ({one.chance:.0%} to be decided by the last look)"
    return f"open{chance}: {said}"


def cost_text(found: Outlook) -> str:
    """How many trials, and how long they take."""
    if not found.more:
        return f"{found.study}: nothing to train"
    took = (
        "a time that is unknown until one has been run" if found.seconds is None else f"about {in_words(found.seconds)}"
    )
    text = f"{found.study}: {found.trials} more trials of {len(found.more)} variants, {took}"
    if found.left_out:
        text += f"; {found.left_out} others are beyond the budget"
    if found.expected_seconds is not None and found.expected_trials > found.trials:
        text += (
            f"; until all is settled, by what is seen now, about {math.ceil(found.expected_trials)} trials, "
            f"{in_words(found.expected_seconds)}"
        )
    return text


def as_rows(found: Outlook) -> list[Options]:
    """One row for each claim, for programs."""
    rows: list[Options] = []
    for family, one in found.stages.items():
        rows += [
            {"study": found.study, "family": family, "key": decided.key, "state": decided.verdict, "look": decided.look,
             "chance": None, "test_samples": None}
            for decided in one.decided
        ]  # fmt: skip
        rows += [
            {"study": found.study, "family": family, "key": still.key,
             "state": "open" if still.limit is None else f"limited by {still.limit.value}",
             "look": None, "chance": None if still.interval is None else still.chance, "test_samples": still.images}
            for still in one.undecided
        ]  # fmt: skip
    return rows
