/*
 * The registry's schema, one step per version (the first release has all that are
 * here: a compiler need not take longer texts). Times are milliseconds since
 * 1970 (UTC). Names, states and members are AWS IoT's. What the broker plugin
 * decides by (certificates, attachments, policies, groups) is watched by
 * triggers that count an epoch up, so that the plugin knows when to look again.
 */
#include "iotctl/store.h"

#include "iotctl/base.h"

/* The lines follow the tables. */
/* clang-format off */
static const char things[] =
	"CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"

	"CREATE TABLE types ("
	" id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, uuid TEXT NOT NULL,"
	" description TEXT, searchable TEXT NOT NULL DEFAULT '[]'," /* JSON array of attribute names */
	" deprecated_at INTEGER, created_at INTEGER NOT NULL);"

	"CREATE TABLE things ("
	" id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, uuid TEXT NOT NULL,"
	" type_id INTEGER REFERENCES types(id), version INTEGER NOT NULL DEFAULT 1,"
	" attributes TEXT NOT NULL DEFAULT '{}'," /* JSON object; member 'alias' is the device's second name */
	" created_at INTEGER NOT NULL);"
	"CREATE UNIQUE INDEX things_alias ON things(json_extract(attributes, '$.alias'))"
	" WHERE json_extract(attributes, '$.alias') IS NOT NULL;"
	"CREATE INDEX things_type ON things(type_id);"

	"CREATE TABLE groups ("
	" id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, uuid TEXT NOT NULL,"
	" parent_id INTEGER REFERENCES groups(id), version INTEGER NOT NULL DEFAULT 1,"
	" description TEXT, attributes TEXT NOT NULL DEFAULT '{}', created_at INTEGER NOT NULL);"
	"CREATE INDEX groups_parent ON groups(parent_id);"
	"CREATE TABLE group_members ("
	" group_id INTEGER NOT NULL REFERENCES groups(id) ON DELETE CASCADE,"
	" thing_id INTEGER NOT NULL REFERENCES things(id) ON DELETE CASCADE,"
	" PRIMARY KEY (group_id, thing_id)) WITHOUT ROWID;"
	"CREATE INDEX group_members_thing ON group_members(thing_id);";

static const char access_rules[] =
	"CREATE TABLE ca_certificates ("
	" id TEXT PRIMARY KEY, pem TEXT NOT NULL, status TEXT NOT NULL, subject TEXT NOT NULL,"
	" own INTEGER NOT NULL DEFAULT 0," /* 1: the fleet's own CA, 0: a trusted vendor's */
	" auto_registration INTEGER NOT NULL DEFAULT 0, mode TEXT NOT NULL DEFAULT 'SNI_ONLY',"
	" not_before INTEGER NOT NULL, not_after INTEGER NOT NULL,"
	" created_at INTEGER NOT NULL, modified_at INTEGER NOT NULL);"

	"CREATE TABLE certificates ("
	" id TEXT PRIMARY KEY," /* lower-case hex SHA-256 of the DER */
	" pem TEXT NOT NULL, status TEXT NOT NULL, ca_id TEXT, mode TEXT NOT NULL DEFAULT 'DEFAULT',"
	" self_signed INTEGER NOT NULL DEFAULT 0," /* 1: its own issuer, goes into the trust directory itself */
	" key_id TEXT NOT NULL," /* hex SHA-256 of the public key's SubjectPublicKeyInfo */
	" key_origin TEXT," /* 'host' or 'board'; NULL: unknown */
	" exposed_on_wire INTEGER NOT NULL DEFAULT 0,"
	" not_before INTEGER NOT NULL, not_after INTEGER NOT NULL,"
	" created_at INTEGER NOT NULL, modified_at INTEGER NOT NULL);" /* with rowid: the PEM makes wide rows */
	"CREATE INDEX certificates_key ON certificates(key_id);"
	"CREATE INDEX certificates_ca ON certificates(ca_id, created_at, id);"
	"CREATE INDEX certificates_self_signed ON certificates(id) WHERE self_signed = 1;"
	"CREATE INDEX certificates_created ON certificates(created_at, id);"
	"CREATE TABLE thing_principals ("
	" thing_id INTEGER NOT NULL REFERENCES things(id),"
	" certificate_id TEXT NOT NULL REFERENCES certificates(id),"
	" type TEXT NOT NULL DEFAULT 'NON_EXCLUSIVE_THING',"
	" PRIMARY KEY (thing_id, certificate_id)) WITHOUT ROWID;"
	"CREATE INDEX thing_principals_certificate ON thing_principals(certificate_id);"

	"CREATE TABLE policies ("
	" id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, default_version INTEGER NOT NULL,"
	" next_version INTEGER NOT NULL, created_at INTEGER NOT NULL, modified_at INTEGER NOT NULL);"
	"CREATE TABLE policy_versions ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT," /* never reused: the plugin's cache key of a compiled document */
	" policy_id INTEGER NOT NULL REFERENCES policies(id) ON DELETE CASCADE, version INTEGER NOT NULL,"
	" document TEXT NOT NULL, created_at INTEGER NOT NULL, UNIQUE (policy_id, version));"
	"CREATE TABLE policy_attachments ("
	" policy_id INTEGER NOT NULL REFERENCES policies(id),"
	" certificate_id TEXT REFERENCES certificates(id), group_id INTEGER REFERENCES groups(id),"
	" CHECK ((certificate_id IS NULL) <> (group_id IS NULL)));"
	"CREATE UNIQUE INDEX policy_attachments_certificate ON policy_attachments(certificate_id, policy_id)"
	" WHERE certificate_id IS NOT NULL;"
	"CREATE UNIQUE INDEX policy_attachments_group ON policy_attachments(group_id, policy_id)"
	" WHERE group_id IS NOT NULL;"
	"CREATE INDEX policy_attachments_policy ON policy_attachments(policy_id);";

