// Package external sends alerts to Alertmanagers that run elsewhere, with Prometheus's notifier.
package external

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	commoncfg "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/notifier"
	"go.yaml.in/yaml/v3"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/guard"
)

// Config names the Alertmanagers.
type Config struct {
	// Alertmanagers are URLs such as http://alertmanager:9093. Every one gets every alert, as members of a cluster must.
	Alertmanagers []string `mapstructure:"alertmanagers"`
}

// queueCapacity is how many alerts wait for the Alertmanagers; the oldest are dropped beyond that, and counted.
const queueCapacity = 10_000

// Check returns all faults. It is not called Validate, which the Collector would call once more.
func (c *Config) Check() error {
	var errs []error
	for i, address := range c.Alertmanagers {
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			errs = append(errs, fmt.Errorf("`external::alertmanagers::%d` must be an http or https URL, found %s", i, redacted(u)))
			continue
		}
		if _, found := u.User.Password(); u.User != nil && !found {
			errs = append(errs, fmt.Errorf("`external::alertmanagers::%d` must have a password for its user (http://user:password@host), found %s",
				i, redacted(u)))
		}
	}
	return errors.Join(errs...)
}

// redacted leaves the password out of an error.
func redacted(u *url.URL) string {
	if u == nil {
		return "what is no URL"
	}
	return strconv.Quote(u.Redacted())
}

// Sender sends alerts in the background.
type Sender struct {
	manager *notifier.Manager
	clients map[string]*http.Client // by the URL that alerts are posted to
	running sync.WaitGroup
	// giveUp ends what is being sent, and what would be from then on, by the end of givenUp: the notifier's requests know no other end.
	givenUp context.Context
	giveUp  context.CancelFunc
}

// Start starts a sender for a valid configuration.
func Start(c Config, logger *slog.Logger, registerer prometheus.Registerer) (*Sender, error) {
	parsed, targets, err := prometheusConfig(c.Alertmanagers)
	if err != nil {
		return nil, fmt.Errorf("configure the external Alertmanagers: %w", err)
	}
	s := &Sender{}
	s.givenUp, s.giveUp = context.WithCancel(context.Background())
	if s.clients, err = guardedClients(parsed, targets); err != nil {
		return nil, fmt.Errorf("configure the external Alertmanagers: %w", err)
	}
	s.manager = notifier.NewManager(
		&notifier.Options{QueueCapacity: queueCapacity, DrainOnShutdown: true, Registerer: registerer, Do: s.do}, model.UTF8Validation, logger)
	if err := s.manager.ApplyConfig(parsed); err != nil {
		return nil, fmt.Errorf("configure the external Alertmanagers: %w", err)
	}
	found := make(chan map[string][]*targetgroup.Group, 1)
	found <- targets
	s.running.Go(func() { s.manager.Run(found) })
	return s, nil
}

// Send queues alerts. It does not block.
func (s *Sender) Send(alerts ...*notifier.Alert) {
	understood := make([]*notifier.Alert, len(alerts))
	for i, a := range alerts {
		understood[i] = &notifier.Alert{
			Labels: legacyNames(a.Labels), Annotations: a.Annotations, StartsAt: a.StartsAt, EndsAt: a.EndsAt, GeneratorURL: a.GeneratorURL,
		}
	}
	s.manager.Send(understood...)
}

// legacyNames replaces what Alertmanagers before 0.27 do not take in the name of a label, dots above all, by underscores: these refuse
// all alerts of a request for one such name. Where names become one, the label that had it counts, or one of them.
func legacyNames(from labels.Labels) labels.Labels {
	b := labels.NewBuilder(labels.EmptyLabels())
	from.Range(func(l labels.Label) {
		name := model.EscapeName(l.Name, model.UnderscoreEscaping)
		if name == l.Name || !from.Has(name) {
			b.Set(name, l.Value)
		}
	})
	return b.Labels()
}

// Stop sends what is queued and ends; what is left when ctx is done is dropped.
func (s *Sender) Stop(ctx context.Context) {
	defer s.giveUp()
	defer context.AfterFunc(ctx, s.giveUp)()
	s.manager.Stop()
	s.running.Wait()
	for _, client := range s.clients {
		client.CloseIdleConnections()
	}
}

// do asks with a client of our own: Prometheus's dials whatever a name resolves to.
func (s *Sender) do(ctx context.Context, _ *http.Client, request *http.Request) (*http.Response, error) {
	client := s.clients[request.URL.String()]
	if client == nil {
		return nil, fmt.Errorf("%s is none of the external Alertmanagers", request.URL.Redacted())
	}
	ctx, cancel := context.WithCancel(ctx) // the answer is read after this returns: it ends with the notifier's own
	stop := context.AfterFunc(s.givenUp, cancel)
	context.AfterFunc(ctx, func() { stop() })
	return client.Do(request.WithContext(ctx))
}

// guardedClients returns a client for each Alertmanager.
func guardedClients(parsed *config.Config, targets map[string][]*targetgroup.Group) (map[string]*http.Client, error) {
	clients := map[string]*http.Client{}
	for key, c := range parsed.AlertingConfig.AlertmanagerConfigs.ToMap() {
		client, err := commoncfg.NewClientFromConfig(c.HTTPClientConfig, "alertmanager", commoncfg.WithDialContextFunc(guard.Dial))
		if err != nil {
			return nil, err
		}
		for _, group := range targets[key] {
			for _, target := range group.Targets {
				u := url.URL{Scheme: c.Scheme, Host: string(target[model.AddressLabel]), Path: path.Join("/", c.PathPrefix, "api/v2/alerts")}
				clients[u.String()] = client
			}
		}
	}
	return clients, nil
}

// prometheusConfig returns Prometheus's configuration, through YAML as its types take their defaults from that, and the address
// of each Alertmanager.
func prometheusConfig(addresses []string) (*config.Config, map[string][]*targetgroup.Group, error) {
	var alertmanagers []any
	hosts := make([]string, len(addresses))
	for i, address := range addresses {
		u, err := url.Parse(address)
		if err != nil {
			return nil, nil, err
		}
		one := map[string]any{"scheme": u.Scheme, "api_version": "v2", "path_prefix": u.Path}
		if password, ok := u.User.Password(); ok {
			one["basic_auth"] = map[string]any{"username": u.User.Username(), "password": password}
		}
		alertmanagers, hosts[i] = append(alertmanagers, one), u.Host
	}
	content, err := yaml.Marshal(map[string]any{"alerting": map[string]any{"alertmanagers": alertmanagers}})
	if err != nil {
		return nil, nil, err
	}
	parsed, err := config.Load(string(content), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, nil, err
	}
	byConfig := map[*config.AlertmanagerConfig]string{}
	for i, c := range parsed.AlertingConfig.AlertmanagerConfigs {
		byConfig[c] = hosts[i]
	}
	targets := map[string][]*targetgroup.Group{}
	for key, c := range parsed.AlertingConfig.AlertmanagerConfigs.ToMap() {
		targets[key] = []*targetgroup.Group{{Targets: []model.LabelSet{{model.AddressLabel: model.LabelValue(byConfig[c])}}}}
	}
	return parsed, targets, nil
}
