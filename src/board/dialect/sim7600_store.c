/*
 * The SIM7600's files. They can be written, listed and deleted, but not read, so
 * a name says what its file is. A file that was not written whole looks like any
 * other in the list: only what TLS was told to use afterwards counts as whole.
 */
#include "board/dialect/sim7600_private.h"

#include "iotctl/base.h"
#include "iotctl/digest.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>

#define SUFFIX ".pem"
enum { DIGEST_SHOWN = 16, CONTEXT = 0, FIRST_NAME_FIELD = 5 };

/* --- names ------------------------------------------------------------------------------ */

void s7_name_of(const char *prefix, const char *text, char out[S7_NAME_MAX + 1])
{
	char digest[IOT_SHA256_HEX_SIZE];

	iot_sha256_hex(text, strlen(text), digest);
	snprintf(out, S7_NAME_MAX + 1, "%s%.*s" SUFFIX, prefix, DIGEST_SHOWN, digest);
}

bool s7_holds(const struct s7_files *files, const char *name)
{
	for (size_t i = 0; i < files->count; i++)
		if (strcmp(files->names[i], name) == 0)
			return true;
	return false;
}

void s7_value(const struct s7_files *files, const char *prefix, char *out, size_t size)
{
	*out = '\0';
	for (size_t i = 0; i < files->count; i++) {
		struct iot_buf value = IOT_BUF_INIT(size - 1);
		const char *name = files->names[i];
		size_t len = strlen(name), begin = strlen(prefix), end = strlen(SUFFIX);
		bool good = iot_starts_with(name, prefix) && iot_ends_with(name, SUFFIX) && len > begin + end &&
			    iot_percent_decode(name + begin, len - begin - end, &value) && !value.over;

		if (good)
			snprintf(out, size, "%s", iot_buf_str(&value));
		iot_buf_release(&value);
		if (good)
			return;
	}
}

/* --- listing ------------------------------------------------------------------------------ */

enum iot_status s7_list(struct s7 *s7, struct s7_files *ret, struct iot_error *err)
{
	struct iot_buf lines = IOT_BUF_INIT(IOT_SERIAL_LINE_MAX);
	enum iot_status status = s7_steady(s7, "AT+CCERTLIST", "list its files", &lines, err);

	s7_files_parse(iot_buf_str(&lines), ret);
	iot_buf_release(&lines);
	return status;
}

enum iot_status s7_used(struct s7 *s7, struct s7_used *ret, struct iot_error *err)
{
	struct iot_buf lines = IOT_BUF_INIT(IOT_SERIAL_LINE_MAX);
	enum iot_status status = s7_steady(s7, "AT+CSSLCFG?", "tell what TLS uses", &lines, err);
	const char *line;
	size_t len = 0;

	memset(ret, 0, sizeof(*ret));
	line = s7_line(iot_buf_str(&lines), "+CSSLCFG: 0,", &len);
	for (size_t role = 0; status == IOT_OK && line != NULL && role < S7_ROLES; role++)
		if (!s7_field(line, len, FIRST_NAME_FIELD + role, ret->names[role], sizeof(ret->names[role])))
			ret->names[role][0] = '\0';
	iot_buf_release(&lines);
	return status;
}

enum iot_status s7_use(struct s7 *s7, const char *role, const char *name, struct iot_error *err)
{
	struct iot_at_answer answer = IOT_AT_ANSWER_INIT;
	enum iot_status status = s7_call(
		s7,
		IOT_AT_TEXTS({"AT+CSSLCFG=\"", false}, {role, false}, {"\",0,\"", false}, {name, false}, {"\"", false}),
		"use a file for TLS", &answer, err);

	iot_at_answer_release(&answer);
	return status;
}

/* --- writing -------------------------------------------------------------------------------- */

enum iot_status s7_delete(struct s7 *s7, const char *name, struct iot_error *err)
{
	struct iot_at_answer answer = IOT_AT_ANSWER_INIT;
	enum iot_status status = s7_call(s7, IOT_AT_TEXTS({"AT+CCERTDELE=\"", false}, {name, false}, {"\"", false}),
					 "delete a file", &answer, err);

	iot_at_answer_release(&answer);
	return status;
}

