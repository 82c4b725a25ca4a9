/*
 * The configuration of a job: rollout, abort, time-out, retry, schedule. The
 * operations table knows these members as objects; their insides are checked
 * here, once, when they come in (limits: AWS IoT API reference, CreateJob).
 */
#include "jobs_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { EXPIRES_MIN = 60, EXPIRES_MAX = 3600, TIMEOUT_MAX = 10080, RATE_MAX = 1000, RETRIES_MAX = 10 };

#define DAY_MS (24 * 60 * IOT_MINUTE_MS)
#define LEAD_MS (30 * IOT_MINUTE_MS) /* a schedule's shortest notice and shortest span */

static json_t *mutable(const json_t *value)
{
	return (json_t *)(uintptr_t)value; /* for jansson's iteration, which changes nothing */
}

/* `object` must be a JSON object with no other members than `names` (NULL-terminated). */
static enum iot_status only(const json_t *object, const char *where, const char *const *names, struct iot_error *err)
{
	const char *key;
	json_t *value;

	if (!json_is_object(object))
		return iot_local_invalid(err, "'%s' must be an object", where);
	json_object_foreach(mutable(object), key, value) {
		const char *const *name = names;

		while (*name != NULL && strcmp(*name, key) != 0)
			name++;
		if (*name == NULL)
			return iot_local_invalid(err, "'%s' has no member '%s'", where, key);
	}
	return IOT_OK;
}

static enum iot_status whole(const json_t *object, const char *where, const char *key, bool required, int64_t min,
			     int64_t max, struct iot_error *err)
{
	const json_t *value = json_object_get(object, key);

	if (value == NULL && !required)
		return IOT_OK;
	if (!json_is_integer(value) || json_integer_value(value) < min || json_integer_value(value) > max)
		return iot_local_invalid(err, "'%s.%s' must be a whole number from %" PRId64 " to %" PRId64, where, key,
					 min, max);
	return IOT_OK;
}

/* A number from min to max (not negative) with at most `digits` (1 or 2) digits after the point. */
static enum iot_status fraction(const json_t *object, const char *where, const char *key, double min, double max,
				int digits, struct iot_error *err)
{
	const json_t *value = json_object_get(object, key);
	double number = json_number_value(value), scaled = number * (digits == 1 ? 10 : 100), off;

	/* From the nearest whole one; the range keeps it within an integer. */
	off = number >= min && number <= max ? scaled - (double)(int64_t)(scaled + 0.5) : 1;
	if (!json_is_number(value) || off > 1e-6 || off < -1e-6)
		return iot_local_invalid(err, "'%s.%s' must be a number from %g to %g with at most %d decimal(s)",
					 where, key, min, max, digits);
	return IOT_OK;
}

static enum iot_status one_of(const json_t *object, const char *where, const char *key, const char *const *choices,
			      struct iot_error *err)
{
	const char *value = iot_json_str(object, key, "");

	for (const char *const *choice = choices; *choice != NULL; choice++) {
		if (strcmp(value, *choice) == 0)
			return IOT_OK;
	}
	return iot_local_invalid(err, "'%s.%s' is '%.40s', which is not a valid value", where, key, value);
}

static enum iot_status check_presigned(const json_t *config, struct iot_error *err)
{
	static const char *const names[] = {"roleArn", "expiresInSec", NULL};
	enum iot_status status = only(config, "presignedUrlConfig", names, err);

	if (status != IOT_OK)
		return status;
	return whole(config, "presignedUrlConfig", "expiresInSec", false, EXPIRES_MIN, EXPIRES_MAX, err);
}

static enum iot_status check_rate(const json_t *rate, struct iot_error *err)
{
	static const char *const names[] = {"baseRatePerMinute", "incrementFactor", "rateIncreaseCriteria", NULL};
	static const char *const criteria_names[] = {"numberOfNotifiedThings", "numberOfSucceededThings", NULL};
	static const char where[] = "exponentialRate";
	const json_t *criteria = json_object_get(rate, "rateIncreaseCriteria");
	enum iot_status status = only(rate, where, names, err);

	if (status == IOT_OK)
		status = whole(rate, where, "baseRatePerMinute", true, 1, RATE_MAX, err);
	if (status == IOT_OK)
		status = fraction(rate, where, "incrementFactor", 1.1, 5, 1, err);
	if (status == IOT_OK)
		status = only(criteria, "rateIncreaseCriteria", criteria_names, err);
	if (status == IOT_OK && json_object_size(criteria) != 1)
		return iot_local_invalid(err, "'rateIncreaseCriteria' needs exactly one of 'numberOfNotifiedThings' "
					      "and 'numberOfSucceededThings'");
	for (int i = 0; i < 2 && status == IOT_OK; i++)
		status = whole(criteria, "rateIncreaseCriteria", criteria_names[i], false, 1, INT32_MAX, err);
	return status;
}

static enum iot_status check_rollout(const json_t *config, struct iot_error *err)
{
	static const char *const names[] = {"maximumPerMinute", "exponentialRate", NULL};
	static const char where[] = "jobExecutionsRolloutConfig";
	const json_t *rate = json_object_get(config, "exponentialRate");
	enum iot_status status = only(config, where, names, err);

