#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2154 # topics begin with $; what common.bash shares
# The bus and the depot: devices that talk to one another through the broker alone, each held to its layout's policy. Both are
# software devices with the behaviours that are shipped (src/sim/behaviours/).

setup() {
  load common
  common_setup
  command -v mosquitto_sub >/dev/null || skip "mosquitto-clients is not installed"
  start_fleet
  firmware 1.0.0 v1.bin
  local type
  for type in bus depot; do
    iotctl type create "$type" >/dev/null
    iotctl layout use buses --type "$type"
    iotctl policy generate --layout buses --type "$type" >"$type.policy"
    iotctl policy create "$type" "$type.policy" >/dev/null
  done
}

teardown() {
  common_teardown
}

make() { # TYPE NAME...
  local type=$1 name
  shift
  for name in "$@"; do
    iotctl device create "$name" --type "$type" --policy "$type" --out "./$name" >/dev/null
  done
}

run_as() { # BEHAVIOUR NAME...
  local behaviour=$1 name
  shift
  for name in "$@"; do
    start_device "$name" --image v1.bin --behaviour "$behaviour" --verbose
    until_true 15 logged "$name.log" 'no job is pending' # an answer: it has subscribed long before
  done
}

configure() { # NAME JSON
  iotctl config set - --to "$1" <<<"$2" >/dev/null
}

has_configuration() { [ "$(iotctl config list "$1" --query '.[].acknowledgedVersion')" = "$2" ]; }

said() { heard heard "$1"; }               # EXPRESSION over {topic, payload}
how_often() { jq -Rn "[inputs | fromjson? | select($1)] | length" <heard; }
at_least() { [ "$(how_often "$2")" -ge "$1" ]; } # COUNT EXPRESSION

# ask NAME COMMAND: what `command send` makes of its answer, {outcome, payload, ...}, is then in $answer.
ask() { answer=$(iotctl command send "$1" -m "{\"command\": \"$2\"}" --wait --timeout 20s -o jsonl); }
answers() { jq -e "$1" <<<"$answer" >/dev/null || { echo "the answer is $answer" >&2; return 1; }; } # EXPRESSION

later() { # TIME SECONDS: has it been so long since then, as the bus says itself?
  ask bus-17 where
  jq -e --arg since "$1" "(.payload.at | fromdate) - (\$since | fromdate) >= $2" <<<"$answer"
}

denied() { # ACTION RESOURCE
  heard events "(.topic == \"\$iotctl/events/denied\") and (.payload | .clientId == \"bus-17\" and .action == \"$1\" and .resource == \"$2\")"
}

@test "the bus and the depot as the manual sets them up" {
  iotctl policy delete bus >/dev/null
  iotctl policy delete depot >/dev/null
  rm -f bus.policy depot.policy
  # what it starts in the background is ours to end
  eval "$(block 3 | sed 's/ &$/ \& pids+=($!)/')" >out.log 2>sims.log 3>&-
  until_true 20 has_configuration bus-17 1
  ask bus-17 where
  answers '.payload.location.latitude > 47'
  until_true 20 on_route 100
}

on_route() { # ROUTE
  ask bus-17 where
  answers ".payload.route == $1"
}

@test "a bus finds its depot by its configuration alone, and is sent on its next route" {
  make bus bus-17 bus-18
  make depot north south
  listen heard 'bus/#' 'depot/#'
  configure north '{"firstRoute": 100}'
  configure south '{"firstRoute": 500}'
  run_as depot north south
  run_as bus bus-17 bus-18
  until_true 20 has_configuration north 1
  until_true 20 has_configuration south 1
  configure bus-17 '{"depot": "north"}'
  until_true 20 has_configuration bus-17 1

  # twice to the north, while the other bus, which was told nothing, goes nowhere
  until_true 30 said '.topic == "bus/bus-17/state" and .payload.route == 101'
  [ "$(how_often '.topic == "depot/north/bus-arrived" and .payload == {bus: "bus-17", route: null}')" = 1 ]
  [ "$(how_often '.topic == "depot/north/bus-arrived" and .payload == {bus: "bus-17", route: 100}')" = 1 ]
  [ "$(how_often '.topic == "bus/bus-17/commands" and .payload == {command: "route", route: 100, stops: 3}')" = 1 ]
  [ "$(how_often '.topic == "depot/south/bus-arrived"')" = 0 ]
  [ "$(how_often '.topic == "bus/bus-18/commands"')" = 0 ]
  [ "$(how_often '.topic == "bus/bus-18/state" and .payload.route != null')" = 0 ]
  said '.topic == "depot/events" and .payload == {event: "sent-out", depot: "north", bus: "bus-17", route: 100}'
  not logged bus-18.log 'command'

  # another depot, from the next arrival on; and the other bus gets a depot, and a route of its own
  configure bus-17 '{"depot": "south"}'
  until_true 20 has_configuration bus-17 2
  configure bus-18 '{"depot": "north"}'
  until_true 30 said '.topic == "bus/bus-17/state" and .payload.route >= 500 and .payload.configVersion == 2'
  until_true 30 said '.topic == "bus/bus-18/state" and .payload.route >= 102'
  [ "$(how_often '.topic == "bus/bus-17/commands" and .payload.route > 101 and .payload.route < 500')" -le 1 ] # on its way
  [ "$(how_often '.topic == "bus/bus-18/commands" and .payload.route >= 500')" = 0 ]
  # the registry knows them as connected all the while: nothing they said was forbidden
  device_says bus-17 .connected true
  not logged bus-17.log 'not connected'
  not logged north.log 'not connected'
}

