"""What is asked of a study: the paper's claims, and of every factor that varies what its levels do.

To ask one more thing: a Question here. Claims about attacks count every attack that all models had, at the score's ε.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from core.verdict.decisions import Doubt, all_of, at_least
from core.verdict.findings.contrast import Group, Value, against, interaction
from core.verdict.findings.finding import Hindrance, Kind, Obstacle
from core.verdict.findings.models import UNDEFENDED, Model, varying
from core.verdict.scoring.outcomes import UnderAttack

WEAK = (("claim-1", "activation", "sigmoid"), ("claim-2", "optimizer", "adagrad"), ("claim-3", "optimizer", "adamax"))
"""The paper's claims 1 to 3: these levels weaken the model, whatever the attack."""
BETTER = ("claim-4", "optimizer", "rmsprop", "adam", 2)
"""Claim 4: RMSProp outperforms Adam on several attacks, which is two at least."""
CHANGES = ("claim-5", ("optimizer", "activation", "architecture"))
"""Claim 5: these change what adversarial training achieves."""

BELOW, ABOVE, APART = "below", "above", "apart"
"""What a question supposes of its differences: the level lies below the others by the margin, above, or either."""


@dataclass(frozen=True)
class Comparison:
    """One difference that a question rests on: `level` less `other`, under one attack or (None) in the worst case over all."""

    level: str
    other: str
    attack: str | None
    groups: tuple[Group, ...]
    over: tuple[str, ...]
    value: Value


@dataclass(frozen=True)
class Question:
    """That `least` of the comparisons at least (None: all) come out as supposed. Questions of one `family` are adjusted for
    together."""

    key: str
    kind: Kind
    family: str
    factor: str
    levels: tuple[str, ...]
    supposes: str
    comparisons: tuple[Comparison, ...]
    least: int | None = None
    obstacles: tuple[Obstacle, ...] = ()
    attacks: tuple[str, ...] = ()

    @property
    def needed(self) -> int:
        """Comparisons that must come out as supposed."""
        return len(self.comparisons) if self.least is None else self.least

    @property
    def sharing(self) -> int:
        """How many comparisons share the question's error where the deciding one is tested (Holm)."""
        return max(1, len(self.comparisons) - self.needed + 1)

    def combine(self, doubts: Sequence[Doubt]) -> Doubt:
        """One doubt of those of the comparisons."""
        return all_of(doubts) if self.least is None else at_least(self.least, doubts)


def questions(models: Sequence[Model]) -> list[Question]:
    """All of them, the paper's claims first. What cannot be asked has no comparisons, and says why."""
    found = [*claims(models), *effects(models)]
    return found if models else [replace(one, obstacles=(Obstacle(Hindrance.NO_MODELS),)) for one in found]


def claims(models: Sequence[Model]) -> list[Question]:
    attacks = common_attacks(models)
    found = [_weakens(models, attacks, *claim) for claim in WEAK]
    found.append(_outperforms(models, attacks))
    return [*found, *_changes_training(models)]


def _weakens(
    models: Sequence[Model], attacks: Sequence[tuple[str, str]], key: str, factor: str, level: str
) -> Question:
    others = sorted({model.names[factor] for model in models} - {level})
    obstacles = []
    if not any(model.names[factor] == level for model in models):
        obstacles.append(Obstacle(Hindrance.NO_LEVEL, names=(factor, level)))
    elif not others:
        obstacles.append(Obstacle(Hindrance.ONE_LEVEL, names=(factor, level)))
    if not attacks:
        obstacles.append(Obstacle(Hindrance.NO_ATTACKS))
    comparisons = _under_each(models, attacks, factor, level, others)
    return Question(
        key, Kind.CLAIM, "claims", factor, (level,), BELOW,
        () if obstacles else comparisons, None, tuple(obstacles), tuple(name for _, name in attacks),
    )  # fmt: skip


def _outperforms(models: Sequence[Model], attacks: Sequence[tuple[str, str]]) -> Question:
    key, factor, level, other, least = BETTER
    there = {model.names[factor] for model in models}
    obstacles = [Obstacle(Hindrance.NO_LEVEL, names=(factor, name)) for name in (level, other) if name not in there]
    if len(attacks) < least:
        obstacles.append(Obstacle(Hindrance.FEW_ATTACKS, len(attacks), tuple(name for _, name in attacks)))
    comparisons = _under_each(models, attacks, factor, level, [other])
    return Question(
        key, Kind.CLAIM, "claims", factor, (level, other), ABOVE,
        () if obstacles else comparisons,
        least, tuple(obstacles), tuple(name for _, name in attacks),
    )  # fmt: skip


