/*
 * The board's half of provisioning: whose it is, what it is given, and how it
 * proves that it has it: that it connects, and the broker saw this very
 * certificate, or that it shows its key.
 */
#include "fleet/provision_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"

#include <string.h>

enum { PROOF_MS = 15000, AWS_PROOF_MS = 45000 /* its index is late */, CONNECT_MS = 120000 };

/* --- whose is it ------------------------------------------------------------------- */

static bool foreign(const struct provision *run, const char *earlier)
{
	const struct iot_board_identity *identity = &run->identity;

	/* A board that cannot tell its factory's endpoint from another: any but ours may be somebody's. */
	bool claimed = identity->claimed_known ? identity->claimed : *identity->endpoint != '\0';

	return claimed && strcmp(identity->endpoint, run->endpoint) != 0 &&
	       (earlier == NULL || strcmp(identity->endpoint, earlier) != 0);
}

/* A name alone makes no device; with a certificate or a shared secret it does. */
static bool is_other_device(const struct provision *run)
{
	const struct iot_board_identity *identity = &run->identity;

	return *identity->thing_name != '\0' && (identity->certificate.len > 0 || *identity->psk_identity != '\0') &&
	       strcmp(identity->thing_name, run->thing) != 0;
}

enum iot_status provision_check_owner(struct provision *run, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *earlier = NULL;
	bool in_hand;
	enum iot_status status =
		journal_endpoint(run->journal, provision_fleet(run), run->uid, &earlier, &in_hand, err);

	/* What a run that ended in the middle of writing left in it is nobody's. */
	if (status != IOT_OK || in_hand || run->spec->replace)
		return status;
	if (*run->identity.occupied != '\0') {
		iot_fail(err, IOT_CONFLICT, "%s holds something else", run->identity.occupied);
		iot_error_hint(
			err,
			"nothing was changed; is the description's place right? --replace overwrites what is there");
		return IOT_CONFLICT;
	}
	if (is_other_device(run)) {
		iot_fail(err, IOT_CONFLICT, "the board is device '%s' already, not '%s'", run->identity.thing_name,
			 run->thing);
		iot_error_hint(err, "nothing was changed; --replace makes it another one");
		return IOT_CONFLICT;
	}
	if (!foreign(run, earlier))
		return IOT_OK;
	/* A wire may lose a byte; a board is not called a stranger for that. */
	status = iot_board_identify(run->board, &run->identity, err);
	if (status != IOT_OK || !foreign(run, earlier))
		return status;
	iot_fail(err, IOT_CONFLICT, "board '%s' belongs to another fleet: its endpoint is '%s'", run->uid,
		 run->identity.endpoint);
	if (run->identity.claimed_known)
		iot_error_hint(err, "nothing was changed; --replace takes it over");
	else
		iot_error_hint(
			err,
			"it is too old to tell whether that is its factory's; nothing was changed; --replace sets it "
			"up for this fleet");
	return IOT_CONFLICT;
}

/* --- programming --------------------------------------------------------------------- */

static const char *value_of(const struct provision *run, enum iot_board_item_kind kind)
{
	switch (kind) {
	case IOT_ITEM_CODE_SIGNING:
		return iot_buf_str(&run->codesign);
	case IOT_ITEM_ROOT_CA:
		return iot_buf_str(&run->root_ca);
	case IOT_ITEM_WIFI_SSID:
		return run->spec->wifi_ssid;
	case IOT_ITEM_WIFI_PASSWORD:
		return run->wifi_password.len > 0 ? iot_buf_str(&run->wifi_password) : NULL;
	case IOT_ITEM_APN:
		return run->spec->apn;
	case IOT_ITEM_CERTIFICATE:
		return iot_buf_str(&run->cert_pem);
	case IOT_ITEM_PSK_IDENTITY:
		return run->psk_identity;
	case IOT_ITEM_PSK:
		return run->psk.len > 0 ? iot_buf_str(&run->psk) : NULL;
	case IOT_ITEM_ATTEST_ID:
		return run->attest_identity;
	case IOT_ITEM_ATTEST_KEY:
		return run->attest.len > 0 ? iot_buf_str(&run->attest) : NULL;
	case IOT_ITEM_THING_NAME:
		return run->thing;
	case IOT_ITEM_CUSTOM_NAME:
		return run->spec->name;
	case IOT_ITEM_PORT:
		return run->port;
	case IOT_ITEM_ENDPOINT:
		return run->endpoint;
	default:
		return NULL;
	}
}

