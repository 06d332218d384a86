// Package rules evaluates alerting and recording rules over a storage of metrics with Prometheus's engine.
//
// Rules come from three sources: a short form in the configuration (short.go), rules that ship (builtin.go) and standard
// Prometheus rule files. All become one Set of Prometheus's own rules (set.go), which an Engine evaluates (engine.go).
package rules
