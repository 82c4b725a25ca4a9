#!/usr/bin/env bats
# shellcheck disable=SC2154 # what common.bash sets
# A SIM7600 module becomes a device: its key crosses the wire, nothing of it can be read back, so the broker's word counts.
# The module is our simulator, which really connects with the files that it was given.

setup() {
  load common
  load board
  common_setup
  board_kind=sim7600
}

teardown() {
  common_teardown
}

provision() { # PORT [options]
  iotctl provision --board sim7600 --port "./$1" "${@:2}"
}

held() { jq -r "$2" "$1.state/state.json"; } # MODULE FILTER
files() { held "$1" '.files | keys[]' | sed 's/_.*//' | sort | tr '\n' ' '; }

@test "provisioned until the broker sees it, and a second time nothing changes" {
  start_fleet
  start_board m1
  provision m1 --name pump-1 --type pump --apn internet --transcript said -o json -q >record
  [ "$(jq -r .keyOrigin record)" = host ]
  [ "$(jq -r .exposedOnWire record)" = true ]
  [ "$(jq -r .uid record)" = "$(held m1 .imei)" ]
  [ "$(jq -r .model record)" = SIMCOM_SIM7600E-H ]
  [[ $(jq -r '.proof[]' record) == *'the broker saw it connect with this certificate'* ]]
  [[ $(jq -r '.notProved[]' record) == *'root CA: the board accepted it and cannot be asked'* ]]
  [ "$(files m1)" = 'ca cert endpoint key port thing ' ]
  [ "$(held m1 .apn)" = internet ]
  [ "$(held m1 '.files[.tls.cacert]')" = "$(cat "$fleet/ca/root.pem")" ]
  [ "$(held m1 '.files[.tls.clientcert]' | openssl x509 -noout -pubkey)" = "$(held m1 '.files[.tls.clientkey]' | openssl pkey -pubout)" ]
  [ "$(held m1 '.tls | [.sslversion, .authmode, .enableSNI] | join(" ")')" = '3 2 1' ]
  not grep -q -e 'PRIVATE' -e "$(held m1 '.files[.tls.clientkey]' | sed -n 2p)" said
  [ "$(sqlite3 "$fleet/registry.db" 'SELECT key_origin, exposed_on_wire FROM certificates')" = 'host|1' ]
  [ "$(find "$XDG_STATE_HOME" -name '*.key' | wc -l)" = 0 ]

  stop_board # a power cut
  start_board m1
  provision m1 -o json -q >again
  [ "$(jq -r .changed again)" = false ]
  [ "$(jq -r .thingName again)" = pump-1 ]
  [ "$(iotctl cert list --query length)" = 1 ]
  combined 0 iotctl board probe --board sim7600 --port ./m1 --query .thingName
  [ "$output" = pump-1 ]

  # firmware that forgets with its power what TLS is to use: nobody has the key any more but the module
  stop_board
  start_board m1 --fault volatile
  expect 0 provision m1 -q
  [ "$(iotctl cert list --query length)" = 1 ]
  [ "$(files m1)" = 'ca cert endpoint key port thing ' ]

  # another fleet's module is left alone
  iotctl init other --port 18883 --endpoint elsewhere.example >/dev/null
  fault 4 'belongs to another fleet' iotctl --fleet "$XDG_DATA_HOME/iotctl/other" provision --board sim7600 --port ./m1 --name x
}

@test "faults: each is told, and the next run ends with one identity that connects" {
  start_fleet
  n=0
  # fault | exit code, 0: it does not matter | what the line says
  while IFS='|' read -r fault code text; do
    m=m$((++n)) name=pump-$n
    start_board "$m" --fault "$fault"
    if [ "$code" -eq 0 ]; then
      expect 0 provision "$m" --name "$name" -q
    else
      fault "$code" "$text" provision "$m" --name "$name"
    fi
    stop_board
    start_board "$m"
    expect 0 provision "$m" --name "$name" -q
    device_says "$name" '.certificates | length' 1
    [ "$(files "$m")" = 'ca cert endpoint key port thing ' ]
    stop_board
  done <<'TABLE'
download-word|0|
early-result|0|
full@CCERTDOWN="cert_|10|refused to store 'cert_
short@CCERTDOWN="ca_#1|0|
surplus@CCERTDOWN="cert_|11|handshake failed
error@CSSLCFG="cacert"|10|refused to use a file for TLS
no-network|11|not on the mobile network
reset@half#2|0|
reset@CMQTTCONNECT|0|
TABLE
  [ "$(iotctl cert list --query length)" = "$n" ]
}
