"""The tables and views, as numbered migrations. A released migration is never edited; a change is a new one.

Times are Unix seconds, but for marks, which are the machine's monotonic clock (`time.monotonic`); shares are fractions
in [0, 1]; `*_options`, `document`, `spec` and `reasons` are JSON. Large values (bitmaps, distances, pictures) stand in
tables that no listing reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.schema_findings import FINDINGS
from storage.schema_left import HALVES, LEFT, in_study
from storage.schema_merge import MERGE
from storage.schema_notes import NOTES
from storage.schema_scale import SCALE
from storage.schema_traits import TRAITS
from storage.schema_tuning import LEVELS, TUNING, with_levels

if TYPE_CHECKING:
    from sqlite_utils import Database
    from sqlite_utils.migrations import Migrations

SCHEMA_VERSION = 11
"""How many migrations this program knows; PRAGMA user_version says how many a file has had."""

_TABLES = """
CREATE TABLE study (
    name TEXT PRIMARY KEY,
    description TEXT NOT NULL,
    document TEXT NOT NULL,
    dataset TEXT NOT NULL,
    source_kind TEXT NOT NULL,
    source_path TEXT,
    dataset_identity TEXT NOT NULL,
    shape TEXT NOT NULL,
    class_names TEXT NOT NULL,
    test_samples INTEGER,
    samples TEXT NOT NULL,
    threat_norm TEXT,
    threat_eps REAL,
    created_at REAL NOT NULL,
    run_at REAL NOT NULL
) STRICT;

