/*
 * What an nRF91 modem says, taken apart: final lines, lists of credentials, what
 * %KEYGEN and %JWT answer ("nRF91 AT Commands"). The form of %KEYGEN's statement
 * is that of Nordic's published examples: an array of message type, device,
 * security tag, SHA-256 of the request, nonce.
 */
#include "board/dialect/nrf91_private.h"

#include "iotctl/cbor.h"
#include "iotctl/cose.h"
#include "iotctl/jwt.h"
#include "iotctl/text.h"

#include <string.h>

enum { IMEI_DIGITS = 15, PEM_LINE = 64, STATEMENT_MEMBERS = 5 };

/* --- lines -------------------------------------------------------------------------------- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\0';
}

static bool is_letter(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Length of the escape sequence (CSI) at the front, 0 if there is none. */
static size_t escape_length(const char *text, size_t len)
{
	if (len < 3 || text[0] != '\x1b' || text[1] != '[')
		return 0;
	for (size_t i = 2; i < len; i++) {
		if (is_letter(text[i]))
			return i + 1;
		if (!is_digit(text[i]) && text[i] != ';' && text[i] != '?')
			return 0;
	}
	return 0;
}

static size_t escape_at_end(const char *text, size_t len)
{
	size_t at = len;

	if (len < 3 || !is_letter(text[len - 1]))
		return 0;
	for (at = len - 1; at > 0 && (is_digit(text[at - 1]) || text[at - 1] == ';' || text[at - 1] == '?');)
		at--;
	return at >= 2 && text[at - 1] == '[' && text[at - 2] == '\x1b' ? len - at + 2 : 0;
}

void nrf91_trim(const char **line, size_t *len)
{
	const char *inner;
	size_t skip;

	for (;;) {
		if (*len > 0 && is_blank((*line)[0]))
			skip = 1;
		else
			skip = escape_length(*line, *len);
		if (skip == 0)
			break;
		*line += skip;
		*len -= skip;
	}
	for (;;) {
		skip = *len > 0 && is_blank((*line)[*len - 1]) ? 1 : escape_at_end(*line, *len);
		if (skip == 0)
			break;
		*len -= skip;
	}
	/* An echo without a line of its own. */
	inner = memrchr(*line, '\r', *len);
	if (inner != NULL) {
		*len -= (size_t)(inner + 1 - *line);
		*line = inner + 1;
	}
}

static bool begins(const char *line, size_t len, const char *with)
{
	size_t want = strlen(with);

	return len >= want && memcmp(line, with, want) == 0;
}

/* Decimal digits up to `max`, at most ten of them. Returns how many; 0: none, or too large. */
static size_t number(const char *text, size_t len, int64_t max, int64_t *ret)
{
	int64_t value = 0;
	size_t digits = 0;

	for (; digits < len && digits < 11 && is_digit(text[digits]); digits++)
		value = value * 10 + (text[digits] - '0');
	if (digits == 0 || digits > 10 || value > max)
		return 0;
	*ret = value;
	return digits;
}

static bool is_error(const char *line, size_t len, int *ret_code)
{
	const char *const fronts[] = {"+CME ERROR:", "+CMS ERROR:"};
	int64_t code;

	*ret_code = -1;
	if (len == 5 && memcmp(line, "ERROR", 5) == 0)
		return true;
	for (size_t i = 0; i < IOT_LENGTH(fronts); i++) {
		size_t front = strlen(fronts[i]);

		if (!begins(line, len, fronts[i]))
			continue;
		while (front < len && line[front] == ' ')
			front++;
		if (number(line + front, len - front, 99999, &code) == len - front && front < len)
			*ret_code = (int)code;
		return true;
	}
	return false;
}

/* "+CEREG: 2", "%MDMEV: ...": what a modem says unasked. Base64 has no colon. */
static bool is_unasked(const char *line, size_t len)
{
	static const char *const asked[] = {"%CMNG:", "%KEYGEN:", "%JWT:", "+CFUN:"};
	size_t name = 1;

	for (size_t i = 0; i < IOT_LENGTH(asked); i++)
		if (begins(line, len, asked[i]))
			return false;
	if (len < 3 || strchr("+%#", line[0]) == NULL)
		return false;
	while (name < len && (is_letter(line[name]) || is_digit(line[name])))
		name++;
	return name > 1 && name < len && line[name] == ':';
}

