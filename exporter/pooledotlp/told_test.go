package pooledotlp

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/confignet"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// startReceiverBefore starts a stock otlp receiver that hands all it gets to a consumer.
func startReceiverBefore(t *testing.T, next consumer.Traces) (client ptraceotlp.GRPCClient, url string) {
	t.Helper()
	factory := otlpreceiver.NewFactory()
	cfg := factory.CreateDefaultConfig().(*otlpreceiver.Config)
	grpcEndpoint, httpEndpoint := freeAddress(t), freeAddress(t)
	cfg.Protocols.GRPC.GetOrInsertDefault().NetAddr = confignet.AddrConfig{Endpoint: grpcEndpoint, Transport: confignet.TransportTypeTCP}
	cfg.Protocols.HTTP.GetOrInsertDefault().ServerConfig.NetAddr = confignet.AddrConfig{Endpoint: httpEndpoint, Transport: confignet.TransportTypeTCP}
	r, err := factory.CreateTraces(context.Background(), receivertest.NewNopSettings(factory.Type()), cfg, next)
	require.NoError(t, err)
	startComponent(t, r, componenttest.NewNopHost())
	conn, err := grpc.NewClient(grpcEndpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return ptraceotlp.NewGRPCClient(conn), "http://" + httpEndpoint + "/v1/traces"
}

// TestWhatBecomesOfAnAnswer follows each answer of a backend to its end: what a client of the Collector is told through a
// stock receiver, by gRPC and by HTTP, when it waits for the answer, and under which reason the items are counted as dropped when
// they were queued instead.
func TestWhatBecomesOfAnAnswer(t *testing.T) {
	byGRPC := func(err error) map[string]any {
		return map[string]any{"endpoint": startBackend(t, func(context.Context, ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
			return ptraceotlp.NewExportResponse(), err
		})}
	}
	byHTTP := func(code int, header ...string) map[string]any {
		url := startHTTPBackend(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) { answer(code, header...)(w) })
		return map[string]any{"endpoint": url, "protocol": "http/protobuf"}
	}
	partialHTTP := map[string]any{"protocol": "http/protobuf", "endpoint": startHTTPBackend(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		r := ptraceotlp.NewExportResponse()
		r.PartialSuccess().SetRejectedSpans(3)
		body, err := r.MarshalProto()
		assert.NoError(t, err)
		w.Header().Set("Content-Type", protobufContentType)
		_, _ = w.Write(body)
	})}
	partial := map[string]any{"endpoint": startBackend(t, func(context.Context, ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
		r := ptraceotlp.NewExportResponse()
		r.PartialSuccess().SetRejectedSpans(3)
		return r, nil
	})}
	st := func(c codes.Code, message string) map[string]any { return byGRPC(status.Error(c, message)) }
	for name, row := range map[string]struct {
		backend map[string]any
		code    codes.Code
		http    int
		// withRetryInfo: to a gRPC client, RESOURCE_EXHAUSTED without one means that it must not try again.
		withRetryInfo bool
		dropped       string
	}{
		"OK":                                {st(codes.OK, ""), codes.OK, 200, false, ""},
		"partial success":                   {partial, codes.OK, 200, false, dropPartialSuccess},
		"partial success over HTTP":         {partialHTTP, codes.OK, 200, false, dropPartialSuccess},
		"resource exhausted":                {st(codes.ResourceExhausted, ""), codes.ResourceExhausted, 429, true, dropRetriesExhausted},
		"resource exhausted with RetryInfo": {byGRPC(withRetryInfo(t, codes.ResourceExhausted, time.Millisecond)), codes.ResourceExhausted, 429, true, dropRetriesExhausted},
		"unavailable":                       {st(codes.Unavailable, ""), codes.Unavailable, 503, false, dropRetriesExhausted},
		"unavailable with RetryInfo":        {byGRPC(withRetryInfo(t, codes.Unavailable, time.Millisecond)), codes.Unavailable, 503, true, dropRetriesExhausted},
		"deadline exceeded":                 {st(codes.DeadlineExceeded, ""), codes.DeadlineExceeded, 503, false, dropRetriesExhausted},
		"aborted":                           {st(codes.Aborted, ""), codes.Aborted, 503, false, dropRetriesExhausted},
		"invalid argument":                  {st(codes.InvalidArgument, ""), codes.InvalidArgument, 400, false, dropRejected},
		"too large":                         {st(codes.ResourceExhausted, "grpc: received message larger than max (9 vs. 8)"), codes.InvalidArgument, 400, false, dropTooLarge},
		"unauthenticated":                   {st(codes.Unauthenticated, ""), codes.Unavailable, 503, false, dropRetriesExhausted},
		"permission denied":                 {st(codes.PermissionDenied, ""), codes.Unavailable, 503, false, dropRetriesExhausted},
		"unimplemented":                     {st(codes.Unimplemented, ""), codes.Unavailable, 503, false, dropRetriesExhausted},
		"internal":                          {st(codes.Internal, ""), codes.Internal, 500, false, dropRejected},
		"400":                               {byHTTP(400), codes.InvalidArgument, 400, false, dropRejected},
		"401":                               {byHTTP(401), codes.Unavailable, 503, false, dropRetriesExhausted},
		"403":                               {byHTTP(403), codes.Unavailable, 503, false, dropRetriesExhausted},
		"404":                               {byHTTP(404), codes.Unavailable, 503, false, dropRetriesExhausted},
		"413":                               {byHTTP(413), codes.InvalidArgument, 400, false, dropTooLarge},
		"429":                               {byHTTP(429), codes.ResourceExhausted, 429, true, dropRetriesExhausted},
		"429 with Retry-After":              {byHTTP(429, "Retry-After", "1"), codes.ResourceExhausted, 429, true, dropRetriesExhausted},
		"502":                               {byHTTP(502), codes.Unavailable, 503, false, dropRetriesExhausted},
		"503":                               {byHTTP(503), codes.Unavailable, 503, false, dropRetriesExhausted},
		"503 with Retry-After":              {byHTTP(503, "Retry-After", "1"), codes.Unavailable, 503, true, dropRetriesExhausted},
		"504":                               {byHTTP(504), codes.Unavailable, 503, false, dropRetriesExhausted},
		"500":                               {byHTTP(500), codes.Unknown, 500, false, dropRejected},
	} {
		t.Run(name, func(t *testing.T) {
			keys := maps.Clone(row.backend)
			keys["retry_on_failure"] = map[string]any{"initial_interval": "1ms", "max_interval": "1ms", "max_elapsed_time": "20ms"}
			keys["sending_queue"] = map[string]any{"enabled": false}
			client, url := startReceiverBefore(t, startTracesExporter(t, keys))

			request := ptraceotlp.NewExportRequestFromTraces(spans(1))
			_, err := client.Export(context.Background(), request)
			told := status.Convert(err)
			assert.Equal(t, row.code, told.Code())
			_, has := retryDelay(told)
			assert.Equal(t, row.withRetryInfo, has)
			body, err := request.MarshalProto()
			require.NoError(t, err)
			response, err := http.Post(url, protobufContentType, bytes.NewReader(body))
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			assert.Equal(t, row.http, response.StatusCode)

			delete(keys, "sending_queue")
			set, tel := measuredSettings(t)
			e := newTracesExporter(t, set, newConfig(t, keys))
			startComponent(t, e, componenttest.NewNopHost())
			require.NoError(t, e.ConsumeTraces(context.Background(), spans(3)))
			if row.dropped == "" {
				require.Eventually(t, func() bool {
					m, err := tel.GetMetric("otelcol_exporter_pooledotlp_items")
					return err == nil && byAttribute(t, m, "data_type")["traces"] == 3
				}, 10*time.Second, time.Millisecond)
				return
			}
			want := map[string]int64{row.dropped: 3} // of what is too large, one after the other
			require.Eventually(t, func() bool {
				m, err := tel.GetMetric("otelcol_exporter_pooledotlp_dropped_items")
				return err == nil && assert.ObjectsAreEqual(want, byAttribute(t, m, "reason"))
			}, 10*time.Second, time.Millisecond)
		})
	}
}