/* A secret that cannot be read back is written each time, and is the one that the board was given before. */
static bool is_given_again(const struct provision *run, const struct iot_board_item *item)
{
	bool ours = item->kind == IOT_ITEM_PSK || item->kind == IOT_ITEM_ATTEST_KEY;

	return ours && item->outcome == IOT_ITEM_TAKEN && run->entry.programmed && !run->new_secret;
}

static enum iot_status install(struct provision *run, enum iot_board_item_kind kind, struct iot_error *err)
{
	struct iot_board_item item = {kind, value_of(run, kind), IOT_ITEM_NOT_TRIED};
	enum iot_status status = iot_board_install(run->board, &item, err);

	if (status != IOT_OK)
		return status;
	run->outcomes[kind] = item.outcome;
	if (item.outcome != IOT_ITEM_SAME && item.outcome != IOT_ITEM_NAMED && !is_given_again(run, &item)) {
		run->changed = true;
		run->rewired = run->rewired || (kind != IOT_ITEM_CUSTOM_NAME && kind != IOT_ITEM_CODE_SIGNING);
	}
	return IOT_OK;
}

/*
 * A password cannot be read back, so it is written when the board may not have
 * it: with a new network, and when the journal does not know that it was given one.
 */
static bool needs_password(const struct provision *run)
{
	return run->outcomes[IOT_ITEM_WIFI_SSID] == IOT_ITEM_WRITTEN || !run->entry.programmed;
}

/* What only the operator can know: asked for and not possible, it is refused. */
static bool is_asked_for(enum iot_board_item_kind kind)
{
	return kind == IOT_ITEM_WIFI_SSID || kind == IOT_ITEM_WIFI_PASSWORD || kind == IOT_ITEM_APN;
}

/* The key was wiped here after the board had proved that it holds it, and the board has lost it since. */
static enum iot_status key_is_lost(const struct provision *run, struct iot_error *err)
{
	iot_fail(err, IOT_CONFLICT, "board '%s' has lost its key, which nobody else has", run->uid);
	iot_error_hint(err, "--replace makes it a new one, and takes its old certificate away");
	return IOT_CONFLICT;
}

/* A key that was made here goes first. It is here until the board was proved with it. */
static enum iot_status hand_key_over(struct provision *run, struct iot_error *err)
{
	struct iot_buf pem = IOT_BUF_SECRET(IOT_CERT_PEM_MAX);
	enum iot_status status;

	if (run->description->key != IOT_BOARD_KEY_HOST)
		return IOT_OK;
	if (!iot_key_has_private(run->key))
		return run->identity.key_known && run->identity.public_key.len == 0 ? key_is_lost(run, err) : IOT_OK;
	status = iot_key_private_pem(run->key, &pem, err);
	if (status == IOT_OK)
		status = iot_board_take_key(run->board, &pem, err);
	iot_buf_release(&pem);
	return status;
}

/*
 * What the board said when it took an item is one thing, what it holds after it was saved another. *ret_lost: it does
 * not hold all of it.
 */
static enum iot_status check_committed(struct provision *run, bool *ret_lost, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	for (int kind = 0; status == IOT_OK && kind < IOT_ITEM_COUNT; kind++) {
		struct iot_board_item item = {(enum iot_board_item_kind)kind, NULL, IOT_ITEM_NOT_TRIED};

		if (run->outcomes[kind] != IOT_ITEM_WRITTEN && run->outcomes[kind] != IOT_ITEM_SAME)
			continue;
		item.value = value_of(run, item.kind);
		status = iot_board_look(run->board, &item, err);
		if (status == IOT_OK && item.outcome != IOT_ITEM_SAME) {
			*ret_lost = true;
			iot_fail(err, IOT_VERIFY, "the board does not hold the %s that it was given",
				 iot_board_item_name(item.kind));
			iot_error_hint(err,
				       "it was given it twice: does it restart by itself, or does its memory fail?");
			return IOT_VERIFY;
		}
	}
	return status;
}

