/* MQTT topics, filters and client ids: limits and matching. */
#include "iotctl/topic.h"

#include "iotctl/text.h"

#include <string.h>

/* Bytes in front of `text` that the limits do not count: "$aws/rules/NAME/" or "$share/GROUP/". */
static size_t reserved_prefix(const char *text, size_t len, const char *prefix)
{
	size_t prefix_len = strlen(prefix);
	const char *slash;

	if (len <= prefix_len || memcmp(text, prefix, prefix_len) != 0)
		return 0;
	slash = memchr(text + prefix_len, '/', len - prefix_len);
	return slash == NULL ? 0 : (size_t)(slash - text) + 1;
}

static enum iot_status check_limits(const char *what, const char *text, size_t len, struct iot_error *err)
{
	size_t slashes = 0;

	if (len == 0)
		return iot_fail(err, IOT_USAGE, "%s is empty", what);
	if (len > IOT_TOPIC_MAX)
		return iot_fail(err, IOT_USAGE, "%s is %zu bytes long, %d at most", what, len, IOT_TOPIC_MAX);
	for (size_t i = 0; i < len; i++)
		slashes += text[i] == '/';
	if (slashes > IOT_TOPIC_SLASHES_MAX)
		return iot_fail(err, IOT_USAGE, "%s '%.*s' has %zu slashes, %d at most", what, (int)len, text, slashes,
				IOT_TOPIC_SLASHES_MAX);
	return IOT_OK;
}

/* UTF-8 without NUL; reserved prefix named `prefix` is bounded by itself and left out of the limits. */
static enum iot_status check_text(const char *what, const char *text, size_t len, const char *prefix, size_t *ret_start,
				  struct iot_error *err)
{
	size_t start = reserved_prefix(text, len, prefix);

	if (start > strlen(prefix) + IOT_TOPIC_NAME_MAX + 1)
		return iot_fail(err, IOT_USAGE, "%s has a name longer than %d bytes after '%s'", what,
				IOT_TOPIC_NAME_MAX, prefix);
	if (len > 0 && memchr(text, '\0', len) != NULL)
		return iot_fail(err, IOT_USAGE, "%s has a NUL character", what);
	if (!iot_utf8_valid(text, len))
		return iot_fail(err, IOT_USAGE, "%s is not valid UTF-8", what);
	*ret_start = start;
	return check_limits(what, text + start, len - start, err);
}

static bool reserved(const char *text, size_t len)
{
	return text[0] == '$' && (len < 5 || memcmp(text, "$aws/", 5) != 0);
}

enum iot_status iot_topic_check_publish(const char *text, size_t len, struct iot_error *err)
{
	size_t start;
	enum iot_status status = check_text("topic", text, len, "$aws/rules/", &start, err);

	if (status != IOT_OK)
		return status;
	for (size_t i = 0; i < len; i++)
		if (text[i] == '+' || text[i] == '#')
			return iot_fail(err, IOT_USAGE, "topic '%.*s' has the wildcard '%c'", (int)len, text, text[i]);
	if (reserved(text, len))
		return iot_fail(err, IOT_USAGE, "topic '%.*s' is reserved: it begins with '$'", (int)len, text);
	return IOT_OK;
}

static enum iot_status check_wildcards(const char *text, size_t len, struct iot_error *err)
{
	for (size_t i = 0; i < len; i++) {
		bool starts = i == 0 || text[i - 1] == '/';
		bool ends = i + 1 == len || text[i + 1] == '/';

		if (text[i] == '+' && !(starts && ends))
			return iot_fail(err, IOT_USAGE,
					"topic filter '%.*s' has '+' beside other characters of a level", (int)len,
					text);
		if (text[i] == '#' && !(starts && i + 1 == len))
			return iot_fail(err, IOT_USAGE,
					"topic filter '%.*s' has '#' elsewhere than alone in the last level", (int)len,
					text);
	}
	return IOT_OK;
}

#define SHARE "$share/"

static enum iot_status check_share(const char *text, size_t start, struct iot_error *err)
{
	size_t group = strlen(SHARE);

	if (start <= group + 1)
		return iot_fail(err, IOT_USAGE, "shared subscription is not of the form '" SHARE "GROUP/FILTER'");
	for (size_t i = group; i < start; i++)
		if (text[i] == '+' || text[i] == '#')
			return iot_fail(err, IOT_USAGE, "group of the shared subscription has the wildcard '%c'",
					text[i]);
	return IOT_OK;
}

enum iot_status iot_topic_check_filter(const char *text, size_t len, struct iot_error *err)
{
	bool shared = len >= strlen(SHARE) && memcmp(text, SHARE, strlen(SHARE)) == 0;
	size_t start;
	enum iot_status status = check_text("topic filter", text, len, SHARE, &start, err);

	if (status == IOT_OK && shared)
		status = check_share(text, start, err);
	if (status != IOT_OK)
		return status;
	if (reserved(text + start, len - start))
		return iot_fail(err, IOT_USAGE, "topic filter '%.*s' is reserved: it begins with '$'", (int)len, text);
	return check_wildcards(text + start, len - start, err);
}

enum iot_status iot_client_id_check(const char *text, size_t len, struct iot_error *err)
{
	if (len == 0)
		return iot_fail(err, IOT_USAGE, "client id is empty");
	if (len > IOT_CLIENT_ID_MAX)
		return iot_fail(err, IOT_USAGE, "client id is %zu bytes long, %d at most", len, IOT_CLIENT_ID_MAX);
	if (!iot_utf8_valid(text, len))
		return iot_fail(err, IOT_USAGE, "client id is not valid UTF-8");
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return iot_fail(err, IOT_USAGE, "client id has a control character");
	return IOT_OK;
}

bool iot_topic_matches(const char *filter, const char *topic)
{
	filter += reserved_prefix(filter, strlen(filter), SHARE);
	if (topic[0] == '$' && filter[0] != '$')
		return false; /* only a '$' spelled out reaches these */
	while (true) {
		size_t level = strcspn(topic, "/"), pattern = strcspn(filter, "/");

		if (filter[0] == '#')
			return true;
		if (!(pattern == 1 && filter[0] == '+') && (level != pattern || memcmp(filter, topic, level) != 0))
			return false;
		filter += pattern;
		topic += level;
		if (*topic == '\0')
			return *filter == '\0' || strcmp(filter, "/#") == 0; /* "a/#" matches "a" as well */
		if (*filter == '\0')
			return false;
		filter++;
		topic++;
	}
}

bool iot_topic_covers(const char *outer, const char *inner)
{
	if (inner[0] == '$' && outer[0] != '$')
		return false;
	while (true) {
		size_t level = strcspn(inner, "/"), pattern = strcspn(outer, "/");
		bool any = pattern == 1 && outer[0] == '+';

		if (outer[0] == '#')
			return true;
		if (inner[0] == '#' || (!any && (level != pattern || memcmp(outer, inner, level) != 0)))
			return false;
		outer += pattern;
		inner += level;
		if (*inner == '\0')
			return *outer == '\0' || strcmp(outer, "/#") == 0;
		/* "a/#" matches "a", which "a/+" does not: '#' is met by '#' alone, above. */
		if (*outer == '\0')
			return false;
		outer++;
		inner++;
	}
}
