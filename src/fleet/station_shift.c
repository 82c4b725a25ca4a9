/*
 * A shift of a station: its record, and what follows from it: which boards were
 * begun, which serial numbers are taken, how many passed. A shift that was not
 * closed, because of a kill or a power cut, goes on where its record ends.
 */
#include "fleet/station_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/fs.h"
#include "iotctl/key.h"
#include "iotctl/text.h"

#include <dirent.h>
#include <poll.h>
#include <string.h>

#define SUFFIX ".jsonl"

enum { AHEAD_MS = 1000, AHEAD_MAX_MS = 10000, LOCK_MS = 2000, LOCK_POLL_MS = 20 };

static enum iot_status check_station(const char *station, struct iot_error *err)
{
	if (*station != '\0' && strlen(station) <= 40 &&
	    strspn(station, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == strlen(station))
		return IOT_OK;
	iot_fail(err, IOT_USAGE, "'%.60s' cannot be the name of a station", station);
	iot_error_hint(err, "1 to 40 letters, digits, - and _; give one with --station");
	return IOT_USAGE;
}

/* --- what the record says -------------------------------------------------------------------- */

static void learn_begin(struct shift *shift, const json_t *record)
{
	const char *uid = iot_json_str(record, "uid", "");
	const char *serial = iot_json_str(record, "serial", NULL);
	json_t *board = json_object();

	iot_json_set_int(board, "unit", iot_json_int(record, "unit", 0));
	iot_json_set_str(board, "serial", serial);
	iot_json_set_str(board, "recipe", iot_json_str(record, "recipe", NULL));
	if (iot_json_bool(record, "blank", false))
		iot_json_set_bool(board, "blank", true);
	json_object_set_new(shift->boards, uid, board);
	if (serial != NULL)
		iot_json_set_str(shift->serials, serial, uid);
}

/* What was begun with that number is begun anew with another. */
static void learn_skip(struct shift *shift, const json_t *record)
{
	const char *uid = iot_json_str(record, "uid", ""), *serial = iot_json_str(record, "serial", "");
	json_t *board = json_object_get(shift->boards, uid);

	iot_json_set_str(shift->skipped, serial, iot_json_str(record, "owner", ""));
	if (strcmp(iot_json_str(shift->serials, serial, ""), uid) == 0)
		json_object_del(shift->serials, serial);
	if (board == NULL || strcmp(iot_json_str(board, "serial", ""), serial) != 0)
		return;
	if (iot_json_bool(board, "blank", false))
		json_object_del(shift->boards, uid);
	else
		json_object_del(board, "serial");
}

static void learn_result(struct shift *shift, const json_t *record)
{
	const char *result = iot_json_str(record, "result", "");
	json_t *board = json_object_get(shift->boards, iot_json_str(record, "uid", ""));

	shift->passed += strcmp(result, "pass") == 0;
	shift->failed += strcmp(result, "fail") == 0;
	shift->known += strcmp(result, "known") == 0;
	if (board != NULL && iot_json_int(board, "unit", 0) == iot_json_int(record, "unit", -1))
		iot_json_set_str(board, "result", result);
	if (iot_json_bool(record, "tell", false)) {
		char unit[24];

		snprintf(unit, sizeof(unit), "%lld", (long long)iot_json_int(record, "unit", 0));
		json_object_set(shift->untold, unit, (json_t *)(uintptr_t)record);
	}
}

/* What a record says of recipes, as a record. */
static json_t *recipes_of(const json_t *record)
{
	static const char *const members[] = {"recipe", "recipeSha256", "heads"};
	json_t *recipes = json_object();

	for (size_t i = 0; i < IOT_LENGTH(members); i++)
		json_object_set(recipes, members[i], json_object_get(record, members[i]));
	return recipes;
}

static void learn(const json_t *record, void *data)
{
	struct shift *shift = data;
	const char *kind = iot_json_str(record, "kind", "");
	int64_t unit = iot_json_int(record, "unit", 0);

	shift->units = unit > shift->units ? unit : shift->units;
	if (strcmp(kind, "open") == 0 || (strcmp(kind, "resume") == 0 && json_object_get(record, "recipe") != NULL)) {
		json_decref(shift->recipes);
		shift->recipes = recipes_of(record);
	} else if (strcmp(kind, "begin") == 0)
		learn_begin(shift, record);
	else if (strcmp(kind, "skip") == 0)
		learn_skip(shift, record);
	else if (strcmp(kind, "result") == 0)
		learn_result(shift, record);
	else if (strcmp(kind, "told") == 0) {
		char name[24];

		snprintf(name, sizeof(name), "%lld", (long long)unit);
		json_object_del(shift->untold, name);
	}
}

static enum iot_status add(struct shift *shift, const char *kind, json_t *record, struct iot_error *err)
{
	IOT_JSON keep = json_incref(record);
	enum iot_status status = chain_add(&shift->chain, kind, record, err);

