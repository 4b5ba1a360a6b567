#!/bin/sh
# Make the secrets that compose.yaml asks for, where they are missing, in ./secrets: random passwords, and the OANDA token from standard
# input. Only you may enter the folder; the containers, which run as others, read the files.
set -eu
cd "$(dirname "$0")/../.."
mkdir -p secrets
chmod 700 secrets
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
make() { # NAME, content on standard input
  [ -e "secrets/$1" ] && return
  cat > "secrets/$1" && chmod 444 "secrets/$1" && echo "secrets/$1 made"
}
printf 'redis://hotband:%s@valkey:6379/0\n' "$(random)" | make valkey_url
random | make grafana_admin_password
if [ ! -e secrets/oanda_api_key ]; then
  echo "Token of the OANDA account, then Enter (anything where HOTBAND_SOURCE is not oanda):"
  head -n 1 | make oanda_api_key
fi
