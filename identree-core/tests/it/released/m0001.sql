-- A database as the first release wrote it (schema m0001_start), as text.
PRAGMA journal_mode = WAL;
PRAGMA application_id = 1229213268;
BEGIN TRANSACTION;
CREATE TABLE challenges (
        seq INTEGER PRIMARY KEY,
        id BLOB NOT NULL UNIQUE,
        code TEXT NOT NULL,
        requester TEXT NOT NULL,
        settled_at_ms INTEGER,
        revision INTEGER NOT NULL,
        record TEXT NOT NULL);
INSERT INTO "challenges" VALUES(1,X'8AE3CE1D0C6C86B058005B8B4E1E571A','ENPSVG-530118','ann',1767225600000,2,'{"question":{"id":"8ae3ce1d0c6c86b058005b8b4e1e571a","code":"ENPSVG-530118","nonce":"374708fff7719dd5979ec875d56cd2286f6d3cf7ec317a3b25632aab28ec37bb","kind":"sudo","requester":"ann","target":{"host":"web-1.example"},"target_groups":["web"],"command":"systemctl restart ''unit 0'' # \"quoted\" \\ ü \u202e","command_is_exact":false,"summary":{"action":"systemctl restart ''unit 0'' # \"quoted\" \\ ü \u202e","reason":"because"},"payload_sha256":"d2a54c50fd91dd6a3dab2318a5dbab7be541910c7065475a0da1b753403850ce","requirement":{"approvals":1,"require_admin":false,"requester_may_approve":true,"number_match":true},"policy_revision":"sample","created_at":1767225600000,"expires_at":1767225720000},"state":{"state":"settled","at":1767225600000,"how":{"granted":{"votes":[{"by":"ben","at":1767225600000}]}}},"revision":2}');
INSERT INTO "challenges" VALUES(2,X'6939247F4826BE0A3C9CAD58A7ED4C98','MXUZSU-607910','ann',1767225720000,2,'{"question":{"id":"6939247f4826be0a3c9cad58a7ed4c98","code":"MXUZSU-607910","nonce":"783825822a6f9e62da2190e828e4c9d2576e5977e3a0b3620b092dfb9e9996fa","kind":"sudo","requester":"ann","target":{"host":"web-1.example"},"target_groups":["web"],"command":"systemctl restart ''unit 1'' # \"quoted\" \\ ü \u202e","command_is_exact":false,"summary":{"action":"systemctl restart ''unit 1'' # \"quoted\" \\ ü \u202e","reason":"because"},"payload_sha256":"503c0bb7f8492f0e3d2732eca0a28fc316ede0d8a578397c86de70d742c15725","requirement":{"approvals":1,"require_admin":false,"requester_may_approve":true,"number_match":true},"policy_revision":"sample","created_at":1767225600001,"expires_at":1767225720001},"state":{"state":"settled","at":1767225720000,"how":"expired"},"revision":2}');
INSERT INTO "challenges" VALUES(3,X'45144E128AA6E16A405B473308712820','SVKEDX-214723','ann',NULL,2,'{"question":{"id":"45144e128aa6e16a405b473308712820","code":"SVKEDX-214723","nonce":"1309ac3f4e41512820fbf259ae492bb686480eb4a7f5fa4bbc38215266ad984c","kind":"sudo","requester":"ann","target":{"host":"web-1.example"},"target_groups":["web"],"command":"systemctl restart ''unit 2'' # \"quoted\" \\ ü \u202e","command_is_exact":false,"summary":{"action":"systemctl restart ''unit 2'' # \"quoted\" \\ ü \u202e","reason":"because"},"payload_sha256":"2b348b8def6e8d2dd991d7dfd84f2e4eac57c7a3d50505227340b053f1acd648","requirement":{"approvals":1,"require_admin":false,"requester_may_approve":true,"number_match":true},"policy_revision":"sample","created_at":1767225600002,"expires_at":1767225720002},"state":{"state":"pending","votes":[{"by":"ben","at":1767225600000}]},"revision":2}');
INSERT INTO "challenges" VALUES(4,X'68209DD7E10981A08A1DF2A74913D16F','UKCQWD-500768','ann',NULL,1,'{"question":{"id":"68209dd7e10981a08a1df2a74913d16f","code":"UKCQWD-500768","nonce":"2b7ebe6c2639dc181ae42be423f1e13278e408c48cc41d71d9a8c823df46b62e","kind":"sudo","requester":"ann","target":{"host":"web-1.example"},"target_groups":["web"],"command":"systemctl restart ''unit 3'' # \"quoted\" \\ ü \u202e","command_is_exact":false,"summary":{"action":"systemctl restart ''unit 3'' # \"quoted\" \\ ü \u202e","reason":"because"},"payload_sha256":"aa2afdf4f78ac255f905ab4f64f8e1c67355974826618c1d38730c96bf3b3a23","requirement":{"approvals":1,"require_admin":false,"requester_may_approve":true,"number_match":true},"policy_revision":"sample","created_at":1767225600003,"expires_at":1767225720003},"state":{"state":"pending","votes":[]},"revision":1}');
INSERT INTO "challenges" VALUES(5,X'AC3ABFDE11083C686F07B68698D060E7','CQPKKX-225997','ann',NULL,1,'{"question":{"id":"ac3abfde11083c686f07b68698d060e7","code":"CQPKKX-225997","nonce":"860fd3d66723bcc787a74d83b91274ed11ac987c5316631e85cddc607312085a","kind":"sudo","requester":"ann","target":{"host":"web-1.example"},"target_groups":["web"],"command":"systemctl restart ''unit 4'' # \"quoted\" \\ ü \u202e","command_is_exact":false,"summary":{"action":"systemctl restart ''unit 4'' # \"quoted\" \\ ü \u202e","reason":"because"},"payload_sha256":"9b1ec3bfaaaab8a0a7e006a11ab5d08600ee2f05e6a450020a23a066832fcc41","requirement":{"approvals":1,"require_admin":false,"requester_may_approve":true,"number_match":true},"policy_revision":"sample","created_at":1767225600004,"expires_at":1767225720004},"state":{"state":"pending","votes":[]},"revision":1}');
CREATE TABLE documents (
        seq INTEGER PRIMARY KEY,
        collection TEXT NOT NULL,
        key TEXT NOT NULL,
        revision INTEGER NOT NULL,
        expires_at_ms INTEGER,
        bytes BLOB NOT NULL);
