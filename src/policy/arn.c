/*
 * ARN patterns: "arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE", compared part by part, so
 * that a wildcard never reaches into the next part; the resource is the rest, colons included.
 */
#include "internal.h"

#include "iotctl/base.h"

#include <string.h>

bool policy_arn_split(const char *text, size_t len, bool variables, struct policy_span parts[POLICY_PARTS])
{
	size_t start = 4;
	int part = POLICY_PARTITION;

	if (len < 4 || memcmp(text, "arn:", 4) != 0)
		return false;
	for (size_t i = start; i < len && part < POLICY_RESOURCE; i++) {
		if (variables && text[i] == '$' && i + 1 < len && text[i + 1] == '{') {
			const char *end = memchr(text + i, '}', len - i);

			i = end == NULL ? len : (size_t)(end - text);
		} else if (text[i] == ':') {
			parts[part++] = (struct policy_span){text + start, i - start};
			start = i + 1;
		}
	}
	if (part < POLICY_RESOURCE || start == len)
		return false;
	parts[POLICY_RESOURCE] = (struct policy_span){text + start, len - start};
	return true;
}

enum iot_status policy_arn_compile(const char *text, unsigned flags, const char *where, struct policy_arn *ret,
				   struct iot_error *err)
{
	struct policy_span parts[POLICY_PARTS] = {0};
	struct policy_arn arn = {0};
	size_t len = strlen(text);

	arn.everything = len > 0 && strspn(text, "*") == len;
	if (!arn.everything && !policy_arn_split(text, len, (flags & POLICY_VARIABLES) != 0, parts)) {
		(void)iot_fail(err, IOT_USAGE, "%s '%s' is neither '*' nor an ARN", where, text);
		iot_error_hint(err, "write it as arn:aws:iot:REGION:ACCOUNT:topic/NAME");
		return IOT_USAGE;
	}
	for (int p = 0; p < POLICY_PARTS && !arn.everything; p++) {
		enum iot_status status =
			policy_pattern_compile(parts[p].data, parts[p].len, flags, where, &arn.part[p], err);

		if (status != IOT_OK) {
			policy_arn_release(&arn);
			return status;
		}
	}
	arn.source = iot_strdup(text);
	*ret = arn;
	return IOT_OK;
}

void policy_arn_release(struct policy_arn *arn)
{
	for (int p = 0; p < POLICY_PARTS; p++)
		policy_pattern_release(&arn->part[p]);
	free(arn->source);
	*arn = (struct policy_arn){0};
}

bool policy_arn_match(const struct policy_arn *arn, const struct policy_span parts[POLICY_PARTS],
		      const struct iot_policy_vars *vars)
{
	if (arn->everything)
		return true;
	/* The resource first: it is the part that tells requests apart. */
	for (int p = POLICY_RESOURCE; p >= 0; p--)
		if (!arn->part[p].any && !policy_pattern_match(&arn->part[p], parts[p].data, parts[p].len, false, vars))
			return false;
	return true;
}

bool policy_arn_has_var(const struct policy_arn *arn)
{
	for (int p = 0; p < POLICY_PARTS; p++)
		if (arn->part[p].has_var)
			return true;
	return false;
}

bool policy_arn_covers(const struct policy_arn *outer, const struct policy_arn *inner)
{
	if (outer->everything)
		return true;
	for (int p = 0; p < POLICY_PARTS; p++) {
		if (outer->part[p].any)
			continue;
		if (inner->everything || !policy_pattern_covers(&outer->part[p], &inner->part[p], false))
			return false;
	}
	return true;
}
