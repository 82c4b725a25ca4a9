/*
 * The error object. New text is formatted beside the object and copied in last,
 * so that its own old text may be an argument; what does not fit is cut at a
 * character boundary.
 */
#include "iotctl/error.h"

#include "iotctl/base.h"
#include "iotctl/text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const struct {
	enum iot_status status;
	const char *name;
	const char *text;
} statuses[] = {
	{IOT_OK, "ok", "done"},
	{IOT_FAILURE, "failure", "failure"},
	{IOT_USAGE, "usage", "usage"},
	{IOT_NOT_FOUND, "not_found", "not found"},
	{IOT_CONFLICT, "conflict", "conflict"},
	{IOT_DENIED, "denied", "not allowed"},
	{IOT_PARTIAL, "partial", "some of a batch failed"},
	{IOT_ABORTED, "aborted", "aborted by threshold"},
	{IOT_TIMEOUT, "timeout", "timed out"},
	{IOT_AGAIN, "again", "try again later (throttled, unreachable)"},
	{IOT_BOARD, "board", "board or port fault"},
	{IOT_VERIFY, "verification", "verification failed"},
	{IOT_SETTINGS, "settings", "bad settings"},
	{IOT_INTERRUPTED, "interrupted", "interrupted (journal kept)"},
};

/* Copy what fits; a character that does not fit whole is left out. */
static void copy_cut(char *to, size_t size, const char *from)
{
	size_t len = strlen(from);

	if (len >= size) {
		len = size - 1;
		while (len > 0 && ((unsigned char)from[len] & 0xc0) == 0x80)
			len--;
	}
	memmove(to, from, len);
	to[len] = '\0';
}

static void record(struct iot_error *err, enum iot_status status, const char *what)
{
	err->status = status;
	copy_cut(err->what, sizeof(err->what), what);
	err->code[0] = '\0';
	err->doing[0] = '\0';
	err->hint[0] = '\0';
}

enum iot_status(iot_fail)(struct iot_error *err, enum iot_status status, const char *fmt, ...)
{
	char what[sizeof(err->what) + 4];
	va_list args;

	if (err == NULL)
		return status;
	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	record(err, status, what);
	return status;
}

/* The system's words, in the house's style: "No such file" becomes "no such file", "RPC ..." stays. */
static void errno_text(int errnum, char *out, size_t size)
{
	const char *text = strerrordesc_np(errnum);

	if (text == NULL) {
		snprintf(out, size, "system error %d", errnum);
		return;
	}
	snprintf(out, size, "%s", text);
	if (isupper((unsigned char)out[0]) && !isupper((unsigned char)out[1]))
		out[0] = (char)tolower((unsigned char)out[0]);
}

enum iot_status(iot_fail_errno)(struct iot_error *err, enum iot_status status, int errnum, const char *fmt, ...)
{
	char what[sizeof(err->what) + 4];
	char reason[128];
	size_t room, used;
	va_list args;

	if (err == NULL)
		return status;
	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	/* The reason is the part that must not be cut. */
	errno_text(errnum, reason, sizeof(reason));
	room = sizeof(err->what) - strlen(reason) - 2;
	record(err, status, "");
	copy_cut(err->what, room, what);
	used = strlen(err->what);
	snprintf(err->what + used, sizeof(err->what) - used, ": %s", reason);
	return status;
}

void iot_error_set_code(struct iot_error *err, const char *code)
{
	if (err != NULL)
		copy_cut(err->code, sizeof(err->code), code != NULL ? code : "");
}

void iot_error_while(struct iot_error *err, const char *fmt, ...)
{
	char doing[2 * sizeof(err->doing)];
	size_t used;
	va_list args;

	if (err == NULL)
		return;
	snprintf(doing, sizeof(doing), "%s%s", err->doing, err->doing[0] != '\0' ? ", " : "");
	used = strlen(doing);
	va_start(args, fmt);
	vsnprintf(doing + used, sizeof(doing) - used, fmt, args);
	va_end(args);
	copy_cut(err->doing, sizeof(err->doing), doing);
}

void iot_error_while_at(struct iot_error *err, const char *doing, const char *subject)
{
	char quoted[sizeof(err->what)];

	snprintf(quoted, sizeof(quoted), "'%s'", subject);
	if (err != NULL && strstr(err->what, quoted) == NULL)
		iot_error_while(err, "%s '%.160s'", doing, subject);
}

void iot_error_hint(struct iot_error *err, const char *fmt, ...)
{
	char hint[sizeof(err->hint) + 4];
	va_list args;

	if (err == NULL || err->hint[0] != '\0')
		return;
	va_start(args, fmt);
	vsnprintf(hint, sizeof(hint), fmt, args);
	va_end(args);
	copy_cut(err->hint, sizeof(err->hint), hint);
}

void iot_error_clear(struct iot_error *err)
{
	if (err != NULL)
		memset(err, 0, sizeof(*err));
}

const char *iot_error_line(const struct iot_error *err, char *out, size_t out_size)
{
	char line[sizeof(err->what) + sizeof(err->doing) + sizeof(err->hint) + 16];

	if (out_size == 0)
		return out;
	out[0] = '\0';
	if (err == NULL)
		return out;
	snprintf(line, sizeof(line), "%s%s%s%s%s", err->what[0] != '\0' ? err->what : iot_status_text(err->status),
		 err->doing[0] != '\0' ? ", while " : "", err->doing, err->hint[0] != '\0' ? "; " : "", err->hint);
	iot_text_printable(line);
	copy_cut(out, out_size, line);
	return out;
}

const char *iot_status_name(enum iot_status status)
{
	for (size_t i = 0; i < IOT_LENGTH(statuses); i++) {
		if (statuses[i].status == status)
			return statuses[i].name;
	}
	return "failure";
}

const char *iot_status_text(enum iot_status status)
{
	for (size_t i = 0; i < IOT_LENGTH(statuses); i++) {
		if (statuses[i].status == status)
			return statuses[i].text;
	}
	return "failure";
}