	if (status != IOT_OK)
		return status;
	iot_json_set_str(keep, "kind", kind);
	iot_json_set_int(keep, "seq", shift->chain.seq);
	learn(keep, shift);
	return IOT_OK;
}

enum iot_status shift_begin(struct shift *shift, json_t *record, struct iot_error *err)
{
	return add(shift, "begin", record, err);
}

enum iot_status shift_skip(struct shift *shift, json_t *record, struct iot_error *err)
{
	return add(shift, "skip", record, err);
}

enum iot_status shift_result(struct shift *shift, json_t *record, bool hook, struct iot_error *err)
{
	if (hook)
		iot_json_set_bool(record, "tell", true);
	return add(shift, "result", record, err);
}

enum iot_status shift_told(struct shift *shift, int64_t unit, int code, struct iot_error *err)
{
	return add(shift, "told", json_pack("{s:I, s:i}", "unit", (json_int_t)unit, "code", code), err);
}

/* --- files -------------------------------------------------------------------------------------- */

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_shift(const struct dirent *entry)
{
	return entry->d_name[0] != '.' && iot_ends_with(entry->d_name, SUFFIX);
}

enum iot_status shift_files(const char *dir, json_t **ret, struct iot_error *err)
{
	struct dirent **entries = NULL;
	int count = iot_fs_is_dir(dir) ? scandir(dir, &entries, is_shift, by_name) : 0;

	if (count < 0)
		return iot_fail(err, IOT_FAILURE, "cannot read folder '%s'", dir);
	*ret = json_array();
	for (int i = 0; i < count; i++) {
		json_array_append_new(*ret, json_string(entries[i]->d_name));
		free(entries[i]);
	}
	free(entries);
	return IOT_OK;
}

/* Whose record may be meant? Of the stations beside this folder, those with a record. */
static void hint_stations(const char *dir, struct iot_error *err)
{
	const char *slash = strrchr(dir, '/');
	IOT_CLEAN(iot_free_p) char *all = slash != NULL ? iot_strndup(dir, (size_t)(slash - dir)) : iot_strdup(".");
	IOT_CLEAN(iot_buf_release) struct iot_buf names = IOT_BUF_INIT(160);
	struct dirent **entries = NULL;
	int count = iot_fs_is_dir(all) ? scandir(all, &entries, NULL, by_name) : 0;

	for (int i = 0; i < count; i++) {
		IOT_CLEAN(iot_free_p) char *key = iot_strf("%s/%s/station.pub", all, entries[i]->d_name);

		if (entries[i]->d_name[0] != '.' && iot_fs_exists(key))
			iot_buf_addf(&names, "%s%s", names.len > 0 ? ", " : "", entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	if (names.len > 0 && !names.over)
		iot_error_hint(err, "name one with --station, of: %s", iot_buf_str(&names));
	else
		iot_error_hint(err, "name another station with --station");
}

enum iot_status iot_station_shift(const char *dir, const char *id, char **ret, struct iot_error *err)
{
	IOT_JSON files = NULL;
	IOT_CLEAN(iot_free_p) char *name = id != NULL ? iot_strf("%s" SUFFIX, id) : NULL;
	enum iot_status status = shift_files(dir, &files, err);
	size_t count;

	if (status != IOT_OK)
		return status;
	count = json_array_size(files);
	for (size_t i = 0; i < count; i++) {
		const char *file = json_string_value(json_array_get(files, i));

		if (name == NULL ? i + 1 == count : strcmp(file, name) == 0) {
			*ret = iot_path(dir, file);
			return IOT_OK;
		}
	}
	if (id != NULL)
		iot_fail(err, IOT_NOT_FOUND, "there is no shift '%s' in '%s'", id, dir);
	else
		iot_fail(err, IOT_NOT_FOUND, "there is no record of a shift in '%s'", dir);
	hint_stations(dir, err);
	return IOT_NOT_FOUND;
}

/* --- the key -------------------------------------------------------------------------------------- */

static enum iot_status export_key(const char *dir, const struct iot_key *key, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "station.pub");
	IOT_CLEAN(iot_buf_release) struct iot_buf pem = IOT_BUF_INIT(4096);
	enum iot_status status = IOT_OK;

	if (iot_fs_exists(path))
		return IOT_OK;
	status = iot_key_public_pem(key, &pem, err);
	return status == IOT_OK ? iot_fs_write(path, 0644, pem.data, pem.len, err) : status;
}

static enum iot_status open_key(const char *dir, struct iot_key **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "station.key");
	enum iot_status status;

	if (iot_fs_exists(path)) {
		status = iot_fs_check_private(path, err);
		if (status == IOT_OK)
			status = iot_key_load(path, NULL, ret, err);
	} else {
		status = iot_key_generate(IOT_KEY_P256, ret, err);
		if (status == IOT_OK)
			status = iot_key_save_new(*ret, path, NULL, err);
	}
	return status == IOT_OK ? export_key(dir, *ret, err) : status;
}

/* --- opening and closing --------------------------------------------------------------------------- */

/* Workers of a station that was killed hold its lock until they are dead, too, which is a moment later. */
static enum iot_status wait_for_lock(const char *path, int *ret_fd, struct iot_error *err)
{
	int64_t deadline = iot_deadline(LOCK_MS);
	enum iot_status status = iot_fs_lock(path, ret_fd, err);

