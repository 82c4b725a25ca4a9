/*
 * A SIM7600 as its AT command manual has it: files that are written by an exact
 * count, listed and deleted, but not read; settings of TLS; the first APN. It is
 * as trusting as the real one: what is in a file shows only when TLS uses it.
 */
#include "sim/board/sim7600.h"

#include "iotctl/base.h"
#include "iotctl/digest.h"
#include "iotctl/json.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>

enum { FILE_LEN_MAX = 10240, FILES_MAX = 32, NAME_MIN = 5, NAME_LEN_MAX = 108, LINE_MAX_LEN = 2048, CONTEXTS = 10 };

/*
 * Beside those of at.h. short: it waits for one byte more than it was told; surplus:
 * it takes half of them; full: the file
 * system has no room; download-word: DOWNLOAD instead of '>'; one-line-list: all names in one line; early-result:
 * results before the OK; volatile: settings of TLS are lost with the power; no-sni: firmware without it; no-network: no
 * mobile network; link-lost: it is lost as soon as it is connected.
 */
static const char *const faults[] = {SIM_AT_FAULTS,   "short",         "surplus",      "full",
				     "download-word", "one-line-list", "early-result", "volatile",
				     "no-sni",        "no-network",    "link-lost",    NULL};

/* --- what it keeps --------------------------------------------------------------------- */

static json_t *kept(const struct board_sim *board, const char *name)
{
	json_t *object = json_object_get(board->state, name);

	if (object == NULL) {
		object = json_object();
		json_object_set_new(board->state, name, object);
	}
	return object;
}

const char *modem_file(const struct board_sim *board, const char *setting)
{
	const char *name = iot_json_str(kept(board, "tls"), setting, "");

	return iot_json_str(kept(board, "files"), name, NULL);
}

int64_t modem_number(const struct board_sim *board, const char *setting, int64_t fallback)
{
	return iot_json_int(kept(board, "tls"), setting, fallback);
}

/* --- who it is ------------------------------------------------------------------------------ */

static const char *imei(struct board_sim *board)
{
	const char *known = iot_json_str(board->state, "imei", NULL);
	uint8_t digest[IOT_SHA256_SIZE];
	IOT_CLEAN(iot_free_p) char *path = NULL;
	char text[16] = "86758403";
	int sum = 0;

	if (known != NULL)
		return known;
	path = realpath(board->dir, NULL); /* "./lte1.state" in another folder is another module */
	iot_sha256(path != NULL ? path : board->dir, strlen(path != NULL ? path : board->dir), digest);
	for (size_t i = 8; i < 14; i++)
		text[i] = (char)('0' + digest[i] % 10);
	for (size_t i = 0; i < 14; i++) {
		int digit = (text[i] - '0') * (i % 2 == 1 ? 2 : 1);

		sum += digit / 10 + digit % 10;
	}
	text[14] = (char)('0' + (10 - sum % 10) % 10);
	iot_json_set_str(board->state, "imei", text);
	board_sim_save(board);
	return iot_json_str(board->state, "imei", "");
}

static int cgsn(struct board_sim *board, const struct sim_at_request *request)
{
	struct modem *modem = board->self;

	(void)request;
	sim_at_say(board, &modem->at, "%s", imei(board));
	return SIM_AT_OK;
}

static int cgmi(struct board_sim *board, const struct sim_at_request *request)
{
	struct modem *modem = board->self;

	(void)request;
	sim_at_say(board, &modem->at, "SIMCOM INCORPORATED");
	return SIM_AT_OK;
}

static int cgmm(struct board_sim *board, const struct sim_at_request *request)
{
	struct modem *modem = board->self;

	(void)request;
	sim_at_say(board, &modem->at, "SIMCOM_SIM7600E-H");
	return SIM_AT_OK;
}

static int cgmr(struct board_sim *board, const struct sim_at_request *request)
{
	struct modem *modem = board->self;

	(void)request;
	sim_at_say(board, &modem->at, "+CGMR: LE20B04SIM7600M22");
	return SIM_AT_OK;
}

/* --- files ------------------------------------------------------------------------------------ */

static int ccertlist(struct board_sim *board, const struct sim_at_request *request)
{
	struct modem *modem = board->self;
	bool one_line = board_sim_fault(board, "one-line-list", "CCERTLIST");
	struct iot_buf names = IOT_BUF_INIT(FILES_MAX * (NAME_LEN_MAX + 3));
	const char *name;
	json_t *text;

	(void)request;
	json_object_foreach(kept(board, "files"), name, text) {
		if (!one_line)
			sim_at_say(board, &modem->at, "+CCERTLIST: \"%s\"", name);
		iot_buf_addf(&names, "%s\"%s\"", names.len > 0 ? "," : "", name);
	}
	if (one_line && names.len > 0)
		sim_at_say(board, &modem->at, "+CCERTLIST: %s", iot_buf_str(&names));
	iot_buf_release(&names);
	return SIM_AT_OK;
}

