#!/usr/bin/env bats
# Commands through a running fleet: who answers, who does not, what does not count as an answer, and what is known after
# the broker was killed.

setup() {
  load common
  common_setup
  start_fleet
}

teardown() {
  common_teardown
}

pump() { # NUMBER...: software devices that answer
  local n
  [ -e factory.bin ] || firmware 1.0.0 factory.bin --size 4k
  for n in "$@"; do
    make_device "pump-$n"
    start_device "pump-$n" --image factory.bin
  done
  for n in "$@"; do
    until_true 20 listens "pump-$n"
  done
}

# The broker has granted its subscription to commands: without one the answer is "not-listening".
listens() { iotctl -q command send "$1" --timeout 2s >/dev/null; }

puppet() { # NUMBER: a device that does what the test says; its descriptor is in $puppet_N
  make_device "pump-$1"
  revive "$1"
}

revive() { # NUMBER
  talk "pump-$1"
  eval "puppet_$1=$talk_fd"
  until_true 10 hears "pump-$1" '^up'
  say "sub 1 pump/pump-$1/command"
  until_true 10 hears "pump-$1" '^granted'
  until_true 10 device_says "pump-$1" .connected true
}

tell() { # NUMBER WORDS...: let a puppet do it
  local fd="puppet_$1"
  printf '%s\n' "${*:2}" >&"${!fd}"
}

token_of() { # NUMBER [WHICH]: of the command that a puppet got
  until_true 10 token_came "$@"
  tokens "$1" | sed -n "${2:-1}p"
}
tokens() { sed -n "s/^got pump.pump-$1.command .*\"token\":\"\([^\"]*\)\".*/\1/p" "pump-$1.talk"; }
token_came() { [ "$(tokens "$1" | wc -l)" -ge "${2:-1}" ]; }

outcomes() { jq -r '"\(.thingName) \(.outcome)"' "$@" | sort | xargs; }

send() { # OPTION...: in the background; out.jsonl and err are what it says
  iotctl command send "$@" -o jsonl >out.jsonl 2>err 3>&- &
  sender=$!
  pids+=("$sender")
}

ends() { # CODE: the one in the background
  local got=0
  wait "$sender" || got=$?
  [ "$got" -eq "$1" ] || { printf 'ended with %s, not %s:\n%s\n%s\n' "$got" "$1" "$(<out.jsonl)" "$(<err)" >&2; return 1; }
}

@test "one device, a list, a group: a line for each with its answer" {
  pump 1 2 3
  iotctl device update pump-1 --alias first >/dev/null
  iotctl group create beta >/dev/null
  iotctl group add beta pump-2 pump-3 >/dev/null
  expect 0 iotctl command send first -m '{"pump":"on"}' --wait
  [[ $out == *pump-1*answered*'"ok":true'* ]]
  expect 0 iotctl command send --group beta -m '{"pump":"on"}' --wait -o jsonl
  [ "$(outcomes <<<"$out")" = 'pump-2 answered pump-3 answered' ]
  [ "$(jq -c 'select(.thingName == "pump-2") | [.payload.ok, .format, .milliseconds < 10000]' <<<"$out")" = '[true,"json",true]' ]
  printf '# all of them\npump-2\n\nfirst  # by alias\npump-2\n' >list
  expect 0 iotctl command send pump-3 --from list --wait --in-flight 1 -o json
  [ "$(jq -c 'map(.thingName)' <<<"$out")" = '["pump-2","pump-1","pump-3"]' ]
  # not asked to wait: sent as it is
  expect 0 iotctl command send first --from list -m 'on, please' -o jsonl
  [ "$(outcomes <<<"$out")" = 'pump-1 sent pump-2 sent' ]
}

@test "the correlation data of MQTT 5 tells the answers where the layout says so" {
  iotctl layout show aws -o json >five.json
  jq '.name = "five" | .roles.command = {topic: "five/{thing}/do/{subfolder}", qos: 1, retain: false, direction: "to-device",
      correlation: "mqtt5"} | .roles.reply.topic = "five/{thing}/done"' five.json >layout && mv layout five.json
  iotctl layout add five.json >/dev/null
  iotctl type create pump >/dev/null
  iotctl layout use five --type pump >/dev/null
  iotctl policy generate --layout five --type pump >policy.json
  iotctl policy create five policy.json >/dev/null
  iotctl device create pump-1 --type pump --policy five --out ./pump-1 >/dev/null
  firmware 1.0.0 factory.bin --size 4k
  start_device pump-1 --image factory.bin
  until_true 20 listens pump-1
  expect 0 iotctl command send pump-1 -m 'no JSON' --subfolder a/b --wait -o jsonl
  [ "$(jq -c '[.outcome, .payload.ok]' <<<"$out")" = '["answered",true]' ]
  grep -q 'command' pump-1.log
}

