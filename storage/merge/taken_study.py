"""Studies of another home, brought into this one. Inside the caller's transaction, after the trials.

A study with the same grid is the same study: its trials, and what was added to them, come together; its row stays this home's.
Where another grid has its name here, theirs is called by that grid, too, so that it is the same one whoever brings it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from storage.codec import Misfit, decoded
from storage.content import is_told
from storage.merge.checked_attack import attack_of
from storage.merge.checked_study import (
    ESCALATION,
    LOOK,
    NOTE,
    SETTLED,
    Row,
    StudyTold,
    candidates,
    candidates_study,
    grid_of,
    named,
    places,
    resolved_study,
)
from storage.merge.opened import Other
from storage.merge.values import MOMENT, Unsound, address, optional, text
from storage.settling import SETTLING_RECORDS
from storage.specs import store_attack
from storage.tuning import companion

if TYPE_CHECKING:
    from sqlite_utils import Database

_ROW = (
    "name", "description", "document", "dataset", "source_kind", "source_path", "dataset_identity", "shape", "class_names",
    "test_samples", "samples", "threat_norm", "threat_eps", "created_at", "run_at", "tuning_of",
)  # fmt: skip


@dataclass
class Studies:
    """What came of the studies. `names`: what each of theirs is called here; `new` those that were not here, by our names;
    `places` and `notes`: how many trials of studies, and notes, are new; `open`: (study, trial) pairs that are to be settled."""

    names: dict[str, str] = field(default_factory=dict)
    new: list[str] = field(default_factory=list)
    places: int = 0
    notes: int = 0
    notes_kept: int = 0
    """Notes that say otherwise there: this home's stay."""
    wishes: int = 0
    """What was asked for there: attacks and audits of trials, trials that settle a finding, cells to tune."""
    open: set[tuple[str, str]] = field(default_factory=set)

    def taken(self) -> tuple[int, ...]:
        return len(self.new), self.places, self.notes, self.wishes


def take_contents(db: Database, other: Other) -> int:
    """What the other home met under the names of data sets; returns how many are new. Raises Unsound where a name stands for
    other content here: trials of one address would have been trained on different images."""
    new = 0
    for row in other.rows("dataset_content", {"name": text(200), "digest": address, "met_at": MOMENT}, "ORDER BY name"):
        if not is_told(row["name"]):
            continue  # the program knows what that is, or knows no such set
        here = db.execute("SELECT digest FROM dataset_content WHERE name = ?", (row["name"],)).fetchone()
        if here is not None and here[0] != row["digest"]:
            raise Unsound(
                f"data set {row['name']!r:.60}: stands for other images there than here, so results do not compare"
            )
        if here is None:
            db.execute("INSERT INTO dataset_content (name, digest, met_at) VALUES (?, ?, ?)", tuple(row.values()))
            new += 1
    return new


def take(db: Database, other: Other, told: StudyTold, found: Studies) -> None:
    """Bring in one study. Raises Unsound for what does not fit together."""
    name = _name_here(db, told)
    found.names[told.name] = name
    new = not db.execute("SELECT 1 FROM study WHERE name = ?", (name,)).fetchone()
    if new:
        _store(db, {**told.row, "name": name, "document": _renamed(told.row["document"], name)})
        for attack_id, position in told.attacks:
            store_attack(db, attack_of(other, attack_id))
            db.execute(
                "INSERT INTO study_attack (study, attack_id, position) VALUES (?, ?, ?)", (name, attack_id, position)
            )
        found.new.append(name)
    _take_audits(db, told, name, found)
    _take_tuning(db, other, told, name, found)
    _take_places(db, other, told.name, name, found)
    _take_added(db, other, told.name, name, found)
    _take_notes(db, other, told.name, name, found)
    if new:
        _take_settling(db, other, told.name, name)
        _take_ladders(db, other, told.name, name)


def take_left(db: Database, other: Other) -> None:
    """Trials that are in no study there, and in none here now: which they left, and when. Verdicts are not taken."""
    columns = {"trial_id": address, "study": optional(text(200)), "left_at": optional(MOMENT)}
    for row in other.rows("left_trial", columns, "ORDER BY trial_id"):
        db.execute(
            "INSERT OR IGNORE INTO left_trial (trial_id, study, left_at) SELECT id, ?, ? FROM trial t WHERE id = ? "
            "AND NOT EXISTS (SELECT 1 FROM study_trial st WHERE st.trial_id = t.id)",
            (row["study"], row["left_at"], row["trial_id"]),
        )


