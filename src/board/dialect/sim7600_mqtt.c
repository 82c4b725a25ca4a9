/*
 * Letting a SIM7600 connect with what it holds: TLS is set up, MQTT is started,
 * a client made, connected, and taken down again whatever happens. Results come
 * as lines of their own, on either side of the OK.
 */
#include "board/dialect/sim7600_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>

enum { DISCONNECT_MS = 5000, CONNECT_MAX_MS = 120000, NO_RESULT = -1 };

/* --- a command whose result comes by itself ------------------------------------------------------ */

static enum iot_status await_result(struct s7 *s7, int64_t deadline, struct iot_error *err)
{
	struct iot_buf line = IOT_BUF_INIT(IOT_SERIAL_LINE_MAX);
	enum iot_status status = IOT_OK;

	while (status == IOT_OK && !s7->came) {
		status = iot_at_read_line(&s7->at, &line, iot_left(deadline), err);
		if (status == IOT_OK)
			s7->at.stranger(iot_buf_str(&line), line.len, s7);
	}
	iot_buf_release(&line);
	return status;
}

/* *ret: the result; NO_RESULT: a refusal without one, or none came in time. */
static enum iot_status run(struct s7 *s7, const struct iot_at_text *texts, const char *word, int timeout_ms, int *ret,
			   struct iot_error *err)
{
	int64_t deadline = iot_deadline(timeout_ms);
	int left = iot_left(deadline);
	const struct iot_at_call call = {
		.texts = texts, .timeout_ms = left < s7->answer_ms ? left : s7->answer_ms, .once = true};
	struct iot_at_answer answer = IOT_AT_ANSWER_INIT;
	enum iot_status status;

	s7->awaited = word;
	s7->came = false;
	status = iot_at_call(&s7->at, &call, &answer, err);
	if (status == IOT_OK && answer.ok && !s7->came)
		status = await_result(s7, deadline, err);
	*ret = s7->came ? s7->result : NO_RESULT;
	if (status == IOT_TIMEOUT || (status == IOT_BOARD && s7->came)) {
		iot_error_clear(err);
		status = IOT_OK;
	}
	s7->awaited = NULL;
	iot_at_answer_release(&answer);
	return status;
}

/* --- taking it down --------------------------------------------------------------------------------- */

/* What is not there to be taken down is refused; only a line that fails ends it early. */
static enum iot_status take_down(struct s7 *s7, struct iot_error *err)
{
	bool ok;
	int result;
	enum iot_status status =
		run(s7, IOT_AT_TEXTS({"AT+CMQTTDISC=0,60", false}), "+CMQTTDISC", DISCONNECT_MS, &result, err);

	if (status == IOT_OK)
		status = s7_try(s7, IOT_AT_TEXTS({"AT+CMQTTREL=0", false}), &ok, err);
	if (status == IOT_OK)
		status = run(s7, IOT_AT_TEXTS({"AT+CMQTTSTOP", false}), "+CMQTTSTOP", 2 * s7->answer_ms, &result, err);
	return status;
}

enum iot_status s7_disconnect(void *self, struct iot_error *err)
{
	struct s7 *s7 = self;

	s7->session = false;
	return take_down(s7, err);
}

/* --- what it connects with ---------------------------------------------------------------------------- */

struct target {
	char endpoint[257], port[6], thing[129];
	struct s7_used used;
};

static const char *missing(const struct s7_files *files, const struct target *target)
{
	static const char *const what[S7_ROLES] = {"root CA", "certificate", "private key"};

	for (size_t role = 0; role < S7_ROLES; role++)
		if (target->used.names[role][0] == '\0' || !s7_holds(files, target->used.names[role]))
			return what[role];
	return *target->endpoint == '\0' ? "endpoint" : *target->thing == '\0' ? "thing name" : NULL;
}

/* Firmware may forget with its power what TLS is to use. The key, unlike the rest, nobody can write again. */
static enum iot_status use_key(struct s7 *s7, const struct s7_files *files, struct s7_used *used, struct iot_error *err)
{
	char *name = used->names[S7_USES_KEY];

