"""Charts as text, the numbers behind them, and pictures that fit their room."""

import numpy as np
import pytest

from app.report import charts, effect_charts, images, leaders, study_charts
from app.report.aggregate import Estimate, difference, images_of, influences, over_seeds
from app.report.cells import heatmap
from app.report.charts import Canvas
from app.report.effects import default_pair, effects, interactions, partner
from app.report.groups import groups
from app.report.leaders import Ties, ties, ties_line
from app.report.missing import failed_note
from app.report.scope import Scope
from app.report.signed import Residue, residues, whisker, whiskers
from app.report.study_models import study_models
from app.report.study_numbers import heat_table, pareto_front, points, ranking, robustness
from app.report.whiskers import Whisker, estimates
from core.names import FACTORS
from core.verdict.findings.contrast import Group, contrast
from core.verdict.findings.description import describe
from storage import queries
from storage.database import connect
from storage.studies import study_row
from storage.trial import ExampleRow
from tests.conftest import copy_home
from tests.core.worlds import study


@pytest.fixture
def db(filled):
    db = connect(filled / "innate.db", read_only=True)
    yield db
    db.conn.close()


CANVAS = Canvas(80, 20)


def scope(db, **changes):
    return Scope(db, "tiny", **changes)


@pytest.mark.parametrize(
    ("pairs", "front"),
    [
        ([], []),
        ([(1, 1)], [0]),
        ([(1, 3), (2, 2), (3, 1), (1, 1), (2, 1)], [0, 1, 2]),
        ([(1, 1), (1, 2), (2, 2), (2, 1)], [2]),
        ([(1, 1), (1, 1)], [0, 1]),
    ],
)
def test_the_pareto_front_is_what_no_other_beats(pairs, front):
    assert sorted(pareto_front(pairs)) == front


def test_the_front_goes_from_left_to_right():
    assert pareto_front([(3, 1), (1, 3), (2, 2)]) == [1, 2, 0]


def test_a_front_is_the_set_that_nothing_dominates():
    pairs = [tuple(pair) for pair in np.random.default_rng(0).integers(0, 6, (40, 2)).tolist()]

    def beaten(pair):
        return any(other[0] >= pair[0] and other[1] >= pair[1] and other != pair for other in pairs)

    assert sorted(pareto_front(pairs)) == [index for index, pair in enumerate(pairs) if not beaten(pair)]


def test_a_few_variants_keep_the_names_they_have_among_all(db):
    everything = ranking(scope(db), "innate")
    assert len(everything) == 4
    assert [one.estimate.value for one in everything] == sorted(
        (one.estimate.value for one in everything), reverse=True
    )
    only = ranking(scope(db, variants=frozenset({everything[1].variant_id})), "innate")
    assert only == [everything[1]]
    assert len(only[0].trial_ids) == 2
    (line,) = robustness(scope(db, variants=frozenset({everything[1].variant_id})), None).lines
    assert line.curve.label == everything[1].label
    assert line.curve.x == (0.0, 0.1, 0.2)


def test_the_curve_of_worst_cases_goes_through_the_score(db):
    """Not through the least of the attacks' accuracies, which lies above it."""
    scores = {one.variant_id: one.estimate.value for one in ranking(scope(db), "worst_case")}
    clean = {one.variant_id: one.estimate.value for one in ranking(scope(db), "clean_accuracy")}
    eps = study_row(db, "tiny").threat_eps
    lines = robustness(scope(db), None).lines
    assert len(lines) == len(scores)
    for line in lines:
        at = dict(zip(line.curve.x, line.curve.y, strict=True))
        assert at[eps] == pytest.approx(scores[line.group.key])
        assert at[0.0] == pytest.approx(clean[line.group.key])


def test_scores_of_one_ε_are_read_at_another(db):
    at = {(row.trial_id, row.eps): row.accuracy for row in queries.worst_cases(db, "tiny", "linf")}
    clean = {row.trial_id: row.value for row in queries.scores(db, "tiny", "clean_accuracy")}
    worst = scope(db, eps=0.2).scored("worst_case")
    assert {row.trial_id: row.value for row in worst} == {trial: at[trial, 0.2] for trial in clean}
    assert all(row.low is None for row in worst)
    for row in scope(db, eps=0.2).scored("retention"):
        assert row.value == pytest.approx(at[row.trial_id, 0.2] / clean[row.trial_id])
    assert scope(db, eps=0.2).scored("innate") == queries.scores(db, "tiny", "innate")
    table = [heat_table(scope(db, eps=eps), "worst_case", None).values for eps in (0.1, 0.2)]
    assert all(table[0][cell] > table[1][cell] for cell in table[0])


