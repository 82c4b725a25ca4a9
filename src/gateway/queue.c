/* The queue on disk. */
#include "gateway/queue.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/fs.h"
#include "iotctl/log.h"
#include "iotctl/store.h"

#include <string.h>

enum { MESSAGE_OVERHEAD = 200 }; /* bytes of a row besides its payload, about */

struct gateway_queue {
	struct iot_store *store;
	int lock;
	int64_t messages, bytes; /* limits */
	int64_t held;            /* bytes that are there */
	int64_t held_before;     /* before this transaction */
	bool waits;              /* a commit returns when it is on the disk; else when the system has it */
	bool open;               /* a transaction was begun */
	/*
	 * What the cloud has and the file does not know yet: rows that go with the next commit. A disk that is full may
	 * refuse that for long, and nothing of it may be sent again meanwhile. Sorted as they were sent.
	 */
	struct done {
		int64_t row, size;
	} * done;
	size_t done_count;
};

void gateway_message_free(struct gateway_message *message)
{
	if (message == NULL)
		return;
	free(message->topic);
	free(message->payload);
	free(message->correlation);
	free(message);
}

static enum iot_status measure(struct gateway_queue *queue, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status = iot_stmt_get(
		queue->store, "SELECT coalesce(sum(length(payload)), 0) + count(*) * 200 FROM queue", &stmt, err);

	if (status == IOT_OK)
		status = iot_stmt_step(stmt, &row, err);
	if (status == IOT_OK)
		queue->held = queue->held_before = iot_stmt_int(stmt, 0);
	return status;
}

enum iot_status gateway_queue_open(const char *dir, int64_t messages, int64_t bytes, struct gateway_queue **ret,
				   struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "queue.db");
	IOT_CLEAN(iot_free_p) char *lock = iot_path(dir, "lock");
	struct gateway_queue *queue = iot_alloc(sizeof(*queue));
	enum iot_status status = iot_fs_mkdirs(dir, 0700, err);

	*queue = (struct gateway_queue){.lock = -1, .messages = messages, .bytes = bytes, .waits = true};
	if (status == IOT_OK)
		status = iot_fs_lock(lock, &queue->lock, err);
	if (status == IOT_CONFLICT)
		iot_fail(err, IOT_CONFLICT, "another gateway uses the queue in '%s'", dir);
	if (status == IOT_OK)
		status = iot_store_open(path, &iot_gateway_schema, IOT_STORE_CREATE, &queue->store, err);
	if (status == IOT_OK)
		status = measure(queue, err);
	if (status == IOT_OK)
		*ret = queue;
	else
		gateway_queue_close(queue);
	return status;
}

void gateway_queue_close(struct gateway_queue *queue)
{
	if (queue == NULL)
		return;
	if (queue->store != NULL) {
		(void)!gateway_queue_commit(queue, NULL);
		gateway_queue_tidy(queue);
	}
	free(queue->done);
	iot_store_close(queue->store);
	iot_close_p(&queue->lock);
	free(queue);
}

/* SQLite ends a transaction by itself after some faults: then what was begun is not there any more. */
static enum iot_status check_open(struct gateway_queue *queue, struct iot_error *err)
{
	if (!queue->open || iot_store_in_transaction(queue->store))
		return IOT_OK;
	queue->open = false;
	queue->held = queue->held_before;
	return iot_fail(err, IOT_FAILURE, "a transaction of the queue was undone");
}

/* How a commit waits cannot be changed inside of a transaction: one that need not wait is ended first. */
static enum iot_status begin(struct gateway_queue *queue, bool must_wait, struct iot_error *err)
{
	enum iot_status status = check_open(queue, err);

	if (status != IOT_OK)
		return status;
	if (queue->open) {
		if (queue->waits || !must_wait)
			return IOT_OK;
		status = gateway_queue_commit(queue, err);
		if (status != IOT_OK)
			return status;
	}
	if (queue->waits != must_wait)
		iot_store_set_durable(queue->store, must_wait);
	queue->waits = must_wait;
	queue->held_before = queue->held;
	status = iot_store_begin(queue->store, err);
	queue->open = status == IOT_OK;
	return status;
}

/* Take off what the cloud has. A row that is not there was forgotten. */
static enum iot_status remove_done(struct gateway_queue *queue, struct iot_error *err)
{
	enum iot_status status = queue->done_count > 0 ? begin(queue, false, err) : IOT_OK;

	for (size_t i = 0; i < queue->done_count && status == IOT_OK; i++) {
		int64_t changes = 0;

		status = iot_store_run(queue->store, &changes, err, "DELETE FROM queue WHERE id = ?", "i",
				       queue->done[i].row);
		if (status == IOT_OK && changes > 0)
			queue->held -= queue->done[i].size;
	}
	return status;
}

