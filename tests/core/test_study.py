import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import BadInput, NotFound
from core.records.study import TUNING_SEED
from core.study.plan import examine, make_plan
from core.study.presets import preset_names, study_template
from core.study.resolve import (
    apply_overrides,
    load_study,
    mistakes,
    parse_study,
    parse_toml,
    study_from,
    study_without_grid,
)
from tests.conftest import plan_of, tiny

TUNED = {"training": {"hyperparameters": "tuned"}, "optimizers": ["adam", {"name": "rmsprop", "lr": 1e-3}]}


def refusal(document):
    with pytest.raises(BadInput) as caught:
        parse_study(document, "study.toml", Path("/"))
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("study.toml: ")
    return text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 3}, ["'epochs'", "training.epochs"]),
        ({"optimisers": ["adam"]}, ["optimisers", "did you mean 'optimizers'"]),
        ({"optimizers": ["adamm"]}, ["optimizers[0]", "adamm", "'adam'"]),
        ({"optimizers": [{"name": "adam", "lrr": 1}]}, ["lrr", "'lr'"]),
        ({"optimizers": [{"name": "adam", "lr": -1.0}]}, ["optimizers[0].lr", "above 0"]),
        ({"optimizers": [{"name": "adam", "lr": float("nan")}]}, ["optimizers[0].lr", "finite"]),
        ({"optimizers": []}, ["optimizers is empty"]),
        ({"optimizers": ["adam", "adam"]}, ["optimizers[1]", "same as"]),
        ({"optimizers": [{"lr": 0.1}]}, ["optimizers[0]", "name"]),
        ({"optimizers": "adam"}, ["optimizers", "list"]),
        ({"activations": ["swosh"]}, ["activations[0]"]),
        ({"architectures": [{"name": "mlp", "hidden": []}]}, ["hidden"]),
        ({"seeds": 0}, ["seeds", "at least 1"]),
        ({"seeds": 10**30}, ["seeds", "at most"]),
        ({"seeds": [1, 1]}, ["seeds[1]"]),
        ({"seeds": 1.5}, ["seeds"]),
        ({"train_samples": 0}, ["train_samples", "at least 1"]),
        ({"vary": []}, ["vary is empty"]),
        ({"vary": "seed"}, ["vary", "list", "'seed'"]),
        ({"vary": [1]}, ["vary[0]", "text"]),
        ({"vary": ["seed", "train_subse"]}, ["vary[1]", "train_subse", "did you mean 'train_subset'"]),
        ({"vary": ["seed", "data"]}, ["vary[1]", "data", "known: seed, train_subset"]),
        ({"vary": ["seed", "train_subset", "seed"]}, ["vary[2]", "same as vary[0]"]),
        ({"vary": ["train_subset"]}, ["vary", 'add "seed"']),
        ({"training": {"epochs": "two"}}, ["training.epochs", "whole number"]),
        ({"training": {"epochs": 0}}, ["training.epochs"]),
        ({"training": {"weight_decay": float("nan")}}, ["training.weight_decay", "finite"]),
        ({"training": {"augment": 1}}, ["training.augment", "true or false"]),
        ({"training": {"precision": "fp8"}}, ["training.precision", "fp32"]),
        ({"tuning": {"trials": 3}}, ["tuning", "hyperparameters", '"torch"']),
        (TUNED | {"tuning": {"trials": 1}}, ["tuning.trials", "at least 2"]),
        (TUNED | {"tuning": {"trials": 0}}, ["tuning.trials", "at least 2"]),
        (TUNED | {"tuning": {"validation": 0.0}}, ["tuning.validation", "above 0"]),
        (TUNED | {"tuning": {"epoch": 3}}, ["tuning.epoch", "epochs"]),
        (TUNED | {"tuning": {"ranges": {"adam": {"lr": [1e-3, 1e-3]}}}}, ["tuning.ranges.adam.lr", "one value"]),
        (TUNED | {"tuning": {"ranges": {"adam": {"lr": [1e-2, 1e-4]}}}}, ["tuning.ranges.adam.lr", "reversed"]),
        (TUNED | {"tuning": {"ranges": {"adam": {"lr": [0, 1e-4]}}}}, ["tuning.ranges.adam.lr", "above 0"]),
        (TUNED | {"tuning": {"ranges": {"adam": {"lr": [1e-4]}}}}, ["tuning.ranges.adam.lr", "two ends"]),
        (TUNED | {"tuning": {"ranges": {"adam": {"lr": [1, 1.001]}}}}, ["tuning.ranges.adam.lr", "too narrow"]),
        (TUNED | {"tuning": {"ranges": {"adam": {"eps": [1e-8, 1e-4]}}}}, ["tuning.ranges.adam", "lr alone"]),
        (TUNED | {"tuning": {"ranges": {"sgd": {"lr": [1e-2, 1]}}}}, ["tuning.ranges.sgd", "no optimizer sgd"]),
        (TUNED | {"tuning": {"ranges": {"adm": {"lr": [1e-2, 1]}}}}, ["tuning.ranges.adm", "'adam'"]),
        (TUNED | {"tuning": {"ranges": {"rmsprop": {"lr": [1e-2, 1]}}}}, ["tuning.ranges.rmsprop", "is given"]),
        (
            TUNED | {"optimizers": ["adam", {"name": "adam", "lr": 0.5}]},
            ["optimizers[1]", "optimizers[0]", "leave one"],
        ),
        (TUNED | {"seeds": [TUNING_SEED]}, ["seeds", str(TUNING_SEED)]),
        ({"training": {"schedule": {"name": "step", "at": [3, 1], "lr": [0.1, 0.2]}}}, ["schedule.at", "ascend"]),
        ({"training": {"schedule": {"name": "step", "at": [1], "lr": []}}}, ["schedule"]),
        ({"training": {"validation": 1.0}}, ["training.validation", "below 1"]),
        ({"attacks": [{"name": "fgsm"}]}, ["attacks[0].eps", "missing"]),
        ({"attacks": [{"name": "fgsm", "eps": []}]}, ["attacks[0].eps", "empty"]),
        ({"attacks": [{"name": "fgsm", "eps": [1.5]}]}, ["attacks[0].eps", "1.5", "at most 1"]),
        ({"attacks": [{"name": "fgsm", "eps": [float("nan")]}]}, ["attacks[0].eps", "finite"]),
        ({"attacks": [{"name": "fgsm", "eps": ["8/0"]}]}, ["attacks[0].eps", "8/0"]),
        ({"attacks": [{"name": "fgsm", "eps": [0.1, "1/10"]}]}, ["named twice"]),
        ({"attacks": [{"name": "fgsm", "eps": [0.1], "steps": 3}]}, ["fgsm has no option 'steps'"]),
        ({"attacks": [{"name": "fgsn", "eps": [0.1]}]}, ["attacks[0].name", "'fgsm'"]),
        ({"attacks": [{"name": "pgd", "eps": [0.1], "norm": "l7"}]}, ["attacks[0].norm", "l7"]),
        ({"attacks": [{"name": "pgd", "eps": [0.1], "alpha": 0}]}, ["alpha", "above 0"]),
        ({"attacks": [{"name": "fgsm", "eps": [0.1]}] * 2}, ["attacks[1]", "same as"]),
        ({"score": {"norm": "l2"}}, ["score.norm", "l2"]),
        ({"score": {"eps": 0.01}}, ["score.eps", "below every"]),
        ({"name": "no spaces"}, ["name", "letters"]),
        ({"dataset": "mnist55k"}, ["dataset", "mnist5k"]),
        ({"dataset": "folder:"}, ["dataset", "PATH"]),
        ({"dataset": 3}, ["dataset", "text", "3"]),
        ({"dataset": {"size": 64}}, ["dataset", 'folder = "PATH"']),
        ({"dataset": {"folder": 3}}, ["dataset.folder", "path"]),
        ({"dataset": {"folder": "x", "sise": 64}}, ["dataset", "'sise'", "did you mean 'size'"]),
        ({"dataset": {"folder": "x", "size": 64.5}}, ["dataset.size", "whole number", "64.5"]),
        ({"dataset": {"folder": "x", "size": True}}, ["dataset.size", "whole number"]),
        ({"dataset": {"folder": "x", "size": [64]}}, ["dataset.size", "[height, width]"]),
        ({"dataset": {"folder": "x", "size": 0}}, ["dataset.size", "at least 2"]),
        ({"dataset": {"folder": "x", "size": [64, 5000]}}, ["dataset.size", "at most 4096"]),
        ({"dataset": {"folder": "x", "fit": "squeeze"}}, ["dataset.fit", "crop, pad, stretch"]),
        ({"dataset": {"folder": "x", "split": 1}}, ["dataset.split", "below 1"]),
        ({"dataset": {"folder": "x", "split": 0.0}}, ["dataset.split", "above 0"]),
        ({"dataset": {"folder": "x", "split": "much"}}, ["dataset.split", "much"]),
        ({"dataset": {"folder": "x", "classes": "cat"}}, ["dataset.classes", "list"]),
        ({"dataset": {"folder": "x", "classes": ["cat"]}}, ["dataset.classes", "two"]),
        ({"dataset": {"folder": "x", "classes": ["cat", "dog", "cat"]}}, ["dataset.classes[2]", "cat is named twice"]),
        ({"dataset": {"folder": "x", "background": "red"}}, ["dataset.background", "white, black"]),
        ({"dataset": {"folder": "x", "depth": 7}}, ["dataset.depth", "at least 8"]),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(changes, words):
    text = refusal(tiny(**changes))
    assert all(word in text for word in words), text


