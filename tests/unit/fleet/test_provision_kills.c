/*
 * Provisioning boards of every kind that gets its identity from us, killed at
 * every place that the journal knows: afterwards each board has one identity,
 * each identity a board, and no private key is left on the disk. Real software
 * boards, a real local cloud. With IOTCTL_SOAK=1 also at random moments:
 * KILLS (default 1000) of them, SEED as printed.
 */
#include "iotctl/board_description.h"
#include "iotctl/clock.h"
#include "iotctl/process.h"
#include "iotctl/pskfile.h"
#include "iotctl/text.h"

#include "fleet/provision_fixture.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>

static const struct kind {
	const char *name;
	const char *sim;                /* of `iotctl sim board`; NULL: */
	const char *chip;               /* behind a probe */
	const char *description;        /* in place of the one that comes with the program; NULL: that one */
	enum { READ, FILES, PSK } held; /* its certificate can be read; files by name only; a shared secret instead */
	bool nowhere;                   /* it is not told an endpoint */
	int share;                      /* of the random kills: one of so many; 0: none */
	const char *lock;               /* an optional one that is put on besides; NULL: none are */
	bool seals;                     /* after it the board cannot be read any more */
	bool nameless;                  /* not even its id, then */
} kinds[] = {
	{.name = "stm32u5", .sim = "freertos", .share = 1},
	{.name = "stm32f1", .chip = "stm32f1", .share = 10}, /* OpenOCD is slow */
	{.name = "tfm-small", .chip = "nrf52", .held = PSK, .share = 10},
	/* Not proved by a connection: there is no broker here. */
	{.name = "sim7600",
	 .sim = "sim7600",
	 .description =
		 "{\"name\": \"sim7600\", \"dialect\": \"sim7600\", \"key\": {\"origin\": \"host\", \"onWire\": true}}",
	 .held = FILES,
	 .share = 2},
	{.name = "nrf91",
	 .sim = "nrf91",
	 .description = "{\"name\": \"nrf91\", \"dialect\": \"nrf91\", \"key\": {\"origin\": \"board\"},"
			" \"install\": [\"root-ca\", \"certificate\"], \"prove\": [\"sign\"]}",
	 .nowhere = true,
	 .share = 2},
	{.name = "nrf91-psk", .sim = "nrf91", .held = PSK, .nowhere = true, .share = 4},
	{.name = "zephyr",
	 .sim = "zephyr",
	 .description =
		 "{\"name\": \"zephyr\", \"dialect\": \"zephyr\", \"key\": {\"origin\": \"host\", \"onWire\": true},"
		 " \"install\": [\"root-ca\", \"certificate\", \"thing-name\", \"endpoint\"], \"secTag\": 42,"
		 " \"commands\": {\"thing-name\": {\"set\": \"app set thing {value}\", \"said\": \"thing saved\","
		 " \"get\": \"app get thing\", \"shows\": \"thing: {value}\"}, \"endpoint\": {\"set\":"
		 " \"app set endpoint {value}\", \"said\": \"endpoint saved\", \"get\": \"app get endpoint\","
		 " \"shows\": \"endpoint: {value}\"}}}",
	 .share = 2},
	{.name = "zephyr-psk",
	 .sim = "zephyr",
	 .description = "{\"name\": \"zephyr-psk\", \"dialect\": \"zephyr\", \"key\": {\"origin\": \"psk\","
			" \"onWire\": true}, \"install\": [\"psk-identity\", \"psk\"], \"secTag\": 42}",
	 .held = PSK,
	 .nowhere = true,
	 .share = 4},
	{.name = "stm32f1", .chip = "stm32f1", .lock = "readout protection, level 1", .seals = true},
	{.name = "nrf52", .chip = "nrf52", .lock = "access port protection", .seals = true, .nameless = true},
	{.name = "stm32f4", .chip = "stm32f4", .lock = "code-signing key in one-time block 0"},
};

static const struct kind *kind;
static char *port, *description_path;
static struct iot_process board = IOT_PROCESS_INIT;

/* --- the board --------------------------------------------------------------------------------- */

