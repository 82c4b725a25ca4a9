/*
 * Build-time only: writes the manual pages and the completions from the command
 * tree into the two folders given. What it writes depends on the tree alone.
 */
#include "iotctl/base.h"
#include "iotctl/command.h"
#include "iotctl/fs.h"

#include <stdio.h>
#include <string.h>

#define MAX_PAGE ((size_t)4 * 1024 * 1024)

static enum iot_status write_text(const char *folder, const char *name, const struct iot_buf *text,
				  struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(folder, name);
	enum iot_status status = iot_buf_check(text, name, err);

	if (status == IOT_OK)
		status = iot_fs_write(path, 0644, iot_buf_str(text), text->len, err);
	return status;
}

static enum iot_status write_man(const char *folder, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf page = IOT_BUF_INIT(MAX_PAGE);
	IOT_CLEAN(iot_free_p) char *name = iot_strf("%s.1", cmd_root.name);
	enum iot_status status = iot_fs_mkdirs(folder, 0755, err);

	cli_man_root(&cmd_root, cmd_hooks.settings, &page);
	if (status == IOT_OK)
		status = write_text(folder, name, &page, err);
	for (const struct cli_command *const *sub = cmd_root.subcommands; *sub != NULL && status == IOT_OK; sub++) {
		IOT_CLEAN(iot_free_p) char *noun = iot_strf("%s-%s.1", cmd_root.name, (*sub)->name);

		if ((*sub)->hidden)
			continue;
		iot_buf_clear(&page);
		cli_man_noun(&cmd_root, *sub, &page);
		status = write_text(folder, noun, &page, err);
	}
	return status;
}

static enum iot_status write_completions(const char *folder, struct iot_error *err)
{
	static const struct {
		enum cli_shell shell;
		const char *name;
	} scripts[] = {{CLI_BASH, "iotctl.bash"}, {CLI_ZSH, "_iotctl"}, {CLI_FISH, "iotctl.fish"}};
	enum iot_status status = iot_fs_mkdirs(folder, 0755, err);

	for (size_t i = 0; i < IOT_LENGTH(scripts) && status == IOT_OK; i++) {
		IOT_CLEAN(iot_buf_release) struct iot_buf script = IOT_BUF_INIT(MAX_PAGE);

		cli_completion(&cmd_root, scripts[i].shell, &script);
		status = write_text(folder, scripts[i].name, &script, err);
	}
	return status;
}

/* Pages made from wrong tables would be wrong too. */
static enum iot_status check_tree(struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf faults = IOT_BUF_INIT(MAX_PAGE);
	size_t count = cli_self_check(&cmd_root, &faults);

	fputs(iot_buf_str(&faults), stderr);
	return count == 0 ? IOT_OK : iot_fail(err, IOT_FAILURE, "%zu mistakes in the command tree", count);
}

int main(int argc, char **argv)
{
	struct iot_error err = IOT_ERROR_INIT;
	char line[1100];
	enum iot_status status;

	if (argc != 3) {
		fprintf(stderr, "usage: docgen MAN-FOLDER COMPLETIONS-FOLDER\n");
		return IOT_USAGE;
	}
	status = check_tree(&err);
	if (status == IOT_OK)
		status = write_man(argv[1], &err);
	if (status == IOT_OK)
		status = write_completions(argv[2], &err);
	if (status != IOT_OK)
		fprintf(stderr, "docgen: %s\n", iot_error_line(&err, line, sizeof(line)));
	return (int)status;
}
