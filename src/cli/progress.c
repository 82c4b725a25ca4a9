/* Progress of long work, in the shape that fits where stderr goes. */
#include "iotctl/progress.h"

#include "cli/internal.h"
#include "cli/output_private.h"
#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/json.h"
#include "iotctl/text.h"

#include <string.h>

#define BAR_EVERY_MS 100
#define LINE_EVERY_MS 10000
#define JSON_EVERY_MS 1000
#define BAR_CELLS 20
#define MAX_COLUMNS 200

const char *const progress_mode_names[] = {"auto", "bar", "plain", "json", "none", NULL};

struct progress {
	FILE *stream;
	enum progress_mode mode;
	bool active;
	bool drawn; /* the bar is on the line where the cursor is */
	char *what;
	char *note;
	int64_t total, done;
	enum progress_unit unit;
	int64_t started, last;
};

struct progress *progress_new(FILE *stream, enum progress_mode mode)
{
	struct progress *progress = iot_alloc(sizeof(*progress));

	progress->stream = stream;
	progress->mode = mode;
	if (mode == PROGRESS_AUTO)
		progress->mode = cli_is_screen(fileno(stream)) ? PROGRESS_BAR : PROGRESS_PLAIN;
	return progress;
}

void progress_free(struct progress *progress)
{
	if (progress == NULL)
		return;
	progress_end(progress, false);
	free(progress);
}

/* ---- one state as text ---- */

static void add_amount(const struct progress *progress, int64_t amount, struct iot_buf *out)
{
	char size[32];

	if (progress->unit == PROGRESS_BYTES)
		iot_buf_adds(out, iot_human_size(amount, size, sizeof(size)));
	else
		iot_buf_addf(out, "%lld", (long long)amount);
}

static int percent(const struct progress *progress)
{
	double part = progress->total > 0 ? (double)progress->done / (double)progress->total : 0;

	return part >= 1 ? 100 : (int)(part * 100);
}

static void add_state(const struct progress *progress, struct iot_buf *out)
{
	size_t before = out->len;

	if (progress->total > 0) {
		iot_buf_addf(out, "%d%% (", percent(progress));
		add_amount(progress, progress->done, out);
		iot_buf_adds(out, " of ");
		add_amount(progress, progress->total, out);
		iot_buf_addc(out, ')');
	} else if (progress->unit != PROGRESS_STEPS) {
		add_amount(progress, progress->done, out);
	}
	if (progress->note != NULL) {
		iot_buf_adds(out, out->len > before ? ", " : "");
		output_escape(out, progress->note, strlen(progress->note));
	}
}

static size_t screen_columns(const struct progress *progress)
{
	size_t columns = cli_screen_columns(fileno(progress->stream));

	if (columns < 20)
		return CLI_WIDTH;
	return columns < MAX_COLUMNS ? columns : MAX_COLUMNS;
}

static void draw_bar(struct progress *progress)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(4096);
	size_t length, columns = screen_columns(progress) - 1;

	iot_buf_addf(&text, progress->total > 0 ? "%s " : "%s: ", progress->what);
	if (progress->total > 0) {
		int full = percent(progress) * BAR_CELLS / 100;

		iot_buf_addc(&text, '[');
		for (int i = 0; i < BAR_CELLS; i++)
			iot_buf_addc(&text, i < full ? '#' : ' ');
		iot_buf_adds(&text, "] ");
	}
	add_state(progress, &text);
	/* A line that wraps could not be taken back; a cut character would be half of one. */
	length = text.len < columns ? text.len : columns;
	while (length > 0 && length < text.len && ((unsigned char)text.data[length] & 0xC0) == 0x80)
		length--;
	fprintf(progress->stream, "\r%.*s\033[K", (int)length, iot_buf_str(&text));
	fflush(progress->stream);
	progress->drawn = true;
}

static void print_line(const struct progress *progress, const char *state)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(4096);

	add_state(progress, &text);
	fprintf(progress->stream, "iotctl: %s: %s%s\n", progress->what, iot_buf_str(&text), state);
	fflush(progress->stream);
}

