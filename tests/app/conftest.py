import pytest

from app.worker import visible
from app.worker.torch_build import TorchBuild
from tests.app.imaginary import Imaginary


@pytest.fixture
def driver(monkeypatch):
    """Three imaginary GPUs beside a torch that can use them."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(visible, "installed_torch", lambda: TorchBuild("2.9.0+cu130", (13, 0)))
    return Imaginary(monkeypatch)
