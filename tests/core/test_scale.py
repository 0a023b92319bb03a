"""What a net leaves standing does not hang on the size of its logits: a net times a constant decides as the net does."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from core.attacks import ATTACKS, resolve
from core.engine.losses import even, lifted, log_odds, log_odds_of_clean
from core.engine.passes import gradient_pass
from core.engine.victim import NonFiniteLogits, Victim, under_attack
from core.evaluation.evaluate import clean_outcome, evaluate
from core.jobs.transfer import craft
from core.lanes.lane import Lane
from core.records.outcome import DiagnosisSpec
from core.verdict.diagnosis import diagnose
from core.verdict.trust import trust_of_diagnosis, trust_of_evaluation
from core.verdict.trust.entry import Evaluated
from tests.conftest import thorough
from tests.core.linear import samples_of, small_net
from tests.core.tape import Tape

torch.set_num_threads(1)

SCALES = (1e-6, 1e-3, 0.01, 0.3, 3.0, 100.0, 1e6)
RADII = {"linf": [0.08, 0.16], "l2": [0.5, 1.0]}
ATTEMPTS = {
    "fgsm": {},
    "bim": {},
    "mi-fgsm": {},
    "pgd": {"steps": 10},
    "pgd margin": {"steps": 10, "loss": "margin"},
    "pgd dlr": {"steps": 10, "loss": "dlr"},
    "apgd": {"steps": 15},
    "apgd dlr": {"steps": 15, "loss": "dlr"},
    "apgd targeted": {"steps": 8, "loss": "targeted"},
    "square": {"queries": 40},
    "standard": {"steps": 8, "queries": 20},
    "cw": {"steps": 60},
    "deepfool": {},
    "fmn": {"steps": 40},
}


class Times(nn.Module):
    def __init__(self, net, scale):
        super().__init__()
        self.net, self.scale = net, scale

    def forward(self, x):
        return self.scale * self.net(x)


@pytest.fixture(scope="module")
def digits():
    loaded = load_digits()
    images = torch.from_numpy((loaded.images * 255 / 16).astype(np.uint8))[:, None]
    return images, torch.from_numpy(loaded.target).long()


@pytest.fixture(scope="module")
def tests(digits):
    images, labels = digits
    return samples_of(images[1200:1400], labels[1200:1400])


class Nets(dict):
    """Each net is trained when it is first asked for."""

    def __init__(self, **makers):
        super().__init__()
        self.makers = makers

    def __missing__(self, name):
        self[name] = self.makers[name]()
        return self[name]


@pytest.fixture(scope="module")
def nets(digits):
    """ "sigmoid" is driven far into saturation."""

    def mlp(activation, hidden):
        torch.manual_seed(0)
        layers = [nn.Flatten(), nn.Linear(64, 48), activation()]
        for _ in range(hidden - 1):
            layers += [nn.Linear(48, 48), activation()]
        return nn.Sequential(*layers, nn.Linear(48, 10))

    def conv():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 12, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(48, 10)
        )

    return Nets(
        relu=lambda: trained(digits, mlp(nn.ReLU, 2)),
        tanh=lambda: trained(digits, mlp(nn.Tanh, 2)),
        conv=lambda: trained(digits, conv()),
        sigmoid=lambda: trained(digits, mlp(nn.Sigmoid, 3), epochs=60, lr=0.08),
    )


def trained(digits, net, epochs=12, lr=0.005):
    x, y = digits[0][:1200].float() / 255, digits[1][:1200]
    optimizer = torch.optim.Adam(net.parameters(), lr)
    torch.manual_seed(0)
    for _ in range(epochs):
        for batch in torch.randperm(len(y)).split(100):
            optimizer.zero_grad()
            functional.cross_entropy(net(x[batch]), y[batch]).backward()
            optimizer.step()
    return net.eval()


def standing(model, tests, attempt, norm, batch_size=None):
    """How many stand, for each radius."""
    name = attempt.split()[0]
    minimum = ATTACKS[name].minimum_norm
    options = {} if minimum else {"eps": RADII[norm]}
    spec = resolve(name, {"norm": norm, **options, **ATTEMPTS[attempt]}, "attack")
    correct = clean_outcome(model, tests, 10).correct
    *_, last = evaluate(model, tests, spec, correct, batch_size=batch_size)
    if minimum:
        distances = np.where(correct, last.ledgers[0].distances, 0.0)
        return [int((distances > eps).sum()) for eps in RADII[norm]]
    return [int(ledger.survived.sum()) for ledger in last.ledgers]


USUAL_SCALES = {"relu": (1e-6, 0.01, 1e6), "tanh": (0.01,), "conv": (1e-6,), "sigmoid": (100.0, 1e-6)}
SLOW = ("cw", "square", "standard", "apgd targeted", "deepfool")


@pytest.mark.parametrize("attempt", ATTEMPTS)
@pytest.mark.parametrize("net", ["relu", "tanh", "conv", "sigmoid"])
def test_a_net_times_a_constant_leaves_as_many_standing_as_the_net(attempt, net, nets, tests):
    """Within two of 200 at every radius, in every norm that the attack knows."""
    if attempt in SLOW and net in ("tanh", "conv"):
        pytest.skip("the others say it already")
    everything = (1e-6, 100.0) if attempt in SLOW else SCALES if net == "relu" else (1e-6, 0.01, 100.0)
    scales = thorough(everything, usually=USUAL_SCALES[net][:1] if attempt in SLOW else USUAL_SCALES[net])
    for norm in ATTACKS[attempt.split()[0]].norms:
        own = standing(nets[net], tests, attempt, norm)
        assert 0 < own[0] < 200
        for scale in scales:
            times = standing(Times(nets[net], scale), tests, attempt, norm)
            assert max(abs(one - other) for one, other in zip(own, times, strict=True)) <= 2, (norm, scale, own, times)


@pytest.mark.parametrize("attempt", ["fgsm", "bim", "mi-fgsm", "pgd", "apgd"])
@pytest.mark.parametrize("power", [-20, -7, 5, 20])
def test_a_power_of_two_leaves_the_very_same_images(attempt, power, nets, tests):
    """Such a constant leaves every bit but the exponent."""
    kept = []
    for model in (nets["tanh"], Times(nets["tanh"], 2.0**power)):
        spec = resolve(attempt, {"eps": [0.15], **ATTEMPTS[attempt]}, "attack")
        *_, last = evaluate(model, tests, spec, clean_outcome(model, tests, 10).correct)
        kept.append((last.ledgers[0].survived, [one.adversarial for one in last.examples]))
    assert np.array_equal(kept[0][0], kept[1][0])
    assert np.array_equal(kept[0][1], kept[1][1])


@pytest.mark.parametrize("scale", thorough([1e-6, 0.01, 1.0, 100.0, 1e6], usually=[1e-6, 1.0, 100.0]))
@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
@pytest.mark.parametrize("attempt", ["fgsm", "pgd", "apgd", "cw", "deepfool", "fmn"])
def test_three_linear_classes_fall_where_the_closed_form_says_at_any_scale(attempt, norm, dual, scale):
    """The nearest boundary of class t is at (z_y − z_t) / ‖w_y − w_t‖*. One class is near, the other far and steep: a softmax of
    small logits goes for both. A single step or PGD that does reaches no boundary at which it looks."""
    if norm not in ATTACKS[attempt].norms:
        pytest.skip(f"{attempt} does not know {norm}")
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    generator = torch.Generator().manual_seed(5)
    w = torch.randn(3, 16, generator=generator)
    with torch.no_grad():
        net[1].weight.copy_(torch.stack([w[0], w[0] + 0.4 * w[1], w[0] - 0.8 * w[1] + 0.2 * w[2]]))
        net[1].bias.copy_(torch.tensor([0.0, -0.6, -9.0]) - net[1].weight.sum(dim=1) / 2)
    images = torch.randint(100, 156, (60, 1, 4, 4), generator=generator).to(torch.uint8)
    with torch.no_grad():
        z = net(images.float() / 255)
    y = z.argmax(dim=1)
    tests = samples_of(images, y)
    slopes = net[1].weight.detach()[y][:, None] - net[1].weight.detach()[None]
    least = (z.gather(1, y[:, None]) - z) / slopes.norm(p=dual, dim=2).clamp_min(1e-9)
    least = least.scatter(1, y[:, None], float("inf")).amin(dim=1).numpy()
    assert 0.2 < float(np.median(least)) / {"linf": 0.1, "l2": 0.4}[norm] < 2.0
    model = Times(net, scale)
    if ATTACKS[attempt].minimum_norm:
        spec = resolve(attempt, {"norm": norm}, "attack")
        *_, last = evaluate(model, tests, spec, np.ones(60, dtype=bool))
        assert np.allclose(last.ledgers[0].distances, least, rtol=0.03, atol=1e-3)
        return
    eps = float(np.sort(least)[25:27].mean())
    clear = np.abs(least - eps) > 1e-4
    spec = resolve(attempt, {"eps": [eps], "norm": norm}, "attack")
    *_, last = evaluate(model, tests, spec, np.ones(60, dtype=bool))
    assert np.array_equal(last.ledgers[0].survived[clear], (least > eps)[clear])


@settings(deadline=None, max_examples=15)
@given(st.sampled_from(["fgsm", "pgd", "apgd"]), st.integers(1, 70), st.sampled_from([1e-6, 1e-2, 1e2]))
def test_an_outcome_at_any_scale_hangs_neither_on_batch_size_nor_on_neighbours(attempt, batch, scale):
    generator = torch.Generator().manual_seed(batch)
    images = torch.randint(0, 256, (48, 1, 4, 4), generator=generator).to(torch.uint8)
    model = Times(small_net().eval(), scale)
    with torch.no_grad():
        tests = samples_of(images, model(images.float() / 255).argmax(dim=1))
    spec = resolve(attempt, {"eps": [0.1], **ATTEMPTS[attempt]}, "attack")
    whole, parts = (
        list(evaluate(model, tests, spec, np.ones(48, dtype=bool), batch_size=size))[-1].ledgers[0].survived
        for size in (48, batch)
    )
    assert np.array_equal(whole, parts)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.floats(1e-6, 1e6), st.integers(2, 30))
def test_even_logits_spread_alike_whatever_they_are_multiplied_by(seed, scale, classes):
    z = torch.randn(5, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    logits = scale * z * even(scale * z)[:, None]
    assert torch.allclose(logits, z * even(z)[:, None])
    assert torch.allclose(logits.amax(dim=1) - logits.amin(dim=1), torch.full((5,), 16.0, dtype=torch.float64))
    assert torch.equal(even(z[:2]), even(z)[:2])
    assert torch.equal(even(torch.full((2, classes), scale)), torch.ones(2)), "nothing to go by"


def test_a_victim_shows_logits_as_they_are_unless_it_evens_them():
    """Attacks to the letter, which other programs are held against, see the cross-entropy of the model's own logits."""
    model, x, y = Times(small_net().eval(), 0.01), torch.rand(6, 1, 4, 4), torch.arange(6) % 3
    leaf = x.clone().requires_grad_()
    (usual,) = torch.autograd.grad(functional.cross_entropy(model(leaf), y, reduction="sum"), leaf)
    spec = resolve("fgsm", {"eps": [0.1]}, "attack")
    with under_attack(model):
        literal, evened = Victim(model), Victim(model, evens=True)
        steps = [ATTACKS["fgsm"].direction(one, x, y, torch.arange(6), 0, spec) for one in (literal, evened)]
        assert literal.factors(x) == ()
        assert literal.forward_passes == 6, "and no pass is spent on it"
        assert evened.in_fp32().evens
        assert torch.equal(steps[0], usual.sign())
        assert not torch.equal(steps[1], usual.sign())
        assert torch.equal(
            evened.ascent(x, y, log_odds, *evened.factors(x))[0], evened.ascent(x, y, log_odds_of_clean)[0]
        )


