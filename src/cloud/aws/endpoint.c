/*
 * Where a service is: overrides by option, environment and the AWS files, in
 * the order of AWS's tools, else AWS's own host names (partition, FIPS and
 * dual-stack as they are published). And small readings of environment and files.
 */
#include "cloud/aws/aws_private.h"

#include <ctype.h>
#include <strings.h>

static const struct {
	const char *signing;            /* signing name */
	const char *variable;           /* AWS_ENDPOINT_URL_... */
	const char *section;            /* block in a services section */
	const char *host, *fips, *dual; /* %s: region; then the partition's suffix */
} services[AWS_SERVICES] = {
	[AWS_IOT] = {"iot", "IOT", "iot", "iot.%s.", "iot-fips.%s.", "iot.%s.api."},
	[AWS_IOTDATA] = {"iotdata", "IOT_DATA_PLANE", "iot_data_plane", "data-ats.iot.%s.", "data.iot-fips.%s.",
			 "data-ats.iot.%s.api."},
	[AWS_JOBS] = {"iot-jobs-data", "IOT_JOBS_DATA_PLANE", "iot_jobs_data_plane", "data.jobs.iot.%s.",
		      "data.jobs.iot-fips.%s.", "data.jobs.iot.%s.api."},
	[AWS_S3] = {"s3", "S3", "s3", "s3.%s.", "s3-fips.%s.", "s3.dualstack.%s."},
	[AWS_SIGNER] = {"signer", "SIGNER", "signer", "signer.%s.", "signer-fips.%s.", "signer.%s.api."},
	[AWS_STS] = {"sts", "STS", "sts", "sts.%s.", "sts-fips.%s.", "sts.%s.api."},
	[AWS_OWN] = {"iotctl", "IOTCTL", "iotctl", NULL, NULL, NULL},
};

const char *aws_env(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && *value != '\0' ? value : NULL;
}

bool aws_env_true(const char *name)
{
	const char *value = aws_env(name);

	return value != NULL && strcasecmp(value, "true") == 0;
}

char *aws_profile_section(const char *profile)
{
	return strcmp(profile, "default") == 0 ? iot_strdup("default") : iot_strf("profile %s", profile);
}

const char *aws_profile_get(const struct aws *aws, const char *profile, const char *key)
{
	IOT_CLEAN(iot_free_p) char *section = aws_profile_section(profile);
	const char *value;

	value = aws_file_get(aws, AWS_FILE_CONFIG, section, key);
	return value != NULL ? value : aws_file_get(aws, AWS_FILE_CREDENTIALS, profile, key);
}

enum aws_service aws_service_of(const char *signing_name)
{
	for (int i = 0; i < AWS_SERVICES; i++) {
		if (strcmp(services[i].signing, signing_name) == 0)
			return (enum aws_service)i;
	}
	return AWS_IOT;
}

const char *aws_signing_name(enum aws_service service)
{
	return services[service].signing;
}

void aws_endpoint_release(struct aws_endpoint *endpoint)
{
	free(endpoint->base);
	free(endpoint->host);
	free(endpoint->path);
	*endpoint = (struct aws_endpoint){0};
}

static enum iot_status refuse(const char *url, const char *origin, struct iot_error *err)
{
	iot_fail(err, IOT_SETTINGS, "the endpoint '%.200s' (%s) is not a URL like https://host:port", url, origin);
	return IOT_SETTINGS;
}

enum iot_status aws_endpoint_parse(const char *url, const char *origin, struct aws_endpoint *ret, struct iot_error *err)
{
	size_t scheme = iot_starts_with(url, "https://") ? 8 : iot_starts_with(url, "http://") ? 7 : 0;
	const char *host = url + scheme;
	size_t host_len = strcspn(host, "/?#"), path_len = strlen(host + host_len);
	const char *plain_port = scheme == 8 ? ":443" : ":80";

