/*
 * JSON Web Tokens: made, taken apart, judged. Devices that have trouble with them
 * get no answer from a cloud but a closed connection, so each refusal here says
 * what is wrong and, where it can be told, what mistake makes such a token.
 */
#include "iotctl/jwt.h"

#include "iotctl/base.h"
#include "iotctl/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PART_MAX IOT_JWT_MAX
#define MINUTE 60
#define HOUR 3600
#define DAY 86400

static const char *alg_of(const struct iot_key *key)
{
	if (iot_key_type(key) == IOT_KEY_P256)
		return "ES256";
	return iot_key_is_rsa(key) && iot_key_bits(key) >= 2048 ? "RS256" : NULL;
}

/* --- making ------------------------------------------------------------------------ */

static json_t *claims_of(const char *audience, int64_t issued_at, int64_t lifetime, const json_t *extra)
{
	int64_t expires_at = issued_at + lifetime;
	json_t *claims = json_pack("{s:I, s:I, s:s}", "iat", (json_int_t)issued_at, "exp", (json_int_t)expires_at,
				   "aud", audience);
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)extra, key, value)
		json_object_set(claims, key, value);
	return claims;
}

static void put_json(const json_t *value, struct iot_buf *out)
{
	IOT_CLEAN(iot_free_p) char *text = iot_json_text(value);

	iot_base64url(text, strlen(text), out);
}

static enum iot_status check_spec(const char *alg, const struct iot_key *key, const char *audience, int64_t lifetime,
				  const json_t *extra, struct iot_error *err)
{
	static const char *const own[] = {"iat", "exp", "aud"};

	if (alg == NULL)
		return iot_fail(err, IOT_USAGE,
				"a key of type '%s' signs no token: P-256, or RSA of 2048 bits and more, does",
				iot_key_type_name(iot_key_type(key)));
	if (lifetime < 1 || lifetime > IOT_JWT_LIFETIME_MAX)
		return iot_fail(err, IOT_USAGE, "a token cannot be valid for %" PRId64 " s: 1 s to 24 h", lifetime);
	if (audience[0] == '\0' || !iot_utf8_valid(audience, strlen(audience)))
		return iot_fail(err, IOT_USAGE, "a token needs an audience, the project's id");
	for (size_t i = 0; i < IOT_LENGTH(own); i++)
		if (json_object_get(extra, own[i]) != NULL)
			return iot_fail(err, IOT_USAGE, "the claim '%s' is set by itself", own[i]);
	return IOT_OK;
}

enum iot_status iot_jwt_create(const struct iot_key *key, const char *audience, int64_t issued_at, int64_t lifetime,
			       const json_t *extra, struct iot_buf *out, struct iot_error *err)
{
	const char *alg = alg_of(key);
	IOT_CLEAN(iot_buf_release) struct iot_buf token = IOT_BUF_SECRET(IOT_JWT_MAX);
	IOT_CLEAN(iot_buf_release) struct iot_buf signature = IOT_BUF_INIT(1024);
	IOT_JSON header = NULL;
	IOT_JSON claims = NULL;
	enum iot_status status = check_spec(alg, key, audience, lifetime, extra, err);

	if (status != IOT_OK)
		return status;
	header = json_pack("{s:s, s:s}", "alg", alg, "typ", "JWT");
	claims = claims_of(audience, issued_at, lifetime, extra);
	put_json(header, &token);
	iot_buf_addc(&token, '.');
	put_json(claims, &token);
	status = iot_buf_check(&token, "the token", err);
	if (status == IOT_OK && alg[0] == 'E')
		status = iot_key_sign_raw(key, token.data, token.len, &signature, err);
	else if (status == IOT_OK)
		status = iot_key_sign(key, IOT_SIG_RSA_PKCS1_SHA256, token.data, token.len, &signature, err);
	if (status != IOT_OK)
		return status;
	iot_buf_addc(&token, '.');
	iot_base64url(signature.data, signature.len, &token);
	status = iot_buf_check(&token, "the token", err);
	if (status == IOT_OK)
		iot_buf_add(out, token.data, token.len);
	return status == IOT_OK ? iot_buf_check(out, "the token", err) : status;
}

