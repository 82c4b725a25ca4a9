/*
 * Programming over SWD with the real OpenOCD and a simulated chip (tests/swdsim)
 * on a pseudo-terminal: what goes right, and above all what does not.
 */
#include "iotctl/credential.h"
#include "iotctl/swd.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/digest.h"
#include "iotctl/fs.h"
#include "iotctl/json.h"
#include "iotctl/process.h"
#include "unit.h"

#include <poll.h>
#include <unistd.h>

#define UID_HEX "31ff6b06424e373216512243" /* as bytes; the words are little-endian */
#define UID_WORDS "066bff3132374e4243225116"

static char folder[] = "/tmp/iotctl-swd-XXXXXX";
static struct iot_process chip = IOT_PROCESS_INIT;
static struct iot_swd_target *target;
static struct iot_swd_options options;
static char *probe;

static void load_target(const char *name)
{
	struct iot_buf text = IOT_BUF_INIT(65536);
	struct iot_error err = IOT_ERROR_INIT;
	IOT_CLEAN(iot_free_p) char *path = iot_strf("%s/%s.json", SWD_TARGETS, name);
	IOT_JSON json = NULL;

	ASSERT_OK(iot_fs_read(path, &text, &err), &err);
	ASSERT_OK(iot_json_parse(iot_buf_str(&text), text.len, path, &json, &err), &err);
	ASSERT_OK(iot_swd_target_parse(json, &target, &err), &err);
	iot_buf_release(&text);
	options.target = target;
}

static void wait_ready(void)
{
	struct pollfd fd = {.fd = chip.out_fd, .events = POLLIN};
	char said[256] = "";

	CU_ASSERT_EQUAL(poll(&fd, 1, 10000), 1);
	CU_ASSERT_TRUE(read(chip.out_fd, said, sizeof(said) - 1) > 0);
	ASSERT_CONTAINS(said, "ready");
}

/* Start the chip; what it held before it still holds. */
static void power_on(const char *kind, const char *option, const char *value)
{
	IOT_CLEAN(iot_free_p) char *flash = iot_strf("%s/flash", folder);
	IOT_CLEAN(iot_free_p) char *link = iot_strf("%s/probe", folder);
	const char *argv[] = {SWDSIM, "--chip", kind,    "--flash", flash, "--link",
			      link,   "--uid",  UID_HEX, option,    value, NULL};
	const struct iot_process_options process = {.argv = argv, .capture = true, .die_with_parent = true};
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_process_start(&process, &chip, &err), &err);
	wait_ready();
	if (target == NULL)
		load_target(kind);
}

static void power_off(void)
{
	iot_process_stop(&chip, 5000);
	iot_process_release(&chip);
}

static void set_up(void)
{
	strcpy(folder, "/tmp/iotctl-swd-XXXXXX");
	if (mkdtemp(folder) == NULL)
		abort();
	probe = iot_strf("buspirate:%s/probe", folder);
	options = (struct iot_swd_options){.probe = probe};
}

static void tear_down(void)
{
	power_off();
	iot_swd_target_free(target);
	target = NULL;
	free(probe);
	if (iot_fs_remove_tree(folder, NULL) != IOT_OK)
		abort();
}

static const char *line_of(const struct iot_error *err)
{
	static char line[1200];

	return iot_error_line(err, line, sizeof(line));
}

static enum iot_status write_both(struct iot_error *err)
{
	static const char key[] = "the public key that updates are checked with";
	static const char credentials[1601] = "odd number of bytes, with a private key";
	const struct iot_swd_image images[IOT_SWD_PARTITIONS] = {{credentials, sizeof(credentials)},
								 {key, sizeof(key)}};

	return iot_swd_write(&options, images, err);
}

static enum iot_status read_one(enum iot_swd_partition partition, struct iot_buf *out, struct iot_error *err)
{
	struct iot_buf *images[IOT_SWD_PARTITIONS] = {NULL, NULL};

	images[partition] = out;
	return iot_swd_read(&options, images, err);
}

