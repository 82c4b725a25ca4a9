/*
 * A cloud as its users see it: an operation is looked up, checked against the
 * table and handed to whoever carries it out; and what a service's error code
 * means as an exit status and as an HTTP status.
 */
#include "operations_private.h"

#include "iotctl/base.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct iot_cloud {
	const struct iot_cloud_ops *ops;
	void *self;
	json_t *memory; /* of iot_cloud_remember: replies by operation and request; NULL: off */
};

/* The codes of the services iot, iot-data and iot-jobs-data (service models), and of their front door. */
static const struct {
	const char *code;
	int http;
	enum iot_status status;
} codes[] = {
	{"InvalidRequestException", 400, IOT_USAGE},
	{"ValidationException", 400, IOT_USAGE},
	{"MalformedPolicyException", 400, IOT_USAGE},
	{"InvalidQueryException", 400, IOT_USAGE},
	{"InvalidAggregationException", 400, IOT_USAGE},
	{"InvalidResponseException", 400, IOT_FAILURE},
	{"SqlParseException", 400, IOT_USAGE},
	{"UnknownOperationException", 404, IOT_USAGE},
	{"NotImplementedException", 501, IOT_USAGE},
	{"MethodNotAllowedException", 405, IOT_USAGE},
	{"RequestEntityTooLargeException", 413, IOT_USAGE},
	{"UnsupportedDocumentEncodingException", 415, IOT_USAGE},
	{"CertificateValidationException", 400, IOT_VERIFY},
	{"RegistrationCodeValidationException", 400, IOT_VERIFY},
	{"ResourceNotFoundException", 404, IOT_NOT_FOUND},
	{"ResourceNotFound", 404, IOT_NOT_FOUND},
	{"ResourceAlreadyExistsException", 409, IOT_CONFLICT},
	{"ConflictException", 409, IOT_CONFLICT},
	{"ConflictingResourceUpdateException", 409, IOT_CONFLICT},
	{"CertificateConflictException", 409, IOT_CONFLICT},
	{"CertificateStateException", 406, IOT_CONFLICT},
	{"DeleteConflictException", 409, IOT_CONFLICT},
	{"VersionConflictException", 409, IOT_CONFLICT},
	{"VersionMismatchException", 409, IOT_CONFLICT},
	{"VersionsLimitExceededException", 409, IOT_CONFLICT},
	{"InvalidStateTransitionException", 409, IOT_CONFLICT},
	{"TerminalStateException", 410, IOT_CONFLICT},
	{"TransferConflictException", 409, IOT_CONFLICT},
	{"TransferAlreadyCompletedException", 410, IOT_CONFLICT},
	{"LimitExceededException", 410, IOT_CONFLICT},
	{"ServiceQuotaExceededException", 402, IOT_CONFLICT},
	{"ResourceRegistrationFailureException", 400, IOT_FAILURE},
	{"NoSuchBucket", 404, IOT_NOT_FOUND},
	{"NoSuchUpload", 404, IOT_NOT_FOUND},
	{"InvalidPart", 400, IOT_USAGE},
	{"BadDigest", 400, IOT_VERIFY},
	{"InvalidRange", 416, IOT_USAGE},
	{"UnauthorizedException", 401, IOT_DENIED},
	{"AccessDeniedException", 403, IOT_DENIED},
	{"ForbiddenException", 403, IOT_DENIED},
	{"InvalidSignatureException", 403, IOT_DENIED},
	{"IncompleteSignature", 400, IOT_DENIED},
	{"RequestTimeTooSkewed", 403, IOT_DENIED},
	{"AccessDenied", 403, IOT_DENIED},
	{"UnrecognizedClientException", 403, IOT_DENIED},
	{"MissingAuthenticationTokenException", 403, IOT_DENIED},
	{"ExpiredTokenException", 403, IOT_DENIED},
	{"ExpiredToken", 403, IOT_DENIED},
	{"InvalidClientTokenId", 403, IOT_DENIED},
	{"SignatureDoesNotMatch", 403, IOT_DENIED},
	{"IncompleteSignature", 400, IOT_DENIED},
	{"RequestTimeTooSkewed", 403, IOT_DENIED},
	{"RequestExpired", 400, IOT_DENIED},
	{"AccessDenied", 403, IOT_DENIED},
	{"ThrottlingException", 400, IOT_AGAIN},
	{"TooManyRequestsException", 429, IOT_AGAIN},
	{"SlowDown", 503, IOT_AGAIN},
	{"IndexNotReadyException", 400, IOT_AGAIN},
	{"NotConfiguredException", 404, IOT_NOT_FOUND},
	{"ServiceUnavailableException", 503, IOT_AGAIN},
	{"InternalFailureException", 500, IOT_FAILURE},
	{"InternalServerException", 500, IOT_FAILURE},
	{"InternalException", 500, IOT_FAILURE},
};

