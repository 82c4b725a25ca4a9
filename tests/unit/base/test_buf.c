/* Buffers: the limit, the NUL behind the contents, and that secrets do not stay in memory; and the memory helpers. */
#include "unit.h"

#include "iotctl/base.h"
#include "iotctl/buf.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_grows_and_stays_terminated(void)
{
	struct iot_buf buf = IOT_BUF_INIT(100000);

	CU_ASSERT_STRING_EQUAL(iot_buf_str(&buf), "");
	iot_buf_add(&buf, "", 0);
	CU_ASSERT_PTR_NOT_NULL(buf.data);
	for (int i = 0; i < 10000; i++)
		iot_buf_addf(&buf, "%d,", i % 10);
	CU_ASSERT_EQUAL(buf.len, 20000);
	CU_ASSERT_EQUAL(strlen(iot_buf_str(&buf)), 20000);
	CU_ASSERT_STRING_EQUAL(buf.data + 19990, "5,6,7,8,9,");
	iot_buf_clear(&buf);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&buf), "");
	iot_buf_adds(&buf, "ab");
	iot_buf_addc(&buf, 'c');
	iot_buf_add(&buf, "d\0e", 3);
	CU_ASSERT_EQUAL(buf.len, 6);
	CU_ASSERT_EQUAL(memcmp(buf.data, "abcd\0e", 7), 0);
	iot_buf_release(&buf);
	iot_buf_release(&buf);
	iot_buf_release(NULL);
}

static void test_limit_is_exact_and_sticky(void)
{
	struct iot_buf buf = IOT_BUF_INIT(5);
	struct iot_error err = IOT_ERROR_INIT;

	iot_buf_adds(&buf, "12345");
	ASSERT_OK(iot_buf_check(&buf, "name", &err), &err);
	iot_buf_addc(&buf, '6');
	CU_ASSERT_TRUE(buf.over);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&buf), "12345");
	ASSERT_STATUS(iot_buf_check(&buf, "name", &err), IOT_FAILURE, &err);
	CU_ASSERT_STRING_EQUAL(err.what, "'name' is longer than the limit of 5 bytes");
	/* What would fit is ignored too: no text with a hole. */
	iot_buf_consume(&buf, 3);
	iot_buf_addc(&buf, '7');
	iot_buf_addf(&buf, "%d", 8);
	CU_ASSERT_PTR_NULL(iot_buf_reserve(&buf, 1));
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&buf), "45");
	iot_buf_clear(&buf);
	iot_buf_addf(&buf, "%s", "123456");
	CU_ASSERT_TRUE(buf.over);
	CU_ASSERT_EQUAL(buf.len, 0);
	iot_buf_clear(&buf);
	iot_buf_addf(&buf, "%s", "54321");
	ASSERT_OK(iot_buf_check(&buf, "name", &err), &err);
	iot_buf_release(&buf);
}

static void test_huge_lengths_do_not_wrap(void)
{
	struct iot_buf buf = IOT_BUF_INIT(SIZE_MAX);

	iot_buf_adds(&buf, "x");
	CU_ASSERT_PTR_NULL(iot_buf_reserve(&buf, SIZE_MAX));
	CU_ASSERT_TRUE(buf.over);
	iot_buf_clear(&buf);
	CU_ASSERT_PTR_NULL(iot_buf_reserve(&buf, SIZE_MAX - 1));
	iot_buf_release(&buf);
	/* A limit lowered below what is held. */
	buf.max = 10;
	iot_buf_adds(&buf, "0123456789");
	buf.max = 4;
	iot_buf_add(&buf, "", 0);
	CU_ASSERT_TRUE(buf.over);
	iot_buf_release(&buf);
}

static void test_reserve_then_fill(void)
{
	struct iot_buf buf = IOT_BUF_INIT(1000);
	char *room;

	iot_buf_adds(&buf, "abc");
	iot_buf_consume(&buf, 2);
	room = iot_buf_reserve(&buf, 300);
	CU_ASSERT_PTR_NOT_NULL(room);
	if (room != NULL)
		room[0] = room[1] = 'd';
	buf.len += 2;
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&buf), "cdd");
	iot_buf_release(&buf);
}

