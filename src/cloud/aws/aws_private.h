/*
 * Inside the aws cloud. aws.c opens it and carries out one call; engine.c drives
 * calls in flight and decides what is tried again; request.c and reply.c are the
 * two directions between the operations table and HTTP; endpoint.c, rate.c and
 * credentials*.c know where, how fast, and as whom.
 */
#ifndef IOTCTL_AWS_PRIVATE_H
#define IOTCTL_AWS_PRIVATE_H

#include "iotctl/aws.h"
#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/http.h"
#include "iotctl/sigv4.h"
#include "iotctl/text.h"

#include <string.h>

#define AWS_MAX_REPLY ((size_t)8 * 1024 * 1024)
#define AWS_MAX_REQUEST ((size_t)4 * 1024 * 1024)
#define AWS_MAX_HEADERS 12
#define AWS_SKEW_MS (4 * 60 * 1000) /* a clock off by more may be why a signature was refused */

/* --- where ------------------------------------------------------------------------ */

enum aws_service { AWS_IOT, AWS_IOTDATA, AWS_JOBS, AWS_S3, AWS_SIGNER, AWS_STS, AWS_OWN, AWS_SERVICES };

struct aws_endpoint {
	char *base; /* "https://host:port/prefix", no slash at the end; NULL: not looked for yet */
	char *host; /* "host:port" as in the Host header; borrowed parts of `base` are copied */
	char *path; /* "/prefix" or "" */
	bool given; /* it is not AWS's own */
};

/* --- the AWS files ----------------------------------------------------------------- */

enum aws_file_kind { AWS_FILE_CONFIG, AWS_FILE_CREDENTIALS, AWS_FILES };

struct aws_entry {
	char *section, *key, *value; /* key "": the heading itself */
};

struct aws_file {
	char *path;
	struct aws_entry *entries;
	size_t count;
};

/* --- as whom ------------------------------------------------------------------------- */

struct aws_credentials {
	char *access_key, *secret, *token;
	char *source;
	int64_t expires_ms; /* wall clock; 0: never */
};
void aws_credentials_release(struct aws_credentials *credentials);

/* --- how fast ---------------------------------------------------------------------------- */

struct aws_rate {
	double limit; /* what is configured, calls a second; 0: none */
	double rate;  /* what is used: learned; 0: no limit */
	double tokens;
	int64_t filled_ms; /* monotonic, when tokens was computed */
	int64_t cut_ms;    /* when it was last learned down */
	int64_t window_ms; /* start of the second that is counted */
	int window, last;  /* calls that succeeded in it, and in the one before */
};

/* --- the cloud --------------------------------------------------------------------------- */

struct aws {
	struct iot_http *http;
	struct iot_http *device_http; /* with a device certificate, for the credentials provider; NULL until needed */
	char *region;
	char *profile;
	bool profile_given;
	bool profile_named; /* somebody said which one: it must exist */
	char *endpoint_url;
	char *fleet_dir; /* NULL: none */
	char *ca_file;
	struct iot_buf ca_pem;
	struct aws_file files[AWS_FILES]; /* empty ones when they are not to be read */
	char *arn_prefix;
	struct aws_endpoint endpoints[AWS_SERVICES];
	struct aws_credentials fixed; /* static ones; access_key NULL: none */
	struct aws_credentials credentials;
	struct aws_rate *rates; /* one per row of the operations table */
	int64_t skew_ms;        /* theirs minus ours */
	bool skew_said;
	int quota; /* of retries */
	int timeout_ms, max_attempts, parallel;
	json_t *looked_at;      /* certificates that were compared with a key, by id; NULL: none yet */
	struct aws_call *calls; /* under way */
	int call_count;
};

/* files.c */
IOT_CHECK enum iot_status aws_files_load(struct aws *aws, struct iot_error *err);
/*
 * Sections "default", "profile NAME", "services NAME" of the config file, "NAME" of the other. A missing file is empty.
 * NULL: no such value, or an empty one.
 */
const char *aws_file_get(const struct aws *aws, enum aws_file_kind kind, const char *section, const char *key);
bool aws_file_has(const struct aws *aws, enum aws_file_kind kind, const char *section);
IOT_CHECK enum iot_status aws_file_parse(const char *path, const char *text, struct aws_file *ret,
					 struct iot_error *err);
void aws_file_release(struct aws_file *file);

/* endpoint.c */
IOT_CHECK enum iot_status aws_endpoint(struct aws *aws, enum aws_service service, const struct aws_endpoint **ret,
				       struct iot_error *err);
IOT_CHECK enum iot_status aws_endpoint_parse(const char *url, const char *origin, struct aws_endpoint *ret,
					     struct iot_error *err);
void aws_endpoint_release(struct aws_endpoint *endpoint);
enum aws_service aws_service_of(const char *signing_name);
const char *aws_signing_name(enum aws_service service);
/* Value of a key of the profile (config file, then credentials file), or NULL. */
const char *aws_profile_get(const struct aws *aws, const char *profile, const char *key);
/* "profile NAME" or "default"; new memory. */
char *aws_profile_section(const char *profile);
/* Environment variable, NULL when unset or empty. */
const char *aws_env(const char *name);
bool aws_env_true(const char *name);

/* rate.c */
IOT_CHECK enum iot_status aws_rates_init(struct aws *aws, const char *text, struct iot_error *err);
/* 0: go ahead (a token is taken); else wait so many milliseconds and ask again. */
int aws_rate_wait(struct aws *aws, const struct iot_operation *op);
void aws_rate_throttled(struct aws *aws, const struct iot_operation *op);
void aws_rate_succeeded(struct aws *aws, const struct iot_operation *op);

