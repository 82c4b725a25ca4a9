/*
 * New trust on a software device's disk, with the power cut after every step:
 * what the next boot finds is the old trust, the new one, or the new one still to
 * be tried, and never half of each. And what job documents are believed.
 */
#include "iotctl/base.h"
#include "iotctl/cert.h"
#include "iotctl/json.h"
#include "sim/trust.h"
#include "unit.h"

#include <sys/wait.h>
#include <unistd.h>

static char *dir, *root;
static int steps_left;

static void write_file(const char *name, const char *text)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, name);
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_fs_write(path, 0644, text, strlen(text), &err), &err);
}

static bool file_has(const char *name, const char *part)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, name);
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(65536);

	return iot_fs_read(path, &text, NULL) == IOT_OK && strstr(iot_buf_str(&text), part) != NULL;
}

static void set_up(void)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	IOT_CLEAN(iot_buf_release) struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	IOT_CLEAN(iot_free_p) char *sim = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	dir = unit_mkdtemp_memory();
	sim = iot_path(dir, "sim");
	ASSERT_OK(iot_fs_mkdirs(sim, 0755, &err), &err);
	write_file("device.json", "{\"thingName\":\"pump-1\",\"endpoint\":\"old\",\"port\":1}");
	write_file("ca.pem", "old root");
	ASSERT_OK(iot_key_generate(IOT_KEY_P256, &key, &err), &err);
	ASSERT_OK(iot_ca_create_root(key, "new", 10, &cert, &err), &err);
	iot_cert_pem(cert, &pem);
	root = iot_strdup(iot_buf_str(&pem));
}

static void tear_down(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_fs_remove_tree(dir, &err), &err);
	free(dir);
	free(root);
}

static struct sim_job job_of(void)
{
	struct sim_job job = {.job_id = "j1", .endpoint = "new", .port = 2, .root_ca = root};

	return job;
}

static void power_cut(const char *step)
{
	(void)step;
	if (--steps_left == 0)
		_exit(99);
}

/* Stage, prove and settle, or stage and forget. 99: the power was cut. */
static int live(int steps, bool good)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		struct sim_job job = job_of();
		struct sim_trust trust;
		struct iot_error err = IOT_ERROR_INIT;

		steps_left = steps;
		sim_slots_step_hook = power_cut;
		if (sim_trust_open(dir, &trust, &err) != IOT_OK || sim_trust_stage(&trust, &job, &err) != IOT_OK ||
		    (good && (sim_trust_proved(&trust, &err) != IOT_OK || sim_trust_settle(&trust, &err) != IOT_OK)) ||
		    (!good && sim_trust_forget(&trust, &err) != IOT_OK))
			_exit(1);
		_exit(0);
	}
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool all_old(void)
{
	return file_has("device.json", "\"old\"") && file_has("ca.pem", "old root");
}

static bool all_new(void)
{
	return file_has("device.json", "\"new\"") && file_has("device.json", "pump-1") && file_has("ca.pem", "BEGIN");
}

static void check_boot(bool good, int step)
{
	struct sim_trust trust;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(sim_trust_open(dir, &trust, &err), &err);
	CU_ASSERT_NOT_EQUAL(trust.state, SIM_TRUST_SETTLING);
	if (!all_old() && !(good && all_new())) {
		fprintf(stderr, "half of each after step %d\n", step);
		CU_FAIL("half of each");
	}
	if (trust.state != SIM_TRUST_NONE) {
		CU_ASSERT_TRUE(all_old());
		CU_ASSERT_STRING_EQUAL(trust.job_id, "j1");
		CU_ASSERT_STRING_EQUAL(trust.endpoint, "new");
		CU_ASSERT_EQUAL(trust.port, 2);
		CU_ASSERT_TRUE(trust.has_root && iot_fs_exists(trust.root_path));
	}
	sim_trust_release(&trust);
}

static int count_cuts(bool good)
{
	int step = 1;

	for (;; step++) {
		int ended = live(step, good);

		check_boot(good, step);
		tear_down();
		set_up();
		if (ended == 0)
			return step - 1;
		CU_ASSERT_EQUAL_FATAL(ended, 99);
	}
}

static void test_power_cuts(void)
{
	CU_ASSERT_EQUAL(count_cuts(true), 7); /* root, trying, proved, settling, ca.pem, device.json, forgotten */
	CU_ASSERT_EQUAL(count_cuts(false), 3);
}

