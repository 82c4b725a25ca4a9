/*
 * Secrets that devices share with the fleet (our own operations): for TLS-PSK, and
 * for attestation tokens. A secret is in the registry sealed, with a key that is
 * not; a keyed digest beside it tells when two devices would have the same one.
 * A device has one that is active, and two while it rotates.
 */
#include "local_private.h"

#include "iotctl/attest.h"
#include "iotctl/digest.h"
#include "operators_private.h"
#include "psks_private.h"

#include <inttypes.h>
#include <string.h>

#define LENGTH_DEFAULT 32
#define LENGTH_MIN 16 /* RFC 9257: 128 bits */
#define LENGTH_MAX 64 /* RFC 4279 5.3 */
#define ACTIVE_MAX 2
#define IDENTITY_MAX 128

struct keys {
	uint8_t seal[IOT_SEAL_KEY_SIZE];
	uint8_t digest[IOT_SHA256_SIZE];
};

static void keys_wipe(struct keys *keys)
{
	iot_wipe(keys, sizeof(*keys));
}

/* `make`: a fleet's first secret makes the sealing key. */
static enum iot_status keys_get(struct iot_local *local, bool make, struct keys *keys, struct iot_error *err)
{
	static const char label[] = "digests of shared secrets";
	enum iot_status status =
		make ? operators_ensure_key(local, keys->seal, err) : operators_key(local, keys->seal, err);

	if (status == IOT_OK)
		iot_hmac_sha256(keys->seal, sizeof(keys->seal), label, sizeof(label) - 1, keys->digest);
	return status;
}

static void label_of(const char *identity, char out[IDENTITY_MAX + 8])
{
	snprintf(out, IDENTITY_MAX + 8, "psk:%s", identity);
}

/* --- rows ----------------------------------------------------------------------------- */

#define COLUMNS                                                                                                        \
	"p.identity, t.name, p.purpose, p.status, p.size, p.created_at, p.sealed, p.digest, p.id"                      \
	" FROM main.psks p JOIN main.things t ON t.id = p.thing_id"

static void set_row(struct iot_stmt *stmt, json_t *to)
{
	iot_json_set_str(to, "identity", iot_stmt_text(stmt, 0));
	iot_json_set_str(to, "thingName", iot_stmt_text(stmt, 1));
	iot_json_set_str(to, "purpose", iot_stmt_text(stmt, 2));
	iot_json_set_str(to, "status", iot_stmt_text(stmt, 3));
	iot_json_set_int(to, "size", iot_stmt_int(stmt, 4));
	iot_local_set_time(to, "createdAt", iot_stmt_int(stmt, 5));
}

static enum iot_status open_row(const struct keys *keys, struct iot_stmt *stmt, struct iot_buf *secret,
				struct iot_error *err)
{
	char label[IDENTITY_MAX + 8];
	size_t len = 0;
	const void *sealed = iot_stmt_blob(stmt, 6, &len);
	enum iot_status status;

	label_of(iot_stmt_text(stmt, 0), label);
	status = iot_unseal(keys->seal, label, sealed, len, secret, err);
	if (status != IOT_OK) {
		iot_fail(err, IOT_VERIFY, "the secret of '%s' cannot be opened", iot_stmt_text(stmt, 0));
		iot_error_hint(err, "'" IOT_SEAL_KEY_FILE "' in the fleet directory is not the key it was sealed with");
	}
	return status;
}

/* The instance id that follows from an attestation key is no secret, and what a verifier wants to compare. */
static enum iot_status set_instance(const struct keys *keys, struct iot_stmt *stmt, json_t *to, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf secret = IOT_BUF_SECRET(LENGTH_MAX);
	uint8_t id[IOT_ATTEST_INSTANCE_SIZE];
	char hex[2 * IOT_ATTEST_INSTANCE_SIZE + 1];
	enum iot_status status;

	if (strcmp(iot_stmt_text(stmt, 2), "attest") != 0)
		return IOT_OK;
	status = open_row(keys, stmt, &secret, err);
	if (status != IOT_OK)
		return status;
	iot_attest_instance_of_secret(secret.data, secret.len, id);
	iot_json_set_str(to, "instanceId", iot_hex(id, sizeof(id), hex));
	return IOT_OK;
}

