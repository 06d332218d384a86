package pooledotlp

import (
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
)

// payloadCodec hands gRPC the bytes of a request as they are, and reads the answer. It is given to each call, so that other
// calls of the process keep their codec.
type payloadCodec struct{}

// Name is the content subtype on the wire: the payload is protobuf.
func (payloadCodec) Name() string { return "proto" }

// Marshal lends the payload to gRPC, which frees its own references when it is done.
func (payloadCodec) Marshal(v any) (mem.BufferSlice, error) {
	payload, ok := v.(mem.BufferSlice)
	if !ok {
		return nil, fmt.Errorf("payload codec cannot send a %T", v)
	}
	payload.Ref()
	return payload, nil
}

// Unmarshal reads an export response.
func (payloadCodec) Unmarshal(data mem.BufferSlice, v any) error {
	response, ok := v.(*partialSuccess)
	if !ok {
		return fmt.Errorf("payload codec cannot receive a %T", v)
	}
	if data.Len() == 0 {
		return nil // the common answer: everything was accepted
	}
	parsed, err := parseResponse(data.Materialize())
	if err != nil {
		parsed = unreadable(err) // an error would give up what the backend has accepted
	}
	*response = parsed
	return nil
}

// declaredCompressor tells gRPC under which name a payload was compressed that it gets compressed already.
//
// The other way to name an algorithm, grpc.UseCompressor, needs an entry in a registry that is shared by everything in the
// process and keyed by the names on the wire: it would change what the other components' connections use.
// grpc.WithCompressor is deprecated but promised for all of grpc-go 1.x.
type declaredCompressor string

var _ grpc.Compressor = declaredCompressor("") //nolint:staticcheck // see the type's comment

// Do copies: the bytes are compressed already.
func (declaredCompressor) Do(w io.Writer, p []byte) error {
	_, err := w.Write(p)
	return err
}

// Type is the value of the grpc-encoding header.
func (d declaredCompressor) Type() string { return string(d) }
