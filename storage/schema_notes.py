"""Migration 10: what people note, and escalations that go on by themselves. Released; a change is a new migration."""

NOTES = """
-- What somebody noted on a study (`variant_id` NULL) or on a variant of it. `tags`: JSON, a list of words, in their order.
CREATE TABLE note (
    study TEXT NOT NULL REFERENCES study (name) ON DELETE CASCADE,
    variant_id TEXT,
    text TEXT NOT NULL,
    tags TEXT NOT NULL,
    changed_at REAL NOT NULL
) STRICT;
CREATE UNIQUE INDEX note_subject ON note (study, coalesce(variant_id, ''));

-- Trials on which the ladder of attacks is climbed: whoever works on the queue adds the next rung as soon as one has been tried.
CREATE TABLE escalation (
    study TEXT NOT NULL,
    trial_id TEXT NOT NULL,
    norm TEXT NOT NULL,
    eps REAL NOT NULL,
    asked_at REAL NOT NULL,
    PRIMARY KEY (study, trial_id, norm, eps),
    FOREIGN KEY (study, trial_id) REFERENCES study_trial (study, trial_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX escalation_trial ON escalation (trial_id);
"""
