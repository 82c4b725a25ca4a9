/*
 * The screen of a station: what an operator sees from two metres away. As much
 * as fits: heads with block letters, else with a word, else a line each. Plain
 * ANSI; without colours the words remain.
 */
#include "command/station_screen.h"

#include "iotctl/base.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>

enum {
	BIG_WIDTH = 26,
	BIG_HEIGHT = 9,
	SMALL_WIDTH = 26,
	SMALL_HEIGHT = 5,
	LETTER_ROWS = 5,
	FRAME_ROWS = 5,
	TEXT_MAX = 512
};

/* Letters of the words below, five rows of five cells. */
static const struct letter {
	char name;
	const char *rows[LETTER_ROWS];
} letters[] = {
	{'P', {"#### ", "#   #", "#### ", "#    ", "#    "}}, {'A', {" ### ", "#   #", "#####", "#   #", "#   #"}},
	{'S', {" ####", "#    ", " ### ", "    #", "#### "}}, {'F', {"#####", "#    ", "###  ", "#    ", "#    "}},
	{'I', {" ### ", "  #  ", "  #  ", "  #  ", " ### "}}, {'L', {"#    ", "#    ", "#    ", "#    ", "#####"}},
	{'C', {" ####", "#    ", "#    ", "#    ", " ####"}}, {'N', {"#   #", "##  #", "# # #", "#  ##", "#   #"}},
	{'W', {"#   #", "#   #", "# # #", "## ##", "#   #"}}, {'O', {" ### ", "#   #", "#   #", "#   #", " ### "}},
	{'R', {"#### ", "#   #", "#### ", "#  # ", "#   #"}}, {'K', {"#   #", "#  # ", "###  ", "#  # ", "#   #"}},
	{'E', {"#####", "#    ", "###  ", "#    ", "#####"}}, {'D', {"#### ", "#   #", "#   #", "#   #", "#### "}},
	{'-', {"     ", "     ", "#####", "     ", "     "}},
};

struct look {
	const char *word;  /* four letters */
	const char *color; /* SGR parameters */
};

static struct look look_of(enum iot_head_state state)
{
	static const struct look looks[] = {
		[IOT_HEAD_EMPTY] = {"----", "2"},       [IOT_HEAD_READY] = {"LOAD", "1"},
		[IOT_HEAD_IDENTIFY] = {"WORK", "1;33"}, [IOT_HEAD_SCAN] = {"SCAN", "1;36"},
		[IOT_HEAD_WORK] = {"WORK", "1;33"},     [IOT_HEAD_RETRY] = {"WORK", "1;33"},
		[IOT_HEAD_PASS] = {"PASS", "1;37;42"},  [IOT_HEAD_FAIL] = {"FAIL", "1;37;41"},
		[IOT_HEAD_KNOWN] = {"DONE", "1;30;46"},
	};

	return looks[state];
}

/* --- text that fits --------------------------------------------------------------------------------- */

/* A text in exactly `width` cells. What is not ASCII counts a cell a character, which is right for names of ports. */
static void add_fit(struct iot_buf *out, const char *text, int width)
{
	size_t left = strlen(text), step = 0;
	int used = 0;

	for (; left > 0 && used < width; text += step, left -= step, used++) {
		step = iot_utf8_next(text, left, NULL);
		if (step == 0 || (unsigned char)*text < ' ' || *text == 0x7f) {
			iot_buf_addc(out, '?');
			step = step == 0 ? 1 : step;
		} else {
			iot_buf_add(out, text, step);
		}
	}
	while (used++ < width)
		iot_buf_addc(out, ' ');
}

static void add_styled(struct iot_buf *out, const char *text, int width, const char *style, bool color)
{
	if (color)
		iot_buf_addf(out, "\033[%sm", style);
	add_fit(out, text, width);
	if (color)
		iot_buf_adds(out, "\033[0m");
}

static bool is_asked(const struct iot_station_head_view *head)
{
	return head->step == NULL || strcmp(head->step, "identify") == 0;
}

/* A fault for who stands there: what is wrong and what to do, not what the program was doing. */
static void plain(const char *fault, char *out, size_t size)
{
	const char *doing = strstr(fault, ", while "), *hint = doing != NULL ? strstr(doing, "; ") : NULL;
	int length = doing != NULL ? (int)(doing - fault) : (int)strlen(fault);

	snprintf(out, size, "%.*s%s", length, fault, hint != NULL ? hint : "");
}

/* The same below its head, where nobody has to be told which port it is: there is little room. */
static void plain_here(const struct iot_station_head_view *head, char *out, size_t size)
{
	static const char *const ways[] = {" on port", " on"};

	plain(head->fault != NULL ? head->fault : "failed", out, size);
	for (size_t i = 0; i < IOT_LENGTH(ways); i++) {
		IOT_CLEAN(iot_free_p) char *where = iot_strf("%s '%s'", ways[i], head->port);
		char *found = strstr(out, where);

		if (found != NULL)
			memmove(found, found + strlen(where), strlen(found + strlen(where)) + 1);
	}
}

