#!/usr/bin/env bats
# shellcheck disable=SC2154 # what common.bash and aws.bash share with the tests
# Boards provisioned into AWS: the strict endpoint, a plain mosquitto as its broker, simulated boards. Whatever is lost, cut or
# killed on the way, a board has one thing, one certificate, and nothing is left over.

setup() {
  load common
  load aws
  load board
  common_setup
  board_kind=freertos
  aws_setup
}

teardown() {
  aws_teardown
}

module() { iotctl -q provision --board expresslink --port "./$1" "${@:2}"; }
console() { iotctl -q provision --board stm32u5 --port "./$1" "${@:2}"; }

@test "a module: reserved, registered once, seen by lifecycle events, by the index, or by nobody" {
  start_broker
  start_module b1
  # Neither events nor the index: that is said.
  module b1 --name pump-1 --serial 1 --type pump -o json >record
  [ "$(counts)" = "1 1 1 1" ]
  jq -e '.notProved | any(contains("neither an operator"))' record
  uid=$(jq -r .uid record)
  [ "$(iotctl api DescribeThing thingName="$uid" --query '.attributes | keys | join(" ")')" = "alias board reservation serialNumber" ]
  # By the index; nothing changes.
  control index on >/dev/null
  module b1 --name pump-1 --serial 1 --type pump -o json >again
  [ "$(jq -c '[.changed, .proof[0], .notProved[0]]' again)" = \
    '[false,"the cloud saw it connect under this name","which certificate it connected with"]' ]
  # By an operator's certificate: with which certificate, too.
  write_operator ann
  control index off >/dev/null
  iotctl --profile ann -q provision --board expresslink --port ./b1 --name pump-1 --serial 1 --type pump -o json >seen
  [ "$(jq -r '.proof[0]' seen)" = 'the broker saw it connect with this certificate' ]
  [ "$(counts)" = "1 1 1 1" ]
  # Its name and its number belong to it, for other stations too.
  start_module b2
  export XDG_STATE_HOME=$work/elsewhere
  fault 4 "'pump-1' belongs to device '$uid'" module b2 --name pump-1 --type pump
  fault 4 "serial number '1' belongs" module b2 --name pump-2 --serial 1 --type pump
  fault 2 "--type" module b2 --name pump-2 --serial 2
  [ "$(counts)" = "1 1 1 1" ]
}

@test "a module's certificate: its vendor's CA must be the account's; another one on the line is told" {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj /CN=Vendor -keyout vendor.key -out vendor.pem 2>/dev/null
  printf '0%.0s' {1..64} >principal
  start_broker
  write_operator ann
  start_module b1 --vendor-ca vendor.pem --vendor-key vendor.key
  export IOTCTL_PROFILE=ann
  fault 11 "iotctl ca trust" module b1 --name pump-1
  [ "$(count certificates)" = 0 ]
  iotctl ca trust vendor.pem >/dev/null
  fault 11 "by another certificate (0000000000000000" module b1 --name pump-1
  [ "$(counts)" = "1 1 1 1" ]
}

@test "a board whose key is made on it: by the fleet's CA, or by AWS; with answers that are lost and cut" {
  start_board b1
  export IOTCTL_AWS_ROOT_CA=$fleet/ca/root.pem
  console b1 --name u5-1 --type pump -o json >record
  [ "$(jq -c '[.keyOrigin, .endpoint, .notProved]' record)" = '["board","x-ats.iot.eu-west-1.amazonaws.com",["that it connects"]]' ]
  jq -r .tls_cert b1.state/state.json >held.pem
  openssl verify -CAfile "$fleet/ca/root.pem" -untrusted "$fleet/ca/issuing.pem" held.pem
  [ "$(counts)" = "1 1 1 1" ]
  # Nothing is made anew because AWS could issue as well.
  [ "$(console b1 --name u5-1 --type pump --issuer aws --query .changed)" = false ]
  stop_board
  for kind in drop html500 throttle truncate; do
    for issuer in fleet aws; do
      n=$((${n:-0} + 1))
      faults "$(printf '{"fault": "'$kind'", "operation": "%s"},' CreateThing RegisterCertificateWithoutCA CreateCertificateFromCsr \
        AttachThingPrincipal AttachPolicy | sed 's/,$//')"
      rm -rf board.state
      start_board board
      console board --name "u5-$kind-$issuer" --issuer "$issuer" >/dev/null
      stop_board
      [ "$(counts)" = "$((n + 1)) $((n + 1)) $((n + 1)) $((n + 1))" ]
    done
  done
  jq -r .tls_cert board.state/state.json | openssl x509 -noout -issuer | grep -q 'AWS of the tests'
  # A fault that stays is told; the next run ends it.
  faults '{"fault": "html500", "operation": "AttachPolicy", "times": 99}'
  rm -rf board.state
  start_board board
  expect 1 console board --name u5-stays
  faults ''
  [ "$(console board --name u5-stays --query .resumed)" = true ]
  [ "$(counts)" = "$((n + 2)) $((n + 2)) $((n + 2)) $((n + 2))" ]
}

