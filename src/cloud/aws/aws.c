/*
 * The aws cloud: opening it from options, environment and files, one call, and
 * many in flight.
 */
#include "cloud/aws/aws_private.h"

enum { TIMEOUT_MS = 120000, ATTEMPTS = 5, PARALLEL = 64, QUOTA_AT_FIRST = 500, STEP_MS = 1000 };

static void aws_free(void *self)
{
	struct aws *aws = self;

	while (aws->calls != NULL) {
		struct aws_call *call = aws->calls;

		aws->calls = call->next;
		aws_call_free(call);
	}
	iot_http_free(aws->http);
	iot_http_free(aws->device_http);
	for (size_t i = 0; i < AWS_SERVICES; i++)
		aws_endpoint_release(&aws->endpoints[i]);
	for (size_t i = 0; i < AWS_FILES; i++)
		aws_file_release(&aws->files[i]);
	aws_credentials_release(&aws->fixed);
	aws_credentials_release(&aws->credentials);
	iot_buf_release(&aws->ca_pem);
	json_decref(aws->looked_at);
	free(aws->region);
	free(aws->profile);
	free(aws->endpoint_url);
	free(aws->fleet_dir);
	free(aws->ca_file);
	free(aws->arn_prefix);
	free(aws->rates);
	free(aws);
}

static enum iot_status aws_call(void *self, const struct iot_operation *op, const json_t *request,
				const struct iot_body *in, json_t **ret_reply, struct iot_buf *out,
				struct iot_error *err)
{
	struct aws *aws = self;

	if (strcmp(op->name, "CreateCertificateFromCsr") == 0)
		return aws_certificate_from_csr(aws, op, request, ret_reply, err);
	return aws_call_run(aws, op, request, in, ret_reply, out, err);
}

static const struct iot_cloud_ops ops = {
	.kind = "aws",
	.call = aws_call,
	.arn_prefix = aws_arn_prefix,
	.together = aws_together,
	.pause = aws_pause,
	.free = aws_free,
};

/* --- opening ------------------------------------------------------------------------- */

static const char *first_of(const char *a, const char *b, const char *c)
{
	return a != NULL ? a : b != NULL ? b : c;
}

static bool region_name(const char *text)
{
	return strlen(text) <= 63 && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(text);
}

static enum iot_status choose_region(struct aws *aws, const char *given, struct iot_error *err)
{
	const struct aws_endpoint *endpoint;
	const char *region = first_of(given, aws_env("AWS_REGION"), aws_env("AWS_DEFAULT_REGION"));
	enum iot_status status;

	region = first_of(region, aws_profile_get(aws, aws->profile, "region"), NULL);
	aws->region = iot_strdup(region != NULL ? region : "us-east-1");
	if (!region_name(aws->region))
		return iot_fail(err, IOT_SETTINGS, "'%.80s' is not the name of an AWS region", aws->region);
	status = aws_endpoint(aws, AWS_IOT, &endpoint, err);
	if (status != IOT_OK || region != NULL || endpoint->given)
		return status;
	iot_fail(err, IOT_SETTINGS, "no AWS region is chosen");
	iot_error_hint(err, "name one with --region, AWS_REGION or in the AWS profile '%s'", aws->profile);
	return IOT_SETTINGS;
}

static enum iot_status choose_attempts(struct aws *aws, int given, struct iot_error *err)
{
	const char *text = aws_env("AWS_MAX_ATTEMPTS");
	int64_t attempts = given > 0 ? given : ATTEMPTS;
	enum iot_status status = IOT_OK;

	if (given <= 0 && text != NULL && iot_parse_int(text, 1, 100, &attempts, err) != IOT_OK) {
		iot_error_while(err, "reading AWS_MAX_ATTEMPTS");
		status = IOT_SETTINGS;
	}
	aws->max_attempts = (int)attempts;
	return status;
}

