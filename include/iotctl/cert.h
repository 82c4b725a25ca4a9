/*
 * X.509 certificates (RFC 5280): read, check, issue; certificate requests
 * (PKCS#10, RFC 2986).
 *
 * Whoever parses gets a complete certificate or IOT_USAGE; nothing is accepted
 * with bytes left over, and no name field may hold a NUL. What a certificate
 * lends (fields, ids) lives as long as it does. Nothing blocks.
 */
#ifndef IOTCTL_CERT_H
#define IOTCTL_CERT_H

#include "iotctl/key.h"

struct iot_cert;

#define IOT_CERT_PEM_MAX (128 * 1024) /* of one file: a certificate or a bundle */
#define IOT_CERT_DER_MAX (64 * 1024)
#define IOT_CERT_NAME_MAX 128 /* longest common name we issue: an AWS thing name */

/* The first CERTIFICATE block of PEM text. `subject` names the text in messages. */
IOT_CHECK enum iot_status iot_cert_parse_pem(const char *text, size_t len, const char *subject, struct iot_cert **ret,
					     struct iot_error *err);
/* All CERTIFICATE blocks, at least one, at most 64. Free with iot_cert_list_free. */
IOT_CHECK enum iot_status iot_cert_parse_pem_all(const char *text, size_t len, const char *subject,
						 struct iot_cert ***ret, size_t *ret_count, struct iot_error *err);
IOT_CHECK enum iot_status iot_cert_parse_der(const void *der, size_t len, struct iot_cert **ret, struct iot_error *err);
/*
 * From an X509 object of OpenSSL, as mosquitto_client_certificate() returns one. It is taken over, on failure as
 * well: the caller neither frees it nor needs OpenSSL.
 */
IOT_CHECK enum iot_status iot_cert_take_x509(void *x509, struct iot_cert **ret, struct iot_error *err);
/* The first certificate of a PEM file. */
IOT_CHECK enum iot_status iot_cert_load(const char *path, struct iot_cert **ret, struct iot_error *err);

void iot_cert_free(struct iot_cert *cert);
void iot_cert_free_p(struct iot_cert **cert); /* for IOT_CLEAN */
void iot_cert_list_free(struct iot_cert **list, size_t count);

/* Append as PEM / as DER (the bytes that were parsed). */
void iot_cert_pem(const struct iot_cert *cert, struct iot_buf *out);
void iot_cert_der(const struct iot_cert *cert, struct iot_buf *out);

/* AWS IoT's certificateId: SHA-256 of the DER, lower-case hex. Borrowed. */
const char *iot_cert_id(const struct iot_cert *cert);
/* The same from DER that is not looked into: all a broker needs to find a certificate. Returns id. */
char *iot_cert_id_der(const void *der, size_t len, char id[IOT_SHA256_HEX_SIZE]);

/*
 * Name fields, in the order of the certificate, repeated ones repeated. Names
 * are those of AWS IoT policy variables (iot:Certificate.Subject.NAME):
 * CommonName, Country, Organization, OrganizationalUnit, State, SerialNumber,
 * DistinguishedNameQualifier, Title, Surname, GivenName, Initials, Pseudonym,
 * GenerationQualifier; other attributes are named by their dotted OID.
 * Alternative names: RFC822Name, DNSName, DirectoryName,
 * UniformResourceIdentifier, IPAddress. Values are UTF-8.
 */
enum iot_cert_part { IOT_CERT_SUBJECT, IOT_CERT_ISSUER, IOT_CERT_ALTERNATIVE };
struct iot_cert_field {
	const char *name;
	const char *value;
};
size_t iot_cert_field_count(const struct iot_cert *cert, enum iot_cert_part part);
/* The field at index < count. Borrowed. */
struct iot_cert_field iot_cert_field(const struct iot_cert *cert, enum iot_cert_part part, size_t index);
/* The value of the nth (from 0) field of that name, or NULL. Borrowed. */
const char *iot_cert_field_find(const struct iot_cert *cert, enum iot_cert_part part, const char *name, size_t nth);

/* Subject and issuer as one line (RFC 2253, "CN=pump-0001,O=x"). Borrowed. */
const char *iot_cert_subject(const struct iot_cert *cert);
const char *iot_cert_issuer(const struct iot_cert *cert);
/* Serial number: lower-case hex, two digits a byte, "-" in front of a negative one. Borrowed. */
const char *iot_cert_serial(const struct iot_cert *cert);
int64_t iot_cert_not_before(const struct iot_cert *cert); /* ms since the epoch */
int64_t iot_cert_not_after(const struct iot_cert *cert);
bool iot_cert_is_ca(const struct iot_cert *cert);
bool iot_cert_is_self_issued(const struct iot_cert *cert); /* subject equals issuer */
/* The public key. Borrowed. */
const struct iot_key *iot_cert_key(const struct iot_cert *cert);
/* OpenSSL's subject name hash, 8 hex digits: the file name HASH.N in a hashed CA folder (openssl-rehash(1)). */
void iot_cert_subject_hash(const struct iot_cert *cert, char out[9]);

/*
 * May this text be the common name of a device? [A-Za-z0-9:_-], 1 to 128 bytes:
 * an AWS thing name. No slash, so that it stays within its own topics.
 */
IOT_CHECK enum iot_status iot_cert_check_name(const char *name, struct iot_error *err);
/* The common name when there is exactly one and it passes the check above. IOT_VERIFY otherwise. Borrowed. */
IOT_CHECK enum iot_status iot_cert_common_name(const struct iot_cert *cert, const char **ret, struct iot_error *err);