static const char jobs[] =
	"CREATE TABLE jobs ("
	" id INTEGER PRIMARY KEY, job_id TEXT NOT NULL UNIQUE, document TEXT NOT NULL,"
	" targets TEXT NOT NULL," /* JSON array of ARNs */
	" selection TEXT NOT NULL, status TEXT NOT NULL, description TEXT, comment TEXT, reason_code TEXT,"
	" force_canceled INTEGER NOT NULL DEFAULT 0, config TEXT NOT NULL DEFAULT '{}'," /* rollout, abort, timeout, ... */
	" created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, completed_at INTEGER);"
	"CREATE INDEX jobs_active ON jobs(status, id) WHERE status IN ('IN_PROGRESS', 'SCHEDULED');"
	"CREATE TABLE executions ("
	" id INTEGER PRIMARY KEY, job INTEGER NOT NULL REFERENCES jobs(id) ON DELETE CASCADE,"
	" thing_id INTEGER NOT NULL REFERENCES things(id) ON DELETE CASCADE, number INTEGER NOT NULL,"
	" status TEXT NOT NULL, details TEXT NOT NULL DEFAULT '{}', version INTEGER NOT NULL DEFAULT 1,"
	" force_canceled INTEGER NOT NULL DEFAULT 0, queued_at INTEGER NOT NULL, started_at INTEGER,"
	" updated_at INTEGER NOT NULL, step_deadline INTEGER, deadline INTEGER, UNIQUE (job, thing_id, number));"
	"CREATE INDEX executions_pending ON executions(thing_id, queued_at, id)"
	" WHERE status IN ('QUEUED', 'IN_PROGRESS');"
	"CREATE INDEX executions_thing ON executions(thing_id, id);"
	"CREATE INDEX executions_status ON executions(job, status);"
	"CREATE INDEX executions_deadline ON executions(min(ifnull(step_deadline, deadline), ifnull(deadline, step_deadline)))"
	" WHERE status = 'IN_PROGRESS';"

	"CREATE TABLE streams ("
	" id INTEGER PRIMARY KEY, stream_id TEXT NOT NULL UNIQUE, description TEXT,"
	" version INTEGER NOT NULL DEFAULT 1, role_arn TEXT NOT NULL DEFAULT '',"
	" created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL);"
	"CREATE TABLE stream_files ("
	" stream INTEGER NOT NULL REFERENCES streams(id) ON DELETE CASCADE, file_id INTEGER NOT NULL,"
	" bucket TEXT NOT NULL, key TEXT NOT NULL, object_version TEXT," /* the s3Location as given */
	" sha256 TEXT NOT NULL, size INTEGER NOT NULL," /* the image in images/ */
	" PRIMARY KEY (stream, file_id)) WITHOUT ROWID;"
	"CREATE INDEX stream_files_image ON stream_files(sha256);"
	"CREATE TABLE ota_updates ("
	" id INTEGER PRIMARY KEY, ota_update_id TEXT NOT NULL UNIQUE, job_id TEXT NOT NULL, stream_id TEXT,"
	" status TEXT NOT NULL, request TEXT NOT NULL," /* the create request, as JSON */
	" image_version TEXT, error TEXT, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL);"
	"CREATE INDEX ota_updates_job ON ota_updates(job_id);";

