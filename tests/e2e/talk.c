/*
 * An MQTT client for the end-to-end tests, held by a script: what stdin tells is done, what comes is printed, one line
 * each. Unlike mosquitto_sub it shows whatever is delivered to it, publishes and receives over one connection, and
 * knows nothing of topics. MQTT 3.1.1, a clean session, no second attempt: as the agents on small boards.
 *
 *   talk DEVICE-FOLDER [CLIENT-ID]
 *   talk --token FILE PORT CA-FILE CLIENT-ID    with the token in a file as its password, and no certificate
 *
 *   sub QOS FILTER          pub QOS TOPIC [TEXT]       ret QOS TOPIC [TEXT] (retained)
 *   hex QOS TOPIC DIGITS    end
 *
 * prints: up, granted, refused, sent (acknowledged), got TOPIC TEXT, hex TOPIC DIGITS (what is no text), down REASON.
 */
#include "iotctl/base.h"
#include "iotctl/buf.h"
#include "iotctl/fs.h"
#include "iotctl/json.h"
#include "iotctl/mqtt.h"
#include "iotctl/text.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_down;

static void on_connected(struct iot_mqtt *mqtt, void *data)
{
	(void)mqtt, (void)data;
	puts("up");
}

static void on_disconnected(struct iot_mqtt *mqtt, enum iot_status status, const char *reason, void *data)
{
	(void)mqtt, (void)data, (void)status;
	is_down = true;
	printf("down %s\n", reason);
}

static bool is_text(const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)data[i] < ' ')
			return false;
	return iot_utf8_valid(data, len);
}

static void on_message(struct iot_mqtt *mqtt, const struct iot_mqtt_message *message, void *data)
{
	IOT_CLEAN(iot_free_p) char *hex = iot_alloc(2 * message->payload_len + 1);
	const char *text = message->payload;

	(void)mqtt, (void)data;
	if (is_text(text, message->payload_len))
		printf("got %s %.*s\n", message->topic, (int)message->payload_len, text);
	else
		printf("hex %s %s\n", message->topic, iot_hex(message->payload, message->payload_len, hex));
}

static void on_subscribed(struct iot_mqtt *mqtt, int mid, bool granted, void *data)
{
	(void)mqtt, (void)mid, (void)data;
	puts(granted ? "granted" : "refused");
}

static void on_published(struct iot_mqtt *mqtt, int mid, int reason_code, void *data)
{
	(void)mqtt, (void)mid, (void)reason_code, (void)data;
	puts("sent");
}

/* VERB QOS TOPIC [REST]. False: the end. */
static bool obey(struct iot_mqtt *mqtt, char *line)
{
	char *at = line, *verb = strsep(&at, " "), *qos = strsep(&at, " "), *topic = strsep(&at, " ");
	const char *rest = at != NULL ? at : "";
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status = IOT_USAGE;
	char bytes[4096];
	size_t half = strlen(rest) / 2;

	if (verb == NULL || strcmp(verb, "end") == 0)
		return false;
	if (qos == NULL || topic == NULL)
		status = iot_fail(&err, IOT_USAGE, "'%s' needs a QoS and a topic", verb);
	else if (strcmp(verb, "sub") == 0)
		status = iot_mqtt_subscribe(mqtt, topic, qos[0] - '0', NULL, &err);
	else if (strcmp(verb, "pub") == 0 || strcmp(verb, "ret") == 0)
		status = iot_mqtt_publish(mqtt, topic, rest, strlen(rest), qos[0] - '0', verb[0] == 'r', NULL, &err);
	else if (strcmp(verb, "hex") == 0 && half <= sizeof(bytes) && iot_unhex(rest, bytes, half))
		status = iot_mqtt_publish(mqtt, topic, bytes, half, qos[0] - '0', false, NULL, &err);
	if (status != IOT_OK)
		printf("fault %s\n", err.what);
	return true;
}

