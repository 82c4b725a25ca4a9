/* The plugin and clients without certificates: shared secrets, tokens, and what a gateway attaches. */
#include "plugin_fixture.h"

#include "iotctl/jwt.h"
#include "iotctl/seal.h"
#include "iotctl/tls.h"

#include <openssl/ssl.h>

#define PATH "projects/demo/locations/l/registries/r/devices/"
#define NOW INT64_C(1790000000000)

static const char bridge_policy[] =
	DOCUMENT(ALLOW("\"iot:Connect\"", "\"" ARN "client/${iot:Connection.Thing.ThingName}\"") "," ALLOW(
		"\"iot:Publish\",\"iot:Receive\"",
		"\"" ARN "topic//devices/*\",\"" ARN
		"topic/dev/${iot:ClientId}/*\"") "," ALLOW("\"iot:Subscribe\"", "\"" ARN "topicfilter/*\""));

static struct iot_key *keys[2];
static SSL_CTX *tls_context;
static SSL *tls[DEVICES]; /* of each client; several clients may have had the same handle */

/* A new connection, at whatever address the broker has it. */
static void dial(int which)
{
	SSL_free(tls[which]);
	tls[which] = SSL_new(tls_context);
	SSL_set_bio(tls[which], BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_accept_state(tls[which]);
}

/* The broker reads something (here an alert) from it. */
static void read_from(int which)
{
	static const uint8_t record[] = {21, 3, 1, 0, 2, 2, 40};

	(void)SSL_clear(tls[which]);
	(void)BIO_write(SSL_get_rbio(tls[which]), record, sizeof(record));
	CU_ASSERT_TRUE(SSL_do_handshake(tls[which]) <= 0);
}

static int index_of(const struct mosquitto *client)
{
	return (int)(client - fix.client);
}

/* What `iotctl psk create` makes; digest: the id, for being unique. */
static void add_secret(int64_t id, const char *identity, int64_t thing, const char *purpose, const char *secret)
{
	char path[300], label[200];
	uint8_t seal[IOT_SEAL_KEY_SIZE];
	struct iot_buf sealed = IOT_BUF_INIT(200);
	struct iot_error err = IOT_ERROR_INIT;

	snprintf(path, sizeof(path), "%s/" IOT_SEAL_KEY_FILE, fix.dir);
	ASSERT_OK(iot_seal_key_ensure(path, seal, &err), &err);
	snprintf(label, sizeof(label), "psk:%s", identity);
	iot_seal(seal, label, secret, strlen(secret), &sealed);
	SQL("INSERT INTO psks VALUES (?1, ?2, ?3, ?4, 'ACTIVE', 16, ?5, ?2, 0, 0)", "isisb", id, identity, thing,
	    purpose, sealed.data, sealed.len);
	iot_buf_release(&sealed);
}

static void add_key(int64_t thing, int which)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_buf pem = IOT_BUF_INIT(4096);
	char id[IOT_SHA256_HEX_SIZE];

	ASSERT_OK(iot_key_generate(IOT_KEY_P256, &keys[which], &err), &err);
	ASSERT_OK(iot_key_public_pem(keys[which], &pem, &err), &err);
	SQL("INSERT INTO device_keys VALUES (?1, ?2, ?3, 'p256', NULL, 0, 'connect')", "sis", iot_key_id(keys[which], id), thing,
	    iot_buf_str(&pem));
	iot_buf_release(&pem);
}

