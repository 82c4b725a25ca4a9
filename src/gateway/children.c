/*
 * Whom the gateway lets in, by the registry (source.c). Records of children are
 * kept as long as its epoch stands still; when it moves, every live session is judged
 * again. A registry that cannot be read for two seconds lets nobody in.
 */
#include "gateway/gateway.h"

#include "iotctl/base.h"
#include "iotctl/children.h"
#include "iotctl/clock.h"
#include "iotctl/log.h"

#include <string.h>

enum { LOOK_MS = 100, BLIND_MS = 2000, LAYOUT_MS = 1000 };

/* --- keys ---------------------------------------------------------------------------------- */

size_t gateway_key(struct iot_psk_link *link, const char *identity, uint8_t *key, void *data)
{
	struct gateway *gateway = data;
	IOT_CLEAN(iot_psk_wipe) struct iot_psk psk = {0};
	struct iot_error err = IOT_ERROR_INIT;
	struct session *session;
	struct child *child;
	enum iot_status status;

	if (gateway->blind)
		return 0;
	status = iot_psk_find(gateway->store, gateway->seal, identity, strlen(identity), &psk, &err);
	if (status == IOT_OK)
		status = gateway_child(gateway, psk.thing, &child, &err);
	if (status != IOT_OK) {
		char line[512];

		gateway_event(gateway, "denied", identity, "%s", iot_error_line(&err, line, sizeof(line)));
		return 0;
	}
	session = iot_psk_link_user(link);
	if (session == NULL) {
		session = iot_alloc(sizeof(*session));
		iot_psk_link_set_user(link, session);
	}
	session->gateway = gateway;
	session->link = link;
	session->child = child;
	session->psk = psk.id;
	session->thing_id = psk.thing_id;
	memcpy(key, psk.key, psk.key_len);
	return psk.key_len;
}

/* --- children -------------------------------------------------------------------------------- */

static unsigned bucket_of(const char *thing)
{
	unsigned hash = 2166136261U; /* FNV-1a */

	for (; *thing != '\0'; thing++)
		hash = (hash ^ (uint8_t)*thing) * 16777619U;
	return hash % GATEWAY_BUCKETS;
}

struct child *gateway_known_child(struct gateway *gateway, const char *thing)
{
	struct child *child = gateway->children[bucket_of(thing)];

	while (child != NULL && strcmp(child->thing, thing) != 0)
		child = child->next;
	return child;
}

static void free_copies(struct child *child)
{
	for (size_t i = 0; i < child->copy_count; i++)
		free(child->copies[i].thing);
	free(child->copies);
	child->copies = NULL;
	child->copy_count = 0;
}

/* "panel-1:event,panel-2" */
static void read_copies(struct child *child, const char *text)
{
	free_copies(child);
	while (text != NULL && *text != '\0') {
		size_t len = strcspn(text, ","), name = strcspn(text, ":,");
		int role = name < len ? iot_frame_role_parse(text + name + 1, len - name - 1) : 0;
		struct copy_to *copy;

		child->copies = iot_realloc(child->copies, (child->copy_count + 1) * sizeof(*child->copies));
		copy = &child->copies[child->copy_count++];
		copy->thing = iot_strndup(text, name);
		copy->roles = name < len ? 1U << role : ~0U;
		text += len + (text[len] == ',');
	}
}

struct child *gateway_make_child(struct gateway *gateway, const char *thing)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct child *child = gateway_known_child(gateway, thing), **bucket = &gateway->children[bucket_of(thing)];

	if (child != NULL)
		return child;
	child = iot_alloc(sizeof(*child));
	child->thing = iot_strdup(thing);
	child->type = iot_strdup("");
	child->generation = -1;
	child->noted = true;
	child->next = *bucket;
	*bucket = child;
	if (gateway_queue_last(gateway->queue, thing, child->boot, &child->boot_len, &child->safe, &err) != IOT_OK ||
	    gateway_queue_count(gateway->queue, thing, &child->waiting, &err) != IOT_OK)
		iot_log_error(IOT_LOG_WARNING, "cannot read the queue: ", &err);
	child->taken = child->firm = child->safe;
	if (child->waiting > 0)
		uplink_add_backlog(gateway, child);
	return child;
}

