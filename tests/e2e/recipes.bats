#!/usr/bin/env bats
# shellcheck disable=SC2154 # what common.bash shares
# The recipes of RECIPES.md, as printed: each one's blocks are one script, run in a home with the fleet that the page describes.
# A test has the name of its recipe.

setup() {
  load common
  common_setup
  page=$BATS_TEST_DIRNAME/../../RECIPES.md
}

teardown() {
  common_teardown
}

titles() { sed -n 's/^## //p' "$page"; }

# The recipe that this test is named after, as ./recipe.sh.
take_recipe() {
  awk -v title="## $BATS_TEST_DESCRIPTION" '/^## / {mine = $0 == title} /^```/ {inside = mine && $0 == "```sh"; next} inside' \
    "$page" >recipe.sh
  [ -s recipe.sh ]
}

recipe() { # CODE: it ends with that
  expect "$1" timeout 90 bash -euo pipefail recipe.sh
}

start_recipe() { # in the background
  timeout 90 bash -euo pipefail recipe.sh >recipe.out 2>recipe.err </dev/null 3>&- &
  recipe_pid=$!
  pids+=("$recipe_pid")
}

recipe_ends() { # CODE
  local got=0
  wait "$recipe_pid" || got=$?
  [ "$got" -eq "$1" ] || { printf 'ended with %s, not %s:\n%s\n' "$got" "$1" "$(<recipe.err)" >&2; return 1; }
}

