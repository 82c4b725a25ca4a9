#!/usr/bin/env bats
# A microcontroller on a debug probe becomes a device: the real OpenOCD, a simulated chip (tests/swdsim) behind a probe on a
# pseudo terminal, and at the end firmware in QEMU that boots from the flash that was written.

setup() {
  load common
  common_setup
  iotctl init demo --port 18883 >/dev/null
  swdsim=${IOTCTL_BUILD:-$IOTCTL_BIN/..}/tests/swdsim
}

teardown() {
  common_teardown
}

power_on() { # [options of swdsim]: a chip whose flash is ./flash behind the probe ./probe
  rm -f probe
  "$swdsim" --flash flash --link probe "$@" >chip.log 2>&1 3>&- &
  chip_pid=$!
  pids+=("$chip_pid")
  until_true 10 logged chip.log ready
}

power_off() {
  kill "$chip_pid"
  wait "$chip_pid" 2>/dev/null || true
}

provision() { iotctl provision --board stm32f1 --port buspirate:./probe "$@"; }
keys_left() { find "$XDG_STATE_HOME" -name '*.key' | wc -l; }
crc_of() { gzip -c | tail -c 8 | od -An -tx4 -N4 --endian=little | tr -d ' '; }

@test "key and certificate are made here, written, verified, and wiped here" {
  power_on
  provision --name pump-1 --type pump --transcript openocd.log -o json -q >record
  [ "$(jq -r .keyOrigin record)" = host ]
  [ "$(jq -r .exposedOnWire record)" = true ]
  [ "$(jq -r .uid record)" = 066bff3132374e4243225116 ]
  [ "$(jq -c .notProved record)" = '["that it can use its key","that it connects"]' ]
  [ "$(keys_left)" = 0 ]
  [ "$(sqlite3 "$fleet/registry.db" 'SELECT key_origin, exposed_on_wire FROM certificates')" = 'host|1' ]
  not grep -q -a 'PRIVATE KEY' openocd.log

  # once more, without its name: nothing changes
  provision -o json -q >again
  [ "$(jq -r .changed again)" = false ]
  [ "$(jq -r .thingName again)" = pump-1 ]
  [ "$(jq -r .certificateId again)" = "$(jq -r .certificateId record)" ]

  # another name is another device: only on request, and then the old identity is gone
  fault 4 "'pump-1' already" provision --name pump-2
  provision --name pump-2 --replace -q >/dev/null
  [ "$(iotctl cert list --query length)" = 1 ]
  device_says pump-2 '.certificates | length' 1
  [ "$(keys_left)" = 0 ]
}

