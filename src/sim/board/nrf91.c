/*
 * An nRF91 modem as "nRF91 AT Commands" has it, as far as credentials go: a store
 * of (tag, type) that is written offline only and never over what is there, with
 * the SHA-256 of each; keys that it makes itself; tokens that it signs. What
 * older firmware does otherwise depends on the version that it is given.
 */
#include "sim/board/nrf91.h"

#include "iotctl/base.h"
#include "iotctl/cbor.h"
#include "iotctl/cert.h"
#include "iotctl/cose.h"
#include "iotctl/json.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>

enum {
	LINE_MAX_HEARD = 16 * 1024,
	STORE_MAX = 16 * 1024, /* bytes of all credentials */
	TAG_MAX = 2147483647,
	NOT_FOUND = 513,
	NO_ACCESS = 514,
	FULL = 515,
	ACTIVE = 518,
	EXISTS = 519,
	NO_KEY = 523,
	BAD_CONTENT = 527,
	LOW_VOLTAGE = 528
};
enum operation { OP_WRITE, OP_LIST, OP_READ, OP_DELETE };
enum type { ROOT_CA, CERTIFICATE, PRIVATE_KEY, PSK, PSK_IDENTITY, TYPE_MAX = 11 };

/* echo: it echoes; ansi: a terminal's colours around its lines; online: its application goes online just then; full: no
 * room; voltage: too low to write; lost: a write is confirmed, but not kept; turned: a byte of what is written turns.
 */
static const char *const faults[] = {SIM_AT_FAULTS, "echo", "ansi",   "online", "full",
				     "voltage",     "lost", "turned", NULL};

/* --- firmware ------------------------------------------------------------------------------- */

static const char *firmware(const struct board_sim *board)
{
	return board->options->firmware != NULL ? board->options->firmware : "mfw_nrf9160_1.3.6";
}

static bool is_first(const struct board_sim *board)
{
	return iot_starts_with(firmware(board), "mfw_nrf9160_");
}

/* nRF9160 before 1.3.PATCH; the others began later. */
static bool is_before(const struct board_sim *board, int patch)
{
	int numbers[3] = {0};

	if (!is_first(board) ||
	    sscanf(firmware(board), "mfw_nrf9160_%d.%d.%d", &numbers[0], &numbers[1], &numbers[2]) != 3)
		return false;
	return numbers[0] < 1 || (numbers[0] == 1 && (numbers[1] < 3 || (numbers[1] == 3 && numbers[2] < patch)));
}

/* --- the store --------------------------------------------------------------------------------- */

static json_t *store(const struct board_sim *board)
{
	json_t *list = json_object_get(board->state, "credentials");

	if (list == NULL) {
		list = json_array();
		json_object_set_new(board->state, "credentials", list);
	}
	return list;
}

static json_t *find(const struct board_sim *board, int64_t tag, int64_t type, size_t *ret_index)
{
	json_t *entry;
	size_t i;

	json_array_foreach(store(board), i, entry) {
		if (iot_json_int(entry, "tag", -1) == tag && iot_json_int(entry, "type", -1) == type) {
			*ret_index = i;
			return entry;
		}
	}
	return NULL;
}

const char *nrf91_sim_content(const struct board_sim *board, int64_t tag, int64_t type)
{
	size_t ignored;

	return iot_json_str(find(board, tag, type, &ignored), "content", NULL);
}

/* Writing, deleting and making keys: what stands in the way. */
static int not_now(const struct board_sim *board, const char *command)
{
	struct nrf91_sim *modem = board->self;

	if (board_sim_fault(board, "online", command))
		modem->mode = 1;
	if (modem->mode != 0 && modem->mode != 4)
		return ACTIVE;
	return board_sim_fault(board, "voltage", command) ? LOW_VOLTAGE : SIM_AT_OK;
}

static bool has_room(const struct board_sim *board, size_t more)
{
	const json_t *entry;
	size_t i, used = more;

	json_array_foreach(store(board), i, entry)
		used += strlen(iot_json_str(entry, "content", ""));
	return used <= STORE_MAX;
}

static void keep(struct board_sim *board, int64_t tag, int64_t type, const char *content)
{
	json_array_append_new(store(board), json_pack("{s:I, s:I, s:s}", "tag", (json_int_t)tag, "type",
						      (json_int_t)type, "content", content));
	board_sim_save(board);
}

static bool is_content(const struct board_sim *board, int64_t type, const char *content)
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;

	if (is_first(board) || (type != ROOT_CA && type != CERTIFICATE))
		return *content != '\0';
	return iot_cert_parse_pem(content, strlen(content), "content", &cert, NULL) == IOT_OK;
}

