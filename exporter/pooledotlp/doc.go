//go:generate mdatagen metadata.yaml

// Package pooledotlp exports traces, metrics and logs over OTLP. It encodes a request once, compresses it with shared
// encoders, and spreads the requests over a pool of connections.
package pooledotlp // import "github.com/otelcol-adaptive/otelcol-adaptive/exporter/pooledotlp"
