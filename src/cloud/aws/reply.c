/*
 * From an HTTP answer to a reply of the operations table, or to an error: its
 * code comes from the x-amzn-errortype header or the body (JSON, XML), never
 * from the HTTP status alone. What proxies and broken servers say instead is
 * told as it is.
 */
#include "cloud/aws/aws_private.h"

#include <ctype.h>
#include <stdio.h>
#include <time.h>

/* The first element of that name without attributes, its text with the five named entities decoded. */
bool aws_xml_text(const char *xml, const char *name, char *out, size_t size)
{
	static const struct {
		const char *name;
		char character;
	} entities[] = {{"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&quot;", '"'}, {"&apos;", '\''}};
	IOT_CLEAN(iot_free_p) char *open = iot_strf("<%s>", name);
	const char *at = strstr(xml, open);
	size_t used = 0;

	if (at == NULL)
		return false;
	at += strlen(open);
	while (*at != '<' && *at != '\0' && used + 1 < size) {
		size_t step = 1;

		out[used] = *at;
		for (size_t i = 0; *at == '&' && i < IOT_LENGTH(entities); i++) {
			if (iot_starts_with(at, entities[i].name)) {
				out[used] = entities[i].character;
				step = strlen(entities[i].name);
				break;
			}
		}
		used++;
		at += step;
	}
	out[used] = '\0';
	return *at == '<';
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 section 5.6.7) to milliseconds; 0 if it is none. */
static int64_t http_date(const char *text)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	char month[4] = "", spelled[48];
	int day, year, hour, minute, second;
	int64_t ms = 0;
	const char *found;

	if (sscanf(text, "%*3s, %2d %3s %4d %2d:%2d:%2d GMT", &day, month, &year, &hour, &minute, &second) != 6)
		return 0;
	found = strlen(month) == 3 ? strstr(months, month) : NULL;
	if (found == NULL || (found - months) % 3 != 0)
		return 0;
	snprintf(spelled, sizeof(spelled), "%04d-%02d-%02dT%02d:%02d:%02dZ", year, (int)(found - months) / 3 + 1, day,
		 hour, minute, second);
	return iot_time_parse_rfc3339(spelled, &ms, NULL) == IOT_OK ? ms : 0;
}

/* "aws.protocols#ThrottlingException:http://..." is "ThrottlingException". */
static void copy_code(const char *text, char *out, size_t size)
{
	const char *hash = strchr(text, '#');
	size_t len;

	if (hash != NULL)
		text = hash + 1;
	len = strcspn(text, ": \t");
	if (len >= size)
		len = size - 1;
	for (size_t i = 0; i < len; i++) {
		if (!isalnum((unsigned char)text[i]) && strchr("._-", text[i]) == NULL)
			len = 0; /* no code of any service looks like that */
	}
	memcpy(out, text, len);
	out[len] = '\0';
}

static void read_json(const struct iot_http_reply *reply, struct aws_answer *ret)
{
	static const char *const codes[] = {"code", "Code", "__type", "errorCode"};
	static const char *const messages[] = {"message", "Message", "errorMessage"};
	IOT_JSON body = NULL;

	if (iot_json_parse(iot_buf_str(&reply->body), reply->body.len, "the answer", &body, NULL) != IOT_OK)
		return;
	for (size_t i = 0; i < IOT_LENGTH(codes) && ret->code[0] == '\0'; i++)
		copy_code(iot_json_str(body, codes[i], ""), ret->code, sizeof(ret->code));
	for (size_t i = 0; i < IOT_LENGTH(messages) && ret->message[0] == '\0'; i++)
		snprintf(ret->message, sizeof(ret->message), "%s", iot_json_str(body, messages[i], ""));
}

void aws_answer_read(const struct iot_http_reply *reply, struct aws_answer *ret)
{
	char text[256];

	*ret = (struct aws_answer){.status = reply->status};
	if (iot_http_reply_header(reply, "x-amzn-errortype", text, sizeof(text)))
		copy_code(text, ret->code, sizeof(ret->code));
	if (iot_http_reply_header(reply, "date", text, sizeof(text)))
		ret->date_ms = http_date(text);
	if (reply->status < 300)
		return;
	if (iot_buf_str(&reply->body)[0] == '<') {
		if (ret->code[0] == '\0' && aws_xml_text(iot_buf_str(&reply->body), "Code", text, sizeof(text)))
			copy_code(text, ret->code, sizeof(ret->code));
		if (!aws_xml_text(iot_buf_str(&reply->body), "Message", ret->message, sizeof(ret->message)))
			ret->message[0] = '\0';
	} else {
		read_json(reply, ret);
	}
}

