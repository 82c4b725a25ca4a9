/*
 * A board that runs Zephyr: its shell as its source has it (colours, an echo that
 * breaks lines at the terminal's width, log lines that take the line being typed
 * away and put it back), some commands of the kernel, `cred`, and an application
 * with settings of its own that connects as soon as it has power.
 */
#include "sim/board/zephyr.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/digest.h"
#include "iotctl/json.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>

#define PROMPT "uart:~$ "
#define GREEN "\x1b[1;32m"
#define RED "\x1b[1;31m"
#define YELLOW "\x1b[1;33m"
#define PLAIN "\x1b[m"
#define VERSION "3.7.0"

enum { MQTT_PORT = 8883, TIME_MAX = 32 };

/* log: log lines in the middle of lines and answers; volatile: credentials are in RAM; small-buffer: of `cred buf`;
 * fail-add, corrupt: a credential is not stored, or with a bit turned; no-digest: `cred list` cannot make one;
 * no-hwinfo, no-kernel, no-cred, no-reboot: the shell was built without; no-banner: it starts without a word; mute:
 * carries out, but says nothing. */
static const char *const faults[] = {"log",       "volatile",  "small-buffer", "fail-add",  "corrupt",   "no-digest",
				     "no-hwinfo", "no-kernel", "no-cred",      "no-banner", "no-reboot", "mute",
				     NULL};

static const char *const settings[] = {"endpoint", "port", "thing", "ssid", "password", "apn", "name", NULL};

/* --- saying ------------------------------------------------------------------------------------ */

static void say_coloured(struct board_sim *board, const char *colour, const char *fmt, va_list args)
{
	char text[512];

	vsnprintf(text, sizeof(text), fmt, args);
	board_sim_say(board, "%s%s\r\n" PLAIN, colour, text);
}

void zephyr_error(struct board_sim *board, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say_coloured(board, RED, fmt, args);
	va_end(args);
}

void zephyr_warning(struct board_sim *board, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say_coloured(board, YELLOW, fmt, args);
	va_end(args);
}

static void say_prompt(struct board_sim *board)
{
	board_sim_say(board, GREEN PROMPT PLAIN);
}

/* The line that is being typed is taken away, and put back behind what is said. */
static void log_line(struct board_sim *board, const char *text)
{
	const struct zephyr *zephyr = board->self;
	int64_t ms = iot_monotonic_ms() - zephyr->booted_at;
	char stamp[TIME_MAX];

	snprintf(stamp, sizeof(stamp), "00:%02d:%02d.%03d,000", (int)(ms / 60000 % 60), (int)(ms / 1000 % 60),
		 (int)(ms % 1000));
	board_sim_say(board, "\x1b[%zuD\x1b[J[%s] <inf> app: %s" PLAIN "\r\n", strlen(PROMPT) + zephyr->len, stamp,
		      text);
	say_prompt(board);
	board_sim_say(board, "%s", zephyr->line);
}

/* --- settings of its application -------------------------------------------------------------------- */

static const char *setting(const struct board_sim *board, const char *name)
{
	const char *value = iot_json_str(json_object_get(board->state, "settings"), name, NULL);

	return value != NULL && *value != '\0' ? value : NULL;
}

static void app(struct board_sim *board, char *const words[], size_t count)
{
	const char *verb = count > 1 ? words[1] : "", *name = NULL;
	json_t *all = json_object_get(board->state, "settings");

	for (size_t i = 0; count > 2 && settings[i] != NULL; i++)
		if (strcmp(settings[i], words[2]) == 0)
			name = settings[i];
	if (name != NULL && strcmp(verb, "get") == 0 && count == 3 && strcmp(name, "password") != 0) {
		board_sim_say(board, "%s: %s\r\n", name, setting(board, name) != NULL ? setting(board, name) : "");
	} else if (name != NULL && strcmp(verb, "set") == 0 && count == 4) {
		if (all == NULL) {
			all = json_object();
			json_object_set_new(board->state, "settings", all);
		}
		iot_json_set_str(all, name, words[3]);
		board_sim_save(board);
		board_sim_say(board, "%s saved\r\n", name);
	} else {
		zephyr_error(board, "app: get or set one of its settings");
	}
}

static void link_changed(struct board_sim *board, bool up)
{
	log_line(board, up ? "connected" : "not connected");
}

