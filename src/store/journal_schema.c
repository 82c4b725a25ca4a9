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

/*
 * Boards whose key is made on the way: their row is there before their key, and holds the certificate before anybody else
 * has it. SQLite cannot take a NOT NULL away, so the tables are made anew.
 */
static const char keys[] =
	"CREATE TABLE new_boards ("
	" id INTEGER PRIMARY KEY, fleet TEXT NOT NULL, kind TEXT NOT NULL,"
	" uid TEXT NOT NULL," /* of a board without an id of its own: its thing name */
	" key_id TEXT,"       /* NULL: it has none yet */
	" serial_number TEXT, thing TEXT NOT NULL, certificate_id TEXT, certificate TEXT," /* PEM, if issued here */
	" replaces TEXT, replaces_thing TEXT," /* an identity that it had, to be taken away: certificate id and its thing */
	" endpoint TEXT, port TEXT NOT NULL, state TEXT NOT NULL,"
	" runs INTEGER NOT NULL DEFAULT 1, started_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,"
	" UNIQUE (fleet, uid), UNIQUE (fleet, key_id), UNIQUE (fleet, serial_number), UNIQUE (fleet, thing));"
	"INSERT INTO new_boards (id, fleet, kind, uid, key_id, serial_number, thing, certificate_id, endpoint, port, state,"
	" runs, started_at, updated_at) SELECT id, fleet, kind, uid, key_id, serial_number, thing, certificate_id, endpoint,"
	" port, state, runs, started_at, updated_at FROM boards;"
	"CREATE TABLE new_steps ("
	" board INTEGER NOT NULL REFERENCES new_boards(id) ON DELETE CASCADE, number INTEGER NOT NULL, name TEXT NOT NULL,"
	" state TEXT NOT NULL, detail TEXT, tries INTEGER NOT NULL DEFAULT 1, begun_at INTEGER NOT NULL, ended_at INTEGER,"
	" PRIMARY KEY (board, number)) WITHOUT ROWID;"
	"INSERT INTO new_steps SELECT board, number, name, state, detail, tries, begun_at, ended_at FROM steps;"
	"DROP TABLE steps; DROP TABLE boards;"
	"ALTER TABLE new_boards RENAME TO boards; ALTER TABLE new_steps RENAME TO steps;";

/* Boards that are being given another endpoint or root CA: what they had is kept here until that is proved. */
static const char trust[] =
	"CREATE TABLE trust ("
	" fleet TEXT NOT NULL, uid TEXT NOT NULL," /* as in boards */
	" endpoint TEXT, root_ca TEXT,"            /* the new ones, PEM; NULL: that stays */
	" old_endpoint TEXT, old_root_ca TEXT, begun_at INTEGER NOT NULL,"
	" PRIMARY KEY (fleet, uid)) WITHOUT ROWID;";

/* Where names are reserved in a cloud that several stations work for, this tells whose reservation it is. */
static const char self[] = "CREATE TABLE self (name TEXT NOT NULL);"
			   "INSERT INTO self VALUES (lower(hex(randomblob(12))));";

static const char *const steps[] = {boards, keys, trust, self};

const struct iot_schema iot_journal_schema = {
	.name = "journal",
	.application_id = 0x696f746a, /* "iotj" */
	.steps = steps,
	.step_count = (int)IOT_LENGTH(steps),
};
