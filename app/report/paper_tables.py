"""Means by factors as tables for papers: two factors as rows and columns, one or several as rows; Markdown and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.report.aggregate import Level
from app.report.document.markdown import pipes
from app.report.grid import told_radii
from app.report.variants import grouped
from core.names import TRUST
from core.verdict.scoring import SCORES
from storage.studies import study_row

if TYPE_CHECKING:
    from sqlite_utils import Database

    from storage.rows import ScoreRow

MARKS = {"ok": "", "suspect": "†", "invalid": "‡"}
"""Of verdicts, as footnotes of a table."""
_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "ε": r"$\varepsilon$", "ℓ∞": r"$\ell_\infty$", "ℓ2": r"$\ell_2$", "±": r"$\pm$", "≤": r"$\leq$", "×": r"$\times$",
    "†": r"\textsuperscript{$\dagger$}", "‡": r"\textsuperscript{$\ddagger$}", "–": "--", "β": r"$\beta$", "Δ": r"$\Delta$",
}  # fmt: skip
_SPECIAL = re.compile("|".join(map(re.escape, sorted(_LATEX, key=len, reverse=True))))


@dataclass(frozen=True)
class PaperTable:
    """Cells as they are to be read; the first `named` columns are names, `notes` stand below."""

    caption: str
    label: str
    """What LaTeX refers to it by."""
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    named: int
    notes: tuple[str, ...] = ()


def by_factors_table(
    db: Database,
    study: str,
    score: str,
    factors: Sequence[str],
    found: Sequence[Level],
    scored: Sequence[ScoreRow],
    eps: float | None = None,
) -> PaperTable:
    """`found` as `aggregate.by_factors` makes it of `scored` at `eps`. A pivot has the study's order, a list the best first."""
    scale = 100.0 / SCORES[score].full
    if len(factors) == 2:
        cells = {one.names: one for one in found}
        firsts, seconds = (list(dict.fromkeys(grouped(scored, factor))) for factor in factors)
        headings = (f"{factors[0]} × {factors[1]}", *seconds)
        rows = tuple((first, *(_cell(cells.get((first, second)), scale) for second in seconds)) for first in firsts)
    else:
        headings = (*factors, f"{score}{_unit(score)}", "n")
        rows = tuple((*one.names, _cell(one, scale), str(one.n)) for one in found)
    return PaperTable(
        _caption(db, study, score, factors, found, eps),
        "-".join(["tab", study, score, *factors]),
        headings,
        rows,
        1 if len(factors) == 2 else len(factors),
        tuple(_notes(found)),
    )


def _unit(score: str) -> str:
    return " in %" if SCORES[score].percent else ""


def _cell(one: Level | None, scale: float) -> str:
    """Mean ± half of the interval's width, with the mark of its verdict; "≤" where nobody audited it."""
    if one is None or one.score is None:
        return "–"
    value, mark = f"{scale * one.score:.1f}", MARKS[one.trust]
    if one.bound:
        return f"≤ {value}{mark}"
    if one.low is None or one.high is None:
        return f"{value}{mark}"
    return f"{value} ± {scale * (one.high - one.low) / 2:.1f}{mark}"


def _caption(
    db: Database, study: str, score: str, factors: Sequence[str], found: Sequence[Level], eps: float | None
) -> str:
    """Study, data set, score, norm and ε, what the means are over, and what stands behind ±."""
    row = study_row(db, study)
    radii = told_radii(db, study, score, eps)
    at = "" if radii is None else f" {radii}"
    over = "images, one seed" if any(one.basis == "images" for one in found) else "seeds and images"
    return (
        f"{study} ({row.dataset}): {score}{_unit(score)}{at}; means over {_counted(factors, found)}, ± half of the 95 % interval "
        f"over {over}."
    )


def _counted(factors: Sequence[str], found: Sequence[Level]) -> str:
    """What each mean is over: "n = 2 variants of 3 seeds"; a range where they differ."""
    counts = sorted({one.n for one in found if one.n}) or [0]
    n = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]}–{counts[-1]}"
    plural = "" if counts == [1] else "s"
    if "seed" in factors:
        return f"n = {n} trial{plural}"
    seeds = sorted({one.trials // one.n for one in found if one.n})
    many = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]}–{seeds[-1]}" if seeds else "0"
    return f"n = {n} variant{plural} of {many} seed{'' if seeds == [1] else 's'}"


def _notes(found: Sequence[Level]) -> list[str]:
    notes = []
    there = {one.trust for one in found if one.score is not None}
    marked = [f"{MARKS[trust]} some model is {trust}" for trust in TRUST if MARKS[trust] and trust in there]
    if marked:
        notes.append(f"{'; '.join(marked)}.")
    if any(one.bound for one in found):
        notes.append("≤ not audited, so an upper bound.")
    return notes


def markdown_table(table: PaperTable) -> str:
    """For GitHub, ending in a newline."""
    cells = pipes(table.headings, table.rows, range(table.named, len(table.headings)))
    return "\n\n".join(part for part in (table.caption, cells, *table.notes) if part) + "\n"


def latex_table(table: PaperTable) -> str:
    """A `table` with booktabs's rules, ending in a newline."""
    shape = "l" * table.named + "r" * (len(table.headings) - table.named)
    body = [f"    {' & '.join(map(latex, line))} \\\\" for line in (table.headings, *table.rows)]
    caption = [rf"  \caption{{{latex(table.caption)}}}", rf"  \label{{{_label(table.label)}}}"] if table.caption else []
    notes = [rf"  \par\smallskip\footnotesize {' '.join(map(latex, table.notes))}"] if table.notes else []
    return "\n".join([
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        *caption,
        rf"  \begin{{tabular}}{{{shape}}}",
        r"    \toprule",
        body[0],
        r"    \midrule",
        *body[1:],
        r"    \bottomrule",
        r"  \end{tabular}",
        *notes,
        r"\end{table}",
        "",
    ])  # fmt: skip


def latex(text: str) -> str:
    """Text that means itself in LaTeX."""
    return _SPECIAL.sub(lambda found: _LATEX[found.group()], text)


def _label(text: str) -> str:
    """A label holds no signs; the first part says what it is of."""
    kind, _, rest = text.partition("-")
    return f"{kind}:{re.sub(r'[^A-Za-z0-9.:-]+', '-', rest)}"
