/*
 * Descriptions of boards: the JSON file, looked at member by member, so that a
 * mistake in one is told before a board is touched. What belongs to a dialect is
 * looked at by the dialect.
 */
#include "board/board_private.h"

#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "iotctl/json.h"

#include <string.h>

enum { FILE_MAX = 256 * 1024, NAME_MAX_LEN = 64, TEXT_MAX = 200 };

static const char *const members[] = {"name",    "description", "dialect",   "line", "key",
				      "install", "prove",       "thingName", NULL};
static const char *const key_names[] = {"factory", "board", "host", "psk", NULL};
static const char *const proof_names[] = {"connect", "sign", "appear", NULL};
static const char *const pulse_names[] = {"none", "dtr", "rts", NULL};
static const char *const item_words[IOT_ITEM_COUNT + 1] = {
	[IOT_ITEM_CODE_SIGNING] = "code-signing",
	[IOT_ITEM_ROOT_CA] = "root-ca",
	[IOT_ITEM_CERTIFICATE] = "certificate",
	[IOT_ITEM_THING_NAME] = "thing-name",
	[IOT_ITEM_PSK_IDENTITY] = "psk-identity",
	[IOT_ITEM_PSK] = "psk",
	[IOT_ITEM_ATTEST_ID] = "attestation-id",
	[IOT_ITEM_ATTEST_KEY] = "attestation-key",
	[IOT_ITEM_WIFI_SSID] = "wifi-ssid",
	[IOT_ITEM_WIFI_PASSWORD] = "wifi-password",
	[IOT_ITEM_APN] = "apn",
	[IOT_ITEM_CUSTOM_NAME] = "custom-name",
	[IOT_ITEM_PORT] = "port",
	[IOT_ITEM_ENDPOINT] = "endpoint",
};

const char *iot_board_key_name(enum iot_board_key key)
{
	return key_names[key];
}

bool iot_board_key_on_wire(enum iot_board_key key)
{
	return key == IOT_BOARD_KEY_HOST || key == IOT_BOARD_KEY_PSK;
}

const char *iot_board_proof_name(enum iot_board_proof proof)
{
	return proof == IOT_BOARD_PROVE_CONNECT ? proof_names[0]
	       : proof == IOT_BOARD_PROVE_SIGN  ? proof_names[1]
						: proof_names[2];
}

const char *iot_board_item_word(enum iot_board_item_kind kind)
{
	return item_words[kind];
}

enum iot_status iot_board_open_described(const struct iot_board_description *description,
					 const struct iot_board_options *options, struct iot_board **ret,
					 struct iot_error *err)
{
	struct iot_board_options own = *options;

	own.description = description;
	if (own.serial.baud == 0)
		own.serial.baud = description->baud;
	if (own.serial.pulse == IOT_SERIAL_NO_PULSE)
		own.serial.pulse = description->pulse;
	return iot_board_open(description->ops, &own, ret, err);
}

/* --- words and lists of them ------------------------------------------------------------ */

static enum iot_status wrong(const char *member, const char *want, struct iot_error *err)
{
	iot_fail(err, IOT_USAGE, "member '%s' of the board description is not %s", member, want);
	iot_error_hint(err, "the format is described in iotctl-board(7)");
	return IOT_USAGE;
}

/* Index of a word in a NULL-terminated list; -1. */
static int word_index(const char *const *words, const char *word)
{
	for (int i = 0; word != NULL && words[i] != NULL; i++)
		if (strcmp(words[i], word) == 0)
			return i;
	return -1;
}

static bool only_members(const json_t *object, const char *const *known, const char *const *more, const char **ret_bad)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, key, value) {
		*ret_bad = key;
		if (word_index(known, key) < 0 && (more == NULL || word_index(more, key) < 0))
			return false;
	}
	return true;
}

static enum iot_status parse_words(const json_t *list, const char *member, const char *const *words, unsigned *ret,
				   struct iot_error *err)
{
	const json_t *word;
	size_t i;

	if (!json_is_array(list))
		return wrong(member, "a list of words", err);
	*ret = 0;
	json_array_foreach(list, i, word) {
		int index = word_index(words, json_string_value(word));

		if (index < 0 || *ret & 1U << index)
			return wrong(member, "a list of known words, each once", err);
		*ret |= 1U << index;
	}
	return IOT_OK;
}

/* --- members ------------------------------------------------------------------------------ */

