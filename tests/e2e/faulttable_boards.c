/* The boards that tables of faults are played with: how each is run, and what is in its flash. */
#include "faulttable.h"

#include "iotctl/base.h"
#include "iotctl/cert.h"
#include "iotctl/fs.h"
#include "iotctl/json.h"
#include "iotctl/key.h"
#include "iotctl/sim.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>

#define WITH_SPACE "correct horse"
#define WITHOUT_SPACE "correct-horse"

/* As a power cut now would leave it. */
static json_t *flash_of(const char *link)
{
	IOT_CLEAN(iot_free_p) char *path = iot_strf("%s.state/state.json", link);

	return json_load_file(path, 0, NULL);
}

static struct iot_cert *cert_at(const char *dir, const char *name)
{
	IOT_CLEAN(iot_free_p) char *path = iot_strf("%s%s", dir, name);
	struct iot_cert *cert = NULL;

	if (iot_cert_load(path, &cert, NULL) != IOT_OK)
		die("no certificate where one must be");
	return cert;
}

static bool holds_cert(const json_t *values, const char *key, const char *file)
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *wanted = cert_at(fleet, file);
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *held = NULL;
	const char *pem = iot_json_str(values, key, "");

	if (iot_cert_parse_pem(pem, strlen(pem), key, &held, NULL) == IOT_OK &&
	    strcmp(iot_cert_id(held), iot_cert_id(wanted)) == 0)
		return true;
	return complaint("the module holds another %s: %s", key, pem);
}

static bool holds(const json_t *values, const char *key, const char *wanted)
{
	const char *held = iot_json_str(values, key, "");

	return strcmp(held, wanted) == 0 || complaint("the module's %s is '%s', not '%s'", key, held, wanted);
}

/* --- ExpressLink ------------------------------------------------------------------------------ */

static int run_expresslink(const struct row *row, const char *link, bool faulty)
{
	const bool network = strcmp(row->scenario, "fresh") == 0;
	const struct iot_sim_expresslink_options options = {
		.link = link,
		.broker_port = broker_port,
		.faults = (const char *const *)row->faults,
		.fault_count = faulty ? row->fault_count : 0,
		.seed = (uint64_t)(row - rows) + 1,
		.ssid = network ? SSID : NULL,
		.wifi_password = network ? password_file : NULL,
	};

	return (int)iot_sim_expresslink_run(&options, NULL, NULL, NULL);
}

static struct iot_cert *birth_certificate(const char *link)
{
	IOT_CLEAN(iot_free_p) char *state = iot_strf("%s.state", link);

	return cert_at(state, "/certificate.pem");
}

static void expresslink_thing(const char *link, char name[129])
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = birth_certificate(link);
	const char *uid = NULL;

	if (iot_cert_common_name(cert, &uid, NULL) != IOT_OK)
		die("a module without a name");
	snprintf(name, 129, "%s", uid);
}

static void expresslink_certificate(const char *link, char id[IOT_SHA256_HEX_SIZE])
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = birth_certificate(link);

	snprintf(id, IOT_SHA256_HEX_SIZE, "%s", iot_cert_id(cert));
}

static void expresslink_endpoint(const char *link, char endpoint[257])
{
	IOT_JSON flash = flash_of(link);

	snprintf(endpoint, 257, "%s", iot_json_str(json_object_get(flash, "values"), "Endpoint", ""));
}

static bool expresslink_is_programmed(const char *link, const char *apn)
{
	IOT_JSON flash = flash_of(link);
	const json_t *values = json_object_get(flash, "values");

	return holds(values, "CustomName", link) && holds(values, "Endpoint", "localhost") &&
	       holds(values, "SSID", SSID) && holds(values, "Passphrase", WITH_SPACE) && holds(values, "APN", apn) &&
	       holds_cert(values, "RootCA", "/ca/root.pem") &&
	       holds_cert(values, "HOTAcertificate", "/codesign/default.pem");
}

/* --- SIM7600 ------------------------------------------------------------------------------------- */

