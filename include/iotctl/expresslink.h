/*
 * The language of AWS IoT ExpressLink modules, without a wire: frames, escapes,
 * codes, keys, events and update states, for both sides of it (the tool, a
 * software host, a software module). Pure functions over bytes; nothing blocks.
 *
 * Source: AWS IoT ExpressLink programmer's guide v1.3, with the differences of
 * v0.5 and what modules in the field do. "EL" below is this guide.
 */
#ifndef IOTCTL_EXPRESSLINK_H
#define IOTCTL_EXPRESSLINK_H

#include "iotctl/at.h"
#include "iotctl/buf.h"
#include "iotctl/error.h"

#include <stdint.h>

#define IOT_EL_BAUD 115200
#define IOT_EL_COMMAND_MAX (9 * 1024)   /* of a formatted command since v1.0, without its end of line */
#define IOT_EL_COMMAND_MAX_OLD 5000     /* of v0.5 and of some modules since */
#define IOT_EL_WORD_MAX 32              /* of a command word */
#define IOT_EL_KEY_MAX 16               /* of a configuration key */
#define IOT_EL_RESPOND_MS 120000        /* no command may take longer */

/* --- escapes ----------------------------------------------------------------- */

/* Append data with LF, CR and backslash as \A, \D and \\ (EL "Delimiters and escaping"). */
void iot_el_escape(const void *data, size_t len, struct iot_buf *out);
/* The reverse in one pass, so that an escaped backslash never starts an escape. False for any other escape. */
bool iot_el_unescape(const char *text, size_t len, struct iot_buf *out);

/* --- a command as the module sees it --------------------------------------------- */

struct iot_el_command {
	char word[IOT_EL_WORD_MAX + 1]; /* upper case, with its ? or !, without the suffix: "CONF?", "SEND"; "" for "AT" */
	int suffix;                     /* the decimal after the word; -1: none */
	bool has_param;                 /* a separator was there */
	const char *param;              /* still escaped; borrowed from the line */
	size_t param_len;
};
/*
 * Take a line (without its end) apart. What precedes the first "AT" that begins
 * a command is noise. 0; or the code of the module's error (2, 3); or -1: only
 * noise, nothing to answer.
 */
int iot_el_command_parse(const char *line, size_t len, struct iot_el_command *ret);

/* --- an answer as the host sees it ------------------------------------------------- */

struct iot_el_answer {
	bool ok;
	int number;         /* glued to OK: more lines that follow; to ERR: the code (-1: none was given) */
	const char *detail; /* what follows the one space, still escaped; "" when nothing does; borrowed from the line */
	size_t detail_len;
};
/* False: the line is no answer (noise, a log line, a line of a message). */
bool iot_el_answer_parse(const char *line, size_t len, struct iot_el_answer *ret);
/* The same as the AT engine asks for it (struct iot_at_dialect). */
enum iot_at_verdict iot_el_judge(const char *line, size_t len, struct iot_at_answer *answer, int *ret_more);

/* "{0|1} {0|1} CONNECTED STAGING" of CONNECT?; v0.5 has the first number only. */
struct iot_el_status {
	bool connected;
	bool known;    /* the module said whether it is onboarded */
	bool customer; /* its endpoint is not the factory's */
};
bool iot_el_status_parse(const char *detail, size_t len, struct iot_el_status *ret);

/* The hint at the front of an ERR14's detail ("5.1 UNABLE TO CONNECT ..."): 5 and 1; false: none is there. */
bool iot_el_hint_parse(const char *detail, size_t len, int *ret_hint, int *ret_sub);

/* --- codes --------------------------------------------------------------------------- */

/* An error code or a connection hint in plain words. */
struct iot_el_fault {
	int code;
	const char *name; /* the guide's: "PARSE ERROR" */
	const char *text; /* lower case, no full stop, fit for "the module says: ..." */
	const char *cure; /* what to do; NULL: nothing helps */
};
/* Never NULL: an unknown code has a text of its own (name ""). */
const struct iot_el_fault *iot_el_error(int code);
const struct iot_el_fault *iot_el_hint(int hint);

/* --- events ---------------------------------------------------------------------------- */

