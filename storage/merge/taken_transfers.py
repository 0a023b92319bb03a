"""Adversarial images of one model tried on another, as another home tells of them. Inside the caller's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.merge.checked_attack import attack_of
from storage.merge.opened import Other
from storage.merge.values import (
    COUNT,
    MOMENT,
    SHARE,
    Check,
    Unsound,
    address,
    blob,
    flat,
    number,
    optional,
    text,
    whole,
)
from storage.specs import store_attack

if TYPE_CHECKING:
    from sqlite_utils import Database

_TRANSFER: dict[str, Check] = {
    **dict.fromkeys(("source_id", "target_id", "attack_id", "samples"), address),
    "eps": number(0.0),
    **dict.fromkeys(("source_digest", "target_digest"), address),
    "count": whole(1, 10**9),
    "shared": COUNT,
    "fooled": COUNT,
    "robust_accuracy": SHARE,
    "crafting": text(40),
    "engine": COUNT,
    "made_at": MOMENT,
    "fooled_bitmap": optional(blob),
}


def take(db: Database, other: Other) -> tuple[int, set[str]]:
    """Those between weights that this home has, too, where it has none; how many, and the trials that were attacked. Raises
    Unsound."""
    new, targets = 0, set()
    for row in other.rows("transfer", _TRANSFER, "ORDER BY source_id, target_id"):
        pair = f"transfer {row['source_id'][:10]} to {row['target_id'][:10]}"
        if not row["fooled"] <= row["shared"] <= row["count"]:
            raise Unsound(f"{pair}: its counts do not fit")
        flat(row["fooled_bitmap"], (row["count"] + 7) // 8, f"{pair}, fooled_bitmap")
        attack = attack_of(other, row["attack_id"])
        if row["eps"] not in attack.eps:
            raise Unsound(f"{pair}: its ε is not one of the attack's")
        if not all(_is_of(db, row[f"{one}_id"], row[f"{one}_digest"]) for one in ("source", "target")):
            continue
        counted = db.execute(
            "SELECT count FROM clean WHERE trial_id = ? AND samples = ?", (row["target_id"], row["samples"])
        ).fetchone()
        if counted is not None and counted[0] != row["count"]:
            raise Unsound(f"{pair}: it counts other samples than the clean outcome")
        own = db.execute(
            "SELECT x.source_digest = s.final_digest AND x.target_digest = t.final_digest FROM transfer x "
            "JOIN trial s ON s.id = x.source_id JOIN trial t ON t.id = x.target_id "
            "WHERE x.source_id = ? AND x.target_id = ? AND x.attack_id = ? AND x.samples = ?",
            (row["source_id"], row["target_id"], row["attack_id"], row["samples"]),
        ).fetchone()
        if own is not None and own[0]:
            continue
        store_attack(db, attack)
        db.execute(
            f"INSERT OR REPLACE INTO transfer ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
            tuple(row.values()),
        )
        new += 1
        targets.add(row["target_id"])
    return new, targets


def _is_of(db: Database, trial_id: str, digest: str) -> bool:
    sql = "SELECT 1 FROM trial WHERE id = ? AND final_digest = ? AND weights IS NOT NULL"
    return db.execute(sql, (trial_id, digest)).fetchone() is not None
