package unarygrpc

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
)

// pattern returns bytes that show when some are missing, doubled or moved.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i>>16) ^ byte(i>>8) ^ byte(i)*31
	}
	return b
}

// panicking is a compressor that panics where its name says.
type panicking string

func (p panicking) Name() string { return string(p) }

func (panicking) Compress(w io.Writer) (io.WriteCloser, error) { return nopWriteCloser{w}, nil }

func (p panicking) Decompress(io.Reader) (io.Reader, error) {
	if p == "panics-opening" {
		panic("no")
	}
	return p, nil
}

func (panicking) Read([]byte) (int, error) { panic("no") }

type nopWriteCloser struct{ io.Writer }

func (nopWriteCloser) Close() error { return nil }

var panickingCompressors = []panicking{"panics-opening", "panics-reading"}

func init() { // the registry is not for concurrent use
	for _, c := range panickingCompressors {
		encoding.RegisterCompressor(c)
	}
}

// grpc-go's server ends with the process then.
func TestAPanicOfADecompressorIsTheCallsError(t *testing.T) {
	for _, name := range panickingCompressors {
		buffers := bufpool.New(bufpool.DefaultConfig())
		defer buffers.Close()
		s, address := serve(t, Config{Buffers: buffers}, func(context.Context, mem.BufferSlice) error { return nil })
		c := connect(t, address)
		err := call(t.Context(), c, pattern(10_000), grpc.UseCompressor(string(name)))
		assert.Equal(t, codes.Internal, status.Code(err), name)
		assert.ErrorContains(t, err, "decompression panic: no", name)
		assert.EqualValues(t, 1, s.Stats().Unreadable, name)
		require.NoError(t, call(t.Context(), c, pattern(10_000)), name)
		assert.Zero(t, buffers.Stats().InUse, name)
	}
}

func TestMessagesArriveAsTheyWereSent(t *testing.T) {
	const most = 10 << 20
	var got atomic.Pointer[[]byte]
	s, address := serve(t, Config{MaxMessageBytes: most}, func(_ context.Context, m mem.BufferSlice) error {
		b := m.Materialize()
		got.Store(&b)
		return nil
	})
	c := connect(t, address)
	all := pattern(most + 1)
	for _, size := range []int{0, 1, 100, 16378, 16379, 16380, 64<<10 - 1, 64 << 10, 64<<10 + 1, 1 << 20, most - 1, most} {
		sent := all[:size]
		require.NoError(t, call(t.Context(), c, sent), size)
		assert.True(t, bytes.Equal(sent, *got.Load()), "%d bytes", size)
		require.NoError(t, call(t.Context(), c, sent, grpc.UseCompressor(gzip.Name)), size)
		assert.True(t, bytes.Equal(sent, *got.Load()), "%d bytes, compressed", size)
	}
	got.Store(nil)
	for _, options := range [][]grpc.CallOption{nil, {grpc.UseCompressor(gzip.Name)}} {
		err := call(t.Context(), c, all, options...)
		assert.Equal(t, codes.ResourceExhausted, status.Code(err), "%v", err)
	}
	assert.Nil(t, got.Load())
	assert.EqualValues(t, 2, s.Stats().Unreadable)
	require.NoError(t, call(t.Context(), c, nil), "the connection is good after messages that were too large")
}

