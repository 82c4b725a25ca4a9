/* Shadow documents: what each request makes of each document, what remains to be done, and what is refused. */
#include "cloud/local/shadow_doc.h"

#include "iotctl/base.h"
#include "iotctl/cloud.h"
#include "unit.h"

#define THEN 1000
#define NOW 2000

/* JSON with ' for ". */
static json_t *json(const char *text)
{
	char *copy = strdup(text);
	json_t *value;

	for (char *c = copy; *c != '\0'; c++)
		*c = *c == '\'' ? '"' : *c;
	value = json_loads(copy, JSON_DECODE_ANY, NULL);
	if (value == NULL)
		fprintf(stderr, "\nbad test text: %s\n", copy);
	free(copy);
	return value;
}

static enum iot_status ask(const char *text, struct shadow_request *ret, struct iot_error *err)
{
	IOT_JSON value = json(text);
	IOT_CLEAN(iot_free_p) char *bytes = iot_json_text(value);

	return shadow_request_update(bytes, strlen(bytes), ret, err);
}

/* A document with this state, made at THEN; NULL: there is none. */
static void make(const char *state, int64_t version, struct shadow_doc *ret)
{
	IOT_CLEAN(shadow_request_release) struct shadow_request request = {0};
	IOT_CLEAN(shadow_doc_release) struct shadow_doc none = {0};
	IOT_CLEAN(iot_free_p) char *text = iot_strf("{'state': %s}", state != NULL ? state : "");
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(shadow_doc_load(NULL, state != NULL ? version - 1 : 0, &none, &err), &err);
	if (state == NULL) {
		*ret = none;
		none = (struct shadow_doc){0};
		return;
	}
	ASSERT_OK(ask(text, &request, &err), &err);
	ASSERT_OK(shadow_doc_update(&none, &request, THEN, ret, &err), &err);
	CU_ASSERT_EQUAL(ret->version, version);
}

static bool equals(const char *label, const json_t *got, const char *expected)
{
	IOT_JSON want = expected != NULL ? json(expected) : NULL;
	IOT_CLEAN(iot_free_p) char *text = iot_json_text(got);
	bool equal = want != NULL && got != NULL ? json_equal(want, got) != 0 : want == got;

	if (!equal)
		fprintf(stderr, "\n%s: %s is not %s\n", label, text, expected != NULL ? expected : "nothing");
	return equal;
}

/* --- what an update does ---------------------------------------------------------------------- */

