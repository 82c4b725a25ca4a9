/*
 * contract_cloud VARIANT CASES.json [SCENARIO]: run the scenarios of a file
 * (see cases.h) against one variant of a cloud, each on an empty one: "local" in
 * this process, "api" the same by way of its HTTPS API and the aws cloud, "moto"
 * the aws cloud against moto's server at $MOTO_URL.
 *
 * Where a variant may differ, and why, is in differences.json: such a step is
 * called all the same, and it must differ, so that the list cannot go stale. With
 * CONTRACT_LEARN set the steps that differ are printed as that file wants them, with CONTRACT_SHOW every call and what
 * came.
 */
#include "cases.h"

#include "broker/api/server.h"
#include "iotctl/aws.h"

#include "iotctl/base.h"
#include "iotctl/cert.h"
#include "iotctl/cloud.h"
#include "iotctl/fs.h"
#include "iotctl/local.h"
#include "iotctl/log.h"
#include "iotctl/profile.h"
#include "iotctl/text.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- variants -------------------------------------------------------------------- */

/* A way to reach a cloud. `open` makes an empty one; `close` leaves nothing behind. */
struct variant {
	const char *name;
	struct iot_cloud *(*open)(void);
	void (*close)(struct iot_cloud *cloud);
	bool ours;
};

static char *folder;

static void must(enum iot_status status, const struct iot_error *err)
{
	char line[1024];

	if (status == IOT_OK)
		return;
	fprintf(stderr, "set-up failed: %s\n", iot_error_line(err, line, sizeof(line)));
	exit(2);
}

/* Root and issuing CA where the local cloud looks for them. */
static void make_authority(const char *ca_dir)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *root_key = NULL;
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *root = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *issuing = NULL;
	IOT_CLEAN(iot_free_p) char *key_path = iot_path(ca_dir, "issuing.key");
	IOT_CLEAN(iot_free_p) char *cert_path = iot_path(ca_dir, "issuing.pem");
	struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	struct iot_error err = IOT_ERROR_INIT;

	must(iot_key_generate(IOT_KEY_P256, &root_key, &err), &err);
	must(iot_key_generate(IOT_KEY_P256, &key, &err), &err);
	must(iot_ca_create_root(root_key, "contract root CA", 100, &root, &err), &err);
	must(iot_ca_create_intermediate(root_key, root, key, "contract issuing CA", 90, &issuing, &err), &err);
	must(iot_key_save_new(key, key_path, NULL, &err), &err);
	iot_cert_pem(issuing, &pem);
	must(iot_fs_write(cert_path, 0644, pem.data, pem.len, &err), &err);
	iot_buf_release(&pem);
}

static struct iot_cloud *open_local(void)
{
	char template[] = "/tmp/iotctl-contract-XXXXXX";
	struct iot_cloud *cloud = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	if (mkdtemp(template) == NULL)
		exit(2);
	folder = iot_path(template, "fleet");
	must(iot_local_create(folder, "contract", &err), &err);
	must(iot_local_open(folder, &cloud, &err), &err);
	make_authority(iot_local_paths(cloud)->ca_dir);
	must(iot_local_meta_set(cloud, "endpoint", "broker.example", &err), &err);
	return cloud;
}

static void close_local(struct iot_cloud *cloud)
{
	struct iot_error err = IOT_ERROR_INIT;

	iot_cloud_free(cloud);
	*strrchr(folder, '/') = '\0';
	must(iot_fs_remove_tree(folder, &err), &err);
	free(folder);
	folder = NULL;
}

/* --- over HTTPS: serve's API in a thread, on the same registry ------------------------------- */

static struct {
	struct iot_cloud *cloud; /* the server's own connection to the registry */
	struct api_server *server;
	pthread_t thread;
	atomic_bool stop;
} api;

static enum iot_status no_broker(void *data, const struct iot_mqtt_message *message, int *ret_mid,
				 struct iot_error *err)
{
	(void)data, (void)message, (void)ret_mid;
	return iot_fail(err, IOT_AGAIN, "there is no broker");
}

static void *serve_api(void *data)
{
	(void)data;
	while (!atomic_load(&api.stop)) {
		struct pollfd fd;
		nfds_t count = api_server_poll(api.server, &fd);

		(void)poll(&fd, count, 20);
		api_server_step(api.server);
	}
	return NULL;
}

