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
	       holds(values, "SSID", SSID) && holds(values, "Passphrase", PASSWORD) && holds(values, "APN", apn) &&
	       holds_cert(values, "RootCA", "/ca/root.pem") &&
	       holds_cert(values, "HOTAcertificate", "/codesign/default.pem");
}

/* --- SIM7600 ------------------------------------------------------------------------------------- */

static int run_sim7600(const struct row *row, const char *link, bool faulty)
{
	const struct iot_sim_board_options options = {
		.kind = "sim7600",
		.link = link,
		.faults = (const char *const *)row->faults,
		.fault_count = faulty ? row->fault_count : 0,
		.seed = (uint64_t)(row - rows) + 1,
	};

	return (int)iot_sim_board_run(&options, NULL, NULL, NULL);
}

static void sim7600_thing(const char *link, char name[129])
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

/* --- all of them ------------------------------------------------------------------------------------ */

static const char *const expresslink_scenarios[] = {"fresh", "moved", "replace", NULL};
static const char *const sim7600_scenarios[] = {"fresh", "moved", NULL};

static const struct subject subjects[] = {
	{"expresslink", "iotctl/ExpressLink simulator/1.0.0", expresslink_scenarios, true, true, run_expresslink,
	 expresslink_thing, expresslink_endpoint, expresslink_certificate, expresslink_is_programmed},
	{"sim7600", "SIMCOM INCORPORATED/SIMCOM_SIM7600E-H/LE20B04SIM7600M22", sim7600_scenarios, false, false,
	 run_sim7600, sim7600_thing, sim7600_endpoint, sim7600_certificate, sim7600_is_programmed},
};

const struct subject *subject_of(const char *name)
{
	for (size_t i = 0; i < IOT_LENGTH(subjects); i++)
		if (strcmp(subjects[i].name, name) == 0)
			return &subjects[i];
	die("the table is for no board that could be played");
}
