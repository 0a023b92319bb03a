"""Configuration and results of two beside each other, paired; of more than two what differs among them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.report.comparison import Comparison, held, is_bound
from app.report.comparison_page import difference_cells, doubts, gaps, measure_names, p_text
from app.report.configuration import configuration
from app.report.groups import Group, groups
from app.report.pooled import MOST_MODELS
from app.report.sides import LEVEL, TRIAL, VARIANT, Side
from app.report.text import distinct
from app.tui.lab.views.sight import Knobs, Sight
from app.tui.lab.views.table import Table, View, value_cell
from app.tui.widgets.grid import Cell, Column, Line, named_cell
from core.errors import BadInput
from core.names import FACTORS, NORM_SIGNS, short_id
from core.verdict.findings.versus import Versus
from storage import listing
from storage.grouping import SEED
from storage.rows import ListedTrial
from storage.studies import study_row

if TYPE_CHECKING:
    from sqlite_utils import Database

MOST_RUNS = 40
"""Runs whose differences are looked for: more than any terminal has room for."""
_MOST_VALUES = 3
"""Of one key on one side that are named."""


@dataclass(frozen=True)
class Held:
    """Two against each other; `notes` are what the comparison does not say."""

    found: Comparison
    by: tuple[str, ...]
    why: str
    """Whom the second is: the baseline, the best, the other mark."""
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Differences:
    """The results of some runs and the keys whose values differ among them; `values` by key and run."""

    runs: tuple[tuple[str, str], ...]
    keys: tuple[str, ...]
    values: Mapping[tuple[str, tuple[str, str]], str]
    results: tuple[str, ...]
    left_out: int
    why: str = ""
    """Why no two of them are held against each other, where they might have been."""


def load(db: Database, sight: Sight, knobs: Knobs) -> Held | Differences | None:  # noqa: ARG001 - no knob of its own
    sides = _sides(sight)
    why = ""
    if sides is not None:
        first, second, over, whom = sides
        models = len(first.trials) + len(second.trials)
        if models <= MOST_MODELS:
            try:
                found = held(db, sight.study, first, second, over, sight.score, sight.scope.eps)
                return Held(found, sight.asked.by, whom, (*gaps(found), *doubts(found)))
            except BadInput as error:
                why = str(error)
        else:
            why = f"{models:,} models are too many to pair here; / narrows them down"
    return _of_many(db, sight, why)


# --- which two ---


def _sides(sight: Sight) -> tuple[Side, Side, tuple[str, ...], str] | None:
    """Two marked runs, or two variants whose every run is marked; else the row under the cursor and the baseline, or the best of
    the same kind. With the factors that they differ in, and whom the second is. None where the marks are others: what they are
    made of can still be compared."""
    scored = sight.scope.scored(sight.score)
    here = [row for row in scored if row.trial_id in set(sight.marked)]
    if sight.asked.marks:
        if len(sight.marked) < len(sight.asked.marks) or len(here) < len(sight.marked):
            return None  # in several studies, or without a result yet
        if len(here) == 2:
            names = {group.trial_ids[0]: group for group in groups(sight.scope, scored, ("variant", SEED))}
            one, other = (_run(names[trial]) for trial in sight.marked)
            return one, other, FACTORS, "the other mark"
        variants = groups(sight.scope, scored, ())
        whole = sum(len(group.trial_ids) for group in variants) == len(here)
        if len(variants) == 2 and whole:
            return _variant(variants[0]), _variant(variants[1]), FACTORS, "the other mark"
        return None
    current, baseline = frozenset(sight.asked.current), frozenset(sight.asked.baseline)
    kinds = [("variant", SEED), (), sight.asked.by] if sight.asked.by else [("variant", SEED), ()]
    for by in kinds:
        known = groups(sight.scope, scored, by)
        own = next((group for group in known if current and current <= set(group.trial_ids)), None)
        if own is None:
            continue
        second = next((group for group in known if baseline and baseline <= set(group.trial_ids)), None)
        whom = "the baseline"
        if second is None or second.key == own.key:
            second, whom = _best(known, {row.trial_id: row.value for row in scored if row.value is not None}, own)
        if second is None:
            return None
        if by == ("variant", SEED):
            return _run(own), _run(second), FACTORS, whom
        if not by or "variant" in by:
            return _variant(own), _variant(second), FACTORS, whom
        factors = tuple(factor for factor in by if factor in FACTORS)
        one, other = (
            Side(LEVEL, group.label, factors[0] if len(factors) == 1 else None, frozenset(group.trial_ids))
            for group in (own, second)
        )
        return one, other, factors, whom
    return None


def _run(group: Group) -> Side:
    return Side(TRIAL, group.label, None, frozenset(group.trial_ids), group.trial_ids[0])


def _variant(group: Group) -> Side:
    return Side(VARIANT, group.label, None, frozenset(group.trial_ids), group.key)


def _best(known: Sequence[Group], values: Mapping[str, float], own: Group) -> tuple[Group | None, str]:
    ranked = sorted(
        ((mean, group) for group in known if (mean := group.mean(values)) is not None), key=lambda one: -one[0]
    )
    if ranked and ranked[0][1].key == own.key:
        return (ranked[1][1], "the next best") if len(ranked) > 1 else (None, "")
    return (ranked[0][1], "the best") if ranked else (None, "")


# --- more than two ---


def _of_many(db: Database, sight: Sight, why: str) -> Differences | None:
    """Of the marked runs of any study, else of those under the cursor, else of the first in sight. None where there are not
    two."""
    left_out = 0
    if sight.asked.marks:
        rows = listing.some(db, list(dict.fromkeys(sight.asked.marks))[:MOST_RUNS])
        left_out = max(0, len(sight.asked.marks) - MOST_RUNS)
    else:
        chosen = sight.asked.chosen.narrowed("study", sight.study)
        rows = listing.page(db, chosen, "study", limit=MOST_RUNS)
        left_out = listing.count(db, chosen) - len(rows)
        current = [(sight.study, trial) for trial in dict.fromkeys((*sight.asked.current, *sight.asked.baseline))]
        if len(current) > 1:
            rows, left_out = listing.some(db, current[:MOST_RUNS]), max(0, len(current) - MOST_RUNS)
    if len(rows) < 2:
        return None
    configs = {(row.study, row.trial_id): {"study": row.study, **configuration(row)} for row in rows}
    keys = list(dict.fromkeys(key for config in configs.values() for key in config))
    differing = tuple(key for key in keys if len({config.get(key, "-") for config in configs.values()}) > 1)
    results = {(row.study, row.trial_id): _outcome(db, row) for row in rows}
    names = tuple(next(iter(results.values())))
    values = {(key, run): config.get(key, "-") for run, config in configs.items() for key in differing}
    values |= {(name, run): outcome[name] for run, outcome in results.items() for name in names}
    return Differences(tuple(configs), differing, values, names, left_out, why)


def _outcome(db: Database, row: ListedTrial) -> dict[str, str]:
    """Each at its study's own ε, which stands among them."""

    def share(value: float | None, scale: float = 100.0) -> str:
        return "-" if value is None else f"{scale * value:.1f}"

    threat = study_row(db, row.study).threat
    return {
        "innate": share(row.innate, 1.0),
        "trust": row.trust or row.state,
        "clean %": share(row.clean_accuracy),
        "worst %": share(row.worst_case),
        "worst at": "-" if threat is None else f"{NORM_SIGNS[threat.norm]} {threat.eps:g}",
    }


