/*
 * Plays a table of faults, tests/e2e/expresslink_faults.table where the rows are explained, or that of another board:
 *   e2e_faulttable TABLE FLEET OTHER-FLEET PORT [PART-OF-A-ROW'S-NAME]
 * in the working directory, against a serve that runs. Each row has a software
 * module of its own: provisioned with the fault, it ends as the table says, with
 * one line that says what to do, and leaves in registry and module what the
 * table says; a success has left exactly what was wanted, whatever the wire made
 * of it. Then the module's power is cut, and the same without the fault must end
 * with exactly one identity, which the broker has seen, and after a success
 * change nothing.
 */
#include "faulttable.h"

#include "iotctl/base.h"
#include "iotctl/cert.h"
#include "iotctl/clock.h"
#include "iotctl/fleet.h"
#include "iotctl/fs.h"
#include "iotctl/json.h"
#include "iotctl/local.h"
#include "iotctl/log.h"
#include "iotctl/sim.h"
#include "iotctl/store.h"
#include "iotctl/text.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { AT_ONCE = 24, ROW_S = 120, START_MS = 20000, ANSWER_MS = 1000, CONNECT_MS = 4000, PROOF_MS = 6000 };

const char *fleet;
char *password_file;
int broker_port;
static const struct subject *subject;
static const char *other_fleet;
static char *journal;

/* --- a module and a provisioning, in processes of their own -------------------------------- */

static pid_t start_module(const struct row *row, const char *link, bool faulty)
{
	int64_t deadline = iot_deadline(START_MS);
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		IOT_CLEAN(iot_free_p) char *log = iot_strf("%s.log", link);

		if (freopen(log, "ae", stderr) == NULL)
			_exit(99);
		iot_log_set_level(IOT_LOG_INFO);
		_exit(subject->run(row, link, faulty));
	}
	while (access(link, F_OK) != 0 && iot_left(deadline) > 0)
		poll(NULL, 0, 5);
	return pid;
}

static void end_module(pid_t pid, const char *link, int with)
{
	kill(pid, with);
	waitpid(pid, NULL, 0);
	unlink(link);
}

struct watch {
	const struct row *row; /* NULL: nothing happens */
	pid_t module;
	const char *link;
};

static void at_step(const char *step, void *data)
{
	const struct watch *watch = data;

	if (watch->row != NULL && watch->row->kill_at != NULL && strcmp(step, watch->row->kill_at) == 0)
		kill(getpid(), SIGKILL);
	if (watch->row != NULL && watch->row->unplug_at != NULL && strcmp(step, watch->row->unplug_at) == 0) {
		kill(watch->module, SIGKILL);
		while (access(watch->link, F_OK) == 0) /* until its end of the line is gone */
			poll(NULL, 0, 5);
	}
}

struct outcome {
	int code; /* or KILLED */
	bool changed;
	char who[200]; /* what the record says the module is */
	char line[1024];
};

static int run_provision(const char *dir, const struct row *row, const char *link, const char *apn, struct watch *watch,
			 FILE *out)
{
	struct iot_secret_source password = iot_secret_from_file(password_file);
	const struct iot_provision_spec spec = {
		.board = subject->board,
		.port = link,
		.name = link,
		.type = "pump",
		.wifi_ssid = subject->password != NULL ? SSID : NULL,
		.wifi_password = subject->password != NULL ? &password : NULL,
		.apn = subject->apn ? apn : NULL,
		.replace = strcmp(row->scenario, "replace") == 0,
		.journal = journal,
		.interrupt_fd = -1,
		.answer_ms = ANSWER_MS,
		.connect_timeout_ms = CONNECT_MS,
		.proof_timeout_ms = PROOF_MS,
		.progress = at_step,
		.data = watch,
		.transcript = getenv("TRANSCRIPT"),
	};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_cloud *cloud = NULL;
	IOT_JSON record = NULL;
	char line[1024];
	enum iot_status status = iot_local_open(dir, &cloud, &err);

	if (status == IOT_OK)
		status = iot_provision(cloud, &spec, &record, &err);
	iot_cloud_free(cloud);
	fprintf(out, "%d %d %s/%s/%s/%s\n%s\n", status, iot_json_bool(record, "changed", false),
		iot_json_str(record, "vendor", ""), iot_json_str(record, "model", ""),
		iot_json_str(record, "version", ""), iot_json_str(record, "thingName", ""),
		status != IOT_OK ? iot_error_line(&err, line, sizeof(line)) : "");
	fflush(out);
	return 0;
}