/* With all that it holds; what is changed later counts after a reset. */
static void connect_board(struct board_sim *board)
{
	struct zephyr *zephyr = board->self;
	IOT_CLEAN(iot_free_p) char *first = zephyr_pem(board, ZEPHYR_TAG, "CA", "CERTIFICATE");
	IOT_CLEAN(iot_free_p) char *second = zephyr_pem(board, ZEPHYR_OTHER_TAG, "CA", "CERTIFICATE");
	IOT_CLEAN(iot_free_p) char *cert = zephyr_pem(board, ZEPHYR_TAG, "SERV", "CERTIFICATE");
	IOT_CLEAN(iot_free_p) char *key = zephyr_pem(board, ZEPHYR_TAG, "PK", "PRIVATE KEY");
	IOT_CLEAN(iot_free_p) char *both = iot_strf("%s%s", first != NULL ? first : "", second != NULL ? second : "");
	const char *port = setting(board, "port");
	int64_t number = MQTT_PORT;
	struct board_link_options options = {
		.host = setting(board, "endpoint"),
		.client_id = setting(board, "thing"),
		.ca_pem = *both != '\0' ? both : NULL,
		.cert_pem = cert,
		.key_pem = key,
		.changed = link_changed,
	};

	if (port != NULL && iot_parse_int(port, 1, 65535, &number, NULL) != IOT_OK)
		options.host = NULL;
	options.port = (int)number;
	zephyr->link = board_link_new(board, &options);
	if (key != NULL)
		iot_wipe(key, strlen(key));
}

/* --- commands of the kernel ------------------------------------------------------------------------------ */

static bool restarts(char *const words[], size_t count)
{
	return count > 1 && strcmp(words[0], "kernel") == 0 && strcmp(words[1], "reboot") == 0;
}

static void kernel(struct board_sim *board, char *const words[], size_t count)
{
	const struct zephyr *zephyr = board->self;

	if (restarts(words, count) && !board_sim_fault(board, "no-reboot", ""))
		board->cut_power = true;
	else if (count == 2 && strcmp(words[1], "version") == 0)
		board_sim_say(board, "Zephyr version " VERSION "\r\n");
	else if (count == 2 && strcmp(words[1], "uptime") == 0)
		board_sim_say(board, "Uptime: %lld ms\r\n", (long long)(iot_monotonic_ms() - zephyr->booted_at));
	else
		board_sim_say(board, "kernel - Kernel commands\r\n");
}

static void hwinfo(struct board_sim *board, char *const words[], size_t count)
{
	if (count == 2 && strcmp(words[1], "devid") == 0)
		board_sim_say(board, "Length: 8\r\nID: 0x%s\r\n", iot_json_str(board->state, "devid", ""));
	else
		board_sim_say(board, "hwinfo - HWINFO commands\r\n");
}

/* --- lines --------------------------------------------------------------------------------------------------- */

/* Words as the shell makes them: quotes hold a word together, a backslash takes the meaning of what follows. */
static size_t split(char *line, char *words[ZEPHYR_WORDS_MAX])
{
	size_t count = 0;
	char *out = line;

	while (*line != '\0' && count < ZEPHYR_WORDS_MAX) {
		char quote = '\0';

		line += strspn(line, " ");
		if (*line == '\0')
			break;
		words[count++] = out;
		for (; *line != '\0' && (quote != '\0' || *line != ' '); line++) {
			if (quote != '\0' ? *line == quote : *line == '"' || *line == '\'') {
				quote = quote != '\0' ? '\0' : *line;
				continue;
			}
			if (*line == '\\' && line[1] != '\0')
				line++;
			*out++ = *line;
		}
		line += *line == ' ';
		*out++ = '\0';
	}
	return count;
}

static void carry_out(struct board_sim *board, char *const words[], size_t count)
{
	static const struct {
		const char *name, *without;
		void (*run)(struct board_sim *board, char *const words[], size_t count);
	} commands[] = {{"cred", "no-cred", zephyr_cred},
			{"kernel", "no-kernel", kernel},
			{"hwinfo", "no-hwinfo", hwinfo},
			{"app", "", app}};

	for (size_t i = 0; i < IOT_LENGTH(commands); i++)
		if (strcmp(commands[i].name, words[0]) == 0 && !board_sim_fault(board, commands[i].without, words[0])) {
			commands[i].run(board, words, count);
			return;
		}
	zephyr_error(board, "%s: command not found", words[0]);
}

