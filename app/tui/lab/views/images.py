"""The same test sample on several models: clean, and of each its adversarial image and the difference."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.report.images import beside, caption, told
from app.report.text import distinct
from app.report.variants import trial_labels
from app.tui.lab.views.sight import Knobs, Sight
from app.tui.lab.views.table import Table, View
from app.tui.widgets.grid import Column, Line, named_cell
from core.errors import NotFound
from core.names import NORM_SIGNS, short_id
from storage import queries
from storage.trial import ExampleRow, examples

if TYPE_CHECKING:
    from sqlite_utils import Database

_SLOT = 16
"""Columns that a model has at least, for what is said of it."""
_MOST_MODELS = 12


@dataclass(frozen=True)
class Shown:
    """One model's example of the sample; None where it has none."""

    trial_id: str
    label: str
    example: ExampleRow | None


@dataclass(frozen=True)
class Images:
    """`text` is the picture for the room that there was, in the terminal's own codes."""

    sample: int
    place: int
    count: int
    shared: int
    """Samples that several of the models have; where there is none, every sample is gone through."""
    models: tuple[Shown, ...]
    left_out: int
    text: str
    attack: str | None
    attacks: tuple[str, ...]


def load(db: Database, sight: Sight, knobs: Knobs) -> Images | None:
    rows = queries.trials(db, sight.study)
    names = trial_labels(rows)
    chosen = sight.marked or tuple(dict.fromkeys((*sight.asked.current, *sight.asked.baseline)))
    wanted = [trial for trial in chosen if trial in names] or [row.trial_id for row in sight.scope.kept(rows)]
    kept = {trial: found for trial in wanted[:_MOST_MODELS] if (found := _of(db, trial))}
    attacks = tuple(sorted({row.attack for found in kept.values() for row in found}))
    attack = knobs.attack if knobs.attack in attacks else None
    if attack is not None:
        kept = {trial: [row for row in found if row.attack == attack] for trial, found in kept.items()}
    samples, shared = order(kept)
    if not samples:
        return None
    place = knobs.sample % len(samples)
    room = max(1, (knobs.room[0] - _SLOT) // (_SLOT + 2))
    # Those that have the sample stand first.
    ranked = sorted(kept, key=lambda trial: all(row.sample != samples[place] for row in kept[trial]))[:room]
    shown = [Shown(trial, names[trial], nearest(kept[trial], samples[place], sight.eps)) for trial in ranked]
    slot = (knobs.room[0] - 2 * len(shown)) // (len(shown) + 1)
    labels = distinct([one.label for one in shown], slot)
    text = beside(
        [(label, one.example) for label, one in zip(labels, shown, strict=True)], *knobs.room, colour=knobs.colour
    )
    return Images(
        samples[place], place, len(samples), shared, tuple(shown), len(wanted) - len(shown), text, attack, attacks
    )


def _of(db: Database, trial: str) -> list[ExampleRow]:
    try:
        return examples(db, trial)
    except NotFound:
        return []


def order(kept: Mapping[str, Sequence[ExampleRow]]) -> tuple[list[int], int]:
    """The samples to go through, and how many of them several models have: those, ascending, or all where there is none."""
    counts = Counter(sample for found in kept.values() for sample in {row.sample for row in found})
    several = sorted(sample for sample, count in counts.items() if count > 1)
    return several or sorted(counts), len(several)


def nearest(found: Sequence[ExampleRow], sample: int, eps: float | None) -> ExampleRow | None:
    """Its example of a sample at the ε nearest to the one asked for; of a minimum-norm attack, which has none, at last."""
    rows = [row for row in found if row.sample == sample]
    far = float("inf")
    return min(rows, key=lambda row: far if row.eps is None or eps is None else abs(row.eps - eps), default=None)


def table(content: Images, width: int, wide: bool) -> Table:  # noqa: ARG001 - it is only shown where there is room
    name = max(8, *(len(one.label) for one in content.models))
    columns = (
        Column(f"images model {name}", "model", min(name, width - 40), named_cell("label")),
        Column("images attack", "attack", 12, named_cell("attack")),
        Column("images eps", "ε", 8, named_cell("eps")),
        Column("images outcome", "saw", 24, named_cell("outcome")),
    )
    return Table(columns, tuple(map(_line, content.models)))


def _line(one: Shown) -> Line:
    row = one.example
    if row is None:
        return Line(
            one.trial_id, {"label": (one.label, "")}, f"{one.label}: no image of this sample is kept", (one.trial_id,)
        )
    eps = "smallest" if row.eps is None else f"{NORM_SIGNS[row.norm]} {row.eps:g}"
    cells = {
        "label": (one.label, ""),
        "attack": (row.attack, ""),
        "eps": (eps, ""),
        "outcome": (told(row), ""),
    }
    return Line(one.trial_id, cells, _said(one.label, one.trial_id, row), (one.trial_id,))


def in_words(content: Images) -> str:
    """What every model made of it, where there is no room for a row of each."""
    return " · ".join(f"{one.label}: {told(one.example) if one.example else 'none kept'}" for one in content.models)


def captions(content: Images) -> list[str]:
    """Of each model that has the sample, in full."""
    return [_said(one.label, one.trial_id, one.example) for one in content.models if one.example is not None]


def _said(label: str, trial_id: str, row: ExampleRow) -> str:
    return f"{label} ({short_id(trial_id)}): {caption(row)}"


def about(sight: Sight, content: Images) -> tuple[str, ...]:  # noqa: ARG001 - the content says it all
    which = f"sample {content.sample}, {content.place + 1} of {content.count}"
    parts = [f"{which} that several models have" if content.shared else f"{which}; none is shared"]
    parts.append(f"{content.attack} (a)" if content.attack else "all attacks (a)")
    if content.left_out > 0:
        parts.append(f"{len(content.models)} of {len(content.models) + content.left_out} models")
    return (*parts, "n next  p before")


def command(sight: Sight, content: Images | None) -> str:
    if content is None:
        return f"innate trials --study {shlex.quote(sight.study)}"
    attack = f" --attack {content.attack}" if content.attack else ""
    having = [short_id(one.trial_id) for one in content.models if one.example is not None]
    return f"innate examples {' '.join(having)} --sample {content.sample}{attack}"


VIEW = View(
    "Images",
    load,
    table,
    about,
    command,
    "No adversarial image of these models is kept: none attacked yet, or none broken.",
)
