/*
 * New trust for devices in the field: one job for those that carry out a job
 * document, one update for ExpressLink modules. The ids of both are in the
 * caller's journal before they are made, so the same call finds them again and
 * makes what is missing.
 */
#include "fleet/line_journal.h"
#include "fleet/trust_private.h"

#include "iotctl/base.h"
#include "iotctl/cert.h"
#include "iotctl/clock.h"
#include "iotctl/digest.h"
#include "iotctl/text.h"

#include <poll.h>
#include <string.h>
#include <time.h>

#define TARGETS_MAX 100 /* AWS: targets of a job */
#define ID_MAX 36       /* an update is named AFR_OTA-ID, and agents take at most 44 */
#define JOB_PREFIX "iotctl-trust-"
enum { POLL_MS = 250 };

/* Those that are reached in one way. */
struct part {
	json_t *names[2]; /* things, groups */
	char *job;        /* NULL: nobody is reached so */
};
enum { THINGS, GROUPS };
enum { DEVICES, MODULES, PARTS };

struct field {
	struct iot_cloud *cloud;
	const struct iot_trust_field_spec *spec;
	struct trust_change change;
	struct part parts[PARTS];
	json_t *module_names; /* all modules of the fleet, as an object */
	char id[ID_MAX + 1];
	char request[IOT_SHA256_HEX_SIZE]; /* what was asked for, for the journal */
	bool known;                        /* the journal has the id */
	bool differs;                      /* but of something else */
	bool changed;
};

static void at_point(const struct field *field, const char *step)
{
	if (field->spec->point != NULL)
		field->spec->point(step, field->spec->data);
}

/* --- who --------------------------------------------------------------------------- */

static enum iot_status note_module(json_t *item, void *data, struct iot_error *err)
{
	struct field *field = data;

	(void)err;
	json_object_set_new(field->module_names, iot_json_str(item, "thingName", ""), json_true());
	return IOT_OK;
}

static bool is_module(const struct field *field, const char *thing)
{
	return json_object_get(field->module_names, thing) != NULL;
}

static enum iot_status add_device(struct field *field, const char *device, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	enum iot_status status = iot_fleet_resolve(field->cloud, device, &thing, err);

	/* An alias that is none is the name as it was given: is there such a thing? */
	if (status == IOT_OK)
		status = fleet_call(field->cloud, "DescribeThing", json_pack("{s:s}", "thingName", thing), NULL, err);
	if (status == IOT_OK)
		json_array_append_new(field->parts[is_module(field, thing) ? MODULES : DEVICES].names[THINGS],
				      json_string(thing));
	return status;
}

struct members {
	const struct field *field;
	size_t count[PARTS];
};

static enum iot_status count_member(json_t *item, void *data, struct iot_error *err)
{
	struct members *members = data;

	(void)err;
	members->count[is_module(members->field, json_string_value(item)) ? MODULES : DEVICES]++;
	return IOT_OK;
}

static enum iot_status add_group(struct field *field, const char *group, struct iot_error *err)
{
	struct members members = {.field = field};
	enum iot_status status = fleet_each(field->cloud, "ListThingsInThingGroup",
					    json_pack("{s:s, s:b}", "thingGroupName", group, "recursive", 1), "things",
					    count_member, &members, err);

	if (status != IOT_OK)
		return status;
	if (members.count[DEVICES] + members.count[MODULES] == 0)
		return iot_fail(err, IOT_NOT_FOUND, "group '%s' has no devices", group);
	if (members.count[DEVICES] > 0 && members.count[MODULES] > 0) {
		iot_fail(err, IOT_USAGE, "group '%s' has both ExpressLink modules and other devices", group);
		iot_error_hint(err, "they are reached in different ways: name the devices, or groups of one sort");
		return IOT_USAGE;
	}
	json_array_append_new(field->parts[members.count[MODULES] > 0 ? MODULES : DEVICES].names[GROUPS],
			      json_string(group));
	return IOT_OK;
}

