/*
 * Provisioning one board, whatever its kind: the steps in their order, each
 * written to the journal before it is done and after. A step looks at what is there first, so a run
 * that was killed anywhere is finished by the next, and one on a finished board
 * changes nothing.
 */
#include "fleet/lifecycle.h"
#include "fleet/provision_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/log.h"
#include "iotctl/text.h"

#include <string.h>

/* --- everything is looked at before the board is touched ------------------------------- */

static enum iot_status read_password(struct provision *run, struct iot_error *err)
{
	const struct iot_secret_source *source = run->spec->wifi_password;

	if (source == NULL)
		return IOT_OK;
	if (run->spec->wifi_ssid == NULL) {
		iot_fail(err, IOT_USAGE, "a Wi-Fi password needs the name of its network");
		iot_error_hint(err, "give it with --wifi-ssid");
		return IOT_USAGE;
	}
	return source->read(source->context, "the Wi-Fi network", &run->wifi_password, err);
}

/* Policies are attached to certificates, and to groups of things. */
static enum iot_status check_without_certificate(struct provision *run, struct iot_error *err)
{
	static const char *const none[] = {NULL};

	if (provision_at_aws(run)) {
		iot_fail(err, IOT_USAGE, "AWS IoT knows no shared secrets, and a board of kind '%s' has nothing else",
			 run->spec->board);
		iot_error_hint(err, "make it a device of a local fleet, whose gateway may speak to AWS");
		return IOT_USAGE;
	}
	if (run->spec->policies == NULL || run->spec->policies[0] == NULL) {
		run->policies = none;
		return IOT_OK;
	}
	iot_fail(err, IOT_USAGE, "a board of kind '%s' has no certificate that policy '%s' could be attached to",
		 run->spec->board, run->spec->policies[0]);
	iot_error_hint(err, "attach it to a group that the device joins: 'iotctl policy attach POLICY --group GROUP'");
	return IOT_USAGE;
}

static enum iot_status prepare(struct provision *run, struct iot_error *err)
{
	const struct iot_provision_spec *spec = run->spec;
	enum iot_status status = iot_clock_check(err);

	if (status == IOT_OK)
		status = iot_board_description_load(spec->board, &run->description, err);
	if (status == IOT_OK && spec->name != NULL)
		status = iot_cert_check_name(spec->name, err);
	if (status == IOT_OK && spec->lock != IOT_BOARD_LOCK_NONE && run->description->ops->lock == NULL)
		status = iot_fail(err, IOT_USAGE, "a board of kind '%s' cannot be locked", spec->board);
	if (status == IOT_OK && provision_has_psk(run))
		status = check_without_certificate(run, err);
	if (status == IOT_OK)
		status = iot_board_check_locks(run->description, (enum iot_board_lock)spec->lock, spec->locks, err);
	if (status == IOT_OK)
		status = read_password(run, err);
	if (status == IOT_OK)
		status = provision_look(run, err);
	if (status == IOT_OK)
		status = journal_open(spec->journal, &run->journal, err);
	return status;
}

static enum iot_status open_board(struct provision *run, struct iot_error *err)
{
	const struct iot_provision_spec *spec = run->spec;
	const struct iot_board_options options = {
		.serial = {.path = spec->port,
			   .baud = spec->baud,
			   .interrupt_fd = spec->interrupt_fd,
			   .transcript = spec->transcript,
			   .pulse = (enum iot_serial_pulse)spec->pulse},
		.answer_ms = spec->answer_ms,
		.locks = spec->locks,
	};

	return iot_board_open_described(run->description, &options, &run->board, err);
}

/* --- the steps -------------------------------------------------------------------------------- */

static bool has_certificate(const struct provision *run)
{
	return !provision_has_psk(run);
}

static bool needs_key(const struct provision *run)
{
	return run->description->key == IOT_BOARD_KEY_BOARD || run->description->key == IOT_BOARD_KEY_HOST;
}

static bool needs_tidying(const struct provision *run)
{
	return run->description->key != IOT_BOARD_KEY_FACTORY || run->entry.replaces != NULL;
}

static bool told_to_connect(const struct provision *run)
{
	return run->description->prove & IOT_BOARD_PROVE_CONNECT && !provision_is_sealed(run);
}

/* What the journal has of these steps is all that is known of a sealed board: they are not begun anew. */
static bool can_be_given(const struct provision *run)
{
	return !provision_is_sealed(run);
}

static bool is_locked(const struct provision *run)
{
	return run->spec->lock != IOT_BOARD_LOCK_NONE;
}

