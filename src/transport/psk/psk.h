/* What listener and client share: how TLS is set up, and why it failed, in words. */
#ifndef IOTCTL_TRANSPORT_PSK_H
#define IOTCTL_TRANSPORT_PSK_H

#include "iotctl/error.h"

#include <openssl/ssl.h>

/* Shared by both sides; `server` tells which. IOT_USAGE: the suites are none. */
IOT_CHECK enum iot_status psk_context_new(bool server, const char *suites, SSL_CTX **ret, struct iot_error *err);

/* Why the last call on a connection failed: OpenSSL's queue is read and emptied. Constant text, or NULL: the peer has
 * gone. */
const char *psk_fault(void);

#endif
