/*
 * Sessions that the broker kept over its restart: what their clients may have before they come back; and the topics on
 * which services must know who says what.
 */
#include "plugin_fixture.h"

#include "iotctl/broker.h"

static int may(struct mosquitto *client, int access, const char *topic)
{
	return host_acl(client, access, topic, 1, 1, false);
}

#define ALLOWED(client, topic) CU_ASSERT_EQUAL(may(client, MOSQ_ACL_READ, topic), MOSQ_ERR_SUCCESS)
#define DENIED(client, topic) CU_ASSERT_EQUAL(may(client, MOSQ_ACL_READ, topic), MOSQ_ERR_ACL_DENIED)

/* A client as the broker remembers it. */
static struct mosquitto kept(const char *id, const char *username)
{
	struct mosquitto client = {.id = id, .clean = false, .protocol = 4};

	snprintf(client.username, sizeof(client.username), "%s", username);
	return client;
}

/* The registry has the certificate itself, and knows who showed it last under that client id. */
static void seen(const char *client_id, int device)
{
	struct iot_buf der = IOT_BUF_INIT(IOT_CERT_DER_MAX), pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_cert *cert = NULL;
	unsigned char *at = (unsigned char *)iot_buf_reserve(&der, IOT_CERT_DER_MAX - 1);

	der.len = (size_t)i2d_X509(fix.x509[device], &at);
	ASSERT_OK(iot_cert_parse_der(der.data, der.len, &cert, &err), &err);
	iot_cert_pem(cert, &pem);
	SQL("UPDATE certificates SET pem = ?1 WHERE id = ?2", "ss", iot_buf_str(&pem), fix.id[device]);
	SQL("INSERT OR REPLACE INTO presence VALUES (?1, 0, 1, 0, NULL, NULL, ?2)", "ss", client_id, fix.id[device]);
	iot_cert_free(cert);
	iot_buf_release(&der);
	iot_buf_release(&pem);
}

static void test_a_thing(void)
{
	struct mosquitto client = kept("pump-1", "pump-1"), again = fix.client[0];

	seen("pump-1", 0);
	ALLOWED(&client, "dev/pump-1/x");
	DENIED(&client, "dev/pump-2/x");
	DENIED(&client, "$iotctl/events/denied");
	CU_ASSERT_EQUAL(host.plugin->clients.offline_count, 1);
	CU_ASSERT_EQUAL(host.plugin->clients.connected, 0);
	/* Nothing but to have messages kept. */
	CU_ASSERT_EQUAL(may(&client, MOSQ_ACL_WRITE, "dev/pump-1/x"), MOSQ_ERR_ACL_DENIED);
	CU_ASSERT_EQUAL(may(&client, MOSQ_ACL_SUBSCRIBE, "dev/pump-2/x"), MOSQ_ERR_ACL_DENIED);
	host_tick();
	CU_ASSERT_EQUAL(host.kicks, 0);
	/* Its record goes when the client is there. */
	CU_ASSERT_EQUAL(host_connect(&again), MOSQ_ERR_SUCCESS);
	host_tick();
	CU_ASSERT_EQUAL(host.plugin->clients.count, 1);
	CU_ASSERT_EQUAL(host.plugin->clients.offline_count, 0);
	host_disconnect(&again);
}

static void test_first_question_is_no_reading(void)
{
	struct mosquitto client = kept("pump-1", "pump-1");

	seen("pump-1", 0);
	CU_ASSERT_EQUAL(may(&client, MOSQ_ACL_WRITE, "dev/pump-1/x"), MOSQ_ERR_ACL_DENIED);
	CU_ASSERT_EQUAL(may(&client, MOSQ_ACL_SUBSCRIBE, "dev/pump-1/#"), MOSQ_ERR_ACL_DENIED);
	CU_ASSERT_EQUAL(host.plugin->clients.count, 0);
}