@test "firmware in QEMU reads the identity back from the flash that was programmed" {
  power_on
  provision --name pump-1 -o json -q >record
  power_off
  clang --target=thumbv7m-none-eabi -mcpu=cortex-m3 -Os -ffreestanding -fno-builtin -c \
    "$BATS_TEST_DIRNAME/../swdsim/firmware/firmware.c" -o firmware.o
  arm-none-eabi-ld -T "$BATS_TEST_DIRNAME/../swdsim/firmware/link.ld" firmware.o -o firmware.elf
  arm-none-eabi-objcopy -O binary firmware.elf firmware.bin
  cp flash booted
  dd if=firmware.bin of=booted conv=notrunc status=none
  qemu-system-arm -M stm32vldiscovery -display none -serial stdio -monitor none \
    -device loader,file=booted,addr=0x08000000 >uart 2>qemu.err </dev/null 3>&- &
  pids+=($!)
  until_true 30 logged uart '^end'

  # what it says are the lengths and the CRCs of what it found
  iotctl api DescribeCertificate certificateId="$(jq -r .certificateId record)" | jq -r .certificateDescription.certificatePem >cert.pem
  openssl x509 -in cert.pem -outform DER -out cert.der
  openssl pkey -pubin -in "$fleet/codesign/default.pub" -outform DER -out signer.der
  openssl x509 -in "$fleet/ca/root.pem" -outform DER -out root.der
  grep -q "^item 01 0006 $(printf pump-1 | crc_of)" uart
  grep -q "^item 02 $(printf %04x "$(stat -c %s cert.der)") $(crc_of <cert.der)" uart
  grep -q "^item 04 $(printf %04x "$(stat -c %s signer.der)") $(crc_of <signer.der)" uart
  grep -q "^item 05 0009 $(printf localhost | crc_of)" uart
  grep -q "^item 06 $(printf %04x "$(stat -c %s root.der)") $(crc_of <root.der)" uart

  # and the key among it is that of the certificate: where it is follows from the lengths before it
  at=$((0x1e000 + 32))
  while read -r _ tag length _; do
    [ "$tag" != 03 ] || break
    at=$((at + 8 + (16#$length + 3) / 4 * 4))
  done <uart
  dd if=flash of=key.der bs=1 skip=$((at + 8)) count=$((16#$length)) status=none
  grep -q "^item 03 $length $(crc_of <key.der)" uart
  [ "$(openssl pkey -inform DER -in key.der -pubout)" = "$(openssl x509 -in cert.pem -noout -pubkey)" ]
}

@test "locks: shown to hold; permanent ones need a word" {
  power_on
  provision --name pump-1 --lock reversible -o json -q >record
  [[ $(jq -r '.locks[0]' record) == *"code-signing page (reversible)" ]]
  # an identity can still be exchanged, the code-signing key cannot
  provision --name pump-2 --replace -q >/dev/null
  iotctl codesign create other >/dev/null
  fault 10 'write-protected' provision --codesign other
  fault 2 '--yes-irreversible' provision --lock permanent </dev/null
  combined 2 iotctl provision --board expresslink --port ./probe --lock reversible
  [[ $output == *'cannot be locked'* ]]
}

@test "optional locks are put on by name only, and what cannot be is refused before the board is touched" {
  power_on
  provision --name pump-1 --lock reversible -o json -q >record
  [ "$(jq '.locks | length' record)" = 1 ]
  fault 2 "no optional lock 'readout'" provision --lock reversible --lock-also readout
  [[ $err == *"'readout protection, level 1'"* ]]
  fault 2 'none is wanted' provision --lock-also 'readout protection, level 1'
  fault 2 'no optional locks' iotctl provision --board expresslink --port ./probe --lock-also x
  provision --lock reversible --lock-also 'readout protection, level 1' -o json -q >record
  [ "$(jq -c .locks record)" = '["write protection of the code-signing page (reversible)","readout protection, level 1 (reversible)"]' ]
  # What it holds cannot be read any more; the journal knows what that was.
  provision -o json -q >again
  [ "$(jq -c '[.changed, .thingName, .certificateId]' again)" = "$(jq -c '[false, .thingName, .certificateId]' record)" ]
  [[ $(jq -r '.notProved[0]' again) == 'what it holds: '* ]]
  [ "$(iotctl board probe --board stm32f1 --port buspirate:./probe -o json | jq -r .sealed)" = 'readout protection, level 1' ]
  # nothing else can be made of it
  fault 4 'knows it as another device' provision --name pump-2 -q
  fault 4 'given another endpoint' provision --endpoint elsewhere.example -q
  fault 4 'cannot be made another device' provision --replace -q
  sqlite3 "$XDG_STATE_HOME/iotctl/default/journal.db" "UPDATE boards SET certificate = CAST(readfile('$fleet/ca/root.pem') AS TEXT)"
  fault 4 'would have to be given a new certificate' provision -q
  [ "$(iotctl cert list --query length)" = 1 ]
  [ "$(keys_left)" = 0 ]

  # One that nothing takes off again takes the strength and the word for it.
  jq '.locks[1].permanence = "permanent" | .name = "mine"' <(iotctl board show stm32f1 --query .file) >mine.json
  fault 2 'off again' iotctl provision --board ./mine.json --port buspirate:./probe --lock reversible --lock-also 'readout protection, level 1'
  fault 2 '--yes-irreversible' iotctl provision --board ./mine.json --port buspirate:./probe --lock permanent \
    --lock-also 'readout protection, level 1' </dev/null
}

@test "a sealed board that the journal does not know is refused, and what a person can do is told" {
  local replace
  power_on --locked rdp1
  for replace in '' --replace; do
    # shellcheck disable=SC2086 # nothing, or an option
    fault 4 "sealed by lock 'readout protection, level 1'" provision --name pump-1 $replace
    [[ $err == *"'stm32f1x unlock 0'"* ]]
  done
  power_off
  rm -f flash*
  power_on --chip nrf52 --locked approtect
  nrf52() { iotctl provision --board nrf52 --port buspirate:./probe "$@"; }
  for replace in '' --replace; do
    # shellcheck disable=SC2086
    fault 4 "sealed by lock 'access port protection'" nrf52 --name pump-1 $replace
    [[ $err == *"'nrf52_recover'"* ]]
  done
  fault 4 'it has to be named' nrf52
  [ "$(iotctl device list --query length)" = 0 ]
  [ "$(iotctl cert list --query length)" = 0 ]

  # what is done by hand opens it
  openocd -c 'source [find interface/buspirate.cfg]; buspirate port ./probe; transport select swd; source [find target/nrf52.cfg]' \
    -c 'gdb_port disabled; tcl_port disabled; telnet_port disabled; init; nrf52_recover; shutdown' >openocd.log 2>&1
  nrf52 --name pump-1 -o json -q >record
  # programmed, and then locked by somebody else: that it was locked here is not in the journal
  power_off
  power_on --chip nrf52 --locked approtect
  fault 4 'the work of this name is finished' nrf52 --name pump-1
  # and where the work of this name is open, it was not locked by it
  sqlite3 "$XDG_STATE_HOME/iotctl/default/journal.db" "UPDATE boards SET state = 'open'"
  fault 4 'does not know that it was programmed' nrf52 --name pump-1
  # at another port it may be any
  ln -s probe other
  fault 4 'on another port' iotctl provision --board nrf52 --port buspirate:./other --name pump-1
}

@test "the hash of the code-signing key goes into a one-time block, once, and only where it was asked for with the word" {
  local otp='code-signing key in one-time block 0'
  f4() { iotctl provision --board stm32f4 --port buspirate:./probe "$@"; }
  block() { dd if=flash.options bs=1 skip=64 count=32 status=none | od -An -v -tx1 | tr -d ' \n'; }
  lock_byte() { dd if=flash.options bs=1 skip=576 count=1 status=none | od -An -tx1 | tr -d ' \n'; }
  power_on --chip stm32f4
  fault 2 'off again' f4 --name pump-1 --lock reversible --lock-also "$otp"
  fault 2 '--yes-irreversible' f4 --name pump-1 --lock permanent --lock-also "$otp" </dev/null
  f4 --name pump-1 --lock permanent --yes-irreversible -o json -q >record # optional, and not named
  [ "$(block)" = "$(printf 'ff%.0s' {1..32})" ]
  [ "$(lock_byte)" = ff ]

  f4 --lock permanent --yes-irreversible --lock-also "$otp" -o json -q >record
  jq -e --arg name "$otp (permanent)" '.locks | index($name)' record
  [ "$(block)" = "$(openssl pkey -pubin -in "$fleet/codesign/default.pub" -outform DER | sha256sum | cut -d' ' -f1)" ]
  [ "$(lock_byte)" = 00 ]
  f4 --lock permanent --yes-irreversible --lock-also "$otp" -o json -q >again # and it is proved again
  [ "$(jq -c .locks again)" = "$(jq -c .locks record)" ]

  # the block of a chip that holds another key's hash is left alone
  power_off
  rm -f flash
  printf '\xff\xff\xff\xff' | dd of=flash.options conv=notrunc status=none # no write protection
  power_on --chip stm32f4 --uid 000000000000000000000002
  iotctl codesign create other >/dev/null
  block >before
  fault 11 'holds something else than this code-signing key' f4 --name pump-2 --codesign other --lock permanent \
    --yes-irreversible --lock-also "$otp" -q
  [ "$(block)" = "$(cat before)" ]
}

@test "a station finishes a board whose work was cut behind its lock" {
  load station
  write_recipe recipe.json 'del(.hook) | .board = "stm32f1" | .lock = "reversible" | .lockAlso = ["readout protection, level 1"]'
  power_on
  combined 0 station --port buspirate:./probe --range 0002..0009 --count 1 -o jsonl
  [ "$(results 'map(select(.result == "pass") | .device.locks | length) | .[0]')" = 2 ]
  # as it is when the station was killed before it could write that it was done
  sqlite3 "$XDG_STATE_HOME/iotctl/default/journal.db" "UPDATE boards SET state = 'open';
    UPDATE steps SET state = 'begun' WHERE name = 'lock'; DELETE FROM steps WHERE number > 74"
  rm -rf "$fleet/stations"
  combined 0 station --port buspirate:./probe --range 0003..0009 --count 1 -o jsonl
  [ "$(results 'map(select(.result == "pass") | .device | [.thingName, .resumed, .notProved[0][:13]])' | jq -c '.[-1]')" = \
    '["pump-0002",true,"what it holds"]' ]
  [ "$(iotctl device list --query length)" = 1 ]

  # one that tells no id is not taken for the next
  power_off
  rm -f flash*
  write_recipe recipe.json 'del(.hook) | .board = "nrf52"'
  power_on --chip nrf52 --locked approtect
  combined fail station --port buspirate:./probe --range 0004..0009 --count 1 -o jsonl
  [[ $output == *"does not tell its id"* ]]
  [ "$(iotctl device list --query length)" = 1 ]
}

@test "what nothing takes off again takes the word, typed at a terminal, or the recipe of a station" {
  load station
  jq '.locks[0].permanence = "permanent" | .name = "mine"' <(iotctl board show stm32f1 --query .file) >mine.json
  power_on
  # every lock of this strength would be put on by hand only: nothing is written for it
  fault 2 'no lock that would be put on' iotctl provision --board ./mine.json --port buspirate:./probe --name pump-1 --lock reversible
  [ "$(iotctl device list --query length)" = 0 ]
  fault 2 'no lock that would be put on' iotctl provision --board nrf52 --port buspirate:./probe --name pump-1 --lock reversible

  typed() { # WORD [ARGUMENTS...]: what the command says is in screen.log
    echo "$1" | TERM=xterm CI="" script -q -e -c "iotctl provision --board ./mine.json --port buspirate:./probe --name pump-1 -q -o json ${*:2}" screen.log
  }
  combined fail typed yes --lock permanent
  grep -q 'not confirmed' screen.log
  [ "$(iotctl device list --query length)" = 0 ]
  combined 0 typed permanent --lock permanent
  grep -q 'code-signing page (permanent)' screen.log
  iotctl codesign create other >/dev/null
  fault 10 'write-protected' iotctl provision --board ./mine.json --port buspirate:./probe --codesign other

  # a station does what its recipe says, and nobody is asked
  write_recipe recipe.json 'del(.hook) | .board = "mine.json" | .lock = "permanent"'
  power_off
  rm -f flash*
  power_on --uid 000000000000000000000002
  combined 0 station --port buspirate:./probe --range 0002..0009 --count 1 -o jsonl
  [ "$(results 'map(select(.result == "pass") | .device.locks) | .[0]' | jq -c .)" = '["write protection of the code-signing page (permanent)"]' ]
  # without it the same recipe locks nothing
  write_recipe recipe.json 'del(.hook) | .board = "mine.json"'
  power_off
  rm -f flash*
  power_on --uid 000000000000000000000003
  rm -rf "$fleet/stations"
  combined 0 station --port buspirate:./probe --range 0003..0009 --count 1 -o jsonl
  [ "$(results 'map(select(.result == "pass") | .device.locks) | .[0]' | jq -c .)" = '[]' ]
}

@test "what is wrong is told, nothing is left behind, and the next run ends well" {
  fault 10 'port' provision --name pump-1
  power_on --fault dead
  fault 10 'does not answer on SWD' provision --name pump-1
  power_off
  power_on --chip nrf52
  fault 11 'not that of this board' provision --name pump-1
  power_off
  rm -f flash*
  [ "$(iotctl device list --query length)" = 0 ]
  [ "$(iotctl cert list --query length)" = 0 ]

  # a bit of the flash that cannot be set
  power_on --fault stuck=0x1e100:0xff
  fault 10 'writing the credentials' provision --name pump-1
  power_off
  power_on
  provision --name pump-1 -o json -q >record
  [ "$(jq -r .resumed record)" = true ]
  [ "$(iotctl cert list --query length)" = 1 ]
  [ "$(keys_left)" = 0 ]

  # a second board of the same name stops there
  power_off
  mv flash flash.1
  power_on --uid 000000000000000000000001
  fault 4 'belongs to board' provision --name pump-1
  PATH=$IOTCTL_BIN:$work/none fault 10 "'openocd' is not there" provision --name pump-3
}

@test "flash that holds something else is left alone, unless it is to be overwritten" {
  local where
  for where in 0x1e000 0x1f000; do # a program that grew into the place for credentials, or for the code-signing key
    power_on --uid "0000000000000000000${where#0x}"
    power_off
    printf '\x00\x50\x00\x20\xc1\x01\x00\x08' | dd of=flash bs=1 seek=$((where)) conv=notrunc status=none
    cp flash before
    power_on --uid "0000000000000000000${where#0x}"
    fault 4 'holds something else' provision --name "pump-$where"
    [[ $err == *'nothing was changed'* ]]
    cmp flash before
    [ "$(iotctl cert list --query length)" = 0 ]
    [ "$(keys_left)" = 0 ]
    power_off
    rm -f flash*
  done
  cp before flash
  power_on --uid 000000000000000000000009
  provision --name pump-9 --replace -q -o json >record
  [ "$(iotctl cert list --query length)" = 1 ]
}

@test "a description of one's own, and what is wrong in it" {
  iotctl board show stm32f1 --query .file >mine.json
  jq '.name = "gateway" | .thingName = "gw-{serial}"' mine.json >gateway.json
  power_on
  iotctl provision --board ./gateway.json --port buspirate:./probe --serial 0017 -q -o json >record
  [ "$(jq -r .thingName record)" = gw-0017 ]
  [ "$(jq -r .board record)" = gateway ]

  jq '.key.onWire = false' mine.json >bad.json
  fault 2 'would cross the wire in clear text' iotctl board show ./bad.json
  jq '.colour = "red"' mine.json >bad.json
  fault 2 "no member 'colour'" iotctl board show ./bad.json
  jq '.key.origin = "board"' mine.json >bad.json
  fault 2 "cannot have a key of origin 'board'" iotctl board show ./bad.json
  jq '.prove = ["connect"]' mine.json >bad.json
  fault 2 "'prove'" iotctl board show ./bad.json
  jq 'del(.uid)' mine.json >bad.json
  fault 2 "'uid'" iotctl board show ./bad.json
  fault 3 'iotctl board kinds' iotctl board show toaster
}
