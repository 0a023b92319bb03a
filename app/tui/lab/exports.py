"""What the Lab writes to a file: its groups as rows that say which score at which ε they hold, under a name that says so too."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from app.tui.lab.loaded import Loaded
from app.tui.lab.rows import LabRow, choices_of
from storage.grouping import VARIANT
from storage.reading import Json

ENDINGS = (".csv", ".json", ".jsonl")


def refusal(text: str) -> str | None:
    """Why a table cannot be written there."""
    path = Path(text).expanduser()
    if path.suffix not in ENDINGS:
        return "name it .csv, .json or .jsonl"
    if path.exists():
        return f"{path} exists already"
    if not path.absolute().parent.is_dir():
        return f"there is no folder {path.absolute().parent}"
    return None


def name_for(loaded: Loaded | None, study: str | None, folder: Path) -> str:
    """A name for what is shown, numbered where there is such a file: "lab-quick-by-optimizer-eps0.1.csv"."""
    if loaded is None:
        said = ["lab", *([study] if study else []), "runs"]
    else:
        eps = [f"eps{loaded.eps:g}"] if loaded.eps is not None else []
        said = [
            "lab",
            loaded.study.name,
            "by",
            *loaded.by,
            *([] if loaded.score == "worst_case" else [loaded.score]),
            *eps,
        ]
    stem = re.sub(r"[^\w.-]+", "-", "-".join(said))
    return next(name for name in _numbered(stem) if not (folder / name).exists())


def _numbered(stem: str) -> Iterator[str]:
    yield f"{stem}.csv"
    number = 2
    while True:
        yield f"{stem}-{number}.csv"
        number += 1


def records(loaded: Loaded, rows: Sequence[LabRow]) -> list[Mapping[str, Json]]:
    """One for each row of the grouping. `value`, its interval and the difference are as they are shown, 0 to 100."""
    keys = ("group",) if VARIANT in loaded.by else loaded.by
    against = next((row.label for row in rows if row.depth == 0 and row.role), None)
    found: list[Mapping[str, Json]] = []
    for row in rows:
        if row.depth or row.kind == "more":
            continue
        names = (row.label,) if VARIANT in loaded.by else tuple(one.name for one in choices_of(row.path))
        apart = row.difference
        found.append(
            {
                "study": loaded.study.name,
                **dict(zip(keys, names, strict=True)),
                "label": row.label,
                "score": loaded.score,
                "norm": loaded.study.threat_norm,
                "eps": loaded.eps,
                "value": row.value,
                "low": row.low,
                "high": row.high,
                "n": row.n,
                "trials": row.trials,
                "against": against if apart is not None else None,
                "difference": None if apart is None else apart.value,
                "difference_low": None if apart is None else apart.low,
                "difference_high": None if apart is None else apart.high,
                "pairs": None if apart is None else apart.pairs,
                "suspect": row.suspect,
                "invalid": row.invalid,
                **{state: row.states.get(state, 0) for state in ("failed", "running", "queued", "cancelled")},
            }
        )
    return found
