/*
 * The local cloud around its operations: making and opening a fleet, all or
 * nothing, several processes at once, the trust directory, waking serve.
 */
#include "unit.h"

#include "iotctl/base.h"
#include "iotctl/cert.h"
#include "iotctl/clock.h"
#include "iotctl/json.h"
#include "iotctl/local.h"

#include "cloud/local/local_private.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char *dir;
static char *fleet;
static struct iot_cloud *cloud;
static struct iot_error err;

static void set_up(void)
{
	dir = unit_mkdtemp();
	fleet = iot_path(dir, "fleet");
	iot_error_clear(&err);
	ASSERT_OK(iot_local_create(fleet, "demo", &err), &err);
	ASSERT_OK(iot_local_open(fleet, &cloud, &err), &err);
}

static void tear_down(void)
{
	iot_cloud_free(cloud);
	cloud = NULL;
	ASSERT_OK(iot_fs_remove_tree(dir, &err), &err);
	free(dir);
	free(fleet);
}

/* Carry out an operation with members in pairs, NULL-terminated; the reply stays until the next call. */
static json_t *reply;

static enum iot_status call(const char *operation, ...)
{
	IOT_JSON request = json_object();
	enum iot_status status;
	const char *key;
	va_list args;

	va_start(args, operation);
	while ((key = va_arg(args, const char *)) != NULL) {
		const char *value = va_arg(args, const char *);

		if (strcmp(value, "true") == 0)
			iot_json_set_bool(request, key, true);
		else
			iot_json_set_str(request, key, value);
	}
	va_end(args);
	json_decref(reply);
	reply = NULL;
	iot_error_clear(&err);
	status = iot_cloud_call(cloud, operation, request, NULL, &reply, NULL, &err);
	return status;
}

static const char *got(const char *key)
{
	return iot_json_str(reply, key, "");
}

/* --- fleets -------------------------------------------------------------------------- */

static void test_create(void)
{
	const struct iot_fleet_paths *paths = iot_local_paths(cloud);
	const char *const private[] = {paths->dir, paths->ca_dir, paths->registry, paths->codesign_dir};
	char *name = NULL;
	struct stat st;

	for (size_t i = 0; i < IOT_LENGTH(private); i++) {
		CU_ASSERT_EQUAL(stat(private[i], &st), 0);
		CU_ASSERT_EQUAL(st.st_mode & 077, 0);
	}
	CU_ASSERT_STRING_EQUAL(iot_cloud_kind(cloud), "local");
	ASSERT_OK(iot_local_meta_get(cloud, "name", &name, &err), &err);
	CU_ASSERT_STRING_EQUAL(name, "demo");
	free(name);
	ASSERT_OK(iot_local_meta_set(cloud, "port", "8883", &err), &err);
	ASSERT_OK(iot_local_meta_set(cloud, "port", "8884", &err), &err);
	ASSERT_OK(iot_local_meta_get(cloud, "port", &name, &err), &err);
	CU_ASSERT_STRING_EQUAL(name, "8884");
	free(name);
	ASSERT_OK(iot_local_meta_get(cloud, "unset", &name, &err), &err);
	CU_ASSERT_PTR_NULL(name);
	ASSERT_STATUS(iot_local_create(fleet, "other", &err), IOT_CONFLICT, &err);
	ASSERT_CONTAINS(err.what, fleet);
}

static size_t files_in(const char *path)
{
	DIR *folder = opendir(path);
	size_t count = 0;
	struct dirent *entry;

	while (folder != NULL && (entry = readdir(folder)) != NULL)
		count += entry->d_name[0] != '.';
	if (folder != NULL)
		closedir(folder);
	return count;
}

static void test_open_faults(void)
{
	const char *registry = iot_local_paths(cloud)->registry;
	char *path = iot_strdup(registry);
	char *nowhere = iot_path(dir, "nowhere");
	struct iot_cloud *other = NULL;
	int fd;

	ASSERT_STATUS(iot_local_open(nowhere, &other, &err), IOT_NOT_FOUND, &err);
	ASSERT_CONTAINS(err.what, nowhere);
	ASSERT_CONTAINS(err.hint, "iotctl init");
	CU_ASSERT_FALSE(iot_fs_exists(nowhere));

	ASSERT_OK(iot_store_run(iot_local_store(cloud), NULL, &err, "PRAGMA user_version = 999", ""), &err);
	ASSERT_STATUS(iot_local_open(fleet, &other, &err), IOT_SETTINGS, &err);
	ASSERT_CONTAINS(err.what, "version 999");
	iot_cloud_free(cloud);
	cloud = NULL;

	fd = open(path, O_WRONLY);
	CU_ASSERT_EQUAL(write(fd, "this is no database at all", 26), 26);
	close(fd);
	ASSERT_STATUS(iot_local_open(fleet, &other, &err), IOT_FAILURE, &err);
	ASSERT_CONTAINS(err.what, "registry");
	ASSERT_CONTAINS(err.hint, "iotctl restore");
	free(path);
	free(nowhere);
}

