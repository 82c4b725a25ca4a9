/*
 * The console of FreeRTOS's reference integration for STM32U5: `conf` holds
 * settings, `pki` keys and certificates. The board makes its key itself and gives
 * a request. It has no id that could be asked for, so it is known by its name.
 * Only the words of success count as success: an empty answer may mean anything,
 * and after a refused paste the rest of it would be taken for commands.
 */
#include "board/board_private.h"
#include "board/console.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/text.h"

#include <string.h>

enum {
	ANSWER_MS = 5000,
	GRACE_MS = 1000, /* after a prompt an answer may still come */
	KEY_MS = 30000,
	BOOT_MS = 15000,
	ASK_TRIES = 3,
	READ_TRIES = 8,
	WRITE_TRIES = 4,
	LINE_MAX_TYPED = 127, /* the console takes no more */
	PEM_LINE_MAX = 64,
	DER_MAX = 1900 /* of one object: its paste buffer has 2 KB */
};

struct freertos {
	struct iot_board_options options;
	struct console *console;
	int answer_ms;
};

/* --- answers ------------------------------------------------------------------------------- */

/* What an answer may look like. */
struct expected {
	const char *good;    /* how the line of success begins; NULL: a PEM block */
	struct iot_buf *pem; /* the block is appended; NULL: not wanted */
	/* What came: */
	bool in_pem, succeeded, failed;
	char line[256]; /* that decided */
};

static bool was_misheard(const char *line)
{
	return strstr(line, "not recognized") != NULL;
}

static bool is_failure(const char *line)
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

static enum console_verdict judge(const char *line, bool prompt, void *data)
{
	struct expected *expected = data;

	if (is_failure(line)) /* some have no end of line, and the prompt follows at once */
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
static enum iot_status conclude(const struct expected *expected, const char *doing, struct iot_error *err)
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
		status = console_read(board->console, judge, expected, timeout_ms, grace_ms, &done, err);
	if (expected->pem != NULL && status == IOT_OK)
		status = iot_buf_check(expected->pem, "the board's answer", err);
	return status;
}

/*
 * One line and its answer. A failure that was said is no fault here. Everything that is asked may be asked again, and
 * is when nothing came, or when the board took it for something else.
 */