enum iot_el_event_id {
	IOT_EL_TIMEOUT = 0, IOT_EL_MSG = 1, IOT_EL_STARTUP = 2, IOT_EL_CONLOST = 3, IOT_EL_OVERRUN = 4, IOT_EL_OTA = 5,
	IOT_EL_CONNECT = 6, IOT_EL_CONFMODE = 7, IOT_EL_SUBACK = 8, IOT_EL_SUBNACK = 9,
	IOT_EL_SHADOW_INIT = 20, IOT_EL_SHADOW_INIT_FAILED = 21, IOT_EL_SHADOW_DOC = 22, IOT_EL_SHADOW_UPDATE = 23,
	IOT_EL_SHADOW_DELTA = 24, IOT_EL_SHADOW_DELETE = 25, IOT_EL_SHADOW_SUBACK = 26, IOT_EL_SHADOW_SUBNACK = 27
};
struct iot_el_event {
	int id;
	int param;
};
/*
 * "{id} {param} {mnemonic} [detail]" of EVENT?: id and param alone count, mnemonics hold spaces. An empty detail is
 * no event: *ret_any false. False when malformed.
 */
bool iot_el_event_parse(const char *detail, size_t len, struct iot_el_event *ret, bool *ret_any);
/* The guide's word for an event ("SHADOW INIT FAILED"), or NULL. */
const char *iot_el_event_name(int id);

/* --- the configuration dictionary ------------------------------------------------------- */

enum iot_el_key_flags {
	IOT_EL_READ = 1 << 0,
	IOT_EL_WRITE = 1 << 1,
	IOT_EL_PERSISTENT = 1 << 2,
	IOT_EL_FACTORY = 1 << 3, /* FACTORY_RESET brings its initial value back */
	IOT_EL_PEM = 1 << 4,     /* the `pem` forms are allowed */
	IOT_EL_SECRET = 1 << 5,
	IOT_EL_INDEXED = 1 << 6  /* the key is followed by a number: Topic1 */
};
struct iot_el_key {
	const char *name;
	unsigned flags;
	int size;         /* least bytes that a module can hold */
	const char *since; /* "0.5", "1.0", "1.2" */
	const char *initial; /* NULL: the module's own */
};
/* All keys; the last has name NULL. */
extern const struct iot_el_key iot_el_keys[];
/* The key of a name as a command gives it ("Topic3"; *ret_index 3, else 0); case counts. NULL: unknown. */
const struct iot_el_key *iot_el_key_find(const char *name, size_t len, int *ret_index);
/* The error a module answers for a name that it does not know, by its form: 9, 10 or 11; 0: a known name. */
int iot_el_key_fault(const char *name, size_t len);

/* --- updates ------------------------------------------------------------------------------- */

enum iot_el_ota {
	IOT_EL_OTA_IDLE = 0, IOT_EL_OTA_MODULE = 1, IOT_EL_OTA_HOST = 2, IOT_EL_OTA_PROGRESS = 3,
	IOT_EL_OTA_READY = 4, IOT_EL_OTA_IMAGE = 5
};
/* File types in a job (EL "OTA job", fileType). */
enum iot_el_file {
	IOT_EL_FILE_MODULE = 101, IOT_EL_FILE_MODULE_CERT = 103, IOT_EL_FILE_ROOT_CA = 107, IOT_EL_FILE_HOST = 202,
	IOT_EL_FILE_HOST_CERT = 204
};
/* "{code} {description} [detail]" of OTA?; *ret_text is what follows the code (borrowed). */
bool iot_el_ota_parse(const char *detail, size_t len, enum iot_el_ota *ret, const char **ret_text, size_t *ret_len);
const char *iot_el_ota_text(enum iot_el_ota state);

/*
 * The answer to OTA READ: "{count hex} {data hex} {checksum hex}", or "0". Requests count in decimal, answers in
 * hex. The data is appended. False when malformed, of another length than it says, or with a wrong checksum.
 */
bool iot_el_read_parse(const char *detail, size_t len, struct iot_buf *ret);
/* The detail of such an answer. */
void iot_el_read_format(const void *data, size_t len, struct iot_buf *out);
/* The answer to OTA SEEK: the address in hex. */
bool iot_el_seek_parse(const char *detail, size_t len, uint32_t *ret);
/* Sum of the bytes modulo 65536. */
uint16_t iot_el_checksum(const void *data, size_t len);

#endif
