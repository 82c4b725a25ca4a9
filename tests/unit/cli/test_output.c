/* Results in every format, with values that try to break each of them. */
#include "iotctl/base.h"
#include "iotctl/json.h"
#include "iotctl/output.h"
#include "unit.h"

static const struct output_column *const columns = OUTPUT_COLUMNS(
	{.key = "name", .heading = "Name"}, {.key = "bytes", .heading = "Bytes", .kind = OUTPUT_SIZE},
	{.key = "made", .heading = "Made", .kind = OUTPUT_TIME}, {.key = "on", .heading = "On", .kind = OUTPUT_BOOL},
	{.key = "in.site", .heading = "Site", .wide = true});

/* What the calls in `body` wrote to `out`. */
#define WRITTEN(text, format, query, color, ...)                                                                       \
	char *text = NULL;                                                                                             \
	size_t text##_size = 0;                                                                                        \
	do {                                                                                                           \
		FILE *stream_ = open_memstream(&text, &text##_size);                                                   \
		struct output *out = NULL;                                                                             \
		ASSERT_OK(output_new(stream_, format, query, color, &out, &err), &err);                                \
		__VA_ARGS__;                                                                                           \
		output_free(out);                                                                                      \
		fclose(stream_);                                                                                       \
	} while (0)

static json_t *nasty(void)
{
	return json_pack("[{s:s, s:i, s:i, s:b, s:{s:s}}, {s:s, s:n, s:s}]", "name", "a,\"b\"\nc\033[31m\xE2\x80\xAE",
			 "bytes", 20000000, "made", 1700000000, "on", 1, "in", "site", "Köln", "name", "", "bytes",
			 "made", "2026-01-01T00:00:00Z");
}

static void test_table(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON rows = nasty();

	WRITTEN(text, OUTPUT_TABLE, NULL, false, ASSERT_OK(output_array(out, columns, rows, &err), &err));
	CU_ASSERT_STRING_EQUAL(text, "Name                      Bytes  Made                  On\n"
				     "a,\"b\"\\nc\\x1b[31m\\u202e  20.0 MB  2023-11-14T22:13:20Z  yes\n"
				     "-                             -  2026-01-01T00:00:00Z  -\n");
	free(text);
}

static void test_table_alignment(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON rows = json_pack("[{s:s, s:i}, {s:s, s:i}]", "name", "Käse", "n", 7, "name", "日本", "n", 12345);
	const struct output_column *two =
		OUTPUT_COLUMNS({.key = "n", .heading = "N", .kind = OUTPUT_INT}, {.key = "name", .heading = "Name"},
			       {.key = "n", .heading = "Again", .kind = OUTPUT_INT});

	WRITTEN(text, OUTPUT_TABLE, NULL, false, ASSERT_OK(output_array(out, two, rows, &err), &err));
	CU_ASSERT_STRING_EQUAL(text, "    N  Name  Again\n"
				     "    7  Käse      7\n"
				     "12345  日本  12345\n");
	free(text);
	WRITTEN(bold, OUTPUT_TABLE, NULL, true, ASSERT_OK(output_array(out, two, rows, &err), &err));
	CU_ASSERT(strncmp(bold, "\033[1m    N  Name  Again\033[0m\n", 27) == 0);
	free(bold);
}

static void test_wide_and_empty(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON rows = nasty();
	IOT_JSON none = json_array();

	WRITTEN(wide, OUTPUT_WIDE, NULL, false, ASSERT_OK(output_array(out, columns, rows, &err), &err));
	ASSERT_CONTAINS(wide, "Köln");
	free(wide);
	WRITTEN(table, OUTPUT_TABLE, NULL, false, ASSERT_OK(output_array(out, columns, none, &err), &err));
	CU_ASSERT_STRING_EQUAL(table, "Name  Bytes  Made  On\n");
	free(table);
	WRITTEN(json, OUTPUT_JSON, NULL, false, ASSERT_OK(output_array(out, columns, none, &err), &err));
	CU_ASSERT_STRING_EQUAL(json, "[]\n");
	free(json);
	WRITTEN(csv, OUTPUT_CSV, NULL, false, ASSERT_OK(output_array(out, columns, none, &err), &err));
	CU_ASSERT_STRING_EQUAL(csv, "name,bytes,made,on,in.site\r\n");
	free(csv);
	WRITTEN(unknown, OUTPUT_TABLE, NULL, false, ASSERT_OK(output_array(out, NULL, none, &err), &err));
	free(unknown);
}

static void test_json(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON rows = nasty();
	IOT_JSON back = NULL;

	WRITTEN(text, OUTPUT_JSON, NULL, false, ASSERT_OK(output_array(out, columns, rows, &err), &err));
	back = json_loads(text, 0, NULL);
	CU_ASSERT_EQUAL(json_array_size(back), 2);
	CU_ASSERT_STRING_EQUAL(iot_json_str(json_array_get(back, 0), "made", ""), "2023-11-14T22:13:20Z");
	CU_ASSERT_EQUAL(iot_json_int(json_array_get(back, 0), "bytes", 0), 20000000);
	CU_ASSERT_STRING_EQUAL(iot_json_str(json_array_get(back, 0), "name", ""),
			       iot_json_str(json_array_get(rows, 0), "name", "?"));
	/* The caller's record is untouched. */
	CU_ASSERT_EQUAL(iot_json_int(json_array_get(rows, 0), "made", 0), 1700000000);
	CU_ASSERT_EQUAL(text[strlen(text) - 1], '\n');
	free(text);
}

static void test_jsonl_streams(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON row = json_pack("{s:s}", "name", "x\ny");
	char *text = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&text, &size);
	struct output *out = NULL;

	ASSERT_OK(output_new(stream, OUTPUT_JSONL, NULL, false, &out, &err), &err);
	ASSERT_OK(output_begin_list(out, columns, &err), &err);
	ASSERT_OK(output_row(out, row, &err), &err);
	CU_ASSERT_STRING_EQUAL(text, "{\"name\":\"x\\ny\"}\n"); /* there already, before the end */
	ASSERT_OK(output_end(out, &err), &err);
	output_free(out);
	fclose(stream);
	free(text);
}

