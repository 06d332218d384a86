#!/usr/bin/env bash
# What `make run` says before it starts the Collector.
set -euo pipefail
if [ -n "${BACKEND_ENDPOINT:-}" ]; then
  arrives="to BACKEND_ENDPOINT, $BACKEND_ENDPOINT"
else
  arrives="to an embedded backend that prints here what arrived (set BACKEND_ENDPOINT=host:4317 to send it elsewhere)"
fi
cat <<EOF

  otelcol-adaptive

  Send OTLP to     localhost:4317 (gRPC)  or  http://localhost:4318 (HTTP)
  It goes          through adaptivebatch and pooledotlp, $arrives
  Look at          http://localhost:13133/         is it healthy
                   http://localhost:9093/          alerts: what fires, rules, history
                   http://localhost:8888/metrics   its own metrics
                   http://localhost:55679/debug/pipelinez   its pipelines
  Try it           .tools/telemetrygen traces --otlp-insecure --traces 3 --rate 0    (after: make .tools/telemetrygen)
  Stop             Ctrl-C

EOF
