#!/usr/bin/env bats
# shellcheck disable=SC2154 # what common.bash sets
# Faults of the simulator at every step of provisioning a modem of the nRF91 series: the rows are in nrf91_faults.table.

setup() {
  load common
  common_setup
}

teardown() {
  common_teardown
}

@test "faults at every step of provisioning a modem of the nRF91 series" {
  start_fleet
  iotctl init other --keep-default >/dev/null
  # without the proof that needs a board to come by itself
  iotctl board show nrf91 --query .file | jq '.prove = ["sign"]' >nrf91.json
  "${IOTCTL_BUILD:-$IOTCTL_BIN/..}/tests/e2e_faulttable" "$BATS_TEST_DIRNAME/nrf91_faults.table" "$fleet" \
    "$XDG_DATA_HOME/iotctl/other" "$port"
}
