"""`innate import`, and what the worker, retention and the listings make of an imported trial."""

import dataclasses
import functools
import json
import os
import subprocess
import sys
import time

import pytest
import torch

from app.main import app
from app.report.status import unfinished, worker_view
from app.report.trial_page import import_text
from app.worker import changes, owner, retention
from app.worker.loop import Stop, Worker
from core.datasets import parse_source
from core.errors import BadInput, ExitCode, InnateError, NotFound
from core.events import Imported
from core.executors.inline import InlineExecutor
from core.jobs.importing.job import run_import
from core.jobs.orders import ImportJob
from core.jobs.trial import run_trial
from core.records.trial import ImportRecord
from storage import database, queries, queue, submitting, verdicts, worker_state
from storage.changes import Arrival, Attack, Delete, Import
from storage.destinations import in_use
from storage.export import export_weights
from storage.home import Home, prepare
from storage.trial import trial_detail
from tests.conftest import copy_home, innate_command, plan_of, tiny
from tests.storage import stored


@pytest.fixture
def db(home):
    return database.connect(home.database)


@pytest.fixture
def bring(home, db):
    return functools.partial(stored.bring, db, home)


def test_an_attack_can_be_added_to_it(db, home, bring):
    trial_id = bring().trial_id
    asked = Attack("imported-digits", (trial_id,), "pgd", {"eps": [0.1]})
    assert changes.perform(db, home, asked).missing == 1
    assert [wanted.attack.eps for wanted in queue.claim(db).evaluations] == [(0.1,)]


def test_an_attack_on_a_trial_without_weights_is_refused(db, home, cache):
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    trial_id = queries.trials(db, "tiny")[0].trial_id
    with pytest.raises(BadInput, match=r"has no weights yet \(queued\); train it first: innate run"):
        changes.perform(db, home, Attack("tiny", (trial_id,), "pgd", {"eps": [0.1]}))
    assert db.execute("SELECT count(*) FROM trial_attack").fetchone()[0] == 0


def test_retention_never_removes_imported_weights(db, home, bring):
    trial_id = bring().trial_id
    claim = queue.claim(db)
    stored.evaluate(db, dataclasses.replace(claim, clean=(None,)))
    queue.settle(db, claim.attempt_id)
    assert queue.is_complete(db, trial_id)
    (home.checkpoints / trial_id / "2").mkdir()
    worker_state.set_retention(db, "none")
    retention.after_trial(db, home, trial_id)
    for dry in (True, False):
        assert retention.sweep(db, home, "none", dry=dry).weights == 0
    assert [path.name for path in (home.checkpoints / trial_id).iterdir()] == ["1"]
    assert queue.weights_path(db, trial_id) is not None


def test_what_a_killed_import_left_is_swept_after_a_day(db, home):
    for name, age in (("living", 60), ("killed", 90_000)):
        (home.incoming / name).mkdir(parents=True)
        os.utime(home.incoming / name, (time.time() - age,) * 2)
    retention.sweep(db, home, "all", dry=False)
    assert [path.name for path in home.incoming.iterdir()] == ["living"]


def test_deleting_it_takes_its_weights(db, home, bring):
    trial_id = bring().trial_id
    changes.perform(db, home, Delete((trial_id,)))
    assert not (home.checkpoints / trial_id).exists()
    assert queries.trials(db) == []
    assert not bring().known


GUESS = ImportRecord(
    "ema", "order", None, None, (0.0,), (1.0,), "default", None, None, ("a and b have the same shape",)
)


def evaluated(db):
    claim = queue.claim(db)
    stored.evaluate(db, dataclasses.replace(claim, clean=(None,)))
    queue.settle(db, claim.attempt_id)


