/* Lookups of secrets and public keys, as who lets devices in makes them: on a read-only registry. */
#include "iotctl/psk.h"

#include "iotctl/base.h"
#include "iotctl/local.h"
#include "unit.h"

static char *dir;
static struct iot_cloud *cloud;
static struct iot_store *store;
static uint8_t seal[IOT_SEAL_KEY_SIZE];

static void call(const char *operation, json_t *request, const struct iot_body *in)
{
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_cloud_call(cloud, operation, request, in, NULL, NULL, &err), &err);
	json_decref(request);
}

static const uint8_t secret[32] = {1, 2, 3}, old_key[16] = {4, 5}, new_key[16] = {6, 7};

static void set_up(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	char *root = unit_mkdtemp(), *path;
	struct iot_body body = {secret, sizeof(secret), -1};

	dir = iot_path(root, "fleet");
	free(root);
	ASSERT_OK(iot_local_create(dir, "demo", &err), &err);
	ASSERT_OK(iot_local_open(dir, &cloud, &err), &err);
	call("CreateThing", json_pack("{s:s}", "thingName", "a"), NULL);
	call("iotctl:ImportPsk", json_pack("{s:s, s:s}", "thingName", "a", "identity", "id"), &body);
	body = (struct iot_body){old_key, sizeof(old_key), -1};
	call("iotctl:ImportPsk", json_pack("{s:s, s:s, s:s}", "thingName", "a", "identity", "old", "purpose", "attest"),
	     &body);
	body = (struct iot_body){new_key, sizeof(new_key), -1};
	call("iotctl:ImportPsk", json_pack("{s:s, s:s, s:s}", "thingName", "a", "identity", "new", "purpose", "attest"),
	     &body);
	path = iot_path(dir, IOT_SEAL_KEY_FILE);
	ASSERT_OK(iot_seal_key_read(path, seal, &err), &err);
	free(path);
	ASSERT_OK(iot_store_open(iot_local_paths(cloud)->registry, &iot_registry_schema, IOT_STORE_READ, &store, &err),
		  &err);
}

static void tear_down(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	iot_store_close(store);
	iot_cloud_free(cloud);
	*strrchr(dir, '/') = '\0';
	ASSERT_OK(iot_fs_remove_tree(dir, &err), &err);
	free(dir);
}

static enum iot_status find(const char *identity, size_t len, struct iot_psk *psk)
{
	return iot_psk_find(store, seal, identity, len, psk, NULL);
}

static void test_found(void)
{
	struct iot_psk psk = {0};
	struct iot_error err = IOT_ERROR_INIT;
	bool active = false;

	ASSERT_OK(iot_psk_find(store, seal, "id", 2, &psk, &err), &err);
	CU_ASSERT_STRING_EQUAL(psk.thing, "a");
	CU_ASSERT_EQUAL(psk.key_len, sizeof(secret));
	CU_ASSERT_EQUAL(memcmp(psk.key, secret, sizeof(secret)), 0);
	ASSERT_OK(iot_psk_is_active(store, psk.id, &active, &err), &err);
	CU_ASSERT_TRUE(active);
	call("iotctl:RevokePsk", json_pack("{s:s}", "identity", "id"), NULL);
	ASSERT_OK(iot_psk_is_active(store, psk.id, &active, &err), &err);
	CU_ASSERT_FALSE(active);
	CU_ASSERT_EQUAL(find("id", 2, &psk), IOT_DENIED);
}

