/* What the host says to its module: commands by the AT engine, judged as ExpressLink answers. */
#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "sim/host.h"

#include <string.h>

enum { COMMAND_MS = 10000, SYNC_MS = 10000 };

static bool garbled(int code)
{
	return code == 1 || code == 2 || code == 3 || code == 5 || code == -1;
}

static const struct iot_at_dialect dialect = {
	.name = "ExpressLink module",
	.eol = "\n",
	.probe = "AT",
	.judge = iot_el_judge,
	.retries = 2,
	.garbled = garbled,
};

enum iot_status host_open(struct sim_host *host, struct iot_error *err)
{
	const struct iot_serial_options options = {
		.path = host->options.port, .baud = IOT_EL_BAUD, .interrupt_fd = host->signals};
	enum iot_status status;

	if (host->serial != NULL)
		return iot_at_sync(&host->at, SYNC_MS, err);
	status = iot_serial_open(&options, &host->serial, err);
	if (status != IOT_OK)
		return status;
	host->at = (struct iot_at){.serial = host->serial, .dialect = &dialect};
	return iot_at_sync(&host->at, SYNC_MS, err);
}

enum iot_status host_ask(struct sim_host *host, const char *command, const char *more, int timeout_ms, bool once,
			 struct iot_at_answer *answer, struct iot_error *err)
{
	struct iot_buf escaped = IOT_BUF_INIT(IOT_EL_COMMAND_MAX);
	enum iot_status status;

	iot_el_escape(more != NULL ? more : "", more != NULL ? strlen(more) : 0, &escaped);
	status = iot_buf_check(&escaped, command, err);
	if (status == IOT_OK) {
		const struct iot_at_call call = {
			.texts = IOT_AT_TEXTS({"AT+", false}, {command, false}, {iot_buf_str(&escaped), false}),
			.timeout_ms = timeout_ms > 0 ? timeout_ms : COMMAND_MS,
			.once = once,
		};

		status = iot_at_call(&host->at, &call, answer, err);
	}
	iot_buf_release(&escaped);
	return status;
}

enum iot_status host_do(struct sim_host *host, const char *command, const char *more, struct iot_error *err)
{
	struct iot_at_answer answer = IOT_AT_ANSWER_INIT;
	enum iot_status status = host_ask(host, command, more, 0, false, &answer, err);

	if (status == IOT_OK && !answer.ok)
		status = iot_fail(err, IOT_BOARD, "the module refused '%s': %s", command,
				  iot_el_error(answer.code)->text);
	iot_at_answer_release(&answer);
	return status;
}

enum iot_status host_conf(struct sim_host *host, const char *key, struct iot_buf *ret, struct iot_error *err)
{
	struct iot_at_answer answer = IOT_AT_ANSWER_INIT;
	enum iot_status status = host_ask(host, "CONF? ", key, 0, false, &answer, err);

	if (status == IOT_OK && (!answer.ok || !iot_el_unescape(iot_buf_str(&answer.text), answer.text.len, ret)))
		status = iot_fail(err, IOT_BOARD, "the module does not tell its %s", key);
	iot_at_answer_release(&answer);
	return status;
}
