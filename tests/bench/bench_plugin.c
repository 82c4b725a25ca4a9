/*
 * How long the broker plugin takes to decide, with many devices (100,000) and 100
 * policies in the registry: publishes and deliveries (from memory), connects and
 * the reading again of many (10,000) live records (from the registry). Prints one
 * line per figure. bench_plugin [DEVICES [LIVE]]
 */
#include "plugin_host.h"

#include "bench.h"

#include "iotctl/fs.h"
#include "iotctl/key.h"

#include <malloc.h>
#include <time.h>
#include <unistd.h>

#define POLICIES 100
#define LIVE_MAX 10000
#define ROUNDS 5
#define DECISIONS 200000

static struct iot_store *store;
static struct iot_error err = IOT_ERROR_INIT;
static X509 *x509;
static char certificate_id[IOT_SHA256_HEX_SIZE];
static int devices = 100000, live = LIVE_MAX;

static void must(enum iot_status status)
{
	char line[1024];

	if (status == IOT_OK)
		return;
	fprintf(stderr, "%s\n", iot_error_line(&err, line, sizeof(line)));
	exit(1);
}

#define SQL(sql, ...) must(iot_store_run(store, NULL, &err, sql, __VA_ARGS__))

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int64_t median(int64_t values[ROUNDS])
{
	qsort(values, ROUNDS, sizeof(values[0]), compare);
	return values[ROUNDS / 2];
}

static void make_certificate(void)
{
	struct iot_key *key = NULL;
	struct iot_cert *root = NULL, *cert = NULL;
	struct iot_cert_request request = {.profile = IOT_PROFILE_DEVICE, .common_name = "pump-0", .days = 20};
	struct iot_buf der = IOT_BUF_INIT(IOT_CERT_DER_MAX);
	const unsigned char *at;

	must(iot_key_generate(IOT_KEY_P256, &key, &err));
	must(iot_ca_create_root(key, "Bench Root", 30, &root, &err));
	request.key = key;
	must(iot_cert_issue(key, root, &request, &cert, &err));
	iot_cert_der(cert, &der);
	at = (const unsigned char *)der.data;
	x509 = d2i_X509(NULL, &at, (long)der.len);
	memcpy(certificate_id, iot_cert_id(cert), sizeof(certificate_id));
	iot_buf_release(&der);
	iot_cert_free(cert);
	iot_cert_free(root);
	iot_key_free(key);
}

static void add_device(int64_t i, const char *id)
{
	char name[32];

	snprintf(name, sizeof(name), "pump-%d", (int)i);
	SQL("INSERT INTO things (id, name, uuid, created_at) VALUES (?1, ?2, 'u', 0)", "is", i + 1, name);
	SQL("INSERT INTO certificates (id, pem, status, key_id, not_before, not_after, created_at, modified_at)"
	    " VALUES (?1, '', 'ACTIVE', 'k', 0, 9000000000000, 0, 0)",
	    "s", id);
	SQL("INSERT INTO thing_principals (thing_id, certificate_id) VALUES (?1, ?2)", "is", i + 1, id);
	SQL("INSERT INTO policy_attachments (policy_id, certificate_id) VALUES (?1, ?2)", "is", i % POLICIES + 1, id);
}

static void fill(const char *path)
{
	struct iot_buf document = IOT_BUF_INIT(65536);

	must(iot_store_open(path, &iot_registry_schema, IOT_STORE_CREATE, &store, &err));
	must(iot_store_begin(store, &err));
	iot_policy_device_default(&document);
	for (int64_t i = 0; i < POLICIES; i++) {
		char name[32];

		snprintf(name, sizeof(name), "device-%d", (int)i);
		SQL("INSERT INTO policies VALUES (?1, ?2, 1, 2, 0, 0)", "is", i + 1, name);
		SQL("INSERT INTO policy_versions (policy_id, version, document, created_at) VALUES (?1, 1, ?2, 0)",
		    "is", i + 1, iot_buf_str(&document));
	}
	iot_buf_release(&document);
	/* For the many connections of the one real certificate below. */
	SQL("INSERT INTO policies VALUES (?1, 'any', 1, 2, 0, 0)", "i", INT64_C(POLICIES + 1));
	SQL("INSERT INTO policy_versions (policy_id, version, document, created_at) VALUES (?1, 1, ?2, 0)", "is",
	    INT64_C(POLICIES + 1),
	    "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"iot:Connect\","
	    "\"Resource\":\"arn:aws:iot:*:*:client/pump-*\"}]}");
	for (int64_t i = 0; i < devices; i++) {
		char id[IOT_SHA256_HEX_SIZE];

		snprintf(id, sizeof(id), "%064d", (int)i);
		add_device(i, i == 0 ? certificate_id : id);
	}
	SQL("INSERT INTO policy_attachments (policy_id, certificate_id) VALUES (?1, ?2)", "is", INT64_C(POLICIES + 1),
	    certificate_id);
	must(iot_store_commit(store, &err));
}