/* --- taking apart --------------------------------------------------------------------- */

static enum iot_status bad_base64(const char *part, const char *text, size_t len, struct iot_error *err)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '=')
			return iot_fail(err, IOT_USAGE, "%s has padding: base64url of a token has no '='", part);
		if (text[i] == '+' || text[i] == '/')
			return iot_fail(err, IOT_USAGE,
					"%s is in plain base64: base64url has '-' and '_' for '+' and '/'", part);
		if (text[i] == ' ' || (text[i] >= '\t' && text[i] <= '\r'))
			return iot_fail(err, IOT_USAGE, "%s has white space in it", part);
	}
	return iot_fail(err, IOT_USAGE, "%s is not base64url", part);
}

static enum iot_status read_json(const char *part, const char *text, size_t len, json_t **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf plain = IOT_BUF_SECRET(PART_MAX);
	IOT_JSON value = NULL;
	enum iot_status status;

	if (!iot_unbase64url(text, len, &plain))
		return bad_base64(part, text, len, err);
	status = iot_json_parse(iot_buf_str(&plain), plain.len, part, &value, err);
	if (status == IOT_OK && !json_is_object(value))
		status = iot_fail(err, IOT_USAGE, "%s is not a JSON object", part);
	if (status == IOT_OK)
		*ret = iot_take(value);
	return status;
}

void iot_jwt_release(struct iot_jwt *jwt)
{
	json_decref(jwt->header);
	json_decref(jwt->claims);
	jwt->header = jwt->claims = NULL;
	iot_buf_release(&jwt->signature);
}

static enum iot_status split(const char *text, size_t len, const char **ret_first, const char **ret_second,
			     struct iot_error *err)
{
	const char *first, *second;

	if (len > IOT_JWT_MAX)
		return iot_fail(err, IOT_USAGE, "the token has %zu bytes: at most %d are read", len, IOT_JWT_MAX);
	if (len == 0)
		return iot_fail(err, IOT_USAGE, "the token is empty");
	if (memchr(text, '\0', len) != NULL)
		return iot_fail(err, IOT_USAGE, "the token has a NUL in it");
	first = memchr(text, '.', len);
	second = first != NULL ? memchr(first + 1, '.', len - (size_t)(first + 1 - text)) : NULL;
	if (second == NULL || memchr(second + 1, '.', len - (size_t)(second + 1 - text)) != NULL)
		return iot_fail(err, IOT_USAGE, "the token does not have three parts separated by dots");
	if ((size_t)(second + 1 - text) == len)
		return iot_fail(err, IOT_USAGE, "the token has no signature");
	*ret_first = first;
	*ret_second = second;
	return IOT_OK;
}

static enum iot_status read_parts(const char *text, size_t len, struct iot_jwt *jwt, struct iot_error *err)
{
	const char *first = NULL, *second = NULL, *alg;
	enum iot_status status = split(text, len, &first, &second, err);

	if (status == IOT_OK)
		status = read_json("the header", text, (size_t)(first - text), &jwt->header, err);
	if (status == IOT_OK)
		status = read_json("the part with the claims", first + 1, (size_t)(second - first - 1), &jwt->claims,
				   err);
	if (status != IOT_OK)
		return status;
	jwt->signed_len = (size_t)(second - text);
	if (!iot_unbase64url(second + 1, len - jwt->signed_len - 1, &jwt->signature))
		return bad_base64("the signature", second + 1, len - jwt->signed_len - 1, err);
	if (json_object_get(jwt->header, "crit") != NULL)
		return iot_fail(err, IOT_USAGE, "the token has critical headers, and none is understood");
	alg = iot_json_str(jwt->header, "alg", "");
	if (strlen(alg) < sizeof(jwt->alg))
		strcpy(jwt->alg, alg);
	return IOT_OK;
}

enum iot_status iot_jwt_parse(const char *text, size_t len, struct iot_jwt *ret, struct iot_error *err)
{
	struct iot_jwt jwt = {.signature = IOT_BUF_INIT(PART_MAX)};
	enum iot_status status = read_parts(text, len, &jwt, err);