func TestManyCallsAtOnceEachGetTheirOwnAnswer(t *testing.T) {
	_, address := serve(t, Config{}, func(_ context.Context, m mem.BufferSlice) error {
		if b := m.Materialize(); len(b) > 0 && b[0] == 'x' {
			return status.Error(codes.DataLoss, string(b))
		}
		return nil
	})
	var clients []*grpc.ClientConn
	for range 4 {
		clients = append(clients, connect(t, address))
	}
	var wg sync.WaitGroup
	for caller := range 300 {
		wg.Go(func() {
			for i := range 5 {
				sent := bytes.Repeat([]byte{'a'}, caller*i*7)
				if i%2 == 1 {
					sent = []byte(fmt.Sprintf("x%d/%d", caller, i))
				}
				err := call(t.Context(), clients[caller%len(clients)], sent)
				if i%2 == 1 {
					assert.Equal(t, string(sent), status.Convert(err).Message())
				} else {
					assert.NoError(t, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestErrorsArriveAsTheyWere(t *testing.T) {
	withDetails, err := status.New(codes.Unavailable, "later: 50 % \n ünïcode 日本").WithDetails(
		&errdetails.RetryInfo{RetryDelay: durationpb.New(7 * time.Second)})
	require.NoError(t, err)
	for name, c := range map[string]struct {
		err  error
		want *status.Status
	}{
		"code and message":        {status.Error(codes.NotFound, "none"), status.New(codes.NotFound, "none")},
		"no message":              {status.Error(codes.Aborted, ""), status.New(codes.Aborted, "")},
		"a code beyond known":     {status.Error(codes.Code(99), "odd"), status.New(codes.Code(99), "odd")},
		"details":                 {withDetails.Err(), withDetails},
		"wrapped":                 {fmt.Errorf("outer: %w", status.Error(codes.DataLoss, "inner")), status.New(codes.DataLoss, "outer: rpc error: code = DataLoss desc = inner")},
		"without a status":        {errors.New("plain"), status.New(codes.Unknown, "plain")},
		"cancelled":               {context.Canceled, status.New(codes.Canceled, "context canceled")},
		"deadline":                {fmt.Errorf("backend: %w", context.DeadlineExceeded), status.New(codes.DeadlineExceeded, "backend: context deadline exceeded")},
		"bytes that are not text": {status.Error(codes.Internal, "a\xffb"), status.New(codes.Internal, "a\uFFFDb")},
	} {
		t.Run(name, func(t *testing.T) {
			handle := func(context.Context, mem.BufferSlice) error { return c.err }
			_, address := serve(t, Config{}, handle)
			for server, address := range map[string]string{"ours": address, "grpc-go's": servePeer(t, handle)} {
				got := status.Convert(call(t.Context(), connect(t, address), nil))
				assert.True(t, proto.Equal(c.want.Proto(), got.Proto()), "%s: %v, not %v", server, got, c.want)
			}
		})
	}
}

// The longest that is told of an error still fits what clients and proxies take: 8 KiB of headers in one frame.
func TestLongErrorsAreCutAndKeepTheirDetails(t *testing.T) {
	retry := &errdetails.RetryInfo{RetryDelay: durationpb.New(7 * time.Second)}
	large := &errdetails.DebugInfo{Detail: strings.Repeat("d", maxDetails)}
	fits := &errdetails.DebugInfo{Detail: strings.Repeat("d", maxDetails-maxDetailsText-100)}
	for _, text := range []string{strings.Repeat("e", 20_000), strings.Repeat("日", 20_000), strings.Repeat("a\xff", 9000)} {
		for _, details := range []*errdetails.DebugInfo{nil, fits, large} {
			s := status.New(codes.Unavailable, text)
			if details == nil {
				s, _ = s.WithDetails(retry)
			} else {
				s, _ = s.WithDetails(details)
			}
			_, address := serve(t, Config{}, func(context.Context, mem.BufferSlice) error { return s.Err() })
			raw := dial(t, address)
			raw.call(1, "")
			e, _ := raw.next(1, http2.FrameHeaders)
			list := 0
			for name, value := range e.fields {
				list += len(name) + len(value) + 32
			}
			assert.LessOrEqual(t, list, 8<<10)

			got := status.Convert(call(t.Context(), connect(t, address, grpc.WithMaxHeaderListSize(8<<10)), nil))
			assert.Equal(t, codes.Unavailable, got.Code())
			kept := strings.TrimRight(got.Message(), "\uFFFD")
			assert.True(t, strings.HasPrefix(strings.ToValidUTF8(text, "\uFFFD"), kept), "cut at the border of a character: %q", got.Message())
			assert.GreaterOrEqual(t, len(got.Message()), 500)
			if details == large {
				assert.Empty(t, got.Details())
			} else {
				assert.Len(t, got.Details(), 1)
			}
		}
	}
}

func TestADeadlineReachesTheHandler(t *testing.T) {
	deadlines := make(chan time.Time, 1)
	_, address := serve(t, Config{}, func(ctx context.Context, _ mem.BufferSlice) error {
		deadline, _ := ctx.Deadline()
		deadlines <- deadline
		return nil
	})
	c := connect(t, address)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	require.NoError(t, call(ctx, c, nil))
	want, _ := ctx.Deadline()
	assert.WithinDuration(t, want, <-deadlines, time.Minute)
	require.NoError(t, call(t.Context(), c, nil))
	assert.Zero(t, <-deadlines, "without a deadline")
}

func TestACancellationReachesTheHandler(t *testing.T) {
	g := newGate()
	s, address := serve(t, Config{}, g.handle)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- call(ctx, connect(t, address), nil) }()
	handling := <-g.entered
	assert.Equal(t, Stats{Connections: 1, Calls: 1}, s.Stats())
	cancel()
	<-handling.Done()
	assert.Equal(t, codes.Canceled, status.Code(<-ended))
}

func TestTheEndOfAConnectionCancelsItsCalls(t *testing.T) {
	g := newGate()
	_, address := serve(t, Config{}, g.handle)
	c := dial(t, address)
	c.call(1, "")
	handling := <-g.entered
	require.NoError(t, c.conn.Close())
	<-handling.Done()
}

func TestCallsOverTLS(t *testing.T) {
	certificate, roots := certify(t)
	var peers sync.Map
	cfg := Config{
		Credentials: credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{certificate}}),
		Connected: func(ctx context.Context) context.Context {
			p, _ := peer.FromContext(ctx)
			peers.Store("auth", p.AuthInfo.AuthType())
			return ctx
		},
	}
	_, address := serve(t, cfg, accept)
	c := connectWith(t, address, credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: "test"}))
	for _, size := range []int{0, 100, 1 << 20} {
		require.NoError(t, call(t.Context(), c, pattern(size)))
	}
	auth, _ := peers.Load("auth")
	assert.Equal(t, "tls", auth)

	err := call(t.Context(), connect(t, address), nil)
	assert.Equal(t, codes.Unavailable, status.Code(err), "a client without TLS: %v", err)
}

// certify makes a certificate for the name test.
func certify(t testing.TB) (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

func TestAnAnswerMustFitAFrame(t *testing.T) {
	method := func(n int) map[string]Method { return map[string]Method{path: {Answer: make([]byte, n)}} }
	assert.NotPanics(t, func() { New(Config{Methods: method(MaxAnswerBytes)}) })
	assert.PanicsWithValue(t, "unarygrpc: the answer of /test.Service/Call has 16380 bytes, and must have 16379 at most",
		func() { New(Config{Methods: method(MaxAnswerBytes + 1)}) })
}
