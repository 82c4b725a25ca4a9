/* iotctl attest: attestation tokens: what they say, whether to believe it, and the policy for that. */
#include "iotctl/attest.h"
#include "iotctl/clock.h"

#include "command/commands.h"
#include "command/context.h"
#include "iotctl/fleet.h"
#include "iotctl/fs.h"
#include "iotctl/pskfile.h"
#include "iotctl/text.h"

#include <ctype.h>
#include <string.h>

struct attest_args {
	const char *token, *secret, *public_key, *device, *nonce, *instance, *algorithm, *policy;
	bool test_keys;
};

#define TOKEN_FILE_MAX (4 * IOT_COSE_MAX) /* hex with line ends */

/* --- reading tokens ------------------------------------------------------------------ */

static void drop_blanks(struct iot_buf *text)
{
	size_t kept = 0;

	for (size_t i = 0; i < text->len; i++)
		if (!isspace((unsigned char)text->data[i]))
			text->data[kept++] = text->data[i];
	text->len = kept;
	if (text->data != NULL)
		text->data[kept] = '\0';
}

/* A token as it is (its first byte is a CBOR tag), in hex, or in base64 of either kind. */
static enum iot_status read_token(const char *path, struct iot_buf *token, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(TOKEN_FILE_MAX);
	enum iot_status status = iot_fs_read(path, &text, err);
	uint8_t bytes[TOKEN_FILE_MAX / 2];

	if (status != IOT_OK)
		return status;
	if (text.len > 0 && ((unsigned char)text.data[0] & 0x80) != 0) {
		iot_buf_add(token, text.data, text.len);
		return iot_buf_check(token, "the token", err);
	}
	drop_blanks(&text);
	if (text.len > 0 && text.len % 2 == 0 && iot_unhex(text.data, bytes, text.len / 2))
		iot_buf_add(token, bytes, text.len / 2);
	else if (text.len == 0 ||
		 (!iot_unbase64(text.data, text.len, token) && !iot_unbase64url(text.data, text.len, token)))
		return iot_fail(err, IOT_USAGE, "'%s' is no token: neither COSE, nor that in hex or base64", path);
	return iot_buf_check(token, "the token", err);
}

/* --- decode -------------------------------------------------------------------------- */

static const struct output_column decode_columns[] = {
	{.key = "message", .heading = "Message"},
	{.key = "algorithm", .heading = "Algorithm"},
	{.key = "profile", .heading = "Profile"},
	{.key = "instanceId", .heading = "Instance id"},
	{.key = "implementationId", .heading = "Implementation id"},
	{.key = "clientId", .heading = "Client id", .kind = OUTPUT_INT},
	{.key = "lifecycle", .heading = "Lifecycle"},
	{.key = "nonce", .heading = "Nonce"},
	{.key = "bootSeed", .heading = "Boot seed"},
	{.key = "certificationReference", .heading = "Certification"},
	{.key = "verificationService", .heading = "Verification service"},
	{.key = "components", .heading = "Components"},
	{.key = "problem", .heading = "Problem"},
	{.key = "warnings", .heading = "Warnings"},
	{.key = "verified", .heading = "Verified", .kind = OUTPUT_BOOL},
	{0},
};

static enum iot_status decode(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct attest_args *args = args_;
	IOT_CLEAN(iot_buf_release) struct iot_buf token = IOT_BUF_INIT(TOKEN_FILE_MAX);
	char problem[IOT_ATTEST_PROBLEM_MAX];
	struct iot_attest_claims claims;
	struct iot_cose cose;
	IOT_JSON record = NULL;
	IOT_JSON values = NULL;
	enum iot_status status = read_token(args->token, &token, err);

	if (status == IOT_OK)
		status = iot_attest_decode(token.data, token.len, &cose, &claims, problem, err);
	if (status != IOT_OK)
		return status;
	record = json_pack("{s:s, s:s}", "message", cose.mac ? "COSE_Mac0" : "COSE_Sign1", "algorithm",
			   cose.has_alg ? iot_cose_alg_name(cose.alg) : "");
	values = iot_attest_claims_json(&claims);
	json_object_update(record, values);
	if (problem[0] != '\0')
		iot_json_set_str(record, "problem", problem);
	json_object_set_new(record, "warnings", iot_attest_warnings(&claims));
	iot_json_set_bool(record, "verified", false);
	return output_object(ctx->out, decode_columns, record, err);
}

/* --- verify -------------------------------------------------------------------------- */

enum { KEYS_MAX = 8 };

