/*
 * Programming over SWD with the real OpenOCD and a simulated chip (tests/swdsim)
 * on a pseudo-terminal: what goes right, and above all what does not.
 */
#include "iotctl/credential.h"
#include "iotctl/swd.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
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
	ASSERT_OK(iot_swd_lock(&options, 0, false, &proved, &err), &err);
	CU_ASSERT_TRUE(proved);
	ASSERT_OK(iot_swd_write(&options, only_credentials, &err), &err);
	ASSERT_STATUS(write_both(&err), IOT_BOARD, &err);
	ASSERT_CONTAINS(line_of(&err), "write-protected");
	ASSERT_OK(iot_swd_lock(&options, 0, false, &proved, &err), &err); /* on already: proved again */
}

static void test_read_lock(const char *kind, size_t index)
{
	struct iot_buf flash = IOT_BUF_INIT(65536);
	struct iot_error err = IOT_ERROR_INIT;
	bool proved = false;

	power_on(kind, NULL, NULL);
	ASSERT_OK(write_both(&err), &err);
	ASSERT_OK(iot_swd_lock(&options, index, false, &proved, &err), &err);
	CU_ASSERT_TRUE(proved);
	CU_ASSERT_NOT_EQUAL(read_one(IOT_SWD_CREDENTIALS, &flash, &err), IOT_OK);
	CU_ASSERT_EQUAL(flash.len, 0);
	iot_buf_release(&flash);
}

static void test_readout_lock(void)
{
	test_read_lock("stm32f1", 1);
}

static void test_access_port_lock(void)
{
	test_read_lock("nrf52", 0);
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
	ASSERT_STATUS(iot_swd_lock(&options, 0, false, &proved, &err), IOT_VERIFY, &err);
	ASSERT_CONTAINS(line_of(&err), "does not hold");
	/* Tried once more it is found out again, although the place that is tried is not erased any more. */
	ASSERT_STATUS(iot_swd_lock(&options, 0, false, &proved, &err), IOT_VERIFY, &err);
	CU_ASSERT_FALSE(proved);
}

static void test_a_lock_whose_effect_cannot_be_tried_is_not_proved(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	bool proved = true;

	set_lock("proof", "none");
	power_on("stm32f1", NULL, NULL);
	ASSERT_OK(iot_swd_lock(&options, 0, false, &proved, &err), &err);
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
		CU_ASSERT_NOT_EQUAL(iot_swd_lock(&options, 0, false, &proved, &err), IOT_OK);
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
	ASSERT_STATUS(iot_swd_lock(&options, 0, false, &proved, &err), IOT_DENIED, &err);
	ASSERT_CONTAINS(line_of(&err), "permanent");
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

static void test_descriptions_are_checked(void)
{
	static const char *const bad[] = {
		"{}",
		"{\"openocd\":{\"target\":\"x.cfg\"}}",
		"{\"opencd\":{}}",
		"{\"openocd\":{\"target\":\"x}.cfg\"},\"uid\":{\"address\":\"0x10\",\"words\":1}}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct iot_error err = IOT_ERROR_INIT;
		IOT_JSON json = json_loads(bad[i], 0, NULL);

		ASSERT_STATUS(iot_swd_target_parse(json, &target, &err), IOT_USAGE, &err);
		CU_ASSERT_PTR_NULL(target);
	}
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

UNIT_MAIN("board/swd", set_up, tear_down, {"stm32f1", test_stm32f1}, {"nrf52", test_nrf52},
	  {"write_lock", test_write_lock_holds_and_credentials_stay_replaceable}, {"readout_lock", test_readout_lock},
	  {"access_port_lock", test_access_port_lock},
	  {"untried_lock", test_a_lock_whose_effect_cannot_be_tried_is_not_proved},
	  {"gone", test_a_chip_that_is_gone_proves_no_lock}, {"idle_lock", test_a_lock_that_does_nothing_is_found_out},
	  {"permanent_lock", test_a_permanent_lock_needs_permission}, {"target_faults", test_faults_of_the_target},
	  {"power_lost", test_power_lost_while_writing_is_mended_by_the_next_run}, {"no_probe", test_no_probe},
	  {"openocd_faults", test_faults_of_openocd}, {"descriptions", test_descriptions_are_checked},
	  {"too_large", test_too_large_an_image})
