/*
 * Who is connected. Every connection has a number that grows, and what an older
 * connection says about itself is ignored: a device that comes back before its
 * first connection was found dead must not be shown as gone.
 */
#include "local_private.h"

enum iot_status iot_local_presence(struct iot_cloud *cloud, const char *client_id, bool connected, int64_t connection,
				   const char *reason, const char *address, const char *certificate_id,
				   struct iot_error *err)
{
	struct iot_local *local = iot_local_of(cloud);

	/* A leave keeps the address and certificate that the connection came with. */
	return iot_store_run(local->store, NULL, err,
			     "INSERT INTO presence (client_id, connected, connection, changed_at, reason, address,"
			     " certificate_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
			     " ON CONFLICT (client_id) DO UPDATE SET connected = ?2, connection = ?3, changed_at = ?4,"
			     " reason = ?5, address = CASE WHEN ?2 THEN ?6 ELSE ifnull(?6, address) END,"
			     " certificate_id = CASE WHEN ?2 THEN ?7 ELSE ifnull(?7, certificate_id) END"
			     " WHERE connection < ?3 OR (connection = ?3 AND connected)",
			     "siiisss", client_id, (int64_t)connected, connection, iot_now_ms(), reason, address,
			     certificate_id);
}

enum iot_status iot_local_presence_reset(struct iot_cloud *cloud, struct iot_error *err)
{
	/* The numbers start anew: a connection that lasted through the restart is told of again with the one it had. */
	return iot_store_run(iot_local_of(cloud)->store, NULL, err,
			     "UPDATE presence SET connected = 0, connection = 0, changed_at = ?,"
			     " reason = 'SERVICE_RESTARTED' WHERE connected",
			     "i", iot_now_ms());
}

enum iot_status iot_local_presence_count(struct iot_cloud *cloud, int64_t *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	enum iot_status status =
		iot_stmt_get(iot_local_of(cloud)->store, "SELECT count(*) FROM presence WHERE connected", &stmt, err);
	bool row = false;

	if (status == IOT_OK)
		status = iot_stmt_step(stmt, &row, err);
	if (status == IOT_OK)
		*ret = iot_stmt_int(stmt, 0);
	return status;
}