static size_t part_size(const struct part *part)
{
	return json_array_size(part->names[THINGS]) + json_array_size(part->names[GROUPS]);
}

static enum iot_status find_targets(struct field *field, struct iot_error *err)
{
	const char *const *name;
	enum iot_status status = fleet_each(
		field->cloud, "ListThings",
		json_pack("{s:s, s:s}", "attributeName", FLEET_BOARD_ATTRIBUTE, "attributeValue", "expresslink"),
		"things", note_module, field, err);

	for (name = field->spec->devices; status == IOT_OK && name != NULL && *name != NULL; name++)
		status = add_device(field, *name, err);
	for (name = field->spec->groups; status == IOT_OK && name != NULL && *name != NULL; name++)
		status = add_group(field, *name, err);
	for (size_t i = 0; status == IOT_OK && i < PARTS; i++) {
		if (part_size(&field->parts[i]) <= TARGETS_MAX)
			continue;
		status = iot_fail(err, IOT_USAGE, "%zu targets are more than the %d that a job takes",
				  part_size(&field->parts[i]), TARGETS_MAX);
		iot_error_hint(err, "put the devices into a group and name that");
	}
	if (status == IOT_OK && part_size(&field->parts[MODULES]) > 0 && *field->change.host != '\0') {
		iot_fail(err, IOT_USAGE, "ExpressLink modules can be told a new root CA over the air, but no endpoint");
		iot_error_hint(err, "that goes over their serial line: --board expresslink --port PORT");
		status = IOT_USAGE;
	}
	return status;
}

/* --- the id, and the journal that keeps it ----------------------------------------------- */

static void fingerprint(struct field *field)
{
	IOT_JSON all = json_pack("[s,s,i,O,O,O,O]", field->change.root_id, field->change.host, field->change.port,
				 field->parts[DEVICES].names[THINGS], field->parts[DEVICES].names[GROUPS],
				 field->parts[MODULES].names[THINGS], field->parts[MODULES].names[GROUPS]);
	IOT_CLEAN(iot_free_p) char *text = iot_json_text(all);

	iot_sha256_hex(text, strlen(text), field->request);
}

static bool read_line(const json_t *line, void *data)
{
	struct field *field = data;
	const char *id = iot_json_str(line, "id", "");

	if (*id == '\0' || strlen(id) > ID_MAX)
		return false;
	snprintf(field->id, sizeof(field->id), "%s", id);
	field->known = true;
	field->differs = strcmp(iot_json_str(line, "request", ""), field->request) != 0;
	return true;
}

static enum iot_status choose_id(struct field *field, struct iot_error *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
	const char *id = field->spec->id;
	time_t now = (time_t)(iot_now_ms() / 1000);
	unsigned char random[2];
	char stamp[17];
	struct tm tm;

	if (id != NULL && (*id == '\0' || strlen(id) > ID_MAX || strspn(id, allowed) != strlen(id)))
		return iot_fail(err, IOT_USAGE, "'%.80s' is no id: letters, digits, '-' and '_', at most %d", id,
				ID_MAX);
	gmtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%S", &tm);
	iot_random(random, sizeof(random));
	if (id != NULL)
		snprintf(field->id, sizeof(field->id), "%s", id);
	else
		snprintf(field->id, sizeof(field->id), "%s-%02x%02x", stamp, random[0], random[1]);
	return IOT_OK;
}

static enum iot_status open_journal(struct field *field, struct iot_error *err)
{
	struct line_journal *journal = NULL;
	enum iot_status status = choose_id(field, err);

	if (status != IOT_OK || field->spec->journal == NULL)
		return status;
	status = line_journal_open(field->spec->journal, "iotctl device trust update", read_line, field, &journal, err);
	if (status != IOT_OK)
		return status;
	if (field->differs) {
		iot_fail(err, IOT_CONFLICT, "journal '%s' is of another endpoint, root CA or other devices",
			 field->spec->journal);
		iot_error_hint(err, "name a new file, or repeat the command as it was");
		(void)!line_journal_close(journal, NULL);
		return IOT_CONFLICT;
	}
	if (!field->known)
		line_journal_add(journal, "{\"id\":\"%s\",\"request\":\"%s\"}", field->id, field->request);
	return line_journal_close(journal, err);
}

