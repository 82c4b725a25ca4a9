/*
 * Attestation claims: read from a token by the numbers of its profile, written
 * again, and shown. What belongs to which profile is one table.
 */
#include "attest_private.h"

#include "crypto/internal.h"
#include "iotctl/text.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

enum claim {
	CLAIM_PROFILE,
	CLAIM_CLIENT,
	CLAIM_LIFECYCLE,
	CLAIM_IMPLEMENTATION,
	CLAIM_BOOT_SEED,
	CLAIM_CERTIFICATION,
	CLAIM_COMPONENTS,
	CLAIM_NO_COMPONENTS,
	CLAIM_NONCE,
	CLAIM_INSTANCE,
	CLAIM_VERIFICATION,
	CLAIMS
};

enum kind { KIND_INT, KIND_BYTES, KIND_TEXT, KIND_COMPONENTS };

/* Numbers of claims: PSA_IOT_PROFILE_1; RFC 9783 section 4, which the profile between has too, but for the boot seed.
 */
static const struct claim_row {
	const char *name;
	int64_t psa_1, rfc;
	enum kind kind;
	size_t offset; /* of the span of BYTES and TEXT */
} rows[CLAIMS] = {
	[CLAIM_PROFILE] = {"profile", -75000, 265, KIND_TEXT, offsetof(struct iot_attest_claims, profile_name)},
	[CLAIM_CLIENT] = {"client id", -75001, 2394, KIND_INT, 0},
	[CLAIM_LIFECYCLE] = {"lifecycle", -75002, 2395, KIND_INT, 0},
	[CLAIM_IMPLEMENTATION] = {"implementation id", -75003, 2396, KIND_BYTES,
				  offsetof(struct iot_attest_claims, implementation)},
	[CLAIM_BOOT_SEED] = {"boot seed", -75004, 268, KIND_BYTES, offsetof(struct iot_attest_claims, boot_seed)},
	[CLAIM_CERTIFICATION] = {"certification reference", -75005, 2398, KIND_TEXT,
				 offsetof(struct iot_attest_claims, certification)},
	[CLAIM_COMPONENTS] = {"software components", -75006, 2399, KIND_COMPONENTS, 0},
	[CLAIM_NO_COMPONENTS] = {"no software measurements", -75007, 0, KIND_INT, 0},
	[CLAIM_NONCE] = {"nonce", -75008, 10, KIND_BYTES, offsetof(struct iot_attest_claims, nonce)},
	[CLAIM_INSTANCE] = {"instance id", -75009, 256, KIND_BYTES, offsetof(struct iot_attest_claims, instance)},
	[CLAIM_VERIFICATION] = {"verification service", -75010, 2400, KIND_TEXT,
				offsetof(struct iot_attest_claims, verification)},
};
#define BOOT_SEED_PSA_2 2397

static const char *const profile_names[] = {
	[IOT_ATTEST_UNKNOWN] = "unknown",
	[IOT_ATTEST_PSA_1] = "PSA_IOT_PROFILE_1",
	[IOT_ATTEST_PSA_2] = "http://arm.com/psa/2.0.0",
	[IOT_ATTEST_RFC_9783] = "tag:psacertified.org,2023:psa#tfm",
};

const char *iot_attest_profile_name(enum iot_attest_profile profile)
{
	return profile_names[profile];
}

const char *iot_attest_lifecycle_name(uint16_t lifecycle)
{
	static const char *const names[] = {"unknown",       "assembly-and-test", "psa-rot-provisioning",
					    "secured",       "non-psa-rot-debug", "recoverable-psa-rot-debug",
					    "decommissioned"};
	unsigned state = lifecycle >> 8;

	return (state & 0xf) == 0 && state >> 4 < IOT_LENGTH(names) ? names[state >> 4] : NULL;
}

/* --- instance ids ------------------------------------------------------------------- */

