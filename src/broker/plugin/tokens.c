/*
 * JWTs in place of passwords, as Google's IoT Core took them: the client id is
 * the path of a device, its last part the thing's name; the token is signed with
 * one of the device's keys in the registry and made for the fleet's project. A
 * token that is shown again counts until it expires, as it did there; then the
 * connection ends.
 */
#include "plugin.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/jwt.h"
#include "iotctl/text.h"

#include <string.h>

const char *token_device(const char *client_id, const char **ret_project, size_t *ret_project_len)
{
	static const char *const parts[] = {"projects/", "locations/", "registries/", "devices/"};
	const char *at = client_id, *value = NULL;

	for (size_t i = 0; i < IOT_LENGTH(parts); i++) {
		size_t len;

		if (!iot_starts_with(at, parts[i]))
			return NULL;
		value = at + strlen(parts[i]);
		len = strcspn(value, "/");
		if (len == 0 || (value[len] == '\0') != (i == IOT_LENGTH(parts) - 1))
			return NULL;
		if (i == 0 && ret_project != NULL) {
			*ret_project = value;
			*ret_project_len = len;
		}
		at = value + len + 1;
	}
	return value;
}

static enum iot_status verify(const struct plugin *plugin, const struct iot_device_key *found, size_t count,
			      const char *token, struct iot_jwt_verdict *verdict, struct iot_error *err)
{
	struct iot_jwt_key keys[IOT_DEVICE_KEYS_MAX];
	const struct iot_jwt_expect expect = {.keys = keys,
					      .key_count = count,
					      .audience = plugin->project,
					      .now = iot_now_ms() / 1000,
					      .skew = plugin->token_skew};

	for (size_t i = 0; i < count; i++)
		keys[i] = (struct iot_jwt_key){found[i].key, found[i].id, (found[i].expires_at + 999) / 1000};
	return iot_jwt_verify(token, strlen(token), &expect, verdict, err);
}

struct identity *token_check(struct plugin *plugin, const char *thing, const char *token, struct iot_error *err)
{
	struct iot_device_key keys[IOT_DEVICE_KEYS_MAX] = {0};
	struct iot_jwt_verdict verdict;
	struct iot_store *store = NULL;
	struct identity *identity = NULL;
	size_t count = 0;
	enum iot_status status = registry_store(plugin->registry, &store, err);

	if (status == IOT_OK)
		status = iot_device_keys_find(store, thing, "connect", keys, &count, err);
	if (status == IOT_OK && count == 0)
		status = iot_fail(err, IOT_DENIED, "device '%s' has no key that could sign tokens", thing);
	if (status == IOT_OK)
		status = verify(plugin, keys, count, token, &verdict, err);
	if (status == IOT_OK) {
		identity = identity_new_thing(IDENTITY_TOKEN, thing, keys[verdict.key].id);
		identity->until = (verdict.expires_at + plugin->token_skew) * 1000;
	}
	iot_device_keys_release(keys, count);
	return identity;
}

struct identity *token_identify(struct plugin *plugin, const char *client_id, const char *password,
				struct iot_error *err)
{
	const char *project = NULL, *thing = token_device(client_id, &project, &(size_t){0});
	size_t len = thing == NULL ? 0 : strcspn(project, "/");

	if (plugin->project == NULL || plugin->staging) {
		(void)iot_fail(err, IOT_DENIED, "nobody gets in with a token");
		return NULL;
	}
	if (thing == NULL) {
		(void)iot_fail(err, IOT_DENIED,
			       "the client id is not 'projects/.../locations/.../registries/.../devices/...'");
		return NULL;
	}
	if (len != strlen(plugin->project) || memcmp(project, plugin->project, len) != 0) {
		(void)iot_fail(err, IOT_DENIED, "the client id names another project than '%s'", plugin->project);
		return NULL;
	}
	if (strlen(thing) > IOT_PSK_THING_MAX) {
		(void)iot_fail(err, IOT_DENIED, "no device has so long a name");
		return NULL;
	}
	return token_check(plugin, thing, password, err);
}

/* --- what secrets and tokens are worth --------------------------------------------------- */

static enum iot_status check_secret(struct registry *registry, const struct identity *identity, struct iot_error *err)
{
	struct iot_store *store = NULL;
	bool active = false;
	enum iot_status status = registry_store(registry, &store, err);

	if (status == IOT_OK)
		status = iot_psk_is_active(store, identity->psk_id, &active, err);
	if (status == IOT_OK && !active)
		return iot_fail(err, IOT_DENIED, "the shared secret was revoked");
	return status;
}

static enum iot_status check_bound(struct registry *registry, const struct identity *identity, struct iot_error *err)
{
	bool bound = false;
	enum iot_status status = registry_is_bound(registry, identity->thing, identity->with, &bound, err);

	if (status == IOT_OK && !bound)
		return iot_fail(err, IOT_DENIED, "device '%s' is not bound to gateway '%s'", identity->thing,
				identity->with);
	return status;
}

enum iot_status identity_grant(struct registry *registry, const struct identity *identity, const char *client_id,
			       struct grant *ret, struct iot_error *err)
{
	int64_t until = INT64_MAX;
	enum iot_status status = IOT_OK;

	switch (identity->kind) {
	case IDENTITY_PSK:
		status = check_secret(registry, identity, err);
		break;
	case IDENTITY_TOKEN:
		status = registry_device_key(registry, identity->thing, identity->with, &until, err);
		if (identity->until < until)
			until = identity->until;
		if (status == IOT_OK && until <= iot_now_ms())
			status = iot_fail(err, IOT_DENIED, "the token or its key has expired");
		break;
	case IDENTITY_BOUND:
		status = check_bound(registry, identity, err);
		break;
	case IDENTITY_CERTIFICATE:
		return iot_fail(err, IOT_DENIED, "a certificate is no token");
	}
	if (status == IOT_OK)
		status = registry_read_thing(registry, identity->thing, client_id, ret, err);
	if (status == IOT_OK)
		ret->not_after = until;
	return status;
}
