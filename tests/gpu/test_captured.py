"""What a lane records and replays trains to the weights that the same steps give eagerly, outside of any lane."""

import contextlib

import pytest

from core.events import Trained
from core.jobs.trial import run_trial
from core.lanes.lane import Lane, open_lane
from core.training.defenses import DEFENSES
from core.training.optimizers import OPTIMIZERS
from tests.gpu.mixed import job_of


def optimizers():
    """Each with each rule that it has, and what else takes another path through it."""
    more = {
        "adam": [{"amsgrad": True}],
        "adamw": [{"amsgrad": True}],
        "rmsprop": [{"centered": True}, {"momentum": 0.9}],
        "sgd": [{"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"momentum": 0.9, "rule": "keras"}],
        "adagrad": [{"lr_decay": 0.01}],
    }
    for name, entry in OPTIMIZERS.items():
        rules = next((one.choices for one in entry.parameters if one.name == "rule"), ("torch",))
        yield from ({"name": name, **({} if rule == "torch" else {"rule": rule})} for rule in rules)
        yield from ({"name": name, **options} for options in more.get(name, []))


def defenses():
    """Each in each norm that it has."""
    for name, entry in DEFENSES.items():
        norms = next((one.choices for one in entry.parameters if one.name == "norm"), None)
        for norm in norms or ():
            steps = {"steps": 2} if any(one.name == "steps" for one in entry.parameters) else {}
            yield {"name": name, "norm": norm, "eps": 0.1 if norm == "linf" else 1.0, **steps}
    yield {"name": "pgd-at", "eps": 0.1, "steps": 2, "random_start": False, "clean_share": 0.5}
    yield {"name": "none"}


def named(choice):
    return " ".join(str(value) if key == "name" else f"{key}={value}" for key, value in choice.items())


def weights(job, lane, monkeypatch):
    """The digest of the trained weights, and how often work was recorded."""
    recorded = []
    record = Lane.record

    def counted(self, work):
        recorded.append(work)
        return record(self, work)

    with monkeypatch.context() as patched, lane.entered() if lane is not None else contextlib.nullcontext():
        patched.setattr(Lane, "record", counted)
        (digest,) = (event.final_digest for event in run_trial(job, lambda: False) if isinstance(event, Trained))
    return digest, len(recorded)


def same_eager_and_in_a_lane(name, document, card, cache, folder, monkeypatch):
    """How often the lane recorded; 0, for what it runs eagerly, is told."""
    whole = {**document, "training": {"epochs": 2, **document.get("training", {})}}
    eager, outside = weights(job_of(whole, card, folder / "eager", cache), None, monkeypatch)
    captured, inside = weights(job_of(whole, card, folder / "lane", cache), open_lane(card.device), monkeypatch)
    assert captured == eager
    assert outside == 0
    if card.real and inside == 0:
        print(f"{name}: eager in its lane", end=" ")
    return inside


@pytest.mark.gpu(seconds=20)
@pytest.mark.parametrize("optimizer", list(optimizers()), ids=named)
def test_each_optimizer_trains_to_the_same_weights(optimizer, card, cache, tmp_path, monkeypatch):
    document = {"architectures": ["lenet5"], "optimizers": [optimizer]}
    inside = same_eager_and_in_a_lane(named(optimizer), document, card, cache, tmp_path, monkeypatch)
    assert inside > 0 or not card.real or optimizer["name"] != "adam"


@pytest.mark.gpu(seconds=20)
@pytest.mark.parametrize("defense", list(defenses()), ids=named)
def test_each_defense_trains_to_the_same_weights(defense, card, cache, tmp_path, monkeypatch):
    """With dropout, augmentation and batch norm, whose statistics a warm-up must not move."""
    document = {
        "architectures": [{"name": "lenet5", "batch_norm": True, "dropout": 0.3}],
        "defenses": [defense],
        "training": {"augment": True},
    }
    same_eager_and_in_a_lane(named(defense), document, card, cache, tmp_path, monkeypatch)


@pytest.mark.gpu(seconds=20)
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_each_precision_trains_to_the_same_weights(precision, card, cache, tmp_path, monkeypatch):
    if not card.real and precision in ("tf32", "fp16"):
        pytest.skip(f"the CPU has no {precision}")
    document = {"architectures": ["lenet5"], "training": {"precision": precision}}
    same_eager_and_in_a_lane(precision, document, card, cache, tmp_path, monkeypatch)


@pytest.mark.gpu(seconds=20)
def test_the_paper_s_net_is_recorded(card, cache, tmp_path, monkeypatch):
    """What the bars are about does not fall back to eager steps; a note of that would be easy to overlook."""
    inside = same_eager_and_in_a_lane("kumar-cnn", {}, card, cache, tmp_path, monkeypatch)
    assert (inside > 0) == card.real
