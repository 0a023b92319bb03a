"""The draft of a study: what it starts as, every change to it, its mistakes, and its TOML."""

import copy
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.report.toml import toml_text
from app.tui.compose import draft
from app.tui.compose import settings as compose_settings
from app.tui.compose.about import about_choice, about_setting, heading
from app.tui.compose.draft import BY_NAME, PARTS, add, copy_of, items, put, with_norm, without
from app.tui.compose.mistakes import mistakes
from app.tui.compose.rows import axis_rows, part_rows, setting_rows
from app.tui.compose.settings import problem, read
from app.tui.compose.words import attack_label, label, shown, study_text, summary
from core.study.file import StudyFile
from core.study.presets import preset_names, preset_text, study_template
from core.study.resolve import parse_study, parse_toml

HERE = Path("/")


def setting(document, *path):
    """The setting at a path, as the screen finds it."""
    axis = path[0] if path[0] in BY_NAME else next(part.name for part in PARTS if path[0] in part.keys)
    index = path[1] if len(path) == 3 and isinstance(path[1], int) else None
    return next(found for found in compose_settings.settings(document, axis, index) if found.path == path)


def wrong(document, *path, text):
    return problem(document, setting(document, *path), text, HERE)


# --- beginning ---


def test_every_key_of_a_study_file_has_a_part_and_every_scalar_a_field():
    assert {key for part in PARTS for key in part.keys} == set(StudyFile.model_fields)
    trained = {found.name for found in compose_settings.settings(draft.first(), "training")}
    assert trained == set(StudyFile.model_fields["training"].annotation.model_fields)


def test_what_it_starts_as_is_a_small_study_that_runs():
    document = draft.first()
    assert mistakes(document, HERE) == {}
    assert draft.shaped(document)
    assert len(parse_study(document, "", HERE).optimizers) > 1


def test_an_empty_draft_says_what_to_choose():
    found = mistakes(draft.empty(), HERE)
    assert list(found) == ["architectures", "optimizers", "activations"]
    assert found["optimizers"].text == "optimizers is empty: name at least one"


@pytest.mark.parametrize("text", [study_template(), *map(preset_text, preset_names())])
def test_presets_are_drafts_and_keep_every_key(text):
    document = parse_toml(text, "it")
    assert draft.shaped(document)
    assert mistakes(document, HERE) == {}
    assert tomllib.loads(toml_text(document)) == document
    assert study_text(document)
    for part in PARTS:
        assert summary(document, part)


# --- changes ---


def test_choosing_dropping_and_once_more():
    document = add(draft.empty(), "optimizers", "adam")
    document = copy_of(add(document, "optimizers", "sgd"), "optimizers", 0)
    assert items(document, "optimizers") == ["adam", "adam", "sgd"]
    document = put(document, ("optimizers", 1, "lr"), 0.005)
    assert items(document, "optimizers") == ["adam", {"name": "adam", "lr": 0.005}, "sgd"]
    assert [label(item) for item in items(document, "optimizers")] == ["adam", "adam lr=0.005", "sgd"]
    assert items(put(document, ("optimizers", 1, "lr"), None), "optimizers") == ["adam", "adam", "sgd"]
    assert items(without(document, "optimizers", 0), "optimizers") == [{"name": "adam", "lr": 0.005}, "sgd"]


def test_a_data_set_takes_the_place_of_the_other():
    assert add(draft.first(), "dataset", "digits")["dataset"] == "digits"


def test_a_new_attack_has_the_radii_of_the_others_in_its_norm():
    document = add(draft.empty(), "attacks", "fgsm")
    assert document["attacks"] == [{"name": "fgsm", "eps": [0.05, 0.1, 0.15]}]
    document = put(document, ("attacks", 0, "eps"), [0.3, "8/255"])
    document = add(document, "attacks", "pgd")
    assert document["attacks"][1] == {"name": "pgd", "eps": [0.3, "8/255"]}
    document = with_norm(document, 1, "l2")
    assert document["attacks"][1] == {"name": "pgd", "norm": "l2", "eps": [0.5, 1.0, 2.0]}
    assert with_norm(document, 1, "linf")["attacks"][1]["eps"] == [0.3, "8/255"], "back to the others' radii"
    assert attack_label(document["attacks"][1]) == "ℓ2 ε 0.5 1 2 · 40 steps"


