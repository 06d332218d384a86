package sink

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/otlp"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/payload"
)

var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func (s *Sink) httpHandler() http.Handler {
	mux := http.NewServeMux()
	for _, signal := range payload.Signals {
		if signal == s.settings.Set.Signal() {
			mux.HandleFunc("POST "+signal.HTTPPath(), s.post)
		}
	}
	return mux
}

// arriving knows whether a body ended because its connection did, which is the network's fault and not the sender's.
type arriving struct {
	from  io.Reader
	broke bool
}

func (a *arriving) Read(b []byte) (int, error) {
	n, err := a.from.Read(b)
	a.broke = a.broke || err != nil && !errors.Is(err, io.EOF)
	return n, err
}

func (s *Sink) post(w http.ResponseWriter, r *http.Request) {
	body := bodies.Get().(*bytes.Buffer)
	defer func() { body.Reset(); bodies.Put(body) }()
	arriving := &arriving{from: r.Body}
	plain, err := otlp.Compression(r.Header.Get("Content-Encoding")).NewReader(arriving)
	if err == nil {
		defer plain.Close()
		_, err = body.ReadFrom(plain)
	}
	if err != nil {
		if !arriving.broke {
			s.settings.Ledger.Malformed()
		}
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	result := s.receive(r.Context(), body.Bytes())
	if result.reset {
		s.httpL.reset(r.RemoteAddr)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	if result.retryAfter > 0 {
		// Retry-After knows whole seconds only (RFC 9110, section 10.2.3).
		w.Header().Set("Retry-After", strconv.Itoa(int((result.retryAfter+time.Second-1)/time.Second)))
	}
	if result.code != codes.OK {
		http.Error(w, result.message, result.httpStatus)
	}
}
