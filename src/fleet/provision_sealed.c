/*
 * A board that is sealed: a lock keeps what it holds from being read, so nothing
 * of it can be looked at or written. Whoever was killed behind that lock finds
 * such a board again. It is worked off only where the journal knows that it was
 * programmed and verified before; what cannot be looked at any more is said.
 */
#include "fleet/provision_private.h"

#include "iotctl/base.h"
#include "iotctl/text.h"

#include <string.h>

bool provision_is_sealed(const struct provision *run)
{
	return *run->identity.sealed != '\0';
}

static enum iot_status refuse(const struct provision *run, struct iot_error *err, const char *why)
{
	const struct iot_board_identity *identity = &run->identity;

	iot_fail(err, IOT_CONFLICT, "the board is sealed by lock '%s', and %s", identity->sealed, why);
	if (*identity->unseal != '\0')
		iot_error_hint(err, "nothing was changed; '%s' of OpenOCD takes the lock off, and erases the chip",
			       identity->unseal);
	else
		iot_error_hint(err, "nothing was changed; nothing is known to take the lock off");
	return IOT_CONFLICT;
}

enum iot_status provision_sealed_lacks(const struct provision *run, const char *what, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *why = iot_strf("it would have to be given %s", what);

	return refuse(run, err, why);
}

/*
 * Without its id the board cannot be told from another. Whoever names it, at the port where work of that name was cut,
 * says that it is this one; and only while that work is open: there is nothing to do on a board that is finished.
 */
static enum iot_status find_by_name(struct provision *run, struct journal_past *past, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p)
	char *thing = provision_name_for(run->description, "", run->spec->name, run->spec->serial_number);
	enum iot_status status;

	if (run->spec->check != NULL)
		return refuse(run, err, "does not tell its id: its work can be finished by 'iotctl provision' only");
	if (thing == NULL)
		return refuse(run, err, "does not tell its id: it has to be named, with --name or --serial");
	status = journal_past(run->journal, provision_fleet(run), NULL, thing, past, err);
	if (status != IOT_OK || past->uid == NULL)
		return status;
	if (!past->open)
		return refuse(run, err, "does not tell its id; the work of this name is finished");
	if (past->port == NULL || strcmp(past->port, run->spec->port) != 0)
		return refuse(run, err, "does not tell its id; the work of this name was begun on another port");
	return IOT_OK;
}

static enum iot_status check_past(struct provision *run, const struct journal_past *past, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *earlier = NULL;
	IOT_CLEAN(iot_free_p)
	char *thing = provision_name_for(run->description, past->uid, run->spec->name, run->spec->serial_number);
	bool in_hand = false;
	enum iot_status status =
		journal_endpoint(run->journal, provision_fleet(run), past->uid, &earlier, &in_hand, err);

	if (status != IOT_OK)
		return status;
	if (strcmp(past->kind, run->description->name) != 0)
		return refuse(run, err, "the journal knows it as another kind of board");
	if (thing != NULL && strcmp(past->thing, thing) != 0)
		return refuse(run, err, "the journal knows it as another device");
	if (!past->open && earlier != NULL && strcmp(earlier, run->endpoint) != 0)
		return refuse(run, err, "it was given another endpoint");
	return IOT_OK;
}

static void note(json_t *array, const char *text)
{
	json_array_append_new(array, json_string(text));
}

static void take(struct provision *run, const struct journal_past *past)
{
	struct iot_board_identity *identity = &run->identity;
	IOT_CLEAN(iot_free_p)
	char *shown = iot_strf("the chip says that '%s' is on, and refuses to be read", identity->sealed);

	note(run->proof, shown);
	note(run->not_proved, "what it holds: it was read back before it was sealed, and cannot be any more");
	if (*identity->uid == '\0') {
		note(run->not_proved, "which chip it is: it does not tell its id any more, and is taken for the one "
				      "of this name whose work was cut at this port");
		snprintf(identity->uid, sizeof(identity->uid), "%s", past->uid);
	}
	provision_note_unproved(run);
}

enum iot_status provision_sealed(struct provision *run, struct iot_error *err)
{
	IOT_CLEAN(journal_past_release) struct journal_past past = {0};
	enum iot_status status;

	if (!provision_is_sealed(run))
		return IOT_OK;
	if (run->spec->replace)
		return refuse(run, err, "cannot be made another device");
	if (*run->identity.uid == '\0')
		status = find_by_name(run, &past, err);
	else
		status = journal_past(run->journal, provision_fleet(run), run->identity.uid, NULL, &past, err);
	if (status != IOT_OK)
		return status;
	if (past.uid == NULL || !past.locked)
		return refuse(run, err, "the journal does not know that it was programmed here");
	status = check_past(run, &past, err);
	if (status == IOT_OK)
		take(run, &past);
	return status;
}
