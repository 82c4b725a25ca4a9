/*
 * Credentials that must be fetched: from a program (credential_process), from
 * STS for a role, and from the IoT credentials provider for a device's
 * certificate. All three have an end, and are fetched again before it.
 */
#include "cloud/aws/aws_private.h"

#include "iotctl/process.h"

#include <ctype.h>

enum {
	PROCESS_MS = 60000, /* a sign-in may be waiting for a person */
	FETCH_MS = 20000,
	WORDS = 64,
};

#define MAX_TEXT ((size_t)64 * 1024)

/* --- a program --------------------------------------------------------------------- */

/* Words of a command line with quotes and backslashes, as a POSIX shell splits them; nothing is expanded. */
static bool split(const char *text, char **words, size_t max)
{
	size_t count = 0;

	while (*(text += strspn(text, " \t")) != '\0') {
		struct iot_buf word = IOT_BUF_INIT(MAX_TEXT);
		char quote = '\0';

		for (; *text != '\0' && (quote != '\0' || !isspace((unsigned char)*text)); text++) {
			if (quote == '\0' && (*text == '"' || *text == '\''))
				quote = *text;
			else if (quote != '\0' && *text == quote)
				quote = '\0';
			else if (*text == '\\' && quote != '\'' && text[1] != '\0')
				iot_buf_addc(&word, *++text);
			else
				iot_buf_addc(&word, *text);
		}
		words[count++] = iot_buf_detach(&word);
		if (quote != '\0' || count == max)
			return false;
	}
	return count > 0;
}

static enum iot_status need_text(const json_t *object, const char *key, const char *source, const char **ret,
				 struct iot_error *err)
{
	*ret = iot_json_str(object, key, NULL);
	if (*ret == NULL || **ret == '\0')
		return iot_fail(err, IOT_DENIED, "%s gave no %s", source, key);
	return IOT_OK;
}

static enum iot_status set_expiry(const char *text, const char *source, struct aws_credentials *ret,
				  struct iot_error *err)
{
	struct iot_error why = IOT_ERROR_INIT;

	if (text != NULL && iot_time_parse_rfc3339(text, &ret->expires_ms, &why) != IOT_OK)
		return iot_fail(err, IOT_DENIED, "%s gave an expiry that is no time", source);
	return IOT_OK;
}

/* Members as in the output of credential_process (capital) and of the credentials provider (small). */
static enum iot_status from_json(const json_t *object, bool capital, const char *source, struct aws_credentials *ret,
				 struct iot_error *err)
{
	const char *access_key = NULL, *secret = NULL;
	enum iot_status status = need_text(object, capital ? "AccessKeyId" : "accessKeyId", source, &access_key, err);

	if (status == IOT_OK)
		status = need_text(object, capital ? "SecretAccessKey" : "secretAccessKey", source, &secret, err);
	if (status != IOT_OK)
		return status;
	*ret = (struct aws_credentials){
		.access_key = iot_strdup(access_key),
		.secret = iot_strdup(secret),
		.token = iot_strdup(iot_json_str(object, capital ? "SessionToken" : "sessionToken", NULL)),
		.source = iot_strdup(source),
	};
	return set_expiry(iot_json_str(object, capital ? "Expiration" : "expiration", NULL), source, ret, err);
}

static enum iot_status run(const char *const *words, const char *source, struct iot_buf *out, struct iot_error *err)
{
	const struct iot_process_options options = {.argv = words, .capture = true, .keep_stderr = true};
	int code = 0;
	enum iot_status status = iot_process_run(&options, PROCESS_MS, out, &code, err);

	if (status == IOT_OK && code != 0)
		status = iot_fail(err, IOT_DENIED, "its program ended with exit code %d", code);
	if (status != IOT_OK)
		iot_error_while(err, "getting credentials from %s", source);
	return status;
}