def test_a_guess_is_a_reason_of_trust_until_another_import_of_the_same_weights_proves_it(db, home, bring):
    trial_id = bring(record=GUESS).trial_id
    evaluated(db)
    reason = "guessed import: a and b have the same shape"
    assert verdicts.verdict(db, "imported-digits", trial_id) == verdicts.Verdict("suspect", (reason,))
    assert trial_detail(db, trial_id).import_record == GUESS
    bring()  # an older client, which says nothing
    assert verdicts.verdict(db, "imported-digits", trial_id).trust == "suspect"
    proof = dataclasses.replace(GUESS, guesses=(), expected_clean=0.9, clean_accuracy=0.91)
    assert bring(record=proof).known
    assert verdicts.verdict(db, "imported-digits", trial_id) == verdicts.Verdict("ok", ())
    bring(record=GUESS)
    assert trial_detail(db, trial_id).import_record == proof
    assert verdicts.verdict(db, "imported-digits", trial_id).trust == "ok"


def test_proof_does_not_outlive_its_trial(db, home, bring):
    trial_id = bring(record=dataclasses.replace(GUESS, guesses=())).trial_id
    changes.perform(db, home, Delete((trial_id,)))
    bring(record=GUESS)
    assert trial_detail(db, trial_id).import_record == GUESS


def test_an_import_without_a_record_has_none(db, bring):
    trial_id = bring().trial_id
    assert trial_detail(db, trial_id).import_record is None
    evaluated(db)
    assert verdicts.verdict(db, "imported-digits", trial_id).trust == "ok"


def test_a_record_that_another_version_wrote_costs_nothing(db, bring):
    trial_id = bring(record=GUESS).trial_id
    db.execute("UPDATE event SET content = json_set(content, '$.mean', 'none') WHERE kind = 'Imported'")
    assert trial_detail(db, trial_id).import_record is None


def test_what_was_decided_is_told_in_a_line():
    record = ImportRecord(
        "ema", "order", "before", "names", (0.49, 0.48), (0.2, 0.25), "stated", 0.95, 0.951, ("a guess it is",)
    )
    assert import_text(record) == (
        "key ema; tensors by order; batch norm before the activation (names); mean 0.49,0.48 and deviation 0.2,0.25 "
        "(stated); clean 95.1 % of all test images, as expected; a guess: a guess it is"
    )


class Blind:
    def __getattr__(self, name):
        return lambda *_: None


def work(home, db):
    ownership = owner.acquire(home, owner.DETACHED)
    try:
        Worker(home, db, InlineExecutor(run_trial), Blind(), ownership, role=owner.DETACHED, gpus=list).work(
            None, lambda: Stop.NO
        )
    finally:
        ownership.release()


def test_weights_exported_from_one_home_and_imported_into_another_answer_alike(tmp_path, cache):
    document = tiny(optimizers=["adam"], activations=["relu"], seeds=1)
    del document["test_samples"]
    here, there = Home(tmp_path / "here"), Home(tmp_path / "there")
    prepare(here)
    prepare(there)
    trained, imported = (database.connect(home.database) for home in (here, there))
    plan = plan_of(document, cache)
    submitting.submit(trained, plan)
    work(here, trained)
    own = in_use(here, here.database)
    export_weights(trained, here.checkpoints, tmp_path / "out", None, own)

    (file,) = (tmp_path / "out").glob("*.pt")
    unknown = dataclasses.replace(
        plan.trials[0], train_samples=None, optimizer=None, defense=None, training=None, seed=0
    )
    source = parse_source("digits", tmp_path)
    job = ImportJob(file, unknown, source, here.data_root, here.cache, there.incoming / "1")
    (found,) = (event for event in run_import(job, lambda: False) if isinstance(event, Imported))
    weights = found.weights.relative_to(there.root)
    arrival = Arrival(found.trial, weights, found.final_digest, found.environment, file, None, None, found.record)
    trial = changes.perform(imported, there, Import("digits", there.data_root, None, arrival)).trial_id
    for attack in document["attacks"]:
        options = {key: value for key, value in attack.items() if key != "name"}
        changes.perform(imported, there, Attack("imported-digits", (trial,), attack["name"], options))
    work(there, imported)

    ours, theirs = (queries.results(db) for db in (trained, imported))
    assert len(ours) == len(theirs) == 4
    compared = ("attack", "eps", "samples", "clean_accuracy", "robust_accuracy")
    ordered = [sorted([getattr(row, key) for key in compared] for row in rows) for rows in (ours, theirs)]
    assert ordered[0] == ordered[1]
    assert ours[0].clean_accuracy > 0.5
    (row,) = queries.trials(imported)
    assert row.state == "done"
    assert row.final_digest == queries.trials(trained)[0].final_digest
    assert imported.execute("SELECT count(*) FROM epoch").fetchone()[0] == 0


