/*
 * The schema of a gateway's queue: what its children have said and the cloud
 * does not have yet, and how far each child has come. Times are milliseconds
 * since 1970 (UTC).
 */
#include "iotctl/store.h"

#include "iotctl/base.h"

static const char queue[] =
	"CREATE TABLE children ("
	" thing TEXT PRIMARY KEY, boot BLOB NOT NULL," /* of which start of the child the sequence is */
	" sequence INTEGER NOT NULL) WITHOUT ROWID;"   /* all up to it is safe */

	"CREATE TABLE queue ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT, thing TEXT NOT NULL, boot BLOB NOT NULL, sequence INTEGER NOT NULL,"
	" topic TEXT NOT NULL, payload BLOB NOT NULL, qos INTEGER NOT NULL, retain INTEGER NOT NULL,"
	" correlation BLOB," /* of the command that it replies to (MQTT 5) */
	" created_at INTEGER NOT NULL, UNIQUE (thing, boot, sequence));"
	"CREATE INDEX queue_thing ON queue(thing, id);";

static const char *const steps[] = {queue};

const struct iot_schema iot_gateway_schema = {
	.name = "gateway queue",
	.application_id = 0x696f7467, /* "iotg" */
	.steps = steps,
	.step_count = (int)IOT_LENGTH(steps),
};