static void read_one(FILE *in, char *line, size_t size)
{
	if (fgets(line, (int)size, in) == NULL)
		line[0] = '\0';
	line[strcspn(line, "\n")] = '\0';
}

static struct outcome provision(const char *dir, const struct row *row, const char *link, const char *apn,
				struct watch watch)
{
	struct outcome ret = {.code = KILLED};
	int ends[2], changed = 0;
	FILE *in;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) != 0)
		die("no pipe");
	pid = fork();
	if (pid == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0)
		_exit(run_provision(dir, row, link, apn, &watch, fdopen(ends[1], "w")));
	close(ends[1]);
	in = fdopen(ends[0], "r");
	if (in != NULL && fscanf(in, "%d %d ", &ret.code, &changed) == 2) {
		read_one(in, ret.who, sizeof(ret.who));
		read_one(in, ret.line, sizeof(ret.line));
	}
	ret.changed = changed != 0;
	if (in != NULL)
		fclose(in);
	waitpid(pid, NULL, 0);
	return ret;
}

/* --- what a row must leave ----------------------------------------------------------------------- */

bool complaint(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	return false;
}

static bool endpoint_is(const char *link, const char *whose)
{
	const char *wanted = strcmp(whose, "ours") == 0 ? "localhost" : "";
	char held[257];

	if (strcmp(whose, "any") == 0)
		return true;
	subject->endpoint(link, held);
	return strcmp(held, wanted) == 0 || complaint("the module's endpoint is '%s', not '%s'", held, wanted);
}

static bool registered_is(struct iot_cloud *cloud, const char *uid, const char *wanted)
{
	IOT_JSON request = json_pack("{s:s}", "thingName", uid);
	IOT_JSON reply = NULL;
	bool there = iot_cloud_call(cloud, "DescribeThing", request, NULL, &reply, NULL, NULL) == IOT_OK;

	return strcmp(wanted, "any") == 0 || there == (strcmp(wanted, "yes") == 0) ||
	       complaint("it is %sregistered", there ? "" : "not ");
}

/* Is it there still, or was it ever, where it ends its connection itself? */
static bool has_connected(const json_t *device)
{
	if (subject->seen == NEVER_SEEN)
		return true;
	return subject->seen == STAYS ? iot_json_bool(device, "connected", false)
				      : iot_json_str(device, "connectionChangedAt", NULL) != NULL;
}

/* One thing of this name, one certificate, that the module holds and has connected with, if it connects. */
static bool is_one(struct iot_cloud *cloud, const char *thing, const char *link)
{
	IOT_JSON device = NULL;
	const json_t *certificates;
	char id[IOT_SHA256_HEX_SIZE];

	if (iot_device_show(cloud, thing, &device, NULL) != IOT_OK)
		return complaint("there is no device '%s'", thing);
	certificates = json_object_get(device, "certificates");
	subject->certificate(link, id);
	if (json_array_size(certificates) == 1 && has_connected(device) &&
	    strcmp(iot_json_str(json_array_get(certificates, 0), "certificateId", ""), id) == 0 &&
	    (strcmp(thing, link) == 0 || strcmp(iot_json_str(device, "alias", ""), link) == 0))
		return true;
	json_dumpf(device, stderr, 0);
	return complaint(" is not one identity");
}

/* The record says of the module what it is. */
static bool is_known(const struct outcome *got, const char *thing)
{
	IOT_CLEAN(iot_free_p) char *who = iot_strf("%s/%s", subject->who, thing);

	return strcmp(got->who, who) == 0 || complaint("the record says '%s', not '%s'", got->who, who);
}

static bool ended_well(const struct row *row, const struct outcome *got)
{
	bool expected = row->code == ANY ? got->code == IOT_OK || got->code == IOT_BOARD || got->code == IOT_VERIFY
					 : got->code == row->code;

	if (!expected)
		return complaint("it ended with %d, not %d: %s", got->code, row->code, got->line);
	if (got->code == IOT_OK || got->code == KILLED)
		return true;
	if (row->code != ANY && strstr(got->line, row->text) == NULL)
		return complaint("it said '%s', not '%s'", got->line, row->text);
	return strstr(got->line, "; ") != NULL || complaint("it does not say what to do: %s", got->line);
}

static bool check_fault(struct iot_cloud *cloud, const struct row *row, const struct outcome *got, const char *link,
			const char *thing, const char *apn)
{
	if (!ended_well(row, got))
		return false;
	if (got->code == IOT_OK)
		return is_known(got, thing) && subject->is_programmed(link, apn) &&
		       (row->unplug_at != NULL || is_one(cloud, thing, link));
	return row->code == ANY || (registered_is(cloud, thing, row->registered) && endpoint_is(link, row->endpoint));
}

