/*
 * Signature Version 4 against AWS's published test suite (AKIDEXAMPLE), the
 * examples of the S3 documentation, and requests of the IoT services computed
 * with an independent implementation (python3: hmac, hashlib).
 */
#include "unit.h"

#include "iotctl/base.h"
#include "iotctl/digest.h"
#include "iotctl/sigv4.h"

#define SUITE_MS 1440938160000 /* 2015-08-30T12:36:00Z */
#define S3_MS 1369353600000    /* 2013-05-24T00:00:00Z */
#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define S3_SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define TOKEN                                                                                                          \
	"AQoDYXdzEPT//////////"                                                                                        \
	"wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuw"                   \
	"thAx7mSEI/qkPpKPi/"                                                                                           \
	"kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHN"                \
	"VXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/"  \
	"oLxB"                                                                                                         \
	"A=="

struct vector {
	const char *name, *method, *path, *query, *body;
	struct iot_sigv4_header more[3];
	const char *signature;
};

static const struct vector suite[] = {
	{"get-vanilla", "GET", "/", "", "", {{0}}, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{"get-vanilla-query-order-key-case",
	 "GET",
	 "/",
	 "Param2=value2&Param1=value1",
	 "",
	 {{0}},
	 "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
	{"get-vanilla-query-order-value",
	 "GET",
	 "/",
	 "Param1=value2&Param1=Value1",
	 "",
	 {{0}},
	 "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1"},
	{"get-utf8",
	 "GET",
	 "/\xe1\x88\xb4",
	 "",
	 "",
	 {{0}},
	 "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
	{"get-vanilla-utf8-query",
	 "GET",
	 "/",
	 "\xe1\x88\xb4=bar",
	 "",
	 {{0}},
	 "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
	{"lower-case escapes",
	 "GET",
	 "/",
	 "%e1%88%b4=%62ar",
	 "",
	 {{0}},
	 "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
	{"get-unreserved",
	 "GET",
	 "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
	 "",
	 "",
	 {{0}},
	 "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
	{"get-relative",
	 "GET",
	 "/example/..",
	 "",
	 "",
	 {{0}},
	 "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{"get-relative-relative",
	 "GET",
	 "/example1/example2/../..",
	 "",
	 "",
	 {{0}},
	 "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{"get-slash-dot-slash",
	 "GET",
	 "/./",
	 "",
	 "",
	 {{0}},
	 "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{"get-slashes",
	 "GET",
	 "//example//",
	 "",
	 "",
	 {{0}},
	 "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"},
	{"get-space",
	 "GET",
	 "/example space/",
	 "",
	 "",
	 {{0}},
	 "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
	{"get-header-key-duplicate",
	 "GET",
	 "/",
	 "",
	 "",
	 {{"My-Header1", "value2"}, {"My-Header1", "value2"}, {"My-Header1", "value1"}},
	 "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
	{"get-header-value-trim",
	 "GET",
	 "/",
	 "",
	 "",
	 {{"My-Header1", " value1"}, {"My-Header2", " \"a   b   c\" "}},
	 "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
	{"post-vanilla",
	 "POST",
	 "/",
	 "",
	 "",
	 {{0}},
	 "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
	{"post-sts-header-before",
	 "POST",
	 "/",
	 "",
	 "",
	 {{"X-Amz-Security-Token", TOKEN}},
	 "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
	{"post-x-www-form-urlencoded",
	 "POST",
	 "/",
	 "",
	 "Param1=value1",
	 {{"Content-Type", "application/x-www-form-urlencoded"}},
	 "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
};

static const struct iot_sigv4_key suite_key = {"AKIDEXAMPLE", SECRET, "us-east-1", "service"};

struct made {
	struct iot_sigv4_header headers[6];
	struct iot_sigv4_request request;
	char hash[IOT_SHA256_HEX_SIZE];
	struct iot_buf authorization;
};

static void make(struct made *made, const char *host, const char *date, const char *method, const char *path,
		 const char *query, const char *body, const struct iot_sigv4_header *more)
{
	size_t count = 0;

	memset(made, 0, sizeof(*made));
	made->authorization = (struct iot_buf)IOT_BUF_INIT(4096);
	for (; more != NULL && count < 3 && more[count].name != NULL; count++)
		made->headers[count] = more[count];
	made->headers[count++] = (struct iot_sigv4_header){"X-Amz-Date", date};
	made->headers[count++] = (struct iot_sigv4_header){"Host", host};
	iot_sha256_hex(body, strlen(body), made->hash);
	made->request = (struct iot_sigv4_request){method, path, query, made->headers, count, made->hash};
}

static void make_vector(struct made *made, const struct vector *vector)
{
	make(made, "example.amazonaws.com", "20150830T123600Z", vector->method, vector->path, vector->query,
	     vector->body, vector->more);
}

static void test_published_suite(void)
{
	for (size_t i = 0; i < IOT_LENGTH(suite); i++) {
		struct iot_error err = IOT_ERROR_INIT;
		struct made made;
		const char *found;

		make_vector(&made, &suite[i]);
		ASSERT_OK(iot_sigv4_sign(&suite_key, &made.request, SUITE_MS, &made.authorization, &err), &err);
		found = strstr(iot_buf_str(&made.authorization), "Signature=");
		if (found == NULL || strcmp(found + 10, suite[i].signature) != 0)
			fprintf(stderr, "\n%s: %s\n", suite[i].name, iot_buf_str(&made.authorization));
		CU_ASSERT(found != NULL && strcmp(found + 10, suite[i].signature) == 0);
		iot_buf_release(&made.authorization);
	}
}

static void test_header_text(void)
{
	static const struct iot_sigv4_header type = {"Content-Type",
						     "application/x-www-form-urlencoded; charset=utf-8"};
	const struct iot_sigv4_header more[3] = {type};
	const struct iot_sigv4_key key = {"AKIDEXAMPLE", SECRET, "us-east-1", "iam"};
	struct iot_error err = IOT_ERROR_INIT;
	struct made made;

	make(&made, "iam.amazonaws.com", "20150830T123600Z", "GET", "/", "Action=ListUsers&Version=2010-05-08", "",
	     more);
	ASSERT_OK(iot_sigv4_sign(&key, &made.request, SUITE_MS, &made.authorization, &err), &err);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&made.authorization),
			       "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
			       "SignedHeaders=content-type;host;x-amz-date, "
			       "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
	iot_buf_release(&made.authorization);
}

/* Labels of a path are encoded on the wire, and once more in what is signed. */
static void test_iot_paths_are_encoded_twice(void)
{
	static const struct {
		const char *service, *host, *method, *path, *query, *body, *signature;
	} calls[] = {
		{"iot", "iot.eu-west-1.amazonaws.com", "GET", "/things/a%3Ab", "", "",
		 "36af9e1c6f62805b8606d9eba3de08fbc8b22e98edf031799ef570ab908b0fc7"},
		{"iotdata", "data-ats.iot.eu-west-1.amazonaws.com", "POST", "/topics/a%2Fb", "qos=1", "{}",
		 "e65397e49bd9e354f6afef184aa727ae7527fe4f9e876aeec3381cd158a096d2"},
		{"iot-jobs-data", "data.jobs.iot.eu-west-1.amazonaws.com", "PUT", "/things/t/jobs/%24next", "", "{}",
		 "808378ce4ac67631aac22332988630478ff27fa0dd39492d055b574b1f112edd"},
	};

	for (size_t i = 0; i < IOT_LENGTH(calls); i++) {
		const struct iot_sigv4_key key = {"AKIDEXAMPLE", SECRET, "eu-west-1", calls[i].service};
		struct iot_error err = IOT_ERROR_INIT;
		struct made made;

		make(&made, calls[i].host, "20150830T123600Z", calls[i].method, calls[i].path, calls[i].query,
		     calls[i].body, NULL);
		ASSERT_OK(iot_sigv4_sign(&key, &made.request, SUITE_MS, &made.authorization, &err), &err);
		ASSERT_CONTAINS(iot_buf_str(&made.authorization), calls[i].signature);
		iot_buf_release(&made.authorization);
	}
}

/* The examples of "Authenticating Requests" in the S3 API reference. */
static void test_s3(void)
{
	const struct iot_sigv4_key key = {"AKIAIOSFODNN7EXAMPLE", S3_SECRET, "us-east-1", "s3"};
	const struct iot_sigv4_header get[3] = {{"Range", "bytes=0-9"}, {"x-amz-content-sha256", EMPTY}};
	const struct iot_sigv4_header host = {"Host", "examplebucket.s3.amazonaws.com"};
	struct iot_sigv4_request download = {"GET", "/test.txt", NULL, &host, 1, IOT_SIGV4_UNSIGNED};
	struct iot_buf query = IOT_BUF_INIT(4096);
	struct iot_error err = IOT_ERROR_INIT;
	struct made made;

	make(&made, host.value, "20130524T000000Z", "GET", "/test.txt", NULL, "", get);
	ASSERT_OK(iot_sigv4_sign(&key, &made.request, S3_MS, &made.authorization, &err), &err);
	ASSERT_CONTAINS(iot_buf_str(&made.authorization),
			"f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
	iot_buf_release(&made.authorization);
	make(&made, host.value, "20130524T000000Z", "GET", "/", "lifecycle", "", &get[1]);
	ASSERT_OK(iot_sigv4_sign(&key, &made.request, S3_MS, &made.authorization, &err), &err);
	ASSERT_CONTAINS(iot_buf_str(&made.authorization),
			"fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
	iot_buf_release(&made.authorization);
	ASSERT_OK(iot_sigv4_presign(&key, &download, NULL, S3_MS, 86400, &query, &err), &err);
	CU_ASSERT_STRING_EQUAL(
		iot_buf_str(&query),
		"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2F"
		"aws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&"
		"X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
	iot_buf_release(&query);
}

/* --- the server's side ------------------------------------------------------------- */

static void test_what_is_signed_is_accepted(void)
{
	for (size_t i = 0; i < IOT_LENGTH(suite); i++) {
		struct iot_error err = IOT_ERROR_INIT;
		struct iot_sigv4_claim claim = {.ms = 0};
		struct made made;

		make_vector(&made, &suite[i]);
		ASSERT_OK(iot_sigv4_sign(&suite_key, &made.request, SUITE_MS, &made.authorization, &err), &err);
		ASSERT_OK(iot_sigv4_parse_header(iot_buf_str(&made.authorization), "20150830T123600Z", &claim, &err),
			  &err);
		CU_ASSERT_STRING_EQUAL(claim.access_key, "AKIDEXAMPLE");
		CU_ASSERT_STRING_EQUAL(claim.region, "us-east-1");
		CU_ASSERT_STRING_EQUAL(claim.service, "service");
		CU_ASSERT_EQUAL(claim.ms, SUITE_MS);
		ASSERT_OK(iot_sigv4_verify(&claim, SECRET, &made.request, &err), &err);
		ASSERT_STATUS(iot_sigv4_verify(&claim, SECRET "x", &made.request, &err), IOT_DENIED, &err);
		CU_ASSERT_STRING_EQUAL(err.code, "InvalidSignatureException");
		iot_buf_release(&made.authorization);
	}
}

static void test_what_is_altered_is_refused(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_sigv4_claim claim;
	struct iot_sigv4_header headers[4];
	struct iot_sigv4_request other;
	struct made made;

	make(&made, "iot.example", "20150830T123600Z", "GET", "/things/a%3Ab", "x=1", "", NULL);
	ASSERT_OK(iot_sigv4_sign(&suite_key, &made.request, SUITE_MS, &made.authorization, &err), &err);
	ASSERT_OK(iot_sigv4_parse_header(iot_buf_str(&made.authorization), "20150830T123600Z", &claim, &err), &err);
#define REFUSED(change, code_)                                                                                         \
	do {                                                                                                           \
		other = made.request;                                                                                  \
		memcpy(headers, made.headers, sizeof(headers));                                                        \
		other.headers = headers;                                                                               \
		change;                                                                                                \
		ASSERT_STATUS(iot_sigv4_verify(&claim, SECRET, &other, &err), IOT_DENIED, &err);                       \
		CU_ASSERT_STRING_EQUAL(err.code, code_);                                                               \
	} while (0)
	REFUSED(other.method = "DELETE", "InvalidSignatureException");
	REFUSED(other.path = "/things/a:b", "InvalidSignatureException");
	REFUSED(other.query = "x=2", "InvalidSignatureException");
	REFUSED(other.query = "x=1&x=1", "InvalidSignatureException");
	REFUSED(other.payload_hash = IOT_SIGV4_UNSIGNED, "InvalidSignatureException");
	REFUSED(headers[1].value = "other.example", "InvalidSignatureException");
	REFUSED(other.header_count = 1, "IncompleteSignature");
	REFUSED((headers[2] = (struct iot_sigv4_header){"X-Amz-Security-Token", "t"}, other.header_count = 3),
		"IncompleteSignature");
	/* A header that nobody signed and that means nothing to AWS may be added on the way. */
	other = made.request;
	memcpy(headers, made.headers, sizeof(headers));
	headers[2] = (struct iot_sigv4_header){"Via", "1.1 proxy"};
	other.headers = headers;
	other.header_count = 3;
	ASSERT_OK(iot_sigv4_verify(&claim, SECRET, &other, &err), &err);
	iot_buf_release(&made.authorization);
}

#define CREDENTIAL "Credential=AKID/20150830/us-east-1/iot/aws4_request"
#define SIGNATURE "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"

static void test_malformed_headers(void)
{
	static const struct {
		const char *text, *date, *code;
	} bad[] = {
		{"", "20150830T123600Z", "InvalidSignatureException"},
		{"Basic YTpi", "20150830T123600Z", "InvalidSignatureException"},
		{"AWS4-HMAC-SHA256", "20150830T123600Z", "InvalidSignatureException"},
		{"AWS4-HMAC-SHA256 ", "20150830T123600Z", "IncompleteSignature"},
		{"AWS4-HMAC-SHA1 " CREDENTIAL ", SignedHeaders=host, " SIGNATURE, "20150830T123600Z",
		 "InvalidSignatureException"},
		{"AWS4-HMAC-SHA256 " CREDENTIAL ", SignedHeaders=host", "20150830T123600Z", "IncompleteSignature"},
		{"AWS4-HMAC-SHA256 " CREDENTIAL ", SignedHeaders=host, " SIGNATURE, NULL, "IncompleteSignature"},
		{"AWS4-HMAC-SHA256 " CREDENTIAL ", SignedHeaders=host, " SIGNATURE, "20150830", "IncompleteSignature"},
		{"AWS4-HMAC-SHA256 " CREDENTIAL ", SignedHeaders=host, " SIGNATURE, "20151330T123600Z",
		 "IncompleteSignature"},
		{"AWS4-HMAC-SHA256 " CREDENTIAL ", SignedHeaders=host, " SIGNATURE, "20150831T003600Z",
		 "InvalidSignatureException"},
		{"AWS4-HMAC-SHA256 " CREDENTIAL ", SignedHeaders=host, " SIGNATURE ", ", "20150830T123600Z",
		 "IncompleteSignature"},
		{"AWS4-HMAC-SHA256 " CREDENTIAL ", SignedHeaders=host, " SIGNATURE ", " CREDENTIAL, "20150830T123600Z",
		 "IncompleteSignature"},
		{"AWS4-HMAC-SHA256 " CREDENTIAL ", SignedHeaders=x-amz-date;host, " SIGNATURE, "20150830T123600Z",
		 "IncompleteSignature"},
		{"AWS4-HMAC-SHA256 " CREDENTIAL ", SignedHeaders=host;host, " SIGNATURE, "20150830T123600Z",
		 "IncompleteSignature"},
		{"AWS4-HMAC-SHA256 " CREDENTIAL ", SignedHeaders=host;, " SIGNATURE, "20150830T123600Z",
		 "IncompleteSignature"},
		{"AWS4-HMAC-SHA256 " CREDENTIAL ", SignedHeaders=Host, " SIGNATURE, "20150830T123600Z",
		 "IncompleteSignature"},
		{"AWS4-HMAC-SHA256 " CREDENTIAL ", SignedHeaders=host, Signature=00", "20150830T123600Z",
		 "IncompleteSignature"},
		{"AWS4-HMAC-SHA256 Credential=AK'ID/20150830/us-east-1/iot/aws4_request, "
		 "SignedHeaders=host, " SIGNATURE,
		 "20150830T123600Z", "IncompleteSignature"},
		{"AWS4-HMAC-SHA256 Credential=AKID/20150830/us-east-1/iot, SignedHeaders=host, " SIGNATURE,
		 "20150830T123600Z", "IncompleteSignature"},
		{"AWS4-HMAC-SHA256 Credential=AKID/2015083/us-east-1/iot/aws4_request, SignedHeaders=host, " SIGNATURE,
		 "20150830T123600Z", "IncompleteSignature"},
	};
	struct iot_sigv4_claim claim;
	struct iot_error err = IOT_ERROR_INIT;

	for (size_t i = 0; i < IOT_LENGTH(bad); i++) {
		ASSERT_STATUS(iot_sigv4_parse_header(bad[i].text, bad[i].date, &claim, &err), IOT_DENIED, &err);
		if (strcmp(err.code, bad[i].code) != 0)
			fprintf(stderr, "\n%s gave %s\n", bad[i].text, err.code);
		CU_ASSERT_STRING_EQUAL(err.code, bad[i].code);
	}
	ASSERT_OK(iot_sigv4_parse_header("AWS4-HMAC-SHA256   " SIGNATURE ",SignedHeaders=a;a-b;host," CREDENTIAL,
					 "20150830T123600Z", &claim, &err),
		  &err);
}

static void test_presigned(void)
{
	const struct iot_sigv4_header host = {"Host", "data.example"};
	struct iot_sigv4_request request = {"GET", "/a b/%2F", "z=1&a=%20", &host, 1, IOT_SIGV4_UNSIGNED};
	struct iot_buf query = IOT_BUF_INIT(8192), altered = IOT_BUF_INIT(8192);
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_sigv4_claim claim;

	ASSERT_OK(iot_sigv4_presign(&suite_key, &request, TOKEN, SUITE_MS, 60, &query, &err), &err);
	request.query = iot_buf_str(&query);
	CU_ASSERT_TRUE(iot_sigv4_query_is_signed(request.query));
	CU_ASSERT_FALSE(iot_sigv4_query_is_signed("a=X-Amz-Algorithm=x"));
	CU_ASSERT_FALSE(iot_sigv4_query_is_signed(NULL));
	ASSERT_OK(iot_sigv4_parse_query(request.query, &claim, &err), &err);
	CU_ASSERT_EQUAL(claim.expires_s, 60);
	ASSERT_OK(iot_sigv4_verify(&claim, SECRET, &request, &err), &err);
	ASSERT_OK(iot_sigv4_check_time(&claim, SUITE_MS + 59000, 1000, &err), &err);
	ASSERT_STATUS(iot_sigv4_check_time(&claim, SUITE_MS + 61000, 300000, &err), IOT_DENIED, &err);
	ASSERT_CONTAINS(err.what, "expired");
	ASSERT_STATUS(iot_sigv4_check_time(&claim, SUITE_MS - 301000, 300000, &err), IOT_DENIED, &err);
	iot_buf_addf(&altered, "%s&more=1", request.query);
	request.query = iot_buf_str(&altered);
	ASSERT_OK(iot_sigv4_parse_query(request.query, &claim, &err), &err);
	ASSERT_STATUS(iot_sigv4_verify(&claim, SECRET, &request, &err), IOT_DENIED, &err);
	request.query = "";
	iot_buf_addf(&altered, "&X-Amz-Expires=604800");
	ASSERT_STATUS(iot_sigv4_parse_query(iot_buf_str(&altered), &claim, &err), IOT_DENIED, &err);
	ASSERT_STATUS(iot_sigv4_presign(&suite_key, &request, NULL, SUITE_MS, 604801, &query, &err), IOT_USAGE, &err);
	iot_buf_release(&query);
	iot_buf_release(&altered);
}

static void test_time_window(void)
{
	struct iot_sigv4_claim claim = {.ms = SUITE_MS, .time = "20150830T123600Z"};
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_sigv4_check_time(&claim, SUITE_MS + 300000, 300000, &err), &err);
	ASSERT_OK(iot_sigv4_check_time(&claim, SUITE_MS - 300000, 300000, &err), &err);
	ASSERT_STATUS(iot_sigv4_check_time(&claim, SUITE_MS + 300001, 300000, &err), IOT_DENIED, &err);
	CU_ASSERT_STRING_EQUAL(err.code, "RequestTimeTooSkewed");
	ASSERT_STATUS(iot_sigv4_check_time(&claim, SUITE_MS - 300001, 300000, &err), IOT_DENIED, &err);
}

static void test_what_must_be_signed(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct made made;

	make(&made, "h", "20150830T123600Z", "GET", "/", "", "", NULL);
	made.request.header_count = 1;
	ASSERT_STATUS(iot_sigv4_sign(&suite_key, &made.request, SUITE_MS, &made.authorization, &err), IOT_USAGE, &err);
	made.headers[0].name = "Host";
	ASSERT_STATUS(iot_sigv4_sign(&suite_key, &made.request, SUITE_MS, &made.authorization, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "x-amz-date");
	iot_buf_release(&made.authorization);
}

UNIT_MAIN("crypto/sigv4", NULL, NULL, {"published_suite", test_published_suite}, {"header_text", test_header_text},
	  {"iot_paths_are_encoded_twice", test_iot_paths_are_encoded_twice}, {"s3", test_s3},
	  {"what_is_signed_is_accepted", test_what_is_signed_is_accepted},
	  {"what_is_altered_is_refused", test_what_is_altered_is_refused},
	  {"malformed_headers", test_malformed_headers}, {"presigned", test_presigned},
	  {"time_window", test_time_window}, {"what_must_be_signed", test_what_must_be_signed})
