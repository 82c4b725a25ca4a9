/* jq filters over records. The only place that knows libjq. */
#include "cli/output_private.h"
#include "iotctl/base.h"
#include "iotctl/json.h"
#include "iotctl/text.h"

#include <jq.h>
#include <math.h>
#include <string.h>

#define MAX_DEPTH 256                /* of a result; jansson writes no more than 2048 levels */
#define MAX_EXACT 9007199254740992.0 /* 2^53: jq's numbers are doubles */

struct query {
	jq_state *jq;
	char message[256]; /* of the first fault jq reported */
	bool too_deep;
};

/* jq says "jq: error: syntax error, ... (Unix shell quoting issues?) at <top-level>, line 1:\n.[\njq: 1 compile error".
 */
static void note_fault(void *data, jv message)
{
	struct query *query = data;
	const char *text = jv_get_kind(message) == JV_KIND_STRING ? jv_string_value(message) : "unknown fault";
	static const char *const ends[] = {" (Unix shell quoting issues?)", " at <top-level>", "\n"};
	size_t length;

	if (iot_starts_with(text, "jq: error: "))
		text += strlen("jq: error: ");
	length = strlen(text);
	for (size_t i = 0; i < IOT_LENGTH(ends); i++) {
		const char *end = strstr(text, ends[i]);

		if (end != NULL && (size_t)(end - text) < length)
			length = (size_t)(end - text);
	}
	if (query->message[0] == '\0' && length > 0) {
		if (length >= sizeof(query->message))
			length = sizeof(query->message) - 1;
		memcpy(query->message, text, length);
		query->message[length] = '\0';
	}
	jv_free(message);
}

enum iot_status query_new(const char *expression, struct query **ret, struct iot_error *err)
{
	struct query *query = iot_alloc(sizeof(*query));

	query->jq = jq_init();
	if (query->jq == NULL) {
		free(query);
		return iot_fail(err, IOT_FAILURE, "no memory for the query");
	}
	jq_set_error_cb(query->jq, note_fault, query);
	if (!jq_compile(query->jq, expression)) {
		iot_fail(err, IOT_USAGE, "bad query '%s': %s", expression, query->message);
		iot_error_hint(err, "--query takes a jq filter, such as '.[].thingName'");
		query_free(query);
		return IOT_USAGE;
	}
	*ret = query;
	return IOT_OK;
}

void query_free(struct query *query)
{
	if (query == NULL)
		return;
	jq_teardown(&query->jq);
	free(query);
}

/* ---- jansson to jq and back; depth is bounded by how records are made and parsed ---- */

static jv to_jv(const json_t *value)
{
	jv result;
	const char *key;
	json_t *member;

	switch (json_typeof(value)) {
	case JSON_OBJECT:
		result = jv_object();
		json_object_foreach(output_counted(value), key, member)
			result = jv_object_set(result, jv_string(key), to_jv(member));
		return result;
	case JSON_ARRAY:
		result = jv_array();
		for (size_t i = 0; i < json_array_size(value); i++)
			result = jv_array_append(result, to_jv(json_array_get(value, i)));
		return result;
	case JSON_STRING:
		return jv_string_sized(json_string_value(value), (int)json_string_length(value));
	case JSON_INTEGER:
	case JSON_REAL:
		return jv_number(json_number_value(value));
	case JSON_TRUE:
		return jv_true();
	case JSON_FALSE:
		return jv_false();
	default:
		return jv_null();
	}
}

static json_t *from_number(double number)
{
	if (isnan(number))
		return json_null();
	if (isinf(number))
		return json_real(number > 0 ? 1.7976931348623157e308 : -1.7976931348623157e308); /* as jq prints it */
	if (fabs(number) <= MAX_EXACT && number == trunc(number))
		return json_integer((json_int_t)number);
	return json_real(number);
}

/* Consumes `value`. */
static json_t *from_jv(struct query *query, jv value, int depth)
{
	json_t *result;

	if (depth > MAX_DEPTH) {
		query->too_deep = true;
		jv_free(value);
		return json_null();
	}
	switch (jv_get_kind(value)) {
	case JV_KIND_OBJECT:
		result = json_object();
		/* Members in jq's own order, which is by name. */
		jv_object_foreach(value, key, member)
		{
			json_object_set_new(result, jv_string_value(key), from_jv(query, member, depth + 1));
			jv_free(key);
		}
		break;
	case JV_KIND_ARRAY:
		result = json_array();
		jv_array_foreach(value, i, item) json_array_append_new(result, from_jv(query, item, depth + 1));
		break;
	case JV_KIND_STRING:
		result = json_stringn(jv_string_value(value), (size_t)jv_string_length_bytes(jv_copy(value)));
		break;
	case JV_KIND_NUMBER:
		result = from_number(jv_number_value(value));
		break;
	case JV_KIND_TRUE:
		result = json_true();
		break;
	case JV_KIND_FALSE:
		result = json_false();
		break;
	default:
		result = json_null();
	}
	jv_free(value);
	return result;
}

/* What ended the run: nothing more, `halt`, or a fault. Consumes `last`. */
static enum iot_status finish(struct query *query, jv last, struct iot_error *err)
{
	jv message;
	enum iot_status status;

	if (jq_halted(query->jq) || !jv_invalid_has_msg(jv_copy(last))) {
		jv_free(last);
		return IOT_OK;
	}
	message = jv_invalid_get_msg(last);
	if (jv_get_kind(message) != JV_KIND_STRING)
		message = jv_dump_string(message, 0);
	status = iot_fail(err, IOT_USAGE, "query failed: %s", jv_string_value(message));
	jv_free(message);
	return status;
}

enum iot_status query_run(struct query *query, const json_t *input, query_result_fn *each, void *data,
			  struct iot_error *err)
{
	jv value;

	jq_start(query->jq, to_jv(input), 0);
	while (jv_is_valid(value = jq_next(query->jq))) {
		IOT_JSON result = from_jv(query, value, 1);
		enum iot_status status;

		if (query->too_deep)
			return iot_fail(err, IOT_USAGE, "the query's result has more than %d levels", MAX_DEPTH);
		status = each(data, result, err);
		if (status != IOT_OK)
			return status;
	}
	return finish(query, value, err);
}