static void check_story(const char *kind)
{
	struct iot_swd_identity identity;
	struct iot_buf flash = IOT_BUF_INIT(65536);
	struct iot_error err = IOT_ERROR_INIT;

	power_on(kind, NULL, NULL);
	ASSERT_OK(iot_swd_identify(&options, &identity, &err), &err);
	CU_ASSERT_EQUAL(strncmp(identity.uid, UID_WORDS, strlen(identity.uid)), 0);
	ASSERT_CONTAINS(identity.version, "Open On-Chip Debugger");
	ASSERT_OK(read_one(IOT_SWD_CREDENTIALS, &flash, &err), &err);
	CU_ASSERT_EQUAL(flash.len, iot_swd_partition_size(target, IOT_SWD_CREDENTIALS));
	CU_ASSERT_TRUE(iot_credential_blank(flash.data, flash.len));
	ASSERT_OK(write_both(&err), &err);
	iot_buf_clear(&flash);
	ASSERT_OK(read_one(IOT_SWD_CREDENTIALS, &flash, &err), &err);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&flash), "odd number of bytes, with a private key");
	iot_buf_clear(&flash);
	ASSERT_OK(read_one(IOT_SWD_CODESIGN, &flash, &err), &err);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&flash), "the public key that updates are checked with");
	ASSERT_OK(iot_swd_run(&options, &err), &err);
	iot_buf_release(&flash);
}

static void test_stm32f1(void)
{
	check_story("stm32f1");
}

static void test_nrf52(void)
{
	check_story("nrf52");
}

/* --- locks ------------------------------------------------------------------------------------ */

static void test_write_lock_holds_and_credentials_stay_replaceable(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	bool proved = false;
	const struct iot_swd_image only_credentials[IOT_SWD_PARTITIONS] = {{"renewed", 8}, {NULL, 0}};

	power_on("stm32f1", NULL, NULL);
	ASSERT_OK(write_both(&err), &err);
	ASSERT_OK(iot_swd_lock(&options, 0, false, NULL, &proved, &err), &err);
	CU_ASSERT_TRUE(proved);
	ASSERT_OK(iot_swd_write(&options, only_credentials, &err), &err);
	ASSERT_STATUS(write_both(&err), IOT_BOARD, &err);
	ASSERT_CONTAINS(line_of(&err), "write-protected");
	ASSERT_OK(iot_swd_lock(&options, 0, false, NULL, &proved, &err), &err); /* on already: proved again */
}

static void test_read_lock(const char *kind, size_t index)
{
	struct iot_buf flash = IOT_BUF_INIT(65536);
	struct iot_error err = IOT_ERROR_INIT;
	bool proved = false;

	power_on(kind, NULL, NULL);
	ASSERT_OK(write_both(&err), &err);
	ASSERT_OK(iot_swd_lock(&options, index, false, NULL, &proved, &err), &err);
	CU_ASSERT_TRUE(proved);
	CU_ASSERT_NOT_EQUAL(read_one(IOT_SWD_CREDENTIALS, &flash, &err), IOT_OK);
	CU_ASSERT_EQUAL(flash.len, 0);
	iot_buf_release(&flash);
}

static void test_readout_lock(void)
{
	test_read_lock("stm32f1", 1);
}

static void test_readout_lock_of_stm32f4(void)
{
	test_read_lock("stm32f4", 2);
}

static void test_access_port_lock(void)
{
	test_read_lock("nrf52", 0);
}

/* --- sealed chips ------------------------------------------------------------------------------- */

static void check_sealed(const char *kind, const char *lock, size_t expected, const char *uid)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_swd_identity identity = {0};
	size_t index = 99;
	bool proved = false;

	power_on(kind, "--locked", lock);
	ASSERT_OK(iot_swd_sealed(&options, &identity, &index, &err), &err);
	CU_ASSERT_EQUAL(index, expected);
	CU_ASSERT_STRING_EQUAL(identity.uid, uid);
	ASSERT_OK(iot_swd_check_lock(&options, expected, &proved, &err), &err);
	CU_ASSERT_TRUE(proved);
	ASSERT_OK(iot_swd_run_sealed(&options, expected, &err), &err);
}

static void test_what_a_sealed_stm32f1_still_tells(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	bool proved = true;

	check_sealed("stm32f1", "rdp1", 1, UID_WORDS);
	/* the other lock is off, and the chip says so */
	ASSERT_STATUS(iot_swd_check_lock(&options, 0, &proved, &err), IOT_VERIFY, &err);
	ASSERT_CONTAINS(line_of(&err), "does not hold");
}

