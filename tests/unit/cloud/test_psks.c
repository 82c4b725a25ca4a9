/* Secrets and public keys of devices in the registry: what is refused, and that nothing stays half done. */
#include "jobs_fixture.h"

#include "iotctl/digest.h"
#include "iotctl/seal.h"

static void make_things(void)
{
	set_up();
	EXPECT_CALL("thingName", "'a'", "CreateThing", "{'thingName': 'a'}");
	EXPECT_CALL("thingName", "'b:1'", "CreateThing", "{'thingName': 'b:1'}");
}

static const char *import(const char *request, const void *secret, size_t len)
{
	static struct iot_error err;
	const struct iot_body body = {secret, len, -1};
	IOT_CLEAN(iot_free_p) char *text = strdup(request);
	IOT_JSON json = NULL;
	IOT_JSON reply = NULL;

	for (char *c = text; *c != '\0'; c++)
		*c = *c == '\'' ? '"' : *c;
	json = json_loads(text, 0, NULL);
	err = (struct iot_error)IOT_ERROR_INIT;
	return iot_cloud_call(cloud, "iotctl:ImportPsk", json, &body, &reply, NULL, &err) == IOT_OK
		       ? (iot_json_bool(reply, "changed", false) ? "changed" : "same")
		       : err.code;
}

static void test_identities(void)
{
	EXPECT_CALL("identity", "'a'", "iotctl:CreatePsk", "{'thingName': 'a'}");
	EXPECT_CALL("size", "24", "iotctl:CreatePsk", "{'thingName': 'a', 'purpose': 'attest', 'size': 24}");
	{ /* no identity has a colon: it separates identities from keys in broker files */
		IOT_JSON reply = NULL;

		CU_ASSERT_STRING_EQUAL(try_text("iotctl:CreatePsk", "{'thingName': 'b:1'}", &reply), "");
		ASSERT_CONTAINS(iot_json_str(reply, "identity", ""), "b_1.");
	}
	CU_ASSERT_STRING_EQUAL(
		try_text("iotctl:CreatePsk", "{'thingName': 'b:1', 'rotate': true, 'identity': 'a'}", NULL),
		"ResourceAlreadyExistsException");
	CU_ASSERT_STRING_EQUAL(
		try_text("iotctl:CreatePsk", "{'thingName': 'b:1', 'rotate': true, 'identity': '#'}", NULL),
		"InvalidRequestException");
}

static void test_import(void)
{
	uint8_t secret[65];

	iot_random(secret, sizeof(secret));
	CU_ASSERT_STRING_EQUAL(import("{'thingName': 'a', 'identity': 'x'}", secret, 32), "changed");
	CU_ASSERT_STRING_EQUAL(import("{'thingName': 'a', 'identity': 'x'}", secret, 32), "same");
	CU_ASSERT_STRING_EQUAL(import("{'thingName': 'a', 'identity': 'x'}", secret, 31),
			       "ResourceAlreadyExistsException");
	CU_ASSERT_STRING_EQUAL(import("{'thingName': 'b:1', 'identity': 'x'}", secret, 32),
			       "ResourceAlreadyExistsException");
	/* the same secret again: for another device, another identity, another purpose, and after it was revoked */
	CU_ASSERT_STRING_EQUAL(import("{'thingName': 'b:1', 'identity': 'y'}", secret, 32),
			       "ResourceAlreadyExistsException");
	CU_ASSERT_STRING_EQUAL(import("{'thingName': 'a', 'identity': 'y'}", secret, 32),
			       "ResourceAlreadyExistsException");
	CU_ASSERT_STRING_EQUAL(import("{'thingName': 'a', 'identity': 'y', 'purpose': 'attest'}", secret, 32),
			       "ResourceAlreadyExistsException");
	EXPECT_CALL("status", "'REVOKED'", "iotctl:RevokePsk", "{'identity': 'x'}");
	CU_ASSERT_STRING_EQUAL(import("{'thingName': 'a', 'identity': 'x'}", secret, 32),
			       "ResourceAlreadyExistsException");
	CU_ASSERT_STRING_EQUAL(import("{'thingName': 'b:1', 'identity': 'y'}", secret, 32),
			       "ResourceAlreadyExistsException");
	CU_ASSERT_STRING_EQUAL(import("{'thingName': 'a', 'identity': 'z'}", secret, 15), "InvalidRequestException");
	CU_ASSERT_STRING_EQUAL(import("{'thingName': 'a', 'identity': 'z'}", secret, 65), "InvalidRequestException");
	/* two at most */
	CU_ASSERT_STRING_EQUAL(import("{'thingName': 'a', 'identity': '1'}", secret + 1, 32), "changed");
	CU_ASSERT_STRING_EQUAL(import("{'thingName': 'a', 'identity': '2'}", secret + 2, 32), "changed");
	CU_ASSERT_STRING_EQUAL(import("{'thingName': 'a', 'identity': '3'}", secret + 3, 32), "ConflictException");
}

