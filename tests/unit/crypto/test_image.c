/* Images: signed, verified (also by the openssl program), inspected; the simulator's format. */
#include "helpers.h"

#include "iotctl/image.h"
#include "iotctl/text.h"

static void put_image(const char *path)
{
	char *data = iot_alloc(100000);

	for (size_t i = 0; i < 100000; i++)
		data[i] = (char)(7 * i + 3);
	put_file(path, data, 100000, 0644);
	free(data);
}

static void test_sign_and_verify(void)
{
	static const struct {
		enum iot_key_type type;
		const char *scheme, *digest;
		bool legacy;
	} cases[] = {{IOT_KEY_P256, "sig-sha256-ecdsa", "-sha256", false},
		     {IOT_KEY_RSA2048, "sig-sha256-rsa", "-sha256", false},
		     {IOT_KEY_RSA2048, "sig-sha1-rsa", "-sha1", true}};
	const char *path = in_dir("fw.bin");

	put_image(path);
	for (size_t i = 0; i < IOT_LENGTH(cases); i++) {
		struct iot_error err = IOT_ERROR_INIT;
		struct iot_key *key = new_key(cases[i].type), *other = new_key(cases[i].type);
		struct iot_image_signature sig;
		struct iot_buf pem = IOT_BUF_INIT(4096);
		char id[IOT_SHA256_HEX_SIZE];

		ASSERT_OK(iot_image_sign_file(path, key, cases[i].scheme, cases[i].legacy, &sig, &err), &err);
		CU_ASSERT_STRING_EQUAL(sig.scheme->name, cases[i].scheme);
		CU_ASSERT_EQUAL(sig.size, 100000);
		CU_ASSERT_STRING_EQUAL(sig.key_id, iot_key_id(key, id));
		ASSERT_OK(iot_image_verify_signature(path, key, &sig, cases[i].legacy, &err), &err);
		ASSERT_OK(iot_image_verify_file(path, key, cases[i].scheme, sig.signature, cases[i].legacy, &err),
			  &err);
		ASSERT_STATUS(iot_image_verify_file(path, other, cases[i].scheme, sig.signature, cases[i].legacy, &err),
			      IOT_VERIFY, &err);
		ASSERT_STATUS(iot_image_verify_signature(path, other, &sig, cases[i].legacy, &err), IOT_VERIFY, &err);
		if (have("openssl")) {
			ASSERT_OK(iot_key_public_pem(key, &pem, &err), &err);
			put_file(in_dir("k.pub"), pem.data, pem.len, 0644);
			put_file(in_dir("sig.b64"), sig.signature, strlen(sig.signature), 0644);
			CU_ASSERT_EQUAL(
				run("openssl base64 -d -A -in '%s' -out '%s'", in_dir("sig.b64"), in_dir("sig")), 0);
			CU_ASSERT_EQUAL(run("openssl dgst %s -verify '%s' -signature '%s' '%s'", cases[i].digest,
					    in_dir("k.pub"), in_dir("sig"), path),
					0);
		}
		iot_buf_release(&pem);
		iot_key_free(other);
		iot_key_free(key);
	}
}