	if (*name != '\0' && s7_holds(files, name))
		return IOT_OK;
	for (size_t i = 0; i < files->count; i++) {
		if (!iot_starts_with(files->names[i], S7_KEY))
			continue;
		memcpy(name, files->names[i], sizeof(files->names[i]));
		return s7_use(s7, "clientkey", name, err);
	}
	return IOT_OK;
}

static enum iot_status read_target(struct s7 *s7, struct target *ret, struct iot_error *err)
{
	struct s7_files files;
	const char *what;
	enum iot_status status = s7_list(s7, &files, err);

	if (status == IOT_OK)
		status = s7_used(s7, &ret->used, err);
	if (status == IOT_OK)
		status = use_key(s7, &files, &ret->used, err);
	if (status != IOT_OK)
		return status;
	s7_value(&files, S7_ENDPOINT, ret->endpoint, sizeof(ret->endpoint));
	s7_value(&files, S7_PORT, ret->port, sizeof(ret->port));
	s7_value(&files, S7_THING, ret->thing, sizeof(ret->thing));
	if (*s7->staged_host != '\0')
		snprintf(ret->endpoint, sizeof(ret->endpoint), "%s", s7->staged_host);
	if (s7->staged_port > 0)
		snprintf(ret->port, sizeof(ret->port), "%d", s7->staged_port & 0xffff);
	if (*ret->port == '\0')
		snprintf(ret->port, sizeof(ret->port), "8883");
	what = missing(&files, ret);
	if (what == NULL)
		return IOT_OK;
	iot_fail(err, IOT_VERIFY, "the module cannot connect: it holds no %s", what);
	iot_error_hint(err, "give it what it needs with 'iotctl provision'");
	return IOT_VERIFY;
}

/* --- TLS --------------------------------------------------------------------------------------------------- */

/*
 * TLS 1.2; both sides show a certificate; SNI, by which AWS finds the account. Its clock is wrong until the network has
 * told it the time, so validity is not checked against it.
 */
static const struct {
	const char *text;
	bool optional; /* older firmware has no such thing */
} settings[] = {
	{"\"sslversion\",0,3", false},
	{"\"authmode\",0,2", false},
	{"\"ignorelocaltime\",0,1", true},
	{"\"enableSNI\",0,1", true},
};

static enum iot_status set_tls_up(struct s7 *s7, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	for (size_t i = 0; status == IOT_OK && i < IOT_LENGTH(settings); i++) {
		const struct iot_at_text *texts = IOT_AT_TEXTS({"AT+CSSLCFG=", false}, {settings[i].text, false});
		bool ok = false;

		for (int tries = 0; status == IOT_OK && !ok && tries < S7_TRIES; tries++)
			status = s7_try(s7, texts, &ok, err);
		if (status == IOT_OK && !ok && !settings[i].optional) {
			status = iot_fail(err, IOT_BOARD, "the module refused to set TLS up");
			iot_error_hint(err, "repeat it; if that does not help, " S7_CHECK_WIRES);
		}
	}
	return status;
}

/* --- connecting --------------------------------------------------------------------------------------------- */

static enum iot_status no_connection(int result, struct iot_error *err)
{
	const struct s7_fault *fault = s7_mqtt_fault(result);

	if (result == NO_RESULT)
		iot_fail(err, IOT_VERIFY, "the module cannot connect: it refuses, or gave no result in time");
	else
		iot_fail(err, IOT_VERIFY, "the module cannot connect: %s (CMQTT %d)", fault->text, result);
	if (err != NULL && result != NO_RESULT)
		snprintf(err->code, sizeof(err->code), "CMQTT%d", result);
	if (fault->cure != NULL)
		iot_error_hint(err, "%s", fault->cure);
	return IOT_VERIFY;
}

/* What MQTT needs before it connects. */
static enum iot_status start(struct s7 *s7, const struct target *target, int *ret_result, struct iot_error *err)
{
	struct iot_at_answer answer = IOT_AT_ANSWER_INIT;
	enum iot_status status =
		run(s7, IOT_AT_TEXTS({"AT+CMQTTSTART", false}), "+CMQTTSTART", 2 * s7->answer_ms, ret_result, err);