static bool is_payload(const struct iot_operation *op)
{
	return op->reply[0] != NULL && op->reply[1] == NULL && strcmp(op->reply[0], "payload") == 0;
}

enum iot_status aws_answer_value(const struct iot_operation *op, const struct iot_http_reply *reply, json_t **ret,
				 struct iot_buf *out, struct iot_error *err)
{
	char type[80] = "";
	struct iot_error why = IOT_ERROR_INIT;

	if (aws_is_s3(op))
		return aws_s3_value(op, reply, ret, out, err);
	if (is_payload(op)) {
		if (out != NULL)
			iot_buf_add(out, reply->body.data, reply->body.len);
		*ret = json_object();
		return out != NULL ? iot_buf_check(out, "the reply", err) : IOT_OK;
	}
	if (reply->body.len == 0) {
		*ret = json_object();
		return IOT_OK;
	}
	if (iot_json_parse(iot_buf_str(&reply->body), reply->body.len, "the answer", ret, &why) == IOT_OK &&
	    json_is_object(*ret))
		return IOT_OK;
	json_decref(*ret);
	*ret = NULL;
	(void)iot_http_reply_header(reply, "content-type", type, sizeof(type));
	return iot_fail(err, IOT_FAILURE, "the answer to %s is not JSON of an operation but '%s'", op->name, type);
}

static bool in_list(const char *code, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(code, list[i]) == 0)
			return true;
	}
	return false;
}

bool aws_code_throttled(const struct aws_answer *answer)
{
	static const char *const codes[] = {
		"Throttling",
		"ThrottlingException",
		"ThrottledException",
		"RequestThrottled",
		"RequestThrottledException",
		"TooManyRequestsException",
		"RequestLimitExceeded",
		"BandwidthLimitExceeded",
		"SlowDown",
		"ProvisionedThroughputExceededException",
	};

	return in_list(answer->code, codes, IOT_LENGTH(codes)) || (answer->code[0] == '\0' && answer->status == 429);
}

bool aws_code_transient(const struct aws_answer *answer)
{
	static const char *const codes[] = {"RequestTimeout", "RequestTimeoutException", "PriorRequestNotComplete"};

	return in_list(answer->code, codes, IOT_LENGTH(codes)) || answer->status == 500 || answer->status == 502 ||
	       answer->status == 503 || answer->status == 504;
}

bool aws_code_identity(const char *code)
{
	static const char *const codes[] = {
		"UnrecognizedClientException",
		"InvalidSignatureException",
		"SignatureDoesNotMatch",
		"ExpiredTokenException",
		"ExpiredToken",
		"InvalidClientTokenId",
		"AccessDeniedException",
		"AccessDenied",
		"ForbiddenException",
		"UnauthorizedException",
		"RequestTimeTooSkewed",
		"RequestExpired",
		"IncompleteSignature",
		"MissingAuthenticationTokenException",
		"MissingAuthenticationToken",
		"InvalidAccessKeyId",
	};

	return in_list(code, codes, IOT_LENGTH(codes));
}

/* For codes that the table does not know, and for answers without any. */
static enum iot_status status_of(const struct aws_answer *answer)
{
	enum iot_status status = answer->code[0] != '\0' ? iot_cloud_code_status(answer->code) : IOT_FAILURE;

	if (status != IOT_FAILURE)
		return status;
	if (aws_code_identity(answer->code))
		return IOT_DENIED;
	if (aws_code_throttled(answer))
		return IOT_AGAIN;
	switch (answer->status) {
	case 401:
	case 403:
		return IOT_DENIED;
	case 502:
	case 503:
	case 504:
		return IOT_AGAIN;
	case 404:
		return answer->code[0] != '\0' ? IOT_NOT_FOUND : IOT_FAILURE;
	case 409:
		return answer->code[0] != '\0' ? IOT_CONFLICT : IOT_FAILURE;
	default:
		return answer->status == 400 && answer->code[0] != '\0' ? IOT_USAGE : IOT_FAILURE;
	}
}

enum iot_status aws_answer_fail(const struct aws_answer *answer, const char *host, struct iot_error *err)
{
	enum iot_status status = status_of(answer);

	if (answer->code[0] == '\0') {
		iot_fail(err, status, "'%s' answered with HTTP status %d and no error code", host, answer->status);
		iot_error_hint(err, "is that an endpoint of the AWS IoT API?");
	} else if (answer->message[0] == '\0') {
		iot_fail(err, status, "'%s' refused it: %s", host, answer->code);
	} else {
		iot_fail(err, status, "%s (%s)", answer->message, answer->code);
	}
	if (answer->code[0] != '\0')
		iot_error_set_code(err, answer->code);
	return status;
}
