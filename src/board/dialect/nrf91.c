/*
 * nRF91 modems (nRF9160, nRF9161, nRF9151, nRF9131) behind an application that
 * passes AT commands on: the conversation, who it is, its key. Credentials lie in
 * the modem under a security tag, where the application finds them; endpoint and
 * client id are the application's own.
 */
#include "board/dialect/nrf91_private.h"

#include "iotctl/json.h"
#include "iotctl/log.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>

enum { OPEN_MS = 10000, NONCE_SIZE = 16 };

/* --- the dialect of the AT engine ----------------------------------------------------------- */

static enum iot_at_verdict judge(const char *line, size_t len, struct iot_at_answer *answer, int *ret_more)
{
	*ret_more = 0;
	switch (nrf91_word(line, len, &answer->code)) {
	case NRF91_OK:
		return IOT_AT_OK;
	case NRF91_ERROR:
		iot_buf_clear(&answer->text);
		iot_buf_add(&answer->text, line, len);
		return IOT_AT_ERROR;
	case NRF91_LINE:
		if (!iot_at_refuses(line, len))
			return IOT_AT_PART;
		answer->code = -1; /* the word of a board of another kind */
		return IOT_AT_ERROR;
	default:
		return IOT_AT_STRANGER;
	}
}

/* The first of the answer's lines that `is` accepts; NULL. A board that starts says other things in between. */
static const char *find_line(const struct iot_at_answer *answer, const char *front, size_t *ret_len)
{
	const char *at = iot_buf_str(&answer->lines);

	while (*at != '\0') {
		size_t len = strcspn(at, "\n");
		const char *line = at;

		nrf91_trim(&line, &len);
		if (strncmp(line, front, strlen(front)) == 0) {
			*ret_len = len;
			return line;
		}
		at += strcspn(at, "\n");
		at += *at == '\n';
	}
	return NULL;
}

static bool find_imei(const struct iot_at_answer *answer, char out[16])
{
	for (const char *at = iot_buf_str(&answer->lines); *at != '\0';) {
		size_t len = strcspn(at, "\n");

		if (nrf91_imei(at, len, out))
			return true;
		at += len + (at[len] == '\n');
	}
	return false;
}

/* What a modem says to AT has no number in it. */
static bool proves(const struct iot_at_answer *answer, void *data)
{
	struct nrf91 *modem = data;

	return find_imei(answer, modem->imei);
}

static bool garbled(int code)
{
	return code < 0;
}

static const struct iot_at_dialect dialect = {
	.name = "nRF91 modem",
	.eol = "\r\n",
	.probe = "AT",
	.proof = "AT+CGSN",
	.proves = proves,
	/* Ends a content that was cut, which swallows everything else. Where none was open it opens one, which the next
	 * one ends. */
	.unwind = "\"",
	.judge = judge,
	.retries = 2,
	.garbled = garbled,
};

enum iot_status nrf91_call(struct nrf91 *modem, const struct iot_at_text *texts, int timeout_ms, bool once,
			   struct iot_at_answer *answer, struct iot_error *err)
{
	const struct iot_at_call call = {
		.texts = texts, .timeout_ms = timeout_ms > 0 ? timeout_ms : modem->answer_ms, .once = once};

	return iot_at_call(&modem->at, &call, answer, err);
}

enum iot_status nrf91_refused(const struct iot_at_answer *answer, const char *doing, struct iot_error *err)
{
	if (answer->code < 0)
		iot_fail(err, IOT_BOARD, "the modem refused to %s: %s", doing, nrf91_error_text(-1));
	else
		iot_fail(err, IOT_BOARD, "the modem refused to %s: %s (%d)", doing, nrf91_error_text(answer->code),
			 answer->code);
	if (err != NULL && answer->code >= 0)
		snprintf(err->code, sizeof(err->code), "CME%d", answer->code);
	iot_error_hint(err, "%s", nrf91_error_cure(answer->code));
	return IOT_BOARD;
}

/* --- on and off the network ------------------------------------------------------------------- */

