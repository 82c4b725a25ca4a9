/*
 * New trust for boards on a port: a played ExpressLink module and the software
 * board with a FreeRTOS console, a real local cloud and journal. Whatever
 * happens, a board that could connect before can connect afterwards, or the next
 * run makes it so.
 */
#include "iotctl/board_description.h"
#include "iotctl/cert.h"
#include "iotctl/clock.h"
#include "iotctl/process.h"
#include "iotctl/trust.h"

#include "board/fake_module.h"
#include "fleet/provision_fixture.h"

#include <signal.h>
#include <sys/prctl.h>

#define UID "4a1fb7f2-9d02-4b06-b2b5-2c1f2cb9a1e0"
#define OLD_HOST "iot.example" /* of the fleet */
#define NEW_HOST "iot2.example"

static char *new_root, *wrong_root;
static struct fake_module module;
static struct iot_buf old_pem, new_pem;
static int64_t connection;

/* --- the world: two brokers, each with a root of its own -------------------------------- */

static bool holds(struct fake_module *m, const struct iot_buf *root)
{
	size_t len = strlen(iot_buf_str(root));

	while (len > 0 && iot_buf_str(root)[len - 1] == '\n')
		len--;
	return strncmp(fake_get(m, "RootCA"), iot_buf_str(root), len) == 0;
}

static bool lets_in(struct fake_module *m)
{
	return strcmp(fake_get(m, "Endpoint"), NEW_HOST) == 0
		       ? holds(m, &new_pem)
		       : strcmp(fake_get(m, "Endpoint"), OLD_HOST) == 0 && holds(m, &old_pem);
}

/* What serve does when the broker tells of a client; called by the module's thread. */
static void connected(bool up, void *data)
{
	IOT_CLEAN(iot_cloud_free_p) struct iot_cloud *own = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	(void)data;
	if (iot_local_open(fleet_dir, &own, &err) != IOT_OK ||
	    iot_local_presence(own, UID, up, ++connection, NULL, "127.0.0.1", NULL, &err) != IOT_OK)
		abort();
}

static char *make_root(const char *name, struct iot_buf *pem)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	char *path = iot_path(dir, name);
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_key_generate(IOT_KEY_P256, &key, &err), &err);
	ASSERT_OK(iot_ca_create_root(key, name, 3650, &cert, &err), &err);
	iot_cert_pem(cert, pem);
	ASSERT_OK(iot_fs_write(path, 0644, pem->data, pem->len, &err), &err);
	return path;
}

static void make_world(void)
{
	struct iot_device_spec device = {.name = UID};
	IOT_CLEAN(iot_buf_release) struct iot_buf other = IOT_BUF_INIT(32768);
	struct iot_error err = IOT_ERROR_INIT;
	json_t *record = NULL;

	make_fleet();
	old_pem = new_pem = (struct iot_buf)IOT_BUF_INIT(32768);
	new_root = make_root("new.pem", &new_pem);
	wrong_root = make_root("wrong.pem", &other);
	ASSERT_OK(iot_device_create(cloud, &device, &record, &err), &err);
	json_decref(record);
	ASSERT_OK(iot_fleet_root(cloud, &old_pem, &err), &err);
	fake_init(&module, UID, iot_buf_str(&other)); /* its own certificate: any does */
	fake_set(&module, "Endpoint", OLD_HOST, true, true);
	fake_set(&module, "RootCA", iot_buf_str(&old_pem), true, true);
	module.lets_in = lets_in;
	module.connected = connected;
	module.online = true;
	fake_start(&module);
}

static void end_world(void)
{
	fake_stop(&module);
	iot_buf_release(&old_pem);
	iot_buf_release(&new_pem);
	free(new_root);
	free(wrong_root);
	new_root = wrong_root = NULL;
	remove_fleet();
}

static void set_up(void)
{
	if (!is_victim())
		make_world();
}

static void tear_down(void)
{
	if (!is_victim())
		end_world();
}

/* Nobody answers at these names, so no local look; the fleet sees it at both, as the same cloud behind two names would.
 */
static struct iot_trust_board_spec spec_of(void)
{
	return (struct iot_trust_board_spec){
		.change = {.endpoint = NEW_HOST, .root_ca = new_root, .force = true},
		.board = "expresslink",
		.port = module.path,
		.seen_at = cloud,
		.journal = journal,
		.interrupt_fd = -1,
		.connect_timeout_ms = 2000,
		.proof_timeout_ms = 500,
	};
}

