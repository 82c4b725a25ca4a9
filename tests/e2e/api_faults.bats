#!/usr/bin/env bats
# The HTTPS API against requests that are wrong on purpose, each in one place. They are signed by tests/e2e/api_client.py,
# which knows nothing of our code.

load common
load api

setup() {
  common_setup
  need python3
  start_api
  make_operator alice --role admin
  use_operator alice
}
teardown() { common_teardown; }

things() { iotctl device list --query .thingName -o jsonl | wc -l; }
alive() { answers "200 -" GET /things; }

@test "the signature covers the whole request" {
  answers "200 -" POST /things/good --text '{"attributePayload":{"attributes":{"a":"b"}}}'
  answers "403 MissingAuthenticationTokenException" GET /things --no-signature
  answers "403 InvalidSignatureException" GET /things/other --sign-target /things/good
  answers "403 InvalidSignatureException" GET '/things?maxResults=2' --sign-target '/things?maxResults=1'
  answers "403 InvalidSignatureException" POST /things/x --text '{"thingTypeName":"b"}' --sign-text '{"thingTypeName":"a"}'
  answers "403 InvalidSignatureException" POST /things/x --text '{}' --sign-text ''
  answers "403 InvalidSignatureException" POST /things/x --text '{"a":1}' --header "x-amz-content-sha256: $(printf '%064d' 0)"
  answers "403 InvalidSignatureException" POST /things/x --header "x-amz-content-sha256: UNSIGNED-PAYLOAD" --text '{}'
  # headers that came along on the way
  answers "400 IncompleteSignature" GET /things --unsigned 'x-amz-meta: 1'
  answers "400 IncompleteSignature" PUT /things/good/principals --unsigned 'x-amzn-principal: arn:aws:iot:local:000000000000:cert/a'
  answers "200 -" GET /things --header 'X-Other:  a   b ' --unsigned 'X-More: 1'
  # another's key, another secret, another scope
  AWS_SECRET_ACCESS_KEY=wrong answers "403 InvalidSignatureException" GET /things
  AWS_ACCESS_KEY_ID=IOTAAAAAAAAAAAAAAAAA answers "403 UnrecognizedClientException" GET /things
  answers "200 -" GET /things --service execute-api # what the AWS CLI 2.9 calls it
  answers "403 InvalidSignatureException" GET /things --service ec2
  answers "404 UnknownOperationException" GET /topics/a --service iot
  answers "200 -" GET /things --region eu-central-1
  answers "403 UnrecognizedClientException" GET /things --header 'x-amz-security-token: abc'
  is "$(things)" 1
  not grep -q "$AWS_SECRET_ACCESS_KEY" "$fleet/broker/serve.log"
}

@test "malformed authorizations are refused, whatever is wrong with them" {
  local day scope zeros
  day=$(date -u +%Y%m%d) scope=$day/local/iot/aws4_request
  zeros=$(printf '%064d' 0)
  for text in 'Basic YTpi' 'AWS4-HMAC-SHA256' 'AWS4-HMAC-SHA256 ' 'AWS4-ECDSA-P256-SHA256 Credential=a' \
    "AWS4-HMAC-SHA256 Credential=$AWS_ACCESS_KEY_ID/$scope, SignedHeaders=host;x-amz-date, Signature=abc" \
    "AWS4-HMAC-SHA256 Credential=$AWS_ACCESS_KEY_ID/$scope, SignedHeaders=x-amz-date;host, Signature=$zeros" \
    "AWS4-HMAC-SHA256 Credential=$AWS_ACCESS_KEY_ID/$scope, SignedHeaders=x-amz-date, Signature=$zeros" \
    "AWS4-HMAC-SHA256 Credential=$AWS_ACCESS_KEY_ID/$day/iot, SignedHeaders=host;x-amz-date, Signature=$zeros" \
    "AWS4-HMAC-SHA256 Credential=$AWS_ACCESS_KEY_ID/20010101/local/iot/aws4_request, SignedHeaders=host;x-amz-date, Signature=$zeros" \
    "AWS4-HMAC-SHA256 Credential=../../etc/passwd, SignedHeaders=host;x-amz-date, Signature=$zeros" \
    "AWS4-HMAC-SHA256 $(head -c 4000 /dev/zero | tr '\0' 'a')"; do
    ask GET /things --authorization "$text"
    [[ $output =~ ^40[03]\ (IncompleteSignature|InvalidSignatureException|UnrecognizedClientException)$ ]] || { echo "$text: $output" >&2; false; }
  done
  answers "403 MissingAuthenticationTokenException" GET /things --unsigned 'Authorization: Basic YTpi' # two of them
  ask GET '/things?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00' --no-signature
  [[ $output == 40[03]* ]]
  alive
}

@test "a clock may be off by a quarter of an hour, and no more" {
  answers "200 -" GET /things --skew -800
  answers "200 -" GET /things --skew 800
  answers "403 RequestTimeTooSkewed" GET /things --skew -3600
  answers "403 RequestTimeTooSkewed" GET /things --skew 3600
  # What changes something and was signed before serve was started may have been seen by the one before.
  answers "403 InvalidSignatureException" POST /things/x --skew -800
  answers "200 -" POST /things/x --skew 10
}

