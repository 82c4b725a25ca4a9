/*
 * For the tests of this folder: a temporary folder around each test, files in
 * it, and the openssl program as a second opinion.
 */
#ifndef IOTCTL_UNIT_CRYPTO_HELPERS_H
#define IOTCTL_UNIT_CRYPTO_HELPERS_H

#include "iotctl/base.h"
#include "iotctl/buf.h"
#include "iotctl/key.h"
#include "unit.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *tmp_dir;

static inline void make_dir(void)
{
	tmp_dir = unit_mkdtemp();
}

static inline void remove_dir(void)
{
	if (iot_fs_remove_tree(tmp_dir, NULL) != IOT_OK)
		abort();
	free(tmp_dir);
	tmp_dir = NULL;
}

/* A path in the test's folder; valid until the 64th next call. */
static inline const char *in_dir(const char *name)
{
	static char paths[64][256];
	static unsigned next;
	char *path = paths[next++ % 64];

	snprintf(path, sizeof(paths[0]), "%s/%s", tmp_dir, name);
	return path;
}

static inline void put_file(const char *path, const void *data, size_t len, mode_t mode)
{
	FILE *f = fopen(path, "wb");

	if (f == NULL || fwrite(data, 1, len, f) != len || fclose(f) != 0 || chmod(path, mode) != 0)
		abort();
}

/* Run a shell command quietly; its exit status, 127 when it is not installed. */
static inline int run(const char *fmt, ...) IOT_PRINTF(1, 2);
static inline int run(const char *fmt, ...)
{
	char command[2048];
	va_list args;
	int status;

	va_start(args, fmt);
	vsnprintf(command, sizeof(command) - 32, fmt, args);
	va_end(args);
	strcat(command, " >/dev/null 2>&1");
	status = system(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static inline bool have(const char *command)
{
	bool there = run("command -v %s", command) == 0;

	if (!there)
		fprintf(stderr, "\nSKIPPED in part: '%s' is not installed\n", command);
	return there;
}

static inline struct iot_key *new_key(enum iot_key_type type)
{
	struct iot_key *key = NULL;

	if (iot_key_generate(type, &key, NULL) != IOT_OK)
		abort();
	return key;
}

/* A secret source for tests: the text in `context`; NULL is a person who gives up. */
static inline enum iot_status give_text(void *context, const char *subject, struct iot_buf *secret,
					struct iot_error *err)
{
	if (context == NULL)
		return iot_fail(err, IOT_INTERRUPTED, "no answer to '%s'", subject);
	iot_buf_adds(secret, context);
	return IOT_OK;
}

#endif
