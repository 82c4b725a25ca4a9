/*
 * MQTT-based file delivery (AWS IoT developer guide, "Using AWS IoT MQTT-based
 * file delivery in devices"): devices ask for blocks of a stream's file on
 * $aws/things/T/streams/S/get/FORMAT and get each block as a message on
 * .../data/FORMAT; FORMAT is cbor or json.
 *
 * CBOR blocks are read from the file into the control message itself, each behind
 * its head, in a buffer that is kept: no allocation and no statement per block.
 */
#include "broker/services.h"

#include "iotctl/base.h"
#include "iotctl/log.h"
#include "iotctl/streamcbor.h"
#include "iotctl/text.h"
#include "iotctl/topic.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* "One get request never returns more than 128 KB in total." */
#define ANSWER_MAX 131072
#define NAME_MAX_BYTES 128
#define FILES_MAX 64
#define JSON_HEAD_MAX 128 /* of a data message, without its token */

struct stream_request {
	const struct broker_request *from;
	char thing[NAME_MAX_BYTES + 1], stream[NAME_MAX_BYTES + 1];
	size_t prefix; /* bytes of the topic up to and with the slash behind the stream's name */
	bool describe, json;
	struct iot_stream_get get;
	json_t *body;          /* of a JSON request, which get borrows from */
	struct iot_buf bitmap; /* of a JSON request */
};

void streams_init(struct streams *streams, const struct broker_port *port)
{
	*streams = (struct streams){
		.port = port, .cache = stream_cache_new(port), .out = IOT_BUF_INIT(BROKER_MESSAGE_MAX)};
}

void streams_release(struct streams *streams)
{
	stream_cache_free(streams->cache);
	iot_buf_release(&streams->out);
	streams->cache = NULL;
}

void streams_changed(struct streams *streams)
{
	stream_cache_changed(streams->cache);
}

/* --- topics ------------------------------------------------------------------------ */

static const char *take_level(const char *at, char out[NAME_MAX_BYTES + 1])
{
	const char *end = strchr(at, '/');

	if (end == NULL || end == at || end - at > NAME_MAX_BYTES)
		return NULL;
	memcpy(out, at, (size_t)(end - at));
	out[end - at] = '\0';
	return end + 1;
}

static bool parse_topic(const char *topic, struct stream_request *ret)
{
	static const char start[] = "$aws/things/", middle[] = "streams/";
	static const struct {
		const char *rest;
		bool describe, json;
	} kinds[] = {
		{"get/cbor", false, false},
		{"get/json", false, true},
		{"describe/cbor", true, false},
		{"describe/json", true, true},
	};
	const char *at;

	if (!iot_starts_with(topic, start) || !iot_utf8_valid(topic, strlen(topic)))
		return false;
	at = take_level(topic + sizeof(start) - 1, ret->thing);
	if (at == NULL || !iot_starts_with(at, middle))
		return false;
	at = take_level(at + sizeof(middle) - 1, ret->stream);
	if (at == NULL)
		return false;
	ret->prefix = (size_t)(at - topic);
	for (size_t i = 0; i < IOT_LENGTH(kinds); i++) {
		if (strcmp(at, kinds[i].rest) == 0) {
			ret->describe = kinds[i].describe;
			ret->json = kinds[i].json;
			return true;
		}
	}
	return false;
}

bool streams_is_request(const char *topic)
{
	struct stream_request request;

	return parse_topic(topic, &request);
}

/* --- refusals ------------------------------------------------------------------------ */

static void reject(struct streams *streams, const struct stream_request *request, const char *code, const char *message)
{
	const struct iot_stream_get *get = &request->get;

	if (request->json) {
		IOT_JSON reply = json_object();

		iot_json_set_str(reply, "o", code);
		iot_json_set_str(reply, "m", message);
		if (get->token != NULL)
			json_object_set_new(reply, "c", json_stringn(get->token, get->token_len));
		reply_json(streams->port, &streams->out, request->from, request->prefix, "rejected/json", reply);
		return;
	}
	reply_begin(&streams->out, request->from, request->prefix, "rejected/cbor");
	iot_stream_rejected_encode(&streams->out, code, message, get->token, get->token_len);
	if (!streams->out.over)
		streams->port->send(streams->port->data, streams->out.data, streams->out.len);
}

static void reject_fault(struct streams *streams, const struct stream_request *request, const struct iot_error *err)
{
	if (err->status == IOT_NOT_FOUND) {
		reject(streams, request, "ResourceNotFound", "the stream has no such file for this thing");
		return;
	}
	if (err->status == IOT_USAGE) {
		reject(streams, request, "InvalidRequest", err->what);
		return;
	}
	if (strcmp(err->code, "ETagMismatch") == 0) {
		reject(streams, request, "ETagMismatch", "the file was changed after the stream was made");
		return;
	}
	iot_log_error(IOT_LOG_ERROR, "a stream request failed: ", err);
	reject(streams, request, "InternalError", "the service could not do it; try again later");
}

