// Package alertrules is an exporter that hands the metrics of a pipeline to the alertmanager extension, whose rules look at them.
package alertrules

//go:generate mdatagen metadata.yaml
