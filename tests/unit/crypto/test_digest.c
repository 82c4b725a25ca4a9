/* Digests against published vectors, files, random bytes. */
#include "helpers.h"

#include "iotctl/digest.h"
#include "iotctl/text.h"

#include <fcntl.h>

/* FIPS 180-4 examples. */
static const char abc_hex[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
static const char empty_hex[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

static void test_vectors(void)
{
	char hex[IOT_SHA256_HEX_SIZE];

	CU_ASSERT_STRING_EQUAL(iot_sha256_hex("abc", 3, hex), abc_hex);
	CU_ASSERT_STRING_EQUAL(iot_sha256_hex("", 0, hex), empty_hex);
}

static void test_pieces_are_the_whole_and_the_context_starts_again(void)
{
	struct iot_sha256_ctx *ctx = iot_sha256_new();
	uint8_t digest[IOT_SHA256_SIZE];
	char hex[IOT_SHA256_HEX_SIZE];

	for (int round = 0; round < 2; round++) {
		iot_sha256_add(ctx, "a", 1);
		iot_sha256_add(ctx, "", 0);
		iot_sha256_add(ctx, "bc", 2);
		iot_sha256_end(ctx, digest);
		CU_ASSERT_STRING_EQUAL(iot_hex(digest, sizeof(digest), hex), abc_hex);
	}
	iot_sha256_free(ctx);
	iot_sha256_free(NULL);
}

static void test_hmac(void)
{
	/* RFC 4231, test cases 2 and 6 (a key longer than the block). */
	uint8_t long_key[131], mac[IOT_SHA256_SIZE];
	char hex[IOT_SHA256_HEX_SIZE];

	iot_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, mac);
	CU_ASSERT_STRING_EQUAL(iot_hex(mac, sizeof(mac), hex),
			       "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(long_key, 0xaa, sizeof(long_key));
	iot_hmac_sha256(long_key, sizeof(long_key), "Test Using Larger Than Block-Size Key - Hash Key First", 54, mac);
	CU_ASSERT_STRING_EQUAL(iot_hex(mac, sizeof(mac), hex),
			       "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
	iot_hmac_sha256(NULL, 0, "", 0, mac); /* computed with an independent implementation */
	CU_ASSERT_STRING_EQUAL(iot_hex(mac, sizeof(mac), hex),
			       "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void test_file(void)
{
	const char *path = in_dir("data");
	size_t len = 200001; /* more than one piece, and a rest */
	char *data = iot_alloc(len);
	uint8_t from_file[IOT_SHA256_SIZE], from_memory[IOT_SHA256_SIZE];
	struct iot_error err = IOT_ERROR_INIT;
	int64_t size = 0;
	int fd;

	iot_random(data, len);
	put_file(path, data, len, 0644);
	iot_sha256(data, len, from_memory);
	ASSERT_OK(iot_sha256_file(path, from_file, &size, &err), &err);
	CU_ASSERT_EQUAL(size, (int64_t)len);
	CU_ASSERT_TRUE(iot_equal_secret(from_file, from_memory, sizeof(from_file)));

	fd = open(path, O_RDONLY);
	CU_ASSERT_EQUAL(lseek(fd, 100, SEEK_SET), 100);
	memset(from_file, 0, sizeof(from_file));
	ASSERT_OK(iot_sha256_fd(fd, path, from_file, NULL, &err), &err);
	CU_ASSERT_TRUE(iot_equal_secret(from_file, from_memory, sizeof(from_file)));
	CU_ASSERT_EQUAL(lseek(fd, 0, SEEK_CUR), 100);
	close(fd);
	free(data);
}

static void test_file_that_is_none(void)
{
	uint8_t digest[IOT_SHA256_SIZE];
	struct iot_error err = IOT_ERROR_INIT;
	const char *pipe_path = in_dir("pipe");

	ASSERT_STATUS(iot_sha256_file(in_dir("missing"), digest, NULL, &err), IOT_NOT_FOUND, &err);
	ASSERT_CONTAINS(err.what, "missing");
	ASSERT_STATUS(iot_sha256_file(tmp_dir, digest, NULL, &err), IOT_USAGE, &err);
	CU_ASSERT_EQUAL(mkfifo(pipe_path, 0600), 0);
	ASSERT_STATUS(iot_sha256_file(pipe_path, digest, NULL, &err), IOT_USAGE,
		      &err); /* and does not wait for a writer */
}

static void test_random_and_compare(void)
{
	uint8_t a[32], b[32];

	iot_random(a, sizeof(a));
	iot_random(b, sizeof(b));
	CU_ASSERT_FALSE(iot_equal_secret(a, b, sizeof(a)));
	memcpy(b, a, sizeof(b));
	CU_ASSERT_TRUE(iot_equal_secret(a, b, sizeof(a)));
	b[31] ^= 1;
	CU_ASSERT_FALSE(iot_equal_secret(a, b, sizeof(a)));
}

UNIT_MAIN("crypto/digest", make_dir, remove_dir, {"vectors", test_vectors},
	  {"pieces", test_pieces_are_the_whole_and_the_context_starts_again}, {"hmac", test_hmac}, {"file", test_file},
	  {"no file", test_file_that_is_none}, {"random", test_random_and_compare})
