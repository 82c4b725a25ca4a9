/*
 * Zephyr's store of credentials. What goes into it is sent in pieces that are
 * echoed and counted, and counts as written when the digest that the board makes
 * of it is that of what was sent. What is to be replaced is taken away only when
 * the new one is in the board's buffer, so a cut wire leaves one of them.
 */
#include "board/dialect/zephyr_private.h"

#include "iotctl/base.h"
#include "iotctl/cert.h"
#include "iotctl/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- the list -------------------------------------------------------------------------------- */

struct listing {
	struct zephyr_list *list;
	bool bad; /* more than we keep */
};

static bool take_row(const char *line, void *data)
{
	struct listing *listing = data;
	struct zephyr_list *list = listing->list;
	int64_t count;

	if (zephyr_count_parse(line, &count)) {
		listing->bad = listing->bad || count != (int64_t)list->count;
		return true;
	}
	if (list->count < ZEPHYR_ROWS_MAX)
		list->count += zephyr_row_parse(line, &list->rows[list->count]);
	else
		listing->bad = true;
	return false;
}

enum iot_status zephyr_read_list(struct zephyr *board, struct zephyr_list *ret, struct iot_error *err)
{
	for (int tries = 0; tries < CONSOLE_READ_TRIES; tries++) {
		struct listing listing = {.list = ret};
		struct zephyr_answer answer = {.line = take_row, .data = &listing, .once = true};
		enum iot_status status;

		ret->count = 0;
		status = zephyr_ask(board, CONSOLE_TEXTS({"cred list", false}), &answer, err);
		if (status != IOT_OK)
			return status;
		if (answer.said == ZEPHYR_NO_COMMAND) {
			iot_fail(err, IOT_BOARD, "the board's shell has no 'cred'");
			iot_error_hint(err, "its software needs CONFIG_TLS_CREDENTIALS_SHELL");
			return IOT_BOARD;
		}
		if (answer.said == ZEPHYR_GOOD && !listing.bad)
			return IOT_OK;
	}
	return iot_fail(err, IOT_BOARD, "the board gives no whole list of its credentials");
}

const struct zephyr_row *zephyr_find(const struct zephyr_list *list, int64_t tag, const char *type)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->rows[i].tag == tag && strcmp(list->rows[i].type, type) == 0)
			return &list->rows[i];
	return NULL;
}

/* --- what an item is ---------------------------------------------------------------------------- */

static enum iot_status certificate_bytes(const struct zephyr_plan *plan, const struct iot_board_item *item,
					 struct iot_buf *bytes, struct iot_error *err)
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	enum iot_status status =
		iot_cert_parse_pem(item->value, strlen(item->value), iot_board_item_name(item->kind), &cert, err);

	if (status != IOT_OK)
		return status;
	if (plan->der)
		iot_cert_der(cert, bytes);
	else
		iot_cert_pem(cert, bytes);
	return iot_buf_check(bytes, iot_board_item_name(item->kind), err);
}

static enum iot_status secret_bytes(const char *hex, struct iot_buf *bytes, struct iot_error *err)
{
	size_t len = strlen(hex) / 2;
	char *at = iot_buf_reserve(bytes, len);

	if (at == NULL || len == 0 || !iot_unhex(hex, at, len))
		return iot_fail(err, IOT_USAGE, "the shared secret is not in hexadecimal, or too long");
	bytes->len += len;
	return IOT_OK;
}

enum iot_status zephyr_credential_of(const struct zephyr_plan *plan, const struct iot_board_item *item,
				     struct zephyr_credential *ret, struct iot_error *err)
{
	*ret = (struct zephyr_credential){
		.tag = item->kind == IOT_ITEM_ROOT_CA ? plan->ca_tags[0] : plan->tag,
		.type = item->kind == IOT_ITEM_ROOT_CA       ? "CA"
			: item->kind == IOT_ITEM_CERTIFICATE ? "SERV"
			: item->kind == IOT_ITEM_PSK         ? "PSK"
							     : "PSK_ID",
		.what = iot_board_item_name(item->kind),
		.secret = iot_board_item_secret(item->kind),
		.bytes = IOT_BUF_SECRET(IOT_CERT_PEM_MAX),
	};
	if (item->kind == IOT_ITEM_PSK)
		return secret_bytes(item->value, &ret->bytes, err);
	if (item->kind == IOT_ITEM_PSK_IDENTITY) {
		iot_buf_adds(&ret->bytes, item->value);
		return iot_buf_check(&ret->bytes, ret->what, err);
	}
	ret->terminated = !plan->der;
	return certificate_bytes(plan, item, &ret->bytes, err);
}

