/* Results in the format asked for: one description of a record, five ways to write it. */
#include "iotctl/output.h"

#include "cli/internal.h"
#include "cli/output_private.h"
#include "iotctl/base.h"
#include "iotctl/json.h"

#include <errno.h>
#include <string.h>

#define MAX_COLLECTED 1000000 /* records that a query over a whole list may hold in memory */

const char *const output_format_names[] = {"table", "wide", "json", "jsonl", "csv", NULL};

enum iot_status output_new(FILE *stream, enum output_format format, const char *query, bool color, struct output **ret,
			   struct iot_error *err)
{
	struct output *out = iot_alloc(sizeof(*out));
	enum iot_status status = IOT_OK;

	out->stream = stream;
	out->format = format;
	out->color = color;
	if (query != NULL)
		status = query_new(query, &out->query, err);
	if (status == IOT_OK)
		*ret = out;
	else
		free(out);
	return status;
}

enum output_format output_get_format(const struct output *out)
{
	return out->format;
}

int output_errno(const struct output *out)
{
	return out->fault;
}

/* ---- bytes ---- */

void output_write(struct output *out, const char *data, size_t len)
{
	if (len == 0 || out->fault != 0)
		return;
	if (fwrite(data, 1, len, out->stream) != len)
		out->fault = errno != 0 ? errno : EIO;
}

static enum iot_status check(struct output *out, struct iot_error *err)
{
	if (out->fault == 0)
		return IOT_OK;
	return iot_fail_errno(err, IOT_FAILURE, out->fault, "cannot write the result to standard output");
}

enum iot_status output_flush(struct output *out, struct iot_error *err)
{
	if (out->fault == 0 && fflush(out->stream) != 0)
		out->fault = errno != 0 ? errno : EIO;
	return check(out, err);
}

enum iot_status output_raw(struct output *out, const void *data, size_t len, struct iot_error *err)
{
	output_write(out, data, len);
	return check(out, err);
}

/* ---- JSON ---- */

static void write_compact(struct output *out, const json_t *value)
{
	IOT_CLEAN(iot_free_p) char *text = iot_json_text(value);

	output_write(out, text, strlen(text));
	output_write(out, "\n", 1);
}

static void write_pretty(struct output *out, const json_t *value, const char *indent)
{
	IOT_CLEAN(iot_free_p) char *text = iot_json_dump(value, JSON_INDENT(2));

	for (const char *line = text; *line != '\0';) {
		size_t length = strcspn(line, "\n");

		output_write(out, indent, strlen(indent));
		output_write(out, line, length);
		line += length;
		if (*line == '\n') {
			output_write(out, "\n", 1);
			line++;
		}
	}
}

/* ---- CSV ---- */

static void write_csv_heading(struct output *out)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf line = IOT_BUF_INIT((size_t)64 * 1024);

	for (const struct output_column *column = out->columns; column->key != NULL; column++) {
		if (column != out->columns)
			iot_buf_addc(&line, ',');
		output_csv_field(&line, column->key, strlen(column->key));
	}
	iot_buf_adds(&line, "\r\n");
	output_write(out, iot_buf_str(&line), line.len);
}

static void write_csv_row(struct output *out, const json_t *record)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf line = IOT_BUF_INIT(SIZE_MAX / 2);

	for (const struct output_column *column = out->columns; column->key != NULL; column++) {
		IOT_CLEAN(iot_buf_release) struct iot_buf field = IOT_BUF_INIT(OUTPUT_MAX_CELL);

		if (column != out->columns)
			iot_buf_addc(&line, ',');
		output_plain(column, record, &field);
		output_csv_field(&line, iot_buf_str(&field), field.len);
	}
	iot_buf_adds(&line, "\r\n");
	output_write(out, iot_buf_str(&line), line.len);
}

/* ---- results of a query ---- */

static enum iot_status write_csv_result(struct output *out, const json_t *result, struct iot_error *err)
{
	static const struct output_column whole = {.key = "v"};
	IOT_CLEAN(iot_buf_release) struct iot_buf line = IOT_BUF_INIT(SIZE_MAX / 2);
	size_t count = json_is_array(result) ? json_array_size(result) : 1;

	for (size_t i = 0; i < count; i++) {
		const json_t *value = json_is_array(result) ? json_array_get(result, i) : result;
		IOT_CLEAN(iot_buf_release) struct iot_buf field = IOT_BUF_INIT(OUTPUT_MAX_CELL);
		IOT_JSON holder = json_object();

		if (json_is_object(value) || json_is_array(value)) {
			iot_fail(err, IOT_USAGE, "the query's result is not a row of plain values");
			iot_error_hint(err, "for csv let it give arrays: --query '.[] | [.a, .b]'");
			return IOT_USAGE;
		}
		json_object_set(holder, "v", output_counted(value));
		output_plain(&whole, holder, &field);
		if (i > 0)
			iot_buf_addc(&line, ',');
		output_csv_field(&line, iot_buf_str(&field), field.len);
	}
	iot_buf_adds(&line, "\r\n");
	output_write(out, iot_buf_str(&line), line.len);
	return IOT_OK;
}

static enum iot_status write_result(void *data, json_t *result, struct iot_error *err)
{
	struct output *out = data;

	switch (out->format) {
	case OUTPUT_JSON:
		write_pretty(out, result, "");
		output_write(out, "\n", 1);
		break;
	case OUTPUT_JSONL:
		write_compact(out, result);
		break;
	case OUTPUT_CSV: {
		enum iot_status status = write_csv_result(out, result, err);

		if (status != IOT_OK)
			return status;
		break;
	}
	default:
		if (json_is_string(result)) {
			output_write(out, json_string_value(result), json_string_length(result));
			output_write(out, "\n", 1);
		} else {
			write_compact(out, result);
		}
	}
	return check(out, err);
}