@test "where it is and a picture of 100 KB, when it is asked" {
  make bus bus-17
  run_as bus bus-17
  ask bus-17 where
  answers '.outcome == "answered" and .payload.ok'
  answers '.payload.location.latitude > 47 and .payload.location.longitude > 8 and (.payload.speed | type) == "number"'
  ask bus-17 picture
  answers ".outcome == \"answered\" and .format == \"base64\" and (.payload | length) == 136536" # 102400 bytes
  ask bus-17 fly
  answers '.payload.ok == false and (.payload.error | contains("fly"))'
  device_says bus-17 .connected true
  not logged bus-17.log 'not connected'
}

@test "speed is said above the configured threshold only, together with the place" {
  make bus bus-17
  listen heard 'bus/#'
  run_as bus bus-17
  configure bus-17 '{"reportSpeedAbove": 30}'
  until_true 40 at_least 3 '.topic == "bus/events" and .payload.event == "speed"'
  # every one of them above it, and with a place
  [ "$(how_often '.topic == "bus/events" and (.payload | .speed <= 30 or (.location.latitude > 47 | not) or .bus != "bus-17")')" = 0 ]

  # a threshold that it cannot pass: as soon as it knows it, it is silent, while it goes on driving
  configure bus-17 '{"reportSpeedAbove": 1000, "depot": "north"}'
  until_true 20 has_configuration bus-17 2
  local before
  before=$(how_often '.topic == "bus/events"')
  ask bus-17 where
  until_true 10 later "$(jq -r .payload.at <<<"$answer")" 3 # in which it looks at its speed more than once
  [ "$(how_often '.topic == "bus/events"')" = "$before" ]
}

@test "a bus can neither read nor write the configuration of another, nor speak for it" {
  local filter topic
  make bus bus-17 bus-18
  make depot north
  configure bus-18 '{"depot": "north", "secret": "of bus-18"}'
  run_as bus bus-18
  until_true 20 has_configuration bus-18 1
  listen events '$iotctl/events/#'
  listen heard 'bus/#'
  until_true 5 said '.topic == "bus/bus-18/configuration" and .payload.secret == "of bus-18"' # it is there to be read

  talk bus-17
  hears bus-17 '^up$'
  say sub 1 bus/bus-17/configuration
  hears bus-17 '^granted$'
  for filter in bus/bus-18/configuration bus/+/configuration 'bus/#' '#' 'bus/bus-18/#' '$share/x/bus/bus-18/configuration'; do
    : >bus-17.talk
    say sub 1 "$filter"
    hears bus-17 '^refused$'
  done
  not grep -q 'of bus-18' bus-17.talk
  until_true 15 denied iot:Subscribe topicfilter/bus/bus-18/configuration
  logged "$fleet/broker/mosquitto.log" "denied: client 'bus-17' .* iot:Subscribe on 'topicfilter/bus/bus-18/configuration'"

  for topic in bus/bus-18/configuration bus/bus-18/state bus/bus-18/commands depot/north/configuration; do
    say pub 1 "$topic" '{"depot":"nowhere"}'
    hears bus-17 '^down '
    until_true 15 denied iot:Publish "topic/$topic"
    talk bus-17
    hears bus-17 '^up$'
  done
  [ "$(how_often '.payload.depot == "nowhere"')" = 0 ]
  logged "$fleet/broker/mosquitto.log" "denied: client 'bus-17' .* iot:Publish on 'topic/bus/bus-18/configuration'"
  [ "$(iotctl config get bus-18 -o json --query .depot)" = '"north"' ]
  ask bus-18 where
  answers '.outcome == "answered"' # it has not noticed anything
  [ "$(grep -c 'has its configuration' bus-18.log)" = 1 ]
}

block() { # N: the text of the n-th literal block of the manual's section on behaviours
  awk -v n="$1" '/^\.Sh/ {in_section = $2 == "BEHAVIOURS"} /^\.Ed/ {inside = 0} inside && count == n
    in_section && /^\.Bd/ {inside = 1; count++}' "$BATS_TEST_DIRNAME/../../man/iotctl-simulators.7"
}

@test "the behaviour that the manual prints is a pump" {
  block 1 >pump.json
  make_device pump-0001
  run_as ./pump.json pump-0001
  ask pump-0001 stop
  answers '.payload.ok'
  listen heard 'pump/#'
  until_true 5 said '.topic == "pump/pump-0001/state" and .payload.running == false and .payload.firmware == "1.0.0"'
  ask pump-0001 fly
  answers ".payload.error == \"no command 'fly'\""
  # in the default layout its configuration is a shadow
  configure pump-0001 '{"alarm": -1}'

  until_true 20 said '.topic == "pump/pump-0001/event/alarm" and (.payload.pressure | type) == "number"'
  until_true 20 has_configuration pump-0001 1
  kill_device
  # one that is wrong says where
  sed -i 's/"by": 0.5/"by": "{presure}"/' pump.json
  fault 2 "'./pump.json': rules[0].do[0].by: no variable is called 'presure'" iotctl sim device ./pump-0001 --behaviour ./pump.json
  fault 3 "'./none.json'" iotctl sim device ./pump-0001 --behaviour ./none.json
}
