/*
 * Attestation: the example tokens of RFC 9783, tokens by an implementation of
 * its own (attest_vectors.py), every way to be malformed or to be somebody else's.
 */
#include "helpers.h"

#include "attest_vectors.h"
#include "iotctl/attest.h"
#include "iotctl/image.h"
#include "iotctl/text.h"

#include <cbor.h>
#include <sys/resource.h>

/* RFC 9783 Appendix A.2 and A.1, and their keys. */
static const char rfc_mac_token[] =
	"d18443a10105a0590100a8190100582101c557bd4fadc83f756fca2cd5ea2dcc8b82159bb4e7453d6a744d4eecd6d0ac6019"
	"095c582000000000000000000000000000000000000000000000000000000000000000000a58200101010101010101010101"
	"01010101010101010101010101010101010101010119095a1a7fffffff19095b19300019010978217461673a707361636572"
	"7469666965642e6f72672c323032333a7073612374666d19010c48000000000000000019095f81a305582004040404040404"
	"0404040404040404040404040404040404040404040404040402582003030303030303030303030303030303030303030303"
	"03030303030303030303016450526f545820cf88d330e7a5366a95cf744a4dbf0d50304d405edd8b2530e243eddbd3177820";
static const char rfc_mac_key[] = "de038b34aca125768c5e3357ab8d06b367b9ab0d7e8be124edca47fe033a5bb7"
				  "a93d307ff229aa36ff246c1295964facf71ab7aa6ec4fd6102b7b3983255ad92";
static const char rfc_sign_token[] =
	"d28443a10126a0590100a8190100582101020202020202020202020202020202020202020202020202020202020202020219"
	"095c582000000000000000000000000000000000000000000000000000000000000000000a58200101010101010101010101"
	"01010101010101010101010101010101010101010119095a1a7fffffff19095b19300019010978217461673a707361636572"
	"7469666965642e6f72672c323032333a7073612374666d19010c48000000000000000019095f81a305582004040404040404"
	"0404040404040404040404040404040404040404040404040402582003030303030303030303030303030303030303030303"
	"03030303030303030303016450526f545840786e937a4c42667af3847399319ca95c7e7dbabdc9b50fdb8de3f6bff4ab82ff"
	"80c42140e2a488000219e3e10663193da69c75f52b798ea10b2f7041a90e8e5a";
static const char rfc_sign_key[] = "-----BEGIN PUBLIC KEY-----\n"
				   "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAETl4iCZ47zrRbRG0TVf0dw7VFlHtv\n"
				   "18HInYhnmMNybo+A1wuECyVqrDSmLt4QQzZPBECV8ANHS5HgGCCSr7E/Lg==\n"
				   "-----END PUBLIC KEY-----\n";

static const uint8_t ones[32] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
				 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
static uint8_t key[32], nonce[32];

static void set_up(void)
{
	make_dir();
	for (int i = 0; i < 32; i++)
		key[i] = (uint8_t)(i + 1);
	memset(nonce, 0x11, sizeof(nonce));
}

/* Exactly as many bytes as the text says, so that the sanitizer sees a read past the end. */
static uint8_t *bytes_of(const char *hex, size_t *ret_len)
{
	uint8_t *data;

	*ret_len = strlen(hex) / 2;
	data = malloc(*ret_len > 0 ? *ret_len : 1);
	if (data == NULL || !iot_unhex(hex, data, *ret_len))
		abort();
	return data;
}

static struct iot_attest_expect usual(void)
{
	return (struct iot_attest_expect){.secret = key, .secret_len = sizeof(key), .nonce = {nonce, sizeof(nonce)}};
}

static struct iot_attest_policy *policy_of(const char *text)
{
	struct iot_attest_policy *policy = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_attest_policy_parse(text, strlen(text), "policy", &policy, &err), &err);
	return policy;
}

static enum iot_status verify(const char *hex, const struct iot_attest_expect *expect,
			      struct iot_attest_verdict *verdict, struct iot_error *err)
{
	size_t len;
	uint8_t *data = bytes_of(hex, &len);
	enum iot_status status = iot_attest_verify(data, len, expect, verdict, err);

