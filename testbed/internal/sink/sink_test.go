package sink_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/ledger"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/otlp"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/payload"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/sink"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const perRequest = 10

// backend is a sink with a client of each protocol.
type backend struct {
	*sink.Sink
	set    *payload.Set
	ledger *ledger.Ledger
	conn   *grpc.ClientConn
	http   *http.Client
}

func start(t *testing.T, settings sink.Settings) *backend {
	t.Helper()
	set, err := payload.NewSet(payload.Traces, perRequest, 1)
	require.NoError(t, err)
	settings.Set, settings.Ledger = set, ledger.New(perRequest)
	s, err := sink.Start(settings)
	require.NoError(t, err)
	conn, err := grpc.NewClient(s.GRPCAddress(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	b := &backend{Sink: s, set: set, ledger: settings.Ledger, conn: conn, http: &http.Client{Transport: &http.Transport{}}}
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		b.http.CloseIdleConnections()
		require.NoError(t, s.Shutdown())
	})
	return b
}

func (b *backend) grpcSend(ctx context.Context, body []byte, options ...grpc.CallOption) error {
	var answer otlp.Message
	defer answer.Free()
	return b.conn.Invoke(ctx, payload.Traces.GRPCMethod(), mem.SliceBuffer(body), &answer, append(options, grpc.ForceCodecV2(otlp.Codec{}))...)
}

func (b *backend) export(t *testing.T, seq uint64) error {
	t.Helper()
	b.ledger.Sent(seq)
	return b.grpcSend(t.Context(), b.set.AppendRequest(nil, seq))
}

func (b *backend) post(t *testing.T, seq uint64, compression otlp.Compression) (*http.Response, error) {
	t.Helper()
	b.ledger.Sent(seq)
	body, err := compression.Append(nil, b.set.AppendRequest(nil, seq))
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+b.HTTPAddress()+"/v1/traces", bytes.NewReader(body))
	require.NoError(t, err)
	if compression != otlp.None {
		request.Header.Set("Content-Encoding", string(compression))
	}
	response, err := b.http.Do(request)
	if err == nil {
		require.NoError(t, response.Body.Close())
	}
	return response, err
}

func TestItemsOfBothProtocolsAndEveryCompressionAreNoted(t *testing.T) {
	for _, content := range []bool{false, true} {
		b := start(t, sink.Settings{Content: content})
		var seq uint64
		for _, compression := range otlp.Compressions {
			response, err := b.post(t, seq, compression)
			require.NoError(t, err)
			assert.Equal(t, http.StatusOK, response.StatusCode)
			packed, err := compression.Append(nil, b.set.AppendRequest(nil, seq+1))
			require.NoError(t, err)
			b.ledger.Sent(seq + 1)
			var options []grpc.CallOption
			if compression != otlp.None {
				options = append(options, grpc.UseCompressor(string(compression)))
			}
			require.NoError(t, b.grpcSend(t.Context(), packed, options...))
			seq += 2
		}
		n := seq * perRequest
		assert.Equal(t, ledger.Counts{Sent: n, Received: n, Unconfirmed: n}, b.ledger.Count())
		assert.EqualValues(t, seq, b.Requests())
		assert.Zero(t, b.Refused())
		assert.Greater(t, b.WireBytes(), 2*uint64(b.set.Size(0)))
	}
}

func TestAChangedItemIsCounted(t *testing.T) {
	b := start(t, sink.Settings{Content: true})
	body := b.set.AppendRequest(nil, 0)
	body[bytes.Index(body, []byte("shop.example.com"))] = 'c'
	b.ledger.Sent(0)
	require.NoError(t, b.grpcSend(t.Context(), body))
	assert.EqualValues(t, 1, b.ledger.Count().Corrupted)
}

func TestARequestThatTheNetworkBreaksOffIsNotMalformed(t *testing.T) {
	b := start(t, sink.Settings{})
	for _, encoding := range []string{"identity", "gzip"} {
		c, err := net.Dial("tcp", b.HTTPAddress())
		require.NoError(t, err)
		_, err = fmt.Fprintf(c, "POST /v1/traces HTTP/1.1\r\nHost: backend\r\nContent-Encoding: %s\r\nContent-Length: 1000\r\n\r\n\x1f\x8b\x08", encoding)
		require.NoError(t, err)
		require.NoError(t, c.(*net.TCPConn).CloseWrite())
		answer, err := io.ReadAll(c)
		require.NoError(t, err)
		assert.Contains(t, string(answer), "400 Bad Request")
		require.NoError(t, c.Close())
	}
	assert.Zero(t, b.ledger.Count().Malformed)
}