@test "what changes something counts once" {
  answers "200 -" POST /things/one --save bytes
  answers "200 -" DELETE /things/one
  answers "403 InvalidSignatureException" POST /things/one --replay bytes
  is "$(things)" 0
  # what only reads may come again
  answers "200 -" GET /things --save bytes
  answers "200 -" GET /things --replay bytes
  # on its own connection an SDK may repeat itself
  answers $'200 -\n200 -' POST /things/two --twice
  is "$(things)" 1
  # not even after a restart
  ask POST /topics/a --service iotdata --text hello --save bytes
  is "$output" "200 -"
  iotctl serve --stop
  sleep 1 # signatures have whole seconds
  iotctl serve --detach
  answers "403 InvalidSignatureException" POST /topics/a --replay bytes
}

@test "paths are what they are, never cleaned up" {
  iotctl device create pump-1 --policy device --out ./pump-1 >/dev/null
  answers "200 -" GET /things/pump-1
  answers "200 -" GET /things/%70ump-1
  for path in /things/../things/pump-1 /things/./pump-1 /things/%2e%2e/pump-1 /things//pump-1 //things/pump-1 \
    /things/pump-1/ /things/pump-1%00 '/things/pump-1%' /things/%zz /things/%ff '/things/pump-1;x=1' /things%2Fpump-1 \
    /Things/pump-1 /../../../../etc/passwd; do
    ask GET "$path"
    [[ $output =~ ^40[034]\ (UnknownOperationException|InvalidRequestException)$ ]] || { echo "$path: $output" >&2; false; }
  done
  for path in /demo/../registry.db /demo/%2e%2e/registry.db /demo//x /demo/..%2F..%2Fregistry.db /demo/%00; do
    ask GET "$path" --service s3
    [[ $output =~ ^(404|501)\ (NotImplemented|NoSuchKey)$ ]] || { echo "$path: $output" >&2; false; }
  done
  # what is no request line at all
  ask GET 'things/pump-1'
  [[ $output == 4* || $output == closed ]]
  ask GET 'https://localhost/things/pump-1'
  [[ $output == 4* || $output == closed ]]
  ask GET '/things/pump-1\x00/x'
  [[ $output == 4* || $output == closed ]]
  alive
}

@test "methods and parameters that an operation does not have" {
  for method in PUT HEAD OPTIONS TRACE FOO get; do
    ask "$method" /things/pump-1
    [ "$output" = "405 MethodNotAllowedException" ] || { echo "$method: $output" >&2; false; }
  done
  answers "400 InvalidRequestException" GET '/things?maxResults=0'
  answers "400 InvalidRequestException" GET '/things?maxResults=251'
  answers "400 InvalidRequestException" GET '/things?maxResults=1&maxResults=2'
  answers "400 InvalidRequestException" GET '/things?nonsense=1'
  answers "400 InvalidRequestException" GET '/things?nextToken=nonsense'
  answers "400 InvalidRequestException" POST /things/x --text 'not json'
  answers "400 InvalidRequestException" POST /things/x --text '{"thingName":"y"}'
  answers "400 InvalidRequestException" POST /things/x --text '{"a":{"a":1,"a":2}}'
  answers "415 UnsupportedDocumentEncodingException" POST /things/x --header 'Content-Encoding: gzip' --text '{}'
  answers "501 NotImplemented" PUT '/demo/k?acl' --service s3 || answers "400 InvalidRequest" PUT '/demo/k?acl' --service s3
  is "$(things)" 0
}

@test "requests that are too large end early" {
  local key before after
  head -c 200000 /dev/zero | tr '\0' ' ' >large
  answers "413 RequestEntityTooLargeException" POST /things/x --body large
  head -c 131072 /dev/zero | tr '\0' 'x' >full
  answers "200 -" POST /topics/a --service iotdata --body full
  answers "413 RequestEntityTooLargeException" POST /topics/a --service iotdata --body large
  # announced as huge, and never sent
  answers "413 RequestEntityTooLargeException" POST /things/x --unsigned 'Content-Length: 99999999999'
  answers "400 EntityTooLarge" PUT /demo/k --service s3 --unsigned 'Content-Length: 99999999999'
  # headers
  key=$(head -c 100000 /dev/zero | tr '\0' 'a')
  ask GET /things --header "X-Long: ${key:0:40000}"
  [[ $output == 431* || $output == 413* || $output == closed ]] || { echo "$output" >&2; false; }
  ask GET "/things?nextToken=${key:0:20000}"
  [[ $output == 4* || $output == closed ]]
  set --
  for n in $(seq 80); do set -- "$@" --header "X-$n: 1"; done
  answers "400 InvalidRequestException" GET /things "$@"
  ask GET /things --unsigned 'Content-Length: -1'
  [[ $output == 4* || $output == closed ]]
  alive
  is "$(things)" 0
}