/* As far as we say such commands; a line of base64 cannot look like one. */
static bool is_echo(const char *line, size_t len)
{
	return (len == 2 && memcmp(line, "AT", 2) == 0) || begins(line, len, "AT%") ||
	       (begins(line, len, "AT+C") && len < 12);
}

enum nrf91_word nrf91_word(const char *line, size_t len, int *ret_code)
{
	*ret_code = -1;
	nrf91_trim(&line, &len);
	if (len == 2 && memcmp(line, "OK", 2) == 0)
		return NRF91_OK;
	if (is_error(line, len, ret_code))
		return NRF91_ERROR;
	return len == 0 || is_echo(line, len) || is_unasked(line, len) ? NRF91_NOTHING : NRF91_LINE;
}

/* --- credentials ------------------------------------------------------------------------------ */

static void skip_blanks(const char **at, const char *end)
{
	while (*at < end && **at == ' ')
		(*at)++;
}

/* ", NUMBER" or, the first time, " NUMBER". */
static bool member(const char **at, const char *end, bool first, int64_t max, int64_t *ret)
{
	size_t digits;

	skip_blanks(at, end);
	if (!first && (*at == end || *(*at)++ != ','))
		return false;
	skip_blanks(at, end);
	digits = number(*at, (size_t)(end - *at), max, ret);
	*at += digits;
	return digits > 0;
}

bool nrf91_entry_parse(const char *line, size_t len, struct nrf91_entry *ret)
{
	const size_t hex = IOT_SHA256_HEX_SIZE - 1;
	uint8_t digest[IOT_SHA256_SIZE];
	const char *at, *end;
	int64_t type = 0;

	nrf91_trim(&line, &len);
	*ret = (struct nrf91_entry){0};
	if (!begins(line, len, "%CMNG:"))
		return false;
	at = line + strlen("%CMNG:");
	end = line + len;
	if (!member(&at, end, true, UINT32_MAX, &ret->tag) || !member(&at, end, false, 255, &type))
		return false;
	ret->type = (int)type;
	skip_blanks(&at, end);
	if (at == end)
		return true;
	if (*at++ != ',')
		return false;
	skip_blanks(&at, end);
	if ((size_t)(end - at) < hex + 2 || at[0] != '"' || at[hex + 1] != '"')
		return false;
	memcpy(ret->hash, at + 1, hex);
	if (!iot_unhex(ret->hash, digest, sizeof(digest)))
		return false;
	iot_hex(digest, sizeof(digest), ret->hash);
	at += hex + 2;
	skip_blanks(&at, end);
	return at == end || *at == ',';
}

/* --- who it is -------------------------------------------------------------------------------- */

bool nrf91_imei(const char *line, size_t len, char *out)
{
	int sum = 0;

	nrf91_trim(&line, &len);
	if (len != IMEI_DIGITS)
		return false;
	for (int i = 0; i < IMEI_DIGITS; i++) {
		int digit = line[i] - '0';

		if (!is_digit(line[i]))
			return false;
		if (i % 2 == 1)
			digit = digit > 4 ? 2 * digit - 9 : 2 * digit;
		sum += digit;
	}
	if (sum % 10 != 0)
		return false;
	memcpy(out, line, IMEI_DIGITS);
	out[IMEI_DIGITS] = '\0';
	return true;
}

bool nrf91_firmware_parse(const char *line, size_t len, struct nrf91_firmware *ret)
{
	static const char front[] = "mfw_nrf91";
	const char *at, *end;
	int64_t parts[3];

	nrf91_trim(&line, &len);
	if (!begins(line, len, front))
		return false;
	end = line + len;
	ret->first = begins(line, len, "mfw_nrf9160_");
	at = memchr(line + sizeof(front) - 1, '_', len - (sizeof(front) - 1));
	if (at == NULL)
		return false;
	for (size_t i = 0; i < IOT_LENGTH(parts); i++) {
		size_t digits;

		if (at == end || *at++ != (i == 0 ? '_' : '.'))
			return false;
		digits = number(at, (size_t)(end - at), 999, &parts[i]);
		if (digits == 0)
			return false;
		at += digits;
	}
	ret->major = (int)parts[0];
	ret->minor = (int)parts[1];
	ret->patch = (int)parts[2];
	return at == end || *at == '-' || *at == '_';
}

bool nrf91_firmware_at_least(const struct nrf91_firmware *firmware, int major, int minor, int patch)
{
	if (!firmware->first)
		return true;
	if (firmware->major != major)
		return firmware->major > major;
	return firmware->minor != minor ? firmware->minor > minor : firmware->patch >= patch;
}

