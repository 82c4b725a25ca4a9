/* The nouns, one file each; root.c lists them. */
#ifndef IOTCTL_COMMANDS_H
#define IOTCTL_COMMANDS_H

#include "iotctl/cli.h"

extern const struct cli_command cmd_api;
extern const struct cli_command cmd_attest;
extern const struct cli_command cmd_attest_policy; /* a verb of attest, in attest_policy.c */
extern const struct cli_command cmd_attest_add_key, cmd_attest_keys, cmd_attest_remove_key; /* device_keys.c */
extern const struct cli_command cmd_backup;
extern const struct cli_command cmd_board;
extern const struct cli_command cmd_board_image; /* below it */
extern const struct cli_command cmd_ca;
extern const struct cli_command cmd_cert;
extern const struct cli_command cmd_codesign;
extern const struct cli_command cmd_command;
extern const struct cli_command cmd_completion;
extern const struct cli_command cmd_config;
extern const struct cli_command cmd_device;
extern const struct cli_command cmd_device_claim;
extern const struct cli_command cmd_device_claims;
extern const struct cli_command cmd_device_rotate; /* rotate.c */
extern const struct cli_command cmd_device_trust;  /* trust.c */
extern const struct cli_command cmd_device_unclaim;
extern const struct cli_command cmd_doctor;
extern const struct cli_command cmd_events;
extern const struct cli_command cmd_events_route; /* a verb of events, in route.c */
extern const struct cli_command cmd_gateway;
extern const struct cli_command cmd_group;
extern const struct cli_command cmd_image;
extern const struct cli_command cmd_init;
extern const struct cli_command cmd_job;
extern const struct cli_command cmd_jwt;
extern const struct cli_command cmd_jwt_add_key, cmd_jwt_keys, cmd_jwt_remove_key; /* device_keys.c */
extern const struct cli_command cmd_layout;
extern const struct cli_command cmd_ota;
extern const struct cli_command cmd_policy;
extern const struct cli_command cmd_provision;
extern const struct cli_command cmd_policy_generate; /* a verb of policy, in layout.c */
extern const struct cli_command cmd_psk;
extern const struct cli_command cmd_publish;
extern const struct cli_command cmd_restore;
extern const struct cli_command cmd_serve;
extern const struct cli_command cmd_operator;
extern const struct cli_command cmd_settings;
extern const struct cli_command cmd_station;
extern const struct cli_command cmd_shadow;
extern const struct cli_command cmd_sim;
extern const struct cli_command cmd_state;
extern const struct cli_command cmd_stream;
extern const struct cli_command cmd_subscribe;
extern const struct cli_command cmd_type;
extern const struct cli_command cmd_version;

extern const struct cli_command cmd_sim_board, cmd_sim_expresslink, cmd_sim_host, cmd_sim_jwt_device, cmd_sim_psk; /* below cmd_sim */

#endif
