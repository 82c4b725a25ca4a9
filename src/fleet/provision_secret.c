/*
 * A board that shares a secret with the fleet, in place of a certificate; one that
 * attests has another for its tokens. Both are made here and lie in a private file
 * beside the journal, on the disk before anybody has them, then sealed in the
 * registry, and only then the board gets them. The journal knows their identity.
 */
#include "fleet/provision_private.h"

#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "iotctl/key.h"
#include "iotctl/pskfile.h"
#include "iotctl/text.h"

#include <string.h>

enum { SECRET_SIZE = 32, IDENTITY_MAX = 128, FILE_MAX = 1024, PLAIN_NAME_MAX = 100 };
#define ATTEST_ENDING ".attest"

const char *provision_psk_of(const char *certificate)
{
	return iot_starts_with(certificate, PROVISION_PSK) ? certificate + strlen(PROVISION_PSK) : NULL;
}

static bool attests(const struct provision *run)
{
	return run->description->install & 1U << IOT_ITEM_ATTEST_KEY;
}

static char *attest_identity(const char *identity)
{
	return iot_strf("%s" ATTEST_ENDING, identity);
}

/* What the registry says of an identity: NULL if there is none. New reference. */
static enum iot_status look_up(struct provision *run, const char *identity, json_t **ret, struct iot_error *err)
{
	IOT_JSON reply = NULL;
	enum iot_status status =
		fleet_call(run->cloud, "iotctl:ListPsks", json_pack("{s:s}", "identity", identity), &reply, err);

	if (status == IOT_OK)
		*ret = json_incref(json_array_get(json_object_get(reply, "psks"), 0));
	return status;
}

/* --- whose secrets a thing has ------------------------------------------------------------- */

static const char *own_identity(const struct provision *run)
{
	return run->entry.certificate != NULL ? provision_psk_of(run->entry.certificate) : NULL;
}

static enum iot_status other_secret(json_t *item, void *data, struct iot_error *err)
{
	const struct provision *run = data;
	const char *identity = iot_json_str(item, "identity", ""), *own = own_identity(run);
	const char *replaced = run->entry.replaces != NULL ? provision_psk_of(run->entry.replaces) : NULL;

	(void)err;
	if (strcmp(iot_json_str(item, "status", ""), "ACTIVE") != 0 ||
	    strcmp(iot_json_str(item, "purpose", ""), "connect") != 0)
		return IOT_OK;
	if ((own != NULL && strcmp(own, identity) == 0) || (replaced != NULL && strcmp(replaced, identity) == 0))
		return IOT_OK;
	return IOT_CONFLICT;
}

enum iot_status provision_check_secrets(struct provision *run, struct iot_error *err)
{
	enum iot_status status = fleet_each(run->cloud, "iotctl:ListPsks", json_pack("{s:s}", "thingName", run->thing),
					    "psks", other_secret, run, err);

	if ((status == IOT_CONFLICT && run->spec->replace) || (status != IOT_OK && fleet_missing(err))) {
		iot_error_clear(err);
		return IOT_OK;
	}
	if (status != IOT_CONFLICT)
		return status;
	iot_fail(err, IOT_CONFLICT, "device '%s' exists with another shared secret", run->thing);
	iot_error_hint(err, "find out whose it is; --replace gives it this one besides");
	return IOT_CONFLICT;
}

/* --- the file ------------------------------------------------------------------------------- */

static void write_line(struct iot_buf *text, const char *identity, const struct iot_buf *secret)
{
	iot_buf_adds(text, identity);
	iot_buf_addc(text, ':');
	iot_buf_adds(text, iot_buf_str(secret));
	iot_buf_addc(text, '\n');
}

/* Lines as of mosquitto's psk_file, and whose they are. */
static enum iot_status save(struct provision *run, const char *folder, const char *path, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_SECRET(FILE_MAX);
	enum iot_status status = iot_fs_mkdirs(folder, 0700, err);

	iot_buf_addf(&text, "# %s\n", run->thing);
	write_line(&text, run->psk_identity, &run->psk);
	if (run->attest.len > 0)
		write_line(&text, run->attest_identity, &run->attest);
	if (status == IOT_OK)
		status = iot_buf_check(&text, "file of secrets", err);
	return status == IOT_OK ? iot_fs_write(path, 0600, text.data, text.len, err) : status;
}

/* The secret of a line "IDENTITY:HEX"; false: it is none. *at moves behind it. */
static bool read_line(char **at, char **ret_identity, struct iot_buf *secret)
{
	char *line = *at, *end = strchr(line, '\n'), *colon;
	uint8_t bytes[SECRET_SIZE];
	bool good;

	if (end == NULL)
		return false;
	*end = '\0';
	*at = end + 1;
	colon = strchr(line, ':');
	if (colon == NULL || colon == line || colon - line > IDENTITY_MAX)
		return false;
	*colon = '\0';
	good = strlen(colon + 1) == (size_t)2 * SECRET_SIZE && iot_unhex(colon + 1, bytes, SECRET_SIZE);
	iot_wipe(bytes, sizeof(bytes));
	if (good) {
		*ret_identity = iot_strdup(line);
		iot_buf_adds(secret, colon + 1);
	}
	return good;
}

