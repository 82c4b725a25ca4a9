/*
 * The console of FreeRTOS's reference integration for STM32U5 as its source and
 * documents have it, traps included: a prompt at every line, an echo, lines of at
 * most 128 characters, `conf` in RAM until it is committed, and pastes whose rest
 * is taken for commands once a line of them was refused.
 */
#include "sim/board/board_sim.h"

#include "iotctl/base.h"
#include "iotctl/cert.h"
#include "iotctl/json.h"
#include "iotctl/key.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>

enum { INPUT_MAX = 128, PEM_LINE = 64, DER_MAX = 2048, WORDS_MAX = 8 };
#define PROMPT "> "

/* log: log lines in the middle of lines and answers; no-overwrite: an object that is there is not replaced;
 * fail-commit, fail-key, fail-import: it says so; mute: carries out, but says nothing; trailing-byte: exported keys
 * have one too many. */
static const char *const faults[] = {"log",         "no-overwrite", "fail-commit",   "fail-key",
				     "fail-import", "mute",         "trailing-byte", NULL};

static const struct setting {
	const char *name;
	bool number;
	const char *initial;
} settings[] = {{"thing_name", false, ""}, {"mqtt_endpoint", false, ""},   {"mqtt_port", true, "8883"},
		{"wifi_ssid", false, ""},  {"wifi_credential", false, ""}, {"time_hwm", true, "0"}};

struct console {
	char line[INPUT_MAX + 1];
	size_t len;
	json_t *conf; /* in RAM */
	/* A paste: */
	bool pasting, body, key;
	char label[33];
	struct iot_buf pem, der;
	char command[INPUT_MAX + 1]; /* that is carried out */
};

/* --- settings ------------------------------------------------------------------------------- */

static const struct setting *find_setting(const char *name)
{
	for (size_t i = 0; i < IOT_LENGTH(settings); i++)
		if (strcmp(settings[i].name, name) == 0)
			return &settings[i];
	return NULL;
}

static void show_setting(struct board_sim *board, const struct setting *setting)
{
	const struct console *console = board->self;
	const char *value = iot_json_str(console->conf, setting->name, setting->initial);

	board_sim_say(board, setting->number ? "%s=%s\r\n" : "%s=\"%s\"\r\n", setting->name, value);
}

static void conf_set(struct board_sim *board, const struct setting *setting, const char *value)
{
	struct console *console = board->self;
	char number[24];

	if (setting->number) { /* as lenient as strtoul */
		snprintf(number, sizeof(number), "%lu", strtoul(value, NULL, 10) & 0xffffffffUL);
		value = number;
	}
	iot_json_set_str(console->conf, setting->name, value);
	show_setting(board, setting);
}

static void conf_commit(struct board_sim *board)
{
	struct console *console = board->self;

	if (board_sim_fault(board, "fail-commit", console->command)) {
		board_sim_say(board, "Error: Could not save configuration to NVM.\r\n");
		return;
	}
	json_object_set_new(board->state, "conf", json_deep_copy(console->conf));
	board_sim_save(board);
	board_sim_say(board, "Configuration saved to NVM.\r\n");
}

static void conf(struct board_sim *board, char *const words[WORDS_MAX])
{
	const char *verb = words[1] != NULL ? words[1] : "";
	const struct setting *setting = words[1] != NULL && words[2] != NULL ? find_setting(words[2]) : NULL;

	if (strcmp(verb, "commit") == 0)
		conf_commit(board);
	else if (strcmp(verb, "get") == 0 && words[2] == NULL)
		for (size_t i = 0; i < IOT_LENGTH(settings); i++)
			show_setting(board, &settings[i]);
	else if (strcmp(verb, "get") != 0 && strcmp(verb, "set") != 0)
		board_sim_say(board, "conf:\r\n    Get or set configuration values\r\n");
	else if (setting == NULL)
		board_sim_say(board, "Error: key: %s was not recognized.\r\n", words[2] != NULL ? words[2] : "");
	else if (strcmp(verb, "get") == 0)
		show_setting(board, setting);
	else
		conf_set(board, setting, words[3] != NULL ? words[3] : "");
}

