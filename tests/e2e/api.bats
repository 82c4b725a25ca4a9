#!/usr/bin/env bats
# The HTTPS API with the tools that it is for: the AWS CLI and the JavaScript SDK, as they are installed.

load common
load api

setup() { common_setup; }
teardown() { common_teardown; }

member() { jq -r "$1" <<<"$out"; }

@test "the AWS CLI registers a device, all of it" {
  need aws
  start_api
  make_operator alice --role admin
  use_operator alice
  expect 0 aws_ iot create-thing --thing-name pump:1 --attribute-payload '{"attributes":{"place":"roof"}}'
  is "$(member .thingArn)" arn:aws:iot:local:000000000000:thing/pump:1
  is "$(iotctl device show pump:1 --query .attributes.place)" roof
  expect 0 aws_ iot create-thing-type --thing-type-name pump
  expect 0 aws_ iot update-thing --thing-name pump:1 --thing-type-name pump
  expect 0 aws_ iot describe-thing --thing-name pump:1
  is "$(member .thingTypeName)" pump

  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out csr.pem -subj /CN=pump-1 2>openssl.err
  expect 0 aws_ iot create-certificate-from-csr --certificate-signing-request file://csr.pem --set-as-active
  arn=$(member .certificateArn) id=$(member .certificateId)
  expect 0 aws_ iot attach-policy --policy-name device --target "$arn"
  expect 0 aws_ iot attach-thing-principal --thing-name pump:1 --principal "$arn"
  expect 0 aws_ iot list-thing-principals --thing-name pump:1
  is "$(member '.principals[0]')" "$arn"
  expect 0 aws_ iot list-attached-policies --target "$arn"
  is "$(member '.policies[0].policyName')" device

  expect 0 aws_ iot create-thing-group --thing-group-name roof
  expect 0 aws_ iot add-thing-to-thing-group --thing-group-name roof --thing-name pump:1
  expect 0 aws_ iot list-things-in-thing-group --thing-group-name roof
  is "$(member '.things[0]')" pump:1

  # and takes it down again, in the order that works
  expect "$aws_refused" aws_ iot delete-thing --thing-name pump:1
  [[ $err == *"(InvalidRequestException)"* ]]
  expect 0 aws_ iot detach-thing-principal --thing-name pump:1 --principal "$arn"
  expect 0 aws_ iot delete-thing --thing-name pump:1
  expect 0 aws_ iot update-certificate --certificate-id "$id" --new-status INACTIVE
  expect 0 aws_ iot delete-certificate --certificate-id "$id" --force-delete
  fault 3 "pump:1" iotctl device show pump:1
}

@test "the AWS CLI reads pages, and errors by their names" {
  need aws
  start_api
  make_operator alice --role admin
  use_operator alice
  for n in 1 2 3 4 5; do iotctl device create "pump-$n" --policy device --out "./pump-$n" >/dev/null; done
  expect 0 aws_ iot list-things --page-size 2
  is "$(member '[.things[].thingName] | join(" ")')" "pump-1 pump-2 pump-3 pump-4 pump-5"
  expect 0 aws_ iot list-certificates --page-size 4
  is "$(member '.certificates | length')" 4
  expect 0 aws_ iot list-certificates --page-size 4 --marker "$(member .nextMarker)"
  is "$(member '.certificates | length')" 2 # the operator's too
  is "$(member .nextMarker)" null
  expect "$aws_refused" aws_ iot describe-thing --thing-name nobody
  [[ $err == *"(ResourceNotFoundException) when calling the DescribeThing operation"*": thing 'nobody' does not exist"* ]]
  expect "$aws_refused" aws_ iot create-thing --thing-name pump-1 --attribute-payload '{"attributes":{"a":"b"}}'
  [[ $err == *"(ResourceAlreadyExistsException)"* ]]
  expect "$aws_refused" aws_ iot create-thing --thing-name "bad name"
  [[ $err == *"(InvalidRequestException)"*"allowed: letters, digits"* ]]
  expect "$aws_refused" aws_ iot list-billing-groups
  [[ $err == *"(UnknownOperationException)"* ]]
}

