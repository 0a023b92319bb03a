"""Packages that are broken in one way each, all installed at once: said in doctor, and nothing else is the worse for it."""

import json
import sys

import numpy as np
import pytest

from core import plugged
from core.datasets import DATASETS, load_planned, parse_source, stored_source
from core.errors import BadInput
from core.models.architectures import ARCHITECTURES
from core.plugins import Architecture, Arrays, Dataset, Defense, Parameter, Plugin, Readings, Score
from core.records.attack import AttackSpec
from core.records.choice import Choice
from core.training.defenses import DEFENSES
from core.verdict.scoring import SCORES
from tests.conftest import innate_command
from tests.plugins.installing import install

BROKEN = {
    "absent": ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
    "ending": ("import sys; sys.exit(3)", "it asked the program to end (exit code 3)"),
    "another": ("plugin = 7", "is of type int, not core.plugins.Plugin"),
    "raising": ("def plugin():\n    raise ValueError('half\\nfinished')", "ValueError: half"),
    "spelling": ("plugin =", "SyntaxError: invalid syntax"),
    "nameless": ("", "AttributeError: module 'innate_nameless' has no attribute 'plugin'"),
    "listless": (
        "from core.plugins import Plugin\nplugin = Plugin(attacks='pgd')",
        "its attacks are no tuple of entries",
    ),
    "hanging": ("import threading; threading.Event().wait(3)", "was not loaded after 0.5 seconds"),
}
SOUND = """
from core.plugins import Attack, Dataset, Plugin, Score, imported
print("hello from a plugin")
pgd = Attack("pgd", "not the real one", "-", (), propose=lambda victim, x, *_: x)
lost = Dataset("lost", "", "-", (1, 4, 4), ("a", "b"), 4, 4, load=imported("innate_sound.no.such:load"))
half = Score("half", "half of the clean accuracy", "-", lambda readings: readings.clean / 2)
plugin = Plugin(attacks=(pgd, 5), datasets=(lost,), scores=(half,))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    for name, (source, _) in BROKEN.items():
        install(folder, name, source)
    install(folder, "sound", SOUND)
    install(folder, "torchvision", "plugin = None")
    twice = install(folder, "usurper", SOUND) / "innate_usurper-1.0.dist-info" / "entry_points.txt"
    twice.write_text("[innate.plugins]\nsound = innate_usurper:plugin\n")
    (folder / "garbage-1.0.dist-info").mkdir()
    (folder / "garbage-1.0.dist-info" / "entry_points.txt").write_text("innate.plugins = = [[[\n")
    return folder


@pytest.fixture
def ask(site, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    monkeypatch.setattr(plugged, "_PATIENCE", 0.5)
    plugged.forget()
    yield lambda *arguments, **more: innate_command(*arguments, home=tmp_path / "home", works=False, **more)
    plugged.forget()


def test_doctor_says_of_each_what_is_wrong_and_what_to_do(ask):
    done = ask("doctor", "--json", check=2)
    said = [row for row in json.loads(done.stdout)["doctor"] if row["check"] == "plugin"]
    for name, (_, words) in BROKEN.items():
        (row,) = [row for row in said if row["detail"].startswith(f"{name} 1.0 (package innate-{name}) could not")]
        assert row["status"] == "bad"
        assert words in row["detail"]
        assert f"mend or uninstall innate-{name}, or set INNATE_NO_PLUGINS=1" in row["detail"]
    told = {(row["status"], row["detail"]) for row in said}
    lost = [
        row["detail"] for row in json.loads(done.stdout)["doctor"] if "sound:lost of plugin sound 1.0" in row["detail"]
    ]
    assert ["ModuleNotFoundError: No module named 'innate_sound.no'" in detail for detail in lost] == [True]
    title = "sound 1.0 (package innate-sound)"
    assert ("ok", f"{title}: sound:pgd, sound:lost, sound:half") in told
    assert ("note", f"{title} prints while it is loaded: 'hello from a plugin'") in told
    assert any(
        status == "bad" and "an attack is of type int, not Attack; it was left out" in words for status, words in told
    )
    assert any("the name sound is taken by package innate-sound" in words for _, words in told)
    assert any("'torchvision' is no name for a plugin" in words for _, words in told)


def test_json_of_a_listing_is_json_and_the_built_in_attack_is_what_it_was(ask):
    done = ask("attacks", "--json")
    listed = {row["name"]: row for row in json.loads(done.stdout)["attacks"]}
    assert listed["sound:pgd"]["summary"] == "not the real one"
    assert listed["pgd"]["source"] == "Madry et al. 2018"
    assert done.stderr == ""


def test_a_name_that_a_broken_plugin_may_have_given_says_so_in_one_line(ask, tmp_path):
    (tmp_path / "home").mkdir()
    study = tmp_path / "study.toml"
    study.write_text(
        'name = "s"\ndataset = "digits"\narchitectures = ["mlp"]\noptimizers = ["adam"]\nactivations = ["relu"]\n'
        '[[attacks]]\nname = "absent:corners"\neps = [0.1]\n'
    )
    done = ask("plan", str(study), check=2)
    (line,) = done.stderr.splitlines()
    assert (
        "attacks[0].name: unknown attack 'absent:corners': plugin absent could not be loaded: ModuleNotFoundError"
        in line
    )
    done = ask("plan", str(study), "--set", "attacks[0].name=zzzz", check=2)
    (line,) = done.stderr.splitlines()
    assert "unknown attack 'zzzz'" in line
    assert "plugin ending could not be loaded" in line


def test_one_variable_turns_all_of_them_off(ask):
    listed = json.loads(ask("attacks", "--json", INNATE_NO_PLUGINS="1").stdout)["attacks"]
    assert not [row["name"] for row in listed if ":" in row["name"]]
    rows = json.loads(ask("doctor", "--json", INNATE_NO_PLUGINS="1").stdout)["doctor"]
    assert [row["detail"] for row in rows if row["check"].startswith("plugin")] == ["turned off by INNATE_NO_PLUGINS"]


def test_a_built_in_name_loads_no_plugin(monkeypatch):
    monkeypatch.setattr(plugged, "_all", lambda: pytest.fail("plugins were loaded"))
    assert SCORES["innate"].name == "innate"
    assert "mlp" in ARCHITECTURES
    assert DATASETS.find("digits", "dataset").name == "digits"
    assert ARCHITECTURES["torchvision:resnet18"].name == "torchvision:resnet18"


# --- entries of the other kinds -------------------------------------------------------------------

ARRAYS = Arrays(*[None] * 4)
NET = {"build": lambda *_: None, "smallest": 1, "parameters": ()}


def net(**changes):
    return Architecture("x", "", "-", **{**NET, **changes})


def data(**changes):
    usual = {"shape": (1, 4, 4), "classes": ("a", "b"), "train_size": 4, "test_size": 4, "load": lambda _: ARRAYS}
    return Dataset("x", "", "-", **{**usual, **changes})


def score(compute, **more):
    return Score("x", "", "-", compute, **more)


@pytest.mark.parametrize(
    ("field", "registry", "entry", "words"),
    [
        ("architectures", ARCHITECTURES, net(build="a:b"), "has a build or a misfit that is no function"),
        ("architectures", ARCHITECTURES, net(smallest=0), "has a smallest that is no whole number"),
        ("architectures", ARCHITECTURES, net(parameters=("width",)), "has parameters that are no tuple of Parameter"),
        ("datasets", DATASETS, data(shape=(4, 4)), "must say its shape"),
        ("datasets", DATASETS, data(classes=("a",)), "must name its classes"),
        ("datasets", DATASETS, data(train_size=None), "must say its train_size"),
        ("datasets", DATASETS, data(load=None), "has no function load"),
        ("datasets", DATASETS, data(folder="../elsewhere"), "has a folder outside the data root"),
        ("defenses", DEFENSES, Defense("x", "", "-", lambda *_: None, (Parameter("eps", "float", 0.1, ""),)), "eps and norm"),
        ("scores", SCORES, score(lambda readings: readings.clean * 3), "which is outside 0 to 1"),
        ("scores", SCORES, score(lambda readings: readings.clean.mean()), "not one number for each"),
        ("scores", SCORES, score(lambda readings: 1 / 0), "cannot be computed: ZeroDivisionError"),
        ("scores", SCORES, score(lambda readings: (readings.clean > readings.clean[0]).astype(float)), "jumps where"),
        ("scores", SCORES, score(lambda readings: readings.clean, degenerate=2.0), "outside 0 to 1"),
    ],
)  # fmt: skip
def test_what_an_entry_lacks_is_said_in_words(field, registry, entry, words, monkeypatch):
    found = (plugged.Installed("p", "1.0", "package-p", Plugin(**{field: (entry,)})),)
    monkeypatch.setattr(plugged, "_all", lambda: found)
    ((owner, said),) = registry.adopted.refused
    assert owner.name == "p"
    assert words in said
    assert not registry.adopted.entries


def test_a_score_that_fails_on_a_model_is_undefined_there(monkeypatch):
    def compute(readings):
        if readings.classes == 3:
            raise KeyError("three")
        return readings.clean

    found = (plugged.Installed("p", "1.0", "package-p", Plugin(scores=(score(compute),))),)
    monkeypatch.setattr(plugged, "_all", lambda: found)
    clean, none = np.array([0.5, 0.6]), np.empty((2, 0))
    assert SCORES["p:x"].compute(Readings(clean, np.array([]), none, None, 3)) is None
    np.testing.assert_array_equal(
        SCORES["p:x"].compute(Readings(clean - [0, 0.1], np.array([]), none, None, 2)), [0.5, 0.5]
    )


@pytest.mark.parametrize(
    ("arrays", "words"),
    [(None, "load gave NoneType, not Arrays"), (ARRAYS, "its images are not uint8"), (KeyError("x"), "KeyError: 'x'")],
)
def test_a_data_set_is_held_to_its_word(arrays, words, monkeypatch, tmp_path):
    def load(_):
        if isinstance(arrays, Exception):
            raise arrays
        return arrays

    found = (plugged.Installed("p", "1.0", "package-p", Plugin(datasets=(data(load=load),))),)
    monkeypatch.setattr(plugged, "_all", lambda: found)
    with pytest.raises(BadInput, match=f"dataset: data set p:x of plugin p 1.0: {words}"):
        DATASETS["p:x"].load(tmp_path)


# --- identities -----------------------------------------------------------------------------------


def test_engines_of_plugins_are_in_identities_and_of_the_first_nothing_is_said(monkeypatch):
    from core.models.architectures import resolve

    ids = []
    for engine in (1, 2):
        found = (plugged.Installed("p", "1.0", "package-p", Plugin(architectures=(net(engine=engine),))),)
        monkeypatch.setattr(plugged, "_all", lambda found=found: found)
        ids.append(resolve("p:x", {}, "architectures[0]").as_json())
    assert ids[0] == {"name": "p:x", "options": {"normalise": False}}
    assert ids[1] == {**ids[0], "engine": 2}
    assert resolve("mlp", {}, "").as_json().keys() == {"name", "options"}


def test_what_stands_for_an_absent_entry_lists_and_refuses_to_work(monkeypatch, tmp_path):
    monkeypatch.setattr(plugged, "_all", lambda: ())
    from core.attacks import ATTACKS
    from core.jobs.evaluations import _refuse_earlier_attack

    why = "the plugin gone is not installed here"
    assert "gone:x" not in ATTACKS
    assert why in ATTACKS["gone:x"].summary
    with pytest.raises(BadInput, match=why):
        _refuse_earlier_attack(AttackSpec("gone:x", "linf", (0.1,), {}, 0, 1))
    with pytest.raises(BadInput, match=why):
        ARCHITECTURES["gone:x"].build((1, 4, 4), 2, None, {})
    with pytest.raises(BadInput, match=why):
        DEFENSES["gone:x"].engine(Choice("gone:x").options)
    with pytest.raises(BadInput, match=f"^dataset: data set gone:x: {why}$"):  # what a queued trial fails with
        load_planned(stored_source("gone:x"), tmp_path, tmp_path, "gone:x")
    with pytest.raises(BadInput, match=why):
        parse_source("gone:x", tmp_path)
    with pytest.raises(KeyError):
        SCORES["gone:x"]
    with pytest.raises(KeyError):
        ATTACKS["gone"]
