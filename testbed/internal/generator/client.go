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
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

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
	close() error
}

func newClient(protocol, address string, signal payload.Signal, compression otlp.Compression, connections int) (client, error) {
	if protocol == HTTP {
		transport := &http.Transport{MaxConnsPerHost: connections, MaxIdleConnsPerHost: connections, DisableCompression: true}
		return &httpClient{
			url: "http://" + address + signal.HTTPPath(), signal: signal, compression: compression,
			client: &http.Client{Transport: transport},
		}, nil
	}
	c := &grpcClient{signal: signal, method: signal.GRPCMethod()}
	c.options = []grpc.CallOption{grpc.ForceCodecV2(otlp.Codec{})}
	if compression != otlp.None {
		c.options = append(c.options, grpc.UseCompressor(string(compression)))
	}
	for range connections {
		conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: time.Second, Backoff: reconnect}))
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		c.conns = append(c.conns, conn)
	}
	return c, nil
}

type grpcClient struct {
	conns   []*grpc.ClientConn
	signal  payload.Signal
	method  string
	options []grpc.CallOption
}

func (c *grpcClient) send(ctx context.Context, slot int, body mem.Buffer) (int64, *sendError) {
	var response otlp.Message
	defer response.Free()
	if err := c.conns[slot%len(c.conns)].Invoke(ctx, c.method, body, &response, c.options...); err != nil {
		return 0, grpcError(err)
	}
	return rejectedItems(c.signal, response.Bytes())
}

func (c *grpcClient) close() error {
	var errs []error
	for _, conn := range c.conns {
		errs = append(errs, conn.Close())
	}
	return errors.Join(errs...)
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

func (c *httpClient) close() error {
	c.client.CloseIdleConnections()
	return nil
}

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
