/*
 * The scanner: lines on a descriptor. A number goes to the head that has waited
 * longest for one, or waits itself for the next board. "@3" aims the next one at
 * head 3. A scanner that types twice is recognised.
 */
#include "fleet/station_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { TWICE_MS = 3000, LINE_MAX_BYTES = 256, READ_BYTES = 1024 };

static bool in_work(const struct station *station, const char *serial)
{
	size_t i;
	json_t *waiting;

	for (i = 0; i < station->head_count; i++) {
		const struct head *head = &station->heads[i];

		if ((head->scanned != NULL && strcmp(head->scanned, serial) == 0) ||
		    (head_active(head) && head->serial != NULL && strcmp(head->serial, serial) == 0))
			return true;
	}
	json_array_foreach(station->scans, i, waiting)
		if (strcmp(json_string_value(waiting), serial) == 0)
			return true;
	return false;
}

static bool typed_twice(struct station *station, const char *serial)
{
	int64_t now = iot_monotonic_ms();
	bool again = station->last_scan != NULL && strcmp(station->last_scan, serial) == 0 &&
		     now - station->last_scan_at < TWICE_MS;

	free(station->last_scan);
	station->last_scan = iot_strdup(serial);
	station->last_scan_at = now;
	return again || in_work(station, serial);
}

static bool takes(const struct head *head, const char *serial)
{
	struct iot_error not_for_it = IOT_ERROR_INIT;

	return serials_check(head->recipe, serial, &not_for_it) == IOT_OK;
}

/* Which head is it for? Aimed at one; else the one that has waited longest, of those whose boards have such numbers. */
static struct head *wanting(struct station *station, const char *serial)
{
	bool starts = station->options->start == IOT_START_SCAN;
	struct head *best = NULL;

	for (size_t i = 0; i < station->head_count; i++) {
		struct head *head = &station->heads[i];
		bool wants = starts ? head->now.present && !head_active(head) : head->state == IOT_HEAD_SCAN;

		if (station->aimed != 0 ? head->number == station->aimed && (wants || !starts) : wants)
			if (head->scanned == NULL && takes(head, serial) &&
			    (best == NULL || head->waits_since < best->waits_since))
				best = head;
	}
	return best;
}

static enum iot_status give(struct station *station, const char *serial, struct iot_error *err)
{
	struct head *head = wanting(station, serial);
	bool starts = station->options->start == IOT_START_SCAN;

	if (head == NULL && (station->aimed != 0 || (starts && station_active(station) == 0))) {
		if (station->aimed != 0)
			station_notice(station, "head %d does not wait for '%s': nothing was done with it",
				       station->aimed, serial);
		else
			station_notice(station, "no head waits for '%s': nothing was done with it", serial);
		station->aimed = 0;
		free(iot_take(station->last_scan)); /* scanned again at once it is not there twice */
		return IOT_OK;
	}
	station->aimed = 0;
	if (head == NULL) {
		json_array_append_new(station->scans, json_string(serial));
		station_notice(station, "'%s' is for the next board", serial);
		return IOT_OK;
	}
	free(head->scanned);
	head->scanned = iot_strdup(serial);
	station_notice(station, "'%s' is for head %d", serial, head->number);
	if ((starts || head->state == IOT_HEAD_SCAN) && !head_active(head) && station_takes_boards(station))
		return head_start(station, head, err);
	return IOT_OK;
}

static enum iot_status take_line(struct station *station, const char *line, struct iot_error *err)
{
	struct iot_error wrong = IOT_ERROR_INIT;
	char *end = NULL;
	long number;

	if (*line == '\0')
		return IOT_OK;
	if (*line == '@') {
		number = strtol(line + 1, &end, 10);
		if (*end != '\0' || number < 1 || number > (long)station->head_count) {
			station_notice(station, "there is no head '%.40s'", line + 1);
		} else {
			station->aimed = (int)number;
			station_notice(station, "the next number is for head %d", station->aimed);
		}
		return IOT_OK;
	}
	if (station->serials != NULL || station->options->no_serials) {
		station_notice(station, "serial numbers are not scanned here: '%.60s' was ignored", line);
		return IOT_OK;
	}
	if (serials_check_any(station->recipe, line, &wrong) != IOT_OK) {
		station_notice(station, "%s%s%s", wrong.what, *wrong.hint != '\0' ? "; " : "", wrong.hint);
		return IOT_OK;
	}
	if (typed_twice(station, line)) {
		station_notice(station, "'%s' was scanned twice: once is enough", line);
		return IOT_OK;
	}
	return give(station, line, err);
}

enum iot_status scan_read(struct station *station, struct iot_error *err)
{
	char piece[READ_BYTES];
	ssize_t n = read(station->options->scan_fd, piece, sizeof(piece));
	enum iot_status status = IOT_OK;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return IOT_OK;
	station->scan_ended = n <= 0;
	for (ssize_t i = 0; status == IOT_OK && i < n; i++) {
		if (piece[i] != '\n' && piece[i] != '\r') {
			iot_buf_addc(&station->typed, piece[i]);
			continue;
		}
		if (station->typed.over)
			station_notice(station, "a line of more than %d bytes was ignored", LINE_MAX_BYTES);
		else
			status = take_line(station, iot_buf_str(&station->typed), err);
		station->typed.over = false;
		iot_buf_clear(&station->typed);
	}
	return status;
}

char *scan_take(struct station *station, struct head *head)
{
	size_t i;
	json_t *waiting;

	if (head->scanned != NULL)
		return iot_take(head->scanned);
	json_array_foreach(station->scans, i, waiting)
		if (takes(head, json_string_value(waiting))) {
			char *serial = iot_strdup(json_string_value(waiting));

			json_array_remove(station->scans, i);
			return serial;
		}
	return NULL;
}
