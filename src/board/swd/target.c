/*
 * Board descriptions for SWD: JSON to the struct that the rest works with. The
 * commands in it are OpenOCD's own and run as they stand: a description is as
 * much to be trusted as a program.
 */
#include "board/swd/swd_private.h"

#include "iotctl/base.h"
#include "iotctl/json.h"
#include "iotctl/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const partition_names[IOT_SWD_PARTITIONS] = {"credentials", "codesign"};

static enum iot_status wrong(struct iot_error *err, const char *member, const char *want)
{
	iot_fail(err, IOT_USAGE, "member '%s' of the board description is not %s", member, want);
	iot_error_hint(err, "the format is described in iotctl-swd(7)");
	return IOT_USAGE;
}

/* A number as JSON has no hexadecimal: "0x0801e000", or a plain one. */
static bool number(const json_t *value, uint32_t *ret)
{
	const char *text = json_string_value(value);
	unsigned long long parsed;
	char *end;

	if (json_is_integer(value)) {
		*ret = (uint32_t)json_integer_value(value);
		return json_integer_value(value) >= 0 && json_integer_value(value) <= UINT32_MAX;
	}
	if (text == NULL || *text < '0' || *text > '9')
		return false;
	errno = 0;
	parsed = strtoull(text, &end, 0);
	*ret = (uint32_t)parsed;
	return errno == 0 && *end == '\0' && parsed <= UINT32_MAX;
}

static bool numbers(const json_t *array, uint32_t *ret, size_t *ret_count)
{
	size_t count = json_array_size(array);

	for (size_t i = 0; i < count; i++)
		if (i >= SWD_VALUES_MAX || !number(json_array_get(array, i), &ret[i]))
			return false;
	*ret_count = count;
	return count > 0;
}

static enum iot_status parse_ids(struct iot_swd_target *target, const json_t *ids, struct iot_error *err)
{
	const json_t *device = json_object_get(ids, "device");

	if (!numbers(json_object_get(ids, "dpidr"), target->dpidr, &target->dpidr_count))
		return wrong(err, "ids.dpidr", "a list of numbers");
	if (device == NULL)
		return IOT_OK;
	if (!number(json_object_get(device, "address"), &target->device_address) || target->device_address % 4 != 0 ||
	    !number(json_object_get(device, "mask"), &target->device_mask) ||
	    !numbers(json_object_get(device, "values"), target->device, &target->device_count))
		return wrong(err, "ids.device", "an address, a mask and a list of values");
	return IOT_OK;
}

static enum iot_status parse_partitions(struct iot_swd_target *target, const json_t *partitions, struct iot_error *err)
{
	struct swd_region *region = target->partitions;

	for (int i = 0; i < IOT_SWD_PARTITIONS; i++, region++) {
		const json_t *value = json_object_get(partitions, partition_names[i]);

		if (!number(json_object_get(value, "address"), &region->address) ||
		    !number(json_object_get(value, "size"), &region->size) || region->size == 0 ||
		    region->size > 1024 * 1024 || region->address > UINT32_MAX - region->size ||
		    region->address % (uint32_t)target->write_unit != 0)
			return wrong(err, "partitions", "an address and a size for each of credentials and codesign");
	}
	region = target->partitions;
	if (region[0].address < region[1].address + region[1].size &&
	    region[1].address < region[0].address + region[0].size)
		return wrong(err, "partitions", "two regions apart from one another");
	return IOT_OK;
}

/* What is run goes into a script, in braces. */
static bool is_command(const char *text)
{
	return text != NULL && *text != '\0' && strpbrk(text, "{}\n") == NULL;
}

static bool parse_commands(const json_t *commands, const char *out[SWD_COMMANDS_MAX + 1])
{
	for (size_t i = 0; i < json_array_size(commands); i++) {
		out[i] = i < SWD_COMMANDS_MAX ? json_string_value(json_array_get(commands, i)) : NULL;
		if (!is_command(out[i]))
			return false;
	}
	return commands == NULL || json_is_array(commands);
}

static bool parse_sign(struct swd_sign *sign, const json_t *value)
{
	if (value == NULL)
		return true;
	sign->command = iot_json_str(value, "command", NULL);
	return is_command(sign->command) && number(json_object_get(value, "mask"), &sign->mask) &&
	       number(json_object_get(value, "value"), &sign->value);
}

static bool parse_otp(struct swd_lock *lock, const json_t *value)
{
	struct swd_otp *otp = &lock->otp;

	if (value == NULL)
		return true;
	lock->public.keyed = true;
	otp->width = (int)iot_json_int(value, "width", 0);
	/* A hash that is not locked by a sign, for ever, would be none that anybody may trust. */
	return number(json_object_get(value, "address"), &otp->address) && otp->address % 4 == 0 &&
	       otp->address <= UINT32_MAX - IOT_SHA256_SIZE &&
	       (otp->width == 8 || otp->width == 16 || otp->width == 32) &&
	       parse_commands(json_object_get(value, "open"), otp->open) &&
	       parse_commands(json_object_get(value, "close"), otp->close) &&
	       parse_sign(&otp->refusal, json_object_get(value, "refusal")) && otp->refusal.command != NULL &&
	       lock->sign.command != NULL && lock->public.permanent && lock->proof == SWD_REFUSES_WRITE;
}

