/*
 * Ensuring a device: thing (create_thing.c), key, certificate, rights, folder.
 * Every step looks at what is there first, so a call that was killed anywhere is
 * finished by the same call: the key is found on disk, the certificate made for it
 * too, and registering either again changes nothing.
 */
#include "fleet/create_private.h"

#include "iotctl/base.h"
#include "iotctl/cert.h"
#include "iotctl/clock.h"
#include "iotctl/fs.h"
#include "iotctl/layout.h"
#include "iotctl/local.h"
#include "iotctl/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum {
	LOCK_MS = 10000, /* another command gets so long to make a device */
	LOCK_STEP_MS = 10,
};

/* --- everything is looked at before anything is done ----------------------------- */

static enum iot_status check_named(struct iot_cloud *cloud, const char *operation, const char *member,
				   const char *const *names, struct iot_error *err)
{
	for (; names != NULL && *names != NULL; names++) {
		enum iot_status status = fleet_call(cloud, operation, json_pack("{s:s}", member, *names), NULL, err);

		if (status != IOT_OK)
			return status;
	}
	return IOT_OK;
}

static enum iot_status check_out(const struct iot_device_spec *spec, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = NULL;
	struct iot_buf text = IOT_BUF_INIT(65536);
	IOT_JSON record = NULL;
	const char *other;
	enum iot_status status = IOT_OK;

	if (spec->out == NULL) {
		if (spec->csr == NULL && (spec->policies == NULL || *spec->policies == NULL))
			return IOT_OK;
		iot_fail(err, IOT_USAGE, "a policy or a certificate request needs a place for the certificate");
		iot_error_hint(err, "give a folder with --out DIR");
		return IOT_USAGE;
	}
	path = iot_path(spec->out, "device.json");
	if (!iot_fs_exists(path))
		return IOT_OK;
	status = iot_fs_read(path, &text, err);
	if (status == IOT_OK)
		status = iot_json_parse(text.data, text.len, path, &record, err);
	iot_buf_release(&text);
	if (status != IOT_OK)
		return status;
	other = iot_json_str(record, "thingName", "");
	if (strcmp(other, spec->name) != 0)
		return iot_fail(err, IOT_CONFLICT, "folder '%s' belongs to device '%s'", spec->out, other);
	return IOT_OK;
}

/* The key of the board's request, or the one in the folder; *ret stays NULL when there is none yet. */
static enum iot_status found_key(const struct iot_device_spec *spec, struct iot_key **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(spec->out, "private.key");
	struct iot_buf pem = IOT_BUF_INIT(IOT_CSR_MAX);
	struct iot_csr csr = {0};
	enum iot_status status;

	if (spec->csr == NULL)
		return iot_fs_exists(path) ? iot_key_load(path, NULL, ret, err) : IOT_OK;
	status = iot_fs_read(spec->csr, &pem, err);
	if (status == IOT_OK)
		status = iot_csr_parse(iot_buf_str(&pem), pem.len, &csr, err);
	if (status == IOT_OK)
		*ret = iot_take(csr.key);
	iot_csr_release(&csr);
	iot_buf_release(&pem);
	return status;
}

/* With a certificate that was switched off the device would be made, but not let in. One not registered yet is fine. */
static enum iot_status check_active(const struct making *making, struct iot_error *err)
{
	IOT_JSON reply = NULL;
	const char *now;
	enum iot_status status = fleet_call(making->cloud, "DescribeCertificate",
					    json_pack("{s:s}", "certificateId", making->certificate_id), &reply, err);

	if (status != IOT_OK && fleet_missing(err)) {
		iot_error_clear(err);
		return IOT_OK;
	}
	if (status != IOT_OK)
		return status;
	now = iot_json_str(json_object_get(reply, "certificateDescription"), "status", "");
	if (strcmp(now, "ACTIVE") == 0)
		return IOT_OK;
	iot_fail(err, IOT_CONFLICT, "the certificate in '%s' is %s", making->spec->out, now);
	if (strcmp(now, "INACTIVE") == 0)
		iot_error_hint(err, "let the device in again with 'iotctl device enable %s'", making->spec->name);
	else
		iot_error_hint(err, "make it a new one in another folder with --out");
	return IOT_CONFLICT;
}

