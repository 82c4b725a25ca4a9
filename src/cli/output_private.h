/* What the files of the output writer share. */
#ifndef IOTCTL_CLI_OUTPUT_PRIVATE_H
#define IOTCTL_CLI_OUTPUT_PRIVATE_H

#include "iotctl/buf.h"
#include "iotctl/output.h"

#define OUTPUT_MAX_CELL ((size_t)1024 * 1024)

struct query;
struct table;

struct output {
	FILE *stream;
	enum output_format format;
	bool color;
	size_t room; /* columns of the terminal; 0: no limit */
	int fault; /* errno of the first failed write */
	struct query *query;
	/* an open list */
	bool listing;
	bool streaming;
	const struct output_column *columns;
	struct output_column *derived; /* owned: columns made from the first record */
	size_t rows;
	struct table *table;
	json_t *collected;
};

/* jansson counts references in values that are constant to us, and iterates over them, through plain pointers. */
static inline json_t *output_counted(const json_t *value)
{
	const union {
		const json_t *constant;
		json_t *plain;
	} same = {.constant = value};

	return same.plain;
}

/* ---- one value (output_cell.c) ---- */

/* The member a column names, or NULL. Borrowed. */
const json_t *output_member(const json_t *record, const char *key);
/* As a table shows it: readable, absent "-", no control characters. */
void output_cell(const struct output_column *column, const json_t *record, struct iot_buf *out);
/* As CSV has it: plain, absent empty, not yet quoted. */
void output_plain(const struct output_column *column, const json_t *record, struct iot_buf *out);
void output_csv_field(struct iot_buf *out, const char *text, size_t len);
/* The record with its OUTPUT_TIME members as RFC 3339. New reference. */
json_t *output_json_record(const struct output_column *columns, const json_t *record);
/* Columns of all members; free() the array. Keys and headings are borrowed from the record. */
struct output_column *output_derive(const json_t *record);
/* Columns a terminal uses for the text. */
size_t output_width(const char *text);
/* The begin of a text that is wider than that, and what stands for its rest. */
void output_cut(struct iot_buf *out, const char *text, size_t width, const char *rest);
/* Text with control and direction characters made visible. */
void output_escape(struct iot_buf *out, const char *text, size_t len);

/* ---- a table (output_table.c) ---- */

struct table *table_new(struct output *out, const struct output_column *columns, bool at_once);
void table_free(struct table *table);
void table_row(struct table *table, const json_t *record);
/* Write what is still held back. */
void table_end(struct table *table);
/* "Heading  value" lines of one record. */
void table_object(struct output *out, const struct output_column *columns, const json_t *record);

void output_write(struct output *out, const char *data, size_t len);

/* ---- jq (query.c) ---- */

IOT_CHECK enum iot_status query_new(const char *expression, struct query **ret, struct iot_error *err);
void query_free(struct query *query);
typedef enum iot_status query_result_fn(void *data, json_t *result, struct iot_error *err);
/* Calls `each` with every result (borrowed). */
IOT_CHECK enum iot_status query_run(struct query *query, const json_t *input, query_result_fn *each, void *data,
				    struct iot_error *err);

#endif
