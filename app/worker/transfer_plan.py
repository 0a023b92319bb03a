"""What a transfer takes, before anything is crafted: the attack, the models that can be used, the pairs yet to be tried."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core import datasets
from core.datasets.subsets import samples_digest, stratified
from core.errors import BadInput
from core.executors.protocol import Slot
from core.jobs.orders import TrainedTrial, TransferJob
from core.jobs.transfer_attack import transfer_attack
from core.records.attack import AttackSpec
from core.records.study import Study
from storage import content, queries, transfers
from storage.home import Home
from storage.studies import data_root, stored_study, study_row

if TYPE_CHECKING:
    from sqlite_utils import Database

    from storage.reading import Options
    from storage.rows import TransferResult, TrialRow


@dataclass(frozen=True)
class Wish:
    """What to transfer; None is the study's own: attack, radius, norm, all trials, all of its test images."""

    study: str
    attack: str | None
    eps: str | None
    norm: str | None
    options: Options
    where: Mapping[str, str]
    limit: int | None
    samples: int | None


@dataclass(frozen=True)
class TransferPlan:
    """The attack on the trials with weights at hand; `wanted` maps a source to the targets that it has yet to be tried on.

    `untrained` and `gone` (weights no longer on disk) are left out. `samples` is the digest of the test images.
    """

    wish: Wish
    stored: Study
    attack: AttackSpec
    trials: tuple[TrialRow, ...]
    weights: Mapping[str, transfers.Weights]
    untrained: int
    gone: tuple[str, ...]
    samples: str
    wanted: Mapping[str, tuple[str, ...]]

    @property
    def digests(self) -> dict[str, str]:
        """Trial → digest of its weights."""
        return {trial.trial_id: self.weights[trial.trial_id].digest for trial in self.trials}


def plan_transfer(db: Database, home: Home, wish: Wish) -> TransferPlan:
    """Raises BadInput naming the option at fault, NotFound for a study that is not there. Fewer than two trials are no
    mistake yet (`refuse_too_few`): what was left out is worth telling first."""
    stored = stored_study(db, wish.study)
    channels, height, breadth = study_row(db, wish.study).shape
    attack = transfer_attack(stored, (channels, height, breadth), wish.attack, wish.norm, wish.eps, wish.options)
    weights = transfers.weights_of(db, wish.study)
    kept, gone, untrained = [], [], 0
    for trial in queries.trials(db, wish.study, wish.where):
        known = weights.get(trial.trial_id)
        if known is None:
            untrained += 1
        elif known.path is None or not (home.checkpoints / known.path).is_file():
            gone.append(trial.trial_id)
        else:
            kept.append(trial)
    trials = tuple(kept[: wish.limit])
    ids = [trial.trial_id for trial in trials]
    samples = _samples(db, home, stored, wish) if len(ids) > 1 else ""
    done = transfers.known(db, attack.id, samples)
    wanted = {one: tuple(other for other in ids if (one, other) not in done) for one in ids}
    return TransferPlan(
        wish=wish,
        stored=stored,
        attack=attack,
        trials=trials,
        weights=weights,
        untrained=untrained,
        gone=tuple(gone),
        samples=samples,
        wanted={one: others for one, others in wanted.items() if others},
    )


def refuse_too_few(plan: TransferPlan) -> None:
    """Raises BadInput where there are no two models."""
    if len(plan.trials) < 2:
        found = "one trained model" if plan.trials else "no trained model"
        chosen = " with this --where" if plan.wish.where else ""
        raise BadInput(f"transfer: study {plan.wish.study} has {found} to use{chosen}; two are needed")


def transfer_job(
    db: Database, home: Home, plan: TransferPlan, slot: Slot, crafting: str, say: Callable[[str], None]
) -> TransferJob:
    """The job, once the data set is known to be there and to be what the models were trained on; BadInput otherwise."""
    row = study_row(db, plan.wish.study)
    root = data_root(db, row.name) or home.data_root
    datasets.fetch(plan.stored.source, root, say, home.cache)
    info = datasets.describe(plan.stored.source, root, home.cache, content.met(db))
    if info.identity != row.dataset_identity:
        raise BadInput(
            f"transfer: the content of {row.dataset} has changed since {row.name} was run; run it again first"
        )
    known = {trial.trial_id: plan.weights[trial.trial_id] for trial in plan.trials}
    return TransferJob(
        attack=plan.attack,
        models=tuple(
            TrainedTrial(trial_id, one.trial, home.checkpoints / one.path)
            for trial_id, one in known.items()
            if one.path is not None
        ),
        wanted=dict(plan.wanted),
        source=plan.stored.source,
        test_samples=row.test_samples,
        samples=plan.wish.samples,
        data_root=root,
        cache=home.cache,
        device=slot.device,
        threads=slot.threads,
        crafting=crafting,
        memory_fraction=slot.memory_fraction,
        met=info.digest,
    )


def results(db: Database, plan: TransferPlan) -> list[TransferResult]:
    """What is known of every pair of the plan's trials by now."""
    ids = [trial.trial_id for trial in plan.trials]
    return transfers.rows(db, plan.wish.study, plan.attack.id, plan.samples, ids)


def _samples(db: Database, home: Home, stored: Study, wish: Wish) -> str:
    """Digest of the test images to use: the study's, or the first so many of them."""
    row = study_row(db, wish.study)
    if wish.samples is None:
        return row.samples
    root = data_root(db, wish.study) or home.data_root
    labels = datasets.test_labels(stored.source, root, home.cache)
    indices = stratified(labels, row.test_samples, "test_samples")
    if wish.samples > len(indices):
        raise BadInput(f"--samples {wish.samples}: the study {wish.study} is tested on {len(indices):,} images")
    return samples_digest(indices[: wish.samples])