static json_t *update(const struct iot_trust_board_spec *spec, enum iot_status expected)
{
	struct iot_error err = IOT_ERROR_INIT;
	json_t *record = NULL;

	ASSERT_STATUS(iot_trust_board(cloud, spec, &record, &err), expected, &err);
	iot_error_line(&err, line, sizeof(line));
	return record;
}

static void check_at(const char *host, const struct iot_buf *root)
{
	CU_ASSERT_STRING_EQUAL(fake_get(&module, "Endpoint"), host);
	CU_ASSERT_TRUE(holds(&module, root));
	CU_ASSERT_TRUE(module.online);
}

/* --- there, and not there ------------------------------------------------------------------ */

static void test_moves(void)
{
	struct iot_trust_board_spec spec = spec_of();
	IOT_JSON record = update(&spec, IOT_OK);
	IOT_JSON again = NULL;
	int writes = module.writes;

	check_at(NEW_HOST, &new_pem);
	CU_ASSERT_TRUE(iot_json_bool(record, "changed", false));
	CU_ASSERT_STRING_EQUAL(iot_json_str(record, "oldEndpoint", ""), OLD_HOST);
	CU_ASSERT_EQUAL(json_array_size(json_object_get(record, "proof")), 2);
	again = update(&spec, IOT_OK);
	CU_ASSERT_FALSE(iot_json_bool(again, "changed", true));
	CU_ASSERT_EQUAL(module.writes, writes);
}

static void test_dry_run(void)
{
	struct iot_trust_board_spec spec = spec_of();

	spec.change.dry_run = true;
	json_decref(update(&spec, IOT_OK));
	CU_ASSERT_EQUAL(module.writes, 0);
	CU_ASSERT_EQUAL(fake_heard(&module, "CONNECT\n"), 0);
}

static void test_local_look(void)
{
	struct iot_trust_board_spec spec = spec_of();

	spec.change.force = false;
	spec.change.endpoint = "localhost:1"; /* nobody is there */
	json_decref(update(&spec, IOT_AGAIN));
	ASSERT_CONTAINS(line, "--force");
	spec.change.endpoint = "not a host";
	json_decref(update(&spec, IOT_USAGE));
	spec.change.endpoint = NULL;
	spec.change.root_ca = "/nowhere.pem";
	json_decref(update(&spec, IOT_NOT_FOUND));
	spec.change.root_ca = NULL;
	json_decref(update(&spec, IOT_USAGE));
	CU_ASSERT_EQUAL(module.writes, 0);
}

static void test_wrong_root(void)
{
	struct iot_trust_board_spec spec = spec_of();

	spec.change.root_ca = wrong_root;
	json_decref(update(&spec, IOT_VERIFY));
	ASSERT_CONTAINS(line, "keeps its old endpoint and root CA");
	ASSERT_CONTAINS(line, "ERR14 4");
	check_at(OLD_HOST, &old_pem);
	spec.change.endpoint = NULL; /* the wrong root alone */
	json_decref(update(&spec, IOT_VERIFY));
	check_at(OLD_HOST, &old_pem);
	spec.change = (struct iot_trust_change){.endpoint = NEW_HOST, .force = true}; /* the endpoint alone: old root */
	json_decref(update(&spec, IOT_VERIFY));
	check_at(OLD_HOST, &old_pem);
}

/* The module's word is not enough where somebody can see. */
static void test_not_seen(void)
{
	struct iot_trust_board_spec spec = spec_of();

	module.connected = NULL;
	json_decref(update(&spec, IOT_VERIFY));
	ASSERT_CONTAINS(line, "does not see");
	check_at(OLD_HOST, &old_pem);
}

static void test_nobody_could_see(void)
{
	struct iot_trust_board_spec spec = spec_of();
	IOT_JSON record = NULL;

	spec.seen_at = NULL;
	module.connected = NULL;
	record = update(&spec, IOT_OK);
	check_at(NEW_HOST, &new_pem);
	CU_ASSERT_EQUAL(json_array_size(json_object_get(record, "notProved")), 1);
}

/* There would be no way back. */
static void test_unknown_root(void)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf other = IOT_BUF_INIT(32768);
	IOT_CLEAN(iot_free_p) char *path = make_root("other.pem", &other);
	struct iot_trust_board_spec spec = spec_of();

	fake_set(&module, "RootCA", iot_buf_str(&other), true, true);
	json_decref(update(&spec, IOT_CONFLICT));
	ASSERT_CONTAINS(line, "--old-root-ca");
	CU_ASSERT_EQUAL(module.writes, 0);
	spec.old_root_ca = path;
	json_decref(update(&spec, IOT_OK));
	check_at(NEW_HOST, &new_pem);
}

