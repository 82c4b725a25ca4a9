/*
 * TLS-PSK: keys for the broker's handshakes, from the registry, and which
 * connection is whose. The broker asks for a key while the handshake goes on and
 * tells nobody later whether it was used: a TLS session that is resumed, by
 * ticket or by id, needs no key at all, and would get in with a revoked one. So
 * only a connection that a key was handed out for is anybody's.
 *
 * Which connection, is not told by the broker's handle of it: a handshake that
 * fails while it is accepted is freed without a word, and the next connection
 * has its memory. So an entry is known by the number of its TLS connection (tls.h): what
 * was read last when a key is asked for is of that handshake, and when the
 * client says who it is, that word itself.
 */
#include "plugin.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/text.h"
#include "iotctl/tls.h"

#include <ctype.h>
#include <string.h>

struct handshake {
	struct link bucket, age;
	uint64_t tls;     /* number of the connection */
	int64_t deadline; /* monotonic ms */
	struct identity *identity;
};

static struct link *bucket_of(struct handshakes *handshakes, uint64_t tls)
{
	return &handshakes->buckets[tls & (HANDSHAKE_BUCKETS - 1)];
}

static void drop(struct handshakes *handshakes, struct handshake *handshake)
{
	link_remove(&handshake->bucket);
	link_remove(&handshake->age);
	handshakes->count--;
	free(handshake->identity);
	free(handshake);
}

static struct handshake *first(const struct handshakes *handshakes)
{
	const struct link *list = &handshakes->by_age;

	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): a freed one was unlinked */
	return link_empty(list) ? NULL : LINK_OWNER(list->next, struct handshake, age);
}

void handshakes_init(struct handshakes *handshakes)
{
	for (size_t i = 0; i < HANDSHAKE_BUCKETS; i++)
		link_init(&handshakes->buckets[i]);
	link_init(&handshakes->by_age);
	handshakes->count = 0;
}

void handshakes_release(struct handshakes *handshakes)
{
	struct handshake *handshake;

	while ((handshake = first(handshakes)) != NULL)
		drop(handshakes, handshake);
}

/* That of the connection which was read from last. */
static struct handshake *find(struct handshakes *handshakes)
{
	uint64_t tls = iot_tls_current();
	struct link *list = bucket_of(handshakes, tls);

	for (struct link *at = list->next; at != list; at = at->next) {
		struct handshake *handshake = LINK_OWNER(at, struct handshake, bucket);

		if (handshake->tls == tls)
			return handshake;
	}
	return NULL;
}

void secrets_sweep(struct plugin *plugin)
{
	int64_t now;
	struct handshake *handshake;

	if (plugin->handshakes.count == 0)
		return;
	now = iot_monotonic_ms();
	while ((handshake = first(&plugin->handshakes)) != NULL && handshake->deadline <= now)
		drop(&plugin->handshakes, handshake);
}

static void remember(struct plugin *plugin, const struct iot_psk *psk)
{
	struct handshakes *handshakes = &plugin->handshakes;
	struct handshake *handshake = iot_alloc(sizeof(*handshake));

	if (handshakes->count == HANDSHAKES_MAX)
		drop(handshakes, first(handshakes));
	handshake->tls = iot_tls_current();
	handshake->deadline = iot_deadline(HANDSHAKE_MS);
	handshake->identity = identity_new_thing(IDENTITY_PSK, psk->thing, "");
	handshake->identity->psk_id = psk->id;
	link_init(&handshake->bucket);
	link_init(&handshake->age);
	link_append(bucket_of(handshakes, handshake->tls), &handshake->bucket);
	link_append(&handshakes->by_age, &handshake->age);
	handshakes->count++;
}

struct identity *secret_take(struct plugin *plugin)
{
	struct handshake *handshake = find(&plugin->handshakes);
	struct identity *identity = NULL;