static const struct iot_local_handler *const parts[] = {
	iot_local_registry_handlers, iot_local_jobs_handlers,   iot_local_shadow_handlers,
	iot_local_config_handlers,   iot_local_secret_handlers, iot_local_key_handlers,
	iot_local_attest_handlers,   iot_local_fleet_handlers,  iot_local_message_handlers};

static size_t handlers_of(const struct iot_operation *op)
{
	char name[96];
	size_t count = 0;

	snprintf(name, sizeof(name), "%s%s%s", strcmp(op->service, "iot") != 0 ? op->service : "",
		 strcmp(op->service, "iot") != 0 ? ":" : "", op->name);
	for (size_t part = 0; part < IOT_LENGTH(parts); part++) {
		for (const struct iot_local_handler *handler = parts[part]; handler->operation != NULL; handler++)
			count += strcmp(handler->operation, name) == 0;
	}
	return count;
}

/*
 * Every operation of the table is carried out, by one handler, and there is no handler besides; but for the last rows
 * (operations/service.inc), which only AWS has, and whose refusal says so.
 */
static void test_complete(void)
{
	const struct iot_operation *end = iot_operation_find("CreateDynamicThingGroup");
	size_t handlers = 0;
	size_t operations = 0;

	ASSERT_STATUS(iot_cloud_call(cloud, "ListJobTemplates", NULL, NULL, NULL, NULL, &err), IOT_USAGE, &err);
	CU_ASSERT_STRING_EQUAL(err.code, "NotImplementedException");
	iot_error_clear(&err);
	for (size_t i = 0; i < iot_operation_count; i++) {
		if (&iot_operations[i] >= end) {
			CU_ASSERT_EQUAL(handlers_of(&iot_operations[i]), 0);
			continue;
		}
		if (handlers_of(&iot_operations[i]) != 1)
			fprintf(stderr, "\n%s:%s has no handler\n", iot_operations[i].service, iot_operations[i].name);
		CU_ASSERT_EQUAL(handlers_of(&iot_operations[i]), 1);
		operations++;
	}
	for (size_t part = 0; part < IOT_LENGTH(parts); part++) {
		for (const struct iot_local_handler *handler = parts[part]; handler->operation != NULL; handler++)
			handlers++;
	}
	CU_ASSERT_EQUAL(handlers, operations);
}

/* What somebody elsewhere is told of the fleet: public things, and nothing for names that are paths. */
static void test_facts(void)
{
	IOT_JSON facts = NULL;
	IOT_JSON layout = NULL;
	IOT_JSON request = json_pack("{s:s}", "layoutName", "mine");
	IOT_JSON tricky = json_pack("{s:s}", "layoutName", "../registry");
	char *folder = iot_path(fleet, "layouts"), *file = iot_path(folder, "mine.json");

	ASSERT_OK(iot_local_meta_set(cloud, "endpoint", "fleet.example", &err), &err);
	ASSERT_OK(iot_local_meta_set(cloud, "port", "8883", &err), &err);
	ASSERT_OK(iot_local_meta_set(cloud, "layout", "gcp", &err), &err);
	ASSERT_OK(iot_local_meta_set(cloud, "layout/pump", "mine", &err), &err);
	ASSERT_OK(iot_local_meta_set(cloud, "layoutx", "no", &err), &err);
	ASSERT_OK(iot_fs_mkdirs(folder, 0700, &err), &err);
	ASSERT_OK(iot_fs_write(file, 0644, "{\"name\":\"mine\"}", 15, &err), &err);
	ASSERT_OK(iot_cloud_call(cloud, "iotctl:DescribeFleet", NULL, NULL, &facts, NULL, &err), &err);
	CU_ASSERT_STRING_EQUAL(iot_json_str(facts, "endpointAddress", ""), "fleet.example");
	CU_ASSERT_EQUAL(iot_json_int(facts, "port", 0), 8883);
	CU_ASSERT_STRING_EQUAL(iot_json_str(facts, "defaultLayout", ""), "gcp");
	CU_ASSERT_EQUAL(json_object_size(json_object_get(facts, "typeLayouts")), 1);
	CU_ASSERT_STRING_EQUAL(iot_json_str(json_object_get(facts, "typeLayouts"), "pump", ""), "mine");
	CU_ASSERT_EQUAL(json_array_size(json_object_get(facts, "ownLayouts")), 1);
	CU_ASSERT_PTR_NULL(json_object_get(facts, "apiPort"));

	ASSERT_OK(iot_cloud_call(cloud, "iotctl:GetLayout", request, NULL, &layout, NULL, &err), &err);
	CU_ASSERT_STRING_EQUAL(iot_json_str(json_object_get(layout, "layout"), "name", ""), "mine");
	ASSERT_STATUS(iot_cloud_call(cloud, "iotctl:GetLayout", tricky, NULL, NULL, NULL, &err), IOT_USAGE, &err);
	iot_json_set_str(request, "layoutName", "none");
	ASSERT_STATUS(iot_cloud_call(cloud, "iotctl:GetLayout", request, NULL, NULL, NULL, &err), IOT_NOT_FOUND, &err);
	free(file);
	free(folder);
}