static enum iot_status read_mode(struct nrf91 *modem, int64_t *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_at_answer_release) struct iot_at_answer answer = NRF91_ANSWER_INIT;
	enum iot_status status = nrf91_call(modem, IOT_AT_TEXTS({"AT+CFUN?", false}), 0, false, &answer, err);
	char number[8] = "";
	const char *line;
	size_t len;

	if (status != IOT_OK)
		return status;
	if (!answer.ok)
		return nrf91_refused(&answer, "tell whether it is on the network", err);
	line = find_line(&answer, "+CFUN:", &len);
	if (line != NULL && len < sizeof(number) + strlen("+CFUN:"))
		snprintf(number, sizeof(number), "%.*s", (int)(len - strlen("+CFUN:")), line + strlen("+CFUN:"));
	if (iot_parse_int(number + strspn(number, " "), 0, 255, ret, NULL) == IOT_OK)
		return IOT_OK;
	return iot_fail(err, IOT_BOARD, "the modem does not tell whether it is on the network");
}

static enum iot_status set_mode(struct nrf91 *modem, const char *mode, const char *doing, struct iot_error *err)
{
	IOT_CLEAN(iot_at_answer_release) struct iot_at_answer answer = NRF91_ANSWER_INIT;
	enum iot_status status = nrf91_call(modem, IOT_AT_TEXTS({"AT+CFUN=", false}, {mode, false}),
					    NRF91_SLOW * modem->answer_ms, false, &answer, err);

	return status == IOT_OK && !answer.ok ? nrf91_refused(&answer, doing, err) : status;
}

enum iot_status nrf91_is_online(struct nrf91 *modem, bool *ret, struct iot_error *err)
{
	int64_t mode = 0;
	enum iot_status status = read_mode(modem, &mode, err);

	*ret = mode != 0 && mode != 4;
	return status;
}

enum iot_status nrf91_offline(struct nrf91 *modem, struct iot_error *err)
{
	bool online = false;
	enum iot_status status = nrf91_is_online(modem, &online, err);

	return status == IOT_OK && online ? set_mode(modem, "4", "leave the network", err) : status;
}

enum iot_status nrf91_online(struct nrf91 *modem, struct iot_error *err)
{
	return set_mode(modem, "1", "go on the network", err);
}

/* --- who it is ------------------------------------------------------------------------------------ */

static enum iot_status read_imei(struct nrf91 *modem, struct iot_error *err)
{
	IOT_CLEAN(iot_at_answer_release) struct iot_at_answer answer = NRF91_ANSWER_INIT;
	char before[16], now[16];
	bool same = false;
	enum iot_status status = IOT_OK;

	snprintf(before, sizeof(before), "%s", modem->imei);
	for (int tries = 0; status == IOT_OK && !same && tries < NRF91_TRIES; tries++) {
		status = nrf91_call(modem, IOT_AT_TEXTS({"AT+CGSN", false}), 0, false, &answer, err);
		if (status != IOT_OK || !answer.ok || !find_imei(&answer, now))
			continue;
		same = strcmp(before, now) == 0;
		memcpy(before, now, sizeof(before));
	}
	if (status != IOT_OK)
		return status;
	memcpy(modem->imei, before, sizeof(before));
	if (same)
		return IOT_OK;
	iot_fail(err, IOT_BOARD, "the board on port '%s' answers AT, but gives no steady IMEI",
		 iot_serial_path(modem->serial));
	iot_error_hint(err, "check speed, ground and wires of the serial line; is it the right port?");
	return IOT_BOARD;
}

/* Once is enough: a hurt one does not parse, and what depends on it shows by its own. */
static enum iot_status read_version(struct nrf91 *modem, struct iot_error *err)
{
	IOT_CLEAN(iot_at_answer_release) struct iot_at_answer answer = NRF91_ANSWER_INIT;
	const char *line = NULL;
	size_t len = 0;

	for (int tries = 0; tries < NRF91_TRIES; tries++) {
		enum iot_status status = nrf91_call(modem, IOT_AT_TEXTS({"AT+CGMR", false}), 0, false, &answer, err);

		if (status != IOT_OK)
			return status;
		line = find_line(&answer, "mfw_", &len);
		if (answer.ok && line != NULL && nrf91_firmware_parse(line, len, &modem->firmware)) {
			snprintf(modem->version, sizeof(modem->version), "%.*s", (int)len, line);
			iot_text_printable(modem->version);
			return IOT_OK;
		}
	}
	iot_fail(err, IOT_BOARD, "the modem on port '%s' is no nRF91: it does not tell a firmware 'mfw_nrf91...'",
		 iot_serial_path(modem->serial));
	iot_error_set_code(err, IOT_BOARD_OTHER_KIND);
	iot_error_hint(err, "name another port with --port ('iotctl board list'), or another kind with --board");
	return IOT_BOARD;
}

