/* Looking at an endpoint with the eyes of a device: its address, its port, its certificate. */
#include "iotctl/endpoint.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/text.h"
#include "iotctl/tls.h"
#include "transport/dial.h"

#include <string.h>

enum iot_status iot_endpoint_split(const char *endpoint, char *host, size_t size, int *ret_port, struct iot_error *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
	bool bracketed = *endpoint == '[';
	const char *from = endpoint + bracketed;
	size_t len = strspn(from, bracketed ? "0123456789abcdefABCDEF:." : allowed);
	const char *rest = from + len;
	int64_t port = 0;

	if (bracketed && *rest++ != ']')
		rest = "?";
	if (len == 0 || len >= size || (*rest != '\0' && *rest != ':') ||
	    (*rest == ':' && iot_parse_int(rest + 1, 1, 65535, &port, NULL) != IOT_OK)) {
		iot_fail(err, IOT_USAGE, "'%.120s' is no endpoint", endpoint);
		iot_error_hint(err, "give a host's name, and its port where that is another: iot.example.com:8883");
		return IOT_USAGE;
	}
	memcpy(host, from, len);
	host[len] = '\0';
	if (port > 0)
		*ret_port = (int)port;
	return IOT_OK;
}

enum iot_status iot_endpoint_check(const char *host, int port, const char *root_ca, int timeout_ms,
				   struct iot_error *err)
{
	int64_t deadline = iot_deadline(timeout_ms);
	IOT_CLEAN(iot_close_p) int fd = -1;
	enum iot_status status = transport_dial(host, port, deadline, &fd, err);

	if (status == IOT_OK)
		status = iot_tls_check_server(fd, host, root_ca, iot_left(deadline), err);
	if (status != IOT_OK)
		iot_error_while(err, "looking at '%s:%d'", host, port);
	return status;
}
