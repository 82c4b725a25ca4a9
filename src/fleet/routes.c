/*
 * Routes of events, as people make them: checked before they are kept, and again whenever somebody asks. What serve
 * does with them is in broker/routes.c, which relies on nothing that is checked here.
 */
#include "iotctl/events.h"

#include "fleet/fleet_private.h"
#include "fleet/layout_private.h"
#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "iotctl/json.h"
#include "iotctl/local.h"
#include "iotctl/process.h"
#include "iotctl/text.h"
#include "iotctl/topic.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WORDS_MAX = 64, WORD_MAX = 4096 };

/* Findings about one route, and what they are found by. */
struct check {
	struct iot_cloud *cloud;
	const struct iot_talk *talk;
	const json_t *route;
	json_t *findings;
};

static const char *member(const struct check *check, const char *key)
{
	return iot_json_str(check->route, key, NULL);
}

static void add(const struct check *check, const char *rule, const char *hint, const char *fmt, ...) IOT_PRINTF(4, 5);

static void add(const struct check *check, const char *rule, const char *hint, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fleet_finding(check->findings, "route", iot_json_str(check->route, "name", ""), rule, hint, fmt, args);
	va_end(args);
}

/* --- files ------------------------------------------------------------------------------------- */

/* Where the path really is: its folder without links, and its last part. New memory; NULL if there is no such folder.
 */
static char *real_place(const char *path)
{
	IOT_CLEAN(iot_free_p) char *copy = iot_strdup(path);
	IOT_CLEAN(iot_free_p) char *copy2 = iot_strdup(path);
	IOT_CLEAN(iot_free_p) char *folder = realpath(dirname(copy), NULL);

	return folder != NULL ? iot_path(folder, basename(copy2)) : NULL;
}

