/*
 * iot_csv_parse on any bytes: rows have columns that are known and cells that are not empty, their lines grow, and the
 * rows written as quoted CSV are read as the same.
 */
#include "iotctl/base.h"
#include "iotctl/csv.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const known[] = {"uid", "name", "policy", NULL};

static void write_cell(struct iot_buf *out, const char *cell)
{
	iot_buf_addc(out, '"');
	for (; *cell != '\0'; cell++) {
		if (*cell == '"')
			iot_buf_addc(out, '"');
		iot_buf_addc(out, *cell);
	}
	iot_buf_addc(out, '"');
}

static void write_rows(struct iot_buf *out, const json_t *rows)
{
	json_t *row;
	size_t i;

	iot_buf_adds(out, "uid,name,policy\r\n");
	json_array_foreach(rows, i, row) {
		for (size_t k = 0; known[k] != NULL; k++) {
			if (k > 0)
				iot_buf_addc(out, ',');
			write_cell(out, iot_json_str(row, known[k], ""));
		}
		iot_buf_adds(out, "\r\n");
	}
}

static void check_rows(const json_t *rows)
{
	int64_t before = 1;
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row) {
		size_t cells = 0;

		for (size_t k = 0; known[k] != NULL; k++) {
			const char *cell = iot_json_str(row, known[k], NULL);

			cells += cell != NULL;
			if (cell != NULL && (*cell == '\0' || strlen(cell) > IOT_CSV_CELL_MAX))
				abort();
		}
		if (cells == 0 || json_object_size(row) != cells + 1 || iot_json_int(row, "line", 0) <= before)
			abort();
		before = iot_json_int(row, "line", 0);
		json_object_del(row, "line");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_buf text = IOT_BUF_INIT(1 << 20);
	IOT_JSON rows = NULL;
	IOT_JSON again = NULL;

	if (size > 65536)
		return 0;
	if (iot_csv_parse((const char *)data, size, "input", known, &rows, &err) != IOT_OK) {
		if (err.status != IOT_USAGE || err.what[0] == '\0' || rows != NULL)
			abort();
		return 0;
	}
	check_rows(rows);
	write_rows(&text, rows);
	if (iot_csv_parse(iot_buf_str(&text), text.len, "text", known, &again, &err) != IOT_OK)
		abort();
	check_rows(again);
	if (!json_equal(rows, again))
		abort();
	iot_buf_release(&text);
	return 0;
}
