#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2030,SC2031,SC2154,SC2317 # topics begin with $; what common.bash and the tests share
# Who may connect, and what they may say and hear: judged by the registry's policies, on live connections too.

setup() {
  load common
  common_setup
  start_fleet
  make_device pump-0001
  make_device pump-0002
  iotctl policy show device >base.json
  listen events '$iotctl/events/#'
}

teardown() {
  common_teardown
}

connect() { # NAME: it is on the line, held by `say`
  talk "$1"
  hears "$1" '^up$'
}

event() { # TOPIC EXPRESSION over the payload
  heard events "(.topic == \"\$iotctl/events/$1\") and (.payload | $2)"
}
awaits_event() { until_true 15 event "$@"; }

certificate_of() { iotctl device show "$1" --query '.certificates[0].certificateId'; }

# take_time NAME COMMAND...: how long after the command the connection of that device ended; fails when it was too long.
# A second is what is promised; a busy machine gets another one.
take_time() {
  local name=$1 start ended
  shift
  start=$(date +%s%3N)
  "$@" >/dev/null
  awaits_event disconnected ".clientId == \"$name\""
  ended=$(jq -Rn "[inputs | fromjson? | select(.topic == \"\$iotctl/events/disconnected\").payload | select(.clientId == \"$name\")][-1].timestamp" <events)
  echo "# '$*' ended the connection after $((ended - start)) ms" >&3
  [ $((ended - start)) -le 2000 ]
}

refused() { # NAME [options]: a client with that certificate does not get in, and says nothing
  local name=$1
  shift
  not timeout 10 mosquitto_pub -h localhost -p "$port" --cafile pump-0001/ca.pem --cert "$name/certificate.pem" \
    --key "$name/private.key" -i "$name" -V 311 -q 1 -t "pump/$name/data" -m hello "$@" 2>refused.err
}

admitted() { as "$1" mosquitto_pub -q 1 -t "pump/$1/data" -m hello; }

with_statement() { # EFFECT ACTION RESOURCE...: the default device policy with one more statement
  local effect=$1 action=$2
  shift 2
  jq --arg effect "$effect" --arg action "$action" \
    '.Statement += [{Effect: $effect, Action: [$action | split(",")[]], Resource: [$ARGS.positional[] | "arn:aws:iot:*:*:" + .]}]' \
    base.json --args "$@"
}

# --- connecting ----------------------------------------------------------------------------------------------

@test "another device's client id is refused, and its owner stays connected" {
  connect pump-0002
  not timeout 10 mosquitto_sub -h localhost -p "$port" --cafile pump-0001/ca.pem --cert pump-0001/certificate.pem \
    --key pump-0001/private.key -i pump-0002 -t 'pump/pump-0002/#' -E 2>taken.err
  grep -qi 'not authorised' taken.err
  awaits_event denied ".clientId == \"pump-0002\" and .certificateId == \"$(certificate_of pump-0001)\""
  device_says pump-0002 .connected true
  say pub 1 pump/pump-0002/data still here
  hears pump-0002 '^sent$'
}

