/* Certificates: issued, read, judged; with `openssl verify` as a second opinion. */
#include "helpers.h"

#include "iotctl/cert.h"
#include "iotctl/clock.h"

#define DAY INT64_C(86400000)
#define NOW INT64_C(1795255200000) /* 2026-11-21T10:00:00Z */

/* A root and an issuing CA, made before each test. */
static struct iot_key *root_key, *ca_key, *device_key;
static struct iot_cert *root, *ca;

static void set_up(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	make_dir();
	root_key = new_key(IOT_KEY_P256);
	ca_key = new_key(IOT_KEY_P256);
	device_key = new_key(IOT_KEY_P256);
	ASSERT_OK(iot_ca_create_root(root_key, "Unit Root", 3650, &root, &err), &err);
	ASSERT_OK(iot_ca_create_intermediate(root_key, root, ca_key, "Unit Issuing", 1825, &ca, &err), &err);
	if (ca == NULL)
		abort();
}

static void tear_down(void)
{
	iot_clock_freeze(0);
	iot_cert_free_p(&ca);
	iot_cert_free_p(&root);
	iot_key_free_p(&device_key);
	iot_key_free_p(&ca_key);
	iot_key_free_p(&root_key);
	remove_dir();
}

static struct iot_cert_request device_request(const char *name)
{
	struct iot_cert_request request = {IOT_PROFILE_DEVICE, name, device_key, 365, NULL, NULL};

	return request;
}

static struct iot_cert *issue(const struct iot_cert_request *request)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_cert *cert = NULL;

	ASSERT_OK(iot_cert_issue(ca_key, ca, request, &cert, &err), &err);
	if (cert == NULL)
		abort();
	return cert;
}

static void put_cert(const char *path, const struct iot_cert *cert)
{
	struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);

	iot_cert_pem(cert, &pem);
	put_file(path, pem.data, pem.len, 0644);
	iot_buf_release(&pem);
}

/* What `openssl x509 -text` prints contains `part`. */
static bool openssl_shows(const char *path, const char *part)
{
	return run("openssl x509 -in '%s' -noout -text | grep -q -- '%s'", path, part) == 0;
}

static void test_device_certificate(void)
{
	struct iot_cert_request request = device_request("pump-0001");
	struct iot_cert *cert = issue(&request);
	struct iot_error err = IOT_ERROR_INIT;
	const char *name = NULL, *path = in_dir("device.pem");

	ASSERT_OK(iot_cert_common_name(cert, &name, &err), &err);
	CU_ASSERT_STRING_EQUAL(name, "pump-0001");
	CU_ASSERT_STRING_EQUAL(iot_cert_subject(cert), "CN=pump-0001");
	CU_ASSERT_STRING_EQUAL(iot_cert_issuer(cert), "CN=Unit Issuing");
	CU_ASSERT_FALSE(iot_cert_is_ca(cert));
	CU_ASSERT_TRUE(iot_key_equal(iot_cert_key(cert), device_key));
	CU_ASSERT_EQUAL(strlen(iot_cert_serial(cert)), 32);
	CU_ASSERT_TRUE(iot_cert_serial(cert)[0] >= '4' && iot_cert_serial(cert)[0] <= '7'); /* positive, 16 bytes */
	if (have("openssl")) {
		put_cert(path, cert);
		put_cert(in_dir("root.pem"), root);
		put_cert(in_dir("ca.pem"), ca);
		CU_ASSERT_EQUAL(run("openssl verify -x509_strict -purpose sslclient -CAfile '%s' -untrusted '%s' '%s'",
				    in_dir("root.pem"), in_dir("ca.pem"), path),
				0);
		CU_ASSERT_NOT_EQUAL(run("openssl verify -purpose sslserver -CAfile '%s' -untrusted '%s' '%s'",
					in_dir("root.pem"), in_dir("ca.pem"), path),
				    0);
		CU_ASSERT_TRUE(openssl_shows(path, "Version: 3"));
		CU_ASSERT_TRUE(openssl_shows(path, "ecdsa-with-SHA256"));
		CU_ASSERT_TRUE(openssl_shows(path, "X509v3 Basic Constraints: critical"));
		CU_ASSERT_TRUE(openssl_shows(path, "CA:FALSE"));
		CU_ASSERT_TRUE(openssl_shows(path, "X509v3 Key Usage: critical"));
		CU_ASSERT_TRUE(openssl_shows(path, "^ *Digital Signature$"));
		CU_ASSERT_TRUE(openssl_shows(path, "TLS Web Client Authentication"));
		CU_ASSERT_TRUE(openssl_shows(path, "Subject Key Identifier"));
		CU_ASSERT_TRUE(openssl_shows(path, "Authority Key Identifier"));
		CU_ASSERT_EQUAL(
			run("test \"$(openssl x509 -in '%s' -noout -fingerprint -sha256 | sed 's/.*=//;s/://g' | "
			    "tr A-F a-f)\" = %s",
			    path, iot_cert_id(cert)),
			0);
		CU_ASSERT_TRUE(openssl_shows(in_dir("root.pem"), "pathlen:1"));
		CU_ASSERT_TRUE(openssl_shows(in_dir("ca.pem"), "pathlen:0"));
	}
	iot_cert_free(cert);
}

