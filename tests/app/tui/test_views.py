"""The views of the Lab's rows: what each loads and lays out, and every key of them on a small and on a large screen."""

import asyncio
import json
import sqlite3
from dataclasses import replace

import numpy as np
import pytest
from textual.widgets import Input

from app.report.charts import MARKERS, MOST_CURVES, Canvas
from app.tui.lab.asked import Asked
from app.tui.lab.screen import LabScreen
from app.tui.lab.views import curves, differences, heatmap, images, tradeoff, training
from app.tui.lab.views.pane import VIEWS
from app.tui.lab.views.pixels import RealPixels
from app.tui.lab.views.sight import Knobs, look
from app.tui.run.screen import DetailScreen
from app.tui.widgets.dialogs import Picker
from core.verdict.crossed import Block, crossed
from core.verdict.statistics import unit_interval
from storage.database import connect
from storage.grouping import Reading
from storage.listing import EVERYTHING, parse_filter
from storage.outcomes import ledgers
from tests.app.tui.conftest import LARGE, SMALL, opened, press_and_wait, shown
from tests.conftest import innate_command

MODULES = (curves, heatmap, tradeoff, training, differences, images)


def asked(**changes):
    return replace(Asked("tiny", (), Reading("worst_case"), EVERYTHING), **changes)


@pytest.fixture
def db(filled):
    found = connect(filled / "innate.db", read_only=True)
    yield found
    found.conn.close()


def loaded(db, module, question, knobs=None):
    return module.load(db, look(db, question), knobs or Knobs())


def by(db, **levels):
    where = " AND ".join(f"{name} = '{level}'" for name, level in levels.items())
    return tuple(str(row[0]) for row in db.execute(f"SELECT id FROM trial WHERE {where} ORDER BY id"))


def play(home, story, size=SMALL):
    async def run():
        async with opened(home, size) as (app, pilot):
            await press_and_wait(pilot, "tab")
            assert isinstance(app.screen, LabScreen)
            await story(app, pilot)

    asyncio.run(run())


# --- what is loaded ---


def test_groups_are_means_over_variants_at_the_ε_that_is_asked_for(db):
    def levels(eps):
        found = innate_command(
            "results", "--by", "optimizer", "--score", "worst_case", "--eps", eps, "--json", home=db_home(db)
        )
        return {row["optimizer"]: row for row in json.loads(found.stdout)["results"]}

    content = loaded(db, curves, asked(by=("optimizer",)))
    assert {line.group.label for line in content.found.lines} == {"adam", "sgd"}
    point = {
        one.group.label: one
        for one in loaded(db, tradeoff, asked(by=("optimizer",), reading=Reading("worst_case", "linf", 0.1))).found
    }
    for eps in ("0.1", "0.2"):
        for name, row in levels(eps).items():
            line = next(line for line in content.found.lines if line.group.label == name)
            band = dict(zip(content.bands[name].eps, content.bands[name].points, strict=True))[float(eps)]
            assert dict(zip(line.curve.x, line.curve.y, strict=True))[float(eps)] == pytest.approx(100 * row["score"])
            assert (band.value, band.high) == pytest.approx((row["score"], row["high"]))
            if eps == "0.1":
                assert point[name].robust == pytest.approx(100 * row["score"])