@test "only certificates that are registered and active get in" {
  admitted pump-0001

  # of the fleet's own CA, but made behind its back
  mkdir ghost stranger
  openssl ecparam -genkey -name prime256v1 -noout -out ghost/private.key
  openssl req -new -key ghost/private.key -subj /CN=ghost |
    openssl x509 -req -CA "$fleet/ca/issuing.pem" -CAkey "$fleet/ca/issuing.key" -CAcreateserial -days 2 \
      -out ghost/certificate.pem 2>/dev/null
  cat "$fleet/ca/issuing.pem" >>ghost/certificate.pem
  refused ghost
  awaits_event denied '.clientId == "ghost" and .action == "iot:Connect"'

  # a thing's name alone does not help
  iotctl api CreateThing thingName=ghost >/dev/null
  refused ghost

  # of a CA that nobody knows: not even TLS
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.crt -subj '/CN=Other CA' \
    -days 2 2>/dev/null
  openssl ecparam -genkey -name prime256v1 -noout -out stranger/private.key
  openssl req -new -key stranger/private.key -subj /CN=pump-0001 |
    openssl x509 -req -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out stranger/certificate.pem 2>/dev/null
  refused stranger -i pump-0001
  grep -qi -e TLS -e 'connection was lost' -e 'Protocol error' refused.err

  # none at all
  not timeout 10 mosquitto_pub -h localhost -p "$port" --cafile pump-0001/ca.pem -i pump-0001 -t pump/pump-0001/data -m hello

  # known, but switched off
  iotctl device disable pump-0002 >/dev/null
  until_true 2 refused pump-0002
  grep -qi 'not authorised' refused.err
  iotctl device enable pump-0002 >/dev/null
  until_true 2 admitted pump-0002
  [ "$(jq -Rnr '[inputs | fromjson? | select(.topic == "$iotctl/events/connected").payload.clientId] | unique | join(" ")' <events)" = 'pump-0001 pump-0002' ]
}

# --- topics --------------------------------------------------------------------------------------------------

@test "another device's topics can be neither read nor written" {
  listen heard '$aws/things/pump-0002/#' 'pump/#'
  connect pump-0001
  say sub 1 '$aws/things/pump-0002/jobs/notify-next'
  hears pump-0001 '^refused$'
  for filter in '#' '$aws/#' '$aws/things/+/jobs/#' '+/+/state' 'pump/#' '$share/x/pump/pump-0002/#' '$SYS/#' '$iotctl/#'; do
    : >pump-0001.talk
    say sub 1 "$filter"
    hears pump-0001 '^refused$'
  done
  say sub 1 pump/pump-0001/commands
  hears pump-0001 '^granted$'
  awaits_event denied '.clientId == "pump-0001" and .action == "iot:Subscribe" and .resource == "topicfilter/pump/#"'

  say pub 1 pump/pump-0001/data '"mine"'
  until_true 5 heard heard '.topic == "pump/pump-0001/data"'
  say pub 1 '$aws/things/pump-0002/jobs/start-next' '{}'
  hears pump-0001 '^down '
  awaits_event disconnected '.clientId == "pump-0001" and .reason == "FORBIDDEN_ACCESS"'
  awaits_event denied '.clientId == "pump-0001" and .action == "iot:Publish" and .resource == "topic/$aws/things/pump-0002/jobs/start-next"'
  [ "$(count_heard heard)" = 1 ]

  # as the usual clients tell it
  as pump-0001 mosquitto_sub -t 'pump/pump-0002/#' -E >sub.out 2>&1 || true
  grep -q -i denied sub.out
  as pump-0001 mosquitto_pub -V 5 -q 1 -t pump/pump-0002/data -m hello >pub.out 2>&1 || true
  grep -q -i 'not authorized' pub.out
  [ "$(count_heard heard)" = 1 ]
}

@test "nobody but services says what services say" {
  for topic in '$aws/things/pump-0001/jobs/notify-next' '$aws/things/pump-0001/jobs/start-next/accepted' \
    '$aws/things/pump-0001/streams/s/data/cbor' '$aws/unknown' '$iotctl/events/connected' \
    '$CONTROL/iotctl/v1'; do
    connect pump-0001
    say pub 1 "$topic" '{}'
    hears pump-0001 '^down '
  done
}

