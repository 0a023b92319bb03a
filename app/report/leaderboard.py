"""The results of a study as tables of text: its variants, best first, or means over the levels of some factors."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.report.aggregate import Estimate, Level, over_seeds, verdicts
from app.report.text import number, percent, table
from app.report.variants import constant, levels, varying
from core.names import NORM_SIGNS, short_id
from core.verdict.scoring import SCORES
from storage.queries import scores
from storage.studies import study_row
from storage.verdicts import reasons

if TYPE_CHECKING:
    from sqlite_utils import Database

    from core.records import Threat
    from core.verdict.trust import Reason
    from storage.rows import VariantRow


def leaderboard_table(db: Database, study: str, rows: Sequence[VariantRow], width: int) -> str:
    """The leaderboard for a person: varying factors, scores with the interval of the headline, trust in footnotes."""
    if not rows:
        return f"{study}: no results yet"
    stored = study_row(db, study)
    trials = scores(db, study, "innate")
    estimates, judged = over_seeds(trials), verdicts(trials)
    factors = varying(rows) or ["architecture"]
    threat = _threat(stored.threat)
    lines: list[list[str]] = []
    said = reasons(db, study)
    reasons_of: dict[str, list[Reason]] = {}  # variant → those of its trials
    for trial in trials:
        reasons_of.setdefault(trial.variant_id, []).extend(said.get(trial.trial_id, ()))
    notes: dict[str, dict[str, None]] = {}  # check → what it said of one variant or another
    columns = [levels(rows, factor) for factor in factors]
    if len(set(zip(*columns, strict=True))) < len(rows):  # imported weights of one architecture
        factors, columns = [*factors, "variant"], [*columns, [short_id(row.variant_id) for row in rows]]
    for row, *names in zip(rows, *columns, strict=True):
        verdict = judged[row.variant_id]
        for reason in reasons_of[row.variant_id]:
            notes.setdefault(reason.check, {})[reason.text] = None
        checks = {reason.check for reason in reasons_of[row.variant_id]}
        marks = ",".join(str(place) for place, check in enumerate(notes, 1) if check in checks)
        lines.append(
            [
                *names,
                number(row.innate),
                _interval(estimates[row.variant_id]),
                percent(row.clean_accuracy),
                percent(row.worst_case),
                percent(row.retention),
                str(row.seeds),
                f"{verdict.trust} [{marks}]" if marks else verdict.trust,
            ]
        )
    count = len(factors)
    text = table(
        [*factors, "innate", "95 % CI", "clean", "worst", "kept", "n", "trust"],
        lines,
        width,
        right=range(count, count + 6),
        fill=max(range(count), key=lambda index: max(len(line[index]) for line in lines)),
    )
    head = [f"{study}: {', '.join(part for part in (stored.dataset, constant(rows)) if part)}"]
    foot = [f"clean, worst and kept in %; worst: survives every attack at {threat}; kept: worst / clean; n: seeds"]
    if all(estimates[row.variant_id].basis == "samples" for row in rows):
        foot.append("One seed: the intervals are over test samples only and say nothing about other seeds.")
    foot += [f"[{index}] {_note(list(told))}" for index, told in enumerate(notes.values(), 1)]
    return "\n".join([*_wrapped(head, width), text, "", *_wrapped(foot, width)])


def by_table(study: str, rows: Sequence[Level], factors: Sequence[str], score: str, width: int) -> str:
    """Means over all other factors, with t intervals over variants."""
    scale = 100.0 if SCORES[score].percent else 1.0
    lines = [
        [
            *row.names,
            *(number(None if value is None else scale * value) for value in (row.score, row.low, row.high)),
            str(row.n),
        ]
        for row in rows
    ]
    unit = " in %" if scale == 100.0 else ""
    count = len(factors)
    text = table([*factors, score, "low", "high", "n"], lines, width, right=range(count, count + 4), fill=0)
    replicate = "trials" if "seed" in factors else "variants"
    return f"{study}: {score}{unit}, mean over n {replicate} with its 95 % t interval\n{text}"


def _note(said: Sequence[str]) -> str:
    """The first of several reasons from one check, and how many others there are."""
    return said[0] if len(said) == 1 else f"{said[0]} (and {len(said) - 1} more of this kind; see innate show TRIAL)"


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return "-"
    return f"{max(0.0, estimate.low):.1f}–{min(100.0, estimate.high):.1f}"


def _threat(threat: Threat | None) -> str:
    return "no ε (the study has no attacks)" if threat is None else f"{NORM_SIGNS[threat.norm]} ε = {threat.eps:g}"


def _wrapped(lines: Sequence[str], width: int) -> list[str]:
    return [part for line in lines for part in textwrap.wrap(line, width, subsequent_indent="    ")]
