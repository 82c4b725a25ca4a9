/*
 * libcurl, loaded when the first request needs it: with all that it brings it
 * takes three times as long to load as everything else in the program, and
 * most commands send no request.
 */
#ifndef IOTCTL_TRANSPORT_HTTP_LIBRARY_H
#define IOTCTL_TRANSPORT_HTTP_LIBRARY_H

#define CURL_DISABLE_TYPECHECK /* its macros call by name */
#include <curl/curl.h>

#include "iotctl/error.h"

#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

struct http_library {
	__typeof__(&curl_global_init) global_init;
	__typeof__(&curl_easy_init) easy_init;
	__typeof__(&curl_easy_setopt) easy_setopt;
	__typeof__(&curl_easy_getinfo) easy_getinfo;
	__typeof__(&curl_easy_reset) easy_reset;
	__typeof__(&curl_easy_cleanup) easy_cleanup;
	__typeof__(&curl_easy_strerror) easy_strerror;
	__typeof__(&curl_slist_append) slist_append;
	__typeof__(&curl_slist_free_all) slist_free_all;
	__typeof__(&curl_multi_init) multi_init;
	__typeof__(&curl_multi_setopt) multi_setopt;
	__typeof__(&curl_multi_add_handle) multi_add_handle;
	__typeof__(&curl_multi_remove_handle) multi_remove_handle;
	__typeof__(&curl_multi_perform) multi_perform;
	__typeof__(&curl_multi_poll) multi_poll;
	__typeof__(&curl_multi_info_read) multi_info_read;
	__typeof__(&curl_multi_cleanup) multi_cleanup;
};

/* Filled by iot_http_library. */
extern struct http_library iot_curl;
/* Load and start it, once for the life of the process. IOT_FAILURE names the package when it is missing. */
IOT_CHECK enum iot_status iot_http_library(struct iot_error *err);

#endif
