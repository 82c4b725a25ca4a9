/*
 * Provisioning one board: the steps in their order, each written to the journal
 * before it is done and after. A step looks at what is there first, so a run
 * that was killed anywhere is finished by the next, and one on a finished board
 * changes nothing.
 */
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

static enum iot_status prepare(struct provision *run, struct iot_error *err)
{
	const struct iot_provision_spec *spec = run->spec;
	enum iot_status status = iot_clock_check(err);

	if (status == IOT_OK && spec->alias != NULL)
		status = iot_cert_check_name(spec->alias, err);
	if (status == IOT_OK)
		status = read_password(run, err);
	if (status == IOT_OK)
		status = provision_look(run, err);
	if (status == IOT_OK)
		status = iot_codesign_certificate(run->cloud, spec->codesign, &run->codesign, err);
	if (status == IOT_OK)
		status = journal_open(spec->journal, &run->journal, err);
	return status;
}

static enum iot_status open_board(struct provision *run, struct iot_error *err)
{
	const struct iot_provision_spec *spec = run->spec;
	const struct iot_board_ops *ops = iot_board_find(spec->board);
	const struct iot_board_options options = {
		.serial = {.path = spec->port,
			   .baud = spec->baud,
			   .interrupt_fd = spec->interrupt_fd,
			   .transcript = spec->transcript,
			   .pulse = (enum iot_serial_pulse)spec->pulse},
		.answer_ms = spec->answer_ms,
	};

	if (ops == NULL)
		return iot_fail(err, IOT_USAGE, "there is no kind of board '%s'", spec->board);
	if (!(ops->capabilities & IOT_BOARD_BORN_WITH_CERTIFICATE))
		return iot_fail(err, IOT_USAGE, "boards of kind '%s' have no certificate of their own", spec->board);
	return iot_board_open(ops, &options, &run->board, err);
}

/* --- identify and reserve ------------------------------------------------------------------ */

static enum iot_status identify(struct provision *run, struct iot_error *err)
{
	const struct iot_buf *pem = &run->identity.certificate;
	enum iot_status status = iot_board_identify(run->board, &run->identity, err);

	if (status == IOT_OK)
		status = iot_cert_parse_pem(iot_buf_str(pem), pem->len, "the board's certificate", &run->cert, err);
	if (status == IOT_OK)
		status = iot_key_check_device(iot_cert_key(run->cert), err);
	return status == IOT_OK ? provision_check_owner(run, err) : status;
}

static enum iot_status reserve(struct provision *run, struct iot_error *err)
{
	char key_id[IOT_SHA256_HEX_SIZE];
	const struct journal_board board = {
		.fleet = provision_fleet(run),
		.kind = run->spec->board,
		.uid = run->identity.uid,
		.key_id = iot_key_id(iot_cert_key(run->cert), key_id),
		.serial_number = run->spec->serial_number,
		.thing = run->identity.uid,
		.certificate_id = iot_cert_id(run->cert),
		.port = run->spec->port,
	};

	return journal_reserve(run->journal, &board, run->spec->replace, &run->entry, err);
}

/* --- the steps -------------------------------------------------------------------------------- */

