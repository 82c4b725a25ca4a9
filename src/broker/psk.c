/* Secrets and public keys of devices, as those look them up who let devices in. Part of the plugin as well. */
#include "iotctl/psk.h"

#include "iotctl/base.h"

#include <stdio.h>
#include <string.h>

void iot_psk_wipe(struct iot_psk *psk)
{
	iot_wipe(psk, sizeof(*psk));
}

#define COLUMNS                                                                                                        \
	"SELECT p.id, p.identity, t.id, t.name, p.status, p.sealed FROM psks p JOIN things t ON t.id = p.thing_id"

static enum iot_status open_row(struct iot_stmt *stmt, const uint8_t *seal, struct iot_psk *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf secret = IOT_BUF_SECRET(IOT_PSK_LENGTH_MAX);
	char label[IOT_PSK_IDENTITY_MAX + 8];
	size_t len = 0;
	const void *sealed = iot_stmt_blob(stmt, 5, &len);
	enum iot_status status;

	ret->id = iot_stmt_int(stmt, 0);
	ret->thing_id = iot_stmt_int(stmt, 2);
	snprintf(ret->identity, sizeof(ret->identity), "%s", iot_stmt_text(stmt, 1));
	snprintf(ret->thing, sizeof(ret->thing), "%s", iot_stmt_text(stmt, 3));
	snprintf(label, sizeof(label), "psk:%s", ret->identity);
	status = iot_unseal(seal, label, sealed, len, &secret, err);
	if (status != IOT_OK)
		return iot_fail(err, IOT_VERIFY, "the secret of '%s' cannot be opened with the fleet's sealing key",
				ret->identity);
	if (secret.len < IOT_PSK_LENGTH_MIN)
		return iot_fail(err, IOT_VERIFY, "the secret of '%s' is too short", ret->identity);
	memcpy(ret->key, secret.data, secret.len);
	ret->key_len = secret.len;
	return IOT_OK;
}

enum iot_status iot_psk_find(struct iot_store *store, const uint8_t seal[IOT_SEAL_KEY_SIZE], const void *identity,
			     size_t identity_len, struct iot_psk *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	IOT_CLEAN(iot_psk_wipe) struct iot_psk psk = {0};
	char name[IOT_PSK_IDENTITY_MAX + 1];
	bool row = false;
	enum iot_status status;

	/* What cannot be an identity is not asked for: too long, or with a NUL that would end it early. */
	if (identity_len == 0 || identity_len > IOT_PSK_IDENTITY_MAX || memchr(identity, '\0', identity_len) != NULL)
		return iot_fail(err, IOT_NOT_FOUND, "a PSK identity of %zu bytes is none that there can be",
				identity_len);
	memcpy(name, identity, identity_len);
	name[identity_len] = '\0';
	status = iot_stmt_query(store, &stmt, &row, err, COLUMNS " WHERE p.identity = ? AND p.purpose = 'connect'", "s",
				name);
	if (status != IOT_OK)
		return status;
	if (!row)
		return iot_fail(err, IOT_NOT_FOUND, "there is no PSK identity '%s'", name);
	if (strcmp(iot_stmt_text(stmt, 4), "ACTIVE") != 0)
		return iot_fail(err, IOT_DENIED, "PSK identity '%s' was revoked", name);
	status = open_row(stmt, seal, &psk, err);
	if (status == IOT_OK)
		*ret = psk;
	return status;
}

enum iot_status iot_psk_is_active(struct iot_store *store, int64_t id, bool *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status = iot_stmt_query(store, &stmt, &row, err,
						"SELECT 1 FROM psks WHERE id = ? AND status = 'ACTIVE'", "i", id);
	if (status == IOT_OK)
		*ret = row;
	return status;
}

enum iot_status iot_psk_attestation_keys(struct iot_store *store, const uint8_t seal[IOT_SEAL_KEY_SIZE],
					 int64_t thing_id, struct iot_psk ret[IOT_PSK_ACTIVE_MAX], size_t *ret_count,
					 struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	size_t count = 0;
	bool row = false;
	enum iot_status status = iot_stmt_get(store,
					      COLUMNS " WHERE p.thing_id = ? AND p.purpose = 'attest'"
						      " AND p.status = 'ACTIVE' ORDER BY p.id DESC LIMIT 2",
					      &stmt, err);

	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "i", thing_id);
	while (status == IOT_OK && count < IOT_PSK_ACTIVE_MAX && (status = iot_stmt_step(stmt, &row, err)) == IOT_OK &&
	       row)
		status = open_row(stmt, seal, &ret[count++], err);
	if (status == IOT_OK)
		*ret_count = count;
	else
		iot_wipe(ret, count * sizeof(*ret));
	return status;
}

void iot_device_keys_release(struct iot_device_key *keys, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		iot_key_free(keys[i].key);
		keys[i].key = NULL;
	}
}

enum iot_status iot_device_keys_find(struct iot_store *store, const char *thing, const char *purpose,
				     struct iot_device_key ret[IOT_DEVICE_KEYS_MAX], size_t *ret_count,
				     struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	size_t count = 0;
	bool row = false, there = false;
	enum iot_status status =
		iot_stmt_get(store,
			     "SELECT k.pem, k.key_id, k.expires_at FROM things t LEFT JOIN device_keys k"
			     " ON k.thing_id = t.id AND k.purpose = ?2 WHERE t.name = ?1 ORDER BY k.created_at DESC, "
			     "k.key_id LIMIT 3",
			     &stmt, err);

	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "ss", thing, purpose);
	while (status == IOT_OK && count < IOT_DEVICE_KEYS_MAX && (status = iot_stmt_step(stmt, &row, err)) == IOT_OK &&
	       row) {
		const char *pem = iot_stmt_text(stmt, 0);

		there = true;
		if (pem == NULL)
			break;
		status = iot_key_from_public_pem(pem, strlen(pem), "key in the registry", &ret[count].key, err);
		if (status != IOT_OK)
			break;
		snprintf(ret[count].id, sizeof(ret[count].id), "%s", iot_stmt_text(stmt, 1));
		ret[count++].expires_at = iot_stmt_int(stmt, 2);
	}
	if (status == IOT_OK && !there)
		status = iot_fail(err, IOT_NOT_FOUND, "there is no device '%s'", thing);
	if (status == IOT_OK)
		*ret_count = count;
	else
		iot_device_keys_release(ret, count);
	return status;
}
