/*
 * The journal of acknowledged messages: JSON lines, the first of which says what
 * the file is, each other one a message's number, its topic and a digest, by
 * which a call with other input is noticed. A last line that a crash cut is
 * dropped: that message is sent again.
 */
#include "fleet/messaging_private.h"

#include "iotctl/base.h"
#include "iotctl/digest.h"
#include "iotctl/json.h"
#include "iotctl/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD "{\"journal\":\"iotctl publish\",\"version\":1}\n"
enum { NUMBER_MAX = 50000000, LINE_BYTES = 4096, OUT_MAX = 64 * 1024 * 1024 };

struct receipts {
	int fd;
	char *path;
	uint64_t *digests; /* by number - 1; 0: not acknowledged */
	int64_t count;
	struct iot_buf out;
};

static uint64_t digest_of(const struct message *message, const void *payload)
{
	const char settings[] = {(char)('0' + message->qos), message->retain ? 'r' : '-'};
	struct iot_sha256_ctx *ctx = iot_sha256_new();
	uint8_t sum[IOT_SHA256_SIZE];
	uint64_t digest = 0;

	iot_sha256_add(ctx, message->topic, strlen(message->topic) + 1);
	iot_sha256_add(ctx, settings, sizeof(settings));
	iot_sha256_add(ctx, payload, message->len);
	iot_sha256_end(ctx, sum);
	iot_sha256_free(ctx);
	for (int i = 0; i < 8; i++)
		digest = digest << 8 | sum[i];
	return digest != 0 ? digest : 1;
}

static void note(struct receipts *journal, int64_t number, uint64_t digest)
{
	if (number > journal->count) {
		int64_t count = number < 1024 ? 1024 : number * 2;

		journal->digests = iot_realloc(journal->digests, (size_t)count * sizeof(*journal->digests));
		memset(journal->digests + journal->count, 0,
		       (size_t)(count - journal->count) * sizeof(*journal->digests));
		journal->count = count;
	}
	journal->digests[number - 1] = digest;
}

static enum iot_status no_journal(const char *path, struct iot_error *err)
{
	iot_fail(err, IOT_USAGE, "'%s' is not a journal of 'iotctl publish'", path);
	iot_error_hint(err, "name a file that does not exist yet");
	return IOT_USAGE;
}

static enum iot_status load_line(struct receipts *journal, const char *line, size_t len, struct iot_error *err)
{
	struct iot_error ignored = IOT_ERROR_INIT;
	IOT_JSON record = NULL;
	const char *text;
	uint64_t digest;
	int64_t number;
	char *end;

	if (iot_json_parse(line, len, journal->path, &record, &ignored) != IOT_OK)
		return no_journal(journal->path, err);
	number = iot_json_int(record, "number", 0);
	text = iot_json_str(record, "digest", "");
	digest = strtoull(text, &end, 16);
	if (number < 1 || number > NUMBER_MAX || strlen(text) != 16 || *end != '\0' || digest == 0)
		return no_journal(journal->path, err);
	note(journal, number, digest);
	return IOT_OK;
}

static enum iot_status load(struct receipts *journal, FILE *file, off_t *ret_end, struct iot_error *err)
{
	char line[LINE_BYTES];
	enum iot_status status = IOT_OK;

	*ret_end = 0;
	while (status == IOT_OK && fgets(line, sizeof(line), file) != NULL) {
		size_t len = strlen(line);

		if (len == 0 || line[len - 1] != '\n') {
			/* Cut by a crash only at the very end, and only if it began as such a file does. */
			if (!feof(file) || (*ret_end == 0 && strncmp(line, HEAD, len) != 0))
				status = no_journal(journal->path, err);
			break;
		}
		if (*ret_end == 0)
			status = strcmp(line, HEAD) == 0 ? IOT_OK : no_journal(journal->path, err);
		else
			status = load_line(journal, line, len, err);
		*ret_end += (off_t)len;
	}
	if (status == IOT_OK && ferror(file))
		status = iot_fail_errno(err, IOT_FAILURE, errno, "cannot read journal '%s'", journal->path);
	return status;
}

