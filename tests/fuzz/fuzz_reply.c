/*
 * Answers to commands: arbitrary topics, payloads and correlation data. Whoever is taken for having answered must have
 * been told, on its own topic, and must not have named somebody else's token.
 *
 * Input: topic, NUL, correlation data, NUL, payload. Without the second NUL there is no correlation data.
 */
#include "fleet/command_private.h"
#include "iotctl/base.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DEVICES = 4 };

#define ROLE(name, topic, direction, more)                                                                             \
	"\"" name "\":{\"topic\":\"" topic "\",\"qos\":1,\"retain\":false,\"direction\":\"" direction "\"" more "}"
#define LAYOUT(name, correlation, reply)                                                                               \
	"{\"name\":\"" name "\",\"description\":\"x\",\"roles\":{" ROLE(                                               \
		"config", "c/{thing}", "to-device",                                                                    \
		",\"acknowledge\":\"shadow\"") "," ROLE("command", "m/{thing}", "to-device",                           \
							correlation) "," ROLE("reply", reply, "from-device",           \
									      "") "," ROLE("event", "e/{thing}",       \
											   "from-device",              \
											   "") "," ROLE("state",       \
													"s/{thing}",   \
													"from-device", \
													"") "}}"
#define BY_PAYLOAD ",\"correlation\":\"payload\",\"tokenMember\":\"t\""
#define BY_MQTT5 ",\"correlation\":\"mqtt5\""

static struct command_kind kinds[DEVICES];
static struct command_kind *kind_list[DEVICES];
static struct target all[DEVICES], *by_topic[DEVICES]; /* whose topics are in order */
static const struct targets targets = {all, DEVICES, kind_list, DEVICES, by_topic};

static void add(size_t i, const char *layout, const char *topic, bool token_in_topic, const char *token)
{
	struct command_kind *kind = kind_list[i] = &kinds[i];

	if (iot_layout_parse(layout, strlen(layout), "fuzz", &kind->layout, NULL) != IOT_OK)
		abort();
	kind->command = iot_layout_role(kind->layout, IOT_ROLE_COMMAND, NULL);
	kind->reply = iot_layout_role(kind->layout, IOT_ROLE_REPLY, NULL);
	kind->token_in_topic = token_in_topic;
	all[i].kind = kind;
	all[i].reply_topic = iot_strdup(topic);
	all[i].state = TARGET_FLYING;
	all[i].sent_at = 1;
	memcpy(all[i].token, token, strlen(token) + 1);
	by_topic[i] = &all[i];
}

static void set_up(void)
{
	static bool done;

	if (done)
		return;
	done = true;
	add(0, LAYOUT("a", BY_PAYLOAD, "r/{thing}"), "r/d0", false, "t0");
	add(1, LAYOUT("b", BY_PAYLOAD, "r/{thing}/{token}"), "r/d1/t1", true, "t1");
	add(2, LAYOUT("c", BY_MQTT5, "r/{thing}"), "r/d2", false, "t2");
	add(3, LAYOUT("d", BY_MQTT5, "r/{thing}/{token}"), "r/d3/t3", true, "t3");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	IOT_CLEAN(iot_free_p) char *text = iot_alloc(size + 1);
	const char *correlation, *payload, *end = text + size;
	struct iot_mqtt_message message = {0};
	struct reply reply;

	set_up();
	memcpy(text, data, size);
	correlation = strlen(text) < size ? text + strlen(text) + 1 : end;
	payload = correlation < end ? memchr(correlation, '\0', (size_t)(end - correlation)) : NULL;
	message.topic = text;
	if (payload != NULL) {
		message.correlation = correlation;
		message.correlation_len = (size_t)(payload++ - correlation);
	} else {
		payload = correlation;
	}
	message.payload = payload;
	message.payload_len = (size_t)(end - payload);
	reply = reply_judge(&targets, &message);
	if ((reply.target == NULL) != (reply.kind == REPLY_STRANGE))
		abort();
	if (reply.kind != REPLY_ANSWER)
		return 0;
	if (strcmp(text, reply.target->reply_topic) != 0)
		abort();
	if (reply.target == &all[2] && (message.correlation_len != 2 || memcmp(message.correlation, "t2", 2) != 0))
		abort();
	return 0;
}
