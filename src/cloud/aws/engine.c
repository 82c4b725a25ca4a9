/*
 * Calls under way: when each is sent, and what its answer means for the next
 * step. Throttling is waited out until the call's deadline and slows the
 * operation's bucket. Broken connections and 5xx answers are tried again when
 * the operation may be repeated, within a number of attempts and a quota that
 * all calls share; of the others the outcome is unknown then.
 */
#include "cloud/aws/aws_private.h"

#include "iotctl/digest.h"
#include "iotctl/log.h"

enum {
	QUOTA = 500, /* of retries: taken from by retries, given back by success */
	QUOTA_RETRY = 5,
	QUOTA_TIMEOUT = 10,
	BASE_MS = 100, /* of the wait before a second attempt */
	BASE_THROTTLED_MS = 250,
	LONGEST_MS = 20000,
	REQUEST_MS = 60000, /* one attempt */
	STEP_MS = 1000,
};

void aws_call_free(struct aws_call *call)
{
	if (call == NULL)
		return;
	aws_wire_release(&call->wire);
	json_decref(call->reply);
	free(call);
}

enum iot_status aws_call_start(struct aws *aws, const struct iot_operation *op, const json_t *request,
			       const struct iot_body *payload, struct iot_buf *out, struct aws_call **ret,
			       struct iot_error *err)
{
	struct aws_call *call = iot_alloc(sizeof(*call)), **last = &aws->calls;
	enum iot_status status = aws_wire_build(op, request, payload, &call->wire, err);

	if (status != IOT_OK) {
		free(call);
		return status;
	}
	call->aws = aws;
	call->op = op;
	call->out = out;
	call->at = iot_monotonic_ms();
	call->deadline = iot_deadline(aws->timeout_ms);
	while (*last != NULL) /* in turn: where a rate holds many back, the oldest goes first */
		last = &(*last)->next;
	*last = call;
	aws->call_count++;
	*ret = call;
	return IOT_OK;
}

static void finish(struct aws_call *call, enum iot_status status)
{
	call->status = status;
	call->finished = true;
	if (status != IOT_OK)
		iot_error_while(&call->err, "calling %s", call->op->name);
}

/* A time between nothing and base * 2^attempt: full jitter. */
static int64_t jitter(int attempt, int base)
{
	int64_t longest = (int64_t)base << (attempt < 12 ? attempt : 12);
	uint32_t random;

	if (longest > LONGEST_MS)
		longest = LONGEST_MS;
	iot_random(&random, sizeof(random));
	return (int64_t)(random % (uint64_t)(longest + 1));
}

static void again(struct aws_call *call, int64_t wait_ms)
{
	call->sent = false;
	call->at = iot_monotonic_ms() + wait_ms;
}

/* Nobody knows what came of it: for an operation that may be repeated that does not matter. */
static void uncertain(struct aws_call *call)
{
	struct iot_error why = call->err;
	char line[400];

	iot_error_line(&why, line, sizeof(line));
	iot_fail(&call->err, IOT_FAILURE, "nobody knows whether %s was carried out: %s", call->op->name, line);
	iot_error_set_code(&call->err, IOT_AWS_UNCERTAIN);
	iot_error_hint(&call->err, "look at what is there before trying again");
	finish(call, IOT_FAILURE);
}

/* After a fault that may pass. `done`: the server may have carried it out. call->err says why. */
static void try_again(struct aws_call *call, bool done, int cost)
{
	struct aws *aws = call->aws;
	enum iot_status status = call->err.status;
	int64_t wait = jitter(call->attempts, BASE_MS);

	if (done && !call->op->idempotent) {
		uncertain(call);
		return;
	}
	call->maybe = call->maybe || done;
	call->attempts++;
	if (call->attempts >= aws->max_attempts || aws->quota < cost || iot_monotonic_ms() + wait >= call->deadline) {
		finish(call, status);
		return;
	}
	aws->quota -= cost;
	iot_debug("trying %s again: %s", call->op->name, call->err.what);
	again(call, wait);
}

