"""Networks of a trial's architecture with foreign tensors in them, one for each place that batch norm can have, and which of them
the file speaks for. Imports torch: for children only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from core.errors import BadInput
from core.jobs.importing import foreign_weights, norm_order
from core.jobs.importing.foreign_weights import Candidate
from core.jobs.importing.matching import Match, match
from core.jobs.importing.weight_shapes import explained, shapes_of
from core.jobs.orders import ImportJob
from core.models.activations import factory, output_range
from core.models.architectures import ARCHITECTURES
from core.records.choice import Choice
from core.records.trial import TrialSpec

_ORDERS = ("after", "before")
CLOSE = 0.3
"""A statistics gap up to which statistics are those of the images: about 0.1 is usual, also after adversarial training, but
augmentation and a short memory move them."""


@dataclass(frozen=True)
class Fitted:
    """A network that holds the weights. `norm` is where its batch norm stands, None where the architecture leaves no choice;
    `norm_by` what says so, None if that is not known yet (`ImportRecord.norm_by`)."""

    trial: TrialSpec
    network: nn.Module
    matched: Match
    norm: str | None
    norm_by: str | None


def chosen(
    job: ImportJob, candidates: Sequence[Candidate], shape: tuple[int, int, int], classes: int
) -> tuple[Candidate, str | None]:
    """The one state dict of a file that can be meant, and in words how it was told from others, if there are any.

    Raises BadInput where none fits, where it is of no use, and where several fit that differ.
    """
    if len(candidates) == 1:
        (only,) = candidates
        if only.fault:
            raise BadInput(f"{job.weights}: {_named(only, only.fault)}")
        return only, None
    expected = [shapes_of(_network(trial, shape, classes).state_dict()) for _, trial in _orders(job)]
    fitting = [
        candidate
        for candidate in candidates
        if any(match(places, shapes_of(candidate.weights.network)) for places in expected)
    ]
    usable = [candidate for candidate in fitting if candidate.fault is None]
    if not usable:
        worst = fitting[0] if fitting else candidates[0]
        if worst.fault:
            raise BadInput(f"{job.weights}: {_named(worst, worst.fault)}")
        return worst, None  # it is told why it does not fit
    first = usable[0]
    if all(_same(first, other) for other in usable[1:]):
        aside = [_named(one, one.fault or "does not fit") for one in candidates if one not in usable]
        aside += [_named(one, "is the same") for one in usable[1:]]
        return first, f"its {first.key} was taken: {'; '.join(aside)}"
    keys = [candidate.key for candidate in usable]
    raise BadInput(
        f"{job.weights}: {len(keys)} of its state_dicts fit: {', '.join(keys)}; say which, such as --key {keys[-1]}"
    )


def _named(candidate: Candidate, words: str) -> str:
    return f"{candidate.key}: {words}" if candidate.key else words


def _same(one: Candidate, other: Candidate) -> bool:
    ours, theirs = (
        {**each.network, "mean": each.mean, "deviation": each.deviation} for each in (one.weights, other.weights)
    )
    return ours.keys() == theirs.keys() and all(_equal(ours[key], theirs[key]) for key in ours)


def _equal(one: Tensor | None, other: Tensor | None) -> bool:
    return one is other if one is None or other is None else torch.equal(one, other)


def fitted(job: ImportJob, candidate: Candidate, shape: tuple[int, int, int], classes: int) -> list[Fitted]:
    """The networks that the weights may be: one where the file or its owner says which, else one for each place of batch norm.

    Raises BadInput for what does not fit, for weights that are not finite, and where the file contradicts what was stated or
    its own names.
    """
    found = candidate.weights.network
    given = shapes_of(found)
    networks = {order: (trial, _network(trial, shape, classes)) for order, trial in _orders(job)}
    fits: dict[str | None, Match] = {}
    for order, (_, network) in networks.items():
        matched = match(shapes_of(network.state_dict()), given)
        if matched is not None:
            fits[order] = matched
            _load(job, network.state_dict(), {ours: found[theirs] for ours, theirs in matched.names.items()})
    if not fits:
        expected = shapes_of(next(iter(networks.values()))[1].state_dict())
        raise BadInput(f"{job.weights}: {explained(job.trial, job.source.name, shape, classes, expected, given)}")
    by_names = {order: matched for order, matched in fits.items() if matched.contradiction is None}
    if not by_names and job.stated.expect_clean is None:
        raise BadInput(
            f"{job.weights}: {next(iter(fits.values())).contradiction}; rename the tensors in the order in which they act, or "
            "give --expect-clean, the accuracy that they are known to have"
        )
    fits = by_names or fits
    if list(fits) == [None]:
        by: Mapping[str | None, str | None] = {None: None}
    else:
        by = _speaks_for(job, fits, given, networks["after"][1])
    return [Fitted(*networks[order], fits[order], order, reason) for order, reason in by.items()]


def told_by_images(ways: Sequence[Fitted], gaps: Sequence[float | None], activation: Choice) -> Sequence[Fitted]:
    """The one of two places of batch norm for which the statistics in the file are those that images give (`statistics_gap`),
    else the one behind an activation whose side of zero all of many running means are on; both where neither tells."""
    if len(ways) != 2 or None in gaps:
        return ways
    (nearer, near), (_, far) = sorted(zip(ways, gaps, strict=True), key=lambda one: one[1] or 0.0)
    assert near is not None
    assert far is not None
    if near <= CLOSE and 2 * near <= far:
        return [replace(nearer, norm_by="statistics")]
    (after,) = (way for way in ways if way.norm == "after")
    if norm_order.tells_after(after.network, *output_range(activation)):
        return [replace(after, norm_by="statistics")]
    return ways


def _orders(job: ImportJob) -> list[tuple[str | None, TrialSpec]]:
    """Where batch norm may stand, and the trial that says so; the place that was stated, if any, first."""
    options = dict(job.trial.architecture.options)
    usual = {entry.name: entry.default for entry in ARCHITECTURES[job.trial.architecture.name].parameters}
    if "norm" not in usual or not options["batch_norm"]:
        return [(None, job.trial)]
    options.pop("norm", None)
    made: list[tuple[str | None, TrialSpec]] = []
    for order in _ORDERS:
        placed = options if order == usual["norm"] else {**options, "norm": order}
        made.append((order, replace(job.trial, architecture=replace(job.trial.architecture, options=placed))))
    return sorted(made, key=lambda one: one[0] != job.stated.norm)


def _network(trial: TrialSpec, shape: tuple[int, int, int], classes: int) -> nn.Module:
    options = {key: value for key, value in trial.architecture.options.items() if key != "normalise"}
    return ARCHITECTURES[trial.architecture.name].build(shape, classes, factory(trial.activation), options)


def _speaks_for(
    job: ImportJob, fits: Mapping[str | None, Match], given: Mapping[str, tuple[int, ...]], behind: nn.Module
) -> dict[str | None, str | None]:
    """The places of batch norm that are left, each with what says so; `behind` is the network with norms after activations.

    A running mean that no output of the activation has is proof. What the statistics make of the data set's own images is
    `told_by_images`'s to say.
    """
    activation = job.trial.activation
    low, high = output_range(activation)
    exact = [order for order, matched in fits.items() if len(fits) == 1 or matched.by == "name"]
    named = exact[0] if exact else norm_order.numbering(next(iter(fits.values())), given)
    beyond = norm_order.impossible(behind, low, high, activation.name)
    if job.stated.norm is not None:
        if named not in (None, job.stated.norm):
            raise BadInput(
                f"{job.weights}: the names of its tensors put batch norm {named} the activation; "
                f"leave --set norm={job.stated.norm} out"
            )
        if job.stated.norm == "after" and beyond:
            raise BadInput(
                f"{job.weights}: {beyond}; is batch norm before it (--set norm=before), or is it another activation?"
            )
        return {job.stated.norm: "stated"}
    if beyond and named == "after":
        raise BadInput(
            f"{job.weights}: {beyond}, though by the names of its tensors batch norm comes after it; is it another activation "
            "(--activation)?"
        )
    if named is not None:
        return {named: "names"}
    if beyond:
        return {"before": "statistics"}
    return dict.fromkeys(fits)


def _load(job: ImportJob, state: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Copy into the tensors of `state`, in their precision."""
    for key, value in weights.items():
        target = state[key]
        if target.is_floating_point() != value.is_floating_point() or value.is_complex():
            raise BadInput(f"{job.weights}: {key} holds {_dtype(value)}, {_dtype(target)} expected")
        target.copy_(value)
    problem = foreign_weights.not_finite(state)
    if problem:
        raise BadInput(f"{job.weights}: {problem}")


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
