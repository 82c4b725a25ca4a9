/*
 * A microcontroller on a debug probe as a board: what it is given is collected
 * and written as one image, its key among it, and read back. It can be asked
 * nothing that its flash does not hold, so it proves nothing by itself.
 */
#include "board/board_private.h"

#include "iotctl/base.h"
#include "iotctl/credential.h"
#include "iotctl/digest.h"
#include "iotctl/json.h"
#include "iotctl/swd.h"
#include "iotctl/text.h"

#include <string.h>

struct held {
	struct iot_buf image; /* of the partition, as read */
	struct iot_credential items[IOT_CREDENTIAL_TAGS];
	size_t count;
};

enum { KEY_ID_MAX = 32, SECRET_MAX = 64, IMPLEMENTATION_SIZE = 32 };

struct swd_board {
	struct iot_board_options options;
	int probe_fd; /* holds a probe that is a serial port; -1 */
	struct iot_swd_target *target;
	struct iot_swd_options swd;
	struct iot_swd_identity identity;
	bool sealed; /* by this lock of the description: */
	size_t seal;
	struct held held[IOT_SWD_PARTITIONS];
	struct iot_buf wanted[IOT_CREDENTIAL_TAGS]; /* not written yet; empty: none */
};

static enum iot_swd_partition partition_of(enum iot_credential_tag tag)
{
	return tag == IOT_CREDENTIAL_CODE_SIGNING ? IOT_SWD_CODESIGN : IOT_SWD_CREDENTIALS;
}

static const struct iot_credential *held_item(const struct swd_board *board, enum iot_credential_tag tag)
{
	const struct held *held = &board->held[partition_of(tag)];

	return iot_credential_find(held->items, held->count, tag);
}

/* --- opening: who is there, and what it holds ---------------------------------------------- */

/* What is blank, damaged or half written by somebody who was interrupted holds nothing. */
static void parse_partition(struct held *held)
{
	struct iot_error nothing = IOT_ERROR_INIT;

	if (iot_credential_parse(held->image.data, held->image.len, held->items, &held->count, &nothing) != IOT_OK)
		held->count = 0;
}

static enum iot_status read_all(struct swd_board *board, struct iot_error *err)
{
	struct iot_buf *images[IOT_SWD_PARTITIONS];
	enum iot_status status;

	for (int i = 0; i < IOT_SWD_PARTITIONS; i++) {
		images[i] = &board->held[i].image;
		iot_buf_clear(images[i]);
		board->held[i].count = 0;
	}
	status = iot_swd_read(&board->swd, images, err);
	for (int i = 0; status == IOT_OK && i < IOT_SWD_PARTITIONS; i++)
		parse_partition(&board->held[i]);
	if (status != IOT_OK)
		iot_error_while(err, "reading what the board holds");
	return status;
}

static void close_board(void *self)
{
	struct swd_board *board = self;

	for (int i = 0; i < IOT_SWD_PARTITIONS; i++)
		iot_buf_release(&board->held[i].image);
	for (int i = 0; i < IOT_CREDENTIAL_TAGS; i++)
		iot_buf_release(&board->wanted[i]);
	iot_swd_target_free(board->target);
	iot_close_p(&board->probe_fd);
	free(board);
}

/* Two that talk to one probe at once would spoil both boards. A probe on USB is taken by OpenOCD itself. */
static enum iot_status hold_probe(struct swd_board *board, struct iot_error *err)
{
	const char *port = iot_swd_probe_port(board->swd.probe);

	return port != NULL ? iot_serial_hold(port, &board->probe_fd, err) : IOT_OK;
}

/* A chip that cannot be read is no board for that, unless it says why. Its own fault stays the one that is told. */
static enum iot_status open_sealed(struct swd_board *board, enum iot_status status, struct iot_error *err)
{
	struct iot_error ignored = IOT_ERROR_INIT;
	bool can = false;

	for (size_t i = 0; i < iot_swd_lock_count(board->target); i++)
		can = can || iot_swd_lock_at(board->target, i).seals;
	if (status != IOT_BOARD || !board->identity.asked || !can ||
	    iot_swd_sealed(&board->swd, &board->identity, &board->seal, &ignored) != IOT_OK)
		return status;
	iot_error_clear(err);
	board->sealed = true;
	return IOT_OK;
}

