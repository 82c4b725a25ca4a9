/* Signatures, with the openssl program as the independent judge in both directions. */
#include "helpers.h"

#include "iotctl/key.h"

static const struct {
	enum iot_key_type type;
	enum iot_sig_scheme scheme;
	const char *digest; /* openssl dgst option; NULL: Ed25519 */
} cases[] = {
	{IOT_KEY_P256, IOT_SIG_ECDSA_SHA256, "-sha256"},
	{IOT_KEY_P384, IOT_SIG_ECDSA_SHA256, "-sha256"},
	{IOT_KEY_RSA2048, IOT_SIG_RSA_PKCS1_SHA256, "-sha256"},
	{IOT_KEY_RSA2048, IOT_SIG_RSA_PKCS1_SHA1, "-sha1"},
	{IOT_KEY_ED25519, IOT_SIG_ED25519, NULL},
};

static const char data[] = "what is signed";
#define DATA_LEN (sizeof(data) - 1)

static void test_sign_and_verify(void)
{
	for (size_t i = 0; i < IOT_LENGTH(cases); i++) {
		struct iot_error err = IOT_ERROR_INIT;
		struct iot_key *key = new_key(cases[i].type), *other = new_key(cases[i].type);
		struct iot_buf sig = IOT_BUF_INIT(1024);

		ASSERT_OK(iot_key_sign(key, cases[i].scheme, data, DATA_LEN, &sig, &err), &err);
		ASSERT_OK(iot_key_verify(key, cases[i].scheme, data, DATA_LEN, sig.data, sig.len, &err), &err);
		ASSERT_STATUS(iot_key_verify(other, cases[i].scheme, data, DATA_LEN, sig.data, sig.len, &err),
			      IOT_VERIFY, &err);
		ASSERT_STATUS(iot_key_verify(key, cases[i].scheme, data, DATA_LEN - 1, sig.data, sig.len, &err),
			      IOT_VERIFY, &err);
		ASSERT_STATUS(iot_key_verify(key, cases[i].scheme, data, DATA_LEN, sig.data, sig.len - 1, &err),
			      IOT_VERIFY, &err);
		ASSERT_STATUS(iot_key_verify(key, cases[i].scheme, data, DATA_LEN, "", 0, &err), IOT_VERIFY, &err);
		sig.data[sig.len - 1] ^= 1;
		ASSERT_STATUS(iot_key_verify(key, cases[i].scheme, data, DATA_LEN, sig.data, sig.len, &err), IOT_VERIFY,
			      &err);
		iot_buf_release(&sig);
		iot_key_free(other);
		iot_key_free(key);
	}
}

static void test_openssl_agrees(void)
{
	const char *file = in_dir("data"), *private_path = in_dir("k.key"), *public_path = in_dir("k.pub"),
		   *sig_path = in_dir("sig");

	if (!have("openssl"))
		return;
	put_file(file, data, DATA_LEN, 0644);
	for (size_t i = 0; i < IOT_LENGTH(cases); i++) {
		struct iot_error err = IOT_ERROR_INIT;
		struct iot_key *key = new_key(cases[i].type);
		struct iot_buf sig = IOT_BUF_INIT(1024), pem = IOT_BUF_INIT(4096);

		if (cases[i].digest == NULL) {
			iot_key_free(key);
			continue; /* openssl dgst knows no Ed25519 */
		}
		unlink(private_path);
		ASSERT_OK(iot_key_save_new(key, private_path, NULL, &err), &err);
		ASSERT_OK(iot_key_public_pem(key, &pem, &err), &err);
		put_file(public_path, pem.data, pem.len, 0644);
		ASSERT_OK(iot_key_sign_file(key, cases[i].scheme, file, &sig, &err), &err);
		put_file(sig_path, sig.data, sig.len, 0644);
		CU_ASSERT_EQUAL(run("openssl dgst %s -verify '%s' -signature '%s' '%s'", cases[i].digest, public_path,
				    sig_path, file),
				0);
		CU_ASSERT_EQUAL(
			run("openssl dgst %s -sign '%s' -out '%s' '%s'", cases[i].digest, private_path, sig_path, file),
			0);
		iot_buf_clear(&sig);
		ASSERT_OK(iot_fs_read(sig_path, &sig, &err), &err);
		ASSERT_OK(iot_key_verify_file(key, cases[i].scheme, file, sig.data, sig.len, &err), &err);
		iot_buf_release(&pem);
		iot_buf_release(&sig);
		iot_key_free(key);
	}
}

