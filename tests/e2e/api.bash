# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # variables of common.bash, and for the tests that load this
# For the tests of the HTTPS API: a fleet whose serve has one, and operators with their keys.

start_api() { # [options of serve]
  port=$(free_port)
  api_port=$(free_port)
  while [ "$api_port" = "$port" ]; do api_port=$(free_port); done
  iotctl init demo --port "$port" >/dev/null
  iotctl serve --detach --api-port "$api_port" "$@"
  url=https://localhost:$api_port
  ca=$fleet/ca/chain.pem
  export AWS_PAGER='' AWS_EC2_METADATA_DISABLED=true AWS_DEFAULT_REGION=local AWS_MAX_ATTEMPTS=1
}

python=/usr/bin/python3 # before any shim, which takes longer than the request
[ -x "$python" ] || python=python3

setting() { sed -n "s/^$2 = //p" "$1.profile"; } # NAME KEY

make_operator() { # NAME [options]
  local name=$1
  shift
  iotctl operator create "$name" "$@" >/dev/null
}

use_operator() { # NAME: for the AWS CLI and for ask
  AWS_ACCESS_KEY_ID=$(setting "$1" access-key-id)
  AWS_SECRET_ACCESS_KEY=$(setting "$1" secret-access-key)
  export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
}

# ask METHOD TARGET [options]: see api_client.py. Its output is in $output.
ask() {
  output=$("$python" "$BATS_TEST_DIRNAME/api_client.py" "$api_port" "$ca" "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" "$@" 2>&1)
}

# answers TEXT METHOD TARGET [options]
answers() {
  local want=$1
  shift
  ask "$@"
  [ "$output" = "$want" ] || { printf '%s\ngave: %s\nnot:  %s\n' "$*" "$output" "$want" >&2; return 1; }
}

# What the AWS CLI ends with when it was refused: version 2 says that by a status of its own.
case $(aws --version 2>&1 || true) in
  aws-cli/1.*) aws_refused=255 ;;
  *) aws_refused=254 ;;
esac

aws_() { aws --endpoint-url "$url" --ca-bundle "$ca" "$@"; }

need() { command -v "$1" >/dev/null || skip "$1 is not installed"; }
