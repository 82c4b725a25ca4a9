/*
 * Whose is a serial number? A board that lost its key in the middle of being
 * done once more has a new certificate in the journal and its old one in the
 * registry, until that is taken away: the number is still its own.
 */
#include "fleet/fleet_private.h"
#include "fleet/journal.h"
#include "fleet/provision_private.h"
#include "fleet/station_private.h"

#include "fleet/provision_fixture.h"

static struct iot_board_description *description;

static void set_up(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	make_fleet();
	ASSERT_OK(iot_board_description_load("stm32u5", &description, &err), &err);
}

static void tear_down(void)
{
	iot_board_description_free(description);
	remove_fleet();
}

static void call(const char *operation, json_t *request)
{
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_cloud_call(cloud, operation, request, NULL, NULL, NULL, &err), &err);
	json_decref(request);
}

/* A registered certificate. */
static void make_certificate(char id[IOT_SHA256_HEX_SIZE])
{
	struct iot_error err = IOT_ERROR_INIT;
	IOT_CLEAN(iot_buf_release) struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;

	ASSERT_OK(iot_key_generate(IOT_KEY_P256, &key, &err), &err);
	ASSERT_OK(iot_ca_create_root(key, "pump", 30, &cert, &err), &err);
	iot_cert_pem(cert, &pem);
	snprintf(id, IOT_SHA256_HEX_SIZE, "%s", iot_cert_id(cert));
	call("RegisterCertificateWithoutCA",
	     json_pack("{s:s, s:s}", "certificatePem", iot_buf_str(&pem), "status", "ACTIVE"));
}

/* Thing "pump-1" with number 0001 and this certificate. */
static void make_thing(const char *certificate_id)
{
	IOT_CLEAN(iot_free_p) char *arn = fleet_arn(cloud, "cert", certificate_id);

	call("CreateThing", json_pack("{s:s, s:{s:{s:s}}}", "thingName", "pump-1", "attributePayload", "attributes",
				      "serialNumber", "0001"));
	call("AttachThingPrincipal", json_pack("{s:s, s:s}", "thingName", "pump-1", "principal", arn));
}

/* What the journal has of board "chip-1", which is called that. */
static void begin_board(const char *certificate_id, const char *replaces)
{
	IOT_CLEAN(iot_store_close_p) struct iot_store *opened = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	const char *fleet = provision_fleet(&(const struct provision){.cloud = cloud});

	ASSERT_OK(journal_open(journal, &opened, &err), &err);
	ASSERT_OK(iot_store_run(opened, NULL, &err,
				"INSERT INTO boards (fleet, kind, uid, serial_number, thing, certificate_id, replaces,"
				" port, state, started_at, updated_at)"
				" VALUES (?, 'stm32u5', 'chip-1', '0001', 'pump-1', ?, ?, '/dev/a', 'open', 1, 1)",
				"sss", fleet, certificate_id, replaces),
		  &err);
}

/* Who has number 0001, when chip `uid` asks; new memory, NULL: nobody else. */
static char *owner_for(const char *uid)
{
	const struct taken_question question = {.cloud = cloud,
						.journal = journal,
						.description = description,
						.uid = uid,
						.alias = "pump-1",
						.serial = "0001"};
	struct iot_error err = IOT_ERROR_INIT;
	char *owner = NULL;

	ASSERT_OK(serial_taken(&question, &owner, &err), &err);
	return owner;
}

static void test_replaced(void)
{
	char old[IOT_SHA256_HEX_SIZE], new[IOT_SHA256_HEX_SIZE];

	make_certificate(old);
	make_certificate(new);
	make_thing(old);
	begin_board(new, old);
	CU_ASSERT_PTR_NULL(owner_for("chip-1"));
}

static void test_stranger(void)
{
	char old[IOT_SHA256_HEX_SIZE], new[IOT_SHA256_HEX_SIZE];
	char *owner;

	make_certificate(old);
	make_certificate(new);
	make_thing(old);
	begin_board(new, NULL); /* what the thing has is nothing that this board ever had */
	owner = owner_for("chip-1");
	CU_ASSERT_STRING_EQUAL(owner != NULL ? owner : "", "device 'pump-1'");
	free(owner);
	owner = owner_for("chip-2");
	CU_ASSERT_STRING_EQUAL(owner != NULL ? owner : "", "board 'chip-1'");
	free(owner);
}

static void test_nobody(void)
{
	CU_ASSERT_PTR_NULL(owner_for("chip-1"));
}

UNIT_MAIN("fleet/station_taken", set_up, tear_down, {"replaced", test_replaced}, {"stranger", test_stranger},
	  {"nobody", test_nobody})