	free(data);
	return status;
}

/* The token is refused, by this check and for this reason. */
static void refused(const char *hex, const struct iot_attest_expect *expect, enum iot_attest_check check,
		    const char *reason)
{
	struct iot_attest_verdict verdict;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_STATUS(verify(hex, expect, &verdict, &err), IOT_VERIFY, &err);
	CU_ASSERT_FALSE(verdict.accepted);
	if (verdict.checks[check].result != IOT_ATTEST_FAILED || strstr(verdict.checks[check].detail, reason) == NULL)
		fprintf(stderr, "\n%s: '%s', not '%s'\n", iot_attest_check_name(check), verdict.checks[check].detail,
			reason);
	CU_ASSERT_EQUAL(verdict.checks[check].result, IOT_ATTEST_FAILED);
	ASSERT_CONTAINS(verdict.checks[check].detail, reason);
	for (int i = 0; i < (int)check; i++)
		CU_ASSERT_NOT_EQUAL(verdict.checks[i].result, IOT_ATTEST_FAILED);
}

static void accepted(const char *hex, const struct iot_attest_expect *expect)
{
	struct iot_attest_verdict verdict;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(verify(hex, expect, &verdict, &err), &err);
	CU_ASSERT_TRUE(verdict.accepted);
}

static void test_rfc_examples(void)
{
	uint8_t secret[64];
	struct iot_attest_policy *any = policy_of("{\"client\": \"any\"}");
	struct iot_attest_expect expect = {.secret = secret,
					   .secret_len = sizeof(secret),
					   .nonce = {ones, sizeof(ones)},
					   .policy = any,
					   .allow_published = true};
	struct iot_key *public_key = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	CU_ASSERT_TRUE(iot_unhex(rfc_mac_key, secret, sizeof(secret)));
	ASSERT_OK(iot_key_from_public_pem(rfc_sign_key, strlen(rfc_sign_key), "key", &public_key, &err), &err);
	accepted(rfc_mac_token, &expect);
	expect.policy = NULL; /* its client id is positive */
	refused(rfc_mac_token, &expect, IOT_ATTEST_CLIENT, "secure side");
	expect.policy = any;
	expect.allow_published = false;
	refused(rfc_mac_token, &expect, IOT_ATTEST_KEY, "example key of RFC 9783");

	expect = (struct iot_attest_expect){
		.key = public_key, .nonce = {ones, sizeof(ones)}, .policy = any, .allow_published = true};
	accepted(rfc_sign_token, &expect);
	expect.allow_published = false;
	refused(rfc_sign_token, &expect, IOT_ATTEST_KEY, "example key pair of RFC 9783");
	iot_key_free(public_key);
	iot_attest_policy_free(any);
}

/* What both keys in public repositories give as instance ids was computed elsewhere (TF-M's documentation has it). */
static void test_published_keys(void)
{
	uint8_t dummy[32], id[IOT_ATTEST_INSTANCE_SIZE];

	CU_ASSERT_TRUE(iot_unhex("a9b454b26d6f90a4ea31193564cba91fec6f9a002a7dc0504b92a1937134585f", dummy, 32));
	iot_attest_instance_of_secret(dummy, sizeof(dummy), id);
	CU_ASSERT_PTR_NOT_NULL(iot_attest_published(id, sizeof(id)));
	CU_ASSERT_TRUE(iot_unhex("01fa58755f658627ce5460f29b75296713248cae7ad9e2984b90280efcbcb50248", id, sizeof(id)));
	CU_ASSERT_PTR_NOT_NULL(iot_attest_published(id, sizeof(id)));
	iot_attest_instance_of_secret(key, sizeof(key), id);
	CU_ASSERT_PTR_NULL(iot_attest_published(id, sizeof(id)));
	CU_ASSERT_PTR_NULL(iot_attest_published(NULL, 0));
}

