/*
 * Command lines, parsed through the C library's getopt_long one level of the
 * tree at a time. getopt_long would accept abbreviated long options; they are
 * refused, because scripts would freeze them for ever.
 */
#include "cli/internal.h"
#include "iotctl/base.h"
#include "iotctl/text.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define MAX_OPTIONS 128
#define FIRST_OPTION 256 /* getopt_long's value of the first long option: beyond any letter */
#define FIRST_NEGATED (FIRST_OPTION + MAX_OPTIONS)

/* getopt_long's view of the slots that are valid at one level. */
struct scan {
	struct cli_parsed *parsed;
	const struct cli_command *root;
	char letters[3 * MAX_OPTIONS + 3];
	struct option longs[2 * MAX_OPTIONS + 1];
	size_t long_count;
	char *negated[MAX_OPTIONS]; /* "no-x", owned */
};

static bool is_group(const struct cli_command *node)
{
	return node->subcommands != NULL;
}

/* ---- slots ---- */

static void add_slots(struct cli_parsed *parsed, const struct cli_param *rows, void *base, bool global)
{
	for (; rows != NULL && rows->name != NULL; rows++) {
		parsed->slots = iot_realloc(parsed->slots, (parsed->slot_count + 1) * sizeof(*parsed->slots));
		parsed->slots[parsed->slot_count++] = (struct cli_slot){.row = rows, .base = base, .global = global};
	}
}

static void add_leaf_slots(struct cli_parsed *parsed)
{
	const struct cli_command *node = parsed->node;

	parsed->args = node->args_size > 0 ? iot_alloc(node->args_size) : NULL;
	add_slots(parsed, node->opts, parsed->args, false);
	parsed->arg_first = parsed->slot_count;
	add_slots(parsed, node->args, parsed->args, false);
}

const struct cli_slot *cli_parsed_option(const struct cli_parsed *parsed, const char *name)
{
	size_t end = parsed->arg_first > 0 ? parsed->arg_first : parsed->slot_count;

	for (size_t i = 0; i < end; i++) {
		if (strcmp(parsed->slots[i].row->name, name) == 0)
			return &parsed->slots[i];
	}
	return NULL;
}

void cli_parsed_release(struct cli_parsed *parsed)
{
	for (size_t i = 0; i < parsed->slot_count; i++)
		free(parsed->slots[i].items);
	free(parsed->slots);
	free(parsed->args);
	*parsed = (struct cli_parsed){0};
}

/* ---- getopt_long's tables ---- */

static bool letter_taken(const struct scan *scan, char letter)
{
	return strchr(scan->letters + 2, letter) != NULL;
}

static void add_long(struct scan *scan, const char *name, bool value, int id)
{
	scan->longs[scan->long_count++] = (struct option){name, value ? required_argument : no_argument, NULL, id};
}

static void add_option(struct scan *scan, size_t index)
{
	const struct cli_param *row = scan->parsed->slots[index].row;
	bool value = cli_takes_value(row);

	add_long(scan, row->name, value, FIRST_OPTION + (int)index);
	if (row->type == CLI_FLAG && !iot_starts_with(row->name, "no-")) {
		scan->negated[index] = iot_strf("no-%s", row->name);
		add_long(scan, scan->negated[index], false, FIRST_NEGATED + (int)index);
	}
	if (row->letter != 0 && !letter_taken(scan, row->letter)) {
		size_t used = strlen(scan->letters);

		snprintf(scan->letters + used, sizeof(scan->letters) - used, "%c%s", row->letter, value ? ":" : "");
	}
}

/* A command's own options come first, so that one may knowingly take a global letter. */
static void scan_init(struct scan *scan, struct cli_parsed *parsed, const struct cli_command *root)
{
	size_t end = parsed->arg_first > 0 ? parsed->arg_first : parsed->slot_count;

	*scan = (struct scan){.parsed = parsed, .root = root};
	/* A group stops at its verb; a command takes options between its arguments, whatever POSIXLY_CORRECT says. */
	snprintf(scan->letters, sizeof(scan->letters), "%c:", is_group(parsed->node) ? '+' : '-');
	if (end > MAX_OPTIONS)
		abort(); /* the tables are constant: a test would have seen it */
	for (size_t i = parsed->global_count; i < end; i++)
		add_option(scan, i);
	for (size_t i = 0; i < parsed->global_count; i++) {
		if (cli_global_applies(parsed->slots[i].row, parsed->node == root))
			add_option(scan, i);
	}
}

static void scan_release(struct scan *scan)
{
	for (size_t i = 0; i < MAX_OPTIONS; i++)
		free(scan->negated[i]);
}

/* ---- faults ---- */

