//go:generate mdatagen metadata.yaml

// Package pooledotlp receives OTLP over gRPC and HTTP, and leaves requests encoded where nothing behind it looks into
// them.
package pooledotlp