/* Cut a text of more than `width` cells in two, between words where it can be. Returns the rest. */
static const char *wrap(char *text, int width)
{
	size_t cut = (size_t)width;

	if (strlen(text) <= (size_t)width)
		return "";
	while (cut > (size_t)width / 2 && text[cut] != ' ')
		cut--;
	if (text[cut] != ' ')
		return "";
	text[cut] = '\0';
	return text + cut + 1;
}

/* What is going on in a head, in a few words. */
static void describe(const struct iot_station_head_view *head, char *out, size_t size)
{
	double seconds = (double)head->elapsed_ms / 1000;

	switch (head->state) {
	case IOT_HEAD_EMPTY:
		snprintf(out, size, "no board");
		break;
	case IOT_HEAD_READY:
		snprintf(out, size, "put a board in");
		break;
	case IOT_HEAD_SCAN:
		snprintf(out, size, "scan its serial number");
		break;
	case IOT_HEAD_RETRY:
		snprintf(out, size, "tries again (%d)", head->attempt);
		break;
	case IOT_HEAD_FAIL:
		plain_here(head, out, size);
		break;
	case IOT_HEAD_KNOWN:
		snprintf(out, size, "has an identity already");
		break;
	case IOT_HEAD_PASS:
		snprintf(out, size, "%.1f s", seconds);
		break;
	default:
		snprintf(out, size, "%s %.0f s", is_asked(head) ? "asks who it is" : head->step, seconds);
	}
}

/* --- heads -------------------------------------------------------------------------------------------- */

static const struct letter *letter_of(char name)
{
	for (size_t i = 0; i < IOT_LENGTH(letters); i++)
		if (letters[i].name == name)
			return &letters[i];
	return &letters[IOT_LENGTH(letters) - 1];
}

static void big_row(const char *word, int row, char out[BIG_WIDTH])
{
	size_t used = 0;

	out[used++] = ' ';
	for (const char *c = word; *c != '\0'; c++)
		used += (size_t)snprintf(out + used, (size_t)BIG_WIDTH - used, "%s ", letter_of(*c)->rows[row]);
}

static void head_title(const struct iot_station_head_view *head, char *out, size_t size)
{
	const char *slash = strrchr(head->port, '/');

	snprintf(out, size, "%d %s", head->number, slash != NULL ? slash + 1 : head->port);
}

/* What stands below the word of a head: what is going on there, and its serial number; a fault may have two rows. */
static const char *below_word(const struct iot_station_head_view *head, int row, bool two, int width, char *text)
{
	const char *rest = "";

	describe(head, text, TEXT_MAX);
	if (two && head->state == IOT_HEAD_FAIL)
		rest = wrap(text, width);
	if (row == 0)
		return text;
	if (*rest != '\0' && row-- == 1)
		return rest;
	return row == 1 && head->serial != NULL ? head->serial : "";
}

/* Row `row` of the `rows` of a head's cell, in exactly `width` cells. */
static void cell_row(const struct iot_station_head_view *head, int rows, int row, int width, bool color,
		     struct iot_buf *out)
{
	bool big = rows > SMALL_HEIGHT;
	struct look look = look_of(head->state);
	char text[TEXT_MAX] = "", letters_row[BIG_WIDTH] = "";
	int words = big ? LETTER_ROWS : 1;

	if (row == 0) {
		head_title(head, text, sizeof(text));
		add_styled(out, text, width - 1, "1", color);
	} else if (row <= words) {
		if (big)
			big_row(look.word, row - 1, letters_row);
		else
			snprintf(letters_row, sizeof(letters_row), " %s", look.word);
		add_styled(out, letters_row, width - 1, look.color, color);
	} else {
		add_fit(out, below_word(head, row - words - 1, rows - words > 3, width - 1, text), width - 1);
	}
	iot_buf_addc(out, ' ');
}

#define END_LINE "\033[K\r\n"

/* `rows`: of a cell; the last one of its height is empty and may be left out. */
static void draw_cells(const struct iot_station_view *view, int rows, int width, bool color, struct iot_buf *out)
{
	bool big = rows > SMALL_HEIGHT;
	int cell = big ? BIG_WIDTH : SMALL_WIDTH;
	size_t across = (size_t)(width / cell);

	for (size_t first = 0; first < view->head_count; first += across)
		for (int row = 0; row < rows; row++) {
			for (size_t i = first; i < first + across && i < view->head_count; i++)
				cell_row(&view->heads[i], rows, row, cell, color, out);
			iot_buf_adds(out, END_LINE);
		}
}

