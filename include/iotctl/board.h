/*
 * A board, whatever the wire: who it is, what it can hold, what it can prove.
 * A dialect fills one constant struct; board/registry.c lists them all. A slot
 * that a dialect leaves NULL is something its boards cannot do, and the
 * function says so (IOT_USAGE).
 *
 * Faults: IOT_BOARD port or board; IOT_VERIFY the board proved the opposite of
 * what is wanted, or refused because of what it holds; IOT_TIMEOUT and
 * IOT_INTERRUPTED. Where a board gave a code it is in err->code ("ERR23"), or
 * one of those below.
 */
#ifndef IOTCTL_BOARD_H
#define IOTCTL_BOARD_H

#include "iotctl/cert.h"
#include "iotctl/serial.h"

#include <jansson.h>

/* Codes of IOT_BOARD: what is there is another kind of board; nothing is, or it fell silent. */
#define IOT_BOARD_OTHER_KIND "OtherKind"
#define IOT_BOARD_SILENT "NoAnswer"

enum iot_board_capability {
	IOT_BOARD_BORN_WITH_CERTIFICATE = 1 << 0, /* identify gives one; its key never leaves the board */
	IOT_BOARD_NAMED_BY_UID = 1 << 1,          /* its thing name is its UID and cannot be chosen */
	IOT_BOARD_MAKES_KEY = 1 << 2,             /* and gives a certificate request */
	IOT_BOARD_TAKES_KEY = 1 << 3,             /* made elsewhere; it crosses the wire in clear text */
	IOT_BOARD_CONNECTS = 1 << 4,              /* to the broker, when told to */
	IOT_BOARD_SIGNS = 1 << 5,                 /* shows that it holds its private key */
	IOT_BOARD_LOCKS = 1 << 6,                 /* keeps what it was given from being changed or read */
	IOT_BOARD_RESETS = 1 << 7,                /* to its factory state */
	IOT_BOARD_KEEPS_OLD_ROOT = 1 << 8         /* beside a new one that is staged, and goes back to it by itself */
};

/* What can be installed. The order is that of installing. */
enum iot_board_item_kind {
	IOT_ITEM_CODE_SIGNING, /* certificate (PEM) that updates are checked with */
	IOT_ITEM_ROOT_CA,      /* certificate (PEM) that the broker is checked with */
	IOT_ITEM_CERTIFICATE,  /* the device's own (PEM), where it is not born with one */
	IOT_ITEM_THING_NAME,
	IOT_ITEM_PSK_IDENTITY, /* up to 128 characters without ':' */
	IOT_ITEM_PSK,          /* secret; hex, lower case */
	IOT_ITEM_ATTEST_ID,    /* of the attestation key, which tokens may name it by: as PSK_IDENTITY */
	IOT_ITEM_ATTEST_KEY,   /* secret that it makes attestation tokens with; hex, lower case */
	IOT_ITEM_WIFI_SSID,
	IOT_ITEM_WIFI_PASSWORD, /* secret */
	IOT_ITEM_APN,
	IOT_ITEM_CUSTOM_NAME,
	IOT_ITEM_PORT,     /* of the broker, decimal */
	IOT_ITEM_ENDPOINT, /* last: it is what makes the board another fleet's */
	IOT_ITEM_COUNT
};
/* "code-signing certificate", "Wi-Fi password": for messages and records. */
const char *iot_board_item_name(enum iot_board_item_kind kind);
bool iot_board_item_secret(enum iot_board_item_kind kind);

enum iot_board_outcome {
	IOT_ITEM_NOT_TRIED,
	IOT_ITEM_SAME,    /* read back: it was there already */
	IOT_ITEM_NAMED,   /* it was there already, by its name; the contents cannot be read back */
	IOT_ITEM_WRITTEN, /* written, and read back the same */
	IOT_ITEM_TAKEN    /* the board accepted it; it cannot be read back */
};
struct iot_board_item {
	enum iot_board_item_kind kind;
	const char *value;              /* NUL-terminated; a secret is wiped by its owner */
	enum iot_board_outcome outcome; /* set by install */
};

