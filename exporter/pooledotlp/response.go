package pooledotlp

import (
	"fmt"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/protobuf/encoding/protowire"
)

// partialSuccess is the one thing an OTLP export response can carry. Its fields have the same numbers for all signals:
// https://github.com/open-telemetry/opentelemetry-proto, collector/*/v1/*_service.proto.
type partialSuccess struct {
	// rejected is the number of items that the backend dropped. With 0 the message is a warning.
	rejected int64
	message  string
}

func (p partialSuccess) empty() bool { return p == partialSuccess{} }

const (
	fieldPartialSuccess = 1
	fieldRejected       = 1
	fieldErrorMessage   = 2
)

// parseResponse reads an export response. Decoding it by hand serves all signals at once; unknown fields are skipped. What it does not
// understand is left to pdata, which takes groups that are not closed.
func parseResponse(b []byte) (partialSuccess, error) {
	var p partialSuccess
	err := eachField(b, func(number protowire.Number, kind protowire.Type, value []byte) error {
		if number != fieldPartialSuccess || kind != protowire.BytesType {
			return nil
		}
		message, n := protowire.ConsumeBytes(value)
		if n < 0 {
			return protowire.ParseError(n)
		}
		return eachField(message, p.readField)
	})
	if err == nil {
		return p, nil
	}
	r := ptraceotlp.NewExportResponse()
	if r.UnmarshalProto(b) != nil {
		return partialSuccess{}, err
	}
	return partialSuccess{r.PartialSuccess().RejectedSpans(), r.PartialSuccess().ErrorMessage()}, nil
}

// unreadable is the answer to a success whose body cannot be read: the backend has the data, so it is no failure.
func unreadable(err error) partialSuccess {
	return partialSuccess{message: fmt.Sprintf("the answer's body is not readable: %v", err)}
}

func (p *partialSuccess) readField(number protowire.Number, kind protowire.Type, value []byte) error {
	switch {
	case number == fieldRejected && kind == protowire.VarintType:
		v, _ := protowire.ConsumeVarint(value)
		p.rejected = int64(v)
	case number == fieldErrorMessage && kind == protowire.BytesType:
		v, _ := protowire.ConsumeString(value)
		p.message = v
	}
	return nil
}

// eachField calls visit with every field of a message and the bytes of its value, which are well-formed.
func eachField(b []byte, visit func(protowire.Number, protowire.Type, []byte) error) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		n = protowire.ConsumeFieldValue(number, kind, b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if err := visit(number, kind, b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