def _name_here(db: Database, told: StudyTold) -> str:
    """Its own name, unless that stands for another grid here."""
    for name in (told.name, named(told.name, told.grid)):
        row = db.execute(
            "SELECT document, dataset_identity, samples, threat_norm, threat_eps FROM study WHERE name = ?", (name,)
        ).fetchone()
        if row is None:
            return name
        columns = ("document", "dataset_identity", "samples", "threat_norm", "threat_eps")
        own = dict(zip(columns, row, strict=True))
        rows = db.execute("SELECT attack_id FROM study_attack WHERE study = ? ORDER BY position", (name,))
        attacks = [str(attack_id) for (attack_id,) in rows.fetchall()]
        with suppress(Unsound):  # one that cannot be read here, for want of a plugin, is another
            if grid_of(resolved_study(json.loads(own["document"])), own, attacks) == told.grid:
                return name
    raise Unsound(f"both {told.name!r:.60} and {name!r:.60} stand for other grids here")


def _renamed(document: str, name: str) -> str:
    return json.dumps({**json.loads(document), "name": name})


def _store(db: Database, row: Row) -> None:
    db.execute(
        f"INSERT INTO study ({', '.join(_ROW)}) VALUES ({', '.join('?' * len(_ROW))})", tuple(row[key] for key in _ROW)
    )


def _take_audits(db: Database, told: StudyTold, name: str, found: Studies) -> None:
    """Audits that are wanted there, in norms in which none is wanted here; every trial of the study then wants them."""
    rows = db.execute("SELECT norm, position FROM study_audit WHERE study = ?", (name,)).fetchall()
    norms = {norm for norm, _ in rows}
    behind = max((position for _, position in rows), default=-1) + 1
    wanted = [one for one in told.audits if one["norm"] not in norms]
    for place, one in enumerate(wanted):
        db.execute(
            "INSERT INTO study_audit (study, spec_id, norm, spec, position) VALUES (?, ?, ?, ?, ?)",
            (name, one["spec_id"], one["norm"], one["spec"], behind + place),
        )
    if wanted:
        found.wishes += len(wanted)
        trials = db.execute("SELECT trial_id FROM study_trial WHERE study = ?", (name,)).fetchall()
        found.open.update((name, str(trial_id)) for (trial_id,) in trials)


def _take_tuning(db: Database, other: Other, told: StudyTold, name: str, found: Studies) -> None:
    """The cells that are not here, and what they try, not chosen yet: that follows from the trials (`storage.tuning.advance`)."""
    if not told.cells:
        return
    row = candidates_study(other, told.name)
    if row is None:
        raise Unsound("the study of its candidates is missing")
    if not db.execute("SELECT 1 FROM study WHERE name = ?", (companion(name),)).fetchone():
        _store(db, {**row, "name": companion(name), "tuning_of": name})
    tried: dict[int, list[Row]] = {}
    for one in candidates(other, told.name):
        tried.setdefault(one["position"], []).append(one)
    for cell in told.cells:
        known = db.execute(
            "SELECT 1 FROM tuning_cell WHERE study = ? AND position = ?", (name, cell.position)
        ).fetchone()
        if not known:
            db.execute(
                "INSERT INTO tuning_cell (study, position, cell) VALUES (?, ?, ?)",
                (name, cell.position, json.dumps(cell.as_json())),
            )
            found.wishes += 1
        for one in tried.get(cell.position, []):
            if cell.trying(one["value"]).id != one["trial_id"]:
                raise Unsound(f"trial {one['trial_id'][:10]} does not try what the file says")
            _refuse_absent(db, one["trial_id"])
            db.execute(
                "INSERT OR IGNORE INTO tuning_candidate (study, position, value, widened, trial_id) VALUES (?, ?, ?, ?, ?)",
                (name, cell.position, one["value"], one["widened"], one["trial_id"]),
            )


