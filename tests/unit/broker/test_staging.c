/* The broker plugin in the role "staging": who may wait there, and what for. */
#include "plugin_fixture.h"

static struct {
	struct iot_key *ca_key;
	struct iot_cert *ca;
	X509 *x509;
	char *pem, id[IOT_SHA256_HEX_SIZE];
	struct mosquitto client;
} module;

/* A certificate of the module's by the CA, or by its own key. */
static void make_module(const char *uid, bool self_signed)
{
	const struct iot_cert_request request = {
		.profile = IOT_PROFILE_DEVICE, .common_name = uid, .key = module.ca_key, .days = 20};
	struct iot_buf der = IOT_BUF_INIT(IOT_CERT_DER_MAX), pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_cert *cert = NULL;
	const unsigned char *at;

	ASSERT_OK(iot_cert_issue(module.ca_key, self_signed ? NULL : module.ca, &request, &cert, &err), &err);
	iot_cert_der(cert, &der);
	iot_cert_pem(cert, &pem);
	at = (const unsigned char *)der.data;
	X509_free(module.x509);
	free(module.pem);
	module.x509 = d2i_X509(NULL, &at, (long)der.len);
	module.pem = iot_buf_detach(&pem);
	memcpy(module.id, iot_cert_id(cert), sizeof(module.id));
	iot_buf_release(&der);
	iot_cert_free(cert);
	module.client = (struct mosquitto){
		.id = uid, .address = "192.0.2.9", .x509 = module.x509, .clean = true, .protocol = 4};
}

static void trust(const char *status)
{
	struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);

	iot_cert_pem(module.ca, &pem);
	SQL("INSERT OR REPLACE INTO ca_certificates (id, pem, status, subject, not_before, not_after, created_at,"
	    " modified_at) VALUES (?1, ?2, ?3, ?4, 0, 0, 0, 0)",
	    "ssss", iot_cert_id(module.ca), iot_buf_str(&pem), status, iot_cert_subject(module.ca));
	iot_buf_release(&pem);
}

static void register_module(const char *status)
{
	SQL("INSERT OR REPLACE INTO certificates (id, pem, status, key_id, not_before, not_after, created_at, "
	    "modified_at)"
	    " VALUES (?1, '', ?2, 'k', 0, ?3, 0, 0)",
	    "ssi", module.id, status, iot_now_ms() + DAY);
}

static void begin(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	set_up();
	host_stop();
	CU_ASSERT_EQUAL(host_start_with(fix.registry, HOST_SOCKET, IOT_PLUGIN_OPT_ROLE, "staging"), MOSQ_ERR_SUCCESS);
	ASSERT_OK(iot_key_generate(IOT_KEY_P256, &module.ca_key, &err), &err);
	ASSERT_OK(iot_ca_create_root(module.ca_key, "Vendor", 30, &module.ca, &err), &err);
	make_module("uid-1", false);
	trust("ACTIVE");
}

static void end(void)
{
	tear_down();
	X509_free(module.x509);
	iot_cert_free(module.ca);
	iot_key_free(module.ca_key);
	free(module.pem);
	memset(&module, 0, sizeof(module));
}

/* The member of the last "connected" event as JSON text. */
static bool event_has(const char *member)
{
	return strstr(last_event("connected"), member) != NULL;
}