static enum iot_status open_board(const struct iot_board_options *options, void **ret_self, struct iot_error *err)
{
	struct swd_board *board;
	enum iot_status status;

	if (options->description == NULL)
		return iot_fail(err, IOT_USAGE, "a board on a debug probe needs a description");
	board = iot_alloc(sizeof(*board));
	board->options = *options;
	board->probe_fd = -1;
	for (int i = 0; i < IOT_SWD_PARTITIONS; i++)
		board->held[i].image = (struct iot_buf)IOT_BUF_SECRET(1024 * 1024);
	for (int i = 0; i < IOT_CREDENTIAL_TAGS; i++)
		board->wanted[i] = (struct iot_buf)IOT_BUF_SECRET(IOT_CREDENTIAL_MAX);
	status = iot_swd_target_parse(options->description->json, &board->target, err);
	board->swd = (struct iot_swd_options){
		.target = board->target, .probe = options->serial.path, .log = options->serial.transcript};
	if (status == IOT_OK)
		status = hold_probe(board, err);
	if (status == IOT_OK)
		status = iot_swd_identify(&board->swd, &board->identity, err);
	if (status == IOT_OK)
		status = read_all(board, err);
	status = open_sealed(board, status, err);
	if (status != IOT_OK) {
		close_board(board);
		return status;
	}
	*ret_self = board;
	return IOT_OK;
}

static void copy_text(const struct swd_board *board, enum iot_credential_tag tag, char *out, size_t size)
{
	const struct iot_credential *item = held_item(board, tag);

	snprintf(out, size, "%.*s", item != NULL ? (int)item->len : 0, item != NULL ? (const char *)item->value : "");
	iot_text_printable(out);
}

static enum iot_status identify_sealed(const struct swd_board *board, struct iot_board_identity *ret)
{
	const struct iot_swd_lock lock = iot_swd_lock_at(board->target, board->seal);

	snprintf(ret->uid, sizeof(ret->uid), "%s", board->identity.uid);
	snprintf(ret->sealed, sizeof(ret->sealed), "%s", lock.name);
	snprintf(ret->unseal, sizeof(ret->unseal), "%s", lock.undo != NULL && !lock.permanent ? lock.undo : "");
	ret->claimed_known = ret->key_known = false;
	return IOT_OK;
}

static enum iot_status is_sealed(const struct swd_board *board, struct iot_error *err)
{
	return iot_fail(err, IOT_VERIFY, "what the board holds can be neither read nor written: lock '%s' is on",
			iot_swd_lock_at(board->target, board->seal).name);
}

static enum iot_status identify(void *self, struct iot_board_identity *ret, struct iot_error *err)
{
	struct swd_board *board = self;
	const struct iot_credential *der = held_item(board, IOT_CREDENTIAL_CERTIFICATE);
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	struct iot_error ignored = IOT_ERROR_INIT;
	enum iot_status status = IOT_OK;

	snprintf(ret->model, sizeof(ret->model), "%s", board->options.description->name);
	snprintf(ret->protocol, sizeof(ret->protocol), "swd");
	if (board->sealed)
		return identify_sealed(board, ret);
	snprintf(ret->uid, sizeof(ret->uid), "%s", board->identity.uid);
	copy_text(board, IOT_CREDENTIAL_ID, ret->thing_name, sizeof(ret->thing_name));
	copy_text(board, IOT_CREDENTIAL_ENDPOINT, ret->endpoint, sizeof(ret->endpoint));
	copy_text(board, IOT_CREDENTIAL_PSK_IDENTITY, ret->psk_identity, sizeof(ret->psk_identity));
	ret->occupied[0] = '\0';
	for (int i = IOT_SWD_PARTITIONS - 1; i >= 0; i--)
		if (iot_credential_foreign(board->held[i].image.data, board->held[i].image.len))
			snprintf(ret->occupied, sizeof(ret->occupied), "the flash for %s",
				 i == IOT_SWD_CREDENTIALS ? "credentials" : "the code-signing key");
	ret->claimed_known = true;
	ret->claimed = *ret->endpoint != '\0';
	iot_buf_clear(&ret->certificate);
	iot_buf_clear(&ret->public_key);
	ret->key_known = true;
	if (der == NULL || held_item(board, IOT_CREDENTIAL_KEY) == NULL ||
	    iot_cert_parse_der(der->value, der->len, &cert, &ignored) != IOT_OK)
		return IOT_OK;
	iot_cert_pem(cert, &ret->certificate);
	status = iot_key_public_pem(iot_cert_key(cert), &ret->public_key, err);
	return status == IOT_OK ? iot_buf_check(&ret->certificate, "the board's certificate", err) : status;
}