	if (status == IOT_OK)
		status = whole(config, where, "maximumPerMinute", false, 1, INT32_MAX, err);
	if (status == IOT_OK && rate != NULL)
		status = check_rate(rate, err);
	return status;
}

static enum iot_status check_abort(const json_t *config, struct iot_error *err)
{
	static const char *const outer[] = {"criteriaList", NULL};
	static const char *const names[] = {"failureType", "action", "thresholdPercentage", "minNumberOfExecutedThings",
					    NULL};
	static const char *const types[] = {"FAILED", "REJECTED", "TIMED_OUT", "ALL", NULL};
	static const char *const actions[] = {"CANCEL", NULL};
	static const char where[] = "abortConfig.criteriaList";
	const json_t *list = json_object_get(config, "criteriaList");
	enum iot_status status = only(config, "abortConfig", outer, err);
	size_t i;
	json_t *row;

	if (status != IOT_OK)
		return status;
	if (!json_is_array(list) || json_array_size(list) == 0)
		return iot_local_invalid(err, "'%s' must be a list with at least one criterion", where);
	json_array_foreach(list, i, row) {
		status = only(row, where, names, err);
		if (status == IOT_OK)
			status = one_of(row, where, "failureType", types, err);
		if (status == IOT_OK)
			status = one_of(row, where, "action", actions, err);
		if (status == IOT_OK)
			status = fraction(row, where, "thresholdPercentage", 0, 100, 2, err);
		if (status == IOT_OK)
			status = whole(row, where, "minNumberOfExecutedThings", true, 1, INT32_MAX, err);
		if (status != IOT_OK)
			return status;
	}
	return IOT_OK;
}

static enum iot_status check_timeout(const json_t *config, struct iot_error *err)
{
	static const char *const names[] = {"inProgressTimeoutInMinutes", NULL};
	enum iot_status status = only(config, "timeoutConfig", names, err);

	if (status != IOT_OK)
		return status;
	return whole(config, "timeoutConfig", "inProgressTimeoutInMinutes", false, 1, TIMEOUT_MAX, err);
}

static enum iot_status check_retry(const json_t *config, struct iot_error *err)
{
	static const char *const outer[] = {"criteriaList", NULL};
	static const char *const names[] = {"failureType", "numberOfRetries", NULL};
	static const char *const types[] = {"FAILED", "TIMED_OUT", "ALL", NULL};
	static const char where[] = "jobExecutionsRetryConfig.criteriaList";
	const json_t *list = json_object_get(config, "criteriaList");
	enum iot_status status = only(config, "jobExecutionsRetryConfig", outer, err);
	int64_t total = 0;
	size_t i;
	json_t *row;

	if (status != IOT_OK)
		return status;
	if (!json_is_array(list) || json_array_size(list) == 0 || json_array_size(list) > 2)
		return iot_local_invalid(err, "'%s' must be a list of one or two criteria", where);
	json_array_foreach(list, i, row) {
		status = only(row, where, names, err);
		if (status == IOT_OK)
			status = one_of(row, where, "failureType", types, err);
		if (status == IOT_OK)
			status = whole(row, where, "numberOfRetries", true, 0, RETRIES_MAX, err);
		if (status != IOT_OK)
			return status;
		total += iot_json_int(row, "numberOfRetries", 0);
	}
	if (total > RETRIES_MAX)
		return iot_local_invalid(err, "'%s' allows %" PRId64 " retries together, at most %d are allowed", where,
					 total, RETRIES_MAX);
	return IOT_OK;
}

/* "2026-11-21T10:00" or with a blank (UTC) in milliseconds; 0 for anything else. */
static int64_t parse_minute(const char *text)
{
	struct tm tm = {0};
	char separator;
	int used = 0;

	if (text == NULL || strlen(text) != 16 ||
	    sscanf(text, "%4d-%2d-%2d%c%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &separator, &tm.tm_hour,
		   &tm.tm_min, &used) != 6 ||
	    used != 16 || (separator != 'T' && separator != ' '))
		return 0;
	if (tm.tm_year < 1970 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
	    tm.tm_hour < 0 || tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59)
		return 0;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	return (int64_t)timegm(&tm) * 1000;
}

int64_t iot_job_start_time(const json_t *config)
{
	return parse_minute(iot_json_str(json_object_get(config, "schedulingConfig"), "startTime", NULL));
}

int64_t iot_job_end_time(const json_t *config)
{
	return parse_minute(iot_json_str(json_object_get(config, "schedulingConfig"), "endTime", NULL));
}

static enum iot_status check_schedule(const json_t *config, int64_t now, struct iot_error *err)
{
	static const char *const names[] = {"startTime", "endTime", "endBehavior", NULL};
	static const char *const ends[] = {"STOP_ROLLOUT", "CANCEL", "FORCE_CANCEL", NULL};
	const char *start_text = iot_json_str(config, "startTime", NULL);
	const char *end_text = iot_json_str(config, "endTime", NULL);
	int64_t start = parse_minute(start_text), end = parse_minute(end_text);
	enum iot_status status;