/* A board may tell what it has not saved; only the journal knows that a run before came as far as saving it. */
static bool needs_commit(const struct provision *run)
{
	bool any = !run->entry.programmed;

	for (int kind = 0; kind < IOT_ITEM_COUNT; kind++)
		any = any || run->outcomes[kind] == IOT_ITEM_WRITTEN || run->outcomes[kind] == IOT_ITEM_TAKEN;
	return any;
}

static enum iot_status install_all(struct provision *run, bool *ret_lost, struct iot_error *err)
{
	enum iot_status status = hand_key_over(run, err);

	for (int kind = 0; status == IOT_OK && kind < IOT_ITEM_COUNT; kind++) {
		const char *value = value_of(run, (enum iot_board_item_kind)kind);

		/* What nobody asked for is left out. */
		if (value == NULL || (kind == IOT_ITEM_WIFI_PASSWORD && !needs_password(run)))
			continue;
		if (!(run->description->install & 1U << kind) && !is_asked_for((enum iot_board_item_kind)kind))
			continue;
		status = install(run, (enum iot_board_item_kind)kind, err);
	}
	if (status != IOT_OK || run->description->ops->commit == NULL || !needs_commit(run))
		return status;
	status = iot_board_commit(run->board, err);
	return status == IOT_OK ? check_committed(run, ret_lost, err) : status;
}

/* The signer that another fleet left is forgotten by a factory reset only. */
static bool blocked_by_signer(const struct provision *run, const struct iot_error *err)
{
	return run->spec->replace && (iot_board_ops_of(run->board)->capabilities & IOT_BOARD_RESETS) &&
	       strcmp(err->code, "ERR23") == 0;
}

enum iot_status provision_program(struct provision *run, struct iot_error *err)
{
	bool lost = false;
	enum iot_status status = install_all(run, &lost, err);

	if (status == IOT_VERIFY && blocked_by_signer(run, err)) {
		iot_error_clear(err);
		run->changed = run->rewired = true;
		run->entry.programmed = false;
		status = iot_board_reset(run->board, err);
		if (status == IOT_OK)
			status = install_all(run, &lost, err);
	}
	/* A board that restarts in the middle loses what it had not saved: once more, then. */
	if (status == IOT_VERIFY && lost) {
		iot_error_clear(err);
		run->entry.programmed = false;
		status = install_all(run, &lost, err);
	}
	return status;
}

/* --- connecting ------------------------------------------------------------------------- */

static enum iot_status connect_board(struct provision *run, struct iot_error *err)
{
	int timeout_ms = run->spec->connect_timeout_ms > 0 ? run->spec->connect_timeout_ms : CONNECT_MS;
	enum iot_status status = iot_board_connect(run->board, timeout_ms, err);

	/* No way onto the network, and the password was not written this time: it may be another one now. */
	if (status == IOT_VERIFY && strcmp(err->code, "ERR14 2") == 0 && run->wifi_password.len > 0 &&
	    run->outcomes[IOT_ITEM_WIFI_PASSWORD] == IOT_ITEM_NOT_TRIED) {
		iot_error_clear(err);
		status = install(run, IOT_ITEM_WIFI_PASSWORD, err);
		if (status == IOT_OK)
			status = iot_board_connect(run->board, timeout_ms, err);
	}
	return status;
}

/* Whom the broker is to see. A board that has a shared secret comes without a certificate. */
static struct presence_wait wait_of(const struct provision *run)
{
	return (struct presence_wait){.cloud = run->cloud,
				      .thing = run->thing,
				      .certificate_id = run->cert != NULL ? iot_cert_id(run->cert) : "",
				      .lifecycle = run->lifecycle,
				      .interrupt_fd = run->spec->interrupt_fd};
}

/* Who is there before the board is told to come. */
static enum iot_status look_before(struct provision *run, struct iot_error *err)
{
	struct presence_wait wait;
	enum iot_status status;