@test "the AWS CLI publishes, and reads shadows and retained messages" {
  need aws
  start_api
  make_operator alice --role admin
  use_operator alice
  make_device pump-1
  listen heard 'plant/#'
  # base64, which version 1 and 2 of the AWS CLI both read from a file as it is
  printf '{"on":true}' >message
  expect 0 aws_ iot-data publish --topic plant/a/b --payload fileb://message --qos 1 --retain
  until_true 5 logged heard '"topic": "plant/a/b", "payload": {"on":true}'
  expect 0 aws_ iot-data get-retained-message --topic plant/a/b
  is "$(member .payload | base64 -d)" '{"on":true}'
  is "$(member .qos)" 1
  expect 0 aws_ iot-data list-retained-messages
  is "$(member '.retainedTopics[] | "\(.topic) \(.payloadSize) \(.qos)"')" "plant/a/b 11 1"
  expect "$aws_refused" aws_ iot-data get-retained-message --topic plant/none
  [[ $err == *"(ResourceNotFoundException)"* ]]
  expect "$aws_refused" aws_ iot-data publish --topic 'plant/#' --payload fileb://message
  [[ $err == *"(InvalidRequestException)"* ]]

  printf '{"state":{"desired":{"speed":3}}}' >shadow
  expect 0 aws_ iot-data update-thing-shadow --thing-name pump-1 --shadow-name s --payload fileb://shadow answer
  is "$(jq .state.desired.speed answer)" 3
  expect 0 aws_ iot-data get-thing-shadow --thing-name pump-1 --shadow-name s answer
  is "$(jq .version answer)" 1
  expect 0 aws_ iot-data list-named-shadows-for-thing --thing-name pump-1
  is "$(member '.results[0]')" s
  expect 0 aws_ iot-data delete-thing-shadow --thing-name pump-1 --shadow-name s answer
  expect "$aws_refused" aws_ iot-data get-thing-shadow --thing-name pump-1 --shadow-name s answer
  [[ $err == *"(ResourceNotFoundException)"* ]]
}

@test "the AWS CLI makes a job, and does a device's part of it" {
  need aws
  start_api
  make_operator alice --role admin
  use_operator alice
  make_device pump-1
  expect 0 aws_ iot create-job --job-id j1 --targets arn:aws:iot:local:000000000000:thing/pump-1 --document '{"do":"it"}'
  expect 0 aws_ iot-jobs-data get-pending-job-executions --thing-name pump-1
  is "$(member '.queuedJobs[0].jobId')" j1
  expect 0 aws_ iot-jobs-data start-next-pending-job-execution --thing-name pump-1
  is "$(member .execution.jobDocument)" '{"do":"it"}'
  expect 0 aws_ iot-jobs-data describe-job-execution --thing-name pump-1 --job-id '$next'
  is "$(member .execution.status)" IN_PROGRESS
  expect 0 aws_ iot-jobs-data update-job-execution --thing-name pump-1 --job-id j1 --status SUCCEEDED
  expect "$aws_refused" aws_ iot-jobs-data update-job-execution --thing-name pump-1 --job-id j1 --status FAILED
  [[ $err == *"(InvalidStateTransitionException)"* || $err == *"(TerminalStateException)"* ]]
  expect 0 aws_ iot describe-job --job-id j1
  is "$(member .job.status)" COMPLETED
}

@test "an image goes up whole and in parts, and comes down in ranges and by a signed URL" {
  need aws
  start_api
  make_operator alice --role admin
  use_operator alice
  firmware 1.0.0 small.bin
  firmware 2.0.0 large.bin --size 10M
  expect 0 aws_ s3api put-object --bucket demo --key fw/small.bin --body small.bin
  is "$(member .VersionId)" "$(sha256sum <small.bin | cut -d' ' -f1)"
  [ -f "$fleet/images/$(member .VersionId)" ]
  expect 0 aws_ s3api get-bucket-versioning --bucket demo
  is "$(member .Status)" Enabled
  expect 0 aws_ s3 cp --no-progress large.bin s3://demo/fw/large.bin # above 8 MB in parts
  cmp "$fleet/images/$(sha256sum <large.bin | cut -d' ' -f1)" large.bin
  expect 0 aws_ s3 cp --no-progress s3://demo/fw/large.bin back.bin
  cmp large.bin back.bin
  expect 0 aws_ s3api get-object --bucket demo --key fw/large.bin --range bytes=100-199 part.bin
  is "$(member .ContentRange)" "bytes 100-199/$(stat -c %s large.bin)"
  cmp part.bin <(tail -c +101 large.bin | head -c 100)
  expect 0 aws_ s3 presign s3://demo/fw/large.bin --expires-in 60
  signed=$out
  expect 0 curl -sS --cacert "$ca" -o back.bin -r 5- "$signed"
  cmp back.bin <(tail -c +6 large.bin)
  is "$(curl -sS --cacert "$ca" -o /dev/null -w '%{http_code}' -r 99999999- "$signed")" 416
  is "$(curl -sS --cacert "$ca" -o /dev/null -w '%{http_code}' "${signed/large/small}")" 403
  is "$(curl -sS --cacert "$ca" -o /dev/null -w '%{http_code}' -X PUT -T small.bin "$signed")" 403
  expect "$aws_refused" aws_ s3api head-object --bucket elsewhere --key k
  # what was begun can be given up
  expect 0 aws_ s3api create-multipart-upload --bucket demo --key k
  upload=$(member .UploadId)
  expect 0 aws_ s3api upload-part --bucket demo --key k --upload-id "$upload" --part-number 1 --body small.bin
  expect 0 aws_ s3api abort-multipart-upload --bucket demo --key k --upload-id "$upload"
  expect "$aws_refused" aws_ s3api upload-part --bucket demo --key k --upload-id "$upload" --part-number 2 --body small.bin
  [[ $err == *NoSuchUpload* ]]
  is "$(find "$fleet/images" -name '.*' ! -name . | wc -l)" 0
  # a stream of an object by its name
  expect 0 aws_ iot create-stream --stream-id s1 --role-arn arn:aws:iam::000000000000:role/any \
    --files '[{"fileId":0,"s3Location":{"bucket":"demo","key":"fw/small.bin"}}]'
}

