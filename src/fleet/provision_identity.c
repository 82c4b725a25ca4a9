/*
 * A board's name, key and certificate. Names are reserved in the journal before
 * the board is touched. A key that is made here is on the disk before anybody
 * certifies it, a certificate in the journal before anybody registers it; so
 * whatever a kill leaves behind, the next run finds it and goes on.
 */
#include "fleet/provision_private.h"

#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "iotctl/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *provision_key_origin(const struct provision *run)
{
	return iot_board_key_on_wire(run->description->key) ? "host" : "board";
}

bool provision_has_psk(const struct provision *run)
{
	return run->description->key == IOT_BOARD_KEY_PSK;
}

/* --- the name -------------------------------------------------------------------------- */

/* Text, {serial} and {uid}. NULL: something for it is not known. */
static char *expand(const char *template, const char *uid, const char *serial)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf out = IOT_BUF_INIT(IOT_CERT_NAME_MAX);

	for (const char *at = template; *at != '\0';) {
		const char *value;

		if (*at != '{') {
			iot_buf_addc(&out, *at++);
			continue;
		}
		value = iot_starts_with(at, "{serial}") ? serial : iot_starts_with(at, "{uid}") ? uid : NULL;
		if (value == NULL || *value == '\0')
			return NULL;
		iot_buf_adds(&out, value);
		at += strcspn(at, "}") + 1;
	}
	return out.over ? NULL : iot_buf_detach(&out);
}

char *provision_name_for(const struct iot_board_description *description, const char *uid, const char *name,
			 const char *serial)
{
	if (description->ops->capabilities & IOT_BOARD_NAMED_BY_UID)
		return iot_strdup(uid);
	if (name != NULL)
		return iot_strdup(name);
	return description->thing_name != NULL ? expand(description->thing_name, uid, serial) : iot_strdup(serial);
}

/* A board that was here before needs not be told its name again. */
static enum iot_status known_name(struct provision *run, struct iot_error *err)
{
	const struct iot_board_identity *identity = &run->identity;
	const char *id = *identity->uid != '\0' ? identity->uid : identity->thing_name;

	return *id != '\0' ? journal_thing(run->journal, provision_fleet(run), id, &run->thing, err) : IOT_OK;
}

static enum iot_status choose_name(struct provision *run, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	run->thing = provision_name_for(run->description, run->identity.uid, run->spec->name, run->spec->serial_number);
	if (run->thing == NULL)
		status = known_name(run, err);
	if (status != IOT_OK || run->thing != NULL)
		return status;
	if (run->description->thing_name == NULL && *run->identity.uid != '\0') {
		run->thing = iot_strdup(run->identity.uid);
		return IOT_OK;
	}
	iot_fail(err, IOT_USAGE, "the board has no id that it could be named by");
	iot_error_hint(err, "give it a name with --name, or the serial number on its label with --serial");
	return IOT_USAGE;
}

enum iot_status provision_name(struct provision *run, struct iot_error *err)
{
	enum iot_status status = choose_name(run, err);

	if (status == IOT_OK)
		status = iot_cert_check_name(run->thing, err);
	if (status == IOT_OK)
		run->uid = iot_strdup(*run->identity.uid != '\0' ? run->identity.uid : run->thing);
	return status;
}

/* --- reserving --------------------------------------------------------------------------- */

enum iot_status provision_held_key(const struct iot_board_identity *identity, char id[IOT_SHA256_HEX_SIZE],
				   const char **ret, struct iot_error *err)
{
	const struct iot_buf *pem = &identity->public_key;
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	enum iot_status status;

	*ret = NULL;
	if (!identity->key_known)
		return IOT_OK;
	*ret = "";
	if (pem->len == 0)
		return IOT_OK;
	status = iot_key_from_public_pem(iot_buf_str(pem), pem->len, "the board's public key", &key, err);
	if (status == IOT_OK)
		*ret = iot_key_id(key, id);
	return status;
}

/* What the board was born with. */
static enum iot_status take_birth_certificate(struct provision *run, struct iot_error *err)
{
	const struct iot_buf *pem = &run->identity.certificate;
	enum iot_status status =
		iot_cert_parse_pem(iot_buf_str(pem), pem->len, "the board's certificate", &run->cert, err);

	if (status == IOT_OK)
		status = iot_key_check_device(iot_cert_key(run->cert), err);
	if (status == IOT_OK)
		iot_cert_pem(run->cert, &run->cert_pem);
	return status;
}

/* A board that had a certificate and is to have a shared secret, or the other way round: what it had is taken away. */
static enum iot_status change_of_kind(struct provision *run, struct iot_error *err)
{
	struct journal_entry *entry = &run->entry;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	bool had_psk = entry->certificate != NULL && provision_psk_of(entry->certificate) != NULL;