def _take_places(db: Database, other: Other, theirs: str, name: str, found: Studies) -> None:
    """Its trials. Those that a tuning chose follow from that here; those that somebody cancelled there stay so."""
    for study, here in ((theirs, name), (companion(theirs), companion(name))):
        for one in places(other, study):
            if one["tuned"] is not None and not _is_added(other, study, one["trial_id"]):
                continue
            _refuse_absent(db, one["trial_id"])
            state = "cancelled" if one["state"] == "cancelled" else "queued"
            cursor = db.execute(
                "INSERT OR IGNORE INTO study_trial (study, trial_id, position, state, reason, priority, tuned) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    here,
                    one["trial_id"],
                    one["position"],
                    state,
                    "cancelled" if state == "cancelled" else None,
                    one["priority"],
                    one["tuned"],
                ),
            )
            if cursor.rowcount:
                found.places += 1
                found.open.add((here, one["trial_id"]))


def _is_added(other: Other, study: str, trial_id: str) -> bool:
    """Whether it was added to settle a finding: no cell names it."""
    sql = "SELECT 1 FROM settling_trial WHERE study = ? AND trial_id = ?"
    return other.connection.execute(sql, (study, trial_id)).fetchone() is not None


def _take_added(db: Database, other: Other, theirs: str, name: str, found: Studies) -> None:
    """Attacks that were added to its trials, and trials that were added to settle something."""
    where = ("WHERE study = ?", (theirs,))
    for one in other.rows("trial_attack", {"trial_id": address, "attack_id": address}, *where):
        _refuse_absent(db, one["trial_id"])
        store_attack(db, attack_of(other, one["attack_id"]))
        cursor = db.execute(
            "INSERT OR IGNORE INTO trial_attack (study, trial_id, attack_id) VALUES (?, ?, ?)",
            (name, one["trial_id"], one["attack_id"]),
        )
        if cursor.rowcount:
            found.wishes += 1
            found.open.add((name, one["trial_id"]))
    in_study = "SELECT 1 FROM study_trial WHERE study = ? AND trial_id = ?"
    for one in other.rows("settling_trial", {"trial_id": address}, *where):
        if db.execute(in_study, (name, one["trial_id"])).fetchone():
            sql = "INSERT OR IGNORE INTO settling_trial (study, trial_id) VALUES (?, ?)"
            found.wishes += db.execute(sql, (name, one["trial_id"])).rowcount


def _take_notes(db: Database, other: Other, theirs: str, name: str, found: Studies) -> None:
    for one in other.rows("note", NOTE, "WHERE study = ? ORDER BY variant_id", (theirs,)):
        here = db.execute(
            "SELECT text, tags FROM note WHERE study = ? AND coalesce(variant_id, '') = ?",
            (name, one["variant_id"] or ""),
        ).fetchone()
        if here is None:
            db.execute(
                "INSERT INTO note (study, variant_id, text, tags, changed_at) VALUES (?, ?, ?, ?, ?)",
                (name, *one.values()),
            )
            found.notes += 1
        else:
            found.notes_kept += here != (one["text"], one["tags"])


def _take_settling(db: Database, other: Other, theirs: str, name: str) -> None:
    """The looks that a new study has had, which cost error, and what they decided."""
    for table, columns in (("look", LOOK), ("settled", SETTLED)):
        for one in other.rows(table, columns, "WHERE study = ?", (theirs,)):
            try:
                decoded(SETTLING_RECORDS[table], json.loads(one["content"]))
            except Misfit as error:
                raise Unsound(f"table {table}, content: {error}") from None
            db.execute(
                f"INSERT INTO {table} (study, {', '.join(one)}) VALUES (?{', ?' * len(one)})", (name, *one.values())
            )


def _refuse_absent(db: Database, trial_id: str) -> None:
    if not db.execute("SELECT 1 FROM trial WHERE id = ?", (trial_id,)).fetchone():
        raise Unsound(f"trial {trial_id[:10]}: is named, and is not in the file")


def _take_ladders(db: Database, other: Other, theirs: str, name: str) -> None:
    """Those that are being climbed in a new study; in one that is known here, whoever works here says what is climbed."""
    for one in other.rows("escalation", ESCALATION, "WHERE study = ?", (theirs,)):
        db.execute(
            "INSERT INTO escalation (study, trial_id, norm, eps, asked_at) VALUES (?, ?, ?, ?, ?)",
            (name, *one.values()),
        )
