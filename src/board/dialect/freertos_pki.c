/*
 * The FreeRTOS console's keys and certificates: exported, asked for, pasted line
 * by line. Only the words of success count as success: an empty answer may mean
 * anything, and after a refused paste the rest of it would be taken for commands.
 */
#include "board/dialect/freertos_private.h"

#include "iotctl/base.h"
#include "iotctl/text.h"

#include <string.h>

/* --- answers ------------------------------------------------------------------------------- */

static bool was_misheard(const char *line)
{
	return strstr(line, "not recognized") != NULL;
}

bool fr_is_failure(const char *line)
{
	return iot_starts_with(line, "Error") || iot_starts_with(line, "ERROR") || was_misheard(line);
}

static void take_pem(struct expected *expected, const char *line)
{
	if (iot_starts_with(line, "-----BEGIN"))
		expected->in_pem = true;
	if (!expected->in_pem)
		return;
	iot_buf_adds(expected->pem, line);
	iot_buf_addc(expected->pem, '\n');
	if (!iot_starts_with(line, "-----END"))
		return;
	expected->in_pem = false;
	expected->succeeded = expected->succeeded || expected->good == NULL;
}

enum console_verdict fr_judge(const char *line, bool prompt, void *data)
{
	struct expected *expected = data;

	if (fr_is_failure(line)) /* some have no end of line, and the prompt follows at once */
		expected->failed = true;
	else if (expected->good != NULL && iot_starts_with(line, expected->good))
		expected->succeeded = true;
	else if (!prompt && expected->pem != NULL)
		take_pem(expected, line);
	if (*line != '\0' && !expected->in_pem && (expected->failed || expected->succeeded) &&
	    *expected->line == '\0') {
		snprintf(expected->line, sizeof(expected->line), "%s", line);
		iot_text_printable(expected->line);
	}
	return prompt && !expected->in_pem && (expected->failed || expected->succeeded) ? CONSOLE_DONE : CONSOLE_MORE;
}

/* Nothing that says success: IOT_BOARD. `doing` completes "the board refused to". */
enum iot_status fr_conclude(const struct expected *expected, const char *doing, struct iot_error *err)
{
	if (expected->failed)
		return iot_fail(err, IOT_BOARD, "the board refused to %s: %s", doing, expected->line);
	if (!expected->succeeded) {
		iot_fail(err, IOT_BOARD, "the board did not say that it could %s", doing);
		iot_error_hint(err, "it says nothing when what it is given has no meaning for it; repeat the command");
		return IOT_BOARD;
	}
	return IOT_OK;
}

static enum iot_status ask_once(struct freertos *board, const struct console_text *texts, struct expected *expected,
				int timeout_ms, int grace_ms, struct iot_error *err)
{
	bool done;
	enum iot_status status;

	expected->in_pem = expected->succeeded = expected->failed = false;
	expected->line[0] = '\0';
	if (expected->pem != NULL)
		iot_buf_clear(expected->pem);
	status = console_enter(board->console, texts, err);
	if (status == IOT_OK)
		status = console_read(board->console, fr_judge, expected, timeout_ms, grace_ms, &done, err);
	if (expected->pem != NULL && status == IOT_OK)
		status = iot_buf_check(expected->pem, "the board's answer", err);
	return status;
}

/*
 * One line and its answer. A failure that was said is no fault here. Everything that is asked may be asked again, and
 * is when nothing came, or when the board took it for something else.
 */
enum iot_status fr_ask(struct freertos *board, const struct console_text *texts, struct expected *expected,
		       int timeout_ms, int grace_ms, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	for (int tries = 0; tries < CONSOLE_ASK_TRIES; tries++) {
		struct iot_error late = IOT_ERROR_INIT;

		status = tries > 0 ? console_sync(board->console, board->answer_ms, &late) : IOT_OK;
		if (status == IOT_OK)
			status = ask_once(board, texts, expected, timeout_ms, grace_ms, &late);
		if (status != IOT_OK && status != IOT_TIMEOUT) {
			if (err != NULL)
				*err = late;
			return status;
		}
		if (status == IOT_OK && (expected->succeeded || (expected->failed && !was_misheard(expected->line))))
			return IOT_OK;
	}
	return status == IOT_TIMEOUT ? iot_fail(err, IOT_BOARD, "the board did not answer") : status;
}

/* --- pki: objects ------------------------------------------------------------------------------ */

const struct fr_object fr_objects[IOT_ITEM_COUNT] = {
	[IOT_ITEM_CODE_SIGNING] = {"ota_signer_pub", true},
	[IOT_ITEM_ROOT_CA] = {"root_ca_cert", false},
	[IOT_ITEM_CERTIFICATE] = {"tls_cert", false},
};

