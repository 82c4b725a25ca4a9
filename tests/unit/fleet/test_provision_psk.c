/*
 * Provisioning boards that share a secret with the fleet, in place of a
 * certificate: a board in a folder, whose items are files, and a real local
 * cloud. Killed at every place that the journal knows, a board has one secret, and
 * nobody else has it.
 */
#include "iotctl/board_description.h"
#include "iotctl/pskfile.h"

#include "fleet/provision_fixture.h"

#include <signal.h>
#include <sys/stat.h>

static char *board_dir;

/* --- a board that is a folder --------------------------------------------------------------- */

static bool mute;        /* its secrets cannot be read back */
static bool connects;    /* when it is started */
static const char *with; /* the certificate that the broker sees then; NULL: none */
static int writes;

struct folder {
	const char *path;
};

static char *item_path(const struct folder *board, enum iot_board_item_kind kind)
{
	return iot_path(board->path, iot_board_item_word(kind));
}

static char *item_text(const char *folder, enum iot_board_item_kind kind)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(folder, iot_board_item_word(kind));
	struct iot_buf text = IOT_BUF_INIT(65536);
	struct iot_error err = IOT_ERROR_INIT;

	if (iot_fs_exists(path))
		ASSERT_OK(iot_fs_read(path, &text, &err), &err);
	else
		iot_buf_adds(&text, "");
	return iot_buf_detach(&text);
}

static enum iot_status fake_open(const struct iot_board_options *options, void **ret_self, struct iot_error *err)
{
	struct folder *board = iot_alloc(sizeof(*board));

	(void)err;
	board->path = options->serial.path;
	*ret_self = board;
	return IOT_OK;
}

static void fake_close(void *self)
{
	free(self);
}

static enum iot_status fake_identify(void *self, struct iot_board_identity *ret, struct iot_error *err)
{
	const struct folder *board = self;
	IOT_CLEAN(iot_free_p) char *thing = item_text(board->path, IOT_ITEM_THING_NAME);
	IOT_CLEAN(iot_free_p) char *identity = item_text(board->path, IOT_ITEM_PSK_IDENTITY);
	IOT_CLEAN(iot_free_p) char *endpoint = item_text(board->path, IOT_ITEM_ENDPOINT);

	(void)err;
	snprintf(ret->uid, sizeof(ret->uid), "uid-%s", strrchr(board->path, '/') + 1);
	snprintf(ret->thing_name, sizeof(ret->thing_name), "%s", thing);
	snprintf(ret->psk_identity, sizeof(ret->psk_identity), "%s", identity);
	snprintf(ret->endpoint, sizeof(ret->endpoint), "%s", endpoint);
	ret->claimed_known = true;
	ret->claimed = *endpoint != '\0';
	return IOT_OK;
}

static enum iot_status fake_look(void *self, struct iot_board_item *item, struct iot_error *err)
{
	const struct folder *board = self;
	IOT_CLEAN(iot_free_p) char *text = item_text(board->path, item->kind);

	(void)err;
	if (strcmp(text, item->value) == 0 && !(mute && iot_board_item_secret(item->kind)))
		item->outcome = IOT_ITEM_SAME;
	return IOT_OK;
}

/* What is in a board must be on the disk before, where only we can read it. */
static void check_kept(const char *secret)
{
	IOT_CLEAN(iot_free_p) char *first = iot_path(dir, "state/keys/1/secrets");
	IOT_CLEAN(iot_free_p) char *second = iot_path(dir, "state/keys/2/secrets");
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(65536);
	const char *path = iot_fs_exists(first) ? first : second;
	struct iot_error err = IOT_ERROR_INIT;
	struct stat st = {0};

	ASSERT_OK(iot_fs_read(path, &text, &err), &err);
	CU_ASSERT_PTR_NOT_NULL(strstr(iot_buf_str(&text), secret));
	CU_ASSERT_TRUE(stat(path, &st) == 0 && (st.st_mode & 07777) == 0600);
}

static enum iot_status fake_install(void *self, struct iot_board_item *item, struct iot_error *err)
{
	const struct folder *board = self;
	IOT_CLEAN(iot_free_p) char *path = item_path(board, item->kind);
	IOT_CLEAN(iot_free_p) char *known = iot_path(board->path, "proved");
	enum iot_status status = fake_look(self, item, err);