def test_curves_under_one_attack_have_bands_over_its_seeds_and_images(db, monkeypatch):
    content = loaded(db, curves, asked(), Knobs(attack="pgd"))
    drawn = {}
    for line in content.found.lines:
        band = content.bands[line.group.key]
        assert band.eps == line.curve.x
        assert [100 * one.value for one in band.points] == pytest.approx(line.curve.y)
        assert all(one.low <= one.value <= one.high and not one.bound for one in band.points)
        drawn[line.group.label] = band
    # By hand, of one variant at one ε: two seeds × 60 images.
    trials = by(db, optimizer="adam", activation="relu")
    rows = db.execute(
        "SELECT e.id, t.seed FROM evaluation e JOIN attack a ON a.id = e.attack_id JOIN trial t ON t.id = e.trial_id "
        f"WHERE a.name = 'pgd' AND t.id IN {trials} ORDER BY t.seed"
    ).fetchall()
    standing = np.stack([next(one.survived for one in ledgers(db, row[0]) if one.eps == 0.2) for row in rows])
    spread = crossed([Block(tuple(row[1] for row in rows), standing.astype(float))])
    point = drawn["adam relu"].points[drawn["adam relu"].eps.index(0.2)]
    assert (point.low, point.high) == pytest.approx(unit_interval(spread), abs=1e-5)
    assert point.n == 2
    assert "░ 95 % of the row under the cursor" in curves.about(look(db, asked()), content)
    row = content.found.lines[0].group.key
    assert "░" in curves.draw(content, Canvas(60, 18), row)
    grouped = loaded(db, curves, asked(by=("optimizer",)), Knobs(attack="fgsm"))
    assert {one.n for band in grouped.bands.values() for one in band.points} == {4}
    monkeypatch.setattr(curves, "attacks_named", lambda *_: ["a", "b"])
    content = loaded(db, curves, asked(), Knobs(attack="pgd"))
    assert not content.bands
    assert "no intervals: 2 attacks of the study are called pgd" in curves.about(look(db, asked()), content)


def db_home(db):
    from pathlib import Path

    return Path(db.execute("PRAGMA database_list").fetchone()[2]).parent


def test_the_knobs_of_the_lab_hold_in_every_view(db):
    narrowed = asked(chosen=parse_filter("optimizer=adam"))
    assert {line.group.label for line in loaded(db, curves, narrowed).found.lines} == {"adam relu", "adam tanh"}
    assert loaded(db, heatmap, narrowed, Knobs(("optimizer", "activation"))).rows == ("adam",)
    assert len(loaded(db, tradeoff, narrowed).found) == 2
    assert len(loaded(db, training, narrowed).lines) == 4
    assert len(loaded(db, differences, narrowed).runs) == 4
    at = [loaded(db, heatmap, asked(reading=Reading("worst_case", "linf", eps))).values for eps in (0.1, 0.2)]
    assert all(at[0][cell] > at[1][cell] for cell in at[0])
    (trial, *_) = by(db, optimizer="sgd", activation="tanh")
    marked = asked(marks=(("tiny", trial),))
    assert [line.group.label for line in loaded(db, curves, marked).found.lines] == ["sgd tanh"]
    assert [line.label[:8] for line in loaded(db, training, marked).lines] == ["sgd tanh"]


def test_equivalent_commands_of_every_view_run_and_show_the_same(db):
    questions = (
        asked(by=("optimizer",), reading=Reading("worst_case", "linf", 0.2), current=by(db, optimizer="adam")),
        asked(chosen=parse_filter("activation=relu"), current=by(db, optimizer="sgd", activation="relu")),
        asked(marks=tuple(("tiny", trial) for trial in by(db, optimizer="adam", activation="tanh"))),
    )
    for question in questions:
        sight = look(db, question)
        for module in MODULES:
            text = module.VIEW.command(sight, module.load(db, sight, Knobs()))
            for one in text.split("; "):
                arguments = [part.strip("'") for part in one.split()[1:]]
                assert innate_command(*arguments, home=db_home(db)).stdout, one
    text = curves.VIEW.command(look(db, questions[0]), None)
    drawn = innate_command(*text.split()[1:], home=db_home(db)).stdout
    assert "● " in drawn
    assert "adam relu" not in drawn, "by optimizer"


def test_effects_are_what_a_cell_has_beyond_its_row_and_column(db):
    content = loaded(db, heatmap, asked(), Knobs(effects=True))
    values = loaded(db, heatmap, asked())
    apart = {cell: 100 * one.value for cell, one in content.found.differences.items()}
    rows = {row: sum(values.values[row, column] for column in values.columns) / 2 for row in values.rows}
    columns = {column: sum(values.values[row, column] for row in values.rows) / 2 for column in values.columns}
    whole = sum(values.values.values()) / 4
    for (row, column), value in apart.items():
        assert value == pytest.approx(values.values[row, column] - rows[row] - columns[column] + whole, abs=1e-4)
    seeds = loaded(db, heatmap, asked(), Knobs(("optimizer", "seed"), effects=True))
    assert seeds.found is None
    assert "f chooses" in heatmap.VIEW.about(look(db, asked()), seeds)[0]


