/*
 * Provisioning against a played module and a real local cloud: what both hold
 * afterwards, that a repetition changes nothing, that a kill at any step is
 * finished by the next run, and whom it leaves alone.
 */
#include "iotctl/board.h"
#include "iotctl/cert.h"

#include "board/fake_module.h"
#include "fleet/provision_fixture.h"

#define UID "4a1fb7f2-9d02-4b06-b2b5-2c1f2cb9a1e0"

static struct fake_module module;
static struct iot_cert *birth;
static char *broker_sees; /* certificate id with which the broker sees the module connect; NULL: it sees nothing */
static int64_t connection;

/* What serve does when the broker tells of a client; called by the module's thread. */
static void connected(bool up, void *data)
{
	IOT_CLEAN(iot_cloud_free_p) struct iot_cloud *own = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	(void)data;
	if (broker_sees == NULL)
		return;
	if (iot_local_open(fleet_dir, &own, &err) != IOT_OK ||
	    iot_local_presence(own, UID, up, ++connection, NULL, "127.0.0.1", broker_sees, &err) != IOT_OK)
		abort();
}

static struct iot_cert *make_birth(struct iot_key *ca_key, const struct iot_cert *ca)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	struct iot_cert_request request = {.profile = IOT_PROFILE_DEVICE, .common_name = UID, .days = 3650};
	struct iot_cert *cert = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_key_generate(IOT_KEY_P256, &key, &err), &err);
	request.key = key;
	ASSERT_OK(iot_cert_issue(ca_key != NULL ? ca_key : key, ca, &request, &cert, &err), &err);
	return cert;
}

/* A module that holds this certificate; not started yet. */
static void make_module(struct iot_cert *cert)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf pem = IOT_BUF_INIT(32768);

	iot_cert_free(birth);
	birth = cert;
	iot_cert_pem(cert, &pem);
	fake_init(&module, UID, iot_buf_str(&pem));
	module.connected = connected;
	free(broker_sees);
	broker_sees = iot_strdup(iot_cert_id(cert));
}

static void set_up(void)
{
	if (is_victim())
		return;
	make_fleet();
	make_module(make_birth(NULL, NULL));
	fake_start(&module);
}

static void tear_down(void)
{
	fake_stop(&module);
	iot_cert_free(birth);
	birth = NULL;
	free(broker_sees);
	broker_sees = NULL;
	remove_fleet();
}

/* A module with another certificate in place of the one that set_up made. */
static void exchange_module(struct iot_cert *cert)
{
	fake_stop(&module);
	make_module(cert);
	fake_start(&module);
}

static struct iot_provision_spec spec_of(void)
{
	return (struct iot_provision_spec){.board = "expresslink",
					   .port = module.path,
					   .journal = journal,
					   .interrupt_fd = -1,
					   .connect_timeout_ms = 2000,
					   .proof_timeout_ms = 300};
}

static size_t count(const char *operation, const char *items)
{
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON reply = NULL;

	ASSERT_OK(iot_cloud_call(cloud, operation, NULL, NULL, &reply, NULL, &err), &err);
	return json_array_size(json_object_get(reply, items));
}

static char *file_text(const char *folder, const char *name)
{
	IOT_CLEAN(iot_free_p) char *path = iot_strf("%s/%s/%s", fleet_dir, folder, name);
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(65536);
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_fs_read(path, &text, &err), &err);
	return iot_buf_detach(&text);
}

/* Does this key of the module hold the certificate of this file? */
static void check_holds(const char *key, const char *folder, const char *name)
{
	IOT_CLEAN(iot_free_p) char *text = file_text(folder, name);
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *wanted = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *held = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_cert_parse_pem(text, strlen(text), name, &wanted, &err), &err);
	ASSERT_OK(iot_cert_parse_pem(fake_get(&module, key), strlen(fake_get(&module, key)), key, &held, &err), &err);
	CU_ASSERT_TRUE(wanted != NULL && held != NULL && strcmp(iot_cert_id(wanted), iot_cert_id(held)) == 0);
}

