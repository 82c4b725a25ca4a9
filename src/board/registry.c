/* The boards we can talk to, and how a slot that a dialect leaves empty is refused. */
#include "board/board_private.h"

#include "iotctl/base.h"

#include <string.h>

const struct iot_board_ops *const iot_boards[] = {&iot_board_expresslink,
						  &iot_board_freertos,
						  &iot_board_nrf91,
						  &iot_board_sim7600,
						  &iot_board_swd,
						  &iot_board_zephyr,
						  NULL};

struct iot_board {
	const struct iot_board_ops *ops;
	void *self;
};

static const struct {
	const char *name;
	bool secret;
} items[IOT_ITEM_COUNT] = {
	[IOT_ITEM_CODE_SIGNING] = {"code-signing certificate", false},
	[IOT_ITEM_ROOT_CA] = {"root CA", false},
	[IOT_ITEM_CERTIFICATE] = {"certificate", false},
	[IOT_ITEM_THING_NAME] = {"thing name", false},
	[IOT_ITEM_PSK_IDENTITY] = {"identity of the shared secret", false},
	[IOT_ITEM_PSK] = {"shared secret", true},
	[IOT_ITEM_ATTEST_ID] = {"identity of the attestation key", false},
	[IOT_ITEM_ATTEST_KEY] = {"attestation key", true},
	[IOT_ITEM_WIFI_SSID] = {"Wi-Fi name", false},
	[IOT_ITEM_WIFI_PASSWORD] = {"Wi-Fi password", true},
	[IOT_ITEM_APN] = {"APN", false},
	[IOT_ITEM_CUSTOM_NAME] = {"custom name", false},
	[IOT_ITEM_PORT] = {"port", false},
	[IOT_ITEM_ENDPOINT] = {"endpoint", false},
};

const char *iot_board_item_name(enum iot_board_item_kind kind)
{
	return items[kind].name;
}

bool iot_board_item_secret(enum iot_board_item_kind kind)
{
	return items[kind].secret;
}

const struct iot_board_ops *iot_board_find(const char *name)
{
	for (const struct iot_board_ops *const *ops = iot_boards; *ops != NULL; ops++)
		if (strcmp((*ops)->name, name) == 0)
			return *ops;
	return NULL;
}

void iot_board_identity_release(struct iot_board_identity *identity)
{
	iot_buf_release(&identity->certificate);
	iot_buf_release(&identity->public_key);
}

enum iot_status iot_board_open(const struct iot_board_ops *ops, const struct iot_board_options *options,
			       struct iot_board **ret, struct iot_error *err)
{
	struct iot_board *board;
	void *self = NULL;
	enum iot_status status = ops->open(options, &self, err);

	if (status != IOT_OK)
		return status;
	board = iot_alloc(sizeof(*board));
	board->ops = ops;
	board->self = self;
	*ret = board;
	return IOT_OK;
}

void iot_board_close(struct iot_board *board)
{
	if (board == NULL)
		return;
	board->ops->close(board->self);
	free(board);
}

void iot_board_close_p(struct iot_board **board)
{
	iot_board_close(*board);
	*board = NULL;
}

const struct iot_board_ops *iot_board_ops_of(const struct iot_board *board)
{
	return board->ops;
}

static enum iot_status cannot(const struct iot_board *board, const char *what, struct iot_error *err)
{
	return iot_fail(err, IOT_USAGE, "a board of kind '%s' cannot %s", board->ops->name, what);
}

static enum iot_status check_item(const struct iot_board *board, const struct iot_board_item *item,
				  struct iot_error *err)
{
	if (board->ops->items & (1U << item->kind))
		return IOT_OK;
	return iot_fail(err, IOT_USAGE, "a board of kind '%s' takes no %s", board->ops->name,
			iot_board_item_name(item->kind));
}

enum iot_status iot_board_identify(struct iot_board *board, struct iot_board_identity *ret, struct iot_error *err)
{
	return board->ops->identify(board->self, ret, err);
}

enum iot_status iot_board_make_key(struct iot_board *board, const char *common_name, bool keep, struct iot_buf *csr,
				   struct iot_error *err)
{
	if (board->ops->make_key == NULL)
		return cannot(board, "make a key", err);
	return board->ops->make_key(board->self, common_name, keep, csr, err);
}