def test_a_missing_key_is_named():
    document = tiny()
    del document["dataset"]
    assert "'dataset' is missing" in refusal(document)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"epochs": 3}, "epochs"),
        ({"training": {"epoch": 3}}, "training.epoch"),
        ({"training": {"epochs": 0}}, "training.epochs"),
        ({"training": 3}, "training"),
        ({"training": {"schedule": {"name": "step", "at": [3, 1], "lr": [0.1, 0.2]}}}, "training.schedule.at"),
        ({"training": {"hyperparameters": "tune"}}, "training.hyperparameters"),
        ({"optimizers": []}, "optimizers"),
        ({"optimizers": ["sgd", 3]}, "optimizers[1]"),
        ({"optimizers": ["sgd", "adamm"]}, "optimizers[1]"),
        ({"optimizers": ["sgd", {"name": "adam", "lr": -1.0}]}, "optimizers[1].lr"),
        ({"optimizers": [{"name": "adam", "lrr": 1}]}, "optimizers[0].lrr"),
        ({"seeds": [1, 1]}, "seeds[1]"),
        ({"seeds": 0}, "seeds"),
        ({"vary": ["seed", "seeds"]}, "vary[1]"),
        ({"vary": ["train_subset"]}, "vary"),
        ({"train_samples": 0, "vary": ["seed", "train_subset"]}, "train_samples"),
        ({"dataset": "folder:"}, "dataset"),
        ({"attacks": [{"eps": [0.1]}]}, "attacks[0].name"),
        ({"attacks": [{"name": "fgsm", "eps": [0.1], "steps": 3}]}, "attacks[0].steps"),
        ({"score": {"eps": [1]}}, "score.eps"),
        ({"score": {"eps": 0.01}}, "score.eps"),
    ],
)
def test_the_key_at_fault_is_data(changes, key):
    with pytest.raises(BadInput) as caught:
        parse_study(tiny(**changes), "study.toml", Path("/"))
    error = caught.value
    assert error.key == key
    assert str(error) == f"study.toml: {error.sentence}"
    assert error.sentence in (error.words, f"{key}: {error.words}", f"{key.rpartition('.')[0]}: {error.words}")
    assert [mistake.key for mistake in mistakes(tiny(**changes), Path("/"))] == [key]


