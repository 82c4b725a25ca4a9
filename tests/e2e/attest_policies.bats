#!/usr/bin/env bats
# shellcheck disable=SC2154 # $work and others come from common.bash
# What devices may run, by the registry: a gateway follows at once, and so does whoever checks a token by hand. And devices
# whose attestation key is their own.
load common
load gateway

setup() { common_setup; }
teardown() { common_teardown; }

measured() { printf '%s' "$1" | sha256sum | cut -d' ' -f1; } # TEXT

# A policy that software devices meet ("its image"), or do not.
policy() { # FILE IMAGE
  jq -n --arg m "$(measured "$2")" '{components: [{type: "SPE", measurements: [$m]}]}' >"$1"
}

accepted() { [ "$(times ".event == \"accepted\" and .child == \"$1\"")" -ge "$2" ]; } # NAME COUNT
gets_in() { small_device "$1" -n 2 --interval 10ms -q; } # NAME: it does, a moment after the registry says so
changed() { [ "$(times '.event == "revoked" and (.detail | contains("attest again"))')" -ge "$1" ]; }

@test "a policy that is assigned or changed lets devices attest again: those that do not meet it stay out" {
  start_picture
  policy good.json 'its image'
  policy bad.json 'another image'
  make_child sensor-1
  make_child sensor-2
  start_gateway
  start_small_device sensor-1 -n 10000 --interval 20ms
  start_small_device sensor-2 -n 10000 --interval 20ms
  until_true 10 accepted sensor-1 1
  until_true 10 accepted sensor-2 1

  # one that both meet: they attest again, and are in
  iotctl attest policy create sensors good.json >/dev/null
  not changed 1
  iotctl attest policy assign sensors --type sensor >/dev/null
  until_true 10 changed 2
  until_true 20 accepted sensor-1 2
  until_true 20 accepted sensor-2 2

  # it is changed: both are out; one has a policy of its own then
  fault 4 '--replace' iotctl attest policy create sensors bad.json
  iotctl attest policy create sensors bad.json --replace >/dev/null
  until_true 10 changed 4
  until_true 20 happened '.event == "refused" and .child == "sensor-1" and (.detail | contains("components"))'
  until_true 20 happened '.event == "refused" and .child == "sensor-2" and (.detail | contains("components"))'
  iotctl attest policy create one good.json >/dev/null
  iotctl attest policy assign one --device sensor-1 >/dev/null
  until_true 10 gets_in sensor-1
  not accepted sensor-2 3
  fault 11 "refuses 'sensor-2': components" small_device sensor-2 -n 2 -q

  [ "$(iotctl attest policy list --device sensor-1 --query '.[].policyName')" = one ]
  [ "$(iotctl attest policy show sensors --query '.targets[0]')" = type:sensor ]
  fault 4 "assigned to 'type:sensor'" iotctl attest policy delete sensors
  iotctl attest policy unassign sensors --type sensor
  iotctl attest policy delete sensors
  until_true 10 gets_in sensor-2
}

@test "a file is the default for devices that have no policy in the registry" {
  start_picture
  policy good.json 'its image'
  policy bad.json 'another image'
  make_child sensor-1
  make_child sensor-2
  iotctl group create trusted >/dev/null
  iotctl group add trusted sensor-1 >/dev/null
  iotctl attest policy create good good.json >/dev/null
  iotctl attest policy assign good --group trusted >/dev/null
  start_gateway --policy bad.json
  small_device sensor-1 -n 2 --interval 10ms -q
  fault 11 "refuses 'sensor-2': components" small_device sensor-2 -n 2 -q
}

@test "public attestation keys: the device's own, of three curves; another's, an expired one and one for logging in do not count" {
  start_picture
  for curve in P-256 P-384 P-521; do
    name=sensor-${curve#P-}
    iotctl device create "$name" --type sensor >/dev/null
    iotctl psk create "$name" --out "$name.psk" >/dev/null
    iotctl gateway add gw-1 "$name" >/dev/null
    (umask 077 && openssl genpkey -algorithm EC -pkeyopt "ec_paramgen_curve:$curve" -out "$name.iak" 2>/dev/null)
    openssl pkey -in "$name.iak" -pubout -out "$name.pub"
  done
  start_gateway
  fault 11 "refuses 'sensor-256': attestation" small_device sensor-256 -n 2 -q
  iotctl jwt add-key sensor-256 sensor-256.pub >/dev/null
  fault 11 "refuses 'sensor-256': attestation" small_device sensor-256 -n 2 -q
  fault 4 'for another purpose' iotctl attest add-key sensor-256 sensor-256.pub
  iotctl jwt remove-key sensor-256 "$(iotctl jwt keys sensor-256 --query '.[0].keyId')"
  for curve in 256 384 521; do
    iotctl attest add-key "sensor-$curve" "sensor-$curve.pub" >/dev/null
    small_device "sensor-$curve" -n 2 --interval 10ms -q
  done
  [ "$(iotctl jwt keys sensor-384 --query length)" = 0 ]
  fault 4 "that of device 'sensor-384'" iotctl attest add-key sensor-256 sensor-384.pub
  cp sensor-384.iak sensor-256.iak
  fault 11 "refuses 'sensor-256': " small_device sensor-256 -n 2 -q
  fault 11 "refuses 'sensor-384': signature" small_device sensor-384 -n 2 --fault bad-token -q

  sqlite3 "$fleet/registry.db" "UPDATE device_keys SET expires_at = 1 WHERE type = 'p384'"
  fault 11 "refuses 'sensor-384': attestation" small_device sensor-384 -n 2 -q
  until_true 5 happened '.event == "refused" and (.detail | contains("has not expired"))'

  # taken away, it is out at once
  start_small_device sensor-521 -n 10000 --interval 20ms
  until_true 10 accepted sensor-521 2
  iotctl attest remove-key sensor-521 "$(iotctl attest keys sensor-521 --query '.[0].keyId')"
  until_true 10 happened '.event == "revoked" and .child == "sensor-521"'
  # RSA signs no attestation tokens
  openssl genrsa 2048 2>/dev/null | openssl pkey -pubout -out rsa.pub
  fault 2 'P-521' iotctl attest add-key sensor-256 rsa.pub
}
