/* Refusals in plain words; see mqtt_words.c. All texts are constants. */
#ifndef IOTCTL_TRANSPORT_MQTT_WORDS_H
#define IOTCTL_TRANSPORT_MQTT_WORDS_H

#include <stdbool.h>

/* Never NULL. */
const char *mqtt_connack_words(int code, bool mqtt5);
const char *mqtt_disconnect_words(int code);
/* Is it this client that is not wanted (rather than the broker not ready)? */
bool mqtt_connack_is_denial(int code, bool mqtt5);

/* A line of OpenSSL's or libmosquitto's in words, or NULL when it says nothing we know. */
const char *mqtt_tls_words(const char *text);
/* Was it the broker that refused us? */
bool mqtt_tls_is_denial(const char *text);

/* Did the server refuse the protocol that was offered by ALPN? */
bool mqtt_tls_is_alpn(const char *text);
/* What is said then, and of a server that chose none. */
#define MQTT_NO_ALPN "there is no MQTT on this port: the server does not know the ALPN protocol '%s'"

#endif
