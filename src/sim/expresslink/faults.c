/* Fault words, what each is aimed at, and dice (splitmix64, Steele et al. 2014) to play them by. */
#include "sim/expresslink/faults.h"

#include "iotctl/base.h"
#include "iotctl/text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { ERROR_CODE_MAX = 29, NOISE_BYTES_MAX = 8, NTH_MAX = 1000000, HELD_MAX = 16 * 1024 };

#define NOISE_DEFAULT 0.25

/* What a fault's word is followed by. */
enum { MAY_AIM = 1 << 0, WITH_CHANCE = 1 << 1, WITH_TIME = 1 << 2, MAY_BE_BARE = 1 << 3 };

static const struct word {
	const char *name;
	enum fault_kind kind;
	unsigned flags;
} words[] = {
	{"noise", FAULT_NOISE, MAY_AIM | WITH_CHANCE | MAY_BE_BARE},
	{"drop", FAULT_DROP, MAY_AIM | WITH_CHANCE},
	{"double", FAULT_DOUBLE, MAY_AIM | WITH_CHANCE},
	{"flip", FAULT_FLIP, MAY_AIM | WITH_CHANCE},
	{"wrong-speed", FAULT_SPEED, MAY_AIM},
	{"silence", FAULT_SILENCE, MAY_AIM},
	{"silence-in-pem", FAULT_SILENCE_IN_PEM, MAY_AIM},
	{"slow", FAULT_SLOW, MAY_AIM | WITH_TIME},
	{"literal-pem", FAULT_LITERAL_PEM, 0},
	{"backoff", FAULT_BACKOFF, WITH_TIME},
};

void faults_init(struct module_faults *faults, uint64_t seed)
{
	memset(faults, 0, sizeof(*faults));
	faults->dice = seed;
}

void faults_release(struct module_faults *faults)
{
	for (size_t i = 0; i < faults->count; i++)
		free(faults->list[i].command);
	faults->count = 0;
}

static uint64_t roll(struct module_faults *faults)
{
	uint64_t z = faults->dice += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static bool happens(struct module_faults *faults, double probability)
{
	return probability > 0 && (double)(roll(faults) >> 11) / (double)(UINT64_C(1) << 53) < probability;
}

/* --- words ----------------------------------------------------------------------------- */

static enum iot_status parse_probability(const char *text, double *ret, struct iot_error *err)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end != '\0' || !(value >= 0 && value <= 1))
		return iot_fail(err, IOT_USAGE, "'%s' is not a probability from 0 to 1", text);
	*ret = value;
	return IOT_OK;
}

/* COMMAND[#N], which is changed. */
static enum iot_status parse_aim(char *text, struct module_fault *fault, struct iot_error *err)
{
	char *hash = strrchr(text, '#');
	enum iot_status status = IOT_OK;

	if (hash != NULL) {
		*hash = '\0';
		status = iot_parse_int(hash + 1, 1, NTH_MAX, &fault->nth, err);
	}
	if (strncasecmp(text, "AT+", 3) == 0)
		text += 3;
	if (status == IOT_OK && *text == '\0')
		return iot_fail(err, IOT_USAGE, "a fault of a command needs the command");
	if (status == IOT_OK)
		fault->command = iot_strdup(text);
	return status;
}

static enum iot_status parse_error(char *text, struct module_fault *fault, struct iot_error *err)
{
	char *colon = strrchr(text, ':');
	int64_t code;
	enum iot_status status;

	if (colon == NULL)
		return iot_fail(err, IOT_USAGE, "fault 'err=%s' has no code: err=COMMAND:CODE", text);
	status = iot_parse_int(colon + 1, 1, ERROR_CODE_MAX, &code, err);
	if (status != IOT_OK)
		return status;
	*colon = '\0';
	fault->error = (int)code;
	return parse_aim(text, fault, err);
}

static enum iot_status parse_value(const struct word *word, const char *value, struct module_fault *fault,
				   struct iot_error *err)
{
	bool wanted = word->flags & (WITH_CHANCE | WITH_TIME);

