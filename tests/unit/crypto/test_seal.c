/* Sealed secrets: what opens them, and that nothing else does. */
#include "unit.h"

#include "iotctl/base.h"
#include "iotctl/seal.h"

static const uint8_t key[IOT_SEAL_KEY_SIZE] = "0123456789abcdef0123456789abcde";

static void test_opens(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	IOT_CLEAN(iot_buf_release) struct iot_buf sealed = IOT_BUF_INIT(100), again = IOT_BUF_INIT(100);
	IOT_CLEAN(iot_buf_release) struct iot_buf opened = IOT_BUF_INIT(100);

	iot_seal(key, "label", "secret", 6, &sealed);
	CU_ASSERT_EQUAL(sealed.len, 6 + IOT_SEAL_EXTRA);
	ASSERT_OK(iot_unseal(key, "label", sealed.data, sealed.len, &opened, &err), &err);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&opened), "secret");
	CU_ASSERT_TRUE(opened.secret);
	/* Never twice the same bytes: the nonce is new. */
	iot_seal(key, "label", "secret", 6, &again);
	CU_ASSERT_NOT_EQUAL(memcmp(sealed.data, again.data, sealed.len), 0);
	/* An empty one too. */
	iot_buf_clear(&sealed);
	iot_buf_clear(&opened);
	iot_seal(key, "", "", 0, &sealed);
	ASSERT_OK(iot_unseal(key, "", sealed.data, sealed.len, &opened, &err), &err);
	CU_ASSERT_EQUAL(opened.len, 0);
}

static void refused(const uint8_t *with, const char *label, const void *data, size_t len)
{
	struct iot_error err = IOT_ERROR_INIT;
	IOT_CLEAN(iot_buf_release) struct iot_buf opened = IOT_BUF_INIT(100);

	CU_ASSERT_EQUAL(iot_unseal(with, label, data, len, &opened, &err), IOT_VERIFY);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&opened), "");
	CU_ASSERT_PTR_NULL(strstr(err.what, "secret1"));
}

static void test_refuses(void)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf sealed = IOT_BUF_INIT(100);
	uint8_t other[IOT_SEAL_KEY_SIZE];

	memcpy(other, key, sizeof(other));
	other[31] ^= 1;
	iot_seal(key, "label", "secret1", 7, &sealed);
	refused(other, "label", sealed.data, sealed.len);
	refused(key, "Label", sealed.data, sealed.len);
	refused(key, "", sealed.data, sealed.len);
	for (size_t i = 0; i < sealed.len; i++) { /* any bit of nonce, text and tag */
		sealed.data[i] ^= 4;
		refused(key, "label", sealed.data, sealed.len);
		sealed.data[i] ^= 4;
	}
	for (size_t len = 0; len < sealed.len; len++)
		refused(key, "label", sealed.data, len);
}

UNIT_MAIN("crypto/seal", NULL, NULL, {"opens", test_opens}, {"refuses", test_refuses})