static void test_unknown_device(void)
{
	struct iot_trust_board_spec spec = spec_of();

	fake_set(&module, "ThingName", "nobody", true, false);
	json_decref(update(&spec, IOT_NOT_FOUND));
	CU_ASSERT_EQUAL(module.writes, 0);
}

/* It does not take what is new: what it took of it is taken back. */
static void test_refused(void)
{
	struct iot_trust_board_spec spec = spec_of();

	module.refuse = "RootCA";
	module.refuse_with = "ERR26 INVALID CERTIFICATE";
	json_decref(update(&spec, IOT_BOARD));
	ASSERT_CONTAINS(line, "ERR26");
	check_at(OLD_HOST, &old_pem);
}

/* --- killed ------------------------------------------------------------------------------------ */

static void die_at(const char *step, void *data)
{
	if (strcmp(step, data) == 0)
		raise(SIGKILL);
}

/* Not a test of its own: this program again, in another's world, as the process that dies. */
static void test_victim(void)
{
	struct iot_trust_board_spec spec;
	struct iot_error err = IOT_ERROR_INIT;
	json_t *record = NULL;

	if (!is_victim())
		return;
	if (iot_local_open(getenv("VICTIM_FLEET"), &cloud, &err) != IOT_OK)
		_exit(2);
	new_root = getenv("VICTIM_ROOT");
	journal = getenv("VICTIM_JOURNAL");
	spec = spec_of();
	spec.port = getenv("VICTIM_PORT");
	spec.point = die_at;
	spec.data = getenv("VICTIM_POINT");
	_exit(iot_trust_board(cloud, &spec, &record, &err) == IOT_OK ? 0 : 1);
}

static int killed_at(const char *point, const char *root)
{
	setenv("VICTIM_ROOT", root, 1);
	return run_victim(point, module.path);
}

static void anew(void)
{
	end_world();
	make_world();
}

/* The same again finishes it; so does the way back, when what was new was wrong. */
static void test_killed(void)
{
	static const char *const points[] = {"begun", "staged", "proved", "settled"};
	static const char *const back[] = {"begun", "staged", "back"};

	for (size_t i = 0; i < IOT_LENGTH(points); i++) {
		struct iot_trust_board_spec spec;
		IOT_JSON record = NULL;

		anew();
		spec = spec_of();
		CU_ASSERT_EQUAL(killed_at(points[i], new_root), SIGKILL);
		record = update(&spec, IOT_OK);
		CU_ASSERT_TRUE(iot_json_bool(record, "resumed", false));
		check_at(NEW_HOST, &new_pem);
		json_decref(record);
		record = update(&spec, IOT_OK);
		CU_ASSERT_FALSE(iot_json_bool(record, "resumed", true));
	}
	for (size_t i = 0; i < IOT_LENGTH(back); i++) {
		struct iot_trust_board_spec spec;

		anew();
		spec = spec_of();
		spec.change.root_ca = wrong_root;
		CU_ASSERT_EQUAL(killed_at(back[i], wrong_root), SIGKILL);
		json_decref(update(&spec, IOT_VERIFY));
		check_at(OLD_HOST, &old_pem);
	}
}

/* What an unfinished run had changed and the next one does not want is set back on the way. */
static void test_another_change_after_a_kill(void)
{
	struct iot_trust_board_spec spec = spec_of();

	CU_ASSERT_EQUAL(killed_at("staged", wrong_root), SIGKILL);
	CU_ASSERT_STRING_EQUAL(fake_get(&module, "Endpoint"), NEW_HOST);
	spec.change = (struct iot_trust_change){.endpoint = OLD_HOST, .force = true};
	json_decref(update(&spec, IOT_OK));
	check_at(OLD_HOST, &old_pem);

	/* A look that fails sets it back, too. */
	CU_ASSERT_EQUAL(killed_at("staged", wrong_root), SIGKILL);
	spec.change = (struct iot_trust_change){.endpoint = "localhost:1"};
	json_decref(update(&spec, IOT_VERIFY));
	check_at(OLD_HOST, &old_pem);
}

/* --- a FreeRTOS console --------------------------------------------------------------------------- */

static struct iot_process board = IOT_PROCESS_INIT;