	if (status != IOT_OK || item->outcome == IOT_ITEM_SAME)
		return status;
	if (dir != NULL && iot_board_item_secret(item->kind) && !iot_fs_exists(known))
		check_kept(item->value);
	writes++;
	status = iot_fs_write(path, 0600, item->value, strlen(item->value), err);
	item->outcome = mute && iot_board_item_secret(item->kind) ? IOT_ITEM_TAKEN : IOT_ITEM_WRITTEN;
	return status;
}

/* As the gateway tells of it, and as the broker does of one with a certificate. */
static enum iot_status fake_start(void *self, struct iot_error *err)
{
	static int64_t connection;
	const struct folder *board = self;
	IOT_CLEAN(iot_free_p) char *thing = item_text(board->path, IOT_ITEM_THING_NAME);

	if (cloud == NULL || !connects)
		return IOT_OK;
	return iot_local_presence(cloud, thing, true, ++connection, "GATEWAY", "127.0.0.1", with, err);
}

static enum iot_status fake_take_key(void *self, const struct iot_buf *pem, struct iot_error *err)
{
	(void)self, (void)pem, (void)err;
	return IOT_OK;
}

static const struct iot_board_ops fake = {
	.name = "fake",
	.summary = "board in a folder",
	.capabilities = IOT_BOARD_TAKES_KEY,
	.take_key = fake_take_key,
	.items = 1U << IOT_ITEM_CERTIFICATE | 1U << IOT_ITEM_THING_NAME | 1U << IOT_ITEM_PSK_IDENTITY |
		 1U << IOT_ITEM_PSK | 1U << IOT_ITEM_ATTEST_ID | 1U << IOT_ITEM_ATTEST_KEY | 1U << IOT_ITEM_PORT |
		 1U << IOT_ITEM_ENDPOINT,
	.open = fake_open,
	.close = fake_close,
	.identify = fake_identify,
	.look = fake_look,
	.install = fake_install,
	.start = fake_start,
};

/* The linker's --wrap: dialects are looked up in a constant list. */
const struct iot_board_ops *__wrap_iot_board_find(const char *name);
const struct iot_board_ops *__real_iot_board_find(const char *name);
const struct iot_board_ops *__wrap_iot_board_find(const char *name)
{
	return strcmp(name, fake.name) == 0 ? &fake : __real_iot_board_find(name);
}

/* --- the world ------------------------------------------------------------------------------------ */

#define DESCRIPTION(key, rest) "{\"name\": \"fake\", \"dialect\": \"fake\", \"key\": " key rest "}"
#define PSK "{\"origin\": \"psk\", \"onWire\": true}"

static char *write_description(const char *name, const char *text)
{
	char *path = iot_path(dir, name);
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_fs_write(path, 0644, text, strlen(text), &err), &err);
	return path;
}

static char *attesting, *plain;

static char *make_board(const char *name)
{
	char *path = iot_path(dir, name);
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_fs_mkdirs(path, 0700, &err), &err);
	return path;
}

static void set_up(void)
{
	if (is_victim())
		return;
	make_fleet();
	board_dir = make_board("board-1");
	attesting = write_description("attesting.json", DESCRIPTION(PSK, ", \"prove\": [\"appear\"]"));
	plain = write_description(
		"plain.json",
		DESCRIPTION(PSK, ", \"install\": [\"psk-identity\", \"psk\", \"thing-name\", \"endpoint\"]"));
	mute = false;
	connects = true;
	with = NULL;
	writes = 0;
}

static void tear_down(void)
{
	if (dir == NULL)
		return;
	remove_fleet();
	free(board_dir);
	free(attesting);
	free(plain);
}

static struct iot_provision_spec spec_of(void)
{
	return (struct iot_provision_spec){.board = attesting,
					   .port = board_dir,
					   .name = "pump-1",
					   .journal = journal,
					   .interrupt_fd = -1,
					   .connect_timeout_ms = 300};
}

static json_t *secrets_of(const char *thing)
{
	IOT_JSON request = json_object();
	IOT_JSON reply = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	iot_json_set_str(request, "thingName", thing);
	ASSERT_OK(iot_cloud_call(cloud, "iotctl:ListPsks", request, NULL, &reply, NULL, &err), &err);
	return json_incref(json_object_get(reply, "psks"));
}

