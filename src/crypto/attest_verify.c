/*
 * The verdict on an attestation token. The order of the checks is part of it:
 * nothing of a token is believed before its tag or signature was found right, and
 * the key is the caller's, never one that the token points at.
 */
#include "attest_private.h"

#include "crypto/internal.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>

struct judge {
	const struct iot_attest_expect *expect;
	struct iot_attest_verdict *verdict;
	struct iot_cose cose;
	char problem[IOT_ATTEST_PROBLEM_MAX]; /* of the claims */
	uint8_t derived[IOT_ATTEST_INSTANCE_SIZE];
};

static bool set(struct judge *judge, enum iot_attest_check check, enum iot_attest_result result, const char *fmt, ...)
	IOT_PRINTF(4, 5);
/* Record a result; true if it is no failure. */
static bool set(struct judge *judge, enum iot_attest_check check, enum iot_attest_result result, const char *fmt, ...)
{
	va_list args;

	judge->verdict->checks[check].result = result;
	va_start(args, fmt);
	vsnprintf(judge->verdict->checks[check].detail, IOT_ATTEST_PROBLEM_MAX, fmt, args);
	va_end(args);
	iot_text_printable(judge->verdict->checks[check].detail);
	return result != IOT_ATTEST_FAILED;
}

#define PASS(check, ...) set(judge, IOT_ATTEST_##check, IOT_ATTEST_OK, __VA_ARGS__)
#define FAIL(check, ...) set(judge, IOT_ATTEST_##check, IOT_ATTEST_FAILED, __VA_ARGS__)
#define PASS_OVER(check, ...) set(judge, IOT_ATTEST_##check, IOT_ATTEST_NOT_ASKED, __VA_ARGS__)

static bool check_form(struct judge *judge, const void *data, size_t len)
{
	struct iot_error why = IOT_ERROR_INIT;

	if (iot_attest_decode(data, len, &judge->cose, &judge->verdict->claims, judge->problem, &why) != IOT_OK)
		return FAIL(FORM, "%s", why.what);
	return PASS(FORM, "%zu bytes, %s", len, judge->cose.mac ? "COSE_Mac0" : "COSE_Sign1");
}

static bool check_algorithm(struct judge *judge)
{
	struct iot_error why = IOT_ERROR_INIT;
	int64_t wanted = judge->expect->alg;

	if (iot_cose_check_alg(&judge->cose, &why) != IOT_OK)
		return FAIL(ALGORITHM, "%s", why.what);
	if (wanted == IOT_COSE_NONE)
		wanted = judge->expect->key != NULL ? iot_cose_alg_of_key(judge->expect->key) : IOT_COSE_HMAC256;
	if (judge->cose.alg != wanted)
		return FAIL(ALGORITHM, "the token uses %s, the key is for %s", iot_cose_alg_name(judge->cose.alg),
			    iot_cose_alg_name(wanted));
	return PASS(ALGORITHM, "%s", iot_cose_alg_name(wanted));
}

static bool check_key(struct judge *judge)
{
	const struct iot_attest_expect *expect = judge->expect;
	struct iot_error why = IOT_ERROR_INIT;
	const char *whose;

	if (expect->key == NULL &&
	    (expect->secret_len < IOT_COSE_MAC_KEY_MIN || expect->secret_len > IOT_COSE_MAC_KEY_MAX))
		return FAIL(KEY, "the key has %zu bytes: it must have %d to %d", expect->secret_len,
			    IOT_COSE_MAC_KEY_MIN, IOT_COSE_MAC_KEY_MAX);
	if (expect->key == NULL)
		iot_attest_instance_of_secret(expect->secret, expect->secret_len, judge->derived);
	else if (iot_attest_instance_of_key(expect->key, judge->derived, &why) != IOT_OK)
		return FAIL(KEY, "%s", why.what);
	whose = iot_attest_published(judge->derived, sizeof(judge->derived));
	if (whose != NULL && !expect->allow_published)
		return FAIL(KEY, "it is %s, which anybody can read", whose);
	return PASS(KEY, "%s", whose != NULL ? whose : (expect->key != NULL ? "a public key" : "a secret key"));
}