void iot_attest_instance_of_secret(const void *key, size_t len, uint8_t out[IOT_ATTEST_INSTANCE_SIZE])
{
	uint8_t digest[IOT_SHA256_SIZE];

	/* Twice: a key longer than HMAC's block is used as its digest, which must not be published. */
	iot_sha256(key, len, digest);
	out[0] = 1;
	iot_sha256(digest, sizeof(digest), out + 1);
	iot_wipe(digest, sizeof(digest));
}

enum iot_status iot_attest_instance_of_key(const struct iot_key *key, uint8_t out[IOT_ATTEST_INSTANCE_SIZE],
					   struct iot_error *err)
{
	unsigned char *point = NULL;
	size_t len = 0;

	if (iot_cose_alg_of_key(key) != IOT_COSE_NONE)
		len = EVP_PKEY_get1_encoded_public_key(key->pkey, &point);
	if (len == 0)
		return iot_ossl_fail(err, IOT_USAGE, "a key of type '%s' is no attestation key",
				     iot_key_type_name(iot_key_type(key)));
	out[0] = 1;
	iot_sha256(point, len, out + 1);
	OPENSSL_free(point);
	return IOT_OK;
}

const char *iot_attest_published(const void *instance, size_t len)
{
	static const struct {
		const char *hex, *whose;
	} published[] = {
		{"01bfe8a99b25d95ca842256bef147a5922b69fbc78faa9ef9f94113d182aaf7c6f",
		 "the dummy symmetric key of Trusted Firmware-M"},
		{"01fa58755f658627ce5460f29b75296713248cae7ad9e2984b90280efcbcb50248",
		 "the dummy key pair of Trusted Firmware-M"},
		{"01f2d13a70e5b291019a28883bd3e0959ae001b24cdee13f95485cf7321131bd87",
		 "the test key of TF-M's verifier"},
		{"01c557bd4fadc83f756fca2cd5ea2dcc8b82159bb4e7453d6a744d4eecd6d0ac60", "the example key of RFC 9783"},
		{"01399c843e8d71167061d8fbb1e9423dd857932cb4bc9894ba9793d776a3813e22",
		 "the example key pair of RFC 9783"},
	};
	char hex[2 * IOT_ATTEST_INSTANCE_SIZE + 1];

	if (len != IOT_ATTEST_INSTANCE_SIZE)
		return NULL;
	iot_hex(instance, len, hex);
	for (size_t i = 0; i < IOT_LENGTH(published); i++)
		if (strcmp(published[i].hex, hex) == 0)
			return published[i].whose;
	return NULL;
}

/* --- reading ------------------------------------------------------------------------ */

struct reading {
	struct iot_attest_claims *claims;
	char *problem;
};

static void problem(struct reading *r, const char *fmt, ...) IOT_PRINTF(2, 3);
static void problem(struct reading *r, const char *fmt, ...)
{
	va_list args;

	if (r->problem[0] != '\0')
		return;
	va_start(args, fmt);
	vsnprintf(r->problem, IOT_ATTEST_PROBLEM_MAX, fmt, args);
	va_end(args);
	iot_text_printable(r->problem);
}

static bool is_digest_size(size_t len)
{
	return len == 32 || len == 48 || len == 64;
}

/* The claim of a number in a profile; CLAIMS if it is none. */
static enum claim claim_of(enum iot_attest_profile profile, int64_t number)
{
	if (number == 0)
		return CLAIMS;
	if (profile == IOT_ATTEST_PSA_2 && number == BOOT_SEED_PSA_2)
		return CLAIM_BOOT_SEED;
	for (int i = 0; i < CLAIMS; i++)
		if ((profile == IOT_ATTEST_PSA_1 ? rows[i].psa_1 : rows[i].rfc) == number)
			return (enum claim)i;
	return CLAIMS;
}

