/*
 * AWS IoT ExpressLink modules: the conversation. A module is born with a key and
 * a certificate, is named by its UID, and connects by itself when told to.
 * Versions differ in what they answer, never in what they are asked, so nothing
 * here depends on the version a module says it has.
 */
#include "board/board_private.h"
#include "board/dialect/expresslink_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/log.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>

enum {
	OPEN_MS = 10000,
	FIRST_MS = 4000,
	RESET_ANSWERS = 3, /* a reset takes as long as so many ordinary commands may */
	BACK_OFF_MS = 2000,
	EVENT_MS = 1000,
	STEADY_MS = 500,
	PEM_LINES_MAX = 400,
	PEM_LINE_MS = 2000
};

/* --- the dialect of the AT engine --------------------------------------------------------- */

static enum iot_at_verdict judge(const char *line, size_t len, struct iot_at_answer *answer, int *ret_more)
{
	enum iot_at_verdict verdict = iot_el_judge(line, len, answer, ret_more);

	if (verdict == IOT_AT_STRANGER && iot_at_refuses(line, len)) {
		answer->code = -1; /* a modem's word */
		return IOT_AT_ERROR;
	}
	/* "OK9 pem" counts its lines; v0.5 says "OK pem". */
	if (verdict == IOT_AT_OK)
		answer->pem_follows = *ret_more == 0 && strcasecmp(iot_buf_str(&answer->text), "pem") == 0;
	return verdict;
}

/*
 * What a lost or doubled byte makes of a command: too long, malformed, unknown
 * command or key, another key (HOTAcertificate without its H), bad escape or value;
 * and what it makes of a code: one that no module of today gives. Where it is the module's true answer, it
 * is given again.
 */
static bool garbled(int code)
{
	return (code >= 1 && code <= 5) || (code >= 9 && code <= 13) || *iot_el_error(code)->name == '\0' || code == 22;
}

/* About is never empty, and what a module says to AT is. */
static bool proves(const struct iot_at_answer *answer, void *data)
{
	struct el *el = data;
	struct iot_buf about = IOT_BUF_INIT(sizeof(el->about) - 1);
	bool good = answer->text.len > 0 && iot_el_unescape(iot_buf_str(&answer->text), answer->text.len, &about) &&
		    !about.over;

	snprintf(el->about, sizeof(el->about), "%s", good ? iot_buf_str(&about) : "");
	iot_text_printable(el->about);
	iot_buf_release(&about);
	return good;
}

static const struct iot_at_dialect dialect = {
	.name = "ExpressLink module",
	.eol = "\n", /* v0.5 knows no other; to later ones CR would be an empty command besides */
	.probe = "AT",
	.proof = "AT+CONF? About",
	.proves = proves,
	.unwind = "-----END CERTIFICATE-----\n",
	.judge = judge,
	.retries = 2,
	.garbled = garbled,
};

/* --- faults ----------------------------------------------------------------------------------- */

enum iot_status el_refused(const struct iot_at_answer *answer, const char *doing, struct iot_error *err)
{
	const struct iot_el_fault *fault = iot_el_error(answer->code);
	enum iot_status status = answer->code == 23 ? IOT_VERIFY : IOT_BOARD;
	char code[16];

	snprintf(code, sizeof(code), "ERR%d", answer->code);
	iot_fail(err, status, "the module refused to %s: %s (%s)", doing, fault->text, code);
	if (err == NULL)
		return status;
	snprintf(err->code, sizeof(err->code), "%s", code);
	iot_error_hint(err, "%s",
		       fault->cure != NULL ? fault->cure : "repeat it; if that does not help, " EL_CHECK_WIRES);
	return status;
}

enum iot_status el_call(struct el *el, const struct iot_at_call *call, const char *doing, struct iot_at_answer *answer,
			struct iot_error *err)
{
	enum iot_status status = iot_at_call(&el->at, call, answer, err);

	if (status != IOT_OK)
		return status;
	return answer->ok ? IOT_OK : el_refused(answer, doing, err);
}

/* --- reading ------------------------------------------------------------------------------------ */