enum iot_status iot_board_take_key(struct iot_board *board, const struct iot_buf *pem, struct iot_error *err)
{
	if (board->ops->take_key == NULL)
		return cannot(board, "take a key", err);
	return board->ops->take_key(board->self, pem, err);
}

enum iot_status iot_board_look(struct iot_board *board, struct iot_board_item *item, struct iot_error *err)
{
	enum iot_status status = check_item(board, item, err);

	item->outcome = IOT_ITEM_NOT_TRIED;
	return status == IOT_OK ? board->ops->look(board->self, item, err) : status;
}

enum iot_status iot_board_install(struct iot_board *board, struct iot_board_item *item, struct iot_error *err)
{
	enum iot_status status = check_item(board, item, err);

	item->outcome = IOT_ITEM_NOT_TRIED;
	if (status == IOT_OK)
		status = board->ops->install(board->self, item, err);
	if (status != IOT_OK)
		iot_error_while(err, "installing the %s", iot_board_item_name(item->kind));
	return status;
}

enum iot_status iot_board_connect(struct iot_board *board, int timeout_ms, struct iot_error *err)
{
	if (board->ops->connect == NULL)
		return cannot(board, "be told to connect", err);
	return board->ops->connect(board->self, timeout_ms, err);
}

enum iot_status iot_board_disconnect(struct iot_board *board, struct iot_error *err)
{
	if (board->ops->disconnect == NULL)
		return cannot(board, "be told to disconnect", err);
	return board->ops->disconnect(board->self, err);
}

enum iot_status iot_board_commit(struct iot_board *board, struct iot_error *err)
{
	return board->ops->commit != NULL ? board->ops->commit(board->self, err) : IOT_OK;
}

enum iot_status iot_board_prove(struct iot_board *board, const struct iot_cert *cert, const char **ret_how,
				struct iot_error *err)
{
	if (board->ops->prove == NULL)
		return cannot(board, "show that it holds a key", err);
	return board->ops->prove(board->self, cert, ret_how, err);
}

enum iot_status iot_board_start(struct iot_board *board, struct iot_error *err)
{
	return board->ops->start != NULL ? board->ops->start(board->self, err) : IOT_OK;
}

enum iot_status iot_board_reset(struct iot_board *board, struct iot_error *err)
{
	if (board->ops->reset == NULL)
		return cannot(board, "be reset to its factory state", err);
	return board->ops->reset(board->self, err);
}

enum iot_status iot_board_check_locks(const struct iot_board_description *description, enum iot_board_lock strength,
				      const char *const *names, struct iot_error *err)
{
	static const char *const no_names[] = {NULL};

	if (names == NULL || *names == NULL) {
		if (strength == IOT_BOARD_LOCK_NONE || description->ops->check_locks == NULL)
			return IOT_OK;
		return description->ops->check_locks(description->json, strength, no_names, err);
	}
	if (description->ops->check_locks == NULL)
		return iot_fail(err, IOT_USAGE, "a board of kind '%s' has no optional locks", description->ops->name);
	if (strength == IOT_BOARD_LOCK_NONE) {
		iot_fail(err, IOT_USAGE, "lock '%.120s' would be put on, but none is wanted", *names);
		iot_error_hint(err, "optional locks go with the others: with the strength reversible or permanent");
		return IOT_USAGE;
	}
	return description->ops->check_locks(description->json, strength, names, err);
}

enum iot_status iot_board_lock(struct iot_board *board, enum iot_board_lock strength, json_t *done,
			       struct iot_error *err)
{
	if (strength == IOT_BOARD_LOCK_NONE)
		return IOT_OK;
	if (board->ops->lock == NULL)
		return cannot(board, "be locked", err);
	return board->ops->lock(board->self, strength, done, err);
}

enum iot_status iot_board_stage(struct iot_board *board, const struct iot_board_trust *trust, struct iot_error *err)
{
	if (board->ops->stage == NULL)
		return cannot(board, "be given another endpoint or root CA beside the old", err);
	return board->ops->stage(board->self, trust, err);
}

enum iot_status iot_board_settle(struct iot_board *board, const struct iot_board_trust *trust, bool keep,
				 struct iot_error *err)
{
	if (board->ops->settle == NULL)
		return cannot(board, "be given another endpoint or root CA beside the old", err);
	return board->ops->settle(board->self, trust, keep, err);
}
