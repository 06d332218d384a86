// Package payload makes OTLP export requests ahead of time and recognises their items when they arrive.
//
// Every span, data point and log record carries a number. A request holds the numbers from sequence x items up to the next
// request's first. Encoding a request is a copy of a template and a few fixed-width stores, so that the generator costs
// little beside the Collector that it drives. Where the number stands depends on the signal:
//
//   - traces: the span ID is a bijective scrambling of the number, so that it compresses as badly as a random one. Trace ID and
//     parent span ID follow from the number too: three requests in a row are three services of the same traces.
//   - metrics and logs: the timestamp, which moves on by one step an item.
package payload