static bool is_file_name(const struct sim_at_arg *arg)
{
	return arg->quoted && arg->len >= NAME_MIN && arg->len <= NAME_LEN_MAX &&
	       (iot_ends_with(arg->text, ".pem") || iot_ends_with(arg->text, ".der"));
}

static int store_file(struct board_sim *board, const struct iot_buf *data)
{
	struct modem *modem = board->self;
	json_t *files = kept(board, "files");

	if (board_sim_fault(board, "full", modem->command) || json_object_size(files) >= FILES_MAX)
		return SIM_AT_ERROR;
	/* JSON holds text; what is none became garbage on its way, and garbage it stays */
	json_object_set_new(files, modem->name,
			    iot_utf8_valid(iot_buf_str(data), data->len) ? json_string(iot_buf_str(data))
									 : json_string("garbage"));
	board_sim_save(board);
	board_sim_tell(board, "stored", "%s", modem->name);
	return SIM_AT_OK;
}

static int ccertdown(struct board_sim *board, const struct sim_at_request *request)
{
	struct modem *modem = board->self;
	bool word = board_sim_fault(board, "download-word", "CCERTDOWN");
	int64_t len;

	if (request->count != 2 || !is_file_name(&request->args[0]) ||
	    !sim_at_number(&request->args[1], 1, FILE_LEN_MAX, &len) ||
	    json_object_get(kept(board, "files"), request->args[0].text) != NULL)
		return SIM_AT_ERROR;
	snprintf(modem->name, sizeof(modem->name), "%s", request->args[0].text);
	snprintf(modem->command, sizeof(modem->command), "CCERTDOWN=\"%s\"", modem->name);
	if (board_sim_fault(board, "short", modem->command))
		len++;
	if (board_sim_fault(board, "surplus", modem->command) && len > 1)
		len /= 2;
	return sim_at_prompt(board, &modem->at, word ? "\r\nDOWNLOAD\r\n" : "\r\n>", (size_t)len, store_file);
}

static int ccertdele(struct board_sim *board, const struct sim_at_request *request)
{
	if (request->count != 1 || json_object_del(kept(board, "files"), request->args[0].text) != 0)
		return SIM_AT_ERROR;
	board_sim_save(board);
	return SIM_AT_OK;
}

/* --- settings ------------------------------------------------------------------------------------ */

static const struct setting {
	const char *name;
	int64_t min, max; /* both 0: the name of a file */
} settings[] = {{"sslversion", 0, 4}, {"authmode", 0, 3},   {"ignorelocaltime", 0, 1}, {"negotiatetime", 10, 300},
		{"cacert", 0, 0},     {"clientcert", 0, 0}, {"clientkey", 0, 0},       {"enableSNI", 0, 1}};

static void show_context(struct board_sim *board, int number)
{
	struct modem *modem = board->self;
	json_t *tls = number == 0 ? kept(board, "tls") : NULL;

	sim_at_say(board, &modem->at, "+CSSLCFG: %d,%d,%d,%d,%d,\"%s\",\"%s\",\"%s\",%d", number,
		   (int)iot_json_int(tls, "sslversion", 4), (int)iot_json_int(tls, "authmode", 0),
		   (int)iot_json_int(tls, "ignorelocaltime", 1), (int)iot_json_int(tls, "negotiatetime", 300),
		   iot_json_str(tls, "cacert", ""), iot_json_str(tls, "clientcert", ""),
		   iot_json_str(tls, "clientkey", ""), (int)iot_json_int(tls, "enableSNI", 0));
}

