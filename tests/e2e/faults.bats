#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # topics begin with $; what common.bash and the tests share
# What goes wrong around a running fleet: each fault ends with its exit code and one line that says what and why, and
# the fleet is as it was before.

setup() {
  load common
  common_setup
  port=$(free_port)
}

teardown() {
  local status=0
  common_teardown || status=$?
  [ ! -d "$work/small" ] || umount "$work/small" 2>/dev/null || true
  return "$status"
}

fleet_of_two() {
  start_fleet
  make_device pump-0001
  make_device pump-0002
  firmware 1.0.0 old.bin --size 8k
  firmware 1.1.0 new.bin --size 64k
}

# unchanged CODE TEXT COMMAND...: a fault that leaves the fleet as it is.
unchanged() {
  fleet_state >before
  fault "$@" || return
  fleet_state >after
  diff before after
}

# --- serve -------------------------------------------------------------------------------------------------

@test "serve is not there" {
  iotctl init demo --port "$port" -q >/dev/null
  unchanged 3 'serve is not running for fleet' iotctl serve --status -q
  unchanged 3 'serve is not running for fleet' iotctl serve --stop
  make_device pump-0001
  firmware 1.1.0 new.bin --size 8k
  # a push is kept for later, and says so
  expect 0 iotctl ota push new.bin --to pump-0001 --id later
  [[ $err == *'serve is not running'*'iotctl serve --detach'* ]]
  expect 8 iotctl ota watch later --timeout 300ms
  expect 0 iotctl ota doctor later -o json
  [[ $out == *'it is not connected'* ]]
  # a device says why it gets nowhere, and keeps trying
  firmware 1.0.0 old.bin --size 8k
  start_device pump-0001 --image old.bin
  until_true 5 logged pump-0001.log 'not connected: .*refused'
  iotctl serve --detach
  expect 0 iotctl ota watch later --timeout 30s
}

@test "serve cannot start" {
  iotctl init demo --port "$port" -q >/dev/null
  unchanged 3 "program './none' is not there" iotctl serve --detach --mosquitto ./none
  unchanged 3 "the broker plugin '$work/none.so' is not there" iotctl serve --detach --plugin ./none.so
  IOTCTL_PLUGIN=./none.so unchanged 3 "the broker plugin '$work/none.so' is not there" iotctl serve
  echo 'no plugin' >text.so
  fault 1 'mosquitto ended with code' iotctl serve --detach --plugin ./text.so
  fault 12 'cannot listen on' iotctl serve --detach --listen 203.0.113.7
  expect 3 iotctl serve --status
  # and when it can, it does
  iotctl serve --detach
  expect 0 iotctl serve --status
}

@test "mosquitto is not installed" {
  unshare -m true 2>/dev/null || skip 'needs the right to make a mount namespace'
  iotctl init demo --port "$port" -q >/dev/null
  : >nothing
  hidden() { # nobody may execute that
    unshare -m bash -c 'mount --bind nothing "$(PATH=$PATH:/usr/sbin command -v mosquitto)" && exec "$@"' - "$@"
  }
  unchanged 3 "'sudo apt-get install mosquitto' installs it" hidden iotctl serve --detach
  [[ $err == *"program 'mosquitto' is not there"* ]]
}

@test "a second serve, and a port that another has" {
  start_fleet
  pid=$(serve_pid) mosquitto=$(mosquitto_pid)
  unchanged 4 "serve is already running for fleet '$fleet' (process $pid)" iotctl serve --detach
  unchanged 4 "serve is already running for fleet '$fleet' (process $pid)" iotctl serve
  iotctl -q init other --port "$port" >/dev/null
  fault 4 "port $port is in use (process $mosquitto, mosquitto)" iotctl --fleet other serve --detach
  fault 3 'serve is not running' iotctl --fleet other serve --status -q
  fault 4 "port $port is in use" iotctl --fleet other serve
  other=$(free_port)
  expect 0 iotctl --fleet other serve --detach --port "$other"
  [ "$(iotctl --fleet other serve --status --query .port)" = "$other" ]
  expect 0 iotctl --fleet other serve --stop
  [ "$(iotctl --fleet demo serve --status --query .pid)" = "$pid" ]
}