static bool is_inside(const char *path, const char *dir)
{
	IOT_CLEAN(iot_free_p) char *real = realpath(dir, NULL);
	size_t len = real != NULL ? strlen(real) : 0;

	return len > 0 && strncmp(path, real, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static void check_writable(const struct check *check, const char *path)
{
	IOT_CLEAN(iot_free_p) char *place = real_place(path);
	IOT_CLEAN(iot_free_p)
	char *folder = place != NULL ? iot_strndup(place, (size_t)(strrchr(place, '/') - place)) : NULL;
	struct stat st;

	if (place == NULL)
		add(check, "target", "make it first", "the folder of '%s' is not there", path);
	else if (is_inside(place, iot_local_paths(check->cloud)->dir))
		add(check, "target", "choose another place", "'%s' is inside of the fleet's own directory", path);
	else if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
		add(check, "target", NULL, "'%s' is not a regular file", path);
	else if (access(*folder != '\0' ? folder : "/", W_OK | X_OK) != 0 ||
		 (access(path, F_OK) == 0 && access(path, W_OK) != 0))
		add(check, "target", NULL, "cannot write '%s': %s", path, strerror(errno));
}

static void check_file(const struct check *check)
{
	const char *path = member(check, "target");
	int64_t size = iot_json_int(check->route, "maxSize", IOT_ROUTE_SIZE_DEFAULT);
	int64_t keep = iot_json_int(check->route, "keep", IOT_ROUTE_KEEP_DEFAULT);

	if (path == NULL || path[0] != '/' || strlen(path) >= PATH_MAX - 8) {
		add(check, "target", NULL, "the target of a route to a file is an absolute path");
		return;
	}
	if (size < IOT_ROUTE_SIZE_MIN)
		add(check, "member", NULL, "maxSize must be %d KiB at least", (int)(IOT_ROUTE_SIZE_MIN / 1024));
	if (keep < 0 || keep > IOT_ROUTE_KEEP_MAX)
		add(check, "member", NULL, "keep must be 0 to %d", IOT_ROUTE_KEEP_MAX);
	check_writable(check, path);
}

/* --- commands ---------------------------------------------------------------------------------- */

static void check_command(const struct check *check)
{
	const json_t *words = json_object_get(check->route, "target");
	const char *program = json_string_value(json_array_get(words, 0));
	json_t *word;
	size_t i;

	if (program == NULL || json_array_size(words) > WORDS_MAX) {
		add(check, "target", NULL, "the target of a route to a command is a list of 1 to %d words", WORDS_MAX);
		return;
	}
	json_array_foreach(words, i, word) {
		if (!json_is_string(word) || json_string_length(word) > WORD_MAX) {
			add(check, "target", NULL, "word %zu of the command is no text of up to %d bytes", i + 1,
			    WORD_MAX);
			return;
		}
	}
	if (program[0] != '/')
		add(check, "target", NULL, "the program '%s' is named without its folder", program);
	else if (access(program, X_OK) != 0)
		add(check, "target", NULL, "cannot run '%s': %s", program, strerror(errno));
}

/* --- topics ------------------------------------------------------------------------------------ */

/* The template with a device's name and a subfolder in it, both unlike others; NULL if it is no template. */
static char *sample_topic(const char *template, const char *subfolder)
{
	struct layout_level levels[LAYOUT_LEVELS_MAX];
	struct iot_buf out = IOT_BUF_INIT(IOT_LAYOUT_TEXT_MAX);
	size_t count = layout_levels(template, levels);

	for (size_t i = 0; i < count && count <= LAYOUT_LEVELS_MAX; i++) {
		bool last = i + 1 == count;

		if (levels[i].kind == LEVEL_SUBFOLDER && last && i > 0 && *subfolder == '\0')
			break;
		if (i > 0)
			iot_buf_addc(&out, '/');
		if (levels[i].kind == LEVEL_TEXT)
			iot_buf_add(&out, levels[i].text, levels[i].len);
		else if (levels[i].kind == LEVEL_THING)
			iot_buf_adds(&out, "thing-0000");
		else if (levels[i].kind == LEVEL_SUBFOLDER && last)
			iot_buf_adds(&out, subfolder);
		else
			count = LAYOUT_LEVELS_MAX + 1;
	}
	if (count <= LAYOUT_LEVELS_MAX)
		return iot_buf_detach(&out);
	iot_buf_release(&out);
	return NULL;
}

static bool is_heard(const struct check *check, const char *topic)
{
	struct iot_talk_match match;

	return iot_talk_match(check->talk, topic, NULL, &match) || iot_ends_with(topic, "/state");
}

/* serve would hear nothing of what it says itself (nobody's name is on it), but others would take it for a device's. */
static void check_topic(const struct check *check)
{
	/* Of a filter only a part of the subfolders is known: none, one level, two. */
	const char *const subfolders[] = {"", "sub-0000", "sub-0000/sub-0001", member(check, "subfolder")};
	const char *template = member(check, "target");
	struct iot_error err = IOT_ERROR_INIT;

	if (template == NULL) {
		add(check, "target", NULL, "the target of a route to a topic is a text");
		return;
	}
	for (size_t i = 0; i < IOT_LENGTH(subfolders); i++) {
		IOT_CLEAN(iot_free_p) char *topic = NULL;

		if (subfolders[i] == NULL || strpbrk(subfolders[i], "+#") != NULL)
			continue;
		topic = sample_topic(template, subfolders[i]);
		if (topic == NULL)
			add(check, "target", "{thing}, and {subfolder} last, each alone in its level",
			    "'%s' is no template of a topic", template);
		else if (topic[0] == '$')
			add(check, "target", NULL, "topic '%s' is reserved", template);
		else if (iot_topic_check_publish(topic, strlen(topic), &err) != IOT_OK)
			add(check, "target", NULL, "%s", err.what);
		else if (is_heard(check, topic))
			add(check, "loop", "choose a topic that no layout has",
			    "on topic '%s' devices say events or states themselves", template);
		else
			continue;
		return;
	}
}

/* --- a route ----------------------------------------------------------------------------------- */

static void check_members(const struct check *check)
{
	static const char *const known[] = {"name",    "default", "subfolder", "layout", "registry",
					    "type",    "target",  "maxSize",   "keep",   "delivered",
					    "dropped", "fault",   "createdAt"};
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)check->route, key, value) {
		size_t i = 0;

		while (i < IOT_LENGTH(known) && strcmp(known[i], key) != 0)
			i++;
		if (i == IOT_LENGTH(known))
			add(check, "member", NULL, "there is no member '%.64s'", key);
	}
}

/* "meters", or "projects/P/locations/L/registries/meters". */
static bool is_registry(const char *text)
{
	static const char *const parts[] = {"projects/", "locations/", "registries/"};
	size_t count = strchr(text, '/') != NULL ? IOT_LENGTH(parts) : 0;

	for (size_t i = 0; i < count; i++) {
		size_t len;

		if (!iot_starts_with(text, parts[i]))
			return false;
		text += strlen(parts[i]);
		len = strcspn(text, "/");
		if (len == 0 || (text[len] == '/') != (i + 1 < count))
			return false;
		text += i + 1 < count ? len + 1 : 0;
	}
	return *text != '\0' && strchr(text, '/') == NULL;
}

