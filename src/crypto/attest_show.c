/* Attestation claims and verdicts as records for people and programs, and the signs of test data in them. */
#include "attest_private.h"

#include "crypto/internal.h"
#include "iotctl/text.h"

#include <string.h>

static void set_hex(json_t *to, const char *key, const struct iot_span *span)
{
	IOT_CLEAN(iot_free_p) char *hex = NULL;

	if (span->data == NULL)
		return;
	hex = iot_alloc(2 * span->len + 1);
	json_object_set_new(to, key, json_string(iot_hex(span->data, span->len, hex)));
}

/* A NUL, which jansson would take, ends it: nothing is lost that anybody should see. */
static void set_text(json_t *to, const char *key, const struct iot_span *span)
{
	IOT_CLEAN(iot_free_p) char *text = NULL;

	if (span->data == NULL)
		return;
	text = iot_strndup(span->data, span->len);
	iot_text_printable(text);
	json_object_set_new(to, key, json_string(text));
}

json_t *iot_attest_claims_json(const struct iot_attest_claims *claims)
{
	json_t *record = json_object();
	char lifecycle[8];

	json_object_set_new(record, "profile", json_string(iot_attest_profile_name(claims->profile)));
	if (claims->profile == IOT_ATTEST_UNKNOWN)
		set_text(record, "profileName", &claims->profile_name);
	set_hex(record, "nonce", &claims->nonce);
	set_hex(record, "instanceId", &claims->instance);
	set_hex(record, "implementationId", &claims->implementation);
	if (claims->has_client)
		iot_json_set_int(record, "clientId", claims->client);
	if (claims->has_lifecycle) {
		const char *name = iot_attest_lifecycle_name(claims->lifecycle);

		snprintf(lifecycle, sizeof(lifecycle), "0x%04x", claims->lifecycle);
		iot_json_set_str(record, "lifecycle", name != NULL ? name : "invalid");
		iot_json_set_str(record, "lifecycleValue", lifecycle);
	}
	set_hex(record, "bootSeed", &claims->boot_seed);
	set_text(record, "certificationReference", &claims->certification);
	set_text(record, "verificationService", &claims->verification);
	json_object_set_new(record, "components", json_array());
	for (size_t i = 0; i < claims->component_count; i++) {
		const struct iot_attest_component *component = &claims->components[i];
		json_t *item = json_object();

		set_text(item, "type", &component->type);
		set_text(item, "version", &component->version);
		set_hex(item, "measurement", &component->measurement);
		set_hex(item, "signerId", &component->signer);
		set_text(item, "description", &component->description);
		json_array_append_new(json_object_get(record, "components"), item);
	}
	return record;
}

const char *iot_attest_check_name(enum iot_attest_check check)
{
	static const char *const names[] = {
		[IOT_ATTEST_FORM] = "form",
		[IOT_ATTEST_ALGORITHM] = "algorithm",
		[IOT_ATTEST_KEY] = "key",
		[IOT_ATTEST_SIGNATURE] = "signature",
		[IOT_ATTEST_NONCE] = "nonce",
		[IOT_ATTEST_INSTANCE] = "instance-id",
		[IOT_ATTEST_CLAIMS] = "claims",
		[IOT_ATTEST_LIFECYCLE] = "lifecycle",
		[IOT_ATTEST_IMPLEMENTATION] = "implementation-id",
		[IOT_ATTEST_COMPONENTS] = "components",
		[IOT_ATTEST_CLIENT] = "client-id",
		[IOT_ATTEST_BOOT_SEED] = "boot-seed",
	};

	return names[check];
}

json_t *iot_attest_verdict_json(const struct iot_attest_verdict *verdict)
{
	json_t *checks = json_array();

	for (int i = 0; i < IOT_ATTEST_CHECKS; i++) {
		enum iot_attest_result result = verdict->checks[i].result;
		json_t *row = json_pack("{s:s}", "check", iot_attest_check_name((enum iot_attest_check)i));

		if (result >= IOT_ATTEST_OK)
			iot_json_set_bool(row, "ok", result == IOT_ATTEST_OK);
		if (result == IOT_ATTEST_NOT_REACHED)
			iot_json_set_str(row, "detail", "not reached");
		else if (verdict->checks[i].detail[0] != '\0')
			iot_json_set_str(row, "detail", verdict->checks[i].detail);
		json_array_append_new(checks, row);
	}
	return checks;
}

static bool is_hex(const struct iot_span *span, const char *hex)
{
	char text[129];

	return span->data != NULL && 2 * span->len < sizeof(text) &&
	       strcmp(iot_hex(span->data, span->len, text), hex) == 0;
}

static bool is_text(const struct iot_span *span, const char *text)
{
	return span->data != NULL && span->len == strlen(text) && memcmp(span->data, text, span->len) == 0;
}

json_t *iot_attest_warnings(const struct iot_attest_claims *claims)
{
	json_t *warnings = json_array();
	const char *whose = iot_attest_published(claims->instance.data, claims->instance.len);

	if (whose != NULL)
		json_array_append_new(warnings, json_sprintf("the instance id is that of %s", whose));
	if (is_hex(&claims->implementation, "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd"))
		json_array_append_new(warnings,
				      json_string("the implementation id is the dummy of Trusted Firmware-M"));
	if (is_hex(&claims->boot_seed, "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf"))
		json_array_append_new(warnings, json_string("the boot seed is the dummy of Trusted Firmware-M"));
	if (is_text(&claims->certification, "0604565272829-10010") || is_text(&claims->certification, "0604565272829"))
		json_array_append_new(warnings,
				      json_string("the certification reference is the dummy of Trusted Firmware-M"));
	if (is_text(&claims->verification, "www.trustedfirmware.org"))
		json_array_append_new(warnings,
				      json_string("the verification service is the dummy of Trusted Firmware-M"));
	return warnings;
}
