#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2034,SC2030,SC2031,SC2154,SC2317 # topics begin with $; what common.bash and the tests share
# Devices made for Google's IoT Core: tokens as passwords, and the topics and manners of its MQTT bridge.

setup() {
  load common
  common_setup
  jwt_port=$(free_port)
  port=$(free_port)
  iotctl init demo --port "$port" >/dev/null
  iotctl serve --detach --jwt-port "$jwt_port" --token-skew 2s
  ca=$fleet/ca/root.pem
  iotctl group create gcp >/dev/null
  iotctl policy generate --layout gcp --no-services >gcp.json
  iotctl policy create gcp gcp.json >/dev/null
  iotctl policy attach gcp --group gcp >/dev/null
  make_token_device m-1
  iotctl layout use gcp --type meter >/dev/null
}

teardown() {
  common_teardown
}

make_token_device() { # NAME [options of jwt add-key]
  local name=$1
  shift
  iotctl device create "$name" --type meter --group gcp >/dev/null
  openssl ecparam -name prime256v1 -genkey -noout -out "$name.key"
  openssl pkey -in "$name.key" -pubout -out "$name.pub"
  iotctl jwt add-key "$name" "$name.pub" "$@" >"$name.added"
}

path_of() { echo "projects/demo/locations/europe/registries/meters/devices/$1"; } # NAME
broker_said() { until_true 5 grep -q -e "$1" "$fleet/broker/mosquitto.log"; }     # PATTERN
connected() { device_says "$1" .connected true; }                               # NAME
away() { device_says "$1" .connected false; }                                   # NAME

token() { # NAME [options of jwt create]: into NAME.token
  local name=$1
  shift
  iotctl jwt create --key "$name.key" --audience demo "$@" >"$name.token"
}

# show CODE|fail NAME TOPIC [options of mosquitto_pub]: connect with NAME.token and say something
show() {
  local code=$1 name=$2 topic=$3
  shift 3
  combined "$code" timeout 10 mosquitto_pub -h localhost -p "$jwt_port" --cafile "$ca" -u unused -P "$(<"$name.token")" \
    -i "$(path_of "$name")" -V 311 -t "$topic" -m '{"n": 1}' -q 1 "$@"
}

talk_token() { # NAME: held by `say`, what it hears is in NAME.talk
  local name=$1
  rm -f "$name.pipe"
  mkfifo "$name.pipe"
  : >"$name.talk"
  "$IOTCTL_BUILD/tests/e2e_talk" --token "$name.token" "$jwt_port" "$ca" "$(path_of "$name")" \
    <"$name.pipe" >>"$name.talk" 2>"$name.talk.err" 3>&- &
  pids+=($!)
  exec {talk_fd}>"$name.pipe"
  hears "$name" '^up$'
}

sim() { # CODE NAME [options]
  local code=$1 name=$2
  shift 2
  combined "$code" timeout 100 iotctl sim jwt-device "$name" --key "$name.key" --ca "$ca" --project demo --port "$jwt_port" -o jsonl "$@"
}

count_lines() { grep -c -e "$2" "$1" 2>/dev/null || true; } # FILE PATTERN
has_lines() { [ -e "$1" ] && [ "$(count_lines "$1" "$2")" -ge "$3" ]; }

@test "a day of tokens: thirty renewals, each before its token expires, and nothing is refused, cut or lost" {
  listen heard '/devices/m-1/events/#'
  sim 0 m-1 --lifetime 1s --renewals 30 --interval 50ms # twenty-four hours of tokens that live an hour, at 80 % each
  printf '%s\n' "$output" >sim.out
  [ "$(count_lines sim.out '"renewed"')" -eq 29 ]
  [ "$(count_lines sim.out '"refused"\|"cut"\|"lost"')" -eq 0 ]
  [ "$(count_lines sim.out '"sent"')" -ge 30 ]
  until_true 5 has_lines heard '"topic"' "$(count_lines sim.out '"sent"')"
  until_true 5 away m-1
  [ "$(iotctl state list m-1 --query length)" -eq 10 ]
  not grep -q 'denied:' "$fleet/broker/mosquitto.log"
}

@test "a token ends: the connection that it was shown on is cut off, and the token is worth nothing afterwards" {
  local start
  start=$(date +%s)
  sim 5 m-1 --fault keep --lifetime 1s
  [ $(($(date +%s) - start)) -le 6 ]
  [[ $output == *'"cut"'* ]]
  broker_said 'the token has expired'
  token m-1 --lifetime 1s
  show 0 m-1 /devices/m-1/events
  show 0 m-1 /devices/m-1/events # again: as that cloud did
  until_true 8 expired_token
}

