/* Error objects: what a person reads, and that nothing is lost or overrun on the way there. */
#include "unit.h"

#include <errno.h>

static const char *line_of(const struct iot_error *err)
{
	static char line[1100];

	return iot_error_line(err, line, sizeof(line));
}

static void test_line_has_all_parts(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	CU_ASSERT_EQUAL(iot_fail(&err, IOT_NOT_FOUND, "'%s' does not exist", "x.pem"), IOT_NOT_FOUND);
	CU_ASSERT_EQUAL(err.status, IOT_NOT_FOUND);
	CU_ASSERT_STRING_EQUAL(line_of(&err), "'x.pem' does not exist");
	iot_error_while(&err, "reading '%s'", "x.pem");
	iot_error_while(&err, "creating device '%s'", "pump-1");
	iot_error_hint(&err, "run 'iotctl %s'", "init");
	iot_error_hint(&err, "a later hint");
	CU_ASSERT_STRING_EQUAL(line_of(&err),
			       "'x.pem' does not exist, while reading 'x.pem', creating device 'pump-1'; "
			       "run 'iotctl init'");
}

static void test_fail_overwrites_everything(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	iot_fail(&err, IOT_AGAIN, "busy");
	iot_error_set_code(&err, "ThrottlingException");
	iot_error_while(&err, "waiting");
	iot_error_hint(&err, "wait");
	/* The old text may be an argument of the new one. */
	iot_fail(&err, IOT_FAILURE, "gave up: %s", err.what);
	CU_ASSERT_STRING_EQUAL(line_of(&err), "gave up: busy");
	CU_ASSERT_STRING_EQUAL(err.code, "");
	CU_ASSERT_EQUAL(err.status, IOT_FAILURE);
}

static void test_the_subject_is_named_once(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	iot_fail(&err, IOT_NOT_FOUND, "cannot read './p.json': no such file or directory");
	iot_error_while_at(&err, "reading policy", "./p.json");
	CU_ASSERT_STRING_EQUAL(line_of(&err), "cannot read './p.json': no such file or directory");
	/* another file's name is not this one's */
	iot_error_while_at(&err, "reading policy", "p.json");
	ASSERT_CONTAINS(line_of(&err), ", while reading policy 'p.json'");
	iot_fail(&err, IOT_USAGE, "it has no member 'x'");
	iot_error_while_at(&err, "reading policy", "./p.json");
	CU_ASSERT_STRING_EQUAL(line_of(&err), "it has no member 'x', while reading policy './p.json'");
	iot_error_while_at(NULL, "reading", "x");
}

