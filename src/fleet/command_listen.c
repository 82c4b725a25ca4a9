/*
 * Subscribing to answers before anything is sent. A few devices are subscribed
 * to one by one; many by their type, which costs the broker one subscription and
 * brings answers to other commands along. Whoever may not have all of a type
 * gets them one by one.
 */
#include "fleet/command_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"

#include <string.h>

enum { SINGLE_MAX = 16 };

enum sub_state { SUB_ASKED, SUB_GRANTED, SUB_REFUSED };

struct sub {
	char *filter;
	struct target *target; /* NULL: all of a type */
	int mid;
	enum sub_state state;
};

struct listening {
	struct sub *subs;
	size_t count, size, open;
};

void listening_answered(struct listening *listening, int mid, bool granted)
{
	for (size_t i = 0; listening != NULL && i < listening->count; i++) {
		struct sub *sub = &listening->subs[i];

		if (sub->mid == mid && sub->state == SUB_ASKED) {
			sub->state = granted ? SUB_GRANTED : SUB_REFUSED;
			listening->open--;
			return;
		}
	}
}

static void listening_release(struct listening *listening)
{
	for (size_t i = 0; i < listening->count; i++)
		free(listening->subs[i].filter);
	free(listening->subs);
}

/* Several types may have one filter. */
static bool is_asked(const struct listening *listening, const char *filter)
{
	for (size_t i = 0; i < listening->count; i++)
		if (listening->subs[i].target == NULL && strcmp(listening->subs[i].filter, filter) == 0)
			return true;
	return false;
}

static enum iot_status ask(struct iot_mqtt *mqtt, struct listening *listening, const struct command_kind *kind,
			   struct target *target, struct iot_error *err)
{
	const struct iot_topic_names names = {.thing = target != NULL ? target->device->thing : NULL,
					      .type = kind->type};
	IOT_CLEAN(iot_free_p) char *filter = NULL;
	int mid = 0;
	enum iot_status status = iot_layout_filter(kind->layout, IOT_ROLE_REPLY, &names, &filter, err);

	if (status != IOT_OK || (target == NULL && is_asked(listening, filter)))
		return status;
	status = iot_mqtt_subscribe(mqtt, filter, kind->reply->qos, &mid, err);
	if (status != IOT_OK)
		return status;
	if (listening->count == listening->size) {
		listening->size = listening->size > 0 ? 2 * listening->size : 16;
		listening->subs = iot_realloc(listening->subs, listening->size * sizeof(*listening->subs));
	}
	listening->subs[listening->count++] = (struct sub){iot_take(filter), target, mid, SUB_ASKED};
	listening->open++;
	return IOT_OK;
}

static enum iot_status ask_singly(struct iot_mqtt *mqtt, struct listening *listening, struct targets *targets,
				  const struct command_kind *only, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	for (size_t i = 0; i < targets->count && status == IOT_OK; i++) {
		struct target *target = &targets->all[i];

		if (target->state != TARGET_ENDED && (only == NULL || target->kind == only))
			status = ask(mqtt, listening, target->kind, target, err);
	}
	return status;
}

static bool has_open(const struct targets *targets, const struct command_kind *kind)
{
	for (size_t i = 0; i < targets->count; i++)
		if (targets->all[i].kind == kind && targets->all[i].state != TARGET_ENDED)
			return true;
	return false;
}

static enum iot_status ask_first(struct iot_mqtt *mqtt, struct listening *listening, struct targets *targets,
				 struct iot_error *err)
{
	size_t open = 0;
	enum iot_status status = IOT_OK;

	for (size_t i = 0; i < targets->count; i++)
		open += targets->all[i].state != TARGET_ENDED;
	if (open <= SINGLE_MAX)
		return ask_singly(mqtt, listening, targets, NULL, err);
	for (size_t i = 0; i < targets->kind_count && status == IOT_OK; i++)
		if (has_open(targets, targets->kinds[i]))
			status = ask(mqtt, listening, targets->kinds[i], NULL, err);
	return status;
}

static enum iot_status wait_for_all(struct iot_mqtt *mqtt, const struct listening *listening, int64_t deadline,
				    struct iot_error *err)
{
	while (listening->open > 0 && iot_mqtt_is_connected(mqtt) && iot_left(deadline) > 0)
		iot_mqtt_wait(mqtt, iot_left(deadline));
	if (listening->open == 0)
		return IOT_OK;
	return iot_mqtt_is_connected(mqtt)
		       ? iot_fail(err, IOT_TIMEOUT, "the broker did not answer the subscriptions to replies")
		       : iot_fail(err, IOT_AGAIN, "lost the broker while subscribing to replies");
}

/* Those of a type that must not be had together: one by one. Filters of refused types are asked for no more. */
static enum iot_status ask_again(struct iot_mqtt *mqtt, struct listening *listening, struct targets *targets,
				 struct iot_error *err)
{
	size_t count = listening->count;
	enum iot_status status = IOT_OK;

	for (size_t i = 0; i < count && status == IOT_OK; i++) {
		IOT_CLEAN(iot_free_p) char *filter = NULL;

		if (listening->subs[i].state != SUB_REFUSED || listening->subs[i].target != NULL)
			continue;
		filter = iot_strdup(listening->subs[i].filter);
		for (size_t k = 0; k < targets->kind_count && status == IOT_OK; k++) {
			const struct iot_topic_names names = {.type = targets->kinds[k]->type};
			IOT_CLEAN(iot_free_p) char *same = NULL;

			status = iot_layout_filter(targets->kinds[k]->layout, IOT_ROLE_REPLY, &names, &same, err);
			if (status == IOT_OK && strcmp(same, filter) == 0)
				status = ask_singly(mqtt, listening, targets, targets->kinds[k], err);
		}
	}
	return status;
}

enum iot_status listen_for_replies(struct iot_mqtt *mqtt, struct targets *targets, int64_t deadline,
				   struct listening **at, void (*refused)(struct target *target, void *data),
				   void *data, struct iot_error *err)
{
	IOT_CLEAN(listening_release) struct listening listening = {0};
	enum iot_status status;

	*at = &listening;
	status = ask_first(mqtt, &listening, targets, err);
	if (status == IOT_OK)
		status = wait_for_all(mqtt, &listening, deadline, err);
	if (status == IOT_OK)
		status = ask_again(mqtt, &listening, targets, err);
	if (status == IOT_OK)
		status = wait_for_all(mqtt, &listening, deadline, err);
	*at = NULL;
	for (size_t i = 0; i < listening.count && status == IOT_OK; i++)
		if (listening.subs[i].state == SUB_REFUSED && listening.subs[i].target != NULL)
			refused(listening.subs[i].target, data);
	return status;
}