/* What serve heard from and about devices. */
static const char services[] =
	"CREATE TABLE presence ("
	" client_id TEXT PRIMARY KEY, connected INTEGER NOT NULL, connection INTEGER NOT NULL,"
	" changed_at INTEGER NOT NULL, reason TEXT, address TEXT, certificate_id TEXT) WITHOUT ROWID;"
	"CREATE TABLE device_state ("
	" thing_id INTEGER PRIMARY KEY REFERENCES things(id) ON DELETE CASCADE,"
	" firmware TEXT, state TEXT NOT NULL, reported_at INTEGER NOT NULL);"

	/* What devices must hear, written in the transaction that changes it; serve deletes a row once it was said. */
	"CREATE TABLE outbox ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, thing_id INTEGER,"
	" topic TEXT, payload BLOB, qos INTEGER NOT NULL DEFAULT 1, retain INTEGER NOT NULL DEFAULT 0,"
	" created_at INTEGER NOT NULL);"
	"CREATE UNIQUE INDEX outbox_jobs ON outbox(thing_id) WHERE kind = 'jobs';" /* one is enough: replaced by newer */

	"CREATE TABLE epoch (one INTEGER PRIMARY KEY CHECK (one = 1), value INTEGER NOT NULL);"
	"INSERT INTO epoch VALUES (1, 1);";

/* For each table that access is decided by: any change counts the epoch up. */
#define WATCH(table, event, when)                                                                     \
	"CREATE TRIGGER " table "_" event " AFTER " when " ON " table                                 \
	" BEGIN UPDATE epoch SET value = value + 1; END;"

static const char watches[] =
	WATCH("certificates", "update", "UPDATE OF status")
	WATCH("certificates", "delete", "DELETE")
	WATCH("thing_principals", "insert", "INSERT")
	WATCH("thing_principals", "delete", "DELETE")
	WATCH("policies", "update", "UPDATE OF default_version")
	WATCH("policy_attachments", "insert", "INSERT")
	WATCH("policy_attachments", "delete", "DELETE")
	WATCH("group_members", "insert", "INSERT")
	WATCH("group_members", "delete", "DELETE")
	WATCH("groups", "update", "UPDATE OF parent_id")
	WATCH("things", "update", "UPDATE OF type_id, attributes");

/* Shadows. The name of a thing's classic one is ''. What was deleted leaves its version, for some time. */
static const char shadows[] =
	"CREATE TABLE shadows ("
	" thing_id INTEGER NOT NULL REFERENCES things(id) ON DELETE CASCADE, name TEXT NOT NULL,"
	" version INTEGER NOT NULL, document TEXT," /* JSON {state, metadata}; NULL: deleted */
	" changed_at INTEGER NOT NULL, PRIMARY KEY (thing_id, name));" /* with rowid: documents make wide rows */
	"CREATE INDEX shadows_deleted ON shadows(changed_at) WHERE document IS NULL;";

/*
 * Modules that are to become devices when they show up in staging. What was claimed and done is forgotten with its
 * thing, so that a deleted device does not come back by itself.
 */
static const char claims[] =
	"CREATE TABLE claims ("
	" uid TEXT PRIMARY KEY, alias TEXT, type TEXT," /* uid: thing name to be */
	" policies TEXT NOT NULL, groups TEXT NOT NULL," /* JSON arrays of names */
	" certificate_id TEXT," /* NULL: any that a trusted CA issued */
	" created_at INTEGER NOT NULL, done_at INTEGER) WITHOUT ROWID;"
	"CREATE INDEX claims_alias ON claims(alias) WHERE done_at IS NULL;"
	"CREATE TRIGGER claims_forget AFTER DELETE ON things"
	" BEGIN DELETE FROM claims WHERE uid = OLD.name AND done_at IS NOT NULL; END;";