def test_all_mistakes_are_found_at_once_and_the_first_is_what_is_raised():
    document = tiny(
        name="no good",
        dataset="mnits",
        optimizers=["adamm", {"name": "adam", "lr": -1.0, "beta1": 2, "lrr": 1}, "sgd", "sgd"],
        seeds=[3, 3],
        training={"epochs": 0, "precision": "fp8", "schedule": "cosin", "stray": 1},
        attacks=[{"name": "pgd", "eps": [2.0], "steps": 0, "seed": -1, "foo": 1}, {"name": "fgsn", "eps": [0.1]}],
        score={"eps": "x"},
        epochs=3,
    )
    found = mistakes(document, Path("/"))
    assert [mistake.key for mistake in found] == [
        "name",
        "training.epochs",
        "training.stray",
        "epochs",
        "dataset",
        "training.schedule",
        "training.precision",
        "attacks[0].eps",
        "attacks[0].seed",
        "attacks[0].foo",
        "attacks[0].steps",
        "attacks[1].name",
        "optimizers[0]",
        "optimizers[1].lrr",
        "optimizers[1].lr",
        "optimizers[1].beta1",
        "optimizers[3]",
        "seeds[1]",
        "score.eps",
    ]
    assert all(not mistake.also and mistake.where is None for mistake in found)
    assert refusal(document) == f"study.toml: {found[0]} (and 3 more)"
    assert mistakes(tiny(), Path("/")) == ()


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({"attacks": [{"name": "pgd", "eps": [2.0]}], "score": {"norm": "l2"}}, ["attacks[0].eps", "score.norm"]),
        ({"attacks": [{"name": "pgd", "eps": [0.1], "norm": "l7"}], "score": {"norm": "l2"}}, ["attacks[0].norm"]),
        ({"attacks": [{"name": "pdg", "eps": [0.1]}], "score": {"eps": 7}}, ["attacks[0].name"]),
        ({"attacks": [{"name": "pgd", "eps": [2.0]}], "score": {"eps": 0.01}}, ["attacks[0].eps"]),
        ({"attacks": 3, "score": {"eps": 0.1}}, ["attacks"]),
        (
            {"training": {"hyperparameters": "kears"}, "optimizers": ["adamm"]},
            ["training.hyperparameters", "optimizers[0]"],
        ),
    ],
)
def test_what_rests_on_a_mistake_is_not_one_more(changes, keys):
    assert [mistake.key for mistake in mistakes(tiny(**changes), Path("/"))] == keys