static const char *bounds_text(const char *code)
{
	if (strcmp(code, "BlockSizeOutOfBounds") == 0)
		return "l is not a block size from 256 to 131072 that a message can hold";
	if (strcmp(code, "OffsetOutOfBounds") == 0)
		return "o is beyond the end of the file, or greater than 98304";
	if (strcmp(code, "BlockCountLimitExceeded") == 0)
		return "n is greater than 98304";
	if (strcmp(code, "BlockBitmapLimitExceeded") == 0)
		return "b is longer than 12287 bytes";
	return "f (0 to 255), l, and one of n and b are needed, and c has at most 64 bytes";
}

/* --- reading requests ------------------------------------------------------------------ */

/* A member that is a whole number of at least 0. False: it is something else. */
static bool json_number(const json_t *body, const char *key, uint64_t *ret, bool *ret_has)
{
	const json_t *value = json_object_get(body, key);

	if (value == NULL || json_is_null(value))
		return true;
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return false;
	*ret = (uint64_t)json_integer_value(value);
	*ret_has = true;
	return true;
}

/* The bitmap of a JSON request is hexadecimal text. */
static bool json_bitmap(struct stream_request *request)
{
	const json_t *value = json_object_get(request->body, "b");
	size_t len;

	if (value == NULL || json_is_null(value))
		return true;
	len = json_string_length(value);
	if (!json_is_string(value) || len % 2 != 0)
		return false;
	if (len / 2 > IOT_STREAM_BITMAP_MAX) { /* only its length counts: it is refused */
		request->get.bitmap = (const uint8_t *)json_string_value(value);
		request->get.bitmap_len = len / 2;
		return true;
	}
	if (iot_buf_reserve(&request->bitmap, len / 2 + 1) == NULL ||
	    !iot_unhex(json_string_value(value), request->bitmap.data, len / 2))
		return false;
	request->get.bitmap = (const uint8_t *)request->bitmap.data;
	request->get.bitmap_len = len / 2;
	return true;
}

/* NULL, or why it cannot be read. */
static const char *read_json(struct stream_request *request, struct iot_error *err)
{
	struct iot_stream_get *get = &request->get;
	const json_t *token;

	if (request->from->len == 0 && request->describe)
		return NULL;
	if (iot_json_parse(request->from->payload, request->from->len, "request", &request->body, err) != IOT_OK)
		return "InvalidJson";
	if (!json_is_object(request->body))
		return "InvalidRequest";
	token = json_object_get(request->body, "c");
	if (token != NULL && !json_is_null(token)) {
		if (!json_is_string(token))
			return "InvalidRequest";
		get->token = json_string_value(token);
		get->token_len = json_string_length(token);
	}
	if (!json_number(request->body, "s", &get->version, &get->has_version) ||
	    !json_number(request->body, "f", &get->file, &get->has_file) ||
	    !json_number(request->body, "l", &get->size, &get->has_size) ||
	    !json_number(request->body, "o", &get->offset, &get->has_offset) ||
	    !json_number(request->body, "n", &get->count, &get->has_count) || !json_bitmap(request))
		return "InvalidRequest";
	return NULL;
}

static const char *read_cbor(struct stream_request *request, struct iot_error *err)
{
	const struct broker_request *from = request->from;
	enum iot_status status = request->describe
					 ? iot_stream_describe_parse(from->payload, from->len, &request->get, err)
					 : iot_stream_get_parse(from->payload, from->len, &request->get, err);

	return status == IOT_OK ? NULL : "InvalidCbor";
}

/* A token that is too long is not said back. */
static void drop_long_token(struct iot_stream_get *get)
{
	if (get->token_len > IOT_STREAM_TOKEN_MAX)
		get->token = NULL;
}

/* --- blocks ------------------------------------------------------------------------------ */