def test_a_schedule_with_lists_begins_with_some_that_hold():
    document = draft.first()
    stepped = compose_settings.choose(document, setting(document, "training", "schedule"), "step")
    assert stepped["training"]["schedule"] == {"name": "step", "at": [1], "lr": [1e-4]}
    assert mistakes(stepped, HERE) == {}
    assert "at" in [found.name for found in compose_settings.settings(stepped, "training")]
    plain = compose_settings.choose(stepped, setting(stepped, "training", "schedule"), "cosine")
    assert plain["training"]["schedule"] == "cosine"
    assert compose_settings.choose(plain, setting(plain, "training", "schedule"), None) == document


def test_an_average_has_the_options_of_its_kind():
    document = {**draft.empty(), "training": {"averaging": "ema"}}
    decay = setting(document, "training", "averaging", "decay")
    assert (decay.usual, decay.range) == (0.999, "above 0 and below 1")
    changed = put(document, decay.path, 0.9)
    assert changed["training"]["averaging"] == {"name": "ema", "decay": 0.9}
    assert put(changed, decay.path, None) == document
    swapped = compose_settings.choose(changed, setting(changed, "training", "averaging"), "swa")
    assert setting(swapped, "training", "averaging", "start").usual == 0.75
    assert compose_settings.choose(swapped, setting(swapped, "training", "averaging"), "none")["training"] == {
        "averaging": "none"
    }


def test_a_table_whose_last_key_goes_is_gone():
    document = put(put({}, ("score", "eps"), 0.1), ("score", "eps"), None)
    assert document == {}


NAMES = {axis: list(BY_NAME[axis].registry) for axis in (*draft.CHOICES, "attacks")}


@st.composite
def changes(draw):
    """A change of a kind that a key makes, as a function of the document."""
    axis = draw(st.sampled_from(list(NAMES)))
    name = draw(st.sampled_from(NAMES[axis]))
    kind = draw(st.sampled_from(["add", "copy", "without", "option", "reset", "scalar"]))
    place, number = draw(st.integers(0, 5)), draw(st.floats(0.001, 0.9))

    def change(document):
        if kind == "add":
            return add(document, axis, name)
        if kind == "scalar":
            return put(document, ("training", draw_key), number)
        chosen = items(document, axis)
        if not chosen:
            return document
        index = place % len(chosen)
        if kind == "copy":
            return copy_of(document, axis, index)
        if kind == "without":
            return without(document, axis, index)
        found = compose_settings.settings(document, axis, index)
        if not found:
            return document
        return put(document, found[place % len(found)].path, number if kind == "option" else None)

    draw_key = draw(st.sampled_from(["weight_decay", "validation", "label_smoothing"]))
    return change


@settings(max_examples=60, deadline=None)
@given(st.lists(changes(), max_size=12))
def test_no_change_touches_what_was_there_before_and_all_can_be_shown_and_saved(made):
    document = draft.first()
    for change in made:
        before = copy.deepcopy(document)
        changed = change(document)
        assert document == before
        document = changed
    assert draft.shaped(document)
    assert tomllib.loads(toml_text(document)) == document
    drawn(document)


def drawn(document):
    """Everything that the screen makes of a document."""
    found = mistakes(document, HERE)
    part_rows(document, found, 27)
    for part in PARTS:
        mistake = found.get(part.name)
        heading(document, part, None, "")
        for value in compose_settings.settings(document, part.name):
            about_setting(document, value, mistake)
        setting_rows(document, compose_settings.settings(document, part.name), mistake, 50)
        if part.registry is None:
            continue
        for row in axis_rows(document, part, mistake, 50):
            assert all(len(text) <= 50 for line in row.lines for text, _ in line)
            about_choice(document, part, row.key, mistake)
        for index in range(len(items(document, part.name))):
            heading(document, part, index, "")
            setting_rows(document, compose_settings.settings(document, part.name, index), mistake, 50)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["adam", "pgd"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "lr", "eps"]), inner),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from([*StudyFile.model_fields, "stray"]), ANY))
def test_whatever_was_remembered_is_shown_with_its_mistakes_or_forgotten(document):
    if draft.shaped(document):
        drawn(document)


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        3,
        {"optimizers": "adam"},
        {"optimizers": [3]},
        {"activations": [{"lr": 1}]},
        {"attacks": ["pgd"]},
        {"attacks": {}},
        {"training": 3},
        {"training": {"schedule": {}}},
        {"training": {"averaging": 0.9}},
        {"dataset": 3},
        {"score": []},
    ],
)
def test_what_has_not_the_shape_of_a_draft_is_told_apart(document):
    assert not draft.shaped(document)


# --- mistakes ---


