#!/usr/bin/env bats
# Zero touch: a module that knows nobody but its vendor comes to the staging endpoint, and ends in the fleet.
# The modules here are certificates made with openssl, and mosquitto's own clients.


setup() {
  load common
  common_setup
  port=$(free_port)
  staging_port=$(free_port)
  until differs "$port" "$staging_port"; do staging_port=$(free_port); done
  iotctl init demo --port "$port" >/dev/null
  iotctl ca root >ca.pem
  make_vendor vendor
  iotctl ca trust vendor.pem >/dev/null
  iotctl serve --detach --staging-port "$staging_port"
}

teardown() {
  common_teardown
}

make_vendor() { # NAME: a CA
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/O=$1/CN=$1 modules" \
    -keyout "$1.key" -out "$1.pem" 2>/dev/null
}

make_module() { # UID VENDOR [SUBJECT]: UID.pem, UID.key
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "${3:-/CN=$1}" -keyout "$1.key" -out "$1.csr" 2>/dev/null
  openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -days 30 -out "$1.pem" 2>/dev/null
}

# module PORT UID PROGRAM [options]: mosquitto_pub or mosquitto_sub as the module.
module() {
  local to=$1 uid=$2 program=$3
  shift 3
  stdbuf -oL "$program" -h localhost -p "$to" --cafile ca.pem --cert "$uid.pem" --key "$uid.key" -i "$uid" -V 311 "$@"
}

# The endpoint that a module is told within some seconds; fails if there is none.
told() { module "$staging_port" "$1" mosquitto_sub -t "$1/expresslink_config" -q 1 -C 1 -W "${2:-5}"; }

wait_in_staging() { # UID: in the background, its messages go to UID.heard
  stdbuf -oL mosquitto_sub -h localhost -p "$staging_port" --cafile ca.pem --cert "$1.pem" --key "$1.key" -i "$1" -V 311 \
    -t "$1/expresslink_config" -q 1 -d >"$1.heard" 2>&1 </dev/null 3>&- &
  pids+=($!)
  until_true 5 grep -q 'received SUBACK' "$1.heard"
}

wants() { # UID: it knocked and was not let in
  logged "$fleet/broker/serve.log" "module '$1' waits in staging"
}

@test "a claimed module is told its endpoint and is a device of the fleet" {
  make_module a1 vendor
  iotctl group create beta >/dev/null
  iotctl device claim a1 --name pump-0001 --type pump --group beta >/dev/null
  [ "$(told a1)" = '{"Endpoint":"localhost"}' ]
  [ "$(iotctl device show pump-0001 -o json | jq -c '[.thingName, .thingTypeName, .groups, .certificates[0].status, .certificates[0].policies]')" = \
    '["a1","pump",["beta"],"ACTIVE",["device"]]' ]
  [ "$(iotctl device claims -o json)" = '[]' ]
  listen fleet.log '#'
  module "$port" a1 mosquitto_pub -t pump/a1/state -q 1 -m '{"firmware": "1.0.0"}'
  until_true 5 heard fleet.log '.topic == "pump/a1/state"'
  # after a factory reset it comes again, and hears the same, whatever has become of the device
  iotctl device update a1 --alias north >/dev/null
  [ "$(told a1)" = '{"Endpoint":"localhost"}' ]
  [ "$(iotctl device show a1 --query .alias)" = north ]
  # claimed again it is the same
  [ "$(iotctl device claim a1 --type pump --query .changed)" = false ]
  fault 4 "'a1' is a device already, with another type" iotctl device claim a1 --type valve
}

@test "the serial number of the subject is the UID, before the common name" {
  make_module b1 vendor '/CN=ExpressLink/serialNumber=b1'
  iotctl device claim b1 >/dev/null
  [ "$(told b1)" = '{"Endpoint":"localhost"}' ]
  make_module b2 vendor '/CN=b2/serialNumber=other'
  iotctl device claim b2 >/dev/null
  combined fail told b2 2
  logged "$fleet/broker/staging.log" "the client id is not the UID 'other'"
}

