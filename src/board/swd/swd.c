/*
 * The steps over SWD: identify, read, write and compare, lock and prove, run.
 * Each is one run of OpenOCD; nothing of its word is taken without a step of
 * its own that shows it.
 */
#include "board/swd/swd_private.h"

#include "iotctl/base.h"
#include "iotctl/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CPUID_ADDRESS "0xe000ed00"
#define COMPARING "comparing what was written"
#define TRYING "trying the lock"

static const char *const names[IOT_SWD_PARTITIONS] = {"the credentials", "the code-signing key"};

void swd_begin(struct swd_run *run)
{
	swd_step(run, "connecting", "init; reset halt");
}

/* A sealed chip may not let itself be halted, nor examined; its debug port answers all the same. */
static void begin_sealed(struct swd_run *run)
{
	swd_step(run, "connecting", "catch {init}");
}

void swd_commands(struct swd_run *run, const char *name, const char *const *commands)
{
	for (; *commands != NULL; commands++)
		swd_step(run, name, "%s", *commands);
}

/* --- who is there --------------------------------------------------------------------------- */

static bool is_one_of(uint32_t value, const uint32_t *values, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (values[i] == value)
			return true;
	return false;
}

static enum iot_status number(const struct swd_run *run, size_t step, uint32_t *ret, struct iot_error *err)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(swd_result(run, step), &end, 0);
	if (errno != 0 || end == swd_result(run, step) || value > UINT32_MAX)
		return iot_fail(err, IOT_BOARD, "openocd gave '%s' where a number should be", swd_result(run, step));
	*ret = (uint32_t)value;
	return IOT_OK;
}

static enum iot_status check_dpidr(const struct iot_swd_target *target, uint32_t dpidr, struct iot_error *err)
{
	if (is_one_of(dpidr, target->dpidr, target->dpidr_count))
		return IOT_OK;
	return iot_fail(err, IOT_VERIFY, "the target's debug port has id 0x%08x, which is not that of this board",
			dpidr);
}

static enum iot_status check_device(const struct iot_swd_target *target, uint32_t device, struct iot_error *err)
{
	if (target->device_count == 0 || is_one_of(device & target->device_mask, target->device, target->device_count))
		return IOT_OK;
	return iot_fail(err, IOT_VERIFY, "the chip has device id 0x%x, which is not that of this board",
			device & target->device_mask);
}

/* "0x12 0x34 ..." as hex digits of whole words. */
static enum iot_status take_uid(const char *text, int words, char *out, struct iot_error *err)
{
	const char *at = text;

	for (int i = 0; i < words; i++) {
		char *end;
		unsigned long word = strtoul(at, &end, 0);

		if (end == at || word > UINT32_MAX)
			return iot_fail(err, IOT_BOARD, "openocd gave '%.80s' where the unique id should be", text);
		snprintf(out + 8 * i, 9, "%08lx", word);
		at = end;
	}
	return IOT_OK;
}

enum iot_status iot_swd_identify(const struct iot_swd_options *options, struct iot_swd_identity *ret,
				 struct iot_error *err)
{
	const struct iot_swd_target *target = options->target;
	struct iot_swd_identity identity = {0};
	struct swd_run run;
	enum iot_status status;

