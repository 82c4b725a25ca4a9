/*
 * The inside of the software Zephyr board. zephyr.c: the shell, the commands of
 * kernel and application, and the way to the broker; zephyr_cred.c: `cred`.
 */
#ifndef IOTCTL_SIM_BOARD_ZEPHYR_H
#define IOTCTL_SIM_BOARD_ZEPHYR_H

#include "sim/board/link.h"

enum {
	ZEPHYR_LINE_MAX = 256, /* CONFIG_SHELL_CMD_BUFF_SIZE */
	ZEPHYR_COLUMNS = 80,   /* CONFIG_SHELL_DEFAULT_TERMINAL_WIDTH */
	ZEPHYR_WORDS_MAX = 20, /* CONFIG_SHELL_ARGC_MAX */
	ZEPHYR_BUFFER = 1024,  /* CONFIG_TLS_CREDENTIALS_SHELL_CRED_BUF_SIZE */
	ZEPHYR_SMALL_BUFFER = 256,
	ZEPHYR_CREDENTIALS = 8 /* CONFIG_TLS_MAX_CREDENTIALS_NUMBER */
};

/* The tags that its application gives to its socket: certificate and key are in the first, root CAs in either. */
#define ZEPHYR_TAG "42"
#define ZEPHYR_OTHER_TAG "43"

struct zephyr {
	char line[ZEPHYR_LINE_MAX + 1];
	char command[ZEPHYR_LINE_MAX + 1]; /* that is carried out, without what is secret in it */
	size_t len;
	bool loading;            /* `cred buf load`: bytes go into the buffer until Ctrl-C */
	struct iot_buf buffer;   /* of `cred` */
	json_t *ram;             /* what it holds, when that is not written to its flash */
	struct board_link *link; /* NULL: something that it needs is missing */
	int64_t booted_at;
};

void zephyr_error(struct board_sim *board, const char *fmt, ...) IOT_PRINTF(2, 3);
void zephyr_warning(struct board_sim *board, const char *fmt, ...) IOT_PRINTF(2, 3);

/* --- zephyr_cred.c --- */
void zephyr_cred(struct board_sim *board, char *const words[], size_t count);
/* What the credential with this tag and type ("CA", "SERV", "PK") has, as PEM: new memory; NULL: nothing of use to a
 * TLS library. */
char *zephyr_pem(struct board_sim *board, const char *tag, const char *type, const char *label);

#endif
