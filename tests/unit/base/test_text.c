/* Parsers must take exactly what they document; encoders must agree with the RFCs' own examples. */
#include "unit.h"

#include "iotctl/base.h"
#include "iotctl/text.h"

static void test_int(void)
{
	static const char *const bad[] = {
		"", "-", " 1", "1 ", "+1", "0x10", "1.0", "1e3", "--1", "a", "9a", "99999999999999999999", "11", "-11"};
	struct iot_error err = IOT_ERROR_INIT;
	int64_t value = 77;

	ASSERT_OK(iot_parse_int("-10", -10, 10, &value, &err), &err);
	CU_ASSERT_EQUAL(value, -10);
	ASSERT_OK(iot_parse_int("9223372036854775807", 0, INT64_MAX, &value, &err), &err);
	CU_ASSERT_EQUAL(value, INT64_MAX);
	ASSERT_OK(iot_parse_int("-9223372036854775808", INT64_MIN, INT64_MAX, &value, &err), &err);
	CU_ASSERT_EQUAL(value, INT64_MIN);
	ASSERT_STATUS(iot_parse_int("9223372036854775808", INT64_MIN, INT64_MAX, &value, &err), IOT_USAGE, &err);
	for (size_t i = 0; i < IOT_LENGTH(bad); i++) {
		ASSERT_STATUS(iot_parse_int(bad[i], -10, 10, &value, &err), IOT_USAGE, &err);
		ASSERT_CONTAINS(err.what, bad[i]);
	}
	CU_ASSERT_EQUAL(value, INT64_MIN);
	ASSERT_STATUS(iot_parse_int("11", -10, 10, &value, &err), IOT_USAGE, &err);
	CU_ASSERT_STRING_EQUAL(err.what, "'11' is out of range, expected -10 to 10");
	ASSERT_STATUS(iot_parse_int(NULL, 0, 1, &value, NULL), IOT_USAGE, &err);
}

