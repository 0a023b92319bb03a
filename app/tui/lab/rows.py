"""The table's rows from groups that SQLite counted: which stand below which, what they are called, what is said of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from app.report.variants import named
from core.names import FACTORS
from core.verdict.scoring import SCORES
from storage.grouping import SEED, TRIAL, VARIANT, Choice, Group
from storage.reading import Options, parsed

if TYPE_CHECKING:
    from app.report.aggregate import Difference, Level

Part = tuple[str | None, str | None]
"""A choice as `within` goes by it: its name, and its options as they are stored."""
Path = tuple[Part, ...]
"""Which row it is: the choices that the grouping is by, then the variant's id, then the trial's. () is above all rows."""

_ID = 6
"""Characters of an id that stand beside a name."""
MOST_ROWS = 500
"""Shown below one row: of more, the best, and how many are not."""


@dataclass(frozen=True)
class Names:
    """What the choices of a study are called, and in which factors they differ at all."""

    texts: Mapping[str, Mapping[tuple[str | None, str], str]]
    varying: tuple[str, ...]

    @classmethod
    def of(cls, levels: Mapping[str, Sequence[Choice]]) -> Names:
        """From every choice of each factor (`storage.grouping.levels`): each with the options that tell it from namesakes."""
        texts = {}
        for factor, choices in levels.items():
            called = named([(one.name, one.options) for one in choices])
            texts[factor] = {_key(one.name, one.options): text for one, text in zip(choices, called, strict=True)}
        return cls(texts, tuple(factor for factor in FACTORS if len(levels.get(factor, ())) > 1))

    def called(self, factor: str, name: str | None, given: Options) -> str:
        return self.texts.get(factor, {}).get(_key(name, given), name or "unknown")


def _key(name: str | None, given: Options) -> tuple[str | None, str]:
    return name, repr(sorted(given.items()))


@dataclass(frozen=True)
class Found:
    """What stands below one row: `keys` says what each choice of its groups is one of."""

    keys: tuple[str, ...]
    groups: tuple[Group, ...]
    """The best MOST_ROWS."""
    left: int = 0
    """Others."""

    def part(self, group: Group) -> Path:
        """What it adds to the path of the row above."""
        if self.keys and self.keys[-1] in (VARIANT, TRIAL):  # the choices before are what it is called by
            return (part_of(group.choices[-1]),)
        return tuple(map(part_of, group.choices))


@dataclass(frozen=True)
class LabRow:
    """`kind` is "group", "variant", "trial", or "more" for a line that says what is left out. `value` and its interval are as
    they are shown, 0 to 100."""

    path: Path
    kind: str
    depth: int
    label: str
    n: int = 0
    """Variants of a group, trials of a variant."""
    trials: int = 0
    value: float | None = None
    low: float | None = None
    high: float | None = None
    bound: bool = False
    difference: Difference | None = None
    role: str = ""
    """"best", or "baseline" for what the others are compared with; "" of all others."""
    suspect: int = 0
    """Variants of a group, trials of a variant; of `invalid` ones the same."""
    invalid: int = 0
    states: Mapping[str, int] = field(default_factory=dict)
    """Of the trials that are not done."""
    opened: bool | None = None
    """None: there is nothing below it."""

    @property
    def trial_id(self) -> str | None:
        return self.path[-1][0] if self.kind == TRIAL else None


def part_of(choice: Choice) -> Part:
    return choice.name, choice.stored


def choices_of(path: Path) -> list[Choice]:
    return [Choice(name, parsed(stored or "{}"), stored) for name, stored in path]


def below(by: Sequence[str]) -> tuple[str, ...]:
    """What rows open into, level by level: variants and their trials, where the grouping does not tell them apart already."""
    return (TRIAL,) if VARIANT in by or SEED in by else (VARIANT, TRIAL)


def parts(by: Sequence[str]) -> tuple[str, ...]:
    """What each part of a path is a choice of."""
    return (*by, *below(by))


def keys_below(by: Sequence[str], path: Path) -> tuple[str, ...]:
    """What to group by for the rows below one: beside the choice itself what they are called by."""
    rest = tuple(factor for factor in FACTORS if factor not in by)
    if not path:
        return (*FACTORS, VARIANT) if VARIANT in by else tuple(by)
    inner = below(by)[len(path) - len(by)]
    if inner == VARIANT:
        return (*rest, VARIANT)
    return (*rest, TRIAL) if SEED in by else (SEED, TRIAL)


def rows_of(
    by: Sequence[str],
    found: Mapping[Path, Found],
    opened: frozenset[Path],
    names: Names,
    levels: Mapping[Path, Level],
    score: str,
    baseline: Path = (),
) -> list[LabRow]:
    """The rows in sight, from what stands below each open one (() for the top). `levels` are the estimates known so far."""
    made: list[LabRow] = []

    def add(path: Path, depth: int) -> None:
        inside = found.get(path)
        if inside is None:
            return
        listed, texts = inside.groups, labels(inside, names)
        paths = [(*path, *inside.part(group)) for group in listed]
        valued = [(own, group) for own, group in zip(paths, listed, strict=True) if group.value is not None]
        pinned = bool(paths) and len(baseline) == len(paths[0])
        first = baseline if pinned else _best(valued, levels) if len(valued) > 1 else ()
        for own, group, label in zip(paths, listed, texts, strict=True):
            row = _row(own, by, depth, label, group, levels.get(own), score, own in opened)
            if own == first and row.kind != TRIAL:
                row = replace(row, role="baseline" if pinned else "best")
            made.append(row)
            if row.opened:
                add(own, depth + 1)
        if inside.left:
            made.append(LabRow((*path, ("", "more")), "more", depth, f"and {inside.left:,} more: a filter narrows"))

    add((), 0)
    return made


def _best(valued: Sequence[tuple[Path, Group]], levels: Mapping[Path, Level]) -> Path:
    """The first; of those that are as good the one that the others were held against."""
    most = valued[0][1].value
    alike = [path for path, group in valued if group.value == most]
    return next((path for path in alike if path in levels and levels[path].difference is None), alike[0])


def _row(
    path: Path,
    by: Sequence[str],
    depth: int,
    label: str,
    group: Group,
    level: Level | None,
    score: str,
    opened: bool,
) -> LabRow:
    kind = "group" if len(path) == len(by) and VARIANT not in by else parts(by)[len(path) - 1]
    many, scale = kind == "group", 100.0 / SCORES[score].full
    difference = None if level is None or level.difference is None else scaled(level.difference, scale)
    return LabRow(
        path,
        kind,
        depth,
        label,
        n=group.variants if many else group.trials,
        trials=group.trials,
        value=None if group.value is None else scale * group.value,
        low=None if level is None or level.low is None else scale * level.low,
        high=None if level is None or level.high is None else scale * level.high,
        bound=level is not None and level.bound,
        difference=difference,
        suspect=group.suspect_variants if many else group.suspect,
        invalid=group.invalid_variants if many else group.invalid,
        states={
            state: count
            for state, count in (
                ("failed", group.failed),
                ("running", group.running),
                ("queued", group.queued),
                ("cancelled", group.cancelled),
            )
            if count
        },
        opened=None if kind == TRIAL else opened,
    )


def scaled(found: Difference, scale: float) -> Difference:
    return replace(found, value=scale * found.value, low=scale * found.low, high=scale * found.high)


def labels(found: Found, names: Names) -> list[str]:
    """What to call each group: its choices in what varies, a seed by its number; the beginning of an id where nothing else tells
    it from the others in sight."""
    return _distinct([_label(found.keys, group, names) for group in found.groups], found)


def _label(keys: Sequence[str], group: Group, names: Names) -> str:
    factors = [key for key in keys if key in FACTORS]
    whole = keys[-1] not in (VARIANT, TRIAL)
    shown = [factor for factor in factors if whole or factor in names.varying] or factors[:1]
    said = []
    for key, choice in zip(keys, group.choices, strict=True):
        if key in shown:
            said.append(names.called(key, choice.name, choice.options))
        elif key == SEED:
            said.append(f"seed {choice.name or '-'}")
    if keys[-1] == TRIAL and SEED in keys:
        said.append((group.choices[-1].name or "")[:_ID])
    return " ".join(said)


def _distinct(texts: Sequence[str], found: Found) -> list[str]:
    counts = Counter(texts)
    if found.keys[-1] not in (VARIANT, TRIAL):
        return list(texts)
    return [
        f"{text} {(group.choices[-1].name or '')[:_ID]}" if counts[text] > 1 else text
        for text, group in zip(texts, found.groups, strict=True)
    ]
