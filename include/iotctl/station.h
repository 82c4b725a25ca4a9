/*
 * A provisioning station on a factory line: several ports (heads), one board
 * after another in each, a recipe that says what becomes of them, and a record
 * that proves it. See iotctl-station(7) for the files and their formats.
 *
 * The record of a shift is a file of JSON lines. Each holds the SHA-256 of the
 * line before it, is on the disk before anything depends on it, and the last
 * one, written when the shift is closed, is signed with the station's key.
 */
#ifndef IOTCTL_STATION_H
#define IOTCTL_STATION_H

#include "iotctl/cloud.h"
#include "iotctl/messaging.h"
#include "iotctl/error.h"
#include "iotctl/json.h"

#include <stdint.h>

#define IOT_STATION_HEADS_MAX 64

/* --- the recipe ------------------------------------------------------------------------ */

struct iot_station_recipe;

/*
 * Read a line recipe. IOT_USAGE names the member that is wrong, missing or not
 * known; IOT_NOT_FOUND: the kind of board. Paths in it are found from the folder of the file.
 */
IOT_CHECK enum iot_status iot_station_recipe_load(const char *path, struct iot_station_recipe **ret,
						  struct iot_error *err);
/* The same from text; `folder` is where its paths are found from. */
IOT_CHECK enum iot_status iot_station_recipe_parse(const char *text, size_t len, const char *subject, const char *folder,
						   struct iot_station_recipe **ret, struct iot_error *err);
void iot_station_recipe_free(struct iot_station_recipe *recipe);
void iot_station_recipe_free_p(struct iot_station_recipe **recipe); /* for IOT_CLEAN */

/* --- running it ------------------------------------------------------------------------- */

enum iot_head_state {
	IOT_HEAD_EMPTY,    /* no such port at the moment */
	IOT_HEAD_READY,    /* waits for a board, or for the next one */
	IOT_HEAD_IDENTIFY, /* asks the board who it is */
	IOT_HEAD_SCAN,     /* waits for a serial number */
	IOT_HEAD_WORK,     /* provisions */
	IOT_HEAD_RETRY,    /* waits before it tries again */
	IOT_HEAD_PASS,
	IOT_HEAD_FAIL,
	IOT_HEAD_KNOWN /* the board had an identity already and was left alone */
};

struct iot_station_head_view {
	int number; /* from 1 */
	enum iot_head_state state;
	const char *port;
	const char *serial; /* NULL: none */
	const char *step;   /* of the work; NULL: none */
	const char *fault;  /* one line; NULL: none */
	int attempt;        /* from 1 */
	int64_t elapsed_ms; /* of the board in work, or of the last one */
};

/* What a screen shows. Everything is borrowed for the time of the call. */
struct iot_station_view {
	const char *station, *recipe, *shift;
	const struct iot_station_head_view *heads;
	size_t head_count;
	int64_t passed, failed, known;
	double per_hour;        /* boards that passed, over the time of this run; below 0 in its first minute */
	const char *last_fault; /* NULL: none yet */
	const char *notice;     /* for the operator; NULL: nothing */
	bool ending;            /* no new boards are taken */
};

/* When does the next board of a head begin? */
enum iot_station_start {
	IOT_START_PLUG, /* when its port appears, or is another device than before */
	IOT_START_SCAN, /* when a serial number was scanned */
	IOT_START_SWAP  /* when another board answers on the port, which is asked every second */
};