expired_token() { show 5 m-1 /devices/m-1/events && logged "$fleet/broker/mosquitto.log" 'expiry: expired'; }

@test "tokens that are wrong are refused, and the log says how" {
  local fault
  for fault in expired:'expiry: expired' audience:"is not the project 'demo'" der:'it is DER' key:'another key'; do
    sim 5 m-1 --fault "${fault%%:*}"
    [[ $output == *'"refused"'* ]]
    broker_said "${fault#*:}"
  done
  token m-1
  show 0 m-1 /devices/m-1/events
  make_token_device m-2
  cp m-1.token m-2.token
  show 5 m-2 /devices/m-2/events # another device's
  show 5 m-1 /devices/m-1/events -P "$(sed 's/\..*//' m-1.token)"
  show 5 m-1 /devices/m-1/events -P ''
  show 5 m-1 /devices/m-1/events -i m-1
  broker_said "the client id is not 'projects/"
  show 5 m-1 /devices/m-1/events -i projects/other/locations/l/registries/r/devices/m-1
  show 5 m-1 /devices/m-1/events -i projects/demo/locations/l/registries/r/devices/m-1/x
  show 5 m-1 /devices/m-1/events -i projects/demo/locations/l/registries/r/devices/nobody
  combined fail timeout 10 mosquitto_pub -h localhost -p "$jwt_port" --cafile "$ca" -i m-1 -V 311 -t /devices/m-1/events -m x
  not grep -q -F "$(<m-1.token)" "$fleet/broker/mosquitto.log"
  show 0 m-1 /devices/m-1/events
}

@test "keys: RSA and P-256 beside one another; one that ends; one that is removed cuts its device off" {
  token m-1
  talk_token m-1
  until_true 5 connected m-1
  openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.key 2>/dev/null
  openssl pkey -in rsa.key -pubout -out rsa.pub
  iotctl jwt add-key m-1 rsa.pub --expires "$(date -u -d '+5 seconds' +%Y-%m-%dT%H:%M:%SZ)" >/dev/null
  cp rsa.key m-1b.key
  iotctl jwt create --key rsa.key --audience demo >m-1.token
  iotctl jwt remove-key m-1 "$(jq -r .keyId m-1.added 2>/dev/null || iotctl jwt keys m-1 --query '.[] | select(.type == "p256").keyId')" >/dev/null
  hears m-1 '^down'
  broker_said 'the key that signed its token was removed'
  talk_token m-1 # with the other key, until that ends
  hears m-1 '^down'
  show 5 m-1 /devices/m-1/events
}

# craft ISSUED-IN SECONDS: a token of rsa.key as nobody of good will makes it
craft() {
  local now head body
  now=$(date +%s)
  head=$(printf '{"alg":"RS256","typ":"JWT"}' | base64url)
  body=$(printf '{"aud":"demo","iat":%d,"exp":%d}' $((now + $1)) $((now + $1 + $2)) | base64url)
  printf '%s.%s.%s' "$head" "$body" "$(printf '%s.%s' "$head" "$body" | openssl dgst -sha256 -sign rsa.key -binary | base64url)"
}
base64url() { base64 -w 0 | tr '+/' '-_' | tr -d '='; }

@test "tokens of clocks that are wrong, with padding, and the fourth key" {
  openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.key 2>/dev/null
  openssl pkey -in rsa.key -pubout -out rsa.pub
  iotctl jwt add-key m-1 rsa.pub >/dev/null
  craft 0 600 >m-1.token
  show 0 m-1 /devices/m-1/events
  craft 1 600 >m-1.token # within what clocks may be wrong by
  show 0 m-1 /devices/m-1/events
  craft 600 600 >m-1.token
  show 5 m-1 /devices/m-1/events
  broker_said 'in the future'
  craft -3600 3500 >m-1.token
  show 5 m-1 /devices/m-1/events
  broker_said 'expiry: expired'
  craft 0 600 | sed 's/$/==/' >m-1.token
  show 5 m-1 /devices/m-1/events
  broker_said 'padding'
  # three keys are the most; the third is as good as the first
  openssl ecparam -name prime256v1 -genkey -noout -out third.key
  openssl pkey -in third.key -pubout -out third.pub
  iotctl jwt add-key m-1 third.pub >/dev/null
  iotctl jwt create --key third.key --audience demo >m-1.token
  show 0 m-1 /devices/m-1/events
  token m-1
  show 0 m-1 /devices/m-1/events
  openssl ecparam -name prime256v1 -genkey -noout -out fourth.key
  openssl pkey -in fourth.key -pubout -out fourth.pub
  fault 4 'm-1' iotctl jwt add-key m-1 fourth.pub
}

