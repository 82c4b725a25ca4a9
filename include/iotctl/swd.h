/*
 * A microcontroller on a debug probe, reached through OpenOCD, which runs as a
 * child process, once for each function here. What OpenOCD says counts only if
 * every step reported success and its exit status is 0; ids are compared here,
 * because OpenOCD does not.
 *
 * Faults: IOT_BOARD probe, target or OpenOCD itself; IOT_VERIFY the chip is
 * another one, or holds something else than was written, or a lock that does not
 * hold; IOT_TIMEOUT; IOT_INTERRUPTED. All functions block for up to a minute.
 */
#ifndef IOTCTL_SWD_H
#define IOTCTL_SWD_H

#include "iotctl/buf.h"
#include "iotctl/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * What is to be known of a kind of board, from a description (JSON, iotctl-swd(7)). Holds what it needs of the
 * JSON value.
 */
struct iot_swd_target;
/* IOT_USAGE naming the member that is missing, unknown or wrong. */
IOT_CHECK enum iot_status iot_swd_target_parse(const json_t *description, struct iot_swd_target **ret,
					       struct iot_error *err);
void iot_swd_target_free(struct iot_swd_target *target);
void iot_swd_target_free_p(struct iot_swd_target **target); /* for IOT_CLEAN */

enum iot_swd_partition { IOT_SWD_CREDENTIALS, IOT_SWD_CODESIGN, IOT_SWD_PARTITIONS };
/* Bytes of a partition. */
size_t iot_swd_partition_size(const struct iot_swd_target *target, enum iot_swd_partition partition);

/* The locks of the description, in its order. */
struct iot_swd_lock {
	const char *name;
	bool permanent;   /* nothing takes it off again */
	bool optional;    /* put on only when asked for by name */
	bool seals;       /* what the chip holds cannot be read any more */
	bool keyed;       /* holds the hash of the code-signing key in a place that can be written once */
	const char *undo; /* command of OpenOCD that takes it off, for people; NULL: not known */
};
size_t iot_swd_lock_count(const struct iot_swd_target *target);
struct iot_swd_lock iot_swd_lock_at(const struct iot_swd_target *target, size_t index);

/* The serial port in a probe's name ("buspirate:/dev/ttyUSB0"), borrowed; NULL: it is not reached by one. */
const char *iot_swd_probe_port(const char *probe);

struct iot_swd_options {
	const struct iot_swd_target *target;
	const char *probe;   /* "NAME", "NAME:PORT" (buspirate) or "NAME:SERIAL": interface/NAME.cfg of OpenOCD */
	const char *program; /* NULL: "openocd" in PATH */
	const char *log;     /* file to which all that OpenOCD says is appended; NULL: none */
	int timeout_ms;      /* of one run; 0: 60 s */
};

struct iot_swd_identity {
	uint32_t dpidr, cpuid, device;
	char uid[65];     /* hex, as the words come, lower case; "": a sealed chip does not tell it */
	char version[33]; /* of OpenOCD */
	bool asked;       /* OpenOCD came as far as the chip */
};
/*
 * Who is there: halts the core, and lets it run again. IOT_VERIFY if an id is not one of the description's. `asked` is
 * set also when it fails.
 */
IOT_CHECK enum iot_status iot_swd_identify(const struct iot_swd_options *options, struct iot_swd_identity *ret,
					   struct iot_error *err);

/*
 * After a chip refused to be halted or read: is it sealed? That is, does its debug port answer, does the chip itself
 * say that a lock of the description is on that refuses reading (its "sign"), and is reading refused? *ret_lock: which.
 * What can still be read of who it is goes to *ret: the device id and the unique id need not be among it. IOT_VERIFY:
 * it is none of these, or an id that can be read is another board's.
 */
IOT_CHECK enum iot_status iot_swd_sealed(const struct iot_swd_options *options, struct iot_swd_identity *ret,
					 size_t *ret_lock, struct iot_error *err);

/* Append what each partition holds, and let the core run again; NULL: not this one. The buffers should be secret ones.
 */
IOT_CHECK enum iot_status iot_swd_read(const struct iot_swd_options *options,
				       struct iot_buf *const out[static IOT_SWD_PARTITIONS], struct iot_error *err);

/* Bytes for a partition; NULL data leaves it alone. */
struct iot_swd_image {
	const void *data;
	size_t len;
};
/*
 * Erase, write, read back and compare. Leaves the core halted, so that no half-programmed board runs. The bytes reach
 * OpenOCD through memory only.
 */
IOT_CHECK enum iot_status iot_swd_write(const struct iot_swd_options *options,
					const struct iot_swd_image images[static IOT_SWD_PARTITIONS],
					struct iot_error *err);

/*
 * Put one lock on, reset, and prove that it holds: that a write (or a read) is refused, by a chip that still answers. A
 * permanent one needs `permanent`, IOT_DENIED without. IOT_VERIFY if it does not hold. *ret_proved: false where the
 * description knows of nothing that the lock refuses. `key_hash`: SHA-256 of the code-signing public key
 * (SubjectPublicKeyInfo, DER), for a lock that is keyed; it is written before, where it is not there yet, and
 * IOT_VERIFY also tells that something else is.
 */
IOT_CHECK enum iot_status iot_swd_lock(const struct iot_swd_options *options, size_t index, bool permanent,
				       const uint8_t *key_hash, bool *ret_proved, struct iot_error *err);

/*
 * Of a sealed chip, which cannot be written any more: is this lock on? IOT_VERIFY if the chip says that it is not, or
 * does what it should refuse. *ret_proved: false where only its word, or not even that, was to be had.
 */
IOT_CHECK enum iot_status iot_swd_check_lock(const struct iot_swd_options *options, size_t index, bool *ret_proved,
					     struct iot_error *err);
/* Reset a chip that this lock seals, and let it run: it may neither be halted nor asked. */
IOT_CHECK enum iot_status iot_swd_run_sealed(const struct iot_swd_options *options, size_t index,
					     struct iot_error *err);

/* Reset, and let it run. */
IOT_CHECK enum iot_status iot_swd_run(const struct iot_swd_options *options, struct iot_error *err);

#endif