def test_recorded_passes_are_told_apart_by_how_many_labels_they_take():
    """A look at a model takes the slope of its logits as they are and of even ones."""

    model, tape = small_net().eval(), Tape()
    victim, eager = Victim(model), gradient_pass(model, "fp32", torch.device("cpu"))
    x, y = torch.rand(8, 1, 4, 4), torch.arange(8) % 3
    factor = torch.linspace(0.5, 60.0, 8)
    with Lane(torch.device("cpu"), recorder=tape).entered():
        for labels in ((y,), (y, factor), (y, 2 * factor), (y,)) * 2:
            ours, theirs = victim.ascent(x, labels[0], log_odds, *labels[1:]), eager(x, lifted(log_odds), labels)
            for mine, other in zip(ours, theirs, strict=True):
                assert torch.allclose(mine, other)
    assert tape.captures == 2
    assert victim.notes == []


@pytest.mark.parametrize("name", ["fgsm", "bim", "pgd", "mi-fgsm"])
def test_what_is_crafted_to_transfer_is_the_same_at_any_scale(name, nets, tests):
    spec = resolve(name, {"eps": [0.15]}, "attack")
    x = tests.pixels(torch.arange(60))
    images = [
        craft(Victim(model, evens=True), x, tests.labels[:60], tests.indices[:60], spec)
        for model in (nets["relu"], Times(nets["relu"], 2.0**-12))
    ]
    assert torch.equal(*images)