/* What the options say, in the memory that a verifier borrows. */
struct expected {
	struct iot_attest_expect expect;
	struct iot_buf secret;          /* of --key */
	struct iot_buf secrets;         /* of --device: lines IDENTITY:HEX */
	struct iot_key *keys[KEYS_MAX]; /* of --public-key, or of --device if it has no secret */
	size_t key_count;
	struct iot_attest_policy **policies; /* all of them count */
	size_t policy_count;
	uint8_t bytes[64]; /* the one of them that is tried */
	uint8_t nonce[64], instance[IOT_ATTEST_INSTANCE_SIZE];
};

static void expected_release(struct expected *e)
{
	iot_buf_release(&e->secret);
	iot_buf_release(&e->secrets);
	for (size_t i = 0; i < e->key_count; i++)
		iot_key_free(e->keys[i]);
	for (size_t i = 0; i < e->policy_count; i++)
		iot_attest_policy_free(e->policies[i]);
	free(e->policies);
	iot_wipe(e->bytes, sizeof(e->bytes));
}

static enum iot_status take_hex(const char *option, const char *text, uint8_t *out, size_t min, size_t max,
				struct iot_span *ret, struct iot_error *err)
{
	size_t len;

	if (text == NULL)
		return IOT_OK;
	len = strlen(text) / 2;
	if (strlen(text) % 2 != 0 || len < min || len > max || !iot_unhex(text, out, len))
		return iot_fail(err, IOT_USAGE, "--%s is not %zu to %zu bytes in hex", option, min, max);
	*ret = (struct iot_span){out, len};
	return IOT_OK;
}

/* Public keys of the device in the registry. */
static enum iot_status take_device_keys(struct cli_context *ctx, const char *thing, struct expected *e,
					struct iot_error *err)
{
	IOT_JSON reply = NULL;
	const json_t *row;
	size_t i;
	enum iot_status status =
		command_call(ctx, "iotctl:ListDeviceKeys",
			     json_pack("{s:s, s:s}", "thingName", thing, "purpose", "attest"), &reply, err);

	if (status != IOT_OK)
		return status;
	json_array_foreach(json_object_get(reply, "keys"), i, row) {
		const char *pem = iot_json_str(row, "publicKey", "");
		int64_t expires = iot_json_int(row, "expiresAt", 0);

		if (e->key_count == KEYS_MAX || (expires != 0 && expires * 1000 <= iot_now_ms()))
			continue;
		status = iot_key_from_public_pem(pem, strlen(pem), "key in the registry", &e->keys[e->key_count], err);
		if (status != IOT_OK)
			return status;
		e->key_count++;
	}
	if (e->key_count > 0)
		return IOT_OK;
	iot_fail(err, IOT_NOT_FOUND, "device '%s' has no attestation key", thing);
	iot_error_hint(
		err,
		"make one with 'iotctl psk create %s --attestation', or register its public one with 'iotctl attest "
		"add-key %s FILE'",
		thing, thing);
	return IOT_NOT_FOUND;
}

static enum iot_status take_policy(struct expected *e, const char *text, size_t len, const char *name,
				   struct iot_error *err)
{
	e->policies = iot_realloc(e->policies, (e->policy_count + 1) * sizeof(*e->policies));
	e->policies[e->policy_count] = NULL;
	return iot_attest_policy_parse(text, len, name, &e->policies[e->policy_count++], err);
}

/* Those that count for the device by the registry. */
static enum iot_status take_device_policies(struct cli_context *ctx, const char *thing, struct expected *e,
					    struct iot_error *err)
{
	IOT_JSON reply = NULL;
	const json_t *row;
	size_t i;
	enum iot_status status = command_call(ctx, "iotctl:GetEffectiveAttestationPolicies",
					      json_pack("{s:s}", "thingName", thing), &reply, err);

	json_array_foreach(json_object_get(reply, "policies"), i, row) {
		const char *text = iot_json_str(row, "policyDocument", "");

		if (status == IOT_OK)
			status = take_policy(e, text, strlen(text), iot_json_str(row, "policyName", ""), err);
	}
	return status;
}

static enum iot_status take_device(struct cli_context *ctx, const struct attest_args *args, struct expected *e,
				   struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	enum iot_status status = command_open_cloud(ctx, err);

	if (status == IOT_OK)
		status = iot_fleet_resolve(command_cloud(ctx), args->device, &thing, err);
	if (status != IOT_OK)
		return status;
	status = iot_psk_export(command_cloud(ctx), thing, NULL, "attest", IOT_PSK_MOSQUITTO, &e->secrets, NULL, err);
	if (status == IOT_NOT_FOUND && e->secrets.len == 0) {
		iot_error_clear(err);
		status = take_device_keys(ctx, thing, e, err);
	}
	return status == IOT_OK && args->policy == NULL ? take_device_policies(ctx, thing, e, err) : status;
}

