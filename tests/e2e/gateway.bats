#!/usr/bin/env bats
# shellcheck disable=SC2154 # $work and others come from common.bash
# The picture of Trusted Firmware-M's Profile Small demonstration: a gateway, sensors, a monitor, and impostors.
load common
load gateway

setup() { common_setup; }
teardown() { common_teardown; }

@test "two sensors, a monitor, an impostor in software and one without the key; the uplink is cut and restored" {
  start_picture
  make_child panel-1
  make_child sensor-1 --copy-to panel-1:event
  make_child sensor-2
  make_child sensor-3
  make_child sensor-4
  listen heard 'sensor/#'
  start_gateway
  until_true 10 happened '.event == "uplink"'

  start_small_device panel-1
  until_true 10 device_heard panel-1 '.event == "accepted"'
  start_small_device sensor-1 -n 300 --interval 20ms
  one=$device_pid
  start_small_device sensor-2 -n 300 --interval 20ms
  two=$device_pid
  fault 11 "refuses 'sensor-3': signature" small_device sensor-3 -n 5 --fault bad-token -q
  fault 5 "does not let 'sensor-4' in" small_device sensor-4 -n 5 --fault bad-key -q
  until_true 20 at_least_of sensor-1 20

  cut_wire
  until_true 10 happened '.event == "uplink-lost"'
  until_true 20 at_least_waiting 100
  before=$(numbers sensor-1 | wc -w)
  mend_wire
  wait "$one"
  wait "$two"
  until_true 30 all_of sensor-1 300
  until_true 30 all_of sensor-2 300
  until_true 10 nothing_waits
  [ "$before" -lt 300 ]
  # what the impostors said is nowhere; their state would have come first
  not heard heard '.topic | startswith("sensor/sensor-3") or startswith("sensor/sensor-4")'
  # the state comes once, retained for those who ask later
  [ "$(jq -Rn '[inputs | fromjson? | select(.topic == "sensor/sensor-1/state")] | length' <heard)" = 1 ]
  # the monitor got each event of the one, while the uplink was cut as well, and nothing of the other
  [ "$(jq -Rrn '[inputs | fromjson? | select(.event == "copy") | .detail | capture("n\": (?<n>[0-9]+)").n] | join(" ")' <panel-1.out)" = "$(seq -s ' ' 300)" ]
  not device_heard panel-1 '.event == "copy" and (.detail | startswith("sensor-1 event") | not)'
}

@test "the gateway is killed while the uplink is cut: nothing is lost, nothing comes twice, all in order" {
  start_picture
  make_child sensor-1
  listen heard 'sensor/#'
  cut_wire
  start_gateway
  start_small_device sensor-1 -n 200 --interval 20ms
  until_true 20 at_least_waiting 50
  kill -9 "$gateway"
  wait "$gateway" || true
  : >gateway.out
  start_gateway
  wait "$device_pid" # it has said it all, and was told that it is safe
  [ "$(waiting)" = 201 ]
  mend_wire
  until_true 30 all_of sensor-1 200
  until_true 10 nothing_waits
}

@test "configurations and commands go down, answers come back" {
  start_picture
  make_child sensor-1
  start_gateway
  until_true 10 happened '.event == "uplink"'
  iotctl config set - --to sensor-1 <<<'{"interval": 5}' >/dev/null
  start_small_device sensor-1
  until_true 10 device_heard sensor-1 '.event == "config" and (.detail | contains("\"interval\":5"))'
  acknowledged() { [ "$(iotctl config list sensor-1 --query '.[].acknowledgedVersion')" = "$1" ]; }
  until_true 10 acknowledged 1
  iotctl config set - --to sensor-1 <<<'{"interval": 7}' >/dev/null # while it is there
  until_true 10 acknowledged 2
  answer=$(iotctl command send sensor-1 -m '{"command": "measure"}' --wait --timeout 20s -o jsonl)
  jq -e '.outcome == "answered" and .payload.ok' <<<"$answer"
  device_heard sensor-1 '.event == "command" and (.detail | contains("measure"))'
}

