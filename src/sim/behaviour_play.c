/*
 * Following rules. What goes wrong here is told as event "trouble" with its place
 * in the file, and the next thing is done all the same: a device that meets a
 * strange configuration or message goes on.
 */
#include "sim/behaviour_play.h"

#include "iotctl/base.h"
#include "iotctl/digest.h"
#include "iotctl/json.h"
#include "iotctl/topic.h"
#include "sim/behaviour_value.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { WAITING_MAX = 64, WAITING_BYTES_MAX = 1024 * 1024 };

/* A message that is said later. */
struct waiting {
	int64_t due;
	char *topic;
	void *payload, *correlation;
	struct iot_mqtt_message message;
};

struct sim_play {
	const struct sim_behaviour *behaviour;
	struct sim_play_options options;
	json_t *variables, *config;
	int64_t *due; /* of each rule on a timer; INT64_MAX: not running */
	bool online;
	struct waiting *waiting; /* WAITING_MAX of them when there was ever one */
	size_t waiting_count, waiting_bytes;
};

/* What is reacted to, and where we are in the file. */
struct moment {
	struct sim_play *play;
	const struct sim_command *command;
	struct sim_scope scope;
	int64_t now;
	size_t rule, action;
};

static void say(const struct sim_play *play, const char *event, const char *fmt, ...) IOT_PRINTF(3, 4);
static void say(const struct sim_play *play, const char *event, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	play->options.port.event(play->options.port.data, event, text);
}

static void trouble(const struct moment *moment, const char *what)
{
	say(moment->play, "trouble", "rules[%zu].do[%zu]: %s", moment->rule, moment->action, what);
}

static void trouble_error(const struct moment *moment, const struct iot_error *err)
{
	char line[400];

	trouble(moment, iot_error_line(err, line, sizeof(line)));
}

struct sim_play *sim_play_new(const struct sim_behaviour *behaviour, const struct sim_play_options *options)
{
	struct sim_play *play = iot_alloc(sizeof(*play));

	play->behaviour = behaviour;
	play->options = *options;
	/* Values are shared with the behaviour: they are replaced, never changed. */
	play->variables =
		behaviour->variables != NULL ? json_copy((json_t *)(uintptr_t)behaviour->variables) : json_object();
	play->due = iot_alloc_array(behaviour->rule_count, sizeof(*play->due));
	sim_play_offline(play);
	return play;
}

static void release_waiting(struct waiting *waiting)
{
	free(waiting->topic);
	free(waiting->payload);
	free(waiting->correlation);
}

void sim_play_free(struct sim_play *play)
{
	if (play == NULL)
		return;
	for (size_t i = 0; i < play->waiting_count; i++)
		release_waiting(&play->waiting[i]);
	free(play->waiting);
	json_decref(play->variables);
	json_decref(play->config);
	free(play->due);
	free(play);
}

void sim_play_configure(struct sim_play *play, json_t *config)
{
	json_decref(play->config);
	play->config = json_incref(config);
}

/* --- conditions ----------------------------------------------------------------------------- */

static bool compare(enum sim_compare how, const json_t *left, const json_t *right)
{
	bool numbers = json_is_number(left) && json_is_number(right);
	double a = json_number_value(left), b = json_number_value(right);
	bool equal = numbers ? !(a < b) && !(a > b) : json_equal(left, right);

	switch (how) {
	case SIM_EQUAL:
		return equal;
	case SIM_DIFFERENT:
		return !equal;
	case SIM_ABOVE:
		return numbers && a > b;
	case SIM_BELOW:
		return numbers && a < b;
	case SIM_NOT_BELOW:
		return numbers && a >= b;
	case SIM_NOT_ABOVE:
		return numbers && a <= b;
	}
	return false;
}

static bool fits(const struct moment *moment, const struct sim_rule *rule)
{
	for (size_t i = 0; i < rule->condition_count; i++) {
		const struct sim_condition *condition = &rule->conditions[i];
		IOT_JSON left = sim_value_fill(condition->left, &moment->scope);
		IOT_JSON right = sim_value_fill(condition->right, &moment->scope);

		if (left == NULL || right == NULL || !compare(condition->compare, left, right))
			return false;
	}
	return true;
}

/* --- variables ------------------------------------------------------------------------------ */

