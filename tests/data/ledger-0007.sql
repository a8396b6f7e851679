BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0007');
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
	not_before DATETIME, ci TEXT, "key" TEXT, digest TEXT, error TEXT, outcome TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT uq_asks_id UNIQUE (id), 
	CONSTRAINT fk_asks_request FOREIGN KEY(request) REFERENCES requests (id)
);
INSERT INTO "asks" VALUES(1,'rb9dmw','slack:T0LOCAL/U0ALICE','{"break_glass":false,"keep_existing":false,"model":"churn","reason":"better","to":"Production","validation":[],"verb":"promote","version":"v4"}','C0MLMODELS','2026-11-30 23:04:19.702099','opened','rb9dmw',0,'2026-11-30 23:04:34.702043',NULL,NULL,NULL,NULL,'');
INSERT INTO "asks" VALUES(2,'rxqmze','slack:T0LOCAL/U0ALICE','{"break_glass":false,"keep_existing":false,"model":"mail","reason":"better","to":"Production","validation":[],"verb":"promote","version":"v4"}','C0MLMODELS','2026-11-30 23:04:21.154979','opened','rxqmze',0,'2026-11-30 23:04:36.153724',NULL,NULL,NULL,NULL,'');
INSERT INTO "asks" VALUES(3,'r57qm5','slack:T0LOCAL/U0ALICE','{"break_glass":false,"keep_existing":false,"model":"leads","reason":"better","to":"Production","validation":[],"verb":"promote","version":"v4"}','C0MLMODELS','2026-11-30 23:04:21.891274','opened','r57qm5',0,'2026-11-30 23:04:36.891231',NULL,NULL,NULL,NULL,'');
INSERT INTO "asks" VALUES(4,'rqrpes','slack:T0LOCAL/U0ALICE','{"break_glass":false,"keep_existing":false,"model":"churn","reason":"better","to":"Production","validation":[],"verb":"promote","version":"v5"}','C0MLMODELS','2026-12-02 05:04:27.726424','opened','rqrpes',0,'2026-12-02 05:04:42.726366',NULL,NULL,NULL,NULL,'');
INSERT INTO "asks" VALUES(5,'rbh6jc','slack:T0LOCAL/U0ALICE','{"break_glass":false,"keep_existing":false,"model":"fraud","reason":"better","to":"Production","validation":[],"verb":"promote","version":"v4"}','C0MLMODELS','2026-12-02 05:04:34.211381','opened','rbh6jc',0,'2026-12-02 05:04:49.211330',NULL,NULL,NULL,NULL,'');
INSERT INTO "asks" VALUES(6,'r5cgec','slack:T0LOCAL/U0ALICE','{"break_glass":false,"keep_existing":false,"model":"search","reason":"better","to":"Production","validation":[],"verb":"promote","version":"v4"}','C0MLMODELS','2026-12-02 05:04:35.325037','opened','r5cgec',0,'2026-12-02 05:04:50.324977',NULL,NULL,NULL,NULL,'');
INSERT INTO "asks" VALUES(7,'rr52h9','slack:T0LOCAL/U0ALICE','{"break_glass":false,"keep_existing":false,"model":"billing","reason":"better","to":"Production","validation":[],"verb":"promote","version":"v4"}','C0MLMODELS','2026-12-02 05:04:35.711303','opened','rr52h9',0,'2026-12-02 05:04:50.711245',NULL,NULL,NULL,NULL,'');
INSERT INTO "asks" VALUES(8,'rnt2pn','slack:T0LOCAL/U0ALICE','{"break_glass":false,"keep_existing":false,"model":"two-eyes","reason":"better","to":"Production","validation":[],"verb":"promote","version":"v4"}','C0MLMODELS','2026-12-02 05:04:36.199221','opened','rnt2pn',0,'2026-12-02 05:04:51.199177',NULL,NULL,NULL,NULL,'');
INSERT INTO "asks" VALUES(9,'reveyw','slack:T0LOCAL/U0ALICE','{"break_glass":false,"keep_existing":false,"model":"pricing","reason":"better","to":"Production","validation":[],"verb":"promote","version":"v4"}','C0MLMODELS','2026-12-02 05:04:36.626271','opened','reveyw',0,'2026-12-02 05:04:51.626239',NULL,NULL,NULL,NULL,'');
INSERT INTO "asks" VALUES(10,'rxasmu','slack:T0LOCAL/U0ALICE','{"break_glass":false,"keep_existing":false,"model":"ranking","reason":"better","to":"Production","validation":[],"verb":"promote","version":"v4"}','C0MLMODELS','2026-12-02 05:04:37.120600','opened','rxasmu',0,'2026-12-02 05:04:52.120547',NULL,NULL,NULL,NULL,'');
INSERT INTO "asks" VALUES(11,'rrs5uc','slack:T0LOCAL/U0ALICE','{"break_glass":false,"keep_existing":false,"model":"reports","reason":"","to":"Production","validation":[],"verb":"promote","version":"v4"}','C0MLMODELS','2026-12-02 05:05:41.633995','waiting',NULL,1,'2026-12-02 05:05:46.671223',NULL,NULL,NULL,NULL,'');
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
INSERT INTO "audit_events" VALUES(1,'2026-11-29 17:04:18.884100','automation:registry-poll','registry:version:moved','billing','{"actor":"automation:registry-poll","after":"v3","at":"2026-11-29T17:04:18.884100+00:00","before":null,"evidence":{"stage":"Production"},"model":"billing","number":1,"origin":"job","subject":"observed:rnuvt9","tag":"registry:version:moved","why":"in Production before Registrar looked"}','0000000000000000000000000000000000000000000000000000000000000000','4b8c1ea12ce695cda166d8fe70d5747f1d502a63984dd43f4dc9882a734c0972');
INSERT INTO "audit_events" VALUES(2,'2026-11-29 17:04:19.038652','automation:registry-poll','registry:version:moved','churn','{"actor":"automation:registry-poll","after":"v3","at":"2026-11-29T17:04:19.038652+00:00","before":null,"evidence":{"stage":"Production"},"model":"churn","number":2,"origin":"job","subject":"observed:rarnb2","tag":"registry:version:moved","why":"in Production before Registrar looked"}','4b8c1ea12ce695cda166d8fe70d5747f1d502a63984dd43f4dc9882a734c0972','a8b6381ed6a5ceef2b281176e4df80203579974eb3568dba9dcfb93161b004af');
INSERT INTO "audit_events" VALUES(3,'2026-11-29 17:04:19.146751','automation:registry-poll','registry:version:moved','fraud','{"actor":"automation:registry-poll","after":"v3","at":"2026-11-29T17:04:19.146751+00:00","before":null,"evidence":{"stage":"Production"},"model":"fraud","number":3,"origin":"job","subject":"observed:ryfk3s","tag":"registry:version:moved","why":"in Production before Registrar looked"}','a8b6381ed6a5ceef2b281176e4df80203579974eb3568dba9dcfb93161b004af','62ad3dbbad92e166a70c3a26c96ae178fd727fcf834e1852dd1e1612bd67fa54');
INSERT INTO "audit_events" VALUES(4,'2026-11-29 17:04:19.159165','automation:registry-poll','registry:version:moved','leads','{"actor":"automation:registry-poll","after":"v3","at":"2026-11-29T17:04:19.159165+00:00","before":null,"evidence":{"stage":"Production"},"model":"leads","number":4,"origin":"job","subject":"observed:rj5kj8","tag":"registry:version:moved","why":"in Production before Registrar looked"}','62ad3dbbad92e166a70c3a26c96ae178fd727fcf834e1852dd1e1612bd67fa54','11de52fee6aecae67ba0026d1354f7e3e96dd6ffc9f89e23e941d001704d2883');
INSERT INTO "audit_events" VALUES(5,'2026-11-29 17:04:19.182924','automation:registry-poll','registry:version:moved','mail','{"actor":"automation:registry-poll","after":"v3","at":"2026-11-29T17:04:19.182924+00:00","before":null,"evidence":{"stage":"Production"},"model":"mail","number":5,"origin":"job","subject":"observed:rrjaau","tag":"registry:version:moved","why":"in Production before Registrar looked"}','11de52fee6aecae67ba0026d1354f7e3e96dd6ffc9f89e23e941d001704d2883','6810b2b85fdc823c86d86be4d5fc6c6e3cb17e5ea023d1293b686c7ab615e744');
INSERT INTO "audit_events" VALUES(6,'2026-11-29 17:04:19.202228','automation:registry-poll','registry:version:moved','pricing','{"actor":"automation:registry-poll","after":"v3","at":"2026-11-29T17:04:19.202228+00:00","before":null,"evidence":{"stage":"Production"},"model":"pricing","number":6,"origin":"job","subject":"observed:r9cfrr","tag":"registry:version:moved","why":"in Production before Registrar looked"}','6810b2b85fdc823c86d86be4d5fc6c6e3cb17e5ea023d1293b686c7ab615e744','17af2e58e673a6cfec32a58f3e64babc8920dfec894533af49cbd0feca623dab');
INSERT INTO "audit_events" VALUES(7,'2026-11-29 17:04:19.236600','automation:registry-poll','registry:version:moved','ranking','{"actor":"automation:registry-poll","after":"v3","at":"2026-11-29T17:04:19.236600+00:00","before":null,"evidence":{"stage":"Production"},"model":"ranking","number":7,"origin":"job","subject":"observed:rn2ct9","tag":"registry:version:moved","why":"in Production before Registrar looked"}','17af2e58e673a6cfec32a58f3e64babc8920dfec894533af49cbd0feca623dab','2b901e333d6f22f32b81deea6aee63240913bb3be25709cfcd72fac2289adbb1');
INSERT INTO "audit_events" VALUES(8,'2026-11-29 17:04:19.275715','automation:registry-poll','registry:version:moved','reports','{"actor":"automation:registry-poll","after":"v3","at":"2026-11-29T17:04:19.275715+00:00","before":null,"evidence":{"stage":"Production"},"model":"reports","number":8,"origin":"job","subject":"observed:rgrtkz","tag":"registry:version:moved","why":"in Production before Registrar looked"}','2b901e333d6f22f32b81deea6aee63240913bb3be25709cfcd72fac2289adbb1','da430f3a4c36b5a4cfe0a5b475f655d00668439424e289d4ee668567cdd5becb');
INSERT INTO "audit_events" VALUES(9,'2026-11-29 17:04:19.335185','automation:registry-poll','registry:version:moved','search','{"actor":"automation:registry-poll","after":"v3","at":"2026-11-29T17:04:19.335185+00:00","before":null,"evidence":{"stage":"Production"},"model":"search","number":9,"origin":"job","subject":"observed:rqvru7","tag":"registry:version:moved","why":"in Production before Registrar looked"}','da430f3a4c36b5a4cfe0a5b475f655d00668439424e289d4ee668567cdd5becb','b76dfc23121807124a0576c97abf5835dadde516b1a3648f2ec8d6e7cb31d118');
INSERT INTO "audit_events" VALUES(10,'2026-11-29 17:04:19.348059','automation:registry-poll','registry:version:moved','two-eyes','{"actor":"automation:registry-poll","after":"v3","at":"2026-11-29T17:04:19.348059+00:00","before":null,"evidence":{"stage":"Production"},"model":"two-eyes","number":10,"origin":"job","subject":"observed:rtmdvm","tag":"registry:version:moved","why":"in Production before Registrar looked"}','b76dfc23121807124a0576c97abf5835dadde516b1a3648f2ec8d6e7cb31d118','d4bfd4a99405e4d2e11dc8b03724b52e7ecf0f3a1c1ba0c89a84c3ede66c08f7');
INSERT INTO "audit_events" VALUES(11,'2026-11-29 17:04:19.379895','automation:registry-poll','registry:version:moved','vision','{"actor":"automation:registry-poll","after":"v3","at":"2026-11-29T17:04:19.379895+00:00","before":null,"evidence":{"stage":"Production"},"model":"vision","number":11,"origin":"job","subject":"observed:r7d3vk","tag":"registry:version:moved","why":"in Production before Registrar looked"}','d4bfd4a99405e4d2e11dc8b03724b52e7ecf0f3a1c1ba0c89a84c3ede66c08f7','4567a932624aba0afc443faa7755a6b832024e227ebc5a19afcf7e3bbae29ef3');
INSERT INTO "audit_events" VALUES(12,'2026-11-30 23:04:19.702099','slack:T0LOCAL/U0ALICE','person:promotion:asked','churn','{"actor":"slack:T0LOCAL/U0ALICE","after":null,"at":"2026-11-30T23:04:19.702099+00:00","before":null,"evidence":{"break_glass":false,"by":{"groups":[],"name":"alice","roles":[]},"keep_existing":false,"model":"churn","reason":"better","to":"Production","validation":[],"verb":"promote","version":"v4"},"model":"churn","number":12,"origin":"slack","subject":"ask:rb9dmw","tag":"person:promotion:asked","why":""}','4567a932624aba0afc443faa7755a6b832024e227ebc5a19afcf7e3bbae29ef3','c3213b0ad94496fd15361f29671d272b4115a30419497707172a9352c4704ce3');
INSERT INTO "audit_events" VALUES(13,'2026-11-30 23:04:19.890957','slack:T0LOCAL/U0ALICE','registrar:request:opened','churn','{"actor":"slack:T0LOCAL/U0ALICE","after":null,"at":"2026-11-30T23:04:19.890957+00:00","before":null,"evidence":{"incumbent":3,"policy":"","reason":"better","requester":"slack:T0LOCAL/U0ALICE","rule":{"approvers":["lead"],"expires_after":"86400s"},"seen":{"against":{},"gates":[],"metrics":{},"policy":"","rule":"d9df1aa35461f77c","validation":{}},"target":"Production","version":4},"model":"churn","number":13,"origin":"registrar","subject":"rb9dmw","tag":"registrar:request:opened","why":""}','c3213b0ad94496fd15361f29671d272b4115a30419497707172a9352c4704ce3','c8cb1312ec3c47ac9756f0cda30764eb793688b646c990ecd30e9f01754efebe');
INSERT INTO "audit_events" VALUES(14,'2026-11-30 23:04:20.348752','slack:T0LOCAL/U0BOB','person:request:voted','churn','{"actor":"slack:T0LOCAL/U0BOB","after":null,"at":"2026-11-30T23:04:20.348752+00:00","before":null,"evidence":{"approvals":1,"by":{"groups":[],"name":"bob","roles":["lead"]},"choice":"approve","incumbent":3,"policy":"","reason":"better","requester":"slack:T0LOCAL/U0ALICE","required":1,"target":"Production","version":4},"model":"churn","number":14,"origin":"slack","subject":"rb9dmw","tag":"person:request:voted","why":""}','c8cb1312ec3c47ac9756f0cda30764eb793688b646c990ecd30e9f01754efebe','d42c8cbbe4a9df45989c2bdd04a2628359686313013b0e7456bd2191450c7c7e');
INSERT INTO "audit_events" VALUES(15,'2026-11-30 23:04:20.398350','slack:T0LOCAL/U0BOB','registrar:request:approved','churn','{"actor":"slack:T0LOCAL/U0BOB","after":"approved","at":"2026-11-30T23:04:20.398350+00:00","before":"pending","evidence":{"incumbent":3,"opened_at":"2026-11-30T23:04:19.789909+00:00","policy":"","reason":"better","requester":"slack:T0LOCAL/U0ALICE","seen":{"against":{},"gates":[],"metrics":{},"policy":"","rule":"d9df1aa35461f77c","validation":{}},"target":"Production","version":4},"model":"churn","number":15,"origin":"registrar","subject":"rb9dmw","tag":"registrar:request:approved","why":""}','d42c8cbbe4a9df45989c2bdd04a2628359686313013b0e7456bd2191450c7c7e','fbc8a409446a1d6768a135e4dd738d8229ffa04b507c91eacb1750ca61f10522');
INSERT INTO "audit_events" VALUES(16,'2026-11-30 23:04:20.852224','slack:T0LOCAL/U0BOB','registrar:version:moved','churn','{"actor":"slack:T0LOCAL/U0BOB","after":"v4","at":"2026-11-30T23:04:20.852224+00:00","before":"v3","evidence":{"incumbent":3,"policy":"","reason":"better","requester":"slack:T0LOCAL/U0ALICE","target":"Production","version":4},"model":"churn","number":16,"origin":"registrar","subject":"rb9dmw","tag":"registrar:version:moved","why":""}','fbc8a409446a1d6768a135e4dd738d8229ffa04b507c91eacb1750ca61f10522','67b6c3dc20167ebe0f100b13a762f5eb17dfc95e5cf5d217895f5fffcbac4964');
INSERT INTO "audit_events" VALUES(17,'2026-11-30 23:04:21.154979','slack:T0LOCAL/U0ALICE','person:promotion:asked','mail','{"actor":"slack:T0LOCAL/U0ALICE","after":null,"at":"2026-11-30T23:04:21.154979+00:00","before":null,"evidence":{"break_glass":false,"by":{"groups":[],"name":"alice","roles":[]},"keep_existing":false,"model":"mail","reason":"better","to":"Production","validation":[],"verb":"promote","version":"v4"},"model":"mail","number":17,"origin":"slack","subject":"ask:rxqmze","tag":"person:promotion:asked","why":""}','67b6c3dc20167ebe0f100b13a762f5eb17dfc95e5cf5d217895f5fffcbac4964','941e1929b6bf7eb28926f56c50974eff3384e2cb9280774c53fe1021cb9f75a8');
INSERT INTO "audit_events" VALUES(18,'2026-11-30 23:04:21.319844','slack:T0LOCAL/U0ALICE','registrar:request:opened','mail','{"actor":"slack:T0LOCAL/U0ALICE","after":null,"at":"2026-11-30T23:04:21.319844+00:00","before":null,"evidence":{"incumbent":3,"policy":"","reason":"better","requester":"slack:T0LOCAL/U0ALICE","rule":{"approvers":["lead"],"expires_after":"86400s"},"seen":{"against":{},"gates":[],"metrics":{},"policy":"","rule":"d9df1aa35461f77c","validation":{}},"target":"Production","version":4},"model":"mail","number":18,"origin":"registrar","subject":"rxqmze","tag":"registrar:request:opened","why":""}','941e1929b6bf7eb28926f56c50974eff3384e2cb9280774c53fe1021cb9f75a8','842d20d051ffa828118ed81c7ff5546ced996054147e050d6a33b9fb99b3bfeb');
INSERT INTO "audit_events" VALUES(19,'2026-11-30 23:04:21.768735','slack:T0LOCAL/U0BOB','person:request:voted','mail','{"actor":"slack:T0LOCAL/U0BOB","after":null,"at":"2026-11-30T23:04:21.768735+00:00","before":null,"evidence":{"approvals":1,"by":{"groups":[],"name":"bob","roles":["lead"]},"choice":"approve","incumbent":3,"policy":"","reason":"better","requester":"slack:T0LOCAL/U0ALICE","required":1,"target":"Production","version":4},"model":"mail","number":19,"origin":"slack","subject":"rxqmze","tag":"person:request:voted","why":""}','842d20d051ffa828118ed81c7ff5546ced996054147e050d6a33b9fb99b3bfeb','5729ed4b56104da929329970a569222d625a6baae4d4fc271a64474ea9dfaa48');
INSERT INTO "audit_events" VALUES(20,'2026-11-30 23:04:21.780449','slack:T0LOCAL/U0BOB','registrar:request:approved','mail','{"actor":"slack:T0LOCAL/U0BOB","after":"approved","at":"2026-11-30T23:04:21.780449+00:00","before":"pending","evidence":{"incumbent":3,"opened_at":"2026-11-30T23:04:21.248224+00:00","policy":"","reason":"better","requester":"slack:T0LOCAL/U0ALICE","seen":{"against":{},"gates":[],"metrics":{},"policy":"","rule":"d9df1aa35461f77c","validation":{}},"target":"Production","version":4},"model":"mail","number":20,"origin":"registrar","subject":"rxqmze","tag":"registrar:request:approved","why":""}','5729ed4b56104da929329970a569222d625a6baae4d4fc271a64474ea9dfaa48','bf666fc7b4131c87ce775fc10296daae658cc83d10f1d0c573adcff5e1ffb989');
INSERT INTO "audit_events" VALUES(21,'2026-11-30 23:04:21.869306','slack:T0LOCAL/U0BOB','registrar:version:moved','mail','{"actor":"slack:T0LOCAL/U0BOB","after":"v4","at":"2026-11-30T23:04:21.869306+00:00","before":"v3","evidence":{"incumbent":3,"policy":"","reason":"better","requester":"slack:T0LOCAL/U0ALICE","target":"Production","version":4},"model":"mail","number":21,"origin":"registrar","subject":"rxqmze","tag":"registrar:version:moved","why":""}','bf666fc7b4131c87ce775fc10296daae658cc83d10f1d0c573adcff5e1ffb989','840a74efc87130639fc7ec7c0eeb5f61ba865a1c3b583be2fb97863e6f028e6d');
INSERT INTO "audit_events" VALUES(22,'2026-11-30 23:04:21.891274','slack:T0LOCAL/U0ALICE','person:promotion:asked','leads','{"actor":"slack:T0LOCAL/U0ALICE","after":null,"at":"2026-11-30T23:04:21.891274+00:00","before":null,"evidence":{"break_glass":false,"by":{"groups":[],"name":"alice","roles":[]},"keep_existing":false,"model":"leads","reason":"better","to":"Production","validation":[],"verb":"promote","version":"v4"},"model":"leads","number":22,"origin":"slack","subject":"ask:r57qm5","tag":"person:promotion:asked","why":""}','840a74efc87130639fc7ec7c0eeb5f61ba865a1c3b583be2fb97863e6f028e6d','5e20b36d4073d40e091f7b054170770cb8d2d7fcc2bd81748016fe6dca8a24b8');
INSERT INTO "audit_events" VALUES(23,'2026-11-30 23:04:22.093817','slack:T0LOCAL/U0ALICE','registrar:request:opened','leads','{"actor":"slack:T0LOCAL/U0ALICE","after":null,"at":"2026-11-30T23:04:22.093817+00:00","before":null,"evidence":{"incumbent":3,"policy":"","reason":"better","requester":"slack:T0LOCAL/U0ALICE","rule":{"approvers":["lead"],"expires_after":"86400s"},"seen":{"against":{},"gates":[],"metrics":{},"policy":"","rule":"d9df1aa35461f77c","validation":{}},"target":"Production","version":4},"model":"leads","number":23,"origin":"registrar","subject":"r57qm5","tag":"registrar:request:opened","why":""}','5e20b36d4073d40e091f7b054170770cb8d2d7fcc2bd81748016fe6dca8a24b8','d9638b33c1fcf20dd558710413eed32988f179f124e298caec2f66353f1597a2');
INSERT INTO "audit_events" VALUES(24,'2026-11-30 23:04:22.551013','slack:T0LOCAL/U0BOB','person:request:voted','leads','{"actor":"slack:T0LOCAL/U0BOB","after":null,"at":"2026-11-30T23:04:22.551013+00:00","before":null,"evidence":{"approvals":1,"by":{"groups":[],"name":"bob","roles":["lead"]},"choice":"approve","incumbent":3,"policy":"","reason":"better","requester":"slack:T0LOCAL/U0ALICE","required":1,"target":"Production","version":4},"model":"leads","number":24,"origin":"slack","subject":"r57qm5","tag":"person:request:voted","why":""}','d9638b33c1fcf20dd558710413eed32988f179f124e298caec2f66353f1597a2','c08001d0a261bb0257dfd9a0adf6dcdf608dc25d4af0095d73f61d6d528d2a92');
INSERT INTO "audit_events" VALUES(25,'2026-11-30 23:04:22.554528','slack:T0LOCAL/U0BOB','registrar:request:approved','leads','{"actor":"slack:T0LOCAL/U0BOB","after":"approved","at":"2026-11-30T23:04:22.554528+00:00","before":"pending","evidence":{"incumbent":3,"opened_at":"2026-11-30T23:04:22.023468+00:00","policy":"","reason":"better","requester":"slack:T0LOCAL/U0ALICE","seen":{"against":{},"gates":[],"metrics":{},"policy":"","rule":"d9df1aa35461f77c","validation":{}},"target":"Production","version":4},"model":"leads","number":25,"origin":"registrar","subject":"r57qm5","tag":"registrar:request:approved","why":""}','c08001d0a261bb0257dfd9a0adf6dcdf608dc25d4af0095d73f61d6d528d2a92','a50ff3de2f7825ef6a46622811fdca16cf11d8955622f6fdb9278ba70355a635');
INSERT INTO "audit_events" VALUES(26,'2026-11-30 23:04:22.813045','slack:T0LOCAL/U0BOB','registrar:version:moved','leads','{"actor":"slack:T0LOCAL/U0BOB","after":"v4","at":"2026-11-30T23:04:22.813045+00:00","before":"v3","evidence":{"incumbent":3,"policy":"","reason":"better","requester":"slack:T0LOCAL/U0ALICE","target":"Production","version":4},"model":"leads","number":26,"origin":"registrar","subject":"r57qm5","tag":"registrar:version:moved","why":""}','a50ff3de2f7825ef6a46622811fdca16cf11d8955622f6fdb9278ba70355a635','186dc20ee08f4283383d8fb9e484707189d2832d76f1aa2841a663b234ed924f');
INSERT INTO "audit_events" VALUES(27,'2026-11-30 23:04:22.858364','automation:registry-poll','registry:version:moved','vision','{"actor":"automation:registry-poll","after":"v4","at":"2026-11-30T23:04:22.858364+00:00","before":"v3","evidence":{"stage":"Production"},"model":"vision","number":27,"origin":"job","subject":"observed:r272d4","tag":"registry:version:moved","why":""}','186dc20ee08f4283383d8fb9e484707189d2832d76f1aa2841a663b234ed924f','40aee0a59fc93e38e654efd10c62c3bcb28287d0d7b79237bc2aa801386bc1a9');
INSERT INTO "audit_events" VALUES(28,'2026-11-30 23:04:22.835220','automation:registry-poll','registry:model:changed','vision','{"actor":"automation:registry-poll","after":null,"at":"2026-11-30T23:04:22.835220+00:00","before":null,"evidence":{"lines":["v3 went from Production to Archived.","v4 went from no stage to Production.","@champion names v3, but v4 is in Production."],"mend":4},"model":"vision","number":28,"origin":"job","subject":"rdv4y4","tag":"registry:model:changed","why":"v3 went from Production to Archived. v4 went from no stage to Production. @champion names v3, but v4 is in Production."}','40aee0a59fc93e38e654efd10c62c3bcb28287d0d7b79237bc2aa801386bc1a9','1e3a321d2e42f87b38df69637ef3dafe008fa68d6ab629fb8d77d66e4d204653');
INSERT INTO "audit_events" VALUES(29,'2026-12-02 05:04:24.897048','automation:policy-file','registrar:monitor:taken','churn','{"actor":"automation:policy-file","after":"{\"name\":\"accuracy-live\",\"source\":\"live\",\"query\":\"accuracy\",\"rule\":\"threshold\",\"greater_than\":0.85,\"every\":\"10s\",\"warmup\":\"0s\",\"fail_after\":1,\"action\":\"auto\"}","at":"2026-12-02T05:04:24.897048+00:00","before":null,"evidence":{},"model":"churn","number":29,"origin":"job","subject":"churn accuracy-live","tag":"registrar:monitor:taken","why":""}','1e3a321d2e42f87b38df69637ef3dafe008fa68d6ab629fb8d77d66e4d204653','7191a9abbc25a118bc1dcd83417fa81fd4c37f12394f20b2ed69852f3a76c407');
INSERT INTO "audit_events" VALUES(30,'2026-12-02 05:04:24.897048','automation:policy-file','registrar:monitor:taken','leads','{"actor":"automation:policy-file","after":"{\"name\":\"accuracy-live\",\"source\":\"live\",\"query\":\"accuracy\",\"rule\":\"threshold\",\"greater_than\":0.85,\"every\":\"10s\",\"warmup\":\"0s\",\"fail_after\":1,\"action\":\"ask\"}","at":"2026-12-02T05:04:24.897048+00:00","before":null,"evidence":{},"model":"leads","number":30,"origin":"job","subject":"leads accuracy-live","tag":"registrar:monitor:taken","why":""}','7191a9abbc25a118bc1dcd83417fa81fd4c37f12394f20b2ed69852f3a76c407','ed0308eb4c8a09714b8ec940bac32559e5f92af7674896b08aeeb06aa103ea4e');
INSERT INTO "audit_events" VALUES(31,'2026-12-02 05:04:25.619007','slack:T0LOCAL/U0BOB','person:monitor:added','mail','{"actor":"slack:T0LOCAL/U0BOB","after":null,"at":"2026-12-02T05:04:25.619007+00:00","before":null,"evidence":{"after":{"action":"auto","aggregate":null,"alpha":0.01,"baseline":"previous","cooldown":"21600s","direction":null,"error":4,"every":"10s","fail_after":1,"greater_than":0.85,"hard_limit":null,"history":"604800s","hysteresis":0.5,"label_delay":"0s","less_than":null,"max_age":null,"max_auto":1,"min_effect":0.02,"min_points":null,"min_served":"86400s","name":"drift","no_data":3,"query":"accuracy","recover_after":3,"retries":2,"rule":"threshold","sigma":3.0,"source":"live","timeout":"10s","warmup":"0s","window":"3600s"},"by":{"groups":[],"name":"bob","roles":["lead"]},"monitor":"mr2jmfb","revision":1},"model":"mail","number":31,"origin":"slack","subject":"mail drift","tag":"person:monitor:added","why":""}','ed0308eb4c8a09714b8ec940bac32559e5f92af7674896b08aeeb06aa103ea4e','7acea5fa5e4639a40fc952f80686ed6113504c1a89ee734b7f964d538c61e75b');
INSERT INTO "audit_events" VALUES(32,'2026-12-02 05:04:27.643571','slack:T0LOCAL/U0DAVE','person:monitor:armed','mail','{"actor":"slack:T0LOCAL/U0DAVE","after":null,"at":"2026-12-02T05:04:27.643571+00:00","before":null,"evidence":{"by":{"groups":[],"name":"dave","roles":["admin"]},"monitor":"mr2jmfb","revision":1,"untried":true},"model":"mail","number":32,"origin":"slack","subject":"mail drift","tag":"person:monitor:armed","why":"measured for weeks"}','7acea5fa5e4639a40fc952f80686ed6113504c1a89ee734b7f964d538c61e75b','61dd59ff9ac6d82be416805663aafc242bfd564e3e7833daa5ec1161e293fa06');
INSERT INTO "audit_events" VALUES(33,'2026-12-02 05:04:27.726424','slack:T0LOCAL/U0ALICE','person:promotion:asked','churn','{"actor":"slack:T0LOCAL/U0ALICE","after":null,"at":"2026-12-02T05:04:27.726424+00:00","before":null,"evidence":{"break_glass":false,"by":{"groups":[],"name":"alice","roles":[]},"keep_existing":false,"model":"churn","reason":"better","to":"Production","validation":[],"verb":"promote","version":"v5"},"model":"churn","number":33,"origin":"slack","subject":"ask:rqrpes","tag":"person:promotion:asked","why":""}','61dd59ff9ac6d82be416805663aafc242bfd564e3e7833daa5ec1161e293fa06','e49e740315ddd90354b4ee61f34fff939444502552512f338e20145232cd63b8');
INSERT INTO "audit_events" VALUES(34,'2026-12-02 05:04:27.865000','slack:T0LOCAL/U0ALICE','registrar:request:opened','churn','{"actor":"slack:T0LOCAL/U0ALICE","after":null,"at":"2026-12-02T05:04:27.865000+00:00","before":null,"evidence":{"incumbent":4,"policy":"","reason":"better","requester":"slack:T0LOCAL/U0ALICE","rule":{"approvers":["lead"],"expires_after":"86400s"},"seen":{"against":{},"gates":[],"metrics":{},"policy":"","rule":"d9df1aa35461f77c","validation":{}},"target":"Production","version":5},"model":"churn","number":34,"origin":"registrar","subject":"rqrpes","tag":"registrar:request:opened","why":""}','e49e740315ddd90354b4ee61f34fff939444502552512f338e20145232cd63b8','589befc022fa3b4e44868e53c1dd0e0b933edcf490582c1b78dd8bab92393077');
INSERT INTO "audit_events" VALUES(35,'2026-12-02 05:04:28.121703','slack:T0LOCAL/U0BOB','person:request:voted','churn','{"actor":"slack:T0LOCAL/U0BOB","after":null,"at":"2026-12-02T05:04:28.121703+00:00","before":null,"evidence":{"approvals":1,"by":{"groups":[],"name":"bob","roles":["lead"]},"choice":"approve","incumbent":4,"policy":"","reason":"better","requester":"slack:T0LOCAL/U0ALICE","required":1,"target":"Production","version":5},"model":"churn","number":35,"origin":"slack","subject":"rqrpes","tag":"person:request:voted","why":""}','589befc022fa3b4e44868e53c1dd0e0b933edcf490582c1b78dd8bab92393077','87ffc71779d3b03bf6c9d1d0b06ef4ee01d3afc7a90752cef3a46eb4d9af1493');
INSERT INTO "audit_events" VALUES(36,'2026-12-02 05:04:28.162247','slack:T0LOCAL/U0BOB','registrar:request:approved','churn','{"actor":"slack:T0LOCAL/U0BOB","after":"approved","at":"2026-12-02T05:04:28.162247+00:00","before":"pending","evidence":{"incumbent":4,"opened_at":"2026-12-02T05:04:27.784716+00:00","policy":"","reason":"better","requester":"slack:T0LOCAL/U0ALICE","seen":{"against":{},"gates":[],"metrics":{},"policy":"","rule":"d9df1aa35461f77c","validation":{}},"target":"Production","version":5},"model":"churn","number":36,"origin":"registrar","subject":"rqrpes","tag":"registrar:request:approved","why":""}','87ffc71779d3b03bf6c9d1d0b06ef4ee01d3afc7a90752cef3a46eb4d9af1493','7de00b74be6624f364f294848c6a4741b0afaa36154c3e4ba52735fe6c8be936');
INSERT INTO "audit_events" VALUES(37,'2026-12-02 05:04:28.378251','slack:T0LOCAL/U0BOB','registrar:version:moved','churn','{"actor":"slack:T0LOCAL/U0BOB","after":"v5","at":"2026-12-02T05:04:28.378251+00:00","before":"v4","evidence":{"incumbent":4,"policy":"","reason":"better","requester":"slack:T0LOCAL/U0ALICE","target":"Production","version":5},"model":"churn","number":37,"origin":"registrar","subject":"rqrpes","tag":"registrar:version:moved","why":""}','7de00b74be6624f364f294848c6a4741b0afaa36154c3e4ba52735fe6c8be936','2d5f18d626e9761e1743e7ce5f2d6c179dba5f08e4cc9f93336cfd8ae392ca16');
INSERT INTO "audit_events" VALUES(38,'2026-12-02 05:04:29.542637','automation:automated-monitor','monitor:version:failed','churn','{"actor":"automation:automated-monitor","after":"v5","at":"2026-12-02T05:04:29.542637+00:00","before":null,"evidence":{"action":"auto","bound":0.85,"doing":"intent","monitor":"rhsm7r","move":"promotion:rqrpes","revision":1,"rule":"threshold","value":0.42,"version":5},"model":"churn","number":38,"origin":"job","subject":"churn accuracy-live","tag":"monitor:version:failed","why":"0.42 is not greater than 0.85."}','2d5f18d626e9761e1743e7ce5f2d6c179dba5f08e4cc9f93336cfd8ae392ca16','e076ffe9531365c4b7b5361daf1f8a04bc4e5e54233a723eb886875e27b89a23');
INSERT INTO "audit_events" VALUES(39,'2026-12-02 05:04:29.660631','automation:automated-monitor','monitor:version:failed','leads','{"actor":"automation:automated-monitor","after":"v4","at":"2026-12-02T05:04:29.660631+00:00","before":null,"evidence":{"action":"ask","bound":0.85,"doing":"awaiting human","monitor":"rum9un","move":"promotion:r57qm5","revision":1,"rule":"threshold","value":0.42,"version":4},"model":"leads","number":39,"origin":"job","subject":"leads accuracy-live","tag":"monitor:version:failed","why":"0.42 is not greater than 0.85."}','e076ffe9531365c4b7b5361daf1f8a04bc4e5e54233a723eb886875e27b89a23','ee5567176138a2a14116c3bb2b7448b63be84f007d4c87b8406e4b17d4b90052');
INSERT INTO "audit_events" VALUES(40,'2026-12-02 05:04:30.108242','automation:automated-monitor','registrar:version:rolled_back','churn','{"actor":"automation:automated-monitor","after":"v4","at":"2026-12-02T05:04:30.108242+00:00","before":"v5","evidence":{"forced":false,"from":"Archived","incident":"rkpkz5","kind":"rollback","reason":"accuracy-live: 0.42 is not greater than 0.85.","state":"done","to":"Production","version":4},"model":"churn","number":40,"origin":"registrar","subject":"rollback:churn:promotion:rqrpes","tag":"registrar:version:rolled_back","why":"accuracy-live: 0.42 is not greater than 0.85."}','ee5567176138a2a14116c3bb2b7448b63be84f007d4c87b8406e4b17d4b90052','d4cfe3ab9b4737ea3d865b4988ab42773a70645ed518be127eee2d92d2c848f6');
INSERT INTO "audit_events" VALUES(41,'2026-12-02 05:04:30.641634','automation:automated-monitor','registrar:incident:resolved','churn','{"actor":"automation:automated-monitor","after":null,"at":"2026-12-02T05:04:30.641634+00:00","before":null,"evidence":{},"model":"churn","number":41,"origin":"job","subject":"rkpkz5","tag":"registrar:incident:resolved","why":"Restored: v4 has served since 2026-12-02 05:04 UTC, v5 is barred."}','d4cfe3ab9b4737ea3d865b4988ab42773a70645ed518be127eee2d92d2c848f6','ed3a2c94e2f5fd16291b9b4518a8c2a955ef34fccd84f7c8543f98039514b306');
INSERT INTO "audit_events" VALUES(42,'2026-12-02 05:04:34.211381','slack:T0LOCAL/U0ALICE','person:promotion:asked','fraud','{"actor":"slack:T0LOCAL/U0ALICE","after":null,"at":"2026-12-02T05:04:34.211381+00:00","before":null,"evidence":{"break_glass":false,"by":{"groups":[],"name":"alice","roles":[]},"keep_existing":false,"model":"fraud","reason":"better","to":"Production","validation":[],"verb":"promote","version":"v4"},"model":"fraud","number":42,"origin":"slack","subject":"ask:rbh6jc","tag":"person:promotion:asked","why":""}','ed3a2c94e2f5fd16291b9b4518a8c2a955ef34fccd84f7c8543f98039514b306','08d6d3b891f8673a3ea664f129da36ebea5f528f3f48b8d819b5a6c8a0f69f00');
INSERT INTO "audit_events" VALUES(43,'2026-12-02 05:04:34.384293','slack:T0LOCAL/U0ALICE','registrar:request:opened','fraud','{"actor":"slack:T0LOCAL/U0ALICE","after":null,"at":"2026-12-02T05:04:34.384293+00:00","before":null,"evidence":{"incumbent":3,"policy":"","reason":"better","requester":"slack:T0LOCAL/U0ALICE","rule":{"approvers":["lead"],"expires_after":"86400s"},"seen":{"against":{},"gates":[],"metrics":{},"policy":"","rule":"d9df1aa35461f77c","validation":{}},"target":"Production","version":4},"model":"fraud","number":43,"origin":"registrar","subject":"rbh6jc","tag":"registrar:request:opened","why":""}','08d6d3b891f8673a3ea664f129da36ebea5f528f3f48b8d819b5a6c8a0f69f00','aba5a6a7cf232ec4cea7d0246166a24c3a271082a371011dcd4c3573344e1912');
INSERT INTO "audit_events" VALUES(44,'2026-12-02 05:04:35.325037','slack:T0LOCAL/U0ALICE','person:promotion:asked','search','{"actor":"slack:T0LOCAL/U0ALICE","after":null,"at":"2026-12-02T05:04:35.325037+00:00","before":null,"evidence":{"break_glass":false,"by":{"groups":[],"name":"alice","roles":[]},"keep_existing":false,"model":"search","reason":"better","to":"Production","validation":[],"verb":"promote","version":"v4"},"model":"search","number":44,"origin":"slack","subject":"ask:r5cgec","tag":"person:promotion:asked","why":""}','aba5a6a7cf232ec4cea7d0246166a24c3a271082a371011dcd4c3573344e1912','ecdf45f0c883f542a523526d7887d59110202c7c09a44ed463946f8b7688da9a');
INSERT INTO "audit_events" VALUES(45,'2026-12-02 05:04:35.412160','slack:T0LOCAL/U0ALICE','registrar:request:opened','search','{"actor":"slack:T0LOCAL/U0ALICE","after":null,"at":"2026-12-02T05:04:35.412160+00:00","before":null,"evidence":{"incumbent":3,"policy":"","reason":"better","requester":"slack:T0LOCAL/U0ALICE","rule":{"approvers":["lead"],"expires_after":"86400s"},"seen":{"against":{},"gates":[],"metrics":{},"policy":"","rule":"d9df1aa35461f77c","validation":{}},"target":"Production","version":4},"model":"search","number":45,"origin":"registrar","subject":"r5cgec","tag":"registrar:request:opened","why":""}','ecdf45f0c883f542a523526d7887d59110202c7c09a44ed463946f8b7688da9a','8012d3588d7903b71d2ef3afd6c6cf095e7ad4a7dd67d89abbfa550f17bd3d50');
INSERT INTO "audit_events" VALUES(46,'2026-12-02 05:04:35.711303','slack:T0LOCAL/U0ALICE','person:promotion:asked','billing','{"actor":"slack:T0LOCAL/U0ALICE","after":null,"at":"2026-12-02T05:04:35.711303+00:00","before":null,"evidence":{"break_glass":false,"by":{"groups":[],"name":"alice","roles":[]},"keep_existing":false,"model":"billing","reason":"better","to":"Production","validation":[],"verb":"promote","version":"v4"},"model":"billing","number":46,"origin":"slack","subject":"ask:rr52h9","tag":"person:promotion:asked","why":""}','8012d3588d7903b71d2ef3afd6c6cf095e7ad4a7dd67d89abbfa550f17bd3d50','e4e58d308455fa3723a1792c0537f9f96e39838664ac201d2e580ce6244f8c67');
INSERT INTO "audit_events" VALUES(47,'2026-12-02 05:04:35.814684','slack:T0LOCAL/U0ALICE','registrar:request:opened','billing','{"actor":"slack:T0LOCAL/U0ALICE","after":null,"at":"2026-12-02T05:04:35.814684+00:00","before":null,"evidence":{"incumbent":3,"policy":"","reason":"better","requester":"slack:T0LOCAL/U0ALICE","rule":{"approvers":["lead"],"expires_after":"86400s"},"seen":{"against":{},"gates":[],"metrics":{},"policy":"","rule":"d9df1aa35461f77c","validation":{}},"target":"Production","version":4},"model":"billing","number":47,"origin":"registrar","subject":"rr52h9","tag":"registrar:request:opened","why":""}','e4e58d308455fa3723a1792c0537f9f96e39838664ac201d2e580ce6244f8c67','f90f67229dd5da7f45644f054503fd3313220cac792b532077144f13bb7d0b61');
INSERT INTO "audit_events" VALUES(48,'2026-12-02 05:04:36.199221','slack:T0LOCAL/U0ALICE','person:promotion:asked','two-eyes','{"actor":"slack:T0LOCAL/U0ALICE","after":null,"at":"2026-12-02T05:04:36.199221+00:00","before":null,"evidence":{"break_glass":false,"by":{"groups":[],"name":"alice","roles":[]},"keep_existing":false,"model":"two-eyes","reason":"better","to":"Production","validation":[],"verb":"promote","version":"v4"},"model":"two-eyes","number":48,"origin":"slack","subject":"ask:rnt2pn","tag":"person:promotion:asked","why":""}','f90f67229dd5da7f45644f054503fd3313220cac792b532077144f13bb7d0b61','726e29c3f203e95417a60f49fd9e8763c49e5a77b2b2e0031984f6c618255c72');
INSERT INTO "audit_events" VALUES(49,'2026-12-02 05:04:36.251214','slack:T0LOCAL/U0ALICE','registrar:request:opened','two-eyes','{"actor":"slack:T0LOCAL/U0ALICE","after":null,"at":"2026-12-02T05:04:36.251214+00:00","before":null,"evidence":{"incumbent":3,"policy":"","reason":"better","requester":"slack:T0LOCAL/U0ALICE","rule":{"approvers":["lead","U0DAVE"],"required":2},"seen":{"against":{},"gates":[],"metrics":{},"policy":"","rule":"0855289ddb4a3f0b","validation":{}},"target":"Production","version":4},"model":"two-eyes","number":49,"origin":"registrar","subject":"rnt2pn","tag":"registrar:request:opened","why":""}','726e29c3f203e95417a60f49fd9e8763c49e5a77b2b2e0031984f6c618255c72','66f6a4b416cc5749057c062e591e24eff22f1aa52f3ed6d981b0263e720f1f93');
INSERT INTO "audit_events" VALUES(50,'2026-12-02 05:04:36.579048','slack:T0LOCAL/U0BOB','person:request:voted','two-eyes','{"actor":"slack:T0LOCAL/U0BOB","after":null,"at":"2026-12-02T05:04:36.579048+00:00","before":null,"evidence":{"approvals":1,"by":{"groups":[],"name":"bob","roles":["lead"]},"choice":"approve","incumbent":3,"policy":"","reason":"better","requester":"slack:T0LOCAL/U0ALICE","required":2,"target":"Production","version":4},"model":"two-eyes","number":50,"origin":"slack","subject":"rnt2pn","tag":"person:request:voted","why":""}','66f6a4b416cc5749057c062e591e24eff22f1aa52f3ed6d981b0263e720f1f93','16f33e3d8702292d41f38de735268b158d0d5a9acac69735fc8ac159c2c5ae34');
INSERT INTO "audit_events" VALUES(51,'2026-12-02 05:04:36.626271','slack:T0LOCAL/U0ALICE','person:promotion:asked','pricing','{"actor":"slack:T0LOCAL/U0ALICE","after":null,"at":"2026-12-02T05:04:36.626271+00:00","before":null,"evidence":{"break_glass":false,"by":{"groups":[],"name":"alice","roles":[]},"keep_existing":false,"model":"pricing","reason":"better","to":"Production","validation":[],"verb":"promote","version":"v4"},"model":"pricing","number":51,"origin":"slack","subject":"ask:reveyw","tag":"person:promotion:asked","why":""}','16f33e3d8702292d41f38de735268b158d0d5a9acac69735fc8ac159c2c5ae34','20828f87968a3ba42350ff7a1908cf6b7d02d193883556621ff6fbac86175195');
INSERT INTO "audit_events" VALUES(52,'2026-12-02 05:04:36.751272','slack:T0LOCAL/U0ALICE','registrar:request:opened','pricing','{"actor":"slack:T0LOCAL/U0ALICE","after":null,"at":"2026-12-02T05:04:36.751272+00:00","before":null,"evidence":{"incumbent":3,"policy":"","reason":"better","requester":"slack:T0LOCAL/U0ALICE","rule":{"approvers":["lead"],"expires_after":"86400s"},"seen":{"against":{},"gates":[],"metrics":{},"policy":"","rule":"d9df1aa35461f77c","validation":{}},"target":"Production","version":4},"model":"pricing","number":52,"origin":"registrar","subject":"reveyw","tag":"registrar:request:opened","why":""}','20828f87968a3ba42350ff7a1908cf6b7d02d193883556621ff6fbac86175195','5508cc838ee6a0a8da2b658c0c6d1d32835c873cb94020a80416011bc2a2798b');
INSERT INTO "audit_events" VALUES(53,'2026-12-02 05:04:37.120600','slack:T0LOCAL/U0ALICE','person:promotion:asked','ranking','{"actor":"slack:T0LOCAL/U0ALICE","after":null,"at":"2026-12-02T05:04:37.120600+00:00","before":null,"evidence":{"break_glass":false,"by":{"groups":[],"name":"alice","roles":[]},"keep_existing":false,"model":"ranking","reason":"better","to":"Production","validation":[],"verb":"promote","version":"v4"},"model":"ranking","number":53,"origin":"slack","subject":"ask:rxasmu","tag":"person:promotion:asked","why":""}','5508cc838ee6a0a8da2b658c0c6d1d32835c873cb94020a80416011bc2a2798b','04cd3ec33d043285dee525a9c66a4d4b200d6c53ecdb88f63c48829b9f0df07f');
INSERT INTO "audit_events" VALUES(54,'2026-12-02 05:04:37.187715','slack:T0LOCAL/U0ALICE','registrar:request:opened','ranking','{"actor":"slack:T0LOCAL/U0ALICE","after":null,"at":"2026-12-02T05:04:37.187715+00:00","before":null,"evidence":{"incumbent":3,"policy":"","reason":"better","requester":"slack:T0LOCAL/U0ALICE","rule":{"approvers":["lead"],"expires_after":"86400s"},"seen":{"against":{},"gates":[],"metrics":{},"policy":"","rule":"d9df1aa35461f77c","validation":{}},"target":"Production","version":4},"model":"ranking","number":54,"origin":"registrar","subject":"rxasmu","tag":"registrar:request:opened","why":""}','04cd3ec33d043285dee525a9c66a4d4b200d6c53ecdb88f63c48829b9f0df07f','bccebd85b77eda28ca996cc62fe3e683cb95c40a13fc26054d631d456f39de57');
INSERT INTO "audit_events" VALUES(55,'2026-12-02 05:04:38.844688','slack:T0LOCAL/U0BOB','person:request:voted','pricing','{"actor":"slack:T0LOCAL/U0BOB","after":null,"at":"2026-12-02T05:04:38.844688+00:00","before":null,"evidence":{"approvals":1,"by":{"groups":[],"name":"bob","roles":["lead"]},"choice":"approve","incumbent":3,"policy":"","reason":"better","requester":"slack:T0LOCAL/U0ALICE","required":1,"target":"Production","version":4},"model":"pricing","number":55,"origin":"slack","subject":"reveyw","tag":"person:request:voted","why":""}','bccebd85b77eda28ca996cc62fe3e683cb95c40a13fc26054d631d456f39de57','4a77fd4077916ee339fd3212c4c5b8ddda5e7335441f44785f2bef95ac7d091c');
INSERT INTO "audit_events" VALUES(56,'2026-12-02 05:04:38.846135','slack:T0LOCAL/U0BOB','registrar:request:approved','pricing','{"actor":"slack:T0LOCAL/U0BOB","after":"approved","at":"2026-12-02T05:04:38.846135+00:00","before":"pending","evidence":{"incumbent":3,"opened_at":"2026-12-02T05:04:36.691241+00:00","policy":"","reason":"better","requester":"slack:T0LOCAL/U0ALICE","seen":{"against":{},"gates":[],"metrics":{},"policy":"","rule":"d9df1aa35461f77c","validation":{}},"target":"Production","version":4},"model":"pricing","number":56,"origin":"registrar","subject":"reveyw","tag":"registrar:request:approved","why":""}','4a77fd4077916ee339fd3212c4c5b8ddda5e7335441f44785f2bef95ac7d091c','9da842b34c84d62357e7e8c4783d299a2126c17ac66bd3d90e0eddfa7a7f1e7f');
INSERT INTO "audit_events" VALUES(57,'2026-12-02 05:04:39.339176','slack:T0LOCAL/U0BOB','person:production:frozen','pricing','{"actor":"slack:T0LOCAL/U0BOB","after":null,"at":"2026-12-02T05:04:39.339176+00:00","before":null,"evidence":{"all":false,"by":{"groups":[],"name":"bob","roles":["lead"]},"until":null},"model":"pricing","number":57,"origin":"slack","subject":"freeze:rqkcma","tag":"person:production:frozen","why":"end of quarter"}','9da842b34c84d62357e7e8c4783d299a2126c17ac66bd3d90e0eddfa7a7f1e7f','74c9144db690d7828fc13a50b4a487ae31429f143f84eba960a50c8695a7b70c');
INSERT INTO "audit_events" VALUES(58,'2026-12-02 05:05:40.981981','slack:T0LOCAL/U0BOB','person:request:voted','ranking','{"actor":"slack:T0LOCAL/U0BOB","after":null,"at":"2026-12-02T05:05:40.981981+00:00","before":null,"evidence":{"approvals":1,"by":{"groups":[],"name":"bob","roles":["lead"]},"choice":"approve","incumbent":3,"policy":"","reason":"better","requester":"slack:T0LOCAL/U0ALICE","required":1,"target":"Production","version":4},"model":"ranking","number":58,"origin":"slack","subject":"rxasmu","tag":"person:request:voted","why":""}','74c9144db690d7828fc13a50b4a487ae31429f143f84eba960a50c8695a7b70c','3e006b39cb1797262e6cd340b59f47e13abe412ceb5a213da6e18d07eb7c6bd2');
INSERT INTO "audit_events" VALUES(59,'2026-12-02 05:05:40.983767','slack:T0LOCAL/U0BOB','registrar:request:approved','ranking','{"actor":"slack:T0LOCAL/U0BOB","after":"approved","at":"2026-12-02T05:05:40.983767+00:00","before":"pending","evidence":{"incumbent":3,"opened_at":"2026-12-02T05:04:37.178269+00:00","policy":"","reason":"better","requester":"slack:T0LOCAL/U0ALICE","seen":{"against":{},"gates":[],"metrics":{},"policy":"","rule":"d9df1aa35461f77c","validation":{}},"target":"Production","version":4},"model":"ranking","number":59,"origin":"registrar","subject":"rxasmu","tag":"registrar:request:approved","why":""}','3e006b39cb1797262e6cd340b59f47e13abe412ceb5a213da6e18d07eb7c6bd2','9b5918e0a7be9d0e4bac736529a3afc442aa4f4411b9ecca69ef52b97a34fbe2');
INSERT INTO "audit_events" VALUES(60,'2026-12-02 05:05:41.475846','slack:T0LOCAL/U0CAROL','person:request:voted','billing','{"actor":"slack:T0LOCAL/U0CAROL","after":null,"at":"2026-12-02T05:05:41.475846+00:00","before":null,"evidence":{"approvals":0,"by":{"groups":[],"name":"carol","roles":["lead"]},"choice":"reject","incumbent":3,"policy":"","reason":"better","requester":"slack:T0LOCAL/U0ALICE","required":1,"target":"Production","version":4},"model":"billing","number":60,"origin":"slack","subject":"rr52h9","tag":"person:request:voted","why":"too slow"}','9b5918e0a7be9d0e4bac736529a3afc442aa4f4411b9ecca69ef52b97a34fbe2','cd4c09808b7bb8fde498f5142367348592d73dbf3e82722cfcdc98df72d23ef6');
INSERT INTO "audit_events" VALUES(61,'2026-12-02 05:05:41.476702','slack:T0LOCAL/U0CAROL','registrar:request:rejected','billing','{"actor":"slack:T0LOCAL/U0CAROL","after":"rejected","at":"2026-12-02T05:05:41.476702+00:00","before":"pending","evidence":{"incumbent":3,"opened_at":"2026-12-02T05:04:35.791686+00:00","policy":"","reason":"better","requester":"slack:T0LOCAL/U0ALICE","target":"Production","version":4},"model":"billing","number":61,"origin":"registrar","subject":"rr52h9","tag":"registrar:request:rejected","why":"too slow"}','cd4c09808b7bb8fde498f5142367348592d73dbf3e82722cfcdc98df72d23ef6','e4a28b72e2b5e87b7d86249e480d0d5d09e93e6069b98401218bf1dbb941421b');
INSERT INTO "audit_events" VALUES(62,'2026-12-02 05:05:41.633995','slack:T0LOCAL/U0ALICE','person:promotion:asked','reports','{"actor":"slack:T0LOCAL/U0ALICE","after":null,"at":"2026-12-02T05:05:41.633995+00:00","before":null,"evidence":{"break_glass":false,"by":{"groups":[],"name":"alice","roles":[]},"keep_existing":false,"model":"reports","reason":"","to":"Production","validation":[],"verb":"promote","version":"v4"},"model":"reports","number":62,"origin":"slack","subject":"ask:rrs5uc","tag":"person:promotion:asked","why":""}','e4a28b72e2b5e87b7d86249e480d0d5d09e93e6069b98401218bf1dbb941421b','9197da70e29ad44e8ad1c18b15e90369a1f979b320418ed144be747f464ab45a');
CREATE TABLE audit_head (
	id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	hash TEXT NOT NULL, 
	CONSTRAINT pk_audit_head PRIMARY KEY (id), 
	CONSTRAINT ck_audit_head_one CHECK (id = 1)
);
INSERT INTO "audit_head" VALUES(1,62,'9197da70e29ad44e8ad1c18b15e90369a1f979b320418ed144be747f464ab45a');
CREATE TABLE bars (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	id TEXT NOT NULL, 
	model TEXT NOT NULL, 
	version INTEGER NOT NULL, 
	move TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	"by" TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	cleared_at DATETIME, 
	cleared_by TEXT, 
	clear_reason TEXT NOT NULL, 
	CONSTRAINT uq_bars_id UNIQUE (id)
);
INSERT INTO "bars" VALUES(1,'rzauz3','churn',5,'rollback:churn:promotion:rqrpes','2026-12-02 05:04:30.108242','automation:automated-monitor','accuracy-live: 0.42 is not greater than 0.85.',NULL,NULL,'');
CREATE TABLE breakers (
	model TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	why TEXT NOT NULL, 
	CONSTRAINT pk_breakers PRIMARY KEY (model)
);
CREATE TABLE calls (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	client TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	status INTEGER NOT NULL, 
	answer TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	CONSTRAINT uq_calls_client_key UNIQUE (client, "key")
);
CREATE TABLE copies (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	id TEXT NOT NULL, 
	model TEXT NOT NULL, 
	version INTEGER NOT NULL, 
	tags TEXT NOT NULL, 
	line TEXT NOT NULL, 
	alias TEXT NOT NULL, 
	attempts INTEGER NOT NULL, 
	is_done BOOLEAN NOT NULL, 
	not_before DATETIME, 
	why TEXT NOT NULL, lane TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT uq_copies_id UNIQUE (id)
);
INSERT INTO "copies" VALUES(1,'rb9dmw:opened','churn',4,'{"approval_status":"production_requested","production_requester":"U0ALICE","request_date":"2026-11-30T23:04:19+00:00","request_reason":"better","requester":"U0ALICE"}','','',0,1,'2026-11-30 23:05:20.632634','','');
INSERT INTO "copies" VALUES(2,'rb9dmw:done','churn',4,'{"approval_date":"2026-11-30T23:04:20+00:00","approval_status":"approved_production","approver":"U0BOB","production_approver":"U0BOB","production_date":"2026-11-30T23:04:20+00:00","promoted_by":"U0BOB","promotion_date":"2026-11-30T23:04:20+00:00"}','Promoted to Production by U0BOB on 2026-11-30 (request rb9dmw)','',0,1,'2026-11-30 23:05:21.001093','','');
INSERT INTO "copies" VALUES(3,'rxqmze:opened','mail',4,'{"approval_status":"production_requested","production_requester":"U0ALICE","request_date":"2026-11-30T23:04:21+00:00","request_reason":"better","requester":"U0ALICE"}','','',0,1,'2026-11-30 23:05:21.979853','','');
INSERT INTO "copies" VALUES(4,'rxqmze:done','mail',4,'{"approval_date":"2026-11-30T23:04:21+00:00","approval_status":"approved_production","approver":"U0BOB","production_approver":"U0BOB","production_date":"2026-11-30T23:04:21+00:00","promoted_by":"U0BOB","promotion_date":"2026-11-30T23:04:21+00:00"}','Promoted to Production by U0BOB on 2026-11-30 (request rxqmze)','',0,1,'2026-11-30 23:05:22.158223','','');
INSERT INTO "copies" VALUES(5,'r57qm5:opened','leads',4,'{"approval_status":"production_requested","production_requester":"U0ALICE","request_date":"2026-11-30T23:04:22+00:00","request_reason":"better","requester":"U0ALICE"}','','',0,1,'2026-11-30 23:05:22.328311','','');
INSERT INTO "copies" VALUES(6,'r57qm5:done','leads',4,'{"approval_date":"2026-11-30T23:04:22+00:00","approval_status":"approved_production","approver":"U0BOB","production_approver":"U0BOB","production_date":"2026-11-30T23:04:22+00:00","promoted_by":"U0BOB","promotion_date":"2026-11-30T23:04:22+00:00"}','Promoted to Production by U0BOB on 2026-11-30 (request r57qm5)','',0,1,'2026-11-30 23:05:23.010309','','');
INSERT INTO "copies" VALUES(7,'rqrpes:opened','churn',5,'{"approval_status":"production_requested","production_requester":"U0ALICE","request_date":"2026-12-02T05:04:27+00:00","request_reason":"better","requester":"U0ALICE"}','','',0,1,'2026-12-02 05:05:28.579197','','');
INSERT INTO "copies" VALUES(8,'rqrpes:done','churn',5,'{"approval_date":"2026-12-02T05:04:28+00:00","approval_status":"approved_production","approver":"U0BOB","production_approver":"U0BOB","production_date":"2026-12-02T05:04:28+00:00","promoted_by":"U0BOB","promotion_date":"2026-12-02T05:04:28+00:00"}','Promoted to Production by U0BOB on 2026-12-02 (request rqrpes)','',0,1,'2026-12-02 05:05:28.833552','','');
INSERT INTO "copies" VALUES(9,'rollback:churn:promotion:rqrpes:out','churn',5,'{"rollback_date":"2026-12-02T05:04:30+00:00","rollback_reason":"accuracy-live: 0.42 is not greater than 0.85.","rolled_back_by":"automated-monitor"}','','',0,1,'2026-12-02 05:05:30.441713','','');
INSERT INTO "copies" VALUES(10,'rollback:churn:promotion:rqrpes:in','churn',4,'{"restoration_date":"2026-12-02T05:04:30+00:00","restored_by":"automated-monitor","restored_to_production":"true"}','','',0,1,'2026-12-02 05:05:30.601689','','rkpkz5');
INSERT INTO "copies" VALUES(11,'rbh6jc:opened','fraud',4,'{"approval_status":"production_requested","production_requester":"U0ALICE","request_date":"2026-12-02T05:04:34+00:00","request_reason":"better","requester":"U0ALICE"}','','',0,1,'2026-12-02 05:05:34.620427','','');
INSERT INTO "copies" VALUES(12,'r5cgec:opened','search',4,'{"approval_status":"production_requested","production_requester":"U0ALICE","request_date":"2026-12-02T05:04:35+00:00","request_reason":"better","requester":"U0ALICE"}','','',0,1,'2026-12-02 05:05:36.608164','','');
INSERT INTO "copies" VALUES(13,'rr52h9:opened','billing',4,'{"approval_status":"production_requested","production_requester":"U0ALICE","request_date":"2026-12-02T05:04:35+00:00","request_reason":"better","requester":"U0ALICE"}','','',0,1,'2026-12-02 05:05:36.711459','','');
INSERT INTO "copies" VALUES(14,'rnt2pn:opened','two-eyes',4,'{"approval_status":"production_requested","production_requester":"U0ALICE","request_date":"2026-12-02T05:04:36+00:00","request_reason":"better","requester":"U0ALICE"}','','',0,1,'2026-12-02 05:05:36.817637','','');
INSERT INTO "copies" VALUES(15,'reveyw:opened','pricing',4,'{"approval_status":"production_requested","production_requester":"U0ALICE","request_date":"2026-12-02T05:04:36+00:00","request_reason":"better","requester":"U0ALICE"}','','',0,1,'2026-12-02 05:05:36.951853','','');
INSERT INTO "copies" VALUES(16,'rxasmu:opened','ranking',4,'{"approval_status":"production_requested","production_requester":"U0ALICE","request_date":"2026-12-02T05:04:37+00:00","request_reason":"better","requester":"U0ALICE"}','','',0,1,'2026-12-02 05:05:38.616552','','');
INSERT INTO "copies" VALUES(17,'rr52h9:rejected','billing',4,'{"approval_status":"rejected"}','','',0,0,NULL,'','');
CREATE TABLE findings (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	id TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	model TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	versions TEXT NOT NULL, 
	lines TEXT NOT NULL, 
	"by" TEXT, 
	mend INTEGER, 
	stage TEXT NOT NULL, 
	mended_by TEXT, 
	mended_at DATETIME, 
	CONSTRAINT uq_findings_id UNIQUE (id)
);
INSERT INTO "findings" VALUES(1,'rdv4y4','changed','vision','2026-11-30 23:04:22.835220','[]','[{"args":{"now":{"text":"Archived"},"v":{"code":"v3"},"was":{"text":"Production"}},"template":"{v} went from {was} to {now}."},{"args":{"now":{"text":"Production"},"v":{"code":"v4"},"was":{"text":"no stage"}},"template":"{v} went from {was} to {now}."},{"args":{"alias":{"code":"@champion"},"holder":{"code":"v4"},"named":{"code":"v3"},"stage":{"text":"Production"}},"template":"{alias} names {named}, but {holder} is in {stage}."}]',NULL,4,'Production',NULL,NULL);
CREATE TABLE freezes (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	id TEXT NOT NULL, 
	model TEXT, 
	"by" TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	until DATETIME, 
	lifted_at DATETIME, 
	lifted_by TEXT, 
	CONSTRAINT uq_freezes_id UNIQUE (id)
);
INSERT INTO "freezes" VALUES(1,'rqkcma','pricing','slack:T0LOCAL/U0BOB','end of quarter','2026-12-02 05:04:39.336046',NULL,NULL,NULL);
CREATE TABLE incidents (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	id TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	model TEXT NOT NULL, 
	source TEXT NOT NULL, 
	version INTEGER, 
	move TEXT, 
	monitors TEXT NOT NULL, 
	opened_at DATETIME NOT NULL, 
	since DATETIME NOT NULL, 
	lines TEXT NOT NULL, 
	doing TEXT NOT NULL, 
	why TEXT, 
	target INTEGER, 
	"rollback" TEXT, 
	acknowledged_by TEXT, 
	acknowledged_at DATETIME, 
	told_at DATETIME, 
	repeated_at DATETIME, 
	resolved_at DATETIME, 
	resolution TEXT, 
	CONSTRAINT uq_incidents_id UNIQUE (id)
);
INSERT INTO "incidents" VALUES(1,'rkpkz5','failed','churn','',5,'promotion:rqrpes','["accuracy-live"]','2026-12-02 05:04:29.542637','2026-12-02 05:04:29.542637','[{"args":{"monitor":{"code":"accuracy-live"},"why":{"say":{"args":{"bound":{"text":"0.85"},"value":{"text":"0.42"}},"template":"{value} is not greater than {bound}."}}},"template":"{monitor}: {why}"}]','rolled back',NULL,4,'rollback:churn:promotion:rqrpes',NULL,NULL,'2026-12-02 05:04:29.542637',NULL,'2026-12-02 05:04:30.641634','{"args":{"bad":{"code":"v5"},"since":{"time":"2026-12-02T05:04:30.108242+00:00"},"v":{"code":"v4"}},"template":"Restored: {v} has served since {since}, {bad} is barred."}');
INSERT INTO "incidents" VALUES(2,'rtxbpg','failed','leads','',4,'promotion:r57qm5','["accuracy-live"]','2026-12-02 05:04:29.660631','2026-12-02 05:04:29.660631','[{"args":{"monitor":{"code":"accuracy-live"},"why":{"say":{"args":{"bound":{"text":"0.85"},"value":{"text":"0.42"}},"template":"{value} is not greater than {bound}."}}},"template":"{monitor}: {why}"}]','awaiting human',NULL,3,NULL,NULL,NULL,'2026-12-02 05:04:29.660631',NULL,NULL,NULL);
CREATE TABLE leases (
	name TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	until DATETIME NOT NULL, 
	CONSTRAINT pk_leases PRIMARY KEY (name)
);
CREATE TABLE looks (
	model TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	updated_at DATETIME, 
	stages TEXT NOT NULL, 
	aliases TEXT NOT NULL, 
	"after" TEXT, 
	CONSTRAINT pk_looks PRIMARY KEY (model)
);
INSERT INTO "looks" VALUES('billing','2026-11-29 17:04:18.823472','2026-11-29 17:04:10.263750','{"Archived":[1],"None":[2,4,5],"Production":[3],"Staging":[]}','{"champion":3}','observed:rnuvt9');
INSERT INTO "looks" VALUES('churn','2026-12-02 05:04:30.713181','2026-12-02 05:04:30.098860','{"Archived":[1,3,5],"None":[2],"Production":[4],"Staging":[]}','{"champion":4}','rollback:churn:promotion:rqrpes');
INSERT INTO "looks" VALUES('fraud','2026-11-29 17:04:19.135002','2026-11-29 17:04:10.262944','{"Archived":[1],"None":[2,4,5],"Production":[3],"Staging":[]}','{"champion":3}','observed:ryfk3s');
INSERT INTO "looks" VALUES('leads','2026-12-02 05:04:23.135586','2026-11-30 23:04:22.759257','{"Archived":[1,3],"None":[2,5],"Production":[4],"Staging":[]}','{"champion":4}','promotion:r57qm5');
INSERT INTO "looks" VALUES('mail','2026-11-30 23:04:22.388878','2026-11-30 23:04:21.842253','{"Archived":[1,3],"None":[2,5],"Production":[4],"Staging":[]}','{"champion":4}','promotion:rxqmze');
INSERT INTO "looks" VALUES('pricing','2026-11-29 17:04:19.187192','2026-11-29 17:04:10.263458','{"Archived":[1],"None":[2,4,5],"Production":[3],"Staging":[]}','{"champion":3}','observed:r9cfrr');
INSERT INTO "looks" VALUES('ranking','2026-11-29 17:04:19.220086','2026-11-29 17:04:10.263601','{"Archived":[1],"None":[2,4,5],"Production":[3],"Staging":[]}','{"champion":3}','observed:rn2ct9');
INSERT INTO "looks" VALUES('reports','2026-11-29 17:04:19.267021','2026-11-29 17:04:10.263917','{"Archived":[1],"None":[2,4,5],"Production":[3],"Staging":[]}','{"champion":3}','observed:rgrtkz');
INSERT INTO "looks" VALUES('search','2026-11-29 17:04:19.312607','2026-11-29 17:04:10.263254','{"Archived":[1],"None":[2,4,5],"Production":[3],"Staging":[]}','{"champion":3}','observed:rqvru7');
INSERT INTO "looks" VALUES('two-eyes','2026-11-29 17:04:19.347313','2026-11-29 17:04:10.263112','{"Archived":[1],"None":[2,4,5],"Production":[3],"Staging":[]}','{"champion":3}','observed:rtmdvm');
INSERT INTO "looks" VALUES('vision','2026-11-30 23:04:22.835220','2026-11-30 23:04:22.830953','{"Archived":[1,3],"None":[2,5],"Production":[4],"Staging":[]}','{"champion":3}','observed:r272d4');
INSERT INTO "looks" VALUES('','2026-11-29 17:04:19.449248',NULL,'{"Archived":[],"None":[],"Production":[],"Staging":[]}','{}',NULL);
CREATE TABLE measurements (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	monitor TEXT NOT NULL, 
	slot INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	revision INTEGER NOT NULL, 
	version INTEGER, 
	move TEXT, 
	outcome TEXT, 
	value DOUBLE, 
	points INTEGER NOT NULL, 
	why TEXT, 
	claimed_by TEXT, 
	claimed_until DATETIME, 
	CONSTRAINT uq_measurements_monitor_slot UNIQUE (monitor, slot)
);
INSERT INTO "measurements" VALUES(1,'rhsm7r',1,'2026-12-02 05:04:26.067350',1,4,'promotion:rb9dmw','no data',NULL,0,'{"args":{},"template":"There are no readings."}',NULL,NULL);
INSERT INTO "measurements" VALUES(2,'rum9un',1,'2026-12-02 05:04:26.251269',1,4,'promotion:r57qm5','no data',NULL,0,'{"args":{},"template":"There are no readings."}',NULL,NULL);
INSERT INTO "measurements" VALUES(3,'mr2jmfb',1,'2026-12-02 05:04:27.162916',1,4,'promotion:rxqmze','no data',NULL,0,'{"args":{},"template":"There are no readings."}',NULL,NULL);
INSERT INTO "measurements" VALUES(4,'mr2jmfb',2,'2026-12-02 05:04:27.426194',1,4,'promotion:rxqmze','ok',0.95,1,'{"args":{"bound":{"text":"0.85"},"value":{"text":"0.95"}},"template":"{value} is greater than {bound}."}',NULL,NULL);
INSERT INTO "measurements" VALUES(5,'rhsm7r',2,'2026-12-02 05:04:29.542637',1,5,'promotion:rqrpes','failed',0.42,1,'{"args":{"bound":{"text":"0.85"},"value":{"text":"0.42"}},"template":"{value} is not greater than {bound}."}',NULL,NULL);
INSERT INTO "measurements" VALUES(6,'mr2jmfb',3,'2026-12-02 05:04:29.660631',1,4,'promotion:rxqmze','ok',0.95,1,'{"args":{"bound":{"text":"0.85"},"value":{"text":"0.95"}},"template":"{value} is greater than {bound}."}',NULL,NULL);
INSERT INTO "measurements" VALUES(7,'rum9un',2,'2026-12-02 05:04:29.660631',1,4,'promotion:r57qm5','failed',0.42,1,'{"args":{"bound":{"text":"0.85"},"value":{"text":"0.42"}},"template":"{value} is not greater than {bound}."}',NULL,NULL);
INSERT INTO "measurements" VALUES(8,'rum9un',3,'2026-12-02 05:04:30.528757',1,4,'promotion:r57qm5','failed',0.42,1,'{"args":{"bound":{"text":"0.85"},"value":{"text":"0.42"}},"template":"{value} is not greater than {bound}."}',NULL,NULL);
INSERT INTO "measurements" VALUES(9,'mr2jmfb',4,'2026-12-02 05:05:39.635416',1,4,'promotion:rxqmze','no data',NULL,0,'{"args":{},"template":"There are no readings."}',NULL,NULL);
INSERT INTO "measurements" VALUES(10,'rhsm7r',3,'2026-12-02 05:05:39.635416',1,4,'rollback:churn:promotion:rqrpes','no data',NULL,0,'{"args":{},"template":"There are no readings."}',NULL,NULL);
INSERT INTO "measurements" VALUES(11,'rum9un',4,'2026-12-02 05:05:39.635416',1,4,'promotion:r57qm5','no data',NULL,0,'{"args":{},"template":"There are no readings."}',NULL,NULL);
CREATE TABLE monitors (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	id TEXT NOT NULL, 
	model TEXT NOT NULL, 
	name TEXT NOT NULL, 
	rule TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	created_by TEXT, 
	revision INTEGER NOT NULL, 
	is_paused BOOLEAN NOT NULL, 
	armed_at DATETIME, 
	armed_by TEXT, 
	removed_at DATETIME, 
	silenced_until DATETIME, 
	silenced_by TEXT, 
	silence_reason TEXT NOT NULL, measured_from INTEGER DEFAULT '1' NOT NULL, 
	CONSTRAINT uq_monitors_id UNIQUE (id)
);
INSERT INTO "monitors" VALUES(1,'rhsm7r','churn','accuracy-live','{"action":"auto","aggregate":null,"alpha":0.01,"baseline":"previous","cooldown":"21600s","direction":null,"error":4,"every":"10s","fail_after":1,"greater_than":0.85,"hard_limit":null,"history":"604800s","hysteresis":0.5,"label_delay":"0s","less_than":null,"max_age":null,"max_auto":1,"min_effect":0.02,"min_points":null,"min_served":"86400s","name":"accuracy-live","no_data":3,"query":"accuracy","recover_after":3,"retries":2,"rule":"threshold","sigma":3.0,"source":"live","timeout":"10s","warmup":"0s","window":"3600s"}','2026-12-02 05:04:24.897048',NULL,1,0,NULL,NULL,NULL,NULL,NULL,'',1);
INSERT INTO "monitors" VALUES(2,'rum9un','leads','accuracy-live','{"action":"ask","aggregate":null,"alpha":0.01,"baseline":"previous","cooldown":"21600s","direction":null,"error":4,"every":"10s","fail_after":1,"greater_than":0.85,"hard_limit":null,"history":"604800s","hysteresis":0.5,"label_delay":"0s","less_than":null,"max_age":null,"max_auto":1,"min_effect":0.02,"min_points":null,"min_served":"86400s","name":"accuracy-live","no_data":3,"query":"accuracy","recover_after":3,"retries":2,"rule":"threshold","sigma":3.0,"source":"live","timeout":"10s","warmup":"0s","window":"3600s"}','2026-12-02 05:04:24.897048',NULL,1,0,NULL,NULL,NULL,NULL,NULL,'',1);
INSERT INTO "monitors" VALUES(3,'mr2jmfb','mail','drift','{"action":"auto","aggregate":null,"alpha":0.01,"baseline":"previous","cooldown":"21600s","direction":null,"error":4,"every":"10s","fail_after":1,"greater_than":0.85,"hard_limit":null,"history":"604800s","hysteresis":0.5,"label_delay":"0s","less_than":null,"max_age":null,"max_auto":1,"min_effect":0.02,"min_points":null,"min_served":"86400s","name":"drift","no_data":3,"query":"accuracy","recover_after":3,"retries":2,"rule":"threshold","sigma":3.0,"source":"live","timeout":"10s","warmup":"0s","window":"3600s"}','2026-12-02 05:04:25.593761','slack:T0LOCAL/U0BOB',1,0,'2026-12-02 05:04:27.608588','slack:T0LOCAL/U0DAVE',NULL,NULL,NULL,'',1);
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
	not_before DATETIME, finding TEXT, reason TEXT DEFAULT '' NOT NULL, incident TEXT, is_forced BOOLEAN DEFAULT 0 NOT NULL, 
	CONSTRAINT uq_moves_id UNIQUE (id), 
	CONSTRAINT fk_moves_request FOREIGN KEY(request) REFERENCES requests (id)
);
INSERT INTO "moves" VALUES(1,'observed:rnuvt9','observed','billing',3,'None','Production',NULL,'automation:registry-poll','2026-11-29 17:04:18.884100',NULL,0,'done',0,'2026-11-29 17:04:18.884100','in Production before Registrar looked',NULL,NULL,NULL,NULL,'',NULL,0);
INSERT INTO "moves" VALUES(2,'observed:rarnb2','observed','churn',3,'None','Production',NULL,'automation:registry-poll','2026-11-29 17:04:19.038652',NULL,0,'done',0,'2026-11-29 17:04:19.038652','in Production before Registrar looked',NULL,NULL,NULL,NULL,'',NULL,0);
INSERT INTO "moves" VALUES(3,'observed:ryfk3s','observed','fraud',3,'None','Production',NULL,'automation:registry-poll','2026-11-29 17:04:19.146751',NULL,0,'done',0,'2026-11-29 17:04:19.146751','in Production before Registrar looked',NULL,NULL,NULL,NULL,'',NULL,0);
INSERT INTO "moves" VALUES(4,'observed:rj5kj8','observed','leads',3,'None','Production',NULL,'automation:registry-poll','2026-11-29 17:04:19.159165',NULL,0,'done',0,'2026-11-29 17:04:19.159165','in Production before Registrar looked',NULL,NULL,NULL,NULL,'',NULL,0);
INSERT INTO "moves" VALUES(5,'observed:rrjaau','observed','mail',3,'None','Production',NULL,'automation:registry-poll','2026-11-29 17:04:19.182924',NULL,0,'done',0,'2026-11-29 17:04:19.182924','in Production before Registrar looked',NULL,NULL,NULL,NULL,'',NULL,0);
INSERT INTO "moves" VALUES(6,'observed:r9cfrr','observed','pricing',3,'None','Production',NULL,'automation:registry-poll','2026-11-29 17:04:19.202228',NULL,0,'done',0,'2026-11-29 17:04:19.202228','in Production before Registrar looked',NULL,NULL,NULL,NULL,'',NULL,0);
INSERT INTO "moves" VALUES(7,'observed:rn2ct9','observed','ranking',3,'None','Production',NULL,'automation:registry-poll','2026-11-29 17:04:19.236600',NULL,0,'done',0,'2026-11-29 17:04:19.236600','in Production before Registrar looked',NULL,NULL,NULL,NULL,'',NULL,0);
INSERT INTO "moves" VALUES(8,'observed:rgrtkz','observed','reports',3,'None','Production',NULL,'automation:registry-poll','2026-11-29 17:04:19.275715',NULL,0,'done',0,'2026-11-29 17:04:19.275715','in Production before Registrar looked',NULL,NULL,NULL,NULL,'',NULL,0);
INSERT INTO "moves" VALUES(9,'observed:rqvru7','observed','search',3,'None','Production',NULL,'automation:registry-poll','2026-11-29 17:04:19.335185',NULL,0,'done',0,'2026-11-29 17:04:19.335185','in Production before Registrar looked',NULL,NULL,NULL,NULL,'',NULL,0);
INSERT INTO "moves" VALUES(10,'observed:rtmdvm','observed','two-eyes',3,'None','Production',NULL,'automation:registry-poll','2026-11-29 17:04:19.348059',NULL,0,'done',0,'2026-11-29 17:04:19.348059','in Production before Registrar looked',NULL,NULL,NULL,NULL,'',NULL,0);
INSERT INTO "moves" VALUES(11,'observed:r7d3vk','observed','vision',3,'None','Production',NULL,'automation:registry-poll','2026-11-29 17:04:19.379895',NULL,0,'done',0,'2026-11-29 17:04:19.379895','in Production before Registrar looked',NULL,NULL,NULL,NULL,'',NULL,0);
INSERT INTO "moves" VALUES(12,'promotion:rb9dmw','promotion','churn',4,'None','Production',3,'slack:T0LOCAL/U0BOB','2026-11-30 23:04:20.349287','rb9dmw',0,'done',1,'2026-11-30 23:04:20.646071','',NULL,NULL,NULL,NULL,'',NULL,0);
INSERT INTO "moves" VALUES(13,'promotion:rxqmze','promotion','mail',4,'None','Production',3,'slack:T0LOCAL/U0BOB','2026-11-30 23:04:21.769411','rxqmze',0,'done',1,'2026-11-30 23:04:21.867526','',NULL,NULL,NULL,NULL,'',NULL,0);
INSERT INTO "moves" VALUES(14,'promotion:r57qm5','promotion','leads',4,'None','Production',3,'slack:T0LOCAL/U0BOB','2026-11-30 23:04:22.553699','r57qm5',0,'done',1,'2026-11-30 23:04:22.760039','',NULL,NULL,NULL,NULL,'',NULL,0);
INSERT INTO "moves" VALUES(15,'observed:r272d4','observed','vision',4,'None','Production',3,'automation:registry-poll','2026-11-30 23:04:22.858364',NULL,0,'done',0,'2026-11-30 23:04:22.858364','',NULL,NULL,NULL,NULL,'',NULL,0);
INSERT INTO "moves" VALUES(16,'promotion:rqrpes','promotion','churn',5,'None','Production',4,'slack:T0LOCAL/U0BOB','2026-12-02 05:04:28.122523','rqrpes',0,'done',1,'2026-12-02 05:04:28.312614','',NULL,NULL,NULL,NULL,'',NULL,0);
INSERT INTO "moves" VALUES(17,'rollback:churn:promotion:rqrpes','rollback','churn',4,'Archived','Production',5,'automation:automated-monitor','2026-12-02 05:04:29.542637',NULL,0,'done',1,'2026-12-02 05:04:30.108242','',NULL,NULL,NULL,NULL,'accuracy-live: 0.42 is not greater than 0.85.','rkpkz5',0);
INSERT INTO "moves" VALUES(18,'promotion:reveyw','promotion','pricing',4,'None','Production',3,'slack:T0LOCAL/U0BOB','2026-12-02 05:04:38.845247','reveyw',0,'intended',2,NULL,'',NULL,NULL,'2026-12-02 05:05:50.632020',NULL,'',NULL,0);
INSERT INTO "moves" VALUES(19,'promotion:rxasmu','promotion','ranking',4,'None','Production',3,'slack:T0LOCAL/U0BOB','2026-12-02 05:05:40.982842','rxasmu',0,'executing',1,NULL,'','yesterday/000000:1:a','2026-12-02 05:06:41.037817',NULL,NULL,'',NULL,0);
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
	why TEXT NOT NULL, claimed_by TEXT, claimed_until DATETIME, 
	CONSTRAINT uq_notes_key UNIQUE ("key")
);
INSERT INTO "notes" VALUES(1,'card:rb9dmw:opened','rb9dmw','card','#ml-models','{}',1,1,'2026-11-29 17:04:19.891407','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(2,'news:rb9dmw:vote:U0BOB','rb9dmw','news','','{"say":{"args":{"all":{"int":1},"n":{"int":1},"who":{"mention":"U0BOB"}},"template":"{who} approved: {n} of {all}."}}',1,1,'2026-11-29 17:04:20.349027','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(3,'card:rb9dmw:approved','rb9dmw','card','#ml-models','{}',1,1,'2026-11-29 17:04:20.398707','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(4,'card:rb9dmw:done','rb9dmw','card','#ml-models','{}',1,1,'2026-11-29 17:04:20.852613','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(5,'news:rb9dmw:done','rb9dmw','news','','{"say":{"args":{"model":{"name":"churn"},"path":{"say":{"args":{"old":{"code":"v3"},"stage":{"text":"Production"},"v":{"code":"v4"}},"template":"{old} → {v} in {stage}"}}},"template":"Done: {model} {path}, read back from MLflow."}}',1,1,'2026-11-29 17:04:20.852992','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(6,'direct:rb9dmw:done','rb9dmw:direct','direct','U0ALICE','{"say":{"args":{"model":{"name":"churn"},"path":{"say":{"args":{"old":{"code":"v3"},"stage":{"text":"Production"},"v":{"code":"v4"}},"template":"{old} → {v} in {stage}"}}},"template":"Done: {model} {path}, read back from MLflow."}}',1,1,'2026-11-29 17:04:20.853269','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(7,'card:rxqmze:opened','rxqmze','card','#ml-models','{}',1,1,'2026-11-29 17:04:21.320201','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(8,'news:rxqmze:vote:U0BOB','rxqmze','news','','{"say":{"args":{"all":{"int":1},"n":{"int":1},"who":{"mention":"U0BOB"}},"template":"{who} approved: {n} of {all}."}}',1,1,'2026-11-29 17:04:21.769012','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(9,'card:rxqmze:approved','rxqmze','card','#ml-models','{}',1,1,'2026-11-29 17:04:21.780818','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(10,'card:rxqmze:done','rxqmze','card','#ml-models','{}',1,1,'2026-11-29 17:04:21.869726','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(11,'news:rxqmze:done','rxqmze','news','','{"say":{"args":{"model":{"name":"mail"},"path":{"say":{"args":{"old":{"code":"v3"},"stage":{"text":"Production"},"v":{"code":"v4"}},"template":"{old} → {v} in {stage}"}}},"template":"Done: {model} {path}, read back from MLflow."}}',1,1,'2026-11-29 17:04:21.877508','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(12,'direct:rxqmze:done','rxqmze:direct','direct','U0ALICE','{"say":{"args":{"model":{"name":"mail"},"path":{"say":{"args":{"old":{"code":"v3"},"stage":{"text":"Production"},"v":{"code":"v4"}},"template":"{old} → {v} in {stage}"}}},"template":"Done: {model} {path}, read back from MLflow."}}',1,1,'2026-11-29 17:04:21.878303','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(13,'card:r57qm5:opened','r57qm5','card','#ml-models','{}',1,1,'2026-11-29 17:04:22.094112','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(14,'news:r57qm5:vote:U0BOB','r57qm5','news','','{"say":{"args":{"all":{"int":1},"n":{"int":1},"who":{"mention":"U0BOB"}},"template":"{who} approved: {n} of {all}."}}',1,1,'2026-11-29 17:04:22.551293','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(15,'card:r57qm5:approved','r57qm5','card','#ml-models','{}',1,1,'2026-11-29 17:04:22.554781','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(16,'card:r57qm5:done','r57qm5','card','#ml-models','{}',1,1,'2026-11-29 17:04:22.813483','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(17,'news:r57qm5:done','r57qm5','news','','{"say":{"args":{"model":{"name":"leads"},"path":{"say":{"args":{"old":{"code":"v3"},"stage":{"text":"Production"},"v":{"code":"v4"}},"template":"{old} → {v} in {stage}"}}},"template":"Done: {model} {path}, read back from MLflow."}}',1,1,'2026-11-29 17:04:22.816283','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(18,'direct:r57qm5:done','r57qm5:direct','direct','U0ALICE','{"say":{"args":{"model":{"name":"leads"},"path":{"say":{"args":{"old":{"code":"v3"},"stage":{"text":"Production"},"v":{"code":"v4"}},"template":"{old} → {v} in {stage}"}}},"template":"Done: {model} {path}, read back from MLflow."}}',1,1,'2026-11-29 17:04:22.816613','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(19,'notice:rdv4y4:found','rdv4y4','notice','#ml-models','{}',1,1,'2026-11-29 17:04:22.910193','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(20,'said:monitor:mr2jmfb:added','said:monitor:mr2jmfb:added','said','#ml-models','{"say":{"args":{"it":{"say":{"args":{"model":{"name":"mail"},"name":{"code":"drift"}},"template":"{model} {name}"}},"what":{"say":{"args":{"part0":{"say":{"args":{"what":{"say":{"args":{"part0":{"say":{"args":{"sides":{"say":{"args":{"part0":{"say":{"args":{"bound":{"text":"0.85"}},"template":"at most {bound}"}}},"template":"{part0}"}},"times":{"say":{"args":{},"template":""}},"value":{"say":{"args":{"query":{"code":"accuracy"}},"template":"{query}"}}},"template":"{value} is {sides}{times}"}}},"template":"{part0}"}}},"template":"Fails when {what}."}},"part1":{"say":{"args":{"arm":{"code":"/model monitor arm mail drift"}},"template":"It is to roll back by itself, but until a second person arms it, it asks: {arm}"}}},"template":"{part0} {part1}"}},"who":{"mention":"U0BOB"}},"template":"{who} added the monitor {it}. {what}"}}',1,1,'2026-11-29 17:04:25.619892','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(21,'said:monitor:mr2jmfb:armed:1:r9a3x2','said:monitor:mr2jmfb:armed:1:r9a3x2','said','#ml-models','{"say":{"args":{"it":{"say":{"args":{"model":{"name":"mail"},"name":{"code":"drift"}},"template":"{model} {name}"}},"who":{"mention":"U0DAVE"},"why":{"say":{"args":{"reason":{"text":"measured for weeks"}},"template":" It has not tried itself out first: {reason}"}}},"template":"{who} armed the monitor {it}: from now on it rolls back by itself.{why}"}}',1,1,'2026-11-29 17:04:27.644171','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(22,'card:rqrpes:opened','rqrpes','card','#ml-models','{}',1,1,'2026-11-29 17:04:27.885684','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(23,'news:rqrpes:vote:U0BOB','rqrpes','news','','{"say":{"args":{"all":{"int":1},"n":{"int":1},"who":{"mention":"U0BOB"}},"template":"{who} approved: {n} of {all}."}}',1,1,'2026-11-29 17:04:28.122025','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(24,'card:rqrpes:approved','rqrpes','card','#ml-models','{}',1,1,'2026-11-29 17:04:28.162646','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(25,'card:rqrpes:done','rqrpes','card','#ml-models','{}',1,1,'2026-11-29 17:04:28.378837','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(26,'news:rqrpes:done','rqrpes','news','','{"say":{"args":{"model":{"name":"churn"},"path":{"say":{"args":{"old":{"code":"v4"},"stage":{"text":"Production"},"v":{"code":"v5"}},"template":"{old} → {v} in {stage}"}}},"template":"Done: {model} {path}, read back from MLflow."}}',1,1,'2026-11-29 17:04:28.379387','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(27,'direct:rqrpes:done','rqrpes:direct','direct','U0ALICE','{"say":{"args":{"model":{"name":"churn"},"path":{"say":{"args":{"old":{"code":"v4"},"stage":{"text":"Production"},"v":{"code":"v5"}},"template":"{old} → {v} in {stage}"}}},"template":"Done: {model} {path}, read back from MLflow."}}',1,1,'2026-11-29 17:04:28.379711','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(28,'incident:rkpkz5:opened','rkpkz5','incident','#ml-models','{}',1,1,'2026-11-29 17:04:29.952779','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(29,'news:rkpkz5:opened','rkpkz5','news','','{"say":{"args":{"it":{"say":{"args":{"model":{"name":"churn"},"v":{"code":"v5"}},"template":"{model} {v}"}},"since":{"time":"2026-12-02T05:04:29.542637+00:00"},"what":{"say":{"args":{"part0":{"say":{"args":{"monitor":{"code":"accuracy-live"},"why":{"say":{"args":{"bound":{"text":"0.85"},"value":{"text":"0.42"}},"template":"{value} is not greater than {bound}."}}},"template":"{monitor}: {why}"}}},"template":"{part0}"}}},"template":"{it} fails in Production, since {since}. {what}"}}',1,1,'2026-11-29 17:04:29.953412','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(30,'chart:rkpkz5:opened','rkpkz5','chart','','{"incident":"rkpkz5"}',1,1,'2026-11-29 17:04:29.953965','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(31,'news:rkpkz5:rollback:churn:promotion:rqrpes:begun','rkpkz5','news','','{"say":{"args":{"step":{"say":{"args":{"new":{"code":"v4"},"old":{"code":"v5"}},"template":"{old} → {new}"}},"who":{"text":"the monitor"},"why":{"text":"accuracy-live: 0.42 is not greater than 0.85."}},"template":"Rolling back {step} in Production, by {who}: {why}"}}',1,1,'2026-11-29 17:04:29.955114','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(32,'incident:rkpkz5:intent:2:rhsm7r','rkpkz5','incident','#ml-models','{}',1,1,'2026-11-29 17:04:29.973000','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(33,'news:rkpkz5:did:rhsm7r:2','rkpkz5','news','','{"say":{"args":{"nothing":{"say":{"args":{},"template":"Nobody has to do anything."}}},"template":"It goes by itself. {nothing}"}}',1,1,'2026-11-29 17:04:29.974290','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(34,'incident:rtxbpg:opened','rtxbpg','incident','#ml-models','{}',1,1,'2026-11-29 17:04:30.046302','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(35,'news:rtxbpg:opened','rtxbpg','news','','{"say":{"args":{"it":{"say":{"args":{"model":{"name":"leads"},"v":{"code":"v4"}},"template":"{model} {v}"}},"since":{"time":"2026-12-02T05:04:29.660631+00:00"},"what":{"say":{"args":{"part0":{"say":{"args":{"monitor":{"code":"accuracy-live"},"why":{"say":{"args":{"bound":{"text":"0.85"},"value":{"text":"0.42"}},"template":"{value} is not greater than {bound}."}}},"template":"{monitor}: {why}"}}},"template":"{part0}"}}},"template":"{it} fails in Production, since {since}. {what}"}}',1,1,'2026-11-29 17:04:30.047153','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(36,'chart:rtxbpg:opened','rtxbpg','chart','','{"incident":"rtxbpg"}',1,1,'2026-11-29 17:04:30.047655','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(37,'incident:rtxbpg:awaiting human:2:rum9un','rtxbpg','incident','#ml-models','{}',1,1,'2026-11-29 17:04:30.048433','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(38,'news:rtxbpg:did:rum9un:2','rtxbpg','news','','{"say":{"args":{"part0":{"say":{"args":{"bad":{"code":"v4"},"it":{"say":{"args":{"model":{"name":"leads"},"v":{"code":"v4"}},"template":"{model} {v}"}},"to":{"code":"v3"}},"template":"Nothing is moved until somebody decides."}},"part1":{"say":{"args":{"back":{"code":"/model rollback leads 3 --reason \"…\""},"decide":{"say":{"args":{"to":{"code":"v3"}},"template":"Decide: roll back to {to}?"}}},"template":"{decide} Press the button, or type {back}"}}},"template":"{part0} {part1}"}}',1,1,'2026-11-29 17:04:30.048816','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(39,'news:rkpkz5:rollback:churn:promotion:rqrpes:moved','rkpkz5','news','','{"say":{"args":{"alias":{"code":"@champion"},"mind":{"say":{"args":{},"template":""}},"v":{"code":"v4"}},"template":"Moved and read back from MLflow: {v} is in Production, {alias} names it.{mind}"}}',1,1,'2026-11-29 17:04:30.135276','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(40,'news:rkpkz5:rollback:churn:promotion:rqrpes:barred','rkpkz5','news','','{"say":{"args":{"how":{"code":"/model clear churn 5 --reason \"…\""},"old":{"code":"v5"}},"template":"{old} is barred: no automation goes back to it until somebody clears it with {how}"}}',1,1,'2026-11-29 17:04:30.188078','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(41,'incident:rkpkz5:rollback:churn:promotion:rqrpes:ended','rkpkz5','incident','#ml-models','{}',1,1,'2026-11-29 17:04:30.240304','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(42,'news:rkpkz5:tags:rollback:churn:promotion:rqrpes:in','rkpkz5','news','','{"say":{"args":{},"template":"Tags are written in MLflow."}}',1,1,'2026-11-29 17:04:30.662470','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(43,'incident:rkpkz5:resolved','rkpkz5','incident','#ml-models','{}',1,1,'2026-11-29 17:04:30.746063','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(44,'news:rkpkz5:resolved','rkpkz5','news','','{"say":{"args":{"bad":{"code":"v5"},"since":{"time":"2026-12-02T05:04:30.108242+00:00"},"v":{"code":"v4"}},"template":"Restored: {v} has served since {since}, {bad} is barred."}}',1,1,'2026-11-29 17:04:30.746914','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(45,'card:rbh6jc:opened','rbh6jc','card','#ml-models','{}',1,1,'2026-11-29 17:04:34.384604','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(46,'card:r5cgec:opened','r5cgec','card','#ml-models','{}',1,1,'2026-11-29 17:04:35.412447','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(47,'card:rr52h9:opened','rr52h9','card','#ml-models','{}',1,1,'2026-11-29 17:04:35.815024','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(48,'card:rnt2pn:opened','rnt2pn','card','#ml-models','{}',1,1,'2026-11-29 17:04:36.251484','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(49,'news:rnt2pn:vote:U0BOB','rnt2pn','news','','{"say":{"args":{"all":{"int":2},"n":{"int":1},"who":{"mention":"U0BOB"}},"template":"{who} approved: {n} of {all}."}}',1,1,'2026-11-29 17:04:36.579277','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(50,'card:rnt2pn:vote:U0BOB','rnt2pn','card','#ml-models','{}',1,1,'2026-11-29 17:04:36.579668','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(51,'card:reveyw:opened','reveyw','card','#ml-models','{}',1,1,'2026-11-29 17:04:36.751528','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(52,'card:rxasmu:opened','rxasmu','card','#ml-models','{}',1,1,'2026-11-29 17:04:37.188011','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(53,'news:reveyw:vote:U0BOB','reveyw','news','','{"say":{"args":{"all":{"int":1},"n":{"int":1},"who":{"mention":"U0BOB"}},"template":"{who} approved: {n} of {all}."}}',1,1,'2026-11-29 17:04:38.844940','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(54,'card:reveyw:approved','reveyw','card','#ml-models','{}',1,1,'2026-11-29 17:04:38.846325','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(55,'card:reveyw:waiting','reveyw','card','#ml-models','{}',1,1,'2026-11-29 17:04:38.898743','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(56,'news:reveyw:waiting','reveyw','news','','{"say":{"args":{},"template":"Approved, but MLflow does not answer. The move is made as soon as it is back; nobody has to do anything."}}',1,1,'2026-11-29 17:04:38.899048','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(57,'said:frozen:rqkcma','said:frozen:rqkcma','said','#ml-models','{"say":{"args":{"lift":{"code":"/model unfreeze pricing"},"until":{"say":{"args":{},"template":""}},"what":{"name":"pricing"},"who":{"mention":"U0BOB"},"why":{"text":"end of quarter."}},"template":"❄️ {who} froze Production of {what}{until}: {why} Nothing moves there. To lift it: {lift}"}}',1,1,'2026-11-29 17:04:39.339579','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(58,'card:reveyw:frozen','reveyw','card','#ml-models','{}',1,1,'2026-11-29 17:04:40.636476','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(59,'news:reveyw:frozen','reveyw','news','','{"say":{"args":{"why":{"say":{"args":{"until":{"say":{"args":{},"template":"until somebody lifts it"}},"what":{"say":{"args":{"model":{"name":"pricing"}},"template":"Production of {model}"}},"who":{"mention":"U0BOB"},"why":{"text":"end of quarter"}},"template":"{what} is frozen by {who}, {until}: {why}."}}},"template":"Approved, and not moved yet. {why} The move is made when that is over."}}',1,1,'2026-11-29 17:04:40.636897','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(60,'news:rxasmu:vote:U0BOB','rxasmu','news','','{"say":{"args":{"all":{"int":1},"n":{"int":1},"who":{"mention":"U0BOB"}},"template":"{who} approved: {n} of {all}."}}',1,1,'2026-11-29 17:04:40.982368','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(61,'card:rxasmu:approved','rxasmu','card','#ml-models','{}',1,1,'2026-11-29 17:04:40.983994','delivered',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(62,'card:rr52h9:rejected','rr52h9','card','#ml-models','{}',1,1,'2026-11-29 17:04:41.477017','waiting','2026-12-02 05:05:42.776618','Received a response in a non-JSON format: internal error',NULL,NULL);
INSERT INTO "notes" VALUES(63,'news:rr52h9:rejected','rr52h9','news','','{"say":{"args":{"model":{"name":"billing"},"path":{"say":{"args":{"old":{"code":"v3"},"stage":{"text":"Production"},"v":{"code":"v4"}},"template":"{old} → {v} in {stage}"}},"who":{"mention":"U0CAROL"},"why":{"text":"too slow"}},"template":"{who} rejected {model} {path}: {why}"}}',0,0,'2026-11-29 17:04:41.497634','waiting',NULL,'',NULL,NULL);
INSERT INTO "notes" VALUES(64,'direct:rr52h9:rejected','rr52h9:direct','direct','U0ALICE','{"say":{"args":{"model":{"name":"billing"},"path":{"say":{"args":{"old":{"code":"v3"},"stage":{"text":"Production"},"v":{"code":"v4"}},"template":"{old} → {v} in {stage}"}},"who":{"mention":"U0CAROL"},"why":{"text":"too slow"}},"template":"{who} rejected {model} {path}: {why}"}}',1,1,'2026-11-29 17:04:41.498307','waiting','2026-12-02 05:05:42.783602','Received a response in a non-JSON format: internal error',NULL,NULL);
CREATE TABLE postings (
	"key" TEXT NOT NULL, 
	channel TEXT NOT NULL, 
	ts TEXT NOT NULL, file TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT pk_postings PRIMARY KEY ("key")
);
INSERT INTO "postings" VALUES('rb9dmw','C0MLMODELS','1796079860.129740','');
INSERT INTO "postings" VALUES('news:rb9dmw:vote:U0BOB','C0MLMODELS','1796079860.754684','');
INSERT INTO "postings" VALUES('direct:rb9dmw:done','D0ALICE','1796079861.383115','');
INSERT INTO "postings" VALUES('news:rb9dmw:done','C0MLMODELS','1796079861.564370','');
INSERT INTO "postings" VALUES('rxqmze','C0MLMODELS','1796079861.696662','');
INSERT INTO "postings" VALUES('news:rxqmze:vote:U0BOB','C0MLMODELS','1796079861.884177','');
INSERT INTO "postings" VALUES('direct:rxqmze:done','D0ALICE','1796079862.375791','');
INSERT INTO "postings" VALUES('r57qm5','C0MLMODELS','1796079862.484204','');
INSERT INTO "postings" VALUES('news:rxqmze:done','C0MLMODELS','1796079862.687498','');
INSERT INTO "postings" VALUES('news:r57qm5:vote:U0BOB','C0MLMODELS','1796079862.872572','');
INSERT INTO "postings" VALUES('direct:r57qm5:done','D0ALICE','1796187863.309421','');
INSERT INTO "postings" VALUES('rdv4y4','C0MLMODELS','1796187863.366811','');
INSERT INTO "postings" VALUES('news:r57qm5:done','C0MLMODELS','1796187863.468063','');
INSERT INTO "postings" VALUES('said:monitor:mr2jmfb:added','C0MLMODELS','1796187865.975105','');
INSERT INTO "postings" VALUES('said:monitor:mr2jmfb:armed:1:r9a3x2','C0MLMODELS','1796187867.742973','');
INSERT INTO "postings" VALUES('rqrpes','C0MLMODELS','1796187868.024012','');
INSERT INTO "postings" VALUES('news:rqrpes:vote:U0BOB','C0MLMODELS','1796187868.359622','');
INSERT INTO "postings" VALUES('direct:rqrpes:done','D0ALICE','1796187869.130813','');
INSERT INTO "postings" VALUES('news:rqrpes:done','C0MLMODELS','1796187869.229434','');
INSERT INTO "postings" VALUES('rkpkz5','C0MLMODELS','1796187870.266615','');
INSERT INTO "postings" VALUES('rtxbpg','C0MLMODELS','1796187870.386677','');
INSERT INTO "postings" VALUES('news:rkpkz5:opened','C0MLMODELS','1796187870.567191','');
INSERT INTO "postings" VALUES('news:rtxbpg:opened','C0MLMODELS','1796187870.737423','');
INSERT INTO "postings" VALUES('chart:rkpkz5:opened','C0MLMODELS','1796187870.266615','F039626056A');
INSERT INTO "postings" VALUES('chart:rtxbpg:opened','C0MLMODELS','1796187870.386677','F83A345AE5A');
INSERT INTO "postings" VALUES('news:rkpkz5:rollback:churn:promotion:rqrpes:begun','C0MLMODELS','1796187873.714484','');
INSERT INTO "postings" VALUES('news:rtxbpg:did:rum9un:2','C0MLMODELS','1796187874.079373','');
INSERT INTO "postings" VALUES('news:rkpkz5:did:rhsm7r:2','C0MLMODELS','1796187874.231757','');
INSERT INTO "postings" VALUES('news:rkpkz5:rollback:churn:promotion:rqrpes:moved','C0MLMODELS','1796187874.467028','');
INSERT INTO "postings" VALUES('news:rkpkz5:rollback:churn:promotion:rqrpes:barred','C0MLMODELS','1796187874.597788','');
INSERT INTO "postings" VALUES('news:rkpkz5:tags:rollback:churn:promotion:rqrpes:in','C0MLMODELS','1796187874.821062','');
INSERT INTO "postings" VALUES('news:rkpkz5:resolved','C0MLMODELS','1796187875.095076','');
INSERT INTO "postings" VALUES('rbh6jc','C0MLMODELS','1796187875.228312','');
INSERT INTO "postings" VALUES('r5cgec','C0MLMODELS','1796187875.534208','');
INSERT INTO "postings" VALUES('rr52h9','C0MLMODELS','1796187876.054487','');
INSERT INTO "postings" VALUES('rnt2pn','C0MLMODELS','1796187876.468128','');
INSERT INTO "postings" VALUES('news:rnt2pn:vote:U0BOB','C0MLMODELS','1796187876.663463','');
INSERT INTO "postings" VALUES('reveyw','C0MLMODELS','1796187877.047188','');
INSERT INTO "postings" VALUES('rxasmu','C0MLMODELS','1796187877.338710','');
INSERT INTO "postings" VALUES('news:reveyw:vote:U0BOB','C0MLMODELS','1796187878.931301','');
INSERT INTO "postings" VALUES('news:reveyw:waiting','C0MLMODELS','1796187879.249106','');
INSERT INTO "postings" VALUES('said:frozen:rqkcma','C0MLMODELS','1796187879.432134','');
INSERT INTO "postings" VALUES('news:reveyw:frozen','C0MLMODELS','1796187940.835372','');
INSERT INTO "postings" VALUES('news:rxasmu:vote:U0BOB','C0MLMODELS','1796187941.151165','');
CREATE TABLE readings (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	source TEXT NOT NULL, 
	model TEXT NOT NULL, 
	version INTEGER NOT NULL, 
	metric TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	value DOUBLE NOT NULL, 
	received_at DATETIME NOT NULL, 
	client TEXT NOT NULL, 
	CONSTRAINT uq_readings_source_model_metric_version_at UNIQUE (source, model, metric, version, at)
);
INSERT INTO "readings" VALUES(1,'live','mail',4,'accuracy','2026-12-02 05:04:25.810332',0.95,'2026-12-02 05:04:27.320985','serve');
INSERT INTO "readings" VALUES(2,'live','churn',5,'accuracy','2026-12-02 05:04:28.855022',0.42,'2026-12-02 05:04:29.221459','serve');
INSERT INTO "readings" VALUES(3,'live','leads',4,'accuracy','2026-12-02 05:04:29.235158',0.42,'2026-12-02 05:04:29.496738','serve');
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
	outcome TEXT NOT NULL, former_status TEXT, seen TEXT, overridden_by TEXT, override_reason TEXT DEFAULT '' NOT NULL, reminded INTEGER DEFAULT '0' NOT NULL, ci TEXT, breaks_glass BOOLEAN DEFAULT 0 NOT NULL, 
	CONSTRAINT uq_requests_id UNIQUE (id)
);
INSERT INTO "requests" VALUES(1,'rb9dmw','churn',4,'None','Production',3,'slack:T0LOCAL/U0ALICE','better',1,'2026-11-30 23:04:19.789909','2026-12-01 23:04:19.789909',0,NULL,'done','2026-11-30 23:04:20.349287','slack:T0LOCAL/U0BOB','',NULL,'{"against":{},"gates":[],"metrics":{},"policy":"","rule":"d9df1aa35461f77c","validation":{}}',NULL,'',0,NULL,0);
INSERT INTO "requests" VALUES(2,'rxqmze','mail',4,'None','Production',3,'slack:T0LOCAL/U0ALICE','better',1,'2026-11-30 23:04:21.248224','2026-12-01 23:04:21.248224',0,NULL,'done','2026-11-30 23:04:21.769411','slack:T0LOCAL/U0BOB','',NULL,'{"against":{},"gates":[],"metrics":{},"policy":"","rule":"d9df1aa35461f77c","validation":{}}',NULL,'',0,NULL,0);
INSERT INTO "requests" VALUES(3,'r57qm5','leads',4,'None','Production',3,'slack:T0LOCAL/U0ALICE','better',1,'2026-11-30 23:04:22.023468','2026-12-01 23:04:22.023468',0,NULL,'done','2026-11-30 23:04:22.553699','slack:T0LOCAL/U0BOB','',NULL,'{"against":{},"gates":[],"metrics":{},"policy":"","rule":"d9df1aa35461f77c","validation":{}}',NULL,'',0,NULL,0);
INSERT INTO "requests" VALUES(4,'rqrpes','churn',5,'None','Production',4,'slack:T0LOCAL/U0ALICE','better',1,'2026-12-02 05:04:27.784716','2026-12-03 05:04:27.784716',0,NULL,'done','2026-12-02 05:04:28.122523','slack:T0LOCAL/U0BOB','',NULL,'{"against":{},"gates":[],"metrics":{},"policy":"","rule":"d9df1aa35461f77c","validation":{}}',NULL,'',0,NULL,0);
INSERT INTO "requests" VALUES(5,'rbh6jc','fraud',4,'None','Production',3,'slack:T0LOCAL/U0ALICE','better',1,'2026-12-02 05:04:34.303594','2026-12-03 05:04:34.303594',0,NULL,'pending',NULL,NULL,'',NULL,'{"against":{},"gates":[],"metrics":{},"policy":"","rule":"d9df1aa35461f77c","validation":{}}',NULL,'',0,NULL,0);
INSERT INTO "requests" VALUES(6,'r5cgec','search',4,'None','Production',3,'slack:T0LOCAL/U0ALICE','better',1,'2026-12-02 05:04:35.373279','2026-12-03 05:04:35.373279',0,NULL,'pending',NULL,NULL,'',NULL,'{"against":{},"gates":[],"metrics":{},"policy":"","rule":"d9df1aa35461f77c","validation":{}}',NULL,'',0,NULL,0);
INSERT INTO "requests" VALUES(7,'rr52h9','billing',4,'None','Production',3,'slack:T0LOCAL/U0ALICE','better',1,'2026-12-02 05:04:35.791686','2026-12-03 05:04:35.791686',0,NULL,'rejected','2026-12-02 05:05:41.476130','slack:T0LOCAL/U0CAROL','too slow',NULL,'{"against":{},"gates":[],"metrics":{},"policy":"","rule":"d9df1aa35461f77c","validation":{}}',NULL,'',0,NULL,0);
INSERT INTO "requests" VALUES(8,'rnt2pn','two-eyes',4,'None','Production',3,'slack:T0LOCAL/U0ALICE','better',2,'2026-12-02 05:04:36.234111','2026-12-09 05:04:36.234111',0,NULL,'pending',NULL,NULL,'',NULL,'{"against":{},"gates":[],"metrics":{},"policy":"","rule":"0855289ddb4a3f0b","validation":{}}',NULL,'',0,NULL,0);
INSERT INTO "requests" VALUES(9,'reveyw','pricing',4,'None','Production',3,'slack:T0LOCAL/U0ALICE','better',1,'2026-12-02 05:04:36.691241','2026-12-03 05:04:36.691241',0,NULL,'approved','2026-12-02 05:04:38.845247','slack:T0LOCAL/U0BOB','',NULL,'{"against":{},"gates":[],"metrics":{},"policy":"","rule":"d9df1aa35461f77c","validation":{}}',NULL,'',0,NULL,0);
INSERT INTO "requests" VALUES(10,'rxasmu','ranking',4,'None','Production',3,'slack:T0LOCAL/U0ALICE','better',1,'2026-12-02 05:04:37.178269','2026-12-03 05:04:37.178269',0,NULL,'executing','2026-12-02 05:05:40.982842','slack:T0LOCAL/U0BOB','',NULL,'{"against":{},"gates":[],"metrics":{},"policy":"","rule":"d9df1aa35461f77c","validation":{}}',NULL,'',0,NULL,0);
CREATE TABLE servings (
	move TEXT NOT NULL, 
	model TEXT NOT NULL, 
	version INTEGER NOT NULL, 
	lane TEXT NOT NULL, 
	asked_at DATETIME NOT NULL, 
	state TEXT NOT NULL, 
	next_at DATETIME, 
	deadline DATETIME, 
	seen TEXT NOT NULL, 
	confirmed_at DATETIME, 
	CONSTRAINT pk_servings PRIMARY KEY (move)
);
CREATE TABLE standings (
	monitor TEXT NOT NULL, 
	slot INTEGER NOT NULL, 
	next_at DATETIME, 
	state TEXT NOT NULL, 
	revision INTEGER NOT NULL, 
	version INTEGER, 
	move TEXT, 
	bad INTEGER NOT NULL, 
	good INTEGER NOT NULL, 
	empty INTEGER NOT NULL, 
	broken INTEGER NOT NULL, 
	beyond INTEGER NOT NULL, 
	points INTEGER NOT NULL, 
	judged_to DATETIME, 
	since DATETIME, 
	at DATETIME, 
	value DOUBLE, 
	bound DOUBLE, 
	why TEXT, newest DATETIME, usual DOUBLE, 
	CONSTRAINT pk_standings PRIMARY KEY (monitor)
);
INSERT INTO "standings" VALUES('rhsm7r',3,'2026-12-02 05:05:49.200602','warmup',1,4,'rollback:churn:promotion:rqrpes',0,0,1,0,0,0,NULL,NULL,'2026-12-02 05:05:39.635416',NULL,NULL,'{"args":{},"template":"There are no readings."}',NULL,NULL);
INSERT INTO "standings" VALUES('rum9un',4,'2026-12-02 05:05:48.939749','failed',1,4,'promotion:r57qm5',2,0,1,0,0,1,NULL,'2026-12-02 05:04:29.660631','2026-12-02 05:05:39.635416',0.42,0.85,'{"args":{},"template":"There are no readings."}','2026-12-02 05:04:29.235158',NULL);
INSERT INTO "standings" VALUES('mr2jmfb',4,'2026-12-02 05:05:49.827519','ok',1,4,'promotion:rxqmze',0,0,1,0,0,1,NULL,NULL,'2026-12-02 05:05:39.635416',0.95,0.85,'{"args":{},"template":"There are no readings."}','2026-12-02 05:04:25.810332',NULL);
CREATE TABLE votes (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	request TEXT NOT NULL, 
	voter TEXT NOT NULL, 
	choice TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	CONSTRAINT fk_votes_request FOREIGN KEY(request) REFERENCES requests (id)
);
INSERT INTO "votes" VALUES(1,'rb9dmw','slack:T0LOCAL/U0BOB','approve','','2026-11-30 23:04:20.346594');
INSERT INTO "votes" VALUES(2,'rxqmze','slack:T0LOCAL/U0BOB','approve','','2026-11-30 23:04:21.768308');
INSERT INTO "votes" VALUES(3,'r57qm5','slack:T0LOCAL/U0BOB','approve','','2026-11-30 23:04:22.550485');
INSERT INTO "votes" VALUES(4,'rqrpes','slack:T0LOCAL/U0BOB','approve','','2026-12-02 05:04:28.081836');
INSERT INTO "votes" VALUES(5,'rnt2pn','slack:T0LOCAL/U0BOB','approve','','2026-12-02 05:04:36.578640');
INSERT INTO "votes" VALUES(6,'reveyw','slack:T0LOCAL/U0BOB','approve','','2026-12-02 05:04:38.844205');
INSERT INTO "votes" VALUES(7,'rxasmu','slack:T0LOCAL/U0BOB','approve','','2026-12-02 05:05:40.939421');
INSERT INTO "votes" VALUES(8,'rr52h9','slack:T0LOCAL/U0CAROL','reject','too slow','2026-12-02 05:05:41.475334');
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
CREATE INDEX findings_by_model ON findings (model, number);
CREATE INDEX copies_waiting ON copies (model, version, number) WHERE is_done IS false;
CREATE INDEX requests_by_requester ON requests (requester, opened_at, number);
CREATE INDEX freezes_that_hold ON freezes (number) WHERE lifted_at IS NULL;
CREATE INDEX bars_by_model ON bars (model, number);
CREATE UNIQUE INDEX one_monitor_of_a_name ON monitors (model, name) WHERE removed_at IS NULL;
CREATE INDEX standings_by_time ON standings (next_at);
CREATE INDEX measurements_by_time ON measurements (monitor, at);
CREATE INDEX measurements_by_age ON measurements (at);
CREATE INDEX readings_by_age ON readings (received_at);
CREATE UNIQUE INDEX one_open_incident ON incidents (model, source, kind) WHERE resolved_at IS NULL;
CREATE INDEX incidents_by_model ON incidents (model, number);
CREATE INDEX servings_by_state ON servings (state, next_at);
CREATE INDEX servings_by_model ON servings (model, asked_at);
CREATE UNIQUE INDEX one_ask_of_a_key ON asks (caller, "key") WHERE key IS NOT NULL;
CREATE INDEX moves_in_order ON moves (model, number);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('moves',19);
INSERT INTO "sqlite_sequence" VALUES('asks',11);
INSERT INTO "sqlite_sequence" VALUES('requests',10);
INSERT INTO "sqlite_sequence" VALUES('notes',64);
INSERT INTO "sqlite_sequence" VALUES('copies',17);
INSERT INTO "sqlite_sequence" VALUES('votes',8);
INSERT INTO "sqlite_sequence" VALUES('findings',1);
INSERT INTO "sqlite_sequence" VALUES('monitors',3);
INSERT INTO "sqlite_sequence" VALUES('measurements',11);
INSERT INTO "sqlite_sequence" VALUES('readings',3);
INSERT INTO "sqlite_sequence" VALUES('incidents',2);
INSERT INTO "sqlite_sequence" VALUES('bars',1);
INSERT INTO "sqlite_sequence" VALUES('freezes',1);
COMMIT;
