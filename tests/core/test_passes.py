"""The seam of gradient passes: recorded ones against eager ones, matrix products against oneDNN, a GPU's habits on the CPU."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from core.attacks import ATTACKS, resolve
from core.engine.buckets import fitting, power_of_two, sized
from core.engine.losses import dlr_targeted, log_odds, margin
from core.engine.passes import gradient_pass, with_matrix_input_gradients
from core.engine.victim import NonFiniteLogits, Victim, under_attack
from core.evaluation.evaluate import evaluate
from core.lanes.lane import Lane
from core.precision import in_force
from tests.core.linear import samples_of, small_net
from tests.core.tape import Tape

torch.set_num_threads(1)
CPU = torch.device("cpu")


def batch(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 1, 4, 4, generator=generator), torch.randint(0, 3, (count,), generator=generator)


def in_lane(recorder):
    return Lane(CPU, recorder=recorder).entered()


def test_recorded_passes_give_what_eager_ones_give_whatever_the_batch():
    model = small_net().eval()
    tape = Tape()
    victim, lane = Victim(model), Lane(CPU, recorder=tape)
    for _ in range(3):  # a size is recorded the third time
        for count in (3, 8, 5, 20, 32, 17):
            x, y = batch(count, seed=count)
            for loss, labels in ((log_odds, (y,)), (margin, (y,)), (dlr_targeted, (y, (y + 1) % 3))):
                with under_attack(model), lane.entered():
                    ours = victim.gradient(x, labels[0], loss, *labels[1:])
                theirs = gradient_pass(model, "fp32", CPU)(x, loss, labels)
                for mine, other in zip(ours, theirs, strict=True):
                    assert torch.allclose(mine, other, atol=1e-6)
                    assert mine.shape == other.shape
            with under_attack(model), lane.entered():
                mine = victim.logits(x)
            with torch.no_grad():
                assert torch.allclose(mine, model(x), atol=1e-6)
    assert tape.captures == 3 * 3 + 2  # 8, 20 and 32 rows for each of three losses; 8 and 32 for logits alone
    assert victim.notes == []
    assert victim.forward_passes == 3 * 4 * (3 + 8 + 5 + 20 + 32 + 17)


def test_results_of_one_replay_are_not_overwritten_by_the_next():
    victim, tape = Victim(small_net().eval()), Tape()
    x, y = batch(6)
    with in_lane(tape):
        for _ in range(3):
            first, _ = victim.gradient(x, y)
        assert tape.replays == 1
        kept = first.clone()
        victim.gradient(1 - x, y)
        assert tape.replays == 2
    assert torch.equal(first, kept)


def test_a_model_that_cannot_be_recorded_runs_eagerly_and_says_so():
    def refuse(work):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    victim = Victim(small_net().eval())
    x, y = batch(5)
    with in_lane(refuse):
        for _ in range(4):
            ours, _ = victim.gradient(x, y)
    theirs, _ = Victim(victim.model).gradient(x, y)
    assert torch.equal(ours, theirs)
    assert victim.notes == ["passes ran without CUDA graphs: operation not permitted when stream is capturing"]


def test_out_of_memory_while_recording_is_passed_on_so_that_the_batch_is_halved():
    def exhausted(work):
        raise torch.OutOfMemoryError("too much")

    victim = Victim(small_net())
    x, y = batch(4)
    with in_lane(exhausted):
        victim.gradient(x, y)
        victim.gradient(x, y)
        with pytest.raises(torch.OutOfMemoryError):
            victim.gradient(x, y)
    assert victim.notes == []


def test_true_fp32_is_recorded_with_its_precision():
    """A confirmation is a replay, and needs nobody's turn at the process's setting."""
    model, tape = Flags(small_net()).eval(), Tape()
    victim = Victim(model, "tf32")
    x, y = batch(6)
    with in_lane(tape):
        for _ in range(2):
            victim.confirm(x, x, y, 0.1, "linf")
        model.seen.clear()
        for _ in range(3):
            victim.confirm(x, x, y, 0.1, "linf")
    assert model.seen == [("forward", False, False)]  # while it was recorded
    assert tape.captures == 1
    assert tape.replays == 3


def test_hooks_see_an_observed_pass_in_a_lane_that_records():
    model, seen = small_net().eval(), []
    victim = Victim(model)
    x, _ = batch(6)
    with in_lane(Tape()):
        for _ in range(4):
            victim.logits(x)
        model[0].register_forward_hook(lambda *given: seen.append(float(given[2].sum())))
        victim.observed(x)
        victim.logits(x)
    assert len(seen) == 1
    assert victim.notes == []


@pytest.mark.parametrize("rows", range(1, 300, 7))
def test_sizes_are_few_and_hold_the_batch(rows):
    assert rows <= power_of_two(rows) <= max(8, 2 * rows)
    assert power_of_two(rows) & (power_of_two(rows) - 1) == 0
    assert rows <= sized(rows) <= max(8, 1.25 * rows)
    assert sized(sized(rows)) == sized(rows)
    assert fitting(rows, []) == sized(rows)
    assert fitting(rows, [rows - 1, int(1.2 * rows), 2 * rows]) == int(1.2 * rows)
    assert fitting(rows, [2 * rows]) == sized(rows)


def test_sizes_between_two_powers_are_four():
    assert {sized(rows) for rows in range(65, 129)} == {80, 96, 112, 128}


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(8, 2, 3), (3, 1, 1), (5, 3, 0), ((3, 2), (1, 2), (0, 1))])
def test_matrix_products_are_the_input_gradient_of_a_convolution(channels, kernel, stride, padding):
    torch.manual_seed(0)
    layer = nn.Conv2d(channels, 7, kernel, stride, padding).double()
    model = nn.Sequential(layer, nn.Tanh(), nn.Flatten(), nn.LazyLinear(3).double()).double()
    x = torch.rand(5, channels, 13, 14, dtype=torch.float64)
    model(x)
    twin = with_matrix_input_gradients(model)
    assert twin is not model
    assert type(model[0]) is nn.Conv2d  # the model itself is left alone
    for one in (model, twin):
        for parameter in one.parameters():
            parameter.requires_grad_(False)
    found = []
    for one in (model, twin):
        leaf = x.clone().requires_grad_()
        found.append(
            torch.autograd.grad(functional.cross_entropy(one(leaf), torch.zeros(5, dtype=torch.long)), leaf)[0]
        )
    assert torch.allclose(*found, atol=1e-12)


def test_what_does_not_pay_is_left_as_it_is():
    wide = nn.Sequential(nn.Conv2d(16, 4, 3, stride=2), nn.Flatten())
    assert with_matrix_input_gradients(wide) is wide
    grouped = nn.Sequential(nn.Conv2d(4, 4, 3, groups=2, stride=2), nn.Flatten())
    assert with_matrix_input_gradients(grouped) is grouped
    alone = nn.Conv2d(1, 4, 3, stride=2)
    assert with_matrix_input_gradients(alone)(torch.rand(1, 1, 5, 5)).shape == (1, 4, 2, 2)


class Flags(nn.Module):
    """Notes in which precision a GPU would multiply at each forward and backward pass."""

    seen: ClassVar = []  # of the class: on the CPU gradients are taken through a copy

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        if x.requires_grad:
            x.register_hook(lambda gradient: self.seen.append(("backward", *tf32())) or gradient)
        self.seen.append(("forward", *tf32()))
        return self.net(x)


def tf32():
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize("around", [True, False])
def test_fp32_is_true_fp32_and_tf32_is_for_gradients_alone(around, monkeypatch):
    """Whatever is in force around it: torch's own default rounds the factors of convolutions."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", around)
    model = Flags(small_net()).eval()
    x, y = batch(6)
    for crafting, rounded in (("fp32", False), ("tf32", True)):
        model.seen.clear()
        victim = Victim(model, crafting)
        victim.ascent(x, y)
        assert model.seen == [("forward", rounded, rounded), ("backward", rounded, rounded)]
        model.seen.clear()
        victim.logits(x)
        victim.confirm(x, x, y, 0.1, "linf")
        victim.jacobian(x, y[:, None])
        victim.in_fp32().gradient(x, y)
        assert not any(flag for _, *flags in model.seen for flag in flags)
    assert torch.backends.cudnn.allow_tf32 is around
    assert in_force("fp32") == {"tf32_convolutions": False, "tf32_products": False}
    assert in_force("tf32") == {"tf32_convolutions": True, "tf32_products": True}


