package otlp

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

func TestEveryCompressionReadsWhatItWrote(t *testing.T) {
	text := bytes.Repeat([]byte("the same words, over and over. "), 3000)
	for _, c := range Compressions {
		t.Run(string(c), func(t *testing.T) {
			require.NoError(t, c.Validate())
			for range 3 { // pooled readers and writers must start anew
				packed, err := c.Append([]byte("before"), text)
				require.NoError(t, err)
				assert.Equal(t, "before", string(packed[:6]))
				if c != None {
					assert.Less(t, len(packed), len(text)/5)
				}
				r, err := c.NewReader(bytes.NewReader(packed[6:]))
				require.NoError(t, err)
				got, err := io.ReadAll(r)
				require.NoError(t, err)
				assert.Equal(t, text, got)
				require.NoError(t, r.Close())
			}
		})
	}
}

func TestUnknownCompressionsAreRefused(t *testing.T) {
	require.ErrorContains(t, Compression("br").Validate(), `found "br"`)
	_, err := Compression("br").Append(nil, nil)
	require.Error(t, err)
	_, err = Compression("br").NewReader(nil)
	require.Error(t, err)
}

func TestBrokenStreamsAreErrors(t *testing.T) {
	for _, c := range []Compression{Gzip, Zstd, Snappy} {
		r, err := c.NewReader(bytes.NewReader([]byte("not compressed at all")))
		if err == nil {
			_, err = io.ReadAll(r)
		}
		require.Error(t, err, c)
	}
}

func TestGRPCCompressorsPassOnWhatIsCompressedAlready(t *testing.T) {
	for _, c := range []Compression{Gzip, Zstd, Snappy} {
		packed, err := c.Append(nil, []byte("hello"))
		require.NoError(t, err)
		compressor := encoding.GetCompressor(string(c))
		var wire bytes.Buffer
		w, err := compressor.Compress(&wire)
		require.NoError(t, err)
		_, err = w.Write(packed)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		assert.Equal(t, packed, wire.Bytes())
		r, err := compressor.Decompress(&wire)
		require.NoError(t, err)
		got, err := io.ReadAll(r)
		require.NoError(t, err)
		assert.Equal(t, "hello", string(got))
	}
}

func TestCodecMovesBytes(t *testing.T) {
	out, err := Codec{}.Marshal(mem.SliceBuffer("abc"))
	require.NoError(t, err)
	var m Message
	assert.Nil(t, m.Bytes())
	m.Free()
	require.NoError(t, Codec{}.Unmarshal(mem.BufferSlice{out[0], mem.SliceBuffer("def")}, &m))
	assert.Equal(t, "abcdef", string(m.Bytes()))
	m.Free()
	m.Free()
	assert.Equal(t, "proto", Codec{}.Name())
	_, err = Codec{}.Marshal(3)
	require.ErrorContains(t, err, "cannot send a int")
	require.ErrorContains(t, Codec{}.Unmarshal(out, 3), "cannot receive into a int")
}
