/*
 * Memory that is either there or ends the process, and the cleanup functions
 * for IOT_CLEAN. All sizes are bounded by the callers before anything is
 * allocated, so running out of memory means that the machine has none left and
 * nothing useful can be done about it.
 */
#include "iotctl/base.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Not abort(): a core file could hold keys. */
static _Noreturn void out_of_memory(void)
{
	static const char line[] = "iotctl: out of memory\n";

	if (write(STDERR_FILENO, line, sizeof(line) - 1) < 0)
		_exit(1);
	_exit(1);
}

void *iot_alloc(size_t size)
{
	return iot_alloc_array(1, size);
}

void *iot_alloc_array(size_t count, size_t size)
{
	void *p;

	if (count == 0 || size == 0)
		count = size = 1;
	p = calloc(count, size);
	if (p == NULL)
		out_of_memory();
	return p;
}

void *iot_realloc(void *p, size_t size)
{
	p = realloc(p, size > 0 ? size : 1);
	if (p == NULL)
		out_of_memory();
	return p;
}

char *iot_strdup(const char *s)
{
	return s != NULL ? iot_strndup(s, strlen(s)) : NULL;
}

char *iot_strndup(const char *s, size_t n)
{
	char *copy;

	if (s == NULL)
		return NULL;
	n = strnlen(s, n);
	copy = iot_alloc(n + 1);
	memcpy(copy, s, n);
	return copy;
}

char *iot_strf(const char *fmt, ...)
{
	va_list args;
	char *text = NULL;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		out_of_memory();
	va_end(args);
	return text;
}

void iot_wipe(void *p, size_t size)
{
	if (p != NULL && size > 0)
		explicit_bzero(p, size);
}

void iot_free_p(void *pp)
{
	void *p;

	/* Not *(void **)pp: what it points to has another type. */
	memcpy(&p, pp, sizeof(p));
	free(p);
}

void iot_fclose_p(void *fp)
{
	FILE *file = *(FILE **)fp;
	int saved = errno;

	if (file != NULL)
		fclose(file);
	errno = saved;
}

int iot_take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

void iot_close_p(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}
