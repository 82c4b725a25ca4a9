#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # topics begin with $; what common.bash and the tests share
# Whatever is killed, stopped or hangs in the middle of an update: it ends well, and whoever watches is told the truth.
# IOTCTL_SOAK=1 kills fifty times at random instead of six times; IOTCTL_SEED repeats a run.

setup() {
  load common
  common_setup
  start_fleet
  make_device pump-0001
  firmware 1.0.0 old.bin --size 8k
}

teardown() {
  common_teardown
}

# 1024 small blocks in windows, a pause before each: about three seconds.
start_slow_device() {
  start_device pump-0001 --image old.bin --block-size 256 --window 32 --fault slow=40ms --request-timeout 500ms
}

blocks() { # of 1024, as the device's log tells it
  sed -n 's/.*downloading \([0-9]*\) of 1024 blocks.*/\1/p' pump-0001.log | tail -n 1
}
has_blocks() { [ "$(blocks)" -ge "$1" ]; }

# An update that somebody watches, and the device has begun to download. Who is to be killed is asked before: the device
# needs three seconds, and on a busy machine so may the question.
begin_update() {
  firmware 1.1.0 new.bin --size 256k
  serve=$(serve_pid) mosquitto=$(mosquitto_pid)
  start_slow_device
  until_true 20 device_says pump-0001 .firmware 1.0.0
  iotctl ota push new.bin --to pump-0001 --id new --wait --timeout 90s -o json >watch.out 2>watch.err 3>&- &
  watch_pid=$!
  pids+=("$watch_pid")
  until_true 20 has_blocks "${1:-30}"
}

end_update() {
  wait "$watch_pid"
  [ "$(jq -r .succeeded watch.out)" = 1 ]
  expect 0 iotctl ota watch new --timeout 60s
  until_true 10 device_says pump-0001 .firmware 1.1.0
  cmp new.bin pump-0001/sim/slot-a.bin || cmp new.bin pump-0001/sim/slot-b.bin
  [ "$(iotctl api ListJobExecutionsForThing thingName=pump-0001 --query '.executionSummaries | length')" = 1 ]
}

# The update was in the middle when it happened, and it had to go on.
was_in_the_middle() {
  [ "$(blocks)" -lt 1024 ]
  [ "$(iotctl ota show new --query .executions[0].status)" = IN_PROGRESS ]
}

@test "serve is killed" {
  begin_update
  kill -9 "$serve"
  until_true 5 gone "$mosquitto" # nothing of ours is left
  was_in_the_middle
  expect 3 iotctl serve --status
  iotctl serve --detach
  end_update
}

@test "mosquitto is killed" {
  begin_update
  kill -STOP "$serve" # it would start another one, and the device might be done while we look
  kill -9 "$mosquitto"
  was_in_the_middle
  kill -CONT "$serve"
  until_true 10 serve_is_up
  differs "$mosquitto" "$(mosquitto_pid)"
  end_update
}

@test "mosquitto hangs" {
  begin_update
  kill -STOP "$mosquitto"
  was_in_the_middle
  until_true 20 gone "$mosquitto"
  logged "$fleet/broker/serve.log" 'did not answer'
  end_update
}

@test "serve is killed while mosquitto hangs" {
  begin_update
  kill -STOP "$mosquitto" # it would end with serve, but cannot
  kill -9 "$serve"
  was_in_the_middle
  iotctl serve --detach # the port is free all the same
  gone "$mosquitto"
  end_update
}

@test "serve and mosquitto are killed, and the device" {
  begin_update 300
  kill -9 "$mosquitto"
  kill -9 "$serve"
  kill_device
  was_in_the_middle
  iotctl serve --detach
  start_slow_device
  end_update
}

@test "the device is killed and goes on where it was" {
  begin_update 300
  kill_device
  was_in_the_middle
  start_slow_device
  end_update
  # it had all that was on its disk: the map of blocks is saved every 256 of them
  resumed=$(grep -o 'downloading AFR_OTA-new: .*' pump-0001.log | tail -n 1)
  [ "$(grep -c 'downloading AFR_OTA-new: ' pump-0001.log)" = 2 ]
  [[ $resumed =~ ' '([0-9]+)' of 1024 blocks there' ]]
  [ "${BASH_REMATCH[1]}" -ge 256 ]
}

@test "serve ends between a request and its reply" {
  firmware 1.1.0 new.bin --size 16k
  iotctl ota push new.bin --to pump-0001 --id new --wait --timeout 90s -o json >watch.out 2>watch.err 3>&- &
  watch_pid=$!
  pids+=("$watch_pid")
  until_true 5 iotctl ota show new
  serve=$(serve_pid) mosquitto=$(mosquitto_pid)
  kill -STOP "$serve" # mosquitto takes the request, and nobody answers
  start_device pump-0001 --image old.bin --request-timeout 500ms
  until_true 10 logged pump-0001.log 'connected to'
  kill -TERM "$serve"
  kill -CONT "$serve"
  until_true 10 gone "$mosquitto"
  until_true 10 gone "$serve"
  [ "$(iotctl ota show new --query .executions[0].status)" = QUEUED ]
  iotctl serve --detach
  end_update
}

