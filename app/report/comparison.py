"""Two trials, variants or levels beside each other: what differs in how they were made, and in what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.report.aggregate import images_of, influences
from app.report.configuration import Differing, differing
from app.report.sides import LEVEL, TRIAL, Side, find_sides
from app.report.study_models import study_models
from app.report.text import table, wrapped
from core.errors import BadInput
from core.names import NORM_SIGNS, short_id, worst
from core.verdict.findings.contrast import Group
from core.verdict.findings.find import bound_of
from core.verdict.findings.models import FACTORS, Model
from core.verdict.findings.versus import Versus, measures, of_groups, of_two
from core.verdict.scoring import SCORES
from storage import listing, queries
from storage.studies import study_row

if TYPE_CHECKING:
    from sqlite_utils import Database

    from core.records import Threat
    from core.verdict.scoring.outcomes import UnderAttack
    from storage.reading import Options
    from storage.rows import ListedTrial

SHORT = {"clean_accuracy": "clean", "worst_case": "worst"}
"""Columns of the results, by score."""
MOST_VALUES = 4
"""Of one key on one side that are named; more are counted."""


@dataclass(frozen=True)
class Outcome:
    """One side's models."""

    side: Side
    models: tuple[Model, ...]

    @property
    def trust(self) -> str:
        return worst([model.trust for model in self.models])

    @property
    def bound(self) -> bool:
        """Whether what attacks left standing of it is an upper bound that nobody audited."""
        return any(model.bound for model in self.models)

    @property
    def seeds(self) -> list[int]:
        """Those that are known."""
        return sorted({model.seed for model in self.models if model.seed >= 0})


@dataclass(frozen=True)
class Comparison:
    study: str
    score: str
    threat: Threat | None
    first: Outcome
    second: Outcome
    made: Differing
    measured: tuple[Versus, ...]
    uncommon: tuple[UnderAttack, ...]
    """Attacks that only some of the models had."""
    unfinished: Mapping[str, int]
    """State → trials of the study that are still without a result."""

    @property
    def of_trials(self) -> bool:
        return self.first.side.kind == TRIAL

    @property
    def paired(self) -> bool:
        return any(one.found.spread is not None for one in self.measured)


def compared(db: Database, study: str | None, first: str, second: str, score: str) -> Comparison:
    """Two sides by name. Raises as `find_sides` does, and BadInput for trials whose outcomes are not stored."""
    sides = find_sides(db, study, first, second)
    threat = study_row(db, sides.study).threat
    wanted = sides.first.trials | sides.second.trials
    models = study_models(
        db, sides.study, [row for row in queries.scores(db, sides.study, "innate") if row.trial_id in wanted]
    )
    one, other = (
        Outcome(side, tuple(model for model in models if model.trial_id in side.trials))
        for side in (sides.first, sides.second)
    )
    for outcome in (one, other):
        if not outcome.models:
            raise BadInput(
                f"{outcome.side.named}: what became of each image is not stored in study {sides.study}; innate run does it"
            )
    asked, uncommon = measures(models, threat, score, images_of(influences(models, score)))
    if sides.first.kind == TRIAL:
        measured = [of_two(one.models[0], other.models[0], measure) for measure in asked]
    else:
        over = FACTORS if sides.first.factor is None else (sides.first.factor,)
        measured = [of_groups(one.models, other.models, over, measure) for measure in asked]
    rows = listing.page(db, listing.EVERYTHING.narrowed("study", sides.study), "study", limit=-1)
    return Comparison(
        sides.study,
        score,
        threat,
        one,
        other,
        differing(*(_rows(rows, outcome) for outcome in (one, other))),
        tuple(measured),
        tuple(uncommon),
        queries.unfinished_rows(db, sides.study),
    )


def _rows(rows: Sequence[ListedTrial], outcome: Outcome) -> list[ListedTrial]:
    return [row for row in rows if row.trial_id in outcome.side.trials]


def as_rows(found: Comparison) -> list[Options]:
    """One per measure, for programs: accuracies and differences as fractions, a score in its own unit."""
    return [_row(found, one) for one in found.measured]


def _row(found: Comparison, one: Versus) -> Options:
    full = _full(one)
    spread, test = one.found.spread, one.mcnemar
    low, high = one.interval or (None, None)
    return {
        "study": found.study,
        "first": found.first.side.named,
        "second": found.second.side.named,
        "measure": one.measure.name,
        "attack": one.measure.attack,
        "norm": one.measure.norm,
        "eps": one.measure.eps,
        "a": _times(full, one.first),
        "b": _times(full, one.second),
        "difference": None if spread is None else full * spread.mean,
        "low": _times(full, low),
        "high": _times(full, high),
        "pairs": one.found.pairs,
        "won": one.found.won,
        "over_images": spread is not None and spread.seeds is None,
        "upper_bound_a": _bounded(found.first, one),
        "upper_bound_b": _bounded(found.second, one),
        "trust_a": found.first.trust,
        "trust_b": found.second.trust,
        "only_a": None if test is None else test.only_first,
        "only_b": None if test is None else test.only_second,
        "p": None if test is None else test.p,
    }


