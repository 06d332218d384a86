package pooledotlp

import (
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/xconsumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.opentelemetry.io/collector/pdata/pprofile/pprofileotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.opentelemetry.io/collector/receiver/receiverhelper"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bytepath"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
)

// names are where a signal is served, https://opentelemetry.io/docs/specs/otlp/.
type names struct {
	signal  string
	service string // of gRPC; its only method is Export
}

var (
	tracesNames   = names{"traces", "opentelemetry.proto.collector.trace.v1.TraceService"}
	metricsNames  = names{"metrics", "opentelemetry.proto.collector.metrics.v1.MetricsService"}
	logsNames     = names{"logs", "opentelemetry.proto.collector.logs.v1.LogsService"}
	profilesNames = names{"profiles", "opentelemetry.proto.collector.profiles.v1development.ProfilesService"}
)

// profilesPath is fixed, as in the stock receiver.
const profilesPath = "/v1development/profiles"

func newTraces(r *otlpReceiver, next consumer.Traces, report *receiverhelper.ObsReport) endpoint {
	return &signal[ptrace.Traces]{
		receiver: r, report: report, where: tracesNames, answer: marshalAnswers(ptraceotlp.NewExportResponse()),
		unmarshalProto: func(b []byte) (ptrace.Traces, error) {
			request := ptraceotlp.NewExportRequest()
			err := request.UnmarshalProto(b)
			return request.Traces(), err
		},
		unmarshalJSON: func(b []byte) (ptrace.Traces, error) {
			request := ptraceotlp.NewExportRequest()
			err := request.UnmarshalJSON(b)
			return request.Traces(), err
		},
		count: ptrace.Traces.SpanCount, consume: next.ConsumeTraces, begin: report.StartTracesOp, end: report.EndTracesOp,
		bytePath: r.cfg.encoded(wire.Traces), kind: wire.Traces, marker: bytepath.TracesMarker(), encode: wire.FromTraces, decode: (*wire.Request).Traces,
	}
}

func newMetrics(r *otlpReceiver, next consumer.Metrics, report *receiverhelper.ObsReport) endpoint {
	return &signal[pmetric.Metrics]{
		receiver: r, report: report, where: metricsNames, answer: marshalAnswers(pmetricotlp.NewExportResponse()),
		unmarshalProto: func(b []byte) (pmetric.Metrics, error) {
			request := pmetricotlp.NewExportRequest()
			err := request.UnmarshalProto(b)
			return request.Metrics(), err
		},
		unmarshalJSON: func(b []byte) (pmetric.Metrics, error) {
			request := pmetricotlp.NewExportRequest()
			err := request.UnmarshalJSON(b)
			return request.Metrics(), err
		},
		count: pmetric.Metrics.DataPointCount, consume: next.ConsumeMetrics, begin: report.StartMetricsOp, end: report.EndMetricsOp,
		bytePath: r.cfg.encoded(wire.Metrics), kind: wire.Metrics, marker: bytepath.MetricsMarker(), encode: wire.FromMetrics, decode: (*wire.Request).Metrics,
	}
}

func newLogs(r *otlpReceiver, next consumer.Logs, report *receiverhelper.ObsReport) endpoint {
	return &signal[plog.Logs]{
		receiver: r, report: report, where: logsNames, answer: marshalAnswers(plogotlp.NewExportResponse()),
		unmarshalProto: func(b []byte) (plog.Logs, error) {
			request := plogotlp.NewExportRequest()
			err := request.UnmarshalProto(b)
			return request.Logs(), err
		},
		unmarshalJSON: func(b []byte) (plog.Logs, error) {
			request := plogotlp.NewExportRequest()
			err := request.UnmarshalJSON(b)
			return request.Logs(), err
		},
		count: plog.Logs.LogRecordCount, consume: next.ConsumeLogs, begin: report.StartLogsOp, end: report.EndLogsOp,
		bytePath: r.cfg.encoded(wire.Logs), kind: wire.Logs, marker: bytepath.LogsMarker(), encode: wire.FromLogs, decode: (*wire.Request).Logs,
	}
}

// newProfiles serves profiles, which are always decoded: their indices point into one dictionary per request, so
// encoded requests cannot be joined.
func newProfiles(r *otlpReceiver, next xconsumer.Profiles, report *receiverhelper.ObsReport) endpoint {
	return &signal[pprofile.Profiles]{
		receiver: r, report: report, where: profilesNames, answer: marshalAnswers(pprofileotlp.NewExportResponse()),
		unmarshalProto: func(b []byte) (pprofile.Profiles, error) {
			request := pprofileotlp.NewExportRequest()
			err := request.UnmarshalProto(b)
			return request.Profiles(), err
		},
		unmarshalJSON: func(b []byte) (pprofile.Profiles, error) {
			request := pprofileotlp.NewExportRequest()
			err := request.UnmarshalJSON(b)
			return request.Profiles(), err
		},
		count: pprofile.Profiles.SampleCount, consume: next.ConsumeProfiles, begin: report.StartProfilesOp, end: report.EndProfilesOp,
	}
}

type response interface {
	MarshalProto() ([]byte, error)
	MarshalJSON() ([]byte, error)
}

// marshalAnswers encodes an answer once for all requests. Without a partial success it is always the same.
func marshalAnswers(r response) answers {
	proto, err := r.MarshalProto()
	if err != nil {
		panic(err) // an empty message
	}
	json, err := r.MarshalJSON()
	if err != nil {
		panic(err)
	}
	return answers{proto: proto, json: json}
}