/* The first context alone is kept: nothing here uses the others. */
static int csslcfg(struct board_sim *board, const struct sim_at_request *request)
{
	const struct setting *setting = NULL;
	const struct sim_at_arg *value = &request->args[2];
	json_t *tls = kept(board, "tls");
	int64_t context, number;

	for (int i = 0; request->form == SIM_AT_READ && i < CONTEXTS; i++)
		show_context(board, i);
	if (request->form == SIM_AT_READ)
		return SIM_AT_OK;
	for (size_t i = 0; i < IOT_LENGTH(settings); i++)
		if (strcmp(settings[i].name, request->args[0].text) == 0)
			setting = &settings[i];
	if (request->count != 3 || setting == NULL || !sim_at_number(&request->args[1], 0, CONTEXTS - 1, &context) ||
	    (strcmp(setting->name, "enableSNI") == 0 && board_sim_fault(board, "no-sni", "CSSLCFG")))
		return SIM_AT_ERROR;
	if (setting->max > 0 && !sim_at_number(value, setting->min, setting->max, &number))
		return SIM_AT_ERROR;
	if (setting->max == 0 && (!value->quoted || json_object_get(kept(board, "files"), value->text) == NULL))
		return SIM_AT_ERROR;
	if (context != 0)
		return SIM_AT_OK;
	if (setting->max > 0)
		json_object_set_new(tls, setting->name, json_integer(number));
	else
		iot_json_set_str(tls, setting->name, value->text);
	board_sim_save(board);
	return SIM_AT_OK;
}

static int cgdcont(struct board_sim *board, const struct sim_at_request *request)
{
	struct modem *modem = board->self;

	if (request->form == SIM_AT_READ) {
		sim_at_say(board, &modem->at, "+CGDCONT: 1,\"IP\",\"%s\",\"0.0.0.0\",0,0,0,0",
			   iot_json_str(board->state, "apn", ""));
		return SIM_AT_OK;
	}
	if (request->count < 3 || strcmp(request->args[0].text, "1") != 0 || !request->args[2].quoted)
		return SIM_AT_ERROR;
	iot_json_set_str(board->state, "apn", request->args[2].text);
	board_sim_save(board);
	return SIM_AT_OK;
}

/* --- power ------------------------------------------------------------------------------------------ */

static const struct sim_at_command commands[] = {
	{"+CGMI", SIM_AT_RUN, cgmi, false},
	{"+CGMM", SIM_AT_RUN, cgmm, false},
	{"+CGMR", SIM_AT_RUN, cgmr, false},
	{"+CGSN", SIM_AT_RUN, cgsn, false},
	{"+CCERTLIST", SIM_AT_RUN, ccertlist, false},
	{"+CCERTDOWN", SIM_AT_SET, ccertdown, false},
	{"+CCERTDELE", SIM_AT_SET, ccertdele, false},
	{"+CSSLCFG", SIM_AT_SET | SIM_AT_READ, csslcfg, false},
	{"+CGDCONT", SIM_AT_SET | SIM_AT_READ, cgdcont, false},
	{"+CMQTTSTART", SIM_AT_RUN, modem_mqtt_start, false},
	{"+CMQTTACCQ", SIM_AT_SET, modem_mqtt_accq, false},
	{"+CMQTTSSLCFG", SIM_AT_SET, modem_mqtt_sslcfg, false},
	{"+CMQTTCONNECT", SIM_AT_SET, modem_mqtt_connect, false},
	{"+CMQTTDISC", SIM_AT_SET, modem_mqtt_disc, false},
	{"+CMQTTREL", SIM_AT_SET, modem_mqtt_rel, false},
	{"+CMQTTSTOP", SIM_AT_RUN, modem_mqtt_stop, false},
	{NULL, 0, NULL, false},
};
static const struct sim_at_options at_options = {
	.commands = commands, .urc = "+CGEV: EPS PDN ACT 1", .echo = true, .line_max = LINE_MAX_LEN};

static void *power_on(struct board_sim *board)
{
	struct modem *modem = iot_alloc(sizeof(*modem));

	sim_at_init(&modem->at, &at_options);
	if (board_sim_fault(board, "volatile", ""))
		json_object_del(board->state, "tls");
	sim_at_say(board, &modem->at, "RDY");
	sim_at_say(board, &modem->at, "+CPIN: READY");
	sim_at_say(board, &modem->at, "SMS DONE");
	sim_at_say(board, &modem->at, "PB DONE");
	return modem;
}

static void power_off(struct board_sim *board)
{
	struct modem *modem = board->self;

	modem_mqtt_end(modem);
	sim_at_release(&modem->at);
	free(modem->client_id);
	free(modem);
	board->self = NULL;
}

static void feed(struct board_sim *board, char c)
{
	struct modem *modem = board->self;

	sim_at_feed(board, &modem->at, c);
}

const struct board_sim_kind board_sim_sim7600 = {
	.name = "sim7600",
	.summary = "SIMCom SIM7600 LTE module",
	.faults = faults,
	.power_on = power_on,
	.power_off = power_off,
	.feed = feed,
	.watch = modem_mqtt_watch,
	.work = modem_mqtt_work,
};
