#!/usr/bin/env bats
# shellcheck disable=SC2154 # what common.bash sets
# Every fault of the module simulator at every step of provisioning: the rows are in expresslink_faults.table.

setup() {
  load common
  common_setup
}

teardown() {
  common_teardown
}

@test "every fault at every step of provisioning" {
  start_fleet
  iotctl init other --keep-default >/dev/null
  "${IOTCTL_BUILD:-$IOTCTL_BIN/..}/tests/e2e_faulttable" "$BATS_TEST_DIRNAME/expresslink_faults.table" "$fleet" \
    "$XDG_DATA_HOME/iotctl/other" "$port"
}