static enum iot_status parse_head(struct iot_board_description *board, struct iot_error *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	const char *dialect = iot_json_str(board->json, "dialect", "");
	const char *bad = "";

	if (!json_is_object(board->json))
		return iot_fail(err, IOT_USAGE, "a board description is a JSON object");
	board->name = iot_json_str(board->json, "name", "");
	board->summary = iot_json_str(board->json, "description", "");
	board->ops = iot_board_find(dialect);
	if (*board->name == '\0' || strlen(board->name) > NAME_MAX_LEN ||
	    strspn(board->name, allowed) != strlen(board->name))
		return wrong("name", "1 to 64 of a-z, 0-9 and '-'", err);
	if (strlen(board->summary) > TEXT_MAX)
		return wrong("description", "a text of at most 200 bytes", err);
	if (board->ops == NULL)
		return wrong("dialect", "one that iotctl-board(7) lists", err);
	if (!only_members(board->json, members, board->ops->members, &bad))
		return iot_fail(err, IOT_USAGE, "a board description with dialect '%s' has no member '%s'", dialect,
				bad);
	return IOT_OK;
}

static enum iot_status parse_line(struct iot_board_description *board, struct iot_error *err)
{
	static const char *const known[] = {"baud", "pulse", NULL};
	const json_t *line = json_object_get(board->json, "line");
	const char *bad = NULL;
	int pulse;

	if (line == NULL)
		return IOT_OK;
	pulse = word_index(pulse_names, iot_json_str(line, "pulse", "none"));
	board->baud = (int)iot_json_int(line, "baud", 0);
	if (!json_is_object(line) || !only_members(line, known, NULL, &bad) || board->baud < 0 ||
	    board->baud > 4000000 || pulse < 0)
		return wrong("line", "an object of baud and pulse ('none', 'dtr' or 'rts')", err);
	board->pulse = (enum iot_serial_pulse)pulse;
	return IOT_OK;
}

/* Without a certificate, or with: what belongs to the other is not put into a board. */
static const unsigned psk_items = 1U << IOT_ITEM_PSK_IDENTITY | 1U << IOT_ITEM_PSK;
static const unsigned attest_items = 1U << IOT_ITEM_ATTEST_ID | 1U << IOT_ITEM_ATTEST_KEY;
static const unsigned certificate_items = 1U << IOT_ITEM_CERTIFICATE;

static bool can_have_key(const struct iot_board_ops *ops, enum iot_board_key key)
{
	static const unsigned needs[] = {IOT_BOARD_BORN_WITH_CERTIFICATE, IOT_BOARD_MAKES_KEY, IOT_BOARD_TAKES_KEY};

	return key == IOT_BOARD_KEY_PSK ? (ops->items & psk_items) == psk_items : (ops->capabilities & needs[key]) != 0;
}

static enum iot_status parse_key(struct iot_board_description *board, struct iot_error *err)
{
	static const char *const known[] = {"origin", "onWire", NULL};
	const json_t *key = json_object_get(board->json, "key");
	int origin = word_index(key_names, iot_json_str(key, "origin", NULL));
	const char *bad = NULL;

	if (!json_is_object(key) || !only_members(key, known, NULL, &bad) || origin < 0)
		return wrong("key", "an object of origin ('factory', 'board', 'host' or 'psk') and onWire", err);
	board->key = (enum iot_board_key)origin;
	if (!can_have_key(board->ops, board->key))
		return iot_fail(err, IOT_USAGE, "boards of dialect '%s' cannot have a key of origin '%s'",
				board->ops->name, key_names[origin]);
	if (iot_json_bool(key, "onWire", false) == iot_board_key_on_wire(board->key))
		return IOT_OK;
	if (!iot_board_key_on_wire(board->key))
		return wrong("key.onWire", "false, as it is for a key that is made on the board", err);
	iot_fail(err, IOT_USAGE, "the %s of board '%s' would cross the wire in clear text",
		 board->key == IOT_BOARD_KEY_PSK ? "shared secret" : "private key", board->name);
	iot_error_hint(err, "say \"onWire\": true in member 'key' of its description if that is to be");
	return IOT_USAGE;
}

static enum iot_status parse_install(struct iot_board_description *board, struct iot_error *err)
{
	const json_t *install = json_object_get(board->json, "install");
	bool psk = board->key == IOT_BOARD_KEY_PSK;
	unsigned foreign = psk ? certificate_items : psk_items | attest_items;
	enum iot_status status;

