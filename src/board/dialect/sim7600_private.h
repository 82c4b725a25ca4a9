/*
 * Between the files of the SIM7600's dialect. sim7600.c: the conversation, who it is; sim7600_words.c: what its replies
 * say and its codes mean; sim7600_store.c: files; sim7600_items.c: what is installed and staged; sim7600_mqtt.c:
 * connecting.
 */
#ifndef IOTCTL_SIM7600_PRIVATE_H
#define IOTCTL_SIM7600_PRIVATE_H

#include "board/board_private.h"
#include "iotctl/at.h"

enum {
	S7_ANSWER_MS = 5000,
	S7_TRIES = 3,      /* of a command that was refused, and of writing a file */
	S7_READ_TRIES = 6, /* until something was read twice the same */
	S7_FILES_MAX = 64,
	S7_NAME_MAX = 108 /* of a file; AT manual, AT+CCERTDOWN */
};
#define S7_CHECK_WIRES "check speed, ground and wires of the serial line"

/* --- replies (sim7600_words.c): pure ------------------------------------------------------ */

/* Names of what the module stores. */
struct s7_files {
	char names[S7_FILES_MAX][S7_NAME_MAX + 1];
	size_t count;
};
/* All names in the lines of an answer to AT+CCERTLIST; one in a line, or all in one. What is no name is left out. */
void s7_files_parse(const char *lines, struct s7_files *ret);
/* The field, from 0, of a line "+WORD: a,"b",c" without its quotes. False: there is no such field, or it is too long.
 */
bool s7_field(const char *line, size_t len, size_t index, char *out, size_t size);
/* The line of an answer that begins with this text; *ret_len without its end. NULL: there is none. */
const char *s7_line(const char *lines, const char *front, size_t *ret_len);
/* "+CMQTTCONNECT: 0,32": the last number behind this word. False: the line is no such thing. */
bool s7_result(const char *line, size_t len, const char *word, int *ret);
/* An IMEI, 15 digits, alone or behind "+CGSN: ", from the lines of an answer. */
bool s7_imei(const char *lines, char out[16]);
enum iot_at_verdict s7_judge(const char *line, size_t len, struct iot_at_answer *answer, int *ret_more);

struct s7_fault {
	int code;
	const char *text, *cure;
};
const struct s7_fault *s7_mqtt_fault(int code); /* never NULL */

/* --- the conversation (sim7600.c) ------------------------------------------------------------- */

struct s7 {
	struct iot_serial *serial;
	struct iot_at at;
	struct iot_board_options options;
	int answer_ms;
	char imei[16];
	/* The result of a command that comes as a line of its own, before its OK or after it. */
	const char *awaited; /* "+CMQTTSTART"; NULL: none is */
	bool came;
	int result;
	bool session;          /* MQTT was started */
	bool staged;           /* other trust was staged in this conversation */
	char staged_host[257]; /* to connect to instead; "": none */
	int staged_port;       /* 0: as before */
};

/* A command that changes nothing when it is said again. A refusal that stays is IOT_BOARD; `doing`: "list its files".
 */
IOT_CHECK enum iot_status s7_call(struct s7 *s7, const struct iot_at_text *texts, const char *doing,
				  struct iot_at_answer *answer, struct iot_error *err);
/* Once, and a refusal is no fault: *ret_ok. */
IOT_CHECK enum iot_status s7_try(struct s7 *s7, const struct iot_at_text *texts, bool *ret_ok, struct iot_error *err);
/* The lines of an answer, when they came twice the same. */
IOT_CHECK enum iot_status s7_steady(struct s7 *s7, const char *command, const char *doing, struct iot_buf *lines,
				    struct iot_error *err);

/* --- files (sim7600_store.c) --------------------------------------------------------------------- */

/*
 * Names tell what a file is, since nothing can be read back but them: PREFIX_REST.pem. Of certificates and keys REST is
 * the beginning of a digest, of short values the value itself, percent-encoded.
 */
#define S7_CA "ca_"
#define S7_CERT "cert_"
#define S7_KEY "key_"
#define S7_THING "thing_"
#define S7_ENDPOINT "endpoint_"
#define S7_PORT "port_"
#define S7_OLD_CA "old_" /* the name of the root CA's file that was used before another was staged */

IOT_CHECK enum iot_status s7_list(struct s7 *s7, struct s7_files *ret, struct iot_error *err);
bool s7_holds(const struct s7_files *files, const char *name);
/* Write a file, in place of one of this name. */
IOT_CHECK enum iot_status s7_write(struct s7 *s7, const char *name, const char *text, bool secret,
				   struct iot_error *err);
IOT_CHECK enum iot_status s7_delete(struct s7 *s7, const char *name, struct iot_error *err);
/* All with this prefix but one (NULL: all). */
IOT_CHECK enum iot_status s7_delete_others(struct s7 *s7, const char *prefix, const char *but, struct iot_error *err);
/* The name of a file by its contents. */
void s7_name_of(const char *prefix, const char *text, char out[S7_NAME_MAX + 1]);
/* The value in the name of the first file with this prefix; "": there is none. */
void s7_value(const struct s7_files *files, const char *prefix, char *out, size_t size);
IOT_CHECK enum iot_status s7_set_value(struct s7 *s7, const char *prefix, const char *value, struct iot_error *err);
/* A file that TLS shall use: "cacert", "clientcert" or "clientkey". */
IOT_CHECK enum iot_status s7_use(struct s7 *s7, const char *role, const char *name, struct iot_error *err);
enum s7_role { S7_USES_CA, S7_USES_CERT, S7_USES_KEY, S7_ROLES };
/* What it uses now; "" where it uses none, or does not tell. */
struct s7_used {
	char names[S7_ROLES][S7_NAME_MAX + 1];
};
IOT_CHECK enum iot_status s7_used(struct s7 *s7, struct s7_used *ret, struct iot_error *err);

/* --- operations -------------------------------------------------------------------------------------- */

IOT_CHECK enum iot_status s7_take_key(void *self, const struct iot_buf *pem, struct iot_error *err);
IOT_CHECK enum iot_status s7_look(void *self, struct iot_board_item *item, struct iot_error *err);
IOT_CHECK enum iot_status s7_install(void *self, struct iot_board_item *item, struct iot_error *err);
IOT_CHECK enum iot_status s7_stage(void *self, const struct iot_board_trust *trust, struct iot_error *err);
IOT_CHECK enum iot_status s7_settle(void *self, const struct iot_board_trust *trust, bool keep, struct iot_error *err);
IOT_CHECK enum iot_status s7_connect(void *self, int timeout_ms, struct iot_error *err);
IOT_CHECK enum iot_status s7_disconnect(void *self, struct iot_error *err);

#endif