static const struct {
	const char *label, *before, *request, *after, *delta;
} updates[] = {
	{"first", NULL, "{'desired': {'a': 1}}", "{'desired': {'a': 1}}", "{'a': 1}"},
	{"empty first", NULL, "{}", "{}", NULL},
	{"reported alone", NULL, "{'reported': {'a': 1}}", "{'reported': {'a': 1}}", NULL},
	{"merge", "{'desired': {'a': 1}}", "{'desired': {'b': 2}}", "{'desired': {'a': 1, 'b': 2}}",
	 "{'a': 1, 'b': 2}"},
	{"replace", "{'desired': {'a': 1}}", "{'desired': {'a': 'x'}}", "{'desired': {'a': 'x'}}", "{'a': 'x'}"},
	{"both", "{}", "{'desired': {'a': 1}, 'reported': {'a': 2, 'c': 3}}",
	 "{'desired': {'a': 1}, 'reported': {'a': 2, 'c': 3}}", "{'a': 1}"},
	{"done", "{'desired': {'a': 1}}", "{'reported': {'a': 1}}", "{'desired': {'a': 1}, 'reported': {'a': 1}}",
	 NULL},
	{"done as a real", "{'desired': {'a': 1, 'l': [1, 2]}}", "{'reported': {'a': 1.0, 'l': [1.0, 2]}}",
	 "{'desired': {'a': 1, 'l': [1, 2]}, 'reported': {'a': 1.0, 'l': [1.0, 2]}}", NULL},
	{"almost", "{'desired': {'a': 1}}", "{'reported': {'a': 1.5}}", "{'desired': {'a': 1}, 'reported': {'a': 1.5}}",
	 "{'a': 1}"},
	{"another type", "{'desired': {'a': 1}}", "{'reported': {'a': '1'}}",
	 "{'desired': {'a': 1}, 'reported': {'a': '1'}}", "{'a': 1}"},
	{"true is not 1", "{'desired': {'a': true}}", "{'reported': {'a': 1}}",
	 "{'desired': {'a': true}, 'reported': {'a': 1}}", "{'a': true}"},
	{"nested delta", "{'desired': {'o': {'a': 1, 'b': {'c': 2, 'd': 3}}, 'e': 4}}",
	 "{'reported': {'o': {'a': 1, 'b': {'c': 2, 'd': 9}, 'more': 1}, 'e': 4}}",
	 "{'desired': {'o': {'a': 1, 'b': {'c': 2, 'd': 3}}, 'e': 4},"
	 " 'reported': {'o': {'a': 1, 'b': {'c': 2, 'd': 9}, 'more': 1}, 'e': 4}}",
	 "{'o': {'b': {'d': 3}}}"},
	{"list as a whole", "{'desired': {'l': [1, 2, 3]}, 'reported': {'l': [1, 2, 3]}}", "{'desired': {'l': [1]}}",
	 "{'desired': {'l': [1]}, 'reported': {'l': [1, 2, 3]}}", "{'l': [1]}"},
	{"objects in lists", "{'desired': {'l': [{'a': 1}]}}", "{'reported': {'l': [{'a': 1, 'b': 2}]}}",
	 "{'desired': {'l': [{'a': 1}]}, 'reported': {'l': [{'a': 1, 'b': 2}]}}", "{'l': [{'a': 1}]}"},
	{"null removes", "{'desired': {'a': 1, 'b': 2}, 'reported': {'a': 1}}", "{'desired': {'b': null}}",
	 "{'desired': {'a': 1}, 'reported': {'a': 1}}", NULL},
	{"null of nothing", "{'desired': {'a': 1}}", "{'desired': {'x': null, 'y': {'z': null}}}",
	 "{'desired': {'a': 1}}", "{'a': 1}"},
	{"null deep", "{'desired': {'o': {'a': 1, 'b': 2}}}", "{'desired': {'o': {'a': null}}}",
	 "{'desired': {'o': {'b': 2}}}", "{'o': {'b': 2}}"},
	{"last of an object", "{'desired': {'o': {'a': 1}}}", "{'desired': {'o': {'a': null}}}",
	 "{'desired': {'o': {}}}", "{'o': {}}"},
	{"null for an object", "{'desired': {'o': {'a': 1}, 'b': 1}}", "{'desired': {'o': null}}",
	 "{'desired': {'b': 1}}", "{'b': 1}"},
	{"last of a section", "{'desired': {'a': 1}, 'reported': {'a': 2}}", "{'desired': {'a': null}}",
	 "{'reported': {'a': 2}}", NULL},
	{"section removed", "{'desired': {'a': 1}, 'reported': {'a': 2}}", "{'desired': null}",
	 "{'reported': {'a': 2}}", NULL},
	{"both removed", "{'desired': {'a': 1}, 'reported': {'a': 2}}", "{'desired': null, 'reported': null}", "{}",
	 NULL},
	{"reported removed", "{'desired': {'a': 1}, 'reported': {'a': 1}}", "{'reported': null}",
	 "{'desired': {'a': 1}}", "{'a': 1}"},
	{"empty section", "{'desired': {'a': 1}}", "{'desired': {}}", "{'desired': {'a': 1}}", "{'a': 1}"},
	{"empty object", "{'desired': {'a': 1}}", "{'desired': {'o': {}}}", "{'desired': {'a': 1, 'o': {}}}",
	 "{'a': 1, 'o': {}}"},
	{"object over value", "{'desired': {'a': 1}}", "{'desired': {'a': {'b': 1}}}", "{'desired': {'a': {'b': 1}}}",
	 "{'a': {'b': 1}}"},
	{"value over object", "{'desired': {'a': {'b': 1}}}", "{'desired': {'a': [1]}}", "{'desired': {'a': [1]}}",
	 "{'a': [1]}"},
	{"nulls over value", "{'desired': {'a': 1, 'b': 1}}", "{'desired': {'a': {'x': null}}}",
	 "{'desired': {'b': 1}}", "{'b': 1}"},
	{"eight levels", NULL, "{'desired': {'1': {'2': {'3': {'4': {'5': {'6': {'7': {'8': 0}}}}}}}}}",
	 "{'desired': {'1': {'2': {'3': {'4': {'5': {'6': {'7': {'8': 0}}}}}}}}}",
	 "{'1': {'2': {'3': {'4': {'5': {'6': {'7': {'8': 0}}}}}}}}"},
	{"other words", NULL, "{'desired': {'ünïcode \\n': 'ß', '': 0}}", "{'desired': {'ünïcode \\n': 'ß', '': 0}}",
	 "{'ünïcode \\n': 'ß', '': 0}"},
};

