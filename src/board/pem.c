/* What is between the BEGIN and END of a PEM block, whoever wrapped its lines and however. */
#include "board/board_private.h"

#include "iotctl/base.h"
#include "iotctl/text.h"

#include <string.h>

bool board_pem_decode(const char *text, const char *label, struct iot_buf *der)
{
	IOT_CLEAN(iot_free_p) char *begin = iot_strf("-----BEGIN %s-----", label);
	IOT_CLEAN(iot_free_p) char *end_line = iot_strf("-----END %s-----", label);
	const char *start = strstr(text, begin);
	const char *end = start != NULL ? strstr(start, end_line) : NULL;
	struct iot_buf base64 = IOT_BUF_SECRET(IOT_CERT_PEM_MAX);
	bool good;

	if (end == NULL)
		return false;
	for (const char *c = start + strlen(begin); c < end; c++)
		if (strchr(" \t\r\n", *c) == NULL)
			iot_buf_addc(&base64, *c);
	good = !base64.over && iot_unbase64(iot_buf_str(&base64), base64.len, der);
	iot_buf_release(&base64);
	return good;
}