static void read_member(struct reading *r, struct iot_attest_component *component, int64_t key,
			const struct iot_cbor_item *value, size_t index)
{
	struct iot_span *const spans[] = {NULL,
					  &component->type,
					  &component->measurement,
					  NULL,
					  &component->version,
					  &component->signer,
					  &component->description};
	bool bytes = key == 2 || key == 5;

	if (key < 1 || key >= (int64_t)IOT_LENGTH(spans) || spans[key] == NULL)
		return;
	if (value->major != (bytes ? IOT_CBOR_BYTES : IOT_CBOR_TEXT)) {
		problem(r, "member %d of software component %zu is of the wrong kind", (int)key, index);
		return;
	}
	*spans[key] = (struct iot_span){value->bytes, (size_t)value->number};
	if (bytes && !is_digest_size(spans[key]->len))
		problem(r, "%s of software component %zu has %zu bytes: 32, 48 or 64 are right",
			key == 2 ? "the measurement" : "the signer id", index, spans[key]->len);
}

static void read_component(struct reading *r, struct iot_cbor *reader, size_t index)
{
	struct iot_attest_component component = {0}, *to = &r->claims->components[r->claims->component_count];
	struct iot_cbor_item map, key, value;
	int64_t number;

	if (!iot_cbor_next(reader, &map))
		return;
	if (map.major != IOT_CBOR_MAP) {
		iot_cbor_fault(reader, "a software component is not a map");
		return;
	}
	for (uint64_t i = 0; i < map.number; i++) {
		if (!iot_cbor_next(reader, &key) || !iot_cbor_skip(reader, &value, IOT_CBOR_DEPTH_MAX))
			return;
		if (iot_cbor_int(&key, &number))
			read_member(r, &component, number, &value, index);
	}
	if (component.measurement.data == NULL)
		problem(r, "software component %zu has no measurement", index);
	if (component.signer.data == NULL && r->claims->profile == IOT_ATTEST_RFC_9783)
		problem(r, "software component %zu has no signer id", index);
	*to = component;
	r->claims->component_count++;
}

static void read_components(struct reading *r, struct iot_cbor *reader)
{
	struct iot_cbor_item array;

	if (!iot_cbor_next(reader, &array))
		return;
	if (array.major != IOT_CBOR_ARRAY || array.number == 0 || array.number > IOT_ATTEST_COMPONENTS_MAX) {
		problem(r, "the software components are not an array of 1 to %d", IOT_ATTEST_COMPONENTS_MAX);
		iot_cbor_fault(reader, "the software components are no array");
		return;
	}
	for (size_t i = 0; i < array.number && reader->fault == NULL; i++)
		read_component(r, reader, i + 1);
	if (reader->fault != NULL)
		problem(r, "%s", reader->fault);
}

static void take_int(struct reading *r, enum claim claim, const struct iot_cbor_item *value)
{
	int64_t number = 0;

	if (!iot_cbor_int(value, &number)) {
		problem(r, "the %s is not a number", rows[claim].name);
	} else if (claim == CLAIM_CLIENT) {
		r->claims->has_client = number >= INT32_MIN && number <= INT32_MAX && number != 0;
		r->claims->client = r->claims->has_client ? (int32_t)number : 0;
		if (!r->claims->has_client)
			problem(r, "the client id %" PRId64 " is out of range", number);
	} else if (claim == CLAIM_LIFECYCLE) {
		r->claims->has_lifecycle = number >= 0 && number <= UINT16_MAX;
		r->claims->lifecycle = r->claims->has_lifecycle ? (uint16_t)number : 0;
		if (!r->claims->has_lifecycle)
			problem(r, "the lifecycle %" PRId64 " is out of range", number);
	} else if (number != 1) {
		problem(r, "the claim of no software measurements is not 1");
	} else {
		r->claims->no_components = true;
	}
}

static void take_string(struct reading *r, enum claim claim, const struct iot_cbor_item *value)
{
	struct iot_span *span = (struct iot_span *)(void *)((char *)r->claims + rows[claim].offset);

	if (value->major != (rows[claim].kind == KIND_BYTES ? IOT_CBOR_BYTES : IOT_CBOR_TEXT)) {
		problem(r, "the %s is not a %s", rows[claim].name,
			rows[claim].kind == KIND_BYTES ? "byte string" : "text");
		return;
	}
	if (span->data != NULL)
		problem(r, "the %s is there under two numbers", rows[claim].name);
	*span = (struct iot_span){value->bytes, (size_t)value->number};
}

