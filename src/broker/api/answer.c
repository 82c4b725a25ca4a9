/*
 * Answers in the shapes that AWS's SDKs read: JSON, for errors with the code in
 * x-amzn-errortype; XML for S3. Every answer has a request id, which is also in
 * the log of a refusal.
 */
#include "broker/api/api.h"

#include "broker/api/xml.h"
#include "iotctl/base.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

void api_answer_release(struct api_answer *answer)
{
	for (size_t i = 0; i < answer->header_count; i++)
		free((void *)(uintptr_t)answer->headers[i].value);
	iot_buf_release(&answer->body);
	iot_close_p(&answer->fd);
	answer->header_count = 0;
}

void api_answer_header(struct api_answer *answer, const char *name, char *value)
{
	if (answer->header_count == API_ANSWER_HEADERS || value == NULL || strpbrk(value, "\r\n") != NULL) {
		free(value);
		return;
	}
	answer->headers[answer->header_count++] = (struct api_pair){name, value};
}

/* --- refusals ------------------------------------------------------------------------------ */

/* Where the services of devices have another status than the control plane. */
static int http_status(const char *service, const char *code)
{
	if (strcmp(service, "iot") != 0 && strcmp(code, "ThrottlingException") == 0)
		return 429;
	return iot_cloud_code_http(code);
}

/* The fault and what to do, without control characters. */
static void message_of(const struct iot_error *err, char *out, size_t size)
{
	int n = snprintf(out, size, "%s", err->what);

	if (err->hint[0] != '\0' && n > 0 && (size_t)n < size)
		snprintf(out + n, size - (size_t)n, "; %s", err->hint);
	iot_text_printable(out);
}

/* What there is already: AWS's exception says so, and a client that repeats itself after a fault relies on it. */
static void add_existing(json_t *body, const struct iot_operation *op, const json_t *request)
{
	static const char *const kinds[][3] = {
		{"CreateThing", "thingName", "thing"},
		{"CreateThingType", "thingTypeName", "thingtype"},
		{"CreateThingGroup", "thingGroupName", "thinggroup"},
		{"CreatePolicy", "policyName", "policy"},
		{"CreateJob", "jobId", "job"},
		{"CreateStream", "streamId", "stream"},
		{"CreateOTAUpdate", "otaUpdateId", "otaupdate"},
	};

	for (size_t i = 0; op != NULL && i < IOT_LENGTH(kinds); i++) {
		const char *id = iot_json_str(request, kinds[i][1], NULL);
		IOT_CLEAN(iot_free_p) char *arn = NULL;

		if (strcmp(op->name, kinds[i][0]) != 0 || id == NULL)
			continue;
		arn = iot_strf("arn:aws:iot:local:000000000000:%s/%s", kinds[i][2], id);
		iot_json_set_str(body, "resourceId", id);
		iot_json_set_str(body, "resourceArn", arn);
	}
}

static void json_error(struct api_answer *answer, const struct iot_operation *op, const json_t *request,
		       const char *code, const char *message)
{
	IOT_JSON body = json_object();
	IOT_CLEAN(iot_free_p) char *text = NULL;

	iot_json_set_str(body, "message", message);
	if (strcmp(code, "ResourceAlreadyExistsException") == 0)
		add_existing(body, op, request);
	text = iot_json_text(body);
	iot_buf_adds(&answer->body, text);
	api_answer_header(answer, "Content-Type", iot_strdup("application/json"));
	api_answer_header(answer, "x-amzn-errortype", iot_strdup(code));
}

/* S3 has names of its own for what the other services say. */
static const struct {
	const char *code, *s3;
	int http;
} s3_codes[] = {
	{"MissingAuthenticationTokenException", "AccessDenied", 403},
	{"IncompleteSignature", "AuthorizationHeaderMalformed", 400},
	{"UnrecognizedClientException", "InvalidAccessKeyId", 403},
	{"InvalidSignatureException", "SignatureDoesNotMatch", 403},
	{"ExpiredTokenException", "ExpiredToken", 400},
	{"AccessDeniedException", "AccessDenied", 403},
	{"InvalidRequestException", "InvalidRequest", 400},
	{"UnknownOperationException", "NotImplemented", 501},
	{"NotImplementedException", "NotImplemented", 501},
	{"MethodNotAllowedException", "MethodNotAllowed", 405},
	{"RequestEntityTooLargeException", "EntityTooLarge", 400},
	{"ResourceNotFoundException", "NoSuchKey", 404},
	{"ServiceUnavailableException", "SlowDown", 503},
	{"ThrottlingException", "SlowDown", 503},
	{"InternalFailureException", "InternalError", 500},
	{"NoSuchBucket", "NoSuchBucket", 404},
	{"NoSuchUpload", "NoSuchUpload", 404},
	{"InvalidPart", "InvalidPart", 400},
	{"BadDigest", "XAmzContentSHA256Mismatch", 400},
	{"InvalidRange", "InvalidRange", 416},
};

static void xml_error(struct api_answer *answer, const char *code, const char *message)
{
	iot_buf_adds(&answer->body, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>");
	xml_text(&answer->body, code);
	iot_buf_adds(&answer->body, "</Code><Message>");
	xml_text(&answer->body, message);
	iot_buf_adds(&answer->body, "</Message></Error>");
	api_answer_header(answer, "Content-Type", iot_strdup("application/xml"));
}

void api_answer_error(struct api_answer *answer, const char *service, const struct iot_operation *op,
		      const json_t *request, const struct iot_error *err)
{
	const char *code = err->code[0] != '\0' ? err->code : "InternalFailureException";
	char message[sizeof(err->what) + sizeof(err->hint) + 2];

	message_of(err, message, sizeof(message));
	iot_buf_clear(&answer->body);
	answer->status = http_status(service, code);
	if (strcmp(service, "s3") != 0) {
		json_error(answer, op, request, code, message);
		return;
	}
	for (size_t i = 0; i < IOT_LENGTH(s3_codes); i++) {
		if (strcmp(s3_codes[i].code, code) == 0) {
			answer->status = s3_codes[i].http;
			code = s3_codes[i].s3;
			break;
		}
	}
	xml_error(answer, code, message);
}

void api_answer_json(struct api_answer *answer, const json_t *reply)
{
	IOT_CLEAN(iot_free_p) char *text = iot_json_text(reply);
	struct iot_error err = IOT_ERROR_INIT;

	iot_buf_adds(&answer->body, text);
	if (answer->body.over) {
		iot_cloud_fail(&err, "InternalFailureException", "the answer has more than %zu bytes",
			       answer->body.max);
		iot_error_hint(&err, "ask for less at a time with maxResults");
		api_answer_error(answer, "", NULL, NULL, &err);
		return;
	}
	answer->status = 200;
	api_answer_header(answer, "Content-Type", iot_strdup("application/json"));
}