def comparison_page(found: Comparison, width: int) -> str:
    """For a person: who is who, what differs in how they were made, and the table of results with what it rests on."""
    parts = [
        *wrapped([_title(found)], width),
        *wrapped([f"{letter}  {_about(found, one)}" for letter, one in _lettered(found)], width),
    ]
    if found.made.differing:
        headings = ["differs", "A", "B"]
        lines = [[key, _listed(one), _listed(other)] for key, (one, other) in found.made.differing.items()]
        parts += ["", table(headings, _fitting(lines, width), width)]
    parts += ["", *wrapped([_alike(found)], width)]
    if not found.measured:
        return "\n".join([*parts, "", "Nothing was measured of both."])
    return "\n".join([*parts, "", _results(found, width), "", *wrapped(_foot(found), width)])


def _lettered(found: Comparison) -> list[tuple[str, Outcome]]:
    return [("A", found.first), ("B", found.second)]


def _title(found: Comparison) -> str:
    kind = found.first.side.kind
    return f"{found.study}: two {kind}s, A less B"


def _about(found: Comparison, one: Outcome) -> str:
    """A side in a line: what it is called, of how many models, whether they can be believed."""
    text = one.side.named
    if not found.of_trials:
        count = len(one.models)
        text += f": {count} model{'' if count == 1 else 's'}"
        if one.seeds:
            text += f", seed{'' if len(one.seeds) == 1 else 's'} {_listed([str(seed) for seed in one.seeds])}"
    if one.trust == "ok":
        return f"{text}; trust ok"
    counts = [
        f"{count} of {len(one.models)} {trust}"
        for trust in ("suspect", "invalid")
        if (count := sum(model.trust == trust for model in one.models))
    ]
    return f"{text}; trust: {one.trust if found.of_trials else ', '.join(counts)}"


