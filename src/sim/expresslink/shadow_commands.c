/*
 * SHADOW: the classic shadow (no suffix, or 0) and named ones, whose names are
 * Shadow1 and on of the dictionary. Each request is answered by an event, and
 * the document is then fetched with GET.
 */
#include "iotctl/base.h"
#include "iotctl/text.h"
#include "sim/expresslink/module.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *const topics[SHADOW_WHATS] = {"get", "update", "delete", "update/delta"};

/* "$aws/things/T/shadow/" or "$aws/things/T/shadow/name/N/", new memory. */
static char *prefix_of(const struct module *module, int index)
{
	char key[32];

	if (index == 0)
		return iot_strf("$aws/things/%s/shadow/", module->thing);
	snprintf(key, sizeof(key), "Shadow%d", index);
	return iot_strf("$aws/things/%s/shadow/name/%s/", module->thing, dict_value(module->dict, key));
}

static bool subscribe(struct module *module, int index, const char *tail, int *ret_mid)
{
	IOT_CLEAN(iot_free_p) char *prefix = prefix_of(module, index);
	IOT_CLEAN(iot_free_p) char *filter = iot_strf("%s%s", prefix, tail);

	return link_subscribe(module, filter, 1, ret_mid);
}

static void init(struct module *module, int index)
{
	static const char *const tails[] = {"+/accepted", "+/rejected"};
	struct module_shadow *shadow = &module->shadows[index];

	shadow->ready = false;
	for (size_t i = 0; i < IOT_LENGTH(tails); i++) {
		shadow->init_done[i] = false;
		if (!subscribe(module, index, tails[i], &shadow->init_mid[i])) {
			module_error(module, AT_NO_CONNECTION);
			return;
		}
	}
	module_ok(module, "%s", "");
}

static void request(struct module *module, int index, enum shadow_what what, const char *text)
{
	IOT_CLEAN(iot_free_p) char *prefix = prefix_of(module, index);
	IOT_CLEAN(iot_free_p) char *topic = iot_strf("%s%s", prefix, topics[what]);
	IOT_CLEAN(iot_free_p) char *payload = NULL;
	const char *token = dict_value(module->dict, "ShadowToken");
	IOT_JSON body = NULL;

	if (!module->shadows[index].ready) {
		module_error(module, AT_SHADOW);
		return;
	}
	if (what != SHADOW_UPDATE) {
		body = json_object();
	} else if (iot_json_parse(text, strlen(text), "shadow", &body, NULL) != IOT_OK || !json_is_object(body)) {
		module_error(module, AT_PARAMETER);
		return;
	}
	if (token[0] != '\0')
		iot_json_set_str(body, "clientToken", token);
	payload = iot_json_text(body);
	if (link_publish(module, topic, payload, strlen(payload), 1, NULL))
		module_ok(module, "%s", "");
	else
		module_error(module, AT_NO_CONNECTION);
}

static void fetch(struct module *module, int index, enum shadow_what what)
{
	struct module_shadow *shadow = &module->shadows[index];
	IOT_CLEAN(iot_free_p) char *document = NULL;
	bool accepted = shadow->answers[what].accepted;

	if (!shadow->answers[what].there) {
		module_ok(module, "%s", "");
		return;
	}
	document = iot_take(shadow->answers[what].document);
	shadow->answers[what].there = false;
	module_ok_data(module, what == SHADOW_DELTA ? "" : accepted ? "1 " : "0 ", document, strlen(document));
}

static void deltas(struct module *module, int index, bool on)
{
	struct module_shadow *shadow = &module->shadows[index];
	IOT_CLEAN(iot_free_p) char *prefix = prefix_of(module, index);
	IOT_CLEAN(iot_free_p) char *filter = iot_strf("%supdate/delta", prefix);

	if (on ? !subscribe(module, index, "update/delta", &shadow->delta_mid)
	       : iot_mqtt_unsubscribe(module->mqtt, filter, NULL) != IOT_OK)
		module_error(module, AT_NO_CONNECTION);
	else
		module_ok(module, "%s", "");
	if (!on)
		shadow->deltas = false;
}

/* Which shadow, and may it be used now? */
static enum at_error check(const struct module *module, int number)
{
	char key[32];

	if (number > DICT_SHADOWS)
		return AT_RANGE;
	snprintf(key, sizeof(key), "Shadow%d", number);
	if (number > 0 && dict_value(module->dict, key)[0] == '\0')
		return AT_UNDEFINED;
	if (module->link != LINK_UP)
		return AT_NO_CONNECTION;
	return module->customer && dict_number(module->dict, "EnableShadow") == 1 ? AT_OK : AT_SHADOW;
}

