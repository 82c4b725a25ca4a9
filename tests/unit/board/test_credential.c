/* Credential images: what is built reads back, byte for byte as documented; damage is found. */
#include "iotctl/credential.h"

#include "iotctl/base.h"
#include "unit.h"

static const struct iot_credential items[] = {
	{IOT_CREDENTIAL_ID, "pump-0001", 9},
	{IOT_CREDENTIAL_CERTIFICATE, "\x30\x03\x01\x01\xff", 5},
	{IOT_CREDENTIAL_KEY, "\x30\x01\x00", 3},
};
enum { COUNT = 3 };

static struct iot_buf image;

static void set_up(void)
{
	image = (struct iot_buf)IOT_BUF_INIT(IOT_CREDENTIAL_MAX);
}

static void tear_down(void)
{
	iot_buf_release(&image);
}

static enum iot_status build(enum iot_credential_format format, struct iot_error *err)
{
	return iot_credential_build(format, items, COUNT, &image, err);
}

static enum iot_status parse(size_t *ret_count, struct iot_credential *ret, struct iot_error *err)
{
	return iot_credential_parse(iot_buf_str(&image), image.len, ret, ret_count, err);
}

static void test_iotc_reads_back(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_credential found[IOT_CREDENTIAL_TAGS];
	size_t count = 0;

	ASSERT_OK(build(IOT_CREDENTIAL_IOTC, &err), &err);
	CU_ASSERT_EQUAL(image.len, 32 + 8 + 12 + 8 + 8 + 8 + 4);
	CU_ASSERT_EQUAL(memcmp(image.data, "IOTC\x01\x00\x20\x00", 8), 0);
	for (int i = 0; i < 100; i++) /* a region is longer than its image */
		iot_buf_addc(&image, (char)0xff);
	ASSERT_OK(parse(&count, found, &err), &err);
	CU_ASSERT_EQUAL(count, COUNT);
	for (size_t i = 0; i < COUNT && count == COUNT; i++) {
		const struct iot_credential *one = iot_credential_find(found, count, items[i].tag);

		CU_ASSERT_PTR_NOT_NULL(one);
		if (one != NULL) {
			CU_ASSERT_EQUAL(one->len, items[i].len);
			CU_ASSERT_EQUAL(memcmp(one->value, items[i].value, one->len), 0);
		}
	}
	CU_ASSERT_PTR_NULL(iot_credential_find(found, count, IOT_CREDENTIAL_ENDPOINT));
}

static void test_checksum_is_that_of_zlib(void)
{
	/* CRC-32 of "123456789" is 0xcbf43926: an item of that text makes a body that is known too. */
	static const struct iot_credential one = {IOT_CREDENTIAL_ID, "123456789", 9};
	static const unsigned char crc_of_body[4] = {0x5c, 0x16, 0x77, 0xbb};
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_credential_build(IOT_CREDENTIAL_IOTC, &one, 1, &image, &err), &err);
	CU_ASSERT_EQUAL(memcmp(image.data + 16, crc_of_body, 4), 0);
}

static void test_every_damaged_bit_is_found(void)
{
	struct iot_credential found[IOT_CREDENTIAL_TAGS];
	struct iot_error err = IOT_ERROR_INIT;
	size_t count = 0;

	ASSERT_OK(build(IOT_CREDENTIAL_IOTC, &err), &err);
	for (size_t bit = 0; bit < image.len * 8; bit++) {
		image.data[bit / 8] ^= (char)(1 << bit % 8);
		CU_ASSERT_EQUAL(parse(&count, found, &err), IOT_VERIFY);
		image.data[bit / 8] ^= (char)(1 << bit % 8);
	}
	for (size_t len = 0; len < image.len; len++)
		CU_ASSERT_NOT_EQUAL(iot_credential_parse(image.data, len, found, &count, &err), IOT_OK);
	memset(image.data, 0xff, image.len);
	CU_ASSERT_EQUAL(parse(&count, found, &err), IOT_NOT_FOUND);
	memset(image.data, 0, image.len);
	CU_ASSERT_EQUAL(parse(&count, found, &err), IOT_VERIFY);
}

