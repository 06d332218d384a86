package unarygrpc

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// refusal is a call that is not handled.
type refusal struct {
	name   string
	fields []string
	// body is what is sent after the headers; nil: headers that end the call.
	body []byte
	// open: the call is not ended after the body.
	open bool
	// http and code are what is answered, or reset.
	http  string
	code  codes.Code
	reset http2.ErrCode
	// peer is what grpc-go's server answers where it differs, and why that is so.
	peer   *outcome
	noPeer bool
	why    string
}

var (
	peerEOF     = &outcome{http: "200", code: codes.Unknown}
	peerAnswers = &outcome{http: "200", body: message(string(answer))}
)

const (
	whyEOF     = "INTERNAL is what other malformed messages get; grpc-go tells the error of its reader, which has no code"
	whyAnswers = "half of what was sent must not be taken for all; grpc-go answers without reading on"
)

var refusals = []refusal{
	{name: "content-type of another kind", fields: []string{"content-type", "application/json"}, body: message("x"), http: "415", code: codes.InvalidArgument},
	{name: "content-type that begins alike", fields: []string{"content-type", "application/grpcx"}, body: message("x"), http: "415", code: codes.InvalidArgument},
	{name: "no content-type", fields: []string{"content-type", ""}, body: message("x"), http: "415", code: codes.InvalidArgument},
	{name: "method GET", fields: []string{":method", "GET"}, body: message("x"), http: "405", code: codes.Internal},
	{name: "no method", fields: []string{":method", ""}, body: message("x"), http: "405", code: codes.Internal},
	{name: "unknown service", fields: []string{":path", "/other.Service/Call"}, body: message("x"), http: "200", code: codes.Unimplemented},
	{name: "unknown method", fields: []string{":path", "/test.Service/Other"}, body: message("x"), http: "200", code: codes.Unimplemented},
	{name: "path without slashes", fields: []string{":path", "call"}, body: message("x"), http: "200", code: codes.Unimplemented},
	{name: "no path", fields: []string{":path", ""}, body: message("x"), http: "200", code: codes.Unimplemented},
	{name: "timeout without digits", fields: []string{"grpc-timeout", "S"}, body: message("x"), http: "400", code: codes.Internal},
	{name: "timeout without a unit", fields: []string{"grpc-timeout", "10"}, body: message("x"), http: "400", code: codes.Internal},
	{name: "timeout below zero", fields: []string{"grpc-timeout", "-1S"}, body: message("x"), http: "400", code: codes.Internal},
	{name: "timeout of nine digits", fields: []string{"grpc-timeout", "123456789S"}, body: message("x"), http: "400", code: codes.Internal},
	{name: "timeout of nothing", fields: []string{"grpc-timeout", "0n"}, body: message("x"), http: "200", code: codes.DeadlineExceeded},
	{name: "bad timeout of another kind of call", fields: []string{"content-type", "text/plain", "grpc-timeout", "x"}, body: message("x"), http: "415", code: codes.InvalidArgument},
	{name: "unknown encoding", fields: []string{"grpc-encoding", "rar"}, body: message("x"), http: "200", code: codes.Unimplemented},
	{name: "compressed without an encoding", body: []byte("\x01\x00\x00\x00\x01x"), http: "200", code: codes.Internal},
	{name: "compressed as identity", fields: []string{"grpc-encoding", "identity"}, body: []byte("\x01\x00\x00\x00\x01x"), http: "200", code: codes.Internal},
	{name: "compressed is not", fields: []string{"grpc-encoding", "gzip"}, body: []byte("\x01\x00\x00\x00\x01x"), http: "200", code: codes.Internal},
	{name: "first byte neither 0 nor 1", body: []byte("\x02\x00\x00\x00\x01x"), http: "200", code: codes.Internal},
	{name: "announced larger than allowed", body: []byte("\x00\xff\xff\xff\xffx"), http: "200", code: codes.ResourceExhausted},
	{name: "larger than allowed", body: message(strings.Repeat("x", 1001)), http: "200", code: codes.ResourceExhausted},
	{name: "larger than allowed, not ended", body: message(strings.Repeat("x", 1001)), open: true, http: "200", code: codes.ResourceExhausted},
	{name: "no message", http: "200", code: codes.Internal, noPeer: true, why: "it waits until the client gives up"},
	{name: "empty body", body: []byte{}, http: "200", code: codes.Internal, peer: peerEOF, why: whyEOF},
	{name: "cut in the prefix", body: message("x")[:3], http: "200", code: codes.Internal, peer: peerEOF, why: whyEOF},
	{name: "cut after the prefix", body: message("x")[:5], http: "200", code: codes.Internal, peer: peerEOF, why: whyEOF},
	{name: "cut in the message", body: message("xyz")[:7], http: "200", code: codes.Internal, peer: peerEOF, why: whyEOF},
	{name: "second message", body: append(message("x"), message("y")...), http: "200", code: codes.Internal, peer: peerAnswers, why: whyAnswers},
	{name: "second message, not ended", body: append(message("x"), message("y")...), open: true, http: "200", code: codes.Internal, peer: peerAnswers, why: whyAnswers},
	{name: "two hosts", fields: []string{"host", "a", "host", "b"}, body: message("x"), http: "400", code: codes.Internal},
	{name: "connection header", fields: []string{"connection", "close"}, body: message("x"), http: "400", code: codes.Internal,
		peer: &outcome{reset: true, rst: http2.ErrCodeProtocol}, why: "a status tells more than a reset, and clients make the same code of both"},
	{name: "binary metadata that is not", fields: []string{"x-bin", "?"}, body: message("x"), http: "400", code: codes.Internal},
	{name: "upper case name", fields: []string{"Upper", "x"}, body: message("x"), reset: http2.ErrCodeProtocol},
	{name: "line feed in a value", fields: []string{"x", "a\nb"}, body: message("x"), reset: http2.ErrCodeProtocol},
	{name: "unknown pseudo header", fields: []string{":other", "x"}, body: message("x"), reset: http2.ErrCodeProtocol},
	{name: "a header of answers", fields: []string{":scheme", "", ":status", "200"}, body: message("x"), reset: http2.ErrCodeProtocol},
}

