"""Migration 8: what is measured of trained models to see why they are as robust as they are. Released; a change is a new
migration."""

TRAITS = """
-- One look at a trained model on a study's test samples; `core.traits` says what each column is. NULL where it could not be said.
CREATE TABLE traits (
    trial_id TEXT NOT NULL REFERENCES trial (id) ON DELETE CASCADE,
    samples TEXT NOT NULL,
    margin REAL,
    margin_mean REAL,
    logit_scale REAL,
    relative_margin REAL,
    gradient_l1 REAL,
    gradient_l2 REAL,
    boundary REAL,
    saturated REAL,
    sparsity REAL,
    dead REAL,
    weight_norm REAL,
    spectral_norm REAL,
    made_at REAL NOT NULL,
    PRIMARY KEY (trial_id, samples)
) STRICT, WITHOUT ROWID;

CREATE VIEW v_traits AS
SELECT st.study, t.id AS trial_id, t.variant_id, t.dataset, t.architecture, t.optimizer, t.activation, t.defense, t.seed,
    c.accuracy AS clean_accuracy, st.trust,
    m.margin, m.margin_mean, m.logit_scale, m.relative_margin, m.gradient_l1, m.gradient_l2, m.boundary, m.saturated, m.sparsity,
    m.dead, m.weight_norm, m.spectral_norm,
    (SELECT e.loss FROM epoch e WHERE e.trial_id = t.id ORDER BY e.epoch DESC LIMIT 1) AS training_loss,
    t.architecture_options, t.optimizer_options, t.activation_options, t.defense_options
FROM study_trial st
JOIN study s ON s.name = st.study
JOIN trial t ON t.id = st.trial_id
LEFT JOIN clean c ON c.trial_id = t.id AND c.samples = s.samples
LEFT JOIN traits m ON m.trial_id = t.id AND m.samples = s.samples
WHERE c.accuracy IS NOT NULL;
"""