/* --- what it signs ---------------------------------------------------------------------------- */

/* What is in the quotes after `front`. */
static bool quoted(const char *line, size_t len, const char *front, const char **ret, size_t *ret_len)
{
	nrf91_trim(&line, &len);
	if (!begins(line, len, front))
		return false;
	line += strlen(front);
	len -= strlen(front);
	nrf91_trim(&line, &len);
	if (len >= 2 && line[0] == '"' && line[len - 1] == '"') {
		line++;
		len -= 2;
	}
	*ret = line;
	*ret_len = len;
	return len > 0 && memchr(line, '"', len) == NULL;
}

static enum iot_status hurt(const char *what, const char *why, struct iot_error *err)
{
	iot_fail(err, IOT_BOARD, "the modem's %s %s", what, why);
	iot_error_hint(err, "check speed, ground and wires of the serial line, and the modem's firmware");
	return IOT_BOARD;
}

/* A tag is a CBOR integer in a byte string of its own. */
static bool is_tag(const struct iot_cbor_item *item, int64_t tag)
{
	struct iot_cbor inner;
	struct iot_cbor_item value;
	int64_t said = -1;

	if (item->major != IOT_CBOR_BYTES)
		return false;
	iot_cbor_open(&inner, item->bytes, item->number);
	return iot_cbor_next(&inner, &value) && iot_cbor_end(&inner) && iot_cbor_int(&value, &said) && said == tag;
}

/* Is this a message about that request under that tag? */
static const char *statement_fault(const struct iot_cose *cose, int64_t tag, const uint8_t digest[IOT_SHA256_SIZE])
{
	struct iot_cbor reader;
	struct iot_cbor_item item, members[STATEMENT_MEMBERS];

	iot_cbor_open(&reader, cose->payload.data, cose->payload.len);
	if (iot_cbor_next(&reader, &item) && item.major == IOT_CBOR_TAG)
		(void)iot_cbor_next(&reader, &item);
	if (reader.fault != NULL || item.major != IOT_CBOR_ARRAY || item.number != STATEMENT_MEMBERS)
		return "is about something else";
	for (size_t i = 0; i < STATEMENT_MEMBERS; i++)
		if (!iot_cbor_skip(&reader, &members[i], 1))
			return "is about something else";
	if (!iot_cbor_end(&reader) || members[3].major != IOT_CBOR_BYTES || members[3].number != IOT_SHA256_SIZE ||
	    memcmp(members[3].bytes, digest, IOT_SHA256_SIZE) != 0)
		return "is about another request";
	return is_tag(&members[2], tag) ? NULL : "is about another security tag";
}

static enum iot_status check_statement(const char *text, size_t len, int64_t tag, const struct iot_buf *request,
				       struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf bytes = IOT_BUF_INIT(IOT_COSE_MAX);
	uint8_t digest[IOT_SHA256_SIZE];
	struct iot_cose cose;
	const char *fault;

	iot_sha256(request->data, request->len, digest);
	if (!iot_unbase64url(text, len, &bytes) || bytes.over ||
	    iot_cose_parse(bytes.data, bytes.len, &cose, NULL) != IOT_OK || cose.mac || cose.alg != IOT_COSE_ES256)
		return hurt("statement about its key", "is malformed", err);
	fault = statement_fault(&cose, tag, digest);
	return fault != NULL ? hurt("statement about its key", fault, err) : IOT_OK;
}

static void add_pem(const struct iot_buf *der, struct iot_buf *pem)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf base64 = IOT_BUF_INIT(2UL * NRF91_KEYGEN_MAX);

	iot_base64(der->data, der->len, &base64);
	iot_buf_adds(pem, "-----BEGIN CERTIFICATE REQUEST-----\n");
	for (size_t i = 0; i < base64.len; i += PEM_LINE)
		iot_buf_addf(pem, "%.*s\n", PEM_LINE, base64.data + i);
	iot_buf_adds(pem, "-----END CERTIFICATE REQUEST-----\n");
}

/*
 * Older modems sign as ecdsa-with-SHA256 with parameters NULL, which RFC
 * 5758 (3.2) forbids. The bytes are taken as they are, and OpenSSL checks the
 * signature over them; nothing of the request but its key goes into a certificate.
 */
