BEGIN TRANSACTION;
CREATE TABLE cfcre_batches (
	id INTEGER NOT NULL, 
	stream VARCHAR(128) NOT NULL, 
	batch_hash VARCHAR(64) NOT NULL, 
	name TEXT NOT NULL, 
	keys JSON NOT NULL, 
	manifest_key TEXT, 
	sequence BIGINT, 
	submitted_at TEXT NOT NULL, 
	recorded_at DATETIME NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	placed VARCHAR(16) NOT NULL, 
	task INTEGER, 
	attempt INTEGER NOT NULL, 
	failures INTEGER NOT NULL, 
	interruptions INTEGER NOT NULL, 
	next_attempt_at DATETIME, 
	settled_at DATETIME, 
	reason VARCHAR(128), 
	detail TEXT, 
	model_version VARCHAR(64), 
	verdict VARCHAR(16), 
	facts JSON NOT NULL, 
	seconds JSON NOT NULL, 
	PRIMARY KEY (id), 
	CONSTRAINT cfcre_batch_once UNIQUE (stream, batch_hash), 
	CONSTRAINT cfcre_sequence_once UNIQUE (stream, sequence), 
	CONSTRAINT cfcre_task_once UNIQUE (stream, task), 
	CONSTRAINT cfcre_state CHECK (state IN ('seen', 'claimed', 'validated', 'training', 'evaluated', 'promoted', 'held', 'rejected', 'failed')), 
	CONSTRAINT cfcre_placed CHECK (placed IN ('inbox', 'processed', 'rejected', 'failed')), 
	CONSTRAINT cfcre_sequence_positive CHECK (sequence >= 1), 
	CONSTRAINT cfcre_sequence_given CHECK (state = 'rejected' OR sequence IS NOT NULL), 
	CONSTRAINT cfcre_learned_registered CHECK (state NOT IN ('promoted', 'held') OR (model_version IS NOT NULL AND task IS NOT NULL)), 
	FOREIGN KEY(stream) REFERENCES cfcre_streams (name)
);
INSERT INTO "cfcre_batches" VALUES(1,'news','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','batch a é','["inbox/news/a.jsonl"]',NULL,1,'2026-01-01T00:00:01.500000+00:00','2026-01-01 00:00:01.500000','promoted','processed',1,1,0,0,NULL,'2026-01-01 00:00:18.000000',NULL,NULL,'1','promote','{"model_version": "1", "verdict": "promote", "relations": ["born in"], "accuracy": 0.5, "rows": {"read": 3, "accepted": 2, "quarantined": 1}}','{"train_task": 1.25}');
INSERT INTO "cfcre_batches" VALUES(2,'news','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','batch b é','["inbox/news/b.jsonl"]',NULL,2,'2026-01-01T00:00:03+00:00','2026-01-01 00:00:03.000000','held','inbox',2,1,0,0,NULL,'2026-01-01 00:00:22.500000',NULL,NULL,'2','hold','{"model_version": "2", "verdict": "hold", "relations": ["born in"], "accuracy": 0.5, "rows": {"read": 3, "accepted": 2, "quarantined": 1}}','{"train_task": 1.25}');
INSERT INTO "cfcre_batches" VALUES(3,'news','cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc','batch c é','["inbox/news/c.jsonl"]',NULL,3,'2026-01-01T00:00:04.500000+00:00','2026-01-01 00:00:04.500000','failed','inbox',NULL,1,1,0,NULL,'2026-01-01 00:00:28.500000','task_failed','ingest: no such object',NULL,NULL,'{}','{}');
INSERT INTO "cfcre_batches" VALUES(4,'news','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd','batch d é','["inbox/news/d.jsonl"]',NULL,4,'2026-01-01T00:00:06+00:00','2026-01-01 00:00:06.000000','seen','inbox',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,'{}','{}');
INSERT INTO "cfcre_batches" VALUES(5,'wiki','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','batch a é','["inbox/wiki/a.jsonl"]',NULL,1,'2026-01-01T00:00:07.500000+00:00','2026-01-01 00:00:07.500000','training','inbox',1,1,0,0,NULL,NULL,NULL,NULL,NULL,NULL,'{"rows": {"read": 7}}','{}');
INSERT INTO "cfcre_batches" VALUES(6,'wiki','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','batch b é','["inbox/wiki/b.jsonl"]',NULL,2,'2026-01-01T00:00:09+00:00','2026-01-01 00:00:09.000000','seen','inbox',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,'{}','{}');
INSERT INTO "cfcre_batches" VALUES(7,'wiki','cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc','batch c é','["inbox/wiki/c.jsonl"]',NULL,3,'2026-01-01T00:00:10.500000+00:00','2026-01-01 00:00:10.500000','seen','inbox',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,'{}','{}');
INSERT INTO "cfcre_batches" VALUES(8,'wiki','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd','batch d é','["inbox/wiki/d.jsonl"]',NULL,4,'2026-01-01T00:00:12+00:00','2026-01-01 00:00:12.000000','seen','inbox',NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,'{}','{}');
INSERT INTO "cfcre_batches" VALUES(9,'wiki','eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee','e','["inbox/wiki/e"]',NULL,NULL,'2026-01-01T00:00:30+00:00','2026-01-01 00:00:30.000000','rejected','inbox',NULL,0,0,0,NULL,'2026-01-01 00:00:30.000000','checksum_mismatch','bad',NULL,NULL,'{}','{}');
CREATE TABLE cfcre_claims (
	stream VARCHAR(128) NOT NULL, 
	token BIGINT NOT NULL, 
	batch_id INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	task INTEGER NOT NULL, 
	run_name TEXT NOT NULL, 
	parent_version VARCHAR(64), 
	champion_version VARCHAR(64), 
	owner JSON NOT NULL, 
	claimed_at DATETIME NOT NULL, 
	leased_until DATETIME NOT NULL, 
	max_attempts INTEGER NOT NULL, 
	max_interruptions INTEGER NOT NULL, 
	retry_backoff_seconds FLOAT NOT NULL, 
	error_stage VARCHAR(64), 
	error_message TEXT, 
	error_retryable BOOLEAN, 
	error_reason VARCHAR(128), 
	ended_at DATETIME, 
	ending VARCHAR(16), 
	outcome JSON, 
	PRIMARY KEY (stream, token), 
	FOREIGN KEY(stream) REFERENCES cfcre_streams (name), 
	FOREIGN KEY(batch_id) REFERENCES cfcre_batches (id)
);
INSERT INTO "cfcre_claims" VALUES('news',1,1,1,1,'news-001-aaaaaaaa-a1',NULL,NULL,'{"host": "node-1", "boot_id": "boot", "pid": 4711, "pid_started": "99", "pid_namespace": ""}','2026-01-01 00:00:13.500000','2026-01-01 00:10:13.500000',1,2,2.0,NULL,NULL,NULL,NULL,'2026-01-01 00:00:18.000000','learned','{"stream": "news", "batch_hash": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "run_name": "news-001-aaaaaaaa-a1", "ending": "learned", "state": "promoted", "reason": null, "detail": null, "model_version": "1", "verdict": "promote", "settled_now": true}');
INSERT INTO "cfcre_claims" VALUES('news',2,2,1,2,'news-002-bbbbbbbb-a1','1','1','{"host": "node-1", "boot_id": "boot", "pid": 4711, "pid_started": "99", "pid_namespace": ""}','2026-01-01 00:00:19.500000','2026-01-01 00:10:19.500000',1,2,2.0,NULL,NULL,NULL,NULL,'2026-01-01 00:00:22.500000','learned','{"stream": "news", "batch_hash": "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "run_name": "news-002-bbbbbbbb-a1", "ending": "learned", "state": "held", "reason": null, "detail": null, "model_version": "2", "verdict": "hold", "settled_now": true}');
INSERT INTO "cfcre_claims" VALUES('news',3,3,1,3,'news-003-cccccccc-a1','2','1','{"host": "node-1", "boot_id": "boot", "pid": 4711, "pid_started": "99", "pid_namespace": ""}','2026-01-01 00:00:27.000000','2026-01-01 00:10:27.000000',1,2,2.0,'ingest','no such object',0,NULL,'2026-01-01 00:00:28.500000','failure','{"stream": "news", "batch_hash": "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc", "run_name": "news-003-cccccccc-a1", "ending": "failure", "state": "failed", "reason": "task_failed", "detail": "ingest: no such object", "model_version": null, "verdict": null, "settled_now": true}');
INSERT INTO "cfcre_claims" VALUES('wiki',1,5,1,1,'wiki-001-aaaaaaaa-a1',NULL,'1','{"host": "node-1", "boot_id": "boot", "pid": 4711, "pid_started": "99", "pid_namespace": ""}','2026-01-01 00:00:31.500000','2026-01-01 00:10:31.500000',1,2,2.0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE cfcre_models (
	name VARCHAR(256) NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "cfcre_models" VALUES('cfcre');
CREATE TABLE cfcre_promotions (
	id INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	model VARCHAR(256) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	old_version VARCHAR(64), 
	new_version VARCHAR(64) NOT NULL, 
	stream VARCHAR(128), 
	batch_hash VARCHAR(64), 
	metrics JSON NOT NULL, 
	verdict VARCHAR(16), 
	actor TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	alias_moved_at DATETIME, 
	PRIMARY KEY (id), 
	CONSTRAINT cfcre_kind CHECK (kind IN ('gate', 'promote', 'rollback')), 
	FOREIGN KEY(model) REFERENCES cfcre_models (name)
);
INSERT INTO "cfcre_promotions" VALUES(1,'2026-01-01 00:00:15.000000','cfcre','gate',NULL,'1','news','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','{"accuracy": 0.5, "average_accuracy": null, "forgetting": null}','promote','news-001-aaaaaaaa-a1','every check passed','2026-01-01 00:00:16.500000');
INSERT INTO "cfcre_promotions" VALUES(2,'2026-01-01 00:00:24.000000','cfcre','promote','1','2','news','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','{"accuracy": 0.5, "average_accuracy": null, "forgetting": null}','hold','ada','better by eye',NULL);
INSERT INTO "cfcre_promotions" VALUES(3,'2026-01-01 00:00:25.500000','cfcre','rollback','2','1','news','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','{"accuracy": 0.5, "average_accuracy": null, "forgetting": null}','promote','ada','worse after all',NULL);
CREATE TABLE cfcre_schema (
	version INTEGER NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "cfcre_schema" VALUES(1);
CREATE TABLE cfcre_streams (
	name VARCHAR(128) NOT NULL, 
	token BIGINT NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "cfcre_streams" VALUES('news',3,'2026-01-01 00:00:01.500000');
INSERT INTO "cfcre_streams" VALUES('wiki',1,'2026-01-01 00:00:07.500000');
CREATE INDEX cfcre_promotions_model ON cfcre_promotions (model, id);
CREATE INDEX cfcre_claims_run_name ON cfcre_claims (run_name);
CREATE UNIQUE INDEX cfcre_one_live_claim ON cfcre_claims (stream) WHERE ended_at IS NULL;
COMMIT;
