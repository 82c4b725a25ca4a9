/* iotctl sim psk-device: a device with symmetric cryptography only, behind a gateway. */
#include "command/commands.h"
#include "command/context.h"
#include "command/sim_events.h"
#include "iotctl/fs.h"
#include "iotctl/gateway.h"
#include "iotctl/key.h"
#include "iotctl/sim.h"
#include "iotctl/text.h"

#include <string.h>

struct psk_args {
	const char *host, *key, *attest_key, *suites, *fault;
	int64_t port, count, interval_ms, exit_after_ms;
};

enum { FILE_MAX = 4096, KEY_MAX = 64 };

struct secret {
	char *identity;
	uint8_t key[KEY_MAX];
	size_t len;
};

static void secret_release(struct secret *secret)
{
	free(secret->identity);
	iot_wipe(secret, sizeof(*secret));
}

/* A line IDENTITY:HEX, as 'psk create --out' writes it. */
static enum iot_status read_secret(const char *path, struct secret *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_SECRET(FILE_MAX);
	enum iot_status status = iot_fs_check_private(path, err);
	const char *colon;
	size_t digits;

	if (status == IOT_OK)
		status = iot_fs_read(path, &text, err);
	if (status != IOT_OK)
		return status;
	colon = strchr(iot_buf_str(&text), ':');
	digits = colon != NULL ? strcspn(colon + 1, "\r\n") : 0;
	if (digits == 0 || digits % 2 != 0 || digits / 2 > KEY_MAX) {
		iot_fail(err, IOT_USAGE, "'%s' has no line IDENTITY:HEX", path);
		iot_error_hint(err, "'iotctl psk create DEVICE --out FILE' writes one");
		return IOT_USAGE;
	}
	text.data[(size_t)(colon - text.data) + 1 + digits] = '\0';
	if (!iot_unhex(colon + 1, ret->key, digits / 2))
		return iot_fail(err, IOT_USAGE, "the secret in '%s' is not in hex", path);
	ret->len = digits / 2;
	ret->identity = iot_strndup(text.data, (size_t)(colon - text.data));
	return IOT_OK;
}

/* A private key in PEM, or a secret that it shares. */
static enum iot_status read_attestation_key(const char *path, struct secret *ret_secret, struct iot_key **ret_key,
					    struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_SECRET(FILE_MAX);
	enum iot_status status = iot_fs_read(path, &text, err);

	if (status != IOT_OK)
		return status;
	if (iot_starts_with(iot_buf_str(&text), "-----BEGIN "))
		return iot_key_load(path, NULL, ret_key, err);
	return read_secret(path, ret_secret, err);
}

static enum iot_status psk_device(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct psk_args *args = args_;
	IOT_CLEAN(secret_release) struct secret key = {0};
	IOT_CLEAN(secret_release) struct secret attest = {0};
	sim_event *event = NULL;
	struct iot_sim_psk_options options = {.host = args->host,
					      .port = (int)args->port,
					      .suites = args->suites,
					      .count = args->count,
					      .interval_ms = args->interval_ms,
					      .exit_after_ms = args->exit_after_ms,
					      .fault = args->fault,
					      .interrupt_fd = cli_interrupt_fd()};
	IOT_CLEAN(iot_key_free_p) struct iot_key *private = NULL;
	enum iot_status status = read_secret(args->key, &key, err);

	if (status == IOT_OK)
		status = read_attestation_key(args->attest_key, &attest, &private, err);
	if (status == IOT_OK)
		status = sim_events_begin(ctx, &event, err);
	if (status != IOT_OK)
		return status;
	options.identity = key.identity;
	options.key = key.key;
	options.key_len = key.len;
	options.attest_key = attest.key;
	options.attest_key_len = attest.len;
	options.attest_private = private;
	status = iot_sim_psk_run(&options, event, ctx, err);
	return sim_events_end(ctx, status, err);
}

const struct cli_command cmd_sim_psk = {
	.name = "psk-device",
	.summary = "Run a small device behind a gateway",
	.description =
		"A Profile Small device: TLS with a pre-shared key, by default with PSK-AES128-CCM, an attestation "
		"token for the gateway's challenge, then its state and a measurement every interval. It takes "
		"configurations and answers commands. What is not acknowledged it says again.\n\n"
		"Faults: bad-key; bad-token (wrong MAC); wrong-nonce; replay (of the token of the connection before); "
		"lifecycle (a debugged device); other-device (another's instance id); huge (a message of 4 GB); "
		"garbage; early-data (before it is accepted); silent; slow (the token byte by byte, one per "
		"interval).\n\n"
		"Exit code 5 when the gateway does not know its key, 11 when it refuses the token.",
	.opts = CLI_OPTS(
		OPT_STR(0, "host", "HOST", struct psk_args, host, "the gateway", .fallback = "127.0.0.1"),
		OPT_INT(0, "port", "PORT", struct psk_args, port, "its port", .min = 1, .max = 65535,
			.fallback = "8887"),
		OPT_PATH('k', "key", "FILE", struct psk_args, key, "its secret, as 'psk create --out' writes it",
			 .required = true, .complete = COMPLETE_FILE),
		OPT_PATH(0, "attestation-key", "FILE", struct psk_args, attest_key,
			 "the key of its tokens, likewise, or a private key in PEM", .required = true,
			 .complete = COMPLETE_FILE),
		OPT_STR(0, "suites", "LIST", struct psk_args, suites, "TLS suites, in OpenSSL's words",
			.fallback = "PSK-AES128-CCM"),
		OPT_INT('n', "count", "N", struct psk_args, count, "end after so many measurements; 0: only listen",
			.min = 0, .max = 1000000000, .fallback = "0"),
		OPT_DURATION(0, "interval", "TIME", struct psk_args, interval_ms, "between measurements", .min = 0,
			     .max = 86400000, .fallback = "1s"),
		OPT_DURATION(0, "exit-after", "TIME", struct psk_args, exit_after_ms, "end after this"),
		OPT_STR(0, "fault", "FAULT", struct psk_args, fault, "misbehave in this way",
			.choices = CLI_CHOICES("bad-key", "bad-token", "wrong-nonce", "replay", "lifecycle",
					       "other-device", "huge", "garbage", "early-data", "silent", "slow"))),
	.examples = CLI_EXAMPLES(
		{"sim psk-device --key sensor-1.psk --attestation-key sensor-1.iak -n 10", "ten measurements"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_DENIED, IOT_TIMEOUT, IOT_AGAIN, IOT_VERIFY),
	CLI_RUN(psk_device, struct psk_args),
};