/*
 * The UID of an ExpressLink module, which is its thing name: the subject's serialNumber where its vendor put it there,
 * else the common name; exactly one, and a name as above. IOT_VERIFY otherwise. Borrowed.
 */
IOT_CHECK enum iot_status iot_cert_uid(const struct iot_cert *cert, const char **ret, struct iot_error *err);

/* IOT_OK if this key signed the certificate, whoever's it is (names, dates and uses are not looked at); else IOT_VERIFY. */
IOT_CHECK enum iot_status iot_cert_verify_signed_by(const struct iot_cert *cert, const struct iot_key *key,
						    struct iot_error *err);
/* IOT_OK if ca is a CA certificate whose name and key issued cert (dates are not looked at); IOT_VERIFY otherwise. */
IOT_CHECK enum iot_status iot_cert_verify_issued_by(const struct iot_cert *cert, const struct iot_cert *ca,
						    struct iot_error *err);

enum iot_cert_purpose { IOT_CERT_ANY, IOT_CERT_CLIENT, IOT_CERT_SERVER };
/*
 * Path validation (RFC 5280 section 6) of leaf up to one of the trusted
 * certificates (which need not be self-signed) by way of the others, at
 * iot_now_ms(). SHA-1 signatures and short keys are refused. IOT_VERIFY with the reason.
 */
IOT_CHECK enum iot_status iot_cert_chain_verify(const struct iot_cert *leaf, struct iot_cert *const *intermediates,
						size_t intermediate_count, struct iot_cert *const *trusted,
						size_t trusted_count, enum iot_cert_purpose purpose,
						struct iot_error *err);

/* A self-signed root: CA:TRUE, pathlen 1, keyCertSign and cRLSign. name: 1 to 64 bytes of printable UTF-8. */
IOT_CHECK enum iot_status iot_ca_create_root(const struct iot_key *key, const char *common_name, int days,
					     struct iot_cert **ret, struct iot_error *err);
/* An issuing CA for the public part of `key`: CA:TRUE, pathlen 0; never outlives the root. */
IOT_CHECK enum iot_status iot_ca_create_intermediate(const struct iot_key *root_key, const struct iot_cert *root_cert,
						     const struct iot_key *key, const char *common_name, int days,
						     struct iot_cert **ret, struct iot_error *err);

enum iot_cert_profile {
	IOT_PROFILE_DEVICE,   /* client authentication; subject CN */
	IOT_PROFILE_OPERATOR, /* client authentication; subject CN and OU=operator */
	IOT_PROFILE_SERVER,   /* server authentication; names in subjectAltName */
	IOT_PROFILE_CODESIGN  /* code signing: what updates are checked with */
};

struct iot_cert_request {
	enum iot_cert_profile profile;
	const char *common_name;         /* exactly this one; iot_cert_check_name (a server's may also hold dots) */
	const struct iot_key *key;       /* its public part is certified; iot_key_check_device */
	int days;                        /* 1 to 36500; cut to what the CA has left */
	const char *const *dns_names;    /* server only: host names, NULL-terminated, or NULL */
	const char *const *ip_addresses; /* server only: IPv4 or IPv6, NULL-terminated, or NULL */
};

/*
 * Issue a certificate: version 3, random positive 16-byte serial number,
 * SHA-256, basicConstraints CA:FALSE (critical), keyUsage digitalSignature
 * (critical; and keyEncipherment for RSA), extendedKeyUsage, subject and
 * authority key identifiers. Valid from five minutes ago, never before or
 * beyond the CA. Without ca_cert it is self-signed: ca_key is then the key of the
 * request. IOT_FAILURE when the clock is certainly wrong, IOT_CONFLICT
 * when the CA has expired, is none, or the key is not its own, IOT_USAGE for a
 * bad request.
 */
IOT_CHECK enum iot_status iot_cert_issue(const struct iot_key *ca_key, const struct iot_cert *ca_cert,
					 const struct iot_cert_request *request, struct iot_cert **ret,
					 struct iot_error *err);

/* The same with an exact end (ms since the epoch, in the future) instead of days. */
IOT_CHECK enum iot_status iot_cert_issue_until(const struct iot_key *ca_key, const struct iot_cert *ca_cert,
					       const struct iot_cert_request *request, int64_t until,
					       struct iot_cert **ret, struct iot_error *err);

#define IOT_CSR_MAX (16 * 1024)

/* Append a PEM certificate request for key with subject CN=common_name. */
IOT_CHECK enum iot_status iot_csr_create(const struct iot_key *key, const char *common_name, struct iot_buf *out,
					 struct iot_error *err);

struct iot_csr {
	struct iot_key *key;                     /* public; passed iot_key_check_device */
	char common_name[IOT_CERT_NAME_MAX + 1]; /* "" if the request names none */
};
/*
 * Read a PEM certificate request and verify its own signature (proof that the
 * sender holds the key: IOT_VERIFY if not). Two common names, or one that
 * iot_cert_check_name refuses: IOT_USAGE. Whatever else is asked for (other
 * subject fields, extensions) is ignored: the issuer decides. Release with
 * iot_csr_release, which is fine on a zeroed struct.
 */
IOT_CHECK enum iot_status iot_csr_parse(const char *pem, size_t len, struct iot_csr *ret, struct iot_error *err);
void iot_csr_release(struct iot_csr *csr);

#endif
