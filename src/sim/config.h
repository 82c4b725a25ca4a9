/*
 * A device folder as 'iotctl device create --out' writes it (sim.h), and the
 * misbehaviour a device is told to play.
 */
#ifndef IOTCTL_SIM_CONFIG_H
#define IOTCTL_SIM_CONFIG_H

#include "sim/agent.h"
#include "sim/topics.h"

struct sim_config {
	char *thing, *endpoint, *client_id;
	char *type; /* NULL: none */
	struct sim_topics topics;
	int port;
	char *ca_file, *cert_file, *key_file;
	char *sim_dir;
	struct iot_key *codesign_key;
};

/*
 * Read and check a folder. IOT_NOT_FOUND: a file is missing; IOT_USAGE:
 * device.json is malformed; IOT_DENIED: others can read the private key.
 */
IOT_CHECK enum iot_status sim_config_load(const char *dir, struct sim_config *ret, struct iot_error *err);
void sim_config_release(struct sim_config *config);

/*
 * "silent", "stuck", "twice", "out-of-range", "foreign-job", "slow[=DURATION]",
 * "client-id=NAME", several separated by commas. *ret_client_id: new memory or
 * NULL. IOT_USAGE with the list for anything else.
 */
IOT_CHECK enum iot_status sim_faults_parse(const char *text, struct sim_faults *ret, char **ret_client_id,
					   struct iot_error *err);

#endif