	while (status == IOT_CONFLICT && iot_left(deadline) > 0) {
		iot_error_clear(err);
		poll(NULL, 0, LOCK_POLL_MS);
		status = iot_fs_lock(path, ret_fd, err);
	}
	return status;
}

static enum iot_status lock_station(const char *dir, const char *station, struct shift *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *lock = iot_path(dir, "lock");
	enum iot_status status = check_station(station, err);

	*ret = (struct shift)SHIFT_INIT;
	ret->boards = json_object();
	ret->serials = json_object();
	ret->skipped = json_object();
	ret->untold = json_object();
	ret->opened_at = iot_now_ms();
	ret->dir = iot_strdup(dir);
	ret->station = iot_strdup(station);
	if (status == IOT_OK)
		status = iot_clock_check(err);
	if (status == IOT_OK)
		status = iot_fs_mkdirs(dir, 0700, err);
	if (status == IOT_OK)
		status = wait_for_lock(lock, &ret->lock, err);
	if (status == IOT_CONFLICT) {
		iot_fail(err, IOT_CONFLICT, "station '%s' is run by another process", station);
		iot_error_hint(err, "end that one, or give this one another name with --station");
	}
	return status == IOT_OK ? open_key(dir, &ret->key, err) : status;
}

static void set_recipe(json_t *record, const struct iot_station_recipe *recipe)
{
	IOT_JSON heads = json_array();

	iot_json_set_str(record, "recipe", recipe->name);
	iot_json_set_str(record, "recipeSha256", recipe->digest);
	for (size_t i = 0; i < recipe->other_count; i++) {
		const struct station_heads *other = &recipe->others[i];

		json_array_append_new(heads, json_pack("{s:s, s:s, s:s}", "port", other->ports, "recipe",
						       other->recipe->name, "recipeSha256", other->recipe->digest));
	}
	if (recipe->other_count > 0)
		json_object_set(record, "heads", heads);
}

static json_t *open_record(const struct shift *shift, const struct iot_station_recipe *recipe, const char *before)
{
	char key_id[IOT_SHA256_HEX_SIZE];
	json_t *record = json_object();

	iot_json_set_str(record, "station", shift->station);
	iot_json_set_str(record, "shift", shift->id);
	iot_json_set_str(record, "after", before);
	iot_json_set_str(record, "keyId", iot_key_id(shift->key, key_id));
	set_recipe(record, recipe);
	return record;
}

/* "20261121T060000Z": sorts by time, and is a file name everywhere. */
static void shift_name(int64_t ms, char id[32])
{
	char at[32];
	size_t n = 0;

	iot_time_rfc3339(ms, at);
	for (const char *c = at; *c != '\0'; c++)
		if (*c != ':' && *c != '-')
			id[n++] = *c;
	id[n] = '\0';
}

/* Shifts are named by their beginning, so their files sort as they followed one another. */
static enum iot_status new_shift(struct shift *shift, const struct iot_station_recipe *recipe, const char *before,
				 const char *previous, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = NULL;
	IOT_CLEAN(iot_free_p) char *file = NULL;
	char id[32];
	enum iot_status status;

	/* Where the last ones are not a second old, the next second's name is taken. */
	for (int64_t ahead = 0; ahead <= AHEAD_MAX_MS; ahead += AHEAD_MS) {
		shift_name(iot_now_ms() + ahead, id);
		if (before == NULL || strncmp(id, before, strlen(id)) > 0)
			break;
	}
	shift->id = iot_strdup(id);
	file = iot_strf("%s" SUFFIX, id);
	path = iot_path(shift->dir, file);
	if (before != NULL && strcmp(file, before) <= 0) {
		iot_fail(err, IOT_CONFLICT, "the clock says that shift '%s' began before '%s', which is the last one",
			 id, before);
		iot_error_hint(err, "set the clock");
		return IOT_CONFLICT;
	}
	status = chain_create(path, previous, &shift->chain, err);
	return status == IOT_OK ? add(shift, "open", open_record(shift, recipe, before), err) : status;
}

/* `recipe`: what is to be made from now on; NULL: nothing. */
static enum iot_status go_on(struct shift *shift, const struct iot_station_recipe *recipe, const char *path,
			     const char *file, struct iot_error *err)
{
	IOT_JSON record = NULL;
	size_t torn = 0;
	enum iot_status status = chain_resume(path, learn, shift, &shift->chain, &torn, err);

	if (status == IOT_VERIFY)
		iot_error_hint(err,
			       "find out who changed it; moved elsewhere, the next shift begins a record of its own");
	if (status != IOT_OK)
		return status;
	shift->id = iot_strndup(file, strlen(file) - strlen(SUFFIX));
	shift->resumed = true;
	record = json_pack("{s:I}", "tornBytes", (json_int_t)torn);
	if (recipe != NULL) {
		IOT_JSON now = NULL;

		set_recipe(record, recipe);
		now = recipes_of(record);
		shift->recipe_changed = !json_equal(now, shift->recipes);
	}
	return add(shift, "resume", json_incref(record), err);
}

/* The newest record: is it still open, and what does it end with? */
static enum iot_status last_shift(const struct shift *shift, char **ret_file, char **ret_path,
				  struct chain_facts *ret_facts, struct iot_error *err)
{
	IOT_JSON files = NULL;
	enum iot_status status = shift_files(shift->dir, &files, err);
	size_t count = json_array_size(files);