static enum iot_status find(struct iot_local *local, const char *identity, struct iot_stmt **ret, struct iot_error *err)
{
	bool row = false;
	enum iot_status status = iot_stmt_get(local->store, "SELECT " COLUMNS " WHERE p.identity = ?", ret, err);

	if (status == IOT_OK)
		status = iot_stmt_bind(*ret, err, "s", identity);
	if (status == IOT_OK)
		status = iot_stmt_step(*ret, &row, err);
	if (status == IOT_OK && !row)
		return iot_local_not_found(err, "there is no PSK identity '%s'", identity);
	return status;
}

/* --- making and taking ------------------------------------------------------------------ */

static enum iot_status count_active(struct iot_local *local, int64_t thing_id, const char *purpose, int64_t *ret_active,
				    int64_t *ret_all, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status = iot_stmt_query(local->store, &stmt, &row, err,
						"SELECT count(*) FILTER (WHERE status = 'ACTIVE'), count(*) FROM psks"
						" WHERE thing_id = ? AND purpose = ?",
						"is", thing_id, purpose);
	if (status == IOT_OK) {
		*ret_active = iot_stmt_int(stmt, 0);
		*ret_all = iot_stmt_int(stmt, 1);
	}
	return status;
}

/* A digest that is there already belongs to a device: perhaps another. */
static enum iot_status check_unused(struct iot_local *local, const uint8_t *digest, const char *thing,
				    struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status = iot_stmt_query(local->store, &stmt, &row, err, "SELECT " COLUMNS " WHERE p.digest = ?",
						"b", (const void *)digest, (size_t)IOT_SHA256_SIZE);
	if (status != IOT_OK || !row)
		return status;
	iot_local_exists(err, "this secret is that of '%s', of %s '%s', already", iot_stmt_text(stmt, 0),
			 strcmp(iot_stmt_text(stmt, 1), thing) == 0 ? "the same device" : "device",
			 iot_stmt_text(stmt, 1));
	iot_error_hint(err, "each device and each purpose needs a secret of its own");
	return IOT_CONFLICT;
}

static enum iot_status insert(struct iot_local *local, const struct keys *keys, int64_t thing_id, const char *thing,
			      const char *identity, const char *purpose, const void *secret, size_t len,
			      struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf sealed = IOT_BUF_INIT(LENGTH_MAX + IOT_SEAL_EXTRA);
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	uint8_t digest[IOT_SHA256_SIZE];
	char label[IDENTITY_MAX + 8];
	int64_t now = iot_now_ms();
	enum iot_status status;

	iot_hmac_sha256(keys->digest, sizeof(keys->digest), secret, len, digest);
	status = check_unused(local, digest, thing, err);
	if (status != IOT_OK)
		return status;
	if (find(local, identity, &stmt, NULL) == IOT_OK)
		return iot_local_exists(err, "PSK identity '%s' is that of device '%s' already", identity,
					iot_stmt_text(stmt, 1));
	label_of(identity, label);
	iot_seal(keys->seal, label, secret, len, &sealed);
	return iot_store_run(local->store, NULL, err,
			     "INSERT INTO psks (identity, thing_id, purpose, status, size, sealed, digest, created_at,"
			     " modified_at) VALUES (?, ?, ?, 'ACTIVE', ?, ?, ?, ?, ?)",
			     "sisibbii", identity, thing_id, purpose, (int64_t)len, (const void *)sealed.data,
			     sealed.len, (const void *)digest, sizeof(digest), now, now);
}

/*
 * A new identity: the thing's name, which says what it is on the wire, where that is free and allowed; else with an
 * ending. Identities have no ':', which separates them from keys in broker files.
 */