# killed_at OPERATION before|after COMMAND...: while the endpoint keeps it waiting for the answer
killed_at() {
  local operation=$1 kind=hang mark=$1 run
  [ "$2" = after ] || kind=hang-before mark=hangs
  shift 2
  faults "{\"fault\": \"$kind\", \"operation\": \"$operation\"}"
  "$@" >killed.out 2>killed.err 3>&- 9>&- &
  run=$!
  until_true 30 stopped_at "$mark" "$run" || { cat killed.err >&2; return 1; }
  kill -9 "$run"
  wait "$run" 2>/dev/null || true
  faults ''
}
stopped_at() { [ "$(done_of "$1")" -ge 1 ] || { gone "$2" && echo "ended without $1" >&2; }; }

@test "killed at every call that changes something: one identity, and nothing left over" {
  export IOTCTL_AWS_ROOT_CA=$fleet/ca/root.pem
  n=0
  for at in 'fleet CreateThing' 'fleet RegisterCertificateWithoutCA' 'fleet AttachThingPrincipal' 'fleet AttachPolicy' \
    'aws CreateThing' 'aws CreateCertificateFromCsr' 'aws AttachThingPrincipal' 'aws AttachPolicy'; do
    for when in before after; do
      read -r issuer operation <<<"$at"
      n=$((n + 1))
      rm -rf board.state
      start_board board
      killed_at "$operation" "$when" iotctl -q provision --board stm32u5 --port ./board --name "u5-$n" --type "type-$n" --issuer "$issuer"
      console board --name "u5-$n" --type "type-$n" --issuer "$issuer" -o json >record
      [ "$(jq -r .resumed record)" = true ]
      [ "$(counts)" = "$n $n $n $n" ] || { echo "$at $when: $(counts)" >&2; false; }
      stop_board
    done
  done
}

@test "two stations and one name: the second is refused before its board is touched" {
  export IOTCTL_AWS_ROOT_CA=$fleet/ca/root.pem
  start_board b1
  # Begun here, with nothing but the reservation there.
  killed_at CreateThing after iotctl -q provision --board stm32u5 --port ./b1 --name u5-1 --type pump
  stop_board
  start_board b2
  before=$(cat b2.state/* 2>/dev/null || true)
  XDG_STATE_HOME=$work/elsewhere fault 4 "reserved by another station" console b2 --name u5-1 --type pump
  [ "$(cat b2.state/* 2>/dev/null || true)" = "$before" ]
  # One that was made for it beforehand is taken, and is this station's then; a change meanwhile is seen.
  iotctl -q device create u5-2 --type pump >/dev/null
  XDG_STATE_HOME=$work/elsewhere console b2 --name u5-2 --type pump >/dev/null
  fault 4 "reserved by another station" console b2 --name u5-2 --type pump
}

@test "what AWS cannot do is refused before anything is done" {
  start_board b1
  faults ''
  fault 2 'AWS IoT knows no shared secrets' iotctl provision --board zephyr-psk --port ./b1 --name z-1
  fault 3 "no fleet directory with code-signing key 'release'" iotctl --fleet nowhere provision --board stm32u5 --port ./b1 --name z-1 \
    --codesign release
  fault 3 "nothing" iotctl provision --board stm32u5 --port ./b1 --name z-1 --policy nothing
  IOTCTL_AWS_ROOT_CA=missing.pem fault 3 "missing.pem" iotctl provision --board stm32u5 --port ./b1 --name z-1
  [ "$(counts)" = "0 0 0 0" ]
}

@test "a station works into AWS, and is killed" {
  load station
  start_broker
  port=$broker
  control index on >/dev/null
  write_recipe recipe.json
  work_at 1 6
  work_at 2 6
  line=(iotctl -q station run recipe.json --station line1 --port ./head1 --port ./head2 --range 0001..9999 --count 12 -o jsonl)
  "${line[@]}" >out 2>err </dev/null 3>&- 9>&- &
  run=$!
  until_true 60 some_passed
  kill -9 "$run"
  wait "$run" 2>/dev/null || true
  expect 0 "${line[@]}"
  [ "$(counts)" = "12 12 12 12" ]
  [ "$(results 'map(select(.result == "pass") | .uid) | unique | length')" = 12 ]
  [ "$(results 'map(select(.result == "fail")) | length')" = 0 ]
  iotctl station verify "$(records)" >/dev/null
}
some_passed() { [ "$(grep -c '"result":"pass"' out)" -ge 3 ]; }

@test "a board that has nothing but a shared secret is refused before it is looked for" {
  fault 2 'AWS IoT knows no shared secrets' iotctl provision --board tfm-small --port buspirate:./none --name pump-1
  [ "$(counts)" = "0 0 0 0" ]
}
