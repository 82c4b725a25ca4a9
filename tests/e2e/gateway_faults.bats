#!/usr/bin/env bats
# shellcheck disable=SC2154 # $work and others come from common.bash
# What small devices, and those who pretend to be, can do to a gateway: it lets nobody in who should not be, keeps
# serving the others, and holds what it cannot pass on within its limits. Clients: OpenSSL, GnuTLS, mbed TLS.
load common
load gateway

setup() { common_setup; }
teardown() {
  umount -l small 2>/dev/null || true # of a test that failed
  [ -z "${gateway:-}" ] || kill -0 "$gateway" 2>/dev/null || echo "the gateway is gone: $(tail -n 20 gateway.err)" >&2
  common_teardown
}

hex_of() { sed 's/.*://' "$1"; } # FILE: the secret of a line IDENTITY:HEX
client() { "$IOTCTL_BUILD/tests/e2e_psk_client" "$psk_port" "$@"; }
openssl_client() { # IDENTITY HEX [options]
  local identity=$1 hex=$2
  shift 2
  timeout 3 openssl s_client -connect "127.0.0.1:$psk_port" -psk_identity "$identity" -psk "$hex" -tls1_2 "$@" </dev/null 2>&1 || true
}
still_serves() { small_device sensor-1 -n 2 --interval 0 --exit-after 20s -q; }

@test "clients of other makers: each suite, and the challenge comes" {
  start_picture
  make_child sensor-1
  start_gateway
  key=$(hex_of sensor-1.psk)
  for suite in TLS-PSK-WITH-AES-128-CCM TLS-PSK-WITH-AES-128-CCM-8 TLS-PSK-WITH-AES-128-GCM-SHA256 \
    TLS-PSK-WITH-AES-128-CBC-SHA256 TLS-ECDHE-PSK-WITH-AES-128-CBC-SHA256 TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256; do
    expect 0 client sensor-1 "$key" "$suite"
    [ "$(head -n 1 <<<"$out")" = "$suite" ]
    # a length of 40 bytes, a map of three: kind 1, version 1, a nonce of 32 bytes
    [[ $(sed -n 2p <<<"$out") == 00000028a300010101025820* ]]
  done
  for suite in TLS-PSK-WITH-AES-256-CBC-SHA TLS-PSK-WITH-AES-256-GCM-SHA384; do # not among those of the gateway
    expect 1 client sensor-1 "$key" "$suite"
  done
  openssl_client sensor-1 "$key" -cipher PSK-AES128-CCM8 | grep -q 'Cipher is PSK-AES128-CCM8'
  printf '' | timeout 3 gnutls-cli -p "$psk_port" 127.0.0.1 --pskusername sensor-1 --pskkey "$key" \
    --priority 'NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+PSK' >gnutls.log 2>&1 || true
  grep -q 'Handshake was completed' gnutls.log
  # neither another version of TLS, nor a certificate
  not grep -q 'Cipher is TLS_' <<<"$(timeout 3 openssl s_client -connect "127.0.0.1:$psk_port" -psk_identity sensor-1 -psk "$key" -tls1_3 </dev/null 2>&1)"
  not grep -q 'BEGIN CERTIFICATE' <<<"$(timeout 3 openssl s_client -connect "127.0.0.1:$psk_port" -tls1_2 </dev/null 2>&1)"
  still_serves
}

