/*
 * The prefix of this account's ARNs. Every reply that has one tells it; before
 * any did, STS is asked, and an endpoint without STS for the first thing it lists.
 */
#include "cloud/aws/aws_private.h"

#include <stdio.h>
#include <string.h>

/* "arn:PARTITION:iot:REGION:ACCOUNT:" of a text that begins like that; new memory, NULL if it does not. */
static char *prefix_of(const char *text)
{
	const char *at = text;
	const char *service = NULL;

	if (text == NULL || !iot_starts_with(text, "arn:"))
		return NULL;
	for (int colons = 0; colons < 5; colons++) {
		at = strchr(at, ':');
		if (at == NULL)
			return NULL;
		at++;
		if (colons == 1)
			service = at;
	}
	return iot_starts_with(service, "iot:") ? iot_strndup(text, (size_t)(at - text)) : NULL;
}

static void learn_from(struct aws *aws, const json_t *value, int depth)
{
	json_t *object = (json_t *)(uintptr_t)value, *item;
	const char *key;

	if (aws->arn_prefix != NULL || depth > 3)
		return;
	if (json_is_string(value))
		aws->arn_prefix = prefix_of(json_string_value(value));
	else if (json_is_array(value))
		learn_from(aws, json_array_get(value, 0), depth + 1);
	json_object_foreach(object, key, item) {
		if (strcmp(key, "attributes") == 0) /* anybody's own words */
			continue;
		if (iot_ends_with(key, "Arn") || json_is_array(item) || json_is_object(item))
			learn_from(aws, item, depth + 1);
	}
}

void aws_arn_learn(struct aws *aws, const json_t *reply)
{
	if (aws->arn_prefix == NULL && json_is_object(reply))
		learn_from(aws, reply, 0);
}

static const char *partition(const char *region)
{
	return iot_starts_with(region, "cn-") ? "aws-cn" : iot_starts_with(region, "us-gov-") ? "aws-us-gov" : "aws";
}

struct asking {
	char account[32];
	bool done;
};

static void on_identity(void *data, struct iot_http_reply *reply)
{
	struct asking *asking = data;

	asking->done = true;
	if (reply->outcome != IOT_HTTP_ANSWERED || reply->status != 200 ||
	    !aws_xml_text(iot_buf_str(&reply->body), "Account", asking->account, sizeof(asking->account)) ||
	    strspn(asking->account, "0123456789") != strlen(asking->account))
		asking->account[0] = '\0';
}

static void ask_sts(struct aws *aws)
{
	struct aws_wire wire = {.service = AWS_STS,
				.method = "POST",
				.path = IOT_BUF_INIT(8),
				.query = IOT_BUF_INIT(8),
				.body = IOT_BUF_INIT(256),
				.content_type = "application/x-www-form-urlencoded"};
	struct asking asking = {.done = false};
	struct iot_error ignored = IOT_ERROR_INIT;

	iot_buf_adds(&wire.path, "/");
	iot_buf_adds(&wire.body, "Action=GetCallerIdentity&Version=2011-06-15");
	if (aws_credentials_need(aws, &ignored) == IOT_OK && aws_wire_hash(&wire, &ignored) == IOT_OK &&
	    aws_wire_send(aws, &wire, &aws->credentials, false, 10000, on_identity, &asking, &ignored) == IOT_OK) {
		while (!asking.done)
			iot_http_run(aws->http, 1000);
	}
	if (asking.account[0] != '\0')
		aws->arn_prefix = iot_strf("arn:%s:iot:%s:%s:", partition(aws->region), aws->region, asking.account);
	aws_wire_release(&wire);
}

static void ask_lists(struct aws *aws)
{
	static const char *const lists[][2] = {
		{"ListPolicies", "pageSize"}, {"ListThings", "maxResults"}, {"ListCertificates", "pageSize"}};

	for (size_t i = 0; i < IOT_LENGTH(lists) && aws->arn_prefix == NULL; i++) {
		struct iot_error ignored = IOT_ERROR_INIT;
		IOT_JSON request = json_pack("{s:i}", lists[i][1], 1);
		IOT_JSON reply = NULL;

		(void)!aws_call_run(aws, iot_operation_find(lists[i][0]), request, NULL, &reply, NULL, &ignored);
	}
}

const char *aws_arn_prefix(void *self)
{
	struct aws *aws = self;
	const struct aws_endpoint *endpoint;

	/* The region of fleets that serve carries out has no accounts. */
	if (aws->arn_prefix == NULL && strcmp(aws->region, "local") == 0)
		aws->arn_prefix = iot_strdup("arn:aws:iot:local:000000000000:");
	if (aws->arn_prefix == NULL && aws_endpoint(aws, AWS_IOT, &endpoint, NULL) == IOT_OK) {
		if (endpoint->given)
			ask_lists(aws);
		if (aws->arn_prefix == NULL)
			ask_sts(aws);
	}
	/* Nobody says it: what was made of this is refused where it is used, with the ARN in the message. */
	if (aws->arn_prefix == NULL)
		aws->arn_prefix = iot_strf("arn:%s:iot:%s:000000000000:", partition(aws->region), aws->region);
	return aws->arn_prefix;
}
