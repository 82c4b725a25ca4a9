/*
 * The table of commands, and those that are small. A word that the answered
 * version of the guide does not have is a command not found, as on such a module.
 */
#include "sim/expresslink/module.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/text.h"

#include <string.h>
#include <strings.h>
#include <time.h>

enum { CONFMODE_MS = 1000, EVENT_WAIT_MAX_S = 120, SLEEP_MAX_S = 86400 * 30, SLEEP_MODE_MAX = 1 };

/* Decimal seconds of a parameter; false if it is none. */
static bool take_seconds(const struct at_command *command, int64_t max, int64_t *ret)
{
	return strlen(command->param) == command->param_len &&
	       iot_parse_int(command->param, 0, max, ret, NULL) == IOT_OK;
}

static void run_reset(struct module *module, const struct at_command *command)
{
	(void)command;
	module->reset_due = true;
	module_ok(module, "%s", "");
}

static void run_factory_reset(struct module *module, const struct at_command *command)
{
	(void)command;
	link_close(module);
	state_factory_reset(module);
	module->reset_due = true;
	module_ok(module, "%s", "");
}

static void run_time(struct module *module, const struct at_command *command)
{
	int64_t now = iot_now_ms();
	time_t seconds = (time_t)(now / 1000);
	struct tm tm;
	char text[64];

	(void)command;
	if (!module->knows_time) {
		module_error(module, AT_NO_TIME);
		return;
	}
	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "date %Y/%m/%d time %H:%M:%S", &tm);
	module_ok(module, "%s.%02d SNTP", text, (int)(now % 1000 / 10));
}

static void run_where(struct module *module, const struct at_command *command)
{
	(void)command;
	module_error(module, AT_NO_LOCATION);
}

/* What our data sheet lists: UPTIME, SEED. */
static void run_diag(struct module *module, const struct at_command *command)
{
	if (strcasecmp(command->param, "UPTIME") == 0)
		module_ok(module, "%lld", (long long)((iot_monotonic_ms() - module->started_at) / 1000));
	else if (strcasecmp(command->param, "SEED") == 0)
		module_ok(module, "%llu", (unsigned long long)module->options.seed);
	else
		module_error(module, AT_PARAMETER);
}

static void run_sleep(struct module *module, const struct at_command *command)
{
	int mode = command->number > SLEEP_MODE_MAX ? SLEEP_MODE_MAX : command->number > 0 ? command->number : 0;
	int64_t seconds = 0;

	if (command->param_len > 0 && !take_seconds(command, SLEEP_MAX_S, &seconds)) {
		module_error(module, AT_PARAMETER);
		return;
	}
	if (module->link != LINK_OFF) {
		module_error(module, AT_ACTIVE);
		return;
	}
	at_events_clear(&module->events);
	module_ok(module, "%d", mode);
	module->asleep = true;
	module->wake_at = seconds > 0 ? iot_monotonic_ms() + seconds * 1000 : 0;
}

static void run_confmode(struct module *module, const struct at_command *command)
{
	(void)command;
	if (module->link != LINK_OFF) {
		module_error(module, AT_ACTIVE);
		return;
	}
	module->in_confmode = true;
	module->confmode_until = iot_monotonic_ms() + CONFMODE_MS; /* somebody enters credentials, quickly */
	module_ok(module, "CONFMODE ENABLED");
}

static void answer_event(struct module *module, const struct at_event *event)
{
	const char *name = iot_el_event_name(event->id);

	module_ok(module, "%d %u %s%s%s", event->id, event->param, name != NULL ? name : "UNKNOWN",
		  event->detail[0] != '\0' ? " " : "", event->detail);
}

static void run_event(struct module *module, const struct at_command *command)
{
	struct at_event event;

	(void)command;
	if (at_events_take(&module->events, &event))
		answer_event(module, &event);
	else
		module_ok(module, "%s", "");
}

void module_event_ready(struct module *module)
{
	struct at_event event;

	if (module->pending == PENDING_EVENT && at_events_take(&module->events, &event))
		answer_event(module, &event);
}

static void run_event_wait(struct module *module, const struct at_command *command)
{
	int64_t seconds = EVENT_WAIT_MAX_S;

	if (command->param_len > 0 && !take_seconds(command, EVENT_WAIT_MAX_S, &seconds)) {
		module_error(module, AT_PARAMETER);
		return;
	}
	module->pending = PENDING_EVENT;
	module->pending_until = iot_monotonic_ms() + seconds * 1000;
	module_event_ready(module);
}

enum suffix { NO_SUFFIX, MAY_SUFFIX };

static const struct {
	const char *word;
	enum at_spec since;
	enum suffix suffix;
	void (*run)(struct module *module, const struct at_command *command);
} commands[] = {
	{"CONNECT?", AT_V0_5, NO_SUFFIX, link_status},
	{"CONNECT", AT_V0_5, NO_SUFFIX, link_connect},
	{"CONNECT!", AT_V1_0, NO_SUFFIX, link_connect_async},
	{"DISCONNECT", AT_V0_5, NO_SUFFIX, link_disconnect},
	{"SLEEP", AT_V0_5, MAY_SUFFIX, run_sleep},
	{"CONFMODE", AT_V0_5, NO_SUFFIX, run_confmode},
	{"RESET", AT_V0_5, NO_SUFFIX, run_reset},
	{"FACTORY_RESET", AT_V0_5, NO_SUFFIX, run_factory_reset},
	{"CONF", AT_V0_5, NO_SUFFIX, conf_write},
	{"CONF?", AT_V0_5, NO_SUFFIX, conf_read},
	{"SEND", AT_V0_5, MAY_SUFFIX, message_send},
	{"GET", AT_V0_5, MAY_SUFFIX, message_get},
	{"SUBSCRIBE", AT_V0_5, MAY_SUFFIX, message_subscribe},
	{"UNSUBSCRIBE", AT_V0_5, MAY_SUFFIX, message_unsubscribe},
	{"EVENT?", AT_V0_5, NO_SUFFIX, run_event},
	{"EVENT!", AT_V1_2, NO_SUFFIX, run_event_wait},
	{"OTA?", AT_V0_5, NO_SUFFIX, ota_query},
	{"OTA", AT_V0_5, NO_SUFFIX, ota_command},
	{"SHADOW", AT_V1_1, MAY_SUFFIX, shadow_command},
	{"TIME?", AT_V0_5, NO_SUFFIX, run_time},
	{"WHERE?", AT_V0_5, NO_SUFFIX, run_where},
	{"DIAG", AT_V0_5, NO_SUFFIX, run_diag},
};

void module_command(struct module *module, const struct at_command *command)
{
	if (command->bare) {
		module_ok(module, "%s", "");
		return;
	}
	if (command->word[0] == '\0') {
		module_error(module, command->error);
		return;
	}
	for (size_t i = 0; i < IOT_LENGTH(commands); i++) {
		if (strcmp(commands[i].word, command->word) != 0 || commands[i].since > module->spec)
			continue;
		if (command->number >= 0 && commands[i].suffix == NO_SUFFIX)
			module_error(module, AT_PARAMETER);
		else if (command->error != AT_OK)
			module_error(module, command->error);
		else
			commands[i].run(module, command);
		return;
	}
	module_error(module, AT_NO_COMMAND);
}
