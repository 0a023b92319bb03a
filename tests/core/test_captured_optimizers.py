"""Optimizers whose step is recorded once and repeated: every rule, held against its eager form and against torch's own."""

import io
import itertools
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from core.training import optimizers
from core.training.optimizers import OPTIMIZERS
from tests.core.tape import Tape

torch.set_num_threads(1)

MOMENTUM = [{"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"momentum": 0.9, "weight_decay": 0.1}]
DECAYED = {"weight_decay": 0.1}
TORCH_CASES = {
    "sgd": [{}, DECAYED, *MOMENTUM, {"momentum": 0.9, "dampening": 0.3}],
    "adam": [{}, DECAYED, {"amsgrad": True}, {"beta1": 0.0, "beta2": 0.9}],
    "adamw": [{}, {"weight_decay": 0.0}, {"amsgrad": True, "weight_decay": 0.5}],
    "adamax": [{}, DECAYED, {"beta1": 0.0, "beta2": 0.5}],
    "nadam": [{}, DECAYED, {"momentum_decay": 1.0, "eps": 1e-7}, {"beta1": 0.0}],
    "radam": [{}, DECAYED, {"beta2": 0.9}, {"beta2": 0.0}],
    "rmsprop": [{}, DECAYED, {"centered": True}, {"momentum": 0.9}, {"centered": True, "momentum": 0.5, "alpha": 0.5}],
    "adagrad": [{}, DECAYED, {"lr_decay": 0.1}, {"initial_accumulator_value": 0.1, "eps": 1e-7}],
    "adadelta": [{}, DECAYED, {"lr": 1e-3, "rho": 0.95, "eps": 1e-7}],
    "asgd": [{}, DECAYED, {"t0": 5.0, "lambd": 0.1}, {"alpha": 0.5, "lambd": 0.5, "t0": 0.0}],
    "rprop": [{}, {"eta_minus": 0.3, "eta_plus": 1.7}, {"step_min": 1e-3, "step_max": 2e-2}],
    "adafactor": [{}, DECAYED, {"d": 2.0, "beta2_decay": -0.5}],
}
KERAS_CASES = {
    "sgd": MOMENTUM,
    "adam": [{}, DECAYED, {"amsgrad": True}],
    "adamw": [{}, {"amsgrad": True, "weight_decay": 0.5}],
    "adamax": [{}, DECAYED],
    "rmsprop": [{}, DECAYED, {"centered": True, "momentum": 0.5}],
    "adagrad": [{}, DECAYED],
    "adafactor": [{}, {"weight_decay": 0.5, "d": 0.3, "beta2_decay": -0.5}],
}
CASES = [
    (rule, name, given)
    for rule, cases in (("torch", TORCH_CASES), ("keras", KERAS_CASES))
    for name, several in cases.items()
    for given in several
]
TORCH = [case for case in CASES if case[0] == "torch"]
FIRST = [case for case in CASES if case[2] in ({}, {"momentum": 0.9})]
SHAPES = [(5,), (4, 6), (3, 2, 3, 3), (3, 2, 1, 1), ()]
STEPS = 24


def said(case):
    return "-".join([*case[:2], *(f"{key}={value}" for key, value in case[2].items())])


def each(cases):
    return pytest.mark.parametrize("case", cases, ids=said)


schedules = pytest.mark.parametrize("schedule", ["constant", "changing"])


class Counting(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.operations += 1
        return func(*args, **(kwargs or {}))


def operations(optimizer):
    with Counting() as counting:
        optimizer.step()
    return counting.operations


def test_every_optimizer_and_rule_is_among_the_cases():
    assert list(TORCH_CASES) == sorted(OPTIMIZERS, key=list(TORCH_CASES).index)
    with_two = {entry.name for entry in OPTIMIZERS.values() if any(one.name == "rule" for one in entry.parameters)}
    assert set(KERAS_CASES) == with_two


def start():
    draw = torch.Generator().manual_seed(3)
    return [torch.nn.Parameter(0.1 * torch.randn(shape, generator=draw)) for shape in SHAPES]


def gradients(steps=STEPS):
    """Of many sizes, and now and then 0."""
    draw = torch.Generator().manual_seed(7)
    sizes = [10 ** -(4 * torch.rand(shape, generator=draw)) for shape in SHAPES]
    for _ in range(steps):
        yield [
            size * torch.randn(size.shape, generator=draw) * (torch.rand(size.shape, generator=draw) < 0.9)
            for size in sizes
        ]


def chosen(case):
    rule, name, given = case
    both = any(one.name == "rule" for one in OPTIMIZERS[name].parameters)
    return optimizers.resolve(name, {**given, "rule": rule} if both else given, "torch", 0.0, "t")


def rates(case, schedule):
    base = chosen(case).options["lr"]
    return itertools.repeat(base) if schedule == "constant" else (base * (1 + t % 5) / 3 for t in itertools.count())


def plain(case, weights):
    return optimizers.build(chosen(case), weights)


def captured(case, weights):
    return optimizers.build(chosen(case), weights, torch.zeros(()))


def give(weights, values):
    for weight, value in zip(weights, values, strict=True):
        if weight.grad is None:
            weight.grad = value.clone()
        else:
            weight.grad.copy_(value)


def take(optimizer, weights, values, rate, step=None):
    give(weights, values)
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
    (step or optimizer.step)()


def stored(optimizer):
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    return torch.load(file, map_location="cpu", weights_only=True)


def assert_same(ones, others):
    for one, other in zip(ones, others, strict=True):
        assert torch.equal(one, other), (one - other).abs().max()


def remembered(optimizer):
    return [
        {name: value.clone() for name, value in optimizer.state[weight].items()}
        for weight in optimizer.param_groups[0]["params"]
    ]


@schedules
@each(CASES)
def test_a_recorded_step_repeats_the_eager_one_bit_for_bit(case, schedule):
    eager, taped = start(), start()
    one, other = captured(case, eager), captured(case, taped)
    tape, replay = Tape(), None
    for number, (values, rate) in enumerate(zip(gradients(), rates(case, schedule), strict=False)):
        take(one, eager, values, rate)
        if number == 1:  # the first step has made the state
            give(taped, values)
            replay, _ = tape(other.step)
        take(other, taped, values, rate, replay)
        assert_same(eager, taped)
    assert tape.replays == STEPS - 1
    for left, right in zip(remembered(one), remembered(other), strict=True):
        assert list(left) == list(right)
        assert_same(left.values(), right.values())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@each(CASES)
def test_a_cuda_graph_repeats_the_eager_step_bit_for_bit(case):
    eager, graphed = ([torch.nn.Parameter(weight.detach().cuda()) for weight in start()] for _ in range(2))
    one, other = (
        optimizers.build(chosen(case), weights, torch.zeros((), device="cuda")) for weights in (eager, graphed)
    )
    graph = torch.cuda.CUDAGraph()
    for t, (values, rate) in enumerate(zip(gradients(), rates(case, "changing"), strict=False)):
        values = [value.cuda() for value in values]
        take(one, eager, values, rate)
        if t == 1:
            with torch.cuda.graph(graph):
                other.step()
        take(other, graphed, values, rate, graph.replay if t else None)
        assert_same(eager, graphed)


def assert_close(ones, others, begun):
    """But for rounding: of the weights themselves, and a hundred-thousandth of how far they have come."""
    for one, other, first in zip(ones, others, begun, strict=True):
        come = float((other - first).detach().abs().max())
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-5 * come + 1e-8)


@schedules
@each(CASES)
def test_it_steps_as_the_plain_form(case, schedule):
    begun, ours, theirs = start(), start(), start()
    one, other = captured(case, ours), plain(case, theirs)
    for values, rate in zip(gradients(), rates(case, schedule), strict=False):
        take(one, ours, values, rate)
        take(other, theirs, values, rate)
        assert_close(ours, theirs, begun)
    assert any(not torch.equal(mine, first) for mine, first in zip(ours, begun, strict=True))


@each(TORCH)
def test_it_remembers_what_torch_s_form_remembers(case):
    ours, theirs = start(), start()
    one, other = captured(case, ours), plain(case, theirs)
    for values, rate in zip(gradients(12), rates(case, "changing"), strict=False):
        take(one, ours, values, rate)
        take(other, theirs, values, rate)
    mine, its = one.state_dict(), other.state_dict()
    assert {key: sorted(kept) for key, kept in mine["state"].items()} == {
        key: sorted(kept) for key, kept in its["state"].items()
    }
    for key, kept in its["state"].items():
        for name, value in kept.items():
            assert mine["state"][key][name].dtype == value.dtype
            torch.testing.assert_close(mine["state"][key][name], value, rtol=2e-5, atol=1e-7)
    assert set(mine["param_groups"][0]) == set(its["param_groups"][0])


@each(CASES)
def test_a_stored_state_goes_on_bit_for_bit(case):
    undisturbed, stopped = start(), start()
    one, other = captured(case, undisturbed), captured(case, stopped)
    for t, (values, rate) in enumerate(zip(gradients(), rates(case, "changing"), strict=False)):
        if t == 9:
            state = stored(other)
            stopped = [torch.nn.Parameter(weight.detach().clone()) for weight in stopped]
            other = captured(case, stopped)
            lr = other.param_groups[0]["lr"]
            other.load_state_dict(state)
            assert all(group["lr"] is lr for group in other.param_groups)
        for optimizer, weights in ((one, undisturbed), (other, stopped)):
            take(optimizer, weights, values, rate)
        assert_same(undisturbed, stopped)


@pytest.mark.parametrize("way", ["plain to captured", "captured to plain"])
@each(CASES)
def test_a_state_crosses_from_one_form_to_the_other(case, way):
    make = (plain, captured) if way == "plain to captured" else (captured, plain)
    undisturbed, crossing = start(), start()
    one, other = plain(case, undisturbed), make[0](case, crossing)
    for t, (values, rate) in enumerate(zip(gradients(), rates(case, "changing"), strict=False)):
        if t == 9:
            state = stored(other)
            crossing = [torch.nn.Parameter(weight.detach().clone()) for weight in crossing]
            other = make[1](case, crossing)
            lr = other.param_groups[0]["lr"]
            other.load_state_dict(state)
            assert isinstance(lr, float) or other.param_groups[0]["lr"] is lr
            if isinstance(lr, float):
                other.param_groups[0]["lr"] = lr  # as the training loop does before each step
        for optimizer, weights in ((one, undisturbed), (other, crossing)):
            take(optimizer, weights, values, rate)
    assert_close(crossing, undisturbed, start())


@each(FIRST)
def test_a_loaded_state_can_be_recorded_at_once(case):
    eager = start()
    one = captured(case, eager)
    steps = list(gradients(6))
    for values in steps[:3]:
        take(one, eager, values, 0.01)
    taped = [torch.nn.Parameter(weight.detach().clone()) for weight in eager]
    other = captured(case, taped)
    other.load_state_dict(stored(one))
    give(taped, steps[3])
    replay, _ = Tape()(other.step)
    for values in steps[3:]:
        take(one, eager, values, 0.02)
        take(other, taped, values, 0.02, replay)
    assert_same(eager, taped)
    assert operations(other) == operations(one)


@each(FIRST)
def test_gradients_of_nothing_and_of_no_number(case):
    for value in (0.0, float("nan")):
        still = value == 0.0 or case[1] == "rprop"  # the sign of NaN is 0
        ours, theirs = start(), start()
        one, other = captured(case, ours), plain(case, theirs)
        for _ in range(3):
            take(one, ours, [torch.full(shape, value) for shape in SHAPES], 0.01)
            take(other, theirs, [torch.full(shape, value) for shape in SHAPES], 0.01)
        for mine, its in zip(ours, theirs, strict=True):
            assert bool(torch.isfinite(mine).all()) is still
            torch.testing.assert_close(mine, its, equal_nan=True)


@each(TORCH)
def test_weights_without_a_gradient_stay_and_count_for_themselves(case):
    """One never has a gradient, one begins later, one falls behind those it began with."""
    ours, theirs, begun = start(), start(), start()
    one, other = captured(case, ours), plain(case, theirs)
    for t, (values, rate) in enumerate(zip(gradients(), rates(case, "constant"), strict=False)):
        for optimizer, weights in ((one, ours), (other, theirs)):
            take(optimizer, weights, values, rate, lambda: None)
            weights[0].grad = None
            if t < 2:
                weights[1].grad = None
            if t % 5 == 3:
                weights[2].grad = None
            optimizer.step()
    assert torch.equal(ours[0], begun[0])
    assert_close(ours, theirs, begun)
    counts = [
        {key: float(kept["step"]) for key, kept in optimizer.state_dict()["state"].items() if "step" in kept}
        for optimizer in (one, other)
    ]
    assert counts[0] == counts[1]
    copied = [torch.nn.Parameter(weight.detach().clone()) for weight in ours]
    again = captured(case, copied)
    again.load_state_dict(stored(one))
    for optimizer, weights in ((one, ours), (again, copied)):
        take(optimizer, weights, next(gradients()), 0.01)
    assert_same(ours, copied)


@each(FIRST)
def test_a_model_without_a_gradient_takes_no_step_and_one_without_weights_is_refused_as_torch_does(case):
    weights, begun = start(), start()
    optimizer = captured(case, weights)
    optimizer.step()
    assert_same(weights, begun)
    states = [made.state_dict()["state"] for made in (optimizer, plain(case, start()))]
    assert list(map(sorted, states[0].values())) == list(map(sorted, states[1].values()))
    for make in (plain, captured):
        with pytest.raises(ValueError, match="empty parameter list"):
            make(case, [])


@each(FIRST)
def test_weights_in_another_layout_step_alike(case):
    """Channels-last weights, and gradients that lie otherwise than their weights, as those of 1×1 convolutions do."""
    straight, turned = start(), start()
    turned = [
        torch.nn.Parameter(weight.detach().clone(memory_format=torch.channels_last)) if weight.dim() == 4 else weight
        for weight in turned
    ]
    one, other = captured(case, straight), captured(case, turned)
    for t, values in enumerate(gradients(8)):
        if t == 4:
            lr, state = other.param_groups[0]["lr"], stored(one)
            other.load_state_dict(state)
            assert other.param_groups[0]["lr"] is lr
        take(one, straight, values, 0.01)
        for weight, value in zip(turned, values, strict=True):
            weight.grad = value.clone()
        take(other, turned, values, 0.01)
    for mine, its in zip(turned, straight, strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-6, atol=1e-8)
    for weight, kept in other.state.items():
        assert all(value.stride() == weight.stride() for value in kept.values() if value.shape == weight.shape)


@each([case for case in TORCH if case[1] not in ("rprop", "adafactor")] + [case for case in FIRST if case[1] == "adam"])
def test_a_step_of_many_weights_takes_no_more_operations_than_one_of_few(case):
    counts = []
    for times in (1, 4):
        weights = [weight for _ in range(times) for weight in start()]
        values = [value for _ in range(times) for value in next(gradients())]
        optimizer = captured(case, weights)
        take(optimizer, weights, values, 0.01)
        counts.append(operations(optimizer))
    assert counts[0] == counts[1]


def test_the_plain_form_is_torch_s_own():
    for name, entry in OPTIMIZERS.items():
        assert type(plain(("torch", name, {}), start())) is getattr(torch.optim, entry.module)


def test_options_that_torch_refuses_are_refused_in_either_form():
    """By torch itself, for whoever builds an optimizer from options that no study file was read for."""
    choice = optimizers.resolve("sgd", {}, "torch", 0.0, "t")
    choice = replace(choice, options={**choice.options, "nesterov": True})
    for rate in (None, torch.tensor(0.01)):
        with pytest.raises(ValueError, match="Nesterov momentum requires a momentum"):
            optimizers.build(choice, start(), rate)