/* --- all or nothing ------------------------------------------------------------------- */

static void test_batch(void)
{
	struct iot_store *store = iot_local_store(cloud);

	/* A caller's transaction: what fails in it undoes itself only. */
	ASSERT_OK(iot_store_begin(store, &err), &err);
	ASSERT_OK(call("CreateThing", "thingName", "one", NULL), &err);
	ASSERT_STATUS(call("CreateThing", "thingName", "bad", "thingTypeName", "none", NULL), IOT_NOT_FOUND, &err);
	ASSERT_OK(call("CreateThing", "thingName", "two", NULL), &err);
	CU_ASSERT_TRUE(iot_store_in_transaction(store));
	ASSERT_OK(iot_store_commit(store, &err), &err);
	ASSERT_OK(call("DescribeThing", "thingName", "one", NULL), &err);
	ASSERT_OK(call("DescribeThing", "thingName", "two", NULL), &err);

	ASSERT_OK(iot_store_begin(store, &err), &err);
	ASSERT_OK(call("CreateThing", "thingName", "three", NULL), &err);
	iot_store_rollback(store);
	ASSERT_STATUS(call("DescribeThing", "thingName", "three", NULL), IOT_NOT_FOUND, &err);
	CU_ASSERT_FALSE(iot_store_in_transaction(store));
	ASSERT_OK(call("CreateThing", "thingName", "four", NULL), &err);
	CU_ASSERT_FALSE(iot_store_in_transaction(store));
}

/* The registry cannot grow: nothing is half done, and the next call works. */
static void test_full(void)
{
	struct iot_store *store = iot_local_store(cloud);
	struct iot_stmt *stmt = NULL;
	enum iot_status status = IOT_OK;
	bool row = false;
	char name[32];
	int made = 0;

	ASSERT_OK(iot_stmt_get(store, "PRAGMA max_page_count = 1", &stmt, &err), &err);
	ASSERT_OK(iot_stmt_step(stmt, &row, &err), &err);
	iot_stmt_done(stmt);
	for (; status == IOT_OK && made < 5000; made++) {
		snprintf(name, sizeof(name), "thing-%d", made);
		status = call("CreateThing", "thingName", name, NULL);
	}
	CU_ASSERT_EQUAL(status, IOT_FAILURE);
	CU_ASSERT_STRING_EQUAL(err.code, "InternalFailureException");
	ASSERT_CONTAINS(err.what, "no space left");
	ASSERT_STATUS(call("DescribeThing", "thingName", name, NULL), IOT_NOT_FOUND, &err);
	CU_ASSERT_FALSE(iot_store_in_transaction(store));
	ASSERT_OK(call("DeleteThing", "thingName", "thing-0", NULL), &err);
}

