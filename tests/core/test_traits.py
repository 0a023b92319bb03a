"""Traits of models whose margins, slopes, activations and weights are known on paper."""

from __future__ import annotations

import math
from dataclasses import astuple, fields

import numpy as np
import pytest
import torch
from torch import nn

from core.evaluation.evaluate import clean_pass
from core.evaluation.traits import measure
from core.traits import TRAITS, Measured
from tests.core.linear import Linear, grey_images, samples_of, small_net

COUNT = 60


class Sums(nn.Module):
    """Two logits of the mean pixel m of an image: (a(1 − 2m), a(2m − 1)) behind a hidden layer whose units are known."""

    def __init__(self, activation: nn.Module, scale: float) -> None:
        super().__init__()
        self.first = nn.Linear(16, 4, bias=True)
        with torch.no_grad():
            self.first.weight.copy_(torch.tensor([1.0, -1.0, 0.0, 0.0])[:, None].expand(4, 16) / 16.0)
            self.first.bias.copy_(torch.tensor([0.0, 0.0, 100.0, -100.0]))
        self.activation = activation
        self.scale = scale

    def forward(self, x):
        hidden = self.activation(self.first(x.flatten(1)))
        tilt = self.scale * (2.0 * x.flatten(1).mean(dim=1) - 1.0)
        return torch.stack([-tilt, tilt], dim=1) + 0.0 * hidden.sum(dim=1, keepdim=True)


def traits_of(model, tests, classes=2, **options) -> Measured:
    return measure(model, tests, clean_pass(model, tests, classes), **options)


def test_margins_slopes_and_distances_of_a_linear_model_are_those_on_paper():
    model, images = Linear(0), grey_images(COUNT, 1)
    labels = torch.arange(COUNT) % 2
    found = traits_of(model, samples_of(images, labels))
    value = model.margin(images.to(torch.float32) / 255.0).detach().double()
    margins = torch.where(labels == 1, value, -value)
    right = margins[margins > 0]
    assert 0 < len(right) < COUNT
    w = model.w.detach().double()
    assert found.margin == pytest.approx(float(np.median(right.numpy())), rel=1e-5)
    assert found.margin_mean == pytest.approx(float(right.mean()), rel=1e-5)
    assert found.logit_scale == pytest.approx(float(value.abs().mean()) / 2, rel=1e-5), (
        "of two logits half their distance"
    )
    assert found.relative_margin == pytest.approx(2.0, rel=1e-5)
    assert found.gradient_l1 == pytest.approx(float(w.abs().sum()), rel=1e-5)
    assert found.gradient_l2 == pytest.approx(float(w.norm()), rel=1e-5)
    assert found.boundary == pytest.approx(found.margin / found.gradient_l1, rel=1e-5)
    assert (found.saturated, found.sparsity, found.dead) == (None, None, None), "it has no activations"


def test_units_are_counted_that_are_flat_zero_or_dead():
    images, labels = grey_images(COUNT, 2), torch.zeros(COUNT, dtype=torch.long)
    tests = samples_of(images, labels)
    relu = traits_of(Sums(nn.ReLU(), -1.0), tests)
    assert (relu.saturated, relu.sparsity, relu.dead) == (0.0, 0.5, 0.5), "of four units two are never above 0"
    sigmoid = traits_of(Sums(nn.Sigmoid(), -1.0), tests)
    assert sigmoid.saturated == 0.5, "at ±100"
    assert (sigmoid.sparsity, sigmoid.dead) == (0.25, 0.25), "1 / (1 + exp(100)) is less than any normal float"
    assert traits_of(Sums(nn.ReLU6(), -1.0), tests).saturated == 0.0, (
        "a rectifier, though torch derives it from hardtanh"
    )


def test_weights_are_measured_as_matrices():
    torch.manual_seed(3)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.PReLU(), nn.Flatten(), nn.Linear(12, 2))
    found = traits_of(model, samples_of(grey_images(COUNT, 4), torch.arange(COUNT) % 2))
    weights = [model[0].weight.detach().double().flatten(1), model[4].weight.detach().double()]
    assert found.weight_norm == pytest.approx(math.sqrt(sum(float((one**2).sum()) for one in weights)))
    norms = [float(torch.linalg.matrix_norm(one, ord=2)) for one in weights]
    assert found.spectral_norm == pytest.approx(math.sqrt(norms[0] * norms[1]))


def test_neither_batch_size_nor_order_changes_what_is_measured():
    model, images = small_net(), grey_images(COUNT, 5)
    labels = model.eval()(images / 255.0).argmax(dim=1)
    labels[::7] = (labels[::7] + 1) % 3
    whole = traits_of(model, samples_of(images, labels), 3)
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(0))
    model.train()
    others = [
        traits_of(model, samples_of(images, labels), 3, batch_size=7),
        traits_of(model, samples_of(images[order], labels[order], order), 3, batch_size=13),
    ]
    for other in others:
        assert astuple(other) == pytest.approx(astuple(whole), rel=1e-5)
    assert all(module.training for module in model.modules()), "as before"
    assert not any(module._forward_hooks for module in model.modules())


def test_without_a_rightly_classified_image_only_logits_and_weights_can_be_said():
    found = traits_of(Sums(nn.Tanh(), 1.0), samples_of(grey_images(COUNT, 6) * 0, torch.ones(COUNT, dtype=torch.long)))
    known = {one.name for one in fields(Measured) if getattr(found, one.name) is not None}
    assert known == {"logit_scale", "weight_norm", "spectral_norm"}


def test_a_model_without_slope_is_at_no_distance():
    flat = Sums(nn.ReLU(), 0.0)
    found = traits_of(flat, samples_of(grey_images(COUNT, 7), torch.zeros(COUNT, dtype=torch.long)))
    assert (found.margin, found.gradient_l1, found.relative_margin, found.boundary) == (0.0, 0.0, None, None)


def test_every_field_is_described():
    assert {one.name for one in fields(Measured)} == set(TRAITS) - {"training_loss", "clean_accuracy"}