	provision_aws_listen(run);
	wait = wait_of(run);
	status = fleet_presence_before(&wait, err);
	run->before = wait.before;
	run->told_at = wait.told_at;
	return status;
}

enum iot_status provision_connect(struct provision *run, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	if (run->identity.connected && !run->rewired)
		return IOT_OK;
	if (run->identity.connected)
		status = iot_board_disconnect(run->board, err);
	run->identity.connected = false;
	if (status == IOT_OK)
		status = look_before(run, err);
	return status == IOT_OK ? connect_board(run, err) : status;
}

/* --- proof ----------------------------------------------------------------------------------- */

/* With this certificate, or, of a board that has a shared secret, with none. */
static bool is_ours(const struct provision *run, const struct presence *seen)
{
	return !seen->with_certificate ||
	       (run->cert != NULL && strcmp(seen->certificate_id, iot_cert_id(run->cert)) == 0);
}

/*
 * The board's word that it is connected is not enough: the broker must know a
 * connection under this name, with this certificate.
 */
static enum iot_status await_presence(struct provision *run, int64_t deadline, bool *ret_seen, struct presence *seen,
				      struct iot_error *err)
{
	struct presence_wait wait;

	provision_aws_listen(run);
	wait = wait_of(run);
	wait.before = run->before;
	wait.told_at = run->told_at;
	return fleet_await_presence(&wait, deadline, ret_seen, seen, err);
}

static enum iot_status not_seen(const struct provision *run, const struct presence *seen, struct iot_error *err)
{
	if (seen->connected && !is_ours(run, seen)) {
		iot_fail(err, IOT_VERIFY, "not proved: the broker knows '%s' by %s certificate (%.16s...)", run->thing,
			 provision_has_psk(run) ? "a" : "another", seen->certificate_id);
		iot_error_hint(err, "another device may use its name: 'iotctl device show %s'", run->thing);
	} else {
		iot_fail(err, IOT_VERIFY, "not proved: board '%s' %s, and the broker has not seen it connect as '%s'",
			 run->uid,
			 run->description->prove & IOT_BOARD_PROVE_CONNECT ? "says that it is connected"
									   : "was started",
			 run->thing);
		if (!(run->description->install & 1U << IOT_ITEM_ENDPOINT))
			iot_error_hint(
				err,
				"its kind is not told where to connect: its own software must, at '%s%s%s' under "
				"this name",
				run->endpoint, run->port != NULL ? ":" : "", run->port != NULL ? run->port : "");
		else if (provision_at_aws(run))
			iot_error_hint(err, "is '%s' this account's endpoint? the same call looks again",
				       run->endpoint);
		else
			iot_error_hint(err,
				       "is it this fleet's 'iotctl serve' that answers at '%s'? 'iotctl doctor' looks",
				       run->endpoint);
	}
	return IOT_VERIFY;
}

static void note(json_t *array, const char *text)
{
	json_array_append_new(array, json_string(text));
}

static void collect_presence(struct provision *run, const struct presence *seen)
{
	if (seen->untold) {
		note(run->not_proved, "that it connects to this account: neither an operator's certificate nor the "
				      "fleet index tells");
		return;
	}
	note(run->proof, seen->with_certificate ? "the broker saw it connect with this certificate"
						: "the cloud saw it connect under this name");
	if (!seen->with_certificate)
		note(run->not_proved, provision_has_psk(run) ? "which secret of its device it connected with"
							     : "which certificate it connected with");
}

static void collect_items(struct provision *run)
{
	for (int kind = 0; kind < IOT_ITEM_COUNT; kind++) {
		IOT_CLEAN(iot_free_p) char *text = NULL;
		const char *name = iot_board_item_name((enum iot_board_item_kind)kind);
		bool taken = run->outcomes[kind] == IOT_ITEM_TAKEN, named = run->outcomes[kind] == IOT_ITEM_NAMED;

		if (run->outcomes[kind] == IOT_ITEM_NOT_TRIED)
			continue;
		text = iot_strf(taken   ? "%s: the board accepted it and cannot be asked"
				: named ? "%s: the board has it by name, and its contents cannot be read back"
					: "%s read back",
				name);
		note(taken || named ? run->not_proved : run->proof, text);
	}
}