@test "a secret that is revoked, a child that is removed: the connection ends at once and does not come back" {
  start_picture
  make_child sensor-1
  make_child sensor-2
  make_child sensor-3
  start_gateway
  until_true 10 happened '.event == "uplink"'
  for name in sensor-1 sensor-2 sensor-3; do
    start_small_device "$name"
    eval "pid_${name#sensor-}=$device_pid"
    until_true 10 device_heard "$name" '.event == "accepted"'
  done
  iotctl psk revoke sensor-1 >/dev/null
  until_true 2 happened '.event == "revoked" and .child == "sensor-1"'
  iak=$(sed 's/:.*//' sensor-2.iak)
  iotctl psk revoke "$iak" >/dev/null
  until_true 2 happened '.event == "revoked" and .child == "sensor-2"'
  iotctl gateway remove gw-1 sensor-3 >/dev/null
  until_true 2 happened '.event == "revoked" and .child == "sensor-3"'
  wait "$pid_1" || code=$?
  [ "$code" = 5 ] # it tried again
  wait "$pid_2" || code=$?
  [ "$code" = 11 ]
  wait "$pid_3" || code=$?
  [ "$code" = 5 ]
  [ "$(iotctl gateway children gw-1 -o json | jq -c 'map(.thingName)')" = '["sensor-1","sensor-2"]' ]
}

@test "rotation: both secrets are good until the old one is revoked" {
  start_picture
  make_child sensor-1
  start_gateway
  cp sensor-1.psk old.psk
  cp sensor-1.iak old.iak
  iotctl psk rotate sensor-1 --out new.psk >/dev/null
  iotctl psk rotate sensor-1 --attestation --out new.iak >/dev/null
  cp new.psk new-old.psk
  cp old.iak new-old.iak
  small_device old -n 1 --interval 0
  small_device new -n 1 --interval 0
  small_device new-old -n 1 --interval 0
  iotctl psk revoke sensor-1 >/dev/null
  fault 5 'does not let' small_device old -n 1 -q
  small_device new -n 1 --interval 0
}

@test "another endpoint: a broker without the plugin, over mutual TLS" {
  start_picture
  make_child sensor-1
  other=$(free_port)
  cat >mosquitto.conf <<CONF
user root
listener $other 127.0.0.1
cafile $fleet/ca/root.pem
certfile $fleet/ca/server.pem
keyfile $fleet/ca/server.key
require_certificate true
use_identity_as_username true
CONF
  cat "$fleet/ca/issuing.pem" "$fleet/ca/root.pem" >cas.pem
  sed -i "s|^cafile .*|cafile $work/cas.pem|" mosquitto.conf
  ${MOSQUITTO:-/usr/sbin/mosquitto} -c mosquitto.conf >mosquitto.log 2>&1 3>&- &
  pids+=($!)
  until_true 10 logged mosquitto.log running
  stdbuf -oL mosquitto_sub -h localhost -p "$other" --cafile gw-1/ca.pem --cert gw-1/certificate.pem --key gw-1/private.key \
    -i observer -V 5 -d -t 'sensor/#' -F '{"topic": "%t", "payload": %p}' >heard 2>&1 </dev/null 3>&- &
  pids+=($!)
  until_true 5 logged heard 'received SUBACK'
  wire_port=$other start_gateway
  small_device sensor-1 -n 50 --interval 5ms
  until_true 10 all_of sensor-1 50
}

@test "many children: their rights fill several policies, or one pattern" {
  start_fleet
  iotctl gateway create gw-1 --out ./gw-1 >/dev/null
  for i in $(seq 12); do
    iotctl device create "sensor-$i" --type sensor >/dev/null
    iotctl gateway add gw-1 "sensor-$i" >/dev/null
  done
  [ "$(iotctl policy list --query '[.[] | select(.policyName | startswith("gateway-gw-1"))] | length')" -ge 2 ]
  iotctl gateway add gw-1 sensor-1 --query .changed -o json | grep -q false
  for i in $(seq 3 12); do
    iotctl gateway remove gw-1 "sensor-$i" >/dev/null
  done
  [ "$(iotctl policy list --query '[.[] | select(.policyName | startswith("gateway-gw-1"))] | length')" = 1 ]
  not grep -q sensor-3 <<<"$(iotctl policy show gateway-gw-1)"

  iotctl gateway create gw-2 --out ./gw-2 --children meter- >/dev/null
  for i in $(seq 12); do
    iotctl device create "meter-$i" --type meter >/dev/null
    iotctl gateway add gw-2 "meter-$i" >/dev/null
  done
  [ "$(iotctl policy list --query '[.[] | select(.policyName | startswith("gateway-gw-2"))] | length')" = 1 ]
  fault 4 "names begin with 'meter-'" iotctl gateway add gw-2 sensor-9
  fault 4 "child of gateway 'gw-1'" iotctl gateway add gw-2 sensor-1
  fault 3 "no child of gateway" iotctl gateway remove gw-1 sensor-9
}
