#!/usr/bin/env bats
# An operator over the HTTPS API: the same commands from a second home that holds nothing but a profile.

bats_require_minimum_version 1.5.0

setup() {
  load common
  common_setup
}

teardown() {
  common_teardown
}

away() { # PROFILE ARGUMENT...: iotctl with that profile in the other home, which knows nothing of the fleet
  local profile=$1
  shift
  env HOME="$work/away" XDG_CONFIG_HOME="$work/away/config" XDG_DATA_HOME="$work/away/data" \
    XDG_STATE_HOME="$work/away/state" IOTCTL_PROFILE="$work/$profile.profile" iotctl "$@"
}

start_remote() { # ROLE...: a fleet with its API, and an operator for each role
  port=$(free_port) api_port=$(free_port)
  iotctl init demo --port "$port" >/dev/null
  iotctl serve --detach --api-port "$api_port"
  for role in "$@"; do
    [ "$(iotctl -q operator create "$role" --role "$role" --query .endpointUrl)" = "https://localhost:$api_port" ]
  done
  mkdir away
}

@test "an admin makes devices, groups and policies; publishes to a group; from elsewhere" {
  start_remote admin
  away admin -q device create pump-0001 --type pump >/dev/null
  away admin -q group create beta >/dev/null
  away admin -q group add beta pump-0001 >/dev/null
  [ "$(away admin device list --query '.[].thingName')" = pump-0001 ]
  [ "$(iotctl device list --query '.[].thingName')" = pump-0001 ]
  listen heard.log 'pump/#'
  away admin -q publish '{type}/{name}/command' --group beta -m '"x"' >/dev/null
  until_true 10 heard heard.log '.topic == "pump/pump-0001/command"'
  [ ! -e away/data/iotctl ]
}