def test_two_are_held_against_each_other_in_pairs(db):
    adam, sgd = by(db, optimizer="adam"), by(db, optimizer="sgd")
    level = loaded(db, differences, asked(by=("optimizer",), current=sgd, baseline=adam))
    assert (level.why, level.found.first.side.label, level.found.second.side.label) == ("the baseline", "sgd", "adam")
    (worst,) = (one for one in level.found.measured if one.measure.name == "worst_case")
    assert worst.found.pairs == 4
    single = loaded(db, differences, asked(current=adam[:1]))
    assert single.found.of_trials
    assert single.why in ("the best", "the next best")
    variant = by(db, optimizer="adam", activation="relu")
    assert loaded(db, differences, asked(by=("variant",), current=variant)).found.first.side.kind == "variant"
    two = loaded(db, differences, asked(marks=(("tiny", adam[0]), ("tiny", sgd[0]))))
    assert [side.side.id for side in (two.found.first, two.found.second)] == [adam[0], sgd[0]]
    assert "optimizer" in two.found.made.differing
    at = loaded(db, differences, asked(by=("optimizer",), current=sgd, reading=Reading("worst_case", "linf", 0.2)))
    assert at.found.threat.eps == 0.2
    (there,) = (one for one in at.found.measured if one.measure.name == "worst_case")
    assert there.first < worst.first
    made = differences.VIEW.table(two, 78, False)
    assert sum(column.width + 1 for column in made.columns) + 2 <= 80
    assert any(line.cells["key"][0] == "optimizer" and line.cells["A"][0] == "adam" for line in made.lines)
    assert any(line.cells["key"][0] == "→ worst" and "95 %" in line.words for line in made.lines)


def test_of_more_than_two_the_table_says_what_differs(db):
    trials = by(db, activation="relu")
    found = loaded(db, differences, asked(marks=tuple(("tiny", trial) for trial in trials[:3])))
    assert [run for _, run in found.runs] == list(trials[:3])
    assert "activation" not in found.keys
    assert found.values["worst at", found.runs[0]] == "ℓ∞ 0.1"
    assert loaded(db, differences, asked(marks=(("tiny", trials[0]),))) is None


def test_runs_that_differ_in_whose_draw_their_training_samples_are_are_told_apart(filled_home):
    db = sqlite3.connect(filled_home.database)
    db.execute("UPDATE trial SET spec = json_set(spec, '$.vary', json('[\"seed\",\"train_subset\"]')) WHERE seed = 1")
    db.commit()
    db.close()
    reading = connect(filled_home.database, read_only=True)
    found = loaded(reading, differences, asked())
    assert sorted(found.values["vary", run] for run in found.runs) == ["seed"] * 4 + ["seed, train_subset"] * 4
    reading.conn.close()


def test_several_models_share_a_sample(db):
    content = loaded(db, images, asked(), Knobs(room=(120, 30)))
    assert content.shared == content.count > 0
    assert sum(one.example is not None for one in content.models) > 1
    assert {one.example.sample for one in content.models if one.example} == {content.sample}
    lines = content.text.splitlines()
    assert len(lines) <= 30
    assert lines[0].startswith("clean")
    assert "difference × " in content.text
    then = loaded(db, images, asked(), Knobs(room=(120, 30), sample=1))
    assert then.sample != content.sample
    assert loaded(db, images, asked(), Knobs(room=(120, 30), sample=content.count)).sample == content.sample
    only = loaded(db, images, asked(), Knobs(room=(120, 30), attack="fgsm"))
    assert {one.example.attack for one in only.models if one.example} == {"fgsm"}


def test_samples_that_several_have_come_first_and_the_nearest_ε_is_shown(db):
    from types import SimpleNamespace as Row

    def some(*pairs):
        return [Row(sample=sample, eps=eps) for sample, eps in pairs]

    assert images.order({"a": some((3, 0.1), (3, 0.2), (1, 0.1)), "b": some((3, 0.1), (7, 0.1))}) == ([3], 1)
    assert images.order({"a": some((3, 0.1)), "b": some((7, 0.1))}) == ([3, 7], 0)
    kept = some((3, None), (3, 0.1), (3, 0.3), (4, 0.2))
    assert images.nearest(kept, 3, 0.25) is kept[2]
    assert images.nearest(kept[:1], 3, 0.25) is kept[0]
    assert images.nearest(kept, 9, 0.25) is None