	fault->probability = NOISE_DEFAULT;
	if (value == NULL && wanted && !(word->flags & MAY_BE_BARE))
		return iot_fail(err, IOT_USAGE, "fault '%s' needs a value: %s=%s", word->name, word->name,
				word->flags & WITH_TIME ? "TIME" : "P");
	if (value != NULL && !wanted)
		return iot_fail(err, IOT_USAGE, "fault '%s' takes no value", word->name);
	if (value == NULL)
		return IOT_OK;
	return word->flags & WITH_TIME ? iot_parse_duration(value, &fault->time_ms, err)
				       : parse_probability(value, &fault->probability, err);
}

/* NAME[=VALUE][@COMMAND[#N]], which is changed. */
static enum iot_status parse_word(char *text, struct module_fault *fault, struct iot_error *err)
{
	char *at = strchr(text, '@');
	char *value;
	const struct word *word = NULL;
	enum iot_status status;

	if (at != NULL)
		*at++ = '\0';
	value = strchr(text, '=');
	if (value != NULL)
		*value++ = '\0';
	for (size_t i = 0; i < IOT_LENGTH(words) && word == NULL; i++)
		if (strcmp(text, words[i].name) == 0)
			word = &words[i];
	if (word == NULL) {
		iot_fail(err, IOT_USAGE, "no fault is called '%s'", text);
		iot_error_hint(err, "use " FAULT_WORDS);
		return IOT_USAGE;
	}
	fault->kind = word->kind;
	status = parse_value(word, value, fault, err);
	if (status == IOT_OK && at != NULL && !(word->flags & MAY_AIM))
		return iot_fail(err, IOT_USAGE, "fault '%s' cannot be aimed at a command", word->name);
	return status == IOT_OK && at != NULL ? parse_aim(at, fault, err) : status;
}

enum iot_status faults_add(struct module_faults *faults, const char *text, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *copy = iot_strdup(text);
	struct module_fault fault = {0};
	enum iot_status status;

	if (faults->count == FAULT_COUNT_MAX)
		return iot_fail(err, IOT_USAGE, "no more than %d faults", FAULT_COUNT_MAX);
	if (iot_starts_with(text, "err=")) {
		fault.kind = FAULT_ERR;
		status = parse_error(copy + strlen("err="), &fault, err);
	} else if (iot_starts_with(text, "reset=")) {
		fault.kind = FAULT_RESET;
		status = parse_aim(copy + strlen("reset="), &fault, err);
		fault.nth = fault.nth > 0 ? fault.nth : 1; /* else it would never come further */
	} else {
		status = parse_word(copy, &fault, err);
		fault.on = fault.command == NULL;
		faults->aimed = faults->aimed || fault.command != NULL;
	}
	if (status == IOT_OK)
		faults->list[faults->count++] = fault;
	return status;
}

/* --- aiming ------------------------------------------------------------------------------- */

static bool is_word(char c)
{
	return isalpha((unsigned char)c) || c == '_' || c == '!' || c == '?';
}

/* CONF is the front of "CONF Topic1=x", but not of "CONF? Topic1". */
static bool is_front(const char *front, const char *line, size_t len)
{
	size_t n = strlen(front);

	return n <= len && strncasecmp(front, line, n) == 0 &&
	       (n == len || !is_word(front[n - 1]) || !is_word(line[n]));
}

/* Is it this time that the fault is meant for? Counts. */
static bool strikes(struct module_fault *fault, const char *line, size_t len)
{
	if (!is_front(fault->command, line, len))
		return false;
	fault->heard++;
	return fault->nth == 0 || fault->heard == fault->nth;
}

/*
 * The command of a line that was said, without AT+ (of others than ExpressLink's: without AT, as in %CMNG); "AT" for a
 * bare one. NULL: none, such as a line of a paste.
 */
static const char *command_of(const char *line, size_t len, size_t *ret_len)
{
	const char *at = NULL;

	for (size_t i = 0; i + 2 < len && at == NULL; i++)
		if (strncasecmp(line + i, "AT+", 3) == 0)
			at = line + i + 3;
		else if (strncasecmp(line + i, "AT%", 3) == 0)
			at = line + i + 2;
	if (at == NULL && len == 2 && strncasecmp(line, "AT", 2) == 0)
		at = line;
	*ret_len = at != NULL ? len - (size_t)(at - line) : 0;
	return at;
}

static const char *name_of(enum fault_kind kind)
{
	for (size_t i = 0; i < IOT_LENGTH(words); i++)
		if (words[i].kind == kind)
			return words[i].name;
	return "";
}