@test "retained messages and last wills need their own right" {
  listen heard 'pump/#' '$aws/things/#'
  connect pump-0001
  say ret 1 pump/pump-0001/data kept
  hears pump-0001 '^down '
  awaits_event denied '.action == "iot:RetainPublish"'
  [ "$(count_heard heard)" = 0 ]

  with_statement Allow iot:RetainPublish topic/pump/pump-0001/data >policy.json
  iotctl policy update device policy.json >/dev/null
  until_true 3 as pump-0001 mosquitto_pub -q 1 -r -t pump/pump-0001/data -m '"kept"'
  until_true 5 heard heard '.topic == "pump/pump-0001/data"'

  # the last words of one that dies: on its own topic they are heard, on others not
  for topic in pump/pump-0001/gone pump/pump-0002/gone '$aws/things/pump-0001/jobs/start-next'; do
    command_as pump-0001 mosquitto_sub -t pump/pump-0001/commands -d --will-topic "$topic" --will-payload '"bye"' --will-qos 1
    "${command[@]}" >will.out 2>&1 3>&- &
    will_pid=$!
    pids+=("$will_pid")
    if until_true 3 grep -q SUBACK will.out; then
      kill -9 "$will_pid"
      wait "$will_pid" || true
      awaits_event disconnected '.clientId == "pump-0001" and .reason != "FORBIDDEN_ACCESS"'
    else
      gone "$will_pid" # not even let in
    fi
    admitted pump-0001 # a message after it: what was to come has come
  done
  until_true 5 heard heard '.topic == "pump/pump-0001/gone"'
  not heard heard '(.topic == "pump/pump-0002/gone") or (.topic | startswith("$aws/"))'
}

# --- changes -------------------------------------------------------------------------------------------------

@test "disabling a device ends its live connection within a second, enabling lets it in" {
  firmware 1.0.0 old.bin --size 8k
  start_device pump-0001 --image old.bin
  until_true 20 device_says pump-0001 .firmware 1.0.0
  take_time pump-0001 iotctl device disable pump-0001
  until_true 2 device_says pump-0001 .connected false
  awaits_event denied '.clientId == "pump-0001" and .action == "iot:Connect"'
  until_true 10 logged pump-0001.log 'not connected: '
  device_says pump-0001 .connected false
  iotctl device enable pump-0001 >/dev/null
  until_true 15 device_says pump-0001 .connected true # it tries again every few seconds
}

@test "deleting a device ends its connection" {
  connect pump-0001
  take_time pump-0001 iotctl device delete pump-0001 --yes
  hears pump-0001 '^down '
  refused pump-0001
  [ "$(iotctl device list -o json --query 'map(.thingName) | join(" ")')" = '"pump-0002"' ]
}

@test "detaching the policy reaches a live connection" {
  connect pump-0001
  take_time pump-0001 iotctl policy detach device --to pump-0001
  hears pump-0001 '^down '
  refused pump-0001
  iotctl policy attach device --to pump-0001 >/dev/null
  until_true 3 admitted pump-0001
}

@test "a new version of a policy reaches live connections, for more and for less" {
  connect pump-0001
  say sub 1 site/7/news
  hears pump-0001 '^refused$'
  with_statement Allow iot:Subscribe,iot:Receive topicfilter/site/7/news topic/site/7/news >more.json
  iotctl policy update device more.json >/dev/null
  granted() { say sub 1 site/7/news; sleep 0.1; grep -q '^granted$' pump-0001.talk; }
  until_true 3 granted

  # delivery is judged by itself: Receive goes, the subscription stays
  admin=$(sed -n 's/^listener 0 //p' "$fleet/broker/mosquitto.conf")
  mosquitto_pub --unix "$admin" -i office -q 1 -t site/7/news -m first
  hears pump-0001 '^got site/7/news first$'
  with_statement Allow iot:Subscribe topicfilter/site/7/news >less.json
  iotctl policy update device less.json >/dev/null
  silent() { mosquitto_pub --unix "$admin" -i office -q 1 -t site/7/news -m second; event denied '.action == "iot:Receive"'; }
  until_true 3 silent
  : >pump-0001.talk
  silent
  say pub 1 pump/pump-0001/data last
  hears pump-0001 '^sent$'
  not grep -q '^got ' pump-0001.talk

  # an explicit Deny beats what is allowed
  with_statement Deny iot:Publish 'topic/pump/*/data' >deny.json
  iotctl policy update device deny.json >/dev/null
  awaits_down() { say pub 1 pump/pump-0001/data again; sleep 0.1; grep -q '^down ' pump-0001.talk; }
  until_true 5 awaits_down
  awaits_event denied '.action == "iot:Publish" and .policy == "device" and .reason == "explicit deny"'
}

