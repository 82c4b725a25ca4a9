/*
 * The software device's image format: written for the tests and the first
 * hour, read by the software device and by `image inspect`.
 */
#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "iotctl/image.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>

#define FORMAT 1

/* Where the header's fields are. */
enum { AT_FORMAT = 8, AT_BEHAVIOUR = 10, AT_SIZE = 12, AT_MAJOR = 16, AT_MINOR = 17, AT_BUILD = 18, AT_ZEROS = 20 };

static const char *const behaviours[] = {
	[IOT_SIM_OK] = "ok",
	[IOT_SIM_CRASH] = "crash",
	[IOT_SIM_HANG] = "hang",
	[IOT_SIM_FAIL_TEST] = "fail-test",
};

const char *iot_sim_behaviour_name(enum iot_sim_behaviour behaviour)
{
	return (size_t)behaviour < IOT_LENGTH(behaviours) ? behaviours[behaviour] : "unknown";
}

static void put16(uint8_t *p, unsigned value)
{
	p[0] = (uint8_t)value;
	p[1] = (uint8_t)(value >> 8);
}

static unsigned get16(const uint8_t *p)
{
	return (unsigned)(p[0] | p[1] << 8);
}

enum iot_status iot_sim_version_parse(const char *text, struct iot_sim_firmware *fw, struct iot_error *err)
{
	static const int64_t most[3] = {UINT8_MAX, UINT8_MAX, UINT16_MAX};
	int64_t parts[3] = {0, 0, 0};
	const char *at = text;
	bool good = true;
	enum iot_status status;

	for (int i = 0; i < 3 && good; i++) {
		size_t len = strcspn(at, ".");
		IOT_CLEAN(iot_free_p) char *part = iot_strndup(at, len);

		good = len > 0 && strspn(part, "0123456789") == len && (at[len] == '.') == (i < 2) &&
		       iot_parse_int(part, 0, most[i], &parts[i], NULL) == IOT_OK;
		at += len + (at[len] == '.' ? 1 : 0);
	}
	if (!good) {
		status = iot_fail(err, IOT_USAGE, "'%s' is not a version", text);
		iot_error_hint(err, "MAJOR.MINOR.BUILD, at most 255.255.65535");
		return status;
	}
	fw->major = (uint8_t)parts[0];
	fw->minor = (uint8_t)parts[1];
	fw->build = (uint16_t)parts[2];
	return IOT_OK;
}

char *iot_sim_version_text(const struct iot_sim_firmware *fw, char out[16])
{
	snprintf(out, 16, "%u.%u.%u", fw->major, fw->minor, fw->build);
	return out;
}

uint32_t iot_sim_version_number(const struct iot_sim_firmware *fw)
{
	return (uint32_t)fw->major << 24 | (uint32_t)fw->minor << 16 | fw->build;
}

/* splitmix64: small, well mixed, and the same on every machine. */
static void fill(uint8_t *to, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i++) {
		static const int bytes = 8;
		uint64_t z;

		if (i % bytes == 0)
			seed += UINT64_C(0x9e3779b97f4a7c15);
		z = seed;
		z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
		z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
		z ^= z >> 31;
		to[i] = (uint8_t)(z >> (i % bytes * 8));
	}
}

enum iot_status iot_sim_firmware_write(const char *path, const struct iot_sim_firmware *fw, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) uint8_t *image = NULL;

	if (fw->size < IOT_SIM_HEADER_SIZE || fw->size > IOT_SIM_SIZE_MAX)
		return iot_fail(err, IOT_USAGE, "an image cannot have %u bytes: %d to %d are possible", fw->size,
				IOT_SIM_HEADER_SIZE, IOT_SIM_SIZE_MAX);
	image = iot_alloc(fw->size);
	memcpy(image, IOT_SIM_MAGIC, IOT_SIM_MAGIC_SIZE);
	put16(image + AT_FORMAT, FORMAT);
	put16(image + AT_BEHAVIOUR, fw->behaviour);
	put16(image + AT_SIZE, fw->size & 0xffff);
	put16(image + AT_SIZE + 2, fw->size >> 16);
	image[AT_MAJOR] = fw->major;
	image[AT_MINOR] = fw->minor;
	put16(image + AT_BUILD, fw->build);
	fill(image + IOT_SIM_HEADER_SIZE, fw->size - IOT_SIM_HEADER_SIZE, iot_sim_version_number(fw));
	return iot_fs_write(path, 0644, image, fw->size, err);
}

enum iot_status iot_sim_firmware_parse(const void *data, size_t len, struct iot_sim_firmware *ret,
				       struct iot_error *err)
{
	const uint8_t *header = data;
	struct iot_sim_firmware fw;

	if (len < IOT_SIM_HEADER_SIZE || memcmp(header, IOT_SIM_MAGIC, IOT_SIM_MAGIC_SIZE) != 0)
		return iot_fail(err, IOT_USAGE, "this is not an image for the software device");
	if (get16(header + AT_FORMAT) != FORMAT)
		return iot_fail(err, IOT_USAGE, "image format %u is not known", get16(header + AT_FORMAT));
	if (get16(header + AT_BEHAVIOUR) > IOT_SIM_FAIL_TEST)
		return iot_fail(err, IOT_USAGE, "image behaviour %u is not known", get16(header + AT_BEHAVIOUR));
	for (size_t i = AT_ZEROS; i < IOT_SIM_HEADER_SIZE; i++)
		if (header[i] != 0)
			return iot_fail(err, IOT_USAGE, "the image header is damaged");
	fw.behaviour = (enum iot_sim_behaviour)get16(header + AT_BEHAVIOUR);
	fw.size = get16(header + AT_SIZE) | (uint32_t)get16(header + AT_SIZE + 2) << 16;
	fw.major = header[AT_MAJOR];
	fw.minor = header[AT_MINOR];
	fw.build = (uint16_t)get16(header + AT_BUILD);
	if (fw.size < IOT_SIM_HEADER_SIZE || fw.size > IOT_SIM_SIZE_MAX)
		return iot_fail(err, IOT_USAGE, "the image header states an impossible size");
	*ret = fw;
	return IOT_OK;
}

enum iot_status iot_sim_firmware_read(const char *path, struct iot_sim_firmware *ret, struct iot_error *err)
{
	struct iot_image_info info;
	enum iot_status status = iot_image_inspect(path, &info, err);

	if (status != IOT_OK)
		return status;
	if (info.container != IOT_IMAGE_SIM) {
		status = iot_fail(err, IOT_USAGE, "'%s' is not a whole image for the software device", path);
		iot_error_hint(err, "make one with 'iotctl sim firmware'");
		return status;
	}
	*ret = info.sim;
	return IOT_OK;
}