static void test_duration(void)
{
	static const struct {
		const char *text;
		int64_t ms;
	} good[] = {{"0", 0},       {"5", 5000},     {"250ms", 250},    {"30s", 30000},
		    {"5m", 300000}, {"2h", 7200000}, {"7d", 604800000}, {"9223372036854775807ms", INT64_MAX}};
	static const char *const bad[] = {"",
					  "s",
					  "-5s",
					  "+5s",
					  " 5s",
					  "5 s",
					  "5s ",
					  "1.5s",
					  "5S",
					  "5sec",
					  "5w",
					  "1h30m",
					  "ms",
					  "9223372036854775808ms",
					  "9223372036854775807",
					  "106751991168d"};
	struct iot_error err = IOT_ERROR_INIT;
	int64_t ms;

	for (size_t i = 0; i < IOT_LENGTH(good); i++) {
		ms = -1;
		ASSERT_OK(iot_parse_duration(good[i].text, &ms, &err), &err);
		CU_ASSERT_EQUAL(ms, good[i].ms);
	}
	ms = -1;
	for (size_t i = 0; i < IOT_LENGTH(bad); i++)
		ASSERT_STATUS(iot_parse_duration(bad[i], &ms, &err), IOT_USAGE, &err);
	CU_ASSERT_EQUAL(ms, -1);
	ASSERT_STATUS(iot_parse_duration("soon", &ms, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "'soon'");
	ASSERT_STATUS(iot_parse_duration(NULL, &ms, &err), IOT_USAGE, &err);
}

static void test_size(void)
{
	static const char *const bad[] = {"", "k", "-1", "1.5k", "1kB", "1T", "8589934592G", "1 k", "k1"};
	struct iot_error err = IOT_ERROR_INIT;
	int64_t size;

	ASSERT_OK(iot_parse_size("4096", &size, &err), &err);
	CU_ASSERT_EQUAL(size, 4096);
	ASSERT_OK(iot_parse_size("4k", &size, &err), &err);
	CU_ASSERT_EQUAL(size, 4096);
	ASSERT_OK(iot_parse_size("16M", &size, &err), &err);
	CU_ASSERT_EQUAL(size, 16777216);
	ASSERT_OK(iot_parse_size("2G", &size, &err), &err);
	CU_ASSERT_EQUAL(size, 2147483648);
	for (size_t i = 0; i < IOT_LENGTH(bad); i++)
		ASSERT_STATUS(iot_parse_size(bad[i], &size, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_parse_size(NULL, &size, &err), IOT_USAGE, &err);
}

static void test_hex(void)
{
	unsigned char bytes[4] = {0};
	char text[9];

	CU_ASSERT_STRING_EQUAL(iot_hex("\x00\xff\x1a\xA5", 4, text), "00ff1aa5");
	CU_ASSERT_STRING_EQUAL(iot_hex("", 0, text), "");
	CU_ASSERT_TRUE(iot_unhex("00FF1aA5", bytes, 4));
	CU_ASSERT_EQUAL(memcmp(bytes, "\x00\xff\x1a\xa5", 4), 0);
	CU_ASSERT_FALSE(iot_unhex("00ff1aa", bytes, 4));
	CU_ASSERT_FALSE(iot_unhex("00ff1aa55", bytes, 4));
	CU_ASSERT_FALSE(iot_unhex("00ff1ag5", bytes, 4));
	CU_ASSERT_FALSE(iot_unhex("0x001122", bytes, 4));
	CU_ASSERT_FALSE(iot_unhex(" 0011223", bytes, 4));
	CU_ASSERT_FALSE(iot_unhex(NULL, bytes, 4));
}

/* RFC 4648 section 10. */
static void test_base64_vectors(void)
{
	static const struct {
		const char *plain, *coded, *url;
	} vectors[] = {{"", "", ""},
		       {"f", "Zg==", "Zg"},
		       {"fo", "Zm8=", "Zm8"},
		       {"foo", "Zm9v", "Zm9v"},
		       {"foob", "Zm9vYg==", "Zm9vYg"},
		       {"fooba", "Zm9vYmE=", "Zm9vYmE"},
		       {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
		       {"\xfb\xff\xfe", "+//+", "-__-"}};

	for (size_t i = 0; i < IOT_LENGTH(vectors); i++) {
		struct iot_buf buf = IOT_BUF_INIT(100);

		iot_base64(vectors[i].plain, strlen(vectors[i].plain), &buf);
		CU_ASSERT_STRING_EQUAL(iot_buf_str(&buf), vectors[i].coded);
		iot_buf_clear(&buf);
		iot_base64url(vectors[i].plain, strlen(vectors[i].plain), &buf);
		CU_ASSERT_STRING_EQUAL(iot_buf_str(&buf), vectors[i].url);
		iot_buf_clear(&buf);
		CU_ASSERT_TRUE(iot_unbase64(vectors[i].coded, strlen(vectors[i].coded), &buf));
		CU_ASSERT_STRING_EQUAL(iot_buf_str(&buf), vectors[i].plain);
		iot_buf_clear(&buf);
		CU_ASSERT_TRUE(iot_unbase64url(vectors[i].url, strlen(vectors[i].url), &buf));
		CU_ASSERT_STRING_EQUAL(iot_buf_str(&buf), vectors[i].plain);
		iot_buf_release(&buf);
	}
}

static void test_base64_is_strict(void)
{
	static const char *const bad[] = {"Zg",     "Zg=",   "Zg===", "Z===", "====",     "=",     "Zh==", "Zm9=",
					  "Zm9v\n", " Zm9v", "Zm-v",  "Zm_v", "Zg==Zg==", "Zm9vY", "Zm=v", "Z"};
	static const char *const bad_url[] = {"Zg==", "Zh", "Zm9", "Z", "Zm9vY", "Zm+v", "Zm/v", "Zm9v\n"};
	struct iot_buf buf = IOT_BUF_INIT(100);

	iot_buf_adds(&buf, "kept");
	for (size_t i = 0; i < IOT_LENGTH(bad); i++) {
		CU_ASSERT_FALSE(iot_unbase64(bad[i], strlen(bad[i]), &buf));
		CU_ASSERT_STRING_EQUAL(iot_buf_str(&buf), "kept");
	}
	for (size_t i = 0; i < IOT_LENGTH(bad_url); i++) {
		CU_ASSERT_FALSE(iot_unbase64url(bad_url[i], strlen(bad_url[i]), &buf));
		CU_ASSERT_STRING_EQUAL(iot_buf_str(&buf), "kept");
	}
	CU_ASSERT_FALSE(iot_unbase64("Zm9\0", 4, &buf));
	/* Over the limit is not success either. */
	buf.max = 5;
	CU_ASSERT_FALSE(iot_unbase64("Zm9v", 4, &buf));
	CU_ASSERT_TRUE(buf.over);
	iot_buf_release(&buf);
}

static void test_base64_every_length(void)
{
	unsigned char plain[256];

	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (unsigned char)(i * 151 + 7);
	for (size_t len = 0; len <= sizeof(plain); len++) {
		struct iot_buf coded = IOT_BUF_SECRET(400), back = IOT_BUF_INIT(len);

		iot_base64(plain, len, &coded);
		CU_ASSERT_TRUE(iot_unbase64(coded.data, coded.len, &back));
		CU_ASSERT_EQUAL(back.len, len);
		CU_ASSERT_EQUAL(memcmp(back.data, plain, len), 0);
		iot_buf_release(&coded);
		iot_buf_release(&back);
	}
}

static void test_utf8(void)
{
	static const char *const good[] = {"",
					   "abc",
					   "\xc2\x80",
					   "\xdf\xbf",
					   "\xe0\xa0\x80",
					   "\xed\x9f\xbf",
					   "\xee\x80\x80",
					   "\xf0\x90\x80\x80",
					   "\xf4\x8f\xbf\xbf",
					   "a\xe2\x82\xac-"};
	static const char *const bad[] = {"\x80",
					  "\xc0\x80",
					  "\xc1\xbf",
					  "\xe0\x9f\xbf",
					  "\xed\xa0\x80",
					  "\xf0\x8f\xbf\xbf",
					  "\xf4\x90\x80\x80",
					  "\xf5\x80\x80\x80",
					  "\xe2\x82",
					  "\xc3",
					  "\xc3-",
					  "\xff",
					  "a\xfe",
					  "\xf8\x88\x80\x80\x80"};
	uint32_t code = 0;

	for (size_t i = 0; i < IOT_LENGTH(good); i++)
		CU_ASSERT_TRUE(iot_utf8_valid(good[i], strlen(good[i])));
	for (size_t i = 0; i < IOT_LENGTH(bad); i++)
		CU_ASSERT_FALSE(iot_utf8_valid(bad[i], strlen(bad[i])));
	CU_ASSERT_FALSE(iot_utf8_valid("a\0b", 3));
	CU_ASSERT_EQUAL(iot_utf8_next("\xe2\x82\xac", 3, &code), 3);
	CU_ASSERT_EQUAL(code, 0x20ac);
	CU_ASSERT_EQUAL(iot_utf8_next("\xe2\x82\xac", 2, &code), 0);
	CU_ASSERT_EQUAL(iot_utf8_next("", 0, &code), 0);
}

static void test_human_size(void)
{
	static const struct {
		int64_t bytes;
		const char *text;
	} sizes[] = {{0, "0 B"},
		     {999, "999 B"},
		     {1000, "1.0 kB"},
		     {999949, "999.9 kB"},
		     {999950, "1.0 MB"},
		     {20000000, "20.0 MB"},
		     {1234567890, "1.2 GB"},
		     {-5, "-5 B"},
		     {INT64_MAX, "9.2 EB"},
		     {INT64_MIN, "-9.2 EB"}};
	char text[32], small[4];

	for (size_t i = 0; i < IOT_LENGTH(sizes); i++)
		CU_ASSERT_STRING_EQUAL(iot_human_size(sizes[i].bytes, text, sizeof(text)), sizes[i].text);
	CU_ASSERT_STRING_EQUAL(iot_human_size(20000000, small, sizeof(small)), "20.");
}

static void test_percent(void)
{
	static const char *const bad[] = {"%", "%4", "a%", "%zz", "%0g", "%00", "a%00b", "%%20", "% 1"};
	struct iot_buf buf = IOT_BUF_INIT(100);

	iot_percent_encode("a-b_c.d~e/f g%+\xc3\xa4", 17, &buf);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&buf), "a-b_c.d~e%2Ff%20g%25%2B%C3%A4");
	iot_buf_clear(&buf);
	CU_ASSERT_TRUE(iot_percent_decode("a%2fb%2Fc+d%C3%a4", 17, &buf));
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&buf), "a/b/c+d\xc3\xa4");
	for (size_t i = 0; i < IOT_LENGTH(bad); i++) {
		CU_ASSERT_FALSE(iot_percent_decode(bad[i], strlen(bad[i]), &buf));
		CU_ASSERT_STRING_EQUAL(iot_buf_str(&buf), "a/b/c+d\xc3\xa4");
	}
	CU_ASSERT_FALSE(iot_percent_decode("a\0b", 3, &buf));
	/* The escape must lie within the length given, whatever follows in memory. */
	CU_ASSERT_FALSE(iot_percent_decode("%41", 2, &buf));
	iot_buf_clear(&buf);
	CU_ASSERT_TRUE(iot_percent_decode("", 0, &buf));
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&buf), "");
	iot_buf_release(&buf);
}

