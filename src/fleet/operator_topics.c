/*
 * On which topics only devices speak, by the layouts of all types: what a role
 * that publishes is denied. A policy's '*' stands for any number of levels, so a
 * pattern may be wider than a layout's topic. One that would also take in what
 * devices are told on is left out: commands must get through.
 */
#include "fleet/operator_private.h"

#include "iotctl/base.h"
#include "iotctl/layout.h"
#include "iotctl/log.h"
#include "iotctl/text.h"

#include <fnmatch.h>
#include <string.h>

#define TOPIC "arn:aws:iot:local:000000000000:topic/"

/* With '*' for wildcards, one for several in a row; `parent`: without the last level. */
static void add_pattern(const char *filter, bool parent, struct iot_buf *out)
{
	bool wild = false;

	for (const char *at = filter; *at != '\0'; at += strcspn(at, "/"), at += *at == '/') {
		size_t len = strcspn(at, "/");
		bool was_wild = wild;

		wild = len == 1 && (*at == '+' || *at == '#');
		if ((wild && was_wild) || (parent && at[len] == '\0'))
			continue;
		if (at > filter)
			iot_buf_addc(out, '/');
		iot_buf_add(out, wild ? "*" : at, wild ? 1 : len);
	}
}

/* A topic that the filter takes in. */
static void add_sample(const char *filter, struct iot_buf *out)
{
	for (; *filter != '\0'; filter++)
		iot_buf_addc(out, *filter == '+' || *filter == '#' ? 'x' : *filter);
}

static bool is_told(const struct iot_talk *talk, const char *pattern)
{
	static const enum iot_role told[] = {IOT_ROLE_COMMAND, IOT_ROLE_CONFIG};

	for (size_t i = 0; i < IOT_LENGTH(told); i++) {
		for (const char *const *at = iot_talk_filters(talk, told[i]); *at != NULL; at++) {
			IOT_CLEAN(iot_buf_release) struct iot_buf sample = IOT_BUF_INIT(1024);
			size_t len = strlen(*at);

			add_sample(*at, &sample);
			if (fnmatch(pattern, iot_buf_str(&sample), FNM_NOESCAPE) == 0)
				return true;
			if (len > 2 && (*at)[len - 1] == '#') {
				sample.data[len - 2] = '\0';
				if (fnmatch(pattern, sample.data, FNM_NOESCAPE) == 0)
					return true;
			}
		}
	}
	return false;
}

/* False: there is no room. */
static bool add_topic(const struct iot_talk *talk, const char *filter, bool parent, size_t room, struct iot_buf *out)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf pattern = IOT_BUF_INIT(1024);
	IOT_CLEAN(iot_free_p) char *resource = NULL;

	add_pattern(filter, parent, &pattern);
	/* What means something else in a policy or in JSON is in no topic that anybody should have. */
	if (strpbrk(filter, "?*$[\"\\") != NULL || strcmp(iot_buf_str(&pattern), "*") == 0 || pattern.len == 0 ||
	    is_told(talk, iot_buf_str(&pattern)))
		return true;
	resource = iot_strf(",\n        \"" TOPIC "%s\"", iot_buf_str(&pattern));
	if (strstr(iot_buf_str(out), resource) != NULL)
		return true;
	if (out->len + strlen(resource) > room)
		return false;
	iot_buf_adds(out, resource);
	return true;
}

enum iot_status operator_device_topics(struct iot_cloud *cloud, size_t room, struct iot_buf *out, struct iot_error *err)
{
	/* States first: they are what services believe. */
	static const enum iot_role said[] = {IOT_ROLE_STATE, IOT_ROLE_REPLY, IOT_ROLE_EVENT};
	IOT_CLEAN(iot_talk_free_p) struct iot_talk *talk = NULL;
	bool fits = true;
	enum iot_status status = iot_talk_new(cloud, &talk, err);

	if (status != IOT_OK)
		return status;
	for (size_t i = 0; i < IOT_LENGTH(said); i++) {
		for (const char *const *at = iot_talk_filters(talk, said[i]); *at != NULL; at++) {
			if (iot_ends_with(*at, "/#"))
				fits = add_topic(talk, *at, true, room, out) && fits;
			fits = add_topic(talk, *at, false, room, out) && fits;
		}
	}
	if (!fits)
		iot_warn("a policy has no room for the topics of all layouts: the role may publish on some that are "
			 "for devices alone");
	return IOT_OK;
}