/* What another device's board left here, as when this one was to be that until now, is not ours. */
static enum iot_status read_file(struct provision *run, const char *path, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_SECRET(FILE_MAX);
	IOT_CLEAN(iot_free_p) char *head = iot_strf("# %s\n", run->thing);
	enum iot_status status = iot_fs_check_private(path, err);
	char *at;
	bool good;

	if (status == IOT_OK)
		status = iot_fs_read(path, &text, err);
	if (status != IOT_OK)
		return status;
	if (!iot_starts_with(iot_buf_str(&text), head))
		return provision_wipe_file(path, err);
	at = text.data + strlen(head);
	good = strlen(text.data) == text.len && read_line(&at, &run->psk_identity, &run->psk);
	if (good && *at != '\0')
		good = read_line(&at, &run->attest_identity, &run->attest) && *at == '\0';
	if (good)
		return IOT_OK;
	iot_fail(err, IOT_FAILURE, "'%s' is damaged", path);
	iot_error_hint(err, "it holds the board's secret: when it is removed, a new one is made");
	return IOT_FAILURE;
}

/* --- secrets that the registry has ------------------------------------------------------------ */

/* *ret_found false: it is revoked, or gone. */
static enum iot_status fetch_one(struct provision *run, const char *identity, const char *purpose,
				 struct iot_buf *secret, bool *ret_found, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf line = IOT_BUF_SECRET(FILE_MAX);
	enum iot_status status =
		iot_psk_export(run->cloud, run->thing, identity, purpose, IOT_PSK_MOSQUITTO, &line, NULL, err);
	const char *hex;

	*ret_found = status == IOT_OK;
	if (status == IOT_NOT_FOUND) {
		iot_error_clear(err);
		return IOT_OK;
	}
	if (status != IOT_OK)
		return status;
	hex = strchr(iot_buf_str(&line), ':') + 1;
	iot_buf_add(secret, hex, strcspn(hex, "\n"));
	return IOT_OK;
}

static enum iot_status revoked(struct provision *run, const char *identity, struct iot_error *err)
{
	iot_fail(err, IOT_CONFLICT, "shared secret '%s', which board '%s' has, is not active any more", identity,
		 run->uid);
	iot_error_hint(err, "somebody revoked it; --replace gives the board a new one");
	return IOT_CONFLICT;
}

/* The file was wiped when the board was proved. An attestation key may be wanted only now. */
static enum iot_status fetch(struct provision *run, struct iot_error *err)
{
	const char *identity = own_identity(run);
	IOT_CLEAN(iot_free_p) char *attest = attest_identity(identity);
	IOT_JSON known = NULL;
	IOT_JSON known_attest = NULL;
	bool found = false, found_attest = !attests(run);
	enum iot_status status = fetch_one(run, identity, "connect", &run->psk, &found, err);

	if (status == IOT_OK && !found_attest)
		status = fetch_one(run, attest, "attest", &run->attest, &found_attest, err);
	if (status == IOT_OK && !found)
		status = look_up(run, identity, &known, err);
	if (status == IOT_OK && !found_attest)
		status = look_up(run, attest, &known_attest, err);
	if (status != IOT_OK)
		return status;
	if (found && (found_attest || known_attest == NULL)) {
		run->psk_identity = iot_strdup(identity);
		run->attest_identity = run->attest.len > 0 ? iot_strdup(attest) : NULL;
		return IOT_OK;
	}
	iot_buf_clear(&run->psk);
	iot_buf_clear(&run->attest);
	/* One that neither the registry nor a board ever had is made anew. */
	if (run->spec->replace || (!found && known == NULL && !run->entry.programmed))
		return IOT_OK;
	return revoked(run, found ? attest : identity, err);
}

/* --- new ones ------------------------------------------------------------------------------------ */

static enum iot_status is_free(struct provision *run, const char *identity, bool *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *attest = attest_identity(identity);
	IOT_JSON first = NULL;
	IOT_JSON second = NULL;
	enum iot_status status = look_up(run, identity, &first, err);

	if (status == IOT_OK)
		status = look_up(run, attest, &second, err);
	*ret = first == NULL && second == NULL;
	return status;
}

/* The thing's name where it can be one and was never used, else with an ending. */
static enum iot_status choose_identity(struct provision *run, struct iot_error *err)
{
	enum iot_status status = IOT_OK;
	uint8_t random[4];
	char hex[2 * sizeof(random) + 1];
	bool free_name = false;