/* credentials.c */
IOT_CHECK enum iot_status aws_credentials_need(struct aws *aws, struct iot_error *err);
/* Forget what can be fetched anew. True if there is hope that the next ones are others. */
bool aws_credentials_renew(struct aws *aws);
/* credentials_fetch.c */
IOT_CHECK enum iot_status aws_credentials_process(struct aws *aws, const char *command, const char *profile,
						  struct aws_credentials *ret, struct iot_error *err);
IOT_CHECK enum iot_status aws_credentials_role(struct aws *aws, const char *profile,
					       const struct aws_credentials *source, struct aws_credentials *ret,
					       struct iot_error *err);
IOT_CHECK enum iot_status aws_credentials_device(struct aws *aws, const char *profile, struct aws_credentials *ret,
						 struct iot_error *err);

/* --- one request over the wire --------------------------------------------------------------- */

struct aws_wire {
	enum aws_service service;
	const char *method;  /* borrowed from the table */
	struct iot_buf path; /* encoded, with the endpoint's prefix */
	struct iot_buf query;
	struct iot_buf body;            /* what was built here */
	const struct iot_body *payload; /* given bytes instead; borrowed */
	size_t payload_len;
	struct iot_http_header signed_headers[AWS_MAX_HEADERS]; /* of the operation; values owned */
	size_t header_count;
	const char *content_type; /* NULL: none */
	char hash[65];            /* of the body */
};
void aws_wire_release(struct aws_wire *wire);
/* request.c */
IOT_CHECK enum iot_status aws_wire_build(const struct iot_operation *op, const json_t *request,
					 const struct iot_body *payload, struct aws_wire *ret, struct iot_error *err);
/* The digest of its body; done by build. */
IOT_CHECK enum iot_status aws_wire_hash(struct aws_wire *wire, struct iot_error *err);
/* Sign and start it. */
IOT_CHECK enum iot_status aws_wire_send(struct aws *aws, const struct aws_wire *wire,
					const struct aws_credentials *credentials, bool once, int timeout_ms,
					iot_http_done_fn *done, void *data, struct iot_error *err);

/* reply.c */
struct aws_answer {
	int status;
	char code[64]; /* "" if none was given */
	char message[400];
	int64_t date_ms; /* of the Date header; 0 if there is none */
};
void aws_answer_read(const struct iot_http_reply *reply, struct aws_answer *ret);
/* The value of a successful answer. `out` takes a payload. */
IOT_CHECK enum iot_status aws_answer_value(const struct iot_operation *op, const struct iot_http_reply *reply,
					   json_t **ret, struct iot_buf *out, struct iot_error *err);
enum iot_status aws_answer_fail(const struct aws_answer *answer, const char *host, struct iot_error *err);
bool aws_code_throttled(const struct aws_answer *answer);
bool aws_code_transient(const struct aws_answer *answer);
bool aws_code_identity(const char *code);
/* Text of the first element <NAME> of an XML document that is at most this simple; false if it is missing or too long.
 */
bool aws_xml_text(const char *xml, const char *name, char *out, size_t size);

/* s3.c */
bool aws_is_s3(const struct iot_operation *op);
/* A key as part of a path: its slashes stay. */
void aws_s3_key(const char *key, struct iot_buf *path);
/* The one body there is: that of CompleteMultipartUpload. */
void aws_s3_body(const json_t *members, struct iot_buf *body);
IOT_CHECK enum iot_status aws_s3_value(const struct iot_operation *op, const struct iot_http_reply *reply, json_t **ret,
				       struct iot_buf *out, struct iot_error *err);

/* engine.c */
struct aws_call {
	struct aws_call *next;
	struct aws *aws;
	const struct iot_operation *op;
	struct aws_wire wire;
	struct iot_buf *out; /* for a payload; may be NULL */
	int attempts;        /* that count */
	int throttles;
	int64_t at; /* not before (monotonic) */
	int64_t deadline;
	bool sent, finished;
	bool maybe;           /* an attempt may have been carried out */
	bool skewed, renewed; /* corrected once already */
	enum iot_status status;
	json_t *reply;
	struct iot_error err;
	iot_aws_done_fn *done; /* NULL: the owner looks at `finished` and frees it */
	void *data;
};
IOT_CHECK enum iot_status aws_call_start(struct aws *aws, const struct iot_operation *op, const json_t *request,
					 const struct iot_body *payload, struct iot_buf *out, struct aws_call **ret,
					 struct iot_error *err);
void aws_call_free(struct aws_call *call);
/* strands.c: iot_cloud_together and iot_cloud_pause; and waiting for the end of a call without a function. */
void aws_together(void *self, void (*work)(void *data), void *data);
void aws_pause(void *self, int ms);
void aws_await(struct aws *aws, const struct aws_call *call);

/* engine.c: drive all calls for a while; those that finished are told or marked. */
void aws_engine_step(struct aws *aws, int wait_ms);
/* One call to its end, without reconciling. */
IOT_CHECK enum iot_status aws_call_run(struct aws *aws, const struct iot_operation *op, const json_t *request,
				       const struct iot_body *payload, json_t **ret, struct iot_buf *out,
				       struct iot_error *err);

/* reconcile.c */
IOT_CHECK enum iot_status aws_certificate_from_csr(struct aws *aws, const struct iot_operation *op,
						   const json_t *request, json_t **ret, struct iot_error *err);

/* arn.c */
void aws_arn_learn(struct aws *aws, const json_t *reply);
const char *aws_arn_prefix(void *self);

#endif