/* ---- lists ---- */

static bool collects(const struct output *out)
{
	return out->query != NULL && out->format != OUTPUT_JSONL && !out->streaming;
}

static enum iot_status begin(struct output *out, const struct output_column *columns, bool streaming,
			     struct iot_error *err)
{
	if (out->listing)
		abort(); /* a mistake in the command: its test would have seen it */
	out->listing = true;
	out->streaming = streaming;
	out->columns = columns;
	out->rows = 0;
	if (collects(out))
		out->collected = json_array();
	return check(out, err);
}

enum iot_status output_begin_list(struct output *out, const struct output_column *columns, struct iot_error *err)
{
	return begin(out, columns, false, err);
}

enum iot_status output_begin_stream(struct output *out, const struct output_column *columns, struct iot_error *err)
{
	return begin(out, columns, true, err);
}

static void begin_text(struct output *out)
{
	if (out->query != NULL)
		return;
	if (out->format == OUTPUT_CSV)
		write_csv_heading(out);
	else if (out->format == OUTPUT_TABLE || out->format == OUTPUT_WIDE)
		out->table = table_new(out, out->columns, out->streaming);
}

static void write_row(struct output *out, const json_t *record)
{
	switch (out->format) {
	case OUTPUT_JSON:
		output_write(out, out->rows == 0 ? "[\n" : ",\n", 2);
		write_pretty(out, record, "  ");
		break;
	case OUTPUT_JSONL:
		write_compact(out, record);
		break;
	case OUTPUT_CSV:
		write_csv_row(out, record);
		break;
	default:
		table_row(out->table, record);
	}
}

static enum iot_status query_row(struct output *out, const json_t *record, struct iot_error *err)
{
	if (!collects(out))
		return query_run(out->query, record, write_result, out, err);
	if (json_array_size(out->collected) >= MAX_COLLECTED) {
		iot_fail(err, IOT_FAILURE, "more than %d records for one query", MAX_COLLECTED);
		iot_error_hint(err, "use -o jsonl, where the query sees one record at a time");
		return IOT_FAILURE;
	}
	json_array_append(out->collected, output_counted(record));
	return IOT_OK;
}

enum iot_status output_row(struct output *out, const json_t *record, struct iot_error *err)
{
	IOT_JSON shown = NULL;
	enum iot_status status = IOT_OK;

	if (out->columns == NULL)
		out->columns = out->derived = output_derive(record);
	if (out->rows == 0)
		begin_text(out);
	shown = output_json_record(out->columns, record);
	if (out->query != NULL)
		status = query_row(out, shown, err);
	else
		write_row(out, out->format == OUTPUT_JSON || out->format == OUTPUT_JSONL ? shown : record);
	out->rows++;
	if (status == IOT_OK && (out->streaming || out->format == OUTPUT_JSONL))
		return output_flush(out, err);
	return status == IOT_OK ? check(out, err) : status;
}

static void end_text(struct output *out)
{
	static const struct output_column no_columns[] = {{0}};

	if (out->query != NULL)
		return;
	if (out->columns == NULL)
		out->columns = no_columns;
	if (out->rows == 0)
		begin_text(out);
	if (out->format == OUTPUT_JSON)
		output_write(out, out->rows == 0 ? "[]\n" : "\n]\n", 3);
	else if (out->table != NULL)
		table_end(out->table);
}

static void forget_list(struct output *out)
{
	table_free(out->table);
	json_decref(out->collected);
	free(out->derived);
	out->table = NULL;
	out->collected = NULL;
	out->derived = NULL;
	out->columns = NULL;
	out->listing = false;
	out->streaming = false;
}

enum iot_status output_end(struct output *out, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	end_text(out);
	if (out->collected != NULL)
		status = query_run(out->query, out->collected, write_result, out, err);
	forget_list(out);
	return status == IOT_OK ? check(out, err) : status;
}

enum iot_status output_array(struct output *out, const struct output_column *columns, const json_t *array,
			     struct iot_error *err)
{
	enum iot_status status = output_begin_list(out, columns, err);

	for (size_t i = 0; i < json_array_size(array) && status == IOT_OK; i++)
		status = output_row(out, json_array_get(array, i), err);
	return status == IOT_OK ? output_end(out, err) : status;
}

/* ---- one record ---- */

enum iot_status output_object(struct output *out, const struct output_column *columns, const json_t *record,
			      struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) struct output_column *derived = columns == NULL ? output_derive(record) : NULL;
	IOT_JSON shown = output_json_record(columns, record);

	if (columns == NULL)
		columns = derived;
	if (out->query != NULL)
		return query_run(out->query, shown, write_result, out, err);
	switch (out->format) {
	case OUTPUT_JSON:
		write_pretty(out, shown, "");
		output_write(out, "\n", 1);
		break;
	case OUTPUT_JSONL:
		write_compact(out, shown);
		break;
	case OUTPUT_CSV:
		out->columns = columns;
		write_csv_heading(out);
		write_csv_row(out, record);
		out->columns = NULL;
		break;
	default:
		table_object(out, columns, record);
	}
	return out->format == OUTPUT_JSONL ? output_flush(out, err) : check(out, err);
}

void output_fit(struct output *out, size_t columns)
{
	out->room = columns;
}

void output_free(struct output *out)
{
	if (out == NULL)
		return;
	/* A command that failed in its list: what was written stays well-formed; nothing written stays nothing. */
	if (out->listing && out->rows > 0)
		end_text(out);
	forget_list(out);
	query_free(out->query);
	free(out);
}