def test_reading_one_study_leaves_the_defaults_of_the_next_alone():
    assert parse_study(tiny(training={"epochs": 9}), "s", Path("/")).training.epochs == 9
    document = tiny()
    del document["training"]
    assert parse_study(document, "s", Path("/")).training.epochs == 5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train_samples": 5000}, ["train_samples", "5,000", "1,437"]),
        ({"test_samples": 361}, ["test_samples", "360"]),
        ({"test_samples": 9}, ["test_samples", "10 classes"]),
        ({"architectures": ["keras-cnn"]}, ["architectures[0]", "18×18", "8×8"]),
        ({"attacks": [{"name": "pgd", "eps": [8.5], "norm": "l2"}]}, ["attacks[0].eps", "8.5", "√d = 8"]),
        ({"training": {"augment": True}}, ["training.augment", "grey"]),
        ({"seeds": 100_000}, ["400,000", "--yes"]),
        ({"train_samples": 1437, "vary": ["seed", "train_subset"]}, ["vary", "all training samples"]),
        ({"training": {"validation": 0.01}}, ["training.validation", "too small"]),
        (TUNED | {"tuning": {"validation": 0.03}}, ["tuning.validation", "0.03 of 300", "too small"]),
        (TUNED | {"tuning": {"train_samples": 90}}, ["tuning.validation", "0.1 of 90", "too small"]),
        (TUNED | {"tuning": {"train_samples": 5000}}, ["tuning.train_samples", "5,000", "1,437"]),
    ],
)
def test_what_only_the_data_can_tell_is_refused_by_the_plan(changes, words, cache):
    with pytest.raises(BadInput) as caught:
        plan_of(tiny(**changes), cache)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_all_that_the_data_has_to_say_is_told_at_once(cache):
    with pytest.raises(BadInput) as caught:
        plan_of(tiny(train_samples=5000, architectures=["mlp", "keras-cnn"], training={"augment": True}), cache)
    found = [caught.value, *caught.value.also]
    assert [one.key for one in found] == ["train_samples", "architectures[1]", "training.augment"]
    assert [str(one) for one in found] == [f"tiny: {one.sentence}" for one in found]


def test_a_study_is_held_against_its_data_without_its_grid(cache):
    study = parse_study(tiny(seeds=10**12), "s", Path("/"))
    assert examine(study, cache, cache, large=True).train_size == 1_437
    with pytest.raises(BadInput, match="4,000,000,000,000"):
        examine(study, cache, cache)
    with pytest.raises(BadInput, match="train_samples: 5,000"):
        examine(parse_study(tiny(train_samples=5000), "s", Path("/")), cache, cache)


def test_a_grid_of_millions_is_refused_before_it_is_made(cache):
    with pytest.raises(BadInput, match="4,000,000,000,000"):
        plan_of(tiny(seeds=10**12), cache)


