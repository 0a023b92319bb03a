"""The Lab's rows, columns, knobs and sentences from groups that are made up: nothing is opened."""

from dataclasses import fields, replace

import pytest
from rich.cells import cell_len

from app.report.aggregate import Difference, Level
from app.tui.lab import columns, exports, knobs, run_columns, words
from app.tui.lab.knobs import Knobs
from app.tui.lab.loaded import Loaded
from app.tui.lab.rows import MOST_ROWS, Found, Names, below, keys_below, part_of, parts, rows_of
from core.names import FACTORS
from storage.grouping import Choice, Group, Groups, Reading, Weakness
from storage.listing import EVERYTHING, parse_filter
from storage.rows import ListedTrial, StudyRow

ADAM, SLOW, FAST = (
    Choice("adam", {"lr": 0.001}, '{"lr": 0.001}'),
    Choice("sgd", {"lr": 0.1}, '{"lr": 0.1}'),
    Choice("sgd", {"lr": 0.3}, '{"lr": 0.3}'),
)
RELU, TANH = Choice("relu", {}, "{}"), Choice("tanh", {}, "{}")
NONE, AT = Choice("none", {}, "{}"), Choice("pgd-at", {"eps": 0.1}, '{"eps": 0.1}')
NET = Choice("mlp", {}, "{}")
NAMES = Names.of(
    {"architecture": [NET], "optimizer": [ADAM, SLOW, FAST], "activation": [RELU, TANH], "defense": [NONE, AT]}
)
STUDY = StudyRow("digits", "", "digits", "x", (1, 8, 8), None, "s", "linf", 0.1, None, 0.0, 0.0)


def group(choices, value, variants=4, trials=12, **counts):
    base = dict.fromkeys(
        ("suspect", "invalid", "running", "queued", "failed", "cancelled", "suspect_variants", "invalid_variants"), 0
    )
    given = {"valued": trials, "done": trials, "complete": variants, **base, **counts}
    return Group(tuple(choices), value, variants, trials, **given)


def difference(value, half, *, pairs=12, lost=11, over_images=False):
    return Difference(value / 100, (value - half) / 100, (value + half) / 100, pairs, pairs - lost, lost, over_images)


def level(score, low, high, apart=None):
    return Level(("",), score / 100, low / 100, high / 100, 4, difference=apart)


TOP = Found(
    ("optimizer",),
    (
        group([ADAM], 0.627, suspect=3, suspect_variants=2),
        group([SLOW], 0.553, failed=3, done=9, complete=3),
        group([FAST], None, valued=0, done=0, complete=0, queued=12),
    ),
)
A, S, F = [(part_of(one),) for one in (ADAM, SLOW, FAST)]
LEVELS = {A: level(62.7, 60.9, 64.5), S: level(55.3, 51.0, 59.6, difference(-7.4, 3.1))}