	if (strchr(run->thing, ':') == NULL && strlen(run->thing) <= PLAIN_NAME_MAX)
		status = is_free(run, run->thing, &free_name, err);
	if (status != IOT_OK)
		return status;
	iot_random(random, sizeof(random));
	run->psk_identity =
		free_name ? iot_strdup(run->thing)
			  : iot_strf("%.*s.%s", PLAIN_NAME_MAX, run->thing, iot_hex(random, sizeof(random), hex));
	for (char *c = run->psk_identity; *c != '\0'; c++)
		*c = *c == ':' ? '_' : *c;
	return IOT_OK;
}

static void make_secret(struct iot_buf *out)
{
	uint8_t secret[SECRET_SIZE];
	char hex[2 * SECRET_SIZE + 1];

	iot_random(secret, sizeof(secret));
	iot_buf_adds(out, iot_hex(secret, sizeof(secret), hex));
	iot_wipe(secret, sizeof(secret));
	iot_wipe(hex, sizeof(hex));
}

/* What is missing is made. */
static enum iot_status complete(struct provision *run, const char *folder, const char *path, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	if (run->psk_identity != NULL && (run->attest_identity != NULL || !attests(run)))
		return IOT_OK;
	if (provision_is_sealed(run))
		return provision_sealed_lacks(run, "a new secret", err);
	if (run->psk_identity == NULL) {
		status = choose_identity(run, err);
		make_secret(&run->psk);
	}
	if (status == IOT_OK && attests(run)) {
		run->attest_identity = attest_identity(run->psk_identity);
		make_secret(&run->attest);
	}
	run->new_secret = true;
	return status == IOT_OK ? save(run, folder, path, err) : status;
}

/* --- the step ------------------------------------------------------------------------------------- */

static enum iot_status note_identity(struct provision *run, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *name = iot_strf(PROVISION_PSK "%s", run->psk_identity);

	if (run->entry.certificate != NULL && strcmp(run->entry.certificate, name) == 0)
		return IOT_OK;
	if (run->entry.certificate != NULL && run->entry.replaces == NULL) {
		run->entry.replaces = iot_strdup(run->entry.certificate);
		run->entry.replaces_thing = iot_strdup(run->thing);
	}
	return journal_certificate(run->journal, run->entry.id, name, name, err);
}

static enum iot_status import(struct provision *run, const char *identity, const char *purpose,
			      const struct iot_buf *hex, struct iot_error *err)
{
	uint8_t secret[SECRET_SIZE];
	struct iot_body body = {secret, hex->len / 2, -1};
	IOT_JSON request =
		json_pack("{s:s, s:s, s:s}", "thingName", run->thing, "identity", identity, "purpose", purpose);
	IOT_JSON reply = NULL;
	enum iot_status status;

	if (body.len > sizeof(secret) || !iot_unhex(hex->data, secret, body.len))
		return iot_fail(err, IOT_FAILURE, "the secret of '%s' is damaged", identity);
	status = iot_cloud_call(run->cloud, "iotctl:ImportPsk", request, &body, &reply, NULL, err);
	iot_wipe(secret, sizeof(secret));
	run->changed = run->changed || iot_json_bool(reply, "changed", false);
	return status;
}

static enum iot_status import_all(struct provision *run, struct iot_error *err)
{
	enum iot_status status = fleet_begin(run->cloud, err);

	if (status != IOT_OK)
		return status;
	status = import(run, run->psk_identity, "connect", &run->psk, err);
	if (status == IOT_OK && run->attest_identity != NULL)
		status = import(run, run->attest_identity, "attest", &run->attest, err);
	return fleet_end(run->cloud, status, err);
}

enum iot_status provision_secret(struct provision *run, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *folder = provision_key_folder(run);
	IOT_CLEAN(iot_free_p) char *path = iot_path(folder, PROVISION_SECRETS);
	enum iot_status status = iot_fs_exists(path) ? read_file(run, path, err) : IOT_OK;

	if (status == IOT_OK && run->psk_identity == NULL && own_identity(run) != NULL)
		status = fetch(run, err);
	if (status == IOT_OK)
		status = complete(run, folder, path, err);
	if (status == IOT_OK)
		status = note_identity(run, err);
	return status == IOT_OK ? import_all(run, err) : status;
}

/* --- one that it had before ------------------------------------------------------------------------ */

static enum iot_status revoke(struct provision *run, const char *identity, struct iot_error *err)
{
	enum iot_status status =
		fleet_call(run->cloud, "iotctl:RevokePsk", json_pack("{s:s}", "identity", identity), NULL, err);

	if (status == IOT_OK || !fleet_missing(err))
		return status;
	iot_error_clear(err); /* it was never registered, or went with its device */
	return IOT_OK;
}

enum iot_status provision_revoke(struct provision *run, const char *identity, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *attest = attest_identity(identity);
	enum iot_status status = revoke(run, identity, err);

	return status == IOT_OK ? revoke(run, attest, err) : status;
}
