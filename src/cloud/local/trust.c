/*
 * The trust directory broker/trust: what the broker's TLS listener verifies
 * certificates with, as OpenSSL looks it up (openssl-rehash(1)): a file
 * HASH.N per certificate, HASH of its subject name, N counting from 0 without
 * gaps. It holds all registered CAs, and the self-signed certificates that are
 * ACTIVE. It can be written anew from the registry at any time.
 */
#include "registry_private.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* More of one name than this is a fault, not a fleet. */
#define SAME_NAME_MAX 10000

static char *entry_path(struct iot_local *local, const char *hash, int number)
{
	return iot_strf("%s/%s.%d", local->paths.trust_dir, hash, number);
}

/* The id of the certificate in a file; false if it cannot be read. */
static bool entry_id(const char *path, char id[IOT_SHA256_HEX_SIZE])
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;

	if (iot_cert_load(path, &cert, NULL) != IOT_OK)
		return false;
	memcpy(id, iot_cert_id(cert), IOT_SHA256_HEX_SIZE);
	return true;
}

/* The number under which a certificate is there, or -1; *ret_end: the first free number. */
static int find_entry(struct iot_local *local, const char *hash, const char *id, int *ret_end)
{
	int found = -1;
	int number = 0;

	for (; number < SAME_NAME_MAX; number++) {
		IOT_CLEAN(iot_free_p) char *path = entry_path(local, hash, number);
		char other[IOT_SHA256_HEX_SIZE];

		if (!iot_fs_exists(path))
			break;
		if (found < 0 && entry_id(path, other) && strcmp(other, id) == 0)
			found = number;
	}
	*ret_end = number;
	return found;
}

static enum iot_status add_cert(struct iot_local *local, const struct iot_cert *cert, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = NULL;
	struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	char hash[9];
	int end = 0;
	enum iot_status status;

	iot_cert_subject_hash(cert, hash);
	if (find_entry(local, hash, iot_cert_id(cert), &end) >= 0)
		return IOT_OK;
	if (end == SAME_NAME_MAX)
		return iot_fail(err, IOT_FAILURE, "more than %d certificates are named '%s'", SAME_NAME_MAX,
				iot_cert_subject(cert));
	path = entry_path(local, hash, end);
	iot_cert_pem(cert, &pem);
	/* Readable for the broker's own user: a certificate is no secret. */
	status = iot_fs_write(path, 0644, pem.data, pem.len, err);
	iot_buf_release(&pem);
	return status;
}

enum iot_status iot_local_trust_add(struct iot_local *local, const char *pem, struct iot_error *err)
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	enum iot_status status = iot_cert_parse_pem(pem, strlen(pem), "trusted certificate", &cert, err);

	if (status == IOT_OK)
		status = iot_fs_mkdirs(local->paths.trust_dir, 0700, err);
	return status == IOT_OK ? add_cert(local, cert, err) : status;
}

enum iot_status iot_local_trust_remove(struct iot_local *local, const char *pem, struct iot_error *err)
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	IOT_CLEAN(iot_free_p) char *path = NULL;
	IOT_CLEAN(iot_free_p) char *last = NULL;
	char hash[9];
	int end = 0;
	int found;
	enum iot_status status = iot_cert_parse_pem(pem, strlen(pem), "trusted certificate", &cert, err);

	if (status != IOT_OK)
		return status;
	iot_cert_subject_hash(cert, hash);
	found = find_entry(local, hash, iot_cert_id(cert), &end);
	if (found < 0)
		return IOT_OK;
	path = entry_path(local, hash, found);
	last = entry_path(local, hash, end - 1);
	/* No gap: the last one takes the place. */
	if (found == end - 1)
		return iot_fs_remove(path, err);
	if (rename(last, path) != 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot rename '%s'", last);
	return IOT_OK;
}

/* --- writing it anew ------------------------------------------------------------ */

/* Take out what the registry does not know; new files of another's write are not touched, since it holds the lock. */
static enum iot_status remove_strangers(struct iot_local *local, const json_t *wanted, struct iot_error *err)
{
	DIR *dir = opendir(local->paths.trust_dir);
	IOT_JSON names = json_array();
	const struct dirent *entry;
	enum iot_status status = IOT_OK;
	json_t *name;
	size_t i;

	if (dir == NULL)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot read '%s'", local->paths.trust_dir);
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] != '.')
			json_array_append_new(names, json_string(entry->d_name));
	}
	closedir(dir);
	json_array_foreach(names, i, name) {
		IOT_CLEAN(iot_free_p) char *path = iot_path(local->paths.trust_dir, json_string_value(name));
		char id[IOT_SHA256_HEX_SIZE];

		if (entry_id(path, id) && json_object_get(wanted, id) != NULL)
			continue;
		status = iot_fs_remove(path, err);
		if (status != IOT_OK)
			break;
	}
	return status;
}

/* Close gaps that removing left: an entry HASH.N whose HASH.(N-1) is missing moves down. */
static enum iot_status close_gaps(struct iot_local *local, const char *hash, struct iot_error *err)
{
	int to = 0;

	for (int from = 0; from < SAME_NAME_MAX && from <= to + 64; from++) {
		IOT_CLEAN(iot_free_p) char *old = entry_path(local, hash, from);
		IOT_CLEAN(iot_free_p) char *new = entry_path(local, hash, to);

		if (!iot_fs_exists(old))
			continue;
		if (from != to && rename(old, new) != 0)
			return iot_fail_errno(err, IOT_FAILURE, errno, "cannot rename '%s'", old);
		to++;
	}
	return IOT_OK;
}

static enum iot_status add_all(struct iot_local *local, const json_t *wanted, struct iot_error *err)
{
	const char *id;
	json_t *pem;

	json_object_foreach((json_t *)(uintptr_t)wanted, id, pem) {
		IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
		const char *text = json_string_value(pem);
		char hash[9];
		enum iot_status status = iot_cert_parse_pem(text, strlen(text), id, &cert, err);

		if (status != IOT_OK)
			return status;
		iot_cert_subject_hash(cert, hash);
		status = close_gaps(local, hash, err);
		if (status == IOT_OK)
			status = add_cert(local, cert, err);
		if (status != IOT_OK)
			return status;
	}
	return IOT_OK;
}

static enum iot_status sync_all(struct iot_local *local, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	IOT_JSON wanted = json_object();
	bool row = false;
	enum iot_status status;

	status = iot_fs_mkdirs(local->paths.trust_dir, 0700, err);
	if (status == IOT_OK)
		status = iot_stmt_get(local->store,
				      "SELECT id, pem FROM ca_certificates UNION ALL"
				      " SELECT id, pem FROM certificates WHERE self_signed = 1 AND status = 'ACTIVE'",
				      &stmt, err);
	while (status == IOT_OK) {
		status = iot_stmt_step(stmt, &row, err);
		if (status != IOT_OK || !row)
			break;
		json_object_set_new(wanted, iot_stmt_text(stmt, 0), json_string(iot_stmt_text(stmt, 1)));
	}
	if (status == IOT_OK)
		status = remove_strangers(local, wanted, err);
	return status == IOT_OK ? add_all(local, wanted, err) : status;
}

enum iot_status iot_local_trust_sync(struct iot_cloud *cloud, struct iot_error *err)
{
	struct iot_local *local = iot_local_of(cloud);
	enum iot_status status;

	/* Nothing is written to the registry; its lock keeps others from changing the folder meanwhile. */
	status = iot_local_begin(local, err);
	if (status != IOT_OK)
		return status;
	status = sync_all(local, err);
	return iot_local_end(local, status, err);
}
