// Package sink is the backend of a run: it receives OTLP over gRPC and HTTP, behaves as a schedule says, and notes every item
// in the ledger.
package sink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/ledger"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/payload"
)

// Settings are what a backend needs to know of a run.
type Settings struct {
	Set    *payload.Set
	Ledger *ledger.Ledger
	// Content has every item decoded and its content checked; otherwise only the numbers are read.
	Content bool
	Phases  []Phase
	Seed    uint64
	// PoisonEvery makes every n-th request of the generator unacceptable: whatever contains an item of it is refused with
	// InvalidArgument (400). 0: none.
	PoisonEvery uint64
	// MaxStreams is how many streams a gRPC connection may have at once. 0: no limit.
	MaxStreams uint32
	// Tamper, if set, may change the numbers of a request before they are noted. Tests of the testbed use it.
	Tamper func(items []payload.Item) []payload.Item
}

// Sink is a running backend.
type Sink struct {
	settings Settings
	schedule *schedule
	grpc     *grpc.Server
	http     *http.Server
	grpcL    *listener
	httpL    *listener
	done     chan struct{} // closed at shutdown; ends waiting handlers
	serving  sync.WaitGroup

	wireBytes atomic.Uint64
	requests  atomic.Uint64
	refused   atomic.Uint64
}

// Start listens on two free ports of the loopback interface.
func Start(settings Settings) (*Sink, error) {
	s := &Sink{settings: settings, schedule: newSchedule(settings.Phases, settings.Seed), done: make(chan struct{})}
	var err error
	if s.grpcL, err = s.listen(); err != nil {
		return nil, err
	}
	if s.httpL, err = s.listen(); err != nil {
		return nil, errors.Join(err, s.grpcL.Close())
	}
	s.grpc = s.newGRPCServer()
	s.http = &http.Server{Handler: s.httpHandler(), ReadHeaderTimeout: 10 * time.Second}
	s.serving.Go(func() { _ = s.grpc.Serve(s.grpcL) })
	s.serving.Go(func() { _ = s.http.Serve(s.httpL) })
	return s, nil
}

func (s *Sink) listen() (*listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the backend: %w", err)
	}
	return &listener{Listener: l, schedule: s.schedule, read: &s.wireBytes, conns: map[string]net.Conn{}}, nil
}

// Begin starts the clock of the schedule.
func (s *Sink) Begin() { s.schedule.begin(time.Now()) }

// GRPCAddress is the host and port of OTLP/gRPC.
func (s *Sink) GRPCAddress() string { return s.grpcL.Addr().String() }

// HTTPAddress is the host and port of OTLP/HTTP.
func (s *Sink) HTTPAddress() string { return s.httpL.Addr().String() }

// WireBytes is what was read from all connections, the protocol's own frames included.
func (s *Sink) WireBytes() uint64 { return s.wireBytes.Load() }

// Requests is how many requests were accepted.
func (s *Sink) Requests() uint64 { return s.requests.Load() }

// Refused is how many requests got an error, a reset, or no answer.
func (s *Sink) Refused() uint64 { return s.refused.Load() }

// Shutdown ends all connections and waits for the servers.
func (s *Sink) Shutdown() error {
	close(s.done)
	s.grpc.Stop()
	err := s.http.Close()
	s.serving.Wait()
	return err
}

// answer is what a request gets.
type answer struct {
	code       codes.Code
	httpStatus int
	message    string
	retryAfter time.Duration
	reset      bool
}

var accepted = answer{code: codes.OK, httpStatus: http.StatusOK}

// receive serves one request. What it accepts it notes in the ledger, even if its sender is gone by then: a backend that has
// stored something does not forget it because nobody listens to the answer.
func (s *Sink) receive(ctx context.Context, body []byte) answer {
	result := s.serve(ctx, body)
	if result.code == codes.OK && !result.reset {
		s.requests.Add(1)
	} else {
		s.refused.Add(1)
	}
	return result
}

func (s *Sink) serve(ctx context.Context, body []byte) answer {
	phase := s.schedule.at(time.Now())
	if phase.slots != nil {
		select {
		case phase.slots <- struct{}{}:
			defer func() { <-phase.slots }()
		case <-ctx.Done():
			return answer{code: codes.Canceled, httpStatus: http.StatusServiceUnavailable, message: "the sender left"}
		case <-s.done:
			return answer{code: codes.Unavailable, httpStatus: http.StatusServiceUnavailable, message: "shutting down"}
		}
	}
	if phase.Hang {
		s.wait(ctx, time.Hour)
		return answer{code: codes.DeadlineExceeded, httpStatus: http.StatusGatewayTimeout, message: "no answer"}
	}
	items := itemSlices.Get().(*[]payload.Item)
	defer func() { *items = (*items)[:0]; itemSlices.Put(items) }()
	if err := s.read(body, items); err != nil {
		s.settings.Ledger.Malformed()
		return answer{code: codes.InvalidArgument, httpStatus: http.StatusBadRequest, message: err.Error()}
	}
	s.wait(ctx, phase.Latency+time.Duration(len(*items))*phase.LatencyPerItem)
	if refusal, refused := s.refuse(phase, *items); refused {
		return refusal
	}
	s.note(*items)
	return accepted
}

// wait takes the time that serving takes. It ends early when the sender leaves or the backend shuts down.
func (s *Sink) wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-s.done:
	}
}

// refuse draws the request's fate. It draws for every request, so that phases do not shift the fates of later ones.
func (s *Sink) refuse(phase *activePhase, items []payload.Item) (answer, bool) {
	fail, reset := s.schedule.draw()
	switch {
	case s.poisoned(items):
		return answer{code: codes.InvalidArgument, httpStatus: http.StatusBadRequest, message: "poisoned item"}, true
	case phase.MaxItems > 0 && len(items) > phase.MaxItems:
		return answer{
			code: codes.InvalidArgument, httpStatus: http.StatusRequestEntityTooLarge,
			message: fmt.Sprintf("%d items, at most %d are accepted", len(items), phase.MaxItems),
		}, true
	case reset < phase.ResetRatio:
		return answer{code: codes.Unavailable, httpStatus: http.StatusServiceUnavailable, reset: true}, true
	case fail < phase.FailRatio:
		status := failCodes[phase.FailCode]
		return answer{code: status.grpc, httpStatus: status.http, message: "as scheduled", retryAfter: phase.RetryAfter}, true
	}
	return accepted, false
}

func (s *Sink) poisoned(items []payload.Item) bool {
	every := s.settings.PoisonEvery
	if every == 0 {
		return false
	}
	perRequest := uint64(s.settings.Set.ItemsPerRequest())
	for i := range items {
		if (items[i].Number/perRequest)%every == 0 {
			return true
		}
	}
	return false
}