static void test_busy(void)
{
	struct iot_cloud *other = NULL;

	ASSERT_OK(iot_local_open(fleet, &other, &err), &err);
	iot_store_set_busy_ms(iot_local_store(cloud), 50);
	ASSERT_OK(iot_store_begin(iot_local_store(other), &err), &err);
	ASSERT_STATUS(call("CreateThing", "thingName", "t", NULL), IOT_AGAIN, &err);
	CU_ASSERT_STRING_EQUAL(err.code, "ServiceUnavailableException");
	ASSERT_STATUS(call("DescribeThing", "thingName", "t", NULL), IOT_NOT_FOUND, &err);
	ASSERT_OK(iot_store_commit(iot_local_store(other), &err), &err);
	ASSERT_OK(call("CreateThing", "thingName", "t", NULL), &err);
	iot_cloud_free(other);
}

/* Read a counter attribute and write it with expectedVersion, again and again; no increment is lost. */
static enum iot_status count_up(struct iot_cloud *mine)
{
	IOT_JSON request = json_pack("{s:s}", "thingName", "counter");
	IOT_JSON thing = NULL;
	IOT_JSON update = NULL;
	char text[24];
	enum iot_status status = iot_cloud_call(mine, "DescribeThing", request, NULL, &thing, NULL, NULL);

	if (status != IOT_OK)
		return status;
	snprintf(text, sizeof(text), "%d", atoi(iot_json_str(json_object_get(thing, "attributes"), "n", "0")) + 1);
	update = json_pack("{s:s, s:I, s:{s:{s:s}}}", "thingName", "counter", "expectedVersion",
			   (json_int_t)iot_json_int(thing, "version", 0), "attributePayload", "attributes", "n", text);
	return iot_cloud_call(mine, "UpdateThing", update, NULL, NULL, NULL, NULL);
}

static void test_two_processes(void)
{
	enum { PROCESSES = 3, ROUNDS = 10 };
	pid_t pids[PROCESSES];

	ASSERT_OK(call("CreateThing", "thingName", "counter", NULL), &err);
	for (int i = 0; i < PROCESSES; i++) {
		struct iot_cloud *mine = NULL;
		int done = 0;

		pids[i] = fork();
		if (pids[i] != 0)
			continue;
		if (iot_local_open(fleet, &mine, NULL) != IOT_OK)
			_exit(1);
		while (done < ROUNDS) {
			enum iot_status status = count_up(mine);

			if (status != IOT_OK && status != IOT_CONFLICT)
				_exit((int)status);
			done += status == IOT_OK;
		}
		iot_cloud_free(mine);
		_exit(0);
	}
	for (int i = 0; i < PROCESSES; i++) {
		int result = -1;

		waitpid(pids[i], &result, 0);
		CU_ASSERT_EQUAL(result, 0);
	}
	ASSERT_OK(call("DescribeThing", "thingName", "counter", NULL), &err);
	CU_ASSERT_EQUAL(atoi(iot_json_str(json_object_get(reply, "attributes"), "n", "")), PROCESSES * ROUNDS);
}

/* --- certificates and trust -------------------------------------------------------------- */

static struct iot_key *new_key(void)
{
	struct iot_key *key = NULL;

	ASSERT_OK(iot_key_generate(IOT_KEY_P256, &key, &err), &err);
	return key;
}

static struct iot_cert *self_signed(const char *name)
{
	struct iot_key *key = new_key();
	struct iot_cert *cert = NULL;

	ASSERT_OK(iot_ca_create_root(key, name, 10, &cert, &err), &err);
	iot_key_free(key);
	return cert;
}

/* Id of the certificate under HASH.number, "" when there is no such file. */
static const char *trusted(const struct iot_cert *cert, int number)
{
	static char id[65];
	char hash[9];
	struct iot_cert *there = NULL;
	char *path;

	iot_cert_subject_hash(cert, hash);
	path = iot_strf("%s/%s.%d", iot_local_paths(cloud)->trust_dir, hash, number);
	id[0] = '\0';
	if (iot_cert_load(path, &there, NULL) == IOT_OK)
		snprintf(id, sizeof(id), "%s", iot_cert_id(there));
	iot_cert_free(there);
	free(path);
	return id;
}

static enum iot_status register_pem(const char *operation, const char *member, const struct iot_cert *cert,
				    const char *more, const char *value)
{
	struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	enum iot_status status;

	iot_cert_pem(cert, &pem);
	status = call(operation, member, iot_buf_str(&pem), more, value, NULL);
	iot_buf_release(&pem);
	return status;
}