static void test_what_a_sealed_stm32f4_still_tells(void)
{
	check_sealed("stm32f4", "rdp1", 2, UID_WORDS);
}

static void test_what_a_sealed_nrf52_still_tells(void)
{
	check_sealed("nrf52", "approtect", 0, "");
}

static void test_what_is_not_sealed(void)
{
	static const struct {
		const char *chip, *option, *value;
	} table[] = {
		{"stm32f1", NULL, NULL},
		{"stm32f1", "--locked", "wrp=31"},
		{"stm32f1", "--fault", "dead"},
		{"nrf52", NULL, NULL},
		{"nrf52", "--fault", "dead"},
		{"nrf52", "--fault", "bad-parity=2"},
		{"nrf52", "--fault", "dpidr=0x0bc11477"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct iot_error err = IOT_ERROR_INIT;
		struct iot_swd_identity identity = {0};
		size_t index = 99;

		power_on(table[i].chip, table[i].option, table[i].value);
		CU_ASSERT_NOT_EQUAL(iot_swd_sealed(&options, &identity, &index, &err), IOT_OK);
		tear_down();
		set_up();
	}
}

static void set_lock_with(const char *command, const char *member, const char *value)
{
	json_t *json = json_pack("{s:s, s:s, s:[s], s:s}", "name", "made up", "permanence", "reversible", "commands",
				 command, "proof", "write");
	struct iot_buf text = IOT_BUF_INIT(65536);
	IOT_CLEAN(iot_free_p) char *path = iot_strf("%s/stm32f1.json", SWD_TARGETS);
	IOT_JSON description = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	json_object_set_new(json, member, json_string(value));
	ASSERT_OK(iot_fs_read(path, &text, &err), &err);
	ASSERT_OK(iot_json_parse(iot_buf_str(&text), text.len, path, &description, &err), &err);
	json_object_set_new(description, "locks", json_pack("[o]", json));
	ASSERT_OK(iot_swd_target_parse(description, &target, &err), &err);
	options.target = target;
	iot_buf_release(&text);
}

static void set_lock(const char *member, const char *value)
{
	set_lock_with("echo nothing", member, value);
}

static void test_a_lock_that_does_nothing_is_found_out(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	bool proved = false;

	set_lock("name", "idle");
	power_on("stm32f1", NULL, NULL);
	ASSERT_STATUS(iot_swd_lock(&options, 0, false, NULL, &proved, &err), IOT_VERIFY, &err);
	ASSERT_CONTAINS(line_of(&err), "does not hold");
	/* Tried once more it is found out again, although the place that is tried is not erased any more. */
	ASSERT_STATUS(iot_swd_lock(&options, 0, false, NULL, &proved, &err), IOT_VERIFY, &err);
	CU_ASSERT_FALSE(proved);
}

static void test_a_lock_whose_effect_cannot_be_tried_is_not_proved(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	bool proved = true;

	set_lock("proof", "none");
	power_on("stm32f1", NULL, NULL);
	ASSERT_OK(iot_swd_lock(&options, 0, false, NULL, &proved, &err), &err);
	CU_ASSERT_FALSE(proved);
}

/* Nothing can be read or written any more; that is no proof of a lock. */
static void test_a_chip_that_is_gone_proves_no_lock(void)
{
	static const char *const proofs[] = {"read", "write"};

	for (size_t i = 0; i < sizeof(proofs) / sizeof(*proofs); i++) {
		struct iot_error err = IOT_ERROR_INIT;
		IOT_CLEAN(iot_free_p) char *command = NULL;
		bool proved = false;

		power_on("stm32f1", NULL, NULL);
		iot_swd_target_free(target);
		command = iot_strf("exec kill -9 %d", (int)chip.pid);
		set_lock_with(command, "proof", proofs[i]);
		options.timeout_ms = 5000;
		CU_ASSERT_NOT_EQUAL(iot_swd_lock(&options, 0, false, NULL, &proved, &err), IOT_OK);
		CU_ASSERT_FALSE(proved);
		tear_down();
		set_up();
	}
}

static void test_a_permanent_lock_needs_permission(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	bool proved = false;

	set_lock("permanence", "permanent");
	/* no chip is there at all: it must be refused before OpenOCD is started */
	ASSERT_STATUS(iot_swd_lock(&options, 0, false, NULL, &proved, &err), IOT_DENIED, &err);
	ASSERT_CONTAINS(line_of(&err), "permanent");
}

/* --- one-time places --------------------------------------------------------------------------- */

enum { OTP_LOCK = 1, OTP_AT = 64, OTP_LOCKS = 512 }; /* in the file of the simulated chip */

static uint8_t key_hash[IOT_SHA256_SIZE];

static char *otp_file(void)
{
	return iot_strf("%s/flash.options", folder);
}

/* The block as the chip has it, with its lock byte behind it. */
static void read_block(uint8_t out[static IOT_SHA256_SIZE + 1])
{
	IOT_CLEAN(iot_free_p) char *path = otp_file();
	struct iot_buf all = IOT_BUF_INIT(65536);
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_fs_read(path, &all, &err), &err);
	CU_ASSERT_FATAL(all.len > OTP_AT + OTP_LOCKS);
	memcpy(out, all.data + OTP_AT, IOT_SHA256_SIZE);
	out[IOT_SHA256_SIZE] = (uint8_t)all.data[OTP_AT + OTP_LOCKS];
	iot_buf_release(&all);
}