@test "who is not there is said at once, and hears nothing when it returns" {
  pump 1
  make_device pump-2
  expect 6 iotctl command send pump-1 pump-2 -m '{}' --wait --timeout 60s -o jsonl
  [ "$(outcomes <<<"$out")" = 'pump-1 answered pump-2 not-connected' ]
  fault 9 "'pump-2' did not answer: it was never connected; with --even-offline" iotctl command send pump-2 --wait -o jsonl
  fault 9 "nobody subscribes to 'pump/pump-2/command'" iotctl command send pump-2 --wait --even-offline -o jsonl
  [ "$(outcomes <<<"$out")" = 'pump-2 not-listening' ]
  # one whose session the broker keeps, with its subscription
  combined 27 as pump-2 mosquitto_sub -c -q 1 -t pump/pump-2/command -W 1
  until_true 10 device_says pump-2 .connected false
  fault 9 "'pump-2' was not told: not connected since 20" iotctl command send pump-2 -m never -o jsonl
  fault 8 "'pump-2' did not answer: no answer within 1 s" iotctl command send pump-2 -m '{"a":"never"}' --wait --even-offline --timeout 1s -o jsonl
  sleep 2 # the broker counts its time in whole seconds
  iotctl -q publish pump/pump-2/command -m 'marker' >/dev/null
  combined 0 as pump-2 mosquitto_sub -c -q 1 -t pump/pump-2/command -C 1 -W 10
  [ "$output" = marker ]
}

@test "an answer that is late or comes twice does not count" {
  puppet 1
  puppet 2
  send pump-1 pump-2 --wait --in-flight 1 --timeout 1500ms -v
  local first second
  first=$(token_of 1)
  second=$(token_of 2) # the first one's time is over
  tell 1 "pub 1 pump/pump-1/reply/$first too late"
  until_true 10 logged err "'pump-1' answered [0-9]* ms too late: not counted"
  tell 2 "pub 1 pump/pump-2/reply/$second {\"token\":\"$second\",\"a\":1}"
  ends 6
  [ "$(outcomes out.jsonl)" = 'pump-1 timed-out pump-2 answered' ]
  grep -q '1 of 2 devices did not answer' err

  send pump-1 pump-2 --wait --timeout 60s -v
  first=$(token_of 1 2) second=$(token_of 2 2)
  tell 1 "pub 1 pump/pump-1/reply/$first one"
  tell 1 "pub 1 pump/pump-1/reply/$first two"
  until_true 10 logged err "'pump-1' answered once more: not counted"
  # the answer to an earlier command is none to this one
  tell 2 "pub 1 pump/pump-2/reply/$(token_of 2 1) {\"a\":\"stale\"}"
  tell 2 "pub 1 pump/pump-2/reply/$second {\"a\":\"fresh\"}"
  ends 0
  [ "$(jq -r 'select(.thingName == "pump-1").payload' out.jsonl)" = one ]
  [ "$(jq -r 'select(.thingName == "pump-2").payload.a' out.jsonl)" = fresh ]
}

@test "no device can answer for another" {
  puppet 1
  puppet 2
  send pump-1 pump-2 --wait --timeout 60s
  local first second
  first=$(token_of 1) second=$(token_of 2)
  tell 2 "pub 1 pump/pump-2/reply/$first {\"token\":\"$first\",\"by\":\"pump-2\"}"
  until_true 10 logged err "an answer on 'pump/pump-2/reply/$first' has the token of the command to 'pump-1': not counted"
  tell 2 "pub 1 pump/pump-2/reply/$second {\"token\":\"$first\",\"by\":\"pump-2\"}"
  until_true 10 logged err "an answer on 'pump/pump-2/reply/$second' has the token of the command to 'pump-1': not counted"
  tell 2 "pub 1 pump/pump-2/reply/$second {\"by\":\"pump-2\"}"
  tell 2 "pub 1 pump/pump-1/reply/$first {\"by\":\"pump-2\"}" # its policy forbids it
  until_true 10 hears pump-2 '^down'
  tell 1 "pub 1 pump/pump-1/reply/$first {\"by\":\"pump-1\"}"
  ends 0
  [ "$(jq -r '.thingName + " " + .payload.by' out.jsonl | sort | xargs)" = 'pump-1 pump-1 pump-2 pump-2' ]
}

@test "an answer may be a picture of 100 KB" {
  make_device pump-1
  command_as pump-1 mosquitto_sub -q 1 -t pump/pump-1/command -C 1 -W 30
  "${command[@]}" >got 2>sub.err 3>&- &
  local sub=$!
  pids+=("$sub")
  until_true 20 device_says pump-1 .connected true
  send pump-1 --wait --timeout 60s --even-offline -m '{"what":"picture"}'
  wait "$sub"
  head -c 102400 /dev/urandom >picture.jpg
  as pump-1 mosquitto_pub -q 1 -t "pump/pump-1/reply/$(jq -r .token got)" -f picture.jpg
  ends 0
  [ "$(jq -r .format out.jsonl)" = base64 ]
  jq -r .payload out.jsonl | base64 -d | cmp - picture.jpg
}