static void power_on(void)
{
	IOT_CLEAN(iot_free_p) char *link = iot_path(dir, "board");
	IOT_CLEAN(iot_free_p) char *flash = iot_path(dir, "flash");
	const char *const console[] = {IOTCTL, "sim", "board", "--kind", kind->sim, "--link", link, NULL};
	const char *const chip[] = {SWDSIM, "--chip", kind->chip, "--flash", flash, "--link", link, NULL};
	const struct iot_process_options options = {.argv = kind->sim == NULL ? chip : console,
						    .die_with_parent = true};
	struct iot_error err = IOT_ERROR_INIT;
	int64_t deadline = iot_deadline(20000);

	ASSERT_OK(iot_process_start(&options, &board, &err), &err);
	while (!iot_fs_exists(link) && iot_left(deadline) > 0)
		poll(NULL, 0, 10);
	port = iot_strf("%s%s", kind->sim == NULL ? "buspirate:" : "", link);
}

static void power_off(void)
{
	IOT_CLEAN(iot_free_p) char *link = iot_path(dir, "board");

	iot_process_stop(&board, 5000);
	(void)unlink(link); /* it would lead to whoever has that pseudo-terminal next */
	iot_process_release(&board);
	board = (struct iot_process)IOT_PROCESS_INIT;
	free(port);
	port = NULL;
}

static void make_world(const struct kind *which)
{
	struct iot_error err = IOT_ERROR_INIT;

	kind = which;
	make_fleet();
	description_path = iot_path(dir, "kind.json");
	if (kind->description != NULL)
		ASSERT_OK(iot_fs_write(description_path, 0600, kind->description, strlen(kind->description), &err),
			  &err);
	power_on();
}

static void end_world(void)
{
	power_off();
	free(description_path);
	description_path = NULL;
	remove_fleet();
}

/* --- provisioning -------------------------------------------------------------------------------- */

static struct iot_provision_spec spec_of(void)
{
	static const char *locks[2];

	locks[0] = kind->lock;
	return (struct iot_provision_spec){.lock = kind->lock != NULL ? IOT_BOARD_LOCK_PERMANENT : IOT_BOARD_LOCK_NONE,
					   .locks = locks[0] != NULL ? locks : NULL,
					   .board = kind->description != NULL ? description_path : kind->name,
					   .port = port,
					   .name = "pump-1",
					   .serial_number = "SN-1",
					   .journal = journal,
					   .interrupt_fd = -1};
}

static json_t *listed(const char *operation, json_t *request, const char *items)
{
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON reply = NULL;
	json_t *list = NULL;

	ASSERT_OK(iot_cloud_call(cloud, operation, request, NULL, &reply, NULL, &err), &err);
	list = json_incref(json_object_get(reply, items));
	json_decref(request);
	return list;
}

static size_t files_below(const char *path, const char *what)
{
	DIR *folder = opendir(path);
	size_t count = 0;

	for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
		IOT_CLEAN(iot_free_p) char *inner = iot_path(path, entry->d_name);

		if (entry->d_name[0] == '.' && (entry->d_name[1] == '\0' || entry->d_name[1] == '.'))
			continue;
		if (iot_fs_is_dir(inner)) {
			count += files_below(inner, what);
		} else if (what == NULL || strstr(entry->d_name, what) != NULL) {
			fprintf(stderr, "left: %s\n", inner);
			count++;
		}
	}
	if (folder != NULL)
		closedir(folder);
	return count;
}

/* The secret that the registry has for the device; NULL, or of what `identity` is the only active one. New memory. */
static char *registered_secret(const char *identity, const char *purpose)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_SECRET(4096);
	IOT_CLEAN(iot_free_p) char *head = iot_strf("%s:", identity);
	struct iot_error err = IOT_ERROR_INIT;
	int64_t count = 0;

	ASSERT_OK(iot_psk_export(cloud, "pump-1", NULL, purpose, IOT_PSK_MOSQUITTO, &text, &count, &err), &err);
	CU_ASSERT_EQUAL(count, 1);
	CU_ASSERT_TRUE(iot_starts_with(iot_buf_str(&text), head));
	return iot_strndup(iot_buf_str(&text) + strlen(head), 64);
}

