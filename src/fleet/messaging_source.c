/*
 * Where the messages of one publish call come from: topics times devices times
 * repetitions of one payload, or lines. The same input gives the same numbers in
 * every call, so that a journal can tell what was sent before.
 */
#include "fleet/messaging_private.h"

#include "iotctl/base.h"
#include "iotctl/json.h"
#include "iotctl/text.h"
#include "iotctl/topic.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum {
	LINE_MAX_BYTES = 1024 * 1024, /* the largest payload in the most wasteful spelling, and some */
	READ_BYTES = 65536,
};

struct source {
	const struct iot_publish_options *options;
	int64_t number;
	size_t topic, device; /* of the next message */
	int64_t round;        /* repetition */

	struct iot_buf input;
	size_t at;          /* consumed of it */
	bool eof, skipping; /* skipping: the rest of a line that was too long */
	int64_t line;
	bool line_open; /* a line's payload still has topics to go to */
	struct iot_buf payload;
};

void message_release(struct message *message)
{
	free(message->topic);
	free(message->payload);
	*message = (struct message){0};
}

const void *message_payload(const struct message *message, const struct iot_publish_options *options)
{
	return message->payload != NULL ? message->payload : options->payload;
}

struct source *source_new(const struct iot_publish_options *options)
{
	struct source *source = iot_alloc(sizeof(*source));

	source->options = options;
	source->input = (struct iot_buf)IOT_BUF_INIT(LINE_MAX_BYTES + READ_BYTES);
	source->payload = (struct iot_buf)IOT_BUF_INIT(LINE_MAX_BYTES);
	return source;
}

void source_free_p(struct source **source)
{
	if (*source == NULL)
		return;
	iot_buf_release(&(*source)->input);
	iot_buf_release(&(*source)->payload);
	free(*source);
}

/* --- templates ---------------------------------------------------------------------------- */

/* The placeholder at the start of `text`: its length and value, or 0. */
static size_t placeholder(const char *text, const struct iot_publish_device *device, const char **ret_value)
{
	static const char *const names[] = {"{name}", "{thing}", "{type}"};

	for (size_t i = 0; i < IOT_LENGTH(names); i++) {
		if (!iot_starts_with(text, names[i]))
			continue;
		*ret_value = device == NULL ? NULL : i < 2 ? device->thing : device->type;
		return strlen(names[i]);
	}
	return 0;
}

static enum iot_status expand(const char *template, const struct iot_publish_device *device, char **ret,
			      struct iot_error *err)
{
	struct iot_buf out = IOT_BUF_INIT(65536);
	bool found = false;
	enum iot_status status = IOT_OK;

	for (const char *at = template; *at != '\0' && status == IOT_OK;) {
		const char *value = NULL;
		size_t len = placeholder(at, device, &value), plain = len == 0 ? 1 + strcspn(at + 1, "{") : 0;

		found = found || len > 0;
		if (len == 0)
			iot_buf_add(&out, at, plain);
		else if (device == NULL)
			status = iot_fail(err, IOT_USAGE, "topic '%s' is for devices, and none are named", template);
		else if (*value == '\0')
			status = iot_fail(err, IOT_USAGE, "topic '%s' needs a thing type, and device '%s' has none",
					  template, device->thing);
		else
			iot_buf_adds(&out, value);
		at += len + plain;
	}
	if (device == NULL && status != IOT_OK)
		iot_error_hint(err, "name them with --to, --group or --all");
	if (status == IOT_OK && device != NULL && !found)
		status =
			iot_fail(err, IOT_USAGE, "topic '%s' is the same for every device: it has no {name}", template);
	if (status == IOT_OK)
		status = iot_buf_check(&out, template, err);
	if (status == IOT_OK)
		*ret = iot_buf_detach(&out);
	iot_buf_release(&out);
	return status;
}

static const struct iot_publish_device *device_at(const struct iot_publish_options *options, size_t i)
{
	return options->device_count > 0 ? &options->devices[i] : NULL;
}

/* The topic at the source's place, with what belongs to it; new memory in ret->topic. */
static enum iot_status make_topic(const struct iot_publish_options *options, size_t topic, size_t device,
				  struct message *ret, struct iot_error *err)
{
	ret->qos = options->qos;
	ret->retain = options->retain;
	if (!options->by_role)
		return expand(options->topics[topic], device_at(options, device), &ret->topic, err);
	ret->topic = iot_strdup(options->devices[device].topic);
	ret->qos = options->devices[device].qos;
	ret->retain = options->devices[device].retain;
	return IOT_OK;
}

static size_t device_rounds(const struct iot_publish_options *options)
{
	return options->device_count > 0 ? options->device_count : 1;
}

enum iot_status source_check(const struct iot_publish_options *options, struct iot_error *err)
{
	enum iot_status status = iot_message_check("x", 0, options->qos, err);

