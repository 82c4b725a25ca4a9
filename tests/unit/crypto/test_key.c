/* Keys: made, saved, loaded, refused. */
#include "helpers.h"

#include "iotctl/key.h"

static const enum iot_key_type all_types[] = {IOT_KEY_P256,    IOT_KEY_P384,    IOT_KEY_P521,
					      IOT_KEY_RSA2048, IOT_KEY_RSA3072, IOT_KEY_ED25519};

static void test_every_type_survives_a_file(void)
{
	for (size_t i = 0; i < IOT_LENGTH(all_types); i++) {
		struct iot_error err = IOT_ERROR_INIT;
		struct iot_key *key = new_key(all_types[i]), *again = NULL;
		const char *path = in_dir(iot_key_type_name(all_types[i]));
		char id[IOT_SHA256_HEX_SIZE], id_again[IOT_SHA256_HEX_SIZE];
		struct stat st;

		CU_ASSERT_EQUAL(iot_key_type(key), all_types[i]);
		ASSERT_OK(iot_key_save_new(key, path, NULL, &err), &err);
		CU_ASSERT_EQUAL(stat(path, &st), 0);
		CU_ASSERT_EQUAL(st.st_mode & 07777, 0600);
		ASSERT_OK(iot_key_load(path, NULL, &again, &err), &err);
		if (again != NULL) {
			CU_ASSERT_TRUE(iot_key_has_private(again));
			CU_ASSERT_TRUE(iot_key_equal(key, again));
			CU_ASSERT_STRING_EQUAL(iot_key_id(key, id), iot_key_id(again, id_again));
			CU_ASSERT_EQUAL(iot_key_type(again), all_types[i]);
		}
		iot_key_free(again);
		iot_key_free(key);
	}
}

static void test_a_file_is_never_overwritten(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_key *key = new_key(IOT_KEY_P256);
	const char *path = in_dir("k.key");
	struct iot_buf text = IOT_BUF_INIT(64);

	put_file(path, "precious", 8, 0600);
	ASSERT_STATUS(iot_key_save_new(key, path, NULL, &err), IOT_CONFLICT, &err);
	ASSERT_OK(iot_fs_read(path, &text, &err), &err);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&text), "precious");
	iot_buf_release(&text);
	iot_key_free(key);
}

static void test_a_file_others_can_read_is_refused(void)
{
	static const mode_t modes[] = {0640, 0604, 0644, 0666, 0660};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_key *key = new_key(IOT_KEY_P256), *loaded = NULL;
	const char *path = in_dir("k.key");

	ASSERT_OK(iot_key_save_new(key, path, NULL, &err), &err);
	for (size_t i = 0; i < IOT_LENGTH(modes); i++) {
		CU_ASSERT_EQUAL(chmod(path, modes[i]), 0);
		ASSERT_STATUS(iot_key_load(path, NULL, &loaded, &err), IOT_DENIED, &err);
		CU_ASSERT_PTR_NULL(loaded);
	}
	CU_ASSERT_EQUAL(chmod(path, 0400), 0);
	ASSERT_OK(iot_key_load(path, NULL, &loaded, &err), &err);
	iot_key_free(loaded);
	iot_key_free(key);
}

static void test_passphrase(void)
{
	static char good[] = "correct horse", bad[] = "battery staple", empty[] = "";
	struct iot_secret_source right = {give_text, good}, wrong = {give_text, bad}, none = {give_text, NULL},
				 nothing = {give_text, empty};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_key *key = new_key(IOT_KEY_P256), *loaded = NULL;
	const char *path = in_dir("k.key");
	struct iot_buf text = IOT_BUF_INIT(8192);
	char line[1024];

	ASSERT_STATUS(iot_key_save_new(key, path, &none, &err), IOT_INTERRUPTED, &err);
	ASSERT_STATUS(iot_key_save_new(key, path, &nothing, &err), IOT_USAGE, &err);
	CU_ASSERT_FALSE(iot_fs_exists(path));
	ASSERT_OK(iot_key_save_new(key, path, &right, &err), &err);
	ASSERT_OK(iot_fs_read(path, &text, &err), &err);
	ASSERT_CONTAINS(iot_buf_str(&text), "BEGIN ENCRYPTED PRIVATE KEY");

	ASSERT_STATUS(iot_key_load(path, NULL, &loaded, &err), IOT_DENIED, &err);
	ASSERT_CONTAINS(err.what, "encrypted");
	ASSERT_STATUS(iot_key_load(path, &none, &loaded, &err), IOT_INTERRUPTED, &err);
	ASSERT_STATUS(iot_key_load(path, &wrong, &loaded, &err), IOT_DENIED, &err);
	ASSERT_CONTAINS(err.what, "wrong passphrase");
	CU_ASSERT_PTR_NULL(strstr(iot_error_line(&err, line, sizeof(line)), bad));
	CU_ASSERT_PTR_NULL(loaded);
	ASSERT_OK(iot_key_load(path, &right, &loaded, &err), &err);
	CU_ASSERT_TRUE(loaded != NULL && iot_key_equal(key, loaded));
	if (have("openssl"))
		CU_ASSERT_EQUAL(run("openssl pkey -in '%s' -passin pass:'%s' -noout", path, good), 0);
	iot_key_free(loaded);
	iot_key_free(key);
	iot_buf_release(&text);
}