static bool same_registry(const json_t *a, const json_t *b)
{
	const char *one = iot_json_str(a, "registry", ""), *other = iot_json_str(b, "registry", "");

	return strcmp(one, other) == 0;
}

static void check_selection(const struct check *check)
{
	const char *subfolder = member(check, "subfolder"), *layout = member(check, "layout");
	const char *registry = member(check, "registry");
	bool is_default = iot_json_bool(check->route, "default", false);
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_layout *loaded = NULL;

	if (is_default == (subfolder != NULL))
		add(check, "member", NULL, "a route has a subfolder, or is the default one");
	if (is_default && layout != NULL)
		add(check, "member", NULL, "the default route is for all layouts");
	if (registry != NULL && !is_registry(registry))
		add(check, "member", "'meters', or 'projects/P/locations/L/registries/meters'",
		    "'%.128s' is no registry", registry);
	if (subfolder != NULL && *subfolder != '\0' &&
	    (subfolder[0] == '$' || iot_topic_check_filter(subfolder, strlen(subfolder), &err) != IOT_OK))
		add(check, "member", "as in topics: '+' and '#' alone in their level, '#' last",
		    "'%.128s' is no filter for subfolders", subfolder);
	if (layout != NULL && iot_layout_load(check->cloud, layout, &loaded, &err) != IOT_OK)
		add(check, "member", err.hint[0] != '\0' ? err.hint : NULL, "%s", err.what);
	iot_layout_free(loaded);
}

static void check_route(const struct check *check)
{
	const char *type = member(check, "type"), *name = member(check, "name");

	if (iot_json_bool(check->route, "damaged", false)) {
		add(check, "member", "remove it and add it again", "the route cannot be read");
		return;
	}
	check_members(check);
	if (name == NULL || !layout_name_valid(name))
		add(check, "member", NULL, "a name must be 1 to %d of the characters A-Z a-z 0-9 _ -",
		    IOT_LAYOUT_NAME_MAX);
	check_selection(check);
	if (type != NULL && strcmp(type, "file") == 0)
		check_file(check);
	else if (type != NULL && strcmp(type, "command") == 0)
		check_command(check);
	else if (type != NULL && strcmp(type, "topic") == 0)
		check_topic(check);
	else
		add(check, "member", NULL, "type must be file, command or topic");
}

/* Does an earlier route take all that this one is for? */
static bool hides(const json_t *earlier, const json_t *later)
{
	const char *a = iot_json_str(earlier, "subfolder", NULL), *b = iot_json_str(later, "subfolder", NULL);
	const char *layout = iot_json_str(earlier, "layout", NULL), *other = iot_json_str(later, "layout", NULL);

	if (a == NULL || b == NULL || (layout != NULL && (other == NULL || strcmp(layout, other) != 0)))
		return false;
	if (json_object_get(earlier, "registry") != NULL && !same_registry(earlier, later))
		return false;
	if (*a == '\0' || *b == '\0')
		return strcmp(a, b) == 0 || strcmp(a, "#") == 0;
	return iot_topic_covers(a, b);
}

static void check_order(const struct check *check, const json_t *routes, size_t at)
{
	size_t i;
	json_t *earlier;

	json_array_foreach(routes, i, earlier) {
		if (i < at && hides(earlier, check->route)) {
			add(check, "never", "put it in front of that one with --before",
			    "route '%s' takes all its events before it", iot_json_str(earlier, "name", ""));
			return;
		}
	}
}

/* --- for people -------------------------------------------------------------------------------- */

enum iot_status iot_route_list(struct iot_cloud *cloud, json_t **ret, struct iot_error *err)
{
	enum iot_status status = iot_fleet_need_local(cloud, err);

	return status == IOT_OK ? iot_local_routes(cloud, ret, err) : status;
}

static size_t index_of(const json_t *routes, const char *name)
{
	size_t i;
	json_t *route;

	json_array_foreach(routes, i, route) {
		if (strcmp(iot_json_str(route, "name", ""), name) == 0)
			break;
	}
	return i;
}

enum iot_status iot_route_show(struct iot_cloud *cloud, const char *name, json_t **ret, struct iot_error *err)
{
	IOT_JSON routes = NULL;
	enum iot_status status = iot_route_list(cloud, &routes, err);
	size_t at = index_of(routes, name);

