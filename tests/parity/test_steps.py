"""Step for step with foolbox in float64, and share for share where the start is random."""

import copy
import math

import pytest
import torch

from core.attacks import ATTACKS, resolve
from core.engine.geometry import project
from core.engine.victim import Victim, under_attack

TOLERANCE = 1e-6


@pytest.fixture(scope="session")
def exact(subject):
    """The net and 60 images in float64."""
    model = copy.deepcopy(subject.model).double()
    return model, subject.x[:60].double(), subject.y[:60]


def foolbox_class(foolbox, name, norm):
    return {
        ("bim", "linf"): foolbox.attacks.LinfBasicIterativeAttack,
        ("bim", "l2"): foolbox.attacks.L2BasicIterativeAttack,
        ("pgd", "linf"): foolbox.attacks.LinfPGD,
        ("pgd", "l2"): foolbox.attacks.L2PGD,
    }[name, norm]


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.07), ("l2", 0.5)])
def test_fgsm_is_foolboxs(norm, eps, exact, foolbox):
    model, x, y = exact
    attack = {"linf": foolbox.attacks.LinfFastGradientAttack, "l2": foolbox.attacks.L2FastGradientAttack}[norm]()
    theirs = attack.run(foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu"), x, y, epsilon=eps)
    spec = resolve("fgsm", {"eps": [eps], "norm": norm}, "attack")
    with under_attack(model):
        direction = ATTACKS["fgsm"].direction(Victim(model), x, y, torch.arange(len(x)), 0, spec)
    difference = float((project(x + eps * direction, x, eps, norm) - theirs).abs().max())
    print(f"\nFGSM {norm}: farthest pixel {difference:.1e} from foolbox's")
    assert difference < TOLERANCE


@pytest.mark.parametrize(
    ("norm", "eps", "alpha"), [("linf", 0.08, 0.02), ("linf", 0.15, 0.04), ("l2", 0.6, 0.15), ("l2", 0.9, 0.25)]
)
@pytest.mark.parametrize("name", ["bim", "pgd"])
def test_iterates_are_foolboxs(name, norm, eps, alpha, exact, foolbox):
    """An image that falls is foolbox's at the first step that breaks it, one that stands is foolbox's last."""
    model, x, y = exact
    steps = 8
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    iterates = [x]
    for count in range(1, steps + 1):
        attack = foolbox_class(foolbox, name, norm)(abs_stepsize=alpha, steps=count, random_start=False)
        iterates.append(attack.run(wrapped, x, y, epsilon=eps))
    theirs = torch.stack(iterates)
    with torch.no_grad():
        fooled = torch.stack([model(iterate).argmax(dim=1) != y for iterate in iterates])
    falls = fooled.any(dim=0)
    assert 5 < int(falls.sum()) < len(y) - 5, "choose ε such that some fall and some stand"
    first = torch.where(falls, fooled.int().argmax(dim=0), steps)

    extra = {} if name == "bim" else {"random_start": False}
    spec = resolve(name, {"eps": [eps], "norm": norm, "steps": steps, "alpha": alpha, **extra}, "attack")
    with under_attack(model):
        outcome = ATTACKS[name].iterate(Victim(model), x, y, torch.arange(len(x)), 0, eps, spec)
    assert torch.equal(outcome.broken, falls)
    mine = torch.where(falls[:, None, None, None], outcome.found, outcome.last)
    difference = float((mine - theirs[first, torch.arange(len(x))]).abs().max())
    print(
        f"\n{name} {norm} ε {eps:g}: {int(falls.sum())} of {len(y)} fall; farthest pixel {difference:.1e} from foolbox's"
    )
    assert difference < TOLERANCE


@pytest.mark.parametrize(("norm", "radii"), [("linf", (0.06, 0.1, 0.14)), ("l2", (0.4, 0.8, 1.2))])
def test_from_random_starts_as_many_stand_as_in_foolbox(norm, radii, subject, foolbox):
    """Within half a point or two standard errors of a share of so many images, whichever is more."""
    steps, count = 20, len(subject.y)
    ledgers = subject.attack("pgd", norm=norm, eps=list(radii), steps=steps, alpha="eps/8").ledgers
    wrapped = foolbox.PyTorchModel(subject.model, bounds=(0, 1), device="cpu")
    torch.manual_seed(0)
    for eps, ledger in zip(radii, ledgers, strict=True):
        attack = foolbox_class(foolbox, "pgd", norm)(rel_stepsize=1 / 8, steps=steps, random_start=True)
        theirs = float(subject.right(attack.run(wrapped, subject.x, subject.y, epsilon=eps)).float().mean())
        mine = float(ledger.survived.mean())
        allowed = max(0.005, 2 * math.sqrt(theirs * (1 - theirs) / count))
        print(
            f"\nPGD-{steps} {norm} ε {eps:g}, random start: {mine:.1%} stand, foolbox {theirs:.1%} (allowed ± {allowed:.1%})"
        )
        assert abs(mine - theirs) <= allowed
