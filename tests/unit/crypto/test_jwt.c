/* JSON Web Tokens: against the openssl program, and every mistake that devices make. */
#include "helpers.h"

#include "iotctl/jwt.h"
#include "iotctl/text.h"

#define NOW 1800000000

static struct iot_key *ec, *rsa, *other;

static void set_up(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	make_dir();
	if (iot_key_generate(IOT_KEY_P256, &ec, &err) != IOT_OK ||
	    iot_key_generate(IOT_KEY_RSA2048, &rsa, &err) != IOT_OK ||
	    iot_key_generate(IOT_KEY_P256, &other, &err) != IOT_OK)
		abort();
}

static void tear_down(void)
{
	iot_key_free(ec);
	iot_key_free(rsa);
	iot_key_free(other);
	remove_dir();
}

/* Sign a text of our own making, so that header and claims can be wrong. New memory. */
static char *token_of(const struct iot_key *key, const char *header, const char *claims)
{
	struct iot_buf token = IOT_BUF_INIT(2 * IOT_JWT_MAX), signature = IOT_BUF_INIT(1024);
	struct iot_error err = IOT_ERROR_INIT;

	iot_base64url(header, strlen(header), &token);
	iot_buf_addc(&token, '.');
	iot_base64url(claims, strlen(claims), &token);
	if (iot_key_is_rsa(key))
		ASSERT_OK(iot_key_sign(key, IOT_SIG_RSA_PKCS1_SHA256, token.data, token.len, &signature, &err), &err);
	else
		ASSERT_OK(iot_key_sign_raw(key, token.data, token.len, &signature, &err), &err);
	iot_buf_addc(&token, '.');
	iot_base64url(signature.data, signature.len, &token);
	iot_buf_release(&signature);
	return iot_buf_detach(&token);
}

static char *good(const struct iot_key *key, int64_t issued, int64_t lifetime)
{
	struct iot_buf token = IOT_BUF_INIT(IOT_JWT_MAX);
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_jwt_create(key, "project", issued, lifetime, NULL, &token, &err), &err);
	return iot_buf_detach(&token);
}

static const char *judge(char *token, const struct iot_jwt_key *key, enum iot_jwt_check check)
{
	static struct iot_jwt_verdict verdict;
	const struct iot_jwt_expect expect = {
		.keys = key, .key_count = 1, .audience = "project", .now = NOW, .skew = IOT_JWT_SKEW};
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status = iot_jwt_verify(token, strlen(token), &expect, &verdict, &err);

	CU_ASSERT_EQUAL(status == IOT_OK, verdict.accepted);
	if (check == IOT_JWT_CHECKS) {
		ASSERT_STATUS(status, IOT_OK, &err);
		free(token);
		return "";
	}
	CU_ASSERT_EQUAL(status, IOT_VERIFY);
	CU_ASSERT_EQUAL(verdict.checks[check].result, IOT_JWT_FAILED);
	for (int i = 0; i < (int)check; i++)
		CU_ASSERT_NOT_EQUAL(verdict.checks[i].result, IOT_JWT_FAILED);
	free(token);
	return verdict.checks[check].detail;
}

static void test_round_trip(void)
{
	const struct iot_jwt_key with_ec = {.key = ec}, with_rsa = {.key = rsa};

	judge(good(ec, NOW, 3600), &with_ec, IOT_JWT_CHECKS);
	judge(good(rsa, NOW, 3600), &with_rsa, IOT_JWT_CHECKS);
	judge(good(ec, NOW - 3600 - IOT_JWT_SKEW, 3600), &with_ec, IOT_JWT_CHECKS); /* on the edge of the skew */
	judge(good(ec, NOW + IOT_JWT_SKEW, 3600), &with_ec, IOT_JWT_CHECKS);
}