def test_groups_are_of_levels_of_seeds_and_of_single_trials(db):
    rows = queries.scores(db, "tiny", "worst_case")
    found = {
        by: groups(scope(db), rows, by)
        for by in [(), ("variant",), ("optimizer",), ("optimizer", "seed"), ("variant", "seed")]
    }
    assert found[()] == found["variant",]
    assert [len(one) for one in found.values()] == [4, 4, 2, 4, 8]
    assert [group.label for group in found["optimizer",]] == ["adam", "sgd"]
    assert {group.label for group in found["optimizer", "seed"]} == {"adam s0", "adam s1", "sgd s0", "sgd s1"}
    assert "adam relu s0" in {group.label for group in found["variant", "seed"]}
    adam = found["optimizer",][0]
    assert [len(block) for block in adam.blocks] == [2, 2]
    first, second = adam.blocks
    assert adam.mean({first[0]: 1.0, first[1]: 3.0, second[0]: 4.0}) == 3.0, "the mean over variants, not over trials"
    assert adam.mean({}) is None
    assert found["optimizer", "seed"][0].blocks[0] == found["optimizer", "seed"][0].trial_ids[:1]


def test_a_band_is_shaded_behind_the_lines():
    line = charts.Curve("a", (0.0, 1.0, 2.0), (50.0, 40.0, 10.0))

    def drawn(band):
        return charts.curves(
            "", [line], x_label="x", y_label="y", y_limits=(0.0, 100.0), x_ticks=line.x, canvas=CANVAS, band=band
        )

    assert "░" not in drawn(None)
    text = drawn(charts.Band(line.x, (40.0, 30.0, 0.0), (90.0, 80.0, 50.0), 0))
    assert text.count("░") > 100
    assert text.count("●") == drawn(None).count("●")


def test_what_was_attacked_is_marked_on_the_axis(db):
    text = study_charts.robustness_curves(scope(db), CANVAS, None)
    (below,) = (line for line in text.splitlines() if line.split() == ["0", "0.1", "0.2"])
    assert below


def test_each_curve_has_a_colour_of_its_own_and_its_name_has_it_too():
    lines = [charts.Curve(f"line {number}", (0.0, 1.0), (10.0 * number, 50.0)) for number in range(9)]
    for palette in (charts.ORDINARY, charts.COLOUR_BLIND):
        assert len(set(palette)) == charts.MOST_CURVES
        text = charts.curves(
            "t",
            lines,
            x_label="x",
            y_label="y",
            y_limits=None,
            x_ticks=(0.0, 1.0),
            canvas=Canvas(80, 20, True, palette),
        )
        for number, hue in enumerate(palette):
            assert f"\x1b[38;5;{hue}m{charts.MARKERS[number]} line {number}\x1b[0m" in text
        assert "(3 more left out" in text


def test_what_failed_is_named_where_it_is_missing(filled, tmp_path):
    copy_home(filled, tmp_path / "home")
    db = connect(tmp_path / "home" / "innate.db")
    trials = queries.trials(db, "tiny")
    assert failed_note(db, "tiny") is None
    with db.conn:
        db.conn.executemany(
            "UPDATE study_trial SET state = 'failed', reason = 'x' WHERE trial_id = ?",
            [(row.trial_id,) for row in trials[:4]],
        )
    note = failed_note(db, "tiny")
    assert note is not None
    assert note.startswith("Without a result, so not here: ")
    assert note.count(" failed,") + note.count(" failed and") == 3
    assert note.endswith(" and 1 more; see innate trials --study tiny --state failed")
    for text in (
        study_charts.score_estimates(scope(db), CANVAS, "innate"),
        study_charts.robustness_curves(scope(db), CANVAS, None),
        study_charts.score_heatmap(scope(db), CANVAS, "innate", None),
    ):
        assert "Without a result, so not here" in text
    db.conn.close()


def test_the_tradeoff_shows_and_names_its_front(db):
    found = points(scope(db), "worst_case")
    best = [point.group.label for point in found if point.front]
    assert best
    text = study_charts.tradeoff(scope(db), CANVAS, "worst_case")
    assert f"* Pareto front, no other is better in both: {', '.join(best)}" in text
    assert text.count("* ") == len(best) + 1


def test_heat_tables_hold_every_pair_of_levels(db):
    found = heat_table(scope(db), "worst_case", None)
    assert found.factors == ("optimizer", "activation")
    assert len(found.values) == 4
    assert set(found.trust.values()) <= {"ok", "suspect", "invalid"}


