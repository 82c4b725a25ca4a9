/*
 * Whose credentials sign: the first source that has any, in the order of AWS's
 * tools. They are kept until shortly before they expire; every one knows what
 * it came from, for messages.
 */
#include "cloud/aws/aws_private.h"

#define EARLY_MS (5 * 60 * 1000) /* fetched anew so long before they expire */
#define MAX_CHAIN 4              /* profiles that refer to one another */

void aws_credentials_release(struct aws_credentials *credentials)
{
	char *const secrets[] = {credentials->secret, credentials->token};

	for (size_t i = 0; i < IOT_LENGTH(secrets); i++) {
		if (secrets[i] != NULL)
			iot_wipe(secrets[i], strlen(secrets[i]));
		free(secrets[i]);
	}
	free(credentials->access_key);
	free(credentials->source);
	*credentials = (struct aws_credentials){0};
}

static void take(struct aws_credentials *ret, const char *access_key, const char *secret, const char *token,
		 char *source)
{
	*ret = (struct aws_credentials){
		.access_key = iot_strdup(access_key),
		.secret = iot_strdup(secret),
		.token = iot_strdup(token != NULL && *token != '\0' ? token : NULL),
		.source = source,
	};
}

static enum iot_status half(const char *where, const char *missing, struct iot_error *err)
{
	return iot_fail(err, IOT_SETTINGS, "the credentials in %s are incomplete: %s is missing", where, missing);
}

static enum iot_status from_environment(struct aws_credentials *ret, struct iot_error *err)
{
	const char *access_key = aws_env("AWS_ACCESS_KEY_ID"), *secret = aws_env("AWS_SECRET_ACCESS_KEY");

	if (access_key == NULL && secret == NULL)
		return IOT_OK;
	if (access_key == NULL || secret == NULL)
		return half("the environment", access_key == NULL ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY", err);
	take(ret, access_key, secret, aws_env("AWS_SESSION_TOKEN"), iot_strdup("the environment (AWS_ACCESS_KEY_ID)"));
	return IOT_OK;
}

static enum iot_status from_section(struct aws *aws, enum aws_file_kind file, const char *section, const char *profile,
				    struct aws_credentials *ret, struct iot_error *err)
{
	const char *access_key = aws_file_get(aws, file, section, "aws_access_key_id");
	const char *secret = aws_file_get(aws, file, section, "aws_secret_access_key");
	char *source;

	if (access_key == NULL && secret == NULL)
		return IOT_OK;
	source = iot_strf("profile '%s' in %s", profile, aws->files[file].path);
	if (access_key == NULL || secret == NULL) {
		enum iot_status status =
			half(source, access_key == NULL ? "aws_access_key_id" : "aws_secret_access_key", err);

		free(source);
		return status;
	}
	take(ret, access_key, secret, aws_file_get(aws, file, section, "aws_session_token"), source);
	return IOT_OK;
}

static bool profile_exists(const struct aws *aws, const char *profile)
{
	IOT_CLEAN(iot_free_p) char *section = aws_profile_section(profile);

	return aws_file_has(aws, AWS_FILE_CONFIG, section) || aws_file_has(aws, AWS_FILE_CREDENTIALS, profile);
}

static enum iot_status from_profile(struct aws *aws, const char *profile, int depth, struct aws_credentials *ret,
				    struct iot_error *err);

static enum iot_status from_role(struct aws *aws, const char *profile, int depth, struct aws_credentials *ret,
				 struct iot_error *err)
{
	const char *source_profile = aws_profile_get(aws, profile, "source_profile");
	const char *source_name = aws_profile_get(aws, profile, "credential_source");
	struct aws_credentials source = {0};
	enum iot_status status;

