"""Migration 11: trials that are in no study any more. Released; a change is a new migration."""

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

-- What such a trial would be in a study. Nobody is going to train it, so what lacks its weights is not queued.
CREATE VIEW trial_in_no_study AS
SELECT CAST(NULL AS TEXT) AS study, x.trial_id,
    CASE WHEN EXISTS (SELECT 1 FROM attempt a WHERE a.trial_id = x.trial_id AND a.ended_at IS NULL) THEN 'running'
        WHEN t.failure IS NOT NULL THEN 'failed' WHEN t.weights IS NOT NULL THEN 'done' ELSE 'cancelled' END AS state,
    t.failure AS reason, x.trust, 0 AS priority, 0 AS position, x.study AS left_study, x.left_at,
    (SELECT c.samples FROM clean c WHERE c.trial_id = x.trial_id ORDER BY c.count DESC, c.samples LIMIT 1) AS samples
FROM left_trial x JOIN trial t ON t.id = x.trial_id;
"""

IN_STUDY = {"v_trials": "trial_in_study", "v_results": "result_in_study"}
"""View → the name under which its rows of studies go on."""

_LAST_OF_TRIALS = "t.training\nFROM study_trial st"


def in_study(view: str, sql: str) -> str:
    """The statement that makes the rows of studies, from that of the view as the migrations before left it."""
    sql = sql.replace(f"CREATE VIEW {view} AS", f"CREATE VIEW {IN_STUDY[view]} AS")
    if view == "v_trials":
        assert sql.count(_LAST_OF_TRIALS) == 1, "its last column is followed by its tables"
        left = ", CAST(NULL AS TEXT) AS left_study, CAST(NULL AS REAL) AS left_at"
        sql = sql.replace(_LAST_OF_TRIALS, _LAST_OF_TRIALS.replace("\n", f"{left}\n"))
    return sql


OUTSIDE = {
    "v_trials": """
CREATE VIEW v_trials AS
SELECT * FROM trial_in_study
UNION ALL
SELECT x.study, x.trial_id, t.variant_id, t.dataset, t.architecture, t.optimizer, t.activation, t.defense, t.seed,
    x.state, x.reason,
    (SELECT count(*) FROM attempt a WHERE a.trial_id = t.id) AS attempts,
    c.accuracy AS clean_accuracy, t.initial_digest, t.final_digest, t.train_seconds,
    x.trust, x.priority, x.position, t.train_samples,
    t.architecture_options, t.optimizer_options, t.activation_options, t.defense_options,
    t.training, x.left_study, x.left_at
FROM trial_in_no_study x
JOIN trial t ON t.id = x.trial_id
LEFT JOIN clean c ON c.trial_id = t.id AND c.samples = x.samples;
""",
    # A study judges a model and its numbers together: without the verdict of one, no number is `ok`.
    "v_results": """
CREATE VIEW v_results AS
SELECT * FROM result_in_study
UNION ALL
SELECT CAST(NULL AS TEXT) AS study, t.id AS trial_id, t.variant_id, t.dataset, t.architecture, t.optimizer, t.activation,
    t.defense, t.seed, a.name AS attack, a.id AS attack_id, a.norm, l.eps, e.count AS samples, c.accuracy AS clean_accuracy,
    l.robust_accuracy,
    CASE WHEN 'invalid' IN (e.trust, x.trust) THEN 'invalid' WHEN 'suspect' IN (e.trust, x.trust) THEN 'suspect'
        WHEN x.trust = 'ok' THEN e.trust END AS trust,
    e.forward_passes, e.backward_passes, e.seconds,
    e.trust_reasons, l.adversarial_accuracy, 0 AS added, e.crafting, e.batch_size, e.notes, a.spec AS attack_spec,
    t.architecture_options, t.optimizer_options, t.activation_options, t.defense_options,
    CAST(NULL AS REAL) AS median_distance, e.trust AS attack_trust, x.trust AS model_trust,
    CAST(NULL AS REAL) AS known_worst_case, CAST(NULL AS INTEGER) AS audited, CAST(NULL AS INTEGER) AS fell,
    CAST(NULL AS REAL) AS overstated_at_most, CAST(NULL AS TEXT) AS audit_attacks
FROM left_trial x
CROSS JOIN trial t ON t.id = x.trial_id
CROSS JOIN evaluation e ON e.trial_id = t.id AND e.state = 'done'
CROSS JOIN ledger l ON l.evaluation_id = e.id
CROSS JOIN attack a ON a.id = e.attack_id
LEFT JOIN clean c ON c.trial_id = t.id AND c.samples = e.samples;
""",
}
"""View → what makes it again, with the rows of trials in no study after those of studies."""
