/* What an nRF91 may say: no line does harm, a hash is one, and what is taken for a certificate request is one. */
#include "board/dialect/nrf91_private.h"

#include "iotctl/text.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_entry(const char *line, size_t len)
{
	struct nrf91_entry entry;
	uint8_t digest[IOT_SHA256_SIZE];

	if (!nrf91_entry_parse(line, len, &entry))
		return;
	if (entry.tag < 0 || entry.type < 0 || entry.type > 255)
		abort();
	if (*entry.hash != '\0' && !iot_unhex(entry.hash, digest, sizeof(digest)))
		abort();
}

static void check_keygen(const char *line, size_t len, int64_t tag)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf csr = IOT_BUF_INIT(IOT_CSR_MAX);
	IOT_CLEAN(iot_csr_release) struct iot_csr parsed = {0};
	enum iot_status status = nrf91_keygen_parse(line, len, tag, &csr, NULL);

	if (status != IOT_OK && status != IOT_BOARD)
		abort();
	if ((status == IOT_OK) != (csr.len > 0))
		abort();
	if (status == IOT_OK && iot_csr_parse(iot_buf_str(&csr), csr.len, &parsed, NULL) != IOT_OK)
		abort();
}

static void check_line(const char *line, size_t len, const struct iot_key *key)
{
	const char *trimmed = line;
	size_t trimmed_len = len;
	struct nrf91_firmware firmware;
	char imei[16] = "";
	int code = 0;

	nrf91_trim(&trimmed, &trimmed_len);
	if (trimmed < line || trimmed + trimmed_len > line + len)
		abort();
	if (nrf91_word(line, len, &code) != NRF91_ERROR && code != -1)
		abort();
	if (*nrf91_error_text(code) == '\0' || *nrf91_error_cure(code) == '\0')
		abort();
	check_entry(line, len);
	if (nrf91_imei(line, len, imei) && strspn(imei, "0123456789") != 15)
		abort();
	if (nrf91_firmware_parse(line, len, &firmware) && (firmware.major < 0 || firmware.patch > 999))
		abort();
	check_keygen(line, len, 17);
	check_keygen(line, len, NRF91_TAG_DEFAULT);
	if (nrf91_token_check(line, len, "nonce", key, NULL) == IOT_OK)
		abort(); /* nobody has the private part */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char pem[] = "-----BEGIN PUBLIC KEY-----\n"
				  "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEKg+qTX2tvaPxF58Otm50Fq/PiarD\n"
				  "Yfx2cUt5N2zA+CmfPqsZ74HqIqkOcwMnBD/1nJs6sqb8Mn96ljK2dlQeWg==\n"
				  "-----END PUBLIC KEY-----\n";
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	const char *at = (const char *)data, *end = at + size;

	if (iot_key_from_public_pem(pem, sizeof(pem) - 1, "key", &key, NULL) != IOT_OK)
		abort();
	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((newline != NULL ? newline : end) - at);

		check_line(at, len, key);
		at += len + 1;
	}
	return 0;
}
