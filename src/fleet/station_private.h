/* Between the files of the station: the recipe, the record, serial numbers, workers, heads. */
#ifndef IOTCTL_FLEET_STATION_PRIVATE_H
#define IOTCTL_FLEET_STATION_PRIVATE_H

#include "iotctl/board_description.h"
#include "iotctl/buf.h"
#include "iotctl/digest.h"
#include "iotctl/fleet.h"
#include "iotctl/process.h"
#include "iotctl/station.h"

#include <regex.h>
#include <sys/stat.h>

/* --- the recipe (station_recipe.c) ------------------------------------------------------------ */

struct iot_station_recipe {
	json_t *json; /* as it was read; first, so that no member below is at offset 0 */
	char *name;
	char *board;
	struct iot_board_description *description; /* of that board */
	char *vendor, *model, *version;            /* patterns (fnmatch(3)) of what the board says; NULL: any */
	char *type, *codesign, *alias;             /* alias: a template; each may be NULL */
	const char **policies, **groups;           /* NULL-terminated; NULL: none */
	char *wifi_ssid, *wifi_password_file, *apn;
	char *endpoint; /* NULL: the fleet's */
	int endpoint_port;
	bool has_serial;
	regex_t serial; /* what a serial number looks like */
	int baud;
	int pulse;          /* enum iot_serial_pulse */
	int lock;           /* enum iot_board_lock */
	const char **locks; /* optional ones besides; NULL-terminated; NULL: none */
	int64_t timeout_ms, connect_ms;
	int attempts;
	char *label_text, *label_qr; /* templates; NULL: none */
	int label_scale;
	const char **hook; /* NULL-terminated; NULL: none */
	int64_t hook_ms;
	char digest[IOT_SHA256_HEX_SIZE]; /* of the file */
	struct station_heads {
		const char *ports; /* pattern; borrowed from the JSON */
		struct iot_station_recipe *recipe;
	} * others; /* recipes of some heads; NULL: none */
	size_t other_count;
};

/* The recipe of a port's head: the first of the others whose pattern it matches, else the recipe itself. */
const struct iot_station_recipe *recipe_of(const struct iot_station_recipe *recipe, const char *port);

/*
 * A template with {serial}, {uid}, {name}, {unit} and so on filled in from the text and integer members of `values`, {{
 * for a brace. IOT_USAGE: a member that is not there.
 */
IOT_CHECK enum iot_status recipe_fill(const char *template, const json_t *values, struct iot_buf *out,
				      struct iot_error *err);

/* --- the record (station_chain.c, station_verify.c) ---------------------------------------------- */

#define CHAIN_LINE_MAX (256 * 1024)
#define CHAIN_FILE_MAX (256 * 1024 * 1024)
#define CHAIN_START "0000000000000000000000000000000000000000000000000000000000000000"

struct chain {
	int fd;
	char *path;
	int64_t seq;                    /* of the last line; 0: none */
	char last[IOT_SHA256_HEX_SIZE]; /* digest of the last line */
	off_t end;
	bool broken; /* a line could not be written: nothing more may be */
};
#define CHAIN_INIT                                                                                                     \
	{                                                                                                              \
		.fd = -1                                                                                               \
	}

/* Start a file: it must not exist. `previous`: digest of the last line of the shift before, or CHAIN_START. */
IOT_CHECK enum iot_status chain_create(const char *path, const char *previous, struct chain *ret,
				       struct iot_error *err);
/*
 * Go on with a file: its chain is checked, `each` gets every record, a last line without an end is cut off (*ret_torn:
 * so many bytes).
 */
IOT_CHECK enum iot_status chain_resume(const char *path, void (*each)(const json_t *record, void *data), void *data,
				       struct chain *ret, size_t *ret_torn, struct iot_error *err);
/* Add a record (released) and wait until it is on the disk; what was written of one that does not fit is taken back. */
IOT_CHECK enum iot_status chain_add(struct chain *chain, const char *kind, json_t *record, struct iot_error *err);
/* The last record, signed with the key. */
IOT_CHECK enum iot_status chain_close(struct chain *chain, const struct iot_key *key, json_t *record,
				      struct iot_error *err);
