"""Carrying an audit out: harder attacks, in true fp32, on a sample of what a study's attacks left standing at each ε.

Samples are drawn in one fixed order, so that at every ε the first survivors in it are looked at, the same ones for every
model where they stand. Imports torch: for children only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.attacks import ATTACKS, resolve
from core.attacks.price import price
from core.audit import AuditedRadius, AuditRun, AuditSpec
from core.engine.victim import Victim, under_attack
from core.evaluation.batches import usual_batch
from core.evaluation.sweep import Sweep, Tally, TestSet, distances_of, rounds_at, title
from core.events import AttackProgress, Audited
from core.records.attack import AttackSpec
from core.records.outcome import Bools

_ORDER_SEED = 20201128
"""Any fixed number; changing it changes every audit and so must come with another AUDIT_ENGINE."""


def order_of(count: int) -> NDArray[np.int64]:
    """The places of `count` test samples in the order in which audits draw them."""
    return np.random.default_rng(_ORDER_SEED).permutation(count)


def members(spec: AuditSpec) -> tuple[AttackSpec, ...]:
    """The attacks of an audit, in the order in which they are tried. `full` is `standard` as it is; else they are short ones of
    the same kinds, those first that break most for their passes.

    In ℓ2 that is the minimum-norm attack, whose one run serves every ε. In ℓ∞, of 294 (sample, ε) of the paper's net that
    PGD-10 had left and `standard` broke 9 of, 12 steps of APGD towards two classes broke 8 for 15,000 passes, towards nine 7 in
    5 steps for 31,000, PGD on the margin 5 for 24,000, and FMN 2 for 15,000. Of what that leaves on twelve narrow ones, 12 steps
    towards four classes break 18 for 111,000 passes, APGD on the cross-entropy 16 for 131,000, FMN 9 for 229,000, PGD on the
    margin 5 for 431,000.
    """
    radii = {"norm": spec.norm, "eps": list(spec.eps)}
    if spec.depth == "full":
        ensemble = ATTACKS["standard"].ensemble
        assert ensemble is not None
        return ensemble(resolve("standard", radii, "audit"))
    nearest = resolve("fmn", {"norm": spec.norm, "steps": 40}, "audit")
    aimed, wider = (
        resolve("apgd", {**radii, "loss": "targeted", "steps": 12, "targets": targets}, "audit") for targets in (2, 4)
    )
    free = resolve("apgd", {**radii, "loss": "ce", "steps": 60}, "audit")
    margin = resolve("pgd", {**radii, "loss": "margin", "steps": 40, "restarts": 2}, "audit")
    search = resolve("square", {**radii, "queries": 300}, "audit")
    if spec.norm == "l2":
        return nearest, aimed, wider, margin, search
    return aimed, wider, free, nearest, margin, search


def audit(
    model: nn.Module,
    test_set: TestSet,
    spec: AuditSpec,
    standing: Sequence[Bools],
    passes: int | None,
    stop: Callable[[], bool] = lambda: False,
    batch_size: int | None = None,
) -> Iterator[AttackProgress | Audited]:
    """Audit `model` on those who are `standing` [n] at each ε of `spec`, with about `passes` images through the model at most
    (None: whatever it takes); the first attack goes through the samples in any case.

    Yields progress a few times a second and Audited last. Raises EvaluationStopped once `stop()` is true, NonFiniteLogits.
    """
    begun = time.monotonic()
    victim = Victim(model, "fp32", stop, evens=True)
    alive = torch.from_numpy(np.array(standing)).any(dim=0).to(test_set.labels.device)
    sweep = Sweep(victim, test_set, None, alive, batch_size or usual_batch(model, test_set))
    with under_attack(model):
        course = _Course(sweep, spec, standing, passes if spec.depth == "budget" else None)
        yield from course.carried_out()
        victim.check()
    yield Audited(
        spec=spec,
        samples=test_set.digest,
        test_samples=test_set.asked,
        fell_at=course.fell_at.cpu().numpy().astype("<f4"),
        radii=tuple(radius.summed_up() for radius in course.radii),
        runs=tuple(AuditRun(one.attack, one.count, one.broke) for one in course.members if one.count),
        forward_passes=victim.forward_passes,
        backward_passes=victim.backward_passes,
        seconds=time.monotonic() - begun,
        batch_size=sweep.batch_size,
        notes=(*sweep.notes, *victim.notes),
    )


@dataclass
class _Member:
    """One attack of the audit under way. `tried` [E, n]: on whom at which ε, whether they stood or fell."""

    attack: AttackSpec
    tried: Tensor
    price: int
    """Images through the model that one sample at one ε costs at most, forward and backward counted alike."""
    count: int = 0
    broke: int = 0

    @property
    def title(self) -> str:
        """ "apgd-targeted-2": with how many classes are aimed at, where the attack says."""
        targets = self.attack.params.get("targets")
        return title(self.attack) + ("" if targets is None else f"-{targets}")


@dataclass
class _Radius:
    """Where the audit stands at one ε. `drawn_from` are the places that stood when the round began, in order, of which the
    first `audited` are the sample."""

    eps: float
    began: int
    drawn_from: Tensor
    audited: int = 0
    fell: int = 0
    rounds: int = 0
    left: int = 0
    settled: bool = False
    attacks: list[str] = field(default_factory=list)
    felled_by: dict[str, None] = field(default_factory=dict)

    def summed_up(self) -> AuditedRadius:
        return AuditedRadius(
            eps=self.eps,
            standing=len(self.drawn_from),
            audited=self.audited,
            fell=self.fell,
            broken=self.began - self.left,
            rounds=self.rounds,
            attacks=tuple(self.attacks),
            felled_by=tuple(self.felled_by),
        )


class _Course:
    """One audit under way: who still stands at each ε, who was tried with what, how many passes are left to spend."""

    def __init__(self, sweep: Sweep, spec: AuditSpec, standing: Sequence[Bools], passes: int | None) -> None:
        device, count = sweep.test_set.labels.device, len(sweep.test_set)
        self.sweep, self.spec, self.left = sweep, spec, passes
        self.standing = torch.from_numpy(np.array(standing)).to(device)
        self.order = torch.from_numpy(order_of(count)).to(device)
        self.fell_at = torch.full((count,), float("inf"), device=device)
        self.radii = [
            _Radius(eps, int(alive.sum()), self.order[:0]) for eps, alive in zip(spec.eps, self.standing, strict=True)
        ]
        one = sweep.test_set.pixels(torch.zeros_like(sweep.test_set.labels[:1]))
        classes = sweep.victim.logits(one).shape[1]
        self.members = [
            _Member(attack, torch.zeros_like(self.standing), price(attack, classes)) for attack in members(spec)
        ]

    def carried_out(self) -> Iterator[AttackProgress]:
        """Round after round, until at each ε nothing of the sample fell or the passes are spent."""
        while open_places := [place for place, radius in enumerate(self.radii) if not radius.settled]:
            for place in open_places:
                self._draw(place)
            for number, member in enumerate(self.members):
                yield from self._on_samples(member, open_places, always=number == 0)
            for place in open_places:
                self.radii[place].fell = self._fallen(place)
            yield from self._follow_up(open_places)
            for place in open_places:
                self._settle(place)
        for radius, alive in zip(self.radii, self.standing, strict=True):
            radius.left = int(alive.sum())

    def _draw(self, place: int) -> None:
        radius = self.radii[place]
        radius.drawn_from = self.order[self.standing[place][self.order]]
        radius.audited = min(len(radius.drawn_from), self.spec.samples)
        radius.rounds += 1
        radius.attacks = []

    def _on_samples(self, member: _Member, places: Sequence[int], *, always: bool) -> Iterator[AttackProgress]:
        """Try one attack on what stands of each sample, where the passes reach for all of it."""
        for together in _together(member, places):
            rows = torch.zeros_like(self.standing[0])
            for place in together:
                radius = self.radii[place]
                sample = radius.drawn_from[: radius.audited]
                rows[sample] |= self.standing[place, sample] & ~member.tried[place, sample]
            if always or self._affords(int(rows.sum()) * member.price):
                yield from self._try(member, together, torch.nonzero(rows).flatten())
                for place in together:
                    self.radii[place].attacks.append(member.title)

    def _follow_up(self, places: Sequence[int]) -> Iterator[AttackProgress]:
        """What broke a sample is tried on all that stand at that ε and above, in order, as far as the passes reach: from the
        largest ε, where fewest stand, so that the smallest does not take it all."""
        for member in self.members:
            above = self._to_follow(member, places)
            for together in reversed(_together(member, above)):
                rows = torch.zeros_like(self.standing[0])
                for place in together:
                    rows |= self.standing[place] & ~member.tried[place]
                wanted = self.order[rows[self.order]]
                if self.left is not None:
                    wanted = wanted[: max(0, self.left) // member.price]
                yield from self._try(member, together, wanted)

    def _to_follow(self, member: _Member, places: Sequence[int]) -> list[int]:
        """The ε at which an attack is owed to all: from the first whose sample it broke."""
        broke = [place for place in places if self.radii[place].fell and member.title in self.radii[place].felled_by]
        return [place for place in places if broke and place >= broke[0]]

    def _settle(self, place: int) -> None:
        """Another round where all that stand were tried with what broke some; else what was tried in order is the sample."""
        radius = self.radii[place]
        owed = [member for member in self.members if place in self._to_follow(member, range(len(self.radii)))]
        tried = torch.stack([member.tried[place] for member in owed]).all(dim=0) if owed else None
        waiting = ~self.standing[place][radius.drawn_from]
        if tried is not None:
            waiting |= tried[radius.drawn_from]
        reached = len(waiting) if bool(waiting.all()) else int(torch.nonzero(~waiting)[0])
        if radius.fell == 0 and (tried is None or reached < len(waiting) or self._unchanged(place)):
            radius.settled = True
        elif reached < len(waiting):
            if reached > radius.audited:
                radius.audited, radius.attacks = reached, [member.title for member in owed]
            radius.fell = self._fallen(place)
            radius.settled = True

    def _unchanged(self, place: int) -> bool:
        return bool(self.standing[place][self.radii[place].drawn_from].all())

    def _fallen(self, place: int) -> int:
        radius = self.radii[place]
        return int((~self.standing[place][radius.drawn_from[: radius.audited]]).sum())

    def _affords(self, price: int) -> bool:
        return self.left is None or price <= self.left

    def _try(self, member: _Member, places: Sequence[int], rows: Tensor) -> Iterator[AttackProgress]:
        """One attack on some samples, at one ε or, of a minimum-norm attack, at all of `places`; what falls is noted."""
        if len(rows) == 0:
            return
        sweep, attack, before = self.sweep, member.attack, self._spent()
        sweep.attack = attack
        stood = self.standing.clone()
        wanted = torch.zeros_like(self.standing[0])
        wanted[rows] = True
        if ATTACKS[attack.name].minimum_norm:
            distance = torch.full_like(self.fell_at, float("inf"))
            yield from distances_of(sweep, attack, wanted, distance)
            self.fell_at = torch.minimum(self.fell_at, distance)
        else:
            (place,) = places
            left = wanted.clone()
            yield from rounds_at(sweep, attack, self.radii[place].eps, left, Tally(left))
            fallen = wanted & ~left
            self.fell_at[fallen] = self.fell_at[fallen].clamp_max(self.radii[place].eps)
        for at, radius in enumerate(self.radii):
            self.standing[at] &= ~(self.fell_at <= radius.eps)
            if bool((stood[at] & ~self.standing[at]).any()):
                radius.felled_by[member.title] = None
        for place in places:
            member.tried[place, rows] = True
        member.count += len(rows)
        member.broke += int((stood & ~self.standing).any(dim=0).sum())
        if self.left is not None:
            self.left -= self._spent() - before

    def _spent(self) -> int:
        return self.sweep.victim.forward_passes + self.sweep.victim.backward_passes


def _together(member: _Member, places: Sequence[int]) -> list[list[int]]:
    """The places of the ε that one run of the attack serves."""
    if not places:
        return []
    return [list(places)] if ATTACKS[member.attack.name].minimum_norm else [[place] for place in places]
