/* Descriptions of boards: whatever a file holds, it is a complete description or refused. */
#include "iotctl/board_description.h"

#include "iotctl/base.h"
#include "iotctl/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct iot_board_description *description = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON json = NULL;

	if (iot_json_parse((const char *)data, size, "fuzz", &json, &err) != IOT_OK ||
	    iot_board_description_parse(json, &description, &err) != IOT_OK)
		return 0;
	if (description->ops == NULL || *description->name == '\0' || description->install & ~description->ops->items)
		abort();
	iot_board_description_free(description);
	return 0;
}
