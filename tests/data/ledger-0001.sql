BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE asks (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	id TEXT NOT NULL, 
	caller TEXT NOT NULL, 
	command TEXT NOT NULL, 
	"where" TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	state TEXT NOT NULL, 
	request TEXT, 
	attempts INTEGER NOT NULL, 
	not_before DATETIME, 
	CONSTRAINT uq_asks_id UNIQUE (id), 
	CONSTRAINT fk_asks_request FOREIGN KEY(request) REFERENCES requests (id)
);
INSERT INTO "asks" VALUES(1,'a1','client:github-churn','{"model":"churn","target":"production","verb":"promote","version":"7"}','C1','2026-04-20 09:00:00.000250','opened','k7qm2a',0,NULL);
CREATE TABLE audit_events (
	number INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	actor TEXT NOT NULL, 
	tag TEXT NOT NULL, 
	model TEXT, 
	body TEXT NOT NULL, 
	previous TEXT NOT NULL, 
	hash TEXT NOT NULL, 
	CONSTRAINT pk_audit_events PRIMARY KEY (number)
);
INSERT INTO "audit_events" VALUES(1,'2026-04-20 09:00:00.000250','client:github-churn','person:promotion:asked','churn','{"actor":"client:github-churn","after":null,"at":"2026-04-20T09:00:00.000250+00:00","before":null,"evidence":{"command":"promote churn 7 production"},"model":"churn","number":1,"origin":"slack","subject":"k7qm2a","tag":"person:promotion:asked","why":""}','0000000000000000000000000000000000000000000000000000000000000000','abe8f062058480c2bad9306b0fe1eb09b4d10e3b70a4af9126cb3abe2741faaa');
INSERT INTO "audit_events" VALUES(2,'2026-04-20 09:00:00.000250','automation:registrar','registrar:request:opened','churn','{"actor":"automation:registrar","after":"v7","at":"2026-04-20T09:00:00.000250+00:00","before":"v5","evidence":{"f1":0.912,"gates":["accuracy"]},"model":"churn","number":2,"origin":"slack","subject":"k7qm2a","tag":"registrar:request:opened","why":""}','abe8f062058480c2bad9306b0fe1eb09b4d10e3b70a4af9126cb3abe2741faaa','4867f3292570323f49210a29f800d4342913da2578a35faf02ca798d68609af0');
INSERT INTO "audit_events" VALUES(3,'2026-04-20 09:10:00.000250','slack:T1/U1ALICE','person:request:voted','churn','{"actor":"slack:T1/U1ALICE","after":"approve","at":"2026-04-20T09:10:00.000250+00:00","before":null,"evidence":{},"model":"churn","number":3,"origin":"slack","subject":"k7qm2a","tag":"person:request:voted","why":""}','4867f3292570323f49210a29f800d4342913da2578a35faf02ca798d68609af0','17f394f65b51b5fd744e308075d3351cb940d8ff4587566cd0f4fc4e2f7cbd72');
INSERT INTO "audit_events" VALUES(4,'2026-04-20 09:11:00.000250','slack:T1/U2BOB','person:request:voted','churn','{"actor":"slack:T1/U2BOB","after":"approve","at":"2026-04-20T09:11:00.000250+00:00","before":null,"evidence":{},"model":"churn","number":4,"origin":"slack","subject":"k7qm2a","tag":"person:request:voted","why":""}','17f394f65b51b5fd744e308075d3351cb940d8ff4587566cd0f4fc4e2f7cbd72','38353342dd83e3eb85d34e79042e3d118176cd171aa4619f35782ba7b0a12248');
INSERT INTO "audit_events" VALUES(5,'2026-04-20 09:12:00.000250','automation:registrar','registrar:version:moved','churn','{"actor":"automation:registrar","after":"v7","at":"2026-04-20T09:12:00.000250+00:00","before":"v5","evidence":{},"model":"churn","number":5,"origin":"slack","subject":"k7qm2a","tag":"registrar:version:moved","why":"2 of 2 approved"}','38353342dd83e3eb85d34e79042e3d118176cd171aa4619f35782ba7b0a12248','cc4235d1e923c2b7e07d2005423efb5a0dc5617d60bf7f55277660e0f73275e9');
CREATE TABLE audit_head (
	id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	hash TEXT NOT NULL, 
	CONSTRAINT pk_audit_head PRIMARY KEY (id), 
	CONSTRAINT ck_audit_head_one CHECK (id = 1)
);
INSERT INTO "audit_head" VALUES(1,5,'cc4235d1e923c2b7e07d2005423efb5a0dc5617d60bf7f55277660e0f73275e9');
CREATE TABLE moves (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	id TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	model TEXT NOT NULL, 
	version INTEGER NOT NULL, 
	from_stage TEXT NOT NULL, 
	target TEXT NOT NULL, 
	expected_incumbent INTEGER, 
	actor TEXT NOT NULL, 
	intended_at DATETIME NOT NULL, 
	request TEXT, 
	keep_existing BOOLEAN NOT NULL, 
	state TEXT NOT NULL, 
	attempts INTEGER NOT NULL, 
	finished_at DATETIME, 
	why TEXT NOT NULL, 
	claimed_by TEXT, 
	claimed_until DATETIME, 
	not_before DATETIME, 
	CONSTRAINT uq_moves_id UNIQUE (id), 
	CONSTRAINT fk_moves_request FOREIGN KEY(request) REFERENCES requests (id)
);
INSERT INTO "moves" VALUES(1,'m1','promotion','churn',7,'Staging','Production',5,'slack:T1/U1ALICE','2026-04-20 09:11:00.000250','k7qm2a',0,'done',1,'2026-04-20 09:12:00.000250','',NULL,NULL,NULL);
CREATE TABLE notes (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	"key" TEXT NOT NULL, 
	lane TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	"to" TEXT NOT NULL, 
	data TEXT NOT NULL, 
	attempts INTEGER NOT NULL, 
	was_tried BOOLEAN NOT NULL, 
	created_at DATETIME, 
	state TEXT NOT NULL, 
	not_before DATETIME, 
	why TEXT NOT NULL, 
	CONSTRAINT uq_notes_key UNIQUE ("key")
);
INSERT INTO "notes" VALUES(1,'k7qm2a:card','k7qm2a','card','C1','{"request":"k7qm2a"}',0,0,'2026-04-20 09:00:00.000250','delivered',NULL,'');
INSERT INTO "notes" VALUES(2,'p3xw9d:card','p3xw9d','card','C1','{"request":"p3xw9d"}',0,0,'2026-04-20 10:00:00.000250','waiting',NULL,'');
CREATE TABLE postings (
	"key" TEXT NOT NULL, 
	channel TEXT NOT NULL, 
	ts TEXT NOT NULL, 
	CONSTRAINT pk_postings PRIMARY KEY ("key")
);
INSERT INTO "postings" VALUES('k7qm2a','C1','1777000000.000100');
CREATE TABLE requests (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	id TEXT NOT NULL, 
	model TEXT NOT NULL, 
	version INTEGER NOT NULL, 
	from_stage TEXT NOT NULL, 
	target TEXT NOT NULL, 
	incumbent INTEGER, 
	requester TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	required INTEGER NOT NULL, 
	opened_at DATETIME NOT NULL, 
	expires_at DATETIME NOT NULL, 
	keep_existing BOOLEAN NOT NULL, 
	semver TEXT, 
	state TEXT NOT NULL, 
	decided_at DATETIME, 
	decided_by TEXT, 
	outcome TEXT NOT NULL, 
	CONSTRAINT uq_requests_id UNIQUE (id)
);
INSERT INTO "requests" VALUES(1,'k7qm2a','churn',7,'Staging','Production',5,'client:github-churn','f1 +0.021',2,'2026-04-20 09:00:00.000250','2026-04-21 09:00:00.000250',0,'2.1.0','done','2026-04-20 09:11:00.000250','slack:T1/U1ALICE','v7 is in Production.');
INSERT INTO "requests" VALUES(2,'p3xw9d','churn',8,'None','Staging',NULL,'slack:T1/U2BOB','“Größer”, it''s 10% better 🚀',1,'2026-04-20 10:00:00.000250','2026-04-27 09:00:00.000250',1,NULL,'pending',NULL,NULL,'');
CREATE TABLE votes (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	request TEXT NOT NULL, 
	voter TEXT NOT NULL, 
	choice TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	CONSTRAINT fk_votes_request FOREIGN KEY(request) REFERENCES requests (id)
);
INSERT INTO "votes" VALUES(1,'k7qm2a','slack:T1/U1ALICE','approve','','2026-04-20 09:10:00.000250');
INSERT INTO "votes" VALUES(2,'k7qm2a','slack:T1/U2BOB','approve','','2026-04-20 09:11:00.000250');
CREATE UNIQUE INDEX one_open_request ON requests (model, target) WHERE state IN ('pending', 'approved', 'executing');
CREATE INDEX requests_by_expiry ON requests (expires_at) WHERE state IN ('pending');
CREATE INDEX requests_by_time ON requests (opened_at, number);
CREATE INDEX requests_by_model ON requests (model, opened_at, number);
CREATE INDEX requests_by_state ON requests (state, opened_at, number);
CREATE UNIQUE INDEX one_vote_each ON votes (request, voter);
CREATE UNIQUE INDEX one_executing_move ON moves (model) WHERE state IN ('executing');
CREATE INDEX moves_by_state ON moves (state, model, intended_at, number);
CREATE INDEX moves_by_model ON moves (model, intended_at, number);
CREATE INDEX moves_by_target ON moves (model, target, intended_at, number);
CREATE INDEX asks_waiting ON asks (at, number) WHERE state IN ('waiting');
CREATE INDEX notes_waiting ON notes (lane, number) WHERE state IN ('waiting');
CREATE INDEX audit_by_model ON audit_events (model, number);
CREATE INDEX audit_by_time ON audit_events (at, number);
CREATE INDEX audit_by_tag ON audit_events (tag, number);
CREATE INDEX audit_by_actor ON audit_events (actor, number);
CREATE TRIGGER audit_events_no_update BEFORE UPDATE ON audit_events BEGIN SELECT RAISE(ABORT, 'audit events are never changed'); END;
CREATE TRIGGER audit_events_no_delete BEFORE DELETE ON audit_events BEGIN SELECT RAISE(ABORT, 'audit events are never changed'); END;
CREATE TRIGGER audit_events_no_replace BEFORE INSERT ON audit_events WHEN EXISTS (SELECT 1 FROM audit_events WHERE number = NEW.number) BEGIN SELECT RAISE(ABORT, 'audit events are never changed'); END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('asks',1);
INSERT INTO "sqlite_sequence" VALUES('requests',2);
INSERT INTO "sqlite_sequence" VALUES('notes',2);
INSERT INTO "sqlite_sequence" VALUES('votes',2);
INSERT INTO "sqlite_sequence" VALUES('moves',1);
COMMIT;
