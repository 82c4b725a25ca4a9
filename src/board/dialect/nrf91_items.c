/*
 * The modem's store of credentials (%CMNG). It is written offline only, never
 * over what is there, and tells of each credential the SHA-256 of the bytes that
 * it holds: a real proof that all of them arrived. Line ends are among those
 * bytes, so a text counts as held with either kind, and with or without the last.
 */
#include "board/dialect/nrf91_private.h"

#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>

enum { CONTENT_MAX = 64 * 1024, IDENTITY_MAX = 128 };

static const enum nrf91_type types[IOT_ITEM_COUNT] = {
	[IOT_ITEM_ROOT_CA] = NRF91_ROOT_CA,
	[IOT_ITEM_CERTIFICATE] = NRF91_CERTIFICATE,
	[IOT_ITEM_PSK_IDENTITY] = NRF91_PSK_IDENTITY,
	[IOT_ITEM_PSK] = NRF91_PSK,
};
static const char *const type_names[] = {"root CA", "certificate", "private key", "shared secret",
					 "identity of the shared secret"};

/* --- what it holds ------------------------------------------------------------------------- */

/* "TAG,TYPE" */
static char *address(const struct nrf91 *modem, enum nrf91_type type)
{
	return iot_strf("%lld,%d", (long long)modem->tag, (int)type);
}

/* False: a line is not whole. */
static bool find_entry(const struct nrf91 *modem, const struct iot_at_answer *answer, enum nrf91_type type,
		       bool *ret_any, char hash[IOT_SHA256_HEX_SIZE])
{
	*ret_any = false;
	*hash = '\0';
	for (const char *at = iot_buf_str(&answer->lines); *at != '\0';) {
		size_t len = strcspn(at, "\n");
		struct nrf91_entry entry;

		if (!nrf91_entry_parse(at, len, &entry)) {
			if (memchr(at, '%', len) != NULL || memchr(at, ',', len) != NULL)
				return false;
		} else if (entry.tag == modem->tag && entry.type == (int)type) {
			*ret_any = true;
			memcpy(hash, entry.hash, IOT_SHA256_HEX_SIZE);
		}
		at += len + (at[len] == '\n');
	}
	return true;
}

enum iot_status nrf91_held(struct nrf91 *modem, enum nrf91_type type, bool *ret_any, char hash[IOT_SHA256_HEX_SIZE],
			   struct iot_error *err)
{
	IOT_CLEAN(iot_at_answer_release) struct iot_at_answer answer = NRF91_ANSWER_INIT;
	char tag[16];

	snprintf(tag, sizeof(tag), "%lld", (long long)modem->tag);
	for (int tries = 0; tries < NRF91_TRIES; tries++) {
		enum iot_status status =
			nrf91_call(modem, IOT_AT_TEXTS({"AT%CMNG=1,", false}, {tag, false}), 0, false, &answer, err);

		if (status != IOT_OK)
			return status;
		*ret_any = false;
		if (!answer.ok && answer.code == 513)
			return IOT_OK;
		if (!answer.ok)
			return nrf91_refused(&answer, "list what it holds", err);
		if (find_entry(modem, &answer, type, ret_any, hash))
			return IOT_OK;
	}
	iot_fail(err, IOT_BOARD, "the modem's list of credentials is malformed");
	iot_error_hint(err, "check speed, ground and wires of the serial line");
	return IOT_BOARD;
}

/* The content of one, as lines; "" if it is not there. */
static enum iot_status read_content(struct nrf91 *modem, enum nrf91_type type, struct iot_buf *content,
				    struct iot_error *err)
{
	IOT_CLEAN(iot_at_answer_release) struct iot_at_answer answer = NRF91_ANSWER_INIT;
	IOT_CLEAN(iot_free_p) char *where = address(modem, type);
	enum iot_status status =
		nrf91_call(modem, IOT_AT_TEXTS({"AT%CMNG=2,", false}, {where, false}), 0, false, &answer, err);
	const char *text, *hash;

	iot_buf_clear(content);
	if (status != IOT_OK || (!answer.ok && answer.code == 513))
		return status;
	if (!answer.ok)
		return nrf91_refused(&answer, "give what it holds", err);
	text = strstr(iot_buf_str(&answer.lines), "%CMNG:");
	hash = text != NULL ? strchr(text, '"') : NULL;
	hash = hash != NULL ? strchr(hash + 1, '"') : NULL;
	/* After tag, type and hash; the quotes around it become line ends. */
	for (const char *c = hash != NULL ? strchr(hash + 1, '"') : NULL; c != NULL && *c != '\0'; c++)
		if (*c != '\r')
			iot_buf_addc(content, *c == '"' ? '\n' : *c);
	return iot_buf_check(content, "what the modem holds", err);
}