/* --- the jobs ------------------------------------------------------------------------------ */

static json_t *job_document(const struct field *field)
{
	json_t *trust = json_object();

	iot_json_set_str(trust, "endpoint", *field->change.host != '\0' ? field->change.host : NULL);
	if (field->change.port > 0)
		iot_json_set_int(trust, "port", field->change.port);
	iot_json_set_str(trust, "rootCa", field->change.root_ca.len > 0 ? iot_buf_str(&field->change.root_ca) : NULL);
	return json_pack("{s:{s:o}}", "iotctl", "trust", trust);
}

static json_t *target_arns(const struct field *field, const struct part *part)
{
	json_t *arns = json_array(), *name;
	size_t i;

	for (size_t sort = THINGS; sort <= GROUPS; sort++) {
		json_array_foreach(part->names[sort], i, name) {
			IOT_CLEAN(iot_free_p)
			char *arn = fleet_arn(field->cloud, sort == GROUPS ? "thinggroup" : "thing",
					      json_string_value(name));

			json_array_append_new(arns, json_string(arn));
		}
	}
	return arns;
}

static enum iot_status create_job(struct field *field, const struct part *part, struct iot_error *err)
{
	IOT_JSON document = job_document(field);
	IOT_CLEAN(iot_free_p) char *text = iot_json_text(document);
	int64_t minutes = field->spec->device_minutes > 0 ? field->spec->device_minutes : 60;
	json_t *request = json_pack("{s:s, s:o, s:s, s:s, s:{s:I}}", "jobId", part->job, "targets",
				    target_arns(field, part), "document", text, "targetSelection", "SNAPSHOT",
				    "timeoutConfig", "inProgressTimeoutInMinutes", (json_int_t)minutes);

	if (field->spec->per_minute > 0)
		json_object_set_new(request, "jobExecutionsRolloutConfig",
				    json_pack("{s:I}", "maximumPerMinute", (json_int_t)field->spec->per_minute));
	return fleet_call(field->cloud, "CreateJob", request, NULL, err);
}

static const char **name_list(const json_t *names)
{
	const char **list = iot_alloc_array(json_array_size(names) + 1, sizeof(*list));

	for (size_t i = 0; i < json_array_size(names); i++)
		list[i] = json_string_value(json_array_get(names, i));
	return list;
}

static enum iot_status push_root(struct field *field, const struct part *part, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) const char **things = name_list(part->names[THINGS]);
	IOT_CLEAN(iot_free_p) const char **groups = name_list(part->names[GROUPS]);
	const struct iot_push_spec push = {.image = field->change.spec->root_ca,
					   .content = &field->change.root_ca,
					   .kind = IOT_PUSH_ROOT_CA,
					   .devices = things,
					   .groups = groups,
					   .id = field->id,
					   .timeout_minutes = field->spec->device_minutes,
					   .per_minute = field->spec->per_minute};
	IOT_JSON record = NULL;

	return iot_ota_push(field->cloud, &push, &record, err);
}

static enum iot_status ensure_job(struct field *field, size_t which, struct iot_error *err)
{
	struct part *part = &field->parts[which];
	struct iot_error missing = IOT_ERROR_INIT;
	enum iot_status status;

	if (part_size(part) == 0)
		return IOT_OK;
	part->job = iot_strf("%s%s", which == MODULES ? FLEET_OTA_PREFIX : JOB_PREFIX, field->id);
	status = field->known ? fleet_call(field->cloud, "DescribeJob", json_pack("{s:s}", "jobId", part->job), NULL,
					   &missing)
			      : IOT_NOT_FOUND;
	if (status == IOT_OK)
		return IOT_OK;
	if (status != IOT_NOT_FOUND && !fleet_missing(&missing)) {
		*err = missing;
		return status;
	}
	status = which == MODULES ? push_root(field, part, err) : create_job(field, part, err);
	if (status != IOT_OK)
		return status;
	field->changed = true;
	at_point(field, which == MODULES ? "modules" : "devices");
	return IOT_OK;
}

