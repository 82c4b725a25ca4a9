/* iotctl board image: credentials as an image for boards that are programmed by their maker's own tool. */
#include "command/commands.h"
#include "command/context.h"
#include "iotctl/credential.h"
#include "iotctl/fleet.h"
#include "iotctl/fs.h"

struct image_args {
	const char *dir, *file, *part;
	int format;
};

static const char *const formats[] = {"iotc", "pkcs11", "pkcs11-stm32f4", "esp-secure-cert"};

static const struct output_column image_columns[] = {
	{.key = "file", .heading = "File"},
	{.key = "format", .heading = "Format"},
	{.key = "size", .heading = "Size", .kind = OUTPUT_SIZE},
	{0},
};

static enum iot_status image(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct image_args *args = args_;
	struct iot_buf bytes = IOT_BUF_SECRET(IOT_CREDENTIAL_MAX);
	enum iot_status status = iot_credential_image(args->dir, formats[args->format], args->part, &bytes, err);

	if (status == IOT_OK)
		status = iot_fs_create_private(args->file, bytes.data, bytes.len, err);
	if (status == IOT_OK) {
		IOT_JSON record = json_pack("{s:s, s:s, s:I}", "file", args->file, "format", formats[args->format],
					    "size", (json_int_t)bytes.len);

		status = output_object(ctx->out, image_columns, record, err);
	}
	iot_buf_release(&bytes);
	return status;
}

const struct cli_command cmd_board_image = {
	.name = "image",
	.summary = "Make an image of a device's credentials, for its board's flash",
	.description = "DIR is a folder that 'iotctl device create --out' made; FILE is new, of mode 0600, and holds "
		       "the private key in clear text: remove it, and the folder, once it is in the board.\n\n"
		       "iotc is what 'iotctl provision' writes over a debug probe. pkcs11 is what the flash ports of "
		       "FreeRTOS's PKCS#11 keep their objects in, for the address of P11KeyConfig in the board's map "
		       "file. pkcs11-stm32f4 is a port with a sector for each part. esp-secure-cert is the whole "
		       "partition that esp_secure_cert_mgr reads, with device certificate, root CA and key in DER. "
		       "iotctl-swd(7) describes them.",
	.args = CLI_ARGS(ARG_PATH("DIR", struct image_args, dir, "folder of a device", .complete = COMPLETE_DIR),
			 ARG_PATH("FILE", struct image_args, file, "image to make", .complete = COMPLETE_FILE)),
	.opts = CLI_OPTS(OPT_ENUM('F', "format", "FORMAT", struct image_args, format, "layout of the image",
				  .choices = CLI_CHOICES("iotc", "pkcs11", "pkcs11-stm32f4", "esp-secure-cert"),
				  .fallback = "iotc"),
			 OPT_STR(0, "part", "PART", struct image_args, part,
				 "of iotc: credentials or codesign; of pkcs11-stm32f4: certificate, key or codesign")),
	.examples = CLI_EXAMPLES(
		{"board image ./pump-0001 pump-0001.bin --format esp-secure-cert",
		 "then 'esptool.py write_flash 0xd000 pump-0001.bin'"},
		{"board image ./pump-0001 pump-0001.bin --format pkcs11", "for FreeRTOS's PKCS#11 in flash"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT, IOT_VERIFY),
	CLI_RUN(image, struct image_args),
};