enum iot_status gateway_child(struct gateway *gateway, const char *thing, struct child **ret, struct iot_error *err)
{
	struct child *child = gateway_known_child(gateway, thing);
	IOT_JSON request = NULL;
	IOT_JSON reply = NULL;
	const json_t *attributes;
	enum iot_status status;

	if (child != NULL && child->generation == gateway->generation) {
		*ret = child;
		return IOT_OK;
	}
	request = json_pack("{s:s}", "thingName", thing);
	status = iot_cloud_call(gateway->cloud, "DescribeThing", request, NULL, &reply, NULL, err);
	if (status != IOT_OK)
		return status;
	attributes = json_object_get(reply, "attributes");
	if (strcmp(iot_json_str(attributes, IOT_GATEWAY_ATTRIBUTE, ""), gateway->thing) != 0)
		return iot_fail(err, IOT_DENIED, "device '%s' is no child of this gateway", thing);
	child = gateway_make_child(gateway, thing);
	free(child->type);
	child->type = iot_strdup(iot_json_str(reply, "thingTypeName", ""));
	read_copies(child, iot_json_str(attributes, IOT_GATEWAY_COPY_ATTRIBUTE, NULL));
	status = gateway_find_policies(gateway, child, err);
	if (status != IOT_OK)
		return status;
	child->generation = gateway->generation;
	*ret = child;
	return IOT_OK;
}

void gateway_children_release(struct gateway *gateway)
{
	for (size_t i = 0; i < GATEWAY_BUCKETS; i++) {
		struct child *child;

		while ((child = gateway->children[i]) != NULL) {
			gateway->children[i] = child->next;
			free_copies(child);
			free(child->policies);
			free(child->thing);
			free(child->type);
			free(child);
		}
	}
	while (gateway->layouts != NULL) {
		struct gateway_layout *layout = gateway->layouts;

		gateway->layouts = layout->next;
		iot_layout_free(layout->layout);
		free(layout->type);
		free(layout);
	}
	for (size_t i = 0; i < gateway->rule_count; i++) {
		free(gateway->rules[i].name);
		iot_attest_policy_free(gateway->rules[i].policy);
	}
	free(gateway->rules);
	gateway_forget_documents(gateway);
}

/* --- layouts ----------------------------------------------------------------------------------- */

enum iot_status gateway_layout_of(struct gateway *gateway, const char *type, const struct iot_layout **ret,
				  struct iot_error *err)
{
	struct gateway_layout *entry = gateway->layouts;
	struct iot_layout *layout = NULL;
	int64_t now = iot_monotonic_ms();
	enum iot_status status;

	while (entry != NULL && strcmp(entry->type, type) != 0)
		entry = entry->next;
	/* Which layout a type has is no part of what the epoch counts. */
	if (entry != NULL && (entry->version == gateway->data_version || now - entry->loaded < LAYOUT_MS)) {
		*ret = entry->layout;
		return IOT_OK;
	}
	status = iot_layout_of_type(gateway->cloud, type, &layout, err);
	if (status != IOT_OK)
		return status;
	if (entry == NULL) {
		entry = iot_alloc(sizeof(*entry));
		entry->type = iot_strdup(type);
		entry->next = gateway->layouts;
		gateway->layouts = entry;
	}
	iot_layout_free(entry->layout);
	entry->layout = layout;
	entry->version = gateway->data_version;
	entry->loaded = now;
	*ret = layout;
	return IOT_OK;
}

/* --- the registry changes ---------------------------------------------------------------------- */

/* Is the public key that its token was checked with still one of the device's? */
static enum iot_status has_key(struct gateway *gateway, const struct session *session, bool *ret, struct iot_error *err)
{
	struct iot_device_key keys[IOT_DEVICE_KEYS_MAX] = {0};
	size_t count = 0;
	enum iot_status status =
		iot_device_keys_find(gateway->store, session->child->thing, "attest", keys, &count, err);

