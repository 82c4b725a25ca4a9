/*
 * A kind of board, as a file tells it (JSON; the format is described in
 * iotctl-board(7)): dialect and line, where its key is made, what is installed,
 * how it is proved, and what the dialect itself needs to know. Some come with the
 * program, others are files of the user's own.
 */
#ifndef IOTCTL_BOARD_DESCRIPTION_H
#define IOTCTL_BOARD_DESCRIPTION_H

#include "iotctl/board.h"

/* Where its key comes from. The words in a description are "factory", "board", "host", "psk". */
enum iot_board_key {
	IOT_BOARD_KEY_FACTORY, /* it was born with key and certificate */
	IOT_BOARD_KEY_BOARD,   /* made on the board, which it never leaves */
	IOT_BOARD_KEY_HOST,    /* made here, and sent over the wire in clear text */
	IOT_BOARD_KEY_PSK      /* a secret that it shares with the fleet, without a certificate; made and sent like that */
};

/* What a board has to show before it counts as provisioned, besides what can be read back. */
enum iot_board_proof {
	IOT_BOARD_PROVE_CONNECT = 1 << 0, /* told to connect, and seen by the broker */
	IOT_BOARD_PROVE_SIGN = 1 << 1,    /* it shows that it holds its key */
	IOT_BOARD_PROVE_APPEAR = 1 << 2   /* started, it connects by itself and is seen by the broker */
};

struct iot_board_description {
	const char *name;                /* [a-z0-9-], up to 64 */
	const char *summary;             /* one line */
	const struct iot_board_ops *ops; /* its dialect */
	int baud;
	enum iot_serial_pulse pulse;
	enum iot_board_key key;
	unsigned install;       /* 1 << enum iot_board_item_kind */
	unsigned prove;         /* enum iot_board_proof */
	const char *thing_name; /* template of its thing name: text, {serial}, {uid}; NULL: none */
	json_t *json;           /* the whole file; lends the texts */
};

/* Names of those that come with the program; NULL-terminated. */
extern const char *const iot_board_shipped[];

/*
 * IOT_USAGE naming the member that is missing, unknown or wrong; also when a private key or a shared secret would cross
 * the wire and the description does not say that it may.
 */
IOT_CHECK enum iot_status iot_board_description_parse(const json_t *json, struct iot_board_description **ret,
						      struct iot_error *err);
/* One that comes with the program, by its name; or a file, by a path with '/' or '.' in it. IOT_NOT_FOUND, IOT_USAGE.
 */
IOT_CHECK enum iot_status iot_board_description_load(const char *name_or_path, struct iot_board_description **ret,
						     struct iot_error *err);
void iot_board_description_free(struct iot_board_description *description);
void iot_board_description_free_p(struct iot_board_description **description); /* for IOT_CLEAN */

/* "factory", "board", "host" or "psk"; "connect", "sign" or "appear". */
const char *iot_board_key_name(enum iot_board_key key);
/* Is it made here, so that it crosses the wire? */
bool iot_board_key_on_wire(enum iot_board_key key);
const char *iot_board_proof_name(enum iot_board_proof proof);
/* The word for an item in a description: "code-signing", "wifi-ssid". */
const char *iot_board_item_word(enum iot_board_item_kind kind);

/*
 * iot_board_open() of a board of this kind: with the description, which must outlive the board, and with its line settings
 * where the options leave them open (baud 0, no pulse).
 */
IOT_CHECK enum iot_status iot_board_open_described(const struct iot_board_description *description,
						   const struct iot_board_options *options, struct iot_board **ret,
						   struct iot_error *err);

#endif