static size_t active(const char *thing)
{
	IOT_JSON psks = secrets_of(thing);
	size_t count = 0, i;
	json_t *psk;

	json_array_foreach(psks, i, psk)
		count += strcmp(iot_json_str(psk, "status", ""), "ACTIVE") == 0;
	return count;
}

/* Does the registry have what the board holds, for this thing, under this purpose? */
static void check_item(const char *folder, const char *thing, enum iot_board_item_kind id, enum iot_board_item_kind key,
		       const char *purpose)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_SECRET(4096);
	IOT_CLEAN(iot_free_p) char *identity = item_text(folder, id);
	IOT_CLEAN(iot_free_p) char *secret = item_text(folder, key);
	IOT_CLEAN(iot_free_p) char *want = iot_strf("%s:%s\n", identity, secret);
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_psk_export(cloud, thing, NULL, purpose, IOT_PSK_MOSQUITTO, &text, NULL, &err), &err);
	CU_ASSERT_EQUAL(strlen(secret), 64);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&text), want);
}

/* One thing, one secret of each kind, in registry and board; nothing of it left beside the journal. */
static void check_done(const char *folder, const char *thing)
{
	IOT_CLEAN(iot_free_p) char *keys = iot_path(dir, "state/keys/1");

	CU_ASSERT_EQUAL(active(thing), 2);
	check_item(folder, thing, IOT_ITEM_PSK_IDENTITY, IOT_ITEM_PSK, "connect");
	check_item(folder, thing, IOT_ITEM_ATTEST_ID, IOT_ITEM_ATTEST_KEY, "attest");
	CU_ASSERT_FALSE(iot_fs_exists(keys));
}

/* --- tests ---------------------------------------------------------------------------------------- */

static void check_not_told(const char *text)
{
	IOT_CLEAN(iot_free_p) char *psk = item_text(board_dir, IOT_ITEM_PSK);
	IOT_CLEAN(iot_free_p) char *attest = item_text(board_dir, IOT_ITEM_ATTEST_KEY);

	CU_ASSERT_PTR_NULL(strstr(text, psk));
	CU_ASSERT_PTR_NULL(strstr(text, attest));
}

static void test_fresh_and_again(void)
{
	struct iot_provision_spec spec = spec_of();
	IOT_JSON record = NULL;
	IOT_JSON again = NULL;
	IOT_CLEAN(iot_free_p) char *text = NULL;
	IOT_CLEAN(iot_free_p) char *port = NULL;
	int written;

	spec.endpoint = "gateway.example";
	spec.endpoint_port = 8887;
	record = provision(spec, IOT_OK);
	check_done(board_dir, "pump-1");
	text = json_dumps(record, 0);
	check_not_told(text);
	CU_ASSERT_STRING_EQUAL(iot_json_str(record, "pskIdentity", ""), "pump-1");
	CU_ASSERT_STRING_EQUAL(iot_json_str(record, "attestationIdentity", ""), "pump-1.attest");
	CU_ASSERT_STRING_EQUAL(iot_json_str(record, "keyOrigin", ""), "host");
	CU_ASSERT_TRUE(iot_json_bool(record, "exposedOnWire", false));
	CU_ASSERT_PTR_NULL(json_object_get(record, "certificateId"));
	CU_ASSERT_STRING_EQUAL(iot_json_str(record, "endpoint", ""), "gateway.example");
	port = item_text(board_dir, IOT_ITEM_PORT);
	CU_ASSERT_STRING_EQUAL(port, "8887");
	ASSERT_CONTAINS(text, "the cloud saw it connect under this name");

	written = writes;
	again = provision(spec, IOT_OK);
	CU_ASSERT_FALSE(iot_json_bool(again, "changed", true));
	CU_ASSERT_EQUAL(writes, written);
	check_done(board_dir, "pump-1");
}

