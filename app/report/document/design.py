"""What was asked, and of which models, data and attacks: the sections before the results."""

from __future__ import annotations

from collections.abc import Sequence

from app.report.document.material import Material
from app.report.document.record import Block, Section, Table, Text
from app.report.labels import shown_choice
from app.report.variants import choice_text, short
from core.names import FACTORS, NORM_SIGNS
from core.records.attack import AttackSpec
from core.records.choice import Choice
from core.records.study import Search


def question(of: Material) -> Section:
    """The study's own words, and the general question that it is a case of."""
    varied = _listed(of.factors) if of.factors else "training"
    general = (
        f"How does the choice of {varied} change the robustness of an image classifier to adversarial attack? "
        f"Asked here of {of.row.dataset}, at {of.at}."
    )
    own = [Text(of.row.description)] if of.row.description else []
    return Section("Question", (*own, Text(general)))


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def design(of: Material) -> Section:
    """Grid, training, data and attacks."""
    study = of.asked
    axes = (study.architectures, study.optimizers, study.activations, study.defenses)
    searches = {} if study.tuning is None else study.tuning.searches
    levels = [
        (factor, shown_choice(choice, axis), _options(choice, searches.get(place) if factor == "optimizer" else None))
        for factor, axis in zip(FACTORS, axes, strict=True)
        for place, choice in enumerate(axis)
    ]
    blocks: list[Block] = [
        Text(_grid(of, " × ".join(str(len(axis)) for axis in axes))),
        Table("The grid: each combination is a variant.", ("factor", "level", "options"), tuple(levels)),
        Table("Training, the same for all.", ("key", "value"), tuple(_training(of))),
        Text(_data(of)),
        Table(
            "Attacks, each on every model.",
            ("attack", "norm", "ε", "options"),
            tuple(_attack(attack) for attack in study.attacks),
        ),
    ]
    return Section("Design", tuple(blocks))


def _grid(of: Material, product: str) -> str:
    models = f"{len(of.trials)} models, of which {len(of.scored)} are scored"
    seeds = list(of.asked.seeds)
    named = f"seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else f"seed {seeds[0]}"
    moves = "initialisation and data order"
    if "train_subset" in of.asked.vary:
        moves += ", and draws its own training subset"
    return (
        f"{product} variants (architectures × optimizers × activations × defenses) with {named}: {models}. A seed moves {moves}; "
        "variants with the same seed are paired."
    )


def _options(choice: Choice, search: Search | None) -> str:
    """With what is tuned of an optimizer by its range."""
    said = {key: short(value) for key, value in choice.options.items()}
    if search is not None:
        said[search.option] = f"tuned from {search.low:g} to {search.high:g}"
    return ", ".join(f"{key} = {value}" for key, value in said.items()) or "-"


def _training(of: Material) -> list[tuple[str, str]]:
    given = of.document.get("training")
    rules = given.get("hyperparameters", "torch") if isinstance(given, dict) else "torch"
    rows = [(key, choice_text(value)) for key, value in of.asked.training.as_json().items()]
    return [*rows, ("hyperparameters", str(rules))]


def _data(of: Material) -> str:
    channels, height, width = of.row.shape
    trained = "all training images" if of.asked.train_samples is None else f"{of.asked.train_samples} training images"
    tested = "all test images" if of.asked.test_samples is None else f"{of.asked.test_samples} test images"
    drawn = ", stratified and drawn with a fixed seed" if of.asked.train_samples or of.asked.test_samples else ""
    own = "train_subset" in of.asked.vary
    same = "the training images drawn anew by each seed" if own else "the same for every model"
    known = f" Digest of the content: {', '.join(of.data)}." if of.data else ""
    return (
        f"Data: {of.row.dataset} ({width}×{height}, {channels} channel{'' if channels == 1 else 's'}), pixels in [0, 1]; "
        f"{trained} and {tested}{drawn}, {same}.{known}"
    )


def _attack(attack: AttackSpec) -> tuple[str, str, str, str]:
    radii = ", ".join(f"{eps:g}" for eps in attack.eps) or "finds the least"
    options = {**attack.params, "seed": attack.seed}
    return (
        attack.name,
        NORM_SIGNS[attack.norm],
        radii,
        ", ".join(f"{key} = {short(value)}" for key, value in options.items()),
    )
