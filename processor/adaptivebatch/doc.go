// Package adaptivebatch is a processor that joins telemetry into batches whose size, linger and concurrency adapt to load and
// backend, and that gives every caller the result of its own items.
//
// Files: batcher.go decides under one mutex what is sent when, with stream.go, call.go and list.go for what it holds; admission.go is
// its door, answer.go how calls end, shutdown.go how all of it ends. export.go and isolate.go send without the mutex. gauges.go
// shows what batchers hold and have decided.
// payload.go says what a signal must offer; traces.go, metrics.go and logs.go offer it.
package adaptivebatch

//go:generate mdatagen metadata.yaml
//go:generate go run ./internal/simulate/cmd/plot docs