static void test_consume_and_detach(void)
{
	struct iot_buf buf = IOT_BUF_INIT(100);
	char *text;

	iot_buf_consume(&buf, 5);
	text = iot_buf_detach(&buf);
	CU_ASSERT_STRING_EQUAL(text, "");
	free(text);
	iot_buf_adds(&buf, "line one\nline two");
	iot_buf_consume(&buf, 9);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&buf), "line two");
	text = iot_buf_detach(&buf);
	CU_ASSERT_STRING_EQUAL(text, "line two");
	free(text);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&buf), "");
	iot_buf_adds(&buf, "again");
	iot_buf_consume(&buf, 99);
	CU_ASSERT_EQUAL(buf.len, 0);
	iot_buf_release(&buf);
}

static void test_secrets_are_wiped(void)
{
	struct iot_buf buf = IOT_BUF_SECRET(1000);
	size_t cap;

	iot_buf_adds(&buf, "hunter2-hunter2");
	iot_buf_consume(&buf, 8);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&buf), "hunter2");
	CU_ASSERT_EQUAL(memcmp(buf.data + 7, "\0\0\0\0\0\0\0\0", 8), 0);
	/* Growing moves the contents. */
	for (int i = 0; i < 50; i++)
		iot_buf_adds(&buf, "0123456789");
	CU_ASSERT_EQUAL(buf.len, 507);
	CU_ASSERT_EQUAL(strncmp(buf.data, "hunter20123456789", 17), 0);
	cap = buf.cap;
	iot_buf_clear(&buf);
	for (size_t i = 0; i < cap; i++)
		CU_ASSERT_EQUAL(buf.data[i], 0);
	iot_buf_release(&buf);
}

static void test_memory_helpers(void)
{
	IOT_CLEAN(iot_free_p) char *text = iot_strf("%s-%d", "a", 5);
	IOT_CLEAN(iot_free_p) char *part = iot_strndup("abcdef", 3);
	IOT_CLEAN(iot_free_p) char *whole = iot_strndup("ab", 30);
	IOT_CLEAN(iot_free_p) char *none = iot_alloc(0);
	IOT_CLEAN(iot_free_p) char *taken = iot_strdup("mine");
	char *kept = iot_take(taken);

	CU_ASSERT_PTR_NULL(taken);
	CU_ASSERT_STRING_EQUAL(kept, "mine");
	iot_wipe(kept, 4);
	CU_ASSERT_EQUAL(memcmp(kept, "\0\0\0\0", 4), 0);
	free(kept);
	CU_ASSERT_STRING_EQUAL(text, "a-5");
	CU_ASSERT_STRING_EQUAL(part, "abc");
	CU_ASSERT_STRING_EQUAL(whole, "ab");
	CU_ASSERT_PTR_NOT_NULL(none);
	CU_ASSERT_PTR_NULL(iot_strdup(NULL));
	iot_wipe(NULL, 4);
}

/* count * size wraps around to something small: the process must end and not go on with too little memory. */
static void test_overflowing_array_ends_the_process(void)
{
	pid_t child = fork();
	int status = 0;

	if (child == 0) {
		/* Keep the line, and what a sanitizer would add to it, off the test's output. */
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
		volatile size_t huge = SIZE_MAX / 2;

		if (null < 0 || dup2(null, STDERR_FILENO) < 0)
			_exit(0);
		free(iot_alloc_array(huge, 8));
		_exit(0);
	}
	CU_ASSERT(child > 0);
	CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
	CU_ASSERT_FALSE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

UNIT_MAIN("base/buf", NULL, NULL, {"grows_and_stays_terminated", test_grows_and_stays_terminated},
	  {"limit_is_exact_and_sticky", test_limit_is_exact_and_sticky},
	  {"huge_lengths_do_not_wrap", test_huge_lengths_do_not_wrap}, {"reserve_then_fill", test_reserve_then_fill},
	  {"consume_and_detach", test_consume_and_detach}, {"secrets_are_wiped", test_secrets_are_wiped},
	  {"memory_helpers", test_memory_helpers},
	  {"overflowing_array_ends_the_process", test_overflowing_array_ends_the_process})
