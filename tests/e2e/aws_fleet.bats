#!/usr/bin/env bats
# shellcheck disable=SC2154 # what common.bash and aws.bash share with the tests
# A fleet at AWS by its verbs, against the strict endpoint (tests/lib): updates by stream and job and by the OTA service,
# configurations in shadows, certificates of the fleet's own CA, retiring, and what is not there twice when answers are lost.
# Where botocore is installed every request is held against AWS's published service models too.

setup() {
  load common
  load aws
  common_setup
  aws_setup
  python3 -c 'import botocore' 2>/dev/null || echo "# botocore is not installed: requests are not held against AWS's models" >&3
}

teardown() {
  aws_teardown
}

push() { iotctl -q ota push "$@" --key "$fleet/codesign/default.key" --verify-key "$fleet/codesign/default.pub"; }

@test "an update: bucket, stream, job; watched to its end; gc" {
  iotctl -q device create pump-1 >/dev/null
  firmware 1.1.0 new.bin --size 64k
  fault 2 "in percent" push new.bin --to pump-1 --max-failures 3
  fault 2 "max-failures" push new.bin --to pump-1 --max-failures-after 3
  fault 2 "needs a bucket" push new.bin --to pump-1
  fault 2 "needs a role" push new.bin --to pump-1 --bucket images
  fault 2 "which key the devices have" iotctl ota push new.bin --to pump-1 --bucket images --role-arn "$role" --key "$fleet/codesign/default.key"
  [ "$(count objects)" = 0 ]
  iotctl settings set aws-bucket images
  iotctl settings set aws-role-arn "$role"
  push new.bin --to pump-1 --id one --per-minute 10 --retries 2 --max-failures 50% --max-failures-after 3 >/dev/null
  [ "$(iotctl api DescribeJob jobId=AFR_OTA-one --query '.job.abortConfig.criteriaList[0] | "\(.thresholdPercentage) \(.minNumberOfExecutedThings)"')" = "50 3" ]
  iotctl api DescribeStream streamId=AFR_OTA-one --query '.streamInfo.files[0].s3Location' >where.json
  [ "$(jq -r .key where.json)" = "iotctl/$(sha256sum new.bin | cut -d' ' -f1)" ]
  [[ $(jq -r .version where.json) == v1.* ]]
  iotctl ota watch one --timeout 30s >watched 2>&1 &
  watcher=$!
  control run '{"job": "AFR_OTA-one", "thing": "pump-1", "status": "SUCCEEDED"}' >/dev/null
  wait "$watcher"
  [ "$(iotctl ota list --query '.[0] | [.updateId, .version, .status] | join(" ")')" = "one 1.1.0 COMPLETED" ]
  push new.bin --to pump-1 --id two >/dev/null
  [ "$(iotctl -q ota gc --older-than 0s --query '.[].streamId')" = AFR_OTA-one ]
  iotctl -q ota cancel two >/dev/null
  [ "$(count streams)" = 1 ]
  # A role that may not: nothing stays but the image.
  expect 5 push new.bin --to pump-1 --id three --role-arn arn:aws:iam::123456789012:role/other
  [ "$(count streams) $(count jobs)" = "1 2" ]
}

@test "an update whose answers are lost is made once" {
  iotctl -q device create pump-1 >/dev/null
  firmware 1.1.0 new.bin --size 64k
  for op in PutObject CreateStream CreateJob; do
    faults "{\"fault\": \"drop\", \"operation\": \"$op\"}"
    push new.bin --to pump-1 --id "lost-$op" --bucket images --role-arn "$role" >/dev/null
    [ "$(iotctl ota list --query length)" = "$(count jobs)" ]
  done
  [ "$(count jobs) $(count streams)" = "3 3" ]
  # In parts: each may be lost; the last word may be too.
  firmware 1.2.0 large.bin --size 20m
  for op in UploadPart CompleteMultipartUpload; do
    faults "{\"fault\": \"drop\", \"operation\": \"$op\"}"
    push large.bin --to pump-1 --id "parts-$op" --bucket images --role-arn "$role" >/dev/null
    [ "$(iotctl api DescribeStream streamId="AFR_OTA-parts-$op" --query '.streamInfo.files[0].s3Location.version')" != null ]
    [ "$(count uploads)" = 0 ]
  done
  # One that fails leaves no parts that are paid for.
  faults '{"fault": "html500", "operation": "UploadPart", "times": 9}'
  expect 1 push large.bin --to pump-1 --id gone --bucket images --role-arn "$role"
  [ "$(count uploads)" = 0 ]
  expect 3 push large.bin --to pump-1 --id gone --bucket nowhere --role-arn "$role"
  # A bucket without versions: the stream names none.
  push new.bin --to pump-1 --id plain --bucket plain --role-arn "$role" >/dev/null
  [ "$(iotctl api DescribeStream streamId=AFR_OTA-plain --query '.streamInfo.files[0].s3Location.version')" = null ]
}

