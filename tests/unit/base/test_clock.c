/* Times as text and back, deadlines, and the check for a clock that was never set. */
#include "unit.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"

#include <limits.h>

static void test_text_and_back(void)
{
	static const struct {
		int64_t seconds;
		const char *text;
	} times[] = {{0, "1970-01-01T00:00:00Z"},
		     {-1, "1969-12-31T23:59:59Z"},
		     {951782400, "2000-02-29T00:00:00Z"},
		     {951868800, "2000-03-01T00:00:00Z"},
		     {1795255200, "2026-11-21T10:00:00Z"},
		     {4107542400, "2100-03-01T00:00:00Z"},
		     {-62167219200, "0000-01-01T00:00:00Z"},
		     {253402300799, "9999-12-31T23:59:59Z"}};
	struct iot_error err = IOT_ERROR_INIT;
	char text[32];

	for (size_t i = 0; i < IOT_LENGTH(times); i++) {
		int64_t ms = 1;

		CU_ASSERT_STRING_EQUAL(iot_time_rfc3339(times[i].seconds * 1000, text), times[i].text);
		ASSERT_OK(iot_time_parse_rfc3339(times[i].text, &ms, &err), &err);
		CU_ASSERT_EQUAL(ms, times[i].seconds * 1000);
	}
	CU_ASSERT_STRING_EQUAL(iot_time_rfc3339(1999, text), "1970-01-01T00:00:01Z");
	CU_ASSERT_STRING_EQUAL(iot_time_rfc3339(-1, text), "1969-12-31T23:59:59Z");
	/* Beyond what the format can say. */
	CU_ASSERT_STRING_EQUAL(iot_time_rfc3339(INT64_MAX, text), "9999-12-31T23:59:59Z");
	CU_ASSERT_STRING_EQUAL(iot_time_rfc3339(INT64_MIN, text), "0000-01-01T00:00:00Z");
}

/* Every day of 800 years, against the system's calendar by way of the formatter. */
static void test_every_day(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	int wrong = 0;

	for (int64_t day = -100000; day < 192000; day++) {
		char text[32];
		int64_t ms;

		iot_time_rfc3339(day * 86400000, text);
		if (iot_time_parse_rfc3339(text, &ms, &err) != IOT_OK || ms != day * 86400000)
			wrong++;
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

static void test_fractions_and_offsets(void)
{
	static const struct {
		const char *text;
		int64_t ms;
	} times[] = {{"1970-01-01T00:00:00.5Z", 500},
		     {"1970-01-01T00:00:00.123456789Z", 123},
		     {"1970-01-01t00:00:01z", 1000},
		     {"1970-01-01T01:00:00+01:00", 0},
		     {"1969-12-31T18:30:00-05:30", 0},
		     {"1970-01-01T00:00:00-00:00", 0},
		     /* A leap second counts as the one after it. */
		     {"2016-12-31T23:59:60Z", 1483228800000}};
	struct iot_error err = IOT_ERROR_INIT;

	for (size_t i = 0; i < IOT_LENGTH(times); i++) {
		int64_t ms = -1;

		ASSERT_OK(iot_time_parse_rfc3339(times[i].text, &ms, &err), &err);
		CU_ASSERT_EQUAL(ms, times[i].ms);
	}
}

static void test_malformed_times(void)
{
	static const char *const bad[] = {"",
					  "2026",
					  "2026-11-21",
					  "2026-11-21T10:00:00",
					  "2026-11-21T10:00Z",
					  "2026-11-21 10:00:00Z",
					  "2026-13-01T00:00:00Z",
					  "2026-00-01T00:00:00Z",
					  "2026-02-29T00:00:00Z",
					  "1900-02-29T00:00:00Z",
					  "2026-04-31T00:00:00Z",
					  "2026-01-00T00:00:00Z",
					  "2026-01-01T24:00:00Z",
					  "2026-01-01T00:60:00Z",
					  "2026-01-01T00:00:60Z",
					  "2026-01-01T00:00:61Z",
					  "2026-01-01T00:00:00.Z",
					  "2026-01-01T00:00:00+0100",
					  "2026-01-01T00:00:00+24:00",
					  "2026-01-01T00:00:00ZZ",
					  " 2026-01-01T00:00:00Z",
					  "2026-01-01T00:00:00Z ",
					  "+026-01-01T00:00:00Z",
					  "1795255200"};
	struct iot_error err = IOT_ERROR_INIT;
	int64_t ms = 77;

	for (size_t i = 0; i < IOT_LENGTH(bad); i++)
		ASSERT_STATUS(iot_time_parse_rfc3339(bad[i], &ms, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_time_parse_rfc3339(NULL, &ms, &err), IOT_USAGE, &err);
	CU_ASSERT_EQUAL(ms, 77);
	ASSERT_STATUS(iot_time_parse_rfc3339("tomorrow", &ms, &err), IOT_USAGE, &err);
	CU_ASSERT_STRING_EQUAL(err.what, "'tomorrow' is not a time, expected one like 2026-11-21T10:00:00Z");
}

static void test_frozen_clock_and_its_check(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_clock_check(&err), &err);
	iot_clock_freeze(1795255200000);
	CU_ASSERT_EQUAL(iot_now_ms(), 1795255200000);
	ASSERT_OK(iot_clock_check(&err), &err);
	iot_clock_freeze(1000);
	ASSERT_STATUS(iot_clock_check(&err), IOT_FAILURE, &err);
	ASSERT_CONTAINS(err.what, "1970-01-01T00:00:01Z");
	CU_ASSERT(strlen(err.hint) > 0);
	iot_clock_freeze(4102444800000);
	ASSERT_STATUS(iot_clock_check(&err), IOT_FAILURE, &err);
	iot_clock_freeze(0);
	CU_ASSERT(iot_now_ms() > 1735689600000);
}

static void test_deadlines(void)
{
	int64_t before = iot_monotonic_ms();
	int left = iot_left(iot_deadline(60000));

	CU_ASSERT(left > 50000 && left <= 60000);
	CU_ASSERT_EQUAL(iot_left(before - 1), 0);
	CU_ASSERT_EQUAL(iot_left(INT64_MIN), 0);
	CU_ASSERT_EQUAL(iot_left(INT64_MAX), INT_MAX);
	CU_ASSERT(iot_monotonic_ms() >= before);
}

static void test_milliseconds(void)
{
	char text[32];

	CU_ASSERT_STRING_EQUAL(iot_time_rfc3339_ms(INT64_C(1795000000007), text), "2026-11-18T11:06:40.007Z");
	CU_ASSERT_STRING_EQUAL(iot_time_rfc3339_ms(0, text), "1970-01-01T00:00:00.000Z");
	CU_ASSERT_STRING_EQUAL(iot_time_rfc3339_ms(-1, text), "1969-12-31T23:59:59.999Z");
}

UNIT_MAIN("base/clock", NULL, NULL, {"text_and_back", test_text_and_back}, {"every_day", test_every_day},
	  {"fractions_and_offsets", test_fractions_and_offsets}, {"malformed_times", test_malformed_times},
	  {"frozen_clock_and_its_check", test_frozen_clock_and_its_check}, {"deadlines", test_deadlines},
	  {"milliseconds", test_milliseconds})
