/*
 * Zephyr's `cred`: a buffer that is filled bit by bit, and a store of a few
 * credentials by tag and type, which is the chip's flash or, with fault
 * "volatile", its RAM. Of what it holds it tells digests.
 */
#include "sim/board/zephyr.h"

#include "iotctl/base.h"
#include "iotctl/digest.h"
#include "iotctl/json.h"
#include "iotctl/text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { OUTPUT_WIDTH = 32, NO_MEMORY = -12, NO_FLASH = -5 };

/* Each type with the word for people first, the one for lists last. */
static const struct type {
	const char *names[8];
} types[] = {
	{{"CA_CERT", "CA"}},
	{{"SERVER_CERT", "CLIENT_CERT", "SELF_CERT", "SELF", "CLIENT", "SERV"}},
	{{"PRIVATE_KEY", "PK"}},
	{{"PRE_SHARED_KEY", "PSK"}},
	{{"PRE_SHARED_KEY_ID", "PSK_ID"}},
};

static const char *long_name(const struct type *type)
{
	return type->names[0];
}

static const char *short_name(const struct type *type)
{
	size_t last = 0;

	while (type->names[last + 1] != NULL)
		last++;
	return type->names[last];
}

static struct zephyr *of(struct board_sim *board)
{
	return board->self;
}

/* --- words ------------------------------------------------------------------------------------ */

static const struct type *find_type(struct board_sim *board, const char *word)
{
	for (size_t i = 0; i < IOT_LENGTH(types); i++)
		for (size_t j = 0; types[i].names[j] != NULL; j++)
			if (strcasecmp(types[i].names[j], word) == 0)
				return &types[i];
	zephyr_error(board, "%s is not a valid credential type.", word);
	return NULL;
}

static bool check_tag(struct board_sim *board, const char *word)
{
	int64_t tag;

	if (iot_parse_int(word, 0, INT32_MAX, &tag, NULL) == IOT_OK)
		return true;
	zephyr_error(board, "%s is not a valid sectag.", word);
	return false;
}

static bool parse_format(struct board_sim *board, const char *word, bool *binary, bool *terminated)
{
	*binary = strncasecmp(word, "bin", 3) == 0;
	*terminated = strcasecmp(word, "bint") == 0 || strcasecmp(word, "strt") == 0;
	if (*terminated || strcasecmp(word, "bin") == 0 || strcasecmp(word, "str") == 0)
		return true;
	zephyr_error(board, "%s is not a valid storage format.", word);
	return false;
}

/* --- the store -------------------------------------------------------------------------------------- */

static json_t *store_of(struct board_sim *board)
{
	json_t *place = board_sim_fault(board, "volatile", "") ? of(board)->ram : board->state;
	json_t *store = json_object_get(place, "credentials");

	if (store == NULL) {
		store = json_object();
		json_object_set_new(place, "credentials", store);
	}
	return store;
}

static void key_of(const char *tag, const struct type *type, char *out, size_t size)
{
	snprintf(out, size, "%s %s", tag, short_name(type));
}

/* Base64 of the bytes; NULL: there is none. */
static const char *held(struct board_sim *board, const char *tag, const struct type *type)
{
	char key[64];

	key_of(tag, type, key, sizeof(key));
	return iot_json_str(store_of(board), key, NULL);
}

static void hold(struct board_sim *board, const char *tag, const struct type *type, const struct iot_buf *bytes)
{
	struct iot_buf text = IOT_BUF_SECRET(4096);
	char key[64];

	key_of(tag, type, key, sizeof(key));
	iot_base64(bytes->data, bytes->len, &text);
	iot_json_set_str(store_of(board), key, iot_buf_str(&text));
	iot_buf_release(&text);
	if (!board_sim_fault(board, "volatile", ""))
		board_sim_save(board);
}

/* --- the buffer --------------------------------------------------------------------------------------- */

static bool clear_buffer(struct board_sim *board)
{
	bool any = of(board)->buffer.len > 0;

	iot_buf_clear(&of(board)->buffer);
	return any;
}

static void clear_aloud(struct board_sim *board)
{
	if (clear_buffer(board))
		board_sim_say(board, "Credential buffer cleared.\r\n");
}

static bool fill(struct board_sim *board, const char *data, size_t len)
{
	size_t room = board_sim_fault(board, "small-buffer", "") ? ZEPHYR_SMALL_BUFFER : ZEPHYR_BUFFER;

	if (of(board)->buffer.len + len >= room) {
		zephyr_error(board, "Not enough room in credential buffer for provided data. Increase "
				    "CONFIG_TLS_CREDENTIALS_SHELL_CRED_BUF_SIZE.");
		clear_aloud(board);
		return false;
	}
	iot_buf_add(&of(board)->buffer, data, len);
	return true;
}

