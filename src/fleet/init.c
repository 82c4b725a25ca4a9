/*
 * Making a fleet: registry, root and issuing CA, the broker's certificate,
 * code-signing key and device policy. Everything is built in a folder beside the
 * final one and renamed at the end, so there is a whole fleet or none.
 */
#include "fleet/fleet_private.h"

#include "iotctl/base.h"
#include "iotctl/cert.h"
#include "iotctl/clock.h"
#include "iotctl/fs.h"
#include "iotctl/local.h"
#include "iotctl/policy.h"
#include "iotctl/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ROOT_DAYS 7300    /* 20 years: devices carry it for their whole life */
#define ISSUING_DAYS 5475 /* 15 years */
#define SERVER_DAYS 825

struct authority {
	struct iot_key *root_key, *issuing_key;
	struct iot_cert *root, *issuing;
};

static void authority_release(struct authority *ca)
{
	iot_key_free(ca->root_key);
	iot_key_free(ca->issuing_key);
	iot_cert_free(ca->root);
	iot_cert_free(ca->issuing);
}

static enum iot_status save_certificates(const char *path, const struct iot_cert *first, const struct iot_cert *second,
					 struct iot_error *err)
{
	struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	enum iot_status status;

	iot_cert_pem(first, &pem);
	if (second != NULL)
		iot_cert_pem(second, &pem);
	status = iot_fs_write(path, 0644, pem.data, pem.len, err);
	iot_buf_release(&pem);
	return status;
}

static enum iot_status save_key(const struct iot_key *key, const char *dir, const char *name, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, name);

	return iot_key_save_new(key, path, NULL, err);
}

static enum iot_status save_chain(const char *ca_dir, const struct authority *ca, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *root = iot_path(ca_dir, "root.pem");
	IOT_CLEAN(iot_free_p) char *issuing = iot_path(ca_dir, "issuing.pem");
	IOT_CLEAN(iot_free_p) char *chain = iot_path(ca_dir, "chain.pem");
	enum iot_status status = save_certificates(root, ca->root, NULL, err);

	if (status == IOT_OK)
		status = save_certificates(issuing, ca->issuing, NULL, err);
	if (status == IOT_OK)
		status = save_certificates(chain, ca->issuing, ca->root, err);
	return status;
}

static enum iot_status make_authority(const struct iot_fleet_init_options *options, const char *ca_dir,
				      struct authority *ca, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *root_name = iot_strf("%s root CA", options->name);
	IOT_CLEAN(iot_free_p) char *issuing_name = iot_strf("%s issuing CA", options->name);
	enum iot_status status;

	status = iot_key_generate(IOT_KEY_P256, &ca->root_key, err);
	if (status == IOT_OK)
		status = save_key(ca->root_key, ca_dir, "root.key", err);
	if (status == IOT_OK && options->ca_key != NULL) {
		status = iot_key_load(options->ca_key, NULL, &ca->issuing_key, err);
	} else if (status == IOT_OK) {
		status = iot_key_generate(IOT_KEY_P256, &ca->issuing_key, err);
		if (status == IOT_OK)
			status = save_key(ca->issuing_key, ca_dir, "issuing.key", err);
	}
	if (status == IOT_OK)
		status = iot_ca_create_root(ca->root_key, root_name, ROOT_DAYS, &ca->root, err);
	if (status == IOT_OK)
		status = iot_ca_create_intermediate(ca->root_key, ca->root, ca->issuing_key, issuing_name, ISSUING_DAYS,
						    &ca->issuing, err);
	if (status == IOT_OK)
		status = save_chain(ca_dir, ca, err);
	iot_error_while(err, "making the fleet's CA");
	return status;
}

static bool is_ip(const char *host)
{
	unsigned char address[16];

	return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* The broker's certificate: for the endpoint, and for this machine under its local names. */
static enum iot_status make_server(const struct authority *ca, const char *endpoint, const char *ca_dir,
				   struct iot_error *err)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	IOT_CLEAN(iot_free_p) char *path = iot_path(ca_dir, "server.pem");
	const char *dns[3] = {"localhost", NULL, NULL};
	const char *ips[4] = {"127.0.0.1", "::1", NULL, NULL};
	enum iot_status status;

	if (is_ip(endpoint) && strcmp(endpoint, "127.0.0.1") != 0 && strcmp(endpoint, "::1") != 0)
		ips[2] = endpoint;
	else if (!is_ip(endpoint) && strcmp(endpoint, "localhost") != 0)
		dns[1] = endpoint;
	status = iot_key_generate(IOT_KEY_P256, &key, err);
	if (status == IOT_OK)
		status = save_key(key, ca_dir, "server.key", err);
	if (status == IOT_OK) {
		struct iot_cert_request request = {
			.profile = IOT_PROFILE_SERVER,
			.common_name = "iotctl broker",
			.key = key,
			.days = SERVER_DAYS,
			.dns_names = dns,
			.ip_addresses = ips,
		};
		request.common_name = is_ip(endpoint) ? "localhost" : endpoint;
		status = iot_cert_issue(ca->issuing_key, ca->issuing, &request, &cert, err);
	}
	if (status == IOT_OK)
		status = save_certificates(path, cert, ca->issuing, err);
	iot_error_while(err, "making the broker's certificate");
	return status;
}