/* Self-signed certificates are trusted while ACTIVE; those of one name are numbered without a gap. */
static void test_trust(void)
{
	struct iot_cert *certs[3];

	for (int i = 0; i < 3; i++) {
		certs[i] = self_signed("module");
		ASSERT_OK(register_pem("RegisterCertificateWithoutCA", "certificatePem", certs[i], "status",
				       i == 0 ? "INACTIVE" : "ACTIVE"),
			  &err);
	}
	CU_ASSERT_STRING_EQUAL(trusted(certs[0], 0), iot_cert_id(certs[1]));
	CU_ASSERT_STRING_EQUAL(trusted(certs[0], 1), iot_cert_id(certs[2]));
	CU_ASSERT_STRING_EQUAL(trusted(certs[0], 2), "");
	ASSERT_OK(call("UpdateCertificate", "certificateId", iot_cert_id(certs[0]), "newStatus", "ACTIVE", NULL), &err);
	CU_ASSERT_STRING_EQUAL(trusted(certs[0], 2), iot_cert_id(certs[0]));
	ASSERT_OK(call("UpdateCertificate", "certificateId", iot_cert_id(certs[1]), "newStatus", "REVOKED", NULL),
		  &err);
	CU_ASSERT_STRING_EQUAL(trusted(certs[0], 0), iot_cert_id(certs[0]));
	CU_ASSERT_STRING_EQUAL(trusted(certs[0], 1), iot_cert_id(certs[2]));
	CU_ASSERT_STRING_EQUAL(trusted(certs[0], 2), "");

	/* Lost and strange files: written anew from the registry. */
	ASSERT_OK(iot_fs_remove_tree(iot_local_paths(cloud)->trust_dir, &err), &err);
	ASSERT_OK(iot_local_trust_sync(cloud, &err), &err);
	CU_ASSERT_EQUAL(files_in(iot_local_paths(cloud)->trust_dir), 2);
	ASSERT_OK(call("UpdateCertificate", "certificateId", iot_cert_id(certs[0]), "newStatus", "INACTIVE", NULL),
		  &err);
	CU_ASSERT_STRING_EQUAL(trusted(certs[0], 0), iot_cert_id(certs[2]));
	{
		char *stranger = iot_path(iot_local_paths(cloud)->trust_dir, "00000000.0");

		ASSERT_OK(iot_fs_write(stranger, 0644, "x", 1, &err), &err);
		ASSERT_OK(iot_local_trust_sync(cloud, &err), &err);
		CU_ASSERT_FALSE(iot_fs_exists(stranger));
		CU_ASSERT_EQUAL(files_in(iot_local_paths(cloud)->trust_dir), 1);
		free(stranger);
	}
	for (int i = 0; i < 3; i++)
		iot_cert_free(certs[i]);
}

static void test_trusted_ca(void)
{
	struct iot_cert *ca = self_signed("vendor");

	ASSERT_OK(register_pem("RegisterCACertificate", "caCertificate", ca, "certificateMode", "SNI_ONLY"), &err);
	CU_ASSERT_STRING_EQUAL(trusted(ca, 0), iot_cert_id(ca));
	ASSERT_OK(call("DeleteCACertificate", "certificateId", iot_cert_id(ca), NULL), &err);
	CU_ASSERT_STRING_EQUAL(trusted(ca, 0), "");
	iot_cert_free(ca);
}

/* The fleet's own CA is known by the files in ca/ and cannot be deleted. */
static void test_own_ca(void)
{
	struct iot_cert *ca = self_signed("own root");
	char *path = iot_path(iot_local_paths(cloud)->ca_dir, "root.pem");
	struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);

	iot_cert_pem(ca, &pem);
	ASSERT_OK(iot_fs_write(path, 0644, pem.data, pem.len, &err), &err);
	ASSERT_OK(register_pem("RegisterCACertificate", "caCertificate", ca, "certificateMode", "SNI_ONLY"), &err);
	ASSERT_STATUS(call("DeleteCACertificate", "certificateId", iot_cert_id(ca), NULL), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "own");
	iot_buf_release(&pem);
	free(path);
	iot_cert_free(ca);
}