def _under_each(
    models: Sequence[Model], attacks: Sequence[tuple[str, str]], factor: str, level: str, others: Sequence[str]
) -> tuple[Comparison, ...]:
    """A level against each of others, by the registry's names, under each attack by itself."""
    return tuple(
        Comparison(
            level,
            other,
            name,
            tuple(against(models, factor, level, [other], by_name=True)),
            (factor,),
            under(attack_id),
        )
        for other in others
        for attack_id, name in attacks
    )


def _changes_training(models: Sequence[Model]) -> list[Question]:
    """For each factor: some levels differ among defended models; and differ otherwise there than among undefended ones."""
    key, factors = CHANGES
    defended = [model for model in models if model.defended]
    attacks = tuple(name for _, name in common_attacks(models))
    found = []
    for factor in factors:
        levels = sorted({model.levels[factor] for model in defended})
        obstacles = []
        if not defended:
            obstacles.append(Obstacle(Hindrance.NO_DEFENSE))
        elif len(levels) < 2:
            obstacles.append(Obstacle(Hindrance.ONE_LEVEL, names=(factor, *levels)))
        pairs = [
            Comparison(one, other, None, tuple(against(defended, factor, one, [other])), (factor,), worst_case)
            for one, other in itertools.combinations(levels, 2)
        ]
        found.append(
            Question(f"{key}:{factor}", Kind.CLAIM, "claims", factor, (), APART,
                     () if obstacles else tuple(pairs), 1, tuple(obstacles), attacks)
        )  # fmt: skip
    return [*found, *(_interacts(models, key, factor, attacks) for factor in factors)]


def _interacts(models: Sequence[Model], key: str, factor: str, attacks: tuple[str, ...]) -> Question:
    levels = sorted({model.levels[factor] for model in models})
    defenses = sorted({model.levels["defense"] for model in models if model.defended})
    obstacles = []
    if not defenses or all(model.defended for model in models):
        obstacles.append(Obstacle(Hindrance.NO_DEFENSE))
    elif len(levels) < 2:
        obstacles.append(Obstacle(Hindrance.ONE_LEVEL, names=(factor, *levels)))
    pairs = [
        Comparison(
            f"{one} with {defense}",
            other,
            None,
            tuple(interaction(models, (factor, "defense"), (one, other), (defense, UNDEFENDED))),
            (factor, "defense"),
            worst_case,
        )
        for defense in defenses
        for one, other in itertools.combinations(levels, 2)
    ]
    return Question(f"{key}:defense×{factor}", Kind.INTERACTION, "claims", factor, (), APART,
                    () if obstacles else tuple(pairs), 1, tuple(obstacles), attacks)  # fmt: skip


def effects(models: Sequence[Model]) -> list[Question]:
    """Of every factor that varies, each level against the mean of the others; of two levels, the one against the other."""
    attacks = tuple(name for _, name in common_attacks(models))
    found = []
    for factor in varying(models):
        levels = sorted({model.levels[factor] for model in models})
        asked = (
            levels[1:] if len(levels) == 2 and levels[0] == UNDEFENDED else levels[: 1 if len(levels) == 2 else None]
        )
        for level in asked:
            others = [other for other in levels if other != level]
            comparison = Comparison(
                level,
                others[0] if len(others) == 1 else "",
                None,
                tuple(against(models, factor, level, others)),
                (factor,),
                worst_case,
            )
            found.append(
                Question(f"effect:{factor}:{level}", Kind.EFFECT, f"effect:{factor}", factor, (level, *others), APART,
                         (comparison,), None, () if attacks else (Obstacle(Hindrance.NO_ATTACKS),), attacks)
            )  # fmt: skip
    return found


def worst_case(model: Model) -> NDArray[np.bool_] | None:
    """Who stands under all attacks that every model of the study had, at the score's ε."""
    return model.outcomes.worst


def under(attack_id: str) -> Value:
    """Who stands under one attack."""

    def standing(model: Model) -> NDArray[np.bool_] | None:
        return next((one.standing for one in model.outcomes.attacks if one.attack_id == attack_id), None)

    return standing


def common_attacks(models: Sequence[Model]) -> list[tuple[str, str]]:
    """(id, what to call it) of every attack that all models had; namesakes with norm and ε."""
    common, _ = shared_attacks(models)
    shared = {one.name for one in common if sum(other.name == one.name for other in common) > 1}
    return [(one.attack_id, f"{one.name} {one.norm} {one.eps:g}" if one.name in shared else one.name) for one in common]


def shared_attacks(models: Sequence[Model]) -> tuple[list[UnderAttack], list[UnderAttack]]:
    """Those that all models had, and those that some did, in the order in which they are met."""
    seen: dict[str, UnderAttack] = {}
    counts: dict[str, int] = {}
    for model in models:
        for one in model.outcomes.attacks:
            seen.setdefault(one.attack_id, one)
            counts[one.attack_id] = counts.get(one.attack_id, 0) + 1
    common = [one for key, one in seen.items() if counts[key] == len(models)]
    return common, [one for key, one in seen.items() if counts[key] < len(models)]
