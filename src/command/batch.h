/* The same for every device that a file lists (--from). */
#ifndef IOTCTL_COMMAND_BATCH_H
#define IOTCTL_COMMAND_BATCH_H

#include "iotctl/cli.h"
#include "iotctl/fleet.h"

struct batch_args {
	const char *from, *resume;
	int64_t max_failures;
	bool retry_failed;
};

/* Options for a command whose arguments T have a struct batch_args in member f; `does` says what comes of the file. */
#define BATCH_OPTIONS(T, f, does)                                                                                      \
	OPT_PATH(0, "from", "FILE", T, f.from, does, .complete = COMPLETE_FILE),                                       \
		OPT_PATH(0, "resume", "FILE", T, f.resume, "with --from: journal of the rows that had their result",   \
			 .complete = COMPLETE_FILE),                                                                   \
		OPT_FLAG(0, "retry-failed", T, f.retry_failed, "with --resume: try those again that failed"),          \
		OPT_INT(0, "max-failures", "N", T, f.max_failures,                                                     \
			"with --from: end when so many have failed (exit code 7)", .min = 1, .max = 1000000)

#define BATCH_EXITS IOT_PARTIAL, IOT_ABORTED, IOT_INTERRUPTED

/* Either one device or a file of them. IOT_USAGE */
IOT_CHECK enum iot_status command_batch_check(const struct batch_args *args, const char *device, struct iot_error *err);
/* A line for each row as soon as it has its result. `out`: as of struct iot_device_batch. */
IOT_CHECK enum iot_status command_batch(struct cli_context *ctx, const struct batch_args *args,
					enum iot_batch_kind kind, const struct iot_device_spec *defaults,
					const char *out, struct iot_error *err);

#endif
