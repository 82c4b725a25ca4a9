# shellcheck shell=bash disable=SC2154,SC2034 # what common.bash and the tests share
# A fleet at AWS for tests: the strict endpoint (tests/lib/aws_endpoint.py), and a plain mosquitto in place of its broker.

aws_setup() { # after common_setup: a fleet directory, and the cloud is AWS
  command -v python3 >/dev/null || skip "python3 is not installed"
  unset "${!AWS_@}" http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
  iotctl init demo >/dev/null 2>&1
  export AWS_ACCESS_KEY_ID=AKIDEXAMPLE AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY
  export AWS_REGION=eu-west-1 IOTCTL_CLOUD=aws
  mkfifo stay
  # The endpoint lives as long as this test holds the other end.
  python3 "$BATS_TEST_DIRNAME/../lib/aws_endpoint.py" ports <stay >endpoint.log 2>&1 &
  pids+=($!)
  exec 9>stay
  until_true 20 test -s ports
  read -r -a ports <ports
  url=http://127.0.0.1:${ports[0]}
  export AWS_ENDPOINT_URL=$url
  role=arn:aws:iam::123456789012:role/fleet
  iotctl api CreatePolicy policyName=device 'policyDocument={"Version":"2012-10-17","Statement":[]}' >/dev/null
}

aws_teardown() {
  exec 9>&- || true
  common_teardown || return
  [ ! -s endpoint.log ] || { cat endpoint.log >&2; return 1; }
}

control() { curl -sS --fail ${2:+-d "$2"} "$url/$1"; }
faults() { control fault "{\"faults\": [$1]}" >/dev/null; }
done_of() { control log | grep -c -x "$1" || true; }
count() { control count | jq ".$1"; }
counts() { control count | jq -r '[.things, .certificates, .principals, .attached] | join(" ")'; }

# A mosquitto with the fleet's server certificate in place of AWS's broker, at "localhost:$broker"; $plain is for test clients.
# Its events name the certificate id in the file ./principal, if there is one, else what the endpoint knows of the device.
start_broker() {
  broker=$(free_port)
  plain=$(free_port)
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -subj /CN=localhost -out server.csr 2>/dev/null
  openssl x509 -req -in server.csr -CA "$fleet/ca/root.pem" -CAkey "$fleet/ca/root.key" -set_serial 77 -days 9 \
    -extfile <(echo subjectAltName=DNS:localhost) -out server.pem 2>/dev/null
  printf '%s\n' "user $(id -un)" 'allow_anonymous true' 'log_dest stdout' 'log_type all' "listener $broker 127.0.0.1" \
    "cafile $fleet/ca/root.pem" "certfile $work/server.pem" "keyfile $work/server.key" "listener $plain 127.0.0.1" >mosquitto.conf
  stdbuf -oL mosquitto -c mosquitto.conf >mosquitto.out 2>&1 3>&- &
  pids+=($!)
  until_true 10 grep -q ' running' mosquitto.out
  python3 "$BATS_TEST_DIRNAME/../lib/aws_broker.py" "$url" mosquitto.out "$plain" principal <stay >broker.log 2>&1 3>&- &
  pids+=($!)
  control address localhost >/dev/null
  export IOTCTL_AWS_ROOT_CA=$fleet/ca/root.pem
}

# The profile of an operator with a certificate, who may hear lifecycle events.
write_operator() { # NAME
  mkdir -p .aws "$XDG_CONFIG_HOME/iotctl"
  printf '[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n' "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" >.aws/credentials
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj "/CN=$1" -keyout operator.key -out operator.pem 2>/dev/null
  cat >>"$XDG_CONFIG_HOME/iotctl/iotctl.conf" <<END
[profile $1]
operator = $1
cloud = aws
fleet = demo
aws-profile = default
broker = localhost:$broker
client-certificate-data = $(base64 -w0 operator.pem)
client-key-data = $(base64 -w0 operator.key)
ca-data = $(base64 -w0 "$fleet/ca/root.pem")
END
  chmod 600 "$XDG_CONFIG_HOME/iotctl/iotctl.conf"
}