enum iot_status nrf91_keygen_parse(const char *line, size_t len, int64_t tag, struct iot_buf *csr,
				   struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf der = IOT_BUF_INIT(NRF91_KEYGEN_MAX);
	IOT_CLEAN(iot_buf_release) struct iot_buf pem = IOT_BUF_INIT(IOT_CSR_MAX);
	IOT_CLEAN(iot_csr_release) struct iot_csr parsed = {0};
	struct iot_error why = IOT_ERROR_INIT;
	const char *text, *dot;
	size_t text_len, front;
	enum iot_status status;

	if (!quoted(line, len, "%KEYGEN:", &text, &text_len) || text_len > 2UL * NRF91_KEYGEN_MAX)
		return hurt("certificate request", "is malformed", err);
	dot = memchr(text, '.', text_len);
	if (dot == NULL)
		return hurt("certificate request", "comes without the statement about it", err);
	front = (size_t)(dot - text);
	if (!iot_unbase64url(text, front, &der) || der.over || der.len == 0)
		return hurt("certificate request", "is malformed", err);
	status = check_statement(dot + 1, text_len - front - 1, tag, &der, err);
	if (status != IOT_OK)
		return status;
	add_pem(&der, &pem);
	status = iot_csr_parse(iot_buf_str(&pem), pem.len, &parsed, &why);
	if (status != IOT_OK)
		return iot_fail(err, IOT_BOARD, "the modem's certificate request is none: %.200s", why.what);
	iot_buf_add(csr, pem.data, pem.len);
	return iot_buf_check(csr, "the certificate request", err);
}

enum iot_status nrf91_token_check(const char *line, size_t len, const char *audience, const struct iot_key *key,
				  struct iot_error *err)
{
	IOT_CLEAN(iot_jwt_release) struct iot_jwt jwt = {0};
	struct iot_error why = IOT_ERROR_INIT;
	const char *text;
	size_t text_len;

	if (!quoted(line, len, "%JWT:", &text, &text_len) || iot_jwt_parse(text, text_len, &jwt, &why) != IOT_OK ||
	    strcmp(jwt.alg, "ES256") != 0)
		return hurt("token", "is malformed", err);
	if (strcmp(iot_json_str(jwt.claims, "aud", ""), audience) != 0)
		return iot_fail(err, IOT_VERIFY, "the modem's token is for something else than was asked");
	if (iot_key_type(key) != IOT_KEY_P256 ||
	    iot_key_verify_raw(key, text, jwt.signed_len, jwt.signature.data, jwt.signature.len, &why) != IOT_OK)
		return iot_fail(err, IOT_VERIFY, "the modem does not hold the key of its certificate");
	return IOT_OK;
}

/* --- codes --------------------------------------------------------------------------------------- */

static const struct {
	int code;
	const char *text, *cure;
} errors[] = {
	{50, "it does not take these parameters", "is its firmware too old for this?"},
	{51, "the command is switched off in this firmware", "install Nordic's ordinary modem firmware"},
	{513, "it holds no such credential", NULL},
	{514, "it does not allow access to this credential",
	 "another type of credential or a lock of the modem is in the way; another security tag may do (secTag)"},
	{515, "its store of credentials is full",
	 "delete what is not used any more: AT%CMNG=1 lists it, AT%CMNG=3,TAG,TYPE deletes"},
	{518, "it does not do this while it is on the network",
	 "the application may have gone online in between: keep it from that, or say AT+CFUN=4, and repeat the "
	 "command"},
	{519, "it holds one already, and does not replace it", "delete it: AT%CMNG=3,TAG,TYPE"},
	{523, "making the key failed", "repeat the command"},
	{525, "making the token failed", "repeat the command"},
	{527, "it does not take this content",
	 "a certificate that it cannot read or that is too long, or line ends that were lost on the way (newline)"},
	{528, "its supply voltage is too low to write", "power it properly, then repeat the command"},
};

const char *nrf91_error_text(int code)
{
	for (size_t i = 0; i < IOT_LENGTH(errors); i++)
		if (errors[i].code == code)
			return errors[i].text;
	return code < 0 ? "it does not understand the command" : "it gave an error of its own";
}

const char *nrf91_error_cure(int code)
{
	for (size_t i = 0; i < IOT_LENGTH(errors); i++)
		if (errors[i].code == code && errors[i].cure != NULL)
			return errors[i].cure;
	return code < 0 ? "check speed, ground and wires of the serial line, and the modem's firmware (AT+CGMR)"
			: "see the modem's list of AT commands";
}