static enum iot_status take_keys(struct cli_context *ctx, const struct attest_args *args, struct expected *e,
				 struct iot_error *err)
{
	int given = (args->secret != NULL) + (args->public_key != NULL) + (args->device != NULL);

	if (given != 1)
		return iot_fail(err, IOT_USAGE, "give one of --device, --key and --public-key to check the token with");
	if (args->secret != NULL)
		return iot_psk_read(args->secret, &e->secret, err);
	if (args->device != NULL)
		return take_device(ctx, args, e, err);
	e->key_count = 1;
	return iot_key_load_public(args->public_key, &e->keys[0], err);
}

static enum iot_status take_options(struct cli_context *ctx, const struct attest_args *args, struct expected *e,
				    struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf policy = IOT_BUF_INIT(IOT_ATTEST_POLICY_MAX);
	enum iot_status status = take_keys(ctx, args, e, err);

	if (status == IOT_OK)
		status = take_hex("nonce", args->nonce, e->nonce, 8, sizeof(e->nonce), &e->expect.nonce, err);
	if (status == IOT_OK)
		status = take_hex("instance-id", args->instance, e->instance, sizeof(e->instance), sizeof(e->instance),
				  &e->expect.instance, err);
	if (status == IOT_OK && args->algorithm != NULL)
		status = iot_cose_alg_parse(args->algorithm, &e->expect.alg, err);
	if (status == IOT_OK && args->policy != NULL)
		status = iot_fs_read(args->policy, &policy, err);
	if (status == IOT_OK && args->policy != NULL)
		status = take_policy(e, iot_buf_str(&policy), policy.len, args->policy, err);
	e->expect.allow_published = args->test_keys;
	return status;
}

static enum iot_status judge_with_keys(struct expected *e, const struct iot_buf *token,
				       struct iot_attest_verdict *verdict, struct iot_error *err)
{
	enum iot_status status = IOT_VERIFY;

	for (size_t i = 0; i < e->key_count; i++) {
		e->expect.key = e->keys[i];
		status = iot_attest_verify(token->data, token->len, &e->expect, verdict, err);
		if (verdict->checks[IOT_ATTEST_SIGNATURE].result == IOT_ATTEST_OK)
			break;
	}
	return status;
}

/* A device that rotates has two secrets: the one whose tag is right decides. */
static enum iot_status judge_one(struct expected *e, const struct iot_buf *token, struct iot_attest_verdict *verdict,
				 struct iot_error *err)
{
	enum iot_status status = IOT_VERIFY;

	if (e->key_count > 0)
		return judge_with_keys(e, token, verdict, err);
	if (e->secrets.len == 0) {
		e->expect.secret = e->secret.data;
		e->expect.secret_len = e->secret.len;
		return iot_attest_verify(token->data, token->len, &e->expect, verdict, err);
	}
	for (char *at = e->secrets.data; *at != '\0'; at = strchr(at, '\n') + 1) {
		char *hex = strchr(at, ':') + 1, *end = strchr(hex, '\n');

		*end = '\0';
		e->expect.secret = e->bytes;
		e->expect.secret_len = strlen(hex) / 2;
		if (e->expect.secret_len > sizeof(e->bytes) || !iot_unhex(hex, e->bytes, e->expect.secret_len))
			return iot_fail(err, IOT_FAILURE, "the registry has a damaged attestation key");
		*end = '\n';
		status = iot_attest_verify(token->data, token->len, &e->expect, verdict, err);
		if (verdict->checks[IOT_ATTEST_SIGNATURE].result == IOT_ATTEST_OK)
			break;
	}
	return status;
}

/* All policies have to be met; one that is not is the one that is told of. */
static enum iot_status judge(struct expected *e, const struct iot_buf *token, struct iot_attest_verdict *verdict,
			     struct iot_error *err)
{
	enum iot_status status;
	size_t i = 0;

	do {
		e->expect.policy = e->policy_count > 0 ? e->policies[i] : NULL;
		status = judge_one(e, token, verdict, err);
	} while (status == IOT_OK && ++i < e->policy_count);
	return status;
}

