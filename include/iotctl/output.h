/*
 * Results on stdout. A record is a json_t object; its printable members are
 * described once, and that description gives the table, the JSON document, the
 * JSON lines and the CSV.
 *
 * table   for people: headings and aligned columns; one object: "Heading  value"
 *         lines. Absent members show as "-". Control characters are escaped.
 *         Lists are cut to the width of a terminal (output_fit), never in a pipe;
 *         scripts better ask for json.
 * wide    the same with the columns marked wide.
 * json    one document: an array for a list, an object for one record.
 * jsonl   one compact object per line, flushed line by line.
 * csv     RFC 4180 (CRLF), first line the keys, all columns.
 *
 * JSON carries the whole record, not only described members; members described
 * as OUTPUT_TIME become RFC 3339 strings if they are numbers.
 *
 * --query is a jq filter over the JSON document (jsonl: over each record).
 * Its results are printed one after the other: as JSON for json and jsonl; for
 * table, strings as they are and anything else as compact JSON; for csv, each
 * array of scalars (or scalar) is a row. Whole numbers beyond 2^53 lose digits
 * in a query, as they do in jq.
 */
#ifndef IOTCTL_OUTPUT_H
#define IOTCTL_OUTPUT_H

#include "iotctl/error.h"

#include <jansson.h>
#include <stdio.h>

enum output_format { OUTPUT_TABLE, OUTPUT_WIDE, OUTPUT_JSON, OUTPUT_JSONL, OUTPUT_CSV };

enum output_kind {
	OUTPUT_TEXT, /* strings as they are, arrays of them joined by ", ", other values as compact JSON */
	OUTPUT_INT,  /* right-aligned */
	OUTPUT_TIME, /* a number is seconds since 1970 (AWS's way), shown as RFC 3339 UTC; a string as it is */
	OUTPUT_SIZE, /* bytes; "20.0 MB" in tables */
	OUTPUT_BOOL, /* yes or no in tables */
};

/* One printable member. An array of them ends with a NULL key. */
struct output_column {
	const char *key;     /* member, or path of members: "attributes.site", "items.0" */
	const char *heading; /* "Thing name" */
	enum output_kind kind;
	unsigned width; /* least width in tables; 0: whatever the first rows need */
	bool wide;      /* in lists as table only with -o wide */
};

#define OUTPUT_COLUMNS(...) ((const struct output_column[]){__VA_ARGS__, {0}})

struct output;

/* Names of the formats in the order of the enum, NULL-terminated. */
extern const char *const output_format_names[];

/*
 * A writer to `stream` (borrowed). `query` is a jq filter or NULL; IOT_USAGE if
 * it does not compile. color: headings in bold.
 */
IOT_CHECK enum iot_status output_new(FILE *stream, enum output_format format, const char *query, bool color,
				     struct output **ret, struct iot_error *err);
/*
 * Tables of lists are to fit into so many columns (0: no limit): the texts of all columns but the first are cut, shown
 * by "...", and where that does not do the last columns are left out. Not with -o wide, and not things that come over
 * time.
 */
void output_fit(struct output *out, size_t columns);

/* Ends a list that was left open (so that JSON stays valid) and frees. Does not close the stream. */
void output_free(struct output *out);

enum output_format output_get_format(const struct output *out);

/*
 * A list: begin, any number of rows, end. Rows are written as they come (table:
 * after the first rows gave the widths; json with a query: at the end). Columns
 * are borrowed until the end, records for the call. IOT_USAGE if the query fails
 * on the data, IOT_FAILURE if stdout cannot be written.
 */
IOT_CHECK enum iot_status output_begin_list(struct output *out, const struct output_column *columns,
					    struct iot_error *err);
IOT_CHECK enum iot_status output_row(struct output *out, const json_t *record, struct iot_error *err);
IOT_CHECK enum iot_status output_end(struct output *out, struct iot_error *err);

/* As output_begin_list, for things that come over time (watch, subscribe): each row is shown and flushed at once. */
IOT_CHECK enum iot_status output_begin_stream(struct output *out, const struct output_column *columns,
					      struct iot_error *err);

/* A whole list from a JSON array. */
IOT_CHECK enum iot_status output_array(struct output *out, const struct output_column *columns, const json_t *array,
				       struct iot_error *err);

/* One record. columns NULL: every member in its order, its name as the heading. */
IOT_CHECK enum iot_status output_object(struct output *out, const struct output_column *columns, const json_t *record,
					struct iot_error *err);

/* Bytes as they are, whatever the format: a certificate, a payload, a generated script. */
IOT_CHECK enum iot_status output_raw(struct output *out, const void *data, size_t len, struct iot_error *err);

/* Flush, and report what went wrong on the stream at any time. */
IOT_CHECK enum iot_status output_flush(struct output *out, struct iot_error *err);

#endif
