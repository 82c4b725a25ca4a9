/*
 * The records of connections. They are found by the broker's struct mosquitto
 * pointer, because a client that takes another's place authenticates while the
 * older connection still lives, under the same client id; and by name (the
 * client id, or the end of one that names a device as a path) for what serve asks for. A record outlives its connection
 * as long as the broker may still ask about it: for the will, and for messages to a session that waits.
 */
#include "plugin.h"

#include "iotctl/base.h"

#include <string.h>

#define FIRST_BUCKETS 64

static size_t hash_handle(const struct mosquitto *handle)
{
	uint64_t value = (uint64_t)(uintptr_t)handle;

	value ^= value >> 33;
	value *= UINT64_C(0xff51afd7ed558ccd);
	return (size_t)(value ^ value >> 33);
}

static size_t hash_id(const char *id)
{
	uint64_t value = UINT64_C(14695981039346656037);

	for (; *id != '\0'; id++)
		value = (value ^ (unsigned char)*id) * UINT64_C(1099511628211);
	return (size_t)(value ^ value >> 32);
}

/* --- identity ------------------------------------------------------------------ */

static const char *const part_prefix[] = {
	[IOT_CERT_SUBJECT] = "Subject.",
	[IOT_CERT_ISSUER] = "Issuer.",
	[IOT_CERT_ALTERNATIVE] = "Subject.AlternativeName.",
};

/* Memory for the strings of a certificate, and their number. */
static size_t identity_size(const struct iot_cert *cert, size_t *ret_count)
{
	size_t size = strlen(iot_cert_serial(cert)) + 1;

	*ret_count = 0;
	for (size_t part = 0; part < IOT_LENGTH(part_prefix); part++) {
		size_t count = iot_cert_field_count(cert, (enum iot_cert_part)part);

		for (size_t i = 0; i < count; i++) {
			struct iot_cert_field field = iot_cert_field(cert, (enum iot_cert_part)part, i);

			size += strlen(part_prefix[part]) + strlen(field.name) + 1 + strlen(field.value) + 1;
		}
		*ret_count += count;
	}
	return size;
}

/* Append the NUL-terminated text a followed by b at *at. */
static const char *place(char **at, const char *a, const char *b)
{
	char *start = *at;

	*at = stpcpy(stpcpy(start, a), b) + 1;
	return start;
}

struct identity *identity_new(const struct iot_cert *cert)
{
	struct identity *identity;
	size_t count, size = identity_size(cert, &count);
	char *at;

	identity = iot_alloc(sizeof(*identity) + count * sizeof(identity->fields[0]) + size);
	at = (char *)&identity->fields[count];
	memcpy(identity->certificate_id, iot_cert_id(cert), sizeof(identity->certificate_id));
	identity->serial = place(&at, "", iot_cert_serial(cert));
	for (size_t part = 0; part < IOT_LENGTH(part_prefix); part++) {
		count = iot_cert_field_count(cert, (enum iot_cert_part)part);
		for (size_t i = 0; i < count; i++) {
			struct iot_cert_field field = iot_cert_field(cert, (enum iot_cert_part)part, i);
			struct iot_policy_field *to = &identity->fields[identity->field_count++];

			to->name = place(&at, part_prefix[part], field.name);
			to->value = place(&at, "", field.value);
		}
	}
	return identity;
}

struct identity *identity_new_thing(enum identity_kind kind, const char *thing, const char *with)
{
	struct identity *identity = iot_alloc(sizeof(*identity) + strlen(thing) + strlen(with) + 2);
	char *at = (char *)&identity->fields[0];

	identity->kind = kind;
	identity->thing = place(&at, "", thing);
	identity->with = place(&at, "", with);
	return identity;
}

/* --- the two indexes ------------------------------------------------------------- */

void clients_init(struct clients *clients)
{
	*clients = (struct clients){.buckets = FIRST_BUCKETS};
	clients->by_handle = iot_alloc_array(clients->buckets, sizeof(void *));
	clients->by_id = iot_alloc_array(clients->buckets, sizeof(void *));
	link_init(&clients->by_age);
	link_init(&clients->doomed);
	link_init(&clients->gone);
	link_init(&clients->offline);
}

static void index_add(struct clients *clients, struct client *client)
{
	struct client **handle = &clients->by_handle[hash_handle(client->handle) & (clients->buckets - 1)];
	struct client **id = &clients->by_id[hash_id(client->name) & (clients->buckets - 1)];

	client->next_by_handle = *handle;
	*handle = client;
	client->next_by_id = *id;
	*id = client;
}

static void index_remove(struct clients *clients, struct client *client)
{
	struct client **at = &clients->by_handle[hash_handle(client->handle) & (clients->buckets - 1)];

	while (*at != client)
		at = &(*at)->next_by_handle;
	*at = client->next_by_handle;
	at = &clients->by_id[hash_id(client->name) & (clients->buckets - 1)];
	while (*at != client)
		at = &(*at)->next_by_id;
	*at = client->next_by_id;
}

