"""Of migration 11: what deletion looks for. Released; a change is a new migration."""

SCALE = """
-- Before a row goes, SQLite looks for those that refer to it; without an index it passes their whole table, for each such row.
CREATE INDEX evaluation_attempt ON evaluation (attempt_id);
CREATE INDEX audit_attempt ON audit (attempt_id);
CREATE INDEX trial_attack_trial ON trial_attack (trial_id);
"""
