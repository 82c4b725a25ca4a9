/*
 * The names of policy variables and condition keys, their values in a request, and
 * the guess what a misspelt name was meant to be.
 */
#include "internal.h"

#include "iotctl/base.h"

#include <string.h>
#include <strings.h>

static const struct {
	const char *name;
	enum policy_var_id id;
} simple_vars[] = {
	{"iot:ClientId", POLICY_VAR_CLIENT_ID},
	{"iot:CertificateId", POLICY_VAR_CERTIFICATE_ID},
	{"iot:Certificate.SerialNumber", POLICY_VAR_CERTIFICATE_SERIAL},
	{"aws:SourceIp", POLICY_VAR_SOURCE_IP},
	{"iot:DomainName", POLICY_VAR_DOMAIN},
	{"iot:Connection.Thing.ThingName", POLICY_VAR_THING_NAME},
	{"iot:Connection.Thing.ThingTypeName", POLICY_VAR_THING_TYPE},
	{"iot:Connection.Thing.IsAttached", POLICY_VAR_THING_ATTACHED},
	{"iot:ConnectAttributes", POLICY_KEY_CONNECT_ATTRIBUTES},
	{"iot:LastWillTopic", POLICY_KEY_LAST_WILL_TOPIC},
};

/* What a misspelt name is compared with. */
const char *const policy_known_vars[] = {"iot:ClientId",
					 "iot:CertificateId",
					 "iot:Certificate.SerialNumber",
					 "iot:Certificate.Subject.CommonName",
					 "iot:Certificate.Issuer.CommonName",
					 "aws:SourceIp",
					 "iot:DomainName",
					 "iot:Connection.Thing.ThingName",
					 "iot:Connection.Thing.ThingTypeName",
					 "iot:Connection.Thing.IsAttached",
					 "iot:ConnectAttributes",
					 "iot:LastWillTopic",
					 NULL};

#define ATTRIBUTES "iot:Connection.Thing.Attributes["
#define CERTIFICATE "iot:Certificate."

/* "X.509 certificate AWS IoT Core policy variables": issuer and subject fields. */
static const char *const field_names[] = {"DistinguishedNameQualifier",
					  "Country",
					  "Organization",
					  "OrganizationalUnit",
					  "State",
					  "CommonName",
					  "SerialNumber",
					  "Title",
					  "Surname",
					  "GivenName",
					  "Initials",
					  "Pseudonym",
					  "GenerationQualifier",
					  "AlternativeName.RFC822Name",
					  "AlternativeName.DNSName",
					  "AlternativeName.DirectoryName",
					  "AlternativeName.UniformResourceIdentifier",
					  "AlternativeName.IPAddress"};

static bool prefixed(const char *text, size_t len, const char *prefix)
{
	return len > strlen(prefix) && strncasecmp(text, prefix, strlen(prefix)) == 0;
}

/* "Subject.CommonName", "Subject.CommonName.1", "Issuer.Country.List". */
static bool parse_field(const char *text, size_t len, struct policy_var *ret)
{
	static const char *const sides[] = {"Subject.", "Issuer."};
	struct policy_var var = {POLICY_VAR_CERTIFICATE_FIELD, 0, false, NULL};

	if (len > 5 && strncasecmp(text + len - 5, ".List", 5) == 0) {
		var.list = true;
		len -= 5;
	} else if (len > 2 && text[len - 2] == '.' && text[len - 1] >= '1' &&
		   text[len - 1] < '0' + POLICY_FIELD_VALUES) {
		var.index = (unsigned)(text[len - 1] - '0'); /* ".1" is the second value */
		len -= 2;
	}
	for (size_t s = 0; s < IOT_LENGTH(sides); s++) {
		size_t side = strlen(sides[s]);

		if (!prefixed(text, len, sides[s]))
			continue;
		for (size_t f = 0; f < IOT_LENGTH(field_names); f++) {
			if (strlen(field_names[f]) != len - side ||
			    strncasecmp(text + side, field_names[f], len - side) != 0)
				continue;
			var.name = iot_strf("%s%s", sides[s], field_names[f]);
			*ret = var;
			return true;
		}
	}
	return false;
}

