/*
 * The schema of a station's journal: which boards were taken in hand, and how
 * far each step has come. A board's names are reserved here before it is
 * touched; the constraints keep two boards from getting one identity. Times are
 * milliseconds since 1970 (UTC).
 */
#include "iotctl/store.h"

#include "iotctl/base.h"

static const char boards[] =
	"CREATE TABLE boards ("
	" id INTEGER PRIMARY KEY, fleet TEXT NOT NULL, kind TEXT NOT NULL,"
	" uid TEXT NOT NULL,"    /* chip id or UID: what the board is known by */
	" key_id TEXT NOT NULL," /* hex SHA-256 of its public key's SubjectPublicKeyInfo */
	" serial_number TEXT, thing TEXT NOT NULL, certificate_id TEXT, endpoint TEXT, port TEXT NOT NULL,"
	" state TEXT NOT NULL," /* 'open' or 'done' */
	" runs INTEGER NOT NULL DEFAULT 1, started_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,"
	" UNIQUE (fleet, uid), UNIQUE (fleet, key_id), UNIQUE (fleet, serial_number));"

	"CREATE TABLE steps ("
	" board INTEGER NOT NULL REFERENCES boards(id) ON DELETE CASCADE, number INTEGER NOT NULL, name TEXT NOT NULL,"
	" state TEXT NOT NULL," /* 'begun', 'done' or 'failed' */
	" detail TEXT, tries INTEGER NOT NULL DEFAULT 1, begun_at INTEGER NOT NULL, ended_at INTEGER,"
	" PRIMARY KEY (board, number)) WITHOUT ROWID;";

static const char *const steps[] = {boards};

const struct iot_schema iot_journal_schema = {
	.name = "journal",
	.application_id = 0x696f746a, /* "iotj" */
	.steps = steps,
	.step_count = (int)IOT_LENGTH(steps),
};
