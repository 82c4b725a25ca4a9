#!/usr/bin/env bats
# Devices are given another endpoint and root CA, in the field and on a port. What they have must never stop to work: a
# wrong one, a kill of either side, and they are back where they were.

setup() {
  load common
  load board
  common_setup
}

teardown() {
  common_teardown
}

two_devices() {
  make_device pump-0001
  make_device pump-0002
  iotctl group create pumps >/dev/null
  iotctl group add pumps pump-0001 pump-0002 >/dev/null
  firmware 1.0.0 fw.bin --size 16k
}

update() { iotctl device trust update "$@"; }
at() { [ "$(iotctl --fleet "$1" device show "$2" --query .connected)" = true ]; } # FLEET DEVICE: is it connected there?
device_port() { jq .port "$1/device.json"; }
state_is() { [ "$(jq -r .state "$1/sim/trust.json" 2>/dev/null || echo none)" = "$2" ]; }

@test "devices of a group move to another endpoint with another root, and the same call again finds them there" {
  start_fleet
  two_devices
  start_second
  start_device pump-0001 --image fw.bin
  start_device pump-0002 --image fw.bin
  combined 0 update --group pumps --endpoint "localhost:$port2" --root-ca root2.pem --dry-run -o json
  [ "$(jq -r '.devices[0].way' <<<"$output")" = job ]
  [ "$(iotctl job list --query length)" = 0 ]
  expect 0 update --group pumps --endpoint "localhost:$port2" --root-ca root2.pem --wait --timeout 60s --resume journal -o json
  [ "$(jq -c '[.devices[].status]' <<<"$out")" = '["SUCCEEDED","SUCCEEDED"]' ]
  for name in pump-0001 pump-0002; do
    until_true 20 at second "$name"
    [ "$(device_port "$name")" = "$port2" ]
    cmp "$name/ca.pem" root2.pem
    [ ! -e "$name/sim/trust.json" ]
    [ ! -e "$name/sim/root-new.pem" ]
  done
  expect 0 update --group pumps --endpoint "localhost:$port2" --root-ca root2.pem --wait --timeout 60s --resume journal -o json
  [ "$(jq .changed <<<"$out")" = false ]
  [ "$(iotctl job list --query length)" = 1 ]
  fault 4 "of another endpoint" update pump-0001 --endpoint "localhost:$port2" --root-ca root2.pem --wait --resume journal
}

@test "a root that is wrong is found before anybody is told; forced, all stay where they were" {
  start_fleet
  two_devices
  start_second
  make_root wrong
  start_device pump-0001 --image fw.bin
  start_device pump-0002 --image fw.bin
  fault 11 "not to be believed" update pump-0001 --endpoint "localhost:$port2" --root-ca wrong.pem --wait
  fault 11 "not to be believed" update pump-0001 --endpoint "localhost:$port2" --wait
  fault 11 "not to be believed" update pump-0001 --endpoint "127.0.0.1:$port2" --root-ca root2.pem --wait
  fault 9 "cannot connect" update pump-0001 --endpoint "localhost:$(free_port)" --root-ca root2.pem --wait
  fault 2 "is not the certificate of a CA" update pump-0001 --root-ca pump-0001/certificate.pem --wait
  fault 2 "no endpoint" update pump-0001 --endpoint "localhost/x" --wait
  fault 2 "nothing is new" update pump-0001 --wait
  fault 3 nobody update nobody --root-ca root2.pem --force
  [ "$(iotctl job list --query length)" = 0 ]
  expect 1 update --group pumps --endpoint "localhost:$port2" --root-ca wrong.pem --force --wait --timeout 60s -o json
  [ "$(jq -c '[.devices[].status]' <<<"$out")" = '["FAILED","FAILED"]' ]
  [[ $(jq -r '.devices[0].reason' <<<"$out") == "kept the old trust: "* ]]
  for name in pump-0001 pump-0002; do
    until_true 20 at demo "$name"
    [ "$(device_port "$name")" = "$port" ]
    cmp "$name/ca.pem" "$fleet/ca/root.pem"
    [ ! -e "$name/sim/trust.json" ]
  done
}

@test "a rollout that goes wrong is stopped at the first failures" {
  start_fleet
  two_devices
  make_root wrong
  start_device pump-0001 --image fw.bin # the other one is away
  expect 7 update --group pumps --root-ca wrong.pem --force --wait --timeout 60s --max-failures 1 -o json
  [[ $err == *"did not take the new trust"* ]]
  job=$(jq -r '.jobs[0]' <<<"$out")
  [ "$(iotctl job show "$job" --query .job.status)" = CANCELED ]
  start_device pump-0002 --image fw.bin
  until_true 20 at demo pump-0002
  not logged pump-0002.log 'new trust'
}

