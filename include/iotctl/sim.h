/*
 * Software devices. They speak to the broker as real ones do and keep their
 * state in their own folder, so that a kill is a power cut.
 *
 * A device folder, as 'iotctl device create --out DIR' writes it:
 *   device.json      {"thingName", "thingType", "endpoint", "port", "clientId"?, "topics"?}; topics: layout.h, without
 *                    them those of the default layout, nothing retained
 *   certificate.pem  the device's certificate (and the issuing CA's, if any)
 *   private.key      its key, 0600
 *   ca.pem           what the broker's certificate is checked against
 *   codesign.pem     public key that firmware must be signed with
 * A software device adds sim/: factory.bin slot-a.bin slot-b.bin state.json download.map lock
 *
 * Topics: $aws/things/THING/... as FreeRTOS agents use them, and those of its
 * layout: after every connect its state,
 *   {"firmware": "1.0.0", "boot": "power"|"test"|"factory"|"revert", "slot": "factory"|"a"|"b"}
 * and to each command that says how to answer it the reply {"ok": true}, in the
 * manner of the layout (MQTT 5, or the command's token in topic and payload). A
 * configuration is acknowledged, and forgotten at the next boot.
 *
 * A FAILED job has statusDetails.reason "0xCODE: WORDS", codes of the FreeRTOS
 * OTA library: 0c job document, 0d no protocol we speak, 0e blocks do not come,
 * 0f older than what ran before, 10 the same, 11 reverted or not in a self test,
 * 17 larger than the slot, e3 signature, e4 cannot write, e8 not an image of this
 * board. A self test that fails says "rejected vX: self test failed".
 *
 * A job for new trust (trust.h) is carried out as iotctl-trust(7) has it, and changes device.json and ca.pem; meanwhile
 * sim/ holds trust.json and root-new.pem.
 */
#ifndef IOTCTL_SIM_H
#define IOTCTL_SIM_H

#include "iotctl/error.h"

#include <stdint.h>

struct iot_sim_device_options {
	const char *dir;          /* device folder */
	const char *image;        /* firmware for the factory slot; needed on the first start only */
	bool factory_boot;        /* forget both update slots and boot the factory image */
	int block_size;           /* bytes per block; 0: 4096 */
	int window;               /* blocks per request; 0: 8 */
	int64_t watchdog_ms;      /* a hanging image is reset after this; 0: 2000 */
	int64_t request_timeout_ms; /* an unanswered request is sent again after this; 0: 2000 */
	bool once;                /* end when no job is left (exit status tells how the last one went) */
	int64_t exit_after_ms;    /* end after this; 0: run until SIGTERM */
	/*
	 * Misbehaviour to play, several separated by commas: silent (takes no job), stuck (takes one and is not heard of
	 * again), twice, out-of-range, foreign-job, slow[=DURATION], client-id=NAME.
	 */
	const char *fault;
	/*
	 * What it does of its own accord and in answer to commands, configuration and other devices: a file, or the name of
	 * a behaviour that is compiled in ("bus", "depot"). NULL: every command is answered with {"ok": true}. See
	 * iotctl-simulators(7).
	 */
	const char *behaviour;
};

/*
 * Run one software device until told to end (SIGTERM, SIGINT: IOT_OK, with `once`
 * IOT_INTERRUPTED). Life events are logged to stderr and told to `event` (may be
 * NULL): booted, connected, lost, job, download, progress, signature, ready, test,
 * accepted, rejected, failed, reported, idle and others. With `once`: IOT_OK if no
 * job was there or the last one succeeded, IOT_VERIFY if its signature was bad,
 * IOT_FAILURE if it failed otherwise, IOT_TIMEOUT when exit_after_ms came first.
 * Errors: IOT_NOT_FOUND, IOT_USAGE, IOT_DENIED about the folder; IOT_CONFLICT it
 * runs already. Blocks; one at a time in a process.
 */
IOT_CHECK enum iot_status iot_sim_device_run(const struct iot_sim_device_options *options,
					     void (*event)(const char *name, const char *detail, void *data), void *data,
					     struct iot_error *err);

struct iot_sim_fleet_options {
	const char *dir;    /* folder of device folders, one per thing */
	int count;          /* how many of them (by name order); 0: all */
	const char *image;  /* factory image for those that have none */
	int connect_window; /* connects under way at once; 0: 32 */
	int64_t exit_after_ms;
	bool once;          /* end when every device ran out of jobs */
	struct iot_sim_device_options device; /* settings for each; dir unused */
};
/*
 * Many devices in one process and one thread. `event` as above; once a second
 * with thing "" and name "fleet" come the counts. IOT_PARTIAL: some ended badly.
 */