	*ret = false;
	for (size_t i = 0; status == IOT_OK && i < count; i++)
		*ret = *ret || strcmp(keys[i].id, session->attest_key) == 0;
	iot_device_keys_release(keys, count);
	return status;
}

/* *why stays NULL if it may stay. */
static enum iot_status judge(struct gateway *gateway, struct session *session, const char **why, struct iot_error *err)
{
	struct child *child;
	bool allowed = false;
	enum iot_status status = iot_psk_is_active(gateway->store, session->psk, &allowed, err);

	if (status == IOT_OK && allowed && session->attest != 0)
		status = iot_psk_is_active(gateway->store, session->attest, &allowed, err);
	if (status == IOT_OK && allowed && session->attest_key[0] != '\0')
		status = has_key(gateway, session, &allowed, err);
	if (status == IOT_OK && allowed)
		status = gateway_child(gateway, session->child->thing, &child, err);
	if (status == IOT_DENIED || status == IOT_NOT_FOUND) {
		allowed = false;
		status = IOT_OK;
	}
	if (status != IOT_OK)
		return status;
	if (!allowed)
		*why = "the registry does not allow it any more";
	else if (session->state == SESSION_ACCEPTED && strcmp(session->policy_mark, child->policy_mark) != 0)
		*why = "its attestation policy has changed: it has to attest again";
	return IOT_OK;
}

static void judge_link(struct iot_psk_link *link, void *data)
{
	struct gateway *gateway = data;
	struct session *session = iot_psk_link_user(link);
	struct iot_error err = IOT_ERROR_INIT;
	const char *why = NULL;
	enum iot_status status = IOT_OK;

	if (session == NULL)
		return;
	if (gateway->blind)
		why = "the registry cannot be read";
	else
		status = judge(gateway, session, &why, &err);
	if (status == IOT_OK && why == NULL)
		return;
	if (status != IOT_OK)
		iot_log_error(IOT_LOG_WARNING, "cannot look a device up, so it is out: ", &err);
	gateway_event(gateway, "revoked", session->child->thing, "%s",
		      why != NULL ? why : "the registry does not allow it any more");
	iot_psk_link_close(link, "not allowed any more");
}

static void cannot_look(struct gateway *gateway, int64_t now, const struct iot_error *err)
{
	if (gateway->blind_since == 0)
		gateway->blind_since = now;
	if (gateway->blind || now - gateway->blind_since < BLIND_MS)
		return;
	iot_log_error(IOT_LOG_ERROR, "the registry cannot be read, so nobody is let in: ", err);
	gateway->blind = true;
	iot_psk_server_each(gateway->server, judge_link, gateway);
}

/* What waits of a child that is ours no more has nowhere to go: the broker would end the connection for it. */
static void forget_strangers(struct gateway *gateway)
{
	for (struct child *child = gateway->backlogged; child != NULL; child = child->next_backlogged) {
		struct iot_error err = IOT_ERROR_INIT;
		struct child *same;
		enum iot_status status = gateway_child(gateway, child->thing, &same, &err);

		if ((status != IOT_DENIED && status != IOT_NOT_FOUND) || child->waiting == 0)
			continue;
		gateway_event(gateway, "dropped", child->thing, "%lld messages of a device that is no child any more",
			      (long long)child->waiting);
		if (gateway_queue_forget(gateway->queue, child->thing, &err) != IOT_OK)
			iot_log_error(IOT_LOG_WARNING, "cannot clear the queue: ", &err);
		child->waiting = 0;
	}
}

void gateway_look(struct gateway *gateway)
{
	struct iot_error err = IOT_ERROR_INIT;
	int64_t now = iot_monotonic_ms();
	bool moved = false;
	enum iot_status status;

	if (now < gateway->next_look)
		return;
	gateway->next_look = now + LOOK_MS;
	status = source_look(gateway, &moved, &err);
	if (status != IOT_OK) {
		cannot_look(gateway, now, &err);
		return;
	}
	gateway->blind = false;
	gateway->blind_since = 0;
	if (!moved)
		return;
	gateway->generation++;
	gateway_forget_documents(gateway);
	iot_psk_server_each(gateway->server, judge_link, gateway);
	forget_strangers(gateway);
}
