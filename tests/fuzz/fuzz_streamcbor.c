/* CBOR messages of file streams from devices (and, in a device, from a service): no input may do harm. */
#include "iotctl/streamcbor.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was accepted must be written and read to the same again. */
static void check_get(const struct iot_stream_get *get)
{
	struct iot_buf out = IOT_BUF_INIT(2 * IOT_STREAM_REQUEST_MAX);
	struct iot_stream_get again;

	iot_stream_get_encode(&out, get);
	if (iot_stream_get_parse(out.data, out.len, &again, NULL) != IOT_OK || again.file != get->file ||
	    again.size != get->size || again.offset != get->offset || again.count != get->count ||
	    again.bitmap_len != get->bitmap_len || again.token_len != get->token_len ||
	    (iot_stream_get_check(get) == NULL) != (iot_stream_get_check(&again) == NULL))
		abort();
	iot_buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct iot_stream_rejected rejected;
	struct iot_stream_data reply;
	struct iot_stream_get get;
	struct iot_error err;

	if (iot_stream_get_parse(data, size, &get, &err) == IOT_OK)
		check_get(&get);
	if (iot_stream_data_parse(data, size, &reply, &err) == IOT_OK &&
	    (reply.payload < data || reply.payload + reply.payload_len > data + size))
		abort();
	if (iot_stream_rejected_parse(data, size, &rejected, &err) == IOT_OK && rejected.code[0] == '\0')
		return 0;
	return 0;
}