static void test_errno_is_said_in_our_style(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	char long_name[600];

	CU_ASSERT_EQUAL(iot_fail_errno(&err, IOT_FAILURE, ENOSPC, "cannot write '%s'", "a"), IOT_FAILURE);
	CU_ASSERT_STRING_EQUAL(err.what, "cannot write 'a': no space left on device");
	iot_fail_errno(&err, IOT_FAILURE, EDOTDOT, "x");
	CU_ASSERT_STRING_EQUAL(err.what, "x: RFS specific error");
	iot_fail_errno(&err, IOT_FAILURE, 99999, "x");
	CU_ASSERT_STRING_EQUAL(err.what, "x: system error 99999");
	/* However long the subject, the reason is there. */
	memset(long_name, 'n', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	iot_fail_errno(&err, IOT_FAILURE, ENOENT, "cannot read '%s'", long_name);
	CU_ASSERT_EQUAL(strlen(err.what), sizeof(err.what) - 1);
	ASSERT_CONTAINS(err.what, "nnn: no such file or directory");
}

static void test_too_long_is_cut_between_characters(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	char text[2000], line[1100], small[8];

	/* Two-byte characters at odd offsets: the cut would fall inside one. */
	text[0] = 'x';
	for (size_t i = 1; i + 2 < sizeof(text); i += 2)
		memcpy(text + i, "\xc3\xa4", 3);
	iot_fail(&err, IOT_FAILURE, "%s", text);
	CU_ASSERT_EQUAL(strlen(err.what), sizeof(err.what) - 1);
	iot_fail(&err, IOT_FAILURE, "x%s", text);
	CU_ASSERT_EQUAL(strlen(err.what), sizeof(err.what) - 2);
	for (int i = 0; i < 40; i++)
		iot_error_while(&err, "step %d of something long", i);
	iot_error_hint(&err, "%s", text);
	iot_error_set_code(&err, text);
	CU_ASSERT_EQUAL(strncmp(err.doing, "step 0 of something long, step 1", 32), 0);
	iot_error_line(&err, line, sizeof(line));
	CU_ASSERT_PTR_NULL(strchr(line, '?'));
	CU_ASSERT_STRING_EQUAL(iot_error_line(&err, small, sizeof(small)), "xx\xc3\xa4\xc3\xa4");
}

static void test_foreign_bytes_cannot_move_the_cursor(void)
{
	static const unsigned char noise[] = {'O',
					      'K',
					      '\r',
					      '\n',
					      0x1b,
					      '[',
					      '2',
					      'J',
					      0x7f,
					      0xc2,
					      0x9b,
					      0xff,
					      /* right-to-left override */ 0xe2,
					      0x80,
					      0xae,
					      0};
	struct iot_error err = IOT_ERROR_INIT;

	iot_fail(&err, IOT_BOARD, "the board said '%s'", (const char *)noise);
	CU_ASSERT_STRING_EQUAL(line_of(&err), "the board said 'OK?\?\?[2J?\?\?\?'");
	iot_fail(&err, IOT_BOARD, "%s", "gr\xc3\xbcn");
	CU_ASSERT_STRING_EQUAL(line_of(&err), "gr\xc3\xbcn");
}

static void test_null_is_fine(void)
{
	char line[16] = "x";
	struct iot_error err = IOT_ERROR_INIT;

	CU_ASSERT_EQUAL(iot_fail(NULL, IOT_TIMEOUT, "late"), IOT_TIMEOUT);
	CU_ASSERT_EQUAL(iot_fail_errno(NULL, IOT_DENIED, EACCES, "x"), IOT_DENIED);
	iot_error_while(NULL, "x");
	iot_error_hint(NULL, "x");
	iot_error_set_code(NULL, "x");
	iot_error_clear(NULL);
	CU_ASSERT_STRING_EQUAL(iot_error_line(NULL, line, sizeof(line)), "");
	/* A status without words still says something. */
	err.status = IOT_TIMEOUT;
	CU_ASSERT_STRING_EQUAL(iot_error_line(&err, line, sizeof(line)), "timed out");
	iot_error_set_code(&err, NULL);
	iot_error_clear(&err);
	CU_ASSERT_EQUAL(err.status, IOT_OK);
}

/* These are a documented contract: numbers and names must never change. */
static void test_status_names(void)
{
	static const char *const names[] = {"ok",     "failure",      "usage",   "not_found", "conflict",
					    "denied", "partial",      "aborted", "timeout",   "again",
					    "board",  "verification", "settings"};

	for (int i = 0; i < (int)(sizeof(names) / sizeof(names[0])); i++) {
		CU_ASSERT_STRING_EQUAL(iot_status_name((enum iot_status)i), names[i]);
		CU_ASSERT(strlen(iot_status_text((enum iot_status)i)) > 3);
	}
	CU_ASSERT_STRING_EQUAL(iot_status_name(IOT_INTERRUPTED), "interrupted");
	CU_ASSERT_EQUAL(IOT_INTERRUPTED, 130);
	CU_ASSERT_STRING_EQUAL(iot_status_name((enum iot_status)77), "failure");
	CU_ASSERT_STRING_EQUAL(iot_status_text((enum iot_status)77), "failure");
}

UNIT_MAIN("base/error", NULL, NULL, {"line_has_all_parts", test_line_has_all_parts},
	  {"fail_overwrites_everything", test_fail_overwrites_everything},
	  {"the_subject_is_named_once", test_the_subject_is_named_once},
	  {"errno_is_said_in_our_style", test_errno_is_said_in_our_style},
	  {"too_long_is_cut_between_characters", test_too_long_is_cut_between_characters},
	  {"foreign_bytes_cannot_move_the_cursor", test_foreign_bytes_cannot_move_the_cursor},
	  {"null_is_fine", test_null_is_fine}, {"status_names", test_status_names})