static void begin(void)
{
	set_up();
	iot_clock_freeze(NOW);
	SQL("DELETE FROM policy_attachments WHERE 1 = ?1", "i", INT64_C(1)); /* no certificate has any */
	fixture_policy(5, "bridge", bridge_policy);
	SQL("INSERT INTO groups (id, name, uuid, created_at) VALUES (1, 'small', 'u', ?1)", "i", INT64_C(0));
	SQL("INSERT INTO group_members VALUES (1, 1), (1, ?1)", "i", INT64_C(2));
	SQL("INSERT INTO policy_attachments (policy_id, group_id) VALUES (5, ?1)", "i", INT64_C(1));
	ASSERT_OK(iot_tls_watch(NULL), NULL);
	tls_context = SSL_CTX_new(TLS_server_method());
	for (int i = 0; i < DEVICES; i++)
		dial(i);
	add_secret(1, "pump-1", 1, "connect", "0123456789abcdef");
	add_secret(2, "claims", 1, "attest", "an attestation k");
	add_secret(3, "pump-3", 3, "connect", "0123456789abcdeX");
	add_key(1, 0);
	add_key(2, 1);
	host.plugin->sealing_key = iot_strf("%s/" IOT_SEAL_KEY_FILE, fix.dir);
	host.plugin->project = iot_strdup("demo");
	host.plugin->token_skew = 600;
	for (int i = 0; i < DEVICES; i++)
		fix.client[i].x509 = NULL;
	tick_refresh();
}

static void end(void)
{
	for (int i = 0; i < 2; i++) {
		iot_key_free(keys[i]);
		keys[i] = NULL;
	}
	for (int i = 0; i < DEVICES; i++) {
		SSL_free(tls[i]);
		tls[i] = NULL;
	}
	SSL_CTX_free(tls_context);
	tear_down();
}

static int hand_out(struct mosquitto *client, const char *identity)
{
	char key[200] = "";

	read_from(index_of(client));
	return host_psk(client, identity, key, sizeof(key));
}

/* Its CONNECT is read. */
static int arrive(struct mosquitto *client)
{
	read_from(index_of(client));
	return host_connect(client);
}

/* A token by a key, good for `lifetime` seconds from now. Free it. */
static char *token(int which, const char *audience, int64_t lifetime)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_buf out = IOT_BUF_INIT(IOT_JWT_MAX);

	ASSERT_OK(iot_jwt_create(keys[which], audience, NOW / 1000, lifetime, NULL, &out, &err), &err);
	return iot_buf_detach(&out);
}

static int connect_token(struct mosquitto *client, const char *id, int which, int64_t lifetime)
{
	IOT_CLEAN(iot_free_p) char *text = token(which, "demo", lifetime);
	int rc;

	client->id = id;
	client->password = text;
	rc = host_connect(client);
	client->password = NULL;
	return rc;
}

/* --- shared secrets -------------------------------------------------------------------- */

