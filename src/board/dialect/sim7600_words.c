/*
 * What a SIM7600's replies say (SIM7500/SIM7600 AT command manual), and what its
 * MQTT codes mean to the person at the bench. Firmware differs in how it writes
 * lists, with quotes and without, so both are read.
 */
#include "board/dialect/sim7600_private.h"

#include "iotctl/base.h"
#include "iotctl/text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { IMEI_LEN = 15, NUMBER_MAX_LEN = 6 };

/* --- lines ------------------------------------------------------------------------------- */

/* Words of the module's own, besides those that begin with '+'; they come when they like. */
static const char *const unasked[] = {"RDY", "SMS DONE", "PB DONE", "START", "NO CARRIER", "RING"};

/* Answers that are lines of information. All others with a '+' are events. */
static const char *const informs[] = {"+CCERTLIST:", "+CSSLCFG:", "+CGDCONT:", "+CGMR:", "+CGSN:", "+CGMM:", "+CGMI:"};

static bool begins(const char *line, size_t len, const char *front)
{
	return len >= strlen(front) && strncmp(line, front, strlen(front)) == 0;
}

static bool is_unasked(const char *line, size_t len)
{
	if (begins(line, len, "AT") || begins(line, len, "at"))
		return true; /* its echo */
	for (size_t i = 0; i < IOT_LENGTH(unasked); i++)
		if (strlen(unasked[i]) == len && begins(line, len, unasked[i]))
			return true;
	if (*line != '+' && *line != '*')
		return false;
	for (size_t i = 0; i < IOT_LENGTH(informs); i++)
		if (begins(line, len, informs[i]))
			return false;
	return true;
}

static bool is_noise(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (line[i] < ' ' || line[i] > '~')
			return true;
	return false;
}

static bool parse_number(const char *text, size_t len, int *ret)
{
	*ret = 0;
	if (len == 0 || len > NUMBER_MAX_LEN)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!isdigit((unsigned char)text[i]))
			return false;
		*ret = *ret * 10 + (text[i] - '0');
	}
	return true;
}

static void trim(const char **text, size_t *len)
{
	while (*len > 0 && isspace((unsigned char)**text))
		(*text)++, (*len)--;
	while (*len > 0 && isspace((unsigned char)(*text)[*len - 1]))
		(*len)--;
}

enum iot_at_verdict s7_judge(const char *line, size_t len, struct iot_at_answer *answer, int *ret_more)
{
	static const char cme[] = "+CME ERROR:", cms[] = "+CMS ERROR:";
	size_t behind = strlen(cme);

	*ret_more = 0;
	trim(&line, &len);
	iot_buf_clear(&answer->text);
	if (len == 2 && memcmp(line, "OK", 2) == 0)
		return IOT_AT_OK;
	if (len == 5 && memcmp(line, "ERROR", 5) == 0)
		return IOT_AT_ERROR;
	if (begins(line, len, cme) || begins(line, len, cms)) {
		const char *code = line + behind;
		size_t code_len = len - behind;

		trim(&code, &code_len);
		iot_buf_add(&answer->text, code, code_len);
		if (!parse_number(code, code_len, &answer->code))
			answer->code = -1;
		return IOT_AT_ERROR;
	}
	if (iot_at_refuses(line, len)) /* the word of a board of another kind */
		return IOT_AT_ERROR;
	return len == 0 || is_noise(line, len) || is_unasked(line, len) ? IOT_AT_STRANGER : IOT_AT_PART;
}

const char *s7_line(const char *lines, const char *front, size_t *ret_len)
{
	for (const char *line = lines; *line != '\0';) {
		size_t len = strcspn(line, "\n");
		const char *next = line + len + (line[len] == '\n');

		trim(&line, &len);
		if (len > 0 && begins(line, len, front)) {
			*ret_len = len;
			return line;
		}
		line = next;
	}
	return NULL;
}

/* --- fields -------------------------------------------------------------------------------- */

/* From *text on: up to a comma outside of quotes. False at the end. */
static bool next_field(const char **text, size_t *left, const char **ret, size_t *ret_len)
{
	bool quoted = false;
	size_t len = 0;

	if (*text == NULL)
		return false;
	while (len < *left && (quoted || (*text)[len] != ','))
		if ((*text)[len++] == '"')
			quoted = !quoted;
	*ret = *text;
	*ret_len = len;
	if (len < *left) {
		*text += len + 1;
		*left -= len + 1;
	} else {
		*text = NULL;
	}
	trim(ret, ret_len);
	if (*ret_len >= 2 && **ret == '"' && (*ret)[*ret_len - 1] == '"') {
		(*ret)++;
		*ret_len -= 2;
	}
	return true;
}

/* What follows "+WORD:". */
static const char *after_word(const char *line, size_t len, size_t *ret_len)
{
	const char *colon = memchr(line, ':', len);

	if (colon == NULL)
		return NULL;
	*ret_len = len - (size_t)(colon + 1 - line);
	return colon + 1;
}