/* Exactly one identity, complete on both sides. */
static void check_done(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON device = NULL;
	const json_t *certificate;

	CU_ASSERT_EQUAL(count("ListThings", "things"), 1);
	CU_ASSERT_EQUAL(count("ListCertificates", "certificates"), 1);
	ASSERT_OK(iot_device_show(cloud, UID, &device, &err), &err);
	certificate = json_array_get(json_object_get(device, "certificates"), 0);
	CU_ASSERT_STRING_EQUAL(iot_json_str(certificate, "certificateId", ""), iot_cert_id(birth));
	CU_ASSERT_STRING_EQUAL(iot_json_str(certificate, "status", ""), "ACTIVE");
	CU_ASSERT_STRING_EQUAL(json_string_value(json_array_get(json_object_get(certificate, "policies"), 0)),
			       "device");
	CU_ASSERT_STRING_EQUAL(fake_get(&module, "Endpoint"), "iot.example");
	check_holds("RootCA", "ca", "root.pem");
	check_holds("HOTAcertificate", "codesign", "default.pem");
	CU_ASSERT_TRUE(module.online);
}

static void test_fresh_and_again(void)
{
	struct iot_provision_spec spec = spec_of();
	IOT_JSON record = NULL;
	IOT_JSON again = NULL;
	int writes;

	spec.name = "pump-0001";
	spec.type = "pump";
	spec.serial_number = "SN-7";
	record = provision(spec, IOT_OK);
	check_done();
	CU_ASSERT_STRING_EQUAL(fake_get(&module, "CustomName"), "pump-0001");
	CU_ASSERT_STRING_EQUAL(iot_json_str(record, "thingName", ""), UID);
	CU_ASSERT_STRING_EQUAL(iot_json_str(record, "alias", ""), "pump-0001");
	CU_ASSERT_STRING_EQUAL(iot_json_str(record, "keyOrigin", ""), "board");
	CU_ASSERT_STRING_EQUAL(iot_json_str(record, "certificateId", ""), iot_cert_id(birth));
	CU_ASSERT_TRUE(iot_json_bool(record, "changed", false));
	CU_ASSERT_FALSE(iot_json_bool(record, "resumed", true));
	CU_ASSERT_EQUAL(json_array_size(json_object_get(record, "notProved")), 0);
	CU_ASSERT_TRUE(json_array_size(json_object_get(record, "proof")) >= 5);

	writes = module.writes;
	again = provision(spec, IOT_OK);
	check_done();
	CU_ASSERT_FALSE(iot_json_bool(again, "changed", true));
	CU_ASSERT_FALSE(iot_json_bool(again, "resumed", true));
	CU_ASSERT_EQUAL(module.writes, writes);
	CU_ASSERT_EQUAL(fake_heard(&module, "AT+CONNECT\n"), 1);
	CU_ASSERT_EQUAL(fake_heard(&module, "DISCONNECT"), 0);
}

/* A run that does not give the names again says them all the same, and keeps them. */
static void test_names_are_kept(void)
{
	struct iot_provision_spec spec = spec_of();
	IOT_JSON again = NULL;

	spec.name = "pump-0001";
	spec.serial_number = "SN-7";
	json_decref(provision(spec, IOT_OK));
	spec.name = spec.serial_number = NULL;
	again = provision(spec, IOT_OK);
	CU_ASSERT_STRING_EQUAL(iot_json_str(again, "alias", ""), "pump-0001");
	CU_ASSERT_STRING_EQUAL(iot_json_str(again, "serialNumber", ""), "SN-7");
	CU_ASSERT_FALSE(iot_json_bool(again, "changed", true));
	CU_ASSERT_STRING_EQUAL(fake_get(&module, "CustomName"), "pump-0001");
}

static void push(const struct iot_push_spec *spec, enum iot_status expected)
{
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON record = NULL;

	ASSERT_STATUS(iot_ota_push(cloud, spec, &record, &err), expected, &err);
	iot_error_line(&err, line, sizeof(line));
}