@test "an unclaimed module waits, and is told at once when it is claimed" {
  make_module c1 vendor
  wait_in_staging c1
  until_true 5 wants c1
  combined fail grep -q Endpoint c1.heard
  fault 3 "no device has the name or alias 'c1'" iotctl device show c1
  combined fail module "$port" c1 mosquitto_pub -t c1/x -m x
  iotctl device claim c1 >/dev/null
  until_true 2 grep -q '{"Endpoint":"localhost"}' c1.heard
  module "$port" c1 mosquitto_sub -t '$aws/things/c1/jobs/notify' -q 1 -E
  # it is told once, not once for each event
  [ "$(grep -c '^{"Endpoint' c1.heard)" = 1 ]
}

@test "a module that waited while serve was away is taken in" {
  make_module c2 vendor
  iotctl serve --stop
  expect 0 iotctl device claim c2
  iotctl serve --detach # with the staging endpoint it had
  [ "$(iotctl serve --status --query .stagingPort)" = "$staging_port" ]
  [ "$(told c2)" = '{"Endpoint":"localhost"}' ]
}

@test "in staging a module hears of its endpoint and nothing else" {
  make_module d1 vendor
  make_module d2 vendor
  wait_in_staging d1
  for filter in '#' 'd2/#' '+/expresslink_config' 'd1/expresslink_config' '$share/g/d1/expresslink_config' '$iotctl/events/#' \
    '$SYS/#' '$aws/things/d1/jobs/notify-next'; do
    module "$staging_port" d2 mosquitto_sub -t "$filter" -E -d >sub.log 2>&1 || true
    grep -q 'Subscribed (mid: 1): 128' sub.log || { echo "$filter was granted: $(cat sub.log)" >&2; return 1; }
  done
  for topic in d1/expresslink_config '$CONTROL/iotctl/v1' '$aws/things/d2/shadow/get' d2; do
    module "$staging_port" d2 mosquitto_pub -q 1 -t "$topic" -m '{"Endpoint":"evil"}' || true
    until_true 2 logged "$fleet/broker/staging.log" "denied: client 'd2' .* iot:Publish on 'topic/$topic'"
  done
  module "$staging_port" d2 mosquitto_pub -q 1 -r -t d2/x -m x
  until_true 2 logged "$fleet/broker/staging.log" "denied: client 'd2' .* iot:RetainPublish on 'topic/d2/x'"
  module "$staging_port" d2 mosquitto_pub -q 1 -t d2/x -m x
  combined fail grep -q evil d1.heard
  # another client id than its own
  combined fail mosquitto_pub -h localhost -p "$staging_port" --cafile ca.pem --cert d2.pem --key d2.key -i d1 -t d1/x -m x
}

@test "who did not come from a trusted vendor does not get in" {
  make_vendor stranger
  make_module e1 stranger
  iotctl device claim e1 >/dev/null
  combined fail told e1 2
  # a certificate that is trusted for itself must not speak for others: this one can sign as a CA can
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=e2 -keyout e2.key -out e2.pem 2>/dev/null
  iotctl cert register e2.pem --without-ca >/dev/null
  make_module e3 e2
  iotctl device claim e2 >/dev/null
  iotctl device claim e3 >/dev/null
  combined fail told e3 2
  logged "$fleet/broker/staging.log" 'no registered CA issued the certificate'
  fault 3 "'e3'" iotctl device show e3
  # itself it may come, and be claimed
  [ "$(told e2)" = '{"Endpoint":"localhost"}' ]
  # another vendor is trusted: from then on
  iotctl ca trust stranger.pem >/dev/null
  [ "$(told e1)" = '{"Endpoint":"localhost"}' ]
}

@test "a certificate that is off, and one that was not claimed" {
  make_module f1 vendor
  iotctl device claim f1 >/dev/null
  told f1
  wait_in_staging f1
  iotctl device disable f1 >/dev/null
  until_true 5 logged "$fleet/broker/staging.log" 'the certificate is INACTIVE'
  combined fail told f1 2
  iotctl device enable f1 >/dev/null
  told f1
  # the claim names another certificate
  make_module f2 vendor
  iotctl device claim f2 --certificate "$(openssl x509 -in f1.pem -noout -fingerprint -sha256 | cut -d= -f2)" >/dev/null
  combined fail told f2 2
  until_true 5 logged "$fleet/broker/serve.log" "module 'f2' has the certificate .* and was claimed with"
  fault 3 "'f2'" iotctl device show f2
  iotctl device claim f2 --update --certificate "$(openssl x509 -in f2.pem -noout -fingerprint -sha256 | cut -d= -f2)" >/dev/null
  told f2
  # a device that was deleted does not come back by itself
  iotctl device delete f2 --yes >/dev/null
  combined fail told f2 2
  fault 3 "'f2'" iotctl device show f2
}

@test "a list of modules, one of which is another's" {
  make_module g1 vendor
  make_module g2 vendor
  iotctl device create taken --alias north >/dev/null
  printf 'uid,name,type\r\ng1,pump-1,pump\r\ng2,north,pump\r\n' >list.csv
  wait_in_staging g1
  expect 6 iotctl device claim --from list.csv -o jsonl
  [ "$(jq -c '[.line, .thingName, .changed]' <<<"$out" | paste -sd' ')" = '[2,"g1",true] [3,"g2",false]' ]
  until_true 5 grep -q '{"Endpoint":"localhost"}' g1.heard
  expect 0 iotctl device show pump-1
}

@test "the staging endpoint comes and goes with serve" {
  staging=$(iotctl serve --status --query .stagingPid)
  kill -9 "$staging"
  until_true 10 differs "$staging" "$(iotctl serve --status --query .stagingPid)"
  make_module h1 vendor
  iotctl device claim h1 >/dev/null
  until_true 10 told h1 2
  # both end with serve, however that ends
  staging=$(iotctl serve --status --query .stagingPid)
  kill -9 "$(serve_pid)"
  until_true 5 gone "$staging"
  fault 4 'cannot have the fleet' iotctl serve --detach --staging-port "$port"
  iotctl serve --detach --staging-port 0
  [ "$(iotctl serve --status --query .stagingPort)" = null ]
  iotctl serve --stop
  iotctl serve --detach
  [ "$(iotctl serve --status --query .stagingPort)" = null ]
}

# at COMMAND: to the module at ./board0; its answer is then in $answer.
at() {
  printf '%s\n' "$1" >&5
  answer=
  while IFS= read -r -t 10 answer <&5; do
    answer=${answer%$'\r'}
    [ -z "$answer" ] || return 0
  done
  echo "no answer to $1" >&2
  return 1
}

@test "a fresh module needs only AT+CONNECT twice" {
  iotctl sim expresslink --link ./board0 --staging "localhost:$staging_port" --broker-port "$port" --vendor-ca vendor.pem \
    --vendor-key vendor.key --root-ca ca.pem 2>board0.log 3>&- &
  pids+=($!)
  until_true 10 test -e board0
  exec 5<>board0
  at 'AT+CONF? ThingName'
  uid=${answer#OK }
  printf 'uid,name,type\n%s,pump-0001,pump\n' "$uid" >list.csv
  iotctl device claim --from list.csv >/dev/null
  at AT+CONNECT
  [ "$answer" = 'OK 1 CONNECTED' ]
  is_customer() { at AT+CONNECT? && [ "$answer" = 'OK 0 1 DISCONNECTED CUSTOMER' ]; }
  until_true 10 is_customer # it was told, and hung up
  at AT+CONNECT
  [ "$answer" = 'OK 1 CONNECTED' ]
  at AT+CONNECT?
  [ "$answer" = 'OK 1 1 CONNECTED CUSTOMER' ]
  until_true 5 device_says pump-0001 .connected true
  listen fleet.log 'pump/#'
  at "AT+CONF Topic1=pump/$uid/state"
  at 'AT+SEND1 {"firmware": "1.0.0"}'
  [ "$answer" = OK ]
  until_true 5 heard fleet.log '.payload.firmware == "1.0.0"'
  # a factory reset, and it finds home again
  at AT+DISCONNECT
  at AT+FACTORY_RESET
  is_staging() { at AT+CONNECT? && [ "$answer" = 'OK 0 0 DISCONNECTED STAGING' ]; }
  until_true 10 is_staging
  at AT+CONNECT
  until_true 10 is_customer
  at AT+CONNECT
  [ "$answer" = 'OK 1 CONNECTED' ]
}
