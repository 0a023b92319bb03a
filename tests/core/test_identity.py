import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.identity import canonical_json, digest, stream_seed
from core.records import AttackSpec, Choice, TrialSpec
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
        dataclasses.replace(trial, optimizer=Choice("adam", {**trial.optimizer.options, "lr": 0.5})),
        dataclasses.replace(trial, activation=Choice("elu", {"alpha": 1.0})),
        dataclasses.replace(trial, defense=Choice("fgsm-at", {"eps": 0.3, "norm": "linf"})),
        dataclasses.replace(trial, training=dataclasses.replace(trial.training, epochs=9)),
        dataclasses.replace(trial, training=dataclasses.replace(trial.training, label_smoothing=0.1)),
    ]
    assert len({trial.id, *(other.id for other in changed)}) == len(changed) + 1
    assert TrialSpec.from_json(trial.as_json()).id == trial.id
    assert changed[0].variant_id == trial.variant_id
    assert all(other.variant_id != trial.variant_id for other in changed[1:])


def test_what_is_only_recorded_stays_out_of_the_identity(cache):
    plain_trial = plan_of(tiny(), cache).trials[0]
    other_tests = plan_of(tiny(test_samples=50, attacks=[]), cache).trials[0]
    spelled_out = plan_of(
        tiny(optimizers=[{"name": "adam", "lr": "1/50", "beta1": 0.9}], train_samples=300), cache
    ).trials[0]
    assert plain_trial.id == other_tests.id == spelled_out.id


def test_an_attack_is_its_parameters():
    attack = AttackSpec("pgd", "linf", (0.1, 0.2), {"steps": 4}, 0, 1)
    assert AttackSpec.from_json(attack.as_json()).id == attack.id
    assert dataclasses.replace(attack, eps=(0.1,)).id != attack.id
    assert dataclasses.replace(attack, engine=2).id != attack.id