/* No certificate, and it is not looked for again with every message. */
static void test_never_seen(void)
{
	struct mosquitto client = kept("pump-1", "pump-1");

	DENIED(&client, "dev/pump-1/x");
	CU_ASSERT_EQUAL(host.plugin->clients.count, 1);
	DENIED(&client, "dev/pump-1/x");
	CU_ASSERT_EQUAL(host.plugin->clients.count, 1);
	/* A record that allows nothing is none of the fleet's own user either. */
	CU_ASSERT_EQUAL(may(&client, MOSQ_ACL_SUBSCRIBE, "#"), MOSQ_ERR_ACL_DENIED);
	CU_ASSERT_EQUAL(may(&client, MOSQ_ACL_WRITE, "$CONTROL/iotctl/v1"), MOSQ_ERR_ACL_DENIED);
	SQL("UPDATE certificates SET status = 'INACTIVE' WHERE id = ?1", "s", fix.id[2]);
	tick_refresh();
	DENIED(&client, "dev/pump-1/x");
}

static void test_certificate_state(void)
{
	struct mosquitto client = kept("pump-1", "pump-1");

	seen("pump-1", 0);
	SQL("UPDATE certificates SET status = 'REVOKED' WHERE id = ?1", "s", fix.id[0]);
	DENIED(&client, "dev/pump-1/x");
	SQL("UPDATE certificates SET status = 'ACTIVE' WHERE id = ?1", "s", fix.id[0]);
	tick_refresh();
	ALLOWED(&client, "dev/pump-1/x");
	SQL("UPDATE certificates SET status = 'INACTIVE' WHERE id = ?1", "s", fix.id[0]);
	tick_refresh();
	DENIED(&client, "dev/pump-1/x");
}

static void test_policy_changes(void)
{
	struct mosquitto client = kept("pump-1", "pump-1");

	seen("pump-1", 0);
	SQL("DELETE FROM policy_attachments WHERE certificate_id = ?1", "s", fix.id[0]);
	DENIED(&client, "dev/pump-1/x"); /* it might not even connect */
}

/* Somebody else's certificate was seen last under that id: it is not the thing's. */
static void test_other_certificate(void)
{
	struct mosquitto client = kept("pump-1", "pump-1"), other = kept("pump-2", "pump-2");

	seen("pump-1", 1);
	DENIED(&client, "dev/pump-1/x");
	DENIED(&client, "dev/pump-2/x");
	/* Detached since. */
	seen("pump-2", 1);
	SQL("DELETE FROM thing_principals WHERE certificate_id = ?1", "s", fix.id[1]);
	DENIED(&other, "dev/pump-2/x");
}

static void test_user_names(void)
{
	struct mosquitto nobody = kept("pump-1", ""), other = kept("pump-1", "pump-2"), live = kept("pump-1", "pump-1");
	struct mosquitto by_certificate = kept("worker", fix.id[0]), thing_since = kept("pump-1", fix.id[0]);

	seen("pump-1", 0);
	DENIED(&nobody, "dev/pump-1/x");
	DENIED(&other, "dev/pump-1/x");
	live.address = "192.0.2.7"; /* connected, and not asked about: it was refused */
	DENIED(&live, "dev/pump-1/x");
	CU_ASSERT_EQUAL(host.plugin->clients.count, 0);
	DENIED(&by_certificate, "dev/worker/x"); /* the policy lets things connect, no others */
	DENIED(&thing_since, "dev/pump-1/x");    /* it was no thing when the broker learnt its name */
	fixture_policy(2, "worker",
		       DOCUMENT(ALLOW("\"iot:*\"", "\"" ARN "client/worker\",\"" ARN "topic/dev/worker/*\"")));
	SQL("INSERT INTO policy_attachments (policy_id, certificate_id) VALUES (2, ?1)", "s", fix.id[0]);
	by_certificate = kept("worker", fix.id[0]);
	tick_refresh();
	ALLOWED(&by_certificate, "dev/worker/x");
	DENIED(&by_certificate, "dev/other/x");
}

/* serve's own session: what devices say must not be lost between the broker's start and serve's connection. */
static void test_admin(void)
{
	struct mosquitto serve = kept("iotctl-serve", "iotctl"), thing = kept("iotctl", "iotctl");

	ALLOWED(&serve, "$aws/things/pump-1/jobs/get");
	CU_ASSERT_EQUAL(may(&serve, MOSQ_ACL_WRITE, "x"), MOSQ_ERR_ACL_DENIED);
	CU_ASSERT_EQUAL(may(&serve, MOSQ_ACL_SUBSCRIBE, "x"), MOSQ_ERR_ACL_DENIED);
	DENIED(&thing, "dev/iotctl/x"); /* a device may be called so */
	serve.address = "192.0.2.7";
	DENIED(&serve, "$aws/things/pump-1/jobs/get");
}