static enum iot_status unknown_long(const struct scan *scan, const char *word, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *name = iot_strndup(word + 2, strcspn(word + 2, "="));
	const char *names[2 * MAX_OPTIONS];
	const char *near;

	for (size_t i = 0; i < scan->long_count; i++)
		names[i] = scan->longs[i].name;
	near = cli_nearest(name, names, scan->long_count);
	iot_fail(err, IOT_USAGE, "unknown option '--%s'", name);
	if (near != NULL)
		iot_error_hint(err, "did you mean '--%s'?", near);
	return IOT_USAGE;
}

static bool known_long(const struct scan *scan, const char *word)
{
	size_t length = strcspn(word + 2, "=");

	for (size_t i = 0; i < scan->long_count; i++) {
		if (strlen(scan->longs[i].name) == length && strncmp(scan->longs[i].name, word + 2, length) == 0)
			return true;
	}
	return false;
}

/* The slot of what getopt_long returned: a long option's id or a letter. */
static struct cli_slot *slot_of(const struct scan *scan, int id)
{
	struct cli_parsed *parsed = scan->parsed;
	size_t end = parsed->arg_first > 0 ? parsed->arg_first : parsed->slot_count;

	if (id >= FIRST_NEGATED)
		return &parsed->slots[id - FIRST_NEGATED];
	if (id >= FIRST_OPTION)
		return &parsed->slots[id - FIRST_OPTION];
	for (size_t i = parsed->global_count; i < end; i++) {
		if (parsed->slots[i].row->letter == id)
			return &parsed->slots[i];
	}
	for (size_t i = 0; i < parsed->global_count; i++) {
		if (parsed->slots[i].row->letter == id)
			return &parsed->slots[i];
	}
	return NULL;
}

static void name_option(const struct scan *scan, int id, char *out, size_t size)
{
	if (id >= FIRST_NEGATED)
		snprintf(out, size, "--no-%s", slot_of(scan, id)->row->name);
	else if (id >= FIRST_OPTION)
		snprintf(out, size, "--%s", slot_of(scan, id)->row->name);
	else
		snprintf(out, size, "-%c", id);
}

static enum iot_status refuse(const struct scan *scan, int got, struct iot_error *err)
{
	char name[80];

	name_option(scan, optopt, name, sizeof(name));
	if (got == ':')
		return iot_fail(err, IOT_USAGE, "option '%s' needs a value", name);
	if (optopt >= FIRST_OPTION)
		return iot_fail(err, IOT_USAGE, "option '%s' takes no value", name);
	return iot_fail(err, IOT_USAGE, "unknown option '%s'", name);
}

/* ---- one level ---- */

static enum iot_status take_option(const struct scan *scan, int got, struct iot_error *err)
{
	struct cli_slot *slot = slot_of(scan, got);
	char name[80], from[100];

	if (slot == NULL)
		abort();
	name_option(scan, got, name, sizeof(name));
	snprintf(from, sizeof(from), "option '%s'", name);
	if (cli_takes_value(slot->row))
		return cli_assign(slot, optarg, from, err);
	return cli_assign(slot, got >= FIRST_NEGATED ? "false" : "true", from, err);
}

/*
 * Options of one level. `words` (words[0] is skipped) is scanned up to the verb
 * of a group, or through to the end for a command, whose arguments are collected.
 * *ret_used: how many words were used.
 */
static enum iot_status scan_level(struct scan *scan, int argc, char **words, const char **arguments, size_t *count,
				  int *ret_used, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	optind = 0;
	opterr = 0;
	while (status == IOT_OK) {
		const char *word = words[optind > 0 ? optind : 1];
		int got;

		/* Before getopt_long sees it: it would complete an abbreviation. */
		if (word != NULL && iot_starts_with(word, "--") && word[2] != '\0' && !known_long(scan, word))
			return unknown_long(scan, word, err);
		got = getopt_long(argc, words, scan->letters, scan->longs, NULL);
		if (got == -1)
			break;
		if (got == 1)
			arguments[(*count)++] = optarg;
		else if (got == '?' || got == ':')
			status = refuse(scan, got, err);
		else
			status = take_option(scan, got, err);
	}
	*ret_used = optind;
	if (status == IOT_OK && !is_group(scan->parsed->node)) {
		for (; optind < argc; optind++)
			arguments[(*count)++] = words[optind];
	}
	return status;
}

static enum iot_status take_arguments(struct cli_parsed *parsed, const char *const *arguments, size_t count,
				      struct iot_error *err)
{
	size_t at = parsed->arg_first;

	for (size_t i = 0; i < count; i++) {
		struct cli_slot *slot;
		char from[100];
		enum iot_status status;

		if (at >= parsed->slot_count)
			return iot_fail(err, IOT_USAGE, "unexpected argument '%s'", arguments[i]);
		slot = &parsed->slots[at];
		snprintf(from, sizeof(from), "argument %s", slot->row->name);
		status = cli_assign(slot, arguments[i], from, err);
		if (status != IOT_OK)
			return status;
		if (slot->row->type != CLI_LIST)
			at++;
	}
	return IOT_OK;
}