static bool read_fully(int fd, void *out, size_t len, int64_t offset)
{
	char *at = out;

	while (len > 0) {
		ssize_t n = pread(fd, at, len, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = 0; /* it ends too early */
		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
		offset += n;
	}
	return true;
}

/* The head and the block itself, behind what the buffer holds. */
static bool add_cbor_block(struct iot_buf *out, const struct stream_request *request, const struct stream_file *file,
			   uint64_t block, size_t len)
{
	const struct iot_stream_get *get = &request->get;
	uint8_t head[IOT_STREAM_HEAD_MAX];
	char *at;

	iot_buf_add(out, head,
		    iot_stream_data_head(head, get->token, get->token_len, (uint32_t)get->file, (uint32_t)block,
					 (uint32_t)len));
	at = iot_buf_reserve(out, len);
	if (at == NULL || !read_fully(file->fd, at, len, (int64_t)(block * get->size)))
		return false;
	out->len += len;
	return true;
}

static bool add_json_block(struct iot_buf *out, const struct stream_request *request, const struct stream_file *file,
			   uint64_t block, size_t len)
{
	const struct iot_stream_get *get = &request->get;
	IOT_CLEAN(iot_free_p) void *data = iot_alloc(len + 1);

	if (!read_fully(file->fd, data, len, (int64_t)(block * get->size)))
		return false;
	iot_buf_addc(out, '{');
	if (get->token != NULL) {
		IOT_JSON token = json_stringn(get->token, get->token_len);
		IOT_CLEAN(iot_free_p) char *text = json_dumps(token, JSON_ENCODE_ANY);

		iot_buf_addf(out, "\"c\":%s,", text);
	}
	iot_buf_addf(out, "\"f\":%u,\"i\":%u,\"l\":%zu,\"p\":\"", (unsigned)get->file, (unsigned)block, len);
	iot_base64(data, len, out);
	iot_buf_adds(out, "\"}");
	return true;
}

/* The longest message that a block can be. */
static uint64_t message_max(const struct stream_request *request)
{
	uint64_t size = request->get.size;

	return request->json ? JSON_HEAD_MAX + 6 * request->get.token_len + (size + 2) / 3 * 4
			     : IOT_STREAM_HEAD_MAX + size;
}

/* False when the file cannot be read; then there is nothing of the block in the buffer. */
static bool add_block(struct iot_buf *out, const struct stream_request *request, const struct stream_file *file,
		      uint64_t block)
{
	uint64_t left = (uint64_t)file->size - block * request->get.size;
	size_t len = (size_t)(left < request->get.size ? left : request->get.size), start = reply_open(out);
	bool good = request->json ? add_json_block(out, request, file, block, len)
				  : add_cbor_block(out, request, file, block, len);

	if (good)
		reply_close(out, start);
	else
		out->len = start;
	return good;
}

/* Returns the length of a series without blocks. */
static size_t begin_blocks(struct streams *streams, const struct stream_request *request)
{
	reply_begin_series(&streams->out, request->from, request->prefix, request->json ? "data/json" : "data/cbor");
	return streams->out.len;
}

static void send_out(struct streams *streams)
{
	int fault = errno; /* of a block that could not be read */

	if (!streams->out.over)
		streams->port->send(streams->port->data, streams->out.data, streams->out.len);
	errno = fault;
}

static bool bit_is_set(const struct iot_stream_get *get, uint64_t bit)
{
	return get->bitmap == NULL || (get->bitmap[bit / 8] >> (bit % 8) & 1) != 0;
}

/*
 * The blocks that are asked for: those of the bitmap, or n in a row, or the first n of the bitmap; as many as the file
 * has and as one answer may hold. They go out in series as long as a control message may be, for every message costs
 * the broker a round. Returns how many were sent, -1 when the file cannot be read.
 */
static int send_blocks(struct streams *streams, const struct stream_request *request, const struct stream_file *file)
{
	const struct iot_stream_get *get = &request->get;
	struct iot_buf *out = &streams->out;
	uint64_t blocks = ((uint64_t)file->size + get->size - 1) / get->size;
	uint64_t span = get->bitmap != NULL ? (uint64_t)get->bitmap_len * 8 : get->count;
	uint64_t most = ANSWER_MAX / get->size;
	size_t empty = begin_blocks(streams, request);
	bool good = true;
	int sent = 0;

	if (get->has_count && get->count > 0 && get->count < most)
		most = get->count;
	for (uint64_t bit = 0; bit < span && get->offset + bit < blocks && (uint64_t)sent < most; bit++) {
		if (!bit_is_set(get, bit))
			continue;
		if (out->len > empty && out->len + REPLY_LENGTH_SIZE + message_max(request) > out->max) {
			send_out(streams);
			begin_blocks(streams, request);
		}
		good = add_block(out, request, file, get->offset + bit);
		if (!good)
			break;
		sent++;
	}
	if (out->len > empty)
		send_out(streams);
	return good ? sent : -1;
}

/* Would a message of such blocks pass the broker? */
static bool fits(const struct stream_request *request)
{
	return message_max(request) <= IOT_TOPIC_PAYLOAD_MAX;
}

static void answer_get(struct streams *streams, struct stream_request *request)
{
	const char *code = iot_stream_get_check(&request->get);
	struct iot_error err = IOT_ERROR_INIT;
	struct stream_file file;
	int sent;

	drop_long_token(&request->get);
	if (code == NULL && !fits(request))
		code = "BlockSizeOutOfBounds";
	if (code != NULL) {
		reject(streams, request, code, bounds_text(code));
		return;
	}
	if (stream_cache_get(streams->cache, request->thing, request->stream, (int)request->get.file, &file, &err) !=
	    IOT_OK) {
		reject_fault(streams, request, &err);
		return;
	}
	if (request->get.has_version && request->get.version != (uint64_t)file.version) {
		reject(streams, request, "VersionMismatch", "the stream has another version");
		return;
	}
	if (request->get.offset * request->get.size >= (uint64_t)file.size) {
		reject(streams, request, "OffsetOutOfBounds", bounds_text("OffsetOutOfBounds"));
		return;
	}
	sent = send_blocks(streams, request, &file);
	if (sent < 0) {
		iot_log(IOT_LOG_ERROR, "cannot read file %u of stream '%s': %s", (unsigned)request->get.file,
			request->stream, errno != 0 ? strerror(errno) : "it is shorter than it was");
		reject(streams, request, "InternalError", "the file cannot be read");
	} else if (sent == 0) {
		reject(streams, request, "InvalidRequest", "no block of the file is asked for");
	}
}

/* --- descriptions -------------------------------------------------------------------------- */

/* The stream's files with their sizes; each must be one that the thing may have. */
static enum iot_status list_files(struct streams *streams, const struct stream_request *request, const json_t *info,
				  struct iot_stream_file files[FILES_MAX], size_t *ret_count, struct iot_error *err)
{
	const json_t *list = json_object_get(info, "files");
	struct stream_file file;
	size_t i;
	json_t *item;

	*ret_count = 0;
	json_array_foreach(list, i, item) {
		int id = (int)iot_json_int(item, "fileId", 0);
		enum iot_status status;

		if (*ret_count == FILES_MAX)
			break;
		status = stream_cache_get(streams->cache, request->thing, request->stream, id, &file, err);
		if (status != IOT_OK)
			return status;
		files[(*ret_count)++] = (struct iot_stream_file){.id = (uint32_t)id, .size = (uint64_t)file.size};
	}
	return IOT_OK;
}

static void send_description(struct streams *streams, const struct stream_request *request, const json_t *info,
			     const struct iot_stream_file *files, size_t count)
{
	const struct iot_stream_get *get = &request->get;
	const char *text = iot_json_str(info, "description", NULL);
	int64_t version = iot_json_int(info, "streamVersion", 0);

	if (!request->json) {
		reply_begin(&streams->out, request->from, request->prefix, "description/cbor");
		iot_stream_description_encode(&streams->out, get->token, get->token_len, (uint32_t)version, text, files,
					      count);
		if (!streams->out.over)
			streams->port->send(streams->port->data, streams->out.data, streams->out.len);
		return;
	}
	{
		IOT_JSON reply = json_object();
		json_t *list = json_array();

		if (get->token != NULL)
			json_object_set_new(reply, "c", json_stringn(get->token, get->token_len));
		iot_json_set_int(reply, "s", version);
		iot_json_set_str(reply, "d", text);
		json_object_set_new(reply, "r", list);
		for (size_t i = 0; i < count; i++)
			json_array_append_new(list, json_pack("{s:I, s:I}", "f", (json_int_t)files[i].id, "z",
							      (json_int_t)files[i].size));
		reply_json(streams->port, &streams->out, request->from, request->prefix, "description/json", reply);
	}
}

static void answer_describe(struct streams *streams, struct stream_request *request)
{
	struct iot_stream_file files[FILES_MAX];
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON ask = json_object();
	IOT_JSON reply = NULL;
	const json_t *info;
	size_t count = 0;

	drop_long_token(&request->get);
	iot_json_set_str(ask, "streamId", request->stream);
	if (streams->port->call(streams->port->data, "DescribeStream", ask, &reply, &err) != IOT_OK) {
		reject_fault(streams, request, &err);
		return;
	}
	info = json_object_get(reply, "streamInfo");
	if (list_files(streams, request, info, files, &count, &err) != IOT_OK)
		reject_fault(streams, request, &err);
	else
		send_description(streams, request, info, files, count);
}

void streams_answer(struct streams *streams, const struct broker_request *from)
{
	struct stream_request request = {.from = from, .bitmap = IOT_BUF_INIT(IOT_STREAM_BITMAP_MAX + 1)};
	struct iot_error err = IOT_ERROR_INIT;
	const char *code;

	if (!parse_topic(from->topic, &request))
		return;
	code = request.json ? read_json(&request, &err) : read_cbor(&request, &err);
	if (code != NULL) {
		drop_long_token(&request.get);
		reject(streams, &request, code,
		       err.what[0] != '\0' ? err.what : "a member has another type than it should");
	} else if (request.describe) {
		answer_describe(streams, &request);
	} else {
		answer_get(streams, &request);
	}
	json_decref(request.body);
	iot_buf_release(&request.bitmap);
}
