/* Between the two halves of a push: what was checked (push.c), and what is made of it (push_create.c). */
#ifndef IOTCTL_FLEET_PUSH_PRIVATE_H
#define IOTCTL_FLEET_PUSH_PRIVATE_H

#include "fleet/fleet_private.h"
#include "iotctl/image.h"

#define PUSH_ID_MAX 36 /* the stream is named AFR_OTA-ID, and agents take at most 44 */

struct push {
	struct iot_cloud *cloud;
	const struct iot_push_spec *spec;
	int file_type; /* 0: the document has none */
	struct iot_image_info info;
	struct iot_image_signature signature;
	bool has_signature;
	char version[32];
	char id[PUSH_ID_MAX + 1];
	char name[sizeof(FLEET_OTA_PREFIX) + PUSH_ID_MAX]; /* of job and stream */
	json_t *targets;                                   /* ARNs */
	json_t *modules; /* names of all ExpressLink modules; NULL: not asked yet */
	/* Where the image is; owned. */
	char *object_key, *object_version;
	bool changed;
};

/* Is everything given that the cloud needs to make it? Looks at the spec only. */
IOT_CHECK enum iot_status push_check_cloud(const struct push *push, struct iot_error *err);
/* Image, stream, job. What a failure leaves behind is removed again. */
IOT_CHECK enum iot_status push_create(struct push *push, struct iot_error *err);

#endif
