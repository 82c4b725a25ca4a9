/* iotctl cert, iotctl ca: certificates of devices, and the CAs they come from. */
#include "iotctl/cert.h"

#include "command/commands.h"
#include "command/context.h"
#include "command/profile.h"
#include "iotctl/fleet.h"
#include "iotctl/fs.h"
#include "iotctl/local.h"

#include <string.h>

struct cert_args {
	const char *id, *status, *file;
	bool no_ca, force;
};

static const struct output_column list_columns[] = {
	{.key = "certificateId", .heading = "Certificate", .width = 64},
	{.key = "status", .heading = "Status"},
	{.key = "creationDate", .heading = "Created", .kind = OUTPUT_TIME},
	{.key = "certificateArn", .heading = "ARN", .wide = true},
	{0},
};

static const struct output_column show_columns[] = {
	{.key = "certificateDescription.certificateId", .heading = "Certificate"},
	{.key = "certificateDescription.status", .heading = "Status"},
	{.key = "certificateDescription.caCertificateId", .heading = "CA"},
	{.key = "certificateDescription.validity.notBefore", .heading = "Valid from", .kind = OUTPUT_TIME},
	{.key = "certificateDescription.validity.notAfter", .heading = "Valid until", .kind = OUTPUT_TIME},
	{.key = "certificateDescription.creationDate", .heading = "Registered", .kind = OUTPUT_TIME},
	{.key = "policies", .heading = "Policies"},
	{.key = "things", .heading = "Devices"},
	{0},
};

#define ONE_CERT ARG_STR("CERTIFICATE", struct cert_args, id, "certificate id", .complete = COMPLETE_CERT)
#define PEM_FILE ARG_PATH("FILE", struct cert_args, file, "certificate in PEM", .complete = COMPLETE_FILE)

static enum iot_status list(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	(void)args;
	return command_print_list(ctx, "ListCertificates", NULL, "certificates", list_columns, err);
}

static enum iot_status show(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct cert_args *args = args_;
	IOT_JSON reply = NULL;
	IOT_JSON policies = NULL;
	IOT_JSON things = NULL;
	const char *arn;
	enum iot_status status =
		command_call(ctx, "DescribeCertificate", json_pack("{s:s}", "certificateId", args->id), &reply, err);

	if (status != IOT_OK)
		return status;
	arn = iot_json_str(json_object_get(reply, "certificateDescription"), "certificateArn", "");
	status = command_call(ctx, "ListAttachedPolicies", json_pack("{s:s}", "target", arn), &policies, err);
	if (status == IOT_OK)
		status = command_call(ctx, "ListPrincipalThings", json_pack("{s:s}", "principal", arn), &things, err);
	if (status != IOT_OK)
		return status;
	json_object_set(reply, "things", json_object_get(things, "things"));
	json_object_set_new(reply, "policies", json_array());
	for (size_t i = 0; i < json_array_size(json_object_get(policies, "policies")); i++)
		json_array_append(json_object_get(reply, "policies"),
				  json_object_get(json_array_get(json_object_get(policies, "policies"), i), "policyName"));
	return output_object(ctx->out, show_columns, reply, err);
}

static enum iot_status read_pem(const char *path, struct iot_buf *pem, struct iot_error *err)
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	enum iot_status status = iot_fs_read(path, pem, err);

	/* A wrong file is told here, by its name, before a cloud sees it. */
	return status == IOT_OK ? iot_cert_parse_pem(iot_buf_str(pem), pem->len, path, &cert, err) : status;
}

static enum iot_status register_cert(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const struct output_column columns[] = {
		{.key = "certificateId", .heading = "Certificate"}, {.key = "certificateArn", .heading = "ARN"}, {0}};
	const struct cert_args *args = args_;
	struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	enum iot_status status = read_pem(args->file, &pem, err);

	if (status == IOT_OK)
		status = command_print_call(ctx, args->no_ca ? "RegisterCertificateWithoutCA" : "RegisterCertificate",
					    json_pack("{s:s, s:s}", "certificatePem", iot_buf_str(&pem), "status", "ACTIVE"),
					    columns, err);
	iot_buf_release(&pem);
	return status;
}

static enum iot_status update(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct cert_args *args = args_;

	return command_call(ctx, "UpdateCertificate",
			    json_pack("{s:s, s:s}", "certificateId", args->id, "newStatus", args->status), NULL, err);
}

static enum iot_status delete(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct cert_args *args = args_;

	return command_call(ctx, "DeleteCertificate",
			    json_pack("{s:s, s:b}", "certificateId", args->id, "forceDelete", args->force), NULL, err);
}

static const struct cli_command cmd_list = {
	.name = "list",
	.summary = "List certificates",
	.examples = CLI_EXAMPLES({"cert list -o json", "with ARN and mode"}),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN0(list),
};

