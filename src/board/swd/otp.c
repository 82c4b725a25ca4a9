/*
 * A place that can be written once holds what a boot loader trusts: the hash of
 * the code-signing key. Everything is looked at before it is done, since nothing
 * of it can be undone: a run that was cut is finished by the next, and what
 * holds something else is left alone.
 */
#include "board/swd/swd_private.h"

#include "iotctl/base.h"

#include <string.h>

#define READING "reading the one-time block"

struct block {
	uint8_t bytes[IOT_SHA256_SIZE];
	bool locked;
};

static void add_read(struct swd_run *run, const struct swd_otp *otp)
{
	swd_step(run, READING, "read_memory 0x%x 8 %d", otp->address, IOT_SHA256_SIZE);
}

static enum iot_status take_bytes(const struct swd_run *run, size_t step, uint8_t out[static IOT_SHA256_SIZE],
				  struct iot_error *err)
{
	const char *at = swd_result(run, step);

	for (int i = 0; i < IOT_SHA256_SIZE; i++) {
		char *end;
		unsigned long byte = strtoul(at, &end, 0);

		if (end == at || byte > UINT8_MAX)
			return iot_fail(err, IOT_BOARD, "openocd gave '%.80s' where a one-time block should be",
					swd_result(run, step));
		out[i] = (uint8_t)byte;
		at = end;
	}
	return IOT_OK;
}

static enum iot_status no_sign(const struct swd_lock *lock, struct iot_error *err)
{
	return iot_fail(err, IOT_BOARD, "the chip does not say whether lock '%s' is on", lock->public.name);
}

static enum iot_status look(const struct iot_swd_options *options, const struct swd_lock *lock, struct block *ret,
			    struct iot_error *err)
{
	struct swd_run run;
	bool known = false;
	enum iot_status status;

	swd_run_init(&run, options);
	swd_begin(&run);
	add_read(&run, &lock->otp);
	swd_reading(&run, "looking for the lock", lock->sign.command);
	status = swd_run(&run, err);
	if (status == IOT_OK)
		status = take_bytes(&run, 1, ret->bytes, err);
	if (status == IOT_OK) {
		ret->locked = swd_sign_is_there(&run, 2, &lock->sign, &known);
		status = known ? IOT_OK : no_sign(lock, err);
	}
	swd_run_release(&run);
	return status;
}

static bool is_blank(const uint8_t *unit, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (unit[i] != 0xff)
			return false;
	return true;
}

static enum iot_status holds_another(const struct swd_lock *lock, struct iot_error *err)
{
	iot_fail(err, IOT_VERIFY, "the one-time block of lock '%s' holds something else than this code-signing key",
		 lock->public.name);
	iot_error_hint(err, "it was left alone, and cannot be erased: name another block in the board's description, "
			    "or leave this lock out");
	return IOT_VERIFY;
}

/* What is written at once is either all there or not begun. *ret_whole: nothing is missing. */
static enum iot_status compare(const struct swd_lock *lock, const struct block *block, const uint8_t *hash,
			       bool *ret_whole, struct iot_error *err)
{
	size_t unit = (size_t)lock->otp.width / 8;

	*ret_whole = memcmp(block->bytes, hash, IOT_SHA256_SIZE) == 0;
	if (block->locked && !*ret_whole)
		return holds_another(lock, err);
	for (size_t i = 0; i < IOT_SHA256_SIZE; i += unit)
		if (memcmp(block->bytes + i, hash + i, unit) != 0 && !is_blank(block->bytes + i, unit))
			return holds_another(lock, err);
	return IOT_OK;
}

static void add_unit(struct swd_run *run, const struct swd_otp *otp, const uint8_t *hash, size_t at)
{
	uint32_t value = 0;

	for (int i = 0; i < otp->width / 8; i++)
		value |= (uint32_t)hash[at + (size_t)i] << 8 * i;
	swd_step(run, "writing the one-time block", "catch {write_memory 0x%x %d 0x%x}", otp->address + (uint32_t)at,
		 otp->width, value);
}