# --- tables ---


def table(content: Held | Differences, width: int, wide: bool) -> Table:
    return _two(content.found, width, wide) if isinstance(content, Held) else _many(content)


def _two(found: Comparison, width: int, wide: bool) -> Table:
    """Results first, in pairs; below them how the two were made."""
    names, sides = measure_names(found), [found.first.side.label, found.second.side.label]
    made = found.made.differing
    key = min(max(7, *(len(text) for text in (*names.values(), *made))) + 2, 30 if wide else 22)
    tail = [
        Column("two difference", "A − B", 6, named_cell("difference"), right=True),
        Column("two interval", "95 %", 14, named_cell("interval"), right=True),
        Column(
            f"two {'p' if found.of_trials else 'won'}",
            "p" if found.of_trials else "won",
            6,
            named_cell("won"),
            right=True,
        ),
    ]
    room = (width - 2 - (key + 1) - sum(column.width + 1 for column in tail)) // 2 - 1
    longest = max(8, *(len(text) for text in (*sides, *(_listed(values) for pair in made.values() for values in pair))))
    size = max(10, min(room, longest + 2))
    headings = [f"{letter} {name}" for letter, name in zip("AB", distinct(sides, size - 2), strict=True)]
    columns = [
        Column(f"two key {key}", "", key, named_cell("key")),
        Column(f"two first {size}", headings[0], size, named_cell("A")),
        Column(f"two second {size}", headings[1], size, named_cell("B")),
        *tail,
    ]
    lines = [_measured(found, one, names[one.measure.attack_id or one.measure.name]) for one in found.measured]
    one, other = found.first.trust, found.second.trust
    lines.insert(0, _plain("trust", "→ trust", (one, one), (other, other), f"trust: A {one}, B {other}"))
    lines += [
        _plain(
            key,
            key,
            (_listed(first), ""),
            (_listed(second), ""),
            f"{key}: A {', '.join(first)} · B {', '.join(second)}",
        )
        for key, (first, second) in made.items()
    ]
    return Table(tuple(columns), tuple(lines))


