/*
 * The journal of acknowledged messages: each line is a message's number, its
 * topic and a digest, by which a call with other input is noticed. A message
 * whose line a crash cut is sent again.
 */
#include "fleet/line_journal.h"
#include "fleet/messaging_private.h"

#include "iotctl/base.h"
#include "iotctl/digest.h"
#include "iotctl/json.h"

#include <inttypes.h>
#include <string.h>

#define COMMAND "iotctl publish"
enum { NUMBER_MAX = 50000000 };

struct receipts {
	struct line_journal *file;
	uint64_t *digests; /* by number - 1; 0: not acknowledged */
	int64_t count;
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

static bool load_line(const json_t *line, void *data)
{
	const char *text = iot_json_str(line, "digest", "");
	int64_t number = iot_json_int(line, "number", 0);
	char *end;
	uint64_t digest = strtoull(text, &end, 16);

	if (number < 1 || number > NUMBER_MAX || strlen(text) != 16 || *end != '\0' || digest == 0)
		return false;
	note(data, number, digest);
	return true;
}

static void release(struct receipts *journal)
{
	free(journal->digests);
	free(journal);
}

enum iot_status receipts_open(const char *path, struct receipts **ret, struct iot_error *err)
{
	struct receipts *journal = iot_alloc(sizeof(*journal));
	enum iot_status status = line_journal_open(path, COMMAND, load_line, journal, &journal->file, err);

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
		 line_journal_path(journal->file), (long long)message->number, message->topic);
	iot_error_hint(err, "give the same messages in the same order, or another journal");
	return IOT_CONFLICT;
}

void receipts_add(struct receipts *journal, const struct message *message, const void *payload)
{
	IOT_JSON topic = json_string(message->topic);
	IOT_CLEAN(iot_free_p) char *text = json_dumps(topic, JSON_ENCODE_ANY);

	line_journal_add(journal->file, "{\"number\":%lld,\"digest\":\"%016" PRIx64 "\",\"topic\":%s}",
			 (long long)message->number, digest_of(message, payload), text);
}

enum iot_status receipts_flush(struct receipts *journal, struct iot_error *err)
{
	return line_journal_flush(journal->file, err);
}

enum iot_status receipts_close(struct receipts *journal, struct iot_error *err)
{
	enum iot_status status;

	if (journal == NULL)
		return IOT_OK;
	status = line_journal_close(journal->file, err);
	release(journal);
	return status;
}
