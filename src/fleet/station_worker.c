/*
 * A worker: one process for one board, forked from the station and without an
 * exec. What provisioning opens (the port, the registry, the journal) is opened
 * in it and by it alone, so it can be killed at any time and takes nothing with
 * it: the station itself never has a database or a port open. When the station
 * dies its workers die with it.
 */
#include "fleet/station_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/log.h"
#include "iotctl/store.h"

#include "fleet/fleet_private.h"
#include "fleet/journal.h"
#include "fleet/provision_private.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MESSAGE_MAX = 128 * 1024, GO_MS = 60000 };

/* --- messages ------------------------------------------------------------------------------- */

static bool send_message(int fd, json_t *message)
{
	IOT_JSON owned = message;
	IOT_CLEAN(iot_free_p) char *text = iot_json_text(message);
	ssize_t n;

	do {
		n = send(fd, text, strlen(text), MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n >= 0;
}

static json_t *receive(int fd, int flags, bool *ret_ended)
{
	static char text[MESSAGE_MAX];
	struct iot_error ignored = IOT_ERROR_INIT;
	json_t *message = NULL;
	ssize_t n;

	do {
		n = recv(fd, text, sizeof(text), flags);
	} while (n < 0 && errno == EINTR);
	*ret_ended = n == 0 || (n < 0 && errno != EAGAIN);
	if (n > 0 && iot_json_parse(text, (size_t)n, "message", &message, &ignored) != IOT_OK)
		*ret_ended = true;
	return message;
}

/* --- in the worker ---------------------------------------------------------------------------- */

struct work {
	const struct iot_station_options *options;
	const char *port;
	int fd;
	struct iot_cloud *cloud, *fleet;
};

static void tell_step(const char *step, void *data)
{
	const struct work *work = data;

	(void)send_message(work->fd, json_pack("{s:s, s:I}", "step", step, "at", (json_int_t)iot_monotonic_ms()));
}

static void tell_note(enum iot_log_level level, const char *line, void *data)
{
	const struct work *work = data;

	if (level <= IOT_LOG_WARNING)
		(void)send_message(work->fd, json_pack("{s:s}", "note", line));
}

static json_t *error_message(const struct iot_error *err)
{
	char line[1200];

	return json_pack("{s:{s:i, s:s, s:s, s:s}}", "error", "number", (int)err->status, "status",
			 iot_status_name(err->status), "code", err->code, "line",
			 iot_error_line(err, line, sizeof(line)));
}

/* Was this board here before? By the journal of this station. */
static enum iot_status ask_journal(const struct work *work, const char *uid, const char **ret, char **ret_serial,
				   struct iot_error *err)
{
	IOT_CLEAN(iot_store_close_p) struct iot_store *journal = NULL;
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	const struct provision named = {.cloud = work->cloud};
	bool any = false;
	enum iot_status status = journal_open(work->options->journal, &journal, err);

	if (status == IOT_OK)
		status = iot_stmt_query(journal, &stmt, &any, err,
					"SELECT state, serial_number FROM boards WHERE fleet = ? AND uid = ?", "ss",
					provision_fleet(&named), uid);
	if (status == IOT_OK && any) {
		*ret = strcmp(iot_stmt_text(stmt, 0), "done") == 0 ? "done" : "open";
		*ret_serial = iot_strdup(iot_stmt_text(stmt, 1));
	}
	return status;
}

static enum iot_status found_one(json_t *item, void *data, struct iot_error *err)
{
	(void)item;
	(void)err;
	*(bool *)data = true;
	return IOT_OK;
}

/* Has another station made it a device of this fleet? One that is too small for a certificate has a shared secret. */
static enum iot_status ask_registry(const struct work *work, const char *uid, const char **ret, struct iot_error *err)
{
	bool psk = work->options->recipe->description->key == IOT_BOARD_KEY_PSK, any = false;
	enum iot_status status;

	if (iot_cert_check_name(uid, NULL) != IOT_OK)
		return IOT_OK;
	status = fleet_each(work->cloud, psk ? "iotctl:ListPsks" : "ListThingPrincipals",
			    json_pack("{s:s}", "thingName", uid), psk ? "psks" : "principals", found_one, &any, err);
	if (status != IOT_OK && fleet_missing(err)) {
		iot_error_clear(err);
		return IOT_OK;
	}
	if (status == IOT_OK && any)
		*ret = "registry";
	return status;
}

static enum iot_status identify(const struct work *work, struct iot_board_identity *ret, struct iot_error *err)
{
	const struct iot_station_recipe *recipe = work->options->recipe;
	struct iot_board_options options = {
		.serial = {.path = work->port,
			   .baud = recipe->baud,
			   .interrupt_fd = work->fd,
			   .pulse = (enum iot_serial_pulse)recipe->pulse},
		.description = recipe->description,
	};
	IOT_CLEAN(iot_board_close_p) struct iot_board *board = NULL;
	enum iot_status status;

	iot_board_description_line(recipe->description, &options.serial);
	status = iot_board_open(recipe->description->ops, &options, &board, err);
	tell_step("identify", (void *)(uintptr_t)work);
	return status == IOT_OK ? iot_board_identify(board, ret, err) : status;
}

static enum iot_status introduce(struct work *work, struct iot_error *err)
{
	struct iot_board_identity identity = IOT_BOARD_IDENTITY_INIT;
	IOT_CLEAN(iot_free_p) char *serial = NULL;
	const char *owner = "none";
	json_t *message;
	enum iot_status status = identify(work, &identity, err);

	if (status == IOT_OK)
		status = work->options->open_cloud(work->options->data, &work->cloud, &work->fleet, err);
	if (status == IOT_OK)
		status = ask_journal(work, identity.uid, &owner, &serial, err);
	if (status == IOT_OK && strcmp(owner, "none") == 0)
		status = ask_registry(work, identity.uid, &owner, err);
	if (status == IOT_OK) {
		message = json_pack("{s:{s:s, s:s, s:s, s:s}, s:s}", "identity", "uid", identity.uid, "vendor",
				    identity.vendor, "model", identity.model, "version", identity.version, "owner",
				    owner);
		iot_json_set_str(message, "serial", serial);
		if (!send_message(work->fd, message))
			status = iot_fail(err, IOT_INTERRUPTED, "the station is gone");
	}
	iot_board_identity_release(&identity);
	return status;
}

static enum iot_status provision(struct work *work, const json_t *go, struct iot_error *err)
{
	const struct iot_station_recipe *recipe = work->options->recipe;
	struct iot_secret_source password = iot_secret_from_file(recipe->wifi_password_file);
	const struct iot_provision_spec spec = {
		.board = recipe->board,
		.port = work->port,
		.baud = recipe->baud,
		.name = iot_json_str(go, "alias", NULL),
		.serial_number = iot_json_str(go, "serial", NULL),
		.type = recipe->type,
		.policies = recipe->policies,
		.groups = recipe->groups,
		.wifi_ssid = recipe->wifi_ssid,
		.wifi_password = recipe->wifi_password_file != NULL ? &password : NULL,
		.apn = recipe->apn,
		.endpoint = recipe->endpoint,
		.endpoint_port = recipe->endpoint_port,
		.codesign = recipe->codesign,
		.fleet = work->fleet,
		.aws_issues = work->options->aws_issues,
		.root_ca = work->options->root_ca,
		.watch = work->options->watch,
		.replace = work->options->replace,
		.lock = recipe->lock,
		.locks = recipe->locks,
		.pulse = recipe->pulse,
		.journal = work->options->journal,
		.interrupt_fd = work->fd,
		.connect_timeout_ms = (int)recipe->connect_ms,
		.progress = tell_step,
		.data = work,
	};
	IOT_JSON record = NULL;
	enum iot_status status = iot_provision(work->cloud, &spec, &record, err);

	if (status == IOT_OK)
		(void)send_message(work->fd, json_pack("{s:O}", "device", record));
	return status;
}

static void work_on(struct work *work)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct pollfd waiting = {.fd = work->fd, .events = POLLIN};
	IOT_JSON go = NULL;
	bool ended = false;
	enum iot_status status = introduce(work, &err);

	if (status == IOT_OK && poll(&waiting, 1, GO_MS) > 0)
		go = receive(work->fd, MSG_DONTWAIT, &ended);
	if (go != NULL)
		status = provision(work, go, &err);
	if (status != IOT_OK)
		(void)send_message(work->fd, error_message(&err));
	iot_cloud_free(work->cloud);
	iot_cloud_free(work->fleet);
}

static _Noreturn void be_worker(const struct worker_job *job, int fd, pid_t station)
{
	struct work work = {.options = job->options, .port = job->port, .fd = fd};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != station)
		_exit(0);
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_IGN); /* of the terminal: the station decides */
	iot_log_set_sink(tell_note, &work);
	work_on(&work);
	_exit(0); /* nothing of the station's is flushed or released twice */
}