@test "an operator may do what the policy says, as long as there is a key" {
  need aws
  start_api
  make_operator watcher --role observe
  cat >policy.json <<'EOF'
{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": "iot:Connect", "Resource": "arn:aws:iot:*:*:client/operator-lab-*"},
  {"Effect": "Allow", "Action": ["iot:CreateThing", "iot:DescribeThing"], "Resource": "arn:aws:iot:*:*:thing/lab-*"},
  {"Effect": "Allow", "Action": "iot:Publish", "Resource": "arn:aws:iot:*:*:topic/lab/*"}]}
EOF
  make_operator lab --policy policy.json
  use_operator watcher
  expect 0 aws_ iot list-things
  expect "$aws_refused" aws_ iot create-thing --thing-name lab-1
  [[ $err == *"(AccessDeniedException)"*"iot:CreateThing"* ]]
  fault 3 lab-1 iotctl device show lab-1
  use_operator lab
  expect 0 aws_ iot create-thing --thing-name lab-1
  expect 0 aws_ iot describe-thing --thing-name lab-1
  expect "$aws_refused" aws_ iot create-thing --thing-name plant-1
  [[ $err == *"(AccessDeniedException)"* ]]
  expect "$aws_refused" aws_ iot list-things
  printf x >message
  expect 0 aws_ iot-data publish --topic lab/a --payload fileb://message
  expect "$aws_refused" aws_ iot-data publish --topic lab/a --payload fileb://message --retain
  [[ $err == *RetainPublish* ]]
  expect "$aws_refused" aws_ s3api put-object --bucket demo --key k --body message
  [[ $err == *AccessDenied* ]]
  iotctl operator revoke lab >/dev/null
  expect "$aws_refused" aws_ iot describe-thing --thing-name lab-1
  [[ $err == *"(UnrecognizedClientException)"* ]]
  [[ $err != *lab* ]]
}

@test "the JavaScript SDK works too" {
  need npm
  need node
  start_api
  make_operator alice --role admin
  use_operator alice
  make_device pump-1
  mkdir sdk
  (cd sdk && HOME=$work npm install --silent --no-audit --no-fund --cache "$work/npm" @aws-sdk/client-iot \
    @aws-sdk/client-iot-data-plane @aws-sdk/client-iot-jobs-data-plane >npm.log 2>&1) || skip "npm cannot install the SDK here"
  cat >sdk/run.mjs <<'EOF'
import { IoTClient, CreateThingCommand, DescribeThingCommand, paginateListThings } from "@aws-sdk/client-iot";
import { IoTDataPlaneClient, PublishCommand, UpdateThingShadowCommand, GetThingShadowCommand } from "@aws-sdk/client-iot-data-plane";
import { IoTJobsDataPlaneClient, StartNextPendingJobExecutionCommand, DescribeJobExecutionCommand } from "@aws-sdk/client-iot-jobs-data-plane";
const options = { endpoint: process.argv[2], region: "local" };
const iot = new IoTClient(options), data = new IoTDataPlaneClient(options), jobs = new IoTJobsDataPlaneClient(options);
const text = new TextDecoder();
console.log((await iot.send(new CreateThingCommand({ thingName: "js:1" }))).thingArn);
console.log((await iot.send(new DescribeThingCommand({ thingName: "js:1" }))).version);
let names = [];
for await (const page of paginateListThings({ client: iot, pageSize: 1 }, {})) names.push(...page.things.map((t) => t.thingName));
console.log(names.join(" "));
await data.send(new PublishCommand({ topic: "js/a b", qos: 1, payload: "hello" }));
await data.send(new UpdateThingShadowCommand({ thingName: "js:1", payload: '{"state":{"desired":{"x":1}}}' }));
console.log(JSON.parse(text.decode((await data.send(new GetThingShadowCommand({ thingName: "js:1" }))).payload)).state.desired.x);
console.log((await jobs.send(new StartNextPendingJobExecutionCommand({ thingName: "pump-1" }))).execution === undefined);
try { await jobs.send(new DescribeJobExecutionCommand({ thingName: "pump-1", jobId: "$next" })); console.log("none"); }
catch (e) { console.log(e.name); }
try { await iot.send(new DescribeThingCommand({ thingName: "nobody" })); } catch (e) { console.log(e.name, e.$metadata.httpStatusCode); }
EOF
  NODE_EXTRA_CA_CERTS=$ca node sdk/run.mjs "$url" >told 2>told.err || { cat told told.err >&2; false; }
  is "$(sed -n 1p told)" arn:aws:iot:local:000000000000:thing/js:1
  is "$(sed -n 3p told)" "js:1 pump-1"
  is "$(sed -n 4p told)" 1
  is "$(sed -n 5p told)" true
  is "$(tail -n 1 told)" "ResourceNotFoundException 404"
}