static void check_one_secret(const json_t *record)
{
	IOT_CLEAN(iot_free_p) char *state = iot_path(dir, "state/keys");
	IOT_JSON things = listed("ListThings", NULL, "things");

	CU_ASSERT_EQUAL(json_array_size(things), 1);
	free(registered_secret(iot_json_str(record, "pskIdentity", "-"), "connect"));
	if (iot_json_str(record, "attestationIdentity", NULL) != NULL)
		free(registered_secret(iot_json_str(record, "attestationIdentity", "-"), "attest"));
	CU_ASSERT_EQUAL(files_below(state, NULL), 0);
}

/* One identity, in the board, the cloud and the journal; nothing of it anywhere else. */
static void check_one_certificate(const json_t *record)
{
	IOT_CLEAN(iot_free_p) char *state = iot_path(dir, "state/keys");
	IOT_JSON things = listed("ListThings", NULL, "things");
	IOT_JSON certificates = listed("ListCertificates", NULL, "certificates");
	IOT_JSON principals = listed("ListThingPrincipals", json_pack("{s:s}", "thingName", "pump-1"), "principals");
	const char *id = iot_json_str(json_array_get(certificates, 0), "certificateId", "");
	const char *arn = json_string_value(json_array_get(principals, 0));

	CU_ASSERT_EQUAL(json_array_size(things), 1);
	CU_ASSERT_EQUAL(json_array_size(certificates), 1);
	CU_ASSERT_EQUAL(json_array_size(principals), 1);
	CU_ASSERT_STRING_EQUAL(iot_json_str(json_array_get(certificates, 0), "status", ""), "ACTIVE");
	CU_ASSERT_STRING_EQUAL(iot_json_str(record, "certificateId", ""), id);
	CU_ASSERT_TRUE(arn != NULL && strstr(arn, id) != NULL);
	CU_ASSERT_EQUAL(files_below(state, NULL), 0);
}

static void check_one_identity(const json_t *record)
{
	if (kind->held == PSK)
		check_one_secret(record);
	else
		check_one_certificate(record);
}

static void check_certificate_held(const struct iot_board_identity *identity, const json_t *record)
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_cert_parse_pem(iot_buf_str(&identity->certificate), identity->certificate.len, "board", &cert,
				     &err),
		  &err);
	CU_ASSERT_TRUE(cert != NULL && strcmp(iot_cert_id(cert), iot_json_str(record, "certificateId", "")) == 0);
}

static void check_secret_held(struct iot_board *opened, enum iot_board_item_kind item_kind, const char *identity,
			      const char *purpose)
{
	IOT_CLEAN(iot_free_p) char *secret = registered_secret(identity, purpose);
	struct iot_board_item item = {.kind = item_kind, .value = secret};
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_board_look(opened, &item, &err), &err);
	CU_ASSERT_EQUAL(item.outcome, IOT_ITEM_SAME);
}

/* A board whose files cannot be read is asked by their names, and its flash is looked into. */
static void check_files(struct iot_board *opened, const json_t *record)
{
	IOT_CLEAN(iot_free_p) char *path = iot_strf("%s.state/state.json", port);
	IOT_JSON request = json_pack("{s:s}", "certificateId", iot_json_str(record, "certificateId", ""));
	IOT_JSON reply = NULL;
	IOT_JSON state = json_load_file(path, 0, NULL);
	const json_t *files = json_object_get(state, "files"), *tls = json_object_get(state, "tls");
	const char *held = iot_json_str(files, iot_json_str(tls, "clientkey", ""), "");
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	struct iot_board_item item = {.kind = IOT_ITEM_CERTIFICATE};
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_cloud_call(cloud, "DescribeCertificate", request, NULL, &reply, NULL, &err), &err);
	item.value = iot_json_str(json_object_get(reply, "certificateDescription"), "certificatePem", "");
	ASSERT_OK(iot_board_look(opened, &item, &err), &err);
	CU_ASSERT_EQUAL(item.outcome, IOT_ITEM_NAMED);
	CU_ASSERT_STRING_EQUAL(iot_json_str(files, iot_json_str(tls, "clientcert", ""), ""), item.value);
	ASSERT_OK(iot_cert_parse_pem(item.value, strlen(item.value), "board", &cert, &err), &err);
	ASSERT_OK(iot_key_from_private_pem(held, strlen(held), "board", NULL, &key, &err), &err);
	CU_ASSERT_TRUE(key != NULL && cert != NULL && iot_key_equal(key, iot_cert_key(cert)));
	CU_ASSERT_EQUAL(json_object_size(files), 6); /* nothing of another identity */
}

