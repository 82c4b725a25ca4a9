/* The least-privilege policy that a new fleet's devices get. */
#include "iotctl/policy.h"

#include "iotctl/base.h"

#define THING "${iot:Connection.Thing.ThingName}"
#define TYPE "${iot:Connection.Thing.ThingTypeName}"

/* What a device may use; "*" stands for the rest of a topic, and of a filter. */
static const char *const device_topics[] = {
	"$aws/things/" THING "/jobs/*",
	"$aws/things/" THING "/streams/*",
	"$aws/things/" THING "/shadow/*",
	TYPE "/" THING "/*",
};

static void add_statement(struct iot_buf *out, const char *sid, const char *actions, const char *kind,
			  const char *const *names, size_t count)
{
	iot_buf_addf(out, "    {\n      \"Sid\": \"%s\",\n      \"Effect\": \"Allow\",\n      \"Action\": %s,\n", sid,
		     actions);
	iot_buf_adds(out, "      \"Resource\": [\n");
	for (size_t i = 0; i < count; i++)
		iot_buf_addf(out, "        \"arn:aws:iot:*:*:%s/%s\"%s\n", kind, names[i], i + 1 < count ? "," : "");
	iot_buf_adds(out, "      ]\n    }");
}

void iot_policy_device_default(struct iot_buf *out)
{
	static const char *const client[] = {THING};
	static const char *const state[] = {TYPE "/" THING "/state"}; /* the default layout keeps it */

	iot_buf_adds(out, "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n");
	add_statement(out, "ConnectAsItself", "\"iot:Connect\"", "client", client, 1);
	iot_buf_adds(out, ",\n");
	add_statement(out, "OwnTopics", "[\"iot:Publish\", \"iot:Receive\"]", "topic", device_topics,
		      IOT_LENGTH(device_topics));
	iot_buf_adds(out, ",\n");
	add_statement(out, "KeptState", "\"iot:RetainPublish\"", "topic", state, IOT_LENGTH(state));
	iot_buf_adds(out, ",\n");
	add_statement(out, "OwnFilters", "\"iot:Subscribe\"", "topicfilter", device_topics, IOT_LENGTH(device_topics));
	iot_buf_adds(out, "\n  ]\n}\n");
}