static char *identity_for(const char *thing, const char *purpose, int64_t before)
{
	char *identity;
	uint8_t random[4];
	char hex[9];

	if (before == 0 && strcmp(purpose, "connect") == 0 && strchr(thing, ':') == NULL)
		return iot_strdup(thing);
	iot_random(random, sizeof(random));
	identity = iot_strf("%.100s%s.%s", thing, strcmp(purpose, "attest") == 0 ? ".attest" : "",
			    iot_hex(random, sizeof(random), hex));
	for (char *c = identity; *c != '\0'; c++)
		*c = *c == ':' ? '_' : *c;
	return identity;
}

static enum iot_status check_active(const char *thing, int64_t active, bool rotate, struct iot_error *err)
{
	if (!rotate && active > 0) {
		iot_cloud_fail(err, "ResourceAlreadyExistsException", "device '%s' has an active secret of this kind",
			       thing);
		iot_error_hint(err, "replace it with 'iotctl psk rotate %s'", thing);
		return IOT_CONFLICT;
	}
	if (rotate && active == 0)
		return iot_local_not_found(err, "device '%s' has no active secret of this kind to rotate", thing);
	if (rotate && active >= ACTIVE_MAX) {
		iot_cloud_fail(err, "ConflictException", "device '%s' is rotating already: two secrets are active",
			       thing);
		iot_error_hint(err, "revoke the one that it does not use any more with 'iotctl psk revoke IDENTITY'");
		return IOT_CONFLICT;
	}
	return IOT_OK;
}

static enum iot_status reply_with(struct iot_local *local, const struct keys *keys, const char *identity, json_t *reply,
				  struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	enum iot_status status = find(local, identity, &stmt, err);

	if (status != IOT_OK)
		return status;
	set_row(stmt, reply);
	return keys != NULL ? set_instance(keys, stmt, reply, err) : IOT_OK;
}

static enum iot_status create_psk(struct iot_local *local, const json_t *request, const struct iot_body *in,
				  json_t **ret_reply, struct iot_buf *out, struct iot_error *err)
{
	const char *thing = iot_json_str(request, "thingName", ""), *given = iot_json_str(request, "identity", NULL);
	const char *purpose = iot_json_str(request, "purpose", "connect");
	size_t size = (size_t)iot_json_int(request, "size", LENGTH_DEFAULT);
	IOT_CLEAN(iot_free_p) char *identity = NULL;
	IOT_CLEAN(keys_wipe) struct keys keys = {0};
	uint8_t secret[LENGTH_MAX];
	int64_t thing_id = 0, active = 0, all = 0;
	enum iot_status status = iot_local_thing_id(local, thing, &thing_id, err);

	(void)in, (void)out;
	if (status == IOT_OK)
		status = count_active(local, thing_id, purpose, &active, &all, err);
	if (status == IOT_OK)
		status = check_active(thing, active, iot_json_bool(request, "rotate", false), err);
	if (status == IOT_OK)
		status = keys_get(local, true, &keys, err);
	if (status != IOT_OK)
		return status;
	identity = given != NULL ? iot_strdup(given) : identity_for(thing, purpose, all);
	iot_random(secret, size);
	status = insert(local, &keys, thing_id, thing, identity, purpose, secret, size, err);
	iot_wipe(secret, sizeof(secret));
	return status == IOT_OK ? reply_with(local, &keys, identity, *ret_reply, err) : status;
}

/* Secrets that somebody made without a generator, or that everybody has. */
static enum iot_status check_secret(const uint8_t *secret, size_t len, struct iot_error *err)
{
	uint8_t id[IOT_ATTEST_INSTANCE_SIZE];
	const char *whose;
	size_t same = 1;

	if (len < LENGTH_MIN || len > LENGTH_MAX)
		return iot_local_invalid(err, "the secret has %zu bytes: it must have %d to %d", len, LENGTH_MIN,
					 LENGTH_MAX);
	while (same < len && secret[same] == secret[0])
		same++;
	if (same == len)
		return iot_local_invalid(err, "the secret is one byte over and over");
	iot_attest_instance_of_secret(secret, len, id);
	whose = iot_attest_published(id, sizeof(id));
	if (whose != NULL)
		return iot_local_invalid(err, "the secret is %s, which anybody can read", whose);
	return IOT_OK;
}

