/*
 * A signature counts once: whatever happens to clock and memory, what was seen is
 * not taken again from another connection.
 */
#include "broker/api/api.h"
#include "iotctl/digest.h"
#include "unit.h"

#define NOW INT64_C(1795274589)

static struct iot_error err;
static struct api_replay *replay;

static void set_up(void)
{
	iot_error_clear(&err);
	replay = api_replay_new(NOW);
}

static void tear_down(void)
{
	api_replay_free(replay);
}

static const uint8_t *signature(unsigned number)
{
	static uint8_t out[32];

	iot_sha256(&number, sizeof(number), out);
	return out;
}

static enum iot_status check(unsigned number, int64_t signed_s, int64_t now_s, uint64_t connection)
{
	return api_replay_check(replay, signature(number), signed_s, now_s, connection, &err);
}

static void test_once(void)
{
	ASSERT_OK(check(1, NOW, NOW, 1), &err);
	ASSERT_STATUS(check(1, NOW, NOW, 2), IOT_DENIED, &err);
	CU_ASSERT_STRING_EQUAL(err.code, "InvalidSignatureException");
	ASSERT_STATUS(check(1, NOW, NOW + 899, 2), IOT_DENIED, &err);
	ASSERT_OK(check(2, NOW, NOW, 2), &err);
	/* An SDK that repeats itself within the second, on its own connection. */
	ASSERT_OK(check(1, NOW, NOW, 1), &err);
}

static void test_window(void)
{
	ASSERT_OK(check(1, NOW, NOW, 1), &err);
	ASSERT_OK(check(2, NOW + 900, NOW, 1), &err);
	ASSERT_STATUS(check(3, NOW + 901, NOW, 1), IOT_DENIED, &err);
	/* Its date is as old as can be: it is still known, or it is refused for its age. */
	ASSERT_STATUS(check(1, NOW, NOW + 900, 2), IOT_DENIED, &err);
	ASSERT_STATUS(check(1, NOW, NOW + 901, 2), IOT_DENIED, &err);
	ASSERT_STATUS(check(2, NOW + 900, NOW + 1800, 2), IOT_DENIED, &err);
	ASSERT_OK(check(4, NOW + 900, NOW + 1800, 2), &err);
	ASSERT_STATUS(check(2, NOW + 900, NOW + 5000, 2), IOT_DENIED, &err);
}

/* What was signed before it began may have been seen by the one before. */
static void test_start(void)
{
	ASSERT_STATUS(check(1, NOW - 1, NOW, 1), IOT_DENIED, &err);
	ASSERT_CONTAINS(err.what, "not remembered");
	ASSERT_OK(check(1, NOW, NOW, 1), &err);
}

static void test_full(void)
{
	unsigned number = 10;

	/* Twice as many as there is room for, within ten seconds. */
	for (int64_t second = 0; second < 10; second++)
		for (int i = 0; i < 13107; i++, number++)
			CU_ASSERT_EQUAL_FATAL(check(number, NOW + second, NOW + second, 1), IOT_OK);
	/* None of them goes through again, forgotten or not. */
	for (unsigned i = 10; i < number; i += 97)
		CU_ASSERT_EQUAL(check(i, NOW + (i - 10) / 13107, NOW + 10, 2), IOT_DENIED);
	/* New ones do. */
	ASSERT_OK(check(number, NOW + 10, NOW + 10, 2), &err);
}

static void test_clock(void)
{
	ASSERT_OK(check(1, NOW, NOW, 1), &err);
	/* A day ahead, and back again. */
	ASSERT_OK(check(2, NOW + 86400, NOW + 86400, 1), &err);
	ASSERT_STATUS(check(1, NOW, NOW + 86400, 2), IOT_DENIED, &err);
	ASSERT_OK(check(3, NOW + 10, NOW + 10, 1), &err);
	ASSERT_STATUS(check(1, NOW, NOW + 10, 2), IOT_DENIED, &err);
}

UNIT_MAIN("broker/api_replay", set_up, tear_down, {"once", test_once}, {"window", test_window}, {"start", test_start},
	  {"full", test_full}, {"clock", test_clock})