static enum iot_status verify_connection(struct provision *run, struct iot_error *err)
{
	int usual_ms = provision_at_aws(run) && run->lifecycle == NULL ? AWS_PROOF_MS : PROOF_MS;
	int64_t deadline = iot_deadline(run->spec->proof_timeout_ms > 0 ? run->spec->proof_timeout_ms : usual_ms);
	struct presence seen = {0};
	bool good = false;
	enum iot_status status = IOT_OK;

	/* It was connected when we came: if the broker does not know of that, it is connected to something else. */
	if (run->identity.connected) {
		status = await_presence(run, iot_deadline(1000), &good, &seen, err);
		if (status == IOT_OK && !good && !seen.untold) {
			run->rewired = true;
			status = provision_connect(run, err);
		}
	}
	if (status == IOT_OK && !good && !seen.untold)
		status = await_presence(run, deadline, &good, &seen, err);
	if (status != IOT_OK)
		return status;
	if (!good && !seen.untold)
		return not_seen(run, &seen, err);
	collect_presence(run, &seen);
	return IOT_OK;
}

static enum iot_status verify_key(struct provision *run, struct iot_error *err)
{
	const char *how = "";
	enum iot_status status = iot_board_prove(run->board, run->cert, &how, err);

	if (status == IOT_OK)
		note(run->proof, how);
	return status;
}

void provision_note_unproved(struct provision *run)
{
	unsigned prove = run->description->prove;

	if (!(prove & (IOT_BOARD_PROVE_SIGN | IOT_BOARD_PROVE_CONNECT | IOT_BOARD_PROVE_APPEAR)))
		note(run->not_proved,
		     provision_has_psk(run) ? "that it can use its secret" : "that it can use its key");
	if (!(prove & (IOT_BOARD_PROVE_CONNECT | IOT_BOARD_PROVE_APPEAR)))
		note(run->not_proved, "that it connects");
}

enum iot_status provision_verify(struct provision *run, struct iot_error *err)
{
	unsigned prove = run->description->prove;
	enum iot_status status = IOT_OK;

	if (prove & IOT_BOARD_PROVE_CONNECT)
		status = verify_connection(run, err);
	if (status == IOT_OK && prove & IOT_BOARD_PROVE_SIGN)
		status = verify_key(run, err);
	if (status != IOT_OK)
		return status;
	collect_items(run);
	provision_note_unproved(run);
	return IOT_OK;
}

/* --- locking and starting ------------------------------------------------------------------------ */

enum iot_status provision_lock(struct provision *run, struct iot_error *err)
{
	return iot_board_lock(run->board, (enum iot_board_lock)run->spec->lock, run->locks, err);
}

/* Started, it comes by itself. */
static enum iot_status start_and_see(struct provision *run, struct presence *seen, struct iot_error *err)
{
	int timeout_ms = run->spec->connect_timeout_ms > 0 ? run->spec->connect_timeout_ms : CONNECT_MS;
	bool good = false;
	enum iot_status status = look_before(run, err);

	if (status == IOT_OK)
		status = iot_board_start(run->board, err);
	if (status == IOT_OK)
		status = await_presence(run, iot_deadline(timeout_ms), &good, seen, err);
	return status == IOT_OK && !good && !seen->untold ? not_seen(run, seen, err) : status;
}

enum iot_status provision_start(struct provision *run, struct iot_error *err)
{
	bool as_it_was = !run->changed && !run->entry.unfinished && json_array_size(run->locks) == 0;
	struct presence seen = {0};
	bool there = false;
	enum iot_status status = IOT_OK;

	if (!(run->description->prove & IOT_BOARD_PROVE_APPEAR))
		return as_it_was ? IOT_OK : iot_board_start(run->board, err);
	/* One that is connected, with all that it is to have, need not be disturbed to show it. */
	if (as_it_was)
		status = await_presence(run, iot_deadline(0), &there, &seen, err);
	if (status == IOT_OK && !there)
		status = start_and_see(run, &seen, err);
	if (status == IOT_OK)
		collect_presence(run, &seen);
	return status;
}
