/* Fault words, and dice (splitmix64, Steele et al. 2014) to play them by. */
#include "sim/expresslink/faults.h"

#include "iotctl/base.h"
#include "iotctl/text.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum { ERROR_CODE_MAX = 29, NOISE_BYTES_MAX = 8 };

#define NOISE_DEFAULT 0.25

void faults_init(struct module_faults *faults, uint64_t seed)
{
	memset(faults, 0, sizeof(*faults));
	faults->dice = seed;
}

void faults_release(struct module_faults *faults)
{
	for (size_t i = 0; i < faults->command_count; i++)
		free(faults->commands[i].command);
	faults->command_count = 0;
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

static enum iot_status parse_probability(const char *text, double *ret, struct iot_error *err)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end != '\0' || !(value >= 0 && value <= 1))
		return iot_fail(err, IOT_USAGE, "'%s' is not a probability from 0 to 1", text);
	*ret = value;
	return IOT_OK;
}

static enum iot_status add_command(struct module_faults *faults, const char *command, size_t len, int error,
				   struct iot_error *err)
{
	if (len == 0)
		return iot_fail(err, IOT_USAGE, "a fault of a command needs the command");
	if (faults->command_count == FAULT_COMMANDS_MAX)
		return iot_fail(err, IOT_USAGE, "no more than %d faults of commands", FAULT_COMMANDS_MAX);
	if (len > 3 && strncasecmp(command, "AT+", 3) == 0) {
		command += 3;
		len -= 3;
	}
	faults->commands[faults->command_count].command = iot_strndup(command, len);
	faults->commands[faults->command_count++].error = error;
	return IOT_OK;
}

static enum iot_status add_error(struct module_faults *faults, const char *text, struct iot_error *err)
{
	const char *colon = strrchr(text, ':');
	int64_t code;
	enum iot_status status;

	if (colon == NULL)
		return iot_fail(err, IOT_USAGE, "fault 'err=%s' has no code: err=COMMAND:CODE", text);
	status = iot_parse_int(colon + 1, 1, ERROR_CODE_MAX, &code, err);
	return status == IOT_OK ? add_command(faults, text, (size_t)(colon - text), (int)code, err) : status;
}

enum iot_status faults_add(struct module_faults *faults, const char *text, struct iot_error *err)
{
	const char *equals = strchr(text, '=');
	const char *value = equals != NULL ? equals + 1 : NULL;
	size_t len = equals != NULL ? (size_t)(equals - text) : strlen(text);
	const struct {
		const char *name;
		bool *flag;
	} flags[] = {{"silence-in-pem", &faults->silence_in_pem},
		     {"wrong-speed", &faults->wrong_speed},
		     {"literal-pem", &faults->literal_pem}};
	const struct {
		const char *name;
		double *probability;
		int64_t *time;
	} values[] = {{"noise", &faults->noise, NULL},
		      {"drop", &faults->drop, NULL},
		      {"double", &faults->twice, NULL},
		      {"slow", NULL, &faults->slow_ms},
		      {"backoff", NULL, &faults->backoff_ms}};

	for (size_t i = 0; i < IOT_LENGTH(flags); i++) {
		if (value == NULL && strcmp(text, flags[i].name) == 0) {
			*flags[i].flag = true;
			return IOT_OK;
		}
	}
	if (strcmp(text, "noise") == 0) {
		faults->noise = NOISE_DEFAULT;
		return IOT_OK;
	}
	for (size_t i = 0; i < IOT_LENGTH(values) && value != NULL; i++) {
		if (strlen(values[i].name) != len || strncmp(text, values[i].name, len) != 0)
			continue;
		return values[i].time != NULL ? iot_parse_duration(value, values[i].time, err)
					      : parse_probability(value, values[i].probability, err);
	}
	if (value != NULL && len == 3 && strncmp(text, "err", len) == 0)
		return add_error(faults, value, err);
	if (value != NULL && len == 5 && strncmp(text, "reset", len) == 0)
		return add_command(faults, value, strlen(value), 0, err);
	iot_fail(err, IOT_USAGE, "no fault is called '%s'", text);
	iot_error_hint(err, "use " FAULT_WORDS);
	return IOT_USAGE;
}

void faults_wire(struct module_faults *faults, const char *data, size_t len, struct iot_buf *out)
{
	for (size_t i = 0; i < len; i++) {
		char c = data[i];

		if (happens(faults, faults->drop))
			continue;
		if (faults->wrong_speed) /* bits are taken at the wrong moments */
			c = (char)(roll(faults) | 0x80);
		iot_buf_addc(out, c);
		if (happens(faults, faults->twice))
			iot_buf_addc(out, c);
	}
}

void faults_noise(struct module_faults *faults, struct iot_buf *out)
{
	if (!happens(faults, faults->noise))
		return;
	for (uint64_t n = 1 + roll(faults) % NOISE_BYTES_MAX; n > 0; n--)
		iot_buf_addc(out, (char)roll(faults));
	iot_buf_addc(out, '\n'); /* noise that would run into an answer cannot be told from it by anybody */
}

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

int faults_command(struct module_faults *faults, const char *line, size_t len)
{
	for (size_t i = 0; i < faults->command_count; i++) {
		if (faults->commands[i].spent || !is_front(faults->commands[i].command, line, len))
			continue;
		if (faults->commands[i].error > 0)
			return faults->commands[i].error;
		faults->commands[i].spent = true;
		return -1;
	}
	return 0;
}