/* Takes `value`; NULL is one that cannot be. */
static void assign(const struct moment *moment, const char *name, json_t *value)
{
	IOT_JSON owned = value;
	char text[160];

	if (owned != NULL && sim_value_fits(owned, SIM_BEHAVIOUR_VALUE_MAX)) {
		json_object_set(moment->play->variables, name, owned);
		return;
	}
	snprintf(text, sizeof(text), "the new value of '%s' is no number or too large", name);
	trouble(moment, text);
}

static void set(const struct moment *moment, const struct sim_action *action)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)action->values, name, value)
		assign(moment, name, sim_value_fill(value, &moment->scope));
}

static int64_t random_int(int64_t range)
{
	const int64_t most = INT64_C(1) << 52;
	uint64_t dice, width;

	if (range < -most || range > most)
		range = most;
	width = 2 * (uint64_t)llabs(range) + 1;
	iot_random(&dice, sizeof(dice));
	return (int64_t)(dice % width) - (int64_t)(width / 2);
}

/* From -range to range. */
static double random_real(double range)
{
	uint64_t dice;

	iot_random(&dice, sizeof(dice));
	return range * (ldexp((double)(dice >> 11), -52) - 1);
}

static json_t *bounded(json_t *value, const json_t *min, const json_t *max)
{
	const json_t *bound = NULL;

	if (json_is_number(min) && compare(SIM_BELOW, value, min))
		bound = min;
	if (json_is_number(max) && compare(SIM_ABOVE, value, max))
		bound = max;
	if (bound == NULL)
		return value;
	json_decref(value);
	return json_incref((json_t *)(uintptr_t)bound);
}

/* NULL: one of them is no number, or the sum is none. */
static json_t *step(const json_t *from, const json_t *by, bool walk)
{
	double sum;
	json_int_t whole;

	if (!json_is_number(from) || !json_is_number(by))
		return NULL;
	if (json_is_integer(from) && json_is_integer(by)) {
		whole = json_integer_value(by);
		whole = walk ? random_int(whole) : whole;
		return __builtin_add_overflow(json_integer_value(from), whole, &whole) ? NULL : json_integer(whole);
	}
	sum = json_number_value(by);
	sum = json_number_value(from) + (walk ? random_real(sum) : sum);
	/* A place on a map, not the noise of an addition. */
	return json_real(fabs(sum) < 1e9 ? round(sum * 1e6) / 1e6 : sum);
}

static void move(const struct moment *moment, const struct sim_action *action)
{
	IOT_JSON by = sim_value_fill(action->by, &moment->scope);
	IOT_JSON min = action->min != NULL ? sim_value_fill(action->min, &moment->scope) : NULL;
	IOT_JSON max = action->max != NULL ? sim_value_fill(action->max, &moment->scope) : NULL;
	json_t *value = step(json_object_get(moment->play->variables, action->variable), by, action->verb == SIM_WALK);

	assign(moment, action->variable, value != NULL ? bounded(value, min, max) : NULL);
}

/* --- messages ------------------------------------------------------------------------------- */

static void *copy(const void *bytes, size_t len)
{
	void *to = iot_alloc(len + 1);

	if (len > 0)
		memcpy(to, bytes, len);
	return to;
}

static void send(struct sim_play *play, const struct iot_mqtt_message *message)
{
	bool sent = play->options.port.publish(play->options.port.data, message);

	say(play, sent ? "said" : "trouble", "%s%zu bytes on '%s'", sent ? "" : "cannot send ", message->payload_len,
	    message->topic);
}

static void send_later(const struct moment *moment, const struct iot_mqtt_message *message, int64_t due)
{
	struct sim_play *play = moment->play;
	struct waiting *waiting;

	if (play->waiting_count == WAITING_MAX || play->waiting_bytes + message->payload_len > WAITING_BYTES_MAX) {
		trouble(moment, "too many messages wait to be sent");
		return;
	}
	if (play->waiting == NULL)
		play->waiting = iot_alloc_array(WAITING_MAX, sizeof(*play->waiting));
	waiting = &play->waiting[play->waiting_count];
	*waiting = (struct waiting){
		.due = due,
		.topic = iot_strdup(message->topic),
		.payload = copy(message->payload, message->payload_len),
		.correlation =
			message->correlation != NULL ? copy(message->correlation, message->correlation_len) : NULL,
		.message = *message,
	};
	waiting->message.topic = waiting->topic;
	waiting->message.payload = waiting->payload;
	waiting->message.correlation = waiting->correlation;
	play->waiting_count++;
	play->waiting_bytes += message->payload_len;
}

