#!/bin/sh
# Start Valkey with the project's users: hotband's gets the password that stands in the secret valkey_url, of which the server keeps the
# hash alone. The administrator's user has none, so nobody can be it; to be it, put "#HASH" behind its "on" in a copy of users.acl.
set -eu
url=${VALKEY_URL_FILE:-/run/secrets/valkey_url}
users=${VALKEY_USERS:-/etc/valkey/users.acl}
run=${VALKEY_RUN:-/run/valkey}

password=$(sed -n 's#^rediss\{0,1\}://hotband:\([^@]*\)@.*#\1#p' "$url")
[ -n "$password" ] || { echo "$url must hold redis://hotband:PASSWORD@valkey:6379/0" >&2; exit 2; }
hash=$(printf %s "$password" | sha256sum | cut -d ' ' -f 1)
umask 077
sed "s/^user hotband on /&#$hash /" "$users" > "$run/users.acl"
exec valkey-server --aclfile "$run/users.acl" --appendonly yes --save '' --maxmemory-policy noeviction "$@"
