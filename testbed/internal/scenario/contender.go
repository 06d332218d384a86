package scenario

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Contender is something that a scenario can run against: a program and its configuration.
type Contender struct {
	Name string `yaml:"-"`
	// Title is what reports call it.
	Title string `yaml:"title"`
	// Binary names one of the programs that the command line can replace. Empty: no program; the generator sends to the backend itself,
	// which shows what the testbed costs and reaches.
	Binary string `yaml:"binary"`
	// Args are the program's arguments; {config} and {dir} stand for the configuration and the run's folder.
	Args []string `yaml:"args"`
	// Config is relative to the contenders' file.
	Config string `yaml:"config"`
	// Durability says what an acknowledgement means.
	Durability string `yaml:"durability"`
	// Ours is held to the scenarios' limits.
	Ours bool `yaml:"ours"`
}

// Contenders reads the file that describes them.
func Contenders(path string) (map[string]Contender, error) {
	var all map[string]Contender
	if err := decode(path, &all); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(all)) {
		c := all[name]
		c.Name = name
		if c.Title == "" || c.Durability == "" {
			errs = append(errs, fmt.Errorf("%s: `%s` needs a `title` and a `durability`", path, name))
		}
		if c.Binary != "" {
			c.Config = filepath.Join(filepath.Dir(path), c.Config)
			if _, err := os.Stat(c.Config); err != nil {
				errs = append(errs, fmt.Errorf("%s: `%s.config`: %w", path, name, err))
			}
		}
		all[name] = c
	}
	return all, errors.Join(errs...)
}

// Command is the program with its arguments. programs maps the names of binaries to paths; a name that it lacks is looked for in PATH.
func (c *Contender) Command(programs map[string]string) ([]string, error) {
	program, known := programs[c.Binary]
	if !known {
		program = c.Binary
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return nil, fmt.Errorf("contender %s: %w", c.Name, err)
	}
	return append([]string{path}, c.Args...), nil
}

// Absent is a contender whose program is not installed.
type Absent struct {
	Contender
	Reason error
}

// Resolve finds the scenario's contenders. What is unknown is an error; what is not installed is left out, with the reason.
func Resolve(names []string, all map[string]Contender, programs map[string]string) (found []Contender, missing []Absent, err error) {
	var errs []error
	for _, name := range names {
		c, ok := all[name]
		if !ok {
			known := strings.Join(slices.Sorted(maps.Keys(all)), ", ")
			errs = append(errs, fmt.Errorf("no contender is called %q; there are %s", name, known))
			continue
		}
		if c.Binary != "" {
			if _, err := c.Command(programs); err != nil {
				missing = append(missing, Absent{Contender: c, Reason: err})
				continue
			}
		}
		found = append(found, c)
	}
	return found, missing, errors.Join(errs...)
}
