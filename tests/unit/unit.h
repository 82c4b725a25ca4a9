/*
 * One test program per module: list the tests in UNIT_MAIN and run the program
 * (all of them) or the program with test names (only those).
 *
 *   static void test_adds(void) { CU_ASSERT_EQUAL(1 + 1, 2); }
 *   UNIT_MAIN("base/sum", NULL, NULL, {"adds", test_adds})
 *
 * Prefer soft assertions: a fatal one jumps out of the test and leaks what the
 * test holds. set_up and tear_down run around each test; NULL when not needed.
 */
#ifndef IOTCTL_UNIT_H
#define IOTCTL_UNIT_H

#include "iotctl/error.h"
#include "iotctl/fs.h"

#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

struct unit_test {
	const char *name;
	void (*run)(void);
};

static inline int unit_main(int argc, char **argv, const char *suite_name, CU_SetUpFunc set_up, CU_TearDownFunc tear_down,
			    const struct unit_test *tests, size_t count)
{
	CU_pSuite suite;
	unsigned failures;

	if (CU_initialize_registry() != CUE_SUCCESS)
		return 1;
	suite = CU_add_suite_with_setup_and_teardown(suite_name, NULL, NULL, set_up, tear_down);
	for (size_t i = 0; i < count; i++) {
		bool wanted = argc < 2;
		for (int a = 1; a < argc; a++)
			wanted = wanted || strcmp(argv[a], tests[i].name) == 0;
		if (wanted && CU_add_test(suite, tests[i].name, tests[i].run) == NULL)
			return 1;
	}
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	failures = CU_get_number_of_failures();
	if (CU_get_number_of_tests_run() == 0) {
		fprintf(stderr, "no test of that name\n");
		failures = 1;
	}
	CU_cleanup_registry();
	return failures != 0;
}

#define UNIT_MAIN(suite, set_up, tear_down, ...)                                                                  \
	int main(int argc, char **argv)                                                                           \
	{                                                                                                         \
		static const struct unit_test tests[] = {__VA_ARGS__};                                            \
		return unit_main(argc, argv, suite, set_up, tear_down, tests, sizeof(tests) / sizeof(tests[0])); \
	}

/* Assert that a call returned a status; prints the error line when it did not. */
#define ASSERT_STATUS(call, expected, err)                                              \
	do {                                                                            \
		enum iot_status s_ = (call);                                            \
		char l_[1024];                                                          \
		if (s_ != (expected))                                                   \
			fprintf(stderr, "\n%s:%d: %s gave %d: %s\n", __FILE__, __LINE__, #call, (int)s_, \
				iot_error_line((err), l_, sizeof(l_)));                 \
		CU_ASSERT_EQUAL(s_, (expected));                                        \
	} while (0)
#define ASSERT_OK(call, err) ASSERT_STATUS(call, IOT_OK, err)
#define ASSERT_CONTAINS(text, part) CU_ASSERT_PTR_NOT_NULL(strstr((text), (part)))

static inline char *unit_mkdtemp_in(const char *where)
{
	char template[64];

	snprintf(template, sizeof(template), "%s/iotctl-unit-XXXXXX", where);
	return mkdtemp(template) != NULL ? strdup(template) : NULL;
}

/* A fresh temporary folder; iot_fs_remove_tree() removes it with everything. */
static inline char *unit_mkdtemp(void)
{
	char *dir = unit_mkdtemp_in("/tmp");

	if (dir == NULL)
		abort();
	return dir;
}

/* The same in memory, where the machine has enough: for tests that would mostly wait for the disk and ask nothing of it. */
static inline char *unit_mkdtemp_memory(void)
{
	struct statvfs vfs;
	char *dir = NULL;

	if (statvfs("/dev/shm", &vfs) == 0 && (uint64_t)vfs.f_bavail * vfs.f_frsize >= UINT64_C(512) << 20)
		dir = unit_mkdtemp_in("/dev/shm");
	return dir != NULL ? dir : unit_mkdtemp();
}

#endif