static void test_times(void)
{
	const struct iot_jwt_key key = {.key = ec};

	CU_ASSERT_STRING_EQUAL(judge(good(ec, NOW - 3600 - 720, 3600), &key, IOT_JWT_EXPIRY), "expired 12 min ago");
	ASSERT_CONTAINS(judge(good(ec, NOW + 7500, 3600), &key, IOT_JWT_ISSUED), "2 h 5 min in the future");
	ASSERT_CONTAINS(judge(token_of(ec, "{\"alg\":\"ES256\"}",
				       "{\"iat\":1799999990,\"exp\":1800086391,\"aud\":\"project\"}"),
			      &key, IOT_JWT_LIFETIME),
			"at most 24 h");
	ASSERT_CONTAINS(judge(token_of(ec, "{\"alg\":\"ES256\"}",
				       "{\"iat\":1800000000000,\"exp\":1800000001,\"aud\":\"project\"}"),
			      &key, IOT_JWT_ISSUED),
			"milliseconds");
	ASSERT_CONTAINS(judge(token_of(ec, "{\"alg\":\"ES256\"}",
				       "{\"iat\":1800000000,\"exp\":\"1800000001\",\"aud\":\"project\"}"),
			      &key, IOT_JWT_EXPIRY),
			"is a text");
	ASSERT_CONTAINS(judge(token_of(ec, "{\"alg\":\"ES256\"}", "{\"iat\":1800000000,\"aud\":\"project\"}"), &key,
			      IOT_JWT_EXPIRY),
			"no exp");
	ASSERT_CONTAINS(judge(token_of(ec, "{\"alg\":\"ES256\"}",
				       "{\"iat\":1800000000,\"exp\":1799999999,\"aud\":\"project\"}"),
			      &key, IOT_JWT_LIFETIME),
			"not after iat");
}

static void test_audience(void)
{
	const struct iot_jwt_key key = {.key = ec};

	ASSERT_CONTAINS(
		judge(token_of(ec, "{\"alg\":\"ES256\"}", "{\"iat\":1800000000,\"exp\":1800000100,\"aud\":\"prod\"}"),
		      &key, IOT_JWT_AUDIENCE),
		"'prod' is not the project 'project'");
	ASSERT_CONTAINS(judge(token_of(ec, "{\"alg\":\"ES256\"}",
				       "{\"iat\":1800000000,\"exp\":1800000100,\"aud\":[\"project\"]}"),
			      &key, IOT_JWT_AUDIENCE),
			"not one text");
}

static void test_keys(void)
{
	const struct iot_jwt_key expired = {.key = ec, .name = "old", .expires_at = NOW - 60};
	const struct iot_jwt_key both[] = {{.key = other, .name = "a"}, {.key = ec, .name = "b"}};
	const struct iot_jwt_key only = {.key = other, .name = "pump-2"};
	struct iot_jwt_expect expect = {.keys = both, .key_count = 2, .audience = "project", .now = NOW};
	struct iot_jwt_verdict verdict;
	struct iot_error err = IOT_ERROR_INIT;
	char *token = good(ec, NOW, 60);

	ASSERT_OK(iot_jwt_verify(token, strlen(token), &expect, &verdict, &err), &err);
	CU_ASSERT_EQUAL(verdict.key, 1);
	expect = (struct iot_jwt_expect){
		.keys = &only, .key_count = 1, .others = &both[1], .other_count = 1, .audience = "project", .now = NOW};
	ASSERT_STATUS(iot_jwt_verify(token, strlen(token), &expect, &verdict, &err), IOT_VERIFY, &err);
	ASSERT_CONTAINS(err.what, "signed with another key, of 'b'");
	/* without a key nothing is accepted */
	expect = (struct iot_jwt_expect){.audience = "project", .now = NOW};
	ASSERT_STATUS(iot_jwt_verify(token, strlen(token), &expect, &verdict, &err), IOT_VERIFY, &err);
	CU_ASSERT_FALSE(verdict.accepted);
	ASSERT_CONTAINS(judge(token, &expired, IOT_JWT_SIGNATURE), "expired 60 s ago");
	ASSERT_CONTAINS(judge(good(ec, NOW, 60), &only, IOT_JWT_SIGNATURE), "does not match");
}

