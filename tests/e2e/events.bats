#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2154 # topics begin with $; what common.bash and the tests share
# Events: what is told of whom, where it is taken, and what is lost and what is not when something ends in the middle.

setup() {
  load common
  common_setup
  command -v mosquitto_sub >/dev/null || skip "mosquitto-clients is not installed"
}

teardown() {
  common_teardown
}

make_pump() { # NAME: a device that may say events
  iotctl policy generate --layout aws >pump.policy
  iotctl policy create pump pump.policy >/dev/null 2>&1 || true
  iotctl device create "$1" --type pump --policy pump --out "./$1" >/dev/null
}

tail_events() { # FILE [options]: in the background
  local file=$1
  shift
  iotctl events tail -o jsonl "$@" >"$file" 2>"$file.err" 3>&- &
  tail_pid=$!
  pids+=("$tail_pid")
  until_true 10 grep -q 'and subscribed' "$file.err"
}

event() { # NAME SUBFOLDER TEXT
  as "$1" mosquitto_pub -q 1 -t "pump/$1/event/$2" -m "$3"
}

lines() { grep -c '' "$1" 2>/dev/null; }
has_lines() { [ "$(lines "$1")" -ge "$2" ]; }
route_says() { [ "$(iotctl events route show "$1" --query "$2")" = "$3" ]; }

@test "presence, denials and devices' own events are told" {
  start_fleet
  make_pump pump-0001
  make_pump pump-0002
  tail_events all
  tail_events one --device pump-0001 --kind presence,denial
  listen aws '$aws/events/presence/#'
  talk pump-0001
  hears pump-0001 up
  say pub 1 pump/pump-0001/event/alarm/high '{"t": 90}'
  say pub 1 pump/pump-0002/event/alarm lie
  hears pump-0001 down
  event pump-0002 temp warm
  until_true 10 heard all '.kind == "device" and .device == "pump-0002"'
  until_true 10 heard all '.kind == "presence" and .device == "pump-0001" and .event == "disconnected"'

  heard all '.kind == "presence" and .device == "pump-0001" and .event == "connected" and .details.ipAddress == "127.0.0.1"'
  heard all '.kind == "presence" and .device == "pump-0001" and .details.disconnectReason == "FORBIDDEN_ACCESS"'
  heard all '.kind == "device" and .device == "pump-0001" and .event == "alarm/high" and .details.payload.t == 90'
  heard all '.kind == "device" and .device == "pump-0002" and .event == "temp" and .details.payload == "warm"'
  heard all '.kind == "denial" and .device == "pump-0001" and .details.action == "iot:Publish"
    and .details.resource == "topic/pump/pump-0002/event/alarm" and (.summary | contains("no statement allows it"))'
  # AWS's own members, for whoever knows them
  heard aws '.topic == "$aws/events/presence/connected/pump-0001" and (.payload | .eventType == "connected"
    and .clientId == "pump-0001" and (.principalIdentifier | length) == 64 and .versionNumber > 0 and (.timestamp | type) == "number")'
  heard aws '.topic == "$aws/events/presence/disconnected/pump-0001" and (.payload | .clientInitiatedDisconnect == false)'
  # each once, and the other one's not at all
  [ "$(jq -c 'select(.event == "connected")' one | lines /dev/stdin)" = 1 ]
  not heard one '.device != "pump-0001" or .kind == "device"'

  fault 8 'the time was up after 0 of 1 events' iotctl events tail --kind job --count 1 --timeout 300ms --quiet
}

@test "a denial names the statement that decided" {
  start_fleet
  echo '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"},
    {"Sid": "NoSecrets", "Effect": "Deny", "Action": "iot:Publish", "Resource": "arn:aws:iot:*:*:topic/secret"}]}' >deny.json
  iotctl policy create careful deny.json >/dev/null
  iotctl device create pump-0001 --type pump --policy careful --out ./pump-0001 >/dev/null
  tail_events denials --kind denial --count 1 --timeout 20s
  as pump-0001 mosquitto_pub -q 1 -t secret -m x || true
  wait "$tail_pid"
  [ "$(jq -r .summary denials)" = "iot:Publish on 'topic/secret': policy 'careful' statement 2 (NoSecrets)" ]
  # not for others, whatever their policy says
  run as pump-0001 mosquitto_sub -t '$iotctl/events/denied' -C 1 -W 2
  [[ $output == *'requests were denied'* ]]
}