@pytest.mark.parametrize("scale", [1e-41, 1e-30, 1e30, 1e38])
def test_beyond_what_floats_can_tell_nothing_is_ok(scale, nets, tests):
    """Logits or slopes that are no floats any more: an error that says so, or a verdict that is not ok."""
    model = Times(nets["relu"], scale)
    spec = resolve("pgd", {"eps": [0.16], "steps": 10}, "attack")
    own = standing(nets["relu"], tests, "pgd", "linf")[1]
    try:
        clean = clean_outcome(model, tests, 10).outcome
        *_, last = evaluate(model, tests, spec, clean.correct)
        looks = list(diagnose(model, tests, clean.correct, DiagnosisSpec(None, "linf", (0.16,))))
    except NonFiniteLogits:
        return
    trusts = {trust_of_evaluation(clean, Evaluated(spec, last.ledgers, last.traces))[0]}
    trusts |= {trust_of_diagnosis(look)[0] for look in looks}
    assert trusts != {"ok"} or abs(int(last.ledgers[0].survived.sum()) - own) <= 2


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_randomness_left_on_shows_at_any_scale(scale, nets, tests):
    class Restless(nn.Module):
        def forward(self, x):
            return scale * nets["relu"](functional.dropout(x, 0.2, training=True))

    torch.manual_seed(0)
    model = Restless()
    looks = list(diagnose(model, tests, np.ones(len(tests), dtype=bool), DiagnosisSpec(None, "linf", (0.1,))))
    assert looks[0].unsteady > 50
    steady = list(
        diagnose(
            Times(nets["relu"], scale), tests, np.ones(len(tests), dtype=bool), DiagnosisSpec(None, "linf", (0.1,))
        )
    )
    assert steady[0].unsteady == 0
