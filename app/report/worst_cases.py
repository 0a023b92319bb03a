"""Worst cases of trials as a table of text: by what all models of a study had, by all that is known, and what audits say."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.report.text import percent, table
from app.report.variants import seed_text
from core.names import NORM_SIGNS, full_name, short_id

if TYPE_CHECKING:
    from storage.rows import RobustnessRow


def worst_case_table(rows: Sequence[RobustnessRow], width: int, *, of_one: bool = False) -> str:
    """A line for each trial, norm and ε; `of_one`: all are about one trial, which is not named."""
    lines = [
        [
            *([] if of_one else [short_id(row.trial_id), _name(row)]),
            f"{NORM_SIGNS[row.norm]} {row.eps:g}",
            percent(row.compared_accuracy),
            percent(row.robust_accuracy) if row.audited is not None else f"≤{percent(row.robust_accuracy)}",
            percent(row.overstated_at_most),
            "not audited" if row.audited is None else f"{row.fell} of {row.audited}",
            ", ".join(row.felled_by or ()) if row.fell else "-",
            row.trust,
        ]
        for row in rows
    ]
    named = [] if of_one else ["trial", "model"]
    headings = [*named, "at", "compared %", "known %", "over", "fell", "to", "trust"]
    first = len(named) + 1
    text = table(headings, lines, width, right=range(first, first + 3), fill=len(headings) - 2)
    tried = dict.fromkeys(attack for row in rows for attack in row.audit_attacks or ())
    note = (
        "(compared: by what all models of the study had; known: by every adversarial image known of this one; over: points "
        "that known is too high at most against the audit's attacks, 95 %; fell: of the survivors that the audit drew last"
        + (f"; it tried {', '.join(tried)})" if tried else ")")
    )
    return "\n".join([text, *textwrap.wrap(note, width)])


def audit_text(row: RobustnessRow) -> str:
    """What an audit came to, in a phrase: "audited: 0 of 64 fell to fmn, apgd-targeted: at most 3.6 points too high"."""
    if row.audited is None:
        return "not audited: an upper bound"
    if row.audited == 0:
        return "audited: none stood" if row.audited_of == 0 else "not audited: an upper bound"
    tried = ", ".join(row.felled_by if row.fell and row.felled_by else row.audit_attacks or ())
    bound = "" if row.overstated_at_most is None else f": at most {percent(row.overstated_at_most)} points too high"
    return f"audited: {row.fell} of {row.audited} fell to {tried}{bound}"


def _name(row: RobustnessRow) -> str:
    return " ".join([full_name((row.architecture, row.optimizer, row.activation, row.defense)), seed_text(row)])
