/* Inside the cloud layer: the name rules that the operations table refers to. */
#ifndef IOTCTL_OPERATIONS_PRIVATE_H
#define IOTCTL_OPERATIONS_PRIVATE_H

#include "iotctl/cloud.h"

/* A set of characters that a member may consist of. */
struct iot_name_rule {
	const char *key;     /* iot_member.pattern */
	const char *allowed; /* the characters, besides letters and digits where those are allowed */
	bool letters, digits;
	const char *text; /* for messages: "letters, digits, ':', '_' and '-'" */
};

/* NULL if there is none of that key. */
const struct iot_name_rule *iot_name_rule_find(const char *key);
/* The first character of `text` that the rule does not allow, or NULL. */
const char *iot_name_rule_check(const struct iot_name_rule *rule, const char *text);

#endif