static void test_profiles(void)
{
	struct iot_attest_expect expect = usual();
	struct iot_attest_policy *rfc_only = policy_of("{\"profiles\": [\"tag:psacertified.org,2023:psa#tfm\"]}");

	accepted(psa_1_token, &expect);
	expect.alg = IOT_COSE_HMAC384;
	accepted(psa_2_token, &expect);
	expect.alg = IOT_COSE_HMAC512;
	accepted(rfc_9783_token, &expect);
	expect.policy = rfc_only;
	accepted(rfc_9783_token, &expect);
	expect.alg = IOT_COSE_NONE;
	refused(psa_1_token, &expect, IOT_ATTEST_CLAIMS, "does not allow the profile");
	iot_attest_policy_free(rfc_only);
}

static void test_faults_of_claims(void)
{
	struct iot_attest_expect expect = usual();
	struct iot_attest_policy *debug = policy_of("{\"lifecycle\": [\"secured\", \"non-psa-rot-debug\"]}");
	struct iot_attest_policy *listed = policy_of("{\"client\": [3002]}");

	refused(mixed_token, &expect, IOT_ATTEST_CLAIMS, "two profiles");
	refused(no_seed_token, &expect, IOT_ATTEST_CLAIMS, "no boot seed");
	refused(profile_token, &expect, IOT_ATTEST_NONCE, "has none"); /* under which number would it be? */
	refused(debug_token, &expect, IOT_ATTEST_LIFECYCLE, "non-psa-rot-debug");
	refused(decommissioned_token, &expect, IOT_ATTEST_LIFECYCLE, "decommissioned");
	refused(secure_caller_token, &expect, IOT_ATTEST_CLIENT, "3002");
	refused(other_device_token, &expect, IOT_ATTEST_INSTANCE, "does not belong to the key");
	refused(no_signer_token, &expect, IOT_ATTEST_CLAIMS, "no signer id");
	refused(array_nonce_token, &expect, IOT_ATTEST_NONCE, "has none");
	expect.policy = debug;
	accepted(debug_token, &expect);
	refused(decommissioned_token, &expect, IOT_ATTEST_LIFECYCLE, "decommissioned");
	expect.policy = listed;
	accepted(secure_caller_token, &expect);
	refused(psa_1_token, &expect, IOT_ATTEST_CLIENT, "none that the policy names");
	iot_attest_policy_free(debug);
	iot_attest_policy_free(listed);
}

static void test_wrong_key_nonce_and_device(void)
{
	struct iot_attest_expect expect = usual();
	uint8_t other[32] = {9}, id[IOT_ATTEST_INSTANCE_SIZE];

	expect.secret = other;
	refused(psa_1_token, &expect, IOT_ATTEST_SIGNATURE, "does not match");
	expect = usual();
	expect.secret_len = 15;
	refused(psa_1_token, &expect, IOT_ATTEST_KEY, "15 bytes");
	expect = usual();
	expect.nonce = (struct iot_span){other, sizeof(other)};
	refused(psa_1_token, &expect, IOT_ATTEST_NONCE, "not the one that was asked for");
	expect.nonce = (struct iot_span){nonce, 31};
	refused(psa_1_token, &expect, IOT_ATTEST_NONCE, "not the one that was asked for");
	expect = usual();
	iot_attest_instance_of_secret(other, sizeof(other), id);
	expect.instance = (struct iot_span){id, sizeof(id)};
	refused(psa_1_token, &expect, IOT_ATTEST_INSTANCE, "another device");
	iot_attest_instance_of_secret(key, sizeof(key), id);
	accepted(psa_1_token, &expect);
	/* algorithms: not the registered one, a cut tag */
	expect.alg = IOT_COSE_HMAC512;
	refused(psa_1_token, &expect, IOT_ATTEST_ALGORITHM, "HMAC256");
	expect.alg = IOT_COSE_NONE;
	refused(cut_tag_token, &expect, IOT_ATTEST_ALGORITHM, "64 bits");
}