/* Twice the same, or it is not believed. */
static enum iot_status read_steady(struct nrf91 *modem, enum nrf91_type type, struct iot_buf *content,
				   struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf again = IOT_BUF_INIT(CONTENT_MAX);
	enum iot_status status = read_content(modem, type, content, err);

	for (int tries = 0; status == IOT_OK && tries < NRF91_TRIES; tries++) {
		status = read_content(modem, type, &again, err);
		if (status != IOT_OK || strcmp(iot_buf_str(&again), iot_buf_str(content)) == 0)
			return status;
		iot_buf_clear(content);
		iot_buf_add(content, again.data, again.len);
	}
	if (status != IOT_OK)
		return status;
	iot_fail(err, IOT_BOARD, "the modem gives no steady %s", type_names[type]);
	iot_error_hint(err, "check speed, ground and wires of the serial line");
	return IOT_BOARD;
}

enum iot_status nrf91_read_certs(struct nrf91 *modem, enum nrf91_type type, struct iot_cert ***ret, size_t *ret_count,
				 struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf content = IOT_BUF_INIT(CONTENT_MAX);
	char hash[IOT_SHA256_HEX_SIZE];
	bool any = false;
	enum iot_status status = nrf91_held(modem, type, &any, hash, err);

	*ret = NULL;
	*ret_count = 0;
	if (status == IOT_OK && any)
		status = read_steady(modem, type, &content, err);
	/* What is none is somebody's, but tells nothing. */
	if (status == IOT_OK && content.len > 0 &&
	    iot_cert_parse_pem_all(content.data, content.len, type_names[type], ret, ret_count, NULL) != IOT_OK) {
		*ret = NULL;
		*ret_count = 0;
	}
	return status;
}

enum iot_status nrf91_read_identity(struct nrf91 *modem, char *out, size_t size, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf content = IOT_BUF_INIT(CONTENT_MAX);
	char hash[IOT_SHA256_HEX_SIZE];
	const char *text;
	bool any = false;
	enum iot_status status = nrf91_held(modem, NRF91_PSK_IDENTITY, &any, hash, err);

	*out = '\0';
	if (status != IOT_OK || !any)
		return status;
	status = read_steady(modem, NRF91_PSK_IDENTITY, &content, err);
	text = iot_buf_str(&content) + strspn(iot_buf_str(&content), "\n");
	if (status == IOT_OK && strcspn(text, "\n") < size)
		snprintf(out, size, "%.*s", (int)strcspn(text, "\n"), text);
	iot_text_printable(out);
	return status;
}

/* --- comparing -------------------------------------------------------------------------------- */

static void add_lines(struct iot_buf *out, const char *text, bool crlf)
{
	for (; *text != '\0'; text++) {
		if (*text == '\n' && crlf)
			iot_buf_addc(out, '\r');
		iot_buf_addc(out, *text);
	}
}

static bool is_hash_of(const char *hash, const void *data, size_t len)
{
	uint8_t digest[IOT_SHA256_SIZE];
	char hex[IOT_SHA256_HEX_SIZE];

	iot_sha256(data, len, digest);
	return strcmp(iot_hex(digest, sizeof(digest), hex), hash) == 0;
}

/* Of the text with either line end, and with or without the last; a shared secret also of its bytes. */
static bool matches(const char *hash, enum nrf91_type type, const char *text)
{
	struct iot_buf form = IOT_BUF_SECRET(CONTENT_MAX);
	size_t len = strlen(text);
	bool same = false;

	for (int crlf = 0; !same && crlf < 2; crlf++) {
		size_t cut = len > 0 && text[len - 1] == '\n' ? 1 + (size_t)crlf : 0;

		iot_buf_clear(&form);
		add_lines(&form, text, crlf);
		same = !form.over && (is_hash_of(hash, iot_buf_str(&form), form.len) ||
				      is_hash_of(hash, iot_buf_str(&form), form.len - cut));
	}
	iot_buf_clear(&form);
	if (!same && type == NRF91_PSK && len % 2 == 0) {
		char *bytes = iot_buf_reserve(&form, len / 2);

		same = bytes != NULL && iot_unhex(text, bytes, len / 2) && is_hash_of(hash, bytes, len / 2);
		form.len = len / 2;
	}
	iot_buf_release(&form);
	return same;
}

/* Before 1.3.2 the hashes in the list are of something else, so that what can be read is read. */
static bool hashes_count(const struct nrf91 *modem)
{
	return nrf91_firmware_at_least(&modem->firmware, 1, 3, 2);
}