static enum iot_status check_issuer(struct making *making, const struct iot_cert *cert, const char *path,
				    struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *ca_path = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *ca = NULL;
	enum iot_status status;

	free(iot_take(making->certificate_id));
	if (making->issuer == NULL)
		return fleet_aws_certificate_id(making->cloud, cert, path, &making->certificate_id, err);
	making->certificate_id = iot_strdup(iot_cert_id(cert));
	ca_path = iot_path(iot_local_paths(making->issuer)->ca_dir, "issuing.pem");
	status = iot_cert_load(ca_path, &ca, err);
	if (status == IOT_OK && iot_cert_verify_issued_by(cert, ca, NULL) != IOT_OK)
		status = iot_fail(err, IOT_CONFLICT, "'%s' was not issued by this fleet", path);
	return status;
}

/* A certificate that lies in the folder may be another device's, or of a fleet that is no more. */
static enum iot_status check_found(struct making *making, struct iot_error *err)
{
	const struct iot_device_spec *spec = making->spec;
	IOT_CLEAN(iot_free_p) char *path = iot_path(spec->out, "certificate.pem");
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	const char *name = NULL;
	enum iot_status status = found_key(spec, &key, err);

	if (status != IOT_OK || !iot_fs_exists(path))
		return status;
	status = iot_cert_load(path, &cert, err);
	if (status != IOT_OK)
		return status;
	if (key == NULL || !iot_key_equal(iot_cert_key(cert), key))
		iot_fail(err, IOT_CONFLICT, "'%s' is not a certificate for the device's key", path);
	else if (making->issuer != NULL &&
		 (iot_cert_common_name(cert, &name, NULL) != IOT_OK || strcmp(name, spec->name) != 0))
		iot_fail(err, IOT_CONFLICT, "'%s' is the certificate of another device", path);
	else if ((status = check_issuer(making, cert, path, err)) == IOT_OK)
		return check_active(making, err);
	else if (status != IOT_CONFLICT)
		return status;
	iot_error_hint(err, "move it away, or name another folder with --out");
	return IOT_CONFLICT;
}

static enum iot_status check(struct making *making, struct iot_error *err)
{
	const struct iot_device_spec *spec = making->spec;
	enum iot_status status = iot_cert_check_name(spec->name, err);

	if (status == IOT_OK && spec->alias != NULL)
		status = iot_cert_check_name(spec->alias, err);
	if (status == IOT_OK)
		status = iot_clock_check(err);
	if (status == IOT_OK)
		status = check_named(making->cloud, "GetPolicy", "policyName", spec->policies, err);
	if (status == IOT_OK)
		status = check_named(making->cloud, "DescribeThingGroup", "thingGroupName", spec->groups, err);
	if (status == IOT_OK)
		status = check_out(spec, err);
	if (status == IOT_OK && spec->out != NULL)
		status = check_found(making, err);
	return status;
}

/* --- key and certificate ----------------------------------------------------------- */

/* The public key to certify: of the board's request, or of the key file, which is made when it is missing. */
static enum iot_status ensure_key(struct making *making, struct iot_key **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(making->spec->out, "private.key");
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	enum iot_status status = found_key(making->spec, ret, err);

	if (status != IOT_OK || *ret != NULL)
		return status;
	status = iot_key_generate(IOT_KEY_P256, &key, err);
	if (status == IOT_OK)
		status = iot_key_save_new(key, path, NULL, err);
	if (status == IOT_OK)
		*ret = iot_take(key);
	making->changed = making->fresh_key = true;
	return status;
}

/* The certificate on disk when there is one for this key, else a new one, written before it is registered. */
static enum iot_status ensure_certificate(struct making *making, const struct iot_key *key, struct iot_buf *pem,
					  struct iot_error *err)
{
	const struct iot_cert_request request = {.profile = IOT_PROFILE_DEVICE,
						 .common_name = making->spec->name,
						 .key = key,
						 .days = making->spec->days};
	IOT_CLEAN(iot_free_p) char *path = iot_path(making->spec->out, "certificate.pem");
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	enum iot_status status;

