/*
 * The words of a Zephyr board: members of its description, the values that may be
 * put into a command of its shell, and the lines of `cred` as Zephyr's shell
 * prints them (docs.zephyrproject.org, "TLS Credentials Shell").
 */
#include "board/dialect/zephyr_private.h"

#include "iotctl/base.h"
#include "iotctl/json.h"
#include "iotctl/text.h"

#include <string.h>

enum { TEXT_MAX = 120, PROMPT_MAX = 32, DIGEST_CHARS = 44, GET_LINE_MAX = 512 };
#define VALUE "{value}"

/* Items that only a shell of the application's own can take. */
static const enum iot_board_item_kind settings[] = {IOT_ITEM_THING_NAME, IOT_ITEM_WIFI_SSID,   IOT_ITEM_WIFI_PASSWORD,
						    IOT_ITEM_APN,        IOT_ITEM_CUSTOM_NAME, IOT_ITEM_PORT,
						    IOT_ITEM_ENDPOINT};

/* --- the description --------------------------------------------------------------------------- */

static enum iot_status wrong(const char *member, const char *want, struct iot_error *err)
{
	iot_fail(err, IOT_USAGE, "member '%s' of the board description is not %s", member, want);
	iot_error_hint(err, "the format is described in iotctl-board(7)");
	return IOT_USAGE;
}

static bool is_printable(const char *text)
{
	for (; *text != '\0'; text++)
		if (*text < ' ' || *text > '~')
			return false;
	return true;
}

/* Printable ASCII of a length, where it is said. */
static enum iot_status read_text(const json_t *object, const char *member, size_t max, const char **ret,
				 struct iot_error *err)
{
	const json_t *value = json_object_get(object, member);
	const char *text = json_string_value(value);

	if (value == NULL)
		return IOT_OK;
	if (text == NULL || *text == '\0' || strlen(text) > max || !is_printable(text))
		return wrong(member, "a short text of printable ASCII", err);
	*ret = text;
	return IOT_OK;
}

static bool is_tag(const json_t *value)
{
	return json_is_integer(value) && json_integer_value(value) >= 0 && json_integer_value(value) <= INT32_MAX;
}

static enum iot_status read_tags(const json_t *description, struct zephyr_plan *plan, struct iot_error *err)
{
	const json_t *tag = json_object_get(description, "secTag"), *list = json_object_get(description, "caTags");
	const json_t *item;
	size_t i;

	if (!is_tag(tag))
		return wrong("secTag", "a number from 0 to 2147483647", err);
	plan->tag = plan->ca_tags[0] = json_integer_value(tag);
	plan->ca_count = 1;
	if (list == NULL)
		return IOT_OK;
	plan->ca_count = json_array_size(list);
	if (plan->ca_count < 1 || plan->ca_count > ZEPHYR_CA_TAGS_MAX)
		return wrong("caTags", "a list of one or two tags", err);
	json_array_foreach(list, i, item) {
		if (!is_tag(item) || (i > 0 && plan->ca_tags[0] == json_integer_value(item)))
			return wrong("caTags", "a list of one or two different tags from 0 to 2147483647", err);
		plan->ca_tags[i] = json_integer_value(item);
	}
	return IOT_OK;
}

/* {value} once. */
static bool has_value(const char *text)
{
	const char *at = text != NULL ? strstr(text, VALUE) : NULL;

	return at != NULL && strstr(at + 1, VALUE) == NULL;
}

static enum iot_status read_command(const char *word, const json_t *object, struct zephyr_command *command,
				    struct iot_error *err)
{
	static const char *const known[] = {"set", "said", "get", "shows"};
	const char **texts[] = {&command->set, &command->said, &command->get, &command->shows};
	size_t found = 0;

	for (size_t i = 0; i < IOT_LENGTH(known); i++) {
		found += json_object_get(object, known[i]) != NULL;
		if (read_text(object, known[i], TEXT_MAX, texts[i], err) != IOT_OK)
			return IOT_USAGE;
	}
	if (!json_is_object(object) || found != json_object_size(object) || command->said == NULL ||
	    !has_value(command->set) || (command->get == NULL) != (command->shows == NULL) ||
	    (command->shows != NULL && !has_value(command->shows)) ||
	    (command->shows != NULL && iot_starts_with(command->shows, VALUE))) {
		iot_fail(err, IOT_USAGE, "the command of the board description for '%s' is not complete", word);
		iot_error_hint(err,
			       "it has 'set' with {value} once and 'said', perhaps 'get' and 'shows' with text and "
			       "{value}, see iotctl-board(7)");
		return IOT_USAGE;
	}
	return IOT_OK;
}

