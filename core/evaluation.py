"""From a trained model and a set of test samples to ledgers: the clean outcome, and one attack's sweep over its ε.

Imports torch: for children only. The rules are DESIGN section 8's: the sweep runs upwards over survivors, since an example
within ε₁ is within ε₂ > ε₁; single-step attacks judge every sample at every ε from one gradient.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from core.attacks import ATTACKS
from core.attacks.geometry import project
from core.attacks.victim import EvaluationStopped, Victim, under_attack
from core.events import AttackProgress, CleanEvaluated, EvaluationFinished
from core.records import AttackSpec, Example, Ledger

BATCH = 256
_PROGRESS_SECONDS = 0.25
_EXAMPLES = 8
"""Adversarial images kept per evaluation, for eyes."""


@dataclass(frozen=True)
class TestSet:
    """On the device: uint8 images [n, c, h, w], labels [n] and the samples' indices in the test half [n]."""

    images: Tensor
    labels: Tensor
    indices: Tensor
    digest: str
    asked: int | None
    """The study's `test_samples` that gave this set."""

    def pixels(self, rows: Tensor) -> Tensor:
        """float32 pixels in [0, 1] of some rows."""
        return self.images[rows].to(torch.float32).div_(255.0)

    def __len__(self) -> int:
        return len(self.labels)


def clean_outcome(model: nn.Module, test_set: TestSet, classes: int, batch_size: int = BATCH) -> CleanEvaluated:
    """Predictions on the clean images."""
    victim = Victim(model)
    rows = torch.arange(len(test_set), device=test_set.labels.device)
    with under_attack(model):
        predictions = torch.cat(
            [
                victim.logits(test_set.pixels(rows[first : first + batch_size])).argmax(dim=1)
                for first in range(0, len(rows), batch_size)
            ]
        )
    return CleanEvaluated(
        samples=test_set.digest,
        test_samples=test_set.asked,
        correct=(predictions == test_set.labels).cpu().numpy(),
        predictions=predictions.cpu().numpy(),
        labels=test_set.labels.cpu().numpy(),
        classes=classes,
    )


@dataclass
class _Sweep:
    """One evaluation under way."""

    victim: Victim
    test_set: TestSet
    attack: AttackSpec
    correct: Tensor
    stop: Callable[[], bool]
    batch_size: int
    ledgers: list[Ledger] = field(default_factory=list)
    examples: dict[tuple[int, float], Tensor] = field(default_factory=dict)
    """(row, ε) → the image that broke it."""
    notes: list[str] = field(default_factory=list)
    shown_at: float = -1e9


def evaluate(
    model: nn.Module,
    test_set: TestSet,
    attack: AttackSpec,
    correct: np.ndarray[tuple[int], np.dtype[np.bool_]],
    crafting: str = "auto",
    stop: Callable[[], bool] = lambda: False,
    batch_size: int = BATCH,
) -> Iterator[AttackProgress | EvaluationFinished]:
    """Attack `model` on every sample of `test_set`; `correct` [n] is its clean outcome.

    Yields progress a few times a second and EvaluationFinished last. Raises EvaluationStopped when `stop()` is true
    between two batches or steps, NonFiniteLogits for a model that answers with NaN. Memory running out halves the batch.
    """
    begun = time.monotonic()
    device = test_set.labels.device
    entry = ATTACKS[attack.name]
    precision = "fp32" if entry.single_step else crafting_precision(crafting, device)
    sweep = _Sweep(
        Victim(model, precision, stop),
        test_set,
        attack,
        torch.from_numpy(np.asarray(correct)).to(device),
        stop,
        batch_size,
    )
    with under_attack(model):
        yield from _single_step(sweep) if entry.single_step else _iterative(sweep)
        examples = _described(sweep)
    yield EvaluationFinished(
        attack=attack,
        samples=test_set.digest,
        test_samples=test_set.asked,
        ledgers=tuple(sweep.ledgers),
        examples=examples,
        forward_passes=sweep.victim.forward_passes,
        backward_passes=sweep.victim.backward_passes,
        seconds=time.monotonic() - begun,
        batch_size=sweep.batch_size,
        crafting=precision,
        notes=tuple(sweep.notes),
    )


def crafting_precision(wanted: str, device: torch.device) -> str:
    """The precision of gradient passes: bf16 where the hardware multiplies in it, unless `wanted` is "fp32".

    Processors without the instructions emulate bf16, several times slower than fp32, so their flags decide.
    """
    if wanted == "fp32":
        return "fp32"
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        return "bf16"
    return "fp32"


