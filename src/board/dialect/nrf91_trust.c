/*
 * Another root CA. One TLS connection takes root CA, certificate and key from one
 * security tag, which the application has compiled in, and trusts all that the
 * root CA credential holds. So only a connection with the new root CA alone in
 * that place shows that it is right: the old one moves to a tag of its own, which
 * nobody looks into, until the matter is settled.
 */
#include "board/dialect/nrf91_private.h"

#include <string.h>

enum { ROOTS_MAX = 64 * 1024 };

static bool is_among(struct iot_cert *const *certs, size_t count, const struct iot_cert *cert)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(iot_cert_id(certs[i]), iot_cert_id(cert)) == 0)
			return true;
	return false;
}

/* Those of `certs` that are not among `without` are appended. */
static void add_certs(struct iot_buf *out, struct iot_cert *const *certs, size_t count, struct iot_cert *const *without,
		      size_t without_count)
{
	for (size_t i = 0; i < count; i++)
		if (!is_among(without, without_count, certs[i]))
			iot_cert_pem(certs[i], out);
}

/* The root CAs that a change is about. */
struct roots {
	struct iot_cert **held, **new, **old;
	size_t held_count, new_count, old_count;
};

static void release_roots(struct roots *roots)
{
	iot_cert_list_free(roots->held, roots->held_count);
	iot_cert_list_free(roots->new, roots->new_count);
	iot_cert_list_free(roots->old, roots->old_count);
}

static enum iot_status read_roots(struct nrf91 *modem, const struct iot_board_trust *trust, struct roots *roots,
				  struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	if (trust->endpoint != NULL && trust->old_endpoint != NULL &&
	    strcmp(trust->endpoint, trust->old_endpoint) != 0) {
		iot_fail(err, IOT_USAGE, "an nRF91 has its endpoint in its application, and cannot be given another");
		iot_error_hint(err, "update the application; its root CA can be changed without another endpoint");
		return IOT_USAGE;
	}
	if (trust->root_ca != NULL)
		status = iot_cert_parse_pem_all(trust->root_ca, strlen(trust->root_ca), "new root CA", &roots->new,
						&roots->new_count, err);
	if (status == IOT_OK && trust->old_root_ca != NULL)
		status = iot_cert_parse_pem_all(trust->old_root_ca, strlen(trust->old_root_ca), "old root CA",
						&roots->old, &roots->old_count, err);
	if (status == IOT_OK && trust->root_ca != NULL)
		status = nrf91_read_certs(modem, NRF91_ROOT_CA, &roots->held, &roots->held_count, err);
	return status;
}

/* The same credential under the spare tag. */
static enum iot_status read_spare(struct nrf91 *modem, struct iot_buf *pem, struct iot_error *err)
{
	struct iot_cert **certs = NULL;
	size_t count = 0;
	int64_t tag = modem->tag;
	enum iot_status status;

	modem->tag = NRF91_TAG_SPARE;
	status = nrf91_read_certs(modem, NRF91_ROOT_CA, &certs, &count, err);
	modem->tag = tag;
	add_certs(pem, certs, count, NULL, 0);
	iot_cert_list_free(certs, count);
	return status;
}

static enum iot_status write_spare(struct nrf91 *modem, const struct iot_buf *pem, struct iot_error *err)
{
	enum iot_board_outcome ignored;
	int64_t tag = modem->tag;
	enum iot_status status;

	modem->tag = NRF91_TAG_SPARE;
	status = nrf91_ensure(modem, NRF91_ROOT_CA, iot_buf_str(pem), false, &ignored, err);
	modem->tag = tag;
	return status;
}

static enum iot_status clear_spare(struct nrf91 *modem, struct iot_error *err)
{
	char hash[IOT_SHA256_HEX_SIZE];
	bool any = false;
	int64_t tag = modem->tag;
	enum iot_status status;

	modem->tag = NRF91_TAG_SPARE;
	status = nrf91_held(modem, NRF91_ROOT_CA, &any, hash, err);
	if (status == IOT_OK && any)
		status = nrf91_offline(modem, err);
	if (status == IOT_OK && any)
		status = nrf91_delete(modem, NRF91_ROOT_CA, err);
	modem->tag = tag;
	return status;
}

/* Writing has taken it off the network; it comes back as it was, also after a fault, whose word is the last. */
static enum iot_status go_back_online(struct nrf91 *modem, bool was_online, enum iot_status status,
				      struct iot_error *err)
{
	struct iot_error ignored = IOT_ERROR_INIT, *said = status == IOT_OK ? err : &ignored;
	bool online = true;
	enum iot_status back;