/* Configurations, and how each is said; the newest version is what the device should have. */
static const char configs[] =
	"CREATE TABLE configs ("
	" thing_id INTEGER NOT NULL REFERENCES things(id) ON DELETE CASCADE, version INTEGER NOT NULL,"
	" document TEXT NOT NULL, author TEXT, created_at INTEGER NOT NULL, acknowledged_at INTEGER,"
	" topic TEXT," /* NULL: it is what the named shadow 'config' desires */
	" qos INTEGER NOT NULL, retain INTEGER NOT NULL,"
	" acknowledge TEXT NOT NULL," /* 'shadow', 'state', 'event' or 'none' */
	" member TEXT," /* where the version is, in what is sent and in what acknowledges it; NULL: nowhere */
	" PRIMARY KEY (thing_id, version));"; /* with rowid: documents make wide rows */

/* People and CI jobs with rights on the fleet. Their policies are those attached to the certificate. */
static const char operators[] =
	"CREATE TABLE operators ("
	" name TEXT PRIMARY KEY, role TEXT," /* NULL: a policy of its own */
	" certificate_id TEXT NOT NULL, access_key_id TEXT NOT NULL UNIQUE,"
	" sealed BLOB NOT NULL," /* the secret of the access key, sealed with a key that is not in the registry */
	" created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, revoked_at INTEGER);"
	"CREATE INDEX operators_certificate ON operators(certificate_id);"
	WATCH("operators", "update", "UPDATE")
	WATCH("operators", "delete", "DELETE");

/* Secrets that devices share with the fleet, and public keys that they sign tokens with. */
static const char device_secrets[] =
	"CREATE TABLE psks ("
	" id INTEGER PRIMARY KEY, identity TEXT NOT NULL UNIQUE,"
	" thing_id INTEGER NOT NULL REFERENCES things(id) ON DELETE CASCADE,"
	" purpose TEXT NOT NULL," /* 'connect': TLS-PSK, 'attest': attestation tokens */
	" status TEXT NOT NULL," /* ACTIVE or REVOKED */
	" size INTEGER NOT NULL, sealed BLOB NOT NULL," /* with a key that is not in the registry; label 'psk:IDENTITY' */
	" digest BLOB NOT NULL UNIQUE," /* keyed: tells a key that is used twice */
	" created_at INTEGER NOT NULL, modified_at INTEGER NOT NULL);"
	"CREATE INDEX psks_thing ON psks(thing_id, purpose, status);"
	"CREATE TABLE device_keys ("
	" key_id TEXT PRIMARY KEY," /* hex SHA-256 of the SubjectPublicKeyInfo; two devices never share one */
	" thing_id INTEGER NOT NULL REFERENCES things(id) ON DELETE CASCADE,"
	" pem TEXT NOT NULL, type TEXT NOT NULL," /* 'p256', 'rsa2048', ... */
	" expires_at INTEGER, created_at INTEGER NOT NULL);"
	"CREATE INDEX device_keys_thing ON device_keys(thing_id, created_at);"
	WATCH("psks", "update", "UPDATE OF status")
	WATCH("psks", "delete", "DELETE")
	WATCH("device_keys", "update", "UPDATE")
	WATCH("device_keys", "delete", "DELETE");

/* What devices reported last, a few of each; device_state has the newest. */
static const char state_history[] =
	"CREATE TABLE device_states ("
	" id INTEGER PRIMARY KEY, thing_id INTEGER NOT NULL REFERENCES things(id) ON DELETE CASCADE,"
	" state TEXT NOT NULL, reported_at INTEGER NOT NULL);"
	"CREATE INDEX device_states_thing ON device_states(thing_id, id);";

/* Names of images, as S3's operations know them; the newest row of a key counts. */
static const char objects[] =
	"CREATE TABLE objects ("
	" id INTEGER PRIMARY KEY, key TEXT NOT NULL, sha256 TEXT NOT NULL, size INTEGER NOT NULL,"
	" created_at INTEGER NOT NULL, UNIQUE (key, sha256));";

