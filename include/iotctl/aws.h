/*
 * The aws cloud: operations carried out over HTTPS at AWS IoT Core, or at any
 * endpoint that speaks its REST operations (`iotctl serve`).
 *
 * Requests are built from the operations table and signed (sigv4.h). A call is
 * tried again, with full jitter, when it is safe: throttling always; broken
 * connections and 5xx answers only for operations that may be repeated, or when
 * it is certain that nothing was done. Of the others the outcome is unknown:
 * code IOT_AWS_UNCERTAIN. CreateCertificateFromCsr is then reconciled here: the
 * newest certificates are compared with the request's key before it is sent again.
 *
 * Error codes, paging and endpoints: AWS IoT API reference; retries and
 * credentials: AWS SDKs and tools reference guide.
 */
#ifndef IOTCTL_AWS_H
#define IOTCTL_AWS_H

#include "iotctl/cloud.h"

/* Nobody knows whether the operation was carried out: look before trying again. Status IOT_FAILURE. */
#define IOT_AWS_UNCERTAIN "UncertainOutcome"

/* Where Linux distributions keep the root certificate of what AWS's endpoints show. */
#define IOT_AWS_ROOT_CA "/etc/ssl/certs/Amazon_Root_CA_1.pem"

/* ALPN protocol of MQTT with a certificate on port 443 (AWS IoT Core developer guide, "Protocols"). */
#define IOT_AWS_MQTT_ALPN "x-amzn-mqtt-ca"

struct iot_aws_options {
	const char *region;       /* NULL: AWS_REGION, AWS_DEFAULT_REGION, the profile's, else IOT_SETTINGS */
	const char *endpoint_url; /* of every service, "https://host:port"; NULL: see below */

	/* Static credentials: all or none. Then neither environment nor files are looked at for credentials. */
	const char *access_key, *secret_key;
	const char *session_token;      /* may be NULL */
	const char *credentials_source; /* for messages ("operator profile 'bench'"); NULL: "the caller" */

	const char *profile;         /* of the AWS files; NULL: AWS_PROFILE, else "default" */
	bool profile_given;          /* chosen on purpose: goes before credentials in the environment */
	bool no_files;               /* do not read ~/.aws (or AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE) */

	const char *ca_file;         /* PEM; NULL: AWS_CA_BUNDLE, else the system's */
	const void *ca_pem;          /* PEM in memory, instead of ca_file; copied */
	size_t ca_pem_len;

	const char *fleet_dir;       /* of a local fleet, whose own layouts are used here too; NULL: none */
	const char *rates;           /* calls a second: "CreateThing=50,ListThings=5,*=10"; NULL: the defaults */
	int timeout_ms;              /* for one call with all its attempts; 0: 120 s */
	int max_attempts;            /* 0: AWS_MAX_ATTEMPTS, else 5 (throttled attempts do not count) */
	int parallel;                /* calls in flight of iot_aws_submit; 0: 64 */
};

/*
 * Open. Looks at nothing but the options, environment and files: the network is
 * asked with the first call. Endpoints of a service, first found: endpoint_url;
 * AWS_ENDPOINT_URL_<SERVICE>; AWS_ENDPOINT_URL; the config file's services
 * section and endpoint_url (unless AWS_IGNORE_CONFIGURED_ENDPOINT_URLS); AWS's.
 * Credentials, first found: static ones; environment (unless a profile was
 * given); the profile (role_arn with source_profile or credential_source =
 * Environment; keys; credential_process; IoT credentials provider:
 * iot_credentials_endpoint, iot_role_alias, iot_certificate, iot_private_key and
 * perhaps iot_thing_name). They are fetched when first needed, and anew before they expire.
 * IOT_SETTINGS: no region, a malformed URL or rate.
 */
IOT_CHECK enum iot_status iot_aws_open(const struct iot_aws_options *options, struct iot_cloud **ret,
				       struct iot_error *err);

/* As it was opened with; NULL: none. Borrowed. */
const char *iot_aws_fleet_dir(struct iot_cloud *cloud);

/* Where the credentials in use come from ("environment", "profile 'x' in ~/.aws/credentials"); NULL before any were. */
const char *iot_aws_credentials_source(struct iot_cloud *cloud);

/*
 * Among the account's newest certificates (at most some hundred, none older than
 * since_ms but for the difference of two clocks) the one with this public key.
 * *ret_reply as from CreateCertificateFromCsr, NULL if there is none.
 */
struct iot_key;
IOT_CHECK enum iot_status iot_aws_find_certificate(struct iot_cloud *cloud, const struct iot_key *key, int64_t since_ms,
						   json_t **ret_reply, struct iot_error *err);

/*
 * Many calls in flight. submit starts one (waiting while `parallel` are under
 * way); `done` is called from within submit or drain, once for each call, and
 * owns neither reply nor error. drain waits until none is left. Calls that
 * would need reconciling end with IOT_AWS_UNCERTAIN here.
 */
typedef void iot_aws_done_fn(void *data, enum iot_status status, json_t *reply, const struct iot_error *err);
IOT_CHECK enum iot_status iot_aws_submit(struct iot_cloud *cloud, const char *operation, const json_t *request,
					 iot_aws_done_fn *done, void *data, struct iot_error *err);
void iot_aws_drain(struct iot_cloud *cloud);

#endif
