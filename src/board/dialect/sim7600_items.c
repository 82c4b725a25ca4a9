/*
 * What a SIM7600 is given: certificates and the key as files that TLS is told to
 * use, names and addresses as names of files, the APN as its first context. New
 * trust is put beside the old under a name of its own.
 */
#include "board/dialect/sim7600_private.h"

#include "iotctl/base.h"
#include "iotctl/endpoint.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>

enum { APN_MAX = 100, APN_FIELD = 2, CONTENT_MAX = 10000 };

/* A file that TLS uses. */
struct content {
	const char *prefix, *role;
	enum s7_role index;
};
static const struct content ca_content = {S7_CA, "cacert", S7_USES_CA};
static const struct content cert_content = {S7_CERT, "clientcert", S7_USES_CERT};
static const struct content key_content = {S7_KEY, "clientkey", S7_USES_KEY};

static const struct content *content_of(enum iot_board_item_kind kind)
{
	return kind == IOT_ITEM_ROOT_CA ? &ca_content : kind == IOT_ITEM_CERTIFICATE ? &cert_content : NULL;
}

static const char *prefix_of(enum iot_board_item_kind kind)
{
	return kind == IOT_ITEM_THING_NAME ? S7_THING : kind == IOT_ITEM_ENDPOINT ? S7_ENDPOINT : S7_PORT;
}

/* --- files that TLS uses ------------------------------------------------------------------- */

static enum iot_status check_content(const char *what, const char *text, struct iot_error *err)
{
	if (strlen(text) > 0 && strlen(text) <= CONTENT_MAX)
		return IOT_OK;
	return iot_fail(err, IOT_USAGE, "the %s is empty or longer than %d bytes", what, CONTENT_MAX);
}

/* Listed, and used: it was told to use it only after it had taken it whole. */
static enum iot_status holds_content(struct s7 *s7, const struct content *content, const char *text, bool *ret,
				     struct iot_error *err)
{
	char name[S7_NAME_MAX + 1];
	struct s7_files files;
	struct s7_used used;
	enum iot_status status = s7_list(s7, &files, err);

	s7_name_of(content->prefix, text, name);
	if (status == IOT_OK)
		status = s7_used(s7, &used, err);
	*ret = status == IOT_OK && s7_holds(&files, name) && strcmp(used.names[content->index], name) == 0;
	return status;
}

static enum iot_status write_content(struct s7 *s7, const struct content *content, const char *text, bool secret,
				     struct iot_error *err)
{
	char name[S7_NAME_MAX + 1];
	enum iot_status status;

	s7_name_of(content->prefix, text, name);
	status = s7_write(s7, name, text, secret, err);
	return status == IOT_OK ? s7_use(s7, content->role, name, err) : status;
}

static enum iot_status settle_content(struct s7 *s7, const struct content *content, const char *text,
				      struct iot_error *err)
{
	char name[S7_NAME_MAX + 1];

	s7_name_of(content->prefix, text, name);
	return s7_delete_others(s7, content->prefix, name, err);
}

/* Always written: who has it wants the module to have it, and a byte that was turned on the way does not show. */
enum iot_status s7_take_key(void *self, const struct iot_buf *pem, struct iot_error *err)
{
	struct iot_buf text = IOT_BUF_SECRET(CONTENT_MAX);
	enum iot_status status;

	iot_buf_add(&text, pem->data, pem->len);
	status = check_content("private key", text.over ? "" : iot_buf_str(&text), err);
	if (status == IOT_OK)
		status = write_content(self, &key_content, iot_buf_str(&text), true, err);
	if (status == IOT_OK)
		status = settle_content(self, &key_content, iot_buf_str(&text), err);
	iot_buf_release(&text);
	if (status != IOT_OK)
		iot_error_while(err, "handing the private key over");
	return status;
}

/* --- the APN -------------------------------------------------------------------------------- */

static enum iot_status check_apn(const char *apn, struct iot_error *err)
{
	bool good = strlen(apn) <= APN_MAX;

	for (const char *c = apn; good && *c != '\0'; c++)
		good = *c > ' ' && *c <= '~' && *c != '"' && *c != ',';
	return good ? IOT_OK : iot_fail(err, IOT_USAGE, "'%.100s' is no APN", apn);
}

static enum iot_status holds_apn(struct s7 *s7, const char *apn, bool *ret, struct iot_error *err)
{
	struct iot_buf lines = IOT_BUF_INIT(IOT_SERIAL_LINE_MAX);
	enum iot_status status = s7_steady(s7, "AT+CGDCONT?", "tell its APN", &lines, err);
	char held[APN_MAX + 1] = "";
	const char *line;
	size_t len = 0;

	line = s7_line(iot_buf_str(&lines), "+CGDCONT: 1,", &len);
	*ret = status == IOT_OK && line != NULL && s7_field(line, len, APN_FIELD, held, sizeof(held)) &&
	       strcasecmp(held, apn) == 0;
	iot_buf_release(&lines);
	return status;
}

