package grpcbrotli

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/encoding"
)

func TestTextSurvivesRepeatedRoundTrips(t *testing.T) {
	c := encoding.GetCompressor(Name)
	require.NotNil(t, c)
	for i := range 3 {
		text := strings.Repeat("telemetry ", 1000*(i+1))
		var b bytes.Buffer
		w, err := c.Compress(&b)
		require.NoError(t, err)
		_, err = io.WriteString(w, text)
		require.NoError(t, err)
		require.NoError(t, w.Close())

		r, err := c.Decompress(&b)
		require.NoError(t, err)
		got, err := io.ReadAll(r)
		require.NoError(t, err)
		assert.Equal(t, text, string(got))
		_, err = r.Read(make([]byte, 1))
		assert.ErrorIs(t, err, io.EOF, "the decoder now belongs to somebody else")
	}
}

func TestGarbageIsAnError(t *testing.T) {
	r, err := encoding.GetCompressor(Name).Decompress(strings.NewReader("no brotli"))
	require.NoError(t, err)
	_, err = io.ReadAll(r)
	require.Error(t, err)
}
