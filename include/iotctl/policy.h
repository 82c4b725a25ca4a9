/*
 * AWS IoT policy documents: parse, compile, decide, lint.
 *
 * A document is parsed and compiled once and never changes afterwards, so any
 * number of connections and threads may share it. Deciding allocates nothing,
 * reads no clock and no file, and never blocks; its time is bounded by the
 * document's size (2,048 characters) times the resource's (1,024 bytes), and is
 * well below 2 us for an ordinary device policy.
 *
 * The rules are those of the AWS IoT developer guide ("AWS IoT Core policies",
 * "policy actions", "action resources", "policy variables") and, where it is
 * silent, of the IAM JSON policy grammar. What both leave open is decided so
 * that nothing is allowed by something missing, misspelt or unknown:
 *
 * - A variable without a value makes that one resource, or that one value of a
 *   condition, match nothing; with a negated operator the whole statement does
 *   not match. Values are literal text: a '*' in a thing's name is no wildcard.
 * - A missing condition key fails a positive operator and satisfies a negated
 *   one; "ForAnyValue:" over a missing key with a negated operator, and
 *   "ForAllValues:" over a missing key with a positive one, are fulfilled in a
 *   Deny and unfulfilled in an Allow.
 * - An operator or key that is not known here, or a value that cannot be what the
 *   operator compares (no address, no ARN), is fulfilled in a Deny and
 *   unfulfilled in an Allow. iot_policy_lint() reports unknown ones.
 */
#ifndef IOTCTL_POLICY_H
#define IOTCTL_POLICY_H

#include "iotctl/buf.h"
#include "iotctl/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* "Policy document size: 2048 characters, not counting white space" (AWS IoT Core quotas). */
#define IOT_POLICY_SIZE_MAX 2048
/* The longest document looked at at all (CreatePolicy, policyDocument, length constraint). */
#define IOT_POLICY_TEXT_MAX 404600
/* A request for a longer resource is denied. */
#define IOT_POLICY_RESOURCE_MAX 1024

struct iot_policy;

/*
 * Parse and compile a document of `len` bytes. Strict: duplicate or misspelt
 * members, NotAction, NotResource and Principal, wrong types, unknown effects and
 * versions, empty lists, resources that are neither "*" nor an ARN, addresses that
 * are none, and more than IOT_POLICY_SIZE_MAX characters are refused with
 * IOT_USAGE and code "MalformedPolicyException"; the message says where
 * ("statement 2: ..."). New object in *ret; free with iot_policy_free().
 */
IOT_CHECK enum iot_status iot_policy_parse(const char *text, size_t len, struct iot_policy **ret,
					   struct iot_error *err);
void iot_policy_free(struct iot_policy *policy);
void iot_policy_free_p(struct iot_policy **policy); /* for IOT_CLEAN */

/* Characters of the document that count towards IOT_POLICY_SIZE_MAX. */
size_t iot_policy_size(const struct iot_policy *policy);

enum iot_policy_action {
	IOT_POLICY_CONNECT,        /* resource: client id */
	IOT_POLICY_PUBLISH,        /* resource: topic */
	IOT_POLICY_RECEIVE,        /* resource: topic of the message that is to be delivered */
	IOT_POLICY_SUBSCRIBE,      /* resource: topic filter as it was sent */
	IOT_POLICY_RETAIN_PUBLISH, /* resource: topic; asked besides PUBLISH for retained messages and wills */
	IOT_POLICY_OTHER           /* action_name says which; resource with its kind: "job/x" */
};

/* Whose ARNs match: "arn:PARTITION:SERVICE:REGION:ACCOUNT:...". */
struct iot_policy_scope {
	const char *partition;
	const char *region;
	const char *account;
	const char *service; /* NULL: "iot" */
};

/* The local cloud: "arn:aws:iot:local:000000000000:...". */
extern const struct iot_policy_scope iot_policy_scope_local;

/*
 * One field of the certificate: "Subject.CommonName", "Issuer.Organization",
 * "Subject.AlternativeName.DNSName", spelt as in the developer guide ("X.509
 * certificate policy variables") without "iot:Certificate.". A field with several
 * values is listed several times, in the certificate's order; five at most count.
 */
struct iot_policy_field {
	const char *name;
	const char *value;
};

/*
 * What the variables and condition keys stand for. NULL: no value. Everything is
 * borrowed for the call. The thing's members are to be NULL unless the client id is
 * the name of a thing attached to the certificate, or the thing is attached
 * exclusively: the engine cannot know and does not check.
 */