@test "identities and keys that are none" {
  start_picture
  make_child sensor-1
  iotctl device create stranger --type sensor >/dev/null # with a secret, but no child
  iotctl psk create stranger --out stranger.psk >/dev/null
  start_gateway
  key=$(hex_of sensor-1.psk)
  long=$(printf 'x%.0s' $(seq 300))
  for identity in nobody "sensor-1:" "$long" "${long:0:200}" "sensor-1'--" stranger "$(sed 's/:.*//' sensor-1.iak)"; do
    not grep -q 'Cipher is PSK' <<<"$(openssl_client "$identity" "$key")"
  done
  not grep -q 'Cipher is PSK' <<<"$(openssl_client stranger "$(hex_of stranger.psk)")"
  happened '.event == "denied" and .child == "stranger" and (.detail | contains("no child of this gateway"))'
  for wrong in 00 "${key:0:32}" "${key}00" "$(tr 0-9a-f 1-9a-f0 <<<"$key")"; do
    not grep -q 'Cipher is PSK' <<<"$(openssl_client sensor-1 "$wrong")"
  done
  # an unknown name fails as a wrong key does: nobody learns which names there are
  alert() { grep -o 'alert [a-z ]*' <<<"$1" | head -n 1; }
  unknown=$(openssl_client nobody "$key" -cipher PSK-AES128-GCM-SHA256)
  wrong=$(openssl_client sensor-1 "${key:0:32}" -cipher PSK-AES128-GCM-SHA256)
  [ "$(alert "$unknown")" = "$(alert "$wrong")" ]
  [ "$(times '.event == "accepted"')" = 0 ]
  still_serves
}

@test "a session that is resumed with a wrong key does not get in" {
  start_picture
  make_child sensor-1
  start_gateway
  key=$(hex_of sensor-1.psk)
  openssl_client sensor-1 "$key" -sess_out session.pem | grep -q 'Cipher is ECDHE-PSK'
  result=$(openssl_client sensor-1 "$(tr 0-9a-f 1-9a-f0 <<<"$key")" -sess_in session.pem)
  not grep -q -e 'Reused' -e 'Cipher is .*PSK' <<<"$result"
  not grep -q Reused <<<"$(openssl_client sensor-1 "$key" -sess_in session.pem)"
  not grep -q 'session ticket' <<<"$(openssl_client sensor-1 "$key")"
}

@test "tokens and messages that are wrong: refused by name, nothing of it reaches the cloud" {
  start_picture
  make_child sensor-1
  make_child bad-1
  listen heard 'sensor/#'
  start_gateway
  until_true 10 happened '.event == "uplink"'
  while read -r fault code word; do
    fault "$code" "$word" small_device bad-1 -n 3 --interval 1ms --fault "$fault" -q
  done <<'END'
bad-token 11 signature
wrong-nonce 11 nonce
replay 11 nonce
lifecycle 11 lifecycle
other-device 11 instance
huge 9 ended
garbage 9 ended
early-data 9 ended
END
  key=$(hex_of bad-1.psk)
  suite=TLS-PSK-WITH-AES-128-CCM
  # a token that makes a CBOR library take two gigabytes; of indefinite length; keys twice; bytes behind it; too long
  while read -r frame; do
    expect 0 client bad-1 "$key" "$suite" "$frame"
    [ "$(tail -n 1 <<<"$out")" = end ]
  done <<'END'
0000000000
00000005a1009a10000000
00000013a3000203459a1000000004480102030405060708
00000003bf00ff
0000001aa300020002034100044801020304050607080101010101
0000000aa1000c0000000000000000
ffffffff
00001101
END
  [ "$(times '.event == "accepted" and .child == "bad-1"')" -le 1 ] # replay: the first one was good
  not heard heard '.topic == "sensor/bad-1/event"'
  still_serves
}

@test "an attestation policy of the type; a device without a key for its tokens" {
  start_picture
  make_child sensor-1
  make_child sensor-2
  iotctl psk revoke "$(sed 's/:.*//' sensor-2.iak)" >/dev/null
  echo '{"components": [{"type": "SPE", "minVersion": "2.0.0", "signers": ["'"$(printf 'its signer' | sha256sum | cut -d' ' -f1)"'"]}]}' >two.json
  echo '{"components": [{"type": "SPE", "minVersion": "1.0.0", "signers": ["'"$(printf 'its signer' | sha256sum | cut -d' ' -f1)"'"]}]}' >one.json
  start_gateway --policy sensor=two.json --nonce 64
  fault 11 components small_device sensor-1 -n 1 -q
  fault 11 attestation small_device sensor-2 -n 1 -q
  kill "$gateway"
  wait "$gateway"
  : >gateway.out
  start_gateway --policy sensor=one.json --nonce 48
  still_serves
  fault 2 "nonce" iotctl gateway run ./gw-1 --nonce 40
  echo '{"lifecycle": ["whatever"]}' >bad.json
  fault 2 "bad.json" iotctl gateway run ./gw-1 --port 0 --policy bad.json
}