static bool check_clean(struct iot_cloud *cloud, const struct outcome *before, const struct outcome *got,
			const char *link, const char *thing, const char *apn)
{
	if (got->code != IOT_OK)
		return complaint("without the fault it ended with %d: %s", got->code, got->line);
	if (before->code == IOT_OK && got->changed)
		return complaint("it had succeeded, and something was left to change");
	return is_known(got, thing) && subject->is_programmed(link, apn) && is_one(cloud, thing, link);
}

static bool play(const struct row *row)
{
	IOT_CLEAN(iot_free_p) char *link = iot_strf("m%td", row - rows);
	const bool moved = strcmp(row->scenario, "moved") == 0, replace = strcmp(row->scenario, "replace") == 0;
	const char *apn = moved ? "second" : "first";
	char thing[129];
	struct iot_cloud *cloud = NULL;
	struct outcome before, after;
	pid_t module = start_module(row, link, true);
	bool good;

	subject->thing(link, thing);
	if (iot_local_open(fleet, &cloud, NULL) != IOT_OK)
		die("no fleet");
	if (moved)
		(void)provision(fleet, row, link, "first", (struct watch){0});
	if (replace)
		(void)provision(other_fleet, row, link, apn, (struct watch){0});
	before = provision(fleet, row, link, apn, (struct watch){row, module, link});
	good = check_fault(cloud, row, &before, link, thing, apn);
	end_module(module, link, SIGKILL);
	module = start_module(row, link, false);
	after = provision(fleet, row, link, apn, (struct watch){0});
	good = good && check_clean(cloud, &before, &after, link, thing, apn);
	end_module(module, link, SIGTERM);
	iot_cloud_free(cloud);
	return good;
}

/* --- all of them ------------------------------------------------------------------------------------ */

/*
 * Every command that provisioning said has its lines in the table: from a transcript, "SECONDS > TEXT", or as the first
 * board heard them.
 */
static bool check_commands(const char *transcript)
{
	const char *mark = subject->said != NULL ? subject->said : "";
	FILE *file = fopen(subject->said != NULL ? transcript : "m0.commands", "re");
	static char line[65536];
	bool good = file != NULL;

	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		const char *said = strstr(line, mark);

		line[strcspn(line, "\n\\")] = '\0'; /* "\r" is written out */
		if (said != NULL && !table_has("command", 6, said + strlen(mark)))
			good = complaint("the table has no line for the command '%.40s'", said + strlen(mark));
	}
	if (file != NULL)
		fclose(file);
	return good;
}

/* Every step that the journal knows is in the table, and every step of the table but the first two in the journal. */
static bool check_steps(void)
{
	IOT_CLEAN(iot_store_close_p) struct iot_store *store = NULL;
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	bool more = false, good = true;
	size_t steps = 0, lines = 0;

	if (iot_store_open(journal, &iot_journal_schema, IOT_STORE_READ, &store, &err) != IOT_OK ||
	    iot_stmt_get(store, "SELECT DISTINCT name FROM steps", &stmt, &err) != IOT_OK)
		return complaint("no journal");
	while (iot_stmt_step(stmt, &more, &err) == IOT_OK && more) {
		steps++;
		if (!table_has("step", 1, iot_stmt_text(stmt, 0)))
			good = complaint("the table has no line for the step '%s'", iot_stmt_text(stmt, 0));
	}
	for (size_t at = 0; table_next("step", &at) != NULL;)
		lines++;
	return good && (lines == steps + 2 || complaint("%zu steps in the journal, %zu in the table", steps, lines));
}

static size_t count_of(struct iot_cloud *cloud, const char *operation, const char *items)
{
	size_t count = 0;
	const char *marker = NULL;
	IOT_JSON reply = NULL;

	do {
		IOT_JSON request =
			json_pack("{s:i, s:s*, s:s*}", "maxResults", 100, "nextToken", marker, "marker", marker);
		json_t *next = NULL;

		if (strcmp(items, "things") == 0)
			json_object_del(request, "marker");
		else {
			json_object_del(request, "nextToken");
			json_object_del(request, "maxResults");
			json_object_set_new(request, "pageSize", json_integer(100));
		}
		if (iot_cloud_call(cloud, operation, request, NULL, &next, NULL, NULL) != IOT_OK)
			die("cannot count");
		json_decref(reply);
		reply = next;
		count += json_array_size(json_object_get(reply, items));
		marker = iot_json_str(reply, strcmp(items, "things") == 0 ? "nextToken" : "nextMarker", NULL);
	} while (marker != NULL);
	return count;
}

