/* Asking a cloud whether a device is connected, and waiting until it is. */
#include "fleet/presence.h"

#include "fleet/fleet_private.h"
#include "fleet/lifecycle.h"
#include "iotctl/base.h"
#include "iotctl/clock.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

enum {
	POLL_MS = 50,
	INDEX_MS = 1000, /* asking AWS's index costs a request each time */
	SECOND_MS = 1000,
};

enum iot_status fleet_presence(struct iot_cloud *cloud, const char *thing, struct presence *ret, struct iot_error *err)
{
	struct iot_error ignored = IOT_ERROR_INIT;
	IOT_JSON reply = NULL;
	IOT_JSON state = NULL;
	const char *id;
	enum iot_status status =
		fleet_call(cloud, "GetThingConnectivityData", json_pack("{s:s}", "thingName", thing), &reply, err);

	*ret = (struct presence){0};
	if (status != IOT_OK)
		return status;
	ret->connected = iot_json_bool(reply, "connected", false);
	ret->since = fleet_time_ms(reply, "timestamp") / 1000;
	/* Only our own clouds tell with which certificate; elsewhere the thing's name has to do. */
	if (!ret->connected ||
	    fleet_call(cloud, "GetDeviceState", json_pack("{s:s}", "thingName", thing), &state, &ignored) != IOT_OK)
		return IOT_OK;
	id = iot_json_str(json_object_get(state, "connection"), "certificateId", NULL);
	ret->with_certificate = id != NULL;
	snprintf(ret->certificate_id, sizeof(ret->certificate_id), "%s", id != NULL ? id : "");
	return IOT_OK;
}

static bool is_aws(const struct presence_wait *wait)
{
	return !fleet_is_local(wait->cloud) && !fleet_is_remote(wait->cloud);
}

static enum iot_status hear(const struct presence_wait *wait, struct presence *ret, struct iot_error *err)
{
	struct lifecycle_state state;
	enum iot_status status = lifecycle_hear(wait->lifecycle, 0, &state, err);

	*ret = (struct presence){0};
	if (status != IOT_OK)
		return status;
	ret->connected = ret->with_certificate = state.connected;
	ret->since = state.since;
	memcpy(ret->certificate_id, state.certificate_id, sizeof(ret->certificate_id));
	return IOT_OK;
}

static enum iot_status look(const struct presence_wait *wait, struct presence *ret, struct iot_error *err)
{
	struct iot_error fault = IOT_ERROR_INIT;
	enum iot_status status;

	if (wait->lifecycle != NULL)
		return hear(wait, ret, err);
	status = fleet_presence(wait->cloud, wait->thing, ret, &fault);
	if (status == IOT_OK)
		return IOT_OK;
	/* A thing that the index has not seen yet is not connected; off, being built, or not for us: nobody knows. */
	ret->untold = is_aws(wait) && (strcmp(fault.code, "IndexNotReadyException") == 0 || status == IOT_DENIED);
	if (ret->untold || (is_aws(wait) && fleet_missing(&fault)))
		return IOT_OK;
	if (err != NULL)
		*err = fault;
	return status;
}

static enum iot_status pause_for(const struct presence_wait *wait, int ms, struct iot_error *err)
{
	struct pollfd fd = {wait->interrupt_fd, POLLIN, 0};

	if (poll(&fd, 1, ms) > 0)
		return iot_fail(err, IOT_INTERRUPTED, "interrupted");
	return IOT_OK;
}

enum iot_status fleet_presence_before(struct presence_wait *wait, struct iot_error *err)
{
	int64_t deadline = iot_deadline(SECOND_MS);
	enum iot_status status = look(wait, &wait->before, err);

	wait->told_at = iot_now_ms() / SECOND_MS;
	while (status == IOT_OK && wait->before.connected && wait->before.since >= wait->told_at &&
	       iot_left(deadline) > 0) {
		status = pause_for(wait, POLL_MS, err);
		wait->told_at = iot_now_ms() / SECOND_MS;
	}
	return status;
}

static bool is_it(const struct presence_wait *wait, const struct presence *seen)
{
	bool ours = !seen->with_certificate || wait->certificate_id == NULL ||
		    strcmp(seen->certificate_id, wait->certificate_id) == 0;
	bool fresh = wait->told_at == 0 || !wait->before.connected || seen->since != wait->before.since ||
		     seen->since >= wait->told_at;

	return seen->connected && ours && fresh;
}

enum iot_status fleet_await_presence(const struct presence_wait *wait, int64_t deadline, bool *ret_seen,
				     struct presence *seen, struct iot_error *err)
{
	for (;;) {
		enum iot_status status = look(wait, seen, err);

		if (status != IOT_OK)
			return status;
		*ret_seen = is_it(wait, seen);
		if (*ret_seen || seen->untold || iot_left(deadline) == 0)
			return IOT_OK;
		status = pause_for(wait, is_aws(wait) && wait->lifecycle == NULL ? INDEX_MS : POLL_MS, err);
		if (status != IOT_OK)
			return status;
	}
}