enum iot_status el_read(struct el *el, const char *key, struct iot_buf *value, bool *ret_known, struct iot_error *err)
{
	const struct iot_at_call call = {.texts = IOT_AT_TEXTS({"AT+CONF? ", false}, {key, false}),
					 .timeout_ms = el->answer_ms};
	struct iot_at_answer answer = IOT_AT_ANSWER_INIT;
	char doing[64];
	enum iot_status status = iot_at_call(&el->at, &call, &answer, err);
	bool known = !(status == IOT_OK && !answer.ok && answer.code == 11);

	snprintf(doing, sizeof(doing), "read %s", key);
	if (status == IOT_OK && answer.ok && !iot_el_unescape(iot_buf_str(&answer.text), answer.text.len, value)) {
		status = iot_fail(err, IOT_BOARD, "the module's answer for %s has a malformed escape", key);
		iot_error_hint(err, EL_CHECK_WIRES);
	} else if (status == IOT_OK && !answer.ok && (known || ret_known == NULL)) {
		status = el_refused(&answer, doing, err);
	}
	if (ret_known != NULL)
		*ret_known = known;
	iot_at_answer_release(&answer);
	return status == IOT_OK ? iot_buf_check(value, key, err) : status;
}

static bool no_whole_answer(enum iot_status status, const struct iot_error *err)
{
	return status == IOT_BOARD && err != NULL && iot_starts_with(err->what, "the board on port ");
}

/* Lines up to the END line, of which nobody said how many they are. */
static enum iot_status read_uncounted(struct el *el, struct iot_buf *value, struct iot_error *err)
{
	struct iot_buf line = IOT_BUF_INIT(IOT_SERIAL_LINE_MAX);
	enum iot_status status = IOT_OK;
	bool end = false;

	for (int count = 0; status == IOT_OK && !end; count++) {
		if (count == PEM_LINES_MAX) {
			status = iot_fail(err, IOT_BOARD, "the module sends a certificate without an end");
			break;
		}
		status = iot_at_read_line(&el->at, &line, PEM_LINE_MS, err);
		if (status != IOT_OK)
			break;
		iot_buf_add(value, line.data, line.len);
		iot_buf_addc(value, '\n');
		end = iot_starts_with(iot_buf_str(&line), "-----END");
	}
	iot_buf_release(&line);
	return status;
}

/* The certificate as raw lines: "OK9 pem" and nine of them, or "OK pem" and as many as it has. */
static enum iot_status read_pem(struct el *el, const char *key, struct iot_buf *value, struct iot_error *err)
{
	const struct iot_at_call call = {.texts = IOT_AT_TEXTS({"AT+CONF? ", false}, {key, false}, {" pem", false}),
					 .timeout_ms = el->answer_ms};
	struct iot_at_answer answer = IOT_AT_ANSWER_INIT;
	char doing[64];
	enum iot_status status;

	snprintf(doing, sizeof(doing), "read %s", key);
	status = el_call(el, &call, doing, &answer, err);
	if (status == IOT_OK && answer.pem_follows)
		status = read_uncounted(el, value, err);
	else if (status == IOT_OK)
		iot_buf_add(value, answer.lines.data, answer.lines.len);
	iot_at_answer_release(&answer);
	return status;
}

static bool is_blank(const struct iot_buf *text)
{
	return strspn(iot_buf_str(text), " \t\r\n") == text->len;
}

static enum iot_status parse_cert(const struct iot_buf *text, const char *key, struct iot_cert **ret,
				  struct iot_error *err)
{
	struct iot_buf der = IOT_BUF_INIT(IOT_CERT_DER_MAX);
	enum iot_status status = IOT_BOARD;

	if (!board_pem_decode(iot_buf_str(text), "CERTIFICATE", &der))
		iot_fail(err, IOT_BOARD, "what the module gives for %s is no PEM certificate", key);
	else if (iot_cert_parse_der(der.data, der.len, ret, err) == IOT_OK)
		status = IOT_OK;
	else
		iot_fail(err, IOT_BOARD, "what the module gives for %s is no certificate", key);
	if (status != IOT_OK)
		iot_error_hint(err, EL_CHECK_WIRES);
	iot_buf_release(&der);
	return status;
}

enum iot_status el_read_cert(struct el *el, const char *key, struct iot_cert **ret, struct iot_error *err)
{
	struct iot_buf text = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	enum iot_status status = IOT_BOARD;