void chain_release(struct chain *chain);

/* What was found when a file was read from its beginning to its end. */
struct chain_facts {
	int64_t lines;
	size_t torn;  /* bytes of a last line without its end */
	size_t whole; /* bytes of all other lines */
	bool closed;
	char first_prev[IOT_SHA256_HEX_SIZE], last[IOT_SHA256_HEX_SIZE];
	json_t *head, *tail; /* first and last record; NULL: none */
	struct iot_buf text; /* of the whole file */
};
void chain_facts_release(struct chain_facts *facts);
/* Read and check a chain, not its signature. IOT_VERIFY names the line. `each` may be NULL. */
IOT_CHECK enum iot_status chain_check(const char *path, void (*each)(const json_t *record, void *data), void *data,
				      struct chain_facts *ret, struct iot_error *err);

/* --- serial numbers (station_serials.c) ------------------------------------------------------------- */

struct serials;

struct serials_options {
	const char *file, *range;
	const struct iot_station_recipe *recipe;
};
IOT_CHECK enum iot_status serials_open(const struct serials_options *options, struct serials **ret,
				       struct iot_error *err);
void serials_free(struct serials *serials);
/* Somebody has this number already: never hand it out. */
void serials_used(struct serials *serials, const char *serial);
/* The next one from the file or the range for a board of this recipe, NULL: used up. Borrowed. */
const char *serials_next(struct serials *serials, const struct iot_station_recipe *recipe);
/* May a board of this recipe have this serial number? IOT_USAGE says why not. */
IOT_CHECK enum iot_status serials_check(const struct iot_station_recipe *recipe, const char *serial,
					struct iot_error *err);
/* The same for any head of the station. */
IOT_CHECK enum iot_status serials_check_any(const struct iot_station_recipe *recipe, const char *serial,
					    struct iot_error *err);

struct taken_question {
	struct iot_cloud *cloud;
	const char *journal;
	const struct iot_board_description *description;
	const char *uid;   /* "": the board could not say who it is */
	const char *alias; /* that it would get; NULL: none */
	const char *serial;
	bool fresh; /* of a file or a range: no board ever had it here */
	bool replace, psk;
};
/* Who else has this serial number, in the journal or in the fleet (new memory)? NULL: nobody. */
IOT_CHECK enum iot_status serial_taken(const struct taken_question *question, char **ret_owner, struct iot_error *err);

/* --- a shift (station_shift.c) -------------------------------------------------------------------------- */

struct shift {
	char *id, *dir, *station;
	int lock;
	struct iot_key *key;
	struct chain chain;
	json_t *boards;  /* uid -> {unit, serial?, recipe, blank?, result?}: what was begun in this shift */
	json_t *serials; /* serial -> uid */
	json_t *skipped; /* serial -> who had it: another station's */
	json_t *untold;  /* unit -> record: results that the hook has not taken */
	json_t *recipes; /* {recipe, recipeSha256, heads?} that its record named last */
	int64_t units, passed, failed, known;
	bool resumed, recipe_changed;
	int64_t opened_at; /* ms: of this run */
};
#define SHIFT_INIT                                                                                                     \
	{                                                                                                              \
		.lock = -1, .chain = CHAIN_INIT                                                                        \
	}

/*
 * Lock the station, make its key if it has none, go on with its open shift or open one. IOT_CONFLICT when the open one
 * is of a recipe with another name.
 */
IOT_CHECK enum iot_status shift_open(const char *dir, const char *station, const struct iot_station_recipe *recipe,
				     struct shift *ret, struct iot_error *err);
