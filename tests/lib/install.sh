# shellcheck shell=bash
# Installing packages, for quickstart and tests/run. Sourced; $top is the project's folder.
: "${top:?}"

# packages KIND...: the package names of these kinds, as tests/packages lists them.
packages() {
  local kind
  for kind in "$@"; do
    awk -v kind="$kind" '!/^#/ && $3 == kind { print $1 }' "$top/tests/packages"
  done
}

# missing_packages KIND...: those that are not installed.
missing_packages() {
  local package
  for package in $(packages "$@"); do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || echo "$package"
  done
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    echo "this needs root: run it as root, install sudo, or install these packages yourself" >&2
    return 1
  fi
}

# keep_service_down: Debian starts and enables mosquitto's own service when the package is installed. Nobody
# asked for that here: when it was not there before, it is neither started nor enabled.
keep_service_down() {
  local policy=/usr/sbin/policy-rc.d
  [ -e "$policy" ] && return 0
  # shellcheck disable=SC2016 # it is the script's own $1
  printf '#!/bin/sh\n[ "$1" = mosquitto ] && exit 101\nexit 0\n' | as_root tee "$policy" >/dev/null
  as_root chmod 755 "$policy"
  echo "$policy"
}

# install_packages KIND...: install what is missing, nothing else, and say what it was.
install_packages() {
  local missing policy='' fresh_mosquitto=no status=0
  missing=$(missing_packages "$@")
  if [ -z "$missing" ]; then
    echo "packages: all there"
    return 0
  fi
  if ! command -v apt-get >/dev/null; then
    echo "missing packages, and no apt-get to install them with: $(echo "$missing" | tr '\n' ' ')" >&2
    return 1
  fi
  if echo "$missing" | grep -qx mosquitto; then
    fresh_mosquitto=yes
    policy=$(keep_service_down) || return 1
  fi
  as_root apt-get update -qq || echo "the package lists could not be renewed; trying with the old ones" >&2
  # shellcheck disable=SC2086 # a list of names
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends --no-upgrade $missing \
    >"${TMPDIR:-/tmp}/iotctl-apt.$$" 2>&1 || status=$?
  [ -n "$policy" ] && as_root rm -f "$policy"
  if [ "$status" -ne 0 ]; then
    tail -n 20 "${TMPDIR:-/tmp}/iotctl-apt.$$" >&2
    rm -f "${TMPDIR:-/tmp}/iotctl-apt.$$"
    echo "could not install: $(echo "$missing" | tr '\n' ' ')" >&2
    return 1
  fi
  rm -f "${TMPDIR:-/tmp}/iotctl-apt.$$"
  if [ "$fresh_mosquitto" = yes ] && [ -d /run/systemd/system ]; then
    as_root systemctl disable --quiet mosquitto.service 2>/dev/null || true
  fi
  echo "packages installed: $(echo "$missing" | tr '\n' ' ')"
}
