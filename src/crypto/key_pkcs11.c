/*
 * Private keys in a PKCS#11 token, by way of the pkcs11 engine of libp11. The
 * engine interface is deprecated in OpenSSL 3 but is what Debian and Ubuntu
 * package for tokens; nothing outside this file knows of it.
 *
 * A PIN never stands in a URI: it comes from a file or a secret source and is
 * handed to the engine before it could ask for one on a terminal.
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "crypto/internal.h"
#include "iotctl/text.h"

#include <openssl/engine.h>
#include <openssl/err.h>
#include <openssl/ui.h>
#include <string.h>

#define URI_MAX 1024

/* A URI taken apart: what names the object, and the query attributes (RFC 7512 2.4) that are for us. */
struct token_uri {
	char *object; /* "pkcs11:..." without the query */
	char *module_path;
	char *pin_file;
};

struct iot_token {
	ENGINE *engine;
	UI_METHOD *no_prompt;
};

/*
 * The engine loads one PKCS#11 module per process, and keeps it (with the keys it found and the login) after our last
 * reference is gone: which one it was, "" for the engine's default, NULL for none yet.
 */
static char *loaded_module;
/* The engine asked for a PIN that it was not given. Engines know no context for that. */
static bool pin_wanted;

static void uri_release(struct token_uri *uri)
{
	free(uri->object);
	free(uri->module_path);
	free(uri->pin_file);
}

/* The percent-decoded value of "name=value"; NULL when malformed. New memory. */
static char *decode_value(const char *value, size_t len)
{
	struct iot_buf out = IOT_BUF_INIT(URI_MAX);

	if (!iot_percent_decode(value, len, &out) || out.len == 0) {
		iot_buf_release(&out);
		return NULL;
	}
	return iot_buf_detach(&out);
}

static enum iot_status take_attribute(struct token_uri *uri, const char *text, size_t len, struct iot_error *err)
{
	static const char module[] = "module-path=", source[] = "pin-source=", value[] = "pin-value=";
	enum iot_status status;

	if (len > strlen(module) && strncmp(text, module, strlen(module)) == 0 && uri->module_path == NULL) {
		uri->module_path = decode_value(text + strlen(module), len - strlen(module));
		if (uri->module_path != NULL)
			return IOT_OK;
	} else if (len > strlen(source) && strncmp(text, source, strlen(source)) == 0 && uri->pin_file == NULL) {
		IOT_CLEAN(iot_free_p) char *from = decode_value(text + strlen(source), len - strlen(source));

		if (from != NULL && iot_starts_with(from, "file:/"))
			uri->pin_file = iot_strdup(from + (iot_starts_with(from, "file:///") ? 7 : 5));
		else if (from != NULL && from[0] == '/')
			uri->pin_file = iot_take(from);
		if (uri->pin_file != NULL)
			return IOT_OK;
	} else if (len >= strlen(value) && strncmp(text, value, strlen(value)) == 0) {
		status = iot_fail(err, IOT_USAGE, "a PIN must not stand in a pkcs11: URI");
		iot_error_hint(err, "put it in a private file and use pin-source=file:/PATH");
		return status;
	}
	status = iot_fail(err, IOT_USAGE, "the query of the pkcs11: URI is malformed");
	iot_error_hint(err, "module-path=/PATH and pin-source=file:/PATH are understood, once each, joined by '&'");
	return status;
}

static enum iot_status uri_parse(const char *text, struct token_uri *uri, struct iot_error *err)
{
	const char *query = strchr(text, '?');
	enum iot_status status = IOT_OK;

	if (strlen(text) > URI_MAX)
		return iot_fail(err, IOT_USAGE, "the pkcs11: URI is longer than %d bytes", URI_MAX);
	/* libp11 also takes a PIN among the path attributes. */
	if (memmem(text, query != NULL ? (size_t)(query - text) : strlen(text), "pin-value=", 10) != NULL)
		return take_attribute(uri, "pin-value=", 10, err);
	uri->object = iot_strndup(text, query != NULL ? (size_t)(query - text) : strlen(text));
	while (query != NULL && query[1] != '\0' && status == IOT_OK) {
		const char *end = strchrnul(query + 1, '&');

		status = take_attribute(uri, query + 1, (size_t)(end - query - 1), err);
		query = *end != '\0' ? end : NULL;
	}
	return status;
}

static int refuse_prompt(UI *ui)
{
	(void)ui;
	pin_wanted = true;
	return 0;
}

static enum iot_status engine_missing(struct iot_error *err)
{
	enum iot_status status;

	ERR_clear_error();
	status = iot_fail(err, IOT_FAILURE, "OpenSSL's pkcs11 engine is not installed");
	iot_error_hint(err, "install the package libengine-pkcs11-openssl");
	return status;
}

/* Start the engine, or share the one that runs. */
static enum iot_status open_engine(const struct token_uri *uri, struct iot_token *token, struct iot_error *err)
{
	const char *module = uri->module_path;
	ENGINE *engine;

