/*
 * The decision about one connect, publish, subscription or delivery: first the
 * rules that hold whatever a policy says, then the policies of the client's
 * grant. Everything is in memory; nothing is allocated; nothing here changes
 * anything.
 */
#include "plugin.h"

#include "iotctl/base.h"
#include "iotctl/text.h"
#include "iotctl/topic.h"

#include <string.h>

/* Topics under $aws/ that services listen to: what AWS IoT reserves for devices to publish to. */
static const char *const reserved[] = {"things/", "rules/", "certificates/", "provisioning-templates/", "commands/"};

/* What only services say: the last level of a topic under $aws/. */
static const char *const replies[] = {"accepted", "rejected", "notify", "notify-next", "delta", "documents"};

static bool is_reply(const char *topic)
{
	const char *last = strrchr(topic, '/') + 1;
	const char *at;

	if (iot_starts_with(topic, "$aws/rules/"))
		return false;
	for (size_t i = 0; i < IOT_LENGTH(replies); i++)
		if (strcmp(last, replies[i]) == 0)
			return true;
	if (!iot_starts_with(topic, "$aws/things/"))
		return false;
	/* $aws/things/THING/streams/STREAM/data/cbor, description/json, rejected/cbor */
	at = strchr(topic + strlen("$aws/things/"), '/');
	if (at == NULL || !iot_starts_with(at, "/streams/"))
		return false;
	at = strchr(at + strlen("/streams/"), '/');
	return at != NULL && (iot_starts_with(at, "/data/") || iot_starts_with(at, "/description/") ||
			      iot_starts_with(at, "/rejected/"));
}

static bool refuse(struct denial *why, const char *reason)
{
	snprintf(why->reason, sizeof(why->reason), "%s", reason);
	return false;
}

static bool refuse_err(struct denial *why, const struct iot_error *err)
{
	return refuse(why, err->what);
}

/* Fill in what every denial of this client says. */
static void begin(const struct client *client, enum iot_policy_action action, const char *kind, const char *resource,
		  struct denial *why)
{
	why->client_id = client->name;
	why->certificate_id = identity_certificate(client->identity);
	why->thing = client_thing(client);
	why->action = iot_policy_action_name(action);
	why->kind = kind;
	why->resource = resource;
	why->policy = NULL;
	why->statement = 0;
	why->sid = NULL;
}

static enum iot_decision ask(const struct client *client, enum iot_policy_action action, const char *resource,
			     struct iot_policy_verdict *verdict)
{
	const struct identity *identity = client->identity;
	const struct grant *grant = &client->grant;
	const struct iot_policy_vars vars = {
		.client_id = client->name,
		.certificate_id = identity_certificate(identity),
		.serial = identity->serial,
		.fields = identity->fields,
		.field_count = identity->field_count,
		.thing_name = client_thing(client),
		.thing_type = grant->thing_type,
		.attributes = grant->attributes,
		.is_attached = grant->is_thing,
		.source_ip = mosquitto_client_address(client->handle),
		.persistent = client->persistent,
	};
	const struct iot_policy_request request = {.action = action, .resource = resource, .vars = &vars};

	if (client->bridge && !bridge_allows(client, action, resource)) {
		verdict->policy = SIZE_MAX;
		return IOT_DECISION_IMPLICIT_DENY;
	}
	if (grant->birth != NULL)
		return staging_allows(client, action, resource) ? IOT_DECISION_ALLOWED : IOT_DECISION_IMPLICIT_DENY;
	return iot_policy_decide(grant->policies, grant->count, &request, verdict);
}

static bool judge(const struct client *client, enum iot_policy_action action, const char *resource, struct denial *why)
{
	struct iot_policy_verdict verdict;

	switch (ask(client, action, resource, &verdict)) {
	case IOT_DECISION_ALLOWED:
		return true;
	case IOT_DECISION_EXPLICIT_DENY:
		why->policy = grant_policy_name(&client->grant, verdict.policy);
		why->statement = verdict.statement;
		why->sid = verdict.sid;
		return refuse(why, "explicit deny");
	case IOT_DECISION_IMPLICIT_DENY:
		break;
	}
	if (client->bridge && !bridge_allows(client, action, resource))
		return refuse(why,
			      "it may speak only of itself and what it has attached, as with Google's MQTT bridge");
	return refuse(why, client->grant.birth == NULL ? "no statement allows it" : "staging does not allow it");
}

bool decide_connect(const struct client *client, struct denial *why)
{
	struct iot_error err = IOT_ERROR_INIT;

	begin(client, IOT_POLICY_CONNECT, "client/", client->name, why);
	if (iot_client_id_check(client->name, strlen(client->name), &err) != IOT_OK)
		return refuse_err(why, &err);
	return judge(client, IOT_POLICY_CONNECT, client->name, why);
}

static bool is_known_reserved(const char *topic)
{
	for (size_t i = 0; i < IOT_LENGTH(reserved); i++)
		if (iot_starts_with(topic + strlen("$aws/"), reserved[i]))
			return true;
	return false;
}