/* What devices say, beyond what services ask for: where the plugin says who said it, and where serve takes it. */
static const char routes[] =
	"CREATE TABLE topics ("
	" filter TEXT PRIMARY KEY, thing_level INTEGER NOT NULL) WITHOUT ROWID;" /* the level that is the thing's name; -1: none */
	WATCH("topics", "insert", "INSERT")
	WATCH("topics", "delete", "DELETE")
	"CREATE TABLE routes ("
	" id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, place INTEGER NOT NULL," /* the smallest is asked first */
	" route TEXT NOT NULL," /* JSON; see fleet's events.h */
	" delivered INTEGER NOT NULL DEFAULT 0, dropped INTEGER NOT NULL DEFAULT 0, fault TEXT,"
	" created_at INTEGER NOT NULL);";

/*
 * Events of jobs and executions, as AWS IoT publishes them (developer guide, "Jobs events"), for whoever subscribes.
 * Triggers, so that no way into a state can be forgotten. What goes with its job or its thing says nothing itself,
 * except executions that were pending when their job was deleted.
 */
#define EVENT_ID                                                                                                       \
	"lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-a' ||"    \
	" substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))"
#define NOW_MS "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
#define JOB_COUNT(of, name, state)                                                                                     \
	"'numberOf" name "Things', (SELECT count(*) FROM executions WHERE job = " of ".id AND status = '" state "')"

/* json_patch drops members that are null. */
#define JOB_EVENT(of, operation, state, at, more)                                                                         \
	" INSERT INTO outbox (kind, topic, payload, qos, created_at) VALUES ('event', '$aws/events/job/' || " of       \
	".job_id || '/' || " operation ", CAST(json_patch('{}', json_object('eventType', 'JOB', 'eventId', " EVENT_ID  \
	", 'timestamp', " at " / 1000, 'operation', " operation ", 'jobId', " of ".job_id, 'status', " state       \
	", 'targetSelection', " of ".selection, 'targets', json(" of ".targets), 'description', " of ".description,"   \
	" 'comment', " of ".comment, 'completedAt', " of ".completed_at, 'createdAt', " of ".created_at,"              \
	" 'lastUpdatedAt', " of ".updated_at" more ")) AS BLOB), 1, " at ");"
#define JOB_DETAILS(of)                                                                                                \
	", 'jobProcessDetails', json_object(" JOB_COUNT(of, "Canceled", "CANCELED") ", "                               \
	JOB_COUNT(of, "Rejected", "REJECTED") ", " JOB_COUNT(of, "Failed", "FAILED") ", "                              \
	JOB_COUNT(of, "Removed", "REMOVED") ", " JOB_COUNT(of, "Succeeded", "SUCCEEDED") ")"

/* The account and region are those of IOT_LOCAL_ARN_PREFIX. */
#define EXECUTION_EVENT(job, details, state, at)                                                                          \
	" INSERT INTO outbox (kind, topic, payload, qos, created_at) SELECT 'event', '$aws/events/jobExecution/' ||"   \
	" " job " || '/' || lower(" state "), CAST(json_object('eventType', 'JOB_EXECUTION', 'eventId', " EVENT_ID     \
	", 'timestamp', " at " / 1000, 'operation', lower(" state "), 'jobId', " job ", 'thingArn',"               \
	" 'arn:aws:iot:local:000000000000:thing/' || t.name, 'status', " state ", 'statusDetails', json(" details      \
	")) AS BLOB), 1, " at

static const char job_events[] =
	"CREATE TRIGGER jobs_completed AFTER UPDATE OF status ON jobs"
	" WHEN NEW.status = 'COMPLETED' AND OLD.status <> 'COMPLETED' BEGIN"
	JOB_EVENT("NEW", "'completed'", "'COMPLETED'", "NEW.updated_at", JOB_DETAILS("NEW"))
	" END;"
	"CREATE TRIGGER jobs_canceled AFTER UPDATE OF status ON jobs"
	" WHEN NEW.status = 'CANCELED' AND OLD.status <> 'CANCELED' BEGIN"
	JOB_EVENT("NEW", "'cancellation_in_progress'", "'CANCELLATION_IN_PROGRESS'", "NEW.updated_at", "")
	JOB_EVENT("NEW", "'canceled'", "'CANCELED'", "NEW.updated_at", "")
	" END;";

