"""Keras 3's update rules, held step by step against its formulas, written again in NumPy from keras.optimizers 3.15."""

import io

import numpy as np
import pytest
import torch

from core.errors import BadInput
from core.training import optimizers
from core.training.keras_rules import RULES
from core.training.optimizers import OPTIMIZERS
from tests.conftest import plan_of, tiny
from tests.core.tape import Tape

torch.set_num_threads(1)

# --- Keras's formulas: (what is remembered, w, g, t, lr, hyperparameters) → w ---


def adam(s, w, g, t, lr, o):
    w = w - w * o.get("weight_decay", 0.0) * lr
    alpha = lr * np.sqrt(1 - o["beta2"] ** t) / (1 - o["beta1"] ** t)
    s["m"] = s.get("m", 0.0) + (g - s.get("m", 0.0)) * (1 - o["beta1"])
    s["v"] = s.get("v", 0.0) + (g**2 - s.get("v", 0.0)) * (1 - o["beta2"])
    s["largest"] = np.maximum(s.get("largest", 0.0), s["v"])
    return w - s["m"] * alpha / (np.sqrt(s["largest"] if o.get("amsgrad") else s["v"]) + o["eps"])


def nadam(s, w, g, t, lr, o):
    now, after = (o["beta1"] * (1 - 0.5 * 0.96 ** (t + ahead)) for ahead in (0, 1))
    s["product"] = s.get("product", 1.0) * now
    s["m"] = s.get("m", 0.0) + (g - s.get("m", 0.0)) * (1 - o["beta1"])
    s["v"] = s.get("v", 0.0) + (g**2 - s.get("v", 0.0)) * (1 - o["beta2"])
    m = after * s["m"] / (1 - s["product"] * after) + (1 - now) * g / (1 - s["product"])
    return w - m * lr / (np.sqrt(s["v"] / (1 - o["beta2"] ** t)) + o["eps"])


def adamax(s, w, g, t, lr, o):
    s["m"] = s.get("m", 0.0) + (g - s.get("m", 0.0)) * (1 - o["beta1"])
    s["u"] = np.maximum(o["beta2"] * s.get("u", 0.0), np.abs(g))
    return w - lr * s["m"] / ((1 - o["beta1"] ** t) * (s["u"] + o["eps"]))


def rmsprop(s, w, g, t, lr, o):
    rho = o["alpha"]
    s["v"] = rho * s.get("v", 0.0) + (1 - rho) * g**2
    s["a"] = rho * s.get("a", 0.0) + (1 - rho) * g
    increment = lr * g / np.sqrt(s["v"] - (s["a"] ** 2 if o.get("centered") else 0.0) + o["eps"])
    s["b"] = o.get("momentum", 0.0) * s.get("b", 0.0) + increment
    return w - s["b"]


def adagrad(s, w, g, t, lr, o):
    s["s"] = s.get("s", o["start"]) + g**2
    return w - lr * g / np.sqrt(s["s"] + o["eps"])


def adadelta(s, w, g, t, lr, o):
    s["g"] = o["rho"] * s.get("g", 0.0) + (1 - o["rho"]) * g**2
    delta = -np.sqrt(s.get("d", 0.0) + o["eps"]) * g / np.sqrt(s["g"] + o["eps"])
    s["d"] = o["rho"] * s.get("d", 0.0) + (1 - o["rho"]) * delta**2
    return w + lr * delta


def sgd(s, w, g, t, lr, o):
    mu = o.get("momentum", 0.0)
    s["v"] = mu * s.get("v", 0.0) - lr * g
    return w + (mu * s["v"] - lr * g if o.get("nesterov") else s["v"])


