"""Made-up studies: models with known effects, for findings to find."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from core.audit import AuditedRadius
from core.verdict.findings.models import Audited, Model
from core.verdict.scoring.outcomes import Outcomes, UnderAttack

FULL = {
    "architecture": ("kumar-cnn",),
    "optimizer": ("adam", "rmsprop", "adamax", "sgd"),
    "activation": ("relu", "sigmoid", "tanh"),
    "defense": ("none",),
}
ATTACKS = ("fgsm", "pgd")


def study(
    accuracy: Callable[[Mapping[str, str], str], float],
    *,
    levels: Mapping[str, Sequence[str]] = FULL,
    seeds: int = 3,
    images: int = 400,
    attacks: Sequence[str] = ATTACKS,
    seed_deviation: float = 0.01,
    audited: bool = True,
    fell: int = 0,
    trust: str = "ok",
    rng: int = 0,
) -> list[Model]:
    """A model for every cell and seed. `accuracy` of a cell under an attack is its share of images that stand; each image is as
    hard for all models, so that they mostly agree."""
    draw = np.random.default_rng(rng)
    hardness = draw.random(images)
    found = []
    for seed in range(seeds):
        for chosen in itertools.product(*levels.values()):
            cell = dict(zip(levels, chosen, strict=True))
            luck = draw.normal(0.0, seed_deviation)
            standing = {}
            for attack in attacks:
                share = np.clip(accuracy(cell, attack) + luck, 0.0, 1.0)
                standing[attack] = hardness + draw.normal(0.0, 0.02, images) < share
            worst = np.all(list(standing.values()), axis=0) if standing else None
            clean = np.ones(images, bool) if worst is None else worst | (hardness < 0.97)
            name = "-".join([*chosen, str(seed)])
            share = 0.0 if worst is None else float(worst.mean())
            count = round(share * images)
            radius = AuditedRadius(0.1, count, min(64, count), fell, fell, 1, ("fmn",), ("fmn",) if fell else ())
            found.append(
                Model(
                    trial_id=name,
                    variant_id="-".join(chosen),
                    seed=seed,
                    levels=cell,
                    names={factor: level.split()[0] for factor, level in cell.items()},
                    trust=trust,
                    uneven=False,
                    bound=not audited,
                    outcomes=Outcomes(
                        10, False, (0.1,) if attacks else (), clean,
                        np.zeros((0, images), bool) if worst is None else worst[None, :], worst,
                        tuple(UnderAttack(one * 8, one, "linf", 0.1, standing[one]) for one in attacks),
                    ),
                    audited=Audited(share, share, images, radius if audited else None),
                )
            )  # fmt: skip
    return found
