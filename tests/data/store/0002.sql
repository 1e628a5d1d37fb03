BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0002');
CREATE TABLE follows (
	run_id VARCHAR NOT NULL,
	process_id VARCHAR NOT NULL,
	CONSTRAINT pk_follows PRIMARY KEY (run_id),
	CONSTRAINT fk_follows_run_id_runs FOREIGN KEY(run_id) REFERENCES runs (run_id)
);
CREATE TABLE forms (
	form_id VARCHAR NOT NULL,
	run_id VARCHAR NOT NULL,
	position INTEGER NOT NULL,
	node_id VARCHAR NOT NULL,
	node_title TEXT NOT NULL,
	content TEXT NOT NULL,
	inputs JSON NOT NULL,
	user_actions JSON NOT NULL,
	form_token VARCHAR,
	expires_at DATETIME,
	answerable BOOLEAN NOT NULL,
	status VARCHAR NOT NULL,
	message_ts VARCHAR,
	revision INTEGER NOT NULL,
	submission JSON,
	refusal TEXT,
	lost_responses INTEGER NOT NULL, asked_at DATETIME, delayed BOOLEAN DEFAULT 0 NOT NULL, not_shown BOOLEAN DEFAULT 0 NOT NULL, remind_at DATETIME,
	CONSTRAINT pk_forms PRIMARY KEY (form_id),
	CONSTRAINT fk_forms_run_id_runs FOREIGN KEY(run_id) REFERENCES runs (run_id)
);
INSERT INTO "forms" VALUES('form-1','run-1',0,'node-review','Review','A draft.

{{#$output.feedback#}}','[{"kind": "Paragraph", "name": "feedback", "default": ""}]','[{"id": "approve", "title": "Approve", "style": "primary"}, {"id": "regenerate", "title": "Regenerate with feedback", "style": "default"}]','form-token-demo',NULL,1,'open','1700000000.000200',0,NULL,NULL,0,NULL,0,0,NULL);
CREATE TABLE inbox (
	delivery VARCHAR NOT NULL,
	received_at DATETIME NOT NULL,
	CONSTRAINT pk_inbox PRIMARY KEY (delivery)
);
CREATE TABLE outbox (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	post_id VARCHAR NOT NULL,
	run_id VARCHAR,
	lane VARCHAR NOT NULL,
	kind VARCHAR NOT NULL,
	payload JSON NOT NULL,
	state VARCHAR NOT NULL,
	attempts INTEGER NOT NULL,
	due_at DATETIME NOT NULL,
	reason TEXT,
	created_at DATETIME NOT NULL, owner VARCHAR,
	CONSTRAINT uq_outbox_post_id UNIQUE (post_id),
	CONSTRAINT fk_outbox_run_id_runs FOREIGN KEY(run_id) REFERENCES runs (run_id)
);
INSERT INTO "outbox" VALUES(1,'post-1','run-1','slack','PostAnswer','{}','pending',0,'2026-03-04 05:06:07.890123',NULL,'2026-03-04 05:06:07.890123',NULL);
CREATE TABLE processes (
	process_id VARCHAR NOT NULL,
	lease_until DATETIME NOT NULL,
	CONSTRAINT pk_processes PRIMARY KEY (process_id)
);
CREATE TABLE runs (
	run_id VARCHAR NOT NULL,
	app VARCHAR NOT NULL,
	mode VARCHAR NOT NULL,
	team_id VARCHAR NOT NULL,
	channel_id VARCHAR NOT NULL,
	starter_id VARCHAR NOT NULL,
	dify_user VARCHAR NOT NULL,
	run_inputs JSON NOT NULL,
	created_at DATETIME NOT NULL,
	status VARCHAR NOT NULL,
	since DATETIME,
	"query" TEXT NOT NULL,
	response_url VARCHAR,
	thread_ts VARCHAR,
	workflow_run_id VARCHAR,
	task_id VARCHAR,
	conversation_id VARCHAR,
	answer_ts VARCHAR,
	outputs JSON NOT NULL,
	error TEXT,
	failed_step TEXT,
	stop_requested_by VARCHAR,
	started_at DATETIME,
	ended_at DATETIME,
	told_stuck BOOLEAN NOT NULL,
	poll_at DATETIME, told_refused BOOLEAN DEFAULT 0 NOT NULL, failed_looks INTEGER DEFAULT '0' NOT NULL, compared_at DATETIME, compared_steps INTEGER,
	CONSTRAINT pk_runs PRIMARY KEY (run_id)
);
INSERT INTO "runs" VALUES('run-1','review','advanced-chat','T1','C1','U1','slack:T1:U1','{"topic": "tea"}','2026-03-04 05:06:07.890123','running','2026-03-04 05:06:07.890123','What now?',NULL,'1700000000.000100','dify-run-1',NULL,'conversation-1',NULL,'{}',NULL,NULL,NULL,'2026-03-04 05:06:07.890123',NULL,0,NULL,0,0,NULL,NULL);
CREATE INDEX ix_runs_status ON runs (status);
CREATE UNIQUE INDEX ix_forms_run_id_position ON forms (run_id, position);
CREATE INDEX ix_outbox_state_due_at ON outbox (state, due_at);
CREATE INDEX ix_outbox_run_id_lane_id ON outbox (run_id, lane, id);
CREATE INDEX ix_inbox_received_at ON inbox (received_at);
CREATE INDEX ix_runs_ended_at ON runs (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX ix_runs_poll_at_app ON runs (poll_at, app);
CREATE INDEX ix_forms_expires_at_run_id ON forms (expires_at, run_id) WHERE status IN ('required', 'open');
CREATE INDEX ix_forms_remind_at ON forms (remind_at);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('outbox',1);
COMMIT;