report() { # BYTES as printf has them: of m-1, as its state
  # shellcheck disable=SC2059
  printf "$1" >state.bin
  expect 0 timeout 10 mosquitto_pub -h localhost -p "$jwt_port" --cafile "$ca" -u unused -P "$(<m-1.token)" \
    -i "$(path_of m-1)" -V 311 -t /devices/m-1/state -f state.bin -q 1
}

@test "a state that is no JSON object is kept as it is" {
  token m-1
  report '\001\377\002 raw'
  until_true 5 state_is '"Af8CIHJhdw=="'
  report '[1, 2]'
  until_true 5 state_is "\"$(printf '[1, 2]' | base64)\""
  [ "$(iotctl state list m-1 -o json | jq -c '[.[] | has("state")]')" = '[false,false]' ]
  iotctl state watch m-1 --count 1 --timeout 10s -o jsonl >watch.out 2>watch.err 3>&- &
  pids+=($!)
  until_true 5 grep -q watching watch.err
  report 'text'
  until_true 10 grep -q "\"stateBytes\":\"$(printf text | base64)\"" watch.out
  report '{"level": 3}'
  until_true 5 level_is 3
}

state_is() { [ "$(iotctl state list m-1 -o json | jq '.[0].stateBytes')" = "$1" ]; }
level_is() { [ "$(iotctl state list m-1 -o json | jq '.[0].state.level')" = "$1" ]; }

@test "events go where the routes of their registry take them, else to its default route, else to that of all" {
  token m-1
  iotctl events route add alarms --registry meters --subfolder 'alarm/#' --file "$work/alarms.jsonl" >/dev/null
  iotctl events route add meters --registry projects/demo/locations/europe/registries/meters --default --file "$work/meters.jsonl" >/dev/null
  iotctl events route add all --default --file "$work/all.jsonl" >/dev/null
  fault 4 "route 'meters' is the default one" iotctl events route add more --registry projects/demo/locations/europe/registries/meters \
    --default --file "$work/more.jsonl"
  fault 2 'is no registry' iotctl events route add bad --registry projects/demo/registries/meters --default --file "$work/bad.jsonl"
  until_true 10 arrives /devices/m-1/events/first meters.jsonl
  show 0 m-1 /devices/m-1/events/alarm/high
  until_true 10 has_lines alarms.jsonl '"registry":"projects/demo/locations/europe/registries/meters"' 1
  # the same device by way of another registry, and of one of that name elsewhere
  show 0 m-1 /devices/m-1/events/alarm/other -i projects/demo/locations/europe/registries/pumps/devices/m-1
  until_true 10 has_lines all.jsonl '/alarm/other"' 1
  show 0 m-1 /devices/m-1/events/alarm/asia -i projects/demo/locations/asia/registries/meters/devices/m-1
  until_true 10 has_lines alarms.jsonl '/alarm/asia"' 1
  show 0 m-1 /devices/m-1/events/rest -i projects/demo/locations/asia/registries/meters/devices/m-1
  until_true 10 has_lines all.jsonl '/events/rest"' 1
  not grep -q -e asia -e other -e rest meters.jsonl
}

@test "manners of the bridge: its topics alone, nothing of others, no QoS 2, nothing retained, no last will" {
  local topic
  token m-1
  make_token_device m-2
  listen heard '/devices/#'
  for topic in /devices/m-1/events /devices/m-1/events/alarm/high /devices/m-1/state; do
    show 0 m-1 "$topic"
    until_true 5 heard heard ".topic == \"$topic\""
  done
  for topic in /devices/m-2/events /devices/m-2/commands /devices/m-1/config /devices/m-1/commands/x meter/m-1/state \
    '$aws/things/m-1/shadow/get' /devices/m-1/eventsx /devices; do
    : >m-1.talk.err
    talk_token m-1
    say pub 1 "$topic" '{"x": 1}'
    hears m-1 '^down'
    not heard heard ".topic == \"$topic\""
  done
  show fail m-1 /devices/m-1/events -q 2
  talk_token m-1
  say ret 1 /devices/m-1/events '{"x": "retained"}'
  hears m-1 '^down'
  not heard heard '.payload.x == "retained"'
  talk_token m-1
  for topic in /devices/m-2/config '/devices/m-1/#' '#' /devices/m-1/commands/x '/devices/+/config'; do
    : >m-1.talk
    say sub 1 "$topic"
    hears m-1 '^refused'
  done
  say sub 2 /devices/m-1/config
  hears m-1 '^granted'
}