@test "slow, silent, half-open: each ends in its time, and others are served meanwhile" {
  start_picture
  make_child sensor-1
  make_child sensor-2
  start_gateway --handshake-timeout 500ms --attestation-timeout 500ms --message-timeout 1s --idle-timeout 2s
  local open=()
  for _ in $(seq 20); do
    exec {fd}<>"/dev/tcp/127.0.0.1/$psk_port"
    open+=("$fd")
  done
  still_serves
  fault 9 ended small_device sensor-2 -n 1 --fault silent -q
  fault 9 ended small_device sensor-2 -n 1 --fault slow --interval 50ms -q
  half_open() { [ "$(times '.detail | contains("the handshake took too long")')" = "$1" ]; }
  until_true 5 half_open 20
  happened '.event == "disconnected" and (.detail | contains("a message took too long"))'
  happened '.event == "disconnected" and (.detail | contains("silent for too long"))'
  for fd in "${open[@]}"; do
    exec {fd}>&-
  done
  # a device that pings stays, whatever its interval
  start_small_device sensor-2
  until_true 5 device_heard sensor-2 '.event == "accepted"'
  small_device sensor-1 -n 6 --interval 600ms -q
  not device_heard sensor-2 '.event == "lost"'
}

@test "the queue is bounded: the device is told to wait, and nothing is lost" {
  start_picture
  make_child sensor-1
  listen heard 'sensor/#'
  cut_wire
  start_gateway --queue-messages 20
  start_small_device sensor-1 -n 60 --interval 1ms
  until_true 10 device_heard sensor-1 '.event == "busy"'
  [ "$(waiting)" = 20 ]
  happened '.event == "busy" and .child == "sensor-1" and (.detail | contains("full"))'
  mend_wire
  wait "$device_pid"
  until_true 20 all_of sensor-1 60
}

@test "the uplink is away for an hour, at one message a second: all of it comes, once, in order, and the queue is empty then" {
  start_picture
  make_child sensor-1
  listen heard 'sensor/#'
  start_gateway
  until_true 10 happened '.event == "uplink"'
  small_device sensor-1 -n 5 --interval 0 -q
  cut_wire
  until_true 10 happened '.event == "uplink-lost"'
  expect 0 small_device sensor-1 -n 3600 --interval 1ms -q # it has said all of it, and knows that it is safe
  [ "$(waiting)" = 3601 ]
  kill -9 "$gateway" # and that outlives the gateway
  wait "$gateway" || true
  start_gateway
  mend_wire
  until_true 60 nothing_waits
  until_true 10 at_least_of sensor-1 3605
  [ "$(numbers sensor-1)" = "$(seq -s ' ' 5) $(seq -s ' ' 3600)" ]
  [ "$(stat -c %s gw-1/queue/queue.db)" -lt 8000000 ]
}

@test "the disk is full while the uplink is down: who was told that it is safe can rely on it, others wait, nothing comes twice" {
  start_picture
  make_child sensor-1
  make_child sensor-2
  listen heard 'sensor/#'
  mkdir small
  mount -t tmpfs -o size=4m none small 2>/dev/null || skip 'needs the right to mount'
  dd if=/dev/zero of=small/ballast bs=1k count=3700 status=none # there is room for some of it
  cut_wire
  start_gateway --state "$work/small/queue"
  start_small_device sensor-1 -n 400 --interval 2ms
  one=$device_pid
  until_true 10 device_heard sensor-1 '.event == "acknowledged"'
  until_true 20 device_heard sensor-1 '.event == "busy"'
  until_true 5 logged gateway.err 'the queue cannot be written'
  safe=$(jq -Rn '[inputs | fromjson? | select(.event == "acknowledged") | .detail | tonumber] | max' <sensor-1.out)
  [ "$(sqlite3 'file:small/queue/queue.db?mode=ro' 'SELECT max(sequence) FROM queue')" -ge "$safe" ]
  # the cloud is there again, the disk is still full: what comes goes past it
  mend_wire
  until_true 30 at_least_of sensor-1 400
  wait "$one"
  small_device sensor-2 -n 5 --interval 0 -q
  until_true 10 all_of sensor-1 400
  until_true 10 all_of sensor-2 5
  rm small/ballast
  until_true 10 nothing_waits_in small/queue
  kill "$gateway"
  wait "$gateway"
  start_gateway --state "$work/small/queue"
  small_device sensor-1 -n 1 --interval 0 -q
  until_true 10 at_least_of sensor-1 401
  [ "$(numbers sensor-1)" = "$(seq -s ' ' 400) 1" ] # nothing of before came again
  kill "$gateway"
  wait "$gateway"
  umount small
}

