/*
 * The record of a shift as a file that only grows: JSON lines, each with its
 * number and the SHA-256 of the line before, each on the disk before the caller
 * goes on. The line that closes it is signed.
 */
#include "fleet/station_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/key.h"
#include "iotctl/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* --- writing ---------------------------------------------------------------------------- */

static enum iot_status put(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno != EINTR)
			return IOT_FAILURE;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return IOT_OK;
}

static enum iot_status write_line(struct chain *chain, const struct iot_buf *line, struct iot_error *err)
{
	enum iot_status status = iot_buf_check(line, chain->path, err);
	int errnum;

	if (status != IOT_OK)
		return status;
	if (put(chain->fd, line->data, line->len) == IOT_OK && fdatasync(chain->fd) == 0) {
		chain->end += (off_t)line->len;
		chain->seq++;
		iot_sha256_hex(line->data, line->len - 1, chain->last);
		return IOT_OK;
	}
	/* Half a line must not stay; where it cannot be taken back either, the next start cuts it off. */
	errnum = errno;
	chain->broken = true;
	if (ftruncate(chain->fd, chain->end) == 0)
		(void)!fsync(chain->fd);
	iot_fail_errno(err, IOT_FAILURE, errnum, "cannot write record '%s'", chain->path);
	if (errnum == ENOSPC || errnum == EDQUOT || errnum == EFBIG)
		iot_error_hint(err, "make room and start the station again: it goes on where it was");
	return IOT_FAILURE;
}

/* The members every record begins with, then those of `record`. */
static json_t *make_record(const struct chain *chain, const char *kind, json_t *record)
{
	json_t *whole = json_object();
	char at[32];

	iot_json_set_int(whole, "seq", chain->seq + 1);
	iot_json_set_str(whole, "prev", chain->last);
	iot_json_set_str(whole, "at", iot_time_rfc3339(iot_now_ms(), at));
	iot_json_set_str(whole, "kind", kind);
	json_object_update(whole, record);
	return whole;
}

static enum iot_status check_usable(const struct chain *chain, struct iot_error *err)
{
	return chain->broken ? iot_fail(err, IOT_FAILURE, "record '%s' could not be written before", chain->path)
			     : IOT_OK;
}

enum iot_status chain_add(struct chain *chain, const char *kind, json_t *record, struct iot_error *err)
{
	IOT_JSON members = record;
	IOT_JSON whole = make_record(chain, kind, record);
	IOT_CLEAN(iot_free_p) char *text = iot_json_text(whole);
	IOT_CLEAN(iot_buf_release) struct iot_buf line = IOT_BUF_INIT(CHAIN_LINE_MAX);
	enum iot_status status = check_usable(chain, err);

	if (status != IOT_OK)
		return status;
	iot_buf_adds(&line, text);
	iot_buf_addc(&line, '\n');
	return write_line(chain, &line, err);
}

enum iot_status chain_close(struct chain *chain, const struct iot_key *key, json_t *record, struct iot_error *err)
{
	IOT_JSON members = record;
	IOT_JSON whole = make_record(chain, "close", record);
	IOT_CLEAN(iot_free_p) char *text = NULL;
	IOT_CLEAN(iot_buf_release) struct iot_buf signature = IOT_BUF_INIT(1024);
	IOT_CLEAN(iot_buf_release) struct iot_buf line = IOT_BUF_INIT(CHAIN_LINE_MAX);
	char key_id[IOT_SHA256_HEX_SIZE];
	enum iot_status status = check_usable(chain, err);

	iot_json_set_str(whole, "keyId", iot_key_id(key, key_id));
	text = iot_json_text(whole);
	/* Signed is the line as it would be without its last member: no canonical form is needed to check it. */
	if (status == IOT_OK)
		status = iot_key_sign(key, IOT_SIG_ECDSA_SHA256, text, strlen(text), &signature, err);
	if (status != IOT_OK)
		return status;
	iot_buf_add(&line, text, strlen(text) - 1);
	iot_buf_adds(&line, ",\"signature\":\"");
	iot_base64(signature.data, signature.len, &line);
	iot_buf_adds(&line, "\"}\n");
	return write_line(chain, &line, err);
}

/* --- opening ------------------------------------------------------------------------------- */

static enum iot_status sync_folder(const char *path, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *folder = iot_strdup(path);
	char *slash = strrchr(folder, '/');
	IOT_CLEAN(iot_close_p) int fd = -1;

	if (slash != NULL)
		*slash = '\0';
	fd = open(slash != NULL ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot write folder '%s'", folder);
	return IOT_OK;
}

static enum iot_status open_file(const char *path, int flags, struct chain *ret, struct iot_error *err)
{
	*ret = (struct chain)CHAIN_INIT;
	ret->fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
	if (ret->fd < 0)
		return iot_fail_errno(err, errno == EEXIST ? IOT_CONFLICT : IOT_FAILURE, errno,
				      "cannot open record '%s'", path);
	ret->path = iot_strdup(path);
	return IOT_OK;
}

enum iot_status chain_create(const char *path, const char *previous, struct chain *ret, struct iot_error *err)
{
	enum iot_status status = open_file(path, O_CREAT | O_EXCL, ret, err);

	if (status != IOT_OK)
		return status;
	memcpy(ret->last, previous, sizeof(ret->last));
	return sync_folder(path, err);
}

enum iot_status chain_resume(const char *path, void (*each)(const json_t *record, void *data), void *data,
			     struct chain *ret, size_t *ret_torn, struct iot_error *err)
{
	IOT_CLEAN(chain_facts_release) struct chain_facts facts = {0};
	enum iot_status status = open_file(path, 0, ret, err);

	if (status == IOT_OK)
		status = chain_check(path, each, data, &facts, err);
	if (status != IOT_OK)
		return status;
	if (facts.torn > 0 && (ftruncate(ret->fd, (off_t)facts.whole) != 0 || fsync(ret->fd) != 0))
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot write record '%s'", path);
	ret->seq = facts.lines;
	ret->end = (off_t)facts.whole;
	memcpy(ret->last, facts.last, sizeof(ret->last));
	*ret_torn = facts.torn;
	return IOT_OK;
}

void chain_release(struct chain *chain)
{
	iot_close_p(&chain->fd);
	free(chain->path);
	*chain = (struct chain)CHAIN_INIT;
}
