// Package selfmetrics is a receiver that turns the Collector's own health into metrics of a pipeline.
//
// It reads four sources side by side: the Collector's telemetry endpoint, the process, the Go runtime and the host. From
// counters and histograms it derives rates, ratios and quantiles over the time since the previous scrape.
package selfmetrics

//go:generate mdatagen metadata.yaml
