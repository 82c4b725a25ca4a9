/*
 * New trust for the board on a port: what it has goes into the journal, what is
 * new into the board, and a connection decides which of the two stays. A run that
 * was killed left the old values in the journal, so the next one can still go
 * either way.
 */
#include "fleet/presence.h"
#include "fleet/trust_private.h"

#include "iotctl/base.h"
#include "iotctl/board_description.h"
#include "iotctl/cert.h"
#include "iotctl/clock.h"
#include "iotctl/endpoint.h"

#include <string.h>

enum { CONNECT_MS = 120000, PROOF_MS = 15000 };

struct run {
	struct iot_cloud *cloud;
	const struct iot_trust_board_spec *spec;
	struct trust_change change;
	struct iot_board_description *description;
	struct iot_board *board;
	struct iot_board_identity identity;
	const char *thing, *uid; /* what cloud and journal know it by */
	char *journal_name;      /* of a board that has no name of its own */
	struct iot_store *journal;
	struct journal_trust entry;
	struct iot_buf old_root;   /* that it may hold now: the fleet's, or as the user says */
	struct iot_cloud *seen_at; /* whose broker is to see it; NULL: nobody can */
	bool changed;
	json_t *proof, *not_proved;
};

static void tell(const struct run *run, const char *step)
{
	if (run->spec->progress != NULL)
		run->spec->progress(step, run->spec->data);
}

static void at_point(const struct run *run, const char *step)
{
	if (run->spec->point != NULL)
		run->spec->point(step, run->spec->data);
}

static bool told_to_connect(const struct run *run)
{
	return run->description->ops->connect != NULL;
}

/* --- everything is looked at before the board is touched ------------------------------- */

static enum iot_status load(struct run *run, struct iot_error *err)
{
	const struct iot_trust_board_spec *spec = run->spec;
	char ignored[IOT_SHA256_HEX_SIZE];
	enum iot_status status = iot_board_description_load(spec->board, &run->description, err);

	if (status == IOT_OK && run->description->ops->stage == NULL)
		status = iot_fail(err, IOT_USAGE, "a board of kind '%s' cannot be given another endpoint or root CA",
				  run->description->ops->name);
	if (status == IOT_OK)
		status = trust_read(run->cloud, &spec->change, &run->change, err);
	if (status == IOT_OK && spec->old_root_ca != NULL)
		status = trust_read_root(spec->old_root_ca, &run->old_root, ignored, err);
	else if (status == IOT_OK)
		iot_buf_add(&run->old_root, run->change.fleet.ca.data, run->change.fleet.ca.len);
	return status == IOT_OK ? journal_open(spec->journal, &run->journal, err) : status;
}

static enum iot_status open_board(struct run *run, struct iot_error *err)
{
	const struct iot_trust_board_spec *spec = run->spec;
	const struct iot_board_options options = {
		.serial = {.path = spec->port,
			   .baud = spec->baud,
			   .interrupt_fd = spec->interrupt_fd,
			   .transcript = spec->transcript,
			   .pulse = (enum iot_serial_pulse)spec->pulse},
		.answer_ms = spec->answer_ms,
	};
	enum iot_status status;

	tell(run, "identify");
	status = iot_board_open_described(run->description, &options, &run->board, err);
	if (status == IOT_OK)
		status = iot_board_identify(run->board, &run->identity, err);
	if (status != IOT_OK)
		return status;
	run->uid = *run->identity.uid != '\0' ? run->identity.uid : run->identity.thing_name;
	run->thing = run->description->ops->capabilities & IOT_BOARD_NAMED_BY_UID ? run->uid : run->identity.thing_name;
	if (*run->thing == '\0' && *run->uid != '\0') {
		status = journal_thing(run->journal, fleet_id(run->cloud), run->uid, &run->journal_name, err);
		if (status != IOT_OK)
			return status;
		run->thing = run->journal_name != NULL ? run->journal_name : "";
	}
	if (*run->thing != '\0')
		return journal_trust_get(run->journal, fleet_id(run->cloud), run->uid, &run->entry, err);
	iot_fail(err, IOT_CONFLICT, "the board on '%.160s' has no name: it is no device yet", spec->port);
	iot_error_hint(err, "'iotctl provision' makes it one, with the endpoint and root CA of its fleet");
	return IOT_CONFLICT;
}

static bool is_own_endpoint(const struct run *run, const char *host)
{
	return strcmp(host, run->change.fleet.endpoint) == 0;
}

/* Where it will be afterwards, whoever sees it there. */
static enum iot_status find_witness(struct run *run, struct iot_error *err)
{
	const char *host = *run->change.host != '\0' ? run->change.host : run->identity.endpoint;
	struct presence ignored;

