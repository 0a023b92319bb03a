"""torchvision's models: which there are, and what fitting makes of them."""

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from core.errors import BadInput
from core.models.activations import factory
from core.models.architectures import ARCHITECTURES, check
from core.models.architectures.torchvision_fit import fitted
from core.models.architectures.torchvision_models import NAMES, PREFIX
from core.models.pixel_model import build_model, trained_model
from core.records import Choice
from core.registry import resolve_options
from core.study.resolve import mistakes
from tests.conftest import plan_of, tiny

torch.set_num_threads(1)
META = torch.device("meta")
ONE_OF_EACH = (
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "mnasnet0_5", "mobilenet_v2",
    "mobilenet_v3_small", "regnet_y_400mf", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_0", "swin_t", "swin_v2_t", "vgg11",
    "vit_b_32",
)  # fmt: skip
GATES = {"sigmoid", "hardsigmoid"}
FUNCTIONS = {
    "relu", "relu_", "relu6", "elu", "selu", "silu", "gelu", "celu", "hardtanh", "hardswish", "hardsigmoid", "sigmoid", "tanh",
    "softplus", "leaky_relu", "mish",
}  # fmt: skip


class Called(TorchFunctionMode):
    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.names.add(getattr(function, "__name__", ""))
        return function(*args, **(kwargs or {}))


def choice(name):
    return Choice(PREFIX + name, resolve_options(ARCHITECTURES[PREFIX + name], {}, "test"))


def test_the_names_are_torchvisions():
    from torchvision import models

    assert list(NAMES) == models.list_models(module=models)
    assert list(ARCHITECTURES.unlisted) == [PREFIX + name for name in NAMES]
    assert PREFIX + "resnet18" in ARCHITECTURES
    assert PREFIX + "resnet18" not in list(ARCHITECTURES)


def test_every_family_is_tried_here():
    families = {name.partition("_")[0].rstrip("0123456789") for name in NAMES}
    assert families - {name.partition("_")[0].rstrip("0123456789") for name in ONE_OF_EACH} == {
        "maxvit",
        "resnext",
        "wide",
    }


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_every_activation_is_the_studys_and_the_ends_fit(name):
    """On the smallest images it says it takes, on MNIST's and on larger ones, with no memory for weights."""
    smallest = ARCHITECTURES[PREFIX + name].smallest
    for side in (smallest, 28, 96):
        with META:
            network = fitted(name, (1, side, side), 7, factory(Choice("tanh"))).eval()
            called = Called()
            with called, torch.no_grad():
                assert network(torch.empty(2, 1, side, side)).shape == (2, 7)
        assert "tanh" in called.names
        assert called.names & FUNCTIONS <= {"tanh"} | GATES
    assert not any(isinstance(one, nn.ReLU | nn.GELU | nn.SiLU | nn.Hardswish) for one in network.modules())