nothing_waits_in() { [ "$(sqlite3 "file:$1/queue.db?mode=ro" 'SELECT count(*) FROM queue')" = 0 ]; } # FOLDER

@test "the broker stops answering: what was on its way is kept in order, and comes once" {
  start_picture
  make_child panel-1
  make_child sensor-1 --copy-to panel-1:event
  listen heard 'sensor/#'
  start_gateway
  until_true 10 happened '.event == "uplink"'
  small_device sensor-1 -n 3 --interval 0 -q
  start_small_device panel-1
  until_true 10 device_heard panel-1 '.event == "accepted"'
  kill -STOP "$wire"
  start_small_device sensor-1 -n 60 --interval 5ms
  until_true 10 device_heard panel-1 '.event == "copy" and (.detail | contains("\"n\": 60,"))' # the gateway has it all
  [ "$(waiting)" = 0 ] # the gateway believes in the connection
  not device_heard sensor-1 '.event == "acknowledged"'
  kill -9 "$wire"
  wait "$wire" || true
  until_true 10 happened '.event == "uplink-lost"'
  wait "$device_pid" # it was told that all is safe: on the disk
  [ "$(waiting)" = 61 ]
  python3 "$lib/cut.py" "$wire_port" "$port" >wire.log 2>&1 3>&- &
  pids+=($!)
  until_true 40 nothing_waits
  until_true 10 at_least_of sensor-1 63
  [ "$(numbers sensor-1)" = "1 2 3 $(seq -s ' ' 60)" ]
}

@test "a device that comes twice: the newer connection counts" {
  start_picture
  make_child sensor-1
  start_gateway
  openssl_client sensor-1 "$(hex_of sensor-1.psk)" >/dev/null # without a token: that is nobody yet
  start_small_device sensor-1
  until_true 10 device_heard sensor-1 '.event == "accepted"'
  small_device sensor-1 -n 2 --interval 0 -q
  until_true 5 happened '.event == "disconnected" and (.detail | contains("another connection"))'
}

@test "a child with messages in the queue is removed: they go, and the uplink stays" {
  start_picture
  make_child sensor-1
  make_child sensor-2
  listen heard 'sensor/#'
  cut_wire
  start_gateway
  small_device sensor-2 -n 10 --interval 1ms -q
  iotctl gateway remove gw-1 sensor-2 >/dev/null
  until_true 5 happened '.event == "dropped" and .child == "sensor-2"'
  mend_wire
  small_device sensor-1 -n 10 --interval 1ms -q
  until_true 20 all_of sensor-1 10
  [ "$(numbers sensor-2)" = "" ]
  [ "$(times '.event == "uplink"')" = 1 ]
}

@test "messages of the tool: no folder, port in use, twice the same gateway; it may be there before the first secret" {
  start_fleet
  fault 3 "device.json" iotctl gateway run ./nothing --port 0
  iotctl gateway create gw-1 --out ./gw-1 >/dev/null
  export wire_port=$port
  start_gateway
  make_child sensor-1
  still_serves
  fault 4 "another gateway uses the queue" iotctl gateway run ./gw-1 --port 0
  fault 4 "cannot listen" iotctl gateway run ./gw-1 --port "$psk_port" --state ./elsewhere
  fault 2 "no fault 'x'" small_device sensor-1 --fault x
  chmod 644 sensor-1.psk
  fault 5 "sensor-1.psk" small_device sensor-1 -n 1
}
