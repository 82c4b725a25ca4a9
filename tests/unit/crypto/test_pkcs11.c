/*
 * Keys in a token: SoftHSM2 through OpenSSL's pkcs11 engine, when both are
 * installed. The token lives in the test's own folder.
 */
#include "helpers.h"

#include "iotctl/cert.h"
#include "iotctl/key.h"

static const char *const modules[] = {"/usr/lib/softhsm/libsofthsm2.so",
				      "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
				      "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so"};
static const char *module_path;

static bool have_engine(void)
{
	return run("openssl engine pkcs11 | grep -q pkcs11") == 0;
}

/* A token 'unit' with PIN 1234 that holds a P-256 key 'ca'. False (and said so) when the parts are missing. */
static bool make_token(void)
{
	struct iot_key *key;
	char config[512];
	int len;

	for (size_t i = 0; i < IOT_LENGTH(modules) && module_path == NULL; i++)
		if (access(modules[i], R_OK) == 0)
			module_path = modules[i];
	if (module_path == NULL || run("command -v softhsm2-util") != 0 || !have_engine()) {
		fprintf(stderr, "\nSKIPPED: needs softhsm2 and libengine-pkcs11-openssl\n");
		return false;
	}
	CU_ASSERT_EQUAL(mkdir(in_dir("tokens"), 0700), 0);
	len = snprintf(config, sizeof(config),
		       "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", in_dir("tokens"));
	put_file(in_dir("softhsm2.conf"), config, (size_t)len, 0600);
	setenv("SOFTHSM2_CONF", in_dir("softhsm2.conf"), 1);
	key = new_key(IOT_KEY_P256);
	if (iot_key_save_new(key, in_dir("ca.key"), NULL, NULL) != IOT_OK)
		abort();
	iot_key_free(key);
	CU_ASSERT_EQUAL(run("softhsm2-util --init-token --free --label unit --pin 1234 --so-pin 5678"), 0);
	CU_ASSERT_EQUAL(run("softhsm2-util --import '%s' --token unit --label ca --id 01 --pin 1234", in_dir("ca.key")),
			0);
	put_file(in_dir("pin"), "1234\n", 5, 0600);
	put_file(in_dir("wrong-pin"), "9999\n", 5, 0600);
	return true;
}

static const char *uri_of(const char *object, const char *query)
{
	static char uri[1024];

	snprintf(uri, sizeof(uri), "pkcs11:token=unit;object=%s?module-path=%s%s", object, module_path, query);
	return uri;
}

static const char *with_pin(const char *object, const char *pin_file)
{
	char query[300];

	snprintf(query, sizeof(query), "&pin-source=file:%s", in_dir(pin_file));
	return uri_of(object, query);
}

static void test_token(void)
{
	static char pin[] = "1234";
	struct iot_secret_source source = {give_text, pin};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_key *key = NULL, *again = NULL, *in_file = NULL;
	struct iot_buf sig = IOT_BUF_INIT(256);
	struct iot_cert *root = NULL;

	if (!make_token())
		return;
	ASSERT_OK(iot_key_load(with_pin("ca", "pin"), NULL, &key, &err), &err);
	ASSERT_OK(iot_key_load(in_dir("ca.key"), NULL, &in_file, &err), &err);
	if (key != NULL) {
		CU_ASSERT_TRUE(iot_key_equal(key, in_file));
		CU_ASSERT_EQUAL(iot_key_type(key), IOT_KEY_P256);
		ASSERT_OK(iot_key_sign(key, IOT_SIG_ECDSA_SHA256, "x", 1, &sig, &err), &err);
		ASSERT_OK(iot_key_verify(in_file, IOT_SIG_ECDSA_SHA256, "x", 1, sig.data, sig.len, &err), &err);
		iot_buf_clear(&sig);
		put_file(in_dir("data"), "x", 1, 0600);
		ASSERT_OK(iot_key_sign_file(key, IOT_SIG_ECDSA_SHA256, in_dir("data"), &sig, &err), &err);
		ASSERT_OK(iot_key_verify(in_file, IOT_SIG_ECDSA_SHA256, "x", 1, sig.data, sig.len, &err), &err);
		ASSERT_STATUS(iot_key_private_pem(key, &sig, &err), IOT_USAGE, &err);
		ASSERT_CONTAINS(err.what, "token");
		ASSERT_OK(iot_ca_create_root(key, "in a token", 10, &root, &err), &err);
		if (root != NULL)
			ASSERT_OK(iot_cert_verify_issued_by(root, root, &err), &err);
	}
	/* A second key object at the same time, its PIN from a source. */
	ASSERT_OK(iot_key_load(uri_of("ca", ""), &source, &again, &err), &err);
	iot_cert_free(root);
	iot_key_free(again);
	iot_key_free(in_file);
	iot_key_free(key);
	iot_buf_release(&sig);
}