static const char job_ends[] =
	"CREATE TRIGGER jobs_deleted BEFORE DELETE ON jobs BEGIN"
	JOB_EVENT("OLD", "'deletion_in_progress'", "'DELETION_IN_PROGRESS'", NOW_MS, "")
	EXECUTION_EVENT("OLD.job_id", "e.details", "'DELETED'", NOW_MS)
	" FROM executions e JOIN things t ON t.id = e.thing_id"
	" WHERE e.job = OLD.id AND e.status IN ('QUEUED', 'IN_PROGRESS') ORDER BY e.id;"
	JOB_EVENT("OLD", "'deleted'", "'DELETED'", NOW_MS, "")
	" END;";

static const char execution_events[] =
	"CREATE TRIGGER executions_ended AFTER UPDATE OF status ON executions WHEN NEW.status <> OLD.status"
	" AND NEW.status IN ('SUCCEEDED', 'FAILED', 'REJECTED', 'CANCELED', 'TIMED_OUT', 'REMOVED') BEGIN"
	EXECUTION_EVENT("j.job_id", "NEW.details", "NEW.status", "NEW.updated_at")
	" FROM jobs j, things t WHERE j.id = NEW.job AND t.id = NEW.thing_id;"
	" END;"
	"CREATE TRIGGER executions_deleted AFTER DELETE ON executions WHEN OLD.status <> 'WAITING' BEGIN"
	EXECUTION_EVENT("j.job_id", "OLD.details", "'DELETED'", NOW_MS)
	" FROM jobs j, things t WHERE j.id = OLD.job AND t.id = OLD.thing_id;"
	" END;";

/* Serial numbers of products are looked up when one is given out. */
static const char serial_numbers[] =
	"CREATE INDEX things_serial_number ON things(json_extract(attributes, '$.serialNumber'))"
	" WHERE json_extract(attributes, '$.serialNumber') IS NOT NULL;";

/* What devices may run that attest, and for whom that counts; public keys are for one purpose each. */
static const char attest_policies[] =
	"CREATE TABLE attest_policies ("
	" id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, document TEXT NOT NULL," /* JSON; see crypto's attest.h */
	" created_at INTEGER NOT NULL, modified_at INTEGER NOT NULL);"
	"CREATE TABLE attest_targets ("
	" policy_id INTEGER NOT NULL REFERENCES attest_policies(id)," /* and one of: */
	" thing_id INTEGER UNIQUE REFERENCES things(id) ON DELETE CASCADE,"
	" group_id INTEGER UNIQUE REFERENCES groups(id) ON DELETE CASCADE,"
	" type_id INTEGER UNIQUE REFERENCES types(id) ON DELETE CASCADE,"
	" CHECK ((thing_id IS NOT NULL) + (group_id IS NOT NULL) + (type_id IS NOT NULL) = 1));"
	"CREATE INDEX attest_targets_policy ON attest_targets(policy_id);"
	WATCH("attest_policies", "update", "UPDATE OF document")
	WATCH("attest_targets", "insert", "INSERT")
	WATCH("attest_targets", "delete", "DELETE")
	"ALTER TABLE device_keys ADD COLUMN purpose TEXT NOT NULL DEFAULT 'connect';"; /* or 'attest' */

/* The children of a gateway: the plugin asks for them when a device connects. */
static const char gateways[] =
	"CREATE INDEX things_gateway ON things(json_extract(attributes, '$.gateway'))"
	" WHERE json_extract(attributes, '$.gateway') IS NOT NULL;";
/* clang-format on */
static const char *const steps[] = {things, access_rules, jobs, services, watches, shadows, claims, configs, operators,
				    device_secrets, objects, routes, job_events, job_ends, execution_events, state_history,
				    serial_numbers, attest_policies, gateways};

const struct iot_schema iot_registry_schema = {
	.name = "registry",
	.application_id = 0x696f7463, /* "iotc" */
	.steps = steps,
	.step_count = (int)IOT_LENGTH(steps),
};
