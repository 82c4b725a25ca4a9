/* Progress in its shapes. Nothing here waits: what is due is decided by the clock alone. */
#include "iotctl/base.h"
#include "iotctl/progress.h"
#include "unit.h"

static char *caught(enum progress_mode mode, bool hide)
{
	char *text = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&text, &size);
	struct progress *progress = progress_new(stream, mode);

	progress_begin(progress, "sending 'a\033b'", 2000000, PROGRESS_BYTES);
	progress_update(progress, 1000000, "half\nway");
	if (hide)
		progress_hide(progress);
	progress_update(progress, 2000000, NULL);
	progress_end(progress, true);
	progress_update(progress, 1, "late"); /* ignored */
	progress_free(progress);
	fclose(stream);
	return text;
}

static void test_none(void)
{
	IOT_CLEAN(iot_free_p) char *text = caught(PROGRESS_NONE, false);

	CU_ASSERT_STRING_EQUAL(text, "");
	progress_begin(NULL, "x", 1, PROGRESS_COUNT);
	progress_update(NULL, 1, NULL);
	progress_end(NULL, true);
	progress_hide(NULL);
	progress_free(NULL);
}

static void test_plain_short_work_is_silent(void)
{
	IOT_CLEAN(iot_free_p) char *text = caught(PROGRESS_PLAIN, false);

	CU_ASSERT_STRING_EQUAL(text, "");
}

static void test_bar(void)
{
	IOT_CLEAN(iot_free_p) char *text = caught(PROGRESS_BAR, false);
	IOT_CLEAN(iot_free_p) char *hidden = caught(PROGRESS_BAR, true);

	ASSERT_CONTAINS(text, "\rsending 'a\\x1bb' [");
	ASSERT_CONTAINS(text, "[####################] 100% (2.0 MB of 2.0 MB)");
	CU_ASSERT_EQUAL(text[strlen(text) - 1], '\n');
	ASSERT_CONTAINS(hidden, "\r\033[K\r");
}

static void test_json(void)
{
	IOT_CLEAN(iot_free_p) char *text = caught(PROGRESS_JSON, false);

	CU_ASSERT_EQUAL(strncmp(text, "{\"event\":\"begin\"", 16), 0);
	ASSERT_CONTAINS(text,
			"\n{\"event\":\"end\",\"what\":\"sending 'a\\\\x1bb'\",\"done\":2000000,\"total\":2000000,"
			"\"unit\":\"bytes\"");
}

/* Steps have no numbers, until it turns out that there is something to count; nothing of them stays on the screen. */
static void test_steps(void)
{
	char *text = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&text, &size);
	struct progress *progress = progress_new(stream, PROGRESS_JSON);

	progress_begin(progress, "port", 0, PROGRESS_STEPS);
	progress_set_total(progress, 1);
	progress_end(progress, true);
	progress_begin(progress, "update", 0, PROGRESS_STEPS);
	progress_set_total(progress, 3);
	progress_update(progress, 2, NULL);
	progress_end(progress, true);
	progress_free(progress);
	fclose(stream);
	ASSERT_CONTAINS(text, "{\"event\":\"begin\",\"what\":\"port\",\"unit\":\"steps\"");
	ASSERT_CONTAINS(text, "\"what\":\"update\",\"done\":2,\"total\":3,\"unit\":\"count\"");
	free(text);

	stream = open_memstream(&text, &size);
	progress = progress_new(stream, PROGRESS_BAR);
	progress_begin(progress, "port", 0, PROGRESS_STEPS);
	progress_end(progress, true);
	progress_free(progress);
	fclose(stream);
	CU_ASSERT_STRING_EQUAL(text, "\rport: \033[K\r\033[K");
	free(text);
	progress_set_total(NULL, 1);
}

static void test_auto_is_plain_off_a_terminal(void)
{
	FILE *null = fopen("/dev/null", "w");
	struct progress *progress = progress_new(null, PROGRESS_AUTO);

	progress_begin(progress, "x", 0, PROGRESS_COUNT);
	progress_end(progress, true);
	progress_free(progress);
	CU_ASSERT_EQUAL(ftell(null), 0);
	fclose(null);
}

UNIT_MAIN("cli/progress", NULL, NULL, {"none", test_none},
	  {"plain_short_work_is_silent", test_plain_short_work_is_silent}, {"bar", test_bar}, {"json", test_json},
	  {"steps", test_steps}, {"auto_is_plain_off_a_terminal", test_auto_is_plain_off_a_terminal})