	*ret = NULL;
	/* On one line first: its length cannot be mistaken. The same again, since a byte may have been lost. */
	for (int tries = 0; tries < EL_TRIES && status == IOT_BOARD; tries++) {
		bool lines = tries == 1;

		if (tries > 1 && no_whole_answer(status, err))
			break; /* it was asked often enough, in both ways */
		iot_buf_clear(&text);
		status = lines ? read_pem(el, key, &text, err) : el_read(el, key, &text, NULL, err);
		if (status == IOT_TIMEOUT)
			status = IOT_BOARD; /* in the middle of its lines; the next try begins anew */
		if (status != IOT_OK)
			continue;
		if (!lines && is_blank(&text))
			break;
		status = parse_cert(&text, key, ret, err);
	}
	if (status == IOT_OK)
		iot_error_clear(err);
	iot_buf_release(&text);
	return status;
}

/* --- opening ---------------------------------------------------------------------------------------- */

static void stranger(const char *line, size_t len, void *data)
{
	IOT_CLEAN(iot_free_p) char *text = iot_strndup(line, len < 120 ? len : 120);

	(void)data;
	iot_text_printable(text);
	iot_debug("the module says besides: %s", text);
}

static enum iot_status no_expresslink(struct el *el, const char *why, struct iot_error *err)
{
	iot_fail(err, IOT_BOARD, "the device on port '%s' answers AT, but is no ExpressLink module (%s)",
		 iot_serial_path(el->serial), why);
	iot_error_set_code(err, IOT_BOARD_OTHER_KIND);
	iot_error_hint(err, "name another port with --port ('iotctl board list'), or another kind with --board");
	return IOT_BOARD;
}

/* Any modem answers AT; only these know their keys. Asked twice: an answer is lost when the board starts just then. */
static enum iot_status check_kind(struct el *el, struct iot_error *err)
{
	const struct iot_at_call call = {.texts = IOT_AT_TEXTS({"AT+CONF? About", false}),
					 .timeout_ms = el->answer_ms < FIRST_MS ? el->answer_ms : FIRST_MS,
					 .once = true};
	struct iot_at_answer answer = IOT_AT_ANSWER_INIT;
	enum iot_status status;

	if (*el->about != '\0')
		return IOT_OK; /* getting into step has proved it */
	status = iot_at_call(&el->at, &call, &answer, err);

	if (no_whole_answer(status, err)) {
		iot_error_clear(err);
		status = iot_at_call(&el->at, &call, &answer, err);
	}
	if (no_whole_answer(status, err))
		status = no_expresslink(el, "it does not know AT+CONF?", err);
	else if (status == IOT_OK && !answer.ok)
		status = no_expresslink(el, "it refuses AT+CONF? About", err);
	iot_at_answer_release(&answer);
	return status;
}

static void close_module(void *self)
{
	struct el *el = self;

	iot_serial_close(el->serial);
	free(el);
}

static enum iot_status open_module(const struct iot_board_options *options, void **ret_self, struct iot_error *err)
{
	struct el *el = iot_alloc(sizeof(*el));
	struct iot_error scratch = IOT_ERROR_INIT;
	enum iot_status status;

	err = err != NULL ? err : &scratch;
	el->options = *options;
	el->answer_ms = options->answer_ms > 0 ? options->answer_ms : EL_ANSWER_MS;
	status = iot_serial_open(&options->serial, &el->serial, err);
	if (status == IOT_OK) {
		el->at = (struct iot_at){.serial = el->serial,
					 .dialect = &dialect,
					 .stranger = stranger,
					 .data = el,
					 .probe_ms = options->answer_ms};
		status = iot_at_sync(&el->at, OPEN_MS, err);
	}
	if (status == IOT_OK)
		status = check_kind(el, err);
	if (status != IOT_OK) {
		close_module(el);
		return status;
	}
	*ret_self = el;
	return IOT_OK;
}

/* --- connecting -------------------------------------------------------------------------------------------- */

/* What a module adds after the guide's words; new memory. */
static char *own_words(const char *detail)
{
	static const char words[] = "UNABLE TO CONNECT";
	const char *after = strstr(detail, words);
	char *own;

	after = after != NULL ? after + strlen(words) : "";
	own = iot_strndup(after + strspn(after, " :"), 120);
	iot_text_printable(own);
	return own;
}