static void test_table_streams(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON row = json_pack("{s:s}", "name", "x");
	const struct output_column *one =
		OUTPUT_COLUMNS({.key = "name", .heading = "Name", .width = 8}, {.key = "b", .heading = "B"});
	char *text = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&text, &size);
	struct output *out = NULL;

	ASSERT_OK(output_new(stream, OUTPUT_TABLE, NULL, false, &out, &err), &err);
	ASSERT_OK(output_begin_stream(out, one, &err), &err);
	ASSERT_OK(output_row(out, row, &err), &err);
	CU_ASSERT_STRING_EQUAL(text, "Name      B\nx         -\n");
	ASSERT_OK(output_end(out, &err), &err);
	output_free(out);
	fclose(stream);
	free(text);
}

/* A terminal that is too narrow: texts are cut, then columns left out; what is no text stays whole. Pipes get all. */
static void test_table_fits(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON rows = json_pack("[{s:s, s:s, s:i, s:s}, {s:s, s:s, s:i, s:s}]", "id", "pump-0000000000001", "sha",
				  "0123456789abcdef0123456789abcdef", "n", 1234567, "note",
				  "K\xC3\xB6ln am Rhein, hinten", "id", "x", "sha", "short", "n", 1, "note", "-");
	const struct output_column *four =
		OUTPUT_COLUMNS({.key = "id", .heading = "Id"}, {.key = "sha", .heading = "SHA-256"},
			       {.key = "n", .heading = "N", .kind = OUTPUT_INT}, {.key = "note", .heading = "Note"});

	WRITTEN(all, OUTPUT_TABLE, NULL, false, output_fit(out, 86);
		ASSERT_OK(output_array(out, four, rows, &err), &err));
	ASSERT_CONTAINS(all, "0123456789abcdef0123456789abcdef  1234567  K\xC3\xB6ln am Rhein, hinten\n");
	free(all);
	WRITTEN(cut, OUTPUT_TABLE, NULL, false, output_fit(out, 60);
		ASSERT_OK(output_array(out, four, rows, &err), &err));
	CU_ASSERT_STRING_EQUAL(cut, "Id                  SHA-256               N  Note\n"
				    "pump-0000000000001  0123456789a...  1234567  K\xC3\xB6ln am Rhei...\n"
				    "x                   short                 1  -\n");
	free(cut);
	WRITTEN(left, OUTPUT_TABLE, NULL, false, output_fit(out, 40);
		ASSERT_OK(output_array(out, four, rows, &err), &err));
	CU_ASSERT_STRING_EQUAL(left, "Id                  SHA-256           N\n"
				     "pump-0000000000001  0123456...  1234567\n"
				     "x                   short             1\n");
	free(left);
	WRITTEN(wide, OUTPUT_WIDE, NULL, false, output_fit(out, 40);
		ASSERT_OK(output_array(out, four, rows, &err), &err));
	ASSERT_CONTAINS(wide, "0123456789abcdef0123456789abcdef");
	free(wide);
}

