/*
 * Does one pattern match all that another can match? Both are laid out as symbols, and the
 * outer pattern is matched against the inner one as if that were text: a '*' in it can only
 * be met by a '*', a variable only by the same variable. Errs on the side of "no".
 */
#include "internal.h"

#include "iotctl/base.h"

#include <ctype.h>
#include <string.h>

struct symbol {
	enum policy_item_kind kind;
	unsigned char c;
	const struct policy_var *var;
};

static struct symbol *lay_out(const struct policy_pattern *pattern, size_t *ret_count)
{
	struct symbol *symbols;
	size_t count = 0;

	for (size_t i = 0; i < pattern->count; i++)
		count += pattern->items[i].kind == POLICY_ITEM_TEXT ? pattern->items[i].len : 1;
	symbols = iot_alloc_array(count + 1, sizeof(*symbols));
	count = 0;
	for (size_t i = 0; i < pattern->count; i++) {
		const struct policy_item *item = &pattern->items[i];

		if (item->kind == POLICY_ITEM_TEXT)
			for (size_t k = 0; k < item->len; k++)
				symbols[count++] = (struct symbol){item->kind, (unsigned char)item->text[k], NULL};
		else
			symbols[count++] = (struct symbol){item->kind, 0, &item->var};
	}
	*ret_count = count;
	return symbols;
}

static bool same_var(const struct policy_var *a, const struct policy_var *b)
{
	return a->id == b->id && a->index == b->index && a->list == b->list &&
	       (a->name == b->name || (a->name != NULL && b->name != NULL && strcmp(a->name, b->name) == 0));
}

static bool symbol_covers(const struct symbol *outer, const struct symbol *inner, bool ignore_case)
{
	if (outer->kind == POLICY_ITEM_ONE)
		return inner->kind == POLICY_ITEM_ONE || (inner->kind == POLICY_ITEM_TEXT && inner->c < 0x80);
	if (outer->kind != inner->kind)
		return false;
	if (outer->kind == POLICY_ITEM_VAR)
		return same_var(outer->var, inner->var);
	return outer->c == inner->c || (ignore_case && tolower(outer->c) == tolower(inner->c));
}

bool policy_pattern_covers(const struct policy_pattern *outer, const struct policy_pattern *inner, bool ignore_case)
{
	size_t outer_count, inner_count, o = 0, i = 0, star = SIZE_MAX, star_i = 0;
	IOT_CLEAN(iot_free_p) struct symbol *os = lay_out(outer, &outer_count);
	IOT_CLEAN(iot_free_p) struct symbol *is = lay_out(inner, &inner_count);

	while (i < inner_count) {
		if (o < outer_count && os[o].kind == POLICY_ITEM_ANY) {
			star = o++;
			star_i = i;
		} else if (o < outer_count && symbol_covers(&os[o], &is[i], ignore_case)) {
			o++;
			i++;
		} else if (star != SIZE_MAX) {
			o = star + 1;
			i = ++star_i;
		} else {
			return false;
		}
	}
	while (o < outer_count && os[o].kind == POLICY_ITEM_ANY)
		o++;
	return o == outer_count;
}
