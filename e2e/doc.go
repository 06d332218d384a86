// Package e2e holds the end-to-end tests: they start the binary that ocb built, as users do, and drive it over real
// sockets with telemetrygen, the stock OTLP exporter and plain OTLP clients. Behind it stand a stock OTLP receiver or an
// in-process Kafka protocol server, and every item carries a number, so that loss and duplicates show.
//
// `make e2e` builds what the tests need and runs them. The package knows none of the product's Go code.
package e2e
