package rules

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
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
		sound = append(sound, short[i])
	}
	errs = append(errs, s.compile(builtinSource, shipped), s.compile(configSource, sound))
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
			errs = append(errs, s.parse(path, content))
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

// compile goes through YAML, as rulefmt checks nothing else.
func (s *Set) compile(source string, short []Rule) error {
	if len(short) == 0 {
		return nil
	}
	group := rulefmt.RuleGroup{Name: source}
	for i := range short {
		group.Rules = append(group.Rules, short[i].compile()...)
	}
	content, err := yaml.Marshal(rulefmt.RuleGroups{Groups: []rulefmt.RuleGroup{group}})
	if err != nil {
		return fmt.Errorf("%s: %w", source, err)
	}
	return s.parse(source, content)
}

func (s *Set) parse(source string, content []byte) error {
	groups, errs := rulefmt.Parse(content, false, model.UTF8Validation, promQL, slog.New(slog.DiscardHandler))
	documents := yaml.NewDecoder(bytes.NewReader(content))
	first := documents.Decode(new(any))
	if second := documents.Decode(new(any)); first == nil && second == nil {
		errs = append(errs, errors.New("there is more than one YAML document, of which only the first would be read"))
	}
	seen := map[string]bool{}
	errs = slices.DeleteFunc(errs, func(err error) bool { // the steps of an escalation have the faults of their rule
		known := seen[described(source, err).Error()]
		seen[described(source, err).Error()] = true
		return known
	})
	for i := range errs {
		errs[i] = described(source, errs[i])
	}
	if len(errs) == 0 && !slices.Contains(s.sources, source) {
		s.sources = append(s.sources, source)
		s.groups[source] = groups
	}
	return errors.Join(errs...)
}

// described says where a fault is: in a file by line and group, in the configuration by the rule, as the lines would be those of a text that
// nobody has written.
func described(source string, err error) error {
	if fault, ok := errors.AsType[*rulefmt.Error](err); ok && (source == configSource || source == builtinSource) {
		key := map[string]string{configSource: "rules", builtinSource: "builtin_rules"}[source]
		return fmt.Errorf("`%s` (%s): %w", key, fault.RuleName, cmp.Or(errors.Unwrap(&fault.Err), err))
	}
	return fmt.Errorf("%s: %w", source, err)
}

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
