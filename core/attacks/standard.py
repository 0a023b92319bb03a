"""The ensemble that papers report: AutoAttack, worst case per sample."""

from __future__ import annotations

from core.engine.attack import Attack, steps
from core.records.attack import AttackSpec
from core.registry import Parameter


def standard(attack: AttackSpec) -> tuple[AttackSpec, ...]:
    """APGD on the cross-entropy, APGD on the targeted difference of logits ratio, a minimum-norm attack and Square, each
    on what the ones before left standing (Croce, Hein 2020, section 5).

    FMN stands for targeted FAB: both look for the nearest boundary, and it is asked once for all ε. With three classes
    the targeted ratio takes z_π1 − z_π3 for its denominator, with two it is the plain difference of logits.
    """
    params = attack.params

    def member(name: str, **options: object) -> AttackSpec:
        return AttackSpec(name, attack.norm, attack.eps, options, attack.seed, attack.engine)

    descent = {"steps": params["steps"], "restarts": 1}
    return (
        member("apgd", loss="ce", **descent),
        member("apgd", loss="targeted", **descent),
        member("fmn", steps=params["steps"], alpha=1.0, gamma=0.05),
        member("square", queries=params["queries"], p=0.8, restarts=1),
    )


ENTRY = Attack(
    "standard",
    "the AutoAttack ensemble, worst case per sample: APGD on cross-entropy, targeted APGD, FMN (for FAB), Square",
    "Croce, Hein 2020; FMN: Pintor et al. 2021",
    (
        steps(100, "gradient steps of each white-box member"),
        Parameter("queries", "int", 5000, "logits that Square asks for, at most", low=1),
    ),
    engine=3,
    ensemble=standard,
)