	if (iot_fs_exists(path)) {
		status = iot_cert_load(path, &cert, err);
		if (status != IOT_OK)
			return status;
		iot_cert_pem(cert, pem);
		return iot_buf_check(pem, path, err);
	}
	if (making->issuer != NULL) {
		status = iot_local_issue(making->issuer, &request, 0, &cert, err);
		if (status == IOT_OK)
			iot_cert_pem(cert, pem);
	} else {
		status = fleet_aws_issue(making->cloud, making->spec, key, making->fresh_key, pem,
					 &making->certificate_id, err);
	}
	if (status != IOT_OK)
		return status;
	making->changed = true;
	making->fresh_certificate = making->fresh_key;
	return iot_fs_write(path, 0644, pem->data, pem->len, err);
}

static enum iot_status register_certificate(struct making *making, const char *pem, struct iot_error *err)
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	enum iot_status status;

	if (making->issuer == NULL)
		return IOT_OK; /* it was registered by being issued */
	status = iot_cert_parse_pem(pem, strlen(pem), "certificate", &cert, err);
	if (status != IOT_OK)
		return status;
	free(making->certificate_id);
	making->certificate_id = iot_strdup(iot_cert_id(cert));
	status = fleet_call(making->cloud, "RegisterCertificateWithoutCA",
			    json_pack("{s:s, s:s}", "certificatePem", pem, "status", "ACTIVE"), NULL, err);
	if (status == IOT_OK) {
		making->changed = true;
		return IOT_OK;
	}
	if (!fleet_exists(err))
		return status;
	iot_error_clear(err); /* registered by an earlier call */
	return IOT_OK;
}

/* --- the folder ----------------------------------------------------------------------- */

/* Its type as the registry has it, which may have been given earlier, and the topics that its layout makes of it. */
static enum iot_status device_topics(struct making *making, char **ret_type, json_t **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_layout_free_p) struct iot_layout *layout = NULL;
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	enum iot_status status =
		iot_layout_of_device(making->cloud, making->spec->name, &layout, &thing, ret_type, err);

	/* A device is no worse for it; some endpoints, and some operators, have no tags to read. */
	if (making->issuer != making->cloud &&
	    (status == IOT_DENIED || status == IOT_FAILURE || status == IOT_NOT_FOUND)) {
		char line[1024];

		iot_notice("device.json of '%s' names no topics: %s", making->spec->name,
			   iot_error_line(err, line, sizeof(line)));
		iot_error_clear(err);
		return IOT_OK;
	}
	return status == IOT_OK ? iot_layout_device_topics(layout, thing, *ret_type, ret, err) : status;
}

static enum iot_status write_device_json(struct making *making, const struct fleet_surroundings *surroundings,
					 struct iot_error *err)
{
	const struct iot_device_spec *spec = making->spec;
	IOT_CLEAN(iot_free_p) char *path = iot_path(spec->out, "device.json");
	IOT_CLEAN(iot_free_p) char *type = NULL;
	IOT_CLEAN(iot_free_p) char *text = NULL;
	IOT_CLEAN(iot_free_p) char *line = NULL;
	IOT_JSON topics = NULL;
	IOT_JSON record = json_object();
	enum iot_status status = device_topics(making, &type, &topics, err);

	if (status != IOT_OK)
		return status;
	iot_json_set_str(record, "thingName", spec->name);
	iot_json_set_str(record, "thingType", type != NULL && *type != '\0' ? type : NULL);
	iot_json_set_str(record, "endpoint", surroundings->endpoint);
	iot_json_set_int(record, "port", surroundings->port);
	json_object_set(record, "topics", topics);
	text = json_dumps(record, JSON_INDENT(2));
	line = iot_strf("%s\n", text);
	return iot_fs_write(path, 0644, line, strlen(line), err);
}

static enum iot_status write_pem(const char *dir, const char *name, const struct iot_buf *pem, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, name);

	return pem->len > 0 ? iot_fs_write(path, 0644, pem->data, pem->len, err) : IOT_OK;
}

static enum iot_status write_folder(struct making *making, struct iot_error *err)
{
	struct fleet_surroundings surroundings;
	enum iot_status status = fleet_surroundings(making->cloud, &surroundings, err);

