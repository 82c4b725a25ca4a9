/* Replies to devices: control messages that the plugin delivers to the client that asked. */
#include "broker/services.h"

#include "iotctl/base.h"
#include "iotctl/log.h"
#include "iotctl/topic.h"

#include <string.h>

void reply_begin(struct iot_buf *out, const struct broker_request *request, size_t prefix, const char *rest)
{
	iot_buf_clear(out);
	iot_buf_addc(out, 'd');
	iot_buf_addc(out, request->qos > 0 ? '1' : '0');
	iot_buf_add(out, request->client, strlen(request->client) + 1);
	iot_buf_add(out, request->topic, prefix);
	iot_buf_add(out, rest, strlen(rest) + 1);
}

void reply_begin_series(struct iot_buf *out, const struct broker_request *request, size_t prefix, const char *rest)
{
	reply_begin(out, request, prefix, rest);
	out->data[0] = 's';
}

size_t reply_open(struct iot_buf *out)
{
	size_t start = out->len;

	iot_buf_add(out, "\0\0\0", REPLY_LENGTH_SIZE);
	return start;
}

void reply_close(struct iot_buf *out, size_t start)
{
	size_t len = out->len - start - REPLY_LENGTH_SIZE;

	if (out->over)
		return;
	for (size_t i = REPLY_LENGTH_SIZE; i > 0; i--, len >>= 8)
		out->data[start + i - 1] = (char)(len & 0xff);
}

static int append(const char *text, size_t len, void *data)
{
	iot_buf_add(data, text, len);
	return 0;
}

void reply_json(const struct broker_port *port, struct iot_buf *out, const struct broker_request *request,
		size_t prefix, const char *rest, const json_t *payload)
{
	size_t head;

	reply_begin(out, request, prefix, rest);
	head = out->len;
	if (json_dump_callback(payload, append, out, JSON_COMPACT | JSON_ENCODE_ANY) != 0 || out->over ||
	    out->len - head > IOT_TOPIC_PAYLOAD_MAX) {
		iot_warn("a reply to '%s' on '%.*s%s' is too large and was dropped", request->client, (int)prefix,
			 request->topic, rest);
		return;
	}
	port->send(port->data, out->data, out->len);
}
