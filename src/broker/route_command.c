/*
 * A command that reads events from its standard input: started when there is something for it, fed as fast as it reads,
 * started again after a pause that grows while it keeps ending.
 */
#include "broker/routes.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { STOP_MS = 500, END_MS = 2000 /* to end when its input was closed */ };

/* It is gone: not again before the pause is over. */
static void put_off(struct route_command *command)
{
	int64_t now = iot_monotonic_ms();

	if (command->started != 0 && now - command->started >= ROUTE_STEADY_MS)
		command->backoff = 0;
	command->backoff = command->backoff == 0 ? ROUTE_RETRY_MS : command->backoff * 2;
	if (command->backoff > ROUTE_BACKOFF_MAX_MS)
		command->backoff = ROUTE_BACKOFF_MAX_MS;
	command->next = now + command->backoff;
	command->started = 0;
	command->written = 0;
}

static enum iot_status start(struct route_command *command, struct iot_error *err)
{
	const struct iot_process_options options = {.argv = command->argv,
						    .log_path = command->log,
						    .feed = true,
						    .die_with_parent = true,
						    .new_session = true};
	enum iot_status status = iot_process_start(&options, &command->process, err);

	if (status != IOT_OK) {
		put_off(command);
		return status;
	}
	command->started = iot_monotonic_ms();
	return IOT_OK;
}

static enum iot_status has_ended(struct route_command *command, int code, struct iot_error *err)
{
	iot_process_release(&command->process);
	put_off(command);
	if (code > 128)
		return iot_fail(err, IOT_FAILURE, "'%s' was ended by signal %d (%s)", command->argv[0], code - 128,
				strsignal(code - 128));
	return iot_fail(err, IOT_FAILURE, "'%s' ended with code %d", command->argv[0], code);
}

/* It has closed its input: of no more use. That it ends is seen later. */
static void give_up(struct route_command *command)
{
	route_command_close(command);
	kill(command->process.pid, SIGTERM);
	command->kill = iot_deadline(END_MS);
}

/* False: it takes no more now. */
static bool feed_line(struct route_command *command, const struct route_line *line)
{
	while (command->written < line->len) {
		ssize_t n = write(command->process.in_fd, line->data + command->written, line->len - command->written);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			give_up(command);
		if (n < 0)
			return false;
		command->written += (size_t)n;
	}
	command->written = 0;
	return true;
}

enum iot_status route_command_feed(struct route_command *command, struct route_queue *queue, int64_t *ret_lines,
				   struct iot_error *err)
{
	enum iot_status status = IOT_OK;
	int code = 0;

	*ret_lines = 0;
	if (command->process.pid > 0 && iot_process_ended(&command->process, &code))
		return has_ended(command, code, err);
	if (command->process.pid > 0 && command->process.in_fd < 0 && iot_left(command->kill) == 0)
		kill(command->process.pid, SIGKILL);
	if (queue->first == NULL)
		return IOT_OK;
	if (command->process.pid <= 0) {
		if (iot_left(command->next) > 0)
			return IOT_OK;
		status = start(command, err);
	}
	while (status == IOT_OK && queue->first != NULL && command->process.in_fd >= 0 &&
	       feed_line(command, queue->first)) {
		route_queue_drop_first(queue);
		(*ret_lines)++;
	}
	return status;
}

void route_command_close(struct route_command *command)
{
	iot_close_p(&command->process.in_fd);
	command->process.in_fd = -1;
}

bool route_command_ended(struct route_command *command)
{
	if (!iot_process_ended(&command->process, NULL))
		return false;
	iot_process_release(&command->process);
	return true;
}

void route_command_release(struct route_command *command)
{
	route_command_close(command);
	iot_process_stop(&command->process, STOP_MS);
	iot_process_release(&command->process);
}