static bool check_signature(struct judge *judge)
{
	const struct iot_attest_expect *expect = judge->expect;
	struct iot_error why = IOT_ERROR_INIT;
	enum iot_status status;

	if (expect->key != NULL)
		status = iot_cose_verify_sign(&judge->cose, expect->key, &why);
	else
		status = iot_cose_verify_mac(&judge->cose, expect->secret, expect->secret_len, &why);
	return status == IOT_OK ? PASS(SIGNATURE, "it is the key's, over the bytes as they came")
				: FAIL(SIGNATURE, "%s", why.what);
}

static void check_nonce(struct judge *judge)
{
	const struct iot_span *wanted = &judge->expect->nonce, *got = &judge->verdict->claims.nonce;

	if (wanted->data == NULL)
		PASS_OVER(NONCE, "none was given: the token may be an old one");
	else if (got->data == NULL)
		FAIL(NONCE, "the token has none");
	else if (got->len != wanted->len || !iot_equal_secret(got->data, wanted->data, wanted->len))
		FAIL(NONCE, "it is not the one that was asked for: an old token, or one for somebody else");
	else
		PASS(NONCE, "the one that was asked for");
}

static void check_instance(struct judge *judge)
{
	const struct iot_span *registered = &judge->expect->instance, *got = &judge->verdict->claims.instance;
	const struct iot_span derived = {judge->derived, sizeof(judge->derived)};
	const char *whose = iot_attest_published(got->data, got->len);

	if (got->data == NULL)
		FAIL(INSTANCE, "the token has none");
	else if (whose != NULL && !judge->expect->allow_published)
		FAIL(INSTANCE, "it is that of %s", whose);
	else if (registered->data != NULL && !iot_span_equal(got, registered))
		FAIL(INSTANCE, "it is not the one that is registered: a token of another device");
	else if (judge->expect->key == NULL && !iot_span_equal(got, &derived))
		FAIL(INSTANCE, "it does not belong to the key");
	else if (registered->data == NULL && !iot_span_equal(got, &derived))
		PASS_OVER(INSTANCE, "none was given, and it does not follow from the key");
	else
		PASS(INSTANCE, "%s", registered->data != NULL ? "the one that is registered" : "it belongs to the key");
}

static void check_claims(struct judge *judge)
{
	const struct iot_attest_policy *policy = judge->expect->policy;
	enum iot_attest_profile profile = judge->verdict->claims.profile;

	if (judge->problem[0] != '\0')
		FAIL(CLAIMS, "%s", judge->problem);
	else if (policy != NULL && policy->profiles != 0 && (policy->profiles >> profile & 1) == 0)
		FAIL(CLAIMS, "the policy does not allow the profile %s", iot_attest_profile_name(profile));
	else
		PASS(CLAIMS, "%s", iot_attest_profile_name(profile));
}

static void check_lifecycle(struct judge *judge)
{
	const struct iot_attest_claims *claims = &judge->verdict->claims;
	const struct iot_attest_policy *policy = judge->expect->policy;
	unsigned state = claims->lifecycle >> 8;
	const char *name = iot_attest_lifecycle_name(claims->lifecycle);

	if (!claims->has_lifecycle)
		FAIL(LIFECYCLE, "the token has none");
	else if ((state == 0x30 && (policy == NULL || !policy->refuse_secured)) ||
		 (state == 0x40 && policy != NULL && policy->allow_debug))
		PASS(LIFECYCLE, "0x%04x, %s", claims->lifecycle, name);
	else
		FAIL(LIFECYCLE, "0x%04x, %s, is not allowed", claims->lifecycle, name != NULL ? name : "invalid");
}

static void check_implementation(struct judge *judge)
{
	const struct iot_span *got = &judge->verdict->claims.implementation;
	const struct iot_attest_policy *policy = judge->expect->policy;

	if (got->data == NULL)
		FAIL(IMPLEMENTATION, "the token has none");
	else if (policy == NULL || policy->implementations.count == 0)
		PASS_OVER(IMPLEMENTATION, "the policy names none");
	else if (!iot_attest_in(&policy->implementations, got))
		FAIL(IMPLEMENTATION, "it is none that the policy names");
	else
		PASS(IMPLEMENTATION, "one that the policy names");
}