/* A flash that was erased gets the same secret again. */
static void test_erased_board(void)
{
	IOT_CLEAN(iot_free_p) char *before = NULL;
	IOT_CLEAN(iot_free_p) char *after = NULL;
	IOT_CLEAN(iot_free_p) char *proved = iot_path(board_dir, "proved");
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON record = NULL;

	json_decref(provision(spec_of(), IOT_OK));
	before = item_text(board_dir, IOT_ITEM_PSK);
	ASSERT_OK(iot_fs_remove_tree(board_dir, &err), &err);
	free(board_dir);
	board_dir = make_board("board-1");
	ASSERT_OK(iot_fs_write(proved, 0644, "", 0, &err), &err);
	record = provision(spec_of(), IOT_OK);
	CU_ASSERT_TRUE(iot_json_bool(record, "changed", false));
	after = item_text(board_dir, IOT_ITEM_PSK);
	CU_ASSERT_STRING_EQUAL(before, after);
	check_done(board_dir, "pump-1");
}

static void test_mute_board(void)
{
	IOT_CLEAN(iot_free_p) char *proved = iot_path(board_dir, "proved");
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON record = NULL;
	IOT_JSON again = NULL;

	mute = true;
	record = provision(spec_of(), IOT_OK);
	CU_ASSERT_STRING_EQUAL(iot_json_str(json_object_get(record, "items"), "shared secret", ""), "accepted");
	ASSERT_OK(iot_fs_write(proved, 0644, "", 0, &err), &err);
	again = provision(spec_of(), IOT_OK);
	CU_ASSERT_FALSE(iot_json_bool(again, "changed", true));
	check_done(board_dir, "pump-1");
}

/* Only what the description names; and what nobody has proved is said. */
static void test_without_attestation(void)
{
	struct iot_provision_spec spec = spec_of();
	IOT_CLEAN(iot_free_p) char *attest = iot_path(board_dir, "attestation-key");
	IOT_CLEAN(iot_free_p) char *text = NULL;
	IOT_JSON record = NULL;

	spec.board = plain;
	record = provision(spec, IOT_OK);
	CU_ASSERT_EQUAL(active("pump-1"), 1);
	check_item(board_dir, "pump-1", IOT_ITEM_PSK_IDENTITY, IOT_ITEM_PSK, "connect");
	CU_ASSERT_FALSE(iot_fs_exists(attest));
	text = json_dumps(json_object_get(record, "notProved"), 0);
	ASSERT_CONTAINS(text, "that it can use its secret");

	/* The description grows: the secret stays, the key for tokens is added. */
	json_decref(provision(spec_of(), IOT_OK));
	check_done(board_dir, "pump-1");
}

static void test_not_seen(void)
{
	struct iot_provision_spec spec = spec_of();
	IOT_CLEAN(iot_free_p) char *secrets = iot_path(dir, "state/keys/1/secrets");

	connects = false;
	json_decref(provision(spec, IOT_VERIFY));
	ASSERT_CONTAINS(line, "not proved");
	CU_ASSERT_TRUE(iot_fs_exists(secrets));
	connects = true;
	with = "0000000000000000000000000000000000000000000000000000000000000001";
	json_decref(provision(spec, IOT_VERIFY));
	ASSERT_CONTAINS(line, "by a certificate");
	with = NULL;
	json_decref(provision(spec, IOT_OK));
	check_done(board_dir, "pump-1");
}

/* --- whose secret is it ------------------------------------------------------------------------------ */

static void test_reuse_is_refused(void)
{
	struct iot_provision_spec spec = spec_of();
	IOT_CLEAN(iot_free_p) char *first = NULL;
	IOT_CLEAN(iot_free_p) char *other = make_board("board-2");
	IOT_CLEAN(iot_free_p) char *folder = iot_path(dir, "state/keys/2");
	IOT_CLEAN(iot_free_p) char *path = iot_path(folder, "secrets");
	IOT_CLEAN(iot_free_p) char *text = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	int written;

	json_decref(provision(spec, IOT_OK));
	first = item_text(board_dir, IOT_ITEM_PSK);
	text = iot_strf("# pump-2\npump-2:%s\n", first);
	ASSERT_OK(iot_fs_mkdirs(folder, 0700, &err), &err);
	ASSERT_OK(iot_fs_create_private(path, text, strlen(text), &err), &err);
	written = writes;
	spec.port = other;
	spec.name = "pump-2";
	json_decref(provision(spec, IOT_CONFLICT));
	ASSERT_CONTAINS(line, "pump-1");
	CU_ASSERT_EQUAL(writes, written);
	CU_ASSERT_EQUAL(active("pump-2"), 0);
	check_not_told(line);
}