static void test_rsa_certificate(void)
{
	struct iot_key *rsa = new_key(IOT_KEY_RSA2048);
	struct iot_cert_request request = {IOT_PROFILE_DEVICE, "pump-0002", rsa, 10, NULL, NULL};
	struct iot_cert *cert = issue(&request);

	if (have("openssl")) {
		put_cert(in_dir("rsa.pem"), cert);
		CU_ASSERT_TRUE(openssl_shows(in_dir("rsa.pem"), "Digital Signature, Key Encipherment"));
	}
	iot_cert_free(cert);
	iot_key_free(rsa);
}

static void test_server_certificate(void)
{
	static const char *const names[] = {"localhost", "broker.example.com", NULL};
	static const char *const addresses[] = {"127.0.0.1", "::1", NULL};
	struct iot_cert_request request = {IOT_PROFILE_SERVER, "broker.example.com", device_key, 90, names, addresses};
	struct iot_cert *cert = issue(&request);
	struct iot_error err = IOT_ERROR_INIT;

	CU_ASSERT_EQUAL(iot_cert_field_count(cert, IOT_CERT_ALTERNATIVE), 4);
	CU_ASSERT_STRING_EQUAL(iot_cert_field_find(cert, IOT_CERT_ALTERNATIVE, "DNSName", 1), "broker.example.com");
	CU_ASSERT_STRING_EQUAL(iot_cert_field_find(cert, IOT_CERT_ALTERNATIVE, "IPAddress", 0), "127.0.0.1");
	CU_ASSERT_STRING_EQUAL(iot_cert_field_find(cert, IOT_CERT_ALTERNATIVE, "IPAddress", 1), "::1");
	ASSERT_OK(iot_cert_chain_verify(cert, &ca, 1, &root, 1, IOT_CERT_SERVER, &err), &err);
	ASSERT_STATUS(iot_cert_chain_verify(cert, &ca, 1, &root, 1, IOT_CERT_CLIENT, &err), IOT_VERIFY, &err);
	if (have("openssl")) {
		put_cert(in_dir("server.pem"), cert);
		put_cert(in_dir("root.pem"), root);
		put_cert(in_dir("ca.pem"), ca);
		CU_ASSERT_EQUAL(
			run("openssl verify -x509_strict -purpose sslserver -verify_hostname localhost -CAfile '%s' "
			    "-untrusted '%s' '%s'",
			    in_dir("root.pem"), in_dir("ca.pem"), in_dir("server.pem")),
			0);
		CU_ASSERT_EQUAL(run("openssl verify -verify_ip ::1 -CAfile '%s' -untrusted '%s' '%s'",
				    in_dir("root.pem"), in_dir("ca.pem"), in_dir("server.pem")),
				0);
	}
	iot_cert_free(cert);
}