static enum iot_status write_apn(struct s7 *s7, const char *apn, struct iot_error *err)
{
	struct iot_at_answer answer = IOT_AT_ANSWER_INIT;
	enum iot_status status =
		s7_call(s7, IOT_AT_TEXTS({"AT+CGDCONT=1,\"IP\",\"", false}, {apn, false}, {"\"", false}),
			"take its APN", &answer, err);

	iot_at_answer_release(&answer);
	return status;
}

/* --- items ------------------------------------------------------------------------------------- */

static enum iot_status holds_value(struct s7 *s7, const struct iot_board_item *item, bool *ret, struct iot_error *err)
{
	struct s7_files files;
	char value[257];
	enum iot_status status = s7_list(s7, &files, err);

	s7_value(&files, prefix_of(item->kind), value, sizeof(value));
	*ret = status == IOT_OK && strcmp(value, item->value) == 0;
	return status;
}

enum iot_status s7_look(void *self, struct iot_board_item *item, struct iot_error *err)
{
	const struct content *content = content_of(item->kind);
	bool same = false;
	enum iot_status status;

	if (content != NULL)
		status = holds_content(self, content, item->value, &same, err);
	else if (item->kind == IOT_ITEM_APN)
		status = holds_apn(self, item->value, &same, err);
	else
		status = holds_value(self, item, &same, err);
	if (same)
		item->outcome = content != NULL ? IOT_ITEM_NAMED : IOT_ITEM_SAME;
	return status;
}

static enum iot_status check_item(const struct iot_board_item *item, struct iot_error *err)
{
	if (content_of(item->kind) != NULL)
		return check_content(iot_board_item_name(item->kind), item->value, err);
	if (item->kind == IOT_ITEM_APN)
		return check_apn(item->value, err);
	return *item->value != '\0' ? IOT_OK
				    : iot_fail(err, IOT_USAGE, "the %s is empty", iot_board_item_name(item->kind));
}

static enum iot_status install_content(struct s7 *s7, const struct content *content, struct iot_board_item *item,
				       struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	if (item->outcome != IOT_ITEM_NAMED)
		status = write_content(s7, content, item->value, false, err);
	if (status == IOT_OK)
		status = settle_content(s7, content, item->value, err);
	if (status == IOT_OK && item->outcome != IOT_ITEM_NAMED)
		item->outcome = IOT_ITEM_TAKEN;
	return status;
}

enum iot_status s7_install(void *self, struct iot_board_item *item, struct iot_error *err)
{
	const struct content *content = content_of(item->kind);
	enum iot_status status = check_item(item, err);

	if (status == IOT_OK)
		status = s7_look(self, item, err);
	if (status == IOT_OK && content != NULL)
		return install_content(self, content, item, err);
	if (status != IOT_OK || item->outcome == IOT_ITEM_SAME)
		return status;
	status = item->kind == IOT_ITEM_APN ? write_apn(self, item->value, err)
					    : s7_set_value(self, prefix_of(item->kind), item->value, err);
	if (status == IOT_OK)
		status = s7_look(self, item, err);
	if (status == IOT_OK && item->outcome != IOT_ITEM_SAME)
		return iot_fail(err, IOT_BOARD, "the module does not hold the %s that it said it took",
				iot_board_item_name(item->kind));
	item->outcome = IOT_ITEM_WRITTEN;
	return status;
}

/* --- trust beside trust --------------------------------------------------------------------------- */

/*
 * What was used before has to be known after a power cut as well, when the new one is used already. Where another was
 * staged and not settled, that is still the one before it.
 */
static enum iot_status mark_old_ca(struct s7 *s7, const char *new_ca, struct iot_error *err)
{
	char name[S7_NAME_MAX + 1], old[S7_NAME_MAX + 1];
	struct s7_files files;
	struct s7_used used;
	const char *current;
	enum iot_status status = s7_list(s7, &files, err);

	s7_name_of(S7_CA, new_ca, name);
	s7_value(&files, S7_OLD_CA, old, sizeof(old));
	if (status != IOT_OK || s7_holds(&files, old))
		return status;
	status = s7_used(s7, &used, err);
	current = used.names[S7_USES_CA];
	if (status != IOT_OK || strcmp(current, name) == 0 || !s7_holds(&files, current))
		return status;
	return s7_set_value(s7, S7_OLD_CA, current, err);
}

static enum iot_status forget_old_ca(struct s7 *s7, struct iot_error *err)
{
	return s7_delete_others(s7, S7_OLD_CA, NULL, err);
}

/* The new CA is put beside the old; a new endpoint and port are kept in mind until they are settled. */
enum iot_status s7_stage(void *self, const struct iot_board_trust *trust, struct iot_error *err)
{
	struct s7 *s7 = self;
	char host[sizeof(s7->staged_host)] = "";
	int port = 0;
	bool there = false;
	enum iot_status status = IOT_OK;

