/*
 * The hook: a program that is told of each board, without a shell, its record on
 * stdin, with a deadline. What it does with it changes nothing about the board.
 */
#include "fleet/station_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { GRACE_MS = 500 };

void hooks_init(struct hooks *hooks, const struct iot_station_recipe *recipe)
{
	*hooks = (struct hooks){.recipe = recipe, .queue = json_array()};
	for (size_t i = 0; i < HOOKS_AT_ONCE; i++)
		hooks->running[i].process = (struct iot_process)IOT_PROCESS_INIT;
}

enum iot_status hooks_check(const struct iot_station_recipe *recipe, struct iot_error *err)
{
	const char *program = recipe->hook != NULL ? recipe->hook[0] : NULL;

	if (program == NULL || strchr(program, '/') == NULL || access(program, X_OK) == 0)
		return IOT_OK;
	iot_fail_errno(err, IOT_NOT_FOUND, errno, "cannot run the hook '%s' of recipe '%s'", program, recipe->name);
	iot_error_hint(err, "a path in 'hook.command' begins at the folder of the recipe; 'chmod +x' makes a script a "
			    "program");
	return IOT_NOT_FOUND;
}

void hooks_add(struct hooks *hooks, const json_t *record)
{
	if (hooks->recipe->hook != NULL)
		json_array_append(hooks->queue, (json_t *)(uintptr_t)record);
}

bool hooks_idle(const struct hooks *hooks)
{
	for (size_t i = 0; i < HOOKS_AT_ONCE; i++)
		if (hooks->running[i].process.pid > 0)
			return false;
	return json_array_size(hooks->queue) == 0;
}

/* The record as a file in memory: nobody waits for a program that does not read it. */
static int record_file(const json_t *record)
{
	IOT_CLEAN(iot_free_p) char *text = iot_json_text(record);
	IOT_CLEAN(iot_close_p) int fd = memfd_create("iotctl-record", MFD_CLOEXEC);

	if (fd < 0 || dprintf(fd, "%s\n", text) < 0 || lseek(fd, 0, SEEK_SET) != 0)
		return -1;
	return iot_take_fd(&fd);
}

static enum iot_status start(const struct hooks *hooks, struct hook *hook, const json_t *record, struct iot_error *err)
{
	IOT_CLEAN(iot_close_p) int in = record_file(record);
	const struct iot_process_options options = {
		.argv = hooks->recipe->hook, .in_fd = in, .die_with_parent = true, .new_session = true};

	hook->unit = iot_json_int(record, "unit", 0);
	hook->stopped = false;
	hook->deadline = iot_deadline(hooks->recipe->hook_ms);
	if (in < 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot tell the hook");
	return iot_process_start(&options, &hook->process, err);
}

/* One that ended or took too long: *ret_code is -1 for the latter. */
static bool over(struct hook *hook, int *ret_code)
{
	if (iot_process_ended(&hook->process, ret_code))
		return true;
	if (iot_left(hook->deadline) > 0)
		return false;
	iot_process_stop(&hook->process, GRACE_MS);
	*ret_code = -1;
	return true;
}

enum iot_status hooks_run(struct hooks *hooks,
			  enum iot_status (*ended)(int64_t unit, int code, void *data, struct iot_error *err),
			  void *data, struct iot_error *err)
{
	struct iot_error ignored = IOT_ERROR_INIT;
	enum iot_status status = IOT_OK;

	for (size_t i = 0; status == IOT_OK && i < HOOKS_AT_ONCE; i++) {
		struct hook *hook = &hooks->running[i];
		json_t *next = json_array_get(hooks->queue, 0);
		int code = -1;

		if (hook->process.pid > 0 && over(hook, &code)) {
			iot_process_release(&hook->process);
			status = ended(hook->unit, code, data, err);
		}
		if (status != IOT_OK || hook->process.pid > 0 || next == NULL)
			continue;
		if (start(hooks, hook, next, &ignored) != IOT_OK)
			status = ended(hook->unit, -1, data, err);
		json_array_remove(hooks->queue, 0);
	}
	return status;
}

void hooks_release(struct hooks *hooks)
{
	for (size_t i = 0; hooks->recipe != NULL && i < HOOKS_AT_ONCE; i++) {
		iot_process_stop(&hooks->running[i].process, GRACE_MS);
		iot_process_release(&hooks->running[i].process);
	}
	json_decref(hooks->queue);
	hooks->queue = NULL;
}