static int free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	IOT_CLEAN(iot_close_p) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(address);

	if (bind(fd, (struct sockaddr *)&address, len) != 0 || getsockname(fd, (struct sockaddr *)&address, &len) != 0)
		exit(2);
	return ntohs(address.sin_port);
}

/* The key and certificate that the listener shows. */
static void make_server_certificate(const char *ca_dir)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *ca_key = NULL;
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *ca = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	IOT_CLEAN(iot_free_p) char *ca_path = iot_path(ca_dir, "issuing.pem");
	IOT_CLEAN(iot_free_p) char *ca_key_path = iot_path(ca_dir, "issuing.key");
	IOT_CLEAN(iot_free_p) char *root_path = iot_path(ca_dir, "root.pem");
	IOT_CLEAN(iot_free_p) char *path = iot_path(ca_dir, "server.pem");
	IOT_CLEAN(iot_free_p) char *key_path = iot_path(ca_dir, "server.key");
	static const char *const names[] = {"localhost", NULL};
	struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	struct iot_error err = IOT_ERROR_INIT;

	must(iot_key_generate(IOT_KEY_P256, &key, &err), &err);
	must(iot_key_save_new(key, key_path, NULL, &err), &err);
	must(iot_cert_load(ca_path, &ca, &err), &err);
	must(iot_key_load(ca_key_path, NULL, &ca_key, &err), &err);
	must(iot_cert_issue(ca_key, ca,
			    &(struct iot_cert_request){.profile = IOT_PROFILE_SERVER,
						       .common_name = "localhost",
						       .key = key,
						       .days = 10,
						       .dns_names = names},
			    &cert, &err),
	     &err);
	iot_cert_pem(cert, &pem);
	iot_cert_pem(ca, &pem);
	must(iot_fs_write(path, 0644, pem.data, pem.len, &err), &err);
	must(iot_fs_write(root_path, 0644, pem.data, pem.len, &err), &err);
	iot_buf_release(&pem);
}

/* "NAME = VALUE" of a profile file; new memory. */
static char *profile_value(const char *text, const char *name)
{
	IOT_CLEAN(iot_free_p) char *line = iot_strf("\n%s = ", name);
	const char *at = strstr(text, line);

	if (at == NULL)
		exit(2);
	at += strlen(line);
	return iot_strndup(at, strcspn(at, "\n"));
}

static struct iot_cloud *open_client(const char *url, const char *ca_file, const char *profile_path)
{
	IOT_CLEAN(iot_free_p) char *access_key = NULL;
	IOT_CLEAN(iot_free_p) char *secret = NULL;
	struct iot_buf text = IOT_BUF_INIT(1 << 20);
	struct iot_aws_options options = {
		.region = "local", .endpoint_url = url, .ca_file = ca_file, .no_files = true, .rates = "*=0"};
	struct iot_cloud *cloud = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	must(iot_fs_read(profile_path, &text, &err), &err);
	access_key = profile_value(iot_buf_str(&text), "access-key-id");
	secret = profile_value(iot_buf_str(&text), "secret-access-key");
	iot_buf_release(&text);
	options.access_key = access_key;
	options.secret_key = secret;
	must(iot_aws_open(&options, &cloud, &err), &err);
	return cloud;
}

static struct iot_cloud *open_api(void)
{
	struct iot_cloud *local = open_local();
	const char *ca_dir = iot_local_paths(local)->ca_dir;
	int port = free_port();
	IOT_CLEAN(iot_free_p) char *profile = iot_path(folder, "admin.profile");
	IOT_CLEAN(iot_free_p) char *url = iot_strf("https://localhost:%d", port);
	IOT_CLEAN(iot_free_p) char *ca_file = iot_path(ca_dir, "issuing.pem");
	const struct iot_operator_spec spec = {
		.name = "admin", .role = "admin", .lifetime_ms = 3600000, .endpoint_url = url, .out = profile};
	struct api_server_options options = {.listen = "127.0.0.1", .port = port, .publish = no_broker};
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON record = NULL;

