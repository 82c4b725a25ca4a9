/*
 * What a result code of SQLite means for the person at the terminal: busy,
 * damaged, full, read only, a violated constraint, or a plain failure.
 */
#include "store_private.h"

#include <errno.h>
#include <string.h>

static enum iot_status damaged(const char *path, const struct iot_schema *schema, const char *text,
			       struct iot_error *err)
{
	enum iot_status status;

	status = iot_fail(err, IOT_FAILURE, "%s '%s' is damaged: %s", schema->name, path, text);
	iot_error_hint(err, "put a backup back with 'iotctl restore'");
	return status;
}

static enum iot_status full(const char *path, const struct iot_schema *schema, struct iot_error *err)
{
	enum iot_status status;

	status = iot_fail(err, IOT_FAILURE, "no space left on the disk of %s '%s'", schema->name, path);
	iot_error_hint(err, "free some space and repeat the command: nothing was changed");
	return status;
}

enum iot_status iot_store_fault(sqlite3 *db, const char *path, const struct iot_schema *schema, int rc,
				struct iot_error *err)
{
	const char *text = db != NULL ? sqlite3_errmsg(db) : sqlite3_errstr(rc);
	int errnum = db != NULL ? sqlite3_system_errno(db) : 0;
	enum iot_status status;

	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		status = iot_fail(err, IOT_AGAIN, "%s '%s' is busy: another process holds it", schema->name, path);
		iot_error_hint(err, "try again");
		return status;
	case SQLITE_CONSTRAINT:
		return iot_fail(err, IOT_CONFLICT, "%s", text);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return damaged(path, schema, text, err);
	case SQLITE_FULL:
		return full(path, schema, err);
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return iot_fail(err, IOT_DENIED, "%s '%s' cannot be written: %s", schema->name, path, text);
	case SQLITE_IOERR:
		if (errnum == ENOSPC || errnum == EDQUOT)
			return full(path, schema, err);
		if (rc == SQLITE_IOERR_SHORT_READ)
			return damaged(path, schema, "it is cut short", err);
		break;
	case SQLITE_CANTOPEN:
		if (errnum == EACCES)
			return iot_fail_errno(err, IOT_DENIED, errnum, "cannot open %s '%s'", schema->name, path);
		break;
	case SQLITE_NOMEM:
		return iot_fail(err, IOT_FAILURE, "out of memory");
	default:
		break;
	}
	if (errnum != 0)
		return iot_fail_errno(err, IOT_FAILURE, errnum, "%s '%s': %s", schema->name, path, text);
	return iot_fail(err, IOT_FAILURE, "%s '%s': %s", schema->name, path, text);
}
