package pooledotlp

import (
	"context"
	"math"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/pprofile/pprofileotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
)

func TestPartialSuccessIsCountedAndSaidOncePerInterval(t *testing.T) {
	endpoint := startBackend(t, func(context.Context, ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
		r := ptraceotlp.NewExportResponse()
		r.PartialSuccess().SetRejectedSpans(2)
		r.PartialSuccess().SetErrorMessage("two were too old")
		return r, nil
	})
	core, logs := observer.New(zap.WarnLevel)
	set, tel := measuredSettings(t)
	set.Logger = zap.New(core)
	e := newTracesExporter(t, set, newConfig(t, map[string]any{"endpoint": endpoint}))
	startComponent(t, e, componenttest.NewNopHost())
	ctx, _ := observed(context.Background())
	for range 3 {
		require.NoError(t, e.ConsumeTraces(ctx, spans(5)))
	}

	assert.EqualValues(t, 3, sumOf(t, tel, "otelcol_exporter_pooledotlp_partial_successes"))
	assert.EqualValues(t, 6, sumOf(t, tel, "otelcol_exporter_pooledotlp_dropped_items"))
	assert.EqualValues(t, 9, sumOf(t, tel, "otelcol_exporter_pooledotlp_items"))
	require.Equal(t, 1, logs.Len())
	assert.Equal(t, "two were too old", logs.All()[0].ContextMap()["message"])
}

func TestThePartialSuccessIsReadWhateverParametersTheContentTypeHas(t *testing.T) {
	response := ptraceotlp.NewExportResponse()
	response.PartialSuccess().SetRejectedSpans(2)
	asProtobuf, err := response.MarshalProto()
	require.NoError(t, err)
	asJSON, err := response.MarshalJSON()
	require.NoError(t, err)
	for contentType, c := range map[string]struct {
		body []byte
		want int64
	}{
		"application/x-protobuf":                 {asProtobuf, 2},
		"application/x-protobuf; charset=utf-8":  {asProtobuf, 2},
		"application/json":                       {asJSON, 2},
		"application/json; charset=utf-8":        {asJSON, 2},
		"Application/JSON;charset=\"utf-8\";v=1": {asJSON, 2},
		"application/json; charset":              {asJSON, 2},
		"text/plain; charset=utf-8":              {asJSON, 0},
		"application/json/x":                     {asJSON, 0},
	} {
		t.Run(contentType, func(t *testing.T) {
			url := startHTTPBackend(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
				w.Header().Set("Content-Type", contentType)
				_, _ = w.Write(c.body)
			})
			set, tel := measuredSettings(t)
			e := newTracesExporter(t, set, newConfig(t, map[string]any{"protocol": "http/protobuf", "endpoint": url}))
			startComponent(t, e, componenttest.NewNopHost())
			ctx, _ := observed(context.Background())
			require.NoError(t, e.ConsumeTraces(ctx, spans(5)))
			assert.Equal(t, 5-c.want, sumOf(t, tel, "otelcol_exporter_pooledotlp_items"))
		})
	}
}

func TestABackendCannotRejectMoreThanItWasSentNorLessThanNothing(t *testing.T) {
	var rejected atomic.Int64
	endpoint := startBackend(t, func(context.Context, ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
		r := ptraceotlp.NewExportResponse()
		r.PartialSuccess().SetRejectedSpans(rejected.Load())
		return r, nil
	})
	set, tel := measuredSettings(t)
	e := newTracesExporter(t, set, newConfig(t, map[string]any{"endpoint": endpoint}))
	startComponent(t, e, componenttest.NewNopHost())
	ctx, _ := observed(context.Background())
	for _, n := range []int64{math.MaxInt64, math.MinInt64} {
		rejected.Store(n)
		require.NoError(t, e.ConsumeTraces(ctx, spans(5)))
	}
	assert.EqualValues(t, 5, sumOf(t, tel, "otelcol_exporter_pooledotlp_dropped_items"))
	assert.EqualValues(t, 5, sumOf(t, tel, "otelcol_exporter_pooledotlp_items"))
}

func TestAnAnswerThatCannotBeReadIsNoFailure(t *testing.T) {
	var response partialSuccess
	require.NoError(t, payloadCodec{}.Unmarshal(mem.BufferSlice{mem.SliceBuffer{0x0a, 0xff}}, &response))
	assert.Contains(t, response.message, "the answer's body is not readable")
	assert.Zero(t, response.rejected)
}

func TestThePartialSuccessLogSumsUpWhatItDidNotSay(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	l := partialLog{logger: zap.New(core)}
	start := time.Unix(1000, 0)
	l.add(partialSuccess{rejected: 1}, start)
	l.add(partialSuccess{rejected: 10}, start.Add(partialLogInterval-1))
	l.add(partialSuccess{message: "careful"}, start.Add(partialLogInterval))
	require.Equal(t, 2, logs.Len())
	assert.Equal(t, map[string]any{"message": "careful", "rejected_items": int64(10), "responses": int64(2)}, logs.All()[1].ContextMap())
}

func TestResponsesOfEverySignalAreRead(t *testing.T) {
	traces := ptraceotlp.NewExportResponse()
	traces.PartialSuccess().SetRejectedSpans(1)
	traces.PartialSuccess().SetErrorMessage("a")
	metrics := pmetricotlp.NewExportResponse()
	metrics.PartialSuccess().SetRejectedDataPoints(1)
	metrics.PartialSuccess().SetErrorMessage("a")
	logs := plogotlp.NewExportResponse()
	logs.PartialSuccess().SetRejectedLogRecords(1)
	logs.PartialSuccess().SetErrorMessage("a")
	profiles := pprofileotlp.NewExportResponse()
	profiles.PartialSuccess().SetRejectedProfiles(1)
	profiles.PartialSuccess().SetErrorMessage("a")
	for signal, response := range map[wire.Signal]interface {
		MarshalProto() ([]byte, error)
		MarshalJSON() ([]byte, error)
	}{wire.Traces: traces, wire.Metrics: metrics, wire.Logs: logs, wire.Profiles: profiles} {
		b, err := response.MarshalProto()
		require.NoError(t, err)
		got, err := parseResponse(b)
		require.NoError(t, err)
		assert.Equal(t, partialSuccess{rejected: 1, message: "a"}, got)
		b, err = response.MarshalJSON()
		require.NoError(t, err)
		got, err = parseJSONResponse(b, signal)
		require.NoError(t, err)
		assert.Equal(t, partialSuccess{rejected: 1, message: "a"}, got)
	}
}

// What pdata reads must be read here, and to the same values.
func FuzzParseResponse(f *testing.F) {
	r := ptraceotlp.NewExportResponse()
	r.PartialSuccess().SetRejectedSpans(-3)
	r.PartialSuccess().SetErrorMessage("why")
	b, _ := r.MarshalProto()
	f.Add(b)
	f.Add([]byte{0x0a, 0x02, 0x08, 0x01, 0x0a, 0x03, 0x12, 0x01, 'x'})
	f.Add([]byte{0x0a, 0xff})
	f.Add([]byte("C00")) // a group that is not closed
	f.Fuzz(func(t *testing.T, b []byte) {
		want := ptraceotlp.NewExportResponse()
		if want.UnmarshalProto(b) != nil {
			_, _ = parseResponse(b)
			return
		}
		got, err := parseResponse(b)
		require.NoError(t, err)
		assert.Equal(t, partialSuccess{want.PartialSuccess().RejectedSpans(), want.PartialSuccess().ErrorMessage()}, got)
	})
}