/* A small disk is filled by the log of changes long before the messages fill it. */
static void undo(struct gateway_queue *queue)
{
	if (queue->open || iot_store_in_transaction(queue->store))
		iot_store_rollback(queue->store);
	queue->open = false;
	queue->held = queue->held_before;
	iot_store_shrink(queue->store);
}

static enum iot_status end(struct gateway_queue *queue, struct iot_error *err)
{
	enum iot_status status = check_open(queue, err);

	if (status != IOT_OK || !queue->open)
		return status;
	queue->open = false;
	status = iot_store_commit(queue->store, err);
	if (status != IOT_OK)
		undo(queue);
	return status;
}

enum iot_status gateway_queue_commit(struct gateway_queue *queue, struct iot_error *err)
{
	return end(queue, err);
}

void gateway_queue_tidy(struct gateway_queue *queue)
{
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status;

	if (queue->done_count == 0)
		return;
	status = remove_done(queue, &err);
	if (status != IOT_OK)
		undo(queue);
	else
		status = end(queue, &err);
	if (status == IOT_OK)
		queue->done_count = 0;
	else
		iot_log_error(IOT_LOG_DEBUG, "what the cloud has stays in the queue for now: ", &err);
}

/* --- how far children have come ------------------------------------------------------------- */

enum iot_status gateway_queue_last(struct gateway_queue *queue, const char *thing, uint8_t boot[IOT_FRAME_BOOT_MAX],
				   size_t *ret_boot_len, int64_t *ret_sequence, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	const void *bytes;
	bool row = false;
	enum iot_status status =
		iot_stmt_get(queue->store, "SELECT boot, sequence FROM children WHERE thing = ?", &stmt, err);

	*ret_boot_len = 0;
	*ret_sequence = 0;
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "s", thing);
	if (status == IOT_OK)
		status = iot_stmt_step(stmt, &row, err);
	if (status != IOT_OK || !row)
		return status;
	bytes = iot_stmt_blob(stmt, 0, ret_boot_len);
	if (*ret_boot_len > IOT_FRAME_BOOT_MAX)
		*ret_boot_len = 0;
	memcpy(boot, bytes, *ret_boot_len);
	*ret_sequence = iot_stmt_int(stmt, 1);
	return IOT_OK;
}

static enum iot_status note(struct gateway_queue *queue, const char *thing, const uint8_t *boot, size_t boot_len,
			    int64_t sequence, struct iot_error *err)
{
	return iot_store_run(queue->store, NULL, err,
			     "INSERT INTO children (thing, boot, sequence) VALUES (?1, ?2, ?3)"
			     " ON CONFLICT (thing) DO UPDATE SET boot = ?2, sequence = ?3",
			     "sbi", thing, (const void *)boot, boot_len, sequence);
}

/* What a crash of the machine forgets here is only that the cloud has something: it would be said once more. */
enum iot_status gateway_queue_note(struct gateway_queue *queue, const char *thing, const uint8_t *boot, size_t boot_len,
				   int64_t sequence, struct iot_error *err)
{
	enum iot_status status = begin(queue, false, err);

	return status == IOT_OK ? note(queue, thing, boot, boot_len, sequence, err) : status;
}

/* --- messages --------------------------------------------------------------------------------- */

/* One that the cloud has does not count. */
static enum iot_status leave_out(struct gateway_queue *queue, const char *thing, int64_t number, int64_t *count,
				 struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status = iot_stmt_query(queue->store, &stmt, &row, err,
						"SELECT 1 FROM queue WHERE id = ? AND thing = ?", "is", number, thing);

	*count -= row;
	return status;
}

enum iot_status gateway_queue_count(struct gateway_queue *queue, const char *thing, int64_t *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status = iot_stmt_query(queue->store, &stmt, &row, err,
						"SELECT count(*) FROM queue WHERE thing = ?", "s", thing);
	if (status != IOT_OK)
		return status;
	*ret = iot_stmt_int(stmt, 0);
	for (size_t i = 0; i < queue->done_count && status == IOT_OK; i++)
		status = leave_out(queue, thing, queue->done[i].row, ret, err);
	return status;
}

enum iot_status gateway_queue_children(struct gateway_queue *queue, void (*each)(const char *thing, void *data),
				       void *data, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status = iot_stmt_get(queue->store, "SELECT DISTINCT thing FROM queue", &stmt, err);

	while (status == IOT_OK && (status = iot_stmt_step(stmt, &row, err)) == IOT_OK && row)
		each(iot_stmt_text(stmt, 0), data);
	return status;
}

