/*
 * CONF and CONF?. Certificates come as one escaped line or pasted after
 * KEY=pem, with their base64 in lines of any length; they are kept in the usual
 * form. A new signer's certificate must be signed by the one it replaces.
 */
#include "sim/expresslink/module.h"

#include "iotctl/base.h"
#include "iotctl/cert.h"
#include "iotctl/clock.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum { PEM_PATIENCE_MS = 30000, PEM_COLUMNS = 64 };

static bool is_pem_key(const struct dict_ref *ref)
{
	return (ref->key->flags & IOT_EL_PEM) != 0;
}

/* Bring a PEM whose body has lines of any length, or just one, into lines of 64. False if it has no such form. */
static bool wrap_pem(const char *text, size_t len, struct iot_buf *out)
{
	static const char begin[] = "-----BEGIN CERTIFICATE-----", end[] = "-----END CERTIFICATE-----";
	const char *from = memmem(text, len, begin, strlen(begin)), *to;
	size_t column = 0;

	if (from == NULL)
		return false;
	from += strlen(begin);
	to = memmem(from, len - (size_t)(from - text), end, strlen(end));
	if (to == NULL)
		return false;
	iot_buf_addf(out, "%s\n", begin);
	for (; from < to; from++) {
		if (isspace((unsigned char)*from))
			continue;
		iot_buf_addc(out, *from);
		if (++column % PEM_COLUMNS == 0)
			iot_buf_addc(out, '\n');
	}
	if (column % PEM_COLUMNS != 0)
		iot_buf_addc(out, '\n');
	iot_buf_addf(out, "%s\n", end);
	return true;
}

enum at_error conf_certificate(const struct module *module, const char *key, const char *text, size_t len,
			       struct iot_buf *ret)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf wrapped = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *before = NULL;
	const char *old = dict_value(module->dict, key);

	if (!wrap_pem(text, len, &wrapped) || wrapped.over ||
	    iot_cert_parse_pem(wrapped.data, wrapped.len, key, &cert, NULL) != IOT_OK)
		return AT_CERTIFICATE;
	iot_cert_pem(cert, ret);
	if (strcmp(key, "RootCA") == 0 || old[0] == '\0' ||
	    iot_cert_parse_pem(old, strlen(old), key, &before, NULL) != IOT_OK)
		return AT_OK;
	return iot_cert_verify_signed_by(cert, iot_cert_key(before), NULL) == IOT_OK ? AT_OK : AT_SIGNATURE;
}

static void store(struct module *module, const struct dict_ref *ref, const char *value)
{
	if (dict_set(module->dict, ref, value))
		state_save(module);
}

/* 0, 4, 23 or 26; stores on 0. */
static enum at_error write_certificate(struct module *module, const struct dict_ref *ref, const char *text, size_t len)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	enum at_error error;

	if (faults_literal_pem(&module->faults) && len == 3) {
		store(module, ref, text);
		return AT_OK;
	}
	if (len == 0 && strcmp(ref->key->name, "RootCA") != 0 && dict_get(module->dict, ref)[0] != '\0')
		return AT_SIGNATURE; /* nobody signed that there shall be none */
	if (len > 0) {
		error = conf_certificate(module, ref->key->name, text, len, &pem);
		if (error == AT_OK)
			error = dict_check(module->dict, ref, iot_buf_str(&pem), pem.len);
		if (error != AT_OK)
			return error;
	}
	store(module, ref, iot_buf_str(&pem));
	return AT_OK;
}

static void answer(struct module *module, enum at_error error)
{
	if (error == AT_OK)
		module_ok(module, "%s", "");
	else
		module_error(module, error);
}

static void begin_pem(struct module *module, const struct dict_ref *ref)
{
	if (module->options.pem_prompt) {
		iot_buf_adds(&module->out, module->spec == AT_V0_5 ? "OK\n" : "OK\r\n");
	}
	module->pem_key = *ref;
	at_pem_init(&module->pem);
	module->pending = PENDING_PEM;
	module->pending_until = iot_monotonic_ms() + PEM_PATIENCE_MS;
}

void conf_pem_done(struct module *module, enum at_pem outcome)
{
	enum at_error error = AT_CERTIFICATE;

	if (outcome == AT_PEM_DONE)
		error = write_certificate(module, &module->pem_key, iot_buf_str(&module->pem.text),
					  module->pem.text.len);
	at_pem_release(&module->pem);
	module->pending = PENDING_NONE;
	if (error == AT_OK && module->options.pem_prompt)
		module_ok(module, "COMPLETE");
	else
		answer(module, error);
}

void conf_write(struct module *module, const struct at_command *command)
{
	const char *equals = memchr(command->param, '=', command->param_len);
	const char *value = equals != NULL ? equals + 1 : "";
	size_t name_len = equals != NULL ? (size_t)(equals - command->param) : command->param_len;
	size_t len = equals != NULL ? command->param_len - name_len - 1 : 0;
	struct dict_ref ref;
	enum at_error error;

	if (equals == NULL) {
		module_error(module, AT_PARAMETER);
		return;
	}
	error = dict_find(module->dict, command->param, name_len, &ref);
	if (error == AT_OK && (ref.key->flags & IOT_EL_WRITE) == 0)
		error = AT_READ_ONLY;
	if (error == AT_OK && is_pem_key(&ref)) {
		if (len == 3 && strcasecmp(value, "pem") == 0 && !faults_literal_pem(&module->faults)) {
			begin_pem(module, &ref);
			return;
		}
		answer(module, write_certificate(module, &ref, value, len));
		return;
	}
	if (error == AT_OK)
		error = dict_check(module->dict, &ref, value, len);
	if (error == AT_OK)
		store(module, &ref, value);
	answer(module, error);
}

static void answer_pem(struct module *module, const char *value)
{
	struct iot_buf text = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	size_t lines = 0;

	iot_buf_adds(&text, value);
	for (const char *at = value; *at != '\0'; at++)
		lines += *at == '\n';
	if (lines > 0)
		module_ok_lines(module, lines, "pem", &text);
	else
		module_ok(module, "%s", "");
	iot_buf_release(&text);
}

void conf_read(struct module *module, const struct at_command *command)
{
	const char *space = memchr(command->param, ' ', command->param_len);
	size_t name_len = space != NULL ? (size_t)(space - command->param) : command->param_len;
	struct dict_ref ref;
	enum at_error error = dict_find(module->dict, command->param, name_len, &ref);
	const char *value;

	if (error == AT_OK && (ref.key->flags & IOT_EL_READ) == 0)
		error = AT_WRITE_ONLY;
	if (error == AT_OK && space != NULL && (!is_pem_key(&ref) || strcasecmp(space + 1, "pem") != 0))
		error = AT_PARAMETER;
	if (error != AT_OK) {
		module_error(module, error);
		return;
	}
	value = dict_get(module->dict, &ref);
	if (space != NULL)
		answer_pem(module, value);
	else
		module_ok_data(module, "", value, strlen(value));
}
