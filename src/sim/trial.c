/* Trying new trust: a client that connects a few times, and a verdict. */
#include "sim/trial.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"

#include <stdio.h>

enum { ATTEMPTS = 3, AGAIN_MS = 1000, GIVE_UP_MS = 30000, IO_MS = 1000 };

struct sim_trial {
	struct iot_mqtt *mqtt;
	char *filter;
	int mid;
	int attempts;
	unsigned connections;
	int64_t connect_at, io_at, give_up_at;
	enum sim_verdict verdict;
	char reason[160];
};

static void failed(struct sim_trial *trial, const char *why)
{
	snprintf(trial->reason, sizeof(trial->reason), "%s", why);
	if (++trial->attempts >= ATTEMPTS)
		trial->verdict = SIM_TRIAL_BAD;
	trial->connect_at = iot_monotonic_ms() + AGAIN_MS;
}

static void on_connected(struct iot_mqtt *mqtt, void *data)
{
	struct sim_trial *trial = data;
	struct iot_error err = IOT_ERROR_INIT;

	if (iot_mqtt_subscribe(mqtt, trial->filter, 1, &trial->mid, &err) != IOT_OK)
		failed(trial, err.what);
}

static void on_disconnected(struct iot_mqtt *mqtt, enum iot_status status, const char *reason, void *data)
{
	(void)mqtt, (void)status;
	failed(data, reason);
}

static void on_subscribed(struct iot_mqtt *mqtt, int mid, bool granted, void *data)
{
	struct sim_trial *trial = data;

	(void)mqtt;
	if (mid != trial->mid)
		return;
	trial->verdict = granted ? SIM_TRIAL_GOOD : SIM_TRIAL_BAD;
	if (!granted)
		snprintf(trial->reason, sizeof(trial->reason), "the broker refuses the jobs topics");
}

enum iot_status sim_trial_new(const struct iot_mqtt_options *options, const char *thing, int64_t now,
			      struct sim_trial **ret, struct iot_error *err)
{
	static const struct iot_mqtt_events events = {
		.connected = on_connected, .disconnected = on_disconnected, .subscribed = on_subscribed};
	struct sim_trial *trial = iot_alloc(sizeof(*trial));
	enum iot_status status = iot_mqtt_new(options, &events, trial, &trial->mqtt, err);

	trial->filter = iot_strf("$aws/things/%s/jobs/notify-next", thing);
	trial->connect_at = now;
	trial->io_at = now + IO_MS;
	trial->give_up_at = now + GIVE_UP_MS;
	if (status != IOT_OK) {
		sim_trial_free(trial);
		return status;
	}
	*ret = trial;
	return IOT_OK;
}

void sim_trial_free(struct sim_trial *trial)
{
	if (trial == NULL)
		return;
	if (trial->mqtt != NULL)
		iot_mqtt_disconnect(trial->mqtt, 0);
	iot_mqtt_free(trial->mqtt);
	free(trial->filter);
	free(trial);
}

void sim_trial_tick(struct sim_trial *trial, int64_t now)
{
	struct iot_error err = IOT_ERROR_INIT;

	if (trial->verdict != SIM_TRIAL_UNDECIDED)
		return;
	if (now >= trial->give_up_at) {
		trial->verdict = SIM_TRIAL_BAD;
		if (*trial->reason == '\0')
			snprintf(trial->reason, sizeof(trial->reason), "nobody answers");
		return;
	}
	if (now >= trial->connect_at) {
		trial->connect_at = INT64_MAX;
		trial->connections++;
		if (iot_mqtt_start(trial->mqtt, &err) != IOT_OK)
			failed(trial, err.what);
		trial->io_at = now; /* it may have failed already */
	}
	if (now >= trial->io_at)
		sim_trial_io(trial, 0);
}

void sim_trial_io(struct sim_trial *trial, short revents)
{
	trial->io_at = iot_monotonic_ms() + IO_MS;
	iot_mqtt_io(trial->mqtt, revents);
}

int64_t sim_trial_deadline(const struct sim_trial *trial)
{
	int64_t next = trial->connect_at < trial->io_at ? trial->connect_at : trial->io_at;

	if (trial->verdict != SIM_TRIAL_UNDECIDED)
		return 0;
	return trial->give_up_at < next ? trial->give_up_at : next;
}

int sim_trial_fd(const struct sim_trial *trial)
{
	return iot_mqtt_fd(trial->mqtt);
}

short sim_trial_poll_events(const struct sim_trial *trial)
{
	return iot_mqtt_poll_events(trial->mqtt);
}

unsigned sim_trial_connections(const struct sim_trial *trial)
{
	return trial->connections;
}

enum sim_verdict sim_trial_verdict(const struct sim_trial *trial)
{
	return trial->verdict;
}

const char *sim_trial_reason(const struct sim_trial *trial)
{
	return trial->reason;
}