func TestBrokenRequestsAreRefusedAndCounted(t *testing.T) {
	b := start(t, sink.Settings{})
	assert.Equal(t, codes.InvalidArgument, status.Code(b.grpcSend(t.Context(), []byte{0xff})))
	for encoding, want := range map[string]int{"gzip": http.StatusBadRequest, "br": http.StatusBadRequest, "": http.StatusBadRequest} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+b.HTTPAddress()+"/v1/traces", bytes.NewReader([]byte{0xff}))
		require.NoError(t, err)
		request.Header.Set("Content-Encoding", encoding)
		response, err := b.http.Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, want, response.StatusCode, encoding)
	}
	assert.EqualValues(t, 4, b.ledger.Count().Malformed)
}

func TestAnotherSignalIsRefused(t *testing.T) {
	b := start(t, sink.Settings{})
	var answer otlp.Message
	err := b.conn.Invoke(t.Context(), payload.Logs.GRPCMethod(), mem.SliceBuffer{}, &answer, grpc.ForceCodecV2(otlp.Codec{}))
	assert.Equal(t, codes.InvalidArgument, status.Code(err))
}

func TestFailuresComeInTheirShareAndAreRepeatable(t *testing.T) {
	phases := []sink.Phase{{FailRatio: 0.7, FailCode: "RESOURCE_EXHAUSTED", RetryAfter: 1500 * time.Millisecond}}
	var runs [2][]bool
	for i := range runs {
		b := start(t, sink.Settings{Phases: phases, Seed: 7})
		for seq := range uint64(100) {
			err := b.export(t, seq)
			runs[i] = append(runs[i], err == nil)
			if err != nil {
				st := status.Convert(err)
				assert.Equal(t, codes.ResourceExhausted, st.Code())
				assert.Equal(t, 1500*time.Millisecond, st.Details()[0].(*errdetails.RetryInfo).GetRetryDelay().AsDuration())
			}
		}
		assert.InDelta(t, 70, b.Refused(), 15)
		response, err := b.post(t, 1000, otlp.None)
		for ; err == nil && response.StatusCode == http.StatusOK; response, err = b.post(t, 1000, otlp.None) {
		}
		require.NoError(t, err)
		assert.Equal(t, http.StatusTooManyRequests, response.StatusCode)
		assert.Equal(t, "2", response.Header.Get("Retry-After"))
	}
	assert.Equal(t, runs[0], runs[1])
}

func TestResetsCutTheConnection(t *testing.T) {
	b := start(t, sink.Settings{Phases: []sink.Phase{{ResetRatio: 1}}})
	assert.Equal(t, codes.Unavailable, status.Code(b.export(t, 0)))
	_, err := b.post(t, 1, otlp.None)
	require.Error(t, err)
	assert.Zero(t, b.ledger.Count().Received)
}

func TestPoisonAndSizeAreRefusedForGood(t *testing.T) {
	b := start(t, sink.Settings{PoisonEvery: 2})
	assert.Equal(t, codes.InvalidArgument, status.Code(b.export(t, 0)))
	require.NoError(t, b.export(t, 1))
	two := b.set.AppendRequest(b.set.AppendRequest(nil, 1), 2)
	assert.Equal(t, codes.InvalidArgument, status.Code(b.grpcSend(t.Context(), two)), "one poisoned item spoils what it travels with")

	small := start(t, sink.Settings{Phases: []sink.Phase{{MaxItems: perRequest}}})
	require.NoError(t, small.export(t, 0))
	assert.Equal(t, codes.InvalidArgument, status.Code(small.grpcSend(t.Context(), two)))
}

func TestLatencyAndCapacityTakeTheirTime(t *testing.T) {
	b := start(t, sink.Settings{Phases: []sink.Phase{{Latency: 20 * time.Millisecond, LatencyPerItem: time.Millisecond, Capacity: 1}}})
	begun := time.Now()
	done := make(chan error, 2)
	for seq := range uint64(2) {
		go func() { done <- b.export(t, seq) }()
	}
	require.NoError(t, <-done)
	require.NoError(t, <-done)
	assert.GreaterOrEqual(t, time.Since(begun), 60*time.Millisecond, "two requests of 20 ms and ten items of 1 ms, one after the other")
}