@test "a registry that serve cannot use" {
  iotctl init demo --port "$port" -q >/dev/null
  version=$(sqlite3 "$fleet/registry.db" 'PRAGMA user_version')
  sqlite3 "$fleet/registry.db" 'PRAGMA user_version = 999'
  unchanged 12 'newer' iotctl serve --detach
  sqlite3 "$fleet/registry.db" "PRAGMA user_version = $version"
  iotctl serve --detach
  iotctl serve --stop
  cp "$fleet/registry.db" whole.db
  printf 'not a database at all, but long enough to be looked at' | dd of="$fleet/registry.db" conv=notrunc status=none
  fault 1 'registry.db' iotctl serve --detach
  cp whole.db "$fleet/registry.db"
  iotctl serve --detach
}

@test "signals end a foreground serve with all that it started" {
  iotctl init demo --port "$port" -q >/dev/null
  for signal in TERM INT; do
    set -m # a job of its own, whose SIGINT is not ignored
    iotctl serve 2>"serve-$signal.log" 3>&- &
    serve=$!
    set +m
    pids+=("$serve")
    until_true 20 logged "serve-$signal.log" 'listening on'
    mosquitto=$(mosquitto_pid)
    admin=$(sed -n 's/^listener 0 //p' "$fleet/broker/mosquitto.conf")
    [ -S "$admin" ]
    kill -"$signal" "$serve"
    wait "$serve"
    gone "$mosquitto"
    [ ! -e "$admin" ]
    [ ! -e "$fleet/broker/serve.json" ]
    expect 3 iotctl serve --status
  done
}

is_another() { # than $mosquitto
  [[ $(mosquitto_pid) =~ ^[0-9]+$ ]] && [ "$(mosquitto_pid)" != "$mosquitto" ]
}

@test "mosquitto that ends again and again is started again, ever more slowly" {
  start_fleet
  for _ in 1 2 3; do
    until_true 20 serve_is_up
    mosquitto=$(mosquitto_pid)
    kill -9 "$mosquitto"
    until_true 5 is_another
  done
  until_true 20 serve_is_up
  logged "$fleet/broker/serve.log" 'mosquitto was ended by signal 9'
  logged "$fleet/broker/serve.log" 'starting mosquitto again in 200 ms'
  logged "$fleet/broker/serve.log" 'starting mosquitto again in 800 ms'
}

# --- disks -------------------------------------------------------------------------------------------------

@test "a disk that is full" {
  mkdir small
  mount -t tmpfs -o size=3m none small 2>/dev/null || skip 'needs the right to mount'
  export XDG_DATA_HOME=$work/small
  fleet=$work/small/iotctl/demo
  iotctl init demo --port "$port" -q >/dev/null
  make_device pump-0001
  firmware 1.1.0 big.bin --size 8M
  unchanged 1 'no space left on device' iotctl ota push big.bin --to pump-0001 --id big
  [ -z "$(ls "$fleet/images")" ]
  # the very last byte is gone
  dd if=/dev/zero of=small/ballast bs=1k status=none 2>/dev/null || true
  firmware 1.1.0 new.bin --size 8k
  fault 1 'no space left on' iotctl device create pump-0002 --policy device --out pump-0002
  fault 1 'no space left on device' iotctl ota push new.bin --to pump-0001 --id new
  fault 1 'no space left on device' iotctl codesign create another
  fault 1 'no space left on device' iotctl serve --detach
  fault 1 'no space left on' iotctl init more
  [ "$(ls small/iotctl)" = demo ]
  # nothing is half there when there is room again
  rm small/ballast
  [ "$(iotctl device list -o json --query 'map(.thingName) | join(" ")')" = '"pump-0001"' ]
  [ "$(iotctl ota list -o json | jq length)" = 0 ]
  [ "$(iotctl api ListStreams --query '.streams | length')" = 0 ]
  [ "$(iotctl codesign list -o json | jq length)" = 1 ]
  expect 0 iotctl device create pump-0002 --policy device --out pump-0002
  expect 0 iotctl ota push new.bin --to pump-0001 --id new
  expect 0 iotctl serve --detach
}