/* --- items as they are in the image ------------------------------------------------------------ */

static enum iot_status cert_item(const char *pem, bool key_only, struct iot_buf *out, struct iot_error *err)
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	enum iot_status status = iot_cert_parse_pem(pem, strlen(pem), "certificate", &cert, err);

	if (status != IOT_OK)
		return status;
	if (key_only)
		return iot_key_public_der(iot_cert_key(cert), out, err);
	iot_cert_der(cert, out);
	return IOT_OK;
}

static enum iot_status secret_item(const struct iot_board_item *item, struct iot_buf *out, struct iot_error *err)
{
	uint8_t bytes[SECRET_MAX];
	size_t len = strlen(item->value) / 2;

	if (len == 0 || len > sizeof(bytes) || !iot_unhex(item->value, bytes, len))
		return iot_fail(err, IOT_USAGE, "the %s is not up to %d bytes in hex", iot_board_item_name(item->kind),
				SECRET_MAX);
	iot_buf_add(out, bytes, len);
	iot_wipe(bytes, sizeof(bytes));
	return IOT_OK;
}

/* Trusted Firmware-M has room for so much (PLAT_OTP_ID_IAK_ID). */
static enum iot_status check_key_id(const char *id, struct iot_error *err)
{
	if (strlen(id) <= KEY_ID_MAX)
		return IOT_OK;
	iot_fail(err, IOT_USAGE, "'%s' is too long for a key id: it has at most %d bytes", id, KEY_ID_MAX);
	iot_error_hint(err, "give the device a shorter name, or leave 'attestation-id' out of its description");
	return IOT_USAGE;
}

/* What is in the image for an item. `out` must be a secret buffer. */
static enum iot_status encode(const struct iot_board_item *item, enum iot_credential_tag *ret_tag, struct iot_buf *out,
			      struct iot_error *err)
{
	static const enum iot_credential_tag tags[IOT_ITEM_COUNT] = {
		[IOT_ITEM_CODE_SIGNING] = IOT_CREDENTIAL_CODE_SIGNING,
		[IOT_ITEM_ROOT_CA] = IOT_CREDENTIAL_ROOT_CA,
		[IOT_ITEM_CERTIFICATE] = IOT_CREDENTIAL_CERTIFICATE,
		[IOT_ITEM_THING_NAME] = IOT_CREDENTIAL_ID,
		[IOT_ITEM_PSK_IDENTITY] = IOT_CREDENTIAL_PSK_IDENTITY,
		[IOT_ITEM_PSK] = IOT_CREDENTIAL_PSK,
		[IOT_ITEM_ATTEST_ID] = IOT_CREDENTIAL_ATTEST_ID,
		[IOT_ITEM_ATTEST_KEY] = IOT_CREDENTIAL_ATTEST_KEY,
		[IOT_ITEM_PORT] = IOT_CREDENTIAL_PORT,
		[IOT_ITEM_ENDPOINT] = IOT_CREDENTIAL_ENDPOINT,
	};
	enum iot_status status = IOT_OK;

	if (item->kind == IOT_ITEM_CODE_SIGNING || item->kind == IOT_ITEM_CERTIFICATE || item->kind == IOT_ITEM_ROOT_CA)
		status = cert_item(item->value, item->kind == IOT_ITEM_CODE_SIGNING, out, err);
	else if (iot_board_item_secret(item->kind))
		status = secret_item(item, out, err);
	else
		iot_buf_adds(out, item->value);
	if (status == IOT_OK && item->kind == IOT_ITEM_ATTEST_ID)
		status = check_key_id(item->value, err);
	*ret_tag = tags[item->kind];
	return status == IOT_OK ? iot_buf_check(out, iot_board_item_name(item->kind), err) : status;
}

