"""APGD, Square and the whole ensemble against pyautoattack: at most half a point more images stand."""

import numpy as np
import pytest
import torch

from tests.conftest import thorough

SLACK = 0.005
NORMS = {"linf": "Linf", "l2": "L2"}
RADII = [("linf", 0.1), ("l2", 0.8)]


def shares(name, mine, theirs):
    print(f"\n{name}: {mine:.1%} stand, pyautoattack {theirs:.1%} ({100 * (mine - theirs):+.1f} points)")
    return mine, theirs


def stands(subject, x):
    return float(subject.right(x).float().mean())


def compared(name, mine, theirs):
    """The means of some seeds on either side: the luck of one random start moves a share by half a point and more, so the
    difference may be that, or two standard errors of it (24 seeds of APGD-dlr in l2: +0.1 ± 0.2 points)."""
    assert 0.05 < np.mean(theirs) < 0.95, "choose ε such that some fall and some stand"
    ours, others = shares(f"{name}, {len(mine)} seeds", float(np.mean(mine)), float(np.mean(theirs)))
    luck = 0.0 if len(mine) < 3 else 2 * float(np.sqrt((np.var(mine, ddof=1) + np.var(theirs, ddof=1)) / len(mine)))
    assert ours <= others + max(SLACK, luck)


@pytest.mark.parametrize(
    ("loss", "norm", "eps"),
    thorough(
        [(loss, *radius) for loss in ("ce", "dlr", "targeted") for radius in RADII],
        usually=[("ce", "linf", 0.1), ("dlr", "l2", 0.8), ("targeted", "linf", 0.1)],
    ),
)
@pytest.mark.filterwarnings("ignore:there are .* points with zero gradient")
def test_apgd_is_as_strong(loss, norm, eps, subject, pyautoattack):
    from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted

    steps, mine, theirs = 100, [], []  # of 50, theirs would round the checkpoints differently
    make = APGDAttack_targeted if loss == "targeted" else APGDAttack
    options = {} if loss == "targeted" else {"loss": loss}
    for seed in range(1 if loss == "targeted" else 3):  # nine targets are nine starts
        (ledger,) = subject.attack("apgd", norm=norm, eps=[eps], loss=loss, steps=steps, seed=seed).ledgers
        mine.append(float(ledger.survived.mean()))
        attack = make(
            subject.model, n_iter=steps, norm=NORMS[norm], eps=eps, n_restarts=1, seed=seed, device="cpu", **options
        )
        theirs.append(stands(subject, attack.perturb(subject.x, subject.y)))
    compared(f"APGD-{loss}, {steps} steps, {norm} ε {eps:g}", mine, theirs)


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.15), ("l2", 1.0)])
def test_square_is_as_strong(norm, eps, subject, pyautoattack):
    from pyautoattack.square import SquareAttack

    subject, queries, mine, theirs = subject.first(200), 200, [], []
    for seed in range(2):
        (ledger,) = subject.attack("square", norm=norm, eps=[eps], queries=queries, seed=seed).ledgers
        mine.append(float(ledger.survived.mean()))
        attack = SquareAttack(
            subject.model, norm=NORMS[norm], n_queries=queries, eps=eps, n_restarts=1, seed=seed, device="cpu"
        )
        theirs.append(stands(subject, attack.perturb(subject.x, subject.y)))
    compared(f"Square, {queries} queries, {norm} ε {eps:g}", mine, theirs)


@pytest.mark.parametrize(("norm", "eps"), thorough(RADII, usually=RADII[1:]))
def test_the_ensemble_is_as_strong(norm, eps, subject, pyautoattack):
    """Square with 500 queries on both sides: it comes last and has next to nothing left to break."""
    few = subject.first(100)
    (ledger,) = few.attack("standard", norm=norm, eps=[eps], queries=500).ledgers
    ensemble = pyautoattack.AutoAttack(few.model, norm=NORMS[norm], eps=eps, seed=0, version="standard", device="cpu")
    ensemble.square.n_queries = 500
    adversarial, _ = ensemble.run_standard_evaluation(few.x, few.y, batch_size=100)
    mine, theirs = shares(f"standard, {norm} ε {eps:g}", float(ledger.survived.mean()), stands(few, adversarial))
    assert 0.05 < theirs < 0.95, "choose ε such that some fall and some stand"
    assert mine <= theirs + SLACK


def test_the_random_state_is_left_alone(subject):
    """Noise belongs to samples: running an attack draws nothing from torch's own stream."""
    before = torch.random.get_rng_state()
    subject.first(8).attack("square", eps=[0.1], queries=5)
    assert torch.equal(before, torch.random.get_rng_state())