static void test_operator_certificate(void)
{
	struct iot_cert_request request = {IOT_PROFILE_OPERATOR, "alice", device_key, 90, NULL, NULL};
	struct iot_cert *cert = issue(&request);
	struct iot_error err = IOT_ERROR_INIT;

	CU_ASSERT_STRING_EQUAL(iot_cert_field_find(cert, IOT_CERT_SUBJECT, "OrganizationalUnit", 0), "operator");
	ASSERT_OK(iot_cert_chain_verify(cert, &ca, 1, &root, 1, IOT_CERT_CLIENT, &err), &err);
	iot_cert_free(cert);
}

static void test_bad_requests(void)
{
	static const char *const bad_names[] = {"", "a/b", "a b", "a.b", "a+", "#", "pümp", "a\nb", "a,CN=b"};
	static const char *const bad_hosts[] = {
		"", ".", "a..b", "-a.example", "a-.example", "*.example.com", "a b", "a/b", "x,DNS:evil.example"};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_cert *cert = NULL;
	struct iot_key *ed = new_key(IOT_KEY_ED25519);
	struct iot_cert_request request;
	char longest[IOT_CERT_NAME_MAX + 2];

	for (size_t i = 0; i < IOT_LENGTH(bad_names); i++) {
		request = device_request(bad_names[i]);
		ASSERT_STATUS(iot_cert_issue(ca_key, ca, &request, &cert, &err), IOT_USAGE, &err);
	}
	memset(longest, 'n', sizeof(longest));
	longest[IOT_CERT_NAME_MAX + 1] = '\0';
	request = device_request(longest);
	ASSERT_STATUS(iot_cert_issue(ca_key, ca, &request, &cert, &err), IOT_USAGE, &err);
	for (size_t i = 0; i < IOT_LENGTH(bad_hosts); i++) {
		const char *const names[] = {bad_hosts[i], NULL};

		request = (struct iot_cert_request){IOT_PROFILE_SERVER, "server", device_key, 90, names, NULL};
		ASSERT_STATUS(iot_cert_issue(ca_key, ca, &request, &cert, &err), IOT_USAGE, &err);
		request = (struct iot_cert_request){IOT_PROFILE_SERVER, "server", device_key, 90, NULL, names};
		ASSERT_STATUS(iot_cert_issue(ca_key, ca, &request, &cert, &err), IOT_USAGE, &err);
	}
	request = (struct iot_cert_request){IOT_PROFILE_SERVER, "server", device_key, 90, NULL, NULL};
	ASSERT_STATUS(iot_cert_issue(ca_key, ca, &request, &cert, &err), IOT_USAGE, &err);
	request = device_request("pump");
	request.days = 0;
	ASSERT_STATUS(iot_cert_issue(ca_key, ca, &request, &cert, &err), IOT_USAGE, &err);
	request.days = 36501;
	ASSERT_STATUS(iot_cert_issue(ca_key, ca, &request, &cert, &err), IOT_USAGE, &err);
	request = device_request("pump");
	request.key = ed;
	ASSERT_STATUS(iot_cert_issue(ca_key, ca, &request, &cert, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "AWS");
	CU_ASSERT_PTR_NULL(cert);
	iot_key_free(ed);
}

static void test_the_longest_name(void)
{
	char name[IOT_CERT_NAME_MAX + 1];
	struct iot_cert_request request = device_request(name);
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_cert *cert;
	const char *read = NULL;

	memset(name, 'n', IOT_CERT_NAME_MAX);
	name[IOT_CERT_NAME_MAX] = '\0';
	cert = issue(&request);
	ASSERT_OK(iot_cert_common_name(cert, &read, &err), &err);
	CU_ASSERT_TRUE(read != NULL && strcmp(read, name) == 0);
	ASSERT_OK(iot_cert_chain_verify(cert, &ca, 1, &root, 1, IOT_CERT_CLIENT, &err), &err);
	iot_cert_free(cert);
}

static void test_bad_signers(void)
{
	struct iot_cert_request request = device_request("pump");
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_cert *leaf = issue(&request), *cert = NULL;
	struct iot_key *public_key = iot_key_public_copy(ca_key);

	ASSERT_STATUS(iot_cert_issue(root_key, ca, &request, &cert, &err), IOT_CONFLICT, &err);
	ASSERT_STATUS(iot_cert_issue(public_key, ca, &request, &cert, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_cert_issue(device_key, leaf, &request, &cert, &err), IOT_CONFLICT, &err);
	ASSERT_STATUS(iot_ca_create_intermediate(ca_key, ca, device_key, "below", 10, &cert, &err), IOT_CONFLICT, &err);
	ASSERT_STATUS(iot_ca_create_intermediate(device_key, leaf, ca_key, "below", 10, &cert, &err), IOT_CONFLICT,
		      &err);
	ASSERT_STATUS(iot_ca_create_root(root_key, "", 10, &cert, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_ca_create_root(root_key, "a\tb", 10, &cert, &err), IOT_USAGE, &err);
	CU_ASSERT_PTR_NULL(cert);
	iot_key_free(public_key);
	iot_cert_free(leaf);
}

static void test_validity(void)
{
	struct iot_cert_request request = device_request("pump");
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_cert *young = NULL, *old = NULL, *cert = NULL;
	struct iot_key *key = new_key(IOT_KEY_P256);

	iot_clock_freeze(NOW);
	ASSERT_OK(iot_ca_create_root(key, "Frozen", 1000, &young, &err), &err);
	CU_ASSERT_EQUAL(iot_cert_not_before(young), NOW - 300000);
	CU_ASSERT_EQUAL(iot_cert_not_after(young), NOW + 1000 * DAY);

	ASSERT_OK(iot_cert_issue(key, young, &request, &cert, &err), &err);
	CU_ASSERT_EQUAL(iot_cert_not_before(cert), NOW - 300000);
	CU_ASSERT_EQUAL(iot_cert_not_after(cert), NOW + 365 * DAY);
	iot_cert_free(iot_take(cert));

	iot_clock_freeze(NOW - 100000); /* the clock stepped back: never before the CA */
	ASSERT_OK(iot_cert_issue(key, young, &request, &cert, &err), &err);
	CU_ASSERT_EQUAL(iot_cert_not_before(cert), iot_cert_not_before(young));
	iot_cert_free(iot_take(cert));

	iot_clock_freeze(NOW + 900 * DAY); /* never beyond the CA */
	ASSERT_OK(iot_cert_issue(key, young, &request, &cert, &err), &err);
	CU_ASSERT_EQUAL(iot_cert_not_after(cert), iot_cert_not_after(young));
	ASSERT_OK(iot_cert_chain_verify(cert, NULL, 0, &young, 1, IOT_CERT_CLIENT, &err), &err);
	iot_clock_freeze(NOW + 1001 * DAY);
	ASSERT_STATUS(iot_cert_chain_verify(cert, NULL, 0, &young, 1, IOT_CERT_CLIENT, &err), IOT_VERIFY, &err);
	ASSERT_CONTAINS(err.what, "expired");
	iot_cert_free(iot_take(cert));

	ASSERT_STATUS(iot_cert_issue(key, young, &request, &cert, &err), IOT_CONFLICT, &err);
	ASSERT_CONTAINS(err.what, "expired");
	iot_clock_freeze(NOW - DAY);
	ASSERT_STATUS(iot_cert_issue(key, young, &request, &cert, &err), IOT_CONFLICT, &err);
	iot_clock_freeze(1000); /* 1970 */
	ASSERT_STATUS(iot_cert_issue(key, young, &request, &cert, &err), IOT_FAILURE, &err);
	ASSERT_STATUS(iot_ca_create_root(key, "Then", 10, &old, &err), IOT_FAILURE, &err);
	CU_ASSERT_PTR_NULL(cert);
	iot_cert_free(young);
	iot_key_free(key);
}

/* RFC 5280 4.1.2.5: UTCTime (tag 0x17) until 2049, GeneralizedTime (tag 0x18) from 2050. */
static void test_time_beyond_2049(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_cert *cert = NULL;
	struct iot_buf der = IOT_BUF_INIT(IOT_CERT_DER_MAX);

	iot_clock_freeze(NOW);
	ASSERT_OK(iot_ca_create_root(root_key, "Long", 10957, &cert, &err), &err); /* 30 years: 2056-11-20 */
	iot_cert_der(cert, &der);
	CU_ASSERT_PTR_NOT_NULL(memmem(der.data, der.len,
				      "\x17\x0d"
				      "261121095500Z",
				      15));
	CU_ASSERT_PTR_NOT_NULL(memmem(der.data, der.len,
				      "\x18\x0f"
				      "20561120100000Z",
				      17));
	CU_ASSERT_EQUAL(iot_cert_not_after(cert), NOW + 10957 * DAY);
	iot_buf_release(&der);
	iot_cert_free(cert);
}

static void test_chain(void)
{
	struct iot_cert_request request = device_request("pump");
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_cert *cert = issue(&request), *stranger = NULL, *namesake = NULL;
	struct iot_key *key = new_key(IOT_KEY_P256);

	ASSERT_OK(iot_ca_create_root(key, "Stranger", 10, &stranger, &err), &err);
	ASSERT_OK(iot_ca_create_root(key, "Unit Issuing", 10, &namesake, &err), &err);
	ASSERT_OK(iot_cert_verify_issued_by(cert, ca, &err), &err);
	ASSERT_OK(iot_cert_verify_issued_by(ca, root, &err), &err);
	ASSERT_STATUS(iot_cert_verify_issued_by(cert, root, &err), IOT_VERIFY, &err);
	ASSERT_STATUS(iot_cert_verify_issued_by(cert, namesake, &err), IOT_VERIFY, &err);
	ASSERT_STATUS(iot_cert_verify_issued_by(cert, cert, &err), IOT_VERIFY, &err);

	ASSERT_OK(iot_cert_chain_verify(cert, &ca, 1, &root, 1, IOT_CERT_CLIENT, &err), &err);
	ASSERT_OK(iot_cert_chain_verify(cert, NULL, 0, &ca, 1, IOT_CERT_CLIENT, &err),
		  &err); /* a trusted issuing CA is enough */
	ASSERT_STATUS(iot_cert_chain_verify(cert, NULL, 0, &root, 1, IOT_CERT_CLIENT, &err), IOT_VERIFY, &err);
	ASSERT_STATUS(iot_cert_chain_verify(cert, &ca, 1, &stranger, 1, IOT_CERT_CLIENT, &err), IOT_VERIFY, &err);
	ASSERT_STATUS(iot_cert_chain_verify(cert, NULL, 0, &namesake, 1, IOT_CERT_CLIENT, &err), IOT_VERIFY, &err);
	ASSERT_STATUS(iot_cert_chain_verify(cert, &ca, 1, NULL, 0, IOT_CERT_CLIENT, &err), IOT_VERIFY, &err);
	ASSERT_STATUS(iot_cert_chain_verify(cert, &ca, 1, &root, 1, IOT_CERT_SERVER, &err), IOT_VERIFY, &err);
	iot_cert_free(namesake);
	iot_cert_free(stranger);
	iot_key_free(key);
	iot_cert_free(cert);
}

/* All names and key identifiers are right; only the signature is not. */
static void test_forged_signature(void)
{
	struct iot_cert_request request = device_request("pump");
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_cert *cert = issue(&request), *forged = NULL;
	struct iot_buf der = IOT_BUF_INIT(IOT_CERT_DER_MAX);

	iot_cert_der(cert, &der);
	der.data[der.len - 1] ^= 1;
	ASSERT_OK(iot_cert_parse_der(der.data, der.len, &forged, &err), &err);
	if (forged != NULL) {
		ASSERT_STATUS(iot_cert_verify_issued_by(forged, ca, &err), IOT_VERIFY, &err);
		ASSERT_CONTAINS(err.what, "signature");
		ASSERT_STATUS(iot_cert_chain_verify(forged, &ca, 1, &root, 1, IOT_CERT_CLIENT, &err), IOT_VERIFY, &err);
	}
	iot_buf_release(&der);
	iot_cert_free(forged);
	iot_cert_free(cert);
}

static void test_reading_what_was_written(void)
{
	struct iot_cert_request request = device_request("pump");
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_cert *cert = issue(&request), *again = NULL, **list = NULL;
	struct iot_buf der = IOT_BUF_INIT(IOT_CERT_DER_MAX), pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	char id[IOT_SHA256_HEX_SIZE], hash[9];
	struct iot_key *key = NULL;
	size_t count = 0;

	iot_cert_der(cert, &der);
	CU_ASSERT_STRING_EQUAL(iot_cert_id_der(der.data, der.len, id), iot_cert_id(cert));
	ASSERT_OK(iot_cert_parse_der(der.data, der.len, &again, &err), &err);
	CU_ASSERT_STRING_EQUAL(iot_cert_id(cert), iot_cert_id(again));
	iot_cert_free(iot_take(again));
	iot_buf_addc(&der, '\0');
	ASSERT_STATUS(iot_cert_parse_der(der.data, der.len, &again, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_cert_parse_der(der.data, der.len - 2, &again, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_cert_parse_der("", 0, &again, &err), IOT_USAGE, &err);

	iot_buf_adds(&pem, "# a bundle\n");
	iot_cert_pem(cert, &pem);
	iot_cert_pem(ca, &pem);
	iot_cert_pem(root, &pem);
	ASSERT_OK(iot_cert_parse_pem_all(pem.data, pem.len, "bundle", &list, &count, &err), &err);
	CU_ASSERT_EQUAL(count, 3);
	CU_ASSERT_TRUE(count == 3 && strcmp(iot_cert_id(list[1]), iot_cert_id(ca)) == 0);
	CU_ASSERT_TRUE(count == 3 && iot_cert_is_self_issued(list[2]) && !iot_cert_is_self_issued(list[1]));
	iot_cert_list_free(list, count);
	put_file(in_dir("bundle.pem"), pem.data, pem.len, 0644);
	ASSERT_OK(iot_cert_load(in_dir("bundle.pem"), &again, &err), &err);
	CU_ASSERT_STRING_EQUAL(iot_cert_id(cert), iot_cert_id(again));
	iot_cert_free(iot_take(again));
	ASSERT_OK(iot_key_load_public(in_dir("bundle.pem"), &key, &err), &err); /* the key of a certificate */
	CU_ASSERT_TRUE(key != NULL && iot_key_equal(key, device_key));
	iot_key_free(key);

	pem.len -= 40; /* the last block is cut off */
	ASSERT_STATUS(iot_cert_parse_pem_all(pem.data, pem.len, "bundle", &list, &count, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_cert_parse_pem("nothing", 7, "x", &again, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_cert_load(in_dir("missing"), &again, &err), IOT_NOT_FOUND, &err);
	CU_ASSERT_PTR_NULL(again);
	if (have("openssl")) {
		put_cert(in_dir("ca.pem"), ca);
		iot_cert_subject_hash(ca, hash);
		CU_ASSERT_EQUAL(
			run("test \"$(openssl x509 -in '%s' -noout -subject_hash)\" = %s", in_dir("ca.pem"), hash), 0);
	}
	iot_buf_release(&pem);
	iot_buf_release(&der);
	iot_cert_free(cert);
}

/* Certificates of others: two common names, many fields, a NUL in a name. */
static void test_foreign_certificates(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_cert *cert = NULL;
	struct iot_buf der = IOT_BUF_INIT(IOT_CERT_DER_MAX);
	const char *name = NULL, *path = in_dir("foreign.pem");
	char *at;

	if (!have("openssl"))
		return;
	CU_ASSERT_EQUAL(
		run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /dev/null -out '%s' "
		    "-utf8 -subj '/C=DE/ST=Berlin/O=Ä Works/OU=one/OU=two/CN=first/CN=second/serialNumber=77'",
		    path),
		0);
	ASSERT_OK(iot_cert_load(path, &cert, &err), &err);
	if (cert == NULL)
		return;
	CU_ASSERT_EQUAL(iot_cert_field_count(cert, IOT_CERT_SUBJECT), 8);
	CU_ASSERT_STRING_EQUAL(iot_cert_field(cert, IOT_CERT_SUBJECT, 0).name, "Country");
	CU_ASSERT_STRING_EQUAL(iot_cert_field_find(cert, IOT_CERT_SUBJECT, "State", 0), "Berlin");
	CU_ASSERT_STRING_EQUAL(iot_cert_field_find(cert, IOT_CERT_SUBJECT, "Organization", 0), "Ä Works");
	CU_ASSERT_STRING_EQUAL(iot_cert_field_find(cert, IOT_CERT_SUBJECT, "OrganizationalUnit", 1), "two");
	CU_ASSERT_STRING_EQUAL(iot_cert_field_find(cert, IOT_CERT_ISSUER, "SerialNumber", 0), "77");
	CU_ASSERT_PTR_NULL(iot_cert_field_find(cert, IOT_CERT_SUBJECT, "OrganizationalUnit", 2));
	CU_ASSERT_PTR_NULL(iot_cert_field_find(cert, IOT_CERT_SUBJECT, "Title", 0));
	ASSERT_STATUS(iot_cert_common_name(cert, &name, &err), IOT_VERIFY, &err);
	ASSERT_CONTAINS(err.what, "more than one");
	iot_cert_der(cert, &der);
	at = memmem(der.data, der.len, "first", 5);
	CU_ASSERT_PTR_NOT_NULL(at);
	if (at != NULL)
		at[2] = '\0';
	iot_cert_free(iot_take(cert));
	ASSERT_STATUS(iot_cert_parse_der(der.data, der.len, &cert, &err), IOT_USAGE, &err);
	iot_buf_release(&der);

	CU_ASSERT_EQUAL(
		run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /dev/null -out '%s' "
		    "-subj '/CN=thing1\\/jobs'",
		    path),
		0);
	ASSERT_OK(iot_cert_load(path, &cert, &err), &err);
	ASSERT_STATUS(iot_cert_common_name(cert, &name, &err), IOT_VERIFY, &err);
	CU_ASSERT_PTR_NULL(name);
	iot_cert_free(cert);
}

static void test_serials_differ(void)
{
	struct iot_cert_request request = device_request("pump");
	struct iot_cert *a = issue(&request), *b = issue(&request);

	CU_ASSERT_STRING_NOT_EQUAL(iot_cert_serial(a), iot_cert_serial(b));
	iot_cert_free(a);
	iot_cert_free(b);
}

UNIT_MAIN("crypto/cert", set_up, tear_down, {"device", test_device_certificate}, {"rsa", test_rsa_certificate},
	  {"server", test_server_certificate}, {"operator", test_operator_certificate},
	  {"bad requests", test_bad_requests}, {"longest name", test_the_longest_name},
	  {"bad signers", test_bad_signers}, {"validity", test_validity}, {"beyond 2049", test_time_beyond_2049},
	  {"chain", test_chain}, {"forged", test_forged_signature}, {"reading", test_reading_what_was_written},
	  {"foreign", test_foreign_certificates}, {"serials differ", test_serials_differ})