static enum iot_status cannot_connect(const struct iot_at_answer *answer, int *ret_hint, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *own = NULL;
	const struct iot_el_fault *fault;
	char number[32] = "";
	int hint = 0, sub = 0;

	if (answer->code != 14)
		return el_refused(answer, "connect", err);
	if (!iot_el_hint_parse(iot_buf_str(&answer->text), answer->text.len, &hint, &sub))
		hint = 0;
	*ret_hint = hint;
	fault = iot_el_hint(hint);
	if (sub != 0)
		snprintf(number, sizeof(number), " %d.%d", hint, sub);
	else if (hint != 0)
		snprintf(number, sizeof(number), " %d", hint);
	own = own_words(iot_buf_str(&answer->text));
	iot_fail(err, IOT_VERIFY, "the module cannot connect: %s (ERR14%s%s%s)", fault->text, number,
		 *own != '\0' ? ": " : "", own);
	if (err != NULL)
		snprintf(err->code, sizeof(err->code), "ERR14 %d", hint);
	iot_error_hint(err, "%s", fault->cure);
	return IOT_VERIFY;
}

/* The answer to CONNECT may have been lost, and all be well. */
static enum iot_status after_silence(struct el *el, struct iot_el_status *now, struct iot_error *err)
{
	struct iot_error ignored = IOT_ERROR_INIT;

	if (el_read_status(el, now, &ignored) != IOT_OK || !now->connected)
		return IOT_BOARD;
	iot_error_clear(err);
	return IOT_OK;
}

static enum iot_status connect_once(struct el *el, int64_t deadline, int *ret_hint, struct iot_error *err)
{
	int left = iot_left(deadline);
	const struct iot_at_call call = {.texts = IOT_AT_TEXTS({"AT+CONNECT", false}),
					 .timeout_ms = left < IOT_EL_RESPOND_MS ? left : IOT_EL_RESPOND_MS,
					 .once = true};
	struct iot_at_answer answer = IOT_AT_ANSWER_INIT;
	struct iot_el_status now = {0};
	enum iot_status status = iot_at_call(&el->at, &call, &answer, err);

	*ret_hint = -1;
	if (no_whole_answer(status, err))
		status = after_silence(el, &now, err);
	else if (status == IOT_OK && !answer.ok)
		status = cannot_connect(&answer, ret_hint, err);
	else if (status == IOT_OK && !iot_el_status_parse(iot_buf_str(&answer.text), answer.text.len, &now))
		status = el_read_status(el, &now, err);
	if (status == IOT_OK && !now.connected)
		status = iot_fail(err, IOT_VERIFY, "the module says that it is not connected");
	iot_at_answer_release(&answer);
	return status;
}

static enum iot_status connect_module(void *self, int timeout_ms, struct iot_error *err)
{
	struct el *el = self;
	int64_t deadline = iot_deadline(timeout_ms);
	enum iot_status status;
	int hint;

	if (el->options.progress != NULL)
		el->options.progress("connecting", el->options.data);
	for (;;) {
		status = connect_once(el, deadline, &hint, err);
		/* After a failure it lets some time pass by itself; that is no fault of the set-up. */
		if (status != IOT_VERIFY || hint != 1 || iot_left(deadline) <= BACK_OFF_MS)
			return status;
		status = iot_serial_settle(el->serial, BACK_OFF_MS, deadline, NULL, err);
		if (status != IOT_OK && status != IOT_TIMEOUT)
			return status;
		iot_error_clear(err);
	}
}

static enum iot_status disconnect_module(void *self, struct iot_error *err)
{
	struct el *el = self;
	const struct iot_at_call call = {.texts = IOT_AT_TEXTS({"AT+DISCONNECT", false}), .timeout_ms = el->answer_ms};
	struct iot_at_answer answer = IOT_AT_ANSWER_INIT;
	enum iot_status status = iot_at_call(&el->at, &call, &answer, err);

	if (status == IOT_OK && !answer.ok && answer.code != 6) /* NO CONNECTION: as wanted */
		status = el_refused(&answer, "disconnect", err);
	iot_at_answer_release(&answer);
	return status;
}

/* --- factory reset ------------------------------------------------------------------------------------------- */