/* --- keys and certificates ------------------------------------------------------------------------ */

static void say_pem(struct board_sim *board, const char *pem)
{
	for (; *pem != '\0'; pem++)
		board_sim_say(board, *pem == '\n' ? "\r\n" : "%c", *pem);
}

static struct iot_key *own_key(struct board_sim *board)
{
	const char *pem = iot_json_str(board->state, "tls_key_priv", NULL);
	struct iot_key *key = NULL;

	if (pem == NULL || iot_key_from_private_pem(pem, strlen(pem), "key", NULL, &key, NULL) != IOT_OK)
		return NULL;
	return key;
}

static void generate_key(struct board_sim *board)
{
	const struct console *console = board->self;
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	struct iot_buf secret = IOT_BUF_SECRET(16384), public = IOT_BUF_INIT(16384);

	if (board_sim_fault(board, "fail-key", console->command) ||
	    iot_key_generate(IOT_KEY_P256, &key, NULL) != IOT_OK || iot_key_private_pem(key, &secret, NULL) != IOT_OK ||
	    iot_key_public_pem(key, &public, NULL) != IOT_OK) {
		board_sim_say(board, "ERROR: Failed to generate public/private key pair.\r\n");
	} else {
		iot_json_set_str(board->state, "tls_key_priv", iot_buf_str(&secret));
		board_sim_save(board);
		board_sim_say(board, "SUCCESS: Key pair generated and stored in\r\nPrivate Key Label: tls_key_priv\r\n"
				     "Public Key Label: tls_key_pub\r\n");
		say_pem(board, iot_buf_str(&public));
	}
	iot_buf_release(&secret);
	iot_buf_release(&public);
}

static void generate_csr(struct board_sim *board)
{
	const struct console *console = board->self;
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = own_key(board);
	const char *name = iot_json_str(console->conf, "thing_name", "");
	struct iot_buf csr = IOT_BUF_INIT(16384);

	if (key == NULL || iot_csr_create(key, *name != '\0' ? name : "none", &csr, NULL) != IOT_OK)
		board_sim_say(board, "ERROR: Failed to generate a certificate signing request.\r\n");
	else
		say_pem(board, iot_buf_str(&csr));
	iot_buf_release(&csr);
}

static void export_key(struct board_sim *board, const char *label)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	const char *stored = iot_json_str(board->state, label, NULL);
	struct iot_buf pem = IOT_BUF_INIT(16384), der = IOT_BUF_INIT(16384);

	if (strcmp(label, "tls_key_pub") == 0 || strcmp(label, "tls_key_priv") == 0)
		key = own_key(board);
	else if (stored != NULL && iot_key_from_public_pem(stored, strlen(stored), "key", &key, NULL) != IOT_OK)
		key = NULL;
	if (key == NULL || iot_key_public_der(key, &der, NULL) != IOT_OK) {
		board_sim_say(board, "ERROR: Failed to export the public key: %s\r\n", label);
	} else if (board_sim_fault(board, "trailing-byte", label)) {
		iot_buf_addc(&der, '\0');
		iot_base64(der.data, der.len, &pem);
		board_sim_say(board, "-----BEGIN PUBLIC KEY-----\r\n");
		for (size_t i = 0; i < pem.len; i += PEM_LINE)
			board_sim_say(board, "%.*s\r\n", PEM_LINE, pem.data + i);
		board_sim_say(board, "-----END PUBLIC KEY-----\r\n");
	} else if (iot_key_public_pem(key, &pem, NULL) == IOT_OK) {
		say_pem(board, iot_buf_str(&pem));
	}
	iot_buf_release(&pem);
	iot_buf_release(&der);
}

static void begin_paste(struct board_sim *board, bool key, const char *label)
{
	struct console *console = board->self;

	console->pasting = true;
	console->body = false;
	console->key = key;
	snprintf(console->label, sizeof(console->label), "%s", label);
	iot_buf_clear(&console->pem);
	iot_buf_clear(&console->der);
}

