/*
 * Who an ExpressLink module is. The protocol has no checksums, so nothing that
 * is heard once is believed: a value has to be the same twice, a certificate to
 * bear its own signature or to be the same twice, and a name to be in it.
 */
#include "board/dialect/expresslink_private.h"

#include "iotctl/base.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>

static enum iot_status read_text(struct el *el, const char *key, char *out, size_t size, struct iot_error *err)
{
	struct iot_buf value = IOT_BUF_INIT(4096);
	bool known = true;
	enum iot_status status = el_read(el, key, &value, &known, err);

	if (status == IOT_OK && value.len >= size)
		status = iot_fail(err, IOT_BOARD, "what the module gives for %s is longer than %zu bytes", key,
				  size - 1);
	if (status == IOT_OK) {
		snprintf(out, size, "%s", iot_buf_str(&value));
		iot_text_printable(out);
	}
	iot_buf_release(&value);
	return status;
}

/* Twice the same, or it is not believed: nothing else shows that a byte of it was lost or turned on its way. */
static enum iot_status read_steady(struct el *el, const char *key, char *out, size_t size, struct iot_error *err)
{
	char again[129] = "";
	enum iot_status status = read_text(el, key, out, size, err);

	for (int tries = 1; status == IOT_OK && tries <= EL_TRIES; tries++) {
		status = read_text(el, key, again, sizeof(again), err);
		if (status != IOT_OK || strcmp(out, again) == 0)
			return status;
		if (tries < EL_TRIES)
			snprintf(out, size, "%.*s", (int)size - 1, again);
	}
	if (status != IOT_OK)
		return status;
	iot_fail(err, IOT_BOARD, "the module gives no steady %s: '%s', then '%s'", key, out, again);
	iot_error_hint(err, EL_CHECK_WIRES);
	return IOT_BOARD;
}

static enum iot_status read_uid(struct el *el, char *out, size_t size, struct iot_error *err)
{
	enum iot_status status = read_steady(el, "ThingName", out, size, err);

	if (status != IOT_OK || iot_cert_check_name(out, NULL) == IOT_OK)
		return status;
	if (*out == '\0')
		iot_fail(err, IOT_BOARD, "the module has no thing name");
	else
		iot_fail(err, IOT_BOARD, "the module's thing name '%s' is none that a device can have", out);
	iot_error_hint(err, "ask the module's vendor");
	return IOT_BOARD;
}

/* "vendor - model". It was heard when the port was opened: once more is twice. */
static enum iot_status read_about(struct el *el, struct iot_board_identity *ret, struct iot_error *err)
{
	char about[129] = "";
	enum iot_status status = read_text(el, "About", about, sizeof(about), err);
	char *dash;

	if (status == IOT_OK && strcmp(about, el->about) != 0)
		status = read_steady(el, "About", about, sizeof(about), err);
	if (status != IOT_OK)
		return status;
	dash = strstr(about, " - ");
	if (dash != NULL)
		*dash = '\0';
	snprintf(ret->vendor, sizeof(ret->vendor), "%.64s", about);
	snprintf(ret->model, sizeof(ret->model), "%.64s", dash != NULL ? dash + 3 : "");
	return IOT_OK;
}

/* *ret_good false: the answer is malformed. */
static enum iot_status ask_status(struct el *el, struct iot_el_status *ret, bool *ret_good, struct iot_error *err)
{
	const struct iot_at_call call = {.texts = IOT_AT_TEXTS({"AT+CONNECT?", false}), .timeout_ms = el->answer_ms};
	struct iot_at_answer answer = IOT_AT_ANSWER_INIT;
	enum iot_status status = el_call(el, &call, "say whether it is connected", &answer, err);

	*ret_good = status == IOT_OK && iot_el_status_parse(iot_buf_str(&answer.text), answer.text.len, ret);
	iot_at_answer_release(&answer);
	return status;
}

static bool same_status(const struct iot_el_status *a, const struct iot_el_status *b)
{
	return a->connected == b->connected && a->known == b->known && a->customer == b->customer;
}

enum iot_status el_read_status(struct el *el, struct iot_el_status *ret, struct iot_error *err)
{
	struct iot_el_status before = {0};
	bool known = false;