static void test_many_rows(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	size_t lines = 0;

	WRITTEN(text, OUTPUT_TABLE, NULL, false, {
		ASSERT_OK(output_begin_list(out, columns, &err), &err);
		for (int i = 0; i < 1000; i++) {
			IOT_JSON row = json_pack("{s:i}", "name", i);

			ASSERT_OK(output_row(out, row, &err), &err);
		}
		ASSERT_OK(output_end(out, &err), &err);
	});
	for (const char *c = text; *c != '\0'; c++)
		lines += *c == '\n';
	CU_ASSERT_EQUAL(lines, 1001);
	ASSERT_CONTAINS(text, "\n999 ");
	free(text);
}

static void test_csv(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON rows = nasty();

	WRITTEN(text, OUTPUT_CSV, NULL, false, ASSERT_OK(output_array(out, columns, rows, &err), &err));
	CU_ASSERT_STRING_EQUAL(text,
			       "name,bytes,made,on,in.site\r\n"
			       "\"a,\"\"b\"\"\nc\033[31m\xE2\x80\xAE\",20000000,2023-11-14T22:13:20Z,true,Köln\r\n"
			       ",,2026-01-01T00:00:00Z,,\r\n");
	free(text);
}

static void test_object(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON record =
		json_pack("{s:s, s:[s,s], s:{s:i}, s:b}", "name", "x", "tags", "a", "b", "in", "n", 1, "on", 0);

	WRITTEN(table, OUTPUT_TABLE, NULL, false, ASSERT_OK(output_object(out, NULL, record, &err), &err));
	CU_ASSERT_STRING_EQUAL(table, "name  x\ntags  a, b\nin    {\"n\":1}\non    no\n");
	free(table);
	WRITTEN(json, OUTPUT_JSON, NULL, false, ASSERT_OK(output_object(out, NULL, record, &err), &err));
	ASSERT_CONTAINS(json, "{\n  \"name\": \"x\",\n");
	free(json);
	WRITTEN(csv, OUTPUT_CSV, NULL, false, ASSERT_OK(output_object(out, NULL, record, &err), &err));
	CU_ASSERT_STRING_EQUAL(csv, "name,tags,in,on\r\nx,\"a, b\",\"{\"\"n\"\":1}\",false\r\n");
	free(csv);
}

static void test_member_paths(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON record = json_pack("{s:s, s:{s:s}, s:[s,s]}", "a.b", "dotted", "a", "c", "nested", "l", "zero", "one");
	const struct output_column *paths = OUTPUT_COLUMNS(
		{.key = "a.b", .heading = "A"}, {.key = "a.c", .heading = "B"}, {.key = "l.1", .heading = "C"},
		{.key = "l.9", .heading = "D"}, {.key = "x.y.z", .heading = "E"});

	WRITTEN(csv, OUTPUT_CSV, NULL, false, ASSERT_OK(output_object(out, paths, record, &err), &err));
	CU_ASSERT_STRING_EQUAL(csv, "a.b,a.c,l.1,l.9,x.y.z\r\ndotted,nested,one,,\r\n");
	free(csv);
}

static void test_abandoned_list(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON row = json_pack("{s:s}", "name", "x");
	IOT_JSON back = NULL;

	/* Nothing was written: nothing appears. */
	WRITTEN(none, OUTPUT_JSON, NULL, false, ASSERT_OK(output_begin_list(out, columns, &err), &err));
	CU_ASSERT_STRING_EQUAL(none, "");
	free(none);
	/* Something was: it stays one document. */
	WRITTEN(some, OUTPUT_JSON, NULL, false, {
		ASSERT_OK(output_begin_list(out, columns, &err), &err);
		ASSERT_OK(output_row(out, row, &err), &err);
	});
	back = json_loads(some, 0, NULL);
	CU_ASSERT_EQUAL(json_array_size(back), 1);
	free(some);
}

