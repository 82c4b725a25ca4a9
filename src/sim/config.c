/*
 * Reading a device folder, and fault names.
 */
#include "sim/config.h"

#include "iotctl/base.h"
#include "iotctl/cert.h"
#include "iotctl/fs.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>

enum { DEVICE_JSON_MAX = 64 * 1024, SLOW_MS = 200 };

static enum iot_status read_json(const char *dir, json_t **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "device.json");
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(DEVICE_JSON_MAX);
	enum iot_status status = iot_fs_read(path, &text, err);

	if (status == IOT_NOT_FOUND) {
		iot_fail(err, IOT_NOT_FOUND, "'%s' is not a device folder: it has no device.json", dir);
		iot_error_hint(err, "make one with 'iotctl device create NAME --out FOLDER'");
	}
	return status == IOT_OK ? iot_json_parse(text.data, text.len, path, ret, err) : status;
}

static enum iot_status check_members(const json_t *device, const char *dir, struct iot_error *err)
{
	static const char *const wanted[] = {"thingName", "endpoint"};
	int64_t port = iot_json_int(device, "port", 0);

	for (size_t i = 0; i < IOT_LENGTH(wanted); i++) {
		if (iot_json_str(device, wanted[i], "")[0] == '\0')
			return iot_fail(err, IOT_USAGE, "'%s/device.json' has no %s", dir, wanted[i]);
	}
	if (port < 1 || port > 65535)
		return iot_fail(err, IOT_USAGE, "'%s/device.json' has no port from 1 to 65535", dir);
	return iot_cert_check_name(iot_json_str(device, "thingName", ""), err);
}

static enum iot_status find_file(const char *dir, const char *name, char **ret, struct iot_error *err)
{
	*ret = iot_path(dir, name);
	return iot_fs_exists(*ret) ? IOT_OK : iot_fail(err, IOT_NOT_FOUND, "'%s' is missing", *ret);
}

enum iot_status sim_config_load(const char *dir, struct sim_config *ret, struct iot_error *err)
{
	IOT_CLEAN(sim_config_release) struct sim_config config = {0};
	IOT_CLEAN(iot_free_p) char *codesign = NULL;
	IOT_JSON device = NULL;
	IOT_CLEAN(iot_free_p) char *subject = iot_path(dir, "device.json");
	const char *thing;
	enum iot_status status = read_json(dir, &device, err);

	if (status == IOT_OK)
		status = check_members(device, dir, err);
	if (status == IOT_OK)
		status = find_file(dir, "ca.pem", &config.ca_file, err);
	if (status == IOT_OK)
		status = find_file(dir, "certificate.pem", &config.cert_file, err);
	if (status == IOT_OK)
		status = find_file(dir, "private.key", &config.key_file, err);
	if (status == IOT_OK)
		status = iot_fs_check_private(config.key_file, err);
	if (status == IOT_OK)
		status = find_file(dir, "codesign.pem", &codesign, err);
	if (status == IOT_OK)
		status = iot_key_load_public(codesign, &config.codesign_key, err);
	if (status == IOT_OK)
		status = sim_topics_read(device, subject, &config.topics, err);
	if (status != IOT_OK)
		return status;
	thing = iot_json_str(device, "thingName", "");
	config.thing = iot_strdup(thing);
	config.type = iot_strdup(iot_json_str(device, "thingType", NULL));
	config.client_id = iot_strdup(iot_json_str(device, "clientId", thing));
	config.endpoint = iot_strdup(iot_json_str(device, "endpoint", ""));
	config.port = (int)iot_json_int(device, "port", 0);
	config.sim_dir = iot_path(dir, "sim");
	*ret = config;
	memset(&config, 0, sizeof(config));
	return IOT_OK;
}

void sim_config_release(struct sim_config *config)
{
	free(config->thing);
	free(config->type);
	free(config->endpoint);
	free(config->client_id);
	sim_topics_release(&config->topics);
	free(config->ca_file);
	free(config->cert_file);
	free(config->key_file);
	free(config->sim_dir);
	iot_key_free(config->codesign_key);
	memset(config, 0, sizeof(*config));
}

static enum iot_status parse_one(const char *name, struct sim_faults *faults, char **client_id, struct iot_error *err)
{
	struct {
		const char *name;
		bool *flag;
	} const flags[] = {
		{"silent", &faults->silent},
		{"stuck", &faults->stuck},
		{"twice", &faults->twice},
		{"out-of-range", &faults->out_of_range},
		{"foreign-job", &faults->foreign_job},
	};

	for (size_t i = 0; i < IOT_LENGTH(flags); i++) {
		if (strcmp(name, flags[i].name) == 0) {
			*flags[i].flag = true;
			return IOT_OK;
		}
	}
	if (strcmp(name, "slow") == 0) {
		faults->slow_ms = SLOW_MS;
		return IOT_OK;
	}
	if (iot_starts_with(name, "slow="))
		return iot_parse_duration(name + strlen("slow="), &faults->slow_ms, err);
	if (iot_starts_with(name, "client-id=") && name[strlen("client-id=")] != '\0') {
		free(*client_id);
		*client_id = iot_strdup(name + strlen("client-id="));
		return IOT_OK;
	}
	iot_fail(err, IOT_USAGE, "no fault is called '%s'", name);
	iot_error_hint(err, "use silent, stuck, twice, out-of-range, foreign-job, slow[=TIME] or client-id=NAME");
	return IOT_USAGE;
}

enum iot_status sim_faults_parse(const char *text, struct sim_faults *ret, char **ret_client_id, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *copy = iot_strdup(text);
	IOT_CLEAN(iot_free_p) char *client_id = NULL;
	struct sim_faults faults = {0};
	enum iot_status status = IOT_OK;
	char *state = NULL;

	if (copy != NULL) {
		for (char *name = strtok_r(copy, ",", &state); name != NULL && status == IOT_OK;
		     name = strtok_r(NULL, ",", &state))
			status = parse_one(name, &faults, &client_id, err);
	}
	if (status != IOT_OK)
		return status;
	*ret = faults;
	*ret_client_id = iot_take(client_id);
	return IOT_OK;
}
