"""The data sets; `registry` lists them, finds them, fetches them and loads them."""

from core.datasets.catalogue import DATASETS
from core.datasets.named import Dataset
from core.datasets.portrait import Portrait
from core.datasets.registry import (
    damaged,
    describe,
    fetch,
    load,
    load_planned,
    parse_source,
    portray,
    problem,
    stored_source,
    test_labels,
)

__all__ = [
    "DATASETS",
    "Dataset",
    "Portrait",
    "damaged",
    "describe",
    "fetch",
    "load",
    "load_planned",
    "parse_source",
    "portray",
    "problem",
    "stored_source",
    "test_labels",
]