/* What clients send is not text that can be trusted. */
static void test_foreign_identities(void)
{
	struct iot_psk psk = {0};
	char large[300];

	memset(large, 'x', sizeof(large));
	CU_ASSERT_EQUAL(find("", 0, &psk), IOT_NOT_FOUND);
	CU_ASSERT_EQUAL(find(large, sizeof(large), &psk), IOT_NOT_FOUND);
	CU_ASSERT_EQUAL(find("id\0x", 4, &psk), IOT_NOT_FOUND); /* not cut at the NUL */
	CU_ASSERT_EQUAL(find("id:", 3, &psk), IOT_NOT_FOUND);
	CU_ASSERT_EQUAL(find("ID", 2, &psk), IOT_NOT_FOUND);
	CU_ASSERT_EQUAL(find("id' OR '1", 9, &psk), IOT_NOT_FOUND);
	CU_ASSERT_EQUAL(find("old", 3, &psk), IOT_NOT_FOUND); /* an attestation key opens no connection */
	seal[0] ^= 1;
	CU_ASSERT_EQUAL(find("id", 2, &psk), IOT_VERIFY);
	CU_ASSERT_EQUAL(psk.key_len, 0);
}

static void test_attestation_keys(void)
{
	struct iot_psk keys[IOT_PSK_ACTIVE_MAX];
	struct iot_psk psk = {0};
	struct iot_error err = IOT_ERROR_INIT;
	size_t count = 9;

	ASSERT_OK(iot_psk_find(store, seal, "id", 2, &psk, &err), &err);
	ASSERT_OK(iot_psk_attestation_keys(store, seal, psk.thing_id, keys, &count, &err), &err);
	CU_ASSERT_EQUAL(count, 2);
	CU_ASSERT_EQUAL(memcmp(keys[0].key, new_key, sizeof(new_key)), 0); /* the newest first */
	call("iotctl:RevokePsk", json_pack("{s:s}", "identity", "new"), NULL);
	ASSERT_OK(iot_psk_attestation_keys(store, seal, psk.thing_id, keys, &count, &err), &err);
	CU_ASSERT_EQUAL(count, 1);
	CU_ASSERT_STRING_EQUAL(keys[0].identity, "old");
	ASSERT_OK(iot_psk_attestation_keys(store, seal, psk.thing_id + 1, keys, &count, &err), &err);
	CU_ASSERT_EQUAL(count, 0);
}

static void test_device_keys(void)
{
	struct iot_device_key keys[IOT_DEVICE_KEYS_MAX];
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_buf pem = IOT_BUF_INIT(4096);
	struct iot_key *key = NULL;
	char id[IOT_SHA256_HEX_SIZE];
	size_t count = 9;

	ASSERT_OK(iot_device_keys_find(store, "a", "connect", keys, &count, &err), &err);
	CU_ASSERT_EQUAL(count, 0);
	ASSERT_STATUS(iot_device_keys_find(store, "b", "connect", keys, &count, &err), IOT_NOT_FOUND, &err);
	ASSERT_OK(iot_key_generate(IOT_KEY_P256, &key, &err), &err);
	ASSERT_OK(iot_key_public_pem(key, &pem, &err), &err);
	call("iotctl:AddDeviceKey",
	     json_pack("{s:s, s:s, s:I}", "thingName", "a", "publicKey", iot_buf_str(&pem), "expiresAt",
		       (json_int_t)4000000000),
	     NULL);
	ASSERT_OK(iot_device_keys_find(store, "a", "connect", keys, &count, &err), &err);
	CU_ASSERT_EQUAL(count, 1);
	CU_ASSERT_STRING_EQUAL(keys[0].id, iot_key_id(key, id));
	CU_ASSERT_TRUE(iot_key_equal(keys[0].key, key));
	CU_ASSERT_EQUAL(keys[0].expires_at, INT64_C(4000000000000));
	iot_device_keys_release(keys, count);
	ASSERT_OK(iot_device_keys_find(store, "a", "attest", keys, &count, &err), &err); /* it is for one purpose */
	CU_ASSERT_EQUAL(count, 0);
	iot_key_free(key);
	iot_buf_release(&pem);
}

UNIT_MAIN("broker/psk", set_up, tear_down, {"found", test_found}, {"foreign_identities", test_foreign_identities},
	  {"attestation_keys", test_attestation_keys}, {"device_keys", test_device_keys})