@test "a disk that is full while serve runs" {
  mkdir small
  mount -t tmpfs -o size=4m none small 2>/dev/null || skip 'needs the right to mount'
  export XDG_DATA_HOME=$work/small
  fleet=$work/small/iotctl/demo
  fleet_of_two
  serve=$(serve_pid) mosquitto=$(mosquitto_pid)
  iotctl ota push new.bin --to pump-0001 --id new >/dev/null
  dd if=/dev/zero of=small/ballast bs=1k status=none 2>/dev/null || true
  start_device pump-0001 --image old.bin --request-timeout 500ms
  until_true 10 logged pump-0001.log 'connected to'
  talk pump-0002
  hears pump-0002 '^up$'
  say pub 1 '$aws/things/pump-0002/jobs/get' # serve knows of the connection when it answers that
  hears pump-0002 'jobs/get/'
  say pub 1 pump/pump-0002/state '{"firmware":"7.7.7"}'
  until_true 5 logged "$fleet/broker/serve.log" 'cannot record what devices report'
  expect 0 iotctl ota show new # reading goes on
  fault 1 'no space left' iotctl device update pump-0002 --attribute site=7
  rm small/ballast
  until_true 10 device_says pump-0002 .connected true
  until_true 10 device_says pump-0002 .firmware 7.7.7
  # nothing had to be started again, and nothing that was said meanwhile is lost
  expect 0 iotctl ota watch new --timeout 30s
  until_true 10 device_says pump-0001 .firmware 1.1.0
  device_says pump-0001 .connected true
  [ "$(serve_pid) $(mosquitto_pid)" = "$serve $mosquitto" ]
}

refused() { sed -n "s/.*refused: the subscription to '\([^']*\)'.*/\1/p" "$1.log"; } # NAME: filters, one in a line
came_back() { [ "$(grep -c 'connected to' "$1.log")" -ge 4 ]; } # NAME

@test "a device without a type whose policy names one: told when it is made, and once by the device" {
  fleet_of_two
  expect 0 iotctl device create typeless --policy device --out ./typeless
  [[ $err == *"'typeless' has no type, and policy 'device' names topics by type"*"--type TYPE --update"* ]]
  iotctl sim device ./typeless --image old.bin 2>typeless.log 3>&- &
  pids+=($!)
  until_true 30 came_back typeless
  logged typeless.log "refused: the subscription to 'typeless/.*no type.*--type TYPE --update"
  [ "$(refused typeless | wc -l)" = 1 ]
  kill "${pids[-1]}"
  until_true 10 gone "${pids[-1]}"
  expect 0 iotctl device create typeless --type pump --policy device --out ./typeless --update
  [[ $err != *type* ]]
  start_device typeless
  until_true 20 device_says typeless .firmware 1.0.0
}

@test "a device whose policy refuses several of its subscriptions says each once, however often it comes back" {
  fleet_of_two
  jq -n '{Version: "2012-10-17", Statement: [{Effect: "Allow", Action: ["iot:Connect", "iot:Publish"], Resource: "*"}]}' >deaf.json
  iotctl policy create deaf deaf.json -q
  iotctl device create deaf --type pump --policy deaf --out ./deaf -q
  start_device deaf --image old.bin
  until_true 30 came_back deaf
  [ "$(refused deaf | wc -l)" -gt 1 ]
  [ -z "$(refused deaf | sort | uniq -d)" ]
}

@test "a folder or a file of the broker that is gone or damaged" {
  fleet_of_two
  iotctl serve --stop
  rm -rf "$fleet/broker" # all in it is made anew
  iotctl serve --detach
  start_device pump-0001 --image old.bin
  until_true 20 device_says pump-0001 .firmware 1.0.0
  fault 4 "the device in './pump-0001/sim' runs already" iotctl sim device ./pump-0001 --exit-after 1s
  iotctl serve --stop
  head -c 2000 /dev/urandom >"$fleet/broker/mosquitto.db"
  iotctl serve --detach
  logged "$fleet/broker/serve.log" "memory is damaged.*mosquitto.db.damaged"
  expect 0 iotctl ota push new.bin --to pump-0001 --wait --timeout 30s
}

