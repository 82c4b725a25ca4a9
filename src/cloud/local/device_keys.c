/*
 * Public keys that devices sign tokens with (our own operations): in place of a
 * certificate, or attestation tokens. Three of a device at most for either purpose, each perhaps with an
 * end. No two devices share a key: a token does not say whose it is.
 */
#include "local_private.h"

#include "iotctl/attest.h"
#include "iotctl/cert.h"
#include "iotctl/jwt.h"

#include <string.h>

/* A public key in PEM, or the one in a certificate in PEM. */
static enum iot_status read_key(const char *pem, struct iot_key **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	enum iot_status status;

	if (strstr(pem, "PRIVATE KEY") != NULL)
		return iot_local_invalid(err, "publicKey is a private key: it must not leave the device");
	if (strstr(pem, "BEGIN CERTIFICATE") == NULL)
		return iot_key_from_public_pem(pem, strlen(pem), "publicKey", ret, err);
	status = iot_cert_parse_pem(pem, strlen(pem), "publicKey", &cert, err);
	if (status == IOT_OK)
		*ret = iot_key_public_copy(iot_cert_key(cert));
	return status;
}

static bool attests(const char *purpose)
{
	return strcmp(purpose, "attest") == 0;
}

static enum iot_status check_attestation_key(const struct iot_key *key, struct iot_error *err)
{
	enum iot_key_type type = iot_key_type(key);
	uint8_t instance[IOT_ATTEST_INSTANCE_SIZE];
	enum iot_status status;
	const char *whose;

	if (type != IOT_KEY_P256 && type != IOT_KEY_P384 && type != IOT_KEY_P521)
		return iot_local_invalid(err,
					 "a key of type '%s' signs no attestation tokens: P-256, P-384 and P-521 do",
					 iot_key_type_name(type));
	status = iot_attest_instance_of_key(key, instance, err);
	if (status != IOT_OK)
		return status;
	whose = iot_attest_published(instance, sizeof(instance));
	return whose == NULL ? IOT_OK : iot_local_invalid(err, "the key is %s, which anybody has", whose);
}

static enum iot_status check_key(const struct iot_key *key, const char *purpose, struct iot_error *err)
{
	enum iot_key_type type = iot_key_type(key);

	if (attests(purpose))
		return check_attestation_key(key, err);
	if (type == IOT_KEY_P256 || (iot_key_is_rsa(key) && iot_key_bits(key) >= 2048))
		return IOT_OK;
	return iot_local_invalid(err, "a key of type '%s' signs no tokens: P-256, or RSA of 2048 bits and more, does",
				 iot_key_type_name(type));
}

static void set_row(struct iot_stmt *stmt, json_t *to)
{
	iot_json_set_str(to, "keyId", iot_stmt_text(stmt, 0));
	iot_json_set_str(to, "thingName", iot_stmt_text(stmt, 1));
	iot_json_set_str(to, "type", iot_stmt_text(stmt, 2));
	iot_local_set_time(to, "expiresAt", iot_stmt_int(stmt, 3));
	iot_local_set_time(to, "createdAt", iot_stmt_int(stmt, 4));
	iot_json_set_str(to, "publicKey", iot_stmt_text(stmt, 5));
	iot_json_set_str(to, "purpose", iot_stmt_text(stmt, 6));
}

#define COLUMNS                                                                                                        \
	"SELECT k.key_id, t.name, k.type, k.expires_at, k.created_at, k.pem, k.purpose FROM device_keys k"             \
	" JOIN things t ON t.id = k.thing_id"

static enum iot_status find(struct iot_local *local, const char *key_id, struct iot_stmt **ret, bool *ret_row,
			    struct iot_error *err)
{
	enum iot_status status = iot_stmt_get(local->store, COLUMNS " WHERE k.key_id = ?", ret, err);

	if (status == IOT_OK)
		status = iot_stmt_bind(*ret, err, "s", key_id);
	return status == IOT_OK ? iot_stmt_step(*ret, ret_row, err) : status;
}

/* Expired keys make room. */
static enum iot_status make_room(struct iot_local *local, int64_t thing_id, const char *thing, const char *purpose,
				 struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status =
		iot_store_run(local->store, NULL, err, "DELETE FROM device_keys WHERE thing_id = ? AND expires_at <= ?",
			      "ii", thing_id, iot_now_ms());

	if (status == IOT_OK)
		status = iot_stmt_query(local->store, &stmt, &row, err,
					"SELECT count(*) FROM device_keys WHERE thing_id = ? AND purpose = ?", "is",
					thing_id, purpose);
	if (status != IOT_OK || iot_stmt_int(stmt, 0) < IOT_JWT_KEYS_MAX)
		return status;
	iot_cloud_fail(err, "LimitExceededException", "device '%s' has %d keys: no more are allowed", thing,
		       IOT_JWT_KEYS_MAX);
	iot_error_hint(err, "remove one with 'iotctl %s remove-key %s KEY'", attests(purpose) ? "attest" : "jwt",
		       thing);
	return IOT_CONFLICT;
}