static enum iot_status set_meta(struct iot_cloud *cloud, const struct iot_fleet_init_options *options,
				const char *endpoint, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *ca_key = NULL;
	char port[16];
	enum iot_status status;

	/* Used later from whichever folder a command is called in. */
	if (options->ca_key != NULL)
		ca_key = iot_starts_with(options->ca_key, "pkcs11:") ? iot_strdup(options->ca_key)
								     : iot_path_absolute(options->ca_key);
	snprintf(port, sizeof(port), "%d", options->port > 0 ? options->port : 8883);
	status = iot_local_meta_set(cloud, "endpoint", endpoint, err);
	if (status == IOT_OK)
		status = iot_local_meta_set(cloud, "port", port, err);
	if (status == IOT_OK && ca_key != NULL)
		status = iot_local_meta_set(cloud, "ca_key", ca_key, err);
	return status;
}

static enum iot_status make_policy(struct iot_cloud *cloud, struct iot_error *err)
{
	struct iot_buf document = IOT_BUF_INIT(16384);
	enum iot_status status;

	iot_policy_device_default(&document);
	status = fleet_call(cloud, "CreatePolicy",
			    json_pack("{s:s, s:s}", "policyName", "device", "policyDocument", iot_buf_str(&document)),
			    NULL, err);
	iot_buf_release(&document);
	return status;
}

/* The fleet's own CA is registered like any vendor's: devices' certificates lead to it. */
static enum iot_status register_ca(struct iot_cloud *cloud, const struct iot_cert *cert, struct iot_error *err)
{
	struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	enum iot_status status;

	iot_cert_pem(cert, &pem);
	status = fleet_call(cloud, "RegisterCACertificate",
			    json_pack("{s:s, s:b, s:s}", "caCertificate", iot_buf_str(&pem), "setAsActive", 1,
				      "certificateMode", "SNI_ONLY"),
			    NULL, err);
	iot_buf_release(&pem);
	return status;
}

static enum iot_status fill(const char *dir, const struct iot_fleet_init_options *options, const char *endpoint,
			    struct iot_error *err)
{
	IOT_CLEAN(iot_cloud_free_p) struct iot_cloud *cloud = NULL;
	struct authority ca = {0};
	json_t *key = NULL;
	enum iot_status status;

	status = iot_local_create(dir, options->name, err);
	if (status == IOT_OK)
		status = iot_local_open(dir, &cloud, err);
	if (status == IOT_OK)
		status = make_authority(options, iot_local_paths(cloud)->ca_dir, &ca, err);
	if (status == IOT_OK)
		status = make_server(&ca, endpoint, iot_local_paths(cloud)->ca_dir, err);
	if (status == IOT_OK)
		status = set_meta(cloud, options, endpoint, err);
	if (status == IOT_OK)
		status = register_ca(cloud, ca.root, err);
	if (status == IOT_OK)
		status = register_ca(cloud, ca.issuing, err);
	if (status == IOT_OK)
		status = make_policy(cloud, err);
	if (status == IOT_OK)
		status = iot_codesign_create(cloud, "default", "p256", &key, err);
	json_decref(key);
	authority_release(&ca);
	return status;
}

static enum iot_status check(const struct iot_fleet_init_options *options, struct iot_error *err)
{
	const char *allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

	if (*options->name == '\0' || strlen(options->name) > 40 ||
	    strspn(options->name, allowed) != strlen(options->name))
		return iot_fail(err, IOT_USAGE,
				"'%.80s' is no name for a fleet: letters, digits, '-' and '_', at most 40",
				options->name);
	if (iot_fs_exists(options->dir)) {
		iot_fail(err, IOT_CONFLICT, "'%s' exists", options->dir);
		iot_error_hint(err, "a fleet is never overwritten; choose another name, or use it with '--fleet %s'",
			       options->name);
		return IOT_CONFLICT;
	}
	return iot_clock_check(err);
}

enum iot_status iot_fleet_init(const struct iot_fleet_init_options *options, json_t **ret_record, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *building = iot_strf("%s.new-%ld", options->dir, (long)getpid());
	const char *endpoint = options->endpoint != NULL ? options->endpoint : "localhost";
	struct iot_error scratch = IOT_ERROR_INIT;
	enum iot_status status;

	err = err != NULL ? err : &scratch;
	status = check(options, err);
	if (status != IOT_OK)
		return status;
	status = fill(building, options, endpoint, err);
	if (status == IOT_OK && rename(building, options->dir) != 0)
		status = iot_fail_errno(err, errno == EEXIST || errno == ENOTEMPTY ? IOT_CONFLICT : IOT_FAILURE, errno,
					"cannot create '%s'", options->dir);
	if (status != IOT_OK) {
		struct iot_error ignored = IOT_ERROR_INIT;

		iot_error_while(err, "making fleet '%s'", options->name);
		(void)!iot_fs_remove_tree(building, &ignored);
		return status;
	}
	*ret_record = json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:b}", "name", options->name, "directory", options->dir,
				"endpoint", endpoint, "port", options->port > 0 ? options->port : 8883, "policy",
				"device", "codesign", "default", "changed", 1);
	return IOT_OK;
}
