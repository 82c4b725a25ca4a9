/*
 * A worker: one process for one board, forked from the station and without an
 * exec. What provisioning opens (the port, the registry, the journal) is opened
 * in it and by it alone, so it can be killed at any time and takes nothing with
 * it: the station itself never has a database or a port open. When the station
 * dies its workers die with it.
 */
#include "fleet/station_private.h"

#include "iotctl/base.h"
#include "iotctl/board.h"
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
	const struct worker_job *job;
	int fd;
	struct iot_cloud *cloud, *fleet;
	json_t *go; /* the word to go: it lends name and serial number */
	char *uid;  /* of the board; "": it could not say, and was never here */
	bool blank; /* it could not say */
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

/* Hints of the board's layer are for who types commands. Here somebody stands before a head and has the board. */
static void advise_operator(const struct worker_job *job, struct iot_error *fault)
{
	if (fault->status != IOT_BOARD)
		return;
	if (strcmp(fault->code, IOT_BOARD_OTHER_KIND) == 0)
		snprintf(fault->hint, sizeof(fault->hint), "take it out: '%s' belongs here",
			 job->recipe->description->name);
	else if (strcmp(fault->code, IOT_BOARD_SILENT) == 0)
		snprintf(fault->hint, sizeof(fault->hint), "put it in again; if that does not help, set it aside");
}

static json_t *error_message(const struct iot_error *err)
{
	char line[1200];

	return json_pack("{s:{s:i, s:s, s:s, s:s}}", "error", "number", (int)err->status, "status",
			 iot_status_name(err->status), "code", err->code, "line",
			 iot_error_line(err, line, sizeof(line)));
}

/* What is known of a board that has said who it is. */
struct found {
	const char *owner; /* "none", "done", "open" or "registry" */
	char *uid, *serial;
	json_t *spare;
};

static enum iot_status look_up(struct iot_store *journal, const char *sql, const char *fleet, const char *value,
			       struct found *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool any = false;
	enum iot_status status = iot_stmt_query(journal, &stmt, &any, err, sql, "ss", fleet, value);

	if (status != IOT_OK || !any)
		return status;
	ret->owner = strcmp(iot_stmt_text(stmt, 0), "done") == 0 ? "done" : "open";
	ret->serial = iot_strdup(iot_stmt_text(stmt, 1));
	ret->uid = iot_strdup(iot_stmt_text(stmt, 2));
	return IOT_OK;
}

/* May another board go on with what was begun under this name? Not if one may hold its key. */
static enum iot_status is_spare(struct iot_store *journal, const char *fleet, const char *uid, bool key_here, bool *ret,
				struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool any = false;
	enum iot_status status = iot_stmt_query(journal, &stmt, &any, err,
						"SELECT state = 'open' AND NOT EXISTS (SELECT 1 FROM steps WHERE board "
						"= boards.id AND name = 'program'),"
						" key_id IS NULL FROM boards WHERE fleet = ? AND uid = ?",
						"ss", fleet, uid);

	if (status == IOT_OK)
		*ret = !any || (iot_stmt_int(stmt, 0) != 0 && (key_here || iot_stmt_int(stmt, 1) != 0));
	return status;
}

/*
 * A board that cannot say who it is may be any of those that a kill left without a key: their numbers are not lost. The
 * name that it may have been given before the kill makes one the first choice, and nothing more: it is no key.
 */
static enum iot_status find_spare(const struct work *work, struct iot_store *journal, const char *fleet,
				  const char *hint, struct found *ret, struct iot_error *err)
{
	bool key_here = work->job->recipe->description->key != IOT_BOARD_KEY_BOARD, spare;
	enum iot_status status = IOT_OK;
	const char *uid;
	json_t *board;

	ret->spare = json_array();
	json_object_foreach((json_t *)(uintptr_t)work->job->boards, uid, board) {
		if (!iot_json_bool(board, "blank", false) || json_object_get(board, "result") != NULL ||
		    strcmp(iot_json_str(board, "recipe", ""), work->job->recipe->name) != 0)
			continue;
		status = is_spare(journal, fleet, uid, key_here, &spare, err);
		if (status != IOT_OK)
			return status;
		if (spare)
			json_array_insert_new(ret->spare, strcmp(uid, hint) == 0 ? 0 : json_array_size(ret->spare),
					      json_string(uid));
	}
	return IOT_OK;
}

#define ROW "SELECT state, serial_number, uid FROM boards WHERE fleet = ? AND "

/*
 * Was this board here before? By the journal of this station, which knows one without an id of its own by its key, or
 * by the name that it was given.
 */