static void test_updates(void)
{
	for (size_t i = 0; i < IOT_LENGTH(updates); i++) {
		IOT_CLEAN(shadow_doc_release) struct shadow_doc before = {0};
		IOT_CLEAN(shadow_doc_release) struct shadow_doc after = {0};
		IOT_CLEAN(shadow_doc_release) struct shadow_doc kept = {0};
		IOT_CLEAN(shadow_request_release) struct shadow_request request = {0};
		IOT_CLEAN(iot_free_p) char *text = iot_strf("{'state': %s}", updates[i].request);
		IOT_CLEAN(iot_free_p) char *stored = NULL;
		IOT_CLEAN(iot_free_p) char *before_text = NULL;
		IOT_CLEAN(iot_free_p) char *before_again = NULL;
		IOT_JSON delta = NULL;
		struct iot_error err = IOT_ERROR_INIT;

		make(updates[i].before, 7, &before);
		before_text = shadow_doc_text(&before);
		ASSERT_OK(ask(text, &request, &err), &err);
		ASSERT_OK(shadow_doc_update(&before, &request, NOW, &after, &err), &err);
		CU_ASSERT_TRUE(equals(updates[i].label, after.state, updates[i].after));
		CU_ASSERT_EQUAL(after.version, before.version + 1);
		delta = shadow_delta(&after, &request, NOW);
		CU_ASSERT_TRUE(equals(updates[i].label, json_object_get(delta, "state"), updates[i].delta));
		/* The document before is as it was, and what is stored is what was meant. */
		before_again = shadow_doc_text(&before);
		CU_ASSERT_STRING_EQUAL(before_text, before_again);
		stored = shadow_doc_text(&after);
		ASSERT_OK(shadow_doc_load(stored, after.version, &kept, &err), &err);
		CU_ASSERT_TRUE(json_equal(kept.state, after.state));
		CU_ASSERT_TRUE(json_equal(kept.metadata, after.metadata));
	}
}

/* --- times ---------------------------------------------------------------------------------------- */

#define T1 "{'timestamp': 1000}"
#define T2 "{'timestamp': 2000}"

