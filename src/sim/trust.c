/* The new trust of a software device on its disk: staged, proved, taken over. */
#include "sim/trust.h"

#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "iotctl/json.h"
#include "iotctl/log.h"

#include <string.h>

enum { FILE_MAX = 64 * 1024 };

static const char *const state_names[] = {
	[SIM_TRUST_TRYING] = "trying", [SIM_TRUST_PROVED] = "proved", [SIM_TRUST_SETTLING] = "settling"};

static void step(const char *name)
{
	if (sim_slots_step_hook != NULL)
		sim_slots_step_hook(name);
}

static char *state_path(const struct sim_trust *trust)
{
	return iot_strf("%s/sim/trust.json", trust->dir);
}

static void clear(struct sim_trust *trust)
{
	trust->state = SIM_TRUST_NONE;
	trust->job_id[0] = trust->endpoint[0] = '\0';
	trust->port = 0;
	trust->has_root = false;
}

/* --- the state file ------------------------------------------------------------------- */

static enum iot_status save(struct sim_trust *trust, enum sim_trust_state state, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = state_path(trust);
	IOT_CLEAN(iot_free_p) char *text = NULL;
	IOT_JSON json = json_object();
	enum iot_status status;

	iot_json_set_str(json, "state", state_names[state]);
	iot_json_set_str(json, "jobId", trust->job_id);
	iot_json_set_str(json, "endpoint", trust->endpoint);
	iot_json_set_int(json, "port", trust->port);
	iot_json_set_bool(json, "rootCa", trust->has_root);
	text = iot_json_text(json);
	status = iot_fs_write(path, 0644, text, strlen(text), err);
	if (status != IOT_OK)
		return status;
	trust->state = state;
	step(state_names[state]);
	return IOT_OK;
}

static bool take_text(const json_t *json, const char *key, char *out, size_t size)
{
	const char *text = iot_json_str(json, key, NULL);

	if (text == NULL || strlen(text) >= size)
		return false;
	strcpy(out, text); /* NOLINT(clang-analyzer-security.insecureAPI.strcpy): measured above */
	return true;
}

static bool decode(const json_t *json, struct sim_trust *trust)
{
	const char *name = iot_json_str(json, "state", "");
	int64_t port = iot_json_int(json, "port", -1);

	for (int state = SIM_TRUST_TRYING; state <= SIM_TRUST_SETTLING; state++)
		if (strcmp(name, state_names[state]) == 0)
			trust->state = (enum sim_trust_state)state;
	trust->has_root = iot_json_bool(json, "rootCa", false);
	trust->port = (int)port;
	return trust->state != SIM_TRUST_NONE && port >= 0 && port <= 65535 &&
	       take_text(json, "jobId", trust->job_id, sizeof(trust->job_id)) &&
	       take_text(json, "endpoint", trust->endpoint, sizeof(trust->endpoint)) &&
	       (!trust->has_root || iot_fs_exists(trust->root_path));
}

static enum iot_status load(struct sim_trust *trust, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = state_path(trust);
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(FILE_MAX);
	IOT_JSON json = NULL;
	enum iot_status status = iot_fs_read(path, &text, err);

	if (status == IOT_NOT_FOUND) {
		iot_error_clear(err);
		return IOT_OK;
	}
	if (status != IOT_OK)
		return status;
	if (iot_json_parse(text.data, text.len, path, &json, NULL) != IOT_OK || !decode(json, trust)) {
		iot_warn("'%s' is damaged: staying with the old endpoint and root CA", path);
		clear(trust);
	}
	return IOT_OK;
}

enum iot_status sim_trust_open(const char *dir, struct sim_trust *ret, struct iot_error *err)
{
	struct sim_trust trust = {.dir = iot_strdup(dir), .root_path = iot_strf("%s/sim/root-new.pem", dir)};
	enum iot_status status = load(&trust, err);

	trust.settled = trust.state == SIM_TRUST_SETTLING;
	if (status == IOT_OK && trust.settled)
		status = sim_trust_settle(&trust, err);
	if (status != IOT_OK) {
		sim_trust_release(&trust);
		return status;
	}
	*ret = trust;
	return IOT_OK;
}

void sim_trust_release(struct sim_trust *trust)
{
	free(trust->dir);
	free(trust->root_path);
	*trust = (struct sim_trust){0};
}

/* --- its steps --------------------------------------------------------------------------- */

enum iot_status sim_trust_stage(struct sim_trust *trust, const struct sim_job *job, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	clear(trust);
	if (job->root_ca != NULL) {
		status = iot_fs_write(trust->root_path, 0644, job->root_ca, strlen(job->root_ca), err);
		step("root-new");
	}
	if (status != IOT_OK)
		return status;
	snprintf(trust->job_id, sizeof(trust->job_id), "%s", job->job_id);
	snprintf(trust->endpoint, sizeof(trust->endpoint), "%s", job->endpoint);
	trust->port = job->port;
	trust->has_root = job->root_ca != NULL;
	return save(trust, SIM_TRUST_TRYING, err);
}

enum iot_status sim_trust_proved(struct sim_trust *trust, struct iot_error *err)
{
	return save(trust, SIM_TRUST_PROVED, err);
}

static enum iot_status take_root(const struct sim_trust *trust, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(trust->dir, "ca.pem");
	IOT_CLEAN(iot_buf_release) struct iot_buf pem = IOT_BUF_INIT(FILE_MAX);
	enum iot_status status = iot_fs_read(trust->root_path, &pem, err);

	if (status == IOT_OK)
		status = iot_fs_write(path, 0644, pem.data, pem.len, err);
	step("ca.pem");
	return status;
}

static enum iot_status take_endpoint(const struct sim_trust *trust, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(trust->dir, "device.json");
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(FILE_MAX);
	IOT_CLEAN(iot_free_p) char *changed = NULL;
	IOT_JSON json = NULL;
	enum iot_status status = iot_fs_read(path, &text, err);

	if (status == IOT_OK)
		status = iot_json_parse(text.data, text.len, path, &json, err);
	if (status != IOT_OK)
		return status;
	if (*trust->endpoint != '\0')
		iot_json_set_str(json, "endpoint", trust->endpoint);
	if (trust->port > 0)
		iot_json_set_int(json, "port", trust->port);
	changed = iot_json_text(json);
	status = iot_fs_write(path, 0644, changed, strlen(changed), err);
	step("device.json");
	return status;
}

enum iot_status sim_trust_settle(struct sim_trust *trust, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	if (trust->state != SIM_TRUST_SETTLING)
		status = save(trust, SIM_TRUST_SETTLING, err);
	if (status == IOT_OK && trust->has_root)
		status = take_root(trust, err);
	if (status == IOT_OK && (*trust->endpoint != '\0' || trust->port > 0))
		status = take_endpoint(trust, err);
	return status == IOT_OK ? sim_trust_forget(trust, err) : status;
}

enum iot_status sim_trust_forget(struct sim_trust *trust, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = state_path(trust);
	enum iot_status status = iot_fs_remove(path, err);

	if (status != IOT_OK)
		return status;
	clear(trust);
	step("forgotten");
	return iot_fs_remove(trust->root_path, err);
}
