"""A study's findings: as records from what is stored, as a page for people, as rows for programs."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.report import cause_words
from app.report import finding_words as words
from app.report.described import ranks_text, variance_table
from app.report.study_models import study_models
from app.report.text import percent, table
from core.errors import BadInput
from core.names import FACTORS, NORM_SIGNS
from core.verdict.crossed import FEW
from core.verdict.decisions import ERROR, MARGIN
from core.verdict.findings import Finding, Hindrance, Model, find
from core.verdict.findings.description import Description, describe
from core.verdict.findings.finding import Beside, Kind
from storage import queries
from storage.settling import settling
from storage.studies import study_row
from storage.tuning import stages

if TYPE_CHECKING:
    from sqlite_utils import Database

    from core.records.attack import Threat
    from storage.reading import Options
    from storage.settling import Settling


@dataclass(frozen=True)
class Findings:
    """What was found of one study at its score's threat."""

    study: str
    threat: Threat | None
    margin: float
    """In points."""
    models: tuple[Model, ...]
    found: tuple[Finding, ...]
    described: Description


def findings(db: Database, study: str, margin: float | None = None) -> Findings:
    """Of the study's scored trials as they are now, against `margin_of`. Raises BadInput as that does."""
    models = scored_models(db, study)
    under_way = queries.unfinished_rows(db, study)
    waiting = under_way.get("queued", 0) + under_way.get("running", 0) + stages(db, study).to_come
    known = settling(db, study)
    margin = margin_of(known, study, margin)
    found = find(models, margin=margin, waiting=waiting, looked=known.families)
    return Findings(study, study_row(db, study).threat, margin, tuple(models), tuple(found), describe(models))


def margin_of(known: Settling, study: str, asked: float | None) -> float:
    """In points: what the study is settled against, else what is asked for, else MARGIN. Raises BadInput where another is asked
    for than it is settled against: one study cannot be decided twice."""
    if known.margin is None:
        return MARGIN if asked is None else asked
    if asked not in (None, known.margin):
        raise BadInput(
            f"--margin {asked:g}: {study} has been settled against {known.margin:g} points, and goes on with that"
        )
    return known.margin


def scored_models(db: Database, study: str) -> list[Model]:
    """Those that a finding can count: trained here, with a score."""
    rows = queries.scores(db, study, "worst_case")
    return study_models(db, study, [row for row in rows if row.optimizer is not None])


def page(found: Findings, width: int) -> str:
    """The claims, each with what it rests on and what stands in its way; then every factor's levels."""
    lines = head(found, width)
    lines += _claims([one for one in found.found if one.kind is not Kind.EFFECT], found.study, width)
    for factor in FACTORS:
        of_factor = [one for one in found.found if one.kind is Kind.EFFECT and one.factor == factor]
        if of_factor:
            lines += ["", *_effects(factor, of_factor, found.study, width)]
            ranked = [one for one in found.described.ranks if one.factor == factor]
            lines += [
                part for one in ranked for part in textwrap.wrap(ranks_text(one), width, subsequent_indent="    ")
            ]
    if found.described.variance is not None:
        lines += ["", *variance_table(found.described.variance, width)]
    supposed = cause_words.assumptions(found.found)
    if supposed is not None:
        lines += ["", *textwrap.wrap(supposed, width)]
    return "\n".join(lines)


def head(found: Findings, width: int) -> list[str]:
    """How many models, at which ε, and what the verdicts mean."""
    at = "no attack to score" if found.threat is None else f"{NORM_SIGNS[found.threat.norm]} ε = {found.threat.eps:g}"
    trials = "1 model" if len(found.models) == 1 else f"{len(found.models)} models"
    text = (
        f"{found.study}: {trials} at {at}. Supported: the paired difference exceeds {found.margin:g} points, the claims together "
        f"(and each factor's levels) wrong with {100 * ERROR:g} % at most (Holm), and exceeds what the audits leave open."
    )
    lines = textwrap.wrap(text, width)
    seeds = max((one.seeds for one in found.found), default=0)
    if 1 < seeds <= FEW:
        said = (
            f"With {seeds} seeds, what a seed does to all models alike is hardly seen, and intervals may be too narrow for it; "
            "with 5 it is found and counted."
        )
        lines += ["", *textwrap.wrap(said, width)]
    looks = max((one.looks for one in found.found), default=0)
    if looks:
        said = (
            f"Settled look by look ({looks} so far): verdicts are those of the looks, intervals hold whenever one stops; next "
            f"look: innate findings --study {found.study} --settle"
        )
        lines += ["", *textwrap.wrap(said, width)]
    return lines


def _claims(found: Sequence[Finding], study: str, width: int) -> list[str]:
    lines = ["", "The paper's claims"]
    for one in found:
        if one.parts:
            lines += ["", *_block(f"{one.verdict.upper()}  {words.claim(one.key)}", one, study, width)]
    unasked = [one for one in found if not one.parts]
    if unasked:
        lines += ["", "INCONCLUSIVE, for this study cannot say"]
    for one in unasked:
        said = "; ".join([words.claim(one.key), *_ways(one, study)])
        lines += textwrap.wrap(f"  {said}", width, subsequent_indent="    ")
    return lines