static void buf(struct board_sim *board, const char *word)
{
	if (strcmp(word, "clear") == 0) {
		clear_buffer(board);
		board_sim_say(board, "Credential buffer cleared.\r\n");
	} else if (fill(board, word, strlen(word))) {
		board_sim_say(board, "Stored %zu bytes.\r\n", strlen(word));
	}
}

/* --- add, del ------------------------------------------------------------------------------------------- */

static void keep(struct board_sim *board, const char *tag, const struct type *type, struct iot_buf *bytes)
{
	const char *command = of(board)->command;
	int error = json_object_size(store_of(board)) >= ZEPHYR_CREDENTIALS ? NO_MEMORY
		    : board_sim_fault(board, "fail-add", command)           ? NO_FLASH
									    : 0;

	if (board_sim_fault(board, "volatile", ""))
		zephyr_warning(board, "Credential has been copied to heap. Memory will be leaked if this credential is "
				      "deleted without using the shell.");
	if (error != 0) {
		zephyr_error(board, "Failed to add TLS credential with sectag %s and type %s. Error: %d", tag,
			     long_name(type), error);
		return;
	}
	if (board_sim_fault(board, "corrupt", command))
		bytes->data[bytes->len / 2] ^= 1;
	hold(board, tag, type, bytes);
	board_sim_say(board, "Added TLS credential of type %s, sectag %s, and length %zu bytes.\r\n", long_name(type),
		      tag, bytes->len);
}

static void add(struct board_sim *board, char *const words[], size_t count)
{
	const struct type *type = check_tag(board, words[2]) ? find_type(board, words[3]) : NULL;
	struct iot_buf bytes = IOT_BUF_SECRET(ZEPHYR_BUFFER + 1), *buffer = &of(board)->buffer;
	bool binary, terminated;

	if (type == NULL)
		return;
	if (strcasecmp(words[4], "default") != 0) {
		zephyr_error(board, "%s is not a valid backend.", words[4]);
		return;
	}
	if (!parse_format(board, words[5], &binary, &terminated))
		return;
	if (count == 7) {
		clear_aloud(board);
		if (!fill(board, words[6], strlen(words[6])))
			return;
	}
	if (!binary)
		iot_buf_add(&bytes, buffer->data, buffer->len);
	if (buffer->len == 0) {
		zephyr_error(board, "Please provide a credential to add.");
	} else if (held(board, words[2], type) != NULL) {
		zephyr_error(board, "TLS credential with sectag %s and type %s already exists.", words[2],
			     long_name(type));
	} else if (binary && !iot_unbase64(buffer->data, buffer->len, &bytes)) {
		zephyr_error(board, "Could not decode input from base64, error: -22");
	} else {
		if (terminated)
			iot_buf_addc(&bytes, '\0');
		keep(board, words[2], type, &bytes);
	}
	iot_buf_release(&bytes);
	clear_aloud(board);
}

static void say_missing(struct board_sim *board, const char *tag, const struct type *type)
{
	zephyr_error(board, "There is no TLS credential with sectag %s and type %s.", tag, long_name(type));
}

static void del(struct board_sim *board, const char *tag, const char *word)
{
	const struct type *type = check_tag(board, tag) ? find_type(board, word) : NULL;
	char key[64];

	if (type == NULL)
		return;
	if (held(board, tag, type) == NULL) {
		say_missing(board, tag, type);
		return;
	}
	key_of(tag, type, key, sizeof(key));
	json_object_del(store_of(board), key);
	if (board_sim_fault(board, "volatile", ""))
		board_sim_say(board, "Stored credential freed.\r\n");
	else
		board_sim_save(board);
	board_sim_say(board, "Deleted TLS credential with sectag %s and type %s.\r\n", tag, long_name(type));
}

/* --- get, list ---------------------------------------------------------------------------------------------- */

static void say_bytes(struct board_sim *board, const struct iot_buf *bytes, bool binary)
{
	size_t step = binary ? OUTPUT_WIDTH / 4 * 3 : OUTPUT_WIDTH;

	for (size_t at = 0; at < bytes->len; at += step) {
		size_t len = bytes->len - at < step ? bytes->len - at : step;
		struct iot_buf line = IOT_BUF_SECRET(OUTPUT_WIDTH + 1);

		if (binary)
			iot_base64(bytes->data + at, len, &line);
		else
			for (size_t i = at; i < at + len; i++)
				iot_buf_addc(&line, bytes->data[i]);
		for (size_t i = 0; !binary && i < line.len; i++)
			if (!isprint((unsigned char)line.data[i]))
				line.data[i] = '?';
		board_sim_say(board, "%s\r\n", iot_buf_str(&line));
		iot_buf_release(&line);
	}
}