/* Each byte of a token matters: with one bit changed it is never accepted. */
static void test_every_bit_counts(void)
{
	const struct iot_attest_expect expect = usual();
	size_t len;
	uint8_t *data = bytes_of(psa_1_token, &len);
	struct iot_attest_verdict verdict;
	unsigned taken = 0;

	for (size_t i = 0; i < len; i++) {
		data[i] ^= (uint8_t)(1U << i % 8);
		taken += iot_attest_verify(data, len, &expect, &verdict, NULL) != IOT_VERIFY;
		data[i] ^= (uint8_t)(1U << i % 8);
	}
	CU_ASSERT_EQUAL(taken, 0);
	for (size_t cut = 0; cut < len; cut++) {
		uint8_t *part = malloc(cut > 0 ? cut : 1);

		memcpy(part, data, cut);
		taken += iot_attest_verify(part, cut, &expect, &verdict, NULL) != IOT_VERIFY ||
			 verdict.checks[IOT_ATTEST_FORM].result != IOT_ATTEST_FAILED;
		free(part);
	}
	CU_ASSERT_EQUAL(taken, 0);
	free(data);
}

/* Tokens that no honest device makes. Each is refused for its form, before any key is looked at. */
static void test_malformed(void)
{
	static const struct {
		const char *hex, *reason;
	} cases[] = {
		{"", "empty"},
		{"9a10000000", "ends too early"},         /* announces 2^28 elements: libcbor takes 2 GB for it */
		{"5b7fffffffffffffff", "ends too early"}, /* a string of 2^63 bytes */
		{"bb7fffffffffffffff", "ends too early"}, /* a map of as many members */
		{"d19fff", "indefinite"},
		{"d18443a10105bfffa040", "indefinite"},
		{"d1845f41a1ffa04040", "indefinite"},
		{"d18443a10105a041a0410000", "bytes behind"},
		{"d18443a10105a2010501064040", "twice"},   /* a label twice in the unprotected header */
		{"d18445a201050105a041a04100", "twice"},   /* and in the protected one */
		{"d18446a20105180105a041a04100", "twice"}, /* in two spellings */
		{"d18443a10105a041a2410000", "bytes behind"},
		{"d18443a10105a044a20a010b4100", "ends too early"},
		{"d18443a10105a045a20a010a014100", "twice"}, /* a claim twice */
		{"d18443a10105a0f64100", "payload is not a byte string"},
		{"d18443a10105a0404100", "payload is malformed"},
		{"d18443a10105a041004100", "not a map"},
		{"d18343a10105a041a0", "not an array of four"},
		{"8443a10105a041a04100", "neither a COSE_Mac0"},
		{"d28443a10105f641a04100", "header is not a map"},
		{"d184a10105a041a04100", "protected header is not a byte string"},
		{"d18443a10105a1010541a04100", "names its algorithm twice"},
		{"d18443a10105a08181818181818181818100", "nested too deeply"},
		{"d18443a10105a041a041ff00", "bytes behind"},
		{"d18443a10105a043a161ff00", "not a byte string"},
	};
	struct iot_attest_expect expect = usual();
	struct rusage before, after;

	getrusage(RUSAGE_SELF, &before);
	for (size_t i = 0; i < IOT_LENGTH(cases); i++)
		refused(cases[i].hex, &expect, IOT_ATTEST_FORM, cases[i].reason);
	getrusage(RUSAGE_SELF, &after);
	CU_ASSERT_TRUE(after.ru_maxrss - before.ru_maxrss < 64 * 1024); /* KiB; the sanitizer's own growth with it */
}

static void test_oversized(void)
{
	struct iot_attest_expect expect = usual();
	uint8_t *data = iot_alloc(IOT_COSE_MAX + 1);
	struct iot_attest_verdict verdict;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_STATUS(iot_attest_verify(data, IOT_COSE_MAX + 1, &expect, &verdict, &err), IOT_VERIFY, &err);
	ASSERT_CONTAINS(verdict.checks[IOT_ATTEST_FORM].detail, "at most 4096");
	free(data);
}