enum iot_status iot_cloud_code_status(const char *code)
{
	for (size_t i = 0; i < IOT_LENGTH(codes); i++) {
		if (strcmp(codes[i].code, code) == 0)
			return codes[i].status;
	}
	return IOT_FAILURE;
}

int iot_cloud_code_http(const char *code)
{
	for (size_t i = 0; i < IOT_LENGTH(codes); i++) {
		if (strcmp(codes[i].code, code) == 0)
			return codes[i].http;
	}
	return 500;
}

enum iot_status iot_cloud_fail(struct iot_error *err, const char *code, const char *fmt, ...)
{
	enum iot_status status = iot_cloud_code_status(code);
	char text[sizeof(err->what)];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	iot_fail(err, status, "%s", text);
	iot_error_set_code(err, code);
	return status;
}

struct iot_cloud *iot_cloud_new(const struct iot_cloud_ops *ops, void *self)
{
	struct iot_cloud *cloud = iot_alloc(sizeof(*cloud));

	cloud->ops = ops;
	cloud->self = self;
	return cloud;
}

void *iot_cloud_self(struct iot_cloud *cloud)
{
	return cloud->self;
}

void iot_cloud_free(struct iot_cloud *cloud)
{
	if (cloud == NULL)
		return;
	cloud->ops->free(cloud->self);
	json_decref(cloud->memory);
	free(cloud);
}

void iot_cloud_free_p(struct iot_cloud **cloud)
{
	iot_cloud_free(*cloud);
	*cloud = NULL;
}

const char *iot_cloud_kind(const struct iot_cloud *cloud)
{
	return cloud->ops->kind;
}

const char *iot_cloud_arn_prefix(const struct iot_cloud *cloud)
{
	return cloud->ops->arn_prefix(cloud->self);
}

void iot_cloud_remember(struct iot_cloud *cloud, bool on)
{
	json_decref(cloud->memory);
	cloud->memory = on ? json_object() : NULL;
}

/* Under which name an answer is remembered: new memory, NULL if it is not. */
static char *memory_key(const struct iot_cloud *cloud, const struct iot_operation *op, const json_t *request)
{
	static const char *const common[] = {"GetPolicy",        "DescribeThingGroup",  "DescribeThingType",
					     "DescribeEndpoint", "ListTagsForResource", "DescribeFleet",
					     "GetLayout"};

	for (size_t i = 0; cloud->memory != NULL && i < IOT_LENGTH(common); i++) {
		if (strcmp(op->name, common[i]) == 0) {
			IOT_CLEAN(iot_free_p) char *text = json_dumps(request, JSON_COMPACT | JSON_SORT_KEYS);

			return iot_strf("%s %s", op->name, text != NULL ? text : "");
		}
	}
	return NULL;
}

enum iot_status iot_cloud_call(struct iot_cloud *cloud, const char *operation, const json_t *request,
			       const struct iot_body *in, json_t **ret_reply, struct iot_buf *out,
			       struct iot_error *err)
{
	const struct iot_operation *op = iot_operation_find(operation);
	IOT_CLEAN(iot_free_p) char *key = NULL;
	IOT_JSON reply = NULL;
	enum iot_status status;

	if (op == NULL) {
		status = iot_cloud_fail(err, "UnknownOperationException", "there is no operation '%.80s'", operation);
		iot_error_hint(err, "'iotctl api --list' names them all");
		return status;
	}
	status = iot_operation_check(op, request, err);
	if (status != IOT_OK)
		return status;
	key = memory_key(cloud, op, request);
	if (key != NULL)
		reply = json_deep_copy(json_object_get(cloud->memory, key));
	if (reply == NULL)
		status = cloud->ops->call(cloud->self, op, request, in, &reply, out, err);
	if (status != IOT_OK)
		return status;
	if (key != NULL && cloud->memory != NULL)
		json_object_set_new(cloud->memory, key, json_deep_copy(reply));
	if (ret_reply != NULL)
		*ret_reply = reply != NULL ? iot_take(reply) : json_object();
	return IOT_OK;
}

void iot_cloud_together(struct iot_cloud *cloud, void (*work)(void *data), void *data)
{
	if (cloud->ops->together != NULL)
		cloud->ops->together(cloud->self, work, data);
	else
		work(data);
}

void iot_cloud_pause(struct iot_cloud *cloud, int ms)
{
	if (cloud->ops->pause != NULL)
		cloud->ops->pause(cloud->self, ms);
	else
		poll(NULL, 0, ms);
}
