"""The losses that attacks ascend: the cross-entropy in a form whose slope survives fp32, and what its scale may do."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from core.attacks import ATTACKS, resolve
from core.attacks.pgd import mean_one
from core.engine import geometry
from core.engine.losses import LOSSES, lifted, log_odds
from core.engine.victim import Victim, under_attack
from core.training.defenses.free import sloping_cross_entropy
from core.training.defenses.inner import loss_gradient
from tests.core.linear import small_net

torch.set_num_threads(1)


def logits_of(seed, scale, classes=10, rows=6):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(rows, classes, generator=generator, dtype=torch.float64) * scale
    return z, torch.randint(0, classes, (rows,), generator=generator)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.floats(1e-3, 100.0), st.integers(2, 12))
def test_the_cross_entropy_is_softplus_of_the_log_odds_and_rises_along_the_same_direction(seed, scale, classes):
    z, y = logits_of(seed, scale, classes)
    assert torch.allclose(
        functional.softplus(log_odds(z, y), threshold=1e9), functional.cross_entropy(z, y, reduction="none"), atol=1e-9
    )
    slopes = []
    for loss in (lambda z: functional.cross_entropy(z, y, reduction="none"), lambda z: log_odds(z, y)):
        leaf = z.clone().requires_grad_()
        slopes.append(torch.autograd.grad(loss(leaf).sum(), leaf)[0])
    usual, ours = slopes
    there = usual.abs().amax(dim=1) > 1e-9  # where float64 has not lost it either
    unit = [slope[there] / slope[there].norm(dim=1, keepdim=True) for slope in (usual, ours)]
    assert torch.allclose(*unit, atol=1e-6)


def test_fgsm_can_be_asked_for_the_slope_that_vanishes():
    """Where a net is sure of its classes the usual cross-entropy finds fewer mistakes; where it is not, the same ones."""
    net = small_net()
    x = torch.rand(60, 1, 4, 4, generator=torch.Generator().manual_seed(5))
    y = net(x).argmax(dim=1)
    left = {}
    for scale in (1.0, 300.0):
        scaled = nn.Sequential(net, Times(scale))
        for loss in ("ce", "usual"):
            spec = resolve("fgsm", {"eps": [0.1], "loss": loss}, "test")
            with under_attack(scaled):
                step = ATTACKS["fgsm"].direction(Victim(scaled, evens=True), x, y, torch.arange(60), 0, spec)
            left[scale, loss] = int((net((x + 0.1 * step).clamp(0, 1)).argmax(dim=1) == y).sum())
    assert abs(left[1.0, "ce"] - left[300.0, "ce"]) <= 2, "a factor changes nothing but by rounding"
    assert left[300.0, "usual"] > left[300.0, "ce"] + 2


@pytest.mark.parametrize("margin", [1.0, 10.0, 17.0, 30.0, 100.0, 5_000.0])
def test_its_slope_at_the_true_class_does_not_vanish_in_fp32(margin):
    """The usual form loses it from a margin of about 17 on: 1 − p rounds to 0."""
    z = torch.tensor([[margin, 0.0, -1.0]])
    y = torch.tensor([0])
    leaf = z.clone().requires_grad_()
    (ours,) = torch.autograd.grad(log_odds(leaf, y).sum(), leaf)
    assert ours[0, 0] == -1.0
    assert float(ours.sum()) == pytest.approx(0.0, abs=1e-6)
    leaf = z.clone().requires_grad_()
    (usual,) = torch.autograd.grad(functional.cross_entropy(leaf, y), leaf)
    assert (usual[0, 0] == 0.0) == (margin >= 17.0)


@pytest.mark.parametrize("name", ["fgsm", "bim", "mi-fgsm", "pgd", "apgd"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_confident_net_in_fp32_falls_as_it_does_in_float64(name, norm):
    """Logits × 200: in fp32 nothing is left of the usual cross-entropy at the true class."""
    net = small_net().eval()

    class Sure(nn.Module):
        def forward(self, x):
            return 200.0 * net(x)

    x = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        y = net(x).argmax(dim=1)
    eps = 0.08 if norm == "linf" else 0.25
    spec = resolve(name, {"eps": [eps], "norm": norm}, "attack")
    fallen = []
    for double in (False, True):
        net.double() if double else net.float()
        model, image = Sure(), x.double() if double else x
        with under_attack(model):
            if ATTACKS[name].single_step:
                step = ATTACKS[name].direction(Victim(model), image, y, torch.arange(40), 0, spec)
                fallen.append(model(geometry.project(image + eps * step, image, eps, norm)).argmax(dim=1) != y)
            else:
                fallen.append(ATTACKS[name].iterate(Victim(model), image, y, torch.arange(40), 0, eps, spec).broken)
    assert bool(fallen[0].any())
    assert int((fallen[0] != fallen[1]).sum()) <= 1


def test_what_a_saturated_layer_takes_below_the_smallest_float_keeps_its_sign():
    """A factor of 1e-25 twice: fp32 ends at 1e-38."""

    class Faint(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * 1e-25

    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = small_net()

        def forward(self, x):
            return self.net(Faint.apply(Faint.apply(x)) if self.faint else x)

    model = Deep().eval()
    x, y = torch.rand(5, 1, 4, 4), torch.arange(5) % 3
    signs = []
    torch.set_flush_denormal(True)
    try:
        for model.faint in (False, True):
            signs.append(Victim(model).ascent(x, y)[0].sign())
        plain, _ = Victim(model).gradient(x, y)
    finally:
        torch.set_flush_denormal(False)
    assert float(plain.abs().max()) == 0.0
    assert torch.equal(*signs)
    assert float(signs[0].abs().sum()) > 0
    assert lifted(log_odds) is lifted(log_odds), "recorded passes are told apart by their loss"


@pytest.mark.parametrize("size", [1e-38, 1e-30, 1e-12, 1.0, 1e25, 1e37])
def test_an_l2_step_has_its_full_length_however_small_or_large_the_gradient(size):
    gradient = torch.randn(4, 1, 5, 5, generator=torch.Generator().manual_seed(2))
    gradient[3] = 0.0
    reference = geometry.ascent_direction(gradient, "l2")
    step = geometry.ascent_direction(gradient / gradient.abs().max() * size, "l2")
    assert torch.allclose(step.flatten(1).norm(dim=1), torch.tensor([1.0, 1.0, 1.0, 0.0]), atol=1e-5)
    assert torch.allclose(step, reference, atol=1e-4)
    average = mean_one(gradient / gradient.abs().max() * size).abs().flatten(1).mean(dim=1)
    assert torch.allclose(average, torch.tensor([1.0, 1.0, 1.0, 0.0]), atol=1e-4)


@pytest.mark.parametrize("power", [-20, -6, 6, 20])
@pytest.mark.parametrize("loss", ["margin", "dlr", "targeted"])
def test_losses_of_differences_do_not_see_the_scale_of_the_logits(power, loss):
    """A power of two leaves every bit but the exponent: the very same images fall, but for the 1e-12 in DLR's denominator."""
    net = small_net().eval()
    x = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        y = net(x).argmax(dim=1)
    attack = resolve("pgd" if loss != "targeted" else "apgd", {"eps": [0.12], "loss": loss, "steps": 12}, "attack")
    ends = []
    for scale in (1.0, 2.0**power):
        model = nn.Sequential(net, Times(scale))
        with under_attack(model):
            ends.append(ATTACKS[attack.name].iterate(Victim(model), x, y, torch.arange(40), 0, 0.12, attack).broken)
    assert int((ends[0] != ends[1]).sum()) <= (0 if loss == "margin" else 1)
    assert 0 < int(ends[0].sum()) < 40


