/* A look at a fleet and its surroundings: what is wrong, and what to do about it. */
#include "fleet/fleet_private.h"

#include "iotctl/base.h"
#include "iotctl/cert.h"
#include "iotctl/clock.h"
#include "iotctl/fs.h"
#include "iotctl/local.h"
#include "iotctl/store.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#define DAY_MS (INT64_C(24) * 3600 * 1000)

static void found(json_t *records, const char *check, const char *result, const char *detail, const char *cure)
{
	json_t *record = json_pack("{s:s, s:s}", "check", check, "result", result);

	iot_json_set_str(record, "detail", detail);
	iot_json_set_str(record, "cure", cure);
	json_array_append_new(records, record);
}

/* An error object becomes a record. */
static void found_error(json_t *records, const char *check, const struct iot_error *err)
{
	found(records, check, "error", err->what, *err->hint != '\0' ? err->hint : NULL);
}

static void check_clock(json_t *records)
{
	struct iot_error err = IOT_ERROR_INIT;

	if (iot_clock_check(&err) != IOT_OK)
		found_error(records, "clock", &err);
	else
		found(records, "clock", "ok", NULL, NULL);
}

static void check_registry(struct iot_cloud *cloud, json_t *records)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status = iot_stmt_get(iot_local_store(cloud), "PRAGMA quick_check(1)", &stmt, &err);

	if (status == IOT_OK)
		status = iot_stmt_step(stmt, &row, &err);
	if (status != IOT_OK)
		found_error(records, "registry", &err);
	else if (!row || strcmp(iot_stmt_text(stmt, 0), "ok") != 0)
		found(records, "registry", "error", "the registry is damaged", "move the fleet away and 'iotctl restore' a backup");
	else
		found(records, "registry", "ok", iot_local_paths(cloud)->registry, NULL);
	iot_stmt_done(stmt);
}

static void check_keys(const char *dir, const char *check, json_t *records)
{
	DIR *folder = opendir(dir);
	struct dirent *entry;
	bool bad = false;

	while (folder != NULL && (entry = readdir(folder)) != NULL) {
		IOT_CLEAN(iot_free_p) char *path = iot_path(dir, entry->d_name);
		struct iot_error err = IOT_ERROR_INIT;
		size_t len = strlen(entry->d_name);

		if (len < 4 || strcmp(entry->d_name + len - 4, ".key") != 0 || iot_fs_check_private(path, &err) == IOT_OK)
			continue;
		bad = true;
		found_error(records, check, &err);
	}
	if (folder != NULL)
		closedir(folder);
	if (!bad)
		found(records, check, "ok", "private keys are closed to others", NULL);
}

static void check_certificate(const char *dir, const char *name, json_t *records)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, name);
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	char until[32], detail[128];
	int64_t left;

	if (iot_cert_load(path, &cert, &err) != IOT_OK) {
		found_error(records, name, &err);
		return;
	}
	left = iot_cert_not_after(cert) - iot_now_ms();
	snprintf(detail, sizeof(detail), "valid until %s", iot_time_rfc3339(iot_cert_not_after(cert), until));
	if (left < 0)
		found(records, name, "error", detail, "it has expired: devices refuse the broker");
	else
		found(records, name, left < 30 * DAY_MS ? "warning" : "ok", detail,
		      left >= 30 * DAY_MS                 ? NULL
		      : strcmp(name, "server.pem") == 0 ? "start serve anew: it renews it"
							: "renew it before it ends");
}

static void check_disk(const char *dir, json_t *records)
{
	struct statvfs info;
	char detail[64];
	int64_t free_mb;

	if (statvfs(dir, &info) != 0)
		return;
	free_mb = (int64_t)info.f_bavail * (int64_t)info.f_frsize / 1000000;
	snprintf(detail, sizeof(detail), "%lld MB free", (long long)free_mb);
	found(records, "disk", free_mb < 100 ? "warning" : "ok", detail, free_mb < 100 ? "make room" : NULL);
}

enum iot_status iot_fleet_doctor(struct iot_cloud *cloud, json_t **ret_records, struct iot_error *err)
{
	const struct iot_fleet_paths *paths;
	json_t *records;
	enum iot_status status = iot_fleet_need_local(cloud, err);

	if (status != IOT_OK)
		return status;
	paths = iot_local_paths(cloud);
	records = json_array();
	check_clock(records);
	check_registry(cloud, records);
	check_keys(paths->ca_dir, "CA keys", records);
	check_keys(paths->codesign_dir, "code-signing keys", records);
	check_keys(paths->dir, "sealing key", records);
	check_certificate(paths->ca_dir, "root.pem", records);
	check_certificate(paths->ca_dir, "issuing.pem", records);
	check_certificate(paths->ca_dir, "server.pem", records);
	check_disk(paths->dir, records);
	*ret_records = records;
	return IOT_OK;
}
