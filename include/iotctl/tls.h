/*
 * What only OpenSSL can tell about TLS connections that a library makes for us: why they fail, and which one it is.
 */
#ifndef IOTCTL_TLS_H
#define IOTCTL_TLS_H

#include "iotctl/error.h"

#include <stdint.h>

/*
 * Why the peer's certificate was not accepted, in OpenSSL's words ("certificate
 * has expired", "unable to get local issuer certificate"), or NULL when nothing
 * was found wrong with it. `ssl` is an OpenSSL SSL object. The text is constant.
 */
const char *iot_tls_verify_fault(const void *ssl);

/*
 * Watch all connections of this process whose context (SSL_CTX) is made from now on: each gets a number, never given
 * twice. For a program with one thread, whose library tells us that a connection did something but not which one:
 * objects of the library are no names, since their memory is used again. Our code must stay in memory afterwards (a
 * shared object: linked with -z nodelete). Again: no harm. IOT_FAILURE: OpenSSL has no room for it.
 */
IOT_CHECK enum iot_status iot_tls_watch(struct iot_error *err);
/*
 * The number of the connection from which something (of a handshake, data, an alert) was read last; 0: of none, or it
 * is freed. Right after a library has read from a connection, this is that one.
 */
uint64_t iot_tls_current(void);

#endif