static int write_one(struct board_sim *board, int64_t tag, int64_t type, const struct sim_at_arg *content)
{
	IOT_CLEAN(iot_free_p) char *text = iot_strdup(content->text);
	size_t ignored;
	int fault = not_now(board, "%CMNG");

	if (fault != SIM_AT_OK)
		return fault;
	if (!content->quoted)
		return SIM_AT_ERROR;
	if (find(board, tag, type, &ignored) != NULL)
		return EXISTS;
	if (!is_content(board, type, text))
		return BAD_CONTENT;
	if (board_sim_fault(board, "full", "%CMNG") || !has_room(board, content->len))
		return FULL;
	if (board_sim_fault(board, "turned", "%CMNG"))
		text[content->len / 2] ^= 1;
	if (!board_sim_fault(board, "lost", "%CMNG"))
		keep(board, tag, type, text);
	return SIM_AT_OK;
}

/* Of the bytes; firmware before 1.3.2 tells something else. */
static void say_entry(struct board_sim *board, const json_t *entry, bool with_content)
{
	const struct nrf91_sim *modem = board->self;
	const char *content = iot_json_str(entry, "content", "");
	uint8_t digest[IOT_SHA256_SIZE];
	char hex[IOT_SHA256_HEX_SIZE];

	iot_sha256(content, strlen(content) / (is_before(board, 2) ? 2 : 1), digest);
	iot_hex(digest, sizeof(digest), hex);
	for (char *c = hex; *c != '\0'; c++)
		*c = (char)(*c >= 'a' ? *c - 'a' + 'A' : *c);
	if (!modem->at.options->plain)
		board_sim_say(board, "\r\n");
	board_sim_say(board, "%%CMNG: %lld,%lld,\"%s\"", (long long)iot_json_int(entry, "tag", 0),
		      (long long)iot_json_int(entry, "type", 0), hex);
	if (with_content) {
		board_sim_say(board, ",\"");
		iot_buf_adds(&board->out, content);
		board_sim_say(board, "\"");
	}
	board_sim_say(board, "\r\n");
}

static int list_all(struct board_sim *board, const struct sim_at_request *request, int64_t tag, int64_t type)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(store(board), i, entry) {
		if ((request->count < 2 || iot_json_int(entry, "tag", -1) == tag) &&
		    (request->count < 3 || iot_json_int(entry, "type", -1) == type))
			say_entry(board, entry, false);
	}
	return SIM_AT_OK;
}

static int read_one(struct board_sim *board, int64_t tag, int64_t type)
{
	size_t ignored;
	const json_t *entry = find(board, tag, type, &ignored);

	if (entry == NULL)
		return NOT_FOUND;
	if (type == PRIVATE_KEY || type == PSK)
		return NO_ACCESS;
	say_entry(board, entry, true);
	return SIM_AT_OK;
}

static int delete_one(struct board_sim *board, int64_t tag, int64_t type)
{
	size_t index;
	int fault = not_now(board, "%CMNG");

	if (fault != SIM_AT_OK)
		return fault;
	if (find(board, tag, type, &index) == NULL)
		return NOT_FOUND;
	json_array_remove(store(board), index);
	board_sim_save(board);
	return SIM_AT_OK;
}

static int cmng(struct board_sim *board, const struct sim_at_request *request)
{
	int64_t op, tag = -1, type = -1;

	if (!sim_at_number(&request->args[0], OP_WRITE, OP_DELETE, &op) ||
	    (request->count > 1 && !sim_at_number(&request->args[1], 0, TAG_MAX, &tag)) ||
	    (request->count > 2 && !sim_at_number(&request->args[2], 0, TYPE_MAX, &type)))
		return SIM_AT_ERROR;
	if (op == OP_LIST)
		return list_all(board, request, tag, type);
	if (request->count < 3)
		return SIM_AT_ERROR;
	if (op == OP_READ)
		return read_one(board, tag, type);
	if (op == OP_DELETE)
		return delete_one(board, tag, type);
	return request->count < 4 ? SIM_AT_ERROR : write_one(board, tag, type, &request->args[3]);
}

/* --- keys ------------------------------------------------------------------------------------------ */