	if (status == IOT_OK && at == json_array_size(routes))
		return iot_fail(err, IOT_NOT_FOUND, "there is no route '%s'", name);
	if (status == IOT_OK)
		*ret = json_incref(json_array_get(routes, at));
	return status;
}

enum iot_status iot_route_remove(struct iot_cloud *cloud, const char *name, struct iot_error *err)
{
	enum iot_status status = iot_fleet_need_local(cloud, err);

	return status == IOT_OK ? iot_local_route_remove(cloud, name, err) : status;
}

enum iot_status iot_route_check(struct iot_cloud *cloud, json_t **ret_findings, struct iot_error *err)
{
	IOT_CLEAN(iot_talk_free_p) struct iot_talk *talk = NULL;
	IOT_JSON routes = NULL;
	json_t *findings, *route;
	size_t i;
	enum iot_status status = iot_route_list(cloud, &routes, err);

	if (status == IOT_OK)
		status = iot_talk_new(cloud, &talk, err);
	if (status != IOT_OK)
		return status;
	findings = json_array();
	json_array_foreach(routes, i, route) {
		const struct check check = {cloud, talk, route, findings};

		check_route(&check);
		check_order(&check, routes, i);
	}
	*ret_findings = findings;
	return IOT_OK;
}

static enum iot_status refuse(const json_t *findings, struct iot_error *err)
{
	const json_t *first = json_array_get(findings, 0);

	iot_fail(err, IOT_USAGE, "%s", iot_json_str(first, "message", ""));
	if (json_object_get(first, "hint") != NULL)
		iot_error_hint(err, "%s", iot_json_str(first, "hint", ""));
	return IOT_USAGE;
}

/* Among the others: a default route is the only one, there are not too many, none hides it. */
static enum iot_status check_among(const struct check *check, const json_t *routes, const char *before,
				   struct iot_error *err)
{
	size_t at = before != NULL ? index_of(routes, before) : json_array_size(routes), i;
	json_t *other;

	if (before != NULL && at == json_array_size(routes))
		return iot_fail(err, IOT_NOT_FOUND, "there is no route '%s'", before);
	if (json_array_size(routes) >= IOT_ROUTES_MAX)
		return iot_fail(err, IOT_CONFLICT, "there are %d routes already, which is the most", IOT_ROUTES_MAX);
	json_array_foreach(routes, i, other) {
		if (iot_json_bool(check->route, "default", false) && iot_json_bool(other, "default", false) &&
		    same_registry(check->route, other))
			return iot_fail(err, IOT_CONFLICT, "route '%s' is the default one already",
					iot_json_str(other, "name", ""));
	}
	check_order(check, routes, at);
	return IOT_OK;
}

/* A program named without its folder is looked up now, whatever PATH serve has. *ret is a copy. */
static enum iot_status settle(const json_t *route, json_t **ret, struct iot_error *err)
{
	IOT_JSON copy = json_deep_copy(route);
	json_t *words = json_object_get(copy, "target");
	const char *program = json_string_value(json_array_get(words, 0));
	IOT_CLEAN(iot_free_p) char *found = NULL;
	IOT_CLEAN(iot_free_p) char *absolute = NULL;

	if (program != NULL && program[0] != '/') {
		found = iot_process_find(program);
		if (found == NULL)
			return iot_fail(err, IOT_NOT_FOUND, "program '%s' is not there", program);
		absolute = iot_path_absolute(found);
		json_array_set_new(words, 0, json_string(absolute));
	}
	*ret = iot_take(copy);
	return IOT_OK;
}

enum iot_status iot_route_add(struct iot_cloud *cloud, const json_t *route, const char *before, struct iot_error *err)
{
	IOT_CLEAN(iot_talk_free_p) struct iot_talk *talk = NULL;
	IOT_JSON findings = json_array();
	IOT_JSON routes = NULL;
	IOT_JSON settled = NULL;
	struct check check = {.cloud = cloud, .findings = findings};
	enum iot_status status = iot_route_list(cloud, &routes, err);

	if (status == IOT_OK)
		status = iot_talk_new(cloud, &talk, err);
	if (status == IOT_OK)
		status = settle(route, &settled, err);
	if (status != IOT_OK)
		return status;
	check.talk = talk;
	check.route = settled;
	check_route(&check);
	if (json_array_size(findings) == 0)
		status = check_among(&check, routes, before, err);
	if (status == IOT_OK && json_array_size(findings) > 0)
		status = refuse(findings, err);
	return status == IOT_OK ? iot_local_route_add(cloud, settled, before, err) : status;
}