static enum iot_status read_model(struct nrf91 *modem, char *out, size_t size, struct iot_error *err)
{
	IOT_CLEAN(iot_at_answer_release) struct iot_at_answer answer = NRF91_ANSWER_INIT;
	enum iot_status status = nrf91_call(modem, IOT_AT_TEXTS({"AT+CGMM", false}), 0, false, &answer, err);
	const char *line;
	size_t len;

	if (status != IOT_OK)
		return status;
	line = find_line(&answer, "nRF91", &len);
	if (line != NULL)
		snprintf(out, size, "%.*s", (int)(len < size ? len : size - 1), line);
	iot_text_printable(out);
	return IOT_OK;
}

/* --- its key ---------------------------------------------------------------------------------------- */

static bool signs(const struct nrf91 *modem)
{
	return nrf91_firmware_at_least(&modem->firmware, 1, 3, 0);
}

/* A token for a nonce, signed with the key under our tag. */
static enum iot_status challenge_once(struct nrf91 *modem, const struct iot_key *key, struct iot_error *err)
{
	IOT_CLEAN(iot_at_answer_release) struct iot_at_answer answer = NRF91_ANSWER_INIT;
	uint8_t random[NONCE_SIZE];
	char nonce[2 * NONCE_SIZE + 1], tag[16];
	const char *line;
	size_t len = 0;
	enum iot_status status;

	iot_random(random, sizeof(random));
	iot_hex(random, sizeof(random), nonce);
	snprintf(tag, sizeof(tag), "%lld", (long long)modem->tag);
	status = nrf91_call(modem,
			    IOT_AT_TEXTS({"AT%JWT=0,0,\"iotctl\",\"", false}, {nonce, false}, {"\",", false},
					 {tag, false}, {",2", false}),
			    0, false, &answer, err);
	if (status != IOT_OK)
		return status;
	if (!answer.ok && answer.code == 513)
		return iot_fail(err, IOT_VERIFY, "the modem holds no private key under security tag %s", tag);
	if (!answer.ok)
		return nrf91_refused(&answer, "sign with its key", err);
	line = find_line(&answer, "%JWT:", &len);
	return nrf91_token_check(line != NULL ? line : "", len, nonce, key, err);
}

static enum iot_status challenge(struct nrf91 *modem, const struct iot_key *key, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	/* A wire may turn a byte of a signature; a board is not called a liar for that. */
	for (int tries = 0; tries < NRF91_TRIES; tries++) {
		status = challenge_once(modem, key, err);
		if (status == IOT_OK)
			iot_error_clear(err);
		if ((status != IOT_VERIFY && status != IOT_BOARD) || status == IOT_OK)
			break;
	}
	return status;
}

static enum iot_status prove(void *self, const struct iot_cert *cert, const char **ret_how, struct iot_error *err)
{
	struct nrf91 *modem = self;
	enum iot_status status;

	if (!signs(modem)) {
		iot_fail(err, IOT_USAGE, "modem firmware '%s' cannot show that it holds its key", modem->version);
		iot_error_hint(err, "update it to 1.3.0 or later, or leave \"sign\" out of member 'prove'");
		return IOT_USAGE;
	}
	status = challenge(modem, iot_cert_key(cert), err);
	if (status == IOT_VERIFY)
		iot_error_hint(err, "--replace gives it a new key and certificate");
	*ret_how = "it signed a token for our nonce with the key of its certificate";
	return status;
}

static enum iot_status keygen_once(struct nrf91 *modem, const char *common_name, struct iot_buf *csr,
				   struct iot_error *err)
{
	IOT_CLEAN(iot_at_answer_release) struct iot_at_answer answer = NRF91_ANSWER_INIT;
	char tag[16];
	const char *line;
	size_t len = 0;
	/* The certificate first: it must never be there with another key. */
	enum iot_status status = nrf91_delete(modem, NRF91_CERTIFICATE, err);

