package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Load reads every scenario of a folder. The faults of all files are reported together.
func Load(dir string) ([]Scenario, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("no scenario (*.yaml) in %s", dir)
	}
	var scenarios []Scenario
	var errs []error
	for _, path := range paths {
		s, err := read(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
		}
		scenarios = append(scenarios, s)
	}
	return scenarios, errors.Join(errs...)
}

func read(path string) (Scenario, error) {
	s := Default()
	if err := decode(path, &s); err != nil {
		return s, err
	}
	s.Name = strings.TrimSuffix(filepath.Base(path), ".yaml")
	return s, s.Validate()
}

// decode refuses keys that it does not know: a mistyped limit would otherwise limit nothing.
func decode(path string, into any) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	err = decoder.Decode(into)
	if errors.Is(err, io.EOF) {
		return errors.New("the file is empty")
	}
	return err
}

// Select finds the scenarios with these names or of these suites, in the order of the files.
func Select(scenarios []Scenario, wanted []string) ([]Scenario, error) {
	var errs []error
	for _, want := range wanted {
		if !slices.ContainsFunc(scenarios, func(s Scenario) bool { return s.matches(want) }) {
			errs = append(errs, fmt.Errorf("no scenario and no suite is called %q; `testbed list` shows them", want))
		}
	}
	var selected []Scenario
	for _, s := range scenarios {
		if slices.ContainsFunc(wanted, s.matches) {
			selected = append(selected, s)
		}
	}
	return selected, errors.Join(errs...)
}

func (s Scenario) matches(want string) bool {
	return s.Name == want || slices.Contains(s.Suites, want)
}