@pytest.mark.parametrize("wide", [False, True])
def test_tables_fit_keep_names_apart_and_cut_no_verdict(db, wide):
    width = 68 if wide else 40
    for module in (curves, tradeoff, training):
        made = module.VIEW.table(loaded(db, module, asked()), width, wide)
        used = 2 + sum(column.width + 1 for column in made.columns)
        assert used <= width + 2, module.__name__
        names = [line.cells["label"][0] for line in made.lines]
        assert len(set(names)) == len(names)
        for column in made.columns:
            if column.title == "trust":
                assert column.width >= len("suspect")
    made = curves.VIEW.table(loaded(db, curves, asked()), width, wide)
    assert [line.cells["mark"] for line in made.lines] == [
        (MARKERS[place], f"series{place}") for place in range(len(made.lines))
    ]
    assert len(made.lines) <= MOST_CURVES


def test_what_waits_and_what_failed_is_said_and_leaves_nothing_empty(filled_home):
    db = sqlite3.connect(filled_home.database)
    failed, waiting = (row[0] for row in db.execute("SELECT trial_id FROM study_trial ORDER BY position LIMIT 2"))
    db.execute("UPDATE study_trial SET state = 'failed', reason = 'NaN' WHERE trial_id = ?", (failed,))
    db.execute("UPDATE study_trial SET state = 'queued' WHERE trial_id = ?", (waiting,))
    db.commit()
    db.close()
    reading = connect(filled_home.database, read_only=True)
    sight = look(reading, asked())
    assert any("wait" in note for note in sight.notes)
    assert any("failed" in note for note in sight.notes)
    for module in MODULES:
        assert module.load(reading, sight, Knobs()) is not None, module.__name__
    assert len(loaded(reading, curves, asked()).found.lines) == 4
    reading.conn.close()


# --- the pane ---


async def pick(app, pilot, key, text):
    """Open a list with `key`, narrow it by `text` and take the first."""
    await press_and_wait(pilot, key)
    assert isinstance(app.screen, Picker)
    app.screen.query_one(Input).value = text
    await press_and_wait(pilot, "enter")


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_every_view_fits_and_its_keys_work(filled_home, size):
    db = sqlite3.connect(filled_home.database)
    db.execute("UPDATE study_trial SET trust = 'suspect', trust_reasons = '[\"loss [b]still[/b] moving\"]'")
    db.execute("UPDATE study_trial SET state = 'failed', reason = 'NaN' WHERE position = 0")
    db.commit()
    db.close()
    commands = []

    async def story(app, pilot):
        seen = []
        for _ in VIEWS:
            seen.append(shown(app))
            await press_and_wait(pilot, "y")
            assert app.clipboard == app.screen.pane.equivalent()
            commands.append(app.clipboard)
            await press_and_wait(pilot, "tab")
        for title, text in zip(
            ("Curves", "Heatmap", "Trade-off", "Training", "Differences", "Images"), seen, strict=True
        ):
            assert f"[{title}]" in text
            assert "adam relu s0 failed" in " ".join(text.split()), title
        for text in seen[:3]:
            assert "suspect" in text
        for name in ("adam relu", "adam tanh", "sgd relu", "sgd tanh"):
            assert name in seen[0]
            assert name in seen[2]
        assert "loss [b]still[/b] moving" in " ".join(seen[0].split())
        assert "★" in seen[2]
        assert "▀" in seen[5]
        assert "[Rows]" in shown(app), "behind the last view the rows again"
        await press_and_wait(pilot, "tab")
        # The marker of a row has the colour of its line.
        strips = app.screen._compositor.render_strips(app.size)
        hues = {
            mark: [part.style.color for strip in strips for part in strip if mark in part.text] for mark in MARKERS[:4]
        }
        assert any(len(found) > 1 for found in hues.values()), "where lines do not hide each other's markers"
        assert all(len(set(found)) == 1 for found in hues.values())
        assert len({found[0] for found in hues.values()}) == 4
        await press_and_wait(pilot, "tab", "e")
        assert "beyond row and column" in shown(app) or "nothing to pair" in shown(app)
        await press_and_wait(pilot, "e")
        await pick(app, pilot, "f", "activation × seed")
        assert "activation × seed" in shown(app)
        await press_and_wait(pilot, "tab", "tab", "v")
        assert "training accuracy, %" in shown(app)
        await press_and_wait(pilot, "tab", "tab")
        before = shown(app)
        await press_and_wait(pilot, "n")
        assert "2 of" in shown(app)
        await press_and_wait(pilot, "p")
        assert shown(app) == before
        await press_and_wait(pilot, "tab", "tab", "j", "enter")
        assert isinstance(app.screen, DetailScreen)
        await press_and_wait(pilot, "escape", "e")
        assert "innate chart" in shown(app), "e belongs to the heatmap alone"

    play(filled_home, story, size)
    remembered = json.loads((filled_home.root / "tui.json").read_text())["views"]
    assert remembered["factors"] == ["activation", "seed"]
    assert remembered["measure"] == "accuracy"
    for command in commands:
        first = command.split("; ")[0]
        assert innate_command(*first.split()[1:], home=filled_home.root).stdout


