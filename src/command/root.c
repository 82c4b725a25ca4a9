/* The command tree: every noun, in the order in which help shows them. */
#include "iotctl/command.h"

#include "command/commands.h"

const struct cli_command cmd_root = {
	.name = "iotctl",
	.summary = "Fleet and provisioning tool for AWS IoT and FreeRTOS devices",
	.description = "Makes identities for devices, runs their cloud on this machine, pushes signed updates and sees them "
		       "through. A fleet is one directory; 'iotctl init' makes it, 'iotctl serve' brings it to life.",
	.subcommands = CLI_COMMANDS(&cmd_init, &cmd_serve, &cmd_operator, &cmd_backup, &cmd_restore, &cmd_doctor,
				    /* registry */
				    &cmd_device, &cmd_type, &cmd_group, &cmd_policy, &cmd_cert, &cmd_ca,
				    /* boards */
				    &cmd_board, &cmd_provision, &cmd_station,
				    /* updates */
				    &cmd_codesign, &cmd_image, &cmd_ota, &cmd_job, &cmd_stream,
				    /* messages */
				    &cmd_publish, &cmd_subscribe, &cmd_command, &cmd_layout, &cmd_config, &cmd_shadow,
				    &cmd_state,
				    &cmd_events,
				    /* small devices */
				    &cmd_gateway, &cmd_psk, &cmd_attest, &cmd_jwt,
				    /* tools */
				    &cmd_sim, &cmd_api, &cmd_settings, &cmd_completion, &cmd_version),
	.examples = CLI_EXAMPLES({"init demo", "make a fleet"}, {"serve --detach", "start its cloud"},
				 {"device create pump-0001 --type pump --policy device --out ./pump-0001", "a device"},
				 {"ota push pump-1.1.0.bin --to pump-0001 --wait", "update it, and see it through"}),
};