@test "an image that is not what was announced leaves nothing behind" {
  firmware 1.0.0 image.bin
  local digest
  digest=$(sha256sum <image.bin | cut -d' ' -f1)
  answers "400 XAmzContentSHA256Mismatch" PUT /demo/k --service s3 --body image.bin --header "x-amz-content-sha256: $(printf '%064d' 1)"
  answers "400 InvalidRequest" PUT /demo/k --service s3 --text ''
  answers "501 NotImplemented" PUT /demo/k --service s3 --body image.bin --header 'x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD'
  answers "404 NoSuchBucket" PUT /other/k --service s3 --body image.bin
  answers "400 InvalidRequest" PUT "/demo/$(printf '%064d' 1)" --service s3 --body image.bin
  answers "404 NoSuchKey" GET /demo/k --service s3
  answers "200 -" PUT /demo/k --service s3 --body image.bin
  [ -f "$fleet/images/$digest" ]
  # chunks as SDKs send them, with a wrong checksum and with the right one
  printf '5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n' >wrong
  printf '5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n' >right
  answers "400 XAmzContentSHA256Mismatch" PUT /demo/w --service s3 --body wrong --header 'x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER'
  answers "200 -" PUT /demo/c --service s3 --body right --header 'x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER'
  answers $'200 -\nhello' GET /demo/c --service s3 --show
}

later() { # FILE METHOD TARGET [options]: as ask, in the background; the answer is in FILE
  local file=$1
  shift
  (ask "$@"; echo "$output" >"$file") 3>&- &
  pids+=($!)
}

@test "whoever is slow, silent, or stops half-way keeps nobody waiting, and leaves nothing behind" {
  local n before=${#pids[@]}
  firmware 1.0.0 image.bin
  later slow.out GET /things --slow 0.5
  later part.out GET /things --part 10
  later image.out PUT /demo/k --service s3 --body image.bin --part 2000
  # not announced at all: chunks without an end
  later endless.out POST /things/x --unsigned 'Transfer-Encoding: chunked' --text "$(printf '20000\r\n')" --part 100000
  # two hundred connections that never say a word
  for n in $(seq 200); do eval "exec {fd$n}<>/dev/tcp/127.0.0.1/$api_port" || true; done
  alive
  answers "200 -" POST /things/quick
  # garbage instead of TLS, and TLS without HTTP
  printf 'GET / HTTP/1.0\r\n\r\n' >"/dev/tcp/127.0.0.1/$api_port"
  head -c 5000 /dev/urandom >"/dev/tcp/127.0.0.1/$api_port" || true
  alive
  wait "${pids[@]:before}"
  is "$(cat part.out slow.out image.out)" $'closed\nclosed\nclosed'
  [[ $(cat endless.out) == 4* || $(cat endless.out) == closed ]]
  until_true 5 bash -c "[ \$(find '$fleet/images' -name '.*' ! -name . | wc -l) -eq 0 ]"
  answers "404 NoSuchKey" GET /demo/k --service s3
  alive
  # and serve still does the rest of its work
  is "$(things)" 1
  iotctl serve --stop
}

@test "requests in one piece are answered in their order" {
  answers $'200 -\n200 -' GET /things --twice
  answers $'404 ResourceNotFoundException\n404 ResourceNotFoundException' GET /things/nobody --twice
  # what is refused before its body was read ends the connection, and the rest is not taken for a request
  ask POST /things/x --text 'GET /things HTTP/1.1' --no-signature --twice
  [[ $output == $'403 MissingAuthenticationTokenException'* ]]
  not grep -q 200 <<<"$output"
}

@test "without a broker a message is refused, with a code that says to try again" {
  local broker
  broker=$(mosquitto_pid)
  kill -STOP "$broker"
  ask POST '/topics/a?qos=1' --service iotdata --text hello
  kill -CONT "$broker" 2>/dev/null || true
  is "$output" "503 ServiceUnavailableException"
  until_true 20 answers "200 -" POST '/topics/a?qos=1' --service iotdata --text again
}

@test "the listeners' certificate is renewed before it ends, and devices notice nothing" {
  command -v faketime >/dev/null || skip 'needs faketime'
  local before serial
  make_device pump-1
  iotctl serve --stop
  before=$(openssl x509 -in "$fleet/ca/server.pem" -noout -serial -pubkey -ext subjectAltName)
  iotctl serve --detach # far from its end: it stays
  is "$(openssl x509 -in "$fleet/ca/server.pem" -noout -serial -pubkey -ext subjectAltName)" "$before"
  iotctl serve --stop
  ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0 faketime -f +800d iotctl serve --detach
  iotctl serve --stop
  serial=$(openssl x509 -in "$fleet/ca/server.pem" -noout -serial)
  not is "$serial" "$(head -n 1 <<<"$before")"
  logged "$fleet/broker/serve.log" "the certificate of the listeners was renewed"
  is "$(openssl x509 -in "$fleet/ca/server.pem" -noout -pubkey -ext subjectAltName)" "$(tail -n +2 <<<"$before")"
  openssl x509 -in "$fleet/ca/server.pem" -noout -checkend $((1600 * 86400)) >/dev/null
  openssl verify -CAfile "$fleet/ca/root.pem" -untrusted "$fleet/ca/issuing.pem" -attime "$(date -d '+900 days' +%s)" "$fleet/ca/server.pem"
}