static void pki(struct board_sim *board, char *const words[WORDS_MAX])
{
	const char *verb = words[1] != NULL ? words[1] : "",
		   *what = words[1] != NULL && words[2] != NULL ? words[2] : "";
	const char *label = words[1] != NULL && words[2] != NULL && words[3] != NULL ? words[3] : NULL;
	bool key = strcmp(what, "key") == 0, cert = strcmp(what, "cert") == 0;

	if (strcmp(verb, "generate") == 0 && key)
		generate_key(board);
	else if (strcmp(verb, "generate") == 0 && strcmp(what, "csr") == 0)
		generate_csr(board);
	else if (strcmp(verb, "import") == 0 && (key || cert))
		begin_paste(board, key, label != NULL ? label : key ? "ota_signer_pub" : "tls_cert");
	else if (strcmp(verb, "export") == 0 && key)
		export_key(board, label != NULL ? label : "tls_key_pub");
	else if (strcmp(verb, "export") == 0 && cert &&
		 iot_json_str(board->state, label != NULL ? label : "tls_cert", NULL))
		say_pem(board, iot_json_str(board->state, label != NULL ? label : "tls_cert", ""));
	else if (strcmp(verb, "export") == 0 && cert)
		board_sim_say(board, "ERROR: Failed to export the certificate.\r\n");
	else
		board_sim_say(board, "pki:\r\n    Perform public/private key operations\r\n");
}

/* --- pastes -------------------------------------------------------------------------------------------- */

/* The whole block is here. What is no certificate is passed over in silence. */
static void end_paste(struct board_sim *board)
{
	struct console *console = board->self;
	const char *pem = iot_buf_str(&console->pem);
	bool there = json_object_get(board->state, console->label) != NULL;
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;

	console->pasting = false;
	if (console->key && iot_key_from_public_pem(pem, strlen(pem), "key", &key, NULL) != IOT_OK) {
		board_sim_say(board, "ERROR: Failed to parse public key.");
		return;
	}
	if (!console->key && iot_cert_parse_pem(pem, strlen(pem), "certificate", &cert, NULL) != IOT_OK)
		return;
	if (board_sim_fault(board, "fail-import", console->label) ||
	    (there && board_sim_fault(board, "no-overwrite", console->label))) {
		board_sim_say(board, "Error: failed to save %s to label: '%s'.\r\n",
			      console->key ? "public key" : "certificate", console->label);
		return;
	}
	iot_json_set_str(board->state, console->label, pem);
	board_sim_save(board);
	board_sim_say(board, "Success: %s loaded to label: '%s'.\r\n", console->key ? "Public Key" : "Certificate",
		      console->label);
}

static void refuse_paste(struct board_sim *board, const char *why)
{
	struct console *console = board->self;

	console->pasting = false;
	board_sim_say(board, "%s", why);
}

static void paste_line(struct board_sim *board, const char *line)
{
	struct console *console = board->self;

	if (strlen(line) > PEM_LINE) {
		refuse_paste(board, "Error: Current line exceeds maximum line length for a PEM file.\r\n");
	} else if (!console->body) {
		if (!iot_starts_with(line, "-----BEGIN ") || strstr(line + 11, "-----") == NULL) {
			refuse_paste(board, "Error: PEM header does not contain the expected text.\r\n");
			return;
		}
		console->body = true;
		iot_buf_addf(&console->pem, "%s\n", line);
	} else if (iot_starts_with(line, "-----END")) {
		iot_buf_addf(&console->pem, "%s\n", line);
		end_paste(board);
	} else if (console->der.len + strlen(line) + 1 >= DER_MAX) {
		refuse_paste(board, "Error: Out of memory to store the given PEM file.\r\n");
	} else if (!iot_unbase64(line, strlen(line), &console->der)) {
		refuse_paste(board, ""); /* silently */
	} else {
		iot_buf_addf(&console->pem, "%s\n", line);
	}
}

/* --- lines ------------------------------------------------------------------------------------------------ */

static void log_line(struct board_sim *board)
{
	const struct console *console = board->self;

	board_sim_say(board, "\r\x1b[K<INF>     1234 [net     ] Link is up > 100 Mbit/s\r\n" PROMPT "%.*s",
		      (int)console->len, console->line);
}