enum iot_status aws_credentials_process(struct aws *aws, const char *command, const char *profile,
					struct aws_credentials *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *source = iot_strf("credential_process of profile '%s'", profile);
	struct iot_buf out = IOT_BUF_SECRET(MAX_TEXT);
	char *words[WORDS + 1] = {NULL};
	IOT_JSON object = NULL;
	enum iot_status status = IOT_OK;

	(void)aws;
	if (!split(command, words, WORDS))
		status = iot_fail(err, IOT_SETTINGS, "%s is not a command line", source);
	if (status == IOT_OK)
		status = run((const char *const *)words, source, &out, err);
	if (status == IOT_OK && (iot_json_parse(iot_buf_str(&out), out.len, source, &object, NULL) != IOT_OK ||
				 iot_json_int(object, "Version", 0) != 1))
		status = iot_fail(err, IOT_DENIED, "%s did not print credentials (JSON with Version 1)", source);
	if (status == IOT_OK)
		status = from_json(object, true, source, ret, err);
	for (size_t i = 0; words[i] != NULL; i++)
		free(words[i]);
	iot_buf_release(&out);
	return status;
}

/* --- a role -------------------------------------------------------------------------- */

struct fetching {
	struct iot_http_reply reply;
	bool done;
};

static void on_fetched(void *data, struct iot_http_reply *reply)
{
	struct fetching *fetching = data;

	fetching->reply = *reply;
	*reply = (struct iot_http_reply)IOT_HTTP_REPLY_INIT;
	fetching->done = true;
}

static void add_form(struct iot_buf *form, const char *name, const char *value)
{
	if (value == NULL)
		return;
	iot_buf_addf(form, "%s%s=", form->len > 0 ? "&" : "", name);
	iot_percent_encode(value, strlen(value), form);
}

static void role_form(const struct aws *aws, const char *profile, struct iot_buf *form)
{
	const char *session = aws_profile_get(aws, profile, "role_session_name");
	IOT_CLEAN(iot_free_p) char *own = iot_strf("iotctl-%lld", (long long)(iot_now_ms() / 1000));

	add_form(form, "Action", "AssumeRole");
	add_form(form, "Version", "2011-06-15");
	add_form(form, "RoleArn", aws_profile_get(aws, profile, "role_arn"));
	add_form(form, "RoleSessionName", session != NULL ? session : own);
	add_form(form, "ExternalId", aws_profile_get(aws, profile, "external_id"));
	add_form(form, "DurationSeconds", aws_profile_get(aws, profile, "duration_seconds"));
}

static enum iot_status read_role(const struct iot_http_reply *reply, const char *source, const char *host,
				 struct aws_credentials *ret, struct iot_error *err)
{
	static const char *const names[] = {"AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"};
	char values[IOT_LENGTH(names)][4096];
	struct aws_answer answer;
	enum iot_status status = IOT_OK;

	if (reply->outcome != IOT_HTTP_ANSWERED) {
		*err = reply->err;
		return reply->err.status;
	}
	aws_answer_read(reply, &answer);
	if (reply->status != 200)
		return aws_answer_fail(&answer, host, err);
	for (size_t i = 0; i < IOT_LENGTH(names) && status == IOT_OK; i++) {
		if (!aws_xml_text(iot_buf_str(&reply->body), names[i], values[i], sizeof(values[i])))
			status = iot_fail(err, IOT_FAILURE, "the answer of '%s' has no %s", host, names[i]);
	}
	if (status == IOT_OK) {
		*ret = (struct aws_credentials){.access_key = iot_strdup(values[0]),
						.secret = iot_strdup(values[1]),
						.token = iot_strdup(values[2]),
						.source = iot_strdup(source)};
		status = set_expiry(values[3], source, ret, err);
	}
	iot_wipe(values, sizeof(values));
	return status;
}