	if (module != NULL && loaded_module != NULL && strcmp(module, loaded_module) != 0)
		return iot_fail(err, IOT_CONFLICT, "another PKCS#11 module is in use: one per command");
	ENGINE_load_dynamic();
	engine = ENGINE_by_id("pkcs11");
	if (engine == NULL)
		return engine_missing(err);
	ENGINE_ctrl_cmd_string(engine, "QUIET", NULL, 1); /* the faults come as errors, not on stderr */
	if (module != NULL && ENGINE_ctrl_cmd_string(engine, "MODULE_PATH", module, 0) != 1) {
		ENGINE_free(engine);
		return iot_ossl_fail(err, IOT_FAILURE, "cannot use the PKCS#11 module '%s'", module);
	}
	if (ENGINE_init(engine) != 1) {
		ENGINE_free(engine);
		return iot_ossl_fail(err, IOT_FAILURE, "cannot start OpenSSL's pkcs11 engine");
	}
	ENGINE_free(engine); /* the functional reference is what we keep */
	token->engine = engine;
	if (loaded_module == NULL)
		loaded_module = iot_strdup(module != NULL ? module : "");
	return IOT_OK;
}

static enum iot_status give_pin(struct iot_token *token, const struct token_uri *uri,
				const struct iot_secret_source *pin, struct iot_error *err)
{
	struct iot_secret_source file = {NULL, NULL};
	struct iot_buf secret = IOT_BUF_SECRET(IOT_SECRET_MAX);
	enum iot_status status;

	if (uri->pin_file != NULL) {
		file = iot_secret_from_file(uri->pin_file);
		pin = &file;
	}
	if (pin == NULL)
		return IOT_OK;
	status = iot_secret_read(pin, "PIN of the token", &secret, err);
	if (status == IOT_OK && ENGINE_ctrl_cmd_string(token->engine, "PIN", secret.data, 0) != 1)
		status = iot_ossl_fail(err, IOT_FAILURE, "cannot hand the PIN to the pkcs11 engine");
	iot_buf_release(&secret);
	return status;
}

/* Why no key came: libp11's errors carry PKCS#11's own words. */
static enum iot_status load_failed(const char *object, bool had_pin, struct iot_error *err)
{
	bool pin_fault = false;
	enum iot_status status;
	unsigned long code;

	while ((code = ERR_get_error()) != 0) {
		const char *reason = ERR_reason_error_string(code);
		pin_fault = pin_fault || (reason != NULL && strstr(reason, "PIN") != NULL);
	}
	if (pin_wanted && !had_pin) {
		status = iot_fail(err, IOT_DENIED, "the token of '%s' wants a PIN", object);
		iot_error_hint(err, "put it in a private file and add ?pin-source=file:/PATH to the URI");
		return status;
	}
	if (pin_fault || pin_wanted)
		return iot_fail(err, IOT_DENIED, "the token refused the PIN for '%s'", object);
	status = iot_fail(err, IOT_NOT_FOUND, "no private key '%s' in a token", object);
	iot_error_hint(err, "look with 'p11tool --list-tokens' or 'pkcs11-tool -O'; module-path= in the URI names the "
			    "module");
	return status;
}

static enum iot_status load_key(struct iot_token *token, const struct token_uri *uri,
				const struct iot_secret_source *pin, EVP_PKEY **ret, struct iot_error *err)
{
	enum iot_status status = open_engine(uri, token, err);

	if (status == IOT_OK)
		status = give_pin(token, uri, pin, err);
	if (status != IOT_OK)
		return status;
	token->no_prompt = UI_create_method("no prompt");
	if (token->no_prompt == NULL || UI_method_set_opener(token->no_prompt, refuse_prompt) != 0)
		return iot_ossl_fail(err, IOT_FAILURE, "cannot load a key from a token");
	pin_wanted = false;
	*ret = ENGINE_load_private_key(token->engine, uri->object, token->no_prompt, NULL);
	if (*ret == NULL)
		return load_failed(uri->object, pin != NULL || uri->pin_file != NULL, err);
	ERR_clear_error();
	return IOT_OK;
}

enum iot_status iot_pkcs11_load(const char *text, const struct iot_secret_source *pin, struct iot_key **ret,
				struct iot_error *err)
{
	struct token_uri uri = {NULL, NULL, NULL};
	struct iot_token *token = iot_alloc(sizeof(*token));
	EVP_PKEY *pkey = NULL;
	enum iot_status status = uri_parse(text, &uri, err);

	if (status == IOT_OK)
		status = load_key(token, &uri, pin, &pkey, err);
	if (status == IOT_OK)
		status = iot_key_wrap(pkey, true, uri.object, ret, err);
	if (status == IOT_OK)
		(*ret)->token = token;
	else
		iot_token_free(token);
	uri_release(&uri);
	return status;
}

void iot_token_free(struct iot_token *token)
{
	if (token == NULL)
		return;
	if (token->engine != NULL)
		ENGINE_finish(token->engine);
	UI_destroy_method(token->no_prompt);
	free(token);
}
