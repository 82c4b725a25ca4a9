/*
 * The certificate of this machine's listeners, renewed in time: same key, same
 * names, so that whoever trusts the fleet's CA notices nothing.
 */
#include "registry_private.h"

#include <string.h>

enum { NAMES_MAX = 16, SERVER_DAYS = 825 };
#define RENEW_MS (INT64_C(30) * 24 * 3600 * 1000) /* before its end */

struct names {
	const char *dns[NAMES_MAX + 1], *ips[NAMES_MAX + 1];
};

static void read_names(const struct iot_cert *cert, struct names *ret)
{
	for (size_t i = 0; i < NAMES_MAX; i++) {
		ret->dns[i] = iot_cert_field_find(cert, IOT_CERT_ALTERNATIVE, "DNSName", i);
		if (ret->dns[i] == NULL)
			break;
	}
	for (size_t i = 0; i < NAMES_MAX; i++) {
		ret->ips[i] = iot_cert_field_find(cert, IOT_CERT_ALTERNATIVE, "IPAddress", i);
		if (ret->ips[i] == NULL)
			break;
	}
}

static enum iot_status renew(struct iot_local *local, const struct iot_cert *old, const char *path,
			     struct iot_error *err)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *ca_key = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *ca = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	struct names names = {{NULL}, {NULL}};
	struct iot_cert_request request = {
		.profile = IOT_PROFILE_SERVER,
		.common_name = iot_cert_field_find(old, IOT_CERT_SUBJECT, "CommonName", 0),
		.key = iot_cert_key(old),
		.days = SERVER_DAYS,
		.dns_names = names.dns,
		.ip_addresses = names.ips,
	};
	enum iot_status status = iot_local_issuer(local, &ca_key, &ca, err);

	read_names(old, &names);
	if (status == IOT_OK)
		status = iot_cert_issue(ca_key, ca, &request, &cert, err);
	if (status != IOT_OK)
		return status;
	iot_cert_pem(cert, &pem);
	iot_cert_pem(ca, &pem);
	status = iot_fs_write(path, 0644, pem.data, pem.len, err);
	iot_buf_release(&pem);
	return status;
}

enum iot_status iot_local_server_renew(struct iot_cloud *cloud, bool *ret_renewed, struct iot_error *err)
{
	struct iot_local *local = iot_local_of(cloud);
	IOT_CLEAN(iot_free_p) char *path = iot_path(local->paths.ca_dir, "server.pem");
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	enum iot_status status = iot_cert_load(path, &cert, err);

	*ret_renewed = false;
	if (status != IOT_OK || iot_cert_not_after(cert) - iot_now_ms() > RENEW_MS)
		return status;
	status = renew(local, cert, path, err);
	if (status == IOT_OK)
		*ret_renewed = true;
	else
		iot_error_while(err, "renewing the certificate '%s'", path);
	return status;
}