bool s7_field(const char *line, size_t len, size_t index, char *out, size_t size)
{
	size_t left = 0, field_len = 0;
	const char *at = after_word(line, len, &left), *field = NULL;

	for (size_t i = 0; i <= index; i++)
		if (!next_field(&at, &left, &field, &field_len))
			return false;
	if (field_len >= size)
		return false;
	memcpy(out, field, field_len);
	out[field_len] = '\0';
	return true;
}

bool s7_result(const char *line, size_t len, const char *word, int *ret)
{
	const char *at, *field;
	size_t left = 0, field_len;
	bool good = false;

	trim(&line, &len);
	if (!begins(line, len, word) || len == strlen(word) || line[strlen(word)] != ':')
		return false;
	at = after_word(line, len, &left);
	while (next_field(&at, &left, &field, &field_len))
		good = parse_number(field, field_len, ret);
	return good;
}

/* A bit that turned on the way makes a name with a blank: it is to be seen, so that the file can be deleted. */
static bool is_name(const char *name, size_t len)
{
	if (len < 5 || len > S7_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (name[i] < ' ' || name[i] > '~' || name[i] == '"')
			return false;
	return true;
}

void s7_files_parse(const char *lines, struct s7_files *ret)
{
	static const char word[] = "+CCERTLIST:";
	const char *line;
	size_t len;

	ret->count = 0;
	for (; (line = s7_line(lines, word, &len)) != NULL; lines = line + len) {
		const char *at, *field;
		size_t left = 0, field_len;

		at = after_word(line, len, &left);
		while (next_field(&at, &left, &field, &field_len)) {
			if (!is_name(field, field_len) || ret->count == S7_FILES_MAX)
				continue;
			memcpy(ret->names[ret->count], field, field_len);
			ret->names[ret->count++][field_len] = '\0';
		}
	}
}

bool s7_imei(const char *lines, char out[16])
{
	static const char word[] = "+CGSN:";
	const char *line;
	size_t len;

	for (; (line = s7_line(lines, "", &len)) != NULL; lines = line + len) {
		if (begins(line, len, word)) {
			line += strlen(word);
			len -= strlen(word);
			trim(&line, &len);
		}
		if (len >= 2 && *line == '"') {
			line++;
			len -= 2;
		}
		if (len == IMEI_LEN && strspn(line, "0123456789") >= IMEI_LEN) {
			memcpy(out, line, IMEI_LEN);
			out[IMEI_LEN] = '\0';
			return true;
		}
	}
	return false;
}

/* --- codes ------------------------------------------------------------------------------------ */

#define SIM_AND_APN "check SIM card, antenna and APN (--apn)"
#define NAME_AND_ROUTE                                                                                                 \
	"check that 'iotctl serve' runs and that the endpoint's name and port can be reached from the mobile network"
#define CERTIFICATES                                                                                                   \
	"the module's root CA must be that of the broker's certificate, which must carry the endpoint's name, and "    \
	"the "                                                                                                         \
	"broker must know the module's certificate; what it holds is written again by the next run"
#define POLICY "the certificate must be ACTIVE, attached to the thing, and its policy must allow iot:Connect"
#define RESTART "switch the module off and on"

static const struct s7_fault faults[] = {
	{1, "it failed and does not say why", RESTART},
	{3, "no connection to the endpoint", NAME_AND_ROUTE},
	{4, "it has no socket left", RESTART},
	{5, "its socket could not be closed", RESTART},
	{6, "the broker ended the connection, as it does when it refuses a device", POLICY},
	{7, "it does not get onto the mobile network", SIM_AND_APN},
	{8, "the mobile network could not be left", RESTART},
	{9, "it is not on the mobile network", SIM_AND_APN},
	{11, "it is not connected", NULL},
	{12, "it does not accept the parameters", "its thing name or endpoint may be too long for it"},
	{13, "its firmware cannot do it", "update the module's firmware"},
	{14, "it is busy", RESTART},
	{15, "it does not get onto the mobile network", SIM_AND_APN},
	{16, "what it sends does not arrive", SIM_AND_APN},
	{17, "nobody answers in time", NAME_AND_ROUTE},
	{19, "its MQTT client is in use", RESTART},
	{20, "its MQTT client was not made", RESTART},
	{23, "its MQTT client runs already", RESTART},
	{25, "the endpoint's name does not resolve", NAME_AND_ROUTE},
	{26, "the broker ended the connection, as it does when it refuses a device", POLICY},
	{27, "the broker does not speak its version of MQTT", NULL},
	{28, "the broker refuses its client id", POLICY},
	{29, "the broker is not available", "try it again in a while"},
	{30, "the broker refuses the user or the password", POLICY},
	{31, "the broker does not allow it", POLICY},
	{32, "the TLS handshake failed", CERTIFICATES},
	{33, "it misses a certificate", "run it again: what it holds is written again"},
	{34, "no TLS session could be opened", CERTIFICATES},
	{35, "it could not disconnect", RESTART},
};

const struct s7_fault *s7_mqtt_fault(int code)
{
	static const struct s7_fault unknown = {-1, "it does not say why", "see its AT command manual"};

	for (size_t i = 0; i < IOT_LENGTH(faults); i++)
		if (faults[i].code == code)
			return &faults[i];
	return &unknown;
}