@test "by the OTA service: the signature is encoded twice; a failure is awaited, explained and cleared away" {
  iotctl -q device create pump-1 >/dev/null
  firmware 1.1.0 new.bin --size 64k
  push new.bin --to pump-1 --id one --bucket images --role-arn "$role" --via ota-update >/dev/null
  iotctl api GetJobDocument jobId=AFR_OTA-one --query .document | jq -r '.afr_ota.files[0]["sig-sha256-ecdsa"]' | base64 -d >one.sig
  openssl dgst -sha256 -verify "$fleet/codesign/default.pub" -signature one.sig new.bin
  fault 1 "cannot assume role" push new.bin --to pump-1 --id two --bucket images --role-arn "${role%fleet}other" --via ota-update
  [[ $err == *"iam:PassRole"* ]]
  [ "$(count otas)" = 1 ]
  # Its stream has another name than its job: gc knows it all the same.
  [ "$(iotctl -q ota gc --older-than 0s --query length)" = 0 ]
}

@test "configurations are the shadow 'config'; earlier versions are in the cloud too" {
  iotctl -q device create pump-1 --type pump >/dev/null
  iotctl -q group create beta >/dev/null
  iotctl -q group add beta pump-1 >/dev/null
  expect 3 iotctl config get pump-1
  printf '{"speed": 3, "limits": {"low": 1, "high": 9}}' >a.json
  printf '{"speed": 4, "limits": {"high": 8}}' >b.json
  [ "$(iotctl -q config set a.json --to pump-1 --query '.[0].version')" = 1 ]
  [ "$(iotctl -q config set a.json --to pump-1 --query '.[0].changed')" = false ]
  [ "$(iotctl -q config set b.json --group beta --query '.[0].version')" = 2 ]
  iotctl api iotdata:GetThingShadow thingName=pump-1 shadowName=config | jq -cS .state.desired >desired
  [ "$(<desired)" = '{"configVersion":2,"limits":{"high":8},"speed":4}' ]
  [ "$(iotctl config get pump-1 | jq -c .limits)" = '{"high":8}' ]
  [ "$(iotctl config history pump-1 --query 'map(.version) | join(" ")')" = "2 1" ]
  [ -n "$(iotctl config history pump-1 --query '.[1].author')" ]
  [ "$(iotctl -q config rollback pump-1 --query .version)" = 3 ]
  [ "$(iotctl config get pump-1 | jq -cS .limits)" = '{"high":9,"low":1}' ]
  # From a home that knows nothing of what was set here before.
  [ "$(env HOME="$work/other" XDG_CONFIG_HOME="$work/other" XDG_DATA_HOME="$work/other" iotctl config history pump-1 --query length)" = 3 ]
  control report '{"thing": "pump-1", "reported": {"configVersion": 3}}' >/dev/null
  [ "$(iotctl config list --query '.[0].acknowledgedVersion')" = 3 ]
  # Lost answers, and a device that reports in between: one version more, not two.
  faults '{"fault": "drop", "operation": "UpdateThingShadow"}'
  [ "$(iotctl -q config set b.json --to pump-1 --query '.[0].version')" = 4 ]
  expect 4 iotctl config set a.json --to pump-1 --if-version 2
}

