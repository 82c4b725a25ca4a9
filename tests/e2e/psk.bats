#!/usr/bin/env bats
# shellcheck disable=SC2030,SC2031,SC2154,SC2317 # what common.bash and the tests share
# Devices that have a shared secret in place of a certificate, straight at the broker: TLS stacks of several makers,
# suites, policies by group, revocation, and sessions that are resumed without a key.

setup() {
  load common
  common_setup
  psk_port=$(free_port)
  port=$(free_port)
  iotctl init demo --port "$port" >/dev/null
  iotctl serve --detach --psk-port "$psk_port"
  iotctl group create small >/dev/null
  iotctl policy attach device --group small >/dev/null
  make_small pump-1
}

teardown() {
  common_teardown
}

make_small() { # NAME [options of psk create]: a device that has only a secret
  local name=$1
  shift
  iotctl device create "$name" --type pump --group small >/dev/null
  iotctl psk create "$name" --out "$name.psk" "$@" >/dev/null
}

key_of() { cut -d: -f2 "$1"; }                      # FILE
wrong_key() { key_of "$1" | sed 's/^../&/; s/..$/00/; s/0000$/1100/'; } # FILE: as long, another one

# publish CODE|fail IDENTITY FILE CLIENT-ID [options]
publish() {
  local code=$1 identity=$2 file=$3 id=$4
  shift 4
  combined "$code" timeout 10 mosquitto_pub -h localhost -p "$psk_port" --psk "$(key_of "$file")" --psk-identity "$identity" \
    -i "$id" -t "pump/$id/state" -m '{"n": 1}' -q 1 "$@"
}

