/*
 * The language of ExpressLink modules as pure functions: frames, escapes,
 * status, events, the configuration dictionary, updates. Both sides of the wire
 * use them, so what one writes the other reads.
 */
#include "iotctl/expresslink.h"

#include "iotctl/base.h"
#include "iotctl/text.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* --- scanning --------------------------------------------------------------------- */

struct scan {
	const char *at, *end;
};

static struct scan scan_of(const char *text, size_t len)
{
	return (struct scan){text, text + len};
}

static bool scan_digit(const struct scan *s)
{
	return s->at < s->end && *s->at >= '0' && *s->at <= '9';
}

/* At most 9 digits, so that it fits. */
static bool scan_number(struct scan *s, int *ret)
{
	int value = 0, digits = 0;

	for (; scan_digit(s); s->at++) {
		if (++digits > 9)
			return false;
		value = value * 10 + (*s->at - '0');
	}
	*ret = value;
	return digits > 0;
}

static bool scan_hex(struct scan *s, int digits_max, uint32_t *ret)
{
	uint32_t value = 0;
	int digits = 0;

	for (; s->at < s->end && isxdigit((unsigned char)*s->at); s->at++) {
		int c = tolower((unsigned char)*s->at);

		if (++digits > digits_max)
			return false;
		value = value << 4 | (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	*ret = value;
	return digits > 0;
}

static bool scan_space(struct scan *s)
{
	if (s->at >= s->end || *s->at != ' ')
		return false;
	s->at++;
	return true;
}

/* A number must end where a word ends. */
static bool scan_boundary(const struct scan *s)
{
	return s->at == s->end || *s->at == ' ';
}

/* --- escapes ------------------------------------------------------------------------ */

void iot_el_escape(const void *data, size_t len, struct iot_buf *out)
{
	const char *text = data;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\n')
			iot_buf_add(out, "\\A", 2);
		else if (text[i] == '\r')
			iot_buf_add(out, "\\D", 2);
		else if (text[i] == '\\')
			iot_buf_add(out, "\\\\", 2);
		else
			iot_buf_addc(out, text[i]);
	}
}

bool iot_el_unescape(const char *text, size_t len, struct iot_buf *out)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] != '\\') {
			iot_buf_addc(out, text[i]);
			continue;
		}
		if (++i == len)
			return false;
		if (text[i] == 'A')
			iot_buf_addc(out, '\n');
		else if (text[i] == 'D')
			iot_buf_addc(out, '\r');
		else if (text[i] == '\\')
			iot_buf_addc(out, '\\');
		else
			return false;
	}
	return true;
}

/* --- commands ------------------------------------------------------------------------- */

static bool is_word(char c)
{
	return isalpha((unsigned char)c) || c == '_' || c == '!' || c == '?';
}

/* Noise may stand before a command: the first "AT" that is followed by '+' or ends the line begins it. */
static const char *command_start(const char *line, size_t len)
{
	for (size_t i = 0; i + 1 < len; i++)
		if (toupper((unsigned char)line[i]) == 'A' && toupper((unsigned char)line[i + 1]) == 'T' &&
		    (i + 2 == len || line[i + 2] == '+'))
			return line + i;
	return NULL;
}

static int parse_word(struct scan *s, struct iot_el_command *ret)
{
	size_t used = 0;

	for (; s->at < s->end && is_word(*s->at); s->at++) {
		if (used == IOT_EL_WORD_MAX)
			return 3;
		ret->word[used++] = (char)toupper((unsigned char)*s->at);
	}
	if (used == 0)
		return 2;
	if (scan_digit(s) && !scan_number(s, &ret->suffix))
		return 2;
	return scan_boundary(s) ? 0 : 2;
}

int iot_el_command_parse(const char *line, size_t len, struct iot_el_command *ret)
{
	const char *start = command_start(line, len);
	struct scan s;
	int code;

	memset(ret, 0, sizeof(*ret));
	ret->suffix = -1;
	ret->param = "";
	if (start == NULL)
		return -1;
	s = scan_of(start, (size_t)(line + len - start));
	s.at += 2;
	if (s.at == s.end)
		return 0;
	s.at++;
	code = parse_word(&s, ret);
	if (code != 0 || !scan_space(&s))
		return code;
	ret->has_param = true;
	ret->param = s.at;
	ret->param_len = (size_t)(s.end - s.at);
	return 0;
}

/* --- answers --------------------------------------------------------------------------- */

bool iot_el_answer_parse(const char *line, size_t len, struct iot_el_answer *ret)
{
	struct scan s = scan_of(line, len);

	*ret = (struct iot_el_answer){false, 0, "", 0};
	if (len >= 3 && memcmp(line, "ERR", 3) == 0) {
		s.at += 3;
		ret->number = -1;
	} else if (len >= 2 && memcmp(line, "OK", 2) == 0) {
		s.at += 2;
		ret->ok = true;
	} else {
		return false;
	}
	if (scan_digit(&s) && !scan_number(&s, &ret->number))
		return false;
	if (s.at == s.end)
		return true;
	if (!scan_space(&s))
		return false;
	ret->detail = s.at;
	ret->detail_len = (size_t)(s.end - s.at);
	return true;
}

