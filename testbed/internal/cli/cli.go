// Package cli is the command line of the testbed.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/report"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/result"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/runner"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/scenario"
)

const usage = `testbed loads Collectors, checks what they deliver, and compares them.

  testbed list                             the scenarios and suites
  testbed run [flags] SCENARIO|SUITE...    run them and write reports
  testbed compare [flags] A.json B.json    what changed from one run to another; fails where something is worse by more than 5 %
  testbed report [flags] RUN.json...       write the reports of runs again, several of one machine and version into one
  testbed goals BENCH.txt RUN.json...      what was asked of this Collector, and what of it holds

"testbed run -h", "testbed compare -h" and "testbed report -h" show the flags.
`

// Exit codes.
const (
	ok = iota
	failed
	misused
)

// errUsage marks a call that cannot be carried out as it is written.
var errUsage = errors.New("see `testbed help`")

// Main carries out a command and returns the exit code of the process: 1 if a limit was broken or something went wrong, 2 if the call
// was wrong.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := dispatch(ctx, args, stdout, stderr)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return ok
	case errors.Is(err, errUsage):
		fmt.Fprintln(stderr, "testbed:", err)
		return misused
	default:
		fmt.Fprintln(stderr, "testbed:", err)
		return failed
	}
}

func dispatch(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		args = []string{"help"}
	}
	switch args[0] {
	case "list":
		return list(args[1:], stdout, stderr)
	case "run":
		return run(ctx, args[1:], stdout, stderr)
	case "compare":
		return compare(args[1:], stdout, stderr)
	case "report":
		return rewrite(args[1:], stdout, stderr)
	case "goals":
		return goals(args[1:], stdout, stderr)
	case "help", "-h", "-help", "--help":
		_, err := io.WriteString(stdout, usage)
		return err
	default:
		return fmt.Errorf("unknown command %q; %w", args[0], errUsage)
	}
}

func newFlags(name string, stderr io.Writer) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	return flags
}

// parse returns what is no flag. Flags may stand before it, after it and between.
func parse(flags *flag.FlagSet, args []string) (names []string, err error) {
	for {
		switch err := flags.Parse(args); {
		case errors.Is(err, flag.ErrHelp):
			return nil, err
		case err != nil:
			return nil, fmt.Errorf("%w; %w", err, errUsage)
		}
		if flags.NArg() == 0 {
			return names, nil
		}
		names = append(names, flags.Arg(0))
		args = flags.Args()[1:]
	}
}

func list(args []string, stdout, stderr io.Writer) error {
	flags := newFlags("list", stderr)
	scenarios := flags.String("scenarios", "scenarios", "folder of the scenarios")
	if _, err := parse(flags, args); err != nil {
		return err
	}
	all, err := scenario.Load(*scenarios)
	if err != nil {
		return err
	}
	for i := range all {
		fmt.Fprintln(stdout, runner.Describe(&all[i]))
	}
	_, err = fmt.Fprintln(stdout, "\nSuites:", strings.Join(scenario.SuitesOf(all), ", "))
	return err
}

// worseBy is how much worse a figure must be, beyond what the rounds scatter, for compare to fail.
const worseBy = 0.05

func compare(args []string, stdout, stderr io.Writer) error {
	flags := newFlags("compare", stderr)
	all := flags.Bool("all", false, "show every figure, not only those that are clearly worse or better")
	pair := flags.String("contenders", "", "compare these two contenders of one result, separated by a comma: two builds that ran in turns")
	paths, err := parse(flags, args)
	if err != nil {
		return err
	}
	before, after, err := sides(paths, *pair)
	if err != nil {
		return err
	}
	if c := result.Compare(before, after); len(c.Changes) == 0 && len(c.Faults) == 0 {
		return errors.New("the two results have no case and contender in common")
	}
	worse, err := report.Changes(stdout, before, after, worseBy, *all)
	if err == nil && worse > 0 {
		err = fmt.Errorf("%d figures are worse by more than %.0f %%, new faults, or no more there", worse, worseBy*100)
	}
	return err
}

// sides reads what is compared: two results, or two contenders of one.
func sides(paths []string, pair string) (before, after *result.Report, err error) {
	if pair == "" {
		if len(paths) != 2 {
			return nil, nil, fmt.Errorf("compare needs two results, found %d; %w", len(paths), errUsage)
		}
		before, errBefore := result.Read(paths[0])
		after, errAfter := result.Read(paths[1])
		return before, after, errors.Join(errBefore, errAfter)
	}
	names := strings.Split(pair, ",")
	if len(names) != 2 || len(paths) != 1 {
		return nil, nil, fmt.Errorf("`-contenders` compares two contenders of one result, found %d of %d; %w", len(names), len(paths), errUsage)
	}
	run, err := result.Read(paths[0])
	if err != nil {
		return nil, nil, err
	}
	return run.Only(names[0], pair), run.Only(names[1], pair), nil
}

func rewrite(args []string, stdout, stderr io.Writer) error {
	flags := newFlags("report", stderr)
	dir := flags.String("out", ".", "folder to write report.md, report.html and benchmark.txt to")
	title := flags.String("title", "Load test", "heading of the report")
	paths, err := parse(flags, args)
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		return fmt.Errorf("report needs the JSON of a run; %w", errUsage)
	}
	merged, err := merge(paths)
	if err != nil {
		return err
	}
	if err := report.WriteAll(*dir, *title, merged); err != nil {
		return err
	}
	_, err = fmt.Fprintln(stdout, "wrote the reports to", *dir)
	return err
}

// merge reads the results of several runs, of one machine and version, as one.
func merge(paths []string) (*result.Report, error) {
	merged, err := result.Read(paths[0])
	if err != nil {
		return nil, err
	}
	for _, path := range paths[1:] {
		more, err := result.Read(path)
		if err != nil {
			return nil, err
		}
		if err := merged.Add(more); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return merged, nil
}

func goals(args []string, stdout, stderr io.Writer) error {
	paths, err := parse(newFlags("goals", stderr), args)
	if err != nil {
		return err
	}
	if len(paths) < 2 {
		return fmt.Errorf("goals needs the output of the benchmarks and the JSON of a run; %w", errUsage)
	}
	benchmarks, err := os.Open(paths[0])
	if err != nil {
		return err
	}
	defer benchmarks.Close()
	merged, err := merge(paths[1:])
	if err != nil {
		return err
	}
	return report.Goals(stdout, benchmarks, merged)
}
