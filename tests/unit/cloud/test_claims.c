/* Claims in the registry: made, changed, taken back; and carried out, as a whole or not at all. */
#include "jobs_fixture.h"

#include "iotctl/cert.h"

static struct iot_key *ca_key;
static struct iot_cert *ca;
static char *pem, id[IOT_SHA256_HEX_SIZE]; /* the module's certificate */

static char *pem_of(const struct iot_cert *cert)
{
	struct iot_buf text = IOT_BUF_INIT(IOT_CERT_PEM_MAX);

	iot_cert_pem(cert, &text);
	return iot_buf_detach(&text);
}

static void make_module(const char *uid)
{
	const struct iot_cert_request request = {
		.profile = IOT_PROFILE_DEVICE, .common_name = uid, .key = ca_key, .days = 20};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_cert *cert = NULL;

	ASSERT_OK(iot_cert_issue(ca_key, ca, &request, &cert, &err), &err);
	free(pem);
	pem = pem_of(cert);
	memcpy(id, iot_cert_id(cert), sizeof(id));
	iot_cert_free(cert);
}

static void begin(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	json_t *request;
	char *text;

	set_up();
	ASSERT_OK(iot_key_generate(IOT_KEY_P256, &ca_key, &err), &err);
	ASSERT_OK(iot_ca_create_root(ca_key, "Vendor", 30, &ca, &err), &err);
	text = pem_of(ca);
	request = json_pack("{s:s, s:b, s:s}", "caCertificate", text, "setAsActive", 1, "certificateMode", "SNI_ONLY");
	ASSERT_OK(iot_cloud_call(cloud, "RegisterCACertificate", request, NULL, NULL, NULL, &err), &err);
	json_decref(request);
	free(text);
	request =
		json_pack("{s:s, s:s}", "policyName", "device", "policyDocument",
			  "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"iot:Connect\","
			  "\"Resource\":\"*\"}]}");
	ASSERT_OK(iot_cloud_call(cloud, "CreatePolicy", request, NULL, NULL, NULL, &err), &err);
	json_decref(request);
	add_group("beta");
	make_module("m1");
}

static void end(void)
{
	tear_down();
	iot_cert_free(ca);
	iot_key_free(ca_key);
	free(pem);
	pem = NULL;
}

/* Claim m1 with members as JSON text (with ' for "). "changed", "same", or the fault. */
static const char *claim_with(const char *members, bool update)
{
	static struct iot_error err;
	char *text = iot_strf("{\"thingName\": \"m1\"%s}", members);
	json_t *claim;
	bool changed = false;
	enum iot_status status;

	for (char *c = text; *c != '\0'; c++)
		*c = *c == '\'' ? '"' : *c;
	claim = json_loads(text, 0, NULL);
	iot_error_clear(&err);
	status = iot_local_claim(cloud, claim, update, &changed, &err);
	json_decref(claim);
	free(text);
	return status != IOT_OK ? err.what : changed ? "changed" : "same";
}

#define PLAIN ", 'policies': ['device'], 'groups': []"
#define FULL ", 'policies': ['device'], 'groups': ['beta'], 'alias': 'north', 'thingTypeName': 'pump'"

static const char *settle(void)
{
	static const char *const names[] = {"none", "home", "done"};
	static struct iot_error err;
	enum iot_claim_state state = IOT_CLAIM_NONE;

	iot_error_clear(&err);
	return iot_local_claim_settle(cloud, pem, &state, &err) == IOT_OK ? names[state] : err.what;
}

static int64_t count(const char *sql)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	bool row = false;

	ASSERT_OK(iot_stmt_get(iot_local_store(cloud), sql, &stmt, &err), &err);
	ASSERT_OK(iot_stmt_step(stmt, &row, &err), &err);
	return row ? iot_stmt_int(stmt, 0) : -1;
}

static const char outbox_claims[] = "SELECT count(*) FROM outbox WHERE kind = 'claim' AND topic = 'm1'";
static const char certificates[] = "SELECT count(*) FROM certificates";
static const char types[] = "SELECT count(*) FROM types";

