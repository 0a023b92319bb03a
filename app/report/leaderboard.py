"""The results of a study as tables of text: its variants, best first, or means over the levels of some factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from app.report import overstated
from app.report.aggregate import Difference, Level, over_seeds, verdicts
from app.report.grid import over_grid
from app.report.leaders import ties, ties_line
from app.report.missing import missing_notes
from app.report.text import in_room, interval, no_room_for, number, percent, ranges, table, taken, wrapped
from app.report.variants import constant, levels, varying
from core.names import NORM_SIGNS, short_id
from core.verdict.scoring import SCORES
from storage.queries import scores
from storage.studies import study_row
from storage.tuning import on_the_edge
from storage.verdicts import reasons

if TYPE_CHECKING:
    from sqlite_utils import Database

    from core.records.attack import Threat
    from core.verdict.trust import Reason
    from storage.rows import VariantRow


def leaderboard_table(
    db: Database, study: str, rows: Sequence[VariantRow], width: int, headline: str = "innate"
) -> str:
    """The leaderboard for a person: varying factors, scores with the interval of the headline, trust in footnotes."""
    if not rows:
        return f"{study}: no results yet"
    stored = study_row(db, study)
    trials = scores(db, study, headline)
    scale = 100.0 / SCORES[headline].full
    groups: dict[str, list[str]] = {}
    for one in trials:
        groups.setdefault(one.variant_id, []).append(one.trial_id)
    over = overstated.by_group(overstated.at_score(db, study), groups)
    estimates, judged = over_seeds(db, study, headline, trials), verdicts(trials)
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
    several = any(row.seeds != 1 for row in rows)
    for row, *names in zip(rows, *columns, strict=True):
        verdict, estimate = judged[row.variant_id], estimates[row.variant_id]
        for reason in reasons_of[row.variant_id]:
            notes.setdefault(reason.check, {})[reason.text] = None
        checks = {reason.check for reason in reasons_of[row.variant_id]}
        marks = ranges([place for place, check in enumerate(notes, 1) if check in checks])
        lines.append(
            [
                *names,
                number(row.innate if headline == "innate" else _times(scale, estimate.value)),
                interval(estimate.low, estimate.high, scale, bound=estimate.bound),
                percent(row.clean_accuracy),
                _bounded(row.worst_case, over[row.variant_id]),
                percent(over[row.variant_id]),
                percent(row.retention),
                *([str(row.seeds)] if several else []),
                f"{verdict.trust} [{marks}]" if marks else verdict.trust,
            ]
        )
    count = len(factors)
    headings = [
        *factors,
        _heading(headline),
        "95 % CI",
        "clean",
        "worst",
        "over",
        "kept",
        *(["n"] if several else []),
        "trust",
    ]
    # What is worth least goes where the terminal is narrow: `kept` is a ratio of its neighbours, `n` is said below.
    audited = any(bound is not None for bound in over.values())
    for name in ("over", "kept", "n"):
        unwanted = not audited if name == "over" else taken([headings, *lines]) > width
        if name in headings and unwanted:
            place = headings.index(name)
            headings, *lines = ([*cells[:place], *cells[place + 1 :]] for cells in (headings, *lines))
    text = table(
        headings,
        lines,
        width,
        right=range(count, len(headings) - 1),
        fill=max(range(count), key=lambda index: max(len(line[index]) for line in lines)),
        apart=True,
    )
    head = [f"{study}: {', '.join(part for part in (stored.dataset, constant(rows)) if part)}"]
    foot = ["; ".join([
        f"clean{', worst and kept' if 'kept' in headings else ' and worst'} in %",
        f"worst: survives every attack at {threat}",
        *(["kept: worst / clean"] if "kept" in headings else []),
        *([f"innate over {over_grid(db, study)}"] if stored.threat and headline == "innate" else []),
        *([f"{headline} in %"] if SCORES[headline].percent else []),
        *(["n: seeds"] if "n" in headings else [f"{max(row.seeds for row in rows)} seeds"] if several else []),
    ])]  # fmt: skip
    if audited:
        foot.append(
            "over: so many points worst is too high at most, against what the audits tried (95 %, each ε by itself)"
        )
    if any(bound is None and row.worst_case is not None for row in rows for bound in (over[row.variant_id],)):
        foot.append(f"≤: not audited, so an upper bound only; innate attack --study {study} --audit")
    foot += missing_notes(db, study)
    edges, cells = on_the_edge(db, study)
    if edges:
        foot.append(
            f"Tuned: {edges} of {cells} learning rates are the outermost that were tried, and better ones may lie beyond; see "
            "innate tuning"
        )
    if all(estimates[row.variant_id].basis == "images" for row in rows):
        foot.append(
            "One seed: the intervals are over test images: they are about these models, and say nothing of other seeds."
        )
    told = ties(db, study, headline, trials, estimates)
    if told is not None:
        named = {row.variant_id: " ".join(names) for row, *names in zip(rows, *columns, strict=True)}
        foot.append(ties_line(told, named, headline))
    foot += [f"[{index}] {_note(list(told))}" for index, told in enumerate(notes.values(), 1)]
    return "\n".join([*wrapped(head, width), text, "", *wrapped(foot, width)])


def by_table(
    study: str,
    rows: Sequence[Level],
    factors: Sequence[str],
    score: str,
    width: int,
    over: Mapping[tuple[str, ...], float | None] | None = None,
    radii: str | None = None,
) -> str:
    """Means over all other factors with their intervals, paired differences from the first, trust; `over`: what each is too high
    by at most, `radii`: the ε that the score is at, or the mean over, in words."""
    full = SCORES[score].full
    scale = 100.0 / full
    paired = any(row.difference is not None for row in rows)
    doubted = any(row.trust != "ok" for row in rows)
    lines = []
    for row in rows:
        cells = [
            *row.names,
            number(_times(scale, row.score)),
            interval(row.low, row.high, scale, bound=row.bound),
            str(row.n),
        ]
        if paired:
            cells += _difference_cells(row.difference, scale, first=row is rows[0])
        if over is not None:
            cells.append(percent(over.get(row.names)))
        if doubted:
            cells.append(f"{row.trust} ({row.invalid} of {row.trials})" if row.invalid else row.trust)
        lines.append(cells)
    count = len(factors)
    headings = [*factors, _heading(score), "95 % CI", "n", *(["Δ first", "95 % CI", "won"] if paired else [])]
    headings += [*([] if over is None else ["over"]), *(["trust"] if doubted else [])]
    headings, lines, left_out = in_room(headings, lines, width, ("n", "over", "won"))
    text = table(headings, lines, width, right=range(count, len(headings) - doubted), fill=0, apart=True)
    replicate = "trials" if "seed" in factors else "variants"
    unit = " in %" if full == 1.0 else ""
    single = any(row.basis == "images" for row in rows)
    basis = "images only, one seed" if single else "seeds and images"
    said = "" if radii is None else f" {radii}"
    foot = [f"({score}{unit}{said}: mean over n {replicate}, its interval over {basis})"]
    if paired:
        won = "; won: pairs in which it is the better one" if "won" in headings else ""
        foot.append(f"(Δ first: points, paired by seed, image and every other choice{won})")
        tied = [" ".join(row.names) for row in rows if row.difference is not None and not row.difference.apart]
        if tied:
            foot.append(f"Cannot be told from {' '.join(rows[0].names)}: {', '.join(tied)}.")
    if any(row.bound for row in rows):
        foot.append("(≤: not audited, so an upper bound only, whose interval has no lower end)")
    if left_out:
        foot.append(no_room_for(left_out))
    if "over" in headings:
        foot.append("(over: points too high at most, against what the audits tried; 95 %, pooled)")
    if any(row.invalid for row in rows):
        foot.append(
            "(invalid: models that learned nothing, so many of the trials; they count, "
            + ("as 0)" if score == "innate" else "as they are)")
        )
    return "\n".join([f"{study}: {score}{unit} by {', '.join(factors)}", text, *wrapped(foot, width)])


def _difference_cells(found: Difference | None, scale: float, *, first: bool) -> list[str]:
    if found is None:
        return ["", "", ""] if first else ["-", "-", "-"]
    return [
        f"{scale * found.value:+.1f}",
        f"{scale * found.low:+.1f} to {scale * found.high:+.1f}",
        f"{found.won}/{found.pairs}",
    ]


def _heading(score: str) -> str:
    """Without the plugin that it is of, which the note below names: the levels beside it matter more."""
    return score.rpartition(":")[2]


def _times(scale: float, value: float | None) -> float | None:
    return None if value is None else scale * value


def _bounded(worst: float | None, over: float | None) -> str:
    """A worst case in %, marked as an upper bound where nobody audited it."""
    text = percent(worst)
    return text if worst is None or over is not None else f"≤{text}"


def _note(said: Sequence[str]) -> str:
    """The first of several reasons from one check, and how many others there are."""
    return said[0] if len(said) == 1 else f"{said[0]} (and {len(said) - 1} more of this kind; see innate show TRIAL)"


def _threat(threat: Threat | None) -> str:
    return "no ε (the study has no attacks)" if threat is None else f"{NORM_SIGNS[threat.norm]} ε = {threat.eps:g}"