struct iot_policy_vars {
	const char *client_id;      /* iot:ClientId */
	const char *certificate_id; /* iot:CertificateId, 64 hex digits */
	const char *serial;         /* iot:Certificate.SerialNumber */
	const struct iot_policy_field *fields;
	size_t field_count;
	const char *thing_name;   /* iot:Connection.Thing.ThingName */
	const char *thing_type;   /* iot:Connection.Thing.ThingTypeName */
	const json_t *attributes; /* object of strings: iot:Connection.Thing.Attributes[NAME] */
	bool is_attached;         /* iot:Connection.Thing.IsAttached; always has a value */
	const char *source_ip;    /* aws:SourceIp, IPv4 or IPv6 text */
	const char *domain_name;  /* iot:DomainName */
	/* Of a CONNECT; looked at for that action only. */
	bool persistent;             /* iot:ConnectAttributes holds PersistentConnect */
	bool last_will;              /* iot:ConnectAttributes holds LastWill */
	const char *last_will_topic; /* iot:LastWillTopic, the bare topic; compared as an ARN */
};

struct iot_policy_request {
	enum iot_policy_action action;
	const char *action_name;              /* IOT_POLICY_OTHER only: "iot:CreateJob" */
	const char *resource;                 /* OTHER: NULL for actions that have none; only "*" matches then */
	const struct iot_policy_scope *scope; /* NULL: iot_policy_scope_local */
	const struct iot_policy_vars *vars;   /* NULL: nothing has a value */
};

enum iot_decision { IOT_DECISION_ALLOWED, IOT_DECISION_EXPLICIT_DENY, IOT_DECISION_IMPLICIT_DENY };

/* Which statement decided: the first Deny that matched, else the first Allow. */
struct iot_policy_verdict {
	enum iot_decision decision;
	size_t policy;      /* index into the policies; SIZE_MAX for an implicit deny */
	unsigned statement; /* from 1; 0 for an implicit deny */
	const char *sid;    /* of that statement, borrowed from the policy; NULL if it has none */
};

/*
 * Decide over all `count` policies that apply (NULL entries are skipped; no policies:
 * implicit deny). ret_verdict may be NULL. To learn what each policy alone says, as
 * TestAuthorization reports it, ask with one policy at a time.
 */
enum iot_decision iot_policy_decide(const struct iot_policy *const *policies, size_t count,
				    const struct iot_policy_request *request, struct iot_policy_verdict *ret_verdict);

/* "ALLOWED", "EXPLICIT_DENY", "IMPLICIT_DENY" (AuthResult.authDecision). */
const char *iot_decision_name(enum iot_decision decision);
/* "iot:Connect" ...; "" for OTHER. */
const char *iot_policy_action_name(enum iot_policy_action action);
/* "iot:publish" and AuthInfo's "PUBLISH" alike, any case; IOT_POLICY_OTHER for what is none of the five. */
enum iot_policy_action iot_policy_action_parse(const char *name);

/*
 * Split an ARN that a caller names (TestAuthorization's AuthInfo.resources) into scope
 * and resource of a request whose action is set. Wrong form, another service than iot
 * (IOT_POLICY_OTHER: any service), or a kind that does not belong to the action is IOT_USAGE. `parts` backs what the
 * request then points to, together with `arn`, and must live as long.
 */
struct iot_policy_arn {
	char text[128];
	struct iot_policy_scope scope;
};
IOT_CHECK enum iot_status iot_policy_request_arn(struct iot_policy_request *request, const char *arn,
						 struct iot_policy_arn *parts, struct iot_error *err);

/*
 * Names of the variables and keys that statements with the request's action use and
 * that have no value in it (AuthResult.missingContextValues): array of strings, each
 * once. New reference.
 */
json_t *iot_policy_missing(const struct iot_policy *const *policies, size_t count,
			   const struct iot_policy_request *request);

/* What lint may know besides the document; all optional, NULL context: nothing. */
struct iot_policy_lint {
	const struct iot_policy_scope *scope; /* report ARNs that can never match here */
	const struct iot_policy_vars *vars;   /* report variables without a value for this device */
	bool on_group;                        /* the policy is attached to a thing group */
};

/*
 * What is wrong or risky in a document that parses: array of
 *   {"severity": "error"|"warning", "rule", "statement", "message", "hint"}
 * in the document's order; "statement" is from 1, or 0 for the whole document; "hint" may be
 * missing. "error": the statement cannot do what it says. Rules, whose names are stable:
 *   grants-everything too-broad other-devices client-id-free   allows too much, says what
 *   unreachable                                                an Allow that a Deny covers
 *   unused-kind action-without-resource unknown-action         an action and its resources do not fit
 *   mqtt-wildcard                                              + or # where * was meant
 *   unknown-variable no-version no-value                       variables that cannot resolve
 *   unknown-operator unknown-key key-never-present             conditions that cannot be judged
 *   deny-variable deny-on-group                                a Deny that may fall away
 *   other-scope                                                another partition, region, account or service
 *   no-receive size
 * New reference; an empty array when there is nothing to say.
 */
json_t *iot_policy_lint(const struct iot_policy *policy, const struct iot_policy_lint *context);

/*
 * Append the document that `iotctl init` stores as policy "device": connect under the own
 * thing name; publish, receive and subscribe only under
 * $aws/things/THING/{jobs,streams,shadow}/ and TYPE/THING/. Indented JSON, lint clean.
 */
void iot_policy_device_default(struct iot_buf *out);

#endif