/* What the board itself holds. */
static void check_board_holds(const json_t *record)
{
	IOT_CLEAN(iot_board_description_free_p) struct iot_board_description *description = NULL;
	IOT_CLEAN(iot_board_close_p) struct iot_board *opened = NULL;
	struct iot_board_identity identity = IOT_BOARD_IDENTITY_INIT;
	const struct iot_board_options options = {.serial = {.path = port, .interrupt_fd = -1}};
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_board_description_load(spec_of().board, &description, &err), &err);
	ASSERT_OK(iot_board_open_described(description, &options, &opened, &err), &err);
	if (opened != NULL)
		ASSERT_OK(iot_board_identify(opened, &identity, &err), &err);
	if (kind->held == FILES) {
		check_files(opened, record);
	} else if (kind->held == READ) {
		check_certificate_held(&identity, record);
	} else if (opened != NULL) {
		CU_ASSERT_STRING_EQUAL(identity.psk_identity, iot_json_str(record, "pskIdentity", "-"));
		check_secret_held(opened, IOT_ITEM_PSK, identity.psk_identity, "connect");
		if (description->install & 1U << IOT_ITEM_ATTEST_KEY)
			check_secret_held(opened, IOT_ITEM_ATTEST_KEY, iot_json_str(record, "attestationIdentity", "-"),
					  "attest");
	}
	if (!kind->nowhere)
		CU_ASSERT_STRING_EQUAL(identity.endpoint, "iot.example");
	if (!kind->nowhere || kind->held != PSK)
		CU_ASSERT_STRING_EQUAL(identity.thing_name, "pump-1");
	iot_board_identity_release(&identity);
}

/* --- the victim -------------------------------------------------------------------------------------- */

struct points {
	int count, fatal; /* killed at this one, from 0; below 0: never */
};

static void at_point(const char *step, bool done, void *data)
{
	struct points *points = data;

	(void)step;
	(void)done;
	if (points->count++ == points->fatal)
		raise(SIGKILL);
}

/* Not a test of its own: this program again, in another's world, as the process that dies. */
static void test_victim(void)
{
	struct points points = {.fatal = getenv("VICTIM_POINT") != NULL ? atoi(getenv("VICTIM_POINT")) : -1};
	struct iot_provision_spec spec;
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_cloud *others = NULL;
	json_t *record = NULL;

	if (getenv("VICTIM_FLEET") == NULL)
		return;
	kind = &kinds[atoi(getenv("VICTIM_KIND"))];
	port = getenv("VICTIM_PORT");
	description_path = getenv("VICTIM_DESCRIPTION");
	journal = getenv("VICTIM_JOURNAL");
	spec = spec_of();
	spec.point = at_point;
	spec.data = &points;
	if (iot_local_open(getenv("VICTIM_FLEET"), &others, &err) == IOT_OK &&
	    iot_provision(others, &spec, &record, &err) == IOT_OK)
		_exit(0);
	_exit(1);
}