static const struct {
	const char *label, *before, *request, *metadata, *delta;
} times[] = {
	{"named ones get the time", "{'desired': {'a': 1, 'b': 1}}", "{'desired': {'a': 2}}",
	 "{'desired': {'a': " T2 ", 'b': " T1 "}}", "{'a': " T2 ", 'b': " T1 "}"},
	{"also when they stay", "{'desired': {'a': 1}}", "{'desired': {'a': 1}}", "{'desired': {'a': " T2 "}}",
	 "{'a': " T2 "}"},
	{"per value", "{'desired': {'o': {'a': 1, 'b': 1}}}", "{'desired': {'o': {'a': 2}}}",
	 "{'desired': {'o': {'a': " T2 ", 'b': " T1 "}}}", "{'o': {'a': " T2 ", 'b': " T1 "}}"},
	{"of lists per element", "{}", "{'desired': {'l': [1, [2], {'a': 3}, {}]}}",
	 "{'desired': {'l': [" T2 ", [" T2 "], {'a': " T2 "}, {}]}}", "{'l': [" T2 ", [" T2 "], {'a': " T2 "}, {}]}"},
	{"the delta has those of desired", "{'desired': {'a': 1, 'b': 1}}", "{'reported': {'a': 1}}",
	 "{'desired': {'a': " T1 ", 'b': " T1 "}, 'reported': {'a': " T2 "}}", "{'b': " T1 "}"},
	{"what goes has none", "{'desired': {'a': 1, 'o': {'b': 1}}}", "{'desired': {'a': null, 'o': {'b': null}}}",
	 "{'desired': {'o': {}}}", "{'o': {}}"},
	{"nor has a section", "{'desired': {'a': 1}, 'reported': {'a': 1}}", "{'desired': null}",
	 "{'reported': {'a': " T1 "}}", NULL},
	{"a value for an object", "{'desired': {'a': {'b': 1}}}", "{'desired': {'a': 5}}", "{'desired': {'a': " T2 "}}",
	 "{'a': " T2 "}"},
};

static void test_times(void)
{
	for (size_t i = 0; i < IOT_LENGTH(times); i++) {
		IOT_CLEAN(shadow_doc_release) struct shadow_doc before = {0};
		IOT_CLEAN(shadow_doc_release) struct shadow_doc after = {0};
		IOT_CLEAN(shadow_request_release) struct shadow_request request = {0};
		IOT_CLEAN(iot_free_p) char *text = iot_strf("{'state': %s}", times[i].request);
		IOT_JSON delta = NULL;
		struct iot_error err = IOT_ERROR_INIT;

		make(times[i].before, 1, &before);
		ASSERT_OK(ask(text, &request, &err), &err);
		ASSERT_OK(shadow_doc_update(&before, &request, NOW, &after, &err), &err);
		CU_ASSERT_TRUE(equals(times[i].label, after.metadata, times[i].metadata));
		delta = shadow_delta(&after, &request, NOW);
		CU_ASSERT_TRUE(equals(times[i].label, json_object_get(delta, "metadata"), times[i].delta));
	}
}

/* --- messages --------------------------------------------------------------------------------------- */

static void test_messages(void)
{
	IOT_CLEAN(shadow_doc_release) struct shadow_doc before = {0};
	IOT_CLEAN(shadow_doc_release) struct shadow_doc after = {0};
	IOT_CLEAN(shadow_doc_release) struct shadow_doc none = {0};
	IOT_CLEAN(shadow_request_release) struct shadow_request request = {0};
	IOT_CLEAN(shadow_request_release) struct shadow_request plain = {0};
	struct iot_error err = IOT_ERROR_INIT;
	json_t *message;

	make("{'desired': {'a': 1}}", 4, &before);
	ASSERT_OK(ask("{'state': {'desired': {'a': null, 'b': 2}, 'reported': {'c': 3}}, 'version': 4, 'clientToken': "
		      "'t',"
		      " 'metadata': 'skipped'}",
		      &request, &err),
		  &err);
	ASSERT_OK(shadow_doc_update(&before, &request, NOW, &after, &err), &err);
	message = shadow_accepted(&after, &request, NOW);
	CU_ASSERT_TRUE(equals("accepted", message,
			      "{'state': {'desired': {'a': null, 'b': 2}, 'reported': {'c': 3}},"
			      " 'metadata': {'desired': {'b': " T2 "}, 'reported': {'c': " T2 "}},"
			      " 'version': 5, 'timestamp': 2000, 'clientToken': 't'}"));
	json_decref(message);
	message = shadow_delta(&after, &request, NOW);
	CU_ASSERT_TRUE(equals("delta", message,
			      "{'state': {'b': 2}, 'metadata': {'b': " T2
			      "}, 'version': 5, 'timestamp': 2000, 'clientToken': 't'}"));
	json_decref(message);
	message = shadow_documents(&before, &after, &request, NOW);
	CU_ASSERT_TRUE(equals("documents", message,
			      "{'previous': {'state': {'desired': {'a': 1}}, 'metadata': {'desired': {'a': " T1
			      "}}, 'version': 4}, 'current': {'state': {'desired': {'b': 2}, 'reported': {'c': 3}},"
			      " 'metadata': {'desired': {'b': " T2 "}, 'reported': {'c': " T2 "}}, 'version': 5},"
			      " 'timestamp': 2000, 'clientToken': 't'}"));
	json_decref(message);
	ASSERT_OK(shadow_request_other("", 0, &plain, &err), &err);
	message = shadow_whole(&after, &plain, NOW + 1);
	CU_ASSERT_TRUE(equals("whole", message,
			      "{'state': {'desired': {'b': 2}, 'reported': {'c': 3}, 'delta': {'b': 2}},"
			      " 'metadata': {'desired': {'b': " T2 "}, 'reported': {'c': " T2 "}},"
			      " 'version': 5, 'timestamp': 2001}"));
	CU_ASSERT_PTR_NULL(json_object_get(after.state, "delta"));
	json_decref(message);
	message = shadow_deleted(&after, &request, NOW);
	CU_ASSERT_TRUE(equals("deleted", message, "{'version': 5, 'timestamp': 2000, 'clientToken': 't'}"));
	json_decref(message);
	make(NULL, 0, &none);
	message = shadow_documents(&none, &after, &plain, NOW);
	CU_ASSERT_TRUE(equals("first documents", json_object_get(message, "previous"),
			      "{'state': {}, 'metadata': {}, 'version': 0}"));
	json_decref(message);
}

