"""The list of findings and its evidence, made of made-up studies: what a line says, what gives way, what a pair shows."""

from dataclasses import replace

import pytest
from rich.cells import cell_len

from app.report.findings import Findings
from app.report.signed import axis
from app.tui.findings import charts, evidence
from app.tui.findings.table import groups, table
from core.records.attack import Threat
from core.verdict.findings import find
from core.verdict.findings.description import describe
from core.verdict.findings.pairs import pairs
from tests.core.worlds import study

LEVELS = {
    "architecture": ("kumar-cnn",),
    "optimizer": ("adam lr=0.02", "rmsprop", "adamax", "sgd lr=0.3 momentum=0.9"),
    "activation": ("relu", "sigmoid", "tanh"),
    "defense": ("none", "pgd-at"),
}


def accuracy(cell, attack):
    defended = (0.1 if cell["optimizer"] == "rmsprop" else 0.2) if cell["defense"] == "pgd-at" else 0.0
    return 0.5 + defended - 0.15 * (cell["activation"] == "sigmoid") - 0.1 * (attack == "pgd")


@pytest.fixture(scope="module")
def found():
    models = study(accuracy, levels=LEVELS, images=200)
    models = [replace(one, trust="suspect") if one.seed == 0 else one for one in models]
    return Findings("made-up", Threat("linf", 0.1), 0.5, tuple(models), tuple(find(models)), describe(models))


def of(found, key):
    return next(one for one in found.found if one.key == key)


def lines(made):
    """As the Grid would write them."""
    return [
        "  " + " ".join(column.cell(line)[0].ljust(column.width)[: column.width] for column in made.columns)
        for line in made.lines
    ]


@pytest.mark.parametrize("width", [60, 78, 79, 110, 200])
def test_no_verdict_or_claim_is_cut_and_nothing_is_wider_than_there_is_room(found, width):
    made = table(found, {"claim-5:activation": (4, 12)}, width)
    text = lines(made)
    assert all(cell_len(line) <= width for line in text)
    for one in found.found:
        (line,) = [line for line in made.lines if line.key == one.key]
        word = line.cells["verdict"][0]
        assert len(word) <= made.columns[0].width
        assert any(word in row for row in text)
    assert made.columns[3].width >= 9
    assert made.columns[3].width % 2 == 1
    assert any(("settling, 4 of 12" if width >= 100 else "settling 4/12") in line for line in text)


def test_columns_give_way_whole_pairs_first_then_trust(found):
    def titles(width):
        return [column.title for column in table(found, {}, width).columns][4:]

    assert titles(110) == ["n", "trust"]
    assert titles(78) == ["n", "trust"]
    assert titles(74) == ["trust"]
    assert titles(60) == []


def test_claims_come_first_and_of_a_factor_the_best_level(found):
    several = dict(groups(found))
    assert list(several) == ["claims", "optimizer", "activation", "defense", "silent"]
    effects = [one.effect for one in several["activation"]]
    assert effects == sorted(effects, reverse=True)
    assert several["activation"][-1].levels[0] == "sigmoid"
    assert all(one.effect is not None for one in several["claims"])
    assert [one.key for one in several["silent"]] == ["claim-2", "claim-5:architecture", "claim-5:defense×architecture"]
    assert "no scored model has adagrad" in evidence.of_heading(found, "silent", 80, str).plain


def test_every_whisker_is_on_the_axis_of_the_title(found):
    made = table(found, {}, 110)
    bars = {line.key: line.cells["axis"][0] for line in made.lines if "axis" in line.cells}
    room = made.columns[3].width
    assert {len(bar) for bar in bars.values()} == {room}
    limit = float(made.columns[3].title.rpartition("+")[2])
    assert made.columns[3].title == axis(limit, room)
    assert max(abs(100 * end) for one in found.found for end in one.interval or ()) <= limit
    assert bars["effect:activation:sigmoid"].index("●") < room // 2 < bars["effect:defense:pgd-at"].index("●")


def test_pairs_that_go_the_other_way_come_first_and_say_so(found):
    one = of(found, "effect:optimizer:sgd lr=0.3 momentum=0.9")
    several = pairs(one.deciding.found)
    columns, made = evidence.pair_table(several, one.effect, 60)
    contrary = [line.cells["way"][0] == "other way" for line in made]
    count = sum(pair.difference * one.effect < 0 for pair in several)
    assert 0 < count < len(several)
    assert contrary == [True] * count + [False] * (len(several) - count)
    assert f"{count} of {len(several)} go" in evidence.caption(one, one.deciding, str)
    assert 2 + sum(column.width + 1 for column in columns) <= 60
    narrow, _ = evidence.pair_table(several, one.effect, 48)
    assert 2 + sum(column.width + 1 for column in narrow) <= 48
    assert [column.width for column in narrow[1:]] == [column.width for column in columns[1:]], "only names are cut"


def test_what_a_finding_rests_on_names_every_comparison_and_the_key_that_helps(found):
    def rests(key, width=200):
        return evidence.rests(found, of(found, key), {}, width, {"mode('compose')": "f2"}.__getitem__).plain

    text = rests("claim-1")
    assert text.startswith("SUPPORTED  Sigmoid activation weakens the model")
    assert text.count("sigmoid against") == 5, "the one that decides, then all four"
    assert text.count("►") == 1
    assert "no scored model has adagrad: add it to optimizers and run made-up again; here: f2 Compose" in rests(
        "claim-2"
    )
    assert max(map(cell_len, rests("claim-1", 60).splitlines())) <= 60


def test_a_claim_about_defended_models_is_crossed_with_the_defense(found):
    partners = {"optimizer": "activation", "activation": "optimizer", "defense": "optimizer"}
    assert charts.crossed_with(partners, "claims", of(found, "claim-5:optimizer")) == ("optimizer", "defense")
    assert charts.crossed_with(partners, "optimizer", of(found, "effect:optimizer:adamax")) == (
        "optimizer",
        "activation",
    )
    assert charts.crossed_with(partners, "claims", None) == ("optimizer", "activation")
    assert charts.crossed_with({"optimizer": None}, "optimizer", None) is None
