/*
 * The board. It boots what its boot loader says, lets the image behave as its
 * header tells (run, crash, hang), and while one runs keeps a connection and an
 * agent. What the agent wants (a restart) is done only after libmosquitto has
 * returned, since it ends the connection.
 */
#include "sim/device_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/streamcbor.h"
#include "iotctl/tls.h"

#include <stdio.h>
#include <string.h>

enum {
	BLOCK_SIZE = 4096,
	WINDOW = 8,
	WATCHDOG_MS = 2000,
	REQUEST_TIMEOUT_MS = 2000,
	RESTART_MS = 50,
	USELESS_BOOTS = 3, /* an image that is not under test and never runs */
	REPORT_MS = 60000, /* so long new trust that is proved waits to be reported over the old */
};

/* What an event is called in a line for people, and how loud it is. */
static const struct {
	const char *name, *words;
	bool quiet;
} event_words[] = {
	{"booted", "booted", false},
	{"connected", "connected", false},
	{"lost", "not connected:", false},
	{"job", "job", false},
	{"download", "downloading", false},
	{"progress", "downloading", false},
	{"stall", "stream:", true},
	{"foreign", "stream:", true},
	{"signature", "signature", false},
	{"ready", "ready to test", false},
	{"test", "self test of", false},
	{"accepted", "accepted", false},
	{"rejected", "", false},
	{"failed", "", false},
	{"reported", "reported", false},
	{"unreported", "the cloud does not want the report on", false},
	{"refused", "refused:", false},
	{"gone", "", false},
	{"idle", "", true},
	{"reverted", "", false},
	{"crashed", "crashed", false},
	{"hangs", "hangs", false},
	{"watchdog", "watchdog reset", false},
	{"command", "command", false},
	{"unanswered", "cannot answer command", false},
	{"configured", "has its configuration,", false},
	{"peer", "another device", false},
	{"said", "says", true},
	{"trouble", "behaviour:", false},
	{"trust", "new trust:", false},
};