/* --- refusals ----------------------------------------------------------------------------------------- */

static const struct {
	const char *payload; /* ' for " */
	const char *code, *message;
} refusals[] = {
	{"", "InvalidRequestException", "Invalid JSON"},
	{"{", "InvalidRequestException", "Invalid JSON"},
	{"[]", "InvalidRequestException", "Invalid JSON"},
	{"1", "InvalidRequestException", "Invalid JSON"},
	{"{'state': {}} x", "InvalidRequestException", "Invalid JSON"},
	{"{'state': {}, 'state': {}}", "InvalidRequestException", "Invalid JSON"},
	{"{'state': {'desired': {'a': '\\u0000'}}}", "InvalidRequestException", "Invalid JSON"},
	{"{'state': {'desired': {'a': NaN}}}", "InvalidRequestException", "Invalid JSON"},
	{"{'state': {'desired': {'a': '\xff'}}}", "UnsupportedDocumentEncodingException",
	 "Unsupported documented encoding; supported encoding is UTF-8"},
	{"{}", "InvalidRequestException", "Missing required node: state"},
	{"{'desired': {'a': 1}}", "InvalidRequestException", "Missing required node: state"},
	{"{'state': null}", "InvalidRequestException", "State node must be an object"},
	{"{'state': 'x'}", "InvalidRequestException", "State node must be an object"},
	{"{'state': {'desired': 1}}", "InvalidRequestException", "Desired node must be an object"},
	{"{'state': {'desired': []}}", "InvalidRequestException", "Desired node must be an object"},
	{"{'state': {'reported': 'on'}}", "InvalidRequestException", "Reported node must be an object"},
	{"{'state': {'delta': {'a': 1}}}", "InvalidRequestException", "State contains an invalid node"},
	{"{'state': {'desired': {'l': [1, null]}}}", "InvalidRequestException", "State contains an invalid node"},
	{"{'state': {'reported': {'l': [{'a': null}]}}}", "InvalidRequestException", "State contains an invalid node"},
	{"{'state': {}, 'version': '1'}", "InvalidRequestException", "Invalid version"},
	{"{'state': {}, 'version': -1}", "InvalidRequestException", "Invalid version"},
	{"{'state': {}, 'version': 1.5}", "InvalidRequestException", "Invalid version"},
	{"{'state': {}, 'clientToken': 5}", "InvalidRequestException", "Invalid clientToken"},
	{"{'state': {}, 'clientToken': '0123456789012345678901234567890123456789012345678901234567890123x'}",
	 "InvalidRequestException", "Invalid clientToken"},
	{"{'state': {'desired': {'1': {'2': {'3': {'4': {'5': {'6': {'7': {'8': {}}}}}}}}}}}",
	 "InvalidRequestException", "JSON contains too many levels of nesting; maximum is 8"},
	{"{'state': {'reported': {'1': [[[[[[[[0]]]]]]]]}}}", "InvalidRequestException",
	 "JSON contains too many levels of nesting; maximum is 8"},
	{"{'state': {'desired': {'1': [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}}}",
	 "InvalidRequestException", "Invalid JSON"},
};

