"""Published tables: that they are whole and sourced, and that nothing is set beside what it cannot be held against."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import date

import pytest

from app.report.published import TABLES, all_published, published
from app.report.published.comparable import Facts, differences, eps_text
from app.report.published.words import in_full
from core.datasets import DATASETS
from tests.conftest import copy_home, innate_command

FACTS = Facts("mnist", {"linf": (0.1, 0.3), "l2": ()}, {"linf": ("pgd",), "l2": ()}, 10_000, None, ("mlp",), 1)


@pytest.mark.parametrize("name", TABLES)
def test_every_table_says_what_it_is_of_and_where_it_is_from(name):
    table = published(name)
    assert table.name == name
    assert table.of in ("models", "attacks")
    assert table.norm in ("linf", "l2")
    assert 0 < table.eps <= 1
    assert DATASETS[table.dataset].test_size == table.test_samples
    assert table.revision in table.url
    assert table.url.startswith("https://github.com/")
    assert date(2017, 1, 1) < table.dated <= table.retrieved
    assert len({(row.name, row.robust) for row in table.rows}) == len(table.rows) >= 10
    for row in table.rows:
        assert 0 < row.robust < 1
        assert row.clean is None or row.robust < row.clean < 1
        assert row.best_known is None or (row.best_known < row.robust and row.best_known_by)
        assert row.year is None or row.year <= table.dated.year
        assert row.attack


def test_rows_stand_in_the_order_of_their_source():
    for table in all_published():
        least = [row.least for row in table.rows]
        alone = [row.least for row in table.rows if row.further_data == "none"] if table.name == "robustbench" else []
        best = least[: len(least) - len(alone)]
        assert best == sorted(best, reverse=table.of == "models")
        assert alone == sorted(alone, reverse=True)


@pytest.mark.parametrize(
    ("table", "row", "robust", "deviation"),
    [
        ("madry-mnist", "FGSM on the cross-entropy loss", 0.9636, None),
        ("madry-mnist", "100-step PGD on the cross-entropy loss", 0.9252, None),
        ("madry-mnist", "100-step PGD on the cross-entropy loss with 50 random restarts", 0.8962, None),
        ("madry-mnist", "Square Attack", 0.8825, None),
        ("fastat-2026", "PGD-AT", 0.4433, 0.0008),
        ("fastat-2026", "PGD-AT-WA", 0.5049, 0.0015),
        ("fastat-2026", "N-FGSM", 0.4777, 0.0041),
        ("fastat-2026", "FGSM-RS", 0.4309, 0.0533),
    ],
)
def test_figures_that_are_known_from_elsewhere_too(table, row, robust, deviation):
    (found,) = [one for one in published(table).rows if one.name == row]
    assert found.robust == pytest.approx(robust)
    assert found.deviation == (None if deviation is None else pytest.approx(deviation))


def excluding(table, facts):
    return {one.what for one in differences(published(table), facts) if one.excludes}


@pytest.mark.parametrize(
    ("table", "changes", "excluded"),
    [
        ("madry-mnist", {}, set()),
        ("robustbench", {}, {"data set", "radius"}),
        ("robustbench", {"dataset": "cifar10", "radii": {"linf": (8 / 255,), "l2": ()}}, set()),
        ("robustbench", {"dataset": "cifar10", "radii": {"linf": (0.031373,), "l2": ()}}, set()),
        ("robustbench", {"dataset": "cifar10", "radii": {"linf": (0.031,), "l2": ()}}, {"radius"}),
        ("robustbench", {"dataset": "cifar10@00112233", "radii": {"linf": (8 / 255,), "l2": ()}}, {"data set"}),
        ("madry-mnist", {"dataset": "mnist5k"}, {"data set"}),
        ("madry-mnist", {"radii": {"linf": (), "l2": (1.0,)}}, {"norm"}),
        ("madry-mnist", {"radii": {"linf": (), "l2": ()}}, {"norm"}),
    ],
)
def test_only_the_same_data_norm_and_radius_can_be_compared(table, changes, excluded):
    assert excluding(table, replace(FACTS, **changes)) == excluded


def test_what_moves_numbers_is_said_with_its_direction():
    cifar = replace(
        FACTS, dataset="cifar10", radii={"linf": (8 / 255,), "l2": ()}, test_samples=500, train_samples=2_000
    )
    found = {one.what: one for one in differences(published("robustbench"), cifar)}
    assert (found["attack"].here, found["attack"].there) == ("pgd", "AutoAttack")
    assert found["attack"].moves.endswith("too high here")
    assert (found["test images"].here, found["test images"].there) == ("500", "10,000")
    assert found["training images"].moves.endswith("too low here")
    assert found["further images"].there == "in 10 of 13 rows"
    assert "seeds" not in found
    whole = {
        one.what
        for one in differences(published("fastat-2026"), replace(cifar, test_samples=10_000, train_samples=None))
    }
    assert whole == {"attack", "architecture", "seeds"}
    ensemble = replace(cifar, attacks={"linf": ("pgd", "standard"), "l2": ()})
    assert {one.what: one.moves for one in differences(published("robustbench"), ensemble)}["attack"].endswith(
        "hardly any"
    )
    assert (
        "unknown"
        in {one.what: one.here for one in differences(published("robustbench"), replace(cifar, imported=True))}[
            "further images"
        ]
    )


@pytest.mark.parametrize(("eps", "text"), [(8 / 255, "8/255"), (0.3, "0.3"), (0.2, "0.2"), (0.031, "0.031")])
def test_radii_are_written_as_usual(eps, text):
    assert eps_text(eps) == text


@pytest.mark.parametrize("name", TABLES)
def test_a_table_fits_80_columns_whole(name):
    text = in_full(published(name), 80)
    assert max(len(line) for line in text.splitlines() if not line.startswith("https://")) <= 80
    assert "…" not in text
    assert published(name).url in text


def test_the_command_lists_shows_and_writes_json(innate):
    assert all(name in innate("published").stdout for name in TABLES)
    rows = json.loads(innate("published", "madry-mnist", "--json").stdout)["published"]
    assert {row["table"] for row in rows} == {"madry-mnist"}
    assert rows[0]["robust_accuracy"] == 0.88
    assert rows[0]["retrieved"] == "2026-11-28"
    assert len(json.loads(innate("published", "--json").stdout)["published"]) == sum(
        len(one.rows) for one in all_published()
    )
    assert "did you mean 'robustbench'?" in innate("published", "robustbenhc", check=3).stderr


@pytest.fixture
def like_mnist(filled, tmp_path):
    """The tiny study as if it were of MNIST, and attacked at 0.3 where it was at 0.2."""
    home = tmp_path / "home"
    copy_home(filled, home)
    with closing(sqlite3.connect(home / "innate.db")) as db, db:
        db.execute("UPDATE study SET dataset = 'mnist'")
        db.execute("UPDATE robustness SET eps = 0.3 WHERE eps = 0.2")
    return lambda *arguments, **more: innate_command("results", *arguments, home=home, **more)


def test_comparable_rows_stand_in_one_column_by_accuracy(like_mnist):
    document = json.loads(like_mnist("--published", "madry-mnist", "--json").stdout)
    assert len(document["published"]) == 18
    assert all(row["comparable"] for row in document["published"])
    assert {one["what"] for one in document["published"][0]["differences"]} >= {
        "attack",
        "test images",
        "architecture",
        "seeds",
    }
    text = like_mnist("--published").stdout.partition("Published, not measured here: MNIST")[2]
    rows = [words for line in text.split("\n\n")[0].splitlines() if len(words := line.split()) > 2]
    own = [float(row[-3]) for row in rows if row[-2] == "here,"]
    both = [
        float(row[-3 if row[-2] == "here," else -2]) for row in rows if row[-2] == "here," or row[-1] == "published"
    ]
    assert both == sorted(both, reverse=True)
    assert (len(own), len(both)) == (4, 22)
    assert "differs: test images: 60 here, 10,000 there" in text


def test_other_data_is_never_in_one_column(like_mnist, filled):
    document = json.loads(like_mnist("--published", "robustbench", "--json").stdout)
    assert not any(row["comparable"] for row in document["published"])
    text = " ".join(like_mnist("--published", "robustbench").stdout.split())
    assert "Not comparable with tiny: data set mnist here, cifar10 there; ε 0.1, 0.3 here, 8/255 there." in text
    assert ", ok" not in text.partition("Not comparable")[2]
    none = innate_command("results", "--published", home=filled).stdout
    assert "No published table is on digits; innate published lists them." in none
    assert json.loads(innate_command("results", "--published", "--json", home=filled).stdout)["published"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["madry-mnist"], 2, "names a table for --published; a study is named with --study"),
        (["--published", "--format", "latex"], 2, "goes with --format table or json, not latex"),
        (["--published", "madry"], 3, "there is no such table"),
    ],
)
def test_what_does_not_go_together_is_said(filled, arguments, code, words):
    assert words in innate_command("results", *arguments, home=filled, check=code).stderr