static void test_query(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON rows = nasty();

	WRITTEN(names, OUTPUT_TABLE, "length, .[1].made, map(.bytes)", false,
		ASSERT_OK(output_array(out, columns, rows, &err), &err));
	CU_ASSERT_STRING_EQUAL(names, "2\n2026-01-01T00:00:00Z\n[20000000,null]\n");
	free(names);
	WRITTEN(json, OUTPUT_JSON, ".[0].made", false, ASSERT_OK(output_array(out, columns, rows, &err), &err));
	CU_ASSERT_STRING_EQUAL(json, "\"2023-11-14T22:13:20Z\"\n");
	free(json);
	WRITTEN(jsonl, OUTPUT_JSONL, "select(.on) | {b: .bytes, a: 1.5}", false,
		ASSERT_OK(output_array(out, columns, rows, &err), &err));
	ASSERT_CONTAINS(jsonl, "\"b\":20000000");
	ASSERT_CONTAINS(jsonl, "\"a\":1.5");
	free(jsonl);
	WRITTEN(csv, OUTPUT_CSV, ".[] | [.name, .bytes]", false,
		ASSERT_OK(output_array(out, columns, rows, &err), &err));
	CU_ASSERT_STRING_EQUAL(csv, "\"a,\"\"b\"\"\nc\033[31m\xE2\x80\xAE\",20000000\r\n,\r\n");
	free(csv);
	WRITTEN(none, OUTPUT_TABLE, "empty", false, ASSERT_OK(output_array(out, columns, rows, &err), &err));
	CU_ASSERT_STRING_EQUAL(none, "");
	free(none);
}

static void test_query_faults(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct output *none = NULL;
	IOT_JSON record = json_pack("{s:s}", "name", "x");

	ASSERT_STATUS(output_new(stdout, OUTPUT_JSON, ".[", false, &none, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "bad query '.['");
	ASSERT_CONTAINS(err.what, "syntax error");
	ASSERT_STATUS(output_new(stdout, OUTPUT_JSON, "nosuch(1)", false, &none, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "nosuch/1 is not defined");
	CU_ASSERT_PTR_NULL(none);
	WRITTEN(text, OUTPUT_JSON, ".name.x", false,
		ASSERT_STATUS(output_object(out, NULL, record, &err), IOT_USAGE, &err));
	ASSERT_CONTAINS(err.what, "query failed: Cannot index string");
	CU_ASSERT_STRING_EQUAL(text, "");
	free(text);
	WRITTEN(csv, OUTPUT_CSV, ".", false, ASSERT_STATUS(output_object(out, NULL, record, &err), IOT_USAGE, &err));
	ASSERT_CONTAINS(err.hint, ".[] | [.a, .b]");
	free(csv);
	WRITTEN(deep, OUTPUT_JSON, "reduce range(1000) as $i (0; [.])", false,
		ASSERT_STATUS(output_object(out, NULL, record, &err), IOT_USAGE, &err));
	ASSERT_CONTAINS(err.what, "levels");
	free(deep);
	WRITTEN(halted, OUTPUT_JSON, "halt", false, ASSERT_OK(output_object(out, NULL, record, &err), &err));
	free(halted);
}

static void test_write_fault(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	FILE *full = fopen("/dev/full", "w");
	IOT_JSON rows = nasty();
	struct output *out = NULL;

	ASSERT_OK(output_new(full, OUTPUT_JSONL, NULL, false, &out, &err), &err);
	ASSERT_STATUS(output_array(out, columns, rows, &err), IOT_FAILURE, &err);
	ASSERT_CONTAINS(err.what, "no space left on device");
	ASSERT_STATUS(output_raw(out, "x", 1, &err), IOT_FAILURE, &err); /* it is remembered */
	ASSERT_STATUS(output_flush(out, &err), IOT_FAILURE, &err);
	output_free(out);
	fclose(full);
}

UNIT_MAIN("cli/output", NULL, NULL, {"table", test_table}, {"table_alignment", test_table_alignment},
	  {"wide_and_empty", test_wide_and_empty}, {"json", test_json}, {"jsonl_streams", test_jsonl_streams},
	  {"table_streams", test_table_streams}, {"table_fits", test_table_fits}, {"many_rows", test_many_rows},
	  {"csv", test_csv}, {"object", test_object}, {"member_paths", test_member_paths},
	  {"abandoned_list", test_abandoned_list}, {"query", test_query}, {"query_faults", test_query_faults},
	  {"write_fault", test_write_fault})
