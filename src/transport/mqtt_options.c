/*
 * What an MQTT client is made with: options that make sense, a copy of them that
 * lives as long as it, and how libmosquitto is told. Certificates and keys that
 * are given in memory are files there too, as libmosquitto takes nothing else.
 */
#include "transport/mqtt_internal.h"

#include "iotctl/base.h"

#include <errno.h>
#include <mqtt_protocol.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { INFLIGHT = 20 };

static void library_init(void)
{
	static bool done;
	struct sigaction now;

	if (done)
		return;
	done = true;
	mosquitto_lib_init();
	/* TLS writes to a socket the peer has closed would otherwise end the process. */
	if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
		signal(SIGPIPE, SIG_IGN);
}

static struct iot_mqtt_message *copy_will(const struct iot_mqtt_message *will)
{
	struct iot_mqtt_message *copy;
	void *payload;

	if (will == NULL)
		return NULL;
	copy = iot_alloc(sizeof(*copy));
	payload = iot_alloc(will->payload_len + 1);
	if (will->payload_len > 0)
		memcpy(payload, will->payload, will->payload_len);
	*copy = (struct iot_mqtt_message){
		.topic = iot_strdup(will->topic),
		.payload = payload,
		.payload_len = will->payload_len,
		.qos = will->qos,
		.retain = will->retain,
	};
	return copy;
}

static enum iot_status check_options(const struct iot_mqtt_options *options, struct iot_error *err)
{
	if (options->client_id == NULL || options->client_id[0] == '\0')
		return iot_fail(err, IOT_USAGE, "an MQTT client needs a client id");
	if (options->unix_path != NULL) {
		if (strlen(options->unix_path) > 107)
			return iot_fail(err, IOT_USAGE, "the path of the broker's socket is too long: '%s'",
					options->unix_path);
		return IOT_OK;
	}
	if (options->host == NULL || options->port < 1 || options->port > 65535)
		return iot_fail(err, IOT_USAGE, "an MQTT client needs a host and a port from 1 to 65535");
	if (options->ca_pem != NULL && options->cert_pem != NULL && options->key_pem != NULL)
		return IOT_OK;
	if (options->ca_file == NULL)
		return iot_fail(err, IOT_USAGE, "an MQTT client needs the certificates it shall trust");
	if ((options->cert_file == NULL) != (options->key_file == NULL))
		return iot_fail(err, IOT_USAGE, "a client certificate needs its private key, and the other way round");
	if (options->mqtt5 && options->keep_session)
		return iot_fail(err, IOT_USAGE, "a kept MQTT 5 session over TLS is not supported");
	return IOT_OK;
}

/* libmosquitto takes certificates and keys from files only: this one is in memory, and ours alone. New memory. */
static enum iot_status memory_file(const char *what, const char *pem, int *fd, const char **ret_path,
				   struct iot_error *err)
{
	size_t len = strlen(pem);

	*fd = memfd_create(what, MFD_CLOEXEC);
	if (*fd < 0 || write(*fd, pem, len) != (ssize_t)len)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot keep the %s in memory", what);
	*ret_path = iot_strf("/proc/self/fd/%d", *fd);
	return IOT_OK;
}

static enum iot_status keep_in_memory(struct iot_mqtt *mqtt, const struct iot_mqtt_options *options,
				      struct iot_error *err)
{
	struct iot_mqtt_options *mine = &mqtt->options;
	enum iot_status status;

	mine->ca_pem = mine->cert_pem = mine->key_pem = NULL;
	if (options->ca_pem == NULL)
		return IOT_OK;
	status = memory_file("CA certificate", options->ca_pem, &mqtt->memory[0], &mine->ca_file, err);
	if (status == IOT_OK)
		status = memory_file("client certificate", options->cert_pem, &mqtt->memory[1], &mine->cert_file, err);
	if (status == IOT_OK)
		status = memory_file("client key", options->key_pem, &mqtt->memory[2], &mine->key_file, err);
	return status;
}

enum iot_status iot_mqtt_new(const struct iot_mqtt_options *options, const struct iot_mqtt_events *events, void *data,
			     struct iot_mqtt **ret, struct iot_error *err)
{
	enum iot_status status = check_options(options, err);
	struct iot_mqtt *mqtt;
	struct iot_mqtt_options *mine;

