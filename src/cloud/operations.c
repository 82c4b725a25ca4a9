/*
 * The operations table. Its rows are in operations/AREA.inc, written with the
 * macros below so that a row reads like the line of the service model it comes
 * from (AWS IoT API reference; service models of iot and iot-jobs-data).
 */
#include "operations_private.h"

#include "iotctl/base.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* One line per macro. */
/* clang-format off */
#define REQ true
#define OPT false
/* where, type, name, required, min, max, rule of its characters */
#define M(where, type, name, required, min, max, rule) \
	{name, NULL, IOT_IN_##where, IOT_T_##type, required, min, max, rule, NULL}
/* The same with a fixed list of values. */
#define MC(where, name, required, ...) \
	{name, NULL, IOT_IN_##where, IOT_T_STRING, required, 1, 0, NULL, (const char *const[]){__VA_ARGS__, NULL}}
/* The same with another name on the wire. */
#define MW(where, type, name, wire, required, min, max, rule) \
	{name, wire, IOT_IN_##where, IOT_T_##type, required, min, max, rule, NULL}

#define END {NULL, NULL, IOT_IN_BODY, IOT_T_STRING, false, 0, 0, NULL, NULL}
#define MEMBERS(...) ((const struct iot_member[]){__VA_ARGS__, END})
#define NO_MEMBERS ((const struct iot_member[]){END})
#define REPLY(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NO_REPLY ((const char *const[]){NULL})

/* What many operations take. */
#define PATH(name, max, rule) M(PATH, STRING, name, REQ, 1, max, rule)
#define PATH_THING PATH("thingName", 128, "name")
#define PATH_TYPE PATH("thingTypeName", 128, "name")
#define PATH_GROUP PATH("thingGroupName", 128, "name")
#define PATH_POLICY PATH("policyName", 128, "policy")
#define PATH_VERSION PATH("policyVersionId", 9, "digits")
#define PATH_CERTIFICATE M(PATH, STRING, "certificateId", REQ, 64, 64, "hex")
#define PATH_CA MW(PATH, STRING, "certificateId", "caCertificateId", REQ, 64, 64, "hex")
#define PATH_JOB PATH("jobId", 64, "id")
#define PATH_STREAM PATH("streamId", 128, "id")
#define PATH_OTA PATH("otaUpdateId", 128, "id")
#define HEADER_PRINCIPAL MW(HEADER, STRING, "principal", "x-amzn-principal", REQ, 1, 2048, NULL)
#define QUERY_FLAG(name) M(QUERY, BOOLEAN, name, OPT, 0, 0, NULL)
#define PAGING M(QUERY, STRING, "nextToken", OPT, 1, 2048, NULL), M(QUERY, INTEGER, "maxResults", OPT, 1, 250, NULL)
#define MARKER M(QUERY, STRING, "marker", OPT, 1, 1024, NULL), M(QUERY, INTEGER, "pageSize", OPT, 1, 250, NULL)
#define ASCENDING MW(QUERY, BOOLEAN, "ascendingOrder", "isAscendingOrder", OPT, 0, 0, NULL)
#define EXPECTED(where) M(where, INTEGER, "expectedVersion", OPT, 0, 0, NULL)
#define TAGS M(BODY, LIST, "tags", OPT, 0, 50, NULL)
#define NAMESPACE M(QUERY, STRING, "namespaceId", OPT, 1, 64, "id")

/* The kind of an operation is two values: does it only read, may it be repeated. */
#define OP(service, name, method, uri, summary, members, reply, kind) \
	{name, service, method, uri, summary, members, reply, kind}
#define READS true, true
#define REPEATABLE false, true
#define ONCE false, false

const struct iot_operation iot_operations[] = {
#include "operations/things.inc"
#include "operations/groups.inc"
#include "operations/certificates.inc"
#include "operations/policies.inc"
#include "operations/jobs.inc"
#include "operations/updates.inc"
#include "operations/shadows.inc"
#include "operations/configs.inc"
#include "operations/secrets.inc"
#include "operations/fleet.inc"
#include "operations/messages.inc"
#include "operations/objects.inc"
#include "operations/service.inc"
};
/* clang-format on */
const size_t iot_operation_count = IOT_LENGTH(iot_operations);

/* Compare a name with its spelling in the AWS CLI: "CreateOTAUpdate" is "create-ota-update". */
static bool same_kebab(const char *name, const char *text)
{
	for (size_t i = 0; name[i] != '\0'; i++) {
		bool upper = isupper((unsigned char)name[i]) != 0;
		bool word = upper && i > 0 &&
			    (!isupper((unsigned char)name[i - 1]) || islower((unsigned char)name[i + 1]) != 0);

		if (word && *text++ != '-')
			return false;
		if (*text++ != tolower((unsigned char)name[i]))
			return false;
	}
	return *text == '\0';
}

static const struct iot_operation *find(const char *service, size_t service_len, const char *name)
{
	for (size_t i = 0; i < iot_operation_count; i++) {
		const struct iot_operation *op = &iot_operations[i];

		if (service != NULL &&
		    (strncmp(op->service, service, service_len) != 0 || op->service[service_len] != '\0'))
			continue;
		if (strcmp(op->name, name) == 0 || same_kebab(op->name, name))
			return op;
	}
	return NULL;
}

const struct iot_operation *iot_operation_find(const char *name)
{
	const char *colon = strchr(name, ':');
	const struct iot_operation *op;

	if (colon != NULL)
		return find(name, (size_t)(colon - name), colon + 1);
	op = find("iot", 3, name);
	return op != NULL ? op : find(NULL, 0, name);
}