enum iot_status s7_delete_others(struct s7 *s7, const char *prefix, const char *but, struct iot_error *err)
{
	struct s7_files files;
	enum iot_status status = s7_list(s7, &files, err);

	for (size_t i = 0; status == IOT_OK && i < files.count; i++)
		if (iot_starts_with(files.names[i], prefix) && (but == NULL || strcmp(files.names[i], but) != 0))
			status = s7_delete(s7, files.names[i], err);
	return status;
}

static enum iot_status send_file(struct s7 *s7, const char *name, const char *text, bool secret, bool *ret_ok,
				 struct iot_error *err)
{
	struct iot_at_answer answer = IOT_AT_ANSWER_INIT;
	const struct iot_serial_part data = {text, strlen(text), secret};
	IOT_CLEAN(iot_free_p) char *len = iot_strf("\",%zu", data.len);
	const struct iot_at_call call = {.texts = IOT_AT_TEXTS({"AT+CCERTDOWN=\"", false}, {name, false}, {len, false}),
					 .timeout_ms = s7->answer_ms,
					 .once = true};
	enum iot_status status = iot_at_data(&s7->at, &call, &data, &answer, err);

	*ret_ok = status == IOT_OK && answer.ok;
	iot_at_answer_release(&answer);
	return status;
}

/* One of this name is not overwritten by all firmware. */
static enum iot_status write_once(struct s7 *s7, const char *name, const char *text, bool secret, bool *ret_written,
				  struct iot_error *err)
{
	struct s7_files files;
	enum iot_status status = s7_list(s7, &files, err);
	bool ok = false;

	*ret_written = false;
	if (status == IOT_OK && s7_holds(&files, name))
		status = s7_delete(s7, name, err);
	if (status == IOT_OK)
		status = send_file(s7, name, text, secret, &ok, err);
	if (status == IOT_OK && ok) {
		status = s7_list(s7, &files, err);
		*ret_written = status == IOT_OK && s7_holds(&files, name);
	}
	return status;
}

/*
 * When a byte of it was lost the module waits for more, and what is said to get it back into step fills the rest: the
 * file is there, and useless. So one that got no answer is always written again.
 */
enum iot_status s7_write(struct s7 *s7, const char *name, const char *text, bool secret, struct iot_error *err)
{
	struct iot_error failed = IOT_ERROR_INIT;
	enum iot_status status = IOT_OK;
	bool written = false;

	for (int tries = 0; tries < S7_TRIES && !written; tries++) {
		iot_error_clear(&failed);
		status = write_once(s7, name, text, secret, &written, &failed);
		if (status != IOT_OK && status != IOT_BOARD)
			break;
	}
	if (status == IOT_OK && !written) {
		iot_fail(&failed, IOT_BOARD, "the module refused to store '%s'", name);
		iot_error_hint(&failed, "its file system may be full: delete files with AT+CCERTDELE");
		status = IOT_BOARD;
	}
	if (status != IOT_OK && err != NULL)
		*err = failed;
	return status;
}

/* A value is told by its file's name. The contents are the same in the form of a certificate, which every firmware
 * takes. */
enum iot_status s7_set_value(struct s7 *s7, const char *prefix, const char *value, struct iot_error *err)
{
	struct iot_buf text = IOT_BUF_INIT(1024), name = IOT_BUF_INIT(S7_NAME_MAX);
	enum iot_status status = IOT_OK;

	iot_buf_adds(&name, prefix);
	iot_percent_encode(value, strlen(value), &name);
	iot_buf_adds(&name, SUFFIX);
	iot_buf_adds(&text, "-----BEGIN IOTCTL-----\n");
	iot_base64(value, strlen(value), &text);
	iot_buf_adds(&text, "\n-----END IOTCTL-----\n");
	if (name.over || text.over) {
		status = iot_fail(err, IOT_USAGE,
				  "'%.120s' is too long for the module: a name of a file has %d characters", value,
				  S7_NAME_MAX);
		iot_error_hint(err, "%zu of them are ours", strlen(prefix) + strlen(SUFFIX));
	}
	if (status == IOT_OK)
		status = s7_write(s7, iot_buf_str(&name), iot_buf_str(&text), false, err);
	if (status == IOT_OK)
		status = s7_delete_others(s7, prefix, iot_buf_str(&name), err);
	iot_buf_release(&text);
	iot_buf_release(&name);
	return status;
}
