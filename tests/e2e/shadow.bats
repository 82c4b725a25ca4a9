#!/usr/bin/env bats
# Shadows over the broker: a device and its fleet's own user agree through the service, replies go to subscribers.

setup() {
  load common
  common_setup
}

teardown() {
  common_teardown
}

ask() { # VERB OUTCOME PAYLOAD: what the service replies to pump-0001
  mosquitto_rr -h localhost -p "$port" --cafile pump-0001/ca.pem --cert pump-0001/certificate.pem \
    --key pump-0001/private.key -i pump-0001 -q 1 -W 10 \
    -t "\$aws/things/pump-0001/shadow/$1" -e "\$aws/things/pump-0001/shadow/$1/$2" -m "$3"
}

@test "a device reports, a person desires, both are heard" {
  command -v mosquitto_rr >/dev/null || skip "mosquitto-clients is not installed"
  start_fleet
  make_device pump-0001
  iotctl shadow watch pump-0001 --name config -o jsonl --count 3 --timeout 30s >changes 2>watch.err &
  pids+=($!)
  local watcher=$!
  until_true 10 grep -q watching watch.err

  # the device's own
  [ "$(ask get rejected '{"clientToken":"a"}' | jq -c 'del(.timestamp)')" = \
    '{"code":404,"message":"No shadow exists with name: '"'pump-0001'"'","clientToken":"a"}' ]
  [ "$(ask update accepted '{"state":{"reported":{"speed":2.5}},"clientToken":"b"}' | jq -c '[.version, .state, .clientToken]')" = \
    '[1,{"reported":{"speed":2.5}},"b"]' ]
  [ "$(ask update rejected '{"state":{"reported":{"speed":1}},"version":7}' | jq .code)" = 409 ]
  [ "$(iotctl shadow get pump-0001 --query .state.reported.speed)" = 2.5 ]

  # a named one, desired here and done there
  iotctl shadow update pump-0001 --name config --desired '{"interval": 60}' >/dev/null
  [ "$(ask name/config/get accepted '' | jq -c .state.delta)" = '{"interval":60}' ]
  [ "$(ask name/config/update accepted '{"state":{"reported":{"interval":60}}}' | jq .version)" = 2 ]
  [ "$(iotctl shadow list pump-0001 --query '.[] | select(.shadowName == "config").inSync')" = true ]
  [ "$(ask name/config/delete accepted '{"clientToken":"c"}' | jq -c '[.version, .clientToken]')" = '[2,"c"]' ]
  wait "$watcher"
  [ "$(jq -c '[.event, .version, .state.reported.interval]' changes)" = \
    $'["update",1,null]\n["update",2,60]\n["delete",2,null]' ]
}

@test "a device that was away hears what is desired when it returns" {
  command -v mosquitto_sub >/dev/null || skip "mosquitto-clients is not installed"
  start_fleet
  make_device pump-0001
  local tls=(-h localhost -p "$port" --cafile pump-0001/ca.pem --cert pump-0001/certificate.pem --key pump-0001/private.key)
  # a session that stays, as a device has that is away
  mosquitto_sub "${tls[@]}" -i pump-0001 -c -q 1 -t "\$aws/things/pump-0001/shadow/update/delta" -E
  iotctl shadow update pump-0001 --desired '{"speed": 3}' >/dev/null
  combined 0 mosquitto_sub "${tls[@]}" -i pump-0001 -c -q 1 -t "\$aws/things/pump-0001/shadow/update/delta" -C 1 -W 20
  [ "$(jq -c .state <<<"$output")" = '{"speed":3}' ]
}