	if (status == IOT_OK)
		*ret = jwt;
	else
		iot_jwt_release(&jwt);
	return status;
}

/* --- judging -------------------------------------------------------------------------- */

struct judge {
	const char *text;
	const struct iot_jwt_expect *expect;
	struct iot_jwt_verdict *verdict;
	struct iot_jwt jwt;
};

static bool set(struct judge *judge, enum iot_jwt_check check, enum iot_jwt_result result, const char *fmt, ...)
	IOT_PRINTF(4, 5);
static bool set(struct judge *judge, enum iot_jwt_check check, enum iot_jwt_result result, const char *fmt, ...)
{
	va_list args;

	judge->verdict->checks[check].result = result;
	va_start(args, fmt);
	vsnprintf(judge->verdict->checks[check].detail, IOT_JWT_DETAIL_MAX, fmt, args);
	va_end(args);
	iot_text_printable(judge->verdict->checks[check].detail);
	return result != IOT_JWT_FAILED;
}

#define PASS(check, ...) set(judge, IOT_JWT_##check, IOT_JWT_OK, __VA_ARGS__)
#define FAIL(check, ...) set(judge, IOT_JWT_##check, IOT_JWT_FAILED, __VA_ARGS__)
#define PASS_OVER(check, ...) set(judge, IOT_JWT_##check, IOT_JWT_NOT_ASKED, __VA_ARGS__)

/* "45 s", "12 min", "3 h 20 min", "5 d": two units at most. */
static const char *span_text(int64_t seconds, char out[32])
{
	if (seconds < 2 * MINUTE)
		snprintf(out, 32, "%" PRId64 " s", seconds);
	else if (seconds < 2 * HOUR)
		snprintf(out, 32, "%" PRId64 " min", seconds / MINUTE);
	else if (seconds < 2 * DAY)
		snprintf(out, 32, "%" PRId64 " h %" PRId64 " min", seconds / HOUR, seconds % HOUR / MINUTE);
	else
		snprintf(out, 32, "%" PRId64 " d", seconds / DAY);
	return out;
}

static bool check_algorithm(struct judge *judge)
{
	const char *alg = judge->jwt.alg;
	const char *others = "";

	if (alg[0] == '\0')
		return FAIL(ALGORITHM, "the header names none");
	if (strcasecmp(alg, "none") == 0)
		return FAIL(ALGORITHM, "'%s': the token is not signed", alg);
	if (alg[0] == 'H')
		return FAIL(ALGORITHM, "'%s' is for a shared secret: a public key is not one", alg);
	if (strcmp(alg, "ES256") != 0 && strcmp(alg, "RS256") != 0)
		return FAIL(ALGORITHM, "'%s' is neither ES256 nor RS256", alg);
	for (size_t i = 0; i < judge->expect->key_count; i++) {
		const char *own = alg_of(judge->expect->keys[i].key);

		if (own != NULL && strcmp(own, alg) == 0)
			return PASS(ALGORITHM, "%s", alg);
		others = own != NULL ? own : others;
	}
	if (judge->expect->key_count == 0)
		return PASS(ALGORITHM, "%s", alg);
	return FAIL(ALGORITHM, "the header says %s, the key is for %s", alg,
		    others[0] != '\0' ? others : "nothing here");
}

static bool is_signed_by(const struct judge *judge, const struct iot_key *key)
{
	const struct iot_jwt *jwt = &judge->jwt;
	const char *alg = alg_of(key);

	/* The key's kind decides; a header that says otherwise counts for nothing. */
	if (alg == NULL || strcmp(alg, jwt->alg) != 0)
		return false;
	if (alg[0] == 'E')
		return iot_key_verify_raw(key, judge->text, jwt->signed_len, jwt->signature.data, jwt->signature.len,
					  NULL) == IOT_OK;
	return iot_key_verify(key, IOT_SIG_RSA_PKCS1_SHA256, judge->text, jwt->signed_len, jwt->signature.data,
			      jwt->signature.len, NULL) == IOT_OK;
}