def adafactor(s, w, g, t, lr, o):
    w = w - w * o.get("weight_decay", 0.0) * lr
    if w.ndim > 1:  # a kernel as Keras has it: (in, out), (height, width, in, out)
        w, g = np.moveaxis(w, (1, 0), (-2, -1)), np.moveaxis(g, (1, 0), (-2, -1))

    def rms(x):
        return np.sqrt(np.mean(x**2))

    alpha = max(1e-3, rms(w)) * min(lr, 1 / np.sqrt(t))
    square, beta = g**2 + 1e-30, 1 - t ** o["beta2_decay"]
    if w.ndim > 1:
        s["r"] = beta * s.get("r", 0.0) + (1 - beta) * square.mean(-1)
        s["c"] = beta * s.get("c", 0.0) + (1 - beta) * square.mean(-2)
        v = (s["r"] / s["r"].mean(-1, keepdims=True))[..., None] * s["c"][..., None, :]
    else:
        v = s["v"] = beta * s.get("v", 0.0) + (1 - beta) * square
    u = g / np.sqrt(v)
    w = w - alpha * u / max(1.0, rms(u) / o["d"])
    return w if w.ndim < 2 else np.moveaxis(w, (-2, -1), (1, 0))


MOMENTS = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-7}
FORMULAS = {
    "adam": (adam, MOMENTS),
    "adamw": (adam, {**MOMENTS, "weight_decay": 4e-3}),
    "nadam": (nadam, MOMENTS),
    "adamax": (adamax, MOMENTS),
    "rmsprop": (rmsprop, {"lr": 1e-3, "alpha": 0.9, "eps": 1e-7}),
    "adagrad": (adagrad, {"lr": 1e-3, "start": 0.1, "eps": 1e-7}),
    "adadelta": (adadelta, {"lr": 1e-3, "rho": 0.95, "eps": 1e-7}),
    "sgd": (sgd, {"lr": 1e-2}),
    "adafactor": (adafactor, {"lr": 1e-3, "beta2_decay": -0.8, "d": 1.0}),
}
CASES = [
    *((name, {}) for name in FORMULAS),
    ("adam", {"amsgrad": True}),
    ("adam", {"beta1": 0.0, "beta2": 0.9}),
    ("adamw", {"amsgrad": True, "weight_decay": 0.5}),
    ("rmsprop", {"centered": True}),
    ("rmsprop", {"momentum": 0.9}),
    ("rmsprop", {"centered": True, "momentum": 0.5, "alpha": 0.5}),
    ("sgd", {"momentum": 0.9}),
    ("sgd", {"momentum": 0.9, "nesterov": True}),
    ("adafactor", {"weight_decay": 0.5, "d": 0.3, "beta2_decay": -0.5}),
]
OWN = [(name, given) for name, given in CASES if name in RULES and (name, given) != ("sgd", {})]
SHAPES = [(9,), (4, 6), (3, 2, 5, 4)]
STEPS = 60


def said(case):
    return "-".join([case[0], *(f"{key}={value}" for key, value in case[1].items())])


def start(dtype=torch.float64):
    draw = np.random.default_rng(3)
    return [torch.nn.Parameter(torch.tensor(0.01 * draw.standard_normal(shape), dtype=dtype)) for shape in SHAPES]


def gradients(steps=STEPS):
    """Of all sizes, each weight of its own; some are 0 at first or for good, the others now and then."""
    draw = np.random.default_rng(7)
    sizes = [draw.choice([1, 1e-3, 1e-5, 1e-7, 0], shape) for shape in SHAPES]
    late = [draw.random(shape) < 0.2 for shape in SHAPES]
    for t in range(1, steps + 1):
        yield [
            size * (draw.standard_normal(size.shape) + 1) * (draw.random(size.shape) < 0.9) * ((t > 10) | ~after)
            for size, after in zip(sizes, late, strict=True)
        ]


def rate(base, t):
    return base * (1 if t <= 20 else 0.1 if t <= 40 else 3)


def built(name, given, weights, profile="keras"):
    return optimizers.build(optimizers.resolve(name, given, profile, 0.0, "t"), weights)


def take(optimizer, weights, given, lr):
    for weight, gradient in zip(weights, given, strict=True):
        weight.grad = torch.as_tensor(gradient, dtype=weight.dtype).to(weight.device)
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.step()