/* --- waiting --------------------------------------------------------------------------------- */

struct tally {
	int64_t total, over, succeeded;
	bool ended;
};

static bool has_ended(const char *job_status)
{
	return strcmp(job_status, "COMPLETED") == 0 || strcmp(job_status, "CANCELED") == 0;
}

/* The executions of one job, appended to `devices` and to the tally. */
static enum iot_status look_at_job(struct field *field, const struct part *part, json_t *devices, struct tally *tally,
				   struct iot_error *err)
{
	IOT_JSON reply = NULL;
	IOT_JSON newest = NULL;
	const char *thing;
	json_t *record;
	int64_t over = 0, total = 0;
	enum iot_status status;

	if (part->job == NULL)
		return IOT_OK;
	status = fleet_call(field->cloud, "DescribeJob", json_pack("{s:s}", "jobId", part->job), &reply, err);
	if (status == IOT_OK)
		status = fleet_executions(field->cloud, part->job, &newest, err);
	if (status != IOT_OK)
		return status;
	json_object_foreach(newest, thing, record) {
		const char *state = iot_json_str(record, "status", "");

		total++;
		over += fleet_execution_is_over(state);
		tally->succeeded += strcmp(state, "SUCCEEDED") == 0;
		iot_json_set_str(record, "job", part->job);
		json_array_append(devices, record);
	}
	tally->total += total;
	tally->over += over;
	if (!has_ended(iot_json_str(json_object_get(reply, "job"), "status", "")) || over < total)
		tally->ended = false;
	return IOT_OK;
}

static enum iot_status look(struct field *field, json_t **ret_devices, struct tally *tally, struct iot_error *err)
{
	IOT_JSON devices = json_array();
	enum iot_status status = IOT_OK;

	*tally = (struct tally){.ended = true};
	for (size_t i = 0; status == IOT_OK && i < PARTS; i++)
		status = look_at_job(field, &field->parts[i], devices, tally, err);
	if (status == IOT_OK)
		*ret_devices = iot_take(devices);
	return status;
}

/* Those that are in the middle of it end it by themselves, one way or the other. */
static enum iot_status cancel(struct field *field, int64_t failed, struct iot_error *err)
{
	enum iot_status first = IOT_OK;

	for (size_t i = 0; i < PARTS; i++) {
		const char *job = field->parts[i].job;
		struct iot_error fault = IOT_ERROR_INIT;
		enum iot_status status = IOT_OK;

		if (job != NULL)
			status = fleet_call(field->cloud, "CancelJob", json_pack("{s:s}", "jobId", job), NULL, &fault);
		/* One that has ended needs no stopping; one that cannot be stopped must not keep the other going. */
		if (status == IOT_OK || first != IOT_OK || strcmp(fault.code, "InvalidStateTransitionException") == 0)
			continue;
		first = status;
		*err = fault;
		err->hint[0] = '\0'; /* that they go on counts more */
		iot_error_while(err, "stopping after %lld failures", (long long)failed);
		iot_error_hint(err, "others go on; stop them with 'iotctl job cancel %s'", job);
	}
	if (first != IOT_OK)
		return first;
	iot_fail(err, IOT_ABORTED, "%lld devices did not take the new trust: the others are left as they are",
		 (long long)failed);
	iot_error_hint(err, "each one's reason is in the record; none has lost its old endpoint and root CA");
	return IOT_ABORTED;
}

static enum iot_status outcome(const struct field *field, struct tally tally, struct iot_error *err)
{
	enum iot_status status = tally.succeeded > 0 ? IOT_PARTIAL : IOT_FAILURE;

