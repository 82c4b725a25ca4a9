/*
 * Checking records of shifts: is every line the one that was written, in its
 * place, and did this station sign for the end of it? Which line is to blame is
 * told by its neighbours: a line holds the digest of the one before.
 */
#include "fleet/station_private.h"

#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "iotctl/key.h"
#include "iotctl/text.h"

#include <string.h>

#define SIGNATURE ",\"signature\":\""

struct line {
	const char *text;
	size_t len;
	json_t *record;
	const char *prev; /* borrowed from it; NULL: not a record */
	int64_t seq;
	char digest[IOT_SHA256_HEX_SIZE];
};

struct lines {
	struct line *items;
	int64_t count;
};

static void lines_release(struct lines *lines)
{
	for (int64_t i = 0; i < lines->count; i++)
		json_decref(lines->items[i].record);
	free(lines->items);
}

void chain_facts_release(struct chain_facts *facts)
{
	json_decref(facts->head);
	json_decref(facts->tail);
	iot_buf_release(&facts->text);
}

/* --- reading ------------------------------------------------------------------------------- */

static bool is_digest(const char *text)
{
	return text != NULL && strlen(text) == IOT_SHA256_HEX_SIZE - 1 &&
	       strspn(text, "0123456789abcdef") == IOT_SHA256_HEX_SIZE - 1;
}

static void parse_line(struct line *line)
{
	struct iot_error ignored = IOT_ERROR_INIT;

	iot_sha256_hex(line->text, line->len, line->digest);
	if (line->len > CHAIN_LINE_MAX ||
	    iot_json_parse(line->text, line->len, "record", &line->record, &ignored) != IOT_OK)
		return;
	line->seq = iot_json_int(line->record, "seq", 0);
	line->prev = iot_json_str(line->record, "prev", NULL);
	if (!is_digest(line->prev) || line->seq < 1 || iot_json_str(line->record, "kind", NULL) == NULL)
		line->prev = NULL;
}

