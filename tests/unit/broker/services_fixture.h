/*
 * The services on a local cloud in a temporary folder, without a broker: what
 * they send is taken apart and kept, so that a test asks and looks at the answers.
 */
#ifndef IOTCTL_SERVICES_FIXTURE_H
#define IOTCTL_SERVICES_FIXTURE_H

#include "broker/services.h"
#include "cloud/jobs_fixture.h"

#define SENT_MAX 600
/* Put a NUL-terminated literal, or bytes with their number, into a request. */
#define TEXT(literal) (literal), strlen(literal)

struct sent {
	char qos, client[160], topic[400];
	char *payload; /* NUL-terminated besides its length */
	size_t len;
};

static struct sent sent[SENT_MAX];
static size_t sent_count;
static size_t opened;     /* files of streams */
static const char *fault; /* code that every operation fails with; NULL: none does */

static inline enum iot_status port_call(void *data, const char *operation, const json_t *request, json_t **ret_reply,
					struct iot_error *err)
{
	(void)data;
	if (fault != NULL)
		return iot_cloud_fail(err, fault, "it went wrong in /secret/place");
	return iot_cloud_call(cloud, operation, request, NULL, ret_reply, NULL, err);
}

static inline enum iot_status port_state(void *data, const char *thing, const char *job_id, int64_t number,
					 json_t **ret, struct iot_error *err)
{
	(void)data;
	return iot_local_execution_state(cloud, thing, job_id, number, ret, err);
}

static inline enum iot_status port_open(void *data, const char *thing, const char *stream, int file_id, int *ret_fd,
					int64_t *ret_size, int64_t *ret_version, struct iot_error *err)
{
	(void)data;
	opened++;
	return iot_local_stream_open(cloud, thing, stream, file_id, ret_fd, ret_size, ret_version, err);
}

static inline void keep_sent(const char *head, const char *topic, const char *payload, size_t len)
{
	struct sent *to = &sent[sent_count];

	if (sent_count == SENT_MAX) {
		CU_FAIL("too many messages");
		return;
	}
	to->qos = head[1];
	snprintf(to->client, sizeof(to->client), "%s", head + 2);
	snprintf(to->topic, sizeof(to->topic), "%s", topic);
	to->len = len;
	to->payload = iot_alloc(len + 1);
	memcpy(to->payload, payload, len);
	sent_count++;
}

static inline void port_send(void *data, const void *message, size_t len)
{
	const char *bytes = message, *topic, *at;

	(void)data;
	if (len < 4 || (bytes[0] != 'd' && bytes[0] != 's')) {
		CU_FAIL("not a message to deliver");
		return;
	}
	CU_ASSERT_TRUE(len <= BROKER_MESSAGE_MAX);
	topic = bytes + 2 + strlen(bytes + 2) + 1;
	at = topic + strlen(topic) + 1;
	if (bytes[0] == 'd')
		keep_sent(bytes, topic, at, (size_t)(bytes + len - at));
	else
		CU_ASSERT_TRUE(at < bytes + len);
	while (bytes[0] == 's' && at < bytes + len) {
		const unsigned char *size = (const unsigned char *)at;
		size_t one = (size_t)size[0] << 24 | (size_t)size[1] << 16 | (size_t)size[2] << 8 | size[3];

		CU_ASSERT_FATAL(one + 4 <= (size_t)(bytes + len - at));
		keep_sent(bytes, topic, at + 4, one);
		at += 4 + one;
	}
}

static const struct broker_port port = {
	.call = port_call, .execution_state = port_state, .stream_open = port_open, .send = port_send};

static inline void forget_sent(void)
{
	while (sent_count > 0)
		free(sent[--sent_count].payload);
}

static inline void services_set_up(void)
{
	set_up();
	fault = NULL;
	opened = 0;
}

static inline void services_tear_down(void)
{
	forget_sent();
	tear_down();
}

#endif