static char *power_on(const char *fault)
{
	char *link = iot_path(dir, "board");
	const char *argv[] = {IOTCTL, "sim", "board", "--kind", "freertos", "--link", link, NULL, NULL, NULL};
	const struct iot_process_options options = {.argv = argv, .die_with_parent = true};
	struct iot_error err = IOT_ERROR_INIT;
	int64_t deadline = iot_deadline(20000);

	if (fault != NULL) {
		argv[7] = "--fault";
		argv[8] = fault;
	}
	ASSERT_OK(iot_process_start(&options, &board, &err), &err);
	while (!iot_fs_exists(link) && iot_left(deadline) > 0)
		poll(NULL, 0, 10);
	return link;
}

static void power_off(void)
{
	iot_process_stop(&board, 5000);
	iot_process_release(&board);
	board = (struct iot_process)IOT_PROCESS_INIT;
}

static struct iot_board *open_board(const char *port, struct iot_board_description **ret)
{
	const struct iot_board_options options = {.serial = {.path = port, .interrupt_fd = -1}};
	struct iot_board *opened = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_board_description_load("stm32u5", ret, &err), &err);
	ASSERT_OK(iot_board_open_described(*ret, &options, &opened, &err), &err);
	return opened;
}

/* What it holds after a reset: what was saved. */
static bool saved(struct iot_board *opened, enum iot_board_item_kind kind, const char *value)
{
	struct iot_board_item item = {kind, value, IOT_ITEM_NOT_TRIED};
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_board_start(opened, &err), &err);
	ASSERT_OK(iot_board_look(opened, &item, &err), &err);
	return item.outcome == IOT_ITEM_SAME;
}

static void give(struct iot_board *opened, enum iot_board_item_kind kind, const char *value)
{
	struct iot_board_item item = {kind, value, IOT_ITEM_NOT_TRIED};
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_board_install(opened, &item, &err), &err);
	ASSERT_OK(iot_board_commit(opened, &err), &err);
}

static void test_freertos_there_and_back(void)
{
	IOT_CLEAN(iot_free_p) char *port = power_on(NULL);
	IOT_CLEAN(iot_board_description_free_p) struct iot_board_description *description = NULL;
	struct iot_board *opened = open_board(port, &description);
	struct iot_board_trust trust = {.endpoint = NEW_HOST ":8884",
					.root_ca = iot_buf_str(&new_pem),
					.old_endpoint = OLD_HOST ":8883",
					.old_root_ca = iot_buf_str(&old_pem)};
	struct iot_error err = IOT_ERROR_INIT;

	give(opened, IOT_ITEM_ENDPOINT, OLD_HOST);
	give(opened, IOT_ITEM_ROOT_CA, iot_buf_str(&old_pem));
	ASSERT_STATUS(iot_board_settle(opened, &trust, true, &err), IOT_VERIFY, &err); /* nothing was staged */
	iot_error_clear(&err);
	ASSERT_OK(iot_board_stage(opened, &trust, &err), &err);
	ASSERT_OK(iot_board_stage(opened, &trust, &err), &err);
	CU_ASSERT_TRUE(saved(opened, IOT_ITEM_ENDPOINT, NEW_HOST));
	CU_ASSERT_TRUE(saved(opened, IOT_ITEM_PORT, "8884"));
	CU_ASSERT_TRUE(saved(opened, IOT_ITEM_ROOT_CA, iot_buf_str(&new_pem)));
	ASSERT_OK(iot_board_settle(opened, &trust, true, &err), &err);
	/* In a later conversation, and twice. */
	iot_board_close(opened);
	iot_board_description_free(iot_take(description));
	opened = open_board(port, &description);
	ASSERT_OK(iot_board_settle(opened, &trust, false, &err), &err);
	ASSERT_OK(iot_board_settle(opened, &trust, false, &err), &err);
	CU_ASSERT_TRUE(saved(opened, IOT_ITEM_ENDPOINT, OLD_HOST));
	CU_ASSERT_TRUE(saved(opened, IOT_ITEM_PORT, "8883"));
	CU_ASSERT_TRUE(saved(opened, IOT_ITEM_ROOT_CA, iot_buf_str(&old_pem)));
	/* Nothing to go back to. */
	trust.old_root_ca = NULL;
	ASSERT_STATUS(iot_board_settle(opened, &trust, false, &err), IOT_USAGE, &err);
	iot_board_close(opened);
	power_off();
}

