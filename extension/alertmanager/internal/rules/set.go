package rules

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

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
	errs := []error{prefix("`builtin_rules`", builtin.Validate())}
	for i := range short {
		errs = append(errs, prefix(fmt.Sprintf("`rules::%d` (%s)", i, short[i].Name), short[i].Validate()))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	errs = append(errs, s.compile(builtinSource, builtin.rules()), s.compile(configSource, short))
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
	for i := range errs {
		errs[i] = fmt.Errorf("%s: %w", source, errs[i])
	}
	if len(errs) == 0 && !slices.Contains(s.sources, source) {
		s.sources = append(s.sources, source)
		s.groups[source] = groups
	}
	return errors.Join(errs...)
}

// Load implements rules.GroupLoader.
func (s *Set) Load(source string, _ bool, _ model.ValidationScheme) (*rulefmt.RuleGroups, []error) {
	return s.groups[source], nil
}

// Parse implements rules.GroupLoader.
func (*Set) Parse(query string) (parser.Expr, error) { return promQL.ParseExpr(query) }