@test "serve is killed between a request and its reply" {
  firmware 1.1.0 new.bin --size 16k
  iotctl ota push new.bin --to pump-0001 --id new --wait --timeout 90s -o json >watch.out 2>watch.err 3>&- &
  watch_pid=$!
  pids+=("$watch_pid")
  until_true 5 iotctl ota show new
  serve=$(serve_pid) mosquitto=$(mosquitto_pid)
  kill -STOP "$serve"
  start_device pump-0001 --image old.bin --request-timeout 500ms
  until_true 10 logged pump-0001.log 'connected to'
  kill -9 "$serve"
  until_true 10 gone "$mosquitto"
  [ "$(iotctl ota show new --query .executions[0].status)" = QUEUED ]
  iotctl serve --detach
  end_update
}

@test "an update that is pushed while serve is down is heard of when it is up" {
  firmware 1.1.0 new.bin --size 16k
  start_device pump-0001 --image old.bin
  until_true 20 device_says pump-0001 .firmware 1.0.0
  iotctl serve --stop
  iotctl ota push new.bin --to pump-0001 --id new --wait --timeout 90s -o json >watch.out 2>watch.err 3>&- &
  watch_pid=$!
  pids+=("$watch_pid")
  until_true 5 iotctl ota show new
  iotctl serve --detach
  end_update
}

@test "a state that the broker kept is not taken for news" {
  make_device pump-0002
  as pump-0001 mosquitto_pub -q 1 -r -t pump/pump-0001/state -m '{"firmware":"1.0.0"}'
  until_true 10 device_says pump-0001 .firmware 1.0.0
  as pump-0001 mosquitto_pub -q 1 -t pump/pump-0001/state -m '{"firmware":"1.1.0"}'
  until_true 10 device_says pump-0001 .firmware 1.1.0
  kill -9 "$(serve_pid)"
  until_true 10 not iotctl serve --status
  iotctl serve --detach
  # what is heard after that, whatever the broker kept came before it
  as pump-0002 mosquitto_pub -q 1 -t pump/pump-0002/state -m '{"firmware":"2.0.0"}'
  until_true 10 device_says pump-0002 .firmware 2.0.0
  device_says pump-0001 .firmware 1.1.0
}

# --- at random -------------------------------------------------------------------------------------------

push_next() { # the next version to the device, which becomes $update
  minor=$((minor + 1))
  update=soak-$minor
  firmware "1.$minor.0" "$update.bin" --size 64k
  iotctl ota push "$update.bin" --to pump-0001 --id "$update" >/dev/null 2>&1
}

has_ended() { [ "$(iotctl ota show "$1" --query .status)" = COMPLETED ]; }

# A process may end by itself before it is hit.
hit() { kill "$1" "$2" 2>/dev/null || true; }

kill_something() {
  local serve mosquitto
  serve=$(serve_pid) mosquitto=$(mosquitto_pid 2>/dev/null)
  [[ $mosquitto =~ ^[0-9]+$ ]] || mosquitto=$serve # it is just being started
  case $((RANDOM % 6)) in
    0) what='serve'; hit -9 "$serve" ;;
    1) what='mosquitto'; hit -9 "$mosquitto" ;;
    2) what='the device'; kill_device ;;
    3) what='mosquitto and serve'; hit -9 "$mosquitto"; hit -9 "$serve" ;;
    4) what='everything'; hit -9 "$serve"; hit -9 "$mosquitto"; kill_device ;;
    *) what='serve, in order'; iotctl serve --stop ;;
  esac
}

start_missing() {
  if ! kill -0 "$device_pid" 2>/dev/null; then
    start_device pump-0001 --image old.bin --window 2 --fault slow=50ms --request-timeout 500ms
  fi
  iotctl serve --status >/dev/null 2>&1 || iotctl serve --detach
}

@test "kills at random lose nothing" {
  kills=6
  [ "${IOTCTL_SOAK:-0}" = 0 ] || kills=50
  seed=${IOTCTL_SEED:-$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')}
  RANDOM=$seed
  echo "# $kills kills, IOTCTL_SEED=$seed" >&3
  minor=0
  start_device pump-0001 --image old.bin --window 2 --fault slow=50ms --request-timeout 500ms
  push_next
  for ((n = 1; n <= kills; n++)); do
    sleep "0.$((RANDOM % 900 + 100))"
    kill_something
    start_missing
    echo "kill $n: $what" >>kills.log
    if has_ended "$update"; then
      push_next
    fi
  done
  until_true 60 has_ended "$update"
  push_next # and this one nobody disturbs
  expect 0 iotctl ota watch "$update" --timeout 60s
  until_true 10 device_says pump-0001 .firmware "1.$minor.0"
  # every update has ended, once; a device that lost its power in its self test went back and said so, nothing else failed
  for ((n = 1; n <= minor; n++)); do
    iotctl ota show "soak-$n" -o json |
      jq -e '.status == "COMPLETED" and (.executions | length) == 1 and (.succeeded == 1 or (.executions[0].reason | test("reverted")))' ||
      { iotctl ota show "soak-$n" -o json; cat kills.log; return 1; } >&2
  done
  [ "$(iotctl ota list -o json | jq length)" = "$minor" ]
  echo "# $minor updates, $(iotctl ota list -o json | jq 'map(.failed) | add') of them reverted in the self test" >&3
}