static void test_passphrase_file(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_key *key = new_key(IOT_KEY_P256), *loaded = NULL;
	const char *path = in_dir("k.key"), *pass = in_dir("pass");
	struct iot_secret_source source = iot_secret_from_file(pass);

	put_file(pass, "one line\r\nnot this\n", 19, 0600);
	ASSERT_OK(iot_key_save_new(key, path, &source, &err), &err);
	put_file(pass, "one line", 8, 0600);
	ASSERT_OK(iot_key_load(path, &source, &loaded, &err), &err);
	iot_key_free(iot_take(loaded));
	CU_ASSERT_EQUAL(chmod(pass, 0644), 0);
	ASSERT_STATUS(iot_key_load(path, &source, &loaded, &err), IOT_DENIED, &err);
	CU_ASSERT_EQUAL(unlink(pass), 0);
	ASSERT_STATUS(iot_key_load(path, &source, &loaded, &err), IOT_NOT_FOUND, &err);
	iot_key_free(key);
}

/* What other programs write: SEC1 and PKCS#1, also in the old encrypted form. */
static void test_foreign_formats(void)
{
	static char pass[] = "secret";
	static const char *const commands[] = {
		"ecparam -name prime256v1 -genkey -noout",
		"genrsa -traditional",
		"ecparam -name secp384r1 -genkey", /* parameters in front */
		"genrsa -traditional -aes128 -passout pass:secret",
	};
	struct iot_secret_source source = {give_text, pass};

	if (!have("openssl"))
		return;
	for (size_t i = 0; i < IOT_LENGTH(commands); i++) {
		struct iot_error err = IOT_ERROR_INIT;
		struct iot_key *key = NULL;

		CU_ASSERT_EQUAL(run("umask 077; openssl %s -out '%s'", commands[i], in_dir("foreign")), 0);
		ASSERT_OK(iot_key_load(in_dir("foreign"), &source, &key, &err), &err);
		iot_key_free(key);
	}
}

