#!/usr/bin/env bats
# Configurations: a device gets them now, or when it returns, again until it acknowledges, and no more then.

setup() {
  load common
  common_setup
  command -v mosquitto_sub >/dev/null || skip "mosquitto-clients is not installed"
}

teardown() {
  common_teardown
}

make_bus() { # NAME: a device of the layout of buses
  iotctl type create bus >/dev/null
  iotctl layout use buses --type bus >/dev/null
  iotctl policy generate --layout buses >bus.policy
  iotctl policy create bus bus.policy >/dev/null
  iotctl device create "$1" --type bus --policy bus --out "./$1" >/dev/null
}

acknowledged() { [ "$(iotctl config list "$1" --query '.[].acknowledgedVersion')" = "$2" ]; }

@test "a device that is there gets it now, and acknowledges it with its state" {
  start_fleet
  make_bus bus-17
  command_as bus-17 mosquitto_sub -q 1 -t bus/bus-17/configuration -C 1 -W 20
  "${command[@]}" >got 2>sub.err 3>&- &
  local sub=$!
  pids+=("$sub")
  until_true 10 device_says bus-17 .connected true
  echo '{"route": 7}' | iotctl config set - --to bus-17 >/dev/null
  wait "$sub"
  [ "$(<got)" = '{"route":7,"configVersion":1}' ]
  acknowledged bus-17 null

  # a version that was never sent is not recorded
  as bus-17 mosquitto_pub -q 1 -r -t bus/bus-17/state -m '{"configVersion": 9}'
  until_true 10 logged "$fleet/broker/serve.log" "'bus-17' acknowledges version 9"
  acknowledged bus-17 null
  as bus-17 mosquitto_pub -q 1 -r -t bus/bus-17/state -m '{"configVersion": 1}'
  until_true 10 acknowledged bus-17 1
  [[ $(iotctl config list bus-17 -o json --query '.[].acknowledgedAt') == *20??-* ]]
}

@test "a device that was away gets it whenever it returns, until it acknowledges" {
  start_fleet
  make_bus bus-17
  echo '{"route": 7}' | iotctl config set - --to bus-17 >/dev/null
  echo '{"route": 8}' | iotctl config set - --to bus-17 >/dev/null
  [ "$(sqlite3 "$fleet/registry.db" 'SELECT count(*) FROM outbox')" = 0 ]
  # -R: what the broker had kept does not count
  combined 0 as bus-17 mosquitto_sub -R -q 1 -t bus/bus-17/configuration -C 1 -W 20
  [ "$output" = '{"route":8,"configVersion":2}' ]
  combined 0 as bus-17 mosquitto_sub -R -q 1 -t bus/bus-17/configuration -C 1 -W 20
  [ "$output" = '{"route":8,"configVersion":2}' ]
  # in Google's manner: on subscribe
  combined 0 as bus-17 mosquitto_sub --retained-only -q 1 -t bus/bus-17/configuration -C 1 -W 20
  [ "$output" = '{"route":8,"configVersion":2}' ]

  iotctl config rollback bus-17 >/dev/null
  combined 0 as bus-17 mosquitto_sub -R -q 1 -t bus/bus-17/configuration -C 1 -W 20
  [ "$output" = '{"route":7,"configVersion":3}' ]
  as bus-17 mosquitto_pub -q 1 -t bus/bus-17/state -m '{"configVersion": 3}'
  until_true 10 acknowledged bus-17 3
  run as bus-17 mosquitto_sub -R -q 1 -t bus/bus-17/configuration -C 1 -W 5
  [ "$status" -eq 27 ]
  [[ $output != *route* ]]
}

@test "in the default layout it is a shadow, also for one that was away" {
  start_fleet
  make_device pump-0001
  echo '{"interval": 60}' | iotctl config set - --to pump-0001 >/dev/null
  combined 0 as pump-0001 mosquitto_sub -q 1 -t "\$aws/things/pump-0001/shadow/name/config/update/delta" -C 1 -W 20
  [ "$(jq -c .state <<<"$output")" = '{"interval":60,"configVersion":1}' ]
  as pump-0001 mosquitto_pub -q 1 -t "\$aws/things/pump-0001/shadow/name/config/update" \
    -m '{"state":{"reported":{"interval":60,"configVersion":1}}}'
  until_true 10 acknowledged pump-0001 1
  [ "$(iotctl shadow list pump-0001 --query '.[] | select(.shadowName == "config").inSync')" = true ]
}
