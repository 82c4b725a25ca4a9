/* iotctl jwt: the tokens that devices of JWT clouds show in place of a certificate. */
#include "iotctl/jwt.h"

#include "command/commands.h"
#include "command/context.h"
#include "iotctl/clock.h"
#include "iotctl/fleet.h"
#include "iotctl/fs.h"
#include "iotctl/text.h"

#include <string.h>

struct jwt_args {
	const char *token, *key, *audience, *device;
	struct cli_list keys, claims;
	int64_t lifetime, skew;
};

#define KEYS_MAX 16

/* A token, and nothing but one line end behind it, which editors and echo put there. */
static enum iot_status read_token(const char *path, struct iot_buf *token, struct iot_error *err)
{
	enum iot_status status = iot_fs_read(path, token, err);

	if (status == IOT_OK && token->len > 0 && token->data[token->len - 1] == '\n')
		token->data[--token->len] = '\0';
	return status;
}

/* --- create -------------------------------------------------------------------------- */

static enum iot_status take_claims(const struct cli_list *list, json_t *claims, struct iot_error *err)
{
	for (size_t i = 0; i < list->count; i++) {
		const char *equals = strchr(list->items[i], '=');
		IOT_CLEAN(iot_free_p) char *name = NULL;
		json_t *value;

		if (equals == NULL || equals == list->items[i])
			return iot_fail(err, IOT_USAGE, "--claim '%s' is not NAME=VALUE", list->items[i]);
		name = iot_strndup(list->items[i], (size_t)(equals - list->items[i]));
		value = json_loads(equals + 1, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
		if (json_object_set_new(claims, name, value != NULL ? value : json_string(equals + 1)) != 0)
			return iot_fail(err, IOT_USAGE, "--claim '%s' is not valid UTF-8", list->items[i]);
	}
	return IOT_OK;
}

static enum iot_status create(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct jwt_args *args = args_;
	IOT_CLEAN(iot_buf_release) struct iot_buf token = IOT_BUF_SECRET(IOT_JWT_MAX + 1);
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	IOT_JSON extra = json_object();
	enum iot_status status = take_claims(&args->claims, extra, err);

	if (status == IOT_OK)
		status = iot_clock_check(err);
	if (status == IOT_OK)
		status = iot_key_load(args->key, NULL, &key, err);
	if (status == IOT_OK)
		status = iot_jwt_create(key, args->audience, iot_now_ms() / 1000, args->lifetime / 1000, extra, &token,
					err);
	if (status != IOT_OK)
		return status;
	iot_buf_addc(&token, '\n');
	return output_raw(ctx->out, token.data, token.len, err);
}

/* --- verify and inspect ---------------------------------------------------------------- */

struct keys {
	struct iot_jwt_key rows[KEYS_MAX];
	struct iot_key *owned[KEYS_MAX];
	size_t count;
	json_t *reply; /* has the names */
};

static void keys_release(struct keys *keys)
{
	for (size_t i = 0; i < keys->count; i++)
		iot_key_free(keys->owned[i]);
	json_decref(keys->reply);
}

static void add(struct keys *keys, struct iot_key *key, const char *name, int64_t expires_at)
{
	keys->owned[keys->count] = key;
	keys->rows[keys->count++] = (struct iot_jwt_key){key, name, expires_at};
}

static enum iot_status keys_of_device(struct cli_context *ctx, const char *device, struct keys *keys,
				      struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	json_t *row;
	size_t i;
	enum iot_status status = command_open_cloud(ctx, err);

	if (status == IOT_OK)
		status = iot_fleet_resolve(command_cloud(ctx), device, &thing, err);
	if (status == IOT_OK)
		status = command_call(ctx, "iotctl:ListDeviceKeys",
				      json_pack("{s:s, s:s}", "thingName", thing, "purpose", "connect"), &keys->reply,
				      err);
	if (status != IOT_OK)
		return status;
	json_array_foreach(json_object_get(keys->reply, "keys"), i, row) {
		const char *pem = iot_json_str(row, "publicKey", "");
		struct iot_key *key = NULL;

		if (keys->count == KEYS_MAX)
			break;
		status = iot_key_from_public_pem(pem, strlen(pem), "key in the registry", &key, err);
		if (status != IOT_OK)
			return status;
		add(keys, key, iot_json_str(row, "keyId", NULL), iot_json_int(row, "expiresAt", 0));
	}
	if (keys->count > 0)
		return IOT_OK;
	iot_fail(err, IOT_NOT_FOUND, "device '%s' has no public key", thing);
	iot_error_hint(err, "register one with 'iotctl jwt add-key %s FILE'", thing);
	return IOT_NOT_FOUND;
}

static enum iot_status collect(struct cli_context *ctx, const struct jwt_args *args, struct keys *keys,
			       struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	if ((args->device != NULL) == (args->keys.count > 0))
		return iot_fail(err, IOT_USAGE, "give --device or --key to check the token with");
	if (args->device != NULL)
		return keys_of_device(ctx, args->device, keys, err);
	for (size_t i = 0; status == IOT_OK && i < args->keys.count && i < KEYS_MAX; i++) {
		struct iot_key *key = NULL;

		status = iot_key_load_public(args->keys.items[i], &key, err);
		if (status == IOT_OK)
			add(keys, key, args->keys.items[i], 0);
	}
	return status;
}

static const struct output_column verdict_columns[] = {
	{.key = "check", .heading = "Check", .width = 10},
	{.key = "ok", .heading = "OK", .kind = OUTPUT_BOOL},
	{.key = "detail", .heading = "Detail"},
	{0},
};

static enum iot_status verify(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct jwt_args *args = args_;
	IOT_CLEAN(iot_buf_release) struct iot_buf token = IOT_BUF_SECRET(2 * IOT_JWT_MAX);
	IOT_CLEAN(keys_release) struct keys keys = {0};
	struct iot_jwt_verdict verdict;
	struct iot_jwt_expect expect = {
		.audience = args->audience, .now = iot_now_ms() / 1000, .skew = args->skew / 1000};
	IOT_JSON checks = NULL;
	enum iot_status printed, status = collect(ctx, args, &keys, err);

	if (status == IOT_OK)
		status = read_token(args->token, &token, err);
	if (status != IOT_OK)
		return status;
	expect.keys = keys.rows;
	expect.key_count = keys.count;
	status = iot_jwt_verify(iot_buf_str(&token), token.len, &expect, &verdict, err);
	checks = iot_jwt_verdict_json(&verdict);
	printed = output_array(ctx->out, verdict_columns, checks, status == IOT_OK ? err : NULL);
	return status != IOT_OK ? status : printed;
}

static const struct output_column inspect_columns[] = {
	{.key = "algorithm", .heading = "Algorithm"},
	{.key = "audience", .heading = "Audience"},
	{.key = "issuedAt", .heading = "Issued", .kind = OUTPUT_TIME},
	{.key = "expiresAt", .heading = "Expires", .kind = OUTPUT_TIME},
	{.key = "claims", .heading = "Claims"},
	{.key = "problems", .heading = "Problems"},
	{.key = "verified", .heading = "Verified", .kind = OUTPUT_BOOL},
	{0},
};

/* What each check that failed says, as "expiry: expired 12 min ago". */
static json_t *problems_of(const struct iot_jwt_verdict *verdict)
{
	json_t *problems = json_array();

	for (int i = 0; i < IOT_JWT_CHECKS; i++)
		if (verdict->checks[i].result == IOT_JWT_FAILED)
			json_array_append_new(problems,
					      json_sprintf("%s: %s", iot_jwt_check_name((enum iot_jwt_check)i),
							   verdict->checks[i].detail));
	return problems;
}

static enum iot_status inspect(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct jwt_args *args = args_;
	IOT_CLEAN(iot_buf_release) struct iot_buf token = IOT_BUF_SECRET(2 * IOT_JWT_MAX);
	IOT_CLEAN(iot_jwt_release) struct iot_jwt jwt = {0};
	const struct iot_jwt_expect expect = {
		.audience = args->audience, .now = iot_now_ms() / 1000, .skew = args->skew / 1000};
	struct iot_jwt_verdict verdict;
	IOT_JSON record = NULL;
	enum iot_status status = read_token(args->token, &token, err);

	if (status == IOT_OK)
		status = iot_jwt_parse(iot_buf_str(&token), token.len, &jwt, err);
	if (status != IOT_OK)
		return status;
	/* Not verified, whatever comes: there is no key. What else is wrong is told. */
	(void)!iot_jwt_verify(iot_buf_str(&token), token.len, &expect, &verdict, NULL);
	record = json_pack("{s:s, s:O, s:O, s:o}", "algorithm", jwt.alg, "header", jwt.header, "claims", jwt.claims,
			   "problems", problems_of(&verdict));
	iot_json_set_str(record, "audience", iot_json_str(jwt.claims, "aud", NULL));
	if (verdict.issued_at != 0)
		iot_json_set_int(record, "issuedAt", verdict.issued_at);
	if (verdict.expires_at != 0)
		iot_json_set_int(record, "expiresAt", verdict.expires_at);
	iot_json_set_bool(record, "verified", false);
	return output_object(ctx->out, inspect_columns, record, err);
}

/* --- the tree ------------------------------------------------------------------------------ */

#define TOKEN                                                                                                          \
	ARG_PATH("TOKEN", struct jwt_args, token, "file with the token, or '-': tokens are credentials",               \
		 .complete = COMPLETE_FILE)
#define SKEW                                                                                                           \
	OPT_DURATION(0, "skew", "TIME", struct jwt_args, skew, "by how much clocks may differ", .max = 3600000,        \
		     .fallback = "10m")

static const struct cli_command cmd_create = {
	.name = "create",
	.summary = "Make a token with a device's private key",
	.description =
		"As Google's IoT Core and its heirs take it as a password: ES256 or RS256 by the kind of key, claims "
		"iat, exp and aud, at most 24 hours. The token is printed; it is good for whoever has it until it "
		"expires.",
	.opts = CLI_OPTS(
		OPT_STR('k', "key", "KEY", struct jwt_args, key, "private key: file or pkcs11: URI", .required = true,
			.complete = COMPLETE_FILE),
		OPT_STR('a', "audience", "PROJECT", struct jwt_args, audience, "the project's id", .required = true),
		OPT_DURATION(0, "lifetime", "TIME", struct jwt_args, lifetime, "how long it is good", .min = 1000,
			     .max = 86400000, .fallback = "1h"),
		OPT_LIST(0, "claim", "NAME=VALUE", struct jwt_args, claims, "another claim: JSON, or text")),
	.examples =
		CLI_EXAMPLES({"jwt create --key pump-0001/private.key --audience factory >token", "good for an hour"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_DENIED),
	CLI_RUN(create, struct jwt_args),
};

static const struct cli_command cmd_inspect = {
	.name = "inspect",
	.summary = "Show what a token says and what is wrong with it",
	.description = "Without a key, so its signature is not checked: but a signature in DER in place of r and s is "
		       "seen, as are padding, a wrong clock, milliseconds, another audience.",
	.args = CLI_ARGS(TOKEN),
	.opts = CLI_OPTS(OPT_STR('a', "audience", "PROJECT", struct jwt_args, audience, "the project's id"), SKEW),
	.examples = CLI_EXAMPLES({"jwt inspect token", "why a device is refused"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	CLI_RUN(inspect, struct jwt_args),
};

static const struct cli_command cmd_verify = {
	.name = "verify",
	.summary = "Check a token, and name each check",
	.args = CLI_ARGS(TOKEN),
	.opts = CLI_OPTS(OPT_STR(0, "device", "DEVICE", struct jwt_args, device, "with its public keys in the registry",
				 .complete = COMPLETE_DEVICE),
			 OPT_LIST('k', "key", "FILE", struct jwt_args, keys, "with this public key or certificate",
				  .complete = COMPLETE_FILE),
			 OPT_STR('a', "audience", "PROJECT", struct jwt_args, audience, "the project's id"), SKEW),
	.examples = CLI_EXAMPLES(
		{"jwt verify token --device pump-0001 --audience factory", "exit code 11 when it is refused"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_VERIFY),
	.needs = COMMAND_NEEDS_CLOUD_LATER,
	CLI_RUN(verify, struct jwt_args),
};

const struct cli_command cmd_jwt = {
	.name = "jwt",
	.summary = "Tokens of devices that were made for JWT clouds",
	.subcommands = CLI_COMMANDS(&cmd_create, &cmd_inspect, &cmd_verify, &cmd_jwt_add_key, &cmd_jwt_keys,
				    &cmd_jwt_remove_key),
};
