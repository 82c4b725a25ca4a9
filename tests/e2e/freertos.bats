#!/usr/bin/env bats
# A board with the console of FreeRTOS's reference integration becomes a device: its key is made on it. The board is our
# simulator.

setup() {
  load common
  load board
  common_setup
  board_kind=freertos
  iotctl init demo --port 18883 >/dev/null
}

teardown() {
  common_teardown
}

provision() { # PORT [options]
  iotctl provision --board stm32u5 --port "./$1" "${@:2}"
}

held() { jq -r --arg key "$2" '.[$key]' "$1.state/state.json"; } # BOARD OBJECT

@test "key made on the board, certificate and code-signing key into it, and a second time nothing changes" {
  start_board b1
  printf 'hunter2\n' >wifi
  chmod 600 wifi
  provision b1 --name u5-1 --type pump --wifi-ssid plant --wifi-password-file wifi --transcript said -o json -q >record
  [ "$(jq -r .keyOrigin record)" = board ]
  [ "$(jq -r .exposedOnWire record)" = false ]
  [ "$(jq -r '.proof[0]' record)" = 'it signed a request with the key of its certificate' ]
  [ "$(jq -c .notProved record)" = '["that it connects"]' ]
  [ "$(held b1 ota_signer_pub)" = "$(cat "$fleet/codesign/default.pub")" ]
  [ "$(held b1 root_ca_cert)" = "$(cat "$fleet/ca/root.pem")" ]
  [ "$(held b1 tls_cert | openssl x509 -noout -pubkey)" = "$(held b1 tls_key_priv | openssl pkey -pubout)" ]
  [ "$(jq -c '.conf | [.thing_name, .mqtt_endpoint, .mqtt_port, .wifi_ssid, .wifi_credential]' b1.state/state.json)" = \
    '["u5-1","localhost","18883","plant","hunter2"]' ]
  not grep -q hunter2 said
  [ "$(sqlite3 "$fleet/registry.db" 'SELECT key_origin, exposed_on_wire FROM certificates')" = 'board|0' ]

  stop_board
  start_board b1
  provision b1 -o json -q >again
  [ "$(jq -r .changed again)" = false ]
  [ "$(jq -r .thingName again)" = u5-1 ]
  combined 0 iotctl board probe --board stm32u5 --port ./b1 --query .thingName
  [ "$output" = u5-1 ]
}

@test "a board that is something already, and a name that is taken" {
  start_board b1
  provision b1 --name u5-1 -q >/dev/null
  fault 4 "'u5-1' already" provision b1 --name u5-2
  stop_board
  start_board b2
  fault 4 'had another key' provision b2 --name u5-1
  fault 2 '--name' provision b2
  provision b2 --serial SN-2 -q >/dev/null
  device_says SN-2 '.certificates | length' 1
  [ "$(iotctl cert list --query length)" = 2 ]
  stop_board
  start_board b3
  fault 2 'without spaces' provision b3 --name u5-3 --wifi-ssid 'my plant'
}

@test "a setting that the board never takes is said four times, and that is the end of it" {
  start_board b4 --fault 'mute@conf set wifi_ssid'
  printf 'pass-word\n' >wifi && chmod 600 wifi
  fault 10 'did not take its wifi_ssid' provision b4 --name u5-4 --wifi-ssid plant --wifi-password-file wifi --transcript said
  [ "$(grep -c ' > plant$' said)" = 4 ]
}

@test "faults: each is told, and the next run ends with one identity" {
  # fault | exit code, 0: it does not matter | what the line says
  while IFS='|' read -r fault code text; do
    rm -rf board.state
    start_board board --fault "$fault"
    name=u5-$((++n))
    if [ "$code" -eq 0 ]; then
      expect 0 provision board --name "$name" -q
    else
      fault "$code" "$text" provision board --name "$name"
    fi
    stop_board
    start_board board
    expect 0 provision board --name "$name" -q -o json
    device_says "$name" '.certificates | length' 1
    [ "$(held board tls_cert | openssl x509 -noout -subject)" = "subject=CN = $name" ]
    stop_board
  done <<'TABLE'
log|0|
slow=5ms|0|
drop=0.0005|0|
double=0.0005|0|
flip=0.0005|0|
trailing-byte@ota_signer_pub|0|
wrong-speed|10|no FreeRTOS console answers
fail-key|10|refused to make a key pair
fail-commit|10|refused to save its configuration
fail-import@ota_signer_pub|10|refused to store ota_signer_pub
fail-import@tls_cert|10|refused to store tls_cert
mute@conf commit|10|did not say that it could save
reset@pki generate key|0|
reset@pki import cert tls_cert|0|
reset@paste#7|0|
reset@paste-end#2|0|
reset@conf commit|0|
reset@reset|0|
TABLE
  [ "$(iotctl cert list --query length)" = "$n" ]
  [ "$(iotctl device list --query length)" = "$n" ]
}