class Times(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, z):
        return self.scale * z


def test_every_loss_has_a_value_for_each_sample():
    z, y = logits_of(1, 3.0)
    for name, loss in LOSSES.items():
        value = loss(z, y, (y + 1) % 10) if name == "targeted" else loss(z, y)
        assert value.shape == (6,)
        assert bool(torch.isfinite(value).all())


# --- the same inside adversarial training ---


def test_crafting_in_training_sees_the_slope_of_a_confident_net():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3), Times(500.0)).eval()
    x = torch.rand(8, 1, 4, 4)
    with torch.no_grad():
        y = net(x).argmax(dim=1)
    gradient = loss_gradient(net, x, y)
    assert bool((gradient.flatten(1) != 0).any(dim=1).all())
    leaf = x.clone().requires_grad_()
    (usual,) = torch.autograd.grad(functional.cross_entropy(net(leaf), y, reduction="sum"), leaf)
    assert bool((usual.flatten(1) == 0).all(dim=1).any()), "the canary's own fault: nothing would be crafted"


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_the_loss_of_free_at_is_the_cross_entropy(smoothing):
    z, y = logits_of(4, 5.0)
    usual = functional.cross_entropy(z, y, label_smoothing=smoothing)
    assert float(sloping_cross_entropy(z, y, smoothing)) == pytest.approx(float(usual), rel=1e-8)
    sure = torch.tensor([[40.0, 0.0]], requires_grad=True)
    (slope,) = torch.autograd.grad(sloping_cross_entropy(sure, torch.tensor([0]), 0.0), sure)
    assert float(slope[0, 0]) == pytest.approx(-math.exp(-40.0), rel=1e-4)
    assert np.isfinite(float(slope.sum()))