	if (status == IOT_OK && *ret_result != 0 && *ret_result != 23) /* runs already */
		status = no_connection(*ret_result, err);
	if (status == IOT_OK)
		status =
			s7_call(s7, IOT_AT_TEXTS({"AT+CMQTTACCQ=0,\"", false}, {target->thing, false}, {"\",1", false}),
				"make an MQTT client", &answer, err);
	if (status == IOT_OK)
		status = s7_call(s7, IOT_AT_TEXTS({"AT+CMQTTSSLCFG=0,0", false}), "use TLS for MQTT", &answer, err);
	iot_at_answer_release(&answer);
	return status;
}

static enum iot_status connect_client(struct s7 *s7, const struct target *target, int64_t deadline, int *ret_result,
				      struct iot_error *err)
{
	int left = iot_left(deadline);
	enum iot_status status = run(s7,
				     IOT_AT_TEXTS({"AT+CMQTTCONNECT=0,\"tcp://", false}, {target->endpoint, false},
						  {":", false}, {target->port, false}, {"\",60,1", false}),
				     "+CMQTTCONNECT", left < CONNECT_MAX_MS ? left : CONNECT_MAX_MS, ret_result, err);

	if (status == IOT_OK && *ret_result != 0)
		status = no_connection(*ret_result, err);
	return status;
}

/*
 * The handshake failed: a byte of a certificate may have been turned on its way into the module, which nothing else
 * shows. What cannot be trusted is taken away, so that it is written again. Not the key: nobody may have it any more;
 * whoever has writes it anyway. Nor what was there before other trust was staged.
 */
static enum iot_status forget_certificates(struct s7 *s7)
{
	enum iot_status status = IOT_OK;

	if (!s7->staged)
		status = s7_delete_others(s7, S7_CA, NULL, NULL);
	if (status == IOT_OK && !s7->staged)
		status = s7_delete_others(s7, S7_CERT, NULL, NULL);
	return status;
}

static bool blames_certificates(int result)
{
	return result >= 32 && result <= 34;
}

/* All of it: what an earlier conversation left is taken down, and whatever comes of this when it fails. */
static enum iot_status connect_once(struct s7 *s7, int64_t deadline, int *ret_result, struct iot_error *err)
{
	struct target target = {0};
	enum iot_status status = read_target(s7, &target, err);

	*ret_result = 0;
	if (status == IOT_OK)
		status = take_down(s7, err);
	if (status == IOT_OK)
		status = set_tls_up(s7, err);
	if (status != IOT_OK)
		return status;
	s7->session = true;
	status = start(s7, &target, ret_result, err);
	if (status == IOT_OK)
		status = connect_client(s7, &target, deadline, ret_result, err);
	if (status == IOT_OK)
		return IOT_OK;
	s7->session = false;
	if (take_down(s7, NULL) == IOT_OK && blames_certificates(*ret_result))
		(void)!forget_certificates(s7);
	return status;
}

/* Nothing was said of why: a byte was lost, or the module began anew in the middle. That is no fault of the set-up. */
static bool tells_nothing(enum iot_status status, int result)
{
	return status == IOT_BOARD || (status == IOT_VERIFY && result == NO_RESULT);
}

enum iot_status s7_connect(void *self, int timeout_ms, struct iot_error *err)
{
	struct s7 *s7 = self;
	int64_t deadline = iot_deadline(timeout_ms);
	struct iot_error scratch = IOT_ERROR_INIT;
	enum iot_status status;
	int result;

	err = err != NULL ? err : &scratch;
	if (s7->options.progress != NULL)
		s7->options.progress("connecting", s7->options.data);
	status = connect_once(s7, deadline, &result, err);
	if (!tells_nothing(status, result) || iot_left(deadline) == 0)
		return status;
	iot_error_clear(err);
	return connect_once(s7, deadline, &result, err);
}
