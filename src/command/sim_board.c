/* iotctl sim expresslink, iotctl sim host: a module and a host microcontroller, to develop either against. */
#include "command/commands.h"
#include "command/context.h"
#include "command/sim_events.h"
#include "iotctl/sim.h"

/* --- expresslink ---------------------------------------------------------------------- */

struct module_args {
	const char *link, *state, *spec, *staging, *vendor_ca, *vendor_key, *root_ca, *firmware, *ssid, *wifi_password;
	struct cli_list exec_times, faults;
	int64_t broker_port, baud, seed, exit_after_ms;
	bool auto_accept, pem_prompt;
};

static enum iot_status module(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct module_args *args = args_;
	const struct iot_sim_expresslink_options options = {
		.link = args->link,
		.state = args->state,
		.spec = args->spec,
		.staging = args->staging,
		.broker_port = (int)args->broker_port,
		.baud = (int)args->baud,
		.exec_times = args->exec_times.items,
		.exec_time_count = args->exec_times.count,
		.faults = args->faults.items,
		.fault_count = args->faults.count,
		.seed = (uint64_t)args->seed,
		.vendor_ca = args->vendor_ca,
		.vendor_key = args->vendor_key,
		.root_ca = args->root_ca,
		.firmware = args->firmware,
		.ssid = args->ssid,
		.wifi_password = args->wifi_password,
		.auto_accept = args->auto_accept,
		.pem_prompt = args->pem_prompt,
		.exit_after_ms = args->exit_after_ms,
	};
	sim_event *event = NULL;
	enum iot_status status = sim_events_begin(ctx, &event, err);

	if (status == IOT_OK)
		status = iot_sim_expresslink_run(&options, event, ctx, err);
	return sim_events_end(ctx, status, err);
}

