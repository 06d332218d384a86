package pooledotlp

import (
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// signalKey is the attribute that the Collector adds to what a component tells of itself.
const signalKey = "otelcol.signal"

// withoutSignal takes the signal out of the attributes of the receiver's own telemetry: one receiver serves all of them, and is created
// for any of them first. The Collector has this for its own receivers in an internal package,
// go.opentelemetry.io/collector/internal/telemetry, whose interfaces these are.
func withoutSignal(set component.TelemetrySettings) component.TelemetrySettings {
	set.Logger = set.Logger.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		if c, can := core.(interface {
			DropInjectedAttributes(...string) zapcore.Core
		}); can {
			return c.DropInjectedAttributes(signalKey)
		}
		return core
	}))
	if p, can := set.TracerProvider.(interface {
		DropInjectedAttributes(...string) trace.TracerProvider
	}); can {
		set.TracerProvider = p.DropInjectedAttributes(signalKey)
	}
	if p, can := set.MeterProvider.(interface {
		DropInjectedAttributes(...string) metric.MeterProvider
	}); can {
		set.MeterProvider = p.DropInjectedAttributes(signalKey)
	}
	return set
}
