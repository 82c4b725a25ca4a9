#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2034,SC2154 # $work and others come from common.bash
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
  until_true 30 all_of_over_cut sensor-1 300
  until_true 30 all_of_over_cut sensor-2 300
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
  wire_port=$port # the fleet's own broker, which is told apart from others
  start_gateway
  until_true 10 happened '.event == "uplink"'
  iotctl config set - --to sensor-1 <<<'{"interval": 5}' >/dev/null
  start_small_device sensor-1
  until_true 10 device_heard sensor-1 '.event == "config" and (.detail | contains("\"interval\":5"))'
  until_true 10 acknowledged sensor-1 1
  iotctl config set - --to sensor-1 <<<'{"interval": 7}' >/dev/null # while it is there
  until_true 10 acknowledged sensor-1 2
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

# What the broker without the plugin was asked for by the gateway, one line each.
asked_for() { grep -A 1 'Received SUBSCRIBE from gw-1' mosquitto.log | sed -n 's/.*\t\(.*\) (QoS.*/\1/p' | sort; }
asked_times() { [ "$(asked_for | wc -l)" -ge "$1" ]; }

@test "another endpoint: an export alone, in another home, and a broker without the plugin, over mutual TLS" {
  start_picture
  for i in $(seq 6); do
    make_child "sensor-$i"
  done
  other=$(free_port)
  mkdir broker
  cp "$fleet/ca/server.pem" "$fleet/ca/server.key" broker/
  cat "$fleet/ca/issuing.pem" "$fleet/ca/root.pem" >broker/cas.pem
  cat >mosquitto.conf <<CONF
user root
log_type all
listener $other 127.0.0.1
cafile $work/broker/cas.pem
certfile $work/broker/server.pem
keyfile $work/broker/server.key
require_certificate true
use_identity_as_username true
CONF
  ${MOSQUITTO:-/usr/sbin/mosquitto} -c mosquitto.conf >mosquitto.log 2>&1 3>&- &
  pids+=($!)
  until_true 10 logged mosquitto.log running
  move_gateway
  iotctl serve --stop
  mv "$fleet" "$fleet.away" # nothing of the fleet is left but the export
  stdbuf -oL mosquitto_sub -h localhost -p "$other" --cafile gw-1/ca.pem --cert gw-1/certificate.pem --key gw-1/private.key \
    -i observer -V 5 -d -t 'sensor/#' -F '{"topic": "%t", "payload": %p}' >heard 2>&1 </dev/null 3>&- &
  pids+=($!)
  until_true 5 logged heard 'received SUBACK'
  wire_port=$other start_gateway
  until_true 10 happened '.event == "uplink"'
  small_device sensor-1 -n 50 --interval 5ms
  until_true 10 all_of sensor-1 50
  # AWS IoT has room for 50 subscriptions on a connection: it takes three, for one child or for all
  until_true 5 asked_times 3
  for i in $(seq 2 6); do
    start_small_device "sensor-$i"
    until_true 10 device_heard "sensor-$i" '.event == "accepted"'
  done
  small_device sensor-1 -n 1 --interval 0 # whatever the others made the gateway ask for was asked before this
  until_true 10 at_least_of sensor-1 51
  [ "$(asked_for | tr '\n' ' ')" = '$aws/things/+/shadow/name/config/get/accepted $aws/things/+/shadow/name/config/update/delta sensor/+/command ' ]
  # a command comes down by way of the one filter that all share
  mosquitto_pub -h localhost -p "$other" --cafile gw-1/ca.pem --cert gw-1/certificate.pem --key gw-1/private.key -i somebody \
    -t sensor/sensor-5/command -m '{"token": "t1", "command": "measure"}' -q 1
  until_true 10 device_heard sensor-5 '.event == "command" and (.detail | contains("measure"))'
  until_true 10 heard heard '.topic == "sensor/sensor-5/reply/t1"'
  not device_heard sensor-4 '.event == "command"'
}