/* Appended; nothing if it holds none. */
static enum iot_status export_once(struct freertos *board, const char *label, bool is_key, struct iot_buf *pem,
				   struct iot_error *err)
{
	struct expected expected = {.pem = pem};
	enum iot_status status = fr_ask(board,
					CONSOLE_TEXTS({"pki export ", false}, {is_key ? "key " : "cert ", false},
						      {label, false}),
					&expected, board->answer_ms, CONSOLE_GRACE_MS, err);

	if (status == IOT_OK && !expected.succeeded)
		iot_buf_clear(pem);
	return status;
}

/* The PEM of what the item wants, in lines of 64; certificate or public key. */
enum iot_status fr_wanted_pem(const struct iot_board_item *item, struct iot_buf *pem, struct iot_error *err)
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	struct iot_buf der = IOT_BUF_INIT(IOT_CERT_DER_MAX);
	enum iot_status status =
		iot_cert_parse_pem(item->value, strlen(item->value), iot_board_item_name(item->kind), &cert, err);

	if (status == IOT_OK && fr_objects[item->kind].is_key)
		status = iot_key_public_pem(iot_cert_key(cert), pem, err);
	else if (status == IOT_OK)
		iot_cert_pem(cert, pem);
	if (status == IOT_OK)
		iot_cert_der(cert, &der);
	if (status == IOT_OK && !fr_objects[item->kind].is_key && der.len > DER_MAX)
		status = iot_fail(err, IOT_USAGE, "the %s has %zu bytes, and the board's console takes %d",
				  iot_board_item_name(item->kind), der.len, DER_MAX);
	iot_buf_release(&der);
	return status;
}

/* Some versions of the board's software export keys with one byte too many at the end. */
static bool same_key(const char *held, const char *wanted)
{
	struct iot_buf a = IOT_BUF_INIT(IOT_CERT_DER_MAX), b = IOT_BUF_INIT(IOT_CERT_DER_MAX);
	bool same = board_pem_decode(held, "PUBLIC KEY", &a) && board_pem_decode(wanted, "PUBLIC KEY", &b) &&
		    (a.len == b.len || a.len == b.len + 1) && memcmp(a.data, b.data, b.len) == 0;

	iot_buf_release(&a);
	iot_buf_release(&b);
	return same;
}

/* Two PEM texts of the same object; what cannot be read is another one. */
static bool same_object(const struct fr_object *object, const struct iot_buf *held, const struct iot_buf *wanted)
{
	struct iot_error ignored = IOT_ERROR_INIT;

	if (object->is_key)
		return same_key(iot_buf_str(held), iot_buf_str(wanted));
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *a = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *b = NULL;

	return iot_cert_parse_pem(iot_buf_str(held), held->len, "certificate", &a, &ignored) == IOT_OK &&
	       iot_cert_parse_pem(iot_buf_str(wanted), wanted->len, "certificate", &b, &ignored) == IOT_OK &&
	       strcmp(iot_cert_id(a), iot_cert_id(b)) == 0;
}

/* Appended once it has come twice the same; nothing if there is none. */
enum iot_status fr_export_steady(struct freertos *board, const struct fr_object *object, struct iot_buf *pem,
				 struct iot_error *err)
{
	struct iot_buf again = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	bool same = false;
	enum iot_status status = export_once(board, object->label, object->is_key, pem, err);

	for (int tries = 0; status == IOT_OK && !same && tries < CONSOLE_READ_TRIES; tries++) {
		iot_buf_clear(&again);
		status = export_once(board, object->label, object->is_key, &again, err);
		same = status == IOT_OK && strcmp(iot_buf_str(&again), iot_buf_str(pem)) == 0;
		if (!same) {
			iot_buf_clear(pem);
			iot_buf_adds(pem, iot_buf_str(&again));
		}
	}
	iot_buf_release(&again);
	if (status == IOT_OK && !same)
		status = iot_fail(err, IOT_BOARD, "the board gives no steady %s", object->label);
	return status;
}

enum iot_status fr_holds_object(struct freertos *board, const struct fr_object *object, const struct iot_buf *wanted,
				bool *ret, struct iot_error *err)
{
	struct iot_buf held = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	enum iot_status status = export_once(board, object->label, object->is_key, &held, err);

	/* What is the same was read well; what is not may have been hurt on its way. */
	*ret = status == IOT_OK && same_object(object, &held, wanted);
	if (status == IOT_OK && !*ret) {
		iot_buf_clear(&held);
		status = fr_export_steady(board, object, &held, err);
		*ret = status == IOT_OK && same_object(object, &held, wanted);
	}
	iot_buf_release(&held);
	return status;
}

/* --- pki: pasting --------------------------------------------------------------------------------- */

/* Between the lines of a paste only a new prompt may come. */
static enum console_verdict judge_paste(const char *line, bool prompt, void *data)
{
	struct expected *expected = data;

	if (fr_is_failure(line)) {
		expected->failed = true;
		snprintf(expected->line, sizeof(expected->line), "%s", line);
		iot_text_printable(expected->line);
	}
	return prompt ? CONSOLE_DONE : CONSOLE_MORE;
}

