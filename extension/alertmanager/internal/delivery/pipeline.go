package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/alert"
	amconfig "github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/config/receiver"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/inhibit"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/alertmanager/timeinterval"
	commoncfg "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/guard"
)

// pipeline is what a configuration describes: who is told what, and when not.
type pipeline struct {
	inhibitor  *inhibit.Inhibitor
	dispatcher *dispatch.Dispatcher
	stages     notify.Stage
	before     func(context.Context, []*alert.Alert) // may be nil
	// underWay is held for reading by each notification, from the first attempt to the notification log. The dispatcher does not wait for those
	// when it stops, and what was sent but not written to the log yet would be sent again after the next start.
	underWay sync.RWMutex
	// attempts is held for reading by each attempt: of a notification that fails over and over, most of the time is none under way.
	attempts sync.RWMutex
}

// Exec implements notify.Stage.
func (p *pipeline) Exec(ctx context.Context, l *slog.Logger, alerts ...*alert.Alert) (context.Context, []*alert.Alert, error) {
	p.underWay.RLock()
	defer p.underWay.RUnlock()
	if err := ctx.Err(); err != nil {
		return ctx, nil, err // it has been stopped meanwhile
	}
	if p.before != nil {
		p.before(ctx, alerts)
	}
	return p.stages.Exec(ctx, l, alerts...)
}

// stop begins no more attempts to notify, waits until none is under way, and breaks them off when that takes longer than patience.
func (p *pipeline) stop(patience time.Duration) {
	ended := make(chan struct{})
	go func() {
		p.attempts.Lock()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(patience):
	}
	p.dispatcher.Stop()
	<-ended
	p.attempts.Unlock()
	p.underWay.Lock()
	defer p.underWay.Unlock()
	p.inhibitor.Stop()
}

func (d *Delivery) startPipeline(parsed *amconfig.Config) (*pipeline, error) {
	templates, err := template.FromGlobs(parsed.Templates)
	if err != nil {
		return nil, fmt.Errorf("read templates: %w", err)
	}
	templates.ExternalURL = d.cfg.ExternalURL
	routes := dispatch.NewRoute(parsed.Route, nil)
	p := &pipeline{
		inhibitor: inhibit.NewInhibitor(d.alerts, parsed.InhibitRules, d.cfg.Logger, d.recorder), before: d.cfg.BeforeNotify,
	}
	receivers, err := d.integrations(p, parsed, routes, templates)
	if err != nil {
		return nil, err
	}
	intervals := map[string][]timeinterval.TimeInterval{}
	for _, interval := range parsed.MuteTimeIntervals {
		intervals[interval.Name] = interval.TimeIntervals
	}
	for _, interval := range parsed.TimeIntervals {
		intervals[interval.Name] = interval.TimeIntervals
	}

	wait := func() time.Duration { return 0 }
	var peer notify.Peer
	if d.peer != nil {
		wait, peer = func() time.Duration { return time.Duration(d.peer.Position()) * peerTimeout }, d.peer
	}
	p.stages = notify.NewPipelineBuilder(d.cfg.Registerer, featurecontrol.NoopFlags{}, d.recorder).New(
		receivers, wait, p.inhibitor, d.silencer, timeinterval.NewIntervener(intervals), d.muted, d.log, peer)
	timeout := func(t time.Duration) time.Duration { return max(t, notify.MinTimeout) + wait() }
	p.dispatcher = dispatch.NewDispatcher(d.alerts, routes, p, d.muted, timeout, alertGCInterval, nil, d.cfg.Logger, d.recorder,
		dispatch.NewDispatcherMetrics(false, d.cfg.Registerer, featurecontrol.NoopFlags{}), templates)

	d.api.Update(parsed, func(ctx context.Context, labels model.LabelSet) {
		p.inhibitor.Mutes(ctx, labels)
		d.silencer.Mutes(ctx, labels)
	})
	// The inhibitor first, so that nothing is notified that it would have muted.
	d.background.Go(p.inhibitor.Run)
	p.inhibitor.WaitForLoading()
	d.background.Go(func() { p.dispatcher.Run(time.Now()) })
	p.dispatcher.WaitForLoading()
	return p, nil
}

// integrations builds the notifiers of the receivers that some route uses.
func (d *Delivery) integrations(
	p *pipeline, parsed *amconfig.Config, routes *dispatch.Route, templates *template.Template,
) (map[string][]notify.Integration, error) {
	used := map[string]bool{}
	routes.Walk(func(r *dispatch.Route) { used[r.RouteOpts.Receiver] = true })
	built := map[string][]notify.Integration{}
	for _, r := range parsed.Receivers {
		if !used[r.Name] {
			continue
		}
		plain, err := receiver.BuildReceiverIntegrations(r, templates, d.cfg.Logger,
			commoncfg.WithDialContextFunc(guard.PatientDial(d.cfg.NotificationTimeout)))
		if err != nil {
			return nil, fmt.Errorf("receiver %q: %w", r.Name, err)
		}
		built[r.Name] = nil // a receiver without integrations tells nobody, which is no fault
		hidden := secretsOf(r)
		for i := range plain {
			observed := &observedNotifier{
				Notifier: &plain[i], integration: plain[i].Name(), receiver: r.Name, timeout: d.cfg.NotificationTimeout, notified: d.cfg.Notified,
				secrets: hidden, attempts: &p.attempts,
			}
			if plain[i].Name() == "email" {
				observed.Notifier = &mailer{
					conf: r.EmailConfigs[plain[i].Index()], templates: templates, logger: d.cfg.Logger.With("integration", "email"), dial: guard.Dial,
				}
			}
			built[r.Name] = append(built[r.Name], notify.NewIntegration(observed, &plain[i], plain[i].Name(), plain[i].Index(), r.Name))
		}
	}
	return built, nil
}

// observedNotifier bounds each attempt to notify and tells what became of it.
type observedNotifier struct {
	notify.Notifier
	integration, receiver string
	timeout               time.Duration
	notified              func(Notification)
	secrets               *secrets
	attempts              *sync.RWMutex
}

// Notify implements notify.Notifier. Without a bound of its own an attempt lasts as long as the group's interval, often minutes, and a target
// that hangs once is not tried again in that time.
func (o *observedNotifier) Notify(ctx context.Context, alerts ...*alert.Alert) (bool, error) {
	o.attempts.RLock()
	defer o.attempts.RUnlock()
	if err := ctx.Err(); err != nil {
		return true, err // it has been stopped meanwhile
	}
	start := time.Now()
	attempt, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	retry, err := o.Notifier.Notify(attempt, alerts...)
	err = o.secrets.redact(err) // it goes to the log, to subscribers and to the page
	if err != nil && attempt.Err() != nil && ctx.Err() == nil {
		// Not every notifier wants to try again after a deadline, as it takes it for the end of all attempts.
		retry, err = true, fmt.Errorf("no answer within `notification_timeout` (%s): %w", o.timeout, err)
	}
	// Not every notifier tries again when its service asks for patience; Slack's does not.
	if failed, ok := errors.AsType[*notify.ErrorWithReason](err); ok && failed.Reason == notify.RateLimitedReason {
		retry = true
	}
	if o.notified != nil {
		o.notified(Notification{Receiver: o.receiver, Integration: o.integration, Alerts: alerts, Took: time.Since(start), Err: err})
	}
	return retry, err
}
