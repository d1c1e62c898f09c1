#!/usr/bin/env bash
# The tour of the README, played against a built binary with real containers.
# usage: tests/workshop.sh PATH_TO_TUMEN
# Needs a Docker engine with the images of tests/images.sh. Binds free loopback ports only, and
# removes what it started.
set -euo pipefail

tumen=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
agent=

fail() {
  printf 'FAILED: %s\n' "$1" >&2
  [ -f "$work/agent.log" ] && tail -n 60 "$work/agent.log" >&2
  exit 1
}
finish() {
  if [ -n "$agent" ]; then
    kill -INT "$agent" 2>/dev/null || true
    wait "$agent" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap finish EXIT

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
# until SECONDS COMMAND…: repeats the command until it succeeds.
until_true() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || fail "never true: $*"
    sleep 0.1
  done
}
# expect TEXT FILE: the file has the text.
expect() { grep -qE -- "$1" "$2" || { cat "$2" >&2; fail "no '$1' in the output above"; }; }
say() { printf '%s\n' "-- $1"; }

cat >"$work/agent.hcl" <<HCL
ports {
  http = $(free_port)
  rpc  = $(free_port)
  serf = $(free_port)
}
HCL
http=$(sed -n 's/.*http = //p' "$work/agent.hcl")
export NOMAD_ADDR="http://127.0.0.1:$http"

say 'agent -dev'
"$tumen" agent -dev -config="$work/agent.hcl" -node=workshop >"$work/agent.log" 2>&1 &
agent=$!
ready() { "$tumen" node status | grep -q ' ready'; }
until_true 20 ready

cd "$work"
say 'version'
"$tumen" -version >out.txt; expect '^Tumen v0\.' out.txt
code=0; "$tumen" nonsense >out.txt 2>&1 || code=$?
[ "$code" = 127 ] || fail "an unknown command exits 127, not $code"

say 'members, nodes, raft'
"$tumen" server members >out.txt; expect 'workshop\.global .* alive' out.txt
"$tumen" node status -self -verbose >out.txt; expect '^Name += workshop' out.txt
node=$(sed -n 's/^ID *= //p' out.txt)
[ -n "$node" ] || fail 'the node shows no id'
"$tumen" operator raft list-peers >out.txt; expect 'leader' out.txt
"$tumen" agent-info >out.txt; expect 'state = Leader' out.txt

say 'a job in the syntax of 2019'
cp "$here/../examples/redis-classic.nomad.hcl" example.nomad.hcl
"$tumen" job validate example.nomad.hcl >out.txt; expect 'Job validation successful' out.txt
"$tumen" job run example.nomad.hcl >out.txt; expect 'Deployment .* successful' out.txt
alloc=$("$tumen" job allocs -json example | python3 -c 'import json,sys; print(json.load(sys.stdin)[0]["ID"])')
docker ps --format '{{.Names}} {{.Ports}}' >out.txt
expect "^redis-$alloc .*->6379/tcp.*->6379/udp" out.txt
"$tumen" alloc status "${alloc:0:8}" >out.txt; expect 'Client Status += running' out.txt
"$tumen" alloc exec "$alloc" redis-cli ping >out.txt; expect PONG out.txt
logged() { "$tumen" alloc logs "$alloc" | grep -qi 'ready to accept'; }
until_true 10 logged
"$tumen" alloc fs "$alloc" alloc/logs >out.txt; expect 'redis\.stdout\.0' out.txt
"$tumen" service list >out.txt; expect 'redis-cache' out.txt

say 'pages, JSON and errors'
curl -fsS "$NOMAD_ADDR/ui/jobs/example" >out.txt; expect example out.txt
curl -fsS "$NOMAD_ADDR/v1/jobs?filter=Status%20==%20%22running%22" >out.txt; expect '"ID":"example"' out.txt
"$tumen" job run -output example.nomad.hcl >job.json
curl -fsS -d @job.json "$NOMAD_ADDR/v1/jobs" >out.txt; expect '"EvalID":"[0-9a-f-]{36}"' out.txt
code=$(curl -sS -o out.txt -w '%{http_code}' -d '{"Job":{"ID":"x","TaskGroups":[{"Count":"x"}]}}' "$NOMAD_ADDR/v1/jobs")
[ "$code" = 400 ] || fail "a wrong type answers 400, not $code"
expect 'Job.TaskGroups\[0\].Count' out.txt
sed 's/driver = /drvier = /' example.nomad.hcl >wrong.nomad.hcl
code=0; "$tumen" job run wrong.nomad.hcl >out.txt 2>&1 || code=$?
[ "$code" = 1 ] || fail "a wrong file exits 1, not $code"
expect 'Did you mean "driver"' out.txt
"$tumen" fmt -check -recursive "$here/../examples" || fail 'the examples are not laid out'
"$tumen" operator api /v1/status/leader >out.txt; expect '"127\.0\.0\.1:[0-9]+"' out.txt
"$tumen" status "${alloc:0:8}" >out.txt; expect 'Client Status' out.txt

say 'plan and scale'
sed -i 's/group "cache" {/group "cache" {\n    count = 3/' example.nomad.hcl
code=0; "$tumen" job plan example.nomad.hcl >out.txt || code=$?
[ "$code" = 1 ] || fail "a plan with changes exits 1, not $code"
expect '2 create, 1 in-place update' out.txt
expect '"1" => "3" \(forces create\)' out.txt
"$tumen" job run example.nomad.hcl >out.txt; expect 'Deployment .* successful' out.txt
three() { [ "$("$tumen" job allocs example | grep -c ' running ')" = 3 ]; }
until_true 20 three
code=0; "$tumen" job plan example.nomad.hcl >out.txt || code=$?
[ "$code" = 0 ] || fail "a plan without changes exits 0, not $code"
code=0; "$tumen" job run -check-index 1 example.nomad.hcl >out.txt 2>&1 || code=$?
[ "$code" != 0 ] || fail 'a stale index is refused'

say 'a killed container comes back'
docker kill "redis-$alloc" >/dev/null
restarted() { "$tumen" alloc status "$alloc" | grep -q 'Restarting'; }
until_true 20 restarted
until_true 60 three

say 'one after the other'
"$tumen" job restart -yes example >out.txt; expect 'Job restarted successfully' out.txt
"$tumen" job scale example 2 >out.txt; expect 'Deployment .* successful|Status += successful' out.txt
"$tumen" job scale example 3 >out.txt
until_true 20 three

say 'stop'
[ "$(docker ps -q --filter "label=tumen.node_id=$node" | wc -l)" = 3 ] || fail 'three containers run'
"$tumen" job stop -purge example >out.txt
gone() { [ -z "$(docker ps -q --filter "label=com.hashicorp.nomad.alloc_id=$alloc")" ]; }
until_true 30 gone

say 'what an interrupt leaves'
"$tumen" job run -detach "$here/../examples/redis.nomad.hcl" >out.txt
up() { [ -n "$(docker ps -q --filter "label=tumen.node_id=$node")" ]; }
until_true 30 up
kill -INT "$agent"
code=0; wait "$agent" || code=$?
agent=
[ "$code" = 0 ] || fail "an interrupted agent exits 0, not $code"
left=$(docker ps -aq --filter "label=tumen.node_id=$node" | wc -l)
[ "$left" = 0 ] || fail "$left containers were left behind"
say 'all as the README says'