/* Who a board is. Hold it with IOT_BOARD_IDENTITY_INIT, free with iot_board_identity_release. */
struct iot_board_identity {
	char vendor[65], model[65], version[33];
	char protocol[17];    /* of the dialect: "v1.1" */
	char uid[129];        /* never changes; "": it has no id of its own that can be asked for */
	char thing_name[129]; /* that it was given, where that can be chosen; "": none */
	char custom_name[129];
	char endpoint[257]; /* where it connects to now; "" if nowhere */
	bool claimed_known; /* it tells whether its endpoint is still the factory's */
	bool claimed;       /* it is not: somebody has set it up */
	bool connected;
	struct iot_buf certificate; /* PEM; empty if it has none */
	bool key_known;             /* it tells whether it has a key: */
	struct iot_buf public_key;  /* PEM; empty if it has none */
	char psk_identity[129];     /* of the shared secret that it has; "": none, or it does not tell */
	/* What keeps all that it holds from being read and written ("readout protection"); "": nothing. Of such a
	 * board nothing else need be known: also its uid may be "" although it has one. */
	char sealed[129];
	char unseal[65];    /* what takes that off, for people; "": nothing, or it is not known */
	char occupied[129]; /* place for credentials that holds what is none ("the flash from 0x1000 on"); "": none */
};
#define IOT_BOARD_IDENTITY_INIT                                                                                        \
	{                                                                                                              \
		.certificate = IOT_BUF_INIT(32768), .public_key = IOT_BUF_INIT(32768)                                  \
	}
void iot_board_identity_release(struct iot_board_identity *identity);

struct iot_board_description; /* board_description.h */

struct iot_board_options {
	/* Line settings; of boards on a debug probe the path is the probe (swd.h), and the transcript what OpenOCD
	 * says. */
	struct iot_serial_options serial;
	const struct iot_board_description *description; /* borrowed; NULL where the dialect needs none */
	int answer_ms; /* how long an ordinary command may take to be answered; 0: the dialect's own, some seconds.
			  Tests give less */
	/* Optional locks of the description to put on with the others; NULL-terminated, borrowed; NULL: none */
	const char *const *locks;
	/* A step that takes long begins ("connecting"). May be NULL. */
	void (*progress)(const char *text, void *data);
	void *data;
};

/* Whom a board is to trust from now on, and whom it trusted until now. Texts are borrowed. */
struct iot_board_trust {
	/* endpoint: HOST, or HOST:PORT of boards that can be told a port; root_ca: PEM; NULL: that stays as it is */
	const char *endpoint, *root_ca;
	/* To go back to; NULL: not known. Only of KEEPS_OLD_ROOT a root CA may be new and the old one not known. */
	const char *old_endpoint, *old_root_ca;
};

/* How far locking may go. */
enum iot_board_lock { IOT_BOARD_LOCK_NONE, IOT_BOARD_LOCK_REVERSIBLE, IOT_BOARD_LOCK_PERMANENT };

struct iot_board_ops {
	const char *name;    /* "expresslink": the word after --board */
	const char *summary; /* "AWS IoT ExpressLink module" */
	unsigned capabilities;
	unsigned items;             /* 1 << kind of each item that install takes */
	const char *const *members; /* of a description that are the dialect's own, NULL-terminated; NULL: none */
	/* Look at those members. NULL: there is nothing to look at. */
	enum iot_status (*check)(const json_t *description, struct iot_error *err);
	enum iot_status (*open)(const struct iot_board_options *options, void **ret_self, struct iot_error *err);
	void (*close)(void *self);
	enum iot_status (*identify)(void *self, struct iot_board_identity *ret, struct iot_error *err);
	enum iot_status (*make_key)(void *self, const char *common_name, bool keep, struct iot_buf *csr,
				    struct iot_error *err);
	enum iot_status (*take_key)(void *self, const struct iot_buf *pem, struct iot_error *err);
	enum iot_status (*look)(void *self, struct iot_board_item *item, struct iot_error *err);
	enum iot_status (*install)(void *self, struct iot_board_item *item, struct iot_error *err);
	enum iot_status (*connect)(void *self, int timeout_ms, struct iot_error *err);
	enum iot_status (*disconnect)(void *self, struct iot_error *err);
	enum iot_status (*commit)(void *self, struct iot_error *err);
	enum iot_status (*prove)(void *self, const struct iot_cert *cert, const char **ret_how, struct iot_error *err);
	enum iot_status (*start)(void *self, struct iot_error *err);
	enum iot_status (*reset)(void *self, struct iot_error *err);
	enum iot_status (*lock)(void *self, enum iot_board_lock strength, json_t *done, struct iot_error *err);
	enum iot_status (*stage)(void *self, const struct iot_board_trust *trust, struct iot_error *err);
	enum iot_status (*settle)(void *self, const struct iot_board_trust *trust, bool keep, struct iot_error *err);
	/* Has the description these optional locks, does this strength allow them, and is there one to put on at all?
	 * NULL: there are none. */
	enum iot_status (*check_locks)(const json_t *description, enum iot_board_lock strength,
				       const char *const *names, struct iot_error *err);
};