static void draw_lines(const struct iot_station_view *view, int width, int rows, bool color, struct iot_buf *out)
{
	for (size_t i = 0; i < view->head_count && rows > 0; i++, rows--) {
		const struct iot_station_head_view *head = &view->heads[i];
		struct look look = look_of(head->state);
		char title[2 * TEXT_MAX], text[TEXT_MAX], number[16];

		if (rows == 1 && i + 1 < view->head_count) {
			snprintf(text, sizeof(text), "and %zu more heads", view->head_count - i);
			add_fit(out, text, width);
		} else {
			snprintf(number, sizeof(number), "%2d ", head->number);
			describe(head, text, sizeof(text));
			snprintf(title, sizeof(title), " %s %s", head->serial != NULL ? head->serial : "", text);
			add_fit(out, number, 3);
			add_styled(out, look.word, 4, look.color, color);
			add_fit(out, title, width > 7 ? width - 7 : 0);
		}
		iot_buf_adds(out, END_LINE);
	}
}

static bool fits(const struct iot_station_view *view, int cell, int rows, int width, int height)
{
	int across = width / cell;

	return across > 0 && ((int)view->head_count + across - 1) / across * rows <= height;
}

/* Rows of a head's cell, as big as they fit: block letters stay readable without the empty row below. 0: a line each.
 */
static int cell_rows(const struct iot_station_view *view, int width, int room)
{
	if (fits(view, BIG_WIDTH, BIG_HEIGHT, width, room))
		return BIG_HEIGHT;
	if (fits(view, BIG_WIDTH, BIG_HEIGHT - 1, width, room))
		return BIG_HEIGHT - 1;
	return fits(view, SMALL_WIDTH, SMALL_HEIGHT, width, room) ? SMALL_HEIGHT : 0;
}

/* --- the whole ------------------------------------------------------------------------------------------ */

static void draw_counts(const struct iot_station_view *view, int width, bool color, struct iot_buf *out)
{
	int64_t tried = view->passed + view->failed;
	char text[TEXT_MAX], yield[32] = "--", hour[32] = "--";

	if (tried > 0)
		snprintf(yield, sizeof(yield), "%.1f %%", (double)view->passed * 100 / (double)tried);
	if (view->per_hour >= 0)
		snprintf(hour, sizeof(hour), "%.0f", view->per_hour);
	snprintf(text, sizeof(text), " PASS %lld   FAIL %lld   done before %lld   yield %s   %s an hour",
		 (long long)view->passed, (long long)view->failed, (long long)view->known, yield, hour);
	add_styled(out, text, width, "1", color);
	iot_buf_adds(out, END_LINE);
}

/* A line, or two where there is room for them. */
static void draw_wrapped(char *text, int width, bool two, struct iot_buf *out)
{
	const char *rest = two ? wrap(text, width) : "";

	add_fit(out, text, width);
	iot_buf_adds(out, END_LINE);
	if (!two)
		return;
	iot_buf_addc(out, ' ');
	add_fit(out, rest, width - 1);
	iot_buf_adds(out, END_LINE);
}

/* The last fault and what there is to be told; `room`: how many rows more than one each. */
static void draw_told(const struct iot_station_view *view, int width, int room, struct iot_buf *out)
{
	char text[TEXT_MAX] = "", fault[TEXT_MAX];

	if (view->last_fault != NULL) {
		plain(view->last_fault, fault, sizeof(fault));
		snprintf(text, sizeof(text), " last fault: %.480s", fault);
	}
	draw_wrapped(text, width, room > 0, out);
	snprintf(text, sizeof(text), " %.500s", view->notice != NULL ? view->notice : "");
	draw_wrapped(text, width, room > 1, out);
}

/* Rows that the heads leave free. */
static int rows_left(const struct iot_station_view *view, int rows, int width, int room)
{
	int cell = rows > SMALL_HEIGHT ? BIG_WIDTH : SMALL_WIDTH, left = 0;

	while (rows > 0 && left < 2 && fits(view, cell, rows, width, room - left - 1))
		left++;
	return left;
}

void station_screen_draw(const struct iot_station_view *view, int width, int height, bool color, struct iot_buf *out)
{
	int room = height - FRAME_ROWS < 1 ? 1 : height - FRAME_ROWS, rows;
	char text[TEXT_MAX];

	width = width < 20 ? 20 : width - 1; /* a full last column would wrap */
	rows = cell_rows(view, width, room);
	iot_buf_adds(out, "\033[H");
	snprintf(text, sizeof(text), " %s   %s   shift %s%s", view->station, view->recipe, view->shift,
		 view->ending ? "   ENDS: no new boards" : "");
	add_styled(out, text, width, "7", color);
	iot_buf_adds(out, END_LINE);
	draw_counts(view, width, color, out);
	if (rows > 0)
		draw_cells(view, rows, width, color, out);
	else
		draw_lines(view, width, room, color, out);
	draw_told(view, width, rows_left(view, rows, width, room), out);
	add_fit(out, " Ctrl-D ends and signs the shift, Ctrl-C leaves it open", width);
	iot_buf_adds(out, "\033[K\033[J");
}
