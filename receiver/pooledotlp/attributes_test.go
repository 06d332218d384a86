package pooledotlp

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// injected stands for what the Collector gives its components: it can leave attributes out.
type (
	injectedCore   struct{ zapcore.Core }
	injectedTracer struct{ trace.TracerProvider }
	injectedMeter  struct{ metric.MeterProvider }
)

var dropped []string

func (injectedCore) DropInjectedAttributes(names ...string) zapcore.Core {
	dropped = append(dropped, names...)
	return zapcore.NewNopCore()
}

func (injectedTracer) DropInjectedAttributes(names ...string) trace.TracerProvider {
	dropped = append(dropped, names...)
	return tracenoop.NewTracerProvider()
}

func (injectedMeter) DropInjectedAttributes(names ...string) metric.MeterProvider {
	dropped = append(dropped, names...)
	return metricnoop.NewMeterProvider()
}

func TestTheReceiversTelemetryIsOfNoSignal(t *testing.T) {
	dropped = nil
	set := withoutSignal(component.TelemetrySettings{
		Logger: zap.New(injectedCore{zapcore.NewNopCore()}), TracerProvider: injectedTracer{}, MeterProvider: injectedMeter{},
	})
	assert.Equal(t, []string{signalKey, signalKey, signalKey}, dropped)
	assert.IsType(t, tracenoop.TracerProvider{}, set.TracerProvider)
	assert.IsType(t, metricnoop.MeterProvider{}, set.MeterProvider)

	plain := nopSettings().TelemetrySettings
	assert.Equal(t, plain.MeterProvider, withoutSignal(plain).MeterProvider, "others are left alone")
}
