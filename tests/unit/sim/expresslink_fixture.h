/* A module without a wire: lines in, answers out. */
#ifndef IOTCTL_TEST_EXPRESSLINK_FIXTURE_H
#define IOTCTL_TEST_EXPRESSLINK_FIXTURE_H

#include "iotctl/base.h"
#include "iotctl/log.h"
#include "sim/expresslink/module.h"
#include "unit.h"

static char *dir;
static struct iot_sim_expresslink_options options;
static struct module *module;
static struct iot_buf answer = IOT_BUF_INIT(1024 * 1024);

static inline void start_module(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(module_new(&options, NULL, NULL, &module, &err), &err);
}

static inline void stop_module(void)
{
	module_free(module);
	module = NULL;
}

static inline void set_up(void)
{
	iot_log_set_level(IOT_LOG_ERROR);
	dir = unit_mkdtemp();
	options = (struct iot_sim_expresslink_options){.link = "board0", .state = dir, .seed = 1};
	start_module();
}

static inline void tear_down(void)
{
	stop_module();
	CU_ASSERT_EQUAL(iot_fs_remove_tree(dir, NULL), IOT_OK);
	free(dir);
	iot_buf_release(&answer);
}

/* Bytes as they are; what the module says to them. */
static inline const char *raw(const char *bytes, size_t len)
{
	size_t taken = module_feed(module, bytes, len);

	CU_ASSERT_EQUAL(taken, len);
	iot_buf_clear(&answer);
	iot_buf_add(&answer, iot_buf_str(&module->out), module->out.len);
	iot_buf_clear(&module->out);
	return iot_buf_str(&answer);
}

/* A line without its end; the answer without its last one. */
static inline const char *ask(const char *line)
{
	char *text = iot_strf("%s\n", line);
	const char *said = raw(text, strlen(text));

	free(text);
	while (answer.len > 0 && strchr("\r\n", answer.data[answer.len - 1]) != NULL)
		answer.data[--answer.len] = '\0';
	return said;
}

#define ASSERT_ANSWER(line, expected)                                                                                  \
	do {                                                                                                           \
		const char *said_ = ask(line);                                                                         \
		if (strcmp(said_, (expected)) != 0)                                                                    \
			fprintf(stderr, "\n%s:%d: '%s' gave '%s', not '%s'\n", __FILE__, __LINE__, line, said_,        \
				(expected));                                                                           \
		CU_ASSERT_STRING_EQUAL(said_, (expected));                                                             \
	} while (0)

#endif