	if (entry->certificate == NULL || had_psk == provision_has_psk(run))
		return IOT_OK;
	if (!had_psk) {
		enum iot_status status = iot_cert_parse_pem(entry->certificate, strlen(entry->certificate),
							    "the journal's certificate", &cert, err);

		if (status != IOT_OK)
			return status;
	}
	if (entry->replaces == NULL) {
		entry->replaces = iot_strdup(had_psk ? entry->certificate : iot_cert_id(cert));
		entry->replaces_thing = iot_strdup(run->thing);
	}
	free(iot_take(entry->certificate));
	free(iot_take(entry->key_id));
	entry->programmed = entry->key_begun = false;
	return IOT_OK;
}

enum iot_status provision_reserve(struct provision *run, struct iot_error *err)
{
	bool born = run->description->key == IOT_BOARD_KEY_FACTORY;
	char key_id[IOT_SHA256_HEX_SIZE];
	struct journal_board board = {
		.fleet = provision_fleet(run),
		.kind = run->description->name,
		.uid = run->uid,
		.key_here = iot_board_key_on_wire(run->description->key),
		.serial_number = run->spec->serial_number,
		.thing = run->thing,
		.port = run->spec->port,
	};
	enum iot_status status = IOT_OK;

	if (born)
		status = take_birth_certificate(run, err);
	else if (!provision_has_psk(run))
		status = provision_held_key(&run->identity, key_id, &board.key_id, err);
	if (status != IOT_OK)
		return status;
	if (born) {
		board.key_id = iot_key_id(iot_cert_key(run->cert), key_id);
		board.certificate_id = iot_cert_id(run->cert);
	}
	status = journal_reserve(run->journal, &board, run->spec->replace, &run->entry, err);
	return status == IOT_OK ? change_of_kind(run, err) : status;
}

/* --- the key ---------------------------------------------------------------------------------- */

char *provision_key_folder(const struct provision *run)
{
	IOT_CLEAN(iot_free_p) char *folder = iot_strdup(run->spec->journal);
	char *slash = strrchr(folder, '/');

	if (slash != NULL)
		*slash = '\0';
	return iot_strf("%s/keys/%lld", slash != NULL ? folder : ".", (long long)run->entry.id);
}

/* The certificate that the journal has was issued for the key that the board has. */
static enum iot_status key_of_certificate(struct provision *run, struct iot_error *err)
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	enum iot_status status = iot_cert_parse_pem(run->entry.certificate, strlen(run->entry.certificate),
						    "the journal's certificate", &cert, err);

	if (status == IOT_OK)
		run->key = iot_key_public_copy(iot_cert_key(cert));
	return status;
}

/*
 * A repetition that was killed while it looked what the board holds, or wrote some of it anew, has not touched the key.
 * Where the board shows that it has lost it in the middle of that, it gets another one.
 */
static bool may_hold_key(const struct provision *run)
{
	char held[IOT_SHA256_HEX_SIZE], ours[IOT_SHA256_HEX_SIZE];
	struct iot_error ignored = IOT_ERROR_INIT;
	const char *id = NULL;

	if (provision_held_key(&run->identity, held, &id, &ignored) != IOT_OK)
		return false;
	return id == NULL || strcmp(id, iot_key_id(run->key, ours)) == 0;
}

static enum iot_status key_here(struct provision *run, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *folder = provision_key_folder(run);
	IOT_CLEAN(iot_free_p) char *path = iot_path(folder, "private.key");
	enum iot_status status;

	if (iot_fs_exists(path))
		return iot_key_load(path, NULL, &run->key, err);
	/* It was wiped when the board had proved that it holds it. */
	if (run->entry.certificate != NULL) {
		status = key_of_certificate(run, err);
		if (status != IOT_OK || run->entry.programmed || may_hold_key(run))
			return status;
		iot_key_free(iot_take(run->key));
	}
	status = iot_fs_remove_tree(folder, err); /* the rest of one that was not written whole */
	if (status == IOT_OK)
		status = iot_fs_mkdirs(folder, 0700, err);
	if (status == IOT_OK)
		status = iot_key_generate(IOT_KEY_P256, &run->key, err);
	return status == IOT_OK ? iot_key_save_new(run->key, path, NULL, err) : status;
}

static enum iot_status key_there(struct provision *run, struct iot_error *err)
{
	IOT_CLEAN(iot_csr_release) struct iot_csr csr = {0};
	struct iot_buf pem = IOT_BUF_INIT(IOT_CSR_MAX);
	enum iot_status status;

	if (run->entry.key_id != NULL && run->entry.certificate != NULL)
		return key_of_certificate(run, err);
	status = iot_board_make_key(run->board, run->thing, run->entry.key_begun, &pem, err);
	if (status == IOT_OK)
		status = iot_csr_parse(iot_buf_str(&pem), pem.len, &csr, err);
	if (status == IOT_OK)
		run->key = iot_take(csr.key);
	iot_buf_release(&pem);
	if (status != IOT_OK)
		iot_error_while(err, "letting the board make a key");
	return status;
}

enum iot_status provision_key(struct provision *run, struct iot_error *err)
{
	char id[IOT_SHA256_HEX_SIZE];
	enum iot_status status = run->description->key == IOT_BOARD_KEY_HOST ? key_here(run, err) : key_there(run, err);