def _block(title: str, found: Finding, study: str, width: int) -> list[str]:
    """A finding with everything that it rests on."""
    said = [title, *(f"  {line}" for line in [*basis(found), *_ways(found, study)])]
    return [part for line in said for part in textwrap.wrap(line, width, subsequent_indent="    ")]


def basis(found: Finding) -> list[str]:
    """What it rests on: the difference that decides, what came of the test, what stands beside it; nothing of one that cannot be
    asked."""
    measured = words.numbers(found)
    if not measured:
        return []
    weakest = f"; of {len(found.parts)} comparisons the one that decides" if len(found.parts) > 1 else ""
    return [
        f"{measured}{weakest}",
        words.tested(found),
        *words.beside(found),
        *words.flipped(found),
        *cause_words.lines(found),
    ]


def _ways(found: Finding, study: str) -> list[str]:
    return [words.way(obstacle, found, study).told for obstacle in found.obstacles]


def _effects(factor: str, found: Sequence[Finding], study: str, width: int) -> list[str]:
    """Levels of one factor in a table, best first, each against the mean of the others."""
    ordered = sorted(found, key=lambda one: -(one.effect if one.effect is not None else -9.0))
    pair = len(found) == 1
    rows = [
        [
            one.levels[0],
            "-" if one.effect is None else words.points(one.effect),
            "-" if one.interval is None else words.interval(one.interval),
            f"{one.won}/{one.pairs}",
            percent(one.audit_bound),
            one.trust,
            one.verdict,
        ]
        for one in ordered
    ]
    rest = found[0].levels[1] if pair else "the mean of the other levels"
    text = table(
        [factor, "points", "95 % CI", "won", "audit", "trust", "differs"], rows, width, right=(1, 2, 3, 4), fill=0
    )
    lines = textwrap.wrap(f"{factor}: worst case against {rest}, paired by seed, image and every other choice", width)
    lines += [*text.splitlines()]
    ways = dict.fromkeys(
        words.way(obstacle, one, study)
        for one in found
        for obstacle in one.obstacles
        if obstacle.kind is not Hindrance.WITHIN_AUDIT
    )
    within = [one.levels[0] for one in found if any(two.kind is Hindrance.WITHIN_AUDIT for two in one.obstacles)]
    if within:
        command = words.deeper_audit(study)
        lines += textwrap.wrap(
            f"within what the audits leave open: {', '.join(within)}; {command}", width, subsequent_indent="    "
        )
    alike: dict[str, list[str]] = {}
    for one in ordered:
        alike.setdefault("; ".join(cause_words.lines(one)), []).append(one.levels[0])
    for told, levels in alike.items():
        lines += textwrap.wrap(f"{', '.join(levels)}: {told}", width, subsequent_indent="    ") if told else []
    for way in ways:
        lines += textwrap.wrap(way.told, width, subsequent_indent="    ")
    return lines


def as_rows(found: Findings) -> list[Options]:
    """For programs; accuracies and differences are fractions."""
    return [_row(one, found) for one in found.found]


def _row(one: Finding, found: Findings) -> Options:
    return {
        "study": found.study,
        "key": one.key,
        "kind": one.kind.value,
        "claim": words.claim(one.key),
        "verdict": one.verdict,
        "effect": one.effect,
        "interval": None if one.interval is None else list(one.interval),
        "n": one.pairs,
        "won": one.won,
        "factor": one.factor,
        "levels": list(one.levels),
        "attacks": list(one.attacks),
        "norm": None if found.threat is None else found.threat.norm,
        "eps": None if found.threat is None else found.threat.eps,
        "margin": one.margin,
        "p": one.p,
        "error": one.error,
        "adjusted_interval": None if one.adjusted is None else list(one.adjusted),
        "audit_bound": one.audit_bound,
        "trust": one.trust,
        "models": one.models,
        "invalid": one.invalid,
        "suspect": one.suspect,
        "blocks": one.blocks,
        "seeds": one.seeds,
        "images": one.images,
        "over_images_only": one.over_images,
        "seeds_move_all_alike": one.seeds_alike,
        "compared": [
            {
                "level": part.level,
                "other": part.other or None,
                "attack": part.attack,
                "effect": None if part.found.spread is None else part.found.spread.mean,
                "n": part.found.pairs,
                "won": part.found.won,
                "deciding": part is one.deciding,
            }
            for part in one.parts
        ],
        "without_doubted": _beside(one.trusted),
        "matched_clean": _beside(one.matched),
        "causes": cause_words.rows(one),
        "looks": one.looks,
        "decided_at_look": one.decided_at,
        "sign_flips": None
        if one.flips is None
        else {"p": one.flips.p, "exact": one.flips.exact, "pairs": one.flips.pairs, "pairs_needed": one.pairs_needed},
        "obstacles": [
            {"kind": two.kind.value, "count": two.count, "what": way.what, "command": way.command}
            for two in one.obstacles
            for way in [words.way(two, one, found.study)]
        ],
        "sentence": words.sentence(one),
    }


def _beside(found: Beside | None) -> Options | None:
    return None if found is None else {"effect": found.effect, "interval": [found.low, found.high], "n": found.pairs}