static bool parse_lock(struct swd_lock *lock, const json_t *value)
{
	const char *permanence = iot_json_str(value, "permanence", "");
	const char *proof = iot_json_str(value, "proof", "none");

	lock->public = (struct iot_swd_lock){iot_json_str(value, "name", NULL),
					     strcmp(permanence, "permanent") == 0,
					     iot_json_bool(value, "optional", false),
					     strcmp(proof, "read") == 0,
					     false,
					     iot_json_str(value, "undo", NULL)};
	lock->proof = strcmp(proof, "write") == 0  ? SWD_REFUSES_WRITE
		      : strcmp(proof, "read") == 0 ? SWD_REFUSES_READ
						   : SWD_PROVES_NOTHING;
	return parse_commands(json_object_get(value, "commands"), lock->commands) &&
	       parse_commands(json_object_get(value, "restart"), lock->restart) &&
	       parse_sign(&lock->sign, json_object_get(value, "sign")) && lock->public.name != NULL &&
	       lock->commands[0] != NULL && (lock->public.permanent || strcmp(permanence, "reversible") == 0) &&
	       (lock->proof != SWD_PROVES_NOTHING || strcmp(proof, "none") == 0) &&
	       parse_otp(lock, json_object_get(value, "otp"));
}

static enum iot_status parse_locks(struct iot_swd_target *target, const json_t *locks, struct iot_error *err)
{
	target->lock_count = json_array_size(locks);
	if (target->lock_count > SWD_LOCKS_MAX)
		return wrong(err, "locks", "a list of at most eight");
	for (size_t i = 0; i < target->lock_count; i++)
		if (!parse_lock(&target->locks[i], json_array_get(locks, i)))
			return wrong(err, "locks", "a list of locks with name, permanence, commands and proof");
	/* Nothing could be written, or proved, behind one that refuses reading. */
	for (size_t i = 1; i < target->lock_count; i++)
		if (target->locks[i - 1].public.seals && !target->locks[i].public.seals)
			return wrong(err, "locks", "a list in which those that refuse reading come last");
	return IOT_OK;
}

static enum iot_status parse(struct iot_swd_target *target, const json_t *json, struct iot_error *err)
{
	const json_t *openocd = json_object_get(json, "openocd"), *uid = json_object_get(json, "uid");
	uint32_t words = 0;
	enum iot_status status;

	target->config = iot_json_str(openocd, "target", NULL);
	target->bank = (int)iot_json_int(openocd, "bank", 0);
	if (target->config == NULL || strpbrk(target->config, "{}[]\n") != NULL || target->bank < 0 ||
	    target->bank > 15)
		return wrong(err, "openocd", "a target file of OpenOCD and a flash bank");
	if (!number(json_object_get(uid, "address"), &target->uid_address) || target->uid_address % 4 != 0 ||
	    !number(json_object_get(uid, "words"), &words) || words < 1 || words > SWD_UID_WORDS_MAX)
		return wrong(err, "uid", "an address and one to eight words");
	target->uid_words = (int)words;
	target->write_unit = (int)iot_json_int(json, "writeUnit", 4);
	if (target->write_unit < 2 || target->write_unit > 32 || (target->write_unit & (target->write_unit - 1)) != 0)
		return wrong(err, "writeUnit", "2, 4, 8, 16 or 32");
	status = parse_ids(target, json_object_get(json, "ids"), err);
	if (status == IOT_OK)
		status = parse_partitions(target, json_object_get(json, "partitions"), err);
	return status == IOT_OK ? parse_locks(target, json_object_get(json, "locks"), err) : status;
}

enum iot_status iot_swd_target_parse(const json_t *description, struct iot_swd_target **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_swd_target_free_p) struct iot_swd_target *target = iot_alloc(sizeof(*target));
	enum iot_status status;

	target->json = json_deep_copy(description);
	status = parse(target, target->json, err);
	if (status == IOT_OK)
		*ret = iot_take(target);
	return status;
}

void iot_swd_target_free(struct iot_swd_target *target)
{
	if (target == NULL)
		return;
	json_decref(target->json);
	free(target);
}

void iot_swd_target_free_p(struct iot_swd_target **target)
{
	iot_swd_target_free(*target);
}

size_t iot_swd_partition_size(const struct iot_swd_target *target, enum iot_swd_partition partition)
{
	return target->partitions[partition].size;
}

size_t iot_swd_lock_count(const struct iot_swd_target *target)
{
	return target->lock_count;
}

struct iot_swd_lock iot_swd_lock_at(const struct iot_swd_target *target, size_t index)
{
	return target->locks[index].public;
}
