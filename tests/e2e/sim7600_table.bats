#!/usr/bin/env bats
# shellcheck disable=SC2154 # what common.bash sets
# Faults of the SIM7600 simulator at every step of provisioning: the rows are in sim7600_faults.table.

setup() {
  load common
  common_setup
}

teardown() {
  common_teardown
}

@test "faults at every step of provisioning a SIM7600" {
  start_fleet
  iotctl init other --keep-default >/dev/null
  "${IOTCTL_BUILD:-$IOTCTL_BIN/..}/tests/e2e_faulttable" "$BATS_TEST_DIRNAME/sim7600_faults.table" "$fleet" \
    "$XDG_DATA_HOME/iotctl/other" "$port"
}
