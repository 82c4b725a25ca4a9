/* A TCP connection within a time: what every client of this folder that is not a library's begins with. */
#ifndef IOTCTL_TRANSPORT_DIAL_H
#define IOTCTL_TRANSPORT_DIAL_H

#include "iotctl/error.h"

#include <stdint.h>

/*
 * Connect to the first address of the host that takes it; *ret_fd does not block and is the caller's to close. Looking
 * the name up blocks. IOT_AGAIN: no such host, or nobody answers; IOT_TIMEOUT.
 */
IOT_CHECK enum iot_status transport_dial(const char *host, int port, int64_t deadline, int *ret_fd,
					 struct iot_error *err);

#endif