static void test_unprotected_algorithm(void)
{
	struct iot_attest_expect expect = usual();

	refused("d18440a1010541a04100", &expect, IOT_ATTEST_ALGORITHM, "unprotected one does not count");
	refused("d18446a201050281184fa041a04100", &expect, IOT_ATTEST_FORM, "");
	refused("d18447a2010502810aa041a04100", &expect, IOT_ATTEST_FORM, "");
	refused("d18446a2010502810aa041a04100", &expect, IOT_ATTEST_ALGORITHM, "critical");
}

/* What we write is what libcbor reads, and what we accept. */
static void test_encode(void)
{
	struct iot_attest_claims claims = {.profile = IOT_ATTEST_RFC_9783,
					   .has_client = true,
					   .has_lifecycle = true,
					   .client = -7,
					   .lifecycle = 0x3001,
					   .implementation = {ones, 32},
					   .nonce = {nonce, 32},
					   .component_count = 1};
	struct iot_attest_expect expect = usual();
	struct iot_buf token = IOT_BUF_INIT(IOT_COSE_MAX);
	struct iot_attest_verdict verdict;
	struct iot_key *pair = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	struct cbor_load_result result;
	uint8_t id[IOT_ATTEST_INSTANCE_SIZE];
	cbor_item_t *item;

	iot_attest_instance_of_secret(key, sizeof(key), id);
	claims.instance = (struct iot_span){id, sizeof(id)};
	claims.components[0] = (struct iot_attest_component){
		.type = {"SPE", 3}, .measurement = {ones, 32}, .signer = {nonce, 32}, .version = {"1.0", 3}};
	ASSERT_OK(iot_attest_encode(&claims, IOT_COSE_HMAC256, key, sizeof(key), NULL, &token, &err), &err);
	/* Without its tag: libcbor 0.8 knows no tags from 6 to 20. */
	CU_ASSERT_EQUAL((uint8_t)token.data[0], 0xd1);
	item = cbor_load((const unsigned char *)token.data + 1, token.len - 1, &result);
	CU_ASSERT_PTR_NOT_NULL(item);
	CU_ASSERT_EQUAL(result.read, token.len - 1);
	if (item != NULL)
		cbor_decref(&item);
	ASSERT_OK(iot_attest_verify(token.data, token.len, &expect, &verdict, &err), &err);
	CU_ASSERT_EQUAL(verdict.claims.client, -7);
	CU_ASSERT_EQUAL(verdict.claims.component_count, 1);

	for (enum iot_key_type type = IOT_KEY_P256; type <= IOT_KEY_P521; type++) {
		ASSERT_OK(iot_key_generate(type, &pair, &err), &err);
		iot_buf_clear(&token);
		ASSERT_OK(iot_attest_encode(&claims, 0, NULL, 0, pair, &token, &err), &err);
		expect = (struct iot_attest_expect){.key = pair, .nonce = {nonce, 32}, .instance = {id, sizeof(id)}};
		ASSERT_OK(iot_attest_verify(token.data, token.len, &expect, &verdict, &err), &err);
		expect = usual(); /* a secret key must not be taken for a public one's algorithm, or the other way */
		CU_ASSERT_EQUAL(iot_attest_verify(token.data, token.len, &expect, &verdict, NULL), IOT_VERIFY);
		CU_ASSERT_EQUAL(verdict.checks[IOT_ATTEST_ALGORITHM].result, IOT_ATTEST_FAILED);
		iot_key_free(pair);
	}
	iot_buf_release(&token);
}