static void take_identity(struct aws *aws, const struct iot_aws_options *options)
{
	const char *variable = first_of(aws_env("AWS_PROFILE"), aws_env("AWS_DEFAULT_PROFILE"), NULL);

	aws->profile = iot_strdup(first_of(options->profile, variable, "default"));
	aws->profile_given = options->profile_given;
	aws->profile_named = options->profile != NULL || variable != NULL;
	if (options->access_key == NULL || options->secret_key == NULL)
		return;
	aws->fixed.access_key = iot_strdup(options->access_key);
	aws->fixed.secret = iot_strdup(options->secret_key);
	aws->fixed.token = iot_strdup(options->session_token);
	aws->fixed.source = iot_strdup(first_of(options->credentials_source, "the caller", NULL));
}

static enum iot_status open_http(struct aws *aws, const struct iot_aws_options *options, struct iot_error *err)
{
	struct iot_http_options http = {.connections = aws->parallel};

	aws->ca_pem = (struct iot_buf)IOT_BUF_INIT((size_t)1024 * 1024);
	if (options->ca_pem != NULL)
		iot_buf_add(&aws->ca_pem, options->ca_pem, options->ca_pem_len);
	else
		aws->ca_file = iot_strdup(first_of(options->ca_file, aws_env("AWS_CA_BUNDLE"),
						   aws_profile_get(aws, aws->profile, "ca_bundle")));
	http.ca_pem = options->ca_pem;
	http.ca_pem_len = options->ca_pem_len;
	http.ca_file = aws->ca_file;
	return iot_http_new(&http, &aws->http, err);
}

enum iot_status iot_aws_open(const struct iot_aws_options *options, struct iot_cloud **ret, struct iot_error *err)
{
	struct aws *aws = iot_alloc(sizeof(*aws));
	enum iot_status status = IOT_OK;

	aws->endpoint_url = iot_strdup(options->endpoint_url);
	aws->fleet_dir = iot_strdup(options->fleet_dir);
	aws->timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : TIMEOUT_MS;
	aws->parallel = options->parallel > 0 ? options->parallel : PARALLEL;
	aws->quota = QUOTA_AT_FIRST;
	take_identity(aws, options);
	if (!options->no_files)
		status = aws_files_load(aws, err);
	if (status == IOT_OK)
		status = choose_region(aws, options->region, err);
	if (status == IOT_OK)
		status = choose_attempts(aws, options->max_attempts, err);
	if (status == IOT_OK)
		status = aws_rates_init(aws, options->rates, err);
	if (status == IOT_OK)
		status = open_http(aws, options, err);
	if (status != IOT_OK) {
		aws_free(aws);
		return status;
	}
	*ret = iot_cloud_new(&ops, aws);
	return IOT_OK;
}

const char *iot_aws_fleet_dir(struct iot_cloud *cloud)
{
	return ((struct aws *)iot_cloud_self(cloud))->fleet_dir;
}

const char *iot_aws_credentials_source(struct iot_cloud *cloud)
{
	return ((struct aws *)iot_cloud_self(cloud))->credentials.source;
}

/* --- many in flight --------------------------------------------------------------------- */

enum iot_status iot_aws_submit(struct iot_cloud *cloud, const char *operation, const json_t *request,
			       iot_aws_done_fn *done, void *data, struct iot_error *err)
{
	struct aws *aws = iot_cloud_self(cloud);
	const struct iot_operation *op = iot_operation_find(operation);
	struct aws_call *call = NULL;
	enum iot_status status;

	if (op == NULL)
		return iot_cloud_fail(err, "UnknownOperationException", "there is no operation '%.80s'", operation);
	status = iot_operation_check(op, request, err);
	while (status == IOT_OK && aws->call_count >= aws->parallel)
		aws_engine_step(aws, STEP_MS);
	if (status == IOT_OK)
		status = aws_call_start(aws, op, request, NULL, NULL, &call, err);
	if (status != IOT_OK)
		return status;
	call->done = done;
	call->data = data;
	aws_engine_step(aws, 0);
	return IOT_OK;
}

void iot_aws_drain(struct iot_cloud *cloud)
{
	struct aws *aws = iot_cloud_self(cloud);

	while (aws->calls != NULL)
		aws_engine_step(aws, STEP_MS);
}