static const struct output_column verdict_columns[] = {
	{.key = "check", .heading = "Check", .width = 17},
	{.key = "ok", .heading = "OK", .kind = OUTPUT_BOOL},
	{.key = "detail", .heading = "Detail"},
	{0},
};

static enum iot_status verify(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct attest_args *args = args_;
	IOT_CLEAN(iot_buf_release) struct iot_buf token = IOT_BUF_INIT(TOKEN_FILE_MAX);
	IOT_CLEAN(expected_release) struct expected e = {.secret = IOT_BUF_SECRET(64), .secrets = IOT_BUF_SECRET(4096)};
	struct iot_attest_verdict verdict;
	IOT_JSON checks = NULL;
	enum iot_status printed, status = take_options(ctx, args, &e, err);

	if (status == IOT_OK)
		status = read_token(args->token, &token, err);
	if (status != IOT_OK)
		return status;
	status = judge(&e, &token, &verdict, err);
	if (status != IOT_OK && status != IOT_VERIFY)
		return status;
	checks = iot_attest_verdict_json(&verdict);
	printed = output_array(ctx->out, verdict_columns, checks, status == IOT_OK ? err : NULL);
	return status != IOT_OK ? status : printed;
}

/* --- the tree ------------------------------------------------------------------------- */

#define TOKEN                                                                                                          \
	ARG_PATH("TOKEN", struct attest_args, token, "file, or '-': COSE as it is, in hex or in base64",               \
		 .complete = COMPLETE_FILE)

static const struct cli_command cmd_decode = {
	.name = "decode",
	.summary = "Show what a token claims, without checking it",
	.description =
		"Anybody can make a token that claims this. 'Problem' is the first rule of its profile that it breaks; "
		"'Warnings' tell of test data of Trusted Firmware-M, which nothing should be shipped with.",
	.args = CLI_ARGS(TOKEN),
	.examples = CLI_EXAMPLES({"attest decode token.cbor", "its claims"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	CLI_RUN(decode, struct attest_args),
};

static const struct cli_command cmd_verify = {
	.name = "verify",
	.summary = "Check a token, and name each check",
	.description =
		"Profiles PSA_IOT_PROFILE_1, RFC 9783 and http://arm.com/psa/2.0.0; COSE_Mac0 with HMAC 256, 384, 512 "
		"and COSE_Sign1 with ES256, ES384, ES512. A check without an answer in column 'OK' had nothing to "
		"compare with, or was not reached. Exit code 11 when one fails.\n\n"
		"Without --nonce nothing tells that the token is fresh. Without --policy a device's policies in the "
		"registry count ('attest policy assign'); without those, too, it must be in lifecycle 'secured', and "
		"made for a caller on the non-secure side.",
	.args = CLI_ARGS(TOKEN),
	.opts = CLI_OPTS(
		OPT_STR(0, "device", "DEVICE", struct attest_args, device,
			"with the attestation keys in the registry, secret or public", .complete = COMPLETE_DEVICE),
		OPT_PATH('k', "key", "FILE", struct attest_args, secret,
			 "with the secret in this private file, hex or bytes", .complete = COMPLETE_FILE),
		OPT_PATH(0, "public-key", "FILE", struct attest_args, public_key, "with this public key or certificate",
			 .complete = COMPLETE_FILE),
		OPT_STR(0, "nonce", "HEX", struct attest_args, nonce, "the challenge that it answers"),
		OPT_STR(0, "instance-id", "HEX", struct attest_args, instance, "the instance id of the device"),
		OPT_STR(0, "algorithm", "NAME", struct attest_args, algorithm,
			"of the key; by default HMAC256, or its curve's",
			.choices = CLI_CHOICES("HMAC256", "HMAC384", "HMAC512", "ES256", "ES384", "ES512")),
		OPT_PATH('p', "policy", "FILE", struct attest_args, policy, "what is accepted",
			 .complete = COMPLETE_FILE),
		OPT_FLAG(0, "allow-test-keys", struct attest_args, test_keys,
			 "take keys that are published, for tests")),
	.examples = CLI_EXAMPLES({"attest verify token.cbor --device pump-0001", "believe it, or say why not"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_VERIFY),
	.needs = COMMAND_NEEDS_CLOUD_LATER,
	CLI_RUN(verify, struct attest_args),
};

const struct cli_command cmd_attest = {
	.name = "attest",
	.summary = "Attestation tokens of PSA devices",
	.subcommands = CLI_COMMANDS(&cmd_verify, &cmd_decode, &cmd_attest_policy, &cmd_attest_add_key, &cmd_attest_keys,
				    &cmd_attest_remove_key),
};