static enum iot_status put(struct iot_local *local, const struct iot_key *key, const char *key_id, int64_t thing_id,
			   const char *purpose, int64_t expires_at, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf pem = IOT_BUF_INIT(16384);
	enum iot_status status = iot_key_public_pem(key, &pem, err);

	if (status != IOT_OK)
		return status;
	return iot_store_run(local->store, NULL, err,
			     "INSERT INTO device_keys (key_id, thing_id, pem, type, purpose, expires_at, created_at)"
			     " VALUES (?, ?, ?, ?, ?, nullif(?, 0), ?)",
			     "sisssii", key_id, thing_id, iot_buf_str(&pem), iot_key_type_name(iot_key_type(key)),
			     purpose, expires_at, iot_now_ms());
}

static enum iot_status add_key(struct iot_local *local, const json_t *request, const struct iot_body *in,
			       json_t **ret_reply, struct iot_buf *out, struct iot_error *err)
{
	const char *thing = iot_json_str(request, "thingName", "");
	const char *purpose = iot_json_str(request, "purpose", "connect");
	int64_t expires_at = (int64_t)(json_number_value(json_object_get(request, "expiresAt")) * 1000), thing_id = 0;
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	char key_id[IOT_SHA256_HEX_SIZE];
	bool there = false;
	enum iot_status status = iot_local_thing_id(local, thing, &thing_id, err);

	(void)in, (void)out;
	if (status == IOT_OK)
		status = read_key(iot_json_str(request, "publicKey", ""), &key, err);
	if (status == IOT_OK)
		status = check_key(key, purpose, err);
	if (status == IOT_OK && json_object_get(request, "expiresAt") != NULL && expires_at <= iot_now_ms())
		status = iot_local_invalid(err, "expiresAt is past");
	if (status == IOT_OK)
		status = find(local, iot_key_id(key, key_id), &stmt, &there, err);
	if (status != IOT_OK)
		return status;
	if (there && strcmp(iot_stmt_text(stmt, 1), thing) != 0)
		return iot_local_exists(err, "this key is that of device '%s' already", iot_stmt_text(stmt, 1));
	if (there && strcmp(iot_stmt_text(stmt, 6), purpose) != 0)
		return iot_local_exists(err, "device '%s' has this key for another purpose", thing);
	iot_stmt_done(iot_take(stmt));
	if (there)
		status = iot_store_run(local->store, NULL, err,
				       "UPDATE device_keys SET expires_at = nullif(?1, 0) WHERE key_id = ?2"
				       " AND expires_at IS NOT nullif(?1, 0)",
				       "is", expires_at, key_id);
	else {
		status = make_room(local, thing_id, thing, purpose, err);
		if (status == IOT_OK)
			status = put(local, key, key_id, thing_id, purpose, expires_at, err);
	}
	if (status == IOT_OK)
		status = find(local, key_id, &stmt, &(bool){false}, err);
	if (status != IOT_OK)
		return status;
	set_row(stmt, *ret_reply);
	json_object_del(*ret_reply, "publicKey");
	iot_json_set_bool(*ret_reply, "changed", !there);
	return IOT_OK;
}

static enum iot_status list_keys(struct iot_local *local, const json_t *request, const struct iot_body *in,
				 json_t **ret_reply, struct iot_buf *out, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	json_t *keys = json_array();
	int64_t thing_id = 0;
	bool row = false;
	enum iot_status status = iot_local_thing_id(local, iot_json_str(request, "thingName", ""), &thing_id, err);

	(void)in, (void)out;
	json_object_set_new(*ret_reply, "keys", keys);
	if (status == IOT_OK)
		status = iot_stmt_get(local->store,
				      COLUMNS " WHERE k.thing_id = ?1 AND (?2 IS NULL OR k.purpose = ?2)"
					      " ORDER BY k.created_at, k.key_id",
				      &stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "is", thing_id, iot_json_str(request, "purpose", NULL));
	while (status == IOT_OK && (status = iot_stmt_step(stmt, &row, err)) == IOT_OK && row) {
		json_t *key = json_object();

		set_row(stmt, key);
		json_array_append_new(keys, key);
	}
	return status;
}

static enum iot_status remove_key(struct iot_local *local, const json_t *request, const struct iot_body *in,
				  json_t **ret_reply, struct iot_buf *out, struct iot_error *err)
{
	const char *thing = iot_json_str(request, "thingName", ""), *key_id = iot_json_str(request, "keyId", "");
	int64_t thing_id = 0, changes = 0;
	enum iot_status status = iot_local_thing_id(local, thing, &thing_id, err);

	(void)in, (void)out, (void)ret_reply;
	if (status == IOT_OK)
		status = iot_store_run(local->store, &changes, err,
				       "DELETE FROM device_keys WHERE thing_id = ? AND key_id = lower(?)", "is",
				       thing_id, key_id);
	if (status == IOT_OK && changes == 0)
		return iot_local_not_found(err, "device '%s' has no key '%s'", thing, key_id);
	return status;
}

const struct iot_local_handler iot_local_key_handlers[] = {
	{"iotctl:AddDeviceKey", add_key, false},
	{"iotctl:ListDeviceKeys", list_keys, false},
	{"iotctl:RemoveDeviceKey", remove_key, false},
	{NULL, NULL, false},
};