	make_server_certificate(ca_dir);
	must(iot_operator_create(local, &spec, &record, &err), &err);
	iot_cloud_free(local);
	must(iot_local_open(folder, &api.cloud, &err), &err);
	options.cloud = api.cloud;
	options.ca_dir = iot_local_paths(api.cloud)->ca_dir;
	must(api_server_new(&options, &api.server, &err), &err);
	atomic_store(&api.stop, false);
	if (pthread_create(&api.thread, NULL, serve_api, NULL) != 0)
		exit(2);
	return open_client(url, ca_file, profile);
}

static void close_api(struct iot_cloud *cloud)
{
	iot_cloud_free(cloud);
	atomic_store(&api.stop, true);
	pthread_join(api.thread, NULL);
	api_server_free(api.server);
	close_local(api.cloud);
}

/* --- moto ---------------------------------------------------------------------------------------- */

static struct iot_cloud *open_moto(void)
{
	const char *url = getenv("MOTO_URL");
	struct iot_aws_options options = {.region = "eu-west-1",
					  .endpoint_url = url,
					  .access_key = "AKIDEXAMPLE",
					  .secret_key = "secret",
					  .no_files = true,
					  .rates = "*=0",
					  .max_attempts = 1};
	struct iot_cloud *cloud = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	IOT_CLEAN(iot_free_p) char *reset = iot_strf("curl -sf -o /dev/null -X POST '%s/moto-api/reset'", url);

	if (url == NULL || system(reset) != 0) { /* an empty one */
		fprintf(stderr, "there is no moto server at MOTO_URL\n");
		exit(2);
	}
	must(iot_aws_open(&options, &cloud, &err), &err);
	return cloud;
}

static const struct variant variants[] = {
	{"local", open_local, close_local, true},
	{"api", open_api, close_api, true},
	{"moto", open_moto, iot_cloud_free, false},
};

/* --- what cases may refer to -------------------------------------------------------- */

static void give_cert(json_t *variables, const char *name, const struct iot_cert *cert)
{
	IOT_CLEAN(iot_free_p) char *id_name = iot_strf("%sId", name);
	struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);

	iot_cert_pem(cert, &pem);
	iot_json_set_str(variables, name, iot_buf_str(&pem));
	iot_json_set_str(variables, id_name, iot_cert_id(cert));
	iot_buf_release(&pem);
}

/* A request, a vendor's CA with a certificate of it, a certificate of nobody's, a self-signed one. */
static json_t *make_variables(struct iot_cloud *cloud)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *ca_key = NULL;
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *ca = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *other_ca = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	struct iot_buf csr = IOT_BUF_INIT(IOT_CSR_MAX);
	struct iot_error err = IOT_ERROR_INIT;
	json_t *variables = json_object();

	must(iot_key_generate(IOT_KEY_P256, &ca_key, &err), &err);
	must(iot_key_generate(IOT_KEY_P256, &key, &err), &err);
	must(iot_ca_create_root(ca_key, "vendor CA", 100, &ca, &err), &err);
	must(iot_ca_create_root(key, "vendor CA", 100, &other_ca, &err), &err);
	must(iot_cert_issue(ca_key, ca,
			    &(struct iot_cert_request){
				    .profile = IOT_PROFILE_DEVICE, .common_name = "module-1", .key = key, .days = 10},
			    &cert, &err),
	     &err);
	must(iot_csr_create(key, "pump-1", &csr, &err), &err);
	iot_json_set_str(variables, "csr", iot_buf_str(&csr));
	iot_buf_release(&csr);
	give_cert(variables, "vendorCa", ca);
	give_cert(variables, "sameNameCa", other_ca);
	give_cert(variables, "vendorCert", cert);
	/* Of moto's account, which an empty cloud cannot tell. */
	iot_json_set_str(variables, "arn",
			 strcmp(iot_cloud_kind(cloud), "aws") == 0 && getenv("MOTO_URL") != NULL
				 ? "arn:aws:iot:eu-west-1:123456789012:"
				 : iot_cloud_arn_prefix(cloud));
	return variables;
}

/* --- running ------------------------------------------------------------------------ */

static char complaint[400]; /* the first of a step */
static bool quiet;

