/*
 * From devices and the layouts of their types to what is sent to each: topics,
 * tokens, and where in the payload a token goes.
 */
#include "fleet/command_private.h"

#include "iotctl/base.h"
#include "iotctl/json.h"
#include "iotctl/text.h"
#include "iotctl/topic.h"

#include <string.h>

enum { TOKEN_LEN = 36 };

/* --- what devices of a type have in common ------------------------------------------------- */

static void kind_free(struct command_kind *kind)
{
	iot_layout_free(kind->layout);
	free(kind->type);
	free(kind->head);
	free(kind->tail);
	free(kind);
}

static enum iot_status no_object(const struct command_kind *kind, struct iot_error *err)
{
	iot_fail(err, IOT_USAGE, "the command is not a JSON object, and cannot carry the token of its answer");
	iot_error_hint(err, "layout '%s' puts it there as member '%s'; without --wait the command is sent as it is",
		       iot_layout_name(kind->layout), kind->command->token_member);
	return IOT_USAGE;
}

/* The token becomes the first member; everything else stays as it was written. */
static enum iot_status open_payload(struct command_kind *kind, const struct iot_command_options *options,
				    struct iot_error *err)
{
	const char *member = kind->command->token_member;
	const char *text = options->payload_len > 0 ? options->payload : "{}";
	size_t len = options->payload_len > 0 ? options->payload_len : 2, brace;
	struct iot_error ignored = IOT_ERROR_INIT;
	IOT_CLEAN(iot_free_p) char *name = NULL;
	IOT_JSON key = json_string(member);
	IOT_JSON object = NULL;

	if (iot_json_parse(text, len, "command", &object, &ignored) != IOT_OK || !json_is_object(object))
		return no_object(kind, err);
	if (json_object_get(object, member) != NULL) {
		iot_fail(err, IOT_USAGE, "the command has a member '%s' of its own", member);
		iot_error_hint(err, "leave it out: layout '%s' puts the token of the answer there",
			       iot_layout_name(kind->layout));
		return IOT_USAGE;
	}
	brace = (size_t)((const char *)memchr(text, '{', len) - text) + 1;
	name = json_dumps(key, JSON_ENCODE_ANY);
	kind->head = iot_strf("%.*s%s:\"", (int)brace, text, name);
	kind->tail = iot_strf("\"%s%.*s", json_object_size(object) > 0 ? "," : "", (int)(len - brace), text + brace);
	kind->tail_len = strlen(kind->tail);
	return IOT_OK;
}

static enum iot_status check_roles(struct command_kind *kind, const struct iot_command_options *options,
				   struct iot_error *err)
{
	const char *type = *kind->type != '\0' ? kind->type : NULL;

	kind->command = iot_layout_role(kind->layout, IOT_ROLE_COMMAND, type);
	kind->reply = iot_layout_role(kind->layout, IOT_ROLE_REPLY, type);
	kind->token_in_topic = strstr(kind->reply->topic, "{token}") != NULL;
	if (options->subfolder != NULL && strstr(kind->command->topic, "{subfolder}") == NULL)
		return iot_fail(err, IOT_USAGE, "layout '%s' has no subfolders for commands: its topic is '%s'",
				iot_layout_name(kind->layout), kind->command->topic);
	if (options->wait && kind->command->correlation == IOT_CORRELATE_PAYLOAD)
		return open_payload(kind, options, err);
	return IOT_OK;
}

static enum iot_status kind_of(struct targets *targets, struct iot_cloud *cloud,
			       const struct iot_command_options *options, const char *type,
			       const struct command_kind **ret, struct iot_error *err)
{
	struct command_kind *kind;
	enum iot_status status;

	for (size_t i = 0; i < targets->kind_count; i++) {
		if (strcmp(targets->kinds[i]->type, type) == 0) {
			*ret = targets->kinds[i];
			return IOT_OK;
		}
	}
	kind = iot_alloc(sizeof(*kind));
	targets->kinds = iot_realloc(targets->kinds, (targets->kind_count + 1) * sizeof(*targets->kinds));
	targets->kinds[targets->kind_count++] = kind;
	kind->type = iot_strdup(type);
	status = iot_layout_of_type(cloud, type, &kind->layout, err);
	if (status == IOT_OK)
		status = check_roles(kind, options, err);
	*ret = kind;
	return status;
}