@test "jobs and their executions are told on AWS's topics, also by who is not there" {
  start_fleet
  make_device pump-0001
  tail_events jobs --kind job
  listen aws '$aws/events/job/#' '$aws/events/jobExecution/#'
  echo '{}' | iotctl job create fw - --to pump-0001 >/dev/null
  iotctl job cancel fw >/dev/null
  until_true 10 heard jobs '.event == "canceled" and .device == null'
  heard jobs '.event == "canceled" and .device == "pump-0001" and (.summary | contains("fw"))'
  heard aws '.topic == "$aws/events/job/fw/cancellation_in_progress" and .payload.status == "CANCELLATION_IN_PROGRESS"'
  heard aws '.topic == "$aws/events/jobExecution/fw/canceled" and .payload.thingArn == "arn:aws:iot:local:000000000000:thing/pump-0001"'
  outbox_is_empty() { [ "$(sqlite3 "$fleet/registry.db" 'SELECT count(*) FROM outbox')" = 0 ]; }
  until_true 10 outbox_is_empty
}

@test "routes take events to a file, a command and a topic, and what fits none to the default one" {
  start_fleet
  make_pump pump-0001
  iotctl events route add alarms -s 'alarm/#' -f alarms.jsonl >/dev/null
  iotctl events route add temps -s temp --shell -- "cat >>'$work/temps'" >/dev/null
  iotctl events route add copy -s copy -t 'copies/{thing}' >/dev/null
  iotctl events route add rest --default -f rest.jsonl >/dev/null
  iotctl subscribe 'copies/#' -n 1 --timeout 20s -o jsonl >copies 2>copies.err 3>&- &
  local sub=$!
  pids+=("$sub")
  until_true 10 grep -q 'and subscribed' copies.err
  event pump-0001 alarm/high '{"t": 90}'
  event pump-0001 temp 20
  event pump-0001 copy 'as it is'
  event pump-0001 never/heard/of 1
  wait "$sub"
  [ "$(jq -r '.topic + " " + .payload' copies)" = 'copies/pump-0001 as it is' ]
  until_true 10 has_lines rest.jsonl 1
  until_true 10 has_lines temps 1
  [ "$(jq -c '[.device, .event, .topic, .payload, .format]' alarms.jsonl)" = '["pump-0001","alarm/high","pump/pump-0001/event/alarm/high",{"t":90},"json"]' ]
  [ "$(jq -c '[.event, .payload]' temps)" = '["temp",20]' ]
  [ "$(jq -c .event rest.jsonl)" = '"never/heard/of"' ]
  [ "$(stat -c %a alarms.jsonl)" = 600 ]
  until_true 10 route_says alarms .delivered 1
  until_true 10 route_says copy .delivered 1

  # nobody speaks for another, whatever he says that he is
  as pump-0001 mosquitto_pub -V 5 -D publish user-property iotctl-thing pump-0009 -q 1 -t pump/pump-0001/event/x -m lie
  until_true 10 has_lines rest.jsonl 2
  [ "$(tail -n 1 rest.jsonl | jq -r .device)" = pump-0001 ]
  # nor does what serve or the fleet's own user says count as a device's
  iotctl publish pump/pump-0001/event/x -m mine >/dev/null
  event pump-0001 x last
  until_true 10 has_lines rest.jsonl 3
  not grep -q mine rest.jsonl
  # a route that is removed takes nothing any more
  iotctl events route remove alarms
  event pump-0001 alarm/high again
  until_true 10 grep -q again rest.jsonl
}