static void index_grow(struct clients *clients)
{
	struct client **old = clients->by_handle;
	size_t old_buckets = clients->buckets;

	clients->buckets *= 2;
	clients->by_handle = iot_alloc_array(clients->buckets, sizeof(void *));
	free(clients->by_id);
	clients->by_id = iot_alloc_array(clients->buckets, sizeof(void *));
	for (size_t i = 0; i < old_buckets; i++) {
		struct client *next;

		for (struct client *client = old[i]; client != NULL; client = next) {
			next = client->next_by_handle;
			index_add(clients, client);
		}
	}
	free(old);
}

struct client *clients_find(const struct clients *clients, const struct mosquitto *handle)
{
	struct client *client = clients->by_handle[hash_handle(handle) & (clients->buckets - 1)];

	while (client != NULL && client->handle != handle)
		client = client->next_by_handle;
	return client;
}

struct client *clients_find_id(const struct clients *clients, const char *id)
{
	struct client *client = clients->by_id[hash_id(id) & (clients->buckets - 1)];
	struct client *newest = NULL;

	for (; client != NULL; client = client->next_by_id) {
		if (!client->connected || strcmp(client->name, id) != 0)
			continue;
		if (newest == NULL || client->connection > newest->connection)
			newest = client;
	}
	return newest;
}

struct client *clients_find_other(const struct clients *clients, const struct client *client)
{
	struct client *at = clients->by_id[hash_id(client->name) & (clients->buckets - 1)];

	while (at != NULL && (!at->connected || client_is_admin(at) || at->reason != NULL ||
			      strcmp(at->name, client->name) != 0 || strcmp(at->id, client->id) == 0))
		at = at->next_by_id;
	return at;
}

/* --- life of a record -------------------------------------------------------------- */

struct client *clients_add(struct clients *clients, struct mosquitto *handle, const char *id, struct identity *identity)
{
	struct client *client = iot_alloc(sizeof(*client));

	client->handle = handle;
	client->id = iot_strdup(id);
	client->bridge = identity != NULL && identity->kind == IDENTITY_TOKEN;
	client->name = client->bridge ? token_device(client->id, NULL, NULL) : client->id;
	client->identity = identity;
	client->connected = true;
	client->authorised = true;
	link_init(&client->age);
	link_init(&client->state);
	if (clients->count >= clients->buckets)
		index_grow(clients);
	index_add(clients, client);
	clients->count++;
	if (!client_is_admin(client)) {
		link_append(&clients->by_age, &client->age);
		clients->connected++;
	}
	return client;
}

static void set_not_offline(struct clients *clients, struct client *client)
{
	if (client->offline)
		clients->offline_count--;
	client->offline = false;
}

static void set_away(struct clients *clients, struct client *client)
{
	if (client->connected && !client_is_admin(client))
		clients->connected--;
	client->connected = false;
}

void clients_remove(struct clients *clients, struct client *client)
{
	set_away(clients, client);
	set_not_offline(clients, client);
	index_remove(clients, client);
	link_remove(&client->age);
	link_remove(&client->state);
	clients->count--;
	grant_release(&client->grant);
	bridge_release(client);
	free(client->identity);
	free(client->id);
	free(client);
}

void clients_leave(struct clients *clients, struct client *client, bool session_stays)
{
	set_away(clients, client);
	if (!session_stays) {
		link_append(&clients->gone, &client->state);
		return;
	}
	link_append(&clients->offline, &client->state);
	client->offline = true;
	if (++clients->offline_count > CLIENTS_OFFLINE_MAX)
		clients_remove(clients, LINK_OWNER(clients->offline.next, struct client, state));
}

void clients_supersede(struct clients *clients, struct client *client)
{
	struct client *at = clients->by_id[hash_id(client->name) & (clients->buckets - 1)];

	for (; at != NULL; at = at->next_by_id) {
		if (at == client || at->connected || strcmp(at->name, client->name) != 0)
			continue;
		set_not_offline(clients, at);
		link_append(&clients->gone, &at->state);
	}
}

void clients_bury(struct clients *clients)
{
	while (!link_empty(&clients->gone))
		clients_remove(clients, LINK_OWNER(clients->gone.next, struct client, state));
}

void clients_release(struct clients *clients)
{
	for (size_t i = 0; clients->by_handle != NULL && i < clients->buckets; i++)
		while (clients->by_handle[i] != NULL)
			clients_remove(clients, clients->by_handle[i]); /* NOLINT(clang-analyzer-unix.Malloc): unlinks it */
	free(clients->by_handle);
	free(clients->by_id);
	clients->by_handle = clients->by_id = NULL;
}
