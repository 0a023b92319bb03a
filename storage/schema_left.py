"""Of migration 11: trials that are in no study, and what scores were made from. Released; a change is a new migration."""

LEFT = """
-- The trials that are in no study, each with the last that it was in (NULL: not known), when it left, and the verdict that it had
-- there. The triggers keep it so, whatever takes a trial out of a study or brings it back.
CREATE TABLE left_trial (
    trial_id TEXT PRIMARY KEY REFERENCES trial (id) ON DELETE CASCADE,
    study TEXT,
    left_at REAL,
    trust TEXT CHECK (trust IN ('ok', 'suspect', 'invalid'))
) STRICT, WITHOUT ROWID;
INSERT INTO left_trial (trial_id) SELECT id FROM trial t
    WHERE NOT EXISTS (SELECT 1 FROM study_trial st WHERE st.trial_id = t.id);

-- What was known of a trial when it was scored last in a study (storage.verdicts); NULL: scored before this was kept, or not yet.
ALTER TABLE study_trial ADD COLUMN scored_from TEXT;

CREATE TRIGGER trial_leaves AFTER DELETE ON study_trial
WHEN NOT EXISTS (SELECT 1 FROM study_trial WHERE trial_id = OLD.trial_id) AND EXISTS (SELECT 1 FROM trial WHERE id = OLD.trial_id)
BEGIN
    INSERT OR REPLACE INTO left_trial (trial_id, study, left_at, trust)
    VALUES (OLD.trial_id, OLD.study, (julianday('now') - 2440587.5) * 86400.0, OLD.trust);
END;
CREATE TRIGGER trial_joins AFTER INSERT ON study_trial
BEGIN
    DELETE FROM left_trial WHERE trial_id = NEW.trial_id;
END;

-- What such a trial would be in a study, each column of the affinity that it has there: only so does SQLite look through both
-- halves of a view. Nobody is going to train it, so what lacks its weights is not queued.
CREATE VIEW trial_in_no_study AS
SELECT CAST(NULL AS TEXT) AS study, t.id AS trial_id, t.variant_id, t.dataset, t.architecture, t.optimizer, t.activation,
    t.defense, t.seed,
    CAST(CASE WHEN EXISTS (SELECT 1 FROM attempt a WHERE a.trial_id = t.id AND a.ended_at IS NULL) THEN 'running'
        WHEN t.failure IS NOT NULL THEN 'failed' WHEN t.weights IS NOT NULL THEN 'done' ELSE 'cancelled' END AS TEXT) AS state,
    t.failure AS reason,
    (SELECT count(*) FROM attempt a WHERE a.trial_id = t.id) AS attempts,
    c.accuracy AS clean_accuracy, t.initial_digest, t.final_digest, t.train_seconds,
    x.trust, CAST(0 AS INTEGER) AS priority, CAST(0 AS INTEGER) AS position, t.train_samples,
    t.architecture_options, coalesce(t.optimizer_options, NULL) AS optimizer_options, t.activation_options, t.defense_options,
    t.training, x.study AS left_study, x.left_at
FROM left_trial x
CROSS JOIN trial t ON t.id = x.trial_id
LEFT JOIN clean c ON c.trial_id = t.id AND c.samples =
    (SELECT o.samples FROM clean o WHERE o.trial_id = t.id ORDER BY o.count DESC, o.samples LIMIT 1);

-- What was found of it by any attack. A study judges a model and its numbers together: without the verdict of one, none is `ok`.
CREATE VIEW result_in_no_study AS
SELECT CAST(NULL AS TEXT) AS study, t.id AS trial_id, t.variant_id, t.dataset, t.architecture, t.optimizer, t.activation,
    t.defense, t.seed, a.name AS attack, a.id AS attack_id, a.norm, coalesce(l.eps, NULL) AS eps, e.count AS samples,
    c.accuracy AS clean_accuracy, coalesce(l.robust_accuracy, NULL) AS robust_accuracy,
    CASE WHEN 'invalid' IN (e.trust, x.trust) THEN 'invalid' WHEN 'suspect' IN (e.trust, x.trust) THEN 'suspect'
        WHEN x.trust = 'ok' THEN e.trust END AS trust,
    e.forward_passes, e.backward_passes, e.seconds,
    e.trust_reasons, l.adversarial_accuracy, 0 AS added, e.crafting, e.batch_size, e.notes, a.spec AS attack_spec,
    t.architecture_options, coalesce(t.optimizer_options, NULL) AS optimizer_options, t.activation_options, t.defense_options,
    CAST(NULL AS REAL) AS median_distance, e.trust AS attack_trust, x.trust AS model_trust,
    CAST(NULL AS REAL) AS known_worst_case, CAST(NULL AS INTEGER) AS audited, CAST(NULL AS INTEGER) AS fell,
    min(NULL, NULL) AS overstated_at_most, CAST(NULL AS TEXT) AS audit_attacks
FROM left_trial x
CROSS JOIN trial t ON t.id = x.trial_id
CROSS JOIN evaluation e ON e.trial_id = t.id AND e.state = 'done'
CROSS JOIN ledger l ON l.evaluation_id = e.id
CROSS JOIN attack a ON a.id = e.attack_id
LEFT JOIN clean c ON c.trial_id = t.id AND c.samples = e.samples;
"""

HALVES = {"v_trials": ("trial_in_study", "trial_in_no_study"), "v_results": ("result_in_study", "result_in_no_study")}
"""View → the names of what it is made of: its rows of studies, which are what it was before, and those of trials in none."""

_LAST_OF_TRIALS = "t.training\nFROM study_trial st"


def in_study(view: str, sql: str) -> str:
    """The statement that makes the rows of studies, from that of the view as the migrations before left it."""
    sql = sql.replace(f"CREATE VIEW {view} AS", f"CREATE VIEW {HALVES[view][0]} AS")
    if view == "v_trials":
        assert sql.count(_LAST_OF_TRIALS) == 1, "its last column is followed by its tables"
        left = ", CAST(NULL AS TEXT) AS left_study, CAST(NULL AS REAL) AS left_at"
        sql = sql.replace(_LAST_OF_TRIALS, _LAST_OF_TRIALS.replace("\n", f"{left}\n"))
    return sql
