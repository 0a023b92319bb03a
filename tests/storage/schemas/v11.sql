CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'innate','1: tables and views','2026-11-28 22:35:42.686324+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'innate','2: the worker''s heartbeat, live progress, settings, removed weights, data roots','2026-11-28 22:35:42.687633+00:00');
INSERT INTO "_sqlite_migrations" VALUES(3,'innate','3: traces of attacks, readings of distances, checks of trust, transfer, imported weights','2026-11-28 22:35:42.689871+00:00');
INSERT INTO "_sqlite_migrations" VALUES(4,'innate','4: the verdict on a model beside each of its results','2026-11-28 22:35:42.691560+00:00');
INSERT INTO "_sqlite_migrations" VALUES(5,'innate','5: progress in numbers, the log of a trial in its events, when each epoch ended','2026-11-28 22:35:42.692768+00:00');
INSERT INTO "_sqlite_migrations" VALUES(6,'innate','6: what data was seen; audits, worst cases by all that is known, scores that stay while attacks wait','2026-11-28 22:35:42.695818+00:00');
INSERT INTO "_sqlite_migrations" VALUES(7,'innate','7: what became of each image, scores of variants over seeds and images, error spent on findings','2026-11-28 22:35:42.697252+00:00');
INSERT INTO "_sqlite_migrations" VALUES(8,'innate','8: traits of trained models','2026-11-28 22:35:42.697616+00:00');
INSERT INTO "_sqlite_migrations" VALUES(9,'innate','9: tuning','2026-11-28 22:35:42.700515+00:00');
INSERT INTO "_sqlite_migrations" VALUES(10,'innate','10: notes, escalations that go on by themselves','2026-11-28 22:35:42.700925+00:00');
INSERT INTO "_sqlite_migrations" VALUES(11,'innate','11: trials in no study, what scores were made from, what merged homes say otherwise, indexes for deletion','2026-11-28 22:35:42.703333+00:00');
CREATE TABLE attack (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    norm TEXT NOT NULL,
    spec TEXT NOT NULL
) STRICT;
INSERT INTO "attack" VALUES('eeaa810c00c7db38f79fad36bcb46cd32d2b1a7c012a3f59a5a1a04c125ce595','fgsm','linf','{"name": "fgsm", "norm": "linf", "eps": [0.1, 0.2], "params": {"loss": "ce"}, "seed": 0, "engine": 3}');
INSERT INTO "attack" VALUES('14d44b1883395d698e6a47c7efae3ef44eb76277457fd4d4e0a889a7b5641241','pgd','linf','{"name": "pgd", "norm": "linf", "eps": [0.1, 0.2], "params": {"steps": 4, "alpha": "eps/4", "restarts": 1, "loss": "ce", "random_start": true}, "seed": 0, "engine": 3}');
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
    traceback TEXT, data TEXT,
    UNIQUE (trial_id, number)
) STRICT;
INSERT INTO "attempt" VALUES(1,'7a9262f6435d4b498b865b21ce6c358ef9c5c2eab267c5f0c156e062143aafe0',1,1.79590534275153207782e+09,1.79590534291508960719e+09,1,'cpu','38f1a7bebe708bba8179fa3e4f82aa32d66cf3b583a32baef8d614928b971862','finished',NULL,NULL,NULL);
INSERT INTO "attempt" VALUES(2,'27c4e707166a514b6066a631d9649447e3216ced8a6edea9ec423fb41255103a',1,1.79590534291563844681e+09,1.7959053429194009304e+09,1,'cpu','38f1a7bebe708bba8179fa3e4f82aa32d66cf3b583a32baef8d614928b971862','finished',NULL,NULL,NULL);
INSERT INTO "attempt" VALUES(3,'f3030977a393e16cb4f4f843ff281d60cb68e057163ecf07b9486c876e28eacf',1,1.79590534291971635821e+09,1.7959053429228923321e+09,1,'cpu','38f1a7bebe708bba8179fa3e4f82aa32d66cf3b583a32baef8d614928b971862','finished',NULL,NULL,NULL);
INSERT INTO "attempt" VALUES(4,'698a747daf5f379dca74c47f357c97c673750cb73a9d20542cff053eca5b478e',1,1.79590534292324709893e+09,1.79590534292679548261e+09,1,'cpu','38f1a7bebe708bba8179fa3e4f82aa32d66cf3b583a32baef8d614928b971862','finished',NULL,NULL,NULL);
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
CREATE TABLE audit_content (
    audit_id INTEGER PRIMARY KEY REFERENCES audit (id) ON DELETE CASCADE,
    fell_at BLOB NOT NULL
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
INSERT INTO "clean" VALUES('7a9262f6435d4b498b865b21ce6c358ef9c5c2eab267c5f0c156e062143aafe0','93d362eb30e0faa2af7988e7f93e83948ff9174b92796c684519d22a09ebbbb6',60,10,9.16666666666666629659e-01,0.1,1.16666666666666668517e-01,X'FBBFFFCFFDFFFFF0');
INSERT INTO "clean" VALUES('27c4e707166a514b6066a631d9649447e3216ced8a6edea9ec423fb41255103a','93d362eb30e0faa2af7988e7f93e83948ff9174b92796c684519d22a09ebbbb6',60,10,9.16666666666666629659e-01,0.1,1.16666666666666668517e-01,X'FBBFFFCFFDFFFFF0');
INSERT INTO "clean" VALUES('f3030977a393e16cb4f4f843ff281d60cb68e057163ecf07b9486c876e28eacf','93d362eb30e0faa2af7988e7f93e83948ff9174b92796c684519d22a09ebbbb6',60,10,9.16666666666666629659e-01,0.1,1.16666666666666668517e-01,X'FBBFFFCFFDFFFFF0');
INSERT INTO "clean" VALUES('698a747daf5f379dca74c47f357c97c673750cb73a9d20542cff053eca5b478e','93d362eb30e0faa2af7988e7f93e83948ff9174b92796c684519d22a09ebbbb6',60,10,9.16666666666666629659e-01,0.1,1.16666666666666668517e-01,X'FBBFFFCFFDFFFFF0');
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
CREATE TABLE dataset_content (
    name TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    met_at REAL NOT NULL
) STRICT;
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
CREATE TABLE environment (
    id TEXT PRIMARY KEY,
    content TEXT NOT NULL
) STRICT;
INSERT INTO "environment" VALUES('38f1a7bebe708bba8179fa3e4f82aa32d66cf3b583a32baef8d614928b971862','{"device": "cpu", "torch": "x"}');
CREATE TABLE epoch (
    trial_id TEXT NOT NULL REFERENCES trial (id) ON DELETE CASCADE,
    epoch INTEGER NOT NULL,
    loss REAL NOT NULL,
    accuracy REAL NOT NULL,
    validation_accuracy REAL,
    lr REAL NOT NULL,
    seconds REAL NOT NULL, probe_accuracy REAL, ended_at REAL,
    PRIMARY KEY (trial_id, epoch)
) STRICT, WITHOUT ROWID;
INSERT INTO "epoch" VALUES('27c4e707166a514b6066a631d9649447e3216ced8a6edea9ec423fb41255103a',1,1.0,0.5,NULL,0.01,0.25,NULL,1.79590534291615462302e+09);
INSERT INTO "epoch" VALUES('27c4e707166a514b6066a631d9649447e3216ced8a6edea9ec423fb41255103a',2,0.5,0.5,NULL,0.01,0.25,NULL,NULL);
INSERT INTO "epoch" VALUES('698a747daf5f379dca74c47f357c97c673750cb73a9d20542cff053eca5b478e',1,1.0,0.5,NULL,0.01,0.25,NULL,1.79590534292363739011e+09);
INSERT INTO "epoch" VALUES('698a747daf5f379dca74c47f357c97c673750cb73a9d20542cff053eca5b478e',2,0.5,0.5,NULL,0.01,0.25,NULL,NULL);
INSERT INTO "epoch" VALUES('7a9262f6435d4b498b865b21ce6c358ef9c5c2eab267c5f0c156e062143aafe0',1,1.0,0.5,NULL,0.01,0.25,NULL,1.79590534275209021564e+09);
INSERT INTO "epoch" VALUES('7a9262f6435d4b498b865b21ce6c358ef9c5c2eab267c5f0c156e062143aafe0',2,0.5,0.5,NULL,0.01,0.25,NULL,NULL);
INSERT INTO "epoch" VALUES('f3030977a393e16cb4f4f843ff281d60cb68e057163ecf07b9486c876e28eacf',1,1.0,0.5,NULL,0.01,0.25,NULL,1.79590534292001652717e+09);
INSERT INTO "epoch" VALUES('f3030977a393e16cb4f4f843ff281d60cb68e057163ecf07b9486c876e28eacf',2,0.5,0.5,NULL,0.01,0.25,NULL,NULL);
CREATE TABLE escalation (
    study TEXT NOT NULL,
    trial_id TEXT NOT NULL,
    norm TEXT NOT NULL,
    eps REAL NOT NULL,
    asked_at REAL NOT NULL,
    PRIMARY KEY (study, trial_id, norm, eps),
    FOREIGN KEY (study, trial_id) REFERENCES study_trial (study, trial_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
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
    finished_at REAL NOT NULL, traces TEXT, data TEXT,
    UNIQUE (trial_id, attack_id, samples)
) STRICT;
INSERT INTO "evaluation" VALUES(1,'7a9262f6435d4b498b865b21ce6c358ef9c5c2eab267c5f0c156e062143aafe0','eeaa810c00c7db38f79fad36bcb46cd32d2b1a7c012a3f59a5a1a04c125ce595','93d362eb30e0faa2af7988e7f93e83948ff9174b92796c684519d22a09ebbbb6',1,'done',NULL,NULL,'ok','[]',60,100,50,0.5,256,'fp32','[]',1.79590534275301837922e+09,'[]',NULL);
INSERT INTO "evaluation" VALUES(2,'7a9262f6435d4b498b865b21ce6c358ef9c5c2eab267c5f0c156e062143aafe0','14d44b1883395d698e6a47c7efae3ef44eb76277457fd4d4e0a889a7b5641241','93d362eb30e0faa2af7988e7f93e83948ff9174b92796c684519d22a09ebbbb6',1,'done',NULL,NULL,'ok','[]',60,100,50,0.5,256,'fp32','[]',1.79590534275342822078e+09,'[]',NULL);
INSERT INTO "evaluation" VALUES(3,'27c4e707166a514b6066a631d9649447e3216ced8a6edea9ec423fb41255103a','eeaa810c00c7db38f79fad36bcb46cd32d2b1a7c012a3f59a5a1a04c125ce595','93d362eb30e0faa2af7988e7f93e83948ff9174b92796c684519d22a09ebbbb6',2,'done',NULL,NULL,'ok','[]',60,100,50,0.5,256,'fp32','[]',1.79590534291685247417e+09,'[]',NULL);
INSERT INTO "evaluation" VALUES(4,'27c4e707166a514b6066a631d9649447e3216ced8a6edea9ec423fb41255103a','14d44b1883395d698e6a47c7efae3ef44eb76277457fd4d4e0a889a7b5641241','93d362eb30e0faa2af7988e7f93e83948ff9174b92796c684519d22a09ebbbb6',2,'done',NULL,NULL,'ok','[]',60,100,50,0.5,256,'fp32','[]',1.79590534291715669631e+09,'[]',NULL);
INSERT INTO "evaluation" VALUES(5,'f3030977a393e16cb4f4f843ff281d60cb68e057163ecf07b9486c876e28eacf','eeaa810c00c7db38f79fad36bcb46cd32d2b1a7c012a3f59a5a1a04c125ce595','93d362eb30e0faa2af7988e7f93e83948ff9174b92796c684519d22a09ebbbb6',3,'done',NULL,NULL,'ok','[]',60,100,50,0.5,256,'fp32','[]',1.79590534292057418816e+09,'[]',NULL);
INSERT INTO "evaluation" VALUES(6,'f3030977a393e16cb4f4f843ff281d60cb68e057163ecf07b9486c876e28eacf','14d44b1883395d698e6a47c7efae3ef44eb76277457fd4d4e0a889a7b5641241','93d362eb30e0faa2af7988e7f93e83948ff9174b92796c684519d22a09ebbbb6',3,'done',NULL,NULL,'ok','[]',60,100,50,0.5,256,'fp32','[]',1.79590534292083406449e+09,'[]',NULL);
INSERT INTO "evaluation" VALUES(7,'698a747daf5f379dca74c47f357c97c673750cb73a9d20542cff053eca5b478e','eeaa810c00c7db38f79fad36bcb46cd32d2b1a7c012a3f59a5a1a04c125ce595','93d362eb30e0faa2af7988e7f93e83948ff9174b92796c684519d22a09ebbbb6',4,'done',NULL,NULL,'ok','[]',60,100,50,0.5,256,'fp32','[]',1.795905342924156189e+09,'[]',NULL);
INSERT INTO "evaluation" VALUES(8,'698a747daf5f379dca74c47f357c97c673750cb73a9d20542cff053eca5b478e','14d44b1883395d698e6a47c7efae3ef44eb76277457fd4d4e0a889a7b5641241','93d362eb30e0faa2af7988e7f93e83948ff9174b92796c684519d22a09ebbbb6',4,'done',NULL,NULL,'ok','[]',60,100,50,0.5,256,'fp32','[]',1.79590534292446684836e+09,'[]',NULL);
CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    study TEXT,
    trial_id TEXT,
    content TEXT
) STRICT;
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
CREATE TABLE ledger (
    evaluation_id INTEGER NOT NULL REFERENCES evaluation (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    eps REAL,
    survived INTEGER NOT NULL,
    robust_accuracy REAL NOT NULL,
    adversarial_accuracy REAL,
    PRIMARY KEY (evaluation_id, position)
) STRICT, WITHOUT ROWID;
INSERT INTO "ledger" VALUES(1,0,0.1,28,4.66666666666666674068e-01,NULL);
INSERT INTO "ledger" VALUES(1,1,0.2,17,2.83333333333333325931e-01,NULL);
INSERT INTO "ledger" VALUES(2,0,0.1,34,5.66666666666666651863e-01,NULL);
INSERT INTO "ledger" VALUES(2,1,0.2,18,0.3,NULL);
INSERT INTO "ledger" VALUES(3,0,0.1,28,4.66666666666666674068e-01,NULL);
INSERT INTO "ledger" VALUES(3,1,0.2,17,2.83333333333333325931e-01,NULL);
INSERT INTO "ledger" VALUES(4,0,0.1,34,5.66666666666666651863e-01,NULL);
INSERT INTO "ledger" VALUES(4,1,0.2,18,0.3,NULL);
INSERT INTO "ledger" VALUES(5,0,0.1,28,4.66666666666666674068e-01,NULL);
INSERT INTO "ledger" VALUES(5,1,0.2,17,2.83333333333333325931e-01,NULL);
INSERT INTO "ledger" VALUES(6,0,0.1,34,5.66666666666666651863e-01,NULL);
INSERT INTO "ledger" VALUES(6,1,0.2,18,0.3,NULL);
INSERT INTO "ledger" VALUES(7,0,0.1,28,4.66666666666666674068e-01,NULL);
INSERT INTO "ledger" VALUES(7,1,0.2,17,2.83333333333333325931e-01,NULL);
INSERT INTO "ledger" VALUES(8,0,0.1,34,5.66666666666666651863e-01,NULL);
INSERT INTO "ledger" VALUES(8,1,0.2,18,0.3,NULL);
CREATE TABLE ledger_content (
    evaluation_id INTEGER NOT NULL REFERENCES evaluation (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    bitmap BLOB NOT NULL,
    distances BLOB,
    PRIMARY KEY (evaluation_id, position)
) STRICT;
INSERT INTO "ledger_content" VALUES(1,0,X'FA8B168888CE9550',NULL);
INSERT INTO "ledger_content" VALUES(1,1,X'D883148880C60400',NULL);
INSERT INTO "ledger_content" VALUES(2,0,X'62BD9D8BB4735BA0',NULL);
INSERT INTO "ledger_content" VALUES(2,1,X'00B1058884125B80',NULL);
INSERT INTO "ledger_content" VALUES(3,0,X'FA8B168888CE9550',NULL);
INSERT INTO "ledger_content" VALUES(3,1,X'D883148880C60400',NULL);
INSERT INTO "ledger_content" VALUES(4,0,X'62BD9D8BB4735BA0',NULL);
INSERT INTO "ledger_content" VALUES(4,1,X'00B1058884125B80',NULL);
INSERT INTO "ledger_content" VALUES(5,0,X'FA8B168888CE9550',NULL);
INSERT INTO "ledger_content" VALUES(5,1,X'D883148880C60400',NULL);
INSERT INTO "ledger_content" VALUES(6,0,X'62BD9D8BB4735BA0',NULL);
INSERT INTO "ledger_content" VALUES(6,1,X'00B1058884125B80',NULL);
INSERT INTO "ledger_content" VALUES(7,0,X'FA8B168888CE9550',NULL);
INSERT INTO "ledger_content" VALUES(7,1,X'D883148880C60400',NULL);
INSERT INTO "ledger_content" VALUES(8,0,X'62BD9D8BB4735BA0',NULL);
INSERT INTO "ledger_content" VALUES(8,1,X'00B1058884125B80',NULL);
CREATE TABLE left_trial (
    trial_id TEXT PRIMARY KEY REFERENCES trial (id) ON DELETE CASCADE,
    study TEXT,
    left_at REAL,
    trust TEXT CHECK (trust IN ('ok', 'suspect', 'invalid'))
) STRICT, WITHOUT ROWID;
CREATE TABLE look (
    study TEXT NOT NULL REFERENCES study (name) ON DELETE CASCADE,
    family TEXT NOT NULL,
    number INTEGER NOT NULL,
    content TEXT NOT NULL,
    margin REAL NOT NULL,
    made_at REAL NOT NULL,
    PRIMARY KEY (study, family, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE merged_copy (
    trial_id TEXT NOT NULL REFERENCES trial (id) ON DELETE CASCADE,
    final_digest TEXT NOT NULL,
    environment TEXT,
    train_seconds REAL,
    origin TEXT NOT NULL,
    merged_at REAL NOT NULL,
    PRIMARY KEY (trial_id, final_digest)
) STRICT, WITHOUT ROWID;
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
CREATE TABLE note (
    study TEXT NOT NULL REFERENCES study (name) ON DELETE CASCADE,
    variant_id TEXT,
    text TEXT NOT NULL,
    tags TEXT NOT NULL,
    changed_at REAL NOT NULL
) STRICT;
CREATE TABLE outcome (
    study TEXT NOT NULL,
    trial_id TEXT NOT NULL,
    count INTEGER NOT NULL,
    content TEXT NOT NULL,
    bits BLOB NOT NULL,
    PRIMARY KEY (study, trial_id),
    FOREIGN KEY (study, trial_id) REFERENCES study_trial (study, trial_id) ON DELETE CASCADE
) STRICT;
INSERT INTO "outcome" VALUES('tiny','7a9262f6435d4b498b865b21ce6c358ef9c5c2eab267c5f0c156e062143aafe0',60,'{"classes": 10, "worthless": false, "eps": [0.1, 0.2], "worst": true, "bound": true, "attacks": [["eeaa810c00c7db38f79fad36bcb46cd32d2b1a7c012a3f59a5a1a04c125ce595", "fgsm", "linf", 0.1], ["14d44b1883395d698e6a47c7efae3ef44eb76277457fd4d4e0a889a7b5641241", "pgd", "linf", 0.1]]}',X'FBBFFFCFFDFFFFF0628914888042110000810488800200006289148880421100FA8B168888CE955062BD9D8BB4735BA0');
INSERT INTO "outcome" VALUES('tiny','27c4e707166a514b6066a631d9649447e3216ced8a6edea9ec423fb41255103a',60,'{"classes": 10, "worthless": false, "eps": [0.1, 0.2], "worst": true, "bound": true, "attacks": [["eeaa810c00c7db38f79fad36bcb46cd32d2b1a7c012a3f59a5a1a04c125ce595", "fgsm", "linf", 0.1], ["14d44b1883395d698e6a47c7efae3ef44eb76277457fd4d4e0a889a7b5641241", "pgd", "linf", 0.1]]}',X'FBBFFFCFFDFFFFF0628914888042110000810488800200006289148880421100FA8B168888CE955062BD9D8BB4735BA0');
INSERT INTO "outcome" VALUES('tiny','f3030977a393e16cb4f4f843ff281d60cb68e057163ecf07b9486c876e28eacf',60,'{"classes": 10, "worthless": false, "eps": [0.1, 0.2], "worst": true, "bound": true, "attacks": [["eeaa810c00c7db38f79fad36bcb46cd32d2b1a7c012a3f59a5a1a04c125ce595", "fgsm", "linf", 0.1], ["14d44b1883395d698e6a47c7efae3ef44eb76277457fd4d4e0a889a7b5641241", "pgd", "linf", 0.1]]}',X'FBBFFFCFFDFFFFF0628914888042110000810488800200006289148880421100FA8B168888CE955062BD9D8BB4735BA0');
INSERT INTO "outcome" VALUES('tiny','698a747daf5f379dca74c47f357c97c673750cb73a9d20542cff053eca5b478e',60,'{"classes": 10, "worthless": false, "eps": [0.1, 0.2], "worst": true, "bound": true, "attacks": [["eeaa810c00c7db38f79fad36bcb46cd32d2b1a7c012a3f59a5a1a04c125ce595", "fgsm", "linf", 0.1], ["14d44b1883395d698e6a47c7efae3ef44eb76277457fd4d4e0a889a7b5641241", "pgd", "linf", 0.1]]}',X'FBBFFFCFFDFFFFF0628914888042110000810488800200006289148880421100FA8B168888CE955062BD9D8BB4735BA0');
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
INSERT INTO "robustness" VALUES('tiny','27c4e707166a514b6066a631d9649447e3216ced8a6edea9ec423fb41255103a','linf',0.1,0.25,0.25,'ok',NULL);
INSERT INTO "robustness" VALUES('tiny','27c4e707166a514b6066a631d9649447e3216ced8a6edea9ec423fb41255103a','linf',0.2,1.16666666666666668517e-01,1.16666666666666668517e-01,'ok',NULL);
INSERT INTO "robustness" VALUES('tiny','698a747daf5f379dca74c47f357c97c673750cb73a9d20542cff053eca5b478e','linf',0.1,0.25,0.25,'ok',NULL);
INSERT INTO "robustness" VALUES('tiny','698a747daf5f379dca74c47f357c97c673750cb73a9d20542cff053eca5b478e','linf',0.2,1.16666666666666668517e-01,1.16666666666666668517e-01,'ok',NULL);
INSERT INTO "robustness" VALUES('tiny','7a9262f6435d4b498b865b21ce6c358ef9c5c2eab267c5f0c156e062143aafe0','linf',0.1,0.25,0.25,'ok',NULL);
INSERT INTO "robustness" VALUES('tiny','7a9262f6435d4b498b865b21ce6c358ef9c5c2eab267c5f0c156e062143aafe0','linf',0.2,1.16666666666666668517e-01,1.16666666666666668517e-01,'ok',NULL);
INSERT INTO "robustness" VALUES('tiny','f3030977a393e16cb4f4f843ff281d60cb68e057163ecf07b9486c876e28eacf','linf',0.1,0.25,0.25,'ok',NULL);
INSERT INTO "robustness" VALUES('tiny','f3030977a393e16cb4f4f843ff281d60cb68e057163ecf07b9486c876e28eacf','linf',0.2,1.16666666666666668517e-01,1.16666666666666668517e-01,'ok',NULL);
CREATE TABLE score (
    study TEXT NOT NULL,
    trial_id TEXT NOT NULL,
    name TEXT NOT NULL,
    value REAL,
    low REAL,
    high REAL, upper_bound INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (study, trial_id, name),
    FOREIGN KEY (study, trial_id) REFERENCES study_trial (study, trial_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
INSERT INTO "score" VALUES('tiny','27c4e707166a514b6066a631d9649447e3216ced8a6edea9ec423fb41255103a','clean_accuracy',9.16666666666666629659e-01,8.15649837903311802911e-01,9.6472410752353277008e-01,0);
INSERT INTO "score" VALUES('tiny','27c4e707166a514b6066a631d9649447e3216ced8a6edea9ec423fb41255103a','curve_area',3.14814814814814769583e-01,0.0,3.90388794219231338722e-01,1);
INSERT INTO "score" VALUES('tiny','27c4e707166a514b6066a631d9649447e3216ced8a6edea9ec423fb41255103a','innate',46.7452300785634,0.0,5.49941333684323296893e+01,1);
INSERT INTO "score" VALUES('tiny','27c4e707166a514b6066a631d9649447e3216ced8a6edea9ec423fb41255103a','retention',2.72727272727272762598e-01,0.0,3.83199679651261726487e-01,1);
INSERT INTO "score" VALUES('tiny','27c4e707166a514b6066a631d9649447e3216ced8a6edea9ec423fb41255103a','worst_case',0.25,0.0,3.54040835998627512193e-01,1);
INSERT INTO "score" VALUES('tiny','698a747daf5f379dca74c47f357c97c673750cb73a9d20542cff053eca5b478e','clean_accuracy',9.16666666666666629659e-01,8.15649837903311802911e-01,9.6472410752353277008e-01,0);
INSERT INTO "score" VALUES('tiny','698a747daf5f379dca74c47f357c97c673750cb73a9d20542cff053eca5b478e','curve_area',3.14814814814814769583e-01,0.0,3.90388794219231338722e-01,1);
INSERT INTO "score" VALUES('tiny','698a747daf5f379dca74c47f357c97c673750cb73a9d20542cff053eca5b478e','innate',46.7452300785634,0.0,5.49941333684323296893e+01,1);
INSERT INTO "score" VALUES('tiny','698a747daf5f379dca74c47f357c97c673750cb73a9d20542cff053eca5b478e','retention',2.72727272727272762598e-01,0.0,3.83199679651261726487e-01,1);
INSERT INTO "score" VALUES('tiny','698a747daf5f379dca74c47f357c97c673750cb73a9d20542cff053eca5b478e','worst_case',0.25,0.0,3.54040835998627512193e-01,1);
INSERT INTO "score" VALUES('tiny','7a9262f6435d4b498b865b21ce6c358ef9c5c2eab267c5f0c156e062143aafe0','clean_accuracy',9.16666666666666629659e-01,8.15649837903311802911e-01,9.6472410752353277008e-01,0);
INSERT INTO "score" VALUES('tiny','7a9262f6435d4b498b865b21ce6c358ef9c5c2eab267c5f0c156e062143aafe0','curve_area',3.14814814814814769583e-01,0.0,3.90388794219231338722e-01,1);
INSERT INTO "score" VALUES('tiny','7a9262f6435d4b498b865b21ce6c358ef9c5c2eab267c5f0c156e062143aafe0','innate',46.7452300785634,0.0,5.49941333684323296893e+01,1);
INSERT INTO "score" VALUES('tiny','7a9262f6435d4b498b865b21ce6c358ef9c5c2eab267c5f0c156e062143aafe0','retention',2.72727272727272762598e-01,0.0,3.83199679651261726487e-01,1);
INSERT INTO "score" VALUES('tiny','7a9262f6435d4b498b865b21ce6c358ef9c5c2eab267c5f0c156e062143aafe0','worst_case',0.25,0.0,3.54040835998627512193e-01,1);
INSERT INTO "score" VALUES('tiny','f3030977a393e16cb4f4f843ff281d60cb68e057163ecf07b9486c876e28eacf','clean_accuracy',9.16666666666666629659e-01,8.15649837903311802911e-01,9.6472410752353277008e-01,0);
INSERT INTO "score" VALUES('tiny','f3030977a393e16cb4f4f843ff281d60cb68e057163ecf07b9486c876e28eacf','curve_area',3.14814814814814769583e-01,0.0,3.90388794219231338722e-01,1);
INSERT INTO "score" VALUES('tiny','f3030977a393e16cb4f4f843ff281d60cb68e057163ecf07b9486c876e28eacf','innate',46.7452300785634,0.0,5.49941333684323296893e+01,1);
INSERT INTO "score" VALUES('tiny','f3030977a393e16cb4f4f843ff281d60cb68e057163ecf07b9486c876e28eacf','retention',2.72727272727272762598e-01,0.0,3.83199679651261726487e-01,1);
INSERT INTO "score" VALUES('tiny','f3030977a393e16cb4f4f843ff281d60cb68e057163ecf07b9486c876e28eacf','worst_case',0.25,0.0,3.54040835998627512193e-01,1);
CREATE TABLE setting (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
CREATE TABLE settled (
    study TEXT NOT NULL REFERENCES study (name) ON DELETE CASCADE,
    family TEXT NOT NULL,
    claim TEXT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (study, claim)
) STRICT, WITHOUT ROWID;
CREATE TABLE settling_trial (
    study TEXT NOT NULL,
    trial_id TEXT NOT NULL,
    PRIMARY KEY (study, trial_id),
    FOREIGN KEY (study, trial_id) REFERENCES study_trial (study, trial_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
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
, data_root TEXT, tuning_of TEXT REFERENCES study (name) ON DELETE CASCADE) STRICT;
INSERT INTO "study" VALUES('tiny','','{"name": "tiny", "dataset": "digits", "architectures": [{"name": "mlp", "hidden": [24]}], "optimizers": [{"name": "adam", "lr": 0.02}, {"name": "sgd", "lr": 0.3}], "activations": ["relu", "tanh"], "seeds": 1, "train_samples": 300, "test_samples": 60, "training": {"epochs": 3, "batch_size": 32}, "attacks": [{"name": "fgsm", "eps": [0.1, 0.2]}, {"name": "pgd", "eps": [0.1, 0.2], "steps": 4}], "audit": {"samples": 0}}','digits','digits',NULL,'digits','[1, 8, 8]','["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]',60,'93d362eb30e0faa2af7988e7f93e83948ff9174b92796c684519d22a09ebbbb6','linf',0.1,1.7959053427484784126e+09,1.7959053427484784126e+09,NULL,NULL);
CREATE TABLE study_attack (
    study TEXT NOT NULL REFERENCES study (name) ON DELETE CASCADE,
    attack_id TEXT NOT NULL REFERENCES attack (id),
    position INTEGER NOT NULL,
    PRIMARY KEY (study, attack_id)
) STRICT, WITHOUT ROWID;
INSERT INTO "study_attack" VALUES('tiny','14d44b1883395d698e6a47c7efae3ef44eb76277457fd4d4e0a889a7b5641241',1);
INSERT INTO "study_attack" VALUES('tiny','eeaa810c00c7db38f79fad36bcb46cd32d2b1a7c012a3f59a5a1a04c125ce595',0);
CREATE TABLE study_audit (
    study TEXT NOT NULL REFERENCES study (name) ON DELETE CASCADE,
    spec_id TEXT NOT NULL,
    norm TEXT NOT NULL,
    spec TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (study, spec_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE study_common (
    study TEXT NOT NULL REFERENCES study (name) ON DELETE CASCADE,
    attack_id TEXT NOT NULL REFERENCES attack (id),
    PRIMARY KEY (study, attack_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE study_trial (
    study TEXT NOT NULL REFERENCES study (name) ON DELETE CASCADE,
    trial_id TEXT NOT NULL REFERENCES trial (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    reason TEXT,
    priority INTEGER NOT NULL DEFAULT 0,
    trust TEXT CHECK (trust IN ('ok', 'suspect', 'invalid')),
    trust_reasons TEXT, tuned TEXT, scored_from TEXT,
    PRIMARY KEY (study, trial_id)
) STRICT, WITHOUT ROWID;
INSERT INTO "study_trial" VALUES('tiny','27c4e707166a514b6066a631d9649447e3216ced8a6edea9ec423fb41255103a',1,'done',NULL,0,'ok','[]',NULL,'innate,clean_accuracy,worst_case,retention,curve_area 2 3591810685.83401 0 0.0 0 0.0');
INSERT INTO "study_trial" VALUES('tiny','698a747daf5f379dca74c47f357c97c673750cb73a9d20542cff053eca5b478e',3,'done',NULL,0,'ok','[]',NULL,'innate,clean_accuracy,worst_case,retention,curve_area 2 3591810685.84862 0 0.0 0 0.0');
INSERT INTO "study_trial" VALUES('tiny','7a9262f6435d4b498b865b21ce6c358ef9c5c2eab267c5f0c156e062143aafe0',0,'done',NULL,0,'ok','[]',NULL,'innate,clean_accuracy,worst_case,retention,curve_area 2 3591810685.50645 0 0.0 0 0.0');
INSERT INTO "study_trial" VALUES('tiny','f3030977a393e16cb4f4f843ff281d60cb68e057163ecf07b9486c876e28eacf',2,'done',NULL,0,'ok','[]',NULL,'innate,clean_accuracy,worst_case,retention,curve_area 2 3591810685.84141 0 0.0 0 0.0');
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
    made_at REAL NOT NULL, fooled_bitmap BLOB,
    PRIMARY KEY (source_id, target_id, attack_id, samples)
) STRICT, WITHOUT ROWID;
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
, weights_removed INTEGER NOT NULL DEFAULT 0, imported TEXT) STRICT;
INSERT INTO "trial" VALUES('7a9262f6435d4b498b865b21ce6c358ef9c5c2eab267c5f0c156e062143aafe0','55aac86acecc6ad02fee59ff92b8edd756b813d6dd7b397ec9e372e5ca992ca8','{"engine": 1, "dataset": "digits", "train_samples": 300, "architecture": {"name": "mlp", "options": {"hidden": [24], "batch_norm": false, "dropout": 0.0, "normalise": true}}, "activation": {"name": "relu", "options": {}}, "optimizer": {"name": "adam", "options": {"lr": 0.02, "beta1": 0.9, "beta2": 0.999, "eps": 1e-08, "weight_decay": 0.0, "amsgrad": false}}, "defense": {"name": "none", "options": {}}, "training": {"epochs": 3, "batch_size": 32, "initialisation": "torch", "precision": "fp32", "schedule": {"name": "constant", "options": {}}, "weight_decay": 0.0, "label_smoothing": 0.0, "augment": false, "validation": 0.0}, "seed": 0}','digits',300,'mlp','{"hidden": [24], "batch_norm": false, "dropout": 0.0, "normalise": true}','adam','{"lr": 0.02, "beta1": 0.9, "beta2": 0.999, "eps": 1e-08, "weight_decay": 0.0, "amsgrad": false}','relu','{}','none','{}','{"epochs": 3, "batch_size": 32, "initialisation": "torch", "precision": "fp32", "schedule": {"name": "constant", "options": {}}, "weight_decay": 0.0, "label_smoothing": 0.0, "augment": false, "validation": 0.0}',0,1.79590534274935626985e+09,'7a9262f6435d4b498b865b21ce6c358ef9c5c2eab267c5f0c156e062143aafe0/1/weights.pt','iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii','ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',0.5,1000,NULL,0,0,NULL);
INSERT INTO "trial" VALUES('27c4e707166a514b6066a631d9649447e3216ced8a6edea9ec423fb41255103a','734a0a492fb44bc03bb81b6ae3c246c8d432ab74c5f98d9cef7cdf4e30337db2','{"engine": 1, "dataset": "digits", "train_samples": 300, "architecture": {"name": "mlp", "options": {"hidden": [24], "batch_norm": false, "dropout": 0.0, "normalise": true}}, "activation": {"name": "tanh", "options": {}}, "optimizer": {"name": "adam", "options": {"lr": 0.02, "beta1": 0.9, "beta2": 0.999, "eps": 1e-08, "weight_decay": 0.0, "amsgrad": false}}, "defense": {"name": "none", "options": {}}, "training": {"epochs": 3, "batch_size": 32, "initialisation": "torch", "precision": "fp32", "schedule": {"name": "constant", "options": {}}, "weight_decay": 0.0, "label_smoothing": 0.0, "augment": false, "validation": 0.0}, "seed": 0}','digits',300,'mlp','{"hidden": [24], "batch_norm": false, "dropout": 0.0, "normalise": true}','adam','{"lr": 0.02, "beta1": 0.9, "beta2": 0.999, "eps": 1e-08, "weight_decay": 0.0, "amsgrad": false}','tanh','{}','none','{}','{"epochs": 3, "batch_size": 32, "initialisation": "torch", "precision": "fp32", "schedule": {"name": "constant", "options": {}}, "weight_decay": 0.0, "label_smoothing": 0.0, "augment": false, "validation": 0.0}',0,1.79590534274935626985e+09,'27c4e707166a514b6066a631d9649447e3216ced8a6edea9ec423fb41255103a/1/weights.pt','iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii','ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',0.5,1000,NULL,0,0,NULL);
INSERT INTO "trial" VALUES('f3030977a393e16cb4f4f843ff281d60cb68e057163ecf07b9486c876e28eacf','93ba3e43a259456541a9ff79fe619d7914b04a822d8db8268a56c969e88155a8','{"engine": 1, "dataset": "digits", "train_samples": 300, "architecture": {"name": "mlp", "options": {"hidden": [24], "batch_norm": false, "dropout": 0.0, "normalise": true}}, "activation": {"name": "relu", "options": {}}, "optimizer": {"name": "sgd", "options": {"lr": 0.3, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": false}}, "defense": {"name": "none", "options": {}}, "training": {"epochs": 3, "batch_size": 32, "initialisation": "torch", "precision": "fp32", "schedule": {"name": "constant", "options": {}}, "weight_decay": 0.0, "label_smoothing": 0.0, "augment": false, "validation": 0.0}, "seed": 0}','digits',300,'mlp','{"hidden": [24], "batch_norm": false, "dropout": 0.0, "normalise": true}','sgd','{"lr": 0.3, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": false}','relu','{}','none','{}','{"epochs": 3, "batch_size": 32, "initialisation": "torch", "precision": "fp32", "schedule": {"name": "constant", "options": {}}, "weight_decay": 0.0, "label_smoothing": 0.0, "augment": false, "validation": 0.0}',0,1.79590534274935626985e+09,'f3030977a393e16cb4f4f843ff281d60cb68e057163ecf07b9486c876e28eacf/1/weights.pt','iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii','ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',0.5,1000,NULL,0,0,NULL);
INSERT INTO "trial" VALUES('698a747daf5f379dca74c47f357c97c673750cb73a9d20542cff053eca5b478e','d22b7d98a37b6b1617228f930457be85221827134e481ca131b5b5ea456f07a5','{"engine": 1, "dataset": "digits", "train_samples": 300, "architecture": {"name": "mlp", "options": {"hidden": [24], "batch_norm": false, "dropout": 0.0, "normalise": true}}, "activation": {"name": "tanh", "options": {}}, "optimizer": {"name": "sgd", "options": {"lr": 0.3, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": false}}, "defense": {"name": "none", "options": {}}, "training": {"epochs": 3, "batch_size": 32, "initialisation": "torch", "precision": "fp32", "schedule": {"name": "constant", "options": {}}, "weight_decay": 0.0, "label_smoothing": 0.0, "augment": false, "validation": 0.0}, "seed": 0}','digits',300,'mlp','{"hidden": [24], "batch_norm": false, "dropout": 0.0, "normalise": true}','sgd','{"lr": 0.3, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": false}','tanh','{}','none','{}','{"epochs": 3, "batch_size": 32, "initialisation": "torch", "precision": "fp32", "schedule": {"name": "constant", "options": {}}, "weight_decay": 0.0, "label_smoothing": 0.0, "augment": false, "validation": 0.0}',0,1.79590534274935626985e+09,'698a747daf5f379dca74c47f357c97c673750cb73a9d20542cff053eca5b478e/1/weights.pt','iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii','ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',0.5,1000,NULL,0,0,NULL);
CREATE TABLE trial_attack (
    study TEXT NOT NULL REFERENCES study (name) ON DELETE CASCADE,
    trial_id TEXT NOT NULL REFERENCES trial (id) ON DELETE CASCADE,
    attack_id TEXT NOT NULL REFERENCES attack (id),
    PRIMARY KEY (study, trial_id, attack_id)
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
    reason TEXT, norm TEXT, eps REAL,
    PRIMARY KEY (study, trial_id, position),
    FOREIGN KEY (study, trial_id) REFERENCES study_trial (study, trial_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
INSERT INTO "trust_check" VALUES('tiny','27c4e707166a514b6066a631d9649447e3216ced8a6edea9ec423fb41255103a',0,'degenerate',NULL,'ok',0,9.16666666666666629659e-01,2.1618950038622250509e-01,NULL,NULL,NULL);
INSERT INTO "trust_check" VALUES('tiny','27c4e707166a514b6066a631d9649447e3216ced8a6edea9ec423fb41255103a',1,'weaker_than_single_step','14d44b1883395d698e6a47c7efae3ef44eb76277457fd4d4e0a889a7b5641241','ok',0,9.99999999999999777955e-02,1.45478904410572790206e-01,NULL,NULL,0.1);
INSERT INTO "trust_check" VALUES('tiny','27c4e707166a514b6066a631d9649447e3216ced8a6edea9ec423fb41255103a',2,'unequal_effort',NULL,'ok',0,0.0,0.015,NULL,'linf',0.1);
INSERT INTO "trust_check" VALUES('tiny','27c4e707166a514b6066a631d9649447e3216ced8a6edea9ec423fb41255103a',3,'unequal_effort',NULL,'ok',0,0.0,0.015,NULL,'linf',0.2);
INSERT INTO "trust_check" VALUES('tiny','698a747daf5f379dca74c47f357c97c673750cb73a9d20542cff053eca5b478e',0,'degenerate',NULL,'ok',0,9.16666666666666629659e-01,2.1618950038622250509e-01,NULL,NULL,NULL);
INSERT INTO "trust_check" VALUES('tiny','698a747daf5f379dca74c47f357c97c673750cb73a9d20542cff053eca5b478e',1,'weaker_than_single_step','14d44b1883395d698e6a47c7efae3ef44eb76277457fd4d4e0a889a7b5641241','ok',0,9.99999999999999777955e-02,1.45478904410572790206e-01,NULL,NULL,0.1);
INSERT INTO "trust_check" VALUES('tiny','698a747daf5f379dca74c47f357c97c673750cb73a9d20542cff053eca5b478e',2,'unequal_effort',NULL,'ok',0,0.0,0.015,NULL,'linf',0.1);
INSERT INTO "trust_check" VALUES('tiny','698a747daf5f379dca74c47f357c97c673750cb73a9d20542cff053eca5b478e',3,'unequal_effort',NULL,'ok',0,0.0,0.015,NULL,'linf',0.2);
INSERT INTO "trust_check" VALUES('tiny','7a9262f6435d4b498b865b21ce6c358ef9c5c2eab267c5f0c156e062143aafe0',0,'degenerate',NULL,'ok',0,9.16666666666666629659e-01,2.1618950038622250509e-01,NULL,NULL,NULL);
INSERT INTO "trust_check" VALUES('tiny','7a9262f6435d4b498b865b21ce6c358ef9c5c2eab267c5f0c156e062143aafe0',1,'weaker_than_single_step','14d44b1883395d698e6a47c7efae3ef44eb76277457fd4d4e0a889a7b5641241','ok',0,9.99999999999999777955e-02,1.45478904410572790206e-01,NULL,NULL,0.1);
INSERT INTO "trust_check" VALUES('tiny','7a9262f6435d4b498b865b21ce6c358ef9c5c2eab267c5f0c156e062143aafe0',2,'unequal_effort',NULL,'ok',0,0.0,0.015,NULL,'linf',0.1);
INSERT INTO "trust_check" VALUES('tiny','7a9262f6435d4b498b865b21ce6c358ef9c5c2eab267c5f0c156e062143aafe0',3,'unequal_effort',NULL,'ok',0,0.0,0.015,NULL,'linf',0.2);
INSERT INTO "trust_check" VALUES('tiny','f3030977a393e16cb4f4f843ff281d60cb68e057163ecf07b9486c876e28eacf',0,'degenerate',NULL,'ok',0,9.16666666666666629659e-01,2.1618950038622250509e-01,NULL,NULL,NULL);
INSERT INTO "trust_check" VALUES('tiny','f3030977a393e16cb4f4f843ff281d60cb68e057163ecf07b9486c876e28eacf',1,'weaker_than_single_step','14d44b1883395d698e6a47c7efae3ef44eb76277457fd4d4e0a889a7b5641241','ok',0,9.99999999999999777955e-02,1.45478904410572790206e-01,NULL,NULL,0.1);
INSERT INTO "trust_check" VALUES('tiny','f3030977a393e16cb4f4f843ff281d60cb68e057163ecf07b9486c876e28eacf',2,'unequal_effort',NULL,'ok',0,0.0,0.015,NULL,'linf',0.1);
INSERT INTO "trust_check" VALUES('tiny','f3030977a393e16cb4f4f843ff281d60cb68e057163ecf07b9486c876e28eacf',3,'unequal_effort',NULL,'ok',0,0.0,0.015,NULL,'linf',0.2);
CREATE TABLE tuning_candidate (
    study TEXT NOT NULL,
    position INTEGER NOT NULL,
    value REAL NOT NULL,
    widened INTEGER NOT NULL,
    trial_id TEXT NOT NULL REFERENCES trial (id) ON DELETE CASCADE,
    PRIMARY KEY (study, position, value),
    FOREIGN KEY (study, position) REFERENCES tuning_cell (study, position) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE TABLE tuning_cell (
    study TEXT NOT NULL REFERENCES study (name) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    cell TEXT NOT NULL,
    chosen REAL,
    edge INTEGER,
    reason TEXT,
    PRIMARY KEY (study, position)
) STRICT, WITHOUT ROWID;
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
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE INDEX trial_variant ON trial (variant_id);
CREATE INDEX study_trial_queue ON study_trial (state, priority DESC, study, position);
CREATE INDEX study_trial_trial ON study_trial (trial_id, state);
CREATE INDEX study_trial_position ON study_trial (study, position);
CREATE INDEX attempt_open ON attempt (trial_id) WHERE ended_at IS NULL;
CREATE INDEX clean_accuracy ON clean (trial_id, samples, accuracy);
CREATE INDEX command_pending ON command (id) WHERE answered_at IS NULL;
CREATE INDEX transfer_target ON transfer (target_id);
CREATE VIEW v_training AS
SELECT trial_id, epoch, loss, accuracy, validation_accuracy, lr, seconds, probe_accuracy FROM epoch;
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
CREATE INDEX trust_check_radius ON trust_check (study, trial_id, name, norm, eps) WHERE norm IS NOT NULL;
CREATE VIEW v_trust AS
SELECT k.study, k.trial_id, t.variant_id, t.architecture, t.optimizer, t.activation, t.defense, t.seed,
    k.name AS "check", a.name AS attack, k.trust, k.value, k.bound, k.reason, k.counted, k.attack_id,
    k.position, k.norm, k.eps
FROM trust_check k JOIN trial t ON t.id = k.trial_id LEFT JOIN attack a ON a.id = k.attack_id;
CREATE INDEX event_trial ON event (trial_id);
CREATE INDEX robustness_audit ON robustness (audit_id);
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
CREATE VIEW v_leaderboard AS
SELECT st.study, t.variant_id, t.dataset, t.architecture, t.optimizer, t.activation, t.defense, count(*) AS seeds,
    avg(sc.value) AS clean_accuracy, avg(sw.value) AS worst_case, avg(sr.value) AS retention,
    avg(sa.value) AS curve_area, avg(si.value) AS innate,
    CASE max(CASE st.trust WHEN 'invalid' THEN 2 WHEN 'suspect' THEN 1 ELSE 0 END)
        WHEN 2 THEN 'invalid' WHEN 1 THEN 'suspect' ELSE 'ok' END AS trust,
    t.architecture_options, coalesce(json_patch(t.optimizer_options, st.tuned), t.optimizer_options) AS optimizer_options, t.activation_options, t.defense_options,
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
CREATE VIEW v_traits AS
SELECT st.study, t.id AS trial_id, t.variant_id, t.dataset, t.architecture, t.optimizer, t.activation, t.defense, t.seed,
    c.accuracy AS clean_accuracy, st.trust,
    m.margin, m.margin_mean, m.logit_scale, m.relative_margin, m.gradient_l1, m.gradient_l2, m.boundary, m.saturated, m.sparsity,
    m.dead, m.weight_norm, m.spectral_norm,
    (SELECT e.loss FROM epoch e WHERE e.trial_id = t.id ORDER BY e.epoch DESC LIMIT 1) AS training_loss,
    t.architecture_options, coalesce(json_patch(t.optimizer_options, st.tuned), t.optimizer_options) AS optimizer_options, t.activation_options, t.defense_options
FROM study_trial st
JOIN study s ON s.name = st.study
JOIN trial t ON t.id = st.trial_id
LEFT JOIN clean c ON c.trial_id = t.id AND c.samples = s.samples
LEFT JOIN traits m ON m.trial_id = t.id AND m.samples = s.samples
WHERE c.accuracy IS NOT NULL;
CREATE VIEW v_robustness AS
SELECT r.study, t.id AS trial_id, t.variant_id, t.dataset, t.architecture, t.optimizer, t.activation, t.defense, t.seed,
    r.norm, r.eps, c.count AS samples, c.accuracy AS clean_accuracy, r.robust_accuracy, ar.audited, ar.fell,
    min(ar.overstated_at_most, r.robust_accuracy) AS overstated_at_most, r.trust, r.compared_accuracy,
    ar.standing AS audited_of, ar.broken, ar.rounds,
    ar.attacks AS audit_attacks, ar.felled_by, a.seconds AS audit_seconds,
    t.architecture_options, coalesce(json_patch(t.optimizer_options, (SELECT x.tuned FROM study_trial x WHERE x.study = r.study AND x.trial_id = t.id)), t.optimizer_options) AS optimizer_options, t.activation_options, t.defense_options
FROM robustness r
JOIN study s ON s.name = r.study
JOIN trial t ON t.id = r.trial_id
JOIN clean c ON c.trial_id = t.id AND c.samples = s.samples
LEFT JOIN audit_radius ar ON ar.audit_id = r.audit_id AND ar.eps = r.eps
LEFT JOIN audit a ON a.id = r.audit_id;
CREATE UNIQUE INDEX note_subject ON note (study, coalesce(variant_id, ''));
CREATE INDEX escalation_trial ON escalation (trial_id);
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
CREATE INDEX evaluation_attempt ON evaluation (attempt_id);
CREATE INDEX audit_attempt ON audit (attempt_id);
CREATE INDEX trial_attack_trial ON trial_attack (trial_id);
CREATE VIEW trial_in_study AS
SELECT st.study, t.id AS trial_id, t.variant_id, t.dataset, t.architecture, t.optimizer, t.activation, t.defense, t.seed,
    st.state, st.reason,
    (SELECT count(*) FROM attempt a WHERE a.trial_id = t.id) AS attempts,
    c.accuracy AS clean_accuracy, t.initial_digest, t.final_digest, t.train_seconds,
    st.trust, st.priority, st.position, t.train_samples,
    t.architecture_options, coalesce(json_patch(t.optimizer_options, st.tuned), t.optimizer_options) AS optimizer_options, t.activation_options, t.defense_options, t.training, CAST(NULL AS TEXT) AS left_study, CAST(NULL AS REAL) AS left_at
FROM study_trial st
JOIN study s ON s.name = st.study
JOIN trial t ON t.id = st.trial_id
LEFT JOIN clean c ON c.trial_id = t.id AND c.samples = s.samples;
CREATE VIEW v_trials AS SELECT * FROM trial_in_study UNION ALL SELECT * FROM trial_in_no_study;
CREATE VIEW result_in_study AS
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
    t.architecture_options, coalesce(json_patch(t.optimizer_options, (SELECT x.tuned FROM study_trial x WHERE x.study = w.study AND x.trial_id = t.id)), t.optimizer_options) AS optimizer_options, t.activation_options, t.defense_options,
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
CREATE VIEW v_results AS SELECT * FROM result_in_study UNION ALL SELECT * FROM result_in_no_study;
PRAGMA user_version = 11;
