#!/usr/bin/env bats
# shellcheck disable=SC2154,SC2016 # $fleet and others come from common.bash; topics and shells have signs of their own
# Boards with Zephyr's shell become devices, and prove it by coming to the broker by themselves. The board is our simulator;
# zephyr-app.json is its description, as an application with settings of its own has one.

setup() {
  load common
  load board
  common_setup
  board_kind=zephyr
  cp "$BATS_TEST_DIRNAME/zephyr-app.json" app.json
}

teardown() {
  common_teardown
}

provision() { # PORT [options]
  iotctl provision --board ./app.json --connect-timeout 20s --port "./$1" "${@:2}"
}

held() { jq -r --arg key "$2" '.credentials[$key] // ""' "$1.state/state.json" | base64 -d | tr -d '\0'; } # BOARD CREDENTIAL
without_proof() { jq '.prove = []' app.json >app.new && mv app.new app.json; }
change() { jq "$1" app.json >app.new && mv app.new app.json; } # EXPRESSION

@test "a board is given an identity, starts anew, and the broker sees it; a second time it is left alone" {
  start_fleet
  start_board b1
  printf 'hunter2 hunter3\n' >wifi
  chmod 600 wifi
  provision b1 --name z-1 --type pump --wifi-ssid 'my plant' --wifi-password-file wifi --transcript said -o json -q >record
  [ "$(jq -r '.proof[-1]' record)" = 'the broker saw it connect with this certificate' ]
  [ "$(jq -c '[.keyOrigin, .exposedOnWire, .changed, .endpoint]' record)" = '["host",true,true,"localhost"]' ]
  [ "$(jq -c '.notProved' record)" = '["Wi-Fi password: the board accepted it and cannot be asked"]' ]
  [ "$(jq -r .uid record)" = "$(jq -r .devid b1.state/state.json)" ]
  [ "$(jq -r .version record)" = 3.7.0 ]
  [ "$(held b1 '42 CA')" = "$(cat "$fleet/ca/root.pem")" ]
  [ "$(held b1 '42 SERV' | openssl x509 -noout -pubkey)" = "$(held b1 '42 PK' | openssl pkey -pubout)" ]
  [ "$(jq -c '.settings | [.thing, .port, .ssid, .password]' b1.state/state.json)" = "[\"z-1\",\"$port\",\"my plant\",\"hunter2 hunter3\"]" ]
  device_says z-1 .connected true
  # Neither the key nor the password is in the transcript, nor the key on our disk.
  not grep -q hunter2 said b1.log
  key=$(jq -r '.credentials["42 PK"]' b1.state/state.json)
  for at in 0 48 96; do not grep -q -F -e "${key:at:40}" said b1.log; done
  [ "$(find "$XDG_STATE_HOME" -name private.key | wc -l)" -eq 0 ]

  grep -q 'Booting Zephyr' said
  provision b1 --name z-1 --transcript again -o json -q >again.json
  [ "$(jq -c '[.changed, .proof[-1]]' again.json)" = '[false,"the broker saw it connect with this certificate"]' ]
  not grep -q reboot again
  # Not there: it is started to see whether it comes.
  stop_board
  until_true 10 device_says z-1 .connected false
  start_board b1
  provision b1 --name z-1 -o json -q >third
  [ "$(jq -c '[.changed, .proof[-1]]' third)" = '[false,"the broker saw it connect with this certificate"]' ]
}

@test "a board that does not come, or whose credentials do not outlive a restart, is not proved" {
  start_fleet
  start_board b1 --fault volatile
  fault 11 'forgot its credentials when it restarted' provision b1 --name z-1
  [[ $err == *'keeps them in RAM: build it with CONFIG_TLS_CREDENTIALS_BACKEND_PROTECTED_STORAGE'* ]]
  [ "$(find "$XDG_STATE_HOME" -name private.key | wc -l)" -eq 1 ]
  # Built anew, the same board goes on with the same key.
  stop_board
  start_board b1
  provision b1 --name z-1 -o json -q >record
  [ "$(jq -r .resumed record)" = true ]
  device_says z-1 '.certificates | length' 1
  # The endpoint is another host's: it connects nowhere.
  change '.commands.endpoint.set = "app set ssid {value}" | .commands.endpoint.said = "ssid saved" | del(.commands.endpoint.get, .commands.endpoint.shows)'
  start_board b2
  fault 11 'was started, and the broker has not seen it connect as' provision b2 --name z-2 --connect-timeout 2s
  cp "$BATS_TEST_DIRNAME/zephyr-app.json" app.json
  provision b2 --name z-2 -q >/dev/null
  device_says z-2 '.certificates | length' 1
  # What it lost when it was done cannot be given again.
  stop_board
  jq 'del(.credentials)' b2.state/state.json >b2.new && mv b2.new b2.state/state.json
  start_board b2
  fault 4 'had another key' provision b2 --name z-2
  provision b2 --name z-2 --replace -q >/dev/null
  device_says z-2 '.certificates | length' 1
}