static void carry_out(struct board_sim *board, char *line)
{
	char *words[WORDS_MAX] = {NULL}, *rest = NULL;
	bool spaced = *line == ' ';
	size_t count = 0;

	for (char *word = strtok_r(line, " ", &rest); word != NULL && count < WORDS_MAX - 1;
	     word = strtok_r(NULL, " ", &rest))
		words[count++] = word;
	if (count > 0 && !spaced && strcmp(words[0], "conf") == 0)
		conf(board, words);
	else if (count > 0 && !spaced && strcmp(words[0], "pki") == 0)
		pki(board, words);
	else if (count > 0 && !spaced && strcmp(words[0], "reset") == 0)
		board_sim_say(board, "Resetting device.");
	else
		board_sim_say(board, "Command not recognized. Enter 'help' to view a list of available commands.\r\n");
}

static void line_entered(struct board_sim *board)
{
	struct console *console = board->self;
	char line[INPUT_MAX + 1];
	size_t before;

	snprintf(line, sizeof(line), "%s", console->line);
	console->len = 0;
	console->line[0] = '\0';
	board_sim_say(board, "\r\n");
	if (console->pasting) {
		if (!board_sim_command(board, iot_starts_with(line, "-----END") ? "paste-end" : "paste"))
			return;
		before = board->out.len;
		paste_line(board, line);
		if (board_sim_fault(board, "mute", iot_starts_with(line, "-----END") ? "paste-end" : "paste"))
			board->out.len = before;
		board_sim_say(board, PROMPT);
		return;
	}
	snprintf(console->command, sizeof(console->command), "%s", line);
	if (!board_sim_command(board, line))
		return;
	before = board->out.len;
	if (board_sim_fault(board, "log", line))
		log_line(board);
	carry_out(board, line);
	if (board_sim_fault(board, "mute", console->command))
		board->out.len = before;
	if (strcmp(console->command, "reset") == 0) { /* it comes up again at once, with what was saved */
		json_decref(console->conf);
		console->conf = json_deep_copy(json_object_get(board->state, "conf"));
		console->conf = console->conf != NULL ? console->conf : json_object();
		board_sim_say(board, "\r\n");
	}
	board_sim_say(board, PROMPT);
}

static void feed(struct board_sim *board, char c)
{
	struct console *console = board->self;

	if (c == '\x03') {
		console->len = 0; /* a paste goes on */
		board_sim_say(board, "\r\n" PROMPT);
	} else if (c == '\b' || c == '\x7f') {
		if (console->len > 0) {
			console->len--;
			board_sim_say(board, "\b \b");
		}
	} else if (c == '\n' || c == '\r' || c == '\0') {
		if (console->len > 0)
			line_entered(board);
	} else if (console->len < INPUT_MAX - 1) {
		console->line[console->len++] = c;
		board_sim_say(board, "%c", c);
		if (console->len == 3 && board_sim_fault(board, "log", console->line))
			log_line(board);
	}
	console->line[console->len] = '\0';
}

/* --- power -------------------------------------------------------------------------------------------------- */

static void *power_on(struct board_sim *board)
{
	struct console *console = iot_alloc(sizeof(*console));
	const json_t *saved = json_object_get(board->state, "conf");

	console->conf = saved != NULL ? json_deep_copy(saved) : json_object();
	console->pem = (struct iot_buf)IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	console->der = (struct iot_buf)IOT_BUF_INIT(DER_MAX);
	board_sim_say(board, "\r\n" PROMPT);
	return console;
}

static void power_off(struct board_sim *board)
{
	struct console *console = board->self;

	json_decref(console->conf);
	iot_buf_release(&console->pem);
	iot_buf_release(&console->der);
	free(console);
	board->self = NULL;
}

const struct board_sim_kind board_sim_freertos = {
	.name = "freertos",
	.summary = "console of FreeRTOS's reference integration for STM32U5",
	.faults = faults,
	.power_on = power_on,
	.power_off = power_off,
	.feed = feed,
};
