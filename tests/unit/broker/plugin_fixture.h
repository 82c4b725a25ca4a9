/*
 * Around each test of the plugin: a registry with three devices under the policy
 * below, their certificates, and the plugin started on it in the host.
 */
#ifndef IOTCTL_TEST_PLUGIN_FIXTURE_H
#define IOTCTL_TEST_PLUGIN_FIXTURE_H

#include "plugin_host.h"
#include "unit.h"

#include "iotctl/clock.h"
#include "iotctl/key.h"

#include <unistd.h>

#define DEVICES 4 /* the last one is not registered */
#define DAY INT64_C(86400000)

#define ARN "arn:aws:iot:*:*:"
#define ALLOW(actions, resources) "{\"Effect\":\"Allow\",\"Action\":[" actions "],\"Resource\":[" resources "]}"
#define DOCUMENT(statements) "{\"Version\":\"2012-10-17\",\"Statement\":[" statements "]}"

static const char device_policy[] =
	DOCUMENT(ALLOW("\"iot:Connect\"", "\"" ARN "client/${iot:Connection.Thing.ThingName}\"") "," ALLOW(
		"\"iot:Publish\"",
		"\"" ARN "topic/dev/${iot:ClientId}/*\",\"" ARN
		"topic/x/*\",\"" ARN "topic/$*\"") "," ALLOW("\"iot:Receive\"",
							     "\"" ARN "topic/dev/${iot:ClientId}/*\",\"" ARN
							     "topic/$*\"") "," ALLOW("\"iot:RetainPublish\"",
										     "\"" ARN
										     "topic/dev/${iot:ClientId}/"
										     "state\"") "," ALLOW("\"iot:"
													  "Subscribe\"",
													  "\"" ARN
													  "topicfilter/"
													  "dev/"
													  "*\",\"" ARN
													  "topicfilter/"
													  "$*\"") ","
														  "{\"S"
														  "id\""
														  ":\"N"
														  "oSec"
														  "rets"
														  "\","
														  "\"Ef"
														  "fect"
														  "\":"
														  "\"De"
														  "ny\""
														  ",\"A"
														  "ctio"
														  "n\":"
														  "[\"i"
														  "ot:"
														  "Publ"
														  "ish"
														  "\","
														  "\"io"
														  "t:"
														  "Subs"
														  "crib"
														  "e\"]"
														  ","
														  "\"Re"
														  "sour"
														  "ce\""
														  ":["
														  "\"" ARN
														  "topi"
														  "c/"
														  "dev/"
														  "*/"
														  "secr"
														  "et\""
														  ","
														  "\"" ARN
														  "topi"
														  "cfil"
														  "ter/"
														  "dev/"
														  "secr"
														  "ets/"
														  "*\"]"
														  "}");

static struct {
	char *dir, registry[256];
	struct iot_store *store;
	X509 *x509[DEVICES];
	char id[DEVICES][IOT_SHA256_HEX_SIZE];
	struct mosquitto client[DEVICES];
	struct mosquitto admin;
} fix;

static const char *const device_name[DEVICES] = {"pump-1", "pump-2", "pump-3", "pump-4"};

#define SQL(sql, ...)                                                                                                  \
	do {                                                                                                           \
		struct iot_error e_ = IOT_ERROR_INIT;                                                                  \
		ASSERT_OK(iot_store_run(fix.store, NULL, &e_, sql, __VA_ARGS__), &e_);                                 \
	} while (0)

static inline void fixture_certificates(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_key *key = NULL;
	struct iot_cert *root = NULL;

	ASSERT_OK(iot_key_generate(IOT_KEY_P256, &key, &err), &err);
	ASSERT_OK(iot_ca_create_root(key, "Unit Root", 30, &root, &err), &err);
	for (int i = 0; i < DEVICES; i++) {
		const struct iot_cert_request request = {
			.profile = IOT_PROFILE_DEVICE, .common_name = device_name[i], .key = key, .days = 20};
		struct iot_buf der = IOT_BUF_INIT(IOT_CERT_DER_MAX);
		struct iot_cert *cert = NULL;
		const unsigned char *at;

		ASSERT_OK(iot_cert_issue(key, root, &request, &cert, &err), &err);
		iot_cert_der(cert, &der);
		at = (const unsigned char *)der.data;
		fix.x509[i] = d2i_X509(NULL, &at, (long)der.len);
		memcpy(fix.id[i], iot_cert_id(cert), sizeof(fix.id[i]));
		iot_buf_release(&der);
		iot_cert_free(cert);
	}
	iot_cert_free(root);
	iot_key_free(key);
}