/* As older modems do it: parameters NULL after ecdsa-with-SHA256. The signature is of what comes before. */
static void add_null_parameters(struct iot_buf *der)
{
	static const uint8_t plain[] = {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
	struct iot_buf out = IOT_BUF_INIT(der->max);
	const uint8_t *bytes = (const uint8_t *)der->data;
	const char *at = memmem(der->data, der->len, plain, sizeof(plain));
	size_t head = bytes[1] == 0x82 ? 4 : bytes[1] == 0x81 ? 3 : 2, len = der->len - head + 2, before;

	if (at == NULL)
		return;
	before = (size_t)(at - der->data);
	iot_buf_addc(&out, 0x30);
	iot_buf_addc(&out, (char)0x82);
	iot_buf_addc(&out, (char)(len >> 8));
	iot_buf_addc(&out, (char)len);
	iot_buf_add(&out, der->data + head, before - head);
	iot_buf_addc(&out, 0x30);
	iot_buf_addc(&out, 0x0c);
	iot_buf_add(&out, plain + 2, sizeof(plain) - 2);
	iot_buf_add(&out, "\x05\x00", 2);
	iot_buf_add(&out, at + sizeof(plain), der->len - before - sizeof(plain));
	iot_buf_clear(der);
	iot_buf_add(der, out.data, out.len);
	iot_buf_release(&out);
}

/* What is between BEGIN and END. */
static bool decode_pem(const struct iot_buf *pem, struct iot_buf *der)
{
	struct iot_buf base64 = IOT_BUF_INIT(IOT_CSR_MAX);
	const char *at = iot_buf_str(pem), *end = strstr(at, "-----END");
	bool good;

	for (at = strchr(at, '\n'); at != NULL && end != NULL && at < end; at++)
		if (*at != '\n')
			iot_buf_addc(&base64, *at);
	good = iot_unbase64(iot_buf_str(&base64), base64.len, der);
	iot_buf_release(&base64);
	return good;
}

static bool own_key(const struct board_sim *board, const char *pem, struct iot_key **ret)
{
	(void)board;
	return pem != NULL && iot_key_from_private_pem(pem, strlen(pem), "key", NULL, ret, NULL) == IOT_OK;
}

/* Message type, device, tag, SHA-256 of what is stated, nonce; signed with its identity key. */
static bool add_statement(struct board_sim *board, int message, int64_t tag, const struct iot_buf *der,
			  struct iot_buf *out)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *identity = NULL;
	struct iot_buf payload = IOT_BUF_INIT(1024), number = IOT_BUF_INIT(16), cose = IOT_BUF_INIT(IOT_COSE_MAX);
	uint8_t uuid[16], nonce[16], digest[IOT_SHA256_SIZE];
	bool good = own_key(board, iot_json_str(board->state, "identity", NULL), &identity);

	iot_sha256(iot_json_str(board->state, "imei", ""), 15, digest);
	memcpy(uuid, digest, sizeof(uuid));
	iot_random(nonce, sizeof(nonce));
	iot_sha256(der->data, der->len, digest);
	iot_cbor_put(&payload, IOT_CBOR_TAG, 55799);
	iot_cbor_put(&payload, IOT_CBOR_ARRAY, 5);
	iot_cbor_put_int(&payload, message);
	iot_cbor_put_bytes(&payload, uuid, sizeof(uuid));
	iot_cbor_put_int(&number, tag);
	iot_cbor_put_bytes(&payload, number.data, number.len);
	iot_cbor_put_bytes(&payload, digest, sizeof(digest));
	iot_cbor_put_bytes(&payload, nonce, sizeof(nonce));
	good = good && iot_cose_sign1(identity, payload.data, payload.len, &cose, NULL) == IOT_OK;
	iot_buf_addc(out, '.');
	iot_base64url(cose.data, cose.len, out);
	iot_buf_release(&payload);
	iot_buf_release(&number);
	iot_buf_release(&cose);
	return good;
}

/* The request, or the public key alone, with the statement about it. */
static bool say_new_key(struct board_sim *board, const struct iot_key *key, int64_t tag, bool public,
			const char *common_name)
{
	const struct nrf91_sim *modem = board->self;
	struct iot_buf pem = IOT_BUF_INIT(IOT_CSR_MAX), der = IOT_BUF_INIT(IOT_CSR_MAX), text = IOT_BUF_INIT(8192);
	bool good;

	if (public) {
		good = iot_key_public_der(key, &der, NULL) == IOT_OK;
	} else {
		good = iot_csr_create(key, common_name, &pem, NULL) == IOT_OK && decode_pem(&pem, &der);
		if (good && is_first(board))
			add_null_parameters(&der);
	}
	iot_base64url(der.data, der.len, &text);
	good = good && add_statement(board, public ? 8 : 9, tag, &der, &text);
	if (good)
		sim_at_say(board, &modem->at, "%%KEYGEN: \"%s\"", iot_buf_str(&text));
	iot_buf_release(&pem);
	iot_buf_release(&der);
	iot_buf_release(&text);
	return good;
}