static bool block_is(const uint8_t *bytes, uint8_t lock)
{
	uint8_t now[IOT_SHA256_SIZE + 1];

	read_block(now);
	return memcmp(now, bytes, IOT_SHA256_SIZE) == 0 && now[IOT_SHA256_SIZE] == lock;
}

static void lay_out_block(size_t at, uint8_t byte)
{
	IOT_CLEAN(iot_free_p) char *path = otp_file();
	FILE *file = fopen(path, "r+b");

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	CU_ASSERT_EQUAL(fseek(file, (long)(OTP_AT + at), SEEK_SET), 0);
	CU_ASSERT_EQUAL(fputc(byte, file), byte);
	CU_ASSERT_EQUAL(fclose(file), 0);
}

static enum iot_status lock_otp(struct iot_error *err)
{
	bool proved = false;
	enum iot_status status = iot_swd_lock(&options, OTP_LOCK, true, key_hash, &proved, err);

	CU_ASSERT_EQUAL(proved, status == IOT_OK);
	return status;
}

/* Without a byte of ones, which would be there without being written. */
static void make_hash(const char *key)
{
	iot_sha256(key, strlen(key), key_hash);
	CU_ASSERT_PTR_NULL(memchr(key_hash, 0xff, sizeof(key_hash)));
}

static void test_stm32f4(void)
{
	check_story("stm32f4");
}

static void test_a_one_time_block_takes_the_hash_once(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	bool proved = false;
	uint8_t first[IOT_SHA256_SIZE];

	make_hash("the key");
	memcpy(first, key_hash, sizeof(first));
	power_on("stm32f4", NULL, NULL);
	CU_ASSERT_TRUE(iot_swd_lock_at(target, OTP_LOCK).keyed);
	ASSERT_STATUS(iot_swd_lock(&options, OTP_LOCK, false, key_hash, &proved, &err), IOT_DENIED, &err);
	ASSERT_OK(lock_otp(&err), &err);
	CU_ASSERT_TRUE(block_is(first, 0));
	ASSERT_OK(lock_otp(&err), &err); /* on already: proved again */
	make_hash("another key");
	ASSERT_STATUS(lock_otp(&err), IOT_VERIFY, &err);
	ASSERT_CONTAINS(line_of(&err), "holds something else");
	CU_ASSERT_TRUE(block_is(first, 0));
}