static void keep_command(const char *name, const char *detail, void *data)
{
	FILE *file = strcmp(name, "command") == 0 ? fopen(data, "ae") : NULL;

	if (file == NULL)
		return;
	fprintf(file, "%s\n", detail);
	fclose(file);
}

static int run_kind(const char *kind, const struct row *row, const char *link, bool faulty)
{
	IOT_CLEAN(iot_free_p) char *commands = iot_strf("%s.commands", link);
	const struct iot_sim_board_options options = {
		.kind = kind,
		.link = link,
		.faults = (const char *const *)row->faults,
		.fault_count = faulty ? row->fault_count : 0,
		.seed = (uint64_t)(row - rows) + 1,
	};

	return (int)iot_sim_board_run(&options, keep_command, commands, NULL);
}

static int run_sim7600(const struct row *row, const char *link, bool faulty)
{
	return run_kind("sim7600", row, link, faulty);
}

static void named_thing(const char *link, char name[129])
{
	snprintf(name, 129, "%s", link);
}

/* The file that TLS is told to use. */
static const char *used_file(const json_t *flash, const char *role)
{
	const char *name = iot_json_str(json_object_get(flash, "tls"), role, "");

	return iot_json_str(json_object_get(flash, "files"), name, "");
}

static void sim7600_certificate(const char *link, char id[IOT_SHA256_HEX_SIZE])
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	IOT_JSON flash = flash_of(link);
	const char *pem = used_file(flash, "clientcert");

	*id = '\0';
	if (iot_cert_parse_pem(pem, strlen(pem), link, &cert, NULL) == IOT_OK)
		snprintf(id, IOT_SHA256_HEX_SIZE, "%s", iot_cert_id(cert));
}

/* Short values are told by the names of their files. */
static const char *named_file(const json_t *flash, const char *prefix)
{
	const char *name;
	json_t *text;

	json_object_foreach(json_object_get(flash, "files"), name, text)
		if (iot_starts_with(name, prefix))
			return name;
	return "";
}

static void sim7600_endpoint(const char *link, char endpoint[257])
{
	IOT_JSON flash = flash_of(link);
	const char *name = named_file(flash, "endpoint_");

	snprintf(endpoint, 257, "%s", strcmp(name, "endpoint_localhost.pem") == 0 ? "localhost" : name);
}

static bool sim7600_is_programmed(const char *link, const char *apn)
{
	IOT_CLEAN(iot_free_p) char *thing = iot_strf("thing_%s.pem", link);
	IOT_CLEAN(iot_free_p) char *port = iot_strf("port_%d.pem", broker_port);
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	IOT_JSON flash = flash_of(link);
	IOT_JSON ca = json_pack("{s:s}", "root CA", used_file(flash, "cacert"));
	const char *cert_pem = used_file(flash, "clientcert"), *key_pem = used_file(flash, "clientkey");

	if (iot_cert_parse_pem(cert_pem, strlen(cert_pem), link, &cert, NULL) != IOT_OK ||
	    iot_key_from_private_pem(key_pem, strlen(key_pem), link, NULL, &key, NULL) != IOT_OK ||
	    !iot_key_equal(key, iot_cert_key(cert)))
		return complaint("the module's certificate and key are not of one another");
	if (json_object_size(json_object_get(flash, "files")) != 6 || strcmp(named_file(flash, "thing_"), thing) != 0 ||
	    strcmp(named_file(flash, "port_"), port) != 0 ||
	    strcmp(named_file(flash, "endpoint_"), "endpoint_localhost.pem") != 0) {
		json_dumpf(json_object_get(flash, "files"), stderr, JSON_COMPACT);
		return complaint(" are not the files that were wanted");
	}
	return holds(flash, "apn", apn) && holds_cert(ca, "root CA", "/ca/root.pem");
}

/* --- boards with a console, and those whose credentials have tags ------------------------------------- */

static void id_of(const char *pem, const char *link, char id[IOT_SHA256_HEX_SIZE])
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;

	*id = '\0';
	if (iot_cert_parse_pem(pem, strlen(pem), link, &cert, NULL) == IOT_OK)
		snprintf(id, IOT_SHA256_HEX_SIZE, "%s", iot_cert_id(cert));
}

