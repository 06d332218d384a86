package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"reflect"
	"strings"
	"sync"
	texttemplate "text/template"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/cluster"
	amconfig "github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/matcher/compat"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// Config describes a delivery.
type Config struct {
	// Directory holds silences, the notification log and active alerts.
	Directory string
	// Alertmanager is the standard Alertmanager configuration; nil notifies nobody.
	Alertmanager map[string]any
	// File is a file with it instead.
	File string
	// ExternalURL is the generator's URL of the alerts of our own rules, too.
	ExternalURL *url.URL
	Cluster     Cluster
	// Grace is how long an alert of a name that was active before a restart is given to be reported again; then it counts as resolved.
	Grace func(name string) time.Duration
	// Admit is called for every alert before it is stored and may change its end; Observe is called after it is stored. Both are
	// called under the store's lock and must not call the delivery.
	Admit, Observe func(*alert.Alert)
	// Shared, if not nil, is what else the members of a cluster have in common.
	Shared Shared
	// BeforeRestore, if not nil, is called once with the delivery before alerts of an earlier run come back: whoever is to be told of an alert that
	// has fired for long is told at once.
	BeforeRestore func(*Delivery)
	// BeforeNotify, if not nil, is called with a group's alerts before it is decided who is told of them, from many goroutines. It may call the
	// delivery: what it takes from silences is not muted.
	BeforeNotify func(context.Context, []*alert.Alert)
	// NotificationTimeout bounds one attempt to notify; another may follow.
	NotificationTimeout time.Duration
	// Notified is called after every attempt to notify, from many goroutines.
	Notified func(Notification)
	// Trouble, if not nil, is told when active alerts can no longer be written to disk, and with nil when they can again.
	Trouble    func(error)
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Cluster is where peers are. Without Listen there are none.
type Cluster struct {
	Listen string   `mapstructure:"listen"`
	Peers  []string `mapstructure:"peers"`
}

// Shared is something that the members of a cluster have in common.
type Shared interface {
	cluster.State
	// SetBroadcast is called once with what sends to the other members.
	SetBroadcast(func([]byte))
}

// Notification is an attempt to notify.
type Notification struct {
	Receiver, Integration string
	Alerts                []*alert.Alert
	Took                  time.Duration
	// Err is nil when the target has taken the notification.
	Err error
}

// initMatchers switches UTF-8 label names on, which is global to the process.
var initMatchers = sync.OnceFunc(func() {
	compat.InitFromFlags(slog.New(slog.DiscardHandler), featurecontrol.NoopFlags{})
})

// Parse reads an Alertmanager configuration, from file if that is set, and checks it as amtool does.
func Parse(raw map[string]any, file string) (*amconfig.Config, error) {
	initMatchers()
	switch {
	case len(raw) > 0 && file != "":
		return nil, errors.New("`alertmanager` and `config_file` exclude each other")
	case file != "":
		parsed, err := amconfig.LoadFile(file)
		if err != nil {
			return nil, fmt.Errorf("`config_file` %q: %w", file, err)
		}
		return parsed, check("`config_file`", parsed)
	case len(raw) == 0:
		raw = map[string]any{
			"route":     map[string]any{"receiver": "nobody", "group_by": []string{"alertname"}},
			"receivers": []any{map[string]any{"name": "nobody"}},
		}
	}
	// Through YAML, as Alertmanager's types decode themselves from it, defaults included.
	content, err := yaml.Marshal(asWritten(raw))
	if err != nil {
		return nil, fmt.Errorf("`alertmanager`: %w", err)
	}
	parsed, err := amconfig.Load(string(content))
	if err != nil {
		return nil, fmt.Errorf("`alertmanager`: %w", err)
	}
	return parsed, check("`alertmanager`", parsed)
}

// check finds what loading does not look at, and of which Alertmanager itself learns when it notifies: templates, those in receivers included,
// and files that are not there.
func check(key string, parsed *amconfig.Config) error {
	templates, err := template.FromGlobs(parsed.Templates)
	if err != nil {
		return fmt.Errorf("%s::templates: %w", key, err)
	}
	templates.ExternalURL = &url.URL{}
	now := time.Now()
	sample := templates.Data("receiver", model.LabelSet{}, model.LabelSet{}, "", &alert.Alert{Alert: model.Alert{
		Labels: model.LabelSet{model.AlertNameLabel: "Sample"}, StartsAt: now, EndsAt: now.Add(time.Hour),
	}})
	var errs []error
	for _, r := range parsed.Receivers {
		eachText(reflect.ValueOf(r), receiverKey(key, r.Name), func(where, text string) {
			if !strings.Contains(text, "{{") {
				return
			}
			if _, err := templates.ExecuteTextString(text, sample); isMistake(err) {
				errs = append(errs, fmt.Errorf("%s: %w", where, err))
			}
		})
	}
	return errors.Join(append(errs, checkFiles(key, parsed), checkSNS(key, parsed))...)
}

// isMistake tells what is wrong with any alert from what may be wrong with the sample alone.
func isMistake(err error) bool {
	if failed, ok := errors.AsType[texttemplate.ExecError](err); ok {
		return strings.Contains(failed.Error(), "not defined") || strings.Contains(failed.Error(), "can't evaluate field")
	}
	return err != nil
}