def test_every_part_at_fault_is_named_and_no_mistake_hides_another():
    document = draft.first() | {
        "name": "no good",
        "dataset": "mnits",
        "optimizers": ["adamm"],
        "seeds": 0,
        "training": {"epochs": 0},
        "score": {"norm": "l2"},
        "attacks": [{"name": "pgd", "eps": [2.0]}],
        "stray": 1,
    }
    found = mistakes(document, HERE)
    assert list(found) == ["name", "dataset", "optimizers", "attacks", "seeds", "training", "score"]
    assert found["optimizers"].text == "optimizers[0]: unknown optimizer 'adamm'; did you mean 'adam'?"
    assert found["training"].lies_at("training.epochs")
    assert (
        found["attacks"].faults[0].words
        == "2.0 is out of range, it must be above 0 and at most 1 (pixel units of [0, 1])"
    )
    assert "did you mean 'mnist'?" in found["dataset"].text


def test_a_part_knows_all_its_faults_and_says_how_many():
    document = draft.first() | {"optimizers": ["adamm", "sgd", {"name": "adam", "lr": 0.0, "beta1": 2.0}]}
    mistake = mistakes(document, HERE)["optimizers"]
    assert mistake.text == "optimizers[0]: unknown optimizer 'adamm'; did you mean 'adam'? (and 2 more)"
    assert [mistake.concerns(f"optimizers[{index}]") for index in range(3)] == [True, False, True]
    assert mistake.concerns("optimizers[2].beta1")
    assert not mistake.lies_at("optimizers[2]")
    rows = setting_rows(document, compose_settings.settings(document, "optimizers", 2), mistake, 50)
    assert [row.key[-1] for row in rows if row.lines[0][1][1] == "bad"] == ["lr", "beta1"]


def test_a_missing_name_and_a_stray_key_are_told():
    nameless = draft.first()
    del nameless["name"]
    assert mistakes(nameless, HERE)["name"].text == "the key 'name' is missing"
    stray = mistakes(draft.first() | {"epochs": 3}, HERE)
    assert "it belongs under [training]" in next(iter(stray.values())).text


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        (("training", "epochs"), "x", "expected a whole number, got 'x'"),
        (("training", "epochs"), "0", "0 is out of range, it must be at least 1"),
        (("training", "weight_decay"), "nan", "nan is not a finite number"),
        (("training", "validation"), "1", "1.0 is out of range, it must be below 1"),
        (("vary",), "seed, train_subset", "train_subset moves nothing where all training samples are used"),
        (("vary",), "train_subset", 'add "seed"'),
        (("seeds",), "0, 0", "0 is the same as seeds[0]; name each once"),
        (("seeds",), "0, x", "expected whole numbers, got 'x'"),
        (("seeds",), "-1", "-1 is out of range, it must be at least 1"),
        (("seeds",), "-1, 2", "-1 is out of range, seeds are at least 0"),
        (("seeds",), ",", "the list is empty; name at least one seed"),
        (("seeds",), "1.5", "expected a count such as 3, or a list such as 0, 7; got '1.5'"),
        (("test_samples",), "ten", "expected a whole number, got 'ten'"),
        (("name",), "", "the key 'name' is missing"),
        (("name",), "a b", "use letters, digits, '.', '_' and '-', starting with a letter or digit"),
        (("optimizers", 0, "lr"), "0", "0.0 is out of range, it must be above 0"),
        (("optimizers", 0, "lr"), "fast", "'fast' is not a number (write 0.1 or \"8/255\")"),
        (("optimizers", 0, "beta1"), "1", "1.0 is out of range, it must be at least 0 and below 1"),
        (("attacks", 1, "eps"), "0.1, 0.1", "0.1 is named twice"),
        (("attacks", 1, "eps"), "0.1, 2", "2.0 is out of range"),
        (("attacks", 1, "eps"), "", "missing; give a list of radii"),
        (("attacks", 1, "alpha"), "eps/0", "'eps/0' must divide by a number above 0"),
        (("attacks", 1, "steps"), "2.5", "expected a whole number, got '2.5'"),
        (("attacks", 1, "random_start"), "maybe", "expected true or false, got 'maybe'"),
        (("score", "eps"), "0.01", "0.01 is below every ε attacked in linf (the smallest is 0.05)"),
    ],
)
def test_bad_input_is_refused_in_the_words_of_the_study_file(path, text, words):
    assert words in wrong(draft.first(), *path, text=text)


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        (("training", "epochs"), " 12 ", 12),
        (("training", "weight_decay"), "1e-4", 1e-4),
        (("training", "augment"), "yes", True),
        (("vary",), "seed", ["seed"]),
        (("seeds",), "3", 3),
        (("seeds",), "0, 7", [0, 7]),
        (("seeds",), "[7,]", [7]),
        (("test_samples",), "", None),
        (("optimizers", 0, "lr"), "1e-3", 1e-3),
        (("attacks", 1, "eps"), "0.05, 0.1 8 / 255", [0.05, 0.1, "8/255"]),
        (("attacks", 1, "eps"), '[0.05, "8/255"]', [0.05, "8/255"]),
        (("attacks", 1, "alpha"), "eps/10", "eps/10"),
        (("attacks", 1, "alpha"), "0.01", 0.01),
        (("score", "eps"), "0.1", 0.1),
        (("description",), "any words, “and” quotes", "any words, “and” quotes"),
    ],
)
def test_good_input_is_read_as_the_study_file_has_it(path, text, value):
    document = draft.first()
    found = setting(document, *path)
    assert problem(document, found, text, HERE) is None
    assert read(found, text) == value
    changed = put(document, path, value)
    assert read(found, found.text(changed)) == value, "what is shown can be typed"
    assert tomllib.loads(toml_text(changed)) == changed