static int make_key(struct board_sim *board, int64_t tag, bool public, const char *common_name)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	struct iot_buf secret = IOT_BUF_SECRET(16384);
	int result = NO_KEY;

	if (iot_key_generate(IOT_KEY_P256, &key, NULL) == IOT_OK && iot_key_private_pem(key, &secret, NULL) == IOT_OK) {
		keep(board, tag, PRIVATE_KEY, iot_buf_str(&secret));
		result = say_new_key(board, key, tag, public, common_name) ? SIM_AT_OK : NO_KEY;
	}
	iot_buf_release(&secret);
	return result;
}

static int keygen(struct board_sim *board, const struct sim_at_request *request)
{
	const char *attributes = request->args[3].text;
	int64_t tag, type, content = 0;
	size_t ignored;
	int fault;

	if (is_before(board, 0) || !sim_at_number(&request->args[0], 0, TAG_MAX, &tag) ||
	    !sim_at_number(&request->args[1], PRIVATE_KEY, PRIVATE_KEY, &type) ||
	    (request->count > 2 && !sim_at_number(&request->args[2], 0, 1, &content)) ||
	    (*attributes != '\0' && !iot_starts_with(attributes, "CN=")))
		return SIM_AT_ERROR;
	fault = not_now(board, "%KEYGEN");
	if (fault != SIM_AT_OK)
		return fault;
	if (find(board, tag, PRIVATE_KEY, &ignored) != NULL)
		return EXISTS;
	if (board_sim_fault(board, "full", "%KEYGEN") || !has_room(board, 256))
		return FULL;
	return make_key(board, tag, content == 1,
			*attributes != '\0' ? attributes + strlen("CN=") : "50363154-3931-44f0-8022-121b6401627d");
}

/* --- tokens ---------------------------------------------------------------------------------------- */

static void add_part(struct iot_buf *out, json_t *part)
{
	IOT_CLEAN(iot_free_p) char *text = iot_json_text(part);

	iot_base64url(text, strlen(text), out);
	json_decref(part);
}

static int jwt(struct board_sim *board, const struct sim_at_request *request)
{
	const struct nrf91_sim *modem = board->self;
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	struct iot_buf token = IOT_BUF_INIT(4096), signature = IOT_BUF_INIT(IOT_RAW_SIGNATURE_MAX);
	int64_t tag, type;
	const char *pem;
	bool good;

	if (is_before(board, 0) || request->count != 6 || !sim_at_number(&request->args[4], 0, TAG_MAX, &tag) ||
	    !sim_at_number(&request->args[5], PRIVATE_KEY, PRIVATE_KEY, &type))
		return SIM_AT_ERROR;
	pem = nrf91_sim_content(board, tag, type);
	if (pem == NULL)
		return NOT_FOUND;
	if (!own_key(board, pem, &key))
		return NO_ACCESS;
	add_part(&token, json_pack("{s:s, s:s}", "alg", "ES256", "typ", "JWT"));
	iot_buf_addc(&token, '.');
	add_part(&token, json_pack("{s:s, s:s, s:s}", "iss", "nRF91.sim", "sub", request->args[2].text, "aud",
				   request->args[3].text));
	good = iot_key_sign_raw(key, token.data, token.len, &signature, NULL) == IOT_OK;
	iot_buf_addc(&token, '.');
	iot_base64url(signature.data, signature.len, &token);
	if (good)
		sim_at_say(board, &modem->at, "%%JWT: \"%s\"", iot_buf_str(&token));
	iot_buf_release(&token);
	iot_buf_release(&signature);
	return good ? SIM_AT_OK : 525;
}

/* --- who it is, and its network ---------------------------------------------------------------------- */

static int cgsn(struct board_sim *board, const struct sim_at_request *request)
{
	const struct nrf91_sim *modem = board->self;

	(void)request;
	sim_at_say(board, &modem->at, "%s", iot_json_str(board->state, "imei", ""));
	return SIM_AT_OK;
}

static int cgmm(struct board_sim *board, const struct sim_at_request *request)
{
	const struct nrf91_sim *modem = board->self;

	(void)request;
	sim_at_say(board, &modem->at, "%s", is_first(board) ? "nRF9160-SICA" : "nRF9151-LACA");
	return SIM_AT_OK;
}

static int cgmr(struct board_sim *board, const struct sim_at_request *request)
{
	const struct nrf91_sim *modem = board->self;

	(void)request;
	sim_at_say(board, &modem->at, "%s", firmware(board));
	return SIM_AT_OK;
}

