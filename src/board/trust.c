/*
 * New trust for boards that hold one endpoint and one root CA: nothing lies
 * beside anything, so staging overwrites, and going back writes the old values
 * again. Each is read back, and what is there already is not written.
 */
#include "board/board_private.h"
#include "iotctl/endpoint.h"

#include <stdio.h>
#include <string.h>

enum { HOST_SIZE = 257, VALUES = 3 };

/* Endpoint and root CA as items, in the order of writing: a board with a commit keeps the former in RAM until then. */
struct values {
	char host[HOST_SIZE], port[12];
	struct iot_board_item items[VALUES];
	size_t count;
};

static void add(struct values *values, enum iot_board_item_kind kind, const char *value)
{
	values->items[values->count++] = (struct iot_board_item){kind, value, IOT_ITEM_NOT_TRIED};
}

static enum iot_status collect(const struct iot_board_ops *ops, const char *endpoint, const char *root_ca,
			       struct values *ret, struct iot_error *err)
{
	int port = 0;
	enum iot_status status = IOT_OK;

	ret->count = 0;
	if (endpoint != NULL && (ops->items & 1U << IOT_ITEM_PORT)) {
		status = iot_endpoint_split(endpoint, ret->host, sizeof(ret->host), &port, err);
		if (status == IOT_OK && port > 0) {
			snprintf(ret->port, sizeof(ret->port), "%d", port);
			add(ret, IOT_ITEM_PORT, ret->port);
		}
		endpoint = ret->host;
	}
	if (endpoint != NULL)
		add(ret, IOT_ITEM_ENDPOINT, endpoint);
	if (root_ca != NULL)
		add(ret, IOT_ITEM_ROOT_CA, root_ca);
	return status;
}

static enum iot_status write_all(const struct iot_board_ops *ops, void *self, struct values *values,
				 struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	for (size_t i = 0; status == IOT_OK && i < values->count; i++) {
		struct iot_board_item *item = &values->items[i];

		status = ops->install(self, item, err);
		if (status != IOT_OK)
			iot_error_while(err, "writing the %s", iot_board_item_name(item->kind));
	}
	/* What it tells may not be saved yet: the run before may have been cut just there. */
	return status == IOT_OK && ops->commit != NULL ? ops->commit(self, err) : status;
}

static enum iot_status check_all(const struct iot_board_ops *ops, void *self, struct values *values,
				 struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	for (size_t i = 0; status == IOT_OK && i < values->count; i++) {
		struct iot_board_item *item = &values->items[i];

		item->outcome = IOT_ITEM_NOT_TRIED;
		status = ops->look(self, item, err);
		if (status == IOT_OK && item->outcome != IOT_ITEM_SAME)
			status = iot_fail(err, IOT_VERIFY, "the board does not hold the %s that it was given",
					  iot_board_item_name(item->kind));
	}
	return status;
}

enum iot_status board_trust_stage(const struct iot_board_ops *ops, void *self, const struct iot_board_trust *trust,
				  struct iot_error *err)
{
	struct values values;
	enum iot_status status = collect(ops, trust->endpoint, trust->root_ca, &values, err);

	if (status == IOT_OK)
		status = write_all(ops, self, &values, err);
	return status == IOT_OK ? check_all(ops, self, &values, err) : status;
}

static enum iot_status go_back(const struct iot_board_ops *ops, void *self, const struct iot_board_trust *trust,
			       struct iot_error *err)
{
	struct values values;
	enum iot_status status;

	if ((trust->endpoint != NULL && trust->old_endpoint == NULL) ||
	    (trust->root_ca != NULL && trust->old_root_ca == NULL))
		return iot_fail(err, IOT_USAGE, "nobody knows which endpoint and root CA the board had");
	status = collect(ops, trust->endpoint != NULL ? trust->old_endpoint : NULL,
			 trust->root_ca != NULL ? trust->old_root_ca : NULL, &values, err);
	if (status == IOT_OK)
		status = write_all(ops, self, &values, err);
	return status == IOT_OK ? check_all(ops, self, &values, err) : status;
}

enum iot_status board_trust_settle(const struct iot_board_ops *ops, void *self, const struct iot_board_trust *trust,
				   bool keep, struct iot_error *err)
{
	struct values values;
	enum iot_status status;

	if (!keep)
		return go_back(ops, self, trust, err);
	status = collect(ops, trust->endpoint, trust->root_ca, &values, err);
	return status == IOT_OK ? check_all(ops, self, &values, err) : status;
}