/* What may be told of a line: secrets come in pieces, and in one setting. */
static void keep_command(struct zephyr *zephyr)
{
	static const char *const secret[] = {"cred buf", "app set password"};

	snprintf(zephyr->command, sizeof(zephyr->command), "%s", zephyr->line);
	for (size_t i = 0; i < IOT_LENGTH(secret); i++)
		if (iot_starts_with(zephyr->line, secret[i]) && strcmp(zephyr->line, "cred buf clear") != 0)
			zephyr->command[strlen(secret[i])] = '\0';
}

static void line_entered(struct board_sim *board)
{
	struct zephyr *zephyr = board->self;
	char line[ZEPHYR_LINE_MAX + 1], *words[ZEPHYR_WORDS_MAX] = {NULL};
	size_t before, count;

	keep_command(zephyr);
	snprintf(line, sizeof(line), "%s", zephyr->line);
	zephyr->len = 0;
	zephyr->line[0] = '\0';
	board_sim_say(board, "\r\n");
	count = split(line, words);
	if (count > 0) {
		if (!board_sim_command(board, zephyr->command))
			return;
		before = board->out.len;
		if (board_sim_fault(board, "log", zephyr->command))
			log_line(board, "uplink 1 > 0");
		carry_out(board, words, count);
		if (board_sim_fault(board, "mute", zephyr->command))
			board->out.len = before;
	}
	iot_wipe(line, sizeof(line));
	say_prompt(board);
}

static void type(struct board_sim *board, char c)
{
	struct zephyr *zephyr = board->self;

	if (zephyr->len == ZEPHYR_LINE_MAX - 1)
		return;
	zephyr->line[zephyr->len++] = c;
	zephyr->line[zephyr->len] = '\0';
	board_sim_say(board, "%c", c);
	if ((strlen(PROMPT) + zephyr->len) % ZEPHYR_COLUMNS == 0)
		board_sim_say(board, "\r\n");
	if (zephyr->len == 7 && board_sim_fault(board, "log", zephyr->line))
		log_line(board, "downlink");
}

static void feed(struct board_sim *board, char c)
{
	struct zephyr *zephyr = board->self;

	if (c == '\x03') {
		zephyr->len = 0;
		zephyr->line[0] = '\0';
		board_sim_say(board, "\r\n");
		say_prompt(board);
	} else if (c == '\b' || c == '\x7f') {
		if (zephyr->len > 0) {
			zephyr->line[--zephyr->len] = '\0';
			board_sim_say(board, "\b\x1b[J");
		}
	} else if (c == '\n' || c == '\r') {
		line_entered(board);
	} else if (c >= ' ' && c <= '~') {
		type(board, c);
	}
}

/* --- power ------------------------------------------------------------------------------------------------------- */

static void *power_on(struct board_sim *board)
{
	struct zephyr *zephyr = iot_alloc(sizeof(*zephyr));
	uint8_t id[8];
	char text[2 * sizeof(id) + 1];

	zephyr->buffer = (struct iot_buf)IOT_BUF_SECRET(ZEPHYR_BUFFER);
	zephyr->ram = json_object();
	zephyr->booted_at = iot_monotonic_ms();
	board->self = zephyr;
	if (iot_json_str(board->state, "devid", NULL) == NULL) {
		iot_random(id, sizeof(id));
		iot_json_set_str(board->state, "devid", iot_hex(id, sizeof(id), text));
		board_sim_save(board);
	}
	if (!board_sim_fault(board, "no-banner", ""))
		board_sim_say(board, "\r\n*** Booting Zephyr OS build v" VERSION " ***\r\n");
	say_prompt(board);
	connect_board(board);
	return zephyr;
}

static int watch(struct board_sim *board, short *ret_events)
{
	const struct zephyr *zephyr = board->self;

	return board_link_watch(zephyr->link, ret_events);
}

static void work(struct board_sim *board, short revents)
{
	const struct zephyr *zephyr = board->self;

	board_link_work(zephyr->link, revents);
}

static void power_off(struct board_sim *board)
{
	struct zephyr *zephyr = board->self;

	board_link_free(zephyr->link);
	json_decref(zephyr->ram);
	iot_buf_release(&zephyr->buffer);
	iot_wipe(zephyr, sizeof(*zephyr));
	free(zephyr);
	board->self = NULL;
}

const struct board_sim_kind board_sim_zephyr = {
	.name = "zephyr",
	.summary = "Zephyr with its shell, TLS credentials, and an application that connects",
	.faults = faults,
	.power_on = power_on,
	.power_off = power_off,
	.feed = feed,
	.watch = watch,
	.work = work,
};