/* This program again, with one of its tests. Numbers go by the environment. */
static pid_t start_self(const char *test, int point)
{
	const char *const argv[] = {"/proc/self/exe", test, NULL};
	char number[16], which[16];
	pid_t pid;

	snprintf(number, sizeof(number), "%d", point);
	snprintf(which, sizeof(which), "%d", (int)(kind - kinds));
	pid = fork();
	if (pid == 0) {
		setenv("VICTIM_POINT", number, 1);
		setenv("VICTIM_KIND", which, 1);
		if (fleet_dir != NULL) {
			setenv("VICTIM_FLEET", fleet_dir, 1);
			setenv("VICTIM_JOURNAL", journal, 1);
			setenv("VICTIM_PORT", port, 1);
			setenv("VICTIM_DESCRIPTION", description_path, 1);
		}
		if (freopen("/dev/null", "w", stdout) == NULL)
			_exit(127);
		execv(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	return pid;
}

static pid_t start_victim(int point)
{
	return start_self("victim", point);
}

/* How it ended: SIGKILL or an exit status. */
static int wait_for(pid_t pid)
{
	int status = 0;

	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static const char *identity_of(const json_t *record)
{
	return iot_json_str(record, kind->held == PSK ? "pskIdentity" : "certificateId", "");
}

/* A board loses its power with the station, when the plug of both is pulled. New reference: the record. */
static json_t *finish(bool with_power_cut)
{
	json_t *record;
	IOT_JSON again = NULL;

	if (with_power_cut) {
		power_off();
		power_on();
	}
	record = provision(spec_of(), IOT_OK);
	check_one_identity(record);
	check_board_holds(record);
	again = provision(spec_of(), IOT_OK);
	CU_ASSERT_FALSE(iot_json_bool(again, "changed", true));
	CU_ASSERT_STRING_EQUAL(identity_of(again), identity_of(record));
	CU_ASSERT_STRING_NOT_EQUAL(identity_of(again), "");
	return record;
}

/* The board is done, its key wiped here, and it is done once more: what it has stays good, wherever that is killed. */
static void repeat_killed_at(int point, const json_t *before)
{
	IOT_JSON record = NULL;

	CU_ASSERT_EQUAL(wait_for(start_victim(point)), SIGKILL);
	record = provision(spec_of(), IOT_OK);
	CU_ASSERT_STRING_EQUAL(identity_of(record), identity_of(before));
	check_one_identity(record);
	check_board_holds(record);
}

static int count_points(void)
{
	struct points points = {.fatal = -1};
	struct iot_provision_spec spec = spec_of();
	IOT_JSON record = NULL;

	spec.point = at_point;
	spec.data = &points;
	record = provision(spec, IOT_OK);
	check_one_identity(record);
	check_board_holds(record);
	return points.count;
}

enum { WORKERS = 5 }; /* a probe costs more waiting than work */

/* Not a test of its own: every so manyth point, in worlds of its own. */
static void test_worker(void)
{
	const char *first = getenv("VICTIM_POINT"), *count = getenv("WORKER_POINTS");

	if (first == NULL || count == NULL)
		return;
	for (int point = atoi(first); point < atoi(count); point += WORKERS) {
		IOT_JSON record = NULL;

		make_world(&kinds[atoi(getenv("VICTIM_KIND"))]);
		CU_ASSERT_EQUAL(wait_for(start_victim(point)), SIGKILL);
		record = finish(point / WORKERS % 2 == 0);
		if (point % 2 == 0) /* a step that is done differs little from the next one that is begun */
			repeat_killed_at(point, record);
		end_world();
	}
}

static void check_kind(const struct kind *which)
{
	pid_t workers[WORKERS];
	char number[16];
	int count;

	make_world(which);
	count = count_points();
	end_world();
	CU_ASSERT_TRUE(count >= ((which->held == PSK) ? 14 : 16)); /* begun and done, of so many steps at least */
	snprintf(number, sizeof(number), "%d", count);
	setenv("WORKER_POINTS", number, 1);
	for (int i = 0; i < WORKERS; i++)
		workers[i] = start_self("worker", i);
	for (int i = 0; i < WORKERS; i++)
		CU_ASSERT_EQUAL(wait_for(workers[i]), 0);
	unsetenv("WORKER_POINTS");
	printf("%s: %d kills ... ", which->name, count);
}

static void test_console(void)
{
	check_kind(&kinds[0]);
}

static void test_swd(void)
{
	check_kind(&kinds[1]);
}

static void test_swd_psk(void)
{
	check_kind(&kinds[2]);
}

static void test_sim7600(void)
{
	check_kind(&kinds[3]);
}

static void test_nrf91(void)
{
	check_kind(&kinds[4]);
}

static void test_nrf91_psk(void)
{
	check_kind(&kinds[5]);
}

static void test_zephyr(void)
{
	check_kind(&kinds[6]);
}

static void test_zephyr_psk(void)
{
	check_kind(&kinds[7]);
}

/* --- boards that are locked --------------------------------------------------------------------------- */

enum { LOCKED_POINTS = 8 }; /* lock, start, tidy and record, each begun and done */

static bool says(const json_t *texts, const char *what)
{
	for (size_t i = 0; i < json_array_size(texts); i++)
		if (strstr(json_string_value(json_array_get(texts, i)), what) != NULL)
			return true;
	return false;
}

/* Once more on a board whose work is finished: what does not tell its id is not taken for it. */
static void check_finished(void)
{
	IOT_JSON record = NULL;

	if (kind->nameless) {
		CU_ASSERT_PTR_NULL(provision(spec_of(), IOT_CONFLICT));
		ASSERT_CONTAINS(line, "is finished");
		return;
	}
	record = provision(spec_of(), IOT_OK);
	CU_ASSERT_FALSE(iot_json_bool(record, "changed", true));
	check_one_identity(record);
}

/* From its lock on, point 0 is the last at which the board can still be read. */
static void finish_locked(int point)
{
	bool sealed = kind->seals && point > 0;
	struct iot_provision_spec replacing = spec_of();
	IOT_JSON record = NULL;
	const json_t *not_proved;

	replacing.replace = true;
	if (sealed)
		CU_ASSERT_PTR_NULL(provision(replacing, IOT_CONFLICT));
	record = provision(spec_of(), IOT_OK);
	not_proved = json_object_get(record, "notProved");
	check_one_identity(record);
	CU_ASSERT_TRUE(iot_json_bool(record, "resumed", false));
	CU_ASSERT_EQUAL(says(not_proved, "what it holds"), sealed);
	CU_ASSERT_EQUAL(says(not_proved, "which chip it is"), sealed && kind->nameless);
	CU_ASSERT_EQUAL(says(json_object_get(record, "proof"), "refuses to be read"), sealed);
	CU_ASSERT_TRUE(says(json_object_get(record, "locks"), kind->lock));
	CU_ASSERT_TRUE(says(not_proved, "that it connects"));
	CU_ASSERT_STRING_NOT_EQUAL(iot_json_str(record, "uid", ""), "");
}

static void test_locked_worker(void)
{
	const char *first = getenv("VICTIM_POINT"), *count = getenv("WORKER_POINTS");

	if (first == NULL || count == NULL)
		return;
	for (int point = atoi(first); point < LOCKED_POINTS; point += WORKERS) {
		make_world(&kinds[atoi(getenv("VICTIM_KIND"))]);
		CU_ASSERT_EQUAL(wait_for(start_victim(atoi(count) - LOCKED_POINTS + point)), SIGKILL);
		if (point % 2 == 0) {
			power_off();
			power_on();
		}
		if (point < LOCKED_POINTS - 1) /* then the journal has the end */
			finish_locked(point);
		check_finished();
		end_world();
	}
}

static void check_locked(const struct kind *which)
{
	struct points points = {.fatal = -1};
	struct iot_provision_spec spec;
	pid_t workers[WORKERS];
	char number[16];
	IOT_JSON record = NULL;

	make_world(which);
	spec = spec_of();
	spec.point = at_point;
	spec.data = &points;
	record = provision(spec, IOT_OK);
	CU_ASSERT_FALSE(says(json_object_get(record, "notProved"), "what it holds"));
	check_finished();
	end_world();
	snprintf(number, sizeof(number), "%d", points.count);
	setenv("WORKER_POINTS", number, 1);
	for (int i = 0; i < WORKERS; i++)
		workers[i] = start_self("locked worker", i);
	for (int i = 0; i < WORKERS; i++)
		CU_ASSERT_EQUAL(wait_for(workers[i]), 0);
	unsetenv("WORKER_POINTS");
}

static void test_sealed_stm32f1(void)
{
	check_locked(&kinds[8]);
}

static void test_sealed_nrf52(void)
{
	check_locked(&kinds[9]);
}

/* Slow: each one-time bit goes over the probe by itself. In a normal run board/swd loses power at those writes. */
static void test_otp_stm32f4(void)
{
	const char *soak = getenv("IOTCTL_SOAK");

	if (soak != NULL && *soak != '\0')
		check_locked(&kinds[10]);
	else
		printf("with IOTCTL_SOAK=1 only ... ");
}

/* --- random moments ------------------------------------------------------------------------------------ */

static long number_of(const char *variable, long fallback)
{
	const char *text = getenv(variable);

	return text != NULL && *text != '\0' ? strtol(text, NULL, 10) : fallback;
}

static int64_t time_of_run(void)
{
	int64_t begun = iot_monotonic_ms();

	CU_ASSERT_EQUAL(wait_for(start_victim(-1)), 0);
	return iot_monotonic_ms() - begun;
}

/* The first one when it is not the turn of another. */
static const struct kind *random_kind(void)
{
	for (size_t i = 1; i < IOT_LENGTH(kinds); i++)
		if (kinds[i].share > 0 && random() % kinds[i].share == 0)
			return &kinds[i];
	return &kinds[0];
}

/* Several in a row on one board, as when nobody understands why it does not work. */
static void test_random(void)
{
	const char *soak = getenv("IOTCTL_SOAK");
	long seed = number_of("SEED", (long)(iot_now_ms() % 1000000000)), left = number_of("KILLS", 1000);

	if (soak == NULL || *soak == '\0')
		left = number_of("KILLS", 10);
	printf("SEED=%ld KILLS=%ld ... ", seed, left);
	srandom((unsigned)seed);
	while (left > 0 && CU_get_number_of_failures() == 0) {
		const struct kind *which = random_kind();
		int64_t whole;

		make_world(which);
		whole = time_of_run();
		end_world();
		make_world(which);
		for (long row = 1 + random() % 4; row > 0 && left > 0; row--, left--) {
			pid_t pid = start_victim(-1);

			poll(NULL, 0, (int)(random() % (whole + 1)));
			kill(pid, SIGKILL);
			wait_for(pid);
		}
		json_decref(finish(random() % 2 == 0));
		end_world();
	}
}

/* Between overwriting a key and removing it: no point of the journal, so it is laid out by hand. */
static void test_half_wiped(void)
{
	static const char zeros[256];
	IOT_CLEAN(iot_free_p) char *key = NULL;
	IOT_CLEAN(iot_free_p) char *aside = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	int count;

	make_world(&kinds[1]);
	count = count_points();
	end_world();
	make_world(&kinds[1]);
	CU_ASSERT_EQUAL(wait_for(start_victim(count - 4)), SIGKILL); /* tidy has begun; record comes after it */
	key = iot_path(dir, "state/keys/1/private.key");
	aside = iot_strf("%s.wiped", key);
	CU_ASSERT_TRUE(iot_fs_exists(key));
	ASSERT_OK(iot_fs_remove(key, &err), &err);
	ASSERT_OK(iot_fs_write(aside, 0600, zeros, sizeof(zeros), &err), &err);
	json_decref(finish(false));
	end_world();
}

UNIT_MAIN("fleet/provision_kills", NULL, NULL, {"victim", test_victim}, {"worker", test_worker},
	  {"console", test_console}, {"swd", test_swd}, {"swd-psk", test_swd_psk}, {"sim7600", test_sim7600},
	  {"nrf91", test_nrf91}, {"nrf91-psk", test_nrf91_psk}, {"zephyr", test_zephyr},
	  {"zephyr-psk", test_zephyr_psk}, {"locked worker", test_locked_worker},
	  {"sealed stm32f1", test_sealed_stm32f1}, {"sealed nrf52", test_sealed_nrf52},
	  {"otp stm32f4", test_otp_stm32f4}, {"half wiped", test_half_wiped}, {"random", test_random})
