"""Which samples a study uses: stratified draws with a fixed seed, the same for every trial; or, of training samples alone,
with one that follows from the trial's seed."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.identity import stream_seed
from core.records.trial import TrialSpec

Indices = NDArray[np.int64]

_DRAW_SEED = 20180601
"""Any fixed number; changing it changes every subset and so must never happen."""


def stratified(labels: NDArray[np.int64], count: int | None, where: str, draw: int = _DRAW_SEED) -> Indices:
    """Sorted indices of `count` samples with the classes in proportion (largest remainder); None means all.

    Each class keeps at least one sample; how many it gets does not depend on the seed `draw`. Raises BadInput, naming
    `where`, if `count` is more than there are samples or fewer than there are classes.
    """
    if count is None or count == len(labels):
        return np.arange(len(labels), dtype=np.int64)
    classes, sizes = np.unique(labels, return_counts=True)
    if count > len(labels):
        raise BadInput.at(where, f"{count:,} asked for, but there are {len(labels):,} samples")
    if count < len(classes):
        raise BadInput.at(where, f"{count} is fewer than the {len(classes)} classes to draw from")
    rng = np.random.default_rng(draw)
    parts = [
        rng.permutation(np.flatnonzero(labels == label))[:quota]
        for label, quota in zip(classes, _quotas(sizes, count), strict=True)
    ]
    return np.sort(np.concatenate(parts)).astype(np.int64)


def training_subset(labels: NDArray[np.int64], trial: TrialSpec) -> Indices:
    """Sorted indices of what `trial` learns from and validates on, among all training `labels`: drawn once for all trials, or
    by its seed alone where the study has that vary, so that variants with the same seed share it.
    """
    draw = stream_seed(trial.seed, "train subset") if trial.own_subset else _DRAW_SEED
    return stratified(labels, trial.train_samples, "train_samples", draw)


def holdout(labels: NDArray[np.int64], share: float) -> tuple[Indices, Indices]:
    """Positions in `labels` to train on, and to validate on: a stratified `share` in (0, 1), at least one per class."""
    count = max(len(np.unique(labels)), round(len(labels) * share))
    validation = stratified(labels, count, "training.validation")
    return np.setdiff1d(np.arange(len(labels), dtype=np.int64), validation), validation


def samples_digest(indices: Indices) -> str:
    """SHA-256 over the little-endian 64-bit indices: what an evaluation's test samples are known by."""
    return hashlib.sha256(np.ascontiguousarray(indices, dtype="<i8").tobytes()).hexdigest()


def _quotas(sizes: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """How many of each class: proportional, rounded by largest remainder, none below one."""
    exact = sizes * (count / sizes.sum())
    quotas: NDArray[np.int64] = np.maximum(1, np.floor(exact).astype(np.int64))
    while quotas.sum() < count:
        short = np.where(quotas < sizes, exact - quotas, -np.inf)
        quotas[int(np.argmax(short))] += 1
    while quotas.sum() > count:  # the floor of one took more than there was to give
        rich = np.where(quotas > 1, quotas - exact, -np.inf)
        quotas[int(np.argmax(rich))] -= 1
    return quotas


def evenly_spread(rows: Indices, count: int) -> Indices:
    """At most `count` of `rows`, evenly spaced."""
    chosen: Indices = rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int))]
    return chosen