static void test_settled(void)
{
	struct sim_trust trust;
	struct iot_error err = IOT_ERROR_INIT;

	CU_ASSERT_EQUAL(live(0, true), 0);
	CU_ASSERT_TRUE(all_new());
	ASSERT_OK(sim_trust_open(dir, &trust, &err), &err);
	CU_ASSERT_EQUAL(trust.state, SIM_TRUST_NONE);
	CU_ASSERT_FALSE(trust.settled);
	CU_ASSERT_FALSE(iot_fs_exists(trust.root_path));
	sim_trust_release(&trust);
}

/* A flash that lost its mind leaves a device with its old trust. */
static void test_damaged(void)
{
	static const char *const texts[] = {
		"",
		"{",
		"[]",
		"{\"state\":\"proved\"}",
		"{\"state\":\"trying\",\"jobId\":\"j\",\"endpoint\":\"x\",\"port\":0,\"rootCa\":true}",
		"{\"state\":\"trying\",\"jobId\":\"j\",\"endpoint\":\"x\",\"port\":70000}"};

	for (size_t i = 0; i < IOT_LENGTH(texts); i++) {
		struct sim_trust trust;
		struct iot_error err = IOT_ERROR_INIT;

		write_file("sim/trust.json", texts[i]);
		ASSERT_OK(sim_trust_open(dir, &trust, &err), &err);
		CU_ASSERT_EQUAL(trust.state, SIM_TRUST_NONE);
		CU_ASSERT_TRUE(all_old());
		sim_trust_release(&trust);
	}
}

/* --- documents ------------------------------------------------------------------------ */

static enum sim_job_kind read_trust(json_t *trust, struct sim_job *job)
{
	struct sim_fault fault = {0};
	IOT_JSON reply = json_pack("{s:{s:s, s:{s:{s:o}}}}", "execution", "jobId", "j1", "jobDocument", "iotctl",
				   "trust", trust);
	enum sim_job_kind kind = sim_job_read(reply, job, &fault);

	if (kind == SIM_JOB_BAD)
		CU_ASSERT_EQUAL(fault.code, SIM_FAULT_DOCUMENT);
	job->root_ca = NULL;
	return kind;
}

static void test_documents(void)
{
	struct sim_job job;

	CU_ASSERT_EQUAL(
		read_trust(json_pack("{s:s, s:i, s:s}", "endpoint", "a.example", "port", 8884, "rootCa", root), &job),
		SIM_JOB_TRUST);
	CU_ASSERT_STRING_EQUAL(job.endpoint, "a.example");
	CU_ASSERT_EQUAL(job.port, 8884);
	CU_ASSERT_EQUAL(read_trust(json_pack("{s:s}", "rootCa", root), &job), SIM_JOB_TRUST);
	CU_ASSERT_EQUAL(read_trust(json_pack("{s:s}", "endpoint", "a.example"), &job), SIM_JOB_TRUST);
	CU_ASSERT_EQUAL(read_trust(json_pack("{}"), &job), SIM_JOB_BAD);
	CU_ASSERT_EQUAL(read_trust(json_pack("{s:i}", "port", 1), &job), SIM_JOB_BAD);
	CU_ASSERT_EQUAL(read_trust(json_pack("{s:s}", "endpoint", ""), &job), SIM_JOB_BAD);
	CU_ASSERT_EQUAL(read_trust(json_pack("{s:s}", "endpoint", "a:1"), &job), SIM_JOB_BAD);
	CU_ASSERT_EQUAL(read_trust(json_pack("{s:s}", "endpoint", "a/b"), &job), SIM_JOB_BAD);
	CU_ASSERT_EQUAL(read_trust(json_pack("{s:i}", "endpoint", 1), &job), SIM_JOB_BAD);
	CU_ASSERT_EQUAL(read_trust(json_pack("{s:s, s:i}", "endpoint", "a", "port", 0), &job), SIM_JOB_BAD);
	CU_ASSERT_EQUAL(read_trust(json_pack("{s:s, s:s}", "endpoint", "a", "port", "1"), &job), SIM_JOB_BAD);
	CU_ASSERT_EQUAL(read_trust(json_pack("{s:s}", "rootCa", "-----BEGIN"), &job), SIM_JOB_BAD);
	CU_ASSERT_EQUAL(read_trust(json_pack("{s:s, s:b}", "endpoint", "a", "insecure", 1), &job), SIM_JOB_BAD);
	CU_ASSERT_EQUAL(read_trust(json_string("a.example"), &job), SIM_JOB_BAD);
}

UNIT_MAIN("sim/trust", set_up, tear_down, {"power-cuts", test_power_cuts}, {"settled", test_settled},
	  {"damaged", test_damaged}, {"documents", test_documents})
