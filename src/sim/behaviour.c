/*
 * Reading a behaviour. Everything is checked here, with its place in the file,
 * so that playing it meets no fault but those of the world: what is strange in a
 * configuration or a message, and a connection that is not there.
 */
#include "sim/behaviour.h"

#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "iotctl/json.h"
#include "iotctl/text.h"
#include "iotctl/topic.h"
#include "sim/behaviour_shipped.h"
#include "sim/behaviour_value.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { AFTER_MAX_MS = 3600 * 1000, EVERY_MAX_MS = 24 * 3600 * 1000 };

static const char *const on_names[] = {"start", "connect", "config", "command", "peer", "timer", NULL};
static const char *const compare_names[] = {"=", "!=", ">", "<", ">=", "<=", NULL};
static const char *const verb_names[] = {"publish", "set", "add", "walk", NULL};
static const char *const content_names[] = {"", "json", "text", "random", "file", NULL};

struct parser {
	const char *subject, *dir;
	const json_t *variables;
	char where[64];  /* "rules[0].do[2]"; "" at the top */
	bool message;    /* in a reaction to one */
	bool is_command; /* and that is a command */
	struct iot_error *err;
};

const char *sim_on_name(enum sim_on on)
{
	return on_names[on];
}

static int index_of(const char *const *names, const char *name)
{
	for (int i = 0; names[i] != NULL; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return -1;
}

/* --- what is wrong, and where --------------------------------------------------------------- */

static enum iot_status say_wrong(const struct parser *parser, enum iot_status status, const char *member,
				 const char *text)
{
	const char *where = parser->where;

	return iot_fail(parser->err, status, "'%s': %s%s%s%s%s", parser->subject, where,
			where[0] != '\0' && member[0] != '\0' ? "." : "", member,
			where[0] != '\0' || member[0] != '\0' ? ": " : "", text);
}

static enum iot_status wrong(const struct parser *parser, const char *member, const char *fmt, ...) IOT_PRINTF(3, 4);
static enum iot_status wrong(const struct parser *parser, const char *member, const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	iot_text_printable(text);
	return say_wrong(parser, IOT_USAGE, member, text);
}

/* Takes `status` and what was said of a value, and adds its place. */
static enum iot_status placed(const struct parser *parser, const char *member, enum iot_status status,
			      const struct iot_error *inner)
{
	if (status == IOT_OK)
		return IOT_OK;
	say_wrong(parser, status, member, inner->what);
	if (inner->hint[0] != '\0')
		iot_error_hint(parser->err, "%s", inner->hint);
	return status;
}

static enum iot_status check_members(const struct parser *parser, const json_t *object, const char *const *allowed)
{
	const char *key;
	json_t *value;

	if (!json_is_object(object))
		return wrong(parser, "", "an object is wanted here");
	json_object_foreach((json_t *)(uintptr_t)object, key, value) {
		if (index_of(allowed, key) < 0)
			return wrong(parser, "", "there is no member '%.40s' here", key);
	}
	return IOT_OK;
}

/* --- members -------------------------------------------------------------------------------- */

/* A template member that is a text; stays NULL when it is absent. */
static enum iot_status read_text(const struct parser *parser, const json_t *object, const char *member,
				 const char **ret)
{
	const json_t *value = json_object_get(object, member);
	struct iot_error inner = IOT_ERROR_INIT;

	*ret = NULL;
	if (value == NULL)
		return IOT_OK;
	if (!json_is_string(value) || json_string_length(value) == 0)
		return wrong(parser, member, "a text is wanted");
	*ret = json_string_value(value);
	return placed(parser, member, sim_text_check(*ret, parser->variables, parser->message, &inner), &inner);
}

static enum iot_status read_template(const struct parser *parser, const json_t *object, const char *member,
				     const json_t **ret)
{
	struct iot_error inner = IOT_ERROR_INIT;

	*ret = json_object_get(object, member);
	if (*ret == NULL)
		return IOT_OK;
	return placed(parser, member, sim_value_check(*ret, parser->variables, parser->message, &inner), &inner);
}

/* A number, or a placeholder for one. */
static enum iot_status read_number(const struct parser *parser, const json_t *object, const char *member,
				   const json_t **ret)
{
	enum iot_status status = read_template(parser, object, member, ret);

	if (status == IOT_OK && *ret != NULL && !json_is_number(*ret) && !json_is_string(*ret))
		return wrong(parser, member, "a number is wanted, or a placeholder for one");
	return status;
}

static enum iot_status read_int(const struct parser *parser, const json_t *object, const char *member, int64_t min,
				int64_t max, int64_t *ret)
{
	const json_t *value = json_object_get(object, member);

	if (value == NULL)
		return IOT_OK;
	*ret = json_integer_value(value);
	if (!json_is_integer(value) || *ret < min || *ret > max)
		return wrong(parser, member, "a whole number from %lld to %lld is wanted", (long long)min,
			     (long long)max);
	return IOT_OK;
}

static enum iot_status read_duration(const struct parser *parser, const json_t *object, const char *member, int64_t min,
				     int64_t max, int64_t *ret)
{
	const json_t *value = json_object_get(object, member);

	if (value == NULL)
		return IOT_OK;
	if (!json_is_string(value) || iot_parse_duration(json_string_value(value), ret, NULL) != IOT_OK || *ret < min ||
	    *ret > max)
		return wrong(parser, member, "a time such as \"500ms\" or \"5s\" is wanted, from %lld ms to %lld s",
			     (long long)min, (long long)max / 1000);
	return IOT_OK;
}

/* --- publish -------------------------------------------------------------------------------- */

static enum iot_status read_file(const struct parser *parser, const char *name, struct sim_action *ret)
{
	IOT_CLEAN(iot_free_p) char *path = NULL;
	IOT_CLEAN(iot_buf_release) struct iot_buf bytes = IOT_BUF_INIT(IOT_TOPIC_PAYLOAD_MAX);
	struct iot_error inner = IOT_ERROR_INIT;
	enum iot_status status;

	if (parser->dir == NULL || strcmp(name, "-") == 0)
		return wrong(parser, "file", "files cannot be read here");
	path = iot_path(parser->dir, name);
	status = iot_fs_read(path, &bytes, &inner);
	if (status != IOT_OK)
		return placed(parser, "file", status, &inner);
	ret->len = bytes.len;
	ret->file = iot_buf_detach(&bytes);
	return IOT_OK;
}

static enum iot_status read_content(const struct parser *parser, const json_t *object, struct sim_action *ret)
{
	const char *name = NULL;
	int64_t random = 0;
	enum iot_status status = IOT_OK;

	for (int i = SIM_JSON; content_names[i] != NULL; i++) {
		if (json_object_get(object, content_names[i]) == NULL)
			continue;
		if (ret->content != SIM_NOTHING)
			return wrong(parser, content_names[i], "there is a '%s' already", content_names[ret->content]);
		ret->content = (enum sim_content)i;
	}
	if (ret->content == SIM_JSON)
		status = read_template(parser, object, "json", &ret->json);
	if (ret->content == SIM_TEXT)
		status = read_text(parser, object, "text", &ret->text);
	if (ret->content == SIM_RANDOM)
		status = read_int(parser, object, "random", 1, IOT_TOPIC_PAYLOAD_MAX, &random);
	ret->len = (size_t)random;
	if (ret->content == SIM_FILE) {
		status = read_text(parser, object, "file", &name);
		if (status == IOT_OK)
			status = read_file(parser, name, ret);
	}
	return status;
}

/* A role, or a topic: which always has a slash. */
static enum iot_status read_target(const struct parser *parser, const json_t *object, struct sim_action *ret)
{
	static const char *const roles[] = {"event", "state", "peer", "reply", NULL};
	static const enum sim_role of[] = {SIM_EVENT, SIM_STATE, SIM_PEER, SIM_REPLY};
	const char *target;
	enum iot_status status = read_text(parser, object, "publish", &target);
	int i;

	if (status != IOT_OK || target == NULL)
		return status;
	i = index_of(roles, target);
	ret->role = i >= 0 ? of[i] : SIM_ROLES;
	if (i >= 0)
		return IOT_OK;
	if (strchr(target, '/') == NULL) {
		wrong(parser, "publish", "no role is called '%.40s'", target);
		iot_error_hint(parser->err, "use event, state, peer or reply, or a topic with a slash in it");
		return IOT_USAGE;
	}
	ret->topic = target;
	return IOT_OK;
}

/* Members that mean something in some messages only. */
static enum iot_status check_target(const struct parser *parser, const json_t *object, const struct sim_action *action)
{
	static const struct {
		const char *member;
		enum sim_role role;
		const char *where;
	} only[] = {{"peer", SIM_PEER, "role peer"},
		    {"subfolder", SIM_EVENT, "role event"},
		    {"token", SIM_REPLY, "role reply"},
		    {"qos", SIM_ROLES, "topics"},
		    {"retain", SIM_ROLES, "topics"}};

	for (size_t i = 0; i < IOT_LENGTH(only); i++)
		if (json_object_get(object, only[i].member) != NULL && action->role != only[i].role)
			return wrong(parser, only[i].member, "this is for %s only", only[i].where);
	if (action->role == SIM_PEER && action->peer == NULL)
		return wrong(parser, "peer", "it is missing: the name of the other device");
	if (action->role == SIM_REPLY && !parser->is_command)
		return wrong(parser, "publish", "there is nothing to reply to but in rules on command");
	if (action->role == SIM_REPLY && action->content == SIM_NOTHING)
		return wrong(parser, "", "a reply needs json, text, random or file");
	if (action->role == SIM_STATE && (action->after_ms > 0 || action->times != 1))
		return wrong(parser, "publish", "a state is said once, and at once");
	if (action->role == SIM_STATE && (action->content != SIM_JSON || !json_is_object(action->json)))
		return wrong(parser, "json", "a state is a JSON object");
	return IOT_OK;
}

static enum iot_status read_publish(const struct parser *parser, const json_t *object, struct sim_action *ret)
{
	static const char *const members[] = {"publish", "peer", "subfolder", "token", "qos",   "retain", "json",
					      "text",    "file", "random",    "after", "times", NULL};
	const json_t *retain = json_object_get(object, "retain");
	int64_t qos = 1, times = 1;
	enum iot_status status = check_members(parser, object, members);

	if (status == IOT_OK)
		status = read_target(parser, object, ret);
	if (status == IOT_OK)
		status = read_text(parser, object, "peer", &ret->peer);
	if (status == IOT_OK)
		status = read_text(parser, object, "subfolder", &ret->subfolder);
	if (status == IOT_OK)
		status = read_text(parser, object, "token", &ret->token);
	if (status == IOT_OK)
		status = read_int(parser, object, "qos", 0, 1, &qos);
	if (status == IOT_OK && retain != NULL && !json_is_boolean(retain))
		status = wrong(parser, "retain", "true or false is wanted");
	if (status == IOT_OK)
		status = read_content(parser, object, ret);
	if (status == IOT_OK)
		status = read_duration(parser, object, "after", 0, AFTER_MAX_MS, &ret->after_ms);
	if (status == IOT_OK)
		status = read_int(parser, object, "times", 1, SIM_BEHAVIOUR_TIMES_MAX, &times);
	ret->qos = (int)qos;
	ret->retain = json_is_true(retain);
	ret->times = (int)times;
	return status == IOT_OK ? check_target(parser, object, ret) : status;
}

/* --- variables ------------------------------------------------------------------------------ */

static enum iot_status check_variable(const struct parser *parser, const char *member, const char *name)
{
	if (json_object_get(parser->variables, name) == NULL)
		return wrong(parser, member, "no variable is called '%.40s'", name);
	return IOT_OK;
}

static enum iot_status read_set(const struct parser *parser, const json_t *object, struct sim_action *ret)
{
	static const char *const members[] = {"set", NULL};
	const char *key;
	json_t *value;
	enum iot_status status = check_members(parser, object, members);

	if (status == IOT_OK)
		status = read_template(parser, object, "set", &ret->values);
	if (status == IOT_OK && !json_is_object(ret->values))
		return wrong(parser, "set", "an object of variables and their values is wanted");
	json_object_foreach((json_t *)(uintptr_t)ret->values, key, value) {
		if (status == IOT_OK)
			status = check_variable(parser, "set", key);
	}
	return status;
}

static enum iot_status read_step(const struct parser *parser, const json_t *object, const char *verb,
				 struct sim_action *ret)
{
	const char *const members[] = {verb, "by", "min", "max", NULL};
	enum iot_status status = check_members(parser, object, members);

	if (status == IOT_OK && !json_is_string(json_object_get(object, verb)))
		return wrong(parser, verb, "the name of a variable is wanted");
	if (status != IOT_OK)
		return status;
	ret->variable = iot_json_str(object, verb, "");
	status = check_variable(parser, verb, ret->variable);
	if (status == IOT_OK)
		status = read_number(parser, object, "by", &ret->by);
	if (status == IOT_OK && ret->by == NULL)
		return wrong(parser, "by", "it is missing: a number");
	if (status == IOT_OK)
		status = read_number(parser, object, "min", &ret->min);
	if (status == IOT_OK)
		status = read_number(parser, object, "max", &ret->max);
	return status;
}

static enum iot_status read_variables(const struct parser *parser, const json_t *variables)
{
	const char *key;
	json_t *value;

	if (variables != NULL && !json_is_object(variables))
		return wrong(parser, "variables", "an object is wanted");
	if (json_object_size(variables) > SIM_BEHAVIOUR_VARIABLES_MAX)
		return wrong(parser, "variables", "there are more than %d", SIM_BEHAVIOUR_VARIABLES_MAX);
	json_object_foreach((json_t *)(uintptr_t)variables, key, value) {
		if (!sim_variable_name_valid(key))
			return wrong(parser, "variables", "'%.80s' cannot be the name of a variable", key);
		if (!sim_value_fits(value, SIM_BEHAVIOUR_VALUE_MAX))
			return wrong(parser, "variables", "the value of '%s' is too large", key);
	}
	return IOT_OK;
}

/* --- rules ---------------------------------------------------------------------------------- */

static enum iot_status read_action(const struct parser *parser, const json_t *object, struct sim_action *ret)
{
	const char *verb = json_object_iter_key(json_object_iter((json_t *)(uintptr_t)object));

	if (!json_is_object(object))
		return wrong(parser, "", "an object is wanted here");
	for (int i = 0; verb_names[i] != NULL; i++) {
		if (json_object_get(object, verb_names[i]) == NULL)
			continue;
		ret->verb = (enum sim_verb)i;
		if (i == SIM_PUBLISH)
			return read_publish(parser, object, ret);
		return i == SIM_SET ? read_set(parser, object, ret) : read_step(parser, object, verb_names[i], ret);
	}
	wrong(parser, "", "'%.40s' is nothing that can be done", verb != NULL ? verb : "");
	iot_error_hint(parser->err, "use publish, set, add or walk");
	return IOT_USAGE;
}

/* Takes the place of what is said next: "rules[1].do[0]". */
static void enter(struct parser *parser, size_t rule, const char *list, size_t i)
{
	if (list == NULL)
		snprintf(parser->where, sizeof(parser->where), "rules[%zu]", rule);
	else
		snprintf(parser->where, sizeof(parser->where), "rules[%zu].%s[%zu]", rule, list, i);
}

static enum iot_status read_actions(struct parser *parser, size_t at, const json_t *object, struct sim_rule *ret)
{
	const json_t *list = json_object_get(object, "do");
	enum iot_status status = IOT_OK;
	size_t count = json_array_size(list);

	if (!json_is_array(list) || count > SIM_BEHAVIOUR_ACTIONS_MAX)
		return wrong(parser, "do", "a list of at most %d things to do is wanted", SIM_BEHAVIOUR_ACTIONS_MAX);
	ret->actions = iot_alloc_array(count + 1, sizeof(*ret->actions));
	ret->action_count = count;
	for (size_t i = 0; i < count && status == IOT_OK; i++) {
		enter(parser, at, "do", i);
		status = read_action(parser, json_array_get(list, i), &ret->actions[i]);
	}
	return status;
}

static enum iot_status read_condition(const struct parser *parser, const json_t *condition, struct sim_condition *ret)
{
	const char *word = json_string_value(json_array_get(condition, 1));
	struct iot_error inner = IOT_ERROR_INIT;
	enum iot_status status;
	int compare = word != NULL ? index_of(compare_names, word) : -1;

	if (json_array_size(condition) != 3 || compare < 0)
		return wrong(parser, "",
			     "a condition is wanted, such as [\"{speed}\", \">\", 50], with = != > < >= or <=");
	ret->left = json_array_get(condition, 0);
	ret->right = json_array_get(condition, 2);
	ret->compare = (enum sim_compare)compare;
	status = sim_value_check(condition, parser->variables, parser->message, &inner);
	return placed(parser, "", status, &inner);
}

static enum iot_status read_conditions(struct parser *parser, size_t at, const json_t *object, struct sim_rule *ret)
{
	const json_t *list = json_object_get(object, "if");
	enum iot_status status = IOT_OK;

	if (list == NULL)
		return IOT_OK;
	if (!json_is_array(list) || json_array_size(list) > SIM_BEHAVIOUR_ACTIONS_MAX)
		return wrong(parser, "if", "a list of at most %d conditions is wanted", SIM_BEHAVIOUR_ACTIONS_MAX);
	for (; ret->condition_count < json_array_size(list) && status == IOT_OK; ret->condition_count++) {
		enter(parser, at, "if", ret->condition_count);
		status = read_condition(parser, json_array_get(list, ret->condition_count),
					&ret->conditions[ret->condition_count]);
	}
	return status;
}

static enum iot_status read_event(struct parser *parser, const json_t *object, struct sim_rule *ret)
{
	const char *name = iot_json_str(object, "on", "");
	const json_t *command = json_object_get(object, "command"), *note = json_object_get(object, "description");
	int on = index_of(on_names, name);

	if (on < 0)
		return wrong(parser, "on", "start, connect, config, command, peer or timer is wanted");
	ret->on = (enum sim_on)on;
	parser->is_command = on == SIM_ON_COMMAND;
	parser->message = on == SIM_ON_COMMAND || on == SIM_ON_PEER;
	if (note != NULL && !json_is_string(note))
		return wrong(parser, "description", "a text is wanted");
	if (command != NULL && (on != SIM_ON_COMMAND || !json_is_string(command)))
		return wrong(parser, "command",
			     on != SIM_ON_COMMAND ? "this is for rules on command only"
						  : "the name of a command is wanted");
	ret->command = json_string_value(command);
	if ((json_object_get(object, "every") != NULL) != (on == SIM_ON_TIMER))
		return wrong(parser, "every",
			     on == SIM_ON_TIMER ? "it is missing: a time such as \"5s\""
						: "this is for rules on timer only");
	return read_duration(parser, object, "every", SIM_BEHAVIOUR_EVERY_MIN_MS, EVERY_MAX_MS, &ret->every_ms);
}

static enum iot_status read_rule(struct parser *parser, size_t at, const json_t *object, struct sim_rule *ret)
{
	static const char *const members[] = {"description", "on", "command", "every", "if", "do", NULL};
	enum iot_status status;

	enter(parser, at, NULL, 0);
	status = check_members(parser, object, members);
	if (status == IOT_OK)
		status = read_event(parser, object, ret);
	if (status == IOT_OK)
		status = read_conditions(parser, at, object, ret);
	enter(parser, at, NULL, 0);
	return status == IOT_OK ? read_actions(parser, at, object, ret) : status;
}

static enum iot_status read_rules(struct parser *parser, const json_t *list, struct sim_behaviour *ret)
{
	enum iot_status status = IOT_OK;
	size_t count = json_array_size(list);

	if (!json_is_array(list) || count == 0 || count > SIM_BEHAVIOUR_RULES_MAX)
		return wrong(parser, "rules", "a list of 1 to %d rules is wanted", SIM_BEHAVIOUR_RULES_MAX);
	ret->rules = iot_alloc_array(count, sizeof(*ret->rules));
	ret->rule_count = count;
	for (size_t i = 0; i < count && status == IOT_OK; i++)
		status = read_rule(parser, i, json_array_get(list, i), &ret->rules[i]);
	return status;
}

/* --- the whole ------------------------------------------------------------------------------ */

enum iot_status sim_behaviour_parse(const char *text, size_t len, const char *subject, const char *dir,
				    struct sim_behaviour **ret, struct iot_error *err)
{
	static const char *const members[] = {"$schema", "description", "variables", "rules", NULL};
	IOT_CLEAN(sim_behaviour_free_p) struct sim_behaviour *behaviour = iot_alloc(sizeof(*behaviour));
	struct parser parser = {.subject = subject, .dir = dir, .err = err};
	enum iot_status status;

	if (len > SIM_BEHAVIOUR_TEXT_MAX)
		return iot_fail(err, IOT_USAGE, "'%s' is larger than %zu bytes", subject, SIM_BEHAVIOUR_TEXT_MAX);
	status = iot_json_parse(text, len, subject, &behaviour->json, err);
	if (status == IOT_OK)
		status = check_members(&parser, behaviour->json, members);
	if (status != IOT_OK)
		return status;
	behaviour->variables = json_object_get(behaviour->json, "variables");
	parser.variables = behaviour->variables;
	if (!json_is_string(json_object_get(behaviour->json, "description")))
		return wrong(&parser, "description", "it is missing: one line for people");
	status = read_variables(&parser, behaviour->variables);
	if (status == IOT_OK)
		status = read_rules(&parser, json_object_get(behaviour->json, "rules"), behaviour);
	if (status == IOT_OK)
		*ret = iot_take(behaviour);
	return status;
}

static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? iot_strdup(".") : iot_strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

static enum iot_status load_file(const char *path, struct sim_behaviour **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(SIM_BEHAVIOUR_TEXT_MAX);
	IOT_CLEAN(iot_free_p) char *dir = folder_of(path);
	enum iot_status status = iot_fs_read(path, &text, err);

	if (status == IOT_NOT_FOUND)
		iot_error_hint(err, "give a file, or one of those that are shipped: bus, depot");
	return status == IOT_OK ? sim_behaviour_parse(iot_buf_str(&text), text.len, path, dir, ret, err) : status;
}

enum iot_status sim_behaviour_load(const char *name, struct sim_behaviour **ret, struct iot_error *err)
{
	for (size_t i = 0; sim_behaviours_shipped[i] != NULL; i++) {
		const char *text = sim_behaviour_texts[i];

		if (strcmp(sim_behaviours_shipped[i], name) == 0)
			return sim_behaviour_parse(text, strlen(text), name, NULL, ret, err);
	}
	return load_file(name, ret, err);
}

void sim_behaviour_free(struct sim_behaviour *behaviour)
{
	if (behaviour == NULL)
		return;
	for (size_t i = 0; i < behaviour->rule_count; i++) {
		for (size_t a = 0; a < behaviour->rules[i].action_count; a++)
			free(behaviour->rules[i].actions[a].file);
		free(behaviour->rules[i].actions);
	}
	free(behaviour->rules);
	json_decref(behaviour->json);
	free(behaviour);
}

void sim_behaviour_free_p(struct sim_behaviour **behaviour)
{
	sim_behaviour_free(*behaviour);
}
