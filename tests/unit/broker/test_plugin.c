/* The broker plugin's decisions, in a host that plays mosquitto. */
#include "plugin_fixture.h"

/* --- start --------------------------------------------------------------------------- */

static void test_start_needs_everything(void)
{
	char missing[300];

	host_stop();
	snprintf(missing, sizeof(missing), "%s/none.db", fix.dir);
	CU_ASSERT_NOT_EQUAL(host_start(NULL, HOST_SOCKET, NULL), MOSQ_ERR_SUCCESS);
	ASSERT_CONTAINS(host.log, "'plugin_opt_registry' is missing");
	CU_ASSERT_NOT_EQUAL(host_start(fix.registry, NULL, NULL), MOSQ_ERR_SUCCESS);
	CU_ASSERT_NOT_EQUAL(host_start(fix.registry, "", NULL), MOSQ_ERR_SUCCESS);
	CU_ASSERT_NOT_EQUAL(host_start(fix.registry, HOST_SOCKET, "polices"), MOSQ_ERR_SUCCESS);
	ASSERT_CONTAINS(host.log, "unknown option 'plugin_opt_polices'");
	CU_ASSERT_NOT_EQUAL(host_start(missing, HOST_SOCKET, NULL), MOSQ_ERR_SUCCESS);
	CU_ASSERT_FALSE(iot_fs_exists(missing));
	for (int i = 0; i < HOST_EVENTS; i++)
		CU_ASSERT_PTR_NULL(host.handler[i]);
	CU_ASSERT_EQUAL(host_start(fix.registry, HOST_SOCKET, NULL), MOSQ_ERR_SUCCESS);
}

static void test_ready_file(void)
{
	char path[300];

	host_stop();
	snprintf(path, sizeof(path), "%s/x", fix.dir);
	if (chdir(fix.dir) != 0)
		abort();
	CU_ASSERT_EQUAL(host_start(fix.registry, HOST_SOCKET, IOT_PLUGIN_OPT_READY), MOSQ_ERR_SUCCESS);
	CU_ASSERT_FALSE(iot_fs_exists(path));
	host_tick();
	CU_ASSERT_TRUE(iot_fs_exists(path));
	if (chdir("/") != 0)
		abort();
}

static void test_only_version_5(void)
{
	const int old[] = {2, 3, 4}, all[] = {2, 3, 4, 5};

	CU_ASSERT_EQUAL(mosquitto_plugin_version(3, old), -1);
	CU_ASSERT_EQUAL(mosquitto_plugin_version(4, all), 5);
}

/* --- connect --------------------------------------------------------------------------- */

static void test_connect_own_name(void)
{
	CU_ASSERT_EQUAL(host_connect(&fix.client[0]), MOSQ_ERR_SUCCESS);
	CU_ASSERT_STRING_EQUAL(fix.client[0].username, "pump-1");
	host_tick();
	ASSERT_CONTAINS(last_event("connected"), "\"clientId\":\"pump-1\"");
	ASSERT_CONTAINS(last_event("connected"), "\"thingName\":\"pump-1\"");
	ASSERT_CONTAINS(last_event("connected"), "\"address\":\"192.0.2.7\"");
	ASSERT_CONTAINS(last_event("connected"), fix.id[0]);
	host_disconnect(&fix.client[0]);
	host_tick();
	ASSERT_CONTAINS(last_event("disconnected"), "\"reason\":\"UNKNOWN\"");
	CU_ASSERT_EQUAL(host.plugin->clients.count, 0);
}

static void test_connect_refused(void)
{
	struct mosquitto plain = {.id = "pump-1", .address = "192.0.2.7", .clean = true, .protocol = 4};
	struct mosquitto unnamed = {.id = NULL, .address = "192.0.2.7", .x509 = fix.x509[0]};
	char long_id[130];

	CU_ASSERT_EQUAL(host_connect(&fix.client[3]), MOSQ_ERR_AUTH);
	ASSERT_CONTAINS(host.log, "not registered");
	CU_ASSERT_EQUAL(host_connect(&plain), MOSQ_ERR_AUTH);
	ASSERT_CONTAINS(host.log, "no certificate");
	CU_ASSERT_EQUAL(host_connect(&unnamed), MOSQ_ERR_AUTH);
	/* Another's client id: not a thing of this certificate, so the variable has no value. */
	fix.client[0].id = "pump-2";
	CU_ASSERT_EQUAL(host_connect(&fix.client[0]), MOSQ_ERR_AUTH);
	ASSERT_CONTAINS(host.log, "iot:Connect on 'client/pump-2': no statement allows it");
	memset(long_id, 'a', sizeof(long_id) - 1);
	long_id[sizeof(long_id) - 1] = '\0';
	fix.client[0].id = long_id;
	CU_ASSERT_EQUAL(host_connect(&fix.client[0]), MOSQ_ERR_AUTH);
	fix.client[0].id = "";
	CU_ASSERT_EQUAL(host_connect(&fix.client[0]), MOSQ_ERR_AUTH);
	CU_ASSERT_EQUAL(host.plugin->clients.count, 0);
	host_tick();
	CU_ASSERT_STRING_EQUAL(last_event("connected"), "");
	ASSERT_CONTAINS(last_event("denied"), "iot:Connect");
}

static void test_connect_certificate_state(void)
{
	static const char *const states[] = {"INACTIVE", "REVOKED", "PENDING_TRANSFER", "", "active"};

	for (size_t i = 0; i < IOT_LENGTH(states); i++) {
		SQL("UPDATE certificates SET status = ?1 WHERE id = ?2", "ss", states[i], fix.id[0]);
		CU_ASSERT_EQUAL(host_connect(&fix.client[0]), MOSQ_ERR_AUTH);
	}
	SQL("UPDATE certificates SET status = 'ACTIVE', not_after = ?1 WHERE id = ?2", "is", iot_now_ms() - 1,
	    fix.id[0]);
	CU_ASSERT_EQUAL(host_connect(&fix.client[0]), MOSQ_ERR_AUTH);
	ASSERT_CONTAINS(host.log, "has expired");
	SQL("UPDATE certificates SET not_after = ?1 WHERE id = ?2", "is", iot_now_ms() + DAY, fix.id[0]);
	CU_ASSERT_EQUAL(host_connect(&fix.client[0]), MOSQ_ERR_SUCCESS);
}

