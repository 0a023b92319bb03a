"""Do the adversarial images of one model fool others? Whole-length crafting, and the count on every target.

Imports torch: for children only. An attack that measures robustness stops at the first success, just over the boundary
of its own model; an image meant to transfer goes on to its last step (Liu et al. 2017; Dong et al. 2018, section 4).
"""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from core import datasets
from core.attacks import ATTACKS
from core.attacks.pgd import mean_one
from core.datasets.subsets import stratified
from core.engine.geometry import ascent_direction, noise, project
from core.engine.losses import log_odds
from core.engine.steps import step_size
from core.engine.victim import EvaluationStopped, Victim, under_attack
from core.errors import BadInput, InnateError
from core.evaluation.batches import MOST, usual_batch
from core.evaluation.evaluate import TestSet, crafting_precision
from core.events import Event, Finished, Stopped, TransferLeftOut, TransferProgress, TransferRow, TrialFailed
from core.jobs.evaluations import test_set_of
from core.jobs.orders import TransferJob
from core.jobs.trial import settle_torch
from core.models.pixel_model import trained_model
from core.records.attack import AttackSpec
from core.records.outcome import TransferCell
from core.training import checkpoints

_PROGRESS_SECONDS = 0.25
_MODELS_BYTES = 256 << 20
"""Models kept on the device between two uses; those beyond it are read again each time."""
_IMAGES_BYTES = 64 << 20
"""Adversarial images of one source held at a time, so that memory does not grow with the test set."""


def craft(victim: Victim, x: Tensor, y: Tensor, samples: Tensor, attack: AttackSpec) -> Tensor:
    """Adversarial images like `x` [n, c, h, w] at the one ε of `attack`, which is noise, fgsm, bim, pgd or mi-fgsm.

    x ← Π(x + α·d) for all steps, with d the steepest ascent of the cross-entropy (Madry et al. 2018, section 2.1), for
    mi-fgsm of g ← μ·g + ∇ₓL / mean|∇ₓL| (Dong et al. 2018, algorithm 1). Noise is bound to `samples` [n].
    """
    (eps,) = attack.eps
    norm, params = attack.norm, attack.params
    if attack.name == "noise":
        return project(x + eps * noise(attack.seed, samples, 0, x, norm), x, eps, norm)
    if attack.name == "fgsm":
        gradient, _ = victim.ascent(x, y, log_odds, *victim.factors(x))
        return project(x + eps * ascent_direction(gradient, norm), x, eps, norm)
    step, factors = step_size(params["alpha"], eps), victim.factors(x)
    adversarial = x
    if params.get("random_start", False):
        adversarial = project(x + eps * noise(attack.seed, samples, 0, x, norm), x, eps, norm)
    accumulated = torch.zeros_like(x)
    for _ in range(params["steps"]):
        gradient, _ = victim.ascent(adversarial, y, log_odds, *factors)
        if "decay" in params:
            gradient = accumulated = params["decay"] * accumulated + mean_one(gradient)
        adversarial = project(adversarial + step * ascent_direction(gradient, norm), x, eps, norm)
    return adversarial


@dataclass
class Batches:
    """Rows in pieces of `size`, which is halved for good where memory runs out."""

    size: int
    stop: Callable[[], bool] = lambda: False
    notes: list[str] = field(default_factory=list)

    def over(self, rows: Tensor, victim: Victim, work: Callable[[Tensor], Tensor]) -> Iterator[Tensor]:
        """`work` of each piece on `victim`, in order; raises EvaluationStopped between two of them."""
        first = 0
        while first < len(rows):
            if self.stop():
                raise EvaluationStopped
            piece = rows[first : first + self.size]
            try:
                done = work(piece)
            except RuntimeError as error:
                exhausted = isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
                if not exhausted or len(piece) == 1:
                    raise
                self.size = len(piece) // 2
                self.notes.append(f"out of memory at {len(piece)} images per batch; went on with {self.size}")
                victim.forget()
            else:
                yield done
                first += len(piece)
                continue
            if rows.device.type == "cuda":
                torch.cuda.empty_cache()


class Gallery:
    """The models by trial id, read when they are needed, with what each classifies rightly."""

    def __init__(self, load: Callable[[str], nn.Module], test_set: TestSet, batches: Batches) -> None:
        self.test_set = test_set
        self.batches = batches
        self._load = load
        self._kept: dict[str, nn.Module] = {}
        self._bytes = 0
        self._right: dict[str, Tensor] = {}

    def model(self, trial_id: str) -> nn.Module:
        """Every source goes through all targets in the same order, so what fits stays and nothing is driven out."""
        if trial_id in self._kept:
            return self._kept[trial_id]
        model = self._load(trial_id)
        size = sum(value.numel() * value.element_size() for value in (*model.parameters(), *model.buffers()))
        if self._bytes + size <= _MODELS_BYTES:
            self._kept[trial_id] = model
            self._bytes += size
        return model

    def right(self, trial_id: str) -> Tensor:
        """[n] bool: the clean image is classified rightly."""
        if trial_id not in self._right:
            found = self._predictions(trial_id, len(self.test_set), self.test_set.pixels)
            self._right[trial_id] = found == self.test_set.labels
        return self._right[trial_id]

    def survives(self, trial_id: str, rows: Tensor, images: Tensor) -> Tensor:
        """[m] bool: `images` [m, c, h, w], made from the test samples `rows` [m], are classified rightly, in fp32."""
        return self._predictions(trial_id, len(rows), lambda some: images[some]) == self.test_set.labels[rows]

    def _predictions(self, trial_id: str, count: int, pixels: Callable[[Tensor], Tensor]) -> Tensor:
        """[count] classes of `pixels(0 … count - 1)`."""
        model = self.model(trial_id)
        victim = Victim(model)
        positions = torch.arange(count, device=self.test_set.labels.device)
        with under_attack(model):
            found = list(self.batches.over(positions, victim, lambda some: victim.logits(pixels(some)).argmax(dim=1)))
            victim.check()
        return torch.cat([positions[:0], *found])