const struct cli_command cmd_sim_expresslink = {
	.name = "expresslink",
	.summary = "Run a software ExpressLink module on a pseudo terminal",
	.description =
		"A module as a host or 'iotctl provision' sees it: every AT command of the programmer's guide but "
		"BLE, its own key and certificate, real MQTT over TLS, messages, events, shadows, and updates of "
		"itself and of the host. Its link is a serial port; its folder is its flash, so a kill is a power "
		"cut.\n\n"
		"Faults of the wire: drop=P, double=P and flip=P lose bytes, repeat them, or turn one of their bits, "
		"each with probability P, both ways; wrong-speed is a line at another rate. Faults of answers: "
		"noise[=P] is garbage in front of them; silence stops in the middle of them, silence-in-pem of those "
		"that hold a certificate; slow=TIME is how late they are. Any of these may be aimed by an appended "
		"@COMMAND, and is then on only while that command is heard and answered, or by @COMMAND#N, and is "
		"then on only the Nth time. A COMMAND is the front of a line without AT+, such as 'CONF "
		"HOTAcertificate'; AT is the bare one.\n\n"
		"Faults of the module: err=COMMAND[#N]:CODE answers a command with this error, reset=COMMAND[#N] "
		"resets instead of answering, once; literal-pem stores the word 'pem' instead of waiting for one; "
		"backoff=TIME refuses to connect so soon after a failure. With the same --seed the same run "
		"misbehaves in the same way; 'AT+DIAG SEED' tells it.\n\n"
		"Updates of the module itself are checked with ota-signer.key of its folder.",
	.opts = CLI_OPTS(
		OPT_PATH(0, "link", "PATH", struct module_args, link, "where its serial port appears", .required = true,
			 .complete = COMPLETE_FILE),
		OPT_PATH(0, "state", "DIR", struct module_args, state, "its flash; by default PATH.state",
			 .complete = COMPLETE_DIR),
		OPT_INT(0, "broker-port", "PORT", struct module_args, broker_port, "port of endpoints that name none",
			.min = 1, .max = 65535, .fallback = "8883"),
		OPT_STR(0, "staging", "HOST:PORT", struct module_args, staging, "the vendor's staging endpoint",
			.fallback = "localhost:8886"),
		OPT_STR(0, "spec", "VERSION", struct module_args, spec, "version of the guide to answer like",
			.choices = CLI_CHOICES("v0.5", "v1.0", "v1.1", "v1.2", "v1.3"), .fallback = "v1.3"),
		OPT_INT(0, "baud", "RATE", struct module_args, baud, "pace bytes as a wire of this rate would",
			.min = 300, .max = 4000000),
		OPT_LIST(0, "exec-time", "[COMMAND=]TIME", struct module_args, exec_times, "how long commands take"),
		OPT_LIST(0, "fault", "FAULT", struct module_args, faults, "misbehave in this way",
			 .choices = CLI_CHOICES("noise", "silence", "silence-in-pem", "wrong-speed", "literal-pem")),
		OPT_INT(0, "seed", "N", struct module_args, seed, "of the faults' dice", .fallback = "1"),
		OPT_PATH(0, "vendor-ca", "FILE", struct module_args, vendor_ca,
			 "CA that issues its birth certificate, at the first start; else it is self-signed",
			 .complete = COMPLETE_FILE),
		OPT_PATH(0, "vendor-key", "FILE", struct module_args, vendor_key, "key of that CA",
			 .complete = COMPLETE_FILE),
		OPT_PATH(0, "root-ca", "FILE", struct module_args, root_ca, "root certificate it is born with",
			 .complete = COMPLETE_FILE),
		OPT_STR(0, "firmware", "X.Y.Z", struct module_args, firmware, "version it is born with",
			.fallback = "1.0.0"),
		OPT_STR(0, "ssid", "NAME", struct module_args, ssid,
			"the only Wi-Fi network in reach; else none is needed"),
		OPT_PATH(0, "wifi-password-file", "FILE", struct module_args, wifi_password,
			 "private file whose first line is that network's password; else it takes any",
			 .complete = COMPLETE_FILE),
		OPT_FLAG(0, "auto-accept", struct module_args, auto_accept,
			 "download host images without the host's permission"),
		OPT_FLAG(0, "pem-prompt", struct module_args, pem_prompt,
			 "say OK before a PEM is pasted and OK COMPLETE after it, as some modules do"),
		OPT_DURATION(0, "exit-after", "TIME", struct module_args, exit_after_ms, "end after this")),
	.examples = CLI_EXAMPLES({"sim expresslink --link ./board0", "a blank module"},
				 {"sim expresslink --link ./board0 --baud 115200 --fault drop=0.001", "on a bad wire"},
				 {"sim expresslink --link ./board0 --fault 'double=0.1@CONF RootCA#1'",
				  "bytes repeated the first time that RootCA is written"}),
	.exits = CLI_EXITS(IOT_CONFLICT),
	CLI_RUN(module, struct module_args),
};

/* --- board ---------------------------------------------------------------------------- */

struct board_args {
	const char *kind, *link, *state, *endpoint, *firmware;
	struct cli_list faults;
	int64_t baud, seed, exit_after_ms;
};

static enum iot_status board(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct board_args *args = args_;
	const struct iot_sim_board_options options = {
		.kind = args->kind,
		.link = args->link,
		.state = args->state,
		.baud = (int)args->baud,
		.faults = args->faults.items,
		.fault_count = args->faults.count,
		.seed = (uint64_t)args->seed,
		.endpoint = args->endpoint,
		.firmware = args->firmware,
		.exit_after_ms = args->exit_after_ms,
	};
	sim_event *event = NULL;
	enum iot_status status = sim_events_begin(ctx, &event, err);

	if (status == IOT_OK)
		status = iot_sim_board_run(&options, event, ctx, err);
	return sim_events_end(ctx, status, err);
}

