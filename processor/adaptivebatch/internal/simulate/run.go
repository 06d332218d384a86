package simulate

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch/internal/controller"
)

// WarmUp is how long the controller may learn before calls count.
const WarmUp = 5 * time.Second

// Pair is a load and the backend it goes to.
type Pair struct {
	Load    *Load
	Backend *Backend
}

// Pairs are all of the regret table, by load.
func Pairs() []Pair {
	var pairs []Pair
	for l := range Loads {
		for b := range Backends {
			pairs = append(pairs, Pair{&Loads[l], &Backends[b]})
		}
	}
	return pairs
}

// Name returns "load, backend".
func (p Pair) Name() string { return p.Load.Name + ", " + p.Backend.Name }

// window returns when calls count: after the warm-up, and after an outage has been over for a while.
func (p Pair) window() (from, to time.Duration) {
	from, to = WarmUp, p.Load.Duration
	if p.Backend.Fails > 0 {
		if p.Backend.Fails == 1 {
			from = p.Backend.FailTo + settling
		}
		to = max(to, p.Backend.FailTo+settling+7*time.Second)
	}
	return from, to
}

// Result is what callers experienced whose calls count.
type Result struct {
	// P50 and P99 are from call to answer.
	P50, P99 time.Duration
	// Calls that were answered, and that were refused or never answered.
	Answered, Refused int
	// Requests is the number of batches closed, and Items what they held.
	Requests, Items int
	// Abandoned: the run was given up, because it cannot become as good as wanted.
	Abandoned bool
}

// Carried reports whether nearly everything was answered.
func (r Result) Carried() bool {
	return !r.Abandoned && r.Answered > 0 && float64(r.Refused) <= 0.001*float64(r.Answered)
}

// Options of a run.
type Options struct {
	Seed uint64
	// From is when the clients begin; a configuration that learns nothing needs no warm-up.
	From time.Duration
	// GiveUp ends the run when more than MaxAbove calls have waited longer than GiveUp; 0: never.
	GiveUp   time.Duration
	MaxAbove int
	// Trace, if any, is called every TraceEvery.
	Trace      func(Sample)
	TraceEvery time.Duration
}

// Sample is the state at a moment.
type Sample struct {
	At       time.Duration
	Decision controller.Decision
	InFlight int
	// Rate is in items per second, and P50 and P99 those of the calls answered, since the last sample.
	Rate     float64
	P50, P99 time.Duration
}

// simulation is one run.
type simulation struct {
	pair     Pair
	options  Options
	now      time.Duration
	events   events
	source   *source
	server   *server
	clients  *rand.Rand
	pipeline pipeline

	from, to  time.Duration
	latencies []time.Duration
	result    Result
	above     int
	open      int // calls that count and have no answer

	recent      []time.Duration
	recentItems int
}

// clock turns simulated time into the controller's.
func clock(t time.Duration) time.Time { return time.Unix(0, 0).Add(t) }

// Run simulates one pair with one configuration.
func Run(pair Pair, cfg controller.Config, o Options) Result { return simulated(pair, cfg, o).result }

// simulated is a run that has ended, its latencies sorted.
func simulated(pair Pair, cfg controller.Config, o Options) *simulation {
	load := *pair.Load
	s := &simulation{pair: pair, options: o, now: o.From, server: newServer(pair.Backend, o.Seed)}
	s.from, s.to = pair.window()
	load.Duration = s.to
	s.source = newSource(&load, o.Seed, o.From)
	s.clients = rand.New(rand.NewPCG(o.Seed, 3)) //nolint:gosec // repeatable on purpose
	s.pipeline = pipeline{sim: s, cfg: cfg, control: controller.New(cfg)}
	for i := range load.Waiting {
		s.events.push(event{at: o.From + time.Duration(s.clients.Int64N(int64(ms))), kind: clientSends, client: i})
	}
	s.run()
	slices.Sort(s.latencies)
	s.result.P50, s.result.P99 = quantile(s.latencies, 0.5), quantile(s.latencies, 0.99)
	s.result.Refused += s.open
	return s
}

// drain is how long after the last call answers are waited for.
const drain = 10 * time.Second

func (s *simulation) run() {
	sample := time.Duration(math.MaxInt64)
	if s.options.Trace != nil {
		sample = s.options.From + s.options.TraceEvery
	}
	for !s.result.Abandoned {
		next := s.source.at()
		isCall := true
		if len(s.events) > 0 && s.events[0].at <= next {
			next, isCall = s.events[0].at, false
		}
		if next > s.to+drain || next > s.to && s.open == 0 {
			return
		}
		for next > sample {
			s.sample(sample)
			sample += s.options.TraceEvery
		}
		s.now = next
		if isCall {
			s.source.take()
			s.arrive(-1)
			continue
		}
		s.happen(s.events.pop())
	}
}

func (s *simulation) happen(e event) {
	switch e.kind {
	case answered:
		s.answered(e.request)
	case deadline:
		s.deadline(e.request)
	case retry:
		s.again(e.batch)
	case wake:
		s.pipeline.woken()
	case clientSends:
		if s.now < s.to {
			s.arrive(e.client)
		}
	}
}

func (s *simulation) arrive(client int) {
	c := &call{client: client, arrived: s.now, items: s.source.load.Items}
	if s.counts(c) {
		s.open++
	}
	s.pipeline.arrive(c)
}

func (s *simulation) counts(c *call) bool {
	return c.arrived >= s.from && c.arrived < s.to && s.pair.Load.settled(c.arrived)
}

func (s *simulation) done(c *call) {
	took := s.now - c.arrived
	if s.counts(c) {
		s.open--
		s.result.Answered++
		s.latencies = append(s.latencies, took)
		if s.options.GiveUp > 0 && took > s.options.GiveUp {
			s.above++
			s.result.Abandoned = s.above > s.options.MaxAbove
		}
	}
	if s.options.Trace != nil {
		s.recent = append(s.recent, took)
		s.recentItems += c.items
	}
	s.answerClient(c, thinking)
}

// clientBackOff is how long a waiting client waits after a refusal.
const clientBackOff = 100 * ms

func (s *simulation) refused(c *call) {
	if s.counts(c) {
		s.open--
		s.result.Refused++
		s.above++
		s.result.Abandoned = s.options.GiveUp > 0 && s.above > s.options.MaxAbove
	}
	s.answerClient(c, clientBackOff)
}

func (s *simulation) answerClient(c *call, pause time.Duration) {
	if c.client >= 0 {
		pause = time.Duration(float64(pause) * (0.5 + s.clients.Float64()))
		s.events.push(event{at: s.now + pause, kind: clientSends, client: c.client})
	}
}

func (s *simulation) sample(at time.Duration) {
	slices.Sort(s.recent)
	s.options.Trace(Sample{
		At: at, Decision: s.pipeline.control.Decision(), InFlight: s.pipeline.inFlight.Exports,
		Rate: float64(s.recentItems) / s.options.TraceEvery.Seconds(),
		P50:  quantile(s.recent, 0.5), P99: quantile(s.recent, 0.99),
	})
	s.recent, s.recentItems = s.recent[:0], 0
}

// quantile of sorted values, by the nearest rank.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
