package pooledotlp

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

// encodedAgain is what a consumer got, in protobuf.
func encodedAgain(t *testing.T, got any) []byte {
	var b []byte
	var err error
	switch v := got.(type) {
	case ptrace.Traces:
		b, err = (&ptrace.ProtoMarshaler{}).MarshalTraces(v)
	case pmetric.Metrics:
		b, err = (&pmetric.ProtoMarshaler{}).MarshalMetrics(v)
	case plog.Logs:
		b, err = (&plog.ProtoMarshaler{}).MarshalLogs(v)
	case pprofile.Profiles:
		b, err = (&pprofile.ProtoMarshaler{}).MarshalProfiles(v)
	}
	require.NoError(t, err)
	return b
}

// FuzzBothPathsAgree gives the same bytes, protobuf or JSON, in buffers of any size to both paths: either both refuse them or both pass the same
// telemetry on.
func FuzzBothPathsAgree(f *testing.F) {
	for i, s := range samples(f) {
		f.Add(uint8(i), false, s.proto, uint16(0))
		f.Add(uint8(i), false, s.proto, uint16(7))
		f.Add(uint8(i), false, s.proto[:len(s.proto)-1], uint16(100))
		f.Add(uint8(i), true, s.json, uint16(0))
		f.Add(uint8(i), true, s.json[:len(s.json)-1], uint16(0))
	}
	ctx := context.Background()
	receivers, sinks := map[DecodeMode]*otlpReceiver{}, map[DecodeMode]*sink{}
	for _, decode := range []DecodeMode{DecodeAlways, DecodeVerified} {
		sinks[decode] = &sink{}
		shared := create(f, defaultConfig(decode), nopSettings(), sinks[decode])
		receivers[decode] = shared.receiver
		f.Cleanup(func() { require.NoError(f, shared.Shutdown(ctx)) })
	}
	f.Fuzz(func(t *testing.T, which uint8, json bool, data []byte, frame uint16) {
		n := int(which) % 4
		var codeOf []codes.Code
		var passedOn [][][]byte
		for decode, r := range receivers {
			sinks[decode].reset()
			endpoints, err := r.endpoints("http")
			require.NoError(t, err)
			if json {
				err = endpoints[n].exportJSON(ctx, data)
			} else {
				var buffers mem.BufferSlice
				for rest := data; len(rest) > 0; {
					size := len(rest)
					if frame > 0 {
						size = min(size, int(frame))
					}
					buffers = append(buffers, mem.SliceBuffer(rest[:size]))
					rest = rest[size:]
				}
				err = endpoints[n].exportProto(ctx, buffers)
			}
			codeOf = append(codeOf, status.Code(err))
			var got [][]byte
			for _, value := range sinks[decode].received(endpoints[n].names().signal) {
				got = append(got, encodedAgain(t, value))
			}
			passedOn = append(passedOn, got)
			require.Contains(t, []codes.Code{codes.OK, codes.InvalidArgument}, status.Code(err))
			require.Zero(t, r.buffers.Stats().InUse)
		}
		require.Equal(t, codeOf[0], codeOf[1])
		require.Equal(t, passedOn[0], passedOn[1])
	})
}
