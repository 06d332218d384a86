//go:generate mdatagen metadata.yaml
// mdatagen v0.161 imports xexporter into the tests of an exporter for profiles, and does not use it.
//go:generate perl -ni -e "print unless m{/xexporter\"}" generated_component_test.go

// Package pooledotlp exports traces, metrics, logs and profiles over OTLP. It encodes a request once, compresses it with shared
// encoders, and spreads the requests over a pool of connections.
package pooledotlp // import "github.com/otelcol-adaptive/otelcol-adaptive/exporter/pooledotlp"
