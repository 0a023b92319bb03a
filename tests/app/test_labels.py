"""What variants and trials are called: only what tells them apart, and never two by the same name."""

import itertools
from pathlib import Path
from types import SimpleNamespace

from app.report.labels import Made, shown_choice, trial_label
from app.report.text import in_room
from app.report.variants import levels
from core.study.plan import TrialSpec
from core.study.presets import preset_text
from core.study.resolve import parse_study, parse_toml


def architectures(*given):
    document = parse_toml(preset_text("architectures"), "it") | {"architectures": list(given)}
    return parse_study(document, "it", Path("/")).architectures, document


def named(choices, document):
    """As listings of rows, a study's own page and its plan say it."""
    rows = [SimpleNamespace(architecture=one.name, architecture_options=one.options) for one in choices]
    study = parse_study(document, "it", Path("/"))
    trials = [
        TrialSpec("d", None, one, study.activations[0], study.optimizers[0], study.defenses[0], study.training, 0)
        for one in choices
    ]
    alone = {**document, "optimizers": ["adam"], "seeds": 1}
    return (
        levels(rows, "architecture"),
        [trial_label(Made.of_spec(trial), alone) for trial in trials],
        [shown_choice(one, choices) for one in choices],
    )


def test_of_many_namesakes_only_what_most_of_them_lack_is_told():
    base, *others = (
        "kumar-cnn", {"name": "kumar-cnn", "width": 0.5}, {"name": "kumar-cnn", "depth": 2},
        {"name": "kumar-cnn", "batch_norm": True, "norm": "before"}, {"name": "kumar-cnn", "dropout": 0.0}, "mlp",
    )  # fmt: skip
    for names in named(*architectures(base, *others)):
        assert names == [
            "kumar-cnn", "kumar-cnn width=0.5", "kumar-cnn depth=2", names[3], "kumar-cnn dropout=0", "mlp",
        ]  # fmt: skip
        assert set(names[3].split()) == {"kumar-cnn", "batch_norm=on", "norm=before"}


def test_of_two_both_are_told():
    for names in named(*architectures("kumar-cnn", {"name": "kumar-cnn", "width": 0.5})):
        assert names == ["kumar-cnn width=1", "kumar-cnn width=0.5"]


def test_no_two_choices_share_a_name():
    several = [
        {"name": "kumar-cnn", **dict(zip(("width", "batch_norm", "norm", "depth"), values, strict=True) if on else ())}
        for *values, on in itertools.product((0.5, 1.0), (True,), ("before", "after"), (2, 3), (True, False))
    ]
    distinct = [one for place, one in enumerate(several) if one not in several[:place]][:7]
    for size in range(2, len(distinct) + 1):
        for picked in itertools.combinations(distinct, size):
            choices, document = architectures(*picked)
            for names in named(choices, document):
                assert len(set(names)) == len(picked), picked


def test_spare_columns_are_left_out_one_after_another_until_the_rest_has_room():
    headings, rows = ["attack", "forward", "seconds"], [["fgsm", "10", "1.5"], ["pgd", "400", "60"]]
    assert in_room(headings, rows, 24, ("forward", "seconds")) == (headings, rows, [])
    assert in_room(headings, rows, 23, ("forward", "seconds")) == (
        ["attack", "seconds"],
        [["fgsm", "1.5"], ["pgd", "60"]],
        ["forward"],
    )
    assert in_room(headings, rows, 5, ("forward", "trust", "seconds"))[0] == ["attack"]