static void test_revoked(void)
{
	struct iot_provision_spec spec = spec_of();
	IOT_CLEAN(iot_free_p) char *before = NULL;
	IOT_CLEAN(iot_free_p) char *after = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON request = json_pack("{s:s}", "identity", "pump-1");

	json_decref(provision(spec, IOT_OK));
	before = item_text(board_dir, IOT_ITEM_PSK);
	ASSERT_OK(iot_cloud_call(cloud, "iotctl:RevokePsk", request, NULL, NULL, NULL, &err), &err);
	json_decref(provision(spec, IOT_CONFLICT));
	ASSERT_CONTAINS(line, "--replace");
	spec.replace = true;
	json_decref(provision(spec, IOT_OK));
	after = item_text(board_dir, IOT_ITEM_PSK);
	CU_ASSERT_STRING_NOT_EQUAL(before, after);
	check_done(board_dir, "pump-1"); /* the attestation key of the old one is revoked with it */
}

static void test_other_secret(void)
{
	struct iot_provision_spec spec = spec_of();
	struct iot_device_spec device = {.name = "pump-1"};
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON request = json_pack("{s:s}", "thingName", "pump-1");
	json_t *record = NULL;

	ASSERT_OK(iot_device_create(cloud, &device, &record, &err), &err);
	json_decref(record);
	ASSERT_OK(iot_cloud_call(cloud, "iotctl:CreatePsk", request, NULL, NULL, NULL, &err), &err);
	json_decref(provision(spec, IOT_CONFLICT));
	ASSERT_CONTAINS(line, "exists with another shared secret");
	CU_ASSERT_EQUAL(writes, 0);
	spec.replace = true;
	json_decref(provision(spec, IOT_OK));
	CU_ASSERT_EQUAL(active("pump-1"), 3);
	spec.replace = false;
	json_decref(provision(spec, IOT_CONFLICT)); /* as with a second certificate */
}

/* The board becomes another device: what it was, nobody is any more. */
static void test_another_name(void)
{
	struct iot_provision_spec spec = spec_of();

	json_decref(provision(spec, IOT_OK));
	spec.name = "pump-2";
	json_decref(provision(spec, IOT_CONFLICT));
	spec.replace = true;
	json_decref(provision(spec, IOT_OK));
	CU_ASSERT_EQUAL(active("pump-1"), 0);
	check_done(board_dir, "pump-2");
}

static size_t certificates(void)
{
	IOT_JSON reply = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_cloud_call(cloud, "ListCertificates", NULL, NULL, &reply, NULL, &err), &err);
	return json_array_size(json_object_get(reply, "certificates"));
}

/* From a certificate to a shared secret, and back: what it had is taken away. */
static void test_another_kind(void)
{
	IOT_CLEAN(iot_free_p)
	char *host = write_description("host.json", DESCRIPTION("{\"origin\": \"host\", \"onWire\": true}", ""));
	struct iot_provision_spec spec = spec_of();

	spec.board = host;
	json_decref(provision(spec, IOT_OK));
	CU_ASSERT_EQUAL(certificates(), 1);
	spec.board = attesting;
	json_decref(provision(spec, IOT_OK));
	CU_ASSERT_EQUAL(certificates(), 0);
	check_done(board_dir, "pump-1");
	spec.board = host;
	json_decref(provision(spec, IOT_OK));
	CU_ASSERT_EQUAL(certificates(), 1);
	CU_ASSERT_EQUAL(active("pump-1"), 0);
}

static void test_damaged_file(void)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "state/keys/1/secrets");
	static const char *const texts[] = {"# pump-1\n", "# pump-1\npump-1:12\n", "# pump-1\nno line",
					    "# pump-1\n:0011\n"};
	struct iot_error err = IOT_ERROR_INIT;

	connects = false;
	json_decref(provision(spec_of(), IOT_VERIFY));
	for (size_t i = 0; i < IOT_LENGTH(texts); i++) {
		ASSERT_OK(iot_fs_write(path, 0600, texts[i], strlen(texts[i]), &err), &err);
		json_decref(provision(spec_of(), IOT_FAILURE));
		ASSERT_CONTAINS(line, "is damaged");
	}
	ASSERT_OK(iot_fs_write(path, 0644, texts[0], strlen(texts[0]), &err), &err);
	json_decref(provision(spec_of(), IOT_DENIED));
}

