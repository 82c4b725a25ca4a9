/*
 * AWS IoT Jobs over MQTT (developer guide, "Jobs device MQTT API operations"):
 * a request on $aws/things/T/jobs/... becomes an operation of service
 * iot-jobs-data, its result the reply on the request's topic + "/accepted" or
 * "/rejected", which goes to the client that asked and to nobody else. What may
 * be asked for which thing was decided by the plugin from the client's policies.
 *
 * Devices are not careful: payloads are empty, carry members of other APIs and
 * numbers as text, and tokens of any shape. What is known is passed on, the rest
 * is skipped, and a token comes back as it came.
 */
#include "broker/services.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/log.h"
#include "iotctl/text.h"

#include <inttypes.h>
#include <string.h>

#define TOKEN_MAX 512 /* of a clientToken, as JSON text; a thing's name may be part of it */
#define NAME_MAX_BYTES 128

struct verb {
	const char *name;
	bool of_job; /* .../jobs/JOB/name, else .../jobs/name */
	const char *operation;
	const char *members[8]; /* that travel on to the operation */
};

static const struct verb verbs[] = {
	{"get", false, "iot-jobs-data:GetPendingJobExecutions", {NULL}},
	{"start-next",
	 false,
	 "iot-jobs-data:StartNextPendingJobExecution",
	 {"statusDetails", "stepTimeoutInMinutes", NULL}},
	{"get", true, "iot-jobs-data:DescribeJobExecution", {"executionNumber", "includeJobDocument", NULL}},
	{"update",
	 true,
	 "iot-jobs-data:UpdateJobExecution",
	 {"status", "statusDetails", "expectedVersion", "executionNumber", "includeJobExecutionState",
	  "includeJobDocument", "stepTimeoutInMinutes", NULL}},
};

struct job_request {
	const struct verb *verb;
	char thing[NAME_MAX_BYTES + 1];
	char job[NAME_MAX_BYTES + 1]; /* empty when the verb has none */
	json_t *body;                 /* object; NULL when the payload was no JSON */
	json_t *token;                /* borrowed from body; NULL if absent */
};

/* --- topics ----------------------------------------------------------------------- */

/* Copy the level at *at, move behind its slash. False: empty or too long. */
static bool take_level(const char **at, char out[NAME_MAX_BYTES + 1])
{
	size_t len = strcspn(*at, "/");

	if (len == 0 || len > NAME_MAX_BYTES)
		return false;
	memcpy(out, *at, len);
	out[len] = '\0';
	*at += len;
	if (**at == '/')
		(*at)++;
	return true;
}

static bool parse_topic(const char *topic, struct job_request *ret)
{
	static const char prefix[] = "$aws/things/";
	char levels[3][NAME_MAX_BYTES + 1];
	int count = 0;

	if (!iot_starts_with(topic, prefix) || iot_ends_with(topic, "/") || !iot_utf8_valid(topic, strlen(topic)))
		return false;
	topic += sizeof(prefix) - 1;
	if (!take_level(&topic, ret->thing))
		return false;
	while (*topic != '\0' && count < 3)
		if (!take_level(&topic, levels[count++]))
			return false;
	if (*topic != '\0' || count < 2 || strcmp(levels[0], "jobs") != 0)
		return false;
	ret->job[0] = '\0';
	if (count == 3)
		memcpy(ret->job, levels[1], sizeof(ret->job));
	for (size_t i = 0; i < IOT_LENGTH(verbs); i++) {
		if (verbs[i].of_job == (count == 3) && strcmp(verbs[i].name, levels[count - 1]) == 0) {
			ret->verb = &verbs[i];
			return true;
		}
	}
	return false;
}

bool jobs_is_request(const char *topic)
{
	struct job_request request;

	return parse_topic(topic, &request);
}

/* --- refusals ---------------------------------------------------------------------- */