@test "many devices are made and retired from elsewhere, killed on the way: none is lost and none is there twice" {
  start_remote admin
  {
    echo name
    for i in {1..40}; do echo "pump-$i"; done
  } >pumps.csv
  bulk=(device create --from pumps.csv --type pump --policy device --out away/pumps --resume away/journal -o jsonl)
  certificates() { iotctl api ListCertificates pageSize:=250 --query '.certificates | length'; }
  before=$(certificates)
  # As away does, but the process that is killed is iotctl's.
  env HOME="$work/away" XDG_CONFIG_HOME="$work/away/config" XDG_DATA_HOME="$work/away/data" XDG_STATE_HOME="$work/away/state" \
    IOTCTL_PROFILE="$work/admin.profile" iotctl -q "${bulk[@]}" >rows.jsonl 2>err 3>&- &
  pids+=($!)
  until_true 30 test -s rows.jsonl
  kill -9 "$!"
  wait "$!" || true
  away admin -q "${bulk[@]}" >>rows.jsonl
  [ "$(jq -r 'select(.error == null).thingName' rows.jsonl | sort -u | wc -l)" = 40 ]
  [ "$(iotctl device list --query length)" = 40 ]
  is "$(certificates)" "$((before + 40))"
  for folder in away/pumps/*/; do
    [ "$(openssl x509 -in "$folder/certificate.pem" -noout -pubkey)" = "$(openssl pkey -in "$folder/private.key" -pubout)" ]
  done
  away admin -q device retire --from pumps.csv --yes -o jsonl >rows.jsonl
  [ "$(jq -s 'map(select(.changed)) | length' rows.jsonl)" = 40 ]
  [ "$(iotctl device list --query length)" = 0 ]
  is "$(certificates)" "$before"
}

@test "each role may what it says, and no more: one line, exit code 5" {
  start_remote observe deploy
  make_device pump-0001
  for role in observe deploy; do
    away "$role" -q device show pump-0001 >/dev/null
    away "$role" -q layout list >/dev/null
    fault 5 "operator '$role' may not do iot:CreateThing" away "$role" device create pump-0002
    fault 5 'iot:DeletePolicy' away "$role" policy delete device
    fault 5 'iot:UpdateCertificate' away "$role" device disable pump-0001
  done
  fault 5 'iot:UpdateThingShadow' away observe shadow update pump-0001 --desired '{"a": 1}'
  away deploy -q shadow update pump-0001 --desired '{"a": 1}' >/dev/null
  printf '{"speed": 3}' >config.json
  fault 5 'iotctl:SetDeviceConfig' away observe config set config.json --to pump-0001
  away deploy -q config set config.json --to pump-0001 >/dev/null
  [ "$(away observe config get pump-0001 | jq .speed)" = 3 ]
  not grep -rq "$(sed -n 's/^secret-access-key = //p' deploy.profile)" "$fleet"
}

@test "a shadow is watched over the broker while it is changed over the API" {
  start_remote observe deploy
  make_device pump-0001
  away observe shadow watch pump-0001 --count 1 --timeout 30s -o jsonl >watch.out 2>watch.err &
  pids+=($!)
  until_true 20 grep -q "watching 'pump-0001' as operator 'observe'" watch.err
  away deploy -q shadow update pump-0001 --desired '{"a": 1}' >/dev/null
  until_true 10 test -s watch.out
  [ "$(jq -c .state.desired watch.out)" = '{"a":1}' ]
}

@test "layouts and schemas of the fleet's own hold from elsewhere" {
  start_remote deploy
  make_device pump-0001
  iotctl layout show buses | jq '.name = "mine"' >mine.json
  iotctl layout add mine.json >/dev/null
  iotctl layout use mine --type pump
  printf '{"type": "object", "properties": {"speed": {"type": "integer"}}}' >schema.json
  iotctl config schema set pump schema.json >/dev/null
  [ "$(away deploy layout list --query '.[] | select(.name == "mine").types[0]')" = pump ]
  [ "$(away deploy layout show mine | jq -r .name)" = mine ]
  printf '{"speed": "fast"}' >bad.json
  fault 2 'speed' away deploy config set bad.json --to pump-0001
}

@test "of two operators who set a configuration at once one is told, and it is kept who the other was" {
  start_remote admin deploy
  make_device pump-0001
  printf '{"by": "admin"}' >admin.json
  printf '{"by": "deploy"}' >deploy.json
  local role first code last=0 codes
  # from the same version: what came second has seen something that is not so any more
  for role in admin deploy; do
    away "$role" -q config set "$role.json" --to pump-0001 --if-version 0 >"$role.out" 2>"$role.err" 3>&- &
    pids+=($!)
  done
  for role in admin deploy; do
    code=0
    wait "${pids[$((last++))]}" || code=$?
    codes+="$code "
    [ "$code" != 0 ] || first=$role
  done
  [[ $codes == '0 4 ' || $codes == '4 0 ' ]]
  grep -q "'pump-0001'.*version" "$([ "$first" = admin ] && echo deploy || echo admin).err"
  [ "$(iotctl config get pump-0001 --query .by)" = "$first" ]
  [ "$(iotctl config history pump-0001 --query 'map(.author) | join(",")')" = "operator $first" ]

  # who says nothing of a version sets one after the other; and nobody speaks for another
  away admin -q config set admin.json --to pump-0001 >/dev/null
  away deploy -q config set deploy.json --to pump-0001 >/dev/null
  [ "$(iotctl config history pump-0001 --query '.[0].author')" = 'operator deploy' ]
  away deploy -q api iotctl:SetDeviceConfig thingName=pump-0001 document:='{"by": "nobody"}' author=admin acknowledge=shadow >/dev/null
  [ "$(iotctl config history pump-0001 --query '.[0].author')" = 'operator deploy' ]
  [ "$(iotctl config get pump-0001 --query .by)" = nobody ]
}

@test "revoked and expired keys are refused at once" {
  start_remote admin
  iotctl -q operator create short --role observe --expires 3s >/dev/null
  away admin -q device list >/dev/null
  iotctl -q operator revoke admin >/dev/null
  fault 5 "operator profile 'admin'" away admin device list
  short_is_over() { [ "$(iotctl operator show short --query .state)" = expired ]; }
  until_true 10 short_is_over
  fault 5 'xpired' away short device list
  iotctl -q operator rotate admin >/dev/null
  away admin -q device list >/dev/null
}

@test "events are told to an operator, but what policies deny to others is not; routes stay where they run" {
  start_remote observe
  make_device pump-0001
  away observe events tail -o jsonl >tail.out 2>tail.err 3>&- &
  pids+=($!)
  until_true 20 grep -q 'and subscribed' tail.err
  grep -q 'the policy does not allow to listen to .*denied' tail.err
  as pump-0001 mosquitto_pub -q 1 -t pump/pump-0001/event/hello -m 1
  until_true 10 heard tail.out '.kind == "presence" and .device == "pump-0001" and .event == "disconnected"'
  until_true 10 heard tail.out '.kind == "device" and .device == "pump-0001" and .event == "hello"'
  fault 5 'refused' away observe -q events tail --kind denial --timeout 5s
  fault 2 "this is done on the machine of a local fleet only" away observe events route list
}