# The fleet of the page. With devices named, these are connected.
pumps() { # NAME...
  local name
  start_fleet
  for name in canary beta; do
    iotctl group create "$name" >/dev/null
  done
  for name in pump-0001 pump-0002 pump-0003; do
    make_device "$name"
  done
  iotctl group add canary pump-0001 >/dev/null
  iotctl group add beta pump-0002 pump-0003 >/dev/null
  [ $# -gt 0 ] || return 0
  firmware 1.0.0 pump-1.0.0.bin --size 16k
  firmware 1.1.0 pump-1.1.0.bin --size 16k
  for name; do
    start_device "$name" --image pump-1.0.0.bin
  done
  for name; do
    until_true 20 listens "$name"
  done
}

# Connected and subscribed: without a subscription the outcome is "not-listening".
listens() { iotctl -q command send "$1" --timeout 2s >/dev/null; }
runs() { device_says "$1" .firmware "$2"; } # NAME VERSION

@test "every recipe has a test, and every test a recipe" {
  grep -c '' <(titles)
  diff <(titles) <(sed -n 's/^@test "\(.*\)" {$/\1/p' "$BATS_TEST_FILENAME" | tail -n +2)
}

# The page's operator, by the recipe before.
make_ci() {
  local mine=$BATS_TEST_DESCRIPTION
  pumps
  iotctl serve --stop
  iotctl serve --detach --api-port "$(free_port)"
  BATS_TEST_DESCRIPTION='An operator for CI, who may do what CI does'
  take_recipe
  recipe 0
  BATS_TEST_DESCRIPTION=$mine
  take_recipe
}

in_ci() { # COMMAND...: in a home that has nothing
  mkdir -p ci
  (cd ci && exec env HOME="$work/ci" XDG_CONFIG_HOME="$work/ci/config" XDG_DATA_HOME="$work/ci/data" \
    XDG_STATE_HOME="$work/ci/state" "$@")
}

@test "An operator for CI, who may do what CI does" {
  make_ci
  [ "$(stat -c %a ci.profile)" = 600 ]
  fault 5 'iot:CreateThing' in_ci iotctl --profile ../ci.profile device create pump-0009
  fault 5 'iot:CreateJob' in_ci iotctl --profile ../ci.profile job create j ../ci.json --to pump-0001
  fault 5 'iotctl:CreatePsk' in_ci iotctl --profile ../ci.profile psk create pump-0001
  iotctl device create tram-1 --type pump >/dev/null
  echo '{}' >ci/c.json
  fault 5 'iot:DescribeThing' in_ci iotctl --profile ../ci.profile config set c.json --to tram-1
  expect 0 in_ci iotctl --profile ../ci.profile subscribe 'pump/+/state' --timeout 100ms
  expect 5 in_ci iotctl --profile ../ci.profile publish pump/pump-0001/command -m x
}

@test "In a CI job, with nothing but that operator's profile" {
  make_ci
  expect 0 in_ci env CI_PROFILE="$(<ci.profile)" bash -euo pipefail ../recipe.sh
  [[ $out == *pump-0002*1* ]]
  [ ! -e ci/ci.profile ]
  [ "$(iotctl config history pump-0002 --query '.[0].author')" = 'operator ci' ]
  iotctl operator revoke ci >/dev/null
  expect 5 in_ci env CI_PROFILE="$(<ci.profile)" bash -euo pipefail ../recipe.sh
  [ ! -e ci/ci.profile ]
}

@test "An update in waves" {
  take_recipe
  pumps pump-0001 pump-0002 pump-0003
  recipe 0
  for name in pump-0001 pump-0002 pump-0003; do
    until_true 10 runs "$name" 1.1.0
  done
  [ "$(grep -c SUCCEEDED wave-beta.csv)" = 2 ]
  [ "$(iotctl ota list --query length)" = 2 ]

  # the canary does not survive: the others are not asked
  firmware 1.2.0 pump-1.1.0.bin --size 16k --crash
  recipe 1
  grep -q FAILED wave-canary.csv
  [ "$(iotctl ota list --query length)" = 3 ]
  runs pump-0002 1.1.0
}

@test "An update that may fail" {
  take_recipe
  pumps pump-0002 pump-0003
  recipe 0
  [[ $out == *'all devices have it'* ]]

  # what it does when it fails: under another name, some and none
  sed -i 's/release-1-1-0/release-1-2-0/; s/30m/60s/' recipe.sh
  firmware 1.2.0 pump-1.1.0.bin --size 16k --fail-test
  recipe 1
  [ "$(jq -c 'map(.thingName)' failed.json)" = '["pump-0002","pump-0003"]' ]
  # nobody is there: it is given up
  common_end_devices
  sed -i 's/release-1-2-0/release-1-3-0/; s/60s/500ms/' recipe.sh
  firmware 1.3.0 pump-1.1.0.bin --size 16k
  recipe 8
  [ "$(iotctl ota show release-1-3-0 --query .status)" = CANCELED ]
  iotctl codesign create other >/dev/null
  sed -i 's/release-1-3-0/release-1-4-0 --key other/' recipe.sh
  recipe 11
  [[ $out == *'nothing was sent'* ]]
}

common_end_devices() {
  local pid
  for pid in "${pids[@]}"; do
    kill "$pid"
    wait "$pid" || true
  done
  pids=()
}

@test "A configuration, until every device has it" {
  take_recipe
  pumps pump-0002 pump-0003
  recipe 0
  [ "$(iotctl config list --group beta --query 'map([.version, .acknowledgedVersion])' -o json | jq -c .)" = '[[1,1],[1,1]]' ]
  # one is away
  kill_device
  sed -i 's/60}/90}/; s/+ 60/+ 3/' recipe.sh
  recipe 8
  [[ $out == *pump-0003* ]]
}

@test "A configuration that nobody else has changed meanwhile" {
  take_recipe
  pumps
  recipe 0
  [ "$(iotctl config get pump-0001 --query .interval)" = 30 ]
  echo '{"interval": 5, "unit": "s"}' | iotctl config set - --to pump-0001 >/dev/null
  # another one is faster, between reading and setting
  make_wait 'config set'
  start_recipe
  until_true 20 test -e waits
  echo '{"interval": 7, "unit": "min"}' | iotctl config set - --to pump-0001 >/dev/null
  touch goes
  recipe_ends 0
  grep -q "'pump-0001'" recipe.err
  [ "$(iotctl config get pump-0001 -o json | jq -c 'del(.configVersion)')" = '{"interval":30,"unit":"min"}' ]
  [ "$(iotctl config history pump-0001 --query length)" = 4 ]
}

@test "A command, its answers, and once more for those that did not answer" {
  take_recipe
  pumps pump-0002
  # the other one is away, and stays so
  recipe 6
  [[ $out == pump-0003*not-connected* ]]
  [ "$(jq -r .outcome answers.jsonl | sort | xargs)" = 'answered not-connected' ]
  [ ! -e status.journal ]

  # it comes between the two calls; who answered is not asked again
  make_wait 'command send*--retry-failed'
  start_recipe
  until_true 20 test -e waits
  start_device pump-0003 --image pump-1.0.0.bin
  until_true 20 listens pump-0003
  local told
  told=$(grep -c command pump-0002.log)
  touch goes
  recipe_ends 0
  [ "$(jq -r '[.thingName, .outcome, .resumed // false] | join(" ")' answers.jsonl | sort | xargs)" = \
    'pump-0002 answered true pump-0003 answered false' ]
  [ "$(grep -c command pump-0002.log)" = "$told" ]
}

# make_wait PATTERN: the recipe's iotctl waits for the test before the call whose arguments match.
make_wait() {
  {
    echo "iotctl() { case \"\$*\" in ${1// /\\ }*) touch waits; until [ -e goes ]; do sleep 0.05; done ;; esac; command iotctl \"\$@\"; }"
    cat recipe.sh
  } >waiting.sh
  mv waiting.sh recipe.sh
}

@test "Wait for something that a device says" {
  take_recipe
  pumps pump-0001
  recipe 0
  [ "$(jq -c '[.topic, .payload.firmware]' state.jsonl)" = '["pump/pump-0001/state","1.1.0"]' ]
  iotctl serve --stop
  recipe 9 # there is nobody to subscribe at
}

@test "Wait until a device is there" {
  take_recipe
  pumps
  firmware 1.0.0 pump-1.0.0.bin --size 16k
  start_recipe
  until_true 10 grep -q 'and subscribed' tail.log
  start_device pump-0001 --image pump-1.0.0.bin
  recipe_ends 0
  until_true 10 device_says pump-0001 .connected true
  recipe 0
  kill_device
  until_true 10 device_says pump-0001 .connected false
  sed -i 's/5m/300ms/' recipe.sh
  recipe 8
}

@test "Who came and went, in a file" {
  take_recipe
  pumps pump-0001
  recipe 0
  [ "$(jq -r 'select(.event == "disconnected").device' presence.jsonl | head -n 1)" = pump-0001 ]
}

@test "Events of devices to files and programs" {
  take_recipe
  pumps
  recipe 0
  iotctl policy generate --layout aws --type pump >pump.policy
  iotctl policy create pump pump.policy >/dev/null
  iotctl policy attach pump --to pump-0001
  as pump-0001 mosquitto_pub -q 1 -t pump/pump-0001/event/alarm/high -m '{"t": 90}'
  as pump-0001 mosquitto_pub -q 1 -t pump/pump-0001/event/started -m now
  until_true 10 test -s events.jsonl
  [ "$(jq -c '[.device, .event, .payload]' alarms.jsonl)" = '["pump-0001","alarm/high",{"t":90}]' ]
  [ "$(jq -r .event events.jsonl)" = started ]
}

@test "Many messages from a file, none of them lost" {
  take_recipe
  pumps
  listen heard 'pump/+/notice'
  recipe 0
  until_true 10 heard heard '.topic == "pump/pump-0003/notice" and .payload.text == "maintenance on Monday"'
  [ "$(count_heard heard)" = 3 ]
  recipe 0 # all of them are known to be there
  [[ $out == *3* ]]
  # the broker is away, and comes back
  rm notices.journal
  iotctl serve --stop
  start_recipe
  until_true 20 test -s recipe.err
  iotctl serve --detach
  recipe_ends 0
  [ "$(wc -l <notices.journal)" = 4 ]
}

@test "Devices as CSV, and what they run" {
  take_recipe
  pumps pump-0001
  iotctl device update pump-0002 --attribute site=zurich >/dev/null
  recipe 0
  [ "$(head -n 1 devices.csv | cut -d, -f 1,2)" = thingName,alias ]
  [ "$(wc -l <devices.csv)" = 4 ]
  [ "$(grep -c unknown sites.csv)" = 2 ]
  grep -qx $'pump-0002,pump,zurich\r' sites.csv
  grep -qx $'pump-0001,1.0.0,true\r' firmware.csv
  [ "$(wc -l <firmware.csv)" = 3 ]
}

@test "Make a board a device" {
  take_recipe
  pumps
  recipe 10 # no board: it says so, three times
  iotctl sim expresslink --link ./board0 --broker-port "$port" 2>board0.log >/dev/null 3>&- &
  pids+=($!)
  until_true 20 test -e board0
  recipe 0
  [ "$out" = true ]
  [ "$(jq -r .alias board0.json)" = pump-0100 ]
  recipe 0
  [ "$(jq -r .changed board0.json)" = false ]
  [ "$(iotctl device list --query length)" = 4 ]
}

in_second() { [ "$(iotctl --fleet second device show "$1" --query .connected)" = true ]; }

@test "Move devices to a new endpoint or root CA" {
  take_recipe
  pumps pump-0001 pump-0002 pump-0003
  start_second
  export NEW_ENDPOINT=localhost:$port2
  cp "$fleet/ca/root.pem" right.pem
  mv root2.pem new.pem
  cp right.pem root2.pem
  recipe 11 # not the root of the broker there: nobody is told
  [ "$(iotctl job list --query length)" = 0 ]
  cp new.pem root2.pem
  recipe 0
  [ "$(grep -c SUCCEEDED move-beta.csv)" = 2 ]
  for name in pump-0001 pump-0002 pump-0003; do
    until_true 20 in_second "$name"
    cmp "$name/ca.pem" root2.pem
  done
  recipe 0 # and the same journals know that it is done
  [ "$(iotctl job list --query length)" = 2 ]
}

@test "Check policies before they are used" {
  take_recipe
  mkdir policies
  iotctl policy generate --layout aws --type pump >policies/pump.json
  recipe 0
  [ ! -e scratch ]
  # one that allows too much is found by the linter; one that allows the wrong thing by the questions
  jq '.Statement[0].Resource = "*"' policies/pump.json >policies/wide.json
  recipe 11
  rm -r scratch policies/wide.json
  sed -i 's,/event/,/happening/,' policies/pump.json
  recipe 1
}

@test "Check a layout, and that the policy is the one it asks for" {
  take_recipe
  iotctl init demo >/dev/null
  mkdir layouts policies
  iotctl layout show aws -o json | jq '.name = "mine"' >layouts/mine.json
  iotctl policy generate --layout layouts/mine.json --type pump >policies/mine.json
  recipe 0
  sed -i 's,/event/,/happening/,' policies/mine.json
  recipe 1
  jq 'del(.roles.command)' layouts/mine.json >broken && mv broken layouts/mine.json
  recipe 11
}

@test "Certificates that end within 90 days" {
  take_recipe
  iotctl init demo >/dev/null
  make_device pump-0001
  recipe 0
  [ -z "$out" ]
  iotctl device create pump-0002 --policy device --days 30 --out ./pump-0002 >/dev/null
  iotctl device create pump-0003 --policy device --days 30 --out ./pump-0003 >/dev/null
  iotctl device disable pump-0003 >/dev/null
  recipe 1
  [[ $out == pump-0002,20??-??-??T* ]]
  [ "$(wc -l <expiring.csv)" = 1 ]
}

@test "Secrets, never in an argument" {
  take_recipe
  iotctl init demo >/dev/null
  make_device pump-0001
  WIFI_PASSWORD='correct horse' recipe 0
  [ "$(stat -c %a pump-0001.psk token wifi | sort -u)" = 600 ]
  [ "$(<wifi)" = 'correct horse' ]
  [ "$(iotctl jwt inspect token --query .audience)" = factory ]
  secret=$(cut -d: -f 2 pump-0001.psk)
  [ ${#secret} = 64 ]
  [[ $out$err != *"$secret"* ]]
  [[ $out == *pump-0001* ]]
}

@test "Small devices may run what was signed, and nothing else" {
  take_recipe
  iotctl init demo >/dev/null
  make_device pump-0001
  firmware 1.1.0 pump-1.1.0.bin --size 16k
  recipe 0
  recipe 0
  [ "$(iotctl attest policy list --device pump-0001 --query '.[].policyName')" = pumps ]
  [ "$(iotctl attest policy show pumps --query '.policyDocument | fromjson | .components[0].minVersion')" = 1.1.0 ]
}

@test "A backup each night, and proof that it is one" {
  take_recipe
  pumps
  recipe 0
  [ "$(stat -c %a backups backups/demo-* | sort -u)" = 700 ]
  [ ! -e trial ]
  cp -a backups/demo-* backups/demo-old
  touch -d '40 days ago' backups/demo-old
  recipe 4 # the same night once more: nothing is overwritten
  mv backups/demo-20* backups/other
  recipe 0
  [ ! -e backups/demo-old ]
  # a copy that is damaged is none
  mv backups/demo-20* elsewhere
  cat >iotctl-backup.sh <<'END'
iotctl() { command iotctl "$@" && { [ "$1" != backup ] || truncate -s 5000 "$2/registry.db"; }; }
END
  cat iotctl-backup.sh recipe.sh >damaged.sh && mv damaged.sh recipe.sh
  recipe 1
  [[ $err == *'is damaged'* ]]
}
