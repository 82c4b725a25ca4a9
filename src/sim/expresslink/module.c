/*
 * The module's life and its answers. Nothing here waits: bytes come in by
 * module_feed, time by module_tick, and what is said collects in `out` for the
 * wire.
 */
#include "sim/expresslink/module.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/fs.h"
#include "iotctl/key.h"
#include "iotctl/log.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { OUT_MAX = 1024 * 1024, PEM_PATIENCE_MS = 30000 };

void module_say(struct module *module, const char *name, const char *fmt, ...)
{
	char detail[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(detail, sizeof(detail), fmt, args);
	va_end(args);
	iot_text_printable(detail);
	if (strcmp(name, "command") == 0 || strcmp(name, "answer") == 0)
		iot_info("%s: %s %s", module->thing, name, detail);
	else
		iot_notice("%s: %s%s%s", module->thing, name, detail[0] != '\0' ? " " : "", detail);
	if (module->event != NULL)
		module->event(name, detail, module->event_data);
}

void module_raise(struct module *module, int event, unsigned param, const char *detail)
{
	at_events_add(&module->events, event, param, detail);
	if (module->pending == PENDING_EVENT)
		module_event_ready(module);
}

/* --- answers ---------------------------------------------------------------- */

/* How long the command in hand is declared to take. */
static int64_t exec_time(const struct module *module)
{
	int64_t time = 0;

	for (size_t i = 0; i < module->options.exec_time_count; i++) {
		const char *text = module->options.exec_times[i], *equals = strchr(text, '=');
		size_t len = equals != NULL ? (size_t)(equals - text) : 0;
		int64_t value;

		if (equals != NULL && (strncasecmp(text, module->command, len) != 0 || module->command[len] != '\0'))
			continue;
		if (iot_parse_duration(equals != NULL ? equals + 1 : text, &value, NULL) == IOT_OK)
			time = value;
	}
	return time;
}

static const char *end_of_line(const struct module *module)
{
	return module->spec == AT_V0_5 ? "\n" : "\r\n";
}

static void flush_answer(struct module *module)
{
	iot_buf_add(&module->out, iot_buf_str(&module->answer), faults_cut(&module->faults, &module->answer));
	if (module->out.over) /* nobody listens */
		iot_buf_clear(&module->out);
	iot_buf_clear(&module->answer);
	module->answer_due = 0;
	module->line_hold = false;
	if (module->reset_due) {
		module->reset_due = false;
		module_reset(module);
	}
}

/* Everything of an answer is there. */
static void end_answer(struct module *module)
{
	int64_t wait = module->exec_ms + faults_delay_ms(&module->faults);

	module->pending = PENDING_NONE;
	module->line_hold = true;
	module->answer_due = iot_monotonic_ms() + wait;
	module_say(module, "answer", "%.*s", (int)strcspn(iot_buf_str(&module->answer), "\r\n"),
		   iot_buf_str(&module->answer));
	if (wait == 0)
		flush_answer(module);
}

static void begin_answer(struct module *module)
{
	iot_buf_clear(&module->answer);
	faults_noise(&module->faults, &module->answer);
}

void module_ok(struct module *module, const char *fmt, ...)
{
	char text[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	module_ok_data(module, "", text, strlen(text));
}

void module_ok_data(struct module *module, const char *prefix, const void *data, size_t len)
{
	begin_answer(module);
	iot_buf_adds(&module->answer, "OK");
	if (len > 0 || prefix[0] != '\0')
		iot_buf_addc(&module->answer, ' ');
	iot_buf_adds(&module->answer, prefix);
	iot_el_escape(data, len, &module->answer);
	iot_buf_adds(&module->answer, end_of_line(module));
	end_answer(module);
}

void module_ok_more(struct module *module, const char *first, const void *more, size_t len)
{
	begin_answer(module);
	iot_buf_adds(&module->answer, "OK1 ");
	iot_el_escape(first, strlen(first), &module->answer);
	iot_buf_adds(&module->answer, end_of_line(module));
	iot_el_escape(more, len, &module->answer);
	iot_buf_adds(&module->answer, end_of_line(module));
	end_answer(module);
}

void module_ok_lines(struct module *module, size_t lines, const char *word, const struct iot_buf *text)
{
	const char *at = iot_buf_str(text);

	begin_answer(module);
	if (module->spec == AT_V0_5)
		iot_buf_addf(&module->answer, "OK %s%s", word, end_of_line(module));
	else
		iot_buf_addf(&module->answer, "OK%zu %s%s", lines, word, end_of_line(module));
	for (size_t i = 0; i < lines; i++) {
		size_t len = strcspn(at, "\n");

		iot_buf_add(&module->answer, at, len);
		iot_buf_adds(&module->answer, end_of_line(module));
		at += len + (at[len] == '\n');
	}
	end_answer(module);
}

void module_error_text(struct module *module, enum at_error error, const char *front, const char *detail)
{
	begin_answer(module);
	iot_buf_addf(&module->answer, "ERR%d %s%s%s%s", (int)error, front, at_error_name(error, module->spec),
		     detail[0] != '\0' ? " " : "", detail);
	iot_buf_adds(&module->answer, end_of_line(module));
	end_answer(module);
}

void module_error(struct module *module, enum at_error error)
{
	module_error_text(module, error, "", "");
}

void module_fail_pending(struct module *module, enum at_error error)
{
	if (module->pending == PENDING_PEM)
		at_pem_release(&module->pem);
	if (module->pending != PENDING_NONE)
		module_error(module, error);
}

/* --- bytes ------------------------------------------------------------------- */

static void note_command(struct module *module, const struct at_command *command)
{
	size_t front = strcspn(command->line, "=");

	snprintf(module->command, sizeof(module->command), "%s", command->word);
	/* What follows may be a passphrase: only its front is told. */
	module_say(module, "command", "%.*s", (int)(front < 60 ? front : 60), command->line);
	module->exec_ms = exec_time(module);
}

static void take_command(struct module *module, const struct at_command *command)
{
	int fault = faults_command(&module->faults, command->line, command->line_len);

	note_command(module, command);
	if (fault < 0) {
		module_say(module, "fault", "reset at %s", module->command);
		module_reset(module);
	} else if (fault > 0) {
		module_error(module, (enum at_error)fault);
	} else {
		module_command(module, command);
	}
}

static void wake(struct module *module)
{
	module->asleep = false;
	module->wake_at = 0;
	module_say(module, "awake", "%s", "");
	module_raise(module, IOT_EL_STARTUP, 0, NULL);
}

size_t module_feed(struct module *module, const char *data, size_t len)
{
	struct at_command command;
	size_t i = 0;

	while (i < len && !module->line_hold && (module->pending == PENDING_NONE || module->pending == PENDING_PEM)) {
		char c = data[i++];

		if (module->asleep && c != '\r' && c != '\n') /* the rest of the end of line does not wake it */
			wake(module);
		if (module->pending == PENDING_PEM) {
			enum at_pem outcome = at_pem_byte(&module->pem, c);

			module->pending_until = iot_monotonic_ms() + PEM_PATIENCE_MS;
			if (outcome != AT_PEM_MORE)
				conf_pem_done(module, outcome);
		} else if (at_server_byte(&module->server, c, &command)) {
			take_command(module, &command);
		}
	}
	return i;
}

/* --- life --------------------------------------------------------------------- */

static void power_on(struct module *module)
{
	char version[16];

	at_server_reset(&module->server);
	at_events_clear(&module->events);
	message_forget(module, true);
	shadow_forget(module);
	dict_restart(module->dict);
	module->pending = PENDING_NONE;
	module->in_confmode = module->asleep = module->announce = module->knows_time = false;
	module->confmode_until = module->wake_at = 0;
	module->started_at = iot_monotonic_ms();
	ota_boot(module);
	dict_set_value(module->dict, "Version", iot_sim_version_text(&module->firmware, version));
	ota_restart(module);
	module_raise(module, IOT_EL_STARTUP, 0, NULL);
	module_say(module, "started", "version %s, %s", version, at_spec_name(module->spec));
}

void module_reset(struct module *module)
{
	if (module->pending == PENDING_PEM)
		at_pem_release(&module->pem);
	module->pending = PENDING_NONE;
	module->line_hold = false;
	module->answer_due = 0;
	iot_buf_clear(&module->answer);
	link_close(module);
	power_on(module);
}

static void expire_pending(struct module *module, int64_t now)
{
	if (module->pending == PENDING_NONE || now < module->pending_until)
		return;
	switch (module->pending) {
	case PENDING_EVENT:
		module_ok(module, "%d 0 %s", IOT_EL_TIMEOUT, iot_el_event_name(IOT_EL_TIMEOUT));
		break;
	case PENDING_PEM:
		conf_pem_done(module, AT_PEM_BAD);
		break;
	case PENDING_SEND:
		module_error(module, AT_NO_CONNECTION);
		break;
	default: /* connecting has a deadline of its own */
		break;
	}
}

void module_tick(struct module *module)
{
	int64_t now = iot_monotonic_ms();

	if (module->answer_due > 0 && now >= module->answer_due)
		flush_answer(module);
	expire_pending(module, now);
	if (module->wake_at > 0 && now >= module->wake_at)
		wake(module);
	if (module->confmode_until > 0 && now >= module->confmode_until) {
		module->confmode_until = 0;
		module->in_confmode = false;
		module_raise(module, IOT_EL_CONFMODE, 0, NULL);
	}
	link_tick(module, now);
	ota_tick(module, now);
}

static int64_t sooner(int64_t a, int64_t b)
{
	return b > 0 && b < a ? b : a;
}

int64_t module_deadline(const struct module *module)
{
	int64_t next = sooner(link_deadline(module), ota_deadline(module));

	next = sooner(next, module->answer_due);
	next = sooner(next, module->wake_at);
	next = sooner(next, module->confmode_until);
	if (module->pending != PENDING_NONE && module->pending != PENDING_CONNECT)
		next = sooner(next, module->pending_until);
	return next;
}

static enum iot_status read_options(struct module *module, struct iot_error *err)
{
	const struct iot_sim_expresslink_options *o = &module->options;
	enum iot_status status = IOT_OK;

	module->spec = AT_V1_3;
	if (o->spec != NULL && !at_spec_parse(o->spec, &module->spec))
		return iot_fail(err, IOT_USAGE, "'%s' is not a version of the guide: v0.5, v1.0, v1.1, v1.2 or v1.3",
				o->spec);
	if ((o->vendor_ca == NULL) != (o->vendor_key == NULL))
		return iot_fail(err, IOT_USAGE, "a vendor's CA is a certificate and its key: both or neither");
	if (o->wifi_password != NULL) {
		struct iot_secret_source file = iot_secret_from_file(o->wifi_password);

		status = file.read(file.context, "the Wi-Fi network", &module->wifi_password, err);
	}
	faults_init(&module->faults, o->seed);
	for (size_t i = 0; i < o->fault_count && status == IOT_OK; i++)
		status = faults_add(&module->faults, o->faults[i], err);
	for (size_t i = 0; i < o->exec_time_count && status == IOT_OK; i++) {
		const char *equals = strchr(o->exec_times[i], '=');
		int64_t ignored;

		status = iot_parse_duration(equals != NULL ? equals + 1 : o->exec_times[i], &ignored, err);
	}
	return status;
}

enum iot_status module_new(const struct iot_sim_expresslink_options *options,
			   void (*event)(const char *name, const char *detail, void *data), void *data,
			   struct module **ret, struct iot_error *err)
{
	struct module *module = iot_alloc(sizeof(*module));
	enum iot_status status;

	module->options = *options;
	module->event = event;
	module->event_data = data;
	module->lock_fd = -1;
	module->answer = (struct iot_buf)IOT_BUF_INIT(MODULE_ANSWER_MAX);
	module->out = (struct iot_buf)IOT_BUF_INIT(OUT_MAX);
	module->wifi_password = (struct iot_buf)IOT_BUF_SECRET(IOT_SECRET_MAX);
	status = read_options(module, err);
	if (status == IOT_OK)
		status = state_open(module, err);
	if (status != IOT_OK) {
		module_free(module);
		return status;
	}
	at_server_init(&module->server, module->spec);
	power_on(module);
	*ret = module;
	return IOT_OK;
}

void module_free(struct module *module)
{
	if (module == NULL)
		return;
	if (module->pending == PENDING_PEM)
		at_pem_release(&module->pem);
	if (module->mqtt != NULL)
		iot_mqtt_disconnect(module->mqtt, 0);
	iot_mqtt_free(module->mqtt);
	ota_release(module);
	message_forget(module, true);
	shadow_forget(module);
	at_server_release(&module->server);
	dict_free(module->dict);
	faults_release(&module->faults);
	iot_buf_release(&module->answer);
	iot_buf_release(&module->out);
	iot_buf_release(&module->wifi_password);
	iot_close_p(&module->lock_fd);
	free(module->staging);
	free(module->dir);
	free(module->cert_file);
	free(module->key_file);
	free(module->ca_file);
	free(module);
}
