/*
 * The console of FreeRTOS's reference integration for STM32U5: `conf` holds
 * settings, `pki` keys and certificates. The board makes its key itself and gives
 * a request. It has no id that could be asked for, so it is known by its name.
 */
#include "board/dialect/freertos_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/text.h"

#include <string.h>

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

	if (fr_is_failure(line))
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
	for (int tries = 0; tries < CONSOLE_ASK_TRIES; tries++) {
		struct conf_answer answer = {.key = key, .value = value};
		bool done = false;

		status = tries > 0 ? console_sync(board->console, board->answer_ms, err) : IOT_OK;
		if (status == IOT_OK)
			status = console_enter(board->console, CONSOLE_TEXTS({"conf get ", false}, {key, false}), err);
		if (status == IOT_OK)
			status = console_read(board->console, judge_conf, &answer, board->answer_ms, CONSOLE_GRACE_MS,
					      &done, err);
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

	for (int tries = 0; status == IOT_OK && !same && tries < CONSOLE_READ_TRIES; tries++) {
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
		status = console_read(board->console, judge_conf, &answer, board->answer_ms, CONSOLE_GRACE_MS, &done,
				      err);
	console_hide(board->console, false);
	if (status == IOT_TIMEOUT || (status == IOT_OK && (answer.failed || !answer.found)))
		status = iot_fail(err, IOT_BOARD, "the board did not take its %s", key);
	iot_buf_release(&echoed);
	return status;
}

/*
 * For what is no item, which install() looks at and writes again: here it is said again until the board takes it. That
 * is no harm, since it stays in RAM.
 */
static enum iot_status set_until_taken(struct freertos *board, const char *key, const char *value,
				       struct iot_error *err)
{
	enum iot_status status = IOT_BOARD;

	for (int tries = 0; status == IOT_BOARD && tries < CONSOLE_WRITE_TRIES; tries++)
		status = set_conf(board, key, value, false, err);
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
		status = fr_wanted_pem(item, &wanted, err);
		if (status == IOT_OK)
			status = fr_holds_object(self, &fr_objects[item->kind], &wanted, &same, err);
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
	status = fr_wanted_pem(item, &pem, err);
	if (status == IOT_OK)
		status = fr_paste(board, &fr_objects[item->kind], &pem, err);
	iot_buf_release(&pem);
	return status;
}

/* What did not arrive whole is written again: an echo shows the lines, but not what becomes of them. */
static enum iot_status install(void *self, struct iot_board_item *item, struct iot_error *err)
{
	enum iot_status status = look(self, item, err);

	if (status != IOT_OK || item->outcome == IOT_ITEM_SAME)
		return status;
	for (int tries = 0; tries < CONSOLE_WRITE_TRIES; tries++) {
		struct iot_error failed = IOT_ERROR_INIT;
		enum iot_status written = write_item(self, item, &failed);

		if (written != IOT_OK && (written != IOT_BOARD || tries == CONSOLE_WRITE_TRIES - 1)) {
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
	status = set_until_taken(board, "time_hwm", now, err);
	if (status == IOT_OK)
		status = fr_ask(board, CONSOLE_TEXTS({"conf commit", false}), &expected, board->answer_ms,
				CONSOLE_GRACE_MS, err);
	if (status == IOT_OK)
		status = fr_conclude(&expected, "save its configuration", err);
	return status;
}

/* --- the key ------------------------------------------------------------------------------------------ */

static enum iot_status make_key(void *self, const char *common_name, bool keep, struct iot_buf *csr,
				struct iot_error *err)
{
	struct freertos *board = self;
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	enum iot_status status = set_until_taken(board, "thing_name", common_name, err); /* the request names it */

	if (status == IOT_OK && keep)
		status = fr_request_key(board, csr, &key, err);
	if (status != IOT_OK || key != NULL)
		return status;
	status = fr_generate(board, err);
	if (status == IOT_OK)
		status = fr_request_key(board, csr, &key, err);
	if (status == IOT_OK && key == NULL)
		return iot_fail(err, IOT_BOARD, "the board gives no certificate request");
	return status;
}

static enum iot_status prove(void *self, const struct iot_cert *cert, const char **ret_how, struct iot_error *err)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	struct iot_buf csr = IOT_BUF_INIT(IOT_CSR_MAX);
	enum iot_status status = fr_request_key(self, &csr, &key, err);

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
		status = fr_export_steady(board, &fr_objects[IOT_ITEM_CERTIFICATE], &pem, err);
	if (status == IOT_OK &&
	    iot_cert_parse_pem(iot_buf_str(&pem), pem.len, "certificate", &cert, &unreadable) == IOT_OK)
		iot_cert_pem(cert, &ret->certificate);
	/* By a request: its own signature shows that it was read whole, which an exported key does not. */
	iot_buf_clear(&pem);
	if (status == IOT_OK)
		status = fr_request_key(board, &pem, &key, err);
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
	board->answer_ms = options->answer_ms > 0 ? options->answer_ms : CONSOLE_ANSWER_MS;
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
	status = console_read(board->console, fr_judge, &expected, CONSOLE_GRACE_MS, CONSOLE_GRACE_MS, &done, &cut);
	if (status == IOT_OK || status == IOT_TIMEOUT)
		status = console_sync(board->console, BOOT_MS, &cut);
	if (status != IOT_OK && err != NULL) {
		*err = cut;
		iot_error_while(err, "waiting for the board to start again");
	}
	return status;
}

/* --- trust --------------------------------------------------------------------------------------------- */

/* Which labels it reads is in its firmware: a second root CA under another one would be read by nobody. */
static enum iot_status stage(void *self, const struct iot_board_trust *trust, struct iot_error *err)
{
	return board_trust_stage(&iot_board_freertos, self, trust, err);
}

static enum iot_status settle(void *self, const struct iot_board_trust *trust, bool keep, struct iot_error *err)
{
	return board_trust_settle(&iot_board_freertos, self, trust, keep, err);
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
	.stage = stage,
	.settle = settle,
};
