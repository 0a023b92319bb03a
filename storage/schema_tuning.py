"""Migration 9: learning rates that are chosen. Released; a change is a new migration."""

TUNING = """
-- The candidates of a tuned study are the trials of a study of its own, which has no results.
ALTER TABLE study ADD COLUMN tuning_of TEXT REFERENCES study (name) ON DELETE CASCADE;
-- JSON of the options of a trial's optimizer that were chosen for it, "tuned" each: in this study they tell no levels apart.
ALTER TABLE study_trial ADD COLUMN tuned TEXT;

-- Cells of a tuned study, with what was chosen; `reason`: why nothing could be; `edge`: the best is the outermost that was tried.
CREATE TABLE tuning_cell (
    study TEXT NOT NULL REFERENCES study (name) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    cell TEXT NOT NULL,
    chosen REAL,
    edge INTEGER,
    reason TEXT,
    PRIMARY KEY (study, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE tuning_candidate (
    study TEXT NOT NULL,
    position INTEGER NOT NULL,
    value REAL NOT NULL,
    widened INTEGER NOT NULL,
    trial_id TEXT NOT NULL REFERENCES trial (id) ON DELETE CASCADE,
    PRIMARY KEY (study, position, value),
    FOREIGN KEY (study, position) REFERENCES tuning_cell (study, position) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX tuning_candidate_trial ON tuning_candidate (trial_id);

CREATE VIEW v_tuning AS
SELECT c.study, c.position AS cell, t.variant_id, t.dataset, t.architecture, t.optimizer, t.activation, t.defense,
    json_extract(c.cell, '$.search.option') AS option, k.value, k.trial_id, st.state,
    CASE WHEN t.failure IS NULL THEN e.validation_accuracy END AS validation_accuracy,
    json_extract(t.training, '$.epochs') AS epochs, t.train_seconds AS seconds,
    k.widened, c.chosen IS k.value AS chosen, c.edge = 1 AND c.chosen IS k.value AS edge,
    coalesce(t.failure, st.reason) AS reason, c.reason AS cell_reason,
    t.architecture_options,
    json_patch(t.optimizer_options, json_object(json_extract(c.cell, '$.search.option'), 'tuned')) AS optimizer_options,
    t.activation_options, t.defense_options
FROM tuning_cell c
JOIN tuning_candidate k ON k.study = c.study AND k.position = c.position
JOIN trial t ON t.id = k.trial_id
LEFT JOIN study_trial st ON st.study = c.study || '~tuning' AND st.trial_id = k.trial_id
LEFT JOIN epoch e ON e.trial_id = k.trial_id AND e.epoch = json_extract(t.training, '$.epochs');
"""

_OPTIONS = "t.optimizer_options"
_IN_STUDY = f"coalesce(json_patch({_OPTIONS}, {{tuned}}), {_OPTIONS}) AS optimizer_options"
_OF_ROW = "(SELECT x.tuned FROM study_trial x WHERE x.study = {study} AND x.trial_id = t.id)"
LEVELS = {
    "v_trials": _IN_STUDY.format(tuned="st.tuned"),
    "v_leaderboard": _IN_STUDY.format(tuned="st.tuned"),
    "v_traits": _IN_STUDY.format(tuned="st.tuned"),
    "v_results": _IN_STUDY.format(tuned=_OF_ROW.format(study="w.study")),
    "v_robustness": _IN_STUDY.format(tuned=_OF_ROW.format(study="r.study")),
}
"""View → what its column optimizer_options becomes: as the study names the level, with "tuned" where it chose. The rest of a view
stays as the migrations before left it."""


def with_levels(view: str, sql: str) -> str:
    """The statement that makes `view`, with its optimizer's options as the study names them."""
    assert sql.count(_OPTIONS) == 1, f"{view} shows the options of one optimizer"
    return sql.replace(_OPTIONS, LEVELS[view])