static bool is_started(const struct provision *run)
{
	return run->description->ops->start != NULL;
}

const struct provision_step provision_steps[] = {
	{{3, "reserve", false}, provision_aws_reserve, provision_at_aws},
	{{5, "key", true}, provision_key, needs_key},
	{{10, "certificate", false}, provision_certificate, has_certificate},
	{{30, "thing", false}, provision_thing, NULL}, /* first, so that no certificate is ever without a device */
	{{20, "register", false}, provision_register, has_certificate},
	{{35, "secret", true}, provision_secret, provision_has_psk}, /* it goes with its thing, too */
	{{40, "policy", false}, provision_policy, has_certificate},
	{{50, "program", true}, provision_program, can_be_given},
	{{60, "connect", false}, provision_connect, told_to_connect}, /* nothing that lasts is changed in the board */
	{{70, "verify", false}, provision_verify, can_be_given},
	{{74, "lock", true}, provision_lock, is_locked},
	{{76, "start", true}, provision_start, is_started},
	{{78, "tidy", false}, provision_tidy, needs_tidying},
	{{80, "record", false}, NULL, NULL},
	{{0}, NULL, NULL},
};

static void tell(const struct provision *run, const char *step)
{
	if (run->spec->progress != NULL)
		run->spec->progress(step, run->spec->data);
}

/* Note what went wrong, as far as the journal can. */
static void note_failure(struct provision *run, const struct provision_step *step, const struct iot_error *err)
{
	struct iot_error ignored = IOT_ERROR_INIT;
	char line[1024];

	(void)!journal_failed(run->journal, run->entry.id, &step->id, iot_error_line(err, line, sizeof(line)),
			      &ignored);
}

static void at_point(const struct provision *run, const struct provision_step *step, bool done)
{
	if (run->spec->point != NULL)
		run->spec->point(step->id.name, done, run->spec->data);
}

static enum iot_status run_step(struct provision *run, const struct provision_step *step,
				const struct provision_step *before, struct iot_error *err)
{
	enum iot_status status;

	tell(run, step->id.name);
	status = journal_next(run->journal, run->entry.id, before != NULL ? &before->id : NULL, &step->id, err);
	if (status != IOT_OK)
		return status;
	at_point(run, step, false);
	/* Done is done: the next run is told by the last one that nothing was left open. */
	status = step->run != NULL ? step->run(run, err)
				   : journal_done(run->journal, run->entry.id, &step->id, run->endpoint, err);
	if (status != IOT_OK)
		note_failure(run, step, err);
	else
		at_point(run, step, true);
	return status;
}

static enum iot_status run_steps(struct provision *run, struct iot_error *err)
{
	const struct provision_step *before = NULL;
	enum iot_status status;

	tell(run, "identify");
	status = iot_board_identify(run->board, &run->identity, err);
	if (status == IOT_OK)
		status = provision_sealed(run, err);
	if (status == IOT_OK && run->spec->check != NULL)
		status = run->spec->check(&run->identity, &run->named.name, &run->named.serial_number, run->spec->data,
					  err);
	if (status == IOT_OK)
		status = provision_name(run, err);
	if (status == IOT_OK)
		status = provision_check_owner(run, err);
	/* Made at the first use: not for a board that is refused. */
	if (status == IOT_OK)
		status = provision_at_aws(run)
				 ? provision_aws_codesign(run, err)
				 : iot_codesign_certificate(run->cloud, run->spec->codesign, &run->codesign, err);
	if (status != IOT_OK)
		return status;
	tell(run, "reserve");
	status = provision_reserve(run, err);
	for (const struct provision_step *step = provision_steps; status == IOT_OK && step->id.name != NULL; step++) {
		if (step->applies != NULL && !step->applies(run))
			continue;
		status = run_step(run, step, before, err);
		before = step;
	}
	return status;
}

/* --- the record ---------------------------------------------------------------------------------- */

static json_t *items_record(const struct provision *run)
{
	static const char *const words[] = {[IOT_ITEM_SAME] = "same",
					    [IOT_ITEM_NAMED] = "named",
					    [IOT_ITEM_WRITTEN] = "written",
					    [IOT_ITEM_TAKEN] = "accepted"};
	json_t *items = json_object();

	for (int kind = 0; kind < IOT_ITEM_COUNT; kind++)
		if (run->outcomes[kind] != IOT_ITEM_NOT_TRIED)
			iot_json_set_str(items, iot_board_item_name((enum iot_board_item_kind)kind),
					 words[run->outcomes[kind]]);
	return items;
}

