/* The little XML that S3 speaks in what we do of it. */
#ifndef IOTCTL_BROKER_API_XML_H
#define IOTCTL_BROKER_API_XML_H

#include "iotctl/buf.h"
#include "iotctl/error.h"
#include "iotctl/json.h"

/* Append text as the contents of an element. */
void xml_text(struct iot_buf *out, const char *text);
/*
 * The body of CompleteMultipartUpload as [{PartNumber, ETag}]; other elements of a part (checksums) are skipped. Code
 * InvalidRequestException: it is not that. New reference.
 */
IOT_CHECK enum iot_status xml_parts(const char *text, size_t len, json_t **ret, struct iot_error *err);

#endif