	if (status != IOT_OK || count == 0)
		return status;
	*ret_file = iot_strdup(json_string_value(json_array_get(files, count - 1)));
	*ret_path = iot_path(shift->dir, *ret_file);
	status = chain_check(*ret_path, NULL, NULL, ret_facts, err);
	/* Killed between making the file and its first line: there is nothing in it. */
	if (status == IOT_OK && ret_facts->lines == 0) {
		status = iot_fs_remove(*ret_path, err);
		iot_free_p(ret_file);
		iot_free_p(ret_path);
		chain_facts_release(ret_facts);
		*ret_facts = (struct chain_facts){0};
		*ret_file = *ret_path = NULL;
		return status == IOT_OK ? last_shift(shift, ret_file, ret_path, ret_facts, err) : status;
	}
	return status;
}

/* Another product is another shift. A recipe of the same name goes on when it was changed, as with more time. */
static enum iot_status check_recipe(const struct shift *shift, const struct iot_station_recipe *recipe,
				    const struct chain_facts *facts, struct iot_error *err)
{
	const char *before = iot_json_str(facts->head, "recipe", "");

	if (strcmp(before, recipe->name) == 0)
		return IOT_OK;
	iot_fail(err, IOT_CONFLICT, "station '%s' has an open shift of recipe '%s', and this one is '%s'",
		 shift->station, before, recipe->name);
	iot_error_hint(err, "go on with that one, or close the shift with 'iotctl station close --station %s'",
		       shift->station);
	return IOT_CONFLICT;
}

enum iot_status shift_open(const char *dir, const char *station, const struct iot_station_recipe *recipe,
			   struct shift *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *file = NULL;
	IOT_CLEAN(iot_free_p) char *path = NULL;
	IOT_CLEAN(chain_facts_release) struct chain_facts facts = {0};
	enum iot_status status = lock_station(dir, station, ret, err);

	if (status == IOT_OK)
		status = last_shift(ret, &file, &path, &facts, err);
	if (status == IOT_OK && file != NULL && !facts.closed) {
		status = check_recipe(ret, recipe, &facts, err);
		return status == IOT_OK ? go_on(ret, recipe, path, file, err) : status;
	}
	if (status != IOT_OK)
		return status;
	return new_shift(ret, recipe, file, file != NULL ? facts.last : CHAIN_START, err);
}

enum iot_status shift_resume(const char *dir, const char *station, struct shift *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *file = NULL;
	IOT_CLEAN(iot_free_p) char *path = NULL;
	IOT_CLEAN(chain_facts_release) struct chain_facts facts = {0};
	enum iot_status status = iot_fs_is_dir(dir) ? lock_station(dir, station, ret, err) : IOT_OK;

	if (status == IOT_OK && ret->dir != NULL)
		status = last_shift(ret, &file, &path, &facts, err);
	if (status == IOT_OK && (file == NULL || facts.closed))
		return iot_fail(err, IOT_NOT_FOUND, "station '%s' has no open shift", station);
	return status == IOT_OK ? go_on(ret, NULL, path, file, err) : status;
}

json_t *shift_summary(const struct shift *shift, bool closed)
{
	char key_id[IOT_SHA256_HEX_SIZE];
	json_t *record = json_object();

	iot_json_set_str(record, "station", shift->station);
	iot_json_set_str(record, "shift", shift->id);
	iot_json_set_str(record, "file", shift->chain.path);
	iot_json_set_int(record, "lines", shift->chain.seq);
	iot_json_set_str(record, "keyId", iot_key_id(shift->key, key_id));
	iot_json_set_int(record, "passed", shift->passed);
	iot_json_set_int(record, "failed", shift->failed);
	iot_json_set_int(record, "known", shift->known);
	iot_json_set_bool(record, "closed", closed);
	return record;
}

/* Boards that were begun and have no result are named, so that nothing is begun and forgotten. */
static json_t *unfinished(const struct shift *shift)
{
	json_t *list = json_array(), *board;
	const char *uid;

	json_object_foreach(shift->boards, uid, board)
		if (iot_json_str(board, "result", NULL) == NULL)
			json_array_append_new(list, json_string(uid));
	return list;
}

enum iot_status shift_close(struct shift *shift, struct iot_error *err)
{
	return chain_close(&shift->chain, shift->key,
			   json_pack("{s:I, s:I, s:I, s:o}", "passed", (json_int_t)shift->passed, "failed",
				     (json_int_t)shift->failed, "known", (json_int_t)shift->known, "unfinished",
				     unfinished(shift)),
			   err);
}

void shift_release(struct shift *shift)
{
	chain_release(&shift->chain);
	iot_key_free(shift->key);
	json_decref(shift->boards);
	json_decref(shift->serials);
	json_decref(shift->skipped);
	json_decref(shift->untold);
	json_decref(shift->recipes);
	iot_close_p(&shift->lock);
	free(shift->id);
	free(shift->dir);
	free(shift->station);
	*shift = (struct shift)SHIFT_INIT;
}

enum iot_status iot_station_close(const char *dir, const char *name, json_t **ret_record, struct iot_error *err)
{
	IOT_CLEAN(shift_release) struct shift shift = SHIFT_INIT;
	enum iot_status status = shift_resume(dir, name, &shift, err);

	if (status == IOT_OK)
		status = shift_close(&shift, err);
	if (status == IOT_OK)
		*ret_record = shift_summary(&shift, true);
	return status;
}