@test "layouts: a tag of the thing type, which configurations go by; one that came no further than the shadow is told again" {
  fault 3 "pump" iotctl layout use buses --type pump
  iotctl -q device create bus-1 --type bus >/dev/null
  iotctl -q device create pump-1 --type pump >/dev/null
  fault 2 "--type" iotctl layout use buses
  iotctl layout use buses --type bus
  [ "$(iotctl layout list --query '.[] | select(.name == "buses").types | join(" ")')" = bus ]
  printf '{"speed": 3}' >a.json
  iotctl -q config set a.json --to bus-1 >/dev/null
  iotctl -q config set a.json --to pump-1 >/dev/null
  [ "$(control published | jq -c 'map([.topic, (.payload | fromjson), .retain])')" = \
    '[["bus/bus-1/configuration",{"speed":3,"configVersion":1},"true"]]' ]
  [ "$(iotctl api iotdata:GetThingShadow thingName=bus-1 shadowName=config | jq -cS .state.desired)" = '{"configVersion":1,"speed":3}' ]
  # The same once more says nothing.
  [ "$(iotctl -q config set a.json --to bus-1 --query '.[0].changed')" = false ]
  [ "$(control published | jq length)" = 1 ]
  # The shadow was set, and then nothing worked.
  printf '{"speed": 4}' >b.json
  faults '{"fault": "denied", "operation": "Publish"}'
  expect 5 iotctl config set b.json --to bus-1
  [ "$(iotctl -q config set b.json --to bus-1 --query '.[0] | [.changed, .version] | join(" ")')" = "false 2" ]
  [ "$(control published | jq -r '.[-1].payload')" = '{"speed":4,"configVersion":2}' ]
  # An answer that is lost: said again, since nobody knows.
  faults '{"fault": "drop", "operation": "Publish"}'
  iotctl -q config set a.json --to bus-1 >/dev/null
  [ "$(control published | jq -r '.[-1].payload')" = '{"speed":3,"configVersion":3}' ]
  # A device's folder has the topics of its layout; where tags may not be read it is made all the same.
  iotctl -q device create bus-2 --type bus --policy device --out bus-2 >/dev/null
  [ "$(jq -r .topics.config.topic bus-2/device.json)" = bus/bus-2/configuration ]
  faults '{"fault": "denied", "operation": "ListTagsForResource", "times": 9}'
  iotctl device create bus-3 --type bus --policy device --out bus-3 >/dev/null 2>err
  grep -q "names no topics: .*not authorized" err
  expect 5 iotctl config set a.json --to bus-3
  faults ''
  # One of the fleet's own comes from the directory here.
  fault 3 "--cloud local layout add" iotctl layout use own --type bus
  iotctl layout show buses -o json | jq '.name = "own"' >own.json
  IOTCTL_CLOUD=local iotctl -q layout add own.json >/dev/null
  iotctl layout use own --type bus
  [ "$(iotctl layout list --query '.[] | select(.name == "own") | [.origin, .types[0]] | join(" ")')" = "fleet bus" ]
}

@test "certificates: by the fleet's own CA, registered once; by AWS; never of a key that it does not take" {
  iotctl -q device create pump-1 --policy device --out pump-1 >/dev/null
  openssl verify -CAfile "$fleet/ca/root.pem" -untrusted "$fleet/ca/issuing.pem" pump-1/certificate.pem
  [ "$(iotctl api ListCertificates --query '.certificates | length')" = 1 ]
  [ "$(iotctl -q device create pump-1 --policy device --out pump-1 --query .changed)" = false ]
  faults '{"fault": "drop", "operation": "RegisterCertificateWithoutCA"}'
  iotctl -q device create pump-2 --policy device --out pump-2 >/dev/null
  [ "$(count certificates)" = 2 ]
  iotctl -q device create pump-3 --policy device --out pump-3 --issuer aws >/dev/null
  openssl x509 -in pump-3/certificate.pem -noout -issuer | grep -q 'AWS of the tests'
  openssl req -new -newkey ed25519 -nodes -keyout e.key -subj /CN=x -out e.csr 2>/dev/null
  faults ''
  expect 2 iotctl device create pump-4 --policy device --csr e.csr --out pump-4 --issuer aws
  expect 2 iotctl device create pump-5 --policy device --csr e.csr --out pump-5
  [ "$(done_of CreateCertificateFromCsr) $(done_of RegisterCertificateWithoutCA)" = "0 0" ]
}

@test "retire: the calls are shown, detaching is waited out, and one that was cut short is finished" {
  for n in 1 2; do
    iotctl -q device create pump-$n --policy device --out pump-$n --alias north-$n >/dev/null
  done
  printf '{"state":{"desired":{"a":1}}}' >shadow.json
  iotctl api iotdata:UpdateThingShadow thingName=pump-1 shadowName=config --body shadow.json >/dev/null
  faults ''
  [ "$(iotctl device retire north-1 --dry-run --query 'map(.operation) | join(" ")')" = \
    "UpdateCertificate DetachPolicy UpdateThing DetachThingPrincipal DeleteCertificate iotdata:DeleteThingShadow DeleteThing" ]
  [ "$(done_of UpdateCertificate)" = 0 ]
  iotctl -q device retire north-1 --yes >/dev/null
  [ "$(count things) $(count certificates) $(count shadows)" = "1 1 0" ]
  # The certificate is detached, and then nothing works any more: its id is with the thing.
  faults '{"fault": "html500", "operation": "DeleteCertificate", "times": 9}'
  expect 1 iotctl device retire north-2 --yes
  [[ $err == *"goes on where this one ended"* ]]
  faults ''
  iotctl -q device retire north-2 --yes >/dev/null
  [ "$(count things) $(count certificates) $(count principals)" = "0 0 0" ]
}