def test_what_a_short_precision_leaves_standing_is_attacked_in_fp32_too(monkeypatch):
    """A model that gives no gradient in tf32: all that falls, falls to the second try."""
    net = small_net().eval()

    class Blunt(nn.Module):
        def forward(self, x):
            return net(x.detach() + 0.0 * x if tf32()[0] else x)

    monkeypatch.setattr("core.evaluation.evaluate.crafting_precision", lambda wanted, device: wanted)
    images = torch.randint(0, 256, (40, 1, 4, 4), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    tests = samples_of(images, net(images.float() / 255).argmax(dim=1))
    spec = resolve("pgd", {"eps": [0.05, 0.1], "steps": 12}, "attack")
    ends = {}
    for name, model, crafting in (("exact", net, "fp32"), ("short", net, "tf32"), ("blunt", Blunt(), "tf32")):
        *_, ends[name] = evaluate(model, tests, spec, np.ones(40, bool), crafting=crafting)
        assert ends[name].crafting == crafting
    left = {name: np.stack([ledger.survived for ledger in end.ledgers]) for name, end in ends.items()}
    assert np.array_equal(left["exact"], left["blunt"])
    assert not (left["short"] & ~left["exact"]).any()
    assert left["exact"][0].any()
    assert not left["exact"].all()


@pytest.mark.parametrize(
    "options",
    [
        {"name": "pgd", "steps": 12},
        {"name": "mi-fgsm", "steps": 12, "norm": "l2"},
        {"name": "apgd", "steps": 12},
        {"name": "square", "queries": 60},
    ],
    ids=lambda options: options["name"],
)
def test_looking_every_eighth_step_only_breaks_what_looking_every_step_breaks(options, monkeypatch):
    """On a GPU results are confirmed every few steps; every row's worst image is kept meanwhile."""
    model = small_net().eval()
    x, y = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(1)), None
    with torch.no_grad():
        y = model(x).argmax(dim=1)
    options = dict(options)
    spec = resolve(options.pop("name"), {"eps": [0.05], **options}, "attack")
    iterate = ATTACKS[spec.name].iterate
    samples = torch.arange(40)
    with under_attack(model):
        each = iterate(Victim(model), x, y, samples, 0, 0.1 if spec.norm == "linf" else 0.2, spec)
        monkeypatch.setattr(Victim, "settle_every", lambda self, device: 8)
        seldom = iterate(Victim(model), x, y, samples, 0, 0.1 if spec.norm == "linf" else 0.2, spec)
    assert bool(each.broken.any())
    assert torch.equal(each.broken, seldom.broken)
    with torch.no_grad():
        assert bool((model(seldom.found).argmax(dim=1) != y)[seldom.broken].all())