def cells(
    gallery: Gallery, source: str, targets: Sequence[str], attack: AttackSpec, precision: str = "fp32"
) -> Iterator[float | TransferLeftOut | tuple[TransferCell, ...]]:
    """Craft on `source`, try on each of `targets`: shares done in [0, 1], then the finished cells.

    Raises InnateError where the source itself is at fault; a target at fault is reported and has no cell.
    """
    test_set, batches = gallery.test_set, gallery.batches
    rows = torch.nonzero(gallery.right(source)).flatten()
    model = gallery.model(source)
    victim = Victim(model, precision, batches.stop, evens=True)
    shared: dict[str, int] = {}
    fooled: dict[str, Tensor] = {}
    for target in targets:
        try:
            shared[target] = int((gallery.right(source) & gallery.right(target)).sum())
            fooled[target] = torch.zeros_like(gallery.right(target))
        except InnateError as error:
            yield TransferLeftOut(target, str(error))

    def adversarial(some: Tensor) -> Tensor:
        return craft(victim, test_set.pixels(some), test_set.labels[some], test_set.indices[some], attack)

    # A gradient costs about as much as three forward passes.
    effort = 3 * attack.params.get("steps", 1)
    whole, done = max(1, len(rows)) * (effort + len(shared)), 0
    held = max(batches.size, _IMAGES_BYTES // (4 * math.prod(test_set.images.shape[1:])))
    for chunk in (rows[first : first + held] for first in range(0, len(rows), held)):
        pieces = []
        with under_attack(model):
            for piece in batches.over(chunk, victim, adversarial):
                pieces.append(piece)
                done += len(piece) * effort
                yield done / whole
        victim.check()
        images = torch.cat(pieces)
        for target in list(fooled):
            both = torch.nonzero(gallery.right(target)[chunk]).flatten()
            try:
                fooled[target][chunk[both]] = ~gallery.survives(target, chunk[both], images[both])
            except InnateError as error:
                del fooled[target]
                yield TransferLeftOut(target, str(error))
            done += len(chunk)
            yield done / whole
    yield tuple(_cell(target, shared[target], broken, gallery.right(target)) for target, broken in fooled.items())


def _cell(target: str, shared: int, broken: Tensor, right: Tensor) -> TransferCell:
    """`broken` and `right` [n] are on which samples the target errs under attack, and which it has right when clean."""
    count = int(broken.sum())
    bits = np.packbits(broken.cpu().numpy()).tobytes().hex()
    return TransferCell(target, shared, count, (int(right.sum()) - count) / max(1, len(right)), bits)


def run_transfer(job: TransferJob, stop: Callable[[], bool]) -> Iterator[Event]:
    """One TransferRow for each source of `job.wanted`, as soon as it is whole; the last event is Finished, Stopped or
    TrialFailed. A model that cannot be used is left out, the others go on."""
    try:
        yield from _run(job, stop)
    except EvaluationStopped:
        yield Stopped()
    except InnateError as error:
        yield TrialFailed(str(error))
    except (RuntimeError, ValueError, TypeError, ArithmeticError) as error:
        words = str(error).strip().splitlines() or ["no message"]
        yield TrialFailed(f"{type(error).__name__}: {words[0]}", traceback.format_exc())


def _run(job: TransferJob, stop: Callable[[], bool]) -> Iterator[Event]:
    settle_torch(job)
    (identity,) = {model.trial.dataset for model in job.models}
    arrays, _ = datasets.load_planned(job.source, job.data_root, job.cache, identity, job.met)
    indices = stratified(arrays.test_labels, job.test_samples, "test_samples")[: job.samples]
    test_set = test_set_of(arrays, indices, job.test_samples, job.device, job.memory_fraction)
    classes = int(arrays.train_labels.max()) + 1
    _, channels, height, width = arrays.train_images.shape
    trained = {model.trial_id: model for model in job.models}
    batches = Batches(MOST, stop)

    def load(trial_id: str) -> nn.Module:
        stored = trained[trial_id]
        content = checkpoints.read(stored.weights, trial_id)
        if content is None:
            raise BadInput("its weights are missing or damaged")
        built = trained_model(stored.trial, content["model"], (channels, height, width), classes)
        model = built.to(job.device).to(memory_format=torch.channels_last)
        batches.size = min(batches.size, usual_batch(model, test_set))  # one size for all: that of the largest model
        return model

    gradients = ATTACKS[job.attack.name].iterate is not None
    precision = crafting_precision(job.crafting, torch.device(job.device)) if gradients else "fp32"
    gallery = Gallery(load, test_set, batches)
    left_out: set[str] = set()
    shown_at = -1e9
    for number, (source, targets) in enumerate(job.wanted.items()):
        begun = time.monotonic()
        try:
            for found in cells(gallery, source, [one for one in targets if one not in left_out], job.attack, precision):
                if isinstance(found, TransferLeftOut):
                    left_out.add(found.trial_id)
                    yield found
                elif isinstance(found, tuple):
                    yield TransferRow(
                        source, found, test_set.digest, len(test_set), precision, batches.size,
                        time.monotonic() - begun, tuple(batches.notes),
                    )  # fmt: skip
                elif time.monotonic() - shown_at > _PROGRESS_SECONDS:
                    shown_at = time.monotonic()
                    yield TransferProgress(source, (number + found) / len(job.wanted))
        except InnateError as error:
            if source not in left_out:
                left_out.add(source)
                yield TransferLeftOut(source, str(error))
    yield Finished()