/* The code of an operation as the MQTT API calls it. */
static const char *mqtt_code(const struct iot_error *err)
{
	static const struct {
		const char *exception, *code;
	} codes[] = {
		{"InvalidRequestException", "InvalidRequest"},
		{"ValidationException", "InvalidRequest"},
		{"ResourceNotFoundException", "ResourceNotFound"},
		{"InvalidStateTransitionException", "InvalidStateTransition"},
		{"VersionMismatchException", "VersionMismatch"},
		{"VersionConflictException", "VersionMismatch"},
		{"TerminalStateException", "TerminalStateReached"},
		{"ThrottlingException", "RequestThrottled"},
		{"ServiceUnavailableException", "RequestThrottled"},
	};

	for (size_t i = 0; i < IOT_LENGTH(codes); i++)
		if (strcmp(codes[i].exception, err->code) == 0)
			return codes[i].code;
	return "InternalError";
}

static json_t *new_reply(const struct job_request *job)
{
	json_t *reply = json_object();

	if (job->token != NULL)
		json_object_set(reply, "clientToken", job->token);
	iot_json_set_int(reply, "timestamp", iot_now_ms() / 1000);
	return reply;
}

static void reject(const struct broker_port *port, struct iot_buf *out, const struct broker_request *request,
		   const struct job_request *job, const char *code, const char *message)
{
	IOT_JSON reply = new_reply(job);
	bool with_state = strcmp(code, "VersionMismatch") == 0 || strcmp(code, "InvalidStateTransition") == 0;
	json_t *state = NULL;

	iot_json_set_str(reply, "code", code);
	iot_json_set_str(reply, "message", message);
	if (with_state && job->body != NULL) {
		int64_t number = iot_json_int(job->body, "executionNumber", 0);

		if (port->execution_state(port->data, job->thing, job->job, number, &state, NULL) == IOT_OK)
			json_object_set_new(reply, "executionState", state);
	}
	reply_json(port, out, request, strlen(request->topic), "/rejected", reply);
}

/* What went wrong inside is for our log; a device learns only that it did. */
static void reject_fault(const struct broker_port *port, struct iot_buf *out, const struct broker_request *request,
			 const struct job_request *job, const struct iot_error *err)
{
	const char *code = mqtt_code(err);

	if (strcmp(code, "InternalError") == 0 || err->status == IOT_AGAIN) {
		iot_log_error(IOT_LOG_ERROR, "a job request failed: ", err);
		reject(port, out, request, job, code, "the service could not do it; try again later");
		return;
	}
	reject(port, out, request, job, code, err->what);
}

/* --- requests ---------------------------------------------------------------------- */

/* The token of a request as it came. False: it is no token at all. */
static bool take_token(struct job_request *job)
{
	json_t *token = json_object_get(job->body, "clientToken");

	if (token == NULL || json_is_null(token))
		return true;
	if (json_is_object(token) || json_is_array(token))
		return false;
	if (json_is_string(token) && json_string_length(token) > TOKEN_MAX)
		return false;
	job->token = token;
	return true;
}

/* Read the payload into job->body and the token; false when it was refused. */
static bool read_payload(const struct broker_port *port, struct iot_buf *out, const struct broker_request *request,
			 struct job_request *job)
{
	struct iot_error err = IOT_ERROR_INIT;

	if (request->len == 0) {
		job->body = json_object();
		return true;
	}
	if (iot_json_parse(request->payload, request->len, "payload", &job->body, &err) != IOT_OK) {
		reject(port, out, request, job, "InvalidJson", err.what);
		return false;
	}
	if (!json_is_object(job->body)) {
		reject(port, out, request, job, "InvalidRequest", "the payload is not a JSON object");
		return false;
	}
	if (!take_token(job)) {
		reject(port, out, request, job, "InvalidRequest", "clientToken is not a text, or too long");
		return false;
	}
	return true;
}

/* A job's document is text in the operations, and JSON in the messages of devices. */
static void unwrap_document(json_t *object)
{
	const char *text = iot_json_str(object, "jobDocument", NULL);
	json_t *document = text != NULL ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;

	if (document != NULL)
		json_object_set_new(object, "jobDocument", document);
}