/* --- topics ------------------------------------------------------------------------------------ */

static void hear(const char *filter, int level)
{
	SQL("INSERT INTO topics (filter, thing_level) VALUES (?1, ?2)", "si", filter, (int64_t)level);
	tick_refresh();
}

/* Does the plugin say who published? */
static bool is_named(const char *topic)
{
	char text[128];
	struct mosquitto_evt_message message = {.client = &fix.client[0], .topic = text};
	bool named;

	snprintf(text, sizeof(text), "%s", topic);
	CU_ASSERT_EQUAL(host_raise(MOSQ_EVT_MESSAGE, &message), MOSQ_ERR_SUCCESS);
	named = message.properties != NULL;
	mosquitto_property_free_all(&message.properties);
	return named;
}

static void test_heard_topics(void)
{
	host_connect(&fix.client[0]);
	CU_ASSERT_FALSE(is_named("x/events"));
	hear("x/events", -1);
	hear("dev/+/events/#", 1);
	CU_ASSERT_TRUE(is_named("x/events"));
	CU_ASSERT_TRUE(is_named("dev/pump-1/events/alarm"));
	CU_ASSERT_FALSE(is_named("dev/pump-1/x"));
	SQL("DELETE FROM topics WHERE filter = ?1", "s", "x/events");
	tick_refresh();
	CU_ASSERT_FALSE(is_named("x/events"));
}

/* Nobody can say whose a last will is: it must name its own thing. */
static void test_wills(void)
{
	static const struct {
		const char *topic;
		bool allowed;
	} rows[] = {
		{"x/other", true},
		{"x/events", false},
		{"dev/pump-1/events/gone", true},
		{"dev/pump-2/events/gone", false},
		{"x/pump-1/both", false},
	};

	hear("x/events", -1);
	hear("dev/+/events/#", 1);
	hear("+/+/both", 1);
	hear("x/+/both", -1); /* the strictest counts */
	for (size_t i = 0; i < IOT_LENGTH(rows); i++) {
		fix.client[0].will = rows[i].topic;
		host_connect(&fix.client[0]);
		host_disconnect(&fix.client[0]);
		if ((fix.client[0].will_rc == MOSQ_ERR_SUCCESS) != rows[i].allowed)
			fprintf(stderr, "\nwill to '%s' gave %d\n", rows[i].topic, fix.client[0].will_rc);
		CU_ASSERT_EQUAL(fix.client[0].will_rc == MOSQ_ERR_SUCCESS, rows[i].allowed);
	}
}

static void test_who_is_here_is_told_as_known(void)
{
	host_connect(&fix.client[0]);
	host_connect(&fix.admin);
	host_tick();
	CU_ASSERT_PTR_NULL(strstr(host.published[host.published_count - 1].payload, "known"));
	may(&fix.admin, MOSQ_ACL_SUBSCRIBE, "$iotctl/events/denied");
	host_tick();
	CU_ASSERT_EQUAL(host.published_count, 1); /* who wants to hear of denials is not told who is here */
	may(&fix.admin, MOSQ_ACL_SUBSCRIBE, "$iotctl/events/#");
	host_tick();
	CU_ASSERT_EQUAL(host.published_count, 2);
	ASSERT_CONTAINS(host.published[1].payload, "\"known\":true");
}

UNIT_MAIN("broker/sessions", set_up, tear_down, {"a_thing", test_a_thing},
	  {"first_question", test_first_question_is_no_reading}, {"never_seen", test_never_seen},
	  {"certificate_state", test_certificate_state}, {"policy_changes", test_policy_changes},
	  {"other_certificate", test_other_certificate}, {"user_names", test_user_names}, {"admin", test_admin},
	  {"heard_topics", test_heard_topics}, {"wills", test_wills}, {"known", test_who_is_here_is_told_as_known})