static void test_digest_and_data_are_the_same_signature(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_key *key = new_key(IOT_KEY_P256);
	struct iot_buf sig = IOT_BUF_INIT(1024);
	uint8_t digest[IOT_SHA256_SIZE];

	iot_sha256(data, DATA_LEN, digest);
	iot_buf_adds(&sig, "before"); /* appended, not replaced */
	ASSERT_OK(iot_key_sign_digest(key, IOT_SIG_ECDSA_SHA256, digest, sizeof(digest), &sig, &err), &err);
	CU_ASSERT_NSTRING_EQUAL(sig.data, "before", 6);
	ASSERT_OK(iot_key_verify(key, IOT_SIG_ECDSA_SHA256, data, DATA_LEN, sig.data + 6, sig.len - 6, &err), &err);
	ASSERT_STATUS(iot_key_sign_digest(key, IOT_SIG_ECDSA_SHA256, digest, 20, &sig, &err), IOT_USAGE, &err);
	iot_buf_release(&sig);
	iot_key_free(key);
}

static void test_wrong_use_is_refused(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_key *ec = new_key(IOT_KEY_P256), *ed = new_key(IOT_KEY_ED25519),
		       *public_key = iot_key_public_copy(ec);
	struct iot_buf sig = IOT_BUF_INIT(1024), small = IOT_BUF_INIT(10);
	uint8_t digest[IOT_SHA256_SIZE] = {0};

	ASSERT_STATUS(iot_key_sign(ec, IOT_SIG_RSA_PKCS1_SHA256, data, DATA_LEN, &sig, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_key_sign(public_key, IOT_SIG_ECDSA_SHA256, data, DATA_LEN, &sig, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_key_sign_digest(ed, IOT_SIG_ED25519, digest, sizeof(digest), &sig, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_key_sign_file(ed, IOT_SIG_ED25519, "/dev/null", &sig, &err), IOT_USAGE, &err);
	CU_ASSERT_EQUAL(sig.len, 0);
	ASSERT_STATUS(iot_key_sign(ec, IOT_SIG_ECDSA_SHA256, data, DATA_LEN, &small, &err), IOT_FAILURE, &err);
	ASSERT_STATUS(iot_key_sign_file(ec, IOT_SIG_ECDSA_SHA256, in_dir("missing"), &sig, &err), IOT_NOT_FOUND, &err);
	iot_buf_release(&small);
	iot_buf_release(&sig);
	iot_key_free(public_key);
	iot_key_free(ed);
	iot_key_free(ec);
}

static void test_short_rsa_signs_only_what_is_legacy(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_key *key = NULL;
	struct iot_buf sig = IOT_BUF_INIT(1024);
	const char *path = in_dir("short.key");

	if (!have("openssl"))
		return;
	CU_ASSERT_EQUAL(run("umask 077; openssl genrsa -out '%s' 1024", path), 0);
	ASSERT_OK(iot_key_load(path, NULL, &key, &err), &err);
	ASSERT_STATUS(iot_key_sign(key, IOT_SIG_RSA_PKCS1_SHA256, data, DATA_LEN, &sig, &err), IOT_USAGE, &err);
	ASSERT_OK(iot_key_sign(key, IOT_SIG_RSA_PKCS1_SHA1, data, DATA_LEN, &sig, &err), &err);
	iot_buf_release(&sig);
	iot_key_free(key);
}

static void test_schemes_by_key(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	for (size_t i = 0; i < IOT_LENGTH(cases); i++) {
		struct iot_key *key = new_key(cases[i].type);
		enum iot_sig_scheme scheme;

		ASSERT_OK(iot_key_scheme(key, &scheme, &err), &err);
		CU_ASSERT_TRUE(scheme == cases[i].scheme || cases[i].scheme == IOT_SIG_RSA_PKCS1_SHA1);
		iot_key_free(key);
	}
}

UNIT_MAIN("crypto/sign", make_dir, remove_dir, {"sign and verify", test_sign_and_verify},
	  {"openssl agrees", test_openssl_agrees}, {"digest", test_digest_and_data_are_the_same_signature},
	  {"wrong use", test_wrong_use_is_refused}, {"short rsa", test_short_rsa_signs_only_what_is_legacy},
	  {"schemes by key", test_schemes_by_key})