static void test_secret(void)
{
	struct mosquitto *client = &fix.client[0];
	char key[200] = "";

	read_from(0);
	CU_ASSERT_EQUAL(host_psk(client, "pump-1", key, sizeof(key)), MOSQ_ERR_SUCCESS);
	CU_ASSERT_STRING_EQUAL(key, "30313233343536373839616263646566");
	CU_ASSERT_EQUAL(arrive(client), MOSQ_ERR_SUCCESS);
	CU_ASSERT_STRING_EQUAL(client->username, "pump-1");
	CU_ASSERT_EQUAL(host.plugin->handshakes.count, 0);
	host_tick();
	ASSERT_CONTAINS(last_event("connected"), "\"thingName\":\"pump-1\"");
	CU_ASSERT_PTR_NULL(strstr(last_event("connected"), "certificateId"));
	CU_ASSERT_EQUAL(publish(client, "dev/pump-1/x"), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(publish(client, "dev/pump-2/x"), MOSQ_ERR_ACL_DENIED);
	CU_ASSERT_EQUAL(host_psk(&fix.client[1], "pump-1", key, 32), MOSQ_ERR_AUTH); /* no room for its NUL */
}

/* Of a resumed session no key is asked for: it is nobody's. */
static void test_no_key_no_entry(void)
{
	struct mosquitto *client = &fix.client[0];

	CU_ASSERT_EQUAL(arrive(client), MOSQ_ERR_AUTH);
	ASSERT_CONTAINS(host.log, "was asked for no secret");
	/* A handshake that failed, of which the broker says nothing, and another connection in its memory. */
	CU_ASSERT_EQUAL(hand_out(client, "pump-1"), MOSQ_ERR_SUCCESS);
	dial(0);
	CU_ASSERT_EQUAL(arrive(client), MOSQ_ERR_AUTH);
	/* Nor is it one without TLS, of which nothing was read. */
	CU_ASSERT_EQUAL(hand_out(client, "pump-1"), MOSQ_ERR_SUCCESS);
	dial(0);
	CU_ASSERT_EQUAL(host_connect(client), MOSQ_ERR_AUTH);
	/* Another one's word in between changes nothing. */
	CU_ASSERT_EQUAL(hand_out(client, "pump-1"), MOSQ_ERR_SUCCESS);
	read_from(1);
	CU_ASSERT_EQUAL(host_connect(&fix.client[1]), MOSQ_ERR_AUTH);
	CU_ASSERT_EQUAL(arrive(client), MOSQ_ERR_SUCCESS);
	host_disconnect(client);
	/* A key counts once, */
	CU_ASSERT_EQUAL(hand_out(client, "pump-1"), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(arrive(client), MOSQ_ERR_SUCCESS);
	host_disconnect(client);
	CU_ASSERT_EQUAL(arrive(client), MOSQ_ERR_AUTH);
	/* and the last identity that was shown is the one. */
	CU_ASSERT_EQUAL(hand_out(client, "pump-1"), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(hand_out(client, "nobody"), MOSQ_ERR_AUTH);
	CU_ASSERT_EQUAL(arrive(client), MOSQ_ERR_AUTH);
}

/* What the broker does not say whose it is gets no key. */
static void test_no_number(void)
{
	char key[200] = "";

	read_from(0);
	CU_ASSERT_NOT_EQUAL(iot_tls_current(), 0);
	dial(0);
	CU_ASSERT_EQUAL(iot_tls_current(), 0);
	CU_ASSERT_EQUAL(host_psk(&fix.client[0], "pump-1", key, sizeof(key)), MOSQ_ERR_AUTH);
	CU_ASSERT_STRING_EQUAL(key, "");
	ASSERT_CONTAINS(host.log, "does not tell whose handshake it is");
}

static void test_secrets_refused(void)
{
	static char long_name[400];
	static const char *const names[] = {"nobody", "", "claims", "pump-1 ", "PUMP-1", "\xff\xfe", "a\nb", long_name};
	char path[300];

	memset(long_name, 'x', sizeof(long_name) - 1);
	for (size_t i = 0; i < IOT_LENGTH(names); i++)
		CU_ASSERT_EQUAL(hand_out(&fix.client[0], names[i]), MOSQ_ERR_AUTH);
	SQL("UPDATE psks SET status = 'REVOKED' WHERE id = ?1", "i", INT64_C(1));
	CU_ASSERT_EQUAL(hand_out(&fix.client[0], "pump-1"), MOSQ_ERR_AUTH);
	ASSERT_CONTAINS(host.log, "was revoked");
	/* A device in no group: no policy says anything. */
	CU_ASSERT_EQUAL(hand_out(&fix.client[2], "pump-3"), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(arrive(&fix.client[2]), MOSQ_ERR_AUTH);
	ASSERT_CONTAINS(host.log, "is in no group that has a policy");
	SQL("INSERT INTO group_members VALUES (1, ?1)", "i", INT64_C(3));
	CU_ASSERT_EQUAL(hand_out(&fix.client[2], "pump-3"), MOSQ_ERR_SUCCESS);
	/* Revoked between the handshake and the client's first word. */
	SQL("UPDATE psks SET status = 'REVOKED' WHERE id = ?1", "i", INT64_C(3));
	CU_ASSERT_EQUAL(arrive(&fix.client[2]), MOSQ_ERR_AUTH);
	SQL("UPDATE psks SET status = 'ACTIVE' WHERE id = ?1", "i", INT64_C(1));
	snprintf(path, sizeof(path), "%s/" IOT_SEAL_KEY_FILE, fix.dir);
	ASSERT_OK(iot_fs_write(path, 0600, "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n", 65,
			       NULL),
		  NULL);
	CU_ASSERT_EQUAL(hand_out(&fix.client[0], "pump-1"), MOSQ_ERR_AUTH);
	ASSERT_CONTAINS(host.log, "cannot be opened");
	CU_ASSERT_EQUAL(unlink(path), 0);
	CU_ASSERT_EQUAL(hand_out(&fix.client[0], "pump-1"), MOSQ_ERR_AUTH);
	CU_ASSERT_EQUAL(host.plugin->handshakes.count, 0);
}

static void test_secret_of_another_name(void)
{
	fix.client[0].id = "pump-2";
	CU_ASSERT_EQUAL(hand_out(&fix.client[0], "pump-1"), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(arrive(&fix.client[0]), MOSQ_ERR_AUTH);
	ASSERT_CONTAINS(host.log, "'client/pump-2': no statement allows it");
}

static void test_secret_revoked(void)
{
	CU_ASSERT_EQUAL(hand_out(&fix.client[0], "pump-1"), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(arrive(&fix.client[0]), MOSQ_ERR_SUCCESS);
	SQL("UPDATE psks SET status = 'REVOKED' WHERE id = ?1", "i", INT64_C(1));
	tick_refresh();
	CU_ASSERT_FALSE(fix.client[0].live);
	ASSERT_CONTAINS(last_event("disconnected"), "AUTH_ERROR");
}

/* --- tokens ------------------------------------------------------------------------------- */

static void test_client_ids(void)
{
	static const char *const wrong[] = {"",
					    "pump-1",
					    "projects/p/locations/l/registries/r/devices/",
					    "projects//locations/l/registries/r/devices/d",
					    "projects/p/locations/l/registries/r/devices/d/e",
					    "projects/p/locations/l/registries/r",
					    "Projects/p/locations/l/registries/r/devices/d",
					    "/projects/p/locations/l/registries/r/devices/d"};

	CU_ASSERT_STRING_EQUAL(token_device(PATH "d", NULL, NULL), "d");
	for (size_t i = 0; i < IOT_LENGTH(wrong); i++)
		CU_ASSERT_PTR_NULL(token_device(wrong[i], NULL, NULL));
}

static void test_token(void)
{
	struct mosquitto *client = &fix.client[0];

	CU_ASSERT_EQUAL(connect_token(client, PATH "pump-1", 0, 3600), MOSQ_ERR_SUCCESS);
	host_tick();
	ASSERT_CONTAINS(last_event("connected"), "\"clientId\":\"pump-1\"");
	CU_ASSERT_EQUAL(publish(client, "/devices/pump-1/events/a/b"), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(host_acl(client, MOSQ_ACL_SUBSCRIBE, "/devices/pump-1/config", 0, 1, false), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(host_acl(client, MOSQ_ACL_SUBSCRIBE, "/devices/pump-1/#", 0, 1, false), MOSQ_ERR_ACL_DENIED);
	CU_ASSERT_EQUAL(host_acl(client, MOSQ_ACL_READ, "/devices/pump-1/commands/x", 1, 1, false), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(host_acl(client, MOSQ_ACL_READ, "/devices/pump-2/config", 1, 1, false), MOSQ_ERR_ACL_DENIED);
	client->will = "/devices/pump-1/events";
	host_disconnect(client);
	CU_ASSERT_EQUAL(client->will_rc, MOSQ_ERR_ACL_DENIED);
	client->will = NULL;
	CU_ASSERT_EQUAL(connect_token(client, PATH "pump-2", 0, 3600), MOSQ_ERR_AUTH); /* another's key */
	CU_ASSERT_EQUAL(connect_token(client, "pump-1", 0, 3600), MOSQ_ERR_AUTH);
	CU_ASSERT_EQUAL(connect_token(client, "projects/x/locations/l/registries/r/devices/pump-1", 0, 3600),
			MOSQ_ERR_AUTH);
	CU_ASSERT_EQUAL(connect_token(client, PATH "pump-3", 0, 3600), MOSQ_ERR_AUTH);
	ASSERT_CONTAINS(host.log, "has no key that could sign tokens");
}

static void test_token_ends(void)
{
	CU_ASSERT_EQUAL(connect_token(&fix.client[0], PATH "pump-1", 0, 3600), MOSQ_ERR_SUCCESS);
	iot_clock_freeze(NOW + INT64_C(1000) * (3600 + 600) - 1);
	tick_refresh();
	CU_ASSERT_TRUE(fix.client[0].live);
	iot_clock_freeze(NOW + INT64_C(1000) * (3600 + 600));
	tick_refresh();
	CU_ASSERT_FALSE(fix.client[0].live);
	ASSERT_CONTAINS(host.log, "the token has expired");
}

static void test_key_ends(void)
{
	CU_ASSERT_EQUAL(connect_token(&fix.client[0], PATH "pump-1", 0, 3600), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(connect_token(&fix.client[1], PATH "pump-2", 1, 3600), MOSQ_ERR_SUCCESS);
	SQL("UPDATE device_keys SET expires_at = ?1 WHERE thing_id = 1", "i", NOW + 1000);
	SQL("DELETE FROM device_keys WHERE thing_id = ?1", "i", INT64_C(2));
	tick_refresh();
	CU_ASSERT_TRUE(fix.client[0].live);
	CU_ASSERT_FALSE(fix.client[1].live);
	iot_clock_freeze(NOW + 1000);
	tick_refresh();
	CU_ASSERT_FALSE(fix.client[0].live);
}

/* By another way under another client id, it is the same device: connected once. */
static void test_connected_once(void)
{
	CU_ASSERT_EQUAL(hand_out(&fix.client[0], "pump-1"), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(host_connect(&fix.client[0]), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(connect_token(&fix.client[1], PATH "pump-1", 0, 3600), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(publish(&fix.client[0], "dev/pump-1/x"), MOSQ_ERR_ACL_DENIED);
	host_tick();
	CU_ASSERT_FALSE(fix.client[0].live);
	CU_ASSERT_TRUE(fix.client[1].live);
	ASSERT_CONTAINS(last_event("disconnected"), "DUPLICATE_CLIENTID");
	host_connect(&fix.admin);
	CU_ASSERT_EQUAL(host_control(&fix.admin, "d1pump-1\0/devices/pump-1/config\0{}", 34), MOSQ_ERR_SUCCESS);
	CU_ASSERT_PTR_NOT_NULL_FATAL(published("/devices/pump-1/config", 0));
	CU_ASSERT_STRING_EQUAL(published("/devices/pump-1/config", 0)->client_id, PATH "pump-1");
}

/* --- gateways -------------------------------------------------------------------------------- */

static const char *last_error(void)
{
	const struct host_message *message = published("/devices/pump-1/errors", 0);

	return message == NULL ? "" : message->payload;
}

static void test_attach(void)
{
	struct mosquitto *gateway = &fix.client[0];
	IOT_CLEAN(iot_free_p) char *text = token(1, "demo", 600);
	IOT_CLEAN(iot_free_p) char *order = iot_strf("{\"authorization\":\"%s\"}", text);

	CU_ASSERT_EQUAL(connect_token(gateway, PATH "pump-1", 0, 3600), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(host_publish(gateway, "/devices/pump-2/attach", order), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(host_publish(gateway, "/devices/pump-2/attach", order), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(clients_find(&host.plugin->clients, gateway)->child_count, 1);
	CU_ASSERT_EQUAL(publish(gateway, "/devices/pump-2/events"), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(publish(gateway, "/devices/pump-1/events"), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(host_acl(gateway, MOSQ_ACL_READ, "/devices/pump-2/config", 1, 1, false), MOSQ_ERR_SUCCESS);
	iot_clock_freeze(NOW + INT64_C(1000) * (600 + 600)); /* the child's token ends */
	tick_refresh();
	CU_ASSERT_TRUE(gateway->live);
	CU_ASSERT_EQUAL(host_acl(gateway, MOSQ_ACL_READ, "/devices/pump-2/config", 1, 1, false), MOSQ_ERR_ACL_DENIED);
	CU_ASSERT_EQUAL(publish(gateway, "/devices/pump-2/events"), MOSQ_ERR_ACL_DENIED);
}

static void test_attach_bound(void)
{
	struct mosquitto *gateway = &fix.client[0];

	CU_ASSERT_EQUAL(connect_token(gateway, PATH "pump-1", 0, 3600), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(host_publish(gateway, "/devices/pump-2/attach", ""), MOSQ_ERR_ACL_DENIED);
	ASSERT_CONTAINS(last_error(), "is not bound to gateway 'pump-1'");
	SQL("UPDATE things SET attributes = '{\"gateway\":\"pump-1\"}' WHERE id = ?1", "i", INT64_C(2));
	CU_ASSERT_EQUAL(host_publish(gateway, "/devices/pump-2/attach", "{}"), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(host_publish(gateway, "/devices/pump-2/detach", ""), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(host_publish(gateway, "/devices/pump-2/detach", ""), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(host_acl(gateway, MOSQ_ACL_READ, "/devices/pump-2/config", 1, 1, false), MOSQ_ERR_ACL_DENIED);
	CU_ASSERT_EQUAL(host_publish(gateway, "/devices/pump-2/attach", "{}"), MOSQ_ERR_SUCCESS);
	SQL("UPDATE things SET attributes = '{}' WHERE id = ?1", "i", INT64_C(2));
	tick_refresh();
	CU_ASSERT_EQUAL(host_acl(gateway, MOSQ_ACL_READ, "/devices/pump-2/config", 1, 1, false), MOSQ_ERR_ACL_DENIED);
}

static void test_attach_refused(void)
{
	static char large[9000];
	static const char *const payloads[] = {
		"[]", "{", "x", "{\"authorization\":7}", "{\"authorization\":\"a.b.c\"}", "{\"authorization\":null}",
		large};
	struct mosquitto *gateway = &fix.client[0];
	IOT_CLEAN(iot_free_p) char *mine = token(0, "demo", 600);
	IOT_CLEAN(iot_free_p) char *order = iot_strf("{\"authorization\":\"%s\"}", mine);

	memset(large, ' ', sizeof(large) - 1);
	CU_ASSERT_EQUAL(connect_token(gateway, PATH "pump-1", 0, 3600), MOSQ_ERR_SUCCESS);
	for (size_t i = 0; i < IOT_LENGTH(payloads); i++)
		CU_ASSERT_EQUAL(host_publish(gateway, "/devices/pump-2/attach", payloads[i]), MOSQ_ERR_ACL_DENIED);
	CU_ASSERT_EQUAL(host_publish(gateway, "/devices/pump-2/attach", order),
			MOSQ_ERR_ACL_DENIED); /* its own token */
	CU_ASSERT_EQUAL(host_publish(gateway, "/devices/pump-1/attach", order), MOSQ_ERR_ACL_DENIED);
	CU_ASSERT_EQUAL(host_publish(gateway, "/devices/none/attach", "{}"), MOSQ_ERR_ACL_DENIED);
	CU_ASSERT_EQUAL(clients_find(&host.plugin->clients, gateway)->child_count, 0);
	host_tick();
	CU_ASSERT_TRUE(gateway->live);
	/* Who is no such client cannot: by a secret it is a topic like any other. */
	CU_ASSERT_EQUAL(hand_out(&fix.client[1], "pump-1"), MOSQ_ERR_SUCCESS);
	fix.client[1].id = "pump-1";
	CU_ASSERT_EQUAL(host_connect(&fix.client[1]), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(host_publish(&fix.client[1], "/devices/pump-2/attach", "{}"), MOSQ_ERR_SUCCESS);
	CU_ASSERT_EQUAL(clients_find(&host.plugin->clients, &fix.client[1])->child_count, 0);
}

UNIT_MAIN("broker/identities", begin, end, {"secret", test_secret}, {"no_key_no_entry", test_no_key_no_entry},
	  {"no_number", test_no_number}, {"secrets_refused", test_secrets_refused},
	  {"secret_of_another_name", test_secret_of_another_name}, {"secret_revoked", test_secret_revoked},
	  {"client_ids", test_client_ids}, {"token", test_token}, {"token_ends", test_token_ends},
	  {"key_ends", test_key_ends}, {"connected_once", test_connected_once}, {"attach", test_attach},
	  {"attach_bound", test_attach_bound}, {"attach_refused", test_attach_refused})