static void test_what_is_foreign(void)
{
	static const struct {
		const char *bytes;
		bool foreign;
	} rows[] = {
		{"IOTC", false},
		{"\xff\xff\xff\xff", false},
		{"IO\xff\xff", false}, /* cut off in the middle of the first word */
		{"\xff\xffTC", false},
		{"IOTA", true},
		{"\x00\x50\x00\x20", true}, /* where a program's stack begins */
		{"\xff\xff\xff\xfe", true},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		CU_ASSERT_EQUAL(iot_credential_foreign(rows[i].bytes, 4), rows[i].foreign);
}

static void test_pkcs11_file(void)
{
	static char long_value[2049];
	const struct iot_credential too_long = {IOT_CREDENTIAL_CERTIFICATE, long_value, sizeof(long_value)};
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_credential_build(IOT_CREDENTIAL_PKCS11_STM32F4, &items[1], 1, &image, &err), &err);
	CU_ASSERT_EQUAL(image.len, 8 + 2048);
	CU_ASSERT_EQUAL(memcmp(image.data, "\x4d\x3c\x2b\x1a\x05\x00\x00\x00\x30\x03\x01\x01\xff\xff", 14), 0);
	CU_ASSERT_EQUAL(iot_credential_build(IOT_CREDENTIAL_PKCS11_STM32F4, items, 1, &image, &err), IOT_USAGE);
	CU_ASSERT_EQUAL(iot_credential_build(IOT_CREDENTIAL_PKCS11_STM32F4, &items[1], 2, &image, &err), IOT_USAGE);
	CU_ASSERT_EQUAL(iot_credential_build(IOT_CREDENTIAL_PKCS11_STM32F4, &too_long, 1, &image, &err), IOT_USAGE);
}

static void test_esp_partition(void)
{
	/* The last word is Python's zlib.crc32(data, 0xffffffff): a register that starts with zero. */
	static const unsigned char expected[] = {0x11, 0xba, 0x5e, 0xba, 0, 0,    0,    0,    1,    0,   5,
						 0,    0x30, 3,    1,    1, 0xff, 0,    0,    0,    0,   0,
						 0,    0,    0,    0,    0, 0,    0xbe, 0x83, 0x5d, 0x6c};
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_credential_build(IOT_CREDENTIAL_ESP_SECURE_CERT, &items[1], 1, &image, &err), &err);
	CU_ASSERT_EQUAL(image.len, sizeof(expected));
	CU_ASSERT_EQUAL(memcmp(image.data, expected, 28), 0);
	CU_ASSERT_EQUAL(memcmp(image.data + 28, expected + 28, 4), 0);
	CU_ASSERT_EQUAL(iot_credential_build(IOT_CREDENTIAL_ESP_SECURE_CERT, items, 1, &image, &err), IOT_USAGE);
}

/*
 * An entry of the partition that espressif/esp_secure_cert_mgr has among its own tests (tools/tests/input_data): its
 * third, a device certificate as a text that ends with a NUL. There it has 1184 bytes and CRC 0xf6bcdafe.
 */
