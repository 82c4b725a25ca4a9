/*
 * The rights of a gateway. What it may say and hear for a child is what the child
 * itself might: everything below the child's own level of its topics, and the
 * exact topic where a layout has no such level. It subscribes to the topics of a
 * whole type, since a connection has room for few subscriptions (AWS IoT: 50);
 * what it hears on them is its children's by the right to receive. A document has room for 2,048
 * characters and a certificate for ten documents, so children are dealt out to
 * several; with a prefix one pattern stands for all of a type.
 */
#include "fleet/gateway_private.h"

#include "iotctl/base.h"
#include "iotctl/layout.h"
#include "iotctl/policy.h"
#include "iotctl/text.h"

#include <string.h>

#define CLIENT "${iot:Connection.Thing.ThingName}"

/* The front of a template, up to the level that is the device; a pattern for what is below. */
static char *pattern_of(const char *template, const char *thing, const char *type, bool prefix)
{
	struct iot_buf text = IOT_BUF_INIT(4096);
	bool own = false;

	for (const char *level = template;; level += strcspn(level, "/") + 1) {
		size_t len = strcspn(level, "/");
		bool last = level[len] == '\0', skip = len == 6 && strncmp(level, "{type}", 6) == 0 && *type == '\0';

		if (level > template && !skip && (text.len > 0 || template[0] == '/'))
			iot_buf_addc(&text, '/');
		if (len == 7 && strncmp(level, "{thing}", 7) == 0) {
			iot_buf_addf(&text, "%s%s", thing, prefix ? "*" : "");
			own = true;
		} else if (len == 6 && strncmp(level, "{type}", 6) == 0) {
			iot_buf_adds(&text, type);
		} else if (level[0] == '{') {
			iot_buf_addc(&text, '*');
		} else {
			iot_buf_add(&text, level, len);
		}
		if (own || last) {
			if (!last && !prefix)
				iot_buf_adds(&text, "/*");
			return iot_buf_detach(&text);
		}
	}
}

/* A pattern for the filters by which all devices of a type are heard, or each by itself. */
static char *filters_of(const char *template, const char *type)
{
	struct iot_buf text = IOT_BUF_INIT(4096);

	for (const char *level = template;; level += strcspn(level, "/") + 1) {
		size_t len = strcspn(level, "/");
		bool is_type = len == 6 && strncmp(level, "{type}", 6) == 0, skip = is_type && *type == '\0';

		if (level > template && !skip && (text.len > 0 || template[0] == '/'))
			iot_buf_addc(&text, '/');
		if (is_type)
			iot_buf_adds(&text, type);
		else if (level[0] == '{')
			iot_buf_addc(&text, '*');
		else
			iot_buf_add(&text, level, len);
		if (level[len] == '\0')
			return iot_buf_detach(&text);
	}
}

static void add_once(json_t *to, const char *kind, const char *pattern)
{
	IOT_CLEAN(iot_free_p) char *arn = iot_strf("arn:aws:iot:*:*:%s/%s", kind, pattern);
	json_t *there;
	size_t i;

	json_array_foreach(to, i, there) {
		if (strcmp(json_string_value(there), arn) == 0)
			return;
	}
	json_array_append_new(to, json_string(arn));
}

/* The resources of one child, added to what is there. */
static void add_child(const struct iot_layout *layout, const char *thing, const char *type, bool prefix, json_t *topics,
		      json_t *filters)
{
	for (int role = 0; role < IOT_ROLE_PEER; role++) {
		const struct iot_layout_role *of =
			iot_layout_role(layout, (enum iot_role)role, *type != '\0' ? type : NULL);
		bool shadow;
		IOT_CLEAN(iot_free_p) char *pattern = NULL, *all = NULL;

		if (of == NULL)
			continue;
		shadow = role == IOT_ROLE_CONFIG && of->acknowledge == IOT_ACK_SHADOW;
		pattern = shadow ? iot_strf("$aws/things/%s%s/shadow/name/config/*", thing, prefix ? "*" : "")
				 : pattern_of(of->topic, thing, type, prefix);
		add_once(topics, "topic", pattern);
		if (of->direction == IOT_FROM_DEVICE)
			continue;
		all = shadow ? iot_strdup("$aws/things/*/shadow/name/config/*") : filters_of(of->topic, type);
		add_once(filters, "topicfilter", all);
	}
}