def test_a_subset_of_each_seed_s_own_needs_a_subset(cache):
    document = tiny(vary=["seed", "train_subset"])
    del document["train_samples"]
    assert "vary: train_subset moves nothing where all training samples are used" in refusal(document)
    assert [one.key for one in mistakes(document, Path("/"))] == ["vary"]
    assert {trial.own_subset for trial in plan_of({**document, "train_samples": 1436}, cache).trials} == {True}
    with pytest.raises(BadInput) as caught:  # what is more than all is one mistake, not two
        plan_of({**document, "train_samples": 1438}, cache)
    assert [one.key for one in (caught.value, *caught.value.also)] == ["train_samples"]


def test_what_varies_is_kept_in_one_order():
    turned = parse_study(tiny(vary=["train_subset", "seed"]), "s", Path("/"))
    assert turned.vary == ("seed", "train_subset")
    assert turned.document["vary"] == ["seed", "train_subset"]
    assert study_from(json.loads(json.dumps(turned.document)), "stored") == turned
    by_hand = apply_overrides(tiny(), ["vary=train_subset,seed"])
    assert parse_study(by_hand, "s", Path("/")).vary == turned.vary
    assert parse_study(tiny(), "s", Path("/")).vary == ("seed",)
    assert "vary" not in parse_study(tiny(), "s", Path("/")).document


def test_seeds_are_outermost_and_paired(cache):
    trials = plan_of(tiny(), cache).trials
    assert [trial.seed for trial in trials] == [0] * 4 + [1] * 4
    assert [trial.variant_id for trial in trials[:4]] == [trial.variant_id for trial in trials[4:]]


def test_the_score_threat_defaults_to_linf_and_the_lower_median():
    study = parse_study(
        tiny(attacks=[{"name": "fgsm", "eps": [0.3, 0.1]}, {"name": "pgd", "eps": ["1/5", 0.4]}]), "s", Path("/")
    )
    assert (study.threat.norm, study.threat.eps) == ("linf", 0.2)
    only_l2 = parse_study(tiny(attacks=[{"name": "pgd", "norm": "L2", "eps": [2, 1]}]), "s", Path("/"))
    assert (only_l2.threat.norm, only_l2.threat.eps) == ("l2", 1.0)
    assert parse_study(tiny(attacks=[]), "s", Path("/")).threat is None


def test_defaults_are_those_of_the_design():
    study = parse_study(
        {
            "name": "d",
            "dataset": "mnist",
            "architectures": ["kumar-cnn"],
            "optimizers": ["adam"],
            "activations": ["relu"],
            "attacks": [{"name": "pgd", "eps": [0.3]}],
        },
        "s",
        Path("/"),
    )
    training = study.training
    assert (training.epochs, training.batch_size, training.precision) == (5, 128, "fp32")
    assert (training.initialisation, training.schedule.name, training.validation) == ("torch", "constant", 0.0)
    assert [choice.name for choice in study.defenses] == ["none"]
    assert list(study.seeds) == [0]
    (attack,) = study.attacks
    assert (attack.norm, attack.seed) == ("linf", 0)
    assert attack.params == {"steps": 40, "alpha": "eps/4", "restarts": 1, "loss": "ce", "random_start": True}


def test_overrides_set_nested_keys_lists_and_names():
    document = apply_overrides(
        tiny(), ["training.epochs=7", "optimizers=adam,sgd", "attacks.1.steps=9", "dataset=mnist5k", "score.eps=0.2"]
    )
    assert document["training"]["epochs"] == 7
    assert document["optimizers"] == ["adam", "sgd"]
    assert document["attacks"][1]["steps"] == 9
    assert document["dataset"] == "mnist5k"
    assert document["score"] == {"eps": 0.2}


@pytest.mark.parametrize("override", ["training.epochs", "=3", "attacks.9.steps=1", "name.x=1"])
def test_an_override_that_fits_nowhere_is_refused(override):
    with pytest.raises(BadInput, match="--set"):
        apply_overrides(tiny(), [override])


def test_malformed_toml_tells_the_place():
    with pytest.raises(BadInput, match=r"x\.toml: not valid TOML: .*line 1"):
        parse_toml("name = x\n", "x.toml")


def test_a_spec_is_a_file_or_a_preset_or_not_found(tmp_path):
    with pytest.raises(NotFound, match="did you mean 'quick'"):
        load_study("quik")
    with pytest.raises(NotFound, match="no such study file"):
        load_study(str(tmp_path / "absent.toml"))
    with pytest.raises(BadInput, match="folder"):
        load_study(str(tmp_path))
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="UTF-16"):
        load_study(str(tmp_path / "bad.toml"))