static void digest_of(const struct zephyr_credential *credential, uint8_t out[IOT_SHA256_SIZE])
{
	struct iot_sha256_ctx *ctx = iot_sha256_new();

	iot_sha256_add(ctx, credential->bytes.data, credential->bytes.len);
	if (credential->terminated)
		iot_sha256_add(ctx, "", 1);
	iot_sha256_end(ctx, out);
	iot_sha256_free(ctx);
}

/* --- reading back ---------------------------------------------------------------------------------- */

static bool take_bytes(const char *line, void *data)
{
	if (iot_starts_with(line, "Credential buffer cleared."))
		return true;
	(void)!zephyr_get_parse(line, data);
	return false;
}

static enum iot_status get_once(struct zephyr *board, const struct zephyr_row *row, bool secret, struct iot_buf *bytes,
				struct iot_error *err)
{
	struct zephyr_answer answer = {.line = take_bytes, .data = bytes, .secret = secret, .once = true};
	char tag[24];
	enum iot_status status;

	snprintf(tag, sizeof(tag), "%" PRId64, row->tag);
	iot_buf_clear(bytes);
	status = zephyr_ask(
		board,
		CONSOLE_TEXTS({"cred get ", false}, {tag, false}, {" ", false}, {row->type, false}, {" bin", false}),
		&answer, err);
	if (status == IOT_OK && (answer.said != ZEPHYR_GOOD || bytes->over))
		iot_buf_clear(bytes);
	return status;
}

/* Twice the same, or as the digest has it. Empty: the board does not give it. */
static enum iot_status get_steady(struct zephyr *board, const struct zephyr_row *row, bool secret,
				  struct iot_buf *bytes, struct iot_error *err)
{
	struct iot_buf again = IOT_BUF_SECRET(IOT_CERT_PEM_MAX);
	uint8_t digest[IOT_SHA256_SIZE];
	bool same = false;
	enum iot_status status = get_once(board, row, secret, bytes, err);

	for (int tries = 0; status == IOT_OK && !same && tries < CONSOLE_READ_TRIES; tries++) {
		iot_sha256(bytes->data, bytes->len, digest);
		same = row->has_digest && memcmp(digest, row->digest, sizeof(digest)) == 0;
		if (same)
			break;
		status = get_once(board, row, secret, &again, err);
		same = status == IOT_OK && again.len == bytes->len &&
		       (again.len == 0 || memcmp(again.data, bytes->data, again.len) == 0);
		if (!same) {
			iot_buf_clear(bytes);
			iot_buf_add(bytes, again.data, again.len);
		}
	}
	iot_buf_release(&again);
	return status == IOT_OK && !same ? iot_fail(err, IOT_BOARD, "the board gives no steady credential") : status;
}

enum iot_status zephyr_get(struct zephyr *board, const struct zephyr_row *row, struct iot_buf *bytes,
			   struct iot_error *err)
{
	return get_steady(board, row, false, bytes, err);
}

/* The board makes no digest, so it has to show what it holds. */
static enum iot_status compare(struct zephyr *board, const struct zephyr_row *row,
			       const struct zephyr_credential *credential, enum zephyr_holds *ret,
			       struct iot_error *err)
{
	struct iot_buf bytes = IOT_BUF_SECRET(IOT_CERT_PEM_MAX);
	size_t len = credential->bytes.len;
	enum iot_status status = get_steady(board, row, credential->secret, &bytes, err);

	if (status == IOT_OK && bytes.len == 0)
		*ret = ZEPHYR_CANNOT_TELL;
	else if (status == IOT_OK)
		*ret = bytes.len == len + credential->terminated &&
				       memcmp(bytes.data, credential->bytes.data, len) == 0 &&
				       (!credential->terminated || bytes.data[len] == '\0')
			       ? ZEPHYR_HOLDS
			       : ZEPHYR_HOLDS_NOT;
	iot_buf_release(&bytes);
	return status;
}

