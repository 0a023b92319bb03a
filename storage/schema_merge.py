"""Of migration 11: what merged homes say otherwise than this one. Released; a change is a new migration."""

MERGE = """
-- A trial of this home that another one trained to other weights: its own stay, the other's stand here. `environment`: JSON of
-- where it was trained, NULL where that is not known; `origin`: the file that it came from.
CREATE TABLE merged_copy (
    trial_id TEXT NOT NULL REFERENCES trial (id) ON DELETE CASCADE,
    final_digest TEXT NOT NULL,
    environment TEXT,
    train_seconds REAL,
    origin TEXT NOT NULL,
    merged_at REAL NOT NULL,
    PRIMARY KEY (trial_id, final_digest)
) STRICT, WITHOUT ROWID;

-- How those weights fared: rightly classified of `count` test samples, by themselves (`attack_id` empty) and under each attack at
-- each ε, or at the usual one where the attack measures distances (`eps` NULL for the clean images).
CREATE TABLE merged_copy_result (
    trial_id TEXT NOT NULL,
    final_digest TEXT NOT NULL,
    samples TEXT NOT NULL,
    attack_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    eps REAL,
    count INTEGER NOT NULL,
    standing INTEGER NOT NULL,
    PRIMARY KEY (trial_id, final_digest, samples, attack_id, position),
    FOREIGN KEY (trial_id, final_digest) REFERENCES merged_copy (trial_id, final_digest) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
"""