static enum iot_status ask_journal(const struct work *work, const struct iot_board_identity *identity,
				   struct found *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_store_close_p) struct iot_store *journal = NULL;
	const char *key = NULL, *fleet = provision_fleet(&(const struct provision){.cloud = work->cloud});
	char id[IOT_SHA256_HEX_SIZE];
	enum iot_status status = journal_open(work->job->options->journal, &journal, err);

	if (status == IOT_OK && *identity->uid != '\0')
		return look_up(journal, ROW "uid = ?", fleet, identity->uid, ret, err);
	if (status == IOT_OK)
		status = provision_held_key(identity, id, &key, err);
	if (status == IOT_OK && key != NULL && *key != '\0')
		status = look_up(journal, ROW "key_id = ?", fleet, key, ret, err);
	if (status == IOT_OK && ret->uid == NULL && *identity->thing_name != '\0')
		status = look_up(journal, ROW "(key_id IS NOT NULL OR state = 'done') AND uid = ?", fleet,
				 identity->thing_name, ret, err);
	if (status != IOT_OK || ret->uid != NULL)
		return status;
	return find_spare(work, journal, fleet, identity->thing_name, ret, err);
}

static enum iot_status found_one(json_t *item, void *data, struct iot_error *err)
{
	(void)item;
	(void)err;
	*(bool *)data = true;
	return IOT_OK;
}

/* Has another station made it a device of this fleet? One that is too small for a certificate has a shared secret. */
static enum iot_status ask_registry(const struct work *work, const struct iot_board_identity *identity,
				    struct found *ret, struct iot_error *err)
{
	const char *name = *identity->thing_name != '\0' ? identity->thing_name : identity->uid;
	bool psk = work->job->recipe->description->key == IOT_BOARD_KEY_PSK, any = false;
	enum iot_status status;

	if (iot_cert_check_name(name, NULL) != IOT_OK)
		return IOT_OK;
	status = fleet_each(work->cloud, psk ? "iotctl:ListPsks" : "ListThingPrincipals",
			    json_pack("{s:s}", "thingName", name), psk ? "psks" : "principals", found_one, &any, err);
	if (status != IOT_OK && fleet_missing(err)) {
		iot_error_clear(err);
		return IOT_OK;
	}
	if (status == IOT_OK && any) {
		ret->owner = "registry";
		ret->uid = iot_strdup(*identity->uid != '\0' ? identity->uid : name);
	}
	return status;
}

static json_t *introduction(const struct iot_board_identity *identity, const struct found *found)
{
	json_t *message = json_pack("{s:{s:s, s:s, s:s, s:s}, s:s}", "identity", "uid",
				    found->uid != NULL ? found->uid : identity->uid, "vendor", identity->vendor,
				    "model", identity->model, "version", identity->version, "owner", found->owner);

	iot_json_set_str(message, "serial", found->serial);
	if (found->spare != NULL)
		json_object_set(message, "spare", found->spare);
	return message;
}

static enum iot_status find_owner(const struct work *work, const json_t *number, char **ret, struct iot_error *err)
{
	const struct iot_station_recipe *recipe = work->job->recipe;
	const struct taken_question question = {
		.cloud = work->cloud,
		.journal = work->job->options->journal,
		.description = recipe->description,
		.uid = work->uid,
		.alias = iot_json_str(number, "alias", NULL),
		.serial = iot_json_str(number, "serial", ""),
		.fresh = iot_json_bool(number, "fresh", false),
		.replace = work->job->options->replace,
		.psk = recipe->description->key == IOT_BOARD_KEY_PSK,
	};

	return serial_taken(&question, ret, err);
}

static json_t *taken_message(const json_t *number, const char *owner)
{
	return json_pack("{s:s, s:s}", "taken", iot_json_str(number, "serial", ""), "owner", owner);
}

/* Numbers are offered until one is nobody else's; then comes the word to go. */
static enum iot_status hear_station(struct work *work, struct iot_error *err)
{
	for (;;) {
		IOT_JSON message = NULL;
		IOT_CLEAN(iot_free_p) char *owner = NULL;
		struct pollfd waiting = {.fd = work->fd, .events = POLLIN};
		bool ended = false;
		enum iot_status status;

		if (poll(&waiting, 1, GO_MS) > 0)
			message = receive(work->fd, MSG_DONTWAIT, &ended);
		if (message == NULL)
			return iot_fail(err, IOT_INTERRUPTED, "the station is gone");
		if (!iot_json_bool(message, "offer", false)) {
			work->go = json_incref(message);
			return IOT_OK;
		}
		status = find_owner(work, message, &owner, err);
		if (status != IOT_OK)
			return status;
		(void)send_message(work->fd, owner != NULL
						     ? taken_message(message, owner)
						     : json_pack("{s:s}", "free", iot_json_str(message, "serial", "")));
	}
}

