"""Small nets trained in a second, on real digits, and both sides' attacks on the same images. Libraries that are absent
are skipped by name: `pip install -e ".[parity]"` brings them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from core import datasets
from core.attacks import resolve
from core.datasets.subsets import samples_digest
from core.evaluation.evaluate import TestSet, clean_outcome, evaluate
from core.events import EvaluationFinished

torch.set_num_threads(1)


@dataclass(frozen=True)
class Subject:
    """A trained net and the test images that it gets right, so that every share is one of robust accuracy alone."""

    model: nn.Module
    images: Tensor
    """uint8 [n, 1, 8, 8]."""
    y: Tensor

    @property
    def x(self) -> Tensor:
        """float32 pixels in [0, 1]."""
        return self.images.to(torch.float32) / 255.0

    def first(self, count: int) -> Subject:
        return Subject(self.model, self.images[:count], self.y[:count])

    def attack(self, name: str, **options: Any) -> EvaluationFinished:
        """Our attack on all images, in fp32."""
        indices = np.arange(len(self.y))
        tests = TestSet(self.images, self.y, torch.from_numpy(indices), samples_digest(indices), None)
        correct = clean_outcome(self.model, tests, 10).correct
        *_, event = evaluate(self.model, tests, resolve(name, options, "attack"), correct, crafting="fp32")
        assert isinstance(event, EvaluationFinished)
        return event

    def right(self, x: Tensor) -> Tensor:
        """[n] bool: still classified rightly."""
        with torch.no_grad():
            return self.model(x).argmax(dim=1) == self.y


def small_cnn(seed: int) -> nn.Module:
    """SiLU has a slope everywhere, so no gradient is 0 and no sign depends on rounding."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1), nn.SiLU(), nn.Conv2d(12, 24, 3, stride=2), nn.SiLU(), nn.Flatten(),
        nn.Linear(24 * 9, 48), nn.SiLU(), nn.Linear(48, 10),
    )  # fmt: skip


@pytest.fixture(scope="session")
def subject(cache) -> Subject:
    """Trained on the digits for 10 epochs."""
    arrays = datasets.load(datasets.parse_source("digits", cache), cache, cache)
    x = torch.from_numpy(np.array(arrays.train_images)).to(torch.float32) / 255.0
    y = torch.from_numpy(np.array(arrays.train_labels))
    model = small_cnn(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(10):
        for batch in torch.randperm(len(y), generator=generator).split(64):
            optimizer.zero_grad()
            functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
    model.eval().requires_grad_(False)
    images, labels = (torch.from_numpy(np.array(part)) for part in (arrays.test_images, arrays.test_labels))
    whole = Subject(model, images, labels)
    right = whole.right(whole.x)
    assert float(right.float().mean()) > 0.95
    return Subject(model, images[right], labels[right])


@pytest.fixture(scope="session")
def foolbox() -> Any:
    return pytest.importorskip("foolbox", reason="foolbox is not installed; it is in the extra `parity`")


@pytest.fixture(scope="session")
def pyautoattack() -> Any:
    return pytest.importorskip("pyautoattack", reason="pyautoattack is not installed; it is in the extra `parity`")