// Two requests for one place that is never free again: whichever has it, the time of both is up.
func TestATimeThatIsUpEndsTheWaitForAPlace(t *testing.T) {
	b := start(t, sink.Settings{Phases: []sink.Phase{{Hang: true, Capacity: 1}}})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	done := make(chan error, 2)
	for seq := range uint64(2) {
		go func() { done <- b.grpcSend(ctx, b.set.AppendRequest(nil, seq)) }()
	}
	for range 2 {
		// The server may notice first that the client is leaving.
		require.Contains(t, []codes.Code{codes.DeadlineExceeded, codes.Canceled}, status.Code(<-done))
	}
}

func TestAConnectionHasNoMoreStreamsThanItMay(t *testing.T) {
	b := start(t, sink.Settings{MaxStreams: 2, Phases: []sink.Phase{{Hang: true}}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	body := b.set.AppendRequest(nil, 0)
	done := make(chan error, 3)
	for range 2 { // the limit holds from the first answer of the server on, so that one request has to be there before
		short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
		require.Error(t, b.grpcSend(short, body))
		stop()
	}
	read := b.WireBytes()
	for range 3 {
		go func() { done <- b.grpcSend(ctx, body) }()
	}
	require.Eventually(t, func() bool { return b.WireBytes() > read+2*uint64(len(body)) }, 10*time.Second, time.Millisecond)
	time.Sleep(50 * time.Millisecond) // a third stream, if there were one, would come meanwhile; it cannot make the test fail by being late
	assert.Less(t, b.WireBytes(), read+3*uint64(len(body)))
	cancel()
	for range 3 {
		require.Error(t, <-done)
	}
}

func TestAHangLastsUntilTheSenderGivesUp(t *testing.T) {
	b := start(t, sink.Settings{Phases: []sink.Phase{{Hang: true}}})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	assert.Equal(t, codes.DeadlineExceeded, status.Code(b.grpcSend(ctx, b.set.AppendRequest(nil, 0))))
}

func TestSlowReadsLimitAConnection(t *testing.T) {
	b := start(t, sink.Settings{Phases: []sink.Phase{{ReadBytesPerSecond: 40_000}}})
	begun := time.Now()
	require.NoError(t, b.export(t, 0))
	assert.GreaterOrEqual(t, time.Since(begun), 80*time.Millisecond)
}

func TestPhasesFollowTheClock(t *testing.T) {
	b := start(t, sink.Settings{Phases: []sink.Phase{
		{At: 50 * time.Millisecond}, {FailRatio: 1, FailCode: "UNAVAILABLE"},
	}, MaxStreams: 10})
	assert.Equal(t, codes.Unavailable, status.Code(b.export(t, 0)))
	b.Begin()
	require.Eventually(t, func() bool { return b.export(t, 1) == nil }, 10*time.Second, 5*time.Millisecond)
}

func TestPhasesReportEveryFault(t *testing.T) {
	require.NoError(t, (&sink.Phase{}).Validate())
	err := (&sink.Phase{At: -1, FailRatio: 2, ResetRatio: -1, FailCode: "TEAPOT", Capacity: -1}).Validate()
	for _, message := range []string{
		"`at` must not be negative", "`fail_ratio` must be between 0 and 1, found 2", "`reset_ratio`", "found \"TEAPOT\"", "`capacity`",
	} {
		require.ErrorContains(t, err, message)
	}
	require.ErrorContains(t, (&sink.Phase{FailRatio: 1}).Validate(), "needs a `fail_code`")
	for _, never := range []sink.Phase{{FailCode: "UNAVAILABLE"}, {RetryAfter: time.Second}} {
		require.ErrorContains(t, never.Validate(), "`fail_code` and `retry_after` need a `fail_ratio`")
	}
	err = (&sink.Phase{FailRatio: math.NaN(), FailCode: "UNAVAILABLE", ResetRatio: math.NaN()}).Validate()
	require.ErrorContains(t, err, "`fail_ratio` must be between 0 and 1, found NaN")
	require.ErrorContains(t, err, "`reset_ratio` must be between 0 and 1, found NaN")
}