static void test_esp_partition_of_others(void)
{
	static const char text[] = "-----BEGIN CERTIFICATE-----\n"
				   "MIIDKTCCAhGgAwIBAgIUbMhJehS3g3mrlBy1G2ljcc5cmk0wDQYJKoZIhvcNAQEL\n"
				   "BQAwEjEQMA4GA1UEAwwHVGVzdCBDQTAeFw0yNTA2MDMxMTU1NDZaFw0yNjA2MDMx\n"
				   "MTU1NDZaMEcxCzAJBgNVBAYTAklOMQ0wCwYDVQQIDARNYWhhMQ0wCwYDVQQHDARQ\n"
				   "dW5lMQwwCgYDVQQKDANFc3AxDDAKBgNVBAsMA2lkZjCCASIwDQYJKoZIhvcNAQEB\n"
				   "BQADggEPADCCAQoCggEBALTr+Ggio62Gyg0MJTlcMG4FOK5MqMrkwNs29KmLinEb\n"
				   "wfXCvHTakrOly5+Kk7EHKuVPKSj5JkOkWxX2qe454qYl1qWFreUFmD7HoAkIUsXC\n"
				   "rFlnq6N+W0urymOx8tnCnRGxEFDGa978w+jXXjegXRRw9S7fA/jZhogki5b8ehFD\n"
				   "YV8/yXiIASpLMSLPkDVDtpf9UxemtPkegS/uFO3Se+gBvIeOPPnZFDiVtWfLL8xj\n"
				   "0VVEa8oRqj2QRrcpw4X677m59KFeuEufdcji/vxh4SNVDQbx44rL2meh0hrOqKnd\n"
				   "xgcaQk8QO0bVvhgs/2P4MXg1sVx4yBrw+g6jZqceyY0CAwEAAaNCMEAwHQYDVR0O\n"
				   "BBYEFAetau77voiU+wIPvw2dvujsFAe5MB8GA1UdIwQYMBaAFPmvmmFVM8KNV3so\n"
				   "wAVG9Icyb35CMA0GCSqGSIb3DQEBCwUAA4IBAQBZ6Zb7g5eNF/ICQc1O1QK6vUIA\n"
				   "nU4iBwG/DbN3ZyNrA7aXtSf3iuWbSdgiFHgWZixMXg9DIu4GxSyRAdq5Q9JiQuNt\n"
				   "8p+UZmJ4lBi66FY7jb9WBGpnHEp1n9yISKuGnmKzOjtDG3fXpQ4mjwdShqXP4F4T\n"
				   "BgoeDn3bOUhm2zN3RlED0RfaIbZQobSUOi7tXS+sRAxlUTLV3XyFxpeAvlsV3hTy\n"
				   "pSc3sJQOgitWzVmYR6fmOcHpDTBtf10umq7HcUC6GzPikmt8ezFWg9Y/x748B9EF\n"
				   "s62mWvngMNR1FWxXE4GUGS4gTaV2ltZd20uRG2Rm5IER80NqwwaqiCu00RQl\n"
				   "-----END CERTIFICATE-----\n";
	const struct iot_credential theirs = {IOT_CREDENTIAL_CERTIFICATE, text, sizeof(text)};
	struct iot_error err = IOT_ERROR_INIT;

	CU_ASSERT_EQUAL(sizeof(text), 1156);
	ASSERT_OK(iot_credential_build(IOT_CREDENTIAL_ESP_SECURE_CERT, &theirs, 1, &image, &err), &err);
	CU_ASSERT_EQUAL(image.len, 1184);
	CU_ASSERT_EQUAL(memcmp(image.data, "\x11\xba\x5e\xba\0\0\0\0\x01\0\x84\x04", 12), 0);
	CU_ASSERT_EQUAL(memcmp(image.data + 1180, "\xfe\xda\xbc\xf6", 4), 0);
}

/* As a port declares it: aws/amazon-freertos, vendors/st/boards/stm32l475_discovery/ports/pkcs11. */
struct p11_key_config {
	uint8_t certificate[2048], key[2048], codesign[2048];
	uint32_t certificate_mark, key_mark, codesign_mark;
};