static void print_json(const struct progress *progress, const char *event)
{
	static const char *const units[] = {
		[PROGRESS_COUNT] = "count", [PROGRESS_BYTES] = "bytes", [PROGRESS_STEPS] = "steps"};
	IOT_JSON object = json_object();
	IOT_CLEAN(iot_free_p) char *text = NULL;

	json_object_set_new(object, "event", json_string(event));
	json_object_set_new(object, "what", json_string(progress->what));
	if (progress->unit != PROGRESS_STEPS)
		iot_json_set_int(object, "done", progress->done);
	if (progress->total > 0)
		iot_json_set_int(object, "total", progress->total);
	json_object_set_new(object, "unit", json_string(units[progress->unit]));
	iot_json_set_str(object, "note", progress->note);
	iot_json_set_int(object, "elapsedMs", iot_monotonic_ms() - progress->started);
	text = iot_json_text(object);
	fprintf(progress->stream, "%s\n", text);
	fflush(progress->stream);
}

static void show(struct progress *progress, const char *event, const char *state)
{
	progress->last = iot_monotonic_ms();
	switch (progress->mode) {
	case PROGRESS_BAR:
		draw_bar(progress);
		break;
	case PROGRESS_PLAIN:
		print_line(progress, state);
		break;
	case PROGRESS_JSON:
		print_json(progress, event);
		break;
	default:
		break;
	}
}

/* ---- the work ---- */

void progress_begin(struct progress *progress, const char *what, int64_t total, enum progress_unit unit)
{
	struct iot_buf name = IOT_BUF_INIT(1024);

	if (progress == NULL)
		return;
	progress_end(progress, false);
	output_escape(&name, what, strlen(what));
	progress->what = iot_buf_detach(&name);
	progress->total = total;
	progress->done = 0;
	progress->unit = unit;
	progress->active = true;
	progress->started = iot_monotonic_ms();
	/* Short work is over before a line about it is worth reading. */
	progress->last = progress->started;
	if (progress->mode == PROGRESS_BAR || progress->mode == PROGRESS_JSON)
		show(progress, "begin", "");
}

void progress_set_total(struct progress *progress, int64_t total)
{
	if (progress == NULL || !progress->active)
		return;
	if (progress->unit == PROGRESS_STEPS) {
		if (total <= 1)
			return; /* one thing: where it stands says more than "0 of 1" */
		progress->unit = PROGRESS_COUNT;
	}
	progress->total = total;
}

static bool is_due(const struct progress *progress)
{
	static const int64_t every[] = {
		[PROGRESS_BAR] = BAR_EVERY_MS, [PROGRESS_PLAIN] = LINE_EVERY_MS, [PROGRESS_JSON] = JSON_EVERY_MS};

	return progress->mode != PROGRESS_NONE && iot_monotonic_ms() - progress->last >= every[progress->mode];
}

void progress_update(struct progress *progress, int64_t done, const char *note)
{
	if (progress == NULL || !progress->active)
		return;
	progress->done = done;
	if (note == NULL || progress->note == NULL || strcmp(note, progress->note) != 0) {
		free(progress->note);
		progress->note = iot_strdup(note);
	}
	if (is_due(progress))
		show(progress, "progress", "");
}

void progress_end(struct progress *progress, bool ok)
{
	bool spoken;

	if (progress == NULL || !progress->active)
		return;
	spoken = progress->mode != PROGRESS_PLAIN || progress->last > progress->started;
	if (progress->mode == PROGRESS_BAR && progress->unit == PROGRESS_STEPS)
		progress_hide(progress); /* of steps that are done nothing is worth keeping */
	else if (spoken)
		show(progress, ok ? "end" : "stopped", ok ? ", done" : ", stopped");
	if (progress->drawn)
		fputc('\n', progress->stream);
	progress->drawn = false;
	progress->active = false;
	free(progress->what);
	free(progress->note);
	progress->what = NULL;
	progress->note = NULL;
}

void progress_hide(struct progress *progress)
{
	if (progress == NULL || !progress->drawn)
		return;
	fputs("\r\033[K", progress->stream);
	fflush(progress->stream);
	progress->drawn = false;
}
