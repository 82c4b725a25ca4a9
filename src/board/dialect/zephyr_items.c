/*
 * What a Zephyr board is given: credentials under its tags, and settings by the
 * commands of its application.
 */
#include "board/dialect/zephyr_private.h"

#include "iotctl/base.h"
#include "iotctl/text.h"

#include <string.h>

/* --- settings of its application ------------------------------------------------------------------- */

static bool take_value(const char *line, void *data)
{
	struct zephyr_text *shown = data;

	return zephyr_shown(shown->shows, line, shown->value, shown->size);
}

static enum iot_status read_setting(struct zephyr *board, enum iot_board_item_kind kind, char *out, size_t size,
				    struct iot_error *err)
{
	const struct zephyr_command *command = &board->plan.commands[kind];
	struct zephyr_text shown = {command->shows, out, size};
	struct zephyr_answer answer = {.line = take_value, .data = &shown, .secret = iot_board_item_secret(kind)};
	enum iot_status status = zephyr_ask(board, CONSOLE_TEXTS({command->get, false}), &answer, err);

	if (status == IOT_OK && answer.said != ZEPHYR_GOOD) {
		iot_fail(err, IOT_BOARD, "the board does not tell its %s%s%s", iot_board_item_name(kind),
			 *answer.text != '\0' ? ": " : "", answer.text);
		iot_error_hint(err, "are 'get' and 'shows' in its description right?");
		return IOT_BOARD;
	}
	return status;
}

enum iot_status zephyr_setting(struct zephyr *board, enum iot_board_item_kind kind, char *out, size_t size,
			       struct iot_error *err)
{
	char again[ZEPHYR_VALUE_MAX + 1] = "";
	bool same = false;
	enum iot_status status;

	out[0] = '\0';
	if (board->plan.commands[kind].get == NULL)
		return IOT_OK;
	status = read_setting(board, kind, out, size, err);
	for (int tries = 0; status == IOT_OK && !same && tries < CONSOLE_READ_TRIES; tries++) {
		status = read_setting(board, kind, again, sizeof(again), err);
		same = status == IOT_OK && strcmp(again, out) == 0;
		if (!same)
			snprintf(out, size, "%s", again);
	}
	iot_wipe(again, sizeof(again));
	if (status == IOT_OK && !same)
		return iot_fail(err, IOT_BOARD, "the board gives no steady %s", iot_board_item_name(kind));
	return status;
}

static enum iot_status write_setting(struct zephyr *board, const struct iot_board_item *item, struct iot_error *err)
{
	const struct zephyr_command *command = &board->plan.commands[item->kind];
	const char *value = strstr(command->set, "{value}");
	IOT_CLEAN(iot_free_p) char *before = iot_strndup(command->set, (size_t)(value - command->set));
	bool secret = iot_board_item_secret(item->kind);
	struct zephyr_answer answer = {.good = command->said, .secret = secret};
	char doing[64];
	enum iot_status status = zephyr_ask(
		board, CONSOLE_TEXTS({before, false}, {item->value, secret}, {value + strlen("{value}"), false}),
		&answer, err);

	snprintf(doing, sizeof(doing), "take its %s", iot_board_item_name(item->kind));
	return status == IOT_OK ? zephyr_conclude(&answer, doing, err) : status;
}

static enum iot_status check_setting(const struct zephyr *board, const struct iot_board_item *item,
				     struct iot_error *err)
{
	const struct zephyr_command *command = &board->plan.commands[item->kind];

	if (command->set == NULL) {
		iot_fail(err, IOT_USAGE, "the description of this board names no command for the %s",
			 iot_board_item_name(item->kind));
		iot_error_hint(err, "say in its member 'commands' how the board's own shell takes it");
		return IOT_USAGE;
	}
	return zephyr_check_value(command->set, iot_board_item_name(item->kind), item->value, err);
}

static enum iot_status look_setting(struct zephyr *board, struct iot_board_item *item, struct iot_error *err)
{
	char value[ZEPHYR_VALUE_MAX + 1];
	enum iot_status status = check_setting(board, item, err);

	if (status == IOT_OK)
		status = zephyr_setting(board, item->kind, value, sizeof(value), err);
	if (status == IOT_OK && board->plan.commands[item->kind].get != NULL && strcmp(value, item->value) == 0)
		item->outcome = IOT_ITEM_SAME;
	iot_wipe(value, sizeof(value));
	return status;
}

static enum iot_status install_setting(struct zephyr *board, struct iot_board_item *item, struct iot_error *err)
{
	enum iot_status status = look_setting(board, item, err);

	for (int tries = 0; status == IOT_OK && item->outcome != IOT_ITEM_SAME; tries++) {
		if (tries == CONSOLE_WRITE_TRIES)
			return iot_fail(err, IOT_BOARD, "the board does not hold the %s that it said it took",
					iot_board_item_name(item->kind));
		status = write_setting(board, item, err);
		if (status == IOT_OK && board->plan.commands[item->kind].get == NULL) {
			item->outcome = IOT_ITEM_TAKEN;
			return IOT_OK;
		}
		if (status == IOT_OK)
			status = look_setting(board, item, err);
		if (item->outcome == IOT_ITEM_SAME) {
			item->outcome = IOT_ITEM_WRITTEN;
			return status;
		}
	}
	return status;
}

/* --- items ------------------------------------------------------------------------------------------------ */

static bool is_credential(enum iot_board_item_kind kind)
{
	return kind == IOT_ITEM_ROOT_CA || kind == IOT_ITEM_CERTIFICATE || kind == IOT_ITEM_PSK ||
	       kind == IOT_ITEM_PSK_IDENTITY;
}