	for (int tries = 0; tries <= EL_TRIES; tries++) {
		bool good;
		enum iot_status status = ask_status(el, ret, &good, err);

		if (status != IOT_OK || (good && known && same_status(ret, &before)))
			return status;
		before = *ret;
		known = good;
	}
	iot_fail(err, IOT_BOARD, "the module gives no steady answer to AT+CONNECT?");
	iot_error_hint(err, EL_CHECK_WIRES);
	return IOT_BOARD;
}

/* A certificate of which nothing was lost on the wire, so far as it can tell by itself. */
static bool is_whole(const struct iot_cert *cert)
{
	return iot_cert_is_self_issued(cert) && iot_cert_verify_signed_by(cert, iot_cert_key(cert), NULL) == IOT_OK;
}

/* The certificate that it was born with, whole: a hurt one would become the identity of a device that does not exist.
 */
static enum iot_status read_birth(struct el *el, const char *uid, struct iot_cert **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	enum iot_status status = el_read_cert(el, "Certificate", &cert, err);

	for (int tries = 0; status == IOT_OK && tries < EL_TRIES; tries++) {
		IOT_CLEAN(iot_cert_free_p) struct iot_cert *again = NULL;
		bool steady = cert != NULL && is_whole(cert);

		if (!steady) {
			status = el_read_cert(el, "Certificate", &again, err);
			steady = status == IOT_OK && cert != NULL && again != NULL &&
				 strcmp(iot_cert_id(cert), iot_cert_id(again)) == 0;
		}
		if (status == IOT_OK && cert == NULL && again == NULL) {
			iot_fail(err, IOT_BOARD, "the module '%s' holds no certificate", uid);
			iot_error_hint(err, "ask the module's vendor: it is born with one");
			return IOT_BOARD;
		}
		if (steady) {
			*ret = cert;
			cert = NULL;
			return IOT_OK;
		}
		iot_cert_free(cert);
		cert = again;
		again = NULL;
	}
	if (status != IOT_OK)
		return status;
	iot_fail(err, IOT_BOARD, "the module gives no steady Certificate");
	iot_error_hint(err, EL_CHECK_WIRES);
	return IOT_BOARD;
}

/*
 * Most birth certificates name their module, which settles what it is called.
 * Where one does not, its name is heard twice more: it is what the device will be
 * for ever.
 */
static enum iot_status check_uid(struct el *el, const char *uid, const struct iot_cert *cert, struct iot_error *err)
{
	const char *named = NULL;
	char again[129];
	enum iot_status status;

	if (iot_cert_uid(cert, &named, NULL) == IOT_OK && strcmp(named, uid) == 0)
		return IOT_OK;
	status = read_uid(el, again, sizeof(again), err);
	if (status != IOT_OK || strcmp(uid, again) == 0)
		return status;
	iot_fail(err, IOT_BOARD, "the module gives no steady ThingName: '%s', then '%s'", uid, again);
	iot_error_hint(err, EL_CHECK_WIRES);
	return IOT_BOARD;
}

enum iot_status el_identify(void *self, struct iot_board_identity *ret, struct iot_error *err)
{
	struct el *el = self;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	struct iot_el_status now = {0};
	enum iot_status status = read_about(el, ret, err);

	if (status == IOT_OK)
		status = read_steady(el, "Version", ret->version, sizeof(ret->version), err);
	if (status == IOT_OK)
		status = read_steady(el, "TechSpec", ret->protocol, sizeof(ret->protocol), err);
	if (status == IOT_OK)
		status = read_uid(el, ret->uid, sizeof(ret->uid), err);
	if (status == IOT_OK)
		status = read_steady(el, "CustomName", ret->custom_name, sizeof(ret->custom_name), err);
	if (status == IOT_OK)
		status = read_steady(el, "Endpoint", ret->endpoint, sizeof(ret->endpoint), err);
	if (status == IOT_OK)
		status = el_read_status(el, &now, err);
	if (status == IOT_OK)
		status = read_birth(el, ret->uid, &cert, err);
	if (status == IOT_OK)
		status = check_uid(el, ret->uid, cert, err);
	if (status != IOT_OK)
		return status;
	ret->connected = now.connected;
	ret->claimed_known = now.known;
	ret->claimed = now.customer;
	iot_buf_clear(&ret->certificate);
	iot_cert_pem(cert, &ret->certificate);
	return iot_buf_check(&ret->certificate, "the module's certificate", err);
}