static void test_freertos_cannot_save(void)
{
	IOT_CLEAN(iot_free_p) char *port = power_on("fail-commit");
	IOT_CLEAN(iot_board_description_free_p) struct iot_board_description *description = NULL;
	struct iot_board *opened = open_board(port, &description);
	const struct iot_board_trust trust = {.endpoint = NEW_HOST, .old_endpoint = ""};
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_STATUS(iot_board_stage(opened, &trust, &err), IOT_BOARD, &err);
	ASSERT_CONTAINS(iot_error_line(&err, line, sizeof(line)), "save");
	CU_ASSERT_FALSE(saved(opened, IOT_ITEM_ENDPOINT, NEW_HOST));
	iot_board_close(opened);
	power_off();
}

/* A board that connects by itself, again and again: a process of its own. */
static pid_t coming;

static void come_again(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_cloud *own = NULL;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || iot_local_open(fleet_dir, &own, &err) != IOT_OK)
		_exit(1);
	for (int i = 0; i < 200; i++) {
		if (iot_local_presence(own, "u5-1", true, i + 1, NULL, "127.0.0.1", NULL, &err) != IOT_OK)
			_exit(1);
		poll(NULL, 0, 100);
	}
	_exit(0);
}

static void board_connects(const char *step, void *data)
{
	const bool *comes = data;

	if (strcmp(step, "connect") != 0 || !*comes)
		return;
	coming = fork();
	if (coming == 0)
		come_again();
}

static void test_freertos_is_seen(void)
{
	IOT_CLEAN(iot_free_p) char *port = power_on(NULL);
	IOT_CLEAN(iot_board_description_free_p) struct iot_board_description *description = NULL;
	struct iot_board *opened = open_board(port, &description);
	struct iot_trust_board_spec spec = spec_of();
	struct iot_device_spec device = {.name = "u5-1"};
	struct iot_error err = IOT_ERROR_INIT;
	json_t *record = NULL;
	bool seen = false;

	ASSERT_OK(iot_device_create(cloud, &device, &record, &err), &err);
	json_decref(record);
	give(opened, IOT_ITEM_THING_NAME, "u5-1");
	give(opened, IOT_ITEM_ENDPOINT, OLD_HOST);
	give(opened, IOT_ITEM_ROOT_CA, iot_buf_str(&old_pem));
	iot_board_close(opened);
	spec.board = "stm32u5";
	spec.port = port;
	spec.progress = board_connects;
	spec.data = &seen;
	spec.seen_at = NULL;
	json_decref(update(&spec, IOT_USAGE));
	ASSERT_CONTAINS(line, "--new-fleet");
	spec.seen_at = cloud;
	spec.connect_timeout_ms = 300;
	json_decref(update(&spec, IOT_VERIFY));
	iot_board_description_free(iot_take(description));
	opened = open_board(port, &description);
	CU_ASSERT_TRUE(saved(opened, IOT_ITEM_ENDPOINT, OLD_HOST));
	CU_ASSERT_TRUE(saved(opened, IOT_ITEM_ROOT_CA, iot_buf_str(&old_pem)));
	iot_board_close(opened);
	seen = true;
	spec.connect_timeout_ms = 10000;
	json_decref(update(&spec, IOT_OK));
	kill(coming, SIGKILL);
	CU_ASSERT_EQUAL(waitpid(coming, NULL, 0), coming);
	iot_board_description_free(iot_take(description));
	opened = open_board(port, &description);
	CU_ASSERT_TRUE(saved(opened, IOT_ITEM_ENDPOINT, NEW_HOST));
	CU_ASSERT_TRUE(saved(opened, IOT_ITEM_ROOT_CA, iot_buf_str(&new_pem)));
	iot_board_close(opened);
	power_off();
}

UNIT_MAIN("fleet/trust", set_up, tear_down, {"moves", test_moves}, {"dry-run", test_dry_run},
	  {"local-look", test_local_look}, {"wrong-root", test_wrong_root}, {"not-seen", test_not_seen},
	  {"nobody-could-see", test_nobody_could_see}, {"unknown-root", test_unknown_root},
	  {"unknown-device", test_unknown_device}, {"refused", test_refused}, {"killed", test_killed},
	  {"victim", test_victim}, {"another-change", test_another_change_after_a_kill},
	  {"freertos-there-and-back", test_freertos_there_and_back},
	  {"freertos-cannot-save", test_freertos_cannot_save}, {"freertos-is-seen", test_freertos_is_seen})