static void test_sealed(void)
{
	struct iot_store *store = iot_local_store(cloud);
	struct iot_buf out = IOT_BUF_SECRET(4096), plain = IOT_BUF_INIT(4096);
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON all = json_object();
	IOT_JSON reply = NULL;

	EXPECT_CALL("identity", "'a'", "iotctl:CreatePsk", "{'thingName': 'a'}");
	ASSERT_OK(iot_cloud_call(cloud, "iotctl:ExportPsks", all, NULL, &reply, &out, &err), &err);
	CU_ASSERT_EQUAL(out.len, strlen("a:") + 64 + 1);
	json_decref(iot_take(reply));
	/* only into a buffer that is wiped */
	ASSERT_STATUS(iot_cloud_call(cloud, "iotctl:ExportPsks", all, NULL, &reply, &plain, &err), IOT_USAGE, &err);
	/* a sealed secret is of use under its own identity alone */
	ASSERT_OK(iot_store_run(store, NULL, &err, "UPDATE psks SET identity = 'c'", ""), &err);
	ASSERT_STATUS(iot_cloud_call(cloud, "iotctl:ExportPsks", all, NULL, &reply, &out, &err), IOT_VERIFY, &err);
	ASSERT_CONTAINS(err.what, "the secret of 'c' cannot be opened");
	iot_buf_release(&out);
	iot_buf_release(&plain);
}

static void test_lost_sealing_key(void)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, IOT_SEAL_KEY_FILE);
	struct iot_error err = IOT_ERROR_INIT;

	EXPECT_CALL("identity", "'a'", "iotctl:CreatePsk", "{'thingName': 'a'}");
	ASSERT_OK(iot_fs_remove(path, &err), &err);
	CU_ASSERT_STRING_NOT_EQUAL(try_text("iotctl:CreatePsk", "{'thingName': 'b:1'}", NULL), "");
	CU_ASSERT_FALSE(iot_fs_exists(path));
	EXPECT_CALL("psks.0.identity", "'a'", "iotctl:ListPsks", "{}");
}

static void test_a_device_goes(void)
{
	EXPECT_CALL("identity", "'a'", "iotctl:CreatePsk", "{'thingName': 'a'}");
	CU_ASSERT_STRING_EQUAL(try_text("DeleteThing", "{'thingName': 'a'}", NULL), "");
	EXPECT_CALL("psks", "[]", "iotctl:ListPsks", "{}");
	CU_ASSERT_STRING_EQUAL(try_text("iotctl:CreatePsk", "{'thingName': 'a'}", NULL), "ResourceNotFoundException");
}

UNIT_MAIN("cloud/psks", make_things, tear_down, {"identities", test_identities}, {"import", test_import},
	  {"sealed", test_sealed}, {"lost_sealing_key", test_lost_sealing_key}, {"a_device_goes", test_a_device_goes})
