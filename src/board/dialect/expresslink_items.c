/*
 * What an ExpressLink module holds: each item is a key of its dictionary. It is
 * read first, written when it differs, and read back; a value that did not
 * arrive whole is written again.
 */
#include "board/dialect/expresslink_private.h"

#include "iotctl/base.h"
#include "iotctl/text.h"

#include <string.h>

enum { PASTE_MS = 400 };

static const char *const keys[IOT_ITEM_COUNT] = {
	[IOT_ITEM_CODE_SIGNING] = "HOTAcertificate",
	[IOT_ITEM_ROOT_CA] = "RootCA",
	[IOT_ITEM_WIFI_SSID] = "SSID",
	[IOT_ITEM_WIFI_PASSWORD] = "Passphrase",
	[IOT_ITEM_APN] = "APN",
	[IOT_ITEM_CUSTOM_NAME] = "CustomName",
	[IOT_ITEM_ENDPOINT] = "Endpoint",
};

static const struct iot_el_key *key_of(const struct iot_board_item *item)
{
	int index;

	return iot_el_key_find(keys[item->kind], strlen(keys[item->kind]), &index);
}

/* --- comparing ---------------------------------------------------------------------------- */

static enum iot_status same_cert(struct el *el, const char *key, const char *pem, bool *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *wanted = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *held = NULL;
	struct iot_error unreadable = IOT_ERROR_INIT;
	enum iot_status status = iot_cert_parse_pem(pem, strlen(pem), key, &wanted, err);

	*ret = false;
	if (status != IOT_OK)
		return status;
	status = el_read_cert(el, key, &held, &unreadable);
	/* A value that is no certificate (some modules kept the word "pem") is another one; a lost port is a fault. */
	if (status != IOT_OK && !iot_starts_with(unreadable.what, "what the module gives")) {
		if (err != NULL)
			*err = unreadable;
		return status;
	}
	*ret = held != NULL && strcmp(iot_cert_id(held), iot_cert_id(wanted)) == 0;
	return IOT_OK;
}

static enum iot_status same_text(struct el *el, const char *key, const char *text, bool *ret, struct iot_error *err)
{
	struct iot_buf value = IOT_BUF_INIT(8192);
	enum iot_status status = el_read(el, key, &value, NULL, err);

	*ret = status == IOT_OK && value.len == strlen(text) && memcmp(iot_buf_str(&value), text, value.len) == 0;
	iot_buf_release(&value);
	return status;
}

static enum iot_status is_same(struct el *el, const struct iot_board_item *item, bool *ret, struct iot_error *err)
{
	const struct iot_el_key *key = key_of(item);

	*ret = false;
	if (!(key->flags & IOT_EL_READ))
		return IOT_OK;
	if (key->flags & IOT_EL_PEM)
		return same_cert(el, key->name, item->value, ret, err);
	return same_text(el, key->name, item->value, ret, err);
}

enum iot_status el_look(void *self, struct iot_board_item *item, struct iot_error *err)
{
	bool same = false;
	enum iot_status status = is_same(self, item, &same, err);

	if (same)
		item->outcome = IOT_ITEM_SAME;
	return status;
}

/* --- writing ---------------------------------------------------------------------------------- */

static enum iot_status refused(const struct iot_board_item *item, const struct iot_at_answer *answer,
			       struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *doing = iot_strf("take the %s", iot_board_item_name(item->kind));
	enum iot_status status;

	if (item->kind != IOT_ITEM_CODE_SIGNING || answer->code != 23)
		return el_refused(answer, doing, err);
	status = el_refused(answer, doing, err);
	if (err != NULL)
		err->hint[0] = '\0';
	iot_error_hint(err, "it holds another one and takes only a successor signed by that; --replace forgets it by a "
			    "factory reset, which also clears endpoint and Wi-Fi");
	return status;
}

/* A certificate without what PEM files carry around it; other values as they are. */
static enum iot_status value_of(const struct iot_board_item *item, struct iot_buf *out, struct iot_error *err)
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	enum iot_status status;

	if (!(key_of(item)->flags & IOT_EL_PEM)) {
		iot_buf_adds(out, item->value);
		return IOT_OK;
	}
	status = iot_cert_parse_pem(item->value, strlen(item->value), iot_board_item_name(item->kind), &cert, err);
	if (status == IOT_OK)
		iot_cert_pem(cert, out);
	return status;
}

/* The programmatic way: all on one line. */
static enum iot_status write_escaped(struct el *el, const struct iot_board_item *item, const struct iot_buf *value,
				     struct iot_at_answer *answer, struct iot_error *err)
{
	bool secret = iot_board_item_secret(item->kind);
	struct iot_buf escaped = {.max = IOT_EL_COMMAND_MAX, .secret = secret};
	const char *key = keys[item->kind];
	size_t len = value->len;
	enum iot_status status;

	/* A line feed at the end of a certificate is of no use, and some modules stumble over it. */
	while (key_of(item)->flags & IOT_EL_PEM && len > 0 && value->data[len - 1] == '\n')
		len--;
	iot_el_escape(value->data, len, &escaped);
	if (escaped.over || escaped.len + strlen(key) + 9 > IOT_EL_COMMAND_MAX) {
		iot_buf_release(&escaped);
		return iot_fail(err, IOT_USAGE, "the %s is too long for the module: %d bytes are the limit",
				iot_board_item_name(item->kind), IOT_EL_COMMAND_MAX);
	}
	const struct iot_at_call call = {
		.texts = IOT_AT_TEXTS({"AT+CONF ", false}, {key, false}, {"=", false}, {iot_buf_str(&escaped), secret}),
		.timeout_ms = el->answer_ms,
	};
	status = iot_at_call(&el->at, &call, answer, err);
	iot_buf_release(&escaped);
	return status;
}

