"""Every change, and the answer to it, comes out of the database as it went in."""

import json
from pathlib import Path

import pytest

from core.attacks import resolve
from core.errors import BadInput
from core.records.attack import Threat
from core.records.choice import Choice
from core.records.outcome import TransferCell
from core.records.trial import TrialSpec
from core.verdict.settling.looked import Looked
from core.verdict.settling.spending import Look
from core.verdict.settling.stage import Decided
from storage import changes, commands, database
from storage.changes import Arrival, NextRung
from storage.codec import Misfit, decoded, encoded
from storage.journal import AttackEnded
from storage.notes import NoteRow
from storage.settling import MoreSeeds
from storage.submitting import Submission
from storage.transfers import Crafted

TRIAL = TrialSpec("d" * 64, None, Choice("mlp", {"hidden": [24]}), Choice("relu"), None, None, None, 0, "e" * 64)
ARRIVAL = Arrival(TRIAL, Path("incoming/1/weights.pt"), "f" * 64, {"device": "cpu"}, Path("/net.pt"), None, 7)
PGD = resolve("pgd", {"eps": [0.1]}, "test")
CRAFTED = Crafted(PGD, "a", (TransferCell("b", 4, 1, 0.5),), {"a": "1", "b": "2"}, "s", 60, "fp32")
LOOKED = Looked("claims", (Look(3, 0.003, 60),), (Decided("claim-4", "supported", 1, 0.0015, None, 0.001),))
ASKED = (
    (changes.Submit({"name": "s", "seeds": 2}, "s.toml", Path("/data")), Submission("s", 8, 8, 0, 0, 0, 16, 16)),
    (changes.Attack("s", ("a", "b"), "pgd", {"eps": ["8/255"]}), changes.Attacked("s", "c", 2)),
    (changes.Escalate("s", ("a",), Threat("linf", 0.1)), changes.Climb((NextRung("a", "c", 1),), 5)),
    (changes.Audit("s", {"depth": "full"}), changes.Queued(3, ("audit",))),
    (changes.Level("s"), changes.Queued(0, ())),
    (changes.Settle("s", (Looked("claims"),), (LOOKED,), 0.5, (MoreSeeds("v", (2, 3)),)), changes.SeedsAdded(2)),
    (changes.Import("digits", Path("/data"), None, ARRIVAL), changes.Admission("imported", "a", known=False)),
    (changes.Note("s", None, "again", ("keep",)), NoteRow("s", None, "again", ("keep",))),
    (changes.Note("s", "v", None, (), ("keep",)), NoteRow("s", "v", "", ())),
    (changes.Delete(("a",)), changes.Deleted(("a",))),
    (changes.Delete(study="s"), changes.Deleted(())),
    (changes.Retry(("a",)), changes.Requeued(("a",))),
    (changes.Cancel(None, "s"), changes.Cancelled(("a", "b"))),
    (changes.Cancel(("a",), None), changes.Cancelled(())),
    (changes.Prioritise(("a",), -5), changes.Prioritised(1)),
    (changes.Pause("lunch"), changes.Changed(True)),
    (changes.Resume(), changes.Changed(False)),
    (changes.Drain(), changes.Draining(2)),
    (changes.Transfer(CRAFTED), changes.Transferred(1)),
    (changes.Sweep(None, dry=True), changes.Swept("last", ("checkpoints/a",), 100, 0)),
)


def test_every_change_is_tried_here():
    assert {type(change) for change, _ in ASKED} == set(changes.CHANGES)


@pytest.mark.parametrize(("change", "answer"), ASKED, ids=lambda one: type(one).__name__)
def test_a_change_and_its_answer_come_back_as_they_were(change, answer, home):
    db = database.connect(home.database)
    number = commands.leave(db, change)
    (command,) = commands.pending(db)
    assert (command.kind, command.change()) == (change.KIND, change)
    commands.answer(db, number, commands.Outcome(answer))
    assert commands.outcome(db, number, change) == commands.Outcome(answer)


@pytest.mark.parametrize(
    ("kind", "payload", "words"),
    [
        ("dance", {}, "does not know the command 'dance'"),
        ("retry", {}, "trials is missing"),
        ("retry", {"trials": "all"}, "trials is not a list"),
        ("retry", {"trials": [1]}, "trials is not of the kind str"),
        ("priority", {"trials": [], "priority": True}, "priority is not of the kind int"),
        ("priority", {"trials": [], "priority": None}, "priority is not of the kind int"),
        ("escalate", {"study": "s", "trials": [], "threat": 0.1}, "threat is not a table"),
        ("transfer", {"crafted": {"attack": {}}}, "is missing"),
        ("attack", {"study": "s", "trials": [], "name": "pgd", "options": []}, "options is not a table"),
    ],
)
def test_what_another_version_left_is_refused_in_a_line(kind, payload, words):
    with pytest.raises(BadInput, match=words) as refused:
        commands.Command(1, kind, json.dumps(payload)).change()
    assert "\n" not in str(refused.value)


def test_a_record_of_more_than_is_known_is_read_as_far_as_it_is():
    assert decoded(changes.Pause, {"reason": "lunch", "until": 6}) == changes.Pause("lunch")
    assert decoded(changes.Delete, {"study": "s"}) == changes.Delete(study="s")
    assert encoded(Path("a") / "b") == "a/b"
    ended = {"attack": "pgd", "norm": "linf", "robust": [[0.1, 0.5, 1]], "medians": [], "seconds": 1.0}
    with pytest.raises(Misfit, match="robust has 3 values, not 2"):
        decoded(AttackEnded, ended)