static enum iot_status carry_out(const struct broker_port *port, const struct job_request *job, json_t **ret,
				 struct iot_error *err)
{
	IOT_JSON request = json_object();
	enum iot_status status;

	iot_json_set_str(request, "thingName", job->thing);
	if (job->verb->of_job)
		iot_json_set_str(request, "jobId", job->job);
	for (const char *const *member = job->verb->members; *member != NULL; member++) {
		json_t *value = json_object_get(job->body, *member);

		if (value != NULL && !json_is_null(value))
			json_object_set(request, *member, value);
	}
	status = port->call(port->data, job->verb->operation, request, ret, err);
	if (status == IOT_OK) {
		unwrap_document(*ret);
		unwrap_document(json_object_get(*ret, "execution"));
	}
	return status;
}

void jobs_answer(const struct broker_port *port, struct iot_buf *out, const struct broker_request *request)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct job_request job = {0};
	IOT_JSON result = NULL;
	IOT_JSON reply = NULL;

	if (!parse_topic(request->topic, &job)) {
		reject(port, out, request, &job, "InvalidTopic", "the topic is not one of the Jobs service");
		return;
	}
	if (read_payload(port, out, request, &job)) {
		if (carry_out(port, &job, &result, &err) == IOT_OK) {
			reply = new_reply(&job);
			json_object_update(reply, result);
			reply_json(port, out, request, strlen(request->topic), "/accepted", reply);
		} else {
			reject_fault(port, out, request, &job, &err);
		}
	}
	json_decref(job.body);
}

/* --- what is pushed ------------------------------------------------------------------ */

static enum iot_status describe_next(const struct broker_port *port, const char *thing, json_t **ret,
				     struct iot_error *err)
{
	IOT_JSON request = json_object();
	enum iot_status status;

	iot_json_set_str(request, "thingName", thing);
	iot_json_set_str(request, "jobId", "$next");
	status = port->call(port->data, "iot-jobs-data:DescribeJobExecution", request, ret, err);
	if (status == IOT_OK)
		unwrap_document(json_object_get(*ret, "execution"));
	return status;
}

static enum iot_status list_pending(const struct broker_port *port, const char *thing, json_t **ret,
				    struct iot_error *err)
{
	IOT_JSON request = json_object();

	iot_json_set_str(request, "thingName", thing);
	return port->call(port->data, "iot-jobs-data:GetPendingJobExecutions", request, ret, err);
}

static void move_list(json_t *from, const char *name, json_t *to, const char *as)
{
	json_t *list = json_object_get(from, name);

	if (json_array_size(list) > 0)
		json_object_set(to, as, list);
}

enum iot_status jobs_notice(const struct broker_port *port, const char *thing, json_t **ret_notify,
			    json_t **ret_notify_next, char **ret_next, struct iot_error *err)
{
	IOT_JSON pending = NULL;
	IOT_JSON next = NULL;
	json_t *jobs, *execution;
	enum iot_status status = list_pending(port, thing, &pending, err);

	if (status == IOT_OK)
		status = describe_next(port, thing, &next, err);
	if (status != IOT_OK)
		return status;
	jobs = json_object();
	move_list(pending, "queuedJobs", jobs, "QUEUED");
	move_list(pending, "inProgressJobs", jobs, "IN_PROGRESS");
	*ret_notify = json_object();
	iot_json_set_int(*ret_notify, "timestamp", iot_now_ms() / 1000);
	json_object_set_new(*ret_notify, "jobs", jobs);
	*ret_notify_next = json_object();
	iot_json_set_int(*ret_notify_next, "timestamp", iot_now_ms() / 1000);
	execution = json_object_get(next, "execution");
	if (json_object_size(execution) == 0) {
		*ret_next = iot_strdup("");
		return IOT_OK;
	}
	json_object_set(*ret_notify_next, "execution", execution);
	*ret_next = iot_strf("%s %" PRId64, iot_json_str(execution, "jobId", ""),
			     iot_json_int(execution, "executionNumber", 0));
	return IOT_OK;
}