static void test_refusals(void)
{
	for (size_t i = 0; i < IOT_LENGTH(refusals); i++) {
		IOT_CLEAN(shadow_request_release) struct shadow_request request = {0};
		IOT_CLEAN(iot_free_p) char *payload = strdup(refusals[i].payload);
		struct iot_error err = IOT_ERROR_INIT;
		enum iot_status status;

		for (char *c = payload; *c != '\0'; c++)
			*c = *c == '\'' ? '"' : *c;
		status = shadow_request_update(payload, strlen(payload), &request, &err);
		if (status == IOT_OK || strcmp(err.what, refusals[i].message) != 0)
			fprintf(stderr, "\n%s: %s\n", payload, err.what);
		CU_ASSERT_NOT_EQUAL(status, IOT_OK);
		CU_ASSERT_STRING_EQUAL(err.what, refusals[i].message);
		CU_ASSERT_STRING_EQUAL(err.code, refusals[i].code);
	}
}

static void test_other_requests(void)
{
	struct shadow_request request = {0};
	struct iot_error err = IOT_ERROR_INIT;
	static const char token[] = "{\"clientToken\": \"t\", \"state\": 1}";

	ASSERT_OK(shadow_request_other("{}", 2, &request, &err), &err);
	CU_ASSERT_PTR_NULL(request.token);
	shadow_request_release(&request);
	ASSERT_OK(shadow_request_other(token, strlen(token), &request, &err), &err);
	CU_ASSERT_STRING_EQUAL(json_string_value(request.token), "t");
	shadow_request_release(&request);
	ASSERT_STATUS(shadow_request_other("x", 1, &request, &err), IOT_USAGE, &err);
	CU_ASSERT_STRING_EQUAL(err.what, "Invalid JSON");
	ASSERT_STATUS(shadow_request_other("{\"a\": \"\0\"}", 10, &request, &err), IOT_USAGE, &err);
	CU_ASSERT_STRING_EQUAL(err.what, "Invalid JSON");
}

static void test_versions(void)
{
	static const struct {
		bool exists;
		int64_t version, asked;
		bool accepted;
	} rows[] = {
		{true, 3, 3, true},  {true, 3, 2, false},  {true, 3, 4, false}, {true, 3, 0, false},
		{false, 0, 0, true}, {false, 0, 1, false}, {false, 9, 0, true}, {false, 9, 9, false},
	};

	for (size_t i = 0; i < IOT_LENGTH(rows); i++) {
		IOT_CLEAN(shadow_doc_release) struct shadow_doc before = {0};
		IOT_CLEAN(shadow_doc_release) struct shadow_doc after = {0};
		IOT_CLEAN(shadow_request_release) struct shadow_request request = {0};
		IOT_CLEAN(iot_free_p)
		char *text = iot_strf("{'state': {'desired': {'a': 1}}, 'version': %d}", (int)rows[i].asked);
		struct iot_error err = IOT_ERROR_INIT;

		if (rows[i].exists)
			make("{}", rows[i].version, &before);
		else
			ASSERT_OK(shadow_doc_load(NULL, rows[i].version, &before, &err), &err);
		ASSERT_OK(ask(text, &request, &err), &err);
		ASSERT_STATUS(shadow_doc_update(&before, &request, NOW, &after, &err),
			      rows[i].accepted ? IOT_OK : IOT_CONFLICT, &err);
		if (rows[i].accepted) {
			CU_ASSERT_EQUAL(after.version, rows[i].version + 1);
		} else {
			CU_ASSERT_STRING_EQUAL(err.code, "ConflictException");
			CU_ASSERT_STRING_EQUAL(err.what, "Version conflict");
		}
	}
}

