/* What is new: read from its files, and looked at as devices will see it, before any of them is touched. */
#include "fleet/trust_private.h"

#include "iotctl/base.h"
#include "iotctl/cert.h"
#include "iotctl/clock.h"
#include "iotctl/endpoint.h"
#include "iotctl/log.h"

#include <string.h>

enum { CHECK_MS = 10000 };

void trust_release(struct trust_change *change)
{
	fleet_surroundings_release(&change->fleet);
	iot_buf_release(&change->root_ca);
}

enum iot_status trust_read_root(const char *path, struct iot_buf *pem, char id[IOT_SHA256_HEX_SIZE],
				struct iot_error *err)
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	enum iot_status status = iot_cert_load(path, &cert, err);

	if (status != IOT_OK)
		return status;
	if (!iot_cert_is_ca(cert)) {
		iot_fail(err, IOT_USAGE, "'%s' is not the certificate of a CA", path);
		iot_error_hint(err, "devices need the root that issued the broker's certificate, not that one itself");
		return IOT_USAGE;
	}
	iot_cert_pem(cert, pem);
	snprintf(id, IOT_SHA256_HEX_SIZE, "%s", iot_cert_id(cert));
	return iot_buf_check(pem, "the root CA", err);
}

enum iot_status trust_read(struct iot_cloud *cloud, const struct iot_trust_change *spec, struct trust_change *ret,
			   struct iot_error *err)
{
	enum iot_status status = iot_clock_check(err);

	ret->spec = spec;
	if (status != IOT_OK)
		return status;
	if (spec->endpoint == NULL && spec->root_ca == NULL) {
		iot_fail(err, IOT_USAGE, "nothing is new");
		iot_error_hint(err, "give --endpoint, --root-ca, or both");
		return IOT_USAGE;
	}
	if (spec->endpoint != NULL)
		status = iot_endpoint_split(spec->endpoint, ret->host, sizeof(ret->host), &ret->port, err);
	if (status == IOT_OK && spec->root_ca != NULL)
		status = trust_read_root(spec->root_ca, &ret->root_ca, ret->root_id, err);
	return status == IOT_OK ? fleet_surroundings(cloud, &ret->fleet, err) : status;
}

enum iot_status trust_check(const struct trust_change *change, const char *host, int port, const char *root,
			    struct iot_error *err)
{
	enum iot_status status;

	if (change->spec->force) {
		iot_warn("nobody has looked whether devices will believe the endpoint");
		return IOT_OK;
	}
	if (*change->host != '\0') {
		host = change->host;
		port = change->port > 0 ? change->port : port;
	}
	if (change->root_ca.len > 0)
		root = iot_buf_str(&change->root_ca);
	status = iot_endpoint_check(host, port, root, CHECK_MS, err);
	if (status == IOT_OK) {
		iot_info("'%s:%d' answers with a certificate that the root CA verifies", host, port);
		return IOT_OK;
	}
	iot_error_hint(err, "devices would be lost there, and were not touched; --force does without this look");
	return status;
}
