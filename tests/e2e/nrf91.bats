#!/usr/bin/env bats
# A Nordic nRF91 becomes a device: its key is made in the modem, credentials lie under a security tag, and its application
# connects. The board is our simulator.

setup() {
  load common
  load board
  common_setup
  board_kind=nrf91
}

teardown() {
  common_teardown
}

# Without a broker: the shipped description, but for the proof that needs one.
alone() {
  iotctl init demo --port 18883 >/dev/null
  describe alone '.prove = ["sign"]'
}

describe() { iotctl board show nrf91 --query .file | jq "$2" >"$1.json"; } # NAME JQ
provision() { iotctl provision --board "./$1.json" --port "./$2" "${@:3}"; } # DESCRIPTION PORT [options]
imei() { jq -r .imei "$1.state/state.json"; }
held() { # BOARD TYPE [TAG]
  jq -j --argjson type "$2" --argjson tag "${3:-16842753}" \
    '.credentials[] | select(.tag == $tag and .type == $type) | .content' "$1.state/state.json"
}
connected() { device_says "$1" .connected true; }

@test "from a blank modem to a device that the broker sees, and a second time nothing changes" {
  start_fleet
  start_board b1 --endpoint "localhost:$port"
  iotctl provision --board nrf91 --port ./b1 --type tracker --transcript said -o json -q >record
  name=nrf-$(imei b1)
  [ "$(jq -r .thingName record)" = "$name" ]
  [ "$(jq -r .keyOrigin record)" = board ]
  [ "$(jq -r .exposedOnWire record)" = false ]
  [ "$(jq -c .notProved record)" = '[]' ]
  [ "$(jq -c '[.endpoint, .endpointNotTold]' record)" = '[null,"localhost"]' ] # its application knows where to connect
  jq -e '.proof | index("it signed a token for our nonce with the key of its certificate")' record
  jq -e '.proof | index("the broker saw it connect with this certificate")' record
  [ "$(held b1 0)" = "$(cat "$fleet/ca/root.pem")" ]
  [ "$(held b1 1 | openssl x509 -noout -pubkey)" = "$(held b1 2 | openssl pkey -pubout)" ]
  not grep -q 'PRIVATE KEY' said

  # It loses its power, and comes back by itself.
  stop_board
  start_board b1 --endpoint "localhost:$port"
  until_true 20 connected "$name"
  iotctl provision --board nrf91 --port ./b1 -o json -q >again
  [ "$(jq -r .changed again)" = false ]
  [ "$(jq -r .certificateId again)" = "$(jq -r .certificateId record)" ]
}

@test "one that does not come is not proved, and the line says what to look at" {
  start_fleet
  start_board b1
  fault 11 'its own software must' iotctl provision --board nrf91 --port ./b1 --connect-timeout 2s
  stop_board
  start_board b1 --endpoint "localhost:$port"
  expect 0 iotctl provision --board nrf91 --port ./b1 -q
}

@test "a modem that is something already, that was wiped, and what its firmware cannot do" {
  alone
  start_board b1
  provision alone b1 --name pump-1 -q >/dev/null
  fault 4 "'pump-1' already" provision alone b1 --name pump-2
  combined 0 iotctl board probe --board ./alone.json --port ./b1 --query .thingName
  [ "$output" = pump-1 ]
  # All credentials gone: the journal knows that it had a key, and nobody gives it another one unasked.
  stop_board
  jq '.credentials = []' b1.state/state.json >wiped
  cp wiped b1.state/state.json
  start_board b1
  fault 4 'had another key' provision alone b1 --name pump-1
  expect 0 provision alone b1 --name pump-1 --replace -q
  [ "$(iotctl cert list --query length)" = 1 ]
  stop_board

  start_board old --firmware mfw_nrf9160_1.2.7
  fault 2 '1.3.0 or later' provision alone old --name old-1
  stop_board
  start_board other --firmware 1.2.3
  fault 10 'is no nRF91' provision alone other --name other-1
}

@test "firmware old and new, tags, line ends, echoes and colours" {
  alone
  while IFS='|' read -r edit options; do
    rm -rf board.state
    # shellcheck disable=SC2086 # words
    start_board board $options
    describe this ".prove = [\"sign\"] | $edit"
    expect 0 provision this board --name "dev-$((++n))" -q
    tag=$(jq '.secTag // 16842753' this.json)
    [ "$(held board 0 "$tag" | tr -d '\r')" = "$(cat "$fleet/ca/root.pem")" ]
    expect 0 provision this board --name "dev-$n" -o json -q
    [ "$(jq .changed <<<"$out")" = false ]
    stop_board
  done <<'TABLE'
.|--firmware mfw_nrf9160_1.3.0
.|--firmware mfw_nrf91x1_2.0.1
.|--firmware mfw_nrf9151-ntn_1.0.0-1.alpha
.secTag = 0|
.secTag = 2147483647|--fault echo
del(.secTag)|--fault ansi
.newline = "crlf"|--fault echo --fault ansi
TABLE
  describe this '.secTag = 2147483648'
  fault 2 "'secTag'" iotctl board show ./this.json
  describe this '.newline = "cr"'
  fault 2 "'newline'" iotctl board show ./this.json
}