static bool is_readable(enum nrf91_type type)
{
	return type == NRF91_ROOT_CA || type == NRF91_CERTIFICATE || type == NRF91_PSK_IDENTITY;
}

/* Blanks at the ends do not count. */
static bool same_text(const char *a, const char *b)
{
	size_t a_len, b_len;

	a += strspn(a, "\n");
	b += strspn(b, "\n");
	for (a_len = strlen(a); a_len > 0 && a[a_len - 1] == '\n';)
		a_len--;
	for (b_len = strlen(b); b_len > 0 && b[b_len - 1] == '\n';)
		b_len--;
	return a_len == b_len && memcmp(a, b, a_len) == 0;
}

struct state {
	bool any, same, known; /* known: `same` can be believed */
};

static enum iot_status compare(struct nrf91 *modem, enum nrf91_type type, const char *text, struct state *ret,
			       struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf content = IOT_BUF_INIT(CONTENT_MAX);
	char hash[IOT_SHA256_HEX_SIZE] = "";
	enum iot_status status = nrf91_held(modem, type, &ret->any, hash, err);

	ret->same = status == IOT_OK && ret->any && *hash != '\0' && matches(hash, type, text);
	ret->known = ret->same || !ret->any || (*hash != '\0' && hashes_count(modem));
	if (status != IOT_OK || ret->known || !is_readable(type))
		return status;
	status = read_steady(modem, type, &content, err);
	ret->known = status == IOT_OK;
	ret->same = status == IOT_OK && same_text(iot_buf_str(&content), text);
	return status;
}

/* --- writing ------------------------------------------------------------------------------------- */

static enum iot_status delete_once(struct nrf91 *modem, enum nrf91_type type, struct iot_at_answer *answer,
				   struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *where = address(modem, type);

	return nrf91_call(modem, IOT_AT_TEXTS({"AT%CMNG=3,", false}, {where, false}), 0, false, answer, err);
}

enum iot_status nrf91_delete(struct nrf91 *modem, enum nrf91_type type, struct iot_error *err)
{
	IOT_CLEAN(iot_at_answer_release) struct iot_at_answer answer = NRF91_ANSWER_INIT;
	enum iot_status status = delete_once(modem, type, &answer, err);

	/* It went online by itself. */
	if (status == IOT_OK && !answer.ok && answer.code == 518) {
		status = nrf91_offline(modem, err);
		if (status == IOT_OK)
			status = delete_once(modem, type, &answer, err);
	}
	if (status == IOT_OK && !answer.ok && answer.code != 513)
		status = nrf91_refused(&answer, "delete a credential", err);
	return status;
}

static enum iot_status write_once(struct nrf91 *modem, enum nrf91_type type, const char *text, bool secret,
				  struct iot_at_answer *answer, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *where = address(modem, type);
	struct iot_buf content = {.max = CONTENT_MAX, .secret = secret};
	enum iot_status status;

	add_lines(&content, text, modem->crlf);
	status = iot_buf_check(&content, type_names[type], err);
	if (status == IOT_OK)
		status = nrf91_call(modem,
				    IOT_AT_TEXTS({"AT%CMNG=0,", false}, {where, false}, {",\"", false},
						 {iot_buf_str(&content), secret}, {"\"", false}),
				    0, false, answer, err);
	iot_buf_release(&content);
	return status;
}

/* In place of what is there, if anything is. */
static enum iot_status write_credential(struct nrf91 *modem, enum nrf91_type type, const char *text, bool secret,
					bool any, struct iot_error *err)
{
	IOT_CLEAN(iot_at_answer_release) struct iot_at_answer answer = NRF91_ANSWER_INIT;
	enum iot_status status = any ? nrf91_delete(modem, type, err) : IOT_OK;
	char doing[80];

	snprintf(doing, sizeof(doing), "take the %s", type_names[type]);
	if (status == IOT_OK)
		status = write_once(modem, type, text, secret, &answer, err);
	for (int tries = 0; status == IOT_OK && !answer.ok && tries < 2; tries++) {
		if (answer.code == 518)
			status = nrf91_offline(modem, err);
		else if (answer.code == 519)
			status = nrf91_delete(modem, type, err);
		else
			break;
		if (status == IOT_OK)
			status = write_once(modem, type, text, secret, &answer, err);
	}
	return status == IOT_OK && !answer.ok ? nrf91_refused(&answer, doing, err) : status;
}

/* A certificate that lost a byte is no certificate any more; and a bad wire may say so of a whole one. */
static bool may_help(const struct iot_error *fault)
{
	return strcmp(fault->code, "CME527") == 0 || strcmp(fault->code, "CME519") == 0 || *fault->code == '\0';
}