@test "the description that comes with the program" {
  start_fleet
  start_board b1
  jq '.settings = {endpoint: "localhost", port: $port, thing: "z-1"}' --arg port "$port" b1.state/state.json >b1.new
  stop_board
  mv b1.new b1.state/state.json
  start_board b1
  iotctl provision --board zephyr --port ./b1 --name z-1 --connect-timeout 20s -o json -q >record
  [ "$(jq -c '.items' record)" = '{"root CA":"written","certificate":"written"}' ]
  [ "$(jq -c '.notProved' record)" = '[]' ]
  combined 0 iotctl board probe --board zephyr --port ./b1 --query .thingName
  [ "$output" = z-1 ]
  fault 4 "is device 'z-1' already" iotctl provision --board zephyr --port ./b1 --name z-2
  # The same as DER, which needs less room; the TLS library takes either.
  iotctl board show zephyr --query .file | jq '.format = "der"' >der.json
  iotctl provision --board ./der.json --port ./b1 --name z-1 --connect-timeout 20s -o json -q >record
  [ "$(jq -c '.items' record)" = '{"root CA":"written","certificate":"written"}' ]
  jq -r '.credentials["42 CA"]' b1.state/state.json | base64 -d | cmp - <(openssl x509 -in "$fleet/ca/root.pem" -outform DER)
}

@test "a shared secret in place of a certificate: with what lies in its flash the board is let in, and seen" {
  port=$(free_port) psk_port=$(free_port)
  iotctl init demo --port "$port" >/dev/null
  iotctl serve --detach --psk-port "$psk_port"
  iotctl group create small >/dev/null
  iotctl policy attach device --group small >/dev/null
  start_board b1
  iotctl provision --board zephyr-psk --port ./b1 --name z-1 --group small --connect-timeout 30s --transcript said -o json \
    >record 2>record.err 3>&- &
  provisioning=$!
  pids+=("$provisioning")
  # Its application, which our board has for certificates only, comes when it was started.
  until_true 20 logged b1.log 'command kernel reboot'
  identity=$(held b1 '42 PSK_ID')
  secret=$(jq -r '.credentials["42 PSK"]' b1.state/state.json | base64 -d | od -An -v -tx1 | tr -d ' \n')
  [ "${#secret}" -eq 64 ]
  stdbuf -oL mosquitto_sub -h localhost -p "$psk_port" --psk "$secret" --psk-identity "$identity" -i z-1 -V 311 -t '$aws/things/z-1/jobs/notify' \
    >sub.out 2>&1 3>&- &
  pids+=($!)
  wait "$provisioning" || { cat record.err; return 1; }
  [ "$(jq -c '[.pskIdentity, .exposedOnWire, .proof[-1], .notProved]' record)" = \
    "[\"$identity\",true,\"the cloud saw it connect under this name\",[\"which secret of its device it connected with\"]]" ]
  not grep -q -F -e "$secret" said record record.err
  not grep -q -F -e "$(jq -r '.credentials["42 PSK"]' b1.state/state.json | cut -c1-40)" said
  iotctl provision --board zephyr-psk --port ./b1 -o json -q >again
  [ "$(jq -c '[.changed, .thingName]' again)" = '[false,"z-1"]' ]
}

@test "a root CA that the endpoint does not have: the board does not come, and has its old one again" {
  start_fleet
  start_board b1
  provision b1 --name z-1 -q >/dev/null
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout other.key -out other.pem -subj /CN=other \
    -addext basicConstraints=critical,CA:TRUE -days 3 2>/dev/null
  expect 11 iotctl device trust update --board ./app.json --port ./b1 --root-ca other.pem --force --connect-timeout 2s
  [[ $err == *"keeps its old endpoint and root CA"* ]]
  [ "$(jq -r '[.credentials | keys[] | select(endswith("CA"))] | length' b1.state/state.json)" = 1 ]
  [ "$(held b1 '42 CA')$(held b1 '43 CA')" = "$(cat "$fleet/ca/root.pem")" ]
  until_true 10 device_says z-1 .connected true
}

