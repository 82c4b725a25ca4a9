/* Recipes and records of shifts: foreign files both. */
#include "fleet/station_private.h"

#include "iotctl/fs.h"

#include <stdio.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_record(const uint8_t *data, size_t size)
{
	char path[] = "/tmp/iotctl-fuzz-XXXXXX";
	const char *const files[] = {path};
	json_t *records = NULL;
	int fd = mkstemp(path);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	close(fd);
	if (iot_station_verify(files, 1, "/dev/null", true, &records, NULL) == IOT_OK)
		json_decref(records);
	if (iot_station_report(path, &records, NULL) == IOT_OK)
		json_decref(records);
	unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct iot_station_recipe *recipe = NULL;

	if (iot_station_recipe_parse((const char *)data, size, "recipe", "/", &recipe, NULL) == IOT_OK)
		iot_station_recipe_free(recipe);
	try_record(data, size);
	return 0;
}