	run->seen_at = run->spec->seen_at;
	if (run->seen_at == NULL && (*run->change.host == '\0' || is_own_endpoint(run, host)))
		run->seen_at = run->cloud;
	if (run->seen_at != NULL) /* does it know the device at all? */
		return fleet_presence(run->seen_at, run->thing, &ignored, err);
	if (told_to_connect(run))
		return IOT_OK;
	iot_fail(err, IOT_USAGE, "nobody here would see the board connect at '%s'", host);
	iot_error_hint(err, "name the fleet whose broker answers there with --new-fleet");
	return IOT_USAGE;
}

static bool takes(const struct run *run, enum iot_board_item_kind kind)
{
	return run->description->ops->items & 1U << kind;
}

static enum iot_status holds(struct run *run, enum iot_board_item_kind kind, const char *value, bool *ret,
			     struct iot_error *err)
{
	struct iot_board_item item = {kind, value, IOT_ITEM_NOT_TRIED};
	enum iot_status status = iot_board_look(run->board, &item, err);

	*ret = item.outcome == IOT_ITEM_SAME || item.outcome == IOT_ITEM_NAMED;
	return status;
}

/* What it has now, as far as it has to be written again on the way back. */
static enum iot_status find_old_endpoint(struct run *run, bool new_is_there, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *port = iot_strf("%lld", (long long)run->change.fleet.port);
	bool same = true;
	enum iot_status status = IOT_OK;

	if (new_is_there) {
		run->entry.old_endpoint = iot_strdup(run->change.spec->endpoint);
		return IOT_OK;
	}
	if (run->change.port > 0 && takes(run, IOT_ITEM_PORT))
		status = holds(run, IOT_ITEM_PORT, port, &same, err);
	if (status != IOT_OK)
		return status;
	if (!same) {
		iot_fail(err, IOT_CONFLICT,
			 "the board has another port than the fleet's (%s): there is no way back to it", port);
		iot_error_hint(err, "give the new endpoint without a port to leave that as it is");
		return IOT_CONFLICT;
	}
	run->entry.old_endpoint = run->change.port > 0 && takes(run, IOT_ITEM_PORT)
					  ? iot_strf("%s:%s", run->identity.endpoint, port)
					  : iot_strdup(run->identity.endpoint);
	return IOT_OK;
}

static enum iot_status find_old_root(struct run *run, bool new_is_there, struct iot_error *err)
{
	bool keeps = run->description->ops->capabilities & IOT_BOARD_KEEPS_OLD_ROOT;
	const char *old = new_is_there ? iot_buf_str(&run->change.root_ca) : iot_buf_str(&run->old_root);
	bool known = *old != '\0';
	enum iot_status status = known && !new_is_there ? holds(run, IOT_ITEM_ROOT_CA, old, &known, err) : IOT_OK;

	if (status == IOT_OK && !known && keeps)
		return IOT_OK; /* it knows by itself */
	if (status == IOT_OK && !known) {
		iot_fail(err, IOT_CONFLICT,
			 "the board holds a root CA that is not the fleet's: there would be no way back");
		iot_error_hint(err, "nothing was changed; name the file of the one it holds with --old-root-ca");
		status = IOT_CONFLICT;
	}
	if (status == IOT_OK)
		run->entry.old_root_ca = iot_strdup(old);
	return status;
}

/* *ret: it has all that is new already. */
static enum iot_status look_at_old(struct run *run, bool *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *port = iot_strf("%d", run->change.port);
	bool endpoint = true, root = true, same_port = true;
	enum iot_status status = IOT_OK;

	if (*run->change.host != '\0')
		status = holds(run, IOT_ITEM_ENDPOINT,
			       takes(run, IOT_ITEM_PORT) ? run->change.host : run->change.spec->endpoint, &endpoint,
			       err);
	if (status == IOT_OK && run->change.port > 0 && takes(run, IOT_ITEM_PORT))
		status = holds(run, IOT_ITEM_PORT, port, &same_port, err);
	if (status == IOT_OK && run->change.root_ca.len > 0)
		status = holds(run, IOT_ITEM_ROOT_CA, iot_buf_str(&run->change.root_ca), &root, err);
	*ret = status == IOT_OK && endpoint && root && same_port && !run->entry.unfinished;
	if (status != IOT_OK || *ret)
		return status;
	/* An unfinished run knows what it found, which may be gone from the board. */
	if (*run->change.host != '\0' && run->entry.old_endpoint == NULL)
		status = find_old_endpoint(run, endpoint && same_port, err);
	if (status == IOT_OK && run->change.root_ca.len > 0 && run->entry.old_root_ca == NULL)
		status = find_old_root(run, root, err);
	return status;
}