	board->install = board->ops->items & ~foreign;
	if (install == NULL)
		return IOT_OK;
	status = parse_words(install, "install", item_words, &board->install, err);
	if (status != IOT_OK)
		return status;
	if (board->install & ~board->ops->items)
		return wrong("install", "a list of what its dialect can install", err);
	if (board->install & foreign)
		return wrong("install",
			     psk ? "one without 'certificate', as it is for a key of origin 'psk'"
				 : "one without shared secrets, which only a key of origin 'psk' has",
			     err);
	if (psk && (board->install & psk_items) != psk_items)
		return wrong("install", "one with 'psk-identity' and 'psk', as it is for a key of origin 'psk'", err);
	return IOT_OK;
}

static enum iot_status parse_rest(struct iot_board_description *board, struct iot_error *err)
{
	const unsigned capable =
		(board->ops->capabilities & IOT_BOARD_CONNECTS ? IOT_BOARD_PROVE_CONNECT : 0U) |
		(board->ops->capabilities & IOT_BOARD_SIGNS && board->key != IOT_BOARD_KEY_PSK ? IOT_BOARD_PROVE_SIGN
											       : 0U) |
		(board->ops->start != NULL ? IOT_BOARD_PROVE_APPEAR : 0U);
	const json_t *prove = json_object_get(board->json, "prove"), *name = json_object_get(board->json, "thingName");
	enum iot_status status = parse_install(board, err);

	if (status == IOT_OK && prove != NULL)
		status = parse_words(prove, "prove", proof_names, &board->prove, err);
	if (status != IOT_OK)
		return status;
	if (board->prove & ~capable)
		return wrong("prove", "a list of what its dialect can prove", err);
	board->thing_name = json_string_value(name);
	if (name != NULL && (board->thing_name == NULL || strlen(board->thing_name) > TEXT_MAX ||
			     board->ops->capabilities & IOT_BOARD_NAMED_BY_UID))
		return wrong("thingName", "a template, for a board whose name can be chosen", err);
	return board->ops->check != NULL ? board->ops->check(board->json, err) : IOT_OK;
}

enum iot_status iot_board_description_parse(const json_t *json, struct iot_board_description **ret,
					    struct iot_error *err)
{
	IOT_CLEAN(iot_board_description_free_p) struct iot_board_description *board = iot_alloc(sizeof(*board));
	enum iot_status status;

	board->json = json_deep_copy(json);
	status = parse_head(board, err);
	if (status == IOT_OK)
		status = parse_line(board, err);
	if (status == IOT_OK)
		status = parse_key(board, err);
	if (status == IOT_OK)
		status = parse_rest(board, err);
	if (status == IOT_OK)
		*ret = iot_take(board);
	return status;
}

static enum iot_status read_file(const char *path, json_t **ret, struct iot_error *err)
{
	struct iot_buf text = IOT_BUF_INIT(FILE_MAX);
	enum iot_status status = iot_fs_read(path, &text, err);

	if (status == IOT_OK)
		status = iot_json_parse(iot_buf_str(&text), text.len, path, ret, err);
	iot_buf_release(&text);
	return status;
}

enum iot_status iot_board_description_load(const char *name_or_path, struct iot_board_description **ret,
					   struct iot_error *err)
{
	int index = word_index(iot_board_shipped, name_or_path);
	IOT_JSON json = NULL;
	enum iot_status status;

	if (index >= 0) {
		status = iot_json_parse(board_shipped_texts[index], strlen(board_shipped_texts[index]), name_or_path,
					&json, err);
	} else if (strpbrk(name_or_path, "/.") != NULL) {
		status = read_file(name_or_path, &json, err);
	} else {
		iot_fail(err, IOT_NOT_FOUND, "there is no kind of board '%s'", name_or_path);
		iot_error_hint(err, "'iotctl board kinds' lists them; a description of your own is named by its path");
		return IOT_NOT_FOUND;
	}
	if (status == IOT_OK)
		status = iot_board_description_parse(json, ret, err);
	if (status != IOT_OK && index < 0)
		iot_error_while_at(err, "reading", name_or_path);
	return status;
}

void iot_board_description_free(struct iot_board_description *description)
{
	if (description == NULL)
		return;
	json_decref(description->json);
	free(description);
}

void iot_board_description_free_p(struct iot_board_description **description)
{
	iot_board_description_free(*description);
	*description = NULL;
}