func (r refusal) send(c *client, id uint32) outcome {
	if r.body == nil {
		c.sent(c.framer.WriteHeaders(http2.HeadersFrameParam{
			StreamID: id, BlockFragment: c.encode(request(r.fields...)), EndHeaders: true, EndStream: true,
		}))
	} else {
		c.open(id, r.fields...)
		c.sent(c.framer.WriteData(id, !r.open, r.body))
	}
	o := c.outcome(id)
	o.text = ""
	return o
}

// Everything is refused on one connection: none of it may harm the next call, its headers' compression or the buffers.
func TestRefusedCalls(t *testing.T) {
	var calls, peerCalls atomic.Int64
	cfg := Config{
		MaxMessageBytes: 1000,
		Incoming:        func(ctx context.Context, _ metadata.MD) (context.Context, error) { return ctx, nil },
	}
	_, address := serve(t, cfg, counted(&calls, accept))
	peerAddress := servePeer(t, counted(&peerCalls, accept), grpc.MaxRecvMsgSize(1000))
	c, peer := dial(t, address), dial(t, peerAddress)
	id := uint32(1)
	for _, r := range refusals {
		t.Run(r.name, func(t *testing.T) {
			c.t, peer.t = t, t
			want := outcome{http: r.http, code: r.code, reset: r.reset != 0, rst: r.reset}
			assert.Equal(t, want, r.send(c, id))
			if r.peer != nil {
				want = *r.peer
			}
			assert.Equal(t, r.peer != nil || r.noPeer, r.why != "")
			if !r.noPeer {
				assert.Equal(t, want, r.send(peer, id), "grpc-go's server")
			}
		})
		id += 2
		c.call(id, "x", "x-table", r.name) // goes into the table that headers are compressed with
		c.answered(id)
		id += 2
	}
	assert.EqualValues(t, len(refusals), calls.Load(), "only the good calls were handled")
}

// A refused call's client may still be sending: what it sends is read over.
func TestARefusedCallIsReadOver(t *testing.T) {
	_, address := serve(t, Config{MaxMessageBytes: 1000}, accept)
	c := dial(t, address)
	c.open(1, ":path", "/other")
	c.sent(c.framer.WriteData(1, false, make([]byte, 10_000)))
	c.open(3)
	c.sent(c.framer.WriteData(3, false, message(strings.Repeat("x", 10_000))[:9_000]))
	c.sent(c.framer.WriteData(3, false, make([]byte, 1000)))
	c.sent(c.framer.WriteData(1, true, make([]byte, 1000)))
	c.sent(c.framer.WriteRSTStream(3, http2.ErrCodeCancel))
	c.call(5, "x")
	assert.Equal(t, codes.Unimplemented, c.outcome(1).code)
	assert.Equal(t, codes.ResourceExhausted, c.outcome(3).code)
	c.answered(5)
}

// With headers that are too large only their call is refused, as long as they are not absurdly large.
func TestHeadersThatAreTooLarge(t *testing.T) {
	_, address := serve(t, Config{}, accept)
	c := dial(t, address)
	large := strings.Repeat("x", maxHeaderList/2)
	c.open(1, "x-a", large, "x-b", large)
	assert.Equal(t, outcome{reset: true, rst: http2.ErrCodeFrameSize}, c.outcome(1))
	c.call(3, "x")
	c.answered(3)
	c.call(5, "x", "x-a", large)
	c.answered(5)
}