def _plain(key: str, shown: str, first: Cell, second: Cell, words: str) -> Line:
    colour = "title" if shown.startswith("→") else ""
    return Line(("key", key), {"key": (shown, colour), "A": first, "B": second}, words)


def _measured(found: Comparison, one: Versus, name: str) -> Line:
    shown = []
    for value, side in ((one.first, found.first), (one.second, found.second)):
        text = "-" if value is None else f"{100 * value:.1f}"
        shown.append(f"≤{text}" if value is not None and is_bound(side, one) else text)
    apart, interval = difference_cells(one)
    won, told = "", ""
    if found.of_trials and one.mcnemar is not None:
        won = p_text(one.mcnemar.p)
        told = (
            f"; {one.mcnemar.only_first} images only A has right, {one.mcnemar.only_second} only B; McNemar's p {won}: of "
            "these two models, not of other seeds"
        )
    elif one.found.pairs and not found.of_trials:
        won = f"{one.found.won}/{one.found.pairs}"
        told = f", paired by seed and image; A is the better in {one.found.won} of {one.found.pairs} pairs"
    words = f"{name}: A {shown[0]}, B {shown[1]}"
    words += f", A − B {apart} (95 %: {interval}){told}" if apart != "-" else "; nothing is paired"
    cells: dict[str, Cell] = {
        "key": (f"→ {name}", "title"),
        "A": (shown[0], ""),
        "B": (shown[1], ""),
        "difference": (apart, ""),
        "interval": (interval, ""),
        "won": (won, ""),
    }
    return Line(("measure", one.measure.attack_id or one.measure.name), cells, words)


def _listed(values: Sequence[str]) -> str:
    return f"{len(values)} values" if len(values) > _MOST_VALUES else ", ".join(values)


def _many(found: Differences) -> Table:
    width = max(9, *(min(18, len(value)) for value in found.values.values()))
    columns = [Column("differences key", "differs", 26, named_cell("key"))]
    for run in found.runs:
        columns.append(Column(f"differences {run} {width}", short_id(run[1]), max(10, width), named_cell(f"of {run}")))
    lines = [
        Line(
            key,
            {
                "key": (f"→ {key}", "title") if key in found.results else (key, ""),
                **{f"of {run}": value_cell(found.values[key, run]) for run in found.runs},
            },
            f"{key}: " + " · ".join(f"{short_id(run[1])} {found.values[key, run]}" for run in found.runs),
        )
        for key in (*found.results, *found.keys)
    ]
    return Table(tuple(columns), tuple(lines))


# --- in words ---


def about(sight: Sight, content: Held | Differences) -> tuple[str, ...]:  # noqa: ARG001 - whose they are stands in the content
    if isinstance(content, Held):
        first, second = content.found.first.side, content.found.second.side
        return f"A {first.named}", f"B {second.named}, {content.why}", "accuracies in %"
    left = f" of {len(content.runs) + content.left_out:,}" if content.left_out else ""
    text = f"{len(content.runs)}{left} runs, only what differs; h l move the columns"
    return (text, content.why) if content.why else (text,)


def command(sight: Sight, content: Held | Differences | None) -> str:
    if isinstance(content, Differences):
        return "; ".join(f"innate show {short_id(trial)}" for _, trial in content.runs[:4])
    if content is None:
        return f"innate trials --study {shlex.quote(sight.study)}"
    sides = (content.found.first.side, content.found.second.side)
    if sides[0].kind != LEVEL:
        names = [short_id(side.id) for side in sides]
    elif sides[0].factor is not None:
        names = [shlex.quote(f"{side.factor}={side.label}") for side in sides]
    else:  # levels of several factors have no name of their own
        text = f"innate results --by {','.join(content.by)} --study {shlex.quote(sight.study)} --score {content.found.score}"
        return text if sight.scope.eps is None else f"{text} --eps {sight.scope.eps:g}"
    text = f"innate compare {names[0]} {names[1]} --study {shlex.quote(sight.study)} --score {content.found.score}"
    if sight.scope.eps is not None:
        text += f" --eps {sight.scope.eps:g}"
    return text + (f" --filter {shlex.quote(sight.asked.chosen.text)}" if sight.asked.chosen.text else "")


VIEW = View(
    "Differences", load, table, about, command, "There are no two runs to compare: space marks a run; mark two or more."
)