	swd_run_init(&run, options);
	swd_begin(&run);
	swd_step(&run, "asking for its version", "version");
	swd_step(&run, "reading the debug port's id", "[lindex [dap names] 0] dpreg 0");
	swd_step(&run, "reading the processor's id", "read_memory " CPUID_ADDRESS " 32 1");
	/* Another chip need not have anything there; which it is has been told by then. */
	swd_step(&run, "reading the unique id", "catch {read_memory 0x%x 32 %d} iot_read; set iot_read",
		 target->uid_address, target->uid_words);
	swd_step(&run, "reading the device id", "catch {read_memory 0x%x 32 1} iot_read; set iot_read",
		 target->device_count > 0 ? target->device_address : target->uid_address);
	swd_step(&run, "letting it run", "reset run");
	status = swd_run(&run, err);
	ret->asked = identity.asked = status == IOT_OK || *run.failed != '\0';
	if (status == IOT_OK)
		status = number(&run, 2, &identity.dpidr, err);
	if (status == IOT_OK)
		status = check_dpidr(target, identity.dpidr, err);
	if (status == IOT_OK)
		status = number(&run, 3, &identity.cpuid, err);
	if (status == IOT_OK)
		status = number(&run, 5, &identity.device, err);
	if (status == IOT_OK)
		status = check_device(target, identity.device, err);
	if (status == IOT_OK)
		status = take_uid(swd_result(&run, 4), target->uid_words, identity.uid, err);
	if (status == IOT_OK) {
		snprintf(identity.version, sizeof(identity.version), "%s", swd_result(&run, 1));
		*ret = identity;
	}
	swd_run_release(&run);
	return status;
}

/* --- reading and writing ------------------------------------------------------------------- */

static enum iot_status take_file(int fd, size_t len, struct iot_buf *out, struct iot_error *err)
{
	char *to = iot_buf_reserve(out, len);
	size_t done = 0;

	while (to != NULL && done < len) {
		ssize_t n = pread(fd, to + done, len - done, (off_t)done);

		if (n == 0 || (n < 0 && errno != EINTR))
			return iot_fail(err, IOT_BOARD, "openocd read less than it was asked for");
		done += n > 0 ? (size_t)n : 0;
	}
	if (to != NULL) {
		out->len += len;
		out->data[out->len] = '\0';
	}
	return iot_buf_check(out, "region of flash", err);
}

enum iot_status iot_swd_read(const struct iot_swd_options *options,
			     struct iot_buf *const out[static IOT_SWD_PARTITIONS], struct iot_error *err)
{
	const struct swd_region *region = options->target->partitions;
	int fds[IOT_SWD_PARTITIONS];
	struct swd_run run;
	enum iot_status status = IOT_OK;

	swd_run_init(&run, options);
	swd_begin(&run);
	for (int i = 0; status == IOT_OK && i < IOT_SWD_PARTITIONS; i++) {
		if (out[i] == NULL)
			continue;
		status = swd_run_file(&run, NULL, 0, &fds[i], err);
		if (status == IOT_OK)
			swd_step(&run, "reading flash", "dump_image /proc/self/fd/%d 0x%x %u", fds[i],
				 region[i].address, region[i].size);
	}
	swd_step(&run, "letting it run", "reset run");
	if (status == IOT_OK)
		status = swd_run(&run, err);
	for (int i = 0; status == IOT_OK && i < IOT_SWD_PARTITIONS; i++)
		if (out[i] != NULL)
			status = take_file(fds[i], region[i].size, out[i], err);
	swd_run_release(&run);
	return status;
}

/* Pad to the flash's write unit: OpenOCD would do so with bytes of its choice, which then do not compare. */
static enum iot_status add_image(struct swd_run *run, int partition, const struct iot_swd_image *image,
				 struct iot_error *err)
{
	const struct iot_swd_target *target = run->options->target;
	const struct swd_region *region = &target->partitions[partition];
	struct iot_buf padded = IOT_BUF_INIT(region->size);
	int fd = -1;
	enum iot_status status;

	padded.secret = true;
	iot_buf_add(&padded, image->data, image->len);
	while (padded.len % (size_t)target->write_unit != 0 && !padded.over)
		iot_buf_addc(&padded, (char)0xff);
	/* The last unit stays erased: a lock is proved by trying to write it. */
	if (padded.over || padded.len > region->size - (size_t)target->write_unit) {
		iot_buf_release(&padded);
		return iot_fail(err, IOT_USAGE, "%s need %zu bytes, and the board has %u for them", names[partition],
				image->len, region->size - (unsigned)target->write_unit);
	}
	status = swd_run_file(run, padded.data, padded.len, &fd, err);
	swd_step(run, partition == IOT_SWD_CREDENTIALS ? "writing the credentials" : "writing the code-signing key",
		 "flash write_image erase /proc/self/fd/%d 0x%x bin", fd, region->address);
	swd_step(run, COMPARING, "verify_image /proc/self/fd/%d 0x%x bin", fd, region->address);
	iot_buf_release(&padded);
	return status;
}