@test "a file that may not grow" {
  iotctl init demo --port "$port" -q >/dev/null
  make_device pump-0001
  firmware 1.1.0 big.bin --size 2M
  limited() { ( trap '' XFSZ; ulimit -f 1024; "$@" ); } # KiB
  unchanged 1 'file too large' limited iotctl ota push big.bin --to pump-0001 --id big
  [ -z "$(ls "$fleet/images")" ]
  fault 1 'file too large' limited iotctl sim firmware --version 1.2.0 --size 4M --out cut.bin
  [ ! -e cut.bin ]
  expect 0 iotctl ota push big.bin --to pump-0001 --id big
}

@test "stdout that takes nothing" {
  iotctl init demo --port "$port" -q >/dev/null
  make_device pump-0001
  firmware 1.1.0 new.bin --size 8k
  full() { "$@" >/dev/full; }
  fault 1 'no space left on device' full iotctl device list -q
  fault 1 'no space left on device' full iotctl ota list
}

# --- at the same time -----------------------------------------------------------------------------------------

@test "twenty commands at once lose nothing and do nothing twice" {
  fleet_of_two
  jobs=()
  for n in {1..20}; do
    iotctl device create "valve-$n" --type valve --policy device --out "./valve-$n" >"valve-$n.out" 2>"valve-$n.err" 3>&- &
    jobs+=($!)
  done
  for n in {1..20}; do
    iotctl device create same --type valve --policy device --out ./same >"same-$n.out" 2>"same-$n.err" 3>&- &
    jobs+=($!)
  done
  for job in "${jobs[@]}"; do
    wait "$job"
  done
  [ "$(iotctl device list --type valve -o json | jq length)" = 21 ]
  [ "$(iotctl device show same --query '.certificates | length')" = 1 ]
  # everybody has one certificate, active, with the policy, and none is left over
  [ "$(iotctl cert list -o json | jq length)" = 23 ]
  for n in {1..20}; do
    [ "$(iotctl device show "valve-$n" --query '.certificates | map([.status, (.policies | join(","))]) | tostring')" = '[["ACTIVE","device"]]' ]
    [ "$(openssl x509 -in "valve-$n/certificate.pem" -noout -pubkey)" = "$(openssl pkey -in "valve-$n/private.key" -pubout)" ]
  done
  # updates under the same name: one wins, the others are told
  jobs=() won=0
  for n in {1..8}; do
    iotctl ota push new.bin --to pump-0001 --id race >"race-$n.out" 2>"race-$n.err" 3>&- &
    jobs+=($!)
  done
  for job in "${jobs[@]}"; do
    status=0
    wait "$job" || status=$?
    case $status in
      0) won=$((won + 1)) ;;
      *) [ "$status" = 4 ] ;;
    esac
  done
  [ "$won" = 1 ]
  [ "$(iotctl ota list -o json | jq -c 'map([.updateId, .queued + .inProgress + .succeeded])')" = '[["race",1]]' ]
  [ "$(iotctl api ListStreams --query '.streams | length')" = 1 ]
  firmware 1.0.0 old.bin --size 8k
  start_device pump-0001 --image old.bin
  expect 0 iotctl ota watch race --timeout 30s
}

# --- watching ---------------------------------------------------------------------------------------------------

@test "Ctrl-C only stops watching" {
  fleet_of_two
  start_device pump-0001 --image old.bin --window 1 --fault slow=150ms
  until_true 20 device_says pump-0001 .firmware 1.0.0
  for signal in INT:130 TERM:143; do
    rm -f push.err
    set -m
    iotctl ota push new.bin --to pump-0001 --id "of-${signal%:*}" --wait --force >push.out 2>push.err 3>&- &
    push=$!
    set +m
    pids+=("$push")
    until_true 10 iotctl ota show "of-${signal%:*}"
    until_true 10 logged push.err 'on its way'
    kill -"${signal%:*}" "$push"
    status=0
    wait "$push" || status=$?
    [ "$status" = "${signal#*:}" ]
    grep -q "follow it with 'iotctl ota watch of-${signal%:*}'" push.err
    [ "$(iotctl ota show "of-${signal%:*}" --query .status)" = IN_PROGRESS ]
    [ "$signal" = TERM:143 ] || expect 0 iotctl ota watch "of-${signal%:*}" --timeout 60s
  done
  fault 8 'has not ended within' iotctl ota watch of-TERM --timeout 200ms -q
}

