/* The gateway's queue: order, limits, what is there after a new start, and that nothing is there twice. */
#include "unit.h"

#include "gateway/queue.h"
#include "iotctl/base.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

static char *dir;

static void set_up(void)
{
	dir = unit_mkdtemp();
}

static void tear_down(void)
{
	if (iot_fs_remove_tree(dir, NULL) != IOT_OK)
		abort();
	free(dir);
}

static struct gateway_queue *open_queue(int64_t messages, int64_t bytes)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct gateway_queue *queue = NULL;

	ASSERT_OK(gateway_queue_open(dir, messages, bytes, &queue, &err), &err);
	return queue;
}

static enum iot_status put(struct gateway_queue *queue, const char *thing, int64_t sequence, struct iot_error *err)
{
	char payload[16], topic[] = "a/b";
	struct gateway_message message = {
		.topic = topic, .payload = payload, .qos = 1, .boot = "bootboot", .boot_len = 8, .sequence = sequence};
	int64_t count = 0;

	message.payload_len = (size_t)snprintf(payload, sizeof(payload), "%lld", (long long)sequence);
	ASSERT_OK(gateway_queue_count(queue, thing, &count, err), err);
	return gateway_queue_put(queue, thing, count, &message, err);
}

static void test_order_and_restart(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct gateway_queue *queue = open_queue(100, 100000);
	struct gateway_message *message = NULL;
	uint8_t boot[IOT_FRAME_BOOT_MAX];
	size_t boot_len = 0;
	int64_t after = 0, sequence = 0;
	bool was_there = false;

	for (int i = 1; i <= 5; i++) {
		ASSERT_OK(put(queue, "one", i, &err), &err);
		ASSERT_OK(put(queue, "two", 10 * i, &err), &err);
	}
	ASSERT_OK(put(queue, "one", 3, &err), &err); /* again */
	ASSERT_OK(gateway_queue_commit(queue, &err), &err);
	gateway_queue_close(queue);
	queue = open_queue(100, 100000);
	for (int i = 1; i <= 5; i++) {
		ASSERT_OK(gateway_queue_next(queue, "one", after, &message, &err), &err);
		CU_ASSERT_PTR_NOT_NULL_FATAL(message);
		CU_ASSERT_EQUAL(message->sequence, i);
		CU_ASSERT_STRING_EQUAL(message->topic, "a/b");
		CU_ASSERT_EQUAL(message->payload_len, 1);
		after = message->row;
		ASSERT_OK(gateway_queue_done(queue, message, &was_there, &err), &err);
		CU_ASSERT_TRUE(was_there);
		gateway_message_free(message);
	}
	ASSERT_OK(gateway_queue_next(queue, "one", after, &message, &err), &err);
	CU_ASSERT_PTR_NULL(message);
	ASSERT_OK(gateway_queue_last(queue, "two", boot, &boot_len, &sequence, &err), &err);
	CU_ASSERT_EQUAL(sequence, 50);
	CU_ASSERT_TRUE(boot_len == 8 && memcmp(boot, "bootboot", 8) == 0);
	ASSERT_OK(gateway_queue_last(queue, "three", boot, &boot_len, &sequence, &err), &err);
	CU_ASSERT_EQUAL(boot_len, 0);
	gateway_queue_close(queue);
}

static void test_limits(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct gateway_queue *queue = open_queue(3, 1010); /* five messages of 201 bytes */

	for (int i = 1; i <= 3; i++)
		ASSERT_OK(put(queue, "one", i, &err), &err);
	ASSERT_STATUS(put(queue, "one", 4, &err), IOT_AGAIN, &err);
	ASSERT_OK(put(queue, "two", 1, &err), &err);
	ASSERT_OK(put(queue, "two", 2, &err), &err);
	ASSERT_STATUS(put(queue, "two", 3, &err), IOT_AGAIN, &err);
	ASSERT_OK(gateway_queue_commit(queue, &err), &err);
	gateway_queue_close(queue);
	queue = open_queue(3, 1010); /* what is there counts after a new start, too */
	ASSERT_STATUS(put(queue, "three", 1, &err), IOT_AGAIN, &err);
	ASSERT_OK(gateway_queue_forget(queue, "one", &err), &err);
	ASSERT_OK(put(queue, "three", 1, &err), &err);
	gateway_queue_close(queue);
}

static void test_one_owner(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct gateway_queue *queue = open_queue(3, 1000), *second = NULL;

	ASSERT_STATUS(gateway_queue_open(dir, 3, 1000, &second, &err), IOT_CONFLICT, &err);
	gateway_queue_close(queue);
	queue = open_queue(3, 1000);
	gateway_queue_close(queue);
}

