/*
 * What comes with an operator's profile (iotctl-profile(7)): the settings it may
 * have, their values decoded, and the way to the broker that follows from them.
 */
#include "command/profile.h"

#include "iotctl/aws.h"
#include "iotctl/fs.h"
#include "iotctl/text.h"

#include <string.h>

const struct setting command_settings[] = {
	{.name = "aws-rates", .help = "calls a second at AWS, like CreateThing=50,*=10"},
	{.name = "aws-ca-file", .help = "PEM file of the CAs that the AWS endpoints' certificates are checked with"},
	{.name = "aws-root-ca",
	 .help = "PEM file that boards check the endpoint at AWS with; else Amazon's root of the system"},
	{.name = "aws-bucket", .help = "bucket that images go to at AWS"},
	{.name = "aws-role-arn", .help = "role with which AWS IoT reads images from it"},
	{.name = "broker", .help = "broker of the fleet as HOST:PORT, reached with the profile's certificate"},
	{.name = "mqtt-port",
	 .help = "port of the message broker at AWS, where the profile names no broker",
	 .fallback = "8883",
	 .choices = CLI_CHOICES("8883", "443")},
	{.name = "mqtt-alpn",
	 .help = "whether AWS's protocol for MQTT is offered by ALPN; auto: on port 443",
	 .fallback = "auto",
	 .choices = CLI_CHOICES("auto", "always", "never")},
	{.name = "operator", .help = "operator whose profile this is"},
	{.name = "access-key-id", .help = "access key for the HTTPS API of a fleet"},
	{.name = "secret-access-key", .help = "secret of the access key", .hidden = true},
	{.name = "client-certificate-data", .help = "the operator's certificate, PEM in base64", .hidden = true},
	{.name = "client-key-data", .help = "the private key of that certificate, PEM in base64", .hidden = true},
	{.name = "ca-data", .help = "CA certificate of broker and HTTPS API, PEM in base64", .hidden = true},
	{0},
};

static enum iot_status need(const struct settings *settings, const char *name, const char **ret, struct iot_error *err)
{
	*ret = settings_get(settings, name);
	if (*ret != NULL && **ret != '\0')
		return IOT_OK;
	iot_fail(err, IOT_SETTINGS, "profile '%s' has no '%s'", settings_profile(settings), name);
	iot_error_hint(err, "have one made with 'iotctl operator create'");
	return IOT_SETTINGS;
}

static enum iot_status decode(const struct settings *settings, const char *name, struct iot_buf *pem,
			      struct iot_error *err)
{
	const char *text = NULL;
	enum iot_status status = need(settings, name, &text, err);

	*pem = (struct iot_buf)IOT_BUF_SECRET((size_t)64 * 1024);
	if (status != IOT_OK)
		return status;
	if (!iot_unbase64(text, strlen(text), pem) || pem->over || memchr(iot_buf_str(pem), '\0', pem->len) != NULL)
		return iot_fail(err, IOT_SETTINGS, "'%s' of profile '%s' is not base64", name,
				settings_profile(settings));
	return IOT_OK;
}

/* An operator of a fleet at AWS: the certificate is in this file, the keys are in ~/.aws. */
static bool by_aws_profile(const struct settings *settings)
{
	return settings_get(settings, "aws-profile") != NULL && settings_get(settings, "access-key-id") == NULL;
}

/* What AWS's brokers show, where the profile names no CA. */
static enum iot_status system_root(struct iot_buf *pem, struct iot_error *err)
{
	enum iot_status status;

	*pem = (struct iot_buf)IOT_BUF_INIT((size_t)64 * 1024);
	status = iot_fs_read(IOT_AWS_ROOT_CA, pem, err);
	if (status == IOT_NOT_FOUND)
		iot_error_hint(err, "install the package ca-certificates, or put 'ca-data' into the profile");
	return status;
}

enum iot_status command_profile_read(const struct settings *settings, struct command_profile *ret,
				     struct iot_error *err)
{
	struct command_profile profile = {0};
	struct iot_profile *values = &profile.values;
	enum iot_status status = need(settings, "operator", &values->name, err);

	values->broker = settings_get(settings, "broker"); /* needed when it is connected to */
	if (status == IOT_OK && !by_aws_profile(settings)) {
		status = need(settings, "endpoint-url", &values->endpoint_url, err);
		if (status == IOT_OK)
			status = need(settings, "access-key-id", &values->access_key_id, err);
		if (status == IOT_OK)
			status = need(settings, "secret-access-key", &values->secret, err);
	}
	if (status == IOT_OK)
		status = decode(settings, "client-certificate-data", &profile.certificate, err);
	if (status == IOT_OK)
		status = decode(settings, "client-key-data", &profile.key, err);
	if (status == IOT_OK)
		status = by_aws_profile(settings) && settings_get(settings, "ca-data") == NULL
				 ? system_root(&profile.ca, err)
				 : decode(settings, "ca-data", &profile.ca, err);
	if (status != IOT_OK) {
		command_profile_release(&profile);
		return status;
	}
	values->fleet = settings_get(settings, "fleet");
	values->certificate = iot_buf_str(&profile.certificate);
	values->key = iot_buf_str(&profile.key);
	values->ca = iot_buf_str(&profile.ca);
	*ret = profile;
	return IOT_OK;
}