static void test_uuid(void)
{
	char one[37], two[37];

	iot_uuid(one);
	iot_uuid(two);
	CU_ASSERT_EQUAL(strlen(one), 36);
	CU_ASSERT_EQUAL(strspn(one, "0123456789abcdef-"), 36);
	CU_ASSERT(one[8] == '-' && one[13] == '-' && one[18] == '-' && one[23] == '-');
	CU_ASSERT_EQUAL(one[14], '4');
	CU_ASSERT_PTR_NOT_NULL(strchr("89ab", one[19]));
	CU_ASSERT_STRING_NOT_EQUAL(one, two);
}

static void test_prefix_and_suffix(void)
{
	CU_ASSERT_TRUE(iot_starts_with("pkcs11:token=x", "pkcs11:"));
	CU_ASSERT_FALSE(iot_starts_with("pk", "pkcs11:"));
	CU_ASSERT_TRUE(iot_starts_with("x", ""));
	CU_ASSERT_TRUE(iot_ends_with("a.pem", ".pem"));
	CU_ASSERT_FALSE(iot_ends_with("pem", ".pem"));
	CU_ASSERT_TRUE(iot_ends_with("x", ""));
}

UNIT_MAIN("base/text", NULL, NULL, {"int", test_int}, {"duration", test_duration}, {"size", test_size},
	  {"hex", test_hex}, {"base64_vectors", test_base64_vectors}, {"base64_is_strict", test_base64_is_strict},
	  {"base64_every_length", test_base64_every_length}, {"utf8", test_utf8}, {"human_size", test_human_size},
	  {"percent", test_percent}, {"uuid", test_uuid}, {"prefix_and_suffix", test_prefix_and_suffix})