static char *document(json_t *topics, json_t *filters)
{
	IOT_JSON statements = json_array();
	IOT_JSON whole = NULL;

	json_array_append_new(statements, json_pack("{s:s, s:s, s:s}", "Effect", "Allow", "Action", "iot:Connect",
						    "Resource", "arn:aws:iot:*:*:client/" CLIENT));
	if (json_array_size(topics) > 0)
		json_array_append_new(statements,
				      json_pack("{s:s, s:[s, s, s], s:O}", "Effect", "Allow", "Action", "iot:Publish",
						"iot:RetainPublish", "iot:Receive", "Resource", topics));
	if (json_array_size(filters) > 0)
		json_array_append_new(statements, json_pack("{s:s, s:s, s:O}", "Effect", "Allow", "Action",
							    "iot:Subscribe", "Resource", filters));
	whole = json_pack("{s:s, s:O}", "Version", "2012-10-17", "Statement", statements);
	return iot_json_text(whole);
}

struct dealing {
	json_t *documents, *topics, *filters;
};

static void close_document(struct dealing *dealing)
{
	IOT_CLEAN(iot_free_p) char *text = document(dealing->topics, dealing->filters);

	json_array_append_new(dealing->documents, json_string(text));
	json_array_clear(dealing->topics);
	json_array_clear(dealing->filters);
}

static enum iot_status deal(struct dealing *dealing, const struct iot_layout *layout, const char *thing,
			    const char *type, bool prefix, struct iot_error *err)
{
	IOT_JSON topics = json_copy(dealing->topics);
	IOT_JSON filters = json_copy(dealing->filters);
	IOT_CLEAN(iot_free_p) char *text = NULL;

	add_child(layout, thing, type, prefix, dealing->topics, dealing->filters);
	text = document(dealing->topics, dealing->filters);
	if (strlen(text) <= IOT_POLICY_SIZE_MAX)
		return IOT_OK;
	if (json_array_size(topics) == 0)
		return iot_fail(err, IOT_USAGE, "the rights for device '%s' do not fit into a policy", thing);
	json_array_clear(dealing->topics);
	json_array_clear(dealing->filters);
	json_array_extend(dealing->topics, topics);
	json_array_extend(dealing->filters, filters);
	close_document(dealing);
	return deal(dealing, layout, thing, type, prefix, err);
}

/* Children of a type follow one another, so that each layout is read once. */
static enum iot_status deal_all(struct iot_cloud *cloud, json_t *children, const char *prefix, struct dealing *dealing,
				struct iot_error *err)
{
	IOT_CLEAN(iot_layout_free_p) struct iot_layout *layout = NULL;
	IOT_CLEAN(iot_free_p) char *before = NULL;
	enum iot_status status = IOT_OK;
	json_t *child;
	size_t i;

	json_array_foreach(children, i, child) {
		const char *type = iot_json_str(child, "thingTypeName", "");
		bool same = before != NULL && strcmp(before, type) == 0;

		if (same && prefix != NULL)
			continue;
		if (!same) {
			free(before);
			before = iot_strdup(type);
			iot_layout_free(iot_take(layout));
			status = iot_layout_of_type(cloud, type, &layout, err);
		}
		if (status == IOT_OK)
			status = deal(dealing, layout, prefix != NULL ? prefix : iot_json_str(child, "thingName", ""),
				      type, prefix != NULL, err);
		if (status != IOT_OK)
			return status;
	}
	return IOT_OK;
}

enum iot_status gateway_documents(struct iot_cloud *cloud, json_t *children, const char *prefix, json_t **ret,
				  struct iot_error *err)
{
	IOT_JSON documents = json_array();
	IOT_JSON topics = json_array();
	IOT_JSON filters = json_array();
	struct dealing dealing = {documents, topics, filters};
	enum iot_status status = deal_all(cloud, children, prefix, &dealing, err);

	if (status != IOT_OK)
		return status;
	close_document(&dealing);
	if (json_array_size(documents) > GATEWAY_POLICIES_MAX) {
		iot_fail(err, IOT_USAGE, "%zu children need %zu policies: a certificate can have %d",
			 json_array_size(children), json_array_size(documents), GATEWAY_POLICIES_MAX);
		iot_error_hint(
			err, "use several gateways, or 'gateway create --children PREFIX' and names with that prefix");
		return IOT_USAGE;
	}
	*ret = iot_take(documents);
	return IOT_OK;
}