enum iot_at_verdict iot_el_judge(const char *line, size_t len, struct iot_at_answer *answer, int *ret_more)
{
	struct iot_el_answer parsed;

	*ret_more = 0;
	if (!iot_el_answer_parse(line, len, &parsed))
		return IOT_AT_STRANGER;
	iot_buf_clear(&answer->text);
	iot_buf_add(&answer->text, parsed.detail, parsed.detail_len);
	if (!parsed.ok) {
		answer->code = parsed.number;
		return IOT_AT_ERROR;
	}
	*ret_more = parsed.number;
	return IOT_AT_OK;
}

bool iot_el_status_parse(const char *detail, size_t len, struct iot_el_status *ret)
{
	struct scan s = scan_of(detail, len);
	int connected, customer;

	*ret = (struct iot_el_status){false, false, false};
	if (!scan_number(&s, &connected) || connected > 1 || !scan_boundary(&s))
		return false;
	ret->connected = connected == 1;
	if (!scan_space(&s) || !scan_digit(&s))
		return true;
	if (!scan_number(&s, &customer) || customer > 1 || !scan_boundary(&s))
		return false;
	ret->known = true;
	ret->customer = customer == 1;
	return true;
}

bool iot_el_hint_parse(const char *detail, size_t len, int *ret_hint, int *ret_sub)
{
	struct scan s = scan_of(detail, len);

	*ret_sub = 0;
	if (!scan_number(&s, ret_hint))
		return false;
	if (s.at < s.end && *s.at == '.') {
		s.at++;
		if (!scan_number(&s, ret_sub))
			return false;
	}
	return scan_boundary(&s);
}

/* --- events ----------------------------------------------------------------------------- */

bool iot_el_event_parse(const char *detail, size_t len, struct iot_el_event *ret, bool *ret_any)
{
	struct scan s = scan_of(detail, len);

	*ret_any = len > 0;
	if (len == 0)
		return true;
	return scan_number(&s, &ret->id) && scan_space(&s) && scan_number(&s, &ret->param) && scan_boundary(&s);
}

const char *iot_el_event_name(int id)
{
	static const struct {
		int id;
		const char *name;
	} names[] = {
		{IOT_EL_TIMEOUT, "TIMEOUT"},
		{IOT_EL_MSG, "MSG"},
		{IOT_EL_STARTUP, "STARTUP"},
		{IOT_EL_CONLOST, "CONLOST"},
		{IOT_EL_OVERRUN, "OVERRUN"},
		{IOT_EL_OTA, "OTA"},
		{IOT_EL_CONNECT, "CONNECT"},
		{IOT_EL_CONFMODE, "CONFMODE"},
		{IOT_EL_SUBACK, "SUBACK"},
		{IOT_EL_SUBNACK, "SUBNACK"},
		{IOT_EL_SHADOW_INIT, "SHADOW INIT"},
		{IOT_EL_SHADOW_INIT_FAILED, "SHADOW INIT FAILED"},
		{IOT_EL_SHADOW_DOC, "SHADOW DOC"},
		{IOT_EL_SHADOW_UPDATE, "SHADOW UPDATE"},
		{IOT_EL_SHADOW_DELTA, "SHADOW DELTA"},
		{IOT_EL_SHADOW_DELETE, "SHADOW DELETE"},
		{IOT_EL_SHADOW_SUBACK, "SHADOW SUBACK"},
		{IOT_EL_SHADOW_SUBNACK, "SHADOW SUBNACK"},
	};

	for (size_t i = 0; i < IOT_LENGTH(names); i++)
		if (names[i].id == id)
			return names[i].name;
	return NULL;
}

/* --- the dictionary ------------------------------------------------------------------------ */

#define R IOT_EL_READ
#define W IOT_EL_WRITE
#define P IOT_EL_PERSISTENT
#define F IOT_EL_FACTORY

