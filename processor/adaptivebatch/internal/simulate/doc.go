// Package simulate runs loads against backends in virtual time, with the processor's real controller between them, and
// compares what callers wait with what every fixed configuration would have made them wait.
//
// Everything that the processor decides is decided by package controller; what is rebuilt here is the bookkeeping of one
// stream (queue, slots, admission), without bytes, contexts and locks. A run is repeatable: all chance comes from a seed.
//
// Files: load.go and backend.go are the two ends, pipeline.go the processor between them, exporter.go its calls to the
// backend, events.go the clock, run.go one run and its result, sweep.go the search for the best fixed configuration.
package simulate
