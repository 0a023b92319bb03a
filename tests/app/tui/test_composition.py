"""The model of Compose, without a screen: changes and taking them back, the cursor, mistakes, where a draft came from."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.tui.compose import draft
from app.tui.compose.draft import PARTS, Offer
from app.tui.compose.model import Composition, fed
from app.tui.compose.outlook import Outlook
from core.study.resolve import load_study

HERE = Path("/")


def composed(**changes):
    """The draft that Compose begins with, changed."""
    return Composition({**draft.first(), **changes}, HERE)


def at(part, key=None, **changes):
    """The same with the cursor on a part, and on a choice or a setting of it."""
    model = composed(**changes)
    model.go_to(part)
    if key is not None:
        model.point(key)
        assert model.key == key
    return model


# --- changes ---


def test_it_begins_as_it_was_given_with_nothing_to_take_back():
    model = composed()
    assert model.document == draft.first()
    assert (model.part.name, model.key) == ("name", ("name",))
    assert not model.undo()


def test_each_change_is_taken_back_by_itself():
    model = at("optimizers", ("sgd", None))
    documents = [model.document]
    assert model.choose("sgd")
    documents.append(model.document)
    assert model.drop()
    assert model.document == documents[0]
    assert model.undo()
    assert model.document == documents[1]
    assert model.undo()
    assert model.document == documents[0]
    assert not model.undo()


def test_what_changes_nothing_is_not_taken_back():
    model = at("dataset")
    assert not model.change(draft.first())
    assert not model.choose("mnist5k")
    assert not model.undo()


def test_the_last_two_hundred_changes_can_be_taken_back():
    model = composed()
    for number in range(300):
        model.change({**model.document, "description": str(number)})
    count = 0
    while model.undo():
        count += 1
    assert count == 200
    assert model.document["description"] == "99"


def test_choosing_and_dropping_leave_the_cursor_on_the_same_name():
    model = at("optimizers", ("sgd", None))
    model.choose("sgd")
    assert model.key == ("sgd", len(model.document["optimizers"]) - 1)
    model.drop()
    assert model.key == ("sgd", None)
    assert model.chosen is None
    assert not model.drop(), "what is not chosen cannot be dropped"


def test_dropping_one_of_two_leads_to_the_other():
    model = at("optimizers", ("adam", 1), optimizers=["adam", {"name": "adam", "lr": 0.1}, "sgd"])
    model.drop()
    assert model.document["optimizers"] == ["adam", "sgd"]
    assert model.key == ("adam", 0)


def test_dropping_the_last_row_leads_to_the_one_before():
    model = at("optimizers", ("adamm", 1), optimizers=["adam", "adamm"])
    assert model.offers[-1] == ("adamm", 1), "an unknown name stands at the end"
    model.drop()
    assert model.key == model.offers[-1]


def test_a_copy_stands_behind_its_original_with_its_options_listed():
    model = at("optimizers", ("adam", 0), optimizers=["adam", "sgd"])
    assert model.copy()
    assert model.document["optimizers"] == ["adam", "adam", "sgd"]
    assert model.open == 1
    assert model.setting.path == ("optimizers", 1, "lr")
    assert not model.copy(), "there is no choice under the cursor now"
    model.put(model.setting, 0.1)
    assert model.document["optimizers"][1] == {"name": "adam", "lr": 0.1}
    assert model.drop(), "a setting goes back to its default"
    assert model.document["optimizers"] == ["adam", "adam", "sgd"]


def test_a_data_set_of_ones_own_has_a_path():
    model = at("dataset", ("npz", None))
    assert model.choose("npz", Path("/data/mine.npz"))
    assert model.document["dataset"] == "npz:/data/mine.npz"
    assert model.key == ("npz", 0)


@pytest.mark.parametrize("optimizers", [["sgd", "adam"], ["adam", "sgd"]])
def test_taking_a_copy_back_closes_its_options(optimizers):
    place = optimizers.index("adam")
    model = at("optimizers", ("adam", place), optimizers=optimizers)
    model.copy()
    assert model.open == place + 1
    assert model.undo()
    assert model.open is None
    assert model.key in model.offers


def test_taking_a_value_back_keeps_its_options_open():
    model = at("optimizers", ("adam", 0))
    model.show_options(0)
    model.point(("optimizers", 0, "beta1"))
    model.put(model.setting, 0.5)
    model.undo()
    assert (model.open, model.key) == (0, ("optimizers", 0, "beta1"))


# --- the cursor ---


def test_a_part_lists_settings_or_else_choices():
    model = composed()
    for part in PARTS:
        model.go_to(part.name)
        assert bool(model.settings) == (part.registry is None)
        assert bool(model.offers) == (part.registry is not None)
        assert (model.setting is None) != (model.offer is None)


def test_the_cursor_is_at_first_on_what_is_chosen_and_then_where_it_was():
    model = at("activations", activations=["silu"])
    assert model.key == ("silu", 0)
    model.point(("relu", None))
    model.go_to("training")
    model.point(("training", "precision"))
    model.go_to("activations")
    assert model.key == ("relu", None)
    model.go_to("training")
    assert model.setting.name == "precision"


def test_each_choice_remembers_its_own_place_among_its_options():
    model = at("optimizers", ("adam", 0))
    model.show_options(0)
    model.point(("optimizers", 0, "beta1"))
    model.show_options(None)
    assert model.key == ("adam", 0)
    model.show_options(1)
    assert model.key == model.settings[0].path
    model.show_options(0)
    assert model.setting.name == "beta1"


def test_what_is_not_in_the_list_does_not_move_the_cursor():
    model = at("optimizers", ("sgd", None))
    model.point(("nothing", None))
    assert model.key == ("sgd", None)


def test_a_search_goes_to_the_best_match_and_its_end_stays_there():
    model = at("optimizers")
    model.search("Kingma")
    assert [offer.name for offer in model.offers] == ["adam", "adamax"]
    model.search("adamax")
    assert model.key == model.offers[0] == Offer("adamax", model.document["optimizers"].index("adamax"))
    model.search("no such words")
    assert (model.offers, model.key, model.offer, model.chosen) == ([], None, None, None)
    model.search("adamax")
    model.end_search()
    assert len(model.offers) > 10
    assert model.offer.name == "adamax"
    model.search("adam")
    model.go_to("activations")
    assert model.words == ""


# --- mistakes ---


def test_mistakes_follow_every_change():
    model = at("optimizers", optimizers=["adamm"])
    assert list(model.mistakes) == ["optimizers"]
    assert "did you mean 'adam'?" in model.mistake.text
    model.go_to("seeds")
    assert model.mistake is None
    model.change({**model.document, "optimizers": ["adam"]})
    assert model.mistakes == {}
    model.undo()
    assert list(model.mistakes) == ["optimizers"]


def test_an_outlook_counts_for_its_own_document_alone():
    model = composed()
    assert model.outlook is None
    outlook = Outlook("my-study", "mnist5k", 12)
    model.foretold = (model.document, outlook)
    assert model.outlook is outlook
    model.change({**model.document, "seeds": 7})
    assert model.outlook is None
    model.undo()
    assert model.outlook is outlook


# --- where it came from ---


def test_a_draft_is_named_after_what_holds_it_until_it_is_changed():
    model = composed()
    assert (model.file, model.spec) == ("my-study.toml", None)
    model.begin_with(draft.empty(), "paper-compat")
    assert (model.file, model.spec) == ("my-study.toml", "paper-compat")
    model.change({**model.document, "name": "mine"})
    assert (model.file, model.spec) == ("mine.toml", None)
    model.saved_as("a folder/it.toml", model.document)
    assert (model.file, model.spec) == ("a folder/it.toml", "'a folder/it.toml'")
    model.begin_with({"dataset": "digits"}, None)
    assert model.file == "study.toml"


def test_its_command_runs_whether_a_file_holds_it_or_not(monkeypatch):
    model = composed()
    line, _, rest = model.command("run", " --detach").partition("\n")
    assert line == "innate run - --detach <<'END'"
    monkeypatch.setattr("sys.stdin", io.StringIO(rest.removesuffix("END")))
    assert load_study("-").document == model.document
    model.saved_as("a folder/it.toml", model.document)
    assert model.command("plan") == "innate plan 'a folder/it.toml'"


def test_a_document_may_have_the_line_that_ends_it():
    text = 'description = """\nEND\n"""\n'
    assert fed("innate run -", text) == f"innate run - <<'END_'\n{text}END_"


def test_to_begin_with_another_study_closes_what_was_open_and_can_be_taken_back():
    model = at("optimizers", ("adam", 0))
    model.show_options(0)
    assert model.begin_with(draft.empty(), None)
    assert (model.open, model.words, model.document) == (None, "", draft.empty())
    assert not model.begin_with(draft.empty(), None)
    model.undo()
    assert model.document == draft.first()


# --- whatever is done ---

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["go", "point", "choose", "drop", "copy", "open", "close", "search", "end", "undo", "new"]),
        st.integers(0, 40),
    ),
    max_size=25,
)


def step(model, kind, number):
    keys = [setting.path for setting in model.settings] or model.offers
    key = keys[number % len(keys)] if keys else None
    match kind:
        case "go":
            model.go_to(PARTS[number % len(PARTS)].name)
        case "point":
            model.point(key)
        case "choose" if model.offer is not None:
            model.choose(model.offer.name)
        case "open" if model.chosen is not None and model.has_options(model.chosen):
            model.show_options(model.chosen)
        case "close":
            model.show_options(None)
        case "search" if model.offers:
            model.search(["adam", "a", "zzz"][number % 3])
        case "new":
            model.begin_with(draft.empty(), None)
        case "drop" | "copy" | "undo":
            getattr(model, kind)()
        case "end":
            model.end_search()


def test_the_data_set_can_be_neither_dropped_nor_copied():
    model = composed()
    model.go_to("dataset")
    assert not model.drop()
    assert not model.copy()
    assert model.document == draft.first()


def test_a_copy_of_what_has_no_options_can_be_dropped_again():
    model = at("activations", ("relu", 0))
    assert model.copy()
    assert (model.open, model.document["activations"][:2]) == (None, ["relu", "relu"])
    assert model.drop()
    assert model.document["activations"].count("relu") == 1


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_the_cursor_is_always_in_the_list_and_everything_can_be_taken_back(steps):
    model = composed()
    for kind, number in steps:
        step(model, kind, number)
        keys = [setting.path for setting in model.settings] or model.offers
        assert model.key in keys if keys else model.key is None
        assert not (model.settings and model.offers)
        assert draft.shaped(model.document)
    while model.undo():
        pass
    assert model.document == draft.first()
    assert model.key is not None or model.words


def test_it_needs_no_widget():
    asked = "import sys, app.tui.compose.model; sys.exit('textual' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0