/* {"desired":{"a":"xx..."}} whose section is `size` bytes. */
static enum iot_status grow(const struct shadow_doc *before, const char *section, size_t size, struct shadow_doc *ret,
			    struct iot_error *err)
{
	IOT_CLEAN(shadow_request_release) struct shadow_request request = {0};
	IOT_CLEAN(iot_free_p) char *fill = iot_alloc(size);
	IOT_CLEAN(iot_free_p) char *text = NULL;

	memset(fill, 'x', size - strlen("{'a':''}"));
	text = iot_strf("{'state': {'%s': {   'a': '%s'}}}", section, fill);
	ASSERT_OK(ask(text, &request, err), err);
	return shadow_doc_update(before, &request, NOW, ret, err);
}

static void test_size(void)
{
	IOT_CLEAN(shadow_doc_release) struct shadow_doc none = {0};
	IOT_CLEAN(shadow_doc_release) struct shadow_doc full = {0};
	IOT_CLEAN(shadow_doc_release) struct shadow_doc more = {0};
	IOT_CLEAN(shadow_doc_release) struct shadow_doc less = {0};
	struct shadow_request request = {0};
	IOT_CLEAN(iot_free_p) char *huge = iot_alloc(IOT_SHADOW_MESSAGE_MAX + 1);
	struct iot_error err = IOT_ERROR_INIT;

	make(NULL, 0, &none);
	ASSERT_OK(grow(&none, "desired", 8192, &full, &err), &err);
	ASSERT_STATUS(grow(&none, "desired", 8193, &more, &err), IOT_USAGE, &err);
	CU_ASSERT_STRING_EQUAL(err.code, "RequestEntityTooLargeException");
	CU_ASSERT_STRING_EQUAL(err.what, "The payload exceeds the maximum size allowed");
	/* Both sections count, and a full one can be made smaller. */
	ASSERT_STATUS(grow(&full, "reported", 10, &more, &err), IOT_USAGE, &err);
	ASSERT_OK(grow(&full, "desired", 100, &less, &err), &err);
	memset(huge, ' ', IOT_SHADOW_MESSAGE_MAX + 1);
	ASSERT_STATUS(shadow_request_update(huge, IOT_SHADOW_MESSAGE_MAX + 1, &request, &err), IOT_USAGE, &err);
	CU_ASSERT_STRING_EQUAL(err.code, "RequestEntityTooLargeException");
}

static void test_numbers(void)
{
	static const char *const same[] = {"0.1",
					   "-0.001",
					   "3.0",
					   "0.3333333333333333",
					   "2.2250738585072014e-308",
					   "9007199254740993",
					   "-1",
					   "0.30000000000000004"};

	for (size_t i = 0; i < IOT_LENGTH(same); i++) {
		struct iot_buf text = IOT_BUF_INIT(100);
		IOT_JSON value = json(same[i]);
		IOT_JSON again = NULL;

		shadow_text(value, &text);
		again = json(iot_buf_str(&text));
		CU_ASSERT_TRUE(json_equal(value, again));
		CU_ASSERT_STRING_EQUAL(iot_buf_str(&text), same[i]);
		iot_buf_release(&text);
	}
}

static void test_damaged(void)
{
	struct shadow_doc doc = {0};
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_STATUS(shadow_doc_load("{", 1, &doc, &err), IOT_FAILURE, &err);
	ASSERT_STATUS(shadow_doc_load("{\"state\": {}}", 1, &doc, &err), IOT_FAILURE, &err);
}

UNIT_MAIN("cloud/shadow_doc", NULL, NULL, {"updates", test_updates}, {"times", test_times}, {"messages", test_messages},
	  {"refusals", test_refusals}, {"other-requests", test_other_requests}, {"versions", test_versions},
	  {"size", test_size}, {"numbers", test_numbers}, {"damaged", test_damaged})
