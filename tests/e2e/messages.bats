#!/usr/bin/env bats
# publish and subscribe through a running fleet: what arrives, what is refused, and what is known after a broken connection.

bats_require_minimum_version 1.5.0

setup() {
  load common
  common_setup
}

teardown() {
  common_teardown
}

subscriber() { # NAME ARGUMENT...: in the background, until it listens; its messages are NAME.out
  local name=$1
  shift
  iotctl subscribe "$@" -o jsonl >"$name.out" 2>"$name.err" &
  subscriber_pid=$!
  pids+=("$subscriber_pid")
  until_true 20 grep -q 'and subscribed' "$name.err"
}

payloads() { jq -r .payload "$1.out"; }

@test "messages arrive with topic, time, QoS and payload, and it is said who is connected" {
  start_fleet
  make_device pump-0001
  subscriber admin 'pump/+/event/#' -n 3 --timeout 30s
  grep -q "connected as the fleet's administrator" admin.err
  combined 0 iotctl publish pump/pump-0001/event/a pump/pump-0001/event/b/c -m hello --as ./pump-0001
  [[ $output == *"connected as 'pump-0001' at 'localhost:$port'"* ]]
  iotctl -q publish pump/pump-0001/event -m '00ff' --format hex --qos 0 >/dev/null
  wait "$subscriber_pid"
  [ "$(jq -c '[.topic, .qos, .retain, .payload, .format]' admin.out)" = \
    '["pump/pump-0001/event/a",1,false,"hello","text"]
["pump/pump-0001/event/b/c",1,false,"hello","text"]
["pump/pump-0001/event",0,false,"AP8=","base64"]' ]
  [[ $(jq -r .time admin.out | head -n 1) =~ ^20[0-9-]+T[0-9:]+\.[0-9]{3}Z$ ]]

  # what subscribe printed can be published again, byte for byte
  subscriber again 'pump/#' -n 3 --timeout 30s --format hex
  combined 0 iotctl -q publish --lines -f admin.out -o json
  [ "$(jq .acknowledged <<<"$output")" = 2 ]
  [ "$(jq .sent <<<"$output")" = 1 ]
  wait "$subscriber_pid"
  [ "$(payloads again | sort | xargs)" = '00ff 68656c6c6f 68656c6c6f' ]
}

@test "a template goes to every device of a group, lines go to every topic" {
  start_fleet
  make_device pump-0001
  make_device pump-0002
  iotctl group create beta >/dev/null
  iotctl group add beta pump-0002 >/dev/null
  subscriber all '#' -n 7 --timeout 30s
  iotctl -q publish '{type}/{name}/command' --all -m everybody >/dev/null
  iotctl -q publish '{type}/{name}/command' --group beta -m beta >/dev/null
  printf 'one\n\ntwo\n' | iotctl -q publish x y --lines >/dev/null
  wait "$subscriber_pid"
  [ "$(jq -r '.topic + " " + .payload' all.out)" = "pump/pump-0001/command everybody
pump/pump-0002/command everybody
pump/pump-0002/command beta
x one
y one
x two
y two" ]
}

@test "a role goes to the topic that each device's layout has for it, with its QoS and retain" {
  start_fleet
  make_device pump-0001
  iotctl type create bus >/dev/null
  iotctl layout use buses --type bus >/dev/null
  iotctl device create bus-1 --type bus >/dev/null
  subscriber admin '#' -n 3 --timeout 30s
  iotctl -q publish --role command --to pump-0001 --to bus-1 -m go >/dev/null
  iotctl -q publish --role event --subfolder alarm/hot --to pump-0001 -m 98 --as ./pump-0001 >/dev/null
  wait "$subscriber_pid"
  [ "$(jq -r '.topic + " " + .payload' admin.out)" = "pump/pump-0001/command go
bus/bus-1/commands go
pump/pump-0001/event/alarm/hot 98" ]
  printf 'one\ntwo\n' | iotctl -q publish --role state --to bus-1 --lines >/dev/null
  combined 0 iotctl -q subscribe bus/bus-1/state -n 1 --timeout 20s -o jsonl
  [ "$(jq -c '[.payload, .retain]' <<<"$output")" = '["two",true]' ]
}

@test "a retained message waits for who comes later, until it is deleted" {
  start_fleet
  iotctl -q publish depot/1/state -m open --retain >/dev/null
  combined 0 iotctl -q subscribe 'depot/#' -n 1 --timeout 20s -o jsonl
  [ "$(jq -c '[.payload, .retain]' <<<"$output")" = '["open",true]' ]
  combined 8 iotctl -q subscribe 'depot/#' -n 1 --no-retained --timeout 500ms -o jsonl
  [[ $output == *'the time was up after 0 of 1 messages'* ]]
  iotctl -q publish depot/1/state -m '' --retain >/dev/null
  combined 0 iotctl -q subscribe 'depot/#' --timeout 500ms -o jsonl
  [ -z "$output" ]
}

@test "what the broker refuses is named, and the rest arrives" {
  start_fleet
  make_device pump-0001
  subscriber admin '#' -n 2 --timeout 30s
  combined 6 iotctl publish pump/pump-0001/event/1 pump/pump-0002/event/2 pump/pump-0001/event/3 -m x --as ./pump-0001
  [[ $output == *"message 2 for 'pump/pump-0002/event/2': the broker does not allow it"* ]]
  [[ $output == *'1 of 3 messages were refused'* ]]
  wait "$subscriber_pid"
  [ "$(jq -r .topic admin.out | xargs)" = 'pump/pump-0001/event/1 pump/pump-0001/event/3' ]
  combined 5 iotctl publish pump/pump-0002/event -m x --as ./pump-0001
  combined 5 iotctl subscribe 'pump/pump-0001/command' 'pump/pump-0002/command' --as ./pump-0001
  [[ $output == *"refused a subscription to 'pump/pump-0002/command'"* ]]
  # by a rule, before it is sent: the line is named, the others go
  printf '{"topic":"ok/1","payload":"x"}\n{"topic":"a/b/c/d/e/f/g/h/i"}\nnot json\n{"topic":"ok/2","qos":2}\n' >lines
  combined 6 iotctl publish --lines -f lines -o json --quiet
  [[ $output == *'line 2: '*'8 slashes, 7 at most'* ]]
  [[ $output == *'line 3: '*'not valid JSON'* ]]
  [[ $output == *'line 4: QoS 2 is not available'* ]]
  iotctl -q device disable pump-0001 >/dev/null
  combined 5 iotctl publish pump/pump-0001/event -m x --as ./pump-0001
}

mosquitto_pid() { jq -r .mosquitto <(iotctl serve --status -o json); }

@test "after the broker was killed it is known what was acknowledged, and the same call sends the rest" {
  start_fleet
  for ((i = 1; i <= 400; i++)); do
    echo "{\"topic\":\"t/$i\",\"payload\":\"$i\"}"
  done >lines
  iotctl publish --lines -f lines --resume sent --rate 200/s -o json >first.json 2>first.err &
  local publisher=$! code=0
  until_true 20 eval '[ "$(wc -l <sent)" -gt 50 ]'
  kill -9 "$(mosquitto_pid)"
  wait "$publisher" || code=$?
  [ "$code" = 9 ]
  grep -q 'lost the broker' first.err
  grep -q "not acknowledged: message [0-9]* for 't/[0-9]*'" first.err
  local before rest
  before=$(jq .acknowledged first.json) rest=$(jq .rest first.json)
  [ $((before + rest)) = 400 ]
  [ "$(wc -l <sent)" = $((before + 1)) ]
  [ "$(jq '.unacknowledged | length' first.json)" = "$rest" ]

  until_true 20 iotctl -q publish probe -m x
  subscriber admin 't/+' -n "$rest" --timeout 60s
  combined 0 iotctl -q publish --lines -f lines --resume sent -o json
  [ "$(jq -c '[.acknowledged, .skipped, .rest]' <<<"$output")" = "[$rest,$before,0]" ]
  wait "$subscriber_pid"
  [ "$(payloads admin | sort -n | uniq | wc -l)" = "$rest" ]
  combined 0 iotctl -q publish --lines -f lines --resume sent -o json
  [ "$(jq -c '[.acknowledged, .skipped]' <<<"$output")" = '[0,400]' ]
  # other messages under the same numbers are noticed
  sed -i '1s/"1"/"one"/' lines
  combined 4 iotctl publish --lines -f lines --resume sent
  [[ $output == *'is of other messages'* ]]
}

@test "an interrupted call says what it did" {
  start_fleet
  iotctl publish t -m x -n 1000 --rate 50/s -o json >account.json 2>err &
  local publisher=$! code=0 pipe
  until_true 20 grep -q 'connected as' err
  kill -TERM "$publisher" # a shell's background jobs ignore SIGINT
  wait "$publisher" || code=$?
  [ "$code" = 143 ]
  [ "$(jq '.acknowledged + .rest' account.json)" = 1000 ]
  grep -q 'interrupted, while publishing: ' err
  # input that comes slowly keeps the connection; its end ends the call
  mkfifo pipe
  iotctl -q publish t --lines -f pipe -o json >account.json &
  publisher=$!
  exec {pipe}>pipe
  echo one >&"$pipe"
  subscriber late t -n 1 --timeout 20s {pipe}>&-
  echo two >&"$pipe"
  wait "$subscriber_pid"
  exec {pipe}>&-
  wait "$publisher"
  [ "$(jq .acknowledged account.json)" = 2 ]
}

@test "the policy that a layout asks for lets a bus do its work, and nothing to another bus" {
  start_fleet
  iotctl policy generate --layout buses --type bus >bus.json
  iotctl policy create bus bus.json >/dev/null
  iotctl policy generate --layout buses --type depot >depot.json
  iotctl policy create depot depot.json >/dev/null
  for name in bus-1 bus-2; do
    iotctl device create "$name" --type bus --policy bus --out "./$name" >/dev/null
  done
  iotctl device create depot-1 --type depot --policy depot --out ./depot-1 >/dev/null
  iotctl layout use buses --type bus
  iotctl layout use buses --type depot

  subscriber depot depot/depot-1/bus-arrived --as ./depot-1 -n 1 --timeout 30s
  subscriber bus bus/bus-1/commands bus/bus-1/configuration --as ./bus-1 -n 2 --timeout 30s
  iotctl -q publish depot/depot-1/bus-arrived -m bus-2 --as ./bus-2 >/dev/null
  until_true 20 grep -q bus-2 depot.out
  iotctl -q publish bus/bus-1/configuration -m '{"depot":"depot-1"}' --retain >/dev/null
  iotctl -q publish bus/bus-1/commands -m route --as ./depot-1 >/dev/null
  until_true 20 grep -q route bus.out
  grep -q 'depot-1' bus.out

  combined 5 iotctl subscribe bus/bus-1/configuration --as ./bus-2
  combined 5 iotctl subscribe bus/+/configuration --as ./bus-2
  combined 5 iotctl publish bus/bus-1/configuration -m x --as ./bus-2
  combined 5 iotctl publish bus/bus-1/commands -m x --as ./bus-2
  combined 5 iotctl publish bus/bus-1/configuration -m x --as ./depot-1
  # a picture of 100 KB passes
  head -c 102400 /dev/urandom >picture.jpg
  subscriber picture bus/events -n 1 --timeout 30s --format base64
  iotctl -q publish bus/events -f picture.jpg --as ./bus-2 >/dev/null
  until_true 20 test -s picture.out
  payloads picture | base64 -d | cmp - picture.jpg
}
