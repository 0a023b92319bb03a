"""Minimum-norm attacks against foolbox's: the median distance is no more than 2 % longer, on as many steps."""

import numpy as np
import pytest

LONGER = 1.02


def distances(event):
    (ledger,) = event.ledgers
    assert ledger.eps is None
    return ledger.distances


def foolbox_distances(foolbox, attack, subject, norm):
    """Distances of the images that really fool the model, inf where none does."""
    wrapped = foolbox.PyTorchModel(subject.model, bounds=(0, 1), device="cpu")
    adversarial = attack.run(wrapped, subject.x, foolbox.criteria.Misclassification(subject.y))
    delta = (adversarial - subject.x).flatten(1)
    length = delta.abs().amax(dim=1) if norm == "linf" else delta.norm(dim=1)
    return np.where(subject.right(adversarial).numpy(), np.inf, length.numpy())


def medians(name, mine, theirs):
    """Prints and returns both medians."""
    ours, others = float(np.median(mine)), float(np.median(theirs))
    shorter = float((mine < theirs).mean())
    print(
        f"\n{name}: median {ours:.4f}, foolbox {others:.4f} ({ours / others - 1:+.1%}); shorter on {shorter:.0%}; "
        f"failed on {int(np.isinf(mine).sum())} and {int(np.isinf(theirs).sum())} of {len(mine)}"
    )
    return ours, others


@pytest.fixture(scope="module")
def few(subject):
    """C&W takes its time."""
    return subject.first(60)


@pytest.fixture(scope="module")
def cw(few):
    return distances(few.attack("cw", steps=150, search_steps=6, lr=0.01, c=0.01))


@pytest.fixture(scope="module")
def fmn(subject):
    return distances(subject.attack("fmn", norm="l2", steps=100))


def test_cw_finds_images_as_near_as_foolboxs(few, cw, foolbox):
    attack = foolbox.attacks.L2CarliniWagnerAttack(
        binary_search_steps=6, steps=150, stepsize=0.01, initial_const=0.01, abort_early=False
    )
    ours, theirs = medians("C&W, 6 × 150 steps", cw, foolbox_distances(foolbox, attack, few, "l2"))
    assert ours <= LONGER * theirs
    assert np.isfinite(cw).all()


def test_fmn_finds_images_as_near_as_foolboxs(subject, fmn, foolbox):
    """DDN is the stronger rival: the projection of foolbox's own ℓ2 FMN leaves every point where it is (3.3.4)."""
    for name, attack in (
        ("DDN", foolbox.attacks.DDNAttack(steps=100)),
        ("FMN", foolbox.attacks.L2FMNAttack(steps=100)),
    ):
        theirs = foolbox_distances(foolbox, attack, subject, "l2")
        ours, theirs = medians(f"FMN ℓ2 against {name}, 100 steps", fmn, theirs)
        assert ours <= LONGER * theirs
    assert np.isfinite(fmn).all()


def test_fmn_in_linf_finds_images_as_near_as_foolboxs(subject, foolbox):
    mine = distances(subject.attack("fmn", norm="linf", steps=100))
    theirs = foolbox_distances(foolbox, foolbox.attacks.LInfFMNAttack(steps=100), subject, "linf")
    ours, theirs = medians("FMN ℓ∞, 100 steps", mine, theirs)
    assert ours <= LONGER * theirs
    assert np.isfinite(mine).all()


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_deepfool_finds_images_as_near_as_foolboxs(norm, subject, foolbox):
    mine = distances(subject.attack("deepfool", norm=norm, steps=50, overshoot=0.02))
    make = {"l2": foolbox.attacks.L2DeepFoolAttack, "linf": foolbox.attacks.LinfDeepFoolAttack}[norm]
    theirs = foolbox_distances(foolbox, make(steps=50, overshoot=0.02), subject, norm)
    ours, theirs = medians(f"DeepFool {norm}", mine, theirs)
    assert ours <= LONGER * theirs


def test_fmn_and_cw_do_not_contradict_each_other(few, cw, fmn):
    """Two algorithms with nothing in common but the problem: their medians agree within 5 %."""
    near = fmn[: len(cw)]
    print(f"\nC&W {np.median(cw):.4f}, FMN {np.median(near):.4f}")
    assert np.median(cw) == pytest.approx(np.median(near), rel=0.05)