static void test_pkcs11_struct(void)
{
	const struct iot_credential all[] = {{IOT_CREDENTIAL_CODE_SIGNING, "\x30\x02\x05\x00", 4}, items[2], items[1]};
	struct p11_key_config config;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_credential_build(IOT_CREDENTIAL_PKCS11, all, 3, &image, &err), &err);
	CU_ASSERT_EQUAL(image.len, sizeof(config));
	memcpy(&config, image.data, sizeof(config));
	CU_ASSERT_EQUAL(config.certificate_mark, 0xabcd0005);
	CU_ASSERT_EQUAL(config.key_mark, 0xabcd0003);
	CU_ASSERT_EQUAL(config.codesign_mark, 0xabcd0004);
	CU_ASSERT_EQUAL(memcmp(config.certificate, items[1].value, 5), 0);
	CU_ASSERT_EQUAL(memcmp(config.key, items[2].value, 3), 0);
	CU_ASSERT_EQUAL(memcmp(config.codesign, all[0].value, 4), 0);
	CU_ASSERT_EQUAL(config.codesign[4], 0xff);
	iot_buf_clear(&image);
	/* What is not given is erased flash, which the port takes for nothing. */
	ASSERT_OK(iot_credential_build(IOT_CREDENTIAL_PKCS11, &items[2], 1, &image, &err), &err);
	memcpy(&config, image.data, sizeof(config));
	CU_ASSERT_EQUAL(config.certificate_mark, UINT32_MAX);
	CU_ASSERT_EQUAL(config.key_mark, 0xabcd0003);
	ASSERT_STATUS(iot_credential_build(IOT_CREDENTIAL_PKCS11, items, 1, &image, &err), IOT_USAGE, &err);
}

static void test_no_item_twice(void)
{
	const struct iot_credential twice[] = {items[0], items[0]};
	struct iot_error err = IOT_ERROR_INIT;

	CU_ASSERT_EQUAL(iot_credential_build(IOT_CREDENTIAL_IOTC, twice, 2, &image, &err), IOT_USAGE);
	CU_ASSERT_EQUAL(iot_credential_build(IOT_CREDENTIAL_IOTC, twice, 0, &image, &err), IOT_USAGE);
}

/* What a device with symmetric cryptography only is given; tags as iotctl-swd(7) has them. */
static void test_secrets_read_back(void)
{
	static const struct iot_credential small[] = {
		{7, "pump-1", 6},
		{8, "0123456789abcdef0123456789abcdef", 32},
		{9, "pump-1.attest", 13},
		{10, "fedcba9876543210fedcba9876543210", 32},
		{11, "iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii", 32},
		{12, "8887", 4},
	};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_credential found[IOT_CREDENTIAL_TAGS];
	size_t count = 0;

	ASSERT_OK(iot_credential_build(IOT_CREDENTIAL_IOTC, small, IOT_LENGTH(small), &image, &err), &err);
	ASSERT_OK(parse(&count, found, &err), &err);
	CU_ASSERT_EQUAL(count, IOT_LENGTH(small));
	for (size_t i = 0; i < IOT_LENGTH(small) && count == IOT_LENGTH(small); i++) {
		const struct iot_credential *one = iot_credential_find(found, count, small[i].tag);

		CU_ASSERT_TRUE(one != NULL && one->len == small[i].len &&
			       memcmp(one->value, small[i].value, one->len) == 0);
	}
	CU_ASSERT_EQUAL(IOT_CREDENTIAL_PSK_IDENTITY, 7);
	CU_ASSERT_EQUAL(IOT_CREDENTIAL_PORT, 12);
	/* formats of others have no place for them */
	ASSERT_STATUS(iot_credential_build(IOT_CREDENTIAL_ESP_SECURE_CERT, small, 1, &image, &err), IOT_USAGE, &err);
}

UNIT_MAIN("board/credential", set_up, tear_down, {"secrets", test_secrets_read_back},
	  {"iotc_reads_back", test_iotc_reads_back}, {"checksum_is_that_of_zlib", test_checksum_is_that_of_zlib},
	  {"every_damaged_bit_is_found", test_every_damaged_bit_is_found}, {"what_is_foreign", test_what_is_foreign},
	  {"pkcs11_file", test_pkcs11_file}, {"esp_partition", test_esp_partition},
	  {"esp_partition_of_others", test_esp_partition_of_others}, {"pkcs11_struct", test_pkcs11_struct},
	  {"no_item_twice", test_no_item_twice})
