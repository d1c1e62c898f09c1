#!/usr/bin/env bash
# One server and three clients, from the files of testnet/workshop with ports and directories of
# their own: joining, spreading, asking any agent, restarts, bad addresses, a reload.
# usage: tests/cluster.sh PATH_TO_TUMEN   Binds free loopback ports only; removes what it started.
set -euo pipefail

tumen=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
declare -A pids

fail() {
  printf 'FAILED: %s\n' "$1" >&2
  for log in "$work"/*.log; do
    printf -- '---- %s\n' "$log" >&2
    tail -n 25 "$log" >&2
  done
  exit 1
}
finish() {
  NOMAD_ADDR=$server timeout 20 "$tumen" job stop -purge three >/dev/null 2>&1 || true
  for pid in "${pids[@]}"; do
    kill -INT "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap finish EXIT

# until SECONDS COMMAND…: repeats the command until it succeeds.
until_true() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || fail "never true: $*"
    sleep 0.05
  done
}
# expect TEXT FILE: the file has the text.
expect() { grep -qE -- "$1" "$2" || { cat "$2" >&2; fail "no '$1' in the output above"; }; }
say() { printf '%s\n' "-- $1"; }
start() {
  "$tumen" agent -config="$work/$1.hcl" >>"$work/$1.log" 2>&1 &
  pids[$1]=$!
}
# stop SIGNAL NAME: ends an agent and checks that it ended well.
stop() {
  kill "-$1" "${pids[$2]}"
  local code=0
  wait "${pids[$2]}" || code=$?
  unset "pids[$2]"
  [ "$1" = KILL ] || [ "$code" = 0 ] || fail "$2 exits 0 after SIG$1, not $code"
}

# Every port of the four files becomes a free one, the same in all of them.
used=$(grep -ohE '\b(464[678]|56[567][678])\b' "$here"/../testnet/workshop/*.hcl | sort -u)
mapped=$(python3 - $used <<'PY'
import socket, sys
held = []
for port in sys.argv[1:]:
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    held.append(s)
    print(f"s/\\b{port}\\b/{s.getsockname()[1]}/g;")
PY
)
for name in server client1 client2 client3; do
  sed -E "$mapped s#/tmp/tumen-workshop#$work/data#" "$here/../testnet/workshop/$name.hcl" >"$work/$name.hcl"
done
port() { sed -nE "s/^ *$2 += ([0-9]+)$/\1/p" "$work/$1.hcl"; }
server=http://127.0.0.1:$(port server http)
client2=http://127.0.0.1:$(port client2 http)
export NOMAD_ADDR=$server

say 'three clients join by one address'
for name in client1 client2 client3 server; do start "$name"; done
ready() { [ "$("$tumen" node status | grep -c ' ready$')" = "$1" ]; }
until_true 20 ready 3
"$tumen" server members >"$work/out.txt"; expect '^server\.global .* alive +true' "$work/out.txt"
known() { [ "$(curl -fsS "$client2/v1/agent/members?all=true" | grep -o '"Status":"alive"' | wc -l)" = "$1" ]; }
until_true 10 known 4

say 'a job with count = 3 lands on all three'
"$tumen" job run -detach "$here/../testnet/workshop/three.nomad.hcl" >/dev/null
running() { [ "$("$tumen" job allocs three | grep -c ' running ')" = 3 ]; }
until_true 20 running
nodes() { "$tumen" job allocs three | awk '/ running /{print $2}' | sort -u | wc -l; }
[ "$(nodes)" = 3 ] || fail 'each client has one instance'

say 'any agent answers for all'
export NOMAD_ADDR=$client2
"$tumen" server members >"$work/out.txt"; expect '^server\.global .* alive +true' "$work/out.txt"
for alloc in $("$tumen" job allocs -t '{{range .}}{{.ID}} {{end}}' three); do
  "$tumen" alloc fs "$alloc" server >"$work/out.txt"; expect 'local' "$work/out.txt"
done
curl -fsS "$client2/v1/agent/health" >"$work/out.txt"; expect '"client":\{"message":"ok","ok":true\}' "$work/out.txt"
if grep -q '"server"' "$work/out.txt"; then fail 'a client has no server to be healthy'; fi

say 'the keys of a gossip that is not sealed'
"$tumen" operator gossip keyring generate >"$work/out.txt"; expect '^[A-Za-z0-9+/]{43}=$' "$work/out.txt"
code=0; "$tumen" operator gossip keyring list >"$work/out.txt" 2>&1 || code=$?
[ "$code" = 1 ] || fail "listing keys that are not there exits 1, not $code"
expect '4/4 nodes reported failure: .* not encrypted' "$work/out.txt"

say 'addresses that cannot be joined'
"$tumen" server join "127.0.0.1:$(port server serf)" >"$work/out.txt"; expect 'Joined 1 servers' "$work/out.txt"
"$tumen" server join "127.0.0.1:$(port server rpc)" >"$work/out.txt"; expect 'Joined 1 servers' "$work/out.txt"
code=0; "$tumen" server join "127.0.0.1:$(port server http)" >"$work/out.txt" 2>&1 || code=$?
[ "$code" = 1 ] || fail "joining an http port exits 1, not $code"
expect "no member answers at 127.0.0.1:$(port server http)" "$work/out.txt"
sed -E '1i region = "mars"
s/client1"/mars1"/' "$work/client1.hcl" |
  sed -E "s/^ +(http|rpc|serf) += [0-9]+/  \1 = 0/" >"$work/mars1.hcl"
start mars1
says() { grep -qE -- "$1" "$work/$2.log"; }
until_true 10 says '`server` \(.*\) is of region `global` and `mars1` \(.*\) of region `mars`' mars1
stop INT mars1
code=0; "$tumen" agent -config="$work/client1.hcl" -node=again >"$work/out.txt" 2>&1 || code=$?
[ "$code" = 1 ] || fail "an agent on ports in use exits 1, not $code"
sed -E "s/^ +(http|rpc|serf) += [0-9]+/  \1 = 0/" "$work/client1.hcl" >"$work/again.hcl"
code=0; "$tumen" agent -config="$work/again.hcl" >"$work/out.txt" 2>&1 || code=$?
expect 'data/client1` is in use by another agent' "$work/out.txt"

say 'a reload'
sed -i '1i log_level = "DEBUG"\ndatacenter = "dc1"' "$work/client3.hcl"
kill -HUP "${pids[client3]}"
until_true 5 says 'log_level is now DEBUG' client3
expect 'Needs a restart: datacenter' "$work/client3.log"

say 'a restarted agent finds its cluster again without any address'
before=$("$tumen" job allocs three | awk '/ running /{print $1}' | sort)
sed -i '/servers .*=/d' "$work/client3.hcl"
export NOMAD_ADDR=$server
stop TERM client3
start client3
until_true 10 says 'node registration complete' client3
until_true 10 ready 3
stop TERM server
start server
until_true 20 ready 3
until_true 10 running
[ "$before" = "$("$tumen" job allocs three | awk '/ running /{print $1}' | sort)" ] ||
  fail 'no instance is replaced because an agent was restarted'
until_true 10 known 4

say 'a member that is gone'
stop KILL client1
failed() { curl -fsS "$client2/v1/agent/members?all=true" | grep -q '"Status":"failed"'; }
until_true 10 failed
"$tumen" server force-leave client1 >/dev/null
left() { curl -fsS "$client2/v1/agent/members?all=true" | grep -q '"Status":"left"'; }
until_true 10 left
"$tumen" server force-leave -prune client1 >/dev/null
until_true 10 known 3
pruned() { ! curl -fsS "$client2/v1/agent/members?all=true" | grep -q client1; }
until_true 10 pruned
start client1
until_true 10 known 4
until_true 10 ready 3

say 'done'