def test_a_subset_of_each_seed_s_own_is_told_where_training_images_are():
    document = draft.first() | {"train_samples": 500, "test_samples": 100, "seeds": 3}
    usual = setting(document, "train_samples").summary
    assert "the same for every trial" in usual
    own = compose_settings.choose(document, setting(document, "vary"), "seed, train_subset")
    assert own["vary"] == ["seed", "train_subset"]
    assert mistakes(own, HERE) == {}
    assert "drawn by each seed" in setting(own, "train_samples").summary
    assert summary(own, BY_NAME["seeds"]) == "3 seeds, 500 train each, 100 test"
    assert summary(document, BY_NAME["seeds"]) == "3 seeds, 500 train, 100 test"
    assert '\nseeds = 3\nvary = ["seed", "train_subset"]\ntrain_samples = 500\n' in toml_text(own)
    assert compose_settings.choose(own, setting(own, "vary"), None) == document
    for odd in ("seed", 3, [], {"a": 1}, [["seed"]]):
        assert list(mistakes(document | {"vary": odd}, HERE)) == ["seeds"]
        assert summary(document | {"vary": odd}, BY_NAME["seeds"]) == "3 seeds, 500 train, 100 test"


def test_other_mistakes_do_not_keep_a_value_from_being_typed():
    document = copy_of(draft.first(), "optimizers", 0) | {"name": "no good"}
    assert wrong(document, "optimizers", 1, "lr", text="0.1") is None
    assert wrong(document, "optimizers", 1, "beta1", text="0.9") is None, "a twin is told at the part, not here"


def test_what_is_wrong_elsewhere_on_an_axis_does_not_let_a_bad_value_pass():
    document = draft.first() | {"optimizers": ["adamm", {"name": "adam", "beta1": 2.0}]}
    assert wrong(document, "optimizers", 1, "lr", text="0") == "0.0 is out of range, it must be above 0"


def test_an_optimizers_defaults_are_those_of_the_profile():
    document = draft.first()
    assert setting(document, "optimizers", 1, "lr").usual == 1e-3
    torch = put(document, ("training", "hyperparameters"), "torch")
    assert setting(torch, "optimizers", 1, "lr").usual == 1e-2
    decayed = put(torch, ("training", "weight_decay"), 5e-4)
    assert setting(decayed, "optimizers", 1, "weight_decay").usual == 5e-4


def test_a_tuned_draft_says_where_rates_are_looked_for_and_with_what_budget():
    document = draft.first()
    tuned = compose_settings.choose(document, setting(document, "training", "hyperparameters"), "tuned-keras")
    shown_now = {one.name for one in compose_settings.settings(tuned, "training")}
    assert shown_now - {one.name for one in compose_settings.settings(document, "training")} == {
        "tuning.trials", "tuning.validation", "tuning.epochs", "tuning.train_samples",
    }  # fmt: skip
    rate = setting(tuned, "optimizers", 1, "lr")
    assert (rate.usual, rate.default_text()) == (None, "tuned within 0.0001, 0.01")
    assert setting(tuned, "optimizers", 1, "alpha").usual == 0.9, "all others are the profile's"
    budget = put(tuned, ("tuning", "trials"), 1)
    assert wrong(tuned, "tuning", "trials", text="1") == "1 is out of range, it must be at least 2"
    assert "tuning.trials" in mistakes(budget, HERE)["training"].text
    assert "tuning" in toml_text(budget)
    back = compose_settings.choose(budget, setting(budget, "training", "hyperparameters"), "keras")
    assert "tuning" not in back, "it would be refused there"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_shown_as_they_are(number):
    assert float(shown(number)) == number