	if (status == IOT_OK)
		status = nrf91_delete(modem, NRF91_PRIVATE_KEY, err);
	if (status != IOT_OK)
		return status;
	snprintf(tag, sizeof(tag), "%lld", (long long)modem->tag);
	status = nrf91_call(modem,
			    IOT_AT_TEXTS({"AT%KEYGEN=", false}, {tag, false}, {",2,0,\"CN=", false},
					 {common_name, false}, {"\"", false}),
			    NRF91_SLOW * modem->answer_ms, true, &answer, err);
	if (status != IOT_OK)
		return status;
	if (!answer.ok)
		return nrf91_refused(&answer, "make a key", err);
	line = find_line(&answer, "%KEYGEN:", &len);
	return nrf91_keygen_parse(line != NULL ? line : "", len, modem->tag, csr, err);
}

/*
 * It tells its public key once, when it makes the pair. So there is nothing to
 * keep: a pair whose request was lost is of no use to anybody, and is replaced.
 */
static enum iot_status make_key(void *self, const char *common_name, bool keep, struct iot_buf *csr,
				struct iot_error *err)
{
	struct nrf91 *modem = self;
	enum iot_status status = iot_cert_check_name(common_name, err);

	(void)keep;
	if (status == IOT_OK && !signs(modem)) {
		iot_fail(err, IOT_USAGE, "modem firmware '%s' cannot make a key", modem->version);
		iot_error_hint(err,
			       "update it to 1.3.0 or later, or use a description whose key has the origin \"host\"");
		return IOT_USAGE;
	}
	if (status == IOT_OK)
		status = nrf91_offline(modem, err);
	if (status != IOT_OK)
		return status;
	for (int tries = 0; tries < NRF91_TRIES; tries++) {
		iot_buf_clear(csr);
		status = keygen_once(modem, common_name, csr, err);
		if (status == IOT_OK)
			iot_error_clear(err);
		if (status != IOT_BOARD || (err != NULL && strcmp(err->code, "CME515") == 0))
			break;
		if (err != NULL && strcmp(err->code, "CME518") == 0)
			(void)!nrf91_offline(modem, NULL);
	}
	return status;
}

/*
 * The key is known when it is that of the certificate beside it, and when there
 * is none at all; what else lies there, nobody can say.
 */
static enum iot_status identify_key(struct nrf91 *modem, const struct iot_cert *cert, struct iot_board_identity *ret,
				    struct iot_error *err)
{
	char hash[IOT_SHA256_HEX_SIZE];
	struct iot_error other = IOT_ERROR_INIT;
	bool any = false;
	enum iot_status status = nrf91_held(modem, NRF91_PRIVATE_KEY, &any, hash, err);

	if (status != IOT_OK)
		return status;
	ret->key_known = !any;
	if (!any || cert == NULL || !signs(modem))
		return IOT_OK;
	status = challenge(modem, iot_cert_key(cert), &other);
	if (status == IOT_INTERRUPTED) {
		if (err != NULL)
			*err = other;
		return status;
	}
	if (status != IOT_OK)
		return IOT_OK;
	ret->key_known = true;
	return iot_key_public_pem(iot_cert_key(cert), &ret->public_key, err);
}

static enum iot_status identify_credentials(struct nrf91 *modem, struct iot_board_identity *ret, struct iot_error *err)
{
	struct iot_cert **certs = NULL;
	const char *name = NULL;
	size_t count = 0;
	enum iot_status status = nrf91_read_certs(modem, NRF91_CERTIFICATE, &certs, &count, err);

	if (status == IOT_OK && count > 0) {
		iot_cert_pem(certs[0], &ret->certificate);
		if (iot_cert_common_name(certs[0], &name, NULL) == IOT_OK)
			snprintf(ret->thing_name, sizeof(ret->thing_name), "%s", name);
	}
	if (status == IOT_OK)
		status = identify_key(modem, count > 0 ? certs[0] : NULL, ret, err);
	iot_cert_list_free(certs, count);
	return status == IOT_OK ? nrf91_read_identity(modem, ret->psk_identity, sizeof(ret->psk_identity), err)
				: status;
}

static enum iot_status identify(void *self, struct iot_board_identity *ret, struct iot_error *err)
{
	struct nrf91 *modem = self;
	enum iot_status status = read_imei(modem, err);

	iot_buf_clear(&ret->certificate);
	iot_buf_clear(&ret->public_key);
	*ret->thing_name = '\0';
	snprintf(ret->vendor, sizeof(ret->vendor), "Nordic Semiconductor");
	snprintf(ret->protocol, sizeof(ret->protocol), "AT");
	snprintf(ret->uid, sizeof(ret->uid), "%s", modem->imei);
	snprintf(ret->version, sizeof(ret->version), "%s", modem->version);
	if (status == IOT_OK)
		status = read_model(modem, ret->model, sizeof(ret->model), err);
	return status == IOT_OK ? identify_credentials(modem, ret, err) : status;
}