/* The same for a shift that must be open. */
IOT_CHECK enum iot_status shift_resume(const char *dir, const char *station, struct shift *ret, struct iot_error *err);
/* Records are released. */
IOT_CHECK enum iot_status shift_begin(struct shift *shift, json_t *record, struct iot_error *err);
/* A board did not get the number "serial", because "owner" has it. */
IOT_CHECK enum iot_status shift_skip(struct shift *shift, json_t *record, struct iot_error *err);
IOT_CHECK enum iot_status shift_result(struct shift *shift, json_t *record, bool hook, struct iot_error *err);
IOT_CHECK enum iot_status shift_told(struct shift *shift, int64_t unit, int code, struct iot_error *err);
IOT_CHECK enum iot_status shift_close(struct shift *shift, struct iot_error *err);
json_t *shift_summary(const struct shift *shift, bool closed);
void shift_release(struct shift *shift);
/* Files of shifts of a station's folder in their order, new array of strings. */
IOT_CHECK enum iot_status shift_files(const char *dir, json_t **ret, struct iot_error *err);

/* --- a worker (station_worker.c) --------------------------------------------------------------------------- */

struct worker {
	pid_t pid; /* 0: none */
	int fd;    /* messages; -1: none */
};
#define WORKER_INIT                                                                                                    \
	{                                                                                                              \
		0, -1                                                                                                  \
	}

struct worker_job {
	const struct iot_station_options *options;
	const struct iot_station_recipe *recipe; /* of the head */
	const char *port;
	const json_t *boards; /* of the shift */
};
/* Start a process for one board: it says who the board is, waits for the word to go, and goes on. */
IOT_CHECK enum iot_status worker_start(const struct worker_job *job, const int *close_fds, size_t close_count,
				       struct worker *ret, struct iot_error *err);
/* Ask whether the board may have this number. `fresh` as in struct taken_question. */
IOT_CHECK enum iot_status worker_offer(struct worker *worker, const char *serial, const char *alias, bool fresh,
				       struct iot_error *err);
/* The word to go. */
IOT_CHECK enum iot_status worker_go(struct worker *worker, const char *serial, const char *alias,
				    struct iot_error *err);
/*
 * The next message, new reference: {"step": text, "at": ms} | {"identity": {...}, "owner":
 * "none"|"done"|"open"|"registry", "serial"?: text, "spare"?: [uid, ...]} | {"free": serial} | {"taken": serial,
 * "owner": text} | {"device": record} | {"error": {...}} |
 * {"note": text}. NULL: nothing at the moment; *ret_ended: nothing any more. A board that has no id of its own and was
 * never here has the uid ""; then `spare` are those that were begun like that, and whose work is in no board.
 */
json_t *worker_read(struct worker *worker, bool *ret_ended);
/* Ask it to end: its waits are interrupted. */
void worker_ask(const struct worker *worker);
/* End it, reap it. *ret_code (may be NULL): exit code or 128 + signal. */
void worker_end(struct worker *worker, int *ret_code);

/* --- labels (station_label.c) --------------------------------------------------------------------------------- */

/* The label files of a board; their base name is set as member "label" of the record. Nothing if the recipe has none.
 */
IOT_CHECK enum iot_status label_make(const struct iot_station_recipe *recipe, const char *folder, json_t *record,
				     struct iot_error *err);

/* --- the hook (station_hook.c) --------------------------------------------------------------------------------- */

#define HOOKS_AT_ONCE 16

struct hooks {
	const struct iot_station_recipe *recipe;
	json_t *queue; /* array of records */
	struct hook {
		struct iot_process process;
		int64_t unit, deadline;
		bool stopped;
	} running[HOOKS_AT_ONCE];
};
void hooks_init(struct hooks *hooks, const struct iot_station_recipe *recipe);
/* Is the program there, if it has a path? IOT_NOT_FOUND. */
IOT_CHECK enum iot_status hooks_check(const struct iot_station_recipe *recipe, struct iot_error *err);
void hooks_add(struct hooks *hooks, const json_t *record);
/* Start and reap. `ended` is told of each that ended: its exit code, or -1 when it was stopped or could not be started.
 */
IOT_CHECK enum iot_status hooks_run(struct hooks *hooks,
				    enum iot_status (*ended)(int64_t unit, int code, void *data, struct iot_error *err),
				    void *data, struct iot_error *err);
bool hooks_idle(const struct hooks *hooks);
void hooks_release(struct hooks *hooks); /* ends what runs */