/* "NAME/state" or ".../NAME/state" with the client's own thing. Services believe what a topic says that ends so. */
static bool is_own_state(const struct client *client, const char *topic)
{
	const char *thing = client_thing(client);
	size_t len = thing == NULL ? 0 : strlen(thing), before = strlen(topic) - strlen("/state");

	return len > 0 && before >= len && memcmp(topic + before - len, thing, len) == 0 &&
	       (before == len || topic[before - len - 1] == '/');
}

/* As whom a client speaks on a topic: as itself, or as a device that it has attached; *view is memory for that. */
static const struct client *speaker(const struct client *client, const char *topic, struct client *view)
{
	const struct child *child = client->child_count > 0 ? bridge_child(client, topic) : NULL;

	if (child == NULL)
		return client;
	*view = *client;
	view->name = child->name;
	view->identity = child->identity;
	view->grant = child->grant;
	return view;
}

/* Is that level of the topic the client's own thing? */
static bool is_own_level(const struct client *client, const char *topic, int level)
{
	const char *thing = client_thing(client);
	size_t len;

	for (; level > 0 && topic != NULL; level--) {
		topic = strchr(topic, '/');
		topic = topic != NULL ? topic + 1 : NULL;
	}
	if (level < 0 || topic == NULL || thing == NULL)
		return false;
	len = strcspn(topic, "/");
	return strlen(thing) == len && memcmp(topic, thing, len) == 0;
}

/* What the broker itself says for the client, without asking us to name the sender. */
bool decide_will(const struct plugin *plugin, const struct client *client, const char *topic, uint32_t payload_len,
		 int qos, bool retain, struct denial *why)
{
	int level = -1;

	begin(client, IOT_POLICY_PUBLISH, "topic/", topic, why);
	if (client->bridge)
		return refuse(why, "there are no last wills here");
	if (topic[0] == '$')
		return refuse(why, "a last will cannot go to a reserved topic");
	if (iot_ends_with(topic, "/state") && !is_own_state(client, topic))
		return refuse(why, "a last will can only tell of the client's own state");
	if (registry_is_heard(plugin->registry, topic, &level) && !is_own_level(client, topic, level))
		return refuse(why, "a last will to a topic of events or states must name the client's own thing");
	return decide_publish(client, topic, payload_len, qos, retain, why);
}

bool decide_publish(const struct client *client, const char *topic, uint32_t payload_len, int qos, bool retain,
		    struct denial *why)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct client view;

	client = speaker(client, topic, &view);
	begin(client, IOT_POLICY_PUBLISH, "topic/", topic, why);
	if (!client->authorised)
		return refuse(why, "the connection is being closed");
	if (qos > 1)
		return refuse(why, "quality of service 2 is not supported");
	if (payload_len > IOT_TOPIC_PAYLOAD_MAX)
		return refuse(why, "the payload is longer than 131072 bytes");
	if (iot_topic_check_publish(topic, strlen(topic), &err) != IOT_OK)
		return refuse_err(why, &err);
	if (topic[0] == '$' && !is_known_reserved(topic))
		return refuse(why, "no service listens to this reserved topic");
	if (topic[0] == '$' && is_reply(topic))
		return refuse(why, "only services publish to this reserved topic");
	if (!judge(client, IOT_POLICY_PUBLISH, topic, why))
		return false;
	if (!retain)
		return true;
	if (client->bridge)
		return refuse(why, "nothing is retained here");
	why->action = iot_policy_action_name(IOT_POLICY_RETAIN_PUBLISH);
	return judge(client, IOT_POLICY_RETAIN_PUBLISH, topic, why);
}

bool decide_subscribe(const struct client *client, const char *filter, struct denial *why)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_policy_verdict verdict;
	const char *inner;
	struct client view;

	client = speaker(client, filter, &view);
	begin(client, IOT_POLICY_SUBSCRIBE, "topicfilter/", filter, why);
	if (!client->authorised)
		return refuse(why, "the connection is being closed");
	if (iot_topic_check_filter(filter, strlen(filter), &err) != IOT_OK)
		return refuse_err(why, &err);
	if (!judge(client, IOT_POLICY_SUBSCRIBE, filter, why))
		return false;
	if (!iot_starts_with(filter, "$share/"))
		return true;
	/* What is denied as a filter of one's own is denied as a shared one. */
	inner = strchr(filter + strlen("$share/"), '/');
	if (inner == NULL || ask(client, IOT_POLICY_SUBSCRIBE, inner + 1, &verdict) != IOT_DECISION_EXPLICIT_DENY)
		return true;
	return judge(client, IOT_POLICY_SUBSCRIBE, inner + 1, why);
}

bool decide_receive(const struct client *client, const char *topic, struct denial *why)
{
	struct client view;

	client = speaker(client, topic, &view);
	begin(client, IOT_POLICY_RECEIVE, "topic/", topic, why);
	if (client->bridge && !client->connected)
		return refuse(why, "nothing waits for a device that is away");
	if (!client->authorised)
		return refuse(why, "the connection is being closed");
	if (topic[0] == '$' && !iot_starts_with(topic, "$aws/"))
		return refuse(why, "only the fleet's own user receives this topic");
	return judge(client, IOT_POLICY_RECEIVE, topic, why);
}