@test "who may not command is told so, and so is who may not hear the answers" {
  pump 1
  make_device pump-2
  fault 5 "'pump-1' was not told: the broker does not allow it" iotctl command send pump-1 -m x --as ./pump-2 -o jsonl
  fault 5 "'pump-1' did not answer: the broker does not allow to hear its answers" iotctl command send pump-1 --wait --as ./pump-2 -o jsonl
  # a depot may command one pump of two: it hears of that one all the same
  pump 3
  cat >depot.json <<'EOF'
{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": "iot:Connect", "Resource": "arn:aws:iot:*:*:client/depot"},
  {"Effect": "Allow", "Action": "iot:Publish", "Resource": "arn:aws:iot:*:*:topic/pump/pump-3/command"},
  {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": "arn:aws:iot:*:*:topicfilter/pump/*/reply/*"},
  {"Effect": "Allow", "Action": "iot:Receive", "Resource": "arn:aws:iot:*:*:topic/pump/*/reply/*"}
]}
EOF
  iotctl policy create depot depot.json >/dev/null
  iotctl device create depot --policy depot --out ./depot >/dev/null
  expect 6 iotctl command send pump-1 pump-3 --wait --as ./depot --timeout 20s -o jsonl
  [ "$(outcomes <<<"$out")" = 'pump-1 denied pump-3 answered' ]
  # many are subscribed to by their type; who may not have that gets them one by one
  local name more=()
  for name in pump-{10..25}; do
    iotctl device create "$name" --type pump >/dev/null
    more+=("$name")
  done
  iotctl group create all >/dev/null
  iotctl group add all pump-3 "${more[@]}" >/dev/null
  expect 6 iotctl command send --group all --wait --even-offline -o jsonl
  [ "$(jq -r .outcome <<<"$out" | sort | uniq -c | xargs)" = '1 answered 16 not-listening' ]
  sed 's,topicfilter/pump/.*",topicfilter/pump/pump-3/reply/*",; s,client/depot,client/yard,' depot.json >narrow.json
  iotctl policy create narrow narrow.json >/dev/null
  iotctl device create yard --policy narrow --out ./yard >/dev/null
  expect 6 iotctl command send --group all --wait --even-offline --as ./yard -o jsonl
  [ "$(jq -r .outcome <<<"$out" | sort | uniq -c | xargs)" = '1 answered 16 denied' ]
}

@test "all timed out is exit code 8, too many failures 7, and a signal leaves nobody unnamed" {
  puppet 1
  puppet 2
  puppet 3
  expect 8 iotctl command send pump-1 pump-2 pump-3 --wait --timeout 300ms -o jsonl
  [ "$(outcomes <<<"$out")" = 'pump-1 timed-out pump-2 timed-out pump-3 timed-out' ]
  expect 7 iotctl command send pump-1 pump-2 pump-3 --wait --timeout 300ms --in-flight 1 --max-failures 2 -o jsonl
  [ "$(outcomes <<<"$out")" = 'pump-1 timed-out pump-2 timed-out pump-3 not-sent' ]
  send pump-1 pump-2 --wait --timeout 60s --in-flight 1
  token_of 1 3 >/dev/null
  kill -TERM "$sender"
  ends 143
  [ "$(outcomes out.jsonl)" = 'pump-1 unknown pump-2 not-sent' ]
}

@test "after the broker was killed it is known who answered, and the same call goes on without telling anybody twice" {
  pump 1 3
  puppet 2
  local journal=(pump-1 pump-2 pump-3 -m '{"a":1}' --wait --in-flight 1 --resume journal)
  send "${journal[@]}" --timeout 60s
  token_of 2 >/dev/null
  kill -9 "$(mosquitto_pid)"
  ends 9
  [ "$(outcomes out.jsonl)" = 'pump-1 answered pump-2 unknown pump-3 not-sent' ]
  grep -q 'lost the broker.*telling 3 devices, of which 1 answered; the same call goes on where it ended' err

  until_true 30 listens pump-1
  until_true 30 listens pump-3
  revive 2
  grep -c 'command' pump-1.log >before
  expect 6 iotctl command send "${journal[@]}" -o jsonl
  [ "$(jq -r 'if .resumed then .thingName + " " + .outcome else empty end' <<<"$out" | xargs)" = 'pump-1 answered pump-2 unknown' ]
  [ "$(jq -r 'if .resumed then empty else .thingName + " " + .outcome end' <<<"$out")" = 'pump-3 answered' ]
  [ "$(grep -c 'command' pump-1.log)" = "$(<before)" ]
  not hears_now pump-2
  # asked for, the one of which nothing is known is told again
  send "${journal[@]}" --retry-failed
  tell 2 "pub 1 pump/pump-2/reply/$(token_of 2) done"
  ends 0
  [ "$(jq -r 'select(.resumed | not) | .thingName + " " + .payload' out.jsonl)" = 'pump-2 done' ]
  expect 0 iotctl command send "${journal[@]}" -o jsonl
  [ "$(jq -r 'select(.resumed).thingName' <<<"$out" | wc -l)" = 3 ]
  fault 4 "journal 'journal' is of another command" iotctl command send pump-1 -m '{"a":2}' --wait --resume journal
}

hears_now() { grep -q '^got' "$1.talk"; }
