/*
 * Between the files of the Zephyr shell: what a description says (zephyr_words.c,
 * pure functions), the store of credentials behind `cred` (zephyr_cred.c), and
 * the conversation (zephyr.c).
 */
#ifndef IOTCTL_BOARD_ZEPHYR_PRIVATE_H
#define IOTCTL_BOARD_ZEPHYR_PRIVATE_H

#include "board/board_private.h"
#include "board/console.h"
#include "iotctl/digest.h"

enum {
	ZEPHYR_BOOT_MS = 20000,
	ZEPHYR_COLUMNS = 80,   /* at which its echo breaks a line (CONFIG_SHELL_DEFAULT_TERMINAL_WIDTH) */
	ZEPHYR_LINE_MAX = 255, /* of what is typed (CONFIG_SHELL_CMD_BUFF_SIZE) */
	ZEPHYR_CHUNK = 48,     /* of a credential in a line */
	ZEPHYR_ROWS_MAX = 64,
	ZEPHYR_CA_TAGS_MAX = 2,
	ZEPHYR_VALUE_MAX = 256
};

/* --- what a description says (zephyr_words.c) --- */

/* How its own shell takes and shows a setting; texts are borrowed from the description. */
struct zephyr_command {
	const char *set, *said;  /* {value} in it; how the line of success begins */
	const char *get, *shows; /* the line that shows it, with {value} in it; NULL: it cannot be read */
};

struct zephyr_plan {
	int64_t tag;                         /* of certificate, key and shared secret */
	int64_t ca_tags[ZEPHYR_CA_TAGS_MAX]; /* that root CAs may be in */
	size_t ca_count;
	bool der; /* certificates and keys as DER; else PEM and a NUL */
	const char *prompt, *reboot;
	struct zephyr_command commands[IOT_ITEM_COUNT];
};
/* IOT_USAGE names the member that is wrong. */
IOT_CHECK enum iot_status zephyr_plan_read(const json_t *description, struct zephyr_plan *ret, struct iot_error *err);

/* May this value be put into this template? IOT_USAGE: it holds something that a shell would take for its own. */
IOT_CHECK enum iot_status zephyr_check_value(const char *set, const char *subject, const char *value,
					     struct iot_error *err);
/* The value in a line that looks like `shows`; false: the line does not. */
bool zephyr_shown(const char *shows, const char *line, char *out, size_t size);

/* A row of `cred list`: TAG,TYPE,BASE64 OF SHA-256,STATUS. */
struct zephyr_row {
	int64_t tag;
	char type[12];
	bool has_digest; /* the board could make one */
	uint8_t digest[IOT_SHA256_SIZE];
};
bool zephyr_row_parse(const char *line, struct zephyr_row *ret);
/* "N credentials found." */
bool zephyr_count_parse(const char *line, int64_t *ret);
/* A line of `cred get`, appended as bytes; false: it is no line of base64. */
bool zephyr_get_parse(const char *line, struct iot_buf *bytes);

/* What the shell said to a command, as far as it is known. */
enum zephyr_said {
	ZEPHYR_NOTHING, /* no line that is known */
	ZEPHYR_GOOD,
	ZEPHYR_EXISTS,
	ZEPHYR_MISSING,
	ZEPHYR_NO_ROOM,
	ZEPHYR_NO_COMMAND,
	ZEPHYR_REFUSED
};
/* NOTHING or one of the failures. */
enum zephyr_said zephyr_failure(const char *line);
/* The shell says this of a store that a reset empties. */
bool zephyr_says_volatile(const char *line);

/* --- the conversation (zephyr.c) --- */

struct zephyr {
	struct iot_board_options options;
	struct zephyr_plan plan;
	struct console *console;
	int answer_ms;
	bool is_volatile; /* it said that a reset empties its store */
};

struct zephyr_answer {
	const char *good; /* how the line of success begins */
	/* A line that is neither success nor failure; true: it is success. May be NULL. */
	bool (*line)(const char *line, void *data);
	void *data;
	bool secret; /* lines may hold some of a secret */
	bool once;   /* what was asked must not be asked twice */
	/* What came: */
	enum zephyr_said said;
	char text[200]; /* of the line that decided, else the last one; "" when they are secret */
	bool is_volatile;
};
/* One line and its answer. A failure that was said is no fault here, nor is silence. */
IOT_CHECK enum iot_status zephyr_ask(struct zephyr *board, const struct console_text *texts,
				     struct zephyr_answer *answer, struct iot_error *err);
/* Anything but success: IOT_BOARD. `doing` completes "the board refused to". */
IOT_CHECK enum iot_status zephyr_conclude(const struct zephyr_answer *answer, const char *doing, struct iot_error *err);

/* Where a value out of a line goes. */
struct zephyr_text {
	const char *shows; /* what the line begins, or looks, like */
	char *value;
	size_t size;
};

/* --- the store (zephyr_cred.c) --- */

struct zephyr_list {
	struct zephyr_row rows[ZEPHYR_ROWS_MAX];
	size_t count;
};
/* Read whole: as many rows as the board counts, each once. */
IOT_CHECK enum iot_status zephyr_read_list(struct zephyr *board, struct zephyr_list *ret, struct iot_error *err);
const struct zephyr_row *zephyr_find(const struct zephyr_list *list, int64_t tag, const char *type);

/* What is to be, or is, under a tag and a type. */
struct zephyr_credential {
	int64_t tag;
	const char *type;
	const char *what; /* for messages: "root CA" */
	bool secret;
	bool terminated;      /* the board adds a NUL */
	struct iot_buf bytes; /* without it */
};
/* What an item is in the store. IOT_USAGE: it cannot be. Release `bytes`. */
IOT_CHECK enum iot_status zephyr_credential_of(const struct zephyr_plan *plan, const struct iot_board_item *item,
					       struct zephyr_credential *ret, struct iot_error *err);

enum zephyr_holds { ZEPHYR_HOLDS_NOT, ZEPHYR_HOLDS, ZEPHYR_CANNOT_TELL };
IOT_CHECK enum iot_status zephyr_holds(struct zephyr *board, const struct zephyr_credential *credential,
				       enum zephyr_holds *ret, struct iot_error *err);
/* In place of what was there. *ret_proved false: the board took it, and cannot show what it has. */
IOT_CHECK enum iot_status zephyr_write(struct zephyr *board, const struct zephyr_credential *credential,
				       bool *ret_proved, struct iot_error *err);
/* Gone afterwards; it need not have been there. */
IOT_CHECK enum iot_status zephyr_remove(struct zephyr *board, int64_t tag, const char *type, struct iot_error *err);
/* The bytes of a credential that is no secret; empty when the board does not give them. */
IOT_CHECK enum iot_status zephyr_get(struct zephyr *board, const struct zephyr_row *row, struct iot_buf *bytes,
				     struct iot_error *err);

/* --- what it is given (zephyr_items.c) --- */

/* A setting of its application, read twice the same, or it is not believed. Empty when it cannot be asked. */
IOT_CHECK enum iot_status zephyr_setting(struct zephyr *board, enum iot_board_item_kind kind, char *out, size_t size,
					 struct iot_error *err);
/* Slots of the dialect. */
IOT_CHECK enum iot_status zephyr_look(void *self, struct iot_board_item *item, struct iot_error *err);
IOT_CHECK enum iot_status zephyr_install(void *self, struct iot_board_item *item, struct iot_error *err);
IOT_CHECK enum iot_status zephyr_take_key(void *self, const struct iot_buf *pem, struct iot_error *err);

#endif