static enum iot_status check_endpoint(struct run *run, struct iot_error *err)
{
	char host[TRUST_HOST_SIZE];
	int port = (int)run->change.fleet.port;
	enum iot_status status = IOT_OK;

	if (*run->change.host != '\0')
		snprintf(host, sizeof(host), "%s", run->change.host);
	else if (*run->identity.endpoint == '\0') /* it is in its firmware, and does not tell */
		snprintf(host, sizeof(host), "%s", run->change.fleet.endpoint);
	else
		status = iot_endpoint_split(run->identity.endpoint, host, sizeof(host), &port, err);
	tell(run, "check");
	return status == IOT_OK ? trust_check(&run->change, host, port, iot_buf_str(&run->old_root), err) : status;
}

/* --- the proof ---------------------------------------------------------------------------- */

static int connect_ms(const struct run *run)
{
	return run->spec->connect_timeout_ms > 0 ? run->spec->connect_timeout_ms : CONNECT_MS;
}

static enum iot_status begin_connection(struct run *run, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	if (!told_to_connect(run))
		return iot_board_start(run->board, err);
	if (run->description->ops->disconnect != NULL)
		status = iot_board_disconnect(run->board, err);
	return status == IOT_OK ? iot_board_connect(run->board, connect_ms(run), err) : status;
}

static enum iot_status await_witness(struct run *run, const struct presence_wait *wait, struct iot_error *err)
{
	int proof_ms = run->spec->proof_timeout_ms > 0 ? run->spec->proof_timeout_ms : PROOF_MS;
	struct presence seen = {0};
	bool good = false;
	enum iot_status status = fleet_await_presence(
		wait, iot_deadline(told_to_connect(run) ? proof_ms : connect_ms(run)), &good, &seen, err);

	if (status == IOT_OK && !good)
		status = iot_fail(err, IOT_VERIFY, "the broker does not see '%s' connect", run->thing);
	return status;
}

static void note(json_t *array, const char *text)
{
	json_array_append_new(array, json_string(text));
}

static enum iot_status prove(struct run *run, struct iot_error *err)
{
	struct presence_wait wait = {
		.cloud = run->seen_at, .thing = run->thing, .interrupt_fd = run->spec->interrupt_fd};
	enum iot_status status = IOT_OK;

	if (run->seen_at != NULL)
		status = fleet_presence_before(&wait, err);
	tell(run, "connect");
	if (status == IOT_OK)
		status = begin_connection(run, err);
	if (status != IOT_OK)
		return status;
	if (told_to_connect(run))
		note(run->proof, "it says that it is connected");
	if (run->seen_at == NULL) {
		note(run->not_proved, "that the broker there lets it do its work");
		return IOT_OK;
	}
	status = await_witness(run, &wait, err);
	if (status == IOT_OK)
		note(run->proof, "the broker saw it connect");
	return status;
}

/* --- there and back -------------------------------------------------------------------------- */

/* What is not new, but was for a run before that was cut, is what it was before that. */
static struct iot_board_trust trust_of(const struct run *run)
{
	return (struct iot_board_trust){
		.endpoint = *run->change.host != '\0' ? run->change.spec->endpoint : run->entry.old_endpoint,
		.root_ca = run->change.root_ca.len > 0 ? iot_buf_str(&run->change.root_ca) : run->entry.old_root_ca,
		.old_endpoint = run->entry.old_endpoint,
		.old_root_ca = run->entry.old_root_ca,
	};
}

static enum iot_status restore(struct run *run, struct iot_error *err)
{
	const struct iot_board_trust trust = trust_of(run);
	enum iot_status status;

	tell(run, "go back");
	status = iot_board_settle(run->board, &trust, false, err);
	if (status == IOT_OK)
		at_point(run, "back");
	if (status == IOT_OK)
		status = begin_connection(run, err);
	return status == IOT_OK ? journal_trust_end(run->journal, fleet_id(run->cloud), run->uid, err) : status;
}

/* `err` has why it was not to be; it keeps the last word. */
static enum iot_status go_back(struct run *run, enum iot_status why, struct iot_error *err)
{
	struct iot_error again = IOT_ERROR_INIT;
	char line[512], what[512];