static bool same_row(const struct zephyr_row *a, const struct zephyr_row *b)
{
	return a == NULL || b == NULL
		       ? a == b
		       : a->has_digest == b->has_digest && memcmp(a->digest, b->digest, sizeof(a->digest)) == 0;
}

/* What is the same was read well; what is not may have been hurt on its way, and is believed when it comes twice. */
enum iot_status zephyr_holds(struct zephyr *board, const struct zephyr_credential *credential, enum zephyr_holds *ret,
			     struct iot_error *err)
{
	struct zephyr_list list, again;
	const struct zephyr_row *row, *other;
	uint8_t digest[IOT_SHA256_SIZE];
	enum iot_status status = zephyr_read_list(board, &list, err);

	digest_of(credential, digest);
	for (int tries = 0; status == IOT_OK && tries < CONSOLE_READ_TRIES; tries++) {
		row = zephyr_find(&list, credential->tag, credential->type);
		*ret = ZEPHYR_HOLDS;
		if (row != NULL && row->has_digest && memcmp(row->digest, digest, sizeof(digest)) == 0)
			return IOT_OK;
		*ret = ZEPHYR_HOLDS_NOT;
		status = zephyr_read_list(board, &again, err);
		other = status == IOT_OK ? zephyr_find(&again, credential->tag, credential->type) : NULL;
		if (status == IOT_OK && same_row(row, other))
			return row == NULL || row->has_digest ? IOT_OK : compare(board, row, credential, ret, err);
		list = again;
	}
	return status == IOT_OK ? iot_fail(err, IOT_BOARD, "the board gives no steady list of its credentials")
				: status;
}

/* --- writing -------------------------------------------------------------------------------------------- */

static bool took_all(const char *line, void *data)
{
	char wanted[48];

	snprintf(wanted, sizeof(wanted), "Stored %zu bytes.", strlen(data));
	return strcmp(line, wanted) == 0;
}

static enum iot_status no_room(const struct zephyr_credential *credential, size_t len, struct iot_error *err)
{
	iot_fail(err, IOT_BOARD, "the board's shell has no room for the %s, which has %zu characters in base64",
		 credential->what, len);
	iot_error_hint(err, "build its software with a larger CONFIG_TLS_CREDENTIALS_SHELL_CRED_BUF_SIZE%s",
		       credential->terminated ? ", or say \"format\": \"der\" in its description" : "");
	return IOT_BOARD;
}

static enum iot_status clear_buffer(struct zephyr *board, struct iot_error *err)
{
	/* Shells of 2023 say nothing when it is empty; what is in it in the end is counted and has a digest. */
	struct zephyr_answer answer = {.good = "Credential buffer cleared.", .once = true};
	enum iot_status status = zephyr_ask(board, CONSOLE_TEXTS({"cred buf clear", false}), &answer, err);

	if (status == IOT_OK && answer.said != ZEPHYR_NOTHING)
		status = zephyr_conclude(&answer, "clear its buffer", err);
	return status;
}

/* Into the board's buffer, piece by piece. *ret_final: it will not be better another time. */
static enum iot_status upload(struct zephyr *board, const struct zephyr_credential *credential, bool *ret_final,
			      struct iot_error *err)
{
	struct iot_buf text = IOT_BUF_SECRET((size_t)2 * IOT_CERT_PEM_MAX);
	size_t room = ZEPHYR_COLUMNS - 1 - strlen(board->plan.prompt) - strlen("cred buf ");
	size_t step = room < ZEPHYR_CHUNK ? room : ZEPHYR_CHUNK;
	enum iot_status status = clear_buffer(board, err);

	iot_base64(credential->bytes.data, credential->bytes.len, &text);
	for (size_t at = 0; status == IOT_OK && at < text.len; at += step) {
		char piece[ZEPHYR_CHUNK + 1];
		struct zephyr_answer answer = {
			.line = took_all, .data = piece, .secret = credential->secret, .once = true};

		snprintf(piece, sizeof(piece), "%.*s", (int)step, text.data + at);
		status = zephyr_ask(board, CONSOLE_TEXTS({"cred buf ", false}, {piece, credential->secret}), &answer,
				    err);
		iot_wipe(piece, sizeof(piece));
		*ret_final = status == IOT_OK && answer.said == ZEPHYR_NO_ROOM;
		if (*ret_final)
			status = no_room(credential, text.len, err);
		else if (status == IOT_OK)
			status = zephyr_conclude(&answer, "take a piece of a credential", err);
	}
	iot_buf_release(&text);
	return status;
}

