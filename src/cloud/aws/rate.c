/*
 * How fast each operation may be called: a token bucket per row of the
 * operations table. AWS's limits are per account, region and API; the defaults
 * are published quotas (AWS General Reference, "AWS IoT Core endpoints and
 * quotas"), and 10 a second where none is known. A bucket learns: throttling cuts its rate,
 * success brings it back. An endpoint that is not AWS's starts without limits.
 */
#include "cloud/aws/aws_private.h"

#include "iotctl/log.h"

#include <ctype.h>
#include <math.h>

static const struct {
	const char *operation;
	double rate;
} defaults[] = {
	{"CreateThing", 100},
	{"DeleteThing", 100},
	{"UpdateThing", 100},
	{"AttachThingPrincipal", 100},
	{"DetachThingPrincipal", 100},
	{"DescribeThing", 350},
	{"AddThingToThingGroup", 100},
	{"RemoveThingFromThingGroup", 100},
	{"ListThingGroupsForThing", 100},
	{"ListThingsInThingGroup", 25},
	{"CreateThingGroup", 25},
	{"UpdateThingGroup", 15},
	{"DeleteThingGroup", 15},
	{"CreateDynamicThingGroup", 5},
	{"UpdateDynamicThingGroup", 5},
	{"DeleteDynamicThingGroup", 5},
	{"CreateThingType", 15},
	{"DeleteThingType", 15},
	{"DeprecateThingType", 15},
	{"DescribeThingType", 100},
	{"AttachPolicy", 15},
	{"DetachPolicy", 15},
	{"CreateCertificateFromCsr", 15},
	{"ListAttachedPolicies", 15},
	{"GetPolicyVersion", 15},
	{"SearchIndex", 15},
	{"GetStatistics", 15},
	{"UpdateIndexingConfiguration", 1},
};

#define OTHER_RATE 10
#define CUT 0.7          /* of the rate when throttled, unless more is known to be taken */
#define KEEP 0.97        /* of what was taken */
#define CUT_EVERY_MS 500 /* several calls in flight are throttled together: that is one lesson */
#define GROW 0.05        /* of the limit a second */
#define LOWEST 0.5       /* calls a second */

static double default_rate(const char *operation)
{
	for (size_t i = 0; i < IOT_LENGTH(defaults); i++) {
		if (strcmp(defaults[i].operation, operation) == 0)
			return defaults[i].rate;
	}
	return OTHER_RATE;
}

static struct aws_rate *rate_of(struct aws *aws, const struct iot_operation *op)
{
	return &aws->rates[op - iot_operations];
}

/* A burst is a tenth of a second's calls; two at least, or what is not fetched in the very moment would be lost. */
static double capacity(const struct aws_rate *rate)
{
	return rate->rate > 20 ? rate->rate / 10 : 2;
}

static void set_limit(struct aws_rate *rate, double limit)
{
	rate->limit = rate->rate = limit;
	rate->tokens = capacity(rate);
	rate->filled_ms = iot_monotonic_ms();
}

/* "NAME=NUMBER"; '*' stands for all. */
static enum iot_status set_one(struct aws *aws, const char *text, size_t len, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *item = iot_strndup(text, len);
	char *equals = strchr(item, '='), *end = NULL;
	bool any = false;
	double value;

	if (equals != NULL)
		*equals = '\0';
	value = equals != NULL && isdigit((unsigned char)equals[1]) ? strtod(equals + 1, &end) : -1;
	if (end == NULL || *end != '\0' || !isfinite(value) || value < 0 || value > 100000) {
		iot_fail(err, IOT_SETTINGS, "'%.*s' is not a rate", (int)(len < 80 ? len : 80), text);
		iot_error_hint(err, "like CreateThing=50,*=10: calls a second, 0 for no limit");
		return IOT_SETTINGS;
	}
	for (size_t i = 0; i < iot_operation_count; i++) {
		if (strcmp(item, "*") == 0 || strcmp(item, iot_operations[i].name) == 0) {
			set_limit(&aws->rates[i], value);
			any = true;
		}
	}
	return any ? IOT_OK : iot_fail(err, IOT_SETTINGS, "there is no operation '%.80s' to set a rate for", item);
}

enum iot_status aws_rates_init(struct aws *aws, const char *text, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	aws->rates = iot_alloc_array(iot_operation_count, sizeof(*aws->rates));
	for (size_t i = 0; i < iot_operation_count; i++) {
		const struct aws_endpoint *endpoint;
		enum aws_service service = aws_service_of(iot_operations[i].service);

		if (service == AWS_OWN || aws_endpoint(aws, service, &endpoint, NULL) != IOT_OK || endpoint->given)
			continue;
		set_limit(&aws->rates[i], default_rate(iot_operations[i].name));
	}
	while (text != NULL && *text != '\0' && status == IOT_OK) {
		size_t len = strcspn(text, ",");

		status = set_one(aws, text, len, err);
		text += len + (text[len] == ',');
	}
	return status;
}

static void grow(struct aws_rate *rate, double seconds)
{
	double step = (rate->limit > 0 ? rate->limit * GROW : rate->rate * 2 * GROW) * seconds;

	rate->rate += step;
	if (rate->limit > 0 && rate->rate > rate->limit)
		rate->rate = rate->limit;
}

static void refill(struct aws_rate *rate)
{
	int64_t now = iot_monotonic_ms();
	double seconds = (double)(now - rate->filled_ms) / 1000;

	if (now - rate->cut_ms > 1000)
		grow(rate, seconds);
	rate->tokens += rate->rate * seconds;
	if (rate->tokens > capacity(rate))
		rate->tokens = capacity(rate);
	rate->filled_ms = now;
}

int aws_rate_wait(struct aws *aws, const struct iot_operation *op)
{
	struct aws_rate *rate = rate_of(aws, op);

	if (rate->rate <= 0)
		return 0;
	refill(rate);
	if (rate->tokens >= 1) {
		rate->tokens -= 1;
		return 0;
	}
	return (int)((1 - rate->tokens) / rate->rate * 1000) + 1;
}

/* Not below what the service did take in the last second, less a little: it may have refused only what came on top. */
static double cut_rate(double rate, double measured)
{
	double cut = rate * CUT, kept = (measured < rate ? measured : rate) * KEEP;

	cut = kept > cut ? kept : cut;
	return cut > LOWEST ? cut : LOWEST;
}

void aws_rate_throttled(struct aws *aws, const struct iot_operation *op)
{
	struct aws_rate *rate = rate_of(aws, op);
	int64_t now = iot_monotonic_ms();
	double measured = rate->last > rate->window ? rate->last : rate->window;

	if (now - rate->cut_ms < CUT_EVERY_MS)
		return;
	if (rate->rate <= 0) { /* the first lesson of an endpoint without known limits: what it did take */
		rate->rate = measured;
		rate->filled_ms = now;
	}
	rate->rate = cut_rate(rate->rate, measured);
	rate->tokens = 0;
	rate->cut_ms = now;
	iot_debug("%s is throttled: going on with %.1f calls a second", op->name, rate->rate);
}

void aws_rate_succeeded(struct aws *aws, const struct iot_operation *op)
{
	struct aws_rate *rate = rate_of(aws, op);
	int64_t now = iot_monotonic_ms();

	if (now - rate->window_ms >= 1000) {
		rate->last = now - rate->window_ms < 2000 ? rate->window : 0;
		rate->window = 0;
		rate->window_ms = now;
	}
	rate->window++;
}