/* Which profile: by what it says it is, or, where it says nothing, by the numbers of its claims. */
static void find_profile(struct reading *r, const struct iot_span *payload)
{
	struct iot_cbor reader;
	struct iot_cbor_item map, key, value;
	bool old = false, new = false;
	int64_t number;

	iot_cbor_open(&reader, payload->data, payload->len);
	if (!iot_cbor_next(&reader, &map) || map.major != IOT_CBOR_MAP)
		return;
	for (uint64_t i = 0; i < map.number; i++) {
		if (!iot_cbor_next(&reader, &key) || !iot_cbor_skip(&reader, &value, IOT_CBOR_DEPTH_MAX))
			return;
		if (!iot_cbor_int(&key, &number))
			continue;
		old |= number <= -75000 && number >= -75010;
		new |= claim_of(IOT_ATTEST_PSA_2, number) != CLAIMS;
		if ((number == rows[CLAIM_PROFILE].psa_1 || number == rows[CLAIM_PROFILE].rfc) &&
		    value.major == IOT_CBOR_TEXT)
			r->claims->profile_name = (struct iot_span){value.bytes, (size_t)value.number};
		for (int p = IOT_ATTEST_PSA_1; p <= IOT_ATTEST_RFC_9783; p++)
			if (number == (p == IOT_ATTEST_PSA_1 ? rows[CLAIM_PROFILE].psa_1 : rows[CLAIM_PROFILE].rfc) &&
			    iot_cbor_is_text(&value, profile_names[p]))
				r->claims->profile = (enum iot_attest_profile)p;
	}
	if (old && r->claims->profile_name.data == NULL)
		r->claims->profile = IOT_ATTEST_PSA_1;
	if (r->claims->profile == IOT_ATTEST_UNKNOWN)
		problem(r, "the profile%s%.*s%s is not known", r->claims->profile_name.data != NULL ? " '" : "",
			(int)(r->claims->profile_name.len < 60 ? r->claims->profile_name.len : 60),
			r->claims->profile_name.data != NULL ? (const char *)r->claims->profile_name.data : "",
			r->claims->profile_name.data != NULL ? "'" : "");
	else if (old && new)
		problem(r, "the claims of two profiles are mixed");
}

static bool is_certification(const struct iot_span *span, enum iot_attest_profile profile)
{
	const char *text = span->data;

	/* The older profile's is the bare EAN-13, or has the version behind it. */
	if (profile == IOT_ATTEST_PSA_1 && span->len == 13)
		return strspn(text, "0123456789") >= 13;
	if (span->len != 19 || text[13] != '-')
		return false;
	for (size_t i = 0; i < 19; i++)
		if (i != 13 && (text[i] < '0' || text[i] > '9'))
			return false;
	return true;
}

/* The rules of sizes and presence. */
static void check_claims(struct reading *r)
{
	const struct iot_attest_claims *c = r->claims;
	size_t seed_min = c->profile == IOT_ATTEST_PSA_1 ? 32 : 8;

	if (c->nonce.data == NULL || !is_digest_size(c->nonce.len))
		problem(r, "there is no nonce of 32, 48 or 64 bytes");
	if (c->instance.data == NULL || c->instance.len != IOT_ATTEST_INSTANCE_SIZE ||
	    *(const uint8_t *)c->instance.data != 1)
		problem(r, "there is no instance id of 33 bytes that begins with 01");
	if (c->implementation.data == NULL || c->implementation.len != 32)
		problem(r, "there is no implementation id of 32 bytes");
	if (!c->has_client)
		problem(r, "there is no client id");
	if (!c->has_lifecycle)
		problem(r, "there is no lifecycle");
	if (c->boot_seed.data == NULL && c->profile == IOT_ATTEST_PSA_1)
		problem(r, "there is no boot seed");
	if (c->boot_seed.data != NULL && (c->boot_seed.len < seed_min || c->boot_seed.len > 32))
		problem(r, "the boot seed has %zu bytes", c->boot_seed.len);
	if (c->certification.data != NULL && !is_certification(&c->certification, c->profile))
		problem(r, "the certification reference is not 13 digits, '-' and 5 digits");
	if ((c->component_count > 0) == c->no_components)
		problem(r, c->no_components ? "there are software components, and the claim that there are none"
					    : "there are no software components");
}

