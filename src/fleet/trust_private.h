/* Between the files of new trust: what is new, read and checked. */
#ifndef IOTCTL_FLEET_TRUST_PRIVATE_H
#define IOTCTL_FLEET_TRUST_PRIVATE_H

#include "fleet/fleet_private.h"
#include "fleet/journal.h"
#include "iotctl/trust.h"

#define TRUST_HOST_SIZE 257

struct trust_change {
	const struct iot_trust_change *spec;
	struct fleet_surroundings fleet; /* where devices are now */
	char host[TRUST_HOST_SIZE];      /* of the new endpoint; "": it stays */
	int port;                        /* that comes with it; 0: none was given */
	struct iot_buf root_ca;          /* PEM; empty: it stays */
	char root_id[IOT_SHA256_HEX_SIZE];
};
#define TRUST_CHANGE_INIT                                                                                              \
	{                                                                                                              \
		.root_ca = IOT_BUF_INIT(IOT_CERT_PEM_MAX)                                                              \
	}

/* Read what is new, and what the fleet has. IOT_USAGE: nothing is new, or it is no CA's certificate. */
IOT_CHECK enum iot_status trust_read(struct iot_cloud *cloud, const struct iot_trust_change *spec,
				     struct trust_change *ret, struct iot_error *err);
void trust_release(struct trust_change *change);
/* The certificate of a CA from a file, as PEM without what files carry around it. */
IOT_CHECK enum iot_status trust_read_root(const char *path, struct iot_buf *pem, char id[IOT_SHA256_HEX_SIZE],
					  struct iot_error *err);
/*
 * Would devices believe the endpoint afterwards? `host` and `port`: where they are now, used when the endpoint stays;
 * `root`: what they have now, used when the root CA stays. Nothing is looked at with `force`.
 */
IOT_CHECK enum iot_status trust_check(const struct trust_change *change, const char *host, int port, const char *root,
				      struct iot_error *err);

/* --- the station's journal (journal_trust.c): a row for each board that is on its way --- */
struct journal_trust {
	bool unfinished; /* a run before did not come to its end */
	char *old_endpoint, *old_root_ca;
};
void journal_trust_release(struct journal_trust *entry);
IOT_CHECK enum iot_status journal_trust_get(struct iot_store *journal, const char *fleet, const char *uid,
					    struct journal_trust *ret, struct iot_error *err);
/* It is about to be touched. On the disk when it returns. What is new takes the place of what an unfinished run had. */
IOT_CHECK enum iot_status journal_trust_begin(struct iot_store *journal, const char *fleet, const char *uid,
					      const char *endpoint, const char *root_ca,
					      const struct journal_trust *entry, struct iot_error *err);
/* It is at its end, there or back. */
IOT_CHECK enum iot_status journal_trust_end(struct iot_store *journal, const char *fleet, const char *uid,
					    struct iot_error *err);

#endif