void command_profile_release(struct command_profile *profile)
{
	iot_buf_release(&profile->certificate);
	iot_buf_release(&profile->key);
	iot_buf_release(&profile->ca);
	*profile = (struct command_profile){0};
}

enum iot_status command_profile(struct cli_context *ctx, const struct iot_profile **ret, struct iot_error *err)
{
	struct command_data *data = ctx->data;
	struct command_profile profile;
	enum iot_status status;

	if (data->profile == NULL && settings_get(ctx->settings, "operator") != NULL) {
		status = command_profile_read(ctx->settings, &profile, err);
		if (status != IOT_OK)
			return status;
		data->profile = iot_alloc(sizeof(*data->profile));
		*data->profile = profile;
	}
	*ret = data->profile != NULL ? &data->profile->values : NULL;
	return IOT_OK;
}

/* The account's own, as AWS says. */
static enum iot_status find_broker(struct cli_context *ctx, struct iot_error *err)
{
	struct command_data *data = ctx->data;
	IOT_JSON reply = NULL;
	const char *host;
	enum iot_status status = data->broker == NULL ? command_open_cloud(ctx, err) : IOT_OK;

	if (status != IOT_OK || data->broker != NULL)
		return status;
	status = command_call(ctx, "DescribeEndpoint", json_pack("{s:s}", "endpointType", "iot:Data-ATS"), &reply, err);
	host = iot_json_str(reply, "endpointAddress", "");
	if (status == IOT_OK && *host == '\0')
		status = iot_fail(err, IOT_FAILURE, "AWS does not say where its message broker is");
	if (status == IOT_OK)
		data->broker = iot_strf("%s:%s", host, settings_get(ctx->settings, "mqtt-port"));
	return status;
}

/* On port 443 AWS tells MQTT from HTTPS by ALPN; the broker of a fleet elsewhere knows nothing of that. */
static const char *alpn_of(const struct cli_context *ctx, const char *broker)
{
	const char *when = settings_get(ctx->settings, "mqtt-alpn");
	bool wanted = strcmp(when, "always") == 0 ||
		      (strcmp(when, "auto") == 0 && by_aws_profile(ctx->settings) && iot_ends_with(broker, ":443"));

	return wanted ? IOT_AWS_MQTT_ALPN : NULL;
}

static enum iot_status as_operator(struct cli_context *ctx, struct iot_messaging_where *ret, struct iot_error *err)
{
	struct command_data *data = ctx->data;
	const struct iot_profile *profile = NULL;
	const char *broker;
	enum iot_status status = command_profile(ctx, &profile, err);

	if (status != IOT_OK)
		return status;
	if (profile == NULL) {
		iot_fail(err, IOT_SETTINGS, "there is no operator's profile to connect to the broker with");
		iot_error_hint(err, "name one with --profile, or connect as a device with --as");
		return IOT_SETTINGS;
	}
	broker = profile->broker != NULL && *profile->broker != '\0' ? profile->broker : NULL;
	if (broker == NULL && by_aws_profile(ctx->settings)) {
		status = find_broker(ctx, err);
		if (status != IOT_OK)
			return status;
		broker = data->broker;
	}
	if (broker == NULL) {
		iot_fail(err, IOT_SETTINGS, "profile '%s' has no 'broker'", settings_profile(ctx->settings));
		iot_error_hint(err, "set it to HOST:PORT of the fleet's broker");
		return IOT_SETTINGS;
	}
	data->identity = (struct iot_messaging_operator){
		.name = profile->name,
		.broker = broker,
		.alpn = alpn_of(ctx, broker),
		.certificate = profile->certificate,
		.key = profile->key,
		.ca = profile->ca,
	};
	ret->as_operator = &data->identity;
	return IOT_OK;
}

enum iot_status command_watcher(struct cli_context *ctx, struct iot_messaging_where *ret, bool *ret_any,
				struct iot_error *err)
{
	const struct iot_profile *profile = NULL;
	enum iot_status status = IOT_OK;

	*ret_any = false;
	if (strcmp(settings_get(ctx->settings, "cloud"), "aws") == 0)
		status = command_profile(ctx, &profile, err);
	if (status != IOT_OK || profile == NULL || (profile->broker == NULL && !by_aws_profile(ctx->settings)))
		return status;
	*ret_any = true;
	return as_operator(ctx, ret, err);
}

enum iot_status command_messaging(struct cli_context *ctx, const char *as, struct iot_messaging_where *ret,
				  struct iot_error *err)
{
	enum iot_status status;

	ret->device_dir = as;
	if (as != NULL)
		return IOT_OK;
	if (strcmp(settings_get(ctx->settings, "cloud"), "aws") == 0)
		return as_operator(ctx, ret, err);
	status = command_open_cloud(ctx, err);
	if (status == IOT_OK)
		ret->fleet_dir = command_fleet(ctx);
	return status;
}
