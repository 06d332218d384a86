// Package netproxy is a TCP proxy that makes a network worse: later, slower, cut, gone or silent, as a schedule says.
package netproxy

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Proxy passes connections on to one address. Every phase takes hold of the connections that exist already, too.
type Proxy struct {
	target  string
	address string
	phases  []Phase
	phase   atomic.Pointer[activePhase]
	stop    context.CancelFunc
	ctx     context.Context
	running sync.WaitGroup

	mu       sync.Mutex // guards what is below
	listener net.Listener
	conns    map[net.Conn]struct{}
}

type activePhase struct {
	Phase
	ended chan struct{} // closed when the next phase begins
}

// Start listens on a free port of the loopback interface. A phase at 0 holds at once, the others after Begin.
func Start(target string, phases []Phase) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the proxy: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &Proxy{
		target: target, address: l.Addr().String(), phases: slices.Clone(phases), ctx: ctx, stop: stop,
		listener: l, conns: map[net.Conn]struct{}{},
	}
	slices.SortStableFunc(p.phases, func(a, b Phase) int { return int(a.At - b.At) })
	p.phase.Store(&activePhase{ended: make(chan struct{})})
	p.running.Go(func() { p.accept(l) })
	if len(p.phases) > 0 && p.phases[0].At == 0 {
		p.enter(&p.phases[0])
		p.phases = p.phases[1:]
	}
	return p, nil
}

// Address is where the proxy listens.
func (p *Proxy) Address() string { return p.address }

// Begin starts the clock of the phases.
func (p *Proxy) Begin() {
	start := time.Now()
	p.running.Go(func() {
		for i := range p.phases {
			select {
			case <-time.After(time.Until(start.Add(p.phases[i].At))):
				p.enter(&p.phases[i])
			case <-p.ctx.Done():
				return
			}
		}
	})
}

// Shutdown ends all connections and waits for everything the proxy started.
func (p *Proxy) Shutdown() {
	p.stop()
	p.mu.Lock()
	if p.listener != nil {
		_ = p.listener.Close()
	}
	p.mu.Unlock()
	p.cut()
	p.running.Wait()
}

func (p *Proxy) enter(phase *Phase) {
	previous := p.phase.Swap(&activePhase{Phase: *phase, ended: make(chan struct{})})
	close(previous.ended)
	p.mu.Lock()
	if phase.Down && p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	} else if !phase.Down && p.listener == nil {
		p.relisten()
	}
	p.mu.Unlock()
	if phase.Cut || phase.Down {
		p.cut()
	}
}

// relisten takes the old port again, with mu held. Nobody else asks for that port, but the kernel may hold it for a moment.
func (p *Proxy) relisten() {
	for p.ctx.Err() == nil {
		l, err := net.Listen("tcp", p.address)
		if err == nil {
			p.listener = l
			p.running.Go(func() { p.accept(l) })
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (p *Proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

func (p *Proxy) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.serve(c) })
	}
}

func (p *Proxy) serve(from net.Conn) {
	defer from.Close()
	if !p.track(from) {
		return
	}
	defer p.forget(from)
	to, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer to.Close()
	if !p.track(to) {
		return
	}
	defer p.forget(to)
	var both sync.WaitGroup
	both.Go(func() { p.pass(to, from) })
	both.Go(func() { p.pass(from, to) })
	both.Wait()
}

func (p *Proxy) track(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Proxy) forget(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// Bounds of what one direction holds: pieces of at most pieceBytes, at most maxPieces of them.
const (
	pieceBytes = 32 << 10
	maxPieces  = 256
)

type piece struct {
	data []byte
	due  time.Time
}

// pass copies one direction. Reading and writing are two goroutines, so that a delay does not limit the throughput.
func (p *Proxy) pass(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	pieces := make(chan piece, maxPieces)
	failed := make(chan struct{})
	p.running.Go(func() {
		defer close(failed)
		// Closing here too ends a read that waits while nobody can write any more.
		defer from.Close()
		for next := range pieces {
			if wait := time.Until(next.due); wait > 0 {
				time.Sleep(wait)
			}
			if _, err := to.Write(next.data); err != nil {
				return
			}
		}
	})
	// What was read is still written before the connection ends.
	defer func() { close(pieces); <-failed }()
	for {
		buf := make([]byte, pieceBytes)
		n, err := from.Read(buf)
		phase := p.passable()
		if n > 0 {
			select {
			case pieces <- piece{data: buf[:n], due: time.Now().Add(phase.Delay)}:
			case <-failed:
				return
			}
			p.slow(phase, n)
		}
		if err != nil {
			return
		}
	}
}

// passable waits while nothing passes, and returns the phase that then holds.
func (p *Proxy) passable() *activePhase {
	for {
		phase := p.phase.Load()
		if !phase.BlackHole {
			return phase
		}
		select {
		case <-phase.ended:
		case <-p.ctx.Done():
			return phase
		}
	}
}

// slow takes the time that n bytes need at the phase's bandwidth.
func (p *Proxy) slow(phase *activePhase, n int) {
	if phase.BytesPerSecond == 0 {
		return
	}
	select {
	case <-time.After(time.Duration(n) * time.Second / time.Duration(phase.BytesPerSecond)):
	case <-p.ctx.Done():
	}
}