	for (size_t t = 0; options->topics[t] != NULL; t++) {
		for (size_t d = 0; d < device_rounds(options) && status == IOT_OK; d++) {
			IOT_CLEAN(message_release) struct message message = {0};

			status = make_topic(options, t, d, &message, err);
			if (status == IOT_OK)
				status = iot_message_check(message.topic,
							   options->lines_fd < 0 ? options->payload_len : 0,
							   message.qos, err);
		}
	}
	return status;
}

/* --- topics times devices ----------------------------------------------------------------- */

/* Step to the next topic and device; true when all had their turn. */
static bool step(struct source *source)
{
	if (++source->device < device_rounds(source->options))
		return false;
	source->device = 0;
	if (source->options->topics[++source->topic] != NULL)
		return false;
	source->topic = 0;
	return true;
}

static enum source_result next_expanded(struct source *source, struct message *ret, struct iot_error *err)
{
	/* Checked before, so this cannot fail. */
	if (make_topic(source->options, source->topic, source->device, ret, err) != IOT_OK)
		return SOURCE_REFUSED;
	return SOURCE_MESSAGE;
}

static enum source_result next_repeated(struct source *source, struct message *ret, struct iot_error *err)
{
	int64_t rounds = source->options->count > 0 ? source->options->count : 1;
	enum source_result result;

	if (source->round >= rounds)
		return SOURCE_END;
	ret->number = ++source->number;
	ret->len = source->options->payload_len;
	result = next_expanded(source, ret, err);
	if (step(source))
		source->round++;
	return result;
}

/* --- lines --------------------------------------------------------------------------------- */

enum iot_status source_read(struct source *source, struct iot_error *err)
{
	char *to;
	ssize_t got;

	iot_buf_consume(&source->input, source->at);
	source->at = 0;
	to = iot_buf_reserve(&source->input, READ_BYTES);
	if (to == NULL)
		return iot_fail(err, IOT_FAILURE, "cannot read more lines");
	got = read(source->options->lines_fd, to, READ_BYTES);
	if (got < 0 && errno != EINTR && errno != EAGAIN)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot read the lines");
	if (got == 0)
		source->eof = true;
	if (got > 0)
		source->input.len += (size_t)got;
	return IOT_OK;
}

enum line_result { LINE_GOT, LINE_TOO_LONG, LINE_WAIT, LINE_NONE };

/* The next line that is not empty. Borrowed until the next read. */
static enum line_result next_line(struct source *source, const char **ret, size_t *ret_len)
{
	for (;;) {
		const char *start = source->input.data + source->at;
		size_t left = source->input.len - source->at;
		const char *end = left > 0 ? memchr(start, '\n', left) : NULL;
		bool skipped = source->skipping;

		if (end == NULL && left > LINE_MAX_BYTES) {
			source->at = source->input.len;
			source->skipping = true;
			if (skipped)
				return LINE_WAIT;
			source->line++;
			return LINE_TOO_LONG;
		}
		if (end == NULL && !source->eof)
			return LINE_WAIT;
		if (end == NULL && left == 0)
			return LINE_NONE;
		*ret = start;
		*ret_len = end != NULL ? (size_t)(end - start) : left;
		source->at += *ret_len + (end != NULL ? 1 : 0);
		source->skipping = false;
		if (skipped)
			continue;
		source->line++;
		if (*ret_len > 0)
			return LINE_GOT;
	}
}

static int format_of(const char *name)
{
	for (int i = 0; iot_payload_format_names[i] != NULL; i++)
		if (strcmp(iot_payload_format_names[i], name) == 0)
			return i;
	return -1;
}

static enum iot_status check_members(const json_t *object, struct iot_error *err)
{
	/* What subscribe prints can be published again: its other members are skipped. */
	static const char *const known[] = {"topic", "payload",       "format",          "qos",           "retain",
					    "time",  "responseTopic", "correlationData", "userProperties"};
	const char *key;
	json_t *value;

	if (!json_is_object(object))
		return iot_fail(err, IOT_USAGE, "the line is no JSON object with topic and payload");
	json_object_foreach((json_t *)(uintptr_t)object, key, value) {
		bool found = false;

		for (size_t i = 0; i < IOT_LENGTH(known); i++)
			found = found || strcmp(known[i], key) == 0;
		if (!found)
			return iot_fail(err, IOT_USAGE, "the line has an unknown member '%.80s'", key);
	}
	if (!json_is_string(json_object_get(object, "topic")))
		return iot_fail(err, IOT_USAGE, "the line has no topic");
	return IOT_OK;
}

static enum iot_status read_settings(const struct iot_publish_options *options, const json_t *object,
				     struct message *ret, struct iot_error *err)
{
	const json_t *qos = json_object_get(object, "qos"), *retain = json_object_get(object, "retain");