static void test_ensure(void)
{
	CU_ASSERT_STRING_EQUAL(claim_with(FULL, false), "changed");
	CU_ASSERT_EQUAL(count(outbox_claims), 1);
	CU_ASSERT_STRING_EQUAL(claim_with(FULL, false), "same");
	CU_ASSERT_EQUAL(count(outbox_claims), 1);
	ASSERT_CONTAINS(claim_with(PLAIN, false), "claimed already, with other properties");
	CU_ASSERT_STRING_EQUAL(claim_with(PLAIN, true), "changed");
	CU_ASSERT_EQUAL(count(outbox_claims), 2);
	ASSERT_OK(iot_local_unclaim(cloud, "m1", NULL), NULL);
	CU_ASSERT_EQUAL(iot_local_unclaim(cloud, "m1", NULL), IOT_NOT_FOUND);
	CU_ASSERT_STRING_EQUAL(settle(), "none");
	CU_ASSERT_EQUAL(count(certificates), 0);
}

static void test_carried_out(void)
{
	char *request;

	CU_ASSERT_STRING_EQUAL(settle(), "none");
	claim_with(FULL, false);
	CU_ASSERT_STRING_EQUAL(settle(), "done");
	EXPECT_CALL("attributes.alias", "'north'", "DescribeThing", "{'thingName': 'm1'}");
	EXPECT_CALL("thingTypeName", "'pump'", "DescribeThing", "{'thingName': 'm1'}");
	EXPECT_CALL("thingGroups.0.groupName", "'beta'", "ListThingGroupsForThing", "{'thingName': 'm1'}");
	request = iot_strf("'" ARN "cert/%s'", id);
	EXPECT_CALL("principals.0", request, "ListThingPrincipals", "{'thingName': 'm1'}");
	EXPECT_CALL("certificateDescription.status", "'ACTIVE'", "DescribeCertificate", "{'certificateId': '%s'}", id);
	EXPECT_CALL("policies.0.policyName", "'device'", "ListAttachedPolicies", "{'target': %s}", request);
	free(request);
	/* What was changed since stays; claiming it again is no change. */
	DO("UpdateThing", "", "{'thingName': 'm1', 'attributePayload': {'attributes': {'alias': 'south'}}}");
	CU_ASSERT_STRING_EQUAL(settle(), "home");
	EXPECT_CALL("attributes.alias", "'south'", "DescribeThing", "{'thingName': 'm1'}");
	CU_ASSERT_STRING_EQUAL(claim_with(PLAIN, false), "same");
	ASSERT_CONTAINS(claim_with(FULL, true), "is a device already, with another alias");
	CU_ASSERT_EQUAL(iot_local_unclaim(cloud, "m1", NULL), IOT_NOT_FOUND);
	/* Switched off it is not told the way home; another certificate of the same name is another module. */
	DO("UpdateCertificate", "", "{'certificateId': '%s', 'newStatus': 'INACTIVE'}", id);
	CU_ASSERT_STRING_EQUAL(settle(), "none");
	DO("UpdateCertificate", "", "{'certificateId': '%s', 'newStatus': 'ACTIVE'}", id);
	make_module("m1");
	CU_ASSERT_STRING_EQUAL(settle(), "none");
}

/* Deleted, it stays so until it is claimed anew. */
static void test_deleted(void)
{
	claim_with(PLAIN, false);
	settle();
	DO("DetachThingPrincipal", "", "{'thingName': 'm1', 'principal': '" ARN "cert/%s'}", id);
	DO("DeleteThing", "", "{'thingName': 'm1'}");
	CU_ASSERT_STRING_EQUAL(settle(), "none");
	DO("DescribeThing", "ResourceNotFoundException", "{'thingName': 'm1'}");
	CU_ASSERT_STRING_EQUAL(claim_with(PLAIN, false), "changed");
	CU_ASSERT_STRING_EQUAL(settle(), "done");
}

