"""The five questions that the screens are for, each asked and answered by keys alone, in as many of them as are counted here."""

import asyncio
import contextlib
import functools
import json

import pytest

from app.report.aggregate import by_factors
from app.tui.compose.screen import ComposeScreen
from app.tui.findings.screen import FindingsScreen
from app.tui.queue.screen import QueueScreen
from storage import database, queries, queue, submitting
from storage.home import Home, prepare
from tests.app.tui.conftest import LARGE, SIZES, SMALL, opened, press_and_wait, shown
from tests.conftest import plan_of, tiny
from tests.storage import stored

KEYS = {
    "which optimizer is best, and how sure is that": 0,
    "the same at another ε": 1,
    "why is this suspect, and attack it harder": 2,
    "what differs between the two best": 1,
    "what differs between any two runs": 7,
    "what is open, and settle it": 4,
    "run again what failed": 1,
    "edit what failed, and submit that": 13,  # of them 10 change its learning rate
}


def asked(question, *keys):
    """The keys that are pressed for it, as many as are counted."""
    assert len(keys) == KEYS[question]
    return keys


def story(test):
    @functools.wraps(test)
    def run(*arguments, **options):
        asyncio.run(test(*arguments, **options))

    return run


@pytest.fixture
def lab(filled_home):
    """The tiny study as the screens open on it for the first time."""
    (filled_home.root / "tui.json").unlink()
    return filled_home


def rows(home, sql, *values):
    db = database.connect(home.database)
    try:
        return db.execute(sql, values).fetchall()
    finally:
        db.conn.close()


def change(home, sql, *values):
    db = database.connect(home.database)
    with database.transaction(db):
        db.execute(sql, values)
    db.conn.close()


def filled_by_hand(tmp_path, *, failed=False):
    """One seed of the tiny study's four variants; `failed`: the last of them has failed."""
    home = Home(tmp_path / "home")
    prepare(home)
    db = database.connect(home.database)
    submitting.submit(db, plan_of(tiny(seeds=1), home.cache))
    for seed in range(3 if failed else 4):
        stored.run_one(db, home, seed=seed)
    if failed:
        queue.fail(db, queue.claim(db).attempt_id, "the loss became NaN or infinite in epoch 1", "Traceback")
    db.conn.close()
    return home


def flat(app):
    return " ".join(shown(app).split())


def answer(home, eps):
    """(the best, the words that it is answered with) from the scores of the runs at that ε."""
    worst = {}
    for trial, value in rows(
        home, "SELECT trial_id, compared_accuracy FROM robustness WHERE study = 'tiny' AND eps = ?", eps
    ):
        (optimizer, cell) = rows(home, "SELECT optimizer, activation || seed FROM trial WHERE id = ?", trial)[0]
        worst.setdefault(optimizer, {})[cell] = value
    means = {name: 100 * sum(of.values()) / len(of) for name, of in worst.items()}
    best, other = sorted(means, key=means.__getitem__, reverse=True)
    pairs = [worst[best][cell] - worst[other][cell] for cell in worst[best]]
    db = database.connect(home.database)
    table = by_factors(db, "tiny", "worst_case", queries.scores(db, "tiny", "worst_case"), ["optimizer"], eps)
    db.conn.close()
    apart = next(level.difference for level in table if level.names == (other,))
    reach = " to ".join(f"{100 * end:+.1f}".replace("-", "−") for end in (-apart.high, -apart.low))
    if apart.low <= 0 <= apart.high:
        said = f"{best} cannot be told from {other} at ε {eps:g} ({len(pairs)} matched pairs, 95 %: {reach})."
    else:
        won = sum(difference > 0 for difference in pairs)
        said = f"{best} is most robust at ε {eps:g}: better than {other} in {won} of {len(pairs)} matched pairs"
    return means, said


@pytest.mark.parametrize("size", [SMALL, LARGE])
@story
async def test_the_best_optimizer_at_an_eps_and_how_sure_that_is(lab, size):
    async with opened(lab, size, press=asked("which optimizer is best, and how sure is that")) as (app, pilot):
        for eps, keys in ((0.1, ()), (0.2, asked("the same at another ε", "right_square_bracket"))):
            await press_and_wait(pilot, *keys)
            means, said = answer(lab, eps)
            assert f"ANSWER {said}" in flat(app)
            for optimizer, mean in means.items():
                line = next(line for line in shown(app).splitlines() if f"▸ {optimizer}" in line)
                assert f" {mean:.1f} " in line
                assert "●" in line


@story
async def test_why_it_is_suspect_and_attack_it_harder(lab):
    means, _ = answer(lab, 0.1)
    best = max(means, key=means.__getitem__)
    (trial,) = rows(lab, "SELECT id FROM trial WHERE optimizer = ? LIMIT 1", best)[0]
    change(lab, "UPDATE study_trial SET trust = 'ok', trust_reasons = '[]'")
    change(
        lab,
        "UPDATE study_trial SET trust = 'suspect', trust_reasons = ? WHERE trial_id = ?",
        json.dumps(["square beats pgd"]),
        trial,
    )
    async with opened(lab) as (app, pilot):
        assert f"WEAK 1 {best} variant suspect: square beats pgd → A attack harder" in flat(app)
        first, then = asked("why is this suspect, and attack it harder", "A", "enter")
        await press_and_wait(pilot, first)
        assert "Attack harder: 4 runs of tiny" in shown(app)
        assert "escalate at most" in flat(app), "with its cost"
        await press_and_wait(pilot, then)
        assert "no worker is running" in shown(app)
        await press_and_wait(pilot, "n")
        assert "escalating 4 runs" in flat(app)
        assert app.session.done[-1].command.startswith("innate attack ")
    climbing = rows(lab, "SELECT optimizer, eps FROM escalation JOIN trial ON id = trial_id")
    assert climbing == [(best, 0.1)] * 4
    assert rows(lab, "SELECT count(*) FROM score WHERE trial_id = ?", trial)[0][0] > 0, "scores stay until it is done"


