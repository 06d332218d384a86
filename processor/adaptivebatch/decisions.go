package adaptivebatch

import (
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch/internal/controller"
)

// decisionLog writes the controller's decisions at debug level: when the reason changes, or a value has moved by more than a
// quarter since the last line. Every observation moves a decision a little; a line each would bury what it is about.
type decisionLog struct {
	logger *zap.Logger
	last   controller.Decision
}

func (l *decisionLog) decided(d controller.Decision, o controller.Observation) {
	if !l.logger.Core().Enabled(zapcore.DebugLevel) || !l.moved(d) {
		return
	}
	l.last = d
	// Durations as text: the Collector's encoders would write them as numbers without a unit.
	l.logger.Debug("The batches' size and concurrency were decided anew.",
		zap.String("reason", string(d.Reason)),
		zap.Int("target", d.Target), zap.Int("ceiling", d.Ceiling), zap.Int("join", d.Join), zap.Stringer("linger", d.Linger),
		zap.Int("limit", d.Limit), zap.Int("cap", d.Cap),
		zap.String("outcome", o.Outcome.String()), zap.Int("items", o.Items), zap.Stringer("latency", o.Latency),
		zap.Int("in_flight", o.InFlight))
}

func (l *decisionLog) moved(d controller.Decision) bool {
	return d.Reason != l.last.Reason || far(d.Target, l.last.Target) || far(d.Ceiling, l.last.Ceiling) || far(d.Join, l.last.Join) ||
		far(d.Limit, l.last.Limit) || far(d.Cap, l.last.Cap)
}

// far reports whether two values differ by more than a quarter of the larger.
func far(a, b int) bool { return 4*(max(a, b)-min(a, b)) > max(a, b) }