static void test_role_must_be_known(void)
{
	host_stop();
	CU_ASSERT_NOT_EQUAL(host_start_with(fix.registry, HOST_SOCKET, IOT_PLUGIN_OPT_ROLE, "stage"), MOSQ_ERR_SUCCESS);
	ASSERT_CONTAINS(host.log, "neither 'fleet' nor 'staging'");
	/* In the fleet a module that is not registered is nobody. */
	CU_ASSERT_EQUAL(host_start_with(fix.registry, HOST_SOCKET, IOT_PLUGIN_OPT_ROLE, "fleet"), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(host_connect(&module.client), MOSQ_ERR_AUTH);
	CU_ASSERT_EQUAL(host_connect(&fix.client[0]), MOSQ_ERR_SUCCESS);
	host_tick();
	CU_ASSERT_FALSE(event_has("certificatePem"));
}

static void test_module_is_reported_with_its_certificate(void)
{
	json_t *event = NULL;

	CU_ASSERT_EQUAL(host_connect(&module.client), MOSQ_ERR_SUCCESS);
	host_tick();
	CU_ASSERT_EQUAL(iot_json_parse(last_event("connected"), strlen(last_event("connected")), "event", &event, NULL),
			IOT_OK);
	CU_ASSERT_STRING_EQUAL(iot_json_str(event, "certificatePem", ""), module.pem);
	CU_ASSERT_STRING_EQUAL(iot_json_str(event, "thingName", ""), "uid-1");
	CU_ASSERT_FALSE(iot_json_bool(event, "listens", true));
	json_decref(event);
	/* Again when it hears what is delivered, and to whoever begins to listen for events. */
	CU_ASSERT_EQUAL(host_acl(&module.client, MOSQ_ACL_SUBSCRIBE, "uid-1/expresslink_config", 0, 0, false),
			MOSQ_ERR_SUCCESS);
	host_tick();
	CU_ASSERT_TRUE(event_has("\"listens\":true"));
	host_forget_published();
	host_connect(&fix.admin);
	host_acl(&fix.admin, MOSQ_ACL_SUBSCRIBE, IOT_EVENT_PREFIX "#", 0, 0, false);
	host_tick();
	CU_ASSERT_TRUE(event_has("\"listens\":true"));
	CU_ASSERT_TRUE(event_has("BEGIN CERTIFICATE"));
	host_disconnect(&module.client);
	/* A session that waited has its subscription. */
	module.client.clean = false;
	host_connect(&module.client);
	host_tick();
	CU_ASSERT_TRUE(event_has("\"listens\":true"));
}

static void test_who_gets_in(void)
{
	static const char *const states[] = {"INACTIVE", "REVOKED", ""};

	module.client.id = "uid-2";
	CU_ASSERT_EQUAL(host_connect(&module.client), MOSQ_ERR_AUTH);
	ASSERT_CONTAINS(host.log, "the client id is not the UID 'uid-1'");
	module.client.id = "uid-1";
	for (size_t i = 0; i < IOT_LENGTH(states); i++) {
		register_module(states[i]);
		CU_ASSERT_EQUAL(host_connect(&module.client), MOSQ_ERR_AUTH);
	}
	register_module("ACTIVE");
	CU_ASSERT_EQUAL(host_connect(&module.client), MOSQ_ERR_SUCCESS);
	host_disconnect(&module.client);
	/* Registered, it needs no CA; else it does, and one that is ACTIVE. */
	trust("INACTIVE");
	CU_ASSERT_EQUAL(host_connect(&module.client), MOSQ_ERR_SUCCESS);
	host_disconnect(&module.client);
	SQL("DELETE FROM certificates WHERE id = ?1", "s", module.id);
	CU_ASSERT_EQUAL(host_connect(&module.client), MOSQ_ERR_AUTH);
	ASSERT_CONTAINS(host.log, "no registered CA issued the certificate");
	trust("ACTIVE");
	CU_ASSERT_EQUAL(host_connect(&module.client), MOSQ_ERR_SUCCESS);
	host_disconnect(&module.client);
	/* Of the same name as a trusted one, but by another key. */
	SQL("UPDATE ca_certificates SET pem = ?1", "s", module.pem);
	CU_ASSERT_EQUAL(host_connect(&module.client), MOSQ_ERR_AUTH);
}

/* Trusted for itself, it must be registered, and nobody whom it vouches for gets in. */
static void test_self_signed(void)
{
	make_module("uid-1", true);
	CU_ASSERT_EQUAL(host_connect(&module.client), MOSQ_ERR_AUTH);
	register_module("ACTIVE");
	CU_ASSERT_EQUAL(host_connect(&module.client), MOSQ_ERR_SUCCESS);
}

static void test_no_name(void)
{
	struct mosquitto plain = {.id = "uid-1", .address = "192.0.2.9", .clean = true, .protocol = 4};

	CU_ASSERT_EQUAL(host_connect(&plain), MOSQ_ERR_AUTH);
	/* A device of a CA that is not registered. */
	CU_ASSERT_EQUAL(host_connect(&fix.client[3]), MOSQ_ERR_AUTH);
	ASSERT_CONTAINS(host.log, "no registered CA");
}

static void test_what_it_may(void)
{
	static const struct {
		int access;
		const char *topic;
		bool retain, allowed;
	} table[] = {
		{MOSQ_ACL_SUBSCRIBE, "uid-1/expresslink_config", false, true},
		{MOSQ_ACL_SUBSCRIBE, "uid-1/#", false, false},
		{MOSQ_ACL_SUBSCRIBE, "uid-1/other", false, false},
		{MOSQ_ACL_SUBSCRIBE, "+/expresslink_config", false, false},
		{MOSQ_ACL_SUBSCRIBE, "uid-10/expresslink_config", false, false},
		{MOSQ_ACL_SUBSCRIBE, "$share/g/uid-1/expresslink_config", false, false},
		{MOSQ_ACL_SUBSCRIBE, "$iotctl/events/#", false, false},
		{MOSQ_ACL_SUBSCRIBE, "#", false, false},
		{MOSQ_ACL_READ, "uid-1/expresslink_config", false, true},
		{MOSQ_ACL_READ, "uid-2/expresslink_config", false, false},
		{MOSQ_ACL_READ, "uid-1", false, false},
		{MOSQ_ACL_READ, "$aws/things/uid-1/jobs/notify", false, false},
		{MOSQ_ACL_WRITE, "uid-1/x", false, true},
		{MOSQ_ACL_WRITE, "uid-1/x", true, false},
		{MOSQ_ACL_WRITE, "uid-2/x", false, false},
		{MOSQ_ACL_WRITE, "uid-10/x", false, false},
		{MOSQ_ACL_WRITE, "uid-1", false, false},
		{MOSQ_ACL_WRITE, "uid-1/", false, false},
		{MOSQ_ACL_WRITE, "$aws/things/uid-1/jobs/start-next", false, false},
		{MOSQ_ACL_WRITE, "$CONTROL/iotctl/v1", false, false},
	};

	for (size_t i = 0; i < IOT_LENGTH(table); i++) {
		int rc;

		CU_ASSERT_EQUAL(host_connect(&module.client), MOSQ_ERR_SUCCESS);
		rc = host_acl(&module.client, table[i].access, table[i].topic, 1, 1, table[i].retain);
		if ((rc == MOSQ_ERR_SUCCESS) != table[i].allowed)
			fprintf(stderr, "\nrow %zu: '%s' gave %d: %s\n", i, table[i].topic, rc, host.log);
		CU_ASSERT_EQUAL(rc == MOSQ_ERR_SUCCESS, table[i].allowed);
		host_tick();
		/* A publish that is denied ends the connection, as in the fleet. */
		CU_ASSERT_EQUAL(module.client.live, table[i].allowed || table[i].access != MOSQ_ACL_WRITE);
		if (module.client.live)
			host_disconnect(&module.client);
	}
}

/* What a device may do in the fleet it may not do here. */
static void test_policies_do_not_count(void)
{
	register_module("ACTIVE");
	SQL("INSERT INTO policy_attachments (policy_id, certificate_id) VALUES (1, ?1)", "s", module.id);
	host_connect(&module.client);
	CU_ASSERT_EQUAL(publish(&module.client, "x/1"), MOSQ_ERR_ACL_DENIED);
}

static void test_changes_reach_it(void)
{
	host_connect(&module.client);
	/* Taken in while it is here: it stays, with the rights of a module in staging. */
	register_module("ACTIVE");
	SQL("INSERT INTO thing_principals (thing_id, certificate_id) VALUES (1, ?1)", "s", module.id);
	tick_refresh();
	CU_ASSERT_TRUE(module.client.live);
	CU_ASSERT_EQUAL(host_acl(&module.client, MOSQ_ACL_READ, "uid-1/expresslink_config", 1, 1, false),
			MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(host_acl(&module.client, MOSQ_ACL_READ, "dev/uid-1/x", 1, 1, false), MOSQ_ERR_ACL_DENIED);
	SQL("UPDATE certificates SET status = 'REVOKED' WHERE id = ?1", "s", module.id);
	tick_refresh();
	CU_ASSERT_FALSE(module.client.live);
	CU_ASSERT_EQUAL(host_connect(&module.client), MOSQ_ERR_AUTH);
}

UNIT_MAIN("broker/staging", begin, end, {"role", test_role_must_be_known},
	  {"reported", test_module_is_reported_with_its_certificate}, {"who_gets_in", test_who_gets_in},
	  {"self_signed", test_self_signed}, {"no_name", test_no_name}, {"what_it_may", test_what_it_may},
	  {"policies_do_not_count", test_policies_do_not_count}, {"changes_reach_it", test_changes_reach_it})