const struct cli_command cmd_sim_board = {
	.name = "board",
	.summary = "Run a software board of another dialect on a pseudo terminal",
	.description =
		"A board as 'iotctl provision' sees it. freertos is the console of FreeRTOS's reference integration for "
		"STM32U5: it makes its key itself, and keeps what it is given in its folder, which is its flash, so a kill is "
		"a power cut. nrf91 is a Nordic nRF91 modem, whose application connects to --endpoint as nrf-IMEI with what "
		"lies under security tag 16842753. sim7600 is an LTE module that is given its key, and really connects to the "
		"broker.\n\n"
		"Faults of the wire, for any kind: drop=P, double=P and flip=P lose bytes, repeat them, or turn one of their "
		"bits, each with probability P, both ways; wrong-speed is a line at another rate. slow=TIME is how late it "
		"says anything; reset@COMMAND[#N] cuts its power instead of carrying a command out, the Nth time (the first "
		"without N) that a line begins with COMMAND; 'paste' and 'paste-end' are lines of a paste, 'half' and 'data' "
		"the moments when half and all of the data has come that a module asked for. Boards with AT commands also "
		"know noise, silence and slow as 'iotctl sim expresslink' does, error@COMMAND (it is refused), mute and urc "
		"(something unasked for in the middle of an answer); COMMAND is what follows AT+, or AT.\n\n"
		"Faults of freertos, always on or aimed by @COMMAND[#N]: log (log lines in the middle of lines and answers), "
		"fail-commit, fail-key, fail-import@LABEL, no-overwrite@LABEL, trailing-byte@LABEL, and mute (carries a "
		"command out and says nothing).\n\n"
		"Faults of nrf91: echo, ansi (colours around its lines); of %CMNG and %KEYGEN online (the modem goes on the "
		"network by itself), full, voltage; of %CMNG lost (a write is confirmed, but not kept) and turned (a byte of "
		"it turns). Older firmware behaves as such: see --firmware.\n\n"
		"Faults of sim7600: full (no room for a file), short and surplus (it waits for one byte more than it was "
		"told, or takes half), no-network, link-lost (as soon as it is connected); and ways of firmware: "
		"download-word, one-line-list, early-result, no-sni, volatile (settings of TLS are lost with the power).\n\n"
		"zephyr is Zephyr 3.7 with its shell and TLS credentials. Its application has settings ('app set endpoint "
		"HOST', also port, thing, ssid, password, apn, name), and connects from its start on with what is under the "
		"security tags 42 and, for root CAs, 43. Its faults: log, volatile (credentials are in RAM), small-buffer (of "
		"'cred buf'), fail-add, corrupt and mute, aimed as above, no-digest (in 'cred list'), no-banner (it starts without a "
		"word), and no-cred, no-hwinfo, no-kernel, no-reboot (the shell has no such commands).",
	.opts = CLI_OPTS(
		OPT_STR(0, "kind", "KIND", struct board_args, kind, "which board: freertos, nrf91, sim7600 or zephyr",
			.choices = CLI_CHOICES("freertos", "nrf91", "sim7600", "zephyr"), .required = true),
		OPT_PATH(0, "link", "PATH", struct board_args, link, "where its serial port appears", .required = true,
			 .complete = COMPLETE_FILE),
		OPT_PATH(0, "state", "DIR", struct board_args, state, "its flash; by default PATH.state",
			 .complete = COMPLETE_DIR),
		OPT_INT(0, "baud", "RATE", struct board_args, baud, "pace bytes as a wire of this rate would",
			.min = 300, .max = 4000000),
		OPT_LIST(0, "fault", "FAULT", struct board_args, faults, "misbehave in this way",
			 .choices = CLI_CHOICES("log", "wrong-speed", "no-overwrite", "fail-commit", "fail-key")),
		OPT_INT(0, "seed", "N", struct board_args, seed, "of the faults' dice", .fallback = "1"),
		OPT_STR(0, "endpoint", "HOST:PORT", struct board_args, endpoint,
			"where the application of nrf91 connects; else nowhere"),
		OPT_STR(0, "firmware", "VERSION", struct board_args, firmware,
			"of the modem of nrf91, such as mfw_nrf91x1_2.0.1"),
		OPT_DURATION(0, "exit-after", "TIME", struct board_args, exit_after_ms, "end after this")),
	.examples = CLI_EXAMPLES({"sim board --kind freertos --link ./board1", "a blank board"},
				 {"sim board --kind freertos --link ./board1 --baud 115200 --fault log --fault drop=0.001",
				  "one that talks too much, on a bad wire"},
				 {"sim board --kind nrf91 --link ./board2 --endpoint localhost:8883",
				  "a modem whose application connects to this machine"},
				 {"sim board --kind zephyr --link ./board3 --fault volatile",
				  "one that forgets all that it is given"}),
	.exits = CLI_EXITS(IOT_CONFLICT),
	CLI_RUN(board, struct board_args),
};