/* Its kind is told where to connect; else its own software has to know, and labels may have to say. */
static bool is_told_endpoint(const struct provision *run)
{
	return run->description->install & 1U << IOT_ITEM_ENDPOINT;
}

static json_t *make_record(const struct provision *run)
{
	json_t *record = json_object();

	iot_json_set_str(record, "thingName", run->thing);
	json_object_update(record, run->names);
	iot_json_set_str(record, "board", run->description->name);
	iot_json_set_str(record, "uid", *run->identity.uid != '\0' ? run->identity.uid : NULL);
	iot_json_set_str(record, "vendor", run->identity.vendor);
	iot_json_set_str(record, "model", run->identity.model);
	iot_json_set_str(record, "version", run->identity.version);
	iot_json_set_str(record, "certificateId", run->cert != NULL ? iot_cert_id(run->cert) : NULL);
	iot_json_set_str(record, "pskIdentity", run->psk_identity);
	iot_json_set_str(record, "attestationIdentity", run->attest_identity);
	iot_json_set_str(record, "keyOrigin", provision_key_origin(run));
	iot_json_set_bool(record, "exposedOnWire", iot_board_key_on_wire(run->description->key));
	iot_json_set_str(record, is_told_endpoint(run) ? "endpoint" : "endpointNotTold", run->endpoint);
	json_object_set_new(record, "items", items_record(run));
	json_object_set(record, "proof", run->proof);
	json_object_set(record, "notProved", run->not_proved);
	json_object_set(record, "locks", run->locks);
	iot_json_set_bool(record, "resumed", run->entry.known && run->entry.unfinished);
	iot_json_set_bool(record, "changed", run->changed);
	return record;
}

static void release(struct provision *run)
{
	iot_board_close(run->board);
	lifecycle_free(run->lifecycle);
	iot_board_identity_release(&run->identity);
	iot_board_description_free(run->description);
	iot_cert_free(run->cert);
	iot_key_free(run->key);
	journal_entry_release(&run->entry);
	iot_store_close(run->journal);
	free(run->endpoint);
	free(run->port);
	free(run->thing);
	free(run->uid);
	iot_buf_release(&run->cert_pem);
	iot_buf_release(&run->codesign);
	iot_buf_release(&run->root_ca);
	iot_buf_release(&run->wifi_password);
	free(run->psk_identity);
	free(run->attest_identity);
	iot_buf_release(&run->psk);
	iot_buf_release(&run->attest);
	json_decref(run->names);
	json_decref(run->proof);
	json_decref(run->not_proved);
	json_decref(run->locks);
}

enum iot_status iot_provision(struct iot_cloud *cloud, const struct iot_provision_spec *spec, json_t **ret_record,
			      struct iot_error *err)
{
	static const char *const default_policies[] = {"device", NULL};
	struct iot_error scratch = IOT_ERROR_INIT;
	struct provision run = {
		.cloud = cloud,
		.named = *spec,
		.policies = spec->policies != NULL ? spec->policies : default_policies,
		.identity = IOT_BOARD_IDENTITY_INIT,
		.codesign = IOT_BUF_INIT(IOT_CERT_PEM_MAX),
		.root_ca = IOT_BUF_INIT(IOT_CERT_PEM_MAX),
		.wifi_password = IOT_BUF_SECRET(IOT_SECRET_MAX),
		.psk = IOT_BUF_SECRET(IOT_SECRET_MAX),
		.attest = IOT_BUF_SECRET(IOT_SECRET_MAX),
		.proof = json_array(),
		.not_proved = json_array(),
		.locks = json_array(),
		.cert_pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX),
	};
	enum iot_status status;

	run.spec = &run.named;
	err = err != NULL ? err : &scratch;
	/* A fleet elsewhere has nobody to ask who is connected with what, and keeps its CA to itself. */
	status = fleet_is_remote(cloud) ? iot_fleet_need_local(cloud, err) : IOT_OK;
	if (status == IOT_OK)
		status = prepare(&run, err);
	if (status == IOT_OK)
		status = open_board(&run, err);
	if (status == IOT_OK)
		status = run_steps(&run, err);
	if (status == IOT_OK)
		*ret_record = make_record(&run);
	else
		iot_error_while(err, "provisioning the board on '%.160s'", spec->port);
	if (status == IOT_BOARD && err->hint[0] == '\0')
		iot_error_hint(
			err, "look at the cable and at what the board says, and do it again: it goes on where it was");
	release(&run);
	return status;
}
