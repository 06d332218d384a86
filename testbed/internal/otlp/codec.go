// Package otlp speaks OTLP in encoded bytes, for a generator that sends what was encoded before and a backend that reads only
// what it must.
package otlp

import (
	"fmt"

	"google.golang.org/grpc/mem"
)

// Codec is a gRPC codec for messages that are bytes already: it sends a mem.Buffer as it is and receives into a *Message. Its name is protobuf's, since that is what the bytes are.
type Codec struct{}

// Message is a received message. The receiver frees it.
type Message struct{ Buffer mem.Buffer }

// Bytes is the encoded message; valid until Free.
func (m *Message) Bytes() []byte {
	if m.Buffer == nil {
		return nil
	}
	return m.Buffer.ReadOnlyData()
}

// Free gives the memory back. It may be called on a message that never was received.
func (m *Message) Free() {
	if m.Buffer != nil {
		m.Buffer.Free()
		m.Buffer = nil
	}
}

// Marshal implements encoding.CodecV2. It takes a reference of its own, which grpc-go gives back when the bytes are on the wire;
// the caller keeps its reference for the next attempt.
func (Codec) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.(mem.Buffer)
	if !ok {
		return nil, fmt.Errorf("cannot send a %T, only a mem.Buffer", v)
	}
	b.Ref()
	return mem.BufferSlice{b}, nil
}

// Unmarshal implements encoding.CodecV2.
func (Codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(*Message)
	if !ok {
		return fmt.Errorf("cannot receive into a %T, only into a *Message", v)
	}
	m.Buffer = data.MaterializeToBuffer(mem.DefaultBufferPool())
	return nil
}

// Name implements encoding.CodecV2.
func (Codec) Name() string { return "proto" }