static void test_policy(void)
{
	static const char spe[] = "{\"components\": [{\"type\": \"SPE\", \"signers\": "
				  "[\"5151515151515151515151515151515151515151515151515151515151515151\"],"
				  " \"minVersion\": \"%s\"}], \"otherComponents\": \"%s\","
				  " \"implementationIds\": [\"%s\"]}";
	static const char good[] = "1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d";
	static const char bad[] = "1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1e";
	static const struct {
		const char *version, *others, *implementation;
		enum iot_attest_check check;
		const char *reason; /* NULL: accepted */
	} cases[] = {
		{"1.6.0", "allow", good, 0, NULL},
		{"1.5.99+4", "allow", good, 0, NULL},
		{"1.6", "allow", good, 0, NULL},
		{"1.6.0+1", "allow", good, IOT_ATTEST_COMPONENTS, "component 1 (SPE 1.6.0): its version is too old"},
		{"1.10", "allow", good, IOT_ATTEST_COMPONENTS, "too old"},
		{"1.6.0", "refuse", good, IOT_ATTEST_COMPONENTS, "component 2 (NSPE 2.0.1+7): the policy has no rule"},
		{"1.6.0", "allow", bad, IOT_ATTEST_IMPLEMENTATION, "none that the policy names"},
	};
	struct iot_attest_expect expect = usual();
	char text[1024];

	for (size_t i = 0; i < IOT_LENGTH(cases); i++) {
		struct iot_attest_policy *policy;

		snprintf(text, sizeof(text), spe, cases[i].version, cases[i].others, cases[i].implementation);
		policy = policy_of(text);
		expect.policy = policy;
		if (cases[i].reason == NULL)
			accepted(psa_1_token, &expect);
		else
			refused(psa_1_token, &expect, cases[i].check, cases[i].reason);
		iot_attest_policy_free(policy);
	}
}

static void test_rule_of_absent_component(void)
{
	static const char text[] =
		"{\"otherComponents\": \"allow\", \"components\": [{\"type\": \"BL\", \"measurements\": "
		"[\"2121212121212121212121212121212121212121212121212121212121212121\"]}]}";
	struct iot_attest_policy *policy = policy_of(text);
	struct iot_attest_expect expect = usual();

	expect.policy = policy;
	refused(psa_1_token, &expect, IOT_ATTEST_COMPONENTS, "no component meets rule 1, for BL");
	iot_attest_policy_free(policy);
}

static void test_bad_policies(void)
{
	static const struct {
		const char *text, *reason;
	} cases[] = {
		{"[]", "no JSON object"},
		{"{\"lifecycles\": [\"secured\"]}", "no member 'lifecycles'"},
		{"{\"lifecycle\": [\"decommissioned\"]}", "cannot be allowed"},
		{"{\"lifecycle\": []}", "not a list"},
		{"{\"lifecycle\": \"secured\"}", "not a list"},
		{"{\"client\": \"all\"}", "neither"},
		{"{\"client\": [0]}", "neither"},
		{"{\"profiles\": [\"PSA_IOT_PROFILE_2\"]}", "not a list of"},
		{"{\"profiles\": []}", "not a list of"},
		{"{\"implementationIds\": [\"00\"]}", "32 bytes"},
		{"{\"components\": []}", "list of 1"},
		{"{\"components\": [{}]}", "neither measurements nor minVersion"},
		{"{\"components\": [{\"minVersion\": \"1.0\"}]}", "needs signers"},
		{"{\"components\": [{\"minVersion\": \"new\", \"signers\": [\"%s\"]}]}", "not 32"},
		{"{\"components\": [{\"measurement\": \"00\"}]}", "no member 'measurement'"},
		{"{\"otherComponents\": \"ignore\"}", "neither refuse nor allow"},
	};

	for (size_t i = 0; i < IOT_LENGTH(cases); i++) {
		struct iot_attest_policy *policy = NULL;
		struct iot_error err = IOT_ERROR_INIT;

		ASSERT_STATUS(iot_attest_policy_parse(cases[i].text, strlen(cases[i].text), "p", &policy, &err),
			      IOT_USAGE, &err);
		ASSERT_CONTAINS(err.what, cases[i].reason);
		CU_ASSERT_PTR_NULL(policy);
	}
}

