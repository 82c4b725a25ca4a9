/*
 * What only OpenSSL can tell about a TLS connection: why one that a library makes for us fails, what was agreed on,
 * whether a server is who a device expects, and which of its connections a library reads from.
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
 * Which protocol the server chose by ALPN (RFC 7301). IOT_TLS_ALPN_OPEN: the handshake is not over. `ssl` as above;
 * `wanted` is what alone was offered.
 */
enum iot_tls_alpn { IOT_TLS_ALPN_OPEN, IOT_TLS_ALPN_NONE, IOT_TLS_ALPN_CHOSEN };
enum iot_tls_alpn iot_tls_alpn(const void *ssl, const char *wanted);

/*
 * From now on every certificate that a client of this process is given as a CA is an anchor, also one that another CA signed,
 * as in the TLS libraries of small devices: for simulators of such. IOT_FAILURE: OpenSSL does not take it.
 */
IOT_CHECK enum iot_status iot_tls_any_anchor(struct iot_error *err);

/*
 * Shake hands on a connected socket that does not block, and check the server's certificate: the root (PEM) issued its
 * chain, and it is for this host's name or address. A server that wants a certificate of ours is fine, since it shows
 * its own first. Blocks up to timeout_ms. IOT_VERIFY: not to be believed, or no TLS; IOT_USAGE: no root in the PEM;
 * IOT_AGAIN: the connection ended before; IOT_TIMEOUT.
 */
IOT_CHECK enum iot_status iot_tls_check_server(int fd, const char *host, const char *root_ca, int timeout_ms,
					       struct iot_error *err);

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