	if (tally.total > 0 && tally.succeeded == tally.total)
		return IOT_OK;
	iot_fail(err, status, "%lld of %lld devices did not take the new trust of '%s'",
		 (long long)(tally.total - tally.succeeded), (long long)tally.total, field->id);
	iot_error_hint(err, "they keep their old endpoint and root CA; each one's reason is in the record");
	return status;
}

/* Where nothing keeps their ids, the same command would make new jobs. */
static void hint_watching(const struct field *field, struct iot_error *err)
{
	const char *job = field->parts[DEVICES].job != NULL ? field->parts[DEVICES].job : field->parts[MODULES].job;

	if (field->spec->journal != NULL)
		iot_error_hint(err, "the same command with the same --resume goes on watching");
	else
		iot_error_hint(err,
			       "'iotctl job executions %s' shows each device; with --resume the same command would go "
			       "on watching",
			       job);
}

static enum iot_status not_longer(const struct field *field, int64_t deadline, struct iot_error *err)
{
	const struct iot_trust_field_spec *spec = field->spec;
	enum iot_status status = IOT_OK;

	if (spec->interrupted != NULL && spec->interrupted(spec->data))
		status = iot_fail(err, IOT_INTERRUPTED, "stopped watching: '%s' goes on", field->id);
	else if (spec->timeout_ms > 0 && iot_left(deadline) == 0)
		status = iot_fail(err, IOT_TIMEOUT, "'%s' has not ended within %lld s; it goes on", field->id,
				  (long long)(spec->timeout_ms / 1000));
	if (status != IOT_OK)
		hint_watching(field, err);
	return status;
}

static enum iot_status follow(struct field *field, json_t **ret_devices, struct iot_error *err)
{
	const struct iot_trust_field_spec *spec = field->spec;
	int64_t deadline = iot_deadline(spec->timeout_ms);

	for (;; poll(NULL, 0, POLL_MS)) {
		IOT_JSON devices = NULL;
		struct tally tally;
		enum iot_status status = look(field, &devices, &tally, err);

		if (status == IOT_AGAIN && *ret_devices != NULL) { /* busy or throttled: the next look tells more */
			iot_error_clear(err);
			status = not_longer(field, deadline, err);
			if (status == IOT_OK)
				continue;
		}
		if (status != IOT_OK)
			return status;
		json_decref(*ret_devices);
		*ret_devices = iot_take(devices);
		if (spec->progress != NULL)
			spec->progress(tally.over, tally.total, field->id, spec->data);
		if (tally.ended)
			return outcome(field, tally, err);
		if (spec->max_failures > 0 && tally.over - tally.succeeded >= spec->max_failures)
			return cancel(field, tally.over - tally.succeeded, err);
		status = not_longer(field, deadline, err);
		if (status != IOT_OK)
			return status;
	}
}

/* --- the whole ----------------------------------------------------------------------------------- */

/* Modules take a root CA over the air only from the one that they have (programmer's guide, table of file types). */
static enum iot_status check_signed(const struct field *field, struct iot_error *err)
{
	const struct iot_buf *old = &field->change.fleet.ca, *new = &field->change.root_ca;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *before = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *after = NULL;
	enum iot_status status;

	if (field->change.spec->force || old->len == 0)
		return IOT_OK;
	status = iot_cert_parse_pem(iot_buf_str(old), old->len, "the fleet's root CA", &before, err);
	if (status == IOT_OK)
		status = iot_cert_parse_pem(iot_buf_str(new), new->len, "the new root CA", &after, err);
	if (status != IOT_OK || strcmp(iot_cert_id(before), iot_cert_id(after)) == 0 ||
	    iot_cert_verify_signed_by(after, iot_cert_key(before), NULL) == IOT_OK)
		return status;
	iot_fail(err, IOT_VERIFY, "the root CA that ExpressLink modules have did not sign the new one");
	iot_error_hint(err,
		       "they would refuse it: have it cross-signed, or give it over the serial line; --force tries");
	return IOT_VERIFY;
}