@test "serve says where the API is, and keeps it until told otherwise" {
  start_api
  is "$(iotctl serve --status --query .apiPort)" "$api_port"
  logged "$fleet/broker/serve.log" "HTTPS API on '127.0.0.1' port $api_port"
  iotctl serve --stop
  iotctl serve --detach
  is "$(iotctl serve --status --query .apiPort)" "$api_port"
  iotctl serve --stop
  fault 4 "--api-port" iotctl serve --detach --api-port "$port"
  iotctl serve --detach --api-port 0
  is "$(iotctl serve --status --query '.apiPort // "none"')" none
  not bash -c "exec 3<>/dev/tcp/127.0.0.1/$api_port"
}

@test "a device downloads an image by the URL in its job, until that expires" {
  need curl
  need faketime
  start_api
  make_device pump-1
  firmware 1.0.0 image.bin
  local digest url
  iotctl ota push image.bin --to pump-1 >/dev/null
  digest=$(sha256sum <image.bin | cut -d' ' -f1)
  printf '{"url":"${aws:iot:s3-presigned-url:https://s3.eu-central-1.amazonaws.com/demo/%s}","other":"${aws:iot:x}"}' "$digest" >document
  iotctl api create-job jobId=j1 targets:='["arn:aws:iot:local:000000000000:thing/pump-1"]' document="$(<document)" \
    presignedUrlConfig:='{"roleArn":"arn:aws:iam::000000000000:role/any","expiresInSec":60}' >/dev/null
  is "$(iotctl api get-job-document jobId=j1 --query .document -o json | jq -r . | jq -r .url)" "$(jq -r .url document)"
  out=$(iotctl api iot-jobs-data:DescribeJobExecution thingName=pump-1 jobId=j1 -o json | jq -r '.execution.jobDocument')
  is "$(jq -r .other <<<"$out")" '${aws:iot:x}'
  url=$(jq -r .url <<<"$out")
  [[ $url == "https://localhost:$api_port/demo/$digest?"* ]]
  # with nothing but the CA that the device has
  expect 0 curl -sS --fail --cacert pump-1/ca.pem -o back.bin "$url"
  cmp image.bin back.bin
  expect 0 curl -sS --fail --cacert pump-1/ca.pem -r 0-99 -o part.bin "$url"
  cmp part.bin <(head -c 100 image.bin)
  # for that image alone, to read it, and not longer
  is "$(curl -sS --cacert pump-1/ca.pem -o /dev/null -w '%{http_code}' "${url/$digest/${digest//[a-f]/0}}")" 403
  is "$(curl -sS --cacert pump-1/ca.pem -o /dev/null -w '%{http_code}' -X PUT -T image.bin "$url")" 403
  is "$(curl -sS --cacert pump-1/ca.pem -o /dev/null -w '%{http_code}' "${url/Expires=60/Expires=600}")" 403
  is "$(curl -sS --cacert pump-1/ca.pem -o /dev/null -w '%{http_code}' "$url&x=1")" 400
  iotctl serve --stop
  ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0 faketime -f +20m iotctl serve --detach
  is "$(curl -sS --cacert pump-1/ca.pem -o /dev/null -w '%{http_code}' "$url")" 403
}