enum iot_status iot_swd_write(const struct iot_swd_options *options,
			      const struct iot_swd_image images[static IOT_SWD_PARTITIONS], struct iot_error *err)
{
	struct swd_run run;
	enum iot_status status = IOT_OK;

	swd_run_init(&run, options);
	swd_begin(&run);
	for (int i = 0; status == IOT_OK && i < IOT_SWD_PARTITIONS; i++)
		if (images[i].data != NULL)
			status = add_image(&run, i, &images[i], err);
	if (status == IOT_OK)
		status = swd_run(&run, err);
	if (status == IOT_BOARD && strcmp(run.failed, COMPARING) == 0)
		status = iot_fail(err, IOT_VERIFY, "the flash does not hold what was written: it is worn or damaged");
	swd_run_release(&run);
	return status;
}

/* --- sealed chips ----------------------------------------------------------------------------- */

void swd_reading(struct swd_run *run, const char *name, const char *command)
{
	swd_step(run, name, "catch {%s} iot_read; set iot_read", command);
}

static void add_ids(struct swd_run *run)
{
	const struct iot_swd_target *target = run->options->target;
	IOT_CLEAN(iot_free_p) char *uid = iot_strf("read_memory 0x%x 32 %d", target->uid_address, target->uid_words);
	IOT_CLEAN(iot_free_p) char *device = iot_strf("read_memory 0x%x 32 1", target->device_address);

	swd_step(run, "asking for its version", "version");
	swd_step(run, "reading the debug port's id", "[lindex [dap names] 0] dpreg 0");
	swd_reading(run, "reading the processor's id", "read_memory " CPUID_ADDRESS " 32 1");
	swd_reading(run, "reading the unique id", uid);
	swd_reading(run, "reading the device id", target->device_count > 0 ? device : "set iot_none {}");
}

static enum iot_status take_ids(const struct swd_run *run, struct iot_swd_identity *ret, struct iot_error *err)
{
	const struct iot_swd_target *target = run->options->target;
	struct iot_error untold = IOT_ERROR_INIT;
	enum iot_status status = number(run, 2, &ret->dpidr, err);

	if (status == IOT_OK)
		status = check_dpidr(target, ret->dpidr, err);
	if (status == IOT_OK && number(run, 5, &ret->device, &untold) == IOT_OK)
		status = check_device(target, ret->device, err);
	if (status != IOT_OK)
		return status;
	if (number(run, 3, &ret->cpuid, &untold) != IOT_OK)
		ret->cpuid = 0;
	if (take_uid(swd_result(run, 4), target->uid_words, ret->uid, &untold) != IOT_OK)
		ret->uid[0] = '\0';
	snprintf(ret->version, sizeof(ret->version), "%s", swd_result(run, 1));
	return IOT_OK;
}

bool swd_sign_is_there(const struct swd_run *run, size_t step, const struct swd_sign *sign, bool *ret_known)
{
	struct iot_error untold = IOT_ERROR_INIT;
	uint32_t word = 0;

	*ret_known = sign->command != NULL && number(run, step, &word, &untold) == IOT_OK;
	return *ret_known && (word & sign->mask) == sign->value;
}

static void add_refusal(struct swd_run *run)
{
	swd_step(run, TRYING, "expr {[catch {read_memory 0x%x 32 1}] ? {refused} : {allowed}}",
		 run->options->target->partitions[IOT_SWD_CODESIGN].address);
}