static void aim(struct module_faults *faults, const char *line, size_t len)
{
	size_t command_len, used = 0;
	const char *command = command_of(line, len, &command_len);

	for (size_t i = 0; i < faults->count && command != NULL; i++) {
		struct module_fault *fault = &faults->list[i];

		if (fault->command == NULL || fault->kind == FAULT_ERR || fault->kind == FAULT_RESET)
			continue;
		fault->on = strikes(fault, command, command_len);
		if (fault->on && used < sizeof(faults->struck))
			used += (size_t)snprintf(faults->struck + used, sizeof(faults->struck) - used, "%s%s at %s",
						 used > 0 ? ", " : "", name_of(fault->kind), fault->command);
	}
}

/* --- the wire --------------------------------------------------------------------------------- */

static void carry_byte(struct module_faults *faults, char c, struct iot_buf *out)
{
	int copies = 1;

	for (size_t i = 0; i < faults->count; i++) {
		const struct module_fault *fault = &faults->list[i];

		if (!fault->on)
			continue;
		if (fault->kind == FAULT_DROP && happens(faults, fault->probability))
			copies = 0;
		else if (fault->kind == FAULT_DOUBLE && happens(faults, fault->probability))
			copies *= 2;
		else if (fault->kind == FAULT_FLIP && happens(faults, fault->probability))
			c = (char)(c ^ 1 << roll(faults) % 8);
		else if (fault->kind == FAULT_SPEED) /* bits are taken at the wrong moments */
			c = (char)(roll(faults) | 0x80);
	}
	for (; copies > 0; copies--)
		iot_buf_addc(out, c);
}

void faults_say(struct module_faults *faults, const char *data, size_t len, struct iot_buf *out)
{
	for (size_t i = 0; i < len; i++)
		carry_byte(faults, data[i], out);
}

size_t faults_hear(struct module_faults *faults, const char *data, size_t len, struct iot_buf *out)
{
	size_t line = 0;

	faults->struck[0] = '\0';
	if (faults->aimed) {
		while (line < len && data[line] != '\n' && data[line] != '\r')
			line++;
		if (line == len && len < HELD_MAX)
			return 0; /* nobody can tell yet what it will be */
		aim(faults, data, line);
		len = line < len ? line + 1 : len;
	}
	faults_say(faults, data, len, out);
	return len;
}

/* --- answers ------------------------------------------------------------------------------------ */

static const struct module_fault *active(const struct module_faults *faults, enum fault_kind kind)
{
	for (size_t i = 0; i < faults->count; i++)
		if (faults->list[i].kind == kind && faults->list[i].on)
			return &faults->list[i];
	return NULL;
}

void faults_noise(struct module_faults *faults, struct iot_buf *out)
{
	const struct module_fault *noise = active(faults, FAULT_NOISE);

	if (noise == NULL || !happens(faults, noise->probability))
		return;
	for (uint64_t n = 1 + roll(faults) % NOISE_BYTES_MAX; n > 0; n--)
		iot_buf_addc(out, (char)roll(faults));
	iot_buf_addc(out, '\n'); /* noise that would run into an answer cannot be told from it by anybody */
}

size_t faults_cut(const struct module_faults *faults, const struct iot_buf *answer)
{
	bool silent =
		active(faults, FAULT_SILENCE) != NULL || (active(faults, FAULT_SILENCE_IN_PEM) != NULL &&
							  memmem(answer->data, answer->len, "-----BEGIN", 10) != NULL);

	return silent ? answer->len / 2 : answer->len;
}

int64_t faults_delay_ms(const struct module_faults *faults)
{
	const struct module_fault *slow = active(faults, FAULT_SLOW);

	return slow != NULL ? slow->time_ms : 0;
}

int64_t faults_backoff_ms(const struct module_faults *faults)
{
	const struct module_fault *backoff = active(faults, FAULT_BACKOFF);

	return backoff != NULL ? backoff->time_ms : 0;
}

bool faults_literal_pem(const struct module_faults *faults)
{
	return active(faults, FAULT_LITERAL_PEM) != NULL;
}

int faults_command(struct module_faults *faults, const char *line, size_t len)
{
	for (size_t i = 0; i < faults->count; i++) {
		struct module_fault *fault = &faults->list[i];

		if ((fault->kind == FAULT_ERR || fault->kind == FAULT_RESET) && strikes(fault, line, len))
			return fault->kind == FAULT_ERR ? fault->error : -1;
	}
	return 0;
}