CREATE TABLE trial (
    id TEXT PRIMARY KEY,
    variant_id TEXT NOT NULL,
    spec TEXT NOT NULL,
    dataset TEXT NOT NULL,
    train_samples INTEGER,
    architecture TEXT,
    architecture_options TEXT,
    optimizer TEXT,
    optimizer_options TEXT,
    activation TEXT,
    activation_options TEXT,
    defense TEXT,
    defense_options TEXT,
    training TEXT,
    seed INTEGER,
    created_at REAL NOT NULL,
    weights TEXT,
    initial_digest TEXT,
    final_digest TEXT,
    train_seconds REAL,
    peak_memory INTEGER,
    failure TEXT,
    crashes INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX trial_variant ON trial (variant_id);

CREATE TABLE study_trial (
    study TEXT NOT NULL REFERENCES study (name) ON DELETE CASCADE,
    trial_id TEXT NOT NULL REFERENCES trial (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    reason TEXT,
    priority INTEGER NOT NULL DEFAULT 0,
    trust TEXT CHECK (trust IN ('ok', 'suspect', 'invalid')),
    trust_reasons TEXT,
    PRIMARY KEY (study, trial_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX study_trial_queue ON study_trial (state, priority DESC, study, position);
CREATE INDEX study_trial_trial ON study_trial (trial_id, state);
CREATE INDEX study_trial_position ON study_trial (study, position);

CREATE TABLE attack (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    norm TEXT NOT NULL,
    spec TEXT NOT NULL
) STRICT;

CREATE TABLE study_attack (
    study TEXT NOT NULL REFERENCES study (name) ON DELETE CASCADE,
    attack_id TEXT NOT NULL REFERENCES attack (id),
    position INTEGER NOT NULL,
    PRIMARY KEY (study, attack_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE trial_attack (
    study TEXT NOT NULL REFERENCES study (name) ON DELETE CASCADE,
    trial_id TEXT NOT NULL REFERENCES trial (id) ON DELETE CASCADE,
    attack_id TEXT NOT NULL REFERENCES attack (id),
    PRIMARY KEY (study, trial_id, attack_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE environment (
    id TEXT PRIMARY KEY,
    content TEXT NOT NULL
) STRICT;

CREATE TABLE attempt (
    id INTEGER PRIMARY KEY,
    trial_id TEXT NOT NULL REFERENCES trial (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    started_at REAL NOT NULL,
    ended_at REAL,
    pid INTEGER,
    device TEXT,
    environment_id TEXT REFERENCES environment (id),
    exit_kind TEXT,
    reason TEXT,
    traceback TEXT,
    UNIQUE (trial_id, number)
) STRICT;
CREATE INDEX attempt_open ON attempt (trial_id) WHERE ended_at IS NULL;

CREATE TABLE epoch (
    trial_id TEXT NOT NULL REFERENCES trial (id) ON DELETE CASCADE,
    epoch INTEGER NOT NULL,
    loss REAL NOT NULL,
    accuracy REAL NOT NULL,
    validation_accuracy REAL,
    lr REAL NOT NULL,
    seconds REAL NOT NULL,
    PRIMARY KEY (trial_id, epoch)
) STRICT, WITHOUT ROWID;

CREATE TABLE clean (
    trial_id TEXT NOT NULL REFERENCES trial (id) ON DELETE CASCADE,
    samples TEXT NOT NULL,
    count INTEGER NOT NULL,
    classes INTEGER NOT NULL,
    accuracy REAL NOT NULL,
    majority_share REAL NOT NULL,
    top_prediction_share REAL NOT NULL,
    correct BLOB NOT NULL,
    PRIMARY KEY (trial_id, samples)
) STRICT;
CREATE INDEX clean_accuracy ON clean (trial_id, samples, accuracy);

CREATE TABLE evaluation (
    id INTEGER PRIMARY KEY,
    trial_id TEXT NOT NULL REFERENCES trial (id) ON DELETE CASCADE,
    attack_id TEXT NOT NULL REFERENCES attack (id),
    samples TEXT NOT NULL,
    attempt_id INTEGER REFERENCES attempt (id),
    state TEXT NOT NULL CHECK (state IN ('done', 'failed')),
    reason TEXT,
    traceback TEXT,
    trust TEXT CHECK (trust IN ('ok', 'suspect', 'invalid')),
    trust_reasons TEXT,
    count INTEGER,
    forward_passes INTEGER,
    backward_passes INTEGER,
    seconds REAL,
    batch_size INTEGER,
    crafting TEXT,
    notes TEXT,
    finished_at REAL NOT NULL,
    UNIQUE (trial_id, attack_id, samples)
) STRICT;

CREATE TABLE ledger (
    evaluation_id INTEGER NOT NULL REFERENCES evaluation (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    eps REAL,
    survived INTEGER NOT NULL,
    robust_accuracy REAL NOT NULL,
    adversarial_accuracy REAL,
    PRIMARY KEY (evaluation_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE ledger_content (
    evaluation_id INTEGER NOT NULL REFERENCES evaluation (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    bitmap BLOB NOT NULL,
    distances BLOB,
    PRIMARY KEY (evaluation_id, position)
) STRICT;

CREATE TABLE score (
    study TEXT NOT NULL,
    trial_id TEXT NOT NULL,
    name TEXT NOT NULL,
    value REAL,
    low REAL,
    high REAL,
    PRIMARY KEY (study, trial_id, name),
    FOREIGN KEY (study, trial_id) REFERENCES study_trial (study, trial_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE example (
    evaluation_id INTEGER NOT NULL REFERENCES evaluation (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    sample INTEGER NOT NULL,
    eps REAL,
    label INTEGER NOT NULL,
    clean_prediction INTEGER NOT NULL,
    adversarial_prediction INTEGER NOT NULL,
    clean_confidence REAL NOT NULL,
    adversarial_confidence REAL NOT NULL,
    shape TEXT NOT NULL,
    clean BLOB NOT NULL,
    adversarial BLOB NOT NULL,
    PRIMARY KEY (evaluation_id, position)
) STRICT;

CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    study TEXT,
    trial_id TEXT,
    content TEXT
) STRICT;

CREATE TABLE command (
    id INTEGER PRIMARY KEY,
    left_at REAL NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    answered_at REAL,
    result TEXT,
    error TEXT,
    exit_code INTEGER
) STRICT;
CREATE INDEX command_pending ON command (id) WHERE answered_at IS NULL;
"""

_VIEWS = """
CREATE VIEW v_trials AS
SELECT st.study, t.id AS trial_id, t.variant_id, t.dataset, t.architecture, t.optimizer, t.activation, t.defense, t.seed,
    st.state, st.reason,
    (SELECT count(*) FROM attempt a WHERE a.trial_id = t.id) AS attempts,
    c.accuracy AS clean_accuracy, t.initial_digest, t.final_digest, t.train_seconds,
    st.trust, st.priority, st.position, t.train_samples,
    t.architecture_options, t.optimizer_options, t.activation_options, t.defense_options, t.training
FROM study_trial st
JOIN study s ON s.name = st.study
JOIN trial t ON t.id = st.trial_id
LEFT JOIN clean c ON c.trial_id = t.id AND c.samples = s.samples;

CREATE VIEW v_results AS
WITH wanted AS (
    SELECT st.study, st.trial_id, sa.attack_id, 0 AS added
    FROM study_trial st JOIN study_attack sa ON sa.study = st.study
    UNION ALL
    SELECT ta.study, ta.trial_id, ta.attack_id, 1
    FROM trial_attack ta
    JOIN study_trial st ON st.study = ta.study AND st.trial_id = ta.trial_id
    WHERE NOT EXISTS (SELECT 1 FROM study_attack sa WHERE sa.study = ta.study AND sa.attack_id = ta.attack_id)
)
SELECT w.study, t.id AS trial_id, t.variant_id, t.dataset, t.architecture, t.optimizer, t.activation, t.defense, t.seed,
    a.name AS attack, a.id AS attack_id, a.norm, l.eps, e.count AS samples, c.accuracy AS clean_accuracy,
    l.robust_accuracy, e.trust, e.forward_passes, e.backward_passes, e.seconds,
    e.trust_reasons, l.adversarial_accuracy, w.added, e.crafting, e.batch_size, e.notes, a.spec AS attack_spec,
    t.architecture_options, t.optimizer_options, t.activation_options, t.defense_options
FROM wanted w
JOIN study s ON s.name = w.study
JOIN evaluation e ON e.trial_id = w.trial_id AND e.attack_id = w.attack_id AND e.samples = s.samples
    AND e.state = 'done'
JOIN ledger l ON l.evaluation_id = e.id
JOIN trial t ON t.id = w.trial_id
JOIN attack a ON a.id = w.attack_id
LEFT JOIN clean c ON c.trial_id = t.id AND c.samples = s.samples;

CREATE VIEW v_leaderboard AS
SELECT st.study, t.variant_id, t.dataset, t.architecture, t.optimizer, t.activation, t.defense, count(*) AS seeds,
    avg(sc.value) AS clean_accuracy, avg(sw.value) AS worst_case, avg(sr.value) AS retention,
    avg(sa.value) AS curve_area, avg(si.value) AS innate,
    CASE max(CASE st.trust WHEN 'invalid' THEN 2 WHEN 'suspect' THEN 1 ELSE 0 END)
        WHEN 2 THEN 'invalid' WHEN 1 THEN 'suspect' ELSE 'ok' END AS trust,
    t.architecture_options, t.optimizer_options, t.activation_options, t.defense_options
FROM study_trial st
JOIN trial t ON t.id = st.trial_id
LEFT JOIN score sc ON sc.study = st.study AND sc.trial_id = st.trial_id AND sc.name = 'clean_accuracy'
LEFT JOIN score sw ON sw.study = st.study AND sw.trial_id = st.trial_id AND sw.name = 'worst_case'
LEFT JOIN score sr ON sr.study = st.study AND sr.trial_id = st.trial_id AND sr.name = 'retention'
LEFT JOIN score sa ON sa.study = st.study AND sa.trial_id = st.trial_id AND sa.name = 'curve_area'
LEFT JOIN score si ON si.study = st.study AND si.trial_id = st.trial_id AND si.name = 'innate'
WHERE st.state = 'done'
GROUP BY st.study, t.variant_id;

CREATE VIEW v_training AS
SELECT trial_id, epoch, loss, accuracy, validation_accuracy, lr, seconds FROM epoch;
"""


_WORKER_TABLES = """
CREATE TABLE worker (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    pid INTEGER NOT NULL,
    role TEXT NOT NULL,
    started_at REAL NOT NULL,
    heartbeat_at REAL NOT NULL,
    beat_mark REAL NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('working', 'idle', 'paused', 'draining', 'stopping')),
    reason TEXT,
    study TEXT,
    slots TEXT NOT NULL,
    finished INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE progress (
    trial_id TEXT PRIMARY KEY REFERENCES trial (id) ON DELETE CASCADE,
    slot INTEGER NOT NULL,
    device TEXT NOT NULL,
    pid INTEGER,
    phase TEXT NOT NULL,
    share REAL,
    detail TEXT,
    rate REAL,
    memory INTEGER,
    seconds_left REAL,
    began_at REAL NOT NULL,
    progress_mark REAL NOT NULL
) STRICT;

CREATE TABLE setting (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

ALTER TABLE trial ADD COLUMN weights_removed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE study ADD COLUMN data_root TEXT;
"""

_TRUST_TABLES = """
ALTER TABLE evaluation ADD COLUMN traces TEXT;
ALTER TABLE epoch ADD COLUMN probe_accuracy REAL;
ALTER TABLE trial ADD COLUMN imported TEXT;

CREATE TABLE reading (
    study TEXT NOT NULL,
    trial_id TEXT NOT NULL,
    attack_id TEXT NOT NULL REFERENCES attack (id),
    eps REAL NOT NULL,
    robust_accuracy REAL NOT NULL,
    median_distance REAL,
    PRIMARY KEY (study, trial_id, attack_id, eps),
    FOREIGN KEY (study, trial_id) REFERENCES study_trial (study, trial_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE diagnosis (
    trial_id TEXT NOT NULL REFERENCES trial (id) ON DELETE CASCADE,
    samples TEXT NOT NULL,
    norm TEXT NOT NULL,
    eps REAL NOT NULL,
    content TEXT NOT NULL,
    trust TEXT NOT NULL CHECK (trust IN ('ok', 'suspect', 'invalid')),
    made_at REAL NOT NULL,
    PRIMARY KEY (trial_id, samples, norm, eps)
) STRICT, WITHOUT ROWID;

CREATE TABLE trust_check (
    study TEXT NOT NULL,
    trial_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    attack_id TEXT REFERENCES attack (id),
    trust TEXT NOT NULL CHECK (trust IN ('ok', 'suspect', 'invalid')),
    counted INTEGER NOT NULL,
    value REAL,
    bound REAL,
    reason TEXT,
    PRIMARY KEY (study, trial_id, position),
    FOREIGN KEY (study, trial_id) REFERENCES study_trial (study, trial_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE transfer (
    source_id TEXT NOT NULL REFERENCES trial (id) ON DELETE CASCADE,
    target_id TEXT NOT NULL REFERENCES trial (id) ON DELETE CASCADE,
    attack_id TEXT NOT NULL REFERENCES attack (id),
    samples TEXT NOT NULL,
    eps REAL NOT NULL,
    source_digest TEXT NOT NULL,
    target_digest TEXT NOT NULL,
    count INTEGER NOT NULL,
    shared INTEGER NOT NULL,
    fooled INTEGER NOT NULL,
    robust_accuracy REAL NOT NULL,
    crafting TEXT NOT NULL,
    engine INTEGER NOT NULL,
    made_at REAL NOT NULL,
    PRIMARY KEY (source_id, target_id, attack_id, samples)
) STRICT, WITHOUT ROWID;
CREATE INDEX transfer_target ON transfer (target_id);
"""

_TRUST_VIEWS = """
DROP VIEW v_results;
CREATE VIEW v_results AS
WITH wanted AS (
    SELECT st.study, st.trial_id, sa.attack_id, 0 AS added
    FROM study_trial st JOIN study_attack sa ON sa.study = st.study
    UNION ALL
    SELECT ta.study, ta.trial_id, ta.attack_id, 1
    FROM trial_attack ta
    JOIN study_trial st ON st.study = ta.study AND st.trial_id = ta.trial_id
    WHERE NOT EXISTS (SELECT 1 FROM study_attack sa WHERE sa.study = ta.study AND sa.attack_id = ta.attack_id)
)
SELECT w.study, t.id AS trial_id, t.variant_id, t.dataset, t.architecture, t.optimizer, t.activation, t.defense, t.seed,
    a.name AS attack, a.id AS attack_id, a.norm, coalesce(l.eps, r.eps) AS eps, e.count AS samples,
    c.accuracy AS clean_accuracy, coalesce(r.robust_accuracy, l.robust_accuracy) AS robust_accuracy,
    CASE WHEN 'invalid' IN (e.trust, d.trust) THEN 'invalid' WHEN 'suspect' IN (e.trust, d.trust) THEN 'suspect'
        ELSE e.trust END AS trust,
    e.forward_passes, e.backward_passes, e.seconds,
    e.trust_reasons, l.adversarial_accuracy, w.added, e.crafting, e.batch_size, e.notes, a.spec AS attack_spec,
    t.architecture_options, t.optimizer_options, t.activation_options, t.defense_options,
    r.median_distance, e.trust AS attack_trust, d.trust AS model_trust
FROM wanted w
JOIN study s ON s.name = w.study
JOIN evaluation e ON e.trial_id = w.trial_id AND e.attack_id = w.attack_id AND e.samples = s.samples
    AND e.state = 'done'
JOIN ledger l ON l.evaluation_id = e.id
LEFT JOIN reading r ON l.eps IS NULL AND r.study = w.study AND r.trial_id = w.trial_id AND r.attack_id = w.attack_id
JOIN trial t ON t.id = w.trial_id
JOIN attack a ON a.id = w.attack_id
LEFT JOIN clean c ON c.trial_id = t.id AND c.samples = s.samples
-- A study without attacks looks at its models at ℓ∞ 0.1 (storage.verdicts).
LEFT JOIN diagnosis d ON d.trial_id = t.id AND d.samples = s.samples
    AND d.norm = coalesce(s.threat_norm, 'linf') AND d.eps = coalesce(s.threat_eps, 0.1);

DROP VIEW v_training;
CREATE VIEW v_training AS
SELECT trial_id, epoch, loss, accuracy, validation_accuracy, lr, seconds, probe_accuracy FROM epoch;

CREATE VIEW v_trust AS
SELECT k.study, k.trial_id, t.variant_id, t.architecture, t.optimizer, t.activation, t.defense, t.seed,
    k.name AS "check", a.name AS attack, k.trust, k.value, k.bound, k.reason, k.counted, k.attack_id,
    k.position
FROM trust_check k JOIN trial t ON t.id = k.trial_id LEFT JOIN attack a ON a.id = k.attack_id;

CREATE VIEW v_transfer AS
SELECT a.study, x.source_id, x.target_id, k.name AS attack, x.attack_id, k.norm, x.eps, x.count AS samples, x.shared,
    x.fooled, CASE WHEN x.shared > 0 THEN 1.0 * x.fooled / x.shared END AS transfer_rate, x.robust_accuracy, x.crafting,
    s.architecture AS source_architecture, s.optimizer AS source_optimizer, s.activation AS source_activation,
    s.defense AS source_defense, s.seed AS source_seed, t.architecture AS target_architecture,
    t.optimizer AS target_optimizer, t.activation AS target_activation, t.defense AS target_defense,
    t.seed AS target_seed, x.samples AS samples_digest
FROM transfer x
JOIN study_trial a ON a.trial_id = x.source_id
JOIN study_trial b ON b.trial_id = x.target_id AND b.study = a.study
JOIN trial s ON s.id = x.source_id AND s.final_digest = x.source_digest
JOIN trial t ON t.id = x.target_id AND t.final_digest = x.target_digest
JOIN attack k ON k.id = x.attack_id;
"""


_VERDICT_IN_RESULTS = """
ALTER TABLE trust_check ADD COLUMN norm TEXT;
ALTER TABLE trust_check ADD COLUMN eps REAL;
CREATE INDEX trust_check_radius ON trust_check (study, trial_id, name, norm, eps) WHERE norm IS NOT NULL;

DROP VIEW v_trust;
CREATE VIEW v_trust AS
SELECT k.study, k.trial_id, t.variant_id, t.architecture, t.optimizer, t.activation, t.defense, t.seed,
    k.name AS "check", a.name AS attack, k.trust, k.value, k.bound, k.reason, k.counted, k.attack_id,
    k.position, k.norm, k.eps
FROM trust_check k JOIN trial t ON t.id = k.trial_id LEFT JOIN attack a ON a.id = k.attack_id;

-- The verdict on the model stands beside each of its numbers, and so does what the looks at it found at that norm and ε.
DROP VIEW v_results;
CREATE VIEW v_results AS
WITH wanted AS (
    SELECT st.study, st.trial_id, sa.attack_id, 0 AS added, st.trust
    FROM study_trial st JOIN study_attack sa ON sa.study = st.study
    UNION ALL
    SELECT ta.study, ta.trial_id, ta.attack_id, 1, st.trust
    FROM trial_attack ta
    JOIN study_trial st ON st.study = ta.study AND st.trial_id = ta.trial_id
    WHERE NOT EXISTS (SELECT 1 FROM study_attack sa WHERE sa.study = ta.study AND sa.attack_id = ta.attack_id)
)
SELECT w.study, t.id AS trial_id, t.variant_id, t.dataset, t.architecture, t.optimizer, t.activation, t.defense, t.seed,
    a.name AS attack, a.id AS attack_id, a.norm, coalesce(l.eps, r.eps) AS eps, e.count AS samples,
    c.accuracy AS clean_accuracy, coalesce(r.robust_accuracy, l.robust_accuracy) AS robust_accuracy,
    CASE WHEN 'invalid' IN (e.trust, w.trust, k.trust) THEN 'invalid' WHEN 'suspect' IN (e.trust, w.trust, k.trust) THEN 'suspect'
        ELSE e.trust END AS trust,
    e.forward_passes, e.backward_passes, e.seconds,
    e.trust_reasons, l.adversarial_accuracy, w.added, e.crafting, e.batch_size, e.notes, a.spec AS attack_spec,
    t.architecture_options, t.optimizer_options, t.activation_options, t.defense_options,
    r.median_distance, e.trust AS attack_trust, w.trust AS model_trust
FROM wanted w
JOIN study s ON s.name = w.study
JOIN evaluation e ON e.trial_id = w.trial_id AND e.attack_id = w.attack_id AND e.samples = s.samples
    AND e.state = 'done'
JOIN ledger l ON l.evaluation_id = e.id
LEFT JOIN reading r ON l.eps IS NULL AND r.study = w.study AND r.trial_id = w.trial_id AND r.attack_id = w.attack_id
JOIN trial t ON t.id = w.trial_id
JOIN attack a ON a.id = w.attack_id
LEFT JOIN clean c ON c.trial_id = t.id AND c.samples = s.samples
LEFT JOIN trust_check k ON k.study = w.study AND k.trial_id = w.trial_id AND k.name = 'weaker_than_sample'
    AND k.norm = a.norm AND k.eps = coalesce(l.eps, r.eps);
"""


_NUMBERS_AND_LOG = """
-- What a worker tells of a running trial as numbers and names; the rows live only as long as it does.
DROP TABLE progress;
CREATE TABLE progress (
    trial_id TEXT PRIMARY KEY REFERENCES trial (id) ON DELETE CASCADE,
    slot INTEGER NOT NULL,
    device TEXT NOT NULL,
    pid INTEGER,
    phase TEXT NOT NULL CHECK (phase IN ('loading', 'training', 'trained', 'attack')),
    epoch INTEGER,
    epochs INTEGER,
    loss REAL,
    accuracy REAL,
    attack_id TEXT,
    attack TEXT,
    eps REAL,
    survivors INTEGER,
    total INTEGER,
    share REAL,
    rate REAL,
    memory INTEGER,
    seconds_left REAL,
    began_at REAL NOT NULL,
    progress_mark REAL NOT NULL
) STRICT;

ALTER TABLE epoch ADD COLUMN ended_at REAL;

-- The log of a trial is read from its events: those of before get what the tables still know of them.
CREATE INDEX event_trial ON event (trial_id);
DELETE FROM event WHERE kind IN ('CleanEvaluated', 'Diagnosed');
DELETE FROM event WHERE kind = 'Trained' AND id NOT IN (SELECT min(id) FROM event WHERE kind = 'Trained' GROUP BY trial_id);
UPDATE event SET content = json_object('seconds',
    (SELECT coalesce(sum(p.seconds), 0.0) FROM epoch p WHERE p.trial_id = event.trial_id))
    WHERE kind = 'Trained';
UPDATE event SET content = json_object('notes', json_array(json_extract(content, '$.notes')))
    WHERE kind = 'Started' AND json_extract(content, '$.notes') IS NOT NULL;
UPDATE event SET content = json_object('reason', json_extract(content, '$.reason'), 'attack',
    (SELECT a.name FROM attack a WHERE a.id = json_extract(event.content, '$.attack')))
    WHERE kind = 'EvaluationFailed';
UPDATE event SET content = (
    SELECT json_object('attack', a.name, 'norm', a.norm, 'seconds', e.seconds, 'notes', json(coalesce(e.notes, '[]')),
        'robust', json((SELECT json_group_array(json_array(l.eps, l.robust_accuracy)) FROM ledger l
            WHERE l.evaluation_id = e.id AND l.eps IS NOT NULL)),
        'medians', json((SELECT json_group_array(r.median_distance) FROM
            (SELECT DISTINCT median_distance FROM reading WHERE trial_id = e.trial_id AND attack_id = e.attack_id
                AND median_distance IS NOT NULL) r)))
    FROM evaluation e JOIN attack a ON a.id = e.attack_id
    WHERE e.trial_id = event.trial_id AND e.attack_id = json_extract(event.content, '$.attack') AND e.state = 'done')
    WHERE kind = 'EvaluationFinished';
DELETE FROM event WHERE kind IN ('EvaluationFinished', 'EvaluationFailed')
    AND (content IS NULL OR json_extract(content, '$.attack') IS NULL);
"""

_AUDITS = """
-- Which audits a study wants of its models; none where it was submitted before there were any.
CREATE TABLE study_audit (
    study TEXT NOT NULL REFERENCES study (name) ON DELETE CASCADE,
    spec_id TEXT NOT NULL,
    norm TEXT NOT NULL,
    spec TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (study, spec_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    trial_id TEXT NOT NULL REFERENCES trial (id) ON DELETE CASCADE,
    spec_id TEXT NOT NULL,
    samples TEXT NOT NULL,
    norm TEXT NOT NULL,
    spec TEXT NOT NULL,
    attempt_id INTEGER REFERENCES attempt (id),
    state TEXT NOT NULL CHECK (state IN ('done', 'failed')),
    reason TEXT,
    traceback TEXT,
    count INTEGER,
    forward_passes INTEGER,
    backward_passes INTEGER,
    seconds REAL,
    batch_size INTEGER,
    notes TEXT,
    runs TEXT,
    finished_at REAL NOT NULL,
    UNIQUE (trial_id, spec_id, samples)
) STRICT;

CREATE TABLE audit_radius (
    audit_id INTEGER NOT NULL REFERENCES audit (id) ON DELETE CASCADE,
    eps REAL NOT NULL,
    standing INTEGER NOT NULL,
    audited INTEGER NOT NULL,
    fell INTEGER NOT NULL,
    broken INTEGER NOT NULL,
    rounds INTEGER NOT NULL,
    attacks TEXT NOT NULL,
    felled_by TEXT NOT NULL,
    overstated_at_most REAL,
    PRIMARY KEY (audit_id, eps)
) STRICT, WITHOUT ROWID;

-- The least radius at which each test sample was broken, float32, infinity where it was not.
CREATE TABLE audit_content (
    audit_id INTEGER PRIMARY KEY REFERENCES audit (id) ON DELETE CASCADE,
    fell_at BLOB NOT NULL
) STRICT;

-- Added attacks that all scored trials of a study have had: what its rankings count beside its own.
CREATE TABLE study_common (
    study TEXT NOT NULL REFERENCES study (name) ON DELETE CASCADE,
    attack_id TEXT NOT NULL REFERENCES attack (id),
    PRIMARY KEY (study, attack_id)
) STRICT, WITHOUT ROWID;

-- Worst cases: by the attacks that all models of the study had in full, and by everything known of this one.
CREATE TABLE robustness (
    study TEXT NOT NULL,
    trial_id TEXT NOT NULL,
    norm TEXT NOT NULL,
    eps REAL NOT NULL,
    compared_accuracy REAL NOT NULL,
    robust_accuracy REAL NOT NULL,
    trust TEXT NOT NULL CHECK (trust IN ('ok', 'suspect', 'invalid')),
    audit_id INTEGER REFERENCES audit (id) ON DELETE SET NULL,
    PRIMARY KEY (study, trial_id, norm, eps),
    FOREIGN KEY (study, trial_id) REFERENCES study_trial (study, trial_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX robustness_audit ON robustness (audit_id);

-- Which samples the target errs on under the source's images: one bit each; NULL in rows of before.
ALTER TABLE transfer ADD COLUMN fooled_bitmap BLOB;

CREATE VIEW v_robustness AS
SELECT r.study, t.id AS trial_id, t.variant_id, t.dataset, t.architecture, t.optimizer, t.activation, t.defense, t.seed,
    r.norm, r.eps, c.count AS samples, c.accuracy AS clean_accuracy, r.robust_accuracy, ar.audited, ar.fell,
    min(ar.overstated_at_most, r.robust_accuracy) AS overstated_at_most, r.trust, r.compared_accuracy,
    ar.standing AS audited_of, ar.broken, ar.rounds,
    ar.attacks AS audit_attacks, ar.felled_by, a.seconds AS audit_seconds,
    t.architecture_options, t.optimizer_options, t.activation_options, t.defense_options
FROM robustness r
JOIN study s ON s.name = r.study
JOIN trial t ON t.id = r.trial_id
JOIN clean c ON c.trial_id = t.id AND c.samples = s.samples
LEFT JOIN audit_radius ar ON ar.audit_id = r.audit_id AND ar.eps = r.eps
LEFT JOIN audit a ON a.id = r.audit_id;

-- An attack's own number, and beside it what the audit of its model says of the worst case at that norm and ε.
DROP VIEW v_results;
CREATE VIEW v_results AS
WITH wanted AS (
    SELECT st.study, st.trial_id, sa.attack_id, 0 AS added, st.trust
    FROM study_trial st JOIN study_attack sa ON sa.study = st.study
    UNION ALL
    SELECT ta.study, ta.trial_id, ta.attack_id, 1, st.trust
    FROM trial_attack ta
    JOIN study_trial st ON st.study = ta.study AND st.trial_id = ta.trial_id
    WHERE NOT EXISTS (SELECT 1 FROM study_attack sa WHERE sa.study = ta.study AND sa.attack_id = ta.attack_id)
)
SELECT w.study, t.id AS trial_id, t.variant_id, t.dataset, t.architecture, t.optimizer, t.activation, t.defense, t.seed,
    a.name AS attack, a.id AS attack_id, a.norm, coalesce(l.eps, r.eps) AS eps, e.count AS samples,
    c.accuracy AS clean_accuracy, coalesce(r.robust_accuracy, l.robust_accuracy) AS robust_accuracy,
    CASE WHEN 'invalid' IN (e.trust, w.trust, k.trust) THEN 'invalid'
        WHEN 'suspect' IN (e.trust, w.trust, k.trust, u.trust) THEN 'suspect' ELSE e.trust END AS trust,
    e.forward_passes, e.backward_passes, e.seconds,
    e.trust_reasons, l.adversarial_accuracy, w.added, e.crafting, e.batch_size, e.notes, a.spec AS attack_spec,
    t.architecture_options, t.optimizer_options, t.activation_options, t.defense_options,
    r.median_distance, e.trust AS attack_trust, w.trust AS model_trust,
    b.robust_accuracy AS known_worst_case, ar.audited, ar.fell,
    min(ar.overstated_at_most, b.robust_accuracy) AS overstated_at_most, ar.attacks AS audit_attacks
FROM wanted w
JOIN study s ON s.name = w.study
JOIN evaluation e ON e.trial_id = w.trial_id AND e.attack_id = w.attack_id AND e.samples = s.samples
    AND e.state = 'done'
JOIN ledger l ON l.evaluation_id = e.id
LEFT JOIN reading r ON l.eps IS NULL AND r.study = w.study AND r.trial_id = w.trial_id AND r.attack_id = w.attack_id
JOIN trial t ON t.id = w.trial_id
JOIN attack a ON a.id = w.attack_id
LEFT JOIN clean c ON c.trial_id = t.id AND c.samples = s.samples
LEFT JOIN trust_check k ON k.study = w.study AND k.trial_id = w.trial_id AND k.name = 'weaker_than_sample'
    AND k.norm = a.norm AND k.eps = coalesce(l.eps, r.eps)
LEFT JOIN trust_check u ON u.study = w.study AND u.trial_id = w.trial_id AND u.name = 'unequal_effort'
    AND u.norm = a.norm AND u.eps = coalesce(l.eps, r.eps)
LEFT JOIN robustness b ON b.study = w.study AND b.trial_id = w.trial_id AND b.norm = a.norm
    AND b.eps = coalesce(l.eps, r.eps)
LEFT JOIN audit_radius ar ON ar.audit_id = b.audit_id AND ar.eps = b.eps;

-- Scores stay while more attacks wait, so a variant is there as long as a trial of it has been scored.
DROP VIEW v_leaderboard;
CREATE VIEW v_leaderboard AS
SELECT st.study, t.variant_id, t.dataset, t.architecture, t.optimizer, t.activation, t.defense, count(*) AS seeds,
    avg(sc.value) AS clean_accuracy, avg(sw.value) AS worst_case, avg(sr.value) AS retention,
    avg(sa.value) AS curve_area, avg(si.value) AS innate,
    CASE max(CASE st.trust WHEN 'invalid' THEN 2 WHEN 'suspect' THEN 1 ELSE 0 END)
        WHEN 2 THEN 'invalid' WHEN 1 THEN 'suspect' ELSE 'ok' END AS trust,
    t.architecture_options, t.optimizer_options, t.activation_options, t.defense_options,
    avg(r.robust_accuracy) AS known_worst_case,
    CASE WHEN count(ar.overstated_at_most) = count(*) THEN max(min(ar.overstated_at_most, r.robust_accuracy)) END
        AS overstated_at_most,
    count(*) FILTER (WHERE st.state <> 'done') AS pending
FROM study_trial st
JOIN study s ON s.name = st.study
JOIN trial t ON t.id = st.trial_id
JOIN score sc ON sc.study = st.study AND sc.trial_id = st.trial_id AND sc.name = 'clean_accuracy'
LEFT JOIN score sw ON sw.study = st.study AND sw.trial_id = st.trial_id AND sw.name = 'worst_case'
LEFT JOIN score sr ON sr.study = st.study AND sr.trial_id = st.trial_id AND sr.name = 'retention'
LEFT JOIN score sa ON sa.study = st.study AND sa.trial_id = st.trial_id AND sa.name = 'curve_area'
LEFT JOIN score si ON si.study = st.study AND si.trial_id = st.trial_id AND si.name = 'innate'
LEFT JOIN robustness r ON r.study = st.study AND r.trial_id = st.trial_id AND r.norm = s.threat_norm
    AND r.eps = s.threat_eps
LEFT JOIN audit_radius ar ON ar.audit_id = r.audit_id AND ar.eps = r.eps
WHERE st.state IN ('done', 'queued', 'running')
GROUP BY st.study, t.variant_id;
"""

_DATA_SEEN = """
-- Digest of the content of the data set that was read; NULL: run by a version that did not record it.
ALTER TABLE attempt ADD COLUMN data TEXT;
ALTER TABLE evaluation ADD COLUMN data TEXT;

-- What this home met first under the name of a set whose real content the program does not know.
CREATE TABLE dataset_content (
    name TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    met_at REAL NOT NULL
) STRICT;
"""


def migrations() -> Migrations:
    """Every migration in order; the import of sqlite-utils is `storage.database`'s to arrange."""
    from sqlite_utils.migrations import Migrations

    steps = Migrations("innate")

    @steps(name="1: tables and views")
    def first(db: Database) -> None:
        for statement in _statements(_TABLES + _VIEWS):
            db.execute(statement)

    @steps(name="2: the worker's heartbeat, live progress, settings, removed weights, data roots")
    def second(db: Database) -> None:
        for statement in _statements(_WORKER_TABLES):
            db.execute(statement)

    @steps(name="3: traces of attacks, readings of distances, checks of trust, transfer, imported weights")
    def third(db: Database) -> None:
        for statement in _statements(_TRUST_TABLES + _TRUST_VIEWS):
            db.execute(statement)

    @steps(name="4: the verdict on a model beside each of its results")
    def fourth(db: Database) -> None:
        for statement in _statements(_VERDICT_IN_RESULTS):
            db.execute(statement)

    @steps(name="5: progress in numbers, the log of a trial in its events, when each epoch ended")
    def fifth(db: Database) -> None:
        for statement in _statements(_NUMBERS_AND_LOG):
            db.execute(statement)

    @steps(name="6: what data was seen; audits, worst cases by all that is known, scores that stay while attacks wait")
    def sixth(db: Database) -> None:
        for statement in _statements(_DATA_SEEN + _AUDITS):
            db.execute(statement)

    @steps(name="7: what became of each image, scores of variants over seeds and images, error spent on findings")
    def seventh(db: Database) -> None:
        for statement in _statements(FINDINGS):
            db.execute(statement)

    @steps(name="8: traits of trained models")
    def eighth(db: Database) -> None:
        for statement in _statements(TRAITS):
            db.execute(statement)

    @steps(name="9: tuning")
    def ninth(db: Database) -> None:
        for statement in _statements(TUNING):
            db.execute(statement)
        for view in LEVELS:
            (sql,) = db.execute("SELECT sql FROM sqlite_master WHERE name = ?", (view,)).fetchone()
            db.execute(f"DROP VIEW {view}")
            db.execute(with_levels(view, sql))

    @steps(name="10: notes, escalations that go on by themselves")
    def tenth(db: Database) -> None:
        for statement in _statements(NOTES):
            db.execute(statement)

    @steps(
        name="11: trials in no study, what scores were made from, what merged homes say otherwise, indexes for deletion"
    )
    def eleventh(db: Database) -> None:
        for statement in _statements(LEFT + MERGE + SCALE):
            db.execute(statement)
        for view, (studies, others) in HALVES.items():
            (sql,) = db.execute("SELECT sql FROM sqlite_master WHERE name = ?", (view,)).fetchone()
            db.execute(f"DROP VIEW {view}")
            db.execute(in_study(view, sql))
            db.execute(f"CREATE VIEW {view} AS SELECT * FROM {studies} UNION ALL SELECT * FROM {others}")

    return steps


def _statements(script: str) -> list[str]:
    """The script cut into statements: executescript would commit the transaction that a migration runs in."""
    import sqlite3

    statements, current = [], ""
    for line in script.splitlines(keepends=True):
        current += line
        if sqlite3.complete_statement(current):
            statements.append(current.strip())
            current = ""
    return statements
