#!/usr/bin/env bats
# shellcheck disable=SC2154 # what common.bash sets
# Faults of the simulator at every step of provisioning a board with FreeRTOS's console: the rows are in freertos_faults.table.

setup() {
  load common
  common_setup
}

teardown() {
  common_teardown
}

@test "faults at every step of provisioning a board with FreeRTOS's console" {
  start_fleet
  iotctl init other --keep-default >/dev/null
  "${IOTCTL_BUILD:-$IOTCTL_BIN/..}/tests/e2e_faulttable" "$BATS_TEST_DIRNAME/freertos_faults.table" "$fleet" \
    "$XDG_DATA_HOME/iotctl/other" "$port"
}
