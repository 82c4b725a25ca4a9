/*
 * Aligned columns. The first rows are held back to learn the widths; later ones
 * are written as they come, and a longer cell then shifts its own line only. On a
 * terminal that is too narrow texts are cut and the last columns left out.
 */
#include "cli/output_private.h"
#include "iotctl/base.h"

#include <string.h>

#define HELD_ROWS 200
#define GAP 2     /* between columns */
#define LEAST 10  /* so much of a text that is cut stays */
#define CUT "..." /* what stands for the rest */
#define BOLD "\033[1m"
#define PLAIN "\033[0m"

struct table {
	struct output *out;
	struct output_column *columns; /* those that are shown */
	size_t *widths;
	size_t count, shown; /* fewer are shown where there is no room */
	bool fitted;         /* to the terminal: longer texts are cut */
	char **held; /* HELD_ROWS * count cells */
	size_t rows;
	bool started; /* widths are fixed, the heading is written */
};

struct table *table_new(struct output *out, const struct output_column *columns, bool at_once)
{
	struct table *table = iot_alloc(sizeof(*table));
	size_t all = 0;

	while (columns[all].key != NULL)
		all++;
	table->out = out;
	table->columns = iot_alloc_array(all + 1, sizeof(*table->columns));
	table->widths = iot_alloc_array(all + 1, sizeof(*table->widths));
	for (size_t i = 0; i < all; i++) {
		size_t heading = output_width(columns[i].heading);

		if (columns[i].wide && out->format != OUTPUT_WIDE)
			continue;
		table->widths[table->count] = heading > columns[i].width ? heading : columns[i].width;
		table->columns[table->count++] = columns[i];
	}
	if (!at_once)
		table->held = iot_alloc_array(HELD_ROWS * (table->count + 1), sizeof(*table->held));
	return table;
}

void table_free(struct table *table)
{
	if (table == NULL)
		return;
	if (table->held != NULL) {
		for (size_t i = 0; i < HELD_ROWS * table->count; i++)
			free(table->held[i]);
	}
	free(table->held);
	free(table->columns);
	free(table->widths);
	free(table);
}

/* ---- fitting ---- */

static size_t line_width(const struct table *table)
{
	size_t width = 0;

	for (size_t i = 0; i < table->shown; i++)
		width += table->widths[i] + (i > 0 ? GAP : 0);
	return width;
}

/* The widest text of the columns behind the first, which tells the rows apart; 0: there is none to cut. */
static size_t widest_text(const struct table *table)
{
	size_t widest = 0;

	for (size_t i = 1; i < table->shown; i++) {
		size_t least = output_width(table->columns[i].heading);

		if (table->columns[i].kind == OUTPUT_TEXT && table->widths[i] > (least > LEAST ? least : LEAST) &&
		    (widest == 0 || table->widths[i] > table->widths[widest]))
			widest = i;
	}
	return widest;
}

/* Half a number, size or time would be another one: those stay whole, or away. */
static void fit(struct table *table)
{
	size_t room = table->out->room, widest;

	table->shown = table->count;
	if (room == 0 || table->held == NULL || table->out->format != OUTPUT_TABLE || line_width(table) <= room)
		return;
	table->fitted = true;
	while (line_width(table) > room && (widest = widest_text(table)) > 0)
		table->widths[widest]--;
	while (line_width(table) > room && table->shown > 2)
		table->shown--;
}

/* ---- lines ---- */

static void add_padded(struct iot_buf *line, const char *text, size_t width, bool right, bool last)
{
	size_t used = output_width(text);
	size_t pad = used < width ? width - used : 0;

	for (size_t i = 0; right && i < pad; i++)
		iot_buf_addc(line, ' ');
	iot_buf_adds(line, text);
	for (size_t i = 0; !right && !last && i < pad; i++)
		iot_buf_addc(line, ' ');
	iot_buf_adds(line, last ? "\n" : "  ");
}

static bool right_aligned(const struct output_column *column)
{
	return column->kind == OUTPUT_INT || column->kind == OUTPUT_SIZE;
}

static void write_cells(struct table *table, char *const *cells)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf line = IOT_BUF_INIT(SIZE_MAX / 2);

	for (size_t i = 0; i < table->shown; i++) {
		IOT_CLEAN(iot_buf_release) struct iot_buf cut = IOT_BUF_INIT(OUTPUT_MAX_CELL);
		bool whole = i == 0 || !table->fitted || table->columns[i].kind != OUTPUT_TEXT ||
			     output_width(cells[i]) <= table->widths[i];

		if (!whole)
			output_cut(&cut, cells[i], table->widths[i], CUT);
		add_padded(&line, whole ? cells[i] : iot_buf_str(&cut), table->widths[i],
			   right_aligned(&table->columns[i]), i + 1 == table->shown);
	}
	output_write(table->out, iot_buf_str(&line), line.len);
}

static void write_heading(struct table *table)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf line = IOT_BUF_INIT((size_t)64 * 1024);

	if (table->out->color)
		iot_buf_adds(&line, BOLD);
	for (size_t i = 0; i < table->shown; i++)
		add_padded(&line, table->columns[i].heading, table->widths[i], right_aligned(&table->columns[i]),
			   i + 1 == table->shown);
	if (table->out->color && line.len > 0) {
		line.len--; /* the colour ends before the line does */
		iot_buf_adds(&line, PLAIN "\n");
	}
	output_write(table->out, iot_buf_str(&line), line.len);
}

static void start(struct table *table)
{
	if (table->started)
		return;
	table->started = true;
	fit(table);
	write_heading(table);
	for (size_t row = 0; row < table->rows; row++)
		write_cells(table, table->held + row * table->count);
}

void table_row(struct table *table, const json_t *record)
{
	char **cells = iot_alloc_array(table->count + 1, sizeof(*cells));
	bool hold = table->held != NULL && !table->started;

	for (size_t i = 0; i < table->count; i++) {
		struct iot_buf cell = IOT_BUF_INIT(OUTPUT_MAX_CELL);
		size_t width;

		output_cell(&table->columns[i], record, &cell);
		cells[i] = iot_buf_detach(&cell);
		width = output_width(cells[i]);
		if (hold && width > table->widths[i])
			table->widths[i] = width;
	}
	if (hold) {
		memcpy(table->held + table->rows++ * table->count, cells, table->count * sizeof(*cells));
		if (table->rows == HELD_ROWS)
			start(table);
	} else {
		start(table);
		write_cells(table, cells);
		for (size_t i = 0; i < table->count; i++)
			free(cells[i]);
	}
	free(cells);
}

void table_end(struct table *table)
{
	start(table);
}

void table_object(struct output *out, const struct output_column *columns, const json_t *record)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(SIZE_MAX / 2);
	size_t width = 0;

	for (const struct output_column *column = columns; column->key != NULL; column++) {
		if (output_width(column->heading) > width)
			width = output_width(column->heading);
	}
	for (; columns->key != NULL; columns++) {
		if (out->color)
			iot_buf_adds(&text, BOLD);
		add_padded(&text, columns->heading, width, false, false);
		if (out->color)
			iot_buf_adds(&text, PLAIN);
		output_cell(columns, record, &text);
		iot_buf_addc(&text, '\n');
	}
	output_write(out, iot_buf_str(&text), text.len);
}