	if (trust->endpoint != NULL)
		status = iot_endpoint_split(trust->endpoint, host, sizeof(host), &port, err);
	if (status == IOT_OK && trust->root_ca != NULL)
		status = check_content("root CA", trust->root_ca, err);
	if (status == IOT_OK && trust->root_ca != NULL)
		status = holds_content(s7, &ca_content, trust->root_ca, &there, err);
	if (status == IOT_OK && trust->root_ca != NULL && !there)
		status = mark_old_ca(s7, trust->root_ca, err);
	if (status == IOT_OK && trust->root_ca != NULL && !there)
		status = write_content(s7, &ca_content, trust->root_ca, false, err);
	if (status != IOT_OK)
		return status;
	s7->staged = true;
	memcpy(s7->staged_host, host, sizeof(host));
	s7->staged_port = port;
	return IOT_OK;
}

/* HOST or HOST:PORT. What is the module's own already is not written again. */
static enum iot_status set_endpoint(struct s7 *s7, const char *endpoint, struct iot_error *err)
{
	char host[257], digits[12];
	struct iot_board_item where = {IOT_ITEM_ENDPOINT, host, IOT_ITEM_NOT_TRIED};
	struct iot_board_item which = {IOT_ITEM_PORT, digits, IOT_ITEM_NOT_TRIED};
	int port = 0;
	enum iot_status status;

	if (endpoint == NULL)
		return IOT_OK;
	status = iot_endpoint_split(endpoint, host, sizeof(host), &port, err);
	snprintf(digits, sizeof(digits), "%d", port);
	if (status == IOT_OK && port > 0)
		status = s7_install(s7, &which, err);
	return status == IOT_OK ? s7_install(s7, &where, err) : status;
}

static enum iot_status set_root_ca(struct s7 *s7, const char *root_ca, struct iot_error *err)
{
	struct iot_board_item item = {IOT_ITEM_ROOT_CA, root_ca, IOT_ITEM_NOT_TRIED};

	return root_ca != NULL ? s7_install(s7, &item, err) : IOT_OK;
}

/* Its only other one, if it has no mark of which it was. */
static enum iot_status other_ca(const struct s7_files *files, const char *new_name, char ret[S7_NAME_MAX + 1],
				struct iot_error *err)
{
	size_t others = 0;

	for (size_t i = 0; i < files->count; i++) {
		if (!iot_starts_with(files->names[i], S7_CA) || strcmp(files->names[i], new_name) == 0)
			continue;
		memcpy(ret, files->names[i], S7_NAME_MAX + 1);
		others++;
	}
	if (others == 1)
		return IOT_OK;
	iot_fail(err, IOT_CONFLICT,
		 others == 0 ? "the module holds no root CA but the new one"
			     : "the module holds several root CAs, and does not tell which it used before");
	iot_error_hint(err, "give it the old one: 'iotctl provision'");
	return IOT_CONFLICT;
}

/* The old one is not known here, but it is still in the module. */
static enum iot_status back_to_old(struct s7 *s7, const char *new_ca, struct iot_error *err)
{
	char name[S7_NAME_MAX + 1], old[S7_NAME_MAX + 1];
	struct s7_files files;
	enum iot_status status = s7_list(s7, &files, err);

	if (status != IOT_OK)
		return status;
	s7_name_of(S7_CA, new_ca, name);
	s7_value(&files, S7_OLD_CA, old, sizeof(old));
	if (!s7_holds(&files, old)) {
		if (!s7_holds(&files, name))
			return IOT_OK; /* it was taken back already */
		status = other_ca(&files, name, old, err);
	}
	if (status == IOT_OK)
		status = s7_use(s7, ca_content.role, old, err);
	return status == IOT_OK ? s7_delete_others(s7, S7_CA, old, err) : status;
}

/* Once the new one has proved itself nothing leads back: the mark goes first then, and last on the way back. */
enum iot_status s7_settle(void *self, const struct iot_board_trust *trust, bool keep, struct iot_error *err)
{
	struct s7 *s7 = self;
	enum iot_status status = IOT_OK;

	if (keep) {
		status = forget_old_ca(s7, err);
		if (status == IOT_OK)
			status = set_root_ca(s7, trust->root_ca, err);
		if (status == IOT_OK)
			status = set_endpoint(s7, trust->endpoint, err);
	} else {
		if (trust->old_root_ca != NULL)
			status = set_root_ca(s7, trust->old_root_ca, err);
		else if (trust->root_ca != NULL)
			status = back_to_old(s7, trust->root_ca, err);
		if (status == IOT_OK)
			status = forget_old_ca(s7, err);
		if (status == IOT_OK)
			status = set_endpoint(s7, trust->old_endpoint, err);
	}
	if (status == IOT_OK) {
		s7->staged = false;
		s7->staged_host[0] = '\0';
		s7->staged_port = 0;
	}
	return status;
}