static bool complain(const char *scenario, const char *call, const char *what, const char *detail)
{
	if (!quiet)
		fprintf(stderr, "%s: %s: %s%s%s\n", scenario, call, what, *detail != '\0' ? ": " : "", detail);
	if (complaint[0] == '\0')
		snprintf(complaint, sizeof(complaint), "%s%s%s", what, *detail != '\0' ? ": " : "", detail);
	return false;
}

static bool judge_failure(const char *scenario, const json_t *step, enum iot_status status, const struct iot_error *err)
{
	const char *call = iot_json_str(step, "call", "");
	const char *code = iot_json_str(step, "code", NULL);
	const char *says = iot_json_str(step, "says", "");
	char line[1024];

	iot_error_line(err, line, sizeof(line));
	if (code == NULL)
		return complain(scenario, call, "failed", line);
	if (strcmp(code, err->code) != 0)
		return complain(scenario, call, err->code, line);
	if (status != iot_cloud_code_status(code))
		return complain(scenario, call, "the status is not the code's", line);
	if (strstr(line, says) == NULL && getenv("MOTO_URL") == NULL) /* words are each one's own */
		return complain(scenario, call, "says something else", line);
	return true;
}

static bool judge_reply(const char *scenario, const json_t *step, const json_t *reply, json_t *variables)
{
	const char *call = iot_json_str(step, "call", "");
	const json_t *expected = json_object_get(step, "reply");
	const char *name, *lacks = NULL;
	json_t *path;
	char where[256] = "";

	if (json_object_get(step, "code") != NULL)
		return complain(scenario, call, "did not fail", "");
	/* Also of a reply that differs: what follows shall not differ for that. */
	json_object_foreach(json_object_get(step, "save"), name, path) {
		json_t *value = cases_member(reply, json_string_value(path));

		if (json_is_string(value))
			json_object_set(variables, name, value);
		else
			lacks = json_string_value(path);
	}
	if (expected != NULL && !cases_match(expected, reply, where, sizeof(where))) {
		IOT_CLEAN(iot_free_p) char *text = iot_json_text(reply);

		complain(scenario, call, "the reply differs", where);
		return complain(scenario, call, "it is", text);
	}
	return lacks == NULL || complain(scenario, call, "there is nothing to save at", lacks);
}

/* The payload of the reply. */
static bool judge_document(const char *scenario, const json_t *step, const char *payload)
{
	const char *call = iot_json_str(step, "call", "");
	const json_t *expected = json_object_get(step, "document");
	IOT_JSON document = json_loads(payload, 0, NULL);
	char where[256] = "";

	if (expected == NULL || cases_match(expected, document, where, sizeof(where)))
		return true;
	complain(scenario, call, "the document differs", where);
	return complain(scenario, call, "it is", payload);
}

/* For who reviews the differences: what was called, what was expected, what came. */
static void show(const json_t *step, const json_t *reply, const struct iot_error *err, const char *payload)
{
	IOT_CLEAN(iot_free_p) char *asked = iot_json_text(step);
	IOT_CLEAN(iot_free_p) char *came = reply != NULL ? iot_json_text(reply) : NULL;
	char line[1024];

	if (getenv("CONTRACT_SHOW") != NULL)
		printf("\t%.900s\n\t-> %.900s %.300s\n", asked,
		       came != NULL ? came : iot_error_line(err, line, sizeof(line)), payload);
}

static bool run_step(const char *scenario, struct iot_cloud *cloud, const json_t *step, json_t *variables)
{
	IOT_JSON filled = cases_replace(step, variables);
	const char *call = iot_json_str(filled, "call", "");
	const json_t *payload = json_object_get(filled, "payload");
	IOT_CLEAN(iot_free_p)
	char *text = json_is_string(payload) ? iot_strdup(json_string_value(payload)) : iot_json_text(payload);
	const struct iot_body in = {.data = text, .len = strlen(text), .fd = -1};
	struct iot_buf out = IOT_BUF_INIT(1 << 20);
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON reply = NULL;
	enum iot_status status;
	bool good;

	status = iot_cloud_call(cloud, call, json_object_get(filled, "with"), payload != NULL ? &in : NULL, &reply,
				&out, &err);
	show(filled, reply, &err, iot_buf_str(&out));
	if (status != IOT_OK)
		good = judge_failure(scenario, filled, status, &err);
	else
		good = judge_reply(scenario, filled, reply, variables) &&
		       judge_document(scenario, filled, iot_buf_str(&out));
	iot_buf_release(&out);
	return good;
}

