#!/usr/bin/env bats
# A blank ExpressLink module becomes a device, its host speaks and is updated through it. The module is our simulator.

setup() {
  load common
  load board
  common_setup
}

teardown() {
  common_teardown
}

start_host() { # PORT [options]
  iotctl sim host --port "./$1" --topic 'pump/{name}' --interval 200ms "${@:2}" 2>>host.log &
  pids+=($!)
  host_pid=$!
}

provision() {
  iotctl provision --board expresslink --port "./$1" "${@:2}"
}

uid_of() { iotctl device show "$1" --query .thingName; }

@test "provisioned over the serial line, and a second time nothing changes" {
  start_fleet
  start_module board0
  combined 0 provision board0 --name pump-0001 --type pump -o json -q
  [ "$(jq -r .changed <<<"$output")" = true ]
  combined 0 provision board0 --name pump-0001 --type pump -o json -q
  [ "$(jq -r .changed <<<"$output")" = false ]
  device_says pump-0001 .connected true
  device_says pump-0001 '.certificates | length' 1
  [ "$(iotctl cert list --query length)" = 1 ]

  # a power cut of the module changes nothing either
  stop_board
  start_module board0
  combined 0 provision board0 --name pump-0001 --type pump -o json -q
  [ "$(jq -r .changed <<<"$output")" = false ]
}

@test "a vendor's module needs its CA to be trusted, and the error says how" {
  start_fleet
  openssl ecparam -genkey -name prime256v1 -noout -out vendor.key
  openssl req -x509 -new -key vendor.key -subj /CN=Vendor -days 3650 -out vendor.pem
  start_module board0 --vendor-ca vendor.pem --vendor-key vendor.key
  combined fail provision board0 --name pump-0001 --type pump
  [[ $output == *"iotctl ca trust"* ]]
  iotctl ca trust vendor.pem >/dev/null
  provision board0 --name pump-0001 --type pump -q >/dev/null
  device_says pump-0001 .connected true
}

@test "what is not a module, or is not there, is told" {
  start_fleet
  combined 10 provision nothing
  [[ $output == *nothing* ]]
  : >file
  combined 10 provision file
  start_module board0
  (exec 9<>board0; flock -n 9; sleep 5) &
  pids+=($!)
  combined fail provision board0 --connect-timeout 1s
}

@test "the host speaks through the module and is updated through it" {
  start_fleet
  start_module board0
  provision board0 --name pump-0001 --type pump -q >/dev/null
  iotctl sim firmware --version 1.0.0 --size 16k --out h1.bin >/dev/null
  iotctl sim firmware --version 1.1.0 --size 16k --out h2.bin >/dev/null
  iotctl codesign public >codesign.pem
  start_host board0 --image h1.bin --certificate codesign.pem
  combined 0 iotctl subscribe 'pump/+/telemetry' --count 1 --timeout 20s -o jsonl -q
  [[ $output == *"$(uid_of pump-0001)"* ]]

  # for what of it?
  fault 2 "--kind host" iotctl ota push h2.bin --to pump-0001
  [ "$(iotctl ota list --query length)" = 0 ]
  combined 0 iotctl ota push h2.bin --kind host --to pump-0001 --wait --timeout 60s
  until_true 10 grep -q 'accepted 1.1.0' host.log

  # signed by somebody else: the host refuses it
  iotctl codesign create stranger >/dev/null
  iotctl sim firmware --version 1.2.0 --size 16k --out h3.bin >/dev/null
  combined 1 iotctl ota push h3.bin --kind host --to pump-0001 --key stranger --unchecked --wait --timeout 60s
  [[ $output == *FAILED* ]]
}

@test "the module itself is updated: firmware of its vendor, certificates that the old ones vouch for" {
  start_fleet
  start_module board0
  provision board0 --name pump-0001 --type pump -q >/dev/null
  iotctl sim firmware --version 1.0.0 --size 16k --out h1.bin >/dev/null
  iotctl codesign public >codesign.pem
  start_host board0 --image h1.bin --certificate codesign.pem

  # module firmware: the vendor's signature has to be brought along
  iotctl sim firmware --version 2.0.0 --size 16k --out m2.bin >/dev/null
  combined 2 iotctl ota push m2.bin --kind module --to pump-0001
  [[ $output == *vendor* ]]
  iotctl image sign m2.bin --key ./board0.state/ota-signer.key >/dev/null
  openssl pkey -in board0.state/ota-signer.key -pubout -out vendor.pub
  combined 0 iotctl ota push m2.bin --kind module --to pump-0001 --signature m2.bin.sig.json --verify-key vendor.pub --wait --timeout 60s

  # a host certificate that the old one's key signed is taken, another is not
  openssl ecparam -genkey -name prime256v1 -noout -out new.key
  openssl req -new -key new.key -subj '/CN=new signer' -out new.csr
  openssl req -x509 -new -key "$fleet/codesign/default.key" -subj '/CN=signer' -days 100 -out signer.pem
  openssl x509 -req -in new.csr -CA signer.pem -CAkey "$fleet/codesign/default.key" -CAcreateserial -days 100 -out good.pem
  openssl req -x509 -new -key new.key -subj '/CN=new signer' -days 100 -out bad.pem
  combined 1 iotctl ota push bad.pem --kind host-cert --to pump-0001 --wait --timeout 60s
  [[ $output == *FAILED* ]]
  combined 0 iotctl ota push good.pem --kind host-cert --to pump-0001 --wait --timeout 60s
  combined 2 iotctl ota push h1.bin --kind host-cert --to pump-0001
}
