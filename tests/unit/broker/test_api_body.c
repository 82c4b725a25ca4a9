/* Bodies of S3: chunks as SDKs send them, and the list of parts in XML. */
#include "broker/api/api.h"
#include "broker/api/chunked.h"
#include "broker/api/xml.h"
#include "iotctl/base.h"
#include "unit.h"

static struct iot_error err;
static struct iot_buf taken = IOT_BUF_INIT(1000);

static void set_up(void)
{
	iot_error_clear(&err);
}

static void tear_down(void)
{
	iot_buf_release(&taken);
}

static void take(void *data, const void *bytes, size_t len)
{
	iot_buf_add(data, bytes, len);
}

/* Whole, and byte by byte: the same. */
static bool is_good(const char *text)
{
	struct chunked whole, pieces;
	struct iot_buf other = IOT_BUF_INIT(1000);

	iot_buf_clear(&taken);
	chunked_init(&whole, take, &taken);
	chunked_init(&pieces, take, &other);
	chunked_add(&whole, text, strlen(text));
	for (size_t i = 0; i < strlen(text); i++)
		chunked_add(&pieces, text + i, 1);
	CU_ASSERT_EQUAL(chunked_is_good(&whole), chunked_is_good(&pieces));
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&taken), iot_buf_str(&other));
	iot_buf_release(&other);
	return chunked_is_good(&whole);
}

static void test_chunks(void)
{
	static const char *const bad[] = {
		"",
		"5\r\nhello\r\n0\r\n",
		"5\r\nhell",
		"5\nhello\n0\n\n",
		"6\r\nhello\r\n0\r\n\r\n",
		"4\r\nhello\r\n0\r\n\r\n",
		"x\r\nhello\r\n0\r\n\r\n",
		"-5\r\nhello\r\n0\r\n\r\n",
		"\r\nhello\r\n0\r\n\r\n",
		"fffffffff\r\nhello\r\n0\r\n\r\n",
		"5 \r\nhello\r\n0\r\n\r\n",
		"5\r\nhello\r\n0\r\nno colon\r\n\r\n",
		"5\r\nhello\r\n0\r\n\r\nmore",
		"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n",
	};

	CU_ASSERT_TRUE(is_good("5\r\nhello\r\n0\r\n\r\n"));
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&taken), "hello");
	/* The CRC-32 of "hello" is 3610a686. */
	CU_ASSERT_TRUE(is_good("2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"));
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&taken), "hello");
	CU_ASSERT_TRUE(is_good("A\r\n0123456789\r\n0\r\nx-amz-checksum-crc64nvme: zzz\r\n\r\n"));
	CU_ASSERT_TRUE(is_good("0\r\n\r\n"));
	for (size_t i = 0; i < IOT_LENGTH(bad); i++)
		CU_ASSERT_FALSE(is_good(bad[i]));
}

#define PART(number, etag) "<Part><PartNumber>" number "</PartNumber><ETag>" etag "</ETag></Part>"
#define ALL(parts)                                                                                                     \
	"<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">" parts "</"                       \
	"CompleteMultipartUpload>"

static void test_parts(void)
{
	static const char *const bad[] = {
		"",
		"<a/>",
		"<!DOCTYPE x>" ALL(PART("1", "a")),
		"<CompleteMultipartUpload>",
		ALL("<Part></Part>"),
		ALL("<Part><PartNumber>1</PartNumber></Part>"),
		ALL("<Part><PartNumber>1</PartNumber><PartNumber>2</PartNumber><ETag>a</ETag></Part>"),
		ALL(PART("0", "a")),
		ALL(PART("10001", "a")),
		ALL(PART("1e1", "a")),
		ALL(PART("1", "&x;")),
		ALL(PART("1", "<b>a</b>")),
		ALL(PART("1", "<![CDATA[a]]>")),
		ALL("<!-- -->" PART("1", "a")),
		ALL(PART("1", "a")) "x",
		ALL("<Part x=\"1\"><PartNumber>1</PartNumber><ETag>a</ETag></Part>"),
	};
	static const char good[] = "<?xml version=\"1.0\"?>\n" ALL(
		PART("1", "&quot;a&quot;") " <Part>\n<ChecksumCRC32>x</ChecksumCRC32><ETag>\"b&amp;\"</"
					   "ETag><PartNumber>2</PartNumber>\n</Part>") "\n";
	json_t *parts = NULL, *expected = json_pack("[{s:i, s:s}, {s:s, s:i}]", "PartNumber", 1, "ETag", "\"a\"",
						    "ETag", "\"b&\"", "PartNumber", 2);

	ASSERT_OK(xml_parts(good, sizeof(good) - 1, &parts, &err), &err);
	CU_ASSERT_TRUE(json_equal(parts, expected));
	json_decref(parts);
	json_decref(expected);
	for (size_t i = 0; i < IOT_LENGTH(bad); i++) {
		parts = NULL;
		if (xml_parts(bad[i], strlen(bad[i]), &parts, &err) == IOT_OK)
			fprintf(stderr, "\n%s\n", bad[i]);
		CU_ASSERT_PTR_NULL(parts);
		json_decref(parts);
	}
	ASSERT_STATUS(xml_parts("<a\0>", 4, &parts, &err), IOT_USAGE, &err);
}

/* Half an answer, or none, must not look like one. */
static void test_long_answer(void)
{
	struct api_answer answer = API_ANSWER_INIT;
	IOT_CLEAN(iot_free_p) char *text = malloc(answer.body.max + 1);
	IOT_JSON reply = NULL;

	memset(text, 'a', answer.body.max);
	text[answer.body.max] = '\0';
	reply = json_pack("{s:s}", "thingName", text);
	api_answer_json(&answer, reply);
	CU_ASSERT_EQUAL(answer.status, 500);
	ASSERT_CONTAINS(iot_buf_str(&answer.body), "maxResults");
	api_answer_release(&answer);
}

UNIT_MAIN("broker/api_body", set_up, tear_down, {"chunks", test_chunks}, {"parts", test_parts},
	  {"long_answer", test_long_answer})