/* After so many writes: in the data, between it and its lock byte, and behind that. */
static void test_a_one_time_block_that_was_cut_is_finished(void)
{
	static const char *const faults[] = {"lose-power-after=1", "lose-power-after=20", "lose-power-after=32",
					     "lose-power-after=33"};

	for (size_t i = 0; i < IOT_LENGTH(faults); i++) {
		struct iot_error err = IOT_ERROR_INIT;

		make_hash("the key");
		power_on("stm32f4", "--fault", faults[i]);
		options.timeout_ms = 2000;
		CU_ASSERT_NOT_EQUAL(lock_otp(&err), IOT_OK);
		CU_ASSERT_EQUAL(block_is(key_hash, 0xff), i == 2);
		CU_ASSERT_EQUAL(block_is(key_hash, 0), i == 3);
		options.timeout_ms = 0;
		power_off();
		power_on("stm32f4", NULL, NULL);
		ASSERT_OK(lock_otp(&err), &err);
		CU_ASSERT_TRUE(block_is(key_hash, 0));
		tear_down();
		set_up();
	}
}

static void test_a_one_time_block_that_holds_something_else_is_left_alone(void)
{
	static const struct {
		size_t at;
		uint8_t byte;
	} table[] = {{0, 0x00}, {31, 0x55}, {OTP_LOCKS, 0x00}}; /* locked while it was blank, the last */

	for (size_t i = 0; i < IOT_LENGTH(table); i++) {
		struct iot_error err = IOT_ERROR_INIT;
		uint8_t before[IOT_SHA256_SIZE + 1];

		make_hash("the key");
		power_on("stm32f4", NULL, NULL);
		power_off();
		lay_out_block(table[i].at, table[i].byte);
		power_on("stm32f4", NULL, NULL);
		read_block(before);
		ASSERT_STATUS(lock_otp(&err), IOT_VERIFY, &err);
		ASSERT_CONTAINS(line_of(&err), "holds something else");
		CU_ASSERT_TRUE(block_is(before, before[IOT_SHA256_SIZE]));
		tear_down();
		set_up();
	}
}

/* Found out without harm: the hash is as it was. */
static void test_a_one_time_block_that_takes_a_second_write_is_found_out(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	make_hash("the key");
	power_on("stm32f4", "--fault", "soft-otp");
	ASSERT_STATUS(lock_otp(&err), IOT_VERIFY, &err);
	ASSERT_CONTAINS(line_of(&err), "does not hold");
	CU_ASSERT_TRUE(block_is(key_hash, 0));
	tear_down();
	set_up();
	power_on("stm32f4", "--fault", "wait=3"); /* writes get lost on the way */
	CU_ASSERT_NOT_EQUAL(lock_otp(&err), IOT_OK);
}

/* --- faults -------------------------------------------------------------------------------------- */