static const struct cli_command cmd_show = {
	.name = "show",
	.summary = "Show a certificate, its policies and devices",
	.args = CLI_ARGS(ONE_CERT),
	.examples = CLI_EXAMPLES({"cert show 4c0f9cbf83ab4c8d0a5bd8e4a0c0d9e1f25bb1f0b4c3a1f4f2f3b9a7e8d6c5b4", "one of them"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(show, struct cert_args),
};

static const struct cli_command cmd_register = {
	.name = "register",
	.summary = "Register a certificate that was made elsewhere",
	.description = "Its CA must be trusted ('iotctl ca trust'); with --without-ca the certificate is taken for itself.",
	.args = CLI_ARGS(PEM_FILE),
	.opts = CLI_OPTS(OPT_FLAG(0, "without-ca", struct cert_args, no_ca, "trust this one certificate, not its CA")),
	.examples = CLI_EXAMPLES({"cert register birth.pem --without-ca", "a self-signed one"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT, IOT_VERIFY),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(register_cert, struct cert_args),
};

static const struct cli_command cmd_update = {
	.name = "update",
	.summary = "Change a certificate's status",
	.args = CLI_ARGS(ONE_CERT, ARG_STR("STATUS", struct cert_args, status, "ACTIVE, INACTIVE or REVOKED",
					   .choices = CLI_CHOICES("ACTIVE", "INACTIVE", "REVOKED"))),
	.examples = CLI_EXAMPLES({"cert update 4c0f9cbf83ab4c8d0a5bd8e4a0c0d9e1f25bb1f0b4c3a1f4f2f3b9a7e8d6c5b4 REVOKED",
				  "its connection ends within a second"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(update, struct cert_args),
};

static const struct cli_command cmd_delete = {
	.name = "delete",
	.summary = "Delete a certificate that is not active",
	.args = CLI_ARGS(ONE_CERT),
	.opts = CLI_OPTS(OPT_FLAG('f', "force", struct cert_args, force, "also if policies are attached to it")),
	.examples = CLI_EXAMPLES({"cert delete 4c0f9cbf83ab4c8d0a5bd8e4a0c0d9e1f25bb1f0b4c3a1f4f2f3b9a7e8d6c5b4",
				  "after it was set INACTIVE"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(delete, struct cert_args),
};

const struct cli_command cmd_cert = {
	.name = "cert",
	.summary = "Device certificates",
	.subcommands = CLI_COMMANDS(&cmd_list, &cmd_show, &cmd_register, &cmd_update, &cmd_delete),
};

/* --- ca --------------------------------------------------------------------------------------- */

static enum iot_status ca_list(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	(void)args;
	return command_print_list(ctx, "ListCACertificates", NULL, "certificates", list_columns, err);
}

static enum iot_status ca_print(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	enum iot_status status = iot_fleet_root(command_cloud(ctx), &pem, err);

	(void)args;
	if (status == IOT_OK)
		status = output_raw(ctx->out, pem.data, pem.len, err);
	iot_buf_release(&pem);
	return status;
}

static enum iot_status ca_trust(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const struct output_column columns[] = {
		{.key = "certificateId", .heading = "CA"}, {.key = "certificateArn", .heading = "ARN"}, {0}};
	const struct cert_args *args = args_;
	struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	enum iot_status status = read_pem(args->file, &pem, err);

	if (status == IOT_OK)
		status = command_print_call(ctx, "RegisterCACertificate",
					    json_pack("{s:s, s:b, s:s}", "caCertificate", iot_buf_str(&pem), "setAsActive", 1,
						      "certificateMode", "SNI_ONLY"),
					    columns, err);
	iot_buf_release(&pem);
	return status;
}

static enum iot_status ca_distrust(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct cert_args *args = args_;
	enum iot_status status =
		command_call(ctx, "UpdateCACertificate",
			     json_pack("{s:s, s:s}", "certificateId", args->id, "newStatus", "INACTIVE"), NULL, err);

	return status == IOT_OK
		       ? command_call(ctx, "DeleteCACertificate", json_pack("{s:s}", "certificateId", args->id), NULL, err)
		       : status;
}

static const struct cli_command cmd_ca_list = {
	.name = "list",
	.summary = "List the CAs that devices' certificates may come from",
	.examples = CLI_EXAMPLES({"ca list", "the fleet's own and trusted ones"}),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN0(ca_list),
};

static const struct cli_command cmd_ca_root = {
	.name = "root",
	.summary = "Print the fleet's root certificate",
	.description = "This is what devices check the broker's certificate against.",
	.examples = CLI_EXAMPLES({"ca root", "as PEM"}),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN0(ca_print),
};

static const struct cli_command cmd_ca_trust = {
	.name = "trust",
	.summary = "Trust a vendor's CA, for modules born with its certificates",
	.description = "Trust alone admits nobody: each certificate has to be registered as well, which 'provision' and 'device claim' do.",
	.args = CLI_ARGS(PEM_FILE),
	.examples = CLI_EXAMPLES({"ca trust vendor.pem", "before its modules are registered"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(ca_trust, struct cert_args),
};

static const struct cli_command cmd_ca_distrust = {
	.name = "distrust",
	.summary = "No longer trust a vendor's CA",
	.args = CLI_ARGS(ARG_STR("CA", struct cert_args, id, "certificate id of the CA")),
	.examples = CLI_EXAMPLES({"ca distrust 4c0f9cbf83ab4c8d0a5bd8e4a0c0d9e1f25bb1f0b4c3a1f4f2f3b9a7e8d6c5b4",
				  "as 'ca list' names it"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(ca_distrust, struct cert_args),
};

const struct cli_command cmd_ca = {
	.name = "ca",
	.summary = "Certification authorities",
	.subcommands = CLI_COMMANDS(&cmd_ca_list, &cmd_ca_root, &cmd_ca_trust, &cmd_ca_distrust),
};
