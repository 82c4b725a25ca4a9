#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # topics begin with $; what common.bash and the tests share
# The device's side of Jobs and file streams as unmodified agents speak it: payloads that are empty or odd, replies that
# nobody subscribed to, versions as text. Each conversation is that of a real agent.

setup() {
  load common
  common_setup
  start_fleet
  make_device pump-0001
  make_device pump-0002
  jobs='$aws/things/pump-0001/jobs'
  streams='$aws/things/pump-0001/streams'
}

teardown() {
  common_teardown
}

push() { # ID VERSION [SIZE]
  firmware "$2" "$1.bin" --size "${3:-1k}"
  iotctl ota push "$1.bin" --to pump-0001 --id "$1" >/dev/null
}

connect() { # NAME
  talk "$1"
  hears "$1" '^up$'
}

# The newest message on a topic, as JSON; and how many there were.
message() { grep -F "got $1 " pump-0001.talk | tail -n 1 | cut -d' ' -f3-; }
messages() { grep -c -F "got $1 " pump-0001.talk || true; }
# reply TOPIC EXPRESSION: the reply comes, and this is true of it.
reply() {
  until_true 10 grep -q -F "got $1 " pump-0001.talk
  message "$1" | jq -e "$2" >/dev/null || { echo "not $2: $(message "$1")" >&2; return 1; }
}
forget() { : >pump-0001.talk; }

hex_of() { od -An -v -tx1 | tr -d ' \n'; }
block() { dd if="$1" bs=256 skip="$2" count="${3:-1}" status=none | hex_of; } # FILE NUMBER [COUNT], in hex

status_of() { iotctl ota show "$1" --query '.executions[0].status'; }
has_status() { [ "$(status_of "$1")" = "$2" ]; }

@test "jobs demo of the C SDK: an empty request, a reply without a subscription" {
  push first 1.1.0
  # mosquitto_rr subscribes to what the demo does, which is not where the reply comes
  as pump-0001 mosquitto_rr -t "$jobs/\$next/get" -n -e "$jobs/notify-next" -v -W 10 >rr.out
  [[ $(<rr.out) == "$jobs/\$next/get/accepted "* ]]
  cut -d' ' -f2- rr.out | jq -e '.execution.jobId == "AFR_OTA-first" and .execution.status == "QUEUED" and (.timestamp | type) == "number" and (has("clientToken") | not)'

  connect pump-0001
  say sub 0 "$jobs/notify-next"
  say pub 1 "$jobs/\$next/get"
  reply "$jobs/\$next/get/accepted" '.execution.jobDocument.afr_ota.streamname == "AFR_OTA-first"'
  say pub 1 "$jobs/AFR_OTA-first/update" '{"status":"SUCCEEDED","statusDetails":{"step":"done"}}'
  reply "$jobs/AFR_OTA-first/update/accepted" 'has("clientToken") | not'
  # the demo waits for that: nothing is left
  reply "$jobs/notify-next" '(has("execution") | not) and has("timestamp")'
  has_status first SUCCEEDED
  say pub 1 "$jobs/\$next/get"
  reply "$jobs/\$next/get/accepted" 'has("execution") | not'
}

