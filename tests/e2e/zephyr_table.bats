#!/usr/bin/env bats
# shellcheck disable=SC2154 # what common.bash sets
# Faults of the simulator at every step of provisioning a board with Zephyr's shell: the rows are in zephyr_faults.table.

setup() {
  load common
  common_setup
}

teardown() {
  common_teardown
}

@test "faults at every step of provisioning a board with Zephyr's shell" {
  start_fleet
  iotctl init other --keep-default >/dev/null
  # without the proof that needs a board to come by itself
  jq '.prove = []' "$BATS_TEST_DIRNAME/zephyr-app.json" >zephyr.json
  "${IOTCTL_BUILD:-$IOTCTL_BIN/..}/tests/e2e_faulttable" "$BATS_TEST_DIRNAME/zephyr_faults.table" "$fleet" \
    "$XDG_DATA_HOME/iotctl/other" "$port"
}
