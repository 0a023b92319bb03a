"""Canaries: models and attacks with a known fault, really trained and really attacked. Each must be flagged, with the
right reason; its sane counterpart must not be. Digits (8×8, scikit-learn's) and small nets: a second or two each."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from core.attacks import resolve
from core.diagnosis import diagnose
from core.evaluation import clean_outcome, evaluate
from core.events import CleanEvaluated, Diagnosed, EvaluationFinished, Finished, Trained
from core.orders import EvaluationSpec, Job
from core.records import DiagnosisSpec, Threat
from core.trial import run_trial
from core.trust import EpochAccuracy, Evaluated, Evidence, judge
from core.trust.ladder import next_rung, standing_before
from tests.conftest import plan_of
from tests.core.linear import samples_of

torch.set_num_threads(1)

EPS = {"linf": 0.1, "l2": 1.0}
TRAIN, TEST = slice(0, 1200), slice(1200, 1500)


@pytest.fixture(scope="module")
def digits():
    loaded = load_digits()
    images = torch.from_numpy((loaded.images * 255 / 16).astype(np.uint8))[:, None]
    return images, torch.from_numpy(loaded.target).long()


@pytest.fixture(scope="module")
def tests(digits):
    images, labels = digits
    return samples_of(images[TEST], labels[TEST], torch.arange(TEST.start, TEST.stop))


def untrained(activation, hidden=2):
    torch.manual_seed(0)
    layers = [nn.Flatten(), nn.Linear(64, 48), activation()]
    for _ in range(hidden - 1):
        layers += [nn.Linear(48, 48), activation()]
    return nn.Sequential(*layers, nn.Linear(48, 10))


def trained(digits, net, epochs=12, lr=5e-3):
    images, labels = digits
    x, y = images[TRAIN].float() / 255, labels[TRAIN]
    torch.manual_seed(1)
    optimizer = torch.optim.Adam(net.parameters(), lr)
    for _ in range(epochs):
        for rows in torch.randperm(len(y)).split(64):
            optimizer.zero_grad()
            functional.cross_entropy(net(x[rows]), y[rows]).backward()
            optimizer.step()
    return net


@pytest.fixture(scope="module")
def nets(digits):
    """Nets as anybody would train them, by activation."""
    kinds = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "elu": nn.ELU}
    return {name: trained(digits, untrained(kind)) for name, kind in kinds.items()}


class Around(nn.Module):
    """A net with something done to the image before it, or to the logits after it."""

    def __init__(self, net, before=lambda x: x, after=lambda z: z):
        super().__init__()
        self.net, self.before, self.after = net, before, after

    def forward(self, x):
        return self.after(self.net(self.before(x)))


def verdict(model, tests, norm="linf", attacks=({"name": "fgsm"}, {"name": "pgd"}), **more):
    """The whole way: clean outcome, diagnosis, attacks, judgement."""
    clean = clean_outcome(model, tests, 10)
    results = []
    for table in attacks:
        options = dict(table)
        spec = resolve(options.pop("name"), {"eps": [EPS[norm]], "norm": norm, **options}, "canary")
        *_, last = evaluate(model, tests, spec, clean.correct, crafting="fp32")
        assert isinstance(last, EvaluationFinished)
        results.append(Evaluated(spec, last.ledgers, last.traces))
    look = diagnose(model, tests, clean.correct, DiagnosisSpec(None, norm, EPS[norm]))
    return judge(Evidence(clean.outcome, results, Threat(norm, EPS[norm]), look, **more))


def counted(judgement):
    return {one.name for one, counts in zip(judgement.checks, judgement.counted, strict=True) if counts}


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh", "elu"])
def test_nets_trained_as_usual_are_ok(activation, norm, nets, tests):
    found = verdict(nets[activation], tests, norm)
    assert (found.trust, found.reasons) == ("ok", ())
    assert len(found.checks) > 15


def test_logits_times_a_thousand(nets, tests):
    found = verdict(Around(nets["relu"], after=lambda logits: 1000 * logits), tests)
    assert found.trust == "suspect"
    assert {"flat_softmax", "zero_gradients", "lost_gradients", "weaker_than_single_step"} & counted(found) >= {
        "flat_softmax",
        "zero_gradients",
    }
    assert any("logits too large" in reason for reason in found.reasons)


def climbed_with(model, tests, most):
    """A study of one PGD and so many rungs of the ladder, each on what still stands: who stood before each, the verdict."""
    clean = clean_outcome(model, tests, 10)
    threat = Threat("linf", 0.1)

    def run(spec, standing=None):
        *_, last = evaluate(model, tests, spec, clean.correct, crafting="fp32", standing=standing)
        return Evaluated(spec, last.ledgers, last.traces)

    known = Evidence(clean.outcome, [run(resolve("pgd", {"eps": [0.1]}, "canary"))], threat)
    stood = []
    while len(stood) < most and (rung := next_rung(known, threat, masked=False)) is not None:
        left = standing_before(rung, known.clean, [*known.results, *known.added])
        stood.append(int(left.sum()))
        known = replace(known, added=[*known.added, run(rung, left)])
    return stood, judge(known), known


def test_the_ladder_sees_through_large_logits_and_confirms_a_sane_net(nets, tests):
    """Cross-entropy finds next to nothing, in however many steps; the targeted loss, blind to scale, finds what there is."""
    stood, found, known = climbed_with(Around(nets["relu"], after=lambda logits: 1000 * logits), tests, 3)
    assert len(stood) == 3
    assert stood[2] > 0.9 * stood[0]
    assert found.trust == "invalid"
    assert "under apgd; the study's attacks overstate" in found.reasons[0]
    climb, verdict_of_sane, same = climbed_with(nets["relu"], tests, 3)
    assert climb[0] == pytest.approx(climb[2], abs=6), "cross-entropy is not blind here"
    assert (verdict_of_sane.trust, verdict_of_sane.reasons) == ("ok", ())
    left = [one.added[-1].ledgers[0].survived.mean() for one in (known, same)]
    assert left[0] == pytest.approx(left[1], abs=0.02), "the same net behind the scale, as robust as it is"


def test_an_image_rounded_to_a_few_grey_levels(nets, tests):
    """Shattered gradients: rounding has no slope anywhere."""
    found = verdict(Around(nets["relu"], before=lambda x: (7 * x).round() / 7), tests)
    assert found.trust == "suspect"
    assert {"zero_gradients", "unbounded_attack"} <= counted(found)
    assert "flat_softmax" not in counted(found), "the logits are what they were"
    assert any("no slope in any pixel" in reason for reason in found.reasons)


def test_a_sigmoid_net_trained_to_saturation(digits, tests):
    """Three layers, long, at a learning rate that drives the weights apart: 94 % clean all the same."""
    net = trained(digits, untrained(nn.Sigmoid, hidden=3), epochs=60, lr=0.08)
    found = verdict(net, tests)
    assert found.trust == "suspect"
    assert "saturated_units" in counted(found)
    assert any("of the units of sigmoid" in reason and "gradients lead nowhere" in reason for reason in found.reasons)


def test_dropout_left_on(nets, tests):
    noisy = Around(nets["relu"], before=lambda x: functional.dropout(x, 0.2, training=True))
    found = verdict(noisy, tests)
    assert found.trust == "suspect"
    assert "unsteady_model" in counted(found)
    assert any("dropout" in reason for reason in found.reasons)
    asleep = Around(nn.Sequential(nn.Dropout(0.5), nets["relu"]))
    asleep.train()
    assert "unsteady_model" not in counted(verdict(asleep, tests)), "a module that knows its mode is put to rest"
    assert asleep.net[0].training, "and woken again"


def test_a_constant_classifier(tests):
    class Constant(nn.Module):
        def forward(self, x):
            return functional.one_hot(torch.full((len(x),), 3), 10).float() + 0.0 * x.flatten(1).sum(
                dim=1, keepdim=True
            )

    found = verdict(Constant(), tests)
    assert found.trust == "invalid"
    assert "most frequent class" in found.reasons[0]
    assert "one class is predicted for 100.0%" in found.reasons[0]


def test_an_attack_with_too_few_steps(nets, tests):
    """One step of a tenth of the radius: it neither gets to the surface nor has it finished climbing."""
    weak = {"name": "bim", "steps": 2, "alpha": "eps/10"}
    found = verdict(nets["relu"], tests, attacks=[weak])
    assert found.trust == "suspect"
    assert {"short_reach", "weaker_than_sampled_pgd"} <= counted(found)
    assert any("20% of the radius" in reason for reason in found.reasons)
    climbing = verdict(nets["relu"], tests, attacks=[{"name": "bim", "steps": 12, "alpha": "eps/12"}])
    assert "short_reach" not in counted(climbing)
    assert {"loss_still_moving", "steps_still_gaining"} & counted(climbing)
    assert verdict(nets["relu"], tests, attacks=[weak, {"name": "pgd"}]).trust == "ok", "beside a strong one no harm"


def test_a_look_hangs_on_no_global_state(nets, tests):
    clean = clean_outcome(nets["tanh"], tests, 10)
    spec = DiagnosisSpec(None, "linf", 0.05)
    looks = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        looks.append(diagnose(nets["tanh"], tests, clean.correct, spec).as_json())
        looks[-1].pop("seconds")
    assert looks[0] == looks[1]
    assert looks[0]["images"] == 64
    assert torch.initial_seed() == 1


def test_a_model_that_is_never_right_has_nothing_to_look_at(nets, tests):
    look = diagnose(nets["relu"], tests, np.zeros(len(tests), bool), DiagnosisSpec(None, "linf", 0.1))
    assert look.images == 0
    assert judge(Evidence(clean_outcome(nets["relu"], tests, 10).outcome, diagnosis=look)).trust == "ok"


def test_fgsm_training_that_overfits_to_its_one_step(cache, tmp_path):
    """The whole way of a trial, with the per-epoch probe: ε = 0.3 on real digits ends right on its own images, 0 under PGD."""
    document = {
        "name": "canary",
        "dataset": "mnist5k",
        "architectures": ["mlp"],
        "optimizers": ["adam"],
        "activations": ["relu"],
        "defenses": [{"name": "fgsm-at", "eps": 0.3}],
        "train_samples": 2000,
        "test_samples": 100,
        "training": {"epochs": 12, "batch_size": 64},
        "attacks": [{"name": "fgsm", "eps": [0.3]}, {"name": "pgd", "eps": [0.3], "steps": 20}],
    }
    plan = plan_of(document, cache)
    job = Job(
        trial=plan.trials[0],
        source=plan.study.source,
        evaluations=tuple(EvaluationSpec(attack, 100) for attack in plan.study.attacks),
        clean=(100,),
        attempt=1,
        folder=tmp_path / "attempt",
        earlier=(),
        data_root=tmp_path,
        cache=cache,
        diagnoses=(DiagnosisSpec(100, "linf", 0.3),),
    )
    everything = list(run_trial(job, lambda: False))
    events = {type(event): event for event in everything}
    assert Finished in events
    attacked = [event for event in everything if isinstance(event, EvaluationFinished)]
    results = [Evaluated(event.attack, event.ledgers, event.traces) for event in attacked]
    epochs = [EpochAccuracy(one.epoch, one.accuracy, one.probe_accuracy) for one in events[Trained].history]
    found = judge(
        Evidence(events[CleanEvaluated].outcome, results, plan.study.threat, events[Diagnosed].diagnosis, epochs)
    )
    assert results[1].ledgers[0].survived.mean() < 0.05
    assert "catastrophic_overfitting" in counted(found)
    assert any("under PGD at the same radius" in reason for reason in found.reasons)
