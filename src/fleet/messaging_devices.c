/* The devices that a message is meant for, by name, by group, or all of them. */
#include "fleet/fleet_private.h"

#include "iotctl/base.h"
#include "iotctl/messaging.h"

#include <string.h>

struct found {
	struct iot_publish_device *devices;
	size_t count, size;
	json_t *seen; /* thing names */
};

static void add(struct found *found, const char *thing, const char *type)
{
	if (json_object_get(found->seen, thing) != NULL)
		return;
	json_object_set_new(found->seen, thing, json_true());
	if (found->count == found->size) {
		found->size = found->size > 0 ? 2 * found->size : 16;
		found->devices = iot_realloc(found->devices, found->size * sizeof(*found->devices));
	}
	found->devices[found->count++] =
		(struct iot_publish_device){.thing = iot_strdup(thing), .type = iot_strdup(type)};
}

static enum iot_status add_record(json_t *record, void *data, struct iot_error *err)
{
	(void)err;
	add(data, iot_json_str(record, "thingName", ""), iot_json_str(record, "thingTypeName", ""));
	return IOT_OK;
}

static enum iot_status add_named(struct iot_cloud *cloud, const char *name, struct found *found, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	IOT_JSON record = NULL;
	enum iot_status status = iot_fleet_resolve(cloud, name, &thing, err);

	if (status == IOT_OK)
		status = fleet_call(cloud, "DescribeThing", json_pack("{s:s}", "thingName", thing), &record, err);
	if (status == IOT_OK)
		add(found, thing, iot_json_str(record, "thingTypeName", ""));
	return status;
}

static enum iot_status collect(struct iot_cloud *cloud, const char *const *names, const char *group, bool all,
			       struct found *found, struct iot_error *err)
{
	const struct iot_device_filter filter = {.group = group};
	enum iot_status status = IOT_OK;

	for (size_t i = 0; names != NULL && names[i] != NULL && status == IOT_OK; i++)
		status = add_named(cloud, names[i], found, err);
	if (status == IOT_OK && group != NULL)
		status = iot_device_list(cloud, &filter, add_record, found, err);
	if (status == IOT_OK && all)
		status = iot_device_list(cloud, &(const struct iot_device_filter){0}, add_record, found, err);
	if (status != IOT_OK || found->count > 0)
		return status;
	return group != NULL ? iot_fail(err, IOT_NOT_FOUND, "group '%s' has no devices", group)
			     : iot_fail(err, IOT_NOT_FOUND, "the fleet has no devices");
}

enum iot_status iot_publish_devices(struct iot_cloud *cloud, const char *const *names, const char *group, bool all,
				    struct iot_publish_device **ret, size_t *ret_count, struct iot_error *err)
{
	IOT_JSON seen = json_object();
	struct found found = {.seen = seen};
	enum iot_status status = collect(cloud, names, group, all, &found, err);

	if (status != IOT_OK) {
		iot_publish_devices_free(found.devices, found.count);
		return status;
	}
	*ret = found.devices;
	*ret_count = found.count;
	return IOT_OK;
}

static enum iot_status set_topic(const struct iot_layout *layout, enum iot_role role, const char *subfolder,
				 struct iot_publish_device *device, struct iot_error *err)
{
	const struct iot_topic_names names = {
		.thing = device->thing, .type = *device->type != '\0' ? device->type : NULL, .subfolder = subfolder};
	const struct iot_layout_role *of = iot_layout_role(layout, role, names.type);
	enum iot_status status = iot_layout_topic(layout, role, &names, &device->topic, err);

	if (status != IOT_OK)
		return status;
	device->qos = of->qos;
	device->retain = of->retain;
	if (subfolder == NULL || strstr(of->topic, "{subfolder}") != NULL)
		return IOT_OK;
	return iot_fail(err, IOT_USAGE, "layout '%s' has no subfolders for role '%s': its topic is '%s'",
			iot_layout_name(layout), iot_role_name(role), of->topic);
}

enum iot_status iot_publish_role(struct iot_cloud *cloud, enum iot_role role, const char *subfolder,
				 struct iot_publish_device *devices, size_t count, struct iot_error *err)
{
	IOT_CLEAN(iot_layout_free_p) struct iot_layout *layout = NULL;
	enum iot_status status = IOT_OK;

	for (size_t i = 0; i < count && status == IOT_OK; i++) {
		/* Devices of a type mostly follow one another. */
		if (i == 0 || strcmp(devices[i].type, devices[i - 1].type) != 0) {
			iot_layout_free(iot_take(layout));
			status = iot_layout_of_type(cloud, devices[i].type, &layout, err);
		}
		if (status == IOT_OK)
			status = set_topic(layout, role, subfolder, &devices[i], err);
	}
	return status;
}

void iot_publish_devices_free(struct iot_publish_device *devices, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(devices[i].thing);
		free(devices[i].type);
		free(devices[i].topic);
	}
	free(devices);
}