static enum iot_status write_missing(const struct iot_swd_options *options, const struct swd_lock *lock,
				     const struct block *block, const uint8_t *hash, struct iot_error *err)
{
	const struct swd_otp *otp = &lock->otp;
	size_t unit = (size_t)otp->width / 8;
	uint8_t now[IOT_SHA256_SIZE];
	struct swd_run run;
	enum iot_status status;

	swd_run_init(&run, options);
	swd_begin(&run);
	swd_commands(&run, "opening the one-time block", otp->open);
	for (size_t i = 0; i < IOT_SHA256_SIZE; i += unit)
		if (memcmp(block->bytes + i, hash + i, unit) != 0)
			add_unit(&run, otp, hash, i);
	swd_commands(&run, "closing the one-time block", otp->close);
	add_read(&run, otp);
	status = swd_run(&run, err);
	if (status == IOT_OK)
		status = take_bytes(&run, run.steps - 1, now, err);
	swd_run_release(&run);
	if (status == IOT_OK && memcmp(now, hash, sizeof(now)) != 0) {
		iot_fail(err, IOT_VERIFY, "the one-time block of lock '%s' does not hold what was written",
			 lock->public.name);
		iot_error_hint(err, "it was not locked; the same command again writes what is missing, if it can");
		return IOT_VERIFY;
	}
	return status;
}

/*
 * Locked, and after a reset, its first unit is written once more as it is: whatever becomes of that, nothing is
 * changed. The chip has to say itself that it refused: that OpenOCD gave up would be no proof.
 */
static enum iot_status lock_and_try(const struct iot_swd_options *options, const struct swd_lock *lock, bool locked,
				    const uint8_t *hash, struct iot_error *err)
{
	const struct swd_otp *otp = &lock->otp;
	uint8_t now[IOT_SHA256_SIZE];
	bool on = false, refused = false, known = false;
	struct swd_run run;
	size_t tried;
	enum iot_status status;

	swd_run_init(&run, options);
	swd_begin(&run);
	if (!locked)
		swd_commands(&run, "locking", lock->commands);
	swd_step(&run, "resetting", "reset halt");
	swd_commands(&run, "opening the one-time block", otp->open);
	add_unit(&run, otp, hash, 0);
	tried = run.steps;
	swd_step(&run, "trying the lock", "%s", otp->refusal.command);
	swd_commands(&run, "closing the one-time block", otp->close);
	swd_reading(&run, "looking for the lock", lock->sign.command);
	add_read(&run, otp);
	status = swd_run(&run, err);
	if (status == IOT_OK)
		status = take_bytes(&run, run.steps - 1, now, err);
	if (status == IOT_OK) {
		on = swd_sign_is_there(&run, run.steps - 2, &lock->sign, &known);
		refused = swd_sign_is_there(&run, tried, &otp->refusal, &known);
	}
	swd_run_release(&run);
	if (status != IOT_OK)
		return status;
	if (memcmp(now, hash, sizeof(now)) != 0)
		return holds_another(lock, err);
	if (!on)
		return swd_does_not_hold(lock, "the chip says that it is off", err);
	return refused ? IOT_OK
		       : swd_does_not_hold(lock, "the block was written with what it holds, and did not refuse", err);
}

enum iot_status swd_otp_lock(const struct iot_swd_options *options, const struct swd_lock *lock,
			     const uint8_t hash[static IOT_SHA256_SIZE], struct iot_error *err)
{
	struct block block = {0};
	bool whole = false;
	enum iot_status status = look(options, lock, &block, err);

	if (status == IOT_OK)
		status = compare(lock, &block, hash, &whole, err);
	if (status == IOT_OK && !whole)
		status = write_missing(options, lock, &block, hash, err);
	return status == IOT_OK ? lock_and_try(options, lock, block.locked, hash, err) : status;
}
