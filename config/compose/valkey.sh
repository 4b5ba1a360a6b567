#!/bin/sh
# Start Valkey with the project's users: hotband's gets the password that stands in the secret valkey_url, of which the server keeps the
# hash alone. The others have none, so nobody can be them, but for those that a secret valkey_admin or valkey_replica gives one.
set -eu
url=${VALKEY_URL_FILE:-/run/secrets/valkey_url}
secrets=${VALKEY_SECRETS:-/run/secrets}
users=${VALKEY_USERS:-/etc/valkey/users.acl}
run=${VALKEY_RUN:-/run/valkey}

password=$(sed -n 's#^rediss\{0,1\}\(+[a-z]*\)\{0,1\}://hotband:\([^@]*\)@.*#\2#p' "$url")
[ -n "$password" ] || { echo "$url must hold redis://hotband:PASSWORD@valkey:6379/0" >&2; exit 2; }
umask 077
cp "$users" "$run/users.acl"
: > "$run/valkey.conf"
enter() { # USER PASSWORD
  hash=$(printf %s "$2" | sha256sum | cut -d ' ' -f 1)
  sed "s/^user $1 on /&#$hash /" "$run/users.acl" > "$run/users.new"
  mv "$run/users.new" "$run/users.acl"
}
enter hotband "$password"
if [ -e "$secrets/valkey_admin" ]; then enter admin "$(cat "$secrets/valkey_admin")"; fi
if [ -e "$secrets/valkey_replica" ]; then
  enter replica "$(cat "$secrets/valkey_replica")"
  printf 'masteruser replica\nmasterauth %s\n' "$(cat "$secrets/valkey_replica")" > "$run/valkey.conf"
fi
exec valkey-server "$run/valkey.conf" --aclfile "$run/users.acl" --appendonly yes --save '' --maxmemory-policy noeviction "$@"