@test "a gateway elsewhere: states, configurations and commands as at home, and a new export counts at once" {
  start_picture
  make_child sensor-1
  make_child sensor-2
  make_child panel-1
  move_gateway
  start_gateway
  until_true 10 happened '.event == "uplink"'
  iotctl config set - --to sensor-1 <<<'{"interval": 5}' >/dev/null
  start_small_device sensor-1
  one=$device_pid
  start_small_device sensor-2
  two=$device_pid
  until_true 10 device_heard sensor-2 '.event == "accepted"'
  until_true 10 device_heard sensor-1 '.event == "config" and (.detail | contains("\"interval\":5"))'
  until_true 10 acknowledged sensor-1 1
  # what the gateway says for a child is the child's: the broker knows whose it is
  iotctl events route add all --default --file "$work/events.jsonl" >/dev/null
  until_true 10 routed panel-1
  [ "$(iotctl state list panel-1 --query '.[0].state.firmware')" = '"1.0.0"' ] || [ "$(iotctl state list panel-1 --query '.[0].state.firmware')" = 1.0.0 ]
  not routed gw-1
  answer=$(iotctl command send sensor-1 -m '{"command": "measure"}' --wait --timeout 20s -o jsonl)
  jq -e '.outcome == "answered"' <<<"$answer"

  # a secret of one, an attestation key of another are taken back; a device more is a child
  iotctl psk revoke sensor-1 >/dev/null
  make_child sensor-3
  fault 5 "does not let 'sensor-3' in" small_device sensor-3 -n 1 -q
  not happened '.event == "revoked"' # nobody has told it yet
  refresh_export
  until_true 3 happened '.event == "revoked" and .child == "sensor-1"'
  wait "$one" || code=$?
  [ "$code" = 5 ]
  small_device sensor-3 -n 2 --interval 0 -q
  kill -0 "$two" # it was left alone
  not happened '.event == "revoked" and .child == "sensor-2"'

  # half of a file, one of another gateway, none at all: nobody is let in, until there is a good one
  head -c 20000 export/children.db >elsewhere/gw/children.db
  until_true 5 happened '.event == "revoked" and .child == "sensor-2"'
  fault 5 "does not let 'sensor-3' in" small_device sensor-3 -n 1 -q
  logged gateway.err 'it is not whole'
  rm elsewhere/gw/children.db
  fault 5 "does not let 'sensor-3' in" small_device sensor-3 -n 1 -q
  refresh_export
  until_true 5 lets_in sensor-3

  # that of another one is looked at once, not copied ten times a second
  iotctl gateway create gw-2 --out ./gw-2 >/dev/null
  iotctl gateway export gw-2 --identity ./gw-2 --out ./other >/dev/null
  cp -p other/children.db elsewhere/gw/children.db
  until_true 5 logged gateway.err "it is of gateway 'gw-2'"
  before=$(bytes_written)
  fault 5 "does not let 'sensor-3' in" small_device sensor-3 -n 1 -q
  fault 5 "does not let 'sensor-3' in" small_device sensor-3 -n 1 -q
  [ $(($(bytes_written) - before)) -lt "$(stat -c %s other/children.db)" ]
  refresh_export
  until_true 5 lets_in sensor-3
}

bytes_written() { awk '/^wchar/ {print $2}' "/proc/$gateway/io"; }
routed() { lets_in panel-1 && grep -q "\"device\":\"$1\"" events.jsonl; } # NAME: something of it is in the file of the route
lets_in() { small_device "$1" -n 1 --interval 0 -q; }                                     # NAME

@test "a layout of the fleet's own, where events acknowledge configurations: the gateway says them for its children" {
  start_picture
  jq '.name = "small" | .roles.config += {"acknowledge": "event", "versionMember": "v", "retain": true}' >small.json <<'JSON'
{"description": "for tests", "roles": {
  "config": {"topic": "s/{thing}/config", "qos": 1, "direction": "to-device"},
  "command": {"topic": "s/{thing}/command", "qos": 1, "retain": false, "direction": "to-device", "correlation": "payload", "tokenMember": "token"},
  "reply": {"topic": "s/{thing}/reply/{token}", "qos": 1, "retain": false, "direction": "from-device"},
  "event": {"topic": "s/{thing}/event", "qos": 1, "retain": false, "direction": "from-device"},
  "state": {"topic": "s/{thing}/state", "qos": 1, "retain": true, "direction": "from-device"}}}
JSON
  iotctl layout add small.json >/dev/null
  iotctl type create sensor >/dev/null 2>&1 || true
  iotctl layout use small --type sensor >/dev/null
  make_child sensor-1
  make_child sensor-2
  listen heard 's/#'
  move_gateway # with the layout
  start_gateway
  until_true 10 happened '.event == "uplink"'
  iotctl config set - --to sensor-1 <<<'{"interval": 5}' >/dev/null
  iotctl config set - --to sensor-2 <<<'{"interval": 9}' >/dev/null
  start_small_device sensor-1
  until_true 10 acknowledged sensor-1 1
  iotctl config set - --to sensor-1 <<<'{"interval": 7}' >/dev/null # while it is there
  until_true 10 acknowledged sensor-1 2
  heard heard '.topic == "s/sensor-1/event" and .payload.v == 2'
  [ "$(iotctl config list sensor-2 --query '.[].acknowledgedVersion')" = null ]
  # it hears of it once, on however many subscriptions it comes
  [ "$(jq -Rn '[inputs | fromjson? | select(.event == "config")] | length' <sensor-1.out)" = 2 ]
  # what is in force while the uplink is away is said when it is back
  cut_wire
  until_true 10 happened '.event == "uplink-lost"'
  iotctl config set - --to sensor-1 <<<'{"interval": 8}' >/dev/null
  mend_wire
  until_true 40 acknowledged sensor-1 3
  start_small_device sensor-2
  until_true 10 acknowledged sensor-2 1
}