static void emit(const struct moment *moment, const struct sim_action *action, const struct iot_mqtt_message *message)
{
	for (int i = 0; i < action->times; i++) {
		if (action->after_ms > 0)
			send_later(moment, message, moment->now + action->after_ms);
		else
			send(moment->play, message);
	}
}

/* What is said: JSON, or bytes that are owned or the behaviour's. */
struct said {
	json_t *json;
	char *text;
	const void *bytes;
	size_t len;
};

static void release_said(struct said *said)
{
	json_decref(said->json);
	free(said->text);
}

static bool make_content(const struct moment *moment, const struct sim_action *action, struct said *ret)
{
	switch (action->content) {
	case SIM_JSON:
		ret->json = sim_value_fill(action->json, &moment->scope);
		break;
	case SIM_TEXT:
		ret->bytes = ret->text = sim_text_fill(action->text, &moment->scope);
		ret->len = ret->text != NULL ? strlen(ret->text) : 0;
		break;
	case SIM_RANDOM:
		ret->bytes = ret->text = iot_alloc(action->len);
		ret->len = action->len;
		iot_random(ret->text, ret->len);
		break;
	case SIM_FILE:
		ret->bytes = action->file;
		ret->len = action->len;
		break;
	case SIM_NOTHING:
		ret->bytes = "";
	}
	if (ret->json != NULL || ret->bytes != NULL)
		return true;
	trouble(moment, "the message is larger than 128 KiB");
	return false;
}

static void reply(const struct moment *moment, const struct sim_action *action, const struct said *said)
{
	struct sim_command command;
	IOT_CLEAN(iot_free_p) char *token = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	struct sim_reply answer;

	if (moment->command == NULL || !sim_command_wants_reply(moment->command))
		return;
	command = *moment->command; /* its parts stay the other's */
	if (action->token != NULL) {
		token = sim_text_fill(action->token, &moment->scope);
		if (token == NULL || *token == '\0' || strlen(token) > SIM_TOKEN_MAX) {
			trouble(moment, "this cannot be a token");
			return;
		}
		command.token = command.response_topic == NULL ? token : NULL;
		command.correlation = token;
		command.correlation_len = strlen(token);
	}
	if (sim_reply_make(moment->play->options.topics, &command, said->json, said->bytes, said->len, &answer, &err) !=
	    IOT_OK) {
		trouble_error(moment, &err);
		return;
	}
	emit(moment, action, &answer.message);
	sim_reply_release(&answer);
}

static enum iot_status make_topic(const struct moment *moment, const struct sim_action *action, char **ret,
				  struct iot_error *err)
{
	const char *name = action->topic != NULL ? action->topic : action->peer;
	IOT_CLEAN(iot_free_p) char *filled = name != NULL ? sim_text_fill(name, &moment->scope) : NULL;
	IOT_CLEAN(iot_free_p)
	char *subfolder = action->subfolder != NULL ? sim_text_fill(action->subfolder, &moment->scope) : NULL;
	enum iot_status status;

	if (action->role != SIM_ROLES)
		return sim_topics_fill(moment->play->options.topics, action->role, NULL, filled, subfolder, ret, err);
	if (filled == NULL)
		return iot_fail(err, IOT_USAGE, "the topic is too long");
	status = iot_topic_check_publish(filled, strlen(filled), err);
	if (status == IOT_OK)
		*ret = iot_take(filled);
	return status;
}

static void tell(const struct moment *moment, const struct sim_action *action, const struct said *said)
{
	const struct sim_topics *topics = moment->play->options.topics;
	bool own = action->role == SIM_ROLES;
	IOT_CLEAN(iot_free_p) char *topic = NULL;
	IOT_CLEAN(iot_free_p) char *text = said->json != NULL ? iot_json_text(said->json) : NULL;
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_mqtt_message message = {
		.payload = text != NULL ? text : said->bytes,
		.payload_len = text != NULL ? strlen(text) : said->len,
		.qos = own ? action->qos : topics->role[action->role].qos,
		.retain = own ? action->retain : topics->role[action->role].retain,
	};

	if (make_topic(moment, action, &topic, &err) != IOT_OK) {
		trouble_error(moment, &err);
		return;
	}
	message.topic = topic;
	emit(moment, action, &message);
}

