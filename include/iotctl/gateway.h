/*
 * What a gateway runs: small devices on one side, over TLS with pre-shared keys
 * and messages of our own (frame.h, iotctl-gateway(7)), the cloud on the other,
 * over MQTT with mutual TLS. A device is heard once it has shown by an
 * attestation token, made for this connection, that it runs what it should.
 *
 * Keys, children and revocations come from the registry of a local fleet, or from
 * what iot_gateway_export (children.h) has made of it and may replace at any time.
 * Either is looked at ten times a second.
 */
#ifndef IOTCTL_GATEWAY_H
#define IOTCTL_GATEWAY_H

#include "iotctl/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IOT_GATEWAY_PORT 8887

struct iot_gateway_options {
	const char *fleet_dir; /* of the registry; not used when `dir` is an export */
	const char *dir;       /* the gateway's device folder (iot_gateway_create), or an export (iot_gateway_export) */
	const char *listen;    /* address for devices; NULL: 127.0.0.1 */
	int port;              /* for devices; 0: any, told in event "listening" */
	const char *suites;    /* TLS 1.2 suites; NULL: IOT_PSK_LINK_SUITES */
	const char *state;     /* folder of the queue; NULL: DIR/queue */

	/* The cloud; NULL or 0: as the device folder has it. */
	const char *endpoint;
	int endpoint_port;
	const char *ca_file;

	/* "FILE", "THING=FILE" or "TYPE=FILE": attestation policies. A thing's own counts, else its type's, else the
	 * first FILE. */
	const char *const *policies;
	size_t policy_count;
	int nonce_size; /* 32, 48 or 64; 0: 32 */

	size_t devices;         /* at most so many connections; 0: 10000 */
	int handshake_ms;       /* 0: 10 s */
	int attest_ms;          /* from the challenge to the token; 0: 10 s */
	int message_ms;         /* a message must be whole so long after it began; 0: 10 s */
	int idle_ms;            /* a device that says nothing for so long is dropped; 0: 120 s */
	int64_t queue_messages; /* of one child, on disk; 0: 10000 */
	int64_t queue_bytes;    /* of all children; 0: 256 MiB */

	int interrupt_fd;                /* readable when it is to end */
	bool (*interrupted)(void *data); /* as above */
	/*
	 * What happens, one at a time: listening, children (an export was read), uplink, uplink-lost, deaf, connected,
	 * accepted, refused, denied, revoked, disconnected, busy, dropped. `child` may be NULL; may itself be NULL.
	 */
	void (*event)(const char *name, const char *child, const char *detail, void *data);
	void *data;
};

/*
 * Run until interrupted (IOT_OK). IOT_CONFLICT: the port is in use, or this gateway's queue is; IOT_NOT_FOUND: folder
 * or fleet, or the fleet's sealing key is lost; IOT_USAGE: options, policies. That the cloud cannot be
 * reached is no error: what devices say is kept.
 */
IOT_CHECK enum iot_status iot_gateway_run(const struct iot_gateway_options *options, struct iot_error *err);

#endif