static void test_faults_of_the_target(void)
{
	static const struct {
		const char *option, *value;
		enum iot_status status;
		const char *says;
		const char *chip;
	} table[] = {
		{"--fault", "dead", IOT_BOARD, "does not answer on SWD", "stm32f1"},
		{"--fault", "dpidr=0x0bc11477", IOT_VERIFY, "id 0x0bc11477", "stm32f1"},
		{"--fault", "stuck=0x1e010.3", IOT_BOARD, "failed at writing the credentials", "stm32f1"},
		{"--fault", "stuck=0x7e010.2", IOT_VERIFY, "does not hold what was written", "nrf52"},
		{"--fault", "bad-parity=50", IOT_BOARD, "openocd failed", "stm32f1"},
		{"--fault", "wait=7", IOT_BOARD, "", "stm32f1"},
		{"--locked", "wrp=30", IOT_BOARD, "write-protected", "stm32f1"},
		{"--locked", "rdp1", IOT_BOARD, "", "stm32f1"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct iot_error err = IOT_ERROR_INIT;
		struct iot_swd_identity identity;
		enum iot_status status;

		power_on(table[i].chip, table[i].option, table[i].value);
		status = iot_swd_identify(&options, &identity, &err);
		if (status == IOT_OK)
			status = write_both(&err);
		if (status == IOT_OK || (table[i].says[0] != '\0' && status != table[i].status) ||
		    strstr(line_of(&err), table[i].says) == NULL)
			printf("\n%s %s: %d %s\n", table[i].option, table[i].value, (int)status, line_of(&err));
		CU_ASSERT_NOT_EQUAL(status, IOT_OK);
		if (table[i].says[0] != '\0')
			CU_ASSERT_EQUAL(status, table[i].status);
		ASSERT_CONTAINS(line_of(&err), table[i].says);
		tear_down();
		set_up();
	}
}

static void test_power_lost_while_writing_is_mended_by_the_next_run(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	power_on("stm32f1", "--fault", "lose-power-after=100");
	options.timeout_ms = 2000;
	CU_ASSERT_NOT_EQUAL(write_both(&err), IOT_OK);
	options.timeout_ms = 0;
	power_off();
	power_on("stm32f1", NULL, NULL);
	ASSERT_OK(write_both(&err), &err);
}

static void test_no_probe(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_swd_identity identity;

	load_target("stm32f1");
	ASSERT_STATUS(iot_swd_identify(&options, &identity, &err), IOT_BOARD, &err);
	ASSERT_CONTAINS(line_of(&err), "port cannot be opened");
	options.probe = "buspirate:/dev/{tty";
	ASSERT_STATUS(iot_swd_identify(&options, &identity, &err), IOT_USAGE, &err);
	options.probe = "no-such-probe";
	ASSERT_STATUS(iot_swd_identify(&options, &identity, &err), IOT_BOARD, &err);
	ASSERT_CONTAINS(line_of(&err), "does not know this debug probe");
}

/* OpenOCD that is missing, hangs, is killed, or claims success without having done a thing. */
static void test_faults_of_openocd(void)
{
	static const struct {
		const char *script;
		enum iot_status status;
		const char *says;
	} table[] = {
		{NULL, IOT_BOARD, "is not there; install the package openocd"},
		{"sleep 60", IOT_TIMEOUT, "did not end within"},
		{"kill -9 $$", IOT_BOARD, "ended by signal 9"},
		{"exit 0", IOT_BOARD, "openocd failed"},
		{"echo 'Error: invalid command name \"read_memory\"'; exit 1", IOT_BOARD, "version 0.12.0 or later"},
		{"echo IOTCTL:END; exit 0", IOT_BOARD, "openocd failed"},
		{"sed -n 's/^iot_step {\\([^}]*\\)}.*/IOTCTL:OK:\\1:0x1ba01477/p' \"$2\"; echo IOTCTL:END; exit 1",
		 IOT_BOARD, "openocd failed"},
	};

	load_target("stm32f1");
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		IOT_CLEAN(iot_free_p) char *program = iot_strf("%s/openocd-%zu", folder, i);
		IOT_CLEAN(iot_free_p)
		char *text = iot_strf("#!/bin/sh\n%s\n", table[i].script != NULL ? table[i].script : "");
		struct iot_error err = IOT_ERROR_INIT;
		struct iot_swd_identity identity;
		enum iot_status status;

		options.program = program;
		options.timeout_ms = 1000;
		if (table[i].script != NULL)
			ASSERT_OK(iot_fs_write(program, 0700, text, strlen(text), &err), &err);
		status = iot_swd_identify(&options, &identity, &err);
		if (status != table[i].status || strstr(line_of(&err), table[i].says) == NULL)
			printf("\n%s: %d %s\n", table[i].script != NULL ? table[i].script : "missing", (int)status,
			       line_of(&err));
		CU_ASSERT_EQUAL(status, table[i].status);
		ASSERT_CONTAINS(line_of(&err), table[i].says);
	}
}

#define WITH_LOCKS(locks)                                                                                              \
	"{\"openocd\":{\"target\":\"x.cfg\"},\"ids\":{\"dpidr\":[1]},\"uid\":{\"address\":0,\"words\":1},"             \
	"\"partitions\":{\"credentials\":{\"address\":0,\"size\":16},\"codesign\":{\"address\":16,\"size\":16}},"      \
	"\"locks\":[" locks "]}"

#define SIGN "\"sign\":{\"command\":\"x\",\"mask\":1,\"value\":1},"
#define OTP(permanence, proof, sign)                                                                                   \
	"{\"name\":\"a\",\"permanence\":\"" permanence "\",\"proof\":\"" proof "\"," sign                              \
	"\"commands\":[\"x\"],\"otp\":{\"address\":0,\"width\":8,\"refusal\":{\"command\":\"x\",\"mask\":1,\"value\":" \
	"1}}}"