@test "FreeRTOS OTA agent: CBOR blocks by bitmap, self test across a restart of everything" {
  push second 1.2.0 1900 # eight blocks of 256 bytes, the last one shorter
  id=AFR_OTA-second
  connect pump-0001
  say sub 0 "$jobs/notify-next"
  say pub 1 "$jobs/\$next/get" '{"clientToken":":pump-0001"}' # the agent's counter 0 is nothing
  reply "$jobs/\$next/get/accepted" ".clientToken == \":pump-0001\" and .execution.jobId == \"$id\""
  # the whole reply goes into the agent's buffer
  [ "$(message "$jobs/\$next/get/accepted" | wc -c)" -lt 4000 ]
  # what its parser needs, and a signature that the device's own key confirms
  message "$jobs/\$next/get/accepted" | jq -e '.execution.jobDocument.afr_ota | .protocols == ["MQTT"] and (.files[0] |
    .filesize == 1900 and .fileid == 0 and (.filepath | length) > 0 and (.certfile | length) > 0)'
  message "$jobs/\$next/get/accepted" | jq -r '.execution.jobDocument.afr_ota.files[0]["sig-sha256-ecdsa"]' | base64 -d >signature
  openssl dgst -sha256 -verify pump-0001/codesign.pem -signature signature second.bin

  say sub 0 "$streams/$id/data/cbor"
  hears pump-0001 '^granted$'
  forget
  # {c: "rdy", f: 0, l: 256, o: 0, b: all eight, n: 5}: the first five
  say hex 0 "$streams/$id/get/cbor" "a6616363726479616600616c190100616f00616241ff616e05"
  five() { [ "$(grep -c "^hex $streams/$id/data/cbor " pump-0001.talk)" = 5 ]; }
  until_true 10 five
  for n in 0 1 2 3 4; do
    grep -q "$(block second.bin $n)" pump-0001.talk
  done
  say pub 0 "$jobs/$id/update" '{"status":"IN_PROGRESS","statusDetails":{"receive":"5/8"}}'
  # those of a bitmap, counted from an offset; the last block is as short as it is
  forget
  say hex 0 "$streams/$id/get/cbor" "a6616363726479616600616c190100616f0561624107616e08"
  three() { [ "$(grep -c "^hex $streams/$id/data/cbor " pump-0001.talk)" = 3 ]; }
  until_true 10 three
  grep -q "$(block second.bin 7)\$" pump-0001.talk

  say pub 1 "$jobs/$id/update" '{"status":"IN_PROGRESS","statusDetails":{"self_test":"ready","updatedBy":"0x00090002"}}'
  reply "$jobs/$id/update/accepted" 'has("timestamp")'
  say end
  iotctl serve --stop
  iotctl serve --detach
  connect pump-0001
  say pub 1 "$jobs/\$next/get" '{"clientToken":"1:pump-0001"}'
  reply "$jobs/\$next/get/accepted" '.execution.status == "IN_PROGRESS" and
    .execution.statusDetails == {"self_test": "ready", "updatedBy": "0x00090002"}'
  say pub 1 "$jobs/$id/update" '{"status":"IN_PROGRESS","statusDetails":{"self_test":"active","updatedBy":"0x00090003"}}'
  forget
  say pub 1 "$jobs/$id/update" '{"status":"SUCCEEDED","statusDetails":{"reason":"accepted  v.9.3","updatedBy":"  v.9.2"}}'
  reply "$jobs/$id/update/accepted" 'has("timestamp")'
  [ "$(iotctl ota show second --query '.executions[0].reason')" = 'accepted  v.9.3' ]
  # over is over
  say pub 1 "$jobs/$id/update" '{"status":"FAILED","clientToken":"late"}'
  reply "$jobs/$id/update/rejected" '.code == "InvalidStateTransition" and .clientToken == "late" and .executionState.status == "SUCCEEDED"'
  has_status second SUCCEEDED
}

@test "Lab project's agents: start-next, one block at a time as JSON or CBOR, the version as text" {
  push third 1.3.0 1k
  id=AFR_OTA-third
  connect pump-0001
  say pub 0 "$jobs/start-next" '{"clientToken":"test"}' # it has subscribed to nothing
  reply "$jobs/start-next/accepted" ".execution.jobId == \"$id\" and .execution.status == \"IN_PROGRESS\" and .execution.versionNumber == 2"
  # asked again it is the same, and its version too
  forget
  say pub 0 "$jobs/start-next" '{"clientToken":"test"}'
  reply "$jobs/start-next/accepted" ".execution.jobId == \"$id\" and .execution.versionNumber == 2"

  say sub 0 "$streams/$id/data/json"
  : >got.bin
  for n in 0 1 2 3; do
    forget
    say pub 0 "$streams/$id/get/json" "{\"s\":1,\"f\":0,\"l\":256,\"o\":$n,\"n\":1}"
    reply "$streams/$id/data/json" ".f == 0 and .l == 256 and .i == $n"
    message "$streams/$id/data/json" | jq -r .p | base64 -d >>got.bin
    [ "$(messages "$streams/$id/data/json")" = 1 ]
  done
  cmp got.bin third.bin

  # the CBOR agent puts the text "MQ==" into the byte string: bit 0 is set, so it is the block it wants, and no other
  say sub 0 "$streams/$id/data/cbor"
  forget
  say hex 0 "$streams/$id/get/cbor" "a6616363726479616600616c190100616f026162444d513d3d616e01"
  until_true 10 grep -q "$(block third.bin 2)" pump-0001.talk
  [ "$(grep -c "^hex $streams/$id/data/cbor " pump-0001.talk)" = 1 ]

  say pub 0 "$jobs/$id/update" '{"status":"SUCCEEDED","expectedVersion":"2"}'
  reply "$jobs/$id/update/accepted" 'has("timestamp")'
  has_status third SUCCEEDED
}