enum iot_status gateway_queue_put(struct gateway_queue *queue, const char *thing, int64_t count,
				  const struct gateway_message *message, struct iot_error *err)
{
	int64_t size = (int64_t)message->payload_len + MESSAGE_OVERHEAD;
	int64_t changes = 0;
	enum iot_status status;

	if (count >= queue->messages || queue->held + size > queue->bytes)
		return iot_fail(err, IOT_AGAIN, "the queue of '%s' is full: %lld messages, %lld bytes in all", thing,
				(long long)count, (long long)queue->held);
	status = begin(queue, true, err);
	if (status == IOT_OK)
		status = iot_store_run(
			queue->store, &changes, err,
			"INSERT INTO queue (thing, boot, sequence, topic, payload, qos, retain, correlation,"
			" created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
			"sbisbiibi", thing, (const void *)message->boot, message->boot_len, message->sequence,
			message->topic, message->payload != NULL ? message->payload : (const void *)"",
			message->payload_len, (int64_t)message->qos, (int64_t)message->retain,
			(const void *)message->correlation, message->correlation_len, iot_now_ms());
	if (status == IOT_OK)
		status = note(queue, thing, message->boot, message->boot_len, message->sequence, err);
	if (status == IOT_OK && changes > 0)
		queue->held += size;
	return status;
}

static void *copy_blob(struct iot_stmt *stmt, int column, size_t *ret_len)
{
	const void *bytes = iot_stmt_blob(stmt, column, ret_len);
	void *copy = NULL;

	if (bytes != NULL && *ret_len > 0) {
		copy = iot_alloc(*ret_len);
		memcpy(copy, bytes, *ret_len);
	}
	return copy;
}

static bool is_done(const struct gateway_queue *queue, int64_t row)
{
	for (size_t i = 0; i < queue->done_count; i++) {
		if (queue->done[i].row == row)
			return true;
	}
	return false;
}

enum iot_status gateway_queue_next(struct gateway_queue *queue, const char *thing, int64_t after,
				   struct gateway_message **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	struct gateway_message *message;
	const void *boot;
	bool row = false;
	enum iot_status status =
		iot_stmt_get(queue->store,
			     "SELECT id, topic, payload, qos, retain, correlation, boot, sequence FROM queue"
			     " WHERE thing = ? AND id > ? ORDER BY id",
			     &stmt, err);

	*ret = NULL;
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "si", thing, after);
	do {
		if (status == IOT_OK)
			status = iot_stmt_step(stmt, &row, err);
	} while (status == IOT_OK && row && is_done(queue, iot_stmt_int(stmt, 0)));
	if (status != IOT_OK || !row)
		return status;
	message = iot_alloc(sizeof(*message));
	message->row = iot_stmt_int(stmt, 0);
	message->topic = iot_strdup(iot_stmt_text(stmt, 1));
	message->payload = copy_blob(stmt, 2, &message->payload_len);
	message->qos = (int)iot_stmt_int(stmt, 3);
	message->retain = iot_stmt_int(stmt, 4) != 0;
	message->correlation = copy_blob(stmt, 5, &message->correlation_len);
	boot = iot_stmt_blob(stmt, 6, &message->boot_len);
	if (message->boot_len > sizeof(message->boot))
		message->boot_len = sizeof(message->boot);
	memcpy(message->boot, boot, message->boot_len);
	message->sequence = iot_stmt_int(stmt, 7);
	*ret = message;
	return IOT_OK;
}

enum iot_status gateway_queue_done(struct gateway_queue *queue, const struct gateway_message *message,
				   bool *ret_was_there, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	enum iot_status status = iot_stmt_query(queue->store, &stmt, ret_was_there, err,
						"SELECT 1 FROM queue WHERE id = ?", "i", message->row);

	if (status != IOT_OK)
		*ret_was_there = true; /* it is taken off later, or is not there then */
	if ((queue->done_count & (queue->done_count - 1)) == 0)
		queue->done = iot_realloc(queue->done, 2 * (queue->done_count + 1) * sizeof(*queue->done));
	queue->done[queue->done_count++] =
		(struct done){message->row, (int64_t)message->payload_len + MESSAGE_OVERHEAD};
	return IOT_OK;
}

enum iot_status gateway_queue_forget(struct gateway_queue *queue, const char *thing, struct iot_error *err)
{
	enum iot_status status = begin(queue, false, err);

	if (status == IOT_OK)
		status = iot_store_run(queue->store, NULL, err, "DELETE FROM queue WHERE thing = ?", "s", thing);
	if (status == IOT_OK)
		status = iot_store_run(queue->store, NULL, err, "DELETE FROM children WHERE thing = ?", "s", thing);
	if (status == IOT_OK)
		status = gateway_queue_commit(queue, err);
	return status == IOT_OK ? measure(queue, err) : status;
}