@pytest.mark.parametrize(
    ("case", "as_tensor"),
    [*((case, False) for case in CASES), *((case, True) for case in OWN)],
    ids=lambda part: said(part) if isinstance(part, tuple) else "lr-tensor" if part else "lr-number",
)
def test_every_step_is_keras_s(case, as_tensor):
    name, given = case
    formula, usual = FORMULAS[name]
    numbers = {**usual, **given}
    weights = start()
    optimizer = built(name, given, weights)
    begun = [weight.detach().numpy().copy() for weight in weights]
    expected, kept = [value.copy() for value in begun], [{} for _ in weights]
    for t, given_gradients in enumerate(gradients(), 1):
        lr = rate(numbers["lr"], t)
        take(optimizer, weights, given_gradients, torch.tensor(lr, dtype=torch.float64) if as_tensor else lr)
        for index, gradient in enumerate(given_gradients):
            expected[index] = formula(kept[index], expected[index], gradient, t, lr, numbers)
            moved, should = weights[index].detach().numpy() - begun[index], expected[index] - begun[index]
            # torch's NAdam keeps its product of momenta in float32. What a weight of 0.01 cannot hold is forgiven.
            np.testing.assert_allclose(moved, should, rtol=1e-6 if name == "nadam" else 1e-9, atol=1e-16)


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_torch_s_profile_trains_with_torch_s_own(name):
    assert type(built(name, {}, start(), "torch")) is getattr(torch.optim, OPTIMIZERS[name].module)


def test_torch_s_rule_can_be_had_with_keras_s_numbers_and_the_other_way_round():
    for name in set(RULES) - {"sgd"}:
        keras, torch_s = (optimizers.resolve(name, {"rule": rule}, "keras", 0.0, "t") for rule in ("keras", "torch"))
        assert keras == optimizers.resolve(name, {}, "keras", 0.0, "t")
        assert {**torch_s.options, "rule": "keras"} == keras.options
        assert type(optimizers.build(torch_s, start())) is getattr(torch.optim, OPTIMIZERS[name].module)
        mixed = optimizers.resolve(name, {"rule": "keras"}, "torch", 0.0, "t")
        assert mixed.options == {**optimizers.resolve(name, {}, "torch", 0.0, "t").options, "rule": "keras"}
        assert type(optimizers.build(mixed, start())) is RULES[name]
    with pytest.raises(BadInput, match="torch, keras"):
        optimizers.resolve("adam", {"rule": "jax"}, "torch", 0.0, "t")
    with pytest.raises(BadInput, match="no option 'rule'"):
        optimizers.resolve("adadelta", {"rule": "keras"}, "keras", 0.0, "t")


def test_the_two_sgds_are_one_without_momentum():
    plain = optimizers.resolve("sgd", {"rule": "keras"}, "keras", 0.0, "t")
    assert plain == optimizers.resolve("sgd", {"rule": "torch"}, "keras", 0.0, "t")
    assert "rule" not in plain.options
    assert optimizers.resolve("sgd", {"momentum": 0.9}, "keras", 0.0, "t").options["rule"] == "keras"
    assert "rule" not in optimizers.resolve("sgd", {"momentum": 0.9}, "torch", 0.0, "t").options


@pytest.mark.parametrize(
    ("name", "given"), [("adagrad", {"lr_decay": 0.1}), ("sgd", {"momentum": 0.9, "dampening": 0.1})]
)
def test_what_keras_does_not_have_is_refused(name, given):
    option = list(given)[-1]
    with pytest.raises(BadInput, match=rf'^optimizers\[0\]\.{option}: Keras\'s {name} .* add rule = "torch"$'):
        optimizers.resolve(name, given, "keras", 0.0, "optimizers[0]")
    assert optimizers.resolve(name, {**given, "rule": "torch"}, "keras", 0.0, "t").options[option] == 0.1
    assert optimizers.resolve(name, given, "torch", 0.0, "t").options[option] == 0.1