static void test_descriptions_are_checked(void)
{
	static const char *const bad[] = {
		"{}",
		"{\"openocd\":{\"target\":\"x.cfg\"}}",
		"{\"opencd\":{}}",
		"{\"openocd\":{\"target\":\"x}.cfg\"},\"uid\":{\"address\":\"0x10\",\"words\":1}}",
		WITH_LOCKS("{\"name\":\"a\",\"permanence\":\"reversible\",\"commands\":[\"x}\"]}"),
		WITH_LOCKS("{\"name\":\"a\",\"permanence\":\"reversible\",\"commands\":[\"x\"],\"restart\":[\"{\"]}"),
		WITH_LOCKS("{\"name\":\"a\",\"permanence\":\"reversible\",\"commands\":[\"x\"],"
			   "\"sign\":{\"command\":\"x\",\"mask\":1}}"),
		/* a hash that can be taken off again is none to trust */
		WITH_LOCKS(OTP("reversible", "write", SIGN)),
		WITH_LOCKS(OTP("permanent", "none", SIGN)),
		WITH_LOCKS(OTP("permanent", "write", "")),
		/* nothing can be locked behind one that refuses reading */
		WITH_LOCKS("{\"name\":\"a\",\"permanence\":\"reversible\",\"commands\":[\"x\"],\"proof\":\"read\"},"
			   "{\"name\":\"b\",\"permanence\":\"reversible\",\"commands\":[\"x\"]}"),
	};
	IOT_JSON good =
		json_loads(WITH_LOCKS("{\"name\":\"a\",\"permanence\":\"reversible\",\"commands\":[\"x\"]}"), 0, NULL);
	struct iot_error fault = IOT_ERROR_INIT;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct iot_error err = IOT_ERROR_INIT;
		IOT_JSON json = json_loads(bad[i], 0, NULL);

		ASSERT_STATUS(iot_swd_target_parse(json, &target, &err), IOT_USAGE, &err);
		CU_ASSERT_PTR_NULL(target);
	}
	ASSERT_OK(iot_swd_target_parse(good, &target, &fault),
		  &fault); /* so that the others are wrong for their locks */
}

static void test_too_large_an_image(void)
{
	static char large[4096];
	const struct iot_swd_image images[IOT_SWD_PARTITIONS] = {{large, sizeof(large)}, {NULL, 0}};
	struct iot_error err = IOT_ERROR_INIT;

	load_target("stm32f1");
	ASSERT_STATUS(iot_swd_write(&options, images, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(line_of(&err), "the board has 4094");
}

UNIT_MAIN("board/swd", set_up, tear_down, {"stm32f1", test_stm32f1}, {"nrf52", test_nrf52}, {"stm32f4", test_stm32f4},
	  {"otp", test_a_one_time_block_takes_the_hash_once},
	  {"otp_cut", test_a_one_time_block_that_was_cut_is_finished},
	  {"otp_taken", test_a_one_time_block_that_holds_something_else_is_left_alone},
	  {"otp_soft", test_a_one_time_block_that_takes_a_second_write_is_found_out},
	  {"write_lock", test_write_lock_holds_and_credentials_stay_replaceable}, {"readout_lock", test_readout_lock},
	  {"readout_lock_f4", test_readout_lock_of_stm32f4}, {"access_port_lock", test_access_port_lock},
	  {"sealed_stm32f1", test_what_a_sealed_stm32f1_still_tells},
	  {"sealed_stm32f4", test_what_a_sealed_stm32f4_still_tells},
	  {"sealed_nrf52", test_what_a_sealed_nrf52_still_tells}, {"not_sealed", test_what_is_not_sealed},
	  {"untried_lock", test_a_lock_whose_effect_cannot_be_tried_is_not_proved},
	  {"gone", test_a_chip_that_is_gone_proves_no_lock}, {"idle_lock", test_a_lock_that_does_nothing_is_found_out},
	  {"permanent_lock", test_a_permanent_lock_needs_permission}, {"target_faults", test_faults_of_the_target},
	  {"power_lost", test_power_lost_while_writing_is_mended_by_the_next_run}, {"no_probe", test_no_probe},
	  {"openocd_faults", test_faults_of_openocd}, {"descriptions", test_descriptions_are_checked},
	  {"too_large", test_too_large_an_image})