const struct iot_el_key iot_el_keys[] = {
	{"About", R | P, 64, "0.5", NULL},
	{"Version", R | P, 32, "0.5", NULL},
	{"TechSpec", R | P, 16, "0.5", NULL},
	{"ThingName", R | P, 64, "0.5", NULL},
	{"Certificate", R | P | IOT_EL_PEM, 4096, "0.5", NULL},
	{"CustomName", R | W | P | F, 128, "0.5", ""},
	{"Endpoint", R | W | P | F, 128, "0.5", NULL},
	{"RootCA", R | W | P | IOT_EL_PEM, 4096, "0.5", NULL},
	{"ShadowToken", R | W | P | F, 64, "1.0", "ExpressLink"},
	{"DefenderPeriod", R | W | P | F, 8, "1.0", "0"},
	{"Defender", R | W | P | F, 8, "0.5", "0"},
	{"TopicRoot", R | W | P | F, 128, "0.5", ""},
	{"HOTAcertificate", R | W | P | F | IOT_EL_PEM, 4096, "0.5", ""},
	{"OTAcertificate", W | P | IOT_EL_PEM, 4096, "0.5", NULL},
	{"SSID", R | W | P | F, 32, "0.5", ""},
	{"Passphrase", W | P | F | IOT_EL_SECRET, 64, "0.5", ""},
	{"APN", R | W | P | F, 128, "0.5", NULL},
	{"KeepAlive", R | W | P, 8, "1.2", NULL},
	{"LWTConfig", R | W | P, 128, "1.2", NULL},
	{"LWTMessage", R | W | P, 128, "1.2", NULL},
	{"QoS", R | W, 8, "0.5", "0"},
	{"Topic", R | W | IOT_EL_INDEXED, 128, "0.5", ""},
	{"EnableShadow", R | W, 8, "1.0", "0"},
	{"Shadow", R | W | IOT_EL_INDEXED, 64, "1.0", ""},
	{NULL, 0, 0, NULL, NULL},
};

#undef R
#undef W
#undef P
#undef F

const struct iot_el_key *iot_el_key_find(const char *name, size_t len, int *ret_index)
{
	for (const struct iot_el_key *key = iot_el_keys; key->name != NULL; key++) {
		size_t base = strlen(key->name);
		struct scan s;

		*ret_index = 0;
		if (len < base || memcmp(name, key->name, base) != 0)
			continue;
		if (!(key->flags & IOT_EL_INDEXED)) {
			if (len == base)
				return key;
			continue;
		}
		s = scan_of(name + base, len - base);
		if (scan_number(&s, ret_index) && s.at == s.end && *ret_index > 0)
			return key;
	}
	*ret_index = 0;
	return NULL;
}

int iot_el_key_fault(const char *name, size_t len)
{
	int index;

	if (len == 0 || len > IOT_EL_KEY_MAX)
		return 9;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]))
			return 10;
	return iot_el_key_find(name, len, &index) != NULL ? 0 : 11;
}

/* --- updates ----------------------------------------------------------------------------------- */

bool iot_el_ota_parse(const char *detail, size_t len, enum iot_el_ota *ret, const char **ret_text, size_t *ret_len)
{
	struct scan s = scan_of(detail, len);
	int code;

	if (!scan_number(&s, &code) || code > IOT_EL_OTA_IMAGE || !scan_boundary(&s))
		return false;
	(void)scan_space(&s);
	*ret = (enum iot_el_ota)code;
	*ret_text = s.at;
	*ret_len = (size_t)(s.end - s.at);
	return true;
}

const char *iot_el_ota_text(enum iot_el_ota state)
{
	switch (state) {
	case IOT_EL_OTA_IDLE:
		return "no update";
	case IOT_EL_OTA_MODULE:
		return "an update of the module waits for permission";
	case IOT_EL_OTA_HOST:
		return "an update of the host waits for permission";
	case IOT_EL_OTA_PROGRESS:
		return "an update is being fetched";
	case IOT_EL_OTA_READY:
		return "the module's update is ready, a reboot applies it";
	case IOT_EL_OTA_IMAGE:
		return "the host's image is there to be read";
	}
	return "unknown";
}

uint16_t iot_el_checksum(const void *data, size_t len)
{
	const unsigned char *bytes = data;
	uint16_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = (uint16_t)(sum + bytes[i]);
	return sum;
}

bool iot_el_read_parse(const char *detail, size_t len, struct iot_buf *ret)
{
	struct scan s = scan_of(detail, len);
	uint32_t count, checksum;
	size_t before = ret->len;

	if (!scan_hex(&s, 6, &count) || !scan_boundary(&s))
		return false;
	if (count == 0)
		return s.at == s.end;
	if (!scan_space(&s) || (size_t)(s.end - s.at) < (size_t)count * 2)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		char digits[3] = {s.at[0], s.at[1], '\0'};
		unsigned char byte;

		if (!iot_unhex(digits, &byte, 1))
			return false;
		iot_buf_addc(ret, (char)byte);
		s.at += 2;
	}
	if (!scan_space(&s) || s.end - s.at != 4 || !scan_hex(&s, 4, &checksum) || ret->over)
		return false;
	return checksum == iot_el_checksum(ret->data + before, count) && s.at == s.end;
}

void iot_el_read_format(const void *data, size_t len, struct iot_buf *out)
{
	const unsigned char *bytes = data;

	iot_buf_addf(out, "%zX", len);
	if (len == 0)
		return;
	iot_buf_addc(out, ' ');
	for (size_t i = 0; i < len; i++)
		iot_buf_addf(out, "%02X", bytes[i]);
	iot_buf_addf(out, " %04X", iot_el_checksum(data, len));
}

bool iot_el_seek_parse(const char *detail, size_t len, uint32_t *ret)
{
	struct scan s = scan_of(detail, len);

	return scan_hex(&s, 8, ret) && scan_boundary(&s);
}
