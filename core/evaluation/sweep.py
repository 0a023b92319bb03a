"""How samples go through an attack, and what is kept of it.

Single steps judge every sample at every ε from one gradient. Iterative attacks run upwards over ε on those that still
stand, since an example within ε₁ is within ε₂ > ε₁, and each restart, target or member of an ensemble on those that the
one before left standing. Minimum-norm attacks give one distance per sample. Imports torch: for children only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from core.attacks import ATTACKS
from core.datasets.staging import StagedImages
from core.engine.distances import firm
from core.engine.geometry import lengths, project
from core.engine.standing import Outcome
from core.engine.victim import EvaluationStopped, Victim, in_box
from core.errors import InnateError
from core.events import AttackProgress
from core.lanes.alone import ALONE
from core.records.attack import AttackSpec
from core.records.outcome import Ledger, Trace

_PROGRESS_SECONDS = 0.25
_EXAMPLES = 8
"""Adversarial images kept per evaluation, for eyes."""
_SEARCH_SHARE = 4
"""A search asks thousands of times per batch: smaller batches let progress be told and a stop be heard."""


class ImagesOutsideTheBox(InnateError):
    """Attacks and radii are stated for pixels in [0, 1]; elsewhere they mean nothing."""


@dataclass(frozen=True)
class TestSet:
    """On the device, images perhaps only batch by batch: [n, c, h, w], uint8 or floats in [0, 1]; labels [n] and the samples'
    indices in the test half [n]."""

    images: Tensor | StagedImages
    labels: Tensor
    indices: Tensor
    digest: str
    asked: int | None
    """The study's `test_samples` that gave this set."""

    def pixels(self, rows: Tensor) -> Tensor:
        """float32 pixels in [0, 1] of some rows; raises ImagesOutsideTheBox for floats that are not."""
        if self.images.dtype == torch.uint8:
            return self.images[rows].to(torch.float32).div_(255.0)
        chosen = self.images[rows].to(torch.float32)
        if not bool(in_box(chosen).all()):
            raise ImagesOutsideTheBox("the test images hold pixels outside [0, 1] or NaN; scale them to [0, 1] first")
        return chosen

    def __len__(self) -> int:
        return len(self.labels)


@dataclass
class Sweep:
    """One evaluation under way. `alive` [n] are the samples to attack: right on the clean image, and not fallen before."""

    victim: Victim
    test_set: TestSet
    attack: AttackSpec | None
    alive: Tensor
    batch_size: int
    ledgers: list[Ledger] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)
    examples: dict[tuple[int, float | None], Tensor] = field(default_factory=dict)
    """(row, ε) → the image that broke it."""
    notes: list[str] = field(default_factory=list)
    shown_at: float = -1e9


def sweep_of_single_steps(sweep: Sweep) -> Iterator[AttackProgress]:
    """Every sample judged at every ε by itself, also those wrong from the start, whose accuracy the trust checks need."""
    attack, test_set = _attack(sweep), sweep.test_set
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
                fooled, _ = sweep.victim.confirm(adversarial, x, y, eps, attack.norm)
                right[number, rows] &= ~fooled
                _keep_examples(sweep, rows, fooled & sweep.alive[rows], adversarial, eps)

    yield from _progress(sweep, attack.eps[-1], 0, sweep.alive)
    for rows in batches(sweep, torch.arange(len(test_set), device=test_set.labels.device)):
        within_memory(sweep, rows, judge)
        done += len(rows)
        yield from _progress(sweep, attack.eps[-1], done, right[-1] & sweep.alive)
    for eps, still_right in zip(attack.eps, right, strict=True):
        survived = still_right & sweep.alive
        sweep.ledgers.append(Ledger(eps, survived.cpu().numpy(), None, int(still_right.sum()) / len(test_set)))


def sweep_of_distances(sweep: Sweep) -> Iterator[AttackProgress]:
    """One ledger of distances: 0 where a sample is wrong from the start, inf where no mistake was found."""
    attack = _attack(sweep)
    distance = torch.zeros(len(sweep.test_set), device=sweep.test_set.labels.device)
    yield from distances_of(sweep, attack, sweep.alive, distance)
    found = torch.isfinite(distance) & sweep.alive
    sweep.ledgers.append(Ledger(None, sweep.alive.cpu().numpy(), distance.cpu().numpy().astype("<f4")))
    sweep.traces.append(Trace(None, int(sweep.alive.sum()), int(found.sum())))