@test "messages over HTTPS, groups that a query fills, templates and claims" {
  [ "$(iotctl -q publish a/b -m hello --retain --query .acknowledged)" = 1 ]
  [ "$(control published | jq -c '.[0]')" = '{"topic":"a/b","payload":"hello","qos":"1","retain":"true"}' ]
  expect 6 iotctl publish a/b secret/x -m hello
  expect 12 iotctl subscribe 'a/#' --count 1
  iotctl -q group create hot --dynamic 'attributes.temperature>30' >/dev/null
  [ "$(iotctl group show hot --query .queryString)" = 'attributes.temperature>30' ]
  iotctl -q group delete hot
  expect 3 iotctl group show hot
  iotctl api CreateProvisioningTemplate templateName=pumps 'templateBody={}' provisioningRoleArn="$role" type=FLEET_PROVISIONING >/dev/null
  iotctl api CreateProvisioningClaim templateName=pumps >/dev/null
  iotctl api CreateJobTemplate jobTemplateId=reboot description=again 'document={"do":"reboot"}' >/dev/null
  expect 2 iotctl api CreateProvisioningTemplate templateName='no good' 'templateBody={}' provisioningRoleArn="$role"
  IOTCTL_CLOUD=local expect 2 iotctl api ListJobTemplates
}

@test "a file of devices: a result for each row, nothing twice and nothing lost, through throttling, cuts and a kill" {
  {
    echo name,type,policy
    for i in {1..30}; do echo "pump-$i,pump,device"; done
  } >pumps.csv
  faults '{"fault": "drop", "operation": "CreateThing", "times": 2}, {"fault": "throttle", "operation": "AttachPolicy", "times": 3},
    {"fault": "drop", "operation": "RegisterCertificateWithoutCA"}, {"fault": "html500", "operation": "DescribeThing", "times": 2},
    {"fault": "truncate", "operation": "AttachThingPrincipal"}'
  IOTCTL_AWS_RATES='*=500' iotctl device create --from pumps.csv --out pumps --resume journal -o jsonl >rows.jsonl 2>err &
  batch=$!
  until_true 60 test -e pumps/pump-5/certificate.pem
  kill -9 "$batch"
  wait "$batch" || true
  IOTCTL_AWS_RATES='*=500' iotctl device create --from pumps.csv --out pumps --resume journal -o jsonl >>rows.jsonl
  [ "$(jq -r 'select(.error == null).thingName' rows.jsonl | sort -u | wc -l)" = 30 ]
  [ "$(count things) $(count certificates) $(count principals)" = "30 30 30" ]
  [ "$(find pumps -name private.key -perm 600 | wc -l)" = 30 ]
  # A row's own fault is told, counted, and tried again when it is asked for.
  printf 'name,policy\npump-1,device\nbad-1,nothing\nbad-2,nothing\nnew-1,device\n' >some.csv
  expect 6 iotctl device create --from some.csv --out some --resume j2 -o jsonl
  [ "$(jq -r '"\(.thingName) \(.error != null)"' <<<"$out" | sort | xargs)" = "bad-1 true bad-2 true new-1 false pump-1 false" ]
  expect 6 iotctl device create --from some.csv --out some --resume j2 -o jsonl
  [ -z "$out" ]
  iotctl api CreatePolicy policyName=nothing 'policyDocument={"Version":"2012-10-17","Statement":[]}' >/dev/null
  expect 0 iotctl device create --from some.csv --out some --resume j2 --retry-failed -o jsonl
  printf 'name,policy\nx-1,none\nx-2,none\nx-3,none\n' >bad.csv
  expect 7 iotctl device create --from bad.csv --out bad --max-failures 2
  expect 2 iotctl device create --from bad.csv pump-1
  printf 'name\nsame\nsame\n' >twice.csv
  fault 4 "lines 2 and 3" iotctl device create --from twice.csv
}

@test "HTTP/2 where the endpoint has it: many calls over one connection, faults and all" {
  command -v nghttpx >/dev/null || skip "nghttpx is not installed"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
    -keyout h2.key -out h2.pem 2>/dev/null
  port=$(free_port)
  nghttpx --conf=/dev/null -f "127.0.0.1,$port" -b "127.0.0.1,${ports[0]}" -n 1 --accesslog-file="$work/h2.access" \
    --accesslog-format='$remote_port $request' h2.key h2.pem >nghttpx.log 2>&1 3>&- 9>&- &
  pids+=($!)
  export AWS_CA_BUNDLE=h2.pem AWS_ENDPOINT_URL=https://localhost:$port
  until_true 10 iotctl api ListThings
  : >h2.access
  for i in {1..100}; do echo "{\"thingName\": \"t$i\"}"; done >things.jsonl
  faults '{"fault": "drop", "times": 2}, {"fault": "throttle", "times": 3}, {"fault": "html500", "times": 2}'
  IOTCTL_AWS_RATES='*=500' iotctl api CreateThing --lines things.jsonl -o jsonl >rows.jsonl
  [ "$(jq -r .reply.thingName rows.jsonl | sort -u | wc -l) $(count things)" = "100 100" ]
  [ "$(awk '{print $NF}' h2.access | sort -u)" = HTTP/2 ]
  [ "$(awk '{print $1}' h2.access | sort -u | wc -l)" -le 2 ]
}