	if (status != IOT_OK)
		return status;
	iot_key_id(run->key, id);
	if (run->entry.key_id != NULL && strcmp(run->entry.key_id, id) == 0)
		return IOT_OK;
	run->changed = true;
	return journal_key(run->journal, run->entry.id, id, err);
}

/* --- the certificate ---------------------------------------------------------------------------- */

/* The one in the journal, if it is for this key and name. */
static enum iot_status known_certificate(struct provision *run, struct iot_error *err)
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	enum iot_status status;

	if (run->entry.certificate == NULL)
		return IOT_OK;
	status = iot_cert_parse_pem(run->entry.certificate, strlen(run->entry.certificate), "the journal's certificate",
				    &cert, err);
	if (status != IOT_OK)
		return status;
	if (iot_key_equal(iot_cert_key(cert), run->key) && provision_issued_here(run, cert)) {
		run->cert = iot_take(cert);
		return IOT_OK;
	}
	if (run->entry.replaces == NULL) {
		run->entry.replaces = iot_strdup(iot_cert_id(cert));
		run->entry.replaces_thing = iot_strdup(run->thing);
	}
	return IOT_OK;
}

static enum iot_status ensure_certificate(struct provision *run, struct iot_error *err)
{
	enum iot_status status = known_certificate(run, err);

	if (status != IOT_OK || run->cert != NULL) {
		if (run->cert != NULL)
			iot_cert_pem(run->cert, &run->cert_pem);
		return status;
	}
	if (provision_is_sealed(run))
		return provision_sealed_lacks(run, "a new certificate", err);
	status = provision_issue(run, &run->cert, err);
	if (status != IOT_OK)
		return status;
	run->changed = true;
	iot_cert_pem(run->cert, &run->cert_pem);
	return journal_certificate(run->journal, run->entry.id, iot_cert_id(run->cert), iot_buf_str(&run->cert_pem),
				   err);
}

enum iot_status provision_certificate(struct provision *run, struct iot_error *err)
{
	return run->description->key == IOT_BOARD_KEY_FACTORY ? provision_check_certificate(run, err)
							      : ensure_certificate(run, err);
}

/* --- afterwards ------------------------------------------------------------------------------------ */

/* Overwritten before it is removed, for what a disk that keeps its blocks in place is worth. */
enum iot_status provision_wipe_file(const char *path, struct iot_error *err)
{
	static const char nothing[4096];
	/* Under another name first: whoever is killed in the middle must not leave half of a key that looks like one.
	 */
	IOT_CLEAN(iot_free_p) char *aside = iot_strf("%s.wiped", path);
	IOT_CLEAN(iot_close_p) int fd = -1;
	struct stat st;
	off_t left;

	enum iot_status status = iot_fs_exists(path) ? iot_fs_rename(path, aside, err) : IOT_OK;

	if (status != IOT_OK)
		return status;
	fd = open(aside, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return IOT_OK;
	if (fd < 0 || fstat(fd, &st) != 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot wipe the key '%s'", path);
	for (left = st.st_size; left > 0;) {
		ssize_t n = write(fd, nothing, left < (off_t)sizeof(nothing) ? (size_t)left : sizeof(nothing));

		if (n < 0)
			return iot_fail_errno(err, IOT_FAILURE, errno, "cannot wipe the key '%s'", path);
		left -= n;
	}
	if (fsync(fd) != 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot wipe the key '%s'", path);
	return iot_fs_remove(aside, err);
}

static enum iot_status remove_keys(const struct provision *run, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *folder = provision_key_folder(run);
	IOT_CLEAN(iot_free_p) char *key = iot_path(folder, "private.key");
	IOT_CLEAN(iot_free_p) char *secrets = iot_path(folder, PROVISION_SECRETS);
	enum iot_status status = provision_wipe_file(key, err);

	if (status == IOT_OK)
		status = provision_wipe_file(secrets, err);
	return status == IOT_OK ? iot_fs_remove_tree(folder, err) : status;
}

enum iot_status provision_tidy(struct provision *run, struct iot_error *err)
{
	enum iot_status status = provision_drop_replaced(run, err);

	return status == IOT_OK ? remove_keys(run, err) : status;
}

enum iot_status provision_forget(struct iot_cloud *cloud, const char *journal_path, const char *uid,
				 struct iot_error *err)
{
	IOT_CLEAN(iot_store_close_p) struct iot_store *journal = NULL;
	const struct iot_provision_spec spec = {.journal = journal_path};
	struct provision run = {.cloud = cloud, .spec = &spec};
	enum iot_status status = journal_open(journal_path, &journal, err);

	if (status == IOT_OK)
		status = journal_idle(journal, provision_fleet(&run), uid, fleet_is_local(cloud), &run.entry.id, err);
	if (status != IOT_OK || run.entry.id == 0)
		return status;
	status = remove_keys(&run, err);
	return status == IOT_OK ? journal_forget(journal, run.entry.id, err) : status;
}