acknowledged() { [ "$(iotctl config list "$1" --query '.[].acknowledgedVersion')" = "$2" ]; } # NAME VERSION

@test "attestation policies and keys go with an export: of a group, of a type" {
  start_picture
  make_child sensor-1
  iotctl group create all >/dev/null
  iotctl group create some --parent all >/dev/null
  iotctl group add some sensor-1 >/dev/null
  jq -n --arg m "$(printf 'its image' | sha256sum | cut -d' ' -f1)" '{components: [{type: "SPE", measurements: [$m]}]}' >good.json
  jq -n --arg m "$(printf 'another' | sha256sum | cut -d' ' -f1)" '{components: [{type: "SPE", measurements: [$m]}]}' >bad.json
  iotctl attest policy create good good.json >/dev/null
  iotctl attest policy create bad bad.json >/dev/null
  iotctl attest policy create stranger bad.json >/dev/null
  iotctl attest policy assign good --type sensor >/dev/null
  move_gateway
  start_gateway
  small_device sensor-1 -n 1 --interval 0 -q
  iotctl attest policy assign bad --group all >/dev/null # of the group above its own; it counts before the type's
  refresh_export
  until_true 5 is_refused sensor-1
  iotctl attest policy unassign bad --group all >/dev/null
  refresh_export
  until_true 5 lets_in sensor-1
  [ "$(sqlite3 export/children.db 'SELECT group_concat(name) FROM attest_policies')" = good ]
}

is_refused() { fault 11 "refuses '$1': components" small_device "$1" -n 1 --interval 0 -q; } # NAME

@test "exports: no more than a gateway needs, nobody else can read them, and no folder is mistaken for another" {
  start_picture
  make_child sensor-1
  iotctl device create stranger --type sensor >/dev/null
  iotctl psk create stranger --out stranger.psk >/dev/null
  fault 2 'no key and no certificate' iotctl gateway export gw-1 --out ./export
  fault 4 'folder of a gateway on this machine' iotctl gateway export gw-1 --out ./gw-1
  fault 3 'gw-9' iotctl gateway export gw-9 --identity ./gw-1 --out ./export
  iotctl gateway create gw-2 --out ./gw-2 >/dev/null
  fault 4 "the folder of 'gw-2'" iotctl gateway export gw-1 --identity ./gw-2 --out ./export
  [ ! -e export ]
  [ "$(iotctl gateway export gw-1 --identity ./gw-1 --out ./export --query .children)" = 1 ]
  fault 4 "the folder of 'gw-1'" iotctl gateway export gw-2 --identity ./gw-2 --out ./export
  [ "$(find export -perm /077 -type f -printf '%f\n' | sort | tr '\n' ' ')" = 'ca.pem certificate.pem device.json ' ]
  [ "$(stat -c %a export)" = 700 ]
  [ "$(find export -type f | wc -l)" = 5 ] # nothing half done is left
  [ "$(sqlite3 export/children.db "SELECT group_concat(identity, ' ') FROM psks ORDER BY id")" = "sensor-1 $(sed 's/:.*//' sensor-1.iak)" ]
  [ "$(sqlite3 export/children.db 'SELECT count(*) FROM certificates')" = 0 ]
  not grep -q -a -i -e "$(sed 's/.*://' sensor-1.psk)" export/children.db # not as it is
  not grep -q -a -F "$(tail -n 1 "$fleet/sealing.key")" export/children.db
  chmod 644 export/children.db
  fault 5 'children.db' iotctl gateway run ./export --port 0
  chmod 600 export/children.db
  cp export/children.db gw-2/children.db
  fault 4 "it is of gateway 'gw-1'" iotctl gateway run ./gw-2 --port 0
}

@test "many children: their rights fill several policies, or one pattern" {
  start_fleet
  iotctl gateway create gw-1 --out ./gw-1 >/dev/null
  for i in $(seq 18); do
    iotctl device create "sensor-$i" --type sensor >/dev/null
    iotctl gateway add gw-1 "sensor-$i" >/dev/null
  done
  [ "$(iotctl policy list --query '[.[] | select(.policyName | startswith("gateway-gw-1"))] | length')" -ge 2 ]
  iotctl gateway add gw-1 sensor-1 --query .changed -o json | grep -q false
  for i in $(seq 3 18); do
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
