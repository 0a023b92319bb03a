"""What is shown of the probe that watches a defense train: lines of the log, tables, charts, and names of variants."""

import pytest

from app.report import study_charts, trial_charts
from app.report.charts import Canvas
from app.report.scope import Scope
from app.report.trial_page import trial_page
from app.report.variants import labels, levels
from app.tui.run.words import epochs_table
from app.worker.narration import told
from core.events import EpochFinished, EpochRecord
from storage import database, queries, queue, recording, submitting
from storage.trial import trial_detail
from tests.conftest import plan_of, tiny
from tests.rows import trial_row

PROBED = EpochRecord(3, 0.1234, 0.989, None, 0.01, 0.25, 0.016)
PLAIN = EpochRecord(3, 0.1234, 0.989, None, 0.01, 0.25)


@pytest.fixture
def db(home, cache):
    """Two running trials of three epochs each, one with a defense; no probe in its first epoch, as before there was one."""
    db = database.connect(home.database)
    defenses = ["none", {"name": "fgsm-at", "eps": 0.3}]
    submitting.submit(db, plan_of(tiny(seeds=1, activations=["relu"], optimizers=["adam"], defenses=defenses), cache))
    for _ in range(2):
        claim = queue.claim(db)
        probes = [None, 0.4, 0.016] if claim.trial.defense.name == "fgsm-at" else [None] * 3
        recording.record_epochs(
            db,
            claim.trial_id,
            [
                EpochRecord(n + 1, 1.0 / (n + 1), 0.3 * (n + 1), None, 0.01, 0.1, probe)
                for n, probe in enumerate(probes)
            ],
        )
    yield db
    db.conn.close()


def trials(db):
    return {row.defense: row.trial_id for row in queries.trials(db)}


def test_the_log_tells_the_probe_and_warns_even_where_epochs_are_not_told():
    assert told(EpochFinished(PLAIN), epochs=True) == ["epoch 3, loss 0.1234, accuracy 98.9% in 0.2 s"]
    (line,) = told(EpochFinished(PROBED), epochs=True)
    assert "accuracy 98.9%, 1.6% under the probe's PGD in" in line
    assert told(EpochFinished(PROBED)) == []
    assert told(EpochFinished(PROBED, "catastrophic overfitting in epoch 3")) == [
        "warning: catastrophic overfitting in epoch 3"
    ]
    assert len(told(EpochFinished(PROBED, "catastrophic overfitting in epoch 3"), epochs=True)) == 2


def test_the_probe_is_stored_and_stands_in_the_view(db):
    of = trials(db)
    assert [row.probe_accuracy for row in queries.trial_epochs(db, of["fgsm-at"])] == [None, 0.4, 0.016]
    assert [row.probe_accuracy for row in queries.trial_epochs(db, of["none"])] == [None] * 3


def test_a_column_stands_for_it_only_where_something_was_probed(db):
    of = trials(db)
    defended, plain = (trial_detail(db, of[name]) for name in ("fgsm-at", "none"))
    page, other = (trial_page(detail, (), 80, every=False) for detail in (defended, plain))
    assert "probe %" in page
    assert "probe %" not in other
    (last,) = (line.split() for line in page.splitlines() if line.strip().startswith("3 "))
    assert last == ["3", "0.3333", "90.0", "-", "1.6", "0.01", "0.1"]
    columns, rows = epochs_table(defended.epochs)
    (probe,) = [column for column in columns if column.title == "probe %"]
    assert [probe.cell(row)[0] for row in rows] == ["-", "40.0", "1.6"]
    assert "probe %" not in [column.title for column in epochs_table(plain.epochs)[0]]


def test_the_charts_of_training_show_its_curve(db):
    of = trials(db)
    assert " probe" in trial_charts.training_curves(db, of["fgsm-at"], Canvas(60, 16))
    assert " probe" not in trial_charts.training_curves(db, of["none"], Canvas(60, 16))
    text = study_charts.training_curves(Scope(db, "tiny"), Canvas(80, 24))
    loss, probe = text.split("tiny: accuracy on held-out images")
    assert "none" in loss
    assert "fgsm-at" in loss
    assert "fgsm-at" in probe
    assert "none" not in probe
    assert max(map(len, text.splitlines())) <= 80
    only = Scope(db, "tiny", {"defense": "none"})
    assert "held-out" not in study_charts.training_curves(only, Canvas(80, 24))


def test_an_option_that_only_some_have_tells_variants_apart():
    rows = [
        trial_row(variant_id="a", defense="fgsm-at", defense_options={"eps": 0.3}),
        trial_row(variant_id="b", defense="fgsm-at", defense_options={"eps": 0.3, "clean_share": 0.5}),
        trial_row(variant_id="c", defense="none", defense_options={}),
    ]
    assert levels(rows, "defense") == ["fgsm-at", "fgsm-at clean_share=0.5", "none"]
    assert len(set(labels(rows).values())) == 3
