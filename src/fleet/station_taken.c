/*
 * Is a serial number another board's? Asked in the worker, before a board gets
 * its number, and once more when provisioning ran into a conflict: another
 * station of the same registry may have given it out meanwhile.
 */
#include "fleet/station_private.h"

#include "iotctl/base.h"
#include "iotctl/cert.h"
#include "iotctl/store.h"

#include "fleet/fleet_private.h"
#include "fleet/journal.h"
#include "fleet/provision_private.h"

#include <string.h>

struct asking {
	const struct taken_question *question;
	struct iot_store *journal;
	const char *fleet;
	char *thing;     /* what the board would be called in the fleet; NULL: not known */
	const char *uid; /* what it is known by in the journal; NULL: not known */
	char *owner;     /* who has the number; NULL: nobody else */
};

static void asking_release(struct asking *asking)
{
	iot_store_close(asking->journal);
	free(asking->thing);
	free(asking->owner);
}

static bool same(const char *a, const char *b)
{
	return a != NULL && b != NULL && strcmp(a, b) == 0;
}

/* Another board of this station, or of one that shares its journal. */
static enum iot_status ask_journal(struct asking *asking, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	const struct taken_question *question = asking->question;
	bool any = false;
	enum iot_status status = iot_stmt_query(asking->journal, &stmt, &any, err,
						"SELECT uid FROM boards WHERE fleet = ? AND serial_number = ?", "ss",
						asking->fleet, question->serial);

	/* A board without an id has no name but the one that the number gives it: a new number's name is nobody's. */
	if (status == IOT_OK && any &&
	    (!same(iot_stmt_text(stmt, 0), asking->uid) || (question->fresh && *question->uid == '\0')))
		asking->owner = iot_strf("board '%s'", iot_stmt_text(stmt, 0));
	return status;
}

/* What the journal knows of a board: its certificate, and the one that this replaces, until that is taken away. */
struct own {
	const char *certificate_id, *replaces;
};

static enum iot_status is_stranger(json_t *item, void *data, struct iot_error *err)
{
	const struct own *own = data;
	const char *id = fleet_arn_name(json_string_value(item));

	(void)err;
	return same(id, own->certificate_id) || same(id, own->replaces) ? IOT_OK : IOT_CONFLICT;
}

/* A device of the name that this board would get: is it what this station began for the board, or another's? */
static enum iot_status ask_device(struct asking *asking, struct own own, bool *ret_ours, struct iot_error *err)
{
	enum iot_status status =
		fleet_each(asking->question->cloud, "ListThingPrincipals",
			   json_pack("{s:s}", "thingName", asking->thing), "principals", is_stranger, &own, err);

	*ret_ours = status == IOT_OK;
	if (status == IOT_CONFLICT || (status != IOT_OK && fleet_missing(err))) {
		*ret_ours = status != IOT_CONFLICT;
		iot_error_clear(err);
		status = IOT_OK;
	}
	return status;
}

static enum iot_status note_device(json_t *item, void *data, struct iot_error *err)
{
	struct asking *asking = data;
	const struct taken_question *question = asking->question;
	const char *name = iot_json_str(item, "thingName", "");
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool any = false, ours = false, named = same(name, asking->thing);
	struct own own = {0};
	enum iot_status status = iot_stmt_query(asking->journal, &stmt, &any, err,
						"SELECT uid, certificate_id, replaces FROM boards WHERE"
						" fleet = ? AND thing = ?",
						"ss", asking->fleet, name);

	if (status != IOT_OK)
		return status;
	if (any) {
		ours = same(iot_stmt_text(stmt, 0), asking->uid);
		own = (struct own){iot_stmt_text(stmt, 1), iot_stmt_text(stmt, 2)};
	}
	if (named && (question->replace || question->psk))
		ours = true;
	else if (named)
		status = ask_device(asking, own, &ours, err);
	if (status == IOT_OK && !ours && asking->owner == NULL)
		asking->owner = iot_strf("device '%s'", name);
	return status;
}

/* Who may not list devices finds out when the device is made. */
static enum iot_status ask_fleet(struct asking *asking, struct iot_error *err)
{
	enum iot_status status = fleet_each(
		asking->question->cloud, "ListThings",
		json_pack("{s:s, s:s}", "attributeName", "serialNumber", "attributeValue", asking->question->serial),
		"things", note_device, asking, err);

	if (status != IOT_DENIED)
		return status;
	iot_error_clear(err);
	return IOT_OK;
}

enum iot_status serial_taken(const struct taken_question *question, char **ret_owner, struct iot_error *err)
{
	IOT_CLEAN(asking_release)
	struct asking asking = {
		.question = question,
		.fleet = provision_fleet(&(const struct provision){.cloud = question->cloud}),
		.thing = provision_name_for(question->description, question->uid, question->alias, question->serial),
	};
	enum iot_status status = journal_open(question->journal, &asking.journal, err);

	if (asking.thing == NULL && *question->uid != '\0')
		asking.thing = iot_strdup(question->uid);
	asking.uid = *question->uid != '\0' ? question->uid : asking.thing;
	if (status == IOT_OK)
		status = ask_journal(&asking, err);
	if (status == IOT_OK && asking.owner == NULL)
		status = ask_fleet(&asking, err);
	if (status == IOT_OK)
		*ret_owner = iot_take(asking.owner);
	return status;
}
