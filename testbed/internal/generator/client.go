package generator

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/grpcclient"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/otlp"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/payload"
)

// Protocols of OTLP.
const (
	GRPC = "grpc"
	HTTP = "http"
)

// sendError is a failed attempt.
type sendError struct {
	err        error
	retryable  bool
	retryAfter time.Duration
}

func (e *sendError) Error() string { return e.err.Error() }
func (e *sendError) Unwrap() error { return e.err }

// client sends one encoded request and waits for the answer. rejected is how many items a partial success left out.
type client interface {
	send(ctx context.Context, slot int, body mem.Buffer) (rejected int64, failed *sendError)
	close()
}

func newClient(protocol, address string, signal payload.Signal, compression otlp.Compression, connections int) client {
	if protocol == HTTP {
		transport := &http.Transport{MaxConnsPerHost: connections, MaxIdleConnsPerHost: connections, DisableCompression: true}
		return &httpClient{
			url: "http://" + address + signal.HTTPPath(), signal: signal, compression: compression,
			client: &http.Client{Transport: transport},
		}
	}
	cfg := grpcclient.Config{Address: address, Method: signal.GRPCMethod(), Backoff: reconnect, MinConnectTimeout: time.Second}
	if compression != otlp.None {
		cfg.Encoding = string(compression)
	}
	c := &grpcClient{signal: signal}
	for range connections {
		c.conns = append(c.conns, grpcclient.New(cfg))
	}
	return c
}

type grpcClient struct {
	conns  []*grpcclient.Client
	signal payload.Signal
}

func (c *grpcClient) send(ctx context.Context, slot int, body mem.Buffer) (int64, *sendError) {
	answer, err := c.conns[slot%len(c.conns)].Call(ctx, body)
	if err != nil {
		return 0, grpcError(err)
	}
	return rejectedItems(c.signal, answer)
}

func (c *grpcClient) close() {
	for _, conn := range c.conns {
		conn.Close()
	}
}

// grpcError tells what may be sent again, by the table of the OTLP specification ("Failures" under OTLP/gRPC).
func grpcError(err error) *sendError {
	failed := &sendError{err: err}
	st := status.Convert(err)
	hinted := false
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			hinted = true
			failed.retryAfter = info.GetRetryDelay().AsDuration()
		}
	}
	switch st.Code() {
	case codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss:
		failed.retryable = true
	case codes.ResourceExhausted:
		failed.retryable = hinted
	}
	return failed
}

type httpClient struct {
	client      *http.Client
	url         string
	signal      payload.Signal
	compression otlp.Compression
}

func (c *httpClient) send(ctx context.Context, _ int, body mem.Buffer) (int64, *sendError) {
	// The reader has its own reference until the transport closes it, which may be after the answer came.
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, mem.BufferSlice{body}.Reader())
	if err != nil {
		return 0, &sendError{err: err}
	}
	request.ContentLength = int64(body.Len())
	request.Header.Set("Content-Type", "application/x-protobuf")
	if c.compression != otlp.None {
		request.Header.Set("Content-Encoding", string(c.compression))
	}
	response, err := c.client.Do(request)
	if err != nil {
		return 0, &sendError{err: err, retryable: true}
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, &sendError{err: err, retryable: true}
	}
	if response.StatusCode == http.StatusOK {
		return rejectedItems(c.signal, answer)
	}
	return 0, httpError(response)
}

func (c *httpClient) close() { c.client.CloseIdleConnections() }

// httpError tells what may be sent again, by the OTLP specification ("Retryable response codes" under OTLP/HTTP).
func httpError(response *http.Response) *sendError {
	failed := &sendError{err: errors.New(response.Status)}
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		failed.retryable = true
		if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil {
			failed.retryAfter = time.Duration(seconds) * time.Second
		}
	}
	return failed
}

// rejectedItems reads the partial success of an answer. Nearly all answers are empty.
func rejectedItems(signal payload.Signal, answer []byte) (int64, *sendError) {
	if len(answer) == 0 {
		return 0, nil
	}
	var rejected int64
	var err error
	switch signal {
	case payload.Traces:
		response := ptraceotlp.NewExportResponse()
		err = response.UnmarshalProto(answer)
		rejected = response.PartialSuccess().RejectedSpans()
	case payload.Metrics:
		response := pmetricotlp.NewExportResponse()
		err = response.UnmarshalProto(answer)
		rejected = response.PartialSuccess().RejectedDataPoints()
	default:
		response := plogotlp.NewExportResponse()
		err = response.UnmarshalProto(answer)
		rejected = response.PartialSuccess().RejectedLogRecords()
	}
	if err != nil {
		return 0, &sendError{err: err}
	}
	return rejected, nil
}