static void throttled(struct aws_call *call)
{
	int64_t wait = jitter(++call->throttles, BASE_THROTTLED_MS);

	aws_rate_throttled(call->aws, call->op);
	if (iot_monotonic_ms() + wait >= call->deadline) {
		iot_error_hint(&call->err, "other programs may use up the account's quota; try again later");
		finish(call, IOT_AGAIN);
		return;
	}
	again(call, wait);
}

/* A refused signature may only mean that a clock is wrong. True if it was corrected. */
static bool correct_clock(struct aws_call *call, const struct aws_answer *answer)
{
	static const char *const codes[] = {"RequestTimeTooSkewed",      "RequestExpired",        "RequestInTheFuture",
					    "InvalidSignatureException", "SignatureDoesNotMatch", "AuthFailure",
					    "AccessDeniedException"};
	struct aws *aws = call->aws;
	int64_t skew = answer->date_ms - iot_now_ms(), change = skew - aws->skew_ms;
	bool listed = false;

	for (size_t i = 0; i < IOT_LENGTH(codes); i++)
		listed = listed || strcmp(answer->code, codes[i]) == 0;
	if (!listed || call->skewed || answer->date_ms == 0 || (change < AWS_SKEW_MS && change > -AWS_SKEW_MS))
		return false;
	call->skewed = true;
	aws->skew_ms = skew;
	if (!aws->skew_said)
		iot_warn("this machine's clock is %lld s %s the endpoint's: requests are signed with the endpoint's "
			 "time",
			 (long long)(skew < 0 ? -skew : skew) / 1000, skew < 0 ? "ahead of" : "behind");
	aws->skew_said = true;
	return true;
}

static bool is_expired(const char *code)
{
	return strcmp(code, "ExpiredTokenException") == 0 || strcmp(code, "ExpiredToken") == 0;
}

static void say_identity(struct aws_call *call)
{
	if (aws_code_identity(call->err.code) && call->aws->credentials.source != NULL)
		iot_error_hint(&call->err, "the credentials came from %s", call->aws->credentials.source);
}

/* What a repeated delete or create finds may be the work of an attempt before whose answer was lost. */
static bool done_before(struct aws_call *call)
{
	if (!call->maybe)
		return false;
	if (iot_starts_with(call->op->name, "Delete") && call->err.status == IOT_NOT_FOUND)
		return true;
	if (call->err.status == IOT_CONFLICT)
		iot_error_hint(&call->err, "an attempt whose answer was lost may have made it: look at it");
	return false;
}

static void refused(struct aws_call *call, const struct aws_answer *answer)
{
	const struct aws_endpoint *endpoint = &call->aws->endpoints[call->wire.service];
	enum iot_status status = aws_answer_fail(answer, endpoint->host, &call->err);

	if (aws_code_throttled(answer)) {
		throttled(call);
	} else if (correct_clock(call, answer)) {
		again(call, 0);
	} else if (is_expired(answer->code) && !call->renewed && aws_credentials_renew(call->aws)) {
		call->renewed = true;
		again(call, 0);
	} else if (aws_code_transient(answer)) {
		try_again(call, true, QUOTA_RETRY);
	} else if (done_before(call)) {
		call->reply = json_object();
		iot_error_clear(&call->err);
		finish(call, IOT_OK);
	} else {
		say_identity(call);
		finish(call, status);
	}
}

static void accepted(struct aws_call *call, const struct iot_http_reply *reply)
{
	enum iot_status status = aws_answer_value(call->op, reply, &call->reply, call->out, &call->err);
	bool empty = status == IOT_OK && call->op->reply[0] != NULL && reply->body.len == 0 && !aws_is_s3(call->op);

	aws_rate_succeeded(call->aws, call->op);
	if (call->aws->quota < QUOTA)
		call->aws->quota++;
	if (!call->op->idempotent && (status != IOT_OK || empty) && call->out == NULL) {
		if (status == IOT_OK)
			iot_fail(&call->err, IOT_FAILURE, "the answer is empty");
		uncertain(call);
		return;
	}
	if (status == IOT_OK)
		aws_arn_learn(call->aws, call->reply);
	finish(call, status);
}

