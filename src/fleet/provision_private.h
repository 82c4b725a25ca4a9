/* Between the files of provisioning: one run, and its steps by what they touch. */
#ifndef IOTCTL_FLEET_PROVISION_PRIVATE_H
#define IOTCTL_FLEET_PROVISION_PRIVATE_H

#include "fleet/fleet_private.h"
#include "fleet/journal.h"
#include "fleet/presence.h"

#include "iotctl/board_description.h"
#include "iotctl/cert.h"

struct provision {
	struct iot_cloud *cloud;
	struct iot_provision_spec named;       /* as asked for; its names may come when the board is known */
	const struct iot_provision_spec *spec; /* the same, which nothing else changes */
	const char *const *policies;
	struct iot_board_description *description;
	struct iot_board *board;
	struct iot_board_identity identity;
	char *thing;           /* its name */
	char *uid;             /* what the journal knows it by */
	struct iot_key *key;   /* of a board that was not born with one; with its private part if that is here */
	struct iot_cert *cert; /* the board's */
	struct iot_buf cert_pem;
	struct iot_store *journal;
	struct journal_entry entry;
	char *endpoint, *port; /* where it is to connect; port NULL: not known */
	struct iot_buf codesign, root_ca, wifi_password;
	char *psk_identity, *attest_identity; /* of a board without a certificate; of one that attests */
	struct iot_buf psk, attest;           /* hex */
	bool new_secret;                      /* one of them was made in this run */
	enum iot_board_outcome outcomes[IOT_ITEM_COUNT];
	bool rewired; /* something was written that a connection depends on */
	bool changed;
	json_t *names;                      /* {alias?, serialNumber?} of the thing */
	struct lifecycle *lifecycle;        /* at AWS: what is heard of its connections; NULL: nothing */
	bool listened;                      /* that was tried */
	struct presence before;             /* before it was told to connect */
	int64_t told_at;                    /* seconds; 0: it was not */
	json_t *proof, *not_proved, *locks; /* arrays of texts */
};

struct provision_step {
	struct journal_step id;
	enum iot_status (*run)(struct provision *run, struct iot_error *err); /* NULL: the journal itself */
	bool (*applies)(const struct provision *run);                         /* NULL: always */
};
/* In their order; the last has no name. */
extern const struct provision_step provision_steps[];

/* --- provision_identity.c: name, key and certificate --- */
/* Where its key was made, as registry and record have it: "board" or "host". */
const char *provision_key_origin(const struct provision *run);
/*
 * What a board of this kind is called that says of itself `uid` ("": nothing) and is given these names (NULL: none);
 * new memory. NULL: by what is known of it, or not at all.
 */
char *provision_name_for(const struct iot_board_description *description, const char *uid, const char *name,
			 const char *serial);
/* Id of the key that a board holds: "" none, NULL it does not tell. */
IOT_CHECK enum iot_status provision_held_key(const struct iot_board_identity *identity, char id[IOT_SHA256_HEX_SIZE],
					     const char **ret, struct iot_error *err);
/* Has it a shared secret in place of a certificate? */
bool provision_has_psk(const struct provision *run);
/* The folder of this board's key, beside the journal; new memory. */
char *provision_key_folder(const struct provision *run);
/* Overwrite a file of secrets and remove it. */
IOT_CHECK enum iot_status provision_wipe_file(const char *path, struct iot_error *err);
/* After the board was identified: what it is to be called. */
IOT_CHECK enum iot_status provision_name(struct provision *run, struct iot_error *err);
IOT_CHECK enum iot_status provision_reserve(struct provision *run, struct iot_error *err);
IOT_CHECK enum iot_status provision_key(struct provision *run, struct iot_error *err);
IOT_CHECK enum iot_status provision_certificate(struct provision *run, struct iot_error *err);
/* The board is proved: its key here is wiped, and an identity that it had before is taken away. */
IOT_CHECK enum iot_status provision_tidy(struct provision *run, struct iot_error *err);
/*
 * Forget a board whose work ended in a conflict before anything lasting was made for it: its row in the journal and its
 * keys. One that is further, or not there, stays as it is.
 */
IOT_CHECK enum iot_status provision_forget(struct iot_cloud *cloud, const char *journal, const char *uid,
					   struct iot_error *err);

