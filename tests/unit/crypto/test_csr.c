/* Certificate requests: made, read, refused. */
#include "helpers.h"

#include "iotctl/cert.h"
#include "iotctl/text.h"

#define BEGIN "-----BEGIN CERTIFICATE REQUEST-----\n"
#define END "-----END CERTIFICATE REQUEST-----\n"

static void test_round_trip(void)
{
	static const enum iot_key_type types[] = {IOT_KEY_P256, IOT_KEY_P384, IOT_KEY_P521, IOT_KEY_RSA2048};

	for (size_t i = 0; i < IOT_LENGTH(types); i++) {
		struct iot_error err = IOT_ERROR_INIT;
		struct iot_key *key = new_key(types[i]);
		struct iot_buf pem = IOT_BUF_INIT(IOT_CSR_MAX);
		struct iot_csr csr = {NULL, ""};

		ASSERT_OK(iot_csr_create(key, "pump:0001_a-b", &pem, &err), &err);
		ASSERT_OK(iot_csr_parse(iot_buf_str(&pem), pem.len, &csr, &err), &err);
		CU_ASSERT_STRING_EQUAL(csr.common_name, "pump:0001_a-b");
		CU_ASSERT_TRUE(csr.key != NULL && iot_key_equal(csr.key, key) && !iot_key_has_private(csr.key));
		if (have("openssl")) {
			put_file(in_dir("csr.pem"), pem.data, pem.len, 0644);
			CU_ASSERT_EQUAL(run("openssl req -in '%s' -noout -verify", in_dir("csr.pem")), 0);
		}
		iot_csr_release(&csr);
		iot_csr_release(&csr);
		iot_buf_release(&pem);
		iot_key_free(key);
	}
}

/* Every single changed byte of the DER must be noticed. */
static void test_tampered(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_key *key = new_key(IOT_KEY_P256);
	struct iot_buf pem = IOT_BUF_INIT(IOT_CSR_MAX), der = IOT_BUF_INIT(IOT_CSR_MAX),
		       body = IOT_BUF_INIT(IOT_CSR_MAX);
	unsigned not_verified = 0;

	ASSERT_OK(iot_csr_create(key, "pump-0001", &pem, &err), &err);
	for (const char *at = pem.data + strlen(BEGIN); *at != '-'; at++)
		if (*at != '\n')
			iot_buf_addc(&body, *at);
	CU_ASSERT_TRUE(iot_unbase64(body.data, body.len, &der));
	for (size_t i = 0; i < der.len; i++) {
		struct iot_buf bad = IOT_BUF_INIT(IOT_CSR_MAX);
		struct iot_csr csr = {NULL, ""};
		enum iot_status status;

		der.data[i] ^= 4;
		iot_buf_adds(&bad, BEGIN);
		iot_base64(der.data, der.len, &bad);
		iot_buf_adds(&bad, "\n" END);
		der.data[i] ^= 4;
		status = iot_csr_parse(bad.data, bad.len, &csr, &err);
		CU_ASSERT_TRUE(status == IOT_USAGE || status == IOT_VERIFY);
		CU_ASSERT_PTR_NULL(csr.key);
		not_verified += status == IOT_VERIFY;
		iot_csr_release(&csr);
		iot_buf_release(&bad);
	}
	CU_ASSERT_TRUE(not_verified > 50);
	iot_buf_release(&body);
	iot_buf_release(&der);
	iot_buf_release(&pem);
	iot_key_free(key);
}

/* A request the openssl program makes with this subject, parsed. */
static enum iot_status parse_foreign(const char *key_options, const char *subject, struct iot_csr *csr,
				     struct iot_error *err)
{
	struct iot_buf pem = IOT_BUF_INIT(IOT_CSR_MAX);
	const char *path = in_dir("foreign.csr");
	enum iot_status status;