@test "configuration on every subscription, commands only while it listens, states with their history" {
  token m-1
  echo '{"rate": 1}' >config.json
  iotctl config set config.json --to m-1 >/dev/null
  echo '{"rate": 2}' >config.json
  iotctl config set config.json --to m-1 >/dev/null
  for _ in 1 2; do
    talk_token m-1
    say sub 1 /devices/m-1/config
    hears m-1 '^got /devices/m-1/config .*"rate": *2'
    not grep -q '"rate": *1' m-1.talk
    : >m-1.talk
    say sub 1 /devices/m-1/config # again, on the same connection
    hears m-1 '^got /devices/m-1/config .*"rate": *2'
    say end
    until_true 5 away m-1
  done
  talk_token m-1
  say sub 1 '/devices/m-1/commands/#'
  hears m-1 '^granted'
  iotctl publish /devices/m-1/commands/valve --message '{"open": true}' >/dev/null
  hears m-1 '^got /devices/m-1/commands/valve'
  say pub 1 /devices/m-1/state '{"configVersion": 2, "level": 1}'
  hears m-1 '^sent'
  iotctl state watch m-1 --count 1 --timeout 10s -o jsonl >watch.out 2>watch.err 3>&- &
  pids+=($!)
  until_true 5 grep -q watching watch.err
  say pub 1 /devices/m-1/state '{"configVersion": 2, "level": 2}'
  until_true 10 grep -q '"level":2' watch.out
  [ "$(iotctl state list m-1 --query '[.[].state.level] | join(" ")')" = "2 1" ]
  until_true 5 device_config_known
  say end
  until_true 5 away m-1
  iotctl publish /devices/m-1/commands/late --message '{"open": false}' >/dev/null
  talk_token m-1
  say sub 1 '/devices/m-1/commands/#'
  hears m-1 '^granted'
  iotctl publish /devices/m-1/commands/now --message '{}' >/dev/null
  hears m-1 '/commands/now'
  not grep -q late m-1.talk
}

device_config_known() { [ "$(iotctl config list --query '.[0].acknowledgedVersion')" = 2 ]; }

@test "events go where routes take them, by subfolder" {
  token m-1
  iotctl events route add alarms --subfolder 'alarm/#' --file "$work/alarms.jsonl" >/dev/null
  iotctl events route add rest --default --file "$work/rest.jsonl" >/dev/null
  until_true 10 arrives /devices/m-1/events/first rest.jsonl # serve has heard of layout and routes
  show 0 m-1 /devices/m-1/events/alarm/high
  show 0 m-1 /devices/m-1/events/telemetry
  show 0 m-1 /devices/m-1/events
  until_true 10 has_lines rest.jsonl '"/devices/m-1/events"' 1
  until_true 10 has_lines rest.jsonl '/events/telemetry"' 1
  until_true 10 has_lines alarms.jsonl '"device":"m-1"' 1
  [ "$(wc -l <alarms.jsonl)" -eq 1 ]
  not grep -q alarm rest.jsonl
}

arrives() { show 0 m-1 "$1" && until_true 1 has_lines "$2" "$1\"" 1; } # TOPIC FILE

@test "a gateway attaches devices, with their tokens or because they are bound to it, and speaks for them" {
  make_token_device child
  iotctl device create bound --type meter --group gcp --attribute gateway=m-1 >/dev/null
  iotctl device create other --type meter --group gcp --attribute gateway=m-2 >/dev/null
  token m-1
  token child --lifetime 4s
  listen heard '/devices/#'
  talk_token m-1
  say pub 1 /devices/bound/attach '{}'
  say pub 1 /devices/child/attach "{\"authorization\": \"$(<child.token)\"}"
  say pub 1 /devices/child/state '{"of": "child"}'
  say pub 1 /devices/bound/events/x '{"of": "bound"}'
  say sub 1 /devices/child/config
  hears m-1 '^granted'
  until_true 5 heard heard '.payload.of == "bound"'
  until_true 5 device_says child .state.of child # recorded as the child's own
  say pub 1 /devices/other/attach '{}'
  hears m-1 'got /devices/m-1/errors .*GATEWAY_ATTACHMENT_ERROR.*other'
  say pub 1 /devices/child/attach '{"authorization": "x.y.z"}'
  hears m-1 'got /devices/m-1/errors .*child'
  say sub 1 /devices/other/config
  hears m-1 '^refused'
  iotctl device update bound --attribute gateway=m-9 >/dev/null # not its gateway any more
  until_true 5 refuses_bound
  token m-1
  talk_token m-1
  say pub 1 /devices/child/detach '{}'
  say pub 1 /devices/child/events '{"of": "after"}'
  hears m-1 '^down'
  not heard heard '.payload.of == "after"'
}

refuses_bound() {
  : >m-1.talk
  say sub 1 /devices/bound/config
  hears m-1 '^refused\|^granted' && grep -q '^refused' m-1.talk
}
