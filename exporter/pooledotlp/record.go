package pooledotlp

import (
	"context"
	"fmt"

	xpdata "go.opentelemetry.io/collector/pdata/xpdata/request"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
)

// fieldData is the number of the telemetry in the Collector's own record of a queued request. The fields before it are
// the format's version and the request's context (span context, client metadata and address). Writing the same format
// leaves the context to the Collector's code, and the telemetry is copied in as it is.
const fieldData = 3

// encodeRecord returns the bytes of a request for a persistent queue.
func encodeRecord(ctx context.Context, signal wire.Signal, w *wire.Request) ([]byte, error) {
	record, err := marshalContext(ctx, signal)
	if err != nil {
		return nil, err
	}
	record = append(make([]byte, 0, len(record)+w.Bytes()+16), record...)
	record = protowire.AppendTag(record, fieldData, protowire.BytesType)
	record = protowire.AppendVarint(record, uint64(w.Bytes()))
	return w.AppendTo(record), nil
}

// decodeRecord reads what encodeRecord wrote. The result keeps parts of record.
func decodeRecord(record []byte, signal wire.Signal) (context.Context, *wire.Request, error) {
	var header, data []byte
	for rest := record; len(rest) > 0; {
		number, kind, n := protowire.ConsumeField(rest)
		if n < 0 {
			return context.Background(), nil, fmt.Errorf("queued %s at offset %d: %w", signal, len(record)-len(rest), protowire.ParseError(n))
		}
		field := rest[:n]
		rest = rest[n:]
		if number != fieldData || kind != protowire.BytesType {
			header = append(header, field...)
			continue
		}
		_, _, tag := protowire.ConsumeTag(field)
		value, _ := protowire.ConsumeBytes(field[tag:])
		// An empty one stands where the Collector's code wrote no telemetry.
		if len(value) > 0 {
			data = value
		}
	}
	ctx, err := unmarshalContext(header, signal)
	if err != nil {
		return context.Background(), nil, fmt.Errorf("queued %s: %w", signal, err)
	}
	w, err := wire.Check(signal, mem.BufferSlice{mem.SliceBuffer(data)})
	if err != nil {
		return context.Background(), nil, fmt.Errorf("queued %s: %w", signal, err)
	}
	return ctx, w, nil
}

// marshalContext returns a record without telemetry.
func marshalContext(ctx context.Context, signal wire.Signal) ([]byte, error) {
	switch signal {
	case wire.Traces:
		return xpdata.MarshalTraces(ctx, noTraces)
	case wire.Metrics:
		return xpdata.MarshalMetrics(ctx, noMetrics)
	case wire.Profiles:
		return xpdata.MarshalProfiles(ctx, noProfiles)
	default:
		return xpdata.MarshalLogs(ctx, noLogs)
	}
}

func unmarshalContext(header []byte, signal wire.Signal) (ctx context.Context, err error) {
	switch signal {
	case wire.Traces:
		ctx, _, err = xpdata.UnmarshalTraces(header)
	case wire.Metrics:
		ctx, _, err = xpdata.UnmarshalMetrics(header)
	case wire.Profiles:
		ctx, _, err = xpdata.UnmarshalProfiles(header)
	default:
		ctx, _, err = xpdata.UnmarshalLogs(header)
	}
	return ctx, err
}
