#!/usr/bin/env bats
# shellcheck disable=SC2154 # what common.bash shares
# Every verb of the command tree from a second home that has nothing but an operator's profile: it works, or it says in one line
# that it belongs to the fleet's own machine. A verb that is in neither list fails the last test.

setup() {
  load common
  common_setup
}

teardown() {
  common_teardown
}

# away COMMAND...: in the other home, which knows nothing of the fleet.
away() {
  (cd away && exec env HOME="$work/away" XDG_CONFIG_HOME="$work/away/config" XDG_DATA_HOME="$work/away/data" \
    XDG_STATE_HOME="$work/away/state" IOTCTL_PROFILE="$work/boss.profile" "$@")
}

# works VERB... [-- ARGUMENT...]: done, and says so with exit code 0.
works() {
  split "$@"
  expect 0 away iotctl -q "${verb[@]}" "${rest[@]}"
}

# stays VERB... [-- ARGUMENT...]: not from elsewhere; one line says so, and nothing was changed.
stays() {
  split "$@"
  fault 2 "this is done on the machine of a local fleet only" away iotctl -q "${verb[@]}" "${rest[@]}"
}

split() {
  verb=() rest=()
  while [ $# -gt 0 ] && [ "$1" != -- ]; do
    verb+=("$1")
    shift
  done
  [ $# -eq 0 ] || rest=("${@:2}")
}

elsewhere() { # a fleet with its API, an operator who may do all, a device that is connected, and the other home
  port=$(free_port)
  iotctl init demo --port "$port" >/dev/null
  iotctl serve --detach --api-port "$(free_port)"
  iotctl -q operator create boss --role admin >/dev/null
  mkdir away
  make_device pump-0001
  firmware 1.0.0 v1.bin --size 16k
  start_device pump-0001 --image v1.bin
  until_true 20 iotctl -q command send pump-0001 --timeout 2s
}

@test "the registry, from elsewhere" {
  elsewhere
  works device create -- pump-0002 --type pump --policy device --out ./pump-0002
  [ -s away/pump-0002/private.key ]
  works device list
  [[ $out == *pump-0001*pump-0002* ]]
  works device show -- pump-0001 --query .connected
  [ "$out" = true ]
  works device update -- pump-0002 --alias two
  works device rotate -- two --out ./again
  cp "$fleet/ca/root.pem" away/root.pem
  works device trust update -- pump-0001 --root-ca root.pem --wait --timeout 30s
  works device disable -- pump-0002
  works device enable -- pump-0002
  works type create -- tram
  works type list
  works type show -- tram
  works type deprecate -- tram
  works group create -- beta
  works group list
  works group show -- beta
  works group add -- beta pump-0001 two
  works group members -- beta --query length
  [ "$out" = 2 ]
  works group remove -- beta pump-0002
  works policy generate -- --layout aws
  printf '%s' "$out" >away/p.json
  works policy lint -- p.json
  works policy create -- p p.json
  works policy update -- p p.json
  works policy show -- p
  works policy list
  works policy versions -- p
  works policy attach -- p --to pump-0001
  works policy targets -- p
  works policy test -- pump-0001 connect:pump-0001 --query '.[].authDecision'
  [ "$out" = ALLOWED ]
  works policy detach -- p --to pump-0001
  works policy delete -- p --version 1
  works cert list -- --query '.[0].certificateId'
  works cert show -- "$out"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout own.key -out away/own.pem -subj /CN=x \
    2>/dev/null
  works cert register -- own.pem --without-ca --query .certificateId
  works cert update -- "$out" INACTIVE
  works cert delete -- "$(openssl x509 -in away/own.pem -outform DER | sha256sum | cut -d ' ' -f 1)"
  works ca list
  works ca root
  diff - "$fleet/ca/root.pem" <<<"$out"
  works ca trust -- own.pem --query .certificateId
  works ca distrust -- "$out"
  works api -- DescribeThing thingName=pump-0001
  works group delete -- beta
  works device delete -- pump-0002 --yes
  works type delete -- tram # for longer than five minutes it was not in use
  [ "$(iotctl device list --query '.[].thingName')" = pump-0001 ]
  [ ! -e away/data/iotctl ]
}

@test "messages, configuration, state and jobs, from elsewhere" {
  elsewhere
  works publish -- pump/pump-0001/x -m y
  works subscribe -- 'pump/#' --timeout 100ms
  works events tail -- --timeout 100ms
  stays events route add -- rest --default --file rest.jsonl
  stays events route list
  stays events route show -- rest
  stays events route check
  stays events route remove -- rest
  works command send -- pump-0001 -m '{"command": "status"}' --wait -o jsonl
  [[ $out == *'"outcome":"answered"'* ]]
  works layout list
  works layout show -- buses
  jq '.name = "mine"' <<<"$out" >away/mine.json
  works layout check -- mine.json
  works layout topics -- pump-0001
  stays layout add -- mine.json
  stays layout use -- buses --type pump

  echo '{"interval": 60}' >away/config.json
  works config set -- config.json --to pump-0001
  until_true 10 acknowledged 1
  works config list
  works config get -- pump-0001 --query .interval
  [ "$out" = 60 ]
  echo '{"interval": 30}' >away/config.json
  works config set -- config.json --to pump-0001
  works config diff -- pump-0001
  works config rollback -- pump-0001
  works config history -- pump-0001 --query '.[].author'
  [ "$(sort -u <<<"$out")" = 'operator boss' ] # who that is was said by the key
  echo '{"type": "object"}' >away/schema.json
  stays config schema set -- pump schema.json
  iotctl config schema set pump away/schema.json >/dev/null
  works config schema show -- pump

  works state list -- pump-0001 --query '.[0].state.firmware'
  [ "$out" = 1.0.0 ]
  works state watch -- pump-0001 --timeout 100ms
  works shadow update -- pump-0001 --desired '{"a": 1}'
  works shadow get -- pump-0001 --query .state.desired.a
  works shadow list -- pump-0001
  works shadow watch -- pump-0001 --timeout 100ms
  works shadow delete -- pump-0001

  make_device pump-0003 # away: its jobs wait
  echo '{}' >away/job.json
  works job create -- one job.json --to pump-0003
  works job list
  works job show -- one
  works job executions -- one --query '.[].jobExecutionSummary.status'
  [ "$out" = QUEUED ]
  works job cancel-one -- one pump-0003
  works job create -- two job.json --to pump-0003
  works job cancel -- two
  works job delete -- two --yes --force
}

acknowledged() { [ "$(iotctl config list pump-0001 --query '.[].acknowledgedVersion')" = "$1" ]; }

@test "updates, from elsewhere" {
  elsewhere
  make_device pump-0002
  firmware 1.1.0 away/v2.bin --size 16k
  works image inspect -- v2.bin
  openssl ecparam -genkey -name prime256v1 -noout -out away/sign.key
  openssl ec -in away/sign.key -pubout -out away/sign.pub 2>/dev/null
  works image sign -- v2.bin --key ./sign.key --signature v2.sig
  works image verify -- v2.bin --key ./sign.pub --signature v2.sig
  works codesign public -- ./sign.key
  iotctl ota push away/v2.bin --to pump-0002 --id one >/dev/null
  works ota list -- --query '.[].updateId'
  [ "$out" = one ]
  works ota show -- one
  works ota doctor -- one
  works stream list -- --query '.[].streamId'
  works stream show -- "$out"
  fault 8 "update 'one' has not ended" away iotctl -q ota watch one --timeout 1s
  works ota cancel -- one --force
  works stream delete -- AFR_OTA-one
  works ota push -- v2.bin --to pump-0001 --key ./sign.key --verify-key ./sign.pub --id two
  works ota gc
  stays codesign create -- k2
  stays codesign list
  stays codesign certificate -- default
}

@test "gateways, and the end of a device, from elsewhere" {
  elsewhere
  make_device pump-0002
  works gateway create -- gw --out ./gw
  works gateway add -- gw pump-0002
  works gateway children -- gw
  works gateway remove -- gw pump-0002
  works device retire -- pump-0002 --yes
}

@test "small devices' secrets and tokens, from elsewhere" {
  elsewhere
  works psk create -- pump-0001
  works psk list -- --query '.[].identity'
  works psk show -- pump-0001
  works psk rotate -- pump-0001 --query .identity
  works psk revoke -- "$out"
  works psk delete -- "$(iotctl psk list --query '.[-1].identity')"
  (umask 077 && echo "own:$(openssl rand -hex 32)" >away/secrets)
  works psk import -- secrets --device pump-0001
  stays psk export -- --out all
  # nothing is made that could not be handed out
  stays psk create -- pump-0001 --out one --identity other
  stays psk rotate -- pump-0001 --reveal
  [ "$(iotctl psk list --query 'map(select(.identity == "other")) | length')" = 0 ]

  cp pump-0001/private.key away/device.key
  openssl ec -in away/device.key -pubout -out away/device.pub 2>/dev/null
  works jwt create -- --key ./device.key --audience factory
  echo "$out" >away/token
  works jwt inspect -- token
  works jwt add-key -- pump-0001 device.pub
  works jwt keys -- pump-0001 --query '.[].keyId'
  local key=$out
  works jwt verify -- token --device pump-0001 --audience factory
  works jwt remove-key -- pump-0001 "$key"

  works attest add-key -- pump-0001 device.pub
  works attest keys -- pump-0001 --query '.[].keyId'
  works attest remove-key -- pump-0001 "$out"
  echo '{"client": "any"}' >away/policy.json
  works attest policy create -- pumps policy.json
  works attest policy assign -- pumps --device pump-0001
  works attest policy list -- --query '.[].policyName'
  works attest policy show -- pumps
  works attest policy unassign -- pumps --device pump-0001
  works attest policy delete -- pumps
}

@test "what belongs to this machine is the same there, and what to the fleet's stays" {
  elsewhere
  # of this machine, or of files on it
  works version
  works completion -- bash
  works settings show
  works settings import -- ../boss.profile
  works settings set -- output json
  works board list
  works board kinds
  works board show -- stm32f1
  works sim firmware -- --version 2.0.0 --out v2.bin
  works init -- mine --keep-default --directory ./mine
  works backup -- --fleet ./mine --cloud local copy
  works restore -- copy ./other
  kill_device
  works sim device -- ../pump-0001 --image v2.bin --exit-after 1s
  works sim fleet -- .. --image v2.bin --exit-after 1s
  # of the fleet's machine
  stays backup -- b
  stays doctor
  stays operator list
  stays operator show -- boss
  stays operator create -- other --role admin
  stays operator rotate -- boss
  stays operator revoke -- boss
  stays device claim -- 0123456789AB
  stays device claims
  stays device unclaim -- 0123456789AB
  stays gateway export -- gw --identity ./gw --out ./export
  stays provision -- --port ./none
  fault 3 "this is done on the fleet's own machine" away iotctl serve --status
  fault 3 "this is done on the fleet's own machine" away iotctl serve --detach
  fault 3 "this is done on the fleet's own machine" away iotctl station run line.json --station line1 --port ./none
  for verb in report export close; do
    fault 3 "this is done on the fleet's own machine" away iotctl station "$verb" --station line1
  done
  [ "$(iotctl operator show boss --query .state)" = active ]
}

# Those that the tests above call in a line of their own, and those whose work is behind a serial port or in a file, without any
# fleet, and which other tests run.
by_hand() {
  printf '%s\n' 'ota watch' serve 'board probe' 'board image' 'sim expresslink' 'sim host' 'sim jwt-device' 'attest decode' 'attest policy make' \
    'attest verify' 'sim board' 'sim psk-device' 'station verify' 'station run' \
    'station report' 'station export' 'station close' 'gateway run'
}

@test "no verb was left out" {
  iotctl --help -o json |
    jq -r 'def leaves: if .commands then .commands[] | leaves else .path end; leaves | ltrimstr("iotctl ")' | sort >verbs
  [ "$(wc -l <verbs)" -gt 100 ]
  diff verbs <({ called; by_hand; } | sort -u)
}

called() {
  awk '$1 == "works" || $1 == "stays" {
    for (i = 2; i <= NF && $i != "--" && $i != "#"; i++) printf("%s%s", (i > 2 ? " " : ""), $i)
    print ""
  }' "$BATS_TEST_FILENAME"
}