def sweep_by_radius(sweep: Sweep) -> Iterator[AttackProgress]:
    """Upwards over ε on those that still stand: member after member, round after round."""
    attack, test_set = _attack(sweep), sweep.test_set
    ensemble = ATTACKS[attack.name].ensemble
    members = (attack,) if ensemble is None else ensemble(attack)
    survived = sweep.alive.clone()
    distances = [torch.full((len(test_set),), float("nan"), device=survived.device) for _ in members]
    for eps in attack.eps:
        began = survived.clone()
        tally = Tally(survived)
        broken = {}
        for member, distance in zip(members, distances, strict=True):
            before = int(survived.sum())
            if ATTACKS[member.name].minimum_norm:
                # Asked once: the distance of a sample tells its fate at every later ε too.
                yield from distances_of(sweep, member, survived & distance.isnan(), distance, eps)
                survived &= ~(distance <= eps)
            else:
                yield from rounds_at(sweep, member, eps, survived, tally)
            broken[title(member)] = before - int(survived.sum())
        sweep.ledgers.append(Ledger(eps, survived.cpu().numpy().copy()))
        sweep.traces.append(tally.trace(attack, eps, began, survived, alone=len(members) == 1))
        if len(members) > 1:
            sweep.notes.append(f"at ε = {eps:g} fell to " + ", ".join(f"{name} {n}" for name, n in broken.items()))


class Tally:
    """What `Outcome`s of one ε say of each sample; the last word on a sample counts. `like` is [n]."""

    def __init__(self, like: Tensor) -> None:
        names = [one.name for one in fields(Outcome) if one.name not in ("broken", "found", "last")]
        self._said = {name: torch.zeros_like(like) for name in names}
        self.before_last_restart: Tensor | None = None

    def take(self, rows: Tensor, outcome: Outcome) -> None:
        for name, said in self._said.items():
            said[rows] = getattr(outcome, name)

    def trace(self, attack: AttackSpec, eps: float, began: Tensor, survived: Tensor, *, alone: bool) -> Trace:
        def count(name: str, among: Tensor) -> int:
            return int((self._said[name] & among).sum())

        broken = began & ~survived
        ascent = alone and not ATTACKS[attack.name].black_box
        alpha, last = attack.params.get("alpha"), self.before_last_restart
        share = None if alpha is None else 1 / float(alpha[4:]) if isinstance(alpha, str) else alpha / eps
        return Trace(
            eps=eps,
            attacked=int(began.sum()),
            broken=int(broken.sum()),
            late=count("late", broken) if ascent else None,
            moving=count("moving", survived) if ascent else None,
            last_restart=None if last is None or not alone else int((last & broken).sum()),
            reach=None if share is None else share * attack.params.get("steps", 1),
            unconfirmed=count("unconfirmed", survived),
            outside=count("outside", survived),
            zero_gradients=count("zero_gradients", began),
            bad_gradients=count("bad_gradients", began),
        )