/* The DER form that most libraries give, right or not: a SEQUENCE that fills the signature. */
static bool is_der(const struct iot_buf *signature)
{
	const uint8_t *der = (const uint8_t *)signature->data;

	return signature->len >= 8 && signature->len <= 72 && der[0] == 0x30 && der[1] == signature->len - 2 &&
	       der[2] == 0x02;
}

static bool wrong_form(struct judge *judge)
{
	const struct iot_buf *signature = &judge->jwt.signature;

	if (strcmp(judge->jwt.alg, "ES256") != 0 || signature->len == 64)
		return false;
	if (is_der(signature))
		FAIL(SIGNATURE, "it is DER (%zu bytes): ES256 has r and s as they are, 32 bytes each", signature->len);
	else
		FAIL(SIGNATURE, "it has %zu bytes: ES256 has 64, r and s padded to 32 bytes each", signature->len);
	return true;
}

static const char *name_of(const struct iot_jwt_key *key, char out[40])
{
	snprintf(out, 40, "%s%.36s%s", key->name != NULL ? "'" : "", key->name != NULL ? key->name : "a key",
		 key->name != NULL ? "'" : "");
	return out;
}

static bool check_signature(struct judge *judge)
{
	const struct iot_jwt_expect *expect = judge->expect;
	char name[40], since[32];

	if (wrong_form(judge))
		return false;
	if (expect->key_count == 0)
		return PASS_OVER(SIGNATURE, "no key was given");
	for (size_t i = 0; i < expect->key_count; i++) {
		const struct iot_jwt_key *key = &expect->keys[i];

		if (!is_signed_by(judge, key->key))
			continue;
		if (key->expires_at != 0 && key->expires_at <= expect->now)
			return FAIL(SIGNATURE, "the key %s that it is signed with expired %s ago", name_of(key, name),
				    span_text(expect->now - key->expires_at, since));
		judge->verdict->key = i;
		return PASS(SIGNATURE, "by %s", name_of(key, name));
	}
	for (size_t i = 0; i < expect->other_count; i++)
		if (is_signed_by(judge, expect->others[i].key))
			return FAIL(SIGNATURE, "it is signed with another key, of %s",
				    name_of(&expect->others[i], name));
	return FAIL(SIGNATURE, "it does not match: another key, or the token was changed");
}

/* A time claim in seconds; false with the check failed. JSON numbers with a fraction are RFC 7519's NumericDate too. */
static bool take_time(struct judge *judge, const char *key, enum iot_jwt_check check, int64_t *ret)
{
	const json_t *value = json_object_get(judge->jwt.claims, key);
	double number = json_number_value(value);

	if (value == NULL)
		return set(judge, check, IOT_JWT_FAILED, "the token has no %s", key);
	if (json_is_string(value))
		return set(judge, check, IOT_JWT_FAILED, "%s is a text: it must be a number of seconds", key);
	if (!json_is_number(value) || !(number >= 1 && number <= 1e15))
		return set(judge, check, IOT_JWT_FAILED, "%s is no time", key);
	if (number >= 1e11)
		return set(judge, check, IOT_JWT_FAILED, "%s is in milliseconds: it must be in seconds", key);
	*ret = (int64_t)number;
	return true;
}

static void check_times(struct judge *judge)
{
	const struct iot_jwt_expect *expect = judge->expect;
	struct iot_jwt_verdict *verdict = judge->verdict;
	bool issued = take_time(judge, "iat", IOT_JWT_ISSUED, &verdict->issued_at);
	bool expires = take_time(judge, "exp", IOT_JWT_EXPIRY, &verdict->expires_at);
	int64_t age = expect->now - verdict->issued_at, left = verdict->expires_at - expect->now;
	int64_t lifetime = verdict->expires_at - verdict->issued_at;
	char text[32];

	if (issued && age < -expect->skew)
		FAIL(ISSUED, "%s in the future: the device's clock is wrong, or this one's", span_text(-age, text));
	else if (issued)
		PASS(ISSUED, age >= 0 ? "%s ago" : "%s ahead, within the skew", span_text(age < 0 ? -age : age, text));
	if (expires && left < -expect->skew)
		FAIL(EXPIRY, "expired %s ago", span_text(-left, text));
	else if (expires)
		PASS(EXPIRY, left >= 0 ? "in %s" : "%s ago, within the skew", span_text(left < 0 ? -left : left, text));
	if (!issued || !expires)
		return;
	if (lifetime <= 0)
		FAIL(LIFETIME, "exp is not after iat");
	else if (lifetime > IOT_JWT_LIFETIME_MAX)
		FAIL(LIFETIME, "%s: at most 24 h", span_text(lifetime, text));
	else
		PASS(LIFETIME, "%s", span_text(lifetime, text));
}

