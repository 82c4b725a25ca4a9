/*
 * Comma-separated values (RFC 4180): lists that people make in a spreadsheet.
 */
#ifndef IOTCTL_CSV_H
#define IOTCTL_CSV_H

#include "iotctl/json.h"

#define IOT_CSV_MAX (64 * 1024 * 1024) /* of a file */
#define IOT_CSV_CELL_MAX 4096
#define IOT_CSV_COLUMNS_MAX 64

/*
 * Read a CSV text whose first line names its columns, each one of `known`
 * (NULL-terminated), none twice, in any order. Lines end with LF or CRLF; UTF-8, a
 * byte order mark is skipped; blanks around a cell that is not quoted are dropped.
 * Array of objects, one per row: {"line": number of its line, COLUMN: text}. Empty
 * cells are absent, rows without a cell that is not empty are skipped. IOT_USAGE
 * names `subject` and the line. New reference in *ret.
 */
IOT_CHECK enum iot_status iot_csv_parse(const char *text, size_t len, const char *subject, const char *const *known,
					json_t **ret, struct iot_error *err);

#endif