static bool holds(const struct swd_board *board, enum iot_credential_tag tag, const struct iot_buf *value)
{
	const struct iot_credential *item = held_item(board, tag);

	return item != NULL && item->len == value->len && memcmp(item->value, value->data, value->len) == 0;
}

/* What a token claims besides goes with its key: hex in the description. Empty: nothing is said there. */
static void read_implementation(const json_t *description, struct iot_buf *out)
{
	const char *hex = iot_json_str(description, "implementationId", "");
	uint8_t id[IMPLEMENTATION_SIZE];

	if (strlen(hex) == 2 * sizeof(id) && iot_unhex(hex, id, sizeof(id)))
		iot_buf_add(out, id, sizeof(id));
}

static bool holds_implementation(const struct swd_board *board)
{
	struct iot_buf id = IOT_BUF_INIT(IMPLEMENTATION_SIZE);
	bool good;

	read_implementation(board->options.description->json, &id);
	good = id.len == 0 || holds(board, IOT_CREDENTIAL_IMPLEMENTATION, &id);
	iot_buf_release(&id);
	return good;
}

static enum iot_status look(void *self, struct iot_board_item *item, struct iot_error *err)
{
	const struct swd_board *board = self;
	struct iot_buf value = IOT_BUF_SECRET(IOT_CREDENTIAL_MAX);
	enum iot_credential_tag tag;
	enum iot_status status = board->sealed ? is_sealed(board, err) : encode(item, &tag, &value, err);
	bool same = status == IOT_OK && holds(board, tag, &value);

	if (item->kind == IOT_ITEM_ATTEST_KEY)
		same = same && holds_implementation(board);
	item->outcome = same ? IOT_ITEM_SAME : IOT_ITEM_NOT_TRIED;
	iot_buf_release(&value);
	return status;
}

static enum iot_status install(void *self, struct iot_board_item *item, struct iot_error *err)
{
	struct swd_board *board = self;
	struct iot_buf value = IOT_BUF_SECRET(IOT_CREDENTIAL_MAX);
	enum iot_credential_tag tag;
	enum iot_status status = look(self, item, err);

	if (status != IOT_OK || item->outcome == IOT_ITEM_SAME)
		return status;
	status = encode(item, &tag, &value, err);
	if (status == IOT_OK) {
		item->outcome = IOT_ITEM_WRITTEN;
		iot_buf_clear(&board->wanted[tag]);
		iot_buf_add(&board->wanted[tag], value.data, value.len);
	}
	if (status == IOT_OK && item->kind == IOT_ITEM_ATTEST_KEY) {
		iot_buf_clear(&board->wanted[IOT_CREDENTIAL_IMPLEMENTATION]);
		read_implementation(board->options.description->json, &board->wanted[IOT_CREDENTIAL_IMPLEMENTATION]);
	}
	iot_buf_release(&value);
	return status;
}

static enum iot_status take_key(void *self, const struct iot_buf *pem, struct iot_error *err)
{
	struct swd_board *board = self;
	struct iot_buf der = IOT_BUF_SECRET(IOT_CREDENTIAL_MAX);
	enum iot_status status = board->sealed ? is_sealed(board, err)
				 : board_pem_decode(iot_buf_str(pem), "PRIVATE KEY", &der)
					 ? IOT_OK
					 : iot_fail(err, IOT_FAILURE, "the private key is no PEM");

	if (status == IOT_OK && !holds(board, IOT_CREDENTIAL_KEY, &der)) {
		iot_buf_clear(&board->wanted[IOT_CREDENTIAL_KEY]);
		iot_buf_add(&board->wanted[IOT_CREDENTIAL_KEY], der.data, der.len);
	}
	iot_buf_release(&der);
	return status;
}

/* --- writing -------------------------------------------------------------------------------------- */

/* What is to be in a partition: what is wanted, else what is there. *ret_any: something is wanted. */
static size_t merge(const struct swd_board *board, enum iot_swd_partition partition, struct iot_credential *items,
		    bool *ret_any)
{
	size_t count = 0;

	for (int i = IOT_CREDENTIAL_ID; i < IOT_CREDENTIAL_TAGS; i++) {
		const struct iot_credential *old = held_item(board, i);

		if (partition_of(i) != partition)
			continue;
		if (board->wanted[i].len > 0) {
			items[count++] = (struct iot_credential){i, board->wanted[i].data, board->wanted[i].len};
			*ret_any = true;
		} else if (old != NULL) {
			items[count++] = *old;
		}
	}
	return count;
}