static void check_audience(struct judge *judge)
{
	const json_t *aud = json_object_get(judge->jwt.claims, "aud");
	const char *wanted = judge->expect->audience;

	if (aud == NULL)
		FAIL(AUDIENCE, "the token has no aud");
	else if (!json_is_string(aud))
		FAIL(AUDIENCE, "aud is not one text");
	else if (wanted == NULL)
		PASS_OVER(AUDIENCE, "'%.100s'", json_string_value(aud));
	else if (strcmp(json_string_value(aud), wanted) != 0)
		FAIL(AUDIENCE, "'%.60s' is not the project '%.60s'", json_string_value(aud), wanted);
	else
		PASS(AUDIENCE, "'%.100s'", wanted);
}

const char *iot_jwt_check_name(enum iot_jwt_check check)
{
	static const char *const names[] = {
		[IOT_JWT_FORM] = "form",        [IOT_JWT_ALGORITHM] = "algorithm", [IOT_JWT_SIGNATURE] = "signature",
		[IOT_JWT_ISSUED] = "issued",    [IOT_JWT_EXPIRY] = "expiry",       [IOT_JWT_LIFETIME] = "lifetime",
		[IOT_JWT_AUDIENCE] = "audience"};

	return names[check];
}

static enum iot_status conclude(struct iot_jwt_verdict *verdict, bool key_given, struct iot_error *err)
{
	for (int i = 0; i < IOT_JWT_CHECKS; i++)
		if (verdict->checks[i].result == IOT_JWT_FAILED)
			return iot_fail(err, IOT_VERIFY, "the token is not accepted: %s: %s",
					iot_jwt_check_name((enum iot_jwt_check)i), verdict->checks[i].detail);
	for (int i = 0; i < IOT_JWT_CHECKS; i++)
		if (verdict->checks[i].result == IOT_JWT_NOT_REACHED)
			return iot_fail(err, IOT_VERIFY, "the token is not accepted");
	if (!key_given)
		return iot_fail(err, IOT_VERIFY, "the token's signature was not checked: no key was given");
	verdict->accepted = true;
	return IOT_OK;
}

enum iot_status iot_jwt_verify(const char *text, size_t len, const struct iot_jwt_expect *expect,
			       struct iot_jwt_verdict *verdict, struct iot_error *err)
{
	struct judge state = {.text = text, .expect = expect, .verdict = verdict}, *judge = &state;
	struct iot_error why = IOT_ERROR_INIT;

	memset(verdict, 0, sizeof(*verdict));
	if (iot_jwt_parse(text, len, &state.jwt, &why) != IOT_OK)
		FAIL(FORM, "%s", why.what);
	else if (PASS(FORM, "%zu bytes", len) && check_algorithm(judge) && check_signature(judge)) {
		check_times(judge);
		check_audience(judge);
	}
	iot_jwt_release(&state.jwt);
	return conclude(verdict, expect->key_count > 0, err);
}

json_t *iot_jwt_verdict_json(const struct iot_jwt_verdict *verdict)
{
	json_t *checks = json_array();

	for (int i = 0; i < IOT_JWT_CHECKS; i++) {
		enum iot_jwt_result result = verdict->checks[i].result;
		json_t *row = json_pack("{s:s}", "check", iot_jwt_check_name((enum iot_jwt_check)i));

		if (result >= IOT_JWT_OK)
			iot_json_set_bool(row, "ok", result == IOT_JWT_OK);
		iot_json_set_str(row, "detail",
				 result == IOT_JWT_NOT_REACHED ? "not reached" : verdict->checks[i].detail);
		json_array_append_new(checks, row);
	}
	return checks;
}