struct iot_station_options {
	const char *name;             /* of the station: [A-Za-z0-9_-]{1,40} */
	const char *dir;              /* its folder; made when it is missing */
	const char *journal;          /* file of the provisioning journal */
	const struct iot_station_recipe *recipe;
	const char *const *ports;     /* NULL-terminated: paths, or patterns (glob(7)) that are looked at again and again */
	enum iot_station_start start;
	const char *serials;          /* file with a serial number per line; NULL: none */
	const char *range;            /* "PUMP-0001..0999"; NULL: none */
	int scan_fd;                  /* lines of a scanner; below 0: none */
	bool no_serials;              /* boards get none */
	int64_t count;                /* end when so many boards passed or failed; 0: no limit */
	bool replace;                 /* as in struct iot_provision_spec; boards with an identity are done again */
	const char *labels;           /* folder for labels; NULL: none are made */
	const char *notice;           /* told at the beginning, as what is found out on the way; NULL: nothing */
	int interrupt_fd;             /* readable: stop at once, leave the shift open; below 0: none */
	/* A cloud of its own for each worker process; at AWS also the local fleet, which stays NULL where there is none. */
	enum iot_status (*open_cloud)(void *data, struct iot_cloud **ret, struct iot_cloud **ret_fleet,
				      struct iot_error *err);
	bool aws_issues;                         /* these three as in struct iot_provision_spec */
	const char *root_ca;
	const struct iot_messaging_where *watch;
	/* Called when something changed, and twice a second while there is work. May be NULL. */
	void (*show)(const struct iot_station_view *view, void *data);
	/* Something to tell the operator: one line. May be NULL. */
	void (*note)(const char *line, void *data);
	/* A board is done, and that is on the disk: its record. Any failure ends the station. May be NULL. */
	enum iot_status (*done)(const json_t *record, void *data, struct iot_error *err);
	void *data;
};

/*
 * Run a shift, or go on with one that was not closed. Each board is provisioned
 * by a worker process of its own, so one that hangs or dies is that head's
 * trouble alone. Ends when the count is reached, serial numbers are used up, or
 * the scanner's lines end; the shift is then closed and signed.
 *
 * *ret_record: {station, shift, file, lines, keyId, passed, failed, known,
 * closed}; set on IOT_OK, IOT_PARTIAL (some failed) and IOT_INTERRUPTED (left open).
 * IOT_CONFLICT: another process runs this station, or its open shift is of a
 * recipe of another name. IOT_VERIFY: the open shift's
 * record is damaged. IOT_FAILURE: a record could not be written; nothing that
 * is not in the record counts.
 */
IOT_CHECK enum iot_status iot_station_run(const struct iot_station_options *options, json_t **ret_record,
					  struct iot_error *err);

/* Close and sign the shift that is open. IOT_NOT_FOUND: none is. *ret_record as above. */
IOT_CHECK enum iot_status iot_station_close(const char *dir, const char *name, json_t **ret_record, struct iot_error *err);

/* --- looking at records -------------------------------------------------------------------- */

/* The file of the newest shift of a station, or of shift `id`; new memory. IOT_NOT_FOUND if there is none. */
IOT_CHECK enum iot_status iot_station_shift(const char *dir, const char *id, char **ret, struct iot_error *err);

/*
 * Check records offline. The chain of each file, the signature at its end (by
 * the public key in the file `key`; NULL: station.pub beside it), and, with
 * several files, that each follows the one before. `open`: a shift that was not
 * closed will do. IOT_VERIFY names the file and the line that was altered, is
 * missing, or was added. *ret_records: array of {file, station, shift, lines,
 * passed, failed, known, closed, keyId?}.
 */
IOT_CHECK enum iot_status iot_station_verify(const char *const *files, size_t count, const char *key, bool open,
					     json_t **ret_records, struct iot_error *err);

/*
 * What a shift's record says: {station, shift, boards, passed, failed, known,
 * yield, firstPassYield, unitsPerHour, exposedOnWire, takt: [{step, count,
 * median, p95, max}], faults: [{cause, count, example}]}. Times are milliseconds.
 */
IOT_CHECK enum iot_status iot_station_report(const char *file, json_t **ret_record, struct iot_error *err);

/* Each board's record in order. A status other than IOT_OK from `each` ends it. */
IOT_CHECK enum iot_status iot_station_export(const char *file,
					     enum iot_status (*each)(json_t *record, void *data, struct iot_error *err),
					     void *data, struct iot_error *err);

/* --- labels ------------------------------------------------------------------------------------ */

/* A QR code (ISO/IEC 18004, level M) of the text as a PNG of `scale` pixels per module; appended. IOT_USAGE: too long. */
struct iot_buf;
IOT_CHECK enum iot_status iot_label_qr(const char *text, int scale, struct iot_buf *png, struct iot_error *err);

#endif