	if (handshake == NULL)
		return NULL;
	if (handshake->deadline > iot_monotonic_ms())
		identity = iot_take(handshake->identity);
	drop(&plugin->handshakes, handshake);
	return identity;
}

/* --- keys ------------------------------------------------------------------------------ */

static void wipe_seal(uint8_t (*seal)[IOT_SEAL_KEY_SIZE])
{
	iot_wipe(*seal, sizeof(*seal));
}

static enum iot_status read_secret(struct plugin *plugin, const char *identity, struct iot_psk *ret,
				   struct iot_error *err)
{
	IOT_CLEAN(wipe_seal) uint8_t seal[IOT_SEAL_KEY_SIZE] = {0};
	struct iot_store *store = NULL;
	enum iot_status status = IOT_OK;

	if (plugin->sealing_key == NULL || plugin->staging || plugin->closed)
		return iot_fail(err, IOT_DENIED, "nobody gets in with a shared secret");
	if (iot_tls_current() == 0)
		return iot_fail(err, IOT_FAILURE, "the broker's TLS does not tell whose handshake it is");
	status = registry_store(plugin->registry, &store, err);
	/* Read each time: it is made with the fleet's first secret, and does not lie about in our memory. */
	if (status == IOT_OK && iot_seal_key_read(plugin->sealing_key, seal, err) != IOT_OK)
		status = IOT_FAILURE;
	if (status == IOT_OK)
		status = iot_psk_find(store, seal, identity, strlen(identity), ret, err);
	return status;
}

/* Anybody may send anything as an identity. */
static const char *shown(const char *identity, char out[IOT_PSK_IDENTITY_MAX + 4])
{
	size_t len = strnlen(identity, IOT_PSK_IDENTITY_MAX + 1);

	snprintf(out, IOT_PSK_IDENTITY_MAX + 4, "%.*s%s", IOT_PSK_IDENTITY_MAX, identity,
		 len > IOT_PSK_IDENTITY_MAX ? "..." : "");
	for (char *at = out; *at != '\0'; at++)
		if (!isgraph((unsigned char)*at))
			*at = '?';
	return out;
}

static bool is_text(const char *identity)
{
	while (isgraph((unsigned char)*identity))
		identity++;
	return *identity == '\0';
}

static void report(struct plugin *plugin, const char *identity, enum iot_status status, const struct iot_error *err)
{
	char name[IOT_PSK_IDENTITY_MAX + 4];
	struct denial denial = {.client_id = "",
				.action = iot_policy_action_name(IOT_POLICY_CONNECT),
				.kind = "psk/",
				.resource = shown(identity, name)};

	/* What an error says of an unknown identity repeats it as it came. */
	snprintf(denial.reason, sizeof(denial.reason), "%s",
		 status == IOT_NOT_FOUND ? "there is no such PSK identity" : err->what);
	event_denied(&plugin->events, NULL, &denial);
}

int secret_hand_out(struct plugin *plugin, struct mosquitto_evt_psk_key *event)
{
	IOT_CLEAN(iot_psk_wipe) struct iot_psk psk = {0};
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status;

	free(secret_take(plugin)); /* it asks again: the last identity that is shown is the one */
	if (event->identity == NULL || event->key == NULL)
		return MOSQ_ERR_AUTH;
	status = read_secret(plugin, event->identity, &psk, &err);
	if (status == IOT_OK && (size_t)event->max_key_len < 2 * psk.key_len + 1)
		status = iot_fail(&err, IOT_FAILURE, "the broker takes no keys of %zu bytes", psk.key_len);
	/* A ticket of TLS 1.3 comes as an identity too: what it is refused for shows later. */
	if (status != IOT_OK && (status != IOT_NOT_FOUND || is_text(event->identity)))
		report(plugin, event->identity, status, &err);
	if (status != IOT_OK)
		return MOSQ_ERR_AUTH;
	iot_hex(psk.key, psk.key_len, event->key);
	remember(plugin, &psk);
	return MOSQ_ERR_SUCCESS;
}