/* What the header says never decides how a key is used. */
static void test_algorithm_confusion(void)
{
	static const char claims[] = "{\"iat\":1800000000,\"exp\":1800000100,\"aud\":\"project\"}";
	const struct iot_jwt_key with_ec = {.key = ec}, with_rsa = {.key = rsa};
	struct iot_buf pem = IOT_BUF_INIT(4096), token = IOT_BUF_INIT(IOT_JWT_MAX);
	struct iot_jwt_key both[2] = {0};
	const struct iot_jwt_expect expect = {.keys = both, .key_count = 2, .audience = "project", .now = NOW};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_jwt_verdict verdict;
	uint8_t mac[IOT_SHA256_SIZE];
	char *mixed;

	ASSERT_CONTAINS(judge(token_of(ec, "{\"alg\":\"none\"}", claims), &with_ec, IOT_JWT_ALGORITHM), "not signed");
	ASSERT_CONTAINS(judge(token_of(ec, "{\"alg\":\"NONE\"}", claims), &with_ec, IOT_JWT_ALGORITHM), "not signed");
	ASSERT_CONTAINS(judge(token_of(ec, "{}", claims), &with_ec, IOT_JWT_ALGORITHM), "names none");
	ASSERT_CONTAINS(judge(token_of(ec, "{\"alg\":\"ES384\"}", claims), &with_ec, IOT_JWT_ALGORITHM), "neither");
	ASSERT_CONTAINS(judge(token_of(ec, "{\"alg\":\"RS256\"}", claims), &with_ec, IOT_JWT_ALGORITHM),
			"key is for ES256");
	ASSERT_CONTAINS(judge(token_of(rsa, "{\"alg\":\"ES256\"}", claims), &with_rsa, IOT_JWT_ALGORITHM),
			"key is for RS256");
	ASSERT_CONTAINS(judge(token_of(ec, "{\"alg\":\"ES256\",\"crit\":[\"b64\"]}", claims), &with_ec, IOT_JWT_FORM),
			"critical");
	/* a device with keys of both kinds: each is used for its own algorithm only */
	both[0].key = ec;
	both[1].key = rsa;
	mixed = token_of(ec, "{\"alg\":\"RS256\"}", claims);
	CU_ASSERT_EQUAL(iot_jwt_verify(mixed, strlen(mixed), &expect, &verdict, NULL), IOT_VERIFY);
	CU_ASSERT_EQUAL(verdict.checks[IOT_JWT_SIGNATURE].result, IOT_JWT_FAILED);
	free(mixed);
	/* the public key as an HMAC secret */
	ASSERT_OK(iot_key_public_pem(rsa, &pem, &err), &err);
	iot_base64url("{\"alg\":\"HS256\"}", 15, &token);
	iot_buf_addc(&token, '.');
	iot_base64url(claims, strlen(claims), &token);
	iot_hmac_sha256(pem.data, pem.len, token.data, token.len, mac);
	iot_buf_addc(&token, '.');
	iot_base64url(mac, sizeof(mac), &token);
	ASSERT_CONTAINS(judge(iot_buf_detach(&token), &with_rsa, IOT_JWT_ALGORITHM), "shared secret");
	iot_buf_release(&pem);
}

static void test_der_signature(void)
{
	const struct iot_jwt_key key = {.key = ec};
	char *token = good(ec, NOW, 60);
	struct iot_buf der = IOT_BUF_INIT(128), text = IOT_BUF_INIT(IOT_JWT_MAX);
	struct iot_error err = IOT_ERROR_INIT;

	*strrchr(token, '.') = '\0';
	ASSERT_OK(iot_key_sign(ec, IOT_SIG_ECDSA_SHA256, token, strlen(token), &der, &err), &err);
	iot_buf_addf(&text, "%s.", token);
	iot_base64url(der.data, der.len, &text);
	ASSERT_CONTAINS(judge(iot_buf_detach(&text), &key, IOT_JWT_SIGNATURE), "it is DER");
	iot_buf_addf(&text, "%s.", token);
	iot_base64url(der.data, 20, &text);
	ASSERT_CONTAINS(judge(iot_buf_detach(&text), &key, IOT_JWT_SIGNATURE), "it has 20 bytes");
	free(token);
	iot_buf_release(&der);
}

static void test_malformed(void)
{
	static const struct {
		const char *text, *reason;
	} cases[] = {
		{"", "empty"},
		{"a.b", "three parts"},
		{"e30.e30.e30.e30", "three parts"},
		{"e30.e30.", "no signature"},
		{"e30=.e30.AAAA", "padding"},
		{"e30.e30.AAA=", "padding"},
		{"e30.e30.AA+/", "plain base64"},
		{"e30.e30.AAAA\n", "white space"},
		{"e30.e30.AAA!", "not base64url"},
		{"e30.e30.A", "not base64url"},
		{"e30.e30.AB", "not base64url"}, /* bits that mean nothing are set */
		{"W10.e30.AAAA", "not a JSON object"},
		{"eyJhIjoxLCJhIjoyfQ.e30.AAAA", "header"}, /* a member twice */
	};
	const struct iot_jwt_key key = {.key = ec};
	char *huge;

	for (size_t i = 0; i < IOT_LENGTH(cases); i++)
		ASSERT_CONTAINS(judge(iot_strdup(cases[i].text), &key, IOT_JWT_FORM), cases[i].reason);
	huge = iot_alloc(IOT_JWT_MAX + 2);
	memset(huge, 'A', IOT_JWT_MAX + 1);
	ASSERT_CONTAINS(judge(huge, &key, IOT_JWT_FORM), "at most 4096");
}