@test "a layout that begins to be used is heard at once" {
  start_fleet
  iotctl events route add rest --default -f rest.jsonl >/dev/null
  iotctl type create bus >/dev/null
  iotctl policy generate --layout buses >bus.policy
  iotctl policy create bus bus.policy >/dev/null
  iotctl device create bus-17 --type bus --policy bus --out ./bus-17 >/dev/null
  as bus-17 mosquitto_pub -q 1 -t bus/events -m early
  iotctl layout use buses --type bus >/dev/null
  says_and_is_heard() {
    as bus-17 mosquitto_pub -q 1 -t bus/events -m hello
    grep -q hello rest.jsonl
  }
  until_true 10 says_and_is_heard
  [ "$(jq -r .device rest.jsonl | sort -u)" = bus-17 ] # which the topic does not name
  not grep -q early rest.jsonl
}

@test "a file that cannot be written: events wait, and come in order" {
  start_fleet
  make_pump pump-0001
  mkdir out
  iotctl events route add rest --default -f out/rest.jsonl >/dev/null
  event pump-0001 x 1
  until_true 10 has_lines out/rest.jsonl 1
  rm -r out # it notices within a second; the lines of that second are in the file that is gone
  fault_is_seen() {
    event pump-0001 x 2
    [[ $(iotctl events route show rest --query .fault) == *"cannot open"* ]]
  }
  until_true 15 fault_is_seen
  logged "$fleet/broker/serve.log" "route 'rest': cannot open"
  event pump-0001 x '"first"'
  event pump-0001 x '"second"'
  mkdir out
  until_true 10 grep -q second out/rest.jsonl
  [ "$(tail -n 2 out/rest.jsonl | jq -r .payload | tr '\n' ' ')" = 'first second ' ]
  until_true 10 route_says rest .fault null
  logged "$fleet/broker/serve.log" "route 'rest' works again"
}

@test "a command that dies is started again; what waits in the broker survives a killed serve" {
  start_fleet
  make_pump pump-0001
  iotctl events route add cmd -s cmd --shell -- "head -n 1 >>'$work/got'; exit 3" >/dev/null
  iotctl events route add rest --default -f rest.jsonl >/dev/null
  event pump-0001 cmd 1
  until_true 10 has_lines got 1
  until_true 10 logged "$fleet/broker/serve.log" "'/bin/sh' ended with code 3"
  event pump-0001 cmd 2
  until_true 10 has_lines got 2

  # mosquitto has acknowledged what a stopped serve has not read yet
  kill -STOP "$(serve_pid)"
  for i in 1 2 3 4 5; do
    event pump-0001 x "\"kept $i\""
  done
  mosquitto=$(mosquitto_pid)
  kill -9 "$(serve_pid)"
  until_true 10 gone "$mosquitto"
  [ ! -e rest.jsonl ] || not grep -q kept rest.jsonl
  iotctl serve --detach
  until_true 10 has_lines rest.jsonl 5
  [ "$(jq -r .payload rest.jsonl | sort -u | lines /dev/stdin)" = 5 ]
}

# A message for a device that was away while mosquitto ended is kept for it, by what its certificate may do now.
@test "kept sessions have messages kept for them after a restart, as their policies are then" {
  start_fleet
  make_pump pump-0001
  make_pump pump-0002
  for name in pump-0001 pump-0002; do
    as "$name" mosquitto_sub -c -q 1 -t "pump/$name/command" -E
    until_true 10 device_says "$name" .connected false
  done
  iotctl serve --stop
  iotctl serve --detach
  for name in pump-0001 pump-0002; do
    iotctl publish "pump/$name/command" -m "for $name" >/dev/null
  done
  # one is not allowed to hear it any more when it comes back
  id=$(iotctl device show pump-0002 --query '.certificates[0].certificateId')
  echo '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["iot:Connect", "iot:Subscribe"], "Resource": "*"}]}' >deaf.json
  iotctl policy create deaf deaf.json >/dev/null
  iotctl api AttachPolicy policyName=deaf target="arn:aws:iot:local:000000000000:cert/$id" >/dev/null
  iotctl api DetachPolicy policyName=pump target="arn:aws:iot:local:000000000000:cert/$id" >/dev/null
  combined 0 as pump-0001 mosquitto_sub -c -q 1 -t pump/pump-0001/command -C 1 -W 20
  [ "$output" = 'for pump-0001' ]
  run as pump-0002 mosquitto_sub -c -q 1 -t pump/pump-0002/command -C 1 -W 3
  [ "$status" -eq 27 ]
  [[ $output != *for\ pump* ]]
}