void iot_attest_read_claims(const struct iot_span *payload, struct iot_attest_claims *claims,
			    char text[IOT_ATTEST_PROBLEM_MAX])
{
	struct reading r = {claims, text};
	struct iot_cbor reader;
	struct iot_cbor_item map, key, value;
	int64_t number;
	enum claim claim;

	memset(claims, 0, sizeof(*claims));
	text[0] = '\0';
	find_profile(&r, payload);
	if (claims->profile == IOT_ATTEST_UNKNOWN)
		return;
	claims->profile_name.data = NULL;
	iot_cbor_open(&reader, payload->data, payload->len);
	(void)iot_cbor_next(&reader, &map);
	for (uint64_t i = 0; i < map.number; i++) {
		struct iot_cbor before;

		(void)iot_cbor_next(&reader, &key);
		before = reader;
		if (!iot_cbor_skip(&reader, &value, IOT_CBOR_DEPTH_MAX))
			break;
		claim = iot_cbor_int(&key, &number) ? claim_of(claims->profile, number) : CLAIMS;
		if (claim == CLAIMS)
			continue;
		if (rows[claim].kind == KIND_INT)
			take_int(&r, claim, &value);
		else if (rows[claim].kind == KIND_COMPONENTS)
			read_components(&r, &before);
		else
			take_string(&r, claim, &value);
	}
	check_claims(&r);
}

enum iot_status iot_attest_decode(const void *data, size_t len, struct iot_cose *ret_cose,
				  struct iot_attest_claims *ret_claims, char text[IOT_ATTEST_PROBLEM_MAX],
				  struct iot_error *err)
{
	struct iot_cose cose;
	enum iot_status status = iot_cose_parse(data, len, &cose, err);

	if (status == IOT_OK)
		status = iot_cbor_valid(cose.payload.data, cose.payload.len, IOT_CBOR_DEPTH_MAX, "the token's payload",
					err);
	if (status == IOT_OK && *(const uint8_t *)cose.payload.data >> 5 != IOT_CBOR_MAP)
		status = iot_fail(err, IOT_USAGE, "the token's payload is not a map");
	if (status != IOT_OK)
		return status;
	iot_attest_read_claims(&cose.payload, ret_claims, text);
	*ret_cose = cose;
	return IOT_OK;
}

/* --- writing ------------------------------------------------------------------------ */

static int64_t number_of(enum iot_attest_profile profile, enum claim claim)
{
	if (profile == IOT_ATTEST_PSA_2 && claim == CLAIM_BOOT_SEED)
		return BOOT_SEED_PSA_2;
	return profile == IOT_ATTEST_PSA_1 ? rows[claim].psa_1 : rows[claim].rfc;
}

static void put_component(struct iot_buf *out, const struct iot_attest_component *component)
{
	const struct {
		int key;
		const struct iot_span *span;
		bool bytes;
	} members[] = {{1, &component->type, false},
		       {2, &component->measurement, true},
		       {4, &component->version, false},
		       {5, &component->signer, true},
		       {6, &component->description, false}};
	size_t count = 0;

	for (size_t i = 0; i < IOT_LENGTH(members); i++)
		count += members[i].span->data != NULL;
	iot_cbor_put(out, IOT_CBOR_MAP, count);
	for (size_t i = 0; i < IOT_LENGTH(members); i++) {
		if (members[i].span->data == NULL)
			continue;
		iot_cbor_put_int(out, members[i].key);
		iot_cbor_put(out, members[i].bytes ? IOT_CBOR_BYTES : IOT_CBOR_TEXT, members[i].span->len);
		iot_buf_add(out, members[i].span->data, members[i].span->len);
	}
}