def test_a_study_may_come_on_stdin(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(study_template()))
    assert list(load_study("-", ["seeds=7"]).seeds) == [0, 1, 2, 3, 4, 5, 6]
    monkeypatch.setattr("sys.stdin", io.StringIO("name ="))
    with pytest.raises(BadInput, match=r"^stdin: not valid TOML: "):
        load_study("-")


def test_paths_of_data_sets_are_relative_to_the_study_file(tmp_path):
    study = parse_study(tiny(dataset="npz:data/x.npz"), "s", tmp_path)
    assert study.source.path == tmp_path / "data" / "x.npz"
    again = parse_study(study.document, "s", Path("/elsewhere"))
    assert again.source.path == study.source.path


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_a_valid_study(name):
    study = load_study(name)
    assert study.name == name
    assert study.description


def test_the_paper_s_grid_is_whole():
    paper, quick = load_study("paper-mnist"), load_study("quick")
    assert (len(paper.optimizers), len(paper.activations), len(paper.seeds)) == (7, 5, 3)
    assert {attack.name for attack in paper.attacks} == {"fgsm", "bim", "pgd"}
    assert len(quick.optimizers) * len(quick.activations) >= 12
    assert all(len(attack.eps) == 3 for attack in quick.attacks)


def test_the_template_is_a_valid_study(cache):
    study = parse_study(parse_toml(study_template(), "template"), "template", Path("/"))
    assert len(make_plan(study, cache, cache).trials) == 8


def test_validating_a_study_loads_no_torch():
    code = (
        "import sys; from core.study.resolve import load_study; load_study('quick'); "
        "print([m for m in ('torch', 'torchvision', 'sklearn', 'mlxtend', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- a folder's options ---

PETS = {
    "folder": "pets",
    "size": [64, 48],
    "fit": "pad",
    "split": 0.2,
    "classes": ["dog", "cat"],
    "background": "black",
}


def test_a_folder_s_options_come_back_from_the_stored_document():
    study = parse_study(tiny(dataset=PETS), "test", Path("/base"))
    assert study.source.path == Path("/base/pets")
    assert study.source.name == "folder:pets@64x48"
    options = study.source.options
    assert (options.size, options.fit, options.split) == ((64, 48), "pad", 0.2)
    assert (options.classes, options.background, options.depth) == (("cat", "dog"), "black", None)
    again = study_from(json.loads(json.dumps(study.document)), "stored")
    assert again.source == study.source
    assert again.document["dataset"] == study.document["dataset"]
    held = study_without_grid("imported", "", study.source)
    assert study_from(json.loads(json.dumps(held.document)), "stored").source == study.source


@pytest.mark.parametrize(
    ("dataset", "kept"),
    [
        ("folder:pets", "folder:/base/pets"),
        ({"folder": "pets"}, "folder:/base/pets"),
        ({"folder": "/pets", "fit": "crop", "background": "white"}, "folder:/pets"),
        ({"folder": "pets", "size": 64}, {"folder": "/base/pets", "size": 64}),
        ({"folder": "pets", "size": [64, 64]}, {"folder": "/base/pets", "size": 64}),
        ("mnist", "mnist"),
        ("npz:d.npz", "npz:/base/d.npz"),
    ],
)
def test_a_data_set_is_kept_in_its_shortest_form(dataset, kept):
    assert parse_study(tiny(dataset=dataset), "test", Path("/base")).document["dataset"] == kept


def test_options_of_a_folder_can_be_set():
    document = apply_overrides(tiny(dataset="folder:pets"), ["dataset.size=64", "dataset.fit=pad"])
    assert document["dataset"] == {"folder": "pets", "size": 64, "fit": "pad"}
    assert apply_overrides(document, ["dataset.classes=['a','b']"])["dataset"]["classes"] == ["a", "b"]
    with pytest.raises(BadInput, match=r"--set dataset.size=64: 'size' is not inside a table"):
        apply_overrides(tiny(dataset="mnist"), ["dataset.size=64"])


def test_all_mistakes_of_a_folder_are_found_at_once():
    found = mistakes(tiny(dataset={"folder": "x", "size": 0, "fit": "no", "other": 1}), Path("/"))
    assert [mistake.key for mistake in found] == ["dataset.other", "dataset.size", "dataset.fit"]