IOT_CHECK enum iot_status iot_sim_fleet_run(const struct iot_sim_fleet_options *options,
					    void (*event)(const char *thing, const char *name, const char *detail, void *data),
					    void *data, struct iot_error *err);

/*
 * An ExpressLink module on a pty (AWS IoT ExpressLink programmer's guide, all but
 * BLE): it holds its own key and certificate, speaks MQTT over TLS to whatever
 * endpoint it is given, and keeps in its folder what a module keeps in flash, so
 * that a kill is a power cut. The folder: birth.key certificate.pem state.json
 * ota-signer.key (of the module's own updates) ota.bin ota.map root-ca.pem lock.
 */
struct iot_sim_expresslink_options {
	const char *link;            /* the pty appears here, as a symbolic link */
	const char *state;           /* folder; NULL: LINK.state */
	const char *spec;            /* version of the guide to answer like: "v0.5" to "v1.3"; NULL: v1.3 */
	const char *staging;         /* HOST[:PORT] of the vendor's staging endpoint; NULL: localhost:8886 */
	int broker_port;             /* of endpoints without one; 0: 8883 */
	int baud;                    /* pace bytes like a wire of this rate, 8N1; 0: at once */
	const char *const *exec_times; /* [COMMAND=]TIME: how long commands take; the last that fits counts */
	size_t exec_time_count;
	const char *const *faults;   /* see iotctl-simulators(7) */
	size_t fault_count;
	uint64_t seed;               /* of the faults' dice */
	/* For the first start only: */
	const char *vendor_ca, *vendor_key; /* who issues the birth certificate; NULL: self-signed */
	const char *root_ca;         /* factory value of RootCA: a PEM file; NULL: empty */
	const char *firmware;        /* version of the module; NULL: 1.0.0 */

	const char *ssid;            /* the only Wi-Fi network there is; NULL: no network is needed */
	const char *wifi_password;   /* private file whose first line is its password; NULL: it takes any */
	bool auto_accept;            /* host images are downloaded without the host's permission */
	bool pem_prompt;             /* "OK" before a PEM is pasted and "OK COMPLETE" after it, as some modules do */
	int64_t exit_after_ms;       /* 0: run until SIGTERM */
};
/* Returns when told to end. IOT_CONFLICT: the folder is in use; IOT_USAGE: bad options. Events as of devices. */
IOT_CHECK enum iot_status iot_sim_expresslink_run(const struct iot_sim_expresslink_options *options,
						  void (*event)(const char *name, const char *detail, void *data),
						  void *data, struct iot_error *err);

/*
 * A software board with a dialect of its own on a pty, for provisioning: it holds what it is given as the real one does,
 * and shows the same weaknesses. Its folder is its flash (state.json), so a kill is a power cut.
 */
struct iot_sim_board_options {
	const char *kind;           /* "freertos", "nrf91", "sim7600", "zephyr" */
	const char *link;           /* the pty appears here, as a symbolic link */
	const char *state;          /* folder; NULL: LINK.state */
	int baud;                   /* pace bytes like a wire of this rate, 8N1; 0: at once */
	const char *const *faults;  /* see iotctl-simulators(7) */
	size_t fault_count;
	uint64_t seed;              /* of the faults' dice */
	const char *endpoint;       /* HOST[:PORT] that is compiled into its application; NULL: it connects nowhere */
	const char *firmware;       /* version that it says; NULL: the kind's own */
	int64_t exit_after_ms;      /* 0: run until SIGTERM */
};
/* Returns when told to end. IOT_USAGE: no such kind or fault. Events as of devices. */
IOT_CHECK enum iot_status iot_sim_board_run(const struct iot_sim_board_options *options,
					    void (*event)(const char *name, const char *detail, void *data), void *data,
					    struct iot_error *err);

/*
 * A host microcontroller that knows the network only through an ExpressLink
 * module on a serial port: telemetry, commands, configuration, and its own
 * updates with slots and boot loader as iot_sim_device_run's.
 */