@test "a key that is made here goes in, and into nothing else" {
  alone
  describe host '.prove = ["sign"] | .key = {origin: "host", onWire: true}'
  start_board b1 --fault echo
  provision host b1 --name pump-1 --transcript said -o json -q >record
  [ "$(jq -r .keyOrigin record)" = host ]
  [ "$(jq -r .exposedOnWire record)" = true ]
  [ "$(held b1 1 | openssl x509 -noout -pubkey)" = "$(held b1 2 | openssl pkey -pubout)" ]
  secret=$(held b1 2 | sed -n 2p)
  [ -n "$secret" ]
  not grep -r -q -F -e "$secret" said b1.log "$XDG_STATE_HOME"
  [ ! -e "$XDG_STATE_HOME"/iotctl/*/keys/1 ]
}

@test "a shared secret in place of a certificate" {
  iotctl init demo --port 18883 >/dev/null
  start_board b1 --fault echo
  iotctl provision --board nrf91-psk --port ./b1 --transcript said -o json -q >record
  name=nrf-$(imei b1)
  [ "$(jq -r .pskIdentity record)" = "$(held b1 4)" ]
  [ "$(jq -r '.items["shared secret"]' record)" = written ]
  secret=$(held b1 3)
  [ "${#secret}" -eq 64 ]
  [ "$(iotctl psk export --device "$name" --reveal -q)" = "$(held b1 4):$secret" ]
  not grep -r -q -F -e "$secret" said b1.log "$XDG_STATE_HOME"
  iotctl provision --board nrf91-psk --port ./b1 -o json -q >again
  [ "$(jq -r .changed again)" = false ]
  # It becomes a device with a certificate only when that is wanted.
  describe alone '.prove = ["sign"]'
  expect 0 provision alone b1 --replace -q
  [ "$(held b1 1 | openssl x509 -noout -subject)" = "subject=CN = $name" ]
}

@test "another root CA beside the old, proved by a connection; a wrong one, and it is back where it was" {
  start_fleet
  start_board b1 --endpoint "localhost:$port"
  iotctl provision --board nrf91 --port ./b1 -q >/dev/null
  name=nrf-$(imei b1)
  for ca in next wrong; do
    openssl ecparam -genkey -name prime256v1 -noout -out "$ca.key"
    openssl req -x509 -new -key "$ca.key" -subj "/CN=$ca" -days 3650 -addext keyUsage=critical,keyCertSign -out "$ca.pem"
  done
  # The broker shows a certificate that is signed by the next root, which the old one has signed.
  openssl req -new -key next.key -subj /CN=next -out next.csr
  openssl x509 -req -in next.csr -CA "$fleet/ca/root.pem" -CAkey "$fleet/ca/root.key" -CAcreateserial -days 100 \
    -extfile <(printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n') -out cross.pem
  openssl req -new -key "$fleet/ca/server.key" -subj /CN=localhost -out server.csr
  openssl x509 -req -in server.csr -CA next.pem -CAkey next.key -CAcreateserial -days 100 \
    -extfile <(echo subjectAltName=DNS:localhost) -out server.pem
  iotctl serve --stop >/dev/null
  cat server.pem cross.pem >"$fleet/ca/server.pem"
  iotctl serve --detach
  until_true 20 connected "$name"

  trust() { iotctl device trust update --board nrf91 --port ./b1 "$@"; }
  combined 2 trust --endpoint elsewhere.example --root-ca next.pem --force --new-fleet demo
  [[ $output == *"takes no endpoint"* ]]
  fault 11 'not to be believed' trust --root-ca wrong.pem
  expect 0 trust --root-ca next.pem -o json -q
  [ "$(jq -c '[.changed, .proof]' <<<"$out")" = '[true,["the broker saw it connect"]]' ]
  [ "$(held b1 0)" = "$(cat next.pem)" ]
  connected "$name"
  expect 0 trust --root-ca next.pem -o json -q
  [ "$(jq .changed <<<"$out")" = false ]
  combined 11 trust --root-ca wrong.pem --old-root-ca next.pem --force --connect-timeout 3s
  [[ $output == *"keeps its old endpoint and root CA"* ]]
  [ "$(held b1 0)" = "$(cat next.pem)" ]
  [ -z "$(held b1 0 1768911923)" ]
  until_true 10 connected "$name"
}

@test "faults: each is told, and the next run ends with one identity" {
  alone
  # fault | exit code, 0: it does not matter | what the line says
  while IFS='|' read -r fault code text; do
    rm -rf board.state
    start_board board --fault "$fault" --seed "$((++n))"
    if [ "$code" -eq 0 ]; then
      expect 0 provision alone board --name "dev-$n" -q
    else
      fault "$code" "$text" provision alone board --name "dev-$n"
    fi
    stop_board
    start_board board
    expect 0 provision alone board --name "dev-$n" -q
    device_says "dev-$n" '.certificates | length' 1
    [ "$(held board 1 | openssl x509 -noout -subject)" = "subject=CN = dev-$n" ]
    [ "$(held board 1 | openssl x509 -noout -pubkey)" = "$(held board 2 | openssl pkey -pubout)" ]
    [ "$(held board 0)" = "$(cat "$fleet/ca/root.pem")" ]
    stop_board
  done <<'TABLE'
drop=0.0003|0|
flip=0.0003|0|
online@%KEYGEN#1|0|
online@%CMNG#5|0|
full@%KEYGEN|10|store of credentials is full (515)
full@%CMNG|10|store of credentials is full (515)
voltage@%CMNG|10|supply voltage is too low to write (528)
error@%KEYGEN|10|does not understand the command
lost@%CMNG|10|does not hold the root CA
turned@%CMNG#6|0|
mute@%CMNG#6|0|
reset@%KEYGEN|0|
reset@%CMNG#6|0|
TABLE
  [ "$(iotctl cert list --query length)" = "$n" ]
  [ "$(iotctl device list --query length)" = "$n" ]
}