@test "faults: each is told, and the next run ends with one identity" {
  iotctl init demo --port 18883 >/dev/null
  without_proof
  # fault | exit code, 0: it does not matter | what the line says
  while IFS='|' read -r fault code text; do
    rm -rf board.state
    start_board board --fault "$fault"
    name=z-$((++n))
    if [ "$code" -eq 0 ]; then
      expect 0 provision board --name "$name" -q
    else
      fault "$code" "$text" provision board --name "$name"
    fi
    stop_board
    start_board board
    expect 0 provision board --name "$name" -q -o json
    device_says "$name" '.certificates | length' 1
    [ "$(held board '42 SERV' | openssl x509 -noout -subject)" = "subject=CN = $name" ]
    stop_board
  done <<'TABLE'
log|0|
slow=5ms|0|
drop=0.0005|0|
double=0.0005|0|
flip=0.0005|0|
no-kernel|10|the board refused to restart: kernel: command not found
no-banner|0|
no-reboot|10|the board did not restart
no-cred|10|the board's shell has no 'cred'
no-digest|0|
corrupt@cred add 42 PK#1|0|
corrupt@cred add 42 SERV|10|does not hold the certificate that it said it took
fail-add@cred add 42 PK|10|refused to store the private key: Failed to add
small-buffer|10|CONFIG_TLS_CREDENTIALS_SHELL_CRED_BUF_SIZE
mute@app set thing|10|did not say that it could take its thing name
mute@cred add 42 SERV#1|0|
wrong-speed|10|no Zephyr shell answers
volatile|11|forgot its credentials
reset@cred buf#9|0|
reset@cred add 42 PK|0|
reset@cred add 42 CA|0|
reset@cred add 42 SERV|0|
reset@app set endpoint|0|
reset@kernel reboot|0|
TABLE
  [ "$(iotctl cert list --query length)" = "$n" ]
  [ "$(iotctl device list --query length)" = "$n" ]
}

@test "boards without an id, and descriptions that say what cannot be" {
  iotctl init demo --port 18883 >/dev/null
  without_proof
  start_board b1 --fault no-hwinfo
  fault 2 '--name' provision b1
  provision b1 --serial SN-1 -o json -q >record
  [ "$(jq -r .uid record)" = null ]
  device_says SN-1 '.certificates | length' 1
  stop_board
  # A name that wraps in the terminal.
  start_board b2
  long=$(printf 'n%.0s' {1..100})
  provision b2 --name "$long" -q >/dev/null
  [ "$(jq -r .settings.thing b2.state/state.json)" = "$long" ]
  fault 2 'would take for its own' provision b2 --name "$long" --wifi-ssid 'my "plant"'
  fault 2 'would take for its own' provision b2 --name "$long" --wifi-ssid '`reboot`'
  change 'del(.commands.apn)'
  fault 2 'names no command for the APN' provision b2 --name "$long" --apn internet
  # member | what is told
  while IFS='|' read -r expression text; do
    jq "$expression" app.json >wrong.json
    fault 2 "$text" iotctl board show ./wrong.json
  done <<'TABLE'
del(.secTag)|'secTag'
.secTag = -1|'secTag'
.secTag = 2147483648|'secTag'
.caTags = [1, 1]|'caTags'
.caTags = [1, 2, 3]|'caTags'
.format = "pkcs12"|'format'
.prompt = "\n"|'prompt'
.install += ["apn"]|names no command
del(.install)|'install'
.install += ["code-signing"]|'install'
.commands.apn = {"set": "apn", "said": "ok"}|'apn' is not complete
.commands.apn = {"set": "apn {value} {value}", "said": "ok"}|'apn' is not complete
.commands.apn = {"set": "apn {value}"}|'apn' is not complete
.commands.apn = {"set": "apn {value}", "said": "ok", "get": "apn"}|'apn' is not complete
.commands.apn = {"set": "apn {value}", "said": "ok", "more": "x"}|'apn' is not complete
.commands["root-ca"] = {"set": "ca {value}", "said": "ok"}|'commands'
.key.onWire = false|clear text
.prove = ["sign"]|'prove'
TABLE
}
