/* An endpoint that devices connect to: is somebody there, and would they believe who it is? */
#ifndef IOTCTL_ENDPOINT_H
#define IOTCTL_ENDPOINT_H

#include "iotctl/error.h"

#include <stddef.h>

/*
 * "HOST", "HOST:PORT" or "[ADDRESS]:PORT" into its parts; *ret_port is left alone where none is given. IOT_USAGE: no
 * host, a port that is none, characters that a host's name cannot have, or it does not fit.
 */
IOT_CHECK enum iot_status iot_endpoint_split(const char *endpoint, char *host, size_t size, int *ret_port,
					     struct iot_error *err);

/*
 * Connect, and check the certificate that is shown there as a device does: its chain ends at the root (PEM, alone: the
 * system's are not used) and it carries the host's name or address. Nothing is sent, and whether the server would let
 * anybody in is not asked. Blocks up to timeout_ms (and for looking the name up). IOT_AGAIN: nobody answers, or no such
 * host; IOT_VERIFY: the certificate is not to be believed, or what answers does not speak TLS; IOT_TIMEOUT.
 */
IOT_CHECK enum iot_status iot_endpoint_check(const char *host, int port, const char *root_ca, int timeout_ms,
					     struct iot_error *err);

#endif
