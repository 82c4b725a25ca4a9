/* What an endpoint answers, and the AWS files: the first byte says which. No input may do harm. */
#include "cloud/aws/aws_private.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void answer(int status, const char *text, size_t len)
{
	struct iot_http_reply reply = IOT_HTTP_REPLY_INIT;
	const char *body = memchr(text, '\0', len);
	struct iot_buf out = IOT_BUF_INIT(65536);
	struct iot_error err = IOT_ERROR_INIT;
	struct aws_answer read;
	IOT_JSON value = NULL;

	reply.status = status;
	reply.body.max = 65536;
	iot_buf_adds(&reply.headers, text);
	if (body != NULL)
		iot_buf_add(&reply.body, body + 1, len - (size_t)(body - text) - 1);
	aws_answer_read(&reply, &read);
	if (status >= 300 && aws_answer_fail(&read, "host", &err) == IOT_OK)
		abort();
	if (status < 300 && aws_answer_value(iot_operation_find("CreateThing"), &reply, &value, &out, &err) == IOT_OK &&
	    !json_is_object(value))
		abort();
	iot_buf_release(&out);
	iot_http_reply_release(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	IOT_CLEAN(iot_free_p)
	char *text = size > 0 ? iot_alloc(size) : NULL; /* one byte more than what follows the first */
	struct aws_file file = {0};
	struct iot_error err;

	if (size == 0)
		return 0;
	memcpy(text, data + 1, size - 1);
	if (data[0] == 'f') {
		if (aws_file_parse("file", text, &file, &err) == IOT_OK)
			aws_file_release(&file);
	} else {
		answer(data[0] == 'e' ? 400 : data[0] == '5' ? 500 : 200, text, size - 1);
	}
	return 0;
}