/* Whole lines of a text; what follows the last newline is torn. */
static void split(const struct iot_buf *text, struct lines *ret, struct chain_facts *facts)
{
	const char *at = iot_buf_str(text), *end = at + text->len, *newline;
	int64_t room = 0;

	while ((newline = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		if (ret->count == room) {
			room = room > 0 ? room * 2 : 256;
			ret->items = iot_realloc(ret->items, (size_t)room * sizeof(*ret->items));
		}
		ret->items[ret->count] = (struct line){.text = at, .len = (size_t)(newline - at)};
		parse_line(&ret->items[ret->count++]);
		at = newline + 1;
	}
	facts->torn = (size_t)(end - at);
	facts->whole = text->len - facts->torn;
	facts->lines = ret->count;
}

/* --- the chain ------------------------------------------------------------------------------ */

static enum iot_status blame(const char *path, int64_t line, const char *what, struct iot_error *err)
{
	return iot_fail(err, IOT_VERIFY, "record '%s': line %lld %s", path, (long long)line, what);
}

/* Line i (from 0) does not follow the one before it. Who is to blame? */
static enum iot_status blame_for(const char *path, const struct lines *lines, int64_t i, struct iot_error *err)
{
	const struct line *line = &lines->items[i], *next = i + 1 < lines->count ? line + 1 : NULL;

	if (i >= 2 && strcmp(line->prev, lines->items[i - 2].digest) == 0)
		return blame(path, i, "was added", err);
	if (i == 1 && lines->items[0].prev != NULL && strcmp(line->prev, lines->items[0].prev) == 0)
		return blame(path, 1, "was added", err);
	if (line->seq > i + 1) {
		int64_t missing = line->seq - i - 1;

		return iot_fail(err, IOT_VERIFY, "record '%s': %lld %s missing before line %lld (record %lld)", path,
				(long long)missing, missing == 1 ? "line is" : "lines are", (long long)i + 1,
				(long long)line->seq);
	}
	if (line->seq < i + 1)
		return blame(path, i + 1, "was added", err);
	/* The next line vouches for this one: then it is the one before that is not what it was. */
	if (i > 0 && (next == NULL || next->prev == NULL || strcmp(next->prev, line->digest) == 0))
		return blame(path, i, "was altered", err);
	return blame(path, i + 1, "was altered", err);
}

static enum iot_status check_lines(const char *path, const struct lines *lines, struct iot_error *err)
{
	for (int64_t i = 0; i < lines->count; i++) {
		const struct line *line = &lines->items[i], *next = i + 1 < lines->count ? line + 1 : NULL;

		if (line->prev == NULL) {
			bool skipped = i > 0 && next != NULL && next->prev != NULL &&
				       strcmp(next->prev, lines->items[i - 1].digest) == 0;

			return blame(path, i + 1, skipped ? "was added" : "was altered: it is no record", err);
		}
		if (i > 0 && strcmp(line->prev, lines->items[i - 1].digest) != 0)
			return blame_for(path, lines, i, err);
		if (line->seq != i + 1) {
			if (i == 0)
				return blame_for(path, lines, i, err);
			if (next != NULL && next->prev != NULL && strcmp(next->prev, lines->items[i - 1].digest) == 0)
				return blame(path, i + 1, "was added", err);
			return blame(path, i + 1, "was altered", err);
		}
		if (i > 0 && strcmp(iot_json_str(lines->items[i - 1].record, "kind", ""), "close") == 0)
			return blame(path, i + 1, "was added after the shift was closed", err);
	}
	return IOT_OK;
}

enum iot_status chain_check(const char *path, void (*each)(const json_t *record, void *data), void *data,
			    struct chain_facts *ret, struct iot_error *err)
{
	IOT_CLEAN(lines_release) struct lines lines = {NULL, 0};
	struct chain_facts facts = {.text = IOT_BUF_INIT(CHAIN_FILE_MAX)};
	enum iot_status status = iot_fs_read(path, &facts.text, err);

	if (status == IOT_OK) {
		split(&facts.text, &lines, &facts);
		status = check_lines(path, &lines, err);
	}
	if (status != IOT_OK) {
		chain_facts_release(&facts);
		return status;
	}
	for (int64_t i = 0; each != NULL && i < lines.count; i++)
		each(lines.items[i].record, data);
	if (lines.count > 0) {
		const struct line *last = &lines.items[lines.count - 1];

		facts.head = json_incref(lines.items[0].record);
		facts.tail = json_incref(last->record);
		facts.closed = strcmp(iot_json_str(last->record, "kind", ""), "close") == 0;
		memcpy(facts.first_prev, lines.items[0].prev, sizeof(facts.first_prev));
		memcpy(facts.last, last->digest, sizeof(facts.last));
	}
	*ret = facts;
	return IOT_OK;
}

/* --- the signature ----------------------------------------------------------------------------- */

static enum iot_status wrong_signature(const char *path, int64_t line, const char *why, struct iot_error *err)
{
	return iot_fail(err, IOT_VERIFY, "record '%s': line %lld %s", path, (long long)line, why);
}

static enum iot_status check_signature(const char *path, const struct chain_facts *facts, const struct iot_key *key,
				       struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf signature = IOT_BUF_INIT(1024);
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(CHAIN_LINE_MAX);
	const char *end = facts->text.data + facts->whole - 1;
	const char *start = end, *mark = NULL;
	const char *value;

	while (start > facts->text.data && start[-1] != '\n')
		start--;
	value = iot_json_str(facts->tail, "signature", NULL);
	if (value != NULL && (size_t)(end - start) > strlen(value) + strlen(SIGNATURE) + 2)
		mark = end - 2 - strlen(value) - strlen(SIGNATURE);
	if (mark == NULL || strncmp(mark, SIGNATURE, strlen(SIGNATURE)) != 0 ||
	    !iot_unbase64(value, strlen(value), &signature))
		return wrong_signature(path, facts->lines, "closes the shift, but is not signed", err);
	iot_buf_add(&text, start, (size_t)(mark - start));
	iot_buf_addc(&text, '}');
	if (iot_key_verify(key, IOT_SIG_ECDSA_SHA256, text.data, text.len, signature.data, signature.len, NULL) ==
	    IOT_OK)
		return IOT_OK;
	wrong_signature(path, facts->lines, "was altered, or signed by another station's key", err);
	iot_error_hint(err, "name the station's public key with --key");
	return IOT_VERIFY;
}

static enum iot_status load_key(const char *path, const char *key, struct iot_key **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *beside = NULL;
	const char *slash = strrchr(path, '/');
	enum iot_status status;

	if (key == NULL) {
		beside = slash != NULL ? iot_strf("%.*s/station.pub", (int)(slash - path), path)
				       : iot_strdup("station.pub");
		key = beside;
	}
	status = iot_key_load_public(key, ret, err);
	if (status != IOT_OK)
		iot_error_hint(err, "name the station's public key with --key");
	return status;
}

/* --- files --------------------------------------------------------------------------------------- */

static enum iot_status check_end(const char *path, const struct chain_facts *facts, const char *key, bool open,
				 struct iot_error *err)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *public = NULL;
	enum iot_status status;

	if (facts->torn > 0 && (facts->closed || !open)) {
		iot_fail(err, IOT_VERIFY, "record '%s': line %lld has no end", path, (long long)facts->lines + 1);
		iot_error_hint(
			err,
			"the power was cut there, or somebody added it; the station cuts it off when it is started");
		return IOT_VERIFY;
	}
	if (!facts->closed && !open) {
		iot_fail(err, IOT_VERIFY, "record '%s' was not closed: lines at its end may be missing", path);
		iot_error_hint(err,
			       "'iotctl station close --station %s' closes and signs it; --open checks it as it is",
			       iot_json_str(facts->head, "station", "NAME"));
		return IOT_VERIFY;
	}
	if (!facts->closed)
		return IOT_OK;
	status = load_key(path, key, &public, err);
	return status == IOT_OK ? check_signature(path, facts, public, err) : status;
}