static enum iot_status not_up(const struct el *el, struct iot_error *err)
{
	iot_fail(err, IOT_BOARD, "the module did not start again after its reset within %d ms",
		 RESET_ANSWERS * el->answer_ms);
	iot_error_set_code(err, IOT_BOARD_SILENT);
	iot_error_hint(err, "check power and wires of the board, then repeat the command: it goes on where it was");
	return IOT_BOARD;
}

/*
 * Events until STARTUP: before that it is still on its way down. An event is told
 * once, so when an answer was lost that may have been it: then it is enough that
 * the module goes on answering.
 */
static enum iot_status await_startup(struct el *el, struct iot_error *err)
{
	const struct iot_at_call call = {.texts = IOT_AT_TEXTS({"AT+EVENT?", false}),
					 .timeout_ms = el->answer_ms < EVENT_MS ? el->answer_ms : EVENT_MS};
	int64_t deadline = iot_deadline(RESET_ANSWERS * el->answer_ms), steady = 0;
	unsigned retries = el->at.retries;
	struct iot_at_answer answer = IOT_AT_ANSWER_INIT;
	bool up = false;
	enum iot_status status = IOT_OK;

	while (!up && iot_left(deadline) > 0 && status != IOT_INTERRUPTED) {
		struct iot_el_event event = {-1, 0};
		bool any = false;

		status = iot_at_call(&el->at, &call, &answer, err);
		if (status != IOT_OK)
			continue;
		if (el->at.retries != retries && answer.ok)
			steady = steady == 0 ? iot_deadline(STEADY_MS) : steady;
		if (answer.ok && iot_el_event_parse(iot_buf_str(&answer.text), answer.text.len, &event, &any) && any)
			up = event.id == IOT_EL_STARTUP;
		else
			status = iot_serial_settle(el->serial, 50, deadline, NULL, err);
		up = up || (steady != 0 && iot_left(steady) == 0);
	}
	iot_at_answer_release(&answer);
	if (status == IOT_INTERRUPTED)
		return status;
	iot_error_clear(err);
	return up ? IOT_OK : not_up(el, err);
}

static enum iot_status reset_module(void *self, struct iot_error *err)
{
	struct el *el = self;
	/* Twice is as good as once. */
	const struct iot_at_call call = {.texts = IOT_AT_TEXTS({"AT+FACTORY_RESET", false}),
					 .timeout_ms = RESET_ANSWERS * el->answer_ms};
	struct iot_at_answer answer = IOT_AT_ANSWER_INIT;
	enum iot_status status = el_call(el, &call, "reset itself to its factory state", &answer, err);

	if (status == IOT_OK)
		status = await_startup(el, err);
	iot_at_answer_release(&answer);
	return status;
}

/* --- trust -------------------------------------------------------------------------------------------------- */

/* Its dictionary has one Endpoint and one RootCA (programmer's guide, "Configuration dictionary"). */
static enum iot_status stage(void *self, const struct iot_board_trust *trust, struct iot_error *err)
{
	return board_trust_stage(&iot_board_expresslink, self, trust, err);
}

static enum iot_status settle(void *self, const struct iot_board_trust *trust, bool keep, struct iot_error *err)
{
	return board_trust_settle(&iot_board_expresslink, self, trust, keep, err);
}

const struct iot_board_ops iot_board_expresslink = {
	.name = "expresslink",
	.summary = "AWS IoT ExpressLink module (v0.5 to v1.3)",
	.capabilities =
		IOT_BOARD_BORN_WITH_CERTIFICATE | IOT_BOARD_NAMED_BY_UID | IOT_BOARD_CONNECTS | IOT_BOARD_RESETS,
	.items = 1U << IOT_ITEM_CODE_SIGNING | 1U << IOT_ITEM_ROOT_CA | 1U << IOT_ITEM_WIFI_SSID |
		 1U << IOT_ITEM_WIFI_PASSWORD | 1U << IOT_ITEM_APN | 1U << IOT_ITEM_CUSTOM_NAME |
		 1U << IOT_ITEM_ENDPOINT,
	.open = open_module,
	.close = close_module,
	.identify = el_identify,
	.look = el_look,
	.install = el_install,
	.connect = connect_module,
	.disconnect = disconnect_module,
	.reset = reset_module,
	.stage = stage,
	.settle = settle,
};
