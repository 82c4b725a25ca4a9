/*
 * What only OpenSSL can tell about a TLS connection that a library makes for us: why they fail.
 */
#ifndef IOTCTL_TLS_H
#define IOTCTL_TLS_H

/*
 * Why the peer's certificate was not accepted, in OpenSSL's words ("certificate
 * has expired", "unable to get local issuer certificate"), or NULL when nothing
 * was found wrong with it. `ssl` is an OpenSSL SSL object. The text is constant.
 */
const char *iot_tls_verify_fault(const void *ssl);

#endif
