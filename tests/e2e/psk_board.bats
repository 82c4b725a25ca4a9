#!/usr/bin/env bats
# shellcheck disable=SC2154 # $work and others come from common.bash
# Boards that share a secret with the fleet: the real OpenOCD writes it into a simulated chip, and a device with exactly what
# is in that chip's flash gets in at the gateway.
load common
load gateway

setup() {
  common_setup
  swdsim=${IOTCTL_BUILD:-$IOTCTL_BIN/..}/tests/swdsim
  image=$BATS_TEST_DIRNAME/../lib/iotc_image.py
}

teardown() {
  common_teardown
}

power_on() { # [options of swdsim]: a chip whose flash is ./flash behind the probe ./probe
  rm -f probe
  "$swdsim" --chip nrf52 --flash flash --link probe "$@" >chip.log 2>&1 3>&- &
  chip_pid=$!
  pids+=("$chip_pid")
  until_true 10 logged chip.log ready
}

provision() { iotctl provision --board "${board:-tfm-small}" --port buspirate:./probe "$@"; }
held() { python3 "$image" flash 0x7e000 >image 2>/dev/null && grep -q '^8 ' image; } # the secret is in the flash
item() { awk -v tag="$1" '$1 == tag { print $2 }' image; }                             # TAG: hex
text_item() { python3 -c 'import sys; print(bytes.fromhex(sys.argv[1]).decode())' "$(item "$1")"; } # TAG

# What firmware finds, as the files of a software device.
read_back() { # NAME
  held
  (umask 077 && echo "$(text_item 7):$(item 8)" >"$1.psk" && echo "$(text_item 9):$(item 10)" >"$1.iak")
}
secrets_left() { find "$XDG_STATE_HOME" -path '*/keys/*' | wc -l; }

@test "a board for Trusted Firmware-M gets its secrets over SWD; what is in its flash gets in at the gateway" {
  start_picture
  iotctl device create sensor-1 --type sensor >/dev/null
  iotctl gateway add gw-1 sensor-1 >/dev/null
  start_gateway
  iotctl board show tfm-small --query .file | jq '.prove = ["appear"] | .implementationId = ("ab" * 32)' >appear.json
  board=./appear.json
  power_on

  # it is started, and comes by itself: by the gateway
  provision --name sensor-1 --endpoint gw.example --endpoint-port "$psk_port" --transcript openocd.log --connect-timeout 60s \
    -o json >record 2>provision.err 3>&- &
  provisioning=$!
  pids+=("$provisioning")
  until_true 60 held
  read_back sensor-1
  [ "$(text_item 1)" = sensor-1 ]
  [ "$(text_item 5)" = gw.example ]
  [ "$(text_item 12)" = "$psk_port" ]
  [ "$(text_item 7)" = sensor-1 ]
  [ "$(item 8 | wc -c)" = 65 ]
  [ "$(text_item 9)" = sensor-1.attest ]
  [ "$(item 11)" = "$(printf 'ab%.0s' {1..32})" ]
  start_small_device sensor-1 -n 300 --interval 50ms
  until_true 10 device_heard sensor-1 '.event == "accepted"'
  wait "$provisioning" || { cat provision.err; return 1; }
  [ "$(jq -r .keyOrigin record)" = host ]
  [ "$(jq -r .exposedOnWire record)" = true ]
  [ "$(jq -r .pskIdentity record)" = sensor-1 ]
  [ "$(jq -r 'has("certificateId")' record)" = false ]
  [[ $(jq -r '.proof | join(",")' record) == *'saw it connect'* ]]
  [ "$(secrets_left)" = 0 ]

  # nobody tells the secret: not the record, the transcript, the errors, nor the registry in clear text
  for secret in "$(item 8)" "$(item 10)"; do
    not grep -q -i -F "$secret" record openocd.log provision.err gateway.out gateway.err
    python3 -c 'import sys; sys.exit(bytes.fromhex(sys.argv[1]) in open(sys.argv[2], "rb").read())' "$secret" "$fleet/registry.db"
    not grep -r -q -a -i "$secret" "$fleet" "$XDG_STATE_HOME"
  done

  # once more, nothing changes
  board=tfm-small provision --name sensor-1 --endpoint gw.example --endpoint-port "$psk_port" -q -o json >again
  [ "$(jq -r .changed again)" = false ]
  read_back again
  cmp -s again.psk sensor-1.psk
}

@test "a secret that was revoked is not used again, and a new one is made only on request" {
  start_picture
  iotctl device create sensor-1 --type sensor >/dev/null
  iotctl gateway add gw-1 sensor-1 >/dev/null
  start_gateway
  power_on
  provision --name sensor-1 -q -o json >record
  [[ $(jq -c .notProved record) == *'that it can use its secret'* ]]
  read_back sensor-1
  small_device sensor-1 -n 2 --interval 10ms -q
  iotctl psk revoke sensor-1 >/dev/null
  fault 5 'does not let' small_device sensor-1 -n 2 -q
  fault 4 '--replace' provision --name sensor-1
  provision --name sensor-1 --replace -q >/dev/null
  read_back new
  not cmp -s new.psk sensor-1.psk
  small_device new -n 2 --interval 10ms -q
  fault 2 'group that the device joins' provision --name sensor-1 --policy device
}