static void connect_one(struct mosquitto *client, char *id)
{
	struct mosquitto_evt_basic_auth auth = {.client = client};

	*client = (struct mosquitto){.id = id, .address = "192.0.2.7", .x509 = x509, .clean = true, .protocol = 4};
	if (host_raise(MOSQ_EVT_BASIC_AUTH, &auth) != MOSQ_ERR_SUCCESS) {
		fprintf(stderr, "refused: %s\n", host.log);
		exit(1);
	}
}

static int64_t time_decisions(struct mosquitto *client, int access, const char *topic, int expected)
{
	int64_t rounds[ROUNDS];

	for (int round = 0; round < ROUNDS; round++) {
		int64_t start = now_ns();

		for (int i = 0; i < DECISIONS; i++) {
			if (host_acl(client, access, topic, 100, 1, false) != expected) {
				fprintf(stderr, "'%s' was decided otherwise: %s\n", topic, host.log);
				exit(1);
			}
		}
		rounds[round] = (now_ns() - start) / DECISIONS;
	}
	return median(rounds);
}

/* The longest tick, and the time until the last record was read again. */
static void time_reload(void)
{
	int64_t start = now_ns(), longest = 0, work = 0;

	SQL("UPDATE certificates SET status = 'INACTIVE' WHERE id = ?1", "s", "nobody");
	SQL("UPDATE epoch SET value = value + ?1", "i", INT64_C(1));
	for (;;) {
		int64_t tick = now_ns();
		const struct client *oldest;

		host_tick();
		tick = now_ns() - tick;
		work += tick;
		longest = tick > longest ? tick : longest;
		oldest = LINK_OWNER(host.plugin->clients.by_age.next, struct client, age);
		if (registry_generation(host.plugin->registry) > 1 &&
		    oldest->generation == registry_generation(host.plugin->registry))
			break;
		usleep(1000);
	}
	printf("reload of %d live records: %.1f ms after the change, %.1f ms of work, longest tick %.1f ms\n", live,
	       (double)(now_ns() - start) / 1e6, (double)work / 1e6, (double)longest / 1e6);
}

int main(int argc, char **argv)
{
	char dir[] = "/tmp/iotctl-bench-XXXXXX", path[64];
	static struct mosquitto clients[LIVE_MAX];
	static char ids[LIVE_MAX][16];
	int64_t start, before;

	if (argc > 1)
		devices = bench_number(argv[1]);
	if (argc > 2)
		live = bench_number(argv[2]);
	if (live > devices || live > LIVE_MAX) {
		fprintf(stderr, "at most %d devices, and no more than there are, can be live\n", LIVE_MAX);
		return 2;
	}
	if (mkdtemp(dir) == NULL)
		return 1;
	snprintf(path, sizeof(path), "%s/registry.db", dir);
	make_certificate();
	fill(path);
	if (host_start(path, HOST_SOCKET, NULL) != MOSQ_ERR_SUCCESS) {
		fprintf(stderr, "%s\n", host.log);
		return 1;
	}
	before = (int64_t)mallinfo2().uordblks;
	start = now_ns();
	for (int i = 0; i < live; i++) {
		snprintf(ids[i], sizeof(ids[i]), "pump-%d", i);
		connect_one(&clients[i], ids[i]);
		if (i % 100 == 0)
			host_tick();
	}
	printf("connect: %.1f us\n", (double)(now_ns() - start) / live / 1e3);
	host_tick();
	host_forget_published();
	printf("memory: %lld bytes a client\n", (long long)((int64_t)mallinfo2().uordblks - before) / live);
	printf("publish, allowed: %lld ns\n",
	       (long long)time_decisions(&clients[0], MOSQ_ACL_WRITE, "$aws/things/pump-0/jobs/start-next",
					 MOSQ_ERR_SUCCESS));
	printf("delivery, allowed: %lld ns\n",
	       (long long)time_decisions(&clients[0], MOSQ_ACL_READ, "$aws/things/pump-0/jobs/notify-next",
					 MOSQ_ERR_SUCCESS));
	printf("delivery, denied: %lld ns\n",
	       (long long)time_decisions(&clients[0], MOSQ_ACL_READ, "other/pump-0", MOSQ_ERR_ACL_DENIED));
	time_reload();
	host_stop();
	iot_store_close(store);
	X509_free(x509);
	return iot_fs_remove_tree(dir, &err) == IOT_OK ? 0 : 1;
}