	if (status != IOT_OK)
		return status;
	library_init();
	mqtt = iot_alloc(sizeof(*mqtt));
	mqtt->options = *options;
	mine = &mqtt->options;
	mine->host = iot_strdup(options->host);
	mine->unix_path = iot_strdup(options->unix_path);
	mine->client_id = iot_strdup(options->client_id);
	mine->ca_file = options->ca_pem == NULL ? iot_strdup(options->ca_file) : NULL;
	mine->cert_file = options->ca_pem == NULL ? iot_strdup(options->cert_file) : NULL;
	mine->key_file = options->ca_pem == NULL ? iot_strdup(options->key_file) : NULL;
	mine->alpn = iot_strdup(options->alpn);
	mine->username = iot_strdup(options->username);
	mine->password = iot_strdup(options->password);
	mine->will = copy_will(options->will);
	if (events != NULL)
		mqtt->events = *events;
	mqtt->data = data;
	mqtt->wait_mid = -1;
	for (size_t i = 0; i < IOT_LENGTH(mqtt->memory); i++)
		mqtt->memory[i] = -1;
	status = keep_in_memory(mqtt, options, err);
	if (status == IOT_OK)
		*ret = mqtt;
	else
		iot_mqtt_free(mqtt);
	return status;
}

static void free_text(const char *text)
{
	free((void *)(uintptr_t)text);
}

void iot_mqtt_free(struct iot_mqtt *mqtt)
{
	if (mqtt == NULL)
		return;
	mqtt_drop(mqtt);
	if (mqtt->options.password != NULL)
		iot_wipe((void *)(uintptr_t)mqtt->options.password, strlen(mqtt->options.password));
	free_text(mqtt->options.host);
	free_text(mqtt->options.unix_path);
	free_text(mqtt->options.client_id);
	free_text(mqtt->options.ca_file);
	free_text(mqtt->options.cert_file);
	free_text(mqtt->options.key_file);
	free_text(mqtt->options.alpn);
	free_text(mqtt->options.username);
	free_text(mqtt->options.password);
	if (mqtt->options.will != NULL) {
		free_text(mqtt->options.will->topic);
		free((void *)(uintptr_t)mqtt->options.will->payload);
		free((void *)(uintptr_t)mqtt->options.will);
	}
	for (size_t i = 0; i < IOT_LENGTH(mqtt->memory); i++)
		iot_close_p(&mqtt->memory[i]);
	free(mqtt->pending);
	free(mqtt->done);
	free(mqtt);
}

void iot_mqtt_free_p(struct iot_mqtt **mqtt)
{
	iot_mqtt_free(*mqtt);
}

/* An encrypted key would make OpenSSL ask at the terminal. */
static int no_passphrase(char *buf, int size, int rwflag, void *data)
{
	(void)buf, (void)size, (void)rwflag, (void)data;
	return 0;
}

enum iot_status mqtt_configure(struct iot_mqtt *mqtt, struct iot_error *err)
{
	const struct iot_mqtt_options *o = &mqtt->options;
	int rc;

	mqtt_set_callbacks(mqtt);
	rc = mosquitto_int_option(mqtt->mosq, MOSQ_OPT_PROTOCOL_VERSION,
				  o->mqtt5 ? MQTT_PROTOCOL_V5 : MQTT_PROTOCOL_V311);
	if (rc == MOSQ_ERR_SUCCESS)
		rc = mosquitto_int_option(mqtt->mosq, MOSQ_OPT_SEND_MAXIMUM, o->inflight > 0 ? o->inflight : INFLIGHT);
	if (rc == MOSQ_ERR_SUCCESS && o->host != NULL)
		rc = mosquitto_int_option(mqtt->mosq, MOSQ_OPT_TCP_NODELAY, 1);
	if (rc == MOSQ_ERR_SUCCESS && o->username != NULL)
		rc = mosquitto_username_pw_set(mqtt->mosq, o->username, o->password);
	if (rc == MOSQ_ERR_SUCCESS && o->will != NULL)
		rc = mosquitto_will_set(mqtt->mosq, o->will->topic, (int)o->will->payload_len, o->will->payload,
					o->will->qos, o->will->retain);
	if (rc != MOSQ_ERR_SUCCESS)
		return iot_fail(err, IOT_USAGE, "bad MQTT settings for client '%s': %s", o->client_id,
				mosquitto_strerror(rc));
	if (o->host == NULL)
		return IOT_OK;
	if (o->alpn != NULL && mosquitto_string_option(mqtt->mosq, MOSQ_OPT_TLS_ALPN, o->alpn) != MOSQ_ERR_SUCCESS)
		return iot_fail(err, IOT_USAGE, "libmosquitto cannot offer the protocol '%s' by ALPN", o->alpn);
	rc = mosquitto_tls_set(mqtt->mosq, o->ca_file, NULL, o->cert_file, o->key_file, no_passphrase);
	if (rc != MOSQ_ERR_SUCCESS) {
		const char *bad = access(o->ca_file, R_OK) != 0                             ? o->ca_file
				  : o->cert_file != NULL && access(o->cert_file, R_OK) != 0 ? o->cert_file
				  : o->key_file != NULL                                     ? o->key_file
											    : o->ca_file;
		return iot_fail(err, IOT_SETTINGS, "cannot read '%s'", bad);
	}
	return IOT_OK;
}
