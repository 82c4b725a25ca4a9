/*
 * The host's life: its boot loader decides what runs, the image behaves as its
 * header says, and a running one keeps its module connected, sends telemetry and
 * fetches what the module has for it. It polls for events, as a host without the
 * EVENT pin does.
 */
#include "sim/host.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/fs.h"
#include "iotctl/json.h"
#include "iotctl/log.h"
#include "iotctl/text.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>

enum {
	WATCHDOG_MS = 2000,
	INTERVAL_MS = 10000,
	POLL_MS = 100,
	STARTUP_MS = 1000, /* a module that was up before tells nothing */
	RESTART_MS = 50,
	REOPEN_MS = 300,
	BACKOFF_MIN_MS = 200,
	BACKOFF_MAX_MS = 5000,
	STABLE_MS = 10000, /* a connection that held so long was a good one */
	USELESS_BOOTS = 3
};

enum { TOPIC_TELEMETRY = 1, TOPIC_COMMAND, TOPIC_CONFIG, TOPIC_REPLY, TOPIC_COUNT };

static const char *const topic_tails[TOPIC_COUNT] = {NULL, "telemetry", "command", "config", "reply"};

/* Between the name of an event and what there is to say of it, which is a sentence of its own for some. */
static const char *joint(const char *name, const char *detail)
{
	static const char *const sentences[] = {"failed", "module lost", "not connected", "not sent", "update"};

	for (size_t i = 0; i < IOT_LENGTH(sentences); i++)
		if (strcmp(name, sentences[i]) == 0)
			return ": ";
	return detail[0] != '\0' ? " " : "";
}