void device_say(struct sim_device *device, const char *name, const char *fmt, ...)
{
	enum iot_log_level level = device->hooks.level;
	const char *words = name;
	char detail[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(detail, sizeof(detail), fmt, args);
	va_end(args);
	for (size_t i = 0; i < IOT_LENGTH(event_words); i++) {
		if (strcmp(event_words[i].name, name) != 0)
			continue;
		words = event_words[i].words;
		if (event_words[i].quiet && level < IOT_LOG_INFO)
			level = IOT_LOG_INFO;
	}
	iot_log(level, "%s: %s%s%s", device->config.thing, words, words[0] != '\0' && detail[0] != '\0' ? " " : "",
		detail);
	if (device->hooks.event != NULL)
		device->hooks.event(device->config.thing, name, detail, device->hooks.data);
}

void device_end(struct sim_device *device, enum iot_status status)
{
	device->ended = true;
	device->end_status = status;
}

/* --- booting ------------------------------------------------------------------ */

static void turn_off(struct sim_device *device, enum sim_reset reset, int64_t for_ms)
{
	device_unplug(device);
	sim_trial_free(device->trial);
	device->trial = NULL;
	device->state = BOARD_OFF;
	device->reset = reset;
	device->state_until = iot_monotonic_ms() + for_ms;
}

/* The same device with what is new. */
static enum iot_status begin_trial(struct sim_device *device, int64_t now)
{
	const struct sim_trust *trust = &device->trust;
	struct iot_mqtt_options options = device_client_options(device);

	if (trust->endpoint[0] != '\0')
		options.host = trust->endpoint;
	if (trust->port > 0)
		options.port = trust->port;
	if (trust->has_root)
		options.ca_file = trust->root_path;
	return sim_trial_new(&options, device->config.thing, now, &device->trial, &device->error);
}

static void run_image(struct sim_device *device, int64_t now)
{
	device->useless_boots = 0;
	device->settle_at = device->trust.state == SIM_TRUST_PROVED ? now + REPORT_MS : INT64_MAX;
	if (device->trust.state == SIM_TRUST_TRYING && device->booted.boot != SIM_BOOT_TEST) {
		device->state = BOARD_RUNNING;
		device->connect_at = INT64_MAX;
		if (begin_trial(device, now) != IOT_OK)
			device_end(device, device->error.status);
		return;
	}
	if (device_plug_in(device, now) != IOT_OK) {
		device_end(device, device->error.status);
		return;
	}
	device->state = BOARD_RUNNING;
}

/* An image that crashes or hangs though it is not under test will do so for ever. */
static bool is_useless(struct sim_device *device)
{
	char version[16];

	if (device->booted.boot == SIM_BOOT_TEST || ++device->useless_boots < USELESS_BOOTS)
		return false;
	device_end(device,
		   iot_fail(&device->error, IOT_FAILURE, "image %s in slot '%s' does not run: it %s at every boot",
			    iot_sim_version_text(&device->booted.firmware, version), sim_slot_name(device->booted.slot),
			    device->booted.firmware.behaviour == IOT_SIM_CRASH ? "crashes" : "hangs"));
	return true;
}

static void boot(struct sim_device *device, int64_t now)
{
	enum iot_status status =
		sim_slots_boot(&device->slots, device->reset, device->factory_boot, &device->booted, &device->error);
	char version[16];

	if (status != IOT_OK) {
		device_end(device, status);
		return;
	}
	device->factory_boot = false;
	iot_sim_version_text(&device->booted.firmware, version);
	device_say(device, "booted", "%s from %s (%s)", version,
		   device->booted.slot == SIM_FACTORY ? "factory"
		   : device->booted.slot == SIM_A     ? "slot a"
						      : "slot b",
		   sim_boot_name(device->booted.boot));
	if (device->booted.boot == SIM_BOOT_REVERT && device->slots.report.job_id[0] != '\0')
		device_say(device, "reverted", "%s", device->slots.report.reason);
	switch (device->booted.firmware.behaviour) {
	case IOT_SIM_CRASH:
		device_say(device, "crashed", "%s", version);
		if (!is_useless(device))
			turn_off(device, SIM_RESET_CRASH, RESTART_MS);
		break;
	case IOT_SIM_HANG:
		device_say(device, "hangs", "%s", version);
		device->state = BOARD_HANGING;
		device->state_until = now + device->options.watchdog_ms;
		break;
	default:
		run_image(device, now);
	}
}

/* --- new trust -------------------------------------------------------------------- */

/* A board whose flash does not take what must be remembered cannot go on. */
static bool stored(struct sim_device *device, enum iot_status status)
{
	if (status != IOT_OK)
		device_end(device, status);
	return status == IOT_OK;
}

/* The end of the job is said over the old trust, which is sure to be heard. */
static enum iot_status note_end(struct sim_device *device, bool good, const char *reason)
{
	struct sim_report report = {0};

	snprintf(report.job_id, sizeof(report.job_id), "%s", device->trust.job_id);
	snprintf(report.status, sizeof(report.status), "%s", good ? "SUCCEEDED" : "FAILED");
	snprintf(report.reason, sizeof(report.reason), "%.128s", reason);
	return sim_slots_set_report(&device->slots, &report, &device->error);
}

static void end_trial(struct sim_device *device)
{
	bool good = sim_trial_verdict(device->trial) == SIM_TRIAL_GOOD;
	IOT_CLEAN(iot_free_p)
	char *reason =
		good ? iot_strf("connected to %s with the new trust",
				device->trust.endpoint[0] != '\0' ? device->trust.endpoint : device->config.endpoint)
		     : iot_strf("kept the old trust: %s", sim_trial_reason(device->trial));

	device_say(device, "trust", "%s", reason);
	if (!stored(device, note_end(device, good, reason)) ||
	    !stored(device, good ? sim_trust_proved(&device->trust, &device->error)
				 : sim_trust_forget(&device->trust, &device->error)))
		return;
	turn_off(device, SIM_RESET_SOFT, RESTART_MS);
}

static void settle(struct sim_device *device)
{
	const struct sim_trust *trust = &device->trust;

	if (trust->endpoint[0] != '\0') {
		free(device->config.endpoint);
		device->config.endpoint = iot_strdup(trust->endpoint);
	}
	if (trust->port > 0)
		device->config.port = trust->port;
	device_say(device, "trust", "the old one is given up");
	if (stored(device, sim_trust_settle(&device->trust, &device->error)))
		turn_off(device, SIM_RESET_SOFT, RESTART_MS);
}

/* Has it led to something? True if so, and nothing else is to be done now. */
static bool follow_trust(struct sim_device *device)
{
	if (device->ended || device->state != BOARD_RUNNING)
		return false;
	if (device->trial != NULL && sim_trial_verdict(device->trial) != SIM_TRIAL_UNDECIDED) {
		end_trial(device);
		return true;
	}
	if (device->trust.state != SIM_TRUST_PROVED ||
	    (device->slots.report.job_id[0] != '\0' && iot_monotonic_ms() < device->settle_at))
		return false;
	settle(device);
	return true;
}

/* --- for the loop --------------------------------------------------------------- */

static void follow_agent(struct sim_device *device)
{
	if (follow_trust(device) || device->ended || device->agent == NULL)
		return;
	if (sim_agent_wish(device->agent) == SIM_RESTART)
		turn_off(device, SIM_RESET_SOFT, RESTART_MS);
	else if (device->options.once && sim_agent_idle(device->agent))
		device_end(device, device->last_job);
}

void sim_device_tick(struct sim_device *device)
{
	int64_t now = iot_monotonic_ms();

	if (device->ended)
		return;
	if (device->state == BOARD_OFF && now >= device->state_until) {
		boot(device, now);
	} else if (device->state == BOARD_HANGING && now >= device->state_until) {
		device_say(device, "watchdog", "%s", "");
		if (!is_useless(device))
			turn_off(device, SIM_RESET_WATCHDOG, RESTART_MS);
	}
	if (device->state != BOARD_RUNNING || device->ended)
		return;
	if (device->trial != NULL)
		sim_trial_tick(device->trial, now);
	else if (now >= device->connect_at)
		device_connect(device);
	if (device->mqtt != NULL && now >= device->io_at)
		sim_device_io(device, 0);
	if (device->agent != NULL)
		sim_agent_tick(device->agent, now);
	if (device->talk != NULL)
		sim_talk_tick(device->talk, now);
	follow_agent(device);
}

void sim_device_io(struct sim_device *device, short revents)
{
	if (device->trial != NULL && !device->ended) {
		sim_trial_io(device->trial, revents);
		follow_agent(device);
		return;
	}
	if (device->mqtt == NULL || device->ended)
		return;
	device->io_at = iot_monotonic_ms() + DEVICE_IO_MS;
	iot_mqtt_io(device->mqtt, revents);
	follow_agent(device);
}

int64_t sim_device_deadline(const struct sim_device *device)
{
	int64_t next = device->io_at, agent, talk;

	if (device->ended)
		return INT64_MAX;
	if (device->state != BOARD_RUNNING)
		return device->state_until;
	if (device->trial != NULL)
		return sim_trial_deadline(device->trial);
	agent = sim_agent_deadline(device->agent);
	next = agent < next ? agent : next;
	talk = sim_talk_deadline(device->talk);
	next = talk < next ? talk : next;
	next = device->settle_at < next ? device->settle_at : next;
	return device->connect_at < next ? device->connect_at : next;
}

int sim_device_fd(const struct sim_device *device)
{
	if (device->trial != NULL)
		return sim_trial_fd(device->trial);
	return device->mqtt != NULL ? iot_mqtt_fd(device->mqtt) : -1;
}

short sim_device_poll_events(const struct sim_device *device)
{
	if (device->trial != NULL)
		return sim_trial_poll_events(device->trial);
	return device->mqtt != NULL ? iot_mqtt_poll_events(device->mqtt) : 0;
}

bool sim_device_is_connected(const struct sim_device *device)
{
	return device->mqtt != NULL && iot_mqtt_is_connected(device->mqtt);
}

unsigned sim_device_connections(const struct sim_device *device)
{
	return device->connections + (device->trial != NULL ? sim_trial_connections(device->trial) : 0);
}

bool sim_device_is_idle(const struct sim_device *device)
{
	return device->agent != NULL && sim_agent_idle(device->agent);
}

bool sim_device_ended(const struct sim_device *device, enum iot_status *ret_status)
{
	if (device->ended && ret_status != NULL)
		*ret_status = device->end_status;
	return device->ended;
}

const struct iot_error *sim_device_error(const struct sim_device *device)
{
	return &device->error;
}

const char *sim_device_thing(const struct sim_device *device)
{
	return device->config.thing;
}

static enum iot_status check_options(struct iot_sim_device_options *options, struct iot_error *err)
{
	if (options->block_size == 0)
		options->block_size = BLOCK_SIZE;
	if (options->window == 0)
		options->window = WINDOW;
	if (options->watchdog_ms == 0)
		options->watchdog_ms = WATCHDOG_MS;
	if (options->request_timeout_ms == 0)
		options->request_timeout_ms = REQUEST_TIMEOUT_MS;
	if (options->block_size < IOT_STREAM_BLOCK_MIN || options->block_size > IOT_STREAM_BLOCK_MAX)
		return iot_fail(err, IOT_USAGE, "a block is of %d to %d bytes, not %d", IOT_STREAM_BLOCK_MIN,
				IOT_STREAM_BLOCK_MAX, options->block_size);
	if (options->window < 1 || options->window > 1024)
		return iot_fail(err, IOT_USAGE, "a window is of 1 to 1024 blocks, not %d", options->window);
	if (options->watchdog_ms < 0 || options->request_timeout_ms < 0)
		return iot_fail(err, IOT_USAGE, "a time-out cannot be negative");
	return IOT_OK;
}

enum iot_status sim_device_new(const struct iot_sim_device_options *options, const struct sim_device_hooks *hooks,
			       struct sim_device **ret, struct iot_error *err)
{
	struct sim_device *device = iot_alloc(sizeof(*device));
	enum iot_status status;

	device->slots.lock_fd = -1;
	device->options = *options;
	device->hooks = *hooks;
	device->factory_boot = options->factory_boot;
	status = check_options(&device->options, err);
	if (status == IOT_OK)
		status = iot_tls_any_anchor(err);
	if (status == IOT_OK)
		status = sim_faults_parse(options->fault, &device->faults, &device->client_id, err);
	if (status == IOT_OK)
		status = sim_config_load(options->dir, &device->config, err);
	if (status == IOT_OK)
		status = sim_slots_open(device->config.sim_dir, options->image, &device->slots, err);
	if (status == IOT_OK)
		status = sim_trust_open(options->dir, &device->trust, err);
	if (status == IOT_OK && device->trust.settled) {
		sim_config_release(&device->config);
		status = sim_config_load(options->dir, &device->config, err);
	}
	device->options.dir = device->options.image = device->options.fault = NULL;
	if (status != IOT_OK) {
		sim_device_free(device);
		return status;
	}
	*ret = device;
	return IOT_OK;
}

void sim_device_free(struct sim_device *device)
{
	if (device == NULL)
		return;
	turn_off(device, SIM_RESET_POWER, 0);
	sim_slots_release(&device->slots);
	sim_trust_release(&device->trust);
	sim_config_release(&device->config);
	free(device->client_id);
	free(device);
}