static void test_token_refusals(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_key *key = NULL;
	char line[1200];

	if (!make_token())
		return;
	/* The right PIN comes last: a token that was opened once asks no more. */
	ASSERT_STATUS(iot_key_load(with_pin("ca", "wrong-pin"), NULL, &key, &err), IOT_DENIED, &err);
	CU_ASSERT_PTR_NULL(strstr(iot_error_line(&err, line, sizeof(line)), "9999"));
	ASSERT_STATUS(iot_key_load(uri_of("ca", ""), NULL, &key, &err), IOT_DENIED, &err); /* and asks on no terminal */
	ASSERT_CONTAINS(err.hint, "pin-source");
	CU_ASSERT_EQUAL(chmod(in_dir("pin"), 0644), 0);
	ASSERT_STATUS(iot_key_load(with_pin("ca", "pin"), NULL, &key, &err), IOT_DENIED, &err);
	CU_ASSERT_EQUAL(chmod(in_dir("pin"), 0600), 0);
	ASSERT_STATUS(iot_key_load(with_pin("nobody", "pin"), NULL, &key, &err), IOT_NOT_FOUND, &err);
	ASSERT_STATUS(iot_key_load("pkcs11:object=ca?module-path=/other.so", NULL, &key, &err), IOT_CONFLICT, &err);
	CU_ASSERT_PTR_NULL(key);
}

static void test_uris(void)
{
	static const char *const bad[] = {
		"pkcs11:object=x?pin-value=1234",
		"pkcs11:object=x;pin-value=1234",
		"pkcs11:object=x?pin-source=|cat%20pin",
		"pkcs11:object=x?pin-source=relative",
		"pkcs11:object=x?what=ever",
		"pkcs11:object=x?module-path=",
		"pkcs11:object=x?module-path=%zz",
		"pkcs11:object=x?module-path=/a&module-path=/b",
	};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_key *key = NULL;
	char line[1200];

	for (size_t i = 0; i < IOT_LENGTH(bad); i++) {
		ASSERT_STATUS(iot_key_load(bad[i], NULL, &key, &err), IOT_USAGE, &err);
		CU_ASSERT_PTR_NULL(strstr(iot_error_line(&err, line, sizeof(line)), "1234"));
	}
	CU_ASSERT_PTR_NULL(key);
}

/* Without the engine the message names the package. The engine is looked for where OPENSSL_ENGINES says. */
static void test_engine_missing(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_key *key = NULL;

	setenv("OPENSSL_ENGINES", tmp_dir, 1);
	ASSERT_STATUS(iot_key_load("pkcs11:object=x", NULL, &key, &err), IOT_FAILURE, &err);
	ASSERT_CONTAINS(err.hint, "libengine-pkcs11-openssl");
	unsetenv("OPENSSL_ENGINES");
}

UNIT_MAIN("crypto/pkcs11", make_dir, remove_dir, {"engine missing", test_engine_missing}, {"uris", test_uris},
	  {"refusals", test_token_refusals}, {"token", test_token})