struct counting {
	int64_t passed, failed, known;
};

static void count_record(const json_t *record, void *data)
{
	struct counting *counting = data;
	const char *result = iot_json_str(record, "result", "");

	if (strcmp(iot_json_str(record, "kind", ""), "result") != 0)
		return;
	counting->passed += strcmp(result, "pass") == 0;
	counting->failed += strcmp(result, "fail") == 0;
	counting->known += strcmp(result, "known") == 0;
}

static json_t *verified(const char *path, const struct chain_facts *facts, const struct counting *counting)
{
	json_t *record = json_object();

	iot_json_set_str(record, "file", path);
	iot_json_set_str(record, "station", iot_json_str(facts->head, "station", NULL));
	iot_json_set_str(record, "shift", iot_json_str(facts->head, "shift", NULL));
	iot_json_set_int(record, "lines", facts->lines);
	iot_json_set_int(record, "passed", counting->passed);
	iot_json_set_int(record, "failed", counting->failed);
	iot_json_set_int(record, "known", counting->known);
	iot_json_set_bool(record, "closed", facts->closed);
	iot_json_set_str(record, "keyId", iot_json_str(facts->tail, "keyId", NULL));
	iot_json_set_str(record, "digest", facts->last);
	return record;
}

enum iot_status iot_station_verify(const char *const *files, size_t count, const char *key, bool open,
				   json_t **ret_records, struct iot_error *err)
{
	IOT_JSON records = json_array();
	char before[IOT_SHA256_HEX_SIZE] = "";
	enum iot_status status = IOT_OK;

	for (size_t i = 0; status == IOT_OK && i < count; i++) {
		IOT_CLEAN(chain_facts_release) struct chain_facts facts = {0};
		struct counting counting = {0, 0, 0};

		status = chain_check(files[i], count_record, &counting, &facts, err);
		if (status == IOT_OK && facts.lines == 0)
			status = iot_fail(err, IOT_VERIFY, "record '%s' is empty", files[i]);
		if (status == IOT_OK && i > 0 && strcmp(facts.first_prev, before) != 0)
			status = iot_fail(err, IOT_VERIFY, "record '%s' does not follow '%s': a shift is missing",
					  files[i], files[i - 1]);
		if (status == IOT_OK)
			status = check_end(files[i], &facts, key, open && i + 1 == count, err);
		if (status == IOT_OK) {
			memcpy(before, facts.last, sizeof(before));
			json_array_append_new(records, verified(files[i], &facts, &counting));
		}
	}
	if (status == IOT_OK)
		*ret_records = iot_take(records);
	return status;
}