/* The same again is fine: what is there must be of this device and purpose, active, and have this secret. */
static enum iot_status compare(const struct keys *keys, struct iot_stmt *stmt, const json_t *request,
			       const void *secret, size_t len, struct iot_error *err)
{
	uint8_t digest[IOT_SHA256_SIZE];
	size_t digest_len = 0;
	const void *there = iot_stmt_blob(stmt, 7, &digest_len);

	iot_hmac_sha256(keys->digest, sizeof(keys->digest), secret, len, digest);
	if (strcmp(iot_stmt_text(stmt, 1), iot_json_str(request, "thingName", "")) != 0)
		return iot_local_exists(err, "PSK identity '%s' is that of device '%s' already", iot_stmt_text(stmt, 0),
					iot_stmt_text(stmt, 1));
	if (strcmp(iot_stmt_text(stmt, 2), iot_json_str(request, "purpose", "connect")) != 0 ||
	    digest_len != sizeof(digest) || !iot_equal_secret(digest, there, sizeof(digest)))
		return iot_local_exists(err, "PSK identity '%s' has another secret or purpose", iot_stmt_text(stmt, 0));
	if (strcmp(iot_stmt_text(stmt, 3), "ACTIVE") != 0)
		return iot_local_exists(err, "PSK identity '%s' was revoked", iot_stmt_text(stmt, 0));
	return IOT_OK;
}

static enum iot_status import_new(struct iot_local *local, const struct keys *keys, const json_t *request,
				  const struct iot_body *in, struct iot_error *err)
{
	const char *thing = iot_json_str(request, "thingName", "");
	const char *purpose = iot_json_str(request, "purpose", "connect");
	int64_t thing_id = 0, active = 0, all = 0;
	enum iot_status status = iot_local_thing_id(local, thing, &thing_id, err);

	if (status == IOT_OK)
		status = count_active(local, thing_id, purpose, &active, &all, err);
	if (status == IOT_OK && active >= ACTIVE_MAX)
		status = check_active(thing, active, true, err);
	if (status == IOT_OK)
		status = insert(local, keys, thing_id, thing, iot_json_str(request, "identity", ""), purpose, in->data,
				in->len, err);
	return status;
}

static enum iot_status import_psk(struct iot_local *local, const json_t *request, const struct iot_body *in,
				  json_t **ret_reply, struct iot_buf *out, struct iot_error *err)
{
	const char *identity = iot_json_str(request, "identity", "");
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	IOT_CLEAN(keys_wipe) struct keys keys = {0};
	bool there;
	enum iot_status status;

	(void)out;
	if (in == NULL || in->fd >= 0)
		return iot_local_invalid(err, "ImportPsk needs the secret as its payload");
	status = check_secret(in->data, in->len, err);
	if (status == IOT_OK)
		status = keys_get(local, true, &keys, err);
	if (status != IOT_OK)
		return status;
	status = find(local, identity, &stmt, err);
	there = status == IOT_OK;
	if (there)
		status = compare(&keys, stmt, request, in->data, in->len, err);
	else if (status == IOT_NOT_FOUND) {
		iot_error_clear(err);
		iot_stmt_done_p(&stmt);
		stmt = NULL;
		status = import_new(local, &keys, request, in, err);
	}
	iot_stmt_done(iot_take(stmt));
	if (status == IOT_OK)
		status = reply_with(local, &keys, identity, *ret_reply, err);
	if (status == IOT_OK)
		iot_json_set_bool(*ret_reply, "changed", !there);
	return status;
}

/* --- reading ------------------------------------------------------------------------------ */

