/* Between the files of the nRF91 dialect: the words of the modem, one conversation, and its store of credentials. */
#ifndef IOTCTL_BOARD_NRF91_PRIVATE_H
#define IOTCTL_BOARD_NRF91_PRIVATE_H

#include "board/board_private.h"

#include "iotctl/at.h"
#include "iotctl/base.h"

enum {
	NRF91_ANSWER_MS = 5000,
	NRF91_SLOW = 3, /* leaving the network and making a key take as long as so many ordinary commands may */
	NRF91_TRIES = 4,
	NRF91_TAG_DEFAULT = 16842753, /* what nRF Cloud's samples use */
	NRF91_TAG_MAX = 2147483647,   /* above are the modem's own, and those whose TLS can be decrypted */
	NRF91_TAG_SPARE = 1768911923, /* where the old root CA is kept while a new one is tried */
	NRF91_KEYGEN_MAX = 8192
};

/* Types of credentials (%CMNG). */
enum nrf91_type {
	NRF91_ROOT_CA = 0,
	NRF91_CERTIFICATE = 1,
	NRF91_PRIVATE_KEY = 2,
	NRF91_PSK = 3,
	NRF91_PSK_IDENTITY = 4
};

/* --- words (nrf91_words.c): pure functions on what a modem says ------------------------------------- */

/* Leave out what a terminal puts around a line: escape sequences in front and at the end, blanks, CR. */
void nrf91_trim(const char **line, size_t *len);

enum nrf91_word {
	NRF91_NOTHING, /* empty, an echo of a command, or something nobody asked for */
	NRF91_LINE,    /* of an answer */
	NRF91_OK,      /* final */
	NRF91_ERROR    /* final; *ret_code: of +CME ERROR or +CMS ERROR, -1: it says none */
};
enum nrf91_word nrf91_word(const char *line, size_t len, int *ret_code);

/* A line of %CMNG's list, or the first one of what it reads. */
struct nrf91_entry {
	int64_t tag;
	int type;
	char hash[IOT_SHA256_HEX_SIZE]; /* lower case; "": the modem gives none */
};
/* False: it is none, or not a whole one. */
bool nrf91_entry_parse(const char *line, size_t len, struct nrf91_entry *ret);

/* 15 digits, the last of which checks the others. `out` holds 16 bytes. */
bool nrf91_imei(const char *line, size_t len, char *out);

/* "mfw_nrf9160_1.3.6", "mfw_nrf91x1_2.0.1", "mfw_nrf9151-ntn_1.0.0-1.alpha". */
struct nrf91_firmware {
	bool first; /* nRF9160, whose versions below 1.3 have no keys of their own making; all others can do everything
		     */
	int major, minor, patch;
};
bool nrf91_firmware_parse(const char *line, size_t len, struct nrf91_firmware *ret);
bool nrf91_firmware_at_least(const struct nrf91_firmware *firmware, int major, int minor, int patch);

/*
 * What %KEYGEN says: "REQUEST.STATEMENT", both in base64url. The request is
 * appended as PEM when it bears its key's own signature, and the statement is a
 * COSE_Sign1 of a message that names this request and this tag: so nothing was
 * lost or turned on its way, and the key is where it was wanted. Whose statement
 * it is is not known here: the modem's identity key is Nordic's to vouch for.
 * IOT_BOARD with the reason.
 */
IOT_CHECK enum iot_status nrf91_keygen_parse(const char *line, size_t len, int64_t tag, struct iot_buf *csr,
					     struct iot_error *err);

/*
 * What %JWT says: is it a token for this audience, signed with this key? IOT_BOARD: it is no token, or hurt;
 * IOT_VERIFY: it is for something else, or another key signed it.
 */
IOT_CHECK enum iot_status nrf91_token_check(const char *line, size_t len, const char *audience,
					    const struct iot_key *key, struct iot_error *err);

/* What a code means; never NULL. */
const char *nrf91_error_text(int code);
const char *nrf91_error_cure(int code);

/* --- the conversation (nrf91.c) ---------------------------------------------------------------------- */

struct nrf91 {
	struct iot_serial *serial;
	struct iot_at at;
	struct nrf91_firmware firmware;
	char imei[16], version[33];
	int answer_ms;
	int64_t tag;
	bool crlf; /* lines of what is written end with CR LF */
};

/* Say it. A refusal is no fault here. Answers are kept as secrets: an echo may be in them. */
IOT_CHECK enum iot_status nrf91_call(struct nrf91 *modem, const struct iot_at_text *texts, int timeout_ms, bool once,
				     struct iot_at_answer *answer, struct iot_error *err);
/* IOT_BOARD: "the modem refused to DOING: ...". */
enum iot_status nrf91_refused(const struct iot_at_answer *answer, const char *doing, struct iot_error *err);
/* Credentials are written offline only. */
IOT_CHECK enum iot_status nrf91_is_online(struct nrf91 *modem, bool *ret, struct iot_error *err);
IOT_CHECK enum iot_status nrf91_offline(struct nrf91 *modem, struct iot_error *err);
IOT_CHECK enum iot_status nrf91_online(struct nrf91 *modem, struct iot_error *err);
#define NRF91_ANSWER_INIT                                                                                              \
	{                                                                                                              \
		.code = -1, .text = IOT_BUF_SECRET(IOT_SERIAL_LINE_MAX), .lines = IOT_BUF_SECRET(IOT_SERIAL_LINE_MAX)  \
	}

/* --- the store of credentials (nrf91_items.c) ----------------------------------------------------------- */

/* Is there one of this type under our tag? Its hash, in lower case; "": it is not told. */
IOT_CHECK enum iot_status nrf91_held(struct nrf91 *modem, enum nrf91_type type, bool *ret_any,
				     char hash[IOT_SHA256_HEX_SIZE], struct iot_error *err);
/* The certificates of that type, once they came twice the same; none if there are none. */
IOT_CHECK enum iot_status nrf91_read_certs(struct nrf91 *modem, enum nrf91_type type, struct iot_cert ***ret,
					   size_t *ret_count, struct iot_error *err);
/* The identity of the shared secret, once it came twice the same; "" if there is none. */
IOT_CHECK enum iot_status nrf91_read_identity(struct nrf91 *modem, char *out, size_t size, struct iot_error *err);
IOT_CHECK enum iot_status nrf91_delete(struct nrf91 *modem, enum nrf91_type type, struct iot_error *err);
/* Ensure it: look, write if it differs, look again. `text` with LF; NUL-terminated. */
IOT_CHECK enum iot_status nrf91_ensure(struct nrf91 *modem, enum nrf91_type type, const char *text, bool secret,
				       enum iot_board_outcome *ret, struct iot_error *err);
IOT_CHECK enum iot_status nrf91_take_key(void *self, const struct iot_buf *pem, struct iot_error *err);
IOT_CHECK enum iot_status nrf91_look(void *self, struct iot_board_item *item, struct iot_error *err);
IOT_CHECK enum iot_status nrf91_install(void *self, struct iot_board_item *item, struct iot_error *err);

/* --- another root CA (nrf91_trust.c) --- */
IOT_CHECK enum iot_status nrf91_stage(void *self, const struct iot_board_trust *trust, struct iot_error *err);
IOT_CHECK enum iot_status nrf91_settle(void *self, const struct iot_board_trust *trust, bool keep,
				       struct iot_error *err);

#endif
