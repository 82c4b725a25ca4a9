/* Boards that are on their way to another endpoint or root CA, in the station's journal. */
#include "fleet/trust_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"

void journal_trust_release(struct journal_trust *entry)
{
	free(entry->old_endpoint);
	free(entry->old_root_ca);
	*entry = (struct journal_trust){0};
}

enum iot_status journal_trust_get(struct iot_store *journal, const char *fleet, const char *uid,
				  struct journal_trust *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool any = false;
	enum iot_status status = iot_stmt_query(
		journal, &stmt, &any, err, "SELECT old_endpoint, old_root_ca FROM trust WHERE fleet = ? AND uid = ?",
		"ss", fleet, uid);

	*ret = (struct journal_trust){0};
	if (status != IOT_OK || !any)
		return status;
	ret->unfinished = true;
	ret->old_endpoint = iot_strdup(iot_stmt_text(stmt, 0));
	ret->old_root_ca = iot_strdup(iot_stmt_text(stmt, 1));
	return IOT_OK;
}

enum iot_status journal_trust_begin(struct iot_store *journal, const char *fleet, const char *uid, const char *endpoint,
				    const char *root_ca, const struct journal_trust *entry, struct iot_error *err)
{
	iot_store_set_durable(journal, true);
	return iot_store_run(journal, NULL, err,
			     "INSERT INTO trust (fleet, uid, endpoint, root_ca, old_endpoint, old_root_ca, begun_at)"
			     " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (fleet, uid) DO UPDATE SET"
			     " endpoint = excluded.endpoint, root_ca = excluded.root_ca,"
			     " old_endpoint = ifnull(old_endpoint, excluded.old_endpoint),"
			     " old_root_ca = ifnull(old_root_ca, excluded.old_root_ca)",
			     "ssssssi", fleet, uid, endpoint, root_ca, entry->old_endpoint, entry->old_root_ca,
			     iot_now_ms());
}

enum iot_status journal_trust_end(struct iot_store *journal, const char *fleet, const char *uid, struct iot_error *err)
{
	return iot_store_run(journal, NULL, err, "DELETE FROM trust WHERE fleet = ? AND uid = ?", "ss", fleet, uid);
}