enum iot_status nrf91_ensure(struct nrf91 *modem, enum nrf91_type type, const char *text, bool secret,
			     enum iot_board_outcome *ret, struct iot_error *err)
{
	struct state state = {0};
	struct iot_error fault = IOT_ERROR_INIT;
	enum iot_status status = compare(modem, type, text, &state, err);

	if (status == IOT_OK && !state.same && state.any)
		status = compare(modem, type, text, &state, err); /* what is to be deleted is looked at twice */
	if (status == IOT_OK && state.same)
		*ret = IOT_ITEM_SAME;
	if (status != IOT_OK || state.same)
		return status;
	status = nrf91_offline(modem, err);
	for (int tries = 0; status == IOT_OK && tries < NRF91_TRIES; tries++) {
		enum iot_status written = write_credential(modem, type, text, secret, state.any, &fault);

		if (written != IOT_OK && (written != IOT_BOARD || tries == NRF91_TRIES - 1 || !may_help(&fault))) {
			if (err != NULL)
				*err = fault;
			return written;
		}
		status = compare(modem, type, text, &state, err);
		if (status == IOT_OK && written == IOT_OK && (state.same || (state.any && !state.known))) {
			*ret = state.same ? IOT_ITEM_WRITTEN : IOT_ITEM_TAKEN;
			return IOT_OK;
		}
	}
	if (status != IOT_OK)
		return status;
	iot_fail(err, IOT_BOARD, "the modem does not hold the %s that it said it took", type_names[type]);
	iot_error_hint(err, "check speed, ground and wires of the serial line, and how its application ends lines");
	return IOT_BOARD;
}

enum iot_status nrf91_take_key(void *self, const struct iot_buf *pem, struct iot_error *err)
{
	enum iot_board_outcome ignored;

	return nrf91_ensure(self, NRF91_PRIVATE_KEY, iot_buf_str(pem), true, &ignored, err);
}

/* --- items ------------------------------------------------------------------------------------------- */

/* The text that is held: certificates without what PEM files carry around them. */
static enum iot_status wanted_text(const struct iot_board_item *item, struct iot_buf *text, struct iot_error *err)
{
	struct iot_cert **certs = NULL;
	size_t count = 0, len = strlen(item->value);
	const char *name = iot_board_item_name(item->kind);
	enum iot_status status = IOT_OK;

	if (item->kind == IOT_ITEM_PSK && (len == 0 || strspn(item->value, "0123456789abcdef") != len || len % 2 != 0))
		return iot_fail(err, IOT_USAGE, "the %s is not in hexadecimal", name);
	if (item->kind == IOT_ITEM_PSK_IDENTITY) {
		for (size_t i = 0; i < len; i++)
			if (item->value[i] < ' ' || item->value[i] > '~' || item->value[i] == '"')
				return iot_fail(err, IOT_USAGE, "the %s holds a character that the modem cannot take",
						name);
		if (len == 0 || len > IDENTITY_MAX)
			return iot_fail(err, IOT_USAGE, "the %s is not of 1 to %d characters", name, IDENTITY_MAX);
	}
	if (item->kind == IOT_ITEM_PSK || item->kind == IOT_ITEM_PSK_IDENTITY) {
		iot_buf_adds(text, item->value);
		return IOT_OK;
	}
	status = iot_cert_parse_pem_all(item->value, len, name, &certs, &count, err);
	for (size_t i = 0; i < count; i++)
		iot_cert_pem(certs[i], text);
	iot_cert_list_free(certs, count);
	return status;
}

enum iot_status nrf91_look(void *self, struct iot_board_item *item, struct iot_error *err)
{
	struct iot_buf text = IOT_BUF_SECRET(CONTENT_MAX);
	struct state state = {0};
	enum iot_status status = wanted_text(item, &text, err);

	if (status == IOT_OK)
		status = compare(self, types[item->kind], iot_buf_str(&text), &state, err);
	iot_buf_release(&text);
	if (status == IOT_OK && state.same)
		item->outcome = IOT_ITEM_SAME;
	return status;
}

enum iot_status nrf91_install(void *self, struct iot_board_item *item, struct iot_error *err)
{
	struct iot_buf text = IOT_BUF_SECRET(CONTENT_MAX);
	enum iot_status status = wanted_text(item, &text, err);

	if (status == IOT_OK)
		status = nrf91_ensure(self, types[item->kind], iot_buf_str(&text), iot_board_item_secret(item->kind),
				      &item->outcome, err);
	iot_buf_release(&text);
	return status;
}