static enum iot_status commit(void *self, struct iot_error *err)
{
	struct swd_board *board = self;
	struct iot_buf bytes[IOT_SWD_PARTITIONS] = {IOT_BUF_SECRET(IOT_CREDENTIAL_MAX),
						    IOT_BUF_SECRET(IOT_CREDENTIAL_MAX)};
	struct iot_swd_image images[IOT_SWD_PARTITIONS] = {0};
	enum iot_status status = IOT_OK;
	bool any = false;

	for (int i = 0; status == IOT_OK && i < IOT_SWD_PARTITIONS; i++) {
		struct iot_credential items[IOT_CREDENTIAL_TAGS];
		bool wanted = false;
		size_t count = merge(board, i, items, &wanted);

		if (!wanted)
			continue;
		any = true;
		status = iot_credential_build(IOT_CREDENTIAL_IOTC, items, count, &bytes[i], err);
		images[i] = (struct iot_swd_image){bytes[i].data, bytes[i].len};
	}
	if (status == IOT_OK && any)
		status = iot_swd_write(&board->swd, images, err);
	if (status == IOT_OK && any)
		status = read_all(board, err);
	for (int i = 0; status == IOT_OK && i < IOT_CREDENTIAL_TAGS; i++)
		iot_buf_clear(&board->wanted[i]);
	for (int i = 0; i < IOT_SWD_PARTITIONS; i++)
		iot_buf_release(&bytes[i]);
	return status;
}

static enum iot_status start(void *self, struct iot_error *err)
{
	struct swd_board *board = self;

	return board->sealed ? iot_swd_run_sealed(&board->swd, board->seal, err) : iot_swd_run(&board->swd, err);
}