void policy_var_parse(const char *text, size_t len, struct policy_var *ret)
{
	*ret = (struct policy_var){0};
	for (size_t i = 0; i < IOT_LENGTH(simple_vars); i++) {
		if (strlen(simple_vars[i].name) == len && strncasecmp(text, simple_vars[i].name, len) == 0) {
			ret->id = simple_vars[i].id;
			return;
		}
	}
	if (prefixed(text, len, ATTRIBUTES) && text[len - 1] == ']' && len > strlen(ATTRIBUTES) + 1) {
		ret->id = POLICY_VAR_THING_ATTRIBUTE;
		ret->name = iot_strndup(text + strlen(ATTRIBUTES), len - strlen(ATTRIBUTES) - 1);
		return;
	}
	if (prefixed(text, len, CERTIFICATE) && parse_field(text + strlen(CERTIFICATE), len - strlen(CERTIFICATE), ret))
		return;
	ret->name = iot_strndup(text, len);
}

void policy_var_release(struct policy_var *var)
{
	free(var->name);
	*var = (struct policy_var){0};
}

void policy_var_print(const struct policy_var *var, struct iot_buf *out)
{
	if (var->id == POLICY_VAR_UNKNOWN) {
		iot_buf_adds(out, var->name);
	} else if (var->id == POLICY_VAR_THING_ATTRIBUTE) {
		iot_buf_addf(out, ATTRIBUTES "%s]", var->name);
	} else if (var->id == POLICY_VAR_CERTIFICATE_FIELD) {
		iot_buf_addf(out, CERTIFICATE "%s", var->name);
		if (var->list)
			iot_buf_adds(out, ".List");
		else if (var->index > 0)
			iot_buf_addf(out, ".%u", var->index);
	} else {
		for (size_t i = 0; i < IOT_LENGTH(simple_vars); i++)
			if (simple_vars[i].id == var->id)
				iot_buf_adds(out, simple_vars[i].name);
	}
}

const char *policy_field_value(const struct iot_policy_vars *vars, const char *name, unsigned index)
{
	unsigned seen = 0;

	if (index >= POLICY_FIELD_VALUES)
		return NULL;
	for (size_t i = 0; i < vars->field_count; i++)
		if (strcmp(vars->fields[i].name, name) == 0 && seen++ == index)
			return vars->fields[i].value;
	return NULL;
}

const char *policy_var_value(const struct policy_var *var, const struct iot_policy_vars *vars)
{
	const char *value = NULL;

	switch (var->id) {
	case POLICY_VAR_CLIENT_ID:
		value = vars->client_id;
		break;
	case POLICY_VAR_CERTIFICATE_ID:
		value = vars->certificate_id;
		break;
	case POLICY_VAR_CERTIFICATE_SERIAL:
		value = vars->serial;
		break;
	case POLICY_VAR_CERTIFICATE_FIELD:
		if (!var->list)
			value = policy_field_value(vars, var->name, var->index);
		/* Documented: such values are not replaced, lest a certificate's owner write policy. */
		if (value != NULL && strpbrk(value, "*$+?#") != NULL)
			value = NULL;
		break;
	case POLICY_VAR_SOURCE_IP:
		value = vars->source_ip;
		break;
	case POLICY_VAR_DOMAIN:
		value = vars->domain_name;
		break;
	case POLICY_VAR_THING_NAME:
		value = vars->thing_name;
		break;
	case POLICY_VAR_THING_TYPE:
		value = vars->thing_type;
		break;
	case POLICY_VAR_THING_ATTRIBUTE:
		value = json_string_value(json_object_get(vars->attributes, var->name));
		break;
	case POLICY_VAR_THING_ATTACHED:
		return vars->is_attached ? "true" : "false";
	case POLICY_VAR_UNKNOWN:
	case POLICY_KEY_CONNECT_ATTRIBUTES:
	case POLICY_KEY_LAST_WILL_TOPIC:
		break;
	}
	return value != NULL && value[0] != '\0' ? value : NULL; /* an empty value would open the level above */
}

/* Levenshtein distance without regard to case; names are short, longer ones are simply far. */
static size_t distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b), row[65];

	if (la > 64 || lb > 64)
		return SIZE_MAX;
	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t best = diagonal + (strncasecmp(a + i - 1, b + j - 1, 1) != 0);

			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			diagonal = row[j];
			row[j] = best;
		}
	}
	return row[lb];
}

const char *policy_nearest(const char *text, const char *const *names)
{
	const char *nearest = NULL;
	size_t best = strlen(text) < 5 ? 2 : 3; /* at most one, or two, letters off */

	for (size_t i = 0; names[i] != NULL; i++) {
		size_t d = distance(text, names[i]);

		if (d < best) {
			best = d;
			nearest = names[i];
		}
	}
	return nearest;
}
