package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/report"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/result"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/runner"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/scenario"
)

// programs is a flag that may be given several times: NAME=PATH.
type programs map[string]string

func (p programs) String() string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(p)) {
		pairs = append(pairs, name+"="+p[name])
	}
	return strings.Join(pairs, ",")
}

func (p programs) Set(value string) error {
	name, path, ok := strings.Cut(value, "=")
	if !ok || name == "" || path == "" {
		return fmt.Errorf("must be NAME=PATH, found %q", value)
	}
	p[name] = path
	return nil
}

type runFlags struct {
	scenarios, contendersFile, out string
	contenders, filter             string
	rounds, kills                  int
	duration                       time.Duration
	programs                       programs
	quiet                          bool
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := runFlags{programs: programs{
		"otelcol-adaptive": filepath.Join("..", "dist", "otelcol-adaptive"),
		"otelcol-stock":    filepath.Join("peers", "dist", "otelcol-stock"),
	}}
	flags := newFlags("run", stderr)
	flags.StringVar(&f.scenarios, "scenarios", "scenarios", "folder of the scenarios")
	flags.StringVar(&f.contendersFile, "contenders-file", filepath.Join("peers", "contenders.yaml"), "file of the contenders")
	flags.StringVar(&f.contenders, "contenders", "", "run against these instead, separated by commas; the first is the baseline")
	flags.StringVar(&f.filter, "filter", "", "run only the cases whose name matches this regular expression")
	flags.StringVar(&f.out, "out", "", "folder for results (default results/TIME)")
	flags.IntVar(&f.rounds, "rounds", 0, "run each case this often instead")
	flags.DurationVar(&f.duration, "duration", 0, "measure this long instead; a soak's length")
	flags.IntVar(&f.kills, "kills", 0, "kill the Collector this often instead, in a scenario that does")
	flags.Var(f.programs, "program", "`NAME=PATH` of a contender's program; may be repeated")
	flags.BoolVar(&f.quiet, "quiet", false, "no progress bar")
	names, err := parse(flags, args)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return fmt.Errorf("run needs the name of a scenario or suite; %w", errUsage)
	}
	cases, contenders, err := f.cases(names)
	if err != nil {
		return err
	}
	if f.out == "" {
		f.out = filepath.Join("results", time.Now().UTC().Format("20060102-150405"))
	}
	if f.out, err = filepath.Abs(f.out); err != nil {
		return err
	}
	if err := os.MkdirAll(f.out, 0o755); err != nil {
		return err
	}
	r := runner.Runner{Dir: filepath.Join(f.out, "runs"), Programs: f.programs, Contenders: contenders}
	if !f.quiet {
		bar := newProgress(stderr, cases)
		defer bar.finish()
		r.Progress = bar
	}
	measured, runErr := r.Run(ctx, cases)
	measured.Command = "testbed run " + strings.Join(args, " ")
	measured.Programs = versions(f.programs)
	return errors.Join(runErr, f.write(stdout, measured))
}

// cases reads and selects, and lets the command line have the last word.
func (f *runFlags) cases(wanted []string) ([]scenario.Case, map[string]scenario.Contender, error) {
	contenders, errContenders := scenario.Contenders(f.contendersFile)
	all, errScenarios := scenario.Load(f.scenarios)
	if err := errors.Join(errContenders, errScenarios); err != nil {
		return nil, nil, err
	}
	selected, err := scenario.Select(all, wanted)
	if err != nil {
		return nil, nil, err
	}
	filter, err := regexp.Compile(f.filter)
	if err != nil {
		return nil, nil, fmt.Errorf("`-filter`: %w; %w", err, errUsage)
	}
	var cases []scenario.Case
	for i := range selected {
		s := &selected[i]
		if f.contenders != "" {
			s.Contenders = strings.Split(f.contenders, ",")
		}
		if f.rounds > 0 {
			s.Rounds = f.rounds
		}
		if f.duration > 0 {
			s.Load.Duration = f.duration
		}
		if f.kills > 0 && s.Kills > 0 {
			s.Kills = f.kills
		}
		_, _, errContenders := scenario.Resolve(s.Contenders, contenders, f.programs)
		if err := errors.Join(s.Validate(), errContenders); err != nil {
			return nil, nil, fmt.Errorf("%s: %w; %w", s.Name, err, errUsage)
		}
		for _, c := range s.Cases() {
			if filter.MatchString(c.ID) {
				cases = append(cases, c)
			}
		}
	}
	if len(cases) == 0 {
		return nil, nil, fmt.Errorf("`-filter`: no case matches %q", f.filter)
	}
	return cases, contenders, nil
}

func (f *runFlags) write(stdout io.Writer, measured *result.Report) error {
	if err := measured.Write(filepath.Join(f.out, "report.json")); err != nil {
		return err
	}
	if err := report.WriteAll(f.out, "Load test", measured); err != nil {
		return err
	}
	if err := report.Markdown(stdout, "Load test", measured); err != nil {
		return err
	}
	fmt.Fprintln(stdout, "\nResults:", f.out)
	if measured.Interrupted {
		return errInterrupted
	}
	if broken := measured.Broken(); len(broken) > 0 {
		return fmt.Errorf("%d limits broken:\n  %s", len(broken), strings.Join(broken, "\n  "))
	}
	return nil
}

// errInterrupted makes a command fail that was to hold limits and could not.
var errInterrupted = errors.New("the run was interrupted; what it measured until then is written, its limits were not judged")

// versions asks the programs that exist what they are. One that takes the question for a start is ended.
func versions(programs map[string]string) map[string]string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	known := map[string]string{}
	for name, path := range programs {
		if output, err := exec.CommandContext(ctx, path, "--version").Output(); err == nil {
			known[name] = strings.TrimSpace(string(output))
		}
	}
	if output, err := exec.CommandContext(ctx, "nginx", "-v").CombinedOutput(); err == nil {
		known["nginx"] = strings.TrimSpace(string(output))
	}
	return known
}