static bool is_named(const char *const *names, const char *name)
{
	for (; names != NULL && *names != NULL; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

static enum iot_status no_such_lock(const struct iot_swd_target *target, const char *name, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf names = IOT_BUF_INIT(400);

	for (size_t i = 0; i < iot_swd_lock_count(target); i++) {
		const struct iot_swd_lock which = iot_swd_lock_at(target, i);

		if (which.optional)
			iot_buf_addf(&names, "%s'%s'", names.len > 0 ? ", " : "", which.name);
	}
	iot_fail(err, IOT_USAGE, "the description has no optional lock '%.120s'", name);
	iot_error_hint(err, "it has %s", names.len > 0 ? iot_buf_str(&names) : "none");
	return IOT_USAGE;
}

static enum iot_status check_lock(const struct iot_swd_target *target, enum iot_board_lock strength, const char *name,
				  struct iot_error *err)
{
	for (size_t i = 0; i < iot_swd_lock_count(target); i++) {
		const struct iot_swd_lock which = iot_swd_lock_at(target, i);

		if (!which.optional || strcmp(which.name, name) != 0)
			continue;
		if (!which.permanent || strength == IOT_BOARD_LOCK_PERMANENT)
			return IOT_OK;
		iot_fail(err, IOT_USAGE, "nothing takes lock '%.120s' off again", name);
		iot_error_hint(err, "it is put on only where permanent locks are wanted");
		return IOT_USAGE;
	}
	return no_such_lock(target, name, err);
}

static bool is_meant(const struct iot_swd_lock *lock, enum iot_board_lock strength, const char *const *names)
{
	return (!lock->optional || is_named(names, lock->name)) &&
	       (!lock->permanent || strength == IOT_BOARD_LOCK_PERMANENT);
}

static enum iot_status check_any(const struct iot_swd_target *target, enum iot_board_lock strength,
				 const char *const *names, struct iot_error *err)
{
	for (size_t i = 0; i < iot_swd_lock_count(target); i++) {
		const struct iot_swd_lock which = iot_swd_lock_at(target, i);

		if (is_meant(&which, strength, names))
			return IOT_OK;
	}
	iot_fail(err, IOT_USAGE, "the description has no lock that would be put on");
	iot_error_hint(err, "an optional one has to be named, a permanent one needs that strength");
	return IOT_USAGE;
}

static enum iot_status check_locks(const json_t *description, enum iot_board_lock strength, const char *const *names,
				   struct iot_error *err)
{
	IOT_CLEAN(iot_swd_target_free_p) struct iot_swd_target *target = NULL;
	enum iot_status status = iot_swd_target_parse(description, &target, err);

	for (const char *const *name = names; status == IOT_OK && *name != NULL; name++)
		status = check_lock(target, strength, *name, err);
	return status == IOT_OK ? check_any(target, strength, names, err) : status;
}

static enum iot_status put_on(struct swd_board *board, size_t index, bool *ret_proved, struct iot_error *err)
{
	const struct iot_swd_lock which = iot_swd_lock_at(board->target, index);
	const struct iot_credential *key = held_item(board, IOT_CREDENTIAL_CODE_SIGNING);
	uint8_t hash[IOT_SHA256_SIZE];

	if (board->sealed)
		return iot_swd_check_lock(&board->swd, index, ret_proved, err);
	if (which.keyed && key == NULL)
		return iot_fail(err, IOT_USAGE, "lock '%s' is for a code-signing key, and the board has none",
				which.name);
	if (which.keyed)
		iot_sha256(key->value, key->len, hash);
	return iot_swd_lock(&board->swd, index, which.permanent, which.keyed ? hash : NULL, ret_proved, err);
}

static enum iot_status lock(void *self, enum iot_board_lock strength, json_t *done, struct iot_error *err)
{
	struct swd_board *board = self;
	enum iot_status status = IOT_OK;

	for (size_t i = 0; status == IOT_OK && i < iot_swd_lock_count(board->target); i++) {
		const struct iot_swd_lock which = iot_swd_lock_at(board->target, i);
		IOT_CLEAN(iot_free_p) char *text = NULL;
		bool proved = false;

		if (!is_meant(&which, strength, board->options.locks))
			continue;
		status = put_on(board, i, &proved, err);
		if (status != IOT_OK)
			break;
		if (which.seals && !board->sealed) {
			board->sealed = proved;
			board->seal = i;
		}
		text = iot_strf("%s (%s%s)", which.name, which.permanent ? "permanent" : "reversible",
				proved ? "" : ", not proved");
		json_array_append_new(done, json_string(text));
	}
	return status;
}

static enum iot_status check(const json_t *description, struct iot_error *err)
{
	IOT_CLEAN(iot_swd_target_free_p) struct iot_swd_target *target = NULL;
	struct iot_buf id = IOT_BUF_INIT(IMPLEMENTATION_SIZE);
	bool known;

	read_implementation(description, &id);
	known = id.len > 0;
	iot_buf_release(&id);
	if (!known && json_object_get(description, "implementationId") != NULL) {
		iot_fail(err, IOT_USAGE, "member 'implementationId' of the board description is not %d bytes in hex",
			 IMPLEMENTATION_SIZE);
		iot_error_hint(err, "the format is described in iotctl-swd(7)");
		return IOT_USAGE;
	}
	return iot_swd_target_parse(description, &target, err);
}

static const char *const members[] = {"openocd",          "ids", "uid", "writeUnit", "partitions", "locks",
				      "implementationId", NULL};

const struct iot_board_ops iot_board_swd = {
	.name = "swd",
	.summary = "microcontroller on a debug probe, through OpenOCD",
	.capabilities = IOT_BOARD_TAKES_KEY | IOT_BOARD_LOCKS,
	.items = 1U << IOT_ITEM_CODE_SIGNING | 1U << IOT_ITEM_ROOT_CA | 1U << IOT_ITEM_CERTIFICATE |
		 1U << IOT_ITEM_THING_NAME | 1U << IOT_ITEM_PSK_IDENTITY | 1U << IOT_ITEM_PSK |
		 1U << IOT_ITEM_ATTEST_ID | 1U << IOT_ITEM_ATTEST_KEY | 1U << IOT_ITEM_PORT | 1U << IOT_ITEM_ENDPOINT,
	.members = members,
	.check = check,
	.open = open_board,
	.close = close_board,
	.identify = identify,
	.take_key = take_key,
	.look = look,
	.install = install,
	.commit = commit,
	.start = start,
	.lock = lock,
	.check_locks = check_locks,
};
