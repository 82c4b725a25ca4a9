/* Layout files: parse arbitrary bytes; what parses gives topics, filters, matches and a policy, and is found again. */
#include "iotctl/base.h"
#include "iotctl/layout.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct iot_topic_names full = {"p1", "pump", "p2", "t", "a/b"};
static const struct iot_topic_names bare = {.thing = "p1", .type = ""};

static void use_role(const struct iot_layout *layout, enum iot_role role, const struct iot_topic_names *names)
{
	struct iot_topic_match match;
	char *topic = NULL, *filter = NULL;

	if (iot_layout_topic(layout, role, names, &topic, NULL) == IOT_OK) {
		if (role != IOT_ROLE_PEER && !iot_layout_match(layout, topic, &match))
			abort();
		/* A filter for any device hears every device. */
		if (role != IOT_ROLE_PEER && (iot_layout_filter(layout, role, names, &filter, NULL) != IOT_OK ||
					      !iot_topic_matches(filter, topic)))
			abort();
	}
	free(topic);
	free(filter);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct iot_layout_policy_options options = {.type = "pump"};
	struct iot_buf policy = IOT_BUF_INIT(1 << 20);
	struct iot_layout *layout;

	if (size > IOT_LAYOUT_TEXT_MAX || iot_layout_parse((const char *)data, size, "fuzz", &layout, NULL) != IOT_OK)
		return 0;
	for (unsigned i = 0; i < IOT_ROLE_COUNT; i++) {
		use_role(layout, i, &full);
		use_role(layout, i, &bare);
	}
	(void)!iot_layout_policy(layout, &options, &policy, NULL);
	iot_buf_release(&policy);
	iot_layout_free(layout);
	return 0;
}