	CU_ASSERT_EQUAL(run("openssl req -new -newkey %s -nodes -keyout /dev/null -out '%s' -utf8 -subj '%s'",
			    key_options, path, subject),
			0);
	status = iot_fs_read(path, &pem, err);
	if (status == IOT_OK)
		status = iot_csr_parse(iot_buf_str(&pem), pem.len, csr, err);
	iot_buf_release(&pem);
	return status;
}

static void test_subjects(void)
{
	static const char p256[] = "ec -pkeyopt ec_paramgen_curve:P-256";
	static const char *const refused[] = {"/CN=one/CN=two", "/CN=thing1\\/jobs", "/CN=a b", "/CN=a#", "/CN=pümp"};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_csr csr = {NULL, ""};

	if (!have("openssl"))
		return;
	for (size_t i = 0; i < IOT_LENGTH(refused); i++)
		ASSERT_STATUS(parse_foreign(p256, refused[i], &csr, &err), IOT_USAGE, &err);
	CU_ASSERT_PTR_NULL(csr.key);
	ASSERT_OK(parse_foreign(p256, "/O=no name", &csr, &err), &err);
	CU_ASSERT_STRING_EQUAL(csr.common_name, "");
	iot_csr_release(&csr);
	ASSERT_OK(parse_foreign(p256, "/O=x/OU=y/CN=pump", &csr, &err), &err);
	CU_ASSERT_STRING_EQUAL(csr.common_name, "pump");
	iot_csr_release(&csr);
}

static void test_weak_keys(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_csr csr = {NULL, ""};
	struct iot_key *ed = new_key(IOT_KEY_ED25519);
	struct iot_buf pem = IOT_BUF_INIT(IOT_CSR_MAX);

	ASSERT_STATUS(iot_csr_create(ed, "pump", &pem, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "AWS");
	CU_ASSERT_EQUAL(pem.len, 0);
	iot_key_free(ed);
	iot_buf_release(&pem);
	if (!have("openssl"))
		return;
	ASSERT_STATUS(parse_foreign("rsa:1024", "/CN=pump", &csr, &err), IOT_USAGE, &err);
	ASSERT_STATUS(parse_foreign("ed25519", "/CN=pump", &csr, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "AWS");
	ASSERT_STATUS(parse_foreign("ec -pkeyopt ec_paramgen_curve:secp256k1", "/CN=pump", &csr, &err), IOT_USAGE,
		      &err);
	CU_ASSERT_PTR_NULL(csr.key);
}

static void test_what_is_no_request(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_key *key = new_key(IOT_KEY_P256), *public_key = iot_key_public_copy(key);
	struct iot_buf pem = IOT_BUF_INIT(2 * IOT_CSR_MAX);
	struct iot_csr csr = {NULL, ""};

	ASSERT_STATUS(iot_csr_parse("", 0, &csr, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_csr_parse("hello", 5, &csr, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_csr_parse(BEGIN "AAAA\n" END, strlen(BEGIN "AAAA\n" END), &csr, &err), IOT_USAGE, &err);
	ASSERT_OK(iot_key_public_pem(key, &pem, &err), &err);
	ASSERT_STATUS(iot_csr_parse(pem.data, pem.len, &csr, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "PUBLIC KEY");
	while (pem.len <= IOT_CSR_MAX)
		iot_buf_addc(&pem, '\n');
	ASSERT_STATUS(iot_csr_parse(pem.data, pem.len, &csr, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_csr_create(public_key, "pump", &pem, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_csr_create(key, "a/b", &pem, &err), IOT_USAGE, &err);
	CU_ASSERT_PTR_NULL(csr.key);
	iot_buf_release(&pem);
	iot_key_free(public_key);
	iot_key_free(key);
}

UNIT_MAIN("crypto/csr", make_dir, remove_dir, {"round trip", test_round_trip}, {"tampered", test_tampered},
	  {"subjects", test_subjects}, {"weak keys", test_weak_keys}, {"no request", test_what_is_no_request})