/* A note that need not wait, and a message that must, in one turn. */
static void test_mixed_turn(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct gateway_queue *queue = open_queue(10, 10000);
	uint8_t boot[IOT_FRAME_BOOT_MAX];
	size_t boot_len;
	int64_t sequence = 0, count = 0;

	ASSERT_OK(gateway_queue_note(queue, "one", (const uint8_t *)"bootboot", 8, 7, &err), &err);
	ASSERT_OK(put(queue, "one", 8, &err), &err);
	ASSERT_OK(gateway_queue_note(queue, "two", (const uint8_t *)"bootboot", 8, 9, &err), &err);
	ASSERT_OK(gateway_queue_commit(queue, &err), &err);
	gateway_queue_close(queue);
	queue = open_queue(10, 10000);
	ASSERT_OK(gateway_queue_last(queue, "one", boot, &boot_len, &sequence, &err), &err);
	CU_ASSERT_EQUAL(sequence, 8);
	ASSERT_OK(gateway_queue_last(queue, "two", boot, &boot_len, &sequence, &err), &err);
	CU_ASSERT_EQUAL(sequence, 9);
	ASSERT_OK(gateway_queue_count(queue, "one", &count, &err), &err);
	CU_ASSERT_EQUAL(count, 1);
	gateway_queue_close(queue);
}

/* No file may grow any more. */
static void fill_disk(bool full)
{
	IOT_CLEAN(iot_free_p) char *log = iot_strf("%s/queue.db-wal", dir);
	struct rlimit limit;
	struct stat st;

	CU_ASSERT_EQUAL_FATAL(stat(log, &st), 0);
	CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = full ? (rlim_t)st.st_size : limit.rlim_max;
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* What could not be kept is not there; what the cloud has is not given out again, although the file still has it. */
static void test_full_disk(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct gateway_queue *queue = open_queue(10, 1010);
	struct gateway_message *message = NULL;
	int64_t count = 0;
	bool was_there = false;

	signal(SIGXFSZ, SIG_IGN);
	for (int i = 1; i <= 3; i++)
		ASSERT_OK(put(queue, "one", i, &err), &err);
	ASSERT_OK(gateway_queue_commit(queue, &err), &err);
	fill_disk(true);
	for (int turn = 0; turn < 3; turn++) {
		/* Either of the two may be the one that fails, and room that was not used is not gone. */
		if (put(queue, "one", 4, NULL) == IOT_OK && put(queue, "one", 5, NULL) == IOT_OK)
			CU_ASSERT_NOT_EQUAL(gateway_queue_commit(queue, NULL), IOT_OK);
		ASSERT_OK(gateway_queue_commit(queue, &err), &err);
		ASSERT_OK(gateway_queue_count(queue, "one", &count, &err), &err);
		CU_ASSERT_EQUAL(count, 3);
	}
	ASSERT_OK(gateway_queue_next(queue, "one", 0, &message, &err), &err);
	CU_ASSERT_EQUAL(message->sequence, 1);
	ASSERT_OK(gateway_queue_done(queue, message, &was_there, &err), &err);
	CU_ASSERT_TRUE(was_there);
	gateway_message_free(message);
	gateway_queue_tidy(queue);
	ASSERT_OK(gateway_queue_count(queue, "one", &count, &err), &err);
	CU_ASSERT_EQUAL(count, 2);
	ASSERT_OK(gateway_queue_next(queue, "one", 0, &message, &err), &err);
	CU_ASSERT_EQUAL(message->sequence, 2);
	gateway_message_free(message);
	fill_disk(false);
	gateway_queue_tidy(queue);
	ASSERT_OK(put(queue, "one", 4, &err), &err);
	ASSERT_OK(put(queue, "one", 5, &err), &err);
	ASSERT_OK(put(queue, "one", 6, &err), &err); /* five: the first one has made room */
	ASSERT_STATUS(put(queue, "one", 7, &err), IOT_AGAIN, &err);
	ASSERT_OK(gateway_queue_commit(queue, &err), &err);
	gateway_queue_close(queue);
	queue = open_queue(10, 1010);
	ASSERT_OK(gateway_queue_next(queue, "one", 0, &message, &err), &err);
	CU_ASSERT_EQUAL(message->sequence, 2);
	gateway_message_free(message);
	ASSERT_OK(gateway_queue_count(queue, "one", &count, &err), &err);
	CU_ASSERT_EQUAL(count, 5);
	gateway_queue_close(queue);
}

UNIT_MAIN("gateway/queue", set_up, tear_down, {"order", test_order_and_restart}, {"limits", test_limits},
	  {"one-owner", test_one_owner}, {"mixed-turn", test_mixed_turn}, {"full-disk", test_full_disk})
