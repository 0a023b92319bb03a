import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.identity import canonical_json, digest, stream_seed
from core.records.attack import AttackSpec
from core.records.choice import Choice
from core.records.trial import TrialSpec
from tests.conftest import plan_of, tiny

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), plain))
def test_the_order_of_keys_does_not_change_a_digest(value):
    assert digest(dict(reversed(value.items()))) == digest(value)


def test_nan_has_no_address():
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"lr": float("nan")})


@given(st.integers(0, 2**62), st.integers(0, 50), st.integers(0, 50))
def test_streams_of_a_seed_are_apart(seed, epoch, batch):
    seeds = {stream_seed(seed, name, epoch, batch) for name in ("initialisation", "order", "step")}
    assert len(seeds) == 3
    assert all(0 <= value < 2**63 for value in seeds)


def test_every_part_of_a_trial_changes_its_identity_and_json_gives_it_back(cache):
    trial = plan_of(tiny(), cache).trials[0]
    changed = [
        dataclasses.replace(trial, seed=9),
        dataclasses.replace(trial, dataset="mnist"),
        dataclasses.replace(trial, train_samples=301),
        dataclasses.replace(trial, vary=("seed", "train_subset")),
        dataclasses.replace(trial, optimizer=Choice("adam", {**trial.optimizer.options, "lr": 0.5})),
        dataclasses.replace(trial, activation=Choice("elu", {"alpha": 1.0})),
        dataclasses.replace(trial, defense=Choice("fgsm-at", {"eps": 0.3, "norm": "linf"})),
        dataclasses.replace(trial, training=dataclasses.replace(trial.training, epochs=9)),
        dataclasses.replace(trial, training=dataclasses.replace(trial.training, label_smoothing=0.1)),
    ]
    assert len({trial.id, *(other.id for other in changed)}) == len(changed) + 1
    assert all(TrialSpec.from_json(json.loads(json.dumps(one.as_json()))) == one for one in (trial, *changed))
    assert changed[0].variant_id == trial.variant_id
    assert all(other.variant_id != trial.variant_id for other in changed[1:])


def test_what_is_only_recorded_stays_out_of_the_identity(cache):
    plain_trial = plan_of(tiny(), cache).trials[0]
    other_tests = plan_of(tiny(test_samples=50, attacks=[]), cache).trials[0]
    spelled_out = plan_of(
        tiny(optimizers=[{"name": "adam", "lr": "1/50", "beta1": 0.9}], train_samples=300), cache
    ).trials[0]
    assert plain_trial.id == other_tests.id == spelled_out.id


def test_a_trial_whose_seed_moves_what_it_always_moved_keeps_its_address(cache):
    """Those of the tiny study as they were before `vary`; JSON of then is read, too."""
    known = (
        "7a9262f6435d4b498b865b21ce6c358ef9c5c2eab267c5f0c156e062143aafe0",
        "cae3c61472440a24efdc42e0cf26a543b50ccabf45eabf2ab127525550f983b4",
    )
    for document in (tiny(), tiny(vary=["seed"])):
        trials = plan_of(document, cache).trials
        assert (trials[0].id, trials[-1].id) == known
        assert trials[0].variant_id == "55aac86acecc6ad02fee59ff92b8edd756b813d6dd7b397ec9e372e5ca992ca8"
        assert "vary" not in trials[0].as_json()
        assert TrialSpec.from_json(trials[0].as_json()).vary == ("seed",)
    own = plan_of(tiny(vary=["train_subset", "seed"]), cache).trials
    assert {trial.id for trial in own}.isdisjoint(trial.id for trial in trials)
    assert {trial.variant_id for trial in own}.isdisjoint(trial.variant_id for trial in trials)
    assert [trial.variant_id for trial in own[:4]] == [trial.variant_id for trial in own[4:]]


def test_an_attack_is_its_parameters():
    attack = AttackSpec("pgd", "linf", (0.1, 0.2), {"steps": 4}, 0, 1)
    assert AttackSpec.from_json(attack.as_json()).id == attack.id
    assert dataclasses.replace(attack, eps=(0.1,)).id != attack.id
    assert dataclasses.replace(attack, engine=2).id != attack.id
