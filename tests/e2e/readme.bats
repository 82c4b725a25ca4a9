#!/usr/bin/env bats
# shellcheck disable=SC2154 # what common.bash shares
# What the README prints, as one script: typed along by somebody who has no fleet. Only the ports are other ones.

setup() {
  load common
  common_setup
  export TMPDIR=$work
}

teardown() {
  common_teardown
}

@test "the first hour, a module on a serial port, and the fleet from elsewhere" {
  local api staging
  port=$(free_port) api=$(free_port) staging=$(free_port)
  awk '/^## / {mine = $0 ~ /^## (A first hour|A module on|From elsewhere)/} /^```/ {inside = mine && $0 == "```sh"; next} inside' \
    "$BATS_TEST_DIRNAME/../../README.md" |
    sed "s/iotctl init demo/& --port $port/; s/8443/$api/; s/8886/$staging/
      s/iotctl sim expresslink/& --broker-port $port --staging localhost:$staging/" >readme.sh
  [ "$(grep -c '^iotctl' readme.sh)" -gt 25 ]
  # a prompt gives the number of a job that has ended to the next one, a script may not: %1 is then another
  # shellcheck disable=SC2016 # for that script to expand
  echo 'for job in $(jobs -p); do kill "$job" 2>/dev/null; done; true' >>readme.sh
  # -m: jobs as at a prompt
  timeout 200 bash -m readme.sh >readme.out 2>readme.err </dev/null 3>&- || { cat readme.err; return 1; }
  cat readme.err
  # what it fails with is what it says that fails: one update; and stopping what runs
  [ "$(grep -c '^iotctl: .*did not take update' readme.err)" = 1 ]
  not grep -E 'command not found|unknown|unexpected argument|see .iotctl .*--help' readme.err
  [ "$(iotctl device list --query length)" = 3 ]
  [ "$(iotctl device show pump-0001 --query .firmware)" = 1.1.0 ]
  [ "$(iotctl config history pump-0001 --query '.[0].author')" = 'operator bench' ]
}