enum iot_status aws_credentials_role(struct aws *aws, const char *profile, const struct aws_credentials *source,
				     struct aws_credentials *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *name = iot_strf("the role of profile '%s' (through %s)", profile, source->source);
	struct aws_wire wire = {.service = AWS_STS,
				.method = "POST",
				.path = IOT_BUF_INIT(8),
				.query = IOT_BUF_INIT(8),
				.body = IOT_BUF_INIT(16384),
				.content_type = "application/x-www-form-urlencoded"};
	struct fetching fetching = {IOT_HTTP_REPLY_INIT, false};
	struct iot_error why = IOT_ERROR_INIT;
	enum iot_status status;

	iot_buf_adds(&wire.path, "/");
	role_form(aws, profile, &wire.body);
	status = aws_wire_hash(&wire, &why);
	if (status == IOT_OK)
		status = aws_wire_send(aws, &wire, source, false, FETCH_MS, on_fetched, &fetching, &why);
	if (status == IOT_OK) {
		while (!fetching.done)
			iot_http_run(aws->http, 1000);
		status = read_role(&fetching.reply, name, aws->endpoints[AWS_STS].host, ret, &why);
	}
	if (status != IOT_OK) {
		iot_error_while(&why, "taking %s", name);
		if (err != NULL)
			*err = why;
		aws_credentials_release(ret);
	}
	if (fetching.reply.body.len > 0)
		iot_wipe(fetching.reply.body.data, fetching.reply.body.len);
	iot_http_reply_release(&fetching.reply);
	aws_wire_release(&wire);
	return status;
}

/* --- a device's certificate ------------------------------------------------------------- */

static enum iot_status ask_provider(struct aws *aws, const char *profile, const char *source,
				    struct aws_credentials *ret, struct iot_error *err)
{
	const char *host = aws_profile_get(aws, profile, "iot_credentials_endpoint");
	const char *alias = aws_profile_get(aws, profile, "iot_role_alias");
	const char *thing = aws_profile_get(aws, profile, "iot_thing_name");
	IOT_CLEAN(iot_free_p)
	char *url = iot_strf("%s%s/role-aliases/%s/credentials", strstr(host, "://") != NULL ? "" : "https://", host,
			     alias);
	const struct iot_http_header header = {"x-amzn-iot-thingname", thing};
	const struct iot_http_request request = {.method = "GET",
						 .url = url,
						 .headers = &header,
						 .header_count = thing != NULL,
						 .timeout_ms = FETCH_MS,
						 .max_reply = MAX_TEXT};
	struct iot_http_reply reply = IOT_HTTP_REPLY_INIT;
	struct aws_answer answer;
	IOT_JSON object = NULL;
	enum iot_status status = iot_http_call(aws->device_http, &request, &reply, err);

	if (status == IOT_OK && reply.status != 200) {
		aws_answer_read(&reply, &answer);
		status = aws_answer_fail(&answer, host, err);
	}
	if (status == IOT_OK)
		status =
			iot_json_parse(iot_buf_str(&reply.body), reply.body.len, "the provider's answer", &object, err);
	if (status == IOT_OK)
		status = from_json(json_object_get(object, "credentials"), false, source, ret, err);
	if (reply.body.len > 0)
		iot_wipe(reply.body.data, reply.body.len);
	iot_http_reply_release(&reply);
	return status;
}

enum iot_status aws_credentials_device(struct aws *aws, const char *profile, struct aws_credentials *ret,
				       struct iot_error *err)
{
	static const char *const needed[] = {"iot_credentials_endpoint", "iot_role_alias", "iot_certificate",
					     "iot_private_key"};
	IOT_CLEAN(iot_free_p) char *source = iot_strf("the IoT credentials provider of profile '%s'", profile);
	struct iot_http_options options = {.certificate_file = aws_profile_get(aws, profile, "iot_certificate"),
					   .key_file = aws_profile_get(aws, profile, "iot_private_key"),
					   .ca_file = aws->ca_file,
					   .ca_pem = aws->ca_pem.data,
					   .ca_pem_len = aws->ca_pem.len};
	enum iot_status status = IOT_OK;

	for (size_t i = 0; i < IOT_LENGTH(needed) && status == IOT_OK; i++) {
		if (aws_profile_get(aws, profile, needed[i]) == NULL)
			status = iot_fail(err, IOT_SETTINGS, "profile '%s' has no %s", profile, needed[i]);
	}
	if (status == IOT_OK && aws->device_http == NULL)
		status = iot_http_new(&options, &aws->device_http, err);
	if (status == IOT_OK)
		status = ask_provider(aws, profile, source, ret, err);
	if (status != IOT_OK)
		iot_error_while(err, "getting credentials from %s", source);
	return status;
}