static void publish(const struct moment *moment, const struct sim_action *action)
{
	IOT_CLEAN(release_said) struct said said = {0};

	if (!make_content(moment, action, &said))
		return;
	if (action->role == SIM_STATE)
		moment->play->options.port.state(moment->play->options.port.data, said.json);
	else if (action->role == SIM_REPLY)
		reply(moment, action, &said);
	else
		tell(moment, action, &said);
}

/* --- rules ---------------------------------------------------------------------------------- */

static void follow(struct moment *moment, const struct sim_rule *rule)
{
	for (moment->action = 0; moment->action < rule->action_count; moment->action++) {
		const struct sim_action *action = &rule->actions[moment->action];

		if (action->verb == SIM_PUBLISH)
			publish(moment, action);
		else if (action->verb == SIM_SET)
			set(moment, action);
		else
			move(moment, action);
	}
}

static bool is_for(const struct sim_rule *rule, enum sim_on on, const struct sim_command *command)
{
	return rule->on == on &&
	       (rule->command == NULL || (command != NULL && strcmp(rule->command, command->name) == 0));
}

static struct moment moment_of(struct sim_play *play, const struct sim_command *command, const json_t *payload,
			       int64_t now)
{
	return (struct moment){
		.play = play,
		.command = command,
		.scope = {.thing = play->options.thing,
			  .type = play->options.type,
			  .command = command != NULL ? command->name : NULL,
			  .config = play->config,
			  .payload = payload,
			  .variables = play->variables},
		.now = now,
	};
}

bool sim_play_react(struct sim_play *play, enum sim_on on, const struct sim_command *command, const json_t *payload,
		    int64_t now)
{
	struct moment moment = moment_of(play, command, payload, now);
	bool any = false;

	for (; moment.rule < play->behaviour->rule_count; moment.rule++) {
		const struct sim_rule *rule = &play->behaviour->rules[moment.rule];

		if (!is_for(rule, on, command) || !fits(&moment, rule))
			continue;
		follow(&moment, rule);
		any = true;
		if (on == SIM_ON_COMMAND)
			break;
	}
	return any;
}

/* --- time ----------------------------------------------------------------------------------- */

void sim_play_online(struct sim_play *play, int64_t now)
{
	play->online = true;
	for (size_t i = 0; i < play->behaviour->rule_count; i++)
		if (play->behaviour->rules[i].on == SIM_ON_TIMER)
			play->due[i] = now + play->behaviour->rules[i].every_ms;
}

void sim_play_offline(struct sim_play *play)
{
	play->online = false;
	for (size_t i = 0; i < play->behaviour->rule_count; i++)
		play->due[i] = INT64_MAX;
}

static void send_due(struct sim_play *play, int64_t now)
{
	size_t kept = 0, count = play->waiting_count;

	for (size_t i = 0; i < count; i++) {
		struct waiting waiting = play->waiting[i];

		if (waiting.due > now) {
			play->waiting[kept++] = waiting;
			continue;
		}
		send(play, &waiting.message);
		play->waiting_bytes -= waiting.message.payload_len;
		release_waiting(&waiting);
	}
	play->waiting_count = kept;
}

void sim_play_tick(struct sim_play *play, int64_t now)
{
	struct moment moment = moment_of(play, NULL, NULL, now);

	send_due(play, now);
	for (; play->online && moment.rule < play->behaviour->rule_count; moment.rule++) {
		const struct sim_rule *rule = &play->behaviour->rules[moment.rule];
		int64_t *due = &play->due[moment.rule];

		if (*due > now)
			continue;
		/* What was slept through is not made up for. */
		*due = *due + rule->every_ms > now ? *due + rule->every_ms : now + rule->every_ms;
		if (fits(&moment, rule))
			follow(&moment, rule);
	}
}

int64_t sim_play_deadline(const struct sim_play *play)
{
	int64_t next = INT64_MAX;

	for (size_t i = 0; i < play->waiting_count; i++)
		next = play->waiting[i].due < next ? play->waiting[i].due : next;
	for (size_t i = 0; i < play->behaviour->rule_count; i++)
		next = play->due[i] < next ? play->due[i] : next;
	return next;
}
