/*
 * Configurations: what devices are told to be like, in numbered versions that
 * are kept with author and time. A device hears of a new version at once when it
 * is connected, else when it returns, and again whenever it returns until it has
 * acknowledged it, in the way that the layout of its type says (layout.h): on its
 * topic for configurations, with the version as a member of the message, or as
 * what its named shadow "config" desires.
 *
 * A thing type may have a schema, a part of JSON Schema (see iot_config_schema_check), that
 * configurations for its devices are checked against before anything is sent.
 */
#ifndef IOTCTL_CONFIGURATION_H
#define IOTCTL_CONFIGURATION_H

#include "iotctl/cloud.h"
#include "iotctl/error.h"
#include "iotctl/json.h"

#include <stddef.h>
#include <stdint.h>

#define IOT_CONFIG_MAX ((size_t)128 * 1024) /* bytes of a document */

/* A record of a version: {thingName, version, document, author, createdAt, acknowledgedAt?}; times in seconds. */

struct iot_config_set {
	const char *const *devices; /* NULL-terminated names or aliases; NULL: none */
	const char *group;          /* and all of a group; NULL: none */
	int64_t if_version;         /* only if that is the version of each of them (0: it has none); -1: see below */
	/*
	 * The document, a JSON object; asked for once it is known which versions the devices have. New reference. May
	 * block, on a person for instance.
	 */
	enum iot_status (*document)(void *data, json_t **ret, struct iot_error *err);
	void *data;
};
/*
 * Give devices a configuration, all of them or none. *ret_records: array of {thingName, version, changed}; what a
 * device has already is not made again. IOT_CONFLICT: another version than expected, or than there was when the
 * document was asked for. IOT_USAGE: it is against the schema, or a limit of the layout's topic or of shadows.
 * IOT_NOT_FOUND: no such device or group, or the group is empty.
 */
IOT_CHECK enum iot_status iot_config_set(struct iot_cloud *cloud, const struct iot_config_set *spec,
					 json_t **ret_records, struct iot_error *err);

/* A version; 0: the newest one. */
IOT_CHECK enum iot_status iot_config_get(struct iot_cloud *cloud, const char *device, int64_t version,
					 json_t **ret_record, struct iot_error *err);
/* All versions, newest first. */
IOT_CHECK enum iot_status iot_config_history(struct iot_cloud *cloud, const char *device, json_t **ret_records,
					     struct iot_error *err);
/*
 * Give a device the document of an earlier version (0: the one before the newest) as a new version. *ret_record as of
 * iot_config_set.
 */
IOT_CHECK enum iot_status iot_config_rollback(struct iot_cloud *cloud, const char *device, int64_t to,
					      json_t **ret_record, struct iot_error *err);
/*
 * What differs between two versions: array of {path, change: "added"|"removed"|"changed", from?, to?}, path a JSON
 * pointer (RFC 6901). 0: `to` the newest, `from` the one before it.
 */
IOT_CHECK enum iot_status iot_config_diff(struct iot_cloud *cloud, const char *device, int64_t from, int64_t to,
					  json_t **ret_records, struct iot_error *err);

struct iot_config_filter {
	const char *const *devices; /* NULL-terminated; NULL: all */
	const char *group, *type;   /* NULL: any */
	bool pending;               /* only those whose newest version is not acknowledged */
};
/*
 * Which version devices should have and which they have acknowledged: {thingName, thingTypeName?, version, author,
 * createdAt, acknowledgedVersion?, acknowledgedAt?}; devices without a configuration are left out. `each` borrows.
 */
IOT_CHECK enum iot_status iot_config_list(struct iot_cloud *cloud, const struct iot_config_filter *filter,
					  enum iot_status (*each)(json_t *record, void *data, struct iot_error *err),
					  void *data, struct iot_error *err);

/* --- schemas --------------------------------------------------------------------------------- */

/*
 * A part of JSON Schema: type (one name), properties, required, additionalProperties (true or false), enum, minimum,
 * maximum, items (one schema), maxLength (in characters), and title, description and $schema, which say nothing.
 * IOT_USAGE: anything else, which would not be checked, or a value that is no such keyword's; names the path.
 */
IOT_CHECK enum iot_status iot_config_schema_check(const json_t *schema, struct iot_error *err);
/* Is a document as the (checked) schema says? IOT_USAGE names the path of the first member that is not. */
IOT_CHECK enum iot_status iot_config_validate(const json_t *schema, const json_t *document, struct iot_error *err);

/* Of a thing type, which must exist. Set: checked first; what devices have already is not looked at again. */
IOT_CHECK enum iot_status iot_config_schema_set(struct iot_cloud *cloud, const char *type, const json_t *schema,
						struct iot_error *err);
/* IOT_NOT_FOUND: it has none. New reference. */
IOT_CHECK enum iot_status iot_config_schema_get(struct iot_cloud *cloud, const char *type, json_t **ret,
						struct iot_error *err);

#endif
