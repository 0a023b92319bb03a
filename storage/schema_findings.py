"""Migration 7: what findings and intervals are made of. Released; a change is a new migration."""

FINDINGS = """
-- What became of each test image, one bit each: the rows that scores are means of, then each attack alone. `content` names them.
CREATE TABLE outcome (
    study TEXT NOT NULL,
    trial_id TEXT NOT NULL,
    count INTEGER NOT NULL,
    content TEXT NOT NULL,
    bits BLOB NOT NULL,
    PRIMARY KEY (study, trial_id),
    FOREIGN KEY (study, trial_id) REFERENCES study_trial (study, trial_id) ON DELETE CASCADE
) STRICT;

-- A score of all scored trials of a variant, whose interval needs their images side by side. `members` is a digest of those
-- trials: where others are asked for, it is worked out anew. Variances are of the mean, in units of the score's largest value.
CREATE TABLE variant_score (
    study TEXT NOT NULL REFERENCES study (name) ON DELETE CASCADE,
    variant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    members TEXT NOT NULL,
    trials INTEGER NOT NULL,
    value REAL NOT NULL,
    low REAL NOT NULL,
    high REAL NOT NULL,
    upper_bound INTEGER NOT NULL,
    seeds_variance REAL,
    images_variance REAL NOT NULL,
    rest_variance REAL NOT NULL,
    freedom REAL NOT NULL,
    PRIMARY KEY (study, variant_id, name)
) STRICT, WITHOUT ROWID;

-- 1: an upper bound, since what attacks left standing was not audited; `low` is 0 then.
ALTER TABLE score ADD COLUMN upper_bound INTEGER NOT NULL DEFAULT 0;

-- Error spent on the findings of a study, family by family and look by look, and the claims that were decided then.
CREATE TABLE look (
    study TEXT NOT NULL REFERENCES study (name) ON DELETE CASCADE,
    family TEXT NOT NULL,
    number INTEGER NOT NULL,
    content TEXT NOT NULL,
    margin REAL NOT NULL,
    made_at REAL NOT NULL,
    PRIMARY KEY (study, family, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE settled (
    study TEXT NOT NULL REFERENCES study (name) ON DELETE CASCADE,
    family TEXT NOT NULL,
    claim TEXT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (study, claim)
) STRICT, WITHOUT ROWID;

-- Trials that were added to a study to settle a finding: no grid names them, and submitting the study keeps them.
CREATE TABLE settling_trial (
    study TEXT NOT NULL,
    trial_id TEXT NOT NULL,
    PRIMARY KEY (study, trial_id),
    FOREIGN KEY (study, trial_id) REFERENCES study_trial (study, trial_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
"""