def _single_step(sweep: _Sweep) -> Iterator[AttackProgress]:
    """Every sample judged at every ε by itself, also those wrong from the start, whose accuracy the trust checks need."""
    attack, test_set = sweep.attack, sweep.test_set
    direction = ATTACKS[attack.name].direction
    assert direction is not None
    right = torch.ones(len(attack.eps), len(test_set), dtype=torch.bool, device=test_set.labels.device)
    done = 0

    def judge(rows: Tensor) -> None:
        x, y = test_set.pixels(rows), test_set.labels[rows]
        for draw in range(attack.params.get("restarts", 1)):
            step = direction(sweep.victim, x, y, test_set.indices[rows], draw, attack)
            for number, eps in enumerate(attack.eps):
                adversarial = project(x + eps * step, x, eps, attack.norm)
                fooled = sweep.victim.confirm(adversarial, x, y, eps, attack.norm)
                right[number, rows] &= ~fooled
                _keep_examples(sweep, rows, fooled & sweep.correct[rows], adversarial, eps)

    yield from _progress(sweep, attack.eps[-1], 0, int(sweep.correct.sum()))
    for rows in _batches(sweep, torch.arange(len(test_set), device=test_set.labels.device)):
        _within_memory(sweep, rows, judge)
        done += len(rows)
        yield from _progress(sweep, attack.eps[-1], done, int((right[-1] & sweep.correct).sum()))
    for eps, still_right in zip(attack.eps, right, strict=True):
        survived = still_right & sweep.correct
        sweep.ledgers.append(Ledger(eps, survived.cpu().numpy(), None, int(still_right.sum()) / len(test_set)))


def _iterative(sweep: _Sweep) -> Iterator[AttackProgress]:
    """Upwards over ε on those that still stand, each restart on those that the one before left standing."""
    attack, test_set = sweep.attack, sweep.test_set
    iterate = ATTACKS[attack.name].iterate
    assert iterate is not None
    survived = sweep.correct.clone()
    for eps in attack.eps:
        for restart in range(attack.params.get("restarts", 1)):
            standing = torch.nonzero(survived).flatten()
            done = len(test_set) - len(standing)
            yield from _progress(sweep, eps, done, len(standing))

            def run(rows: Tensor, eps: float = eps, restart: int = restart) -> None:
                x, y = test_set.pixels(rows), test_set.labels[rows]
                broken, found = iterate(sweep.victim, x, y, test_set.indices[rows], restart, eps, attack)
                survived[rows[broken]] = False
                _keep_examples(sweep, rows, broken, found, eps)

            for rows in _batches(sweep, standing):
                _within_memory(sweep, rows, run)
                done += len(rows)
                yield from _progress(sweep, eps, done, int(survived.sum()))
        sweep.ledgers.append(Ledger(eps, survived.cpu().numpy().copy()))


def _batches(sweep: _Sweep, rows: Tensor) -> Iterator[Tensor]:
    """`rows` in batches of the size that memory allows by now; raises EvaluationStopped between two of them."""
    first = 0
    while first < len(rows):
        if sweep.stop():
            raise EvaluationStopped
        batch = rows[first : first + sweep.batch_size]
        yield batch
        first += len(batch)


def _within_memory(sweep: _Sweep, rows: Tensor, work: Callable[[Tensor], None]) -> None:
    """`work(rows)`; where memory runs out, in halves from now on. `work` may be repeated: outcomes belong to samples."""
    try:
        work(rows)
    except RuntimeError as error:
        exhausted = isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
        if not exhausted or len(rows) == 1:
            raise
        sweep.batch_size = len(rows) // 2
        sweep.notes.append(f"out of memory at {len(rows)} images per batch; went on with {sweep.batch_size}")
        if rows.device.type == "cuda":
            torch.cuda.empty_cache()
        for first in range(0, len(rows), sweep.batch_size):
            _within_memory(sweep, rows[first : first + sweep.batch_size], work)


def _progress(sweep: _Sweep, eps: float, done: int, survivors: int) -> Iterator[AttackProgress]:
    now = time.monotonic()
    if now - sweep.shown_at >= _PROGRESS_SECONDS:
        sweep.shown_at = now
        yield AttackProgress(sweep.attack, eps, done, len(sweep.test_set), survivors)


def _keep_examples(sweep: _Sweep, rows: Tensor, broken: Tensor, images: Tensor, eps: float) -> None:
    room = _EXAMPLES - len(sweep.examples)
    for position in torch.nonzero(broken).flatten()[: max(0, room)].tolist():
        sweep.examples[int(rows[position]), eps] = images[position].clone()


def _described(sweep: _Sweep) -> tuple[Example, ...]:
    """The kept images with what the model thinks of them before and after."""
    if not sweep.examples:
        return ()
    rows = torch.tensor([row for row, _ in sweep.examples], device=sweep.test_set.labels.device)
    clean, adversarial = sweep.test_set.pixels(rows), torch.stack(list(sweep.examples.values()))
    before, after = (sweep.victim.logits(images).softmax(dim=1).max(dim=1) for images in (clean, adversarial))
    return tuple(
        Example(
            sample=int(sweep.test_set.indices[row]),
            eps=eps,
            label=int(sweep.test_set.labels[row]),
            clean_prediction=int(before.indices[position]),
            adversarial_prediction=int(after.indices[position]),
            clean_confidence=float(before.values[position]),
            adversarial_confidence=float(after.values[position]),
            clean=clean[position].cpu().numpy(),
            adversarial=adversarial[position].cpu().numpy(),
        )
        for position, (row, eps) in enumerate(sweep.examples)
    )