/* A document that cannot be read might have denied: nothing is allowed with it. */
static void test_broken_policy_refuses(void)
{
	fixture_policy(2, "broken", "{\"Statement\":[{\"Effect\":\"Deny\"}]}");
	SQL("INSERT INTO policy_attachments (policy_id, certificate_id) VALUES (2, ?1)", "s", fix.id[0]);
	CU_ASSERT_EQUAL(host_connect(&fix.client[0]), MOSQ_ERR_AUTH);
	SQL("UPDATE policies SET default_version = 7 WHERE id = ?1", "i", INT64_C(2));
	CU_ASSERT_EQUAL(host_connect(&fix.client[0]), MOSQ_ERR_AUTH);
	ASSERT_CONTAINS(host.log, "policy 'broken' has no default version");
	CU_ASSERT_EQUAL(host_connect(&fix.client[1]), MOSQ_ERR_SUCCESS);
}

static void test_groups_and_their_parents(void)
{
	SQL("INSERT INTO groups (id, name, uuid, created_at) VALUES (1, ?1, 'u', 0)", "s", "all");
	SQL("INSERT INTO groups (id, name, uuid, parent_id, created_at) VALUES (2, ?1, 'u', 1, 0)", "s", "north");
	SQL("INSERT INTO group_members VALUES (2, ?1)", "i", INT64_C(1));
	fixture_policy(2, "group", DOCUMENT(ALLOW("\"iot:Publish\"", "\"" ARN "topic/group/north\"")));
	fixture_policy(3, "parent", DOCUMENT(ALLOW("\"iot:Publish\"", "\"" ARN "topic/group/all\"")));
	SQL("INSERT INTO policy_attachments (policy_id, group_id) VALUES (2, ?1)", "i", INT64_C(2));
	SQL("INSERT INTO policy_attachments (policy_id, group_id) VALUES (3, ?1)", "i", INT64_C(1));
	host_connect(&fix.client[0]);
	host_connect(&fix.client[1]);
	CU_ASSERT_EQUAL(publish(&fix.client[0], "group/north"), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(publish(&fix.client[0], "group/all"), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(publish(&fix.client[1], "group/all"), MOSQ_ERR_ACL_DENIED);
	/* Out of the group: at the next look, without a new connection. */
	SQL("DELETE FROM group_members WHERE thing_id = ?1", "i", INT64_C(1));
	tick_refresh();
	CU_ASSERT_EQUAL(publish(&fix.client[0], "group/all"), MOSQ_ERR_ACL_DENIED);
}

static void test_admin(void)
{
	static const char deliver[] = "d1pump-1\0t/x\0hello";
	struct mosquitto other = {.id = "serve2", .address = "/run/other.sock", .clean = true, .protocol = 5};

	CU_ASSERT_EQUAL(host_connect(&fix.admin), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(publish(&fix.admin, "$CONTROL/iotctl/v1"), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(host_acl(&fix.admin, MOSQ_ACL_READ, "$iotctl/events/denied", 1, 1, false), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(host_connect(&other), MOSQ_ERR_AUTH);
	CU_ASSERT_NOT_EQUAL(host_control(&other, deliver, sizeof(deliver) - 1), 0);
	host_tick();
	CU_ASSERT_STRING_EQUAL(last_event("connected"), "");
}

/* --- what clients do ---------------------------------------------------------------- */

static void test_publish_table(void)
{
	static const struct {
		const char *topic;
		uint32_t len;
		uint8_t qos;
		bool retain, allowed;
	} table[] = {
		{"dev/pump-1/x", 0, 0, false, true},
		{"dev/pump-1/x", 131072, 1, false, true},
		{"dev/pump-1/x", 131073, 1, false, false},
		{"dev/pump-1/x", 1, 2, false, false},
		{"dev/pump-1/x", 1, 1, true, false},
		{"dev/pump-1/state", 1, 1, true, true},
		{"dev/pump-1/secret", 1, 1, false, false},
		{"dev/pump-2/x", 1, 1, false, false},
		{"x/1/2/3/4/5/6/7", 1, 1, false, true},
		{"x/1/2/3/4/5/6/7/8", 1, 1, false, false},
		{"x/+", 1, 1, false, false},
		{"", 1, 1, false, false},
		{"$aws/things/pump-1/jobs/start-next", 1, 1, false, true},
		{"$aws/things/pump-1/jobs/j1/update", 1, 0, false, true},
		{"$aws/things/pump-1/streams/s/get/cbor", 1, 0, false, true},
		{"$aws/rules/all/dev/accepted", 1, 0, false, true},
		{"$aws/things/pump-1/jobs/notify-next", 1, 0, false, false},
		{"$aws/things/pump-1/jobs/start-next/accepted", 1, 0, false, false},
		{"$aws/things/pump-1/shadow/update/delta", 1, 0, false, false},
		{"$aws/things/pump-1/streams/s/data/cbor", 1, 0, false, false},
		{"$aws/things/streams/streams/s/data/cbor", 1, 0, false, false},
		{"$aws/events/presence/connected/x", 1, 0, false, false},
		{"$aws/things", 1, 0, false, false},
		{"$SYS/broker/uptime", 1, 0, false, false},
		{"$CONTROL/iotctl/v1", 1, 0, false, false},
		{"$iotctl/events/connected", 1, 0, false, false},
		{"$share/g/dev/pump-1/x", 1, 0, false, false},
		{"$dev", 1, 0, false, false},
	};

	for (size_t i = 0; i < IOT_LENGTH(table); i++) {
		int rc;

		CU_ASSERT_EQUAL(host_connect(&fix.client[0]), MOSQ_ERR_SUCCESS);
		rc = host_acl(&fix.client[0], MOSQ_ACL_WRITE, table[i].topic, table[i].len, table[i].qos,
			      table[i].retain);
		if ((rc == MOSQ_ERR_SUCCESS) != table[i].allowed)
			fprintf(stderr, "\nrow %zu: '%s' gave %d: %s\n", i, table[i].topic, rc, host.log);
		CU_ASSERT_EQUAL(rc == MOSQ_ERR_SUCCESS, table[i].allowed);
		CU_ASSERT_TRUE(fix.client[0].live);
		host_tick();
		CU_ASSERT_EQUAL(fix.client[0].live, table[i].allowed);
		if (fix.client[0].live)
			host_disconnect(&fix.client[0]);
	}
}

static void test_long_topic(void)
{
	char topic[300] = "x/";

	memset(topic + 2, 'a', 254);
	host_connect(&fix.client[0]);
	CU_ASSERT_EQUAL(publish(&fix.client[0], topic), MOSQ_ERR_SUCCESS);
	topic[256] = 'a';
	CU_ASSERT_EQUAL(publish(&fix.client[0], topic), MOSQ_ERR_ACL_DENIED);
}

static void test_subscribe_and_receive(void)
{
	static const struct {
		int access;
		const char *topic;
		bool allowed;
	} table[] = {
		{MOSQ_ACL_SUBSCRIBE, "dev/#", true},
		{MOSQ_ACL_SUBSCRIBE, "dev/+/x", true},
		{MOSQ_ACL_SUBSCRIBE, "#", false},
		{MOSQ_ACL_SUBSCRIBE, "dev/#/x", false},
		{MOSQ_ACL_SUBSCRIBE, "dev/secrets/1", false},
		{MOSQ_ACL_SUBSCRIBE, "$aws/things/pump-1/jobs/notify-next", true},
		{MOSQ_ACL_SUBSCRIBE, "$share/g/dev/x", true},
		{MOSQ_ACL_SUBSCRIBE, "$share/g/dev/secrets/1", false},
		{MOSQ_ACL_SUBSCRIBE, "$SYS/#", false},
		{MOSQ_ACL_SUBSCRIBE, "$CONTROL/#", false},
		{MOSQ_ACL_SUBSCRIBE, "$iotctl/events/#", false},
		{MOSQ_ACL_READ, "dev/pump-1/x", true},
		{MOSQ_ACL_READ, "dev/pump-2/x", false},
		{MOSQ_ACL_READ, "$aws/things/pump-1/jobs/notify-next", true},
		{MOSQ_ACL_READ, "$SYS/broker/uptime", false},
		{MOSQ_ACL_READ, "$iotctl/events/denied", false},
		{MOSQ_ACL_UNSUBSCRIBE, "whatever", true},
		{MOSQ_ACL_NONE, "dev/pump-1/x", false},
		{16, "dev/pump-1/x", false},
	};

	host_connect(&fix.client[0]);
	for (size_t i = 0; i < IOT_LENGTH(table); i++) {
		int rc = host_acl(&fix.client[0], table[i].access, table[i].topic, 0, 0, false);

		if ((rc == MOSQ_ERR_SUCCESS) != table[i].allowed)
			fprintf(stderr, "\nrow %zu: '%s' gave %d: %s\n", i, table[i].topic, rc, host.log);
		CU_ASSERT_EQUAL(rc == MOSQ_ERR_SUCCESS, table[i].allowed);
	}
	host_tick();
	CU_ASSERT_TRUE(fix.client[0].live); /* only a publish costs the connection */
	CU_ASSERT_EQUAL(host.kicks, 0);
}

static void test_unknown_clients_get_nothing(void)
{
	static const int accesses[] = {MOSQ_ACL_READ, MOSQ_ACL_WRITE, MOSQ_ACL_SUBSCRIBE, MOSQ_ACL_UNSUBSCRIBE};
	struct mosquitto stranger = {.id = "pump-1", .address = "192.0.2.8"};

	for (size_t i = 0; i < IOT_LENGTH(accesses); i++)
		CU_ASSERT_EQUAL(host_acl(&stranger, accesses[i], "dev/pump-1/x", 0, 0, false), MOSQ_ERR_ACL_DENIED);
	/* A record whose memory the broker has given to a connection that we were not asked about. */
	host_connect(&fix.client[0]);
	fix.client[0].id = "pump-2";
	CU_ASSERT_EQUAL(publish(&fix.client[0], "dev/pump-1/x"), MOSQ_ERR_ACL_DENIED);
	fix.client[0].id = "pump-1";
}

static void test_denied_publish_ends_the_connection_later(void)
{
	host_connect(&fix.client[0]);
	CU_ASSERT_EQUAL(publish(&fix.client[0], "dev/pump-1/secret"), MOSQ_ERR_ACL_DENIED);
	CU_ASSERT_TRUE(fix.client[0].live);
	CU_ASSERT_EQUAL(host.kicks, 0);
	ASSERT_CONTAINS(host.log, "client 'pump-1'");
	ASSERT_CONTAINS(host.log, "iot:Publish on 'topic/dev/pump-1/secret': policy 'device' statement 6 (NoSecrets)");
	/* Nothing more is allowed in between. */
	CU_ASSERT_EQUAL(publish(&fix.client[0], "dev/pump-1/x"), MOSQ_ERR_ACL_DENIED);
	host_tick();
	CU_ASSERT_FALSE(fix.client[0].live);
	CU_ASSERT_EQUAL(host.kicks, 1);
	ASSERT_CONTAINS(last_event("denied"), "\"policy\":\"device\",\"statement\":6");
	ASSERT_CONTAINS(last_event("disconnected"), "\"reason\":\"FORBIDDEN_ACCESS\"");
	host_tick();
	CU_ASSERT_EQUAL(host.kicks, 1);
	CU_ASSERT_EQUAL(host_connect(&fix.client[0]), MOSQ_ERR_SUCCESS);
}

static void test_repeated_denials_are_reported_once(void)
{
	int lines;

	host_connect(&fix.client[0]);
	host_acl(&fix.client[0], MOSQ_ACL_READ, "other/x", 1, 0, false);
	lines = host.log_lines;
	for (int i = 0; i < 1000; i++)
		host_acl(&fix.client[0], MOSQ_ACL_READ, "other/x", 1, 0, false);
	CU_ASSERT_EQUAL(host.log_lines, lines);
	/* Different ones: the log is limited, the queue bounded. */
	for (int i = 0; i < 3000; i++) {
		char topic[32];

		snprintf(topic, sizeof(topic), "other/%d", i);
		host_acl(&fix.client[0], MOSQ_ACL_READ, topic, 1, 0, false);
	}
	CU_ASSERT_TRUE(host.log_lines < lines + 200);
	host_tick();
	CU_ASSERT_TRUE(host.published_count <= EVENTS_DENIED_MAX + 1);
	CU_ASSERT_TRUE(host.published_count >= EVENTS_DENIED_MAX);
}

static void test_wills(void)
{
	static const struct {
		const char *topic;
		int rc;
	} table[] = {
		{"dev/pump-1/gone", MOSQ_ERR_SUCCESS},
		{"dev/pump-2/gone", MOSQ_ERR_ACL_DENIED},
		/* Nobody stamps the sender on a will, so services must never see one. */
		{"$aws/things/pump-1/jobs/start-next", MOSQ_ERR_ACL_DENIED},
		/* Nor one that tells another's state, which they would believe. */
		{"dev/pump-1/state", MOSQ_ERR_SUCCESS},
		{"dev/pump-1/pump-2/state", MOSQ_ERR_ACL_DENIED},
		{"dev/pump-1/xpump-1/state", MOSQ_ERR_ACL_DENIED},
	};

	for (size_t i = 0; i < IOT_LENGTH(table); i++) {
		fix.client[0].will = table[i].topic;
		host_connect(&fix.client[0]);
		host_disconnect(&fix.client[0]);
		CU_ASSERT_EQUAL(fix.client[0].will_rc, table[i].rc);
		/* Taken over, and disconnected by us for another reason. */
		host_connect(&fix.client[0]);
		fix.client[1] = fix.client[0];
		host_connect(&fix.client[1]);
		CU_ASSERT_EQUAL(fix.client[0].will_rc, table[i].rc);
		publish(&fix.client[1], "dev/pump-2/x");
		host_tick();
		CU_ASSERT_FALSE(fix.client[1].live);
		CU_ASSERT_EQUAL(fix.client[1].will_rc, table[i].rc);
		host_tick();
	}
	/* Of a revoked one: none. */
	fix.client[0].will = table[0].topic;
	host_connect(&fix.client[0]);
	SQL("UPDATE certificates SET status = 'REVOKED' WHERE id = ?1", "s", fix.id[0]);
	tick_refresh();
	CU_ASSERT_FALSE(fix.client[0].live);
	CU_ASSERT_EQUAL(fix.client[0].will_rc, MOSQ_ERR_ACL_DENIED);
}

/* --- changes ------------------------------------------------------------------------------ */

static void test_revocation_reaches_live_connections(void)
{
	host_connect(&fix.client[0]);
	host_connect(&fix.client[1]);
	SQL("UPDATE certificates SET status = 'REVOKED' WHERE id = ?1", "s", fix.id[0]);
	for (int64_t end = iot_deadline(1000); fix.client[0].live && iot_left(end) > 0;) {
		host_tick();
		usleep(5000);
	}
	CU_ASSERT_FALSE(fix.client[0].live);
	CU_ASSERT_TRUE(fix.client[1].live);
	ASSERT_CONTAINS(last_event("disconnected"), "\"thingName\":\"pump-1\",\"reason\":\"AUTH_ERROR\"");
	ASSERT_CONTAINS(last_event("denied"), "the certificate is REVOKED");
	CU_ASSERT_EQUAL(host_connect(&fix.client[0]), MOSQ_ERR_AUTH);
}

static void test_policy_changes(void)
{
	host_connect(&fix.client[0]);
	host_connect(&fix.client[1]);
	CU_ASSERT_EQUAL(registry_document_count(host.plugin->registry), 1); /* shared */
	/* A new default version. */
	SQL("INSERT INTO policy_versions (policy_id, version, document, created_at) VALUES (1, 2, ?1, 5)", "s",
	    DOCUMENT(ALLOW("\"iot:*\"", "\"" ARN "client/pump-1\",\"" ARN "topic/other\"")));
	CU_ASSERT_EQUAL(publish(&fix.client[0], "dev/pump-1/x"), MOSQ_ERR_SUCCESS);
	SQL("UPDATE policies SET default_version = 2 WHERE id = ?1", "i", INT64_C(1));
	tick_refresh();
	CU_ASSERT_TRUE(fix.client[0].live);
	CU_ASSERT_FALSE(fix.client[1].live); /* may not connect under the new one */
	CU_ASSERT_EQUAL(host_acl(&fix.client[0], MOSQ_ACL_READ, "dev/pump-1/x", 1, 0, false), MOSQ_ERR_ACL_DENIED);
	CU_ASSERT_EQUAL(publish(&fix.client[0], "other"), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(registry_document_count(host.plugin->registry), 1); /* the old one is gone */
	/* Detached: not even Connect is left. */
	SQL("DELETE FROM policy_attachments WHERE certificate_id = ?1", "s", fix.id[0]);
	tick_refresh();
	CU_ASSERT_FALSE(fix.client[0].live);
}

/* A version's row id may come back with another document: the compiled one must not. */
static void test_row_id_used_again(void)
{
	SQL("INSERT INTO policy_versions (id, policy_id, version, document, created_at) VALUES (9, 1, 2, ?1, 5)", "s",
	    DOCUMENT(ALLOW("\"iot:*\"", "\"*\"")));
	SQL("UPDATE policies SET default_version = 2 WHERE id = ?1", "i", INT64_C(1));
	host_connect(&fix.client[0]);
	CU_ASSERT_EQUAL(publish(&fix.client[0], "any"), MOSQ_ERR_SUCCESS);
	SQL("DELETE FROM policy_versions WHERE id = ?1", "i", INT64_C(9));
	SQL("INSERT INTO policy_versions (id, policy_id, version, document, created_at) VALUES (9, 1, 3, ?1, 6)", "s",
	    device_policy);
	SQL("UPDATE policies SET default_version = 3 WHERE id = ?1", "i", INT64_C(1));
	tick_refresh();
	CU_ASSERT_TRUE(fix.client[0].live);
	CU_ASSERT_EQUAL(publish(&fix.client[0], "any"), MOSQ_ERR_ACL_DENIED);
}

static void test_thing_changes(void)
{
	fixture_policy(
		2, "site",
		DOCUMENT(ALLOW("\"iot:Publish\"", "\"" ARN "topic/site/${iot:Connection.Thing.Attributes[site]}\"")));
	SQL("INSERT INTO policy_attachments (policy_id, certificate_id) VALUES (2, ?1)", "s", fix.id[0]);
	host_connect(&fix.client[0]);
	CU_ASSERT_EQUAL(publish(&fix.client[0], "site/north"), MOSQ_ERR_SUCCESS);
	SQL("UPDATE things SET attributes = '{\"site\":\"south\"}' WHERE id = ?1", "i", INT64_C(1));
	tick_refresh();
	CU_ASSERT_EQUAL(publish(&fix.client[0], "site/south"), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(publish(&fix.client[0], "site/north"), MOSQ_ERR_ACL_DENIED);
	/* Detached from the certificate: the client id is a thing's no longer. */
	host_connect(&fix.client[1]);
	SQL("DELETE FROM thing_principals WHERE certificate_id = ?1", "s", fix.id[1]);
	tick_refresh();
	CU_ASSERT_FALSE(fix.client[1].live);
}

static void test_certificate_ends_while_connected(void)
{
	host_connect(&fix.client[0]);
	iot_clock_freeze(iot_now_ms() + 2 * DAY);
	tick_refresh();
	CU_ASSERT_FALSE(fix.client[0].live);
	ASSERT_CONTAINS(last_event("denied"), "has expired");
}

static void test_unreadable_registry(void)
{
	char away[300];
	int64_t start = iot_monotonic_ms();

	snprintf(away, sizeof(away), "%s/away.db", fix.dir);
	host_connect(&fix.client[0]);
	host_connect(&fix.admin);
	CU_ASSERT_EQUAL(rename(fix.registry, away), 0);
	tick_refresh();
	CU_ASSERT_TRUE(fix.client[0].live);
	CU_ASSERT_EQUAL(publish(&fix.client[0], "dev/pump-1/x"), MOSQ_ERR_SUCCESS);
	while (fix.client[0].live && iot_monotonic_ms() < start + 10000) {
		usleep(20000);
		host_tick();
	}
	CU_ASSERT_FALSE(fix.client[0].live);
	CU_ASSERT_TRUE(iot_monotonic_ms() >= start + PLUGIN_UNREADABLE_MS);
	CU_ASSERT_EQUAL(host_connect(&fix.client[0]), MOSQ_ERR_AUTH);
	CU_ASSERT_TRUE(fix.admin.live);
	CU_ASSERT_EQUAL(publish(&fix.admin, "x"), MOSQ_ERR_SUCCESS);
	ASSERT_CONTAINS(last_event("disconnected"), "SERVER_ERROR");
	CU_ASSERT_EQUAL(rename(away, fix.registry), 0);
	tick_refresh();
	CU_ASSERT_EQUAL(host_connect(&fix.client[0]), MOSQ_ERR_SUCCESS);
}

static void test_damaged_registry(void)
{
	int64_t start = iot_monotonic_ms();

	host_connect(&fix.client[0]);
	CU_ASSERT_EQUAL(truncate(fix.registry, 100), 0);
	while (fix.client[0].live && iot_monotonic_ms() < start + 10000) {
		usleep(20000);
		host_tick();
	}
	CU_ASSERT_FALSE(fix.client[0].live);
	CU_ASSERT_EQUAL(host_connect(&fix.client[0]), MOSQ_ERR_AUTH);
}

static void test_replaced_registry(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	char copy[300], wal[300], shm[300];

	snprintf(copy, sizeof(copy), "%s/copy.db", fix.dir);
	snprintf(wal, sizeof(wal), "%s-wal", fix.registry);
	snprintf(shm, sizeof(shm), "%s-shm", fix.registry);
	host_connect(&fix.client[0]);
	SQL("UPDATE certificates SET status = 'INACTIVE' WHERE id = ?1", "s", fix.id[0]);
	ASSERT_OK(iot_store_backup(fix.store, copy, &err), &err);
	SQL("UPDATE certificates SET status = 'ACTIVE' WHERE id = ?1", "s", fix.id[0]);
	tick_refresh();
	CU_ASSERT_TRUE(fix.client[0].live);
	iot_store_close_p(&fix.store);
	(void)unlink(wal); /* they belong to the old file */
	(void)unlink(shm);
	CU_ASSERT_EQUAL(rename(copy, fix.registry), 0);
	tick_refresh();
	CU_ASSERT_FALSE(fix.client[0].live);
}

/* Writers hold the lock for longer than two seconds: that is not unreadable. */
static void test_busy_registry(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	int64_t end = iot_deadline(PLUGIN_UNREADABLE_MS + 300);

	host_connect(&fix.client[0]);
	ASSERT_OK(iot_store_begin(fix.store, &err), &err);
	SQL("UPDATE certificates SET status = 'INACTIVE' WHERE id = ?1", "s", fix.id[0]);
	while (iot_left(end) > 0) {
		tick_refresh();
		usleep(20000);
	}
	CU_ASSERT_TRUE(fix.client[0].live);
	CU_ASSERT_EQUAL(host_connect(&fix.client[1]), MOSQ_ERR_SUCCESS);
	iot_store_rollback(fix.store);
}

/* --- orders, properties, sessions ------------------------------------------------------------ */

static void test_control(void)
{
	static const struct {
		const char *bytes;
		size_t len;
	} bad[] = {
		{NULL, 0},
		{"", 0},
		{"d", 1},
		{"d1", 2},
		{"d1x", 3},
		{"d1\0", 3},
		{"d1\0t\0", 5},
		{"d1pump-1", 8},
		{"d1pump-1\0", 9},
		{"d1pump-1\0t", 10},
		{"d2pump-1\0t\0", 11},
		{"d1pump-1\0\0", 10},
		{"d1pump-1\0a/#\0", 13},
		{"s1pump-1\0t\0", 11},
		{"s1pump-1\0t\0\0\0\0", 14},
		{"s1pump-1\0t\0\0\0\0\2x", 16},
		{"s1pump-1\0t\0\0\0\0\1x\0", 17},
		{"s1pump-1\0t\0\0\0\0\1x\377\377\377\377y", 21},
		{"s2pump-1\0t\0\0\0\0\1x", 16},
		{"s1pump-1\0\0\0\0\0\1x", 15},
		{"k1pump-1\0", 9},
		{"k0pump-1", 8},
		{"k0pump-1\0x", 10},
		{"k0\0", 3},
		{"x0pump-1\0", 9},
		{"\0\0\0\0", 4},
	};
	static const char deliver[] = "d1pump-1\0$aws/things/pump-1/jobs/notify\0hello";
	static const char empty[] = "d0pump-1\0t\0", absent[] = "d1pump-2\0t\0x", kick[] = "k0pump-1\0";
	const struct host_message *message;
	char *big = iot_alloc(200000);

	host_connect(&fix.client[0]);
	host_connect(&fix.admin);
	for (size_t i = 0; i < IOT_LENGTH(bad); i++)
		CU_ASSERT_NOT_EQUAL(host_control(&fix.admin, bad[i].bytes, bad[i].len), 0);
	memcpy(big, deliver, sizeof(deliver));
	CU_ASSERT_NOT_EQUAL(host_control(&fix.admin, big, 200000), 0);
	free(big);
	CU_ASSERT_EQUAL(host.published_count, 0);
	CU_ASSERT_EQUAL(host_control(&fix.client[0], kick, sizeof(kick) - 1), MOSQ_ERR_ACL_DENIED);
	CU_ASSERT_EQUAL(host_control(&fix.admin, deliver, sizeof(deliver) - 1), 0);
	message = published("$aws/things/pump-1/jobs/notify", 0);
	CU_ASSERT_PTR_NOT_NULL(message);
	if (message != NULL) {
		CU_ASSERT_STRING_EQUAL(message->client_id, "pump-1");
		CU_ASSERT_STRING_EQUAL(message->payload, "hello");
		CU_ASSERT_EQUAL(message->qos, 1);
	}
	CU_ASSERT_EQUAL(host_control(&fix.admin, empty, sizeof(empty) - 1), 0);
	CU_ASSERT_EQUAL(host_control(&fix.admin, absent, sizeof(absent) - 1), 0);
	CU_ASSERT_EQUAL(host.published_count, 2);
	CU_ASSERT_EQUAL(host_control(&fix.admin, kick, sizeof(kick) - 1), 0);
	CU_ASSERT_TRUE(fix.client[0].live);
	host_tick();
	CU_ASSERT_FALSE(fix.client[0].live);
	ASSERT_CONTAINS(last_event("disconnected"), "SERVER_INITIATED_DISCONNECT");
}

static void test_control_series(void)
{
	static const char series[] = "s0pump-1\0data\0\0\0\0\3one\0\0\0\0\0\0\0\5three";
	static const char absent[] = "s0pump-2\0data\0\0\0\0\3one";
	char *big = iot_alloc(200000);

	host_connect(&fix.client[0]);
	host_connect(&fix.admin);
	CU_ASSERT_EQUAL(host_control(&fix.admin, absent, sizeof(absent) - 1), 0);
	CU_ASSERT_EQUAL(host.published_count, 0);
	/* One that is too long spoils those before it, too. */
	memcpy(big, series, sizeof(series) - 1);
	memcpy(big + sizeof(series) - 1, "\0\2\0\1", 4);
	CU_ASSERT_NOT_EQUAL(host_control(&fix.admin, big, sizeof(series) - 1 + 4 + 0x20001), 0);
	free(big);
	CU_ASSERT_EQUAL(host.published_count, 0);
	CU_ASSERT_EQUAL(host_control(&fix.admin, series, sizeof(series) - 1), 0);
	CU_ASSERT_EQUAL_FATAL(host.published_count, 3);
	for (int i = 0; i < 3; i++) {
		static const char *const expected[] = {"one", "", "three"};

		CU_ASSERT_STRING_EQUAL(host.published[i].client_id, "pump-1");
		CU_ASSERT_STRING_EQUAL(host.published[i].topic, "data");
		CU_ASSERT_EQUAL(host.published[i].payload_len, (int)strlen(expected[i]));
		CU_ASSERT_EQUAL(memcmp(host.published[i].payload, expected[i], strlen(expected[i])), 0);
		CU_ASSERT_EQUAL(host.published[i].qos, 0);
	}
}

/* "name=value;" of all user properties, after the message event. */
static void stamped(struct mosquitto *client, const char *topic, mosquitto_property **list, char *out, size_t size)
{
	char topic_copy[128];
	struct mosquitto_evt_message message = {.client = client, .topic = topic_copy, .properties = *list};
	size_t used = 0;

	snprintf(topic_copy, sizeof(topic_copy), "%s", topic);
	CU_ASSERT_EQUAL(host_raise(MOSQ_EVT_MESSAGE, &message), MOSQ_ERR_SUCCESS);
	*list = message.properties;
	out[0] = '\0';
	for (const mosquitto_property *at = *list; at != NULL; at = mosquitto_property_next(at)) {
		char *name = NULL, *value = NULL;

		if (mosquitto_property_identifier(at) != 38)
			continue;
		mosquitto_property_read_string_pair(at, 38, &name, &value, false);
		used += (size_t)snprintf(out + used, size - used, "%s=%s;", name, value);
		free(name);
		free(value);
	}
}

static void test_sender_properties(void)
{
	mosquitto_property *list = NULL;
	char out[1024], expected[256], *text = NULL;
	void *data = NULL;
	uint16_t len = 0;

	host_connect(&fix.client[0]);
	host_connect(&fix.admin);
	mosquitto_property_add_string_pair(&list, 38, "first", "1");
	mosquitto_property_add_string_pair(&list, 38, IOT_PROPERTY_CLIENT, "pump-2");
	mosquitto_property_add_string(&list, 8, "reply/to");
	mosquitto_property_add_binary(&list, 9, "\0\1\2", 3);
	mosquitto_property_add_string_pair(&list, 38, IOT_PROPERTY_CLIENT, "pump-3");
	mosquitto_property_add_string_pair(&list, 38, IOT_PROPERTY_CERTIFICATE, "forged");
	mosquitto_property_add_string_pair(&list, 38, IOT_PROPERTY_THING, "");
	mosquitto_property_add_string_pair(&list, 38, "last", "");
	stamped(&fix.client[0], "dev/pump-1/x", &list, out, sizeof(out));
	CU_ASSERT_PTR_NULL(
		strstr(out, "forged")); /* not a topic of the services, but nobody says here who he is himself */
	stamped(&fix.client[0], "$aws/things/pump-1/jobs/get", &list, out, sizeof(out));
	snprintf(expected, sizeof(expected), "first=1;last=;%s=pump-1;%s=pump-1;%s=%s;", IOT_PROPERTY_CLIENT,
		 IOT_PROPERTY_THING, IOT_PROPERTY_CERTIFICATE, fix.id[0]);
	CU_ASSERT_STRING_EQUAL(out, expected);
	CU_ASSERT_PTR_NOT_NULL(mosquitto_property_read_string(list, 8, &text, false));
	CU_ASSERT_STRING_EQUAL(text == NULL ? "" : text, "reply/to");
	CU_ASSERT_PTR_NOT_NULL(mosquitto_property_read_binary(list, 9, &data, &len, false));
	CU_ASSERT_EQUAL(len, 3);
	free(text);
	free(data);
	mosquitto_property_free_all(&list);
	stamped(&fix.client[0], "$aws/things/pump-1/jobs/get", &list, out, sizeof(out));
	CU_ASSERT_STRING_EQUAL(out, strstr(expected, IOT_PROPERTY_CLIENT));
	mosquitto_property_free_all(&list);
	mosquitto_property_add_string_pair(&list, 38, "own", "1");
	stamped(&fix.client[0], "dev/pump-1/x", &list, out, sizeof(out));
	CU_ASSERT_STRING_EQUAL(out, "own=1;"); /* untouched */
	mosquitto_property_free_all(&list);
	stamped(&fix.admin, "$aws/things/pump-1/jobs/get", &list, out, sizeof(out));
	CU_ASSERT_STRING_EQUAL(out, "");
}

/* As whom services hear what pump-1 says on a topic; "" if they are told nothing. */
static const char *heard_as(const char *topic)
{
	static char thing[64];
	mosquitto_property *list = NULL;
	char out[1024];
	const char *at;

	stamped(&fix.client[0], topic, &list, out, sizeof(out));
	mosquitto_property_free_all(&list);
	at = strstr(out, IOT_PROPERTY_THING "=");
	if (at == NULL)
		return "";
	at += strlen(IOT_PROPERTY_THING "=");
	snprintf(thing, sizeof(thing), "%.*s", (int)strcspn(at, ";"), at);
	return thing;
}

/* What a gateway says for its children is theirs, as long as they are; what it hears of others is not worth a word. */
static void test_children_of_a_gateway(void)
{
	SQL("UPDATE things SET attributes = '{\"gateway\":\"pump-1\"}' WHERE name = 'pump-2'", "");
	SQL("INSERT INTO topics VALUES ('dev/+/event/#', 1), ('all/+', -1), ('a/b/+/c', 2)", "");
	tick_refresh();
	host_connect(&fix.client[0]);
	CU_ASSERT_STRING_EQUAL(heard_as("dev/pump-2/state"), "pump-2");
	CU_ASSERT_STRING_EQUAL(heard_as("pump-2/state"), "pump-2");
	CU_ASSERT_STRING_EQUAL(heard_as("dev/pump-2/event/x"), "pump-2");
	CU_ASSERT_STRING_EQUAL(heard_as("a/b/pump-2/c"), "pump-2");
	CU_ASSERT_STRING_EQUAL(heard_as("dev/pump-1/event/x"), "pump-1");
	CU_ASSERT_STRING_EQUAL(heard_as("dev/pump-22/state"), "pump-1");
	CU_ASSERT_STRING_EQUAL(heard_as("dev/pump/state"), "pump-1");
	CU_ASSERT_STRING_EQUAL(heard_as("dev/pump-3/state"), "pump-1"); /* not its child */
	CU_ASSERT_STRING_EQUAL(heard_as("pump-2/x/state"), "pump-1");   /* not where the name is */
	CU_ASSERT_STRING_EQUAL(heard_as("all/pump-2"), "pump-1");       /* the topic names nobody */
	CU_ASSERT_STRING_EQUAL(heard_as("$aws/things/pump-2/shadow/get"), "pump-1");
	CU_ASSERT_STRING_EQUAL(heard_as("state"), "");
	CU_ASSERT_EQUAL(host_acl(&fix.client[0], MOSQ_ACL_READ, "dev/pump-3/x", 1, 1, false), MOSQ_ERR_ACL_DENIED);
	host_tick();
	CU_ASSERT_STRING_EQUAL(last_event("denied"), "");
	SQL("UPDATE things SET attributes = '{}' WHERE name = 'pump-2'", "");
	tick_refresh();
	CU_ASSERT_STRING_EQUAL(heard_as("dev/pump-2/state"), "pump-1");
	CU_ASSERT_EQUAL(host_acl(&fix.client[0], MOSQ_ACL_READ, "dev/pump-3/x", 1, 1, false), MOSQ_ERR_ACL_DENIED);
	host_tick();
	CU_ASSERT_STRING_NOT_EQUAL(last_event("denied"), "");
}

static void test_takeover(void)
{
	struct mosquitto newer = fix.client[0];
	const char *old_event, *new_event;
	int64_t old_number, new_number;

	host_connect(&fix.client[0]);
	host_tick();
	old_event = strstr(last_event("connected"), "\"connection\":");
	old_number = old_event == NULL ? 0 : strtoll(old_event + 13, NULL, 10);
	/* The old one has just earned its end; the new one must not get it. */
	publish(&fix.client[0], "dev/pump-2/x");
	CU_ASSERT_EQUAL(host_connect(&newer), MOSQ_ERR_SUCCESS);
	CU_ASSERT_FALSE(fix.client[0].live);
	host_tick();
	CU_ASSERT_TRUE(newer.live);
	CU_ASSERT_EQUAL(host.kicks, 0);
	new_event = strstr(last_event("connected"), "\"connection\":");
	new_number = new_event == NULL ? 0 : strtoll(new_event + 13, NULL, 10);
	CU_ASSERT_TRUE(new_number > old_number);
	old_event = strstr(last_event("disconnected"), "\"connection\":");
	CU_ASSERT_EQUAL(old_event == NULL ? 0 : strtoll(old_event + 13, NULL, 10), old_number);
	CU_ASSERT_EQUAL(publish(&newer, "dev/pump-1/x"), MOSQ_ERR_SUCCESS);
	host_disconnect(&newer);
}

static void test_takeover_reason(void)
{
	struct mosquitto newer = fix.client[0];

	host_connect(&fix.client[0]);
	host_connect(&newer);
	host_tick();
	ASSERT_CONTAINS(last_event("disconnected"), "DUPLICATE_CLIENTID");
	host_disconnect(&newer);
}

/* A session that waits: messages for it are judged, and its record goes when it is taken up again. */
static void test_session_that_waits(void)
{
	struct mosquitto again = fix.client[0];

	fix.client[0].clean = false;
	host_connect(&fix.client[0]);
	host_disconnect(&fix.client[0]);
	host_tick();
	host_tick();
	CU_ASSERT_EQUAL(host.plugin->clients.offline_count, 1);
	CU_ASSERT_EQUAL(host_acl(&fix.client[0], MOSQ_ACL_READ, "dev/pump-1/x", 1, 1, false), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(host_acl(&fix.client[0], MOSQ_ACL_READ, "dev/pump-2/x", 1, 1, false), MOSQ_ERR_ACL_DENIED);
	SQL("UPDATE certificates SET status = 'INACTIVE' WHERE id = ?1", "s", fix.id[0]);
	tick_refresh();
	CU_ASSERT_EQUAL(host_acl(&fix.client[0], MOSQ_ACL_READ, "dev/pump-1/x", 1, 1, false), MOSQ_ERR_ACL_DENIED);
	SQL("UPDATE certificates SET status = 'ACTIVE' WHERE id = ?1", "s", fix.id[0]);
	CU_ASSERT_EQUAL(host_connect(&again), MOSQ_ERR_SUCCESS);
	host_tick();
	CU_ASSERT_EQUAL(host.plugin->clients.offline_count, 0);
	CU_ASSERT_EQUAL(host.plugin->clients.count, 1);
	host_disconnect(&again);
}

/* mosquitto asks about live connections again when it reloads its configuration. */
static void test_asked_again(void)
{
	struct mosquitto_evt_basic_auth auth = {.client = &fix.client[0]};
	int events;

	host_connect(&fix.client[0]);
	host_tick();
	events = host.published_count;
	CU_ASSERT_EQUAL(host_raise(MOSQ_EVT_BASIC_AUTH, &auth), MOSQ_ERR_SUCCESS);
	host_tick();
	CU_ASSERT_EQUAL(host.published_count, events);
	publish(&fix.client[0], "dev/pump-2/x");
	CU_ASSERT_EQUAL(host_raise(MOSQ_EVT_BASIC_AUTH, &auth), MOSQ_ERR_AUTH);
	/* Another certificate in the same place is another connection. */
	fix.client[0].x509 = fix.x509[1];
	CU_ASSERT_EQUAL(host_raise(MOSQ_EVT_BASIC_AUTH, &auth), MOSQ_ERR_AUTH);
	CU_ASSERT_EQUAL(host.plugin->clients.count, 0);
}

static void test_connection_numbers_outlive_the_clock(void)
{
	host_stop();
	SQL("INSERT INTO presence VALUES ('pump-9', 0, ?1, 0, NULL, NULL, NULL)", "i", INT64_C(9000000000000000));
	CU_ASSERT_EQUAL(host_start(fix.registry, HOST_SOCKET, NULL), MOSQ_ERR_SUCCESS);
	host_connect(&fix.client[0]);
	host_tick();
	ASSERT_CONTAINS(last_event("connected"), "\"connection\":9000000000000001");
}

UNIT_MAIN("broker/plugin", set_up, tear_down, {"start_needs_everything", test_start_needs_everything},
	  {"ready_file", test_ready_file}, {"only_version_5", test_only_version_5},
	  {"connect_own_name", test_connect_own_name}, {"connect_refused", test_connect_refused},
	  {"connect_certificate_state", test_connect_certificate_state},
	  {"broken_policy_refuses", test_broken_policy_refuses}, {"groups", test_groups_and_their_parents},
	  {"admin", test_admin}, {"publish_table", test_publish_table}, {"long_topic", test_long_topic},
	  {"subscribe_and_receive", test_subscribe_and_receive}, {"unknown_clients", test_unknown_clients_get_nothing},
	  {"denied_publish", test_denied_publish_ends_the_connection_later},
	  {"repeated_denials", test_repeated_denials_are_reported_once}, {"wills", test_wills},
	  {"revocation", test_revocation_reaches_live_connections}, {"policy_changes", test_policy_changes},
	  {"row_id_used_again", test_row_id_used_again}, {"thing_changes", test_thing_changes},
	  {"certificate_ends", test_certificate_ends_while_connected},
	  {"unreadable_registry", test_unreadable_registry}, {"damaged_registry", test_damaged_registry},
	  {"replaced_registry", test_replaced_registry}, {"busy_registry", test_busy_registry},
	  {"control", test_control}, {"control_series", test_control_series},
	  {"sender_properties", test_sender_properties},
	  {"children_of_a_gateway", test_children_of_a_gateway}, {"takeover", test_takeover},
	  {"takeover_reason", test_takeover_reason}, {"session_that_waits", test_session_that_waits},
	  {"asked_again", test_asked_again}, {"connection_numbers", test_connection_numbers_outlive_the_clock})