static enum iot_status ask(struct freertos *board, const struct console_text *texts, struct expected *expected,
			   int timeout_ms, int grace_ms, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	for (int tries = 0; tries < ASK_TRIES; tries++) {
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

/* --- conf ------------------------------------------------------------------------------------- */

static const char *const conf_keys[IOT_ITEM_COUNT] = {
	[IOT_ITEM_THING_NAME] = "thing_name",         [IOT_ITEM_WIFI_SSID] = "wifi_ssid",
	[IOT_ITEM_WIFI_PASSWORD] = "wifi_credential", [IOT_ITEM_PORT] = "mqtt_port",
	[IOT_ITEM_ENDPOINT] = "mqtt_endpoint",
};

/* A line of its answer is longer than what `expected` keeps of it. */
struct conf_answer {
	const char *key;
	struct iot_buf *value;
	bool found, failed;
};

static enum console_verdict judge_conf(const char *line, bool prompt, void *data)
{
	struct conf_answer *answer = data;
	size_t key_len = strlen(answer->key), len = strlen(line);

	if (is_failure(line))
		answer->failed = true;
	if (!answer->found && strncmp(line, answer->key, key_len) == 0 && line[key_len] == '=') {
		const char *value = line + key_len + 1;
		bool quoted = *value == '"' && len > key_len + 2 && line[len - 1] == '"';

		iot_buf_clear(answer->value);
		iot_buf_add(answer->value, value + quoted, strlen(value) - 2 * (size_t)quoted);
		answer->found = true;
	}
	return prompt && (answer->found || answer->failed) ? CONSOLE_DONE : CONSOLE_MORE;
}

static enum iot_status get_conf(struct freertos *board, const char *key, bool secret, struct iot_buf *value,
				struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	console_hide(board->console, secret);
	for (int tries = 0; tries < ASK_TRIES; tries++) {
		struct conf_answer answer = {.key = key, .value = value};
		bool done = false;

		status = tries > 0 ? console_sync(board->console, board->answer_ms, err) : IOT_OK;
		if (status == IOT_OK)
			status = console_enter(board->console, CONSOLE_TEXTS({"conf get ", false}, {key, false}), err);
		if (status == IOT_OK)
			status = console_read(board->console, judge_conf, &answer, board->answer_ms, GRACE_MS, &done,
					      err);
		if (answer.found || (status != IOT_OK && status != IOT_TIMEOUT))
			break;
		status = IOT_TIMEOUT;
	}
	console_hide(board->console, false);
	if (status == IOT_TIMEOUT) {
		status = iot_fail(err, IOT_BOARD, "the board does not tell its %s", key);
		iot_error_hint(err, "is it the console of a FreeRTOS reference integration?");
	}
	return status;
}

/* Twice the same, or it is not believed: nothing else shows that a byte of it was lost or turned on its way. */
static enum iot_status get_steady(struct freertos *board, const char *key, bool secret, struct iot_buf *value,
				  struct iot_error *err)
{
	struct iot_buf again = IOT_BUF_SECRET(1024);
	bool same = false;
	enum iot_status status = get_conf(board, key, secret, value, err);

	for (int tries = 0; status == IOT_OK && !same && tries < READ_TRIES; tries++) {
		status = get_conf(board, key, secret, &again, err);
		same = status == IOT_OK && strcmp(iot_buf_str(&again), iot_buf_str(value)) == 0;
		if (!same) {
			iot_buf_clear(value);
			iot_buf_add(value, again.data, again.len);
		}
	}
	iot_buf_release(&again);
	if (status == IOT_OK && !same)
		status = iot_fail(err, IOT_BOARD, "the board gives no steady %s", key);
	return status;
}

static enum iot_status check_value(const struct iot_board_item *item, struct iot_error *err)
{
	const char *key = conf_keys[item->kind];

	if (strlen("conf set  ") + strlen(key) + strlen(item->value) > LINE_MAX_TYPED)
		return iot_fail(err, IOT_USAGE, "the %s is too long for the board's console",
				iot_board_item_name(item->kind));
	for (const char *c = item->value; *c != '\0'; c++)
		if (*c <= ' ' || *c > '~') {
			iot_fail(err, IOT_USAGE, "the %s holds a character that the board's console cannot take",
				 iot_board_item_name(item->kind));
			iot_error_hint(err, "it takes printable ASCII without spaces");
			return IOT_USAGE;
		}
	return IOT_OK;
}

static enum iot_status set_conf(struct freertos *board, const char *key, const char *value, bool secret,
				struct iot_error *err)
{
	struct iot_buf echoed = IOT_BUF_SECRET(1024);
	struct conf_answer answer = {.key = key, .value = &echoed};
	bool done = false;
	enum iot_status status;

	console_hide(board->console, secret);
	status = console_enter(board->console,
			       CONSOLE_TEXTS({"conf set ", false}, {key, false}, {" ", false}, {value, secret}), err);
	console_hide(board->console, secret);
	if (status == IOT_OK)
		status = console_read(board->console, judge_conf, &answer, board->answer_ms, GRACE_MS, &done, err);
	console_hide(board->console, false);
	if (status == IOT_TIMEOUT || (status == IOT_OK && (answer.failed || !answer.found)))
		status = iot_fail(err, IOT_BOARD, "the board did not take its %s", key);
	iot_buf_release(&echoed);
	return status;
}

static enum iot_status same_conf(struct freertos *board, const struct iot_board_item *item, bool *ret,
				 struct iot_error *err)
{
	struct iot_buf value = IOT_BUF_SECRET(1024);
	enum iot_status status =
		get_steady(board, conf_keys[item->kind], iot_board_item_secret(item->kind), &value, err);

	*ret = status == IOT_OK && strcmp(iot_buf_str(&value), item->value) == 0;
	iot_buf_release(&value);
	return status;
}

/* --- pki: objects ------------------------------------------------------------------------------ */

static const struct object {
	const char *label;
	bool is_key;
} objects[IOT_ITEM_COUNT] = {
	[IOT_ITEM_CODE_SIGNING] = {"ota_signer_pub", true},
	[IOT_ITEM_ROOT_CA] = {"root_ca_cert", false},
	[IOT_ITEM_CERTIFICATE] = {"tls_cert", false},
};

/* Appended; nothing if it holds none. */
static enum iot_status export(struct freertos *board, const char *label, bool is_key, struct iot_buf *pem,
			      struct iot_error *err) {
	struct expected expected = {.pem = pem};
	enum iot_status status = ask(board,
				     CONSOLE_TEXTS({"pki export ", false}, {is_key ? "key " : "cert ", false},
						   {label, false}),
				     &expected, board->answer_ms, GRACE_MS, err);

	if (status == IOT_OK && !expected.succeeded) iot_buf_clear(pem);
	return status;
}

/* The PEM of what the item wants, in lines of 64; certificate or public key. */
static enum iot_status wanted_pem(const struct iot_board_item *item, struct iot_buf *pem, struct iot_error *err)
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	struct iot_buf der = IOT_BUF_INIT(IOT_CERT_DER_MAX);
	enum iot_status status =
		iot_cert_parse_pem(item->value, strlen(item->value), iot_board_item_name(item->kind), &cert, err);

	if (status == IOT_OK && objects[item->kind].is_key)
		status = iot_key_public_pem(iot_cert_key(cert), pem, err);
	else if (status == IOT_OK)
		iot_cert_pem(cert, pem);
	if (status == IOT_OK)
		iot_cert_der(cert, &der);
	if (status == IOT_OK && !objects[item->kind].is_key && der.len > DER_MAX)
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
static bool same_object(const struct object *object, const struct iot_buf *held, const struct iot_buf *wanted)
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
static enum iot_status export_steady(struct freertos *board, const struct object *object, struct iot_buf *pem,
				     struct iot_error *err)
{
	struct iot_buf again = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	bool same = false;
	enum iot_status status = export(board, object->label, object->is_key, pem, err);

	for (int tries = 0; status == IOT_OK && !same && tries < READ_TRIES; tries++) {
		iot_buf_clear(&again);
		status = export(board, object->label, object->is_key, &again, err);
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

static enum iot_status holds_object(struct freertos *board, const struct object *object, const struct iot_buf *wanted,
				    bool *ret, struct iot_error *err)
{
	struct iot_buf held = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	enum iot_status status = export(board, object->label, object->is_key, &held, err);

	/* What is the same was read well; what is not may have been hurt on its way. */
	*ret = status == IOT_OK && same_object(object, &held, wanted);
	if (status == IOT_OK && !*ret) {
		iot_buf_clear(&held);
		status = export_steady(board, object, &held, err);
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

	if (is_failure(line)) {
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
			status = console_read(board->console, last ? judge : judge_paste, expected, board->answer_ms,
					      GRACE_MS, &done, err);
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
		status = console_read(board->console, judge, &expected, board->answer_ms, GRACE_MS, &done, err);
	return status;
}

static enum iot_status paste(struct freertos *board, const struct object *object, const struct iot_buf *pem,
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
		status = console_read(board->console, judge_paste, &expected, board->answer_ms, GRACE_MS, &done, err);
	if (status == IOT_OK && !expected.failed)
		status = paste_lines(board, iot_buf_str(pem), &expected, err);
	if (status == IOT_TIMEOUT)
		status = iot_fail(err, IOT_BOARD, "the board stopped answering in the middle of a paste");
	if (status == IOT_OK)
		status = conclude(&expected, doing, err);
	/* Whatever it made of the paste, the next line must not become a part of it. */
	if (status != IOT_OK && status != IOT_INTERRUPTED && leave_paste(board, &again) != IOT_OK && err != NULL &&
	    *err->hint == '\0')
		iot_error_hint(err, "it does not answer any more: reset it");
	return status;
}

/* --- items ----------------------------------------------------------------------------------------- */

static enum iot_status look(void *self, struct iot_board_item *item, struct iot_error *err)
{
	struct iot_buf wanted = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	bool same = false;
	enum iot_status status;

	if (conf_keys[item->kind] != NULL) {
		status = check_value(item, err);
		if (status == IOT_OK)
			status = same_conf(self, item, &same, err);
	} else {
		status = wanted_pem(item, &wanted, err);
		if (status == IOT_OK)
			status = holds_object(self, &objects[item->kind], &wanted, &same, err);
	}
	iot_buf_release(&wanted);
	if (same)
		item->outcome = IOT_ITEM_SAME;
	return status;
}

static enum iot_status write_item(struct freertos *board, const struct iot_board_item *item, struct iot_error *err)
{
	struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	enum iot_status status;

	if (conf_keys[item->kind] != NULL)
		return set_conf(board, conf_keys[item->kind], item->value, iot_board_item_secret(item->kind), err);
	status = wanted_pem(item, &pem, err);
	if (status == IOT_OK)
		status = paste(board, &objects[item->kind], &pem, err);
	iot_buf_release(&pem);
	return status;
}

/* What did not arrive whole is written again: an echo shows the lines, but not what becomes of them. */
static enum iot_status install(void *self, struct iot_board_item *item, struct iot_error *err)
{
	enum iot_status status = look(self, item, err);

	if (status != IOT_OK || item->outcome == IOT_ITEM_SAME)
		return status;
	for (int tries = 0; tries < WRITE_TRIES; tries++) {
		struct iot_error failed = IOT_ERROR_INIT;
		enum iot_status written = write_item(self, item, &failed);

		if (written != IOT_OK && (written != IOT_BOARD || tries == WRITE_TRIES - 1)) {
			if (err != NULL)
				*err = failed;
			return written;
		}
		status = written == IOT_OK ? look(self, item, err) : IOT_OK;
		if (status != IOT_OK || item->outcome == IOT_ITEM_SAME)
			break;
	}
	if (status == IOT_OK && item->outcome != IOT_ITEM_SAME)
		return iot_fail(err, IOT_BOARD, "the board does not hold the %s that it said it took",
				iot_board_item_name(item->kind));
	item->outcome = IOT_ITEM_WRITTEN;
	return status;
}

/* The clock's high-water mark lets the board refuse certificates of long ago before it knows the time. */
static enum iot_status commit(void *self, struct iot_error *err)
{
	struct freertos *board = self;
	struct expected expected = {.good = "Configuration saved"};
	char now[24];
	enum iot_status status;

	snprintf(now, sizeof(now), "%lld", (long long)(iot_now_ms() / 1000));
	status = set_conf(board, "time_hwm", now, false, err);
	if (status == IOT_OK)
		status = ask(board, CONSOLE_TEXTS({"conf commit", false}), &expected, board->answer_ms, GRACE_MS, err);
	if (status == IOT_OK)
		status = conclude(&expected, "save its configuration", err);
	return status;
}

/* --- the key ------------------------------------------------------------------------------------------ */

/* A request signed with its key is appended; nothing if it has none. */
static enum iot_status request(struct freertos *board, struct iot_buf *csr, struct iot_error *err)
{
	struct expected expected = {.pem = csr};
	enum iot_status status = ask(board, CONSOLE_TEXTS({"pki generate csr tls_key_priv", false}), &expected, KEY_MS,
				     2 * GRACE_MS, err);

	if (status == IOT_OK && !expected.succeeded)
		iot_buf_clear(csr);
	return status;
}

/* Read whole: a hurt one does not verify, and is asked for again. */
static enum iot_status request_key(struct freertos *board, struct iot_buf *csr, struct iot_key **ret,
				   struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	for (int tries = 0; tries < READ_TRIES; tries++) {
		IOT_CLEAN(iot_csr_release) struct iot_csr parsed = {0};

		iot_buf_clear(csr);
		status = request(board, csr, err);
		if (status != IOT_OK || csr->len == 0)
			return status;
		status = iot_csr_parse(iot_buf_str(csr), csr->len, &parsed, tries == READ_TRIES - 1 ? err : NULL);
		if (status == IOT_OK) {
			*ret = iot_take(parsed.key);
			return IOT_OK;
		}
	}
	iot_error_while(err, "reading the board's certificate request");
	return status;
}

static enum iot_status generate(struct freertos *board, struct iot_error *err)
{
	struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	struct expected expected = {.good = "SUCCESS: Key pair generated", .pem = &pem};
	enum iot_status status =
		ask(board, CONSOLE_TEXTS({"pki generate key", false}), &expected, KEY_MS, board->answer_ms, err);

	iot_buf_release(&pem);
	return status == IOT_OK ? conclude(&expected, "make a key pair", err) : status;
}

static enum iot_status make_key(void *self, const char *common_name, bool keep, struct iot_buf *csr,
				struct iot_error *err)
{
	struct freertos *board = self;
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	enum iot_status status = set_conf(board, "thing_name", common_name, false, err); /* the request names it */

	if (status == IOT_OK && keep)
		status = request_key(board, csr, &key, err);
	if (status != IOT_OK || key != NULL)
		return status;
	status = generate(board, err);
	if (status == IOT_OK)
		status = request_key(board, csr, &key, err);
	if (status == IOT_OK && key == NULL)
		return iot_fail(err, IOT_BOARD, "the board gives no certificate request");
	return status;
}

static enum iot_status prove(void *self, const struct iot_cert *cert, const char **ret_how, struct iot_error *err)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	struct iot_buf csr = IOT_BUF_INIT(IOT_CSR_MAX);
	enum iot_status status = request_key(self, &csr, &key, err);

	iot_buf_release(&csr);
	if (status == IOT_OK && (key == NULL || !iot_key_equal(key, iot_cert_key(cert))))
		return iot_fail(err, IOT_VERIFY, "the board does not hold the key of its certificate");
	*ret_how = "it signed a request with the key of its certificate";
	return status;
}

/* --- who it is ------------------------------------------------------------------------------------------ */

static enum iot_status read_conf(struct freertos *board, const char *key, char *out, size_t size, struct iot_error *err)
{
	struct iot_buf value = IOT_BUF_INIT(size - 1);
	enum iot_status status = get_steady(board, key, false, &value, err);

	snprintf(out, size, "%s", iot_buf_str(&value));
	iot_text_printable(out);
	iot_buf_release(&value);
	return status;
}

static enum iot_status identify(void *self, struct iot_board_identity *ret, struct iot_error *err)
{
	struct freertos *board = self;
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	struct iot_error unreadable = IOT_ERROR_INIT;
	enum iot_status status = read_conf(board, "thing_name", ret->thing_name, sizeof(ret->thing_name), err);

	snprintf(ret->model, sizeof(ret->model), "%s", board->options.description->name);
	snprintf(ret->protocol, sizeof(ret->protocol), "cli");
	ret->claimed_known = ret->key_known = true;
	iot_buf_clear(&ret->certificate);
	iot_buf_clear(&ret->public_key);
	if (status == IOT_OK)
		status = read_conf(board, "mqtt_endpoint", ret->endpoint, sizeof(ret->endpoint), err);
	ret->claimed = *ret->endpoint != '\0';
	if (status == IOT_OK)
		status = export_steady(board, &objects[IOT_ITEM_CERTIFICATE], &pem, err);
	if (status == IOT_OK &&
	    iot_cert_parse_pem(iot_buf_str(&pem), pem.len, "certificate", &cert, &unreadable) == IOT_OK)
		iot_cert_pem(cert, &ret->certificate);
	/* By a request: its own signature shows that it was read whole, which an exported key does not. */
	iot_buf_clear(&pem);
	if (status == IOT_OK)
		status = request_key(board, &pem, &key, err);
	if (status == IOT_OK && key != NULL)
		status = iot_key_public_pem(key, &ret->public_key, err);
	iot_buf_release(&pem);
	return status;
}

/* --- opening, starting ----------------------------------------------------------------------------------- */

static void close_board(void *self)
{
	struct freertos *board = self;

	console_close(board->console);
	free(board);
}

static enum iot_status open_board(const struct iot_board_options *options, void **ret_self, struct iot_error *err)
{
	struct freertos *board;
	const struct console_options console = {
		.serial = &options->serial, .name = "FreeRTOS console", .prompt = "> ", .echo_ms = options->answer_ms};
	enum iot_status status;

	if (options->description == NULL)
		return iot_fail(err, IOT_USAGE, "a board with a FreeRTOS console needs a description");
	board = iot_alloc(sizeof(*board));
	board->options = *options;
	board->answer_ms = options->answer_ms > 0 ? options->answer_ms : ANSWER_MS;
	status = console_open(&console, &board->console, err);
	if (status != IOT_OK) {
		close_board(board);
		return status;
	}
	*ret_self = board;
	return IOT_OK;
}

/* It runs with what it was given after a reset only. */
static enum iot_status start(void *self, struct iot_error *err)
{
	struct freertos *board = self;
	struct expected expected = {.good = "Resetting device"};
	struct iot_error cut = IOT_ERROR_INIT;
	bool done;
	enum iot_status status = console_enter(board->console, CONSOLE_TEXTS({"reset", false}), err);

	if (status != IOT_OK)
		return status;
	/* Not the prompt that it had before; a board that goes down without a word is as good. */
	status = console_read(board->console, judge, &expected, GRACE_MS, GRACE_MS, &done, &cut);
	if (status == IOT_OK || status == IOT_TIMEOUT)
		status = console_sync(board->console, BOOT_MS, &cut);
	if (status != IOT_OK && err != NULL) {
		*err = cut;
		iot_error_while(err, "waiting for the board to start again");
	}
	return status;
}

const struct iot_board_ops iot_board_freertos = {
	.name = "freertos",
	.summary = "console of a FreeRTOS reference integration (STM32U5)",
	.capabilities = IOT_BOARD_MAKES_KEY | IOT_BOARD_SIGNS,
	.items = 1U << IOT_ITEM_CODE_SIGNING | 1U << IOT_ITEM_ROOT_CA | 1U << IOT_ITEM_CERTIFICATE |
		 1U << IOT_ITEM_THING_NAME | 1U << IOT_ITEM_WIFI_SSID | 1U << IOT_ITEM_WIFI_PASSWORD |
		 1U << IOT_ITEM_PORT | 1U << IOT_ITEM_ENDPOINT,
	.open = open_board,
	.close = close_board,
	.identify = identify,
	.make_key = make_key,
	.look = look,
	.install = install,
	.commit = commit,
	.prove = prove,
	.start = start,
};