/* --- opening, starting ----------------------------------------------------------------------------- */

/* Only what nobody asked for has a name and a colon; an echo of something secret never comes here. */
static void stranger(const char *line, size_t len, void *data)
{
	IOT_CLEAN(iot_free_p) char *text = NULL;

	(void)data;
	nrf91_trim(&line, &len);
	if (len == 0 || strchr("+%", *line) == NULL)
		return;
	text = iot_strndup(line, len < 120 ? len : 120);
	iot_text_printable(text);
	iot_debug("the modem says besides: %s", text);
}

static void close_modem(void *self)
{
	struct nrf91 *modem = self;

	iot_serial_close(modem->serial);
	free(modem);
}

static enum iot_status open_modem(const struct iot_board_options *options, void **ret_self, struct iot_error *err)
{
	struct nrf91 *modem;
	enum iot_status status;

	if (options->description == NULL)
		return iot_fail(err, IOT_USAGE, "an nRF91 needs a description");
	modem = iot_alloc(sizeof(*modem));
	modem->answer_ms = options->answer_ms > 0 ? options->answer_ms : NRF91_ANSWER_MS;
	modem->tag = iot_json_int(options->description->json, "secTag", NRF91_TAG_DEFAULT);
	modem->crlf = strcmp(iot_json_str(options->description->json, "newline", "lf"), "crlf") == 0;
	status = iot_serial_open(&options->serial, &modem->serial, err);
	if (status == IOT_OK) {
		modem->at = (struct iot_at){.serial = modem->serial,
					    .dialect = &dialect,
					    .stranger = stranger,
					    .data = modem,
					    .probe_ms = options->answer_ms};
		status = iot_at_sync(&modem->at, OPEN_MS, err);
	}
	if (status == IOT_OK)
		status = read_version(modem, err);
	if (status != IOT_OK) {
		close_modem(modem);
		return status;
	}
	*ret_self = modem;
	return IOT_OK;
}

/*
 * Off the network and on again, as many applications connect anew only then, and
 * use what was written. What they do is their own affair; some need a reset.
 */
static enum iot_status start(void *self, struct iot_error *err)
{
	enum iot_status status = nrf91_offline(self, err);

	return status == IOT_OK ? nrf91_online(self, err) : status;
}

static enum iot_status check(const json_t *description, struct iot_error *err)
{
	const json_t *tag = json_object_get(description, "secTag"), *newline = json_object_get(description, "newline");
	const char *word = iot_json_str(description, "newline", "");

	if (tag != NULL &&
	    (!json_is_integer(tag) || json_integer_value(tag) < 0 || json_integer_value(tag) > NRF91_TAG_MAX)) {
		iot_fail(err, IOT_USAGE, "member 'secTag' of the board description is not a number from 0 to %d",
			 NRF91_TAG_MAX);
		iot_error_hint(err, "above are the modem's own tags, and those whose TLS can be decrypted");
		return IOT_USAGE;
	}
	if (newline != NULL && strcmp(word, "lf") != 0 && strcmp(word, "crlf") != 0)
		return iot_fail(err, IOT_USAGE, "member 'newline' of the board description is not 'lf' or 'crlf'");
	return IOT_OK;
}

static const char *const members[] = {"secTag", "newline", NULL};

const struct iot_board_ops iot_board_nrf91 = {
	.name = "nrf91",
	.summary = "Nordic nRF91 modem behind its application's AT commands",
	.capabilities = IOT_BOARD_MAKES_KEY | IOT_BOARD_TAKES_KEY | IOT_BOARD_SIGNS | IOT_BOARD_KEEPS_OLD_ROOT,
	.items = 1U << IOT_ITEM_ROOT_CA | 1U << IOT_ITEM_CERTIFICATE | 1U << IOT_ITEM_PSK_IDENTITY | 1U << IOT_ITEM_PSK,
	.members = members,
	.check = check,
	.open = open_modem,
	.close = close_modem,
	.identify = identify,
	.make_key = make_key,
	.take_key = nrf91_take_key,
	.look = nrf91_look,
	.install = nrf91_install,
	.prove = prove,
	.start = start,
	.stage = nrf91_stage,
	.settle = nrf91_settle,
};