/* The fleet's own endpoint is where all of them are: it is known without asking any. */
static enum iot_status check(struct field *field, struct iot_error *err)
{
	const struct fleet_surroundings *fleet = &field->change.fleet;
	enum iot_status status = part_size(&field->parts[MODULES]) > 0 ? check_signed(field, err) : IOT_OK;

	return status == IOT_OK
		       ? trust_check(&field->change, fleet->endpoint, (int)fleet->port, iot_buf_str(&fleet->ca), err)
		       : status;
}

static json_t *make_record(const struct field *field, const json_t *devices)
{
	json_t *record = json_pack("{s:s, s:[]}", "id", field->id, "jobs");

	for (size_t i = 0; i < PARTS; i++)
		if (field->parts[i].job != NULL)
			json_array_append_new(json_object_get(record, "jobs"), json_string(field->parts[i].job));
	iot_json_set_str(record, "endpoint", field->change.spec->endpoint);
	iot_json_set_str(record, "rootCaId", *field->change.root_id != '\0' ? field->change.root_id : NULL);
	json_object_set(record, "devices", (json_t *)(uintptr_t)devices);
	json_object_set_new(record, "notProved", json_array());
	if (part_size(&field->parts[MODULES]) > 0)
		json_array_append_new(
			json_object_get(record, "notProved"),
			json_string("that modules connect with the root CA: they use it when they connect next"));
	iot_json_set_bool(record, "resumed", field->known);
	iot_json_set_bool(record, "changed", field->changed);
	return record;
}

/* Who it would be. */
static json_t *intended(const struct field *field)
{
	json_t *devices = json_array(), *name;
	size_t i;

	for (size_t part = 0; part < PARTS; part++) {
		for (size_t sort = THINGS; sort <= GROUPS; sort++)
			json_array_foreach(field->parts[part].names[sort], i, name)
				json_array_append_new(devices,
						      json_pack("{s:O, s:s}", sort == GROUPS ? "group" : "thingName",
								name, "way", part == MODULES ? "update" : "job"));
	}
	return devices;
}

static enum iot_status carry_out(struct field *field, json_t **ret_devices, struct iot_error *err)
{
	struct tally tally;
	enum iot_status status = trust_read(field->cloud, &field->spec->change, &field->change, err);

	if (status == IOT_OK)
		status = find_targets(field, err);
	if (status == IOT_OK)
		status = check(field, err);
	if (status != IOT_OK)
		return status;
	if (field->spec->change.dry_run) {
		*ret_devices = intended(field);
		return IOT_OK;
	}
	fingerprint(field);
	status = open_journal(field, err);
	if (status == IOT_OK)
		at_point(field, "journal");
	for (size_t i = 0; status == IOT_OK && i < PARTS; i++)
		status = ensure_job(field, i, err);
	if (status != IOT_OK)
		return status;
	return field->spec->wait ? follow(field, ret_devices, err) : look(field, ret_devices, &tally, err);
}

enum iot_status iot_trust_field(struct iot_cloud *cloud, const struct iot_trust_field_spec *spec, json_t **ret_record,
				struct iot_error *err)
{
	struct iot_error scratch = IOT_ERROR_INIT;
	struct field field = {.cloud = cloud, .spec = spec, .change = TRUST_CHANGE_INIT, .module_names = json_object()};
	IOT_JSON devices = NULL;
	enum iot_status status;

	for (size_t i = 0; i < PARTS; i++)
		field.parts[i] = (struct part){{json_array(), json_array()}, NULL};
	err = err != NULL ? err : &scratch;
	status = carry_out(&field, &devices, err);
	/* Those that did not take it are the news. */
	if (devices != NULL)
		*ret_record = make_record(&field, devices);
	iot_error_while(err, "renewing the trust of devices");
	for (size_t i = 0; i < PARTS; i++) {
		json_decref(field.parts[i].names[THINGS]);
		json_decref(field.parts[i].names[GROUPS]);
		free(field.parts[i].job);
	}
	json_decref(field.module_names);
	trust_release(&field.change);
	return status;
}