struct iot_sim_host_options {
	const char *port;         /* serial port or a link to one */
	const char *dir;          /* its flash; NULL: PORT.host */
	const char *image;        /* firmware for the factory slot; needed on the first start only */
	const char *certificate;  /* PEM: certificate or public key its updates must be signed with; NULL: the module's check is enough */
	const char *topic;        /* prefix of its topics; NULL: the thing name */
	int64_t interval_ms;      /* between telemetry messages; 0: 10000 */
	int read_size;            /* bytes asked for at once with OTA READ; 0: 1024 */
	int64_t watchdog_ms;      /* as of devices; 0: 2000 */
	bool factory_boot;
	bool once;                /* end when an update has been reported (the status tells how it went) */
	int64_t exit_after_ms;    /* 0: run until SIGTERM */
};
IOT_CHECK enum iot_status iot_sim_host_run(const struct iot_sim_host_options *options,
					   void (*event)(const char *name, const char *detail, void *data), void *data,
					   struct iot_error *err);

/*
 * A device made for Google's IoT Core: it shows a token (JWT) as its password,
 * connects anew with another one before that expires, acknowledges its
 * configuration in its state (member configVersion) and answers commands that
 * have a token on /devices/DEVICE/events/reply/TOKEN.
 */
struct iot_sim_jwt_options {
	const char *host;       /* NULL: localhost */
	int port;
	const char *ca;         /* PEM file: what the broker's certificate is checked against */
	const char *key;        /* private key, file or pkcs11: URI */
	const char *project, *location, *registry, *device; /* of the client id; location, registry: NULL is any */
	const char *audience;   /* NULL: the project */
	int64_t lifetime_s;     /* of a token; 0: 3600 */
	int64_t interval_ms;    /* between events; 0: 10000 */
	/*
	 * Misbehaviour: expired (the token was good yesterday), audience (made for another project), der (its signature in
	 * DER), key (signed with a key that nobody knows), keep (it shows the same token until it is cut off). NULL: none.
	 */
	const char *fault;
	int64_t renewals;       /* end after so many; 0: never */
	int64_t exit_after_ms;  /* 0: never */
	bool (*interrupted)(void *data); /* asked often: end; may be NULL */
};
/*
 * Blocks until told to end. Events: connected, renewed, refused, cut, lost, config, command, sent. IOT_DENIED: its
 * token was refused, or it was cut off while it kept one; IOT_USAGE: bad options; key faults as iot_key_load's.
 */
IOT_CHECK enum iot_status iot_sim_jwt_run(const struct iot_sim_jwt_options *options,
					  void (*event)(const char *name, const char *detail, void *data), void *data,
					  struct iot_error *err);

/*
 * A device with symmetric cryptography only, behind a gateway (frame.h): TLS with a pre-shared key, a PSA attestation
 * token for the gateway's challenge, then a state, and a measurement every interval. What was not acknowledged is said
 * again after a new connection; a new start is a new boot.
 */
struct iot_sim_psk_options {
	const char *host;
	int port;
	const char *identity;
	const void *key;
	size_t key_len;
	const void *attest_key; /* its attestation key, shared with the registry; NULL: it has a private one */
	size_t attest_key_len;
	const struct iot_key *attest_private; /* P-256, P-384 or P-521; NULL: it shares one */
	const char *suites;    /* NULL: PSK-AES128-CCM, as TF-M Profile Small has it */
	int64_t count;         /* end when so many measurements are acknowledged; 0: none are sent, it only listens */
	int64_t interval_ms;   /* between measurements */
	int64_t exit_after_ms; /* 0: never */
	/*
	 * One way to misbehave; NULL: none. bad-key, bad-token (the MAC is wrong), wrong-nonce, replay (the token of the
	 * connection before), lifecycle (of a debugged device), other-device (another instance id), huge (a message of 4 GB),
	 * garbage (after the handshake), early-data (before it is accepted), silent (after the challenge), slow (a byte of the
	 * token per interval).
	 */
	const char *fault;
	int interrupt_fd; /* readable when it is to end; -1: none */
};
/*
 * Events: connected, accepted, refused, sent, acknowledged, busy, config, command, copy, lost. IOT_DENIED: the gateway
 * does not know identity or key; IOT_VERIFY: it refused the token; IOT_TIMEOUT: exit_after_ms came first (IOT_OK if it
 * only listens); IOT_AGAIN: with a fault, the gateway ended the connection.
 */
IOT_CHECK enum iot_status iot_sim_psk_run(const struct iot_sim_psk_options *options,
					  void (*event)(const char *name, const char *detail, void *data), void *data,
					  struct iot_error *err);

#endif
