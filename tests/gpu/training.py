"""Rows of the table: training the paper's net in a plain loop, and in the product's lanes."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core import datasets
from core.executors.protocol import Executor
from tests.conftest import REAL_DATA
from tests.gpu.card import Card
from tests.gpu.data import of_full_size
from tests.gpu.loops import BATCH, plain_rate, training_operations
from tests.gpu.rates import Span, spans, together
from tests.gpu.sheet import Sheet
from tests.gpu.trials import carry, jobs


def grid(card: Card, cache: Path, precision: str, seeds: int, *, epochs: int = 3, few: bool = False) -> dict[str, Any]:
    """The paper's net, `seeds` times. `few`: a third of the images."""
    samples = card.sized(20_000 if few else None, 256)
    return {
        "name": "grid",
        "dataset": of_full_size(cache)[0],
        "seeds": seeds,
        "test_samples": 100,
        "training": {"epochs": card.sized(epochs, 2), "batch_size": BATCH, "precision": precision},
        **({} if samples is None else {"train_samples": samples}),
    }


def images_of(document: Mapping[str, Any]) -> int:
    """How many images an epoch of it has."""
    return int(document.get("train_samples", 60_000))


def on_device(card: Card, cache: Path) -> tuple[Tensor, Tensor]:
    """uint8 images [n, 1, 28, 28] and their labels [n], as many as the product trains on."""
    arrays = datasets.load(datasets.parse_source(of_full_size(cache)[0], cache), REAL_DATA, cache)
    count = card.sized(len(arrays.train_labels), 512)
    images, labels = np.array(arrays.train_images[:count]), np.array(arrays.train_labels[:count])
    return torch.from_numpy(images).to(card.device), torch.from_numpy(labels).to(card.device)


class Training:
    """The rows of one precision."""

    def __init__(self, card: Card, sheet: Sheet, precision: str, images: Tensor, labels: Tensor) -> None:
        self._sheet = sheet
        self._precision = precision
        self._matmul = card.matmul(precision)
        self._operations = training_operations(card, images)
        sheet.add("training", "matrix product, TFLOP/s", precision, f"{self._matmul / 1e12:.4g}", "100 %", "")
        self.plain = plain_rate(card, precision, images, labels)
        self.row("plain loop, eager", self.plain)
        if card.real:
            self.row("plain loop, one CUDA graph", plain_rate(card, precision, images, labels, graph=True))

    def row(self, what: str, rate: float) -> float:
        """Add one rate, in images per second, with what it comes to beside the plain loop; gives that multiple."""
        share = rate * self._operations / self._matmul
        times = rate / self.plain
        self._sheet.add("training", what, self._precision, f"{rate:,.0f}", f"{share:.1%}", f"{times:.2f}")
        return times


def lanes_rate(card: Card, executor: Executor, document: Mapping[str, Any], folder: Path, cache: Path) -> float:
    """Images per second of all trials of a grid together, each in a lane."""
    wanted = {job.trial.id: job for job in jobs(document, folder, cache, str(card.device))}
    done = carry(executor, wanted, len(wanted), card.sized(60, 300))
    assert done.crashes == 0
    return together([one for key, story in done.stories.items() for one in spans(key, story, images_of(document))])


def recorded_spans(database: Path, images: int) -> list[Span]:
    """The epochs that a worker recorded."""
    db = sqlite3.connect(database)
    try:
        rows = db.execute("SELECT trial_id, ended_at, seconds FROM epoch").fetchall()
    finally:
        db.close()
    return [Span(trial, ended, seconds, images) for trial, ended, seconds in rows]


def recorded_gaps(database: Path) -> list[float]:
    """Seconds from a trial's end to the first step of the one that came next, for trials that came one after another. The
    writing of the first epoch's checkpoint counts with them."""
    db = sqlite3.connect(database)
    try:
        ends = [row[0] for row in db.execute("SELECT ended_at FROM attempt ORDER BY ended_at")]
        begins = [
            row[0] for row in db.execute("SELECT ended_at - seconds FROM epoch WHERE epoch = 1 ORDER BY ended_at")
        ]
    finally:
        db.close()
    return [begun - ended for ended, begun in zip(ends, begins[1:], strict=False)]