static void get(struct board_sim *board, char *const words[])
{
	const struct type *type = check_tag(board, words[2]) ? find_type(board, words[3]) : NULL;
	const char *text = type != NULL ? held(board, words[2], type) : NULL;
	struct iot_buf bytes = IOT_BUF_SECRET(4096);
	bool binary, terminated;

	if (type == NULL || !parse_format(board, words[4], &binary, &terminated))
		return;
	if (text == NULL) {
		say_missing(board, words[2], type);
		return;
	}
	clear_aloud(board);
	if (!iot_unbase64(text, strlen(text), &bytes))
		iot_buf_clear(&bytes);
	if (terminated && (bytes.len == 0 || bytes.data[bytes.len - 1] != '\0')) {
		zephyr_error(board, "The stored credential isn't NULL-terminated, but a NULL-terminated format was "
				    "specified.");
	} else {
		bytes.len -= terminated;
		say_bytes(board, &bytes, binary);
	}
	iot_buf_release(&bytes);
	board_sim_say(board, "Credential buffer cleared.\r\n");
}

static void list_one(struct board_sim *board, const char *tag, const char *type, const char *text)
{
	struct iot_buf bytes = IOT_BUF_SECRET(4096), digest = IOT_BUF_INIT(64);
	uint8_t sum[IOT_SHA256_SIZE];

	if (iot_unbase64(text, strlen(text), &bytes))
		iot_sha256(bytes.data, bytes.len, sum);
	iot_base64(sum, sizeof(sum), &digest);
	if (board_sim_fault(board, "no-digest", of(board)->command))
		zephyr_error(board, "%s,%s,ERROR,-134", tag, type);
	else
		board_sim_say(board, "%s,%s,%s,0\r\n", tag, type, iot_buf_str(&digest));
	iot_buf_release(&bytes);
	iot_buf_release(&digest);
}

static void list(struct board_sim *board, const char *tag_word, const char *type_word)
{
	const struct type *type = NULL;
	const char *key;
	json_t *value;
	int count = 0;

	if (tag_word != NULL && strcasecmp(tag_word, "any") != 0 && !check_tag(board, tag_word))
		return;
	if (type_word != NULL && strcasecmp(type_word, "any") != 0 && (type = find_type(board, type_word)) == NULL)
		return;
	json_object_foreach(store_of(board), key, value) {
		char tag[24];
		const char *blank = strchr(key, ' ');

		snprintf(tag, sizeof(tag), "%.*s", (int)(blank - key), key);
		if ((tag_word != NULL && strcasecmp(tag_word, "any") != 0 && strcmp(tag, tag_word) != 0) ||
		    (type != NULL && strcmp(short_name(type), blank + 1) != 0))
			continue;
		count++;
		list_one(board, tag, blank + 1, json_string_value(value));
	}
	board_sim_say(board, "%d credentials found.\r\n", count);
}

void zephyr_cred(struct board_sim *board, char *const words[], size_t count)
{
	const char *verb = count > 1 ? words[1] : "";

	if (strcmp(verb, "buf") == 0 && count == 3)
		buf(board, words[2]);
	else if (strcmp(verb, "add") == 0 && (count == 6 || count == 7))
		add(board, words, count);
	else if (strcmp(verb, "del") == 0 && count == 4)
		del(board, words[2], words[3]);
	else if (strcmp(verb, "get") == 0 && count == 5)
		get(board, words);
	else if (strcmp(verb, "list") == 0 && count <= 4)
		list(board, count > 2 ? words[2] : NULL, count > 3 ? words[3] : NULL);
	else
		zephyr_error(board, "%s: wrong parameter count", *verb != '\0' ? verb : "cred");
}

/* --- for the application's TLS ------------------------------------------------------------------------------------ */

char *zephyr_pem(struct board_sim *board, const char *tag, const char *type, const char *label)
{
	const struct type *found = find_type(board, type);
	const char *text = held(board, tag, found);
	struct iot_buf bytes = IOT_BUF_SECRET(4096), body = IOT_BUF_SECRET(8192);
	char *pem = NULL;

	if (text == NULL || !iot_unbase64(text, strlen(text), &bytes)) {
		iot_buf_release(&bytes);
		return NULL;
	}
	if (bytes.len > 0 && bytes.data[0] == '-' && bytes.data[bytes.len - 1] == '\0') {
		pem = iot_strdup(bytes.data);
	} else if (bytes.len > 0 && bytes.data[0] == '\x30') {
		iot_base64(bytes.data, bytes.len, &body);
		pem = iot_strf("-----BEGIN %s-----\n%s\n-----END %s-----\n", label, iot_buf_str(&body), label);
	}
	iot_buf_release(&bytes);
	iot_buf_release(&body);
	return pem;
}