def test_a_doubtful_number_carries_its_sign():
    text = heatmap(
        "t", ["a"], ["x", "y"], {("a", "x"): 50.0, ("a", "y"): 40.0}, 60, full=100.0, signs={("a", "x"): "?"}
    )
    assert "50.0?" in text
    assert "40.0?" not in text


def test_charts_leave_the_terminals_background_alone(db):
    text = study_charts.robustness_curves(scope(db), Canvas(80, 20, colour=True), None)
    assert "\x1b[38;5;" in text
    assert "\x1b[48;5;" not in text


# --- differences: effects, interactions, who is as good as the best ---


@pytest.mark.parametrize(
    ("item", "line"),
    [
        (Whisker("", 0.0, -5.0, 5.0), "     ├────●────┤     "),
        (Whisker("", 5.0, 2.0, 8.0), "          │ ├──●──┤  "),
        (Whisker("", -5.0, -8.0, -2.0), "  ├──●──┤ │          "),
        (Whisker("", 4.0, -2.0, 10.0), "        ├─┼───●─────┤"),
        (Whisker("", 10.0, 9.9, 10.0), "          │         ●"),
        (Whisker("", 3.0, 0.2, 6.0), "          │├─●──┤    "),
        (Whisker("", -3.0, -6.0, -0.2), "    ├──●─┤│          "),
        (Whisker("", None, None, None), "          │          "),
    ],
)
def test_a_whisker_lies_where_its_numbers_do(item, line):
    assert whisker(item, 10.0, 21) == line


@pytest.mark.parametrize("width", [40, 60, 80, 140])
def test_whiskers_share_one_axis_and_fit(width):
    items = [
        Whisker("adam lr=0.001 with a name", 12.3, 8.0, 16.6, "9/9 suspect" if width > 40 else "9/9 ?"),
        Whisker("sgd", -12.3, -16.6, -8.0, "0/9"),
    ]
    lines = whiskers(
        "t", [("optimizer", items), ("activation", [Whisker("relu", None, None, None, "no pairs")])], width
    )
    _, heading, first, second, other, third, axis = lines.splitlines()
    assert (heading, other) == ("optimizer", "activation")
    assert max(map(len, lines.splitlines())) <= width
    assert first.index("│") == second.index("│") == third.index("│") == axis.index("0", axis.index("-20") + 3)
    assert first.index("●") - first.index("│") == second.index("│") - second.index("●") > 0
    assert "+12.3" in first
    assert third.rstrip().endswith("no pairs")


def test_bars_with_long_names_never_look_alike():
    names = [f"adam lr={lr} tanh pgd-at steps={steps}" for lr in ("0.001", "0.002") for steps in (7, 10)]
    for width in (40, 60, 80):
        lines = estimates("t", [Whisker(name, 50.0, 40.0, 60.0) for name in names], 100.0, width).splitlines()
        assert len(set(lines[1:-1])) == 4
        assert max(map(len, lines)) <= width


def test_residuals_are_signed_shaded_and_marked():
    cells = {("a", "x"): Residue(5.0, True, "?"), ("a", "y"): Residue(-5.0, True), ("b", "x"): Residue(0.1, False)}
    head, columns, first, second = residues("t", ["a", "b"], ["x", "y"], cells, 80, 5.0).splitlines()
    assert head == "t"
    assert columns.split() == ["x", "y"]
    assert first.split() == ["a", "██", "+5.0*?", "██", "-5.0*"]
    assert second.split() == ["b", "+0.1", "-"]


def test_rows_of_a_heatmap_are_whole_where_there_is_room_and_never_alike():
    names = [f"adam lr=0.001 tanh pgd-at steps={steps}" for steps in (7, 10)]
    values = {(name, column): 50.0 for name in names for column in "xyz"}
    wide = heatmap("t", names, ["x", "y", "z"], values, 80, full=100.0)
    assert all(name in wide for name in names)
    narrow = heatmap("t", names, ["x", "y", "z"], values, 46, full=100.0).splitlines()
    assert len(set(narrow)) == len(narrow) == 4
    assert max(map(len, narrow)) <= 46


