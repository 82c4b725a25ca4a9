/*
 * Text patterns: literal text, '*', '?' and variables. A pattern is cut into items once;
 * matching walks them with two positions and goes back only to the last '*', so that its
 * time is at most the product of both lengths. Values of variables are compared as they
 * are and never looked at for wildcards.
 */
#include "internal.h"

#include "iotctl/base.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

static void add_item(struct policy_pattern *pattern, struct policy_item item)
{
	if (item.kind == POLICY_ITEM_ANY && pattern->count > 0 &&
	    pattern->items[pattern->count - 1].kind == POLICY_ITEM_ANY)
		return;
	pattern->items = iot_realloc(pattern->items, (pattern->count + 1) * sizeof(item));
	pattern->items[pattern->count++] = item;
}

static void add_text(struct policy_pattern *pattern, size_t *used, char c)
{
	struct policy_item *last = pattern->count > 0 ? &pattern->items[pattern->count - 1] : NULL;

	pattern->text[*used] = c;
	if (last != NULL && last->kind == POLICY_ITEM_TEXT)
		last->len++;
	else
		add_item(pattern,
			 (struct policy_item){.kind = POLICY_ITEM_TEXT, .text = pattern->text + *used, .len = 1});
	(*used)++;
}

/* `name` is what stands between the braces: an escaped character or a variable. */
static void add_braced(struct policy_pattern *pattern, size_t *used, const char *name, size_t len)
{
	struct policy_item item = {.kind = POLICY_ITEM_VAR};

	if (len == 1 && strchr("*?$", name[0]) != NULL) {
		add_text(pattern, used, name[0]);
		return;
	}
	policy_var_parse(name, len, &item.var);
	add_item(pattern, item);
	pattern->has_var = true;
}

enum iot_status policy_pattern_compile(const char *text, size_t len, unsigned flags, const char *where,
				       struct policy_pattern *ret, struct iot_error *err)
{
	struct policy_pattern pattern = {0};
	size_t used = 0;

	pattern.text = iot_alloc(len + 1);
	for (size_t i = 0; i < len; i++) {
		if ((flags & POLICY_VARIABLES) != 0 && text[i] == '$' && i + 1 < len && text[i + 1] == '{') {
			const char *end = memchr(text + i, '}', len - i);

			if (end == NULL || end == text + i + 2) {
				policy_pattern_release(&pattern);
				return iot_fail(err, IOT_USAGE, "%s '%.*s' has %s", where, (int)len, text,
						end == NULL ? "'${' without '}'" : "'${}' without a name");
			}
			add_braced(&pattern, &used, text + i + 2, (size_t)(end - text) - i - 2);
			i = (size_t)(end - text);
		} else if ((flags & POLICY_WILDCARDS) != 0 && text[i] == '*') {
			add_item(&pattern, (struct policy_item){.kind = POLICY_ITEM_ANY});
		} else if ((flags & POLICY_WILDCARDS) != 0 && text[i] == '?') {
			add_item(&pattern, (struct policy_item){.kind = POLICY_ITEM_ONE});
		} else {
			add_text(&pattern, &used, text[i]);
		}
	}
	pattern.any = pattern.count == 1 && pattern.items[0].kind == POLICY_ITEM_ANY;
	*ret = pattern;
	return IOT_OK;
}

void policy_pattern_release(struct policy_pattern *pattern)
{
	for (size_t i = 0; i < pattern->count; i++)
		policy_var_release(&pattern->items[i].var);
	free(pattern->items);
	free(pattern->text);
	*pattern = (struct policy_pattern){0};
}

struct match {
	const struct policy_pattern *pattern;
	const char *text;
	size_t len;
	bool ignore_case;
	const struct iot_policy_vars *vars;
};

/* The text of an item that is not a wildcard; NULL for a variable without a value. */
static struct policy_span item_text(const struct policy_item *item, const struct iot_policy_vars *vars)
{
	const char *value;

	if (item->kind == POLICY_ITEM_TEXT)
		return (struct policy_span){item->text, item->len};
	value = policy_var_value(&item->var, vars);
	return (struct policy_span){value, value == NULL ? 0 : strlen(value)};
}

static bool continues_character(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

static bool same(const struct match *m, size_t pos, struct policy_span text)
{
	if (text.len > m->len - pos)
		return false;
	return m->ignore_case ? strncasecmp(m->text + pos, text.data, text.len) == 0
			      : memcmp(m->text + pos, text.data, text.len) == 0;
}

/* Match the items [from, to), none of them a '*', at `pos`; the position behind, or SIZE_MAX. */
static size_t match_run(const struct match *m, size_t from, size_t to, size_t pos)
{
	for (size_t i = from; i < to; i++) {
		const struct policy_item *item = &m->pattern->items[i];

		if (item->kind == POLICY_ITEM_ONE) {
			if (pos == m->len)
				return SIZE_MAX;
			pos++;
			while (pos < m->len && continues_character(m->text[pos]))
				pos++;
		} else {
			struct policy_span text = item_text(item, m->vars);

			if (text.data == NULL || !same(m, pos, text))
				return SIZE_MAX;
			pos += text.len;
		}
	}
	return pos;
}

/* As match_run, at the first position from `pos` where it succeeds, as behind a '*'; `to_the_end`: and ends the text.
 */
static size_t find_run(const struct match *m, size_t from, size_t to, size_t pos, bool to_the_end)
{
	const struct policy_item *first = &m->pattern->items[from];
	struct policy_span lead = {NULL, 0};

	if (first->kind != POLICY_ITEM_ONE) {
		lead = item_text(first, m->vars);
		if (lead.data == NULL)
			return SIZE_MAX;
	}
	for (; pos < m->len; pos++) {
		size_t behind;

		if (lead.data != NULL && !m->ignore_case) {
			const char *next = memchr(m->text + pos, lead.data[0], m->len - pos);

			if (next == NULL)
				return SIZE_MAX;
			pos = (size_t)(next - m->text);
		} else if (continues_character(m->text[pos])) {
			continue;
		}
		behind = match_run(m, from, to, pos);
		if (behind != SIZE_MAX && (!to_the_end || behind == m->len))
			return behind;
	}
	return SIZE_MAX;
}

bool policy_pattern_match(const struct policy_pattern *pattern, const char *text, size_t len, bool ignore_case,
			  const struct iot_policy_vars *vars)
{
	const struct match m = {pattern, text, len, ignore_case, vars};
	size_t from = 0, pos = 0;
	bool floating = false; /* a '*' stands before the run */

	while (true) {
		size_t to = from;
		bool last;

		while (to < pattern->count && pattern->items[to].kind != POLICY_ITEM_ANY)
			to++;
		last = to == pattern->count;
		if (floating && last && from == to)
			return true;
		pos = floating ? find_run(&m, from, to, pos, last) : match_run(&m, from, to, pos);
		if (pos == SIZE_MAX)
			return false;
		if (last)
			return pos == len;
		from = to + 1;
		floating = true;
	}
}

bool policy_pattern_resolves(const struct policy_pattern *pattern, const struct iot_policy_vars *vars)
{
	for (size_t i = 0; pattern->has_var && i < pattern->count; i++)
		if (pattern->items[i].kind == POLICY_ITEM_VAR && policy_var_value(&pattern->items[i].var, vars) == NULL)
			return false;
	return true;
}
