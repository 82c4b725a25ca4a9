/*
 * A journal for --resume: JSON lines, the first of which says what the file is.
 * One process at a time has it. A last line that a crash cut is dropped.
 */
#ifndef IOTCTL_FLEET_LINE_JOURNAL_H
#define IOTCTL_FLEET_LINE_JOURNAL_H

#include "iotctl/error.h"
#include "iotctl/json.h"

struct line_journal;

/*
 * Open or create the journal of a command ("iotctl publish"); every line that it holds goes to `each`: false if that
 * command never wrote it. IOT_CONFLICT: another process has it; IOT_USAGE: the file is no such journal.
 */
IOT_CHECK enum iot_status line_journal_open(const char *path, const char *command,
					    bool (*each)(const json_t *line, void *data), void *data,
					    struct line_journal **ret, struct iot_error *err);
const char *line_journal_path(const struct line_journal *journal);
/* Add a line: the text of a JSON object, without a newline. */
void line_journal_add(struct line_journal *journal, const char *fmt, ...) IOT_PRINTF(2, 3);
/* Hand over to the system what was added: it survives the end of this process. */
IOT_CHECK enum iot_status line_journal_flush(struct line_journal *journal, struct iot_error *err);
/* To the disk, and close. NULL: nothing to do. */
IOT_CHECK enum iot_status line_journal_close(struct line_journal *journal, struct iot_error *err);

#endif