@pytest.mark.parametrize("size", SIZES)
@story
async def test_what_differs_between_the_row_and_the_best_of_the_others(lab, size):
    means, _ = answer(lab, 0.1)
    one, other = sorted(means, key=means.__getitem__, reverse=True)
    rates = {"adam": "0.02", "sgd": "0.3"}
    async with opened(lab, size) as (app, pilot):
        await press_and_wait(pilot, *asked("what differs between the two best", "d"))
        text = flat(app)
        assert f"A {one} · B {other}, the next best" in text
        assert f"→ worst ≤{means[one]:.1f} ≤{means[other]:.1f} {means[one] - means[other]:+.1f}" in text
        assert f"optimizer.lr {rates[one]} {rates[other]}" in text
        await press_and_wait(pilot, "d")
        assert "ANSWER" in shown(app), "the same key leads back to the rows"


@story
async def test_what_differs_between_any_two_runs(lab):
    async with opened(lab) as (app, pilot):
        keys = asked("what differs between any two runs", "g", "n", "tab", "enter", "space", "space", "d")
        await press_and_wait(pilot, *keys)
        trials = [trial for _, trial in app.session.remembered.marks]
        sql = "SELECT activation, seed, 100 * accuracy FROM trial JOIN clean ON trial_id = id WHERE id = ?"
        (one, seed, clean), (other, other_seed, other_clean) = (rows(lab, sql, trial)[0] for trial in trials)
        text = flat(app)
        assert f"→ clean {clean:.1f} {other_clean:.1f} {clean - other_clean:+.1f}" in text
        assert (seed, {one, other}) == (other_seed, {"relu", "tanh"}), "the first two of the list"
        assert f"activation {one} {other}" in text
        assert "seed " not in text.partition("→ trust")[2], "where they are alike nothing is said"


@story
async def test_what_is_open_and_settle_it(tmp_path, started):
    home = filled_by_hand(tmp_path)
    async with opened(home) as (app, pilot):
        findings, settle, family, yes = asked("what is open, and settle it", "4", "S", "enter", "y")
        await press_and_wait(pilot, findings)
        assert isinstance(app.screen, FindingsScreen)
        assert "inconclusive adam differs from sgd" in flat(app)
        await press_and_wait(pilot, settle, family)
        assert "Settle tiny?" in shown(app)
        assert "8 more trials of 4 variants, about" in flat(app).replace("│ ", "").replace(" │", "")
        await press_and_wait(pilot, yes)
        assert "8 trials queued; worker started" in flat(app)
        assert app.session.done[-1].command.startswith("innate findings --study tiny --settle --about optimizer")
    assert rows(home, "SELECT count(*) FROM study_trial WHERE state = 'queued'") == [(8,)]
    assert rows(home, "SELECT count(*) FROM settling_trial WHERE study = 'tiny'") == [(8,)]
    assert [told[0] for told in started] == [home.root]


@pytest.fixture
def broken(tmp_path):
    """(a home in which one run failed, its id)"""
    home = filled_by_hand(tmp_path, failed=True)
    return home, rows(home, "SELECT trial_id FROM study_trial WHERE state = 'failed'")[0][0]


@contextlib.asynccontextmanager
async def on_the_row(home, trial):
    """The Lab, the cursor on the group in which it is."""
    (optimizer,) = rows(home, "SELECT optimizer FROM trial WHERE id = ?", trial)[0]
    async with opened(home) as (app, pilot):
        place = [row.label for row in app.screen.grouped.rows].index(optimizer)
        await press_and_wait(pilot, *["down"] * place)
        await pilot.pause(0.2)
        assert f"1 {optimizer} run failed → R run again" in flat(app)
        yield app, pilot


@story
async def test_run_again_what_failed(broken):
    home, trial = broken
    async with on_the_row(home, trial) as (app, pilot):
        await press_and_wait(pilot, *asked("run again what failed", "R"))
        assert "asked to run again what had failed" in flat(app)
    assert rows(home, "SELECT trial_id FROM study_trial WHERE state = 'queued'") == [(trial,)]


@story
async def test_edit_what_failed_and_submit_that(broken, started):
    home, trial = broken
    async with on_the_row(home, trial) as (app, pilot):
        edit, *changes, submit, yes = asked(
            "edit what failed, and submit that", "E", *["down"] * 3, *["enter"] * 3, *"0.1", "enter", "S", "y"
        )
        await press_and_wait(pilot, edit)
        assert isinstance(app.screen, ComposeScreen)
        assert f"{trial[:10]} of tiny, to edit" in flat(app), "the run that failed, not the first of the row"
        await press_and_wait(pilot, *changes, submit)
        assert "Submit tiny-edited?" in shown(app)
        await press_and_wait(pilot, yes)
        assert isinstance(app.screen, QueueScreen)
        assert "tiny-edited: 1 trial queued; worker started" in flat(app)
    sql = "SELECT optimizer_options, state FROM study_trial JOIN trial ON id = trial_id WHERE study = 'tiny-edited'"
    ((options, state),) = rows(home, sql)
    assert (json.loads(options)["lr"], state) == (0.1, "queued")
    assert rows(home, "SELECT state FROM study_trial WHERE study = 'tiny' AND trial_id = ?", trial) == [("failed",)]