static void test_every_bit_counts(void)
{
	const struct iot_jwt_key key = {.key = ec};
	const struct iot_jwt_expect expect = {.keys = &key, .key_count = 1, .audience = "project", .now = NOW};
	struct iot_jwt_verdict verdict;
	char *token = good(ec, NOW, 60);
	unsigned taken = 0;

	for (size_t i = 0; token[i] != '\0'; i++) {
		token[i] ^= 1;
		taken += iot_jwt_verify(token, strlen(token), &expect, &verdict, NULL) == IOT_OK;
		token[i] ^= 1;
	}
	CU_ASSERT_EQUAL(taken, 0);
	free(token);
}

static void test_create_refuses(void)
{
	struct iot_buf out = IOT_BUF_INIT(IOT_JWT_MAX);
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_key *p384 = NULL, *public_key = iot_key_public_copy(ec);
	IOT_JSON extra = json_pack("{s:i}", "exp", 1);

	ASSERT_OK(iot_key_generate(IOT_KEY_P384, &p384, &err), &err);
	ASSERT_STATUS(iot_jwt_create(p384, "p", NOW, 60, NULL, &out, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_jwt_create(public_key, "p", NOW, 60, NULL, &out, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_jwt_create(ec, "p", NOW, 86401, NULL, &out, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_jwt_create(ec, "p", NOW, 0, NULL, &out, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_jwt_create(ec, "", NOW, 60, NULL, &out, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_jwt_create(ec, "p", NOW, 60, extra, &out, &err), IOT_USAGE, &err);
	CU_ASSERT_EQUAL(out.len, 0);
	iot_key_free(p384);
	iot_key_free(public_key);
}

/* The openssl program agrees on RS256: header and claims as they are in the text, PKCS#1 v1.5 over them. */
static void test_openssl_agrees(void)
{
	char *token = good(rsa, NOW, 60), *dot = strrchr(token, '.');
	struct iot_buf signature = IOT_BUF_INIT(1024), pem = IOT_BUF_INIT(4096);
	struct iot_error err = IOT_ERROR_INIT;

	CU_ASSERT_TRUE(iot_unbase64url(dot + 1, strlen(dot + 1), &signature));
	ASSERT_OK(iot_key_public_pem(rsa, &pem, &err), &err);
	put_file(in_dir("text"), token, (size_t)(dot - token), 0600);
	put_file(in_dir("sig"), signature.data, signature.len, 0600);
	put_file(in_dir("pub"), pem.data, pem.len, 0600);
	CU_ASSERT_EQUAL(run("openssl dgst -sha256 -verify '%s' -signature '%s' '%s'", in_dir("pub"), in_dir("sig"),
			    in_dir("text")),
			0);
	free(token);
	iot_buf_release(&signature);
	iot_buf_release(&pem);
}

/* RFC 7515 A.3: a token signed by somebody else with ES256 (its claims are not ours, its signature is right). */
static void test_rfc_example(void)
{
	static const char token[] =
		"eyJhbGciOiJFUzI1NiJ9"
		".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
		".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
	static const char point[] = "3059301306072a8648ce3d020106082a8648ce3d03010703420004"
				    "7fcdce2770f6c45d4183cbee6fdb4b7b580733357be9ef13bacf6e3c7bd15445"
				    "c7f144cd1bbd9b7e872cdfedb9eeb9f4b3695d6ea90b24ad8a4623288588e5ad";
	uint8_t der[91];
	struct iot_key *key = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_jwt_key with = {.name = "rfc"};
	struct iot_jwt_expect expect = {.keys = &with, .key_count = 1, .now = 1300819380};
	struct iot_jwt_verdict verdict;

	CU_ASSERT_TRUE(iot_unhex(point, der, sizeof(der)));
	ASSERT_OK(iot_key_from_public_der(der, sizeof(der), "key", &key, &err), &err);
	with.key = key;
	ASSERT_STATUS(iot_jwt_verify(token, strlen(token), &expect, &verdict, &err), IOT_VERIFY, &err);
	CU_ASSERT_EQUAL(verdict.checks[IOT_JWT_SIGNATURE].result, IOT_JWT_OK);
	CU_ASSERT_EQUAL(verdict.checks[IOT_JWT_ISSUED].result, IOT_JWT_FAILED);
	CU_ASSERT_EQUAL(verdict.checks[IOT_JWT_EXPIRY].result, IOT_JWT_OK);
	iot_key_free(key);
}

UNIT_MAIN("crypto/jwt", set_up, tear_down, {"round_trip", test_round_trip}, {"times", test_times},
	  {"audience", test_audience}, {"keys", test_keys}, {"algorithm_confusion", test_algorithm_confusion},
	  {"der_signature", test_der_signature}, {"malformed", test_malformed},
	  {"every_bit_counts", test_every_bit_counts}, {"create_refuses", test_create_refuses},
	  {"openssl_agrees", test_openssl_agrees}, {"rfc_example", test_rfc_example})
