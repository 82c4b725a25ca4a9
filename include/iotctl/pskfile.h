/*
 * Files of shared secrets: mosquitto's psk_file (mosquitto.conf(5)), a line
 * IDENTITY:HEX each, '#' for remarks; also what gnutls' psktool and others read.
 */
#ifndef IOTCTL_PSKFILE_H
#define IOTCTL_PSKFILE_H

#include "iotctl/cloud.h"

/* Takes one result (borrowed); anything but IOT_OK ends the work and is handed on. */
typedef enum iot_status (*iot_psk_result_fn)(json_t *record, void *data, struct iot_error *err);

/*
 * Take the secrets of a private file ("-": standard input) into the registry, in order: each record {line, identity,
 * thingName, changed, error} goes to `each`. An identity names its device (thing name or alias) unless
 * `device` does for all. purpose "connect" or "attest". IOT_DENIED: others can read the file. IOT_PARTIAL: some lines
 * failed, the others are done; the same file again changes nothing.
 */
IOT_CHECK enum iot_status iot_psk_import(struct iot_cloud *cloud, const char *path, const char *device,
					 const char *purpose, iot_psk_result_fn each, void *data,
					 struct iot_error *err);

enum iot_psk_format { IOT_PSK_MOSQUITTO, IOT_PSK_CSV, IOT_PSK_JSON };
#define IOT_PSK_FILE_MAX (64 * 1024 * 1024)
/*
 * Append the active secrets (of a device or an identity, if not NULL) in a format; `out` must be a secret buffer.
 * IOT_NOT_FOUND if there is none.
 */
IOT_CHECK enum iot_status iot_psk_export(struct iot_cloud *cloud, const char *thing, const char *identity,
					 const char *purpose, enum iot_psk_format format, struct iot_buf *out,
					 int64_t *ret_count, struct iot_error *err);

/* Read a secret from a private file: hex digits, or the bytes themselves. `out` must be a secret buffer. */
IOT_CHECK enum iot_status iot_psk_read(const char *path, struct iot_buf *out, struct iot_error *err);

#endif