def test_marked_runs_alone_are_shown_and_new_marks_take_the_place_of_the_old(filled_home):
    db = connect(filled_home.database, read_only=True)
    first, second = by(db, optimizer="adam")[:3], by(db, optimizer="sgd")[:3]
    db.conn.close()

    async def story(app, pilot):
        await press_and_wait(pilot, "shift+tab", "shift+tab", "shift+tab")
        for trials in (first, second):
            app.session.remembered.marks = [("tiny", trial) for trial in trials]
            await press_and_wait(pilot, "tab", "shift+tab")
            text = shown(app)
            for trial in first + second:
                assert (trial[:10] in text) == (trial in trials)
        await press_and_wait(pilot, "tab", "tab", "tab")
        assert "marked variant" in shown(app)
        assert "adam" not in "\n".join(shown(app).splitlines()[4:-4])
        await press_and_wait(pilot, "u")
        assert "adam" in "\n".join(shown(app).splitlines()[4:-4])

    play(filled_home, story, LARGE)


def test_an_empty_home_says_what_to_do(home):
    async def story(app, pilot):
        for _ in VIEWS:
            assert "Nothing has been run here yet" in shown(app)
            await press_and_wait(pilot, "tab")
        await press_and_wait(pilot, "o")
        assert "there is no study yet" in shown(app)
        await press_and_wait(pilot, "e")

    play(home, story)


def test_the_pane_tells_what_went_wrong(filled_home, monkeypatch):
    from core.errors import BadInput

    def refuse(db, question):
        raise BadInput("the disk is on strike")

    async def story(app, pilot):
        monkeypatch.setattr("app.tui.lab.views.pane.look", refuse)
        await press_and_wait(pilot, "tab")
        assert "the disk is on strike" in shown(app)
        monkeypatch.undo()
        await press_and_wait(pilot, "tab")
        assert "★" in shown(app)

    play(filled_home, story)


def test_z_shows_the_same_images_in_real_pixels_and_comes_back(filled_home, monkeypatch):
    shows = []

    def show(self, app, captions, rows):
        shows.append((list(captions), rows))
        return None if len(shows) == 1 else "this terminal has none"

    monkeypatch.setattr(RealPixels, "show", show)

    async def story(app, pilot):
        pane = app.screen.pane
        await press_and_wait(pilot, "z")
        assert not shows, "curves have no pixels"
        while app.screen.viewed.view != "images":
            await press_and_wait(pilot, "tab")
        await press_and_wait(pilot, "z")
        ((captions, rows),) = shows
        having = [one for one in pane._loaded.content.models if one.example is not None]
        assert len(captions) == len(having)
        assert all(f"sample {pane._loaded.content.sample}:" in caption for caption in captions)
        assert [len(row) for row in rows] == [1 + len(having)] * 2, (
            "the clean image, and each model's; below, differences"
        )
        await press_and_wait(pilot, "n", "z")
        assert "this terminal has none" in shown(app)
        assert f"sample {pane._loaded.content.sample}:" in shows[1][0][0]
        assert app.screen.pane.equivalents()["pixels"].startswith("innate examples ")

    play(filled_home, story)
