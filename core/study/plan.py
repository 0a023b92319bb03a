"""A Study held against its data set: what only the data can tell is checked, the grid becomes trials. Torch-free."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from core import datasets
from core.attacks import check_classes, check_eps
from core.datasets.subsets import samples_digest, stratified
from core.datasets.survey import Report, quietly
from core.errors import BadInput, Mistakes
from core.models import architectures
from core.records.data import DatasetInfo
from core.records.study import TUNING_SEED, Cell, Plan, Study, Tuning
from core.records.trial import SEED_ALONE, TrialSpec
from core.study.keys.axes import NO_SUBSET
from core.study.resolve import refuse_large_grid
from core.study.tuning import candidates


def examine(
    study: Study,
    data_root: Path,
    cache: Path,
    *,
    large: bool = False,
    met: Mapping[str, str] = MappingProxyType({}),
    report: Report = quietly,
    decoded: bool = True,
) -> DatasetInfo:
    """The data set of `study`, once the study has been held against it; no grid is made.

    Reads a `folder:` or `npz:` set whole (its content is part of the identity), a named set once, and again when its files
    change (`datasets.describe`, which also says what `met` is). `large` permits more than LARGE_GRID trials; `report` hears
    how far long reading is; without `decoded` pictures are only looked at. Raises BadInput naming the key at fault, with all
    other mistakes beside it.
    """
    refuse_large_grid(study, large=large)
    info = datasets.describe(study.source, data_root, cache, met, report, decoded=decoded)
    _check_against_data(study, info)
    return info


def make_plan(
    study: Study,
    data_root: Path,
    cache: Path,
    *,
    large: bool = False,
    met: Mapping[str, str] = MappingProxyType({}),
    report: Report = quietly,
    decoded: bool = True,
) -> Plan:
    """The trials of `study`, seeds outermost, so that an interrupted study has covered its grid once before repeating.

    Reads what `examine` reads, and a named set where the test subset needs its labels. Raises what `examine` raises.
    """
    info = examine(study, data_root, cache, large=large, met=met, report=report, decoded=decoded)
    trials = [
        TrialSpec(
            dataset=info.identity,
            train_samples=_part(study.train_samples, info),
            architecture=architecture,
            activation=activation,
            optimizer=optimizer,
            defense=defense,
            training=study.training,
            seed=seed,
            vary=study.vary,
        )
        for seed, architecture, defense, optimizer, activation in itertools.product(
            study.seeds, study.architectures, study.defenses, study.optimizers, study.activations
        )
    ]
    cells = [] if study.tuning is None else _cells(study, study.tuning, trials, info)
    to_come = {place for cell in cells for place, _ in cell.places}
    return Plan(
        study=study,
        info=info,
        trials=tuple(trial for place, trial in enumerate(trials) if place not in to_come),
        samples=tested_samples(study, info, data_root, cache),
        cells=tuple(cells),
    )


def _cells(study: Study, tuning: Tuning, trials: Sequence[TrialSpec], info: DatasetInfo) -> list[Cell]:
    """Those of the trials of a whole grid whose optimizer is tuned."""
    variants = len(trials) // len(study.seeds)
    optimizers = itertools.product(study.architectures, study.defenses, range(len(study.optimizers)), study.activations)
    found: list[Cell] = []
    for place, (_, _, number, _) in enumerate(optimizers):
        if (search := tuning.searches.get(number)) is None:
            continue
        trial = trials[place]
        assert trial.training is not None
        candidate = replace(
            trial,
            train_samples=_part(tuning.train_samples, info),
            training=replace(trial.training, epochs=tuning.epochs, validation=tuning.validation),
            seed=TUNING_SEED,
            vary=SEED_ALONE,
        )
        places = tuple((place + turn * variants, seed) for turn, seed in enumerate(study.seeds))
        found.append(Cell(len(found), search, candidates(search, tuning.trials), candidate, trial, places))
    return found


def _part(train_samples: int | None, info: DatasetInfo) -> int | None:
    """A subset of all is none."""
    return None if train_samples == info.train_size else train_samples


def _check_against_data(study: Study, info: DatasetInfo) -> None:
    found = Mistakes()
    for key, wanted, there in (
        ("train_samples", study.train_samples, info.train_size),
        ("test_samples", study.test_samples, info.test_size),
        *_own_samples(study, info),
    ):
        if wanted is not None and wanted > there:
            found.note(BadInput.at(key, f"{wanted:,} asked for, but {info.source.name} has {there:,}"))
        elif wanted is not None and wanted < len(info.classes):
            found.note(BadInput.at(key, f"{wanted} is fewer than the {len(info.classes)} classes to draw from"))
    if "train_subset" in study.vary and study.train_samples == info.train_size:
        found.note(BadInput.at("vary", NO_SUBSET))
    for index, choice in enumerate(study.architectures):
        found.attempt(architectures.check, choice, info.shape, f"architectures[{index}]")
    for index, attack in enumerate(study.attacks):
        found.attempt(check_eps, attack, info.shape, f"attacks[{index}].eps")
        found.attempt(check_classes, attack, len(info.classes), f"attacks[{index}]")
    channels = info.shape[0]
    if study.training.augment and channels != 3:
        words = f"flips and crops are for colour images; {info.source.name} is grey"
        found.note(BadInput.at("training.augment", words))
    for key, share, samples in (
        ("training", study.training.validation, study.train_samples),
        *([("tuning", study.tuning.validation, study.tuning.train_samples)] if study.tuning else []),
    ):
        used = samples or info.train_size
        if share and round(used * share) < len(info.classes):
            found.note(BadInput.at(f"{key}.validation", f"a share of {share:g} of {used} is too small"))
    if found.found:
        raise found.error().within(study.name)


def _own_samples(study: Study, info: DatasetInfo) -> list[tuple[str, int | None, int]]:
    """(key, wanted, there) of a tuning that trains on another number of images than its study."""
    tuning = study.tuning
    if tuning is None or tuning.train_samples == study.train_samples:
        return []
    return [("tuning.train_samples", tuning.train_samples, info.train_size)]


def tested_samples(study: Study, info: DatasetInfo, data_root: Path, cache: Path) -> str | None:
    """The digest of the study's test indices; None for a subset of what is not at hand."""
    if study.test_samples is None or study.test_samples == info.test_size:
        return samples_digest(np.arange(info.test_size, dtype=np.int64))
    if datasets.problem(info.source, data_root, cache) is not None:
        return None
    labels = datasets.test_labels(info.source, data_root, cache)
    return samples_digest(stratified(labels, study.test_samples, "test_samples"))
