/* Reading CSV: one pass over the text, a cell at a time. */
#include "iotctl/csv.h"

#include "iotctl/base.h"
#include "iotctl/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct reader {
	const char *at, *end;
	const char *subject;
	int64_t line;
	const char *columns[IOT_CSV_COLUMNS_MAX];
	size_t count;
	struct iot_buf cell;
};

#define malformed(reader, err, ...) malformed_(reader, (reader)->line, err, __VA_ARGS__)

static IOT_PRINTF(4, 5) enum iot_status
	malformed_(const struct reader *reader, int64_t line, struct iot_error *err, const char *fmt, ...)
{
	char what[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	return iot_fail(err, IOT_USAGE, "'%s' line %lld: %s", reader->subject, (long long)line, what);
}

static bool at_line_end(const struct reader *reader)
{
	return reader->at == reader->end || *reader->at == '\n' ||
	       (*reader->at == '\r' && reader->at + 1 < reader->end && reader->at[1] == '\n');
}

static void skip_blanks(struct reader *reader)
{
	while (reader->at < reader->end && (*reader->at == ' ' || *reader->at == '\t'))
		reader->at++;
}

/* At an opening quote. */
static enum iot_status read_quoted(struct reader *reader, struct iot_error *err)
{
	int64_t start = reader->line;

	for (reader->at++; reader->at < reader->end; reader->at++) {
		if (*reader->at == '"' && (reader->at + 1 == reader->end || reader->at[1] != '"')) {
			reader->at++;
			skip_blanks(reader);
			if (!at_line_end(reader) && *reader->at != ',')
				return malformed(reader, err, "there is text behind a closing quote");
			return IOT_OK;
		}
		if (*reader->at == '"')
			reader->at++;
		if (*reader->at == '\n')
			reader->line++;
		iot_buf_addc(&reader->cell, *reader->at);
	}
	return malformed_(reader, start, err, "a quote is not closed");
}

static enum iot_status read_plain(struct reader *reader, struct iot_error *err)
{
	for (; !at_line_end(reader) && *reader->at != ','; reader->at++) {
		if (*reader->at == '"')
			return malformed(reader, err, "a quote in the middle of a cell");
		iot_buf_addc(&reader->cell, *reader->at);
	}
	while (reader->cell.len > 0 && strchr(" \t", reader->cell.data[reader->cell.len - 1]) != NULL)
		reader->cell.data[--reader->cell.len] = '\0';
	return IOT_OK;
}

/* One cell, and the comma behind it. *ret_last: it is the last one of its line, which is taken too. */
static enum iot_status read_cell(struct reader *reader, bool *ret_last, struct iot_error *err)
{
	int64_t line = reader->line;
	enum iot_status status;

	iot_buf_clear(&reader->cell);
	skip_blanks(reader);
	status = reader->at < reader->end && *reader->at == '"' ? read_quoted(reader, err) : read_plain(reader, err);
	if (status != IOT_OK)
		return status;
	if (reader->cell.over)
		return malformed_(reader, line, err, "a cell is longer than %d bytes", IOT_CSV_CELL_MAX);
	if (!iot_utf8_valid(iot_buf_str(&reader->cell), reader->cell.len))
		return malformed_(reader, line, err, "a cell is not UTF-8 text");
	*ret_last = at_line_end(reader);
	if (!*ret_last) {
		reader->at++;
		return IOT_OK;
	}
	if (reader->at < reader->end)
		reader->at += *reader->at == '\r' ? 2 : 1;
	reader->line++;
	return IOT_OK;
}

static enum iot_status add_column(struct reader *reader, const char *const *known, struct iot_error *err)
{
	const char *name = iot_buf_str(&reader->cell);

	while (*known != NULL && strcmp(*known, name) != 0)
		known++;
	if (*known == NULL)
		return malformed_(reader, 1, err, "unknown column '%.64s'", name);
	for (size_t i = 0; i < reader->count; i++)
		if (reader->columns[i] == *known)
			return malformed_(reader, 1, err, "column '%s' is there twice", name);
	if (reader->count == IOT_CSV_COLUMNS_MAX)
		return malformed_(reader, 1, err, "more than %d columns", IOT_CSV_COLUMNS_MAX);
	reader->columns[reader->count++] = *known;
	return IOT_OK;
}

static enum iot_status read_header(struct reader *reader, const char *const *known, struct iot_error *err)
{
	enum iot_status status = IOT_OK;
	bool last = false;

	while (status == IOT_OK && !last) {
		status = read_cell(reader, &last, err);
		if (status == IOT_OK)
			status = add_column(reader, known, err);
	}
	return status;
}

/* A row; nothing is added to the array for an empty one. */
static enum iot_status read_row(struct reader *reader, json_t *rows, struct iot_error *err)
{
	IOT_JSON row = json_object();
	int64_t line = reader->line;
	enum iot_status status;
	bool last = false;

	iot_json_set_int(row, "line", line);
	for (size_t i = 0; !last; i++) {
		status = read_cell(reader, &last, err);
		if (status != IOT_OK)
			return status;
		if (reader->cell.len == 0)
			continue;
		if (i >= reader->count)
			return malformed_(reader, line, err, "there are more cells than columns");
		iot_json_set_str(row, reader->columns[i], iot_buf_str(&reader->cell));
	}
	if (json_object_size(row) > 1)
		json_array_append(rows, row);
	return IOT_OK;
}

enum iot_status iot_csv_parse(const char *text, size_t len, const char *subject, const char *const *known, json_t **ret,
			      struct iot_error *err)
{
	struct reader reader = {
		.at = text, .end = text + len, .subject = subject, .line = 1, .cell = IOT_BUF_INIT(IOT_CSV_CELL_MAX)};
	IOT_JSON rows = json_array();
	enum iot_status status;

	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		reader.at += 3;
	status = reader.at == reader.end ? iot_fail(err, IOT_USAGE, "'%s' is empty", subject)
					 : read_header(&reader, known, err);
	while (status == IOT_OK && reader.at < reader.end)
		status = read_row(&reader, rows, err);
	iot_buf_release(&reader.cell);
	if (status == IOT_OK)
		*ret = iot_take(rows);
	return status;
}
