package pooledotlp

import (
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/pprofile/pprofileotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
)

// marshalJSON decodes a request and encodes it as JSON. The bytes of two JSON requests cannot be joined, so a request stays
// protobuf until it is sent.
func marshalJSON(w *wire.Request) ([]byte, error) {
	switch w.Signal() {
	case wire.Traces:
		td, err := w.Traces()
		if err != nil {
			return nil, err
		}
		return ptraceotlp.NewExportRequestFromTraces(td).MarshalJSON()
	case wire.Metrics:
		md, err := w.Metrics()
		if err != nil {
			return nil, err
		}
		return pmetricotlp.NewExportRequestFromMetrics(md).MarshalJSON()
	case wire.Profiles:
		pd, err := w.Profiles()
		if err != nil {
			return nil, err
		}
		return pprofileotlp.NewExportRequestFromProfiles(pd).MarshalJSON()
	default:
		ld, err := w.Logs()
		if err != nil {
			return nil, err
		}
		return plogotlp.NewExportRequestFromLogs(ld).MarshalJSON()
	}
}

// parseJSONResponse reads an export response in JSON, where the name of the rejected items differs by signal.
func parseJSONResponse(b []byte, signal wire.Signal) (partialSuccess, error) {
	if len(b) == 0 {
		return partialSuccess{}, nil
	}
	switch signal {
	case wire.Traces:
		r := ptraceotlp.NewExportResponse()
		err := r.UnmarshalJSON(b)
		return partialSuccess{r.PartialSuccess().RejectedSpans(), r.PartialSuccess().ErrorMessage()}, err
	case wire.Metrics:
		r := pmetricotlp.NewExportResponse()
		err := r.UnmarshalJSON(b)
		return partialSuccess{r.PartialSuccess().RejectedDataPoints(), r.PartialSuccess().ErrorMessage()}, err
	case wire.Profiles:
		r := pprofileotlp.NewExportResponse()
		err := r.UnmarshalJSON(b)
		return partialSuccess{r.PartialSuccess().RejectedProfiles(), r.PartialSuccess().ErrorMessage()}, err
	default:
		r := plogotlp.NewExportResponse()
		err := r.UnmarshalJSON(b)
		return partialSuccess{r.PartialSuccess().RejectedLogRecords(), r.PartialSuccess().ErrorMessage()}, err
	}
}