	if (scheme == 0 || host_len == 0 || strpbrk(url, "?#\\@ ") != NULL)
		return refuse(url, origin, err);
	for (const char *c = url; *c != '\0'; c++) {
		if (!isgraph((unsigned char)*c))
			return refuse(url, origin, err);
	}
	while (path_len > 0 && host[host_len + path_len - 1] == '/')
		path_len--;
	ret->base = iot_strndup(url, scheme + host_len + path_len);
	ret->path = iot_strndup(host + host_len, path_len);
	ret->host = iot_strndup(host, host_len);
	/* The scheme's own port is not part of the Host header. */
	if (iot_ends_with(ret->host, plain_port))
		ret->host[host_len - strlen(plain_port)] = '\0';
	for (char *c = ret->host; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	ret->given = true;
	return IOT_OK;
}

/* The URL that somebody gave for this service; new memory, NULL: nobody did. *origin says who. */
static char *given_url(const struct aws *aws, enum aws_service service, char **origin)
{
	IOT_CLEAN(iot_free_p) char *variable = iot_strf("AWS_ENDPOINT_URL_%s", services[service].variable);
	const char *block = aws_profile_get(aws, aws->profile, "services"), *url = aws->endpoint_url;

	*origin = iot_strdup("endpoint-url");
	if (url != NULL)
		return iot_strdup(url);
	free(iot_take(*origin));
	if (aws_env_true("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"))
		return NULL;
	if ((url = aws_env(variable)) != NULL) {
		*origin = iot_strf("environment %s", variable);
	} else if ((url = aws_env("AWS_ENDPOINT_URL")) != NULL) {
		*origin = iot_strdup("environment AWS_ENDPOINT_URL");
	} else if (block != NULL) {
		IOT_CLEAN(iot_free_p) char *section = iot_strf("services %s", block);
		IOT_CLEAN(iot_free_p) char *key = iot_strf("%s.endpoint_url", services[service].section);

		url = aws_file_get(aws, AWS_FILE_CONFIG, section, key);
		*origin = iot_strf("[%s] in the AWS config file", section);
	}
	if (url == NULL && (url = aws_profile_get(aws, aws->profile, "endpoint_url")) != NULL) {
		free(*origin);
		*origin = iot_strf("profile '%s' in the AWS config file", aws->profile);
	}
	return iot_strdup(url);
}

static char *own_url(const struct aws *aws, enum aws_service service)
{
	bool china = iot_starts_with(aws->region, "cn-");
	bool fips = aws_env_true("AWS_USE_FIPS_ENDPOINT"), dual = aws_env_true("AWS_USE_DUALSTACK_ENDPOINT");
	const char *pattern = fips ? services[service].fips : dual ? services[service].dual : services[service].host;
	const char *suffix = china ? "amazonaws.com.cn" : "amazonaws.com";
	const char *mark;

	if (china && service == AWS_IOTDATA && !fips && !dual)
		pattern = "data.ats.iot.%s.";
	if (dual && !fips && service != AWS_S3)
		suffix = china ? "amazonwebservices.com.cn" : "aws";
	mark = strstr(pattern, "%s");
	return iot_strf("https://%.*s%s%s%s", (int)(mark - pattern), pattern, aws->region, mark + 2, suffix);
}

enum iot_status aws_endpoint(struct aws *aws, enum aws_service service, const struct aws_endpoint **ret,
			     struct iot_error *err)
{
	struct aws_endpoint *endpoint = &aws->endpoints[service];
	IOT_CLEAN(iot_free_p) char *origin = NULL;
	IOT_CLEAN(iot_free_p) char *url = NULL;
	enum iot_status status;

	*ret = endpoint;
	if (endpoint->base != NULL)
		return IOT_OK;
	url = given_url(aws, service, &origin);
	if (url != NULL)
		return aws_endpoint_parse(url, origin, endpoint, err);
	if (services[service].host == NULL) {
		iot_fail(err, IOT_USAGE, "AWS IoT has no such operation");
		iot_error_hint(err, "it needs a fleet of the local cloud, or an endpoint served by 'iotctl serve'");
		iot_error_set_code(err, "UnknownOperationException");
		return IOT_USAGE;
	}
	url = own_url(aws, service);
	status = aws_endpoint_parse(url, "region", endpoint, err);
	endpoint->given = false;
	return status;
}