/* --- heads (station_head.c, station_begin.c, station_ports.c, station_scan.c) and their loop (station_run.c) -- */

/* What a port's path leads to: another one is another board, or the same one plugged in again. */
struct port_sign {
	bool present;
	ino_t inode;
	dev_t device;
	struct timespec changed;
};

struct head {
	int number;
	char *port;
	const struct iot_station_recipe *recipe;
	bool found; /* by a pattern: its place is another port's when it is gone */
	struct port_sign now, begun_with;
	enum iot_head_state state;
	struct worker worker;
	bool probing; /* asks only whether there is another board than before */
	bool gone;    /* a probe got no answer */
	bool begun;   /* its unit is in the record */
	bool stopped; /* its time was up */
	bool fresh;   /* its number is from the file or the range, and was not begun with */
	bool blank;   /* its board could not say who it is: it is known by the name that it gets */
	int64_t unit;
	int attempt;
	char *uid, *serial, *scanned;
	json_t *identity, *failure, *steps;
	char *step, *fault;
	int64_t step_at, started, deadline, kill_at, retry_at, probe_at, waits_since, took;
};

struct station {
	const struct iot_station_options *options;
	const struct iot_station_recipe *recipe;
	struct shift shift;
	struct serials *serials; /* NULL: scanned ones, or none */
	struct hooks hooks;
	struct head heads[IOT_STATION_HEADS_MAX];
	size_t head_count;
	json_t *scans; /* array of texts: scanned before a board wanted one */
	struct iot_buf typed;
	char *last_scan;
	int64_t last_scan_at;
	int aimed; /* number of the head that the next scan is for; 0: any */
	bool scan_ended, ending, interrupted;
	bool changed; /* since it was shown */
	int64_t shown_at, ports_at;
	int64_t passed_before;
	char *notice, *last_fault;
};

bool head_active(const struct head *head);
/* Heads with a worker, or about to have one: they end by themselves. */
size_t station_active(const struct station *station);
bool station_takes_boards(const struct station *station);
void station_notice(struct station *station, const char *fmt, ...) IOT_PRINTF(2, 3);

IOT_CHECK enum iot_status head_start(struct station *station, struct head *head, struct iot_error *err);
/* Messages of its worker, and what time brings. */
IOT_CHECK enum iot_status head_read(struct station *station, struct head *head, struct iot_error *err);
IOT_CHECK enum iot_status head_tick(struct station *station, struct head *head, struct iot_error *err);
void head_release(struct head *head);

/* A member takes a copy of the text, or the reference; what it had is released. */
void head_text(char **target, const char *text);
void head_json(json_t **target, json_t *value);
/* What went wrong, for the record. */
void head_failure(struct head *head, const struct iot_error *err);
/* The board is done: "pass" with its `device`, "fail" or "known" for the failure that is set. */
IOT_CHECK enum iot_status head_finish(struct station *station, struct head *head, const char *result,
				      const json_t *device, struct iot_error *err);
IOT_CHECK enum iot_status head_fail(struct station *station, struct head *head, const struct iot_error *fault,
				    struct iot_error *err);

/*
 * What its worker found out before the board is touched (station_begin.c): who is there; that the number which was
 * offered is `free_number` (false: offer it first), or whose it is.
 */
IOT_CHECK enum iot_status head_identified(struct station *station, struct head *head, json_t *message,
					  struct iot_error *err);
IOT_CHECK enum iot_status head_go(struct station *station, struct head *head, bool free_number, struct iot_error *err);
IOT_CHECK enum iot_status head_taken(struct station *station, struct head *head, const char *owner,
				     struct iot_error *err);

/* Look at all ports: new ones, gone ones. */
IOT_CHECK enum iot_status ports_look(struct station *station, struct iot_error *err);
IOT_CHECK enum iot_status ports_begin(struct station *station, struct iot_error *err);

/* Lines of the scanner. */
IOT_CHECK enum iot_status scan_read(struct station *station, struct iot_error *err);
/* The number that a head gets now, new memory; NULL: none has been scanned for it. */
char *scan_take(struct station *station, struct head *head);

#endif