/* --- host ------------------------------------------------------------------------------- */

struct host_args {
	const char *port, *dir, *image, *certificate, *topic;
	int64_t interval_ms, read_size, watchdog_ms, exit_after_ms;
	bool factory_boot, once;
};

static enum iot_status host(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct host_args *args = args_;
	const struct iot_sim_host_options options = {
		.port = args->port,
		.dir = args->dir,
		.image = args->image,
		.certificate = args->certificate,
		.topic = args->topic,
		.interval_ms = args->interval_ms,
		.read_size = (int)args->read_size,
		.watchdog_ms = args->watchdog_ms,
		.factory_boot = args->factory_boot,
		.once = args->once,
		.exit_after_ms = args->exit_after_ms,
	};
	sim_event *event = NULL;
	enum iot_status status = sim_events_begin(ctx, &event, err);

	if (status == IOT_OK)
		status = iot_sim_host_run(&options, event, ctx, err);
	return sim_events_end(ctx, status, err);
}

const struct cli_command cmd_sim_host = {
	.name = "host",
	.summary = "Run a software host microcontroller behind an ExpressLink module",
	.description =
		"It knows the network only through AT commands: connects, sends telemetry to TOPIC/telemetry, hears "
		"TOPIC/command and TOPIC/config, and updates itself through the module: it fetches an image, checks "
		"it with its own certificate, tests it in its other slot, and tells the module how that went. Its "
		"folder is its flash, so a kill is a power cut.",
	.opts = CLI_OPTS(OPT_PATH(0, "port", "PORT", struct host_args, port, "the module's serial port",
				  .required = true, .complete = COMPLETE_PORT),
			 OPT_PATH(0, "state", "DIR", struct host_args, dir, "its flash; by default PORT.host",
				  .complete = COMPLETE_DIR),
			 OPT_PATH(0, "image", "FILE", struct host_args, image,
				  "firmware of the factory slot, for the first start", .complete = COMPLETE_FILE),
			 OPT_PATH(0, "certificate", "FILE", struct host_args, certificate,
				  "certificate or public key that images must be signed with",
				  .complete = COMPLETE_FILE),
			 OPT_STR(0, "topic", "TOPIC", struct host_args, topic,
				 "front of its topics, {name} is the thing name", .fallback = "{name}"),
			 OPT_DURATION(0, "interval", "TIME", struct host_args, interval_ms,
				      "between telemetry messages", .min = 10, .max = 86400000, .fallback = "10s"),
			 OPT_INT(0, "read-size", "BYTES", struct host_args, read_size,
				 "bytes of an image asked for at once", .min = 1, .max = 4096, .fallback = "1024"),
			 OPT_DURATION(0, "watchdog", "TIME", struct host_args, watchdog_ms,
				      "an image that hangs is reset", .min = 10, .max = 3600000, .fallback = "2s"),
			 OPT_DURATION(0, "exit-after", "TIME", struct host_args, exit_after_ms, "end after this"),
			 OPT_FLAG(0, "once", struct host_args, once, "end when an update has been reported"),
			 OPT_FLAG(0, "factory-boot", struct host_args, factory_boot,
				  "forget both update slots and boot the factory image")),
	.examples = CLI_EXAMPLES({"sim host --port ./board0 --image pump-1.0.0.bin", "telemetry, until Ctrl-C"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_BOARD, IOT_VERIFY),
	CLI_RUN(host, struct host_args),
};
