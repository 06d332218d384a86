// Package generator sends numbered requests, in a closed loop or in an open one, and measures how long each takes.
//
// An open loop has one goroutine that decides when each request is due, and clients that send what is due. A request's latency
// counts from the moment at which it was due: a stall of the receiver is seen by all requests that fall into it, and not by one
// only (no coordinated omission). Whether the generator itself keeps up is measured too, and reported as Lag.
package generator

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/ledger"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/otlp"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/payload"
)

// reconnect is quicker than what gRPC clients do by default, whose waits of up to two minutes would outlast a scenario.
var reconnect = backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second}

// maxDue bounds the requests that are due and not taken by a client yet. Beyond it they are skipped, and counted.
const maxDue = 1 << 14

// Settings are what a generator needs to know of a run.
type Settings struct {
	Load        Load
	Set         *payload.Set
	Ledger      *ledger.Ledger
	Protocol    string
	Address     string
	Compression otlp.Compression
	// Seed decides how long each retry waits.
	Seed uint64
}

// Generator is one load. It is used once.
type Generator struct {
	settings  Settings
	client    client
	buffers   bufferPool
	latencies *recorder
	lags      *recorder
	begun     atomic.Pointer[time.Time] // nil until Begin
	ended     atomic.Pointer[time.Time] // nil until End
	next      atomic.Uint64

	acknowledged atomic.Uint64
	attempts     atomic.Uint64
	failures     atomic.Uint64
	skipped      atomic.Uint64
	rejected     atomic.Int64
	errors       errorCounts
}

// New makes a generator. Connections are made when the first request needs them.
func New(settings Settings) *Generator {
	c := newClient(settings.Protocol, settings.Address, settings.Set.Signal(), settings.Compression, settings.Load.Connections)
	return &Generator{settings: settings, client: c, latencies: newRecorder(), lags: newRecorder()}
}

// Begin is the beginning of what is measured. Requests that were due before it count in neither latencies nor lags, whenever they are sent.
func (g *Generator) Begin() { now := time.Now(); g.begun.Store(&now) }

// End is the end of what is measured. Requests that were due before it count, those too that wait for a client still.
func (g *Generator) End() { now := time.Now(); g.ended.Store(&now) }

// measures tells whether a request that is due already belongs to what is measured.
func (g *Generator) measures(due time.Time) bool {
	begun, ended := g.begun.Load(), g.ended.Load()
	return begun != nil && !due.Before(*begun) && (ended == nil || due.Before(*ended))
}

// Run sends until load ends, then waits for what is on its way, retries included. When ctx ends, nothing is waited for.
func (g *Generator) Run(ctx, load context.Context) {
	due := g.due(load)
	var clients sync.WaitGroup
	for slot := range g.settings.Load.Clients {
		clients.Go(func() {
			for moment := range due {
				if ctx.Err() == nil {
					g.request(ctx, slot, moment)
				}
			}
		})
	}
	clients.Wait()
}

// Close ends the connections.
func (g *Generator) Close() { g.client.close() }

// due yields when the next request is due. It is closed when the load ends.
func (g *Generator) due(load context.Context) <-chan time.Time {
	if g.settings.Load.Mode == Closed {
		return closedLoop(load)
	}
	due := make(chan time.Time, maxDue)
	go func() {
		defer close(due)
		start := time.Now()
		var at time.Duration
		timer := time.NewTimer(0)
		defer timer.Stop()
		for {
			if wait := time.Until(start.Add(at)); wait > 0 {
				timer.Reset(wait)
				select {
				case <-timer.C:
				case <-load.Done():
					return
				}
			}
			if load.Err() != nil {
				return
			}
			select {
			case due <- start.Add(at):
			default:
				g.skipped.Add(1)
			}
			at += time.Duration(float64(g.settings.Set.ItemsPerRequest()) / g.settings.Load.RateAt(at) * float64(time.Second))
		}
	}()
	return due
}

// closedLoop hands each client its next request when it asks for it.
func closedLoop(load context.Context) <-chan time.Time {
	due := make(chan time.Time)
	go func() {
		defer close(due)
		for {
			select {
			case due <- time.Time{}: // due when a client takes it
			case <-load.Done():
				return
			}
		}
	}()
	return due
}

// request sends one request until it is answered, refused for good, or given up.
func (g *Generator) request(ctx context.Context, slot int, due time.Time) {
	now := time.Now()
	open := !due.IsZero()
	if !open {
		due = now
	}
	measured := g.measures(due)
	if open && measured {
		g.lags.record(now.Sub(due))
	}
	seq := g.next.Add(1) - 1
	body, err := g.encode(seq)
	if err != nil {
		g.errors.add(err)
		return
	}
	defer body.Free()
	l := g.settings.Ledger
	l.Sent(seq)
	if failed := g.attempt(ctx, slot, seq, body, now); failed != nil {
		l.Refused(seq)
		return
	}
	l.Acknowledged(seq)
	g.acknowledged.Add(uint64(g.settings.Set.ItemsPerRequest()))
	if measured {
		g.latencies.record(time.Since(due))
	}
}

func (g *Generator) attempt(ctx context.Context, slot int, seq uint64, body mem.Buffer, begun time.Time) error {
	retry := g.settings.Load.Retry
	delay := retry.Initial
	for tried := uint64(0); ; tried++ {
		g.attempts.Add(1)
		attempt, cancel := context.WithTimeout(ctx, g.settings.Load.Timeout)
		rejected, failed := g.client.send(attempt, slot, body)
		cancel()
		if failed == nil {
			g.rejected.Add(rejected)
			return nil
		}
		g.failures.Add(1)
		g.errors.add(failed)
		wait := max(jitter(delay, g.settings.Seed, seq, tried), failed.retryAfter)
		if !failed.retryable || time.Since(begun)+wait > retry.MaxElapsed {
			return failed
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return failed
		}
		delay = min(delay*2, retry.Max)
	}
}

// encode makes a request in a pooled buffer, compressed as the client sends it.
func (g *Generator) encode(seq uint64) (mem.Buffer, error) {
	plain := g.buffers.Get(g.settings.Set.Size(seq))
	*plain = g.settings.Set.AppendRequest((*plain)[:0], seq)
	if g.settings.Compression == otlp.None {
		return mem.NewBuffer(plain, &g.buffers), nil
	}
	defer g.buffers.Put(plain)
	packed := g.buffers.Get(len(*plain))
	var err error
	if *packed, err = g.settings.Compression.Append((*packed)[:0], *plain); err != nil {
		return nil, err
	}
	return mem.NewBuffer(packed, &g.buffers), nil
}