static enum iot_status open_list(struct iot_local *local, const json_t *request, int64_t after, int64_t limit,
				 const char *status_wanted, struct iot_stmt **ret, struct iot_error *err)
{
	static const char all[] = "SELECT " COLUMNS " WHERE p.id > ?1 AND (?2 = 0 OR p.thing_id = ?2)"
				  " AND (?3 IS NULL OR p.identity = ?3) AND (?4 IS NULL OR p.purpose = ?4)"
				  " AND (?5 IS NULL OR p.status = ?5) ORDER BY p.id LIMIT ?6";
	static const char one[] = "SELECT " COLUMNS " WHERE p.thing_id = ?2 AND p.id > ?1"
				  " AND (?3 IS NULL OR p.identity = ?3) AND (?4 IS NULL OR p.purpose = ?4)"
				  " AND (?5 IS NULL OR p.status = ?5) ORDER BY p.id LIMIT ?6";
	const char *thing = iot_json_str(request, "thingName", NULL);
	int64_t thing_id = 0;
	enum iot_status status = thing != NULL ? iot_local_thing_id(local, thing, &thing_id, err) : IOT_OK;

	if (status == IOT_OK)
		status = iot_stmt_get(local->store, thing != NULL ? one : all, ret, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(*ret, err, "iisssi", after, thing_id, iot_json_str(request, "identity", NULL),
				       iot_json_str(request, "purpose", NULL), status_wanted, limit);
	return status;
}

static enum iot_status list_psks(struct iot_local *local, const json_t *request, const struct iot_body *in,
				 json_t **ret_reply, struct iot_buf *out, struct iot_error *err)
{
	IOT_CLEAN(iot_page_release) struct iot_page page = {0};
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	IOT_CLEAN(keys_wipe) struct keys keys = {0};
	json_t *psks = json_array();
	bool can_open = keys_get(local, false, &keys, NULL) == IOT_OK;
	enum iot_status status = iot_page_init(&page, request, "nextToken", err);

	(void)in, (void)out;
	json_object_set_new(*ret_reply, "psks", psks);
	if (status == IOT_OK)
		status = open_list(local, request, page.after_id, page.limit + 1, NULL, &stmt, err);
	while (iot_page_row(&page, stmt, 8, &status, err)) {
		json_t *psk = json_object();

		set_row(stmt, psk);
		json_array_append_new(psks, psk);
		/* A list is of use without the sealing key as well, in a restored fleet. */
		if (!can_open || set_instance(&keys, stmt, psk, NULL) != IOT_OK)
			iot_json_set_bool(psk, "sealed", true);
	}
	if (status == IOT_OK)
		iot_page_finish(&page, *ret_reply);
	return status;
}

static enum iot_status export_psks(struct iot_local *local, const json_t *request, const struct iot_body *in,
				   json_t **ret_reply, struct iot_buf *out, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	IOT_CLEAN(keys_wipe) struct keys keys = {0};
	int64_t count = 0;
	bool row = false;
	enum iot_status status;

	(void)in;
	if (out == NULL || !out->secret)
		return iot_local_invalid(err, "ExportPsks needs a place for the secrets");
	status = keys_get(local, false, &keys, err);
	if (status == IOT_OK)
		status = open_list(local, request, 0, INT64_MAX, "ACTIVE", &stmt, err);
	while (status == IOT_OK && (status = iot_stmt_step(stmt, &row, err)) == IOT_OK && row) {
		IOT_CLEAN(iot_buf_release) struct iot_buf secret = IOT_BUF_SECRET(LENGTH_MAX);
		char hex[2 * LENGTH_MAX + 1];

		status = open_row(&keys, stmt, &secret, err);
		if (status != IOT_OK)
			break;
		iot_buf_adds(out, iot_stmt_text(stmt, 0));
		iot_buf_addc(out, ':');
		iot_buf_adds(out, iot_hex(secret.data, secret.len, hex));
		iot_buf_addc(out, '\n');
		iot_wipe(hex, sizeof(hex));
		count++;
	}
	if (status == IOT_OK)
		status = iot_buf_check(out, "the file of secrets", err);
	if (status == IOT_OK)
		iot_json_set_int(*ret_reply, "count", count);
	return status;
}

/* --- for a gateway elsewhere ---------------------------------------------------------------- */

/* The digest there tells two keys apart and nothing else. */
static enum iot_status extract_row(struct iot_local *local, struct iot_stmt *from, const struct keys *keys,
				   const uint8_t *seal, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf secret = IOT_BUF_SECRET(LENGTH_MAX);
	IOT_CLEAN(iot_buf_release) struct iot_buf sealed = IOT_BUF_INIT(LENGTH_MAX + IOT_SEAL_EXTRA);
	char label[IDENTITY_MAX + 8];
	enum iot_status status = open_row(keys, from, &secret, err);

	if (status != IOT_OK)
		return status;
	label_of(iot_stmt_text(from, 0), label);
	iot_seal(seal, label, secret.data, secret.len, &sealed);
	return iot_store_run(local->store, NULL, err,
			     "INSERT INTO extract.psks (id, identity, thing_id, purpose, status, size, sealed, digest,"
			     " created_at, modified_at) SELECT id, identity, thing_id, purpose, status, size, ?2,"
			     " randomblob(32), created_at, modified_at FROM main.psks WHERE id = ?1",
			     "ib", iot_stmt_int(from, 8), (const void *)sealed.data, sealed.len);
}

enum iot_status psks_extract(struct iot_local *local, const uint8_t seal[IOT_SEAL_KEY_SIZE], struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	IOT_CLEAN(keys_wipe) struct keys keys = {0};
	bool row = false;
	enum iot_status status = iot_stmt_query(local->store, &stmt, &row, err,
						"SELECT " COLUMNS " WHERE p.status = 'ACTIVE'"
						" AND t.id IN (SELECT id FROM extract.things)",
						"");

	if (status == IOT_OK && row)
		status = keys_get(local, false, &keys, err);
	while (status == IOT_OK && row) {
		status = extract_row(local, stmt, &keys, seal, err);
		if (status == IOT_OK)
			status = iot_stmt_step(stmt, &row, err);
	}
	return status;
}

/* --- revoking -------------------------------------------------------------------------------- */

static enum iot_status revoke_psk(struct iot_local *local, const json_t *request, const struct iot_body *in,
				  json_t **ret_reply, struct iot_buf *out, struct iot_error *err)
{
	const char *identity = iot_json_str(request, "identity", "");
	enum iot_status status = iot_store_run(local->store, NULL, err,
					       "UPDATE psks SET status = 'REVOKED', modified_at = ? WHERE identity = ?"
					       " AND status <> 'REVOKED'",
					       "is", iot_now_ms(), identity);

	(void)in, (void)out;
	return status == IOT_OK ? reply_with(local, NULL, identity, *ret_reply, err) : status;
}

static enum iot_status delete_psk(struct iot_local *local, const json_t *request, const struct iot_body *in,
				  json_t **ret_reply, struct iot_buf *out, struct iot_error *err)
{
	const char *identity = iot_json_str(request, "identity", "");
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	enum iot_status status = find(local, identity, &stmt, err);

	(void)in, (void)out, (void)ret_reply;
	if (status != IOT_OK)
		return status;
	if (strcmp(iot_stmt_text(stmt, 3), "REVOKED") != 0) {
		iot_cloud_fail(err, "ConflictException", "PSK identity '%s' is active", identity);
		iot_error_hint(err, "revoke it first with 'iotctl psk revoke %s'", identity);
		return IOT_CONFLICT;
	}
	iot_stmt_done(iot_take(stmt));
	return iot_store_run(local->store, NULL, err, "DELETE FROM psks WHERE identity = ?", "s", identity);
}

const struct iot_local_handler iot_local_secret_handlers[] = {
	{"iotctl:CreatePsk", create_psk, false},
	{"iotctl:ImportPsk", import_psk, false},
	{"iotctl:ListPsks", list_psks, false},
	{"iotctl:RevokePsk", revoke_psk, false},
	{"iotctl:DeletePsk", delete_psk, false},
	{"iotctl:ExportPsks", export_psks, false},
	{NULL, NULL, false},
};