@test "a device that is killed while it tries and before it has reported connects afterwards, and the job ends" {
  start_fleet
  make_device pump-0001
  firmware 1.0.0 fw.bin --size 16k
  start_second
  iotctl --fleet second serve --stop >/dev/null
  start_device pump-0001 --image fw.bin
  until_true 20 at demo pump-0001
  update pump-0001 --endpoint "localhost:$port2" --root-ca root2.pem --force --id move >/dev/null 2>&1
  until_true 20 state_is pump-0001 trying
  kill_device -9
  iotctl serve --stop >/dev/null # where it is to report, so that it cannot
  iotctl --fleet second serve --detach
  start_device pump-0001 --image fw.bin
  until_true 20 state_is pump-0001 proved
  kill_device -9
  cmp pump-0001/ca.pem "$fleet/ca/root.pem"
  iotctl serve --detach
  start_device pump-0001 --image fw.bin
  until_true 20 at second pump-0001
  cmp pump-0001/ca.pem root2.pem
  [ "$(device_port pump-0001)" = "$port2" ]
  [ "$(iotctl job show iotctl-trust-move --query .job.status)" = COMPLETED ]
  [ "$(iotctl job show iotctl-trust-move --query .job.jobProcessDetails.numberOfSucceededThings)" = 1 ]
}

@test "the command is killed between journal and job: the same call makes one job" {
  start_fleet
  two_devices
  start_second
  start_device pump-0001 --image fw.bin
  start_device pump-0002 --image fw.bin
  for delay in 0.02 0.05 0.1 0.2; do
    iotctl device trust update --group pumps --new-fleet second --wait --resume journal >/dev/null 2>&1 &
    pid=$!
    sleep "$delay" # wherever it is by then
    kill -9 $pid 2>/dev/null || true
    wait $pid || true
  done
  expect 0 update --group pumps --new-fleet second --wait --timeout 60s --resume journal -o json
  [ "$(iotctl job list --query length)" = 1 ]
  [ "$(jq -c '[.devices[].status]' <<<"$out")" = '["SUCCEEDED","SUCCEEDED"]' ]
}

# --- ExpressLink modules ----------------------------------------------------------------------

module_of_fleet() {
  start_module board0
  iotctl provision --board expresslink --port ./board0 --name pump-0001 --type pump -q >/dev/null
}

at_command() { # LINE: the module's answer
  exec 9<>board0
  printf '%s\n' "$1" >&9
  timeout 10 head -n 1 <&9
  exec 9>&-
}

@test "a module on its port: moved, and set back where that fails" {
  start_fleet
  module_of_fleet
  start_second
  make_root wrong
  board() { update --board expresslink --port ./board0 "$@"; }
  fault 11 "not to be believed" board --endpoint "localhost:$port2" --root-ca wrong.pem
  combined 11 board --endpoint "localhost:$port2" --root-ca wrong.pem --force
  [[ $output == *"keeps its old endpoint and root CA"*"ERR14 4"* ]]
  [ "$(iotctl board probe --port ./board0 --query .endpoint)" = localhost ]
  device_says pump-0001 .connected true
  fault 2 "in the field" board --root-ca root2.pem --wait
  fault 2 "port" update --board expresslink --root-ca root2.pem

  # Here nobody sees it in the other fleet: its own word.
  combined 0 board --endpoint "localhost:$port2" --root-ca root2.pem --dry-run -o json
  combined 0 board --new-fleet second -o json
  [ "$(jq -c '[.changed, (.proof | length), (.notProved | length)]' <<<"$output")" = '[true,2,0]' ]
  at second pump-0001
  combined 0 board --new-fleet second -o json -q
  [ "$(jq .changed <<<"$output")" = false ]
}

