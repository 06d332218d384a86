#!/usr/bin/env bash
# Regenerates the files of docs/performance that come from runs: performance-docs.sh [NAME...], all of them without a name.
# A file is replaced when its runs have ended; what was measured stays in testbed/results/performance-docs.
set -euo pipefail
cd "$(dirname "$0")/../../testbed"

results=results/performance-docs
docs=../docs/performance
all=(more load faults soak byte-path collection-tuned optimizations cpu-per-item goals) # goals last: it looks at what cpu-per-item measured
testbed=$PWD/$results/testbed
mkdir -p "$results"
go build -o "$testbed" ./cmd/testbed

# complete FOLDER: whether a run is there that nobody interrupted.
complete() { [ -s "$results/$1/report.json" ] && ! grep -q '"interrupted": true' "$results/$1/report.json"; }

# run FOLDER ARGUMENTS...: limits that do not hold are in the report and do not end the work.
run() {
  local folder=$1 code=0
  shift
  rm -f "$results/$folder/report.json" # or an earlier run's would be published where this one fails
  "$testbed" run -quiet -out "$results/$folder" "$@" >"$results/$folder.log" || code=$?
  [ "$code" -le 1 ] && [ -s "$results/$folder/report.json" ] || { echo "testbed run $* failed, see testbed/$results/$folder.log" >&2; exit 1; }
  complete "$folder" || { echo "interrupted" >&2; exit 1; }
}

# publish NAME TITLE FOLDER...: several runs make one report.
publish() {
  local name=$1 title=$2 folder
  shift 2
  local jsons=()
  for folder in "$@"; do jsons+=("$results/$folder/report.json"); done
  "$testbed" report -out "$results/$name" -title "$title" "${jsons[@]}" >/dev/null
  cp "$results/$name/report.md" "$docs/$name.md"
}

make_cpu-per-item() {
  run cpu-per-item.run cpu-per-item
  publish cpu-per-item "CPU, bytes and memory of each path" cpu-per-item.run
}

make_byte-path() {
  run byte-path.run cpu-per-item -rounds 2 -filter traces -contenders stock-batch,ours-bytes,ours-bytes-grpc-go,nginx
  publish byte-path "The byte path, with both gRPC servers" byte-path.run
}

make_collection-tuned() {
  GOGC=400 run collection-tuned.run cpu-per-item -filter traces -contenders stock-batch,ours-bytes,nginx
  publish collection-tuned "With garbage collected a quarter as often (GOGC=400)" collection-tuned.run
}

make_optimizations() {
  local contenders=(-contenders-file peers/contenders-optimizations.yaml -contenders none,batching,byte-path,compression,buffers,pool,all)
  run optimizations.near "${contenders[@]}" -filter traces/items=100/ cpu-per-item
  run optimizations.far "${contenders[@]}" far-backend
  publish optimizations "What each optimization brings alone" optimizations.near optimizations.far
}

make_more() {
  run more.run few-clients http-clients compressed-clients throughput resource-usage trickle idle
  publish more "Few clients, HTTP, compressed clients, one processor, low loads" more.run
}

make_load() {
  run load.run web-application chain batch-sizes concurrency step ramp burst far-backend
  publish load "Loads of every shape" load.run
}

make_faults() {
  run faults.run faults
  publish faults "Bad days" faults.run
}

make_soak() {
  run soak.run soak -duration "${SOAK:-10m}"
  publish soak "Half of a small machine's load for long" soak.run
}

# The bytes and the memory at saturation come from the last run of cpu-per-item; without one, four of its cases are run.
make_goals() {
  run goals.rate resource-usage -rounds 3
  local load=cpu-per-item.run
  if ! complete "$load"; then
    load=goals.load
    run $load cpu-per-item -contenders stock-batch,ours,ours-bytes -filter 'items=100/'
  fi
  (cd .. && go test -run '^$' -bench ThroughAdaptivebatch/none -cpu 1 -count 5 ./exporter/pooledotlp) >"$results/goals.txt"
  "$testbed" goals "$results/goals.txt" "$results/goals.rate/report.json" "$results/$load/report.json" >"$results/goals.md"
  cp "$results/goals.md" "$docs/goals.md"
}

[ $# -gt 0 ] || set -- "${all[@]}"
for name in "$@"; do
  [[ " ${all[*]} " == *" $name "* ]] || { echo "no file is called $name; there are ${all[*]}" >&2; exit 2; }
done
for name in "$@"; do
  begun=$SECONDS
  echo "docs/performance/$name.md"
  "make_$name"
  echo "docs/performance/$name.md took $(((SECONDS - begun + 59) / 60)) minutes"
done