@test "SDKs that subscribe get one copy, with their token" {
  push fourth 1.4.0
  id=AFR_OTA-fourth
  connect pump-0001
  for filter in "$jobs/start-next/+" "$jobs/+/update/+" "$jobs/\$next/get/accepted" "$jobs/notify" "$jobs/#"; do
    say sub 1 "$filter"
  done
  all_granted() { [ "$(grep -c '^granted$' pump-0001.talk)" = 5 ]; }
  until_true 10 all_granted
  say pub 1 "$jobs/start-next" '{"thingName":"pump-0001","clientToken":"abc","statusDetails":{"a":"b"}}'
  reply "$jobs/start-next/accepted" ".clientToken == \"abc\" and .execution.statusDetails == {\"a\": \"b\"}"
  # wrong version: told what it is
  say pub 1 "$jobs/$id/update" '{"jobId":"AFR_OTA-fourth","thingName":"pump-0001","status":"IN_PROGRESS","expectedVersion":1,"clientToken":"def"}'
  reply "$jobs/$id/update/rejected" '.code == "VersionMismatch" and .clientToken == "def" and .executionState.versionNumber == 2'
  say pub 1 "$jobs/$id/update" '{"status":"SUCCEEDED","expectedVersion":2,"includeJobExecutionState":true,"includeJobDocument":true,"clientToken":"ghi"}'
  reply "$jobs/$id/update/accepted" '.clientToken == "ghi" and .executionState.status == "SUCCEEDED" and .executionState.versionNumber == 3
    and .jobDocument.afr_ota.streamname == "AFR_OTA-fourth"'
  # one more round: what was to come twice would have come by then
  say pub 1 "$jobs/get" '{"clientToken":"jkl"}'
  reply "$jobs/get/accepted" '.clientToken == "jkl" and .inProgressJobs == [] and .queuedJobs == []'
  [ "$(messages "$jobs/start-next/accepted")" = 1 ]
  [ "$(messages "$jobs/$id/update/accepted")" = 1 ]
}

@test "nobody hears another's replies, whatever is asked is answered" {
  push fifth 1.5.0
  id=AFR_OTA-fifth
  connect pump-0002
  other=$talk_fd
  connect pump-0001
  say pub 1 "$jobs/get"
  reply "$jobs/get/accepted" '(.queuedJobs | length) == 1 and .queuedJobs[0].jobId == "AFR_OTA-fifth"'
  say pub 1 "$jobs/$id/get" '{"clientToken":"1","includeJobDocument":false}'
  reply "$jobs/$id/get/accepted" '.clientToken == "1" and .execution.jobId == "AFR_OTA-fifth" and (.execution | has("jobDocument") | not)'
  say pub 1 "$jobs/none/get" '{"clientToken":"2"}'
  reply "$jobs/none/get/rejected" '.clientToken == "2" and .code == "ResourceNotFound" and (.message | length) > 0'
  say pub 1 "$jobs/$id/update" '{"status":'
  reply "$jobs/$id/update/rejected" '.code == "InvalidJson"'
  forget
  say pub 1 "$jobs/$id/update" '{"status":"FINISHED","clientToken":"3"}'
  reply "$jobs/$id/update/rejected" '.code == "InvalidRequest" and .clientToken == "3"'
  forget
  say pub 1 "$jobs/$id/update" '[]'
  reply "$jobs/$id/update/rejected" '.code == "InvalidRequest"'
  forget
  say pub 1 "$jobs/$id/update" '{"status":"IN_PROGRESS","statusDetails":{"receive":7},"clientToken":"4"}'
  reply "$jobs/$id/update/rejected" '.code == "InvalidRequest" and .clientToken == "4"'
  for request in '{"f":0,"l":1,"o":0,"n":1}:BlockSizeOutOfBounds' '{"f":0,"l":256,"o":900,"n":1}:OffsetOutOfBounds' \
    '{"f":9,"l":256,"o":0,"n":1}:ResourceNotFound' '{"f":0,"l":256,"o":0,"n":1,"s":9}:VersionMismatch' '{"f":"x"}:InvalidRequest'; do
    forget
    say pub 0 "$streams/$id/get/json" "${request%:*}"
    reply "$streams/$id/rejected/json" ".o == \"${request##*:}\""
  done
  forget
  say pub 0 "$streams/$id/describe/json" '{"c":"tok"}'
  reply "$streams/$id/description/json" '.c == "tok" and .r == [{"f": 0, "z": 1024}]'
  # neither the thing's other clients nor other things got any of it
  talk_fd=$other
  say pub 1 '$aws/things/pump-0002/jobs/get'
  hears pump-0002 'pump-0002/jobs/get/accepted'
  not grep -q pump-0001 pump-0002.talk
  has_status fifth QUEUED
}

@test "a change of the next job is told, and only that" {
  connect pump-0001
  say sub 1 "$jobs/notify-next"
  say sub 1 "$jobs/notify"
  hears pump-0001 '^granted$'
  push one 1.1.0
  reply "$jobs/notify-next" '.execution.jobId == "AFR_OTA-one" and .execution.jobDocument.afr_ota.streamname == "AFR_OTA-one"'
  reply "$jobs/notify" '(.jobs.QUEUED | length) == 1'
  forget
  push two 1.2.0 # the next one is still the first
  reply "$jobs/notify" '(.jobs.QUEUED | length) == 2'
  forget
  iotctl ota cancel one >/dev/null
  reply "$jobs/notify-next" '.execution.jobId == "AFR_OTA-two"'
  forget
  iotctl ota cancel two >/dev/null
  reply "$jobs/notify-next" 'has("execution") | not'
  reply "$jobs/notify" '.jobs == {}'
}
