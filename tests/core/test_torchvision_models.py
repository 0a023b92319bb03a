"""torchvision's models: which there are, and what fitting makes of them."""

import contextlib

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from core.errors import BadInput
from core.events import Trained
from core.jobs.trial import run_trial
from core.lanes.lane import Lane
from core.models.activations import factory
from core.models.architectures import ARCHITECTURES, check
from core.models.architectures.torchvision_fit import fitted
from core.models.architectures.torchvision_models import NAMES, PREFIX
from core.models.pixel_model import build_model, trained_model
from core.records.choice import Choice
from core.registry import resolve_options
from core.study.resolve import mistakes
from core.training import checkpoints
from tests.conftest import plan_of, tiny
from tests.core.tape import Tape
from tests.core.test_recorded_training import refuse
from tests.core.test_training import job, one

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
        with contextlib.nullcontext() if "regnet" in name else META:  # it looks at numbers as it is built
            network = fitted(name, (1, side, side), 7, factory(Choice("tanh"))).eval()
        called = Called()
        with META, called, torch.no_grad():
            assert network.to(META)(torch.empty(2, 1, side, side)).shape == (2, 7)
        assert "tanh" in called.names
        assert called.names & FUNCTIONS <= {"tanh"} | GATES
    assert not any(isinstance(one, nn.ReLU | nn.GELU | nn.SiLU | nn.Hardswish) for one in network.modules())


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("vit_b_16", (3, 30, 30), "needs square images of a multiple of 4 pixels, its patches; these have 30×30"),
        ("vit_b_16", (3, 28, 32), "needs square images of a multiple of 4 pixels, its patches; these have 28×32"),
        ("vit_h_14", (3, 96, 96), "needs square images of a multiple of 14 pixels, its patches; these have 96×96"),
        ("maxvit_t", (3, 32, 32), "needs square images of a multiple of 224 pixels; these have 32×32"),
        ("inception_v3", (3, 70, 80), "needs images of at most 64 pixels, whose stem is fitted, or of at least 75"),
        ("inception_v3", (1, 20, 28), "needs images of at least 21×21 pixels; these have 20×28"),
    ],
)
def test_images_that_do_not_fit_are_refused_before_anything_is_built(name, shape, words):
    with pytest.raises(BadInput) as refused:
        check(choice(name), shape, "architectures[0]")
    assert str(refused.value).startswith(f"architectures[0]: torchvision:{name} {words}")


@pytest.mark.parametrize(
    ("name", "shape"),
    [("vit_b_16", (1, 28, 28)), ("vit_b_16", (3, 96, 96)), ("maxvit_t", (3, 224, 224)), ("inception_v3", (1, 21, 30))],
)
def test_images_that_fit_are_taken(name, shape):
    check(choice(name), shape, "architectures[0]")
    with META, torch.no_grad():
        assert fitted(name, shape, 4, factory(Choice("relu"))).eval()(torch.empty(2, *shape)).shape == (2, 4)


def test_a_slip_is_told_the_nearest_name(tmp_path):
    for given, near in (("torchvision:resnt50", "torchvision:resnet50"), ("googlenet", "torchvision:googlenet")):
        (found,) = mistakes(tiny(architectures=[given]), tmp_path)
        assert found.words == f"unknown architecture {given!r}; did you mean {near!r}?"
    (found,) = mistakes(tiny(architectures=["zzz"]), tmp_path)
    assert found.words.endswith("; known: kumar-cnn, keras-cnn, simplenet, mlp, lenet5, resnet18, inception")


def test_the_stem_is_fitted_to_small_images_and_left_alone_for_others():
    def network(name, *shape):
        with META:
            return fitted(name, shape, 5, factory(Choice("relu")))

    small, large = network("resnet18", 1, 28, 28), network("resnet18", 3, 96, 96)
    assert (small.conv1.in_channels, small.conv1.kernel_size, small.conv1.stride) == (1, (3, 3), (1, 1))
    assert isinstance(small.maxpool, nn.Identity)
    assert (large.conv1.kernel_size, large.conv1.stride) == ((7, 7), (2, 2))
    assert isinstance(large.maxpool, nn.MaxPool2d)
    assert small.fc.out_features == large.fc.out_features == 5
    assert network("convnext_tiny", 3, 32, 32).features[0][0].stride == (2, 2)
    assert network("vit_b_32", 1, 28, 28).encoder.pos_embedding.shape[1] == 7 * 7 + 1
    assert [isinstance(network("vgg11", 1, side, side).features[2], nn.Identity) for side in (28, 32)] == [True, False]
    assert network("vgg11", 1, 28, 28).classifier[0].in_features == 512
    assert network("vgg11", 1, 96, 96).classifier[0].in_features == 512 * 49
    assert not isinstance(
        network("squeezenet1_0", 1, 28, 28).classifier[2], nn.ReLU
    )  # its logits may be of either sign
    assert network("googlenet", 1, 28, 28).aux1 is None
    assert any(isinstance(one, nn.Dropout) for one in network("mobilenet_v3_small", 1, 28, 28).modules())


@pytest.mark.parametrize("initialisation", ["torch", "glorot"])
def test_a_trial_learns_recorded_and_is_built_again_from_its_weights(initialisation, tmp_path, cache):
    plan = plan_of(
        tiny(
            architectures=["torchvision:shufflenet_v2_x0_5"], optimizers=["adam"], activations=["silu"], seeds=[2],
            train_samples=96, test_samples=20,
            training={"epochs": 2, "batch_size": 32, "initialisation": initialisation},
        ),
        cache,
    )  # fmt: skip
    (trial,) = plan.trials
    tape = Tape()
    digests = []
    for number, lane in enumerate(
        (Lane(torch.device("cpu"), recorder=tape), Lane(torch.device("cpu"), recorder=refuse))
    ):
        with lane.entered():
            work = job(trial, plan, tmp_path / str(number), cache, attacks=False)
            trained = one(list(run_trial(work, lambda: False)), Trained)
        digests.append(trained.final_digest)
    assert digests[0] == digests[1]
    assert tape.replays == 2 * 3 - 1
    state = torch.load(trained.weights, weights_only=True)["model"]
    again = trained_model(trial, state, (1, 8, 8), 10)
    assert checkpoints.weights_digest(again.state_dict()) == trained.final_digest


def test_variants_that_share_a_seed_start_alike_and_another_seed_does_not(cache):
    plan = plan_of(
        tiny(architectures=["torchvision:resnet18"], optimizers=["adam"], activations=["relu", "tanh"], seeds=2), cache
    )
    images = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    digests = [checkpoints.weights_digest(build_model(trial, images, 10).state_dict()) for trial in plan.trials]
    assert digests[0] == digests[1] != digests[2] == digests[3]


def test_a_model_that_the_installed_torchvision_lacks_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr("torchvision.models.list_models", lambda **_: ["resnet18"])
    with pytest.raises(BadInput, match="the installed torchvision has no model 'resnet50'; a newer one may"):
        fitted("resnet50", (1, 8, 8), 10, factory(Choice("relu")))