static void check_components(struct judge *judge)
{
	const struct iot_attest_policy *policy = judge->expect->policy;
	char detail[IOT_ATTEST_PROBLEM_MAX];

	if (policy == NULL || policy->rule_count == 0)
		PASS_OVER(COMPONENTS, "the policy has no rules for them");
	else if (!iot_attest_components_ok(policy, &judge->verdict->claims, detail))
		FAIL(COMPONENTS, "%s", detail);
	else
		PASS(COMPONENTS, "%s", detail);
}

static bool is_listed(const struct iot_attest_policy *policy, int32_t client)
{
	for (size_t i = 0; i < policy->client_count; i++)
		if (policy->clients[i] == client)
			return true;
	return false;
}

static void check_client(struct judge *judge)
{
	const struct iot_attest_claims *claims = &judge->verdict->claims;
	const struct iot_attest_policy *policy = judge->expect->policy;
	enum iot_attest_client wanted = policy != NULL ? policy->client : IOT_CLIENT_NON_SECURE;

	if (!claims->has_client)
		FAIL(CLIENT, "the token has none");
	else if (wanted == IOT_CLIENT_NON_SECURE && claims->client > 0)
		FAIL(CLIENT, "%d is of the secure side: a token that was made for a caller there", claims->client);
	else if (wanted == IOT_CLIENT_SECURE && claims->client < 0)
		FAIL(CLIENT, "%d is of the non-secure side", claims->client);
	else if (wanted == IOT_CLIENT_LISTED && !is_listed(policy, claims->client))
		FAIL(CLIENT, "%d is none that the policy names", claims->client);
	else
		PASS(CLIENT, "%d", claims->client);
}

static void check_boot_seed(struct judge *judge)
{
	const struct iot_span *before = &judge->expect->boot_seed, *got = &judge->verdict->claims.boot_seed;

	if (before->data == NULL || got->data == NULL) {
		PASS_OVER(BOOT_SEED, got->data == NULL ? "the token has none" : "there is none to compare with");
		return;
	}
	judge->verdict->seed_changed = !iot_span_equal(before, got);
	PASS(BOOT_SEED, judge->verdict->seed_changed ? "another one: it has started again" : "the same start");
}

static enum iot_status conclude(struct iot_attest_verdict *verdict, struct iot_error *err)
{
	verdict->accepted = false;
	for (int i = 0; i < IOT_ATTEST_CHECKS; i++) {
		if (verdict->checks[i].result == IOT_ATTEST_FAILED)
			return iot_fail(err, IOT_VERIFY, "the token is not accepted: %s: %s",
					iot_attest_check_name((enum iot_attest_check)i), verdict->checks[i].detail);
		if (verdict->checks[i].result == IOT_ATTEST_NOT_REACHED)
			return iot_fail(err, IOT_VERIFY, "the token is not accepted");
	}
	verdict->accepted = true;
	return IOT_OK;
}

enum iot_status iot_attest_verify(const void *data, size_t len, const struct iot_attest_expect *expect,
				  struct iot_attest_verdict *verdict, struct iot_error *err)
{
	struct judge judge = {.expect = expect, .verdict = verdict};

	if ((expect->secret == NULL) == (expect->key == NULL))
		return iot_fail(err, IOT_USAGE, "a token is checked with one key: a secret or a public one");
	memset(verdict, 0, sizeof(*verdict));
	if (!check_form(&judge, data, len) || !check_algorithm(&judge) || !check_key(&judge) ||
	    !check_signature(&judge))
		return conclude(verdict, err);
	check_nonce(&judge);
	check_instance(&judge);
	check_claims(&judge);
	check_lifecycle(&judge);
	check_implementation(&judge);
	check_components(&judge);
	check_client(&judge);
	check_boot_seed(&judge);
	return conclude(verdict, err);
}
