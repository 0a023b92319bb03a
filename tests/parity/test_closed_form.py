"""Minimum-norm attacks on a linear model, whose distance to the boundary is |margin| / ‖w‖ of the dual norm."""

import numpy as np
import pytest
import torch

from core.attacks import ATTACKS, resolve
from core.engine.geometry import project
from core.engine.victim import Victim, under_attack
from core.evaluation.evaluate import evaluate
from tests.core.linear import Linear, grey_images, samples_of

DUAL = {"linf": 1, "l2": 2}


@pytest.fixture(scope="module")
def linear():
    """The model, 100 images away from the box, and the size of their margins."""
    model = Linear(0)
    images = grey_images(100, 1)
    margin = model.margin(images.float() / 255).detach()
    return model, samples_of(images, (margin > 0).long()), margin.abs()


def share_of_the_optimum(name, norm, linear, **options):
    model, tests, margin = linear
    spec = resolve(name, {"norm": norm, **options}, "attack")
    *_, event = evaluate(model, tests, spec, np.ones(len(tests), bool), crafting="fp32")
    (ledger,) = event.ledgers
    ratio = ledger.distances / (margin / model.w.detach().norm(p=DUAL[norm])).numpy()
    print(
        f"\n{name} {norm}: {ratio.min():.5f} to {ratio.max():.5f} times the closed form, median {np.median(ratio):.5f}"
    )
    return ratio


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_fgsm_breaks_a_thousandth_beyond_the_boundary_and_not_before(norm, linear):
    model, tests, margin = linear
    x, y = tests.pixels(torch.arange(len(tests))), tests.labels
    spec = resolve("fgsm", {"eps": [0.1], "norm": norm}, "attack")
    critical = margin / model.w.detach().norm(p=DUAL[norm])
    with under_attack(model):
        step = ATTACKS["fgsm"].direction(Victim(model), x, y, torch.arange(len(x)), 0, spec)
        for share, falls in ((0.999, False), (1.001, True)):
            eps = critical * share
            adversarial = project(x + eps.view(-1, 1, 1, 1) * step, x, eps, norm)
            wrong = model(adversarial).argmax(dim=1) != y
            decided = margin > 1e-3  # nearer ones drown in fp32's rounding
            assert bool((wrong == falls)[decided].all())


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_fmn_finds_the_boundary_within_a_thousandth(norm, linear):
    ratio = share_of_the_optimum("fmn", norm, linear, steps=200)
    assert ratio.min() >= 1 - 1e-3
    assert ratio.max() <= 1 + 1e-3


def test_cw_finds_the_boundary_within_a_hundredth(linear):
    """Farther than twice the length of one of Adam's steps: nearer, it walks to and fro over the boundary."""
    lr = 0.01
    model, _, margin = linear
    ratio = share_of_the_optimum("cw", "l2", linear, steps=300, search_steps=8, lr=lr)
    decided = (margin / model.w.detach().norm()).numpy() > 2 * lr
    assert decided.mean() > 0.6
    assert ratio.min() >= 1 - 1e-3
    assert ratio[decided].max() <= 1.01
    assert np.median(ratio) <= 1.005


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_deepfool_goes_no_farther_than_its_overshoot(norm, linear):
    """One step to the boundary, longer by the overshoot at most; 1e-4 is added so that it never stops on the boundary."""
    overshoot = 0.02
    model, _, margin = linear
    ratio = share_of_the_optimum("deepfool", norm, linear, overshoot=overshoot)
    optimum = (margin / model.w.detach().norm(p=DUAL[norm])).numpy()
    assert ratio.min() >= 1 - 1e-3
    assert (ratio <= (1 + overshoot) * (1 + 1e-4 / optimum) * (1 + 1e-3)).all()