/*
 * The way of a person at a terminal: "=pem", then the lines. Some modules say OK
 * before the lines ("paste now") and "OK COMPLETE" after them, others only after.
 */
static enum iot_status write_pasted(struct el *el, const struct iot_board_item *item, const struct iot_buf *value,
				    struct iot_at_answer *answer, struct iot_error *err)
{
	const struct iot_at_call ping = {.texts = IOT_AT_TEXTS({"AT", false}), .timeout_ms = el->answer_ms};
	IOT_CLEAN(iot_free_p) char *command = iot_strf("AT+CONF %s=pem\n", keys[item->kind]);
	enum iot_status status = iot_at_call(&el->at, &ping, answer, err);

	if (status == IOT_OK)
		status = iot_at_send_raw(&el->at, command, el->answer_ms, err);
	if (status != IOT_OK)
		return status;
	status = iot_at_await(&el->at, PASTE_MS, answer, err);
	if ((status == IOT_OK && !answer->ok) || (status != IOT_OK && status != IOT_TIMEOUT))
		return status;
	status = iot_at_send_raw(&el->at, iot_buf_str(value), el->answer_ms, err);
	if (status == IOT_OK)
		status = iot_at_await(&el->at, el->answer_ms, answer, err);
	iot_at_out_of_step(&el->at); /* whichever way this module does it: the next command begins anew */
	if (status == IOT_TIMEOUT)
		return iot_fail(err, IOT_BOARD, "the module did not say whether it took the %s",
				iot_board_item_name(item->kind));
	return status;
}

/* Did the one-line form fail for its form? Too long a line, or an escape that this module does not undo. */
static bool form_refused(const struct iot_at_answer *answer)
{
	return answer->code == 1 || answer->code == 4 || answer->code == 5 || answer->code == 26;
}

static enum iot_status write_once(struct el *el, const struct iot_board_item *item, const struct iot_buf *value,
				  bool pasted, struct iot_error *err)
{
	struct iot_at_answer answer = IOT_AT_ANSWER_INIT;
	bool pem = key_of(item)->flags & IOT_EL_PEM;
	enum iot_status status = IOT_OK;

	if (!pasted)
		status = write_escaped(el, item, value, &answer, err);
	if (pem && status == IOT_OK && (pasted || (!answer.ok && form_refused(&answer)))) {
		int code = answer.code;

		status = write_pasted(el, item, value, &answer, err);
		/* The first refusal says more than the failure of the second way. */
		if (!pasted && (status == IOT_BOARD || (status == IOT_OK && !answer.ok))) {
			answer.code = code;
			answer.ok = false;
			status = IOT_OK;
		}
	}
	if (status == IOT_OK && !answer.ok)
		status = refused(item, &answer, err);
	iot_at_answer_release(&answer);
	return status;
}

/*
 * A certificate that lost a byte on its way is refused like one that is none
 * (ERR26), and a lost H makes HOTAcertificate the vendor's own (ERR23).
 */
static bool may_be_hurt(const struct iot_error *fault, int tries)
{
	return (strcmp(fault->code, "ERR26") == 0 && tries + 1 < EL_TRIES) ||
	       (strcmp(fault->code, "ERR23") == 0 && tries == 0);
}

enum iot_status el_install(void *self, struct iot_board_item *item, struct iot_error *err)
{
	struct el *el = self;
	struct iot_buf value = {.max = IOT_CERT_PEM_MAX, .secret = iot_board_item_secret(item->kind)};
	bool readable = key_of(item)->flags & IOT_EL_READ;
	unsigned repeated = el->at.retries;
	bool same = false;
	struct iot_error fault = IOT_ERROR_INIT;
	enum iot_status status = value_of(item, &value, err);

	if (status == IOT_OK)
		status = is_same(el, item, &same, err);
	if (same)
		item->outcome = IOT_ITEM_SAME;
	for (int tries = 0; status == IOT_OK && !same && tries < EL_TRIES; tries++) {
		/* The last time the other way. */
		bool pasted = tries + 1 == EL_TRIES && (key_of(item)->flags & IOT_EL_PEM);

		status = write_once(el, item, &value, pasted, &fault);
		if (status != IOT_OK && may_be_hurt(&fault, tries)) {
			iot_error_clear(&fault);
			status = IOT_OK;
			continue;
		}
		if (status == IOT_BOARD && el->at.retries > repeated) {
			fault.hint[0] = '\0';
			iot_error_hint(&fault, "bytes get lost on the serial line: check speed, ground and wires");
		}
		if (status != IOT_OK && err != NULL)
			*err = fault;
		if (status == IOT_OK && readable)
			status = is_same(el, item, &same, err);
		if (status == IOT_OK && (same || !readable)) {
			item->outcome = readable ? IOT_ITEM_WRITTEN : IOT_ITEM_TAKEN;
			break;
		}
	}
	iot_buf_release(&value);
	if (status == IOT_OK && item->outcome == IOT_ITEM_NOT_TRIED) {
		iot_fail(err, IOT_VERIFY, "the module keeps another %s than it was given",
			 iot_board_item_name(item->kind));
		iot_error_hint(err, "check the wires of the serial line, or update the module's firmware");
		status = IOT_VERIFY;
	}
	return status;
}
