/*
 * MQTT and TLS refusals in plain words: CONNACK codes of MQTT 3.1.1 (section
 * 3.2.2.3), reason codes of MQTT 5 (section 2.4), and what OpenSSL says when a
 * handshake fails, as libmosquitto passes it on in its log.
 */
#include "transport/mqtt_words.h"

#include "iotctl/base.h"

#include <string.h>

struct code_word {
	int code;
	const char *text;
};

static const struct code_word connack_311[] = {
	{1, "the broker does not speak this version of MQTT"},
	{2, "the broker refused the client id"},
	{3, "the broker is not available"},
	{4, "wrong user name or password"},
	{5, "the broker does not allow this client to connect"},
};

static const struct code_word reasons_5[] = {
	{129, "malformed packet"},
	{130, "protocol error"},
	{131, "the broker gave no reason of the standard's"},
	{132, "the broker does not speak this version of MQTT"},
	{133, "the broker refused the client id"},
	{134, "wrong user name or password"},
	{135, "the broker does not allow this client to connect"},
	{136, "the broker is not available"},
	{137, "the broker is busy"},
	{138, "this client is banned"},
	{139, "the broker is shutting down"},
	{140, "bad authentication method"},
	{141, "keep alive time-out"},
	{142, "another connection took over this client id"},
	{144, "topic name not valid"},
	{147, "too many messages in flight"},
	{149, "packet too large"},
	{150, "too many messages"},
	{151, "quota exceeded"},
	{152, "ended by an administrator"},
	{156, "use another broker"},
	{157, "the broker has moved"},
	{159, "too many connections"},
};

/* Texts of OpenSSL 3 (ssl/ssl_err.c): the part that tells, and what it means to a person. */
static const struct {
	const char *part, *text;
} tls_faults[] = {
	{"host name verification failed", "the broker's certificate is for another host name"},
	{"wrong version number", "the broker does not speak TLS on this port"},
	{"packet length too long", "the broker does not speak TLS on this port"},
	{"unsupported protocol", "the broker offers no TLS version of 1.2 or newer"},
	{"alert protocol version", "the broker wants another TLS version"},
	{"alert unknown ca", "the broker does not trust the issuer of this client's certificate"},
	{"alert certificate unknown", "the broker refused this client's certificate"},
	{"alert bad certificate", "the broker refused this client's certificate"},
	{"alert certificate expired", "this client's certificate has expired"},
	{"alert certificate revoked", "this client's certificate is revoked"},
	{"alert certificate required", "the broker wants a client certificate"},
	{"alert handshake failure", "the broker refused the TLS handshake"},
	{"alert no application protocol", "the broker refused the ALPN protocol"},
	{"alert access denied", "the broker refused this client's certificate"},
	{"key values mismatch", "the private key does not belong to the certificate"},
	{"unexpected eof", "the broker closed the connection during the TLS handshake"},
};

static const char *find(const struct code_word *words, size_t count, int code)
{
	for (size_t i = 0; i < count; i++) {
		if (words[i].code == code)
			return words[i].text;
	}
	return NULL;
}

const char *mqtt_connack_words(int code, bool mqtt5)
{
	const char *text =
		mqtt5 ? find(reasons_5, IOT_LENGTH(reasons_5), code) : find(connack_311, IOT_LENGTH(connack_311), code);

	return text != NULL ? text : "the broker refused the connection";
}

const char *mqtt_disconnect_words(int code)
{
	const char *text = find(reasons_5, IOT_LENGTH(reasons_5), code);

	return text != NULL ? text : "the broker ended the connection";
}

bool mqtt_connack_is_denial(int code, bool mqtt5)
{
	return mqtt5 ? code == 133 || code == 134 || code == 135 || code == 138 || code == 140
		     : code == 2 || code == 4 || code == 5;
}

const char *mqtt_tls_words(const char *text)
{
	for (size_t i = 0; i < IOT_LENGTH(tls_faults); i++) {
		if (strstr(text, tls_faults[i].part) != NULL)
			return tls_faults[i].text;
	}
	return NULL;
}

bool mqtt_tls_is_alpn(const char *text)
{
	return strstr(text, "alert no application protocol") != NULL;
}

bool mqtt_tls_is_denial(const char *text)
{
	return strstr(text, "alert ") != NULL && strstr(text, "protocol version") == NULL;
}