static bool run_rounds(const char *name, struct iot_cloud *cloud, const json_t *step, json_t *variables)
{
	int64_t count = iot_json_int(step, "repeat", 1);
	bool good = true;

	for (int64_t round = 1; good && round <= count; round++) {
		IOT_CLEAN(iot_free_p) char *number = iot_strf("%lld", (long long)round);

		iot_json_set_str(variables, "i", number);
		good = run_step(name, cloud, step, variables);
	}
	return good;
}

/* What a step that differs was to save: later steps that name it will differ too. */
static void forget(const json_t *step, json_t *variables)
{
	const char *name;
	json_t *path;

	json_object_foreach(json_object_get(step, "save"), name, path) {
		if (json_object_get(variables, name) == NULL)
			iot_json_set_str(variables, name, "not-saved");
	}
}

static void learn(json_t *learned, const char *scenario, const char *number)
{
	if (json_object_get(learned, scenario) == NULL)
		json_object_set_new(learned, scenario, json_object());
	iot_json_set_str(json_object_get(learned, scenario), number, complaint);
}

static bool run_scenario(const struct variant *variant, const json_t *scenario, const json_t *allowed, json_t *learned)
{
	const char *name = iot_json_str(scenario, "scenario", "?");
	struct iot_cloud *cloud = variant->open();
	IOT_JSON variables = make_variables(cloud);
	bool ok = true;
	json_t *step;
	size_t i;

	json_array_foreach(json_object_get(scenario, "steps"), i, step) {
		IOT_CLEAN(iot_free_p) char *number = iot_strf("%zu", i + 1);
		const char *reason = iot_json_str(json_object_get(allowed, name), number, NULL);
		bool good;

		quiet = reason != NULL || learned != NULL;
		complaint[0] = '\0';
		good = run_rounds(name, cloud, step, variables);
		if (!good)
			forget(step, variables);
		if (getenv("CONTRACT_SHOW") != NULL)
			printf("%s %s: %s%s\n", name, number, good ? "as expected" : "DIFFERS ", complaint);
		if (!good && learned != NULL)
			learn(learned, name, number);
		else if (good && reason != NULL && variant->ours) /* others may get better */
			ok = complain(name, number, "this step differs no more", reason);
		else if (!good && reason == NULL)
			ok = false;
		if (!ok) {
			fprintf(stderr, "%s: step %zu failed\n", name, i + 1);
			break;
		}
	}
	variant->close(cloud);
	return ok;
}

static json_t *load(const char *path)
{
	struct iot_buf text = IOT_BUF_INIT(1 << 20);
	struct iot_error err = IOT_ERROR_INIT;
	json_t *cases = NULL;

	must(iot_fs_read(path, &text, &err), &err);
	must(iot_json_parse(text.data, text.len, path, &cases, &err), &err);
	iot_buf_release(&text);
	return cases;
}

int main(int argc, char **argv)
{
	const struct variant *variant = NULL;
	IOT_JSON cases = NULL;
	IOT_JSON differences = NULL;
	IOT_JSON learned = getenv("CONTRACT_LEARN") != NULL ? json_object() : NULL;
	json_t *scenario;
	int failures = 0;
	int count = 0;
	size_t i;

	for (i = 0; argc >= 3 && i < IOT_LENGTH(variants); i++) {
		if (strcmp(variants[i].name, argv[1]) == 0)
			variant = &variants[i];
	}
	if (variant == NULL) {
		fprintf(stderr, "usage: contract_cloud VARIANT CASES.json [SCENARIO]\n");
		return 2;
	}
	iot_log_set_level(IOT_LOG_ERROR);
	cases = load(argv[2]);
	differences = load("contract/differences.json");
	json_array_foreach(cases, i, scenario) {
		if (argc > 3 && strcmp(argv[3], iot_json_str(scenario, "scenario", "")) != 0)
			continue;
		count++;
		failures += !run_scenario(variant, scenario, json_object_get(differences, variant->name), learned);
	}
	if (learned != NULL)
		json_dumpf(learned, stdout, JSON_INDENT(1));
	printf("%d scenarios, %d failed\n", count, failures);
	return failures != 0 || count == 0;
}
