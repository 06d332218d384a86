package rules

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// Names under which the rules that are in no file appear.
const (
	builtinSource = "builtin"
	configSource  = "configuration"
)

var promQL = parser.NewParser(parser.Options{})

// Set is a checked set of rule groups by source: a file's path, or one of the two above. It is Prometheus's rules.GroupLoader.
type Set struct {
	sources []string
	groups  map[string]*rulefmt.RuleGroups
}

// Load compiles and reads all rules and checks them. It reports every fault with source, rule and reason.
func Load(builtin Builtin, short []Rule, files []string) (*Set, error) {
	s := &Set{groups: map[string]*rulefmt.RuleGroups{}}
	errs := []error{prefix("`builtin_rules`", builtin.Check())}
	shipped := builtin.rules()
	var sound []Rule
	var places []string
	taken := map[string]string{}
	for i := range shipped {
		taken[shipped[i].identity()] = "a rule that ships (to replace that, put it into `builtin_rules::disable`)"
	}
	for i := range short {
		where := fmt.Sprintf("`rules::%d` (%s)", i, short[i].Name)
		err := short[i].Check()
		if other := taken[short[i].identity()]; err == nil && other != "" {
			err = fmt.Errorf("`name` and `labels` are those of %s: each would end the alerts of the other", other)
		}
		if err != nil {
			errs = append(errs, prefix(where, err))
			continue
		}
		taken[short[i].identity()] = where
		sound, places = append(sound, short[i]), append(places, where)
	}
	var shippedPlaces []string
	for i := range shipped {
		shippedPlaces = append(shippedPlaces, fmt.Sprintf("`builtin_rules` (%s)", shipped[i].Name))
	}
	errs = append(errs, s.compile(builtinSource, shipped, shippedPlaces), s.compile(configSource, sound, places))
	for i, pattern := range files {
		paths, err := filepath.Glob(pattern)
		if err == nil && len(paths) == 0 {
			err = errors.New("matches no file")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("`rule_files::%d` %q: %w", i, pattern, err))
		}
		for _, path := range paths {
			content, err := os.ReadFile(path)
			if err != nil {
				errs = append(errs, fmt.Errorf("`rule_files::%d`: %w", i, err))
				continue
			}
			errs = append(errs, s.parse(path, content, nil))
		}
	}
	return s, errors.Join(errs...)
}

func prefix(where string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", where, err)
}

// compile goes through YAML, as rulefmt checks nothing else. The places say where each rule was written.
func (s *Set) compile(source string, short []Rule, places []string) error {
	if len(short) == 0 {
		return nil
	}
	group := rulefmt.RuleGroup{Name: source}
	var of []string
	for i := range short {
		compiled := short[i].compile()
		group.Rules = append(group.Rules, compiled...)
		of = append(of, slices.Repeat(places[i:i+1], len(compiled))...)
	}
	content, err := yaml.Marshal(rulefmt.RuleGroups{Groups: []rulefmt.RuleGroup{group}})
	if err != nil {
		return fmt.Errorf("%s: %w", source, err)
	}
	return s.parse(source, content, of)
}

// parse takes the places of the rules of one group that is in no file, else none.
func (s *Set) parse(source string, content []byte, places []string) error {
	groups, errs := rulefmt.Parse(content, false, model.UTF8Validation, promQL, slog.New(slog.DiscardHandler))
	documents := yaml.NewDecoder(bytes.NewReader(content))
	first := documents.Decode(new(any))
	if second := documents.Decode(new(any)); first == nil && second == nil {
		errs = append(errs, errors.New("there is more than one YAML document, of which only the first would be read"))
	}
	seen := map[string]bool{}
	errs = slices.DeleteFunc(errs, func(err error) bool { // the steps of an escalation have the faults of their rule
		known := seen[described(source, places, err).Error()]
		seen[described(source, places, err).Error()] = true
		return known
	})
	for i := range errs {
		errs[i] = described(source, places, errs[i])
	}
	if len(errs) == 0 && !slices.Contains(s.sources, source) {
		s.sources = append(s.sources, source)
		s.groups[source] = groups
	}
	return errors.Join(errs...)
}

// described says where a fault is: in a file by line and group, in the configuration by the rule, as the lines would be those of a text that
// nobody has written.
func described(source string, places []string, err error) error {
	if fault, ok := errors.AsType[*rulefmt.Error](err); ok && places != nil {
		source, err = places[fault.Rule-1], cmp.Or(errors.Unwrap(&fault.Err), err)
	}
	if dotted.MatchString(err.Error()) {
		err = fmt.Errorf(`%w (names with dots stand in quotes, those of metrics in braces too: {"otelcol.self.queue.utilization"})`, err)
	}
	return fmt.Errorf("%s: %w", source, err)
}

// dotted matches what PromQL's parser says of a dot in a name.
var dotted = regexp.MustCompile(`unexpected character( inside braces)?: '\.'`)

// Load implements rules.GroupLoader.
func (s *Set) Load(source string, _ bool, _ model.ValidationScheme) (*rulefmt.RuleGroups, []error) {
	return s.groups[source], nil
}

// Interval returns the longest interval of the groups that have an alerting rule of a name, or of all groups if name is empty. That of a group without
// one of its own, and of a name that no rule has, is usual.
func (s *Set) Interval(name string, usual time.Duration) time.Duration {
	var longest time.Duration
	for _, groups := range s.groups {
		for _, g := range groups.Groups {
			if name == "" || slices.ContainsFunc(g.Rules, func(r rulefmt.Rule) bool { return r.Alert == name }) {
				longest = max(longest, cmp.Or(time.Duration(g.Interval), usual))
			}
		}
	}
	return cmp.Or(longest, usual)
}

// Parse implements rules.GroupLoader.
func (*Set) Parse(query string) (parser.Expr, error) { return promQL.ParseExpr(query) }