def test_the_worker_fails_an_imported_trial_whose_file_is_no_weights(home, db, bring):
    bring(b"cut short")
    work(home, db)
    (row,) = queries.trials(db)
    assert (row.state, row.reason) == (
        "failed",
        "the imported weights are gone or damaged; import them again: innate import",
    )


def test_what_waits_is_called_imported(home, db, bring):
    trial = bring().trial_id
    (row,) = unfinished(db, worker_view(db, home), "imported-digits")
    assert row.label == f"imported mlp {trial[:6]}"


@pytest.fixture
def net(tmp_path):
    """A file with the state dict of a plain network for digits, and how the command is told of it."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 8), torch.nn.ReLU(), torch.nn.Linear(8, 10))
    names = ["1.weight", "1.bias", "4.weight", "4.bias"]
    state = dict(zip(names, network.state_dict().values(), strict=True))
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "net.pt")
    return ["import", str(tmp_path / "net.pt"), "--architecture", "mlp", "--dataset", "digits", "--set", "hidden=[8]"]


@pytest.mark.slow
def test_the_command_takes_a_state_dict_in_and_the_listings_know_it(innate, net, home, tmp_path):
    done = innate(*net, "--label", "plain", "--json")
    document = json.loads(done.stdout)
    (row,), (record,) = document["trials"], document["imports"]
    assert (row["study"], row["state"], row["optimizer"], row["defense"]) == ("imported-digits", "done", None, None)
    assert (record["key"], record["placed_by"], record["normalised_by"]) == ("state_dict", "name", "default")
    assert row["clean_accuracy"] is not None
    assert f"next: innate attack {row['trial_id'][:10]} --attack pgd --eps 0.1" in done.stderr
    assert list(home.incoming.iterdir()) == []
    again = innate(*net)
    assert "these weights were imported before; they are the same trial" in again.stderr
    assert again.stdout.startswith(f"{row['trial_id'][:10]}  mlp relu on digits: done, clean ")
    assert len(again.stdout.splitlines()) == 1
    page = innate("show", row["trial_id"]).stdout
    assert "imported      plain: trained elsewhere" in page
    assert "read          key state_dict; tensors by name; mean " in page
    refused = innate("attack", row["trial_id"][:8], "--attack", "pgd", check=2)
    assert refused.stderr == (
        "innate: --eps: the study imported-digits attacks nothing in linf; give radii such as --eps 0.1,8/255\n"
    )
    for listing in (["trials"], ["results"], ["results", "--by", "optimizer"], ["studies"], ["chart", "scores"]):
        assert "None" not in innate(*listing).stdout
    assert "None" not in page
    innate("export", "weights", str(tmp_path / "out"))
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert [entry["trial_id"] for entry in manifest] == [row["trial_id"]]


@pytest.mark.parametrize(
    ("position", "given", "code", "words"),
    [
        (1, "absent.pt", ExitCode.NOT_FOUND, "absent.pt: there is no such file"),
        (3, "mpl", ExitCode.BAD_INPUT, "--architecture: unknown architecture 'mpl'; did you mean 'mlp'?"),
        (3, "lenet5", ExitCode.BAD_INPUT, "architecture: lenet5 has no option 'hidden'"),
        (5, "digit", ExitCode.BAD_INPUT, "dataset: unknown data set 'digit'; did you mean 'digits'?"),
        (7, "hiden=[8]", ExitCode.BAD_INPUT, "architecture: mlp has no option 'hiden'; did you mean 'hidden'?"),
        (7, "activation=elu", ExitCode.BAD_INPUT, "--set activation=elu: name it with --activation"),
        (7, "norm=before", ExitCode.BAD_INPUT, "--architecture.norm: mlp has no batch norm to place"),
        (7, "norm=behind", ExitCode.BAD_INPUT, "architecture.norm: 'behind' is not one of before, after"),
        (7, "activation.slope=1", ExitCode.BAD_INPUT, "activation: relu has no option 'slope' (it takes none)"),
    ],
)
def test_bad_input_leaves_the_home_unmade(position, given, code, words, net, tmp_path):
    arguments = [*net[:position], given, *net[position + 1 :]]
    with pytest.raises(InnateError) as refused:
        app(["--home", str(tmp_path / "none"), *arguments], standalone_mode=False)
    assert refused.value.exit_code == code
    assert str(refused.value).startswith(words)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("option", "given", "words"),
    [
        ("--expect-clean", "94.2", "is a share above 0 and at most 1, not a percentage; write 0.942"),
        ("--expect-clean", "0", "is a share above 0 and at most 1, not a percentage; write 0.942"),
        ("--expect-clean", "94%", "'94%' is not a number"),
        ("--mean", "127.5", "is for pixels in [0, 1], not for those in [0, 255]; divide it by 255"),
        ("--mean", "0.5;0.4", "'0.5;0.4' is not a number"),
        ("--deviation", "0.2,0", "pixels are divided by it, so it must be above 0"),
    ],
)
def test_numbers_that_cannot_be_meant(option, given, words, net, tmp_path):
    with pytest.raises(BadInput) as refused:
        app(["--home", str(tmp_path / "none"), *net, option, given], standalone_mode=False)
    assert str(refused.value).startswith(option)
    assert words in str(refused.value)
    assert not (tmp_path / "none").exists()


def test_a_study_that_is_not_there(net, home):
    with pytest.raises(NotFound, match="there is no study 'tiny'"):
        app(["--home", str(home.root), *net, "--study", "tiny"], standalone_mode=False)


@pytest.mark.slow
def test_a_file_that_does_not_fit_is_refused_by_a_child_and_the_command_never_imports_torch(net, tmp_path):
    script = (
        "import sys, atexit\n"
        "atexit.register(lambda: print([name for name in ('torch', 'torchvision') if name in sys.modules]))\n"
        "from app.main import main\n"
        "main()\n"
    )
    place = tmp_path / "none"
    done = subprocess.run(
        [sys.executable, "-P", "-c", script, "--home", str(place), *net[:-1], "hidden=[9]"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "INNATE_DATA": str(place / "data")},
    )
    assert done.returncode == 2
    assert done.stdout == "[]\n"
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith("it fits --architecture mlp --set 'hidden=[8]'\n")
    assert [path.name for path in place.iterdir()] == ["cache"]


@pytest.mark.slow
def test_into_a_study_it_is_attacked_with_the_study_s_attacks(filled, net, tmp_path):
    copy_home(filled, tmp_path / "copy")
    done = innate_command(*net, "--study", "tiny", "--json", home=tmp_path / "copy")
    (row,) = json.loads(done.stdout)["trials"]
    db = database.connect(tmp_path / "copy" / "innate.db")
    tried = queries.results(db, "tiny", row["trial_id"])
    assert [(result.attack, result.eps) for result in tried] == [
        ("fgsm", 0.1), ("fgsm", 0.2), ("pgd", 0.1), ("pgd", 0.2),
    ]  # fmt: skip
    assert {result.samples for result in tried} == {60}