def summed(groups):
    seeds = max((-(-one.trials // one.variants) for one in groups), default=0)
    variants, complete, valued = (
        sum(getattr(one, name) for one in groups) for name in ("variants", "complete", "valued")
    )
    return Groups(groups, len(groups), variants, complete, valued, seeds)


KEY = {"group": "g", "harder": "H", "retry": "R", "mode('queue')": "3"}


def loaded(found=None, **changes):
    given = {
        "study": STUDY, "by": ("optimizer",), "score": "worst_case", "eps": 0.1, "radii": (0.05, 0.1),
        "grid": (0.05, 0.1), "reading": Reading("worst_case"), "chosen": EVERYTHING, "names": NAMES,
        "found": found or {(): TOP}, "whole": summed((found or {(): TOP})[()].groups), "opened": frozenset(),
        "marked": {}, "baseline": (), "baseline_trials": (), "weak": (),
    }  # fmt: skip
    return Loaded(**{**given, **changes})


def rows(found=None, levels=LEVELS, by=("optimizer",), opened=frozenset(), **options):
    return rows_of(by, found or {(): TOP}, opened, NAMES, levels, "worst_case", **options)


def test_a_group_has_its_number_at_once_and_the_rest_where_it_is_known():
    adam, slow, fast = rows()
    assert (adam.label, adam.n, adam.value, adam.role) == ("adam", 4, pytest.approx(62.7), "best")
    assert (slow.label, slow.low, slow.high) == ("sgd lr=0.1", pytest.approx(51.0), pytest.approx(59.6))
    assert slow.difference.value == pytest.approx(-7.4)
    assert (fast.label, fast.value, fast.role, fast.states) == ("sgd lr=0.3", None, "", {"queued": 12})
    assert [row.low for row in rows(levels={})] == [None, None, None]


def test_rows_open_into_variants_that_never_look_alike_and_those_into_seeds():
    variants = Found(
        ("architecture", "activation", "defense", "variant"),
        tuple(
            group([NET, act, defense, Choice(f"{place}" * 8, {})], 0.6 - place / 10, variants=1, trials=2)
            for place, (act, defense) in enumerate([(RELU, NONE), (RELU, AT), (TANH, AT)])
        ),
    )
    first = (*A, ("00000000", None))
    seeds = Found(
        ("seed", "trial"),
        tuple(group([Choice(str(n), {}), Choice(f"a{n}" * 32, {})], 0.5, 1, 1, suspect=n) for n in range(2)),
    )
    made = rows({(): TOP, A: variants, first: seeds}, opened=frozenset({A, first}))
    assert [(row.depth, row.kind, row.label) for row in made] == [
        (0, "group", "adam"), (1, "variant", "relu none"), (2, "trial", "seed 0 a0a0a0"), (2, "trial", "seed 1 a1a1a1"),
        (1, "variant", "relu pgd-at"), (1, "variant", "tanh pgd-at"), (0, "group", "sgd lr=0.1"), (0, "group", "sgd lr=0.3"),
    ]  # fmt: skip
    assert made[2].trial_id == "a0" * 32
    assert [row.role for row in made[:5]] == ["best", "best", "", "", ""], "a seed is no choice that could be the best"
    assert [row.opened for row in made[:3]] == [True, True, None]


def test_of_many_rows_the_best_are_shown_and_the_rest_is_counted():
    many = Found(
        ("optimizer", "variant"), tuple(group([ADAM, Choice(f"{n:06x}", {})], 0.5) for n in range(MOST_ROWS)), 7
    )
    made = rows({(): many}, by=("variant",), levels={})
    assert len(made) == MOST_ROWS + 1
    assert made[-1].label == "and 7 more: a filter narrows"
    assert len({row.label for row in made}) == len(made), "an id tells what no factor does"


def test_what_is_below_depends_on_what_the_grouping_tells_apart():
    assert below(("optimizer",)) == ("variant", "trial")
    assert parts(("variant",)) == ("variant", "trial")
    assert parts(("optimizer", "seed")) == ("optimizer", "seed", "trial")
    assert keys_below(("optimizer",), ()) == ("optimizer",)
    assert keys_below(("optimizer",), A) == ("architecture", "activation", "defense", "variant")
    assert keys_below(("variant",), (("v", None),)) == ("seed", "trial")
    assert keys_below(("seed",), (("0", None),)) == ("architecture", "optimizer", "activation", "defense", "trial")


# --- columns ---


def text_of(made, width, **options):
    """Each row as the Grid would put it side by side."""
    shown = columns.lay_out(made, "worst_case", "optimizer", width, wide=width > 100, **options)
    assert sum(column.width + 1 for column in shown) - 1 <= width
    for row in made:
        for column in shown:
            assert cell_len(column.cell(row)[0]) <= column.width, (column.key, column.cell(row))
    return [" ".join(column.cell(row)[0] for column in shown) for row in made], [column.title for column in shown]


@pytest.mark.parametrize("width", [60, 77, 137, 197])
def test_columns_fill_the_room_and_cut_no_word(width):
    made = rows()
    lines, titles = text_of(made, width)
    assert "2 suspect" in lines[0]
    assert "3 failed" in lines[1]
    assert "12 queued" in lines[2]
    assert "−7.4 ±3.1" in lines[1]
    if width >= 77:
        assert "●" in lines[0]
        assert any(title.startswith("0") and title.endswith("100") for title in titles)
    if width >= 137:
        assert "60.9–64.5" in lines[0]
        shown = columns.lay_out(made, "worst_case", "optimizer", width, wide=True)
        assert sum(column.width + 1 for column in shown) - 1 == width, "the axis takes all there is"


def test_a_difference_that_may_be_nothing_says_so():
    (_, tied, _) = rows(levels={**LEVELS, S: level(55.3, 51.0, 59.6, difference(-1.0, 3.1))})
    assert columns.difference_cell(tied) == ("≈ −1.0 ±3.1", "dim")


def test_an_upper_bound_has_no_lower_end():
    made = rows(levels={A: Level(("",), 0.627, 0.0, 0.7, 4, bound=True)})
    lines, _ = text_of(made, 137)
    assert "≤70.0" in lines[0]
    assert "├" not in lines[0].split("●")[0], "nothing is drawn below the point"


def trial(**changes):
    known = {
        "study": "digits", "trial_id": "a" * 64, "state": "done", "trust": "suspect", "seed": 0, "threat_eps": 0.1,
        "optimizer": "adam", "architecture": "mlp", "activation": "relu", "defense": "none", "innate": 40.0,
        "clean_accuracy": 0.9, "worst_case": 0.5,
        **{f"{factor}_options": {} for factor in FACTORS},
    }  # fmt: skip
    return ListedTrial(**{**dict.fromkeys(field.name for field in fields(ListedTrial)), **known, **changes})


@pytest.mark.parametrize("width", [77, 137])
def test_the_list_shows_what_tells_runs_apart_and_cuts_no_verdict(width):
    at = {"defense": "pgd-at", "defense_options": {"eps": 0.1}}
    lines = run_columns.lines_of([trial(), trial(**at), trial(study="other", threat_eps=0.3)], None, {"digits": NAMES})
    keys = run_columns.fitting(lines, NAMES.varying, width, deltas=False)
    assert {"optimizer", "activation", "defense", "state", "trust", "worst", "study", "eps"} <= set(keys)
    shown = [run_columns.COLUMNS[key] for key in keys]
    wide = [max(len(column.title) + 1, *(len(column.of(line)[0]) for line in lines)) for column in shown]
    assert sum(wide) + len(wide) - 1 <= width
    assert lines[1].names["defense"] == "pgd-at"
    few = run_columns.fitting(lines[:1], NAMES.varying, width, deltas=True)
    assert "eps" not in few, "one study has one ε, which the title says"
    assert "area" in run_columns.fitting(lines, NAMES.varying, width, order="area", deltas=False)
    assert len(few) < len(run_columns.fitting(lines[:1], NAMES.varying, 400, deltas=True))


# --- knobs ---


def test_knobs_are_remembered_and_what_does_not_fit_is_forgotten():
    chosen = Knobs("digits", ("optimizer",), "retention", 0.1, frozenset({A}), S)
    assert knobs.read(knobs.kept(chosen)) == chosen
    assert knobs.read({}) == Knobs()
    assert knobs.read({"by": []}).listed
    for bad in (
        {"by": ["colour"]},
        {"score": "luck"},
        {"opened": [["x"]]},
        {"baseline": "adam"},
        {"opened": 3, "eps": "no"},
    ):
        assert knobs.read(bad) == Knobs()


@pytest.mark.parametrize(
    ("ticked", "by"),
    [
        (("activation", "optimizer"), ("optimizer", "activation")),
        (("variant", "optimizer"), ("variant",)),
        (("variant", "seed"), ()),
        (("seed", "defense"), ("defense", "seed")),
        ((), ()),
    ],
)
def test_a_grouping_has_one_form(ticked, by):
    assert knobs.normal(ticked) == by


def test_a_score_of_no_single_radius_is_read_as_it_is_stored():
    assert knobs.reading(STUDY, "innate", 0.05) == Reading("innate")
    assert knobs.reading(STUDY, "worst_case", 0.1) == Reading("worst_case")
    assert knobs.reading(STUDY, "worst_case", 0.05) == Reading("worst_case", "linf", 0.05)


# --- sentences ---


def answer(levels=LEVELS, note=None, data=None, **options):
    data = data or loaded()
    return words.answer(data, rows(data.found, levels, data.by, **options), note, KEY.__getitem__).plain


def test_who_is_best_and_how_sure():
    assert answer() == (
        "ANSWER adam is most robust at ε 0.1: better than sgd lr=0.1 in 11 of 12 matched pairs (paired, 95 %: +4.3 to +10.5)."
    )
    one_seed = {**LEVELS, S: level(55.3, 51, 59.6, difference(-7.4, 3.1, over_images=True))}
    assert "(over images, one seed, 95 %" in answer(one_seed)


def test_who_cannot_be_told_from_the_best():
    tied = {**LEVELS, S: level(60, 55, 65, difference(-1.0, 3.1))}
    assert answer(tied) == (
        "ANSWER adam cannot be told from sgd lr=0.1 at ε 0.1 (12 matched pairs, 95 %: −2.1 to +4.1)."
    )


def test_no_claim_without_pairs_or_intervals():
    assert "nothing can be paired" in answer({A: level(62, 60, 64), S: level(55, 50, 60)})
    assert answer({}, note="no intervals") == "ANSWER adam has the highest mean at ε 0.1, 62.7; no intervals."
    nothing = Found(("optimizer",), (group([ADAM], None, queued=12, valued=0),))
    assert (
        answer({}, data=loaded({(): nothing}))
        == "ANSWER nothing has a worst case yet; 12 runs wait or are under way (3)."
    )
    alone = Found(("optimizer",), TOP.groups[:1])
    assert answer({}, data=loaded({(): alone})).startswith("ANSWER adam alone has a worst case, 62.7")


def test_against_a_baseline_the_others_are_sorted_by_what_can_be_said():
    levels = {A: level(62.7, 60.9, 64.5, difference(7.4, 3.1)), S: level(55.3, 51.0, 59.6)}
    said = words.answer(loaded(baseline=S), rows(levels=levels, baseline=S), None, KEY.__getitem__).plain
    assert said == "ANSWER against sgd lr=0.1 at ε 0.1 (paired, 95 % each) better: adam."


def test_the_title_says_every_knob_and_leaves_out_whole_what_has_no_room():
    data = loaded(chosen=parse_filter("activation=relu"))
    assert words.title(data, 2, 200).plain.split("  ") == [
        "digits", "by optimizer", "ε ‹0.1›", "worst case", "filter: activation=relu", "2 marked", "7/12 variants", "3 seeds", "",
    ]  # fmt: skip
    assert "variants" not in words.title(data, 2, 60).plain
    assert "over ε 0…0.1" in words.title(loaded(score="innate", eps=None), 0, 80).plain
    assert "ε" not in words.title(loaded(score="clean_accuracy", eps=None), 0, 80).plain


def weak(row, found, *, here=True, room=1000):
    return words.weak(row, found, here=here, key_of=KEY.__getitem__, fits=lambda text: len(text) <= room).plain


def test_what_is_weak_names_the_reason_and_the_key_that_helps():
    found = [Weakness("suspect", ("square beats pgd",), 3, 2), Weakness("suspect", ("loss still moving",), 1, 1)]
    adam, slow, _ = rows()
    assert weak(adam, found) == "WEAK   2 adam variants suspect: square beats pgd (1 other reason) → H attack harder"
    assert "harder" not in weak(adam, [Weakness("invalid", ("degenerate",), 3, 2)])
    assert "→" not in weak(adam, found, here=False), "a key is about the row under the cursor"
    assert weak(slow, []) == "WEAK   3 sgd lr=0.1 runs failed → R run again"
    assert weak(adam, []) == ""


@pytest.mark.parametrize("room", range(105, 165, 7))
def test_of_long_reasons_the_beginning_stands_and_the_key_that_helps_always(room):
    found = [Weakness("suspect", ("steps still gaining: 9 of 60 samples fell in the last", "loss still moving"), 3, 2)]
    said = weak(rows()[1], found, room=room)
    assert len(said) <= room
    assert said.startswith("WEAK   2 sgd lr=0.1 variants suspect: ")
    assert said.endswith(" … → H attack harder; 3 sgd lr=0.1 runs failed → R run again")
    whole = weak(rows()[1], found)
    assert whole.startswith(said.partition(" …")[0])


def test_the_same_from_the_command_line():
    assert words.results_command(loaded()) == "innate results --study digits --by optimizer --score worst_case"
    other = loaded(eps=0.05, reading=Reading("worst_case", "linf", 0.05))
    assert words.results_command(other).endswith("--by optimizer --score worst_case --eps 0.05")


# --- export ---


def test_an_export_is_named_by_what_it_holds_and_never_twice(tmp_path):
    assert exports.name_for(loaded(), None, tmp_path) == "lab-digits-by-optimizer-eps0.1.csv"
    (tmp_path / "lab-digits-by-optimizer-eps0.1.csv").touch()
    assert exports.name_for(loaded(), None, tmp_path) == "lab-digits-by-optimizer-eps0.1-2.csv"
    innate = loaded(score="innate", eps=None, by=("optimizer", "defense"))
    assert exports.name_for(innate, None, tmp_path) == "lab-digits-by-optimizer-defense-innate.csv"
    assert exports.name_for(None, "my study", tmp_path) == "lab-my-study-runs.csv"
    assert exports.name_for(None, None, tmp_path) == "lab-runs.csv"


def test_exported_rows_say_which_score_at_which_radius():
    first, second, third = exports.records(loaded(), rows())
    assert (first["optimizer"], first["score"], first["norm"], first["eps"]) == ("adam", "worst_case", "linf", 0.1)
    assert (second["label"], second["against"], second["pairs"]) == ("sgd lr=0.1", "adam", 12)
    assert second["difference"] == pytest.approx(-7.4)
    assert (third["value"], third["queued"]) == (None, 12)


def test_names_that_would_be_numbered_have_the_room_of_the_axis_and_an_answer_names_as_many_as_fit():
    several = [
        f"kumar-cnn batch_norm={norm} {optimizer} {activation} {defense}"
        for norm in ("on", "off")
        for optimizer in ("adam", "rmsprop")
        for activation in ("relu", "leaky_relu")
        for defense in ("none", "pgd-at")
    ]
    made = [replace(rows()[0], path=((name, None),), label=name) for name in several]
    titles = [column.key for column in columns.lay_out(made, "worst_case", "variant", 77, wide=False)]
    assert not any(key.startswith("axis") for key in titles)
    (name, *_), wide = (columns.lay_out(made, "worst_case", "variant", width, wide=width > 100) for width in (77, 137))
    assert not any(name.cell(row)[0].strip(" ▸")[0].isdigit() for row in made)
    assert any(column.key.startswith("axis") for column in wide), "both have room there"
    tied = {A: level(62.7, 60.9, 64.5), S: level(62.5, 51.0, 69.6, difference(-0.2, 3.1))}
    shown = [words.answer(loaded(), rows(levels=tied), None, KEY.__getitem__, lambda text, most=most: len(text) <= most).plain
             for most in (200, 40)]  # fmt: skip
    assert "told from sgd lr=0.1 at" in shown[0]
    assert "told from 1 other at" in shown[1]