static enum iot_status read_commands(const json_t *description, struct zephyr_plan *plan, struct iot_error *err)
{
	const json_t *commands = json_object_get(description, "commands");
	size_t found = 0;
	enum iot_status status = IOT_OK;

	if (commands == NULL)
		return IOT_OK;
	if (!json_is_object(commands))
		return wrong("commands", "an object of items", err);
	for (size_t i = 0; status == IOT_OK && i < IOT_LENGTH(settings); i++) {
		const char *word = iot_board_item_word(settings[i]);
		const json_t *object = json_object_get(commands, word);

		found += object != NULL;
		if (object != NULL)
			status = read_command(word, object, &plan->commands[settings[i]], err);
	}
	if (status == IOT_OK && found != json_object_size(commands))
		return wrong("commands", "an object of items that a shell can be told", err);
	return status;
}

/* Without a command an item cannot be installed. */
static enum iot_status check_install(const json_t *description, const struct zephyr_plan *plan, struct iot_error *err)
{
	const json_t *install = json_object_get(description, "install"), *word;
	size_t index;

	if (!json_is_array(install))
		return wrong("install", "given, as a Zephyr shell has no command for most items", err);
	json_array_foreach(install, index, word)
		for (size_t i = 0; i < IOT_LENGTH(settings); i++)
			if (strcmp(iot_board_item_word(settings[i]), json_string_value(word)) == 0 &&
			    plan->commands[settings[i]].set == NULL) {
				iot_fail(err, IOT_USAGE,
					 "the board description installs '%s' and names no command for it",
					 json_string_value(word));
				iot_error_hint(err, "say in member 'commands' how the board's own shell takes it");
				return IOT_USAGE;
			}
	return IOT_OK;
}

enum iot_status zephyr_plan_read(const json_t *description, struct zephyr_plan *ret, struct iot_error *err)
{
	struct zephyr_plan plan = {.prompt = "uart:~$ ", .reboot = "kernel reboot cold"};
	const char *format = "pem";
	enum iot_status status = read_tags(description, &plan, err);

	if (status == IOT_OK)
		status = read_text(description, "format", TEXT_MAX, &format, err);
	if (status == IOT_OK && strcmp(format, "pem") != 0 && strcmp(format, "der") != 0)
		status = wrong("format", "'pem' or 'der'", err);
	if (status == IOT_OK)
		status = read_text(description, "prompt", PROMPT_MAX, &plan.prompt, err);
	if (status == IOT_OK)
		status = read_text(description, "reboot", TEXT_MAX, &plan.reboot, err);
	if (status == IOT_OK)
		status = read_commands(description, &plan, err);
	if (status == IOT_OK)
		status = check_install(description, &plan, err);
	plan.der = strcmp(format, "der") == 0;
	if (status == IOT_OK)
		*ret = plan;
	return status;
}

/* --- values -------------------------------------------------------------------------------------- */

/*
 * Letters, digits and what no shell has a meaning for; within double quotes of the template some more, but neither
 * quotes and backslashes nor what the shell's wildcards are.
 */
enum iot_status zephyr_check_value(const char *set, const char *subject, const char *value, struct iot_error *err)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:@/+=,-";
	static const char quoted[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:@/+=,-"
				     " !#%&()<>[]^{}|~;";
	const char *at = strstr(set, VALUE);
	bool in_quotes = at > set && at[-1] == '"' && at[strlen(VALUE)] == '"';

	if (*value == '\0')
		return iot_fail(err, IOT_USAGE, "the %s is empty", subject);
	if (strspn(value, in_quotes ? quoted : plain) != strlen(value)) {
		iot_fail(err, IOT_USAGE, "the %s holds a character that the board's shell would take for its own",
			 subject);
		iot_error_hint(err, in_quotes ? "it takes letters, digits, blanks and most signs, but no quotes, "
						"backslashes, $, * and ?"
					      : "it takes letters, digits and ._:@/+=,- only");
		return IOT_USAGE;
	}
	if (strlen(set) - strlen(VALUE) + strlen(value) > ZEPHYR_LINE_MAX)
		return iot_fail(err, IOT_USAGE, "the %s is too long for the board's shell", subject);
	return IOT_OK;
}