	if (!was_online || (status != IOT_OK && status != IOT_BOARD))
		return status;
	back = nrf91_is_online(modem, &online, said);
	if (back == IOT_OK && !online)
		back = nrf91_online(modem, said);
	return status == IOT_OK ? back : status;
}

static bool has_no_place(enum iot_status status, const struct iot_error *fault)
{
	return status == IOT_BOARD && (strcmp(fault->code, "CME515") == 0 || strcmp(fault->code, "CME527") == 0);
}

/* What it held until now, into the spare tag, unless it is there from a run that was cut. */
static enum iot_status put_aside(struct nrf91 *modem, const struct roots *roots, struct iot_buf *before,
				 struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf spare = IOT_BUF_INIT(ROOTS_MAX);
	struct iot_error fault = IOT_ERROR_INIT;
	enum iot_status status = read_spare(modem, &spare, err);

	add_certs(before, roots->held, roots->held_count, roots->new, roots->new_count);
	if (status != IOT_OK || spare.len > 0 || before->len == 0)
		return status;
	status = write_spare(modem, before, &fault);
	/* No room for it: whoever asks for this has it, or nothing is changed. */
	if (has_no_place(status, &fault) && roots->old_count > 0)
		return IOT_OK;
	if (status != IOT_OK && err != NULL)
		*err = fault;
	return status;
}

static enum iot_status replace(struct nrf91 *modem, const struct roots *roots, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf next = IOT_BUF_INIT(ROOTS_MAX);
	IOT_CLEAN(iot_buf_release) struct iot_buf before = IOT_BUF_INIT(ROOTS_MAX);
	struct iot_error fault = IOT_ERROR_INIT;
	enum iot_board_outcome ignored;
	enum iot_status status = put_aside(modem, roots, &before, err);

	if (status != IOT_OK)
		return status;
	add_certs(&next, roots->new, roots->new_count, NULL, 0);
	status = nrf91_ensure(modem, NRF91_ROOT_CA, iot_buf_str(&next), false, &ignored, &fault);
	if (has_no_place(status, &fault) && before.len > 0) {
		status = nrf91_ensure(modem, NRF91_ROOT_CA, iot_buf_str(&before), false, &ignored, err);
		if (status == IOT_OK)
			status = clear_spare(modem, err);
		if (status != IOT_OK)
			return status;
		iot_error_while(&fault, "putting the new root CA in the place of the old one, which is back there");
		status = IOT_BOARD;
	}
	if (status != IOT_OK && err != NULL)
		*err = fault;
	return status;
}

enum iot_status nrf91_stage(void *self, const struct iot_board_trust *trust, struct iot_error *err)
{
	IOT_CLEAN(release_roots) struct roots roots = {0};
	bool was_online = false;
	enum iot_status status = read_roots(self, trust, &roots, err);

	if (status != IOT_OK || trust->root_ca == NULL)
		return status;
	status = nrf91_is_online(self, &was_online, err);
	if (status != IOT_OK)
		return status;
	return go_back_online(self, was_online, replace(self, &roots, err), err);
}

/* What it is to hold from now on. */
static enum iot_status choose(struct nrf91 *modem, const struct roots *roots, bool keep, struct iot_buf *pem,
			      struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	if (keep)
		add_certs(pem, roots->new, roots->new_count, NULL, 0);
	else if (roots->old_count > 0)
		add_certs(pem, roots->old, roots->old_count, NULL, 0);
	else
		status = read_spare(modem, pem, err);
	if (status == IOT_OK && pem->len == 0) /* it went back before */
		add_certs(pem, roots->held, roots->held_count, roots->new, roots->new_count);
	if (status == IOT_OK && pem->len == 0)
		return iot_fail(err, IOT_CONFLICT, "the modem's old root CA is not known");
	return status;
}

enum iot_status nrf91_settle(void *self, const struct iot_board_trust *trust, bool keep, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf pem = IOT_BUF_INIT(ROOTS_MAX);
	IOT_CLEAN(release_roots) struct roots roots = {0};
	enum iot_board_outcome ignored;
	bool was_online = false;
	enum iot_status status = read_roots(self, trust, &roots, err);

	if (status != IOT_OK || trust->root_ca == NULL)
		return status;
	status = choose(self, &roots, keep, &pem, err);
	if (status == IOT_OK)
		status = nrf91_is_online(self, &was_online, err);
	if (status != IOT_OK)
		return status;
	status = nrf91_ensure(self, NRF91_ROOT_CA, iot_buf_str(&pem), false, &ignored, err);
	if (status == IOT_OK)
		status = clear_spare(self, err);
	return go_back_online(self, was_online, status, err);
}