/* The board has said who it is. The station decides: it gives the word to go, or ends this process. */
static enum iot_status introduce(const struct iot_board_identity *identity, const char **name, const char **serial,
				 void *data, struct iot_error *err)
{
	struct work *work = data;
	struct found found = {.owner = "none"};
	enum iot_status status = ask_journal(work, identity, &found, err);

	if (status == IOT_OK && strcmp(found.owner, "none") == 0)
		status = ask_registry(work, identity, &found, err);
	work->blank = *identity->uid == '\0';
	work->uid = iot_strdup(found.uid != NULL ? found.uid : identity->uid);
	if (status == IOT_OK) {
		(void)send_message(work->fd, introduction(identity, &found));
		status = hear_station(work, err);
	}
	*name = iot_json_str(work->go, "alias", NULL);
	*serial = iot_json_str(work->go, "serial", NULL);
	free(found.uid);
	free(found.serial);
	json_decref(found.spare);
	return status;
}

static enum iot_status provision(struct work *work, struct iot_error *err)
{
	const struct iot_station_options *options = work->job->options;
	const struct iot_station_recipe *recipe = work->job->recipe;
	struct iot_secret_source password = iot_secret_from_file(recipe->wifi_password_file);
	const struct iot_provision_spec spec = {
		.board = recipe->board,
		.port = work->job->port,
		.baud = recipe->baud,
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
		.aws_issues = options->aws_issues,
		.root_ca = options->root_ca,
		.watch = options->watch,
		.replace = options->replace,
		.lock = recipe->lock,
		.locks = recipe->locks,
		.pulse = recipe->pulse,
		.journal = options->journal,
		.interrupt_fd = work->fd,
		.connect_timeout_ms = (int)recipe->connect_ms,
		.progress = tell_step,
		.check = introduce,
		.data = work,
	};
	IOT_JSON record = NULL;
	enum iot_status status = iot_provision(work->cloud, &spec, &record, err);

	if (status == IOT_OK)
		(void)send_message(work->fd, json_pack("{s:O}", "device", record));
	return status;
}

/* A board that could not say who it is had its name from the number: its work begins anew under the next one. */
static enum iot_status forget_name(const struct work *work, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p)
	char *thing = provision_name_for(work->job->recipe->description, "", iot_json_str(work->go, "alias", NULL),
					 iot_json_str(work->go, "serial", NULL));
	const char *name = *work->uid != '\0' ? work->uid : thing;

	return work->blank && name != NULL ? provision_forget(work->cloud, work->job->options->journal, name, err)
					   : IOT_OK;
}

/* A conflict may be another station that took the number since it was offered: then that is what is said. */
static json_t *fault_message(const struct work *work, const struct iot_error *fault)
{
	IOT_CLEAN(iot_free_p) char *owner = NULL;
	struct iot_error ignored = IOT_ERROR_INIT;

	if (fault->status == IOT_CONFLICT && iot_json_str(work->go, "serial", NULL) != NULL &&
	    find_owner(work, work->go, &owner, &ignored) == IOT_OK && owner != NULL &&
	    forget_name(work, &ignored) == IOT_OK)
		return taken_message(work->go, owner);
	return error_message(fault);
}

static void work_on(struct work *work)
{
	const struct iot_station_options *options = work->job->options;
	struct iot_error err = IOT_ERROR_INIT;

	if (options->open_cloud(options->data, &work->cloud, &work->fleet, &err) != IOT_OK ||
	    provision(work, &err) != IOT_OK) {
		advise_operator(work->job, &err);
		(void)send_message(work->fd, fault_message(work, &err));
	}
	json_decref(work->go);
	free(work->uid);
	iot_cloud_free(work->cloud);
	iot_cloud_free(work->fleet);
}

static _Noreturn void be_worker(const struct worker_job *job, int fd, pid_t station)
{
	struct work work = {.job = job, .fd = fd};

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

enum iot_status worker_offer(struct worker *worker, const char *serial, const char *alias, bool fresh,
			     struct iot_error *err)
{
	json_t *offer = json_pack("{s:b, s:s, s:b}", "offer", 1, "serial", serial, "fresh", fresh);

	iot_json_set_str(offer, "alias", alias);
	return send_message(worker->fd, offer) ? IOT_OK : iot_fail(err, IOT_FAILURE, "the worker is gone");
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
