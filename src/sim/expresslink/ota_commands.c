/*
 * OTA? and OTA: the host's side of an update. What the host asks for is counted
 * in decimal, what it gets in hex.
 */
#include "iotctl/base.h"
#include "iotctl/text.h"
#include "sim/expresslink/module.h"

#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { DETAIL_MAX = 8 * 1024 };

void ota_query(struct module *module, const struct at_command *command)
{
	const struct module_ota *ota = &module->ota;
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(DETAIL_MAX);
	bool wants_document = command->param_len > 0;

	if (wants_document && (module->spec < AT_V1_2 || strcasecmp(command->param, "DOC") != 0)) {
		module_error(module, AT_PARAMETER);
		return;
	}
	iot_buf_addf(&text, "%d %s", (int)ota->state, iot_el_ota_text(ota->state));
	if (wants_document && ota->state != IOT_EL_OTA_IDLE && ota->document != NULL)
		iot_buf_addf(&text, " %s", ota->document);
	if (module->spec < AT_V1_2 && ota->state == IOT_EL_OTA_IMAGE)
		iot_buf_addf(&text, " %u", ota->job.size);
	else if (module->spec < AT_V1_2 && (ota->state == IOT_EL_OTA_MODULE || ota->state == IOT_EL_OTA_HOST))
		iot_buf_addf(&text, " %s", ota->job.job_id);
	module_ok_data(module, "", iot_buf_str(&text), text.len);
}

static void accept(struct module *module)
{
	if (module->ota.state != IOT_EL_OTA_MODULE && module->ota.state != IOT_EL_OTA_HOST) {
		module_error(module, AT_INVALID_OTA);
		return;
	}
	ota_accept(module);
	module_ok(module, "%s", "");
}

/* A decimal number that fills the whole text. */
static bool take_decimal(const char *text, int64_t min, int64_t max, int64_t *ret)
{
	return text[0] >= '0' && text[0] <= '9' && iot_parse_int(text, min, max, ret, NULL) == IOT_OK;
}

static void read_image(struct module *module, const char *argument)
{
	struct module_ota *ota = &module->ota;
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(MODULE_ANSWER_MAX);
	IOT_CLEAN(iot_free_p) char *path = ota_image_path(module);
	IOT_CLEAN(iot_close_p) int fd = -1;
	char data[MODULE_OTA_READ];
	int64_t wanted;
	ssize_t n;

	if (ota->state != IOT_EL_OTA_IMAGE) {
		module_error(module, AT_NO_IMAGE);
		return;
	}
	if (!take_decimal(argument, 1, INT32_MAX, &wanted)) {
		module_error(module, AT_PARAMETER);
		return;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? pread(fd, data, wanted < MODULE_OTA_READ ? (size_t)wanted : MODULE_OTA_READ, ota->read_at) : -1;
	if (n < 0) {
		module_error(module, AT_NO_IMAGE);
		return;
	}
	ota->read_at += (uint32_t)n;
	iot_el_read_format(data, (size_t)n, &text);
	module_ok_data(module, "", iot_buf_str(&text), text.len);
}

static void seek(struct module *module, const char *argument)
{
	struct module_ota *ota = &module->ota;
	int64_t address = 0;

	if (ota->state != IOT_EL_OTA_IMAGE) {
		module_error(module, AT_NO_IMAGE);
		return;
	}
	if (argument[0] != '\0' && !take_decimal(argument, 0, INT64_MAX, &address)) {
		module_error(module, AT_PARAMETER);
		return;
	}
	if (address > ota->job.size) {
		module_error(module, AT_ADDRESS);
		return;
	}
	ota->read_at = (uint32_t)address;
	module_ok(module, "%X", ota->read_at);
}

static void apply(struct module *module)
{
	if (module->ota.state == IOT_EL_OTA_IMAGE) {
		module_error(module, AT_INVALID_OTA);
	} else if (module->ota.state != IOT_EL_OTA_READY) {
		module_error(module, AT_NO_IMAGE);
	} else {
		module->ota.applying = true;
		module->reset_due = true;
		module_ok(module, "%s", "");
	}
}

static void end(struct module *module, bool good)
{
	if (good && module->ota.state == IOT_EL_OTA_IMAGE)
		ota_finish(module, true, "accepted by the host");
	else if (!good)
		ota_finish(module, false, "refused by the host");
	module_ok(module, "%s", "");
}

void ota_command(struct module *module, const struct at_command *command)
{
	const char *space = strchr(command->param, ' ');
	size_t len = space != NULL ? (size_t)(space - command->param) : strlen(command->param);
	const char *argument = space != NULL ? space + 1 : "";
	static const char *const verbs[] = {"ACCEPT", "READ", "SEEK", "APPLY", "CLOSE", "FLUSH"};
	size_t verb = 0;

	while (verb < IOT_LENGTH(verbs) &&
	       (strlen(verbs[verb]) != len || strncasecmp(verbs[verb], command->param, len) != 0))
		verb++;
	if (verb == IOT_LENGTH(verbs) || strlen(command->param) != command->param_len ||
	    (space != NULL && verb != 1 && verb != 2)) {
		module_error(module, AT_PARAMETER);
		return;
	}
	switch (verb) {
	case 0:
		accept(module);
		break;
	case 1:
		read_image(module, argument);
		break;
	case 2:
		seek(module, argument);
		break;
	case 3:
		apply(module);
		break;
	default:
		end(module, verb == 4);
	}
}
