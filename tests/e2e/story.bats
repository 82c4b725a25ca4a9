#!/usr/bin/env bats
# A device's life as the README tells it: made, connected, updated, kept from bad updates, switched off.

setup() {
  load common
  common_setup
}

teardown() {
  common_teardown
}

firmware() { # VERSION FILE [options]
  local version=$1 file=$2
  shift 2
  iotctl sim firmware --version "$version" --size 64k --out "$file" "$@" >/dev/null
}

@test "a device is made, updated over the air, and refuses what it must" {
  start_fleet
  make_device pump-0001
  [ "$(stat -c %a pump-0001/private.key)" = 600 ]
  firmware 1.0.0 pump-1.0.0.bin
  firmware 1.1.0 pump-1.1.0.bin
  start_device pump-0001 --image pump-1.0.0.bin
  until_true 20 device_says pump-0001 .firmware 1.0.0
  device_says pump-0001 .connected true

  # the good update
  combined 0 iotctl ota push pump-1.1.0.bin --to pump-0001 --wait --timeout 60s -o json --quiet
  [ "$(jq -r .succeeded <<<"$output")" = 1 ]
  [ "$(jq -r '.executions[0].status' <<<"$output")" = SUCCEEDED ]
  until_true 10 device_says pump-0001 .firmware 1.1.0
  cmp pump-1.1.0.bin pump-0001/sim/slot-a.bin || cmp pump-1.1.0.bin pump-0001/sim/slot-b.bin

  # the same again is refused, and nothing is created
  combined 4 iotctl ota push pump-1.1.0.bin --to pump-0001 --wait
  [ "$(iotctl ota list -o json | jq length)" = 1 ]

  # refused here
  firmware 1.2.0 pump-1.2.0.bin
  combined 11 iotctl ota push pump-1.2.0.bin --to pump-0001 --unsigned --wait
  iotctl codesign create stranger >/dev/null
  combined 11 iotctl ota push pump-1.2.0.bin --to pump-0001 --key stranger --wait
  [ "$(iotctl ota list -o json | jq length)" = 1 ]

  # refused by the device
  combined 1 iotctl ota push pump-1.2.0.bin --to pump-0001 --unsigned --unchecked --wait --timeout 60s
  [[ $output == *FAILED* ]]
  combined 1 iotctl ota push pump-1.2.0.bin --to pump-0001 --key stranger --unchecked --wait --timeout 60s
  [[ $output == *signature* ]]
  device_says pump-0001 .firmware 1.1.0

  # signed well, behaving badly
  for fault in crash hang fail-test; do
    firmware 1.2.0 "pump-$fault.bin" "--$fault"
    combined 1 iotctl ota push "pump-$fault.bin" --to pump-0001 --wait --timeout 60s
    [[ $output == *FAILED* ]]
    until_true 10 device_says pump-0001 .firmware 1.1.0
  done
  [ "$(iotctl ota list -o json | jq length)" = 6 ]

  # switched off: the live connection ends within a second
  iotctl device disable pump-0001 >/dev/null
  until_true 2 device_says pump-0001 .connected false
  combined 0 iotctl serve --stop
  combined 3 iotctl serve --status
}

@test "after a factory boot the old version is recorded and the update is offered again" {
  start_fleet
  make_device pump-0001
  firmware 1.0.0 pump-1.0.0.bin
  firmware 1.1.0 pump-1.1.0.bin
  start_device pump-0001 --image pump-1.0.0.bin
  until_true 20 device_says pump-0001 .firmware 1.0.0
  iotctl ota push pump-1.1.0.bin --to pump-0001 --wait --timeout 60s >/dev/null
  until_true 10 device_says pump-0001 .firmware 1.1.0
  kill "$device_pid"
  wait "$device_pid" || true

  start_device pump-0001 --factory-boot -o jsonl
  until_true 20 grep -q '"1.0.0' pump-0001.out
  until_true 30 device_says pump-0001 .firmware 1.1.0
  combined 0 iotctl ota list -o json
  [ "$(jq -r '.[0].status' <<<"$output")" = COMPLETED ]
}