/* Which part of a module an image is for cannot be guessed, alone or in a group. */
static void test_update_without_kind(void)
{
	IOT_CLEAN(iot_free_p) char *image = iot_path(dir, "image.bin");
	static const char *const devices[] = {UID, NULL}, *const groups[] = {"all", NULL};
	struct iot_push_spec update = {.image = image, .version = "1.0.0", .devices = devices};
	struct iot_provision_spec spec = spec_of();
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON group = json_pack("{s:s}", "thingGroupName", "all");

	ASSERT_OK(iot_fs_write(image, 0644, "image", 5, &err), &err);
	ASSERT_OK(iot_cloud_call(cloud, "CreateThingGroup", group, NULL, NULL, NULL, &err), &err);
	spec.groups = groups;
	json_decref(provision(spec, IOT_OK));
	push(&update, IOT_USAGE);
	ASSERT_CONTAINS(line, "is an ExpressLink module");
	ASSERT_CONTAINS(line, "--kind host");
	update.devices = NULL;
	update.groups = groups;
	push(&update, IOT_USAGE);
	ASSERT_CONTAINS(line, UID);
	CU_ASSERT_EQUAL(count("ListJobs", "jobs"), 0);
	update.kind = IOT_PUSH_HOST;
	push(&update, IOT_OK);
	CU_ASSERT_EQUAL(count("ListJobs", "jobs"), 1);
}

/* A run ended while it wrote the endpoint: what stands there is no other fleet's. */
static void test_hurt_endpoint(void)
{
	struct iot_provision_spec spec = spec_of();

	module.refuse = "Endpoint";
	module.refuse_with = "ERR25 NOT ALLOWED";
	json_decref(provision(spec, IOT_BOARD));
	module.refuse = NULL;
	fake_set(&module, "Endpoint", "iot.exampl", true, true);
	json_decref(provision(spec, IOT_OK));
	check_done();
	/* Afterwards it is again. */
	fake_set(&module, "Endpoint", "iot.exampl", true, true);
	json_decref(provision(spec, IOT_CONFLICT));
	ASSERT_CONTAINS(line, "belongs to another fleet");
}

static void test_old_module(void)
{
	struct iot_provision_spec spec = spec_of();

	fake_stop(&module);
	make_module(make_birth(NULL, NULL));
	module.old = true;
	fake_set(&module, "Endpoint", "", true, true); /* else v0.5 cannot tell whose it is */
	fake_start(&module);
	json_decref(provision(spec, IOT_OK));
	check_done();
}

static void test_vendor_certificate(void)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *ca = NULL;
	IOT_CLEAN(iot_buf_release) struct iot_buf pem = IOT_BUF_INIT(32768);
	struct iot_provision_spec spec = spec_of();
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON request = NULL;

	ASSERT_OK(iot_key_generate(IOT_KEY_P256, &key, &err), &err);
	ASSERT_OK(iot_ca_create_root(key, "vendor", 3650, &ca, &err), &err);
	exchange_module(make_birth(key, ca));
	json_decref(provision(spec, IOT_VERIFY));
	ASSERT_CONTAINS(line, "'iotctl ca trust vendor.pem'");
	CU_ASSERT_EQUAL(module.writes, 0);
	CU_ASSERT_EQUAL(count("ListThings", "things"), 0);
	CU_ASSERT_EQUAL(count("ListCertificates", "certificates"), 0);

	iot_cert_pem(ca, &pem);
	request = json_pack("{s:s, s:b, s:s}", "caCertificate", iot_buf_str(&pem), "setAsActive", 1, "certificateMode",
			    "SNI_ONLY");
	ASSERT_OK(iot_cloud_call(cloud, "RegisterCACertificate", request, NULL, NULL, NULL, &err), &err);
	json_decref(provision(spec, IOT_OK));
	check_done();
}

static void test_other_fleet(void)
{
	struct iot_provision_spec spec = spec_of();
	IOT_JSON record = NULL;

	fake_set(&module, "Endpoint", "other.example", true, true);
	json_decref(provision(spec, IOT_CONFLICT));
	ASSERT_CONTAINS(line, "other.example");
	ASSERT_CONTAINS(line, "--replace");
	CU_ASSERT_EQUAL(module.writes, 0);
	CU_ASSERT_EQUAL(count("ListThings", "things"), 0);

	spec.replace = true;
	record = provision(spec, IOT_OK);
	check_done();
	CU_ASSERT_EQUAL(fake_heard(&module, "FACTORY_RESET"), 0); /* not needed: nothing was in the way */
}