# packet CLIENT-ID: MQTT's CONNECT and, behind it, DISCONNECT: the broker answers, and ends the connection.
packet() {
  local len=${#1}
  # shellcheck disable=SC2059 # the format is made here
  printf "\\x10\\x$(printf %02x $((12 + len)))\\x00\\x04MQTT\\x04\\x02\\x00\\x3c\\x00\\x$(printf %02x "$len")$1\\xe0\\x00"
}

# tls KEY [options of s_client]: connect with OpenSSL's client as pump-1; what it says is in tls.out, the broker's answer too.
tls() {
  local key=$1
  shift
  packet pump-1 | timeout 10 openssl s_client -connect "127.0.0.1:$psk_port" -psk "$key" -psk_identity pump-1 -ign_eof "$@" >tls.out 2>&1 || true
}
got_in() { od -An -v -tx1 tls.out | tr -d ' \n' | grep -q 20020000; } # CONNACK, accepted
reused() { grep -a -q '^Reused' tls.out; }

@test "mosquitto's client, mbed TLS and GnuTLS get in with the secret, in the suites of small devices" {
  local suite answer
  publish 0 pump-1 pump-1.psk pump-1
  until_true 5 device_says pump-1 .state.n 1
  publish 0 pump-1 pump-1.psk pump-1 --tls-version tlsv1.2 --ciphers PSK-AES128-CCM
  for suite in TLS-PSK-WITH-AES-128-CCM TLS-PSK-WITH-AES-128-CCM-8 TLS-PSK-WITH-AES-128-GCM-SHA256 \
    TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256 TLS-ECDHE-PSK-WITH-AES-128-CBC-SHA256; do
    answer=$("$IOTCTL_BUILD/tests/e2e_mbedtls_psk" "$psk_port" pump-1 pump-1.psk "$suite" pump-1)
    [ "$answer" = "connected 0" ] || { echo "$suite: $answer"; return 1; }
  done
  for answer in VERS-TLS1.2:+PSK VERS-TLS1.3:+ECDHE-PSK; do # GnuTLS 3.7.9 itself crashes with ECDHE-PSK in 1.2
    packet pump-1 | timeout 10 gnutls-cli -p "$psk_port" 127.0.0.1 --no-ca-verification --pskusername pump-1 \
      --pskkey "$(key_of pump-1.psk)" --priority "NORMAL:-KX-ALL:-VERS-ALL:+$answer" >tls.out 2>&1 || true
    got_in || { cat tls.out; return 1; }
  done
}

@test "a secret that begins with zeros, the shortest one, and two while a device rotates" {
  printf 'zeros:0000%s\n' 112233445566778899aabbccddeeff0011223344556677889900aabbccdd >zeros.psk
  chmod 600 zeros.psk
  iotctl device create zeros --type pump --group small >/dev/null
  iotctl psk import zeros.psk >/dev/null
  publish 0 zeros zeros.psk zeros
  make_small short --size 16
  publish 0 short short.psk short
  iotctl psk rotate pump-1 --out new.psk >/dev/null
  publish 0 pump-1 pump-1.psk pump-1
  publish 0 "$(cut -d: -f1 new.psk)" new.psk pump-1
}

@test "who is nobody gets nowhere: unknown, too long, another's name, a wrong key, no group, no secret at all" {
  local long
  long=$(printf 'x%.0s' {1..250})
  publish fail nobody pump-1.psk pump-1
  until_true 5 grep -q "psk/nobody.*there is no such PSK identity" "$fleet/broker/mosquitto.log"
  publish fail "$long" pump-1.psk pump-1
  publish fail 'pump-1:x' pump-1.psk pump-1
  make_small pump-2
  publish fail pump-2 pump-1.psk pump-2
  publish 5 pump-1 pump-1.psk pump-2
  iotctl device create lone --type pump >/dev/null
  iotctl psk create lone --out lone.psk >/dev/null
  publish 5 lone lone.psk lone
  until_true 5 grep -q "is in no group that has a policy" "$fleet/broker/mosquitto.log"
  iotctl psk create pump-1 --attestation --identity claims --out claims.psk >/dev/null
  publish fail claims claims.psk pump-1
  make_device cert-1
  not timeout 10 mosquitto_pub -h localhost -p "$psk_port" --cafile cert-1/ca.pem --cert cert-1/certificate.pem \
    --key cert-1/private.key -i cert-1 -t pump/cert-1/state -m '{}' -q 1
  publish 0 pump-2 pump-2.psk pump-2 # and those who are somebody still do
}

@test "policies of its groups say what it may do, and a change reaches it" {
  stdbuf -oL mosquitto_sub -h localhost -p "$psk_port" --psk "$(key_of pump-1.psk)" --psk-identity pump-1 -i pump-1 -V 311 \
    -d -t pump/other/x >sub.out 2>&1 3>&- &
  pids+=($!)
  until_true 5 grep -q 'All subscription requests were denied' sub.out
  publish 0 pump-1 pump-1.psk pump-1
  iotctl policy detach device --group small >/dev/null
  publish 5 pump-1 pump-1.psk pump-1
}

@test "a revoked secret: the live connection ends within a second, and none comes after it" {
  local start
  stdbuf -oL mosquitto_sub -h localhost -p "$psk_port" --psk "$(key_of pump-1.psk)" --psk-identity pump-1 -i pump-1 -V 311 -d \
    -t 'pump/pump-1/#' >sub.out 2>&1 3>&- &
  pids+=($!)
  until_true 5 grep -q SUBACK sub.out
  until_true 5 device_says pump-1 .connected true
  start=$(date +%s%3N)
  iotctl psk revoke pump-1 >/dev/null
  until_true 5 device_says pump-1 .connected false
  echo "# revoked and gone after $(($(date +%s%3N) - start)) ms" >&3
  [ $(($(date +%s%3N) - start)) -le 2000 ]
  grep -q "the shared secret was revoked" "$fleet/broker/mosquitto.log"
  publish fail pump-1 pump-1.psk pump-1
}

# Its first words are there before the broker accepts it: a handshake that fails then is freed without any event.
tls_at_once() { # KEY [options of s_client]
  local hex
  hex=$(printf ':%04X ' "$psk_port")
  kill -STOP "$broker"
  tls "$@" &
  until_true 5 words_wait "$hex" || { kill -CONT "$broker"; return 1; }
  kill -CONT "$broker"
  wait $!
}
words_wait() { awk -v to="$1" '$2 " " ~ to && $4 == "01" { split($5, queue, ":"); if (queue[2] != "00000000") found = 1 } END { exit !found }' /proc/net/tcp; }

@test "a session that is resumed gets nowhere, with the key, without it, and in the memory of a handshake that failed" {
  local key wrong version broker
  broker=$(mosquitto_pid)
  key=$(key_of pump-1.psk)
  wrong=$(wrong_key pump-1.psk)
  differs "$key" "$wrong"
  for version in tls1_2 tls1_3; do
    tls "$key" "-$version" -sess_out "$version.session"
    got_in || { cat tls.out; return 1; }
    tls "$wrong" "-$version"
    not got_in
    tls "$wrong" "-$version" -sess_in "$version.session"
    reused # it was tried: TLS itself takes it
    not got_in
    tls "$key" "-$version" -sess_in "$version.session"
    reused
    not got_in
    for _ in {1..10}; do # the broker gives the next connection the memory that the failed one had
      tls_at_once "$wrong" "-$version"
      not got_in
      tls "$wrong" "-$version" -sess_in "$version.session"
      reused
      not got_in
    done
  done
  tls "$key" -tls1_2
  got_in
}

@test "without --psk-port nobody listens; a port that is taken, and one that is given twice" {
  iotctl serve --stop
  fault 4 "TLS-PSK cannot have the fleet's port $port" iotctl serve --detach --psk-port "$port"
  iotctl serve --detach --psk-port 0
  publish fail pump-1 pump-1.psk pump-1
  not grep -q psk_hint "$fleet/broker/mosquitto.conf"
  iotctl serve --stop
  iotctl serve --detach --psk-port "$psk_port" # it is kept from now on
  iotctl serve --stop
  iotctl serve --detach
  publish 0 pump-1 pump-1.psk pump-1
}