/* --- one device ------------------------------------------------------------------------------ */

const void *target_payload(const struct target *target, const struct iot_command_options *options, struct iot_buf *buf,
			   size_t *ret_len)
{
	const struct command_kind *kind = target->kind;

	if (kind->head == NULL) {
		*ret_len = options->payload_len;
		return options->payload;
	}
	iot_buf_clear(buf);
	iot_buf_adds(buf, kind->head);
	iot_buf_adds(buf, target->token);
	iot_buf_add(buf, kind->tail, kind->tail_len);
	*ret_len = buf->len;
	return iot_buf_str(buf);
}

static enum iot_status prepare(struct target *target, const struct iot_command_options *options, struct iot_error *err)
{
	const struct command_kind *kind = target->kind;
	const struct iot_topic_names names = {
		.thing = target->device->thing,
		.type = *kind->type != '\0' ? kind->type : NULL,
		.token = target->token,
		.subfolder = options->subfolder,
	};
	size_t len = kind->head != NULL ? strlen(kind->head) + TOKEN_LEN + kind->tail_len : options->payload_len;
	enum iot_status status = iot_layout_topic(kind->layout, IOT_ROLE_COMMAND, &names, &target->topic, err);

	target->mid = -1;
	iot_uuid(target->token);
	if (status == IOT_OK)
		status = iot_message_check(target->topic, len, kind->command->qos, err);
	if (status == IOT_OK && options->wait)
		status = iot_layout_topic(kind->layout, IOT_ROLE_REPLY, &names, &target->reply_topic, err);
	return status;
}

static int compare_topics(const void *a, const void *b)
{
	const struct target *const *one = a, *const *other = b;

	return strcmp((*one)->reply_topic, (*other)->reply_topic);
}

static void sort_targets(struct targets *targets)
{
	targets->by_topic = iot_alloc_array(targets->count, sizeof(void *));
	for (size_t i = 0; i < targets->count; i++)
		targets->by_topic[i] = &targets->all[i];
	qsort(targets->by_topic, targets->count, sizeof(void *), compare_topics);
}

enum iot_status targets_init(struct targets *targets, struct iot_cloud *cloud,
			     const struct iot_command_options *options, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	if (options->subfolder != NULL && (*options->subfolder == '\0' || strchr("/", *options->subfolder) != NULL))
		return iot_fail(err, IOT_USAGE, "subfolder '%s' is none", options->subfolder);
	targets->count = options->device_count;
	targets->all = iot_alloc_array(targets->count, sizeof(*targets->all));
	for (size_t i = 0; i < targets->count && status == IOT_OK; i++) {
		struct target *target = &targets->all[i];

		target->device = &options->devices[i];
		status = kind_of(targets, cloud, options, target->device->type, &target->kind, err);
		if (status == IOT_OK)
			status = prepare(target, options, err);
		if (status != IOT_OK)
			iot_error_while(err, "preparing the command for '%s'", target->device->thing);
	}
	if (status == IOT_OK && options->wait)
		sort_targets(targets);
	return status;
}

void targets_release(struct targets *targets)
{
	for (size_t i = 0; targets->all != NULL && i < targets->count; i++) {
		free(targets->all[i].topic);
		free(targets->all[i].reply_topic);
	}
	for (size_t i = 0; i < targets->kind_count; i++)
		kind_free(targets->kinds[i]);
	free(targets->all);
	free(targets->kinds);
	free(targets->by_topic);
}