/* The other fleet's code-signing certificate does not let ours in: only a factory reset does. */
static void test_other_signer(void)
{
	struct iot_provision_spec spec = spec_of();

	fake_stop(&module);
	make_module(make_birth(NULL, NULL));
	fake_set(&module, "HOTAcertificate", "-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n", true,
		 true);
	module.refuse = "HOTAcertificate";
	module.refuse_with = "ERR23 INVALID SIGNATURE";
	fake_start(&module);
	json_decref(provision(spec, IOT_VERIFY));
	ASSERT_CONTAINS(line, "(ERR23)");
	CU_ASSERT_EQUAL(fake_heard(&module, "FACTORY_RESET"), 0);
	spec.replace = true;
	json_decref(provision(spec, IOT_OK));
	CU_ASSERT_EQUAL(fake_heard(&module, "FACTORY_RESET"), 1);
	check_done();
}

static void test_not_proved(void)
{
	struct iot_provision_spec spec = spec_of();

	free(broker_sees);
	broker_sees = NULL; /* says that it is connected, the broker knows nothing */
	json_decref(provision(spec, IOT_VERIFY));
	ASSERT_CONTAINS(line, "not proved");
	broker_sees = iot_strdup("0000000000000000000000000000000000000000000000000000000000000001");
	json_decref(provision(spec, IOT_VERIFY));
	ASSERT_CONTAINS(line, "by another certificate");
	free(broker_sees);
	broker_sees = iot_strdup(iot_cert_id(birth));
	json_decref(provision(spec, IOT_OK));
	check_done();
}

static void test_cannot_connect(void)
{
	struct iot_provision_spec spec = spec_of();
	IOT_JSON record = NULL;

	module.connect_answer = "ERR14 3 UNABLE TO CONNECT";
	json_decref(provision(spec, IOT_VERIFY));
	ASSERT_CONTAINS(line, "(ERR14 3)");
	module.connect_answer = NULL;
	record = provision(spec, IOT_OK);
	CU_ASSERT_TRUE(iot_json_bool(record, "resumed", false));
	check_done();
}

/* --- killed at each step --------------------------------------------------------------- */

static void die_at(const char *step, void *data)
{
	if (strcmp(step, data) == 0)
		_exit(99);
}

/* Not a test of its own: this program again, with another's fleet and module, as the process that dies. */
static void test_victim(void)
{
	const char *step = getenv("VICTIM_POINT");
	struct iot_provision_spec spec = spec_of();
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_cloud *others = NULL;
	json_t *ignored = NULL;

	if (step == NULL)
		return;
	spec.name = "pump-0001";
	spec.port = getenv("VICTIM_PORT");
	spec.journal = getenv("VICTIM_JOURNAL");
	spec.progress = die_at;
	spec.data = (void *)(uintptr_t)step;
	if (iot_local_open(getenv("VICTIM_FLEET"), &others, &err) == IOT_OK)
		(void)!iot_provision(others, &spec, &ignored, &err);
	_exit(1);
}

static void check_killed_at(const char *step)
{
	struct iot_provision_spec spec = spec_of();
	IOT_JSON record = NULL;

	spec.name = "pump-0001";
	CU_ASSERT_EQUAL(run_victim(step, module.path), 99);
	record = provision(spec, IOT_OK);
	CU_ASSERT_EQUAL(iot_json_bool(record, "resumed", false),
			strcmp(step, "identify") != 0 && strcmp(step, "reserve") != 0);
	check_done();
}

static void test_killed(void)
{
	static const char *const steps[] = {"identify", "reserve", "certificate", "register", "thing",
					    "policy",   "program", "connect",     "verify",   "record"};

	for (size_t i = 0; i < IOT_LENGTH(steps); i++) {
		if (i > 0) {
			tear_down();
			set_up();
		}
		check_killed_at(steps[i]);
	}
}

