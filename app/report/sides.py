"""What a person names to compare, found in a study: a trial, a variant, or a level of a factor."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.report.variants import labels, level, levels, trial_labels
from core.errors import BadInput, NotFound
from core.names import FACTORS, short_id
from core.registry import meant, nearest
from storage import queries
from storage.studies import studies, study_row

if TYPE_CHECKING:
    from sqlite_utils import Database

    from storage.rows import ScoreRow, TrialRow

TRIAL, VARIANT, LEVEL = "trial", "variant", "level"


@dataclass(frozen=True)
class Side:
    """One of the two: what it is called, and its scored trials."""

    kind: str
    label: str
    factor: str | None
    """Of a level."""
    trials: frozenset[str]
    id: str = ""
    """Of a trial or a variant."""

    @property
    def named(self) -> str:
        """The label, with the id where there is one."""
        return f"{self.label} ({short_id(self.id)})" if self.id and self.label != short_id(self.id) else self.label


@dataclass(frozen=True)
class Sides:
    study: str
    first: Side
    second: Side


def find_sides(db: Database, study: str | None, first: str, second: str) -> Sides:
    """Both in one study: `study`, else the one run last that has them. Raises NotFound, or BadInput for what cannot be held
    against each other."""
    wanted = " ".join(first.split()), " ".join(second.split())
    if study is not None:
        return _within(_Named.of(db, study_row(db, study).name), *wanted)
    absent: NotFound | None = None
    refusal: BadInput | None = None
    for row in studies(db):
        try:
            return _within(_Named.of(db, row.study), *wanted)
        except NotFound as error:
            absent = absent or error
        except (
            BadInput
        ) as error:  # both are there, but cannot be compared, or not yet; another study may have them, too
            refusal = refusal or error
    if refusal is not None:
        raise refusal
    if all(_is_id(text) for text in wanted):
        for text in wanted:
            queries.find_trial(db, text)
        raise BadInput(
            f"{first} and {second} are in no study together: other test images, other attacks; put both into one study file"
        )
    raise absent or NotFound(f"there is nothing to compare with {first!r}: no study has been run yet; innate run quick")


@dataclass(frozen=True)
class _Named:
    """What can be named in a study. `rows` are its trials, `scored` those with results, `names` the labels of variants."""

    study: str
    rows: Sequence[TrialRow]
    scored: Sequence[ScoreRow]
    names: Mapping[str, str]

    @classmethod
    def of(cls, db: Database, study: str) -> _Named:
        scored = queries.scores(db, study, "innate")
        return cls(study, queries.trials(db, study), scored, labels(scored))

    @property
    def known(self) -> list[str]:
        """Every name that is no id."""
        found = [f"{factor}={name}" for factor in FACTORS for name in dict.fromkeys(levels(self.scored, factor))]
        return [*dict.fromkeys(self.names.values()), *found]


def _within(named: _Named, first: str, second: str) -> Sides:
    sides: list[Side] = []
    refusal: BadInput | None = None
    for text in (first, second):
        try:
            sides.append(_side(named, text))
        except BadInput as error:  # that the other is not there at all says more
            refusal = refusal or error
    if refusal is not None:
        raise refusal
    one, other = sides
    if one.kind != other.kind:
        raise BadInput(
            f"{first} is a {one.kind} and {second} a {other.kind}: compare two trials, two variants or two levels"
            + _instead(named, one, other)
        )
    if one.factor != other.factor:
        raise BadInput(
            f"{first} and {second} are levels of two factors: compare two of one, such as {first} and {one.factor}="
            f"{_another(named, one)}"
        )
    if one.trials == other.trials:
        raise BadInput(f"{first} and {second} are the same {one.kind}, {one.named}; name two")
    if one.trials & other.trials:
        raise BadInput(f"{first} and {second} share trials: name the options too, as in `innate results`")
    return Sides(named.study, one, other)


def _side(named: _Named, text: str) -> Side:
    """What `text` means in a study."""
    factor, separator, name = text.partition("=")
    if separator and " " not in factor.strip():
        return _level(named, text, factor.strip(), name.strip())
    for variant, label in named.names.items():
        if label == text:
            return _variant(named, variant)
    if _is_id(text):
        found = _by_id(named, text.lower())
        if found is not None:
            return found
    near = nearest(text, named.known) or f"; see `innate results --study {named.study}`"
    raise NotFound(f"study {named.study} has no trial or variant {text!r}{near}")


def _by_id(named: _Named, start: str) -> Side | None:
    trials = sorted({row.trial_id for row in named.rows if row.trial_id.startswith(start)})
    variants = sorted({row.variant_id for row in named.rows if row.variant_id.startswith(start)})
    if len(trials) + len(variants) > 1:
        several = ", ".join(short_id(one) for one in [*trials, *variants][:3])
        raise BadInput(f"{start!r} begins several ids of study {named.study} ({several}, …); write more of it")
    if variants:
        return _variant(named, variants[0])
    return _trial(named, trials[0]) if trials else None


def _trial(named: _Named, trial_id: str) -> Side:
    label = trial_labels(named.scored).get(trial_id)
    if label is None:
        (row,) = (row for row in named.rows if row.trial_id == trial_id)
        raise BadInput(f"trial {short_id(trial_id)} has no result in study {named.study} yet ({row.state})")
    return Side(TRIAL, label, None, frozenset({trial_id}), trial_id)


def _variant(named: _Named, variant_id: str) -> Side:
    trials = frozenset(row.trial_id for row in named.scored if row.variant_id == variant_id)
    if not trials:
        raise BadInput(f"variant {short_id(variant_id)} has no result in study {named.study} yet")
    return Side(VARIANT, named.names[variant_id], None, trials, variant_id)


def _level(named: _Named, text: str, factor: str, name: str) -> Side:
    """By its label, else by the registry's name, whatever the options."""
    if factor not in FACTORS:
        raise BadInput(f"{text}: {factor!r} is not one of {', '.join(FACTORS)}{meant(factor, FACTORS)}")
    column = levels(named.scored, factor)
    trials = frozenset(row.trial_id for row, found in zip(named.scored, column, strict=True) if found == name)
    if not trials:
        trials = frozenset(row.trial_id for row in named.scored if level(row, factor) == name)
    if not trials:
        raise NotFound(f"study {named.study} has no result with {text}{nearest(name, dict.fromkeys(column))}")
    return Side(LEVEL, f"{factor}={name}", factor, trials)


def _instead(named: _Named, one: Side, other: Side) -> str:
    """For a trial beside a variant: what the trial's variant is called."""
    for side in (one, other):
        if side.kind == TRIAL and LEVEL not in (one.kind, other.kind):
            (trial_id,) = side.trials
            variant = next(row.variant_id for row in named.scored if row.trial_id == trial_id)
            return f"; the variant of that trial is {short_id(variant)}"
    return ""


def _another(named: _Named, side: Side) -> str:
    assert side.factor is not None
    column = dict.fromkeys(levels(named.scored, side.factor))
    return next((name for name in column if f"{side.factor}={name}" != side.label), "LEVEL")


def _is_id(text: str) -> bool:
    return re.fullmatch(r"[0-9a-fA-F]{1,64}", text) is not None