	if (status != IOT_OK)
		return status;
	status = write_pem(making->spec->out, "ca.pem", &surroundings.ca, err);
	if (status == IOT_OK)
		status = write_pem(making->spec->out, "codesign.pem", &surroundings.signer, err);
	if (status == IOT_OK)
		status = write_device_json(making, &surroundings, err);
	fleet_surroundings_release(&surroundings);
	return status;
}

/* One step, so that no certificate is ever registered without a device. */
static enum iot_status register_and_attach(struct making *making, const char *pem, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *arn = NULL;
	enum iot_status status = fleet_begin(making->cloud, err);

	if (status != IOT_OK)
		return status;
	status = register_certificate(making, pem, err);
	if (status == IOT_OK) {
		arn = fleet_arn(making->cloud, "cert", making->certificate_id);
		status = fleet_attach(making->cloud, making->spec->name, making->spec->policies, arn,
				      making->fresh_certificate, &making->changed, err);
	}
	return fleet_end(making->cloud, status, err);
}

/* Two commands at once on one folder: the second waits, and then finds what the first has made. Closing unlocks. */
static enum iot_status lock_folder(struct iot_cloud *cloud, const char *dir, int *ret_fd, struct iot_error *err)
{
	int64_t deadline = iot_deadline(LOCK_MS);
	enum iot_status status = iot_fs_mkdirs(dir, 0700, err);

	if (status != IOT_OK)
		return status;
	*ret_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*ret_fd < 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot open folder '%s'", dir);
	while (flock(*ret_fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return iot_fail_errno(err, IOT_FAILURE, errno, "cannot lock folder '%s'", dir);
		if (iot_left(deadline) == 0)
			return iot_fail(err, IOT_AGAIN, "another command is making the device in folder '%s'", dir);
		iot_cloud_pause(cloud, LOCK_STEP_MS);
	}
	return IOT_OK;
}

static enum iot_status make_identity(struct making *making, struct iot_error *err)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	IOT_CLEAN(iot_close_p) int lock = -1;
	struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	enum iot_status status = lock_folder(making->cloud, making->spec->out, &lock, err);

	if (status == IOT_OK)
		status = check_found(making, err); /* it may not have been there before */
	if (status == IOT_OK)
		status = ensure_key(making, &key, err);
	if (status == IOT_OK)
		status = ensure_certificate(making, key, &pem, err);
	if (status == IOT_OK)
		status = register_and_attach(making, iot_buf_str(&pem), err);
	iot_buf_release(&pem);
	return status == IOT_OK ? write_folder(making, err) : status;
}

enum iot_status iot_device_create(struct iot_cloud *cloud, const struct iot_device_spec *spec, json_t **ret_record,
				  struct iot_error *err)
{
	struct making making = {.cloud = cloud, .spec = spec, .issuer = fleet_is_local(cloud) ? cloud : spec->issuer};
	struct iot_error scratch = IOT_ERROR_INIT;
	enum iot_status status;

	err = err != NULL ? err : &scratch;
	status = check(&making, err);
	if (status == IOT_OK)
		status = create_thing(&making, err);
	if (status == IOT_OK)
		status = create_join_groups(&making, err);
	if (status == IOT_OK && spec->out != NULL)
		status = make_identity(&making, err);
	if (status == IOT_OK) {
		IOT_CLEAN(iot_free_p) char *arn = fleet_arn(cloud, "thing", spec->name);

		*ret_record = json_pack("{s:s, s:s}", "thingName", spec->name, "thingArn", arn);
		iot_json_set_str(*ret_record, "certificateId", making.certificate_id);
		iot_json_set_str(*ret_record, "out", spec->out);
		iot_json_set_bool(*ret_record, "changed", making.changed);
	}
	iot_error_while(err, "creating device '%.128s'", spec->name);
	free(making.certificate_id);
	return status;
}

enum iot_status iot_device_update(struct iot_cloud *cloud, const struct iot_device_spec *spec, json_t **ret_record,
				  struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	struct iot_device_spec found = *spec;
	enum iot_status status = iot_fleet_resolve(cloud, spec->name, &thing, err);

	if (status != IOT_OK)
		return status;
	found.name = thing;
	found.update = true;
	return iot_device_create(cloud, &found, ret_record, err);
}
