/*
 * The journal of one command to many devices: a line before it is sent to a
 * device, and one when that has ended. What was begun and has no end may have
 * been done: it is not told again unless that is asked for.
 */
#include "fleet/command_private.h"
#include "fleet/line_journal.h"

#include "iotctl/base.h"
#include "iotctl/digest.h"
#include "iotctl/json.h"
#include "iotctl/text.h"

#include <string.h>

#define COMMAND "iotctl command send"

struct command_journal {
	struct line_journal *file;
	char digest[2 * IOT_SHA256_SIZE + 1];
	json_t *known; /* outcomes by thing name */
	bool begun;    /* the file says which command */
	bool other;    /* and it is not this one */
};

const char *const iot_command_outcome_names[] = {
	"answered", "sent", "not-connected", "not-listening", "denied", "timed-out", "unknown", "not-sent", NULL};

static int outcome_of(const char *name)
{
	for (int i = 0; iot_command_outcome_names[i] != NULL; i++)
		if (strcmp(iot_command_outcome_names[i], name) == 0)
			return i;
	return -1;
}

/* The same command: what it says, and whether it is to be answered. */
static void make_digest(const struct iot_command_options *options, char *out)
{
	const char *subfolder = options->subfolder != NULL ? options->subfolder : "";
	struct iot_sha256_ctx *ctx = iot_sha256_new();
	uint8_t sum[IOT_SHA256_SIZE];

	iot_sha256_add(ctx, options->wait ? "wait" : "send", 4);
	iot_sha256_add(ctx, subfolder, strlen(subfolder) + 1);
	if (options->payload_len > 0)
		iot_sha256_add(ctx, options->payload, options->payload_len);
	iot_sha256_end(ctx, sum);
	iot_sha256_free(ctx);
	iot_hex(sum, sizeof(sum), out);
}

static bool load_line(const json_t *line, void *data)
{
	struct command_journal *journal = data;
	const char *digest = iot_json_str(line, "command", NULL), *thing = iot_json_str(line, "thingName", NULL);
	int outcome = outcome_of(iot_json_str(line, "outcome", ""));

	if (!journal->begun) {
		journal->begun = true;
		journal->other = digest == NULL || strcmp(digest, journal->digest) != 0;
		return digest != NULL;
	}
	if (thing == NULL || (outcome < 0 && strcmp(iot_json_str(line, "state", ""), "sending") != 0))
		return false;
	json_object_set_new(journal->known, thing, json_integer(outcome < 0 ? IOT_COMMAND_UNKNOWN : outcome));
	return true;
}

static bool is_done_with(enum iot_command_outcome outcome, bool retry_failed)
{
	switch (outcome) {
	case IOT_COMMAND_ANSWERED:
	case IOT_COMMAND_SENT:
		return true;
	case IOT_COMMAND_TIMED_OUT:
	case IOT_COMMAND_UNKNOWN:
		return !retry_failed;
	default: /* no device has heard it */
		return false;
	}
}

static void mark(const struct command_journal *journal, const struct iot_command_options *options,
		 struct targets *targets)
{
	for (size_t i = 0; i < targets->count; i++) {
		struct target *target = &targets->all[i];
		const json_t *known = json_object_get(journal->known, target->device->thing);
		enum iot_command_outcome outcome = (enum iot_command_outcome)json_integer_value(known);

		if (known == NULL || !is_done_with(outcome, options->retry_failed))
			continue;
		target->state = TARGET_ENDED;
		target->outcome = outcome;
		target->resumed = true;
	}
}

static void release(struct command_journal *journal)
{
	json_decref(journal->known);
	free(journal);
}

enum iot_status command_journal_open(const struct iot_command_options *options, struct targets *targets,
				     struct command_journal **ret, struct iot_error *err)
{
	struct command_journal *journal = iot_alloc(sizeof(*journal));
	struct iot_error ignored = IOT_ERROR_INIT;
	enum iot_status status;

	journal->known = json_object();
	make_digest(options, journal->digest);
	status = line_journal_open(options->resume, COMMAND, load_line, journal, &journal->file, err);
	if (status == IOT_OK && journal->other) {
		status = iot_fail(err, IOT_CONFLICT, "journal '%s' is of another command", options->resume);
		iot_error_hint(err, "give the same command, or another journal");
	}
	if (status == IOT_OK && !journal->begun)
		line_journal_add(journal->file, "{\"command\":\"%s\"}", journal->digest);
	if (status == IOT_OK) {
		mark(journal, options, targets);
		*ret = journal;
		return IOT_OK;
	}
	(void)!line_journal_close(journal->file, &ignored);
	release(journal);
	return status;
}

void command_journal_sending(struct command_journal *journal, const struct target *target)
{
	if (journal != NULL)
		line_journal_add(journal->file, "{\"thingName\":\"%s\",\"state\":\"sending\"}", target->device->thing);
}

void command_journal_ended(struct command_journal *journal, const struct target *target)
{
	/* Of a device that nothing was sent to there is nothing to know. */
	if (journal != NULL && target->begun)
		line_journal_add(journal->file, "{\"thingName\":\"%s\",\"outcome\":\"%s\"}", target->device->thing,
				 iot_command_outcome_names[target->outcome]);
}

enum iot_status command_journal_flush(struct command_journal *journal, struct iot_error *err)
{
	return journal != NULL ? line_journal_flush(journal->file, err) : IOT_OK;
}

enum iot_status command_journal_close(struct command_journal *journal, struct iot_error *err)
{
	enum iot_status status;

	if (journal == NULL)
		return IOT_OK;
	status = line_journal_close(journal->file, err);
	release(journal);
	return status;
}