static bool has_claim(const struct iot_attest_claims *claims, enum claim claim)
{
	switch (claim) {
	case CLAIM_CLIENT:
		return claims->has_client;
	case CLAIM_LIFECYCLE:
		return claims->has_lifecycle;
	case CLAIM_COMPONENTS:
		return claims->component_count > 0;
	case CLAIM_NO_COMPONENTS:
		return claims->no_components && claims->profile == IOT_ATTEST_PSA_1;
	case CLAIM_PROFILE:
		return true;
	default:
		return ((const struct iot_span *)(const void *)((const char *)claims + rows[claim].offset))->data !=
		       NULL;
	}
}

static void put_claim(struct iot_buf *out, const struct iot_attest_claims *claims, enum claim claim)
{
	const struct iot_span *span = (const void *)((const char *)claims + rows[claim].offset);

	iot_cbor_put_int(out, number_of(claims->profile, claim));
	switch (claim) {
	case CLAIM_CLIENT:
		iot_cbor_put_int(out, claims->client);
		return;
	case CLAIM_LIFECYCLE:
		iot_cbor_put_int(out, claims->lifecycle);
		return;
	case CLAIM_NO_COMPONENTS:
		iot_cbor_put_int(out, 1);
		return;
	case CLAIM_COMPONENTS:
		iot_cbor_put(out, IOT_CBOR_ARRAY, claims->component_count);
		for (size_t i = 0; i < claims->component_count; i++)
			put_component(out, &claims->components[i]);
		return;
	case CLAIM_PROFILE:
		if (span->data == NULL) {
			const char *name = profile_names[claims->profile];

			iot_cbor_put_text(out, name, strlen(name));
			return;
		}
		break;
	default:
		break;
	}
	iot_cbor_put(out, rows[claim].kind == KIND_BYTES ? IOT_CBOR_BYTES : IOT_CBOR_TEXT, span->len);
	iot_buf_add(out, span->data, span->len);
}

void iot_attest_put_claims(struct iot_buf *out, const struct iot_attest_claims *claims)
{
	/* The order in which Trusted Firmware-M writes them. */
	static const enum claim order[] = {CLAIM_NONCE,   CLAIM_BOOT_SEED,    CLAIM_INSTANCE,     CLAIM_IMPLEMENTATION,
					   CLAIM_CLIENT,  CLAIM_LIFECYCLE,    CLAIM_COMPONENTS,   CLAIM_NO_COMPONENTS,
					   CLAIM_PROFILE, CLAIM_VERIFICATION, CLAIM_CERTIFICATION};
	size_t count = 0;

	for (size_t i = 0; i < IOT_LENGTH(order); i++)
		count += has_claim(claims, order[i]);
	iot_cbor_put(out, IOT_CBOR_MAP, count);
	for (size_t i = 0; i < IOT_LENGTH(order); i++)
		if (has_claim(claims, order[i]))
			put_claim(out, claims, order[i]);
}

enum iot_status iot_attest_encode(const struct iot_attest_claims *claims, enum iot_cose_alg alg, const void *secret,
				  size_t secret_len, const struct iot_key *key, struct iot_buf *out,
				  struct iot_error *err)
{
	struct iot_buf payload = IOT_BUF_INIT(IOT_COSE_MAX);
	enum iot_status status;

	iot_attest_put_claims(&payload, claims);
	status = iot_buf_check(&payload, "the token", err);
	if (status == IOT_OK && key != NULL)
		status = iot_cose_sign1(key, payload.data, payload.len, out, err);
	else if (status == IOT_OK)
		status = iot_cose_mac0(alg, secret, secret_len, payload.data, payload.len, out, err);
	iot_buf_release(&payload);
	return status;
}
