"""A few tables that others published, as facts with their source, to hold one's own results against.

To add one: a TOML file here with the keys of `Table` and `Row`, and its name in TABLES.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any

from core.errors import NotFound
from core.registry import nearest, parse_number

TABLES = ("robustbench", "fastat-2026", "madry-mnist")


@dataclass(frozen=True)
class Row:
    """One published result. Accuracies are fractions; what is None was not published there.

    `architecture`, `further_data` and `attack` are the table's own where a row has none.
    """

    name: str
    """The model, or the attack where a table is of attacks."""
    robust: float
    """Accuracy under `attack` at the table's norm and ε."""
    clean: float | None
    deviation: float | None
    """Standard deviation of `robust` over seeds."""
    seeds: int | None
    best_known: float | None
    """Accuracy under the strongest attack known to the source, where that is lower."""
    best_known_by: str | None
    attack: str
    architecture: str | None
    further_data: str | None
    """Images that the model was trained on beside the data set's own, in words; "none" where there are none."""
    paper: str | None
    venue: str | None
    year: int | None
    submitted_by: str | None
    link: str | None

    @property
    def least(self) -> float:
        """The lowest robust accuracy that is known of it."""
        return self.robust if self.best_known is None else min(self.robust, self.best_known)


@dataclass(frozen=True)
class Table:
    """`of` is "models", or "attacks" on a single model. `dataset` is a registry name; `eps` in pixels of [0, 1] of `norm`.

    `url` leads to what the figures were read from, as it was at `revision`, of the day `dated`; `retrieved` is when.
    """

    name: str
    title: str
    of: str
    dataset: str
    norm: str
    eps: float
    test_samples: int
    source: str
    url: str
    revision: str
    dated: date
    retrieved: date
    notes: tuple[str, ...]
    rows: tuple[Row, ...]


@cache
def published(name: str) -> Table:
    """The table of this name; raises NotFound, with the nearest name."""
    if name not in TABLES:
        raise NotFound(f"published {name}: there is no such table{nearest(name, TABLES)}")
    text = files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return _table(tomllib.loads(text))


def all_published() -> tuple[Table, ...]:
    return tuple(published(name) for name in TABLES)


_OF_ROWS = ("attack", "architecture", "further_data")
"""What a table may say of all its rows."""


def _table(data: Mapping[str, Any]) -> Table:
    own = {one.name for one in fields(Table)}
    unknown = set(data) - own - set(_OF_ROWS)
    if unknown:
        raise ValueError(f"{data['name']}: unknown keys {sorted(unknown)}")
    common = {key: data[key] for key in _OF_ROWS if key in data}
    rows = tuple(_row({**common, **row}, data["of"]) for row in data["rows"])
    given = {key: value for key, value in data.items() if key in own}
    return Table(**{**given, "eps": parse_number(data["eps"], "eps"), "notes": tuple(data["notes"]), "rows": rows})


def _row(data: Mapping[str, Any], of: str) -> Row:
    unknown = set(data) - {one.name for one in fields(Row)}
    if unknown:
        raise ValueError(f"{data['name']}: unknown keys {sorted(unknown)}")
    given: dict[str, Any] = {one.name: data.get(one.name) for one in fields(Row)}
    if of == "attacks":
        given["attack"] = data["name"]
    for key in ("robust", "clean", "deviation", "best_known"):
        if given[key] is not None:
            given[key] = given[key] / 100.0
    return Row(**given)