/* certificateMode DEFAULT: a certificate issued to the registration code proves possession of the CA's key. */
static void test_registration_code(void)
{
	struct iot_key *ca_key = new_key();
	struct iot_key *key = new_key();
	struct iot_cert *ca = NULL;
	struct iot_cert *proof = NULL;
	struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	struct iot_cert_request request = {.profile = IOT_PROFILE_DEVICE, .key = key, .days = 1};

	ASSERT_OK(iot_ca_create_root(ca_key, "vendor", 10, &ca, &err), &err);
	ASSERT_OK(call("GetRegistrationCode", NULL), &err);
	CU_ASSERT_EQUAL(strlen(got("registrationCode")), 64);
	request.common_name = got("registrationCode");
	ASSERT_OK(iot_cert_issue(ca_key, ca, &request, &proof, &err), &err);
	iot_cert_pem(proof, &pem);
	ASSERT_OK(register_pem("RegisterCACertificate", "caCertificate", ca, "verificationCertificate",
			       iot_buf_str(&pem)),
		  &err);
	CU_ASSERT_STRING_EQUAL(got("certificateId"), iot_cert_id(ca));
	iot_buf_release(&pem);
	iot_cert_free(ca);
	iot_cert_free(proof);
	iot_key_free(ca_key);
	iot_key_free(key);
}

/* Without a CA nothing is issued and nothing is left; with one, what was asked for. */
static void test_issue(void)
{
	struct iot_key *root_key = new_key();
	struct iot_key *ca_key = new_key();
	struct iot_cert *root = NULL;
	struct iot_cert *ca = NULL;
	struct iot_cert *cert = NULL;
	const char *name = NULL;
	char *path = iot_path(iot_local_paths(cloud)->ca_dir, "issuing.pem");
	char *key_path = iot_path(iot_local_paths(cloud)->ca_dir, "elsewhere.key");
	struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	struct iot_buf csr = IOT_BUF_INIT(IOT_CSR_MAX);

	ASSERT_STATUS(call("CreateKeysAndCertificate", NULL), IOT_NOT_FOUND, &err);
	ASSERT_CONTAINS(err.doing, "issuing CA");
	ASSERT_OK(call("ListCertificates", NULL), &err);
	CU_ASSERT_EQUAL(json_array_size(json_object_get(reply, "certificates")), 0);

	ASSERT_OK(iot_ca_create_root(root_key, "root", 100, &root, &err), &err);
	ASSERT_OK(iot_ca_create_intermediate(root_key, root, ca_key, "issuing", 90, &ca, &err), &err);
	iot_cert_pem(ca, &pem);
	ASSERT_OK(iot_fs_write(path, 0644, pem.data, pem.len, &err), &err);
	ASSERT_OK(iot_key_save_new(ca_key, key_path, NULL, &err), &err);
	ASSERT_OK(iot_local_meta_set(cloud, "ca_key", "ca/elsewhere.key", &err), &err);
	ASSERT_OK(iot_local_meta_set(cloud, "certificate_days", "30", &err), &err);
	ASSERT_OK(iot_csr_create(root_key, "pump-1", &csr, &err), &err);
	ASSERT_OK(call("CreateCertificateFromCsr", "certificateSigningRequest", iot_buf_str(&csr), "setAsActive",
		       "true", NULL),
		  &err);
	ASSERT_OK(iot_cert_parse_pem(got("certificatePem"), strlen(got("certificatePem")), "reply", &cert, &err), &err);
	CU_ASSERT_STRING_EQUAL(iot_cert_id(cert), got("certificateId"));
	ASSERT_OK(iot_cert_common_name(cert, &name, &err), &err);
	CU_ASSERT_STRING_EQUAL(name, "pump-1");
	ASSERT_OK(iot_cert_verify_issued_by(cert, ca, &err), &err);
	CU_ASSERT_TRUE(iot_cert_not_after(cert) - iot_now_ms() < INT64_C(31) * 86400000);
	CU_ASSERT_TRUE(iot_key_equal(iot_cert_key(cert), root_key));
	iot_cert_free(cert);

	/* Keys made here: the pair belongs together and to the certificate. */
	ASSERT_OK(call("CreateKeysAndCertificate", NULL), &err);
	{
		const json_t *pair = json_object_get(reply, "keyPair");
		const char *text = iot_json_str(pair, "PrivateKey", "");
		struct iot_key *key = NULL;

		ASSERT_OK(iot_key_from_private_pem(text, strlen(text), "reply", NULL, &key, &err), &err);
		ASSERT_OK(
			iot_cert_parse_pem(got("certificatePem"), strlen(got("certificatePem")), "reply", &cert, &err),
			&err);
		CU_ASSERT_TRUE(iot_key_equal(iot_cert_key(cert), key));
		ASSERT_OK(iot_cert_common_name(cert, &name, &err), &err);
		iot_key_free(key);
		iot_cert_free(cert);
	}
	iot_buf_release(&pem);
	iot_buf_release(&csr);
	free(path);
	free(key_path);
	iot_cert_free(root);
	iot_cert_free(ca);
	iot_key_free(root_key);
	iot_key_free(ca_key);
}

