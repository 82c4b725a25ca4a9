/*
 * Many devices into a fleet's registry at once: bench_fill REGISTRY COUNT. Each has a
 * type, an attribute, an ACTIVE certificate with the fleet's first policy, and a
 * state that it reported. They are rows that nobody connects with: the certificates
 * are all the same text under ids of their own.
 */
#include "bench.h"

#include "iotctl/store.h"

#include <inttypes.h>

static struct iot_store *store;
static struct iot_error err = IOT_ERROR_INIT;

#define SQL(sql, ...) bench_must(iot_store_run(store, NULL, &err, sql, __VA_ARGS__), &err)

/* About as long as a device certificate on P-256. */
static void make_pem(char out[900])
{
	int len = snprintf(out, 900, "-----BEGIN CERTIFICATE-----\n");

	for (int line = 0; line < 12; line++)
		len += snprintf(out + len, 900 - (size_t)len, "%064d\n", 0);
	snprintf(out + len, 900 - (size_t)len, "-----END CERTIFICATE-----\n");
}

static void add_device(int64_t i, const char *pem)
{
	char name[32], id[65], attributes[64];

	snprintf(name, sizeof(name), "bench-%06" PRId64, i);
	snprintf(attributes, sizeof(attributes), "{\"batch\":\"%" PRId64 "\"}", i / 1000);
	snprintf(id, sizeof(id), "%064" PRId64, i);
	SQL("INSERT INTO things (name, uuid, type_id, attributes, created_at)"
	    " VALUES (?1, ?2, (SELECT id FROM types WHERE name = 'bench'), ?3, 0)",
	    "sss", name, "00000000-0000-4000-8000-000000000000", attributes);
	SQL("INSERT INTO certificates (id, pem, status, key_id, not_before, not_after, created_at, modified_at)"
	    " VALUES (?1, ?2, 'ACTIVE', ?1, 0, 9000000000000, 0, 0)",
	    "ss", id, pem);
	SQL("INSERT INTO thing_principals (thing_id, certificate_id)"
	    " SELECT id, ?2 FROM things WHERE name = ?1",
	    "ss", name, id);
	SQL("INSERT INTO policy_attachments (policy_id, certificate_id) SELECT min(id), ?1 FROM policies", "s", id);
	SQL("INSERT INTO device_state (thing_id, firmware, state, reported_at)"
	    " SELECT id, '1.0.0', '{\"firmware\":\"1.0.0\"}', 0 FROM things WHERE name = ?1",
	    "s", name);
	SQL("INSERT INTO presence (client_id, connected, connection, changed_at) VALUES (?1, 0, ?2, 0)", "si", name, i);
}

int main(int argc, char **argv)
{
	char pem[900];
	int count;

	if (argc != 3) {
		fprintf(stderr, "usage: bench_fill REGISTRY COUNT\n");
		return 2;
	}
	count = bench_number(argv[2]);
	make_pem(pem);
	bench_must(iot_store_open(argv[1], &iot_registry_schema, IOT_STORE_WRITE, &store, &err), &err);
	bench_must(iot_store_begin(store, &err), &err);
	SQL("INSERT INTO types (name, uuid, created_at) VALUES ('bench', ?1, 0)", "s",
	    "00000000-0000-4000-8000-000000000001");
	for (int64_t i = 0; i < count; i++)
		add_device(i, pem);
	bench_must(iot_store_commit(store, &err), &err);
	iot_store_close(store);
	return 0;
}
