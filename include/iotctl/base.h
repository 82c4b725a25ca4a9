/*
 * Small things every layer uses: scope cleanup, sizes, bounded loops.
 */
#ifndef IOTCTL_BASE_H
#define IOTCTL_BASE_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define IOT_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/*
 * IOT_CLEAN(fn): call fn(&variable) when the variable leaves its scope.
 * iot_take(p): hand the pointer over; the variable is NULL afterwards and its
 * cleanup does nothing.
 */
#define IOT_CLEAN(fn) __attribute__((cleanup(fn)))
#define iot_take(p)                      \
	(__extension__({                 \
		__typeof__(p) t_ = (p);  \
		(p) = NULL;              \
		t_;                      \
	}))

/*
 * Memory. These never return NULL: when the system has no memory left the
 * process ends with one line on stderr (all input sizes are bounded before
 * anything is allocated for them). Free with free().
 */
void *iot_alloc(size_t size);                       /* zeroed */
void *iot_alloc_array(size_t count, size_t size);   /* zeroed, overflow-checked */
void *iot_realloc(void *p, size_t size);
char *iot_strdup(const char *s);                    /* NULL gives NULL */
char *iot_strndup(const char *s, size_t n);
char *iot_strf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Overwrite memory so that the compiler cannot leave it out. */
void iot_wipe(void *p, size_t size);

/* For IOT_CLEAN: free() through a pointer to pointer; wipes nothing. */
void iot_free_p(void *pp);
/* For IOT_CLEAN on a FILE * and on an int descriptor (closed when >= 0). */
void iot_fclose_p(void *fp);
void iot_close_p(int *fd);
/* Hand a descriptor over: the variable is -1 afterwards. */
int iot_take_fd(int *fd);

#endif