	if ((qos != NULL && !json_is_integer(qos)) || (retain != NULL && !json_is_boolean(retain)))
		return iot_fail(err, IOT_USAGE, "qos must be 0 or 1, and retain true or false");
	ret->qos = qos == NULL                                                  ? options->qos
		   : json_integer_value(qos) < 0 || json_integer_value(qos) > 2 ? 3
										: (int)json_integer_value(qos);
	ret->retain = retain == NULL ? options->retain : json_is_true(retain);
	return IOT_OK;
}

static enum iot_status read_payload(const struct iot_publish_options *options, const json_t *object,
				    struct iot_buf *out, struct iot_error *err)
{
	const json_t *payload = json_object_get(object, "payload");
	const char *name = iot_json_str(object, "format", NULL);
	int format = name != NULL ? format_of(name) : (int)options->format;

	if (format < 0 || (name == NULL && json_object_get(object, "format") != NULL))
		return iot_fail(err, IOT_USAGE, "format must be text, hex, base64 or json");
	/* In JSON a payload is a value; a string in another format is text to be decoded. */
	if (payload != NULL && (format == IOT_PAYLOAD_JSON || !json_is_string(payload))) {
		IOT_CLEAN(iot_free_p) char *text = iot_json_text(payload);

		iot_buf_adds(out, text);
		return iot_buf_check(out, "payload", err);
	}
	return payload == NULL ? IOT_OK
			       : iot_payload_read((enum iot_payload_format)format, json_string_value(payload),
						  json_string_length(payload), out, err);
}

static enum iot_status read_json_line(struct source *source, const char *line, size_t len, struct message *ret,
				      struct iot_error *err)
{
	const struct iot_publish_options *options = source->options;
	IOT_JSON object = NULL;
	enum iot_status status = iot_json_parse(line, len, "line", &object, err);

	if (status == IOT_OK)
		status = check_members(object, err);
	if (status == IOT_OK) {
		ret->topic = iot_strdup(iot_json_str(object, "topic", ""));
		status = read_settings(options, object, ret, err);
	}
	if (status == IOT_OK)
		status = read_payload(options, object, &source->payload, err);
	return status;
}

/* A copy that is never NULL: NULL stands for the payload of the options. */
static void take_payload(const struct source *source, struct message *ret)
{
	ret->len = source->payload.len;
	ret->payload = iot_alloc(ret->len + 1);
	if (ret->len > 0)
		memcpy(ret->payload, source->payload.data, ret->len);
}

static enum source_result refuse(struct source *source, struct message *ret)
{
	source->line_open = false;
	ret->line = source->line;
	return SOURCE_REFUSED;
}

/* Open the next line: its payload, and with JSON lines the whole message. */
static enum source_result open_line(struct source *source, struct message *ret, struct iot_error *err)
{
	const struct iot_publish_options *options = source->options;
	const char *line = "";
	size_t len = 0;
	enum line_result got;
	enum iot_status status;

	if (options->count > 0 && source->round >= options->count)
		return SOURCE_END;
	got = next_line(source, &line, &len);
	if (got == LINE_WAIT || got == LINE_NONE)
		return got == LINE_WAIT ? SOURCE_WAIT : SOURCE_END;
	source->round++;
	iot_buf_clear(&source->payload);
	if (got == LINE_TOO_LONG)
		status = iot_fail(err, IOT_USAGE, "the line is longer than %d bytes", LINE_MAX_BYTES);
	else if (options->topics[0] == NULL)
		status = read_json_line(source, line, len, ret, err);
	else
		status = iot_payload_read(options->format, line, len, &source->payload, err);
	source->line_open = status == IOT_OK;
	if (status == IOT_OK)
		return SOURCE_MESSAGE;
	ret->number = ++source->number;
	return refuse(source, ret);
}

static enum source_result next_of_lines(struct source *source, struct message *ret, struct iot_error *err)
{
	bool json_lines = source->options->topics[0] == NULL;
	enum source_result result = SOURCE_MESSAGE;

	if (!source->line_open)
		result = open_line(source, ret, err);
	if (result != SOURCE_MESSAGE)
		return result;
	ret->number = ++source->number;
	ret->line = source->line;
	if (json_lines)
		source->line_open = false;
	else
		result = next_expanded(source, ret, err);
	take_payload(source, ret);
	if (result == SOURCE_MESSAGE && iot_message_check(ret->topic, ret->len, ret->qos, err) != IOT_OK)
		result = SOURCE_REFUSED;
	if (!json_lines && step(source))
		source->line_open = false;
	return result;
}

enum source_result source_next(struct source *source, struct message *ret, struct iot_error *err)
{
	*ret = (struct message){0};
	return source->options->lines_fd >= 0 ? next_of_lines(source, ret, err) : next_repeated(source, ret, err);
}