static bool is_pair(const char *cert_pem, const char *key_pem)
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;

	return (iot_cert_parse_pem(cert_pem, strlen(cert_pem), "certificate", &cert, NULL) == IOT_OK &&
		iot_key_from_private_pem(key_pem, strlen(key_pem), "key", NULL, &key, NULL) == IOT_OK &&
		iot_key_equal(key, iot_cert_key(cert))) ||
	       complaint("the board's certificate and key are not of one another");
}

static bool holds_root(const char *pem)
{
	IOT_JSON ca = json_pack("{s:s}", "root CA", pem);

	return holds_cert(ca, "root CA", "/ca/root.pem");
}

static int run_freertos(const struct row *row, const char *link, bool faulty)
{
	return run_kind("freertos", row, link, faulty);
}

static void freertos_certificate(const char *link, char id[IOT_SHA256_HEX_SIZE])
{
	IOT_JSON flash = flash_of(link);

	id_of(iot_json_str(flash, "tls_cert", ""), link, id);
}

static void freertos_endpoint(const char *link, char endpoint[257])
{
	IOT_JSON flash = flash_of(link);

	snprintf(endpoint, 257, "%s", iot_json_str(json_object_get(flash, "conf"), "mqtt_endpoint", ""));
}

static bool freertos_is_programmed(const char *link, const char *apn)
{
	IOT_CLEAN(iot_free_p) char *signer_path = iot_strf("%s/codesign/default.pub", fleet);
	IOT_CLEAN(iot_free_p) char *port = iot_strf("%d", broker_port);
	IOT_CLEAN(iot_key_free_p) struct iot_key *signer = NULL;
	IOT_CLEAN(iot_key_free_p) struct iot_key *held = NULL;
	IOT_JSON flash = flash_of(link);
	const json_t *conf = json_object_get(flash, "conf");
	const char *pem = iot_json_str(flash, "ota_signer_pub", "");

	(void)apn;
	if (iot_key_load_public(signer_path, &signer, NULL) != IOT_OK ||
	    iot_key_from_public_pem(pem, strlen(pem), link, &held, NULL) != IOT_OK || !iot_key_equal(signer, held))
		return complaint("the board has another code-signing key");
	return is_pair(iot_json_str(flash, "tls_cert", ""), iot_json_str(flash, "tls_key_priv", "")) &&
	       holds_root(iot_json_str(flash, "root_ca_cert", "")) && holds(conf, "thing_name", link) &&
	       holds(conf, "mqtt_endpoint", "localhost") && holds(conf, "mqtt_port", port) &&
	       holds(conf, "wifi_ssid", SSID) && holds(conf, "wifi_credential", WITHOUT_SPACE);
}

static int run_nrf91(const struct row *row, const char *link, bool faulty)
{
	return run_kind("nrf91", row, link, faulty);
}

enum { NRF91_TAG = 16842753, NRF91_CA = 0, NRF91_CERTIFICATE, NRF91_KEY };

static const char *nrf91_holds(const json_t *flash, int type)
{
	size_t index;
	json_t *one;

	json_array_foreach(json_object_get(flash, "credentials"), index, one)
		if (iot_json_int(one, "tag", 0) == NRF91_TAG && iot_json_int(one, "type", -1) == type)
			return iot_json_str(one, "content", "");
	return "";
}

static void nrf91_certificate(const char *link, char id[IOT_SHA256_HEX_SIZE])
{
	IOT_JSON flash = flash_of(link);

	id_of(nrf91_holds(flash, NRF91_CERTIFICATE), link, id);
}

/* Its application has its own. */
static void nrf91_endpoint(const char *link, char endpoint[257])
{
	(void)link;
	*endpoint = '\0';
}

static bool nrf91_is_programmed(const char *link, const char *apn)
{
	IOT_JSON flash = flash_of(link);

	(void)apn;
	return is_pair(nrf91_holds(flash, NRF91_CERTIFICATE), nrf91_holds(flash, NRF91_KEY)) &&
	       holds_root(nrf91_holds(flash, NRF91_CA));
}

