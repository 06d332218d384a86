package runner

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/payload"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/result"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/scenario"
)

// Progress is told how a run goes on. Its methods are called from one goroutine at a time.
type Progress interface {
	// Begin names what runs now.
	Begin(caseID, contender string, round int)
	// Sample gives the present rate in items per second, the failed attempts of this trial, and the time since the last sample.
	Sample(rate float64, failures uint64, elapsed time.Duration)
}

// Runner carries out cases, one trial at a time.
type Runner struct {
	// Dir is where configurations and logs go.
	Dir string
	// Programs maps the binaries' names to paths.
	Programs   map[string]string
	Contenders map[string]scenario.Contender
	Progress   Progress

	// tamper changes what the backend notes; tests use it.
	tamper func([]payload.Item) []payload.Item
}

// Run carries out the cases. When ctx ends, it returns what was measured until then.
func (r *Runner) Run(ctx context.Context, cases []scenario.Case) (report *result.Report, err error) {
	report = &result.Report{Time: time.Now().UTC(), Machine: result.ThisMachine(), Programs: map[string]string{}}
	var errs []error
	for i := range cases {
		c, err := r.runCase(ctx, &cases[i], report)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", cases[i].ID, err))
		}
		if c != nil {
			report.Cases = append(report.Cases, *c)
		}
		if ctx.Err() != nil {
			report.Interrupted = true
			break
		}
	}
	return report, errors.Join(errs...)
}

// runCase notes in report what it leaves out. Without anything that runs there is no case.
func (r *Runner) runCase(ctx context.Context, c *scenario.Case, report *result.Report) (done *result.Case, err error) {
	skip := func(reason string) { report.Skipped = append(report.Skipped, c.ID+": "+reason) }
	contenders, missing, err := scenario.Resolve(c.Contenders, r.Contenders, r.Programs)
	for _, absent := range missing {
		skip(absent.Reason.Error())
		if absent.Ours {
			report.Unheld = append(report.Unheld, fmt.Sprintf("%s, %s: did not run, so that its limits were not held: %v", c.ID, absent.Name, absent.Reason))
		}
	}
	if err != nil || len(contenders) == 0 {
		return nil, err
	}
	if c.Pin && runtime.NumCPU() <= driverCPU {
		skip("the Collector and the rest need a processor each")
		return nil, nil
	}
	done = &result.Case{
		ID: c.ID, Description: c.Description, Signal: string(c.Signal), Protocol: c.Protocol, ItemsPerRequest: c.ItemsPerRequest,
		Compression: string(c.Compression), Clients: c.Load.Clients, Pinned: c.Pin, Baseline: contenders[0].Name,
	}
	for _, contender := range contenders {
		done.Contenders = append(done.Contenders, result.Contender{
			Name: contender.Name, Title: contender.Title, Durability: contender.Durability, Ours: contender.Ours,
		})
	}
	for round := range c.Rounds {
		for i := range contenders {
			// Another one begins every round: what the first of a round suffers, all suffer in turn.
			at := (i + round) % len(contenders)
			if r.Progress != nil {
				r.Progress.Begin(c.ID, contenders[at].Name, round)
			}
			m, err := r.measure(ctx, c, contenders[at], round)
			if errors.Is(err, errNoDisk) {
				skip(err.Error())
				return nil, nil
			}
			if err != nil && ctx.Err() == nil {
				m.Fault = err.Error()
			}
			done.Contenders[at].Rounds = append(done.Contenders[at].Rounds, m)
			if ctx.Err() != nil {
				return done, nil
			}
		}
	}
	judge(done, c.Contenders[0], &c.Limits)
	return done, nil
}

// Seconds is how long the cases take at least.
func Seconds(cases []scenario.Case) (total time.Duration) {
	for i := range cases {
		c := &cases[i]
		total += time.Duration(c.Rounds*len(c.Contenders)) * (c.Load.Warmup + c.Load.Duration)
	}
	return total
}

// Describe is what `list` prints of a scenario.
func Describe(s *scenario.Scenario) string {
	cases := s.Cases()
	return fmt.Sprintf("%-28s %-26s %3d cases %6s  %s", s.Name, strings.Join(s.Suites, ","), len(cases), Seconds(cases).Round(time.Second), s.Description)
}
