/* Loading libcurl, and finding the functions that the HTTP client uses. */
#include "transport/http_library.h"

#include "iotctl/base.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

struct http_library iot_curl;

#define FUNCTION(name)                                                                                                 \
	{                                                                                                              \
		"curl_" #name, offsetof(struct http_library, name)                                                     \
	}
static const struct {
	const char *name;
	size_t at;
} functions[] = {
	FUNCTION(global_init),         FUNCTION(easy_init),     FUNCTION(easy_setopt),   FUNCTION(easy_getinfo),
	FUNCTION(easy_reset),          FUNCTION(easy_cleanup),  FUNCTION(easy_strerror), FUNCTION(slist_append),
	FUNCTION(slist_free_all),      FUNCTION(multi_init),    FUNCTION(multi_setopt),  FUNCTION(multi_add_handle),
	FUNCTION(multi_remove_handle), FUNCTION(multi_perform), FUNCTION(multi_poll),    FUNCTION(multi_info_read),
	FUNCTION(multi_cleanup),
};

enum iot_status iot_http_library(struct iot_error *err)
{
	static void *library; /* never closed: it has threads and exit handlers of its own */
	struct http_library found;

	if (library != NULL)
		return IOT_OK;
	library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
	if (library == NULL) {
		iot_fail(err, IOT_FAILURE, "libcurl cannot be loaded: %s", dlerror());
		iot_error_hint(err, "install the package libcurl4");
		return IOT_FAILURE;
	}
	for (size_t i = 0; i < IOT_LENGTH(functions); i++) {
		void *function = dlsym(library, functions[i].name);

		if (function == NULL) {
			dlclose(iot_take(library));
			return iot_fail(err, IOT_FAILURE, "libcurl has no %s: it is too old", functions[i].name);
		}
		memcpy((char *)&found + functions[i].at, &function, sizeof(function));
	}
	iot_curl = found;
	if (iot_curl.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
		return IOT_OK;
	dlclose(iot_take(library));
	return iot_fail(err, IOT_FAILURE, "libcurl cannot be started");
}