/* --- speed and waking ------------------------------------------------------------------------ */

/* Open the fleet, call one operation, close: how long that took. */
static int64_t time_of(const char *operation, json_t *request)
{
	struct iot_cloud *fresh = NULL;
	int64_t started = iot_monotonic_ms();

	ASSERT_OK(iot_local_open(fleet, &fresh, &err), &err);
	ASSERT_OK(iot_cloud_call(fresh, operation, request, NULL, NULL, NULL, &err), &err);
	started = iot_monotonic_ms() - started;
	iot_cloud_free(fresh);
	return started;
}

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* A hundred thousand things: opening reads no table, and a thing is found by an index, by name and by alias. */
static void test_many(void)
{
	IOT_JSON by_name = json_pack("{s:s}", "thingName", "t77777");
	IOT_JSON by_alias = json_pack("{s:s, s:s}", "attributeName", "alias", "attributeValue", "a77777");
	IOT_JSON by_scan = json_pack("{s:s, s:s}", "attributeName", "other", "attributeValue", "a77777");
	int64_t name = INT64_MAX;
	int64_t alias = INT64_MAX;
	int64_t scan = INT64_MAX;

	ASSERT_OK(iot_store_run(iot_local_store(cloud), NULL, &err,
				"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)"
				" INSERT INTO things (name, uuid, attributes, created_at)"
				" SELECT 't' || i, 'u', json_object('alias', 'a' || i), 1 FROM n",
				""),
		  &err);
	/* The best of a few: other work on the machine only ever adds. */
	for (int i = 0; i < 5; i++) {
		name = least(name, time_of("DescribeThing", by_name));
		alias = least(alias, time_of("ListThings", by_alias));
		scan = least(scan, time_of("ListThings", by_scan));
	}
	CU_ASSERT_TRUE(name * 4 < scan);
	CU_ASSERT_TRUE(alias * 4 < scan);
}

static void test_wake(void)
{
	char *deep = iot_path(dir, "a-folder-whose-name-is-so-long-that-the-path-of-a-socket-in-it-does-not-fit-into-"
				   "the-hundred-and-eight-bytes-of-an-address");
	const char *folders[2] = {fleet, deep};

	ASSERT_OK(iot_local_create(deep, "deep", &err), &err);
	for (int i = 0; i < 2; i++) {
		struct iot_cloud *mine = NULL;
		struct sockaddr_un address = {.sun_family = AF_UNIX};
		int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
		const char *path;
		char byte;

		ASSERT_OK(iot_local_open(folders[i], &mine, &err), &err);
		/* Nobody listens: nothing happens. */
		iot_local_wake(mine);
		path = iot_local_paths(mine)->notify_socket;
		ASSERT_OK(iot_fleet_socket_dir(iot_local_paths(mine), &err), &err);
		CU_ASSERT_TRUE(strlen(path) < sizeof(address.sun_path));
		snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
		CU_ASSERT_EQUAL(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
		iot_local_wake(mine);
		CU_ASSERT_EQUAL(recv(fd, &byte, 1, MSG_DONTWAIT), 1);
		close(fd);
		unlink(path);
		if (i == 1) {
			*strrchr(address.sun_path, '/') = '\0';
			CU_ASSERT_EQUAL(rmdir(address.sun_path), 0);
		}
		iot_cloud_free(mine);
	}
	free(deep);
}

static void release_reply(void)
{
	json_decref(reply);
	reply = NULL;
	tear_down();
}

UNIT_MAIN("cloud/local", set_up, release_reply, {"create", test_create}, {"open faults", test_open_faults},
	  {"complete", test_complete}, {"facts", test_facts}, {"batch", test_batch}, {"full", test_full},
	  {"busy", test_busy}, {"two processes", test_two_processes}, {"trust", test_trust},
	  {"trusted ca", test_trusted_ca}, {"own ca", test_own_ca}, {"registration code", test_registration_code},
	  {"issue", test_issue}, {"many", test_many}, {"wake", test_wake})