/* The signs are what comes after `first`, one for each lock that has one and seals. */
static bool find_seal(const struct swd_run *run, size_t first, size_t *ret_lock)
{
	const struct iot_swd_target *target = run->options->target;
	bool known;

	for (size_t i = 0, step = first; i < target->lock_count; i++) {
		const struct swd_lock *lock = &target->locks[i];

		if (!lock->public.seals || lock->sign.command == NULL)
			continue;
		if (swd_sign_is_there(run, step++, &lock->sign, &known)) {
			*ret_lock = i;
			return true;
		}
	}
	return false;
}

enum iot_status iot_swd_sealed(const struct iot_swd_options *options, struct iot_swd_identity *ret, size_t *ret_lock,
			       struct iot_error *err)
{
	const struct iot_swd_target *target = options->target;
	struct iot_swd_identity identity = {0};
	struct swd_run run;
	size_t first;
	enum iot_status status;

	swd_run_init(&run, options);
	begin_sealed(&run);
	add_ids(&run);
	first = run.steps;
	for (size_t i = 0; i < target->lock_count; i++)
		if (target->locks[i].public.seals && target->locks[i].sign.command != NULL)
			swd_reading(&run, "looking for a lock", target->locks[i].sign.command);
	add_refusal(&run);
	swd_step(&run, "seeing who was asked", "[lindex [dap names] 0] dpreg 0");
	status = swd_run(&run, err);
	if (status == IOT_OK)
		status = take_ids(&run, &identity, err);
	if (status == IOT_OK &&
	    (!find_seal(&run, first, ret_lock) || strcmp(swd_result(&run, run.steps - 2), "refused") != 0))
		status = iot_fail(err, IOT_VERIFY, "the chip is not sealed");
	if (status == IOT_OK)
		*ret = identity;
	swd_run_release(&run);
	return status;
}

enum iot_status iot_swd_run_sealed(const struct iot_swd_options *options, size_t index, struct iot_error *err)
{
	static const char *const usual[] = {"reset run", NULL};
	const char *const *commands = options->target->locks[index].restart;
	struct swd_run run;
	enum iot_status status;

	swd_run_init(&run, options);
	begin_sealed(&run);
	swd_commands(&run, "letting it run", commands[0] != NULL ? commands : usual);
	status = swd_run(&run, err);
	swd_run_release(&run);
	return status;
}

/* --- locks ------------------------------------------------------------------------------------ */

/*
 * Try what the lock should refuse, at a place that stays erased: a write that succeeds by mistake harms nothing. The
 * step's result is "refused" or "allowed". A probe that fell off refuses everything, too: so what was not to change is
 * read back, and where nothing can be read any more, the debug port still has to say who it is.
 */
static void add_proof(struct swd_run *run, const struct swd_lock *lock)
{
	const struct iot_swd_target *target = run->options->target;
	const struct swd_region *region = &target->partitions[IOT_SWD_CODESIGN];
	uint32_t last = region->address + region->size - (uint32_t)target->write_unit;
	int bits = target->write_unit == 2 ? 16 : 32;

	if (lock->proof == SWD_REFUSES_READ)
		add_refusal(run);
	else if (lock->proof == SWD_REFUSES_WRITE)
		swd_step(
			run, TRYING,
			"set iot_before [read_memory 0x%x %d 1]; set iot_failed [catch {flash fill%c 0x%x 0 1}]; "
			"set iot_after [read_memory 0x%x %d 1]; "
			"expr {$iot_before == $iot_after && ($iot_failed || $iot_before != 0) ? {refused} : {allowed}}",
			last, bits, bits == 16 ? 'h' : 'w', last, last, bits);
	else
		swd_step(run, TRYING, "set iot_unproved unproved");
	swd_step(run, "seeing who was tried", "[lindex [dap names] 0] dpreg 0");
}

