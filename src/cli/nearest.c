/* "Did you mean": the known word nearest to what was typed. */
#include "iotctl/cli.h"
#include "iotctl/text.h"

#include <string.h>

#define MAX_WORD 64

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Insertions, deletions, substitutions and swaps of neighbours that turn a into b. */
static size_t distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b);
	size_t rows[3][MAX_WORD + 1];
	size_t *before = rows[0], *above = rows[1], *row = rows[2];

	for (size_t j = 0; j <= lb; j++) {
		before[j] = 0;
		above[j] = j;
	}
	for (size_t i = 1; i <= la; i++) {
		size_t *spare = before;

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t d = above[j - 1] + (a[i - 1] != b[j - 1]);

			d = least(d, least(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d = least(d, before[j - 2] + 1);
			row[j] = d;
		}
		before = above;
		above = row;
		row = spare;
	}
	return above[lb];
}

const char *cli_nearest(const char *word, const char *const *words, size_t count)
{
	size_t length = strlen(word);
	size_t best = (length + 2) / 3 + 1; /* more than a third wrong is another word */
	const char *found = NULL;

	if (length == 0 || length > MAX_WORD)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		size_t d;

		if (strlen(words[i]) > MAX_WORD)
			continue;
		d = distance(word, words[i]);
		/* The beginning of a word is most likely meant as an abbreviation of it. */
		if (length >= 2 && iot_starts_with(words[i], word))
			d = least(d, 1);
		if (d < best) {
			best = d;
			found = words[i];
		}
	}
	return found;
}