INSERT INTO "documents" VALUES(1,'hosts','web-1.example',2,NULL,X'7B226E616D65223A227765622D312E6578616D706C65222C22C3BC223A317D');
INSERT INTO "documents" VALUES(2,'hosts','db-1.example',2,NULL,X'7B226E616D65223A2264622D312E6578616D706C65222C22C3BC223A317D');
INSERT INTO "documents" VALUES(3,'web-sessions','s1',2,1767225660000,X'7B226E616D65223A227331222C22C3BC223A317D');
CREATE TABLE journal (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id BLOB NOT NULL,
        event TEXT NOT NULL);
INSERT INTO "journal" VALUES(1,X'C0F67A45AD1226180503D6A27A66259F','{"id":"c0f67a45ad1226180503d6a27a66259f","at":1767225600000,"kind":"challenge_created","challenge":"8ae3ce1d0c6c86b058005b8b4e1e571a","subject":"ann","target":{"host":"web-1.example"},"details":{"n":"0"}}');
INSERT INTO "journal" VALUES(2,X'FCED23C95AB253D65695445939BD1F48','{"id":"fced23c95ab253d65695445939bd1f48","at":1767225600001,"kind":"challenge_approved","challenge":"8ae3ce1d0c6c86b058005b8b4e1e571a","subject":"ann","target":{"host":"web-1.example"},"details":{"n":"1"}}');
INSERT INTO "journal" VALUES(3,X'F448DFDC3891955B905DCBE1FCBAA196','{"id":"f448dfdc3891955b905dcbe1fcbaa196","at":1767225600002,"kind":"challenge_created","challenge":"6939247f4826be0a3c9cad58a7ed4c98","subject":"ann","target":{"host":"web-1.example"},"details":{"n":"2"}}');
INSERT INTO "journal" VALUES(4,X'62CDE3DC3F92F2A97C136458F2D572A1','{"id":"62cde3dc3f92f2a97c136458f2d572a1","at":1767225600003,"kind":"challenge_approved","challenge":"6939247f4826be0a3c9cad58a7ed4c98","subject":"ann","target":{"host":"web-1.example"},"details":{"n":"3"}}');
INSERT INTO "journal" VALUES(5,X'71702ACE7177A4E41446A3BE0D3CBB08','{"id":"71702ace7177a4e41446a3be0d3cbb08","at":1767225600004,"kind":"challenge_created","challenge":"45144e128aa6e16a405b473308712820","subject":"ann","target":{"host":"web-1.example"},"details":{"n":"4"}}');
INSERT INTO "journal" VALUES(6,X'FD3ABE1658D01DCF7DCE7620719590A0','{"id":"fd3abe1658d01dcf7dce7620719590a0","at":1767225600005,"kind":"challenge_approved","challenge":"45144e128aa6e16a405b473308712820","subject":"ann","target":{"host":"web-1.example"},"details":{"n":"5"}}');
INSERT INTO "journal" VALUES(7,X'BA4433C0D557F734BD04ACE66941F8ED','{"id":"ba4433c0d557f734bd04ace66941f8ed","at":1767225600006,"kind":"challenge_created","challenge":"68209dd7e10981a08a1df2a74913d16f","subject":"ann","target":{"host":"web-1.example"},"details":{"n":"6"}}');
INSERT INTO "journal" VALUES(8,X'E1C383633DB8068E1824604AD3E04E23','{"id":"e1c383633db8068e1824604ad3e04e23","at":1767225600008,"kind":"challenge_created","challenge":"ac3abfde11083c686f07b68698d060e7","subject":"ann","target":{"host":"web-1.example"},"details":{"n":"8"}}');
CREATE TABLE "seaql_migrations" ( "version" varchar NOT NULL PRIMARY KEY, "applied_at" integer NOT NULL );
INSERT INTO "seaql_migrations" VALUES('m0001_start',1795673525);
CREATE INDEX challenges_code ON challenges (code);
CREATE INDEX challenges_requester ON challenges (requester);
CREATE INDEX challenges_settled ON challenges (settled_at_ms);
CREATE UNIQUE INDEX documents_key ON documents (collection, key);
CREATE INDEX documents_end ON documents (expires_at_ms) WHERE expires_at_ms IS NOT NULL;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('journal',8);
COMMIT;