/* One run: "reset halt" first, as always, then the commands, a reset, the proof. *ret_result: of the proof. */
static enum iot_status put_on(const struct iot_swd_options *options, const struct swd_lock *lock, char *result,
			      size_t size, struct iot_error *err)
{
	struct swd_run run;
	uint32_t dpidr = 0;
	enum iot_status status;

	swd_run_init(&run, options);
	swd_begin(&run);
	swd_step(&run, "looking at the flash", "flash probe %d", options->target->bank);
	swd_commands(&run, "locking", lock->commands);
	/* A chip that refuses reading may refuse to be halted with it. */
	swd_step(&run, "resetting", lock->proof == SWD_REFUSES_READ ? "catch {reset halt}" : "reset halt");
	add_proof(&run, lock);
	status = swd_run(&run, err);
	if (status == IOT_OK)
		status = number(&run, run.steps - 1, &dpidr, err);
	if (status == IOT_OK)
		status = check_dpidr(options->target, dpidr, err);
	if (status == IOT_OK)
		snprintf(result, size, "%s", swd_result(&run, run.steps - 2));
	swd_run_release(&run);
	return status;
}

enum iot_status swd_does_not_hold(const struct swd_lock *lock, const char *hint, struct iot_error *err)
{
	iot_fail(err, IOT_VERIFY, "lock '%s' does not hold", lock->public.name);
	iot_error_hint(err, "%s", hint);
	return IOT_VERIFY;
}

enum iot_status iot_swd_lock(const struct iot_swd_options *options, size_t index, bool permanent,
			     const uint8_t *key_hash, bool *ret_proved, struct iot_error *err)
{
	const struct swd_lock *lock = &options->target->locks[index];
	char result[16] = "";
	enum iot_status status;

	if (lock->public.permanent && !permanent) {
		iot_fail(err, IOT_DENIED, "lock '%s' is permanent", lock->public.name);
		iot_error_hint(err, "nothing takes it off again: --lock=permanent puts it on all the same");
		return IOT_DENIED;
	}
	if (lock->public.keyed) {
		status = swd_otp_lock(options, lock, key_hash, err);
		*ret_proved = status == IOT_OK;
		return status;
	}
	status = put_on(options, lock, result, sizeof(result), err);
	if (status != IOT_OK)
		return status;
	*ret_proved = strcmp(result, "refused") == 0;
	if (*ret_proved || lock->proof == SWD_PROVES_NOTHING)
		return IOT_OK;
	return swd_does_not_hold(
		lock, "what it should refuse was done; look at its commands in the board's description", err);
}

enum iot_status iot_swd_check_lock(const struct iot_swd_options *options, size_t index, bool *ret_proved,
				   struct iot_error *err)
{
	const struct swd_lock *lock = &options->target->locks[index];
	struct swd_run run;
	bool known = false, on = false, refused = false;
	enum iot_status status;

	swd_run_init(&run, options);
	begin_sealed(&run);
	swd_reading(&run, "looking for the lock", lock->sign.command != NULL ? lock->sign.command : "set iot_none {}");
	add_refusal(&run);
	swd_step(&run, "seeing who was tried", "[lindex [dap names] 0] dpreg 0");
	status = swd_run(&run, err);
	if (status == IOT_OK) {
		on = swd_sign_is_there(&run, 1, &lock->sign, &known);
		refused = strcmp(swd_result(&run, 2), "refused") == 0;
	}
	swd_run_release(&run);
	if (status != IOT_OK)
		return status;
	if (known && !on)
		return swd_does_not_hold(lock, "the chip says that it is off, and lets nobody put it on any more", err);
	if (lock->public.seals && !refused)
		return swd_does_not_hold(lock, "the chip can be read", err);
	*ret_proved = lock->public.seals;
	return IOT_OK;
}

enum iot_status iot_swd_run(const struct iot_swd_options *options, struct iot_error *err)
{
	struct swd_run run;
	enum iot_status status;

	swd_run_init(&run, options);
	swd_begin(&run);
	swd_step(&run, "letting it run", "reset run");
	status = swd_run(&run, err);
	swd_run_release(&run);
	return status;
}