static inline void fixture_policy(int64_t id, const char *name, const char *document)
{
	SQL("INSERT INTO policies VALUES (?1, ?2, 1, 2, 0, 0)", "is", id, name);
	SQL("INSERT INTO policy_versions (policy_id, version, document, created_at) VALUES (?1, 1, ?2, ?3)", "isi", id,
	    document, iot_now_ms());
}

static inline void fixture_registry(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	int64_t now = iot_now_ms();

	ASSERT_OK(iot_store_open(fix.registry, &iot_registry_schema, IOT_STORE_CREATE, &fix.store, &err), &err);
	if (fix.store == NULL)
		abort();
	fixture_policy(1, "device", device_policy);
	for (int i = 0; i < DEVICES - 1; i++) {
		SQL("INSERT INTO things (id, name, uuid, attributes, created_at)"
		    " VALUES (?1, ?2, 'u', '{\"site\":\"north\"}', 0)",
		    "is", (int64_t)i + 1, device_name[i]);
		SQL("INSERT INTO certificates (id, pem, status, key_id, not_before, not_after, created_at, modified_at)"
		    " VALUES (?1, '', 'ACTIVE', 'k', 0, ?2, 0, 0)",
		    "si", fix.id[i], now + DAY);
		SQL("INSERT INTO thing_principals (thing_id, certificate_id) VALUES (?1, ?2)", "is", (int64_t)i + 1,
		    fix.id[i]);
		SQL("INSERT INTO policy_attachments (policy_id, certificate_id) VALUES (1, ?1)", "s", fix.id[i]);
	}
}

static inline void fixture_clients(void)
{
	for (int i = 0; i < DEVICES; i++)
		fix.client[i] = (struct mosquitto){.id = device_name[i],
						   .address = "192.0.2.7",
						   .x509 = fix.x509[i],
						   .clean = true,
						   .protocol = 4};
	fix.admin = (struct mosquitto){.id = "serve", .address = HOST_SOCKET, .clean = true, .protocol = 5};
}

static inline void set_up(void)
{
	fix.dir = unit_mkdtemp();
	snprintf(fix.registry, sizeof(fix.registry), "%s/registry.db", fix.dir);
	fixture_certificates();
	fixture_registry();
	fixture_clients();
	CU_ASSERT_EQUAL(host_start(fix.registry, HOST_SOCKET, NULL), MOSQ_ERR_SUCCESS);
	if (host.plugin == NULL)
		abort();
}

static inline void tear_down(void)
{
	CU_ASSERT_FALSE(host.kicked_inside);
	host_stop();
	iot_store_close_p(&fix.store);
	for (int i = 0; i < DEVICES; i++)
		X509_free(fix.x509[i]);
	if (iot_fs_remove_tree(fix.dir, NULL) != IOT_OK)
		abort();
	free(fix.dir);
	iot_clock_freeze(0);
	memset(&fix, 0, sizeof(fix));
}

/* Ticks until the registry has been looked at once more, and its records are read again. */
static inline void tick_refresh(void)
{
	host.plugin->next_refresh = 0;
	host_tick();
}

static inline int publish(struct mosquitto *client, const char *topic)
{
	return host_acl(client, MOSQ_ACL_WRITE, topic, 10, 1, false);
}

/* The nth message published on a topic that ends so, counted from the last; NULL: none. */
static inline const struct host_message *published(const char *topic, int from_last)
{
	for (int i = host.published_count - 1; i >= 0 && i > host.published_count - HOST_PUBLISHED; i--) {
		const struct host_message *message = &host.published[i % HOST_PUBLISHED];

		if (strcmp(message->topic, topic) == 0 && from_last-- == 0)
			return message;
	}
	return NULL;
}

static inline const char *last_event(const char *kind)
{
	char topic[64];
	const struct host_message *message;

	snprintf(topic, sizeof(topic), IOT_EVENT_PREFIX "%s", kind);
	message = published(topic, 0);
	return message == NULL ? "" : message->payload;
}

#endif
