#!/usr/bin/env bats
# shellcheck disable=SC2154 # what common.bash and aws.bash share with the tests
# MQTT for operators at AWS: with a certificate on 8883, and behind a front that tells MQTT from HTTPS by ALPN, as on 443.

setup() {
  load common
  load aws
  common_setup
  aws_setup
  start_broker
}

teardown() {
  aws_teardown
}

front() { # FILE PROTOCOL: its port in $port, what was agreed on in FILE.log
  cat server.key server.pem >server.both
  python3 "$BATS_TEST_DIRNAME/../lib/alpn_front.py" "$1" server.both operator.pem "$plain" "$2" <stay >"$1.log" 2>&1 3>&- &
  pids+=($!)
  until_true 10 test -s "$1"
  port=$(<"$1")
}

profile_says() { # KEY VALUE
  sed -i "s/^$1 = .*/$1 = $2/" "$XDG_CONFIG_HOME/iotctl/iotctl.conf"
}

hears_one() { # what is published is what arrives
  iotctl subscribe 'a/#' --count 1 --timeout 20s -o jsonl >heard 2>heard.err 3>&- 9>&- &
  local listener=$!
  until_true 20 said_hello || { cat heard.err >&2; return 1; }
  mosquitto_pub -h 127.0.0.1 -p "$plain" -t a/b -m hello
  wait "$listener"
  [ "$(jq -r .payload heard)" = hello ]
  : >mosquitto.seen
}
said_hello() { mosquitto_pub -h 127.0.0.1 -p "$plain" -i probe -t x -m y && [ "$(grep -c "Sending SUBACK to operator-ann" mosquitto.out)" -gt "${subscribed:-0}" ]; }

@test "with a certificate, on the port that AWS names, and on one where ALPN chooses" {
  write_operator ann
  export IOTCTL_PROFILE=ann
  hears_one
  subscribed=$(grep -c "Sending SUBACK to operator-ann" mosquitto.out)
  # ALPN is offered when it is wanted, and then the front lets it through.
  front mqtt x-amzn-mqtt-ca
  profile_says broker "localhost:$port"
  IOTCTL_MQTT_ALPN=always hears_one
  [ "$(sort -u mqtt.log)" = x-amzn-mqtt-ca ]
  IOTCTL_MQTT_ALPN=always iotctl -q publish a/b -m there >/dev/null
  # Without it the front takes it for a web client.
  expect 9 iotctl subscribe 'a/#' --count 1 --timeout 5s
  [ "$(tail -n 1 mqtt.log)" = None ]
  # A certificate that the front does not know.
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj "/CN=x" -keyout other.key -out other.pem 2>/dev/null
  profile_says client-certificate-data "$(base64 -w0 other.pem)"
  profile_says client-key-data "$(base64 -w0 other.key)"
  IOTCTL_MQTT_ALPN=always combined fail iotctl subscribe 'a/#' --count 1 --timeout 5s
  [[ $output == *"this client's certificate"* ]] # how exactly depends on what arrives first
}

@test "a server without the protocol: one clear line, whether it ignores ALPN or refuses it" {
  write_operator ann
  export IOTCTL_PROFILE=ann IOTCTL_MQTT_ALPN=always
  front web http/1.1
  profile_says broker "localhost:$port"
  fault 9 "there is no MQTT on this port: the server does not know the ALPN protocol 'x-amzn-mqtt-ca'" \
    iotctl subscribe 'a/#' --count 1 --timeout 10s
  until_true 5 grep -q -x None web.log
  # One that ends the handshake with an alert (RFC 7301, section 3.2).
  port=$(free_port)
  openssl s_server -accept "127.0.0.1:$port" -cert server.pem -key server.key -alpn http/1.1 -quiet >s_server.log 2>&1 <stay 3>&- &
  pids+=($!)
  until_true 10 test -n "$port" -a -d "/proc/${pids[-1]}"
  until_true 10 listening "$port"
  profile_says broker "localhost:$port"
  fault 9 "the server does not know the ALPN protocol" iotctl subscribe 'a/#' --count 1 --timeout 10s
  # The broker of a fleet, which knows nothing of ALPN, on the port of 8883.
  profile_says broker "localhost:$broker"
  fault 9 "the server does not know the ALPN protocol" iotctl subscribe 'a/#' --count 1 --timeout 10s
}
listening() { grep -q "$(printf ':%04X 00000000:0000 0A' "$1")" /proc/net/tcp; }

@test "without a broker in the profile it is the account's; the port says whether ALPN is offered" {
  write_operator ann
  sed -i '/^broker = /d' "$XDG_CONFIG_HOME/iotctl/iotctl.conf"
  export IOTCTL_PROFILE=ann
  control address nowhere.invalid >/dev/null
  fault 9 "nowhere.invalid:8883" iotctl subscribe 'a/#' --count 1 --timeout 10s
  IOTCTL_MQTT_PORT=443 fault 9 "nowhere.invalid:443" iotctl subscribe 'a/#' --count 1 --timeout 10s
  IOTCTL_MQTT_PORT=80 fault 12 "mqtt-port" iotctl subscribe 'a/#' --count 1 --timeout 10s
}

come() { # FOLDER: the device connects with what is in it, until $came is ended; events name that certificate
  openssl x509 -in "$1/certificate.pem" -outform DER | sha256sum | cut -d ' ' -f 1 >principal
  mosquitto_sub -h localhost -p "$broker" --cafile "$fleet/ca/root.pem" --cert "$1/certificate.pem" --key "$1/private.key" -i pump-1 \
    -t nothing >/dev/null 2>&1 3>&- 9>&- &
  came=$!
  pids+=("$came")
}

@test "a rotation ends when the device was heard to come with its new certificate, and not before" {
  iotctl -q device create pump-1 --policy device --out old >/dev/null
  iotctl -q device rotate pump-1 --out new >/dev/null
  [ "$(count certificates)" = 2 ]
  fault 11 "only an operator" iotctl -q device rotate pump-1 --finish
  write_operator ann
  export IOTCTL_PROFILE=ann
  # It is there already, with the old one; made to come again it comes with that.
  come old
  until_true 10 is_there
  faults ''
  iotctl -q device rotate pump-1 --finish --timeout 3s >finish.out 2>finish.err 3>&- 9>&- &
  finish=$!
  until_true 10 called DeleteConnection
  kill "$came"
  come old
  code=0
  wait "$finish" || code=$?
  [ "$code" -eq 11 ]
  grep -q "has not connected with its new certificate" finish.err
  [ "$(count certificates)" = 2 ]
  faults ''
  iotctl -q device rotate pump-1 --finish -o json >finish.out 2>finish.err 3>&- 9>&- &
  finish=$!
  until_true 10 called DeleteConnection
  kill "$came"
  come new
  wait "$finish"
  [ "$(jq -c '[.deleted, .changed]' finish.out)" = '[1,true]' ]
  [ "$(count certificates)" = 1 ]
  [ "$(iotctl -q device rotate pump-1 --finish --query .changed)" = false ]
}
called() { [ "$(done_of "$1")" -ge 1 ]; }
is_there() { [ "$(count connections)" = 1 ]; }