void host_say(struct sim_host *host, const char *name, const char *fmt, ...)
{
	char detail[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(detail, sizeof(detail), fmt, args);
	va_end(args);
	iot_text_printable(detail);
	if (iot_starts_with(detail, name))
		iot_notice("host: %s", detail);
	else
		iot_log(strcmp(name, "telemetry") == 0 ? IOT_LOG_INFO : IOT_LOG_NOTICE, "host: %s%s%s", name,
			joint(name, detail), detail);
	if (host->event != NULL)
		host->event(name, detail, host->event_data);
}

/* True when told to end meanwhile. */
static bool pause_for(const struct sim_host *host, int64_t ms)
{
	struct pollfd fd = {.fd = host->signals, .events = POLLIN};

	return poll(&fd, 1, (int)ms) > 0;
}

/* --- when to connect ---------------------------------------------------------------------- */

static void connect_later(struct sim_host *host)
{
	host->backoff_ms = host->backoff_ms == 0 ? BACKOFF_MIN_MS : host->backoff_ms * 2;
	host->backoff_ms = host->backoff_ms < BACKOFF_MAX_MS ? host->backoff_ms : BACKOFF_MAX_MS;
	host->connect_at = iot_monotonic_ms() + host->backoff_ms;
}

/* A broker ends the connection of who does what its policy does not allow: at once again would be for ever. */
static void connection_lost(struct sim_host *host)
{
	int64_t held = iot_monotonic_ms() - host->connected_at;

	if (!host->connected)
		return;
	host->connected = false;
	if (held >= STABLE_MS)
		host->backoff_ms = 0;
	connect_later(host);
	host_say(host, "connection lost", "after %.1f s, next attempt in %.1f s%s", (double)held / 1000,
		 (double)host->backoff_ms / 1000,
		 held < STABLE_MS ? "; does a policy allow its topics, and is no other client of this name?" : "");
}

/* --- messages -------------------------------------------------------------------------- */

static enum iot_status send_text(struct sim_host *host, int topic, const char *text, struct iot_error *err)
{
	struct iot_at_answer answer = IOT_AT_ANSWER_INIT;
	char command[32];
	enum iot_status status;

	snprintf(command, sizeof(command), "SEND%d ", topic);
	status = host_ask(host, command, text, 0, true, &answer, err);
	if (status == IOT_OK && !answer.ok) {
		host_say(host, "not sent", "%s", iot_el_error(answer.code)->text);
		if (answer.code == 6)
			connection_lost(host);
	}
	iot_at_answer_release(&answer);
	return status;
}

static enum iot_status send_telemetry(struct sim_host *host, struct iot_error *err)
{
	IOT_JSON body = json_object();
	IOT_CLEAN(iot_free_p) char *text = NULL;
	char version[16];

	iot_json_set_str(body, "firmware", iot_sim_version_text(&host->booted.firmware, version));
	iot_json_set_int(body, "sequence", ++host->sequence);
	iot_json_set_int(body, "uptime", (iot_monotonic_ms() - host->booted_at) / 1000);
	text = iot_json_text(body);
	host_say(host, "telemetry", "%s", text);
	return send_text(host, TOPIC_TELEMETRY, text, err);
}

static enum iot_status take_command(struct sim_host *host, const struct iot_buf *message, struct iot_error *err)
{
	IOT_JSON command = NULL;
	IOT_JSON reply = NULL;
	IOT_CLEAN(iot_free_p) char *text = NULL;

	host_say(host, "command", "%s", iot_buf_str(message));
	if (iot_json_parse(iot_buf_str(message), message->len, "command", &command, NULL) != IOT_OK)
		return IOT_OK;
	reply = json_object();
	iot_json_set_str(reply, "status", "done");
	iot_json_set_str(reply, "token", iot_json_str(command, "token", NULL));
	text = iot_json_text(reply);
	return send_text(host, TOPIC_REPLY, text, err);
}

/* {"interval": seconds} is what it understands. */
static void take_config(struct sim_host *host, const struct iot_buf *message)
{
	IOT_JSON config = NULL;
	int64_t seconds;

	host_say(host, "config", "%s", iot_buf_str(message));
	if (iot_json_parse(iot_buf_str(message), message->len, "config", &config, NULL) != IOT_OK)
		return;
	seconds = iot_json_int(config, "interval", 0);
	if (seconds > 0 && seconds <= 86400)
		host->interval_ms = seconds * 1000;
}

static enum iot_status take_message(struct sim_host *host, int topic, struct iot_error *err)
{
	struct iot_at_answer answer = IOT_AT_ANSWER_INIT;
	struct iot_buf message = IOT_BUF_INIT(IOT_SERIAL_LINE_MAX);
	char command[16];
	enum iot_status status;

	snprintf(command, sizeof(command), "GET%d", topic);
	status = host_ask(host, command, NULL, 0, true, &answer, err);
	if (status == IOT_OK && answer.ok && answer.text.len > 0 &&
	    iot_el_unescape(iot_buf_str(&answer.text), answer.text.len, &message)) {
		if (topic == TOPIC_COMMAND)
			status = take_command(host, &message, err);
		else if (topic == TOPIC_CONFIG)
			take_config(host, &message);
	}
	iot_buf_release(&message);
	iot_at_answer_release(&answer);
	return status;
}

/* --- connection -------------------------------------------------------------------------- */

static enum iot_status set_topics(struct sim_host *host, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	for (int i = 1; i < TOPIC_COUNT && status == IOT_OK; i++) {
		IOT_CLEAN(iot_free_p) char *value = iot_strf("Topic%d=%s/%s", i, host->topic, topic_tails[i]);

		status = host_do(host, "CONF ", value, err);
	}
	return status;
}

static enum iot_status connect_module(struct sim_host *host, struct iot_error *err)
{
	struct iot_at_answer answer = IOT_AT_ANSWER_INIT;
	enum iot_status status = host_ask(host, "CONNECT", NULL, IOT_EL_RESPOND_MS, true, &answer, err);

	if (status == IOT_OK && answer.ok) {
		host->connected = true;
		host->connected_at = iot_monotonic_ms();
		host->telemetry_at = iot_monotonic_ms();
		host_say(host, "connected", "as %s", host->thing);
	} else if (status == IOT_OK) {
		host_say(host, "not connected", "%s", iot_buf_str(&answer.text));
		connect_later(host);
	}
	iot_at_answer_release(&answer);
	/* In staging a module has only its own topics: it is enough to have been there. */
	for (int i = TOPIC_COMMAND; i <= TOPIC_CONFIG && status == IOT_OK && host->connected; i++) {
		struct iot_at_answer subscribed = IOT_AT_ANSWER_INIT;
		char command[32];

		snprintf(command, sizeof(command), "SUBSCRIBE%d", i);
		status = host_ask(host, command, NULL, 0, false, &subscribed, err);
		iot_at_answer_release(&subscribed);
	}
	return status;
}

/* --- events -------------------------------------------------------------------------------- */

/* The module started: what it does not keep is told to it again. */
static enum iot_status module_started(struct sim_host *host, struct iot_error *err)
{
	host->connected = false;
	host->connect_at = iot_monotonic_ms();
	return set_topics(host, err);
}

static enum iot_status take_event(struct sim_host *host, const struct iot_el_event *event, struct iot_error *err)
{
	switch (event->id) {
	case IOT_EL_MSG:
		return take_message(host, event->param, err);
	case IOT_EL_STARTUP:
		host_say(host, "module started", "%s", "");
		return module_started(host, err);
	case IOT_EL_CONLOST:
		connection_lost(host);
		return IOT_OK;
	case IOT_EL_OTA:
		return host_update(host, err);
	default:
		return IOT_OK;
	}
}

/* Take one event; *ret_any says whether there was one. */
static enum iot_status poll_event(struct sim_host *host, bool *ret_any, struct iot_el_event *ret, struct iot_error *err)
{
	struct iot_at_answer answer = IOT_AT_ANSWER_INIT;
	enum iot_status status = host_ask(host, "EVENT?", NULL, 0, true, &answer, err);

	*ret_any = false;
	if (status == IOT_OK && answer.ok &&
	    !iot_el_event_parse(iot_buf_str(&answer.text), answer.text.len, ret, ret_any))
		*ret_any = false;
	iot_at_answer_release(&answer);
	return status;
}

static enum iot_status wait_for_startup(struct sim_host *host, struct iot_error *err)
{
	int64_t deadline = iot_deadline(STARTUP_MS);
	struct iot_el_event event = {0};
	enum iot_status status;
	bool any;

	do {
		status = poll_event(host, &any, &event, err);
		if (status != IOT_OK || (any && event.id == IOT_EL_STARTUP))
			return status;
	} while (any || (iot_left(deadline) > 0 && !pause_for(host, POLL_MS)));
	return IOT_OK;
}

/* --- a running image -------------------------------------------------------------------------- */

/* "{name}" in a topic stands for the thing name. */
static char *fill_topic(const char *pattern, const char *thing)
{
	static const char word[] = "{name}";
	const char *at = strstr(pattern, word);

	if (at == NULL)
		return iot_strdup(pattern);
	return iot_strf("%.*s%s%s", (int)(at - pattern), pattern, thing, at + strlen(word));
}

static enum iot_status set_up(struct sim_host *host, struct iot_error *err)
{
	struct iot_buf name = IOT_BUF_INIT(sizeof(host->thing) - 1);
	enum iot_status status = host_open(host, err);

	host->module_seen = host->module_seen || status == IOT_OK;
	if (status == IOT_OK)
		status = wait_for_startup(host, err);
	if (status == IOT_OK)
		status = host_conf(host, "ThingName", &name, err);
	if (status == IOT_OK) {
		snprintf(host->thing, sizeof(host->thing), "%s", iot_buf_str(&name));
		free(host->topic);
		host->topic = fill_topic(host->options.topic != NULL ? host->options.topic : "{name}", host->thing);
		status = set_topics(host, err);
	}
	if (status == IOT_OK)
		status = host_update(host, err); /* what was going on before this boot */
	iot_buf_release(&name);
	return status;
}

/* One look at everything there is to do. */
static enum iot_status step(struct sim_host *host, bool *ret_busy, struct iot_error *err)
{
	struct iot_el_event event = {0};
	enum iot_status status = poll_event(host, ret_busy, &event, err);

	if (status == IOT_OK && *ret_busy)
		status = take_event(host, &event, err);
	if (status == IOT_OK && host->next == HOST_GOES_ON && !host->connected &&
	    iot_monotonic_ms() >= host->connect_at)
		status = connect_module(host, err);
	if (status == IOT_OK && host->next == HOST_GOES_ON && host->connected &&
	    iot_monotonic_ms() >= host->telemetry_at) {
		host->telemetry_at = iot_monotonic_ms() + host->interval_ms;
		status = send_telemetry(host, err);
	}
	return status;
}

static enum iot_status serve(struct sim_host *host, struct iot_error *err)
{
	enum iot_status status = set_up(host, err);
	bool busy = false;

	while (status == IOT_OK && host->next == HOST_GOES_ON) {
		if (iot_monotonic_ms() >= host->end_at || (!busy && pause_for(host, POLL_MS)))
			host->next = HOST_ENDS;
		else
			status = step(host, &busy, err);
	}
	return status;
}

/* The module does not answer, or its port is gone: it may have lost power, and comes back. */
static bool comes_back(struct sim_host *host, enum iot_status status, struct iot_error *err)
{
	char line[1024];

	if ((status != IOT_BOARD && status != IOT_TIMEOUT) || !host->module_seen)
		return false;
	host_say(host, "module lost", "%s", iot_error_line(err, line, sizeof(line)));
	iot_error_clear(err);
	iot_serial_close(host->serial);
	host->serial = NULL;
	host->connected = false;
	if (pause_for(host, REOPEN_MS) || iot_monotonic_ms() >= host->end_at)
		host->next = HOST_ENDS;
	return true;
}

static enum iot_status run_image(struct sim_host *host, struct iot_error *err)
{
	enum iot_status status;

	host->next = HOST_GOES_ON;
	host->connected = false;
	host->connect_at = 0;
	host->booted_at = iot_monotonic_ms();
	do {
		status = serve(host, err);
	} while (comes_back(host, status, err) && host->next == HOST_GOES_ON);
	return host->next == HOST_ENDS ? IOT_OK : status;
}

/* --- boot loader -------------------------------------------------------------------------------- */

/* An image that crashes or hangs though it is not under test will do so for ever. */
static enum iot_status useless(struct sim_host *host, struct iot_error *err)
{
	char version[16];

	if (host->booted.boot == SIM_BOOT_TEST || ++host->useless_boots < USELESS_BOOTS)
		return IOT_OK;
	return iot_fail(err, IOT_FAILURE, "image %s in slot '%s' does not run",
			iot_sim_version_text(&host->booted.firmware, version), sim_slot_name(host->booted.slot));
}

static enum iot_status boot_once(struct sim_host *host, bool factory_boot, struct iot_error *err)
{
	enum iot_status status = sim_slots_boot(&host->slots, host->reset, factory_boot, &host->booted, err);
	char version[16];

	if (status != IOT_OK)
		return status;
	host->next = HOST_RESTARTS;
	host_say(host, "booted", "%s from slot %s (%s)", iot_sim_version_text(&host->booted.firmware, version),
		 sim_slot_name(host->booted.slot), sim_boot_name(host->booted.boot));
	switch (host->booted.firmware.behaviour) {
	case IOT_SIM_CRASH:
		host_say(host, "crashed", "%s", version);
		host->reset = SIM_RESET_CRASH;
		return useless(host, err);
	case IOT_SIM_HANG:
		host_say(host, "hangs", "%s", version);
		host->reset = SIM_RESET_WATCHDOG;
		if (pause_for(host, host->options.watchdog_ms > 0 ? host->options.watchdog_ms : WATCHDOG_MS))
			host->next = HOST_ENDS;
		return useless(host, err);
	default:
		host->useless_boots = 0;
		host->reset = SIM_RESET_SOFT;
		return run_image(host, err);
	}
}

static enum iot_status live(struct sim_host *host, struct iot_error *err)
{
	bool factory_boot = host->options.factory_boot;
	enum iot_status status;

	do {
		status = boot_once(host, factory_boot, err);
		factory_boot = false;
		if (status == IOT_OK && host->next == HOST_RESTARTS &&
		    (pause_for(host, RESTART_MS) || iot_monotonic_ms() >= host->end_at))
			host->next = HOST_ENDS;
	} while (status == IOT_OK && host->next != HOST_ENDS);
	if (status == IOT_INTERRUPTED) { /* told to end while the module was being asked */
		iot_error_clear(err);
		status = IOT_OK;
	}
	if (status == IOT_OK && host->options.once && host->last_update != IOT_OK)
		status = iot_fail(err, host->last_update, "the update of the host failed");
	return status;
}

static enum iot_status open_host(struct sim_host *host, struct iot_error *err)
{
	const struct iot_sim_host_options *o = &host->options;
	IOT_CLEAN(iot_free_p) char *dir = o->dir != NULL ? iot_strdup(o->dir) : iot_strf("%s.host", o->port);
	enum iot_status status = IOT_OK;

	if (o->certificate != NULL)
		status = iot_key_load_public(o->certificate, &host->key, err);
	if (status == IOT_OK)
		status = sim_slots_open(dir, o->image, &host->slots, err);
	return status;
}

static void release_host(struct sim_host *host)
{
	iot_serial_close(host->serial);
	sim_slots_release(&host->slots);
	iot_key_free(host->key);
	iot_close_p(&host->signals);
	free(host->topic);
}

enum iot_status iot_sim_host_run(const struct iot_sim_host_options *options,
				 void (*event)(const char *name, const char *detail, void *data), void *data,
				 struct iot_error *err)
{
	struct sim_host host = {.options = *options, .event = event, .event_data = data, .signals = -1};
	sigset_t signals, before;
	enum iot_status status;

	host.slots.lock_fd = -1;
	host.interval_ms = options->interval_ms > 0 ? options->interval_ms : INTERVAL_MS;
	host.end_at = options->exit_after_ms > 0 ? iot_deadline(options->exit_after_ms) : INT64_MAX;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, &before);
	host.signals = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	status = host.signals >= 0 ? open_host(&host, err)
				   : iot_fail_errno(err, IOT_FAILURE, errno, "cannot wait for signals");
	if (status == IOT_OK)
		status = live(&host, err);
	release_host(&host);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return status;
}