bool zephyr_shown(const char *shows, const char *line, char *out, size_t size)
{
	const char *at = strstr(shows, VALUE), *after = at + strlen(VALUE);
	size_t before = (size_t)(at - shows), len = strlen(line), behind = strlen(after);

	/* A value that is empty may come without the blank in front of it. */
	while (len < before && before > 0 && shows[before - 1] == ' ')
		before--;
	if (len < before + behind || strncmp(line, shows, before) != 0 || strcmp(line + len - behind, after) != 0 ||
	    len - before - behind >= size)
		return false;
	memcpy(out, line + before, len - before - behind);
	out[len - before - behind] = '\0';
	return true;
}

/* --- lines of `cred` --------------------------------------------------------------------------------- */

/* Digits up to a character; NULL: something else. */
static const char *read_number(const char *text, int64_t max, char end, int64_t *ret)
{
	int64_t number = 0;
	const char *at = text;

	for (; *at >= '0' && *at <= '9' && number <= max; at++)
		number = number * 10 + (*at - '0');
	if (at == text || number > max || *at != end)
		return NULL;
	*ret = number;
	return at + 1;
}

static bool read_digest(const char *text, size_t len, struct zephyr_row *row)
{
	struct iot_buf bytes = IOT_BUF_INIT(IOT_SHA256_SIZE);

	row->has_digest = len == DIGEST_CHARS && iot_unbase64(text, len, &bytes) && bytes.len == IOT_SHA256_SIZE;
	if (row->has_digest)
		memcpy(row->digest, bytes.data, IOT_SHA256_SIZE);
	iot_buf_release(&bytes);
	return row->has_digest || (len == 5 && strncmp(text, "ERROR", len) == 0) ||
	       (len == 3 && strncmp(text, "N/A", len) == 0);
}

bool zephyr_row_parse(const char *line, struct zephyr_row *ret)
{
	struct zephyr_row row = {0};
	const char *at = read_number(line, INT32_MAX, ',', &row.tag);
	size_t len = at != NULL ? strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") : 0;
	const char *comma;
	int64_t code;

	if (len == 0 || len >= sizeof(row.type) || at[len] != ',')
		return false;
	memcpy(row.type, at, len);
	at += len + 1;
	comma = strchr(at, ',');
	if (comma == NULL || !read_digest(at, (size_t)(comma - at), &row))
		return false;
	at = comma + 1;
	at += *at == '-';
	if (read_number(at, INT32_MAX, '\0', &code) == NULL || row.has_digest != (code == 0))
		return false;
	*ret = row;
	return true;
}

bool zephyr_count_parse(const char *line, int64_t *ret)
{
	const char *at = read_number(line, INT32_MAX, ' ', ret);

	return at != NULL && strcmp(at, "credentials found.") == 0;
}

bool zephyr_get_parse(const char *line, struct iot_buf *bytes)
{
	size_t len = strlen(line);

	return len > 0 && len <= GET_LINE_MAX && iot_unbase64(line, len, bytes);
}

/* --- failures --------------------------------------------------------------------------------------------- */

enum zephyr_said zephyr_failure(const char *line)
{
	static const struct {
		const char *text;
		enum zephyr_said said;
	} failures[] = {
		{"command not found", ZEPHYR_NO_COMMAND},
		{"wrong parameter count", ZEPHYR_REFUSED},
		{"already exists", ZEPHYR_EXISTS},
		{"There is no TLS credential", ZEPHYR_MISSING},
		{"Not enough room in", ZEPHYR_NO_ROOM},
		{"Could not decode", ZEPHYR_REFUSED},
		{"Could not retrieve", ZEPHYR_REFUSED},
		{"Failed to add", ZEPHYR_REFUSED},
		{"failed with error", ZEPHYR_REFUSED},
		{"Please provide a credential", ZEPHYR_REFUSED},
		{"is not a valid", ZEPHYR_REFUSED},
		{"No reference slot", ZEPHYR_REFUSED},
		{"Not enough heap", ZEPHYR_REFUSED},
		{"isn't NULL-terminated", ZEPHYR_REFUSED},
		{"not supported by hardware", ZEPHYR_REFUSED},
	};

	for (size_t i = 0; i < IOT_LENGTH(failures); i++)
		if (strstr(line, failures[i].text) != NULL)
			return failures[i].said;
	return ZEPHYR_NOTHING;
}

bool zephyr_says_volatile(const char *line)
{
	return strstr(line, "has been copied to heap") != NULL;
}
