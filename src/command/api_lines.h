/* One operation many times (iotctl api --lines). */
#ifndef IOTCTL_COMMAND_API_LINES_H
#define IOTCTL_COMMAND_API_LINES_H

#include "iotctl/cli.h"

/*
 * Carry out an operation for every line of a file: a JSON object each. All lines are checked before the first is sent.
 * Rows {line, result, reply | error, code?} as they are answered. IOT_PARTIAL: some failed.
 */
IOT_CHECK enum iot_status command_api_lines(struct cli_context *ctx, const char *operation, const char *path,
					    struct iot_error *err);

#endif