/* All dialects; ends with NULL. */
extern const struct iot_board_ops *const iot_boards[];
/* By name; NULL: there is none. */
const struct iot_board_ops *iot_board_find(const char *name);

struct iot_board;

/* Open the port and get an answer from the board. */
IOT_CHECK enum iot_status iot_board_open(const struct iot_board_ops *ops, const struct iot_board_options *options,
					 struct iot_board **ret, struct iot_error *err);
void iot_board_close(struct iot_board *board);
void iot_board_close_p(struct iot_board **board); /* for IOT_CLEAN */
const struct iot_board_ops *iot_board_ops_of(const struct iot_board *board);

/* Read all that tells who it is; changes nothing. `ret` must be initialised. */
IOT_CHECK enum iot_status iot_board_identify(struct iot_board *board, struct iot_board_identity *ret,
					     struct iot_error *err);
/*
 * Make a key on the board; a certificate request (PEM) for it is appended. `keep`: the key that it has, if it has one
 * and can make a request for it.
 */
IOT_CHECK enum iot_status iot_board_make_key(struct iot_board *board, const char *common_name, bool keep,
					     struct iot_buf *csr, struct iot_error *err);
/* Hand a private key over (PEM in a secret buffer): it crosses the wire. */
IOT_CHECK enum iot_status iot_board_take_key(struct iot_board *board, const struct iot_buf *pem, struct iot_error *err);
/*
 * Does it hold this item already? outcome: SAME or NAMED, or NOT_TRIED when it differs or cannot be read. Changes
 * nothing.
 */
IOT_CHECK enum iot_status iot_board_look(struct iot_board *board, struct iot_board_item *item, struct iot_error *err);
/* Ensure one item: read, write if it differs (what cannot be read is written), read back. */
IOT_CHECK enum iot_status iot_board_install(struct iot_board *board, struct iot_board_item *item,
					    struct iot_error *err);
/*
 * Make what was installed last: save, or write, what the board or we collected, in this conversation or in one that was
 * cut. Nothing to do for boards that keep each item at once. Afterwards iot_board_look() tells what it really holds.
 */
IOT_CHECK enum iot_status iot_board_commit(struct iot_board *board, struct iot_error *err);
/* Connect to the endpoint with the board's own identity. IOT_VERIFY, with the likely cure, when it cannot. */
IOT_CHECK enum iot_status iot_board_connect(struct iot_board *board, int timeout_ms, struct iot_error *err);
IOT_CHECK enum iot_status iot_board_disconnect(struct iot_board *board, struct iot_error *err);
/*
 * Let the board show that it holds the private key of this certificate. *ret_how: how it did, for a record ("it signed
 * ..."). IOT_VERIFY: it has another key.
 */
IOT_CHECK enum iot_status iot_board_prove(struct iot_board *board, const struct iot_cert *cert, const char **ret_how,
					  struct iot_error *err);
/* Let it run with what it was given. Nothing to do for boards that run all the time. */
IOT_CHECK enum iot_status iot_board_start(struct iot_board *board, struct iot_error *err);
/* Back to the factory state, and wait until it is up again. */
IOT_CHECK enum iot_status iot_board_reset(struct iot_board *board, struct iot_error *err);
/*
 * Before a board is touched: can these optional locks (NULL-terminated names; NULL: none) be put on with this strength?
 * IOT_USAGE naming the one that the description does not have, or that nothing takes off again where the strength is
 * not permanent; also when locks are wanted and none would be put on.
 */
IOT_CHECK enum iot_status iot_board_check_locks(const struct iot_board_description *description,
						enum iot_board_lock strength, const char *const *names,
						struct iot_error *err);
/*
 * Put on all locks of up to this strength that are not optional, or are named in the options, and show that each holds.
 * `done`: array that gets a text for each that is on, "NAME (reversible)"; one whose effect cannot be tried is "NAME
 * (permanent, not proved)". A permanent one is never taken off again.
 */
IOT_CHECK enum iot_status iot_board_lock(struct iot_board *board, enum iot_board_lock strength, json_t *done,
					 struct iot_error *err);
/*
 * Put the new endpoint and root CA beside the old ones where the board has room for both, and let it use the new ones
 * when it connects next. The same call again is no harm, also in a later conversation.
 */
IOT_CHECK enum iot_status iot_board_stage(struct iot_board *board, const struct iot_board_trust *trust,
					  struct iot_error *err);
/*
 * After a connection with what was staged: `keep` takes the old away, else the board goes back to it and the new is
 * taken away. Works in a later conversation, too, and when it was done already.
 */
IOT_CHECK enum iot_status iot_board_settle(struct iot_board *board, const struct iot_board_trust *trust, bool keep,
					   struct iot_error *err);

#endif