def _fitting(lines: Sequence[Sequence[str]], width: int) -> list[list[str]]:
    """Values cut so that both columns have room."""
    room = max(8, (width - max(len(line[0]) for line in lines) - 4) // 2)
    return [[line[0], *(cell if len(cell) <= room else f"{cell[: room - 1]}…" for cell in line[1:])] for line in lines]


def _listed(values: Sequence[str]) -> str:
    if len(values) > MOST_VALUES:
        return f"{len(values)} values"
    return ", ".join(values)


def _alike(found: Comparison) -> str:
    """What both were made of, in a sentence, and what they are paired over."""
    same, counted = [], 0
    for key, value in found.made.alike.items():
        if key in ("dataset", "training.epochs", *FACTORS):
            same.append("no defense" if (key, value) == ("defense", "none") else f"{key.split('.')[-1]} {value}")
        elif key == "train_samples":
            same.append(f"{value} training images")
        elif key == "seed":
            same.append(f"seed {value}")
        else:
            counted += 1
    text = f"The same: {', '.join(same)}" + (f", and {counted} options" if counted else "") + "."
    shared = [f"{key} ({_listed(values)})" for key, values in found.made.shared.items() if key in (*FACTORS, "seed")]
    if shared and found.paired:
        text += f" Paired by {', '.join(shared)}."
    return text


def _results(found: Comparison, width: int) -> str:
    names = _names(found)
    lines = []
    for one in found.measured:
        scale = 100.0 if one.measure.bits else 100.0 / SCORES[one.measure.name].full * _full(one)
        cells = [names[one.measure.attack_id or one.measure.name]]
        for value, side in ((one.first, found.first), (one.second, found.second)):
            shown = "-" if value is None else f"{scale * value:.1f}"
            cells.append(f"≤{shown}" if value is not None and _bounded(side, one) else shown)
        cells += _difference(one, scale)
        if found.of_trials:
            test = one.mcnemar
            cells += ["", "", ""] if test is None else [str(test.only_first), str(test.only_second), _p(test.p)]
        else:
            cells.append(f"{one.found.won}/{one.found.pairs}" if one.found.pairs else "-")
        lines.append(cells)
    headings = ["", "A", "B", "A − B", "95 % CI", *(["only A", "only B", "p"] if found.of_trials else ["won"])]
    return table(headings, lines, width, right=range(1, len(headings)), fill=0)


def _difference(one: Versus, scale: float) -> list[str]:
    if one.found.spread is None or one.interval is None:
        return ["-", "-"]
    low, high = one.interval
    return [f"{scale * one.found.spread.mean:+.1f}", f"{scale * low:+.1f} to {scale * high:+.1f}"]


def _names(found: Comparison) -> dict[str, str]:
    """By attack or score; attacks of another norm or ε than the score's say so, namesakes are told apart."""
    named = {}
    for measure in (one.measure for one in found.measured):
        if measure.attack_id is None:
            named[measure.name] = SHORT.get(measure.name, measure.name)
            continue
        threat, text = found.threat, measure.attack or ""
        if threat is None or (measure.norm, measure.eps) != (threat.norm, threat.eps):
            text += f" {NORM_SIGNS[measure.norm or '']} {measure.eps:g}"
        named[measure.attack_id] = text
    for key, text in list(named.items()):
        if list(named.values()).count(text) > 1 and key not in SHORT:
            named[key] = f"{text} {short_id(key)[:6]}"
    return named


def _foot(found: Comparison) -> list[str]:
    """What the table rests on, and what it does not say."""
    images = len(found.first.models[0].outcomes.clean)
    at = "" if found.threat is None else f" at {NORM_SIGNS[found.threat.norm]} ε = {found.threat.eps:g}"
    score = next((one.measure.name for one in found.measured if not one.measure.bits), None)
    unit = "" if score is None else f"; {score} {'in %' if SCORES[score].percent else '0 to 100'}"
    text = [f"Accuracies in % of the same {images} test images, worst: under every attack{at}{unit}."]
    if found.of_trials:
        text.append(
            "This model against that one, over images: it says nothing of other seeds. only A, only B: images that one alone "
            "classifies rightly; p: McNemar's exact test, the interval of an accuracy Tango's."
        )
    elif found.paired:
        over = "seed and image" if found.first.side.kind != LEVEL else "seed, image and every other choice"
        text.append(f"A − B: paired by {over}; won: pairs in which A is the better. Each interval by itself.")
    text += _gaps(found) + _doubts(found)
    return text


def _gaps(found: Comparison) -> list[str]:
    """What could not be compared, or only in part, and what would change that."""
    text = []
    if found.uncommon:
        names = dict.fromkeys(one.name for one in found.uncommon)
        text.append(
            f"Left out, since only some of these models had them: {', '.join(names)}; even out: innate attack --study "
            f"{found.study} --level"
        )
    if found.of_trials:
        return text
    seeds = [set(one.seeds) for one in (found.first, found.second)]
    if not found.paired:
        if not all(seeds):
            why = "weights that were trained elsewhere have no seed to pair by; compare two trials by their ids"
        elif not seeds[0] & seeds[1]:
            why = f"they have no seed in common; {_mend(found)}"
        else:
            why = f"no seed of any combination of the other choices has both; {_mend(found)}"
        return [*text, f"No pairs, so no difference: {why}."]
    missing = max(one.found.missing for one in found.measured)
    if missing:
        text.append(
            f"{missing} model{'' if missing == 1 else 's'} without a counterpart {'is' if missing == 1 else 'are'} left out; "
            f"{_mend(found)}."
        )
    if all(one.found.spread is None or one.found.spread.seeds is None for one in found.measured):
        text.append(
            "One seed: the intervals are over images only, and say nothing of other seeds; more seeds: innate run FILE --set "
            "seeds=5."
        )
    return text


def _mend(found: Comparison) -> str:
    """The command that gives what is missing a result."""
    if found.unfinished.get("failed"):
        return f"failed trials go on with: innate retry --study {found.study}"
    if found.unfinished:
        return "trials are waiting: innate run, or innate worker start"
    return "add what is missing to the study file, and: innate run FILE"


def _doubts(found: Comparison) -> list[str]:
    """What audits, or their absence, leave open."""
    text = []
    if any(_bounded(side, one) for one in found.measured for side in (found.first, found.second)):
        text.append(f"≤: not audited, so an upper bound only; innate attack --study {found.study} --audit")
    uneven = sum(model.uneven for side in (found.first, found.second) for model in side.models)
    if uneven:
        text.append(
            f"{uneven} of these models {'was' if uneven == 1 else 'were'} not attacked like the rest; "
            f"even out: innate attack --study {found.study} --level"
        )
    for one in found.measured:
        if one.measure.name == "worst_case" and one.found.spread is not None:
            bound = bound_of(one.found, [Group(1.0, ()), Group(-1.0, ())])
            if bound is not None and abs(one.found.spread.mean) <= bound:
                text.append(
                    f"worst: the better one may be too high by {100 * bound:.1f} points (audit, 95 %), and the difference is no "
                    "larger than that."
                )
    return text


def _bounded(side: Outcome, one: Versus) -> bool:
    """Whether this number of it is an upper bound; what stands under one attack is a plain count."""
    return side.bound and one.measure.attack is None and SCORES[one.measure.name].attacked


def _full(one: Versus) -> float:
    return 1.0 if one.measure.bits else SCORES[one.measure.name].full


def _times(scale: float, value: float | None) -> float | None:
    return None if value is None else scale * value


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"