static void on_done(void *data, struct iot_http_reply *reply)
{
	struct aws_call *call = data;
	struct aws_answer answer;

	if (reply->outcome != IOT_HTTP_ANSWERED) {
		call->err = reply->err;
		if (reply->outcome == IOT_HTTP_NOT_SENT && !call->aws->endpoints[call->wire.service].given)
			iot_error_hint(&call->err, "is there an AWS region '%.40s', and a way to it from here?",
				       call->aws->region);
		/* What a wrong certificate, name or file means does not change by itself. */
		if (reply->err.status == IOT_AGAIN || reply->err.status == IOT_TIMEOUT)
			try_again(call, reply->outcome == IOT_HTTP_UNKNOWN,
				  reply->err.status == IOT_TIMEOUT ? QUOTA_TIMEOUT : QUOTA_RETRY);
		else
			finish(call, reply->err.status);
		return;
	}
	aws_answer_read(reply, &answer);
	if (reply->status >= 200 && reply->status < 300)
		accepted(call, reply);
	else
		refused(call, &answer);
}

static void send_call(struct aws_call *call)
{
	int left = iot_left(call->deadline);
	enum iot_status status;

	if (left == 0) {
		if (call->err.status == IOT_OK)
			iot_fail(&call->err, IOT_TIMEOUT, "its turn did not come in time");
		finish(call, call->err.status);
		return;
	}
	status = aws_credentials_need(call->aws, &call->err);
	if (status == IOT_OK)
		status = aws_wire_send(call->aws, &call->wire, &call->aws->credentials, !call->op->idempotent,
				       left < REQUEST_MS ? left : REQUEST_MS, on_done, call, &call->err);
	if (status == IOT_OK)
		call->sent = true;
	else
		finish(call, status);
}

/* Send what is due; how long nothing will be. */
static int send_due(struct aws *aws)
{
	int wait = STEP_MS;

	for (struct aws_call *call = aws->calls; call != NULL; call = call->next) {
		int left = iot_left(call->at);

		if (call->sent || call->finished)
			continue;
		if (left == 0)
			left = aws_rate_wait(aws, call->op);
		if (left == 0)
			send_call(call);
		else
			wait = left < wait ? left : wait;
		if (call->finished)
			wait = 0;
	}
	return wait;
}

/* Those that have an owner's function are told, once, and are gone. */
static void tell_finished(struct aws *aws)
{
	struct aws_call **at = &aws->calls;

	while (*at != NULL) {
		struct aws_call *call = *at;

		if (!call->finished) {
			at = &call->next;
			continue;
		}
		*at = call->next;
		aws->call_count--;
		if (call->done == NULL)
			continue; /* its owner waits for it */
		call->done(call->data, call->status, call->reply, &call->err);
		aws_call_free(call);
		at = &aws->calls; /* the function may have changed the list */
	}
}

void aws_engine_step(struct aws *aws, int wait_ms)
{
	int wait = send_due(aws);

	iot_http_run(aws->http, wait < wait_ms ? wait : wait_ms);
	tell_finished(aws);
}

enum iot_status aws_call_run(struct aws *aws, const struct iot_operation *op, const json_t *request,
			     const struct iot_body *payload, json_t **ret, struct iot_buf *out, struct iot_error *err)
{
	struct aws_call *call = NULL;
	enum iot_status status = aws_call_start(aws, op, request, payload, out, &call, err);

	if (status != IOT_OK)
		return status;
	aws_await(aws, call);
	status = call->status;
	if (status == IOT_OK)
		*ret = iot_take(call->reply);
	else if (err != NULL)
		*err = call->err;
	aws_call_free(call);
	return status;
}