/* Root CAs under the tags for them. */
struct cas {
	bool used[ZEPHYR_CA_TAGS_MAX];
	size_t place; /* that holds the one that is looked for; CA_COUNT: none */
	size_t count; /* of all */
};

static enum iot_status find_cas(struct zephyr *board, struct zephyr_credential *ca, struct cas *ret,
				struct iot_error *err)
{
	enum zephyr_holds holds = ZEPHYR_HOLDS_NOT;
	struct zephyr_list list;
	enum iot_status status = zephyr_read_list(board, &list, err);

	*ret = (struct cas){.place = board->plan.ca_count};
	for (size_t i = 0; status == IOT_OK && i < board->plan.ca_count; i++) {
		ca->tag = board->plan.ca_tags[i];
		ret->used[i] = zephyr_find(&list, ca->tag, "CA") != NULL;
		ret->count += ret->used[i];
		if (ret->used[i])
			status = zephyr_holds(board, ca, &holds, err);
		if (ret->used[i] && holds == ZEPHYR_HOLDS)
			ret->place = i;
	}
	return status;
}

/* A socket trusts what is under each tag of its list, so the one that is to be trusted has to be the only one. */
static enum iot_status look_ca(struct zephyr *board, struct zephyr_credential *ca, struct iot_board_item *item,
			       struct iot_error *err)
{
	struct cas cas;
	enum iot_status status = find_cas(board, ca, &cas, err);

	if (status == IOT_OK && cas.place < board->plan.ca_count && cas.count == 1)
		item->outcome = IOT_ITEM_SAME;
	return status;
}

/*
 * Under a tag that is free where there is one, and only then are others taken away: with two tags the board is never
 * without a root CA, whenever the wire is cut.
 */
static enum iot_status install_ca(struct zephyr *board, struct zephyr_credential *ca, bool *ret_proved,
				  struct iot_error *err)
{
	struct cas cas;
	enum iot_status status = find_cas(board, ca, &cas, err);

	*ret_proved = status == IOT_OK && cas.place < board->plan.ca_count;
	if (status == IOT_OK && !*ret_proved) {
		for (cas.place = 0; cas.place + 1 < board->plan.ca_count && cas.used[cas.place]; cas.place++)
			continue;
		ca->tag = board->plan.ca_tags[cas.place];
		status = zephyr_write(board, ca, ret_proved, err);
	}
	for (size_t i = 0; status == IOT_OK && i < board->plan.ca_count; i++)
		if (cas.used[i] && i != cas.place)
			status = zephyr_remove(board, board->plan.ca_tags[i], "CA", err);
	return status;
}

static enum iot_status look_credential(struct zephyr *board, struct zephyr_credential *credential,
				       struct iot_board_item *item, struct iot_error *err)
{
	enum zephyr_holds holds = ZEPHYR_HOLDS_NOT;
	enum iot_status status;

	if (item->kind == IOT_ITEM_ROOT_CA)
		return look_ca(board, credential, item, err);
	status = zephyr_holds(board, credential, &holds, err);
	if (status == IOT_OK && holds == ZEPHYR_HOLDS)
		item->outcome = IOT_ITEM_SAME;
	return status;
}

enum iot_status zephyr_look(void *self, struct iot_board_item *item, struct iot_error *err)
{
	struct zephyr *board = self;
	struct zephyr_credential credential;
	enum iot_status status;

	if (!is_credential(item->kind))
		return look_setting(board, item, err);
	status = zephyr_credential_of(&board->plan, item, &credential, err);
	if (status == IOT_OK)
		status = look_credential(board, &credential, item, err);
	iot_buf_release(&credential.bytes);
	return status;
}

enum iot_status zephyr_install(void *self, struct iot_board_item *item, struct iot_error *err)
{
	struct zephyr *board = self;
	struct zephyr_credential credential;
	bool proved = false;
	enum iot_status status;

	if (!is_credential(item->kind))
		return install_setting(board, item, err);
	status = zephyr_credential_of(&board->plan, item, &credential, err);
	if (status == IOT_OK)
		status = look_credential(board, &credential, item, err);
	if (status == IOT_OK && item->outcome != IOT_ITEM_SAME) {
		status = item->kind == IOT_ITEM_ROOT_CA ? install_ca(board, &credential, &proved, err)
							: zephyr_write(board, &credential, &proved, err);
		item->outcome = proved ? IOT_ITEM_WRITTEN : IOT_ITEM_TAKEN;
	}
	iot_buf_release(&credential.bytes);
	return status;
}

enum iot_status zephyr_take_key(void *self, const struct iot_buf *pem, struct iot_error *err)
{
	struct zephyr *board = self;
	struct zephyr_credential key = {.tag = board->plan.tag,
					.type = "PK",
					.what = "private key",
					.secret = true,
					.terminated = !board->plan.der,
					.bytes = IOT_BUF_SECRET(IOT_CERT_PEM_MAX)};
	enum zephyr_holds holds = ZEPHYR_HOLDS_NOT;
	bool proved;
	enum iot_status status = IOT_OK;

	if (!board->plan.der)
		iot_buf_adds(&key.bytes, iot_buf_str(pem));
	else if (!board_pem_decode(iot_buf_str(pem), "PRIVATE KEY", &key.bytes))
		status = iot_fail(err, IOT_FAILURE, "the private key cannot be made DER");
	if (status == IOT_OK)
		status = zephyr_holds(board, &key, &holds, err);
	if (status == IOT_OK && holds != ZEPHYR_HOLDS)
		status = zephyr_write(board, &key, &proved, err);
	if (status != IOT_OK)
		iot_error_while(err, "handing the private key over");
	iot_buf_release(&key.bytes);
	return status;
}