/* --- descriptions ------------------------------------------------------------------------------------ */

static void check_refused(const char *text, const char *why)
{
	IOT_CLEAN(iot_free_p) char *path = write_description("bad.json", text);
	struct iot_provision_spec spec = spec_of();

	spec.board = path;
	json_decref(provision(spec, IOT_USAGE));
	ASSERT_CONTAINS(line, why);
}

static void test_descriptions(void)
{
	struct iot_provision_spec spec = spec_of();
	static const char *const policies[] = {"device", NULL};

	check_refused(DESCRIPTION("{\"origin\": \"psk\"}", ""), "the shared secret of board 'fake' would cross");
	check_refused(DESCRIPTION(PSK, ", \"install\": [\"psk-identity\", \"psk\", \"certificate\"]"), "'certificate'");
	check_refused(DESCRIPTION(PSK, ", \"install\": [\"psk\", \"endpoint\"]"), "'psk-identity'");
	check_refused(DESCRIPTION(PSK, ", \"prove\": [\"sign\"]"), "prove");
	check_refused("{\"name\": \"e\", \"dialect\": \"expresslink\", \"key\": " PSK "}", "origin 'psk'");
	spec.policies = policies;
	json_decref(provision(spec, IOT_USAGE));
	ASSERT_CONTAINS(line, "--group GROUP");
	CU_ASSERT_EQUAL(writes, 0);
}

/* --- killed ---------------------------------------------------------------------------------------- */

static void at_point(const char *step, bool done, void *data)
{
	int *left = data;

	(void)step;
	(void)done;
	if ((*left)-- == 0)
		raise(SIGKILL);
}

/* Not a test of its own: this program again, in another's world, as the process that dies. */
static void test_victim(void)
{
	const char *point = getenv("VICTIM_POINT");
	struct iot_provision_spec spec;
	struct iot_error err = IOT_ERROR_INIT;
	json_t *record = NULL;
	int left;

	if (point == NULL)
		return;
	left = atoi(point);
	attesting = getenv("VICTIM_BOARD");
	board_dir = getenv("VICTIM_PORT");
	journal = getenv("VICTIM_JOURNAL");
	connects = true;
	spec = spec_of();
	spec.point = at_point;
	spec.data = &left;
	if (iot_local_open(getenv("VICTIM_FLEET"), &cloud, &err) == IOT_OK &&
	    iot_provision(cloud, &spec, &record, &err) == IOT_OK)
		_exit(0);
	_exit(1);
}

static int killed_at(int point)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", point);
	setenv("VICTIM_BOARD", attesting, 1);
	return run_victim(number, board_dir);
}

static void test_killed(void)
{
	int point = 0, ended;

	while ((ended = killed_at(point)) == SIGKILL) {
		IOT_JSON again = NULL;

		json_decref(provision(spec_of(), IOT_OK));
		check_done(board_dir, "pump-1");
		again = provision(spec_of(), IOT_OK);
		CU_ASSERT_FALSE(iot_json_bool(again, "changed", true));
		point++;
		tear_down();
		set_up();
	}
	CU_ASSERT_EQUAL(ended, 0);
	CU_ASSERT_TRUE(point >= 14); /* before and after seven steps, but for the end of the last */
}

UNIT_MAIN("fleet/provision_psk", set_up, tear_down, {"fresh-and-again", test_fresh_and_again},
	  {"erased", test_erased_board}, {"mute", test_mute_board}, {"without-attestation", test_without_attestation},
	  {"not-seen", test_not_seen}, {"reuse", test_reuse_is_refused}, {"revoked", test_revoked},
	  {"other-secret", test_other_secret}, {"another-name", test_another_name}, {"another-kind", test_another_kind},
	  {"damaged-file", test_damaged_file}, {"descriptions", test_descriptions}, {"killed", test_killed},
	  {"victim", test_victim})