enum iot_status zephyr_remove(struct zephyr *board, int64_t tag, const char *type, struct iot_error *err)
{
	struct zephyr_answer answer = {.good = "Deleted TLS credential"};
	char number[24];
	enum iot_status status;

	snprintf(number, sizeof(number), "%" PRId64, tag);
	status = zephyr_ask(board, CONSOLE_TEXTS({"cred del ", false}, {number, false}, {" ", false}, {type, false}),
			    &answer, err);
	if (status == IOT_OK && answer.said != ZEPHYR_MISSING)
		status = zephyr_conclude(&answer, "delete a credential", err);
	return status;
}

static enum iot_status add(struct zephyr *board, const struct zephyr_credential *credential, struct iot_error *err)
{
	struct zephyr_answer answer = {.good = "Added TLS credential", .once = true};
	char doing[80], tag[24];
	enum iot_status status;

	snprintf(tag, sizeof(tag), "%" PRId64, credential->tag);
	snprintf(doing, sizeof(doing), "store the %s", credential->what);
	status = zephyr_ask(board,
			    CONSOLE_TEXTS({"cred add ", false}, {tag, false}, {" ", false}, {credential->type, false},
					  {" DEFAULT ", false}, {credential->terminated ? "bint" : "bin", false}),
			    &answer, err);
	if (status != IOT_OK)
		return status;
	status = zephyr_conclude(&answer, doing, err);
	if (status != IOT_OK && iot_ends_with(answer.text, "Error: -12"))
		iot_error_hint(err,
			       "its store is full: CONFIG_TLS_MAX_CREDENTIALS_NUMBER is too small, or something is "
			       "in it that nobody needs ('cred list' on its shell)");
	return status;
}

static enum iot_status write_once(struct zephyr *board, const struct zephyr_credential *credential, bool *ret_final,
				  struct iot_error *err)
{
	struct zephyr_list list;
	enum iot_status status = upload(board, credential, ret_final, err);

	if (status == IOT_OK)
		status = zephyr_read_list(board, &list, err);
	if (status == IOT_OK && zephyr_find(&list, credential->tag, credential->type) != NULL)
		status = zephyr_remove(board, credential->tag, credential->type, err);
	return status == IOT_OK ? add(board, credential, err) : status;
}

/* What it said counts for nothing until the digest shows it; nothing that was hurt stays in the buffer. */
enum iot_status zephyr_write(struct zephyr *board, const struct zephyr_credential *credential, bool *ret_proved,
			     struct iot_error *err)
{
	enum zephyr_holds holds = ZEPHYR_HOLDS_NOT;
	struct iot_error failed = IOT_ERROR_INIT;
	enum iot_status written = IOT_OK, status = IOT_OK;
	bool final = false;

	for (int tries = 0; tries < CONSOLE_WRITE_TRIES && !final && holds == ZEPHYR_HOLDS_NOT; tries++) {
		iot_error_clear(&failed);
		written = write_once(board, credential, &final, &failed);
		if (written != IOT_OK && written != IOT_BOARD)
			break;
		status = final ? IOT_OK : zephyr_holds(board, credential, &holds, err);
		if (status != IOT_OK)
			return status;
	}
	*ret_proved = holds == ZEPHYR_HOLDS;
	if (*ret_proved)
		return IOT_OK;
	if (written != IOT_OK) {
		struct iot_error ignored = IOT_ERROR_INIT;

		if (written == IOT_BOARD)
			(void)!clear_buffer(board, &ignored);
		if (err != NULL)
			*err = failed;
		return written;
	}
	if (holds == ZEPHYR_CANNOT_TELL)
		return IOT_OK;
	return iot_fail(err, IOT_BOARD, "the board does not hold the %s that it said it took", credential->what);
}