static int run_zephyr(const struct row *row, const char *link, bool faulty)
{
	return run_kind("zephyr", row, link, faulty);
}

/* Kept as base64 of a text that ends with a NUL. */
static char *zephyr_holds(const json_t *flash, const char *name)
{
	const char *base64 = iot_json_str(json_object_get(flash, "credentials"), name, "");
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_SECRET(32768);

	if (!iot_unbase64(base64, strlen(base64), &text))
		die("no base64 where it must be");
	return iot_strdup(iot_buf_str(&text));
}

static void zephyr_certificate(const char *link, char id[IOT_SHA256_HEX_SIZE])
{
	IOT_JSON flash = flash_of(link);
	IOT_CLEAN(iot_free_p) char *cert = zephyr_holds(flash, "42 SERV");

	id_of(cert, link, id);
}

static void zephyr_endpoint(const char *link, char endpoint[257])
{
	IOT_JSON flash = flash_of(link);

	snprintf(endpoint, 257, "%s", iot_json_str(json_object_get(flash, "settings"), "endpoint", ""));
}

static bool zephyr_is_programmed(const char *link, const char *apn)
{
	IOT_JSON flash = flash_of(link);
	const json_t *settings = json_object_get(flash, "settings");
	IOT_CLEAN(iot_free_p) char *cert = zephyr_holds(flash, "42 SERV");
	IOT_CLEAN(iot_free_p) char *key = zephyr_holds(flash, "42 PK");
	IOT_CLEAN(iot_free_p) char *root = zephyr_holds(flash, "42 CA");
	IOT_CLEAN(iot_free_p) char *port = iot_strf("%d", broker_port);

	(void)apn;
	return is_pair(cert, key) && holds_root(root) && holds(settings, "thing", link) &&
	       holds(settings, "endpoint", "localhost") && holds(settings, "port", port);
}

/* --- all of them ------------------------------------------------------------------------------------ */

static const char *const expresslink_scenarios[] = {"fresh", "moved", "replace", NULL};
static const char *const sim7600_scenarios[] = {"fresh", "moved", NULL};
static const char *const one_scenario[] = {"fresh", NULL};

static const struct subject subjects[] = {
	{"expresslink", "expresslink", "iotctl/ExpressLink simulator/1.0.0", expresslink_scenarios, WITH_SPACE, true,
	 STAYS, " > AT+", run_expresslink, expresslink_thing, expresslink_endpoint, expresslink_certificate,
	 expresslink_is_programmed},
	{"sim7600", "sim7600", "SIMCOM INCORPORATED/SIMCOM_SIM7600E-H/LE20B04SIM7600M22", sim7600_scenarios, NULL, true,
	 SEEN_ONCE, " > AT+", run_sim7600, named_thing, sim7600_endpoint, sim7600_certificate, sim7600_is_programmed},
	{"freertos", "stm32u5", "/stm32u5/", one_scenario, WITHOUT_SPACE, false, NEVER_SEEN, NULL, run_freertos,
	 named_thing, freertos_endpoint, freertos_certificate, freertos_is_programmed},
	/* Descriptions without the proof that needs a board to come by itself: that is asked in other tests. */
	{"nrf91", "./nrf91.json", "Nordic Semiconductor/nRF9160-SICA/mfw_nrf9160_1.3.6", one_scenario, NULL, false,
	 NEVER_SEEN, NULL, run_nrf91, named_thing, nrf91_endpoint, nrf91_certificate, nrf91_is_programmed},
	{"zephyr", "./zephyr.json", "Zephyr/zephyr-app/3.7.0", one_scenario, NULL, false, NEVER_SEEN, NULL, run_zephyr,
	 named_thing, zephyr_endpoint, zephyr_certificate, zephyr_is_programmed},
};

const struct subject *subject_of(const char *name)
{
	for (size_t i = 0; i < IOT_LENGTH(subjects); i++)
		if (strcmp(subjects[i].name, name) == 0)
			return &subjects[i];
	die("the table is for no board that could be played");
}