/* Line by line, each only after the board has taken the one before. */
static enum iot_status paste_lines(struct freertos *board, const char *pem, struct expected *expected,
				   struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	while (status == IOT_OK && !expected->failed && *pem != '\0') {
		size_t len = strcspn(pem, "\n");
		char line[PEM_LINE_MAX + 1];
		bool last = iot_starts_with(pem, "-----END"), done = false;

		if (len > PEM_LINE_MAX)
			return iot_fail(err, IOT_FAILURE, "a line of the PEM is too long");
		snprintf(line, sizeof(line), "%.*s", (int)len, pem);
		pem += len + (pem[len] == '\n');
		if (*line == '\0')
			continue;
		status = console_enter(board->console, CONSOLE_TEXTS({line, false}), err);
		if (status == IOT_OK)
			status = console_read(board->console, last ? fr_judge : judge_paste, expected, board->answer_ms,
					      CONSOLE_GRACE_MS, &done, err);
	}
	return status;
}

/* Ctrl-C ends a line only. This one ends a paste, with an error; it is no command either. */
static enum iot_status leave_paste(struct freertos *board, struct iot_error *err)
{
	struct expected expected = {.good = "Success:"};
	bool done;
	enum iot_status status = console_sync(board->console, board->answer_ms, err);

	if (status == IOT_OK)
		status = console_enter(board->console, CONSOLE_TEXTS({"-----END-----", false}), err);
	if (status == IOT_OK)
		status = console_read(board->console, fr_judge, &expected, board->answer_ms, CONSOLE_GRACE_MS, &done,
				      err);
	return status;
}

enum iot_status fr_paste(struct freertos *board, const struct fr_object *object, const struct iot_buf *pem,
			 struct iot_error *err)
{
	struct expected expected = {.good = "Success:"};
	char doing[64];
	bool done = false;
	struct iot_error again = IOT_ERROR_INIT;
	enum iot_status status =
		console_enter(board->console,
			      CONSOLE_TEXTS({"pki import ", false}, {object->is_key ? "key " : "cert ", false},
					    {object->label, false}),
			      err);

	snprintf(doing, sizeof(doing), "store %s", object->label);
	if (status == IOT_OK)
		status = console_read(board->console, judge_paste, &expected, board->answer_ms, CONSOLE_GRACE_MS, &done,
				      err);
	if (status == IOT_OK && !expected.failed)
		status = paste_lines(board, iot_buf_str(pem), &expected, err);
	if (status == IOT_TIMEOUT)
		status = iot_fail(err, IOT_BOARD, "the board stopped answering in the middle of a paste");
	if (status == IOT_OK)
		status = fr_conclude(&expected, doing, err);
	/* Whatever it made of the paste, the next line must not become a part of it. */
	if (status != IOT_OK && status != IOT_INTERRUPTED && leave_paste(board, &again) != IOT_OK && err != NULL &&
	    *err->hint == '\0')
		iot_error_hint(err, "it does not answer any more: reset it");
	return status;
}

/* --- the key ------------------------------------------------------------------------------------------ */

/* A request signed with its key is appended; nothing if it has none. */
static enum iot_status request(struct freertos *board, struct iot_buf *csr, struct iot_error *err)
{
	struct expected expected = {.pem = csr};
	enum iot_status status = fr_ask(board, CONSOLE_TEXTS({"pki generate csr tls_key_priv", false}), &expected,
					KEY_MS, 2 * CONSOLE_GRACE_MS, err);

	if (status == IOT_OK && !expected.succeeded)
		iot_buf_clear(csr);
	return status;
}

/* Read whole: a hurt one does not verify, and is asked for again. */
enum iot_status fr_request_key(struct freertos *board, struct iot_buf *csr, struct iot_key **ret, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	for (int tries = 0; tries < CONSOLE_READ_TRIES; tries++) {
		IOT_CLEAN(iot_csr_release) struct iot_csr parsed = {0};

		iot_buf_clear(csr);
		status = request(board, csr, err);
		if (status != IOT_OK || csr->len == 0)
			return status;
		status = iot_csr_parse(iot_buf_str(csr), csr->len, &parsed,
				       tries == CONSOLE_READ_TRIES - 1 ? err : NULL);
		if (status == IOT_OK) {
			*ret = iot_take(parsed.key);
			return IOT_OK;
		}
	}
	iot_error_while(err, "reading the board's certificate request");
	return status;
}

enum iot_status fr_generate(struct freertos *board, struct iot_error *err)
{
	struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	struct expected expected = {.good = "SUCCESS: Key pair generated", .pem = &pem};
	enum iot_status status =
		fr_ask(board, CONSOLE_TEXTS({"pki generate key", false}), &expected, KEY_MS, board->answer_ms, err);

	iot_buf_release(&pem);
	return status == IOT_OK ? fr_conclude(&expected, "make a key pair", err) : status;
}