def test_effects_are_the_paired_differences_of_levels(db):
    found = effects(scope(db), "innate", None)
    assert [name for name, _ in found.factors] == ["optimizer", "activation"]
    for name, (best, other) in found.factors:
        # Of two levels the one is as much above as the other is below.
        assert best.difference.value == pytest.approx(-other.difference.value)
        assert best.difference.value > 0
        assert (best.difference.low, best.difference.high) == pytest.approx(
            (-other.difference.high, -other.difference.low)
        )
        assert best.difference.pairs == 4
        assert best.difference.won + other.difference.won == 4
        rows = [one for one in queries.scores(db, "tiny", "innate") if getattr(one, name) == best.level]
        rest = [one for one in queries.scores(db, "tiny", "innate") if getattr(one, name) == other.level]
        means = [sum(one.value for one in side) / len(side) for side in (rows, rest)]
        assert best.difference.value == pytest.approx(means[0] - means[1], abs=1e-3)
    (only,) = effects(scope(db), "worst_case", "activation").factors
    assert only[0] == "activation"


def test_effects_say_what_they_rest_on(db):
    text = effect_charts.level_effects(scope(db, where={"seed": "0"}), CANVAS, "innate", None)
    assert "One seed: over images only" in " ".join(text.split())
    assert "Upper bounds: not all is audited" in " ".join(text.split())
    assert "architecture is always mlp" in effect_charts.level_effects(scope(db), CANVAS, "innate", "architecture")
    nothing = effect_charts.level_effects(scope(db, where={"optimizer": "adamax"}), CANVAS, "innate", None)
    assert "nothing to draw yet" in nothing
    alone = effect_charts.level_effects(
        scope(db, where={"optimizer": "adam", "activation": "relu"}), CANVAS, "innate", None
    )
    assert "no factor varies" in alone


def test_interactions_of_two_by_two_are_one_number_with_four_signs(db):
    found = interactions(scope(db), "worst_case", None)
    assert found.found.factors == ("optimizer", "activation")
    values = {cell: apart.value for cell, apart in found.differences.items()}
    means = {
        (optimizer, activation): np.mean([
            one.value
            for one in queries.scores(db, "tiny", "worst_case")
            if (one.optimizer, one.activation) == (optimizer, activation)
        ])
        for optimizer in ("adam", "sgd")
        for activation in ("relu", "tanh")
    }  # fmt: skip
    quarter = (
        means["adam", "relu"] - means["adam", "tanh"] - means["sgd", "relu"] + means["sgd", "tanh"]
    ) / 4  # worked out from the stored scores
    for (optimizer, activation), value in values.items():
        sign = 1 if (optimizer, activation) in (("adam", "relu"), ("sgd", "tanh")) else -1
        assert value == pytest.approx(sign * quarter, abs=1e-6)


def test_interactions_without_two_levels_say_so(db):
    one = interactions(scope(db, where={"optimizer": "adam"}), "innate", None)
    assert one == "an interaction needs two factors that vary; here only activation does"
    named = effect_charts.factor_interactions(scope(db), CANVAS, "innate", ("optimizer", "defense"))
    assert "two levels of defense; here it is always none" in named


def test_the_pair_of_an_interaction_is_the_defense_and_the_factor_with_most_levels(db):
    from dataclasses import replace

    models = study_models(db, "tiny", queries.scores(db, "tiny", "innate"))
    assert default_pair(models) == ("optimizer", "activation")
    more = [replace(models[0], levels={**models[0].levels, "activation": "elu"}), *models]
    assert default_pair(more) == ("activation", "optimizer")
    defended = [replace(models[0], levels={**models[0].levels, "defense": "pgd-at"}), *more]
    assert default_pair(defended) == ("activation", "defense")
    assert default_pair(models[:1]) is None


def tied_by_contrasts(db, score):
    """The leader, and the variants whose paired difference from it may be 0: by the contrasts that tables show."""
    rows = queries.scores(db, "tiny", score)
    models = study_models(db, "tiny", rows)
    values = images_of(influences(models, score))
    best = max(over_seeds(db, "tiny", score, rows).items(), key=lambda item: item[1].value)[0]
    found = set()
    for variant in {model.variant_id for model in models} - {best}:
        groups = [
            Group(sign, tuple(model for model in models if model.variant_id == name))
            for sign, name in ((1.0, best), (-1.0, variant))
        ]
        if not difference(score, contrast(groups, FACTORS, values)).apart:
            found.add(variant)
    return best, found


@pytest.mark.parametrize("score", ["innate", "clean_accuracy", "worst_case", "retention", "curve_area"])
def test_who_cannot_be_told_from_the_best_is_decided_in_pairs(score, db, monkeypatch):
    rows = queries.scores(db, "tiny", score)
    best, expected = tied_by_contrasts(db, score)
    for part in (1, 500):  # however many are read at once
        monkeypatch.setattr(leaders, "_PART", part)
        told = ties(db, "tiny", score, rows, over_seeds(db, "tiny", score, rows))
        assert told.leader == best
        assert set(told.tied) == expected
        assert (told.untried, told.cut) == ((), False)


