/*
 * Software devices. They speak to the broker as real ones do and keep their
 * state in their own folder, so that a kill is a power cut.
 *
 * A device folder, as 'iotctl device create --out DIR' writes it:
 *   device.json      {"thingName", "thingType", "endpoint", "port", "clientId"?}
 *   certificate.pem  the device's certificate (and the issuing CA's, if any)
 *   private.key      its key, 0600
 *   ca.pem           what the broker's certificate is checked against
 *   codesign.pem     public key that firmware must be signed with
 * A software device adds sim/: factory.bin slot-a.bin slot-b.bin state.json
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

#endif