static enum iot_status open_file(struct receipts *journal, struct iot_error *err)
{
	struct stat info;

	journal->fd = open(journal->path, O_RDWR | O_CREAT | O_CLOEXEC | O_APPEND | O_NONBLOCK, 0600);
	if (journal->fd < 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot open journal '%s'", journal->path);
	if (fstat(journal->fd, &info) != 0 || !S_ISREG(info.st_mode))
		return no_journal(journal->path, err);
	if (flock(journal->fd, LOCK_EX | LOCK_NB) != 0)
		return iot_fail(err, IOT_CONFLICT, "journal '%s' is in use by another process", journal->path);
	return IOT_OK;
}

static enum iot_status load_file(struct receipts *journal, struct iot_error *err)
{
	IOT_CLEAN(iot_fclose_p) FILE *file = fopen(journal->path, "re");
	off_t end = 0;
	enum iot_status status;

	if (file == NULL)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot open journal '%s'", journal->path);
	status = load(journal, file, &end, err);
	if (status == IOT_OK && ftruncate(journal->fd, end) != 0)
		status = iot_fail_errno(err, IOT_FAILURE, errno, "cannot write journal '%s'", journal->path);
	if (status == IOT_OK && end == 0)
		iot_buf_adds(&journal->out, HEAD);
	return status == IOT_OK ? receipts_flush(journal, err) : status;
}

static void release(struct receipts *journal)
{
	if (journal->fd >= 0)
		close(journal->fd);
	iot_buf_release(&journal->out);
	free(journal->digests);
	free(journal->path);
	free(journal);
}

enum iot_status receipts_open(const char *path, struct receipts **ret, struct iot_error *err)
{
	struct receipts *journal = iot_alloc(sizeof(*journal));
	enum iot_status status;

	journal->path = iot_strdup(path);
	journal->out = (struct iot_buf)IOT_BUF_INIT(OUT_MAX);
	status = open_file(journal, err);
	if (status == IOT_OK)
		status = load_file(journal, err);
	if (status == IOT_OK)
		*ret = journal;
	else
		release(journal);
	return status;
}

enum iot_status receipts_has(const struct receipts *journal, const struct message *message, const void *payload,
			     bool *ret, struct iot_error *err)
{
	uint64_t known = message->number <= journal->count ? journal->digests[message->number - 1] : 0;

	*ret = known != 0;
	if (known == 0 || known == digest_of(message, payload))
		return IOT_OK;
	iot_fail(err, IOT_CONFLICT, "journal '%s' is of other messages: number %lld is not the one for '%s'",
		 journal->path, (long long)message->number, message->topic);
	iot_error_hint(err, "give the same messages in the same order, or another journal");
	return IOT_CONFLICT;
}

void receipts_add(struct receipts *journal, const struct message *message, const void *payload)
{
	IOT_JSON topic = json_string(message->topic);
	IOT_CLEAN(iot_free_p) char *text = json_dumps(topic, JSON_ENCODE_ANY);

	iot_buf_addf(&journal->out, "{\"number\":%lld,\"digest\":\"%016" PRIx64 "\",\"topic\":%s}\n",
		     (long long)message->number, digest_of(message, payload), text);
}

enum iot_status receipts_flush(struct receipts *journal, struct iot_error *err)
{
	enum iot_status status = iot_buf_check(&journal->out, journal->path, err);

	while (status == IOT_OK && journal->out.len > 0) {
		ssize_t put = write(journal->fd, journal->out.data, journal->out.len);

		if (put < 0 && errno != EINTR)
			status = iot_fail_errno(err, IOT_FAILURE, errno, "cannot write journal '%s'", journal->path);
		if (put > 0)
			iot_buf_consume(&journal->out, (size_t)put);
	}
	return status;
}

enum iot_status receipts_close(struct receipts *journal, struct iot_error *err)
{
	enum iot_status status;

	if (journal == NULL)
		return IOT_OK;
	status = receipts_flush(journal, err);
	if (status == IOT_OK && fsync(journal->fd) != 0)
		status = iot_fail_errno(err, IOT_FAILURE, errno, "cannot write journal '%s'", journal->path);
	release(journal);
	return status;
}
