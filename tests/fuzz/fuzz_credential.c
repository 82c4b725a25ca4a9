/* What a board's flash may hold: no bytes may do harm, and every item that is found lies within them. */
#include "iotctl/credential.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct iot_credential items[IOT_CREDENTIAL_TAGS];
	struct iot_error err = IOT_ERROR_INIT;
	size_t count = 0;

	if (iot_credential_parse(data, size, items, &count, &err) != IOT_OK)
		return 0;
	if (count >= IOT_CREDENTIAL_TAGS)
		abort();
	for (size_t i = 0; i < count; i++) {
		const uint8_t *value = items[i].value;

		if (value < data || items[i].len > (size_t)(data + size - value) ||
		    iot_credential_find(items, count, items[i].tag) != &items[i])
			abort();
	}
	return 0;
}