class Waits(TorchDispatchMode):
    """Counts what would make the host wait for a GPU: numbers fetched, and shapes that depend on values."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.name().removeprefix("aten::").partition(".")[0]
        self.count += name in ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select")
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("options", [("pgd", "linf"), ("pgd", "l2"), ("mi-fgsm", "linf"), ("apgd", "l2")], ids=str)
def test_a_gpu_is_not_waited_for_at_every_step(options, monkeypatch):
    name, norm = options
    model = small_net().eval()
    x = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        y = model(x).argmax(dim=1)
    monkeypatch.setattr(Victim, "settle_every", lambda self, device: 8)
    counts = {}
    for steps in (16, 48):
        spec = resolve(name, {"eps": [0.001], "norm": norm, "steps": steps}, "attack")  # nothing breaks
        with under_attack(model), Waits() as waits:
            ended = ATTACKS[name].iterate(Victim(model), x, y, torch.arange(40), 0, 0.001, spec)
        assert not bool(ended.broken.any())
        counts[steps] = waits.count
    assert 0 < counts[48] - counts[16] <= 3 * (48 - 16) // 8


def test_a_gpu_is_asked_for_finite_logits_only_when_results_are_looked_at(monkeypatch):
    model = small_net()
    model[-1].bias.data[0] = float("nan")
    monkeypatch.setattr(Victim, "settle_every", lambda self, device: 8)
    victim = Victim(model)
    victim.logits(torch.rand(2, 1, 4, 4))
    model[-1].bias.data[0] = 0.0
    victim.logits(torch.rand(2, 1, 4, 4))  # finite again: what was not is not forgotten
    with pytest.raises(NonFiniteLogits, match="NaN"):
        victim.check()
    victim.check()  # told once


def test_the_last_iterate_of_what_stands_is_kept():
    model = small_net().eval()
    x = torch.rand(30, 1, 4, 4, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        y = model(x).argmax(dim=1)
    spec = resolve("pgd", {"eps": [0.01], "steps": 3, "random_start": False}, "attack")
    with under_attack(model):
        ended = ATTACKS["pgd"].iterate(Victim(model), x, y, torch.arange(30), 0, 0.01, spec)
    stands = ~ended.broken
    plain = x.clone()
    for _ in range(3):
        leaf = plain.requires_grad_()
        (gradient,) = torch.autograd.grad(functional.cross_entropy(model(leaf), y, reduction="sum"), leaf)
        plain = torch.clamp(plain.detach() + 0.0025 * gradient.sign(), min=x - 0.01, max=x + 0.01).clamp(0, 1)
    assert bool(stands.any())
    assert torch.allclose(ended.last[stands], plain[stands], atol=1e-6)
    assert np.isfinite(ended.last.numpy()).all()