static int cfun(struct board_sim *board, const struct sim_at_request *request)
{
	struct nrf91_sim *modem = board->self;
	int64_t mode;

	if (request->form == SIM_AT_READ) {
		sim_at_say(board, &modem->at, "+CFUN: %d", modem->mode);
		return SIM_AT_OK;
	}
	if (!sim_at_number(&request->args[0], 0, 4, &mode) || mode == 2 || mode == 3)
		return SIM_AT_ERROR;
	modem->mode = (int)mode;
	if (mode == 1)
		nrf91_app_online(board);
	else
		nrf91_app_offline(board);
	return SIM_AT_OK;
}

static const struct sim_at_command commands[] = {
	{"+CGSN", SIM_AT_RUN, cgsn, false}, {"+CGMM", SIM_AT_RUN, cgmm, false},
	{"+CGMR", SIM_AT_RUN, cgmr, false}, {"+CFUN", SIM_AT_SET | SIM_AT_READ, cfun, false},
	{"%CMNG", SIM_AT_SET, cmng, true},  {"%KEYGEN", SIM_AT_SET, keygen, false},
	{"%JWT", SIM_AT_SET, jwt, false},   {NULL, 0, NULL, false},
};

/* --- power ---------------------------------------------------------------------------------------------- */

/* 14 digits and the one that checks them. */
static void be_born(struct board_sim *board)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	struct iot_buf pem = IOT_BUF_SECRET(16384);
	char imei[16] = "35265610";
	uint8_t random[8];
	int sum = 0;

	iot_random(random, sizeof(random));
	for (int i = 8; i < 14; i++)
		imei[i] = (char)('0' + random[i - 8] % 10);
	for (int i = 0; i < 14; i++) {
		int digit = imei[i] - '0', twice = digit > 4 ? 2 * digit - 9 : 2 * digit;

		sum += i % 2 == 1 ? twice : digit;
	}
	imei[14] = (char)('0' + (10 - sum % 10) % 10);
	imei[15] = '\0';
	iot_json_set_str(board->state, "imei", imei);
	if (iot_key_generate(IOT_KEY_P256, &key, NULL) == IOT_OK && iot_key_private_pem(key, &pem, NULL) == IOT_OK)
		iot_json_set_str(board->state, "identity", iot_buf_str(&pem));
	iot_buf_release(&pem);
	board_sim_save(board);
}

/* Its application starts at once, and goes on the network. */
static void *power_on(struct board_sim *board)
{
	struct nrf91_sim *modem = iot_alloc(sizeof(*modem));

	modem->at_options = (struct sim_at_options){.commands = commands,
						    .urc = "+CEREG: 2,\"8169\",\"014ACE00\",7",
						    .echo = board_sim_fault(board, "echo", ""),
						    .plain = !board_sim_fault(board, "echo", ""),
						    .lines_in_quotes = true,
						    .line_max = LINE_MAX_HEARD};
	sim_at_init(&modem->at, &modem->at_options);
	modem->mode = 1;
	if (iot_json_str(board->state, "imei", NULL) == NULL)
		be_born(board);
	board_sim_say(board, "*** Booting nRF Connect SDK ***\r\nThe AT client sample started\r\n");
	return modem;
}

static void power_off(struct board_sim *board)
{
	struct nrf91_sim *modem = board->self;

	board_link_free(modem->link);
	sim_at_release(&modem->at);
	free(modem);
	board->self = NULL;
}

/* Colours around each line that was said since. */
static void colour(struct board_sim *board, size_t from)
{
	struct iot_buf said = IOT_BUF_SECRET(board->out.max);

	iot_buf_add(&said, board->out.data + from, board->out.len - from);
	board->out.len = from;
	for (const char *at = iot_buf_str(&said); *at != '\0';) {
		size_t len = strcspn(at, "\r\n"), end = len + strspn(at + len, "\r\n");

		iot_buf_addf(&board->out, len > 0 ? "\x1b[1;32m%.*s\x1b[0m" : "%.*s", (int)len, at);
		iot_buf_add(&board->out, at + len, end - len);
		at += end;
	}
	iot_buf_release(&said);
}

static void feed(struct board_sim *board, char c)
{
	struct nrf91_sim *modem = board->self;
	size_t from = board->out.len;

	sim_at_feed(board, &modem->at, c);
	if (board->out.len > from + 1 && board_sim_fault(board, "ansi", ""))
		colour(board, from);
}

const struct board_sim_kind board_sim_nrf91 = {
	.name = "nrf91",
	.summary = "Nordic nRF91 modem and an application that connects",
	.faults = faults,
	.power_on = power_on,
	.power_off = power_off,
	.feed = feed,
	.watch = nrf91_app_watch,
	.work = nrf91_app_work,
};