@test "watching outlives a registry that is busy" {
  fleet_of_two
  start_device pump-0001 --image old.bin --window 1 --fault slow=100ms
  until_true 20 device_says pump-0001 .firmware 1.0.0
  iotctl ota push new.bin --to pump-0001 --id busy --wait --timeout 60s >push.out 2>push.err 3>&- &
  push=$!
  pids+=("$push")
  until_true 10 iotctl ota show busy
  # nobody can write for three seconds
  printf 'BEGIN EXCLUSIVE;\n.shell sleep 3\nCOMMIT;\n' | sqlite3 "$fleet/registry.db"
  wait "$push"
}

# --- devices that misbehave ---------------------------------------------------------------------------------------

@test "devices that misbehave hurt nobody" {
  fleet_of_two
  serve=$(serve_pid) mosquitto=$(mosquitto_pid)

  # says nothing: told so, and nothing is assumed
  start_device pump-0001 --image old.bin --fault silent
  until_true 20 device_says pump-0001 .connected true
  fault 8 'has not ended within' iotctl ota push new.bin --to pump-0001 --id quiet --wait --timeout 1s -q
  [ "$(iotctl ota show quiet --query '.executions[0].status')" = QUEUED ]
  expect 0 iotctl ota doctor quiet
  [[ $out == *'it was told and has not asked for the job'* ]]
  kill_device -TERM

  # says everything twice, asks for what is not there, and reports for a job that is not its own
  start_device pump-0001 --fault twice,out-of-range,foreign-job
  expect 0 iotctl ota watch quiet --timeout 30s
  until_true 10 device_says pump-0001 .firmware 1.1.0
  [ "$(iotctl ota show quiet --query '[.succeeded, .failed, (.executions | length)] | tostring')" = '[1,0,1]' ]
  kill_device -TERM

  # takes a job of somebody else's for its own
  iotctl ota push new.bin --to pump-0002 --id theirs >/dev/null
  talk pump-0001
  hears pump-0001 '^up$'
  say pub 1 '$aws/things/pump-0001/jobs/AFR_OTA-theirs/update' '{"status":"SUCCEEDED","clientToken":"t1"}'
  hears pump-0001 'AFR_OTA-theirs/update/rejected .*"t1".*ResourceNotFound'
  say pub 1 '$aws/things/pump-0001/streams/AFR_OTA-theirs/get/json' '{"s":1,"f":0,"l":256,"o":0,"n":1}'
  hears pump-0001 'streams/AFR_OTA-theirs/rejected/json .*ResourceNotFound'
  [ "$(iotctl ota show theirs --query '.executions[0].status')" = QUEUED ]

  # calls itself another
  start_device pump-0002 --image old.bin --fault client-id=pump-0001
  until_true 10 logged pump-0002.log 'not connected: '
  kill_device -TERM
  say pub 1 pump/pump-0001/data here # it was not thrown out
  hears pump-0001 '^sent$'

  # and as itself it gets its update; nothing of ours had to be started again
  start_device pump-0002
  expect 0 iotctl ota watch theirs --timeout 30s
  [ "$(serve_pid) $(mosquitto_pid)" = "$serve $mosquitto" ]
}

@test "a device that is never heard of again is timed out" {
  command -v faketime >/dev/null || skip 'needs faketime'
  fleet_of_two
  start_device pump-0001 --image old.bin --fault stuck
  until_true 20 device_says pump-0001 .firmware 1.0.0
  iotctl ota push new.bin --to pump-0001 --id stuck --device-timeout 1m >/dev/null
  taken() { [ "$(iotctl ota show stuck --query '.executions[0].status')" = IN_PROGRESS ]; }
  until_true 10 taken
  fault 8 'has not ended within' iotctl ota watch stuck --timeout 300ms -q
  iotctl serve --stop
  ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0 faketime -f +2m iotctl serve --detach
  fault 1 TIMED_OUT iotctl ota watch stuck --timeout 20s -q
}
