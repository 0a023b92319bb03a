"""What attacks find in a lane is what they find eagerly, and what counts as fallen is wrong in true fp32."""

import contextlib
import math

import numpy as np
import pytest
import torch

from core.attacks import ATTACKS
from core.lanes.lane import open_lane
from core.precision import multiplying_in
from tests.benchmarks import nets

TIES = 0.01
"""Share of the samples, and two of them in any case, that may come out otherwise: a batch of another shape rounds otherwise,
and forty steps of a sign carry a last bit far where a gradient is next to 0."""
DISTANCE = 0.02
"""Relative difference up to which two distances of a sample are the same."""

# So few steps that some fall and some stand, and that all of them together take seconds.
OPTIONS = {
    "noise": {},
    "fgsm": {},
    "bim": {"steps": 10},
    "mi-fgsm": {"steps": 10},
    "pgd": {"steps": 10, "restarts": 2},
    "apgd": {"steps": 20},
    "cw": {"steps": 20},
    "deepfool": {},
    "fmn": {"steps": 20},
    "square": {"queries": 100},
    "standard": {"queries": 50},
}
RADII = [0.1, 0.2]


@pytest.fixture(scope="session")
def few(card, net):
    return nets.on(net, card.sized(200, 8))


def attacked(few, card, name, crafting="auto", *, lane):
    subject = nets.on(few, card.sized(50, 2)) if ATTACKS[name].ensemble is not None else few
    radii = {} if ATTACKS[name].minimum_norm else {"eps": RADII}
    with open_lane(card.device).entered() if lane else contextlib.nullcontext():
        _, event = nets.attacked(subject, name, {**radii, **OPTIONS[name]}, crafting)
    return event


def test_every_attack_is_tried():
    assert list(OPTIONS) == list(ATTACKS)


@pytest.mark.gpu(seconds=30)
@pytest.mark.parametrize("name", list(OPTIONS))
def test_an_attack_finds_in_a_lane_what_it_finds_eagerly(name, card, few):
    eager, captured = (attacked(few, card, name, lane=lane) for lane in (False, True))
    for one, other in zip(eager.ledgers, captured.ledgers, strict=True):
        allowed = max(2, math.ceil(TIES * len(one.survived)))
        differ = int((one.survived != other.survived).sum())
        assert differ <= allowed, f"{differ} of {len(one.survived)} samples at ε {one.eps}"
        if one.distances is not None:
            apart = ~np.isclose(one.distances, other.distances, rtol=DISTANCE, atol=1e-4)
            assert int(apart.sum()) <= allowed, f"{int(apart.sum())} of {len(one.survived)} distances"
    assert [one.eps for one in eager.ledgers] == [one.eps for one in captured.ledgers]


@pytest.mark.gpu(seconds=30)
@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "noise"])
@pytest.mark.parametrize("crafting", ["fp32", "tf32"])
def test_what_fell_is_wrong_in_true_fp32_and_within_its_ball(name, crafting, card, few, monkeypatch):
    """All that fell, not only the few that are kept for eyes, asked again of the model itself, eagerly."""
    monkeypatch.setattr("core.evaluation.sweep._EXAMPLES", 10**9)
    event = attacked(few, card, name, crafting, lane=True)
    assert event.examples, "nothing fell, so nothing is shown; choose larger radii"
    images = torch.from_numpy(np.stack([one.adversarial for one in event.examples])).to(card.device)
    labels = torch.tensor([one.label for one in event.examples], device=card.device)
    with torch.no_grad(), multiplying_in("fp32"):
        logits = few.model(images)
    right = logits.gather(1, labels[:, None])[:, 0]
    margin = right - logits.scatter(1, labels[:, None], -math.inf).amax(dim=1)
    # In a batch of another size the last bits are others: a tie may go either way.
    assert float(margin.max()) <= 1e-4 * float(logits.abs().max())
    assert float(images.min()) >= 0.0
    assert float(images.max()) <= 1.0
    for one in event.examples:
        if one.eps is not None and event.attack.norm == "linf":
            assert float(np.abs(one.adversarial - one.clean).max()) <= one.eps + 1e-5