/* ---- the tree ---- */

/* The only group that has a command of this name ("claim" is 'device claim'); NULL: none, or several. */
static const struct cli_command *group_with(const struct cli_command *node, const char *word)
{
	const struct cli_command *found = NULL;

	for (const struct cli_command *const *group = node->subcommands; group != NULL && *group != NULL; group++) {
		const struct cli_command *const *sub = (*group)->hidden ? NULL : (*group)->subcommands;

		for (; sub != NULL && *sub != NULL; sub++) {
			if ((*sub)->hidden || strcmp((*sub)->name, word) != 0)
				continue;
			if (found != NULL)
				return NULL;
			found = *group;
		}
	}
	return found;
}

static enum iot_status descend(struct cli_parsed *parsed, const char *word, struct iot_error *err)
{
	const struct cli_command *const *subs = parsed->node->subcommands;
	size_t used = strlen(parsed->path);
	const char *names[MAX_OPTIONS];
	const struct cli_command *group;
	const char *near;
	size_t count = 0;

	for (; subs != NULL && *subs != NULL; subs++) {
		if (strcmp((*subs)->name, word) == 0) {
			snprintf(parsed->path + used, sizeof(parsed->path) - used, " %s", word);
			parsed->node = *subs;
			return IOT_OK;
		}
		if (!(*subs)->hidden && count < IOT_LENGTH(names))
			names[count++] = (*subs)->name;
	}
	parsed->lost = true;
	iot_fail(err, IOT_USAGE, "unknown command '%s %s'", parsed->path, word);
	near = cli_nearest(word, names, count);
	group = group_with(parsed->node, word);
	if (group != NULL)
		iot_error_hint(err, "did you mean '%s %s %s'?", parsed->path, group->name, word);
	else if (near != NULL)
		iot_error_hint(err, "did you mean '%s'?", near);
	return IOT_USAGE;
}

static enum iot_status parse_levels(const struct cli_command *root, struct cli_parsed *parsed, int argc, char **words,
				    const char **arguments, size_t *count, struct iot_error *err)
{
	enum iot_status status = IOT_OK;
	int used = 0;

	for (;;) {
		struct scan scan;
		bool group = is_group(parsed->node);

		if (!group)
			add_leaf_slots(parsed);
		scan_init(&scan, parsed, root);
		status = scan_level(&scan, argc, words, arguments, count, &used, err);
		scan_release(&scan);
		if (status != IOT_OK || !group || used >= argc)
			return status;
		if (parsed->node == root && strcmp(words[used], "help") == 0) {
			parsed->globals.help = true; /* `help device show` is `device show --help` */
		} else {
			status = descend(parsed, words[used], err);
			if (status != IOT_OK)
				return status;
		}
		/* The verb takes the place of the program's name. */
		words += used;
		argc -= used;
	}
}

enum iot_status cli_parse(const struct cli_command *root, int argc, char *const *words, struct cli_parsed *ret,
			  struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char **copy = iot_alloc_array((size_t)argc + 1, sizeof(*copy));
	IOT_CLEAN(iot_free_p) const char **arguments = iot_alloc_array((size_t)argc + 1, sizeof(*arguments));
	size_t count = 0;
	enum iot_status status;

	*ret = (struct cli_parsed){.node = root};
	snprintf(ret->path, sizeof(ret->path), "%s", root->name);
	add_slots(ret, cli_global_rows, &ret->globals, true);
	ret->global_count = ret->slot_count;
	for (int i = 0; i < argc; i++)
		copy[i] = words[i];
	status = parse_levels(root, ret, argc, copy, arguments, &count, err);
	/* Whoever asks for help gets it, whatever else is on the line. */
	if ((ret->globals.help || ret->globals.version) && !ret->lost)
		return IOT_OK;
	if (status == IOT_OK)
		status = take_arguments(ret, arguments, count, err);
	if (status == IOT_OK)
		status = cli_default_values(ret, err);
	return status;
}

enum iot_status cli_parse_check(const struct cli_command *root, int argc, char *const *argv, struct iot_error *err)
{
	struct cli_parsed parsed;
	enum iot_status status;
	IOT_CLEAN(iot_free_p) char **words = iot_alloc_array((size_t)argc + 2, sizeof(*words));

	words[0] = iot_strdup(root->name);
	for (int i = 0; i < argc; i++)
		words[i + 1] = argv[i];
	status = cli_parse(root, argc + 1, words, &parsed, err);
	if (status == IOT_OK && parsed.node->run == NULL && !parsed.globals.help)
		status = iot_fail(err, IOT_USAGE, "'%s' needs a command", parsed.path);
	cli_parsed_release(&parsed);
	free(words[0]);
	return status;
}