/* What came in, line by line. False: the end. */
static bool read_lines(struct iot_mqtt *mqtt, struct iot_buf *input)
{
	char *room = iot_buf_reserve(input, 4096), *line, *newline;
	ssize_t n = room != NULL ? read(STDIN_FILENO, room, 4096) : 0;
	bool go_on = true;

	if (n <= 0)
		return false;
	input->len += (size_t)n;
	while (go_on && (newline = memchr(input->data, '\n', input->len)) != NULL) {
		line = iot_strndup(input->data, (size_t)(newline - input->data));
		iot_buf_consume(input, strlen(line) + 1);
		go_on = obey(mqtt, line);
		free(line);
	}
	return go_on;
}

static void run(struct iot_mqtt *mqtt)
{
	struct iot_buf input = IOT_BUF_INIT(65536);
	bool go_on = true;

	while (go_on && !is_down) {
		struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
					{.fd = iot_mqtt_fd(mqtt), .events = iot_mqtt_poll_events(mqtt)}};

		if (poll(fds, 2, 1000) < 0)
			break;
		iot_mqtt_io(mqtt, fds[1].revents);
		if (!is_down && fds[0].revents != 0)
			go_on = read_lines(mqtt, &input);
	}
	iot_buf_release(&input);
}

static enum iot_status read_device(const char *folder, json_t **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(folder, "device.json");
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(65536);
	enum iot_status status = iot_fs_read(path, &text, err);

	return status == IOT_OK ? iot_json_parse(text.data, text.len, path, ret, err) : status;
}

static enum iot_status read_token(const char *path, struct iot_buf *token, struct iot_error *err)
{
	enum iot_status status = iot_fs_read(path, token, err);

	while (status == IOT_OK && token->len > 0 && token->data[token->len - 1] == '\n')
		token->data[--token->len] = '\0';
	return status;
}

static int talk(const struct iot_mqtt_options *options)
{
	static const struct iot_mqtt_events events = {
		.connected = on_connected,
		.disconnected = on_disconnected,
		.message = on_message,
		.subscribed = on_subscribed,
		.published = on_published,
	};
	IOT_CLEAN(iot_mqtt_free_p) struct iot_mqtt *mqtt = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status = iot_mqtt_new(options, &events, NULL, &mqtt, &err);

	if (status == IOT_OK)
		status = iot_mqtt_start(mqtt, &err);
	if (status != IOT_OK) {
		printf("fault %s\n", err.what);
		return (int)status;
	}
	run(mqtt);
	if (!is_down)
		iot_mqtt_disconnect(mqtt, 1000);
	return is_down ? 1 : 0;
}

int main(int argc, char **argv)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf token = IOT_BUF_SECRET(8192);
	const char *folder = argc > 1 ? argv[1] : ".";
	IOT_CLEAN(iot_free_p) char *ca = iot_path(folder, "ca.pem");
	IOT_CLEAN(iot_free_p) char *cert = iot_path(folder, "certificate.pem");
	IOT_CLEAN(iot_free_p) char *key = iot_path(folder, "private.key");
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON device = NULL;
	struct iot_mqtt_options options = {.ca_file = ca, .cert_file = cert, .key_file = key};
	enum iot_status status;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 6 && strcmp(folder, "--token") == 0) {
		status = read_token(argv[2], &token, &err);
		options = (struct iot_mqtt_options){.host = "localhost",
						    .port = (int)strtol(argv[3], NULL, 10),
						    .ca_file = argv[4],
						    .client_id = argv[5],
						    .username = "unused",
						    .password = iot_buf_str(&token)};
	} else {
		status = read_device(folder, &device, &err);
		options.host = iot_json_str(device, "endpoint", "localhost");
		options.port = (int)iot_json_int(device, "port", 8883);
		options.client_id = argc > 2 ? argv[2] : iot_json_str(device, "thingName", "");
	}
	if (status == IOT_OK)
		return talk(&options);
	printf("fault %s\n", err.what);
	return (int)status;
}