@test "what a group may, its members may" {
  cat >extra.json <<'END'
{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["iot:Subscribe"], "Resource": "arn:aws:iot:*:*:topicfilter/site/7/news"}]}
END
  iotctl group create beta >/dev/null
  iotctl policy create extra extra.json >/dev/null
  iotctl policy attach extra --group beta >/dev/null
  connect pump-0001
  say sub 1 site/7/news
  hears pump-0001 '^refused$'
  iotctl group add beta pump-0001 >/dev/null
  granted() { say sub 1 site/7/news; sleep 0.1; grep -q '^granted$' pump-0001.talk; }
  until_true 3 granted
  iotctl group remove beta pump-0001 >/dev/null
  again() { : >pump-0001.talk; say sub 1 site/7/news; until_true 2 grep -q -e '^refused$' -e '^granted$' pump-0001.talk; grep -q '^refused$' pump-0001.talk; }
  until_true 5 again
}

@test "a registry that cannot be read allows nothing, and all is well when it is back" {
  firmware 1.0.0 old.bin --size 8k
  start_device pump-0001 --image old.bin
  until_true 20 device_says pump-0001 .firmware 1.0.0
  mv "$fleet/registry.db" "$work/registry.away"
  awaits_event disconnected '.clientId == "pump-0001" and .reason == "SERVER_ERROR"'
  refused pump-0002
  expect 3 iotctl device list
  [ ! -e "$fleet/registry.db" ]
  mv "$work/registry.away" "$fleet/registry.db"
  until_true 10 admitted pump-0002
  until_true 15 device_says pump-0001 .connected true
  firmware 1.1.0 new.bin --size 8k
  expect 0 iotctl ota push new.bin --to pump-0001 --wait --timeout 30s
}

# --- renewing ------------------------------------------------------------------------------------------------

@test "a device gets a new certificate beside its old one, which is deleted only when the new one was seen" {
  old=$(certificate_of pump-0001)
  fault 2 'begins with --out DIR and ends with --finish' iotctl device rotate pump-0001
  fault 4 'holds the certificate that device' iotctl device rotate pump-0001 --out ./pump-0001
  iotctl device rotate pump-0001 --out ./new >/dev/null
  [ "$(iotctl device rotate pump-0001 --out ./new --query .changed)" = false ]
  [ "$(iotctl device show pump-0001 --query '.certificates | length')" = 2 ]
  admitted pump-0001
  fault 11 'has not connected with its new certificate' iotctl device rotate pump-0001 --finish
  [ "$(iotctl device show pump-0001 --query '.certificates | length')" = 2 ]

  # the device has both folders; with the new one it has the same rights
  mv pump-0001 old-folder
  mv new pump-0001
  connect pump-0001
  say pub 1 pump/pump-0001/data renewed
  hears pump-0001 '^sent$'
  device_says pump-0001 .connected true
  [ "$(iotctl device rotate pump-0001 --finish --query .deleted)" = 1 ]
  [ "$(iotctl device rotate pump-0001 --finish --query .changed)" = false ]
  [ "$(certificate_of pump-0001)" != "$old" ]
  mv pump-0001 kept
  mv old-folder pump-0001
  refused pump-0001
}

@test "a rotation of a device without an active certificate, or without proof, is refused; force ends it" {
  iotctl device create bare >/dev/null
  fault 4 'has no active certificate' iotctl device rotate bare --out ./bare
  not test -e bare
  fault 4 'has no certificate' iotctl device rotate bare --finish
  fault 3 'nobody' iotctl device rotate nobody --finish
  iotctl device rotate pump-0002 --out ./second >/dev/null
  [ "$(iotctl device rotate pump-0002 --finish --force --query .deleted)" = 1 ]
  [ "$(certificate_of pump-0002)" = "$(openssl x509 -in second/certificate.pem -outform DER | sha256sum | cut -d' ' -f1)" ]
}