	if (why == IOT_INTERRUPTED) {
		iot_error_hint(err, "the board is left as it is; the same command again finishes it");
		return why;
	}
	snprintf(what, sizeof(what), "%s", err->what);
	if (restore(run, &again) == IOT_OK) {
		iot_fail(err, why == IOT_BOARD || why == IOT_TIMEOUT ? why : IOT_VERIFY,
			 "'%s' keeps its old endpoint and root CA: %.300s", run->thing, what);
		iot_error_hint(
			err,
			"it is connected with them again; see whether the new ones are right, and the policy there");
		return err->status;
	}
	iot_fail(err, IOT_BOARD, "'%s' did not connect with the new trust (%.200s) and could not be set back: %.300s",
		 run->thing, what, iot_error_line(&again, line, sizeof(line)));
	iot_error_hint(err, "the journal has what it had: the same command again goes on");
	return IOT_BOARD;
}

static enum iot_status move(struct run *run, struct iot_error *err)
{
	const struct iot_board_trust trust = trust_of(run);
	const char *fleet = fleet_id(run->cloud);
	enum iot_status status =
		journal_trust_begin(run->journal, fleet, run->uid, trust.endpoint, trust.root_ca, &run->entry, err);

	if (status != IOT_OK)
		return status;
	run->changed = true;
	at_point(run, "begun");
	tell(run, "stage");
	status = iot_board_stage(run->board, &trust, err);
	if (status == IOT_OK) {
		at_point(run, "staged");
		status = prove(run, err);
	}
	if (status == IOT_OK) {
		at_point(run, "proved");
		tell(run, "settle");
		status = iot_board_settle(run->board, &trust, true, err);
	}
	if (status != IOT_OK)
		return go_back(run, status, err);
	at_point(run, "settled");
	return journal_trust_end(run->journal, fleet, run->uid, err);
}

/* --- the whole ----------------------------------------------------------------------------------- */

/* What was left half done has to be taken up again, when only to be set back. */
static enum iot_status cannot_begin(struct run *run, enum iot_status why, struct iot_error *err)
{
	return run->entry.unfinished && !run->spec->change.dry_run ? go_back(run, why, err) : why;
}

static enum iot_status carry_out(struct run *run, struct iot_error *err)
{
	bool there = false;
	enum iot_status status = load(run, err);

	if (status == IOT_OK)
		status = open_board(run, err);
	if (status == IOT_OK)
		status = find_witness(run, err);
	if (status != IOT_OK)
		return status;
	status = check_endpoint(run, err);
	if (status == IOT_OK)
		status = look_at_old(run, &there, err);
	if (status != IOT_OK)
		return cannot_begin(run, status, err);
	return there || run->spec->change.dry_run ? IOT_OK : move(run, err);
}

static json_t *make_record(const struct run *run)
{
	json_t *record = json_object();

	iot_json_set_str(record, "thingName", run->thing);
	iot_json_set_str(record, "board", run->description->name);
	iot_json_set_str(record, "uid", *run->identity.uid != '\0' ? run->identity.uid : NULL);
	iot_json_set_str(record, "endpoint",
			 run->spec->change.endpoint != NULL ? run->spec->change.endpoint : run->identity.endpoint);
	iot_json_set_str(record, "oldEndpoint", run->entry.old_endpoint);
	iot_json_set_str(record, "rootCaId", *run->change.root_id != '\0' ? run->change.root_id : NULL);
	json_object_set(record, "proof", run->proof);
	json_object_set(record, "notProved", run->not_proved);
	iot_json_set_bool(record, "resumed", run->entry.unfinished);
	iot_json_set_bool(record, "changed", run->changed);
	return record;
}

static void release(struct run *run)
{
	iot_board_close(run->board);
	iot_board_identity_release(&run->identity);
	iot_board_description_free(run->description);
	journal_trust_release(&run->entry);
	free(run->journal_name);
	iot_store_close(run->journal);
	trust_release(&run->change);
	iot_buf_release(&run->old_root);
	json_decref(run->proof);
	json_decref(run->not_proved);
}

enum iot_status iot_trust_board(struct iot_cloud *cloud, const struct iot_trust_board_spec *spec, json_t **ret_record,
				struct iot_error *err)
{
	struct iot_error scratch = IOT_ERROR_INIT;
	struct run run = {
		.cloud = cloud,
		.spec = spec,
		.change = TRUST_CHANGE_INIT,
		.identity = IOT_BOARD_IDENTITY_INIT,
		.old_root = IOT_BUF_INIT(IOT_CERT_PEM_MAX),
		.proof = json_array(),
		.not_proved = json_array(),
	};
	enum iot_status status;

	err = err != NULL ? err : &scratch;
	status = carry_out(&run, err);
	if (status == IOT_OK)
		*ret_record = make_record(&run);
	else
		iot_error_while(err, "renewing the trust of the board on '%.160s'", spec->port);
	release(&run);
	return status;
}