/* An MCUboot image by hand: 32 bytes of header, four of image, a trailer with hash and key hash. */
static size_t mcuboot(uint8_t *out, const uint8_t key_hash[32])
{
	static const uint8_t start[36] = {0x3d, 0xb8, 0xf3, 0x96, 0, 0, 0, 0, 32, 0, 0, 0, 4, 0, 0,   0,   0,   0,
					  0,    0,    1,    2,    3, 0, 0, 0, 0,  0, 0, 0, 0, 0, 'c', 'o', 'd', 'e'};
	static const uint8_t trailer[8] = {0x07, 0x69, 76, 0, 0x10, 0, 32, 0}, next[4] = {1, 0, 32, 0};

	memcpy(out, start, 36);
	memcpy(out + 36, trailer, 8);
	iot_sha256(start, 36, out + 44);
	memcpy(out + 76, next, 4);
	memcpy(out + 80, key_hash, 32);
	return 112;
}

static void test_policy_from_images(void)
{
	IOT_JSON policy = json_object();
	const char *path = in_dir("spe.bin");
	struct iot_attest_policy *parsed = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_image_measurement measured;
	uint8_t image[112];
	char *text;

	put_file(path, image, mcuboot(image, ones), 0600);
	ASSERT_OK(iot_image_measure(path, &measured, &err), &err);
	CU_ASSERT_EQUAL(measured.measurement_len, 32);
	CU_ASSERT_EQUAL(memcmp(measured.signer, ones, 32), 0);
	CU_ASSERT_STRING_EQUAL(measured.version, "1.2.3+0");
	ASSERT_OK(iot_attest_policy_add_image(policy, path, "SPE", true, &err), &err);
	ASSERT_OK(iot_attest_policy_add_image(policy, path, "SPE", true, &err), &err);
	CU_ASSERT_EQUAL(json_array_size(json_object_get(policy, "components")), 1);
	text = iot_json_text(policy);
	ASSERT_OK(iot_attest_policy_parse(text, strlen(text), "made", &parsed, &err), &err);
	ASSERT_CONTAINS(text, "\"minVersion\":\"1.2.3+0\"");
	free(text);
	iot_attest_policy_free(parsed);

	image[35] ^= 1; /* the code is not what was hashed */
	put_file(path, image, sizeof(image), 0600);
	ASSERT_STATUS(iot_image_measure(path, &measured, &err), IOT_VERIFY, &err);
	image[35] ^= 1;
	image[38] = 77; /* the trailer says that it is longer than it is */
	put_file(path, image, sizeof(image), 0600);
	ASSERT_STATUS(iot_image_measure(path, &measured, &err), IOT_USAGE, &err);
	put_file(path, "plain", 5, 0600);
	ASSERT_STATUS(iot_attest_policy_add_image(policy, path, NULL, false, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "who signed it");
}

static void test_warnings(void)
{
	uint8_t dummy[32];
	struct iot_attest_claims claims = {.profile = IOT_ATTEST_PSA_1,
					   .implementation = {dummy, 32},
					   .verification = {"www.trustedfirmware.org", 23}};
	IOT_JSON warnings = NULL;

	for (int i = 0; i < 32; i++)
		dummy[i] = (uint8_t)(0xaa + 0x11 * (i / 8));
	warnings = iot_attest_warnings(&claims);
	CU_ASSERT_EQUAL(json_array_size(warnings), 2);
}

UNIT_MAIN("crypto/attest", set_up, remove_dir, {"rfc_examples", test_rfc_examples},
	  {"published_keys", test_published_keys}, {"profiles", test_profiles},
	  {"faults_of_claims", test_faults_of_claims}, {"wrong_key_nonce_and_device", test_wrong_key_nonce_and_device},
	  {"every_bit_counts", test_every_bit_counts}, {"malformed", test_malformed}, {"oversized", test_oversized},
	  {"unprotected_algorithm", test_unprotected_algorithm}, {"encode", test_encode}, {"policy", test_policy},
	  {"rule_of_absent_component", test_rule_of_absent_component}, {"bad_policies", test_bad_policies},
	  {"policy_from_images", test_policy_from_images}, {"warnings", test_warnings})