def rounds_at(sweep: Sweep, member: AttackSpec, eps: float, survived: Tensor, tally: Tally) -> Iterator[AttackProgress]:
    """Restarts and targets at one ε, each on what the ones before left standing; `survived` is brought up to date."""
    entry, test_set = ATTACKS[member.name], sweep.test_set
    iterate = entry.iterate
    assert iterate is not None
    share = _SEARCH_SHARE if entry.black_box and survived.device.type == "cpu" else 1
    restarts = member.params.get("restarts", 1)
    rounds = entry.rounds(member.params, _classes(sweep))
    for number in range(rounds):
        standing = torch.nonzero(survived).flatten()
        if restarts > 1 and (number == rounds - rounds // restarts or len(standing) == 0):
            tally.before_last_restart = survived.clone()
        if len(standing) == 0:
            return
        done = len(test_set) - len(standing)
        yield from _progress(sweep, eps, done, survived)

        def run(rows: Tensor, number: int = number) -> None:
            for victim in (
                (sweep.victim,) if sweep.victim.crafting == "fp32" else (sweep.victim, sweep.victim.in_fp32())
            ):
                left = rows[survived[rows]]  # what a short precision left standing is attacked in fp32 before it counts
                if len(left) == 0:
                    return
                x, y = test_set.pixels(left), test_set.labels[left]
                outcome = iterate(victim, x, y, test_set.indices[left], number, eps, member)
                survived[left[outcome.broken]] = False
                tally.take(left, outcome)
                _keep_examples(sweep, left, outcome.broken, outcome.found, eps)

        for rows in batches(sweep, standing, share):
            within_memory(sweep, rows, run)
            done += len(rows)
            yield from _progress(sweep, eps, done, survived)


def distances_of(
    sweep: Sweep, member: AttackSpec, wanted: Tensor, distance: Tensor, eps: float | None = None
) -> Iterator[AttackProgress]:
    """Fill in `distance` for the samples `wanted`; examples are of those within `eps` if there is one."""
    test_set = sweep.test_set
    minimise = ATTACKS[member.name].minimise
    assert minimise is not None
    asked = torch.nonzero(wanted).flatten()
    done = len(test_set) - len(asked)
    exact = sweep.victim.in_fp32()

    def run(rows: Tensor) -> None:
        x, y = test_set.pixels(rows), test_set.labels[rows]
        images = minimise(exact, x, y, test_set.indices[rows], member)
        fooled, images = firm(exact, images, x, y)
        length = lengths(images - x, member.norm)
        distance[rows] = torch.where(fooled, length, torch.full_like(length, float("inf")))
        _keep_examples(sweep, rows, fooled if eps is None else fooled & (length <= eps), images, eps)

    for rows in batches(sweep, asked):
        within_memory(sweep, rows, run)
        done += len(rows)
        yield from _progress(sweep, eps, done, sweep.alive)


def batches(sweep: Sweep, rows: Tensor, share: int = 1) -> Iterator[Tensor]:
    """`rows` in batches of the size that memory allows by now, or that divided by `share`; raises EvaluationStopped
    between two of them."""
    first = 0
    while first < len(rows):
        if sweep.victim.stop():
            raise EvaluationStopped
        batch = rows[first : first + max(1, sweep.batch_size // share)]
        yield batch
        first += len(batch)


def within_memory(sweep: Sweep, rows: Tensor, work: Callable[[Tensor], None]) -> None:
    """`work(rows)`; where memory runs out, in halves from now on. `work` may be repeated: outcomes belong to samples."""
    try:
        work(rows)
        return
    except RuntimeError as error:
        exhausted = isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
        if not exhausted or len(rows) == 1:
            raise
    # Not before the error is let go of, and with it what the work had in memory.
    sweep.batch_size = len(rows) // 2
    sweep.notes.append(f"out of memory at {len(rows)} images per batch; went on with {sweep.batch_size}")
    sweep.victim.forget()
    if rows.device.type == "cuda":
        with ALONE:  # not while another lane records
            torch.cuda.empty_cache()
    for first in range(0, len(rows), sweep.batch_size):
        within_memory(sweep, rows[first : first + sweep.batch_size], work)


def _classes(sweep: Sweep) -> int:
    """As many as the model tells apart."""
    return sweep.victim.logits(sweep.test_set.pixels(torch.zeros_like(sweep.test_set.labels[:1]))).shape[1]


def _attack(sweep: Sweep) -> AttackSpec:
    assert sweep.attack is not None
    return sweep.attack


def title(member: AttackSpec) -> str:
    """What an attack that is one of several is called: "apgd-targeted", "fmn"."""
    loss = member.params.get("loss")
    return member.name if loss is None else f"{member.name}-{loss}"


def _progress(sweep: Sweep, eps: float | None, done: int, survived: Tensor) -> Iterator[AttackProgress]:
    now = time.monotonic()
    if now - sweep.shown_at >= _PROGRESS_SECONDS:
        sweep.shown_at = now
        yield AttackProgress(_attack(sweep), eps, done, len(sweep.test_set), int(survived.sum()))


def _keep_examples(sweep: Sweep, rows: Tensor, broken: Tensor, images: Tensor, eps: float | None) -> None:
    room = _EXAMPLES - len(sweep.examples)
    if room <= 0:
        return
    for position in torch.nonzero(broken).flatten()[:room].tolist():
        sweep.examples[int(rows[position]), eps] = images[position].clone()