void shadow_command(struct module *module, const struct at_command *command)
{
	static const struct {
		const char *verb;
		enum { INIT, ASK, FETCH, LISTEN, UNLISTEN } act;
		enum shadow_what what;
	} verbs[] = {
		{"INIT", INIT, SHADOW_DOC},
		{"DOC", ASK, SHADOW_DOC},
		{"GET DOC", FETCH, SHADOW_DOC},
		{"GET UPDATE", FETCH, SHADOW_UPDATE},
		{"GET DELTA", FETCH, SHADOW_DELTA},
		{"GET DELETE", FETCH, SHADOW_DELETE},
		{"DELETE", ASK, SHADOW_DELETE},
		{"SUBSCRIBE", LISTEN, SHADOW_DELTA},
		{"UNSUBSCRIBE", UNLISTEN, SHADOW_DELTA},
	};
	int index = command->number > 0 ? command->number : 0;
	enum at_error error = check(module, command->number);

	if (error != AT_OK) {
		module_error(module, error);
		return;
	}
	if (strlen(command->param) == command->param_len && strncasecmp(command->param, "UPDATE ", 7) == 0) {
		request(module, index, SHADOW_UPDATE, command->param + 7);
		return;
	}
	for (size_t i = 0; i < IOT_LENGTH(verbs); i++) {
		if (strcasecmp(verbs[i].verb, command->param) != 0)
			continue;
		if (verbs[i].act == INIT)
			init(module, index);
		else if (verbs[i].act == ASK)
			request(module, index, verbs[i].what, "");
		else if (verbs[i].act == FETCH)
			fetch(module, index, verbs[i].what);
		else
			deltas(module, index, verbs[i].act == LISTEN);
		return;
	}
	module_error(module, AT_PARAMETER);
}

static void keep(struct module *module, int index, enum shadow_what what, bool accepted, const void *payload,
		 size_t len)
{
	static const int events[SHADOW_WHATS] = {IOT_EL_SHADOW_DOC, IOT_EL_SHADOW_UPDATE, IOT_EL_SHADOW_DELETE,
						 IOT_EL_SHADOW_DELTA};
	struct module_shadow *shadow = &module->shadows[index];

	free(shadow->answers[what].document);
	shadow->answers[what].document = iot_strndup(payload, len);
	shadow->answers[what].there = true;
	shadow->answers[what].accepted = accepted;
	module_raise(module, events[what], (unsigned)index, NULL);
}

/* With an empty token the answers go to GET0 like any other message. */
static bool take(struct module *module, int index, const char *tail, const void *payload, size_t len)
{
	bool plain = dict_value(module->dict, "ShadowToken")[0] == '\0';

	if (strcmp(tail, "update/delta") == 0) {
		keep(module, index, SHADOW_DELTA, true, payload, len);
		return true;
	}
	for (int what = SHADOW_DOC; what < SHADOW_DELTA && !plain; what++) {
		size_t front = strlen(topics[what]);

		if (strncmp(tail, topics[what], front) != 0 ||
		    (strcmp(tail + front, "/accepted") != 0 && strcmp(tail + front, "/rejected") != 0))
			continue;
		keep(module, index, (enum shadow_what)what, strcmp(tail + front, "/accepted") == 0, payload, len);
		return true;
	}
	return false;
}

bool shadow_arrived(struct module *module, const char *topic, const void *payload, size_t len)
{
	for (int i = DICT_SHADOWS; i >= 0; i--) {
		IOT_CLEAN(iot_free_p) char *prefix = prefix_of(module, i);

		if ((module->shadows[i].ready || module->shadows[i].deltas) && iot_starts_with(topic, prefix))
			return take(module, i, topic + strlen(prefix), payload, len);
	}
	return false;
}

static void init_answered(struct module *module, int index, int which, bool granted)
{
	struct module_shadow *shadow = &module->shadows[index];

	shadow->init_done[which] = true;
	shadow->init_granted[which] = granted;
	if (!shadow->init_done[0] || !shadow->init_done[1])
		return;
	shadow->ready = shadow->init_granted[0] && shadow->init_granted[1];
	module_raise(module, shadow->ready ? IOT_EL_SHADOW_INIT : IOT_EL_SHADOW_INIT_FAILED, (unsigned)index, NULL);
}

bool shadow_subscribed(struct module *module, int mid, bool granted)
{
	for (int i = 0; i <= DICT_SHADOWS; i++) {
		struct module_shadow *shadow = &module->shadows[i];

		for (int which = 0; which < 2; which++) {
			if (shadow->init_mid[which] == mid && !shadow->init_done[which]) {
				init_answered(module, i, which, granted);
				return true;
			}
		}
		if (shadow->delta_mid == mid && !shadow->deltas) {
			shadow->deltas = granted;
			module_raise(module, granted ? IOT_EL_SHADOW_SUBACK : IOT_EL_SHADOW_SUBNACK, (unsigned)i, NULL);
			return true;
		}
	}
	return false;
}

void shadow_forget(struct module *module)
{
	for (int i = 0; i <= DICT_SHADOWS; i++) {
		for (int what = 0; what < SHADOW_WHATS; what++)
			free(module->shadows[i].answers[what].document);
		memset(&module->shadows[i], 0, sizeof(module->shadows[i]));
	}
}
