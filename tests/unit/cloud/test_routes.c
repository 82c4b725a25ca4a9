/* Rows of routes and topics: their order, that a change is seen, and what damage does. */
#include "jobs_fixture.h"

#include "iotctl/json.h"
#include "iotctl/store.h"

static enum iot_status add(const char *name, const char *before, struct iot_error *err)
{
	json_t *route = json_pack("{s:s, s:s}", "name", name, "subfolder", name);
	enum iot_status status = iot_local_route_add(cloud, route, before, err);

	json_decref(route);
	return status;
}

/* "a:delivered/dropped b..." */
static void routes_are(int line, const char *expected)
{
	struct iot_buf text = IOT_BUF_INIT(4096);
	struct iot_error err = IOT_ERROR_INIT;
	json_t *routes = NULL, *route;
	size_t i;

	ASSERT_OK(iot_local_routes(cloud, &routes, &err), &err);
	json_array_foreach(routes, i, route) {
		iot_buf_addf(&text, "%s:%d/%d", iot_json_str(route, "name", ""),
			     (int)iot_json_int(route, "delivered", -1), (int)iot_json_int(route, "dropped", -1));
		if (iot_json_str(route, "fault", NULL) != NULL)
			iot_buf_addf(&text, "(%s)", iot_json_str(route, "fault", ""));
		iot_buf_adds(&text, iot_json_bool(route, "damaged", false) ? "! " : " ");
	}
	if (strcmp(iot_buf_str(&text), expected) != 0)
		fprintf(stderr, "\nline %d: %s\n", line, iot_buf_str(&text));
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&text), expected);
	iot_buf_release(&text);
	json_decref(routes);
}
#define ROUTES(expected) routes_are(__LINE__, expected)

static void test_order(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	ROUTES("");
	ASSERT_OK(add("a", NULL, &err), &err);
	ASSERT_OK(add("b", NULL, &err), &err);
	ASSERT_OK(add("c", "b", &err), &err);
	ASSERT_OK(add("d", "a", &err), &err);
	ROUTES("d:0/0 a:0/0 c:0/0 b:0/0 ");
	ASSERT_STATUS(add("a", NULL, &err), IOT_CONFLICT, &err);
	ASSERT_STATUS(add("a", "b", &err), IOT_CONFLICT, &err);
	ASSERT_STATUS(add("e", "gone", &err), IOT_NOT_FOUND, &err);
	ROUTES("d:0/0 a:0/0 c:0/0 b:0/0 "); /* and no place was moved */
	ASSERT_OK(iot_local_route_remove(cloud, "a", &err), &err);
	ASSERT_STATUS(iot_local_route_remove(cloud, "a", &err), IOT_NOT_FOUND, &err);
	ROUTES("d:0/0 c:0/0 b:0/0 ");
}

static void test_counts(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(add("a", NULL, &err), &err);
	ASSERT_OK(iot_local_route_count(cloud, "a", 3, 1, "full", &err), &err);
	ROUTES("a:3/1(full) ");
	ASSERT_OK(iot_local_route_count(cloud, "a", 2, 0, NULL, &err), &err);
	ROUTES("a:5/1 ");
	ASSERT_OK(iot_local_route_count(cloud, "gone", 2, 0, NULL, &err), &err);
}

static void test_damaged(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(add("a", NULL, &err), &err);
	ASSERT_OK(add("b", NULL, &err), &err);
	ASSERT_OK(iot_store_run(iot_local_store(cloud), NULL, &err,
				"UPDATE routes SET route = '{\"name\"' WHERE name = 'a'", ""),
		  &err);
	ROUTES("a:0/0! b:0/0 ");
	ASSERT_OK(iot_local_route_remove(cloud, "a", &err), &err);
	ROUTES("b:0/0 ");
}

static char *version(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	char *text = NULL;

	ASSERT_OK(iot_local_talk_version(cloud, &text, &err), &err);
	return text;
}

static void test_version(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	char *first, *second, *third;

	CU_ASSERT_PTR_NULL(version());
	ASSERT_OK(add("a", NULL, &err), &err);
	first = version();
	ASSERT_OK(iot_local_route_count(cloud, "a", 3, 1, NULL, &err), &err);
	ASSERT_STATUS(add("a", NULL, &err), IOT_CONFLICT, &err);
	second = version();
	CU_ASSERT_STRING_EQUAL(first, second);
	free(second);
	ASSERT_OK(iot_local_route_remove(cloud, "a", &err), &err);
	second = version();
	CU_ASSERT_STRING_NOT_EQUAL(first, second);
	ASSERT_OK(iot_local_talk_changed(cloud, &err), &err);
	third = version();
	CU_ASSERT_STRING_NOT_EQUAL(second, third);
	free(first);
	free(second);
	free(third);
}

static int64_t number(const char *sql)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_stmt *stmt = NULL;
	bool row = false;
	int64_t value = -1;

	ASSERT_OK(iot_stmt_get(iot_local_store(cloud), sql, &stmt, &err), &err);
	ASSERT_OK(iot_stmt_step(stmt, &row, &err), &err);
	if (row)
		value = iot_stmt_int(stmt, 0);
	iot_stmt_done(stmt);
	return value;
}

/* The plugin reads everything again when the epoch moves: not for nothing. */
static void test_topics(void)
{
	static const char epoch[] = "SELECT value FROM epoch", count[] = "SELECT count(*) FROM topics";
	json_t *topics = json_pack("{s:i, s:i}", "+/+/event/#", 1, "bus/events", -1);
	struct iot_error err = IOT_ERROR_INIT;
	int64_t before = number(epoch), after;

	ASSERT_OK(iot_local_topics_set(cloud, topics, &err), &err);
	after = number(epoch);
	CU_ASSERT_TRUE(after > before);
	CU_ASSERT_EQUAL(number(count), 2);
	ASSERT_OK(iot_local_topics_set(cloud, topics, &err), &err);
	CU_ASSERT_EQUAL(number(epoch), after);
	json_object_set_new(topics, "bus/events", json_integer(0));
	ASSERT_OK(iot_local_topics_set(cloud, topics, &err), &err);
	CU_ASSERT_TRUE(number(epoch) > after);
	json_object_clear(topics);
	ASSERT_OK(iot_local_topics_set(cloud, topics, &err), &err);
	CU_ASSERT_EQUAL(number(count), 0);
	json_decref(topics);
}

UNIT_MAIN("cloud/routes", set_up, tear_down, {"order", test_order}, {"counts", test_counts}, {"damaged", test_damaged},
	  {"version", test_version}, {"topics", test_topics})
