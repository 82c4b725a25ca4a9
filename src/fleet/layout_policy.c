/*
 * The least that a device of a layout must be allowed, as an AWS IoT policy. The
 * device is named by policy variables, so one document serves all of them.
 */
#include "fleet/layout_private.h"

#include "iotctl/base.h"
#include "iotctl/json.h"
#include "iotctl/policy.h"

#include <string.h>

#define THING "${iot:Connection.Thing.ThingName}"
#define TYPE "${iot:Connection.Thing.ThingTypeName}"

/* What the services of AWS IoT say and hear; "*" stands for the rest of a topic, and of a filter. */
static const char *const services[] = {"$aws/things/" THING "/jobs/*", "$aws/things/" THING "/streams/*",
				       "$aws/things/" THING "/shadow/*"};

struct wants {
	json_t *publish, *retain, *both, *receive, *subscribe; /* arrays of ARNs */
};

static void append(json_t *to, const char *kind, const char *rest, size_t len)
{
	json_array_append_new(to, json_sprintf("arn:aws:iot:*:*:%s/%.*s", kind, (int)len, rest));
}

static void add_level(struct iot_buf *out, const struct layout_level *level)
{
	switch (level->kind) {
	case LEVEL_THING:
		iot_buf_adds(out, THING);
		break;
	case LEVEL_TYPE:
		iot_buf_adds(out, TYPE);
		break;
	case LEVEL_TEXT:
		iot_buf_add(out, level->text, level->len);
		break;
	default:
		iot_buf_addc(out, '*');
	}
}

/* The template as a resource. A subfolder may be absent, so its parent is one too. */
static void add_template(json_t *to, const char *kind, const char *template)
{
	struct layout_level levels[LAYOUT_LEVELS_MAX];
	struct iot_buf text = IOT_BUF_INIT(IOT_LAYOUT_TEXT_MAX);
	size_t count = layout_levels(template, levels);

	for (size_t i = 0; i < count; i++) {
		if (levels[i].kind == LEVEL_SUBFOLDER)
			append(to, kind, iot_buf_str(&text), text.len);
		if (i > 0)
			iot_buf_addc(&text, '/');
		add_level(&text, &levels[i]);
	}
	append(to, kind, iot_buf_str(&text), text.len);
	iot_buf_release(&text);
}

static void collect(const struct layout_set *set, const struct wants *wants)
{
	for (unsigned i = 0; i < IOT_ROLE_COUNT; i++) {
		const struct iot_layout_role *role = &set->roles[i];
		const char *heard = i == IOT_ROLE_PEER ? role->inbox : role->topic;

		if (!set->has[i])
			continue;
		if (role->direction != IOT_TO_DEVICE)
			add_template(role->retain ? wants->retain : wants->publish, "topic", role->topic);
		if (role->direction != IOT_FROM_DEVICE) {
			add_template(wants->receive, "topic", heard);
			add_template(wants->subscribe, "topicfilter", heard);
		}
	}
}

static void add_services(const struct layout_set *set, bool all, const struct wants *wants)
{
	for (size_t i = 0; i < IOT_LENGTH(services); i++) {
		bool shadow =
			set->roles[IOT_ROLE_CONFIG].acknowledge == IOT_ACK_SHADOW && i + 1 == IOT_LENGTH(services);

		if (!all && !shadow)
			continue;
		append(wants->both, "topic", services[i], strlen(services[i]));
		append(wants->subscribe, "topicfilter", services[i], strlen(services[i]));
	}
}

/* Both are handed over. A document has room for 2,048 characters: what is allowed the same things is said once. */
static void add_statement(json_t *statements, json_t *actions, json_t *resources)
{
	if (json_array_size(resources) > 0)
		json_array_append_new(statements, json_pack("{s:s, s:O, s:O}", "Effect", "Allow", "Action", actions,
							    "Resource", resources));
	json_decref(actions);
	json_decref(resources);
}

static json_t *make_document(const struct iot_layout *layout, const struct iot_layout_policy_options *options)
{
	const struct layout_set *set = layout_set_of(layout, options->type);
	const struct wants wants = {json_array(), json_array(), json_array(), json_array(), json_array()};
	json_t *statements = json_array(), *connect = json_array();

	append(connect, "client", THING, strlen(THING));
	collect(set, &wants);
	add_services(set, !options->no_services, &wants);
	add_statement(statements, json_string("iot:Connect"), connect);
	add_statement(statements, json_string("iot:Publish"), wants.publish);
	add_statement(statements, json_pack("[s, s]", "iot:Publish", "iot:RetainPublish"), wants.retain);
	add_statement(statements, json_pack("[s, s]", "iot:Publish", "iot:Receive"), wants.both);
	add_statement(statements, json_string("iot:Receive"), wants.receive);
	add_statement(statements, json_string("iot:Subscribe"), wants.subscribe);
	return json_pack("{s:s, s:o}", "Version", "2012-10-17", "Statement", statements);
}

/* A layout of the user's own may be what no policy should allow: then there is none. */
static enum iot_status prove(const struct iot_layout *layout, const char *text, struct iot_error *err)
{
	IOT_CLEAN(iot_policy_free_p) struct iot_policy *policy = NULL;
	IOT_JSON findings = NULL;
	enum iot_status status = iot_policy_parse(text, strlen(text), &policy, err);

	if (status != IOT_OK) {
		iot_error_while(err, "making a policy for layout '%s'", iot_layout_name(layout));
		return status;
	}
	findings = iot_policy_lint(policy, NULL);
	if (json_array_size(findings) == 0)
		return IOT_OK;
	return iot_fail(err, IOT_USAGE, "the policy for layout '%s' would not be sound: %s", iot_layout_name(layout),
			iot_json_str(json_array_get(findings, 0), "message", ""));
}

enum iot_status iot_layout_policy(const struct iot_layout *layout, const struct iot_layout_policy_options *options,
				  struct iot_buf *out, struct iot_error *err)
{
	IOT_JSON document = make_document(layout, options);
	IOT_CLEAN(iot_free_p) char *text = json_dumps(document, JSON_INDENT(2));
	enum iot_status status;

	if (text == NULL)
		return iot_fail(err, IOT_FAILURE, "cannot write the policy as JSON");
	status = prove(layout, text, err);
	if (status == IOT_OK) {
		iot_buf_adds(out, text);
		iot_buf_addc(out, '\n');
	}
	return status;
}