def test_more_models_than_may_be_looked_at_are_said(db):
    rows = queries.scores(db, "tiny", "innate")
    wide = {variant: Estimate(50.0 + place, 0.0, 100.0, 2, "seeds") for place, variant in enumerate(
        dict.fromkeys(row.variant_id for row in rows))}  # fmt: skip
    told = ties(db, "tiny", "innate", rows, wide, most=4)
    assert (told.paired, len(told.untried), told.cut) == (1, 2, True)
    nothing = ties(db, "tiny", "innate", rows, wide, most=2)
    assert (nothing.paired, len(nothing.untried), nothing.cut) == (0, 3, True)
    names = {variant: variant[:6] for variant in wide}
    assert "3 whose own interval reaches that of" in ties_line(nothing, names, "innate")
    assert "too many models" in ties_line(nothing, names, "innate")


def test_ties_are_told_in_a_sentence():
    names = {"a": "adam", "b": "sgd", "c": "rmsprop"}
    assert ties_line(Ties("a", ("b", "c"), (), False, 2, False), names, "innate") == (
        "Cannot be told from adam: sgd, rmsprop (innate, in pairs of seed and image, 95 % each)."
    )
    assert ties_line(Ties("a", (), (), False, 0, False), names, "innate") == (
        "None is as good as adam: no interval reaches its."
    )
    assert ties_line(Ties("a", (), ("b",), True, 1, False), names, "innate") == (
        "None of 1 near enough to be paired is as good as adam (innate, over images only, one seed, 95 % each). "
        "1 whose own interval reaches that of adam was not paired: no seed in common."
    )


def test_bars_and_the_leaderboard_name_who_is_as_good_as_the_first(db):
    from app.report.leaderboard import leaderboard_table

    _, expected = tied_by_contrasts(db, "innate")
    text = study_charts.score_estimates(scope(db), CANVAS, "innate")
    assert sum(" = " in line or line.endswith(" =") for line in text.splitlines()[1:5]) == len(expected)
    board = leaderboard_table(db, "tiny", queries.leaderboard(db, "tiny"), 80)
    for page in (text, board):
        words = " ".join(page.split())
        assert ("Cannot be told from" in words) == bool(expected)
        assert "95 % each" in words or not expected


def example(size, channels=1):
    clean = np.random.default_rng(0).random((channels, size, size)).astype("<f4")
    changed = np.clip(clean + 0.1, 0, 1).astype("<f4")
    shape = (channels, size, size)
    return ExampleRow(0, 0.1, 0, 1, 0.9, 0.8, shape, clean.tobytes(), changed.tobytes(), "pgd", "linf", ())


@pytest.mark.parametrize("size", [8, 28, 32, 64, 224])
@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize(("width", "height"), [(80, 16), (140, 37), (40, 8)])
def test_pictures_fit_the_room_there_is(size, colour, width, height):
    import re

    text = images.in_terminal(example(size), width, colour=colour, height=height, titled=True)
    lines = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in text.splitlines()]
    assert len(lines) <= height + 1
    assert max(map(len, lines)) <= width
    assert lines[0].split()[:2] == ["clean", "adversarial"] or width < 60
    assert max(map(len, lines[1:])) >= min(width, 2 * height * 3) * 0.5


def test_a_picture_in_its_own_size_is_left_as_it_is():
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert np.array_equal(images._resized(picture, 4, 4), picture)
    assert np.array_equal(images._resized(picture, 8, 8), np.kron(picture, np.ones((2, 2, 1), np.uint8)))
    assert images._resized(np.full((28, 28, 3), 77, np.uint8), 13, 25).tolist() == [[[77] * 3] * 25] * 13


def test_the_partner_of_a_factor_is_the_one_that_it_interacts_with_most():
    def accuracy(cell, _):
        together = 0.2 * (cell["optimizer"] == "adam" and cell["defense"] == "pgd-at")
        return 0.3 + together + 0.1 * (cell["activation"] == "relu")

    levels = {
        "architecture": ("mlp",),
        "optimizer": ("adam", "sgd"),
        "activation": ("relu", "tanh"),
        "defense": ("none", "pgd-at"),
    }
    models = study(accuracy, levels=levels, images=200)
    variance = describe(models).variance
    assert partner(models, variance, "optimizer") == "defense"
    assert partner(models, variance, "defense") == "optimizer"
    assert partner(models, None, "optimizer") in ("activation", "defense")
    assert partner([model for model in models if model.seed == 0], None, "architecture") == "optimizer"
    assert partner([models[0]], None, "optimizer") is None