	if (source_profile != NULL && strcmp(source_profile, profile) == 0)
		status = from_section(aws, AWS_FILE_CREDENTIALS, profile, profile, &source, err);
	else if (source_profile != NULL)
		status = from_profile(aws, source_profile, depth + 1, &source, err);
	else if (source_name != NULL && strcmp(source_name, "Environment") == 0)
		status = from_environment(&source, err);
	else
		status = iot_fail(err, IOT_SETTINGS,
				  "profile '%s' has a role_arn but no source_profile that is known here", profile);
	if (status == IOT_OK && source.access_key == NULL)
		status = iot_fail(err, IOT_SETTINGS, "profile '%s' takes a role, but its source has no credentials",
				  profile);
	if (status == IOT_OK)
		status = aws_credentials_role(aws, profile, &source, ret, err);
	aws_credentials_release(&source);
	return status;
}

static enum iot_status from_profile(struct aws *aws, const char *profile, int depth, struct aws_credentials *ret,
				    struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *section = aws_profile_section(profile);
	const char *command;
	enum iot_status status;

	if (depth >= MAX_CHAIN)
		return iot_fail(err, IOT_SETTINGS, "the source_profile of '%s' leads in circles", profile);
	if (!profile_exists(aws, profile)) {
		iot_fail(err, IOT_SETTINGS, "there is no profile '%s' in the AWS files", profile);
		iot_error_hint(err, "they are %s and %s", aws->files[AWS_FILE_CONFIG].path,
			       aws->files[AWS_FILE_CREDENTIALS].path);
		return IOT_SETTINGS;
	}
	if (aws_profile_get(aws, profile, "role_arn") != NULL)
		return from_role(aws, profile, depth, ret, err);
	status = from_section(aws, AWS_FILE_CREDENTIALS, profile, profile, ret, err);
	command = aws_profile_get(aws, profile, "credential_process");
	if (status == IOT_OK && ret->access_key == NULL && command != NULL)
		return aws_credentials_process(aws, command, profile, ret, err);
	if (status == IOT_OK && ret->access_key == NULL && aws_profile_get(aws, profile, "iot_role_alias") != NULL)
		return aws_credentials_device(aws, profile, ret, err);
	if (status == IOT_OK && ret->access_key == NULL)
		status = from_section(aws, AWS_FILE_CONFIG, section, profile, ret, err);
	return status;
}

static enum iot_status nowhere(const struct aws *aws, struct iot_error *err)
{
	iot_fail(err, IOT_DENIED, "there are no AWS credentials: neither in the environment nor in profile '%s'",
		 aws->profile);
	iot_error_set_code(err, "MissingAuthenticationTokenException");
	if (aws_profile_get(aws, aws->profile, "sso_session") != NULL ||
	    aws_profile_get(aws, aws->profile, "sso_start_url") != NULL)
		iot_error_hint(
			err,
			"for single sign-on put 'credential_process = aws configure export-credentials --profile %s' "
			"into a profile of its own",
			aws->profile);
	else
		iot_error_hint(err,
			       "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile with --aws-profile");
	return IOT_DENIED;
}

static enum iot_status find(struct aws *aws, struct aws_credentials *ret, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	if (aws->fixed.access_key != NULL) {
		take(ret, aws->fixed.access_key, aws->fixed.secret, aws->fixed.token, iot_strdup(aws->fixed.source));
		return IOT_OK;
	}
	if (!aws->profile_given)
		status = from_environment(ret, err);
	if (status == IOT_OK && ret->access_key == NULL && (aws->profile_named || profile_exists(aws, aws->profile)))
		status = from_profile(aws, aws->profile, 0, ret, err);
	if (status == IOT_OK && ret->access_key == NULL)
		status = nowhere(aws, err);
	return status;
}

enum iot_status aws_credentials_need(struct aws *aws, struct iot_error *err)
{
	struct aws_credentials *now = &aws->credentials;
	struct aws_credentials found = {0};
	enum iot_status status;

	if (now->access_key != NULL &&
	    (now->expires_ms == 0 || now->expires_ms > iot_now_ms() + aws->skew_ms + EARLY_MS))
		return IOT_OK;
	status = find(aws, &found, err);
	if (status == IOT_OK && found.expires_ms != 0 && found.expires_ms <= iot_now_ms() + aws->skew_ms) {
		status = iot_fail(err, IOT_DENIED, "the credentials from %s have expired", found.source);
		iot_error_set_code(err, "ExpiredTokenException");
	}
	if (status != IOT_OK) {
		aws_credentials_release(&found);
		return status;
	}
	aws_credentials_release(now);
	*now = found;
	return IOT_OK;
}

bool aws_credentials_renew(struct aws *aws)
{
	if (aws->credentials.expires_ms == 0)
		return false;
	aws_credentials_release(&aws->credentials);
	return true;
}
