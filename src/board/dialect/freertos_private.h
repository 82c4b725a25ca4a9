/* Between the files of the FreeRTOS console: one conversation, its answers, and what it does with keys and
 * certificates. */
#ifndef IOTCTL_BOARD_FREERTOS_PRIVATE_H
#define IOTCTL_BOARD_FREERTOS_PRIVATE_H

#include "board/board_private.h"
#include "board/console.h"

enum {
	KEY_MS = 30000,
	BOOT_MS = 15000,
	LINE_MAX_TYPED = 127, /* the console takes no more */
	PEM_LINE_MAX = 64,
	DER_MAX = 1900 /* of one object: its paste buffer has 2 KB */
};

struct freertos {
	struct iot_board_options options;
	struct console *console;
	int answer_ms;
};

/* What an answer may look like, and what came. */
struct expected {
	const char *good;    /* how the line of success begins; NULL: a PEM block */
	struct iot_buf *pem; /* the block is appended; NULL: not wanted */
	/* What came: */
	bool in_pem, succeeded, failed;
	char line[256]; /* that decided */
};

bool fr_is_failure(const char *line);
enum console_verdict fr_judge(const char *line, bool prompt, void *data);
/*
 * One line and its answer. A failure that was said is no fault here. Everything that is asked may be asked again, and
 * is when nothing came, or when the board took it for something else.
 */
IOT_CHECK enum iot_status fr_ask(struct freertos *board, const struct console_text *texts, struct expected *expected,
				 int timeout_ms, int grace_ms, struct iot_error *err);
/* Nothing that says success: IOT_BOARD. `doing` completes "the board refused to". */
IOT_CHECK enum iot_status fr_conclude(const struct expected *expected, const char *doing, struct iot_error *err);

/* --- objects: certificates and public keys under a label (freertos_pki.c) --- */
struct fr_object {
	const char *label;
	bool is_key;
};
extern const struct fr_object fr_objects[IOT_ITEM_COUNT]; /* label NULL: the item is none */

/* The PEM of what the item wants, in lines of 64; certificate or public key. */
IOT_CHECK enum iot_status fr_wanted_pem(const struct iot_board_item *item, struct iot_buf *pem, struct iot_error *err);
/* Appended once it has come twice the same; nothing if there is none. */
IOT_CHECK enum iot_status fr_export_steady(struct freertos *board, const struct fr_object *object, struct iot_buf *pem,
					   struct iot_error *err);
IOT_CHECK enum iot_status fr_holds_object(struct freertos *board, const struct fr_object *object,
					  const struct iot_buf *wanted, bool *ret, struct iot_error *err);
IOT_CHECK enum iot_status fr_paste(struct freertos *board, const struct fr_object *object, const struct iot_buf *pem,
				   struct iot_error *err);
/* A key pair, in place of the one that it has. */
IOT_CHECK enum iot_status fr_generate(struct freertos *board, struct iot_error *err);
/* A request (PEM) that the board signs with its key, and that key; both stay empty if it has none. */
IOT_CHECK enum iot_status fr_request_key(struct freertos *board, struct iot_buf *csr, struct iot_key **ret,
					 struct iot_error *err);

#endif
