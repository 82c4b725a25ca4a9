/* The operator's screen of a station: what has to be readable on a small terminal. */
#include "command/station_screen.h"

#include "iotctl/base.h"
#include "unit.h"

#include <stdlib.h>

#define FAULT                                                                                                          \
	"the device on port './exp1' answers AT, but is no ExpressLink module (it does not know AT+CONF?), while "     \
	"provisioning the board on './exp1'; name another port with --port"

/* The rows of a screen, without what moves the cursor. */
static char **draw(const struct iot_station_view *view, int width, int height)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf out = IOT_BUF_INIT(1 << 20);
	char **rows = iot_alloc_array((size_t)height + 1, sizeof(*rows)), *save = NULL;
	IOT_CLEAN(iot_free_p) char *text = NULL;
	int count = 0;

	station_screen_draw(view, width, height, false, &out);
	text = iot_strdup(iot_buf_str(&out) + strlen("\033[H"));
	for (char *row = strtok_r(text, "\n", &save); row != NULL && count < height;
	     row = strtok_r(NULL, "\n", &save)) {
		row[strcspn(row, "\033")] = '\0';
		CU_ASSERT(strlen(row) < (size_t)width);
		rows[count++] = iot_strdup(row);
	}
	CU_ASSERT(count <= height);
	return rows;
}

static void free_rows(char **rows)
{
	for (char **row = rows; *row != NULL; row++)
		free(*row);
	free(rows);
}

/* Which row begins with this? -1: none. */
static int row_of(char **rows, const char *start)
{
	for (int i = 0; rows[i] != NULL; i++)
		if (strncmp(rows[i], start, strlen(start)) == 0)
			return i;
	return -1;
}

static struct iot_station_head_view heads[6];

static struct iot_station_view view_of(size_t count)
{
	for (size_t i = 0; i < count; i++)
		heads[i] = (struct iot_station_head_view){
			.number = (int)i + 1, .port = i == 0 ? "./exp1" : "./other", .state = IOT_HEAD_EMPTY};
	heads[0].state = IOT_HEAD_FAIL;
	heads[0].fault = FAULT;
	heads[0].serial = "P0009";
	return (struct iot_station_view){.station = "s1",
					 .recipe = "pump line",
					 .shift = "x",
					 .heads = heads,
					 .head_count = count,
					 .failed = 1,
					 .per_hour = -1,
					 .last_fault = "head 1: " FAULT};
}

/* Below FAIL, where there are 25 cells, stand two rows of it, without the port that everybody sees. */
static void test_a_fault_below_its_head_has_two_rows(void)
{
	struct iot_station_view view = view_of(1);
	char **rows = draw(&view, 80, 24);
	int at = row_of(rows, "the device answers AT,");

	CU_ASSERT_FATAL(at > 0);
	ASSERT_CONTAINS(rows[at + 1], "but is no ExpressLink mod");
	ASSERT_CONTAINS(rows[at + 2], "P0009");
	free_rows(rows);
}

/* What the program was doing is not shown, what to do is; a word is not cut where there is a second row. */
static void test_the_last_fault_has_two_rows(void)
{
	struct iot_station_view view = view_of(6);
	char **rows = draw(&view, 80, 24);
	int at = row_of(rows, " last fault: head 1: the device on port './exp1' answers AT, but is no");

	CU_ASSERT_FATAL(at > 0);
	ASSERT_CONTAINS(rows[at + 1], " ExpressLink module (it does not know AT+CONF?); name another");
	free_rows(rows);
}

static void test_a_long_notice_is_whole_where_there_is_room(void)
{
	struct iot_station_view view = view_of(3);
	char **rows;
	int at;

	view.notice = "number 'P0001' is taken: scan another one for head 2 (board "
		      "'76c3cf98-5e6f-4f7d-9f9c-96ef4860ade5' has it)";
	rows = draw(&view, 80, 24);
	at = row_of(rows, " number 'P0001' is taken: scan another one for head 2");
	CU_ASSERT_FATAL(at > 0);
	ASSERT_CONTAINS(rows[at + 1], "'76c3cf98-5e6f-4f7d-9f9c-96ef4860ade5' has it)");
	CU_ASSERT(row_of(rows, " Ctrl-D ends") == at + 2);
	free_rows(rows);
}

/* However small the terminal is, nothing is drawn outside of it. */
static void test_any_size(void)
{
	for (int width = 21; width <= 130; width += 7)
		for (int height = 6; height <= 45; height += 3)
			for (size_t count = 1; count <= IOT_LENGTH(heads); count++) {
				struct iot_station_view view = view_of(count);
				char **rows = draw(&view, width, height);

				CU_ASSERT(row_of(rows, " Ctrl-D") > 0);
				free_rows(rows);
			}
}

UNIT_MAIN("command/station_screen", NULL, NULL, {"fault below its head", test_a_fault_below_its_head_has_two_rows},
	  {"last fault", test_the_last_fault_has_two_rows}, {"notice", test_a_long_notice_is_whole_where_there_is_room},
	  {"any size", test_any_size})