/* --- provision_secret.c --- */
/* The journal has a board's shared secret as its certificate: this, and the identity. */
#define PROVISION_PSK "psk:"
/* The identity of such a name; NULL: it is a certificate. */
const char *provision_psk_of(const char *certificate);
#define PROVISION_SECRETS "secrets" /* file in the folder of its key */
/* Has the thing another secret than this board's? */
IOT_CHECK enum iot_status provision_check_secrets(struct provision *run, struct iot_error *err);
/* Its secrets are made, or the same as before, and in the registry. */
IOT_CHECK enum iot_status provision_secret(struct provision *run, struct iot_error *err);
/* Take away a secret that the board had before, with its attestation key. */
IOT_CHECK enum iot_status provision_revoke(struct provision *run, const char *identity, struct iot_error *err);

/* --- provision_cloud.c: all that asks or tells the cloud --- */
/* The fleet's name in the journal: one station may serve several. Borrowed. */
const char *provision_fleet(const struct provision *run);
/* What the cloud has for boards: endpoint and root CA, and are the policies there? Changes nothing. */
IOT_CHECK enum iot_status provision_look(struct provision *run, struct iot_error *err);
/* May a certificate that a board was born with be registered? */
IOT_CHECK enum iot_status provision_check_certificate(struct provision *run, struct iot_error *err);
IOT_CHECK enum iot_status provision_issue(struct provision *run, struct iot_cert **ret, struct iot_error *err);
/* Did this fleet issue it, for this name, and is it still valid? */
bool provision_issued_here(struct provision *run, const struct iot_cert *cert);
IOT_CHECK enum iot_status provision_drop_replaced(struct provision *run, struct iot_error *err);
IOT_CHECK enum iot_status provision_register(struct provision *run, struct iot_error *err);
IOT_CHECK enum iot_status provision_thing(struct provision *run, struct iot_error *err);
IOT_CHECK enum iot_status provision_policy(struct provision *run, struct iot_error *err);

/* Its second name, NULL if it has none. */
const char *provision_alias(const struct provision *run);

/* --- provision_aws.c: what is done otherwise at AWS --- */
bool provision_at_aws(const struct provision *run);
IOT_CHECK enum iot_status provision_aws_look(struct provision *run, struct iot_error *err);
IOT_CHECK enum iot_status provision_aws_codesign(struct provision *run, struct iot_error *err);
/* The thing is there, and this station's. */
IOT_CHECK enum iot_status provision_aws_reserve(struct provision *run, struct iot_error *err);
IOT_CHECK enum iot_status provision_aws_issue(struct provision *run, struct iot_cert **ret, struct iot_error *err);
/* Does the account know this certificate, and is it still valid? */
bool provision_aws_knows(struct provision *run, const struct iot_cert *cert);
/* Hear who connects, where that can be heard; before the board is told to. */
void provision_aws_listen(struct provision *run);

/* --- provision_board.c --- */
/* Whose is it? IOT_CONFLICT when it is another fleet's and may not be taken over. */
IOT_CHECK enum iot_status provision_check_owner(struct provision *run, struct iot_error *err);
IOT_CHECK enum iot_status provision_program(struct provision *run, struct iot_error *err);
IOT_CHECK enum iot_status provision_connect(struct provision *run, struct iot_error *err);
IOT_CHECK enum iot_status provision_verify(struct provision *run, struct iot_error *err);
/* What the description lets nothing prove goes into the record. */
void provision_note_unproved(struct provision *run);
IOT_CHECK enum iot_status provision_lock(struct provision *run, struct iot_error *err);
/* Let it run, and see it at the broker where that is its proof. */
IOT_CHECK enum iot_status provision_start(struct provision *run, struct iot_error *err);

/* --- provision_sealed.c --- */
/* Nothing that the board holds can be read or written. */
bool provision_is_sealed(const struct provision *run);
/*
 * After the board was identified: IOT_CONFLICT for a sealed one, unless the journal knows that it was programmed and
 * verified, and then locked. What cannot be looked at any more goes into the record. Nothing for one that is not.
 */
IOT_CHECK enum iot_status provision_sealed(struct provision *run, struct iot_error *err);
/* A sealed board would have to be given `what`: IOT_CONFLICT. */
IOT_CHECK enum iot_status provision_sealed_lacks(const struct provision *run, const char *what,
						 struct iot_error *err);

#endif
