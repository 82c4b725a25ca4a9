/* Shared by the files of this folder. */
#ifndef IOTCTL_BOARD_SWD_PRIVATE_H
#define IOTCTL_BOARD_SWD_PRIVATE_H

#include "iotctl/digest.h"
#include "iotctl/swd.h"

enum { SWD_LOCKS_MAX = 8, SWD_COMMANDS_MAX = 16, SWD_VALUES_MAX = 16, SWD_UID_WORDS_MAX = 8 };
enum swd_proof { SWD_PROVES_NOTHING, SWD_REFUSES_WRITE, SWD_REFUSES_READ };

struct swd_region {
	uint32_t address, size;
};
/* A word that the chip itself tells a lock by: (what the command gives & mask) == value. Command NULL: none does. */
struct swd_sign {
	const char *command;
	uint32_t mask, value;
};
/* A place that takes each bit once. Its commands let it be written, whether it refused, and close it. */
struct swd_otp {
	uint32_t address; /* of IOT_SHA256_SIZE bytes; what is erased is all ones */
	int width;        /* bits that are written at once: 8, 16 or 32; 0: the lock has no such place */
	const char *open[SWD_COMMANDS_MAX + 1], *close[SWD_COMMANDS_MAX + 1];
	struct swd_sign refusal;
};
struct swd_lock {
	struct iot_swd_lock public;
	const char *commands[SWD_COMMANDS_MAX + 1];
	const char *restart[SWD_COMMANDS_MAX + 1]; /* what lets a chip run that this lock keeps from being halted */
	struct swd_sign sign;
	struct swd_otp otp;
	enum swd_proof proof;
};

struct iot_swd_target {
	json_t *json;       /* lends all strings */
	const char *config; /* of OpenOCD, "target/stm32f1x.cfg" */
	int bank;
	uint32_t dpidr[SWD_VALUES_MAX], device[SWD_VALUES_MAX];
	size_t dpidr_count, device_count;
	uint32_t device_address, device_mask; /* address 0: no device id */
	uint32_t uid_address;
	int uid_words;
	int write_unit; /* bytes: 2, 4, 8, 16 or 32 */
	struct swd_region partitions[IOT_SWD_PARTITIONS];
	struct swd_lock locks[SWD_LOCKS_MAX];
	size_t lock_count;
};

/* --- one run of OpenOCD (openocd.c) ------------------------------------------------------ */

/*
 * The steps of a run: each a Tcl script that reports by itself. Their results, in order, are what the script returned.
 */
struct swd_run {
	const struct iot_swd_options *options;
	struct iot_buf script; /* Tcl */
	int fds[IOT_SWD_PARTITIONS + 1];
	size_t fd_count, steps;
	json_t *results;  /* array of texts */
	char failed[200]; /* name of the step that failed; "" */
};
void swd_run_init(struct swd_run *run, const struct iot_swd_options *options);
void swd_run_release(struct swd_run *run);
/* Add a step; its name is for messages ("writing the credentials"). */
void swd_step(struct swd_run *run, const char *name, const char *tcl, ...) IOT_PRINTF(3, 4);
/* A memory file that OpenOCD can open as /proc/self/fd/N: *ret_fd stays the run's. */
IOT_CHECK enum iot_status swd_run_file(struct swd_run *run, const void *data, size_t len, int *ret_fd,
				       struct iot_error *err);
/* Carry them out, after "init" and "reset halt". */
IOT_CHECK enum iot_status swd_run(struct swd_run *run, struct iot_error *err);
/* Result of a step that was carried out. */
const char *swd_result(const struct swd_run *run, size_t step);

/* --- what the steps have in common (swd.c) -------------------------------------------------- */

void swd_begin(struct swd_run *run); /* step 0 */
void swd_commands(struct swd_run *run, const char *name, const char *const *commands);
/* A step whose command may fail, as what only some chips tell: the error's text is no number. */
void swd_reading(struct swd_run *run, const char *name, const char *command);
/* *ret_known false: there is no sign, or it could not be read. */
bool swd_sign_is_there(const struct swd_run *run, size_t step, const struct swd_sign *sign, bool *ret_known);
IOT_CHECK enum iot_status swd_does_not_hold(const struct swd_lock *lock, const char *hint, struct iot_error *err);

/* --- one-time places (otp.c) ------------------------------------------------------------------ */

/*
 * Write the hash where it is not yet, put the lock on, and prove that it holds. IOT_VERIFY if something else is there,
 * or it does not.
 */
IOT_CHECK enum iot_status swd_otp_lock(const struct iot_swd_options *options, const struct swd_lock *lock,
				       const uint8_t hash[static IOT_SHA256_SIZE], struct iot_error *err);

#endif