	if (json_object_get(config, "maintenanceWindows") != NULL)
		return iot_local_invalid(err, "maintenance windows are not available on the local cloud");
	status = only(config, "schedulingConfig", names, err);
	if (status != IOT_OK)
		return status;
	if ((json_object_get(config, "startTime") != NULL && start == 0) ||
	    (json_object_get(config, "endTime") != NULL && end == 0))
		return iot_local_invalid(err, "times in 'schedulingConfig' must look like '2026-11-21T10:00' (UTC)");
	if (start != 0 && (start < now + LEAD_MS || start > now + 366 * DAY_MS))
		return iot_local_invalid(err, "'startTime' must be 30 minutes to one year from now");
	if (end != 0 && (end < (start != 0 ? start : now) + LEAD_MS || end > now + 2 * 366 * DAY_MS))
		return iot_local_invalid(err,
					 "'endTime' must be at least 30 minutes after the start and within two years");
	if (json_object_get(config, "endBehavior") != NULL)
		return one_of(config, "schedulingConfig", "endBehavior", ends, err);
	return IOT_OK;
}

enum iot_status iot_job_config_whole(const json_t *config, struct iot_error *err)
{
	const json_t *rows = json_object_get(json_object_get(config, "jobExecutionsRetryConfig"), "criteriaList");
	bool limited = iot_json_int(json_object_get(config, "timeoutConfig"), "inProgressTimeoutInMinutes", 0) > 0;
	size_t i;
	json_t *row;

	json_array_foreach(rows, i, row) {
		if (!limited && strcmp(iot_json_str(row, "failureType", ""), "TIMED_OUT") == 0)
			return iot_local_invalid(err, "retries after TIMED_OUT need a 'timeoutConfig'");
	}
	return IOT_OK;
}

enum iot_status iot_job_config(const json_t *request, int64_t now_ms, json_t **ret, struct iot_error *err)
{
	static const struct {
		const char *name;
		enum iot_status (*check)(const json_t *config, struct iot_error *err);
	} members[] = {{"presignedUrlConfig", check_presigned},
		       {"jobExecutionsRolloutConfig", check_rollout},
		       {"abortConfig", check_abort},
		       {"timeoutConfig", check_timeout},
		       {"jobExecutionsRetryConfig", check_retry}};
	IOT_JSON config = json_object();
	json_t *schedule = json_object_get(request, "schedulingConfig");
	enum iot_status status = IOT_OK;

	for (size_t i = 0; i < IOT_LENGTH(members); i++) {
		json_t *value = json_object_get(request, members[i].name);

		if (value == NULL || json_is_null(value))
			continue;
		status = members[i].check(value, err);
		if (status != IOT_OK)
			return status;
		json_object_set(config, members[i].name, value);
	}
	if (schedule != NULL && json_object_size(schedule) > 0) {
		status = check_schedule(schedule, now_ms, err);
		json_object_set(config, "schedulingConfig", schedule);
	}
	if (status == IOT_OK)
		*ret = iot_take(config);
	return status;
}

int64_t iot_job_retries(const json_t *config, const char *status, bool *ret_all)
{
	const json_t *rows = json_object_get(json_object_get(config, "jobExecutionsRetryConfig"), "criteriaList");
	int64_t all = 0;
	size_t i;
	json_t *row;

	*ret_all = false;
	if (strcmp(status, "FAILED") != 0 && strcmp(status, "TIMED_OUT") != 0)
		return 0;
	json_array_foreach(rows, i, row) {
		const char *type = iot_json_str(row, "failureType", "");

		if (strcmp(type, status) == 0)
			return iot_json_int(row, "numberOfRetries", 0);
		if (strcmp(type, "ALL") == 0)
			all = iot_json_int(row, "numberOfRetries", 0);
	}
	*ret_all = all > 0;
	return all;
}

int64_t iot_job_rate(const json_t *config, int64_t notified, int64_t succeeded)
{
	const json_t *rollout = json_object_get(config, "jobExecutionsRolloutConfig");
	const json_t *rate = json_object_get(rollout, "exponentialRate");
	const json_t *criteria = json_object_get(rate, "rateIncreaseCriteria");
	int64_t maximum = iot_json_int(rollout, "maximumPerMinute", -1);
	int64_t per_step = iot_json_int(criteria, "numberOfNotifiedThings", 0), reached = notified;
	double now;

	if (rate == NULL)
		return maximum;
	if (per_step == 0) {
		per_step = iot_json_int(criteria, "numberOfSucceededThings", 1);
		reached = succeeded;
	}
	/* AWS IoT never notifies more than a thousand things per minute in such a rollout. */
	maximum = maximum < 0 ? RATE_MAX : maximum;
	now = (double)iot_json_int(rate, "baseRatePerMinute", 1);
	for (int64_t steps = reached / per_step; steps > 0 && now < (double)maximum; steps--)
		now *= json_number_value(json_object_get(rate, "incrementFactor"));
	return now < (double)maximum ? (int64_t)now : maximum;
}
