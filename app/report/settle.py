"""What a look at a study's findings would settle and cost, before anything is kept or queued."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.report.findings import margin_of, scored_models
from app.worker.devices import cores
from app.worker.narration import in_words
from core.errors import BadInput
from core.registry import nearest
from core.verdict.findings.claims import claims
from core.verdict.findings.find import ask
from core.verdict.findings.questions import questions
from core.verdict.settling.looked import Looked
from core.verdict.settling.stage import Stage, stage
from storage import queries, tuning
from storage.changes import Settle
from storage.settling import MoreSeeds, Seeds, seconds_of, seeds_of, settling

if TYPE_CHECKING:
    from sqlite_utils import Database

    from storage.settling import Settling


@dataclass(frozen=True)
class Outlook:
    """One look at all families of a study."""

    study: str
    margin: float
    before: Settling
    stages: Mapping[str, Stage]
    more: tuple[MoreSeeds, ...]
    seconds: float | None
    """That the trials to queue take on this machine; None where none like them has been run."""
    expected_trials: float
    """In all from now on, as things look now."""
    expected_seconds: float | None
    left_out: int
    """Trials that the budget has no room for."""

    @property
    def trials(self) -> int:
        return sum(len(one.seeds) for one in self.more)

    @property
    def now(self) -> tuple[Looked, ...]:
        """What is to be kept."""
        return tuple(Looked(family, one.looks, one.decided) for family, one in self.stages.items())

    @property
    def decides(self) -> int:
        """Verdicts that this look would add."""
        return sum(len(one.decided) - len(self.before.of(family).decided) for family, one in self.stages.items())

    @property
    def change(self) -> Settle:
        """What keeps the look and queues exactly these trials."""
        seen = tuple(self.before.of(family) for family in self.stages)
        return Settle(self.study, seen, self.now, self.margin, self.more)


def outlook(db: Database, study: str, margin: float | None, hours: float | None, about: Sequence[str] = ()) -> Outlook:
    """A look at the study as it is now. `hours` is the budget of this stage (None: what it takes), `about` narrows it down to
    "claims" or the effects of some factors.

    Raises BadInput for something else to be about, where trials are still to come, where another margin was decided against
    before, or for a budget that has room for nothing.
    """
    before = settling(db, study)
    margin = margin_of(before, study, margin)
    under_way = queries.unfinished_rows(db, study)
    waiting = under_way.get("queued", 0) + under_way.get("running", 0) + tuning.stages(db, study).to_come
    if waiting:
        raise BadInput(
            f"findings --settle: {waiting} trials of {study} are still to come; look when they are done: "
            f"innate wait --study {study}"
        )
    models = scored_models(db, study)
    if not models:
        raise BadInput(f"findings --settle: {study} has no scored model; see innate trials --study {study}")
    held = seeds_of(db, study)
    counts = {variant: len(seeds.held) for variant, seeds in held.items()}
    asked = [ask(question, margin) for question in questions(models)]
    stages: dict[str, Stage] = {}
    for family in _families([one.question.family for one in asked], about):
        members = claims([one for one in asked if one.question.family == family], margin)
        if members:
            known = before.of(family)
            stages[family] = stage(members, known.looks, known.decided, counts)
    costs = seconds_of(db, study)
    wanted = _merged([one.wanted for one in stages.values()])
    every = _more(wanted, held)
    chosen = every
    if hours is not None:
        chosen = _more(_within(stages, hours * 3600.0 * cores(), every, costs), held)
        if every and not chosen:
            least = in_words(_cheapest(stages, every, costs) / cores())
            raise BadInput(f"--budget {hours:g}: no open comparison fits into that; the cheapest takes about {least}")
    expected = _expected(stages, counts)
    return Outlook(
        study,
        margin,
        before,
        stages,
        chosen,
        _shared(_cost(chosen, costs)),
        math.fsum(expected.values()),
        _shared(_priced(expected, costs)),
        sum(len(one.seeds) for one in every) - sum(len(one.seeds) for one in chosen),
    )


def _families(there: Sequence[str], about: Sequence[str]) -> list[str]:
    """Those of a study's families, each once, that a look is to be about."""
    names = {family.rpartition(":")[2]: family for family in there}
    for one in about:
        if one not in names:
            raise BadInput(f"--about {one}: not one of {', '.join(names)}{nearest(one, list(names))}")
    return [family for name, family in names.items() if name in about or not about]


def _merged(wanted: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Seeds that each variant is to have, by whichever family wants most."""
    found: dict[str, int] = {}
    for one in wanted:
        found |= {variant: max(count, found.get(variant, 0)) for variant, count in one.items()}
    return found


def _more(wanted: Mapping[str, int], held: Mapping[str, Seeds]) -> tuple[MoreSeeds, ...]:
    """The seeds to train: those that other variants of the study have come first, so that all stay paired."""
    known = sorted({seed for one in held.values() for seed in one.held})
    found = []
    for variant, count in wanted.items():
        own = held[variant]
        short = count - len(own.held)
        free = [seed for seed in known if seed not in own.held and seed not in own.lost]
        following = (known[-1] if known else -1) + 1
        seeds = [*free, *range(following, following + max(0, short - len(free)))][: max(0, short)]
        if seeds:
            found.append(MoreSeeds(variant, tuple(seeds)))
    return tuple(found)


def _within(
    stages: Mapping[str, Stage], seconds: float, every: Sequence[MoreSeeds], costs: Mapping[str, float]
) -> dict[str, int]:
    """What to train within a budget of slot-seconds; families share it, the cheapest first, and what one trains serves all."""
    price = {one.variant_id: _cost([one], costs) or 0.0 for one in every}
    served: dict[str, int] = {}
    for one in sorted(stages.values(), key=lambda one: math.fsum(price.get(variant, 0.0) for variant in one.wanted)):
        left = seconds - math.fsum(price.get(variant, 0.0) for variant in served)
        unpaid = {variant: 0.0 if variant in served else price.get(variant, 0.0) for variant in one.wanted}
        served |= one.within(left, unpaid)
    return served


def _cheapest(stages: Mapping[str, Stage], every: Sequence[MoreSeeds], costs: Mapping[str, float]) -> float:
    """Slot-seconds of the open comparison that takes least."""
    price = {one.variant_id: _cost([one], costs) or 0.0 for one in every}
    return min(
        math.fsum(price.get(variant, 0.0) for variant in left.variants)
        for one in stages.values()
        for left in one.undecided
        if left.variants & one.wanted.keys()
    )


def _cost(more: Sequence[MoreSeeds], costs: Mapping[str, float]) -> float | None:
    return _priced({one.variant_id: float(len(one.seeds)) for one in more}, costs)


def _priced(trials: Mapping[str, float], costs: Mapping[str, float]) -> float | None:
    """Slot-seconds of so many trials of each variant; variants that were never run cost what others do on average."""
    if not costs:
        return None
    usual = math.fsum(costs.values()) / len(costs)
    return math.fsum(count * costs.get(variant, usual) for variant, count in trials.items())


def _shared(seconds: float | None) -> float | None:
    """Over the machine's cores."""
    return None if seconds is None else seconds / cores()


def _expected(stages: Mapping[str, Stage], counts: Mapping[str, int]) -> dict[str, float]:
    """Trials of each variant that are still to come, whichever family needs most of it."""
    found: dict[str, float] = {}
    for one in stages.values():
        for variant, count in one.expected.items():
            found[variant] = max(found.get(variant, 0.0), count - counts.get(variant, 0))
    return {variant: max(0.0, count) for variant, count in found.items()}
