/*
 * Labels of boards: a text from a template and a QR code as a PNG, for whatever
 * prints them. libqrencode makes the code, libpng the file.
 */
#include "fleet/station_private.h"

#include "iotctl/base.h"
#include "iotctl/fs.h"

#include <png.h>
#include <qrencode.h>
#include <string.h>

enum { QUIET_MODULES = 4, LABEL_MAX = 4096, PNG_MAX = 16 * 1024 * 1024, SCALE_MAX = 64 };

/* --- the QR code ------------------------------------------------------------------------------ */

static void free_code(QRcode **code)
{
	QRcode_free(*code);
}

/* Eight bits of grey a pixel: dark modules and the quiet zone around them, which readers need. */
static unsigned char *draw(const QRcode *code, int scale, int *ret_side)
{
	int side = (code->width + 2 * QUIET_MODULES) * scale;
	unsigned char *pixels = iot_alloc((size_t)side * (size_t)side);

	memset(pixels, 0xff, (size_t)side * (size_t)side);
	for (int y = 0; y < code->width * scale; y++)
		for (int x = 0; x < code->width * scale; x++)
			if (code->data[y / scale * code->width + x / scale] & 1)
				pixels[(y + QUIET_MODULES * scale) * side + x + QUIET_MODULES * scale] = 0;
	*ret_side = side;
	return pixels;
}

enum iot_status iot_label_qr(const char *text, int scale, struct iot_buf *png, struct iot_error *err)
{
	png_image image = {.version = PNG_IMAGE_VERSION, .format = PNG_FORMAT_GRAY};
	IOT_CLEAN(free_code) QRcode *code = NULL;
	IOT_CLEAN(iot_free_p) unsigned char *pixels = NULL;
	png_alloc_size_t size = 0;
	char *room;
	int side = 0;

	if (scale < 1 || scale > SCALE_MAX)
		return iot_fail(err, IOT_USAGE, "a module of a QR code has 1 to %d pixels", SCALE_MAX);
	code = *text != '\0' ? QRcode_encodeString8bit(text, 0, QR_ECLEVEL_M) : NULL;
	if (code == NULL)
		return iot_fail(err, IOT_USAGE, "a QR code cannot hold %zu bytes", strlen(text));
	pixels = draw(code, scale, &side);
	image.width = image.height = (png_uint_32)side;
	if (!png_image_write_to_memory(&image, NULL, &size, 0, pixels, side, NULL))
		return iot_fail(err, IOT_FAILURE, "cannot make a PNG: %s", image.message);
	room = iot_buf_reserve(png, size);
	if (room == NULL)
		return iot_buf_check(png, "the QR code", err);
	if (!png_image_write_to_memory(&image, room, &size, 0, pixels, side, NULL))
		return iot_fail(err, IOT_FAILURE, "cannot make a PNG: %s", image.message);
	png->len += size;
	return IOT_OK;
}

/* --- the files ----------------------------------------------------------------------------------- */

/* What templates know, from a board's record. */
static json_t *label_values(const json_t *record)
{
	const json_t *device = json_object_get(record, "device");
	json_t *values = json_object();

	iot_json_set_str(values, "serial", iot_json_str(record, "serial", NULL));
	iot_json_set_str(values, "uid", iot_json_str(record, "uid", NULL));
	iot_json_set_str(values, "name", iot_json_str(device, "alias", iot_json_str(device, "thingName", NULL)));
	iot_json_set_str(values, "thing", iot_json_str(device, "thingName", NULL));
	iot_json_set_str(values, "certificate", iot_json_str(device, "certificateId", NULL));
	iot_json_set_str(values, "endpoint",
			 iot_json_str(device, "endpoint", iot_json_str(device, "endpointNotTold", NULL)));
	iot_json_set_str(values, "vendor", iot_json_str(record, "vendor", NULL));
	iot_json_set_str(values, "model", iot_json_str(record, "model", NULL));
	iot_json_set_str(values, "version", iot_json_str(record, "version", NULL));
	iot_json_set_str(values, "station", iot_json_str(record, "station", NULL));
	iot_json_set_str(values, "recipe", iot_json_str(record, "recipe", NULL));
	iot_json_set_str(values, "at", iot_json_str(record, "ended", NULL));
	iot_json_set_int(values, "unit", iot_json_int(record, "unit", 0));
	iot_json_set_int(values, "head", iot_json_int(record, "head", 0));
	return values;
}

/* A file is named by what is on the label; a '/' in a serial number makes no folder. */
static char *base_name(const json_t *record)
{
	char *name = iot_strdup(iot_json_str(record, "serial", iot_json_str(record, "uid", "board")));

	for (char *c = name; *c != '\0'; c++)
		if (*c == '/' || (c == name && *c == '.'))
			*c = '_';
	return name;
}

static enum iot_status write_text(const struct iot_station_recipe *recipe, const char *base, const json_t *values,
				  struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(LABEL_MAX);
	IOT_CLEAN(iot_free_p) char *path = iot_strf("%s.txt", base);
	enum iot_status status = recipe_fill(recipe->label_text, values, &text, err);

	if (status == IOT_OK && (text.len == 0 || text.data[text.len - 1] != '\n'))
		iot_buf_addc(&text, '\n');
	return status == IOT_OK ? iot_fs_write(path, 0644, text.data, text.len, err) : status;
}

static enum iot_status write_qr(const struct iot_station_recipe *recipe, const char *base, const json_t *values,
				struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(LABEL_MAX);
	IOT_CLEAN(iot_buf_release) struct iot_buf png = IOT_BUF_INIT(PNG_MAX);
	IOT_CLEAN(iot_free_p) char *path = iot_strf("%s.png", base);
	enum iot_status status = recipe_fill(recipe->label_qr, values, &text, err);

	if (status == IOT_OK)
		status = iot_label_qr(iot_buf_str(&text), recipe->label_scale, &png, err);
	return status == IOT_OK ? iot_fs_write(path, 0644, png.data, png.len, err) : status;
}

enum iot_status label_make(const struct iot_station_recipe *recipe, const char *folder, json_t *record,
			   struct iot_error *err)
{
	IOT_JSON values = label_values(record);
	IOT_CLEAN(iot_free_p) char *name = base_name(record);
	IOT_CLEAN(iot_free_p) char *base = NULL;
	enum iot_status status = IOT_OK;

	if (folder == NULL || (recipe->label_text == NULL && recipe->label_qr == NULL))
		return IOT_OK;
	base = iot_path(folder, name);
	status = iot_fs_mkdirs(folder, 0755, err);
	if (status == IOT_OK && recipe->label_text != NULL)
		status = write_text(recipe, base, values, err);
	if (status == IOT_OK && recipe->label_qr != NULL)
		status = write_qr(recipe, base, values, err);
	if (status == IOT_OK)
		iot_json_set_str(record, "label", name);
	else
		iot_error_while(err, "making the label of '%s'", name);
	return status;
}