/* --- names ------------------------------------------------------------------------------- */

static void test_taken_names(void)
{
	struct iot_provision_spec spec = spec_of();
	struct iot_device_spec device = {.name = "other", .alias = "pump-0001"};
	struct iot_error err = IOT_ERROR_INIT;
	json_t *record = NULL;

	ASSERT_OK(iot_device_create(cloud, &device, &record, &err), &err);
	json_decref(record);
	spec.name = "pump-0001";
	json_decref(provision(spec, IOT_CONFLICT));
	CU_ASSERT_EQUAL(module.writes, 0);
}

/* The same UID with another key: another module, or a clone. */
static void test_other_key(void)
{
	struct iot_provision_spec spec = spec_of();

	json_decref(provision(spec, IOT_OK));
	exchange_module(make_birth(NULL, NULL));
	spec.port = module.path;
	json_decref(provision(spec, IOT_CONFLICT));
	ASSERT_CONTAINS(line, "had another key");
	CU_ASSERT_EQUAL(module.writes, 0);
	CU_ASSERT_EQUAL(count("ListCertificates", "certificates"), 1);
}

static void test_serial_number_is_unique(void)
{
	struct iot_provision_spec spec = spec_of();

	spec.serial_number = "SN-1";
	json_decref(provision(spec, IOT_OK));
	exchange_module(make_birth(NULL, NULL));
	fake_set(&module, "ThingName", "other-module", true, false);
	spec.port = module.path;
	json_decref(provision(spec, IOT_CONFLICT));
	ASSERT_CONTAINS(line, "serial number");
	CU_ASSERT_EQUAL(module.writes, 0);
}

/* --- Wi-Fi --------------------------------------------------------------------------------- */

static void test_wifi(void)
{
	IOT_CLEAN(iot_free_p) char *file = iot_path(dir, "wifi");
	struct iot_secret_source password = iot_secret_from_file(file);
	struct iot_provision_spec spec = spec_of();
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON record = NULL;
	IOT_JSON again = NULL;

	ASSERT_OK(iot_fs_create_private(file, "hunter2\n", 8, &err), &err);
	spec.wifi_password = &password;
	json_decref(provision(spec, IOT_USAGE)); /* of which network? */
	spec.wifi_ssid = "plant";
	record = provision(spec, IOT_OK);
	CU_ASSERT_STRING_EQUAL(fake_get(&module, "SSID"), "plant");
	CU_ASSERT_STRING_EQUAL(fake_get(&module, "Passphrase"), "hunter2");
	CU_ASSERT_EQUAL(json_array_size(json_object_get(record, "notProved")), 1);
	again = provision(spec, IOT_OK);
	CU_ASSERT_FALSE(iot_json_bool(again, "changed", true));
	CU_ASSERT_EQUAL(fake_heard(&module, "Passphrase"), 1);
}

static void test_bad_port(void)
{
	struct iot_provision_spec spec = spec_of();

	spec.port = "/nowhere/ttyUSB0";
	json_decref(provision(spec, IOT_BOARD));
	ASSERT_CONTAINS(line, "board list");
	spec.board = "toaster";
	json_decref(provision(spec, IOT_NOT_FOUND));
	CU_ASSERT_EQUAL(count("ListThings", "things"), 0);
}

UNIT_MAIN("fleet/provision", set_up, tear_down, {"fresh-and-again", test_fresh_and_again},
	  {"names-are-kept", test_names_are_kept}, {"update-without-kind", test_update_without_kind},
	  {"hurt-endpoint", test_hurt_endpoint}, {"old-module", test_old_module},
	  {"vendor-certificate", test_vendor_certificate}, {"other-fleet", test_other_fleet},
	  {"other-signer", test_other_signer}, {"not-proved", test_not_proved}, {"cannot-connect", test_cannot_connect},
	  {"killed", test_killed}, {"victim", test_victim}, {"taken-names", test_taken_names},
	  {"other-key", test_other_key}, {"serial-number", test_serial_number_is_unique}, {"wifi", test_wifi},
	  {"bad-port", test_bad_port})