/* --- in the station ------------------------------------------------------------------------------ */

enum iot_status worker_start(const struct worker_job *job, const int *close_fds, size_t close_count, struct worker *ret,
			     struct iot_error *err)
{
	pid_t station = getpid(), pid;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot start a worker");
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		for (size_t i = 0; i < close_count; i++)
			if (close_fds[i] >= 0)
				close(close_fds[i]);
		be_worker(job, ends[1], station);
	}
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot start a worker");
	}
	ret->pid = pid;
	ret->fd = ends[0];
	return IOT_OK;
}

enum iot_status worker_go(struct worker *worker, const char *serial, const char *alias, struct iot_error *err)
{
	json_t *go = json_object();

	iot_json_set_str(go, "serial", serial);
	iot_json_set_str(go, "alias", alias);
	return send_message(worker->fd, go) ? IOT_OK : iot_fail(err, IOT_FAILURE, "the worker is gone");
}

json_t *worker_read(struct worker *worker, bool *ret_ended)
{
	return receive(worker->fd, MSG_DONTWAIT, ret_ended);
}

void worker_ask(const struct worker *worker)
{
	if (worker->fd >= 0)
		shutdown(worker->fd, SHUT_WR);
}

void worker_end(struct worker *worker, int *ret_code)
{
	int status = 0;

	if (worker->pid > 0) {
		kill(worker->pid, SIGKILL);
		while (waitpid(worker->pid, &status, 0) < 0 && errno == EINTR)
			continue;
	}
	if (ret_code != NULL)
		*ret_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	iot_close_p(&worker->fd);
	*worker = (struct worker)WORKER_INIT;
}