const struct provision_step provision_steps[] = {
	{{10, "certificate", false}, provision_check_certificate},
	{{20, "register", false}, provision_register},
	{{30, "thing", false}, provision_thing},
	{{40, "policy", false}, provision_policy},
	{{50, "program", true}, provision_program},
	{{60, "connect", false}, provision_connect}, /* nothing that lasts is changed in the board */
	{{70, "verify", false}, provision_verify},
	{{80, "record", false}, NULL},
	{{0}, NULL},
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

static enum iot_status run_step(struct provision *run, const struct provision_step *step,
				const struct provision_step *before, struct iot_error *err)
{
	enum iot_status status;

	tell(run, step->id.name);
	status = journal_next(run->journal, run->entry.id, before != NULL ? &before->id : NULL, &step->id, err);
	if (status != IOT_OK)
		return status;
	/* Done is done: the next run is told by the last one that nothing was left open. */
	status = step->run != NULL ? step->run(run, err)
				   : journal_done(run->journal, run->entry.id, &step->id, run->endpoint, err);
	if (status != IOT_OK)
		note_failure(run, step, err);
	return status;
}

static enum iot_status run_steps(struct provision *run, struct iot_error *err)
{
	enum iot_status status;

	tell(run, "identify");
	status = identify(run, err);
	if (status != IOT_OK)
		return status;
	tell(run, "reserve");
	status = reserve(run, err);
	for (const struct provision_step *step = provision_steps; status == IOT_OK && step->id.name != NULL; step++)
		status = run_step(run, step, step > provision_steps ? step - 1 : NULL, err);
	return status;
}

/* --- the record ---------------------------------------------------------------------------------- */

static json_t *items_record(const struct provision *run)
{
	static const char *const words[] = {
		[IOT_ITEM_SAME] = "same", [IOT_ITEM_WRITTEN] = "written", [IOT_ITEM_TAKEN] = "accepted"};
	json_t *items = json_object();

	for (int kind = 0; kind < IOT_ITEM_COUNT; kind++)
		if (run->outcomes[kind] != IOT_ITEM_NOT_TRIED)
			iot_json_set_str(items, iot_board_item_name((enum iot_board_item_kind)kind),
					 words[run->outcomes[kind]]);
	return items;
}

static json_t *make_record(const struct provision *run)
{
	json_t *record = json_object();

	iot_json_set_str(record, "thingName", run->identity.uid);
	json_object_update(record, run->names);
	iot_json_set_str(record, "board", run->spec->board);
	iot_json_set_str(record, "vendor", run->identity.vendor);
	iot_json_set_str(record, "model", run->identity.model);
	iot_json_set_str(record, "version", run->identity.version);
	iot_json_set_str(record, "certificateId", iot_cert_id(run->cert));
	iot_json_set_str(record, "keyOrigin", "board");
	iot_json_set_str(record, "endpoint", run->endpoint);
	json_object_set_new(record, "items", items_record(run));
	json_object_set(record, "proof", run->proof);
	json_object_set(record, "notProved", run->not_proved);
	iot_json_set_bool(record, "resumed", run->entry.known && run->entry.unfinished);
	iot_json_set_bool(record, "changed", run->changed);
	return record;
}

static void release(struct provision *run)
{
	iot_board_close(run->board);
	iot_board_identity_release(&run->identity);
	iot_cert_free(run->cert);
	iot_store_close(run->journal);
	free(run->endpoint);
	iot_buf_release(&run->codesign);
	iot_buf_release(&run->root_ca);
	iot_buf_release(&run->wifi_password);
	json_decref(run->names);
	json_decref(run->proof);
	json_decref(run->not_proved);
}

enum iot_status iot_provision(struct iot_cloud *cloud, const struct iot_provision_spec *spec, json_t **ret_record,
			      struct iot_error *err)
{
	static const char *const default_policies[] = {"device", NULL};
	struct iot_error scratch = IOT_ERROR_INIT;
	struct provision run = {
		.cloud = cloud,
		.spec = spec,
		.policies = spec->policies != NULL ? spec->policies : default_policies,
		.identity = IOT_BOARD_IDENTITY_INIT,
		.codesign = IOT_BUF_INIT(IOT_CERT_PEM_MAX),
		.root_ca = IOT_BUF_INIT(IOT_CERT_PEM_MAX),
		.wifi_password = IOT_BUF_SECRET(IOT_SECRET_MAX),
		.proof = json_array(),
		.not_proved = json_array(),
	};
	enum iot_status status;

	err = err != NULL ? err : &scratch;
	status = iot_fleet_need_local(cloud, err);
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
	release(&run);
	return status;
}
