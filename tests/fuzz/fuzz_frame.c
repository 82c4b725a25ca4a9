/* Messages of small devices, and what stands for them: no input may do harm, and what is read is the same when written.
 */
#include "iotctl/frame.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same_span(const struct iot_span *a, const struct iot_span *b)
{
	if (a->len != b->len || (a->data == NULL) != (b->data == NULL) ||
	    (a->len > 0 && memcmp(a->data, b->data, a->len) != 0))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct iot_buf out = IOT_BUF_INIT(2 * IOT_FRAME_MAX);
	struct iot_frame frame, again;

	if (iot_frame_read(data, size, &frame, NULL) != IOT_OK)
		return 0;
	iot_frame_write(&frame, &out);
	if (out.len <= IOT_FRAME_HEAD ||
	    iot_frame_read(out.data + IOT_FRAME_HEAD, out.len - IOT_FRAME_HEAD, &again, NULL) != IOT_OK)
		abort();
	if (again.kind != frame.kind || again.version != frame.version || again.sequence != frame.sequence ||
	    again.role != frame.role || again.id != frame.id || again.idle != frame.idle ||
	    again.longest != frame.longest)
		abort();
	same_span(&again.nonce, &frame.nonce);
	same_span(&again.token, &frame.token);
	same_span(&again.boot, &frame.boot);
	same_span(&again.payload, &frame.payload);
	same_span(&again.subfolder, &frame.subfolder);
	same_span(&again.name, &frame.name);
	same_span(&again.reason, &frame.reason);
	iot_buf_release(&out);
	return 0;
}