@test "an LTE module on its port: the new root CA beside the old, back where that fails, and the old one gone" {
  start_fleet
  board_kind=sim7600
  start_board lte
  iotctl provision --board sim7600 --port ./lte --name pump-0001 -q >/dev/null
  start_second
  make_root wrong
  roots() { jq -r '[.files | keys[] | select(startswith("ca_"))] | length' lte.state/state.json; }
  holds_root() { [ "$(jq -r '.files[.tls.cacert]' lte.state/state.json)" = "$(cat "$1")" ]; }
  combined 11 update --board sim7600 --port ./lte --endpoint "localhost:$port2" --root-ca wrong.pem --force
  [[ $output == *"keeps its old endpoint and root CA"*"CMQTT 32"* ]]
  holds_root "$fleet/ca/root.pem"
  [ "$(roots)" = 1 ]
  combined 0 update --board sim7600 --port ./lte --new-fleet second -o json
  holds_root root2.pem
  [ "$(roots)" = 1 ]
  [ "$(jq -r '.files | keys[] | select(startswith("port_"))' lte.state/state.json)" = "port_$port2.pem" ]
  combined 0 update --board sim7600 --port ./lte --new-fleet second -o json -q
  [ "$(jq .changed <<<"$output")" = false ]
}

lost_twice() { [ "$(grep -c 'connection lost' board0.log)" = 2 ]; }

@test "boards of other kinds: one that keeps its old root CA beside the new, one that is started and has to come" {
  start_fleet
  cp "$BATS_TEST_DIRNAME/zephyr-app.json" app.json
  for board_kind in sim7600 zephyr; do start_board "$board_kind"; done
  iotctl provision --board sim7600 --port ./sim7600 --name s7-1 --type pump --apn internet -q >/dev/null
  iotctl provision --board ./app.json --port ./zephyr --name z-1 --type pump -q >/dev/null
  start_second
  make_root wrong
  for board in 'sim7600 sim7600' './app.json zephyr'; do
    read -r kind name <<<"$board"
    combined 11 update --board "$kind" --port "./$name" --endpoint "localhost:$port2" --root-ca wrong.pem --force \
      --new-fleet second --connect-timeout 5s
    [[ $output == *"keeps its old endpoint and root CA"* ]]
    [ "$(iotctl board probe --board "$kind" --port "./$name" --query .endpoint)" = localhost ]
    combined 0 update --board "$kind" --port "./$name" --new-fleet second --connect-timeout 30s -o json -q
    [ "$(jq -r '.proof[-1]' <<<"$output")" = 'the broker saw it connect' ]
    # and once more: what can be read says that it is done, what cannot is proved again
    expect 0 update --board "$kind" --port "./$name" --new-fleet second --connect-timeout 30s -q
  done
  at second z-1
  grep -q -F "$(sed -n 3p root2.pem)" sim7600.state/state.json
  not grep -q -F "$(sed -n 3p "$fleet/ca/root.pem")" sim7600.state/state.json # the old root is gone
}

@test "a module in the field: a root CA that the old one signed, by an update of type 107" {
  start_fleet
  module_of_fleet
  fault 2 "no endpoint" update pump-0001 --endpoint localhost --root-ca "$fleet/ca/root.pem" --wait
  make_root next
  fault 11 "did not sign" update pump-0001 --root-ca next.pem --wait
  # Even forced it is the module that refuses it.
  combined 1 update pump-0001 --root-ca next.pem --force --wait --timeout 60s
  [[ $output == *"signature check failed"* ]]

  # The next root, signed by the old one; the broker shows a chain that both verify.
  openssl req -new -key next.key -subj /CN=next -out next.csr
  openssl x509 -req -in next.csr -CA "$fleet/ca/root.pem" -CAkey "$fleet/ca/root.key" -CAcreateserial -days 100 \
    -extfile <(printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n') -out cross.pem 2>/dev/null
  fault 11 "not to be believed" update pump-0001 --root-ca cross.pem --wait # the broker does not yet
  iotctl serve --stop >/dev/null
  sign_server "$fleet/ca" next
  cat cross.pem >>"$fleet/ca/server.pem"
  iotctl serve --detach
  until_true 10 logged board0.log 'connection lost'
  [[ $(at_command AT+CONNECT) == "OK 1 CONNECTED"* ]] # with the old root
  expect 0 update pump-0001 --root-ca cross.pem --wait --timeout 60s -o json
  [[ $(jq -r '.jobs[0]' <<<"$out") == AFR_OTA-* ]]
  [ "$(jq -r '.devices[0].status' <<<"$out")" = SUCCEEDED ]
  [ "$(jq '.notProved | length' <<<"$out")" = 1 ]
  openssl x509 -in board0.state/root-ca.pem -noout >/dev/null
  iotctl serve --stop >/dev/null
  iotctl serve --detach
  until_true 10 lost_twice
  [[ $(at_command AT+CONNECT) == "OK 1 CONNECTED"* ]] # with the new one
  device_says pump-0001 .connected true
}