static void test_scheme_follows_the_key(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_key *ec = new_key(IOT_KEY_P256), *rsa = new_key(IOT_KEY_RSA2048), *p384 = new_key(IOT_KEY_P384),
		       *ed = new_key(IOT_KEY_ED25519);
	struct iot_image_signature sig;
	const char *path = in_dir("fw.bin");

	put_image(path);
	ASSERT_OK(iot_image_sign_file(path, ec, NULL, false, &sig, &err), &err);
	CU_ASSERT_STRING_EQUAL(sig.scheme->name, "sig-sha256-ecdsa");
	ASSERT_OK(iot_image_sign_file(path, rsa, NULL, false, &sig, &err), &err);
	CU_ASSERT_STRING_EQUAL(sig.scheme->name, "sig-sha256-rsa");
	ASSERT_STATUS(iot_image_sign_file(path, p384, NULL, false, &sig, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_image_sign_file(path, p384, "sig-sha256-ecdsa", false, &sig, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_image_sign_file(path, ed, NULL, true, &sig, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_image_sign_file(path, ec, "sig-sha256-rsa", false, &sig, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_image_sign_file(path, ec, "sig-md5", true, &sig, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_image_sign_file(path, rsa, "sig-sha1-rsa", false, &sig, &err), IOT_DENIED, &err);
	ASSERT_STATUS(iot_image_verify_file(path, rsa, "sig-sha1-rsa", "AAAA", false, &err), IOT_DENIED, &err);
	CU_ASSERT_PTR_NULL(iot_image_scheme_find("sig"));
	iot_key_free(ed);
	iot_key_free(p384);
	iot_key_free(rsa);
	iot_key_free(ec);
}

static void test_bad_files_and_signatures(void)
{
	static const char *const bad[] = {"", "AAAA", "not base64", "MEUCIQ==", "====", "MEUCIQ"};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_key *key = new_key(IOT_KEY_P256);
	struct iot_image_signature sig;
	const char *path = in_dir("fw.bin"), *empty = in_dir("empty");
	FILE *f;

	put_image(path);
	put_file(empty, "", 0, 0644);
	ASSERT_STATUS(iot_image_sign_file(in_dir("missing"), key, NULL, false, &sig, &err), IOT_NOT_FOUND, &err);
	ASSERT_STATUS(iot_image_sign_file(empty, key, NULL, false, &sig, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "empty");
	ASSERT_STATUS(iot_image_sign_file(tmp_dir, key, NULL, false, &sig, &err), IOT_USAGE, &err);
	for (size_t i = 0; i < IOT_LENGTH(bad); i++)
		ASSERT_STATUS(iot_image_verify_file(path, key, NULL, bad[i], false, &err), IOT_VERIFY, &err);

	ASSERT_OK(iot_image_sign_file(path, key, NULL, false, &sig, &err), &err);
	f = fopen(path, "r+b");
	fseek(f, 99999, SEEK_SET);
	fputc('!', f);
	fclose(f);
	ASSERT_STATUS(iot_image_verify_file(path, key, NULL, sig.signature, false, &err), IOT_VERIFY, &err);
	ASSERT_STATUS(iot_image_verify_signature(path, key, &sig, false, &err), IOT_VERIFY, &err);
	CU_ASSERT_EQUAL(truncate(path, 5000), 0);
	ASSERT_STATUS(iot_image_verify_signature(path, key, &sig, false, &err), IOT_VERIFY, &err);
	ASSERT_CONTAINS(err.what, "5000");
	iot_key_free(key);
}

static void test_signature_file(void)
{
	static const char hex64[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"{\"scheme\":\"sig-sha256-ecdsa\"}",
		"{\"scheme\":\"x\",\"signature\":\"AAAA\",\"sha256\":\"HEX\",\"size\":1}",
		"{\"scheme\":\"sig-sha256-ecdsa\",\"signature\":\"\",\"sha256\":\"HEX\",\"size\":1}",
		"{\"scheme\":\"sig-sha256-ecdsa\",\"signature\":\"AAAA\",\"sha256\":\"12\",\"size\":1}",
		"{\"scheme\":\"sig-sha256-ecdsa\",\"signature\":\"AAAA\",\"sha256\":\"HEX\",\"size\":-1}",
		("{\"scheme\":\"sig-sha256-ecdsa\",\"signature\":\"AAAA\",\"sha256\":\"HEX\",\"size\":1,"
		 "\"keyId\":\"x\"}"),
	};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_key *key = new_key(IOT_KEY_P256);
	struct iot_image_signature sig, again;
	const char *path = in_dir("fw.bin");
	char *sig_path = iot_image_signature_path(path);

	put_image(path);
	CU_ASSERT_TRUE(iot_ends_with(sig_path, "/fw.bin.sig.json"));
	ASSERT_STATUS(iot_image_signature_read(sig_path, &again, &err), IOT_NOT_FOUND, &err);
	ASSERT_OK(iot_image_sign_file(path, key, NULL, false, &sig, &err), &err);
	ASSERT_OK(iot_image_signature_write(sig_path, &sig, &err), &err);
	ASSERT_OK(iot_image_signature_read(sig_path, &again, &err), &err);
	CU_ASSERT_STRING_EQUAL(again.signature, sig.signature);
	CU_ASSERT_STRING_EQUAL(again.sha256, sig.sha256);
	CU_ASSERT_STRING_EQUAL(again.key_id, sig.key_id);
	CU_ASSERT_PTR_EQUAL(again.scheme, sig.scheme);
	ASSERT_OK(iot_image_verify_signature(path, key, &again, false, &err), &err);
	for (size_t i = 0; i < IOT_LENGTH(bad); i++) {
		char text[512];
		char *at;

		snprintf(text, sizeof(text), "%s", bad[i]);
		at = strstr(text, "HEX");
		if (at != NULL) {
			memmove(at + 64, at + 3, strlen(at + 3) + 1);
			memcpy(at, hex64, 64);
		}
		put_file(sig_path, text, strlen(text), 0644);
		ASSERT_STATUS(iot_image_signature_read(sig_path, &again, &err), IOT_USAGE, &err);
	}
	free(sig_path);
	iot_key_free(key);
}

static void test_simulator_format(void)
{
	struct iot_sim_firmware fw = {IOT_SIM_HANG, 5000, 1, 2, 515}, read;
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_image_info info;
	struct iot_buf first = IOT_BUF_INIT(8192), second = IOT_BUF_INIT(8192);
	const char *path = in_dir("fw.bin"), *other = in_dir("other.bin");

	ASSERT_OK(iot_sim_firmware_write(path, &fw, &err), &err);
	ASSERT_OK(iot_sim_firmware_read(path, &read, &err), &err);
	CU_ASSERT_EQUAL(read.behaviour, IOT_SIM_HANG);
	CU_ASSERT_EQUAL(read.size, 5000);
	CU_ASSERT_EQUAL(iot_sim_version_number(&read), 0x01020203);
	ASSERT_OK(iot_image_inspect(path, &info, &err), &err);
	CU_ASSERT_EQUAL(info.container, IOT_IMAGE_SIM);
	CU_ASSERT_STRING_EQUAL(info.version, "1.2.515");
	CU_ASSERT_STRING_EQUAL(iot_image_container_name(info.container), "iotctl-sim");
	CU_ASSERT_STRING_EQUAL(iot_sim_behaviour_name(info.sim.behaviour), "hang");

	/* Byte by byte, as the header file says. */
	ASSERT_OK(iot_fs_read(path, &first, &err), &err);
	CU_ASSERT_EQUAL(first.len, 5000);
	CU_ASSERT_EQUAL(memcmp(first.data, "IOTFW\0\r\n\1\0\2\0\x88\x13\0\0\1\2\3\2\0\0\0\0", 24), 0);
	fw.behaviour = IOT_SIM_OK;
	ASSERT_OK(iot_sim_firmware_write(other, &fw, &err), &err);
	ASSERT_OK(iot_fs_read(other, &second, &err), &err);
	CU_ASSERT_EQUAL(memcmp(first.data + 64, second.data + 64, 5000 - 64), 0); /* the same version, the same bytes */
	fw.build++;
	iot_buf_clear(&second);
	ASSERT_OK(iot_sim_firmware_write(other, &fw, &err), &err);
	ASSERT_OK(iot_fs_read(other, &second, &err), &err);
	CU_ASSERT_NOT_EQUAL(memcmp(first.data + 64, second.data + 64, 5000 - 64), 0);

	CU_ASSERT_EQUAL(truncate(path, 4999), 0); /* not whole */
	ASSERT_STATUS(iot_sim_firmware_read(path, &read, &err), IOT_USAGE, &err);
	ASSERT_OK(iot_image_inspect(path, &info, &err), &err);
	CU_ASSERT_EQUAL(info.container, IOT_IMAGE_RAW);
	fw.size = 63;
	ASSERT_STATUS(iot_sim_firmware_write(path, &fw, &err), IOT_USAGE, &err);
	fw.size = IOT_SIM_SIZE_MAX + 1;
	ASSERT_STATUS(iot_sim_firmware_write(path, &fw, &err), IOT_USAGE, &err);
	iot_buf_release(&second);
	iot_buf_release(&first);
}

static void test_simulator_headers_that_are_wrong(void)
{
	static const struct {
		size_t at;
		uint8_t value;
	} changes[] = {{0, 'X'}, {7, 'X'}, {8, 2}, {9, 1}, {10, 4}, {11, 1}, {12, 0}, {15, 0xff}, {20, 1}, {63, 1}};
	uint8_t good[IOT_SIM_HEADER_SIZE] = {'I', 'O', 'T', 'F', 'W', 0, '\r', '\n', 1, 0, 0, 0, 64, 0, 0, 0, 1};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_sim_firmware fw;

	ASSERT_OK(iot_sim_firmware_parse(good, sizeof(good), &fw, &err), &err);
	ASSERT_STATUS(iot_sim_firmware_parse(good, sizeof(good) - 1, &fw, &err), IOT_USAGE, &err);
	for (size_t i = 0; i < IOT_LENGTH(changes); i++) {
		uint8_t bad[sizeof(good)];

		memcpy(bad, good, sizeof(bad));
		bad[changes[i].at] = changes[i].value;
		ASSERT_STATUS(iot_sim_firmware_parse(bad, sizeof(bad), &fw, &err), IOT_USAGE, &err);
	}
}

static void test_versions(void)
{
	static const char *const bad[] = {
		"",          "1",     "1.2",    "1.2.",   "1..3",   "1.2.3.4", "256.0.0",
		"0.0.65536", "a.b.c", "-1.0.0", "1.2.3 ", "+1.2.3", "1.2.0x3", "99999999999999999999.0.0"};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_sim_firmware fw = {IOT_SIM_OK, 64, 0, 0, 0};
	char text[16];

	ASSERT_OK(iot_sim_version_parse("255.255.65535", &fw, &err), &err);
	CU_ASSERT_STRING_EQUAL(iot_sim_version_text(&fw, text), "255.255.65535");
	CU_ASSERT_EQUAL(iot_sim_version_number(&fw), 0xffffffff);
	for (size_t i = 0; i < IOT_LENGTH(bad); i++)
		ASSERT_STATUS(iot_sim_version_parse(bad[i], &fw, &err), IOT_USAGE, &err);
}

static void test_inspect(void)
{
	uint8_t mcuboot[64] = {0x3d, 0xb8, 0xf3, 0x96, 0, 0, 0, 0, 0, 2, 0, 0, 100, 0,
			       0,    0,    0,    0,    0, 0, 1, 2, 3, 4, 5, 6, 0,   0};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_image_info info;
	const char *path = in_dir("fw.bin");

	put_file(path, mcuboot, sizeof(mcuboot), 0644);
	ASSERT_OK(iot_image_inspect(path, &info, &err), &err);
	CU_ASSERT_EQUAL(info.container, IOT_IMAGE_MCUBOOT);
	CU_ASSERT_STRING_EQUAL(info.version, "1.2.1027+1541");
	put_file(path, "abc", 3, 0644);
	ASSERT_OK(iot_image_inspect(path, &info, &err), &err);
	CU_ASSERT_EQUAL(info.container, IOT_IMAGE_RAW);
	CU_ASSERT_EQUAL(info.size, 3);
	CU_ASSERT_STRING_EQUAL(info.version, "");
	CU_ASSERT_STRING_EQUAL(info.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	ASSERT_STATUS(iot_image_inspect(in_dir("missing"), &info, &err), IOT_NOT_FOUND, &err);
}

UNIT_MAIN("crypto/image", make_dir, remove_dir, {"sign and verify", test_sign_and_verify},
	  {"scheme follows the key", test_scheme_follows_the_key}, {"bad files", test_bad_files_and_signatures},
	  {"signature file", test_signature_file}, {"simulator format", test_simulator_format},
	  {"wrong headers", test_simulator_headers_that_are_wrong}, {"versions", test_versions},
	  {"inspect", test_inspect})