static void test_what_is_no_private_key(void)
{
	static const char *const texts[] = {"", "hello", "-----BEGIN PRIVATE KEY-----\n",
					    "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
					    "-----BEGIN EC PRIVATE KEY-----\n!!!!\n-----END EC PRIVATE KEY-----\n"};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_key *key = new_key(IOT_KEY_P256), *loaded = NULL;
	struct iot_buf pem = IOT_BUF_INIT(8192);

	for (size_t i = 0; i < IOT_LENGTH(texts); i++)
		ASSERT_STATUS(iot_key_from_private_pem(texts[i], strlen(texts[i]), "x", NULL, &loaded, &err), IOT_USAGE,
			      &err);
	ASSERT_OK(iot_key_public_pem(key, &pem, &err), &err);
	ASSERT_STATUS(iot_key_from_private_pem(pem.data, pem.len, "x.pem", NULL, &loaded, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.hint, "public part");
	ASSERT_STATUS(iot_key_load(in_dir("missing"), NULL, &loaded, &err), IOT_NOT_FOUND, &err);
	CU_ASSERT_PTR_NULL(loaded);
	iot_buf_release(&pem);
	iot_key_free(key);
}

static void test_public_part(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_key *key = new_key(IOT_KEY_P256), *public_key = NULL, *copy;
	struct iot_buf pem = IOT_BUF_INIT(8192), der = IOT_BUF_INIT(8192), secret = IOT_BUF_INIT(8192);
	const char *path = in_dir("k.pub");
	char id[IOT_SHA256_HEX_SIZE], hash[IOT_SHA256_HEX_SIZE];

	ASSERT_OK(iot_key_public_pem(key, &pem, &err), &err);
	put_file(path, pem.data, pem.len, 0644);
	ASSERT_OK(iot_key_load_public(path, &public_key, &err), &err);
	CU_ASSERT_FALSE(iot_key_has_private(public_key));
	CU_ASSERT_TRUE(iot_key_equal(key, public_key));
	ASSERT_OK(iot_key_public_der(key, &der, &err), &err);
	CU_ASSERT_STRING_EQUAL(iot_key_id(key, id), iot_sha256_hex(der.data, der.len, hash));
	ASSERT_STATUS(iot_key_private_pem(public_key, &secret, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_key_save_new(public_key, in_dir("no"), NULL, &err), IOT_USAGE, &err);
	CU_ASSERT_EQUAL(secret.len, 0);
	copy = iot_key_public_copy(key);
	CU_ASSERT_FALSE(iot_key_has_private(copy));
	CU_ASSERT_TRUE(iot_key_equal(key, copy));
	iot_key_free(copy);
	iot_key_free(iot_take(public_key));

	iot_buf_addc(&der, 'x');
	ASSERT_STATUS(iot_key_from_public_der(der.data, der.len, "x", &public_key, &err), IOT_USAGE, &err);
	ASSERT_OK(iot_key_private_pem(key, &secret, &err), &err);
	CU_ASSERT_TRUE(secret.secret);
	ASSERT_STATUS(iot_key_from_public_pem(secret.data, secret.len, "x", &public_key, &err), IOT_USAGE, &err);
	CU_ASSERT_PTR_NULL(public_key);
	iot_buf_release(&secret);
	iot_buf_release(&der);
	iot_buf_release(&pem);
	iot_key_free(key);
}

static void test_names_of_types(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_key_type type;

	for (size_t i = 0; i < IOT_LENGTH(all_types); i++) {
		ASSERT_OK(iot_key_type_parse(iot_key_type_name(all_types[i]), &type, &err), &err);
		CU_ASSERT_EQUAL(type, all_types[i]);
	}
	ASSERT_STATUS(iot_key_type_parse("dsa", &type, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.hint, "p256");
	ASSERT_STATUS(iot_key_type_parse("other", &type, &err), IOT_USAGE, &err);
}

/* The key in a file that the openssl program makes. NULL (and a failed assertion) if it is refused. */
static struct iot_key *openssl_key(const char *how, enum iot_status expected)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_key *key = NULL;
	const char *path = in_dir("made");

	CU_ASSERT_EQUAL(run("umask 077; openssl genpkey %s -out '%s'", how, path), 0);
	ASSERT_STATUS(iot_key_load(path, NULL, &key, &err), expected, &err);
	return key;
}

static void test_device_keys(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_key *key = new_key(IOT_KEY_ED25519);

	ASSERT_STATUS(iot_key_check_device(key, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "AWS");
	iot_key_free(key);
	key = new_key(IOT_KEY_P384);
	ASSERT_OK(iot_key_check_device(key, &err), &err);
	iot_key_free(key);
	if (!have("openssl"))
		return;
	key = openssl_key("-algorithm RSA -pkeyopt rsa_keygen_bits:1024", IOT_OK);
	ASSERT_STATUS(iot_key_check_device(key, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "1024");
	iot_key_free(key);
	key = openssl_key("-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1", IOT_OK);
	CU_ASSERT_EQUAL(iot_key_type(key), IOT_KEY_OTHER);
	ASSERT_STATUS(iot_key_check_device(key, &err), IOT_USAGE, &err);
	iot_key_free(key);
	CU_ASSERT_PTR_NULL(openssl_key("-algorithm RSA -pkeyopt rsa_keygen_bits:768", IOT_USAGE));
	CU_ASSERT_PTR_NULL(openssl_key("-algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit",
				       IOT_USAGE));
}

UNIT_MAIN("crypto/key", make_dir, remove_dir, {"every type survives a file", test_every_type_survives_a_file},
	  {"never overwritten", test_a_file_is_never_overwritten},
	  {"others can read", test_a_file_others_can_read_is_refused}, {"passphrase", test_passphrase},
	  {"passphrase file", test_passphrase_file}, {"foreign formats", test_foreign_formats},
	  {"no private key", test_what_is_no_private_key}, {"public part", test_public_part},
	  {"names of types", test_names_of_types}, {"device keys", test_device_keys})