static void test_thing_without_certificate(void)
{
	DO("CreateThing", "", "{'thingName': 'm1', 'attributePayload': {'attributes': {'site': '7'}}}");
	CU_ASSERT_STRING_EQUAL(claim_with(FULL, false), "changed");
	CU_ASSERT_STRING_EQUAL(settle(), "done");
	EXPECT_CALL("attributes", "{'alias':'north','board':'expresslink','site':'7'}", "DescribeThing", "{'thingName': 'm1'}");
	EXPECT_CALL("thingTypeName", "'pump'", "DescribeThing", "{'thingName': 'm1'}");
}

/* Whatever a step fails with, nothing of the others is left, and the claim waits. */
static void test_all_or_nothing(void)
{
	claim_with(FULL, false);
	DO("DeleteThingGroup", "", "{'thingGroupName': 'beta'}");
	ASSERT_CONTAINS(settle(), "'beta'");
	CU_ASSERT_EQUAL(count(certificates), 0);
	CU_ASSERT_EQUAL(count(types), 0);
	DO("DescribeThing", "ResourceNotFoundException", "{'thingName': 'm1'}");
	add_group("beta");
	/* The alias was free when it was claimed. */
	DO("CreateThing", "", "{'thingName': 'other', 'attributePayload': {'attributes': {'alias': 'north'}}}");
	ASSERT_CONTAINS(settle(), "north");
	CU_ASSERT_EQUAL(count(certificates), 0);
	DO("DeleteThing", "", "{'thingName': 'other'}");
	CU_ASSERT_STRING_EQUAL(settle(), "done");
}

static void test_whose_certificate(void)
{
	char *members = iot_strf(PLAIN ", 'certificateId': '%064d'", 7);
	struct iot_error err = IOT_ERROR_INIT;
	json_t *request;
	char *text;

	CU_ASSERT_STRING_EQUAL(claim_with(members, false), "changed");
	free(members);
	ASSERT_CONTAINS(settle(), "and was claimed with 0000");
	members = iot_strf(PLAIN ", 'certificateId': '%s'", id);
	CU_ASSERT_STRING_EQUAL(claim_with(members, true), "changed");
	free(members);
	/* Nobody registered issued it. */
	text = strdup(iot_cert_id(ca));
	DO("UpdateCACertificate", "", "{'certificateId': '%s', 'newStatus': 'INACTIVE'}", text);
	ASSERT_CONTAINS(settle(), "is not ACTIVE");
	DO("DeleteCACertificate", "", "{'certificateId': '%s'}", text);
	free(text);
	ASSERT_CONTAINS(settle(), "no registered CA issued this certificate");
	DO("DescribeThing", "ResourceNotFoundException", "{'thingName': 'm1'}");
	/* Registered by itself it needs none, if it is ACTIVE. */
	request = json_pack("{s:s, s:s}", "certificatePem", pem, "status", "INACTIVE");
	ASSERT_OK(iot_cloud_call(cloud, "RegisterCertificateWithoutCA", request, NULL, NULL, NULL, &err), &err);
	json_decref(request);
	ASSERT_CONTAINS(settle(), "is INACTIVE");
	DO("UpdateCertificate", "", "{'certificateId': '%s', 'newStatus': 'ACTIVE'}", id);
	CU_ASSERT_STRING_EQUAL(settle(), "done");
}

static void test_not_a_certificate(void)
{
	free(pem);
	pem = iot_strdup("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
	CU_ASSERT_STRING_NOT_EQUAL(settle(), "none");
	CU_ASSERT_STRING_NOT_EQUAL(settle(), "done");
}

UNIT_MAIN("cloud/claims", begin, end, {"ensure", test_ensure}, {"carried_out", test_carried_out},
	  {"deleted", test_deleted}, {"thing_without_certificate", test_thing_without_certificate},
	  {"all_or_nothing", test_all_or_nothing}, {"whose_certificate", test_whose_certificate},
	  {"not_a_certificate", test_not_a_certificate})
