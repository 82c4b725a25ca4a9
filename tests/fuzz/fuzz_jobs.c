/*
 * Requests to the Jobs service and to file streams: any topic, any payload. The
 * first line of the input is the topic, the rest the payload. Whatever comes,
 * each request that has the topic of a service is answered, the answer goes to
 * whoever asked and on no other topic than the request allows, as JSON that parses.
 */
#include "broker/services.h"
#include "iotctl/base.h"
#include "iotctl/cloud.h"
#include "iotctl/streamcbor.h"
#include "iotctl/text.h"
#include "iotctl/topic.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define FILE_SIZE 5000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *asked; /* topic */
static size_t answers;

/* The table's own check of the request, then an answer that has everything in it. */
static enum iot_status call(void *data, const char *operation, const json_t *request, json_t **ret_reply,
			    struct iot_error *err)
{
	enum iot_status status = iot_operation_check(iot_operation_find(operation), request, err);

	(void)data;
	if (status != IOT_OK)
		return status;
	if (strcmp(iot_json_str(request, "jobId", ""), "gone") == 0)
		return iot_cloud_fail(err, "ResourceNotFoundException", "gone");
	if (strcmp(iot_json_str(request, "jobId", ""), "done") == 0)
		return iot_cloud_fail(err, "InvalidStateTransitionException", "done");
	*ret_reply = json_pack("{s:{s:s, s:s}, s:{s:i, s:[{s:i}]}}", "execution", "jobId", "j", "jobDocument",
			       "{\"a\":1}", "streamInfo", "streamVersion", 1, "files", "fileId", 0);
	return IOT_OK;
}

static enum iot_status execution_state(void *data, const char *thing, const char *job_id, int64_t number, json_t **ret,
				       struct iot_error *err)
{
	(void)data, (void)thing, (void)job_id, (void)number, (void)err;
	*ret = json_pack("{s:s}", "status", "FAILED");
	return IOT_OK;
}

static enum iot_status stream_open(void *data, const char *thing, const char *stream, int file_id, int *ret_fd,
				   int64_t *ret_size, int64_t *ret_version, struct iot_error *err)
{
	(void)data, (void)thing;
	if (strcmp(stream, "gone") == 0 || file_id > 3)
		return iot_cloud_fail(err, "ResourceNotFound", "gone");
	*ret_fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	*ret_size = FILE_SIZE;
	*ret_version = 1;
	return IOT_OK;
}

static void check_json(const char *payload, size_t len)
{
	json_t *value = json_loadb(payload, len, 0, NULL);

	if (!json_is_object(value))
		abort();
	json_decref(value);
}

static void check_cbor(const char *topic, const char *payload, size_t len)
{
	struct iot_stream_data block;
	struct iot_stream_rejected rejected;

	if (strstr(topic, "/data/cbor") != NULL &&
	    (iot_stream_data_parse(payload, len, &block, NULL) != IOT_OK || block.payload_len > FILE_SIZE))
		abort();
	if (iot_ends_with(topic, "/rejected/cbor") &&
	    iot_stream_rejected_parse(payload, len, &rejected, NULL) != IOT_OK)
		abort();
}

static void check_payload(const char *topic, const char *payload, size_t len)
{
	if (len > IOT_TOPIC_PAYLOAD_MAX || strncmp(topic, asked, strlen("$aws/things/")) != 0)
		abort();
	if (iot_ends_with(topic, "cbor"))
		check_cbor(topic, payload, len);
	else
		check_json(payload, len);
	answers++;
}

/* One payload, or a series of them with their lengths (IOT_CONTROL_TOPIC in broker.h). */
static void answer(void *data, const void *message, size_t len)
{
	const char *bytes = message, *topic = memchr(bytes, '\0', len), *at;
	const char *end = bytes + len;

	(void)data;
	if (len < 4 || (bytes[0] != 'd' && bytes[0] != 's') || bytes[1] != '1' || topic == NULL ||
	    strcmp(bytes + 2, "asker") != 0)
		abort();
	topic++;
	at = memchr(topic, '\0', (size_t)(end - topic));
	if (at == NULL)
		abort();
	at++;
	if (bytes[0] == 'd') {
		check_payload(topic, at, (size_t)(end - at));
		return;
	}
	do {
		const unsigned char *size = (const unsigned char *)at;
		size_t one;

		if (end - at < 4)
			abort();
		one = (size_t)size[0] << 24 | (size_t)size[1] << 16 | (size_t)size[2] << 8 | size[3];
		if (one > (size_t)(end - at) - 4)
			abort();
		check_payload(topic, at + 4, one);
		at += 4 + one;
	} while (at < end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct broker_port port = {
		.call = call, .execution_state = execution_state, .stream_open = stream_open, .send = answer};
	const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
	size_t head = end != NULL ? (size_t)(end - data) : size;
	IOT_CLEAN(iot_free_p) char *topic = iot_strndup((const char *)data, head < 1000 ? head : 1000);
	struct broker_request request = {.client = "asker", .thing = "asker", .topic = topic, .qos = 1};
	struct iot_buf out = IOT_BUF_INIT(BROKER_MESSAGE_MAX);
	struct streams streams;

	if (end != NULL) {
		request.payload = end + 1;
		request.len = size - head - 1;
	} else {
		request.payload = "";
	}
	asked = topic;
	answers = 0;
	streams_init(&streams, &port);
	if (streams_is_request(topic))
		streams_answer(&streams, &request);
	else if (jobs_is_request(topic))
		jobs_answer(&port, &out, &request);
	if ((streams_is_request(topic) || jobs_is_request(topic)) && answers == 0)
		abort();
	streams_release(&streams);
	iot_buf_release(&out);
	return 0;
}
