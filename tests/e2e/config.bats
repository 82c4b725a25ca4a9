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

# A layout of one's own, whose devices acknowledge by an event or by a state that is called otherwise.
make_tram() { # NAME event|state
  jq --arg way "$2" '.name = "trams" | .description = "trams" | .roles |= (map_values(.topic |= sub("^bus/"; "tram/")) | del(.peer)
    | .config.acknowledge = $way | .config.versionMember = "cfg" | .config.retain = false
    | .event.topic = "tram/{thing}/said/{subfolder}" | .state.topic = "tram/{thing}/status") | del(.types)' \
    < <(iotctl layout show buses) >trams.json
  iotctl type create tram >/dev/null
  iotctl layout add trams.json >/dev/null
  iotctl layout use trams --type tram >/dev/null
  iotctl policy generate --layout trams >tram.policy
  iotctl policy create tram tram.policy >/dev/null
  iotctl device create "$1" --type tram --policy tram --out "./$1" >/dev/null
}

@test "a device acknowledges by an event, and only what it was sent" {
  start_fleet
  make_tram tram-1 event
  iotctl device create tram-2 --type tram --policy tram --out ./tram-2 >/dev/null
  echo '{"speed": 7}' | iotctl config set - --to tram-1 --to tram-2 >/dev/null
  talk tram-1
  hears tram-1 up
  say sub 1 tram/tram-1/configuration
  hears tram-1 'got tram/tram-1/configuration {"speed":7,"cfg":1}'
  say pub 1 tram/tram-1/said/config '{"cfg": 2}'
  until_true 10 logged "$fleet/broker/serve.log" "'tram-1' acknowledges version 2"
  say pub 1 tram/tram-1/said/config '{"cfg": "1"}'
  say pub 1 tram/tram-1/said/config 'cfg 1'
  say pub 1 tram/tram-1/status '{"cfg": 1}'
  # and nobody for another: the topic is refused, and so is a name on it
  as tram-2 mosquitto_pub -V 5 -D publish user-property iotctl-thing tram-1 -q 1 -t tram/tram-2/said/x -m '{"cfg": 1}'
  until_true 10 acknowledged tram-2 1
  acknowledged tram-1 null
  say pub 1 tram/tram-1/said/config '{"cfg": 1, "more": true}'
  until_true 10 acknowledged tram-1 1

  # acknowledged is not told again
  say end
  run as tram-1 mosquitto_sub -q 1 -t tram/tram-1/configuration -C 1 -W 5
  [ "$status" -eq 27 ]
  [[ $output != *speed* ]]
}

@test "a device acknowledges by a state that is called otherwise" {
  start_fleet
  make_tram tram-1 state
  echo '{"speed": 7}' | iotctl config set - --to tram-1 >/dev/null
  as tram-1 mosquitto_pub -q 1 -t tram/tram-1/status -m '{"cfg": 3}'
  until_true 10 logged "$fleet/broker/serve.log" "'tram-1' acknowledges version 3"
  acknowledged tram-1 null
  as tram-1 mosquitto_pub -q 1 -t tram/tram-1/said/x -m '{"cfg": 1}' # an event does not count here
  as tram-1 mosquitto_pub -q 1 -t tram/tram-1/status -m '{"cfg": 1, "firmware": "1.2.3"}'
  until_true 10 acknowledged tram-1 1
  device_says tram-1 .firmware 1.2.3
}

@test "in the default layout, too, only what was sent is acknowledged" {
  start_fleet
  make_device pump-0001
  echo '{"interval": 60}' | iotctl config set - --to pump-0001 >/dev/null
  as pump-0001 mosquitto_pub -q 1 -t '$aws/things/pump-0001/shadow/name/config/update' \
    -m '{"state":{"reported":{"configVersion":5}}}'
  until_true 10 logged "$fleet/broker/serve.log" "'pump-0001' acknowledges version 5"
  acknowledged pump-0001 null
}

@test "of two who set at once the second is told, and nothing of his is set" {
  start_fleet
  make_device pump-0001
  echo '{"interval": 1}' | iotctl config set - --to pump-0001 >/dev/null
  mkfifo slow
  iotctl config set - --to pump-0001 <slow >late.out 2>late.err 3>&- &
  local late=$! code=0
  pids+=("$late")
  exec {hand}>slow
  printf '%70000s' '' >&"$hand" # more than a pipe holds: when this ends it has read the versions, and reads its document
  echo '{"interval": 2}' | iotctl config set - --to pump-0001 --if-version 1 >/dev/null
  echo '{"interval": 3}' >&"$hand"
  exec {hand}>&-
  wait "$late" || code=$?
  [ "$code" -eq 4 ]
  [[ $(<late.err) == *"has version 2, not 1"*"somebody else set it meanwhile"* ]]
  [ "$(iotctl config get pump-0001 --query .interval)" = 2 ]
  echo '{"interval": 4}' >four.json
  fault 4 "has version 2, not 1" iotctl config set four.json --to pump-0001 --if-version 1
}
