"""`innate findings` as a user calls it, on a study that was really trained: two optimizers, activations and seeds, no audit."""

import json
from dataclasses import replace

import numpy as np
import pytest

from app.report import cause_words
from core.verdict.findings import find
from tests.conftest import innate_command
from tests.core.test_causes import BLOCKS, world


@pytest.fixture
def read(filled):
    def call(*arguments):
        done = innate_command(*arguments, home=filled)
        return done.stdout, done.stderr

    return call


def flat(text):
    return " ".join(text.split())


def test_every_finding_has_what_programs_rely_on(read):
    document = json.loads(read("findings", "--json")[0])
    assert list(document) == ["schema_version", "findings", "ranks", "variance"]
    found = {row["key"]: row for row in document["findings"]}
    assert {"claim-1", "claim-2", "claim-3", "claim-4", "claim-5:optimizer"} < set(found)
    for row in document["findings"]:
        assert {"claim", "verdict", "effect", "interval", "n", "won", "attacks", "audit_bound", "trust"} <= set(row)
        assert row["verdict"] in ("supported", "contradicted", "inconclusive")
        assert (row["effect"] is None) == (row["interval"] is None) == (row["n"] == 0)
    one = found["effect:activation:relu"]
    assert one["interval"][0] < one["effect"] < one["interval"][1]
    assert (one["n"], one["blocks"], one["seeds"], one["images"]) == (4, 2, 2, 60)
    assert one["attacks"] == ["fgsm", "pgd"]
    assert one["seeds_move_all_alike"] in (True, False)
    assert {row["factor"] for row in document["ranks"]} == {"optimizer", "activation"}
    assert [row["term"] for row in document["variance"]] == ["optimizer", "activation", "optimizer×activation", "rest"]
    assert sum(row["share"] for row in document["variance"]) == pytest.approx(1.0)


def test_every_finding_carries_its_causes(read):
    found = {row["key"]: row for row in json.loads(read("findings", "--json")[0])["findings"]}
    causes = {one["trait"]: one for one in found["effect:activation:relu"]["causes"]}
    assert {"margin", "boundary", "sparsity", "training_loss", "clean_accuracy"} <= set(causes)
    sparsity = causes["sparsity"]
    assert 0.1 < sparsity["difference"] < 1.0, "relu less tanh"
    assert (sparsity["n"], sparsity["of"], sparsity["unit"]) == (2, "blocks", "")
    assert sparsity["rank_correlation"] is sparsity["p"] is sparsity["adjusted_p"] is sparsity["at_equal"] is None
    assert found["claim-1"]["causes"] == []


def told(models):
    (found,) = [one for one in find(models) if one.key == "effect:activation:relu"]
    return found, cause_words.lines(found)


def test_causes_are_told_of_an_effect_that_stands():
    found, (moves, equal) = told(world(0.0, rng=1))
    rho = {one.trait: one.rho for one in found.causes}["margin"]
    assert moves == f"moves with margin (ρ {rho:+.2f}) over 10 blocks"
    assert equal.startswith("at equal margin ")
    assert equal.endswith("): vanishes")
    assert told(world(-0.15, rng=1))[1][-1].endswith("): survives")
    assert told(world(0.0, rng=5, shift=-6.0))[1][-1].endswith(", extrapolated")
    assert cause_words.lines(replace(found, interval=(-0.1, 0.2))) == [], "no effect, no cause"
    unknown = [replace(model, traits={}) for model in world(0.0, rng=1)]
    assert told(unknown)[1] == []
    assert cause_words.assumptions([found])
    assert cause_words.assumptions([told(unknown)[0]]) is None


def test_few_blocks_say_how_many_are_needed():
    few = {**BLOCKS, "architecture": ("mlp",), "optimizer": ("adam", "sgd", "rmsprop", "nadam")}
    assert told(world(0.0, rng=1, levels=few))[1] == ["causes: not enough pairs: 5 blocks are needed, there are 4"]


def test_what_cannot_be_sure_is_told_from_what_is_not():
    five = {**BLOCKS, "architecture": ("mlp",)}
    models = [
        replace(one, traits={**one.traits, "dead": one.traits["margin"]}) for one in world(0.0, rng=1, levels=five)
    ]
    (moves, _) = told([replace(one, traits={**one.traits, "boundary": one.traits["sparsity"]}) for one in models])[1]
    assert moves.startswith("too few to be sure what moves with it, 5 blocks; most margin (ρ +")
    draw = np.random.default_rng(0)
    by_chance = [replace(one, traits={"margin": float(draw.random())}) for one in world(0.0, rng=1)]
    assert told(by_chance)[1][0].startswith("no trait surely moves with it over 10 blocks; most margin (ρ ")


def test_a_trait_that_says_the_same_is_not_named_beside_the_other():
    models = [
        replace(model, traits={**model.traits, "margin_mean": model.traits["margin"]}) for model in world(0.0, rng=1)
    ]
    found, (moves, _) = told(models)
    assert {"margin", "margin_mean"} <= {one.trait for one in cause_words.moves(found)}
    assert "margin mean" not in moves


def test_the_effect_is_the_difference_of_the_leaderboard_s_means(read):
    board = json.loads(read("results", "--json")[0])["results"]
    mean = {name: sum(row["worst_case"] for row in board if row["activation"] == name) / 2 for name in ("relu", "tanh")}
    found = {row["key"]: row for row in json.loads(read("findings", "--json")[0])["findings"]}
    assert found["effect:activation:relu"]["effect"] == pytest.approx(mean["relu"] - mean["tanh"], abs=1e-6)


def test_what_cannot_be_said_names_the_command_that_would_change_it(read):
    found = {row["key"]: row for row in json.loads(read("findings", "--json")[0])["findings"]}
    (unaudited,) = [one for one in found["effect:activation:relu"]["obstacles"] if one["kind"] == "unaudited"]
    assert unaudited["command"] == "innate attack --study tiny --audit"
    assert found["claim-1"]["obstacles"][0]["what"] == "no scored model has sigmoid"
    page = flat(read("findings")[0])
    assert "With 2 seeds, what a seed does to all models alike is hardly seen" in page
    assert "innate attack --study tiny --audit" in page
    assert "no scored model has sigmoid" in page
    assert "Described: variance of the worst case over 8 models" in page


def test_the_page_fits_eighty_columns(read):
    assert max(map(len, read("findings")[0].splitlines())) <= 80


def test_a_larger_margin_makes_verdicts_rarer(read):
    def p(margin):
        rows = json.loads(read("findings", "--margin", margin, "--json")[0])["findings"]
        return {row["key"]: row["margin"] for row in rows}["effect:activation:relu"]

    assert (p("0"), p("2.5")) == (0.0, 0.025)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--margin", "-1"], 2, "--margin -1: give points of accuracy, from 0 to below 100"),
        (["--margin", "nan"], 2, "--margin nan"),
        (["--study", "tinny"], 3, "there is no study 'tinny'; did you mean 'tiny'?"),
    ],
)
def test_bad_input_is_one_line(arguments, code, said, filled):
    done = innate_command("findings", *arguments, home=filled, check=code)
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""


def test_before_any_study_there_is_nothing_to_find(innate):
    done = innate("findings", "--json")
    assert json.loads(done.stdout)["findings"] == []