/* As many things and certificates as rows, and no board left open. */
static bool check_counts(size_t played)
{
	struct iot_cloud *cloud = NULL;
	size_t things, certificates;

	if (iot_local_open(fleet, &cloud, NULL) != IOT_OK)
		return false;
	things = count_of(cloud, "ListThings", "things");
	certificates = count_of(cloud, "ListCertificates", "certificates");
	iot_cloud_free(cloud);
	return (things == played && certificates == played) ||
	       complaint("%zu rows left %zu things and %zu certificates", played, things, certificates);
}

struct worker {
	pid_t pid;
	const struct row *row;
};

static FILE *said_by(const struct row *row, const char *mode)
{
	IOT_CLEAN(iot_free_p) char *path = iot_strf("m%td.said", row - rows);

	return fopen(path, mode);
}

static void start(struct worker *worker, const struct row *row)
{
	worker->row = row;
	worker->pid = fork();
	if (worker->pid == 0) {
		alarm(ROW_S);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		iot_log_set_level(IOT_LOG_ERROR);
		if (dup2(fileno(said_by(row, "we")), STDERR_FILENO) < 0)
			_exit(99);
		_exit(play(row) ? 0 : 1);
	}
}

/* Wait for one of them, and tell what it said if it was not well. */
static bool finish(struct worker *workers, size_t count, struct worker **ret_free)
{
	int status = 0;
	pid_t pid = wait(&status);
	char line[4096];
	FILE *said;

	for (size_t i = 0; i < count; i++)
		if (workers[i].pid == pid)
			*ret_free = &workers[i];
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	fprintf(stderr, "%s (m%td):\n", (*ret_free)->row->name, (*ret_free)->row - rows);
	said = said_by((*ret_free)->row, "re");
	while (said != NULL && fgets(line, sizeof(line), said) != NULL)
		fprintf(stderr, "    %s", line);
	if (said != NULL)
		fclose(said);
	if (WIFSIGNALED(status))
		fprintf(stderr, "    ended by signal %d\n", WTERMSIG(status));
	return false;
}

static size_t play_rows(size_t first, size_t last, const char *only, size_t *ret_played)
{
	struct worker workers[AT_ONCE] = {{0}}, *next = &workers[0];
	size_t running = 0, bad = 0;

	for (size_t i = first; i < last; i++) {
		if (only != NULL && strstr(rows[i].name, only) == NULL)
			continue;
		if (running == AT_ONCE)
			bad += !finish(workers, AT_ONCE, &next), running--;
		else
			next = &workers[running];
		start(next, &rows[i]);
		running++;
		(*ret_played)++;
	}
	for (; running > 0; running--)
		bad += !finish(workers, AT_ONCE, &next);
	return bad;
}

int main(int argc, char **argv)
{
	size_t bad = 0, played = 0, scenarios = 0;
	char here[4096];
	bool good = true;

	if (argc < 5 || getcwd(here, sizeof(here)) == NULL)
		die("usage: e2e_faulttable TABLE FLEET OTHER-FLEET PORT [PART-OF-A-NAME]");
	fleet = argv[2];
	other_fleet = argv[3];
	broker_port = atoi(argv[4]);
	journal = iot_path(here, "journal.db");
	password_file = iot_path(here, "wifi");
	table_read(argv[1]);
	subject = subject_of(table_board());
	if (subject->password != NULL &&
	    iot_fs_create_private(password_file, subject->password, strlen(subject->password), NULL) != IOT_OK)
		die("cannot write the password");
	/* Without a fault, one after the other: what is made once for a fleet is made, and every command is said. */
	for (; subject->scenarios[scenarios] != NULL; scenarios++)
		snprintf(table_add_row(subject->scenarios[scenarios], "yes", "ours", "0", iot_strdup(""))->name,
			 sizeof(rows->name), "plain, %s", subject->scenarios[scenarios]);
	table_make_rows();
	setenv("TRANSCRIPT", "plain.txt", 1);
	for (size_t i = 0; i < scenarios; i++)
		bad += play_rows(i, i + 1, NULL, &played);
	unsetenv("TRANSCRIPT");
	good = check_commands("plain.txt") && check_steps();
	bad += play_rows(scenarios, row_count, argc > 5 ? argv[5] : NULL, &played);
	good = check_counts(played) && good;
	printf("%zu rows, %zu bad\n", played, bad);
	return bad == 0 && good ? 0 : 1;
}
