/* The command tree as JSON, for programs: one object per node, recursively. */
#include "cli/internal.h"
#include "iotctl/base.h"
#include "iotctl/json.h"

#include <stdio.h>

const char *cli_type_name(const struct cli_param *row)
{
	switch ((int)row->type) {
	case CLI_PATH:
		return "path";
	case CLI_LIST:
		return "list";
	case CLI_INT:
		return "integer";
	case CLI_FLAG:
		return "flag";
	case CLI_COUNT:
		return "count";
	case CLI_DURATION:
		return "duration";
	case CLI_SIZE:
		return "size";
	case CLI_ENUM:
		return "choice";
	default:
		return "string";
	}
}

static json_t *choices_json(const char *const *choices)
{
	json_t *array = json_array();

	for (; *choices != NULL; choices++)
		json_array_append_new(array, json_string(*choices));
	return array;
}

static json_t *param_json(const struct cli_param *row, bool option)
{
	json_t *object = json_object();
	const char letter[2] = {row->letter, '\0'};

	json_object_set_new(object, "name", json_string(row->name));
	if (option && row->letter != 0)
		json_object_set_new(object, "letter", json_string(letter));
	json_object_set_new(object, "type", json_string(cli_type_name(row)));
	if (option && cli_takes_value(row))
		json_object_set_new(object, "value", json_string(row->value != NULL ? row->value : "VALUE"));
	json_object_set_new(object, "help", json_string(row->help));
	json_object_set_new(object, "required", json_boolean(option ? row->required : !row->optional));
	if (row->choices != NULL)
		json_object_set_new(object, "choices", choices_json(row->choices));
	iot_json_set_str(object, "default", row->fallback);
	iot_json_set_str(object, "environment", row->env);
	iot_json_set_str(object, "completion", cli_complete_name(row->complete));
	if (row->type == CLI_INT && row->max != 0) {
		iot_json_set_int(object, "minimum", row->min);
		iot_json_set_int(object, "maximum", row->max);
	}
	return object;
}

static json_t *params_json(const struct cli_param *rows, bool option, bool at_root)
{
	json_t *array = json_array();

	for (; rows != NULL && rows->name != NULL; rows++) {
		if (!rows->hidden && (!option || cli_global_applies(rows, at_root)))
			json_array_append_new(array, param_json(rows, option));
	}
	return array;
}

static json_t *examples_json(const struct cli_command *root, const struct cli_command *node)
{
	json_t *array = json_array();

	for (const struct cli_example *example = node->examples; example != NULL && example->command != NULL;
	     example++) {
		IOT_CLEAN(iot_free_p) char *command = iot_strf("%s %s", root->name, example->command);

		json_array_append_new(array, json_pack("{s:s, s:s}", "command", command, "text", example->text));
	}
	return array;
}

static json_t *exits_json(const struct cli_command *node)
{
	static const enum iot_status always[] = {IOT_OK, IOT_FAILURE, IOT_USAGE};
	json_t *array = json_array();

	for (size_t i = 0; i < IOT_LENGTH(always); i++)
		json_array_append_new(
			array, json_pack("{s:i, s:s}", "code", (int)always[i], "text", iot_status_text(always[i])));
	for (const enum iot_status *exit = node->exits; exit != NULL && *exit != IOT_OK; exit++)
		json_array_append_new(array,
				      json_pack("{s:i, s:s}", "code", (int)*exit, "text", iot_status_text(*exit)));
	return array;
}

json_t *cli_help_json(const struct cli_command *root, const struct cli_command *node, const char *path)
{
	json_t *object = json_object();

	json_object_set_new(object, "name", json_string(node->name));
	json_object_set_new(object, "path", json_string(path));
	json_object_set_new(object, "summary", json_string(node->summary));
	iot_json_set_str(object, "description", node->description);
	if (node->subcommands != NULL) {
		json_t *array = json_array();

		for (const struct cli_command *const *sub = node->subcommands; *sub != NULL; sub++) {
			IOT_CLEAN(iot_free_p) char *below = iot_strf("%s %s", path, (*sub)->name);

			if (!(*sub)->hidden)
				json_array_append_new(array, cli_help_json(root, *sub, below));
		}
		json_object_set_new(object, "commands", array);
	} else {
		json_object_set_new(object, "arguments", params_json(node->args, false, false));
		json_object_set_new(object, "options", params_json(node->opts, true, true));
		json_object_set_new(object, "exitCodes", exits_json(node));
	}
	json_object_set_new(object, "examples", examples_json(root, node));
	if (node == root)
		json_object_set_new(object, "globalOptions", params_json(cli_global_rows, true, true));
	return object;
}