def test_weight_decay_is_a_penalty_on_the_gradient_where_it_is_torch_s():
    for name in set(RULES) - {"adamw", "adafactor"}:
        given = {"momentum": 0.9} if name == "sgd" else {}
        decayed, plain = start(), start()
        take(built(name, {**given, "weight_decay": 0.5}, decayed), decayed, [0 * weight for weight in plain], 0.1)
        take(built(name, given, plain), plain, [0.5 * weight.detach() for weight in plain], 0.1)
        assert all(torch.equal(*pair) for pair in zip(decayed, plain, strict=True)), name


@pytest.mark.parametrize("case", OWN, ids=said)
def test_a_step_never_looks_at_a_value_on_the_device(case):
    name, given = case
    weights = [torch.nn.Parameter(torch.zeros(shape, device="meta")) for shape in SHAPES]
    optimizer = built(name, {**given, "weight_decay": 0.1}, weights)
    for lr in (0.1, torch.zeros((), device="meta")):
        take(optimizer, weights, [torch.zeros(shape, device="meta") for shape in SHAPES], lr)
    with pytest.raises(RuntimeError, match="meta"):  # what a look at a value comes to there
        float(weights[0].detach().sum())


def cuda_graph(work):
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay, None


@pytest.mark.parametrize(
    ("device", "recorder"),
    [
        ("cpu", Tape()),
        pytest.param(
            "cuda", cuda_graph, marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
        ),
    ],
    ids=["tape", "graph"],
)
@pytest.mark.parametrize("case", OWN, ids=said)
def test_a_recorded_step_takes_the_same_steps(case, device, recorder):
    name, given = case
    eager, graphed = ([torch.nn.Parameter(weight.detach().to(device)) for weight in start()] for _ in range(2))
    steps = list(gradients(12))
    lr = torch.full((), 1e-3, dtype=torch.float64, device=device)
    plain, optimizer = built(name, given, eager), built(name, given, graphed)
    take(optimizer, graphed, steps[0], lr)  # makes the state, outside the recording
    replay, _ = recorder(optimizer.step)
    take(plain, eager, steps[0], 1e-3)
    for t, given_gradients in enumerate(steps[1:], 2):
        lr.fill_(rate(1e-3, 10 * t))
        for weight, gradient in zip(graphed, given_gradients, strict=True):
            weight.grad.copy_(torch.as_tensor(gradient))
        replay()
        take(plain, eager, given_gradients, rate(1e-3, 10 * t))
    for one, other in zip(eager, graphed, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", OWN, ids=said)
def test_a_stored_optimizer_goes_on_bit_for_bit(case, dtype):
    name, given = case
    undisturbed, stopped = start(dtype), start(dtype)
    one, other = built(name, given, undisturbed), built(name, given, stopped)
    for t, given_gradients in enumerate(gradients(30), 1):
        if t == 15:
            file = io.BytesIO()
            torch.save({"model": stopped, "optimizer": other.state_dict()}, file)
            file.seek(0)
            stored = torch.load(file, map_location="cpu", weights_only=True)
            stopped = [torch.nn.Parameter(weight.detach().clone()) for weight in stored["model"]]
            other = built(name, given, stopped)
            other.load_state_dict(stored["optimizer"])
        for optimizer, weights in ((one, undisturbed), (other, stopped)):
            take(optimizer, weights, given_gradients, rate(1e-3, 2 * t))
    assert all(torch.equal(*pair) for pair in zip(undisturbed, stopped, strict=True))


@pytest.mark.parametrize("case", OWN, ids=said)
def test_single_precision_loses_no_more_than_it_must(case):
    name, given = case
    single, double = start(torch.float32), start()
    begun = [weight.detach().clone() for weight in double]
    one, other = built(name, given, single), built(name, given, double)
    for t, given_gradients in enumerate(gradients(), 1):
        for optimizer, weights in ((one, single), (other, double)):
            take(optimizer, weights, given_gradients, rate(1e-2, t))
    for ours, exact, first in zip(single, double, begun, strict=True):
        furthest = (exact - first).detach().abs().max()
        assert float((ours - exact).detach().abs().max() / furthest) < 1e-4


def test_roots_of_nothing_stay_numbers_in_single_precision():
    """Adafactor's factors of a weight that neither its input nor its output moved; a centered variance of 0."""
    weight = torch.nn.Parameter(torch.ones(3, 4))
    gradient = torch.ones(3, 4)
    gradient[0], gradient[:, 0] = 0, 0
    optimizer = built("adafactor", {}, [weight])
    for _ in range(3):
        take(optimizer, [weight], [gradient], 1e-3)
    assert float(weight[0].detach().min()) == float(weight[:, 0].detach().min()) == 1
    assert bool((weight[1:, 1:] < 1).all())
    steady = torch.nn.Parameter(torch.zeros(1000))
    optimizer = built("rmsprop", {"centered": True}, [steady])
    for _ in range(300):
        take(optimizer, [steady], [torch.linspace(10, 100, 1000)], 1e-9)
    assert bool(torch.isfinite(steady).all())


def test_a_weight_without_a_gradient_stays_and_steps_are_counted_all_the_same():
    first, second = (torch.nn.Parameter(torch.zeros(2)) for _ in range(2))
    optimizer = built("adam", {}, [first, second])
    second.grad = torch.ones(2)
    for _ in range(3):
        optimizer.step()
    assert bool((first == 0).all())
    # m̂ = 1 and v̂ = 1 at each of the three steps, so that each is lr
    assert second.detach().numpy() == pytest.approx(-3e-3, rel=1e-4)


# --- identity ---

TORCH_IDS = {
    "adam": "4d23623d47bf101e",
    "adadelta": "60343d7eb19a3b63",
    "adagrad": "b5b2bc200c8a9b75",
    "adamax": "b3c63de80aeeb178",
    "nadam": "862283dc6966657b",
    "rmsprop": "def5f6fce86d31af",
    "sgd": "134b2bea8da19824",
    "adamw": "eefe7dcd5e4a3d53",
    "radam": "b11814eef735991a",
    "asgd": "95644021b819a7e1",
    "rprop": "3ddc6724938e2e9e",
    "adafactor": "e4f9234bbed5aac8",
    "sgd with momentum": "ba261122de0ea82a",
}
"""Of the program that had Keras's defaults but not its rules; a new training engine would change them."""
KERAS_IDS = {
    "adam": "c0de453aa98b637c",
    "adadelta": "a43e78dd15cda7ee",
    "adagrad": "1cf23b5be2a7f447",
    "adamax": "d309f4194e28992a",
    "nadam": "a3ee2ba9f2516666",
    "rmsprop": "eec7e17ad142fa44",
    "sgd": "44bc16b6cc493ee8",
    "adamw": "3cce9b806dd0967c",
    "radam": "b11814eef735991a",
    "asgd": "95644021b819a7e1",
    "rprop": "3ddc6724938e2e9e",
    "adafactor": "e4f9234bbed5aac8",
    "sgd with momentum": "24e8b5e1622cc016",
}
"""Of the same program, with hyperparameters = "keras"."""
OTHER_STEPS = {"adam", "adagrad", "adamax", "nadam", "rmsprop", "adamw", "adafactor", "sgd with momentum"}


def ids(profile, cache):
    chosen = [*OPTIMIZERS, {"name": "sgd", "momentum": 0.9, "nesterov": True}]
    training = {"epochs": 3, "batch_size": 32, "hyperparameters": profile}
    study = tiny(optimizers=chosen, activations=["relu"], seeds=1, training=training)
    return {
        trial.optimizer.name + (" with momentum" if trial.optimizer.options.get("momentum") else ""): trial.id[:16]
        for trial in plan_of(study, cache).trials
    }


def test_only_trials_that_now_train_otherwise_have_another_address(cache):
    assert ids("torch", cache) == TORCH_IDS
    now = ids("keras", cache)
    assert {name for name in now if now[name] != KERAS_IDS[name]} == OTHER_STEPS
    assert not set(now.values()) & {KERAS_IDS[name] for name in OTHER_STEPS}