# --- TOML ---

KEY = st.text(max_size=8)
SCALAR = st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12)
VALUE = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEY, inner, max_size=3),
    max_leaves=12,
)
DOCUMENT = st.dictionaries(KEY | st.sampled_from([*StudyFile.model_fields]), VALUE, max_size=8)


@settings(max_examples=300, deadline=None)
@given(DOCUMENT)
def test_any_document_survives_as_toml(document):
    assert tomllib.loads(toml_text(document)) == document


@given(st.lists(st.dictionaries(KEY, VALUE, max_size=3), max_size=3))
def test_attacks_are_tables(attacks):
    text = toml_text({"attacks": attacks, "name": "x"})
    assert tomllib.loads(text) == {"attacks": attacks, "name": "x"}
    assert text.count("\n[[attacks]]\n") == len(attacks)


def test_keys_stand_in_the_order_of_the_study_file():
    document = {"attacks": [{"eps": [0.1], "name": "pgd"}], "training": {"epochs": 1}, "seeds": 2, "name": "x"}
    document |= {"stray": True, "optimizers": ["adam", {"name": "sgd", "lr": 0.1}], "description": None}
    assert toml_text(document) == (
        'name = "x"\noptimizers = ["adam", {name = "sgd", lr = 0.1}]\nseeds = 2\nstray = true\n\n'
        '[training]\nepochs = 1\n\n[[attacks]]\nname = "pgd"\neps = [0.1]\n'
    )


def test_long_lists_are_broken():
    document = {"optimizers": [{"name": f"optimizer-{number}", "lr": 0.001} for number in range(8)]}
    assert tomllib.loads(toml_text(document)) == document
    assert max(map(len, toml_text(document).splitlines())) < 100


# --- a folder's options ---


def test_a_folder_with_options_is_a_table_and_without_them_text():
    document = {**draft.first(), "dataset": "folder:/data/cars"}
    changed = put(document, ("dataset", "size"), 64)
    assert changed["dataset"] == {"folder": "/data/cars", "size": 64}
    assert document["dataset"] == "folder:/data/cars"
    assert draft.shaped(changed)
    assert draft.value_at(changed, ("dataset", "size")) == 64
    assert draft.value_at(document, ("dataset", "size")) is None
    assert put(changed, ("dataset", "size"), None) == document
    assert put(changed, ("dataset", "folder"), None) == changed
    assert summary(changed, BY_NAME["dataset"]) == "folder:cars@64"
    assert summary(put(changed, ("dataset", "size"), [48, 64]), BY_NAME["dataset"]) == "folder:cars@48x64"
    assert summary(document, BY_NAME["dataset"]) == "folder:cars"
    assert label(changed["dataset"]) == "folder:/data/cars size=64"
    assert add(changed, "dataset", "folder:/data/pets")["dataset"] == {"folder": "/data/pets", "size": 64}
    assert add(changed, "dataset", "mnist")["dataset"] == "mnist"
    assert not draft.shaped({**document, "dataset": {"size": 64}})


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("size", "64", 64),
        ("size", "48, 64", [48, 64]),
        ("size", "48×64", [48, 64]),
        ("size", "big", "big"),
        ("classes", "cat, big dog", ["cat", "big dog"]),
        ("classes", '["cat", "dog"]', ["cat", "dog"]),
        ("split", "0.2", 0.2),
        ("depth", "12", 12),
        ("size", "", None),
    ],
)
def test_what_is_typed_for_a_folder_is_read(key, text, value):
    document = {**draft.first(), "dataset": "folder:/data/cars"}
    (found,) = [one for one in compose_settings.settings(document, "dataset", 0) if one.name == key]
    assert read(found, text) == value


def test_only_a_folder_has_options():
    for dataset in ("mnist", "npz:/data/x.npz", "nonsense"):
        assert compose_settings.settings({**draft.first(), "dataset": dataset}, "dataset", 0) == []


def test_a_mistake_of_a_folder_is_shown_at_its_option():
    document = {**draft.first(), "dataset": {"folder": "/data/cars", "size": 64, "fit": "squeeze"}}
    found = mistakes(document, HERE)["dataset"]
    assert found.concerns("dataset.fit")
    rows = setting_rows(document, compose_settings.settings(document, "dataset", 0), found, 60)
    bad = [row.key for row in rows if any(style == "bad" for line in row.lines for _, style in line)]
    assert bad == [("dataset", "fit")]
